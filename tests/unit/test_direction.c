/* What zeroth-order directions move: the words of --perturb; probes of a run where some weights stand
 * still and others go further, against weights that are written out; its updates, their norm, state
 * and replay; and that the audit's theory holds of it. */
#include "zo_fixture.h"

#include "audit.h"
#include "moves.h"

/* ---- words ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum role role;
    bool frozen;
} table[] = {{"model.embed_tokens.weight", ROLE_embed, false},
             {"model.layers.0.mlp.up_proj.weight", ROLE_matrix, false},
             {"model.layers.1.mlp.up_proj.weight", ROLE_matrix, false},
             {"model.layers.1.self_attn.q_proj.weight", ROLE_matrix, true},
             {"model.layers.1.input_layernorm.weight", ROLE_norm, false},
             {"model.norm.weight", ROLE_norm, false}};
enum { N = sizeof table / sizeof *table };

static void table_fill(struct param *p) {
    for (int i = 0; i < N; i++) {
        p[i] = (struct param){
            .role = table[i].role, .rows = 1, .cols = 1, .move = 1, .trainable = !table[i].frozen};
        snprintf(p[i].name, sizeof p[i].name, "%s", table[i].name);
    }
}

/* How far each of the table moves; 0: it is not trained. */
static void test_words(void **state) {
    (void)state;
    static const struct {
        const char *words;
        float move[N];
    } cases[] = {{"matrix", {0, 1, 1, 0, 0, 0}},
                 {"!embed", {0, 1, 1, 0, 1, 1}},
                 {"norm,embed", {1, 0, 0, 0, 1, 1}},
                 {"*.layers.1.*", {0, 0, 1, 0, 1, 0}},
                 {"*.layers.[0].*", {0, 1, 0, 0, 0, 0}},
                 {"matrix,!*.layers.0.*", {0, 0, 1, 0, 0, 0}},
                 {"!matrix,*.layers.0.*", {0, 1, 0, 0, 0, 0}},
                 {"norm=0.25", {1, 1, 1, 0, 0.25f, 0.25f}},
                 {"norm=0.25,!embed", {0, 1, 1, 0, 0.25f, 0.25f}},
                 {"matrix=2,norm", {0, 2, 2, 0, 1, 1}},
                 {"*=3,model.norm.weight=1e6", {3, 3, 3, 0, 3, 1e6f}},
                 {"model.norm.weigh?", {0, 0, 0, 0, 0, 1}}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct param p[N];
        table_fill(p);
        ok(moves_check(cases[c].words, &e));
        ok(moves_apply(cases[c].words, p, N, &e));
        for (int i = 0; i < N; i++) {
            const float found = p[i].trainable ? p[i].move : 0;
            if (found != cases[c].move[i])
                fail_msg("%s: %s moves %g, expected %g", cases[c].words, p[i].name, (double)found,
                         (double)cases[c].move[i]);
        }
    }
}

static void test_bad_words(void **state) {
    (void)state;
    static const struct {
        const char *words, *says;
        bool form; /* wrong whatever the model is */
    } cases[] = {{"", "no words", true},
                 {"matrix,", "behind the last comma", true},
                 {",matrix", "names nothing", true},
                 {"!", "names nothing", true},
                 {"=2", "names nothing", true},
                 {"norm=", "above 0", true},
                 {"norm=0", "above 0", true},
                 {"norm=-1", "above 0", true},
                 {"norm=nan", "above 0", true},
                 {"norm=inf", "above 0", true},
                 {"norm=2x", "above 0", true},
                 {"norm=1e-60", "above 0", true},
                 {"!norm=2", "no ! before", true},
                 {"lora", "\"lora\" names no weight", false},
                 {"q_proj", "\"q_proj\" names no weight", false},
                 {"*q_proj*", "are not trained", false},
                 {"matrix,!bias", "\"bias\" names no weight", false},
                 {"*,!*", "no weight is left", false}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct param p[N];
        table_fill(p);
        if (cases[c].form)
            assert_int_equal(moves_check(cases[c].words, &e), ERR_USAGE);
        else
            ok(moves_check(cases[c].words, &e));
        if (!cases[c].form || *cases[c].words)
            assert_int_equal(moves_apply(cases[c].words, p, N, &e), ERR_USAGE);
        if (!strstr(e.msg, cases[c].says) || !strstr(e.msg, "--perturb"))
            fail_msg("%s: %s", cases[c].words, e.msg);
    }
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* Of the variant and setup: what is said, and a part of names that then stands still. */
static const struct {
    int variant, setup;
    const char *words, *still;
} runs[] = {{0, 0, "matrix,norm=0.5", "embed_tokens"},
            {1, 1, "!*.mlp.*,norm=4", "mlp"},
            {2, 0, "!matrix,bias=0.125", "proj.weight"},
            {4, 4, "*lora_B*,norm=2", "lora_A"},
            {3, 6, "!*.layers.1.*", "layers.1"}};
enum { N_RUNS = sizeof runs / sizeof *runs };

static struct model open_run(int i) {
    struct model m = open_setup(zo_variants + runs[i].variant, setups + runs[i].setup);
    ok(moves_apply(runs[i].words, m.params, m.n_params, &e));
    return m;
}

/* Losses of two probes are those of the same weights written out, bit for bit. */
static void test_probes(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int i = 0; i < N_RUNS; i++) {
        struct model m = open_run(i);
        struct direction_space space = space_open(&m);
        struct text t = text_of(&m, 2, 7);
        float nll[2][14], one[14];
        struct tokens both = tokens_of(&m, 28, 3), single = t.t;
        const struct probe p[2] = {{direction_make(&space, 5), 0.01f},
                                   {direction_make(&space, 5), -0.02f}};
        struct exec x;
        for (int v = 0; v < 2; v++) {
            memcpy(both.input + 14 * v, t.t.input, 14 * sizeof *t.t.input);
            memcpy(both.target + 14 * v, t.t.target, 14 * sizeof *t.t.target);
        }
        ok(exec_open(&x, &m.graph, &g, &(struct exec_opts){.B = 4, .T = 7, .probes = 2}, &e));
        exec_run(&x, &(struct batch){.B = 4,
                                     .T = 7,
                                     .probes = p,
                                     .n_probes = 2,
                                     .input = both.input,
                                     .target = both.target,
                                     .nll = nll[0]});
        exec_close(&x);
        for (int v = 0; v < 2; v++) {
            const struct setup *s = setups + runs[i].setup;
            struct model w = written_out(zo_variants + runs[i].variant, s, &m, p + v);
            for (int k = 0; k < m.n_params; k++) {
                float *was = values_of(m.params + k), *is = values_of(w.params + k);
                const bool moved = memcmp(was, is, (size_t)param_count(m.params + k) * 4) != 0;
                assert_int_equal(moved, m.params[k].trainable);
                if (strstr(m.params[k].name, runs[i].still)) assert_false(moved);
                free(was);
                free(is);
            }
            single.nll = one;
            run(&w, &g, &(struct exec_opts){.B = 2, .T = 7}, &single);
            if (memcmp(nll[v], one, sizeof one)) fail_msg("%s: probe %d", runs[i].words, v);
            model_close(&w);
        }
        assert_memory_not_equal(nll[0], nll[1], sizeof one);
        tokens_free(&both);
        space_close(&space);
        text_free(&t);
        model_close(&m);
    }
}

/* Updates: what stands still keeps its bytes, decay or not, and has no state; the rest goes scale
 * times as far along its signs; records make the same again. */
static void test_updates(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int i = 0; i < 2 * N_RUNS; i++) {
        const int k = i / 2;
        struct model m = open_run(k), again = open_run(k), before = open_run(k);
        struct text t = text_of(&m, 4, 6);
        struct engine_opts o =
            mezo_opts(&g, i % 2 ? "adamw" : "sgd", "spsa", t.B = 2, t.T);
        struct engine a, b;
        struct engine_item item;
        o.directions = 2;
        for (int r = 0; r < ROLE_COUNT; r++) o.hyper.of[r].decay = 0.1;
        ok(engine_open(&a, engine_find("mezo"), &m, &o, &e));
        ok(engine_open(&b, engine_find("mezo"), &again, &o, &e));
        const struct engine_step s = run_steps(&a, &t, 0, 1, 2, 1e-3);
        struct engine_step r = {.step = s.step,
                                .accum = s.accum,
                                .lr = s.lr,
                                .directions = s.directions,
                                .seed = s.seed,
                                .coef = s.coef};
        ok(mezo_replay(&b, &r, &e));
        assert_true(r.grad_norm == s.grad_norm);
        assert_same_models(runs[k].words, &m, &again);
        double size = 0, sum = 0;
        for (int d = 0; d < s.directions; d++) sum += (double)s.coef[d] * (double)s.coef[d];
        for (int p = 0; p < m.n_params; p++) {
            const struct param *w = m.params + p;
            const bool same = !memcmp(w->data, before.params[p].data, bytes_of(w));
            assert_int_equal(same, !w->trainable);
            if (w->trainable) size += (double)(w->move * w->move) * (double)param_count(w);
        }
        assert_true(fabs(s.grad_norm - sqrt(size * sum)) <= 1e-12 * s.grad_norm);
        for (int n = 0; engine_item(&a, n, &item); n++)
            if (strstr(item.name, runs[k].still)) assert_true(item.n == 0);
        engine_close(&a);
        engine_close(&b);
        text_free(&t);
        model_close(&m);
        model_close(&again);
        model_close(&before);
    }
}

static void test_audit(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int i = 0; i < N_RUNS; i++) {
        if (setups[runs[i].setup].storage != DT_F32) continue;
        struct model m = open_run(i);
        struct tokens t = tokens_of(&m, 16, 3);
        const struct audit_opts o = {.batch = 2,
                                     .seq = 8,
                                     .input = t.input,
                                     .target = t.target,
                                     .machine = &g,
                                     .machine_grad = &g,
                                     .seeds = 40,
                                     .seed = 3,
                                     .eps = 1e-3};
        struct audit a;
        int64_t moving = 0;
        ok(audit_open(&a, &m, &o, &e));
        ok(audit_gradient(&a, &e));
        ok(audit_run(&a, &e));
        for (int k = 0; k < a.n_groups; k++)
            if (audit_differs(a.group[k].verdict))
                fail_msg("%s: %s: %s", runs[i].words, a.group[k].name,
                         audit_verdict_name(a.group[k].verdict));
        for (int p = 0; p < m.n_params; p++)
            if (m.params[p].trainable) moving += param_count(m.params + p);
        assert_int_equal(a.group[a.n_groups - 1].n, moving);
        audit_close(&a);
        tokens_free(&t);
        model_close(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),   cmocka_unit_test(test_bad_words),
        cmocka_unit_test(test_probes),  cmocka_unit_test(test_updates),
        cmocka_unit_test(test_audit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
