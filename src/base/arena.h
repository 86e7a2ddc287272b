/* Arenas by lifetime (weights, state, activations, scratch): one anonymous mapping, bump
 * allocation, 64-byte aligned, released at once. Pages that are never touched cost no memory.
 *
 *   struct arena a;
 *   TRY(arena_init(&a, bytes, "weights", e));
 *   float *w = arena_alloc(&a, n, sizeof *w);    never NULL: running over the size
 *                                              is a bug (assert)
 *   arena_release(&a);
 *
 * Sizes come from a plan, so an arena never grows. Memory starts as zeros. */
#ifndef DUET_ARENA_H
#define DUET_ARENA_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>

#define ARENA_ALIGN 64

struct arena {
    char *base;
    size_t size, used;
    const char *name; /* borrowed; for messages */
};

/* Rounds n up to a multiple of ARENA_ALIGN. */
static inline size_t arena_round(size_t n) {
    return (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
}

/* Bytes that arena_alloc(n, size) will take, or SIZE_MAX on overflow. */
size_t arena_need(size_t n, size_t size);

/* Reserves bytes (0 is allowed). ERR_NOMEM names the arena and the size. */
int arena_init(struct arena *a, size_t bytes, const char *name, struct err *e);

/* n elements of size bytes, 64-byte aligned, zero on first use. */
void *arena_alloc(struct arena *a, size_t n, size_t size);

/* Accepts an arena that is all zeros. */
void arena_release(struct arena *a);

#endif
