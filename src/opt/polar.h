/* The polar factor of a matrix, about: X = U S V' becomes U p(S) V' with p(s) near 1 for all but
 * the smallest s, by steps X <- (a I + b A + c A A) X, A = X X'.
 *
 *   polar-express   Polar Express: Amsel et al. 2025, arXiv 2505.16932; coefficients of each step
 *                   for s from 1e-3 on, as published; p(s) is 0.86 to 1.14 there after five steps
 *   newton-schulz   one polynomial for all steps: Jordan et al. 2024, Muon; 0.68 to 1.2 for s from
 *                   0.003 on
 *
 * The steps do not go over X: their factors are polynomials of one A, symmetric matrices of the
 * shorter side m that commute. Of their products half is computed and the rest copied, and the
 * product of all factors meets X (m, n) once: five steps are 17 m^3 + 3 m^2 n operations in the
 * place of 20 m^2 n + 10 m^3. A has the squares of s, and what it has lost of the small ones comes
 * back 1000 times as large: the factor is off by 0.006 at most after five steps, as spectral norm
 * (unit/test_polar.c). So much for f32 products; with bf16 each step begins with A of a new X. */
#ifndef DUET_POLAR_H
#define DUET_POLAR_H

#include "machine.h"

#define POLAR_KINDS(X) X(express, "polar-express") X(newton_schulz, "newton-schulz")

enum polar_kind {
#define X(id, name) POLAR_##id,
    POLAR_KINDS(X)
#undef X
        POLAR_COUNT
};

int polar_find(const char *name); /* or -1 */

enum { POLAR_MAX_STEPS = 10 };

struct polar {
    enum polar_kind kind;
    int steps; /* 1 to POLAR_MAX_STEPS */
};

/* How often X is multiplied. */
int polar_products(const struct machine *m, const struct polar *p);

size_t polar_bytes(const struct machine *m, int64_t rows, int64_t cols);

/* x (rows, cols), of norm 1 at most, becomes its factor, in y if polar_products is odd, else in x;
 * the other holds anything then. work: polar_bytes() bytes, 64-byte aligned. Loops and products are
 * cut by the matrix: the same bits for any number of threads. */
void polar_factor(const struct machine *m, const struct polar *p, int64_t rows, int64_t cols,
                  float *x, float *y, void *work);

#endif
