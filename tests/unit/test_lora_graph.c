/* LoRA in the network: gradients of A and B against finite differences of a double reference with
 * the weights W + s B A; beside and merged agree after updates (U1); what is frozen stays so,
 * without memory of its own (U12); every storage of the base gives the gradient of the weights that
 * it stands for; and what training saves is what it had (U2). */
#include "zo_fixture.h"

#include "adapter.h"

#include <unistd.h>

static const struct lora_opts lora_gqa = {.rank = 3,
                                          .alpha = 9,
                                          .rslora = true,
                                          .norms = true,
                                          .targets = "all",
                                          .init = "peft"};

static const struct setup split_all = {"split", &lora_gqa, DT_F32, false};

/* The same settings, merged. */
static struct lora_opts merged_of(const struct lora_opts *o) {
    struct lora_opts m = *o;
    m.merge = true;
    return m;
}

static struct engine_opts options(const struct machine *g, const char *optimizer, int64_t B,
                                  int64_t T) {
    struct engine_opts o = mezo_opts(g, optimizer, "spsa", B, T);
    o.directions = 2;
    return o;
}

/* ---- against the reference ------------------------------------------------------------------- */

/* The linear output that LoRA parameter a (an A) corrects. */
static const struct param *target_of(const struct model *m, int a, float *scale) {
    for (int k = 0; k < m->graph.n_nodes; k++)
        for (int i = 0; i < NODE_MAX_OUT; i++)
            if (m->graph.nodes[k].lora[i] == a) {
                *scale = m->graph.nodes[k].lora_scale[i];
                return m->params + m->graph.nodes[k].param[i];
            }
    fail_msg("nothing uses %s", m->params[a].name);
    return NULL;
}

/* Puts W + s (B + h at b) (A + h at a) into the reference; b or a negative: nowhere. */
static void put_merged(struct ref_model *r, const struct model *m, int param, int64_t a, int64_t b,
                       double h) {
    float scale;
    const struct param *w = target_of(m, param, &scale), *pa = m->params + param, *pb = pa + 1;
    struct ref_param *to = ref_model_find(r, w->name);
    const float *A = pa->data, *B = pb->data, *W = w->data;
    for (int64_t o = 0; o < w->rows; o++)
        for (int64_t i = 0; i < w->cols; i++) {
            double sum = 0;
            for (int64_t k = 0; k < pa->rows; k++) {
                const double x = (double)A[k * w->cols + i] + (k * w->cols + i == a ? h : 0);
                const double y = (double)B[o * pa->rows + k] + (o * pa->rows + k == b ? h : 0);
                sum += x * y;
            }
            to->data[o * w->cols + i] = (double)W[o * w->cols + i] + (double)scale * sum;
        }
}

static struct ref_model reference(const struct model *m) {
    struct model base = *m;
    base.n_params = m->lora->base_params;
    struct ref_model r = ref_of(&base);
    for (int i = base.n_params; i < m->n_params; i += 2) put_merged(&r, m, i, -1, -1, 0);
    return r;
}

static double loss_of(struct ref_model *r, const struct text *t) {
    return ref_loss(r, (const int32_t *)t->t.input, (const int32_t *)t->t.target, (int)t->B,
                    (int)t->T);
}

static double largest(const struct param *p) {
    double max = 0;
    for (int64_t i = 0; i < param_count(p); i++) max = fmax(max, fabs((double)p->grad[i]));
    return max;
}

/* Three elements of every A and B. */
static void check_factors(const char *name, const struct model *m, const struct text *t) {
    enum { PER_TENSOR = 3 };
    const double h = 1e-5;
    struct ref_model r = reference(m);
    struct rng g = rng_make(12, RNG_TEST, 0, 0, 0);
    double any = 0;
    for (int i = m->lora->base_params; i < m->n_params; i++)
        any = fmax(any, largest(m->params + i));
    assert_true(any > 1e-4);
    for (int i = m->lora->base_params; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        const bool is_b = (i - m->lora->base_params) % 2;
        const int a = is_b ? i - 1 : i;
        for (int k = 0; k < PER_TENSOR; k++) {
            const int64_t at = (int64_t)rng_below(&g, (uint64_t)param_count(p));
            double side[2];
            for (int s = 0; s < 2; s++) {
                put_merged(&r, m, a, is_b ? -1 : at, is_b ? at : -1, s ? -h : h);
                side[s] = loss_of(&r, t);
            }
            put_merged(&r, m, a, -1, -1, 0);
            const double want = (side[0] - side[1]) / (2 * h);
            const double tol = 3e-5 * fmax(largest(p), any / 100);
            if (!(fabs((double)p->grad[at] - want) <= tol))
                fail_msg("%s: gradient of %s[%lld] is %.9g, finite difference %.9g", name, p->name,
                         (long long)at, (double)p->grad[at], want);
        }
    }
    ref_model_release(&r);
}

/* Gradients at the weights as they are; the engine's buffers, borrowed. */
static double take_gradients(struct engine *g, struct text *t) {
    return run_steps(g, t, 0, 1, 1, 0).loss;
}

/* Every variant, beside and merged, at first and after updates that move A, B and norms. */
static void test_gradients(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int i = 0; i < N_ZO_VARIANTS + N_VARIANTS; i++)
        for (int merge = 0; merge < 2; merge++) {
            const struct variant *v =
                i < N_VARIANTS ? variants + i : zo_variants + (i - N_VARIANTS);
            if (v->sizes.dim > 100) continue; /* the reference is slow */
            struct lora_opts lora = lora_gqa;
            lora.merge = merge;
            if (lora.rank > v->sizes.kv_heads * v->sizes.head_dim) lora.rank = 2;
            const struct setup s = {"", &lora, DT_F32, false};
            struct model m = open_setup(v, &s);
            struct text t = text_of(&m, 2, 5);
            struct engine engine;
            const struct engine_opts o = options(&g, "adamw", t.B, t.T);
            ok(engine_open(&engine, engine_find("backprop"), &m, &o, &e));
            for (int round = 0; round < 2; round++) {
                struct ref_model r = reference(&m);
                const double want = loss_of(&r, &t), found = take_gradients(&engine, &t);
                if (!(fabs(found - want) < 1e-5 * want))
                    fail_msg("%s: loss %.9g, reference %.9g", v->name, found, want);
                ref_model_release(&r);
                check_factors(v->name, &m, &t);
                if (!round) run_steps(&engine, &t, 1, 3, 1, 1e-2);
            }
            engine_close(&engine);
            text_free(&t);
            model_close(&m);
        }
}

/* ---- beside and merged ----------------------------------------------------------------------- */

static void copy_trainable(struct model *to, const struct model *from) {
    for (int i = 0; i < to->n_params; i++)
        if (from->params[i].trainable)
            memcpy(to->params[i].data, from->params[i].data, bytes_of(from->params + i));
}

/* Logits of the last position of each sequence, and all losses. */
static void outputs(struct model *m, const struct machine *g, const struct text *t, float *logits,
                    float *nll) {
    struct exec x;
    ok(exec_open(&x, &m->graph, g, &(struct exec_opts){.B = t->B, .T = t->T}, &e));
    exec_run(&x, &(struct batch){.B = t->B,
                                 .T = t->T,
                                 .input = t->t.input,
                                 .target = t->t.target,
                                 .nll = nll,
                                 .logits = logits});
    exec_close(&x);
}

static double apart(const float *a, const float *b, int64_t n) {
    double most = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)b[i]));
    }
    return most / size;
}

/* Relative differences of logits and losses of two models. */
static double models_apart(struct model *a, struct model *b, const struct machine *g,
                           const struct text *t) {
    const int64_t V = a->config.vocab, n = t->B * t->T;
    float *out = malloc((size_t)(2 * t->B * V + 2 * n) * sizeof *out);
    float *la = out, *lb = la + t->B * V, *na = lb + t->B * V, *nb = na + n;
    outputs(a, g, t, la, na);
    outputs(b, g, t, lb, nb);
    const double d = fmax(apart(la, lb, t->B * V), apart(na, nb, n));
    free(out);
    return d;
}

/* U1: after k updates by either engine the values mean the same beside the weights, merged as they
 * are read, and merged for good; and so they do when the merged model is what was trained. */
static void check_modes(const struct variant *v, const char *kind, bool train_merged) {
    const struct machine g = machine_of("native", DT_F32);
    const struct lora_opts merged = merged_of(&lora_gqa);
    const struct setup other = {"merged", &merged, DT_F32, false};
    struct model split = open_setup(v, &split_all), inside = open_setup(v, &other);
    struct model base = open_setup(v, &split_all);
    struct model *trained = train_merged ? &inside : &split;
    struct text t = text_of(&split, 3, 7);
    struct engine engine;
    const struct engine_opts o = options(&g, "adamw", t.B, t.T);
    ok(engine_open(&engine, engine_find(kind), trained, &o, &e));
    run_steps(&engine, &t, 0, 12, 1, 3e-3);
    engine_close(&engine);
    copy_trainable(train_merged ? &split : &inside, trained);
    const double d = models_apart(&split, &inside, &g, &t);
    if (!(d < 3e-5)) fail_msg("%s, %s: split and merged differ by %g", v->name, kind, d);
    /* counting the correction twice, or not at all, would be seen */
    const double moved = models_apart(&split, &base, &g, &t);
    lora_set_scale(&base, 0);
    const double correction = models_apart(&split, &base, &g, &t);
    if (!(moved > 3e-3 && correction > 3e-2))
        fail_msg("%s, %s: only %g, %g", v->name, kind, moved, correction);
    ok(lora_merge(&inside, g.kern, &e));
    assert_true(models_apart(&split, &inside, &g, &t) < 3e-5);
    text_free(&t);
    model_close(&split);
    model_close(&inside);
    model_close(&base);
}

static void test_modes(void **state) {
    (void)state;
    for (int i = 0; i < N_ZO_VARIANTS; i++)
        for (int k = 0; k < 4; k++)
            check_modes(zo_variants + i, k % 2 ? "mezo" : "backprop", k / 2);
}

/* Trained apart with the same data, they stay together. */
static void test_training_together(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    const struct lora_opts merged = merged_of(&lora_gqa);
    const struct setup other = {"merged", &merged, DT_F32, false};
    for (int k = 0; k < 2; k++) {
        const struct setup *s[2] = {&split_all, &other};
        struct model m[2];
        struct text t = {{0}, 0, 0};
        for (int i = 0; i < 2; i++) {
            struct engine engine;
            m[i] = open_setup(zo_variants + 4, s[i]);
            if (!i) t = text_of(m, 3, 7);
            const struct engine_opts o = options(&g, "sgd", t.B, t.T);
            ok(engine_open(&engine, engine_find(k ? "mezo" : "backprop"), m + i, &o, &e));
            run_steps(&engine, &t, 0, 10, 1, k ? 1e-4 : 1e-2);
            engine_close(&engine);
        }
        assert_true(models_apart(m, m + 1, &g, &t) < 1e-3);
        text_free(&t);
        model_close(m);
        model_close(m + 1);
    }
}

/* ---- what is frozen -------------------------------------------------------------------------- */

/* U12: no gradient, no optimizer state, no change; the memory of training is the adapters'. */
static void test_frozen(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int k = 3; k < N_SETUPS; k++)
        for (int mezo = 0; mezo < 2; mezo++) {
            struct model m = open_setup(zo_variants + 4, setups + k);
            char *before = all_bytes(&m), *at = before;
            struct text t = text_of(&m, 2, 6);
            struct engine engine;
            struct engine_memory mem;
            const struct engine_opts o = options(&g, "adamw", t.B, t.T);
            const struct engine_kind *kind = engine_find(mezo ? "mezo" : "backprop");
            size_t grads = 0;
            ok(engine_plan(kind, &m, &o, &mem, &e));
            ok(engine_open(&engine, kind, &m, &o, &e));
            run_steps(&engine, &t, 0, 5, 1, 1e-3);
            for (int i = 0; i < m.n_params; at += bytes_of(m.params + i++)) {
                const struct param *p = m.params + i;
                const bool train = p->trainable;
                assert_true(train == (p->role == ROLE_lora ||
                                      (p->role == ROLE_norm && setups[k].lora->norms)));
                assert_true((p->grad != NULL) == (train && !mezo));
                assert_true((engine.opt.state[i][0] != NULL) == train);
                assert_true((memcmp(at, p->data, bytes_of(p)) != 0) == train);
                if (train) grads += arena_need((size_t)param_count(p), sizeof(float));
            }
            assert_int_equal(mem.gradients, mezo ? 0 : grads);
            assert_int_equal(mem.optimizer, 2 * grads);
            engine_close(&engine);
            free(before);
            text_free(&t);
            model_close(&m);
        }
}

/* A base in bf16 or q8_0 gives the losses and gradients of an f32 base with its values; and keeping
 * less of the activations changes no bit. */
static void test_storages(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int i = 0; i < N_ZO_VARIANTS; i++)
        for (int k = 3; k < N_SETUPS; k++) {
            struct model m[3];
            float *grad[3];
            double loss[3];
            m[0] = open_setup(zo_variants + i, setups + k);
            m[1] = written_out(zo_variants + i, setups + k, m, NULL);
            m[2] = open_setup(zo_variants + i, setups + k);
            struct text t = text_of(m, 2, 7);
            int64_t n = 0;
            for (int r = 0; r < 3; r++) {
                struct engine engine;
                struct engine_opts o = options(&g, "adamw", t.B, t.T);
                o.recompute = r == 2;
                ok(engine_open(&engine, engine_find("backprop"), m + r, &o, &e));
                loss[r] = take_gradients(&engine, &t);
                grad[r] = malloc((size_t)model_param_count(m + r) * sizeof(float));
                n = 0;
                for (int p = 0; p < m[r].n_params; p++) {
                    if (!m[r].params[p].grad) continue;
                    memcpy(grad[r] + n, m[r].params[p].grad,
                           (size_t)param_count(m[r].params + p) * sizeof(float));
                    n += param_count(m[r].params + p);
                }
                engine_close(&engine);
            }
            assert_true(loss[0] == loss[1] && loss[0] == loss[2]);
            if (memcmp(grad[0], grad[1], (size_t)n * sizeof(float)))
                fail_msg("%s, %s: another gradient than of written-out weights, by %g",
                         zo_variants[i].name, setups[k].name, apart(grad[0], grad[1], n));
            if (memcmp(grad[0], grad[2], (size_t)n * sizeof(float)))
                fail_msg("%s, %s: another gradient with recomputation", zo_variants[i].name,
                         setups[k].name);
            for (int r = 0; r < 3; r++) {
                free(grad[r]);
                model_close(m + r);
            }
            text_free(&t);
        }
}

/* ---- files ----------------------------------------------------------------------------------- */

static char dir[] = "/tmp/duet-test-XXXXXX";

static const char *at(const char *name) {
    static char path[2][64];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static bool in_map(const struct model *m, const struct param *p) {
    const uint8_t *data = p->data;
    for (size_t i = 0; i < m->n_maps; i++)
        if (data >= m->maps[i].data && data < m->maps[i].data + m->maps[i].size) return true;
    return false;
}

/* A base with its values in the storage, as a file. */
static void write_base(const struct variant *v, enum dtype t) {
    const struct setup full = {"base", NULL, t == DT_Q8_0 ? DT_BF16 : t, false};
    struct model m = open_setup(v, &full);
    ok(model_save(&m, at("base"), "blzt5", NULL, &e));
    model_close(&m);
}

/* U2: what training had is what the adapter's file gives back: the loss to the last bit, adapters
 * and norms; the base is not copied (U12). */
static void check_reload(const struct variant *v, const struct setup *s, const char *kind) {
    const struct machine g = machine_of("native", DT_F32);
    struct model m = create_model(v), again;
    write_base(v, s->storage);
    ok(lora_attach(&m, s->lora, &e));
    ok(model_set_storage(&m, s->storage, &e));
    ok(model_reserve(&m, &e));
    ok(model_load(&m, at("base"), &e));
    lora_init(&m, 5);
    struct text t = text_of(&m, 2, 6);
    struct engine engine;
    const struct engine_opts o = options(&g, "adamw", t.B, t.T);
    ok(engine_open(&engine, engine_find("backprop"), &m, &o, &e)); /* moves A and B off zero */
    run_steps(&engine, &t, 0, 4, 1, 1e-2);
    engine_close(&engine);
    ok(engine_open(&engine, engine_find(kind), &m, &o, &e));
    run_steps(&engine, &t, 0, 4, 1, 1e-2);
    engine_close(&engine);
    for (int i = 0; i < m.n_params; i++)
        if (s->storage != DT_Q8_0) assert_true(in_map(&m, m.params + i) == !m.params[i].trainable);
    ok(adapter_save(&m, at("adapter"), "blzt5", NULL, &e));
    const struct adapter_use use = {.weights = s->storage, .scale = 1, .merge = s->lora->merge};
    ok(adapter_open(&again, at("base"), at("adapter"), &use, &e));
    assert_same_models(s->name, &m, &again);
    assert_true(models_apart(&m, &again, &g, &t) == 0);
    struct model_file mf;
    ok(model_file_open(&mf, at("adapter"), true, &e));
    size_t tensors = 0;
    for (int i = 0; i < m.n_params; i++) {
        assert_true((model_file_find(&mf, m.params[i].name) != NULL) == m.params[i].trainable);
        tensors += m.params[i].trainable;
    }
    assert_int_equal(mf.n_tensors, tensors);
    model_file_close(&mf);
    text_free(&t);
    model_close(&m);
    model_close(&again);
    remove(at("base"));
    remove(at("adapter"));
}

static void test_reload(void **state) {
    (void)state;
    assert_non_null(mkdtemp(dir));
    for (int k = 3; k < N_SETUPS; k++) {
        check_reload(zo_variants + 4, setups + k, "backprop");
        check_reload(zo_variants, setups + k, "mezo");
    }
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),         cmocka_unit_test(test_modes),
        cmocka_unit_test(test_training_together), cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_storages),          cmocka_unit_test(test_reload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
