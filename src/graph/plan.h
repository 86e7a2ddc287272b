/* The memory plan: a schedule of events and a place for everything that lives in between.
 *
 * The schedule is the forward pass; for training the backward pass follows, and before a backward
 * step that reads a value which was not kept, the nodes that make it are run again. What is kept is
 * a policy: normally everything but the outputs of cheap ops; with `recompute` only what crosses
 * from one block to the next (activation checkpointing, Chen et al. 2016, arXiv 1604.06174).
 * From the schedule follows how long each buffer lives, and from that its offset in one arena:
 * largest first, at the lowest offset that is free for its whole life. */
#ifndef DUET_PLAN_H
#define DUET_PLAN_H

#include "graph.h"

enum event_kind { EVENT_FORWARD, EVENT_BACKWARD };

/* A buffer comes into being with the event: value or gradient `value` stands at `offset`. */
struct placement {
    int value;
    bool grad, cache; /* cache: offset is in the cache arena */
    size_t offset;
};

struct event {
    enum event_kind kind;
    bool again; /* a forward step repeated for the backward pass */
    int node;
    int first_placement, n_placements;
    unsigned adds; /* bit i: the gradient of input i is accumulated, not written */
    size_t work;   /* offset of the shared scratch */
};

struct plan {
    struct event *events;
    int n_events;
    struct placement *placements;
    int n_placements;
    size_t arena_bytes;  /* activations, their gradients and scratch */
    size_t kept_bytes;   /* of these: activations that wait for the backward pass */
    size_t cache_bytes;  /* keys and values of past positions */
    size_t thread_bytes; /* scratch of one thread */
};

struct exec;

/* x gives graph, shape (B, T, cache), gemm, train and recompute. ERR_NOMEM, or ERR_INPUT for a
 * graph that cannot be trained (op.h, last_reader), naming node and value: nothing to release. */
int plan_make(struct plan *p, const struct exec *x, struct err *e);
void plan_release(struct plan *p);

#endif
