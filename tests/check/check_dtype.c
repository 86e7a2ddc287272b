/* Element types: the table, and conversions against definitions written in double arithmetic. */
#include "check.h"
#include "cpu.h"
#include "dtype.h"
#include "kern.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* A binary format with so many exponent and mantissa bits under a sign bit, 16 in all. */
struct half {
    int exp_bits, man_bits;
};

static const struct half bf16 = {8, 7}, f16 = {5, 10};

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* Value of a pattern; NaN patterns give NaN. */
static double widen(struct half t, uint16_t h) {
    int bias = (1 << (t.exp_bits - 1)) - 1, top = (1 << t.exp_bits) - 1;
    int e = h >> t.man_bits & top, m = h & ((1 << t.man_bits) - 1);
    double x;
    if (e == top)
        x = m ? (double)NAN : (double)INFINITY;
    else if (e == 0)
        x = ldexp(m, 1 - bias - t.man_bits);
    else
        x = ldexp(m + (1 << t.man_bits), e - bias - t.man_bits);
    return h & 0x8000 ? -x : x;
}

/* Pattern nearest to a number that is not NaN, ties to the even one. */
static uint16_t narrow(struct half t, float f) {
    int bias = (1 << (t.exp_bits - 1)) - 1, top = (1 << t.exp_bits) - 1;
    uint16_t sign = signbit(f) ? 0x8000 : 0;
    double x = fabs((double)f);
    if (isinf(f)) return (uint16_t)(sign | top << t.man_bits);
    int e = x > 0 ? ilogb(x) : 1 - bias;
    if (e < 1 - bias) e = 1 - bias;
    /* In units of the last place the pattern is the number: a carry goes into the exponent. */
    double units = nearbyint(ldexp(x, t.man_bits - e));
    int64_t pattern = ((int64_t)(e + bias - 1) << t.man_bits) + (int64_t)units;
    int64_t inf = (int64_t)top << t.man_bits;
    return (uint16_t)(sign | (pattern < inf ? pattern : inf));
}

typedef void narrow_fn(void *ctx, const float *src, uint16_t *dst, size_t n);
typedef void widen_fn(void *ctx, const uint16_t *src, float *dst, size_t n);

static void bf16_from(void *ctx, const float *src, uint16_t *dst, size_t n) {
    ((const struct kern *)ctx)->bf16_from_f32(dst, src, (int64_t)n);
}

static void bf16_to(void *ctx, const uint16_t *src, float *dst, size_t n) {
    ((const struct kern *)ctx)->f32_from_bf16(dst, src, (int64_t)n);
}

static void dtype_from(void *ctx, const float *src, uint16_t *dst, size_t n) {
    dtype_from_f32(*(enum dtype *)ctx, src, dst, n);
}

static void dtype_to(void *ctx, const uint16_t *src, float *dst, size_t n) {
    dtype_to_f32(*(enum dtype *)ctx, src, dst, n);
}

/* All 65536 patterns widen exactly; NaN stays NaN of the same sign. */
static void check_widen(struct check *c, struct half t, widen_fn *fn, void *ctx) {
    static uint16_t h[65536];
    static float f[65536];
    c->n = 65536;
    c->note = "all patterns";
    for (int i = 0; i < 65536; i++) h[i] = (uint16_t)i;
    fn(ctx, h, f, 65536);
    for (int i = 0; i < 65536; i++) {
        double x = widen(t, h[i]);
        if (isnan(x))
            check_that(c, isnan(f[i]) && bits_of(f[i]) >> 31 == h[i] >> 15,
                       "NaN stays NaN of the same sign");
        else
            check_bits(c, i, bits_of(f[i]), bits_of((float)x));
    }
}

static void check_narrow_block(struct check *c, struct half t, narrow_fn *fn, void *ctx,
                               const float *f, int n) {
    static uint16_t h[65536];
    fn(ctx, f, h, (size_t)n);
    for (int i = 0; i < n; i++) {
        if (!isnan(f[i]))
            check_bits(c, i, h[i], narrow(t, f[i]));
        else
            check_that(c,
                       isnan(widen(t, h[i])) && h[i] >> 15 == (bits_of(f[i]) >> 31) &&
                           h[i] >> (t.man_bits - 1) & 1,
                       "NaN stays NaN, quiet, with its sign");
    }
}

/* Every pattern's value, the middles between neighbours and the floats beside both; then random
 * floats of all exponents. */
static void check_narrow(struct check *c, struct half t, narrow_fn *fn, void *ctx) {
    static float f[65536];
    const int below = 23 - t.man_bits; /* bits that rounding drops */
    const int32_t steps[] = {
        0, 1, -1, 1 << (below - 1), (1 << (below - 1)) - 1, (1 << (below - 1)) + 1};
    c->n = 65536;
    c->note = "edges of all patterns";
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        for (uint32_t i = 0; i < 65536; i++) {
            double x = widen(t, (uint16_t)i), next = widen(t, (uint16_t)(i + 1));
            uint32_t u = bits_of((float)x);
            if (s >= 3 && isfinite(x) && isfinite(next)) /* exact also between subnormals */
                f[i] = float_of(bits_of((float)((x + next) / 2)) + (uint32_t)(s == 3   ? 0
                                                                              : s == 4 ? -1
                                                                                       : 1));
            else
                f[i] = float_of(u + (uint32_t)steps[s]);
        }
        check_narrow_block(c, t, fn, ctx, f, 65536);
    }
    c->note = "random floats";
    for (int round = 0; round < 16; round++) {
        for (int i = 0; i < 65536; i++) {
            uint32_t u = (uint32_t)rng_next(&c->rng);
            /* half of them with an exponent that f16 has */
            f[i] = float_of(round & 1 ? (u & 0x8FFFFFFF) | 0x30000000 : u);
        }
        check_narrow_block(c, t, fn, ctx, f, 65536);
    }
}

static void check_table(struct check *c) {
    for (int t = 0; t < DT_COUNT; t++) {
        const struct dtype_row *r = dtype_row((enum dtype)t);
        check_that(c, dtype_find(r->name) == t, "dtype_find inverts the names");
        check_that(c, dtype_bytes((enum dtype)t, 6 * (size_t)r->block) == 6 * (size_t)r->bytes,
                   "dtype_bytes counts blocks");
    }
    check_that(c, dtype_find("f31") == -1 && dtype_find("") == -1, "unknown names are not found");
    check_that(c, dtype_bytes(DT_F32, SIZE_MAX / 2) == SIZE_MAX, "overflow of bytes is seen");
}

/* Data of files: any alignment. */
static void check_unaligned(struct check *c) {
    enum { N = 37 };
    for (int t = 0; t < 3; t++) {
        const enum dtype type = (enum dtype[]){DT_F32, DT_F16, DT_BF16}[t];
        float x[N], back[N];
        for (int i = 0; i < N; i++) x[i] = (float)(i - 18) / 8;
        unsigned char bytes[N * 4 + 1], *at = bytes + 1;
        dtype_from_f32(type, x, at, N);
        dtype_to_f32(type, at, back, N);
        check_that(c, !memcmp(x, back, sizeof x), "conversions do not need alignment");
    }
}

/* q8_0 as ggml-quants.c has it, with the library's roundf; blocks of all sizes of numbers, ties,
 * and what cannot be stored. */
static void check_q8(struct check *c) {
    enum { BLOCKS = 2000, N = 32 * BLOCKS };
    static float x[N], back[N];
    static unsigned char bytes[BLOCKS * 34 + 1], again[BLOCKS * 34];
    unsigned char *q = bytes + 1;
    c->n = N;
    for (int i = 0; i < N; i++) {
        const int b = i / 32;
        const float size = ldexpf(1, b % 30 - 20);
        x[i] = size * (float)rng_normal(&c->rng);
        if (b % 7 == 0) x[i] = size * (i % 32 ? (float)(i % 40) - 19.5f : 127); /* ties */
        if (b % 11 == 0) x[i] = 0;
    }
    dtype_from_f32(DT_Q8_0, x, q, N);
    dtype_to_f32(DT_Q8_0, q, back, N);
    for (int b = 0; b < BLOCKS; b++) {
        float max = 0, scale;
        for (int i = 0; i < 32; i++) max = fmaxf(max, fabsf(x[32 * b + i]));
        const float d = max / 127, inverse = d ? 1 / d : 0;
        uint16_t h = narrow(f16, d), stored;
        memcpy(&stored, q + 34 * b, 2);
        check_bits(c, b, stored, h);
        scale = (float)widen(f16, h);
        for (int i = 0; i < 32; i++) {
            const int want = scale > 0 ? (int)roundf(x[32 * b + i] * inverse) : 0;
            check_bits(c, 32 * b + i, bits_of(back[32 * b + i]), bits_of(scale * (float)want));
        }
    }
    dtype_convert(DT_F32, x, DT_Q8_0, again, N);
    check_that(c, !memcmp(again, q, sizeof again), "dtype_convert goes block by block");
    dtype_convert(DT_Q8_0, q, DT_F32, x, N);
    check_that(c, !memcmp(x, back, sizeof x), "dtype_convert widens block by block");
    const float bad[] = {NAN, INFINITY, 1e30f};
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 32; i++) x[i] = (float)i;
        x[7] = bad[k];
        dtype_from_f32(DT_Q8_0, x, q, 32);
        dtype_to_f32(DT_Q8_0, q, back, 32);
        for (int i = 0; i < 32; i++)
            check_that(c, !isfinite(back[i]), "a block without a scale has no finite values");
    }
}

void check_dtype(struct check *c) {
    if (c->bench) return;
    if (check_begin(c, "q8_0", "dtype")) {
        check_q8(c);
        check_end(c);
    }
    if (check_begin(c, "table", "")) {
        check_table(c);
        check_unaligned(c);
        check_end(c);
    }
    for (int tier = -1; tier < CPU_TIER_COUNT; tier++) {
        struct kern k; /* a copy: contexts are not const */
        if (tier >= 0 && !kern_tier(tier)) continue;
        k = tier < 0 ? kern_scalar : *kern_tier(tier);
        if (!check_begin(c, "bf16", k.name)) continue;
        check_widen(c, bf16, bf16_to, &k);
        check_narrow(c, bf16, bf16_from, &k);
        check_end(c);
    }
    enum dtype t = DT_BF16;
    if (check_begin(c, "bf16", "dtype")) {
        check_widen(c, bf16, dtype_to, &t);
        check_narrow(c, bf16, dtype_from, &t);
        check_end(c);
    }
    t = DT_F16;
    if (check_begin(c, "f16", "dtype")) {
        check_widen(c, f16, dtype_to, &t);
        check_narrow(c, f16, dtype_from, &t);
        check_end(c);
    }
}
