/* Products of a few rows with narrow weights, included by gemm_tmpl.c from AVX2 on: every stored
 * weight is read once, where it stands, and goes from there into the sums. Each sum is the chain of
 * fused multiply-adds over k from left to right that the kernels of packed panels make, so the bits
 * are the same. */
#ifndef DUET_GEMM_FEW_H
#define DUET_GEMM_FEW_H

enum {
    FEW_MOST = 4,     /* rows of A */
    FEW_GROUPS = 4,   /* of eight rows of B, at most */
    FEW_PIECE = 1536, /* bytes of a row that are fetched in one go, about */
    FEW_LINE = 64
};

struct few_rows {
    const struct mat *b;
    int64_t row0, n, k; /* k: whole spans */
    const float *a;
    int64_t lda;
    float *c;
    int64_t ldc;
    bool add;
    int64_t ld; /* bytes from one row of B to the next */
};

/* ---- reading ahead ------------------------------------------------------------------------- */

/* What will be read, piece by piece of a row, in the order of addresses as far as that goes: a
 * stream that the processor foresees, in which a page is looked up once. As they are computed with,
 * a short piece of each of many rows at a time, the rows are none. Of each span as many lines are
 * fetched as it has (rounded up), and what one piece ends within the next begins with, so that this
 * stays as far ahead as it was. */
struct few_ahead {
    const struct few_rows *f;
    int64_t rows, bytes; /* taken at once; of a span */
    int64_t piece;       /* spans... */
    int64_t each;        /* ...of so many rows: all, where they are short and nothing is between */
    int64_t j, s, row;   /* the piece: from row j + row and span s on */
    const char *at, *end;
    int64_t step; /* 0: there is no more */
};

static void few_next(struct few_ahead *h) {
    const struct few_rows *f = h->f;
    const int64_t all = f->k / SPAN;
    if (h->row == h->rows || h->j + h->row == f->n) h->row = 0, h->s += h->piece;
    if (h->s >= all) h->s = 0, h->j += h->rows;
    if (h->j >= f->n) {
        h->at = h->end - 1;
        h->step = 0;
        return;
    }
    const int64_t left = all - h->s, over = h->at - h->end, below = f->n - h->j - h->row;
    const int64_t n = below < h->each ? below : h->each;
    const char *begin = (const char *)f->b->data + (f->row0 + h->j + h->row) * f->ld;
    h->end = begin + (n - 1) * f->ld + (h->s + (left < h->piece ? left : h->piece)) * h->bytes;
    h->at = begin + h->s * h->bytes + over;
    h->row += n;
}

INLINE void few_fetch(struct few_ahead *h) {
    __builtin_prefetch(h->at, 0, 2);
    h->at += h->step;
    if (h->at >= h->end) few_next(h);
}

/* The first piece of the first rows is fetched at once. */
static struct few_ahead few_begin(const struct few_rows *f, int64_t rows, int64_t bytes) {
    const int64_t all = f->k / SPAN, pieces = (all * bytes + FEW_PIECE - 1) / FEW_PIECE;
    struct few_ahead h = {.f = f, .rows = rows, .bytes = bytes, .step = FEW_LINE};
    h.piece = (all + pieces - 1) / pieces;
    h.each = pieces == 1 && f->ld == all * bytes ? rows : 1;
    few_next(&h);
    while (h.step && h.j == 0 && h.s == 0) few_fetch(&h);
    return h;
}

/* ---- words become columns ------------------------------------------------------------------ */

/* A span of the rows: its 32-bit words, each of eight rows, and the scales of q8_0. */
struct few_words {
    __m256 w[FEW_GROUPS][SPAN / 2];
    uint16_t scale[FEW_GROUPS][8];
};

INLINE __m256 few_half(const char *at) {
    return _mm256_broadcast_ps((const __m128 *)(const void *)at);
}

INLINE __m256 few_load(const char *at) {
    return _mm256_loadu_ps((const float *)(const void *)at);
}

/* Eight words of each of eight rows. The halves of a vector come from rows four apart, so that
 * nothing has to cross them. */
INLINE void few_turn(__m256 *w, const char *const *row, int64_t at) {
    __m256 x[8], t[4];
    UNROLL for (int i = 0; i < 4; i++) {
        const char *lo = row[i] + at, *hi = row[i + 4] + at;
        x[i] = _mm256_blend_ps(few_load(lo), few_half(hi), 0xf0);
        x[i + 4] = _mm256_blend_ps(few_half(lo + 16), few_load(hi), 0xf0);
    }
    UNROLL for (int i = 0; i < 8; i += 4) {
        t[0] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        t[1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
        t[2] = _mm256_unpacklo_ps(x[i + 2], x[i + 3]);
        t[3] = _mm256_unpackhi_ps(x[i + 2], x[i + 3]);
        w[i] = _mm256_shuffle_ps(t[0], t[2], 0x44);
        w[i + 1] = _mm256_shuffle_ps(t[0], t[2], 0xee);
        w[i + 2] = _mm256_shuffle_ps(t[1], t[3], 0x44);
        w[i + 3] = _mm256_shuffle_ps(t[1], t[3], 0xee);
    }
}

/* ---- sums ---------------------------------------------------------------------------------- */

/* Columns of eight rows of B into their sums with m rows of A: the column `at` behind a. */
INLINE void few_add(const int m, __m256 *sum, __m256 x, const float *a, int64_t lda, int at) {
    UNROLL for (int r = 0; r < m; r++) { /* in so many words, for fused()'s reason */
        __asm__("vfmadd231ps %2, %1, %0"
                : "+v"(sum[r])
                : "v"(x), "v"(_mm256_set1_ps(a[r * lda + at])));
    }
}

/* Word p of a span, two columns. */
INLINE void few_bf16(const int m, const int groups, __m256 (*sum)[FEW_MOST],
                     const struct few_words *w, const int p, const float *a, int64_t lda) {
    UNROLL for (int odd = 0; odd < 2; odd++)
        UNROLL for (int g = 0; g < groups; g++) {
            const __m256i u = _mm256_castps_si256(w->w[g][p]);
            const __m256i x = odd ? _mm256_and_si256(u, _mm256_set1_epi32(-65536))
                                  : _mm256_slli_epi32(u, 16);
            few_add(m, sum[g], _mm256_castsi256_ps(x), a, lda, 2 * p + odd);
        }
}

/* Word p of a span, four columns. */
INLINE void few_q8_0(const int m, const int groups, __m256 (*sum)[FEW_MOST],
                     const struct few_words *w, const __m256 *d, const int p, const float *a,
                     int64_t lda) {
    UNROLL for (int b = 0; b < 4; b++)
        UNROLL for (int g = 0; g < groups; g++) {
            const __m256i u = _mm256_slli_epi32(_mm256_castps_si256(w->w[g][p]), 24 - 8 * b);
            const __m256 q = _mm256_cvtepi32_ps(_mm256_srai_epi32(u, 24));
            few_add(m, sum[g], _mm256_mul_ps(d[g], q), a, lda, 4 * p + b);
        }
}

/* The first span of the rows. */
INLINE void few_first(const int groups, const enum dtype type, struct few_words *w,
                      const char *const *row) {
    const int head = type == DT_BF16 ? 0 : 2, turns = type == DT_BF16 ? 2 : 1;
    for (int g = 0; g < groups; g++) {
        for (int i = 0; i < 8 && head; i++) memcpy(w->scale[g] + i, row[8 * g + i], 2);
        for (int t = 0; t < turns; t++) few_turn(w->w[g] + 8 * t, row + 8 * g, head + 32 * t);
    }
}

/* The sums of the span in w, while the next one, `at` behind row, is turned. */
INLINE void few_span(const int m, const int groups, const enum dtype type,
                     __m256 (*sum)[FEW_MOST], const struct few_words *w, struct few_words *next,
                     const char *const *row, int64_t at, const float *a, int64_t lda,
                     struct few_ahead *ahead) {
    const int words = type == DT_BF16 ? SPAN / 2 : SPAN / 4, head = type == DT_BF16 ? 0 : 2;
    const int turns = words / 8,
              lines = (8 * groups * (4 * words + head) + FEW_LINE - 1) / FEW_LINE;
    __m256 d[FEW_GROUPS];
    UNROLL for (int g = 0; g < groups && head; g++) {
        d[g] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)w->scale[g]));
        UNROLL for (int i = 0; i < 8; i++)
            memcpy(next->scale[g] + i, row[8 * g + i] + at, sizeof next->scale[g][i]);
    }
    UNROLL for (int p = 0; p < words; p++) {
        UNROLL for (int t = p * turns * groups / words; t < (p + 1) * turns * groups / words; t++)
            few_turn(next->w[t / turns] + t % turns * 8, row + t / turns * 8,
                     at + head + t % turns * 32);
        UNROLL for (int l = p * lines / words; l < (p + 1) * lines / words; l++) few_fetch(ahead);
        if (head)
            few_q8_0(m, groups, sum, w, d, p, a, lda);
        else
            few_bf16(m, groups, sum, w, p, a, lda);
    }
}

/* Rows [j, j + rows) of B, those beyond the last standing for it. */
INLINE void few_point(const struct few_rows *f, const int rows, int64_t j, const char **row) {
    const char *at = (const char *)f->b->data + (f->row0 + j) * f->ld;
    for (int i = 0; i < rows; i++, at += j + i < f->n ? f->ld : 0) row[i] = at;
}

/* Sums that are in C, of columns [j, j + n), or 0. */
INLINE void few_sums(const struct few_rows *f, const int m, const int groups, int64_t j, int64_t n,
                     __m256 (*sum)[FEW_MOST]) {
    float part[8 * FEW_GROUPS] = {0};
    UNROLL for (int r = 0; r < m; r++) {
        if (f->add) memcpy(part, f->c + r * f->ldc + j, (size_t)n * sizeof *part);
        UNROLL for (int g = 0; g < groups; g++) sum[g][r] = _mm256_loadu_ps(part + 8 * g);
    }
}

INLINE void few_put(const struct few_rows *f, const int m, const int groups, int64_t j, int64_t n,
                    __m256 (*sum)[FEW_MOST]) {
    float part[8 * FEW_GROUPS];
    UNROLL for (int r = 0; r < m; r++) {
        UNROLL for (int g = 0; g < groups; g++) _mm256_storeu_ps(part + 8 * g, sum[g][r]);
        memcpy(f->c + r * f->ldc + j, part, (size_t)n * sizeof *part);
    }
}

/* Rows of B in groups of eight. The last span of some rows turns the first of the next. */
INLINE void few_all(const struct few_rows *f, const int m, const int groups,
                    const enum dtype type) {
    const int bytes = type == DT_BF16 ? 2 * SPAN : 2 + SPAN, rows = 8 * groups;
    const int64_t all = f->k / SPAN;
    struct few_ahead ahead = few_begin(f, rows, bytes);
    struct few_words w[2];
    const char *row[8 * FEW_GROUPS];
    int now = 0;
    few_point(f, rows, 0, row);
    few_first(groups, type, w, row);
    for (int64_t j = 0; j < f->n; j += rows) {
        const int64_t n = f->n - j < rows ? f->n - j : rows;
        __m256 sum[FEW_GROUPS][FEW_MOST];
        few_sums(f, m, groups, j, n, sum);
        for (int64_t s = 0; s < all; s++, now = !now) {
            const bool last = s + 1 == all;
            if (last && j + rows < f->n) few_point(f, rows, j + rows, row);
            few_span(m, groups, type, sum, w + now, w + !now, row, last ? 0 : (s + 1) * bytes,
                     f->a + s * SPAN, f->lda, &ahead);
        }
        few_put(f, m, groups, j, n, sum);
    }
}

#define X(M, GROUPS, TYPE)                                                                         \
    static __attribute__((noinline)) void few_##TYPE##_##M(const struct few_rows *f) {             \
        few_all(f, M, GROUPS, TYPE);                                                               \
    }
#define ALL(TYPE) X(1, 4, TYPE) X(2, 4, TYPE) X(3, 2, TYPE) X(4, 2, TYPE)
ALL(DT_BF16)
ALL(DT_Q8_0)
#undef ALL
#undef X

/* What is left of k behind the last span. */
static void few_tail(const struct few_rows *f, int m, int64_t k) {
    float buf[SPAN];
    for (int64_t j = 0; j < f->n; j++) {
        const float *x = mat_stored(f->b, 0, f->row0 + j, f->k, k - f->k, buf);
        for (int r = 0; r < m; r++) {
            float sum = f->k || f->add ? f->c[r * f->ldc + j] : 0;
            for (int64_t p = f->k; p < k; p++)
                sum = __builtin_fmaf(f->a[r * f->lda + p], x[p - f->k], sum);
            f->c[r * f->ldc + j] = sum;
        }
    }
}

static void few(const struct mat *b, int64_t row0, int64_t n, int64_t k, const float *a,
                int64_t lda, int64_t m, float *c, int64_t ldc, bool add) {
    static void (*const all[2][FEW_MOST])(const struct few_rows *) = {
        {few_DT_BF16_1, few_DT_BF16_2, few_DT_BF16_3, few_DT_BF16_4},
        {few_DT_Q8_0_1, few_DT_Q8_0_2, few_DT_Q8_0_3, few_DT_Q8_0_4}};
    const int64_t ld = b->dtype == DT_BF16 ? 2 * b->ld : b->ld / SPAN * (2 + SPAN);
    const struct few_rows f = {b, row0, n, k / SPAN * SPAN, a, lda, c, ldc, add, ld};
    if (f.k) all[b->dtype == DT_Q8_0][m - 1](&f);
    if (f.k < k) few_tail(&f, (int)m, k);
}

#endif
