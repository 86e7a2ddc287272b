/* Densities over a space from points of it: mixtures of a kernel at each point and one for all, as
 * in J. Bergstra et al., Algorithms for hyper-parameter optimization, 2011, with the choices that
 * Optuna's documentation of TPESampler states: weight 1 for the prior; the latest 25 points count
 * fully, those before ever less; kernels of numbers are normals cut at the ends of the range, with
 * a least width of 1 / min(100, kernels + 1) ("magic clip"), integrated over the part of each value
 * where there is a number of values; kernels of choices give 1 to the point's and 1 / kernels to
 * each. An axis that is not there in a point is of the prior's kernel in it. */
#ifndef DUET_PARZEN_H
#define DUET_PARZEN_H

#include "rng.h"
#include "space.h"

struct parzen {
    const struct space *s;
    bool joint;     /* kernels of all axes together; else each axis is apart */
    size_t n;       /* kernels, the prior's last */
    double *mu;     /* (n, axes), as are the next four */
    double *sigma;
    double *weight; /* joint: the same for all axes */
    double *norm;   /* logarithm of what a normal's exponential is divided by */
    bool *there;
    double kernels[SPACE_MAX_AXES]; /* that an axis has */
};

/* point: n points of the space, the oldest first, and for each which axes are there (n, axes).
 * False: no memory. joint: a kernel's width in all axes is 0.2 n^(-1 / (axes + 4)) (Scott's rule,
 * as Falkner et al., BOHB, 2018); else it reaches to the farther neighbour in each axis. */
bool parzen_make(struct parzen *p, const struct space *s, const double *const *point,
                 const bool *there, size_t n, bool joint);
void parzen_release(struct parzen *p); /* accepts all zeros */

/* A kernel of the mixture, for axis i (joint: any). */
size_t parzen_pick(const struct parzen *p, size_t i, struct rng *r);

/* A draw of axis i from kernel k. */
double parzen_draw(const struct parzen *p, size_t k, size_t i, struct rng *r);

/* Logarithm of the density of axis i at u. */
double parzen_axis(const struct parzen *p, size_t i, double u);

/* Of all axes that are there, together. */
double parzen_all(const struct parzen *p, const double *u, const bool *there);

#endif
