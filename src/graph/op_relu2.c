/* ReLU squared (So et al. 2021, arXiv 2109.08668): y = max(x, 0)^2. in: x (rows, N). out: y (rows,
 * N). */
#include "op.h"

#include <assert.h>

struct job {
    const struct kern *kern;
    const float *x, *dy;
    float *y, *dx;
    int64_t rows, n;
};

static void forward_chunk(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    int64_t at;
    const int64_t n = op_span(j->rows, j->n, c, &at);
    j->kern->relu2(j->y + at, j->x + at, n);
}

static void backward_chunk(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    int64_t at;
    const int64_t n = op_span(j->rows, j->n, c, &at);
    j->kern->relu2_grad(j->dx + at, j->dy + at, j->x + at, n);
}

static struct job job_make(const struct exec *x, const struct node *n) {
    return (struct job){.kern = x->machine->kern,
                        .x = exec_rows(x, n->in[0]),
                        .rows = x->rows,
                        .n = x->graph->values[n->out[0]].cols};
}

static void forward(struct exec *x, const struct node *n) {
    struct job j = job_make(x, n);
    j.y = exec_rows(x, n->out[0]);
    pool_for(x->machine->pool, op_chunks(x->rows), forward_chunk, &j);
}

static void backward(struct exec *x, const struct node *n) {
    assert(!x->event->adds); /* last_reader */
    struct job j = job_make(x, n);
    j.dy = x->grad[n->out[0]];
    j.dx = x->grad[n->in[0]];
    pool_for(x->machine->pool, op_chunks(x->rows), backward_chunk, &j);
}

const struct op op_relu2 = {.name = "relu2",
                            .forward = forward,
                            .backward = backward,
                            .reads_in = 1,
                            .grad_over = 1,
                            .last_reader = 1,
                            .inplace = -1,
                            .grad_pass = -1,
                            .cheap = true};
