/* Element types: one row each. A block type packs `block` elements into `bytes` bytes. */
#ifndef DUET_DTYPE_H
#define DUET_DTYPE_H

#include <stdint.h>
#include <stddef.h>

/*        id,   name,   block, bytes */
#define DTYPES(X)                                                                                  \
    X(DT_F32, "f32", 1, 4)                                                                         \
    X(DT_F16, "f16", 1, 2)                                                                         \
    X(DT_BF16, "bf16", 1, 2)                                                                       \
    X(DT_I8, "i8", 1, 1)                                                                           \
    X(DT_U16, "u16", 1, 2)                                                                         \
    X(DT_U32, "u32", 1, 4)

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

/* Exact widening of n elements of a float type (f32, f16, bf16) to f32. */
void dtype_to_f32(enum dtype t, const void *src, float *dst, size_t n);

/* Rounding to nearest even. t: f32, f16 or bf16. Overflow gives infinity, NaN stays NaN. */
void dtype_from_f32(enum dtype t, const float *src, void *dst, size_t n);

#endif
