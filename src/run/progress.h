/* Counters of a run: with weights and optimizer all that it goes on from. */
#ifndef DUET_PROGRESS_H
#define DUET_PROGRESS_H

#include <math.h>
#include <stdint.h>

struct progress {
    int64_t step;      /* updates done */
    int64_t rows;      /* training windows consumed */
    int64_t tokens;    /* training tokens consumed */
    double seconds;    /* spent in training steps */
    double total;      /* since the run began, this process and those before it */
    double ema, best;  /* smoothed loss, and its lowest value so far; NaN before the first step */
    int64_t log_bytes; /* size of log.jsonl at this point */
    /* validation; since version 2 of the state */
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
static inline struct progress progress_zero(void) {
    return (struct progress){.ema = NAN, .best = NAN, .val_best = NAN, .lr_scale = 1};
}

#endif
