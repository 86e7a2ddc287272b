/* Polar factors: against U p(S) V' in double, for f32 and bf16 products, of matrices of every form
 * whose singular values are known; the same bits for any number of threads; nothing is written
 * beyond what was asked for. */
#include "arena.h"
#include "machine_fixture.h"
#include "polar.h"
#include "rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64, CANARY = 0x5a };

/* ---- matrices -------------------------------------------------------------------------------- */

static double *zeros(int64_t n) {
    return calloc((size_t)n, sizeof(double));
}

/* n orthonormal rows of `cols`. */
static double *frame(struct rng *r, int64_t n, int64_t cols) {
    double *q = zeros(n * cols);
    for (int64_t i = 0; i < n * cols; i++) q[i] = rng_normal(r);
    for (int64_t i = 0; i < n; i++)
        for (int again = 0; again < 2; again++) {
            double *a = q + i * cols, norm = 0;
            for (int64_t j = 0; j < i; j++) {
                double dot = 0;
                for (int64_t k = 0; k < cols; k++) dot += a[k] * q[j * cols + k];
                for (int64_t k = 0; k < cols; k++) a[k] -= dot * q[j * cols + k];
            }
            for (int64_t k = 0; k < cols; k++) norm += a[k] * a[k];
            for (int64_t k = 0; k < cols; k++) a[k] /= sqrt(norm);
        }
    return q;
}

/* The sum of s_i times row i of u, down, by row i of v, across. */
static void compose(double *x, const double *u, const double *s, const double *v, int64_t n,
                    int64_t rows, int64_t cols) {
    memset(x, 0, (size_t)(rows * cols) * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < cols; c++)
                x[r * cols + c] += s[i] * u[i * rows + r] * v[i * cols + c];
}

enum spectrum { FLAT, HARMONIC, SPREAD, ONE, FEW, SPECTRA };

static double value(enum spectrum kind, int64_t i, int64_t n) {
    switch (kind) {
    case FLAT: return 1;
    case HARMONIC: return 1 / (double)(i + 1);
    case SPREAD: return pow(10, -6 * (double)i / (double)n);
    case ONE: return i ? 1e-5 : 1;
    default: return i < 4 ? 1 : 0;
    }
}

/* What the coefficients make of a singular value, in double: written out once more. */
static double map(const struct polar *p, double s) {
    static const double table[][3] = {
        {8.156554524902461, -22.48329292557795, 15.878769915207462},
        {4.042929935166739, -2.808917465908714, .5000178451051316},
        {3.8916678022926607, -2.772484153217685, .5060648178503393},
        {3.285753657755655, -2.3681294933425376, .46449024233003106},
        {2.3465413258596377, -1.7097828382687081, .42323551169305323}};
    for (int i = 0; i < p->steps; i++) {
        static const double schulz[] = {3.4445, -4.7750, 2.0315};
        const double *c = p->kind == POLAR_newton_schulz ? schulz : table[i < 5 ? i : 4];
        s = s * (c[0] + s * s * (c[1] + s * s * c[2]));
    }
    return s;
}

/* x into a copy with guards, and its factor back. */
static void run(const struct machine *m, const struct polar *p, int64_t rows, int64_t cols,
                const float *x, float *out) {
    const size_t n = (size_t)(rows * cols) * sizeof *x, bytes = polar_bytes(m, rows, cols);
    char *work = aligned_alloc(ARENA_ALIGN, arena_round(bytes + GUARD));
    float *from = malloc(n), *to = malloc(n);
    memcpy(from, x, n);
    memset(to, CANARY, n);
    memset(work, CANARY, arena_round(bytes + GUARD));
    polar_factor(m, p, rows, cols, from, to, work);
    for (int i = 0; i < GUARD; i++) assert_int_equal(work[bytes + (size_t)i], CANARY);
    memcpy(out, polar_products(m, p) % 2 ? to : from, n);
    free(work);
    free(from);
    free(to);
}

/* ---- against the singular values ------------------------------------------------------------- */

static const struct {
    int64_t rows, cols;
} forms[] = {{48, 48}, {33, 70}, {70, 33}, {1, 20}, {20, 1}, {2, 3}, {66, 64}, {16, 200}};
enum { FORMS = sizeof forms / sizeof *forms };

/* The largest singular value of x. */
static double spectral(const double *x, int64_t rows, int64_t cols) {
    double *v = zeros(cols), *u = zeros(rows), norm = 0;
    for (int64_t c = 0; c < cols; c++) v[c] = 1 + 0.3 * sin((double)(7 * c));
    for (int again = 0; again < 60; again++) {
        double sum = 0;
        for (int64_t r = 0; r < rows; r++) {
            u[r] = 0;
            for (int64_t c = 0; c < cols; c++) u[r] += x[r * cols + c] * v[c];
        }
        memset(v, 0, (size_t)cols * sizeof *v);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < cols; c++) v[c] += x[r * cols + c] * u[r];
        for (int64_t c = 0; c < cols; c++) sum += v[c] * v[c];
        norm = sqrt(sqrt(sum));
        for (int64_t c = 0; c < cols && sum > 0; c++) v[c] /= sqrt(sum);
    }
    free(v);
    free(u);
    return norm;
}

/* How far the factor is from what it should be; *largest: its largest singular value. */
static double error_of(const struct machine *m, const struct polar *p, int form, enum spectrum kind,
                       double *largest) {
    const int64_t rows = forms[form].rows, cols = forms[form].cols, all = rows * cols,
                  n = rows < cols ? rows : cols;
    struct rng r = rng_make(3, RNG_TEST, (uint64_t)form, 0, 0);
    double *u = frame(&r, n, rows), *v = frame(&r, n, cols), *s = zeros(n), *x = zeros(all),
           sum = 0;
    float *in = malloc((size_t)all * sizeof *in), *out = malloc((size_t)all * sizeof *out);
    for (int64_t i = 0; i < n; i++) sum += pow(s[i] = value(kind, i, n), 2);
    for (int64_t i = 0; i < n; i++) s[i] /= 1.01 * sqrt(sum);
    compose(x, u, s, v, n, rows, cols);
    for (int64_t i = 0; i < all; i++) in[i] = (float)x[i];
    run(m, p, rows, cols, in, out);
    for (int64_t i = 0; i < all; i++) x[i] = (double)out[i];
    *largest = spectral(x, rows, cols);
    for (int64_t i = 0; i < n; i++) s[i] = map(p, s[i]);
    compose(x, u, s, v, n, rows, cols);
    for (int64_t i = 0; i < all; i++) x[i] -= (double)out[i];
    const double error = spectral(x, rows, cols);
    free(u);
    free(v);
    free(s);
    free(x);
    free(in);
    free(out);
    return error;
}

/* All forms and spectra. Of bf16 only what is not amplified has a value: where all singular values
 * are the same. Rounding an input by 2^-9 of itself is noise in the smallest directions of others,
 * which becomes of size one as they do; what must hold is that nothing is above one. */
static void check_map(const char *backend, enum dtype compute, const struct polar *p) {
    const struct machine m = machine_of(backend, compute);
    /* With fewer steps polynomials are steep, and up to 2. */
    const double flat = p->steps < 5 ? 2 : 0.5, above = p->steps < 5 ? 2.1 : 1.4;
    double most = 0, largest;
    for (int form = 0; form < FORMS; form++)
        for (int k = 0; k < SPECTRA; k++) {
            const double error = error_of(&m, p, form, (enum spectrum)k, &largest);
            const double tol = compute == DT_F32 ? 0.015 : k == FLAT ? flat : 3;
            if (!(error <= tol) || !(largest < above))
                fail_msg("%s %s, polynomial %d, %d steps, form %d, spectrum %d: off by %g, %g at "
                         "most",
                         backend, dtype_row(compute)->name, p->kind, p->steps, form, k, error,
                         largest);
            if (error > most) most = error;
        }
    printf("%s %s, polynomial %d, %d steps: off by %.2g at most\n", backend,
           dtype_row(compute)->name, p->kind, p->steps, most);
}

static void singular_values(void **state) {
    (void)state;
    static const int many[] = {1, 2, 3, 5, 6, POLAR_MAX_STEPS};
    for (int kind = 0; kind < POLAR_COUNT; kind++)
        for (int i = 0; i < 6; i++) {
            const struct polar p = {(enum polar_kind)kind, many[i]};
            check_map("native", DT_F32, &p);
            check_map("native", DT_BF16, &p);
            if (many[i] == 5) check_map("ref", DT_F32, &p);
        }
}

/* What the header says of the polynomials. */
static void polynomials(void **state) {
    (void)state;
    const struct polar express = {POLAR_express, 5}, schulz = {POLAR_newton_schulz, 5};
    for (double s = 1e-3; s <= 1; s *= 1.0005) {
        assert_true(map(&express, s) > 0.85 && map(&express, s) < 1.15);
        if (s > 3e-3) assert_true(map(&schulz, s) > 0.67 && map(&schulz, s) < 1.21);
    }
    assert_int_equal(polar_find("polar-express"), POLAR_express);
    assert_int_equal(polar_find("newton-schulz"), POLAR_newton_schulz);
    assert_int_equal(polar_find("polar"), -1);
}

/* Rows of a random matrix become orthonormal as far as the polynomial goes. */
static void orthogonal(void **state) {
    (void)state;
    enum { R = 40, C = 150 };
    const struct machine m = machine_of("native", DT_F32);
    const struct polar p = {POLAR_express, 5};
    struct rng r = rng_make(4, RNG_TEST, 0, 0, 0);
    static float x[R * C], y[R * C];
    static double gram[R * R];
    double sum = 0;
    for (int i = 0; i < R * C; i++) sum += pow((double)(x[i] = (float)rng_normal(&r)), 2);
    for (int i = 0; i < R * C; i++) x[i] = (float)((double)x[i] / sqrt(sum));
    run(&m, &p, R, C, x, y);
    for (int i = 0; i < R; i++)
        for (int j = 0; j < R; j++) {
            gram[i * R + j] = i == j ? -1 : 0;
            for (int k = 0; k < C; k++)
                gram[i * R + j] += (double)y[i * C + k] * (double)y[j * C + k];
        }
    const double off = spectral(gram, R, R);
    assert_true(off < 1.15 * 1.15 - 1);
}

/* ---- bits ------------------------------------------------------------------------------------ */

static void threads(void **state) {
    (void)state;
    static const int many[] = {2, 3, 16};
    static const struct { int64_t rows, cols; } large[] = {{300, 200}, {256, 700}, {64, 64}};
    for (int f = 0; f < 3; f++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            const enum dtype compute = bf16 ? DT_BF16 : DT_F32;
            const struct machine one = machine_of("native", compute);
            const struct polar p = {POLAR_express, 5};
            const int64_t n = large[f].rows * large[f].cols;
            struct rng r = rng_make(5, RNG_TEST, (uint64_t)f, 0, 0);
            float *x = malloc((size_t)n * 4), *y = malloc((size_t)n * 4),
                  *z = malloc((size_t)n * 4);
            for (int64_t i = 0; i < n; i++) x[i] = (float)(rng_normal(&r) / sqrt((double)n));
            run(&one, &p, large[f].rows, large[f].cols, x, y);
            for (int k = 0; k < 3; k++) {
                struct machine m = machine_with("native", compute, many[k]);
                run(&m, &p, large[f].rows, large[f].cols, x, z);
                assert_memory_equal(y, z, (size_t)n * 4);
                machine_close(&m);
            }
            free(x);
            free(y);
            free(z);
        }
}

/* Zeros stay zeros. */
static void nothing(void **state) {
    (void)state;
    const struct machine m = machine_of("native", DT_F32);
    const struct polar p = {POLAR_express, 5};
    static const float x[5 * 7];
    static float y[5 * 7];
    run(&m, &p, 5, 7, x, y);
    for (int i = 0; i < 5 * 7; i++) assert_true(y[i] == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(singular_values), cmocka_unit_test(polynomials),
        cmocka_unit_test(orthogonal),      cmocka_unit_test(threads),
        cmocka_unit_test(nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
