/* The rate of a zeroth-order run: what is measured against a quadratic by hand, with all four
 * directions of two weights, so that means over directions are exact; the change of validation; and
 * what -1 and auto are resolved to, in new runs and in old ones. */
#include "err_fixture.h"

#include "train_opts.h"
#include "val_change.h"
#include "zo_rate.h"

#include <math.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct cpu cpu = {.tier = CPU_generic};

static void near(double found, double want) {
    if (!(fabs(found - want) <= 1e-9 * (1 + fabs(want))))
        fail_msg("%.12g, by hand %.12g", found, want);
}

/* L_b(w + d) = L_b + g_b.d + d'Hd / 2, H = 4 1; 1 2. */
static const double gradient[2][2] = {{1, 2}, {3, 0}}, level[2] = {5, 7};

static double loss(int b, double x, double y) {
    return level[b] + gradient[b][0] * x + gradient[b][1] * y +
           (4 * x * x + 2 * x * y + 2 * y * y) / 2;
}

static struct zo_measure measured(double eps) {
    struct zo_measure m = {0};
    for (int z = 0; z < 4; z++) {
        const double x = z & 1 ? eps : -eps, y = z & 2 ? eps : -eps;
        const double plus[2] = {loss(0, x, y), loss(1, x, y)};
        const double minus[2] = {loss(0, -x, -y), loss(1, -x, -y)};
        zo_measure_add(&m, eps, 2, level, plus, minus);
    }
    zo_measure_finish(&m);
    return m;
}

static void test_measure(void **state) {
    (void)state;
    const struct zo_measure m = measured(0.5);
    near(m.example2, (5.0 + 9.0) / 2); /* |g_b|^2 */
    near(m.grad2, 3);                  /* g_1.g_2: no noise of examples in it */
    near(m.curvature, 6);              /* tr H */
    assert_int_equal(m.directions, 4);
}

static void test_rate(void **state) {
    (void)state;
    const struct zo_measure m = measured(0.5);
    const struct zo_shape s = {.directions = 3, .batch = 2, .accum = 1, .eps = 0.01};
    /* tr H counts as at least |g_b|^2 = 7; the quarter of 3 / (rms 7) against what 1/500 nat needs:
     * 0.002 rms / (n 3). A probe of grzo sees one example (rms^2 = 7), of the others two: 5. */
    const double grzo = fmin(0.25 * 3 / (sqrt(7) * 7), 0.002 * sqrt(7) / (2 * 3)),
                 three = fmin(0.25 * 3 / (sqrt(5) * 7), 0.002 * sqrt(5) / (3 * 3));
    near(zo_best_step(&m, zo_find("grzo"), &s), grzo);
    near(zo_best_step(&m, zo_find("spsa"), &s), three);
    near(zo_step_rate(&m, zo_find("grzo"), &s, grzo), grzo * 2 * 0.01 * 2);
    near(zo_step_rate(&m, zo_find("spsa"), &s, three), three * 3 / sqrt(5));
    near(zo_step_rate(&m, zo_find("fzoo"), &s, three), three * 0.01 * 3);
    /* Small gradients: the curvature decides. */
    struct zo_measure flat = m;
    flat.example2 = 7e-4, flat.grad2 = 3e-4;
    near(zo_best_step(&flat, zo_find("grzo"), &s), 0.25 * 3e-4 / (sqrt(7e-4) * 6));
    /* Pairs of few directions can contradict each other. */
    flat.grad2 = -1e-4;
    near(zo_best_step(&flat, zo_find("grzo"), &s), 0.25 * 0.05 * 7e-4 / (sqrt(7e-4) * 6));
    const struct zo_measure nothing = {.directions = 4};
    assert_true(zo_best_step(&nothing, zo_find("grzo"), &s) == 0);
}

/* A loss that rises with a power of the distance, at most by `roof`. */
struct slope {
    double factor, power, roof;
    int asked;
};

static int slope_rise(void *ctx, double size, double *rise, struct err *err) {
    struct slope *s = ctx;
    (void)err;
    s->asked++;
    *rise = fmin(s->roof, s->factor * pow(size, s->power));
    return 0;
}

static int slope_stopped(void *ctx, double size, double *rise, struct err *err) {
    (void)ctx, (void)size, (void)rise;
    return err_set(err, ERR_STOP, "stopped");
}

/* Two directions an update: 200 updates are looked at as 256 and may raise the loss by 256 x
 * 1.2e-4, 10,000 by 1.2. */
static void test_walk(void **state) {
    (void)state;
    static const struct {
        int64_t steps, updates;
        double power;
    } row[] = {{200, 256, 2}, {200, 256, 4}, {200, 256, 9}, {10000, 10000, 4}, {0, 1024, 2}};
    for (int i = 0; i < 5; i++) {
        struct slope s = {3, row[i].power, 7, 0};
        const struct zo_walk w = {slope_rise, &s, 2, row[i].steps};
        const double u = (double)row[i].updates, far = pow(1.2e-4 * u / 3, 1 / row[i].power),
                     most = far / sqrt(2 * u);
        double step = most * 0.99;
        ok(zo_walk_limit(&w, &step, &e)); /* what is small enough stays as it is */
        assert_true(step == most * 0.99 && s.asked == 1);
        step = most * 9;
        ok(zo_walk_limit(&w, &step, &e));
        if (!(step <= most && step >= most * 0.5)) fail_msg("row %d: %g of %g", i, step, most);
        s.factor = INFINITY;
        s.roof = INFINITY;
        ok(zo_walk_limit(&w, &step, &e));
        assert_true(step < most * 1e-3);
    }
    struct slope flat = {-1, 2, 0, 0};
    double step = 5;
    ok(zo_walk_limit(&(struct zo_walk){slope_rise, &flat, 2, 10}, &step, &e));
    assert_true(step == 5 && flat.asked == 1); /* falls */
    assert_int_equal(zo_walk_limit(&(struct zo_walk){slope_stopped, NULL, 2, 10}, &step, &e),
                     ERR_STOP);
    step = 0;
    /* nothing to limit */
    ok(zo_walk_limit(&(struct zo_walk){slope_stopped, NULL, 2, 10}, &step, &e));
}

/* An update of that rate moves each weight by the step along each direction. */
static void test_unit(void **state) {
    (void)state;
    static const char *const names[] = {"grzo", "spsa", "fzoo"};
    for (int k = 0; k < 3; k++) {
        const struct zo_kind *kind = zo_find(names[k]);
        const struct zo_shape s = {.directions = 4, .batch = 4, .accum = 1, .eps = 0.01};
        const int64_t P = kind->probes(&s);
        double losses[16];
        float coef[8];
        /* Differences of plus and minus one in units of 2 eps c, c = 3: a_i = +-1 but for the
         * deviation's n - 1. */
        for (int64_t p = 0; p < P; p++) {
            int64_t d;
            int side;
            kind->probe(&s, 0, p, &d, &side);
            losses[p] = 2 + side * 0.01 * 3 * (d % 2 ? 1 : -1);
        }
        kind->estimate(&s, losses, coef);
        const double rms = kind->normalises ? 1 : 3, bessel = kind->normalises ? sqrt(3.0 / 4) : 1;
        for (int d = 0; d < 4; d++)
            if (!(fabs((double)coef[d] - (d % 2 ? 1 : -1) * kind->unit(&s) * rms * bessel) <
                  1e-5 * kind->unit(&s)))
                fail_msg("%s: coefficient %d is %g, unit %g", names[k], d, (double)coef[d],
                         kind->unit(&s));
    }
}

static void test_check(void **state) {
    (void)state;
    struct zo_measure m = {0};
    const double c[3] = {3, -4, 0}, c2[3] = {3.3, -4, 0.4}, zero[3] = {0};
    zo_measure_check(&m, 3, c, c2);
    near(zo_measure_error(&m), 0.1);
    struct zo_measure none = {0};
    zo_measure_check(&none, 3, zero, zero);
    assert_true(isinf(zo_measure_error(&none)) && isinf(zo_measure_rounding(&none, 0.1)));
}

/* Losses of about 4 with an error of r each. */
static void test_rounding(void **state) {
    (void)state;
    const double r = 1e-8, eps = 1e-7, off = r * sqrt(2) / (2 * eps);
    const double c[2] = {3, -4}, c2[2] = {3 + off * sqrt(1.25), -4 - off * sqrt(1.25)};
    struct zo_measure m = {.loss = 4};
    zo_measure_check(&m, 2, c, c2);
    const double share = off / sqrt(12.5);
    near(zo_measure_rounding(&m, eps), share);
    m.loss = 4e-4; /* smaller ones have less: the rest is curvature */
    near(zo_measure_rounding(&m, eps), share * 4e-4 * 0x1p-24 / r);
    m.loss = 4;
    assert_false(zo_curvature_hidden(&m, eps)); /* it was not measured */
    m.example2 = 10, m.directions = 2, m.examples = 4;
    const double noise = r * sqrt(4.0 / 4 + 2.0 / 8) / (eps * eps);
    m.curvature = 2.9 * noise;
    assert_true(zo_curvature_hidden(&m, eps));
    m.curvature = 3.1 * noise;
    assert_false(zo_curvature_hidden(&m, eps));
    m.curvature = 1, m.example2 = 1.1 * noise; /* then it counts as that */
    assert_false(zo_curvature_hidden(&m, eps));
    /* n s rms(c), with the step s = lr / (2 eps B) of grzo and lr rms(c) of one direction of
     * spsa */
    const struct zo_shape s = {.directions = 1, .batch = 4, .accum = 1, .eps = eps};
    near(zo_update_change(&m, zo_find("grzo"), &s, 1e-8), 1e-8 / (2 * eps) * sqrt(12.5));
    near(zo_update_change(&m, zo_find("spsa"), &s, 1e-2), 1e-2 * 12.5);
}

static void take(struct val_change *v, int64_t step, double a, double b, double c) {
    ok(val_change_reserve(v, 3, &e));
    v->now[0] = a, v->now[1] = b, v->now[2] = c;
    val_change_take(v, step);
}

/* Over a file the same losses to the last bit. */
static void test_val_file(void **state) {
    (void)state;
    struct val_change v, w;
    struct val_place at = {.step = 3, .rollbacks = 1, .key = 77}, back;
    char path[] = "/tmp/duet-val-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0 && !close(fd));
    val_change_init(&v);
    val_change_init(&w);
    take(&v, 3, 1.0 / 3, 2e-300, 3);
    ok(val_change_save(&v, path, &at, &e));
    ok(val_change_load(&w, path, &back, &e));
    assert_memory_equal(w.first, v.first, 3 * sizeof *v.first);
    assert_true(back.step == 3 && back.rollbacks == 1 && back.key == 77 && w.step == 3);
    take(&v, 9, 2, 3, 5);
    take(&w, 9, 2, 3, 5);
    assert_true(w.change == v.change && w.stderr_ == v.stderr_ && w.change > 1);
    take(&w, 3, 2, 3, 5); /* the same again: nothing to compare */
    assert_true(isnan(w.change) && isnan(w.stderr_));
    static const char *const bad[] = {
        "", "[1]", "{\"step\":1,\"rollbacks\":0,\"key\":1,\"losses\":[]}",
        "{\"step\":-1,\"rollbacks\":0,\"key\":1,\"losses\":[1]}",
        "{\"step\":1,\"rollbacks\":0,\"key\":1,\"losses\":[1,\"2\"]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        FILE *f = fopen(path, "w");
        assert_true(f && fputs(bad[i], f) >= 0 && !fclose(f));
        assert_int_equal(val_change_load(&w, path, &back, &e), ERR_INPUT);
        assert_non_null(strstr(e.msg, path));
    }
    unlink(path);
    val_change_release(&v);
    val_change_release(&w);
}

static void test_val_change(void **state) {
    (void)state;
    struct val_change v;
    val_change_init(&v);
    take(&v, 0, 1, 2, 30);
    assert_true(isnan(v.change) && v.step == 0 && !val_change_risen(&v));
    take(&v, 5, 1.1, 2.2, 30.3); /* differences 0.1 0.2 0.3: mean 0.2, standard error 0.1/sqrt 3 */
    near(v.change, 0.2);
    near(v.stderr_, 0.1 / sqrt(3));
    assert_true(val_change_risen(&v));
    take(&v, 9, 1.1, 1.8, 30.1); /* 0.1 -0.2 0.1: no rise; always against the first one */
    near(v.change, 0);
    assert_true(v.step == 0 && !val_change_risen(&v));
    ok(val_change_reserve(&v, 1, &e)); /* other windows: begun anew */
    v.now[0] = 4;
    val_change_take(&v, 10);
    assert_true(isnan(v.change) && v.step == 10);
    ok(val_change_reserve(&v, 1, &e));
    v.now[0] = 4.5;
    val_change_take(&v, 11); /* one window has no error */
    near(v.change, 0.5);
    assert_true(isnan(v.stderr_) && val_change_risen(&v));
    val_change_release(&v);
}

static const char old_json[] =
    "{\"engine\": \"mezo\", \"optimizer\": \"auto\", \"estimator\": \"spsa\", \"directions\": 1,"
    " \"eps\": -1.0, \"lr\": -1.0, \"schedule\": \"auto\", \"warmup\": -1, \"beta1\": -1.0,"
    " \"clip\": -1.0, \"weight-decay\": -1.0, \"steps\": 5, \"lora-alpha\": -1.0, \"lora\": %d}";

static void check_old(int lora, double lr, double eps) {
    struct conf c;
    struct train_opts o;
    struct train_setup s;
    char json[512];
    snprintf(json, sizeof json, old_json, lora);
    ok(conf_parse(&c, train_rows, &o, 0, NULL, &e));
    ok(conf_read_defaults_text(&c, json, "config.json", &e));
    o.init = lora ? "base" : NULL;
    train_opts_old(&o, &c);
    ok(train_setup_make(&s, &o, &cpu, &e));
    near(s.lr, lr);
    near(s.eps, eps);
    assert_true(!s.find_lr && s.sched.kind == SCHED_constant && s.directions == 1);
    assert_string_equal(s.estimator->name, "spsa");
    train_opts_resolve(&o, &s);
    char *text = conf_to_json(&c, NULL, NULL);
    assert_null(strstr(text, ": -1"));
    assert_null(strstr(text, "\"auto\""));
    assert_non_null(strstr(text, "\"schedule\": \"constant\""));
    assert_non_null(strstr(text, "\"optimizer\": \"sgd\""));
    free(text);
    conf_release(&c);
}

static void test_old(void **state) {
    (void)state;
    check_old(0, 1e-6, 1e-3);
    check_old(4, 1e-4, 1e-2);
}

/* Arguments as main has them: not const. */
static char *word(const char *text) {
    static char room[32][24];
    static int n;
    return strcpy(room[n++ % 32], text);
}

static void test_new(void **state) {
    (void)state;
    struct conf c;
    struct train_setup s;
    char *argv[] = {word("--engine"), word("mezo"), word("--steps"), word("3")};
    struct train_opts o;
    ok(conf_parse(&c, train_rows, &o, 4, argv, &e));
    train_opts_old(&o, &c);
    ok(train_setup_make(&s, &o, &cpu, &e));
    assert_true(s.find_lr && s.sched.kind == SCHED_linear);
    assert_string_equal(s.estimator->name, "grzo");
    train_opts_resolve(&o, &s);
    near(o.lr, -1); /* until it is measured, it is in no file */
    char *text = conf_to_json(&c, NULL, NULL);
    assert_null(strstr(text, "\"lr\""));
    assert_null(strstr(text, "\"beta1\"")); /* sgd has none */
    assert_non_null(strstr(text, "\"eps\": 0.001"));
    free(text);
    conf_release(&c);
    /* An estimator that the other options leave possible. */
    char *one[] = {word("--engine"), word("mezo"),    word("--steps"),
                   word("3"),        word("--batch"), word("1")};
    ok(conf_parse(&c, train_rows, &o, 6, one, &e));
    ok(train_setup_make(&s, &o, &cpu, &e));
    assert_string_equal(s.estimator->name, "spsa");
    conf_release(&c);
    char *more[] = {word("--engine"), word("mezo"),         word("--steps"),
                    word("3"),        word("--directions"), word("2")};
    ok(conf_parse(&c, train_rows, &o, 6, more, &e));
    ok(train_setup_make(&s, &o, &cpu, &e));
    assert_string_equal(s.estimator->name, "spsa");
    conf_release(&c);
    /* Backpropagation's values are written down too. */
    char *back[] = {word("--steps"), word("3")};
    ok(conf_parse(&c, train_rows, &o, 2, back, &e));
    ok(train_setup_make(&s, &o, &cpu, &e));
    train_opts_resolve(&o, &s);
    near(o.lr, 1e-3);
    near(o.beta2, 0.95);
    near(o.clip, 1);
    near(o.decay_matrix, 0.1);
    assert_int_equal(o.warmup, 20);
    assert_string_equal(o.schedule, "wsd");
    conf_release(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measure),    cmocka_unit_test(test_rate),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_unit),       cmocka_unit_test(test_check),
        cmocka_unit_test(test_val_change), cmocka_unit_test(test_old),
        cmocka_unit_test(test_new),        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_val_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
