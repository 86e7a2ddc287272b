/* The memory plan. An independent simulator walks the events with a map of the arena and an account of
 * what every byte range holds, knowing of ops only the flags in op.h; then plans are run for real, in
 * memory full of NaN and with a place of its own for every buffer, and must give the same bits. Over
 * every model variant and over random graphs. */
#include "llama_fixture.h"

/* ---- the simulator ------------------------------------------------------------------------- */

/* What a value or a gradient is at present. */
struct holding {
    bool placed, valid, cache;
    size_t offset, bytes;
    int parts; /* gradients: contributions so far */
};

struct sim {
    const struct exec *x;
    const struct graph *g;
    struct holding *value, *grad;
    int event;
    const char *name;
};

static void wrong(const struct sim *s, const char *what, int v) {
    const struct event *ev = s->x->plan.events + s->event;
    const struct node *n = s->g->nodes + ev->node;
    fail_msg("%s: event %d (%s %s, node %d): %s, value %d %s", s->name, s->event, n->op->name,
             ev->kind == EVENT_BACKWARD ? "backward" : "forward", ev->node, what, v, v < 0 ? "" : s->g->values[v].name);
}

static bool overlap(const struct holding *a, const struct holding *b) {
    return a->cache == b->cache && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

/* Whatever stands where something is written now is gone. */
static void overwrite(struct sim *s, const struct holding *by) {
    for (int v = 0; v < s->g->n_values; v++) {
        if (s->value + v != by && s->value[v].valid && overlap(s->value + v, by)) s->value[v].valid = false;
        if (s->grad + v != by && s->grad[v].valid && overlap(s->grad + v, by)) s->grad[v].valid = false;
    }
}

static void place(struct sim *s, const struct placement *p) {
    const struct exec_opts *o = &s->x->opts;
    const struct value *v = s->g->values + p->value;
    const bool cached = !p->grad && o->cache && v->cached;
    struct holding *h = (p->grad ? s->grad : s->value) + p->value;
    *h = (struct holding){.placed = true, .cache = p->cache, .offset = p->offset};
    h->bytes = (size_t)(o->B * (cached ? o->cache : o->T) * v->cols) * sizeof(float);
    if (p->cache != cached) wrong(s, "is in the wrong arena", p->value);
    if (p->offset % ARENA_ALIGN) wrong(s, "is not aligned", p->value);
    if (h->offset + h->bytes > (cached ? s->x->plan.cache_bytes : s->x->plan.arena_bytes))
        wrong(s, "is outside the arena", p->value);
}

static struct holding *reads(struct sim *s, struct holding *of, int v, const char *what) {
    if (!of[v].valid) wrong(s, what, v);
    return of + v;
}

/* Two things an event uses at once must not touch, unless they are the same place and allowed to be. */
static void apart(struct sim *s, const struct holding *a, const struct holding *b, bool same, int v) {
    if (!overlap(a, b)) return;
    if (same && a->offset == b->offset && a->bytes == b->bytes) return;
    wrong(s, "shares memory with something else that the event uses", v);
}

static struct holding work_of(const struct sim *s, const struct node *n, const struct event *ev) {
    const bool back = ev->kind == EVENT_BACKWARD || (s->x->opts.train && !n->op->backward);
    const size_t bytes = n->op->work ? n->op->work(s->x, n, back) : 0;
    if (n->op->thread_work && n->op->thread_work(s->x, n, back) > s->x->plan.thread_bytes)
        fail_msg("%s: %s needs more scratch a thread than planned", s->name, n->op->name);
    return (struct holding){.placed = true, .offset = ev->work, .bytes = bytes};
}

/* Scratch against everything that the event reads or writes. */
static void check_work(struct sim *s, const struct holding *work, const struct holding *h, int v) {
    if (work->bytes) apart(s, work, h, false, v);
}

static void forward(struct sim *s, const struct node *n, const struct event *ev) {
    struct holding work = work_of(s, n, ev);
    if (work.offset + work.bytes > s->x->plan.arena_bytes) wrong(s, "scratch is outside the arena", -1);
    for (int i = 0; i < n->n_in; i++) {
        const struct holding *in = reads(s, s->value, n->in[i], "an input is read that is not there");
        check_work(s, &work, in, n->in[i]);
    }
    for (int k = 0; k < n->n_out; k++) {
        struct holding *out = s->value + n->out[k];
        if (!out->placed) wrong(s, "an output has no place", n->out[k]);
        check_work(s, &work, out, n->out[k]);
        for (int i = 0; i < n->n_in; i++)
            apart(s, out, s->value + n->in[i], k == 0 && i == n->op->inplace, n->out[k]);
        for (int j = 0; j < k; j++) apart(s, out, s->value + n->out[j], false, n->out[k]);
    }
    if (work.bytes) overwrite(s, &work);
    for (int k = 0; k < n->n_out; k++) {
        overwrite(s, s->value + n->out[k]);
        s->value[n->out[k]].valid = true;
    }
    if (!s->x->opts.train || n->op->backward) return;
    for (int i = 0; i < n->n_in; i++) { /* the loss */
        struct holding *d = s->grad + n->in[i];
        if (!d->placed || d->parts) wrong(s, "the loss has no fresh place for its gradient", n->in[i]);
        check_work(s, &work, d, n->in[i]);
        apart(s, d, s->value + n->in[i], false, n->in[i]);
        overwrite(s, d);
        d->valid = true;
        d->parts = 1;
    }
}

static int consumers(const struct graph *g, int v) {
    int n = 0;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++) n += g->nodes[i].in[k] == v;
    return n;
}

/* The gradient of input k of a node going backward. */
static void contribute(struct sim *s, const struct node *n, const struct event *ev, int k, const struct holding *work) {
    const int v = n->in[k];
    struct holding *d = s->grad + v;
    const bool adds = (ev->adds >> k) & 1;
    if (!d->placed) wrong(s, "the gradient of an input has no place", v);
    if (adds != (d->parts > 0)) wrong(s, adds ? "adds to a gradient that is not there" : "overwrites a gradient", v);
    if (adds && !d->valid) wrong(s, "adds to a gradient that was overwritten", v);
    check_work(s, work, d, v);
    for (int i = 0; i < n->n_in; i++)
        if ((n->op->reads_in >> i) & 1)
            apart(s, d, s->value + n->in[i], !adds && i == k && ((n->op->grad_over >> k) & 1), v);
    for (int i = 0; i < n->n_out; i++) {
        if ((n->op->reads_out >> i) & 1) apart(s, d, s->value + n->out[i], false, v);
        if (!((n->op->no_grad_out >> i) & 1))
            apart(s, d, s->grad + n->out[i], !adds && i == 0 && k == n->op->grad_pass, v);
    }
    for (int i = 0; i < k; i++)
        if (n->in[i] != v) apart(s, d, s->grad + n->in[i], false, v);
}

static void backward(struct sim *s, const struct node *n, const struct event *ev) {
    struct holding work = work_of(s, n, ev);
    if (work.offset + work.bytes > s->x->plan.arena_bytes) wrong(s, "scratch is outside the arena", -1);
    for (int i = 0; i < n->n_in; i++)
        if ((n->op->reads_in >> i) & 1)
            check_work(s, &work, reads(s, s->value, n->in[i], "an input is read that is not there"), n->in[i]);
    for (int i = 0; i < n->n_out; i++) {
        if ((n->op->reads_out >> i) & 1)
            check_work(s, &work, reads(s, s->value, n->out[i], "an output is read that is not there"), n->out[i]);
        if ((n->op->no_grad_out >> i) & 1) continue;
        const struct holding *d = reads(s, s->grad, n->out[i], "a gradient is read that is not there");
        if (d->parts != consumers(s->g, n->out[i])) wrong(s, "a gradient is read before all of it is there", n->out[i]);
        check_work(s, &work, d, n->out[i]);
    }
    for (int k = 0; k < n->n_in; k++) contribute(s, n, ev, k, &work);
    if (work.bytes) overwrite(s, &work);
    for (int k = 0; k < n->n_in; k++) {
        struct holding *d = s->grad + n->in[k];
        overwrite(s, d);
        d->valid = true;
        d->parts++;
    }
}

/* All events; in the end every node went forward, and for training backward, once. */
static void simulate(const char *name, const struct exec *x) {
    const struct graph *g = x->graph;
    struct sim s = {.x = x, .g = g, .name = name};
    s.value = calloc((size_t)g->n_values, sizeof *s.value);
    s.grad = calloc((size_t)g->n_values, sizeof *s.grad);
    int *done = calloc((size_t)g->n_nodes, sizeof *done);
    for (int t = 0; t < x->plan.n_events; t++) {
        const struct event *ev = x->plan.events + t;
        const struct node *n = g->nodes + ev->node;
        s.event = t;
        for (int i = 0; i < ev->n_placements; i++) place(&s, x->plan.placements + ev->first_placement + i);
        if (ev->kind == EVENT_BACKWARD) backward(&s, n, ev);
        else forward(&s, n, ev);
        if (!ev->again) done[ev->node]++;
        if (ev->again && !x->opts.train) wrong(&s, "is repeated without training", -1);
    }
    for (int i = 0; i < g->n_nodes; i++)
        if (done[i] != (x->opts.train && g->nodes[i].op->backward ? 2 : 1)) fail_msg("%s: node %d ran %d times", name, i, done[i]);
    free(s.value);
    free(s.grad);
    free(done);
}

/* ---- running plans ------------------------------------------------------------------------- */

struct result {
    float *nll, *grads;
    int64_t n_nll, n_grads;
};

static struct result result_of(const struct graph *g, const float *nll, int64_t n) {
    struct result r = {.n_nll = n};
    for (int i = 0; i < g->n_params; i++) r.n_grads += param_count(g->params + i);
    r.nll = memcpy(malloc((size_t)n * sizeof *nll), nll, (size_t)n * sizeof *nll);
    r.grads = malloc((size_t)r.n_grads * sizeof *r.grads);
    int64_t at = 0;
    for (int i = 0; i < g->n_params; i++) {
        const int64_t count = param_count(g->params + i);
        memcpy(r.grads + at, g->params[i].grad, (size_t)count * sizeof *r.grads);
        at += count;
    }
    return r;
}

static void result_free(struct result *r) {
    free(r->nll);
    free(r->grads);
}

static void same_result(const char *name, const struct result *a, const struct result *b, bool grads) {
    if (memcmp(a->nll, b->nll, (size_t)a->n_nll * sizeof *a->nll)) fail_msg("%s: the losses differ", name);
    if (grads && memcmp(a->grads, b->grads, (size_t)a->n_grads * sizeof *a->grads))
        fail_msg("%s: the gradients differ", name);
    for (int64_t i = 0; i < a->n_nll; i++)
        if (!isfinite(a->nll[i])) fail_msg("%s: loss %lld is not a number", name, (long long)i);
    for (int64_t i = 0; i < a->n_grads && grads; i++)
        if (!isfinite(a->grads[i])) fail_msg("%s: gradient %lld is not a number", name, (long long)i);
}

/* Memory of its own for every buffer and every scratch, each with something behind it that must stay. */
struct spread {
    struct arena mem;
    size_t *gaps;
    int n_gaps;
};

enum { GAP = 192, GAP_BYTE = 0xa5 };

static size_t gap(struct spread *s, size_t at) {
    s->gaps[s->n_gaps++] = at;
    return at + GAP;
}

/* Moves everything that x uses; to be undone before exec_close. */
static struct spread spread(struct exec *x, int fill) {
    const struct graph *g = x->graph;
    struct spread s = {0};
    size_t at = 0;
    s.gaps = malloc(sizeof *s.gaps * (size_t)(x->plan.n_events + x->plan.n_placements + par_threads()));
    for (int t = 0; t < x->plan.n_events; t++) {
        struct event *ev = x->plan.events + t;
        const struct node *n = g->nodes + ev->node;
        for (int i = 0; i < ev->n_placements; i++) {
            struct placement *p = x->plan.placements + ev->first_placement + i;
            p->offset = at;
            at = gap(&s, at + arena_need((size_t)(x->opts.B * x->opts.T * g->values[p->value].cols), sizeof(float)));
        }
        const bool back = ev->kind == EVENT_BACKWARD || (x->opts.train && !n->op->backward);
        ev->work = at;
        if (n->op->work) at = gap(&s, at + arena_round(n->op->work(x, n, back)));
    }
    const size_t threads = at;
    for (int t = 0; t < par_threads(); t++) at = gap(&s, at + x->plan.thread_bytes);
    ok(arena_init(&s.mem, at + ARENA_ALIGN, "test", &e));
    memset(s.mem.base, fill, s.mem.size);
    for (int i = 0; i < s.n_gaps; i++) memset(s.mem.base + s.gaps[i], GAP_BYTE, GAP);
    x->plan.thread_bytes += GAP;
    x->threads = s.mem.base + threads;
    x->mem = s.mem;
    return s;
}

static void spread_check(const char *name, struct spread *s) {
    for (int i = 0; i < s->n_gaps; i++)
        for (int k = 0; k < GAP; k++)
            if ((unsigned char)s->mem.base[s->gaps[i] + (size_t)k] != GAP_BYTE)
                fail_msg("%s: a buffer or scratch was overrun (number %d of %d, byte %d behind it)", name, i, s->n_gaps, k);
    free(s->gaps);
    arena_release(&s->mem);
}

static struct result run_plan(const char *name, const struct graph *g, const struct gemm *gemm,
                              const struct exec_opts *o, struct tokens *t, bool own_places, int fill) {
    struct exec x;
    struct spread s = {0};
    ok(exec_open(&x, g, gemm, o, &e));
    memset(x.mem.base, fill, x.mem.size);
    const struct arena old = x.mem;
    if (own_places) s = spread(&x, fill);
    for (int i = 0; i < g->n_params; i++) memset(g->params[i].grad, 0xff, (size_t)param_count(g->params + i) * sizeof(float));
    const struct batch b = {.B = o->B, .T = o->T, .input = t->input, .target = t->target, .nll = t->nll, .grad_scale = 0.125};
    exec_run(&x, &b);
    if (own_places) spread_check(name, &s);
    x.mem = old;
    exec_close(&x);
    return result_of(g, t->nll, o->B * o->T);
}

/* Simulates and runs the plan of one graph in every mode. */
static void check_graph(const char *name, const struct graph *g, const struct gemm *gemm, struct tokens *t, int64_t B,
                        int64_t T) {
    struct result first = {0};
    for (int mode = 0; mode < 3; mode++) {
        char what[96];
        struct exec x;
        const struct exec_opts o = {.B = B, .T = T, .train = mode < 2, .recompute = mode == 1};
        snprintf(what, sizeof what, "%s, %s", name, mode == 0 ? "training" : mode == 1 ? "recompute" : "evaluation");
        ok(exec_plan(&x, g, gemm, &o, &e));
        simulate(what, &x);
        assert_true(x.plan.kept_bytes <= x.plan.arena_bytes);
        exec_close(&x);
        struct result found = run_plan(what, g, gemm, &o, t, false, 0xff);
        struct result apart_ = run_plan(what, g, gemm, &o, t, true, 0);
        same_result(what, &found, &apart_, mode < 2);
        if (mode == 0) first = found;
        else same_result(what, &first, &found, mode < 2);
        if (mode) result_free(&found);
        result_free(&apart_);
    }
    result_free(&first);
}

/* Every variant with the chosen backend, one with each. */
static void test_models(void **state) {
    (void)state;
    for (int i = 0; i < N_VARIANTS + 2 * (int)n_gemm_backends; i++) {
        const int64_t B = 2, T = 70;
        const int k = i - N_VARIANTS;
        const struct variant *v = variants + (k < 0 ? i : 8);
        struct gemm g;
        if (k >= 0 && !strcmp(gemm_backends[k / 2]->name, "ref")) continue; /* slow, packs nothing */
        if (gemm_init(&g, k < 0 ? "auto" : gemm_backends[k / 2]->name, k < 0 || k % 2 ? DT_F32 : DT_BF16, &e)) continue;
        struct model m = model_of(v);
        struct tokens t = tokens_of(&m, B * T, 1);
        add_grads(&m);
        check_graph(k < 0 ? v->name : g.backend->name, &m.graph, &g, &t, B, T);
        tokens_free(&t);
        close_model(&m);
    }
}

/* Generation: keys and values in the cache do not overlap, and nothing else is in it. */
static void test_cache(void **state) {
    (void)state;
    const struct gemm gemm = gemm_of("auto", DT_F32);
    for (int i = 0; i < N_VARIANTS; i++)
        for (int64_t T = 1; T <= 64; T += 63) {
            struct model m = model_of(variants + i);
            struct exec x;
            ok(exec_plan(&x, &m.graph, &gemm, &(struct exec_opts){.B = 1, .T = T, .cache = 100}, &e));
            simulate(variants[i].name, &x);
            for (int a = 0; a < x.plan.n_placements; a++)
                for (int b = 0; b < a; b++) {
                    const struct placement *p = x.plan.placements + a, *q = x.plan.placements + b;
                    /* In place or far apart. */
                    if (!p->cache || !q->cache || p->offset == q->offset) continue;
                    const size_t size = 100 * (size_t)(m.config.kv_heads * m.config.head_dim) * sizeof(float);
                    const size_t apart_ = p->offset > q->offset ? p->offset - q->offset : q->offset - p->offset;
                    assert_true(apart_ >= size);
                }
            exec_close(&x);
            close_model(&m);
        }
}

/* ---- random graphs ------------------------------------------------------------------------- */

enum { MAX_PARAMS = 200, COLS = 12 };

struct random_graph {
    struct graph g;
    struct param params[MAX_PARAMS];
    struct rng r;
    int open[64]; /* values nobody has read yet */
    int n_open;
};

static int pick(struct random_graph *w, int n) {
    return (int)rng_below(&w->r, (uint64_t)n);
}

static int new_param(struct random_graph *w, int64_t rows, int64_t cols) {
    struct param *p = w->params + w->g.n_params;
    *p = (struct param){.ndim = rows > 1 ? 2 : 1, .rows = rows, .cols = cols, .trainable = true, .dtype = DT_F32};
    float *data = p->data = malloc((size_t)(rows * cols) * sizeof *data);
    for (int64_t i = 0; i < rows * cols; i++) data[i] = (float)(rng_normal(&w->r) * (rows > 1 ? 0.3 : 1));
    p->grad = malloc((size_t)(rows * cols) * sizeof *p->grad);
    return w->g.n_params++;
}

/* Any value made so far (read twice or more), or one that nobody has read. Values of other widths, and
 * inputs of ops whose gradient cannot be added to, are never offered. */
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

static int random_node(struct random_graph *w, int x, int y) {
    struct node n = {.n_in = 1, .in = {x}, .n_out = 1, .out = {fresh(w, "v", COLS)}, .eps = 1e-3f, .theta = 100,
                     .scale = (float)(pick(w, 3) - 1) * 0.5f + 1, .heads = 2, .kv_heads = 1, .head_dim = COLS / 2};
    const int kind = pick(w, 5);
    if (kind == 0) {
        n.op = &op_norm;
        n.out[n.n_out++] = fresh(w, "rstd", 1);
        n.param[n.n_param++] = new_param(w, 1, COLS);
    } else if (kind == 1) {
        n.op = &op_add;
        n.in[n.n_in++] = y;
    } else if (kind == 2) { /* a gate of two halves of one linear */
        struct node l = {.op = &op_linear, .n_in = 1, .in = {x}, .n_out = 2, .n_param = 2};
        for (int i = 0; i < 2; i++) {
            l.out[i] = fresh(w, "half", COLS);
            l.param[i] = new_param(w, COLS, COLS);
            n.in[i] = l.out[i];
        }
        graph_node(&w->g, l);
        n.op = &op_swiglu;
        n.n_in = 2;
        if (pick(w, 2)) { /* the gate has another reader, before swiglu: its backward pass comes after */
            struct node more = {.op = &op_norm, .n_in = 1, .in = {l.out[0]}, .n_out = 2, .n_param = 1, .eps = 1e-3f};
            more.out[0] = fresh(w, "normed gate", COLS);
            more.out[1] = fresh(w, "rstd", 1);
            more.param[0] = new_param(w, 1, COLS);
            graph_node(&w->g, more);
            w->open[w->n_open++] = more.out[0];
        }
    } else if (kind == 3) { /* attention behind one linear and a rotation */
        struct node l = {.op = &op_linear, .n_in = 1, .in = {x}, .n_out = 3, .n_param = 3};
        for (int i = 0; i < 3; i++) {
            const int64_t cols = i ? COLS / 2 : COLS;
            l.out[i] = fresh(w, "qkv", cols);
            l.param[i] = new_param(w, cols, COLS);
        }
        graph_node(&w->g, l);
        const int q = fresh(w, "rotated", COLS);
        struct node rope = n;
        rope.op = &op_rope;
        rope.in[0] = l.out[0];
        rope.out[0] = q;
        graph_node(&w->g, rope);
        n.op = &op_attn;
        n.n_in = 3;
        n.in[0] = q, n.in[1] = l.out[1], n.in[2] = l.out[2];
        n.out[n.n_out++] = fresh(w, "lse", 2);
    } else {
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
    graph_node(&w->g, (struct node){.op = &op_embed, .n_out = 1, .out = {x}, .n_param = 1, .param = {table}});
    all[n_all++] = w->open[w->n_open++] = x;
    const int nodes = 1 + pick(w, 20);
    for (int i = 0; i < nodes; i++) {
        w->g.block += pick(w, 4) == 0;
        const int a = any_value(w, all, n_all);
        int b = any_value(w, all, n_all);
        for (int k = 0; b == a && k < n_all; k++) b = all[k]; /* an op reads different values */
        if (a == b) { /* only one value so far */
            graph_node(&w->g, (struct node){.op = &op_linear, .n_in = 1, .in = {a}, .n_out = 1, .out = {b = fresh(w, "l", COLS)},
                                            .n_param = 1, .param = {new_param(w, COLS, COLS)}});
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
        graph_node(&w->g, (struct node){.op = &op_add, .n_in = 2, .in = {v, w->open[i]}, .n_out = 1, .out = {sum}, .scale = 0.5f});
        v = sum;
    }
    graph_node(&w->g, (struct node){.op = &op_xent, .n_in = 1, .in = {v}, .n_param = 1, .param = {new_param(w, 30, COLS)}});
}

static void test_random_graphs(void **state) {
    (void)state;
    static struct random_graph w;
    const struct gemm gemm = gemm_of("auto", DT_F32);
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
        check_graph(name, &w.g, &gemm, &(struct tokens){B * T, input, target, nll}, B, T);
        for (int i = 0; i < w.g.n_params; i++) {
            free(w.params[i].data);
            free(w.params[i].grad);
        }
        graph_release(&w.g);
    }
}

/* ---- shapes other than planned ------------------------------------------------------------- */

/* Lengths around a whole page of scores, planned for a little more. */
static void test_shorter(void **state) {
    (void)state;
    static const struct variant v = {"shorter", "llama", "", {8, 8, 1, 2, 1, 4, 20}, true};
    struct model m = model_of(&v);
    struct tokens t = tokens_of(&m, 1030, 1);
    add_grads(&m);
    for (int i = 0; i < 2 * (int)n_gemm_backends; i++) {
        struct gemm g;
        const char *name = gemm_backends[i / 2]->name;
        if (gemm_init(&g, name, i % 2 ? DT_F32 : DT_BF16, &e) || !strcmp(name, "ref")) continue;
        for (int64_t T = 1023; T <= 1025; T++) {
            struct exec x;
            ok(exec_open(&x, &m.graph, &g, &(struct exec_opts){.B = 1, .T = 1030, .train = true}, &e));
            const struct arena old = x.mem;
            struct spread s = spread(&x, 0xff);
            exec_run(&x, &(struct batch){.B = 1, .T = T, .input = t.input, .target = t.target, .nll = t.nll, .grad_scale = 1});
            spread_check(name, &s);
            x.mem = old;
            exec_close(&x);
        }
    }
    tokens_free(&t);
    close_model(&m);
}

/* ---- sizes --------------------------------------------------------------------------------- */

static size_t arena_of(const struct model *m, struct exec_opts o, size_t *kept) {
    struct exec x;
    const struct gemm gemm = gemm_of("auto", DT_F32);
    ok(exec_plan(&x, &m->graph, &gemm, &o, &e));
    const size_t bytes = x.plan.arena_bytes;
    if (kept) *kept = x.plan.kept_bytes;
    exec_close(&x);
    return bytes;
}

/* A deep and narrow model: what is kept grows with depth, what passes does not. */
static void test_sizes(void **state) {
    (void)state;
    static const struct variant deep = {"deep", "llama", "", {64, 172, 16, 4, 2, 16, 128}, true};
    static const struct variant half = {"half as deep", "llama", "", {64, 172, 8, 4, 2, 16, 128}, true};
    struct model m = model_of(&deep), h = model_of(&half);
    const int64_t B = 8, T = 128, rows = B * T, dim = 64, hidden = 172;
    const struct exec_opts eval = {.B = B, .T = T}, train = {.B = B, .T = T, .train = true},
                           less = {.B = B, .T = T, .train = true, .recompute = true};
    size_t kept, kept_less, kept_half;
    const size_t at_eval = arena_of(&m, eval, NULL), at_train = arena_of(&m, train, &kept);
    const size_t at_less = arena_of(&m, less, &kept_less);
    arena_of(&h, train, &kept_half);
    assert_int_equal(at_eval, arena_of(&h, eval, NULL));
    assert_true(at_eval * 6 < at_train);
    assert_true(at_less * 3 < at_train);
    /* With recomputation: the residual stream between blocks. */
    assert_true(kept_less <= (size_t)(rows * dim * 18) * sizeof(float));
    /* Without, a layer keeps two residuals, q, k, v, attention, its statistics, gate and up. */
    const size_t layer = (size_t)(rows * (2 * dim + 2 * dim + 2 * dim / 2 + 4 + 2 * hidden)) * sizeof(float);
    assert_int_equal(kept - kept_half, 8 * layer);
    assert_true(at_train - kept < 6 * layer);
    close_model(&m);
    close_model(&h);
}

/* exec_bytes is what exec_open reserves. */
static void test_promise(void **state) {
    (void)state;
    struct model m = model_of(&variants[8]);
    const struct gemm gemm = gemm_of("auto", DT_F32);
    struct exec x;
    par_init(3);
    ok(exec_open(&x, &m.graph, &gemm, &(struct exec_opts){.B = 1, .T = 8, .cache = 40}, &e));
    const size_t reserved = x.mem.size + x.cache.size + x.tables.size;
    assert_true(exec_bytes(&x) <= reserved && reserved <= exec_bytes(&x) + 2 * ARENA_ALIGN);
    exec_close(&x);
    par_init(1);
    for (int i = 0; i < 3; i++) { /* shapes that cannot be */
        static const struct exec_opts bad[] = {{.B = 0, .T = 1}, {.B = 1, .T = -1}, {.B = 1 << 20, .T = 1 << 20}};
        assert_int_equal(exec_open(&x, &m.graph, &gemm, bad + i, &e), ERR_INPUT);
    }
    close_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models), cmocka_unit_test(test_cache),   cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_shorter), cmocka_unit_test(test_sizes),  cmocka_unit_test(test_promise),
    };
    par_init(1); /* waiting threads cost more than these small sizes gain */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
