/* A pool of threads: the only way to use threads.
 *
 *   struct pool *p;
 *   TRY(pool_open(&p, threads, e));
 *   pool_for(p, n, fn, ctx);
 *   pool_close(p);
 *
 * pool_for calls fn(ctx, i, tid) once for every i in [0, n), in any order, on up to pool_threads(p)
 * threads, and returns when all are done. tid is in [0, pool_threads(p)) and no two calls of a loop
 * run at once with the same tid: it indexes per-thread scratch. p may be NULL: everything on the
 * calling thread.
 *
 * Results must not depend on the number of threads: cut the work by the problem, let chunk i write
 * only what belongs to i, and combine partial sums in the order of i afterwards.
 *
 * A loop inside a chunk of the same pool runs its chunks one after another on the calling thread,
 * with the tid of the chunk that it is in. A loop while another thread has one running on the pool
 * does the same with tid 0. So does every loop in a child of fork(), which has none of the pool's
 * threads; pool_close is right there, too. */
#ifndef DUET_POOL_H
#define DUET_POOL_H

#include "err.h"
#include <stdint.h>

struct pool;

typedef void pool_fn(void *ctx, int64_t i, int tid);

/* threads: 1 or more, fixed from here on; *p is NULL for 1. The threads start with the first loop
 * that needs them; those that the system does not give are done without. */
int pool_open(struct pool **p, int threads, struct err *e);

/* Ends the threads. No loop may be running, and none may begin. NULL is fine. */
void pool_close(struct pool *p);

int pool_threads(const struct pool *p);

/* Threads that a loop begun here would be shared out to: 1 inside a chunk of p. For how finely work
 * is cut whose result does not depend on it. */
int pool_reach(const struct pool *p);

void pool_for(struct pool *p, int64_t n, pool_fn *fn, void *ctx);

/* From now on every loop that is not inside a chunk of p is handed to watch, which runs it on the
 * calling thread: fn(ctx, i, tid) once for every i in [0, n), with any tid of the pool. So tests
 * see how work is cut. NULL: no more. Not while a loop is running. */
typedef void pool_watch_fn(void *seer, int64_t n, pool_fn *fn, void *ctx);
void pool_watch(struct pool *p, pool_watch_fn *watch, void *seer);

#endif
