/* Student's t, chi-square and F against published tables; the ratio of t's against known cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "student.h"

#include <math.h>

static void near(double a, double b, double relative) {
    if (!(fabs(a - b) <= relative * fabs(b))) fail_msg("%.17g is not %.17g", a, b);
}

/* Closed forms: df 1 is Cauchy's, df 2 is t / sqrt(2 + t^2). */
static void t_closed(void **state) {
    (void)state;
    for (double t = -30; t <= 30; t += 0.37) {
        const double cauchy = t < 0 ? atan(-1 / t) / M_PI : 0.5 + atan(t) / M_PI;
        near(student_below(t, 1), cauchy, 1e-13);
        near(student_below(t, 2), t < 0 ? 1 / (2 + t * t - t * sqrt(2 + t * t))
                                        : 0.5 + t / sqrt(2 + t * t) / 2, 1e-13);
    }
    assert_true(student_below(-HUGE_VAL, 3) == 0 && student_below(HUGE_VAL, 3) == 1);
}

/* Tables: Abramowitz & Stegun, Handbook of Mathematical Functions, 26.8 (chi-square), 26.9 (F),
 * 26.10 (t; here with more digits). */
static void tables(void **state) {
    (void)state;
    static const struct {
        double p, df, t;
    } t[] = {{0.975, 1, 12.7062047362}, {0.975, 2, 4.30265272975}, {0.95, 4, 2.13184678633},
        {0.975, 7, 2.36462425159}, {0.995, 10, 3.16927267261}, {0.9995, 30, 3.64595863504}};
    static const struct {
        double p, df, x;
    } chi2[] = {{0.025, 1, 0.000982069}, {0.975, 1, 5.02388619}, {0.025, 7, 1.68986918},
        {0.975, 7, 16.0127643}, {0.5, 10, 9.34181777}, {0.975, 100, 129.561197}};
    static const struct {
        double p, df1, df2, f;
    } f[] = {{0.95, 1, 1, 161.447639}, {0.95, 7, 14, 2.76419926}, {0.95, 4, 36, 2.63353209},
        {0.99, 3, 6, 9.77953824}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        near(student_quantile(t[i].p, t[i].df), t[i].t, 1e-10);
        near(student_quantile(1 - t[i].p, t[i].df), -t[i].t, 1e-8);
        near(student_below(t[i].t, t[i].df), t[i].p, 1e-11);
    }
    for (size_t i = 0; i < sizeof chi2 / sizeof *chi2; i++)
        near(student_chi2_quantile(chi2[i].p, chi2[i].df), chi2[i].x, 1e-6);
    for (size_t i = 0; i < sizeof f / sizeof *f; i++)
        near(student_f_quantile(f[i].p, f[i].df1, f[i].df2), f[i].f, 1e-8);
    near(student_quantile(0.5, 5) + 1, 1, 0);
}

/* Poisson's and binomial sums. */
static void sums(void **state) {
    (void)state;
    for (double x = 0.1; x < 40; x *= 1.7) {
        double poisson = 0, term = exp(-x);
        for (int k = 0; k < 5; k++) {
            poisson += term;
            term *= x / (k + 1);
        }
        near(student_gamma(5, x), 1 - poisson, 1e-9);
        near(student_gamma(0.5, x), erf(sqrt(x)), 1e-13);
    }
    for (double x = 0.05; x < 1; x += 0.1) { /* I_x(3, 4): at least 3 of 6 */
        const double y = 1 - x;
        near(student_beta(x, 3, 4), 20 * pow(x, 3) * pow(y, 3) + 15 * pow(x, 4) * y * y
            + 6 * pow(x, 5) * y + pow(x, 6), 1e-13);
    }
}

/* df 0: 2 Phi(shift x). df 1: 1 + sqrt(2 pi) a Phi(a) exp(a^2/2), times exp(-shift^2/2), of
 * a = shift x. shift 0: nothing. */
static void ratio_closed(void **state) {
    (void)state;
    for (double shift = -6; shift <= 6; shift += 0.75)
        for (double x = -1; x <= 1; x += 0.25) {
            const double a = shift * x, phi = erfc(-a / sqrt(2)) / 2;
            const double one = exp(-shift * shift / 2)
                + sqrt(2 * M_PI) * a * phi * exp((a * a - shift * shift) / 2);
            if (fabs(x) == 1) near(exp(student_log_ratio(x, 0, shift)), 2 * phi, 1e-12);
            near(exp(student_log_ratio(x, 1, shift)), one, a < -3 ? 1e-10 : 1e-12);
            assert_true(fabs(student_log_ratio(x, 4.5, 0)) < 1e-13);
        }
}

/* A density divided by another has mean 1 under the latter: with x = sin(angle) the central
 * density is cos(angle)^(df - 1). And it rises with x. */
static void ratio_mean(void **state) {
    (void)state;
    static const double dfs[] = {1, 2.5, 6, 13, 60}, shifts[] = {0.5, 2, 5.5, 9};
    const int steps = 4000;
    for (size_t i = 0; i < sizeof dfs / sizeof *dfs; i++)
        for (size_t j = 0; j < sizeof shifts / sizeof *shifts; j++) {
            double with = 0, without = 0, before = -HUGE_VAL;
            for (int k = 0; k < steps; k++) {
                const double x = sin((k + 0.5) / steps * M_PI - M_PI / 2);
                const double weight = pow(1 - x * x, (dfs[i] - 1) / 2);
                const double ratio = student_log_ratio(x, dfs[i], shifts[j]);
                assert_true(ratio > before);
                before = ratio;
                with += weight * exp(ratio);
                without += weight;
            }
            near(with / without, 1, 1e-6);
        }
}

/* Known variance in the limit: z' = shift: exp(shift z - shift^2/2). */
static void ratio_limit(void **state) {
    (void)state;
    const double df = 1e7, z = 2.5, shift = 3;
    near(student_log_ratio(z / sqrt(df + z * z), df, shift), shift * z - shift * shift / 2, 1e-5);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(t_closed), cmocka_unit_test(tables),
        cmocka_unit_test(sums), cmocka_unit_test(ratio_closed), cmocka_unit_test(ratio_mean),
        cmocka_unit_test(ratio_limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
