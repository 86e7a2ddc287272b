#include "student.h"

#include <assert.h>
#include <float.h>
#include <math.h>

static double log_gamma(double x) { /* lgamma would write to a variable of the whole process */
    int sign;
    return lgamma_r(x, &sign);
}

/* Never 0: Lentz's method divides by it. */
static double apart(double x) {
    return fabs(x) < DBL_MIN / DBL_EPSILON ? DBL_MIN / DBL_EPSILON : x;
}

static double beta_fraction(double x, double a, double b) {
    double c = 1, d = 1 / apart(1 - (a + b) * x / (a + 1)), h = d;
    for (int m = 1; m < 10000; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / apart(1 + even * d);
        c = apart(1 + even / c);
        h *= d * c;
        d = 1 / apart(1 + odd * d);
        c = apart(1 + odd / c);
        h *= d * c;
        if (fabs(d * c - 1) < 4 * DBL_EPSILON) break;
    }
    return h;
}

double student_beta(double x, double a, double b) {
    assert(a > 0 && b > 0);
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    const double front = exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * log(x)
        + b * log1p(-x));
    /* The fraction converges fast on this side of the mean only. */
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(x, a, b) / a;
    return 1 - front * beta_fraction(1 - x, b, a) / b;
}

double student_gamma(double a, double x) {
    assert(a > 0);
    if (x <= 0) return 0;
    const double front = exp(a * log(x) - x - log_gamma(a));
    if (x < a + 1) {
        double term = 1 / a, sum = term;
        for (int n = 1; n < 100000 && term > sum * DBL_EPSILON / 4; n++) sum += term *= x / (a + n);
        return front * sum;
    }
    double b = x + 1 - a, c = DBL_MAX, d = 1 / b, h = d;
    for (int n = 1; n < 100000; n++) {
        const double an = -n * (n - a);
        b += 2;
        d = 1 / apart(an * d + b);
        c = apart(b + an / c);
        h *= d * c;
        if (fabs(d * c - 1) < 4 * DBL_EPSILON) break;
    }
    return 1 - front * h;
}

double student_below(double t, double df) {
    assert(df > 0);
    if (isinf(t)) return t > 0;
    const double tail = student_beta(df / (df + t * t), df / 2, 0.5) / 2;
    return t > 0 ? 1 - tail : tail;
}

/* Rising functions of one variable by halving: all digits, and nothing that can go astray. */
struct rising {
    double (*at)(const struct rising *, double);
    double df1, df2;
};

static double solve(const struct rising *f, double p, double low, double high) {
    while (f->at(f, high) < p && high < DBL_MAX / 4) high *= 2;
    for (int i = 0; i < 200; i++) {
        const double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high) break;
        if (f->at(f, middle) < p) low = middle;
        else high = middle;
    }
    return high;
}

static double t_at(const struct rising *f, double t) { return student_below(t, f->df1); }

static double chi2_at(const struct rising *f, double x) { return student_gamma(f->df1 / 2, x / 2); }

static double f_at(const struct rising *f, double x) {
    return student_beta(f->df1 * x / (f->df1 * x + f->df2), f->df1 / 2, f->df2 / 2);
}

double student_quantile(double p, double df) {
    const struct rising f = {t_at, df, 0};
    assert(p > 0 && p < 1);
    if (p < 0.5) return -student_quantile(1 - p, df);
    return p == 0.5 ? 0 : solve(&f, p, 0, 1);
}

double student_chi2_quantile(double p, double df) {
    const struct rising f = {chi2_at, df, 0};
    assert(p > 0 && p < 1 && df > 0);
    return solve(&f, p, 0, 1);
}

double student_f_quantile(double p, double df1, double df2) {
    const struct rising f = {f_at, df1, df2};
    assert(p > 0 && p < 1 && df1 > 0 && df2 > 0);
    return solve(&f, p, 0, 1);
}

/* With w = exp(u) the integrand exp((df + 1) u - w^2/2 + a w) is smooth on the whole line and dies
 * off at both ends, so that equal steps (the trapezoidal rule) converge faster than any power: the
 * error is about exp(-2 pi (pi/4) / step). */
double student_log_ratio(double x, double df, double shift) {
    const double a = shift * x, power = df + 1;
    const double top = (a + sqrt(a * a + 4 * power)) / 2; /* w at the integrand's top */
    const double width = 1 / sqrt(top * top + power), step = fmin(width / 2, 0.08);
    const double up = exp(step), peak = power * log(top) - top * top / 2 + a * top;
    double sum = 1;
    assert(df >= 0 && x >= -1 && x <= 1 && isfinite(shift));
    for (int side = -1; side <= 1; side += 2) {
        double u = log(top), w = top;
        for (;;) {
            u += side * step;
            w *= side > 0 ? up : 1 / up;
            const double term = exp(power * u - w * w / 2 + a * w - peak);
            sum += term;
            if (!(term >= 1e-18 * sum)) break;
        }
    }
    return peak + log(sum * step) - shift * shift / 2 - (df - 1) / 2 * log(2)
        - log_gamma(power / 2);
}
