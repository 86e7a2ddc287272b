/* Ops: what a node does forward and backward, and what planning must know about it.
 *
 * Adding one: op_x.c with a `const struct op op_x`, one word in OPS, a case in the checks. forward
 * and backward return void: shapes were proved when the plan was made. They may use pool_for, the
 * scratch that work() asked for (x->work, shared) and that thread_work() asked
 * for (exec_thread()). */
#ifndef DUET_OP_H
#define DUET_OP_H

#include "exec.h"

#define OPS(X) X(embed) X(norm) X(linear) X(rope) X(attn) X(swiglu) X(add) X(xent) X(relu2)

struct op {
    const char *name;
    void (*forward)(struct exec *x, const struct node *n);
    /* Writes (or with exec_adds() accumulates) the gradients of inputs, and accumulates those of
     * parameters. NULL: forward already did it (xent). */
    void (*backward)(struct exec *x, const struct node *n);
    unsigned reads_in, reads_out; /* bit i: backward reads the value of input/output i */
    unsigned (*reads_in_of)(const struct graph *g, const struct node *n); /* or NULL: reads_in */
    unsigned no_grad_out;         /* bit i: output i has no gradient (statistics) */
    unsigned grad_over;           /* bit i: backward may put input i's gradient over its value */
    unsigned last_reader; /* bit i: backward can only write the gradient of input i, not add to it:
                           * the node must be the last of those that read that value */
    int inplace;                  /* input whose storage output 0 may take over, or -1 */
    int grad_pass;                /* input whose gradient may take over output 0's, or -1 */
    bool cheap;                   /* recomputed in the backward pass rather than kept */
    size_t (*work)(const struct exec *x, const struct node *n, bool backward);        /* or NULL */
    size_t (*thread_work)(const struct exec *x, const struct node *n, bool backward); /* or NULL */
    /* Forward, or backward: what is not trained has no gradient to compute. */
    double (*flops)(const struct graph *g, const struct node *n, bool backward, int64_t B,
                    int64_t T); /* or NULL */
};

static inline unsigned op_reads_in(const struct graph *g, const struct node *n) {
    return n->op->reads_in_of ? n->op->reads_in_of(g, n) : n->op->reads_in;
}

#define X(name) extern const struct op op_##name;
OPS(X)
#undef X

extern const struct op *const ops[];
extern const int n_ops;
int op_index(const struct op *op);

/* Rows per chunk of the row-wise ops: a few hundred kB, whatever the number of threads. */
enum { OP_ROWS = 32 };
static inline int64_t op_chunks(int64_t rows) {
    return (rows + OP_ROWS - 1) / OP_ROWS;
}
/* Elements of chunk c of (rows, cols), from *at on. */
static inline int64_t op_span(int64_t rows, int64_t cols, int64_t c, int64_t *at) {
    const int64_t left = rows - c * OP_ROWS;
    *at = c * OP_ROWS * cols;
    return (left < OP_ROWS ? left : OP_ROWS) * cols;
}

#endif
