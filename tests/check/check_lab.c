#include "check_lab.h"

#include "op.h"
#include "ref_llama.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *lab_reserve(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p) abort();
    return p;
}

/* ---- building ---- */

struct lab lab_make(struct check *c, int64_t B, int64_t T) {
    struct lab l = {.B = B, .T = T, .rows = B * T};
    l.input = lab_reserve((size_t)l.rows, sizeof *l.input);
    l.target = lab_reserve((size_t)l.rows, sizeof *l.target);
    l.nll = lab_reserve((size_t)l.rows, sizeof *l.nll);
    for (int64_t i = 0; i < l.rows; i++) l.input[i] = (uint32_t)i;
    (void)c;
    return l;
}

int lab_param(struct check *c, struct lab *l, int64_t rows, int64_t cols, double sigma,
                     double mean) {
    const int i = l->g.n_params++;
    struct param *p = l->params + i;
    *p = (struct param){
        .ndim = rows > 1 ? 2 : 1, .rows = rows, .cols = cols, .trainable = true, .dtype = DT_F32};
    snprintf(p->name, sizeof p->name, "param%d", i);
    float *data = p->data = lab_reserve((size_t)(rows * cols), sizeof(float));
    p->grad = lab_reserve((size_t)(rows * cols), sizeof(float));
    l->w[i] = lab_reserve((size_t)(rows * cols), sizeof(double));
    check_normal(c, data, rows * cols, sigma);
    for (int64_t k = 0; k < rows * cols; k++) {
        data[k] += (float)mean;
        l->w[i][k] = (double)data[k];
    }
    return i;
}

/* A value whose rows are parameters. Before all other parameters. */
int lab_source(struct check *c, struct lab *l, int64_t cols) {
    const int v = graph_value(&l->g, "source", cols, false);
    const int p = lab_param(c, l, l->rows, cols, 1, 0);
    graph_node(&l->g,
               (struct node){.op = &op_embed, .n_out = 1, .out = {v}, .n_param = 1, .param = {p}});
    l->n_sources++;
    return v;
}

int lab_op1(struct lab *l, struct node n, int64_t cols) {
    const int v = graph_value(&l->g, n.op->name, cols, false);
    n.n_out = n.n_out ? n.n_out : 1;
    n.out[0] = v;
    graph_node(&l->g, n);
    return v;
}

int lab_linear1(struct check *c, struct lab *l, int x, int64_t cols) {
    const int64_t in = l->g.values[x].cols;
    const int w = lab_param(c, l, cols, in, 1 / sqrt((double)in), 0);
    return lab_op1(
        l, (struct node){.op = &op_linear, .n_in = 1, .in = {x}, .n_param = 1, .param = {w}}, cols);
}

int lab_norm(struct check *c, struct lab *l, int x, int64_t width) {
    const int64_t cols = l->g.values[x].cols;
    const int w = lab_param(c, l, 1, width, 0.3, 1);
    l->attr.eps = 0x1p-10f;
    const int y = graph_value(&l->g, "norm", cols, false),
              rstd = graph_value(&l->g, "rstd", cols / width, false);
    graph_node(&l->g, (struct node){.op = &op_norm,
                                    .n_in = 1,
                                    .in = {x},
                                    .n_out = 2,
                                    .out = {y, rstd},
                                    .n_param = 1,
                                    .param = {w},
                                    .eps = l->attr.eps});
    return y;
}

int lab_add(struct lab *l, int a, int b, float scale) {
    return lab_op1(l, (struct node){.op = &op_add, .n_in = 2, .in = {a, b}, .scale = scale},
                   l->g.values[a].cols);
}

int lab_attn(struct lab *l, int q, int k, int v) {
    const int y = graph_value(&l->g, "attention", l->g.values[q].cols, false);
    const int lse = graph_value(&l->g, "lse", l->attr.heads, false);
    struct node n = l->attr;
    n = (struct node){.op = &op_attn,
                      .n_in = 3,
                      .in = {q, k, v},
                      .n_out = 2,
                      .out = {y, lse},
                      .heads = n.heads,
                      .kv_heads = n.kv_heads,
                      .head_dim = n.head_dim};
    graph_node(&l->g, n);
    return y;
}

/* ---- reference ---- */

static double lab_loss(void *ctx) {
    const struct lab *l = ctx;
    const int head = l->g.n_params - 1;
    const int V = (int)l->params[head].rows, C = (int)l->params[head].cols;
    double *z = lab_reserve((size_t)V, sizeof *z), sum = 0;
    l->ref(l, l->y);
    for (int64_t r = 0; r < l->rows; r++) {
        ref_linear(z, l->y + r * C, l->w[head], NULL, 1, C, V);
        l->nll[r] = -ref_logprob(z, V, l->target[r], (double)l->attr.cap);
        sum += l->nll[r];
    }
    free(z);
    return sum * GRAD_SCALE;
}

/* Ends the graph: xent over V classes; the reference's values and differences. */
void lab_finish(struct check *c, struct lab *l, int x, int64_t V, float cap,
                       void (*ref)(const struct lab *l, double *y)) {
    const int64_t C = l->g.values[x].cols;
    const int head = lab_param(c, l, V, C, 2 / sqrt((double)C), 0);
    graph_node(
        &l->g,
        (struct node){
            .op = &op_xent, .n_in = 1, .in = {x}, .n_param = 1, .param = {head}, .cap = cap});
    l->last = x;
    l->attr.cap = cap;
    l->ref = ref;
    l->y = lab_reserve((size_t)(l->rows * C), sizeof *l->y);
    for (int64_t i = 0; i < l->rows; i++) l->target[i] = (int32_t)rng_below(&c->rng, (uint64_t)V);
    for (int i = 0; i < l->g.n_params; i++)
        for (int k = 0; k < SAMPLES; k++) {
            struct sample *s = l->samples + l->n_samples++;
            s->param = i;
            s->at = (int64_t)rng_below(&c->rng, (uint64_t)param_count(l->params + i));
            s->want = ref_fd(lab_loss, l, l->w[i] + s->at);
        }
    lab_loss(l);
}

void lab_release(struct lab *l) {
    for (int i = 0; i < l->g.n_params; i++) {
        free(l->params[i].data);
        free(l->params[i].grad);
        free(l->w[i]);
    }
    free(l->input);
    free(l->target);
    free(l->y);
    free(l->nll);
    graph_release(&l->g);
}

/* ---- comparison ---- */

double largest(const double *x, int64_t n) {
    double max = 0;
    for (int64_t i = 0; i < n; i++) max = fmax(max, fabs(x[i]));
    return max;
}

static void fill_grads(struct lab *l, float with) {
    for (int i = 0; i < l->g.n_params; i++)
        for (int64_t k = 0; k < param_count(l->params + i); k++) l->params[i].grad[k] = with;
}

/* One run with memory full of NaN before it, as memory of earlier runs would be full of numbers. */
void lab_run(struct lab *l, const struct machine *g, bool train, bool add, float *y,
                    float *nll) {
    struct exec x;
    struct err e;
    const struct exec_opts o = {.B = l->B, .T = l->T, .train = train};
    l->g.params = l->params;
    if (exec_open(&x, &l->g, g, &o, &e)) abort();
    memset(x.mem.base, 0xff, x.mem.size);
    const struct batch b = {.B = l->B,
                            .T = l->T,
                            .input = l->input,
                            .target = (const uint32_t *)l->target,
                            .nll = nll,
                            .grad_scale = GRAD_SCALE,
                            .grad_add = add};
    exec_run(&x, &b);
    const int64_t C = l->g.values[l->last].cols;
    if (!train) memcpy(y, x.value[l->last], (size_t)(l->rows * C) * sizeof *y);
    exec_close(&x);
}

void lab_compare_forward(struct check *c, struct lab *l, const struct machine *g, double tol) {
    const int64_t n = l->rows * l->g.values[l->last].cols;
    float *y = lab_reserve((size_t)n, sizeof *y), *nll = lab_reserve((size_t)l->rows, sizeof *nll);
    float *again = lab_reserve((size_t)l->rows, sizeof *again);
    lab_run(l, g, false, false, y, nll);
    const double max = largest(l->y, n), most = largest(l->nll, l->rows);
    c->note = "forward";
    for (int64_t i = 0; i < n; i++) check_near(c, i, (double)y[i], l->y[i], max, tol, 0);
    c->note = "loss";
    for (int64_t i = 0; i < l->rows; i++) check_near(c, i, (double)nll[i], l->nll[i], most, tol, 0);
    fill_grads(l, NAN);
    lab_run(l, g, true, false, y, again);
    check_that(c, !memcmp(nll, again, (size_t)l->rows * sizeof *nll),
               "training computes the same loss, bit for bit");
    free(y);
    free(nll);
    free(again);
}

static double largest_grad(const struct param *p) {
    double max = 0;
    for (int64_t k = 0; k < param_count(p); k++) max = fmax(max, fabs((double)p->grad[k]));
    return max;
}

/* Gradients of the run before. Scale: the largest of the tensor, but where all of them nearly
 * cancel (a bias of keys changes nothing at all) a tenth of the largest of all tensors. */
void lab_compare_backward(struct check *c, struct lab *l, double tol) {
    char note[32];
    double any = 0;
    c->note = note;
    for (int i = 0; i < l->g.n_params; i++) any = fmax(any, largest_grad(l->params + i));
    for (int i = 0; i < l->n_samples; i++) {
        const struct sample *s = l->samples + i;
        const struct param *p = l->params + s->param;
        const double scale = fmax(largest_grad(p), any / 10);
        snprintf(note, sizeof note, "gradient of %.16s", p->name);
        check_near(c, s->at, (double)p->grad[s->at], s->want, scale, tol, 0);
    }
    c->note = "";
}

/* Twice the same micro-batch, the second added: twice the gradient, but for rounding. */
void lab_compare_accumulation(struct check *c, struct lab *l, const struct machine *g) {
    float *once[MAX_PARAMS],
        *y = lab_reserve((size_t)(l->rows * l->g.values[l->last].cols), sizeof *y);
    float *nll = lab_reserve((size_t)l->rows, sizeof *nll);
    double any = 0;
    for (int i = 0; i < l->g.n_params; i++) {
        const size_t bytes = (size_t)param_count(l->params + i) * sizeof(float);
        once[i] = lab_reserve(bytes, 1);
        memcpy(once[i], l->params[i].grad, bytes);
        any = fmax(any, largest_grad(l->params + i));
    }
    lab_run(l, g, true, true, y, nll);
    c->note = "accumulated gradient";
    for (int i = 0; i < l->g.n_params; i++) {
        const double scale = fmax(largest_grad(l->params + i), any / 5);
        for (int64_t k = 0; k < param_count(l->params + i); k++)
            check_near(c, k, (double)l->params[i].grad[k], 2 * (double)once[i][k], scale, TOL_F32,
                       0);
        free(once[i]);
    }
    free(y);
    free(nll);
}
