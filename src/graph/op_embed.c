/* Token embedding: out row = row `token` of the table. in: none. param: table (V,C). */
#include "op.h"

#include <string.h>

struct job {
    struct exec *x;
    const struct param *table;
    int param;
    float *rows;
    float *grad;
    int64_t wide; /* columns a task of the gradient */
};

static void forward_chunk(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const int64_t C = j->table->cols,
                  r1 = (c + 1) * OP_ROWS < j->x->rows ? (c + 1) * OP_ROWS : j->x->rows;
    for (int64_t r = c * OP_ROWS; r < r1; r++) {
        float *out = j->rows + r * C;
        const int v = (int)(r / (j->x->rows / exec_probes(j->x)));
        const float *in = exec_param_row(j->x, j->param, v, j->x->batch.input[r], 0, C, out);
        if (in != out) memcpy(out, in, (size_t)C * sizeof *out);
    }
}

static void forward(struct exec *x, const struct node *n) {
    struct job j = {.x = x,
                    .table = x->graph->params + n->param[0],
                    .param = n->param[0],
                    .rows = exec_rows(x, n->out[0])};
    pool_for(x->machine->pool, op_chunks(x->rows), forward_chunk, &j);
}

/* Tokens repeat, so the work is cut by columns: every thread sees all rows in order. A task has
 * fewer columns, a line of the cache at least, where there would be less than one for a thread. */
enum { COLUMNS = 64, LINE = 16 };

static int64_t columns(const struct machine *m, int64_t C) {
    int64_t wide = COLUMNS;
    while (wide > LINE && C < machine_threads(m) * wide) wide /= 2;
    return wide;
}

static void backward_chunk(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const struct kern *k = j->x->machine->kern;
    const int64_t C = j->table->cols, c0 = c * j->wide, w = C - c0 < j->wide ? C - c0 : j->wide;
    for (int64_t r = 0; r < j->x->rows; r++)
        k->axpy(j->grad + (int64_t)j->x->batch.input[r] * C + c0, 1, j->rows + r * C + c0, w);
}

struct zero_job {
    float *data;
    int64_t n;
};
enum { ZERO = 1 << 16 };

static void zero_chunk(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct zero_job *j = ctx;
    const int64_t at = c * ZERO, n = j->n - at < ZERO ? j->n - at : ZERO;
    memset(j->data + at, 0, (size_t)n * sizeof *j->data);
}

static void backward(struct exec *x, const struct node *n) {
    bool add;
    struct job j = {.x = x, .table = x->graph->params + n->param[0], .rows = x->grad[n->out[0]]};
    j.grad = exec_param_grad(x, n->param[0], &add);
    if (!j.grad) return;
    if (!add) {
        struct zero_job z = {j.grad, param_count(j.table)};
        pool_for(x->machine->pool, (z.n + ZERO - 1) / ZERO, zero_chunk, &z);
    }
    j.wide = columns(x->machine, j.table->cols);
    pool_for(x->machine->pool, (j.table->cols + j.wide - 1) / j.wide, backward_chunk, &j);
}

const struct op op_embed = {
    .name = "embed", .forward = forward, .backward = backward, .inplace = -1, .grad_pass = -1};
