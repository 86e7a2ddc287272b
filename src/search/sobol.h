/* Sobol's sequence with the direction numbers of Joe and Kuo (2008), and Owen's scrambling of it,
 * which keeps what makes it even and makes it random: each point is uniform, and what is estimated
 * with it has no bias (A. B. Owen, Randomly permuted (t,m,s)-nets and (t,s)-sequences, 1995). */
#ifndef DUET_SOBOL_H
#define DUET_SOBOL_H

#include <stddef.h>
#include <stdint.h>

enum { SOBOL_MAX = 64 }; /* dimensions */

/* Coordinate `dimension` of point `index` times 2^32; point 0 is the origin. */
uint32_t sobol_bits(uint32_t index, size_t dimension);

/* The same, scrambled, in (0, 1). */
double sobol_scrambled(uint32_t index, size_t dimension, uint64_t seed);

#endif
