/* Rivals in turns, and the shapes of `duet bench gemm`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bench_product.h"
#include "bench_remote.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void near(double a, double b) {
    if (!(fabs(a - b) <= 1e-12 * fabs(b))) fail_msg("%.17g is not %.17g", a, b);
}

/* A machine whose speed is another in every round, and a rival that takes `cost` on it. */
struct machine_of_moods {
    int64_t turns; /* so far, of all rivals */
    int rivals;
    char order[256];
};
struct worker {
    struct machine_of_moods *on;
    double cost;
    char name;
};

static int work(void *worker, struct turn *t, struct err *e) {
    (void)e;
    const struct worker *w = worker;
    struct machine_of_moods *m = w->on;
    const int64_t round = m->turns / m->rivals;
    m->order[m->turns++] = w->name;
    t->wall = w->cost * (1 + (double)(round * 5 % 7));
    t->cpu = 2 * w->cost;
    return 0;
}

static void drift_cancels(void **state) {
    (void)state;
    struct err e;
    struct machine_of_moods m = {.rivals = 3};
    struct worker w[] = {{&m, 1, 'a'}, {&m, 1.25, 'b'}, {&m, 0.8, 'c'}};
    const struct rival r[] = {{"a", work, w}, {"b", work, w + 1}, {"c", work, w + 2}};
    struct rounds rounds;
    enum { ROUNDS = 21 };
    assert_int_equal(rounds_take(&rounds, r, 3, ROUNDS, 7, NULL, NULL, &e), 0);
    assert_int_equal(rounds.n, ROUNDS);
    /* seconds differ sevenfold from round to round, quotients not at all */
    const struct stat_spread a = rounds_seconds(&rounds, 0, false);
    near(a.median, 4);
    near(a.low, 2); /* rank 6 of three times 1 to 7 */
    near(a.high, 6);
    const struct stat_spread b = rounds_ratio(&rounds, 1, 0, false);
    near(b.median, 0.8);
    near(b.low, 0.8);
    near(b.high, 0.8);
    near(rounds_ratio(&rounds, 2, 0, false).median, 1.25);
    assert_true(rounds_ratio(&rounds, 1, 1, false).median == 1);
    near(rounds_ratio(&rounds, 0, 1, true).median, 1.25);
    near(rounds_seconds(&rounds, 1, true).high, 2.5);
    assert_int_equal(rounds_best(&rounds, 7), 2);
    assert_int_equal(rounds_best(&rounds, 3), 0);
    assert_int_equal(rounds_best(&rounds, 0), -1);
    rounds_release(&rounds);

    /* every round has each once; the order changes, and is one of the seed */
    int orders = 0;
    for (int k = 0; k < ROUNDS; k++) {
        const char *o = m.order + 3 * k;
        for (int i = 0; i < 3; i++) assert_non_null(memchr(o, 'a' + i, 3));
        orders += memcmp(o, m.order, 3) != 0;
    }
    assert_true(orders > ROUNDS / 3);
    struct machine_of_moods again = {.rivals = 3};
    for (int i = 0; i < 3; i++) w[i].on = &again;
    assert_int_equal(rounds_take(&rounds, r, 3, ROUNDS, 7, NULL, NULL, &e), 0);
    assert_string_equal(again.order, m.order);
    rounds_release(&rounds);
}

static int fails(void *ctx, struct turn *t, struct err *e) {
    (void)ctx, (void)t;
    return err_set(e, ERR_IO, "gone");
}

static void failure(void **state) {
    (void)state;
    struct err e;
    struct machine_of_moods m = {.rivals = 2};
    struct worker w = {&m, 1, 'a'};
    const struct rival r[] = {{"a", work, &w}, {"b", fails, NULL}};
    struct rounds rounds;
    assert_int_equal(rounds_take(&rounds, r, 2, 3, 1, NULL, NULL, &e), ERR_IO);
    assert_string_equal(e.msg, "gone");
    assert_null(rounds.t);
}

static void moved(void **state) {
    (void)state;
    struct err e;
    struct drift d = {0};
    assert_true(drift_range(&d).moved == 0);
    const double x[] = {100, 50, 100, 100, 100, 90, 80, 80, 200, 100};
    for (size_t i = 0; i < 2; i++) assert_int_equal(drift_add(&d, x[i], &e), 0);
    near(drift_range(&d).low, 75); /* fewer than three: all of them */
    for (size_t i = 2; i < 10; i++) assert_int_equal(drift_add(&d, x[i], &e), 0);
    const struct drift_range r = drift_range(&d); /* 50 and 200 stand alone */
    near(r.low, 80);
    near(r.high, 100);
    near(r.moved, 0.25);
    drift_release(&d);
}

static void expect_shape(const char *word, enum product_form form, int64_t m, int64_t n,
                         int64_t k) {
    struct err e;
    struct shape_list l = {0};
    assert_int_equal(shape_list_add(&l, word, &e), 0);
    assert_int_equal(l.n, 1);
    assert_null(l.set[0]->name);
    assert_true(l.s[0].form == form && l.s[0].m == m && l.s[0].n == n && l.s[0].k == k);
    shape_list_release(&l);
}

static void shapes(void **state) {
    (void)state;
    struct err e;
    expect_shape("512x352x128", FORM_forward, 512, 352, 128);
    expect_shape("input-grad:1x2x3", FORM_input_grad, 1, 2, 3);
    expect_shape("weight-grad:16777216x1x7", FORM_weight_grad, 16777216, 1, 7);
    static const char *const bad[] = {
        "",           "x",          "1x2",    "1x2x",         "1x2x3x",
        "1x2x3 ",     "0x2x3",      "1x-2x3", "16777217x1x1", "+1x2x3",
        "forward",    "back:1x2x3", ":1x2x3", "forward:",     "99999999999999999999x1x1",
        "usual,demo",
    };
    struct shape_list l = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (shape_list_add(&l, bad[i], &e) != ERR_USAGE) fail_msg("%s is taken", bad[i]);
    assert_int_equal(l.n, 0);

    /* the demo's: 4 layers and a classifier in three passes; flops of the passes are equal */
    assert_int_equal(shape_list_add(&l, "demo", &e), 0);
    assert_int_equal(l.n, 15);
    for (size_t i = 0; i < l.n; i++) {
        near(shape_flops(l.s + i), shape_flops(l.s + i / 3 * 3));
        assert_int_equal(l.s[i].form, i % 3);
        assert_string_equal(l.set[i]->name, "demo");
    }
    assert_true(l.s[8].m == 352 && l.s[8].n == 128 && l.s[8].k == 512);
    shape_list_release(&l);

    static const char *const sets[] = {"usual", "demo", "w256", "w384", "large", "vocab"};
    size_t n = 0;
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(shape_list_add(&l, sets[i], &e), 0);
        assert_true(l.n > n);
        n = l.n;
    }
    int64_t most_words = 0;
    for (size_t i = 0; i < l.n; i++)
        if (l.s[i].form == FORM_forward && l.s[i].n > most_words) most_words = l.s[i].n;
    assert_int_equal(most_words, 131072);
    shape_list_release(&l);
    assert_int_equal(shape_list_add(&l, "all", &e), 0);
    assert_int_equal(l.n, n);
    shape_list_release(&l);
    assert_int_equal(shape_list_add(&l, "small", &e), 0);
    assert_int_equal(l.n, 75);
    shape_list_release(&l);
}

/* Every form multiplies what it says: 3 x 5 out of 4. */
static void products(void **state) {
    (void)state;
    struct err e;
    struct gemm g;
    struct cpu cpu;
    assert_true(cpu_choose(&cpu, NULL));
    assert_int_equal(gemm_init(&g, "native", DT_F32, &cpu, NULL, &e), 0);
    for (int form = 0; form < FORM_COUNT; form++) {
        const struct shape s = {(enum product_form)form, 3, 5, 4};
        struct product_data d;
        struct product p;
        struct turn t;
        assert_int_equal(product_data_open(&d, &s, &g, 1, &e), 0);
        product_init(&p, &g, &d);
        assert_true(p.times >= 1);
        assert_int_equal(product_turn(&p, &t, &e), 0);
        assert_true(t.wall > 0 && t.cpu > 0);
        const bool ta = form == FORM_weight_grad, tb = form != FORM_forward;
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 5; j++) {
                double sum = 0;
                for (int k = 0; k < 4; k++)
                    sum += (double)d.a[ta ? k * 3 + i : i * 4 + k] *
                           (double)d.b[tb ? k * 5 + j : j * 4 + k];
                near((double)d.c[i * 5 + j], sum);
            }
        product_data_close(&d);
    }
    const struct shape huge = {FORM_forward, 1 << 24, 1 << 24, 1 << 24};
    struct product_data d;
    assert_int_equal(product_data_open(&d, &huge, &g, 1, &e), ERR_NOMEM);
    product_data_close(&d);
}

/* The options of the one are given to the other, but for those of measuring. */
static void command_lines(void **state) {
    (void)state;
    static const char *const drop[] = {"against", "runs", NULL}, *const flags[] = {"json", NULL};
    const char *const argv[] = {"step",   "--model",   "a --json", "--json",   "--against",
                                "x",      "--no-json", "--set",    "k=--runs", "--runs=3",
                                "--run",  "--runsx",   "--runs",   "9",        "--against=y",
                                "--lora", "2"};
    static const char *const left[] = {"first",    "step",  "--model", "a --json", "--set",
                                       "k=--runs", "--run", "--runsx", "--lora",   "2"};
    struct words w = {0}, all = {0};
    words_add(&w, "first");
    for (size_t i = 0; i < sizeof argv / sizeof *argv; i++) words_add(&all, argv[i]);
    words_add_options(&w, all.n, all.word, drop, flags);
    assert_false(w.starved);
    assert_int_equal(w.n, sizeof left / sizeof *left);
    for (int i = 0; i < w.n; i++) assert_string_equal(w.word[i], left[i]);
    assert_null(w.word[w.n]);
    words_release(&all);
    words_release(&w);
    words_release(&w);
}

static void nobody(void **state) {
    (void)state;
    struct child c = {0};
    struct remote r = {0};
    child_close(&c); /* nothing of ours is closed: */
    remote_close(&r);
    assert_true(fcntl(0, F_GETFD) >= 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drift_cancels), cmocka_unit_test(failure),
        cmocka_unit_test(moved),         cmocka_unit_test(shapes),
        cmocka_unit_test(products),      cmocka_unit_test(command_lines),
        cmocka_unit_test(nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
