/* Optimizers: one fused pass over each tile of each trainable parameter.
 *
 * Adding one: opt_x.c with a `const struct opt_kind opt_x` and one word in OPTIMIZERS. Options,
 * checkpoint state, help, tests and memory plans follow from the row. */
#ifndef DUET_OPT_H
#define DUET_OPT_H

#include "arena.h"
#include "param.h"

#define OPTIMIZERS(X) X(adamw) X(lion) X(sgd) X(momentum)

enum { OPT_MAX_STATE = 2, OPT_TILE = 1 << 14 };

/* Where the gradient of a tile comes from: the parameters' buffers, or seeds and coefficients. So
 * every optimizer serves every engine, and one that needs no gradient buffer has none. */
struct grad_source {
    /* n elements from `begin` on of parameter `param`: a pointer to them, or buf, filled. */
    const float *(*tile)(const struct grad_source *s, int param, int64_t begin, int64_t n,
                         float *buf);
    double norm; /* L2 norm of the whole gradient, for clipping */
    const void *ctx;
};

/* What one update applies to one tile. */
struct opt_tile {
    float lr, decay; /* with the role's factors in them */
    float beta1, beta2, eps;
    float grad_scale; /* clipping */
    int64_t t;        /* updates so far, this one included */
};

struct opt_kind {
    const char *name, *help;
    int n_state; /* floats of state a parameter */
    const char *state[OPT_MAX_STATE];
    double lr, beta1, beta2; /* defaults; 0: it has none */
    bool normalises;         /* the step's size does not follow the gradient's */
    /* w, g and each state: n floats. */
    void (*tile)(const struct opt_tile *p, float *w, const float *g, float *const *state,
                 int64_t n);
};

const struct opt_kind *opt_find(const char *name); /* or NULL */

struct opt_hyper {
    double beta1, beta2, eps, clip; /* clip: global gradient norm; 0: off */
    double lr_factor[ROLE_COUNT];   /* times the schedule's rate */
    double decay[ROLE_COUNT];       /* decoupled weight decay */
    uint64_t seed;                  /* of the rounding of weights that are stored as bf16 */
};

struct opt {
    const struct opt_kind *kind;
    struct opt_hyper hyper;
    struct param *params; /* borrowed */
    int n_params;
    float *(*state)[OPT_MAX_STATE]; /* per parameter; NULL where not trainable */
    struct arena mem;
    struct opt_span *tiles; /* every tile of every trainable parameter, in table order */
    int64_t n_tiles;
    double *partial; /* per tile: sum of squares */
    int64_t t;       /* updates done */
};

size_t opt_bytes(const struct opt_kind *kind, const struct param *params, int n);
int opt_open(struct opt *o, const struct opt_kind *kind, const struct opt_hyper *h,
             struct param *params, int n, struct err *e);
void opt_close(struct opt *o);
/* As opened: no updates done, every state 0. */
void opt_reset(struct opt *o);

/* L2 norm of all gradients, in double, tile by tile in table order. Not finite if any gradient is
 * not. */
double opt_grad_norm(const struct opt *o);

/* The gradients in the parameters' buffers, as a source. */
struct grad_source opt_buffers(const struct opt *o, double norm);

/* One update with learning rate lr. Weights stored as bf16 are updated in f32 and rounded by
 * chance, up or down with the probability that keeps the mean: an update far below the last bit of
 * a weight still counts (stochastic rounding; Gupta et al. 2015, arXiv 1502.02551). */
void opt_step(struct opt *o, double lr, const struct grad_source *grad);

#endif
