/* A model as a list of ops over values.
 *
 * A value is a matrix with one row per token, (B*T, cols), f32. Nodes stand in the order of the
 * forward pass; each writes its outputs once. There is no other description of the network:
 * training, evaluation, generation and gradient checks walk this list. */
#ifndef DUET_GRAPH_H
#define DUET_GRAPH_H

#include "param.h"

struct op;

enum { NODE_MAX_IN = 3, NODE_MAX_OUT = 3, NODE_MAX_PARAM = 6 };

struct value {
    const char *name; /* static string */
    int64_t cols;
    bool cached;  /* keys and values: kept for all positions during generation */
    int producer; /* node */
};

struct node {
    const struct op *op;
    int block; /* unit of activation checkpointing: 0, 1, ... in forward order */
    int n_in, n_out, n_param;
    int in[NODE_MAX_IN], out[NODE_MAX_OUT], param[NODE_MAX_PARAM];
    /* Attributes; each op's file says which it reads. */
    float eps, scale, cap;
    bool residual; /* add: what it gives is the residual stream, whose peaks are looked for */
    double theta;
    const double *rope_factors; /* rope: head_dim/2 divisors of frequencies, or NULL; borrowed */
    int heads, kv_heads, head_dim;
    /* linear: LoRA of output i: the parameter A_i (rank, I); B_i (O, rank) is the next. 0: none. */
    int lora[NODE_MAX_OUT];
    float lora_scale[NODE_MAX_OUT]; /* alpha/rank, or alpha/sqrt(rank) */
    bool lora_merge;                /* compute with W + scale B A instead of beside W */
};

struct graph {
    struct param *params; /* borrowed */
    int n_params;
    struct value *values;
    int n_values, cap_values;
    struct node *nodes;
    int n_nodes, cap_nodes;
    int block;   /* given to nodes that are added */
    bool failed; /* no memory for a table: nothing was added since. Check it once all is built */
};

/* Adds a value; returns its index. */
int graph_value(struct graph *g, const char *name, int64_t cols, bool cached);

/* Adds a node copied from *n (op, attributes, in, out, param set by the caller). Every input must
 * have a producer already. */
void graph_node(struct graph *g, struct node n);

/* Columns of a value (0 in a graph that failed). */
int64_t graph_cols(const struct graph *g, int value);

void graph_release(struct graph *g); /* not the params */

/* Floating point operations (a multiply-add counts 2) of one forward, or backward, pass over B
 * sequences of T tokens: matrices, and attention as the causal half it computes. */
double graph_flops(const struct graph *g, bool backward, int64_t B, int64_t T);

#endif
