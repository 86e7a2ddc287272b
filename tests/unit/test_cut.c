/* How attention and the classifier are cut into tasks follows the number of threads, their sums do
 * not: the same bits with any, and tasks enough for sixteen. */
#include "llama_fixture.h"

/* Sources of queries, keys and values, attention, a classifier. */
struct net {
    struct graph g;
    struct param params[4];
    int64_t B, T;
    uint32_t *input, *target;
    float *nll;
};

struct shape {
    int B, T, heads, kv_heads, head_dim, vocab;
    float cap;
};

static int table(struct net *s, int64_t rows, int64_t cols, struct rng *r) {
    const int i = s->g.n_params++;
    const size_t n = (size_t)(rows * cols);
    s->params[i] =
        (struct param){.ndim = 2, .rows = rows, .cols = cols, .trainable = true, .dtype = DT_F32};
    float *w = s->params[i].data = malloc(n * sizeof *w);
    s->params[i].grad = calloc(n, sizeof *w);
    for (size_t k = 0; k < n; k++) w[k] = (float)rng_normal(r);
    return i;
}

static int source(struct net *s, int64_t cols, struct rng *r) {
    const int v = graph_value(&s->g, "source", cols, false),
              p = table(s, s->B * s->T, cols, r);
    graph_node(&s->g,
               (struct node){.op = &op_embed, .n_out = 1, .out = {v}, .n_param = 1, .param = {p}});
    return v;
}

static struct net net_of(const struct shape *h) {
    struct net s = {.B = h->B, .T = h->T};
    struct rng r = rng_make(5, RNG_TEST, (uint64_t)h->T, 0, 0);
    const int64_t rows = s.B * s.T, wide = h->heads * h->head_dim, kv = h->kv_heads * h->head_dim;
    const int q = source(&s, wide, &r), k = source(&s, kv, &r), v = source(&s, kv, &r);
    const int y = graph_value(&s.g, "attention", wide, false),
              lse = graph_value(&s.g, "lse", h->heads, false);
    graph_node(&s.g, (struct node){.op = &op_attn,
                                   .n_in = 3,
                                   .in = {q, k, v},
                                   .n_out = 2,
                                   .out = {y, lse},
                                   .heads = h->heads,
                                   .kv_heads = h->kv_heads,
                                   .head_dim = h->head_dim});
    const int w = table(&s, h->vocab, wide, &r);
    graph_node(
        &s.g,
        (struct node){
            .op = &op_xent, .n_in = 1, .in = {y}, .n_param = 1, .param = {w}, .cap = h->cap});
    s.input = malloc((size_t)rows * sizeof *s.input);
    s.target = malloc((size_t)rows * sizeof *s.target);
    s.nll = malloc((size_t)rows * sizeof *s.nll);
    for (int64_t i = 0; i < rows; i++) {
        s.input[i] = (uint32_t)i;
        s.target[i] = (uint32_t)rng_below(&r, (uint64_t)h->vocab);
    }
    return s;
}

static void net_free(struct net *s) {
    for (int i = 0; i < s->g.n_params; i++) {
        free(s->params[i].data);
        free(s->params[i].grad);
    }
    free(s->input);
    free(s->target);
    free(s->nll);
    graph_release(&s->g);
}

/* Loss and gradients of one run, with memory full of NaN before it. */
static void net_run(struct net *s, const struct machine *m, pool_watch_fn *watch, void *seer) {
    struct exec x;
    const struct exec_opts o = {.B = s->B, .T = s->T, .train = true};
    s->g.params = s->params;
    ok(exec_open(&x, &s->g, m, &o, &e));
    memset(x.mem.base, 0xff, x.mem.size);
    const struct batch b = {.B = s->B,
                            .T = s->T,
                            .input = s->input,
                            .target = s->target,
                            .nll = s->nll,
                            .grad_scale = 0.01};
    if (watch) {
        *(const struct exec **)seer = &x;
        pool_watch(m->pool, watch, seer);
    }
    exec_run(&x, &b);
    if (watch) pool_watch(m->pool, NULL, NULL);
    exec_close(&x);
}

/* Loss and all gradients, one after the other. */
static float *outcome(const struct net *s, size_t *n) {
    *n = (size_t)(s->B * s->T);
    for (int i = 0; i < s->g.n_params; i++) *n += (size_t)param_count(s->params + i);
    float *all = malloc(*n * sizeof *all), *at = all;
    memcpy(at, s->nll, (size_t)(s->B * s->T) * sizeof *at);
    at += s->B * s->T;
    for (int i = 0; i < s->g.n_params; i++) {
        memcpy(at, s->params[i].grad, (size_t)param_count(s->params + i) * sizeof *at);
        at += param_count(s->params + i);
    }
    return all;
}

/* Blocks and panels that end within and at their size, one unit and many, several rounds, several
 * chunks of rows. */
static const struct shape shapes[] = {
    {1, 1, 1, 1, 4, 3, 0},       {1, 7, 3, 1, 8, 300, 5},    {2, 64, 4, 2, 16, 256, 0},
    {1, 65, 6, 3, 24, 257, 0},   {3, 130, 2, 2, 40, 700, 9}, {1, 520, 9, 3, 8, 1030, 0},
    {9, 33, 4, 4, 16, 2100, 0},  {1, 1025, 2, 1, 16, 64, 0}, {5, 128, 3, 1, 20, 4200, 0},
};

static void same_bits(void **state) {
    (void)state;
    static const int threads[] = {2, 3, 5, 16, 40};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct net s = net_of(shapes + i);
        const struct machine alone = machine_of("native", DT_F32);
        size_t n;
        net_run(&s, &alone, NULL, NULL);
        float *want = outcome(&s, &n);
        for (size_t k = 0; k < n; k++)
            if (!isfinite(want[k])) fail_msg("shape %zu: number %zu is %g", i, k, (double)want[k]);
        for (size_t k = 0; k < sizeof threads / sizeof *threads; k++) {
            struct machine many = machine_with("native", DT_F32, threads[k]);
            net_run(&s, &many, NULL, NULL);
            float *found = outcome(&s, &n);
            if (memcmp(found, want, n * sizeof *want))
                fail_msg("shape %zu: other bits with %d threads", i, threads[k]);
            free(found);
            machine_close(&many);
        }
        free(want);
        net_free(&s);
    }
}

/* The fewest chunks of a loop, by op. */
struct counts {
    const struct exec *x;
    int64_t fewest[2];
};

static void count(void *seer, int64_t n, pool_fn *fn, void *ctx) {
    struct counts *c = seer;
    const struct op *op = c->x->graph->nodes[c->x->event->node].op;
    int64_t *fewest = op == &op_attn ? c->fewest : op == &op_xent ? c->fewest + 1 : NULL;
    if (fewest && n < *fewest) *fewest = n;
    for (int64_t i = 0; i < n; i++) fn(ctx, i, 0);
}

static void tasks_for_sixteen(void **state) {
    (void)state;
    static const struct shape at[] = {{2, 256, 8, 2, 32, 2048, 0},  /* demo, twice as wide */
                                      {1, 512, 9, 3, 32, 300, 0}}; /* one sequence, three units */
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        struct net s = net_of(at + i);
        struct machine m = machine_with("native", DT_F32, 16);
        struct counts c = {.fewest = {INT64_MAX, INT64_MAX}};
        net_run(&s, &m, count, &c);
        if (c.fewest[0] < 16) fail_msg("attention: a loop of %d tasks", (int)c.fewest[0]);
        if (c.fewest[1] < 16) fail_msg("classifier: a loop of %d tasks", (int)c.fewest[1]);
        machine_close(&m);
        net_free(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_bits),
                                       cmocka_unit_test(tasks_for_sixteen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
