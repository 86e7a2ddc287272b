/* Signs of perturbations, for kern_tmpl.c: xoshiro256++ with state from splitmix64 (rng.h), a block
 * in each lane, and how they are added. */
#ifndef DUET_KERN_SIGNS_H
#define DUET_KERN_SIGNS_H

#include "kern_vec.h"

typedef uint64_t vw __attribute__((vector_size(4 * VL)));
enum { WORD_LANES = VL / 2, BLOCK_WORDS = 8 };

#define GOLDEN 0x9E3779B97F4A7C15u /* splitmix's step */

VEC vw rotl(vw x, int k) {
    return (x << k) | (x >> (64 - k));
}

/* z c, of which AVX2 has no instruction. */
VEC vw times(vw z, uint64_t c) {
#if VL == 8
    const vw cross = (vw)_mm256_mullo_epi32((__m256i)z, (__m256i)((vw){0} + (c << 32 | c >> 32)));
    return (vw)_mm256_mul_epu32((__m256i)z, (__m256i)((vw){0} + c)) + (cross << 32) +
           (cross & 0xFFFFFFFF00000000u);
#else
    return z * c;
#endif
}

/* What splitmix makes of m states, side by side. */
VEC void mix(vw *z, const int m) {
    for (int j = 0; j < m; j++) z[j] ^= z[j] >> 30;
    for (int j = 0; j < m; j++) z[j] = times(z[j], 0xBF58476D1CE4E5B9u);
    for (int j = 0; j < m; j++) z[j] ^= z[j] >> 27;
    for (int j = 0; j < m; j++) z[j] = times(z[j], 0x94D049BB133111EBu);
    for (int j = 0; j < m; j++) z[j] ^= z[j] >> 31;
}

/* Words by lane become words by block: n blocks of eight. */
#if VL == 16
VEC void store_block_pairs(uint64_t *words, __m512i a, __m512i b, __m512i c, __m512i d, int n) {
    const __m512i low = _mm512_shuffle_i64x2(a, b, 0x88), high = _mm512_shuffle_i64x2(c, d, 0x88);
    const __m512i low1 = _mm512_shuffle_i64x2(a, b, 0xdd), high1 = _mm512_shuffle_i64x2(c, d, 0xdd);
    const __m512i block[4] = {
        _mm512_shuffle_i64x2(low, high, 0x88), _mm512_shuffle_i64x2(low1, high1, 0x88),
        _mm512_shuffle_i64x2(low, high, 0xdd), _mm512_shuffle_i64x2(low1, high1, 0xdd)};
    for (int i = 0; i < 4 && 2 * i < n; i++)
        _mm512_storeu_si512(words + 2 * i * BLOCK_WORDS, block[i]);
}

VEC void store_blocks(uint64_t *words, const vw w[BLOCK_WORDS], int n) {
    __m512i even[4], odd[4];
    for (int i = 0; i < 4; i++) {
        even[i] = _mm512_unpacklo_epi64((__m512i)w[2 * i], (__m512i)w[2 * i + 1]);
        odd[i] = _mm512_unpackhi_epi64((__m512i)w[2 * i], (__m512i)w[2 * i + 1]);
    }
    store_block_pairs(words, even[0], even[1], even[2], even[3], n);
    store_block_pairs(words + BLOCK_WORDS, odd[0], odd[1], odd[2], odd[3], n - 1);
}
#elif VL == 8
VEC void store_blocks(uint64_t *words, const vw w[BLOCK_WORDS], int n) {
    for (int k = 0; k < BLOCK_WORDS; k += 4) {
        const __m256i even = _mm256_unpacklo_epi64((__m256i)w[k], (__m256i)w[k + 1]),
                      odd = _mm256_unpackhi_epi64((__m256i)w[k], (__m256i)w[k + 1]),
                      even1 = _mm256_unpacklo_epi64((__m256i)w[k + 2], (__m256i)w[k + 3]),
                      odd1 = _mm256_unpackhi_epi64((__m256i)w[k + 2], (__m256i)w[k + 3]);
        const __m256i block[4] = {_mm256_permute2x128_si256(even, even1, 0x20),
                                  _mm256_permute2x128_si256(odd, odd1, 0x20),
                                  _mm256_permute2x128_si256(even, even1, 0x31),
                                  _mm256_permute2x128_si256(odd, odd1, 0x31)};
        for (int l = 0; l < 4 && l < n; l++)
            _mm256_storeu_si256((__m256i *)(void *)(words + l * BLOCK_WORDS + k), block[l]);
    }
}
#else
VEC void store_blocks(uint64_t *words, const vw w[BLOCK_WORDS], int n) {
    for (int l = 0; l < n; l++)
        for (int k = 0; k < BLOCK_WORDS; k++) words[l * BLOCK_WORDS + k] = w[k][l];
}
#endif

/* The words of WORD_LANES blocks or the first n, from the hash of their numbers; returns that of
 * the blocks `next`. What follows from one another within a block takes the processor longer than
 * what it has to do, so hashes are made side by side, those of the next blocks with the states of
 * these. */
VEC vw some_signs(uint64_t *words, vw hash, vw next, int64_t n) {
    enum { STATE = 4 };
    vw s[STATE + 1], out[BLOCK_WORDS];
    for (int k = 0; k < STATE; k++) s[k] = hash + (uint64_t)(k + 1) * GOLDEN;
    s[STATE] = next + GOLDEN;
    mix(s, STATE + 1);
    for (int w = 0; w < BLOCK_WORDS; w++) {
        const vw t = s[1] << 17;
        out[w] = rotl(s[0] + s[3], 23) + s[0];
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = rotl(s[3], 45);
    }
    store_blocks(words, out, n < WORD_LANES ? (int)n : WORD_LANES);
    return s[STATE];
}

static void signs(uint64_t *words, uint64_t key, uint64_t first, uint64_t stride, int64_t n) {
    vw number = {0}, step = (vw){0} + WORD_LANES * stride;
    for (int l = 0; l < WORD_LANES; l++) number[l] = (uint64_t)l;
    number = number * stride + first;
    vw hash = (number ^ key) + GOLDEN;
    mix(&hash, 1);
    for (; n > 0; n -= WORD_LANES, words += WORD_LANES * BLOCK_WORDS) {
        number += step;
        hash = some_signs(words, hash, number ^ key, n);
    }
}

/* x + eps where the lowest bits of `bits` from number `at` on are set, else x - eps. */
VEC vf add_sign(vf x, vf eps, uint32_t bits, int at) {
#if VL == 16
    return (vf)_mm512_mask_add_ps(_mm512_sub_ps((__m512)x, (__m512)eps), (__mmask16)(bits >> at),
                                  (__m512)x, (__m512)eps);
#else
    return x + (vf)((vu)-eps ^ (bits_of_lanes(bits, at, 1) & 0x80000000u));
#endif
}

VEC vf load_or_zero(const float *x, int k) {
    return x ? load(x, k) : (vf){0};
}

VEC void add_signs_to(float *y, const float *x, float eps, const uint64_t *words, int64_t bit0,
                      int64_t n) {
    enum { GROUP = 32 };
    const unsigned char *bytes = (const unsigned char *)words;
    const vf e = splat(eps);
    int64_t whole = 0;
    for (; whole + GROUP <= n; whole += GROUP) {
        uint64_t more;
        memcpy(&more, bytes + ((bit0 + whole) >> 3), sizeof more);
        const uint32_t bits = (uint32_t)(more >> ((bit0 + whole) & 7));
        for (int j = 0; j < GROUP; j += VL)
            store(y + whole + j, add_sign(load_or_zero(x ? x + whole + j : x, VL), e, bits, j), VL);
    }
    y += whole;
    if (x) x += whole;
    bit0 += whole;
    EACH(n - whole, {
        uint32_t bits;
        memcpy(&bits, bytes + ((bit0 + i) >> 3), sizeof bits);
        const vf from = load_or_zero(x ? x + i : x, k);
        store(y + i, add_sign(from, e, bits >> ((bit0 + i) & 7), 0), k);
    });
}

static void add_signs(float *y, const float *x, float eps, const uint64_t *words, int64_t bit0,
                      int64_t n) {
    if (x)
        add_signs_to(y, x, eps, words, bit0, n);
    else
        add_signs_to(y, NULL, eps, words, bit0, n);
}

#endif
