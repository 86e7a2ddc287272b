/* Element types: the table, and conversions against definitions written in double arithmetic. */
#include "check.h"
#include "cpu.h"
#include "dtype.h"
#include "kern.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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

static void f16_from(void *ctx, const float *src, uint16_t *dst, size_t n) {
    ((const struct kern *)ctx)->f16_from_f32(dst, src, (int64_t)n);
}

static void f16_to(void *ctx, const uint16_t *src, float *dst, size_t n) {
    ((const struct kern *)ctx)->f32_from_f16(dst, src, (int64_t)n);
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
    check_that(c, !dtype_is_float(DT_I8) && !dtype_is_float(DT_U32) && dtype_is_float(DT_Q6_K),
               "float types are those of weights");
    check_that(c, dtype_can_write(DT_Q4_0) && !dtype_can_write(DT_Q4_1) && !dtype_can_write(DT_I8),
               "types that can be written");
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
        if (b % 7 == 0 && i % 32 == 5) x[i] = size * nextafterf(0.5f, 0);       /* just no tie */
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

/* Element i of a block as its layout says, one element at a time: bits of a byte, in order. */

static int bits_at(const unsigned char *b, int byte, int shift, int n) {
    return b[byte] >> shift & ((1 << n) - 1);
}

static double half_in(const unsigned char *b, int byte) {
    uint16_t h;
    memcpy(&h, b + byte, sizeof h);
    return widen(f16, h);
}

/* Blocks of 32: four bits of elements i and i + 16 in byte i % 16, a fifth one in bit i. */
static double small_element(enum dtype t, const unsigned char *b, int i) {
    const bool has_min = t == DT_Q4_1 || t == DT_Q5_1, five = t == DT_Q5_0 || t == DT_Q5_1;
    const int head = has_min ? 4 : 2;
    int q = bits_at(b, head + (five ? 4 : 0) + i % 16, i / 16 * 4, 4);
    if (five) q += bits_at(b, head + i / 8, i % 8, 1) * 16;
    if (!has_min) q -= five ? 16 : 8;
    return has_min ? half_in(b, 0) * q + half_in(b, 2) : half_in(b, 0) * q;
}

/* Groups of 32 elements with a scale and a minimum of six bits: the first four as they stand in
 * bytes 4 to 11, the others' lower four bits in 12 to 15, their upper two on top of the first
 * ones. */
static double k_element(enum dtype t, const unsigned char *b, int i) {
    const int g = i / 32;
    int sc, m;
    if (g < 4) {
        sc = bits_at(b, 4 + g, 0, 6);
        m = bits_at(b, 8 + g, 0, 6);
    } else {
        sc = bits_at(b, 8 + g, 0, 4) + bits_at(b, g, 6, 2) * 16;
        m = bits_at(b, 8 + g, 4, 4) + bits_at(b, 4 + g, 6, 2) * 16;
    }
    int q = bits_at(b, (t == DT_Q5_K ? 48 : 16) + i / 64 * 32 + i % 32, g % 2 * 4, 4);
    if (t == DT_Q5_K) q += bits_at(b, 16 + i % 32, g, 1) * 16;
    return half_in(b, 0) * sc * q - half_in(b, 2) * m;
}

static double q6_element(const unsigned char *b, int i) {
    const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
    const int q = bits_at(b, half * 64 + quarter % 2 * 32 + l, quarter / 2 * 4, 4) +
                  bits_at(b, 128 + half * 32 + l, quarter * 2, 2) * 16;
    return half_in(b, 208) * (signed char)b[192 + i / 16] * (q - 32);
}

/* Exact in double but for the last rounding. */
static float block_element(enum dtype t, const unsigned char *b, int i) {
    return (float)(t == DT_Q6_K                   ? q6_element(b, i)
                   : t == DT_Q4_K || t == DT_Q5_K ? k_element(t, b, i)
                                                  : small_element(t, b, i));
}

static void check_same(struct check *c, int64_t i, float found, float expected) {
    if (isnan(expected))
        check_that(c, isnan(found), "NaN where the layout gives none");
    else
        check_bits(c, i, bits_of(found), bits_of(expected));
}

/* Random blocks, of which some have infinite or NaN scales; at any address; piece by piece. */
static void check_blocks(struct check *c, enum dtype t) {
    enum { N = 4 * 1024 + 256, ROUNDS = 50 };
    static float x[N], again[N];
    static unsigned char bytes[N]; /* no type needs more */
    const struct dtype_row *r = dtype_row(t);
    c->n = N;
    for (int round = 0; round < ROUNDS; round++) {
        const size_t size = dtype_bytes(t, N);
        unsigned char *b = check_place(c, 0, size, round % 2 ? -1 : round % 16);
        for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)rng_next(&c->rng);
        memcpy(b, bytes, size);
        float *y = check_place(c, 1, sizeof x / 16, -1); /* a part, before a guard page */
        dtype_to_f32(t, b, x, N);
        dtype_to_f32(t, b, y, N / 16 / 256 * 256);
        check_that(c, !memcmp(x, y, N / 16 / 256 * 256 * sizeof *x), "a part is the same");
        for (int i = 0; i < N; i++)
            check_same(c, i, x[i], block_element(t, b + i / r->block * r->bytes, i % r->block));
        check_intact(c);
        dtype_convert(t, b, DT_F32, again, N);
        check_that(c, !memcmp(again, x, sizeof x), "dtype_convert widens block by block");
    }
    memset(bytes, 0, sizeof bytes);
    dtype_to_f32(t, bytes + 1, x, N);
    for (int i = 0; i < N; i++) check_that(c, x[i] == 0, "a block of zero bytes is 0");
}

/* q as quantize_row_q4_0_ref finds it; volatile: the product is rounded before the sum. */
static int q4_of(float x, float d) {
    volatile float scaled = x * (1 / d);
    const int q = (int)(scaled + 8.5f);
    return q > 15 ? 15 : q;
}

static void check_q4_block(struct check *c, const float *x, const unsigned char *b,
                           const float *back) {
    float max = 0;
    for (int i = 0; i < 32; i++)
        if (fabsf(x[i]) > fabsf(max)) max = x[i];
    const float d = max / -8;
    uint16_t h;
    memcpy(&h, b, sizeof h);
    check_bits(c, 0, h, narrow(f16, d));
    const double scale = widen(f16, h);
    for (int i = 0; i < 32; i++) {
        const int q = scale != 0 ? q4_of(x[i], d) : 8;
        check_bits(c, i, (uint64_t)bits_at(b, 2 + i % 16, i / 16 * 4, 4), (uint64_t)q);
        /* Half a step, or a whole one opposite the largest; and the rounding of d. */
        const double most = (double)x[i] / (double)d > 7 ? 1 : 0.5;
        const double off = fabs((double)back[i] - (double)x[i]);
        if (fabs(scale) >= 0x1p-14)
            check_that(c, off <= fabs((double)d) * (most + 8 * 0x1p-11 + 1e-5),
                       "q4_0 is off by half a step at most, by one where it must cut");
    }
}

static void check_q4(struct check *c) {
    enum { BLOCKS = 2000, N = 32 * BLOCKS };
    static float x[N], back[N];
    static unsigned char bytes[BLOCKS * 18 + 1];
    unsigned char *q = bytes + 1;
    c->n = N;
    for (int i = 0; i < N; i++) {
        const int b = i / 32;
        const float size = ldexpf(1, b % 40 - 26);
        x[i] = size * (float)rng_normal(&c->rng);
        if (b % 7 == 0) x[i] = size * ((float)(i % 33) / 2 - 8); /* ties, and both signs of 8 */
        if (b % 11 == 0) x[i] = b % 2 ? 0.0f : -0.0f;
        if (b % 13 == 0) x[i] = (float)(i % 32) * 1e-42f; /* subnormals */
    }
    dtype_from_f32(DT_Q4_0, x, q, N);
    dtype_to_f32(DT_Q4_0, q, back, N);
    for (int b = 0; b < BLOCKS; b++) check_q4_block(c, x + 32 * b, q + 18 * b, back + 32 * b);
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 1e30f, -FLT_MAX};
    for (int k = 0; k < 6; k++) {
        for (int i = 0; i < 32; i++) x[i] = (float)i;
        x[k + 7] = bad[k];
        dtype_from_f32(DT_Q4_0, x, q, 32);
        dtype_to_f32(DT_Q4_0, q, back, 32);
        for (int i = 0; i < 32; i++)
            check_that(c, !isfinite(back[i]), "a block without a scale has no finite values");
    }
}

/* Every pair of types that dtype_convert knows is the way through f32. */
static void check_pairs(struct check *c) {
    enum { N = 1024 + 256 };
    static float x[N];
    static unsigned char from[4 * N], to[4 * N], want[4 * N];
    for (int a = 0; a < DT_COUNT; a++)
        for (int b = 0; b < DT_COUNT; b++) {
            const enum dtype s = (enum dtype)a, t = (enum dtype)b;
            if (!dtype_is_float(s) || !dtype_can_write(t) || s == t) continue;
            const size_t size = dtype_bytes(t, N);
            for (size_t i = 0; i < sizeof from; i++) from[i] = (unsigned char)rng_next(&c->rng);
            dtype_to_f32(s, from, x, N);
            dtype_from_f32(t, x, want, N);
            dtype_convert(s, from, t, to, N);
            check_that(c, !memcmp(to, want, size), "dtype_convert goes by way of f32");
        }
}

/* Times. */

struct timing {
    enum dtype t;
    bool from;
    float *x;
    void *bytes;
    size_t n;
};

static void timed(void *ctx) {
    const struct timing *t = ctx;
    if (t->from)
        dtype_from_f32(t->t, t->x, t->bytes, t->n);
    else
        dtype_to_f32(t->t, t->bytes, t->x, t->n);
}

static void bench_types(struct check *c) {
    struct timing t = {.n = 1 << 20};
    printf("type   ns per element to and from f32, and GB/s read and written\n");
    t.x = malloc(t.n * sizeof *t.x);
    t.bytes = malloc(t.n * sizeof *t.x);
    if (!t.x || !t.bytes) abort();
    for (int k = 0; k < DT_COUNT; k++) {
        t.t = (enum dtype)k;
        if (!dtype_is_float(t.t) || !check_begin(c, dtype_row(t.t)->name, "f32")) continue;
        printf("%-6s", dtype_row(t.t)->name);
        memset(t.bytes, 0x2A, t.n * sizeof *t.x);
        check_normal(c, t.x, (int64_t)t.n, 1);
        for (int from = 0; from < 1 + dtype_can_write(t.t); from++) {
            t.from = from;
            const double seconds = check_time(timed, &t);
            printf("  %8.3f ns %6.1f GB/s", seconds * 1e9 / (double)t.n,
                   (double)(dtype_bytes(t.t, t.n) + t.n * sizeof *t.x) / seconds * 1e-9);
        }
        printf("\n");
        check_end(c);
    }
    free(t.x);
    free(t.bytes);
}

void check_dtype(struct check *c) {
    if (c->bench) {
        bench_types(c);
        return;
    }
    if (check_begin(c, "q8_0", "dtype")) {
        check_q8(c);
        check_end(c);
    }
    if (check_begin(c, "q4_0", "from")) {
        check_q4(c);
        check_end(c);
    }
    for (int t = DT_Q8_0 + 1; t < DT_COUNT; t++) {
        if (!check_begin(c, dtype_row((enum dtype)t)->name, "layout")) continue;
        check_blocks(c, (enum dtype)t);
        check_end(c);
    }
    if (check_begin(c, "table", "")) {
        check_table(c);
        check_unaligned(c);
        check_pairs(c);
        check_end(c);
    }
    for (int tier = -1; tier < CPU_TIER_COUNT; tier++) {
        struct kern k; /* a copy: contexts are not const */
        if (tier >= 0 && !kern_tier(tier)) continue;
        k = tier < 0 ? kern_scalar : *kern_tier(tier);
        if (check_begin(c, "bf16", k.name)) {
            check_widen(c, bf16, bf16_to, &k);
            check_narrow(c, bf16, bf16_from, &k);
            check_end(c);
        }
        if (check_begin(c, "f16", k.name)) {
            check_widen(c, f16, f16_to, &k);
            check_narrow(c, f16, f16_from, &k);
            check_end(c);
        }
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
