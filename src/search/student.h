/* Student's t, chi-square and F: tails, quantiles, and the likelihood ratio of a shifted t. */
#ifndef DUET_STUDENT_H
#define DUET_STUDENT_H

/* Regularised incomplete beta function I_x(a, b), a and b > 0, x in [0, 1]: its continued fraction
 * (DLMF 8.17.22) by Lentz's method. */
double student_beta(double x, double a, double b);

/* Regularised lower incomplete gamma function P(a, x), a > 0, x >= 0 (DLMF 8.7.1, 8.9.2). */
double student_gamma(double a, double x);

/* The chance that T of df > 0 degrees of freedom is at most t. */
double student_below(double t, double df);

/* Where that chance is p, 0 < p < 1. */
double student_quantile(double p, double df);

/* Where a chi-square of df > 0 degrees of freedom is at most with chance p, 0 < p < 1. */
double student_chi2_quantile(double p, double df);

/* Where F of (df1, df2) degrees of freedom is at most with chance p, 0 < p < 1. */
double student_f_quantile(double p, double df1, double df2);

/* log f(t; shift) / f(t; 0) of the noncentral t of df >= 0 degrees of freedom at
 * x = t / sqrt(df + t^2), -1 <= x <= 1:
 *
 *     exp(-shift^2/2) Int w^df exp(-w^2/2 + shift x w) dw / Int w^df exp(-w^2/2) dw, w from 0 on
 *
 * (Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 2, 1995, 31.15: their density,
 * divided). It is the likelihood ratio of the maximal invariant under changes of scale: of normal z
 * of mean shift * sigma and a sum of squares S of df squares, x = z / sqrt(S + z^2). It rises with
 * shift * x, and is finite at the ends, also where df is 0: there only the sign of z is left, and
 * it is 2 Phi(shift x). df need not be whole. Relative error of the ratio about 1e-13. */
double student_log_ratio(double x, double df, double shift);

#endif
