/* Row kernels: every tier of this CPU against kern_scalar. A row per kernel (check_kern.h), in the
 * table below or one of the other files, says what its arguments are and how near its results must
 * come. */
#include "check_kern.h"
#include "cpu.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Calls. */

CALL(bf16_from_f32, k->bf16_from_f32(U(0), F(1), r->n))
CALL(f32_from_bf16, k->f32_from_bf16(F(0), U(1), r->n))
CALL(f16_from_f32, k->f16_from_f32(U(0), F(1), r->n))
CALL(f32_from_f16, k->f32_from_f16(F(0), U(1), r->n))
CALL(q8_from_f32, k->q8_from_f32(U(0), F(1), r->n))
CALL(f32_from_q8, k->f32_from_q8(F(0), U(1), r->n))
CALL(bf16_by_chance, k->bf16_by_chance(U(0), F(1), 77, 5, r->n))

/* Bits of the outputs: as many words as fit, from blocks 5, 8, 11, ... */
static void call_signs(const struct kern *k, struct row *r) {
    static uint64_t words[MAX_N / 2];
    uint64_t key = 0;
    memcpy(&key, &r->shift, sizeof r->shift);
    k->signs(words, key, 5, 3, r->n / 16);
    memcpy(r->p[0], words, (size_t)(r->n / 16) * 64);
}

static void call_add_signs(const struct kern *k, struct row *r) {
    uint64_t words[MAX_N / 64 + 4] = {0};
    const int64_t bit0 = r->n % 70;
    memcpy(words, r->p[2], (size_t)r->n * 2 < sizeof words ? (size_t)r->n * 2 : sizeof words);
    k->add_signs(F(0), F(1), r->a, words, bit0, r->n);
}

static void call_add_signs_zero(const struct kern *k, struct row *r) {
    uint64_t words[MAX_N / 64 + 4] = {0};
    memcpy(words, r->p[1], (size_t)r->n * 2 < sizeof words ? (size_t)r->n * 2 : sizeof words);
    k->add_signs(F(0), NULL, r->a, words, r->n % 70, r->n);
}

CALL(axpy, k->axpy(F(0), r->a, F(1), r->n))
CALL(add_scaled, k->add_scaled(F(0), F(1), r->a, F(2), r->n))
CALL(scale, k->scale(F(0), r->a, r->n))
CALL(softcap, k->softcap(F(0), r->cap, r->n))
CALL(softcap_grad, k->softcap_grad(F(0), F(1), r->cap, r->n))
CALL(dot, r->ret = (double)k->dot(F(0), F(1), r->n))
CALL(sumsq, r->ret = k->sumsq(F(0), r->n))
CALL(max, r->ret = (double)k->max(F(0), r->n))
CALL(max_abs, r->ret = (double)k->max_abs(F(0), r->n))
CALL(exp_sum, r->ret = (double)k->exp_sum(F(0), F(1), r->shift, r->n))
CALL(exp_scale, k->exp_scale(F(0), F(1), r->shift, r->factor, r->n))

CALL(rmsnorm, r->ret = (double)k->rmsnorm(F(0), F(1), F(2), 1e-5f, r->n))
CALL(rmsnorm_grad, k->rmsnorm_grad(F(0), F(4), F(1), F(2), F(3), r->rstd, false, r->n))
CALL(rmsnorm_grad_add, k->rmsnorm_grad(F(0), F(4), F(1), F(2), F(3), r->rstd, true, r->n))
CALL(rmsnorm_grad_fixed, k->rmsnorm_grad(F(0), NULL, F(1), F(2), F(3), r->rstd, false, r->n))
CALL(rope, k->rope(F(0), F(1), F(2), F(3), false, r->n))
CALL(rope_inverse, k->rope(F(0), F(1), F(2), F(3), true, r->n))
CALL(swiglu, k->swiglu(F(0), F(1), F(2), r->n))
CALL(swiglu_grad, k->swiglu_grad(F(0), F(1), F(2), F(3), F(4), r->n))
CALL(relu2, k->relu2(F(0), F(1), r->n))
CALL(relu2_grad, k->relu2_grad(F(0), F(1), F(2), r->n))
CALL(adamw, k->adamw(F(0), F(1), F(2), F(3), &r->adamw, r->n))
CALL(lion, k->lion(F(0), F(1), F(2), &r->lion, r->n))

CALL(momentum, k->momentum(F(0), F(1), F(2), &r->momentum, r->n))

/* Magnitudes. */

MAGNITUDE(axpy, return A(0, i) + fabs((double)r->a) * A(1, i))
MAGNITUDE(add_scaled, return A(1, i) + fabs((double)r->a) * A(2, i))
/* exp may overflow before a small factor brings it back */
MAGNITUDE(exp_scale,
          return exp((double)(F(1)[i] - r->shift)) > (double)FLT_MAX ? (double)INFINITY : 0)
MAGNITUDE(swiglu, return A(1, i) / (1 + exp(-(double)F(1)[i])) * A(2, i))
MAGNITUDE(swiglu_grad, double g = (double)F(3)[i], s = 1 / (1 + exp(-g)), rest = 1 / (1 + exp(g));
          return A(2, i) * (array == 0 ? A(4, i) * s * (1 + fabs(g) * rest) : fabs(g) * s))
MAGNITUDE(rope, int64_t h = r->n / 2, j = i % h;
          return A(1, j) * A(i < h ? 2 : 3, j) + A(1, j + h) * A(i < h ? 3 : 2, j))
MAGNITUDE(lion, const struct kern_lion *p = &r->lion;
          if (array == 0) return A(0, i) + (double)p->lr;
          return (double)p->b2 * A(2, i) + (1 - (double)p->b2) * (double)p->gscale * A(1, i))

MAGNITUDE(momentum, const struct kern_momentum *p = &r->momentum;
          const double m = (double)p->b1 * A(2, i) + (double)p->gscale * A(1, i);
          return array == 0 ? A(0, i) + (double)p->lr * m : m)

static double of_rmsnorm_grad(const struct row *r, int array, int64_t i) {
    double h = A(2, i) * (double)r->rstd;
    if (array == 4) return A(4, i) + A(1, i) * h;
    double mean = 0;
    for (int64_t j = 0; j < r->n; j++) mean += A(1, j) * A(3, j) * A(2, j) * (double)r->rstd;
    return (double)r->rstd * (A(1, i) * A(3, i) + h * mean / (double)r->n);
}

static double of_rmsnorm_grad_add(const struct row *r, int array, int64_t i) {
    return of_rmsnorm_grad(r, array, i) + (array == 0 ? A(0, i) : 0);
}

static double of_adamw(const struct row *r, int array, int64_t i) {
    const struct kern_adamw *p = &r->adamw;
    double g = (double)p->gscale * A(1, i);
    double m = (double)p->b1 * A(2, i) + (1 - (double)p->b1) * g;
    double v = (double)p->b2 * A(3, i) + (1 - (double)p->b2) * g * g;
    if (array != 0) return array == 2 ? m : v;
    double step = m / (double)p->c1 / (sqrt(v / (double)p->c2) + (double)p->eps);
    return A(0, i) * (1 + (double)p->lr * (double)p->wd) + (double)p->lr * step;
}

static double of_dot(const struct row *r) {
    double s = 0;
    for (int64_t i = 0; i < r->n; i++) s += A(0, i) * A(1, i);
    return s;
}

static const struct item items[] = {
    {"bf16_from_f32", "Oi", call_bf16_from_f32, .spread = 140, .flags = SPECIAL | BIG | ONLY_BITS},
    {"f32_from_bf16", "oI", call_f32_from_bf16, .flags = SPECIAL | BIG | ONLY_BITS},
    {"f16_from_f32", "Oi", call_f16_from_f32, .spread = 30, .flags = SPECIAL | BIG | ONLY_BITS},
    {"f32_from_f16", "oI", call_f32_from_f16, .flags = SPECIAL | BIG | ONLY_BITS},
    {"q8_from_f32", "Qi", call_q8_from_f32, .spread = 10,
     .flags = SPECIAL | BIG | ONLY_BITS | BLOCKS},
    {"f32_from_q8", "oq", call_f32_from_q8, .flags = SPECIAL | BIG | ONLY_BITS | BLOCKS},
    {"bf16_by_chance", "Oi", call_bf16_by_chance, .spread = 100, .flags = SPECIAL | ONLY_BITS},
    {"signs", "b", call_signs, .flags = ONLY_BITS},
    {"add_signs", "oiI", call_add_signs, .spread = 40, .flags = ONLY_BITS, .alias = "01"},
    {"add_signs_zero", "oI", call_add_signs_zero, .flags = ONLY_BITS},
    {"axpy", "bi", call_axpy, of_axpy, .tol = 1.01, .spread = 40, .flags = SPECIAL | BIG},
    {"add_scaled", "oii", call_add_scaled, of_add_scaled, .tol = 1.01, .spread = 40,
     .flags = SPECIAL | BIG, .alias = "01 02"},
    {"scale", "b", call_scale, .tol = 0.5, .spread = 100, .flags = SPECIAL | BIG | ONLY_BITS},
    {"softcap", "b", call_softcap, .tol = 4, .abs = 1e-42, .spread = 20, .flags = SPECIAL | BIG},
    {"softcap_grad", "bi", call_softcap_grad, .tol = 4, .spread = 4, .flags = SPECIAL},
    {"dot", "ii", call_dot, .ret = of_dot, .tol_ret = 4, .spread = 30, .flags = SPECIAL | BIG},
    {"sumsq", "i", call_sumsq, .tol_ret = 1e-5, .spread = 70, .flags = SPECIAL | BIG},
    {"max", "i", call_max, .spread = 100, .flags = SPECIAL | BIG | NO_NAN | SOME},
    {"max_abs", "i", call_max_abs, .spread = 100, .flags = SPECIAL | BIG | NO_NAN | SOME},
    {"exp_sum", "oi", call_exp_sum, .tol = 2.5, .tol_ret = 4, .spread = 7, .flags = SPECIAL | BIG,
     .alias = "01"},
    {"exp_scale", "oi", call_exp_scale, of_exp_scale, .tol = 2.5, .spread = 7,
     .flags = SPECIAL | BIG, .alias = "01"},
    {"rmsnorm", "oii", call_rmsnorm, .tol = 2.5, .tol_ret = 0.51, .spread = 12, .flags = SPECIAL},
    {"rmsnorm_grad", "oiiib", call_rmsnorm_grad, of_rmsnorm_grad, .tol = 6, .spread = 8,
     .flags = SPECIAL, .alias = "01"},
    {"rmsnorm_grad_add", "biiib", call_rmsnorm_grad_add, of_rmsnorm_grad_add, .tol = 6, .spread = 8,
     .flags = SPECIAL},
    {"rmsnorm_grad_fixed", "oiii", call_rmsnorm_grad_fixed, of_rmsnorm_grad, .tol = 6, .spread = 8,
     .flags = SPECIAL, .alias = "01"},
    {"rope", "oihh", call_rope, of_rope, .tol = 1.01, .spread = 30, .flags = SPECIAL | BIG | EVEN,
     .alias = "01"},
    {"rope_inverse", "oihh", call_rope_inverse, of_rope, .tol = 1.01, .spread = 30,
     .flags = SPECIAL | BIG | EVEN, .alias = "01"},
    {"swiglu", "oii", call_swiglu, of_swiglu, .tol = 4, .abs = 1e-33, .spread = 7,
     .flags = SPECIAL},
    {"swiglu_grad", "ooiii", call_swiglu_grad, of_swiglu_grad, .tol = 8, .abs = 1e-30, .spread = 7,
     .flags = SPECIAL, .alias = "03 14 0314"},
    {"relu2", "oi", call_relu2, .tol = 0.51, .spread = 40, .flags = SPECIAL},
    {"relu2_grad", "oii", call_relu2_grad, .tol = 0.51, .spread = 40, .flags = SPECIAL,
     .alias = "02"},
    /* abs: the last bit of a subnormal m, divided by eps */
    {"adamw", "bibv", call_adamw, of_adamw, .tol = 5, .abs = 1e-39, .spread = 12, .flags = SPECIAL},
    {"lion", "bib", call_lion, of_lion, .tol = 2, .spread = 20, .flags = SPECIAL},
    {"momentum", "bib", call_momentum, of_momentum, .tol = 3, .spread = 20, .flags = SPECIAL},
};

enum { N_ITEMS = sizeof items / sizeof *items };

static const struct {
    const struct item *items;
    int n;
} tables[] = {{items, N_ITEMS},
              {kern_attn_items, KERN_ATTN_ITEMS},
              {kern_step_items, KERN_STEP_ITEMS}};

/* Rows that are further forms of a kernel: add_signs_zero, rmsnorm_grad_add, rmsnorm_grad_fixed,
 * rope_inverse, and three of each step. */
#define FORMS 10
_Static_assert(N_ITEMS + KERN_ATTN_ITEMS + KERN_STEP_ITEMS - FORMS ==
                   (sizeof(struct kern) - sizeof(char *)) / sizeof(void (*)(void)),
               "every kernel has a row");

static const char *const kinds[] = {"normal", "wide", "special"};

static bool is_half(char arg) {
    return strchr("IOBqQ", arg) != NULL;
}

static bool is_output(char arg) {
    return strchr("obvOBQ", arg) != NULL;
}

static int64_t count(char arg, int64_t n) {
    return arg == 'h' ? n / 2 : arg == 'q' || arg == 'Q' ? n / 32 * 17 : n;
}

static size_t bytes_of(char arg, int64_t n) {
    return (size_t)count(arg, n) * (is_half(arg) ? sizeof(uint16_t) : sizeof(float));
}

/* Input of kind 0, 1 or 2 (see kinds) for one array. */
static void fill(struct check *c, const struct item *it, char arg, float *x, int64_t n, int kind) {
    static const float special[] = {0.0f,     -0.0f,     1e-45f, -1e-41f, FLT_MIN, -FLT_MIN,
                                    INFINITY, -INFINITY, NAN,    FLT_MAX, -1e38f,  1e30f};
    if (kind == 1)
        check_wide(c, x, n, it->spread);
    else
        check_normal(c, x, n, 1);
    for (int64_t i = 0; kind == 2 && i < n; i++) {
        if (rng_below(&c->rng, 4)) continue;
        float s = special[rng_below(&c->rng, sizeof special / sizeof *special)];
        if (isnan(s) && it->flags & NO_NAN) continue;
        if (isfinite(s) && fabsf(s) > 1e20f && !(it->flags & BIG)) continue;
        x[i] = s;
    }
    for (int64_t i = 0; arg == 'v' && i < n; i++) x[i] = fabsf(x[i]);
}

/* Original inputs of one case, and what the reference makes of them. */
struct data {
    float in[MAX_ARRAYS][MAX_N], want[MAX_ARRAYS][MAX_N], got[MAX_ARRAYS][MAX_N];
    struct row before, ref;
};

static void generate(struct check *c, const struct item *it, int64_t n, int kind, struct data *d) {
    const struct kern_adamw adamw = {1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.271f, 0.142625f, 0.7f};
    const struct kern_lion lion = {1e-3f, 0.9f, 0.99f, 0.1f, 0.7f};
    struct row r = {.n = n, .adamw = adamw, .lion = lion};
    r.momentum = (struct kern_momentum){1e-3f, 0.9f, n % 2 ? 0.9f : 1, 0.7f};
    r.a = (float)rng_normal(&c->rng);
    r.shift = (float)rng_normal(&c->rng);
    r.factor = (float)rng_double(&c->rng);
    r.rstd = (float)(0.1 + rng_double(&c->rng));
    r.cap = (float)(16 + rng_double(&c->rng) / 4); /* just above 2^spread of softcap_grad */
    d->before = d->ref = r;
    for (int j = 0; it->args[j]; j++) {
        if (is_half(it->args[j])) {
            uint16_t *u = (uint16_t *)d->in[j];
            for (int64_t i = 0; i < count(it->args[j], n); i++) u[i] = (uint16_t)rng_next(&c->rng);
        } else {
            fill(c, it, it->args[j], d->in[j], count(it->args[j], n), kind);
        }
        memcpy(d->want[j], d->in[j], bytes_of(it->args[j], n));
        d->before.p[j] = d->in[j];
        d->ref.p[j] = d->want[j];
    }
    it->call(&kern_scalar, &d->ref);
}

/* Lion's sign is not defined to the last bit where the two terms cancel. */
static bool undecided(const struct item *it, const struct row *in, int64_t i) {
    if (it->call != call_lion) return false;
    const struct kern_lion *p = &in->lion;
    double m = (double)p->b1 * (double)((float *)in->p[2])[i];
    double g = (1 - (double)p->b1) * (double)p->gscale * (double)((float *)in->p[1])[i];
    return fabs(m + g) < 1e-6 * (fabs(m) + fabs(g)) + 1e-44;
}

static void compare(struct check *c, const struct item *it, const struct data *d, double ret) {
    for (int j = 0; it->args[j]; j++) {
        const char arg = it->args[j];
        bool ok = true;
        for (int64_t i = 0; ok && i < count(arg, c->n); i++) {
            if (is_half(arg)) {
                ok = check_bits(c, i, ((const uint16_t *)d->got[j])[i],
                                ((const uint16_t *)d->want[j])[i]);
            } else if (!is_output(arg) || it->flags & ONLY_BITS) {
                uint32_t found, expected;
                memcpy(&found, &d->got[j][i], sizeof found);
                memcpy(&expected, &d->want[j][i], sizeof expected);
                ok = check_bits(c, i, found, expected);
            } else if (j > 0 || !undecided(it, &d->before, i)) {
                double scale = it->scale ? it->scale(&d->before, j, i) : 0;
                ok = check_near(c, i, (double)d->got[j][i], (double)d->want[j][i], scale, it->tol,
                                it->abs);
            }
        }
    }
    check_near(c, -1, ret, d->ref.ret, it->ret ? it->ret(&d->before) : 0, it->tol_ret, 0);
}

/* Runs the tier on copies of the input, placed by lead (-1: at the guard page, else different for
 * each array), outputs in the memory of inputs as the first word of alias says. */
static double run(struct check *c, const struct item *it, const struct kern *k, struct data *d,
                  int lead, const char *alias) {
    struct row r = d->before;
    for (int j = 0; it->args[j]; j++) {
        size_t unit = is_half(it->args[j]) ? sizeof(uint16_t) : sizeof(float);
        int at = lead < 0 ? -1 : (int)(unit * (size_t)((lead + 3 * j) % 16));
        r.p[j] = check_place(c, j, bytes_of(it->args[j], c->n), at);
        memcpy(r.p[j], d->in[j], bytes_of(it->args[j], c->n));
    }
    for (; *alias && *alias != ' '; alias += 2) r.p[alias[0] - '0'] = r.p[alias[1] - '0'];
    it->call(k, &r);
    check_intact(c);
    for (int j = 0; it->args[j]; j++) memcpy(d->got[j], r.p[j], bytes_of(it->args[j], c->n));
    return r.ret;
}

/* Runs again at other addresses: all arrays must end as in the first run, kept in first and ret,
 * but for those whose memory an output took. */
static void run_again(struct check *c, const struct item *it, const struct kern *k, struct data *d,
                      float (*first)[MAX_N], double ret, const char *alias) {
    double again = run(c, it, k, d, (int)(c->n % 16), alias);
    bool ok = !memcmp(&again, &ret, sizeof ret);
    for (int j = 0; it->args[j]; j++) {
        bool taken = false;
        for (const char *p = alias; *p && *p != ' '; p += 2) taken = taken || p[1] - '0' == j;
        if (!taken) ok = ok && !memcmp(d->got[j], first[j], bytes_of(it->args[j], c->n));
    }
    check_that(c, ok, "the result is the same at other addresses, bit for bit");
}

static void check_case(struct check *c, const struct item *it, const struct kern *k, int64_t n,
                       int kind, struct data *d) {
    static float first[MAX_ARRAYS][MAX_N];
    c->n = n;
    c->note = kinds[kind];
    generate(c, it, n, kind, d);
    double ret = run(c, it, k, d, -1, "");
    compare(c, it, d, ret);
    memcpy(first, d->got, sizeof first);
    run_again(c, it, k, d, first, ret, "");
    c->note = "in place";
    for (const char *p = it->alias; p; p = strchr(p, ' '), p = p ? p + 1 : NULL)
        run_again(c, it, k, d, first, ret, p);
}

static void check_item(struct check *c, const struct item *it, const struct kern *k,
                       struct data *d) {
    static const int more[] = {128, 512, 1408};
    for (int j = 0; j < 68 + 3; j++) {
        int64_t n = j < 68 ? j : more[j - 68];
        if (it->flags & EVEN) n &= ~(int64_t)1;
        if (it->flags & BLOCKS) n &= ~(int64_t)31;
        if (it->flags & SOME && n == 0) n = 1;
        for (int kind = 0; kind < 3; kind++)
            if (kind < 2 || it->flags & SPECIAL) check_case(c, it, k, n, kind, d);
    }
    if (it->more) it->more(c, k);
}

/* exp over its whole range against the exact value, and its edges. */
static void check_exp(struct check *c, const struct kern *k) {
    enum { N = 4096 };
    static float x[N], y[N];
    const float low = nextafterf(-87.3f, -INFINITY),
                high = 88.7228317f; /* the last below infinity */
    const float edges[] = {-87.3f, low, high, 88.7228394f, 0.0f, -0.0f, 1e-40f, -1e-8f, -INFINITY};
    c->note = "whole range";
    for (int round = 0; round < 64; round++) {
        for (int i = 0; i < N; i++)
            x[i] = (float)(-87.3 + (87.3 + 88.72) * (i + rng_double(&c->rng)) / N);
        if (round == 0) memcpy(x, edges, sizeof edges);
        c->n = N;
        k->exp_sum(y, x, 0.0f, N);
        for (int i = 0; i < N; i++) {
            double e = exp((double)x[i]);
            e = x[i] < -87.3f ? 0 : e > (double)FLT_MAX ? (double)INFINITY : e;
            check_near(c, i, (double)y[i], e, 0, 2, 0);
        }
        if (round == 0) check_that(c, y[4] == 1.0f && y[5] == 1.0f, "exp(0) is exactly 1");
    }
}

/* tanh from tiny to saturated, against the exact value. */
static void check_tanh(struct check *c, const struct kern *k) {
    enum { N = 4096 };
    static float x[N], y[N];
    c->note = "whole range";
    c->n = N;
    for (int round = 0; round < 16; round++) {
        check_wide(c, x, N, round < 8 ? 6 : 60);
        memcpy(y, x, sizeof y);
        k->softcap(y, 1.0f, N);
        for (int i = 0; i < N; i++) check_near(c, i, (double)y[i], tanh((double)x[i]), 0, 4, 0);
    }
}

/* Times. */

struct timing {
    const struct item *it;
    const struct kern *k;
    struct row r;
};

static void timed_call(void *ctx) {
    struct timing *t = ctx;
    t->it->call(t->k, &t->r);
}

static void bench(struct check *c, const struct item *it, const struct kern *k) {
    static const int64_t sizes[] = {512, 1408, 1 << 20};
    const struct kern_adamw adamw = {1e-6f, 0.9f, 0.95f, 1e-8f, 0.1f, 1.0f, 1.0f, 1.0f};
    const struct kern_lion lion = {1e-6f, 0.9f, 0.99f, 0.1f, 1.0f};
    printf("%-20s %-11s", it->name, k->name);
    for (int s = 0; s < 3; s++) {
        /* scalars that leave repeated in-place results where they are */
        struct row r = {.n = sizes[s], .a = 1, .shift = 1, .factor = 1, .rstd = 1, .cap = 1e6f};
        r.adamw = adamw;
        r.lion = lion;
        r.momentum = (struct kern_momentum){1e-6f, 0.9f, 1, 1};
        struct timing t = {it, k, r};
        double bytes = 0;
        for (int j = 0; it->args[j]; j++) {
            const char arg = it->args[j];
            size_t size = bytes_of(arg, sizes[s]);
            float *p = aligned_alloc(64, (size + 63) & ~(size_t)63);
            if (!p) abort();
            if (is_half(arg))
                memset(p, 0x3F, size);
            else
                fill(c, it, arg, p, count(arg, sizes[s]), 0);
            t.r.p[j] = p;
            bytes += (double)size * (strchr("bvB", arg) ? 2 : 1);
        }
        double seconds = check_time(timed_call, &t);
        printf("  %8.3f ns %6.1f GB/s", seconds * 1e9 / (double)sizes[s], bytes / seconds * 1e-9);
        for (int j = 0; it->args[j]; j++) free(t.r.p[j]);
    }
    printf("\n");
}

/* No member is NULL: a kernel was added to struct kern and to every table. */
static bool full(const struct kern *k) {
    void (*f[sizeof *k / sizeof(void (*)(void))])(void);
    memcpy(f, k, sizeof f);
    for (size_t i = 0; i < sizeof f / sizeof *f; i++)
        if (!f[i]) return false;
    return true;
}

static void check_tiers(struct check *c, const struct item *it, struct data *d) {
    for (int tier = c->bench ? -1 : 0; tier < CPU_TIER_COUNT; tier++) {
        const struct kern *k = tier < 0 ? &kern_scalar : kern_tier(tier);
        if (!k || !check_begin(c, it->name, k->name)) continue;
        if (c->bench)
            bench(c, it, k);
        else
            check_item(c, it, k, d);
        check_end(c);
    }
}

void check_kern(struct check *c) {
    static struct data data;
    if (c->bench)
        printf("%-20s %-11s  per element at n = 512, 1408 and 1048576; bytes read and written\n",
               "kernel", "tier");
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (int j = 0; j < tables[t].n; j++) check_tiers(c, tables[t].items + j, &data);
    for (int tier = 0; tier < CPU_TIER_COUNT && !c->bench; tier++) {
        const struct kern *k = kern_tier(tier);
        if (!k) continue;
        if (check_begin(c, "exp", k->name)) {
            check_exp(c, k);
            check_end(c);
        }
        if (check_begin(c, "tanh", k->name)) {
            check_tanh(c, k);
            check_end(c);
        }
    }
    if (!c->bench && check_begin(c, "dispatch", "")) {
        check_that(c, kern() == kern_tier((int)cpu_best()), "kern() is the best table");
        check_that(c, !kern_tier(-1) && !kern_tier(CPU_TIER_COUNT), "unknown tiers have no table");
        check_that(c, full(&kern_scalar), "the reference has every kernel");
        for (int tier = 0; tier < CPU_TIER_COUNT; tier++)
            check_that(c, !kern_tier(tier) || full(kern_tier(tier)), "every tier has every kernel");
        check_that(c, kern_tier(CPU_generic) != NULL, "the generic tier always exists");
        check_end(c);
    }
}
