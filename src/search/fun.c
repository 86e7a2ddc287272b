#include "fun.h"

#include <float.h>
#include <math.h>

static const double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
static const double root_half_pi_inverse = 0.3989422804014326779; /* 1 / sqrt(2 pi) */

/* x = 2^k m with m in [sqrt(1/2), sqrt(2)): log x = k log 2 + 2 atanh((m - 1) / (m + 1)). */
double fun_log(double x) {
    int k;
    if (!(x > 0)) return -INFINITY;
    double m = frexp(x, &k);
    if (m < 0.70710678118654752) {
        m *= 2;
        k--;
    }
    const double s = (m - 1) / (m + 1), s2 = s * s;
    double sum = 0;
    for (int i = 25; i >= 3; i -= 2) sum = s2 * (sum + 1.0 / i); /* s2 < 0.0295 */
    return k * ln2_high + (2 * s + (2 * s * sum + k * ln2_low));
}

/* x = k log 2 + r: exp x = 2^k exp r, the series of which is squared twice. */
double fun_exp(double x) {
    if (x < -745.2) return 0;
    if (x > 709.78) return INFINITY;
    const double k = floor(x / (ln2_high + ln2_low) + 0.5);
    const double r = ((x - k * ln2_high) - k * ln2_low) / 4; /* |r| < 0.0867 */
    double less = 0; /* exp r - 1: keeps its digits under the squares */
    for (int i = 12; i >= 1; i--) less = (r / i) * (1 + less);
    less = less * (2 + less);
    less = less * (2 + less);
    return ldexp(1 + less, (int)k);
}

static double density(double x) {
    return root_half_pi_inverse * fun_exp(-0.5 * x * x);
}

/* The upper tail at x >= 2 over the density: Laplace's continued fraction, 1/(x + 1/(x + 2/(x +
 * ...))), from a term on beyond which nothing changes: its error falls as exp(-2 x sqrt(2 terms)).
 */
static double tail_ratio(double x) {
    const int terms = x > 40 ? 16 : 16 + (int)(240 / (x * x));
    double f = x;
    for (int i = terms; i >= 1; i--) f = x + i / f;
    return 1 / f;
}

/* Marsaglia, Evaluating the normal distribution, 2004: 1/2 + density (x + x^3/3 + x^5/(3 5) + ...).
 */
static double near_middle(double x) {
    double term = x, sum = x;
    for (int i = 3; i < 200; i += 2) {
        term *= x * x / i;
        if (sum + term == sum) break;
        sum += term;
    }
    return 0.5 + sum * density(x);
}

double fun_cdf(double x) {
    if (x > 2) return 1 - (x > 38.6 ? 0 : density(x) * tail_ratio(x));
    if (x < -2) return x < -38.6 ? 0 : density(x) * tail_ratio(-x);
    return near_middle(x);
}

/* Abramowitz & Stegun 26.2.23 to begin with, then Halley's steps in the lower half. */
double fun_quantile(double p) {
    const double low = p < 0.5 ? p : 1 - p;
    if (!(low > 0)) return p < 0.5 ? -INFINITY : INFINITY;
    const double t = sqrt(-2 * fun_log(low));
    double x = -(t - (2.515517 + t * (0.802853 + t * 0.010328)) /
                         (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
    if (x > 0) x = 0;
    for (int i = 0; i < 3; i++) {
        const double d = (fun_cdf(x) - low) / density(x);
        x -= d / (1 + x * d / 2);
    }
    return p < 0.5 ? x : -x;
}

double fun_truncated(double u, double m, double s, double low, double high) {
    double a = (low - m) / s, b = (high - m) / s;
    const int flip = a > 0; /* so that what is left of the digits is in the lower tail */
    if (flip) {
        const double was = a;
        a = -b;
        b = -was;
    }
    const double pa = fun_cdf(a), pb = fun_cdf(b);
    const double p = pa + u * (pb - pa);
    double z = p > 0 && p < 1 ? fun_quantile(p) : b;
    if (z < a) z = a;
    if (z > b) z = b;
    const double x = m + s * (flip ? -z : z);
    return x < low ? low : x > high ? high : x;
}

double fun_log_mass(double a, double b) {
    if (a > 0) {
        const double was = a;
        a = -b;
        b = -was;
    }
    const double mass = fun_cdf(b) - fun_cdf(a);
    if (mass > DBL_MIN) return fun_log(mass);
    /* far out, all is at the nearer end: b < 0 */
    return -0.5 * b * b + fun_log(root_half_pi_inverse * tail_ratio(-b < 2 ? 2 : -b));
}
