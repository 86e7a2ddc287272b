#include "sobol.h"

#include "joe_kuo.h"
#include "rng.h"

#include <assert.h>

enum { BITS = 32 };

/* The direction numbers of a dimension, scaled by 2^32. */
static void directions(size_t dimension, uint32_t v[BITS]) {
    if (dimension == 0) {
        for (int i = 0; i < BITS; i++) v[i] = (uint32_t)1 << (BITS - 1 - i);
        return;
    }
    const int s = joe_kuo[dimension - 1].s;
    const unsigned a = joe_kuo[dimension - 1].a;
    for (int i = 0; i < BITS; i++) {
        if (i < s) {
            v[i] = (uint32_t)joe_kuo[dimension - 1].m[i] << (BITS - 1 - i);
            continue;
        }
        v[i] = v[i - s] ^ (v[i - s] >> s);
        for (int k = 1; k < s; k++)
            if (a >> (s - 1 - k) & 1) v[i] ^= v[i - k];
    }
}

/* Owen's nested uniform scrambling: a bit is turned by a coin that depends on the bits above it. */
static uint32_t scramble(uint32_t x, uint64_t seed, size_t dimension) {
    uint32_t out = 0;
    const uint64_t of = rng_fold(rng_fold(rng_fold(0, seed), RNG_SEARCH), dimension);
    for (int i = 0; i < BITS; i++) {
        const uint64_t above = i ? x >> (BITS - i) : 0;
        const uint32_t coin = (uint32_t)(rng_fold(rng_fold(of, (uint64_t)i), above) >> 63);
        out |= ((x >> (BITS - 1 - i) & 1) ^ coin) << (BITS - 1 - i);
    }
    return out;
}

uint32_t sobol_bits(uint32_t index, size_t dimension) {
    uint32_t v[BITS], x = 0;
    assert(dimension < SOBOL_MAX);
    directions(dimension, v);
    for (int i = 0; i < BITS; i++)
        if ((index ^ index >> 1) >> i & 1) x ^= v[i]; /* Gray code: the published order */
    return x;
}

double sobol_scrambled(uint32_t index, size_t dimension, uint64_t seed) {
    const uint32_t x = scramble(sobol_bits(index, dimension), seed, dimension);
    return ((double)x + 0.5) * 0x1p-32;
}

_Static_assert((int)SOBOL_MAX == (int)JOE_KUO_ROWS + 1, "a row for each dimension but the first");
