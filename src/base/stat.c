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
