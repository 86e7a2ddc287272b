/* A whole product on one thread, included by gemm_tmpl.c. Where k is a head's 32 or 64, a kernel
 * call lasts a few hundred cycles, so that choosing it must take few. */
#ifndef DUET_GEMM_WHOLE_H
#define DUET_GEMM_WHOLE_H

typedef void tile_fn(int64_t k, const float *a, int64_t ld, const float *b, float *c, int64_t ldc,
                     bool add, const struct gemm_next *next);

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
                      float *c, int64_t ldc, bool add, int n, const struct gemm_next *next) {
    float sums[MR * NR];
    for (int i = 0; i < h && add; i++) {
        memcpy(sums + i * NR, c + i * ldc, sizeof *c * (size_t)n);
        memset(sums + i * NR + n, 0, sizeof *c * (size_t)(NR - n));
    }
    tile(k, a, ld, b, sums, NR, add, next);
    for (int i = 0; i < h; i++) memcpy(c + i * ldc, sums + i * NR, sizeof *c * (size_t)n);
}

/* h rows of A, and what of them a triangle leaves: k words, which begin so many words behind a
 * sliver's first, and columns [0, last). */
struct part {
    const float *a;
    float *c;
    int64_t begin, k, last;
    int h;
    tile_fn *full, *half;
};

INLINE struct part part_of(const struct gemm_whole *w, const bool cols, int64_t at, int h) {
    const int64_t edge = w->diag + at + h;
    int64_t begin = 0, end = w->k, last = w->n;
    if (w->tri == GEMM_TRI_C && last > edge) last = edge;
    if (w->tri == GEMM_TRI_LOWER && end > edge) end = edge > 0 ? edge : 0;
    if (w->tri == GEMM_TRI_UPPER && at > w->diag) begin = at - w->diag < end ? at - w->diag : end;
    return (struct part){.a = w->a + (cols ? begin * w->lda + at : at * w->lda + begin),
                         .c = w->c + at * w->ldc,
                         .begin = begin * NR,
                         .k = end - begin,
                         .last = begin == end && w->add ? 0 : last,
                         .h = h,
                         .full = (cols ? cols_full : rows_full)[h],
                         .half = (cols ? cols_half : rows_half)[h]};
}

/* Against sliver b of B, whose first column is col. */
INLINE void part_mul(const struct gemm_whole *w, const struct part *p, int64_t col,
                     const float *b) {
    if (col >= p->last) return;
    const bool half = p->last - col <= VL;
    const struct gemm_next next = gemm_next_none(b);
    tile_fn *const tile = half ? p->half : p->full;
    float *c = p->c + col;
    if (w->add) /* a kernel begins with the sums so far: those of the next are fetched meanwhile */
        for (int i = 0; i < p->h; i++) __builtin_prefetch(c + (p->h + i) * w->ldc, 1);
    if (w->n - col >= (half ? VL : NR))
        tile(p->k, p->a, w->lda, b + p->begin, c, w->ldc, w->add, &next);
    else
        tile_edge(tile, p->h, p->k, p->a, w->lda, b + p->begin, c, w->ldc, w->add,
                  (int)(w->n - col), &next);
}

/* Slivers of A against a sliver of B before the next ones: of about 42 rows. */
enum { WHOLE_PARTS = 42 / MR };

INLINE void whole_way(const struct gemm_whole *w, const bool cols) {
    const int64_t slivers = (w->m + MR - 1) / MR, height = w->m / slivers, more = w->m % slivers;
    for (int64_t s = 0, at = 0; s < slivers;) {
        struct part part[WHOLE_PARTS];
        const float *b = w->b;
        int64_t last = 0;
        int n = 0;
        for (; n < WHOLE_PARTS && s < slivers; n++, s++) {
            const int h = (int)height + (s < more);
            part[n] = part_of(w, cols, at, h);
            last = part[n].last > last ? part[n].last : last;
            at += h;
        }
        for (int64_t col = 0; col < last; col += NR, b += w->each)
            for (int i = 0; i < n; i++) part_mul(w, part + i, col, b);
    }
}

static void whole(const struct gemm_whole *w) {
    if (w->cols)
        whole_way(w, true);
    else
        whole_way(w, false);
}

#endif
