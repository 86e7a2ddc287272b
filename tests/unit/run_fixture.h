/* What the tests of a run share: a small model's options with each engine, and a stream of rows. */
#ifndef DUET_RUN_FIXTURE_H
#define DUET_RUN_FIXTURE_H

#include "llama_fixture.h"

#include "run.h"

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

#endif
