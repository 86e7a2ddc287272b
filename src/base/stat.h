/* Mean, standard error and median of plain numbers. */
#ifndef DUET_STAT_H
#define DUET_STAT_H

#include <stddef.h>

/* Sum over n. NaN for n = 0. */
double stat_mean(const double *x, size_t n);

/* Standard error of the mean: sqrt(sum (x - mean)^2 / (n - 1) / n). NaN for n < 2: unknown. */
double stat_stderr(const double *x, size_t n);

/* Middle value, or the mean of the two in the middle. Sorts x in rising order; x holds no NaN. NaN
 * for n = 0. */
double stat_median(double *x, size_t n);

#endif
