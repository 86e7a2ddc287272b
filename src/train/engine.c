#include "engine.h"

#include "par.h"

#include <stdio.h>
#include <string.h>

#define X(name) extern const struct engine_kind engine_##name;
ENGINES(X)
#undef X

static const struct engine_kind *const kinds[] = {
#define X(name) &engine_##name,
    ENGINES(X)
#undef X
};

const struct engine_kind *engine_find(const char *name) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i]->name, name)) return kinds[i];
    return NULL;
}

static size_t grad_bytes(const struct model *m) {
    size_t sum = 0;
    for (int i = 0; i < m->n_params; i++)
        if (m->params[i].trainable)
            sum += arena_need((size_t)param_count(m->params + i), sizeof(float));
    return sum;
}

static struct exec_opts exec_opts_of(const struct engine_opts *o) {
    return (struct exec_opts){.B = o->batch, .T = o->seq, .train = true, .recompute = o->recompute};
}

int engine_plan(const struct engine_kind *kind, struct model *m, const struct engine_opts *o,
                struct engine_memory *mem, struct err *e) {
    struct exec x;
    const struct exec_opts xo = exec_opts_of(o);
    (void)kind;
    int rc = exec_plan(&x, &m->graph, o->gemm, &xo, e);
    if (rc) return rc;
    *mem = (struct engine_memory){.weights = model_weight_bytes(m),
                                  .gradients = grad_bytes(m),
                                  .optimizer = opt_bytes(o->optimizer, m->params, m->n_params),
                                  .kept = x.plan.kept_bytes,
                                  .passing = x.plan.arena_bytes - x.plan.kept_bytes};
    mem->threads = exec_bytes(&x) - x.plan.arena_bytes;
    mem->total = mem->weights + mem->gradients + mem->optimizer + exec_bytes(&x);
    exec_close(&x);
    return 0;
}

int engine_open(struct engine *g, const struct engine_kind *kind, struct model *m,
                const struct engine_opts *o, struct err *e) {
    int rc;
    const size_t tokens = (size_t)(o->batch * o->seq);
    const struct exec_opts xo = exec_opts_of(o);
    *g = (struct engine){.kind = kind, .opts = *o, .model = m};
    TRY(exec_open(&g->exec, &m->graph, o->gemm, &xo, e));
    TRY(arena_init(&g->tokens, 3 * arena_need(tokens, 4), "tokens", e));
    g->input = arena_alloc(&g->tokens, tokens, sizeof *g->input);
    g->target = arena_alloc(&g->tokens, tokens, sizeof *g->target);
    g->nll = arena_alloc(&g->tokens, tokens, sizeof *g->nll);
    TRY(arena_init(&g->grads, grad_bytes(m), "gradients", e));
    for (int i = 0; i < m->n_params; i++)
        if (m->params[i].trainable)
            m->params[i].grad =
                arena_alloc(&g->grads, (size_t)param_count(m->params + i), sizeof(float));
    TRY(opt_open(&g->opt, o->optimizer, &o->hyper, m->params, m->n_params, e));
out:
    if (rc) engine_close(g);
    return rc;
}

void engine_close(struct engine *g) {
    for (int i = 0; g->model && i < g->model->n_params; i++) g->model->params[i].grad = NULL;
    exec_close(&g->exec);
    opt_close(&g->opt);
    arena_release(&g->grads);
    arena_release(&g->tokens);
    *g = (struct engine){0};
}

bool engine_item(const struct engine *g, int i, struct engine_item *item) {
    const int per = g->opt.kind->n_state;
    if (i >= g->model->n_params * per) return false;
    const struct param *p = g->model->params + i / per;
    snprintf(item->name, sizeof item->name, "%s/%s", g->opt.kind->state[i % per], p->name);
    item->data = g->opt.state[i / per][i % per];
    item->n = item->data ? param_count(p) : 0;
    return true;
}
