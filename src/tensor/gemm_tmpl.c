/* Compiled once per tier with -DISA=name. Everything but the exported tables is static: an AVX-512
 * copy of a shared inline function must never be linked into generic code. */
#include "gemm_kern.h"
#include "kern.h"

#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__AVX512F__)
#define VL 16
#define MR 14
#elif defined(__AVX2__)
#define VL 8
#define MR 6
#else
#define VL 4
#define MR 4
#endif
#define NR (2 * VL)
#define FETCHES (VL == 16)            /* of the others' caches a panel needs all */
#define COPY_LD (WINDS ? 2 * MR : MR) /* words of a line of a sliver of A that is copied */

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define INLINE static inline __attribute__((always_inline))
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNROLL /* with a check of every access, unrolled kernels take gcc minutes */
#define STEPS 1
#elif defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

/* SSE2 alone: sixteen registers, no load that copies a word to all lanes, and products that
 * overwrite a factor. */
#if VL == 4 && defined(__SSE2__)
#define WINDS 1 /* gemm_wound.h */
#else
#define WINDS 0
#endif
#if WINDS && !defined(STEPS)
#define NARROW 1
#else
#define NARROW 0
#endif

typedef float vf __attribute__((vector_size(4 * VL)));
typedef float vfu __attribute__((vector_size(4 * VL), aligned(4)));

/* ---- products ---------------------------------------------------------------------------- */

/* Where A's rows are: side by side (one pointer does), or ld words apart. For the latter four
 * pointers and two multiples of ld reach all rows by x86 addressing; the empty asm keeps the
 * compiler from turning them into fourteen pointers, which do not fit in the registers. */
struct rows {
    const float *p[4];
    int64_t ld, ld3;
};

INLINE struct rows rows_make(const int h, const float *a, int64_t ld) {
    struct rows r = {{a, a, a, a}, ld, 3 * ld};
    for (int i = 1; i < 4 && 4 * i < h; i++) r.p[i] = a + 4 * i * ld;
    return r;
}

INLINE const float *rows_at(const struct rows *r, int i) {
    const float *p = r->p[i / 4];
    switch (i % 4) {
    case 0: return p;
    case 1: return p + r->ld;
    case 2: return p + 2 * r->ld;
    default: return p + r->ld3;
    }
}

/* Element u words on in row i. */
INLINE float rows_get(const struct rows *r, int i, int u) {
    return rows_at(r, i)[u];
}

INLINE void rows_next(struct rows *r, int n) {
    for (int i = 0; i < 4; i++) r->p[i] += n;
    __asm__("" : "+r"(r->p[0]), "+r"(r->p[1]), "+r"(r->p[2]), "+r"(r->p[3]));
    __asm__("" : "+r"(r->ld), "+r"(r->ld3));
}

/* Sum + x b. Said in so many words, each sum stays in its register; left to itself, gcc gives the
 * sums of an unrolled loop new registers until some have none. */
INLINE vf fused(vf sum, vf x, vf b) {
#if defined(__FMA__)
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(b));
    return sum;
#elif defined(__SSE2__)
    __asm__("mulps %2, %1\n\taddps %1, %0" : "+x"(sum), "+x"(x) : "x"(b));
    return sum;
#else
    return sum + x * b;
#endif
}

/* Words of k at a time: a product is as fast as its instructions can be issued where two threads
 * share a core, so there should be few besides loads and sums. */
#ifndef STEPS
#define STEPS 8
#endif

/* `steps` words of k; `wide` vectors of columns. */
INLINE void step_f32(const int h, const int wide, const bool cols, const int steps, vf r[MR][2],
                     struct rows *rows, const float **a, int64_t ld, const float **b,
                     const char **next, int64_t next_step) {
    UNROLL for (int u = 0; u < steps; u++) {
        if (FETCHES && steps > 1 && u % GEMM_NEXT_WORDS == 0) {
            __builtin_prefetch(*next, 0, 2);
            *next += next_step;
        }
        const vf b0 = *(const vf *)(*b + u * NR), b1 = *(const vf *)(*b + u * NR + (wide - 1) * VL);
#if VL == 16 /* a block of two lines a word does not stay in the first-level cache */
        __builtin_prefetch(*b + (u + 8) * NR);
        __builtin_prefetch(*b + (u + 8) * NR + 16);
#endif
        UNROLL for (int i = 0; i < h; i++) {
            const float s = cols ? (*a)[i] : rows_get(rows, i, u);
            const vf x = s - (vf){0};
            r[i][0] = fused(r[i][0], x, b0);
            if (wide > 1) r[i][1] = fused(r[i][1], x, b1);
        }
        if (cols) *a += ld;
    }
    if (!cols) rows_next(rows, steps);
    *b += steps * NR;
}

#if NARROW
/* Word u of x in all lanes: one instruction, where a load of the word would take two. */
INLINE vf lane(vf x, int u) {
    const __m128i v = (__m128i)x;
    switch (u) {
    case 0: return (vf)_mm_shuffle_epi32(v, 0x00);
    case 1: return (vf)_mm_shuffle_epi32(v, 0x55);
    case 2: return (vf)_mm_shuffle_epi32(v, 0xaa);
    default: return (vf)_mm_shuffle_epi32(v, 0xff);
    }
}

/* Sums of two rows. The products of the second overwrite B's words, not copies of them. */
INLINE void pair_f32(vf r0[2], vf r1[2], vf x0, vf x1, const float *b) {
    vf b0 = *(const vf *)b, b1 = *(const vf *)(b + VL), t;
    __asm__("movaps %[x0], %[t]\n\t"
            "mulps %[b0], %[t]\n\t"
            "addps %[t], %[r00]\n\t"
            "mulps %[b1], %[x0]\n\t"
            "addps %[x0], %[r01]\n\t"
            "mulps %[x1], %[b0]\n\t"
            "addps %[b0], %[r10]\n\t"
            "mulps %[x1], %[b1]\n\t"
            "addps %[b1], %[r11]"
            : [r00] "+x"(r0[0]), [r01] "+x"(r0[1]), [r10] "+x"(r1[0]), [r11] "+x"(r1[1]),
              [b0] "+x"(b0), [b1] "+x"(b1), [x0] "+x"(x0), [t] "=&x"(t)
            : [x1] "x"(x1));
}

/* Rows go by two, and for each two B's words come anew: besides the sums of all rows, registers
 * are few. A vector of A holds words of one row, or (cols) a word of each. */
INLINE void step_narrow(const int h, const int wide, const bool cols, vf r[MR][2],
                        struct rows *rows, const float **a, int64_t ld, const float **b) {
    UNROLL for (int i = 0; i < h; i += 2) {
        const bool two = i + 1 < h;
        vf x0, x1;
        __asm__("" : "+r"(*a), "+r"(*b)); /* or the compiler keeps the words, and spills */
        UNROLL for (int u = 0; u < STEPS; u++) {
            if (cols || u % VL == 0) {
                x0 = *(const vfu *)(cols ? *a + u * ld : rows_at(rows, i) + u);
                x1 = cols || !two ? x0 : *(const vfu *)(rows_at(rows, i + 1) + u);
            }
            const vf y0 = lane(x0, cols ? i : u % VL), y1 = lane(x1, cols ? i + 1 : u % VL);
            const float *at = *b + u * NR;
            if (two && wide > 1) {
                pair_f32(r[i], r[i + 1], y0, y1, at);
                continue;
            }
            r[i][0] = fused(r[i][0], y0, *(const vf *)at);
            if (wide > 1) r[i][1] = fused(r[i][1], y0, *(const vf *)(at + VL));
            if (two) r[i + 1][0] = fused(r[i + 1][0], y1, *(const vf *)at);
        }
    }
    if (cols)
        *a += STEPS * ld;
    else
        rows_next(rows, STEPS);
    *b += STEPS * NR;
}
#endif

INLINE void mul_f32(const int h, const int wide, const bool cols, int64_t k, const float *a,
                    int64_t ld, const float *b, float *c, int64_t ldc, bool add,
                    const struct gemm_next *next) {
    vf r[MR][2];
    struct rows rows = rows_make(h, a, ld);
    UNROLL for (int i = 0; i < h; i++) UNROLL for (int j = 0; j < wide; j++) r[i][j] =
        add ? *(const vfu *)(c + i * ldc + j * VL) : (vf){0};
    const int parts = FETCHES ? GEMM_NEXT_PARTS : 1;
    for (int part = 0; part < parts; part++) {
        const char *soon = next->at[part];
        const int64_t soon_step = next->step[part], each = k / STEPS / parts;
        for (int64_t n = part ? each : k / STEPS - (parts - 1) * each; n > 0; n--)
#if NARROW
            if (!cols || h == MR)
                step_narrow(h, wide, cols, r, &rows, &a, ld, &b);
            else
#endif
                step_f32(h, wide, cols, STEPS, r, &rows, &a, ld, &b, &soon, soon_step);
    }
    for (int64_t n = k % STEPS; n > 0; n--)
        step_f32(h, wide, cols, 1, r, &rows, &a, ld, &b, NULL, 0);
    UNROLL for (int i = 0; i < h; i++) UNROLL for (int j = 0; j < wide; j++) *
        (vfu *)(c + i * ldc + j * VL) = r[i][j];
}

#define HEIGHTS_4(X) X(1) X(2) X(3) X(4)
#define HEIGHTS_6(X) HEIGHTS_4(X) X(5) X(6)
#define HEIGHTS_14(X) HEIGHTS_6(X) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#define HEIGHTS CAT(HEIGHTS_, MR)

#define WAY(H, way, wide, cols)                                                                    \
    static __attribute__((noinline)) void way##_f32_##H(int64_t k, const float *a, int64_t ld,     \
                                                        const float *b, float *c, int64_t ldc,     \
                                                        bool add, const struct gemm_next *next) {  \
        mul_f32(H, wide, cols, k, a, ld, b, c, ldc, add, next);                                    \
    }
#define X(H) WAY(H, rows, 2, false) WAY(H, cols, 2, true)
HEIGHTS(X)
#undef X
#define X(H) WAY(H, half_rows, 1, false) WAY(H, half_cols, 1, true)
HEIGHTS(X)
#undef X
#undef WAY

#include "gemm_pack.h"
#if WINDS
#include "gemm_wound.h"
#endif

static void mul(int h, enum gemm_form form, int64_t k, const void *a, int64_t ld, const void *b,
                float *c, int64_t ldc, bool add, const struct gemm_scales *s,
                const struct gemm_next *next) {
    (void)s;
#if WINDS
    if (form == GEMM_COPY) {
        wound(h, k, a, b, c, ldc, add);
        return;
    }
#endif
    switch (h) {
#define X(H)                                                                                       \
    case H:                                                                                        \
        (form == GEMM_ROWS ? rows_f32_##H : cols_f32_##H)(k, a, ld, b, c, ldc, add, next);         \
        break;
        HEIGHTS(X)
#undef X
    }
}

static void mul_half(int h, enum gemm_form form, int64_t k, const void *a, int64_t ld,
                     const void *b, float *c, int64_t ldc, bool add, const struct gemm_scales *s,
                     const struct gemm_next *next) {
    (void)s;
#if WINDS
    if (form == GEMM_COPY) {
        wound_half(h, k, a, b, c, ldc, add);
        return;
    }
#endif
    switch (h) {
#define X(H)                                                                                       \
    case H:                                                                                        \
        (form == GEMM_ROWS ? half_rows_f32_##H : half_cols_f32_##H)(k, a, ld, b, c, ldc, add,      \
                                                                    next);                         \
        break;
        HEIGHTS(X)
#undef X
    }
}

#if defined(__AVX512BF16__)
INLINE int word(float x) {
    int w;
    memcpy(&w, &x, sizeof w);
    return w;
}

/* As mul_f32; a word of A is a pair of bf16, passed around in the bits of a float. */
INLINE void mul_bf16(const int h, const bool cols, int64_t k, const float *a, int64_t ld,
                     const uint32_t *b, float *c, int64_t ldc, bool add) {
    __m512 r[MR][2];
    struct rows rows = rows_make(h, a, ld);
    UNROLL for (int i = 0; i < h; i++) {
        r[i][0] = add ? _mm512_loadu_ps(c + i * ldc) : _mm512_setzero_ps();
        r[i][1] = add ? _mm512_loadu_ps(c + i * ldc + VL) : _mm512_setzero_ps();
    }
    for (int64_t p = 0; p < k; p++) {
        const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b);
        const __m512bh b1 = (__m512bh)_mm512_loadu_si512(b + VL);
        __builtin_prefetch(b + 8 * NR);
        __builtin_prefetch(b + 8 * NR + 16);
        UNROLL for (int i = 0; i < h; i++) {
            const __m512bh x =
                (__m512bh)_mm512_set1_epi32(word(cols ? a[i] : rows_get(&rows, i, 0)));
            r[i][0] = _mm512_dpbf16_ps(r[i][0], x, b0);
            r[i][1] = _mm512_dpbf16_ps(r[i][1], x, b1);
        }
        if (cols)
            a += ld;
        else
            rows_next(&rows, 1);
        b += NR;
    }
    UNROLL for (int i = 0; i < h; i++) {
        _mm512_storeu_ps(c + i * ldc, r[i][0]);
        _mm512_storeu_ps(c + i * ldc + VL, r[i][1]);
    }
}

#define X(H)                                                                                       \
    static __attribute__((noinline)) void rows_bf16_##H(int64_t k, const float *a, int64_t ld,     \
                                                        const uint32_t *b, float *c, int64_t ldc,  \
                                                        bool add) {                                \
        mul_bf16(H, false, k, a, ld, b, c, ldc, add);                                              \
    }                                                                                              \
    static __attribute__((noinline)) void cols_bf16_##H(int64_t k, const float *a, int64_t ld,     \
                                                        const uint32_t *b, float *c, int64_t ldc,  \
                                                        bool add) {                                \
        mul_bf16(H, true, k, a, ld, b, c, ldc, add);                                               \
    }
HEIGHTS(X)
#undef X

static void mul_pairs(int h, enum gemm_form form, int64_t k, const void *a, int64_t ld,
                      const void *b, float *c, int64_t ldc, bool add, const struct gemm_scales *s,
                      const struct gemm_next *next) {
    (void)s;
    (void)next;
    switch (h) {
#define X(H)                                                                                       \
    case H: (form == GEMM_ROWS ? rows_bf16_##H : cols_bf16_##H)(k, a, ld, b, c, ldc, add); break;
        HEIGHTS(X)
#undef X
    }
}
#endif

#include "gemm_whole.h"

/* ---- copies of A --------------------------------------------------------------------------- */

/* A stored line as words: f32, rounded if asked. */
static void pack_a(const struct mat *m, int64_t line, int64_t rows, int64_t k, bool round,
                   const float *scale, void *out) {
    float buf[KB], *dst = out;
    const int64_t n = m->trans ? rows : k;
    (void)scale;
    for (int64_t p = 0; p < n; p += KB) {
        const int w = (int)(n - p < KB ? n - p : KB);
        memcpy(dst + p, widen(m, line, p, buf, w, round), sizeof *dst * (size_t)w);
    }
}

#if defined(__AVX512BF16__)
/* Pairs: neighbours within a stored line, or (trans) the line and the next one. */
static void pack_a_pairs(const struct mat *m, int64_t pair, int64_t rows, int64_t k, bool round,
                         const float *scale, void *out) {
    float x[KB], y[KB];
    uint32_t *dst = out;
    const int64_t line = m->trans ? 2 * pair : pair, n = m->trans ? rows : k;
    const bool last = line + 1 == k; /* there is no next one */
    (void)round;
    (void)scale;
    for (int64_t p = 0; p < n; p += KB) {
        const int w = (int)(n - p < KB ? n - p : KB);
        const float *lo = widen(m, line, p, x, w, false);
        if (!m->trans) {
            for (int j = 0; j < w; j += 16) {
                const int words = (w - j + 1) / 2;
                const __m256i h = bf16_pairs(load16(lo + j, w - j));
                _mm256_mask_storeu_epi32(dst + (p + j) / 2,
                                         (__mmask8)(words >= 8 ? 0xff : (1u << words) - 1), h);
            }
            continue;
        }
        const float *hi = last ? NULL : widen(m, line + 1, p, y, w, false);
        for (int j = 0; j < w; j += 16) {
            __m512i v = bf16_words(load16(lo + j, w - j));
            if (hi)
                v = _mm512_or_si512(v, _mm512_slli_epi32(bf16_words(load16(hi + j, w - j)), 16));
            _mm512_mask_storeu_epi32(dst + p + j,
                                     (__mmask16)(w - j >= 16 ? 0xffff : (1u << (w - j)) - 1), v);
        }
    }
}
#endif

/* ---- a few rows --------------------------------------------------------------------------- */

INLINE float hsum(vf v) {
    float s = 0;
    for (int i = 0; i < VL; i++) s += v[i];
    return s;
}

static void gemv(const float *w, int64_t ld, const float *x, float *y, int64_t n, int64_t k,
                 bool add) {
    for (int64_t j = 0; j < n; j++) {
        const float *row = w + j * ld;
        vf s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        int64_t p = 0;
        for (; p + 4 * VL <= k; p += 4 * VL) {
            __builtin_prefetch(row + p + 256);
            s0 += *(const vfu *)(row + p) * *(const vfu *)(x + p);
            s1 += *(const vfu *)(row + p + VL) * *(const vfu *)(x + p + VL);
            s2 += *(const vfu *)(row + p + 2 * VL) * *(const vfu *)(x + p + 2 * VL);
            s3 += *(const vfu *)(row + p + 3 * VL) * *(const vfu *)(x + p + 3 * VL);
        }
        float s = hsum((s0 + s1) + (s2 + s3));
        for (; p < k; p++) s += row[p] * x[p];
        y[j] = add ? y[j] + s : s;
    }
}

/* As fused. Left to itself, gcc multiplies several at once and then adds one by one. */
INLINE float fused1(float sum, float x, float b) {
#if defined(__FMA__)
    return __builtin_fmaf(x, b, sum);
#else
    return sum + x * b;
#endif
}

/* Columns [0, wide VL) of the sums. */
INLINE void sum_vectors(const int wide, const float *w, int64_t ld, const float *x, float *y,
                        int64_t k, bool add) {
    vf s[8];
    UNROLL for (int i = 0; i < wide; i++) s[i] = add ? *(const vfu *)(y + i * VL) : (vf){0};
    for (int64_t p = 0; p < k; p++, w += ld) {
        const vf each = x[p] - (vf){0};
        UNROLL for (int i = 0; i < wide; i++) s[i] = fused(s[i], each, *(const vfu *)(w + i * VL));
    }
    UNROLL for (int i = 0; i < wide; i++) * (vfu *)(y + i * VL) = s[i];
}

static void sum_rows(const float *w, int64_t ld, const float *x, float *y, int64_t n, int64_t k,
                     bool add) {
    int64_t j = 0;
    for (; j + 8 * VL <= n; j += 8 * VL) sum_vectors(8, w + j, ld, x, y + j, k, add);
    for (; j + 2 * VL <= n; j += 2 * VL) sum_vectors(2, w + j, ld, x, y + j, k, add);
    for (; j + VL <= n; j += VL) sum_vectors(1, w + j, ld, x, y + j, k, add);
    for (; j < n; j++) {
        float s = add ? y[j] : 0;
        for (int64_t p = 0; p < k; p++) s = fused1(s, x[p], w[p * ld + j]);
        y[j] = s;
    }
}

#if defined(__AVX2__)
#include "gemm_few.h"
#define FEW_NARROW few
#else
#define FEW_NARROW NULL
#endif

extern const struct gemm_kern CAT(gemm_kern_f32_, ISA);
const struct gemm_kern CAT(gemm_kern_f32_, ISA) = {.name = "f32",
                                                   .mr = MR,
                                                   .nr = NR,
                                                   .per_word = 1,
                                                   .pack_a = pack_a,
                                                   .pack_b = pack_b,
                                                   .few = FEW_NARROW,
                                                   .pack_lines = pack_lines,
                                                   .copy_a = copy_a,
                                                   .copy_ld = COPY_LD,
                                                   .winds = WINDS,
                                                   .fetches = FETCHES,
                                                   .mul_half = mul_half,
                                                   .whole = whole,
                                                   .mul = mul};

#if defined(__AVX512BF16__)
extern const struct gemm_kern CAT(gemm_kern_bf16_, ISA);
const struct gemm_kern CAT(gemm_kern_bf16_, ISA) = {.name = "bf16",
                                                    .mr = MR,
                                                    .nr = NR,
                                                    .per_word = 2,
                                                    .pack_a = pack_a_pairs,
                                                    .pack_b = pack_b_pairs,
                                                    .copy_a = copy_a,
                                                    .copy_ld = COPY_LD,
                                                    .mul = mul_pairs};
#endif

extern gemv_fn *const CAT(gemm_gemv_, ISA);
gemv_fn *const CAT(gemm_gemv_, ISA) = gemv;
extern gemv_fn *const CAT(gemm_sum_rows_, ISA);
gemv_fn *const CAT(gemm_sum_rows_, ISA) = sum_rows;
