/* Rotary position embedding of every head. in: x (rows, heads*head_dim). out: y of the same shape,
 * in place where possible. attrs: heads, head_dim, theta, rope_factors. Tables: x->rope. */
#include "op.h"

#include <assert.h>

struct job {
    const struct exec *x;
    const struct node *n;
    const float *in;
    float *out;
    bool inverse;
};

static void chunk(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    const struct exec *x = j->x;
    const struct kern *k = j->x->machine->kern;
    const struct rope_table *table = x->rope + (j->n - x->graph->nodes);
    const int64_t hd = j->n->head_dim, cols = j->n->heads * hd;
    const int64_t r1 = (c + 1) * OP_ROWS < x->rows ? (c + 1) * OP_ROWS : x->rows;
    for (int64_t r = c * OP_ROWS; r < r1; r++) {
        const int64_t at = (x->batch.pos + r % x->batch.T) * (hd / 2);
        for (int h = 0; h < j->n->heads; h++)
            k->rope(j->out + r * cols + h * hd, j->in + r * cols + h * hd, table->cos + at,
                    table->sin + at, j->inverse, hd);
    }
}

static void forward(struct exec *x, const struct node *n) {
    struct job j = {x, n, exec_rows(x, n->in[0]), exec_rows(x, n->out[0]), false};
    pool_for(x->machine->pool, op_chunks(x->rows), chunk, &j);
}

static void backward(struct exec *x, const struct node *n) {
    assert(!x->event->adds); /* last_reader */
    struct job j = {x, n, x->grad[n->out[0]], x->grad[n->in[0]], true};
    pool_for(x->machine->pool, op_chunks(x->rows), chunk, &j);
}

const struct op op_rope = {.name = "rope",
                           .forward = forward,
                           .backward = backward,
                           .last_reader = 1,
                           .inplace = 0,
                           .grad_pass = 0};
