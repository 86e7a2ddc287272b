/* The reference backend: what every other one is checked against. Element (i,j) is the
 * left-to-right chain of fused multiply-adds over k. Slow; always there. */
#include "gemm.h"

#include <math.h>

static enum gemm_rate rate(enum dtype compute, const struct cpu *cpu) {
    (void)compute;
    (void)cpu;
    return GEMM_LOOPS;
}

/* Operands are always read where they stand, element by element. */
static size_t pack_bytes(const struct gemm *g, enum gemm_side side, const struct mat *m,
                         int64_t rows, int64_t k) {
    (void)g;
    (void)side;
    (void)m;
    (void)rows;
    (void)k;
    return 0;
}

static size_t panel_bytes(const struct gemm *g, int64_t rows, int64_t k) {
    (void)g;
    (void)rows;
    (void)k;
    return 0;
}

static void ref_pack(const struct gemm *g, enum gemm_side side, struct gemm_pack *p, void *dst) {
    (void)g;
    (void)side;
    (void)p;
    (void)dst;
}

static float element(const struct mat *m, int v, int64_t i, int64_t p, enum dtype compute) {
    float buf, x = *(m->trans ? mat_line(m, v, p, i, 1, &buf) : mat_line(m, v, i, p, 1, &buf));
    if (compute == DT_BF16) {
        uint16_t h;
        dtype_from_f32(DT_BF16, &x, &h, 1);
        dtype_to_f32(DT_BF16, &h, &x, 1);
    }
    return x;
}

struct job {
    const struct gemm_pack *a, *b;
    enum dtype compute;
    float *c;
    int64_t ldc, rows, group_rows; /* rows: of A, in one group */
    bool add;
};

static void row(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const int v = (int)(i / j->rows);
    const int64_t r = j->a->first + v * j->group_rows + i % j->rows;
    for (int64_t n = 0; n < j->b->rows; n++) {
        float *c = j->c + i * j->ldc + n, s = j->add ? *c : 0;
        for (int64_t p = 0; p < j->a->k; p++)
            s = fmaf(element(&j->a->src, 0, r, p, j->compute),
                     element(&j->b->src, v, n, p, j->compute), s);
        *c = s;
    }
}

static void ref_mul(const struct gemm *g, const struct gemm_pack *a, const struct gemm_pack *b,
                    float *c, int64_t ldc, bool add, void *work) {
    (void)work;
    struct job j = {.a = a, .b = b, .compute = g->compute, .c = c, .ldc = ldc, .add = add};
    j.rows = a->rows / mat_variants(&b->src);
    j.group_rows = a->group_rows ? a->group_rows : j.rows;
    pool_for(g->pool, a->rows, row, &j);
}

const struct gemm_backend gemm_ref = {
    .name = "ref",
    .help = "plain loops, the oracle of the checks; slow, exact",
    .exact = true,
    .rate = rate,
    .pack_bytes = pack_bytes,
    .panel_bytes = panel_bytes,
    .pack = ref_pack,
    .mul = ref_mul,
};
