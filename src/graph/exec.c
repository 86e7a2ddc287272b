#include "exec.h"

#include "clock.h"
#include "limit.h"
#include "op.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static int64_t positions(const struct exec *x) {
    return x->opts.cache ? x->opts.cache : x->opts.T;
}

/* Nodes that turn by the same angles share a table. */
static bool same_angles(const struct node *a, const struct node *b) {
    const size_t factors = (size_t)(a->head_dim / 2) * sizeof(double);
    if (a->theta != b->theta || a->head_dim != b->head_dim) return false;
    if (!a->rope_factors || !b->rope_factors) return a->rope_factors == b->rope_factors;
    return a->rope_factors == b->rope_factors ||
           !memcmp(a->rope_factors, b->rope_factors, factors);
}

/* The first rope node that turns like n: its table is n's. */
static const struct node *rope_first(const struct graph *g, const struct node *n) {
    for (const struct node *m = g->nodes; m < n; m++)
        if (m->op == &op_rope && same_angles(m, n)) return m;
    return n;
}

static bool has_table(const struct graph *g, const struct node *n) {
    return n->op == &op_rope && rope_first(g, n) == n;
}

static size_t table_bytes(const struct exec *x) {
    const struct graph *g = x->graph;
    size_t sum = 0;
    for (const struct node *n = g->nodes; n < g->nodes + g->n_nodes; n++)
        if (has_table(g, n))
            sum += 2 * arena_need((size_t)(positions(x) * n->head_dim / 2), sizeof(float));
    return sum;
}

int exec_plan(struct exec *x, const struct graph *g, const struct machine *m,
              const struct exec_opts *o, struct err *e) {
    *x = (struct exec){.graph = g, .machine = m, .opts = *o};
    memcpy(x->gemm, m->gemm, sizeof x->gemm);
    /* All later sizes are products of these and of columns that are below 2^31. */
    int64_t rows;
    if (o->B < 1 || o->T < 1 ||
        __builtin_mul_overflow(o->B, o->T > o->cache ? o->T : o->cache, &rows) ||
        rows > (int64_t)1 << 31)
        return err_set(e, ERR_INPUT, "a batch of %lld x %lld tokens is not possible",
                       (long long)o->B, (long long)o->T);
    assert(!o->cache || o->B == 1);
    return plan_make(&x->plan, x, e);
}

size_t exec_bytes(const struct exec *x) {
    return x->plan.arena_bytes + x->plan.cache_bytes + table_bytes(x) + exec_factor_bytes(x) +
           (size_t)machine_threads(x->machine) * x->plan.thread_bytes;
}

static struct rope_table make_table(struct exec *x, const struct node *n) {
    const int64_t half = n->head_dim / 2, np = positions(x);
    float *c = arena_alloc(&x->tables, (size_t)(np * half), sizeof *c);
    float *s = arena_alloc(&x->tables, (size_t)(np * half), sizeof *s);
    for (int64_t i = 0; i < half; i++) {
        const double factor = n->rope_factors ? n->rope_factors[i] : 1;
        const double freq = pow(n->theta, -2.0 * (double)i / n->head_dim) / factor;
        for (int64_t p = 0; p < np; p++) {
            c[p * half + i] = (float)cos((double)p * freq);
            s[p * half + i] = (float)sin((double)p * freq);
        }
    }
    return (struct rope_table){c, s};
}

static void fill_tables(struct exec *x) {
    const struct graph *g = x->graph;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *n = g->nodes + i;
        if (n->op != &op_rope) continue;
        const struct node *first = rope_first(g, n);
        x->rope[i] = first == n ? make_table(x, n) : x->rope[first - g->nodes];
    }
}

int exec_open(struct exec *x, const struct graph *g, const struct machine *m,
              const struct exec_opts *o, struct err *e) {
    int rc;
    TRY(exec_plan(x, g, m, o, e));
    const size_t threads = arena_round((size_t)machine_threads(x->machine) * x->plan.thread_bytes);
    TRY(arena_init(&x->mem, arena_round(x->plan.arena_bytes) + threads, "activations", e));
    TRY(arena_init(&x->cache, x->plan.cache_bytes, "the key/value cache", e));
    TRY(arena_init(&x->tables, table_bytes(x), "tables", e));
    TRY(arena_init(&x->factors, exec_factor_bytes(x), "factors of directions", e));
    x->threads = x->mem.base + arena_round(x->plan.arena_bytes);
    x->value = calloc((size_t)g->n_values + 1, sizeof *x->value);
    x->grad = calloc((size_t)g->n_values + 1, sizeof *x->grad);
    x->touched = calloc((size_t)g->n_params + 1, sizeof *x->touched);
    x->factor = calloc((size_t)g->n_params + 1, sizeof *x->factor);
    x->rope = calloc((size_t)g->n_nodes + 1, sizeof *x->rope);
    x->seconds = calloc((size_t)n_ops, sizeof *x->seconds);
    x->seconds_pack = calloc((size_t)n_ops, sizeof *x->seconds_pack);
    if (!x->value || !x->grad || !x->touched || !x->factor || !x->rope || !x->seconds ||
        !x->seconds_pack) {
        rc = err_set(e, ERR_NOMEM, "out of memory for tables");
        goto out;
    }
    fill_tables(x);
    rc = 0;
out:
    if (rc) exec_close(x);
    return rc;
}

int exec_open_within(struct exec *x, const struct graph *g, const struct machine *m,
                     const struct exec_opts *o, const char *what, struct err *e) {
    const int rc = exec_plan(x, g, m, o, e);
    if (rc) return rc;
    const size_t have = machine_memory(m), need = exec_bytes(x);
    const int64_t tokens = positions(x);
    exec_close(x);
    if (have && need > have)
        return err_set(e, ERR_NOMEM, "%s over %lld tokens needs %.1f MB, %.1f MB are available",
                       what, (long long)tokens, in_mb(need), in_mb(have));
    return exec_open(x, g, m, o, e);
}

void exec_close(struct exec *x) {
    plan_release(&x->plan);
    arena_release(&x->mem);
    arena_release(&x->cache);
    arena_release(&x->tables);
    arena_release(&x->factors);
    free(x->value);
    free(x->grad);
    free(x->touched);
    free(x->factor);
    free(x->rope);
    free(x->seconds);
    free(x->seconds_pack);
    *x = (struct exec){0};
}

static bool cancelled(const struct exec *x) {
    return x->opts.cancel && atomic_load_explicit(x->opts.cancel, memory_order_relaxed);
}

/* Averaged over the threads. */
static double packing_seconds(const struct exec *x) {
    return 1e-9 * (double)atomic_load_explicit(&x->packing, memory_order_relaxed) /
           machine_threads(x->machine);
}

bool exec_run(struct exec *x, const struct batch *b) {
    assert(b->B <= x->opts.B && b->T <= x->opts.T);
    assert(x->opts.cache ? b->pos + b->T <= x->opts.cache : b->pos == 0);
    assert(b->n_probes <= (x->opts.probes > 1 ? x->opts.probes : 1));
    assert(!b->n_probes || b->B % b->n_probes == 0);
    x->batch = *b;
    x->rows = b->B * b->T;
    for (int i = 0; i < GEMM_CLASSES; i++) x->gemm[i].packing = &x->packing;
    memset(x->touched, 0, (size_t)x->graph->n_params * sizeof *x->touched);
    for (int t = 0; t < x->plan.n_events; t++) {
        if (cancelled(x)) return false;
        const struct event *ev = x->plan.events + t;
        const struct node *n = x->graph->nodes + ev->node;
        for (int i = 0; i < ev->n_placements; i++) {
            const struct placement *p = x->plan.placements + ev->first_placement + i;
            char *at = (p->cache ? x->cache.base : x->mem.base) + p->offset;
            (p->grad ? x->grad : x->value)[p->value] = (float *)(void *)at;
        }
        x->event = ev;
        x->work = x->mem.base + ev->work;
        const bool back = ev->kind == EVENT_BACKWARD;
        const double begin = clock_seconds(), packed = packing_seconds(x);
        if (x->batch.n_probes) exec_make_factors(x, n);
        (back ? n->op->backward : n->op->forward)(x, n);
        x->seconds_pack[op_index(n->op)] += packing_seconds(x) - packed;
        x->seconds[op_index(n->op)][back || ev->again] += clock_seconds() - begin;
    }
    x->event = NULL;
    return true;
}

int exec_peaks_open(struct exec_peaks *p, const struct graph *g, struct err *e) {
    *p = (struct exec_peaks){0};
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].block >= p->n) p->n = g->nodes[i].block + 1;
    p->activation = calloc((size_t)p->n + 1, sizeof *p->activation);
    p->logit = calloc((size_t)p->n + 1, sizeof *p->logit);
    if (!p->activation || !p->logit) {
        exec_peaks_close(p);
        return err_set(e, ERR_NOMEM, "out of memory for tables");
    }
    exec_peaks_reset(p);
    return 0;
}

void exec_peaks_reset(struct exec_peaks *p) {
    for (int i = 0; i < p->n; i++) {
        p->activation[i] = -1;
        p->logit[i] = -INFINITY;
    }
}

void exec_peaks_close(struct exec_peaks *p) {
    free(p->activation);
    free(p->logit);
    *p = (struct exec_peaks){0};
}

/* The largest of numbers is the same in any order: results do not depend on threads. */
void exec_raise(float *peak, float x) {
    float old;
    __atomic_load(peak, &old, __ATOMIC_RELAXED);
    while (x > old &&
           !__atomic_compare_exchange(peak, &old, &x, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
}

float *exec_rows(const struct exec *x, int value) {
    const struct value *v = x->graph->values + value;
    const bool cached = x->opts.cache && v->cached;
    return x->value[value] + (cached ? x->batch.pos * v->cols : 0);
}

float *exec_param_grad(struct exec *x, int param, bool *add) {
    *add = x->batch.grad_add || x->touched[param];
    x->touched[param] = true;
    return x->graph->params[param].grad;
}
