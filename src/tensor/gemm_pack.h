/* Packing of B, included by gemm_tmpl.c (which has the vector length and the includes): stored
 * rows, widened, corrected, perturbed and rounded, become slivers of columns (gemm_kern.h). */
#ifndef DUET_GEMM_PACK_H
#define DUET_GEMM_PACK_H

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

#if WINDS
/* Four rows of four 32-bit words become columns. */
INLINE void transpose4(vf r[4]) {
    const __m128 x = (__m128)r[0], y = (__m128)r[1], z = (__m128)r[2], w = (__m128)r[3];
    const __m128 xy = _mm_unpacklo_ps(x, y), zw = _mm_unpacklo_ps(z, w);
    const __m128 yx = _mm_unpackhi_ps(x, y), wz = _mm_unpackhi_ps(z, w);
    r[0] = (vf)_mm_movelh_ps(xy, zw);
    r[1] = (vf)_mm_movehl_ps(zw, xy);
    r[2] = (vf)_mm_movelh_ps(yx, wz);
    r[3] = (vf)_mm_movehl_ps(wz, yx);
}
#endif

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

#if WINDS
/* Columns [0, n & ~3) by four rows of four; lanes from h on get something. Returns how many. */
static int transpose_quads(uint32_t *dst, const uint32_t *const *row, int h, int n) {
    const int whole = n & ~3;
    for (int i0 = 0; i0 < h; i0 += 4) {
        const uint32_t *at[4];
        for (int i = 0; i < 4; i++) at[i] = row[i0 + i < h ? i0 + i : h - 1];
        for (int p = 0; p < whole; p += 4) {
            vf r[4];
            UNROLL for (int i = 0; i < 4; i++) r[i] = *(const vfu *)(const void *)(at[i] + p);
            transpose4(r);
            UNROLL for (int i = 0; i < 4; i++)
                *(vfu *)(void *)(dst + (int64_t)(p + i) * NR + i0) = r[i];
        }
    }
    return whole;
}
#endif

/* dst[p*wide + i] = row[i][p] for i < h, p < n: words, h <= WIDE. Columns are written in rising p,
 * and a store may run over into what the next column overwrites, or in lanes up to wide. */
static void transpose(uint32_t *dst, int wide, const uint32_t *const *row, int h, int n) {
    int p = 0;
#if defined(__AVX512F__)
    if (h == NR && wide == NR) p = transpose_wide(dst, row, n);
#endif
#if WINDS
    if (wide == NR) p = transpose_quads(dst, row, h, n);
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

/* h rows of a chunk of at most KB columns, none of whose boundaries lies inside a block
 * of signs. */
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

/* How a chunk of a variant moves. */
struct move {
    const struct probe *probe; /* NULL: it is as stored */
    float eps;                 /* with the tensor's scale */
    const uint64_t *words;     /* the chunk's signs, or NULL: its rows go through the kind's add */
};

static struct move chunk_move(const struct chunk *c, int v, struct signs *s) {
    const struct variants *var = c->m->var;
    struct move t = {.probe = var && var->probes ? var->probes + v : NULL};
    if (t.probe) t.eps = t.probe->eps * direction_scale(&t.probe->dir, var->tensor);
    if (t.eps == 0) return (struct move){0};
    const struct direction *d = &t.probe->dir;
    if (!d->space->kind->words) return t;
    const int64_t block = c->p / SIGN_BLOCK, blocks = perturb_blocks(var->cols);
    if (s->block != block)
        d->space->kind->words(d, var->tensor, (var->row0 + c->row0) * blocks + block, blocks, c->h,
                              s->words);
    s->block = block;
    t.words = s->words;
    return t;
}

/* Row r of the chunk as the variant sees it: x, or buf, filled. */
static const float *moved_row(const struct chunk *c, const struct move *t, int r, float *buf) {
    const float *x = c->x[r];
    const struct variants *var = c->m->var;
    if (!t->probe) return x;
    if (t->words)
        kern()->add_signs(buf, x, t->eps, t->words + r * SIGN_WORDS, c->p % SIGN_BLOCK, c->n);
    else
        direction_add(&t->probe->dir, buf, x, t->probe->eps, var->tensor, var->row0 + c->row0 + r,
                      c->p, c->n);
    return buf;
}

/* True if variants v and w are the two sides of one direction: one set of signs serves both. */
static bool same_signs(const struct mat *m, int v, int w) {
    const struct probe *p = m->var ? m->var->probes : NULL;
    return p && p[v].dir.key == p[w].dir.key && p[v].dir.shared == p[w].dir.shared &&
           p[v].eps != 0 && p[w].eps != 0;
}

enum { MAX_NV = 2 };

/* All variants read the same stored elements. */
static bool same_stored(const struct mat *m) {
    return !m->var || (m->var->stride == 0 && m->var->rank == 0);
}

#if defined(__AVX2__)
#include "gemm_turn.h"
#endif

INLINE int chunk_width(int64_t p, int64_t end) {
    const int64_t n = KB - p % KB;
    return (int)(n < end - p ? n : end - p);
}

/* Calls put for every chunk and variant of a sliver. put gets the rows and how they move. */
INLINE void
each_chunk(const struct mat *m, int v, int nv, int64_t row0, int h, int64_t p0, int64_t k,
           void (*put)(struct chunk *c, int i, const struct move *t, void *ctx),
           void *ctx) {
    struct chunk c; /* 8 KB of it are room, which would be zeroed for every sliver */
    c.m = m;
    c.row0 = row0;
    c.h = h;
    struct signs s[MAX_NV];
    for (int i = 0; i < nv; i++) s[i].block = -1;
    for (c.p = p0; c.p < p0 + k; c.p += c.n) {
        c.n = chunk_width(c.p, p0 + k);
        for (int i = 0; i < nv; i++) {
            if (i == 0 || !same_stored(m)) chunk_read(&c, v + i);
            struct signs *own = s + (i > 0 && same_signs(m, v, v + i) ? 0 : i);
            const struct move t = chunk_move(&c, v + i, own);
            put(&c, i, &t, ctx);
        }
    }
}

struct put {
    uint32_t *dst;
    int64_t next, p0;
    int wide;
    bool round;
};

static void put_words(struct chunk *c, int i, const struct move *move, void *ctx) {
    const struct put *t = ctx;
    float room[WIDE][KB];
    const uint32_t *row[WIDE];
    for (int r = 0; r < c->h; r++) {
        const float *x = moved_row(c, move, r, room[r]);
        row[r] = (const uint32_t *)(t->round ? rounded(x, room[r], c->n) : x);
    }
    transpose(t->dst + i * t->next + (c->p - t->p0) * t->wide, t->wide, row, c->h, c->n);
}

static void pack_b(const struct mat *m, int v, int nv, int64_t row0, int h, int wide, int64_t p0,
                   int64_t k, bool round, void *out, int64_t next) {
    uint32_t *dst = out;
    struct put t = {dst, next, p0, wide, round};
    int64_t done = 0;
#if defined(__AVX2__)
    if (turns(m, h, wide, p0, round))
        done = turn_sliver(m, v, nv, row0, p0, k, (float *)out, next);
#endif
    each_chunk(m, v, nv, row0, h, p0 + done, k - done, put_words, &t);
    for (int i = 0; i < nv; i++) zero_tail(dst + i * next, h, wide, k);
}

/* Lines far apart are no stream that the processor would foresee. */
enum { LINES_AHEAD = 8 };

INLINE void fetch_line(const void *line, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)line + i);
    __builtin_prefetch((const char *)line + bytes - 1); /* it may not begin with a cache line */
}

/* One line after the other, each to all slivers: a page is looked up once, not once a sliver. */
static void pack_lines(const struct mat *m, int v, int64_t row0, int h, int64_t p0, int64_t k,
                       bool round, void *out, int64_t each) {
    uint32_t *dst = out;
    float buf[MAT_LINE];
    const int64_t size = dtype_row(m->dtype)->bytes, block = dtype_row(m->dtype)->block;
    const bool plain = m->dtype == DT_F32 && !m->var && !round;
    const int whole = h / NR, left = h % NR;
    for (int64_t p = p0; p < p0 + k; p++, dst += NR) {
        const int64_t ahead = (p + LINES_AHEAD) * m->ld + row0;
        fetch_line((const char *)m->data + ahead / block * size, h / block * size);
        const float *x = plain ? (const float *)m->data + p * m->ld + row0
                               : mat_stored(m, v, p, row0, h, buf);
        if (round) x = rounded(x, buf, h);
        for (int s = 0; s < whole; s++) memcpy(dst + s * each, x + s * NR, 4 * NR);
        for (int i = 0; i < NR && left; i++) {
            const float rest = i < left ? x[whole * NR + i] : 0;
            memcpy(dst + whole * each + i, &rest, 4);
        }
    }
}

#if !WINDS
static void copy_a(enum gemm_form from, const uint32_t *a, int64_t ld, const int *at, int n,
                   int64_t k, uint32_t *dst, int64_t each) {
    (void)from; /* GEMM_COLS */
    const int last = at[n - 1], h = at[n] - last;
    for (int64_t p = 0; p < k; p++, a += ld, dst += MR) {
        fetch_line(a + LINES_AHEAD * ld, 4 * at[n]);
        for (int s = 0; s < n - 1; s++) memcpy(dst + s * each, a + at[s], 4 * MR);
        uint32_t *to = dst + (n - 1) * each;
        if (h == MR)
            memcpy(to, a + last, 4 * MR);
        else
            for (int i = 0; i < h; i++) to[i] = a[last + i];
    }
}
#endif

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
    return m->dtype == DT_BF16 && (m->trans || m->ld % 2 == 0) &&
           (!m->var || (!m->var->probes && !m->var->rank));
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

/* Signs are added in registers, as add_signs adds them. */
static void put_pairs(struct chunk *c, int i, const struct move *move, void *ctx) {
    const struct put *t = ctx;
    uint32_t pair[WIDE][KB / 2];
    float room[KB];
    const uint32_t *row[WIDE];
    const int64_t bit0 = c->p % SIGN_BLOCK;
    const __m512 e = _mm512_set1_ps(move->eps);
    for (int r = 0; r < c->h; r++) {
        const uint64_t *words = move->words ? move->words + r * SIGN_WORDS : NULL;
        const unsigned char *bits = (const unsigned char *)words;
        const float *from = bits ? c->x[r] : moved_row(c, move, r, room);
        for (int j = 0; j < c->n; j += 16) {
            __m512 x = load16(from + j, c->n - j);
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

/* n values of line 2p below those of line 2p + 1: words of a transposed operand. */
INLINE void store_words(uint32_t *dst, __m512i lo, __m512i hi, int n) {
    _mm512_mask_storeu_epi32(dst, (__mmask16)(n >= 16 ? 0xffff : (1u << n) - 1),
                             _mm512_or_si512(lo, _mm512_slli_epi32(hi, 16)));
}

INLINE __m512i load_bf16(const uint16_t *x, int n) {
    return _mm512_cvtepu16_epi32(
        _mm256_maskz_loadu_epi16((__mmask16)(n >= 16 ? 0xffff : (1u << n) - 1), x));
}

/* Columns [row0, row0 + h) of the stored lines from p0 on. */
static void move_lines(const struct mat *m, int v, int64_t row0, int h, int wide, int64_t p0,
                       int64_t k, uint32_t *dst) {
    const uint16_t *at =
        (const uint16_t *)m->data + (m->var ? v * m->var->stride : 0) + p0 * m->ld + row0;
    for (int64_t p = 0; 2 * p < k; p++, at += 2 * m->ld)
        for (int i = 0; i < h; i += 16) {
            __builtin_prefetch(at + i + 32 * m->ld);
            __builtin_prefetch(at + i + 33 * m->ld);
            store_words(dst + p * wide + i, load_bf16(at + i, h - i),
                        2 * p + 1 < k ? load_bf16(at + m->ld + i, h - i) : _mm512_setzero_si512(),
                        h - i);
        }
}

static void pair_lines(const struct mat *m, int v, int64_t row0, int h, int wide, int64_t p0,
                       int64_t k, uint32_t *dst) {
    static const float zero[WIDE];
    float lo[WIDE], hi[WIDE];
    for (int64_t p = 0; 2 * p < k; p++) {
        const float *x = mat_stored(m, v, p0 + 2 * p, row0, h, lo);
        const float *y = 2 * p + 1 < k ? mat_stored(m, v, p0 + 2 * p + 1, row0, h, hi) : zero;
        for (int i = 0; i < h; i += 16)
            store_words(dst + p * wide + i, bf16_words(load16(x + i, h - i)),
                        bf16_words(load16(y + i, h - i)), h - i);
    }
}

/* Pairs of neighbouring k: words of two bf16. p0 is even. */
static void pack_b_pairs(const struct mat *m, int v, int nv, int64_t row0, int h, int wide,
                         int64_t p0, int64_t k, bool round, void *out, int64_t next) {
    (void)round; /* bf16 in any case */
    uint32_t *dst = out;
    const int64_t words = (k + 1) / 2;
    if (m->trans) {
        for (int i = 0; i < nv; i++)
            (pairs_as_stored(m) ? move_lines : pair_lines)(m, v + i, row0, h, wide, p0, k,
                                                           dst + i * next);
    } else if (pairs_as_stored(m)) {
        for (int i = 0; i < nv; i++) move_pairs(m, v + i, row0, h, wide, p0, k, dst + i * next);
    } else {
        struct put t = {dst, next, p0, wide, round};
        each_chunk(m, v, nv, row0, h, p0, k, put_pairs, &t);
    }
    for (int i = 0; i < nv; i++) zero_tail(dst + i * next, h, wide, words);
}
#endif

#endif
