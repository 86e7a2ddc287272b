/* Element types: one row each. A block type packs `block` elements into `bytes` bytes. */
#ifndef DUET_DTYPE_H
#define DUET_DTYPE_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

/*        id,   name,   block, bytes */
#define DTYPES(X)                                                                                  \
    X(DT_F32, "f32", 1, 4)                                                                         \
    X(DT_F16, "f16", 1, 2)                                                                         \
    X(DT_BF16, "bf16", 1, 2)                                                                       \
    X(DT_I8, "i8", 1, 1)                                                                           \
    X(DT_U16, "u16", 1, 2)                                                                         \
    X(DT_U32, "u32", 1, 4)                                                                         \
    X(DT_Q8_0, "q8_0", 32, 34)                                                                     \
    X(DT_Q4_0, "q4_0", 32, 18)                                                                     \
    X(DT_Q4_1, "q4_1", 32, 20)                                                                     \
    X(DT_Q5_0, "q5_0", 32, 22)                                                                     \
    X(DT_Q5_1, "q5_1", 32, 24)                                                                     \
    X(DT_Q4_K, "q4_k", 256, 144)                                                                   \
    X(DT_Q5_K, "q5_k", 256, 176)                                                                   \
    X(DT_Q6_K, "q6_k", 256, 210)

/* Elements of the largest block: pieces of a row that are whole blocks of every type. */
#define DTYPE_MAX_BLOCK 256

enum dtype {
#define X(id, name, block, bytes) id,
    DTYPES(X)
#undef X
        DT_COUNT
};

struct dtype_row {
    const char *name;
    int block, bytes;
};

const struct dtype_row *dtype_row(enum dtype t);

/* Type by name, or -1. */
int dtype_find(const char *name);

/* Bytes of n elements (n a multiple of the block), or SIZE_MAX on overflow. */
size_t dtype_bytes(enum dtype t, size_t n);

/* Float types, whose elements are weights: f32, f16, bf16 and the block types of ggml.
 *
 * q8_0: a block is an f16 scale d, then 32 int8 q, for d q. d = max|x| / 127, q = x / d rounded to
 * nearest, ties away from 0. Where d is too small for f16 the block is 0, and where it is too
 * large, or an x is no number, the block has no finite values. Source: ggml-quants.c,
 * quantize_row_q8_0_ref. The others: quant.h. */
static inline int dtype_is_float(enum dtype t) {
    return t != DT_I8 && t != DT_U16 && t != DT_U32;
}

/* Float types that dtype_from_f32 makes: f32, f16, bf16, q8_0 and q4_0. The others are
 * only read. */
static inline int dtype_can_write(enum dtype t) {
    return t == DT_F32 || t == DT_F16 || t == DT_BF16 || t == DT_Q8_0 || t == DT_Q4_0;
}

/* n elements of a float type to f32: exactly, but for blocks with a scale and a minimum, whose
 * elements are rounded once. n: whole blocks, here and below. src and dst may be unaligned where
 * they are not floats. */
void dtype_to_f32(enum dtype t, const void *src, float *dst, size_t n);

/* To a type that can be written, rounding to nearest even (q8_0, q4_0: as said there). Overflow
 * gives infinity, NaN stays NaN. */
void dtype_from_f32(enum dtype t, const float *src, void *dst, size_t n);

/* From one float type to another that can be written, or to the same one: a copy of the bytes. n:
 * whole blocks of both. */
void dtype_convert(enum dtype from, const void *src, enum dtype to, void *dst, size_t n);

/* Are n elements all finite? By the bits of their exponents and scales, as fast as memory is. True
 * of types that are not float. p may be unaligned. */
bool dtype_finite(enum dtype t, const void *p, size_t n);

#endif
