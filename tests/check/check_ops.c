/* Ops: tiny graphs around every op, run by exec, against the double references of tests/ref: the
 * forward pass value by value, the backward pass against finite differences of the reference.
 *
 * A graph starts with embed nodes whose tables hold one row a token, so that a table's gradient is
 * the gradient of the op's input, and ends in xent, whose loss is what is differentiated. Every
 * item runs with every GEMM backend; the row kernels are those of the tier in use: run the program
 * under DUET_CPU=generic, avx2, ... for the others. */
#include "check_lab.h"
#include "op.h"
#include "ref_llama.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LABS = 12 };

/* ---- the items ---- */

static void sized(struct check *c, const struct lab *l) {
    c->n = l->rows;
}

/* Tokens that repeat, tokens that do not occur. */
static void ref_embed(const struct lab *l, double *y) {
    const int64_t C = l->params[0].cols;
    for (int64_t r = 0; r < l->rows; r++)
        memcpy(y + r * C, l->w[0] + l->input[r] * C, (size_t)C * sizeof *y);
}

static int make_embed(struct check *c, struct lab *labs) {
    static const int64_t cols[] = {1, 50, 130};
    for (int i = 0; i < 3; i++) {
        struct lab *l = labs + i;
        *l = lab_make(c, 3, 25);
        const int v = lab_source(c, l, cols[i]);
        for (int64_t r = 0; r < l->rows; r++) l->input[r] = (uint32_t)rng_below(&c->rng, 20);
        lab_finish(c, l, v, 9, 0, ref_embed);
    }
    return 3;
}

static void ref_norm(const struct lab *l, double *y) {
    const int width = (int)l->params[1].cols, groups = (int)l->params[0].cols / width;
    ref_rmsnorm(y, l->w[0], l->w[1], (int)l->rows * groups, width, (double)l->attr.eps);
}

static int make_norm(struct check *c, struct lab *labs) {
    static const int64_t sizes[][4] = {{1, 1, 1, 1}, {3, 33, 1, 50}, {1, 97, 4, 6}, {2, 32, 8, 64}};
    for (int i = 0; i < 4; i++) {
        const int64_t *s = sizes[i];
        labs[i] = lab_make(c, s[0], s[1]);
        const int v = lab_source(c, labs + i, s[2] * s[3]);
        lab_finish(c, labs + i, lab_norm(c, labs + i, v, s[3]), 9, 0, ref_norm);
    }
    return 4;
}

/* One to three outputs joined by adds, with or without biases: parameters are the source, the
 * weights, the biases, the classifier. */
static void ref_linear_sum(const struct lab *l, double *y) {
    const int in = (int)l->params[0].cols, out = (int)l->params[1].rows, n_out = l->attr.n_out;
    double *t = lab_reserve((size_t)(l->rows * out), sizeof *t);
    for (int i = 0; i < n_out; i++) {
        const double *bias = l->attr.n_param == 2 * n_out ? l->w[1 + n_out + i] : NULL;
        ref_linear(i ? t : y, l->w[0], l->w[1 + i], bias, (int)l->rows, in, out);
        for (int64_t k = 0; k < l->rows * out && i; k++) y[k] += 0.5 * t[k];
    }
    free(t);
}

static int make_linear(struct check *c, struct lab *labs) {
    static const int64_t sizes[][4] = {
        {1, 1, 1, 1}, {1, 3, 7, 70}, {2, 40, 65, 33}, {1, 5, 600, 9}, {3, 30, 33, 140}};
    int n = 0;
    for (int n_out = 1; n_out <= 3; n_out++)
        for (int bias = 0; bias < 2; bias++, n++) {
            const int64_t *s = sizes[n % 5];
            struct lab *l = labs + n;
            *l = lab_make(c, s[0], s[1]);
            struct node node = {.op = &op_linear,
                                .n_in = 1,
                                .in = {lab_source(c, l, s[2])},
                                .n_out = n_out,
                                .n_param = bias ? 2 * n_out : n_out};
            for (int i = 0; i < node.n_param; i++)
                node.param[i] = i < n_out ? lab_param(c, l, s[3], s[2], 1 / sqrt((double)s[2]), 0)
                                          : lab_param(c, l, 1, s[3], 1, 0);
            for (int i = 0; i < n_out; i++) node.out[i] = graph_value(&l->g, "y", s[3], false);
            graph_node(&l->g, node);
            l->attr = node;
            int v = node.out[0];
            for (int i = 1; i < n_out; i++) v = lab_add(l, v, node.out[i], 0.5f);
            lab_finish(c, l, v, 9, 0, ref_linear_sum);
        }
    return n;
}

static void ref_rotated(const struct lab *l, double *y) {
    const int64_t C = l->params[0].cols;
    memcpy(y, l->w[0], (size_t)(l->rows * C) * sizeof *y);
    for (int64_t r = 0; r < l->rows; r++)
        ref_rope(y + r * C, (int)(r % l->T), l->attr.heads, l->attr.head_dim, l->attr.theta);
}

static int make_rope(struct check *c, struct lab *labs) {
    static const int sizes[][4] = {{1, 1, 1, 2}, {3, 35, 3, 10}, {2, 40, 2, 64}};
    for (int i = 0; i < 3; i++) {
        const int *s = sizes[i];
        struct lab *l = labs + i;
        *l = lab_make(c, s[0], s[1]);
        const int64_t cols = s[2] * s[3];
        l->attr = (struct node){.heads = s[2], .head_dim = s[3], .theta = 100};
        const int v = lab_source(c, l, cols);
        lab_finish(c, l,
                   lab_op1(l,
                           (struct node){.op = &op_rope,
                                         .n_in = 1,
                                         .in = {v},
                                         .heads = s[2],
                                         .head_dim = s[3],
                                         .theta = 100},
                           cols),
                   9, 0, ref_rotated);
    }
    return 3;
}

static void ref_attn(const struct lab *l, double *y) {
    const int64_t q = l->params[0].cols, k = l->params[1].cols;
    for (int64_t b = 0; b < l->B; b++)
        ref_attention(y + b * l->T * q, l->w[0] + b * l->T * q, l->w[1] + b * l->T * k,
                      l->w[2] + b * l->T * k, (int)l->T, l->attr.heads, l->attr.kv_heads,
                      l->attr.head_dim);
}

static int make_attn(struct check *c, struct lab *labs) {
    static const int sizes[][5] = {{2, 1, 2, 2, 8},   {2, 3, 4, 2, 6},   {3, 5, 2, 1, 2},
                                   {1, 64, 2, 2, 16}, {2, 70, 6, 2, 10}, {1, 130, 3, 1, 34},
                                   {1, 300, 2, 1, 40}};
    for (int i = 0; i < 7; i++) {
        const int *s = sizes[i];
        struct lab *l = labs + i;
        *l = lab_make(c, s[0], s[1]);
        l->attr = (struct node){.heads = s[2], .kv_heads = s[3], .head_dim = s[4]};
        const int q = lab_source(c, l, s[2] * s[4]), k = lab_source(c, l, s[3] * s[4]);
        lab_finish(c, l, lab_attn(l, q, k, lab_source(c, l, s[3] * s[4])), 9, 0, ref_attn);
    }
    return 7;
}

static void ref_gated(const struct lab *l, double *y) {
    ref_swiglu(y, l->w[0], l->w[1], (int)param_count(l->params));
}

static int make_swiglu(struct check *c, struct lab *labs) {
    static const int64_t sizes[][3] = {{1, 1, 1}, {3, 33, 50}};
    for (int i = 0; i < 2; i++) {
        const int64_t *s = sizes[i];
        struct lab *l = labs + i;
        *l = lab_make(c, s[0], s[1]);
        const int g = lab_source(c, l, s[2]), u = lab_source(c, l, s[2]);
        lab_finish(c, l, lab_op1(l, (struct node){.op = &op_swiglu, .n_in = 2, .in = {g, u}}, s[2]),
                   9, 0, ref_gated);
    }
    return 2;
}

static void ref_squared(const struct lab *l, double *y) {
    ref_relu2(y, l->w[0], (int)param_count(l->params));
}

static int make_relu2(struct check *c, struct lab *labs) {
    static const int64_t sizes[][3] = {{1, 1, 1}, {3, 33, 50}, {2, 32, 7}};
    for (int i = 0; i < 3; i++) {
        const int64_t *s = sizes[i];
        struct lab *l = labs + i;
        *l = lab_make(c, s[0], s[1]);
        const int x = lab_source(c, l, s[2]);
        lab_finish(c, l, lab_op1(l, (struct node){.op = &op_relu2, .n_in = 1, .in = {x}}, s[2]), 9,
                   0, ref_squared);
    }
    return 3;
}

static void ref_added(const struct lab *l, double *y) {
    for (int64_t i = 0; i < param_count(l->params); i++)
        y[i] = l->w[0][i] + (double)l->attr.scale * l->w[1][i];
}

static int make_add(struct check *c, struct lab *labs) {
    static const float scales[] = {1, 0.35f};
    for (int i = 0; i < 2; i++) {
        struct lab *l = labs + i;
        *l = lab_make(c, 3, 33);
        l->attr.scale = scales[i];
        const int a = lab_source(c, l, 50), b = lab_source(c, l, 50);
        lab_finish(c, l, lab_add(l, a, b, scales[i]), 9, 0, ref_added);
    }
    return 2;
}

static void ref_source(const struct lab *l, double *y) {
    memcpy(y, l->w[0], (size_t)param_count(l->params) * sizeof *y);
}

/* Vocabularies around the panels of 256 and their groups, rows around the chunks of 64 to 256. */
static int make_xent(struct check *c, struct lab *labs) {
    static const int64_t sizes[][4] = {{1, 1, 1, 1},     {1, 1, 5, 2},     {1, 3, 33, 255},
                                       {2, 32, 33, 256}, {1, 65, 33, 257}, {1, 300, 5, 600},
                                       {1, 40, 9, 2400}, {1, 7, 9, 4097}};
    for (int i = 0; i < 8; i++) {
        const int64_t *s = sizes[i];
        labs[i] = lab_make(c, s[0], s[1]);
        const int v = lab_source(c, labs + i, s[2]);
        lab_finish(c, labs + i, v, s[3], i % 2 ? 1.5f : 0, ref_source);
    }
    return 8;
}

/* x is read by a norm, two linears and two adds: y = x + 0.35 W0 norm(x) + 2 W1 x +
 * x-branch again. */
static void ref_shared(const struct lab *l, double *y) {
    const int C = (int)l->params[0].cols, rows = (int)l->rows;
    double *h = lab_reserve((size_t)(rows * C), sizeof *h),
           *t = lab_reserve((size_t)(rows * C), sizeof *t);
    ref_rmsnorm(h, l->w[0], l->w[1], rows, C, (double)l->attr.eps);
    ref_linear(t, h, l->w[2], NULL, rows, C, C);
    for (int i = 0; i < rows * C; i++) y[i] = l->w[0][i] + (double)0.35f * t[i];
    ref_linear(t, l->w[0], l->w[3], NULL, rows, C, C);
    for (int i = 0; i < rows * C; i++) y[i] += 2 * t[i];
    for (int i = 0; i < rows * C; i++) y[i] = l->w[0][i] - 0.5 * y[i];
    free(h);
    free(t);
}

static int make_shared(struct check *c, struct lab *labs) {
    labs[0] = lab_make(c, 2, 37);
    const int x = lab_source(c, labs, 20);
    const int a = lab_linear1(c, labs, lab_norm(c, labs, x, 20), 20);
    const int s = lab_add(labs, x, a, 0.35f);
    const int t = lab_add(labs, s, lab_linear1(c, labs, x, 20), 2);
    lab_finish(c, labs, lab_add(labs, x, t, -0.5f), 9, 0, ref_shared);
    return 1;
}

/* Queries, keys and values of different widths from one linear node, through attention. */
static void ref_qkv(const struct lab *l, double *y) {
    const int in = (int)l->params[0].cols, rows = (int)l->rows;
    double *x[3];
    for (int i = 0; i < 3; i++) {
        const int out = (int)l->params[1 + i].rows;
        x[i] = lab_reserve((size_t)(rows * out), sizeof(double));
        ref_linear(x[i], l->w[0], l->w[1 + i], l->w[4 + i], rows, in, out);
    }
    ref_attention(y, x[0], x[1], x[2], rows, l->attr.heads, l->attr.kv_heads, l->attr.head_dim);
    for (int i = 0; i < 3; i++) free(x[i]);
}

static int make_qkv(struct check *c, struct lab *labs) {
    struct lab *l = labs;
    *l = lab_make(c, 1, 75);
    l->attr = (struct node){.heads = 4, .kv_heads = 1, .head_dim = 6};
    struct node n = {
        .op = &op_linear, .n_in = 1, .in = {lab_source(c, l, 17)}, .n_out = 3, .n_param = 6};
    for (int i = 0; i < 6; i++) {
        const int64_t out = i % 3 ? 6 : 24;
        n.param[i] = lab_param(c, l, i < 3 ? out : 1, i < 3 ? 17 : out, i < 3 ? 0.3 : 1, 0);
        if (i < 3) n.out[i] = graph_value(&l->g, "qkv", out, false);
    }
    graph_node(&l->g, n);
    lab_finish(c, l, lab_attn(l, n.out[0], n.out[1], n.out[2]), 9, 0, ref_qkv);
    return 1;
}

/* Every op has graphs with it, then those of several. */
static const struct {
    const char *name;
    int (*make)(struct check *c, struct lab *labs);
    const struct op *of; /* or NULL */
} items[] = {
#define X(name) {#name, make_##name, &op_##name},
    OPS(X)
#undef X
    {"shared", make_shared, NULL},
    {"qkv", make_qkv, NULL}};

static bool has_op(const struct lab *labs, int n, const struct op *op) {
    for (int i = 0; i < n; i++) {
        bool has = !op;
        for (int k = 0; k < labs[i].g.n_nodes; k++) has |= labs[i].g.nodes[k].op == op;
        if (!has) return false;
    }
    return true;
}

static void check_labs(struct check *c, struct lab *labs, int n, const struct machine *g) {
    const double tol = g->gemm->compute == DT_BF16 ? TOL_BF16 : TOL_F32;
    for (int i = 0; i < n; i++) {
        sized(c, labs + i);
        lab_compare_forward(c, labs + i, g, tol);
        lab_compare_backward(c, labs + i, tol);
        lab_compare_accumulation(c, labs + i, g);
    }
}

/* Scores are of the exact class: with weights in bf16 attention is as exact as with all in f32.
 * (The loss of these graphs, and so their gradients, come from a classifier in bf16.) */
static void check_exact_class(struct check *c, const char *item, struct lab *labs, int n) {
    struct machine m;
    struct err e;
    const struct machine_opts o = {
        .threads = 2, .gemm = "native", .compute = "bf16", .exact = "f32"};
    if (strcmp(item, "attn") != 0 || !check_begin(c, item, "native-bf16-exact")) return;
    if (machine_open(&m, &o, &e)) abort();
    c->note = "forward";
    for (int i = 0; i < n; i++) {
        const int64_t count = labs[i].rows * labs[i].g.values[labs[i].last].cols;
        float *y = lab_reserve((size_t)count, sizeof *y),
              *nll = lab_reserve((size_t)labs[i].rows, 4);
        sized(c, labs + i);
        lab_run(labs + i, &m, false, false, y, nll);
        for (int64_t k = 0; k < count; k++)
            check_near(c, k, (double)y[k], labs[i].y[k], largest(labs[i].y, count), TOL_F32, 0);
        free(y);
        free(nll);
    }
    machine_close(&m);
    check_end(c);
}

void check_ops(struct check *c) {
    static struct lab labs[MAX_LABS];
    if (c->bench) return;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        int n = 0;
        for (size_t k = 0; k < 2 * n_gemm_backends; k++) {
            struct machine g;
            struct err e;
            char name[32];
            const enum dtype compute = k < n_gemm_backends ? DT_F32 : DT_BF16;
            snprintf(name, sizeof name, "%s-%s", gemm_backends[k % n_gemm_backends]->name,
                     dtype_row(compute)->name);
            if (!strcmp(name, "ref-bf16")) continue; /* rounds every element every time */
            const struct machine_opts o = {.threads = 2,
                                           .gemm = gemm_backends[k % n_gemm_backends]->name,
                                           .compute = dtype_row(compute)->name};
            if (machine_open(&g, &o, &e)) {
                if (i == 0) check_skip(c, name, e.msg);
                continue;
            }
            if (!check_begin(c, items[i].name, name)) {
                machine_close(&g);
                continue;
            }
            /* All variants share the graphs and the finite differences of the first. */
            if (!n) n = items[i].make(c, labs);
            check_that(c, has_op(labs, n, items[i].of), "every graph has a node of the op");
            check_labs(c, labs, n, &g);
            check_end(c);
            machine_close(&g);
        }
        if (n) check_exact_class(c, items[i].name, labs, n);
        for (int k = 0; k < n; k++) lab_release(labs + k);
    }
}
