/* Randomness as a function: every draw = f(seed, stream, a, b, c), so that any part of a run can be
 * recomputed in any order by any thread.
 *
 * Sources: splitmix64 and xoshiro256++ by Blackman and Vigna, https://prng.di.unimi.it/ . */
#ifndef DUET_RNG_H
#define DUET_RNG_H

#include <stdint.h>

/* Streams keep the uses of one run seed apart. Values are part of the checkpoint format: never
 * renumber. */
enum rng_stream {
    RNG_INIT = 1,    /* weights: (tensor, row, 0) */
    RNG_BATCH = 2,   /* training windows: (row, 0, 0) */
    RNG_SHUFFLE = 3, /* order of an epoch: (epoch, 0, 0) */
    RNG_SAMPLE = 4,  /* text generation: (position, 0, 0) */
    RNG_STORIES = 5, /* built-in corpus: (document, 0, 0) */
    RNG_TEST = 6,    /* random input of checks and benchmarks */
    RNG_PERTURB = 7,   /* signs of a zeroth-order direction, whose seed it is: (0, tensor, block) */
    RNG_ROUND = 8,     /* stochastic rounding of stored weights: (step, tensor, block) */
    RNG_ADAPTER = 9,   /* LoRA initialisation: (tensor, row, 0) */
    RNG_DIRECTION = 10, /* seeds of directions: (step, direction, 0) */
    RNG_LOWRANK = 11, /* signs of low-rank factors: of the direction, whose seed it is: (0, tensor,
                       * block); shared: (1 + period, tensor, block) */
    RNG_SEARCH = 12   /* proposals of a search, whose seed it is: (strategy, configuration, draw) */
};

struct rng {
    uint64_t s[4];
};

/* One splitmix64 step: advances *state, returns the next output. */
uint64_t rng_splitmix(uint64_t *state);

/* The state of a generator is the hash of its coordinates, folded one after another from 0. */
uint64_t rng_fold(uint64_t h, uint64_t part);

/* The generator of (seed, stream, a, b, c): xoshiro256++ with state from splitmix64. */
struct rng rng_make(uint64_t seed, enum rng_stream stream, uint64_t a, uint64_t b, uint64_t c);

uint64_t rng_next(struct rng *r);

/* Uniform in [0, 1), 53 bits. */
double rng_double(struct rng *r);

/* Uniform in [0, n), unbiased; n > 0. */
uint64_t rng_below(struct rng *r, uint64_t n);

/* Standard normal (Box-Muller; uses two draws a value). */
double rng_normal(struct rng *r);

/* The 48-bit congruential generator of POSIX drand48, for the predecessors' exact initialisation.
 * state = seed << 16 | 0x330E after srand48(seed). */
struct rng48 {
    uint64_t x;
};
struct rng48 rng48_make(uint32_t seed);
double rng48_double(struct rng48 *r);
/* As n draws that are dropped. */
void rng48_skip(struct rng48 *r, uint64_t n);

#endif
