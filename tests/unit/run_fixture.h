/* What the tests of a run share: a small model's options with each engine, and a stream of rows. */
#ifndef DUET_RUN_FIXTURE_H
#define DUET_RUN_FIXTURE_H

#include "llama_fixture.h"

#include "run.h"
#include "trajectory.h"

enum { BATCH = 2, LEN = 8, FIRST = 5, SECOND = 5 };

/* The rows of a stream: a function of their number. */
static inline void stream(void *ctx, uint64_t row, struct engine_batch *out) {
    const uint64_t *vocab = ctx;
    for (int i = 0; i < BATCH; i++) {
        struct rng r = rng_make(3, RNG_TEST, row + (uint64_t)i, 0, 0);
        for (int k = 0; k < LEN; k++) {
            out->input[i * LEN + k] = (uint32_t)rng_below(&r, *vocab);
            out->target[i * LEN + k] = (out->input[i * LEN + k] + 1) % (uint32_t)*vocab;
        }
    }
}

static uint64_t vocab = 50;

struct kind {
    const char *engine, *optimizer, *estimator;
    double lr;
};
static const struct kind kinds[] = {{"backprop", "adamw", NULL, 1e-2},
                                    {"mezo", "momentum", "spsa", 1e-4}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static inline struct run_opts opts_of(const struct kind *k, const struct machine *g) {
    struct run_opts o = {.engine = engine_find(k->engine),
                         .engine_opts = {.batch = BATCH,
                                         .seq = LEN,
                                         .machine = g,
                                         .hyper = opt_hyper_of(opt_find(k->optimizer)),
                                         .directions = 2,
                                         .eps = 1e-3,
                                         .seed = 11,
                                         .max_accum = 2},
                         .accum = 1,
                         .accum_end = 2,
                         .lr = k->lr,
                         .sched = {.kind = SCHED_linear, .warmup = 3, .min = 0.1},
                         .budget = {{[BUDGET_steps] = FIRST + SECOND}},
                         .data = {.fill = stream, .ctx = &vocab}};
    if (k->estimator) o.engine_opts.estimator = zo_find(k->estimator);
    return o;
}

static inline bool same_weights(const struct model *a, const struct model *b) {
    for (int i = 0; i < a->n_params; i++)
        if (memcmp(a->params[i].data, b->params[i].data,
                   (size_t)param_count(a->params + i) * sizeof(float)))
            return false;
    return true;
}

/* ---- what is told ---------------------------------------------------------------------------- */

struct heard {
    enum run_event_kind kind[256];
    int n;
    double loss[64];
    int n_losses;
    /* what to do with RUN_BACK: */
    const struct run_pair *back;
    struct progress before;
    /* recorded updates */
    struct zo_record record[16];
    uint64_t seed[16][8];
    float coef[16][8];
    int n_records;
};

static inline int hear(void *ctx, struct run *r, const struct run_event *v, struct err *error) {
    struct heard *h = ctx;
    if (h->n < 256) h->kind[h->n++] = v->kind;
    if (v->kind == RUN_COUNTED && h->n_losses < 64) h->loss[h->n_losses++] = v->step->loss;
    if (v->kind == RUN_ROLLED_BACK) h->before = *v->before;
    if (v->kind == RUN_BACK && h->back) return run_restore(r, h->back, error);
    if (v->kind == RUN_MADE && v->step->directions && h->n_records < 16) {
        const int i = h->n_records++;
        for (int64_t d = 0; d < v->step->directions; d++) {
            h->seed[i][d] = v->step->seed[d];
            h->coef[i][d] = v->step->coef[d];
        }
        h->record[i] = (struct zo_record){.step = v->step->step,
                                          .accum = v->step->accum,
                                          .lr = v->step->lr,
                                          .loss = v->step->loss,
                                          .seconds = v->seconds,
                                          .n = (int)v->step->directions,
                                          .seed = h->seed[i],
                                          .coef = h->coef[i]};
    }
    return 0;
}

static inline void steps(struct run *r, int n) {
    for (int i = 0; i < n; i++) ok(run_step(r, &e));
}

#endif
