/* The e-value where there is nothing to find: mean at most 1 at every look and when stopped at
 * will, how often it ever reaches a level, and what worse candidates, unequal variances and heavy
 * tails do to that. Prints the table of docs/search.md; the number of paths as an argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include "gate_fixture.h"

static unsigned n_paths = 2000;

struct seen {
    double mean, error;    /* of e when stopped: at the first look at 20 or more, else the last */
    double at20, at300;    /* shares of paths that ever reach 20, 300, from two seeds on */
    double outside;        /* of confidence sequences of 95 %, truth outside at some look */
    /* Of the lesser of e and 50 after n seeds: mean, and mean of squares. */
    double each[SEEDS + 1], each2[SEEDS + 1];
};

static struct seen paths(const struct world *w, double gain, double pool_df) {
    struct seen seen = {0};
    double squares = 0;
    for (unsigned i = 0; i < n_paths; i++) {
        struct rng r = rng_make(11, RNG_TEST, i, 0, 0);
        struct pair p;
        double stopped = 0, most = 0;
        bool outside = false;
        pair_draw(&p, w, gain, &r);
        const double truth = -gain * sqrt(2 * (1 - w->rho));
        for (size_t n = 1; n <= SEEDS; n++) {
            const struct gate_runs a = {p.incumbent, SEEDS, 0}, b = {p.candidate, n, 0};
            const struct gate_contrast c = gate_contrast(&a, &b, &p.noise, pool_df);
            const double e = exp(gate_log_e(&c));
            seen.each[n] += fmin(e, 50) / n_paths;
            seen.each2[n] += fmin(e, 50) * fmin(e, 50) / n_paths;
            if (stopped < 20) stopped = e;
            if (n >= 2u + w->left_out) most = fmax(most, e);
            if (i < n_paths / 10) {
                double low, high;
                gate_interval(&c, 0.95, &low, &high);
                outside |= !(low <= truth && truth <= high);
            }
        }
        seen.mean += stopped / n_paths;
        squares += stopped * stopped / n_paths;
        seen.at20 += (most >= 20) / (double)n_paths;
        seen.at300 += (most >= 300) / (double)n_paths;
        seen.outside += outside / (double)(n_paths / 10);
    }
    seen.error = sqrt((squares - seen.mean * seen.mean) / n_paths);
    return seen;
}

static struct seen row(const char *what, const struct world *w, double gain, double pool_df) {
    const struct seen s = paths(w, gain, pool_df);
    printf("| %s | %.2f +- %.2f | %.4f | %.5f | %.3f |\n", what, s.mean, s.error, s.at20, s.at300,
        s.outside);
    return s;
}

/* What is promised of these paths. */
static void keeps_promise(const struct seen *s) {
    assert_true(s->mean <= 1 + 4 * s->error);
    assert_true(s->at20 <= 0.05 && s->at300 <= 1 / 300.0);
}

/* Exact, or to the safe side: all that gate.h promises. */
static void promised(void **state) {
    (void)state;
    const struct world usual = {.rho = 0.8, .sd = 1, .incumbent = 8, .others = 4};
    struct world w = usual;
    struct seen s;
    printf("| differences | mean of e, stopped | ever 20 | ever 300 | sequence misses |\n"
           "|---|---|---|---|---|\n");
    const struct {
        const char *what;
        double rho, sd, gain, pool_df;
        size_t incumbent, others;
        unsigned tails;
    } cases[] = {
        {"equal, pool of four others", 0.8, 1, 0, 4, 8, 4, 0},
        {"equal, pool is the noise floor", 0, 1, 0, 4, 8, 0, 0},
        {"equal, noise floor, seeds pair", 0.8, 1, 0, 4, 8, 0, 0},
        {"equal, noise floor of 5 seeds", 0, 1, 0, 4, 5, 0, 0},
        {"equal, noise floor of 2 seeds", 0, 1, 0, 4, 2, 0, 0},
        {"equal, no pool", 0.8, 1, 0, 0, 8, 4, 0},
        {"worse by 0.3", 0.8, 1, -0.3, 4, 8, 4, 0},
        {"worse by 1", 0.8, 1, -1, 4, 8, 4, 0},
        {"candidate's noise half", 0.8, 0.5, 0, 4, 8, 4, 0},
        {"candidate's noise threefold, no pool", 0.8, 3, 0, 0, 8, 4, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        w = usual;
        w.rho = cases[i].rho;
        w.sd = cases[i].sd;
        w.incumbent = cases[i].incumbent;
        w.others = cases[i].others;
        s = row(cases[i].what, &w, cases[i].gain, cases[i].pool_df);
        keeps_promise(&s);
        assert_true(s.outside <= 0.05 + 4 * sqrt(0.05 * 0.95 / (n_paths / 10)));
        for (size_t n = 1; n <= SEEDS; n++)
            assert_true(s.each[n] <= 1 + 4 * sqrt(s.each2[n] / n_paths));
    }
}

/* Beyond what is promised: bounded all the same. */
static void beyond(void **state) {
    (void)state;
    const struct world usual = {.rho = 0.8, .sd = 1, .incumbent = 8, .others = 4};
    struct world w = usual;
    w.tails = 5;
    struct seen s = row("t of 5, pool of four others", &w, 0, 4);
    assert_true(s.at20 <= 0.05 && s.at300 <= 1 / 300.0);
    w.tails = 3;
    s = row("t of 3, pool of four others", &w, 0, 4);
    assert_true(s.at20 <= 0.05 && s.at300 <= 1 / 300.0);
    w.tails = 0;
    w.sd = 2;
    s = row("candidate's noise twofold", &w, 0, 4);
    w.sd = 3;
    s = row("candidate's noise threefold", &w, 0, 4);
    s = row("the same, equal variances believed", &w, 0, HUGE_VAL);
}

/* The worst that proposals can do which follow the results at seed 1: the candidate's own result
 * there is the luckiest of many. As the first pair of its test that is beyond the theorem: the mean
 * is above 1, and both levels are reached oftener than promised, by how much is bounded here and
 * told in gate.h. Left out, as it is of what halving has chosen, it does no harm. */
static void chosen_at_first_seed(void **state) {
    (void)state;
    const unsigned many[] = {5, 20, 60};
    for (size_t i = 0; i < 2 * sizeof many / sizeof *many; i++) {
        const bool pool = i % 2;
        struct world w = {.rho = pool ? 0.8 : 0, .sd = 1, .best_of = many[i / 2],
            .incumbent = pool ? 8 : 5, .others = pool ? 4 : 0};
        char what[80];
        snprintf(what, sizeof what, "equal, best of %u at seed 1, %s", w.best_of,
            pool ? "pool of four others" : "noise floor of 5 seeds");
        struct seen s = row(what, &w, 0, 4);
        assert_true(s.mean <= 4);
        assert_true(s.at20 <= 0.1 && s.at300 <= 3 / 300.0);
        w.left_out = true;
        s = row("the same, seed 1 left out", &w, 0, 4);
        keeps_promise(&s);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(promised), cmocka_unit_test(beyond),
        cmocka_unit_test(chosen_at_first_seed)};
    if (argc > 1) n_paths = (unsigned)atoi(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
