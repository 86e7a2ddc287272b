#include "quant.h"
#include "half.h"

#include <assert.h>

/* One block, as it stands in a file: any alignment. */
typedef void block_fn(const unsigned char *b, float *y);

static float half_at(const unsigned char *b) {
    uint16_t h;
    memcpy(&h, b, sizeof h);
    return f32_of_f16(h);
}

enum { SMALL = 32, LARGE = 256 };

/* Small blocks: byte j has elements j and j + 16. */

static void q4_0(const unsigned char *b, float *y) {
    const float d = half_at(b);
    const unsigned char *q = b + 2;
    for (int j = 0; j < SMALL / 2; j++) {
        y[j] = d * (float)((q[j] & 15) - 8);
        y[j + SMALL / 2] = d * (float)((q[j] >> 4) - 8);
    }
}

static void q4_1(const unsigned char *b, float *y) {
    const float d = half_at(b), m = half_at(b + 2);
    const unsigned char *q = b + 4;
    for (int j = 0; j < SMALL / 2; j++) {
        y[j] = d * (float)(q[j] & 15) + m;
        y[j + SMALL / 2] = d * (float)(q[j] >> 4) + m;
    }
}

/* The fifth bits are one number of 32 bits: bit j is that of element j. */
static int with_fifth(int low, uint32_t high, int j) {
    return low | (int)(high >> j & 1) << 4;
}

static uint32_t word_at(const unsigned char *b) {
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void q5_0(const unsigned char *b, float *y) {
    const float d = half_at(b);
    const uint32_t high = word_at(b + 2);
    const unsigned char *q = b + 6;
    for (int j = 0; j < SMALL / 2; j++) {
        y[j] = d * (float)(with_fifth(q[j] & 15, high, j) - 16);
        y[j + SMALL / 2] = d * (float)(with_fifth(q[j] >> 4, high, j + SMALL / 2) - 16);
    }
}

static void q5_1(const unsigned char *b, float *y) {
    const float d = half_at(b), m = half_at(b + 2);
    const uint32_t high = word_at(b + 4);
    const unsigned char *q = b + 8;
    for (int j = 0; j < SMALL / 2; j++) {
        y[j] = d * (float)with_fifth(q[j] & 15, high, j) + m;
        y[j + SMALL / 2] = d * (float)with_fifth(q[j] >> 4, high, j + SMALL / 2) + m;
    }
}

/* Large blocks of q4_k and q5_k are eight groups of 32 elements, each with a scale and a minimum of
 * six bits. The last four groups have the upper two bits of theirs in the first eight bytes. */

struct group {
    float d, m;
};

static struct group group_at(const unsigned char *b, int j) {
    const unsigned char *s = b + 4;
    const int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
    const int m = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
    return (struct group){half_at(b) * (float)sc, half_at(b + 2) * (float)m};
}

/* Groups 2 g and 2 g + 1 share 32 bytes. */

static void q4_k(const unsigned char *b, float *y) {
    const unsigned char *q = b + 16;
    for (int g = 0; g < 4; g++, q += 32, y += 64) {
        const struct group low = group_at(b, 2 * g), high = group_at(b, 2 * g + 1);
        for (int l = 0; l < 32; l++) {
            y[l] = low.d * (float)(q[l] & 15) - low.m;
            y[l + 32] = high.d * (float)(q[l] >> 4) - high.m;
        }
    }
}

static void q5_k(const unsigned char *b, float *y) {
    const unsigned char *h = b + 16, *q = b + 48;
    for (int g = 0; g < 4; g++, q += 32, y += 64) {
        const struct group low = group_at(b, 2 * g), high = group_at(b, 2 * g + 1);
        for (int l = 0; l < 32; l++) {
            const int fifth = h[l] >> 2 * g;
            y[l] = low.d * (float)((q[l] & 15) | (fifth & 1) << 4) - low.m;
            y[l + 32] = high.d * (float)(q[l] >> 4 | (fifth & 2) << 3) - high.m;
        }
    }
}

/* Each half: 64 bytes of lower bits, 32 of upper ones, and eight scales, of 16 elements each. */
static void q6_k(const unsigned char *b, float *y) {
    const float d = half_at(b + 208);
    for (int half = 0; half < 2; half++, y += 128) {
        const unsigned char *q = b + 64 * half, *h = b + 128 + 32 * half;
        float scale[8];
        for (int s = 0; s < 8; s++) {
            int8_t sc;
            memcpy(&sc, b + 192 + 8 * half + s, 1);
            scale[s] = d * (float)sc;
        }
        for (int l = 0; l < 32; l++) {
            const float *s = scale + l / 16;
            y[l] = s[0] * (float)(((q[l] & 15) | (h[l] & 3) << 4) - 32);
            y[l + 32] = s[2] * (float)(((q[l + 32] & 15) | (h[l] & 12) << 2) - 32);
            y[l + 64] = s[4] * (float)((q[l] >> 4 | (h[l] & 48)) - 32);
            y[l + 96] = s[6] * (float)((q[l + 32] >> 4 | (h[l] & 192) >> 2) - 32);
        }
    }
}

void quant_to_f32(enum dtype t, const void *src, float *dst, size_t n) {
    static block_fn *const blocks[DT_COUNT] = {
        [DT_Q4_0] = q4_0, [DT_Q4_1] = q4_1, [DT_Q5_0] = q5_0, [DT_Q5_1] = q5_1,
        [DT_Q4_K] = q4_k, [DT_Q5_K] = q5_k, [DT_Q6_K] = q6_k,
    };
    const struct dtype_row *r = dtype_row(t);
    const unsigned char *b = src;
    assert(blocks[t] && n % (size_t)r->block == 0);
    for (size_t i = 0; i < n; i += (size_t)r->block, b += r->bytes) blocks[t](b, dst + i);
}

/* The first x of largest magnitude; any NaN counts as larger than all numbers. */
static float largest(const float *x) {
    uint32_t max = 0;
    float found = 0;
    for (int i = 0; i < SMALL; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        u &= 0x7FFFFFFF;
        if (u > max) {
            max = u;
            found = x[i];
        }
    }
    return found;
}

static int nibble(float x, float inverse) {
    const int q = (int)(x * inverse + 8.5f);
    return q < 15 ? q : 15;
}

void quant_q4_0_from_f32(const float *src, void *dst, size_t n) {
    unsigned char *b = dst;
    assert(n % SMALL == 0);
    for (; n; n -= SMALL, src += SMALL, b += 18) {
        const float d = largest(src) / -8;
        const uint16_t h = f16_of_f32(d);
        memcpy(b, &h, sizeof h);
        memset(b + 2, 0x88, SMALL / 2); /* d 0: and 0 times infinity or NaN is NaN */
        if ((h & 0x7FFF) == 0 || (h & 0x7FFF) >= 0x7C00) continue;
        const float inverse = 1 / d;
        for (int j = 0; j < SMALL / 2; j++)
            b[2 + j] =
                (unsigned char)(nibble(src[j], inverse) | nibble(src[j + SMALL / 2], inverse) << 4);
    }
}
