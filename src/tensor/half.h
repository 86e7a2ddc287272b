/* IEEE 754 binary16 to and from f32, one number at a time. Static: kernels are compiled once per
 * instruction set. */
#ifndef DUET_HALF_H
#define DUET_HALF_H

#include <stdint.h>
#include <string.h>

static inline float f32_of_f16(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7FFF) << 13;
    uint32_t u;
    float f;
    if (rest >= 0x7C00u << 13) { /* infinity and NaN; a signalling NaN becomes quiet */
        u = 0x7F800000 | rest | (rest > 0x7C00u << 13 ? 0x400000 : 0);
    } else {
        /* Exponent and mantissa in place, 112 too low in the exponent: the product is exact, and it
         * normalises subnormals. */
        memcpy(&f, &rest, sizeof f);
        f *= 0x1p112f;
        memcpy(&u, &f, sizeof u);
    }
    u |= sign;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint16_t f16_of_f32(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
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

#endif
