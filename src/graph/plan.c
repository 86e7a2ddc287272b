#include "plan.h"

#include "arena.h"
#include "op.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A buffer: bytes needed from event `birth` to event `death`, both included. */
struct buffer {
    size_t bytes, offset;
    int birth, death;
    bool kept; /* holds an activation from the forward to the backward pass */
};

struct planner {
    const struct exec *x;
    const struct graph *g;
    struct plan *p;
    bool *kept;                      /* per value: survives until the backward pass reads it */
    bool *inplace;                   /* per node: output 0 takes over the input's storage */
    bool *alive;                     /* per value, while scheduling */
    int *value_buffer, *grad_buffer; /* current buffer of each value and gradient, or -1 */
    struct buffer *buffers;
    int n_buffers, cap_buffers, cap_events, cap_placements;
    int *placement_buffer; /* buffer of each placement */
    int *work_buffer;      /* per event, or -1 */
};

/* A growing table with room for n entries; NULL without memory, the old one stays. */
static void *room(void *table, int n, int *cap, size_t size) {
    if (n <= *cap) return table;
    int more = *cap ? *cap : 256;
    while (more < n) more *= 2;
    table = realloc(table, (size_t)more * size);
    if (table) *cap = more;
    return table;
}

static const struct node *node_of(const struct planner *s, const struct event *ev) {
    return s->g->nodes + ev->node;
}

/* ---- what cannot be planned ----------------------------------------------------------------- */

/* The node that reads input k of node i after it, or once more itself; NULL: none does. */
static const struct node *later_reader(const struct graph *g, int i, int k) {
    const struct node *n = g->nodes + i;
    for (int other = 0; other < n->n_in; other++)
        if (other != k && n->in[other] == n->in[k]) return n;
    for (n++; n < g->nodes + g->n_nodes; n++)
        for (int other = 0; other < n->n_in; other++)
            if (n->in[other] == g->nodes[i].in[k]) return n;
    return NULL;
}

static int check_readers(const struct graph *g, struct err *e) {
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *n = g->nodes + i;
        for (int k = 0; k < n->n_in; k++) {
            const struct node *later = n->op->last_reader >> k & 1 ? later_reader(g, i, k) : NULL;
            if (later)
                return err_set(e, ERR_INPUT,
                               "the graph cannot be trained: node %d (%s) must be the last to read "
                               "value %d (%s), and node %d (%s) reads it %s",
                               i, n->op->name, n->in[k], g->values[n->in[k]].name,
                               (int)(later - g->nodes), later->op->name,
                               later == n ? "twice" : "after it");
        }
    }
    return 0;
}

/* ---- policy: what is kept, what is overwritten -------------------------------------------- */

static bool backward_reads(const struct graph *g, int v) {
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *n = g->nodes + i;
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] == v && (op_reads_in(g, n) >> k) & 1) return true;
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k] == v && (n->op->reads_out >> k) & 1) return true;
    }
    return false;
}

static bool crosses_block(const struct graph *g, int v) {
    const int block = g->nodes[g->values[v].producer].block;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] == v && g->nodes[i].block != block) return true;
    return false;
}

static int consumers(const struct graph *g, int v) {
    int n = 0;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++) n += g->nodes[i].in[k] == v;
    return n;
}

static void choose_policy(struct planner *s) {
    const struct graph *g = s->g;
    const bool train = s->x->opts.train;
    for (int v = 0; v < g->n_values; v++) {
        const struct op *op = g->nodes[g->values[v].producer].op;
        if (!train)
            s->kept[v] = false;
        else if (s->x->opts.recompute)
            s->kept[v] = crosses_block(g, v);
        else
            s->kept[v] = backward_reads(g, v) && !op->cheap;
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *n = g->nodes + i;
        if (n->op->inplace < 0) continue;
        const int v = n->in[n->op->inplace];
        s->inplace[i] = consumers(g, v) == 1 && !s->kept[v] && !(train && backward_reads(g, v)) &&
                        g->values[v].cols == g->values[n->out[0]].cols &&
                        g->values[v].cached == g->values[n->out[0]].cached;
    }
}

/* ---- schedule ------------------------------------------------------------------------------ */

static bool emit(struct planner *s, enum event_kind kind, bool again, int node) {
    struct plan *p = s->p;
    struct event *events = room(p->events, p->n_events + 1, &s->cap_events, sizeof *events);
    if (!events) return false;
    p->events = events;
    p->events[p->n_events++] = (struct event){.kind = kind, .again = again, .node = node};
    if (kind != EVENT_FORWARD) return true;
    const struct node *n = s->g->nodes + node;
    for (int i = 0; i < n->n_out; i++) s->alive[n->out[i]] = true;
    if (s->inplace[node]) s->alive[n->in[n->op->inplace]] = false;
    return true;
}

/* Runs again whatever is needed for value v to exist. */
static bool ensure(struct planner *s, int v) {
    if (s->alive[v]) return true;
    const int node = s->g->values[v].producer;
    const struct node *n = s->g->nodes + node;
    for (int i = 0; i < n->n_in; i++)
        if (!ensure(s, n->in[i])) return false;
    return emit(s, EVENT_FORWARD, true, node);
}

static bool schedule_backward(struct planner *s, int i) {
    const struct node *n = s->g->nodes + i;
    if (!n->op->backward) return true;
    for (int k = 0; k < n->n_in; k++)
        if ((op_reads_in(s->g, n) >> k) & 1 && !ensure(s, n->in[k])) return false;
    for (int k = 0; k < n->n_out; k++)
        if ((n->op->reads_out >> k) & 1 && !ensure(s, n->out[k])) return false;
    return emit(s, EVENT_BACKWARD, false, i);
}

static bool schedule(struct planner *s) {
    const struct graph *g = s->g;
    bool ok = true;
    for (int i = 0; i < g->n_nodes && ok; i++) ok = emit(s, EVENT_FORWARD, false, i);
    if (!s->x->opts.train) return ok;
    for (int v = 0; v < g->n_values; v++) s->alive[v] = s->kept[v];
    for (int i = g->n_nodes - 1; i >= 0 && ok; i--) ok = schedule_backward(s, i);
    return ok;
}

/* ---- lives --------------------------------------------------------------------------------- */

static size_t value_bytes(const struct planner *s, int v) {
    const struct exec_opts *o = &s->x->opts;
    const bool cached = o->cache && s->g->values[v].cached;
    return arena_need((size_t)(o->B * (cached ? o->cache : o->T) * s->g->values[v].cols),
                      sizeof(float));
}

/* Room for what one event can add, so that new_buffer and place find it. */
static bool reserve_event(struct planner *s) {
    struct plan *p = s->p;
    const int most = NODE_MAX_IN + NODE_MAX_OUT + 1; /* and its scratch */
    int cap = s->cap_placements;
    struct buffer *b = room(s->buffers, s->n_buffers + most, &s->cap_buffers, sizeof *b);
    if (b) s->buffers = b;
    int *of = room(s->placement_buffer, p->n_placements + most, &cap, sizeof *of);
    if (of) s->placement_buffer = of;
    struct placement *at =
        room(p->placements, p->n_placements + most, &s->cap_placements, sizeof *at);
    if (at) p->placements = at;
    return b && of && at;
}

static int new_buffer(struct planner *s, size_t bytes, int event) {
    s->buffers[s->n_buffers] = (struct buffer){.bytes = bytes, .birth = event, .death = event};
    return s->n_buffers++;
}

static void place(struct planner *s, int event, int value, bool grad, int buffer) {
    struct plan *p = s->p;
    const bool cache = !grad && s->x->opts.cache && s->g->values[value].cached;
    s->placement_buffer[p->n_placements] = buffer;
    p->placements[p->n_placements++] =
        (struct placement){.value = value, .grad = grad, .cache = cache};
    p->events[event].n_placements++;
    *(grad ? s->grad_buffer + value : s->value_buffer + value) = buffer;
}

static void use(struct planner *s, int buffer, int event) {
    assert(buffer >= 0 && "an event reads what nothing wrote");
    if (s->buffers[buffer].death < event) s->buffers[buffer].death = event;
}

static void live_forward(struct planner *s, int t, const struct node *n) {
    for (int i = 0; i < n->n_in; i++) use(s, s->value_buffer[n->in[i]], t);
    for (int i = 0; i < n->n_out; i++) {
        const int v = n->out[i];
        const bool over = i == 0 && s->inplace[n - s->g->nodes];
        place(s, t, v, false,
              over ? s->value_buffer[n->in[n->op->inplace]] : new_buffer(s, value_bytes(s, v), t));
        if (s->kept[v]) s->buffers[s->value_buffer[v]].kept = true;
    }
    /* A fused loss writes the gradient of its input while it goes forward. */
    if (s->x->opts.train && !n->op->backward && n->n_in)
        place(s, t, n->in[0], true, new_buffer(s, value_bytes(s, n->in[0]), t));
}

/* True if no event after t reads the value's present buffer. */
static bool last_read(const struct planner *s, int v, int t) {
    for (int u = t + 1; u < s->p->n_events; u++) {
        const struct event *ev = s->p->events + u;
        const struct node *n = node_of(s, ev);
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] == v && (ev->kind == EVENT_FORWARD || (op_reads_in(s->g, n) >> k) & 1))
                return false;
        for (int k = 0; k < n->n_out; k++) {
            if (n->out[k] != v) continue;
            if (ev->kind == EVENT_FORWARD) return true; /* written anew */
            if ((n->op->reads_out >> k) & 1) return false;
        }
    }
    return true;
}

static void live_backward(struct planner *s, int t, const struct node *n) {
    const struct op *op = n->op;
    for (int k = 0; k < n->n_in; k++)
        if ((op_reads_in(s->g, n) >> k) & 1) use(s, s->value_buffer[n->in[k]], t);
    for (int k = 0; k < n->n_out; k++) {
        if ((op->reads_out >> k) & 1) use(s, s->value_buffer[n->out[k]], t);
        if (!((op->no_grad_out >> k) & 1)) use(s, s->grad_buffer[n->out[k]], t);
    }
    for (int k = 0; k < n->n_in; k++) {
        const int v = n->in[k];
        if (s->grad_buffer[v] >= 0) {
            s->p->events[t].adds |= 1u << k;
            use(s, s->grad_buffer[v], t);
            continue;
        }
        int buffer;
        if (k == op->grad_pass)
            buffer = s->grad_buffer[n->out[0]];
        else if ((op->grad_over >> k) & 1 && last_read(s, v, t))
            buffer = s->value_buffer[v];
        else
            buffer = new_buffer(s, value_bytes(s, v), t);
        place(s, t, v, true, buffer);
    }
}

static bool find_lives(struct planner *s) {
    struct plan *p = s->p;
    s->work_buffer = malloc((size_t)(p->n_events + 1) * sizeof *s->work_buffer);
    if (!s->work_buffer) return false;
    for (int t = 0; t < p->n_events; t++) {
        if (!reserve_event(s)) return false;
        const struct node *n = node_of(s, p->events + t);
        const bool back = p->events[t].kind == EVENT_BACKWARD;
        p->events[t].first_placement = p->n_placements;
        if (back)
            live_backward(s, t, n);
        else
            live_forward(s, t, n);
        const bool train = back || (s->x->opts.train && !n->op->backward);
        const size_t bytes = n->op->work ? arena_round(n->op->work(s->x, n, train)) : 0;
        s->work_buffer[t] = bytes ? new_buffer(s, bytes, t) : -1;
        const size_t each =
            n->op->thread_work ? arena_round(n->op->thread_work(s->x, n, train)) : 0;
        if (each > p->thread_bytes) p->thread_bytes = each;
    }
    return true;
}

/* ---- places -------------------------------------------------------------------------------- */

struct sized {
    size_t bytes;
    int buffer;
};

static int by_size(const void *a, const void *b) {
    const struct sized *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->buffer - y->buffer;
}

/* Lowest offset at which buffer b fits beside the `n` placed ones that live at the same time. The
 * placed ones are kept sorted by offset. */
static size_t lowest(const struct buffer *all, const int *placed, int n, const struct buffer *b) {
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        const struct buffer *o = all + placed[i];
        if (o->death < b->birth || b->death < o->birth) continue;
        if (o->offset >= at + b->bytes) break;
        if (o->offset + o->bytes > at) at = o->offset + o->bytes;
    }
    return at;
}

static bool find_places(struct planner *s, const bool *cached) {
    struct sized *order = malloc((size_t)(s->n_buffers + 1) * sizeof *order);
    int *placed = malloc((size_t)(s->n_buffers + 1) * sizeof *placed);
    const bool ok = order && placed;
    int n = 0, n_placed = 0;
    for (int i = 0; i < s->n_buffers && ok; i++)
        if (!cached[i]) order[n++] = (struct sized){s->buffers[i].bytes, i};
    if (ok) qsort(order, (size_t)n, sizeof *order, by_size);
    for (int i = 0; i < n; i++) {
        struct buffer *b = s->buffers + order[i].buffer;
        b->offset = lowest(s->buffers, placed, n_placed, b);
        if (b->offset + b->bytes > s->p->arena_bytes) s->p->arena_bytes = b->offset + b->bytes;
        if (b->kept) s->p->kept_bytes += b->bytes;
        int k = n_placed++;
        for (; k > 0 && s->buffers[placed[k - 1]].offset > b->offset; k--)
            placed[k] = placed[k - 1];
        placed[k] = order[i].buffer;
    }
    free(order);
    free(placed);
    return ok;
}

static bool finish(struct planner *s) {
    struct plan *p = s->p;
    bool *cached = calloc((size_t)s->n_buffers + 1, sizeof *cached);
    if (!cached) return false;
    for (int i = 0; i < p->n_placements; i++) {
        const int b = s->placement_buffer[i];
        if (!p->placements[i].cache || cached[b]) continue;
        cached[b] = true; /* past positions outlive the run */
        s->buffers[b].offset = p->cache_bytes;
        p->cache_bytes += s->buffers[b].bytes;
    }
    const bool ok = find_places(s, cached);
    for (int i = 0; i < p->n_placements; i++)
        p->placements[i].offset = s->buffers[s->placement_buffer[i]].offset;
    for (int t = 0; t < p->n_events; t++)
        p->events[t].work = s->work_buffer[t] < 0 ? 0 : s->buffers[s->work_buffer[t]].offset;
    free(cached);
    return ok;
}

static bool planner_init(struct planner *s) {
    const size_t nv = (size_t)s->g->n_values + 1, nn = (size_t)s->g->n_nodes + 1;
    s->kept = calloc(nv, sizeof *s->kept);
    s->alive = calloc(nv, sizeof *s->alive);
    s->inplace = calloc(nn, sizeof *s->inplace);
    s->value_buffer = malloc(nv * sizeof *s->value_buffer);
    s->grad_buffer = malloc(nv * sizeof *s->grad_buffer);
    if (!s->kept || !s->alive || !s->inplace || !s->value_buffer || !s->grad_buffer) return false;
    for (size_t i = 0; i < nv; i++) s->value_buffer[i] = s->grad_buffer[i] = -1;
    return true;
}

static void planner_release(struct planner *s) {
    free(s->kept);
    free(s->alive);
    free(s->inplace);
    free(s->value_buffer);
    free(s->grad_buffer);
    free(s->buffers);
    free(s->placement_buffer);
    free(s->work_buffer);
}

int plan_make(struct plan *p, const struct exec *x, struct err *e) {
    struct planner s = {.x = x, .g = x->graph, .p = p};
    *p = (struct plan){0};
    const int rc = x->opts.train ? check_readers(x->graph, e) : 0;
    if (rc) return rc;
    bool ok = planner_init(&s);
    if (ok) choose_policy(&s);
    ok = ok && schedule(&s) && find_lives(&s) && finish(&s);
    planner_release(&s);
    if (ok) return 0;
    plan_release(p);
    return err_set(e, ERR_NOMEM, "out of memory for the plan");
}

void plan_release(struct plan *p) {
    free(p->events);
    free(p->placements);
    *p = (struct plan){0};
}
