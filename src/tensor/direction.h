/* Zeroth-order directions z: which weights move together, and how far each.
 *
 * A direction is a function of its seed: any thread makes any part of it anew at any time, so
 * neither probes nor updates store one. Its elements have variance 1 and are uncorrelated: with
 * c = g.z the mean of c z over directions is g, and that of c^2 is |g|^2.
 *
 * Directions lie in a space: a kind, and of every tensor its shape and how far it moves beside the
 * others. Tensor t of a direction is scale_t z_t; scale 0: it does not move. What is said of g then
 * holds of the gradient times the scales, as if weights were counted in units of them.
 *
 * Adding a kind: direction_x.c with a `const struct direction_kind direction_x` and one word in
 * DIRECTIONS. */
#ifndef DUET_DIRECTION_H
#define DUET_DIRECTION_H

#include "perturb.h"
#include <stdbool.h>

#define DIRECTIONS(X) X(rademacher) X(lowrank)

enum { DIRECTION_MAX_RANK = 64, DIRECTION_MAX_STATE = 2 };

struct direction;

struct direction_kind {
    const char *name, *help;
    /* Sets the keys of what direction_make was asked for. */
    void (*keys)(struct direction *d, uint64_t seed, int64_t step);
    /* y[i] = x[i] + scale z[i] for n elements of a tensor from (row, col) on, which may run on into
     * the rows after it. In place; x NULL: zeros. The same bits on every tier. */
    void (*add)(const struct direction *d, float *y, const float *x, float scale, int64_t tensor,
                int64_t row, int64_t col, int64_t n);
    /* Of a kind whose elements are signs, which packing then adds on the way: the words of blocks
     * first, first + stride, ... as perturb_words has them. NULL: rows go through `add`. */
    void (*words)(const struct direction *d, int64_t tensor, int64_t first, int64_t stride,
                  int64_t n, uint64_t *words);
    /* And those of n elements from `begin` on, as perturb_bits has them. A kind has both or
     * neither (direction_make asserts it). */
    void (*bits)(const struct direction *d, int64_t tensor, int64_t begin, int64_t n,
                 uint64_t *bits);
    /* Of a kind whose matrices are products of two factors, which packing then adds as it adds LoRA
     * (struct variants): scale scale_t z = u v, u (rows, rank), v (rank, cols). NULL: they are
     * not. */
    void (*factors)(const struct direction *d, float scale, int64_t tensor, float *u, float *v);
};

/* rows is 1 for one dimension. */
struct direction_tensor {
    int64_t rows, cols;
    float scale;
};

/* Borrowed by its directions. */
struct direction_space {
    const struct direction_kind *kind;
    const struct direction_tensor *tensor; /* by the tensor's number */
    /* Of kinds with factors: */
    int64_t rank;  /* 1 to DIRECTION_MAX_RANK */
    int64_t every; /* updates that share what they share */
    uint64_t seed; /* of the run */
    /* Per tensor what the run's estimator keeps of it (zo_kind.state), for kinds that go by that:
     * arrays of a float a weight, NULL where nothing moves. NULL: it keeps nothing. */
    float *(*state)[DIRECTION_MAX_STATE];
};

struct direction {
    const struct direction_space *space;
    uint64_t key;    /* its own */
    uint64_t shared; /* of what it has in common with others */
};

/* One copy of the weights that a run evaluates: w + eps z. eps 0: w. */
struct probe {
    struct direction dir;
    float eps;
};

#define X(name) extern const struct direction_kind direction_##name;
DIRECTIONS(X)
#undef X

const struct direction_kind *direction_find(const char *name); /* or NULL */

/* step: updates of the run before the one it belongs to; -1: it belongs to none. */
struct direction direction_make(const struct direction_space *s, uint64_t seed, int64_t step);

static inline float direction_scale(const struct direction *d, int64_t tensor) {
    return d->space->tensor[tensor].scale;
}

/* y = x + scale scale_t z, as `add`. */
void direction_add(const struct direction *d, float *y, const float *x, float scale,
                   int64_t tensor, int64_t row, int64_t col, int64_t n);

#endif
