#include "dtype.h"
#include "kern.h"

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

/* IEEE 754 binary16. */

static uint32_t f32_bits_from_f16(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7FFF) << 13;
    if (rest >= 0x7C00u << 13) /* infinity and NaN; a signalling NaN becomes quiet */
        return sign | 0x7F800000 | rest | (rest > 0x7C00u << 13 ? 0x400000 : 0);
    /* Exponent and mantissa in place, 112 too low in the exponent: the product is exact, and it
     * normalises subnormals. */
    float f;
    memcpy(&f, &rest, sizeof f);
    f *= 0x1p112f;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return sign | u;
}

static uint16_t f16_from_f32_bits(uint32_t u) {
    const uint32_t sign = u >> 16 & 0x8000, a = u & 0x7FFFFFFF;
    if (a > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (a >> 13 & 0x3FF));
    if (a >= 0x477FF000) return (uint16_t)(sign | 0x7C00); /* 65520 and up round to infinity */
    if (a < 0x38800000) {
        /* Below 2^-14: adding 1/2 lets the FPU round at 2^-24, the unit of subnormals. */
        float f;
        memcpy(&f, &a, sizeof f);
        f += 0.5f;
        uint32_t r;
        memcpy(&r, &f, sizeof r);
        return (uint16_t)(sign | (r - 0x3F000000));
    }
    return (uint16_t)(sign | (a - 0x38000000 + 0xFFF + (a >> 13 & 1)) >> 13);
}

/* src and dst come out of files and may be unaligned. */

static void f16_to_f32(const unsigned char *src, float *dst, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, src + 2 * i, sizeof h);
        uint32_t u = f32_bits_from_f16(h);
        memcpy(dst + i, &u, sizeof u);
    }
}

static void f16_from_f32(const float *src, unsigned char *dst, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, src + i, sizeof u);
        uint16_t h = f16_from_f32_bits(u);
        memcpy(dst + 2 * i, &h, sizeof h);
    }
}

/* Blocks of 32 int8 with a scale. */

enum { Q8_BLOCK = 32, Q8_BYTES = 34 };

static void q8_to_f32(const unsigned char *src, float *dst, size_t n) {
    for (; n; n -= Q8_BLOCK, src += Q8_BYTES, dst += Q8_BLOCK) {
        float d;
        int8_t q[Q8_BLOCK];
        f16_to_f32(src, &d, 1);
        memcpy(q, src + 2, sizeof q);
        for (int i = 0; i < Q8_BLOCK; i++) dst[i] = d * (float)q[i];
    }
}

/* max|x|, NaN counting as the largest: positive floats are ordered as their bits are. */
static float largest(const float *x) {
    int32_t max = 0;
    for (int i = 0; i < Q8_BLOCK; i++) {
        int32_t u;
        memcpy(&u, x + i, sizeof u);
        u &= 0x7FFFFFFF;
        max = u > max ? u : max;
    }
    float f;
    memcpy(&f, &max, sizeof f);
    return f;
}

static void q8_from_f32(const float *src, unsigned char *dst, size_t n) {
    for (; n; n -= Q8_BLOCK, src += Q8_BLOCK, dst += Q8_BYTES) {
        const float d = largest(src) / 127;
        int8_t q[Q8_BLOCK] = {0};
        float stored;
        f16_from_f32(&d, dst, 1);
        f16_to_f32(dst, &stored, 1);
        /* What is not so has q 0, and infinity and NaN times 0 are NaN. */
        if (stored > 0 && stored < 0x1p17f) {
            const float inverse = 1 / d;
            for (int i = 0; i < Q8_BLOCK; i++) {
                const float x = src[i] * inverse, a = x < 0 ? -x : x;
                const int whole = (int)a, r = whole + (a - (float)whole >= 0.5f);
                q[i] = (int8_t)(x < 0 ? -r : r);
            }
        }
        memcpy(dst + 2, q, sizeof q);
    }
}

void dtype_to_f32(enum dtype t, const void *src, float *dst, size_t n) {
    assert(n % (size_t)dtype_row(t)->block == 0);
    switch (t) {
    case DT_F32: memcpy(dst, src, n * sizeof *dst); break;
    case DT_F16: f16_to_f32(src, dst, n); break;
    case DT_BF16: kern()->f32_from_bf16(dst, src, (int64_t)n); break;
    case DT_Q8_0: q8_to_f32(src, dst, n); break;
    default: assert(!"not a float type");
    }
}

void dtype_from_f32(enum dtype t, const float *src, void *dst, size_t n) {
    assert(n % (size_t)dtype_row(t)->block == 0);
    switch (t) {
    case DT_F32: memcpy(dst, src, n * sizeof *src); break;
    case DT_F16: f16_from_f32(src, dst, n); break;
    case DT_BF16: kern()->bf16_from_f32(dst, src, (int64_t)n); break;
    case DT_Q8_0: q8_from_f32(src, dst, n); break;
    default: assert(!"not a float type");
    }
}

void dtype_convert(enum dtype from, const void *src, enum dtype to, void *dst, size_t n) {
    enum { PART = 1024 };
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
