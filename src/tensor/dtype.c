#include "dtype.h"
#include "kern.h"
#include "quant.h"

#include <assert.h>
#include <string.h>

static const struct dtype_row rows[DT_COUNT] = {
#define X(id, name, block, bytes) [id] = {name, block, bytes},
    DTYPES(X)
#undef X
};

const struct dtype_row *dtype_row(enum dtype t) {
    assert((unsigned)t < DT_COUNT);
    return &rows[t];
}

int dtype_find(const char *name) {
    for (int t = 0; t < DT_COUNT; t++)
        if (!strcmp(rows[t].name, name)) return t;
    return -1;
}

size_t dtype_bytes(enum dtype t, size_t n) {
    const struct dtype_row *r = dtype_row(t);
    assert(n % (size_t)r->block == 0);
    size_t blocks = n / (size_t)r->block, bytes;
    return __builtin_mul_overflow(blocks, (size_t)r->bytes, &bytes) ? SIZE_MAX : bytes;
}

void dtype_to_f32(enum dtype t, const void *src, float *dst, size_t n) {
    assert(n % (size_t)dtype_row(t)->block == 0);
    switch (t) {
    case DT_F32: memcpy(dst, src, n * sizeof *dst); break;
    case DT_F16: kern()->f32_from_f16(dst, src, (int64_t)n); break;
    case DT_BF16: kern()->f32_from_bf16(dst, src, (int64_t)n); break;
    case DT_Q8_0: kern()->f32_from_q8(dst, src, (int64_t)n); break;
    default: quant_to_f32(t, src, dst, n);
    }
}

void dtype_from_f32(enum dtype t, const float *src, void *dst, size_t n) {
    assert(n % (size_t)dtype_row(t)->block == 0);
    switch (t) {
    case DT_F32: memcpy(dst, src, n * sizeof *src); break;
    case DT_F16: kern()->f16_from_f32(dst, src, (int64_t)n); break;
    case DT_BF16: kern()->bf16_from_f32(dst, src, (int64_t)n); break;
    case DT_Q8_0: kern()->q8_from_f32(dst, src, (int64_t)n); break;
    case DT_Q4_0: quant_q4_0_from_f32(src, dst, n); break;
    default: assert(!"not a type that can be written");
    }
}

void dtype_convert(enum dtype from, const void *src, enum dtype to, void *dst, size_t n) {
    enum { PART = 4 * DTYPE_MAX_BLOCK };
    float buf[PART];
    if (from == to) {
        memcpy(dst, src, dtype_bytes(to, n));
        return;
    }
    for (size_t i = 0, part; i < n; i += part) {
        part = n - i < PART ? n - i : PART;
        dtype_to_f32(from, (const unsigned char *)src + dtype_bytes(from, i), buf, part);
        dtype_from_f32(to, buf, (unsigned char *)dst + dtype_bytes(to, i), part);
    }
}

/* any16, any32: are the bits of mask all set in one of n words? */
#define ANY(bits)                                                                                  \
    static bool any##bits(const unsigned char *p, size_t n, uint##bits##_t mask) {                 \
        uint##bits##_t any = 0;                                                                    \
        for (size_t i = 0; i < n; i++) {                                                           \
            uint##bits##_t u;                                                                      \
            memcpy(&u, p + i * sizeof u, sizeof u);                                                \
            any |= (u & mask) == mask;                                                             \
        }                                                                                          \
        return any;                                                                                \
    }
ANY(16)
ANY(32)
#undef ANY

/* Blocks have one or two numbers of f16 that the others are multiplied by: scale and minimum. */
static bool any_block(enum dtype t, const unsigned char *p, size_t blocks) {
    const size_t bytes = (size_t)dtype_row(t)->bytes, at = t == DT_Q6_K ? 208 : 0;
    const bool two = t == DT_Q4_1 || t == DT_Q5_1 || t == DT_Q4_K || t == DT_Q5_K;
    for (size_t i = 0; i < blocks; i++)
        if (any16(p + i * bytes + at, 1 + two, 0x7C00)) return true;
    return false;
}

bool dtype_finite(enum dtype t, const void *p, size_t n) {
    assert(n % (size_t)dtype_row(t)->block == 0);
    switch (t) {
    case DT_F32: return !any32(p, n, 0x7F800000);
    case DT_F16: return !any16(p, n, 0x7C00);
    case DT_BF16: return !any16(p, n, 0x7F80);
    default: return !dtype_is_float(t) || !any_block(t, p, n / (size_t)dtype_row(t)->block);
    }
}
