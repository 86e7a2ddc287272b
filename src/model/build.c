#include "build.h"

#include "op.h"

#include <stdlib.h>
#include <string.h>

int build_param(struct builder *b, int part) {
    const struct part *p = b->parts + part;
    uint64_t shape[2];
    if (b->graph->failed) return 0;
    if (b->n == b->cap) {
        const int cap = b->cap ? 2 * b->cap : 64;
        struct param *more = realloc(b->params, (size_t)cap * sizeof *more);
        b->graph->failed = !more;
        if (!more) return 0;
        b->params = more;
        b->cap = cap;
    }
    const int ndim = part_shape(p, &b->sizes, shape);
    struct param *q = b->params + b->n;
    *q = (struct param){.part = p,
                        .layer = part_in_layers(p) ? b->layer : -1,
                        .role = p->role,
                        .ndim = ndim,
                        .rows = ndim == 2 ? (int64_t)shape[0] : 1,
                        .cols = (int64_t)shape[ndim - 1],
                        .move = 1,
                        .trainable = true,
                        .dtype = DT_F32};
    part_name(q->name, p, NAMES_HF, (uint32_t)b->layer);
    return b->n++;
}

bool build_has(const struct builder *b, int part) {
    return b->sizes.has[b->parts[part].when];
}

/* 1 where there is no such parameter for lack of memory. */
static int64_t cols_of(const struct builder *b, int param) {
    return b->graph->failed ? 1 : b->params[param].cols;
}

int64_t build_rows(const struct builder *b, int param) {
    return b->graph->failed ? 1 : b->params[param].rows;
}

void build_block(struct builder *b) {
    b->graph->block++;
}

int build_value(struct builder *b, int64_t cols, const char *name, bool cached) {
    return graph_value(b->graph, name, cols, cached);
}

int build_embed(struct builder *b, int param, const char *name, bool cached) {
    const int y = build_value(b, cols_of(b, param), name, cached);
    graph_node(b->graph, (struct node){.op = &op_embed,
                                       .n_out = 1,
                                       .out = {y},
                                       .n_param = 1,
                                       .param = {param}});
    return y;
}

int build_norm(struct builder *b, int x, int param, const char *name, bool cached) {
    const int64_t cols = graph_cols(b->graph, x);
    const int y = build_value(b, cols, name, cached);
    const int rstd = build_value(b, cols / cols_of(b, param), "rstd", false);
    graph_node(b->graph, (struct node){.op = &op_norm,
                                       .n_in = 1,
                                       .in = {x},
                                       .n_out = 2,
                                       .out = {y, rstd},
                                       .n_param = 1,
                                       .param = {param},
                                       .eps = (float)b->config->eps});
    return y;
}

void build_linears(struct builder *b, int x, const int *param, const int *bias, const int *y,
                   int n) {
    struct node node = {.op = &op_linear,
                        .n_in = 1,
                        .in = {x},
                        .n_out = n,
                        .n_param = bias ? 2 * n : n};
    memcpy(node.out, y, (size_t)n * sizeof *y);
    memcpy(node.param, param, (size_t)n * sizeof *param);
    if (bias) memcpy(node.param + n, bias, (size_t)n * sizeof *bias);
    graph_node(b->graph, node);
}

int build_linear(struct builder *b, int x, int param, const char *name) {
    const int y = build_value(b, build_rows(b, param), name, false);
    build_linears(b, x, &param, NULL, &y, 1);
    return y;
}

int build_rope(struct builder *b, int x, int heads, double theta, const double *factors,
               const char *name, bool cached) {
    const int y = build_value(b, graph_cols(b->graph, x), name, cached);
    graph_node(b->graph, (struct node){.op = &op_rope,
                                       .n_in = 1,
                                       .in = {x},
                                       .n_out = 1,
                                       .out = {y},
                                       .heads = heads,
                                       .head_dim = (int)b->config->head_dim,
                                       .theta = theta,
                                       .rope_factors = factors});
    return y;
}

int build_attention(struct builder *b, int q, int k, int v) {
    const struct model_config *c = b->config;
    const int y = build_value(b, c->heads * c->head_dim, "attention", false),
              lse = build_value(b, c->heads, "lse", false);
    graph_node(b->graph, (struct node){.op = &op_attn,
                                       .n_in = 3,
                                       .in = {q, k, v},
                                       .n_out = 2,
                                       .out = {y, lse},
                                       .heads = (int)c->heads,
                                       .kv_heads = (int)c->kv_heads,
                                       .head_dim = (int)c->head_dim});
    return y;
}

int build_swiglu(struct builder *b, int gate, int up) {
    const int y = build_value(b, graph_cols(b->graph, gate), "swiglu", false);
    graph_node(b->graph, (struct node){.op = &op_swiglu,
                                       .n_in = 2,
                                       .in = {gate, up},
                                       .n_out = 1,
                                       .out = {y}});
    return y;
}

int build_relu2(struct builder *b, int x) {
    const int y = build_value(b, graph_cols(b->graph, x), "relu2", false);
    graph_node(b->graph,
               (struct node){.op = &op_relu2, .n_in = 1, .in = {x}, .n_out = 1, .out = {y}});
    return y;
}

static int sum(struct builder *b, int x, int y, double scale, const char *name, bool cached,
               bool residual) {
    const int z = build_value(b, graph_cols(b->graph, x), name, cached);
    graph_node(b->graph, (struct node){.op = &op_add,
                                       .n_in = 2,
                                       .in = {x, y},
                                       .n_out = 1,
                                       .out = {z},
                                       .scale = (float)scale,
                                       .residual = residual});
    return z;
}

int build_sum(struct builder *b, int x, int y, double scale, const char *name, bool cached) {
    return sum(b, x, y, scale, name, cached, false);
}

int build_residual(struct builder *b, int x, int branch) {
    return sum(b, x, branch, b->config->residual_scale, "residual", false, true);
}

void build_classifier(struct builder *b, int x, int param) {
    graph_node(b->graph, (struct node){.op = &op_xent,
                                       .n_in = 1,
                                       .in = {x},
                                       .n_param = 1,
                                       .param = {param},
                                       .cap = (float)b->config->softcap});
}

void build_stack(struct builder *b, const struct build_ends *parts, build_layer_fn *layer) {
    const int table = build_param(b, parts->embed);
    int x = build_embed(b, table, "embedding", false);
    for (b->layer = 0; b->layer < b->config->layers; b->layer++) {
        build_block(b);
        x = layer(b, x);
    }
    build_block(b);
    x = build_norm(b, x, build_param(b, parts->norm), "final normed", false);
    build_classifier(b, x, build_has(b, parts->head) ? build_param(b, parts->head) : table);
}
