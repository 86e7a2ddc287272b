/* The only way to use threads.
 *
 * par_for(n, fn, ctx) calls fn(ctx, i, tid) once for every i in [0, n), in any order, on up to
 * par_threads() threads, and returns when all are done. tid is in [0, par_threads()) and no two
 * calls run at once with the same tid: it indexes per-thread scratch.
 *
 * Results must not depend on the number of threads: cut the work by the problem, let chunk i write
 * only what belongs to i, and combine partial sums in the order of i afterwards.
 * A par_for inside a chunk runs its chunks one after another on the calling thread, with the tid of
 * the chunk that it is in. A par_for while another thread of the program has one running does the
 * same with tid 0. */
#ifndef DUET_PAR_H
#define DUET_PAR_H

#include <stdint.h>

typedef void par_fn(void *ctx, int64_t i, int tid);

/* Sets the number of threads, 1 or more, for what begins from now on; without it the number of
 * processors is used. Any thread may. */
void par_init(int threads);

int par_threads(void);

/* Between the two the number stays what it is for the calling thread, whatever par_init says:
 * scratch is cut for so many. They nest. Inside a par_for it is that of the loop, on every
 * thread. */
void par_hold(void);
void par_release(void);

void par_for(int64_t n, par_fn *fn, void *ctx);

#endif
