#include "engine.h"

#include "op.h"

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

size_t engine_grad_bytes(const struct model *m) {
    size_t sum = 0;
    for (int i = 0; i < m->n_params; i++)
        if (m->params[i].trainable)
            sum += arena_need((size_t)param_count(m->params + i), sizeof(float));
    return sum;
}

int engine_grads_open(struct arena *grads, struct model *m, struct err *e) {
    const int rc = arena_init(grads, engine_grad_bytes(m), "gradients", e);
    if (rc) return rc;
    for (int i = 0; i < m->n_params; i++)
        if (m->params[i].trainable)
            m->params[i].grad =
                arena_alloc(grads, (size_t)param_count(m->params + i), sizeof(float));
    return 0;
}

void engine_grads_close(struct arena *grads, struct model *m) {
    for (int i = 0; grads->size && m && i < m->n_params; i++) m->params[i].grad = NULL;
    arena_release(grads);
}

static int64_t probes_of(const struct engine_kind *kind, const struct engine_opts *o) {
    return kind->probes ? kind->probes(o) : 1;
}

/* Sequences of a run: every probe evaluates the batch, or one sequence of it. */
static int64_t rows_of(const struct engine_kind *kind, const struct engine_opts *o) {
    const int64_t each = o->estimator && o->estimator->per_example ? 1 : o->batch;
    return kind->probes ? kind->probes(o) * each : o->batch;
}

static struct exec_opts exec_opts_of(const struct engine_kind *kind, const struct engine_opts *o) {
    return (struct exec_opts){.B = rows_of(kind, o),
                              .T = o->seq,
                              .probes = (int)probes_of(kind, o),
                              .rank = o->direction && o->direction->factors ? o->direction_rank : 0,
                              .train = kind->backward,
                              .recompute = o->recompute,
                              .cancel = o->cancel};
}

static size_t token_bytes(const struct engine_kind *kind, const struct engine_opts *o) {
    const size_t rows = (size_t)rows_of(kind, o), n = rows * (size_t)o->seq;
    return 3 * arena_need(n, 4) + 2 * arena_need(rows, 4) +
           arena_need(rows * (size_t)o->n_answers, sizeof(float));
}

int engine_plan(const struct engine_kind *kind, struct model *m, const struct engine_opts *o,
                struct engine_memory *mem, struct err *e) {
    struct exec x = {0};
    const struct exec_opts xo = exec_opts_of(kind, o);
    int rc = opt_check(&o->hyper, m->params, m->n_params, e);
    if (!rc && !o->repeat) rc = exec_plan(&x, &m->graph, o->machine, &xo, e);
    if (rc) return rc;
    const size_t exec = o->repeat ? 0 : exec_bytes(&x);
    *mem = (struct engine_memory){.weights = model_weight_bytes(m),
                                  .gradients = kind->backward ? engine_grad_bytes(m) : 0,
                                  .optimizer = opt_bytes(o->machine, &o->hyper, m->params,
                                                         m->n_params),
                                  .kept = x.plan.kept_bytes,
                                  .passing = x.plan.arena_bytes - x.plan.kept_bytes};
    if (kind->bytes) mem->optimizer += kind->bytes(o, m);
    mem->threads = exec - x.plan.arena_bytes;
    mem->total = mem->weights + mem->gradients + mem->optimizer + exec;
    exec_close(&x);
    return 0;
}

static int open_tokens(struct engine *g, struct err *e) {
    const struct engine_opts *o = &g->opts;
    const size_t rows = (size_t)g->exec.opts.B, n = rows * (size_t)o->seq;
    const int rc = arena_init(&g->tokens, token_bytes(g->kind, o), "tokens", e);
    if (rc) return rc;
    g->batch.input = arena_alloc(&g->tokens, n, sizeof *g->batch.input);
    g->batch.target = arena_alloc(&g->tokens, n, sizeof *g->batch.target);
    g->nll = arena_alloc(&g->tokens, n, sizeof *g->nll);
    g->batch.pos = arena_alloc(&g->tokens, rows, sizeof *g->batch.pos);
    g->batch.label = arena_alloc(&g->tokens, rows, sizeof *g->batch.label);
    g->logits = arena_alloc(&g->tokens, rows * (size_t)o->n_answers, sizeof *g->logits);
    return 0;
}

static int open_passes(struct engine *g, struct err *e) {
    int rc;
    const struct exec_opts xo = exec_opts_of(g->kind, &g->opts);
    TRY(exec_open(&g->exec, &g->model->graph, g->opts.machine, &xo, e));
    TRY(exec_peaks_open(&g->peaks, &g->model->graph, e));
    TRY(open_tokens(g, e));
out:
    return rc;
}

int engine_open(struct engine *g, const struct engine_kind *kind, struct model *m,
                const struct engine_opts *o, struct err *e) {
    int rc;
    *g = (struct engine){.kind = kind, .opts = *o, .model = m};
    if (!o->repeat) TRY(open_passes(g, e));
    if (kind->backward) TRY(engine_grads_open(&g->grads, m, e));
    TRY(opt_open(&g->opt, o->machine, &o->hyper, m->params, m->n_params, e));
    if (kind->open) TRY(kind->open(g, e));
out:
    if (rc) engine_close(g);
    return rc;
}

void engine_close(struct engine *g) {
    if (g->kind && g->kind->close) g->kind->close(g);
    exec_close(&g->exec);
    exec_peaks_close(&g->peaks);
    opt_close(&g->opt);
    engine_grads_close(&g->grads, g->model);
    arena_release(&g->tokens);
    *g = (struct engine){0};
}

void engine_watch(struct engine *g, bool on) {
    if (on) exec_peaks_reset(&g->peaks);
    g->exec.peaks = on ? &g->peaks : NULL;
}

bool engine_run(struct engine *g, struct batch *b) {
    const struct choices c = {.n = g->opts.n_answers,
                              .ids = g->opts.answers,
                              .pos = g->batch.pos,
                              .label = g->batch.label,
                              .logits = g->logits};
    b->T = g->batch.T;
    b->input = g->batch.input;
    b->nll = g->nll;
    if (g->opts.objective)
        b->choices = &c;
    else
        b->target = g->batch.target;
    const bool done = exec_run(&g->exec, b);
    b->choices = g->exec.batch.choices = NULL;
    return done;
}

double engine_loss(const struct engine *g, int64_t first, int64_t n) {
    const int64_t T = g->batch.T;
    double sum = 0;
    if (g->opts.objective)
        return objective_value(g->opts.objective, g->logits + first * g->opts.n_answers,
                               g->batch.label + first, g->nll + first, n, g->opts.n_answers);
    for (int64_t i = first * T; i < (first + n) * T; i++) sum += (double)g->nll[i];
    return sum / (double)(n * T);
}

struct engine_report engine_report(const struct engine *g) {
    const struct exec *x = &g->exec;
    struct engine_report r = {.lora = x->seconds_lora,
                              .update = g->seconds_norm + g->seconds_update};
    for (int k = 0; k < n_ops; k++) {
        const double own = x->seconds[k][0] + x->seconds[k][1] - x->seconds_pack[k];
        r.pack += x->seconds_pack[k];
        *(ops[k] == &op_linear ? &r.gemm
          : ops[k] == &op_attn ? &r.attention
          : ops[k] == &op_xent ? &r.classifier
                               : &r.rest) += own;
    }
    r.gemm -= r.lora;
    return r;
}

void engine_report_reset(struct engine *g) {
    for (int k = 0; k < n_ops; k++)
        g->exec.seconds[k][0] = g->exec.seconds[k][1] = g->exec.seconds_pack[k] = 0;
    g->seconds_norm = g->seconds_update = g->exec.seconds_lora = 0;
}

void engine_reset(struct engine *g) {
    opt_reset(&g->opt);
    if (g->kind->reset) g->kind->reset(g);
}

bool engine_item(const struct engine *g, int i, struct engine_item *item) {
    const int param = i / OPT_MAX_STATE, k = i % OPT_MAX_STATE;
    if (param >= g->model->n_params)
        return g->kind->item && g->kind->item(g, i - g->model->n_params * OPT_MAX_STATE, item);
    const struct param *p = g->model->params + param;
    *item = (struct engine_item){.data = g->opt.state[param][k]};
    if (!item->data) return true;
    snprintf(item->name, sizeof item->name, "%s/%s", opt_kind_of(&g->opt, param)->state[k],
             p->name);
    item->n = opt_state_count(&g->opt, param, k);
    return true;
}
