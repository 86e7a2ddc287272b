/* How large a step of a zeroth-order run may be, from losses around the weights it begins from.
 *
 * A few directions z of signs are evaluated on each of B examples b, at both sides and at the
 * weights themselves:
 *   c_b(z) = (L_b(w + eps z) - L_b(w - eps z)) / (2 eps)             ~ g_b.z
 *   h(z)   = mean_b (L_b(w + eps z) + L_b(w - eps z) - 2 L_b(w)) / eps^2   ~ z'Hz
 * As E z z' = 1, their means over z are
 *   example^2 = mean_b |g_b|^2      of one example's gradient
 *   grad^2    = |g|^2               from pairs of different examples: E g_b.g_b' (no noise in it)
 *   curvature = tr H                the second derivative in a random direction
 * An update w -= s sum_i a_i z_i of n directions, with a_i = c_i / rms(c), lowers the loss by
 *   n s |g|^2 / rms(c) - n s^2 tr H / 2                        (rms(c) = |g_b|, as a probe sees it)
 * at best with s = |g|^2 / (rms(c) tr H), whatever n. From there each estimator knows its rate,
 * because it knows what it multiplies a_i by (struct zo_kind, unit).
 *
 *   struct zo_measure m = {0};
 *   zo_measure_add(&m, eps, B, base, plus, minus);   per direction
 *   zo_measure_check(&m, B, c, c2);                  per direction, c at eps and at 2 eps
 *   zo_measure_finish(&m); */
#ifndef DUET_ZO_RATE_H
#define DUET_ZO_RATE_H

#include "zo.h"

struct zo_measure {
    double example2, grad2, curvature; /* see above; sums until zo_measure_finish */
    double change2, coef2; /* sums of (c(2 eps) - c(eps))^2 and c(eps)^2 */
    double loss;           /* largest that was checked */
    double examples;       /* of each direction */
    int64_t directions, checked; /* checked: addends of change2 */
};

/* Losses (B) at the weights, at plus eps z and at minus eps z. */
void zo_measure_add(struct zo_measure *m, double eps, int64_t B, const double *base,
                    const double *plus, const double *minus);
/* Coefficients (n) of the same directions and examples at eps and at 2 eps. */
void zo_measure_check(struct zo_measure *m, int64_t n, const double *c, const double *c2);
void zo_measure_finish(struct zo_measure *m);

/* How far c(2 eps) is from c(eps), as a share of c(eps): rounding (eps too small) or curvature (too
 * large) where it is near 1. Infinite if all c are 0. */
double zo_measure_error(const struct zo_measure *m);

/* The part of it that is rounding of f32: share of c(eps). Infinite if all c are 0. */
double zo_measure_rounding(const struct zo_measure *m, double eps);

/* The second differences are mostly rounding, which falls with eps^2: no rate can be had from
 * them. */
bool zo_curvature_hidden(const struct zo_measure *m, double eps);

/* By how much an update of rate lr would change the loss, were it linear and all examples alike;
 * from what was checked. */
double zo_update_change(const struct zo_measure *m, const struct zo_kind *k,
                        const struct zo_shape *s, double lr);

/* The best s above for this estimator, times a quarter: few directions know it badly, twice the
 * best gains nothing and more loses, and the gradient shrinks as the run goes on while the
 * curvature does not. Far from the model's own texts the gradient is large and the curvature small,
 * but not for long: a step is also at most one that would lower the loss by 0.002 nats, were it
 * linear. 0 if nothing can be said, as all coefficients are 0. */
double zo_best_step(const struct zo_measure *m, const struct zo_kind *k, const struct zo_shape *s);
/* The learning rate of plain descent that makes steps of this size. */
double zo_step_rate(const struct zo_measure *m, const struct zo_kind *k, const struct zo_shape *s,
                    double step);

/* What the best step leaves out: of n directions most of an update is random, and u updates of them
 * are a walk that moves every weight by about s sqrt(n u). The curvature where the run begins does
 * not say what the loss is there: both factors of an adapter walk, so that their product grows with
 * the square of the distance, from a point where it is 0. So the loss is measured there: moved
 * that far at random, it may rise by a twentieth of what the bound above lets the updates gain. */
struct zo_walk {
    /* How much the loss rises where every weight is moved by `size`, up or down at random. */
    int (*rise)(void *ctx, double size, double *rise, struct err *e);
    void *ctx;
    int64_t directions, steps; /* of an update; of the run, 0 if not known */
};
/* Makes *step as small as that takes; an error is that of `rise`. */
int zo_walk_limit(const struct zo_walk *w, double *step, struct err *e);

#endif
