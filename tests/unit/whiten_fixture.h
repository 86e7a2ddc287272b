/* An optimizer with a `direction`, as it would stand in src/opt/opt_x.c:
 *   m = beta1 m + g;  X = m / |m|;  U = 3/2 X - 1/2 X X' X;  w -= lr (U + wd w)
 * One step of Newton and Schulz towards the nearest matrix of orthogonal rows: products, scratch
 * and a sum over all of the matrix, cut by the matrix. Its scratch has guards, and calls are noted
 * down. */
#ifndef DUET_WHITEN_FIXTURE_H
#define DUET_WHITEN_FIXTURE_H

#include "err_fixture.h"
#include "opt.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 96, GUARD = 64, CANARY = 0x5a };

static int64_t chunks_of(int64_t n) {
    return (n + CHUNK - 1) / CHUNK;
}

/* Offsets in the scratch; a guard behind each part, and nothing behind the last. */
struct room {
    size_t x, gram, sums, gemm, end;
};

static size_t past(size_t at, size_t bytes) {
    return arena_round(at + bytes + GUARD);
}

static size_t gemm_bytes(const struct gemm *g, int64_t rows, int64_t cols) {
    const struct mat x = mat_f32(NULL, cols, false), gram = mat_f32(NULL, rows, false);
    const size_t one = gemm_work_bytes(g, rows, rows, cols, x),
                 two = gemm_work_bytes(g, rows, cols, rows, gram);
    return one > two ? one : two;
}

static struct room room_of(const struct gemm *g, int64_t rows, int64_t cols) {
    struct room r = {0};
    r.gram = past(r.x, (size_t)(rows * cols) * sizeof(float));
    r.sums = past(r.gram, (size_t)(rows * rows) * sizeof(float));
    r.gemm = past(r.sums, (size_t)chunks_of(rows * cols) * sizeof(double));
    r.end = r.gemm + gemm_bytes(g, rows, cols) + GUARD;
    return r;
}

static size_t whiten_bytes(const struct machine *m, int64_t rows, int64_t cols) {
    return room_of(m->gemm + GEMM_EXACT, rows, cols).end;
}

struct whiten {
    const struct opt_tile *p;
    const struct opt_matrix *m;
    float *x, by;
    double *sum;
};

static void gather(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct whiten *j = ctx;
    const int64_t n = j->m->rows * j->m->cols, end = (i + 1) * CHUNK < n ? (i + 1) * CHUNK : n;
    double sum = 0;
    for (int64_t k = i * CHUNK; k < end; k++) {
        float *m = j->m->state[0] + k;
        *m = j->p->beta1 * *m + j->p->grad_scale * j->m->grad[k];
        sum += (double)*m * (double)*m;
    }
    j->sum[i] = sum;
}

static void divide(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct whiten *j = ctx;
    const int64_t n = j->m->rows * j->m->cols, end = (i + 1) * CHUNK < n ? (i + 1) * CHUNK : n;
    for (int64_t k = i * CHUNK; k < end; k++) j->x[k] = j->by * j->m->state[0][k];
}

static void combine(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct whiten *j = ctx;
    const int64_t n = j->m->rows * j->m->cols, end = (i + 1) * CHUNK < n ? (i + 1) * CHUNK : n;
    for (int64_t k = i * CHUNK; k < end; k++)
        j->m->grad[k] = 1.5f * j->x[k] - 0.5f * j->m->grad[k];
}

/* What was called, in order. */
static struct {
    enum role role;
    int64_t rows, cols, t;
    float grad_scale;
} calls[64];
static _Atomic int n_calls;

static void whiten_direction(const struct opt_tile *p, const struct opt_matrix *m) {
    const struct gemm *g = m->machine->gemm + GEMM_EXACT;
    const struct room r = room_of(g, m->rows, m->cols);
    char *work = m->work;
    assert_int_equal((uintptr_t)work % ARENA_ALIGN, 0);
    memset(work, CANARY, r.end); /* of any content */
    float *x = (float *)(void *)work, *gram = (float *)(void *)(work + r.gram);
    struct whiten j = {.p = p, .m = m, .x = x, .sum = (double *)(void *)(work + r.sums)};
    const int64_t n = m->rows * m->cols, chunks = chunks_of(n);
    double sum = 0;
    pool_for(m->machine->pool, chunks, gather, &j);
    for (int64_t i = 0; i < chunks; i++) sum += j.sum[i];
    j.by = (float)(1 / sqrt(sum));
    pool_for(m->machine->pool, chunks, divide, &j);
    gemm_run(g, m->rows, m->rows, m->cols, mat_f32(x, m->cols, false),
             mat_f32(x, m->cols, false), gram, m->rows, false, work + r.gemm);
    gemm_run(g, m->rows, m->cols, m->rows, mat_f32(gram, m->rows, false),
             mat_f32(x, m->cols, true), m->grad, m->cols, false, work + r.gemm);
    pool_for(m->machine->pool, chunks, combine, &j);
    const size_t bytes[] = {(size_t)n * sizeof(float), (size_t)(m->rows * m->rows) * sizeof(float),
                            (size_t)chunks * sizeof(double),
                            gemm_bytes(g, m->rows, m->cols)},
                 at[] = {r.x, r.gram, r.sums, r.gemm};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < GUARD; k++)
            assert_int_equal(work[at[i] + bytes[i] + (size_t)k], CANARY);
    const int call = n_calls++ % 64;
    calls[call].role = m->role;
    calls[call].rows = m->rows;
    calls[call].cols = m->cols;
    calls[call].t = p->t;
    calls[call].grad_scale = p->grad_scale;
}

static void whiten_tile(const struct opt_tile *p, float *w, const float *g, float *const *state,
                        int64_t n) {
    (void)state;
    assert_true(p->grad_scale == 1); /* direction has done it */
    const struct kern_sgd k = {.keep = 1 - p->lr * p->decay, .by = -p->lr, .row = g};
    p->kern->sgd(w, &k, n);
}

static const struct opt_kind whiten = {.name = "whiten",
                                       .help = "one step towards orthogonal rows",
                                       .n_state = 1,
                                       .state = {"m"},
                                       .lr = 1e-2,
                                       .beta1 = 0.9,
                                       .normalises = true,
                                       .matrices_only = true,
                                       .work_bytes = whiten_bytes,
                                       .direction = whiten_direction,
                                       .tile = whiten_tile};

#endif
