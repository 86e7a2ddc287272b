/* Engines: how one update of the weights is computed from one batch.
 *
 * Adding one: engine_x.c with a `const struct engine_kind engine_x` and one word in ENGINES. */
#ifndef DUET_ENGINE_H
#define DUET_ENGINE_H

#include "exec.h"
#include "model.h"
#include "objective.h"
#include "opt.h"
#include "zo.h"
#include "zo_rate.h"

#define ENGINES(X) X(backprop) X(mezo)

struct engine_opts {
    int64_t batch, seq; /* B and T of one micro-batch */
    bool recompute;
    bool repeat; /* mezo: makes recorded updates again and nothing else; no pass ever runs, and only
                  * weights and optimizer take memory */
    const struct machine *machine;
    const _Atomic int *cancel; /* see exec_opts */
    struct opt_hyper hyper;
    /* mezo */
    const struct zo_kind *estimator;
    int64_t directions;
    const struct direction_kind *direction;         /* NULL: rademacher */
    int64_t direction_rank, direction_every;        /* of a kind with factors */
    double eps;
    uint64_t seed; /* of the run */
    int64_t max_accum;
    /* Prompt classification: the answers, and what is minimised; NULL: next-token loss. */
    const struct objective *objective;
    int n_answers;
    const uint32_t *answers;
};

/* Memory by purpose, bytes. */
struct engine_memory {
    size_t weights, gradients, optimizer;
    size_t kept;    /* activations that wait for the backward pass */
    size_t passing; /* activations, gradients and scratch that come and go */
    size_t threads; /* per-thread scratch, tables */
    size_t validation; /* what validating during the run takes beside all this; engine_plan: 0 */
    size_t total;
};

/* One micro-batch of B sequences: (B,T) ids each; for prompt classification no target, but (B)
 * positions and labels (struct choices). */
struct engine_batch {
    int64_t T; /* may be made smaller */
    uint32_t *input, *target;
    int32_t *pos, *label;
};

/* Fills micro-batch number `micro` of the present update. */
typedef void engine_fill(void *ctx, int64_t micro, struct engine_batch *b);

struct engine_step {
    int64_t step;  /* updates done before this one */
    int64_t accum; /* micro-batches */
    double lr;
    engine_fill *fill;
    void *ctx;
    /* mezo_measure and mezo_walk: after each of so many directions; or NULL. With ctx. */
    void (*probed)(void *ctx, int64_t done, int64_t of);
    /* out */
    double loss;      /* mean over the tokens of the update, nats, before the update; for another
                       * objective its value */
    double grad_norm; /* before clipping */
    bool cancelled;   /* nothing was changed, and nothing below is known */
    bool finite;      /* false: loss or gradient is not a number; the weights were left alone */
    /* mezo: what the update was made of; in the engine's memory, until the next step */
    int64_t directions;
    const uint64_t *seed;
    const float *coef;
    int64_t n_extra; /* what the estimator has recorded beside them */
    const float *extra;
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
    bool backward; /* runs backward passes: needs gradients and activations */
    /* What it takes where the user says nothing. */
    const char *optimizer, *schedule;
    double clip, decay;
    int64_t warmup;
    /* Copies of the batch that a run evaluates; NULL: one. */
    int64_t (*probes)(const struct engine_opts *o);
    /* Floating point operations of a micro-batch. */
    double (*flops)(const struct engine_opts *o, const struct graph *g);
    int (*open)(struct engine *g, struct err *e); /* or NULL */
    void (*close)(struct engine *g);              /* or NULL */
    /* State beside the optimizer's, saved like it: its bytes, item i of it (engine_item), as opened
     * again. All or none. */
    size_t (*bytes)(const struct engine_opts *o, const struct model *m);
    bool (*item)(const struct engine *g, int i, struct engine_item *item);
    void (*reset)(struct engine *g);
    void (*step)(struct engine *g, struct engine_step *s);
};

struct engine {
    const struct engine_kind *kind;
    struct engine_opts opts;
    struct model *model; /* borrowed */
    struct exec exec;
    struct arena grads, tokens;
    struct opt opt;
    struct engine_batch batch; /* one micro-batch */
    float *nll, *logits;       /* of all probes; logits: of the answers */
    struct mezo *mezo;         /* the MeZO engine's own */
    double seconds_norm, seconds_update;
    struct exec_peaks peaks; /* of the last step that was watched */
};

/* Where the seconds of the steps since the last reset went. */
struct engine_report {
    double pack;      /* reading weights into panels: widening, dequantising, perturbing */
    double gemm;      /* products of the linear layers, without LoRA */
    double lora, attention;
    double classifier; /* with the cross-entropy */
    double update;     /* with the gradient's norm */
    double rest;       /* norms, activations, embedding, rotary, residuals */
};
struct engine_report engine_report(const struct engine *g);
void engine_report_reset(struct engine *g);

/* From now on steps raise g->peaks, which begin anew; or they do no more. */
void engine_watch(struct engine *g, bool on);

/* Runs the exec over the micro-batch in g->batch and returns nothing but what is in g->nll: losses
 * of the planned sequences' tokens, or of the sequences' answers. b: probes, and for training
 * grad_scale and grad_add; the rest is filled in. False: cancelled. */
bool engine_run(struct engine *g, struct batch *b);

/* Value of the objective over sequences [first, first + n) of the last run. */
double engine_loss(const struct engine *g, int64_t first, int64_t n);

const struct engine_kind *engine_find(const char *name); /* or NULL */

/* Memory that engine_open will need (plus the weights), without reserving it. */
int engine_plan(const struct engine_kind *kind, struct model *m, const struct engine_opts *o,
                struct engine_memory *mem, struct err *e);

/* The model's weights must be reserved. */
int engine_open(struct engine *g, const struct engine_kind *kind, struct model *m,
                const struct engine_opts *o, struct err *e);
void engine_close(struct engine *g);

/* Gradients of what is trained: their bytes; reserves them and sets param.grad; and undoes both (m
 * may be NULL; of an arena that holds none nothing is undone). */
size_t engine_grad_bytes(const struct model *m);
int engine_grads_open(struct arena *grads, struct model *m, struct err *e);
void engine_grads_close(struct arena *grads, struct model *m);

/* Backprop: the gradient of s's update, as the sum over its micro-batches, in param.grad, and its
 * loss; what else there is to say of an update is left alone. s->cancelled: neither is known. */
void backprop_gradient(struct engine *g, struct engine_step *s);

/* Directions around the present weights, tried as those of an update are. */
struct engine_probe {
    int64_t n;            /* as many as an update of s->accum micro-batches has (zo_kind) */
    const uint64_t *seed; /* (n) */
    double eps;           /* instead of the engine's; with 0 there are losses, no coefficients */
    /* How far each parameter moves, instead of its `move`; what is not trained stands still. NULL:
     * as it does in training. */
    const float *scale;
    /* out */
    float *coef; /* (n) */
    /* (micro-batches, probes of one, sequences of a probe): each one's cross-entropy; or NULL. */
    double *losses;
};

/* MeZO: the coefficients that the estimator makes of them on s->fill's micro-batches, and s->loss.
 * The weights, and what the last step has left, stay as they are. ERR_USAGE: another number of
 * directions than an update has, or an eps that is none. ERR_STOP: cancelled. */
int mezo_probe(struct engine *g, struct engine_step *s, const struct engine_probe *p,
               struct err *e);

/* MeZO: makes an update again from s's lr, seeds and coefficients, bit for bit as `step` made it.
 * ERR_INPUT if the engine's settings make no such update. */
int mezo_replay(struct engine *g, struct engine_step *s, struct err *e);

/* MeZO: what `directions` probes around the present weights say (zo_rate.h), on micro-batch 0 of
 * s->fill; the first `checks` of them also at twice eps. The weights stay as they are; the
 * directions are none that an update takes. */
int mezo_measure(struct engine *g, struct engine_step *s, int64_t directions, int64_t checks,
                 struct zo_measure *m, struct err *e);

/* MeZO: by how much the loss of micro-batch 0 of s->fill rises where all trained weights are moved
 * by `size`, up or down at random: the mean over `directions` of them and their opposites. */
int mezo_walk(struct engine *g, struct engine_step *s, double size, int64_t directions,
              double *rise, struct err *e);

/* No updates done, every state as it was opened. */
void engine_reset(struct engine *g);

/* State items of the optimizer, then of the engine: item i, n 0 where a parameter has no such
 * array, or false when there are no more. */
bool engine_item(const struct engine *g, int i, struct engine_item *item);

#endif
