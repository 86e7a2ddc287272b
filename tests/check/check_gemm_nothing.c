/* Products without k, for check_gemm: zeros, or what was in C; by every way through the front door,
 * alone and as pieces of chains of products that have k. */
#include "check_gemm.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N = 40, LDC = N + 5, MOST_M = 50, K = 8, LD = 64, SIZE = MOST_M * LDC };

/* Operands without k may not be read: of those, data is where nobody may. */
struct nothing {
    const struct gemm *g;
    int64_t m;
    struct mat a, b;           /* no k */
    struct mat some_a, some_b; /* K of them */
    bool add;
    void *pa, *pb, *work;
    float *before;
};

static void by_pack(const struct nothing *t, float *c) {
    const struct gemm_pack a = gemm_pack(t->g, GEMM_A, t->a, t->m, 0, t->pa),
                           b = gemm_pack(t->g, GEMM_B, t->b, N, 0, t->pb);
    gemm_mul(t->g, &a, &b, c, LDC, t->add, NULL);
}

static void by_head(const struct nothing *t, float *c) {
    const struct gemm_pack a = gemm_pack(t->g, GEMM_A, t->a, t->m, 0, t->pa),
                           b = gemm_pack(t->g, GEMM_B, t->some_b, N, K, t->pb),
                           head = gemm_pack_head(&b, N, 0);
    gemm_mul(t->g, &a, &head, c, LDC, t->add, NULL);
}

static void by_panel(const struct nothing *t, float *c) {
    const struct gemm_pack a = gemm_pack(t->g, GEMM_A, t->a, t->m, 0, t->pa),
                           b = gemm_unpacked(t->b, N, 0);
    gemm_mul(t->g, &a, &b, c, LDC, t->add, t->work);
}

static void by_run(const struct nothing *t, float *c) {
    gemm_run(t->g, t->m, N, 0, t->a, t->b, c, LDC, t->add, t->work);
}

static void by_local(const struct nothing *t, float *c) {
    gemm_local(t->g, t->m, N, 0, t->a, t->b, c, LDC, t->add, t->work);
}

static const struct {
    const char *name;
    void (*run)(const struct nothing *t, float *c);
} ways[] = {{"packed", by_pack},
            {"head of a packed B", by_head},
            {"panel by panel", by_panel},
            {"gemm_run", by_run},
            {"gemm_local", by_local}};

static struct gemm_product piece_of(const struct nothing *t, int64_t k, float *c, bool add,
                                    bool on) {
    const struct mat a = k ? t->some_a : t->a, b = k ? t->some_b : t->b;
    return (struct gemm_product){.a = gemm_pack(t->g, GEMM_A, a, t->m, k, t->pa),
                                 .b = gemm_unpacked(b, N, k),
                                 .c = c,
                                 .ldc = LDC,
                                 .add = add,
                                 .on = on};
}

/* Without k: a product alone; the head, the middle and the end of a chain; and all of one. Only
 * pieces with k use pa: all of them the same A. */
static void in_a_list(struct check *c, const struct nothing *t, const float *want) {
    enum { CS = 4 };
    float *out[CS];
    for (int i = 0; i < CS; i++) {
        out[i] = reserve(SIZE * sizeof **out);
        memcpy(out[i], t->before, SIZE * sizeof **out);
    }
    struct gemm_product one = piece_of(t, K, out[3], t->add, false);
    const struct gemm_product list[] = {
        piece_of(t, 0, out[0], t->add, false), piece_of(t, 0, out[1], t->add, false),
        piece_of(t, K, out[1], false, true),   piece_of(t, 0, out[1], false, true),
        piece_of(t, 0, out[2], t->add, false), piece_of(t, 0, out[2], false, true),
    };
    gemm_mul(t->g, &one.a, &one.b, out[3], LDC, t->add, t->work);
    gemm_mul_list(t->g, list, (int)(sizeof list / sizeof *list), t->work);
    check_that(c, !memcmp(out[0], want, SIZE * sizeof *want), "without k in a list");
    check_that(c, !memcmp(out[1], out[3], SIZE * sizeof *want), "the piece with k of a chain");
    check_that(c, !memcmp(out[2], want, SIZE * sizeof *want), "a chain without k");
    for (int i = 0; i < CS; i++) free(out[i]);
}

static void check_ways(struct check *c, const struct nothing *t) {
    float *found = reserve(SIZE * sizeof *found), *want = reserve(SIZE * sizeof *want);
    memcpy(want, t->before, SIZE * sizeof *want);
    for (int64_t i = 0; i < t->m && !t->add; i++) memset(want + i * LDC, 0, N * sizeof *want);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        static char note[80];
        snprintf(note, sizeof note, "m %d, A %s%s, B %s%s%s, %s", (int)t->m,
                 dtype_row(t->a.dtype)->name, t->a.trans ? "'" : "", dtype_row(t->b.dtype)->name,
                 t->b.trans ? "'" : "", t->add ? ", add" : "", ways[w].name);
        c->note = note;
        memcpy(found, t->before, SIZE * sizeof *found);
        ways[w].run(t, found);
        check_that(c, !memcmp(found, want, SIZE * sizeof *want), "zeros, or C, and no more");
    }
    in_a_list(c, t, want);
    free(found);
    free(want);
}

/* Stored so, of rows and K of k, or the end of memory. */
static struct mat mat_of(struct check *c, enum dtype type, bool trans, bool some, float *x,
                         void *data) {
    if (some) check_normal(c, x, LD * LD, 1);
    if (some) dtype_from_f32(type, x, data, LD * LD);
    return (struct mat){.data = some ? data : check_place(c, 0, 0, -1),
                        .dtype = type,
                        .trans = trans,
                        .ld = LD};
}

static void check_types(struct check *c, struct nothing *t) {
    static const enum dtype types[] = {DT_F32, DT_BF16, DT_F16, DT_Q8_0};
    float *x = reserve(LD * LD * sizeof *x);
    void *a = reserve(LD * LD * sizeof *x), *b = reserve(LD * LD * sizeof *x);
    for (int i = 0; i < 3 * 2 * 4 * 2 * 2; i++) {
        const enum dtype ta = types[i % 3], tb = types[i / 6 % 4];
        const bool trans_a = i / 3 % 2, trans_b = i / 24 % 2;
        t->add = i / 48;
        for (int64_t p = 0; p < SIZE; p++)
            t->before[p] = t->add || p % LDC >= N ? (float)rng_normal(&c->rng) : NAN;
        t->a = mat_of(c, ta, trans_a, false, x, a);
        t->b = mat_of(c, tb, trans_b, false, x, b);
        t->some_a = mat_of(c, ta, trans_a, true, x, a);
        t->some_b = mat_of(c, tb, trans_b, true, x, b);
        check_ways(c, t);
    }
    free(x);
    free(a);
    free(b);
}

void check_gemm_nothing(struct check *c, const struct backend *b) {
    static const int64_t rows[] = {1, 3, MOST_M};
    struct nothing t;
    t.before = reserve(SIZE * sizeof *t.before);
    for (int i = 0; i < 6; i++) {
        struct gemm g = b->g;
        struct err e;
        if (pool_open(&g.pool, i / 3 + 1, &e)) abort();
        const struct mat wide = {.dtype = DT_BF16, .ld = LD, .trans = true};
        t.g = &g;
        t.m = rows[i % 3];
        t.pa = reserve(gemm_pack_bytes(&g, GEMM_A, wide, LD, LD));
        t.pb = reserve(gemm_pack_bytes(&g, GEMM_B, wide, LD, LD));
        t.work = reserve(gemm_local_bytes(&g, LD, LD, LD, wide, wide) + gemm_panel_bytes(&g, N, K));
        check_types(c, &t);
        free(t.pa);
        free(t.pb);
        free(t.work);
        pool_close(g.pool);
    }
    free(t.before);
}
