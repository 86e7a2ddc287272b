#include "graph.h"

#include "op.h"

#include <assert.h>
#include <stdlib.h>

const struct op *const ops[] = {
#define X(name) &op_##name,
    OPS(X)
#undef X
};
const int n_ops = sizeof ops / sizeof *ops;

int op_index(const struct op *op) {
    for (int i = 0; i < n_ops; i++)
        if (ops[i] == op) return i;
    assert(!"op missing from OPS");
    return -1;
}

const float *param_read(const struct param *p, int64_t begin, int64_t n, float *buf) {
    if (p->dtype == DT_F32) return (const float *)p->data + begin;
    assert(begin % dtype_row(p->dtype)->block == 0);
    dtype_to_f32(p->dtype, (const char *)p->data + dtype_bytes(p->dtype, (size_t)begin), buf,
                 (size_t)n);
    return buf;
}

/* The table with room for one more; NULL without memory, and then the graph takes nothing more. */
static void *grow(struct graph *g, void *table, int n, int *cap, size_t size) {
    if (n < *cap || g->failed) return g->failed ? NULL : table;
    const int more = *cap ? 2 * *cap : 64;
    table = realloc(table, (size_t)more * size);
    g->failed = !table;
    if (table) *cap = more;
    return table;
}

int graph_value(struct graph *g, const char *name, int64_t cols, bool cached) {
    struct value *values = grow(g, g->values, g->n_values, &g->cap_values, sizeof *values);
    if (!values) return 0;
    g->values = values;
    g->values[g->n_values] = (struct value){name, cols, cached, -1};
    return g->n_values++;
}

void graph_node(struct graph *g, struct node n) {
    struct node *nodes = grow(g, g->nodes, g->n_nodes, &g->cap_nodes, sizeof *nodes);
    if (!nodes) return;
    g->nodes = nodes;
    n.block = g->block;
    for (int i = 0; i < n.n_in; i++) assert(g->values[n.in[i]].producer >= 0);
    for (int i = 0; i < n.n_out; i++) {
        assert(g->values[n.out[i]].producer < 0);
        g->values[n.out[i]].producer = g->n_nodes;
    }
    g->nodes[g->n_nodes++] = n;
}

int64_t graph_cols(const struct graph *g, int value) {
    return g->failed ? 0 : g->values[value].cols;
}

void graph_release(struct graph *g) {
    free(g->values);
    free(g->nodes);
    *g = (struct graph){0};
}

double graph_flops(const struct graph *g, bool backward, int64_t B, int64_t T) {
    double sum = 0;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].op->flops) sum += g->nodes[i].op->flops(g, g->nodes + i, backward, B, T);
    return sum;
}
