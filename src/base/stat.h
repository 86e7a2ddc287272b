/* Mean, standard error, median and its interval of plain numbers. */
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

/* A median and the two of the values between which the median of what they were drawn from lies
 * with at least 95 %, whatever its distribution: the narrowest such pair of equal ranks from both
 * ends (David & Nagaraja, Order Statistics, 2003, 7.1: the number of values below the median is
 * binomial). Fewer than 6 values do not tell so much: then the least and the greatest. */
struct stat_spread {
    double median, low, high;
};

/* Sorts x as stat_median does. NaN for n = 0. */
struct stat_spread stat_spread(double *x, size_t n);

/* The chance that the interval of n values holds the median: 0.9609 of 9, 0.75 of 3, 0 of 1. */
double stat_spread_level(size_t n);

#endif
