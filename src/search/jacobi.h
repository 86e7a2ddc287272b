/* Eigenvalues and eigenvectors of a small symmetric matrix by Jacobi's rotations (Golub & Van Loan,
 * Matrix Computations, 8.5): exact to rounding, orthogonal to rounding, the same bits everywhere.
 */
#ifndef DUET_JACOBI_H
#define DUET_JACOBI_H

#include <stddef.h>

/* a (n, n), symmetric, is used up. value (n): in no order. vector (n, n): column i belongs to
 * value[i]. */
void jacobi(double *a, size_t n, double *value, double *vector);

#endif
