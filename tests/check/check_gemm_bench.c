/* Speed of products, for check_gemm: packed, and with packing. */
#include "check_gemm.h"

#include <stdio.h>

struct timing {
    const struct gemm *g;
    struct gemm_pack a, b;
    struct mat ma, mb;
    float *c;
    void *work;
};

static void timed_mul(void *ctx) {
    struct timing *t = ctx;
    gemm_mul(t->g, &t->a, &t->b, t->c, t->b.rows, false, NULL);
}

static void timed_run(void *ctx) {
    struct timing *t = ctx;
    gemm_run(t->g, t->a.rows, t->b.rows, t->a.k, t->ma, t->mb, t->c, t->b.rows, false, t->work);
}

void check_gemm_bench(struct check *c, const struct backend *b) {
    static const int64_t shapes[][3] = {
        {1024, 1408, 512}, {1024, 512, 1408}, {1408, 512, 1024}, {64, 128, 64}, {1, 4096, 512}};
    printf("%-24s", b->name);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
        float *a = reserve((size_t)(m * k) * 4), *w = reserve((size_t)(n * k) * 4);
        check_normal(c, a, m * k, 1);
        check_normal(c, w, n * k, 1);
        struct timing t = {.g = &b->g, .ma = mat_f32(a, k, false), .mb = mat_f32(w, k, false)};
        t.c = reserve((size_t)(m * n) * 4);
        t.work = reserve(gemm_local_bytes(&b->g, m, n, k, t.ma, t.mb) +
                         gemm_work_bytes(&b->g, m, n, k, t.ma));
        t.a = gemm_pack(&b->g, GEMM_A, t.ma, m, k, t.work);
        t.b = gemm_pack(&b->g, GEMM_B, t.mb, n, k,
                        (char *)t.work + gemm_pack_bytes(&b->g, GEMM_A, t.ma, m, k));
        const double flops = 2e-9 * (double)(m * n) * (double)k;
        printf("  %7.1f", flops / check_time(timed_mul, &t));
        printf(" %7.1f", flops / check_time(timed_run, &t));
        free(a);
        free(w);
        free(t.c);
        free(t.work);
    }
    printf("\n");
}
