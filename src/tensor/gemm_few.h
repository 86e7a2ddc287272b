/* Products of a few rows with narrow weights, included by gemm_tmpl.c from AVX2 on: every stored
 * weight is read once, where it stands, and goes from there into the sums. Each sum is the chain of
 * fused multiply-adds over k from left to right that the kernels of packed panels make, so the bits
 * are the same. */
#ifndef DUET_GEMM_FEW_H
#define DUET_GEMM_FEW_H

enum { FEW_MOST = 4 };

struct few_rows {
    const struct mat *b;
    int64_t row0, n, k; /* k: whole spans */
    const float *a;
    int64_t lda;
    float *c;
    int64_t ldc;
    bool add;
};

/* Columns of groups of eight rows of B into the sums of m rows of A: the column that lies `at`
 * behind a. */
INLINE void few_add(const int m, __m256 *sum, __m256 x, const float *a, int64_t lda, int at) {
    UNROLL for (int r = 0; r < m; r++)
        sum[r] = _mm256_fmadd_ps(x, _mm256_set1_ps(a[r * lda + at]), sum[r]);
}

INLINE void few_bf16(const int m, const int groups, __m256 (*sum)[FEW_MOST],
                     const char *const *row, int64_t at, const float *a, int64_t lda) {
    UNROLL for (int p = 0; p < SPAN; p += 16) {
        __m256 w[4][8];
        UNROLL for (int g = 0; g < groups; g++) {
            UNROLL for (int i = 0; i < 8; i++) {
                const void *from = row[8 * g + i] + at + 2 * p;
                w[g][i] = _mm256_loadu_ps(from);
            }
            transpose8(w[g]);
        }
        UNROLL for (int i = 0; i < 8; i++)
            UNROLL for (int odd = 0; odd < 2; odd++)
                UNROLL for (int g = 0; g < groups; g++) {
                    const __m256i u = _mm256_castps_si256(w[g][i]);
                    const __m256i x = odd ? _mm256_and_si256(u, _mm256_set1_epi32(-65536))
                                          : _mm256_slli_epi32(u, 16);
                    few_add(m, sum[g], _mm256_castsi256_ps(x), a, lda, p + 2 * i + odd);
                }
    }
}

INLINE void few_q8_0(const int m, const int groups, __m256 (*sum)[FEW_MOST],
                     const char *const *row, int64_t at, const float *a, int64_t lda) {
    __m256 w[4][8], d[4];
    UNROLL for (int g = 0; g < groups; g++) {
        uint16_t scale[8];
        UNROLL for (int i = 0; i < 8; i++) {
            const char *block = row[8 * g + i] + at;
            memcpy(scale + i, block, sizeof *scale);
            w[g][i] = _mm256_loadu_ps((const float *)(const void *)(block + sizeof *scale));
        }
        d[g] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)scale));
        transpose8(w[g]);
    }
    UNROLL for (int i = 0; i < 8; i++)
        UNROLL for (int b = 0; b < 4; b++)
            UNROLL for (int g = 0; g < groups; g++) {
                const __m256i u = _mm256_slli_epi32(_mm256_castps_si256(w[g][i]), 24 - 8 * b);
                const __m256 q = _mm256_cvtepi32_ps(_mm256_srai_epi32(u, 24));
                few_add(m, sum[g], _mm256_mul_ps(d[g], q), a, lda, 4 * i + b);
            }
}

/* Rows [j, j + 8 groups) of B, those beyond the last standing for it. */
INLINE void few_groups(const struct few_rows *f, const int m, const int groups, int64_t j,
                       const enum dtype type) {
    const int bytes = type == DT_BF16 ? 2 * SPAN : 2 + SPAN;
    const int64_t ld = type == DT_BF16 ? 2 * f->b->ld : f->b->ld / SPAN * bytes;
    const char *row[8 * 4];
    __m256 sum[4][FEW_MOST];
    for (int i = 0; i < 8 * groups; i++)
        row[i] = (const char *)f->b->data +
                 (f->row0 + (j + i < f->n ? j + i : f->n - 1)) * ld;
    float part[FEW_MOST][8 * 4] = {{0}};
    const int64_t left = f->n - j < 8 * groups ? f->n - j : 8 * groups;
    for (int r = 0; r < m && f->add; r++)
        memcpy(part[r], f->c + r * f->ldc + j, (size_t)left * sizeof(float));
    UNROLL for (int g = 0; g < groups; g++)
        UNROLL for (int r = 0; r < m; r++) sum[g][r] = _mm256_loadu_ps(part[r] + 8 * g);
    for (int64_t p = 0; p < f->k; p += SPAN) {
        const int64_t at = p / SPAN * bytes;
        /* The rows after these, since each is read a short piece at a time. */
        for (int i = 0; i < 8 * groups; i++)
            __builtin_prefetch(row[i] + 8 * groups * ld + at, 0, 2);
        (type == DT_BF16 ? few_bf16 : few_q8_0)(m, groups, sum, row, at, f->a + p, f->lda);
    }
    UNROLL for (int g = 0; g < groups; g++)
        UNROLL for (int r = 0; r < m; r++) _mm256_storeu_ps(part[r] + 8 * g, sum[g][r]);
    for (int r = 0; r < m; r++)
        memcpy(f->c + r * f->ldc + j, part[r], (size_t)left * sizeof(float));
}

#define X(M, GROUPS, TYPE)                                                                         \
    static __attribute__((noinline)) void few_##TYPE##_##M(const struct few_rows *f) {             \
        for (int64_t j = 0; j < f->n; j += 8 * GROUPS) few_groups(f, M, GROUPS, j, TYPE);          \
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
    const struct few_rows f = {b, row0, n, k / SPAN * SPAN, a, lda, c, ldc, add};
    if (f.k) all[b->dtype == DT_Q8_0][m - 1](&f);
    if (f.k < k) few_tail(&f, (int)m, k);
}

#endif
