/* Harness of the numeric checks, after dav1d's checkasm: every implementation of a thing against a
 * reference, on random input from a seed, and with --bench its speed.
 *
 *   check [--bench] [--seed N] [NAME...]    NAME: a group ("kern"), an item ("swiglu") or both
 *                                           ("kern.swiglu"); none: everything
 *
 * Adding a group: write check_x.c with `void check_x(struct check *c)`, add X(x) to CHECKS and the
 * file to tests/check/meson.build. A group walks its items and variants (tiers, backends, ...):
 *
 *   if (check_begin(c, "swiglu", "avx2")) {
 *       ... check_near(c, i, found, expected, scale, tol, 0) for every element ...
 *       check_end(c);                        prints one line with the largest error
 *   }
 *
 * and looks at c->bench to measure instead. Draws come from c->rng, which check_begin seeds from
 * the item's name: an item gets the same input whichever others run, and every variant of an item
 * gets the same. The first failure of an item is printed in full, later ones are counted. */
#ifndef DUET_CHECK_H
#define DUET_CHECK_H

#include "rng.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct check;

#define CHECKS(X) X(dtype) X(kern) X(grad) X(gemm) X(few) X(view) X(ops) X(memory)

#define X(name) void check_##name(struct check *c);
CHECKS(X)
#undef X

#define CHECK_SLOTS 8
#define CHECK_SLOT_BYTES 65536

/* Memory that ends at a page nobody may touch. */
struct check_slot {
    unsigned char *mem;
    unsigned char *data; /* placed now */
    size_t bytes;
};

struct check {
    uint64_t seed;
    bool bench;
    char **want; /* NAMEs of the command line */
    int n_want;
    bool *matched; /* per NAME */
    struct rng rng;

    /* What is being checked; n and note go into the message of a failure. */
    const char *group, *item, *variant;
    int64_t n;
    const char *note;
    double worst; /* largest error so far, ulp of the scale */
    int failed;   /* failures of this item and variant */

    int total, failures; /* items x variants */
    int skipped;         /* variants */
    struct check_slot slot[CHECK_SLOTS];
};

/* Starts an item; false if the command line does not want it. */
bool check_begin(struct check *c, const char *item, const char *variant);
void check_end(struct check *c);

/* A variant of the whole group that cannot run here: one line says why, and it is counted. */
void check_skip(struct check *c, const char *variant, const char *why);

/* Distance of neighbouring floats at |x|, x finite: 2^-23 in [1, 2), 2^-149 at 0. */
double check_ulp(double x);

/* |found - expected| must be at most tol ulp of scale plus abs. scale: magnitude of what was added
 * up to get the value, for sums that cancel; expected's own is used where it is larger. NaN must
 * meet NaN, infinity the same infinity; but where scale leaves the range of f32, an intermediate
 * may have overflowed, and any infinity or NaN will do. */
bool check_near(struct check *c, int64_t index, double found, double expected, double scale,
                double tol, double abs);

/* Bit patterns must be equal. */
bool check_bits(struct check *c, int64_t index, uint64_t found, uint64_t expected);

/* Anything else. what: a clear sentence fragment of what should hold. */
bool check_that(struct check *c, bool ok, const char *what);

/* bytes of memory in a slot, surrounded by canary bytes. lead < 0: the last byte is the last one
 * that may be touched (an overrun, also of a read, is a fault, reported by name); else at lead
 * bytes past a page boundary plus canaries. Contents are undefined. */
void *check_place(struct check *c, int slot, size_t bytes, int lead);

/* No canary around any placed slot has changed. */
void check_intact(struct check *c);

/* n values of N(0, 1) times sigma. */
void check_normal(struct check *c, float *x, int64_t n, double sigma);
/* Signs random, magnitudes 2^u, u uniform in [-spread, spread]. */
void check_wide(struct check *c, float *x, int64_t n, double spread);

/* Seconds of one fn(ctx): the best of several batches of some milliseconds. */
double check_time(void (*fn)(void *ctx), void *ctx);

#endif
