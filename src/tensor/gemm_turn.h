/* The quick way of gemm_pack.h for whole slivers, from AVX2 on: stored rows become columns in
 * registers, eight rows of SPAN columns at a time, and are widened and perturbed there. Included by
 * gemm_pack.h. 256-bit vectors on every tier: the sliver's rows are a multiple of eight, and what
 * bounds it is memory. */
#ifndef DUET_GEMM_TURN_H
#define DUET_GEMM_TURN_H

enum { SPAN = 32, LANES = 8, BLOCK_SPANS = SIGN_BLOCK / SPAN };

/* Eight rows of a span on their way. */
struct turn {
    float *dst;         /* of the first variant: column p at dst + p*NR */
    int64_t next;       /* from variant to variant */
    __m256 eps[MAX_NV]; /* of each */
    __m256i minus;      /* bit p of lane i: row i goes down in column p */
};

/* Column p, as it is (nv 0) or as nv variants see it: x + eps or x - eps, as add_signs does. */
INLINE void put_column(const struct turn *t, const int nv, const int p, __m256 x) {
    float *dst = t->dst + p * NR;
    if (nv == 0) {
        _mm256_storeu_ps(dst, x);
        return;
    }
    const __m256 down = _mm256_and_ps(_mm256_castsi256_ps(_mm256_slli_epi32(t->minus, 31 - p)),
                                      _mm256_set1_ps(-0.0f));
    UNROLL for (int v = 0; v < nv; v++)
        _mm256_storeu_ps(dst + v * t->next, _mm256_add_ps(x, _mm256_xor_ps(t->eps[v], down)));
}

INLINE void turn_f32(const struct turn *t, const int nv, const char *const *row) {
    UNROLL for (int p = 0; p < SPAN; p += 8) {
        __m256 r[8];
        UNROLL for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps((const float *)row[i] + p);
        transpose8(r);
        UNROLL for (int i = 0; i < 8; i++) put_column(t, nv, p + i, r[i]);
    }
}

/* Words of two columns change places, and are widened behind that. */
INLINE void turn_bf16(const struct turn *t, const int nv, const char *const *row) {
    UNROLL for (int p = 0; p < SPAN; p += 16) {
        __m256 r[8];
        UNROLL for (int i = 0; i < 8; i++)
            r[i] = _mm256_loadu_ps((const float *)(const void *)(row[i] + 2 * p));
        transpose8(r);
        UNROLL for (int i = 0; i < 8; i++) {
            const __m256i w = _mm256_castps_si256(r[i]);
            put_column(t, nv, p + 2 * i, _mm256_castsi256_ps(_mm256_slli_epi32(w, 16)));
            put_column(t, nv, p + 2 * i + 1,
                       _mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32(-65536))));
        }
    }
}

/* The same with words of four columns: a span is a block. */
INLINE void turn_q8_0(const struct turn *t, const int nv, const char *const *row) {
    uint16_t scale[8];
    __m256 r[8];
    UNROLL for (int i = 0; i < 8; i++) {
        memcpy(scale + i, row[i], sizeof *scale);
        r[i] = _mm256_loadu_ps((const float *)(const void *)(row[i] + sizeof *scale));
    }
    const __m256 d = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)scale));
    transpose8(r);
    UNROLL for (int i = 0; i < 8; i++)
        UNROLL for (int b = 0; b < 4; b++) {
            const __m256i w = _mm256_slli_epi32(_mm256_castps_si256(r[i]), 24 - 8 * b);
            __m256 x = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_srai_epi32(w, 24)));
            __asm__("" : "+x"(x)); /* rounded here: no compiler may fuse it with the sign */
            put_column(t, nv, 4 * i + b, x);
        }
}

/* A sliver's signs of a block of columns, turned: lane i of down[s][g] are the bits of span s of
 * row 8g + i, set for -eps. */
struct turned_signs {
    __m256i down[BLOCK_SPANS][NR / LANES];
};

static void turn_signs(struct turned_signs *to, const uint64_t *words) {
    for (int g = 0; g < NR / LANES; g++)
        for (int s = 0; s < BLOCK_SPANS; s += 8) {
            __m256 r[8];
            UNROLL for (int i = 0; i < 8; i++)
                r[i] = _mm256_loadu_ps(
                    (const float *)(const void *)(words + (LANES * g + i) * SIGN_WORDS) + s);
            transpose8(r);
            UNROLL for (int i = 0; i < 8; i++)
                to->down[s + i][g] =
                    _mm256_xor_si256(_mm256_castps_si256(r[i]), _mm256_set1_epi32(-1));
        }
}

/* Spans of a sliver as variants see it that read the same rows with the same signs. */
struct turn_job {
    const char *row; /* the first row's first span */
    int64_t ld;      /* bytes from row to row */
    int64_t p0, k;   /* k: whole spans */
    /* How they move, or NULL: not at all. */
    const struct direction *dir;
    float eps[MAX_NV];
    int64_t tensor, cols, line; /* its tensor, the first row's number there */
    float *dst;
    int64_t next;
};

INLINE void turn_rows(const struct turn_job *j, const int nv, const enum dtype type) {
    const int bytes = type == DT_F32 ? 4 * SPAN : type == DT_BF16 ? 2 * SPAN : 2 + SPAN;
    const int64_t blocks = perturb_blocks(j->cols);
    struct turned_signs signs;
    struct turn t = {.next = j->next};
    for (int v = 0; v < nv; v++) t.eps[v] = _mm256_set1_ps(j->eps[v]);
    for (int64_t p = 0, end; p < j->k; p = end) {
        const int64_t col = j->p0 + p, left = SIGN_BLOCK - col % SIGN_BLOCK;
        end = p + (left < j->k - p ? left : j->k - p);
        if (nv) {
            uint64_t words[NR * SIGN_WORDS];
            j->dir->space->kind->words(j->dir, j->tensor, j->line * blocks + col / SIGN_BLOCK,
                                       blocks, NR, words);
            turn_signs(&signs, words);
        }
        /* Eight rows to the end of the block of signs, then the next: few streams at a time. */
        for (int g = 0; g < NR / LANES; g++)
            for (int64_t q = p; q < end; q += SPAN) {
                const char *row[LANES];
                UNROLL for (int i = 0; i < LANES; i++) {
                    row[i] = j->row + (LANES * g + i) * j->ld + q / SPAN * bytes;
                    /* The rows after these: a short piece of each of many rows is no stream that
                     * the processor would foresee. Reading ahead of the matrix is harmless. */
                    UNROLL for (int b = 0; b < bytes; b += 64)
                        __builtin_prefetch(row[i] + LANES * j->ld + b);
                }
                t.dst = j->dst + q * NR + LANES * g;
                if (nv) t.minus = signs.down[(j->p0 + q) % SIGN_BLOCK / SPAN][g];
                (type == DT_F32 ? turn_f32 : type == DT_BF16 ? turn_bf16 : turn_q8_0)(&t, nv, row);
            }
    }
}

#define X(TYPE)                                                                                    \
    static __attribute__((noinline)) void turn_plain_##TYPE(const struct turn_job *j) {            \
        turn_rows(j, 0, TYPE);                                                                     \
    }                                                                                              \
    static __attribute__((noinline)) void turn_one_##TYPE(const struct turn_job *j) {              \
        turn_rows(j, 1, TYPE);                                                                     \
    }                                                                                              \
    static __attribute__((noinline)) void turn_both_##TYPE(const struct turn_job *j) {             \
        turn_rows(j, 2, TYPE);                                                                     \
    }
X(DT_F32)
X(DT_BF16)
X(DT_Q8_0)
#undef X

static bool turns(const struct mat *m, int h, int wide, int64_t p0, bool round) {
    const struct variants *var = m->var;
    return (m->dtype == DT_F32 || m->dtype == DT_BF16 || m->dtype == DT_Q8_0) && h == NR &&
           wide == NR && p0 % SPAN == 0 && !round &&
           (!var || (!var->rank && (!var->probes || var->probes->dir.space->kind->words)));
}

/* The whole spans of columns [p0, p0 + k), of variants [v, v + nv). Returns how many columns. */
static int64_t turn_sliver(const struct mat *m, int v, int nv, int64_t row0, int64_t p0, int64_t k,
                           float *dst, int64_t next) {
    static void (*const all[][MAX_NV + 1])(const struct turn_job *) = {
        {turn_plain_DT_F32, turn_one_DT_F32, turn_both_DT_F32},
        {turn_plain_DT_BF16, turn_one_DT_BF16, turn_both_DT_BF16},
        {turn_plain_DT_Q8_0, turn_one_DT_Q8_0, turn_both_DT_Q8_0}};
    const int type = m->dtype == DT_F32 ? 0 : m->dtype == DT_BF16 ? 1 : 2;
    const struct dtype_row *t = dtype_row(m->dtype);
    const struct variants *var = m->var;
    struct turn_job j = {.ld = m->ld / t->block * t->bytes, .p0 = p0, .k = k / SPAN * SPAN};
    j.next = next;
    if (var) {
        j.tensor = var->tensor;
        j.cols = var->cols;
        j.line = var->row0 + row0;
    }
    for (int i = 0, n; i < nv; i += n) {
        const int64_t first = (var ? (v + i) * var->stride : 0) + row0 * m->ld + p0;
        int moves = 0;
        j.eps[0] = 0;
        n = i + 1 < nv && same_stored(m) && same_signs(m, v + i, v + i + 1) ? 2 : 1;
        for (int e = 0; e < n && var && var->probes; e++) {
            const struct probe *p = var->probes + v + i + e;
            j.dir = &p->dir;
            j.eps[e] = p->eps * direction_scale(&p->dir, var->tensor);
            moves += j.eps[e] != 0;
        }
        /* The tensor may move by nothing, or by too little for a float. */
        if (moves < n) n = 1;
        moves = j.eps[0] != 0 ? n : 0;
        j.row = (const char *)m->data + first / t->block * t->bytes;
        j.dst = dst + i * next;
        all[type][moves](&j);
    }
    return j.k;
}

#endif
