/* The two engines against each other on small models of every variant, with adapters, and what an
 * audit advises, plans and refuses. */
#include "audit_fixture.h"
#include "train_model.h"
#include "zo.h"

#include <unistd.h>

static char base_path[64];

/* The whole is the sum of the groups. */
static void check_sums(const struct audit *a, const struct model *m) {
    double squares = 0;
    int64_t n = 0;
    for (int k = 0; k + 1 < a->n_groups; k++) {
        squares += a->group[k].norm * a->group[k].norm;
        n += a->group[k].n;
    }
    const struct audit_group *all = find_group(a, "all together");
    assert_int_equal(all->n, n);
    assert_int_equal(n, model_param_count(m));
    assert_true(fabs(all->norm * all->norm / squares - 1) < 1e-9);
    for (int64_t s = 0; s < a->opts.seeds; s++) {
        double sum = 0;
        for (int k = 0; k + 1 < a->n_groups; k++) sum += a->group[k].slope[s];
        assert_true(fabs(all->slope[s] - sum) <= 1e-9 * all->norm);
    }
}

static void test_variants(void **state) {
    (void)state;
    for (int i = 0; i < N_VARIANTS; i++) {
        struct model m = model_of(variants + i);
        struct tokens t = tokens_of(&m, B * T, 3);
        struct rows rows = {&t, 0, B};
        struct audit_opts o = opts_of(&rows);
        struct audit a;
        audit_model(&a, &m, &o);
        must_agree(variants[i].name, &a);
        check_sums(&a, &m);
        find_group(&a, "embeddings");
        find_group(&a, "attention matrices");
        find_group(&a, "MLP matrices");
        find_group(&a, "norms");
        if (m.config.attention_bias) find_group(&a, "biases");
        audit_close(&a);
        o.by_layer = true;
        o.seeds = i < 8 ? AUDIT_LEAST_SEEDS : SEEDS;
        audit_model(&a, &m, &o);
        for (int k = 0; k < a.n_groups; k++) assert_int_equal(a.group[k].verdict, AUDIT_OK);
        check_sums(&a, &m);
        find_group(&a, "layer 0");
        audit_close(&a);
        tokens_free(&t);
        close_model(&m);
    }
}

/* g.z from signs made one by one, and the same figures with any number of threads. */
static void test_figures(void **state) {
    (void)state;
    struct model m = model_of(&variants[8]);
    struct tokens t = tokens_of(&m, B * T, 4);
    struct rows rows = {&t, 0, B};
    struct audit_opts o = opts_of(&rows);
    struct audit a, b;
    audit_model(&a, &m, &o);
    for (int64_t s = 0; s < 3; s++) {
        const uint64_t seed = zo_seed(o.seed, s, 0);
        double slope = 0;
        for (int i = 0; i < m.n_params; i++) {
            const struct param *p = m.params + i;
            for (int64_t k = 0; k < param_count(p); k++) {
                const int64_t row = k / p->cols, col = k % p->cols;
                struct rng r = rng_make(seed, RNG_PERTURB, 0, (uint64_t)i,
                                        (uint64_t)(row * perturb_blocks(p->cols) + col / 512));
                uint64_t word = 0;
                for (int64_t w = 0; w <= col % 512 / 64; w++) word = rng_next(&r);
                slope += (double)p->grad[k] * (word >> col % 64 & 1 ? 1 : -1);
            }
        }
        const struct audit_group *all = find_group(&a, "all together");
        if (!(fabs(all->slope[s] - slope) <= 1e-9 * all->norm))
            fail_msg("g.z is %.12g, sign by sign %.12g", all->slope[s], slope);
    }
    struct machine many = machine_with("auto", DT_F32, 3);
    o.machine = o.machine_grad = &many;
    ok(audit_open(&b, &m, &o, &e)); /* its gradients take the place of those of a */
    ok(audit_gradient(&b, &e));
    ok(audit_run(&b, &e));
    for (int k = 0; k < a.n_groups; k++) {
        const size_t bytes = (size_t)o.seeds * sizeof(double);
        assert_memory_equal(a.group[k].coef, b.group[k].coef, bytes);
        assert_memory_equal(a.group[k].slope, b.group[k].slope, bytes);
        assert_memory_equal(&a.group[k].variance, &b.group[k].variance, sizeof a.group->variance);
    }
    audit_close(&a);
    audit_close(&b);
    machine_close(&many);
    tokens_free(&t);
    close_model(&m);
}

/* The error of c falls with eps^2: that is what the tolerance rests on. */
static void test_order(void **state) {
    (void)state;
    struct model m = model_of(&variants[8]);
    struct tokens t = tokens_of(&m, B * T, 4);
    struct rows rows = {&t, 0, B};
    struct audit_opts o = opts_of(&rows);
    double error[2];
    for (int i = 0; i < 2; i++) {
        struct audit a;
        o.eps = i ? 4e-3 : 8e-3;
        audit_model(&a, &m, &o);
        error[i] = find_group(&a, "all together")->derivative.found;
        audit_close(&a);
    }
    if (!(error[0] / error[1] > 3 && error[0] / error[1] < 5))
        fail_msg("errors %g and %g: not of second order", error[0], error[1]);
    tokens_free(&t);
    close_model(&m);
}

/* ---- LoRA ----------------------------------------------------------------------------------- */

/* Rows are whole blocks, for q8_0. */
static const struct variant blocks = {"blocks", "qwen3", ALL_ON, {32, 64, 2, 4, 2, 8, 70}, false};

static void write_base(void) {
    struct model m = model_of(&blocks);
    ok(model_save(&m, base_path, "blzt5", NULL, &e));
    close_model(&m);
}

/* b: standard deviation of B. */
static struct model lora_of(bool merge, enum dtype weights, double b) {
    struct model m;
    const struct train_opts t = {.init = base_path, .seed = 3};
    const struct train_setup s = {.weights = weights,
                                  .lora = {.rank = 4,
                                           .alpha = 8,
                                           .norms = true,
                                           .merge = merge,
                                           .targets = "q,k,v,o,gate,up,down",
                                           .init = "peft"}};
    struct train_files files = {.verify = true};
    ok(train_model_create(&m, &t, &files, 0, &e));
    ok(train_model_shape(&m, &s, NULL, 0, &e));
    ok(train_model_load(&m, &s, &t, &files, base_path, &e));
    train_files_close(&files);
    struct rng r = rng_make(5, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < m.n_params; i++) {
        float *w = m.params[i].data;
        for (int64_t k = 0; strstr(m.params[i].name, "lora_B") && k < param_count(m.params + i);
             k++)
            w[k] = (float)(b * rng_normal(&r));
    }
    return m;
}

static void test_lora(void **state) {
    (void)state;
    static const enum dtype types[] = {DT_F32, DT_BF16, DT_Q8_0};
    for (int i = 0; i < 6; i++) {
        char name[64];
        const bool merge = i >= 3;
        struct model m = lora_of(merge, types[i % 3], 0.1);
        struct tokens t = tokens_of(&m, B * T, 6);
        struct rows rows = {&t, 0, B};
        const struct audit_opts o = opts_of(&rows);
        struct audit a;
        snprintf(name, sizeof name, "%s, %s", merge ? "merge" : "split",
                 dtype_row(types[i % 3])->name);
        audit_model(&a, &m, &o);
        must_agree(name, &a);
        assert_int_equal(a.n_groups, 4); /* norms, A, B, all: nothing frozen */
        assert_true(find_group(&a, "LoRA A")->norm > 0);
        assert_true(find_group(&a, "LoRA B")->norm > 0);
        audit_close(&a);
        tokens_free(&t);
        close_model(&m);
    }
}

/* New adapters: A has no gradient, and probes of A alone change nothing. */
static void test_new_lora(void **state) {
    (void)state;
    for (int merge = 0; merge < 2; merge++) {
        struct model m = lora_of(merge, DT_F32, 0);
        struct tokens t = tokens_of(&m, B * T, 6);
        struct rows rows = {&t, 0, B};
        const struct audit_opts o = opts_of(&rows);
        struct audit a;
        audit_model(&a, &m, &o);
        must_agree("new LoRA", &a);
        const struct audit_group *g = find_group(&a, "LoRA A");
        assert_true(g->norm == 0 && isnan(g->square.found));
        for (int64_t s = 0; s < o.seeds; s++) assert_true(g->coef[s] == 0 && g->slope[s] == 0);
        /* A gradient of nothing where losses do move: it is noticed without a norm to compare. */
        for (int i = 0; i < m.n_params; i++)
            if (m.params[i].grad && strstr(m.params[i].name, "lora_B"))
                memset(m.params[i].grad, 0,
                       (size_t)param_count(m.params + i) * sizeof *m.params[i].grad);
        ok(audit_run(&a, &e));
        assert_int_equal(find_group(&a, "LoRA B")->verdict, AUDIT_DERIVATIVE);
        audit_close(&a);
        tokens_free(&t);
        close_model(&m);
    }
}

/* ---- settings ------------------------------------------------------------------------------- */

/* Probes in bf16 agree with the gradient in f32 as far as bf16 goes; a coarse eps is called so. */
static void test_coarse(void **state) {
    (void)state;
    struct machine bf16 = machine_of("auto", DT_BF16);
    struct model m = model_of(&variants[8]);
    struct tokens t = tokens_of(&m, B * T, 11);
    struct rows rows = {&t, 0, B};
    struct audit_opts o = opts_of(&rows);
    struct audit a;
    o.machine = &bf16;
    o.eps = 1e-2;
    audit_model(&a, &m, &o);
    for (int k = 0; k < a.n_groups; k++) assert_false(audit_differs(a.group[k].verdict));
    assert_true(find_group(&a, "norms")->derivative.found > 1e-4);
    audit_close(&a);
    o.machine = &f32;
    o.eps = 0.05;
    audit_model(&a, &m, &o);
    assert_int_equal(find_group(&a, "all together")->verdict, AUDIT_COARSE);
    audit_close(&a);
    tokens_free(&t);
    close_model(&m);
}

/* |g|^2 of all weights for rows [first, first + n) of the batch. */
static double gradient2(struct model *m, const struct audit_opts *of, int64_t first, int64_t n) {
    struct audit a;
    struct audit_opts o = *of;
    struct rows rows = *(struct rows *)of->data.ctx;
    rows.first = first;
    o.batch = rows.n = n;
    o.data.ctx = &rows;
    audit_model(&a, m, &o);
    const double norm = find_group(&a, "all together")->norm;
    audit_close(&a);
    return norm * norm;
}

/* The advice: an eps whose coefficients are the derivatives, and the figures that a rate follows
 * from, against backpropagation one example at a time. */
static void test_advice(void **state) {
    (void)state;
    enum { N = 256 };
    struct model m = model_of(&variants[0]);
    struct tokens t = tokens_of(&m, B * T, 12);
    struct rows rows = {&t, 0, B};
    struct audit_opts o = opts_of(&rows);
    struct audit a;
    struct audit_advice v;
    double example = 0, all = gradient2(&m, &o, 0, B);
    for (int b = 0; b < B; b++) example += gradient2(&m, &o, b, 1) / B;
    o.seeds = N;
    ok(audit_open(&a, &m, &o, &e));
    ok(audit_gradient(&a, &e));
    ok(audit_advise(&a, true, &v, &e));
    assert_int_equal(v.n, AUDIT_EPS);
    int at = 0;
    for (int i = 0; i < v.n; i++) {
        if (v.eps[i] == a.opts.eps) at = i;
        assert_true(v.error[i] >= 0 && (i == 0 || v.eps[i] > v.eps[i - 1]));
    }
    assert_true(v.error[at] <= 0.01 && at < v.n - 1);
    for (int i = at + 1; i < v.n; i++) assert_true(v.error[i] > 0.01);
    /* Means of squares of N draws: the deviation is about sqrt(2/N) of them. */
    const double tolerance = 5 * sqrt(2.0 / N), pairs = (all * B - example) / (B - 1);
    assert_true(fabs(v.measure.example2 / example - 1) < tolerance);
    assert_true(fabs(v.measure.grad2 - pairs) < tolerance * example);
    assert_true(v.measure.directions == N && isfinite(v.measure.curvature));
    /* An eps that was given stays. */
    a.opts.eps = 0.02;
    ok(audit_advise(&a, false, &v, &e));
    assert_true(v.n == 0 && a.opts.eps == 0.02);
    audit_close(&a);
    tokens_free(&t);
    close_model(&m);
}

/* The plan covers what is reserved; recomputation changes nothing; nothing trainable is refused. */
static void test_plan(void **state) {
    (void)state;
    struct model m = model_of(&variants[8]);
    struct tokens t = tokens_of(&m, B * T, 12);
    struct rows rows = {&t, 0, B};
    struct audit_opts o = opts_of(&rows);
    struct engine_memory mem, less;
    struct audit a;
    ok(audit_plan(&m, &o, &mem, &e));
    assert_true(mem.total == mem.weights + mem.gradients + mem.passing);
    assert_true(mem.gradients >= (size_t)model_param_count(&m) * sizeof(float));
    audit_model(&a, &m, &o);
    assert_true(a.mem.size < mem.passing && a.grads.size <= mem.gradients);
    const double norm = find_group(&a, "all together")->norm;
    audit_close(&a);
    for (int i = 0; i < m.n_params; i++) assert_null(m.params[i].grad);
    o.recompute = true;
    audit_model(&a, &m, &o);
    assert_true(norm == find_group(&a, "all together")->norm);
    audit_close(&a);
    o.batch *= 1000;
    ok(audit_plan(&m, &o, &less, &e));
    o.recompute = false;
    ok(audit_plan(&m, &o, &mem, &e));
    assert_true(less.passing <= mem.passing);
    o.batch = (int64_t)1 << 40;
    assert_int_equal(audit_plan(&m, &o, &mem, &e), ERR_INPUT);
    model_freeze(&m);
    o.batch = B;
    assert_int_equal(audit_open(&a, &m, &o, &e), ERR_USAGE);
    tokens_free(&t);
    close_model(&m);
}

/* An infinite weight of a token that is not in the batch makes its logit -infinity or infinity: the
 * loss is a number in the one case, the gradient in neither. */
static void infinite_weight(void **state) {
    int loss = 0, gradient = 0;
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        struct model m = model_of(variants);
        struct tokens t = tokens_of(&m, 2, 6);
        struct rows rows = {&t, 0, B};
        struct audit_opts o = opts_of(&rows);
        struct audit a;
        uint32_t id = 0;
        char want[96];
        o.batch = o.seq = rows.n = 1;
        while (id == t.input[0] || id == t.target[0]) id++;
        float *embed = find_param(&m, "embed_tokens")->data;
        embed[(int64_t)id * m.config.dim] = (float)sign * INFINITY;
        ok(audit_open(&a, &m, &o, &e));
        assert_int_equal(audit_gradient(&a, &e), ERR_NUMERIC);
        snprintf(want, sizeof want, "tensor model.embed_tokens.weight holds %sinfinity at [%u,0]",
                 sign < 0 ? "-" : "", id);
        if (!strstr(e.msg, want)) fail_msg("no \"%s\" in \"%s\"", want, e.msg);
        loss += strstr(e.msg, "the loss is not a finite number") != NULL;
        gradient += strstr(e.msg, "the gradient is not a finite number") != NULL;
        audit_close(&a);
        tokens_free(&t);
        close_model(&m);
    }
    assert_true(loss == 1 && gradient == 1);
}

static void perturbed_overflow(void **state) {
    (void)state;
    struct model m = model_of(variants);
    struct tokens t = tokens_of(&m, B * T, 6);
    struct rows rows = {&t, 0, B};
    struct audit_opts o = opts_of(&rows);
    struct audit a;
    o.eps = 1e38;
    ok(audit_open(&a, &m, &o, &e));
    ok(audit_gradient(&a, &e));
    assert_int_equal(audit_run(&a, &e), ERR_NUMERIC);
    assert_non_null(strstr(e.msg, "the loss of perturbed weights is not a finite number"));
    audit_close(&a);
    tokens_free(&t);
    close_model(&m);
}

/* Stopped from outside in any of its parts, and gone on with; nothing is compared without a
 * gradient; rows are looked at. */
static void stopped(void **state) {
    (void)state;
    struct model m = model_of(variants);
    struct tokens t = tokens_of(&m, B * T, 6);
    struct rows rows = {&t, 0, B};
    struct audit_opts o = opts_of(&rows);
    struct audit_advice v;
    struct audit a;
    _Atomic int flag = RUN_STOP;
    o.cancel = &flag;
    ok(audit_open(&a, &m, &o, &e));
    assert_int_equal(audit_gradient(&a, &e), ERR_STOP);
    assert_int_equal(audit_run(&a, &e), ERR_USAGE);
    assert_int_equal(audit_advise(&a, true, &v, &e), ERR_USAGE);
    assert_string_equal(e.msg, "an audit begins with its gradient");
    flag = 0;
    ok(audit_gradient(&a, &e));
    flag = RUN_STOP;
    assert_int_equal(audit_run(&a, &e), ERR_STOP);
    assert_int_equal(audit_advise(&a, true, &v, &e), ERR_STOP);
    assert_int_equal(audit_advise(&a, false, &v, &e), ERR_STOP);
    assert_non_null(strstr(e.msg, "stopped while directions were tried"));
    flag = 0;
    ok(audit_advise(&a, false, &v, &e));
    ok(audit_run(&a, &e));
    must_agree("gone on with", &a);
    t.target[B * T - 1] = (uint32_t)m.config.vocab;
    assert_int_equal(audit_run(&a, &e), ERR_INPUT);
    assert_int_equal(audit_gradient(&a, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "is outside the model's vocabulary of"));
    audit_close(&a);
    for (int i = 0; i < m.n_params; i++) assert_null(m.params[i].grad);
    tokens_free(&t);
    close_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants),     cmocka_unit_test(test_figures),
        cmocka_unit_test(test_order),        cmocka_unit_test(test_lora),
        cmocka_unit_test(test_new_lora),     cmocka_unit_test(test_coarse),
        cmocka_unit_test(test_plan),         cmocka_unit_test(test_advice),
        cmocka_unit_test(infinite_weight),   cmocka_unit_test(perturbed_overflow),
        cmocka_unit_test(stopped),
    };
    const char *tmp = getenv("TMPDIR");
    snprintf(base_path, sizeof base_path, "%.40s/duet-audit-XXXXXX", tmp ? tmp : "/tmp");
    const int fd = mkstemp(base_path);
    if (fd < 0) return 1;
    close(fd);
    f32 = machine_of("auto", DT_F32);
    write_base();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove(base_path);
    return failed;
}
