/* What an update is made of, without the update: the gradient is the one that the update then
 * takes, coefficients are those that it records, weights and counters stay, and both can be
 * stopped. */
#include "run_fixture.h"

static const struct kind sgd = {"backprop", "sgd", NULL, 1e-2};

/* ---- gradient -------------------------------------------------------------------------------- */

static float *gradients_of(const struct model *m) {
    float *all = malloc((size_t)model_param_count(m) * sizeof *all), *at = all;
    for (int i = 0; i < m->n_params; i++) {
        const size_t n = (size_t)param_count(m->params + i);
        memcpy(at, m->params[i].grad, n * sizeof *at);
        at += n;
    }
    return all;
}

static int keep_loss(void *ctx, struct run *r, const struct run_event *v, struct err *error) {
    (void)r;
    (void)error;
    if (v->kind == RUN_MADE) *(double *)ctx = v->step->loss;
    return 0;
}

/* Before each update of a run whose micro-batches grow from one to two. */
static void gradient_of_the_update(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    struct model m = model_of(variants), plain = model_of(variants);
    const struct run_opts o = opts_of(&sgd, &g);
    const int64_t n = model_param_count(&m);
    double loss, made = 0;
    struct run *r, *s;
    ok(run_open(&r, &m, &o, keep_loss, &made, &e));
    ok(run_open(&s, &plain, &o, NULL, NULL, &e));
    for (int k = 0; k < FIRST + SECOND; k++) {
        ok(run_gradient(r, &loss, &e));
        assert_true(same_weights(&m, &plain));
        assert_int_equal(r->p.step, k);
        float *before = gradients_of(&m), size = 0;
        for (int64_t i = 0; i < n; i++) size = fmaxf(size, fabsf(before[i]));
        assert_true(size > 1e-3f);
        ok(run_step(r, &e));
        ok(run_step(s, &e));
        float *after = gradients_of(&m);
        assert_memory_equal(before, after, (size_t)n * sizeof *before);
        assert_true(loss == made);
        assert_true(same_weights(&m, &plain)); /* as if it had not been asked for */
        assert_true(r->p.tokens == s->p.tokens && r->p.rows == s->p.rows && r->p.ema == s->p.ema);
        free(before);
        free(after);
    }
    run_close(r);
    run_close(s);
    close_model(&m);
    close_model(&plain);
}

/* They outlive their run, stand beside another one, and go when that is asked for. */
static void gradients_that_stay(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    struct model m = model_of(variants);
    const struct run_opts o = opts_of(&sgd, &g), z = opts_of(kinds + 1, &g);
    const size_t bytes = (size_t)model_param_count(&m) * sizeof(float);
    struct engine_memory mem;
    struct arena grads;
    double loss;
    struct run *r;
    ok(run_plan(&mem, o.engine, &m, &o.engine_opts, 0, &e));
    assert_true(mem.optimizer == 0 && mem.gradients >= bytes);
    ok(run_open(&r, &m, &o, NULL, NULL, &e));
    ok(run_gradient(r, &loss, &e));
    float *before = gradients_of(&m);
    run_close_keep(r, &grads);
    assert_int_equal(grads.size, mem.gradients);
    ok(run_open(&r, &m, &z, NULL, NULL, &e));
    ok(run_step(r, &e));
    run_close(r);
    float *after = gradients_of(&m);
    assert_memory_equal(before, after, bytes);
    engine_grads_close(&grads, &m);
    for (int i = 0; i < m.n_params; i++) assert_null(m.params[i].grad);
    free(before);
    free(after);
    close_model(&m);
}

/* ---- directions ------------------------------------------------------------------------------ */

enum { MOST = 8 };

struct recorded {
    int64_t n;
    uint64_t seed[MOST];
    float coef[MOST];
    double loss;
};

static int record(void *ctx, struct run *r, const struct run_event *v, struct err *error) {
    struct recorded *w = ctx;
    (void)r;
    (void)error;
    if (v->kind != RUN_MADE) return 0;
    w->n = v->step->directions;
    w->loss = v->step->loss;
    memcpy(w->seed, v->step->seed, (size_t)w->n * sizeof *w->seed);
    memcpy(w->coef, v->step->coef, (size_t)w->n * sizeof *w->coef);
    return 0;
}

static void check_coefficients(const struct run_opts *o) {
    struct model m = model_of(variants), plain = model_of(variants);
    struct recorded w = {0}, same = {0};
    struct run *r, *s;
    ok(run_open(&r, &m, o, record, &w, &e));
    ok(run_open(&s, &plain, o, record, &same, &e));
    for (int k = 0; k < FIRST + SECOND; k++) {
        const struct zo_kind *kind = o->engine_opts.estimator;
        uint64_t seed[MOST];
        float coef[MOST];
        double loss, losses[2 * MOST * BATCH];
        const struct zo_shape shape = {.directions = o->engine_opts.directions,
                                       .batch = BATCH,
                                       .accum = sched_accum(o->accum, o->accum_end, k / 10.0)};
        const int64_t n = kind->directions(&shape);
        for (int64_t d = 0; d < n; d++) seed[d] = zo_seed(o->engine_opts.seed, k, d);
        const struct engine_probe p = {.n = n,
                                       .seed = seed,
                                       .eps = o->engine_opts.eps,
                                       .coef = coef,
                                       .losses = losses};
        ok(run_probe(r, &p, &loss, &e));
        assert_true(same_weights(&m, &plain));
        assert_int_equal(r->p.step, k);
        ok(run_step(r, &e));
        ok(run_step(s, &e));
        assert_int_equal(w.n, n);
        assert_memory_equal(seed, w.seed, (size_t)n * sizeof *seed);
        assert_memory_equal(coef, w.coef, (size_t)n * sizeof *coef);
        assert_memory_equal(same.coef, w.coef, (size_t)n * sizeof *coef);
        assert_true(coef[0] != 0 && (float)loss == (float)w.loss);
        /* The losses of the sequences are what the loss is the mean of. */
        const int64_t of = shape.accum * kind->probes(&shape) * (kind->per_example ? 1 : BATCH);
        double sum = 0;
        for (int64_t i = 0; i < of; i++) sum += losses[i];
        if (strcmp(kind->name, "fzoo")) assert_true(fabs(sum / (double)of - loss) < 1e-12 * loss);
    }
    assert_true(same_weights(&m, &plain));
    run_close(r);
    run_close(s);
    close_model(&m);
    close_model(&plain);
}

static void coefficients_of_the_update(void **state) {
    (void)state;
    static const char *const estimators[] = {"spsa", "grzo", "fzoo"};
    const struct machine g = machine_of("native", DT_F32);
    for (int i = 0; i < 6; i++) {
        struct run_opts o = opts_of(kinds + 1, &g);
        o.engine_opts.estimator = zo_find(estimators[i % 3]);
        if (i >= 3) {
            o.engine_opts.direction = direction_find("lowrank");
            o.engine_opts.direction_rank = 2;
            o.engine_opts.direction_every = 3;
        }
        check_coefficients(&o);
    }
}

/* The mean loss of the run's batch with these weights. */
static double loss_of(struct model *m, const struct run_opts *o) {
    double loss;
    struct run *r;
    ok(run_open(&r, m, o, NULL, NULL, &e));
    ok(run_gradient(r, &loss, &e));
    run_close(r);
    return loss;
}

/* Other scales: against weights that are written out. */
static void scales_of_its_own(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    struct model m = model_of(variants), moved = model_of(variants);
    const struct run_opts plain = opts_of(&sgd, &g);
    struct run_opts o = opts_of(kinds + 1, &g);
    const uint64_t seed = 77;
    const double eps = 1e-3;
    float *scale = calloc((size_t)m.n_params, sizeof *scale), coef, whole, again;
    double side[2];
    struct engine_probe p = {.n = 1, .seed = &seed, .eps = eps, .coef = &whole};
    struct run *r;
    o.engine_opts.directions = 1;
    ok(run_open(&r, &m, &o, NULL, NULL, &e));
    ok(run_probe(r, &p, NULL, &e));
    for (int i = 0; i < m.n_params; i++) scale[i] = i % 3 == 1 ? 2 : 0;
    p.scale = scale;
    p.coef = &coef;
    ok(run_probe(r, &p, NULL, &e));
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < m.n_params; i++) {
            const struct param *from = m.params + i;
            perturb_row(perturb_key(seed), (float)((k ? -eps : eps) * (double)scale[i]), i,
                        from->cols, 0, 0, param_count(from), from->data, moved.params[i].data);
        }
        side[k] = loss_of(&moved, &plain);
    }
    assert_true(fabs((double)coef - (side[0] - side[1]) / (2 * eps)) < 1e-3 * fabs((double)coef));
    assert_true(coef != whole);
    p.scale = NULL; /* and what moves in training moves again */
    p.coef = &again;
    ok(run_probe(r, &p, NULL, &e));
    assert_true(again == whole);
    memset(scale, 0, (size_t)m.n_params * sizeof *scale);
    p.scale = scale;
    ok(run_probe(r, &p, NULL, &e));
    assert_true(again == 0);
    run_close(r);
    free(scale);
    close_model(&m);
    close_model(&moved);
}

/* ---- stopped --------------------------------------------------------------------------------- */

static void stopped(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    static const uint64_t seed[2] = {4, 5};
    for (int k = 0; k < N_KINDS; k++) {
        struct model m = model_of(variants), before = model_of(variants);
        struct run_opts o = opts_of(kinds + k, &g);
        _Atomic int flag = RUN_STOP;
        float coef[2];
        double loss = 0;
        const struct engine_probe p = {.n = 2, .seed = seed, .eps = 1e-3, .coef = coef};
        struct run *r;
        o.cancel = &flag;
        ok(run_open(&r, &m, &o, NULL, NULL, &e));
        assert_int_equal(k ? run_probe(r, &p, &loss, &e) : run_gradient(r, &loss, &e), ERR_STOP);
        assert_non_null(strstr(e.msg, "stopped while "));
        flag = 0;
        ok(k ? run_probe(r, &p, &loss, &e) : run_gradient(r, &loss, &e));
        assert_true(loss > 0 && same_weights(&m, &before));
        run_close(r);
        close_model(&m);
        close_model(&before);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradient_of_the_update), cmocka_unit_test(gradients_that_stay),
        cmocka_unit_test(coefficients_of_the_update), cmocka_unit_test(scales_of_its_own),
        cmocka_unit_test(stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
