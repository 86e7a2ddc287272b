#include "arch.h"

#include "op.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct arch archs[] = {
#define X(name, bias, norm) {#name, bias, norm, arch_build_decoder},
    ARCHS(X)
#undef X
};

const struct arch *arch_find(const char *name) {
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (!strcmp(archs[i].name, name)) return archs + i;
    return NULL;
}

int arch_params(const struct model_config *c) {
    const int layer = 9 + (c->attention_bias ? 3 : 0) + (c->qk_norm ? 2 : 0);
    return 2 + (c->tied ? 0 : 1) + (int)c->layers * layer;
}

struct builder {
    const struct model_config *c;
    struct graph *g;
    struct param *params;
    int n;
    int layer;
};

/* Adds a parameter; rows 0: one-dimensional. The name is a format that may use the layer. */
__attribute__((format(printf, 5, 6))) static int
param(struct builder *b, enum role role, int64_t rows, int64_t cols, const char *name, ...) {
    struct param *p = b->params + b->n;
    va_list ap;
    va_start(ap, name);
    vsnprintf(p->name, sizeof p->name, name, ap);
    va_end(ap);
    p->role = role;
    p->ndim = rows ? 2 : 1;
    p->rows = rows ? rows : 1;
    p->cols = cols;
    p->init_scale = 1;
    p->trainable = true;
    p->dtype = DT_F32;
    return b->n++;
}

static int weight(struct builder *b, int64_t rows, int64_t cols, const char *name) {
    return param(b, ROLE_matrix, rows, cols, "model.layers.%d.%s.weight", b->layer, name);
}

/* A matrix that writes into the residual stream: initialised smaller with depth (GPT-2). */
static int residual_weight(struct builder *b, int64_t rows, int64_t cols, const char *name) {
    const int i = weight(b, rows, cols, name);
    b->params[i].init_scale = 1 / sqrt(2.0 * (double)b->c->layers);
    return i;
}

static int norm_weight(struct builder *b, int64_t n, const char *name) {
    return param(b, ROLE_norm, 0, n, "model.layers.%d.%s.weight", b->layer, name);
}

static int norm(struct builder *b, int x, int w, const char *name, bool cached) {
    struct graph *g = b->g;
    const int64_t cols = graph_cols(g, x);
    const int y = graph_value(g, name, cols, cached);
    const int rstd = graph_value(g, "rstd", cols / b->params[w].cols, false);
    graph_node(g, (struct node){.op = &op_norm,
                                .n_in = 1,
                                .in = {x},
                                .n_out = 2,
                                .out = {y, rstd},
                                .n_param = 1,
                                .param = {w},
                                .eps = (float)b->c->eps});
    return y;
}

static int rope(struct builder *b, int x, int heads, const char *name, bool cached) {
    const int y = graph_value(b->g, name, graph_cols(b->g, x), cached);
    graph_node(b->g, (struct node){.op = &op_rope,
                                   .n_in = 1,
                                   .in = {x},
                                   .n_out = 1,
                                   .out = {y},
                                   .heads = heads,
                                   .head_dim = (int)b->c->head_dim,
                                   .theta = b->c->theta,
                                   .rope_factors = b->c->rope_factors});
    return y;
}

static int add(struct builder *b, int x, int branch) {
    const int y = graph_value(b->g, "residual", b->c->dim, false);
    graph_node(b->g, (struct node){.op = &op_add,
                                   .n_in = 2,
                                   .in = {x, branch},
                                   .n_out = 1,
                                   .out = {y},
                                   .scale = (float)b->c->residual_scale});
    return y;
}

static int linear(struct builder *b, int x, int w, const char *name) {
    const int y = graph_value(b->g, name, b->params[w].rows, false);
    graph_node(b->g, (struct node){.op = &op_linear,
                                   .n_in = 1,
                                   .in = {x},
                                   .n_out = 1,
                                   .out = {y},
                                   .n_param = 1,
                                   .param = {w}});
    return y;
}

static int attention(struct builder *b, int x) {
    const struct model_config *c = b->c;
    struct graph *g = b->g;
    const int64_t nq = c->heads * c->head_dim, nk = c->kv_heads * c->head_dim;
    const int h = norm(b, x, norm_weight(b, c->dim, "input_layernorm"), "normed", false);
    struct node qkv = {.op = &op_linear, .n_in = 1, .in = {h}, .n_out = 3, .n_param = 3};
    static const char *const names[] = {"q_proj", "k_proj", "v_proj"};
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "self_attn.%s", names[i]);
        qkv.param[i] = weight(b, i ? nk : nq, c->dim, name);
        if (c->attention_bias) {
            qkv.param[3 + i] =
                param(b, ROLE_bias, 0, i ? nk : nq, "model.layers.%d.%s.bias", b->layer, name);
            qkv.n_param = 6;
        }
    }
    const int wo = residual_weight(b, c->dim, nq, "self_attn.o_proj");
    int q = qkv.out[0] = graph_value(g, "q", nq, false);
    /* Keys end up in the cache after rotation: they start there if everything on the way is in
     * place. */
    int k = qkv.out[1] = graph_value(g, "k", nk, !c->qk_norm);
    const int v = qkv.out[2] = graph_value(g, "v", nk, true);
    graph_node(g, qkv);
    if (c->qk_norm) {
        q = norm(b, q, norm_weight(b, c->head_dim, "self_attn.q_norm"), "q normed", false);
        k = norm(b, k, norm_weight(b, c->head_dim, "self_attn.k_norm"), "k normed", true);
    }
    q = rope(b, q, (int)c->heads, "q rotated", false);
    k = rope(b, k, (int)c->kv_heads, "k rotated", true);
    const int y = graph_value(g, "attention", nq, false),
              lse = graph_value(g, "lse", c->heads, false);
    graph_node(g, (struct node){.op = &op_attn,
                                .n_in = 3,
                                .in = {q, k, v},
                                .n_out = 2,
                                .out = {y, lse},
                                .heads = (int)c->heads,
                                .kv_heads = (int)c->kv_heads,
                                .head_dim = (int)c->head_dim});
    return add(b, x, linear(b, y, wo, "attention out"));
}

static int mlp(struct builder *b, int x) {
    const struct model_config *c = b->c;
    struct graph *g = b->g;
    const int h = norm(b, x, norm_weight(b, c->dim, "post_attention_layernorm"), "normed", false);
    const int gate = graph_value(g, "gate", c->hidden, false),
              up = graph_value(g, "up", c->hidden, false);
    const int wg = weight(b, c->hidden, c->dim, "mlp.gate_proj"),
              wu = weight(b, c->hidden, c->dim, "mlp.up_proj");
    graph_node(g, (struct node){.op = &op_linear,
                                .n_in = 1,
                                .in = {h},
                                .n_out = 2,
                                .out = {gate, up},
                                .n_param = 2,
                                .param = {wg, wu}});
    const int y = graph_value(g, "swiglu", c->hidden, false);
    graph_node(
        g, (struct node){.op = &op_swiglu, .n_in = 2, .in = {gate, up}, .n_out = 1, .out = {y}});
    return add(b, x,
               linear(b, y, residual_weight(b, c->dim, c->hidden, "mlp.down_proj"), "mlp out"));
}

void arch_build_decoder(const struct model_config *c, struct graph *g, struct param *params) {
    struct builder b = {.c = c, .g = g, .params = params};
    g->params = params;
    const int embed = param(&b, ROLE_embed, c->vocab, c->dim, "model.embed_tokens.weight");
    int x = graph_value(g, "embedding", c->dim, false);
    graph_node(
        g, (struct node){.op = &op_embed, .n_out = 1, .out = {x}, .n_param = 1, .param = {embed}});
    for (b.layer = 0; b.layer < c->layers; b.layer++) {
        g->block = b.layer + 1;
        x = mlp(&b, attention(&b, x));
    }
    g->block = (int)c->layers + 1;
    x = norm(&b, x, param(&b, ROLE_norm, 0, c->dim, "model.norm.weight"), "final normed", false);
    const int head = c->tied ? embed : param(&b, ROLE_embed, c->vocab, c->dim, "lm_head.weight");
    graph_node(g, (struct node){.op = &op_xent,
                                .n_in = 1,
                                .in = {x},
                                .n_param = 1,
                                .param = {head},
                                .cap = (float)c->softcap});
    g->n_params = b.n;
}
