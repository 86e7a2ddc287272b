#include "opt.h"

#include "rng.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define X(name) extern const struct opt_kind opt_##name;
OPTIMIZERS(X)
#undef X

static const struct opt_kind *const kinds[] = {
#define X(name) &opt_##name,
    OPTIMIZERS(X)
#undef X
};

const struct opt_kind *opt_find(const char *name) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i]->name, name)) return kinds[i];
    return NULL;
}

struct opt_span {
    int param;
    int64_t begin, n;
};

struct opt_hyper opt_hyper_of(const struct opt_kind *kind) {
    struct opt_hyper h = {.eps = 1e-8, .muon.polar = {POLAR_express, 5}};
    for (int r = 0; r < ROLE_COUNT; r++)
        h.of[r] = (struct opt_rule){
            .kind = kind, .lr_factor = 1, .beta1 = kind->beta1, .beta2 = kind->beta2};
    return h;
}

static int64_t state_count(const struct opt_hyper *h, const struct param *p, int k) {
    const struct opt_kind *kind = h->of[p->role].kind;
    if (!p->trainable || k >= kind->n_state) return 0;
    return kind->state_count ? kind->state_count(h, k, p->rows, p->cols) : param_count(p);
}

int64_t opt_state_count(const struct opt *o, int param, int k) {
    return state_count(&o->hyper, o->params + param, k);
}

size_t opt_state_bytes(const struct opt_hyper *h, const struct param *params, int n) {
    size_t sum = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < OPT_MAX_STATE; k++)
            sum += arena_need((size_t)state_count(h, params + i, k), sizeof(float));
    return sum;
}

/* Scratch of a matrix that a thread works on by itself; 0: it has no `direction`, or is worked on
 * by all of them. */
static size_t small_bytes(const struct machine *m, const struct opt_kind *k,
                          const struct param *p) {
    struct machine alone;
    if (!p->trainable || !k->direction) return 0;
    machine_alone(&alone, m);
    const size_t bytes = arena_round(k->work_bytes(&alone, p->rows, p->cols));
    return bytes <= OPT_SMALL ? bytes : 0;
}

/* What a thread needs for the small matrix that needs most. */
static size_t share_bytes(const struct machine *m, const struct opt_hyper *h,
                          const struct param *params, int n) {
    size_t most = 0;
    for (int i = 0; i < n; i++) {
        const size_t bytes = small_bytes(m, h->of[params[i].role].kind, params + i);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* First come the large matrices, one after another, then the small ones. */
static size_t work_bytes(const struct machine *m, const struct opt_hyper *h,
                         const struct param *params, int n) {
    const size_t share = share_bytes(m, h, params, n);
    size_t most = share ? (size_t)machine_threads(m) * share : 0;
    for (int i = 0; i < n; i++) {
        const struct opt_kind *k = h->of[params[i].role].kind;
        if (!params[i].trainable || !k->direction || small_bytes(m, k, params + i)) continue;
        const size_t bytes = k->work_bytes(m, params[i].rows, params[i].cols);
        if (bytes > most) most = bytes;
    }
    return arena_need(most, 1);
}

size_t opt_bytes(const struct machine *m, const struct opt_hyper *h,
                 const struct param *params, int n) {
    return opt_state_bytes(h, params, n) + work_bytes(m, h, params, n);
}

static void cut_tiles(struct opt *o) {
    for (int i = 0; i < o->n_params; i++) {
        if (!o->params[i].trainable) continue;
        const int64_t count = param_count(o->params + i);
        for (int64_t at = 0; at < count; at += OPT_TILE) {
            const int64_t n = count - at < OPT_TILE ? count - at : OPT_TILE;
            if (o->tiles) o->tiles[o->n_tiles] = (struct opt_span){i, at, n};
            o->n_tiles++;
        }
    }
}

int opt_check(const struct opt_hyper *h, const struct param *params, int n, struct err *e) {
    for (int i = 0; i < n; i++)
        if (params[i].trainable && !h->of[params[i].role].kind)
            return err_set(e, ERR_USAGE, "no optimizer for parameters of role %s",
                           role_name(params[i].role));
    return 0;
}

static int check_buffers(const struct opt *o, struct err *e) {
    for (int i = 0; i < o->n_params; i++) {
        const struct param *p = o->params + i;
        const struct opt_kind *k = opt_kind_of(o, i);
        if (p->trainable && k->direction && !p->grad)
            return err_set(e, ERR_USAGE,
                           "optimizer %s takes the gradient of all of %s at once, and this engine "
                           "keeps none",
                           k->name, p->name);
    }
    return 0;
}

int opt_open(struct opt *o, const struct machine *m, const struct opt_hyper *h,
             struct param *params, int n, struct err *e) {
    int rc;
    *o = (struct opt){.hyper = *h, .machine = m, .params = params, .n_params = n};
    TRY(opt_check(h, params, n, e));
    TRY(check_buffers(o, e));
    cut_tiles(o);
    o->state = calloc((size_t)n + 1, sizeof *o->state);
    o->tiles = malloc(((size_t)o->n_tiles + 1) * sizeof *o->tiles);
    o->partial = malloc(((size_t)o->n_tiles + 1) * sizeof *o->partial);
    o->small = malloc(((size_t)n + 1) * sizeof *o->small);
    TRY(arena_init(&o->mem, opt_bytes(m, h, params, n), "optimizer state", e));
    if (!o->state || !o->tiles || !o->partial || !o->small) {
        rc = err_set(e, ERR_NOMEM, "out of memory for the optimizer's tables");
        goto out;
    }
    o->n_tiles = 0;
    cut_tiles(o);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < OPT_MAX_STATE; k++) {
            const size_t count = (size_t)opt_state_count(o, i, k);
            if (count) o->state[i][k] = arena_alloc(&o->mem, count, sizeof(float));
        }
    for (int i = 0; i < n; i++)
        if (small_bytes(m, opt_kind_of(o, i), params + i)) o->small[o->n_small++] = i;
    o->share = share_bytes(m, h, params, n);
    o->work = arena_alloc(&o->mem, work_bytes(m, h, params, n), 1);
out:
    if (rc) opt_close(o);
    return rc;
}

void opt_reset(struct opt *o) {
    for (int i = 0; i < o->n_params; i++)
        for (int k = 0; k < OPT_MAX_STATE && o->state[i][k]; k++)
            memset(o->state[i][k], 0, (size_t)opt_state_count(o, i, k) * sizeof(float));
    o->t = 0;
}

void opt_close(struct opt *o) {
    arena_release(&o->mem);
    free(o->state);
    free(o->tiles);
    free(o->partial);
    free(o->small);
    *o = (struct opt){0};
}

const struct opt_kind *opt_kind_of(const struct opt *o, int param) {
    return o->hyper.of[o->params[param].role].kind;
}

const struct opt_kind *opt_only_kind(const struct opt *o) {
    const struct opt_kind *only = NULL;
    for (int i = 0; i < o->n_params; i++) {
        if (!o->params[i].trainable) continue;
        if (only && only != opt_kind_of(o, i)) return NULL;
        only = opt_kind_of(o, i);
    }
    return only;
}

bool opt_has_role(const struct opt *o, enum role role) {
    for (int i = 0; i < o->n_params; i++)
        if (o->params[i].trainable && o->params[i].role == role) return true;
    return false;
}

static void square_tile(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct opt *o = ctx;
    const struct opt_span *s = o->tiles + i;
    o->partial[i] = o->machine->kern->sumsq(o->params[s->param].grad + s->begin, s->n);
}

double opt_grad_norm(const struct opt *o) {
    struct opt copy = *o; /* pool_for wants a writable context; the tile results go to o->partial */
    double sum = 0;
    pool_for(o->machine->pool, o->n_tiles, square_tile, &copy);
    for (int64_t i = 0; i < o->n_tiles; i++) sum += o->partial[i];
    return sqrt(sum);
}

static const float *buffer_tile(const struct grad_source *s, int param, int64_t begin, int64_t n,
                                float *buf, struct kern_sgd *signs) {
    const struct opt *o = s->ctx;
    (void)n;
    (void)buf;
    (void)signs;
    return o->params[param].grad + begin;
}

struct grad_source opt_buffers(const struct opt *o, double norm) {
    return (struct grad_source){.tile = buffer_tile, .norm = norm, .ctx = o};
}

struct step_job {
    struct opt *o;
    const struct grad_source *grad;
    double lr;
    float grad_scale;
    uint64_t round; /* hash of the rounding's seed and step */
};

/* A tile goes through in pieces that stay in the first-level cache: of floats; of bits, where that
 * is all that a step needs. */
enum { PIECE = 2048, STEP = 4096 };

_Static_assert(PIECE % KERN_CHANCES == 0 && STEP % KERN_CHANCES == 0, "pieces are whole blocks");

/* The piece after this one, on its way while this one is worked on. */
static void fetch_piece(const struct param *p, int64_t begin, int64_t n) {
    const int size = dtype_row(p->dtype)->bytes;
    const char *at = (const char *)p->data + begin * size;
    for (int64_t b = 0; b < n * size; b += 64) __builtin_prefetch(at + b, 1, 3);
}

static void step_piece(const struct step_job *j, const struct opt_tile *t, int param, int64_t begin,
                       int64_t n) {
    const struct opt *o = j->o;
    const struct param *p = o->params + param;
    const struct opt_kind *kind = opt_kind_of(o, param);
    float grad[PIECE], wide[PIECE];
    float *state[OPT_MAX_STATE] = {0};
    const float *g = j->grad->tile(j->grad, param, begin, n, grad, NULL);
    for (int k = 0; k < kind->n_state && !kind->state_count; k++)
        state[k] = o->state[param][k] + begin;
    if (p->dtype == DT_F32) {
        kind->tile(t, (float *)p->data + begin, g, state, n);
        return;
    }
    uint16_t *stored = (uint16_t *)p->data + begin;
    o->machine->kern->f32_from_bf16(wide, stored, n);
    kind->tile(t, wide, g, state, n);
    o->machine->kern->bf16_by_chance(stored, wide, rng_fold(j->round, (uint64_t)param),
                                     (uint64_t)(begin / KERN_CHANCES), n);
}

/* The same of a kind that has a step. */
static void step_fused(const struct step_job *j, const struct opt_tile *t, int param, int64_t begin,
                       int64_t n) {
    const struct opt *o = j->o;
    const struct param *p = o->params + param;
    float grad[STEP];
    uint64_t bits[KERN_SIGNS][STEP / 64];
    struct kern_sgd s = {.n_signs = 0};
    for (int d = 0; d < KERN_SIGNS; d++) s.bits[d] = bits[d];
    opt_kind_of(o, param)->step(t, &s);
    s.row = j->grad->tile(j->grad, param, begin, n, grad, &s);
    if (p->dtype == DT_F32)
        t->kern->sgd((float *)p->data + begin, &s, n);
    else
        t->kern->sgd_bf16((uint16_t *)p->data + begin, &s, rng_fold(j->round, (uint64_t)param),
                          (uint64_t)(begin / KERN_CHANCES), n);
}

static struct opt_tile tile_of(const struct step_job *j, const struct param *p) {
    const struct opt_hyper *h = &j->o->hyper;
    const struct opt_rule *r = h->of + p->role;
    const double shape = r->kind->lr_shape ? r->kind->lr_shape(p->rows, p->cols) : 1;
    const bool head = h->head_factor > 0 && p->part && p->part->kind == PART_HEAD;
    const double factor = head ? h->head_factor : r->lr_factor;
    return (struct opt_tile){.kern = j->o->machine->kern,
                             .lr = (float)(j->lr * factor * shape),
                             .decay = (float)r->decay,
                             .beta1 = (float)r->beta1,
                             .beta2 = (float)r->beta2,
                             .eps = (float)h->eps,
                             .grad_scale = j->grad_scale,
                             .t = j->o->t,
                             .hyper = h};
}

static void direct_one(const struct step_job *j, int param, const struct machine *m, void *work) {
    const struct param *p = j->o->params + param;
    const struct opt_tile t = tile_of(j, p);
    const struct opt_matrix whole = {.role = p->role,
                                     .rows = p->rows,
                                     .cols = p->cols,
                                     .grad = p->grad,
                                     .state = j->o->state[param],
                                     .machine = m,
                                     .work = work};
    opt_kind_of(j->o, param)->direction(&t, &whole);
}

static void direct_small(void *ctx, int64_t i, int tid) {
    const struct step_job *j = ctx;
    struct machine alone;
    machine_alone(&alone, j->o->machine);
    direct_one(j, j->o->small[i], &alone, (char *)j->o->work + (size_t)tid * j->o->share);
}

static void direct(struct step_job *j) {
    const struct opt *o = j->o;
    const int *small = o->small, *end = small + o->n_small;
    for (int i = 0; i < o->n_params; i++)
        if (small < end && *small == i)
            small++;
        else if (o->params[i].trainable && opt_kind_of(o, i)->direction)
            direct_one(j, i, o->machine, o->work);
    pool_for(o->machine->pool, o->n_small, direct_small, j);
}

static void step_tile(void *ctx, int64_t i, int tid) {
    (void)tid;
    const struct step_job *j = ctx;
    const struct opt *o = j->o;
    const struct opt_span *s = o->tiles + i;
    struct opt_tile t = tile_of(j, o->params + s->param);
    if (opt_kind_of(o, s->param)->direction) t.grad_scale = 1; /* no gradient is left to clip */
    if (opt_kind_of(o, s->param)->step) {
        for (int64_t at = 0; at < s->n; at += STEP)
            step_fused(j, &t, s->param, s->begin + at, s->n - at < STEP ? s->n - at : STEP);
        return;
    }
    for (int64_t at = 0; at < s->n; at += PIECE) {
        const int64_t left = s->n - at - PIECE;
        if (left > 0)
            fetch_piece(o->params + s->param, s->begin + at + PIECE, left < PIECE ? left : PIECE);
        step_piece(j, &t, s->param, s->begin + at, s->n - at < PIECE ? s->n - at : PIECE);
    }
}

void opt_step(struct opt *o, double lr, const struct grad_source *grad) {
    const double clip = o->hyper.clip;
    struct step_job j = {.o = o,
                         .grad = grad,
                         .lr = lr,
                         .grad_scale =
                             clip > 0 && grad->norm > clip ? (float)(clip / grad->norm) : 1};
    j.round = rng_fold(rng_fold(rng_fold(0, o->hyper.seed), RNG_ROUND), (uint64_t)o->t);
    o->t++;
    direct(&j);
    pool_for(o->machine->pool, o->n_tiles, step_tile, &j);
}
