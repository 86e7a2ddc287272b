/* Compiled once per tier with -DISA=name. Everything but the exported tables is static: an AVX-512
 * copy of a shared inline function must never be linked into generic code. */
#include "gemm_kern.h"
#include "kern.h"

#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
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

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
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

INLINE float rows_get(const struct rows *r, int i) {
    const float *p = r->p[i / 4];
    switch (i % 4) {
    case 0: return p[0];
    case 1: return p[r->ld];
    case 2: return p[2 * r->ld];
    default: return p[r->ld3];
    }
}

INLINE void rows_next(struct rows *r) {
    for (int i = 0; i < 4; i++) r->p[i]++;
    __asm__("" : "+r"(r->p[0]), "+r"(r->p[1]), "+r"(r->p[2]), "+r"(r->p[3]));
}

INLINE void mul_f32(const int h, const bool cols, int64_t k, const float *a, int64_t ld,
                    const float *b, float *c, int64_t ldc, bool add) {
    vf r[MR][2];
    struct rows rows = rows_make(h, a, ld);
    UNROLL for (int i = 0; i < h; i++) {
        r[i][0] = add ? *(const vfu *)(c + i * ldc) : (vf){0};
        r[i][1] = add ? *(const vfu *)(c + i * ldc + VL) : (vf){0};
    }
    for (int64_t p = 0; p < k; p++) {
        const vf b0 = *(const vf *)b, b1 = *(const vf *)(b + VL);
        __builtin_prefetch(b + 8 * NR);
        __builtin_prefetch(b + 8 * NR + 16);
        UNROLL for (int i = 0; i < h; i++) {
            const float x = cols ? a[i] : rows_get(&rows, i);
            r[i][0] += x * b0;
            r[i][1] += x * b1;
        }
        if (cols)
            a += ld;
        else
            rows_next(&rows);
        b += NR;
    }
    UNROLL for (int i = 0; i < h; i++) {
        *(vfu *)(c + i * ldc) = r[i][0];
        *(vfu *)(c + i * ldc + VL) = r[i][1];
    }
}

#define HEIGHTS_4(X) X(1) X(2) X(3) X(4)
#define HEIGHTS_6(X) HEIGHTS_4(X) X(5) X(6)
#define HEIGHTS_14(X) HEIGHTS_6(X) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#define HEIGHTS CAT(HEIGHTS_, MR)

#define X(H)                                                                                       \
    static __attribute__((noinline)) void rows_f32_##H(                                            \
        int64_t k, const float *a, int64_t ld, const float *b, float *c, int64_t ldc, bool add) {  \
        mul_f32(H, false, k, a, ld, b, c, ldc, add);                                               \
    }                                                                                              \
    static __attribute__((noinline)) void cols_f32_##H(                                            \
        int64_t k, const float *a, int64_t ld, const float *b, float *c, int64_t ldc, bool add) {  \
        mul_f32(H, true, k, a, ld, b, c, ldc, add);                                                \
    }
HEIGHTS(X)
#undef X

static void mul(int h, bool cols, int64_t k, const void *a, int64_t ld, const void *b, float *c,
                int64_t ldc, bool add) {
    switch (h) {
#define X(H)                                                                                       \
    case H: (cols ? cols_f32_##H : rows_f32_##H)(k, a, ld, b, c, ldc, add); break;
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
            const __m512bh x = (__m512bh)_mm512_set1_epi32(word(cols ? a[i] : rows_get(&rows, i)));
            r[i][0] = _mm512_dpbf16_ps(r[i][0], x, b0);
            r[i][1] = _mm512_dpbf16_ps(r[i][1], x, b1);
        }
        if (cols)
            a += ld;
        else
            rows_next(&rows);
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

static void mul_pairs(int h, bool cols, int64_t k, const void *a, int64_t ld, const void *b,
                      float *c, int64_t ldc, bool add) {
    switch (h) {
#define X(H)                                                                                       \
    case H: (cols ? cols_bf16_##H : rows_bf16_##H)(k, a, ld, b, c, ldc, add); break;
        HEIGHTS(X)
#undef X
    }
}
#endif

/* ---- packing ------------------------------------------------------------------------------ */

/* Sources are brought to 32-bit words in blocks of KB columns: f32 (rounded or not) or pairs. */
#define KB 128
#define WIDE (NR > MR ? NR : MR)

INLINE uint32_t bf16_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (u >> 16) | 0x40; /* NaN stays NaN */
    return (u + 0x7fffu + ((u >> 16) & 1)) >> 16;
}

/* Rounds n values to bf16, in f32. */
static const float *rounded(const float *x, float *buf, int n) {
    for (int i = 0; i < n; i++) {
        uint32_t u = bf16_bits(x[i]) << 16;
        memcpy(buf + i, &u, 4);
    }
    return buf;
}

/* n <= KB elements of a stored line of A, rounded if asked. */
static const float *widen(const struct mat *m, int64_t line, int64_t col, float *buf, int n,
                          bool round) {
    const float *x = mat_stored(m, 0, line, col, n, buf);
    return round ? rounded(x, buf, n) : x;
}

#if defined(__AVX2__)
/* Eight rows r[0..8) of eight 32-bit words become columns. */
INLINE void transpose8(__m256 r[8]) {
    __m256 t[8], u[8];
    UNROLL for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    UNROLL for (int i = 0; i < 2; i++) {
        u[4 * i + 0] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        u[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
        u[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        u[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}
#endif

#if defined(__AVX512F__)
/* Sixteen rows of sixteen 32-bit words become columns. */
INLINE void transpose16(__m512i r[16]) {
    __m512i t[16];
    UNROLL for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* Whole slivers, the common case: columns [0, n & ~15) of all NR rows. Returns how many. */
static int transpose_wide(uint32_t *dst, const uint32_t *const *row, int n) {
    int p = 0;
    for (; p + 16 <= n; p += 16)
        for (int i0 = 0; i0 < NR; i0 += 16) {
            __m512i r[16];
            UNROLL for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(row[i0 + i] + p);
            transpose16(r);
            UNROLL for (int i = 0; i < 16; i++)
                _mm512_storeu_si512(dst + (int64_t)(p + i) * NR + i0, r[i]);
        }
    return p;
}
#endif

/* dst[p*wide + i] = row[i][p] for i < h, p < n: words, h <= WIDE. Columns are written in rising p,
 * and a store may run over into what the next column overwrites. */
static void transpose(uint32_t *dst, int wide, const uint32_t *const *row, int h, int n) {
    int p = 0;
#if defined(__AVX512F__)
    if (h == NR && wide == NR) p = transpose_wide(dst, row, n);
#endif
#if defined(__AVX2__)
    static const uint32_t zero[8];
    for (; p + 8 <= n; p += 8) {
        for (int i0 = 0; i0 < h; i0 += 8) {
            __m256 r[8];
            for (int i = 0; i < 8; i++)
                r[i] = _mm256_loadu_ps((const float *)(i0 + i < h ? row[i0 + i] + p : zero));
            transpose8(r);
            if (i0 + 8 <= wide) {
                for (int i = 0; i < 8; i++)
                    _mm256_storeu_ps((float *)(dst + (int64_t)(p + i) * wide + i0), r[i]);
            } else {
                const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(wide - i0),
                                                        _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
                for (int i = 0; i < 8; i++)
                    _mm256_maskstore_ps((float *)(dst + (int64_t)(p + i) * wide + i0), mask, r[i]);
            }
        }
    }
#endif
    for (; p < n; p++)
        for (int i = 0; i < h; i++) dst[(int64_t)p * wide + i] = row[i][p];
}

static void zero_tail(uint32_t *dst, int h, int wide, int64_t words) {
    if (h == wide) return;
    for (int64_t p = 0; p < words; p++)
        memset(dst + p * wide + h, 0, sizeof *dst * (size_t)(wide - h));
}

/* Signs of the rows of a sliver, a block of columns at a time. */
struct signs {
    uint64_t words[WIDE * SIGN_WORDS + 1];
    int64_t block; /* -1: none yet */
};

/* h rows of a chunk of at most KB columns, none of whose boundaries lies inside a block of signs.
 */
struct chunk {
    const struct mat *m;
    int64_t row0, p;
    int h, n;
    const float *x[WIDE]; /* as stored */
    float buf[WIDE][KB];
};

/* The next sliver's rows come next: a short piece of each of many rows is no stream that the
 * processor would foresee. Reading ahead of the matrix is harmless. */
static void fetch_ahead(const struct mat *m, int64_t line, int64_t col, int n) {
    const struct dtype_row *t = dtype_row(m->dtype);
    const char *at = (const char *)m->data + (line * m->ld + col) / t->block * t->bytes;
    for (int b = 0; b < n * t->bytes / t->block; b += 64) __builtin_prefetch(at + b, 0, 2);
}

static void chunk_read(struct chunk *c, int v) {
    for (int i = 0; i < c->h; i++) {
        fetch_ahead(c->m, c->row0 + i + c->h, c->p, c->n);
        c->x[i] = mat_stored(c->m, v, c->row0 + i, c->p, c->n, c->buf[i]);
    }
}

/* The signs of the chunk for variant v, or NULL: not perturbed. */
static const uint64_t *chunk_signs(const struct chunk *c, int v, struct signs *s) {
    const struct variants *var = c->m->var;
    if (!var || !var->probes || var->probes[v].eps == 0) return NULL;
    const int64_t block = c->p / SIGN_BLOCK, blocks = perturb_blocks(var->cols);
    if (s->block != block)
        perturb_words(var->probes + v, var->tensor, (var->row0 + c->row0) * blocks + block, blocks,
                      c->h, s->words);
    s->block = block;
    return s->words;
}

/* True if variants v and w are the two sides of one direction: one set of signs serves both. */
static bool same_signs(const struct mat *m, int v, int w) {
    const struct probe *p = m->var ? m->var->probes : NULL;
    return p && p[v].key == p[w].key && p[v].bits == p[w].bits && p[v].eps != 0 && p[w].eps != 0;
}

/* All variants read the same stored elements. */
static bool same_stored(const struct mat *m) {
    return !m->var || (m->var->stride == 0 && m->var->rank == 0);
}

INLINE int chunk_width(int64_t p, int64_t end) {
    const int64_t n = KB - p % KB;
    return (int)(n < end - p ? n : end - p);
}

enum { MAX_NV = 2 };

/* Calls put for every chunk and variant of a sliver. put gets the rows with signs to apply (or
 * NULL). */
INLINE void
each_chunk(const struct mat *m, int v, int nv, int64_t row0, int h, int64_t p0, int64_t k,
           void (*put)(struct chunk *c, int i, float eps, const uint64_t *words, void *ctx),
           void *ctx) {
    struct chunk c = {.m = m, .row0 = row0, .h = h};
    struct signs s[MAX_NV];
    for (int i = 0; i < nv; i++) s[i].block = -1;
    for (c.p = p0; c.p < p0 + k; c.p += c.n) {
        c.n = chunk_width(c.p, p0 + k);
        for (int i = 0; i < nv; i++) {
            if (i == 0 || !same_stored(m)) chunk_read(&c, v + i);
            struct signs *own = s + (i > 0 && same_signs(m, v, v + i) ? 0 : i);
            const uint64_t *words = chunk_signs(&c, v + i, own);
            put(&c, i, words ? m->var->probes[v + i].eps : 0, words, ctx);
        }
    }
}

struct put {
    uint32_t *dst;
    int64_t next, p0;
    int wide;
    bool round;
};

static void put_words(struct chunk *c, int i, float eps, const uint64_t *words, void *ctx) {
    const struct put *t = ctx;
    float room[WIDE][KB];
    const uint32_t *row[WIDE];
    for (int r = 0; r < c->h; r++) {
        const float *x = c->x[r];
        if (words) {
            kern()->add_signs(room[r], x, eps, words + r * SIGN_WORDS, c->p % SIGN_BLOCK, c->n);
            x = room[r];
        }
        row[r] = (const uint32_t *)(t->round ? rounded(x, room[r], c->n) : x);
    }
    transpose(t->dst + i * t->next + (c->p - t->p0) * t->wide, t->wide, row, c->h, c->n);
}

static void pack(const struct mat *m, int v, int nv, int64_t row0, int h, int wide, int64_t p0,
                 int64_t k, bool round, void *out, int64_t next) {
    uint32_t *dst = out;
    if (m->trans) {
        float buf[WIDE];
        for (int i = 0; i < nv; i++)
            for (int64_t p = 0; p < k; p++) {
                const float *x = mat_stored(m, v + i, p0 + p, row0, h, buf);
                if (round) x = rounded(x, buf, h);
                memcpy(dst + i * next + p * wide, x, sizeof *dst * (size_t)h);
            }
    } else {
        struct put t = {dst, next, p0, wide, round};
        each_chunk(m, v, nv, row0, h, p0, k, put_words, &t);
    }
    for (int i = 0; i < nv; i++) zero_tail(dst + i * next, h, wide, k);
}

#if defined(__AVX512BF16__)
/* 16 values to bf16 bits in the low halves of 16 words, to nearest even; denormals are kept (the
 * conversion instruction would flush them). */
INLINE __m512i bf16_words(__m512 x) {
    const __m512i u = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_srli_epi32(_mm512_mask_or_epi32(up, nan, u, _mm512_set1_epi32(0x400000)), 16);
}

/* 16 values to 8 words of two. */
INLINE __m256i bf16_pairs(__m512 x) {
    return (__m256i)_mm512_cvtneps_pbh(x);
}

INLINE __m512 load16(const float *x, int n) {
    return n >= 16 ? _mm512_loadu_ps(x) : _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), x);
}

/* Stored pairs of bf16 are the words of the panel: they only change places. */
static bool pairs_as_stored(const struct mat *m) {
    return m->dtype == DT_BF16 && (!m->var || (!m->var->probes && !m->var->rank));
}

static void move_pairs(const struct mat *m, int v, int64_t row0, int h, int wide, int64_t p0,
                       int64_t k, uint32_t *dst) {
    const uint16_t *from = (const uint16_t *)m->data + (m->var ? v * m->var->stride : 0) + p0;
    const uint32_t *row[WIDE];
    const int64_t whole = k / 2;
    for (int64_t p = 0; p < whole; p += KB) {
        const int n = (int)(whole - p < KB ? whole - p : KB);
        for (int i = 0; i < h; i++) {
            fetch_ahead(m, row0 + i + h, p0 + 2 * p, 2 * n);
            row[i] = (const uint32_t *)(const void *)(from + (row0 + i) * m->ld + 2 * p);
        }
        transpose(dst + p * wide, wide, row, h, n);
    }
    for (int i = 0; i < h && k % 2; i++) dst[whole * wide + i] = from[(row0 + i) * m->ld + k - 1];
}

static void put_pairs(struct chunk *c, int i, float eps, const uint64_t *words, void *ctx) {
    const struct put *t = ctx;
    uint32_t pair[WIDE][KB / 2];
    const uint32_t *row[WIDE];
    const int64_t bit0 = c->p % SIGN_BLOCK;
    const __m512 e = _mm512_set1_ps(eps);
    for (int r = 0; r < c->h; r++) {
        const unsigned char *bits = (const unsigned char *)(words ? words + r * SIGN_WORDS : NULL);
        for (int j = 0; j < c->n; j += 16) {
            __m512 x = load16(c->x[r] + j, c->n - j);
            if (bits) {
                uint32_t b;
                memcpy(&b, bits + ((bit0 + j) >> 3), sizeof b);
                x = _mm512_mask_add_ps(_mm512_sub_ps(x, e), (__mmask16)(b >> ((bit0 + j) & 7)), x,
                                       e);
                /* what lies beyond the end must stay zero */
                if (c->n - j < 16) x = _mm512_maskz_mov_ps((__mmask16)((1u << (c->n - j)) - 1), x);
            }
            _mm256_storeu_si256((__m256i *)(pair[r] + j / 2), bf16_pairs(x));
        }
        row[r] = pair[r];
    }
    transpose(t->dst + i * t->next + (c->p - t->p0) / 2 * t->wide, t->wide, row, c->h,
              (c->n + 1) / 2);
}

/* Pairs of neighbouring k: words of two bf16. p0 is even. */
static void pack_pairs(const struct mat *m, int v, int nv, int64_t row0, int h, int wide,
                       int64_t p0, int64_t k, bool round, void *out, int64_t next) {
    (void)round; /* bf16 in any case */
    uint32_t *dst = out;
    const int64_t words = (k + 1) / 2;
    if (m->trans) {
        static const float zero[WIDE];
        float lo[WIDE], hi[WIDE];
        for (int u = 0; u < nv; u++)
            for (int64_t p = 0; p < words; p++) {
                const float *x = mat_stored(m, v + u, p0 + 2 * p, row0, h, lo);
                const float *y =
                    2 * p + 1 < k ? mat_stored(m, v + u, p0 + 2 * p + 1, row0, h, hi) : zero;
                for (int i = 0; i < h; i += 16) {
                    const int n = h - i;
                    const __m512i w =
                        _mm512_or_si512(bf16_words(load16(x + i, n)),
                                        _mm512_slli_epi32(bf16_words(load16(y + i, n)), 16));
                    _mm512_mask_storeu_epi32(dst + u * next + p * wide + i,
                                             (__mmask16)(n >= 16 ? 0xffff : (1u << n) - 1), w);
                }
            }
    } else if (pairs_as_stored(m)) {
        for (int i = 0; i < nv; i++) move_pairs(m, v + i, row0, h, wide, p0, k, dst + i * next);
    } else {
        struct put t = {dst, next, p0, wide, round};
        each_chunk(m, v, nv, row0, h, p0, k, put_pairs, &t);
    }
    for (int i = 0; i < nv; i++) zero_tail(dst + i * next, h, wide, words);
}
#endif

/* ---- copies of A --------------------------------------------------------------------------- */

/* n values as words: f32, rounded if asked. */
static void copy_line(const struct mat *m, int64_t line, int64_t n, bool round, void *out) {
    float buf[KB], *dst = out;
    for (int64_t p = 0; p < n; p += KB) {
        const int w = (int)(n - p < KB ? n - p : KB);
        memcpy(dst + p, widen(m, line, p, buf, w, round), sizeof *dst * (size_t)w);
    }
}

#if defined(__AVX512BF16__)
/* One stored line of A as pairs: neighbours within the line, or (trans) the line and the next one,
 * n columns wide; `last`: there is no next one. */
static void copy_pairs(const struct mat *m, int64_t line, int64_t n, bool last, void *out) {
    float x[KB], y[KB];
    uint32_t *dst = out;
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

extern const struct gemm_kern CAT(gemm_kern_f32_, ISA);
const struct gemm_kern CAT(gemm_kern_f32_, ISA) = {"f32", MR,        NR,   false,
                                                   pack,  copy_line, NULL, mul};

#if defined(__AVX512BF16__)
extern const struct gemm_kern CAT(gemm_kern_bf16_, ISA);
const struct gemm_kern CAT(gemm_kern_bf16_, ISA) = {"bf16",     MR,   NR,         true,
                                                    pack_pairs, NULL, copy_pairs, mul_pairs};
#endif

extern gemv_fn *const CAT(gemm_gemv_, ISA);
gemv_fn *const CAT(gemm_gemv_, ISA) = gemv;
