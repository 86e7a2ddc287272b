/* The gate's parts against values by hand, and its e-value against likelihoods integrated by
 * steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "err.h"
#include "student.h"

#include <string.h>
#include "gate_fixture.h"

#define RUNS(...)                                                                                  \
    (struct gate_runs) {                                                                           \
        (const double[]){__VA_ARGS__}, sizeof(double[]){__VA_ARGS__} / sizeof(double), 0           \
    }

static void near(double a, double b, double relative) {
    if (!(fabs(a - b) <= relative * fabs(b))) fail_msg("%.17g is not %.17g", a, b);
}

/* a: mean 2, squares 2; b: mean 5, squares 8; c has one result. d = b - a: 1 3 5, squares 8. */
static void noise(void **state) {
    (void)state;
    const struct gate_runs runs[] = {RUNS(1, 2, 3), RUNS(2, NAN, 5, 8), RUNS(9),
        RUNS(2, 5, 8, INFINITY)};
    struct gate_noise n;
    gate_noise(runs, 1, 0, &n);
    near(n.sd, 1, 1e-15);
    assert_true(n.df == 2 && n.pair_df == 0 && isnan(n.pair_sd));
    /* chi-square of 2 is exponential: quantiles -2 log(1 - p) */
    near(n.low, sqrt(2 / (-2 * log(0.025))), 1e-12);
    near(n.high, sqrt(2 / (-2 * log(0.975))), 1e-12);
    gate_noise(runs + 2, 1, 0, &n);
    assert_true(isnan(n.sd) && isnan(n.low) && n.df == 0);
    gate_noise(runs, 4, 0, &n); /* pairs of b: 1 2 (one square of 0.5), of d: 1 3 5 */
    near(n.sd, sqrt((2 + 18 + 18) / 6.0), 1e-15);
    near(n.pair_sd, sqrt((0.5 + 8) / 3), 1e-15);
    assert_true(n.df == 6 && n.pair_df == 3);
}

/* Differences -1 -2 -3 -2: mean -2, squares 2. */
static void contrast(void **state) {
    (void)state;
    const struct gate_runs a = RUNS(10, 11, 12, 10, NAN), b = RUNS(9, 9, 9, 8, 7, NAN);
    const struct gate_noise none = {.sd = NAN, .pair_sd = NAN}, pool = {.sd = 0.5, .df = 7,
        .pair_sd = NAN}, pairs = {.sd = 0.5, .df = 7, .pair_sd = 0.3, .pair_df = 3};
    struct gate_contrast c = gate_contrast(&a, &b, &none, 4);
    near(c.diff, -2, 1e-15);
    near(c.squares, 2, 1e-15);
    near(c.x, -4 / sqrt(2 + 16.0), 1e-15);
    assert_true(c.candidate == 5 && c.incumbent == 4 && c.paired == 4 && c.df == 3);
    near(c.variance, 0.25, 1e-15);
    c = gate_contrast(&a, &b, &pool, 4); /* 4 of twice 0.25 */
    near(c.squares, 2 + 4 * 0.5, 1e-15);
    assert_true(c.df == 7);
    c = gate_contrast(&a, &b, &pairs, 4); /* 3 of 0.09, 1 of 0.5 */
    near(c.squares, 2 + 3 * 0.09 + 0.5, 1e-15);
    c = gate_contrast(&a, &b, &pairs, 2.5); /* the pairs fill it */
    near(c.squares, 2 + 2.5 * 0.09, 1e-15);
    assert_true(c.df == 5.5);
    c = gate_contrast(&a, &b, &pairs, 0);
    near(c.squares, 2, 1e-15);
    assert_true(c.df == 3);
    /* One seed and no pool: the sign. */
    const struct gate_runs one = RUNS(3), less = RUNS(2.5);
    c = gate_contrast(&one, &less, &none, 4);
    assert_true(c.x == -1 && c.df == 0);
    near(gate_log_e(&c), log(0.7 * erfc(-1.5 / sqrt(2)) + 0.3 * erfc(-4.5 / sqrt(2))), 1e-12);
    c = gate_contrast(&one, &one, &none, 4);
    assert_true(c.x == 0 && gate_log_e(&c) < 0);
    c = gate_contrast(&one, &RUNS(NAN), &pool, 4);
    assert_true(isnan(c.diff) && gate_log_e(&c) == 0);
}

/* No seed in common: means 10 and 8; v = (1/2 + 1/3) / 2; squares 4 of 0.5 and twice 2. */
static void unpaired(void **state) {
    (void)state;
    const struct gate_runs a = RUNS(9, 11), b = RUNS(NAN, NAN, 7, 8, 9);
    const struct gate_noise pool = {.sd = 0.5, .df = 7, .pair_sd = 0.01, .pair_df = 30};
    const struct gate_contrast c = gate_contrast(&a, &b, &pool, 4);
    near(c.diff, -2, 1e-15);
    near(c.variance, (0.5 + 1.0 / 3) / 2, 1e-15);
    near(c.squares, 4 * 0.5 + 4, 1e-15);
    assert_true(c.df == 6 && c.paired == 0);
    /* x is that of the two-sample t with the pooled variance: t = diff / (s sqrt(1/2 + 1/3)) */
    const double s2 = (4 * 0.25 + 2) / 6, t = -2 / sqrt(s2 * (0.5 + 1.0 / 3));
    near(c.x, t / sqrt(6 + t * t), 1e-14);
}

/* Likelihood of differences and of a pool's squares, sigma integrated over d sigma / sigma. */
static double integrated(const double *d, size_t n, double squares, double df, double gain) {
    double sum = 0;
    for (double u = -12; u < 34; u += 0.002) { /* sigma = exp(u) */
        const double sigma = exp(u);
        double log_l = -(double)n * u - df * u - squares / (2 * sigma * sigma);
        for (size_t i = 0; i < n; i++) log_l -= pow(d[i] / sigma + gain, 2) / 2;
        sum += exp(log_l);
    }
    return sum;
}

static void likelihoods(void **state) {
    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        struct rng r = rng_make(5, RNG_TEST, i, 0, 0);
        const size_t n = 1 + i % 8, df = i % 5;
        double a[8], b[8], d[8];
        const double mean = rng_double(&r) * 3 - 1, unit = exp(rng_normal(&r));
        for (size_t s = 0; s < n; s++) {
            a[s] = 3 + unit * rng_normal(&r);
            b[s] = a[s] - unit * (mean + rng_normal(&r));
            d[s] = b[s] - a[s];
        }
        const double sd = unit * (0.5 + rng_double(&r));
        const struct gate_noise noise = {.sd = NAN, .df = (double)df, .pair_sd = sd,
            .pair_df = (double)df};
        const struct gate_noise pool = df ? (struct gate_noise){.sd = sd, .df = (double)df,
            .pair_sd = sd, .pair_df = (double)df} : noise;
        const struct gate_runs ra = {a, n, 0}, rb = {b, n, 0};
        const struct gate_contrast c = gate_contrast(&ra, &rb, &pool, HUGE_VAL);
        const double squares = df ? sd * sd * (double)df : 0;
        const double equal = integrated(d, n, squares, (double)df, 0);
        const double better = 0.6 * integrated(d, n, squares, (double)df, 1.5)
            + 0.15 * integrated(d, n, squares, (double)df, 4.5);
        const double alone = 0.1 * integrated(d, n, 0, 0, 1.5) + 0.15 * integrated(d, n, 0, 0, 4.5);
        near(exp(gate_log_e(&c)), better / equal + alone / integrated(d, n, 0, 0, 0), 1e-9);
    }
}

/* Neither a shift of all results nor their unit matters. */
static void invariant(void **state) {
    (void)state;
    const double a[] = {1, 2, 4}, b[] = {0.5, 1.75, 2};
    double a2[3], b2[3];
    for (int i = 0; i < 3; i++) {
        a2[i] = 4096 + 8 * a[i];
        b2[i] = 4096 + 8 * b[i];
    }
    const struct gate_runs ra = {a, 3, 0}, rb = {b, 3, 0}, ra2 = {a2, 3, 0}, rb2 = {b2, 3, 0};
    const struct gate_noise n = {.sd = 0.25, .df = 3, .pair_sd = NAN}, n2 = {.sd = 2, .df = 3,
        .pair_sd = NAN};
    const struct gate_plan plan = gate_plan();
    const struct gate_evidence v = gate_look(&plan, 5, &ra, &rb, &n);
    const struct gate_evidence w = gate_look(&plan, 5, &ra2, &rb2, &n2);
    assert_true(v.log_e == w.log_e && v.chance == w.chance && v.verdict == w.verdict);
}

/* 1 / (0.05 * 0.8 / 60) = 1500, a sixth after five keeps; the shares add up to 1. */
static void thresholds(void **state) {
    (void)state;
    struct gate_plan p = gate_plan();
    double sum = 0;
    p.trials = 60;
    near(exp(gate_threshold(&p, 1, 0)), 1500, 1e-12);
    near(exp(gate_threshold(&p, 60, 5)), 250, 1e-12);
    near(exp(gate_threshold(&p, 61, 5)), 1250, 1e-12);
    near(exp(gate_threshold(&p, 121, 0)), 1500 * 25, 1e-12);
    for (unsigned t = 1; t <= 60 * 20; t++) sum += exp(-gate_threshold(&p, t, 0)) / 0.05;
    near(sum, 1, 1e-12);
}

/* At the ends of the interval the two-sided e-value is 1 / (1 - confidence). */
static void intervals(void **state) {
    (void)state;
    const double a[] = {3, 3.5, 2.75, 4, 3}, b[] = {2.5, 3.25, 2, 3.5, 2};
    const struct gate_runs ra = {a, 5, 0}, rb = {b, 5, 0};
    const struct gate_noise none = {.sd = NAN, .pair_sd = NAN};
    const struct gate_contrast c = gate_contrast(&ra, &rb, &none, 4);
    double low, high;
    gate_interval(&c, 0.9, &low, &high);
    near((low + high) / 2, c.diff, 1e-9);
    double shifted[5], e[2];
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < 5; i++) shifted[i] = b[i] - low;
        for (int i = 0; i < 5 && side; i++) shifted[i] = a[i] - (shifted[i] - a[i]);
        const struct gate_runs rs = {shifted, 5, 0};
        const struct gate_contrast s = gate_contrast(&ra, &rs, &none, 4);
        e[side] = exp(gate_log_e(&s));
    }
    near((e[0] + e[1]) / 2, 10, 1e-6);
    /* Student: differences -0.5 -0.25 -0.75 -0.5 -1, mean -0.6, squares 0.325, t(0.975; 4). */
    gate_interval_fixed(&c, 0.95, &low, &high);
    near(high, -0.6 + 2.7764451051978 * sqrt(0.325 / 4 / 5), 1e-10);
    near(low, -0.6 - 2.7764451051978 * sqrt(0.325 / 4 / 5), 1e-10);
    const struct gate_runs one = RUNS(3);
    const struct gate_contrast few = gate_contrast(&ra, &one, &none, 4);
    gate_interval(&few, 0.95, &low, &high);
    assert_true(low == -HUGE_VAL && high == HUGE_VAL);
    gate_interval_fixed(&few, 0.95, &low, &high);
    assert_true(low == -HUGE_VAL && high == HUGE_VAL);
}

static void verdict(const struct gate_plan *p, double threshold, struct gate_runs b,
    const struct gate_noise *noise, enum gate_verdict v, enum gate_reason r) {
    const struct gate_runs a = RUNS(3, 3.1, 2.9, 3.05);
    const struct gate_evidence e = gate_look(p, threshold, &a, &b, noise);
    if (e.verdict != v || e.reason != r)
        fail_msg("%s, %s (e %g, chance %g)", gate_verdict_word(e.verdict),
            gate_reason_word(e.reason), exp(e.log_e), e.chance);
}

static void verdicts(void **state) {
    (void)state;
    struct gate_plan p = gate_plan();
    const struct gate_noise n = {.sd = 0.1, .df = 4, .pair_sd = NAN}, none = {.sd = NAN};
    const double usual = log(250);
    p.max_seeds = 4;
    verdict(&p, usual, RUNS(2.6), &n, GATE_MORE, GATE_UNDECIDED);
    verdict(&p, usual, RUNS(3.2), &n, GATE_DISCARD, GATE_HOPELESS);
    verdict(&p, usual, RUNS(1, 1.1), &n, GATE_KEEP, GATE_PROVEN);
    verdict(&p, log(20), RUNS(1), &n, GATE_MORE, GATE_TOO_FEW);
    verdict(&p, usual, RUNS(2.7, 2.9, 2.8, 2.9), &n, GATE_DISCARD, GATE_SPENT);
    verdict(&p, usual, RUNS(NAN), &n, GATE_MORE, GATE_UNDECIDED);
    verdict(&p, log(20), RUNS(3.2), &none, GATE_MORE, GATE_UNDECIDED);
    /* Four seeds alone prove 316 at most: E is finite even where all differences are the same. */
    verdict(&p, log(320), RUNS(1), &none, GATE_DISCARD, GATE_HOPELESS);
    verdict(&p, log(310), RUNS(1), &none, GATE_MORE, GATE_UNDECIDED);
    p.give_up = 0;
    verdict(&p, log(320), RUNS(1), &none, GATE_DISCARD, GATE_HOPELESS);
    verdict(&p, usual, RUNS(3.2), &n, GATE_MORE, GATE_UNDECIDED);
    struct gate_runs failed = RUNS(1, 1.1);
    failed.failed = 1;
    verdict(&p, usual, failed, &n, GATE_DISCARD, GATE_FAILED);
    p.min_seeds = 1;
    verdict(&p, log(20), RUNS(1), &n, GATE_KEEP, GATE_PROVEN);
}

/* A metric without noise. */
static void noiseless(void **state) {
    (void)state;
    const struct gate_plan p = gate_plan();
    const struct gate_runs a = RUNS(3, 3, 3, 3, 3, 3, 3, 3), same = RUNS(3, 3);
    const struct gate_runs better = RUNS(2, 2, 2, 2, 2, 2, 2, 2);
    struct gate_noise n;
    gate_noise(&a, 1, 0, &n);
    assert_true(n.sd == 0 && n.low == 0 && n.high == 0);
    assert_int_equal(gate_look(&p, log(250), &a, &better, &n).verdict, GATE_KEEP);
    assert_int_equal(gate_look(&p, log(250), &a, &same, &n).reason, GATE_HOPELESS);
}

/* Nothing that a metric may print makes a keep of no evidence. */
static void hostile(void **state) {
    (void)state;
    const struct gate_plan p = gate_plan();
    const struct gate_runs a = RUNS(1e308, 1, 1e308, -1e308), none = {NULL, 0, 0};
    const struct gate_runs b[] = {RUNS(-1e308, 1, -1e308, 1e308), RUNS(-HUGE_VAL, NAN), none,
        RUNS(1e-320, 1e-320, 0, 0)};
    struct gate_noise n;
    for (size_t i = 0; i < sizeof b / sizeof *b; i++) {
        const struct gate_runs all[] = {a, b[i]};
        double low, high;
        gate_noise(all, 1, 0, &n);
        const struct gate_evidence v = gate_look(&p, log(250), &a, &b[i], &n);
        assert_true(v.verdict != GATE_KEEP && !isnan(v.log_e) && !isnan(v.chance));
        gate_interval(&v.contrast, 0.95, &low, &high);
        gate_noise(all, 2, 0, &n);
        assert_true(gate_look(&p, log(250), &b[i], &a, &n).verdict != GATE_KEEP);
    }
}

/* The chance after one seed beside draws of sigma and tau, given it, and of the seeds to come. */
static void chances(void **state) {
    (void)state;
    struct gate_plan p = gate_plan();
    const struct gate_noise n = {.sd = 0.5, .df = 6, .pair_sd = NAN};
    p.pool_df = HUGE_VAL;
    p.give_up = 0;
    for (int k = 0; k < 6; k++) {
        const double a[8] = {0};
        double b[8] = {-0.4 * k}, reached = 0;
        const struct gate_runs ra = {a, 8, 0}, first = {b, 1, 0}, all = {b, 8, 0};
        const struct gate_evidence e = gate_look(&p, log(60), &ra, &first, &n);
        for (unsigned i = 0; i < 2000; i++) {
            struct rng r = rng_make(2, RNG_TEST, i, 0, 0);
            double chi2 = 0;
            for (int j = 0; j < 6; j++) chi2 += pow(rng_normal(&r), 2);
            const double sigma = sqrt(6 * 0.5 / chi2), tau = b[0] + sigma * rng_normal(&r);
            for (int s = 1; s < 8; s++) b[s] = tau + sigma * rng_normal(&r);
            const struct gate_contrast c = gate_contrast(&ra, &all, &n, p.pool_df);
            reached += gate_log_e(&c) >= log(60);
        }
        if (fabs(reached / 2000 - e.chance) > 0.06)
            fail_msg("first %g: chance %g, reached %g", b[0], e.chance, reached / 2000);
    }
}

static void plans(void **state) {
    (void)state;
    struct err e;
    const struct gate_plan good = gate_plan();
    assert_int_equal(gate_plan_check(&good, &e), 0);
    const struct {
        struct gate_plan p;
        const char *says;
    } bad[] = {{{1, 10, 2, 8, 0.1, 4}, "confidence 1: must lie between 0 and 1"},
        {{NAN, 10, 2, 8, 0.1, 4}, "confidence nan: must lie between 0 and 1"},
        {{0.9, 0, 2, 8, 0.1, 4}, "trials 0: must be at least 1"},
        {{0.9, 10, 0, 8, 0.1, 4}, "seeds 0 to 8: must be at least 1, and rising"},
        {{0.9, 10, 4, 3, 0.1, 4}, "seeds 4 to 3: must be at least 1, and rising"},
        {{0.9, 10, 2, 8, 1, 4}, "give_up 1: must be at least 0 and below 1"},
        {{0.9, 10, 2, 8, 0.1, -1}, "pool_df -1: must be at least 0"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(gate_plan_check(&bad[i].p, &e), ERR_USAGE);
        assert_string_equal(e.msg, bad[i].says);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(noise), cmocka_unit_test(contrast),
        cmocka_unit_test(unpaired), cmocka_unit_test(likelihoods), cmocka_unit_test(invariant),
        cmocka_unit_test(thresholds), cmocka_unit_test(intervals), cmocka_unit_test(verdicts),
        cmocka_unit_test(noiseless), cmocka_unit_test(hostile),
        cmocka_unit_test(chances), cmocka_unit_test(plans)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
