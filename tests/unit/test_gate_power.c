/* What a test of the gate costs and finds, beside two rules that are in use: a lower result at one
 * seed keeps, and a t-test of three seeds at 5 %. Prints the tables of docs/search.md; the number
 * of tests of each as an argument. Gains are in standard deviations of a paired difference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "student.h"

#include <stdbool.h>
#include <stdio.h>
#include "gate_fixture.h"

static unsigned n_paths = 150;

static const double gains[] = {0, 0.5, 1, 1.5, 2, 3, 5};
#define N_GAINS (sizeof gains / sizeof *gains)

struct found {
    double kept, seeds, seeds_kept; /* shares and means */
};

static struct found power(const struct world *w, double gain, double threshold) {
    const struct gate_plan plan = gate_plan();
    struct found f = {0};
    for (unsigned i = 0; i < n_paths; i++) {
        struct rng r = rng_make(1, RNG_TEST, i, 0, 0);
        struct pair p;
        pair_draw(&p, w, gain, &r);
        const struct gate_evidence v = pair_decide(&p, &plan, threshold, w->incumbent);
        f.seeds += v.contrast.candidate;
        if (v.verdict != GATE_KEEP) continue;
        f.kept++;
        f.seeds_kept += v.contrast.candidate;
    }
    f.seeds_kept = f.kept > 0 ? f.seeds_kept / f.kept : NAN;
    f.kept /= n_paths;
    f.seeds /= n_paths;
    return f;
}

/* Paired t-test of three seeds, one-sided. */
static double naive(const struct world *w, double gain, size_t n) {
    double kept = 0;
    const double least = n > 1 ? student_quantile(0.95, (double)n - 1) : 0;
    for (unsigned i = 0; i < n_paths; i++) {
        struct rng r = rng_make(1, RNG_TEST, i, 0, 0);
        double mean = 0, squares = 0;
        struct pair p;
        pair_draw(&p, w, gain, &r);
        for (size_t s = 0; s < n; s++) mean += (p.candidate[s] - p.incumbent[s]) / (double)n;
        for (size_t s = 0; s < n; s++)
            squares += pow(p.candidate[s] - p.incumbent[s] - mean, 2) / ((double)n - 1);
        kept += n > 1 ? -mean > least * sqrt(squares / (double)n) : mean < 0;
    }
    return kept / n_paths;
}

static void line(const char *what, int digits, const double *x) {
    printf("| %s |", what);
    for (size_t i = 0; i < N_GAINS; i++) {
        if (isnan(x[i])) printf(" |");
        else printf(" %.*f |", digits, x[i]);
    }
    printf("\n");
}

/* Of every gain into kept, seeds. */
static void table(const char *what, const struct world *w, double threshold, double *kept,
    double *seeds) {
    double seeds_kept[N_GAINS], one[N_GAINS], three[N_GAINS];
    for (size_t i = 0; i < N_GAINS; i++) {
        const struct found f = power(w, gains[i], threshold);
        kept[i] = f.kept;
        seeds[i] = f.seeds;
        seeds_kept[i] = f.seeds_kept;
        one[i] = naive(w, gains[i], 1);
        three[i] = naive(w, gains[i], 3);
    }
    printf("\n%s: e-value of %.0f\n\n", what, exp(threshold));
    line("gain", 1, gains);
    printf("|---|---|---|---|---|---|---|---|\n");
    line("kept", 3, kept);
    line("seeds a candidate", 1, seeds);
    line("seeds of those kept", 1, seeds_kept);
    line("kept by one seed", 3, one);
    line("kept by t of three", 3, three);
}

static void tables(void **state) {
    (void)state;
    struct gate_plan plan = gate_plan();
    const struct world usual = {.rho = 0.8, .sd = 1, .incumbent = 8, .others = 4};
    struct world w = usual;
    double kept[N_GAINS], seeds[N_GAINS];
    plan.trials = 60;
    const double late = gate_threshold(&plan, 30, 5);
    table("The first of 60 tests", &w, gate_threshold(&plan, 1, 0), kept, seeds);
    assert_true(kept[0] <= 0.01 && kept[5] > 0.8 && kept[6] > 0.98);
    table("A test after five keeps", &w, late, kept, seeds);
    assert_true(kept[0] <= 0.01 && kept[4] > 0.7 && kept[5] > 0.97);
    assert_true(seeds[0] < 2.5 && seeds[5] < 5.5 && seeds[6] < 4);
    for (size_t i = 1; i < N_GAINS; i++) assert_true(kept[i] >= kept[i - 1]);
    w.close = 0.97; /* sqrt(1 + 1 - 2 * 0.97) = 0.24 of sqrt(2) */
    table("The same, a pair more alike than the pool's (noise a sixth)", &w, late, kept, seeds);
    assert_true(kept[0] <= 0.01 && kept[2] > 0.95);
    w.close = 0;
    w.rho = 0;
    w.others = 0;
    table("The same, seeds do not pair, noise floor only", &w, late, kept, seeds);
    assert_true(kept[0] <= 0.01 && kept[5] > 0.95);
    w = usual;
    w.tails = 5;
    table("The same, t of 5", &w, late, kept, seeds);
    assert_true(kept[0] <= 0.01 && kept[5] > 0.9);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(tables)};
    if (argc > 1) n_paths = (unsigned)atoi(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
