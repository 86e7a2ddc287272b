/* Generation: logits and losses by way of the key/value cache, the text read in pieces of any size,
 * against one pass over everything and against the double reference. */
#include "llama_fixture.h"

enum { LENGTH = 150, CHUNK = 64 };

struct text {
    struct model m;
    struct tokens t;
    double *logits; /* reference (LENGTH, V) */
    double *nll;    /* reference */
    double largest;
};

static struct text text_of(const struct variant *v) {
    struct text x = {.m = model_of(v)};
    const int V = (int)x.m.config.vocab;
    x.t = tokens_of(&x.m, LENGTH, 9);
    x.logits = malloc(sizeof(double) * (size_t)(LENGTH * V));
    x.nll = malloc(sizeof(double) * LENGTH);
    struct ref_model r = ref_of(&x.m);
    ref_logits(&r, (const int32_t *)x.t.input, LENGTH, x.logits);
    for (int i = 0; i < LENGTH; i++)
        x.nll[i] = -ref_logprob(x.logits + i * V, V, (int)x.t.target[i], 0);
    for (int i = 0; i < LENGTH * V; i++) x.largest = fmax(x.largest, fabs(x.logits[i]));
    ref_model_release(&r);
    return x;
}

static void text_free(struct text *x) {
    free(x->logits);
    free(x->nll);
    tokens_free(&x->t);
    close_model(&x->m);
}

static void compare_logits(const struct text *x, const float *logits, int64_t at, double tol,
                           const char *what) {
    const int64_t V = x->m.config.vocab;
    for (int64_t i = 0; i < V; i++) {
        const double want = x->logits[at * V + i];
        if (!(fabs((double)logits[i] - want) <= tol * x->largest))
            fail_msg("%s: logit %lld after position %lld is %.9g, reference %.9g", what,
                     (long long)i, (long long)at, (double)logits[i], want);
    }
}

static void compare_losses(const struct text *x, double tol, const char *what) {
    for (int i = 0; i < LENGTH; i++)
        if (!(fabs((double)x->t.nll[i] - x->nll[i]) <= tol * (1 + x->nll[i])))
            fail_msg("%s: loss at %d is %.9g, reference %.9g", what, i, (double)x->t.nll[i],
                     x->nll[i]);
}

/* Reads [from, to) in pieces of `piece` tokens, comparing the logits after each piece. */
static void read_pieces(struct text *x, struct exec *ex, int64_t from, int64_t to, int64_t piece,
                        double tol, const char *what) {
    float *logits = malloc(sizeof *logits * (size_t)x->m.config.vocab);
    for (int64_t at = from; at < to; at += piece) {
        const int64_t T = to - at < piece ? to - at : piece;
        for (int64_t i = 0; i < x->m.config.vocab; i++) logits[i] = NAN;
        exec_run(ex, &(struct batch){.B = 1,
                                     .T = T,
                                     .input = x->t.input + at,
                                     .target = x->t.target + at,
                                     .nll = x->t.nll + at,
                                     .logits = logits,
                                     .pos = at});
        compare_logits(x, logits, at + T - 1, tol, what);
    }
    free(logits);
}

static void read_cached(struct text *x, const struct machine *g, int64_t piece, double tol,
                        const char *what) {
    struct exec ex;
    ok(exec_open(&ex, &x->m.graph, g, &(struct exec_opts){.B = 1, .T = CHUNK, .cache = LENGTH},
                 &e));
    memset(ex.mem.base, 0xff, ex.mem.size);
    memset(ex.cache.base, 0xff, ex.cache.size);
    /* The prompt in pieces, then token by token; then once more from the start over what
     * is there. */
    for (int round = 0; round < 2; round++) {
        read_pieces(x, &ex, 0, LENGTH - 40, piece, tol, what);
        read_pieces(x, &ex, LENGTH - 40, LENGTH, 1, tol, what);
        compare_losses(x, tol, what);
    }
    exec_close(&ex);
}

static void test_pieces(void **state) {
    (void)state;
    static const int64_t pieces[] = {1, 2, 4, 5, 37, 63, 64};
    const struct machine g = machine_of("auto", DT_F32);
    for (int i = 0; i < N_VARIANTS; i++) {
        struct text x = text_of(variants + i);
        for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++)
            if (i % 4 == 0 || k % 3 == 0) read_cached(&x, &g, pieces[k], 2e-5, variants[i].name);
        text_free(&x);
    }
}

static void test_backends(void **state) {
    (void)state;
    struct text x = text_of(variants + 8);
    for (size_t i = 0; i < 2 * n_gemm_backends; i++) {
        struct machine g;
        const struct gemm_backend *b = gemm_backends[i % n_gemm_backends];
        if (machine_try(&g, b->name, i < n_gemm_backends ? DT_F32 : DT_BF16, 1, &e)) continue;
        read_cached(&x, &g, 37, i < n_gemm_backends ? 2e-5 : 3e-2, b->name);
    }
    text_free(&x);
}

/* Logits of the last position of every sequence, without a cache, one pass. */
static void test_full_pass(void **state) {
    (void)state;
    struct text x = text_of(variants + 8);
    const int64_t V = x.m.config.vocab;
    float *logits = malloc(sizeof *logits * (size_t)(2 * V));
    uint32_t *twice = malloc(2 * LENGTH * sizeof *twice);
    static const int64_t lengths[] = {1, 3, 64, 65, LENGTH};
    for (size_t i = 0; i < 2 * n_gemm_backends; i++) {
        struct machine g;
        struct exec ex;
        const struct gemm_backend *b = gemm_backends[i % n_gemm_backends];
        if (machine_try(&g, b->name, i < n_gemm_backends ? DT_F32 : DT_BF16, 1, &e)) continue;
        const double tol = i < n_gemm_backends ? 2e-5 : 3e-2;
        ok(exec_open(&ex, &x.m.graph, &g, &(struct exec_opts){.B = 2, .T = LENGTH}, &e));
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            const int64_t T = lengths[k];
            memcpy(twice, x.t.input, (size_t)T * sizeof *twice);
            memcpy(twice + T, x.t.input, (size_t)T * sizeof *twice);
            exec_run(&ex, &(struct batch){.B = 2, .T = T, .input = twice, .logits = logits});
            compare_logits(&x, logits, T - 1, tol, b->name);
            compare_logits(&x, logits + V, T - 1, tol, b->name);
        }
        exec_close(&ex);
    }
    /* All losses at once. */
    const struct machine g = machine_of("auto", DT_F32);
    run(&x.m, &g, &(struct exec_opts){.B = 1, .T = LENGTH}, &x.t);
    compare_losses(&x, 2e-5, "full pass");
    free(logits);
    free(twice);
    text_free(&x);
}

/* The cache holds rotated keys and values of every layer, and nothing more. */
static void test_cache_size(void **state) {
    (void)state;
    const struct machine g = machine_of("auto", DT_F32);
    for (int i = 0; i < N_VARIANTS; i++) {
        struct model m = model_of(variants + i);
        struct exec ex;
        const struct model_config *c = &m.config;
        ok(exec_plan(&ex, &m.graph, &g, &(struct exec_opts){.B = 1, .T = 1, .cache = 256}, &e));
        assert_int_equal(ex.plan.cache_bytes,
                         2 * c->layers * 256 * c->kv_heads * c->head_dim * (int64_t)sizeof(float));
        exec_close(&ex);
        close_model(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_backends),
        cmocka_unit_test(test_full_pass),
        cmocka_unit_test(test_cache_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
