/* Scores of sequences: against the double reference, past the piece that is read at a time, and
 * bit for bit the same whatever else is in play. */
#include "llama_fixture.h"
#include "score.h"

enum {
    LONG = 700
}; /* more than a piece of 512, and past 640: three blocks of queries in the second */

static const struct variant *const some[] = {variants + 2, variants + 8};

static float *scores(struct model *m, const uint32_t *ids, int64_t n, int64_t most) {
    const struct machine gemm = machine_of("auto", DT_F32);
    struct scorer s;
    float *nll = calloc((size_t)n, sizeof *nll);
    ok(scorer_open(&s, m, &gemm, most, &e));
    ok(scorer_run(&s, ids, n, nll, &e));
    scorer_close(&s);
    return nll;
}

static void against_reference(void **state) {
    (void)state;
    for (size_t v = 0; v < sizeof some / sizeof *some; v++) {
        struct model m = model_of(some[v]);
        struct tokens t = tokens_of(&m, LONG, 5);
        const int64_t V = m.config.vocab;
        float *nll = scores(&m, t.input, LONG, LONG - 1);
        struct ref_model r = ref_of(&m);
        double *logits = malloc(sizeof *logits * (size_t)(LONG * V)), sum = 0, want = 0;
        ref_logits(&r, (const int32_t *)t.input, LONG, logits);
        for (int i = 0; i + 1 < LONG; i++) {
            const double ref = -ref_logprob(logits + i * V, (int)V, (int)t.input[i + 1], 0);
            if (!(fabs((double)nll[i] - ref) <= 2e-4 * (1 + ref)))
                fail_msg("%s: token %d: %.7g, reference %.7g", some[v]->name, i + 1,
                         (double)nll[i], ref);
            sum += (double)nll[i];
            want += ref;
        }
        assert_true(fabs(sum - want) < 1e-5 * want);
        free(logits);
        free(nll);
        ref_model_release(&r);
        tokens_free(&t);
        close_model(&m);
    }
}

/* Room for more, other threads, another sequence before: the same bits. */
static void same_bits(void **state) {
    (void)state;
    struct model m = model_of(variants + 2);
    struct tokens t = tokens_of(&m, LONG, 6);
    struct machine gemm = machine_with("auto", DT_F32, 3);
    static const int64_t lengths[] = {2, 3, 60, 300, 512, 513, 514, 600, LONG};
    struct scorer s;
    float again[LONG];
    ok(scorer_open(&s, &m, &gemm, LONG - 1, &e));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const int64_t n = lengths[i];
        float *alone = scores(&m, t.input, n, n - 1);
        ok(scorer_run(&s, t.input + 1, 50, again, &e));
        ok(scorer_run(&s, t.input, n, again, &e));
        assert_memory_equal(alone, again, (size_t)(n - 1) * sizeof *again);
        free(alone);
    }
    scorer_close(&s);
    machine_close(&gemm);
    tokens_free(&t);
    close_model(&m);
}

/* Memory: pieces, not the sequence; keys and values of the sequence. */
static void bounded(void **state) {
    (void)state;
    struct model m = model_of(variants + 2);
    const struct machine gemm = machine_of("auto", DT_F32);
    struct exec piece, longer;
    ok(exec_plan(&piece, &m.graph, &gemm, &(struct exec_opts){.B = 1, .T = 512, .cache = 512}, &e));
    struct scorer s;
    ok(scorer_open(&s, &m, &gemm, 20000, &e));
    longer = s.x;
    assert_true(longer.plan.arena_bytes == piece.plan.arena_bytes);
    const struct model_config *c = &m.config;
    const size_t kv = 2 * sizeof(float) * (size_t)(c->layers * c->kv_heads * c->head_dim);
    assert_true(longer.plan.cache_bytes <= 20000 * kv + 4096);
    scorer_close(&s);
    exec_close(&piece);
    close_model(&m);
}

static void not_finite(void **state) {
    (void)state;
    struct model m = model_of(variants);
    struct tokens t = tokens_of(&m, 20, 6);
    const struct machine gemm = machine_of("auto", DT_F32);
    struct scorer s;
    float nll[20];
    ok(scorer_open(&s, &m, &gemm, 19, &e));
    for (int i = 0; i < m.n_params; i++)
        if (!strcmp(m.params[i].name, "model.layers.1.post_attention_layernorm.weight"))
            ((float *)m.params[i].data)[4] = NAN;
    assert_int_equal(scorer_run(&s, t.input, 20, nll, &e), ERR_NUMERIC);
    if (!strstr(e.msg, "tensor model.layers.1.post_attention_layernorm.weight holds NaN at [4]"))
        fail_msg("%s", e.msg);
    scorer_close(&s);
    tokens_free(&t);
    close_model(&m);
}

/* Weights near the end of f32's range make squares that only doubles hold, and a norm that is
 * almost one number: still what the reference says. */
static void huge(void **state) {
    (void)state;
    struct model m = model_of(variants);
    struct tokens t = tokens_of(&m, 40, 6);
    const int64_t V = m.config.vocab;
    for (int i = 0; i < m.n_params; i++)
        if (!strcmp(m.params[i].name, "model.layers.0.mlp.down_proj.weight"))
            ((float *)m.params[i].data)[0] = 3e36f;
    float *nll = scores(&m, t.input, 40, 39);
    struct ref_model r = ref_of(&m);
    double *logits = malloc(sizeof *logits * (size_t)(40 * V));
    ref_logits(&r, (const int32_t *)t.input, 40, logits);
    for (int i = 0; i < 39; i++) {
        const double ref = -ref_logprob(logits + i * V, (int)V, (int)t.input[i + 1], 0);
        if (!(fabs((double)nll[i] - ref) <= 2e-4 * (1 + ref)))
            fail_msg("token %d: %.7g, reference %.7g", i + 1, (double)nll[i], ref);
    }
    free(logits);
    free(nll);
    ref_model_release(&r);
    tokens_free(&t);
    close_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_reference), cmocka_unit_test(huge),
                                       cmocka_unit_test(same_bits), cmocka_unit_test(bounded),
                                       cmocka_unit_test(not_finite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
