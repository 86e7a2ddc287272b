/* The native GEMM's per-tier kernels, compiled from gemm_tmpl.c.
 *
 * Packed A: slivers of at most mr rows. q = ceil(rows/mr) slivers whose heights differ by at most
 * one, so no row is wasted; sliver s is [k][height]. Packed B: slivers of nr rows (the last filled
 * up with zeros), each [k][nr]. With pairs (bf16 dot products) two neighbouring k stand together:
 * [ceil(k/2)][rows][2], the odd end filled up with zero. */
#ifndef DUET_GEMM_KERN_H
#define DUET_GEMM_KERN_H

#include "gemm.h"

struct gemm_kern {
    const char *name;
    int mr, nr;
    bool pairs; /* bf16 pairs; else f32 */
    /* h rows of src starting at row0, all k, into one sliver of stride `wide` rows (>= h, filled with
     * zeros). round: round values to bf16 on the way. */
    void (*pack)(const struct mat *src, int64_t row0, int h, int wide, int64_t k, bool round,
                 void *dst);
    /* c (h, nr) = [c +] sliver a times sliver b over k (pairs: k counts pairs). Row p of a is at
     * a + p*astride elements. h in 1..mr. */
    void (*mul)(int h, int64_t k, const void *a, int64_t astride, const void *b, float *c,
                int64_t ldc, bool add);
};

/* For the tier in use. pairs kernel is NULL where the CPU has no bf16 dot product. */
const struct gemm_kern *gemm_kern_f32(void);
const struct gemm_kern *gemm_kern_bf16(void);

/* y[j] = [y[j] +] dot(x, row j of w), j < n, rows of k floats at stride ld: fixed order within a
 * tier. */
typedef void gemv_fn(const float *w, int64_t ld, const float *x, float *y, int64_t n, int64_t k,
                     bool add);
gemv_fn *gemm_kern_gemv(void);

#endif
