/* Block types of ggml in which GGUF files come, but for q8_0, which has row kernels (kern.h).
 *
 * A block holds the elements of its row in order. f16 d, m, dmin; q unsigned, sc and m of the
 * k-types 6 bits (q6_k: sc int8).
 *
 *   q4_0   d q4[16]                        x = d (q - 8)
 *   q4_1   d m q4[16]                      x = d q + m
 *   q5_0   d h[4] q4[16]                   x = d (q - 16)
 *   q5_1   d m h[4] q4[16]                 x = d q + m
 *   q4_k   d dmin s[12] q4[128]            x = (d sc) q - dmin m
 *   q5_k   d dmin s[12] h[32] q4[128]      x = (d sc) q - dmin m
 *   q6_k   q4[128] h[64] sc[16] d          x = (d sc) (q - 32)
 *
 * q4: the lower four bits of q, two elements a byte; h: the upper ones.
 *
 * Every product is exact in f32 (at most 24 bits), so an element is rounded once, and is the same
 * whether or not a compiler fuses multiplication and addition. Source: ggml-quants.c,
 * dequantize_row_*. */
#ifndef DUET_QUANT_H
#define DUET_QUANT_H

#include "dtype.h"

/* n elements, whole blocks, of a type above to f32. */
void quant_to_f32(enum dtype t, const void *src, float *dst, size_t n);

/* The one of them that can be written. d = x / -8 of the x of largest magnitude, the first of
 * several; q = x / d + 8.5 cut to a whole number, at most 15. Where d is too small for f16 the
 * block is 0, and where it is too large, or an x is no number, it has no finite values. Source:
 * quantize_row_q4_0_ref. */
void quant_q4_0_from_f32(const float *src, void *dst, size_t n);

#endif
