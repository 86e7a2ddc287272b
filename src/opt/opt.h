/* Optimizers: what an update makes of a gradient, by its verbs.
 *
 *   direction  (optional) sees a whole matrix once the norm of all gradients is known, with gemm
 *              and scratch that were planned, and writes the update over the gradient buffer
 *   tile       one fused pass over each tile of each trainable parameter: clipping, decay, rate and
 *              the rounding of weights that are stored as bf16
 *   step       in the place of `tile`, where that would be w = keep w + by g
 *
 * The kind is chosen by role: matrices may follow another one than the rest. Adding one: opt_x.c
 * with a `const struct opt_kind opt_x` and one word in OPTIMIZERS. Options, checkpoint state, help
 * and memory plans follow from the row; docs/adding.md names the tests. */
#ifndef DUET_OPT_H
#define DUET_OPT_H

#include "arena.h"
#include "machine.h"
#include "param.h"
#include "polar.h"

#define OPTIMIZERS(X) X(adamw) X(lion) X(sgd) X(momentum) X(muon)

enum { OPT_MAX_STATE = 2, OPT_TILE = 1 << 14, OPT_SMALL = 1 << 21 };

/* Where the gradient of a tile comes from: the parameters' buffers, or seeds and coefficients. So
 * every optimizer serves every engine, and one that needs no gradient buffer has none. */
struct grad_source {
    /* n elements from `begin` on of parameter `param`: a pointer to them, or buf, filled. signs,
     * which is NULL for rules that take none: what is to be added to them may be left there, as
     * directions of n bits each, for which it has room, and the pointer be NULL if that is all. */
    const float *(*tile)(const struct grad_source *s, int param, int64_t begin, int64_t n,
                         float *buf, struct kern_sgd *signs);
    double norm; /* L2 norm of the whole gradient, for clipping */
    const void *ctx;
};

/* What one update applies to one tile. */
struct opt_tile {
    const struct kern *kern;
    float lr, decay; /* with the role's factors in them */
    float beta1, beta2, eps;
    float grad_scale; /* clipping; in the tile pass behind a `direction`, which saw it, 1 */
    int64_t t;        /* updates so far, this one included */
    const struct opt_hyper *hyper; /* for what belongs to one kind */
};

/* A whole trainable parameter, as `direction` sees it; a vector is one row. */
struct opt_matrix {
    enum role role;
    int64_t rows, cols;
    float *grad;         /* (rows, cols): the gradient, becomes the update */
    float *const *state; /* n_state arrays (rows, cols), or of state_count floats */
    const struct machine *machine; /* its pool for loops, its gemm for products (gemm_run) */
    void *work;                    /* work_bytes bytes, 64-byte aligned, of any content */
};

struct opt_kind {
    const char *name, *help;
    int n_state; /* floats of state a parameter */
    const char *state[OPT_MAX_STATE];
    double lr, beta1, beta2; /* defaults; 0: it has none */
    bool eps;                /* reads --adam-eps */
    bool normalises;         /* the step's size does not follow the gradient's */
    bool matrices_only;      /* makes no sense of embeddings, norms, biases and adapters */
    /* Floats of state array k of a parameter; 0: it has none. `tile` is not given these arrays.
     * NULL: one for each element. */
    int64_t (*state_count)(const struct opt_hyper *h, int k, int64_t rows, int64_t cols);
    /* What the rate of a matrix is multiplied with; NULL: 1. */
    double (*lr_shape)(int64_t rows, int64_t cols);
    /* Both or neither. Large matrices come one after another, on the calling thread; several of
     * those whose scratch is at most OPT_SMALL bytes at once, each with a machine of one thread.
     * Work inside one is cut by pool_for and gemm_run, by the problem, never by the number of
     * threads. Products are those of GEMM_EXACT, unless rounded inputs (GEMM_WEIGHTS follows
     * --compute) are the method. */
    size_t (*work_bytes)(const struct machine *m, int64_t rows, int64_t cols);
    void (*direction)(const struct opt_tile *p, const struct opt_matrix *m);
    /* w, g and each state: n floats. g: the gradient, or what `direction` has left in its place. */
    void (*tile)(const struct opt_tile *p, float *w, const float *g, float *const *state,
                 int64_t n);
    /* Of a kind without state whose rule is that of kern.sgd: its keep and by. It has no `tile`;
     * weights in bf16 and directions of signs are then nowhere written out as floats. */
    void (*step)(const struct opt_tile *p, struct kern_sgd *to);
};

const struct opt_kind *opt_find(const char *name); /* or NULL */

/* What the parameters of one role follow. */
struct opt_rule {
    const struct opt_kind *kind;
    double lr_factor; /* times the schedule's rate */
    double decay;     /* decoupled weight decay */
    double beta1, beta2;
};

/* Options of muon: opt_muon.c says what they do. */
struct muon_opts {
    struct polar polar;
    bool equalise, rescale, normalise, cautious;
};

struct opt_hyper {
    struct opt_rule of[ROLE_COUNT];
    double eps, clip; /* clip: global gradient norm; 0: off */
    double head_factor; /* lr_factor of the classifier of an untied model; 0: that of its role */
    struct muon_opts muon;
    uint64_t seed;    /* of the rounding of weights that are stored as bf16 */
};

/* One kind for all roles, with its own betas: factor 1, no decay, no clipping, eps 1e-8, five
 * steps of Polar Express. */
struct opt_hyper opt_hyper_of(const struct opt_kind *kind);

struct opt {
    const struct machine *machine; /* borrowed */
    struct opt_hyper hyper;
    struct param *params; /* borrowed */
    int n_params;
    float *(*state)[OPT_MAX_STATE]; /* per parameter; NULL where it has none or is not trainable */
    void *work;                     /* of matrices that are worked on */
    int *small;                     /* parameters that are small matrices of a `direction` */
    int n_small;
    size_t share; /* bytes of `work` of a thread that works on one of these */
    struct arena mem;
    struct opt_span *tiles; /* every tile of every trainable parameter, in table order */
    int64_t n_tiles;
    double *partial; /* per tile: sum of squares */
    int64_t t;       /* updates done */
};

/* ERR_USAGE if a role that is trained has no kind. */
int opt_check(const struct opt_hyper *h, const struct param *params, int n, struct err *e);

/* Bytes of all state arrays; of what opt_open reserves, which is these and scratch. */
size_t opt_state_bytes(const struct opt_hyper *h, const struct param *params, int n);
size_t opt_bytes(const struct machine *m, const struct opt_hyper *h,
                 const struct param *params, int n);

/* ERR_USAGE if a kind with a `direction` has a parameter without a gradient buffer. */
int opt_open(struct opt *o, const struct machine *m, const struct opt_hyper *h,
             struct param *params, int n, struct err *e);
void opt_close(struct opt *o);
/* As opened: no updates done, every state 0. */
void opt_reset(struct opt *o);

/* Floats of state array k of a parameter. */
int64_t opt_state_count(const struct opt *o, int param, int k);

/* The kind of a parameter, and that of all trainable ones if they have the same, or NULL. */
const struct opt_kind *opt_kind_of(const struct opt *o, int param);
const struct opt_kind *opt_only_kind(const struct opt *o);
/* Is any parameter of this role trained? */
bool opt_has_role(const struct opt *o, enum role role);

/* L2 norm of all gradients, in double, tile by tile in table order. Not finite if any gradient is
 * not. */
double opt_grad_norm(const struct opt *o);

/* The gradients in the parameters' buffers, as a source. */
struct grad_source opt_buffers(const struct opt *o, double norm);

/* One update with learning rate lr. Where a kind has a `direction` the buffers hold no gradients
 * afterwards. Weights stored as bf16 are updated in f32 and rounded by chance, up or down with the
 * probability that keeps the mean: an update far below the last bit of a weight still counts
 * (stochastic rounding; Gupta et al. 2015, arXiv 1502.02551). */
void opt_step(struct opt *o, double lr, const struct grad_source *grad);

#endif
