/* Checks of memory plans. An independent simulator walks the events with a map of the arena and an
 * account of what every byte range holds, knowing of ops only the flags in op.h; then plans are run
 * for real, in memory full of NaN and with a place of its own for every buffer, and must give the
 * same bits. */
#ifndef DUET_PLAN_FIXTURE_H
#define DUET_PLAN_FIXTURE_H

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
             ev->kind == EVENT_BACKWARD ? "backward" : "forward", ev->node, what, v,
             v < 0 ? "" : s->g->values[v].name);
}

static bool overlap(const struct holding *a, const struct holding *b) {
    return a->cache == b->cache && a->offset < b->offset + b->bytes &&
           b->offset < a->offset + a->bytes;
}

/* Whatever stands where something is written now is gone. */
static void overwrite(struct sim *s, const struct holding *by) {
    for (int v = 0; v < s->g->n_values; v++) {
        if (s->value + v != by && s->value[v].valid && overlap(s->value + v, by))
            s->value[v].valid = false;
        if (s->grad + v != by && s->grad[v].valid && overlap(s->grad + v, by))
            s->grad[v].valid = false;
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

/* Two things an event uses at once must not touch, unless they are the same place and allowed to
 * be. */
static void apart(struct sim *s, const struct holding *a, const struct holding *b, bool same,
                  int v) {
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
    if (work.offset + work.bytes > s->x->plan.arena_bytes)
        wrong(s, "scratch is outside the arena", -1);
    for (int i = 0; i < n->n_in; i++) {
        const struct holding *in =
            reads(s, s->value, n->in[i], "an input is read that is not there");
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
        if (!d->placed || d->parts)
            wrong(s, "the loss has no fresh place for its gradient", n->in[i]);
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
static void contribute(struct sim *s, const struct node *n, const struct event *ev, int k,
                       const struct holding *work) {
    const int v = n->in[k];
    struct holding *d = s->grad + v;
    const bool adds = (ev->adds >> k) & 1;
    if (!d->placed) wrong(s, "the gradient of an input has no place", v);
    if (adds != (d->parts > 0))
        wrong(s, adds ? "adds to a gradient that is not there" : "overwrites a gradient", v);
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
    if (work.offset + work.bytes > s->x->plan.arena_bytes)
        wrong(s, "scratch is outside the arena", -1);
    for (int i = 0; i < n->n_in; i++)
        if ((n->op->reads_in >> i) & 1)
            check_work(s, &work, reads(s, s->value, n->in[i], "an input is read that is not there"),
                       n->in[i]);
    for (int i = 0; i < n->n_out; i++) {
        if ((n->op->reads_out >> i) & 1)
            check_work(s, &work,
                       reads(s, s->value, n->out[i], "an output is read that is not there"),
                       n->out[i]);
        if ((n->op->no_grad_out >> i) & 1) continue;
        const struct holding *d =
            reads(s, s->grad, n->out[i], "a gradient is read that is not there");
        if (d->parts != consumers(s->g, n->out[i]))
            wrong(s, "a gradient is read before all of it is there", n->out[i]);
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
        for (int i = 0; i < ev->n_placements; i++)
            place(&s, x->plan.placements + ev->first_placement + i);
        if (ev->kind == EVENT_BACKWARD)
            backward(&s, n, ev);
        else
            forward(&s, n, ev);
        if (!ev->again) done[ev->node]++;
        if (ev->again && !x->opts.train) wrong(&s, "is repeated without training", -1);
    }
    for (int i = 0; i < g->n_nodes; i++)
        if (done[i] != (x->opts.train && g->nodes[i].op->backward ? 2 : 1))
            fail_msg("%s: node %d ran %d times", name, i, done[i]);
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

static void same_result(const char *name, const struct result *a, const struct result *b,
                        bool grads) {
    if (memcmp(a->nll, b->nll, (size_t)a->n_nll * sizeof *a->nll))
        fail_msg("%s: the losses differ", name);
    if (grads && memcmp(a->grads, b->grads, (size_t)a->n_grads * sizeof *a->grads))
        fail_msg("%s: the gradients differ", name);
    for (int64_t i = 0; i < a->n_nll; i++)
        if (!isfinite(a->nll[i])) fail_msg("%s: loss %lld is not a number", name, (long long)i);
    for (int64_t i = 0; i < a->n_grads && grads; i++)
        if (!isfinite(a->grads[i]))
            fail_msg("%s: gradient %lld is not a number", name, (long long)i);
}

/* Memory of its own for every buffer and every scratch, each with something behind it that must
 * stay. */
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
    s.gaps = malloc(sizeof *s.gaps * (size_t)(x->plan.n_events + x->plan.n_placements +
                                              machine_threads(x->machine)));
    for (int t = 0; t < x->plan.n_events; t++) {
        struct event *ev = x->plan.events + t;
        const struct node *n = g->nodes + ev->node;
        for (int i = 0; i < ev->n_placements; i++) {
            struct placement *p = x->plan.placements + ev->first_placement + i;
            p->offset = at;
            at = gap(&s, at + arena_need((size_t)(x->opts.B * x->opts.T * g->values[p->value].cols),
                                         sizeof(float)));
        }
        const bool back = ev->kind == EVENT_BACKWARD || (x->opts.train && !n->op->backward);
        ev->work = at;
        if (n->op->work) at = gap(&s, at + arena_round(n->op->work(x, n, back)));
    }
    const size_t threads = at;
    for (int t = 0; t < machine_threads(x->machine); t++) at = gap(&s, at + x->plan.thread_bytes);
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
                fail_msg("%s: a buffer or scratch was overrun (number %d of %d, byte %d behind it)",
                         name, i, s->n_gaps, k);
    free(s->gaps);
    arena_release(&s->mem);
}

static struct result run_plan(const char *name, const struct graph *g, const struct machine *gemm,
                              const struct exec_opts *o, struct tokens *t, bool own_places,
                              int fill) {
    struct exec x;
    struct spread s = {0};
    ok(exec_open(&x, g, gemm, o, &e));
    memset(x.mem.base, fill, x.mem.size);
    const struct arena old = x.mem;
    if (own_places) s = spread(&x, fill);
    for (int i = 0; i < g->n_params; i++)
        memset(g->params[i].grad, 0xff, (size_t)param_count(g->params + i) * sizeof(float));
    const struct batch b = {.B = o->B,
                            .T = o->T,
                            .input = t->input,
                            .target = t->target,
                            .nll = t->nll,
                            .grad_scale = 0.125};
    exec_run(&x, &b);
    if (own_places) spread_check(name, &s);
    x.mem = old;
    exec_close(&x);
    return result_of(g, t->nll, o->B * o->T);
}

/* Simulates and runs the plan of one graph in every mode. */
static inline void check_graph(const char *name, const struct graph *g, const struct machine *gemm,
                               struct tokens *t, int64_t B, int64_t T) {
    struct result first = {0};
    for (int mode = 0; mode < 3; mode++) {
        char what[96];
        struct exec x;
        const struct exec_opts o = {.B = B, .T = T, .train = mode < 2, .recompute = mode == 1};
        snprintf(what, sizeof what, "%s, %s", name,
                 mode == 0   ? "training"
                 : mode == 1 ? "recompute"
                             : "evaluation");
        ok(exec_plan(&x, g, gemm, &o, &e));
        simulate(what, &x);
        assert_true(x.plan.kept_bytes <= x.plan.arena_bytes);
        exec_close(&x);
        struct result found = run_plan(what, g, gemm, &o, t, false, 0xff);
        struct result apart_ = run_plan(what, g, gemm, &o, t, true, 0);
        same_result(what, &found, &apart_, mode < 2);
        if (mode == 0)
            first = found;
        else
            same_result(what, &first, &found, mode < 2);
        if (mode) result_free(&found);
        result_free(&apart_);
    }
    result_free(&first);
}

#endif
