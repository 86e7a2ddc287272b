/* CMA-ES in a cube: N. Hansen, The CMA evolution strategy: a tutorial (arXiv:1604.00772), with its
 * constants and its negative weights, and the margin of R. Hamano et al., CMA-ES with margin (2022,
 * arXiv:2205.13482), by which an axis with a number of values goes on being tried: the probability
 * of leaving the mean's value stays above 1 / (n lambda). Values are taken in their order; of
 * choices that of the file. No direction becomes wider than the cube: with results that say nothing
 * the step size would grow for ever. */
#ifndef DUET_CMA_H
#define DUET_CMA_H

#include "rng.h"
#include <stdbool.h>
#include <stddef.h>

enum { CMA_MAX_AXES = 64 };

struct cma {
    size_t n, lambda, mu;
    size_t levels[CMA_MAX_AXES]; /* of an axis with values; 0: real */
    double *weight;              /* (lambda) of the ranks, best first */
    double mu_eff, c_sigma, d_sigma, c_c, c_1, c_mu, chi_n;
    double mean[CMA_MAX_AXES], sigma;
    double scale[CMA_MAX_AXES]; /* of an axis with values: A of the margin */
    double path_sigma[CMA_MAX_AXES], path_c[CMA_MAX_AXES];
    double *c;           /* (n, n) covariance */
    double *b, *d;       /* (n, n) eigenvectors as columns, (n) square roots of eigenvalues */
    double *work;        /* (n, n) */
    int generation;
};

/* lambda 0: 4 + floor(3 ln n). mean: (n). False: no memory. */
bool cma_init(struct cma *c, size_t n, size_t lambda, const double *mean, double sigma,
              const size_t *levels);
void cma_release(struct cma *c); /* accepts all zeros */

/* A draw x (n): real coordinates lie in [0, 1] (100 tries, then the nearest). */
void cma_ask(const struct cma *c, struct rng *r, double *x);

/* The point that stands for it: in the middle of a value where there are values. */
void cma_point(const struct cma *c, const double *x, double *u);

/* Makes of a draw x (n) one that stands for a point u (n) of somebody else in the axes that are
 * given: N. Hansen, Injecting external solutions into CMA-ES (2011, arXiv:1110.4181), by which it
 * is moved towards the mean, to sqrt(n) + 2 n / (n + 2) standard deviations at most. */
void cma_inject(const struct cma *c, const double *u, const bool *given, double *x);

/* A generation: its lambda draws, (n) each, the best first. */
void cma_tell(struct cma *c, const double *const *x);

/* The standard deviation of the widest direction. */
double cma_width(const struct cma *c);

/* The largest over the smallest eigenvalue. */
double cma_condition(const struct cma *c);

#endif
