/* The blocks that architectures are built from. Each adds its node, or a few, to the graph and
 * returns the value that they give; parameters are added to the table when they are named, so that
 * their order is that of the calls.
 *
 * The order is part of the model: random numbers of initialisation and MeZO depend on it.
 *
 *   static int layer(struct builder *b, int x) {
 *       const int h = build_norm(b, x, build_param(b, ATT_NORM), "normed", false);
 *       ...
 *       return build_residual(b, x, y);
 *   }
 *   static void build(struct builder *b) {
 *       build_stack(b, &(struct build_ends){EMBED, NORM, HEAD}, layer);
 *   }
 *
 * A parameter is named by its row in the architecture's table of parts. An op whose row says
 * last_reader (graph/op.h) must be the last to read its input.
 *
 * Without memory the graph says that it failed, and everything after it does nothing. */
#ifndef DUET_BUILD_H
#define DUET_BUILD_H

#include "config.h"
#include "graph.h"
#include "part.h"

struct builder {
    const struct model_config *config;
    const struct part *parts; /* the architecture's */
    struct part_sizes sizes;  /* of the config */
    struct graph *graph;
    struct param *params; /* n of them; owned by who called build */
    int n, cap;
    int layer; /* of the parameters that are added, if their part is in layers */
};

/* Adds the parameter; returns its index in the table. Has the model this part? */
int build_param(struct builder *b, int part);
bool build_has(const struct builder *b, int part);
/* Columns of the parameter's matrix are what it multiplies; rows, what comes out. */
int64_t build_rows(const struct builder *b, int param);

/* What follows is a further unit of activation checkpointing. */
void build_block(struct builder *b);

/* name: of the value, a static string. cached: keys and values, kept during generation. */
int build_embed(struct builder *b, int param, const char *name, bool cached);
int build_norm(struct builder *b, int x, int param, const char *name, bool cached);
int build_linear(struct builder *b, int x, int param, const char *name);
/* y = x W' + bias for n weights with one input, in one node; y: values that exist (build_value);
 * bias: parameters, or NULL. */
void build_linears(struct builder *b, int x, const int *param, const int *bias, const int *y,
                   int n);
/* A value that a node is yet to give: for build_linears. */
int build_value(struct builder *b, int64_t cols, const char *name, bool cached);
/* factors: head_dim/2 divisors of the frequencies, or NULL. */
int build_rope(struct builder *b, int x, int heads, double theta, const double *factors,
               const char *name, bool cached);
int build_attention(struct builder *b, int q, int k, int v);
int build_swiglu(struct builder *b, int gate, int up);
int build_relu2(struct builder *b, int x); /* the last to read x */
/* x + scale y, as wide as x. */
int build_sum(struct builder *b, int x, int y, double scale, const char *name, bool cached);
/* The same on the residual stream, with duet.residual_scale. */
int build_residual(struct builder *b, int x, int branch);
/* Logits and loss. */
void build_classifier(struct builder *b, int x, int param);

/* Embedding, the layers one after the other, final norm, classifier: with the embedding's table
 * where the model has no head of its own. Parts by their rows. layer: the residual stream x through
 * layer b->layer. */
struct build_ends {
    int embed, norm, head;
};
typedef int build_layer_fn(struct builder *b, int x);
void build_stack(struct builder *b, const struct build_ends *parts, build_layer_fn *layer);

#endif
