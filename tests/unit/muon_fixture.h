/* Muon by its formula, in double, step by step over the whole matrix (opt_muon.c, polar.h). */
#ifndef DUET_MUON_FIXTURE_H
#define DUET_MUON_FIXTURE_H

#include "opt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double norm_of(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

/* x = (a I + b A + c A A) x, A = x x' */
static void polar_step(double *x, int64_t rows, int64_t cols, const double *c) {
    double *a = calloc((size_t)(rows * rows), sizeof *a), *z = malloc((size_t)(rows * rows) * 8);
    double *y = calloc((size_t)(rows * cols), sizeof *y);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < rows; j++)
            for (int64_t k = 0; k < cols; k++) a[i * rows + j] += x[i * cols + k] * x[j * cols + k];
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < rows; j++) {
            double dot = 0;
            for (int64_t k = 0; k < rows; k++) dot += a[i * rows + k] * a[j * rows + k];
            z[i * rows + j] = (i == j ? c[0] : 0) + c[1] * a[i * rows + j] + c[2] * dot;
        }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < rows; j++)
            for (int64_t k = 0; k < cols; k++) y[i * cols + k] += z[i * rows + j] * x[j * cols + k];
    memcpy(x, y, (size_t)(rows * cols) * sizeof *x);
    free(a);
    free(z);
    free(y);
}

static void polar_reference(const struct polar *p, double *x, int64_t rows, int64_t cols) {
    static const double schulz[] = {3.4445, -4.7750, 2.0315};
    static const double express[][3] = {
        {8.156554524902461, -22.48329292557795, 15.878769915207462},
        {4.042929935166739, -2.808917465908714, .5000178451051316},
        {3.8916678022926607, -2.772484153217685, .5060648178503393},
        {3.285753657755655, -2.3681294933425376, .46449024233003106},
        {2.3465413258596377, -1.7097828382687081, .42323551169305323}};
    for (int i = 0; i < p->steps; i++)
        polar_step(x, rows, cols, p->kind == POLAR_newton_schulz ? schulz : express[i]);
}

/* Lines of the longer side: element k of a matrix of so many columns is on line ... */
static int64_t line_of(int64_t k, int64_t rows, int64_t cols) {
    return rows >= cols ? k / cols : k % cols;
}

static void normalise(double beta2, int64_t rows, int64_t cols, double *v, double *u) {
    const int64_t lines = rows > cols ? rows : cols, n = rows * cols;
    double *mean = calloc((size_t)lines, sizeof *mean), before = norm_of(u, n);
    for (int64_t k = 0; k < n; k++)
        mean[line_of(k, rows, cols)] += u[k] * u[k] * (double)lines / (double)n;
    for (int64_t i = 0; i < lines; i++) v[i] = beta2 * v[i] + (1 - beta2) * mean[i];
    for (int64_t k = 0; k < n; k++) u[k] /= sqrt(v[line_of(k, rows, cols)]);
    const double after = norm_of(u, n);
    for (int64_t k = 0; k < n; k++) u[k] *= before / after;
    free(mean);
}

/* u, which becomes w -= lr (u + decay w), of a clipped gradient; the state moves on. */
static void muon_formula(const struct opt_hyper *h, int64_t rows, int64_t cols, const double *g,
                         double *const *state, double *u) {
    const struct opt_rule *r = h->of + ROLE_matrix;
    const struct muon_opts *o = &h->muon;
    double *m = state[0];
    const int64_t n = rows * cols, side = rows < cols ? rows : cols;
    for (int64_t k = 0; k < n; k++) {
        m[k] = r->beta1 * m[k] + (1 - r->beta1) * g[k];
        u[k] = r->beta1 * m[k] + (1 - r->beta1) * g[k];
    }
    const double mean = norm_of(u, n) / sqrt((double)rows);
    for (int64_t i = 0; i < rows && o->equalise; i++) {
        const double by = mean / norm_of(u + i * cols, cols);
        for (int64_t k = 0; k < cols; k++) u[i * cols + k] *= by;
    }
    const double norm = norm_of(u, n);
    for (int64_t k = 0; k < n; k++) u[k] /= 1.01 * norm;
    polar_reference(&o->polar, u, rows, cols);
    const double by = o->rescale ? sqrt((double)side) / norm_of(u, n) : 1;
    for (int64_t k = 0; k < n; k++) u[k] *= by;
    if (o->normalise) normalise(r->beta2, rows, cols, state[1], u);
}

#endif
