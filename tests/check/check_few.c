/* Products of a few rows, which are not packed: gemm_run, gemm_run_list and gemm_local. Narrow
 * weights that are read where they stand, and transposed ones, against plain chains of fused
 * multiply-adds, bit for bit (without fused instructions: nearly); f32 that is not transposed
 * against sums in double; several in one loop against one after the other; and all with several
 * threads. */
#include "check.h"
#include "check_gemm.h"
#include "gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 3, MOST_N = 300, PAD = 9, BLOCK = 32 };

struct tier {
    struct gemm g;
    bool fused;
};

/* B and what it is in f32, (n, k) or, transposed, (k, n). */
struct weights {
    struct mat mat;
    float *value;
};

static int64_t pick(struct check *c, int64_t from, int64_t to) {
    return from + (int64_t)rng_below(&c->rng, (uint64_t)(to - from + 1));
}

static float *normal(struct check *c, int64_t n) {
    float *x = reserve((size_t)n * sizeof *x);
    check_normal(c, x, n, 1);
    return x;
}

static float *copy_of(const float *x, int64_t n) {
    float *y = reserve((size_t)n * sizeof *y);
    memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

/* Where they fit, nothing may be read behind the last row. */
static struct weights weights_make(struct check *c, int slot, enum dtype type, bool trans,
                                   int64_t n, int64_t k) {
    const int64_t outer = trans ? k : n, inner = trans ? n : k,
                  block = type == DT_Q8_0 ? BLOCK : 1, some = (inner + block - 1) / block * block,
                  ld = some + block * pick(c, 0, 1) * pick(c, 0, PAD);
    const size_t bytes = dtype_bytes(type, (size_t)((outer - 1) * ld + some));
    char *data = bytes <= CHECK_SLOT_BYTES ? check_place(c, slot, bytes, -1) : reserve(bytes);
    float *row = reserve((size_t)some * sizeof *row);
    struct weights w = {{.data = data, .dtype = type, .trans = trans, .ld = ld},
                        reserve((size_t)(outer * inner) * sizeof *w.value)};
    memset(data, 0xff, bytes); /* NaN between the rows */
    for (int64_t i = 0; i < outer; i++) {
        char *at = data + dtype_bytes(type, (size_t)(i * ld));
        check_normal(c, row, some, 1);
        dtype_from_f32(type, row, at, (size_t)some);
        dtype_to_f32(type, at, row, (size_t)some);
        memcpy(w.value + i * inner, row, (size_t)inner * sizeof *row);
    }
    free(row);
    return w;
}

static void weights_free(struct weights *w, int64_t n, int64_t k) {
    const int64_t outer = w->mat.trans ? k : n, inner = w->mat.trans ? n : k,
                  block = w->mat.dtype == DT_Q8_0 ? BLOCK : 1;
    const int64_t some = (inner + block - 1) / block * block;
    if (dtype_bytes(w->mat.dtype, (size_t)((outer - 1) * w->mat.ld + some)) > CHECK_SLOT_BYTES)
        free((void *)(uintptr_t)w->mat.data);
    free(w->value);
}

static void describe(struct check *c, int64_t m, int64_t n, int64_t k, const struct mat *b) {
    static char note[96];
    snprintf(note, sizeof note, "m %d n %d k %d, B %s%s ld %d", (int)m, (int)n, (int)k,
             dtype_row(b->dtype)->name, b->trans ? "'" : "", (int)b->ld);
    c->n = n;
    c->note = note;
}

static void compare(struct check *c, const struct tier *t, const struct weights *w, int64_t m,
                    int64_t n, int64_t k, const float *a, const float *before, const float *found) {
    const bool chain = t->fused && (w->mat.trans || w->mat.dtype != DT_F32);
    for (int64_t i = 0; i < m * n; i++) {
        float want = before ? before[i] : 0;
        double sum = (double)want, scale = fabs(sum);
        for (int64_t p = 0; p < k; p++) {
            const float x = a[i / n * k + p],
                        y = w->mat.trans ? w->value[p * n + i % n] : w->value[i % n * k + p];
            want = fmaf(x, y, want);
            sum += (double)x * (double)y;
            scale += fabs((double)x * (double)y);
        }
        uint32_t bits, expected;
        memcpy(&bits, found + i, sizeof bits);
        memcpy(&expected, &want, sizeof expected);
        if (chain) check_bits(c, i, bits, expected);
        check_near(c, i, (double)found[i], sum, scale, 1 + sqrt((double)k), 0);
    }
}

/* With 1 to 3 threads, and inside a chunk. */
static void check_product(struct check *c, const struct tier *t, struct weights *w, int64_t m,
                          int64_t n, int64_t k) {
    const struct gemm *g = &t->g;
    const size_t bytes = (size_t)(m * n) * sizeof(float);
    const bool add = pick(c, 0, 1);
    float *a = normal(c, m * k), *before = normal(c, m * n), *found = reserve(bytes),
          *first = reserve(bytes);
    const struct mat ma = mat_f32(a, k, false);
    describe(c, m, n, k, &w->mat);
    for (int threads = 1; threads <= 3; threads++) {
        struct gemm many = *g;
        struct err e;
        if (pool_open(&many.pool, threads, &e)) abort();
        void *work = reserve(gemm_work_bytes(&many, m, n, k, ma));
        memcpy(found, before, bytes);
        gemm_run(&many, m, n, k, ma, w->mat, found, n, add, work);
        if (threads == 1) memcpy(first, found, bytes);
        check_that(c, !memcmp(first, found, bytes), "the same bits for 1, 2 and 3 threads");
        pool_close(many.pool);
        free(work);
    }
    void *work = reserve(gemm_local_bytes(g, m, n, k, ma, w->mat));
    memcpy(found, before, bytes);
    gemm_local(g, m, n, k, ma, w->mat, found, n, add, work);
    check_that(c, !memcmp(first, found, bytes), "the same bits inside a chunk");
    compare(c, t, w, m, n, k, a, add ? before : NULL, found);
    check_intact(c);
    free(work);
    free(a);
    free(before);
    free(found);
    free(first);
}

/* Small ones, and rows that are read in several pieces. */
static void check_narrow(struct check *c, const struct tier *t) {
    for (int i = 0; i < 120; i++) {
        const bool large = i % 6 == 0;
        const int64_t m = i % 4 + 1, n = pick(c, 1, large ? 300 : 70),
                      k = pick(c, 1, large ? 4200 : 200);
        struct weights w = weights_make(c, 0, i / 4 % 2 ? DT_BF16 : DT_Q8_0, false, n, k);
        check_product(c, t, &w, m, n, k);
        weights_free(&w, n, k);
    }
}

static void check_columns(struct check *c, const struct tier *t) {
    for (int i = 0; i < 120; i++) {
        const int64_t m = i % 4 + 1, n = pick(c, 1, i % 2 ? 300 : 70), k = pick(c, 1, 200);
        struct weights w = weights_make(c, 0, DT_F32, true, n, k);
        check_product(c, t, &w, m, n, k);
        weights_free(&w, n, k);
    }
}

/* Rows of B that just fit what several rows of A go through together, and that do not. */
static void check_rows(struct check *c, const struct tier *t) {
    static const int64_t ks[] = {1, 70, 1100, 16384, 16385, 20000};
    for (int i = 0; i < 24; i++) {
        const int64_t m = i % 4 + 1, n = pick(c, 1, 40), k = ks[i / 4];
        struct weights w = weights_make(c, 0, DT_F32, false, n, k);
        check_product(c, t, &w, m, n, k);
        weights_free(&w, n, k);
    }
}

/* Products of one input, some of which have to be packed. */
static void check_list(struct check *c, const struct tier *t) {
    static const enum dtype types[] = {DT_F32, DT_BF16, DT_Q8_0, DT_F16};
    for (int i = 0; i < 60; i++) {
        const int64_t m = i % 5 + 1, k = pick(c, 1, 300), ldc = PAD + MOST * MOST_N;
        float *a = normal(c, m * k), *one = normal(c, m * ldc), *list = copy_of(one, m * ldc);
        struct gemm g = t->g;
        struct err e;
        if (pool_open(&g.pool, i % 3 + 1, &e)) abort();
        const struct mat ma = mat_f32(a, k, false);
        void *work = reserve(gemm_work_bytes(&g, m, MOST_N, k, ma));
        struct weights w[MOST];
        struct gemm_product p[MOST];
        for (int q = 0; q < MOST; q++) {
            const enum dtype type = types[pick(c, 0, 3)];
            const int64_t n = pick(c, 1, MOST_N);
            w[q] = weights_make(c, q, type, type == DT_F32 && pick(c, 0, 1), n, k);
            p[q] = (struct gemm_product){.a = gemm_unpacked(ma, m, k),
                                         .b = gemm_unpacked(w[q].mat, n, k),
                                         .c = list + q * MOST_N,
                                         .ldc = ldc,
                                         .add = pick(c, 0, 1)};
            describe(c, m, n, k, &w[q].mat);
            gemm_run(&g, m, n, k, ma, w[q].mat, one + q * MOST_N, ldc, p[q].add, work);
        }
        gemm_run_list(&g, p, MOST, work);
        check_that(c, !memcmp(one, list, (size_t)(m * ldc) * sizeof *one),
                   "a list has the bits of its products one after the other");
        check_intact(c);
        for (int q = 0; q < MOST; q++) weights_free(w + q, p[q].b.rows, k);
        pool_close(g.pool);
        free(work);
        free(a);
        free(one);
        free(list);
    }
}

void check_few(struct check *c) {
    static const struct {
        const char *name;
        void (*fn)(struct check *c, const struct tier *t);
    } items[] = {{"narrow", check_narrow}, {"columns", check_columns}, {"rows", check_rows},
                 {"list", check_list}};
    for (int i = 0; i <= (int)cpu_best() && !c->bench; i++) {
        const char *name = cpu_tier_name((enum cpu_tier)i);
        struct tier t;
        struct cpu cpu;
        struct err e;
        if (!cpu_choose(&cpu, name) || gemm_init(&t.g, "native", DT_F32, &cpu, NULL, &e)) abort();
#if defined(__x86_64__)
        t.fused = strcmp(name, "generic") != 0;
#else
        t.fused = true;
#endif
        for (size_t q = 0; q < sizeof items / sizeof *items; q++) {
            if (!check_begin(c, items[q].name, name)) continue;
            items[q].fn(c, &t);
            check_end(c);
        }
    }
}
