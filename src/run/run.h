/* A training run as an object: a model, data and an engine, one update after the other.
 *
 *   TRY(run_plan(&memory, opts.engine, &model, &opts.engine_opts, run_val_seq(&opts), e));
 *   ... does it fit? Then the model's weights are reserved and loaded ...
 *   TRY(run_open(&r, &model, &opts, tell, ctx, e));
 *   while (!run_finished(r) && !run_stopped(r)) TRY(run_step(r, e));
 *   TRY(run_eval(r, &v, e));
 *   TRY(run_snapshot(r, &(struct run_pair){.weights = "w.blzt", .state = "state"}, e));
 * out:
 *   run_close(r);
 *
 * What a run does is a function of its options, its data and the first weights. It knows no command
 * line, prints nothing, catches no signals, has no folder and no state outside of itself: two runs
 * in two threads are two objects. What happens in it is told to one function, on the thread of the
 * call; so is what only the caller can do (keep a pair of files, go back to one).
 *
 * Between steps the fields of struct run may be read, and of them only the counters `p` be set. */
#ifndef DUET_RUN_H
#define DUET_RUN_H

#include "batch.h"
#include "budget.h"
#include "clock_record.h"
#include "engine.h"
#include "eval.h"
#include "heartbeat.h"
#include "progress.h"
#include "run_plan.h"
#include "schedule.h"
#include "task.h"
#include "val_change.h"

/* ---- options --------------------------------------------------------------------------------- */

/* Where micro-batches come from: one of these, or none for a run that only repeats recorded
 * updates. Rows (sequences) of the training stream are numbered from 0 on, and every one is a
 * function of its number. Borrowed. */
struct run_data {
    const struct batcher *text; /* windows of a shard; ids of a compacted model are mapped */
    struct task *task;          /* labelled examples, after task_map */
    /* Anything else: B sequences of T tokens from row `row` on, ids below the vocabulary. */
    void (*fill)(void *ctx, uint64_t row, struct engine_batch *out);
    void *ctx;
};

/* What validation looks at: fixed windows of a shard, or the examples of a task; or nothing. */
struct run_val_data {
    const struct shard *shard;
    struct split split;
    uint64_t windows;            /* at most */
    const uint32_t *token_bytes; /* see eval_opts; or NULL */
    const struct task *task;     /* after task_map */
};

struct run_opts {
    const struct engine_kind *engine;
    struct engine_opts engine_opts; /* batch, sequence, optimizer, estimator, seed ...; `cancel` is
                                     * the run's to set */
    int64_t accum, accum_end;       /* micro-batches an update, and at the run's end; 0: no ramp;
                                     * mezo: neither above engine_opts.max_accum */
    double lr;
    bool find_lr; /* mezo: run_find_rate measures it; lr is what to take if that fails */
    bool find_lr_matrix; /* ... with the factor of matrices, whose optimizer is another */
    struct sched sched;
    struct budget_use budget; /* how long; BUDGET_epochs in epochs */
    /* The clock of a recorded run, open for reading: its shares and its length take the place of
     * budget and patience, its factors that of p.lr_scale. Borrowed; NULL: none. */
    const struct clock_record *recorded;
    double spike;             /* the smoothed loss may rise so far above its best; 0: anything */
    bool rollback;            /* diverged: once, back to where RUN_BACK leads, with half the rate */
    struct run_data data;
    struct run_val_data val;
    int64_t val_every; /* updates a validation; 0: none comes of itself */
    int64_t patience;  /* the run ends after so many without a better one; 0: it does not */
    /* Of training time, one run a clock; NULL: the monotonic one, and that an update runs out of
     * time is noticed between micro-batches only. */
    struct heartbeat *clock;
    /* Set from anywhere, a signal handler or another thread, to RUN_STOP: the walk over the ops
     * ends, the present update is dropped. NULL: one of the run's own (run_stop). */
    _Atomic int *cancel;
};
struct zo_record;
enum { RUN_STOP = 1, RUN_DROP = 2 /* the run itself drops an update; not to be set */ };

/* ---- events ---------------------------------------------------------------------------------- */

struct run;

enum run_event_kind {
    RUN_NOTE,    /* text, for people */
    RUN_WARNING, /* text that must not be missed */
    /* run_find_rate: `done` of `of` directions (0 of 0: it begins); text: what for */
    RUN_PROBING,
    /* Micro-batch `done` of `of` begins. The weights and all counters are those before the update:
     * a snapshot may be made, between run_hold and run_go_on. */
    RUN_MICRO,
    RUN_SLOW, /* the same of an update that takes long; seconds: of a micro-batch of it */
    /* The time is used up in micro-batch `done` of `of`, seconds after the update began: it is
     * dropped. to: seconds that its rest would take; NaN: within a micro-batch. */
    RUN_DROPPED,
    /* An update was made (step, seconds; share: of the run, before it) and is not counted yet:
     * whoever records it does so now, so that no update counts that is not on record. */
    RUN_MADE,
    /* It is counted: step, seconds, tokens. Recorded updates that are made again are too:
     * `again`. */
    RUN_COUNTED,
    /* The largest "activation" or "logit" (text), in block `block` from 1 on, has grown from `from`
     * to `to`, as before a blow-up. Once. */
    RUN_GROWTH,
    RUN_PAUSED,      /* the process stood still for seconds, which are not counted */
    RUN_EVALUATING,  /* a validation: `done` of `of` windows or examples; 0 of 0: it begins */
    RUN_EVALUATED,   /* it ended, whatever came of it */
    RUN_VALIDATED,   /* its figures: validation; best: none was better; first: later ones are
                      * compared with it */
    RUN_STEPPED,     /* run_step is done: the moment for a checkpoint */
    RUN_BACK,        /* the loss ran away: run_restore or run_reset is asked for */
    RUN_ROLLED_BACK, /* this was done; before: the counters of the loss that ran away */
};

struct run_event {
    enum run_event_kind kind;
    const char *text;
    const struct engine_step *step;
    double seconds, from, to, share;
    int64_t done, of, tokens, block;
    bool again, best, first;
    const struct validation *validation;
    const struct progress *before;
};

/* A result that is not 0 ends what the run is doing, as if it had failed with it: the call returns
 * this result and *e. Amid passes (PROBING, MICRO, SLOW, DROPPED, EVALUATING) that is before the
 * next op: nothing was changed by the update, no rate was taken, no validation is kept. After
 * VALIDATED, COUNTED and what comes behind it, what was told of stays done. Only RUN_NOTE,
 * RUN_WARNING, RUN_GROWTH and RUN_EVALUATED are for information, and their results are not looked
 * at. */
typedef int run_event_fn(void *ctx, struct run *r, const struct run_event *v, struct err *e);

/* ---- validation ------------------------------------------------------------------------------ */

/* NaN: not known. */
struct validation {
    struct eval_result text; /* of prompt classification only loss and error */
    double accuracy, accuracy_stderr, f1;
};

/* ---- the run --------------------------------------------------------------------------------- */

/* The present update. */
struct pace {
    double begin; /* the run's clock */
    double aside; /* seconds since then that are not the update's */
    double held;  /* clock, at run_hold */
    int64_t accum, micro; /* micro-batches; the present one */
    bool late;        /* set by the clock's thread: a tenth of the time over it */
    bool out_of_time; /* so it is dropped */
    bool dropped;
    int rc;           /* an event in the midst of it failed, with e */
    struct err e;
};

struct run {
    struct run_opts opts;
    struct model *model; /* borrowed */
    struct engine engine;
    struct progress p;
    struct progress first; /* p at step 0 */
    double batch_flops;    /* of a micro-batch of full length */
    struct pace pace;
    struct val_change change;   /* since the first validation */
    struct validation last_val; /* of step last_val_step; -1: none */
    int64_t last_val_step;
    bool diverged;   /* the last step failed by this */
    char why[160];   /* ... and why */
    bool watched;    /* engine.peaks are those of the present update */
    /* inside */
    run_event_fn *tell;
    void *ctx;
    _Atomic int own_cancel;
    int64_t filled; /* tokens of the present update */
    double stopped; /* seconds of stops that were told of */
    int idle;       /* updates that changed nothing; -1: one did, or it was said */
    bool back;      /* restored since RUN_BACK */
    bool have_peaks, told_peaks;
    float peaks[2]; /* of the first update */
};

/* The model's weights are there; it is borrowed, and changed. tell may be NULL. ERR_USAGE names the
 * field of o with which there can be no run: one that is missing, out of range or does not go with
 * another. What rows hold is looked at when they are filled: ERR_INPUT of run_step, run_gradient,
 * run_probe and run_find_rate where they have ids beyond the vocabulary, or answers that there are
 * not. */
int run_open(struct run **r, struct model *m, const struct run_opts *o, run_event_fn *tell,
             void *ctx, struct err *e);
void run_close(struct run *r); /* accepts NULL */

/* Mezo with find_lr: measures the rate at the present weights, which stay as they are; opts.lr, the
 * factor of matrices and find_lr become what was found. Warns where eps, or a rate that was given,
 * is of no use. Nothing for other engines. */
int run_find_rate(struct run *r, struct err *e);

/* One update, with what is due behind it. ERR_NUMERIC: it diverged, and there was no way back. An
 * update that was dropped is no failure (run_stopped, run_finished, pace.dropped). */
int run_step(struct run *r, struct err *e);

/* What the present update would be made of, on its micro-batches and at the weights as they are,
 * without it: weights, optimizer and counters stay as they are, and no event tells of it. ERR_STOP:
 * stopped. Wrong rows are ERR_INPUT as in run_step. Neither looks whether what comes is finite.
 *
 * Backprop (else ERR_USAGE): in param.grad the gradient, before clipping; and the loss. With an
 * optimizer that has no state the run takes memory for gradients and passes alone. */
int run_gradient(struct run *r, double *loss, struct err *e);
/* Closes the run, but the gradients stay where they are, beside whatever comes after it: *grads is
 * to be released with engine_grads_close. */
void run_close_keep(struct run *r, struct arena *grads);
/* Mezo (else ERR_USAGE; so is one that only repeats): the coefficients that the estimator makes of
 * directions p->seed, and the loss as an update has it (or NULL), through the passes of an update.
 * With zo_seed(engine_opts.seed, p.step, d) and the run's eps they are those of the update to
 * come. ERR_USAGE, too: another number of directions than it has, eps below 0 or not finite. */
int run_probe(struct run *r, const struct engine_probe *p, double *loss, struct err *e);

/* Mezo (else ERR_USAGE): makes a recorded update again, bit for bit, from rate, seeds and
 * coefficients. ERR_NUMERIC: the loss ran away in it. A run opened with engine_opts.repeat does
 * only this: of it run_step, run_probe and run_find_rate are ERR_USAGE. */
int run_repeat(struct run *r, const struct zo_record *z, struct err *e);

/* The same of a run that goes on, with what run_step did behind that update: validation, with the
 * same values, best, first and patience. more: another update was made after it, so it was not the
 * last whatever the limits say now, and the moment for a checkpoint is over: RUN_STEPPED is told of
 * the last alone. There is no way back from ERR_NUMERIC. */
int run_step_again(struct run *r, const struct zo_record *z, bool more, struct err *e);

/* Validates, once a step: the figures of this step if there are some already. */
int run_eval(struct run *r, struct validation *v, struct err *e);
/* The same of the weights as they are, for nobody's record. */
int run_eval_again(struct run *r, struct validation *v, struct err *e);
/* The text windows of validation with another model. losses: one of each, or NULL. */
int run_eval_model(struct run *r, struct model *m, struct eval_result *out, double *losses,
                   struct err *e);
/* Tokens of a window or prompt that a run validates on; 0: on none. */
int64_t run_val_seq(const struct run_opts *o);
/* A validation is due and was not made. */
bool run_val_due(const struct run *r);
/* The same also where the run has reached its end: was it due if another update came after it? */
bool run_val_missing(const struct run *r);
/* What is minimised, of these values: loss, 1 - accuracy or 1 - F1. */
double run_value(const struct run_opts *o, double loss, double accuracy, double f1);
/* The objective is made of answers: then wrong answers are what validations compare. */
bool run_counts_errors(const struct run_opts *o);
/* The weights as they are have this value, the best so far. */
void run_set_best(struct run *r, double measure);

/* ---- a pair of files ------------------------------------------------------------------------- */

struct run_pair {
    const char *weights; /* BLZT v5: the model, or what LoRA trains */
    const char *state;   /* everything else: counters and the optimizer's arrays (state.h) */
    bool best;           /* snapshot: these are the weights of p.val_best; p.best_hash is set */
    bool known;          /* restore: the weights' hash is that of the state already */
};
/* Weights, then the state that names them by hash; each is replaced whole. Numbers that are not
 * finite are never written (ERR_NUMERIC). On failure the new weights go. */
int run_snapshot(struct run *r, const struct run_pair *to, struct err *e);
/* The run is open for the same model. ERR_INPUT: the two do not belong together. */
int run_restore(struct run *r, const struct run_pair *from, struct err *e);
/* The weights alone, with what there is to say of them in their meta data (step, tokens, loss). */
int run_write_weights(const struct run *r, const char *path, struct err *e);
/* The weights alone, of a file that was written. */
int run_load_weights(struct run *r, const char *path, struct err *e);
/* The weights have been made what they were at step 0: so are optimizer and counters. */
void run_reset(struct run *r);

/* ---- how far it is --------------------------------------------------------------------------- */

struct budget_use run_limits(const struct run_opts *o);
/* flops: of a micro-batch of full length; 0: not known. */
struct budget_use run_used(const struct run_opts *o, const struct progress *p, double flops);
/* Share done, 0..1; the run has reached its end. */
double run_share(const struct run_opts *o, const struct progress *p, double flops);
bool run_ended(const struct run_opts *o, const struct progress *p, double flops);
bool run_finished(const struct run *r);
/* Updates of the whole run, as far as they are known ahead; else 0. */
int64_t run_updates(const struct run_opts *o, double flops);
/* Floating point operations of the updates done: those of micro-batches of full length. */
double run_flops(const struct run_opts *o, const struct progress *p, double flops);

/* The end is asked for: before the next op, if an update is on its way. From any thread. */
void run_stop(struct run *r);
bool run_stopped(const struct run *r);
/* Seconds between the two are not the present update's. */
void run_hold(struct run *r);
void run_go_on(struct run *r);

#endif
