/* What the library backends share: a contiguous copy of an operand where the library cannot read the
 * original, and the cut of C into panels, each one single-threaded library call. */
#ifndef DUET_GEMM_LIB_H
#define DUET_GEMM_LIB_H

#include "gemm.h"

/* Copies the operand to dst as rows of k elements of type f32 (values rounded to bf16 if round) or
 * bf16. */
void gemm_lib_copy(const struct mat *m, int64_t rows, int64_t k, enum dtype to, bool round, void *dst);

/* One library call: C (m,n) at c. a and b point at the first row of the panel's operands. */
typedef void gemm_lib_call(const struct gemm_pack *a, int64_t a0, int64_t m, const struct gemm_pack *b,
                           int64_t b0, int64_t n, float *c, int64_t ldc, bool add);

void gemm_lib_mul(gemm_lib_call *call, const struct gemm_pack *a, const struct gemm_pack *b, float *c,
                  int64_t ldc, bool add);

#endif
