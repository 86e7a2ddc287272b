/* Logarithm, exponential and normal distribution of our own against libm and published values; and
 * the bits, which are the same on every machine. Eigenvalues. */
#include "err_fixture.h"

#include "canon.h"
#include "fun.h"
#include "jacobi.h"
#include "rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static double error(double found, double expected) {
    if (found == expected) return 0;
    return fabs(found - expected) / fabs(expected);
}

static void log_and_exp_are_libms(void **state) {
    (void)state;
    struct rng r = rng_make(1, RNG_TEST, 0, 0, 0);
    double worst_log = 0, worst_exp = 0;
    for (int i = 0; i < 20000; i++) {
        const double x = ldexp(1 + rng_double(&r), (int)rng_below(&r, 2000) - 1000);
        worst_log = fmax(worst_log, error(fun_log(x), log(x)));
        const double y = 1400 * rng_double(&r) - 700;
        worst_exp = fmax(worst_exp, error(fun_exp(y), exp(y)));
    }
    for (double x = 0.9; x < 1.1; x += 1e-4)
        worst_log = fmax(worst_log, error(fun_log(x), log(x)));
    assert_true(worst_log < 4e-15);
    assert_true(worst_exp < 4e-15);
    assert_true(fun_log(1) == 0 && fun_exp(0) == 1);
    assert_true(fun_log(0) == -INFINITY && fun_exp(-1e9) == 0 && fun_exp(1e9) == INFINITY);
    assert_true(error(fun_exp(-740), exp(-740)) < 0.05); /* subnormal */
}

static void cdf_is_erfc(void **state) {
    (void)state;
    for (double x = -37; x < 9; x += 0.0137)
        assert_true(error(fun_cdf(x), 0.5 * erfc(-x / sqrt(2))) < 2e-14 * fmax(1, fabs(x)));
    assert_true(fun_cdf(-INFINITY) == 0 && fun_cdf(INFINITY) == 1);
    /* Abramowitz & Stegun, tables 26.1 and 26.2: P(1) and Q(5) */
    assert_true(error(fun_cdf(1), 0.841344746068543) < 1e-14);
    assert_true(error(fun_cdf(-5), 2.86651571879194e-7) < 1e-14);
}

static void quantile_is_the_inverse(void **state) {
    (void)state;
    for (double p = 1e-300; p < 0.4; p *= 1.37) {
        assert_true(error(fun_cdf(fun_quantile(p)), p) < 1e-12);
        assert_true(p < 1e-10 || error(fun_quantile(1 - p), -fun_quantile(p)) < 1e-6);
    }
    assert_true(fabs(fun_quantile(0.5)) < 1e-15);
    assert_true(error(fun_quantile(0.975), 1.959963984540054) < 1e-14);
    assert_true(error(fun_quantile(0.001), -3.090232306167813) < 1e-14);
}

static void truncated_draws(void **state) {
    (void)state;
    /* within the ends, wherever the mean is, and by the inverse */
    for (double m = -30; m <= 30; m += 0.7)
        for (double u = 0; u < 1; u += 0.1) {
            const double x = fun_truncated(u, m, 0.5, 0, 1);
            assert_true(x >= 0 && x <= 1);
        }
    const double x = fun_truncated(0.3, 0.4, 0.2, 0, 1);
    const double below = fun_cdf((x - 0.4) / 0.2) - fun_cdf(-2), all = fun_cdf(3) - fun_cdf(-2);
    assert_true(error(below / all, 0.3) < 1e-12);
    assert_true(error(fun_log_mass(-1, 2), log(fun_cdf(2) - fun_cdf(-1))) < 1e-13);
    assert_true(error(fun_log_mass(1, 2), fun_log_mass(-2, -1)) < 1e-15);
    /* log of the upper tail at 50: -1254.8313... (-50^2/2 - ln 50 - ln sqrt(2 pi) - 1/50^2) */
    assert_true(error(fun_log_mass(50, INFINITY), -1250 - log(50) - 0.918938533204673 - 4e-4) <
                1e-9);
}

/* Recorded with gcc 12 on x86-64: of every value of a walk through all functions. */
static void bits_are_the_same_everywhere(void **state) {
    (void)state;
    double all[4000];
    struct rng r = rng_make(2, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < 1000; i++) {
        const double u = rng_double(&r), x = 20 * u - 10;
        all[4 * i] = fun_log(u + 1e-3);
        all[4 * i + 1] = fun_exp(x);
        all[4 * i + 2] = fun_cdf(x);
        all[4 * i + 3] = fun_quantile(u);
    }
    const uint64_t hash = XXH64(all, sizeof all, 0);
    if (hash != 0xcfedf7e4e753e339u) fail_msg("the bits are now %016llx", (unsigned long long)hash);
}

static void eigenvalues(void **state) {
    (void)state;
    enum { N = 12 };
    struct rng r = rng_make(3, RNG_TEST, 0, 0, 0);
    double a[N * N], was[N * N], value[N], vector[N * N];
    for (int i = 0; i < N; i++)
        for (int k = 0; k <= i; k++) a[i * N + k] = a[k * N + i] = rng_normal(&r);
    memcpy(was, a, sizeof was);
    jacobi(a, N, value, vector);
    for (int c = 0; c < N; c++)
        for (int i = 0; i < N; i++) {
            double product = 0, dot = 0;
            for (int k = 0; k < N; k++) {
                product += was[i * N + k] * vector[k * N + c];
                dot += vector[k * N + c] * vector[k * N + i];
            }
            assert_true(fabs(product - value[c] * vector[i * N + c]) < 1e-13);
            assert_true(fabs(dot - (i == c)) < 1e-14);
        }
    /* second differences: 2 - 2 cos(k pi / (n + 1)) */
    for (int i = 0; i < N * N; i++) a[i] = 0;
    for (int i = 0; i < N; i++) {
        a[i * N + i] = 2;
        if (i) a[i * N + i - 1] = a[(i - 1) * N + i] = -1;
    }
    jacobi(a, N, value, vector);
    for (int k = 1; k <= N; k++) {
        double nearest = 1;
        for (int i = 0; i < N; i++)
            nearest = fmin(nearest, fabs(value[i] - (2 - 2 * cos(k * acos(-1) / (N + 1)))));
        assert_true(nearest < 1e-14);
    }
    double one[1] = {4};
    jacobi(one, 1, value, vector);
    assert_true(value[0] == 4 && vector[0] == 1);
}

static void canonical_text(void **state) {
    (void)state;
    static const char *const same[] = {
        "{\"b\": [1, 2.0, 0.001], \"a\": {\"y\": null, \"x\": \"\\u00e9\"}, \"c\": -0.0}",
        "{\"a\":{\"x\":\"\xc3\xa9\",\"y\":null},\"b\":[1.0,2,1e-3],\"c\":0}",
    };
    char hash[2][17];
    for (int i = 0; i < 2; i++) {
        json_t *j = json_loads(same[i], 0, NULL);
        char *text = canon_text(j);
        assert_string_equal(text, "{\"a\":{\"x\":\"\xc3\xa9\",\"y\":null},\"b\":[1,2,0.001],"
                                  "\"c\":0}");
        assert_true(canon_hash(j, hash[i]));
        free(text);
        json_decref(j);
    }
    assert_string_equal(hash[0], hash[1]);
    json_t *empty = json_object();
    assert_true(canon_hash(empty, hash[0]));
    assert_true(strtoull(hash[0], NULL, 16) == XXH64("{}", 2, 0));
    json_decref(empty);
    char buf[32];
    assert_string_equal(canon_number(0.1, buf), "0.1");
    assert_string_equal(canon_number(1.0 / 3, buf), "0.3333333333333333");
    assert_string_equal(canon_number(1e300, buf), "1e+300");
    assert_string_equal(canon_number(123456789, buf), "123456789");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_and_exp_are_libms),        cmocka_unit_test(cdf_is_erfc),
        cmocka_unit_test(quantile_is_the_inverse),      cmocka_unit_test(truncated_draws),
        cmocka_unit_test(bits_are_the_same_everywhere), cmocka_unit_test(eigenvalues),
        cmocka_unit_test(canonical_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
