/* Optimizers over several steps against their formulas in double, with clipping, learning-rate
 * factors and decay by role; gradient norm; threads; schedules against closed forms. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "opt.h"
#include "par.h"
#include "rng.h"
#include "schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One parameter a role, of more and less than a tile and of odd sizes, and one that is not trained.
 */
enum { N = 5, FROZEN = 4, STEPS = 6 };
static const struct {
    enum role role;
    int64_t rows, cols;
} shapes[N] = {{ROLE_embed, 3, OPT_TILE / 2 + 7},
               {ROLE_matrix, 37, 19},
               {ROLE_norm, 1, 33},
               {ROLE_bias, 1, 5},
               {ROLE_matrix, 8, 9}};

static const struct opt_hyper hyper = {
    .beta1 = 0.9,
    .beta2 = 0.95,
    .eps = 1e-8,
    .clip = 1,
    .lr_factor = {[ROLE_embed] = 0.5, [ROLE_matrix] = 1, [ROLE_norm] = 2, [ROLE_bias] = 0},
    .decay = {[ROLE_embed] = 0.2, [ROLE_matrix] = 0.1}};

static struct err e;

struct bench {
    struct param params[N];
    struct opt opt;
    double *w[N], *m[N], *v[N]; /* the same in double */
    struct rng r;
};

static void bench_open(struct bench *b, const char *name, const struct opt_hyper *h) {
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
    const struct opt_kind *kind = opt_find(name);
    assert_non_null(kind);
    assert_int_equal(opt_open(&b->opt, kind, h, b->params, N, &e), 0);
}

static void bench_close(struct bench *b) {
    opt_close(&b->opt);
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

typedef void step_fn(const struct opt_hyper *h, double lr, double decay, double g, double *w,
                     double *m, double *v, int t);

static void adamw(const struct opt_hyper *h, double lr, double decay, double g, double *w,
                  double *m, double *v, int t) {
    *m = h->beta1 * *m + (1 - h->beta1) * g;
    *v = h->beta2 * *v + (1 - h->beta2) * g * g;
    const double mean = *m / (1 - pow(h->beta1, t)), square = *v / (1 - pow(h->beta2, t));
    *w -= lr * (mean / (sqrt(square) + h->eps) + decay * *w);
}

static void lion(const struct opt_hyper *h, double lr, double decay, double g, double *w, double *m,
                 double *v, int t) {
    (void)v;
    (void)t;
    const double c = h->beta1 * *m + (1 - h->beta1) * g;
    *w -= lr * decay * *w;
    *w -= lr * (double)((c > 0) - (c < 0));
    *m = h->beta2 * *m + (1 - h->beta2) * g;
}

static void step_double(struct bench *b, step_fn *f, double lr, double norm, int t) {
    const struct opt_hyper *h = &b->opt.hyper;
    const double by = h->clip > 0 && norm > h->clip ? h->clip / norm : 1;
    for (int i = 0; i < FROZEN; i++) {
        const enum role role = b->params[i].role;
        for (int64_t k = 0; k < param_count(b->params + i); k++)
            f(h, lr * h->lr_factor[role], h->decay[role], by * (double)b->params[i].grad[k],
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
            near_("m", i, k, (double)b->opt.state[i][0][k], b->m[i][k], 1e-6 * most);
            if (b->opt.kind->n_state > 1)
                near_("v", i, k, (double)b->opt.state[i][1][k], b->v[i][k],
                      1e-5 * fabs(b->v[i][k]) + 1e-12);
        }
    }
}

static void check_steps(const char *name, step_fn *f, double clip) {
    struct bench b;
    struct opt_hyper h = hyper;
    h.clip = clip;
    bench_open(&b, name, &h);
    for (int t = 1; t <= STEPS; t++) {
        /* Norms far below and far above the clip. */
        const double norm = draw_grads(&b, t % 2 ? 1e-4 : 10), lr = 0.01 * t;
        const double found = opt_grad_norm(&b.opt);
        near_("norm", 0, t, found, norm, 1e-6 * norm);
        const struct grad_source grad = opt_buffers(&b.opt, found);
        opt_step(&b.opt, lr, &grad);
        step_double(&b, f, lr, norm, t);
        assert_int_equal(b.opt.t, t);
        compare_state(&b);
    }
    assert_null(b.opt.state[FROZEN][0]);
    bench_close(&b);
}

static void test_adamw(void **state) {
    (void)state;
    check_steps("adamw", adamw, 1);
    check_steps("adamw", adamw, 0);
}

static void test_lion(void **state) {
    (void)state;
    check_steps("lion", lion, 1);
    check_steps("lion", lion, 0);
}

/* From zero state the bias correction cancels: AdamW's first step is lr sign(g), Lion's too; a
 * constant gradient keeps AdamW's step there. */
static void test_constant_gradient(void **state) {
    (void)state;
    static const char *const names[] = {"adamw", "lion"};
    for (int o = 0; o < 2; o++) {
        struct bench b;
        struct opt_hyper h = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-12};
        for (int r = 0; r < ROLE_COUNT; r++) h.lr_factor[r] = 1;
        bench_open(&b, names[o], &h);
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
    bench_open(&b, "adamw", &hyper);
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
    bench_open(&b, "adamw", &hyper);
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
    static const char *const names[] = {"adamw", "lion"};
    for (int o = 0; o < 2; o++) {
        float *first[N] = {0};
        double norm = 0;
        for (int threads = 1; threads <= 4; threads++) {
            struct bench b;
            par_init(threads);
            bench_open(&b, names[o], &hyper);
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
    par_init(1);
}

static void test_bytes(void **state) {
    (void)state;
    struct bench b;
    bench_open(&b, "adamw", &hyper);
    assert_int_equal(b.opt.mem.used, opt_bytes(opt_find("adamw"), b.params, N));
    assert_int_equal(opt_bytes(opt_find("adamw"), b.params, N),
                     2 * opt_bytes(opt_find("lion"), b.params, N));
    assert_null(opt_find("sgdx"));
    assert_int_equal(opt_bytes(opt_find("sgd"), b.params, N), 0);
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
        cmocka_unit_test(test_adamw),
        cmocka_unit_test(test_lion),
        cmocka_unit_test(test_constant_gradient),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_warmup),
        cmocka_unit_test(test_monotonic),
        cmocka_unit_test(test_accumulation_ramp),
    };
    par_init(1); /* waiting threads cost more than these small sizes gain */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
