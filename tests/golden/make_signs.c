/* Makes tests/golden/signs.txt: signs of zeroth-order directions by their definition (perturb.h),
 * with generators written anew from their sources (splitmix64 and xoshiro256++, Blackman and Vigna,
 * https://prng.di.unimi.it/), so that the table does not come from the code that it tests.
 *
 *   ninja -C build tests/make_signs && build/tests/make_signs >tests/golden/signs.txt */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

static uint64_t splitmix64(uint64_t *x) {
    uint64_t z = (*x += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k) {
    return (x << k) | (x >> (64 - k));
}

static uint64_t s[4];

static uint64_t xoshiro256pp(void) {
    const uint64_t result = rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

/* The state: each coordinate is xored into the hash of those before it and mixed by one step of
 * splitmix64; four more steps from the last hash give the four words. */
static void print_block(uint64_t seed, uint64_t tensor, uint64_t block) {
    const uint64_t stream = 7; /* RNG_PERTURB */
    const uint64_t part[5] = {seed, stream, 0, tensor, block};
    uint64_t h = 0;
    for (int i = 0; i < 5; i++) {
        h ^= part[i];
        h = splitmix64(&h);
    }
    for (int i = 0; i < 4; i++) s[i] = splitmix64(&h);
    printf("%016" PRIx64 " %" PRIu64 " %" PRIu64, seed, tensor, block);
    for (int i = 0; i < 8; i++) printf(" %016" PRIx64, xoshiro256pp());
    printf("\n");
}

static const char head[] =
    "# Signs of zeroth-order directions: test vectors for src/tensor/perturb.h.\n"
    "# A line: SEED TENSOR BLOCK W0 ... W7; seed and words in hex, the others decimal. Bit i "
    "(lowest\n"
    "# first) of word w is the sign of element 64 w + i of the block's 512, set for +1. BLOCK is\n"
    "# row * ceil(columns / 512) + (column / 512).\n"
    "# Made by tests/golden/make_signs.c.\n";

int main(void) {
    static const uint64_t seeds[] = {0, 1, 42, 0x8000000000000000, UINT64_MAX, 0x0123456789abcdef};
    static const uint64_t tensors[] = {0, 1, 300}, blocks[] = {0, 1, 7, 1234567, 1ull << 33};
    fputs(head, stdout);
    for (int i = 0; i < 6; i++)
        for (int t = 0; t < 3; t++)
            for (int b = 0; b < 5; b++) print_block(seeds[i], tensors[t], blocks[b]);
    return 0;
}
