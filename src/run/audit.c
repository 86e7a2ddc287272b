#include "audit_impl.h"

#include "finite.h"
#include "opt.h"
#include "zo.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNKS = 64 };

/* A tile of a parameter. */
struct audit_span {
    int param;
    int64_t begin, n;
};

/* ---- groups --------------------------------------------------------------------------------- */

static const char *kind_name(const struct param *p) {
    if (p->role == ROLE_lora) return strstr(p->name, ".lora_A.") ? "LoRA A" : "LoRA B";
    return p->part->group;
}

static void group_name(const struct param *p, bool by_layer, char *name, size_t size) {
    if (by_layer && p->layer >= 0)
        snprintf(name, size, "layer %d", p->layer);
    else
        snprintf(name, size, "%s", kind_name(p));
}

static int find_group(const struct audit *a, const char *name) {
    for (int k = 0; k < a->n_groups; k++)
        if (!strcmp(a->group[k].name, name)) return k;
    return a->n_groups;
}

/* The groups in the order of the table, and all of them together where there are several. */
static void make_groups(struct audit *a) {
    int64_t all = 0;
    for (int i = 0; i < a->model->n_params; i++) {
        const struct param *p = a->model->params + i;
        char name[sizeof a->group->name];
        a->group_of[i] = -1;
        if (!p->trainable) continue;
        group_name(p, a->opts.by_layer, name, sizeof name);
        const int k = a->group_of[i] = find_group(a, name);
        struct audit_group *g = a->group + k;
        if (k == a->n_groups) memcpy(g->name, name, sizeof name);
        a->n_groups += k == a->n_groups;
        g->n += param_count(p);
        all += param_count(p);
    }
    if (a->n_groups < 2) return;
    struct audit_group *g = a->group + a->n_groups++;
    snprintf(g->name, sizeof g->name, "all together");
    g->n = all;
}

/* Group k, or the last, of all. */
static bool in_group(const struct audit *a, int k, int param) {
    const int of = a->group_of[param];
    return of == k || (of >= 0 && a->n_groups > 1 && k == a->n_groups - 1);
}

/* ---- memory --------------------------------------------------------------------------------- */

/* Of the gradient, or of the probes. No update is made: the optimizer is one without state. */
static struct run_opts run_of(const struct audit_opts *o, bool gradient) {
    struct run_opts r = {.engine = engine_find(gradient ? "backprop" : "mezo"),
                         .engine_opts = {.batch = o->batch,
                                         .seq = o->seq,
                                         .machine = gradient ? o->machine_grad : o->machine,
                                         .hyper = opt_hyper_of(opt_find("sgd")),
                                         .seed = o->seed},
                         .accum = 1,
                         .data = o->data,
                         .cancel = o->cancel};
    struct engine_opts *eo = &r.engine_opts;
    if (gradient) {
        eo->recompute = o->recompute;
    } else {
        eo->estimator = zo_find("spsa");
        eo->directions = eo->max_accum = 1;
        eo->eps = o->eps;
    }
    return r;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static size_t count_spans(const struct model *m) {
    int64_t n = 0;
    for (int i = 0; i < m->n_params; i++)
        n += (param_count(m->params + i) + OPT_TILE - 1) / OPT_TILE;
    return (size_t)n;
}

static size_t own_bytes(const struct model *m, const struct audit_opts *o) {
    const size_t groups = (size_t)m->n_params + 1, spans = count_spans(m), N = (size_t)o->seeds;
    return arena_need(groups, sizeof(struct audit_group)) + arena_need(groups, sizeof(int)) +
           arena_need(groups, sizeof(struct direction_tensor)) +
           arena_need(groups, sizeof(float)) + groups * 3 * arena_need(N, sizeof(double)) +
           arena_need((size_t)(SIDES * o->batch), sizeof(double)) +
           arena_need(spans, sizeof(struct audit_span)) +
           arena_need(CHUNKS * (N_SUMS + N), sizeof(double)) +
           arena_need((size_t)machine_threads(o->machine) * 2 * OPT_TILE, sizeof(float));
}

int audit_plan(struct model *m, const struct audit_opts *o, struct engine_memory *mem,
               struct err *e) {
    int rc;
    struct engine_memory of[2];
    size_t most = 0;
    for (int i = 0; i < 2; i++) {
        const struct run_opts r = run_of(o, !i);
        TRY(run_plan(of + i, r.engine, m, &r.engine_opts, 0, e));
        const size_t passes = of[i].total - of[i].weights - of[i].gradients;
        if (passes > most) most = passes;
    }
    *mem = (struct engine_memory){.weights = of[0].weights,
                                  .gradients = of[0].gradients,
                                  .passing = most + own_bytes(m, o)};
    mem->total = mem->weights + mem->gradients + mem->passing;
out:
    return rc;
}

static void take_tables(struct audit *a) {
    const struct audit_opts *o = &a->opts;
    struct arena *mem = &a->mem;
    const size_t n = (size_t)a->model->n_params + 1;
    a->group = arena_alloc(mem, n, sizeof *a->group);
    a->group_of = arena_alloc(mem, n, sizeof *a->group_of);
    a->tensor = arena_alloc(mem, n, sizeof *a->tensor);
    a->scale = arena_alloc(mem, n, sizeof *a->scale);
    a->losses = arena_alloc(mem, (size_t)(SIDES * o->batch), sizeof *a->losses);
    a->span = arena_alloc(mem, count_spans(a->model), sizeof *a->span);
    a->sums = arena_alloc(mem, CHUNKS * (N_SUMS + (size_t)o->seeds), sizeof *a->sums);
    a->tiles =
        arena_alloc(mem, (size_t)machine_threads(o->machine) * 2 * OPT_TILE, sizeof *a->tiles);
}

int audit_open(struct audit *a, struct model *m, const struct audit_opts *o, struct err *e) {
    int rc;
    assert(o->seeds >= AUDIT_LEAST_SEEDS && o->eps > 0 && o->machine_grad->gemm->compute == DT_F32);
    *a = (struct audit){.opts = *o, .model = m};
    if (!engine_grad_bytes(m))
        return err_set(e, ERR_USAGE, "the model has no weights that are trained: nothing to audit");
    TRY(arena_init(&a->mem, own_bytes(m, o), "the audit", e));
    take_tables(a);
    a->space = zo_space(&direction_rademacher, a->tensor, m->params, m->n_params);
    make_groups(a);
    for (int k = 0; k < a->n_groups; k++) {
        double **const per[] = {&a->group[k].coef, &a->group[k].coef2, &a->group[k].slope};
        for (int i = 0; i < 3; i++)
            *per[i] = arena_alloc(&a->mem, (size_t)o->seeds, sizeof(double));
    }
out:
    if (rc) audit_close(a);
    return rc;
}

void audit_close(struct audit *a) {
    run_close(a->run);
    arena_release(&a->mem);
    engine_grads_close(&a->grads, a->model);
    *a = (struct audit){0};
}

/* ---- the two engines ------------------------------------------------------------------------ */

int audit_gradient(struct audit *a, struct err *e) {
    int rc;
    struct run *r = NULL;
    const struct run_opts o = run_of(&a->opts, true);
    run_close(a->run); /* the two are not open at once */
    a->run = NULL;
    engine_grads_close(&a->grads, a->model);
    TRY(run_open(&r, a->model, &o, NULL, NULL, e));
    TRY(run_gradient(r, &a->loss, e));
    run_close_keep(r, &a->grads);
    r = NULL;
    if (!isfinite(a->loss)) rc = finite_explain(a->model, "the loss", e);
    for (int i = 0; i < a->model->n_params && !rc; i++) {
        const struct param *p = a->model->params + i;
        if (p->grad && !finite_all(p->grad, param_count(p)))
            rc = finite_explain(a->model, "the gradient", e);
    }
out:
    run_close(r);
    return rc;
}

int audit_has_gradient(const struct audit *a, struct err *e) {
    return a->grads.size ? 0 : err_set(e, ERR_USAGE, "an audit begins with its gradient");
}

static uint64_t seed_of(const struct audit *a, int64_t s) {
    return zo_seed(a->opts.seed, s, 0);
}

int audit_coefficient(struct audit *a, int64_t s, double eps, const float *scale, double *c,
                      struct err *e) {
    int rc;
    const uint64_t seed = seed_of(a, s);
    float coef;
    const struct engine_probe p = {
        .n = 1, .seed = &seed, .eps = eps, .scale = scale, .coef = &coef, .losses = a->losses};
    if (!a->run) {
        const struct run_opts o = run_of(&a->opts, false);
        TRY(run_open(&a->run, a->model, &o, NULL, NULL, e));
    }
    TRY(run_probe(a->run, &p, NULL, e));
    *c = (double)coef;
out:
    return rc;
}

/* Group k alone moves. */
static int probe_group(struct audit *a, int k, struct err *e) {
    int rc = 0;
    const double eps = a->opts.eps;
    struct audit_group *g = a->group + k;
    for (int i = 0; i < a->model->n_params; i++)
        a->scale[i] = in_group(a, k, i) ? a->model->params[i].move : 0;
    for (int64_t s = 0; s < a->opts.seeds; s++) {
        TRY(audit_coefficient(a, s, eps, a->scale, g->coef + s, e));
        TRY(audit_coefficient(a, s, 2 * eps, a->scale, g->coef2 + s, e));
        if (!isfinite(g->coef[s]) || !isfinite(g->coef2[s])) {
            rc = finite_explain(a->model, "the loss of perturbed weights", e);
            goto out;
        }
        if (a->opts.progress)
            a->opts.progress(a->opts.ctx, k * a->opts.seeds + s + 1, a->n_groups * a->opts.seeds);
    }
out:
    return rc;
}

/* ---- sums over a group's weights ------------------------------------------------------------ */

struct sums_job {
    const struct audit *a;
    const struct audit_group *g;
    int64_t n_spans, chunks;
};

/* Eight partial sums, so that additions do not wait for each other. */
static double dot(const float *x, const float *y, int64_t n) {
    double part[8] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++) part[l] += (double)x[i + l] * (double)y[i + l];
    for (; i < n; i++) part[0] += (double)x[i] * (double)y[i];
    for (int l = 0; l < 8; l++) sum += part[l];
    return sum;
}

static void add_span(const struct sums_job *j, const struct audit_span *s, double *sums, float *z,
                     float *estimate) {
    const struct param *p = j->a->model->params + s->param;
    const float *g = p->grad + s->begin;
    const int64_t N = j->a->opts.seeds;
    const double move2 = (double)p->move * (double)p->move;
    memset(estimate, 0, (size_t)s->n * sizeof *estimate);
    for (int64_t d = 0; d < N; d++) {
        const struct direction dir = direction_make(&j->a->space, seed_of(j->a, d), -1);
        memset(z, 0, (size_t)s->n * sizeof *z);
        direction_add(&dir, z, z, 1, s->param, 0, s->begin, s->n);
        sums[N_SUMS + d] += dot(g, z, s->n);
        direction_add(&dir, estimate, estimate, (float)(j->g->coef[d] / (double)N), s->param, 0,
                      s->begin, s->n);
    }
    for (int64_t i = 0; i < s->n; i++) {
        const double g2 = move2 * (double)g[i] * (double)g[i];
        sums[SUM_G2] += g2;
        sums[SUM_G4] += g2 * g2;
    }
    sums[SUM_E2] += dot(estimate, estimate, s->n) / move2;
    sums[SUM_EG] += dot(estimate, g, s->n);
}

static void add_spans(void *ctx, int64_t c, int tid) {
    const struct sums_job *j = ctx;
    float *z = j->a->tiles + (int64_t)tid * 2 * OPT_TILE;
    double *sums = j->a->sums + c * (N_SUMS + j->a->opts.seeds);
    for (int64_t i = c * j->n_spans / j->chunks; i < (c + 1) * j->n_spans / j->chunks; i++)
        add_span(j, j->a->span + i, sums, z, z + OPT_TILE);
}

/* Fills the sums (N_SUMS) and g.z. The chunks' sums are added in order: the same for any number of
 * threads. */
void audit_sum_group(struct audit *a, int k, double *sums) {
    const int64_t N = a->opts.seeds, width = N_SUMS + N;
    struct audit_group *g = a->group + k;
    struct sums_job j = {.a = a, .g = g};
    for (int i = 0; i < a->model->n_params; i++) {
        const int64_t count = param_count(a->model->params + i);
        for (int64_t at = 0; at < count && in_group(a, k, i); at += OPT_TILE)
            a->span[j.n_spans++] = (struct audit_span){i, at, smaller(count - at, OPT_TILE)};
    }
    j.chunks = smaller(j.n_spans, CHUNKS);
    memset(a->sums, 0, (size_t)(j.chunks * width) * sizeof *a->sums);
    pool_for(a->opts.machine->pool, j.chunks, add_spans, &j);
    memset(sums, 0, N_SUMS * sizeof *sums);
    memset(g->slope, 0, (size_t)N * sizeof *g->slope);
    for (int64_t c = 0; c < j.chunks; c++) {
        for (int i = 0; i < N_SUMS; i++) sums[i] += a->sums[c * width + i];
        for (int64_t d = 0; d < N; d++) g->slope[d] += a->sums[c * width + N_SUMS + d];
    }
}

/* ---- verdicts ------------------------------------------------------------------------------- */

static double rms_difference(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (x[i] - y[i]) * (x[i] - y[i]);
    return sqrt(sum / (double)n);
}

/* False for what is not a number, too. */
static bool agrees(const struct audit_check *c) {
    return fabs(c->found - c->theory) <= c->allowed;
}

static void check_derivative(struct audit_group *g, double n, double floor) {
    const double coarse = rms_difference(g->coef2, g->coef, (int64_t)n);
    const double unit = g->norm > 0 ? g->norm : 1;
    g->derivative = (struct audit_check){
        .found = rms_difference(g->coef, g->slope, (int64_t)n) / unit,
        .allowed = (1 + 4 / sqrt(n)) * coarse / unit + (g->norm > 0 ? floor : 0)};
}

static void check_estimate(struct audit_group *g, double N, const double *sums) {
    const double n = (double)g->n, g2 = sums[SUM_G2], r = g->derivative.allowed;
    const double spread = fmax(0, 1 - sums[SUM_G4] / (g2 * g2)), v = (n - 1) / N;
    double square = 0;
    for (int64_t s = 0; s < (int64_t)N; s++) square += g->coef[s] * g->coef[s] / N;
    g->square =
        (struct audit_check){.found = square / g2,
                             .theory = 1,
                             .allowed = 4 * sqrt(2 * spread / N) + 16 * spread / N + 2 * r + r * r};
    g->variance = (struct audit_check){
        .found = (sums[SUM_E2] - 2 * sums[SUM_EG] + g2) / g2,
        .theory = v,
        .allowed = v * (4 * sqrt(2 / N + 2 / n) + 16 / N + 16 / n + 2 * r + r * r) +
                   2 * r * sqrt(v) + r * r};
    g->cosine = sums[SUM_EG] / sqrt(sums[SUM_E2] * g2);
    g->cosine_theory = sqrt(N / (N + n - 1));
}

static void judge(struct audit_group *g, double N, double floor, const double *sums) {
    static const struct audit_check none = {NAN, NAN, NAN};
    g->norm = sqrt(sums[SUM_G2]);
    check_derivative(g, N, floor);
    g->square = g->variance = none;
    g->cosine = g->cosine_theory = NAN;
    const bool any = !(g->norm == 0);
    if (any) check_estimate(g, N, sums);
    const double coarse = any ? g->derivative.allowed : 0;
    g->verdict = coarse > 1                     ? AUDIT_COARSE
                 : !agrees(&g->derivative)      ? AUDIT_DERIVATIVE
                 : any && !agrees(&g->square)   ? AUDIT_SQUARE
                 : any && !agrees(&g->variance) ? AUDIT_VARIANCE
                 : coarse > 0.1                 ? AUDIT_COARSE
                                                : AUDIT_OK;
}

int audit_run(struct audit *a, struct err *e) {
    int rc;
    const double floor = a->opts.machine->gemm->compute == DT_F32 ? 1e-4 : 0.05;
    TRY(audit_has_gradient(a, e));
    for (int k = 0; k < a->n_groups; k++) {
        double sums[N_SUMS];
        TRY(probe_group(a, k, e));
        audit_sum_group(a, k, sums);
        judge(a->group + k, (double)a->opts.seeds, floor, sums);
    }
out:
    return rc;
}

const char *audit_verdict_name(enum audit_verdict v) {
    static const char *const names[] = {
        [AUDIT_OK] = "ok",
        [AUDIT_DERIVATIVE] = "differs: derivative",
        [AUDIT_SQUARE] = "differs: square",
        [AUDIT_VARIANCE] = "differs: variance",
        [AUDIT_COARSE] = "too coarse",
    };
    return names[v];
}
