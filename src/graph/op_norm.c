/* RMSNorm over groups of param-many columns: whole rows, or heads (QK-norm).
 * in: x (rows, G*N). out: y (rows, G*N), rstd (rows, G). param: weight (N). attrs: eps. */
#include "op.h"

#include <string.h>

struct job {
    const struct kern *kern;
    const float *x, *w, *dy;
    float *y, *rstd, *dx, *dw; /* dw: one partial sum a chunk */
    int64_t rows, groups, n;
    int64_t same; /* rows that see one weight: with probes, w holds one for each */
    float eps;
    bool add;
};

static struct job job_make(struct exec *x, const struct node *n) {
    const struct param *w = x->graph->params + n->param[0];
    return (struct job){.kern = x->machine->kern,
                        .x = exec_rows(x, n->in[0]),
                        .w = w->data,
                        .rstd = x->value[n->out[1]],
                        .rows = x->rows,
                        .same = x->rows,
                        .groups = x->graph->values[n->in[0]].cols / w->cols,
                        .n = w->cols,
                        .eps = n->eps};
}

static void forward_chunk(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const struct kern *k = j->kern;
    const int64_t g1 = ((c + 1) * OP_ROWS < j->rows ? (c + 1) * OP_ROWS : j->rows) * j->groups;
    for (int64_t g = c * OP_ROWS * j->groups; g < g1; g++)
        j->rstd[g] = k->rmsnorm(j->y + g * j->n, j->x + g * j->n,
                                j->w + g / j->groups / j->same * j->n, j->eps, j->n);
}

static void forward(struct exec *x, const struct node *n) {
    struct job j = job_make(x, n);
    j.y = exec_rows(x, n->out[0]);
    if (x->batch.n_probes) {
        float *w = x->work;
        for (int v = 0; v < x->batch.n_probes; v++) {
            const float *from = exec_param_row(x, n->param[0], v, 0, 0, j.n, w + v * j.n);
            if (from != w + v * j.n) memcpy(w + v * j.n, from, (size_t)j.n * sizeof *w);
        }
        j.w = w;
        j.same = x->rows / x->batch.n_probes;
    }
    pool_for(x->machine->pool, op_chunks(x->rows), forward_chunk, &j);
}

static void backward_chunk(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const struct kern *k = j->kern;
    const int64_t g1 = ((c + 1) * OP_ROWS < j->rows ? (c + 1) * OP_ROWS : j->rows) * j->groups;
    float *dw = j->dw ? j->dw + c * j->n : NULL;
    if (dw) memset(dw, 0, (size_t)j->n * sizeof *dw);
    for (int64_t g = c * OP_ROWS * j->groups; g < g1; g++) {
        const int64_t at = g * j->n;
        k->rmsnorm_grad(j->dx + at, dw, j->dy + at, j->x + at, j->w, j->rstd[g], j->add, j->n);
    }
}

static void backward(struct exec *x, const struct node *n) {
    bool add;
    struct job j = job_make(x, n);
    float *grad = exec_param_grad(x, n->param[0], &add);
    j.dy = x->grad[n->out[0]];
    j.dx = x->grad[n->in[0]];
    j.dw = grad ? x->work : NULL;
    j.add = exec_adds(x, 0);
    pool_for(x->machine->pool, op_chunks(x->rows), backward_chunk, &j);
    if (!grad) return;
    if (!add) memset(grad, 0, (size_t)j.n * sizeof *grad);
    for (int64_t c = 0; c < op_chunks(x->rows); c++) j.kern->axpy(grad, 1, j.dw + c * j.n, j.n);
}

static size_t work(const struct exec *x, const struct node *n, bool back) {
    const int64_t probes = x->opts.probes > 1 ? x->opts.probes : 1;
    const int64_t chunks = op_chunks(x->opts.B * x->opts.T);
    return arena_need((size_t)((back ? chunks : probes) * x->graph->params[n->param[0]].cols),
                      sizeof(float));
}

const struct op op_norm = {.name = "norm",
                           .forward = forward,
                           .backward = backward,
                           .reads_in = 1,
                           .reads_out = 2,
                           .no_grad_out = 2,
                           .inplace = -1,
                           .grad_pass = -1,
                           .cheap = true,
                           .work = work};
