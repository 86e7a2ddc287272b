/* MeZO (Malladi et al. 2023, arXiv 2305.17333): forward passes only. The copies of the weights that
 * an estimator asks for go through the network side by side (struct probe); their losses become one
 * coefficient a direction, and the optimizer takes the gradient from seeds and coefficients. The
 * memory is that of inference, and the stored weights are written once an update. */
#include "clock.h"
#include "engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mezo {
    int64_t n_probes;
    struct probe *probe; /* (n_probes) */
    double *loss;        /* (micro-batches, n_probes) */
    uint64_t *seed;      /* per direction */
    struct direction_space space;
    struct direction_tensor *tensor; /* its */
    float *coef, *extra; /* extra: of the update */
    struct arena state;  /* what the estimator keeps */
};

static size_t state_bytes(const struct engine_opts *o, const struct model *m) {
    size_t sum = 0;
    for (int i = 0; i < m->n_params; i++)
        if (m->params[i].trainable)
            sum += (size_t)o->estimator->n_state *
                   arena_need((size_t)param_count(m->params + i), sizeof(float));
    return sum;
}

static int open_state(struct engine *g, struct err *e) {
    int rc;
    struct mezo *z = g->mezo;
    const struct zo_kind *k = g->opts.estimator;
    const struct model *m = g->model;
    if (!k->n_state) return 0;
    TRY(arena_init(&z->state, state_bytes(&g->opts, m), "the estimator's state", e));
    z->space.state = calloc((size_t)m->n_params + 1, sizeof *z->space.state);
    if (!z->space.state) return err_set(e, ERR_NOMEM, "out of memory for the estimator's state");
    for (int i = 0; i < m->n_params; i++)
        for (int a = 0; a < k->n_state && m->params[i].trainable; a++)
            z->space.state[i][a] =
                arena_alloc(&z->state, (size_t)param_count(m->params + i), sizeof(float));
out:
    return rc;
}

static bool state_item(const struct engine *g, int i, struct engine_item *item) {
    const struct zo_kind *k = g->opts.estimator;
    const int param = i / DIRECTION_MAX_STATE, a = i % DIRECTION_MAX_STATE;
    if (!k->n_state || param >= g->model->n_params) return false;
    *item = (struct engine_item){.data = g->mezo->space.state[param][a]};
    if (!item->data) return true;
    item->n = param_count(g->model->params + param);
    snprintf(item->name, sizeof item->name, "%s.%s/%s", k->name, k->state[a],
             g->model->params[param].name);
    return true;
}

static void state_reset(struct engine *g) {
    struct engine_item item;
    for (int i = 0; state_item(g, i, &item); i++)
        if (item.data) memset(item.data, 0, (size_t)item.n * sizeof *item.data);
}

static struct zo_shape shape_of(const struct engine_opts *o, int64_t accum) {
    return (struct zo_shape){
        .directions = o->directions, .batch = o->batch, .accum = accum, .eps = o->eps};
}

static int64_t probes(const struct engine_opts *o) {
    const struct zo_shape s = shape_of(o, 1);
    return o->estimator->probes(&s);
}

static double flops(const struct engine_opts *o, const struct graph *g) {
    const int64_t each = o->estimator->per_example ? 1 : o->batch;
    return graph_flops(g, false, probes(o) * each, o->seq);
}

static int64_t max_directions(const struct engine_opts *o) {
    const struct zo_shape s = shape_of(o, o->max_accum);
    return o->estimator->directions(&s);
}

/* Numbers that an update of so many micro-batches records beside its coefficients. */
static int64_t extras(const struct engine_opts *o, int64_t accum) {
    const struct zo_shape s = shape_of(o, accum);
    return o->estimator->extra ? o->estimator->extra(&s) : 0;
}

static void mezo_close(struct engine *g) {
    struct mezo *z = g->mezo;
    if (!z) return;
    free(z->probe);
    free(z->loss);
    free(z->seed);
    free(z->coef);
    free(z->tensor);
    free(z->extra);
    free(z->space.state);
    arena_release(&z->state);
    free(z);
    g->mezo = NULL;
}

static int mezo_open(struct engine *g, struct err *e) {
    const struct engine_opts *o = &g->opts;
    struct mezo *z = g->mezo = calloc(1, sizeof *z);
    if (!z) return err_set(e, ERR_NOMEM, "out of memory for the probes");
    z->tensor = calloc((size_t)g->model->n_params + 1, sizeof *z->tensor);
    if (!z->tensor) return err_set(e, ERR_NOMEM, "out of memory for the probes");
    z->space = zo_space(o->direction ? o->direction : &direction_rademacher, z->tensor,
                        g->model->params, g->model->n_params);
    z->space.rank = o->direction_rank;
    z->space.every = o->direction_every;
    z->space.seed = o->seed;
    const int rc = open_state(g, e);
    if (rc || o->repeat) return rc;
    z->n_probes = probes(o);
    const size_t P = (size_t)z->n_probes, n = (size_t)max_directions(o);
    z->probe = calloc(P, sizeof *z->probe);
    z->loss = calloc(P * (size_t)o->max_accum, sizeof *z->loss);
    z->seed = calloc(n, sizeof *z->seed);
    z->coef = calloc(n, sizeof *z->coef);
    z->extra = calloc((size_t)extras(o, o->max_accum) + 1, sizeof *z->extra);
    if (!z->probe || !z->loss || !z->seed || !z->coef || !z->extra)
        return err_set(e, ERR_NOMEM, "out of memory for the probes");
    return 0;
}

/* Directions that are tried, by the probes of an estimator; `shape.batch` sequences of a
 * micro-batch. */
struct trial {
    const struct zo_kind *kind;
    struct zo_shape shape;
    const uint64_t *seed; /* of each direction */
    int64_t step;         /* what they belong to: direction_make */
};

static int64_t each_of(const struct trial *t) {
    return t->kind->per_example ? 1 : t->shape.batch;
}

/* The batch stands once in the rows of each probe; or sequence i in those of probes 2i, 2i + 1. */
static void fill_rows(struct engine *g, const struct trial *t, struct engine_step *s,
                      int64_t micro) {
    struct engine_batch *b = &g->batch;
    b->T = g->opts.seq;
    s->fill(s->ctx, micro, b);
    const bool one = t->kind->per_example;
    const int64_t B = t->shape.batch, T = b->T, rows = t->kind->probes(&t->shape) * each_of(t);
    for (int64_t r = rows - 1; r >= 0; r--) {
        const int64_t from = one ? r / 2 : r % B;
        if (from == r) continue;
        memcpy(b->input + r * T, b->input + from * T, (size_t)T * sizeof *b->input);
        memcpy(b->target + r * T, b->target + from * T, (size_t)T * sizeof *b->target);
        b->pos[r] = b->pos[from];
        b->label[r] = b->label[from];
    }
}

/* Cross-entropy of one sequence of the last run, whatever the objective. */
static double sequence_loss(const struct engine *g, int64_t row) {
    const int64_t T = g->batch.T;
    double sum = 0;
    if (g->opts.objective) return (double)g->nll[row];
    for (int64_t i = row * T; i < (row + 1) * T; i++) sum += (double)g->nll[i];
    return sum / (double)T;
}

/* All probes of micro-batch `micro`, which stands in the rows. False: cancelled. */
static bool run_probes(struct engine *g, const struct trial *t, int64_t micro) {
    struct mezo *z = g->mezo;
    const int64_t n = t->kind->probes(&t->shape);
    for (int64_t p = 0; p < n; p++) {
        int64_t d;
        int side;
        t->kind->probe(&t->shape, micro, p, &d, &side);
        z->probe[p] = (struct probe){.dir = direction_make(&z->space, t->seed[d], t->step),
                                     .eps = (float)(side * t->shape.eps)};
    }
    struct batch b = {.B = n * each_of(t), .probes = z->probe, .n_probes = (int)n};
    return engine_run(g, &b);
}

/* Every sequence of the last run's. */
static void sequence_losses(const struct engine *g, const struct trial *t, double *out) {
    const int64_t rows = t->kind->probes(&t->shape) * each_of(t);
    for (int64_t r = 0; r < rows; r++) out[r] = sequence_loss(g, r);
}

/* Losses of the probes of all micro-batches, and of their sequences (engine_probe) unless that is
 * NULL. False: cancelled. */
static bool evaluate(struct engine *g, const struct trial *t, struct engine_step *s,
                     double *sequences) {
    struct mezo *z = g->mezo;
    const int64_t P = z->n_probes, each = each_of(t);
    for (int64_t micro = 0; micro < s->accum; micro++) {
        fill_rows(g, t, s, micro);
        if (!run_probes(g, t, micro)) return false;
        for (int64_t p = 0; p < P; p++)
            z->loss[micro * P + p] = engine_loss(g, p * each, each);
        if (sequences) sequence_losses(g, t, sequences + micro * P * each);
    }
    return true;
}

/* How far each parameter moves: as in training, or by `scale`. */
static void set_scales(struct engine *g, const float *scale) {
    for (int i = 0; i < g->model->n_params; i++) {
        const struct param *p = g->model->params + i;
        g->mezo->tensor[i].scale = !p->trainable ? 0 : scale ? scale[i] : p->move;
    }
}

int mezo_probe(struct engine *g, struct engine_step *s, const struct engine_probe *p,
               struct err *e) {
    const struct zo_kind *k = g->opts.estimator;
    struct trial t = {k, shape_of(&g->opts, s->accum), p->seed, s->step};
    const int64_t want = k->directions(&t.shape);
    if (p->n != want)
        return err_set(e, ERR_USAGE, "%lld directions to try, an update has %lld", (long long)p->n,
                       (long long)want);
    if (!(p->eps >= 0 && isfinite(p->eps)))
        return err_set(e, ERR_USAGE, "eps is %g, directions are tried with 0 or above", p->eps);
    t.shape.eps = p->eps;
    set_scales(g, p->scale);
    s->cancelled = !evaluate(g, &t, s, p->losses);
    set_scales(g, NULL);
    if (s->cancelled) return err_set(e, ERR_STOP, "stopped while directions were tried");
    s->loss = k->estimate(&t.shape, g->mezo->loss, p->coef);
    return 0;
}

/* Whatever the estimator: the first B sequences of micro-batch 0 at both sides of one direction,
 * which belongs to no update. */
static struct trial two_sides(int64_t B, double eps, const uint64_t *seed) {
    return (struct trial){.kind = zo_find("spsa"),
                          .shape = {.directions = 1, .batch = B, .accum = 1, .eps = eps},
                          .seed = seed,
                          .step = -1};
}

/* Their losses (B) at each side; the rows are filled. False: cancelled. */
static bool both_sides(struct engine *g, uint64_t seed, double eps, int64_t B, double *plus,
                       double *minus) {
    const struct trial t = two_sides(B, eps, &seed);
    if (!run_probes(g, &t, 0)) return false;
    for (int64_t r = 0; r < B; r++) {
        plus[r] = sequence_loss(g, r);
        minus[r] = sequence_loss(g, B + r);
    }
    return true;
}

int mezo_measure(struct engine *g, struct engine_step *s, int64_t directions, int64_t checks,
                 struct zo_measure *m, struct err *e) {
    const int64_t B = directions || g->opts.batch < 2 ? g->opts.batch : 2; /* a check needs few */
    const double eps = g->opts.eps;
    double *room = malloc((size_t)B * 5 * sizeof *room);
    if (!room) return err_set(e, ERR_NOMEM, "out of memory for the losses of a batch");
    double *base = room, *plus = room + B, *minus = plus + B, *c = minus + B, *c2 = c + B;
    *m = (struct zo_measure){0};
    const struct trial rows = two_sides(B, eps, NULL);
    fill_rows(g, &rows, s, 0);
    bool run = !directions || both_sides(g, 0, 0, B, base, minus);
    for (int64_t d = 0; run && (d < directions || d < checks); d++) {
        const uint64_t seed = zo_seed(g->opts.seed, -1 - s->step, d);
        run = both_sides(g, seed, eps, B, plus, minus);
        if (d < directions) zo_measure_add(m, eps, B, base, plus, minus);
        if (run && s->probed) s->probed(s->ctx, d + 1, directions > checks ? directions : checks);
        if (d >= checks) continue;
        for (int64_t b = 0; b < B; b++) {
            c[b] = (plus[b] - minus[b]) / (2 * eps);
            m->loss = fmax(m->loss, plus[b]);
        }
        run = run && both_sides(g, seed, 2 * eps, B, plus, minus);
        for (int64_t b = 0; b < B; b++) c2[b] = (plus[b] - minus[b]) / (4 * eps);
        zo_measure_check(m, B, c, c2);
    }
    zo_measure_finish(m);
    free(room);
    return run ? 0 : err_set(e, ERR_STOP, "stopped while the learning rate was measured");
}

int mezo_walk(struct engine *g, struct engine_step *s, double size, int64_t directions,
              double *rise, struct err *e) {
    const int64_t B = g->opts.batch;
    double *room = malloc((size_t)B * 4 * sizeof *room), sum = 0;
    if (!room) return err_set(e, ERR_NOMEM, "out of memory for the losses of a batch");
    double *base = room, *same = room + B, *plus = same + B, *minus = plus + B;
    const struct trial rows = two_sides(B, size, NULL);
    fill_rows(g, &rows, s, 0);
    bool run = both_sides(g, 0, 0, B, base, same);
    for (int64_t d = 0; run && d < directions; d++) {
        run = both_sides(g, zo_seed(g->opts.seed, -1 - s->step, d), size, B, plus, minus);
        for (int64_t b = 0; run && b < B; b++)
            sum += (plus[b] + minus[b]) / 2 - base[b];
        if (run && s->probed) s->probed(s->ctx, d + 1, directions);
    }
    *rise = sum / (double)(B * directions);
    free(room);
    return run ? 0 : err_set(e, ERR_STOP, "stopped while the learning rate was measured");
}

static void apply(struct engine *g, const struct engine_step *s) {
    const struct zo_update u = {
        .step = s->step, .lr = s->lr, .n = s->directions, .seed = s->seed, .coef = s->coef,
        .extra = s->extra};
    const double begin = clock_seconds();
    zo_apply(&g->opt, &g->mezo->space, &u);
    if (g->opts.estimator->advance)
        g->opts.estimator->advance(&g->opt, &g->mezo->space, &u);
    g->seconds_update += clock_seconds() - begin;
}

int mezo_replay(struct engine *g, struct engine_step *s, struct err *e) {
    const struct zo_shape shape = shape_of(&g->opts, s->accum);
    if (s->accum < 1 || s->accum > g->opts.max_accum)
        return err_set(e, ERR_INPUT,
                       "the update of step %lld has %lld micro-batches, the settings of the run "
                       "make at most %lld",
                       (long long)s->step, (long long)s->accum, (long long)g->opts.max_accum);
    const int64_t want = g->opts.estimator->directions(&shape);
    if (s->directions != want)
        return err_set(e, ERR_INPUT,
                       "the update of step %lld has %lld directions, the settings of the run make "
                       "%lld",
                       (long long)s->step, (long long)s->directions, (long long)want);
    if (s->n_extra != extras(&g->opts, s->accum))
        return err_set(e, ERR_INPUT,
                       "the update of step %lld has %lld numbers beside its coefficients, the "
                       "settings of the run make %lld",
                       (long long)s->step, (long long)s->n_extra,
                       (long long)extras(&g->opts, s->accum));
    s->grad_norm = zo_norm(&g->mezo->space, g->model->n_params, s->directions, s->coef);
    apply(g, s);
    return 0;
}

static void step(struct engine *g, struct engine_step *s) {
    struct mezo *z = g->mezo;
    const struct zo_shape shape = shape_of(&g->opts, s->accum);
    const struct zo_kind *k = g->opts.estimator;
    const int64_t n = k->directions(&shape);
    const struct trial t = {k, shape, z->seed, s->step};
    for (int64_t d = 0; d < n; d++) z->seed[d] = zo_seed(g->opts.seed, s->step, d);
    s->cancelled = !evaluate(g, &t, s, NULL);
    if (s->cancelled) return;
    s->loss = k->estimate(&shape, z->loss, z->coef);
    s->directions = n;
    s->seed = z->seed;
    s->coef = z->coef;
    s->grad_norm = zo_norm(&z->space, g->model->n_params, n, z->coef);
    s->n_extra = extras(&g->opts, s->accum);
    s->extra = z->extra;
    if (s->n_extra) k->note(&shape, z->loss, z->extra);
    s->finite = isfinite(s->loss) && isfinite(s->grad_norm);
    for (int64_t i = 0; i < s->n_extra; i++) s->finite = s->finite && isfinite(z->extra[i]);
    if (s->finite) apply(g, s);
}

const struct engine_kind engine_mezo = {
    .name = "mezo",
    .help = "zeroth order: forward passes at perturbed weights, memory of inference",
    .optimizer = "sgd",
    .schedule = "linear",
    .probes = probes,
    .flops = flops,
    .open = mezo_open,
    .close = mezo_close,
    .bytes = state_bytes,
    .item = state_item,
    .reset = state_reset,
    .step = step};
