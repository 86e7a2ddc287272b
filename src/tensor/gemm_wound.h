/* Products with slivers of A that are copied for SSE2, included by gemm_tmpl.c. In place of a load
 * that copies a word to all lanes there are only shuffles, which take turns with the products and
 * sums: a shuffle for each two products. So a copied sliver is wound: its lines hold the words of
 * four rows twice, 0 1 2 3 0 1 2 3, and the four words from word r on are the rows in the order r,
 * r + 1, ... That times four columns of B is a diagonal of a square of C; four of them are all of
 * it, without a shuffle. The sums, each the same chain as ever, change places as they come from C
 * and go back: lane l of diagonal r is row r + l (modulo 4), column l.
 *
 * A line of 32 bytes lies within a line of the cache, and so does any load from it. A fourth row
 * that there is not is computed as well, of whatever stands there. */
#ifndef DUET_GEMM_WOUND_H
#define DUET_GEMM_WOUND_H

/* Even lanes of x, odd ones of y. */
INLINE vf odd_of(vf x, vf y) {
    const __m128 t = _mm_shuffle_ps((__m128)x, (__m128)y, _MM_SHUFFLE(3, 1, 2, 0));
    return (vf)_mm_shuffle_ps(t, t, _MM_SHUFFLE(3, 1, 2, 0));
}

/* The first two lanes of x, the last two of y. */
INLINE vf high_of(vf x, vf y) {
    return (vf)_mm_shuffle_ps((__m128)x, (__m128)y, _MM_SHUFFLE(3, 2, 1, 0));
}

/* Rows become diagonals. */
INLINE void wind(vf r[4]) {
    vf t[4];
    UNROLL for (int i = 0; i < 4; i++) t[i] = odd_of(r[i], r[(i + 1) % 4]);
    UNROLL for (int i = 0; i < 4; i++) r[i] = high_of(t[i], t[(i + 2) % 4]);
}

INLINE void unwind(vf r[4]) {
    vf t[4];
    UNROLL for (int i = 0; i < 4; i++) t[i] = high_of(r[i], r[(i + 2) % 4]);
    UNROLL for (int i = 0; i < 4; i++) r[i] = odd_of(t[i], t[(i + 3) % 4]);
}

/* One word of k. A product overwrites A's words, or a copy of them; in the last diagonal B's, which
 * are of no more use: 25 instructions for 8 products, as many sums and 6 loads. */
INLINE void step_wound(const int wide, vf d[2][4], const float *a, const float *b) {
    const vf b0 = *(const vf *)b, b1 = *(const vf *)(b + (wide - 1) * VL);
    UNROLL for (int r = 0; r < 4; r++) {
        vf x = *(const vfu *)(a + r);
        __asm__("" : "+x"(x)); /* or the compiler loads it twice, and two loads a cycle are all */
        d[0][r] = r < 3 ? fused(d[0][r], x, b0) : fused(d[0][r], b0, x);
        if (wide > 1) d[1][r] = r < 3 ? fused(d[1][r], x, b1) : fused(d[1][r], b1, x);
    }
}

INLINE void mul_wound(const int wide, int h, int64_t k, const float *a, const float *b, float *c,
                      int64_t ldc, bool add) {
    vf d[2][4];
    UNROLL for (int j = 0; j < wide; j++) {
        UNROLL for (int i = 0; i < 4; i++)
            d[j][i] = add && i < h ? *(const vfu *)(c + i * ldc + j * VL) : (vf){0};
        if (add) wind(d[j]);
    }
    for (int64_t n = k / STEPS; n > 0; n--, a += STEPS * COPY_LD, b += STEPS * NR)
        UNROLL for (int u = 0; u < STEPS; u++) {
            /* Slivers of A come from the second-level cache; that of B stays in the first. */
            if (u % 2 == 0) __builtin_prefetch(a + (u + 16) * COPY_LD);
            step_wound(wide, d, a + u * COPY_LD, b + u * NR);
        }
    for (int64_t n = k % STEPS; n > 0; n--, a += COPY_LD, b += NR) step_wound(wide, d, a, b);
    UNROLL for (int j = 0; j < wide; j++) {
        unwind(d[j]);
        UNROLL for (int i = 0; i < 4; i++)
            if (i < h) *(vfu *)(c + i * ldc + j * VL) = d[j][i];
    }
}

static __attribute__((noinline)) void wound(int h, int64_t k, const float *a, const float *b,
                                            float *c, int64_t ldc, bool add) {
    mul_wound(2, h, k, a, b, c, ldc, add);
}

static __attribute__((noinline)) void wound_half(int h, int64_t k, const float *a, const float *b,
                                                 float *c, int64_t ldc, bool add) {
    mul_wound(1, h, k, a, b, c, ldc, add);
}

/* ---- the copy ------------------------------------------------------------------------------ */

INLINE void put_wound(float *line, vf x) {
    *(vf *)line = x;
    *(vf *)(line + MR) = x;
}

/* h rows, of which the last stands for those that are missing. The next four come next: a short
 * piece of each is no stream that the processor would foresee. */
static void wind_rows(const float *a, int64_t ld, int h, int64_t k, float *dst) {
    const float *row[MR];
    for (int i = 0; i < MR; i++) row[i] = a + (i < h ? i : h - 1) * ld;
    int64_t p = 0;
    for (; p + VL <= k; p += VL, dst += VL * COPY_LD) {
        vf r[MR];
        __builtin_prefetch(row[p / VL % MR] + MR * ld + p); /* a line of each in four steps */
        UNROLL for (int i = 0; i < MR; i++) r[i] = *(const vfu *)(row[i] + p);
        transpose4(r);
        UNROLL for (int i = 0; i < VL; i++) put_wound(dst + i * COPY_LD, r[i]);
    }
    for (; p < k; p++, dst += COPY_LD)
        put_wound(dst, (vf){row[0][p], row[1][p], row[2][p], row[3][p]});
}

/* Four words of the line, of which there are h; beyond them there may be no memory. */
INLINE vf some_of(const float *line, int h) {
    vf x = {line[0]};
    for (int i = 1; i < h; i++) x[i] = line[i];
    return x;
}

/* Lines of all rows; of each sliver but the last the word behind it is the next one's. */
static void wind_lines(const float *a, int64_t ld, const int *at, int n, int64_t k, float *dst,
                       int64_t each) {
    const int last = at[n - 1], h = at[n] - last;
    for (int64_t p = 0; p < k; p++, a += ld, dst += COPY_LD) {
        fetch_line(a + LINES_AHEAD * ld, 4 * at[n]);
        for (int s = 0; s < n - 1; s++) put_wound(dst + s * each, *(const vfu *)(a + at[s]));
        put_wound(dst + (n - 1) * each,
                  h == MR ? *(const vfu *)(a + last) : some_of(a + last, h));
    }
}

static void copy_a(enum gemm_form from, const uint32_t *a, int64_t ld, const int *at, int n,
                   int64_t k, uint32_t *dst, int64_t each) {
    const float *words = (const float *)(const void *)a;
    float *to = (float *)(void *)dst;
    if (from == GEMM_COLS)
        wind_lines(words, ld, at, n, k, to, each);
    else
        for (int s = 0; s < n; s++)
            wind_rows(words + at[s] * ld, ld, at[s + 1] - at[s], k, to + s * each);
}

#endif
