/* LoRA in the parameter table and the graph: names, shapes, order, freezing, scale, first values,
 * merging, and leaving no trace. */
#include "lora_fixture.h"

#include "exec.h"
#include "machine_fixture.h"
#include "op.h"

/* The whole table that targets give, in the order of the graph. */
static void table(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int out, in;
    } want[] = {{"self_attn.q_proj", HEADS * HD, DIM}, {"self_attn.k_proj", KV * HD, DIM},
                {"self_attn.v_proj", KV * HD, DIM},    {"self_attn.o_proj", DIM, HEADS * HD},
                {"mlp.gate_proj", HIDDEN, DIM},        {"mlp.up_proj", HIDDEN, DIM},
                {"mlp.down_proj", DIM, HIDDEN}};
    static const char words[7][8] = {"q", "k", "v", "o", "gate", "up", "down"};
    for (int set = 1; set < 128; set++) {
        struct model m;
        char targets[64] = "", name[128];
        for (int i = 6; i >= 0; i--) /* the order of the list does not matter */
            if (set >> i & 1) snprintf(targets + strlen(targets), 16, "%s,", words[i]);
        create(&m, "fan_in", true);
        const int base = m.n_params;
        struct lora_opts o = lora_default;
        o.targets = targets;
        o.rank = 3;
        ok(lora_attach(&m, &o, &e));
        assert_ptr_equal(m.graph.params, m.params);
        assert_int_equal(m.graph.n_params, m.n_params);
        const struct param *p = m.params + base;
        for (int l = 0; l < LAYERS; l++)
            for (int i = 0; i < 7; i++)
                for (int b = 0; b < 2 && set >> i & 1; b++, p++) {
                    snprintf(name, sizeof name, "model.layers.%d.%s.lora_%c.weight", l,
                             want[i].name, "AB"[b]);
                    assert_string_equal(p->name, name);
                    assert_int_equal(p->rows, b ? want[i].out : 3);
                    assert_int_equal(p->cols, b ? 3 : want[i].in);
                    assert_true(p->role == ROLE_lora && p->ndim == 2 && p->dtype == DT_F32);
                    assert_true(p->trainable);
                }
        assert_int_equal(p - m.params, m.n_params);
        for (int i = 0; i < base; i++) assert_false(m.params[i].trainable);
        model_close(&m);
    }
}

/* Every node says which parameters correct which output, and how much. */
static void nodes(void **state) {
    (void)state;
    for (int rs = 0; rs < 2; rs++) {
        struct model m;
        struct lora_opts o = lora_default;
        o.targets = "v,down";
        o.rslora = rs;
        o.merge = rs;
        o.norms = true;
        create(&m, "fan_in", true);
        ok(lora_attach(&m, &o, &e));
        const float scale = rs ? 4 : 2; /* 8 / sqrt(4), 8 / 4 */
        int found = 0;
        for (int pass = 0; pass < 2; pass++) {
            for (int k = 0; k < m.graph.n_nodes; k++) {
                const struct node *n = m.graph.nodes + k;
                for (int i = 0; i < NODE_MAX_OUT; i++) {
                    if (!n->lora[i]) continue;
                    const struct param *w = m.params + n->param[i], *a = m.params + n->lora[i];
                    const size_t stem = strlen(w->name) - strlen("weight");
                    assert_ptr_equal(n->op, &op_linear);
                    assert_memory_equal(w->name, a->name, stem);
                    assert_string_equal(a->name + stem, "lora_A.weight");
                    assert_string_equal(a[1].name + stem, "lora_B.weight");
                    assert_true(n->lora_scale[i] == (pass ? scale / 2 : scale));
                    assert_int_equal(n->lora_merge, rs);
                    found++;
                }
            }
            lora_set_scale(&m, 0.5);
        }
        assert_int_equal(found, 2 * 2 * LAYERS);
        for (int i = 0; i < m.n_params; i++)
            assert_int_equal(m.params[i].trainable,
                             m.params[i].role == ROLE_norm || m.params[i].role == ROLE_lora);
        model_close(&m);
    }
}

/* "all" is every word that the architecture has, in the order of its parts. */
static void all_targets(void **state) {
    (void)state;
    static const char *const lists[] = {"all", "down,up,gate,o,v,k,q"};
    for (int i = 0; i < 2; i++) {
        struct model m;
        create(&m, "fan_in", true);
        const struct lora_opts o = {.rank = 2, .alpha = 2, .targets = lists[i], .init = "peft"};
        ok(lora_attach(&m, &o, &e));
        assert_string_equal(m.lora->targets, "q,k,v,o,gate,up,down");
        assert_int_equal(m.n_params - m.lora->base_params, 2 * 7 * LAYERS);
        model_close(&m);
    }
}

static void refused(void **state) {
    (void)state;
    static const struct {
        int64_t rank;
        double alpha;
        const char *targets, *init, *because;
    } bad[] = {
        {0, 8, "q", "peft", "rank is 0"},
        {-1, 8, "q", "peft", "rank is -1"},
        {17, 8, "q,k", "peft", "expected 1 to 16, the smaller side of model.layers.0.self_attn.k_"},
        {4, 0, "q", "peft", "alpha is 0"},
        {4, NAN, "q", "peft", "alpha"},
        {4, INFINITY, "q", "peft", "alpha"},
        {4, 8, "", "peft", "no targets"},
        {4, 8, "q,x", "peft", "\"x\" is not one of q, k"},
        {4, 8, "q;k", "peft", "\"q;k\" is not one of"},
        {4, 8, "q,all", "peft", "\"all\" is not one of"},
        {4, 8, "q,,k", "peft", "\"\" is not one of"},
        {4, 8, "gat", "peft", "\"gat\" is not one of"},
        {4, 8, "q", "zeros", "\"zeros\" is not one of peft, uniform"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct model m;
        create(&m, "fan_in", true);
        const struct lora_opts o = {.rank = bad[i].rank,
                                    .alpha = bad[i].alpha,
                                    .targets = bad[i].targets,
                                    .init = bad[i].init};
        const int n = m.n_params;
        assert_int_equal(lora_attach(&m, &o, &e), ERR_USAGE);
        if (!strstr(e.msg, bad[i].because)) fail_msg("%s", e.msg);
        assert_int_equal(m.n_params, n); /* and the model is as it was */
        assert_null(m.lora);
        for (int k = 0; k < n; k++) assert_true(m.params[k].trainable);
        model_close(&m);
    }
}

/* A uniform within the bound and using it, B 0, a function of the seed; the base is left alone. */
static void values(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct model m, other;
        struct lora_opts o = lora_default;
        o.init = kind ? "uniform" : "peft";
        o.targets = "q,down";
        write_base(at("base"), 1);
        create(&m, "fan_in", true);
        ok(lora_attach(&m, &o, &e));
        ok(model_reserve(&m, &e));
        ok(model_load(&m, at("base"), &e));
        ok(model_open(&other, at("base"), NULL, &e));
        lora_init(&m, 3);
        for (int i = 0; i < other.n_params; i++)
            assert_memory_equal(other.params[i].data, m.params[i].data, bytes_of(m.params + i));
        for (int i = other.n_params; i < m.n_params; i++) {
            const struct param *p = m.params + i;
            const float *x = p->data;
            const int64_t n = param_count(p);
            const double bound = 1 / sqrt(kind ? 4 : (double)p->cols);
            double max = 0, sum = 0, square = 0;
            for (int64_t k = 0; k < n; k++) {
                max = fmax(max, fabs((double)x[k]));
                sum += (double)x[k];
                square += (double)x[k] * (double)x[k];
            }
            if (strstr(p->name, "lora_B")) {
                assert_true(max == 0);
                continue;
            }
            assert_true(max <= bound && max > 0.95 * bound);
            assert_true(fabs(sum / (double)n) < 0.2 * bound);
            assert_true(fabs(square / (double)n * 3 / bound / bound - 1) < 0.25);
        }
        const struct param *a = find(&m, "model.layers.0.self_attn.q_proj.lora_A.weight");
        float first[4 * DIM];
        memcpy(first, a->data, sizeof first);
        lora_init(&m, 4);
        assert_memory_not_equal(first, a->data, sizeof first);
        lora_init(&m, 3);
        assert_memory_equal(first, a->data, sizeof first);
        assert_memory_not_equal(first, first + DIM, DIM * sizeof *first); /* rows differ */
        model_close(&m);
        model_close(&other);
    }
}

static void unload(void **state) {
    (void)state;
    struct model m, plain;
    write_base(at("base"), 1);
    ok(model_open(&plain, at("base"), NULL, &e));
    for (int trained = 0; trained < 2; trained++) {
        struct lora_opts o = lora_default;
        o.norms = trained;
        open_lora(&m, at("base"), &o, DT_BF16, 2);
        lora_unload(&m);
        assert_null(m.lora);
        assert_int_equal(m.n_params, plain.n_params);
        assert_int_equal(m.graph.n_params, plain.n_params);
        for (int i = 0; i < m.n_params; i++) {
            const struct param *p = m.params + i, *q = plain.params + i;
            assert_string_equal(p->name, q->name);
            assert_int_equal(param_count(p), param_count(q));
            assert_true(p->trainable == (in_map(&m, p) ? false : q->trainable));
        }
        same_nodes(&m.graph, &plain.graph);
        ok(model_save(&m, at("a"), "blzt5", NULL, &e)); /* a model like any other again */
        model_close(&m);
    }
    model_close(&plain);
}

/* W + s B A, to the rounding of the storage; nothing else changes. */
static void merging(void **state) {
    (void)state;
    write_base(at("base"), 1);
    for (int t = 0; t < 2; t++) {
        struct model m, plain;
        struct lora_opts o = lora_default;
        o.targets = "k,down";
        open_lora(&m, at("base"), &o, t ? DT_BF16 : DT_F32, 2);
        ok(model_open_frozen(&plain, at("base"), NULL, t ? DT_BF16 : DT_F32, NULL, &e));
        lora_set_scale(&m, -1.5);
        struct model before = m; /* its table stays where it is: unload only forgets the end */
        int64_t corrected = 0;
        ok(lora_merge(&m, machine_of("native", DT_F32).kern, &e));
        assert_int_equal(m.n_params, plain.n_params);
        for (int i = 0; i < m.n_params; i++) {
            const struct param *p = m.params + i, *q = plain.params + i, *a = NULL;
            for (int k = m.n_params; k < before.n_params && !a; k += 2)
                if (!strncmp(p->name, m.params[k].name, strlen(p->name) - strlen("weight")))
                    a = m.params + k;
            if (!a) {
                assert_memory_equal(p->data, q->data, bytes_of(p));
                continue;
            }
            const float *fa = a->data, *fb = a[1].data;
            for (int64_t r = 0; r < p->rows; r++)
                for (int64_t c = 0; c < p->cols; c++) {
                    float x, w;
                    double sum = 0, size = 0;
                    const size_t byte = (size_t)(r * p->cols + c) * (t ? 2 : 4);
                    dtype_to_f32(p->dtype, (char *)p->data + byte, &x, 1);
                    dtype_to_f32(p->dtype, (char *)q->data + byte, &w, 1);
                    for (int k = 0; k < 4; k++) {
                        const double part =
                            -3.0 * (double)fb[r * 4 + k] * (double)fa[k * p->cols + c];
                        sum += part;
                        size += fabs(part);
                    }
                    const double tolerance = t ? 0x1p-8 : 0x1p-21;
                    assert_true(fabs((double)x - (double)w - sum) <=
                                tolerance * (size + fabs((double)w)));
                    corrected += x != w;
                }
        }
        assert_true(corrected > LAYERS * (KV * HD * DIM + DIM * HIDDEN) * 9 / 10);
        model_close(&m);
        model_close(&plain);
    }
    struct model m;
    open_lora(&m, at("base"), &lora_default, DT_Q8_0, 2);
    assert_int_equal(lora_merge(&m, machine_of("native", DT_F32).kern, &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "q8_0"));
    assert_non_null(m.lora);
    model_close(&m);
}

/* Mean loss over a few tokens. */
static double loss_of(struct model *m) {
    enum { B = 2, T = 8 };
    struct machine gemm;
    struct exec x;
    uint32_t ids[B * T], next[B * T];
    float nll[B * T];
    double sum = 0;
    for (int i = 0; i < B * T; i++) {
        ids[i] = (uint32_t)(i * 7 % VOCAB);
        next[i] = (uint32_t)(i * 11 % VOCAB);
    }
    ok(machine_try(&gemm, "native", DT_F32, 1, &e));
    const struct exec_opts o = {.B = B, .T = T};
    ok(exec_open(&x, &m->graph, &gemm, &o, &e));
    const struct batch b = {.B = B, .T = T, .input = ids, .target = next, .nll = nll};
    exec_run(&x, &b);
    exec_close(&x);
    for (int i = 0; i < B * T; i++) sum += (double)nll[i];
    return sum / (B * T);
}

/* Beside the weights, merged as they are read, and merged for good compute the same function, whose
 * scale matters; at scale 0 it is the base's. */
static void one_function(void **state) {
    (void)state;
    struct model split, merged, plain;
    struct lora_opts o = lora_default;
    write_base(at("base"), 1);
    o.targets = "q,k,v,o,gate,up,down";
    open_lora(&split, at("base"), &o, DT_F32, 2);
    o.merge = true;
    open_lora(&merged, at("base"), &o, DT_F32, 2);
    ok(model_open_frozen(&plain, at("base"), NULL, DT_F32, NULL, &e));
    const double beside = loss_of(&split), inside = loss_of(&merged), base = loss_of(&plain);
    assert_true(fabs(beside - inside) < 1e-4 * fabs(inside));
    assert_true(fabs(beside - base) > 1e-2);
    lora_set_scale(&split, 0);
    assert_true(loss_of(&split) == base);
    ok(lora_merge(&merged, machine_of("native", DT_F32).kern, &e));
    assert_true(loss_of(&merged) == inside); /* bit for bit */
    lora_unload(&split);
    assert_true(loss_of(&split) == base);
    model_close(&split);
    model_close(&merged);
    model_close(&plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),        cmocka_unit_test(nodes),
        cmocka_unit_test(all_targets),  cmocka_unit_test(refused),
        cmocka_unit_test(values),       cmocka_unit_test(unload), cmocka_unit_test(merging),
        cmocka_unit_test(one_function),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
