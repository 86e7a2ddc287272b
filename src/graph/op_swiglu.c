/* SwiGLU: y = silu(g) u. in: g, u (rows, N). out: y (rows, N). */
#include "op.h"

#include <assert.h>

struct job {
    const struct kern *kern;
    const float *g, *u, *dy;
    float *y, *dg, *du;
    int64_t rows, n;
};

static void forward_chunk(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    int64_t at;
    const int64_t n = op_span(j->rows, j->n, c, &at);
    j->kern->swiglu(j->y + at, j->g + at, j->u + at, n);
}

static void backward_chunk(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct job *j = ctx;
    int64_t at;
    const int64_t n = op_span(j->rows, j->n, c, &at);
    j->kern->swiglu_grad(j->dg + at, j->du + at, j->dy + at, j->g + at, j->u + at, n);
}

static struct job job_make(const struct exec *x, const struct node *n) {
    return (struct job){.kern = x->machine->kern,
                        .g = x->value[n->in[0]],
                        .u = x->value[n->in[1]],
                        .rows = x->rows,
                        .n = x->graph->values[n->out[0]].cols};
}

static void forward(struct exec *x, const struct node *n) {
    struct job j = job_make(x, n);
    j.y = x->value[n->out[0]];
    pool_for(x->machine->pool, op_chunks(x->rows), forward_chunk, &j);
}

static void backward(struct exec *x, const struct node *n) {
    assert(!x->event->adds); /* last_reader */
    struct job j = job_make(x, n);
    j.dy = x->grad[n->out[0]];
    j.dg = x->grad[n->in[0]];
    j.du = x->grad[n->in[1]];
    pool_for(x->machine->pool, op_chunks(x->rows), backward_chunk, &j);
}

const struct op op_swiglu = {.name = "swiglu",
                             .forward = forward,
                             .backward = backward,
                             .reads_in = 3,
                             .grad_over = 3,
                             .last_reader = 3,
                             .inplace = -1,
                             .grad_pass = -1,
                             .cheap = true};
