/* Parameters as a run sees them: stored, or perturbed by its probes. */
#include "exec.h"

#include "op.h"

#include <assert.h>
#include <string.h>

/* The probes of a run lie in one space. */
static bool perturbed(const struct exec *x, int param) {
    return x->batch.n_probes && direction_scale(&x->batch.probes->dir, param) != 0;
}

/* ---- factors --------------------------------------------------------------------------------- */

/* Products of the node go over so many of its parameters' matrices as the probes see them; rows of
 * embeddings are read one by one. */
static bool has_factors(const struct graph *g, const struct node *n, int i) {
    return n->op != &op_embed && g->params[n->param[i]].ndim == 2;
}

static int64_t factor_floats(const struct exec *x, int param) {
    const struct param *p = x->graph->params + param;
    return x->opts.rank * (p->rows + p->cols) * (x->opts.probes > 1 ? x->opts.probes : 1);
}

size_t exec_factor_bytes(const struct exec *x) {
    size_t most = 0;
    for (int k = 0; k < x->graph->n_nodes && x->opts.rank; k++) {
        const struct node *n = x->graph->nodes + k;
        size_t sum = 0;
        for (int i = 0; i < n->n_param; i++)
            if (has_factors(x->graph, n, i))
                sum += arena_need((size_t)factor_floats(x, n->param[i]), sizeof(float));
        if (sum > most) most = sum;
    }
    return most;
}

struct factor_job {
    struct exec *x;
    int param;
};

static float *factor_u(const struct exec *x, int param, int v) {
    return x->factor[param] + v * x->opts.rank * x->graph->params[param].rows;
}

static float *factor_v(const struct exec *x, int param, int v) {
    const struct param *p = x->graph->params + param;
    return x->factor[param] + x->opts.rank * (exec_probes(x) * p->rows + v * p->cols);
}

static void make_factors(void *ctx, int64_t v, int tid) {
    const struct factor_job *j = ctx;
    const struct probe *p = j->x->batch.probes + v;
    (void)tid;
    p->dir.space->kind->factors(&p->dir, p->eps, j->param, factor_u(j->x, j->param, (int)v),
                                factor_v(j->x, j->param, (int)v));
}

void exec_make_factors(struct exec *x, const struct node *n) {
    if (!x->batch.probes->dir.space->kind->factors) return;
    assert(x->opts.rank == x->batch.probes->dir.space->rank);
    x->factors.used = 0; /* those of the node before are done with */
    for (int i = 0; i < n->n_param; i++) {
        const int param = n->param[i];
        if (!has_factors(x->graph, n, i) || !perturbed(x, param)) continue;
        x->factor[param] =
            arena_alloc(&x->factors, (size_t)factor_floats(x, param), sizeof(float));
        struct factor_job j = {x, param};
        pool_for(x->machine->pool, x->batch.n_probes, make_factors, &j);
    }
}

/* ---- views ----------------------------------------------------------------------------------- */

struct mat exec_weight(const struct exec *x, int param, struct variants *v) {
    const struct param *p = x->graph->params + param;
    struct mat m = param_mat(p, false);
    if (!perturbed(x, param)) return m;
    *v = (struct variants){.n = x->batch.n_probes,
                           .probes = x->batch.probes,
                           .tensor = param,
                           .cols = p->cols,
                           .row_count = p->rows};
    if (x->batch.probes->dir.space->kind->factors) {
        v->probes = NULL;
        v->rank = (int)x->opts.rank;
        v->kern = x->machine->kern;
        v->scale = 1;
        v->lora_b = factor_u(x, param, 0);
        v->lora_a = factor_v(x, param, 0);
    }
    m.var = v;
    return m;
}

const float *exec_param_row(const struct exec *x, int param, int probe, int64_t row, int64_t begin,
                            int64_t n, float *buf) {
    const struct param *p = x->graph->params + param;
    const float *w = param_read(p, row * p->cols + begin, n, buf);
    if (!perturbed(x, param) || x->batch.probes[probe].eps == 0) return w;
    direction_add(&x->batch.probes[probe].dir, buf, w, x->batch.probes[probe].eps, param, row,
                  begin, n);
    return buf;
}
