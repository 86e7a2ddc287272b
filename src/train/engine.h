/* Engines: how one update of the weights is computed from one batch.
 *
 * Adding one: engine_x.c with a `const struct engine_kind engine_x` and one word in ENGINES. */
#ifndef DUET_ENGINE_H
#define DUET_ENGINE_H

#include "exec.h"
#include "model.h"
#include "opt.h"

#define ENGINES(X) X(backprop)

struct engine_opts {
    int64_t batch, seq; /* B and T of one micro-batch */
    bool recompute;
    const struct gemm *gemm;
    const struct opt_kind *optimizer;
    struct opt_hyper hyper;
};

/* Memory by purpose, bytes. */
struct engine_memory {
    size_t weights, gradients, optimizer;
    size_t kept;    /* activations that wait for the backward pass */
    size_t passing; /* activations, gradients and scratch that come and go */
    size_t threads; /* per-thread scratch, tables */
    size_t total;
};

/* Fills micro-batch number `micro` of the present update: (B,T) ids each. */
typedef void engine_fill(void *ctx, int64_t micro, uint32_t *input, uint32_t *target);

struct engine_step {
    int64_t accum; /* micro-batches */
    double lr;
    engine_fill *fill;
    void *ctx;
    /* out */
    double loss;      /* mean over the tokens of the update, nats, before the update */
    double grad_norm; /* before clipping */
    bool finite;      /* false: loss or gradient is not a number; the weights were left alone */
};

/* A named array of the engine's state, for checkpoints. */
struct engine_item {
    char name[128];
    float *data;
    int64_t n;
};

struct engine;

struct engine_kind {
    const char *name, *help;
    double flops_factor; /* floating point operations of a step per operation of one forward pass */
    void (*step)(struct engine *g, struct engine_step *s);
};

struct engine {
    const struct engine_kind *kind;
    struct engine_opts opts;
    struct model *model; /* borrowed */
    struct exec exec;
    struct arena grads, tokens;
    struct opt opt;
    uint32_t *input, *target;
    float *nll;
    double seconds_norm, seconds_update;
};

const struct engine_kind *engine_find(const char *name); /* or NULL */

/* Memory that engine_open will need (plus the weights), without reserving it. */
int engine_plan(const struct engine_kind *kind, struct model *m, const struct engine_opts *o,
                struct engine_memory *mem, struct err *e);

/* The model's weights must be reserved. */
int engine_open(struct engine *g, const struct engine_kind *kind, struct model *m,
                const struct engine_opts *o, struct err *e);
void engine_close(struct engine *g);

/* State items of the optimizer: item i, or false when there are no more. */
bool engine_item(const struct engine *g, int i, struct engine_item *item);

#endif
