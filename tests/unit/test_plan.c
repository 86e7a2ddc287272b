/* The memory plan: buffers that live at the same time do not overlap, for every model variant and
 * backend, with and without recomputation, for evaluation and generation; and sizes are what they
 * should be. */
#include "plan_fixture.h"

/* Every variant with the chosen backend, one with each. */
static void test_models(void **state) {
    (void)state;
    for (int i = 0; i < N_VARIANTS + 2 * (int)n_gemm_backends; i++) {
        const int64_t B = 2, T = 70;
        const int k = i - N_VARIANTS;
        const struct variant *v = variants + (k < 0 ? i : 8);
        struct machine g;
        if (k >= 0 && !strcmp(gemm_backends[k / 2]->name, "ref"))
            continue; /* slow, packs nothing */
        if (machine_try(&g, k < 0 ? "auto" : gemm_backends[k / 2]->name,
                      k < 0 || k % 2 ? DT_F32 : DT_BF16, 1, &e))
            continue;
        struct model m = model_of(v);
        struct tokens t = tokens_of(&m, B * T, 1);
        add_grads(&m);
        check_graph(k < 0 ? v->name : g.gemm->backend->name, &m.graph, &g, &t, B, T);
        tokens_free(&t);
        close_model(&m);
    }
}

/* Classes of products that pack differently have scratch of their own. */
static void test_classes(void **state) {
    (void)state;
    for (int i = 0; i < N_VARIANTS; i++)
        for (int k = 0; k < 2; k++) {
            struct machine g;
            ok(machine_open(&g,
                            &(struct machine_opts){.threads = 1,
                                                   .gemm = "native",
                                                   .compute = k ? "f32" : "bf16",
                                                   .exact = k ? "bf16" : "f32"},
                            &e));
            struct model m = model_of(variants + i);
            struct tokens t = tokens_of(&m, 2 * 40, 1);
            add_grads(&m);
            check_graph(variants[i].name, &m.graph, &g, &t, 2, 40);
            tokens_free(&t);
            close_model(&m);
        }
}

/* Generation: keys and values in the cache do not overlap, and nothing else is in it. */
static void test_cache(void **state) {
    (void)state;
    const struct machine gemm = machine_of("auto", DT_F32);
    for (int i = 0; i < N_VARIANTS; i++)
        for (int64_t T = 1; T <= 64; T += 63) {
            struct model m = model_of(variants + i);
            struct exec x;
            ok(exec_plan(&x, &m.graph, &gemm, &(struct exec_opts){.B = 1, .T = T, .cache = 100},
                         &e));
            simulate(variants[i].name, &x);
            for (int a = 0; a < x.plan.n_placements; a++)
                for (int b = 0; b < a; b++) {
                    const struct placement *p = x.plan.placements + a, *q = x.plan.placements + b;
                    /* In place or far apart. */
                    if (!p->cache || !q->cache || p->offset == q->offset) continue;
                    const size_t size =
                        100 * (size_t)(m.config.kv_heads * m.config.head_dim) * sizeof(float);
                    const size_t apart_ =
                        p->offset > q->offset ? p->offset - q->offset : q->offset - p->offset;
                    assert_true(apart_ >= size);
                }
            exec_close(&x);
            close_model(&m);
        }
}

/* ---- shapes other than planned ------------------------------------------------------------- */

/* Lengths around a whole page of scores, planned for a little more. */
static void test_shorter(void **state) {
    (void)state;
    static const struct variant v = {"shorter", "llama", "", {8, 8, 1, 2, 1, 4, 20}, true};
    struct model m = model_of(&v);
    struct tokens t = tokens_of(&m, 1030, 1);
    add_grads(&m);
    for (int i = 0; i < 2 * (int)n_gemm_backends; i++) {
        struct machine g;
        const char *name = gemm_backends[i / 2]->name;
        if (machine_try(&g, name, i % 2 ? DT_F32 : DT_BF16, 1, &e) || !strcmp(name, "ref"))
            continue;
        for (int64_t T = 1023; T <= 1025; T++) {
            struct exec x;
            ok(exec_open(&x, &m.graph, &g, &(struct exec_opts){.B = 1, .T = 1030, .train = true},
                         &e));
            const struct arena old = x.mem;
            struct spread s = spread(&x, 0xff);
            exec_run(&x, &(struct batch){.B = 1,
                                         .T = T,
                                         .input = t.input,
                                         .target = t.target,
                                         .nll = t.nll,
                                         .grad_scale = 1});
            spread_check(name, &s);
            x.mem = old;
            exec_close(&x);
        }
    }
    tokens_free(&t);
    close_model(&m);
}

/* ---- sizes --------------------------------------------------------------------------------- */

static size_t arena_of(const struct model *m, struct exec_opts o, size_t *kept) {
    struct exec x;
    const struct machine gemm = machine_of("auto", DT_F32);
    ok(exec_plan(&x, &m->graph, &gemm, &o, &e));
    const size_t bytes = x.plan.arena_bytes;
    if (kept) *kept = x.plan.kept_bytes;
    exec_close(&x);
    return bytes;
}

/* A deep and narrow model: what is kept grows with depth, what passes does not. */
static void test_sizes(void **state) {
    (void)state;
    static const struct variant deep = {"deep", "llama", "", {64, 172, 16, 4, 2, 16, 128}, true};
    static const struct variant half = {
        "half as deep", "llama", "", {64, 172, 8, 4, 2, 16, 128}, true};
    struct model m = model_of(&deep), h = model_of(&half);
    const int64_t B = 8, T = 128, rows = B * T, dim = 64, hidden = 172;
    const struct exec_opts eval = {.B = B, .T = T}, train = {.B = B, .T = T, .train = true},
                           less = {.B = B, .T = T, .train = true, .recompute = true};
    size_t kept, kept_less, kept_half;
    const size_t at_eval = arena_of(&m, eval, NULL), at_train = arena_of(&m, train, &kept);
    const size_t at_less = arena_of(&m, less, &kept_less);
    arena_of(&h, train, &kept_half);
    assert_int_equal(at_eval, arena_of(&h, eval, NULL));
    assert_true(at_eval * 6 < at_train);
    assert_true(at_less * 3 < at_train);
    /* With recomputation: the residual stream between blocks. */
    assert_true(kept_less <= (size_t)(rows * dim * 18) * sizeof(float));
    /* Without, a layer keeps two residuals, q, k, v, attention, its statistics, gate and up. */
    const size_t layer =
        (size_t)(rows * (2 * dim + 2 * dim + 2 * dim / 2 + 4 + 2 * hidden)) * sizeof(float);
    assert_int_equal(kept - kept_half, 8 * layer);
    assert_true(at_train - kept < 6 * layer);
    close_model(&m);
    close_model(&h);
}

/* exec_bytes is what exec_open reserves. */
static void test_promise(void **state) {
    (void)state;
    struct model m = model_of(&variants[8]);
    struct machine gemm = machine_with("auto", DT_F32, 3);
    struct exec x;
    ok(exec_open(&x, &m.graph, &gemm, &(struct exec_opts){.B = 1, .T = 8, .cache = 40}, &e));
    const size_t reserved = x.mem.size + x.cache.size + x.tables.size;
    assert_true(exec_bytes(&x) <= reserved && reserved <= exec_bytes(&x) + 2 * ARENA_ALIGN);
    exec_close(&x);
    for (int i = 0; i < 3; i++) { /* shapes that cannot be */
        static const struct exec_opts bad[] = {
            {.B = 0, .T = 1}, {.B = 1, .T = -1}, {.B = 1 << 20, .T = 1 << 20}};
        assert_int_equal(exec_open(&x, &m.graph, &gemm, bad + i, &e), ERR_INPUT);
    }
    machine_close(&gemm);
    close_model(&m);
}

/* ---- graphs that cannot be trained --------------------------------------------------------- */

/* What is read by node and once more by another one, later: `twice`, by itself. */
static void refused(const struct op *op, bool twice, const char *says) {
    const struct machine gemm = machine_of("auto", DT_F32);
    struct param table = {.name = "table", .role = ROLE_embed, .ndim = 2, .rows = 5, .cols = 4};
    struct graph g = {.params = &table, .n_params = 1};
    struct exec x;
    const int a = graph_value(&g, "first", 4, false), b = graph_value(&g, "second", 4, false);
    const int y = graph_value(&g, "y", 4, false), sum = graph_value(&g, "sum", 4, false);
    for (int i = 0; i < 2; i++)
        graph_node(&g, (struct node){
                           .op = &op_embed, .n_out = 1, .out = {i ? b : a}, .n_param = 1});
    struct node n = {.op = op, .n_in = op == &op_rope ? 1 : 2, .in = {a, twice ? a : b}};
    n.n_out = 1;
    n.out[0] = y;
    n.heads = n.kv_heads = 1;
    n.head_dim = 4;
    n.theta = 10000;
    graph_node(&g, n);
    graph_node(&g, (struct node){.op = &op_add,
                                 .n_in = 2,
                                 .in = {y, twice ? b : a},
                                 .n_out = 1,
                                 .out = {sum},
                                 .scale = 1});
    graph_node(&g, (struct node){.op = &op_xent, .n_in = 1, .in = {sum}, .n_param = 1});
    ok(exec_plan(&x, &g, &gemm, &(struct exec_opts){.B = 1, .T = 2}, &e));
    exec_close(&x);
    assert_int_equal(
        exec_plan(&x, &g, &gemm, &(struct exec_opts){.B = 1, .T = 2, .train = true}, &e),
        ERR_INPUT);
    if (!strstr(e.msg, says)) fail_msg("\"%s\" does not say \"%s\"", e.msg, says);
    graph_release(&g);
}

/* Ops that write the gradient of an input and cannot add to it are the last to read it. */
static void test_last_reader(void **state) {
    (void)state;
    refused(&op_rope, false,
            "node 2 (rope) must be the last to read value 0 (first), and node 3 (add) reads it "
            "after it");
    refused(&op_swiglu, false,
            "node 2 (swiglu) must be the last to read value 0 (first), and node 3 (add) reads it "
            "after it");
    refused(&op_swiglu, true,
            "node 2 (swiglu) must be the last to read value 0 (first), and node 2 (swiglu) reads "
            "it twice");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),      cmocka_unit_test(test_classes),
        cmocka_unit_test(test_cache),       cmocka_unit_test(test_shorter),
        cmocka_unit_test(test_sizes),       cmocka_unit_test(test_promise),
        cmocka_unit_test(test_last_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
