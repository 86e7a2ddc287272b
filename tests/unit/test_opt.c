/* Optimizers over several steps against their formulas in double, with clipping, learning-rate
 * factors and decay by role; gradient norm; threads; schedules against closed forms. */
#include "machine_fixture.h"

#include "opt.h"
#include "rng.h"
#include "schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One parameter a role, of more and less than a tile and of odd sizes, and one that is
 * not trained. */
enum { N = 5, FROZEN = 4, STEPS = 6 };
static const struct {
    enum role role;
    int64_t rows, cols;
} shapes[N] = {{ROLE_embed, 3, OPT_TILE / 2 + 7},
               {ROLE_matrix, 37, 19},
               {ROLE_norm, 1, 33},
               {ROLE_bias, 1, 5},
               {ROLE_matrix, 8, 9}};

static struct err e;

/* As a tile gets it: 1 - 0.99 is coarse in f32. volatile: the vectoriser of gcc 12 takes two
 * neighbouring roundings for none. */
static double as_float(double x) {
    volatile float f = (float)x;
    return (double)f;
}

/* Matrices by one optimizer, the rest by another. */
static struct opt_hyper hyper_of(const char *name, const char *matrix) {
    static const double factor[ROLE_COUNT] = {[ROLE_embed] = 0.5, [ROLE_matrix] = 1,
                                              [ROLE_norm] = 2},
                        decay[ROLE_COUNT] = {[ROLE_embed] = 0.2, [ROLE_matrix] = 0.1};
    assert_non_null(opt_find(name));
    assert_non_null(opt_find(matrix));
    struct opt_hyper h = opt_hyper_of(opt_find(name));
    h.of[ROLE_matrix] = opt_hyper_of(opt_find(matrix)).of[ROLE_matrix];
    for (int r = 0; r < ROLE_COUNT; r++) {
        h.of[r].lr_factor = factor[r];
        h.of[r].decay = decay[r];
        h.of[r].beta1 = as_float(h.of[r].beta1);
        h.of[r].beta2 = as_float(h.of[r].beta2);
    }
    h.clip = 1;
    return h;
}

struct bench {
    struct machine machine;
    struct param params[N];
    struct opt opt;
    double *w[N], *m[N], *v[N]; /* the same in double */
    struct rng r;
};

static void bench_open_on(struct bench *b, int threads, const struct opt_hyper *h) {
    *b = (struct bench){.r = rng_make(5, RNG_TEST, 0, 0, 0)};
    for (int i = 0; i < N; i++) {
        struct param *p = b->params + i;
        *p = (struct param){.role = shapes[i].role,
                            .ndim = 2,
                            .rows = shapes[i].rows,
                            .cols = shapes[i].cols,
                            .trainable = i != FROZEN,
                            .dtype = DT_F32};
        const size_t n = (size_t)param_count(p);
        float *data = p->data = malloc(n * sizeof *data);
        p->grad = p->trainable ? malloc(n * sizeof *p->grad) : NULL;
        b->w[i] = malloc(n * sizeof(double));
        b->m[i] = calloc(n, sizeof(double));
        b->v[i] = calloc(n, sizeof(double));
        for (size_t k = 0; k < n; k++) b->w[i][k] = (double)(data[k] = (float)rng_normal(&b->r));
    }
    b->machine = machine_with("native", DT_F32, threads);
    assert_int_equal(opt_open(&b->opt, &b->machine, h, b->params, N, &e), 0);
}

static void bench_open(struct bench *b, const struct opt_hyper *h) {
    bench_open_on(b, 1, h);
}

static void bench_close(struct bench *b) {
    opt_close(&b->opt);
    machine_close(&b->machine);
    for (int i = 0; i < N; i++) {
        free(b->params[i].data);
        free(b->params[i].grad);
        free(b->w[i]);
        free(b->m[i]);
        free(b->v[i]);
    }
}

/* New gradients; their norm, in double. */
static double draw_grads(struct bench *b, double sigma) {
    double sum = 0;
    for (int i = 0; i < FROZEN; i++)
        for (int64_t k = 0; k < param_count(b->params + i); k++) {
            const float g = (float)(sigma * rng_normal(&b->r));
            b->params[i].grad[k] = g;
            sum += (double)g * (double)g;
        }
    return sqrt(sum);
}

typedef void step_fn(const struct opt_rule *r, double lr, double g, double *w, double *m,
                     double *v, int t);

static void adamw(const struct opt_rule *r, double lr, double g, double *w, double *m, double *v,
                  int t) {
    *m = r->beta1 * *m + (1 - r->beta1) * g;
    *v = r->beta2 * *v + (1 - r->beta2) * g * g;
    const double mean = *m / (1 - pow(r->beta1, t)), square = *v / (1 - pow(r->beta2, t));
    *w -= lr * (mean / (sqrt(square) + 1e-8) + r->decay * *w);
}

static void lion(const struct opt_rule *r, double lr, double g, double *w, double *m, double *v,
                 int t) {
    (void)v;
    (void)t;
    const double c = r->beta1 * *m + (1 - r->beta1) * g;
    *w -= lr * r->decay * *w;
    *w -= lr * (double)((c > 0) - (c < 0));
    *m = r->beta2 * *m + (1 - r->beta2) * g;
}

static void momentum(const struct opt_rule *r, double lr, double g, double *w, double *m, double *v,
                     int t) {
    (void)v;
    (void)t;
    *m = r->beta1 * *m + g;
    *w -= lr * (*m + r->decay * *w);
}

static void sgd(const struct opt_rule *r, double lr, double g, double *w, double *m, double *v,
                int t) {
    (void)m;
    (void)v;
    (void)t;
    *w -= lr * (g + r->decay * *w);
}

/* Every optimizer that has no direction. */
static const struct {
    const char *name;
    step_fn *step;
} formulas[] = {{"adamw", adamw}, {"lion", lion}, {"momentum", momentum}, {"sgd", sgd}};
enum { N_FORMULAS = sizeof formulas / sizeof *formulas };

static step_fn *formula_of(const struct opt_kind *k) {
    for (int i = 0; i < N_FORMULAS; i++)
        if (!strcmp(formulas[i].name, k->name)) return formulas[i].step;
    fail_msg("optimizer %s has no formula here", k->name);
    return NULL;
}

static void step_double(struct bench *b, double lr, double norm, int t) {
    const struct opt_hyper *h = &b->opt.hyper;
    const double by = h->clip > 0 && norm > h->clip ? h->clip / norm : 1;
    for (int i = 0; i < FROZEN; i++) {
        const struct opt_rule *r = h->of + b->params[i].role;
        for (int64_t k = 0; k < param_count(b->params + i); k++)
            formula_of(r->kind)(r, lr * r->lr_factor, by * (double)b->params[i].grad[k],
                                b->w[i] + k, b->m[i] + k, b->v[i] + k, t);
    }
}

static void near_(const char *what, int i, int64_t k, double found, double want, double tol) {
    if (!(fabs(found - want) <= tol))
        fail_msg("parameter %d, %s[%lld]: %.9g, expected %.9g", i, what, (long long)k, found, want);
}

static double largest(const double *x, int64_t n) {
    double max = 0;
    for (int64_t i = 0; i < n; i++) max = fmax(max, fabs(x[i]));
    return max;
}

static void compare_state(const struct bench *b) {
    for (int i = 0; i < N; i++) {
        const int64_t n = param_count(b->params + i);
        const double most = largest(b->m[i], n); /* m is a sum that may cancel */
        for (int64_t k = 0; k < n; k++) {
            near_("w", i, k, (double)((const float *)b->params[i].data)[k], b->w[i][k],
                  1e-6 * (1 + fabs(b->w[i][k])));
            if (i == FROZEN) continue;
            const int n_state = opt_kind_of(&b->opt, i)->n_state;
            if (n_state)
                near_("m", i, k, (double)b->opt.state[i][0][k], b->m[i][k], 1e-6 * most);
            if (n_state > 1)
                near_("v", i, k, (double)b->opt.state[i][1][k], b->v[i][k],
                      1e-5 * fabs(b->v[i][k]) + 1e-12);
        }
    }
}

static void check_steps(const char *name, const char *matrix, double clip) {
    struct bench b;
    struct opt_hyper h = hyper_of(name, matrix);
    h.clip = clip;
    bench_open(&b, &h);
    for (int t = 1; t <= STEPS; t++) {
        /* Norms far below and far above the clip. */
        const double norm = draw_grads(&b, t % 2 ? 1e-4 : 10), lr = 0.01 * t;
        const double found = opt_grad_norm(&b.opt);
        near_("norm", 0, t, found, norm, 1e-6 * norm);
        const struct grad_source grad = opt_buffers(&b.opt, found);
        opt_step(&b.opt, lr, &grad);
        step_double(&b, lr, found, t);
        assert_int_equal(b.opt.t, t);
        compare_state(&b);
    }
    assert_null(b.opt.state[FROZEN][0]);
    bench_close(&b);
}

/* Every pair, of matrices and the rest. */
static void test_formulas(void **state) {
    (void)state;
    for (int i = 0; i < N_FORMULAS; i++)
        for (int k = 0; k < N_FORMULAS; k++)
            for (int clip = 0; clip < 2; clip++)
                check_steps(formulas[i].name, formulas[k].name, clip);
#define X(name) if (!opt_find(#name)->direction) formula_of(opt_find(#name));
    OPTIMIZERS(X)
#undef X
}

/* How far the matrix moves in a few steps on one gradient, times by. The rest goes by SGD. */
static double moved(const struct opt_kind *kind, double eps, float by, float *w) {
    struct bench b;
    struct opt_hyper h = opt_hyper_of(opt_find("sgd"));
    h.of[ROLE_matrix] = opt_hyper_of(kind).of[ROLE_matrix];
    h.eps = eps;
    bench_open(&b, &h);
    draw_grads(&b, 1);
    for (int i = 0; i < FROZEN; i++)
        for (int64_t k = 0; k < param_count(b.params + i); k++) b.params[i].grad[k] *= by;
    float *given = malloc((size_t)(37 * 19) * sizeof *given);
    memcpy(given, b.params[1].grad, (size_t)(37 * 19) * sizeof *given);
    for (int t = 0; t < 3; t++) {
        memcpy(b.params[1].grad, given, (size_t)(37 * 19) * sizeof *given);
        const struct grad_source grad = opt_buffers(&b.opt, opt_grad_norm(&b.opt));
        opt_step(&b.opt, 1e-3, &grad);
    }
    double sum = 0;
    memcpy(w, b.params[1].data, (size_t)(37 * 19) * sizeof *w);
    for (int k = 0; k < 37 * 19; k++) sum += pow((double)w[k] - b.w[1][k], 2);
    free(given);
    bench_close(&b);
    return sqrt(sum);
}

/* What a kind says of itself: eps has an effect where it says so, and nowhere else; a gradient 8
 * times as large is a step as large where it normalises, and one 8 times as large elsewhere. */
static void test_says(void **state) {
    (void)state;
    static float w[37 * 19], other[37 * 19];
#define X(name) opt_find(#name),
    const struct opt_kind *const all[] = {OPTIMIZERS(X)};
#undef X
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const double once = moved(all[i], 1e-8, 1, w);
        moved(all[i], 1, 1, other);
        if (all[i]->eps != (memcmp(w, other, sizeof w) != 0))
            fail_msg("optimizer %s: .eps is %d, but a change of it does%s change a step",
                     all[i]->name, all[i]->eps, all[i]->eps ? " not" : "");
        const double by = moved(all[i], 1e-8, 8, other) / once;
        if (!(once > 0) || !(fabs(by - (all[i]->normalises ? 1 : 8)) < 0.05))
            fail_msg("optimizer %s: .normalises is %d, but 8 times the gradient moves weights %g "
                     "times as far", all[i]->name, all[i]->normalises, by);
    }
}

/* From zero state the bias correction cancels: AdamW's first step is lr sign(g), Lion's too; a
 * constant gradient keeps AdamW's step there. */
static void test_constant_gradient(void **state) {
    (void)state;
    static const char *const names[] = {"adamw", "lion"};
    for (int o = 0; o < 2; o++) {
        struct bench b;
        struct opt_hyper h = opt_hyper_of(opt_find(names[o]));
        h.eps = 1e-12;
        bench_open(&b, &h);
        draw_grads(&b, 3);
        const struct grad_source grad = opt_buffers(&b.opt, opt_grad_norm(&b.opt));
        for (int t = 1; t <= 20; t++) opt_step(&b.opt, 0.01, &grad);
        for (int i = 0; i < FROZEN; i++)
            for (int64_t k = 0; k < param_count(b.params + i); k++) {
                const double want = b.w[i][k] - 0.2 * (b.params[i].grad[k] > 0 ? 1 : -1);
                near_(names[o], i, k, (double)((const float *)b.params[i].data)[k], want, 2e-5);
            }
        bench_close(&b);
    }
}

/* Without clipping, roles with factor 0 do not move; the weights of the others do. */
static void test_roles(void **state) {
    (void)state;
    struct bench b;
    const struct opt_hyper h = hyper_of("adamw", "adamw");
    bench_open(&b, &h);
    draw_grads(&b, 1);
    const struct grad_source grad = opt_buffers(&b.opt, opt_grad_norm(&b.opt));
    opt_step(&b.opt, 0.1, &grad);
    for (int i = 0; i < N; i++)
        for (int64_t k = 0; k < param_count(b.params + i); k++) {
            const bool same = ((const float *)b.params[i].data)[k] == (float)b.w[i][k];
            assert_int_equal(same, i == FROZEN || b.params[i].role == ROLE_bias);
        }
    bench_close(&b);
}

static void test_not_finite(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    struct bench b;
    const struct opt_hyper h = hyper_of("adamw", "adamw");
    bench_open(&b, &h);
    for (int i = 0; i < 4; i++) {
        draw_grads(&b, 1);
        b.params[i % FROZEN].grad[param_count(b.params + i % FROZEN) - 1] = bad[i];
        /* The last is a number whose square no float holds: the norm is in double. */
        assert_int_equal(isfinite(opt_grad_norm(&b.opt)) != 0, i == 3);
    }
    bench_close(&b);
}

static void test_threads(void **state) {
    (void)state;
    for (int o = 0; o < N_FORMULAS; o++) {
        float *first[N] = {0};
        double norm = 0;
        for (int threads = 1; threads <= 4; threads++) {
            struct bench b;
            const char *matrix = formulas[(o + 1) % N_FORMULAS].name;
            const struct opt_hyper h = hyper_of(formulas[o].name, matrix);
            bench_open_on(&b, threads, &h);
            double found = 0;
            for (int t = 0; t < 3; t++) {
                draw_grads(&b, 1);
                found = opt_grad_norm(&b.opt);
                const struct grad_source grad = opt_buffers(&b.opt, found);
                opt_step(&b.opt, 0.01, &grad);
            }
            if (threads == 1) norm = found;
            assert_memory_equal(&norm, &found, sizeof norm);
            for (int i = 0; i < N; i++) {
                const size_t bytes = (size_t)param_count(b.params + i) * sizeof(float);
                if (threads == 1)
                    first[i] = memcpy(malloc(bytes), b.params[i].data, bytes);
                else
                    assert_memory_equal(first[i], b.params[i].data, bytes);
            }
            bench_close(&b);
        }
        for (int i = 0; i < N; i++) free(first[i]);
    }
}

static void test_bytes(void **state) {
    (void)state;
    struct bench b;
    const struct opt_hyper h = hyper_of("adamw", "adamw");
    bench_open(&b, &h);
    const struct opt_hyper lion_of = hyper_of("lion", "lion"), sgd_of = hyper_of("sgd", "sgd"),
                           both = hyper_of("adamw", "lion");
    const size_t adamw_bytes = opt_bytes(NULL, &h, b.params, N);
    assert_int_equal(b.opt.mem.used, adamw_bytes);
    assert_int_equal(b.opt.mem.size, adamw_bytes);
    assert_int_equal(adamw_bytes, opt_state_bytes(&h, b.params, N));
    assert_int_equal(adamw_bytes, 2 * opt_bytes(NULL, &lion_of, b.params, N));
    assert_int_equal(opt_bytes(NULL, &sgd_of, b.params, N), 0);
    /* One array less of the one matrix that is trained. */
    assert_int_equal(opt_bytes(NULL, &both, b.params, N),
                     adamw_bytes - arena_need(37 * 19, sizeof(float)));
    assert_null(opt_find("sgdx"));
    bench_close(&b);
}

/* Matrices and the rest have the arrays of their kinds; what is not trained has none. */
static void test_kinds(void **state) {
    (void)state;
    struct bench b;
    const struct opt_hyper h = hyper_of("lion", "adamw");
    bench_open(&b, &h);
    for (int i = 0; i < N; i++) {
        const bool matrix = shapes[i].role == ROLE_matrix;
        assert_string_equal(opt_kind_of(&b.opt, i)->name, matrix ? "adamw" : "lion");
        assert_int_equal(b.opt.state[i][0] != NULL, i != FROZEN);
        assert_int_equal(b.opt.state[i][1] != NULL, i != FROZEN && matrix);
    }
    assert_null(opt_only_kind(&b.opt));
    assert_true(opt_has_role(&b.opt, ROLE_bias) && !opt_has_role(&b.opt, ROLE_lora));
    b.params[1].trainable = false;
    assert_string_equal(opt_only_kind(&b.opt)->name, "lion");
    /* A role that is trained by nothing is an error, one that is not trained need have none. */
    struct opt_hyper none = h;
    struct opt other;
    none.of[ROLE_matrix].kind = none.of[ROLE_lora].kind = NULL;
    assert_int_equal(opt_check(&none, b.params, N, &e), 0);
    none.of[ROLE_bias].kind = NULL;
    assert_int_equal(opt_check(&none, b.params, N, &e), ERR_USAGE);
    assert_string_equal(e.msg, "no optimizer for parameters of role bias");
    assert_int_equal(opt_open(&other, b.opt.machine, &none, b.params, N, &e), ERR_USAGE);
    bench_close(&b);
}

/* ---- schedules ---- */

static double at(const char *name, struct sched s, int64_t step, double progress) {
    const int kind = sched_find(name);
    assert_true(kind >= 0);
    s.kind = (enum sched_kind)kind;
    return sched_factor(&s, step, progress);
}

static void test_shapes(void **state) {
    (void)state;
    const struct sched s = {.min = 0.1, .decay = 0.25};
    static const struct {
        const char *name;
        double progress, want;
    } points[] = {
        {"constant", 0, 1},
        {"constant", 0.5, 1},
        {"constant", 1, 1},
        {"constant", 2, 1},
        {"linear", -1, 1},
        {"linear", 0, 1},
        {"linear", 0.5, 0.55},
        {"linear", 1, 0.1},
        {"linear", 1.5, 0.1},
        {"cosine", 0, 1},
        {"cosine", 0.5, 0.55},
        {"cosine", 1, 0.1},
        {"cosine", 7, 0.1},
        {"cosine", -3, 1},
        {"cosine", 1.0 / 3, 0.775},
        {"cosine", 2.0 / 3, 0.325},
        {"wsd", 0, 1},
        {"wsd", 0.75, 1},
        {"wsd", 0.875, 0.55},
        {"wsd", 1, 0.1},
        {"wsd", 1.25, 0.1},
        {"wsd", -1, 1},
    };
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        const double found = at(points[i].name, s, 1000, points[i].progress);
        if (!(fabs(found - points[i].want) < 1e-14))
            fail_msg("%s at %g: %.17g, expected %g", points[i].name, points[i].progress, found,
                     points[i].want);
    }
    assert_int_equal(sched_find("exponential"), -1);
    /* All of the run decays, none of it does. */
    assert_true(fabs(at("wsd", (struct sched){.decay = 1}, 0, 0.25) - 0.75) < 1e-15);
    assert_true(at("wsd", (struct sched){.decay = 0}, 0, 1) == 1);
}

static void test_warmup(void **state) {
    (void)state;
    const struct sched s = {.warmup = 4, .min = 0};
    for (int64_t step = 0; step < 8; step++) {
        const double warm = step < 4 ? (double)(step + 1) / 4 : 1;
        assert_true(at("constant", s, step, 0) == warm);
        assert_true(fabs(at("linear", s, step, 0.5) - 0.5 * warm) < 1e-15);
    }
}

static void test_monotonic(void **state) {
    (void)state;
    static const char *const names[] = {"linear", "cosine", "wsd"};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 100; k++)
            assert_true(
                at(names[i], (struct sched){.min = 0.05, .decay = 0.3}, 9, k / 100.0) >=
                at(names[i], (struct sched){.min = 0.05, .decay = 0.3}, 9, (k + 1) / 100.0));
}

static void test_accumulation_ramp(void **state) {
    (void)state;
    assert_int_equal(sched_accum(3, 3, 0.7), 3);
    assert_int_equal(sched_accum(1, 9, -1), 1);
    assert_int_equal(sched_accum(1, 9, 0), 1);
    assert_int_equal(sched_accum(1, 9, 0.5), 5);
    assert_int_equal(sched_accum(1, 9, 1), 9);
    assert_int_equal(sched_accum(1, 9, 3), 9);
    assert_int_equal(sched_accum(1, 4, 0.5), 3); /* 2.5 rounds up */
    assert_int_equal(sched_accum(4, 1, 0.5), 4); /* no ramp downwards */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says),
        cmocka_unit_test(test_formulas),
        cmocka_unit_test(test_constant_gradient),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_warmup),
        cmocka_unit_test(test_monotonic),
        cmocka_unit_test(test_accumulation_ramp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
