#include "bandwidth.h"

#include "arena.h"
#include "clock.h"
#include "limit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the loops ------------------------------------------------------------------------------- */

struct loop {
    float *to; /* NULL: read only */
    const float *from;
    const struct kern *kern;
    int64_t n, times;
    int parts;
};

static void part(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct loop *l = ctx;
    const int64_t from = l->n * i / l->parts, n = l->n * (i + 1) / l->parts - from;
    if (n <= 0) return;
    for (int64_t k = 0; k < l->times; k++) {
        if (l->to)
            memcpy(l->to + from, l->from + from, (size_t)n * sizeof(float));
        else
            (void)l->kern->max(l->from + from, n);
        __asm__ volatile("" ::: "memory"); /* every time is one */
    }
}

static void go(struct pool *pool, struct loop *l) {
    l->parts = pool_threads(pool);
    pool_for(pool, l->parts, part, l);
}

void bandwidth_copy(struct pool *pool, float *to, const float *from, int64_t n, int64_t times) {
    go(pool, &(struct loop){.to = to, .from = from, .n = n, .times = times});
}

void bandwidth_read(struct pool *pool, const struct kern *k, const float *x, int64_t n,
                    int64_t times) {
    go(pool, &(struct loop){.from = x, .kern = k, .n = n, .times = times});
}

/* ---- against the working set ----------------------------------------------------------------- */

static const struct {
    const char *name;
    bool copies, all;
} kinds[] = {
#define X(name, copies, all) {#name, copies, all},
    BANDWIDTH_KINDS(X)
#undef X
};

const char *bandwidth_kind_name(enum bandwidth_kind k) {
    return kinds[k].name;
}

enum {
    LEAST = 16 << 10,     /* the smallest working set */
    LEAST_PART = 8 << 10, /* of a thread: less would be the time of a call */
    SIZES = 64,
    ROUNDS = 9 /* at most */
};

int bandwidth_sizes(size_t most, int per_octave, size_t *bytes, int room) {
    int n = 0;
    for (size_t b = LEAST; b <= most && n < room; b *= 2) {
        bytes[n++] = b;
        if (per_octave > 1 && b + b / 2 <= most && n < room) bytes[n++] = b + b / 2;
    }
    return n;
}

struct measuring {
    const struct bandwidth_opts *o;
    struct bandwidth *b;
    struct arena mem;
    float *x;
    double began; /* clock_seconds() */
    int64_t times[SIZES][BANDWIDTH_COUNT]; /* a turn is so many; 0: not measured */
    double seconds[SIZES][BANDWIDTH_COUNT][ROUNDS];
};

static void turn(const struct measuring *m, size_t bytes, enum bandwidth_kind k, int64_t times) {
    struct pool *pool = kinds[k].all ? m->o->pool : NULL;
    const int64_t n = (int64_t)(bytes / sizeof(float)), half = n / 2;
    if (kinds[k].copies)
        bandwidth_copy(pool, m->x + half, m->x, half, times);
    else
        bandwidth_read(pool, m->o->kern, m->x, n, times);
}

/* Seconds of one walk: the median of slices, so that what interrupts one of many does not count. Of
 * one thread they are those of its processor, which other programs disturb less; of several, those
 * of the clock. */
static double timed(const struct measuring *m, size_t bytes, enum bandwidth_kind k, int64_t times) {
    enum { SLICES = 5 };
    double seconds[SLICES];
    const int64_t n = times < SLICES ? times : SLICES, each = times / n;
    for (int64_t i = 0; i < n; i++) {
        const double at = kinds[k].all ? clock_seconds() : clock_thread_seconds();
        turn(m, bytes, k, each);
        const double end = kinds[k].all ? clock_seconds() : clock_thread_seconds();
        seconds[i] = fmax(end - at, 1e-9) / (double)each;
    }
    return stat_median(seconds, (size_t)n);
}

/* How often a working set is walked for a turn of 2 ms, found by doubling; the last of these walks
 * is the first round. Seconds of a turn. */
static double prepare(struct measuring *m, int i, enum bandwidth_kind k) {
    const size_t bytes = m->b->point[i].bytes;
    const double enough = 2e-3;
    int64_t times = 1;
    if (kinds[k].all && bytes < (size_t)LEAST_PART * (size_t)m->b->threads) return 0;
    turn(m, bytes, k, 1);
    double each = timed(m, bytes, k, times);
    while (each * (double)times < enough && times < (int64_t)1 << 24) {
        times *= 2;
        each = timed(m, bytes, k, times);
    }
    m->times[i][k] = times;
    m->seconds[i][k][0] = each;
    return each * (double)times;
}

/* As much memory as there is of it, down to the smallest working set. */
static int reserve(struct measuring *m, size_t *most, struct err *e) {
    const size_t free_bytes = memory_available();
    while (free_bytes && *most > LEAST && *most > free_bytes / 4) *most /= 2;
    for (;; *most /= 2) {
        const int rc = arena_init(&m->mem, arena_round(*most), "the measurement of memory", e);
        if (!rc || *most / 2 < LEAST) return rc;
    }
}

/* By the threads that will read it, so that it lies where they are. */
static void fill(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct measuring *m = ctx;
    const int64_t n = (int64_t)(m->mem.size / sizeof(float)), t = m->b->threads;
    for (int64_t j = n * i / t; j < n * (i + 1) / t; j++) m->x[j] = (float)(j % 61);
}

static void medians(struct measuring *m) {
    for (int i = 0; i < m->b->n; i++)
        for (int k = 0; k < BANDWIDTH_COUNT; k++) {
            const double bytes = (double)m->b->point[i].bytes;
            m->b->point[i].rate[k] =
                m->times[i][k]
                    ? 1e-9 * bytes / stat_median(m->seconds[i][k], (size_t)m->b->rounds)
                    : NAN;
        }
}

/* Time is up where other work makes everything take longer than it should. */
static bool late(const struct measuring *m) {
    return clock_seconds() - m->began > 1.5 * m->o->seconds;
}

static void one_round(struct measuring *m, int r) {
    for (int i = 0; i < m->b->n; i++)
        for (int k = 0; k < BANDWIDTH_COUNT; k++)
            if (m->times[i][k])
                m->seconds[i][k][r] =
                    timed(m, m->b->point[i].bytes, (enum bandwidth_kind)k, m->times[i][k]);
}

static void take_rounds(struct measuring *m) {
    struct bandwidth *b = m->b;
    double round = 0;
    for (int i = 0; i < b->n; i++) {
        for (int k = 0; k < BANDWIDTH_COUNT; k++) round += prepare(m, i, (enum bandwidth_kind)k);
        if (!late(m) || i + 1 == b->n) continue;
        b->n = i + 1;
        b->cut = true;
    }
    const double fit = (m->o->seconds + m->began - clock_seconds()) / fmax(round, 1e-9);
    const int rounds = fit < 2 ? 3 : fit < ROUNDS - 1 ? 1 + (int)fit : ROUNDS;
    for (b->rounds = 1;; b->rounds++) {
        if (m->o->seen) m->o->seen(m->o->ctx, b->rounds, rounds);
        if (b->rounds == rounds || late(m)) break;
        one_round(m, b->rounds);
    }
    medians(m);
}

int bandwidth_measure(struct bandwidth *b, const struct bandwidth_opts *o, struct err *e) {
    int rc;
    size_t most = o->most < LEAST ? LEAST : o->most, bytes[SIZES];
    struct measuring *m = calloc(1, sizeof *m);
    *b = (struct bandwidth){.threads = pool_threads(o->pool)};
    if (!m) TRY(err_set(e, ERR_NOMEM, "no memory for the measurement of memory"));
    *m = (struct measuring){.o = o, .b = b};
    TRY(reserve(m, &most, e));
    m->x = arena_alloc(&m->mem, m->mem.size, 1);
    b->n = bandwidth_sizes(most, o->per_octave, bytes, SIZES);
    b->point = calloc((size_t)b->n, sizeof *b->point);
    if (!b->point) TRY(err_set(e, ERR_NOMEM, "no memory for %d measurements", b->n));
    for (int i = 0; i < b->n; i++) b->point[i].bytes = bytes[i];
    pool_for(o->pool, b->threads, fill, m);
    m->began = clock_seconds();
    take_rounds(m);
out:
    if (rc) bandwidth_release(b);
    if (m) arena_release(&m->mem);
    free(m);
    return rc;
}

void bandwidth_release(struct bandwidth *b) {
    free(b->point);
    *b = (struct bandwidth){0};
}
