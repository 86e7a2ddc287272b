#include "lora.h"

#include "clock.h"
#include "op.h"

#include <string.h>

static const struct param *factor_a(const struct exec *x, const struct node *n, int i) {
    return x->graph->params + n->lora[i];
}

static const struct param *factor_b(const struct exec *x, const struct node *n, int i) {
    return factor_a(x, n, i) + 1;
}

static int64_t rank_of(const struct exec *x, const struct node *n, int i) {
    return n->lora[i] ? factor_a(x, n, i)->rows : 0;
}

static int64_t width_of(const struct exec *x, const struct node *n) {
    return x->graph->params[n->param[0]].cols;
}

/* Ranks before output i; i = n_out: all of them. */
static int64_t ranks(const struct exec *x, const struct node *n, int i) {
    int64_t sum = 0;
    for (int k = 0; k < i; k++) sum += rank_of(x, n, k);
    return sum;
}

static size_t floats(int64_t n) {
    return arena_need((size_t)n, sizeof(float));
}

static float *take(void **at, int64_t n) {
    float *p = *at;
    *at = (char *)*at + floats(n);
    return p;
}

/* ---- copies as the probes see them ----------------------------------------------------------- */

struct copy_job {
    struct exec *x;
    int param;
    float *dst;
    int64_t stride; /* from one probe's copy to the next */
    float scale;
};

enum { COPY_ROWS = 64 };

static void copy_rows(void *ctx, int64_t c, int tid) {
    (void)tid;
    const struct copy_job *j = ctx;
    const struct param *p = j->x->graph->params + j->param;
    const int64_t per = (p->rows + COPY_ROWS - 1) / COPY_ROWS, r0 = c % per * COPY_ROWS;
    const int64_t r1 = r0 + COPY_ROWS < p->rows ? r0 + COPY_ROWS : p->rows;
    const int v = (int)(c / per);
    const int64_t n = (r1 - r0) * p->cols;
    float *out = j->dst + v * j->stride + r0 * p->cols;
    const float *in = exec_param_row(j->x, j->param, v, r0, 0, n, out);
    if (in != out) memcpy(out, in, (size_t)n * sizeof *out);
    if (j->scale != 1) j->x->machine->kern->scale(out, j->scale, n);
}

/* Every probe's copy of a factor, times scale. */
static void copy_factor(struct exec *x, int param, float *dst, int64_t stride, float scale) {
    struct copy_job j = {x, param, dst, stride, scale};
    const struct param *p = x->graph->params + param;
    pool_for(x->machine->pool, exec_probes(x) * ((p->rows + COPY_ROWS - 1) / COPY_ROWS), copy_rows,
             &j);
}

/* One matrix a probe, side by side; without probes a plain one. */
static struct mat copies(const struct exec *x, const float *data, int64_t ld, int64_t stride,
                         struct variants *v) {
    struct mat m = mat_f32(data, ld, false);
    if (exec_probes(x) == 1) return m;
    *v = (struct variants){.n = exec_probes(x), .stride = stride};
    m.var = v;
    return m;
}

/* ---- forward --------------------------------------------------------------------------------- */

/* H (rows, all ranks) = x [A_0; A_1; ...]' in one product: the factors are thin. */
static float *hidden(struct exec *x, const struct node *n, const struct gemm_pack *a, void **at) {
    const int64_t I = width_of(x, n), R = ranks(x, n, n->n_out), P = exec_probes(x);
    float *stack = take(at, P * R * I), *h = take(at, x->rows * R);
    struct variants v;
    for (int i = 0; i < n->n_out; i++)
        if (n->lora[i]) copy_factor(x, n->lora[i], stack + ranks(x, n, i) * I, R * I, 1);
    const struct mat b = copies(x, stack, I, R * I, &v);
    const struct gemm *g = exec_gemm(x, GEMM_EXACT);
    if (a && gemm_alike(g, exec_gemm(x, GEMM_WEIGHTS))) {
        const struct gemm_pack pb = gemm_unpacked(b, R, I);
        gemm_mul(g, a, &pb, h, R, false, *at);
    } else {
        gemm_run(g, x->rows, R, I, mat_f32(exec_rows(x, n->in[0]), I, false), b, h, R, false, *at);
    }
    return h;
}

void lora_forward(struct exec *x, const struct node *n, const struct gemm_pack *a, void *work) {
    const double begin = clock_seconds();
    const int64_t R = ranks(x, n, n->n_out);
    const float *h = hidden(x, n, a, &work);
    for (int i = 0; i < n->n_out; i++) {
        if (!n->lora[i]) continue;
        const struct param *B = factor_b(x, n, i);
        const int64_t O = B->rows, r = B->cols;
        void *rest = work;
        struct variants v;
        float *b = take(&rest, exec_probes(x) * O * r);
        copy_factor(x, n->lora[i] + 1, b, O * r, n->lora_scale[i]);
        gemm_run(exec_gemm(x, GEMM_EXACT), x->rows, O, r, mat_f32(h + ranks(x, n, i), R, false),
                 copies(x, b, r, O * r, &v), exec_rows(x, n->out[i]), O, true, rest);
    }
    x->seconds_lora += clock_seconds() - begin;
}

struct mat lora_weight(struct exec *x, const struct node *n, int i, struct variants *v,
                       void *work) {
    const double begin = clock_seconds();
    const struct param *A = factor_a(x, n, i), *B = factor_b(x, n, i);
    const int64_t P = exec_probes(x);
    float *a = take(&work, P * param_count(A)), *b = take(&work, P * param_count(B));
    copy_factor(x, n->lora[i], a, param_count(A), 1);
    copy_factor(x, n->lora[i] + 1, b, param_count(B), 1);
    struct mat m = exec_weight(x, n->param[i], v);
    if (!m.var) *v = (struct variants){.n = (int)P, .cols = A->cols, .row_count = B->rows};
    v->rank = (int)A->rows;
    v->kern = x->machine->kern;
    v->scale = n->lora_scale[i];
    v->lora_a = a;
    v->lora_b = b;
    m.var = v;
    x->seconds_lora += clock_seconds() - begin;
    return m;
}

/* ---- backward -------------------------------------------------------------------------------- */

void lora_backward(struct exec *x, const struct node *n, int i, void *work) {
    const double begin = clock_seconds();
    const struct gemm *g = exec_gemm(x, GEMM_EXACT);
    const struct param *A = factor_a(x, n, i), *B = factor_b(x, n, i);
    const int64_t M = x->rows, I = A->cols, O = B->rows, r = A->rows;
    const float *in = exec_rows(x, n->in[0]), *dy = x->grad[n->out[i]];
    const float scale = n->lora_scale[i];
    float *h = take(&work, M * r), *dh = take(&work, M * r);
    bool add;
    gemm_run(g, M, r, I, mat_f32(in, I, false), mat_f32(A->data, I, false), h, r, false, work);
    gemm_run(g, M, r, O, mat_f32(dy, O, false), mat_f32(B->data, r, true), dh, r, false, work);
    x->machine->kern->scale(h, scale, M * r);
    x->machine->kern->scale(dh, scale, M * r);
    float *db = exec_param_grad(x, n->lora[i] + 1, &add);
    if (db) gemm_run(g, O, r, M, mat_f32(dy, O, true), mat_f32(h, r, true), db, r, add, work);
    float *da = exec_param_grad(x, n->lora[i], &add);
    if (da) gemm_run(g, r, I, M, mat_f32(dh, r, true), mat_f32(in, I, true), da, I, add, work);
    if (!n->lora_merge)
        gemm_run(g, M, I, r, mat_f32(dh, r, false), mat_f32(A->data, I, true), x->grad[n->in[0]], I,
                 true, work);
    x->seconds_lora += clock_seconds() - begin;
}

/* ---- scratch --------------------------------------------------------------------------------- */

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t run_bytes(const struct gemm *g, int64_t m, int64_t n, int64_t k, int64_t ld,
                        bool trans) {
    return gemm_work_bytes(g, m, n, k, mat_f32(NULL, ld, trans));
}

static size_t backward_bytes(const struct exec *x, const struct node *n, int i, int64_t M) {
    const struct gemm *g = exec_gemm(x, GEMM_EXACT);
    const int64_t r = rank_of(x, n, i), I = width_of(x, n), O = factor_b(x, n, i)->rows;
    size_t most = run_bytes(g, M, r, I, I, false);
    most = larger(most, run_bytes(g, M, r, O, O, false));
    most = larger(most, run_bytes(g, O, r, M, O, true));
    most = larger(most, run_bytes(g, r, I, M, r, true));
    most = larger(most, run_bytes(g, M, I, r, r, false));
    return 2 * floats(M * r) + most;
}

size_t lora_bytes(const struct exec *x, const struct node *n, bool backward) {
    const struct gemm *g = exec_gemm(x, GEMM_EXACT);
    const int64_t M = x->opts.B * x->opts.T, I = width_of(x, n), R = ranks(x, n, n->n_out),
                  P = x->opts.probes > 1 ? x->opts.probes : 1;
    size_t split = run_bytes(g, M, R, I, I, false), merge = 0, back = 0;
    if (!lora_any(n)) return 0;
    for (int i = 0; i < n->n_out; i++) {
        if (!n->lora[i]) continue;
        const int64_t O = factor_b(x, n, i)->rows, r = rank_of(x, n, i);
        split = larger(split, floats(P * O * r) + run_bytes(g, M, O, r, R, false));
        merge = larger(merge, floats(P * r * I) + floats(P * O * r));
        if (backward) back = larger(back, backward_bytes(x, n, i, M));
    }
    if (backward) return back + (n->lora_merge ? merge : 0);
    return n->lora_merge ? merge : floats(P * R * I) + floats(M * R) + split;
}
