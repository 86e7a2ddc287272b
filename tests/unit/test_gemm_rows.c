/* A row of kernels with scales, as one for integers will be: bytes of A with a scale a row, bytes
 * of B with a scale for each 32 of k. Against the same arithmetic done plainly, by every way that
 * the native backend has; and a model whose weights it multiplies keeps its scores exact. */
#include "llama_fixture.h"

#include "gemm_kern.h"

enum { MR = 4, NR = 8, WORD = 4, PART = 32 };

/* ---- the row --------------------------------------------------------------------------------- */

static float scale_of(const float *x, int64_t n) {
    float most = 0;
    for (int64_t i = 0; i < n; i++) most = fmaxf(most, fabsf(x[i]));
    return most / 127;
}

static int8_t byte_of(float x, float scale) {
    return scale > 0 ? (int8_t)lrintf(x / scale) : 0;
}

/* Element (row, p) of variant v. */
static float element(const struct mat *m, int v, int64_t row, int64_t p) {
    float x;
    return m->trans ? *mat_line(m, v, p, row, 1, &x) : *mat_line(m, v, row, p, 1, &x);
}

static void byte_scale_a(const struct mat *m, int64_t row0, int64_t n, int64_t k, float *scale) {
    for (int64_t r = 0; r < n; r++) {
        scale[r] = 0;
        for (int64_t p = 0; p < k; p++) {
            const float x = element(m, 0, row0 + r, p);
            scale[r] = fmaxf(scale[r], scale_of(&x, 1));
        }
    }
}

static void byte_pack_a(const struct mat *m, int64_t line, int64_t rows, int64_t k, bool round,
                        const float *scale, void *dst) {
    int8_t *out = dst;
    assert_false(round);
    const int64_t words = (k + WORD - 1) / WORD, n = m->trans ? rows : words;
    for (int64_t i = 0; i < n; i++)
        for (int b = 0; b < WORD; b++) {
            const int64_t row = m->trans ? i : line, p = (m->trans ? line : i) * WORD + b;
            out[i * WORD + b] = p < k ? byte_of(element(m, 0, row, p), scale[row]) : 0;
        }
}

static void byte_pack_b(const struct mat *m, int v, int nv, int64_t row0, int h, int wide,
                        int64_t p0, int64_t k, bool round, void *dst, int64_t next) {
    const int64_t words = (k + WORD - 1) / WORD, parts = (words * WORD + PART - 1) / PART;
    assert_true(wide == NR && p0 % PART == 0 && !round);
    for (int i = 0; i < nv; i++) {
        int8_t *out = (int8_t *)((uint32_t *)dst + i * next);
        float *scale = (float *)(void *)((uint32_t *)dst + i * next + words * wide);
        memset(out, 0, (size_t)(words * wide * WORD));
        memset(scale, 0, (size_t)(parts * wide) * sizeof *scale);
        for (int r = 0; r < h; r++)
            for (int64_t q = 0; q < parts; q++) {
                float x[PART] = {0};
                for (int64_t p = 0; p < PART && q * PART + p < k; p++)
                    x[p] = element(m, v + i, row0 + r, p0 + q * PART + p);
                scale[q * wide + r] = scale_of(x, PART);
                for (int64_t p = 0; p < PART && q * PART + p < words * WORD; p++) {
                    const int64_t at = q * PART + p;
                    out[(at / WORD * wide + r) * WORD + at % WORD] =
                        byte_of(x[p], scale[q * wide + r]);
                }
            }
    }
}

static int calls;

static void byte_mul(int h, enum gemm_form form, int64_t k, const void *a, int64_t ld,
                     const void *b, float *c, int64_t ldc, bool add, const struct gemm_scales *s,
                     const struct gemm_next *next) {
    (void)next;
    const bool cols = form == GEMM_COLS;
    const int8_t *pa = a, *pb = b;
    assert_true(form != GEMM_COPY); /* the row has no copy_a */
    calls++;
    for (int i = 0; i < h; i++)
        for (int j = 0; j < NR; j++) {
            float sum = add ? c[i * ldc + j] : 0;
            for (int64_t q = 0; q * PART < k * WORD; q++) {
                int32_t dot = 0;
                for (int64_t at = q * PART; at < (q + 1) * PART && at < k * WORD; at++) {
                    const int64_t w = at / WORD, x = cols ? w * ld + i : i * ld + w;
                    dot += pa[x * WORD + at % WORD] * pb[(w * NR + j) * WORD + at % WORD];
                }
                sum += s->a[i] * s->b[q * NR + j] * (float)dot;
            }
            c[i * ldc + j] = sum;
        }
}

static const struct gemm_kern byte_kern = {.name = "bytes",
                                           .mr = MR,
                                           .nr = NR,
                                           .per_word = WORD,
                                           .scale_k = PART,
                                           .scale_a = byte_scale_a,
                                           .pack_a = byte_pack_a,
                                           .pack_b = byte_pack_b,
                                           .mul = byte_mul};

/* ---- products -------------------------------------------------------------------------------- */

struct product {
    int64_t m, n, k;
    struct mat a, b;
    float *c, *before;
    bool add;
};

static float *normal(struct rng *r, int64_t n) {
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)rng_normal(r);
    return x;
}

/* Quantised the same way, summed in double. */
static double plain(const struct product *p, int64_t i, int64_t j) {
    const int v = (int)(i / (p->m / mat_variants(&p->b)));
    double sum = p->add ? (double)p->before[i * p->n + j] : 0;
    float sa;
    byte_scale_a(&p->a, i, 1, p->k, &sa);
    for (int64_t q = 0; q < p->k; q += PART) {
        float x[PART] = {0};
        int32_t dot = 0;
        const int64_t some = p->k - q < PART ? p->k - q : PART;
        for (int64_t t = 0; t < some; t++) x[t] = element(&p->b, v, j, q + t);
        const float sb = scale_of(x, PART);
        for (int64_t t = 0; t < some; t++)
            dot += byte_of(element(&p->a, 0, i, q + t), sa) * byte_of(x[t], sb);
        sum += (double)sa * (double)sb * dot;
    }
    return sum;
}

static void check(const struct product *p, const char *what) {
    for (int s = 0; s < 300; s++) {
        const int64_t i = s * 7919 % p->m, j = s * 104729 % p->n;
        const double want = plain(p, i, j), got = (double)p->c[i * p->n + j];
        if (!(fabs(got - want) <= 1e-4 * sqrt((double)p->k)))
            fail_msg("%s, %d x %d x %d: (%d,%d) is %g, plainly %g", what, (int)p->m, (int)p->n,
                     (int)p->k, (int)i, (int)j, got, want);
    }
}

static void *room(size_t bytes) {
    return aligned_alloc(ARENA_ALIGN, arena_round(bytes + 1));
}

static void mul_all_ways(struct gemm *g, struct product *p) {
    const size_t size = (size_t)(p->m * p->n) * sizeof *p->c;
    float *first = malloc(size);
    void *pa = room(gemm_pack_bytes(g, GEMM_A, p->a, p->m, p->k)),
         *work = room(gemm_panel_bytes(g, p->n, p->k));
    memcpy(p->c, p->before, size);
    const struct gemm_pack a = gemm_pack(g, GEMM_A, p->a, p->m, p->k, pa),
                           b = gemm_unpacked(p->b, p->n, p->k);
    gemm_mul(g, &a, &b, p->c, p->n, p->add, work);
    check(p, "panel by panel");
    memcpy(first, p->c, size);
    if (!p->b.var) {
        void *pb = room(gemm_pack_bytes(g, GEMM_B, p->b, p->n, p->k));
        const struct gemm_pack whole = gemm_pack(g, GEMM_B, p->b, p->n, p->k, pb);
        memcpy(p->c, p->before, size);
        gemm_mul(g, &a, &whole, p->c, p->n, p->add, NULL);
        check(p, "packed whole");
        free(pb);
    }
    struct gemm many = *g;
    ok(pool_open(&many.pool, 3, &e));
    void *more = room(gemm_panel_bytes(&many, p->n, p->k));
    memcpy(p->c, p->before, size);
    gemm_mul(&many, &a, &b, p->c, p->n, p->add, more);
    assert_memory_equal(first, p->c, size);
    pool_close(many.pool);
    free(first);
    free(pa);
    free(work);
    free(more);
}

static void products(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1},     {5, 7, 31},    {12, 40, 128}, {33, 300, 97},
                                       {6, 50, 2500}, {20, 9, 2049}, {48, 17, 5000}};
    struct machine m = machine_of("native", DT_F32);
    struct gemm g = m.gemm[GEMM_WEIGHTS];
    struct rng r = rng_make(9, RNG_TEST, 0, 0, 0);
    assert_int_equal(g.kernel->scale_k, 0); /* today's rows have none */
    g.kernel = &byte_kern;
    assert_false(gemm_alike(&g, m.gemm + GEMM_EXACT));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int how = 0; how < 16; how++) {
            struct product p = {.m = sizes[i][0], .n = sizes[i][1], .k = sizes[i][2]};
            const bool ta = how & 1, tb = how & 2, some = how & 8 && !tb;
            p.add = how & 4;
            const int copies = some ? 3 : 1;
            p.m *= copies;
            float *a = normal(&r, p.m * p.k), *b = normal(&r, copies * p.n * p.k);
            p.a = mat_f32(a, ta ? p.m : p.k, ta);
            p.b = mat_f32(b, tb ? p.n : p.k, tb);
            const struct variants var = {.n = copies, .stride = p.n * p.k, .cols = p.k};
            if (some) p.b.var = &var;
            p.before = normal(&r, p.m * p.n);
            p.c = malloc((size_t)(p.m * p.n) * sizeof *p.c);
            mul_all_ways(&g, &p);
            free(a);
            free(b);
            free(p.before);
            free(p.c);
        }
}

/* ---- a model --------------------------------------------------------------------------------- */

/* Products with weights go through the row, those of attention do not: its calls are those of the
 * linear layers and the classifier, and the loss is near that of f32. */
static void weights_only(void **state) {
    (void)state;
    static const struct variant v = {"bytes", "llama", "", {64, 96, 2, 4, 2, 16, 260}, false};
    enum { B = 2, T = 64 };
    struct machine f32 = machine_of("native", DT_F32), both = f32, weights = f32;
    struct model m = model_of(&v);
    struct tokens t = tokens_of(&m, B * T, 3);
    const struct exec_opts o = {.B = B, .T = T};
    run(&m, &f32, &o, &t);
    const double exact = mean(t.nll, t.n);
    weights.gemm[GEMM_WEIGHTS].kernel = &byte_kern;
    calls = 0;
    run(&m, &weights, &o, &t);
    const double narrow = mean(t.nll, t.n);
    const int of_weights = calls;
    both.gemm[GEMM_WEIGHTS].kernel = both.gemm[GEMM_EXACT].kernel = &byte_kern;
    calls = 0;
    run(&m, &both, &o, &t);
    assert_true(of_weights > 0 && calls > of_weights);
    assert_true(narrow != exact && mean(t.nll, t.n) != narrow);
    if (!(fabs(narrow - exact) < 0.02 * exact)) fail_msg("loss %g, in f32 %g", narrow, exact);
    tokens_free(&t);
    close_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(weights_only)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
