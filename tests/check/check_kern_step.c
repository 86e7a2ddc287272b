/* Row kernels of plain descent, for check_kern. */
#include "check_kern.h"

#include <math.h>
#include <string.h>

/* A step from a row, if there is one, and n_signs directions of the bits in u. With a power of two
 * for `by` nothing is rounded but what kern.h says, whatever is fused. */
static struct kern_sgd step_from(const struct row *r, const float *row, const void *u,
                                 int n_signs) {
    static uint64_t bits[KERN_SIGNS][MAX_N / 64 + 1];
    struct kern_sgd p = {.keep = 1, .by = -0.5f, .row = row, .n_signs = n_signs};
    if (r->n % 2) p.keep = r->factor;
    for (int d = 0; d < n_signs; d++) {
        for (int64_t i = 0; i < (r->n + 63) / 64; i++) {
            const int64_t left = 2 * r->n - 8 * i, bytes = left < 8 ? left : 8;
            bits[d][i] = 0;
            memcpy(bits[d] + i, (const char *)u + 8 * i, (size_t)bytes);
            bits[d][i] *= 2 * (uint64_t)d + 0x9E3779B97F4A7C15;
        }
        p.eps[d] = r->a / (float)(d + 1);
        p.bits[d] = bits[d];
    }
    return p;
}

#define STEP(kernel, ...) const struct kern_sgd p = step_from(r, __VA_ARGS__); kernel;
CALL(sgd, STEP(k->sgd(F(0), &p, r->n), F(1), NULL, 0))
CALL(sgd_signs, STEP(k->sgd(F(0), &p, r->n), NULL, U(1), 1))
CALL(sgd_more, STEP(k->sgd(F(0), &p, r->n), NULL, U(1), 4))
CALL(sgd_all, STEP(k->sgd(F(0), &p, r->n), F(1), U(2), KERN_SIGNS))
CALL(sgd_bf16, STEP(k->sgd_bf16(U(0), &p, 7, 5, r->n), F(1), NULL, 0))
CALL(sgd_bf16_signs, STEP(k->sgd_bf16(U(0), &p, 7, 5, r->n), NULL, U(1), 1))
CALL(sgd_bf16_more, STEP(k->sgd_bf16(U(0), &p, 7, 5, r->n), NULL, U(1), 4))
CALL(sgd_bf16_all, STEP(k->sgd_bf16(U(0), &p, 7, 5, r->n), F(1), U(2), KERN_SIGNS))

const struct item kern_step_items[KERN_STEP_ITEMS] = {
    {"sgd", "bi", call_sgd, .spread = 40, .flags = ONLY_BITS},
    {"sgd_signs", "bI", call_sgd_signs, .spread = 40, .flags = ONLY_BITS},
    {"sgd_more", "bI", call_sgd_more, .spread = 40, .flags = ONLY_BITS},
    {"sgd_all", "biI", call_sgd_all, .spread = 40, .flags = ONLY_BITS},
    {"sgd_bf16", "Bi", call_sgd_bf16, .spread = 40},
    {"sgd_bf16_signs", "BI", call_sgd_bf16_signs, .flags = 0},
    {"sgd_bf16_more", "BI", call_sgd_bf16_more, .flags = 0},
    {"sgd_bf16_all", "BiI", call_sgd_bf16_all, .spread = 40},
};
