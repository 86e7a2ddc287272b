/* Sum: y = a + scale b. in: a, b (rows, N). out: y (rows, N). attrs: scale, residual. */
#include "op.h"

#include <string.h>

struct job {
    const struct kern *kern;
    const float *a, *b;
    float *y;
    float scale;
    int64_t rows, n;
    bool add;
    float *peak; /* or NULL */
};

static void forward_chunk(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const int64_t r0 = c * OP_ROWS, r1 = r0 + OP_ROWS < j->rows ? r0 + OP_ROWS : j->rows;
    const int64_t at = r0 * j->n;
    const int64_t n = (r1 - r0) * j->n;
    j->kern->add_scaled(j->y + at, j->a + at, j->scale, j->b + at, n);
    if (j->peak) exec_raise(j->peak, j->kern->max_abs(j->y + at, n));
}

/* y = [y +] scale a */
static void backward_chunk(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const int64_t r0 = c * OP_ROWS, r1 = r0 + OP_ROWS < j->rows ? r0 + OP_ROWS : j->rows;
    const int64_t at = r0 * j->n, n = (r1 - r0) * j->n;
    if (j->add) {
        j->kern->axpy(j->y + at, j->scale, j->a + at, n);
        return;
    }
    memcpy(j->y + at, j->a + at, (size_t)n * sizeof *j->y);
    if (j->scale != 1) j->kern->scale(j->y + at, j->scale, n);
}

static void forward(struct exec *x, const struct node *n) {
    struct job j = {.kern = x->machine->kern,
                    .a = exec_rows(x, n->in[0]),
                    .b = exec_rows(x, n->in[1]),
                    .y = exec_rows(x, n->out[0]),
                    .scale = n->scale,
                    .rows = x->rows,
                    .n = x->graph->values[n->out[0]].cols,
                    .peak =
                        exec_watched(x) && n->residual ? x->peaks->activation + n->block : NULL};
    pool_for(x->machine->pool, op_chunks(x->rows), forward_chunk, &j);
}

static void backward(struct exec *x, const struct node *n) {
    struct job j = {.kern = x->machine->kern,
                    .a = x->grad[n->out[0]],
                    .rows = x->rows,
                    .n = x->graph->values[n->out[0]].cols};
    /* The branch first: the gradient of a may stand where the output's is, and be added
     * to later. */
    j.y = x->grad[n->in[1]];
    j.scale = n->scale;
    j.add = exec_adds(x, 1);
    pool_for(x->machine->pool, op_chunks(x->rows), backward_chunk, &j);
    j.y = x->grad[n->in[0]];
    j.scale = 1;
    j.add = exec_adds(x, 0);
    if (j.y != j.a) pool_for(x->machine->pool, op_chunks(x->rows), backward_chunk, &j);
}

const struct op op_add = {
    .name = "add", .forward = forward, .backward = backward, .inplace = 1, .grad_pass = 0};
