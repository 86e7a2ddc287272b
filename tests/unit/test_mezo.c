/* MeZO: probes against the same network with the perturbed weights written out; that probing writes
 * nothing; a step against a step by hand; accumulation, threads, replay, descent; and the first
 * loss of a model that backpropagation has saved. */
#include "zo_fixture.h"

#include "kern.h"

#include <unistd.h>

enum { PROBES = 5 };

static void make_probes(const struct direction_space *s, struct probe *p, float scale) {
    static const float eps[PROBES] = {1, -1, 0, 0.3f, -20};
    for (int v = 0; v < PROBES; v++)
        p[v] = (struct probe){direction_make(s, 90 + (uint64_t)(v / 2), -1), scale * eps[v]};
}

/* Losses of `rows` sequences of t a probe; every probe sees the same ones. */
static void run_probes(struct model *m, const struct machine *g, const struct probe *p, int n,
                       const struct text *t, float *nll) {
    const int64_t rows = t->B * t->T;
    struct exec x;
    uint32_t *in = malloc((size_t)(n * rows) * 4), *target = malloc((size_t)(n * rows) * 4);
    for (int v = 0; v < n; v++) {
        memcpy(in + v * rows, t->t.input, (size_t)rows * 4);
        memcpy(target + v * rows, t->t.target, (size_t)rows * 4);
    }
    ok(exec_open(&x, &m->graph, g, &(struct exec_opts){.B = n * t->B, .T = t->T, .probes = n}, &e));
    memset(x.mem.base, 0xff, x.mem.size);
    exec_run(&x, &(struct batch){.B = n * t->B,
                                 .T = t->T,
                                 .probes = p,
                                 .n_probes = n,
                                 .input = in,
                                 .target = target,
                                 .nll = nll});
    exec_close(&x);
    free(in);
    free(target);
}

static void run_plain(struct model *m, const struct machine *g, const struct text *t, float *nll) {
    struct tokens copy = t->t;
    copy.nll = nll;
    run(m, g, &(struct exec_opts){.B = t->B, .T = t->T}, &copy);
}

/* Largest difference relative to the largest value; 0 only for equal bits. */
static double apart(const float *a, const float *b, int64_t n) {
    double most = 0, size = 0;
    if (!memcmp(a, b, (size_t)n * sizeof *a)) return 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)b[i]));
    }
    return isnan(most) || most == 0 ? 1 : most / size;
}

/* tol 0: bit for bit */
static void check_probes(const struct variant *v, const struct setup *s, const struct machine *g,
                         int64_t B, int64_t T, int n, double tol) {
    struct model m = open_setup(v, s);
    struct text t = text_of(&m, B, T);
    struct probe p[PROBES];
    const int64_t rows = B * T;
    float *all = malloc((size_t)(n * rows) * sizeof *all),
          *one = malloc((size_t)rows * sizeof *one);
    struct direction_space space = space_open(&m);
    make_probes(&space, p, 3e-3f);
    run_probes(&m, g, p, n, &t, all);
    for (int k = 0; k < n; k++) {
        struct model w = written_out(v, s, &m, p + k);
        run_plain(&w, g, &t, one);
        const double d = apart(all + k * rows, one, rows);
        if (!(d <= tol))
            fail_msg("%s, %s, %s %s, %lld x %lld: probe %d differs by %g from written-out weights",
                     v->name, s->name, g->gemm->backend->name, dtype_row(g->gemm->compute)->name,
                     (long long)B, (long long)T, k, d);
        run_probes(&m, g, p + k, 1, &t, one);
        assert_true(apart(all + k * rows, one, rows) <= tol);
        model_close(&w);
    }
    /* The probes do differ from each other, and the unperturbed one is the plain run. */
    assert_true(apart(all, all + rows, rows) > 1e-5);
    run_plain(&m, g, &t, one);
    if (n > 2) assert_true(apart(all + 2 * rows, one, rows) <= tol);
    free(all);
    free(one);
    space_close(&space);
    text_free(&t);
    model_close(&m);
}

static void test_probes(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int i = 0; i < N_ZO_VARIANTS; i++)
        for (int k = 0; k < N_SETUPS; k++) {
            check_probes(zo_variants + i, setups + k, &g, 2, 7, PROBES, 0);
            /* Without probes so few rows are dot products, which add in another order. */
            check_probes(zo_variants + i, setups + k, &g, 1, 1, 3, 1e-4);
        }
}

/* The other backends; bf16 rounds the perturbed weights, not the stored ones. */
static void test_backends(void **state) {
    (void)state;
    for (size_t i = 0; i < 2 * n_gemm_backends; i++) {
        struct machine g;
        const bool bf16 = i >= n_gemm_backends;
        if (machine_try(&g, gemm_backends[i % n_gemm_backends]->name, bf16 ? DT_BF16 : DT_F32, 1,
                        &e))
            continue;
        for (int k = 1; k < N_SETUPS; k += 3)
            check_probes(zo_variants + 4, setups + k, &g, 2, 7, PROBES, bf16 ? 1e-3 : 1e-5);
    }
}

/* U17: probing thousands of times leaves every stored byte as it is. */
static void test_no_drift(void **state) {
    (void)state;
    enum { RUNS = 3000 };
    const struct machine g = machine_of("native", DT_F32);
    for (int k = 0; k < N_SETUPS; k++) {
        struct model m = open_setup(zo_variants + 3, setups + k);
        struct exec x;
        struct tokens t = tokens_of(&m, 8, 1);
        char *before = all_bytes(&m);
        struct direction_space space = space_open(&m);
        ok(exec_open(&x, &m.graph, &g, &(struct exec_opts){.B = 2, .T = 4, .probes = 2}, &e));
        for (int i = 0; i < (k < 2 ? RUNS : RUNS / 10); i++) {
            const struct direction z = direction_make(&space, (uint64_t)i, -1);
            const struct probe p[2] = {{z, 1e-3f}, {z, -1e-3f}};
            exec_run(&x, &(struct batch){.B = 2,
                                         .T = 4,
                                         .probes = p,
                                         .n_probes = 2,
                                         .input = t.input,
                                         .target = t.target,
                                         .nll = t.nll});
        }
        assert_bytes(setups[k].name, &m, before);
        exec_close(&x);
        space_close(&space);
        tokens_free(&t);
        free(before);
        model_close(&m);
    }
}

static double mean_loss(struct model *m, const struct machine *g, const struct text *t,
                        int64_t micro) {
    struct text part = *t;
    float *nll = malloc((size_t)(t->B * t->T) * sizeof *nll);
    part.t.input += micro * t->B * t->T;
    part.t.target += micro * t->B * t->T;
    part.t.n = t->B * t->T;
    run_plain(m, g, &part, nll);
    const double loss = mean(nll, part.t.n);
    free(nll);
    return loss;
}

/* Descent along the directions, element by element. */
static void check_update(const char *name, const struct model *m, const struct model *before,
                         const struct engine_step *s, const struct direction_space *space) {
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        float *x = values_of(p), *was = values_of(before->params + i);
        float *z = calloc((size_t)param_count(p), sizeof *z);
        for (int d = 0; d < s->directions; d++) {
            const struct direction along = direction_make(space, s->seed[d], -1);
            direction_add(&along, z, z, s->coef[d], i, 0, 0, param_count(p));
        }
        for (int64_t k = 0; k < param_count(p); k++) {
            const double want = (double)was[k] - s->lr * (double)z[k];
            const double tol = !p->trainable ? 0 : p->dtype == DT_F32 ? 0x1p-23 : 0x1p-7;
            if (!(fabs((double)x[k] - want) <= tol * (fabs(want) + 2 * fabs((double)was[k]))))
                fail_msg("%s: %s[%lld] is %.9g, by hand %.9g", name, p->name, (long long)k,
                         (double)x[k], want);
        }
        free(x);
        free(was);
        free(z);
    }
}

/* One step, every loss from weights that are written out and the update by hand. */
static void check_step(const struct variant *v, const struct setup *s, const struct machine *g) {
    enum { K = 2, ACCUM = 2 };
    struct model m = open_setup(v, s), before = open_setup(v, s);
    struct text t = text_of(&m, 2 * ACCUM, 6);
    struct engine_opts o = mezo_opts(g, "sgd", "spsa", t.B = 2, t.T);
    struct engine engine;
    o.directions = K;
    struct direction_space space = space_open(&before);
    ok(engine_open(&engine, engine_find("mezo"), &m, &o, &e));
    const struct engine_step step = run_steps(&engine, &t, 5, 1, ACCUM, 1e-3);
    assert_int_equal(step.directions, K);
    double sum = 0;
    for (int d = 0; d < K; d++) {
        double loss[2] = {0};
        assert_true(step.seed[d] == zo_seed(o.seed, 5, d));
        for (int side = 0; side < 2; side++) {
            const struct probe p = {direction_make(&space, step.seed[d], -1),
                                    side ? -1e-3f : 1e-3f};
            struct model w = written_out(v, s, &before, &p);
            for (int micro = 0; micro < ACCUM; micro++)
                loss[side] += mean_loss(&w, g, &t, micro) / ACCUM;
            model_close(&w);
        }
        sum += (loss[0] + loss[1]) / (2 * K);
        const double c = (loss[0] - loss[1]) / 2e-3 / K;
        if (!(fabs((double)step.coef[d] - c) <= 1e-6 * fabs(c)))
            fail_msg("%s, %s: coefficient %.9g, by hand %.9g", v->name, s->name,
                     (double)step.coef[d], c);
    }
    assert_true(fabs(step.loss - sum) <= 1e-12 * sum);
    check_update(s->name, &m, &before, &step, &space);
    space_close(&space);
    engine_close(&engine);
    text_free(&t);
    model_close(&m);
    model_close(&before);
}

static void test_step(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int k = 0; k < N_SETUPS; k++)
        check_step(zo_variants + 1 + (k + 3) % 4, setups + k, &g);
}

/* Two micro-batches of 2 give the coefficients of one batch of 4. */
static void test_accumulation(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    static const char *const names[] = {"spsa", "fzoo", "grzo"};
    for (int k = 0; k < 3; k++) {
        float coef[2][8];
        double loss[2];
        int64_t n[2];
        for (int parts = 0; parts < 2; parts++) {
            struct model m = open_setup(zo_variants + 4, setups);
            struct text t = text_of(&m, 4, 6);
            t.B = parts ? 2 : 4;
            struct engine_opts o = mezo_opts(&g, "sgd", names[k], t.B, t.T);
            struct engine engine;
            if (k < 2) o.directions = 3;
            ok(engine_open(&engine, engine_find("mezo"), &m, &o, &e));
            const struct engine_step s = run_steps(&engine, &t, 0, 1, parts ? 2 : 1, 0);
            n[parts] = s.directions;
            loss[parts] = s.loss;
            memcpy(coef[parts], s.coef, (size_t)s.directions * sizeof *s.coef);
            engine_close(&engine);
            text_free(&t);
            model_close(&m);
        }
        assert_int_equal(n[0], n[1]);
        assert_int_equal(n[0], k < 2 ? 3 : 4);
        assert_true(fabs(loss[0] - loss[1]) <= 1e-12 * loss[0]);
        for (int d = 0; d < n[0]; d++)
            if (!(fabs((double)coef[0][d] - (double)coef[1][d]) <= 1e-6 * fabs((double)coef[0][d])))
                fail_msg("%s, direction %d: %.9g in one batch, %.9g in two", names[k], d,
                         (double)coef[0][d], (double)coef[1][d]);
    }
}

/* Every estimator and optimizer: the same bits for any number of threads. */
static void test_threads(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    static const char *const names[] = {"spsa", "fzoo", "grzo"};
    static const char *const optimizers[] = {"sgd", "adamw", "lion", "momentum"};
    static const struct variant wide = {
        "wide", "qwen3", ALL_ON, {64, 160, 2, 4, 2, 16, 1100}, true};
    for (int k = 0; k < N_SETUPS; k++) {
        char *first = NULL;
        double loss = 0;
        for (int threads = 1; threads <= 4; threads += threads == 2 ? 2 : 1) {
            struct model m = open_setup(&wide, setups + k);
            struct text t = text_of(&m, 4, 21);
            struct engine_opts o = mezo_opts(&g, optimizers[k % 4], names[k % 3], t.B = 2, t.T);
            struct engine engine;
            if (k % 3 < 2) o.directions = 2;
            struct machine many = machine_with("native", DT_F32, threads);
            o.machine = &many;
            ok(engine_open(&engine, engine_find("mezo"), &m, &o, &e));
            const struct engine_step s = run_steps(&engine, &t, 0, 2, 2, 1e-4);
            if (!first) {
                first = all_bytes(&m);
                loss = s.loss;
            }
            assert_true(loss == s.loss);
            assert_bytes(setups[k].name, &m, first);
            engine_close(&engine);
            machine_close(&many);
            text_free(&t);
            model_close(&m);
        }
        free(first);
    }
}

/* Records make the same updates again, without a forward pass. */
static void test_replay(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int k = 0; k < N_SETUPS; k++) {
        struct model m = open_setup(zo_variants, setups + k),
                     again = open_setup(zo_variants, setups + k);
        struct text t = text_of(&m, 2, 6);
        struct engine_opts o = mezo_opts(&g, k % 2 ? "adamw" : "sgd", "spsa", t.B, t.T);
        struct engine a, b;
        o.directions = 2;
        o.hyper.clip = k % 2 ? 1 : 0;
        ok(engine_open(&a, engine_find("mezo"), &m, &o, &e));
        ok(engine_open(&b, engine_find("mezo"), &again, &o, &e));
        for (int64_t step = 0; step < 4; step++) {
            const struct engine_step s = run_steps(&a, &t, step, 1, 1, 1e-3 / (double)(1 + step));
            struct engine_step r = {.step = s.step,
                                    .accum = s.accum,
                                    .lr = s.lr,
                                    .directions = s.directions,
                                    .seed = s.seed,
                                    .coef = s.coef};
            ok(mezo_replay(&b, &r, &e));
            assert_true(r.grad_norm == s.grad_norm);
        }
        assert_same_models(setups[k].name, &m, &again);
        engine_close(&a);
        engine_close(&b);
        text_free(&t);
        model_close(&m);
        model_close(&again);
    }
}

/* Loss after n updates on one batch, which begins at *from. */
static double descend(const struct setup *s, int64_t n, double lr, double *from) {
    const struct machine g = machine_of("native", DT_F32);
    struct model m = open_setup(zo_variants + 2, s);
    struct text t = text_of(&m, 4, 8);
    struct engine_opts o = mezo_opts(&g, "sgd", "spsa", t.B, t.T);
    struct engine engine;
    o.directions = 4;
    ok(engine_open(&engine, engine_find("mezo"), &m, &o, &e));
    *from = run_steps(&engine, &t, 0, 1, 1, 0).loss;
    run_steps(&engine, &t, 1, n, 1, lr);
    const double to = run_steps(&engine, &t, n + 1, 1, 1, 0).loss;
    engine_close(&engine);
    text_free(&t);
    model_close(&m);
    return to;
}

/* It learns; and weights stored as bf16 learn as f32 ones do, from updates far below the last bit
 * of most weights. */
static void test_descent(void **state) {
    (void)state;
    double from[4], to[4];
    for (int k = 0; k < 4; k++) {
        static const int which[] = {0, 1, 3, 6};
        const bool lora = k > 1;
        to[k] = descend(setups + which[k], 300, lora ? 2e-3 : 5e-5, from + k);
        if (!(to[k] < from[k] - (lora ? 0.2 : 0.1)))
            fail_msg("%s: the loss went from %g to %g", setups[which[k]].name, from[k], to[k]);
    }
    const double f32 = from[0] - to[0], bf16 = from[1] - to[1];
    if (!(fabs(bf16 - f32) < 0.25 * f32))
        fail_msg("the loss fell by %g with f32 weights and by %g with bf16", f32, bf16);
}

/* U18: a model that backpropagation trained and saved is the same network for MeZO: the loss at its
 * first step is the loss that training ended with. */
static void test_first_loss(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    char path[64] = "/tmp/duet-test-XXXXXX";
    close(mkstemp(path));
    for (int i = 0; i < N_ZO_VARIANTS; i++)
        for (int bf16 = 0; bf16 < 2; bf16++) {
            struct model m = open_setup(zo_variants + i, setups + bf16), again;
            struct text t = text_of(&m, 3, 6);
            struct engine_opts o = mezo_opts(&g, "adamw", "fzoo", t.B, t.T);
            struct engine engine;
            o.directions = 2;
            ok(engine_open(&engine, engine_find("backprop"), &m, &o, &e));
            run_steps(&engine, &t, 0, 3, 1, 1e-3);
            const double want = run_steps(&engine, &t, 3, 1, 1, 0).loss;
            engine_close(&engine);
            ok(model_save(&m, path, "blzt5", NULL, &e));
            if (bf16)
                ok(model_open_frozen(&again, path, NULL, DT_BF16, NULL, &e));
            else
                ok(model_open(&again, path, NULL, &e));
            ok(engine_open(&engine, engine_find("mezo"), &again, &o, &e));
            const double found = run_steps(&engine, &t, 0, 1, 1, 0).loss;
            if (found != want)
                fail_msg("%s: backprop ended at %.17g, MeZO begins at %.17g", zo_variants[i].name,
                         want, found);
            engine_close(&engine);
            text_free(&t);
            model_close(&m);
            model_close(&again);
        }
    remove(path);
}

/* U12: memory is that of inference: no gradients, no optimizer for descent, and of the activations
 * nothing waits. */
static void test_memory(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int k = 0; k < N_SETUPS; k++) {
        struct model m = open_setup(zo_variants + 4, setups + k);
        struct engine_opts o = mezo_opts(&g, "sgd", "spsa", 4, 32);
        struct engine_memory mezo, back;
        struct engine engine;
        ok(engine_plan(engine_find("mezo"), &m, &o, &mezo, &e));
        ok(engine_plan(engine_find("backprop"), &m, &o, &back, &e));
        assert_int_equal(mezo.gradients, 0);
        assert_int_equal(mezo.optimizer, 0);
        assert_int_equal(mezo.kept, 0);
        assert_int_equal(mezo.weights, m.weights.used);
        assert_true(back.kept > 0 && back.gradients > 0);
        ok(engine_open(&engine, engine_find("mezo"), &m, &o, &e));
        assert_int_equal(engine.grads.size, 0);
        assert_int_equal(engine.opt.mem.size, 0);
        for (int i = 0; i < m.n_params; i++) assert_null(m.params[i].grad);
        engine_close(&engine);
        model_close(&m);
    }
}

/* A weight that is not a number: the step says so and changes nothing. */
static void test_not_finite(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    static const char *const names[] = {"spsa", "fzoo", "grzo"};
    for (int k = 0; k < 3; k++) {
        struct model m = open_setup(zo_variants + 4, setups);
        struct text t = text_of(&m, 2, 6);
        struct engine_opts o = mezo_opts(&g, "adamw", names[k], t.B, t.T);
        struct engine engine;
        if (k == 1) o.directions = 2;
        ((float *)m.params[1].data)[3] = k ? NAN : INFINITY;
        char *before = all_bytes(&m);
        ok(engine_open(&engine, engine_find("mezo"), &m, &o, &e));
        struct engine_step s = {.accum = 1, .lr = 1, .fill = text_fill, .ctx = &t};
        engine.kind->step(&engine, &s);
        assert_false(s.finite);
        assert_int_equal(engine.opt.t, 0);
        assert_bytes(names[k], &m, before);
        engine_close(&engine);
        free(before);
        text_free(&t);
        model_close(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probes),       cmocka_unit_test(test_backends),
        cmocka_unit_test(test_no_drift),     cmocka_unit_test(test_step),
        cmocka_unit_test(test_accumulation), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_replay),       cmocka_unit_test(test_descent),
        cmocka_unit_test(test_first_loss),   cmocka_unit_test(test_memory),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
