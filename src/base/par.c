/* A pool of threads that hands out chunks.
 *
 * Not an OpenMP parallel loop, because of how such a loop ends: every thread of the team must
 * arrive at its barrier, so on a machine that has other work to do each loop waits until the system
 * runs the one thread that it has put aside, even when all chunks are long done (measured: five
 * times slower with one foreign process on two processors). Here a loop ends when its chunks are
 * done. A worker that comes late finds nothing left and nobody waits for it.
 *
 * A ticket holds the number of the loop (upper half) and the next chunk (lower half). A worker
 * reads the ticket, then the job, then claims the chunk by compare-and-swap. The ticket is closed
 * while a job is written, so if the claim succeeds, the job that was read belongs to it. */
#include "par.h"
#include "cpu.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#ifdef _OPENMP
#include <omp.h>
#endif

enum {
    MAX_THREADS = 1024,
    SPINS =
        4000, /* some 50 microseconds: longer than between two loops of a step, short for people */
};

static _Atomic int n_threads; /* 0: not set yet */
static int n_workers;         /* running, besides the caller; changes while the pool is held */
static _Atomic int n_ready;   /* of them, known to the OpenMP runtime */
static _Thread_local int held, holds; /* what par_threads() is for this thread until released */

static _Atomic uint64_t ticket;
static _Atomic(par_fn *) job_fn;
static _Atomic(void *) job_ctx;
static _Atomic int64_t job_n;
static _Atomic int job_threads;
static _Atomic int64_t job_done;

static pthread_mutex_t pool = PTHREAD_MUTEX_INITIALIZER; /* held by the thread whose loop runs */
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static _Atomic int sleepers;

static _Thread_local int inside = -1; /* tid of the chunk this thread is in, or -1 */

static inline void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Libraries that use OpenMP themselves must see one thread: how they would cut work over more is
 * not a function of the problem. Returns what it was. */
static int library_threads(int n) {
#ifdef _OPENMP
    const int old = omp_get_max_threads();
    omp_set_num_threads(n);
    return old;
#else
    (void)n;
    return 1;
#endif
}

/* Takes chunks of the present loop until there are none. */
static void take_chunks(int tid) {
    for (;;) {
        uint64_t t = atomic_load(&ticket);
        par_fn *fn = atomic_load_explicit(&job_fn, memory_order_relaxed);
        void *ctx = atomic_load_explicit(&job_ctx, memory_order_relaxed);
        const int64_t i = (int64_t)(t & UINT32_MAX);
        if (i >= atomic_load_explicit(&job_n, memory_order_relaxed)) return;
        const int threads = atomic_load_explicit(&job_threads, memory_order_relaxed);
        if (tid >= threads) return;
        if (!atomic_compare_exchange_strong(&ticket, &t, t + 1)) continue;
        inside = tid;
        if (tid > 0) held = threads, holds = 1; /* a worker's number is that of the loop */
        fn(ctx, i, tid);
        if (tid > 0) holds = 0;
        inside = -1;
        atomic_fetch_add(&job_done, 1);
    }
}

static void *work(void *arg) {
    const int tid = (int)(intptr_t)arg;
    uint64_t seen = 0;
    library_threads(1);
    atomic_fetch_add(&n_ready, 1);
    for (;;) {
        int spins = 0;
        while (atomic_load(&ticket) >> 32 == seen && spins++ < SPINS) pause_cpu();
        if (atomic_load(&ticket) >> 32 == seen) {
            pthread_mutex_lock(&sleep_lock);
            atomic_fetch_add(&sleepers, 1);
            while (atomic_load(&ticket) >> 32 == seen) pthread_cond_wait(&wake, &sleep_lock);
            atomic_fetch_sub(&sleepers, 1);
            pthread_mutex_unlock(&sleep_lock);
        }
        seen = atomic_load(&ticket) >> 32;
        take_chunks(tid);
    }
    return NULL;
}

void par_init(int threads) {
    atomic_store(&n_threads, threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads);
}

int par_threads(void) {
    if (holds) return held;
    if (!atomic_load(&n_threads)) {
        int unset = 0;
        atomic_compare_exchange_strong(&n_threads, &unset, cpu_count());
    }
    return atomic_load(&n_threads);
}

void par_hold(void) {
    if (!holds) held = par_threads();
    holds++;
}

void par_release(void) {
    assert(holds > 0);
    holds--;
}

/* Workers leave signals to the threads of the program, but for those that they cause. */
static const int own_faults[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL};

/* Threads that cannot be had are done without: every loop ends all the same. */
static void start_workers(void) {
    sigset_t others, old;
    if (n_workers >= par_threads() - 1) return;
    sigfillset(&others);
    for (size_t i = 0; i < sizeof own_faults / sizeof *own_faults; i++)
        sigdelset(&others, own_faults[i]);
    pthread_sigmask(SIG_SETMASK, &others, &old);
    while (n_workers < par_threads() - 1) {
        pthread_t t;
        if (pthread_create(&t, NULL, work, (void *)(intptr_t)(n_workers + 1))) break;
        pthread_detach(t);
        n_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    /* LLVM's OpenMP aborts a process that ends while a thread makes itself known to it. */
    while (atomic_load(&n_ready) < n_workers) sched_yield();
}

static void run_here(int64_t n, par_fn *fn, void *ctx) {
    const int outer = inside;
    if (inside < 0) inside = 0;
    for (int64_t i = 0; i < n; i++) fn(ctx, i, inside);
    inside = outer;
}

static void run_pool(int64_t n, par_fn *fn, void *ctx) {
    start_workers();
    const uint64_t loop = atomic_load(&ticket) >> 32;
    atomic_exchange(&ticket, loop << 32 | UINT32_MAX); /* closed; no later store moves before it */
    atomic_store_explicit(&job_fn, fn, memory_order_relaxed);
    atomic_store_explicit(&job_ctx, ctx, memory_order_relaxed);
    atomic_store_explicit(&job_n, n, memory_order_relaxed);
    atomic_store_explicit(&job_threads, par_threads(), memory_order_relaxed);
    atomic_store_explicit(&job_done, 0, memory_order_relaxed);
    atomic_store(&ticket, (loop + 1) << 32);
    if (atomic_load(&sleepers)) {
        pthread_mutex_lock(&sleep_lock);
        pthread_cond_broadcast(&wake);
        pthread_mutex_unlock(&sleep_lock);
    }
    take_chunks(0);
    for (int spins = 0; atomic_load(&job_done) < n; spins++) {
        if (spins < SPINS)
            pause_cpu();
        else
            sched_yield(); /* the worker that holds the last chunk may want this processor */
    }
}

void par_for(int64_t n, par_fn *fn, void *ctx) {
    assert(n < UINT32_MAX);
    if (n <= 0) return;
    const int old = inside < 0 ? library_threads(1) : 0;
    par_hold();
    /* Inside a chunk, or while another thread's loop has the pool: one after another. */
    if (inside >= 0 || n == 1 || par_threads() == 1 || pthread_mutex_trylock(&pool)) {
        run_here(n, fn, ctx);
    } else {
        run_pool(n, fn, ctx);
        pthread_mutex_unlock(&pool);
    }
    par_release();
    if (inside < 0) library_threads(old);
}
