/* Rivals in turns: the way of comparing that a machine whose speed changes from minute to minute
 * cannot fool.
 *
 * In every round each rival has one turn, in an order drawn anew, so that none has the same
 * neighbour each time. What is compared are quotients within a round: what the machine did to one
 * it did to the others. */
#ifndef DUET_BENCH_ROUNDS_H
#define DUET_BENCH_ROUNDS_H

#include "err.h"
#include "stat.h"

#include <stdbool.h>
#include <stdint.h>

/* Seconds of one unit of work (a product, a step): by the clock, and of processors, all threads. */
struct turn {
    double wall, cpu;
};

struct rival {
    const char *name; /* borrowed */
    int (*turn)(void *ctx, struct turn *t, struct err *e);
    void *ctx;
};

enum { MAX_RIVALS = 16 };

struct rounds {
    int rivals;
    int64_t n;      /* rounds that are complete */
    struct turn *t; /* [n][rivals]; owned */
    double *room;   /* [n]; owned */
};

/* Called after every round; NULL: nobody asks. */
typedef void rounds_seen(void *ctx, int64_t done, int64_t of);

/* rivals 1 to MAX_RIVALS, n >= 1. The order is a function of the seed. */
int rounds_take(struct rounds *r, const struct rival *rival, int rivals, int64_t n, uint64_t seed,
                rounds_seen *seen, void *ctx, struct err *e);

/* Seconds a unit of rival i. */
struct stat_spread rounds_seconds(const struct rounds *r, int i, bool cpu);

/* How many times as fast i is as `of`: of the quotients of their seconds in each round. Exactly 1
 * beside itself. */
struct stat_spread rounds_ratio(const struct rounds *r, int i, int of, bool cpu);

/* The one with the least median seconds among those of the mask (bit i: rival i), of equals the
 * first; -1 of none. */
int rounds_best(const struct rounds *r, unsigned mask);

void rounds_release(struct rounds *r); /* accepts all zeros */

/* What a quantity did during a run, from its values in their order: the least and the greatest
 * median of three in a row, so that a single outlier does not count as movement. */
struct drift {
    double *x; /* owned */
    size_t n, cap;
};
struct drift_range {
    double low, high;
    double moved; /* high / low - 1; 0 of fewer than two values */
};
int drift_add(struct drift *d, double x, struct err *e);
struct drift_range drift_range(const struct drift *d);
struct stat_spread drift_spread(const struct drift *d); /* leaves the order as it is */
void drift_release(struct drift *d);

#endif
