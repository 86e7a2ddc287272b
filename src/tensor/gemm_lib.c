#include "gemm_lib.h"

#include "arena.h"
#include "clock.h"

#include <string.h>

/* Big enough for the library to run near its best, small enough to share out: panels along B, cut
 * along A only when B alone gives too few. */
enum { PANEL_N = 256, PANEL_M = 512, COPY_ROWS = 16, COPY_K = 256 };

struct copy_job {
    const struct mat *m;
    int v;         /* variant */
    int64_t first; /* row of the operand that comes first */
    int64_t rows, k;
    enum dtype to;
    bool round;
    char *dst;
};

static void copy_span(const struct copy_job *j, int64_t i, int64_t p0, int64_t n, const float *x) {
    char *out = j->dst + (i * j->k + p0) * dtype_row(j->to)->bytes;
    if (j->round && j->to == DT_F32) {
        uint16_t h[COPY_K];
        dtype_from_f32(DT_BF16, x, h, (size_t)n);
        dtype_to_f32(DT_BF16, h, (float *)(void *)out, (size_t)n);
    } else {
        dtype_from_f32(j->to, x, out, (size_t)n);
    }
}

static void copy_chunk(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct copy_job *j = ctx;
    const struct mat *m = j->m;
    const int64_t i0 = c * COPY_ROWS, i1 = i0 + COPY_ROWS < j->rows ? i0 + COPY_ROWS : j->rows;
    float x[COPY_ROWS][COPY_K], line[COPY_ROWS];
    for (int64_t p0 = 0; p0 < j->k; p0 += COPY_K) {
        const int64_t n = j->k - p0 < COPY_K ? j->k - p0 : COPY_K;
        if (m->trans) {
            for (int64_t p = 0; p < n; p++) {
                const float *l = mat_line(m, j->v, p0 + p, j->first + i0, i1 - i0, line);
                for (int64_t i = i0; i < i1; i++) x[i - i0][p] = l[i - i0];
            }
        } else {
            for (int64_t i = i0; i < i1; i++) {
                const float *l = mat_line(m, j->v, j->first + i, p0, n, x[i - i0]);
                if (l != x[i - i0]) memcpy(x[i - i0], l, (size_t)n * sizeof *l);
            }
        }
        for (int64_t i = i0; i < i1; i++) copy_span(j, i, p0, n, x[i - i0]);
    }
}

static void copy(const struct gemm *g, const struct gemm_lib *l, const struct mat *m, int v,
                 int64_t first, int64_t rows, int64_t k, void *dst) {
    struct copy_job j = {m, v, first, rows, k, l->type, l->round, dst};
    pool_for(g->pool, (rows + COPY_ROWS - 1) / COPY_ROWS, copy_chunk, &j);
}

static bool reads_in_place(const struct gemm_lib *l, const struct mat *m) {
    return l->type == DT_F32 && !l->round && m->dtype == DT_F32 && !m->var;
}

size_t gemm_lib_pack_bytes(const struct gemm_lib *l, const struct mat *m, int64_t rows, int64_t k) {
    return reads_in_place(l, m) ? 0
                                : arena_need((size_t)(rows * k), (size_t)dtype_row(l->type)->bytes);
}

size_t gemm_lib_panel_bytes(const struct gemm_lib *l, int64_t rows, int64_t k) {
    return arena_need((size_t)((rows < PANEL_N ? rows : PANEL_N) * k),
                      (size_t)dtype_row(l->type)->bytes);
}

void gemm_lib_pack(const struct gemm *g, const struct gemm_lib *l, struct gemm_pack *p, void *dst) {
    if (reads_in_place(l, &p->src)) return;
    copy(g, l, &p->src, 0, 0, p->rows, p->k, dst);
    p->data = dst;
}

struct mul_job {
    const struct gemm *g;
    const struct gemm_lib *l;
    const struct gemm_pack *a, *b;
    float *c;
    int64_t ldc, rows, group_rows, panel_m, tiles_m; /* rows: of A, in one group */
    int variants;
    bool add;
    char *scratch; /* copies of panels of B, one a thread, or NULL */
    size_t scratch_bytes;
};

static void mul_chunk(void *ctx, int64_t t, int tid) {
    const struct mul_job *j = ctx;
    const int64_t a0 = t % j->tiles_m * j->panel_m, b0 = t / j->tiles_m * PANEL_N;
    const int64_t m = j->rows - a0 < j->panel_m ? j->rows - a0 : j->panel_m;
    const int64_t n = j->b->rows - b0 < PANEL_N ? j->b->rows - b0 : PANEL_N;
    for (int v = 0; v < j->variants; v++) {
        const int64_t row = j->a->first + v * j->group_rows + a0;
        float *c = j->c + (v * j->rows + a0) * j->ldc + b0;
        if (!j->scratch) {
            j->l->call(j->a, row, m, j->b, b0, n, c, j->ldc, j->add);
            continue;
        }
        struct gemm_pack own = gemm_unpacked(j->b->src, n, j->b->k);
        own.data = j->scratch + (size_t)tid * j->scratch_bytes;
        const double begin = clock_seconds();
        copy(j->g, j->l, &j->b->src, v, b0, n, own.k, j->scratch + (size_t)tid * j->scratch_bytes);
        gemm_count_packing(j->g, clock_seconds() - begin);
        j->l->call(j->a, row, m, &own, 0, n, c, j->ldc, j->add);
    }
}

void gemm_lib_mul(const struct gemm *g, const struct gemm_lib *l, const struct gemm_pack *a,
                  const struct gemm_pack *b, float *c, int64_t ldc, bool add, void *work) {
    if (a->rows == 0 || b->rows == 0) return;
    const int64_t tiles_n = (b->rows + PANEL_N - 1) / PANEL_N;
    struct mul_job j = {.g = g, .l = l, .a = a, .b = b, .c = c, .ldc = ldc, .add = add};
    j.variants = mat_variants(&b->src);
    j.rows = a->rows / j.variants;
    j.group_rows = a->group_rows ? a->group_rows : j.rows;
    j.panel_m = tiles_n >= 8 ? j.rows : PANEL_M;
    j.tiles_m = (j.rows + j.panel_m - 1) / j.panel_m;
    if (!b->data && !reads_in_place(l, &b->src)) {
        j.scratch = work;
        j.scratch_bytes = b->panel ? b->panel : gemm_lib_panel_bytes(l, b->rows, b->k);
    }
    pool_for(g->pool, j.tiles_m * tiles_n, mul_chunk, &j);
}
