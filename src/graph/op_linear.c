/* Linear layers that share one input: y_i = x W_i' (+ b_i) (+ LoRA, lora.h).
 * in: x (rows, I). out: up to three y_i (rows, O_i). param: W_0.., then as many biases or none.
 * Query, key and value are one node, gate and up another: x is packed once for all of them. */
#include "lora.h"
#include "op.h"

#include <string.h>

static const struct param *weight(const struct exec *x, const struct node *n, int i) {
    return x->graph->params + n->param[i];
}

static bool has_bias(const struct node *n) {
    return n->n_param == 2 * n->n_out;
}

struct bias_job {
    const struct kern *kern;
    float *y, *db;
    const float *b, *dy;
    int64_t rows, cols;
    int64_t group; /* rows that see one bias: with probes, b holds one for each */
};

static void bias_rows(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct bias_job *j = ctx;
    const int64_t r1 = (c + 1) * OP_ROWS < j->rows ? (c + 1) * OP_ROWS : j->rows;
    for (int64_t r = c * OP_ROWS; r < r1; r++)
        memcpy(j->y + r * j->cols, j->b + r / j->group * j->cols, (size_t)j->cols * sizeof *j->y);
}

/* Every row of output i becomes its bias. room: one bias a probe. */
static void put_bias(struct exec *x, const struct node *n, int i, float *room) {
    const int param = n->param[n->n_out + i], P = exec_probes(x);
    const struct param *b = x->graph->params + param;
    for (int v = 0; v < P; v++) {
        float *to = room + v * b->cols;
        const float *from = exec_param_row(x, param, v, 0, 0, b->cols, to);
        if (from != to) memcpy(to, from, (size_t)b->cols * sizeof *to);
    }
    struct bias_job j = {.y = exec_rows(x, n->out[i]),
                         .b = room,
                         .rows = x->rows,
                         .cols = b->cols,
                         .group = x->rows / P};
    pool_for(x->machine->pool, op_chunks(x->rows), bias_rows, &j);
}

/* Products that are computed in one loop, as long as none needs the scratch of another. */
struct list {
    const struct gemm *g;
    struct gemm_product p[GEMM_LIST];
    int n;
    bool few; /* neither side is packed */
    char *work;
};

static void list_run(struct list *l) {
    if (l->n) (l->few ? gemm_run_list : gemm_mul_list)(l->g, l->p, l->n, l->work);
    l->n = 0;
}

static void list_put(struct list *l, const struct gemm *g, struct gemm_product p) {
    if (l->n == GEMM_LIST || (l->n && !gemm_alike(g, l->g))) list_run(l);
    p.add |= p.on;
    p.on &= l->n > 0;
    l->g = g;
    l->p[l->n++] = p;
}

/* C (m,n) = [C +] A B'; on: after another product that adds to C. */
static void list_mul(struct list *l, const struct gemm *g, int64_t m, int64_t n, int64_t k,
                     struct mat a, struct mat b, float *c, bool add, bool on) {
    const size_t packed = gemm_pack_bytes(g, GEMM_A, a, m, k);
    if (packed || gemm_few(g, m)) {
        list_run(l);
        gemm_run(g, m, n, k, a, b, c, n, add || on, l->work);
        return;
    }
    list_put(l, g,
             (struct gemm_product){.a = gemm_pack(g, GEMM_A, a, m, k, NULL),
                                   .b = gemm_unpacked(b, n, k),
                                   .c = c,
                                   .ldc = n,
                                   .add = add,
                                   .on = on});
}

static void forward(struct exec *x, const struct node *n) {
    const struct gemm *g = exec_gemm(x, GEMM_WEIGHTS);
    const int64_t I = weight(x, n, 0)->cols, M = x->rows;
    const struct mat a = mat_f32(exec_rows(x, n->in[0]), I, false);
    const bool few = gemm_few(g, M); /* the weights are then read where they stand */
    const size_t packed = few ? 0 : gemm_pack_bytes(g, GEMM_A, a, M, I);
    char *panels = (char *)x->work + packed;
    struct list l = {.work = panels, .few = few};
    struct variants v[NODE_MAX_OUT];
    const struct gemm_pack pa = few ? gemm_unpacked(a, M, I)
                                    : gemm_pack(g, GEMM_A, a, M, I, x->work);
    for (int i = 0; i < n->n_out; i++) {
        const struct param *w = weight(x, n, i);
        const bool merged = n->lora[i] && n->lora_merge;
        float *y = exec_rows(x, n->out[i]);
        if (merged) list_run(&l); /* its factors stand where others have their panels */
        if (has_bias(n)) put_bias(x, n, i, (float *)(void *)panels);
        const struct mat b =
            merged ? lora_weight(x, n, i, v + i, panels) : exec_weight(x, n->param[i], v + i);
        l.work = panels + (merged ? lora_bytes(x, n, false) : 0);
        list_put(&l, g,
                 (struct gemm_product){.a = pa,
                                       .b = gemm_unpacked(b, w->rows, I),
                                       .c = y,
                                       .ldc = w->rows,
                                       .add = has_bias(n)});
        if (merged) list_run(&l);
    }
    list_run(&l);
    if (lora_any(n) && !n->lora_merge) lora_forward(x, n, few ? NULL : &pa, panels);
}

enum { BIAS_COLS = 64 };

static void bias_columns(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct bias_job *j = ctx;
    const int64_t c0 = c * BIAS_COLS, w = j->cols - c0 < BIAS_COLS ? j->cols - c0 : BIAS_COLS;
    for (int64_t r = 0; r < j->rows; r++) j->kern->axpy(j->db + c0, 1, j->dy + r * j->cols + c0, w);
}

static void bias_grad(struct exec *x, const struct node *n, int i) {
    bool add;
    const struct param *b = weight(x, n, n->n_out + i);
    float *db = exec_param_grad(x, n->param[n->n_out + i], &add);
    if (!db) return;
    if (!add) memset(db, 0, (size_t)b->cols * sizeof *db);
    struct bias_job j = {.kern = x->machine->kern,
                         .db = db,
                         .dy = x->grad[n->out[i]],
                         .rows = x->rows,
                         .cols = b->cols};
    pool_for(x->machine->pool, (b->cols + BIAS_COLS - 1) / BIAS_COLS, bias_columns, &j);
}

/* dW_i (O,I) = dY_i' X */
static void weight_grads(struct exec *x, const struct node *n, struct list *l) {
    const int64_t I = weight(x, n, 0)->cols, M = x->rows;
    for (int i = 0; i < n->n_out; i++) {
        bool add;
        const int64_t O = weight(x, n, i)->rows;
        float *dw = exec_param_grad(x, n->param[i], &add);
        if (dw)
            list_mul(l, exec_gemm(x, GEMM_EXACT), O, I, M, mat_f32(x->grad[n->out[i]], O, true),
                     mat_f32(exec_rows(x, n->in[0]), I, true), dw, add, false);
        if (has_bias(n)) bias_grad(x, n, i);
    }
}

/* dX (M,I) += dY_i W_i: one chain over all outputs. */
static void input_grad(struct exec *x, const struct node *n, struct list *l) {
    const int64_t I = weight(x, n, 0)->cols, M = x->rows;
    for (int i = 0; i < n->n_out; i++) {
        const int64_t O = weight(x, n, i)->rows;
        struct variants v;
        struct mat w = param_mat(weight(x, n, i), false);
        if (n->lora[i]) list_run(l); /* as above */
        if (n->lora[i] && n->lora_merge) {
            w = lora_weight(x, n, i, &v, x->work);
            l->work = (char *)x->work + lora_bytes(x, n, false);
        }
        w.trans = true;
        list_mul(l, exec_gemm(x, GEMM_WEIGHTS), M, I, O, mat_f32(x->grad[n->out[i]], O, false), w,
                 x->grad[n->in[0]], exec_adds(x, 0), i > 0);
        if (n->lora[i]) {
            list_run(l);
            lora_backward(x, n, i, l->work);
        }
        l->work = x->work;
    }
}

static void backward(struct exec *x, const struct node *n) {
    struct list l = {.work = x->work};
    input_grad(x, n, &l); /* the longest chain begins first */
    weight_grads(x, n, &l);
    list_run(&l);
}

/* The input is read for dW and for LoRA; a frozen layer needs only its weights. */
static unsigned reads_in(const struct graph *g, const struct node *n) {
    for (int i = 0; i < n->n_out; i++)
        if (g->params[n->param[i]].trainable || n->lora[i]) return 1;
    return 0;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t work(const struct exec *x, const struct node *n, bool back) {
    const struct gemm *g = exec_gemm(x, GEMM_WEIGHTS), *exact = exec_gemm(x, GEMM_EXACT);
    const int64_t I = weight(x, n, 0)->cols, M = x->opts.B * x->opts.T,
                  P = x->opts.probes > 1 ? x->opts.probes : 1;
    size_t most = 0;
    for (int i = 0; i < n->n_out; i++) {
        const int64_t O = weight(x, n, i)->rows;
        if (!back) {
            most = larger(most, gemm_work_bytes(g, M, O, I, mat_f32(NULL, I, false)));
            /* Biases stand where the panels come after them. */
            most = larger(most, gemm_pack_bytes(g, GEMM_A, mat_f32(NULL, I, false), M, I) +
                                    arena_need((size_t)(P * O), sizeof(float)));
        } else {
            most = larger(most, gemm_work_bytes(exact, O, I, M, mat_f32(NULL, O, true)));
            most = larger(most, gemm_work_bytes(g, M, I, O, mat_f32(NULL, O, false)));
        }
    }
    if (!back && lora_any(n) && !n->lora_merge)
        return larger(most, gemm_pack_bytes(g, GEMM_A, mat_f32(NULL, I, false), M, I) +
                                lora_bytes(x, n, false));
    return most + lora_bytes(x, n, back);
}

static double flops(const struct graph *g, const struct node *n, bool backward, int64_t B,
                    int64_t T) {
    double sum = 0;
    for (int i = 0; i < n->n_out; i++) {
        const struct param *w = g->params + n->param[i];
        const double product = 2.0 * (double)(B * T) * (double)param_count(w);
        sum += backward && w->trainable ? 2 * product : product;
        for (int k = 0; k < 2 && n->lora[i]; k++)
            sum += (backward ? 4.0 : 2.0) * (double)(B * T) *
                   (double)param_count(g->params + n->lora[i] + k);
    }
    return sum;
}

const struct op op_linear = {.name = "linear",
                             .forward = forward,
                             .backward = backward,
                             .reads_in_of = reads_in,
                             .inplace = -1,
                             .grad_pass = -1,
                             .work = work,
                             .flops = flops};
