/* Mean, standard error, median and its interval against values by hand; numbers in output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "num.h"
#include "rng.h"
#include "stat.h"

#include <math.h>
#include <stdlib.h>

static void near(double a, double b) {
    if (!(fabs(a - b) <= 1e-15 * fabs(b))) fail_msg("%.17g is not %.17g", a, b);
}

/* 2 4 4 4 5 5 7 9: mean 5, squared distances 9 1 1 1 0 0 4 16 = 32, variance 32/7. */
static void by_hand(void **state) {
    (void)state;
    const double x[] = {2, 4, 4, 4, 5, 5, 7, 9}, two[] = {1, 4}, same[] = {0.1, 0.1, 0.1};
    near(stat_mean(x, 8), 5);
    near(stat_stderr(x, 8), sqrt(32.0 / 7 / 8));
    near(stat_mean(two, 2), 2.5);
    near(stat_stderr(two, 2), 1.5); /* 2.25 + 2.25 = 4.5, / 1 / 2 */
    near(stat_mean(same, 3), 0.1);
    assert_true(stat_stderr(same, 3) == 0);
}

/* Close together and far from 0: what a sum of squares loses. */
static void large_values(void **state) {
    (void)state;
    const double x[] = {1e9 + 1, 1e9 + 2, 1e9 + 3}; /* variance 1 */
    near(stat_mean(x, 3), 1e9 + 2);
    near(stat_stderr(x, 3), sqrt(1.0 / 3));
}

static void too_few(void **state) {
    (void)state;
    double one[] = {3};
    assert_true(isnan(stat_mean(one, 0)) && isnan(stat_median(one, 0)));
    assert_true(isnan(stat_stderr(one, 0)) && isnan(stat_stderr(one, 1)));
    near(stat_mean(one, 1), 3);
    near(stat_median(one, 1), 3);
}

static void not_finite(void **state) {
    (void)state;
    const double x[] = {1, INFINITY}, y[] = {1, NAN, 2};
    assert_true(isinf(stat_mean(x, 2)) && isnan(stat_stderr(x, 2)));
    assert_true(isnan(stat_mean(y, 3)) && isnan(stat_stderr(y, 3)));
}

static void median(void **state) {
    (void)state;
    double odd[] = {9, -1, 4}, even[] = {8, 1, 2, 7}, ends[] = {INFINITY, 0, -INFINITY};
    near(stat_median(odd, 3), 4);
    near(odd[0], -1); /* sorted */
    near(odd[2], 9);
    near(stat_median(even, 4), 4.5);
    assert_true(stat_median(ends, 3) == 0);
}

/* Levels by exact sums of binomial coefficients over 2^n: of 9 values 1 - 2 (1 + 9) / 512. */
static void spread(void **state) {
    (void)state;
    static const struct {
        size_t n, low; /* rank from 0 */
        double level;
    } known[] = {
        {1, 0, 0},           {2, 0, 0.5},          {3, 0, 0.75},
        {5, 0, 0.9375},      {6, 0, 0.96875},      {8, 0, 0.9921875},
        {9, 1, 0.9609375},   {10, 1, 0.978515625}, {11, 1, 0.98828125},
        {12, 2, 0.96142578125}, {31, 9, 0.9705506265163422}, {100, 39, 0.9647997997822952},
        {1000, 468, 0.9537088026395019},
    };
    double x[1000];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const size_t n = known[i].n;
        for (size_t k = 0; k < n; k++) x[k] = (double)(n - 1 - k);
        const struct stat_spread s = stat_spread(x, n);
        near(s.median, (double)(n - 1) / 2);
        near(s.low, (double)known[i].low);
        near(s.high, (double)(n - 1 - known[i].low));
        if (fabs(stat_spread_level(n) - known[i].level) > 1e-12)
            fail_msg("level of %zu: %.17g", n, stat_spread_level(n));
    }
    const struct stat_spread none = stat_spread(x, 0);
    assert_true(isnan(none.median) && isnan(none.low) && isnan(none.high));
    assert_true(stat_spread_level(0) == 0);
}

/* The interval holds the median of what values are drawn from as often as it says: of 9 draws from
 * [0, 1), whose median is 1/2, in 96.09 % of 20,000 trials (standard error 0.14 %). */
static void spread_holds(void **state) {
    (void)state;
    struct rng r = rng_make(1, RNG_TEST, 0, 0, 0);
    int held = 0;
    enum { TRIALS = 20000 };
    for (int i = 0; i < TRIALS; i++) {
        double x[9];
        for (int k = 0; k < 9; k++) x[k] = rng_double(&r);
        const struct stat_spread s = stat_spread(x, 9);
        assert_true(s.low <= s.median && s.median <= s.high);
        held += s.low <= 0.5 && 0.5 <= s.high;
    }
    const double share = (double)held / TRIALS;
    if (fabs(share - 0.9609375) > 0.006) fail_msg("held in %.4f", share);
}

static void texts(void **state) {
    (void)state;
    char room[32];
    assert_string_equal(num_text(1.25, 4, room), "1.2500");
    assert_string_equal(num_text(NAN, 4, room), "unknown");
    assert_string_equal(num_text(-INFINITY, 1, room), "unknown");
    assert_string_equal(num_text(1e300, 6, room), "1.0000000000000001e+300");
    json_t *x = num_json(0.5), *none = num_json(NAN);
    assert_true(json_is_real(x) && json_is_null(none));
    json_decref(x);
    json_decref(none);
}

static void cleaned(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{\"a\":nan,\"b\":-nan,\"c\":inf,\"d\":-inf}",
         "{\"a\":null,\"b\":null,\"c\":null,\"d\":null}"},
        {"{\"nan\":\"inf \\\" nan\",\"info\":[1.5,-2e-3,nan]}",
         "{\"nan\":\"inf \\\" nan\",\"info\":[1.5,-2e-3,null]}"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *s = num_clean(cases[i][0]);
        assert_string_equal(s, cases[i][1]);
        free(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),    cmocka_unit_test(large_values), cmocka_unit_test(too_few),
        cmocka_unit_test(not_finite), cmocka_unit_test(median),       cmocka_unit_test(texts),
        cmocka_unit_test(cleaned),    cmocka_unit_test(spread),
        cmocka_unit_test(spread_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
