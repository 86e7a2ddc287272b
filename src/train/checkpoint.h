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
    int64_t val_step;  /* updates done at the last validation */
    /* since the last line of the log: */
    double log_loss, log_seconds; /* sums */
    int64_t log_steps, log_tokens;
};

int checkpoint_save(const char *dir, const struct engine *g, const struct progress *p,
                    struct err *e);

/* True if dir holds a state file. */
bool checkpoint_exists(const char *dir);

/* Restores weights, optimizer and counters. The engine must be open for the same model. */
int checkpoint_load(const char *dir, struct engine *g, struct progress *p, struct err *e);

#endif
