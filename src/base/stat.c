#include "stat.h"

#include <math.h>
#include <stdlib.h>

double stat_mean(const double *x, size_t n) {
    long double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return n ? (double)(sum / (long double)n) : NAN;
}

/* In two passes: the sum of squares minus the square of the sum would lose everything where the
 * values are large and close together. */
double stat_stderr(const double *x, size_t n) {
    const double mean = stat_mean(x, n);
    long double sum = 0;
    if (n < 2) return NAN;
    for (size_t i = 0; i < n; i++) sum += (long double)(x[i] - mean) * (x[i] - mean);
    return sqrt((double)(sum / (long double)(n - 1) / (long double)n));
}

static int rising(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double stat_median(double *x, size_t n) {
    if (!n) return NAN;
    qsort(x, n, sizeof *x, rising);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* Rank, from 0, of the interval's lower end: the highest with at most 2.5 % on its side, and that
 * share. By logarithms: 2^-n alone is 0 from 1075 on. */
static size_t lower_end(size_t n, double *share) {
    const double all = (double)n;
    double log_term = -all * log(2), sum = exp(log_term); /* none of n values below the median */
    size_t low = 0;
    for (size_t k = 1; k < n; k++) {
        log_term += log((all - (double)k + 1) / (double)k);
        if (sum + exp(log_term) > 0.025) break;
        sum += exp(log_term);
        low = k;
    }
    *share = sum;
    return low;
}

double stat_spread_level(size_t n) {
    double share;
    lower_end(n, &share);
    return n < 2 ? 0 : 1 - 2 * share;
}

struct stat_spread stat_spread(double *x, size_t n) {
    struct stat_spread s = {NAN, NAN, NAN};
    double share;
    if (!n) return s;
    const size_t low = lower_end(n, &share);
    s.median = stat_median(x, n);
    s.low = x[low];
    s.high = x[n - 1 - low];
    return s;
}
