/* Batches as a pure function of (seed, step): nothing to save, nothing to replay.
 *
 * A split is a range of tokens of a shard. Windows are T+1 consecutive tokens: inputs are the first
 * T, targets the last T. */
#ifndef DUET_BATCH_H
#define DUET_BATCH_H

#include "err.h"
#include "shard.h"

struct split {
    uint64_t begin, end; /* token range */
    uint64_t bytes;      /* text bytes in it, 0 if unknown */
    double bits;         /* information in it, or -1 if unknown */
};

/* Cuts the data, by whole documents at its end, into what is trained on, then what validation
 * reads, and last what neither reads. A cut is by tokens, between two documents, or inside of one
 * where the cut between two would leave a side without a window (one document, or a long and a very
 * short one). The shares are of all tokens; with 0 that part is empty. Every other part must hold
 * at least T+1 tokens (ERR_INPUT says how many there are, and which T would do). name: of the data,
 * for messages. */
struct splits {
    struct split train, val, test;
};
int splits_make(const struct shard *s, const char *name, double val_fraction, double test_fraction,
                int64_t T, struct splits *p, struct err *e);

/* The same in two parts. */
int split_make(const struct shard *s, const char *name, double val_fraction, int64_t T,
               struct split *train, struct split *val, struct err *e);

enum batch_order {
    BATCH_RANDOM, /* every row an independent random window */
    BATCH_EPOCH,  /* windows at stride T, each once an epoch, shuffled anew every epoch */
};

struct batcher {
    const struct shard *shard;
    struct split split;
    int64_t T;
    uint64_t seed;
    enum batch_order order;
};

/* Row `index` (a running number: ((step * accum) + micro) * B + row for constant accumulation; the
 * trainer counts it) of the training stream. input and target: T ids each. */
void batch_row(const struct batcher *b, uint64_t index, uint32_t *input, uint32_t *target);

/* Number of windows in one epoch. */
uint64_t batch_epoch_rows(const struct batcher *b);

/* Fixed validation windows: n_max windows spread evenly over the split (all non-overlapping windows
 * if n_max is 0 or larger than their number). Returns how many there are; window i by val_row. */
uint64_t val_rows(const struct split *v, int64_t T, uint64_t n_max);
void val_row(const struct shard *s, const struct split *v, int64_t T, uint64_t n, uint64_t i,
             uint32_t *input, uint32_t *target);

#endif
