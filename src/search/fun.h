/* Logarithm, exponential and the normal distribution in additions, multiplications, divisions and
 * square roots alone, so that what a search proposes is the same bits on every machine: libm's
 * depend on its version and on the processor. The layer is compiled without fused multiply-adds.
 * Errors are below 4e-15 of the result (unit/test_fun.c). */
#ifndef DUET_FUN_H
#define DUET_FUN_H

/* Of x > 0, finite. 0: -infinity. */
double fun_log(double x);

/* 0 below -745; infinity above 709.7. */
double fun_exp(double x);

/* Probability of a standard normal below x. Keeps its digits in the lower tail (38 standard
 * deviations); the upper tail is fun_cdf(-x). */
double fun_cdf(double x);

/* The x with fun_cdf(x) = p, 0 < p < 1: p at least 1e-300. */
double fun_quantile(double p);

/* A draw of a normal with mean m and standard deviation s > 0 within [low, high], from u in [0, 1):
 * by the inverse of its distribution function. */
double fun_truncated(double u, double m, double s, double low, double high);

/* Logarithm of the probability of a standard normal in [a, b], a < b; both may be infinite. Finite,
 * far into the tails. */
double fun_log_mass(double a, double b);

#endif
