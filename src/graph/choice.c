#include "choice.h"
#include "op.h"

#include <assert.h>
#include <math.h>
#include <string.h>

struct job {
    struct exec *x;
    const struct choices *c;
    int param;
    const float *in;   /* (B,T,C) */
    const float **row; /* (probes, n): the answers' rows of W, (C) each */
    float *buf;        /* (probes, n, C): for those that are not read where they stand */
    float *d;          /* (B, n): gradient of the logits; NULL: no training */
    float *dx, *dw;    /* (B,T,C), (V,C) or NULL */
    int64_t T, C, V, group;
    float cap, scale;
};

static const float *answer_at(const struct job *j, int64_t b) {
    return j->in + (b * j->T + j->c->pos[b]) * j->C;
}

/* Row k of probe v, and its logits of the probe's sequences. */
static void answer_logits(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const int n = j->c->n;
    const int64_t v = i / n, k = i % n;
    j->row[i] = exec_param_row(j->x, j->param, (int)v, j->c->ids[k], 0, j->C, j->buf + i * j->C);
    for (int64_t b = v * j->group; b < (v + 1) * j->group; b++)
        j->c->logits[b * n + k] = j->x->machine->kern->dot(answer_at(j, b), j->row[i], j->C);
}

/* (softmax - onehot) grad_scale softcap'. */
static void logits_grad(const struct job *j, int64_t b, const float *y, double lse) {
    const int n = j->c->n;
    float *d = j->d + b * n;
    for (int k = 0; k < n; k++)
        d[k] = (float)((exp((double)y[k] - lse) - (k == j->c->label[b])) * (double)j->scale);
    if (j->cap > 0) j->x->machine->kern->softcap_grad(d, y, j->cap, n);
}

static void sequence_loss(void *ctx, int64_t b, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const int n = j->c->n;
    float *y = j->c->logits + b * n;
    double sum = 0;
    if (j->cap > 0) j->x->machine->kern->softcap(y, j->cap, n);
    const double max = (double)j->x->machine->kern->max(y, n);
    for (int k = 0; k < n; k++) sum += exp((double)y[k] - max);
    const double lse = max + log(sum);
    if (j->x->batch.nll) j->x->batch.nll[b] = (float)(lse - (double)y[j->c->label[b]]);
    if (!j->d) return;
    logits_grad(j, b, y, lse);
    memset(j->dx + b * j->T * j->C, 0, (size_t)(j->T * j->C) * sizeof *j->dx);
    float *dx = j->dx + (b * j->T + j->c->pos[b]) * j->C;
    for (int k = 0; k < n; k++) j->x->machine->kern->axpy(dx, j->d[b * n + k], j->row[k], j->C);
}

static void zero_rows(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const int64_t r0 = c * OP_ROWS, r1 = r0 + OP_ROWS < j->V ? r0 + OP_ROWS : j->V;
    memset(j->dw + r0 * j->C, 0, (size_t)((r1 - r0) * j->C) * sizeof *j->dw);
}

static void answer_grad(void *ctx, int64_t k, int tid) {
    (void)tid;
    const struct job *j = ctx;
    float *dw = j->dw + (int64_t)j->c->ids[k] * j->C;
    for (int64_t b = 0; b < j->group; b++)
        j->x->machine->kern->axpy(dw, j->d[b * j->c->n + k], answer_at(j, b), j->C);
}

struct sizes {
    size_t row, buf, d;
};

static struct sizes sizes_of(const struct exec *x, int64_t C, bool train) {
    const size_t rows = (size_t)(x->opts.probes > 1 ? x->opts.probes : 1) * CHOICE_MAX;
    return (struct sizes){
        .row = arena_need(rows, sizeof(float *)),
        .buf = arena_need(rows * (size_t)C, sizeof(float)),
        .d = train ? arena_need((size_t)x->opts.B * CHOICE_MAX, sizeof(float)) : 0,
    };
}

void choice_forward(struct exec *x, const struct node *n) {
    const struct batch *b = &x->batch;
    const struct choices *c = b->choices;
    const struct param *w = x->graph->params + n->param[0];
    const struct sizes s = sizes_of(x, w->cols, x->opts.train);
    const int probes = exec_probes(x);
    assert(c->n >= 1 && c->n <= CHOICE_MAX && b->B % probes == 0);
    assert(!x->opts.train || probes == 1);
    for (int64_t i = 0; i < b->B; i++)
        assert(c->pos[i] >= 0 && c->pos[i] < b->T && c->label[i] >= 0 && c->label[i] < c->n);
    char *at = x->work;
    struct job j = {.x = x,
                    .c = c,
                    .param = n->param[0],
                    .in = exec_rows(x, n->in[0]),
                    .row = (const float **)(void *)at,
                    .buf = (float *)(void *)(at + s.row),
                    .T = b->T,
                    .C = w->cols,
                    .V = w->rows,
                    .group = b->B / probes,
                    .cap = n->cap,
                    .scale = (float)b->grad_scale};
    if (x->opts.train) {
        j.d = (float *)(void *)(at + s.row + s.buf);
        j.dx = x->grad[n->in[0]];
    }
    pool_for(x->machine->pool, (int64_t)probes * c->n, answer_logits, &j);
    pool_for(x->machine->pool, b->B, sequence_loss, &j);
    if (!x->opts.train) return;
    bool add;
    j.dw = exec_param_grad(x, n->param[0], &add);
    if (!j.dw) return;
    if (!add) pool_for(x->machine->pool, op_chunks(j.V), zero_rows, &j);
    pool_for(x->machine->pool, c->n, answer_grad, &j);
}

size_t choice_work(const struct exec *x, const struct node *n, bool train) {
    const struct sizes s = sizes_of(x, x->graph->params[n->param[0]].cols, train);
    return s.row + s.buf + s.d;
}
