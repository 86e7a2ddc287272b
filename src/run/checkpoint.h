/* Checkpoints of a run's folder, from which it can go on bit for bit.
 *
 *   model.blzt   the weights; of a LoRA run adapter.blzt
 *   state        everything else: counters (JSON) and the optimizer's arrays (zstd frames)
 *
 * The state names the model file it belongs to by hash. Order of writing: model.next.blzt, state
 * (atomic), then model.next.blzt is renamed to model.blzt. Killed before the state is in place, the
 * old pair is whole; killed after it, the next model is found by its hash and the rename is done
 * again. The layout is in docs/formats.md. */
#ifndef DUET_CHECKPOINT_H
#define DUET_CHECKPOINT_H

#include "engine.h"

/* Counters of a run. */
struct progress {
    int64_t step;      /* updates done */
    int64_t rows;      /* training windows consumed */
    int64_t tokens;    /* training tokens consumed */
    double seconds;    /* spent in training steps */
    double total;      /* since the run began, this process and those before it */
    double ema, best;  /* smoothed loss, and its lowest value so far; NaN before the first step */
    int64_t log_bytes; /* size of log.jsonl at this point */
    /* validation (trainer_save.c); since version 2 of the state */
    int64_t val_step;      /* updates done at the last validation */
    double val_best;       /* lowest value of what is minimised; NaN: none yet */
    int64_t val_best_step; /* updates done then */
    int64_t val_stale;     /* validations since without a lower one */
    int64_t val_key;       /* what the values depend on; 0: not known */
    int64_t best_hash;     /* upper 63 bits of the hash of the best model's file; 0: no file */
    int64_t rollbacks;
    double lr_scale; /* factor on the learning rate */
    /* since the last line of the log: */
    double log_loss, log_seconds; /* sums */
    int64_t log_steps, log_tokens;
};

/* Counters of a run that begins. */
struct progress progress_zero(void);

/* best: this is the model of p->val_best; p->best_hash becomes its hash. */
int checkpoint_save(const char *dir, const struct engine *g, struct progress *p, bool best,
                    struct err *e);

/* True if dir holds a state file. */
bool checkpoint_exists(const char *dir);

/* Restores weights, optimizer and counters. The engine must be open for the same model. */
int checkpoint_load(const char *dir, struct engine *g, struct progress *p, struct err *e);

/* A second pair of the same files, model.good.blzt and state.good: set aside from the last
 * checkpoint (further names), loaded, removed. */
int checkpoint_set_aside(const char *dir, const struct engine *g, struct err *e);
bool checkpoint_aside(const char *dir);
int checkpoint_load_aside(const char *dir, struct engine *g, struct progress *p, struct err *e);
void checkpoint_drop_aside(const char *dir, const struct engine *g);

/* The counters alone. */
int checkpoint_progress(const char *dir, struct progress *p, struct err *e);

/* Only weights, from the file of a checkpoint of that name in dir. */
int checkpoint_load_weights(const char *dir, const char *name, struct engine *g, struct err *e);

/* p->best_hash becomes the hash of the last weights. */
int checkpoint_hash(const char *dir, const struct engine *g, struct progress *p, struct err *e);

#endif
