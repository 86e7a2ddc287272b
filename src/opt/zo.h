/* Zeroth-order gradient estimates: losses of perturbed copies of the weights (probes) give one
 * coefficient a direction, and the estimate is  g = sum_d coef_d z_d.
 *
 * An estimator says which probes a run evaluates and what their losses mean. Adding one: zo_x.c
 * with a `const struct zo_kind zo_x` and one word in ESTIMATORS.
 *
 * A direction (direction.h) is a function of its seed, which is a function of (run seed, step,
 * direction). A step is therefore known by (step, lr, seeds,
 * coefficients): zo_apply does with them what training did, bit for bit. */
#ifndef DUET_ZO_H
#define DUET_ZO_H

#include "direction.h"
#include "opt.h"

#define ESTIMATORS(X) X(grzo) X(spsa) X(fzoo)

/* What an update evaluates. */
struct zo_shape {
    int64_t directions; /* --directions */
    int64_t batch;      /* sequences of a micro-batch */
    int64_t accum;      /* micro-batches of the update */
    double eps;
};

struct zo_update;

struct zo_kind {
    const char *name, *help;
    double eps[2];    /* default: for all weights, for LoRA */
    double old_lr[2]; /* what runs that recorded -1 took */
    int64_t own;          /* --directions of its own; 0: it has no use for the option */
    int64_t least;        /* directions an update needs */
    bool per_example;     /* a probe evaluates one sequence of the batch, else all of them */
    /* The estimate is  sum_d unit a_d z_d  with a_d = c_d / rms(c) if it normalises, else times
     * rms(c) too (c: zo_rate.h). */
    bool normalises;
    double (*unit)(const struct zo_shape *s);
    int64_t (*probes)(const struct zo_shape *s);     /* of one micro-batch */
    int64_t (*directions)(const struct zo_shape *s); /* of the whole update */
    /* Probe p of micro-batch `micro`: its direction, and -1, 0 or +1 times eps. */
    void (*probe)(const struct zo_shape *s, int64_t micro, int64_t p, int64_t *direction,
                  int *side);
    /* loss[micro * probes + p] -> coef[direction]; returns the loss at the weights themselves, as
     * the mean over what was evaluated. */
    double (*estimate)(const struct zo_shape *s, const double *loss, float *coef);
    /* Optional: what it keeps from update to update, as an optimizer its state: named arrays of a
     * float a weight that moves, 0 at first, which directions may read (direction_space.state). */
    int n_state;
    const char *state[DIRECTION_MAX_STATE];
    /* Numbers of an update that `advance` needs beside seeds and coefficients: how many, and what
     * they are from the losses. They are recorded. NULL: none. */
    int64_t (*extra)(const struct zo_shape *s);
    void (*note)(const struct zo_shape *s, const double *loss, float *extra);
    /* After the weights: changes what is kept by the update, of which it knows what is recorded, so
     * that a replay changes it alike. */
    void (*advance)(const struct opt *o, const struct direction_space *s,
                    const struct zo_update *u);
};

const struct zo_kind *zo_find(const char *name); /* or NULL */

/* Seed of direction d of a step. */
uint64_t zo_seed(uint64_t run_seed, int64_t step, int64_t d);

/* Where the directions of a run lie: what is trained, by its `move`. tensor: room for n. */
struct direction_space zo_space(const struct direction_kind *kind, struct direction_tensor *tensor,
                                const struct param *params, int n);

/* The L2 norm of the estimate, its directions counted as orthogonal: sqrt(n sum coef^2), n the sum
 * of the squares of the scales of what moves: the number of weights where all move alike. */
double zo_norm(const struct direction_space *s, int n_tensors, int64_t n, const float *coef);

/* One update: w -= lr (sum_d coef_d z(seed_d)) by the optimizer's rule. step: updates done before
 * it. */
struct zo_update {
    int64_t step;
    double lr;
    int64_t n;
    const uint64_t *seed;
    const float *coef;
    const float *extra; /* zo_kind.extra of them, or NULL */
};
void zo_apply(struct opt *opt, const struct direction_space *s, const struct zo_update *u);

#endif
