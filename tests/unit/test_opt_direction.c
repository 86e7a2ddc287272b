/* Optimizers that work on whole matrices: kinds with a `direction`, against their formulas in
 * double (a row in `formulas` each), on f32 and bf16 weights, with any number of threads, in the
 * plan, in a state file; where they are refused. */
#include "engine.h"
#include "llama_fixture.h"
#include "muon_fixture.h"
#include "state.h"
#include "train_opts.h"
#include "whiten_fixture.h"

#include <unistd.h>

/* ---- a table of parameters ------------------------------------------------------------------- */

/* Wider and taller matrices, more than a tile, widths that no vector has; one is not trained, one
 * is large to muon (OPT_SMALL). */
enum { N = 7, FROZEN = 4, LARGEST = 6, STEPS = 4 };
static const struct {
    enum role role;
    int64_t rows, cols;
} shapes[N] = {{ROLE_embed, 50, 19},  {ROLE_matrix, 37, 19}, {ROLE_matrix, 130, 140},
               {ROLE_norm, 1, 33},    {ROLE_matrix, 8, 9},   {ROLE_matrix, 5, 77},
               {ROLE_matrix, 320, 300}};

struct table {
    struct param p[N];
    struct opt opt;
    struct rng r;
};

static struct opt_hyper hyper_of(const struct opt_kind *matrix, const struct opt_kind *rest) {
    struct opt_hyper h = opt_hyper_of(rest);
    h.of[ROLE_matrix] = opt_hyper_of(matrix).of[ROLE_matrix];
    h.of[ROLE_matrix].decay = 0.1;
    h.of[ROLE_matrix].lr_factor = 0.5;
    h.clip = 1;
    h.seed = 3;
    return h;
}

static void table_open(struct table *t, const struct machine *g, const struct opt_hyper *h,
                       bool bf16) {
    *t = (struct table){.r = rng_make(8, RNG_TEST, 0, 0, 0)};
    for (int i = 0; i < N; i++) {
        struct param *p = t->p + i;
        *p = (struct param){.role = shapes[i].role,
                            .ndim = shapes[i].rows == 1 ? 1 : 2,
                            .rows = shapes[i].rows,
                            .cols = shapes[i].cols,
                            .trainable = i != FROZEN,
                            .dtype = bf16 && shapes[i].rows > 1 ? DT_BF16 : DT_F32};
        snprintf(p->name, sizeof p->name, "p%d.weight", i);
        const int64_t n = param_count(p);
        p->data = malloc((size_t)n * sizeof(float));
        p->grad = p->trainable ? malloc((size_t)n * sizeof *p->grad) : NULL;
        for (int64_t k = 0; k < n; k++) {
            const float w = (float)rng_normal(&t->r);
            dtype_from_f32(p->dtype, &w, (char *)p->data + k * (p->dtype == DT_F32 ? 4 : 2), 1);
        }
    }
    ok(opt_open(&t->opt, g, h, t->p, N, &e));
}

static void table_close(struct table *t) {
    opt_close(&t->opt);
    for (int i = 0; i < N; i++) {
        free(t->p[i].data);
        free(t->p[i].grad);
    }
}

static void draw(struct table *t, double sigma) {
    for (int i = 0; i < N; i++)
        for (int64_t k = 0; t->p[i].grad && k < param_count(t->p + i); k++)
            t->p[i].grad[k] = (float)(sigma * rng_normal(&t->r));
}

/* Every other gradient is far above the clip. */
static double step(struct table *t, int s) {
    draw(t, s % 2 ? 10 : 1e-3);
    const double norm = opt_grad_norm(&t->opt);
    const struct grad_source grad = opt_buffers(&t->opt, norm);
    opt_step(&t->opt, 0.02 * (s + 1), &grad);
    return norm;
}

static bool same_table(const struct table *a, const struct table *b, bool but_matrices) {
    for (int i = 0; i < N; i++) {
        const size_t n = (size_t)param_count(a->p + i);
        if (but_matrices && a->p[i].role == ROLE_matrix) continue;
        if (memcmp(a->p[i].data, b->p[i].data, dtype_bytes(a->p[i].dtype, n))) return false;
        for (int k = 0; k < OPT_MAX_STATE; k++)
            if (a->opt.state[i][k] &&
                memcmp(a->opt.state[i][k], b->opt.state[i][k],
                       (size_t)opt_state_count(&a->opt, i, k) * sizeof(float)))
                return false;
    }
    return true;
}

/* ---- against the formula --------------------------------------------------------------------- */

/* An update of a matrix by the formula: g (rows, cols) clipped, state as it was and then as it is;
 * u: what becomes w -= lr (u + decay w). */
typedef void formula_fn(const struct opt_hyper *h, int64_t rows, int64_t cols, const double *g,
                        double *const *state, double *u);

static void whiten_formula(const struct opt_hyper *h, int64_t rows, int64_t cols, const double *g,
                           double *const *state, double *u) {
    const struct opt_rule *r = h->of + ROLE_matrix;
    double *m = state[0], *gram = malloc((size_t)(rows * rows) * sizeof *gram), sum = 0;
    for (int64_t k = 0; k < rows * cols; k++) {
        m[k] = r->beta1 * m[k] + g[k];
        sum += m[k] * m[k];
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < rows; j++) {
            double dot = 0;
            for (int64_t k = 0; k < cols; k++) dot += m[i * cols + k] * m[j * cols + k];
            gram[i * rows + j] = dot / sum;
        }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < cols; k++) {
            double dot = 0;
            for (int64_t j = 0; j < rows; j++) dot += gram[i * rows + j] * m[j * cols + k];
            u[i * cols + k] = (1.5 * m[i * cols + k] - 0.5 * dot) / sqrt(sum);
        }
    free(gram);
}

/* Every kind that has a direction, muon with its options; tol: of an update's elements. */
static const struct {
    const char *name;
    formula_fn *update;
    double tol;
    struct muon_opts muon;
} formulas[] = {
    {"whiten", whiten_formula, 1e-5, {.polar = {POLAR_express, 5}}},
    {"muon", muon_formula, 1e-4, {.polar = {POLAR_express, 5}}},
    {"muon", muon_formula, 1e-4, {.polar = {POLAR_newton_schulz, 2}}},
    {"muon", muon_formula, 1e-4, {.polar = {POLAR_express, 3}, .equalise = true}},
    {"muon", muon_formula, 1e-4, {.polar = {POLAR_express, 3}, .rescale = true}},
    {"muon", muon_formula, 2e-4, {.polar = {POLAR_express, 5}, .normalise = true}},
    {"muon", muon_formula, 1e-4, {.polar = {POLAR_express, 4}, .cautious = true}},
    {"muon", muon_formula, 5e-4, {{POLAR_express, 5}, true, true, true, true}},
};
enum { N_FORMULAS = sizeof formulas / sizeof *formulas };

static const struct opt_kind *kind_at(int i) {
    return i ? opt_find(formulas[i].name) : &whiten;
}

static struct opt_hyper hyper_at(int i, const struct opt_kind *rest) {
    struct opt_hyper h = hyper_of(kind_at(i), rest);
    h.muon = formulas[i].muon;
    return h;
}

static void all_have_one(void **state) {
    (void)state;
#define X(name) #name,
    static const char *const names[] = {OPTIMIZERS(X)};
#undef X
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        bool found = !opt_find(names[k])->direction;
        for (int i = 0; i < N_FORMULAS; i++) found |= !strcmp(formulas[i].name, names[k]);
        if (!found) fail_msg("optimizer %s has no formula here", names[k]);
        assert_int_equal(opt_find(names[k])->direction != NULL,
                         opt_find(names[k])->work_bytes != NULL);
    }
}

/* The weights, gradients and state of a table, in double. */
struct doubles {
    double *w[N], *g[N], *state[N][OPT_MAX_STATE];
};

static void doubles_open(struct doubles *d, const struct table *t) {
    for (int i = 0; i < N; i++) {
        const size_t n = (size_t)param_count(t->p + i);
        d->w[i] = malloc(n * sizeof(double));
        d->g[i] = calloc(n, sizeof(double));
        for (int k = 0; k < OPT_MAX_STATE; k++) d->state[i][k] = calloc(n, sizeof(double));
    }
}

static void doubles_close(struct doubles *d) {
    for (int i = 0; i < N; i++) {
        free(d->w[i]);
        free(d->g[i]);
        for (int k = 0; k < OPT_MAX_STATE; k++) free(d->state[i][k]);
    }
}

/* Weights as they are, gradients clipped. */
static void doubles_read(struct doubles *d, const struct table *t, double by) {
    float one;
    for (int i = 0; i < N; i++)
        for (int64_t k = 0; k < param_count(t->p + i); k++) {
            d->w[i][k] = (double)*param_read(t->p + i, k, 1, &one);
            if (t->p[i].grad) d->g[i][k] = by * (double)t->p[i].grad[k];
        }
}

/* An update of parameter i, before which d was read. */
static void check_update(const struct table *t, int i, int f, struct doubles *d, double lr) {
    const struct param *p = t->p + i;
    const struct opt_hyper *h = &t->opt.hyper;
    const struct opt_rule *r = h->of + p->role;
    const int64_t n = param_count(p);
    float one;
    double *u = malloc((size_t)n * sizeof *u);
    formulas[f].update(h, p->rows, p->cols, d->g[i], d->state[i], u);
    if (r->kind->lr_shape) lr *= sqrt(fmax(1, (double)p->rows / (double)p->cols));
    for (int64_t k = 0; k < n; k++) {
        const double now = (double)*param_read(p, k, 1, &one), w = d->w[i][k],
                     by = lr * r->lr_factor;
        const bool decays = !h->muon.cautious || u[k] * w >= 0;
        const double want = w - by * (u[k] + (decays ? r->decay * w : 0));
        /* A weight that is stored as bf16 is one of the two neighbours. */
        const double tol = by * formulas[f].tol + fabs(w) * 1e-7 +
                           (p->dtype == DT_BF16 ? fabs(want) * 0x1p-7 : 0);
        if (h->muon.cautious && fabs(u[k]) < formulas[f].tol) continue; /* of either sign */
        if (!(fabs(now - want) <= tol))
            fail_msg("%s, row %d: parameter %d, update %lld, weight %lld: %.9g, expected %.9g",
                     formulas[f].name, f, i, (long long)t->opt.t, (long long)k, now, want);
    }
    for (int s = 0; s < r->kind->n_state; s++)
        for (int64_t k = 0; k < opt_state_count(&t->opt, i, s); k++)
            assert_true(fabs((double)t->opt.state[i][s][k] - d->state[i][s][k]) <=
                        (s ? formulas[f].tol : 1e-5) * (1e-3 + fabs(d->state[i][s][k])));
    free(u);
}

static void check_formula(int f, const char *backend, bool bf16) {
    static const int trained[] = {1, 2, 5}; /* matrices */
    const struct machine g = machine_of(backend, DT_F32);
    const struct opt_hyper h = hyper_at(f, opt_find("momentum"));
    struct table t;
    struct doubles d;
    table_open(&t, &g, &h, bf16);
    doubles_open(&d, &t);
    for (int s = 0; s < STEPS; s++) {
        draw(&t, s % 2 ? 10 : 1e-3); /* every other one is far above the clip */
        const double norm = opt_grad_norm(&t.opt), lr = 0.02 * (s + 1);
        const struct grad_source source = opt_buffers(&t.opt, norm);
        doubles_read(&d, &t, norm > 1 ? 1 / norm : 1);
        opt_step(&t.opt, lr, &source);
        for (int c = 0; c < 3; c++) check_update(&t, trained[c], f, &d, lr);
    }
    doubles_close(&d);
    table_close(&t);
}

static void formula(void **state) {
    (void)state;
    static const char *const backends[] = {"native", "ref"};
    for (int f = 0; f < N_FORMULAS; f++)
        for (int k = 0; k < (f ? 2 : 4); k++) check_formula(f, backends[k / 2], k % 2);
}

/* Each matrix that is trained, once an update, in order, with what is to be known of it; a vector
 * is one row. */
static void what_it_sees(void **state) {
    (void)state;
    static const int all[] = {0, 1, 2, 3, 5, 6}, matrices[] = {1, 2, 5, 6};
    const struct machine g = machine_of("native", DT_F32);
    for (int of_all = 0; of_all < 2; of_all++) {
        const struct opt_hyper h = hyper_of(&whiten, of_all ? &whiten : opt_find("sgd"));
        const int *order = of_all ? all : matrices, n = of_all ? 6 : 4;
        struct table t;
        table_open(&t, &g, &h, false);
        for (int s = 0; s < STEPS; s++) {
            n_calls = 0;
            const double norm = step(&t, s);
            assert_int_equal(n_calls, n);
            for (int c = 0; c < n; c++) {
                assert_int_equal(calls[c].role, shapes[order[c]].role);
                assert_int_equal(calls[c].rows, shapes[order[c]].rows);
                assert_int_equal(calls[c].cols, shapes[order[c]].cols);
                assert_int_equal(calls[c].t, s + 1);
                assert_true(calls[c].grad_scale == (norm > 1 ? (float)(1 / norm) : 1));
            }
        }
        table_close(&t);
    }
}

/* The same bits for any number of threads; what follows another kind does not notice. */
static void check_threads(int f, bool bf16) {
    const struct machine g = machine_of("native", DT_F32);
    const struct opt_hyper h = hyper_at(f, opt_find("adamw")),
                           plain = hyper_of(opt_find("adamw"), opt_find("adamw"));
    struct table one, other, alone;
    table_open(&one, &g, &h, bf16);
    table_open(&alone, &g, &plain, bf16);
    for (int s = 0; s < STEPS; s++) {
        step(&one, s);
        step(&alone, s);
    }
    assert_true(same_table(&one, &alone, true));
    assert_false(same_table(&one, &alone, false));
    static const int threads_of[] = {2, 3, 4, 16};
    for (int n = 0; n < 4; n++) {
        struct machine many = machine_with("native", DT_F32, threads_of[n]);
        table_open(&other, &many, &h, bf16);
        for (int s = 0; s < STEPS; s++) step(&other, s);
        assert_true(same_table(&one, &other, false));
        table_close(&other);
        machine_close(&many);
    }
    table_close(&one);
    table_close(&alone);
}

static void threads(void **state) {
    (void)state;
    for (int f = 0; f < N_FORMULAS; f++)
        for (int bf16 = 0; bf16 < 2; bf16++) check_threads(f, bf16);
}

/* State of every array; scratch of the large matrix that needs most, or of a small one for each
 * thread. */
static void check_bytes(int threads, const struct opt_kind *kind) {
    struct machine g = machine_with("native", DT_F32, threads), alone;
    const struct opt_hyper h = hyper_of(kind, opt_find("sgd"));
    struct table t;
    size_t arrays = 0;
    machine_alone(&alone, &g);
    table_open(&t, &g, &h, false);
    for (int i = 0; i < N; i++)
        if (shapes[i].role == ROLE_matrix && i != FROZEN)
            arrays += arena_need((size_t)param_count(t.p + i), sizeof(float));
    const size_t large = kind->work_bytes(&g, 320, 300),
                 each = arena_round(kind->work_bytes(&alone, 320, 300)),
                 small = arena_round(kind->work_bytes(&alone, 130, 140)),
                 shared = (size_t)threads * (each > OPT_SMALL ? small : each),
                 work = each > OPT_SMALL && large > shared ? arena_round(large) : shared;
    assert_int_equal(opt_state_bytes(&h, t.p, N), arrays);
    assert_int_equal(opt_bytes(&g, &h, t.p, N), arrays + work);
    assert_int_equal(t.opt.mem.used, opt_bytes(&g, &h, t.p, N));
    assert_int_equal(t.opt.mem.size, t.opt.mem.used);
    t.p[LARGEST].trainable = false;
    assert_true(opt_bytes(&g, &h, t.p, N) < arrays + work);
    table_close(&t);
    machine_close(&g);
}

static void bytes(void **state) {
    (void)state;
    struct machine alone = machine_of("native", DT_F32);
    const struct opt_kind *muon = opt_find("muon");
    assert_true(muon->work_bytes(&alone, 320, 300) > OPT_SMALL);
    assert_true(whiten_bytes(&alone, 320, 300) <= OPT_SMALL);
    for (int threads = 1; threads < 4; threads += 2) {
        check_bytes(threads, &whiten);
        check_bytes(threads, muon);
    }
}

/* ---- in an engine ---------------------------------------------------------------------------- */

enum { B = 2, T = 8 };

static void fill(void *ctx, int64_t micro, struct engine_batch *b) {
    const struct tokens *t = ctx;
    (void)micro;
    memcpy(b->input, t->input, sizeof *b->input * B * T);
    memcpy(b->target, t->target, sizeof *b->target * B * T);
}

static struct engine_opts options(const struct machine *g, const struct opt_hyper *h) {
    return (struct engine_opts){.batch = B, .seq = T, .machine = g, .hyper = *h};
}

static void updates(struct engine *g, struct tokens *t, int from, int to) {
    for (int s = from; s < to; s++) {
        struct engine_step at = {.step = s, .accum = 1, .lr = 1e-2, .fill = fill, .ctx = t};
        g->kind->step(g, &at);
        assert_true(at.finite);
    }
}

static bool same_weights(const struct model *a, const struct model *b) {
    return !memcmp(a->weights.base, b->weights.base, a->weights.used);
}

/* Planned bytes are those reserved; state that was saved goes on to the same bits. */
static void check_engine(int f) {
    const struct machine g = machine_of("native", DT_F32);
    const struct opt_hyper h = hyper_at(f, opt_find("adamw")),
                           another = hyper_of(opt_find("momentum"), opt_find("adamw"));
    const struct engine_opts o = options(&g, &h), other = options(&g, &another);
    char path[] = "/tmp/duet-direction-XXXXXX";
    struct model whole = model_of(&variants[8]), part = model_of(&variants[8]);
    struct engine a, b;
    struct engine_memory mem;
    struct progress p = progress_zero();
    struct tokens t = tokens_of(&whole, B * T, 5);
    uint64_t hash;
    close(mkstemp(path));
    ok(engine_plan(engine_find("backprop"), &whole, &o, &mem, &e));
    ok(engine_open(&a, engine_find("backprop"), &whole, &o, &e));
    assert_int_equal(a.opt.mem.size, mem.optimizer);
    assert_true(mem.optimizer >= opt_state_bytes(&o.hyper, whole.params, whole.n_params));
    updates(&a, &t, 0, 6);
    ok(engine_open(&b, engine_find("backprop"), &part, &o, &e));
    updates(&b, &t, 0, 3);
    ok(state_write(path, &b, &p, 1, &e));
    engine_close(&b);
    ok(engine_open(&b, engine_find("backprop"), &part, &o, &e));
    ok(state_read(path, &b, &p, &hash, &e));
    assert_int_equal(b.opt.t, 3);
    updates(&b, &t, 3, 6);
    assert_true(same_weights(&whole, &part));
    engine_close(&b);
    /* Another kind whose array has the same name reads nothing of it. */
    ok(engine_open(&b, engine_find("backprop"), &part, &other, &e));
    assert_int_equal(state_read(path, &b, &p, &hash, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, kind_at(f)->name));
    assert_non_null(strstr(e.msg, "for parameters of role matrix, but the run uses momentum"));
    engine_close(&a);
    engine_close(&b);
    unlink(path);
    tokens_free(&t);
    close_model(&whole);
    close_model(&part);
}

static void engine_and_state(void **state) {
    (void)state;
    for (int f = 0; f < N_FORMULAS; f++) check_engine(f);
}

/* ---- where it cannot be ---------------------------------------------------------------------- */

static void check_refusals(const struct opt_kind *kind) {
    const struct machine g = machine_of("native", DT_F32);
    struct train_setup s = {.engine = engine_find("mezo"),
                            .optimizer = opt_find("sgd"),
                            .optimizer_matrix = kind};
    char want[160];
    assert_int_equal(train_check_optimizers(&s, &e), ERR_USAGE);
    snprintf(want, sizeof want,
             "optimizer %s takes the gradient of a whole matrix at once, and --engine mezo keeps "
             "no gradient",
             kind->name);
    assert_string_equal(e.msg, want);
    s.engine = engine_find("backprop");
    ok(train_check_optimizers(&s, &e));
    s.optimizer = kind;
    assert_int_equal(train_check_optimizers(&s, &e), kind->matrices_only ? ERR_USAGE : 0);
    snprintf(want, sizeof want,
             "optimizer %s is for matrices only: give it as --optimizer-matrix", kind->name);
    if (kind->matrices_only) assert_string_equal(e.msg, want);
    /* An engine that is opened with it all the same. */
    struct model m = model_of(&variants[8]);
    const struct opt_hyper h = hyper_of(kind, opt_find("adamw"));
    struct engine_opts o = options(&g, &h);
    struct engine engine;
    o.estimator = zo_find("spsa");
    o.directions = o.max_accum = 1;
    o.eps = 1e-3;
    assert_int_equal(engine_open(&engine, engine_find("mezo"), &m, &o, &e), ERR_USAGE);
    snprintf(want, sizeof want, "optimizer %s takes the gradient of all of model.layers.0.",
             kind->name);
    assert_non_null(strstr(e.msg, want));
    close_model(&m);
}

static void refusals(void **state) {
    (void)state;
    for (int f = 0; f < N_FORMULAS; f++) check_refusals(kind_at(f));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_have_one), cmocka_unit_test(formula),
        cmocka_unit_test(what_it_sees), cmocka_unit_test(threads),
        cmocka_unit_test(bytes),        cmocka_unit_test(engine_and_state),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
