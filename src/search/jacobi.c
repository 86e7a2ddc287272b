#include "jacobi.h"

#include <math.h>

/* Columns p and q of m become c p - s q and s p + c q. */
static void turn_columns(double *m, size_t n, size_t p, size_t q, double c, double s) {
    for (size_t i = 0; i < n; i++) {
        const double x = m[i * n + p], y = m[i * n + q];
        m[i * n + p] = c * x - s * y;
        m[i * n + q] = s * x + c * y;
    }
}

static void turn_rows(double *m, size_t n, size_t p, size_t q, double c, double s) {
    for (size_t i = 0; i < n; i++) {
        const double x = m[p * n + i], y = m[q * n + i];
        m[p * n + i] = c * x - s * y;
        m[q * n + i] = s * x + c * y;
    }
}

/* Makes a[p][q] zero. */
static void rotate(double *a, size_t n, size_t p, size_t q, double *vector) {
    const double apq = a[p * n + q];
    const double theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
    const double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
    const double c = 1 / sqrt(t * t + 1), s = t * c;
    turn_columns(a, n, p, q, c, s);
    turn_rows(a, n, p, q, c, s);
    a[p * n + q] = a[q * n + p] = 0;
    turn_columns(vector, n, p, q, c, s);
}

void jacobi(double *a, size_t n, double *value, double *vector) {
    enum { SWEEPS = 60 };
    for (size_t i = 0; i < n * n; i++) vector[i] = i % (n + 1) == 0;
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        int turned = 0;
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++) {
                const double size = sqrt(fabs(a[p * n + p])) * sqrt(fabs(a[q * n + q]));
                if (fabs(a[p * n + q]) <= 1e-17 * size || a[p * n + q] == 0) continue;
                rotate(a, n, p, q, vector);
                turned++;
            }
        if (!turned) break;
    }
    for (size_t i = 0; i < n; i++) value[i] = a[i * n + i];
}
