/* What an audit must notice: gradients that are a little too large, of another tensor, of another
 * sign, or with a part that no direction sees. */
#include "audit_fixture.h"
#include "zo.h"

static void scale_grad(struct param *p, float by) {
    for (int64_t k = 0; k < param_count(p); k++) p->grad[k] *= by;
}

/* The group of the broken tensor and the whole differ, no other does. */
static void must_differ(const char *what, struct audit *a, const char *group,
                        enum audit_verdict verdict) {
    ok(audit_run(a, &e));
    for (int k = 0; k < a->n_groups; k++) {
        const struct audit_group *g = a->group + k;
        const bool is = !strcmp(g->name, group), all = k == a->n_groups - 1;
        if (is && g->verdict != verdict)
            fail_msg("%s: %s: %s, derivative %g (%g)", what, g->name,
                     audit_verdict_name(g->verdict), g->derivative.found, g->derivative.allowed);
        if (!is && !all && g->verdict != AUDIT_OK) fail_msg("%s: %s differs too", what, g->name);
    }
    ok(audit_gradient(a, &e)); /* whole again */
}

static void swap_grads(struct param *p, struct param *q) {
    assert_int_equal(param_count(p), param_count(q));
    for (int64_t k = 0; k < param_count(p); k++) {
        const float x = p->grad[k];
        p->grad[k] = q->grad[k];
        q->grad[k] = x;
    }
}

static void test_broken_gradients(void **state) {
    (void)state;
    struct model m = model_of(&variants[8]);
    struct tokens t = tokens_of(&m, B * T, 7);
    struct rows rows = {&t, 0, B};
    const struct audit_opts o = opts_of(&rows);
    struct audit a;
    audit_model(&a, &m, &o);
    must_agree("whole", &a);
    for (int i = 0; i < m.n_params; i++)
        if (strstr(m.params[i].name, ".mlp.")) scale_grad(m.params + i, 1.02f);
    must_differ("2 % too large", &a, "MLP matrices", AUDIT_DERIVATIVE);
    for (int i = 0; i < m.n_params; i++) scale_grad(m.params + i, 1.02f);
    ok(audit_run(&a, &e));
    for (int k = 0; k < a.n_groups; k++) assert_int_equal(a.group[k].verdict, AUDIT_DERIVATIVE);
    ok(audit_gradient(&a, &e));
    /* As signs of another tensor would. */
    swap_grads(find_param(&m, "gate_proj"), find_param(&m, "up_proj"));
    must_differ("another tensor", &a, "MLP matrices", AUDIT_DERIVATIVE);
    scale_grad(find_param(&m, "layers.1.self_attn.v_proj.bias"), -1);
    must_differ("another sign", &a, "biases", AUDIT_DERIVATIVE);
    scale_grad(find_param(&m, "layers.0.self_attn.q_norm"), 0);
    must_differ("a gradient that is missing", &a, "norms", AUDIT_DERIVATIVE);
    find_param(&m, "lm_head")->grad[5] = NAN;
    must_differ("not a number", &a, "embeddings", AUDIT_DERIVATIVE);
    ok(audit_run(&a, &e));
    must_agree("whole again", &a);
    audit_close(&a);
    tokens_free(&t);
    close_model(&m);
}

/* The gradient of another batch, and of other weights. */
static void test_other_gradients(void **state) {
    (void)state;
    struct model m = model_of(&variants[1]);
    struct tokens t = tokens_of(&m, B * T, 8), u = tokens_of(&m, B * T, 9);
    struct rows rows = {&t, 0, B};
    const struct audit_opts o = opts_of(&rows);
    struct audit a;
    audit_model(&a, &m, &o);
    must_agree("whole", &a);
    rows.t = &u;
    ok(audit_gradient(&a, &e));
    rows.t = &t;
    ok(audit_run(&a, &e));
    for (int k = 0; k < a.n_groups; k++) assert_int_equal(a.group[k].verdict, AUDIT_DERIVATIVE);
    ok(audit_gradient(&a, &e));
    float *w = find_param(&m, "model.norm")->data;
    w[3] += 0.2f;
    ok(audit_run(&a, &e));
    assert_int_equal(find_group(&a, "all together")->verdict, AUDIT_DERIVATIVE);
    audit_close(&a);
    tokens_free(&t);
    tokens_free(&u);
    close_model(&m);
}

/* Signs of all directions over the parameters whose name contains `part`, one after another. */
static float *signs_of(const struct audit *a, const char *part, int64_t n) {
    float *z = calloc((size_t)(a->opts.seeds * n), sizeof *z), *at = z;
    for (int64_t s = 0; s < a->opts.seeds; s++)
        for (int i = 0; i < a->model->n_params; i++) {
            const struct param *p = a->model->params + i;
            if (!strstr(p->name, part)) continue;
            perturb_row(perturb_key(zo_seed(a->opts.seed, s, 0)), 1, i, p->cols, 0, 0,
                        param_count(p), at, at);
            at += param_count(p);
        }
    return z;
}

/* A part of the gradient at right angles to every direction: each c is its g.z, but the squares are
 * too small, and only the theory of the estimate notices. */
static void test_hidden_part(void **state) {
    (void)state;
    struct model m = model_of(&variants[0]);
    struct tokens t = tokens_of(&m, B * T, 10);
    struct rows rows = {&t, 0, B};
    struct audit_opts o = opts_of(&rows);
    struct audit a;
    o.seeds = 400;
    audit_model(&a, &m, &o);
    must_agree("whole", &a);
    const struct audit_group *g = find_group(&a, "MLP matrices");
    const int64_t n = g->n;
    assert_true(g->square.allowed < 0.4 && n > 2 * o.seeds);
    float *z = signs_of(&a, ".mlp.", n);
    double *h = calloc((size_t)n, sizeof *h), norm = 0;
    struct rng r = rng_make(1, RNG_TEST, 0, 0, 0);
    for (int64_t k = 0; k < n; k++) h[k] = rng_normal(&r);
    for (int sweep = 0; sweep < 30; sweep++) /* Kaczmarz */
        for (int64_t s = 0; s < o.seeds; s++) {
            double dot = 0;
            for (int64_t k = 0; k < n; k++) dot += h[k] * (double)z[s * n + k];
            for (int64_t k = 0; k < n; k++) h[k] -= dot / (double)n * (double)z[s * n + k];
        }
    for (int64_t k = 0; k < n; k++) norm += h[k] * h[k];
    int64_t at = 0;
    for (int i = 0; i < m.n_params; i++)
        for (int64_t k = 0; strstr(m.params[i].name, ".mlp.") && k < param_count(m.params + i); k++)
            m.params[i].grad[k] += (float)(h[at++] * g->norm / sqrt(norm));
    must_differ("a part that no direction sees", &a, "MLP matrices", AUDIT_SQUARE);
    free(h);
    free(z);
    audit_close(&a);
    tokens_free(&t);
    close_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_gradients),
        cmocka_unit_test(test_other_gradients),
        cmocka_unit_test(test_hidden_part),
    };
    f32 = machine_of("auto", DT_F32);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
