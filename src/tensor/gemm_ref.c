/* The reference backend: what every other one is checked against. Element (i,j) is the left-to-right
 * chain of fused multiply-adds over k. Slow; always there. */
#include "arena.h"
#include "gemm.h"
#include "par.h"

#include <math.h>

static bool accepts(enum dtype compute) {
    return compute == DT_F32 || compute == DT_BF16;
}

static size_t pack_bytes(const struct gemm *g, enum gemm_side side, int64_t rows, int64_t k) {
    (void)g;
    (void)side;
    return arena_need((size_t)(rows * k), 4);
}

static float element(const struct mat *m, int64_t i, int64_t p, enum dtype compute) {
    const int64_t at = m->trans ? p * m->ld + i : i * m->ld + p;
    float x;
    dtype_to_f32(m->dtype, (const char *)m->data + at * dtype_row(m->dtype)->bytes, &x, 1);
    if (compute == DT_BF16) {
        uint16_t h;
        dtype_from_f32(DT_BF16, &x, &h, 1);
        dtype_to_f32(DT_BF16, &h, &x, 1);
    }
    return x;
}

static void ref_pack(const struct gemm *g, enum gemm_side side, struct gemm_pack *p, void *dst) {
    (void)side;
    float *out = dst;
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t q = 0; q < p->k; q++) out[i * p->k + q] = element(&p->src, i, q, g->compute);
    p->data = out;
}

struct job {
    const struct gemm_pack *a, *b;
    float *c;
    int64_t ldc;
    bool add;
};

static void row(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const float *a = (const float *)j->a->data + i * j->a->k;
    for (int64_t n = 0; n < j->b->rows; n++) {
        const float *b = (const float *)j->b->data + n * j->b->full_k;
        float *c = j->c + i * j->ldc + n, s = j->add ? *c : 0;
        for (int64_t p = 0; p < j->a->k; p++) s = fmaf(a[p], b[p], s);
        *c = s;
    }
}

static void ref_mul(const struct gemm *g, const struct gemm_pack *a, const struct gemm_pack *b,
                    float *c, int64_t ldc, bool add) {
    (void)g;
    struct job j = {a, b, c, ldc, add};
    par_for(a->rows, row, &j);
}

const struct gemm_backend gemm_ref = {
    "ref", "plain loops, the oracle of the checks; slow, exact", true,
    accepts, pack_bytes, ref_pack, ref_mul,
};
