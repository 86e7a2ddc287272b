#include "rng.h"

#include <math.h>

uint64_t rng_splitmix(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

uint64_t rng_fold(uint64_t h, uint64_t part) {
    uint64_t s = h ^ part;
    return rng_splitmix(&s);
}

struct rng rng_make(uint64_t seed, enum rng_stream stream, uint64_t a, uint64_t b, uint64_t c) {
    /* Each coordinate passes through the mixer before the next is added, so that neighbouring
     * coordinates give unrelated states. */
    const uint64_t part[5] = {seed, (uint64_t)stream, a, b, c};
    uint64_t h = 0;
    for (int i = 0; i < 5; i++) h = rng_fold(h, part[i]);
    struct rng r;
    for (int i = 0; i < 4; i++) r.s[i] = rng_splitmix(&h);
    return r;
}

static inline uint64_t rotl(uint64_t x, int k) {
    return (x << k) | (x >> (64 - k));
}

uint64_t rng_next(struct rng *r) {
    uint64_t *s = r->s, out = rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

double rng_double(struct rng *r) {
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}

uint64_t rng_below(struct rng *r, uint64_t n) {
    uint64_t limit = -n % n, x; /* 2^64 mod n: draws below it would be biased */
    do x = rng_next(r);
    while (x < limit);
    return x % n;
}

double rng_normal(struct rng *r) {
    double u = 1.0 - rng_double(r), v = rng_double(r);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

struct rng48 rng48_make(uint32_t seed) {
    return (struct rng48){((uint64_t)seed << 16) | 0x330E};
}

double rng48_double(struct rng48 *r) {
    r->x = (r->x * 0x5DEECE66Du + 0xB) & 0xFFFFFFFFFFFFu;
    return (double)r->x * 0x1p-48;
}

void rng48_skip(struct rng48 *r, uint64_t n) {
    /* x -> a x + c applied n times, by squaring the map. */
    const uint64_t mask = 0xFFFFFFFFFFFFu;
    uint64_t a = 0x5DEECE66Du, c = 0xB;
    for (; n; n >>= 1) {
        if (n & 1) r->x = (r->x * a + c) & mask;
        c = (a * c + c) & mask;
        a = (a * a) & mask;
    }
}
