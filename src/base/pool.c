/* A pool of threads that hands out chunks.
 *
 * Not an OpenMP parallel loop, because of how such a loop ends: every thread of the team must
 * arrive at its barrier, so on a machine that has other work to do each loop waits until the system
 * runs the one thread that it has put aside, even when all chunks are long done (measured: five
 * times slower with one foreign process on two processors). Here a loop ends when its chunks are
 * done. A worker that comes late finds nothing left and nobody waits for it.
 *
 * Chunks are shared out evenly, in order, and a thread takes those of its own share first, then what
 * is left of the others': loops of a step are cut alike, so that a thread finds in its cache what
 * it wrote in the loop before. A share's ticket holds the number of the loop (upper half) and the
 * next chunk (lower half). A worker reads the ticket, then the job, then claims the chunk by
 * compare-and-swap. Tickets are closed while a job is written, so if the claim succeeds, the job
 * that was read belongs to it. */
#include "pool.h"
#include "arena.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef _OPENMP
#include <omp.h>
#endif

enum {
    MAX_THREADS = 1024,
    SPINS =
        4000, /* some 50 microseconds: longer than between two loops of a step, short for people */
};

struct worker {
    struct pool *pool;
    pthread_t thread;
    int tid;
};

struct share {
    _Alignas(ARENA_ALIGN) _Atomic uint64_t ticket;
};

struct pool {
    int threads;
    pid_t process; /* that the workers belong to */
    int n_workers; /* running, besides the caller; changes while the pool is held */
    struct worker *workers;
    pool_watch_fn *watch; /* or NULL */
    void *seer;
    _Atomic int n_ready; /* of them, known to the OpenMP runtime */
    _Atomic bool closing;
    pthread_mutex_t held; /* by the thread whose loop runs */
    pthread_mutex_t sleep_lock;
    pthread_cond_t wake;
    _Atomic int sleepers;
    struct share *shares;                        /* one a thread */
    _Alignas(ARENA_ALIGN) _Atomic uint32_t loop; /* number of the present one */
    _Atomic(pool_fn *) job_fn;
    _Atomic(void *) job_ctx;
    _Atomic int64_t job_n;
    _Alignas(ARENA_ALIGN) _Atomic int64_t job_done;
};

/* The chunks that this thread is in, innermost first; NULL: none. */
struct frame {
    const struct pool *pool;
    int tid;
    const struct frame *outer;
};
static _Thread_local const struct frame *inside;

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
    if (old != n) omp_set_num_threads(n);
    return old;
#else
    (void)n;
    return 1;
#endif
}

/* Shares of n chunks, of which share i begins with this. */
static int64_t shares_of(const struct pool *p, int64_t n) {
    return n < p->threads ? n : p->threads;
}

static int64_t share_begin(int64_t n, int64_t shares, int64_t i) {
    return i * (n / shares) + (i < n % shares ? i : n % shares);
}

/* Takes chunks of share i, of so many, until there are none. */
static void take_share(struct pool *p, int64_t share, int tid) {
    _Atomic uint64_t *ticket = &p->shares[share].ticket;
    for (;;) {
        uint64_t t = atomic_load(ticket);
        pool_fn *fn = atomic_load_explicit(&p->job_fn, memory_order_relaxed);
        void *ctx = atomic_load_explicit(&p->job_ctx, memory_order_relaxed);
        const int64_t n = atomic_load_explicit(&p->job_n, memory_order_relaxed);
        const int64_t i = (int64_t)(t & UINT32_MAX), shares = shares_of(p, n);
        if (share >= shares || i >= share_begin(n, shares, share + 1)) return;
        if (!atomic_compare_exchange_strong(ticket, &t, t + 1)) continue;
        fn(ctx, i, tid);
        atomic_fetch_add(&p->job_done, 1);
    }
}

/* Takes chunks of the present loop until there are none. */
static void take_chunks(struct pool *p, int tid) {
    const int64_t n = atomic_load_explicit(&p->job_n, memory_order_relaxed);
    const int64_t shares = shares_of(p, n);
    for (int64_t i = 0; i < shares; i++) take_share(p, (tid + i) % shares, tid);
}

static void *work(void *arg) {
    const struct worker *w = arg;
    struct pool *p = w->pool;
    const struct frame here = {.pool = p, .tid = w->tid};
    library_threads(1);
    inside = &here;
    uint32_t seen = 0;
    atomic_fetch_add(&p->n_ready, 1);
    while (!atomic_load(&p->closing)) {
        int spins = 0;
        while (atomic_load(&p->loop) == seen && spins++ < SPINS) pause_cpu();
        if (atomic_load(&p->loop) == seen) {
            pthread_mutex_lock(&p->sleep_lock);
            atomic_fetch_add(&p->sleepers, 1);
            while (atomic_load(&p->loop) == seen) pthread_cond_wait(&p->wake, &p->sleep_lock);
            atomic_fetch_sub(&p->sleepers, 1);
            pthread_mutex_unlock(&p->sleep_lock);
        }
        seen = atomic_load(&p->loop);
        take_chunks(p, w->tid);
    }
    return NULL;
}

int pool_threads(const struct pool *p) {
    return p ? p->threads : 1;
}

int pool_open(struct pool **out, int threads, struct err *e) {
    assert(threads >= 1);
    *out = NULL;
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    if (threads == 1) return 0;
    struct pool *p = aligned_alloc(ARENA_ALIGN, arena_round(sizeof *p));
    struct worker *w = calloc((size_t)threads, sizeof *w);
    struct share *shares = aligned_alloc(ARENA_ALIGN, (size_t)threads * sizeof *shares);
    if (!p || !w || !shares) {
        free(p);
        free(w);
        free(shares);
        return err_set(e, ERR_NOMEM, "out of memory for %d threads", threads);
    }
    *p = (struct pool){.threads = threads,
                       .process = getpid(),
                       .workers = w,
                       .shares = shares,
                       .held = PTHREAD_MUTEX_INITIALIZER,
                       .sleep_lock = PTHREAD_MUTEX_INITIALIZER,
                       .wake = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < threads; i++) atomic_init(&shares[i].ticket, UINT32_MAX);
    *out = p;
    return 0;
}

/* Workers leave signals to the threads of the program, but for those that they cause. */
static const int own_faults[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL};

/* Threads that cannot be had are done without: every loop ends all the same. */
static void start_workers(struct pool *p) {
    sigset_t others, old;
    if (p->n_workers >= p->threads - 1) return;
    sigfillset(&others);
    for (size_t i = 0; i < sizeof own_faults / sizeof *own_faults; i++)
        sigdelset(&others, own_faults[i]);
    pthread_sigmask(SIG_SETMASK, &others, &old);
    while (p->n_workers < p->threads - 1) {
        struct worker *w = p->workers + p->n_workers;
        *w = (struct worker){.pool = p, .tid = p->n_workers + 1};
        if (pthread_create(&w->thread, NULL, work, w)) break;
        p->n_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    /* LLVM's OpenMP aborts a process that ends while a thread makes itself known to it. */
    while (atomic_load(&p->n_ready) < p->n_workers) sched_yield();
}

/* A new number: what is written before it is seen by who reads it. */
static void call_workers(struct pool *p, uint32_t loop) {
    atomic_store(&p->loop, loop);
    if (!atomic_load(&p->sleepers)) return;
    pthread_mutex_lock(&p->sleep_lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->sleep_lock);
}

void pool_close(struct pool *p) {
    if (!p) return;
    if (p->process == getpid()) { /* else its threads are those of another process */
        atomic_store(&p->job_n, 0);
        atomic_store(&p->closing, true);
        call_workers(p, atomic_load(&p->loop) + 1);
        for (int i = 0; i < p->n_workers; i++) pthread_join(p->workers[i].thread, NULL);
        pthread_mutex_destroy(&p->held);
        pthread_mutex_destroy(&p->sleep_lock);
        pthread_cond_destroy(&p->wake);
    }
    free(p->shares);
    free(p->workers);
    free(p);
}

static void run_here(int64_t n, pool_fn *fn, void *ctx, int tid) {
    for (int64_t i = 0; i < n; i++) fn(ctx, i, tid);
}

static void run_pool(struct pool *p, int64_t n, pool_fn *fn, void *ctx) {
    start_workers(p);
    const uint32_t loop = atomic_load(&p->loop) + 1;
    const int64_t shares = shares_of(p, n);
    for (int i = 0; i < p->threads; i++) /* closed; no later store moves before it */
        atomic_exchange(&p->shares[i].ticket, (uint64_t)loop << 32 | UINT32_MAX);
    atomic_store_explicit(&p->job_fn, fn, memory_order_relaxed);
    atomic_store_explicit(&p->job_ctx, ctx, memory_order_relaxed);
    atomic_store_explicit(&p->job_n, n, memory_order_relaxed);
    atomic_store_explicit(&p->job_done, 0, memory_order_relaxed);
    for (int64_t i = 0; i < shares; i++)
        atomic_store(&p->shares[i].ticket,
                     (uint64_t)loop << 32 | (uint64_t)share_begin(n, shares, i));
    call_workers(p, loop);
    take_chunks(p, 0);
    for (int spins = 0; atomic_load(&p->job_done) < n; spins++) {
        if (spins < SPINS)
            pause_cpu();
        else
            sched_yield(); /* the worker that holds the last chunk may want this processor */
    }
}

/* The chunk of p that this thread is in, or NULL. */
static const struct frame *chunk_of(const struct pool *p) {
    const struct frame *f = inside;
    while (f && f->pool != p) f = f->outer;
    return f;
}

int pool_reach(const struct pool *p) {
    return p && !chunk_of(p) ? p->threads : 1;
}

static void run(struct pool *p, int64_t n, pool_fn *fn, void *ctx) {
    const struct frame *chunk = p ? chunk_of(p) : NULL;
    const struct frame here = {.pool = p, .outer = inside};
    if (!p || chunk) {
        run_here(n, fn, ctx, chunk ? chunk->tid : 0);
        return;
    }
    inside = &here;
    /* Tickets count to UINT32_MAX. */
    if (p->watch) {
        p->watch(p->seer, n, fn, ctx);
    } else if (n == 1 || n >= UINT32_MAX || p->process != getpid() ||
               pthread_mutex_trylock(&p->held)) {
        run_here(n, fn, ctx, 0);
    } else {
        run_pool(p, n, fn, ctx);
        pthread_mutex_unlock(&p->held);
    }
    inside = here.outer;
}

void pool_for(struct pool *p, int64_t n, pool_fn *fn, void *ctx) {
    if (n <= 0) return;
    const int libraries = library_threads(1);
    run(p, n, fn, ctx);
    library_threads(libraries);
}

void pool_watch(struct pool *p, pool_watch_fn *watch, void *seer) {
    p->watch = watch;
    p->seer = seer;
}
