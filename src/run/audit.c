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

static struct exec_opts grad_exec(const struct audit_opts *o) {
    return (struct exec_opts){.B = o->batch, .T = o->seq, .train = true, .recompute = o->recompute};
}

struct exec_opts audit_probe_exec(const struct audit_opts *o) {
    return (struct exec_opts){.B = SIDES * o->batch, .T = o->seq, .probes = SIDES};
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
           groups * 3 * arena_need(N, sizeof(double)) +
           3 * arena_need((size_t)(SIDES * o->batch * o->seq), sizeof(uint32_t)) +
           arena_need(spans, sizeof(struct audit_span)) +
           arena_need(CHUNKS * (N_SUMS + N), sizeof(double)) +
           arena_need((size_t)machine_threads(o->machine) * 2 * OPT_TILE, sizeof(float));
}

int audit_plan(struct model *m, const struct audit_opts *o, struct engine_memory *mem,
               struct err *e) {
    int rc;
    struct exec x = {0};
    const struct exec_opts grad = grad_exec(o), probes = audit_probe_exec(o);
    TRY(exec_plan(&x, &m->graph, o->machine_grad, &grad, e));
    const size_t first = exec_bytes(&x);
    exec_close(&x);
    TRY(exec_plan(&x, &m->graph, o->machine, &probes, e));
    const size_t second = exec_bytes(&x);
    *mem = (struct engine_memory){.weights = model_weight_bytes(m),
                                  .gradients = engine_grad_bytes(m),
                                  .passing = (first > second ? first : second) + own_bytes(m, o)};
    mem->total = mem->weights + mem->gradients + mem->passing;
out:
    exec_close(&x);
    return rc;
}

static void take_tables(struct audit *a) {
    const struct audit_opts *o = &a->opts;
    struct arena *mem = &a->mem;
    const size_t n = (size_t)a->model->n_params + 1, half = (size_t)(o->batch * o->seq);
    a->group = arena_alloc(mem, n, sizeof *a->group);
    a->group_of = arena_alloc(mem, n, sizeof *a->group_of);
    a->tensor = arena_alloc(mem, n, sizeof *a->tensor);
    a->span = arena_alloc(mem, count_spans(a->model), sizeof *a->span);
    a->sums = arena_alloc(mem, CHUNKS * (N_SUMS + (size_t)o->seeds), sizeof *a->sums);
    a->tiles =
        arena_alloc(mem, (size_t)machine_threads(o->machine) * 2 * OPT_TILE, sizeof *a->tiles);
    a->nll = arena_alloc(mem, SIDES * half, sizeof *a->nll);
    a->input = arena_alloc(mem, SIDES * half, sizeof *a->input);
    a->target = arena_alloc(mem, SIDES * half, sizeof *a->target);
    for (size_t side = 0; side < SIDES; side++) {
        memcpy(a->input + side * half, o->input, half * sizeof *a->input);
        memcpy(a->target + side * half, o->target, half * sizeof *a->target);
    }
}

int audit_open(struct audit *a, struct model *m, const struct audit_opts *o, struct err *e) {
    int rc;
    assert(o->seeds >= AUDIT_LEAST_SEEDS && o->eps > 0 && o->machine_grad->gemm->compute == DT_F32);
    *a = (struct audit){.opts = *o, .model = m};
    TRY(arena_init(&a->mem, own_bytes(m, o), "the audit", e));
    TRY(engine_grads_open(&a->grads, m, e));
    if (!a->grads.size) {
        rc = err_set(e, ERR_USAGE, "the model has no weights that are trained: nothing to audit");
        goto out;
    }
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
    exec_close(&a->exec);
    arena_release(&a->mem);
    engine_grads_close(&a->grads, a->model);
    *a = (struct audit){0};
}

/* ---- the two engines ------------------------------------------------------------------------ */

static double mean_nll(const float *nll, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)nll[i];
    return sum / (double)n;
}

int audit_gradient(struct audit *a, struct err *e) {
    struct exec x;
    const struct audit_opts *o = &a->opts;
    const struct exec_opts xo = grad_exec(o);
    const int rc = exec_open(&x, &a->model->graph, o->machine_grad, &xo, e);
    if (rc) return rc;
    const struct batch b = {.B = o->batch,
                            .T = o->seq,
                            .input = a->input,
                            .target = a->target,
                            .nll = a->nll,
                            .grad_scale = 1.0 / (double)(o->batch * o->seq)};
    exec_run(&x, &b);
    exec_close(&x);
    a->loss = mean_nll(a->nll, o->batch * o->seq);
    if (!isfinite(a->loss)) return finite_explain(a->model, "the loss", e);
    for (int i = 0; i < a->model->n_params; i++) {
        const struct param *p = a->model->params + i;
        if (p->grad && !finite_all(p->grad, param_count(p)))
            return finite_explain(a->model, "the gradient", e);
    }
    return 0;
}

/* c of one direction, as the MeZO engine makes it. */
double audit_coefficient(struct audit *a, uint64_t seed, double eps) {
    const struct audit_opts *o = &a->opts;
    const struct zo_kind *k = zo_find("spsa");
    const struct zo_shape shape = {.directions = 1, .batch = o->batch, .accum = 1, .eps = eps};
    struct probe probe[SIDES];
    double loss[SIDES];
    float coef;
    assert(k->probes(&shape) == SIDES);
    for (int p = 0; p < SIDES; p++) {
        int64_t direction;
        int side;
        k->probe(&shape, 0, p, &direction, &side);
        probe[p] = (struct probe){.dir = direction_make(&a->space, seed, -1),
                                  .eps = (float)(side * eps)};
    }
    const struct batch b = {.B = SIDES * o->batch,
                            .T = o->seq,
                            .probes = probe,
                            .n_probes = SIDES,
                            .input = a->input,
                            .target = a->target,
                            .nll = a->nll};
    exec_run(&a->exec, &b);
    const int64_t each = o->batch * o->seq;
    for (int p = 0; p < SIDES; p++) loss[p] = mean_nll(a->nll + p * each, each);
    k->estimate(&shape, loss, &coef);
    return (double)coef;
}

uint64_t audit_seed(const struct audit *a, int64_t s) {
    return zo_seed(a->opts.seed, s, 0);
}

/* For a while group k alone moves. */
static int probe_group(struct audit *a, int k, struct err *e) {
    int rc = 0;
    const struct param *params = a->model->params;
    struct audit_group *g = a->group + k;
    for (int i = 0; i < a->model->n_params; i++)
        a->tensor[i].scale = in_group(a, k, i) ? params[i].move : 0;
    for (int64_t s = 0; s < a->opts.seeds; s++) {
        g->coef[s] = audit_coefficient(a, audit_seed(a, s), a->opts.eps);
        g->coef2[s] = audit_coefficient(a, audit_seed(a, s), 2 * a->opts.eps);
        if (!isfinite(g->coef[s]) || !isfinite(g->coef2[s])) {
            rc = finite_explain(a->model, "the loss of perturbed weights", e);
            break;
        }
        if (a->opts.progress)
            a->opts.progress(a->opts.ctx, k * a->opts.seeds + s + 1, a->n_groups * a->opts.seeds);
    }
    zo_space(a->space.kind, a->tensor, params, a->model->n_params);
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
        const struct direction dir = direction_make(&j->a->space, audit_seed(j->a, d), -1);
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
    const struct exec_opts xo = audit_probe_exec(&a->opts);
    const double floor = a->opts.machine->gemm->compute == DT_F32 ? 1e-4 : 0.05;
    TRY(exec_open(&a->exec, &a->model->graph, a->opts.machine, &xo, e));
    for (int k = 0; k < a->n_groups; k++) {
        double sums[N_SUMS];
        TRY(probe_group(a, k, e));
        audit_sum_group(a, k, sums);
        judge(a->group + k, (double)a->opts.seeds, floor, sums);
    }
out:
    exec_close(&a->exec);
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
