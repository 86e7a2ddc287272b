/* How a step is cut: every loop of the pool is run by a scheduler of as many cores as one likes,
 * which gives each chunk to the core that is free first, so that a machine with one core shows what
 * would wait on sixteen. What is outside of loops, and loops that are not cut, are the serial part.
 *
 * Times are the least of several steps, of every chunk (of the thread's processor time) and of what
 * every event of the plan does out of loops: what the machine does besides only adds to them. Steps
 * take turns, since asking the system for a thread's time, twice a chunk, leaves less in the caches
 * for what comes next: in one chunks are timed, in the next what is out of loops.
 *
 * With arguments it only prints: cores, then shapes as
 * dim,hidden,layers,heads,kv_heads,head_dim,vocab,B,T. */
#include "llama_fixture.h"

#include "clock.h"
#include "engine.h"
#include "sanitized.h"

#include <time.h>

enum { CORES = 16, MAX_CORES = 64, MAX_LOOPS = 1024, MAX_CHUNKS = 1 << 17, MAX_EVENTS = 1024 };
enum { STEPS = SANITIZED ? 2 : 18 }; /* under a sanitizer no time means anything */

/* Parts of a step: the ops, then the gradient's norm and the update. */
enum { NORM = 16, UPDATE, OUTSIDE, PARTS };

struct loop {
    int part;
    int64_t chunks, first; /* of the step's chunks */
    double work, span;     /* seconds of all chunks; until the last core is done */
};

struct seer {
    const struct engine *engine;
    int cores;
    bool timed; /* this step's chunks are, not what is out of loops */
    int n_loops, at; /* of the step before; of this one so far */
    struct loop loops[MAX_LOOPS];
    int64_t chunk; /* of this step so far */
    double seconds[MAX_CHUNKS];
    double looped[PARTS]; /* seconds in loops, in this step */
    double serial[PARTS]; /* out of loops, the least of all steps; of ops see below */
    const struct event *event; /* that had the last loop, or NULL */
    double before, within;     /* seconds of its op before it; of its loops */
    struct {
        int part;
        bool seen;
        double serial;
    } events[MAX_EVENTS];
};

static int share_of(const struct seer *s) {
    const struct exec *x = &s->engine->exec;
    if (x->event) return op_index(x->graph->nodes[x->event->node].op);
    /* the norm's loop comes first of the two */
    return s->at && s->loops[s->at - 1].part >= NORM ? UPDATE : NORM;
}

static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void least(double *x, double y, bool first) {
    if (first || y < *x) *x = y;
}

static double op_seconds(const struct seer *s, int part) {
    const struct exec *x = &s->engine->exec;
    return x->seconds[part][0] + x->seconds[part][1];
}

/* A loop of another event, or of none, comes next: what the last one did out of its loops. */
static void next_event(struct seer *s, const struct event *next) {
    const struct exec *x = &s->engine->exec;
    if (s->event && s->event != next) {
        const int64_t at = s->event - x->plan.events;
        const int part = op_index(x->graph->nodes[s->event->node].op);
        assert_in_range(at, 0, MAX_EVENTS - 1);
        if (!s->timed) {
            least(&s->events[at].serial, op_seconds(s, part) - s->before - s->within,
                  !s->events[at].seen);
            s->events[at].part = part;
            s->events[at].seen = true;
        }
    }
    if (next && next != s->event) {
        s->before = op_seconds(s, op_index(x->graph->nodes[next->node].op));
        s->within = 0;
    }
    s->event = next;
}

static void run_loop(void *seer, int64_t n, pool_fn *fn, void *ctx) {
    struct seer *s = seer;
    const int part = share_of(s);
    next_event(s, s->engine->exec.event);
    const double begin = clock_seconds();
    const bool first = s->at == s->n_loops;
    assert_in_range(s->at, 0, MAX_LOOPS - 1);
    assert_in_range(s->chunk + n, 0, MAX_CHUNKS);
    struct loop *l = s->loops + s->at++;
    if (first) *l = (struct loop){.part = part, .chunks = n, .first = s->chunk};
    if (first) s->n_loops++;
    assert_int_equal(l->part, part); /* every step has the same loops */
    assert_int_equal(l->chunks, n);
    for (int64_t i = 0; i < n; i++) {
        const double t = s->timed ? thread_seconds() : 0;
        fn(ctx, i, (int)(i % s->cores));
        if (s->timed) least(s->seconds + s->chunk++, thread_seconds() - t, first);
    }
    const double spent = clock_seconds() - begin;
    s->looped[part] += spent;
    s->within += spent;
}

/* As the pool does it: each chunk to the core that is free first. */
static void schedule(struct loop *l, const double *seconds, int cores) {
    double busy[MAX_CORES] = {0};
    for (int64_t i = l->first; i < l->first + l->chunks; i++) {
        int next = 0;
        for (int k = 1; k < cores; k++)
            if (busy[k] < busy[next]) next = k;
        l->work += seconds[i];
        busy[next] += seconds[i];
        if (busy[next] > l->span) l->span = busy[next];
    }
}

static void fill(void *ctx, int64_t micro, struct engine_batch *b) {
    const struct tokens *t = ctx;
    (void)micro;
    memcpy(b->input, t->input, (size_t)t->n * sizeof *b->input);
    memcpy(b->target, t->target, (size_t)t->n * sizeof *b->target);
}

static void take_step(struct seer *s, struct engine *g, struct tokens *t, int number) {
    const bool first = number == 1; /* that is not timed */
    struct engine_step step = {.accum = 1, .lr = 1e-9, .fill = fill, .ctx = t};
    engine_report_reset(g);
    memset(s->looped, 0, sizeof s->looped);
    s->timed = number % 2 == 0;
    s->at = 0;
    s->chunk = 0;
    const double begin = clock_seconds();
    g->kind->step(g, &step);
    const double all = clock_seconds() - begin;
    next_event(s, NULL);
    double known = g->seconds_norm + g->seconds_update;
    for (int k = 0; k < n_ops; k++) known += op_seconds(s, k);
    assert_int_equal(s->at, s->n_loops);
    if (s->timed) return;
    least(s->serial + NORM, g->seconds_norm - s->looped[NORM], first);
    least(s->serial + UPDATE, g->seconds_update - s->looped[UPDATE], first);
    least(s->serial + OUTSIDE, all - known, first);
}

static const char *share_name(int part) {
    static const char *const more[] = {"grad norm", "update", "outside"};
    return part < NORM ? ops[part]->name : more[part - NORM];
}

/* Seconds by part: on one core, on all, of the latter those that are serial; loops, and the fewest
 * chunks of those that take more than 0.1 % of the step. */
struct sums {
    double one[PARTS], many[PARTS], serial[PARTS];
    int loops[PARTS];
    int64_t fewest[PARTS];
    double alone, step;
};

static void add_up(struct seer *s, struct sums *r) {
    *r = (struct sums){0};
    for (int i = 0; i < s->n_loops; i++) {
        schedule(s->loops + i, s->seconds, s->cores);
        r->alone += s->loops[i].work;
    }
    for (int i = 0; i < s->n_loops; i++) {
        const struct loop *l = s->loops + i;
        const int64_t least = r->fewest[l->part];
        r->one[l->part] += l->work;
        r->many[l->part] += l->span;
        r->loops[l->part]++;
        if (l->chunks == 1) r->serial[l->part] += l->span;
        if (l->work > 1e-3 * r->alone && (!least || l->chunks < least))
            r->fewest[l->part] = l->chunks;
    }
    for (int i = 0; i < MAX_EVENTS; i++)
        if (s->events[i].seen) s->serial[s->events[i].part] += s->events[i].serial;
    for (int k = 0; k < PARTS; k++) {
        r->many[k] += s->serial[k];
        r->serial[k] += s->serial[k];
        r->step += r->many[k];
    }
}

/* peak: flops a second of a large product. */
static void print(const struct seer *s, const struct sums *r, const char *name, double peak) {
    const struct engine *g = s->engine;
    const double flops = g->kind->flops(&g->opts, &g->model->graph);
    print_message("%s: %.2f ms on one core, %.2f ms on %d (%.1f times); %.3f and %.3f of the peak "
                  "of %.0f GFLOP/s\n",
                  name, 1e3 * r->alone, 1e3 * r->step, s->cores, r->alone / r->step,
                  flops / r->alone / peak, flops / r->step / peak / s->cores, 1e-9 * peak);
    print_message("%-10s %10s %10s %10s %8s %6s %7s\n", "part", "ms on 1", "ms on all", "serial ms",
                  "serial", "loops", "chunks");
    for (int k = 0; k < PARTS; k++)
        if (r->one[k] > 0 || k >= NORM)
            print_message("%-10s %10.3f %10.3f %10.4f %7.2f%% %6d %7lld\n", share_name(k),
                          1e3 * r->one[k], 1e3 * r->many[k], 1e3 * r->serial[k],
                          100 * r->serial[k] / r->step, r->loops[k], (long long)r->fewest[k]);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

struct shape {
    const char *name;
    struct sizes sizes;
    int64_t B, T;
    double times;  /* that all cores are faster than one, at least; 0: only print */
    double serial; /* share of a step on all cores that a serial part may take */
};

static void judge(const struct sums *r, const struct shape *h) {
    for (int k = 0; k < PARTS; k++)
        if (r->serial[k] > h->serial * r->step)
            fail_msg("%s: %.2f %% of a step on %d cores is a serial part of %s", h->name,
                     100 * r->serial[k] / r->step, CORES, share_name(k));
    if (r->alone < h->times * r->step)
        fail_msg("%s: %d cores are %.1f times one, not %.1f", h->name, CORES,
                 r->alone / r->step, h->times);
}

enum { SIDE = SANITIZED ? 64 : 1024 };

/* Processor seconds of one product SIDE^3 with one thread. */
static double take_product(const struct gemm *g, float *a, float *b, float *c, void *work) {
    const double begin = thread_seconds();
    gemm_run(g, SIDE, SIDE, SIDE, mat_f32(a, SIDE, false), mat_f32(b, SIDE, false), c, SIDE, false,
             work);
    return thread_seconds() - begin;
}

static void take_steps(struct seer *s, struct engine *g, struct tokens *t, double *peak) {
    struct machine one = machine_of("native", DT_F32);
    const size_t work =
        gemm_work_bytes(one.gemm, SIDE, SIDE, SIDE, mat_f32(NULL, SIDE, false));
    struct arena mem;
    double best = 0;
    ok(arena_init(&mem, 3 * SIDE * SIDE * sizeof(float) + arena_round(work), "a product", &e));
    float *a = arena_alloc(&mem, 3 * SIDE * SIDE, sizeof *a);
    void *room = arena_alloc(&mem, work, 1);
    for (int64_t i = 0; i < 3 * SIDE * SIDE; i++) a[i] = (float)(i % 7) - 3;
    for (int k = 0; k < STEPS; k++) {
        take_step(s, g, t, k);
        least(&best, take_product(one.gemm, a, a + SIDE * SIDE, a + 2 * SIDE * SIDE, room), k == 0);
    }
    arena_release(&mem);
    *peak = 2.0 * SIDE * SIDE * SIDE / best;
}

static void run_shape(const struct shape *h, int cores) {
    const struct variant v = {h->name, "llama", "", h->sizes, true};
    struct machine machine = machine_with("native", DT_F32, cores);
    struct model m = model_of(&v);
    struct tokens t = tokens_of(&m, h->B * h->T, 1);
    struct engine g;
    struct seer *s = calloc(1, sizeof *s);
    struct sums sums;
    double peak;
    const struct engine_opts o = {
        .batch = h->B, .seq = h->T, .machine = &machine, .hyper = opt_hyper_of(opt_find("adamw"))};
    ok(engine_open(&g, engine_find("backprop"), &m, &o, &e));
    s->engine = &g;
    s->cores = cores;
    pool_watch(machine.pool, run_loop, s);
    take_steps(s, &g, &t, &peak);
    add_up(s, &sums);
    print(s, &sums, h->name, peak);
    if (h->times > 0 && !SANITIZED) judge(&sums, h);
    engine_close(&g);
    free(s);
    tokens_free(&t);
    close_model(&m);
    machine_close(&machine);
}

static void step_on_many_cores(void **state) {
    (void)state;
    /* The first takes 4 ms on all: two microseconds at the beginning of each of the 32 loops of the
     * linear ops, most of which finds its data in no cache, are 2 % of it. The bounds leave room for a
     * machine that is busy with other things, which can double them; results/small-shapes.md has what
     * an idle one does. What they guard against, an op that is not cut, is tens of percents. */
    static const struct shape shapes[] = {
        {"demo, 2 x 256", {128, 352, 4, 4, 2, 32, 2048}, 2, 256, 8, 0.07},
        {"4 layers of 256, 4 x 256", {256, 704, 4, 8, 4, 32, 2048}, 4, 256, 10, 0.04},
    };
    assert_true(n_ops <= NORM);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) run_shape(shapes + i, CORES);
}

static void print_shape(const char *text, int cores) {
    struct shape h = {.name = text};
    struct sizes *z = &h.sizes;
    long long B, T;
    if (sscanf(text, "%d,%d,%d,%d,%d,%d,%d,%lld,%lld", &z->dim, &z->hidden, &z->layers, &z->heads,
               &z->kv_heads, &z->head_dim, &z->vocab, &B, &T) != 9)
        fail_msg("%s: not dim,hidden,layers,heads,kv_heads,head_dim,vocab,B,T", text);
    h.B = B;
    h.T = T;
    run_shape(&h, cores);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(step_on_many_cores)};
    if (argc < 3) return cmocka_run_group_tests(tests, NULL, NULL);
    const int cores = atoi(argv[1]);
    if (cores < 2 || cores > MAX_CORES) return 2;
    for (int i = 2; i < argc; i++) print_shape(argv[i], cores);
    return 0;
}
