/* What the library backends share: contiguous copies of operands that the library cannot read as
 * they stand, and the cut of C into panels, each one single-threaded library call. */
#ifndef DUET_GEMM_LIB_H
#define DUET_GEMM_LIB_H

#include "gemm.h"

/* One library call: C (m,n) at c, from rows a0 of a and b0 of b on. An operand with data is
 * contiguous rows of full_k elements, else it is src. */
typedef void gemm_lib_call(const struct gemm_pack *a, int64_t a0, int64_t m,
                           const struct gemm_pack *b, int64_t b0, int64_t n, float *c, int64_t ldc,
                           bool add);

/* How a library takes operands. */
struct gemm_lib {
    gemm_lib_call *call;
    enum dtype type; /* f32 or bf16: what the library multiplies */
    bool round;      /* type f32, values rounded to bf16 */
};

size_t gemm_lib_pack_bytes(const struct gemm_lib *l, const struct mat *m, int64_t rows, int64_t k);
size_t gemm_lib_panel_bytes(const struct gemm_lib *l, int64_t rows, int64_t k);
void gemm_lib_pack(const struct gemm *g, const struct gemm_lib *l, struct gemm_pack *p, void *dst);
void gemm_lib_mul(const struct gemm *g, const struct gemm_lib *l, const struct gemm_pack *a,
                  const struct gemm_pack *b, float *c, int64_t ldc, bool add, void *work);

#endif
