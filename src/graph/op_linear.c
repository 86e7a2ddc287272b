/* Linear layers that share one input: y_i = x W_i' (+ b_i).
 * in: x (rows, I). out: up to three y_i (rows, O_i). param: W_0.., then as many biases or none.
 * Query, key and value are one node, gate and up another: x is packed once for all of them. */
#include "kern.h"
#include "op.h"
#include "par.h"

#include <string.h>

static const struct param *weight(const struct exec *x, const struct node *n, int i) {
    return x->graph->params + n->param[i];
}

static bool has_bias(const struct node *n) {
    return n->n_param == 2 * n->n_out;
}

struct bias_job {
    float *y, *db;
    const float *b, *dy;
    int64_t rows, cols;
};

static void bias_rows(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct bias_job *j = ctx;
    const int64_t r1 = (c + 1) * OP_ROWS < j->rows ? (c + 1) * OP_ROWS : j->rows;
    for (int64_t r = c * OP_ROWS; r < r1; r++)
        memcpy(j->y + r * j->cols, j->b, (size_t)j->cols * sizeof *j->y);
}

static void forward(struct exec *x, const struct node *n) {
    const struct gemm *g = x->gemm;
    const int64_t I = weight(x, n, 0)->cols, M = x->rows;
    const struct mat a = mat_f32(exec_rows(x, n->in[0]), I, false);
    const bool few = gemm_few(g, M); /* gemm_run then reads the weights where they stand */
    void *panels = (char *)x->work + gemm_pack_bytes(g, GEMM_A, a, M, I);
    struct gemm_pack pa = {0};
    if (!few) pa = gemm_pack(g, GEMM_A, a, M, I, x->work);
    for (int i = 0; i < n->n_out; i++) {
        const struct param *w = weight(x, n, i);
        float *y = exec_rows(x, n->out[i]);
        if (has_bias(n)) {
            struct bias_job j = {
                .y = y, .b = weight(x, n, n->n_out + i)->data, .rows = M, .cols = w->rows};
            par_for(op_chunks(M), bias_rows, &j);
        }
        if (few) {
            gemm_run(g, M, w->rows, I, a, param_mat(w, false), y, w->rows, has_bias(n), x->work);
        } else {
            const struct gemm_pack pb = gemm_unpacked(param_mat(w, false), w->rows, I);
            gemm_mul(g, &pa, &pb, y, w->rows, has_bias(n), panels);
        }
    }
}

enum { BIAS_COLS = 64 };

static void bias_columns(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct bias_job *j = ctx;
    const int64_t c0 = c * BIAS_COLS, w = j->cols - c0 < BIAS_COLS ? j->cols - c0 : BIAS_COLS;
    for (int64_t r = 0; r < j->rows; r++) kern()->axpy(j->db + c0, 1, j->dy + r * j->cols + c0, w);
}

static void bias_grad(struct exec *x, const struct node *n, int i) {
    bool add;
    const struct param *b = weight(x, n, n->n_out + i);
    float *db = exec_param_grad(x, n->param[n->n_out + i], &add);
    if (!db) return;
    if (!add) memset(db, 0, (size_t)b->cols * sizeof *db);
    struct bias_job j = {.db = db, .dy = x->grad[n->out[i]], .rows = x->rows, .cols = b->cols};
    par_for((b->cols + BIAS_COLS - 1) / BIAS_COLS, bias_columns, &j);
}

/* dW_i (O,I) = dY_i' X, and dX (M,I) += dY_i W_i */
static void backward(struct exec *x, const struct node *n) {
    const struct gemm *g = x->gemm;
    const int64_t I = weight(x, n, 0)->cols, M = x->rows;
    const struct mat in = mat_f32(exec_rows(x, n->in[0]), I, true);
    for (int i = 0; i < n->n_out; i++) {
        bool add;
        const int64_t O = weight(x, n, i)->rows;
        const float *dy = x->grad[n->out[i]];
        float *dw = exec_param_grad(x, n->param[i], &add);
        if (dw) gemm_run(g, O, I, M, mat_f32(dy, O, true), in, dw, I, add, x->work);
        if (has_bias(n)) bias_grad(x, n, i);
        gemm_run(g, M, I, O, mat_f32(dy, O, false), param_mat(weight(x, n, i), true),
                 x->grad[n->in[0]], I, exec_adds(x, 0) || i > 0, x->work);
    }
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t work(const struct exec *x, const struct node *n, bool back) {
    const struct gemm *g = x->gemm;
    const int64_t I = weight(x, n, 0)->cols, M = x->opts.B * x->opts.T;
    size_t most = 0;
    for (int i = 0; i < n->n_out; i++) {
        const int64_t O = weight(x, n, i)->rows;
        if (!back) {
            most = larger(most, gemm_work_bytes(g, M, O, I, mat_f32(NULL, I, false)));
        } else {
            most = larger(most, gemm_work_bytes(g, O, I, M, mat_f32(NULL, O, true)));
            most = larger(most, gemm_work_bytes(g, M, I, O, mat_f32(NULL, O, false)));
        }
    }
    return most;
}

static double flops(const struct graph *g, const struct node *n, int64_t B, int64_t T) {
    double sum = 0;
    for (int i = 0; i < n->n_out; i++)
        sum += 2.0 * (double)(B * T) * (double)param_count(g->params + n->param[i]);
    return sum;
}

const struct op op_linear = {.name = "linear",
                             .forward = forward,
                             .backward = backward,
                             .reads_in = 1,
                             .inplace = -1,
                             .grad_pass = -1,
                             .work = work,
                             .flops = flops};
