/* The native GEMM's per-tier kernels, compiled from gemm_tmpl.c.
 *
 * B is packed in slivers of nr rows (the last filled up with zeros), each [k][nr]. A is read where
 * it stands, in slivers of at most mr rows whose heights differ by at most one, so that no row is
 * wasted. Everything is in 32-bit words: f32, or (pairs) two bf16 of neighbouring k,
 * [ceil(k/2)][rows][2], the odd end filled up with zero. */
#ifndef DUET_GEMM_KERN_H
#define DUET_GEMM_KERN_H

#include "gemm.h"

struct gemm_kern {
    const char *name;
    int mr, nr;
    bool pairs; /* bf16 pairs; else f32 */
    /* h rows of src starting at row0, columns [p0, p0 + k), into one sliver of `wide` rows (>= h,
     * filled with zeros), of variants [v, v + nv): one sliver each, `next` words apart. The stored
     * elements are read once for all. round: round values to bf16 on the way. */
    void (*pack)(const struct mat *src, int v, int nv, int64_t row0, int h, int wide, int64_t p0,
                 int64_t k, bool round, void *dst, int64_t next);
    /* Copies of A where it cannot be read as it is. copy_line (f32): one stored line of n values.
     * copy_pairs (pairs): one stored line as words of neighbouring values, or for a transposed
     * source the line and the next one (unless last) as words of both. */
    void (*copy_line)(const struct mat *src, int64_t line, int64_t n, bool round, void *dst);
    void (*copy_pairs)(const struct mat *src, int64_t line, int64_t n, bool last, void *dst);
    /* c (h, nr) = [c +] h rows of A times sliver b over k words. Word (i, p) of A is a[i*ld + p],
     * or with cols a[p*ld + i]. h in 1..mr. */
    void (*mul)(int h, bool cols, int64_t k, const void *a, int64_t ld, const void *b, float *c,
                int64_t ldc, bool add);
};

/* The pairs kernel is NULL in tiers without a bf16 dot product. */
const struct gemm_kern *gemm_kern_f32(enum cpu_tier tier);
const struct gemm_kern *gemm_kern_bf16(enum cpu_tier tier);

/* y[j] = [y[j] +] dot(x, row j of w), j < n, rows of k floats at stride ld: fixed order within a
 * tier. */
typedef void gemv_fn(const float *w, int64_t ld, const float *x, float *y, int64_t n, int64_t k,
                     bool add);
gemv_fn *gemm_kern_gemv(enum cpu_tier tier);

#endif
