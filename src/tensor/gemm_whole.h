/* A whole product on one thread, included by gemm_tmpl.c. Where k is a head's 32 or 64, a kernel
 * call lasts a few hundred cycles, so that choosing it must take few. */
#ifndef DUET_GEMM_WHOLE_H
#define DUET_GEMM_WHOLE_H

typedef void tile_fn(int64_t k, const float *a, int64_t ld, const float *b, float *c, int64_t ldc,
                     bool add);

/* By height. */
#define X(H) rows_f32_##H,
static tile_fn *const rows_full[] = {NULL, HEIGHTS(X)};
#undef X
#define X(H) cols_f32_##H,
static tile_fn *const cols_full[] = {NULL, HEIGHTS(X)};
#undef X
#define X(H) half_rows_f32_##H,
static tile_fn *const rows_half[] = {NULL, HEIGHTS(X)};
#undef X
#define X(H) half_cols_f32_##H,
static tile_fn *const cols_half[] = {NULL, HEIGHTS(X)};
#undef X

/* One kernel call where C has fewer columns than it writes. */
static void tile_edge(tile_fn *tile, int h, int64_t k, const float *a, int64_t ld, const float *b,
                      float *c, int64_t ldc, bool add, int n) {
    float sums[MR * NR];
    for (int i = 0; i < h && add; i++) {
        memcpy(sums + i * NR, c + i * ldc, sizeof *c * (size_t)n);
        memset(sums + i * NR + n, 0, sizeof *c * (size_t)(NR - n));
    }
    tile(k, a, ld, b, sums, NR, add);
    for (int i = 0; i < h; i++) memcpy(c + i * ldc, sums + i * NR, sizeof *c * (size_t)n);
}

/* Rows [at, at + h) against sliver b of B, whose first column is col. */
INLINE void whole_tile(const struct gemm_whole *w, const bool cols, int64_t at, int h, int64_t col,
                       const float *b) {
    const int64_t last = w->diag + at + h, left = w->n - col; /* last: columns, or k, in use */
    int64_t begin = 0, end = w->k, use = left;
    if (w->tri == GEMM_TRI_C) {
        if (col >= last) return;
        if (use > last - col) use = last - col;
    } else if (w->tri == GEMM_TRI_LOWER) {
        if (end > last) end = last > 0 ? last : 0;
    } else if (w->tri == GEMM_TRI_UPPER) {
        if (at > w->diag) begin = at - w->diag < end ? at - w->diag : end;
    }
    if (begin == end && w->add) return;
    const float *a = w->a + (cols ? begin * w->lda + at : at * w->lda + begin);
    float *c = w->c + at * w->ldc + col;
    const bool half = use <= VL;
    tile_fn *const *const full_tiles = cols ? cols_full : rows_full;
    tile_fn *const *const half_tiles = cols ? cols_half : rows_half;
    tile_fn *const tile = (half ? half_tiles : full_tiles)[h];
    if (w->add) /* a kernel begins with the sums so far: those of the next are fetched meanwhile */
        for (int i = 0; i < h; i++) __builtin_prefetch(c + (h + i) * w->ldc, 1);
    if (left >= (half ? VL : NR))
        tile(end - begin, a, w->lda, b + begin * NR, c, w->ldc, w->add);
    else
        tile_edge(tile, h, end - begin, a, w->lda, b + begin * NR, c, w->ldc, w->add, (int)left);
}

/* Slivers of A against a sliver of B before the next ones: of about 42 rows. */
enum { WHOLE_SLIVERS = 42 / MR };

INLINE void whole_way(const struct gemm_whole *w, const bool cols) {
    const int64_t slivers = (w->m + MR - 1) / MR, height = w->m / slivers, more = w->m % slivers;
    for (int64_t s0 = 0, first = 0, next; s0 < slivers; s0 += WHOLE_SLIVERS, first = next) {
        const int64_t s1 = s0 + WHOLE_SLIVERS < slivers ? s0 + WHOLE_SLIVERS : slivers;
        next = s1 * height + (s1 < more ? s1 : more);
        const float *b = w->b;
        for (int64_t col = 0; col < w->n; col += NR, b += w->each) {
            if (w->tri == GEMM_TRI_C && col >= w->diag + next) break;
            for (int64_t s = s0, at = first; s < s1; s++) {
                const int h = (int)height + (s < more);
                whole_tile(w, cols, at, h, col, b);
                at += h;
            }
        }
    }
}

static void whole(const struct gemm_whole *w) {
    if (w->cols)
        whole_way(w, true);
    else
        whole_way(w, false);
}

#endif
