/* What a graph may be besides the decoders of today: each rope node turns by its own angles,
 * a compacted model may have any number of embedding tables. */
#include "llama_fixture.h"

enum { T = 40 };

static const struct variant untied = {
    "untied", "llama", "", {24, 20, 2, 4, 2, 6, 50}, false};

/* The output of a block's attention counts nothing. */
static void mute(struct model *m, const char *name) {
    for (int i = 0; i < m->n_params; i++)
        if (!strcmp(m->params[i].name, name))
            memset(m->params[i].data, 0, (size_t)param_count(m->params + i) * sizeof(float));
}

/* Block 1 turns with base 10000, block 2 with 50: with either muted, the loss is that of a model
 * which has the other's base everywhere. */
static void each_rope_its_table(void **state) {
    (void)state;
    static const char *const out[] = {"model.layers.1.self_attn.o_proj.weight",
                                      "model.layers.0.self_attn.o_proj.weight"};
    const double theta[] = {10000, 50};
    const struct machine gemm = machine_of("auto", DT_F32);
    for (int heard = 0; heard < 2; heard++) {
        struct model m = model_of(&untied);
        struct tokens t = tokens_of(&m, T, 3);
        mute(&m, out[heard]);
        for (int i = 0; i < m.graph.n_nodes; i++)
            if (m.graph.nodes[i].op == &op_rope)
                m.graph.nodes[i].theta = theta[m.graph.nodes[i].block - 1];
        run(&m, &gemm, &(struct exec_opts){.B = 1, .T = T}, &t);
        m.config.theta = theta[heard];
        struct ref_model r = ref_of(&m);
        double *logits = malloc(sizeof *logits * (size_t)(T * m.config.vocab));
        ref_logits(&r, (const int32_t *)t.input, T, logits);
        for (int i = 0; i < T; i++) {
            const double want = -ref_logprob(logits + i * m.config.vocab, (int)m.config.vocab,
                                             (int)t.target[i], 0);
            if (!(fabs((double)t.nll[i] - want) < 1e-4))
                fail_msg("base %g, token %d: %.7g, reference %.7g", theta[heard], i,
                         (double)t.nll[i], want);
        }
        free(logits);
        ref_model_release(&r);
        tokens_free(&t);
        close_model(&m);
    }
}

/* Scaled frequencies (rope_factors) are angles of their own, and equal ones share a table. */
static void factors_count(void **state) {
    (void)state;
    static const double same_a[] = {1, 2, 3}, same_b[] = {1, 2, 3}, other[] = {1, 2, 4};
    const struct machine gemm = machine_of("auto", DT_F32);
    struct model m = model_of(&untied);
    struct exec x;
    int ropes = 0;
    const double *factors[] = {same_a, NULL, same_b, other};
    for (int i = 0; i < m.graph.n_nodes; i++)
        if (m.graph.nodes[i].op == &op_rope) m.graph.nodes[i].rope_factors = factors[ropes++];
    assert_int_equal(ropes, 4);
    ok(exec_open(&x, &m.graph, &gemm, &(struct exec_opts){.B = 1, .T = T}, &e));
    const struct rope_table *of[4];
    ropes = 0;
    for (int i = 0; i < m.graph.n_nodes; i++)
        if (m.graph.nodes[i].op == &op_rope) of[ropes++] = x.rope + i;
    assert_ptr_equal(of[0]->cos, of[2]->cos);
    assert_ptr_not_equal(of[0]->cos, of[1]->cos);
    assert_ptr_not_equal(of[0]->cos, of[3]->cos);
    /* head_dim 6: frequency i is 10000^(-2i/6) / factor */
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 3; i++) {
            const double freq = pow(10000, -2.0 * i / 6) / (factors[k] ? factors[k][i] : 1);
            assert_true(fabs((double)of[k]->sin[7 * 3 + i] - sin(7 * freq)) < 1e-6);
        }
    exec_close(&x);
    close_model(&m);
}

/* A third and a fourth table with a row for each id: written whole like the first two. */
static void many_embeddings(void **state) {
    (void)state;
    static const struct variant v = {
        "tables", "llama", ",\"duet\":{\"value_embeds\":true}", {24, 20, 3, 4, 2, 6, 50}, false};
    enum { KEPT = 20 };
    uint32_t ids[KEPT];
    struct model m = create_model(&v);
    struct model_file mf;
    struct model_as_file *hold;
    for (uint32_t i = 0; i < KEPT; i++) ids[i] = 2 * i + 1;
    ok(model_compact(&m, ids, KEPT, &e));
    int tables = 0;
    for (int i = 0; i < m.n_params; i++) {
        tables += m.params[i].role == ROLE_embed;
        if (m.params[i].role == ROLE_embed) assert_int_equal(m.params[i].rows, KEPT);
    }
    assert_int_equal(tables, 4);
    ok(model_reserve(&m, &e));
    ok(model_init(&m, 5, &e));
    ok(model_as_file(&m, &mf, &hold, NULL, &e));
    for (int i = 0; i < m.n_params; i++) {
        const struct param *p = m.params + i;
        if (p->role != ROLE_embed) continue;
        const struct mf_tensor *t = model_file_find(&mf, p->name);
        float row[24], want[24];
        assert_non_null(t);
        assert_int_equal(t->shape[0], 50);
        for (uint64_t id = 0; id < 50; id++) {
            model_init_row(&m, p, id, want);
            assert_memory_equal(t->row(t->row_ctx, id, row), want,
                                (size_t)p->cols * sizeof *want);
        }
    }
    model_file_close(&mf);
    model_as_file_close(hold);
    model_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rope_its_table), cmocka_unit_test(factors_count),
        cmocka_unit_test(many_embeddings),};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
