/* The memory plan over random graphs: values with several readers, branches, blocks, every op. */
#include "plan_fixture.h"

enum { MAX_PARAMS = 400, MAX_OPEN = 256, MAX_OPS = 64, COLS = 12 };

struct random_graph {
    struct graph g;
    struct param params[MAX_PARAMS];
    struct rng r;
    int open[MAX_OPEN]; /* values nobody has read yet */
    int n_open;
};

static int pick(struct random_graph *w, int n) {
    return (int)rng_below(&w->r, (uint64_t)n);
}

static int new_param(struct random_graph *w, int64_t rows, int64_t cols) {
    struct param *p = w->params + w->g.n_params;
    *p = (struct param){
        .ndim = rows > 1 ? 2 : 1, .rows = rows, .cols = cols, .trainable = true, .dtype = DT_F32};
    float *data = p->data = malloc((size_t)(rows * cols) * sizeof *data);
    for (int64_t i = 0; i < rows * cols; i++)
        data[i] = (float)(rng_normal(&w->r) * (rows > 1 ? 0.3 : 1));
    p->grad = malloc((size_t)(rows * cols) * sizeof *p->grad);
    return w->g.n_params++;
}

/* Any value made so far (read twice or more), or one that nobody has read. Values of other widths,
 * and inputs of ops whose gradient cannot be added to, are never offered. */
static int any_value(struct random_graph *w, const int *all, int n_all) {
    if (w->n_open && pick(w, 2)) {
        const int i = pick(w, w->n_open), v = w->open[i];
        w->open[i] = w->open[--w->n_open];
        return v;
    }
    const int v = all[pick(w, n_all)];
    for (int i = 0; i < w->n_open; i++)
        if (w->open[i] == v) w->open[i] = w->open[--w->n_open];
    return v;
}

static int fresh(struct random_graph *w, const char *name, int64_t cols) {
    return graph_value(&w->g, name, cols, false);
}

/* Now and then another reader of v, before the op that is to come: its backward pass comes
 * after. */
static void read_before(struct random_graph *w, int v) {
    const int64_t cols = w->g.values[v].cols;
    struct node n = {.op = &op_linear, .n_in = 1, .in = {v}, .n_out = 1, .n_param = 1};
    if (pick(w, 3)) return;
    n.out[0] = fresh(w, "read before", COLS);
    if (cols == COLS && pick(w, 2)) {
        n.op = &op_norm;
        n.eps = 1e-3f;
        n.out[n.n_out++] = fresh(w, "rstd", 1);
    }
    n.param[0] = new_param(w, n.op == &op_norm ? 1 : COLS, cols);
    graph_node(&w->g, n);
    w->open[w->n_open++] = n.out[0];
}

/* A gate n of two halves of one linear of x. */
static void random_gate(struct random_graph *w, struct node *n, int x) {
    struct node l = {.op = &op_linear, .n_in = 1, .in = {x}, .n_out = 2, .n_param = 2};
    for (int i = 0; i < 2; i++) {
        n->in[i] = l.out[i] = fresh(w, "half", COLS);
        l.param[i] = new_param(w, COLS, COLS);
    }
    graph_node(&w->g, l);
    n->op = &op_swiglu;
    n->n_in = 2;
    for (int i = 0; i < 2; i++) read_before(w, n->in[i]);
}

/* A node n that must be the last to read its input: behind a linear of x. */
static void random_relu2(struct random_graph *w, struct node *n, int x) {
    n->in[0] = fresh(w, "up", COLS);
    graph_node(&w->g, (struct node){.op = &op_linear,
                                    .n_in = 1,
                                    .in = {x},
                                    .n_out = 1,
                                    .out = {n->in[0]},
                                    .n_param = 1,
                                    .param = {new_param(w, COLS, COLS)}});
    n->op = &op_relu2;
    read_before(w, n->in[0]);
}

/* Attention n behind one linear of x and a rotation of the queries. */
static void random_attention(struct random_graph *w, struct node *n, int x) {
    struct node l = {.op = &op_linear, .n_in = 1, .in = {x}, .n_out = 3, .n_param = 3}, rope = *n;
    for (int i = 0; i < 3; i++) {
        const int64_t cols = i ? COLS / 2 : COLS;
        n->in[i] = l.out[i] = fresh(w, "qkv", cols);
        l.param[i] = new_param(w, cols, COLS);
    }
    graph_node(&w->g, l);
    rope.op = &op_rope;
    rope.in[0] = l.out[0];
    read_before(w, rope.in[0]);
    rope.out[0] = n->in[0] = fresh(w, "rotated", COLS);
    graph_node(&w->g, rope);
    n->op = &op_attn;
    n->n_in = 3;
    for (int i = 0; i < 3; i++) read_before(w, n->in[i]);
    n->out[n->n_out++] = fresh(w, "lse", 2);
}

/* A node that reads x, or x and y; returns its output. */
static int random_node(struct random_graph *w, int x, int y) {
    struct node n = {.n_in = 1, .in = {x}, .n_out = 1, .eps = 1e-3f, .theta = 100};
    n.out[0] = fresh(w, "v", COLS);
    n.scale = (float)(pick(w, 3) - 1) * 0.5f + 1;
    n.heads = 2, n.kv_heads = 1, n.head_dim = COLS / 2;
    switch (pick(w, 6)) {
    case 0:
        n.op = &op_norm;
        n.out[n.n_out++] = fresh(w, "rstd", 1);
        n.param[n.n_param++] = new_param(w, 1, COLS);
        break;
    case 1:
        n.op = &op_add;
        n.in[n.n_in++] = y;
        break;
    case 2:
        random_gate(w, &n, x);
        break;
    case 3:
        random_attention(w, &n, x);
        break;
    case 4:
        random_relu2(w, &n, x);
        break;
    default:
        n.op = &op_linear;
        n.param[n.n_param++] = new_param(w, COLS, COLS);
    }
    graph_node(&w->g, n);
    return n.out[0];
}

static void build_random(struct random_graph *w, uint64_t seed) {
    int all[40], n_all = 0;
    *w = (struct random_graph){.r = rng_make(seed, RNG_TEST, 3, 0, 0)};
    w->g.params = w->params;
    const int table = new_param(w, 30, COLS), x = fresh(w, "embedding", COLS);
    graph_node(&w->g, (struct node){
                          .op = &op_embed, .n_out = 1, .out = {x}, .n_param = 1, .param = {table}});
    all[n_all++] = w->open[w->n_open++] = x;
    const int nodes = 1 + pick(w, 20);
    for (int i = 0; i < nodes; i++) {
        w->g.block += pick(w, 4) == 0;
        const int a = any_value(w, all, n_all);
        int b = any_value(w, all, n_all);
        for (int k = 0; b == a && k < n_all; k++) b = all[k]; /* an op reads different values */
        if (a == b) {                                         /* only one value so far */
            graph_node(&w->g, (struct node){.op = &op_linear,
                                            .n_in = 1,
                                            .in = {a},
                                            .n_out = 1,
                                            .out = {b = fresh(w, "l", COLS)},
                                            .n_param = 1,
                                            .param = {new_param(w, COLS, COLS)}});
            all[n_all++] = b;
        }
        for (int k = 0; k < w->n_open; k++)
            if (w->open[k] == b) w->open[k] = w->open[--w->n_open];
        const int y = random_node(w, a, b);
        const struct node *last = w->g.nodes + w->g.n_nodes - 1;
        all[n_all++] = w->open[w->n_open++] = y;
        if (last->op != &op_add && consumers(&w->g, b) == 0) w->open[w->n_open++] = b;
        if (n_all > 36) break;
    }
    int v = w->open[0];
    for (int i = 1; i < w->n_open; i++) { /* nothing is left unread */
        const int sum = fresh(w, "sum", COLS);
        graph_node(&w->g, (struct node){.op = &op_add,
                                        .n_in = 2,
                                        .in = {v, w->open[i]},
                                        .n_out = 1,
                                        .out = {sum},
                                        .scale = 0.5f});
        v = sum;
    }
    graph_node(
        &w->g,
        (struct node){
            .op = &op_xent, .n_in = 1, .in = {v}, .n_param = 1, .param = {new_param(w, 30, COLS)}});
}

/* What the graphs have had: ops, and inputs of theirs that an earlier or a later node reads too. */
struct seen {
    bool op, earlier[NODE_MAX_IN], later[NODE_MAX_IN];
    int n_in; /* the most */
};

static bool reads_it(const struct node *n, int v) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] == v) return true;
    return false;
}

static void note_seen(struct seen *seen, const struct graph *g) {
    for (int k = 0; k < g->n_nodes; k++) {
        const struct node *n = g->nodes + k;
        struct seen *s = seen + op_index(n->op);
        s->op = true;
        if (n->n_in > s->n_in) s->n_in = n->n_in;
        for (int i = 0; i < n->n_in; i++)
            for (int other = 0; other < g->n_nodes; other++) {
                if (other == k || !reads_it(g->nodes + other, n->in[i])) continue;
                *(other < k ? s->earlier + i : s->later + i) = true;
            }
    }
}

/* Every op was there; with last_reader an earlier node read that input too, without it a later one,
 * to whose gradient backward had to add. */
static void all_seen(const struct seen *seen) {
    for (int o = 0; o < n_ops; o++) {
        if (!seen[o].op) fail_msg("no random graph has a node of op %s", ops[o]->name);
        for (int i = 0; i < seen[o].n_in && ops[o]->backward; i++) {
            const bool last = ops[o]->last_reader >> i & 1;
            if (last ? !seen[o].earlier[i] : !seen[o].later[i])
                fail_msg("op %s, input %d: no random graph has %s reader of it", ops[o]->name, i,
                         last ? "an earlier" : "a later");
        }
    }
}

/* The loss of weights w + by g; train: with its gradient. */
static double loss_at(struct random_graph *w, const struct machine *m, const struct tokens *t,
                      int64_t B, int64_t T, bool train, double by) {
    struct exec x;
    double sum = 0;
    const struct exec_opts o = {.B = B, .T = T, .train = train};
    const struct batch b = {.B = B,
                            .T = T,
                            .input = t->input,
                            .target = t->target,
                            .nll = t->nll,
                            .grad_scale = 0.125};
    for (int i = 0; i < w->g.n_params && !train; i++)
        for (int64_t k = 0; k < param_count(w->params + i); k++)
            ((float *)w->params[i].data)[k] += (float)(by * (double)w->params[i].grad[k]);
    ok(exec_open(&x, &w->g, m, &o, &e));
    exec_run(&x, &b);
    exec_close(&x);
    for (int64_t i = 0; i < B * T; i++) sum += (double)t->nll[i];
    return sum * 0.125;
}

/* Along the gradient the loss rises by the gradient's square: no part of it was lost where values
 * have several readers. */
static void check_slope(const char *name, struct random_graph *w, const struct machine *m,
                        const struct tokens *t, int64_t B, int64_t T) {
    double square = 0;
    loss_at(w, m, t, B, T, true, 0);
    for (int i = 0; i < w->g.n_params; i++)
        for (int64_t k = 0; k < param_count(w->params + i); k++)
            square += pow((double)w->params[i].grad[k], 2);
    const double step = 1e-3 / sqrt(square);
    const double up = loss_at(w, m, t, B, T, false, step);
    const double down = loss_at(w, m, t, B, T, false, -2 * step);
    const double found = (up - down) / (2 * step);
    if (!(fabs(found - square) < 0.05 * square))
        fail_msg("%s: along the gradient the loss rises by %g, expected %g", name, found, square);
}

static void test_random_graphs(void **state) {
    (void)state;
    static struct random_graph w;
    static struct seen seen[MAX_OPS];
    assert_true(n_ops <= MAX_OPS);
    const struct machine gemm = machine_of("auto", DT_F32);
    for (uint64_t seed = 0; seed < 150; seed++) {
        enum { B = 2, T = 9 };
        char name[32];
        uint32_t input[B * T], target[B * T];
        float nll[B * T];
        build_random(&w, seed);
        for (int i = 0; i < B * T; i++) {
            input[i] = (uint32_t)pick(&w, 30);
            target[i] = (uint32_t)pick(&w, 30);
        }
        snprintf(name, sizeof name, "graph %d", (int)seed);
        note_seen(seen, &w.g);
        struct tokens t = {B * T, input, target, nll};
        check_graph(name, &w.g, &gemm, &t, B, T);
        check_slope(name, &w, &gemm, &t, B, T);
        for (int i = 0; i < w.g.n_params; i++) {
            free(w.params[i].data);
            free(w.params[i].grad);
        }
        graph_release(&w.g);
    }
    all_seen(seen);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_graphs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
