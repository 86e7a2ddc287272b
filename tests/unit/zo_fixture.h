/* What the tests of probes and LoRA share: small models in every storage, with LoRA or without, and
 * the same network with its weights written out as plain f32. */
#ifndef DUET_ZO_FIXTURE_H
#define DUET_ZO_FIXTURE_H

#include "engine.h"
#include "llama_fixture.h"
#include "model_lora.h"

/* Rows are whole q8_0 blocks; one has rows of more than one block of signs. */
static const struct variant zo_variants[] = {
    {"GQA, tied", "llama", "", {32, 64, 2, 4, 2, 8, 260}, true},
    {"QK-norm, untied, long rows", "qwen3", "", {544, 64, 1, 4, 4, 8, 40}, false},
    {"biases, softcap",
     "qwen2",
     ",\"duet\":{\"logit_softcap\":5}",
     {32, 96, 1, 4, 1, 8, 50},
     true},
    {"residual scale",
     "llama",
     ",\"duet\":{\"residual_scale\":0.35}",
     {32, 64, 2, 4, 2, 8, 50},
     false},
    {"all together", "qwen3", ALL_ON, {32, 64, 2, 4, 2, 8, 260}, true},
    {"two RoPE bases, value embeddings",
     "llama",
     ",\"duet\":{\"rope_local_theta\":50,\"rope_global_every\":2,\"value_embeds\":true}",
     {32, 64, 2, 4, 2, 8, 50},
     true},
    {"ReLU squared, no gate", "arcee", "", {32, 64, 2, 4, 2, 8, 50}, true},
};
enum { N_ZO_VARIANTS = sizeof zo_variants / sizeof *zo_variants };

static const struct lora_opts lora_split = {
    .rank = 3, .alpha = 6, .targets = "q,k,v,o", .init = "peft"};
static const struct lora_opts lora_all = {.rank = 4,
                                          .alpha = 6,
                                          .rslora = true,
                                          .norms = true,
                                          .targets = "all",
                                          .init = "peft"};
static const struct lora_opts lora_some = {
    .rank = 5, .alpha = 5, .targets = "v,down", .init = "peft"};
static const struct lora_opts lora_merged = {
    .rank = 3, .alpha = 6, .merge = true, .targets = "all", .init = "peft"};

struct setup {
    const char *name;
    const struct lora_opts *lora; /* or NULL: all weights */
    enum dtype storage;
    bool compact; /* every other id of the vocabulary */
};

static const struct setup setups[] = {
    {"full f32", NULL, DT_F32, false},
    {"full bf16", NULL, DT_BF16, false},
    {"full f32, compacted", NULL, DT_F32, true},
    {"LoRA f32", &lora_split, DT_F32, false},
    {"LoRA with norms, bf16 base", &lora_all, DT_BF16, false},
    {"LoRA of some, q8_0 base", &lora_some, DT_Q8_0, false},
    {"LoRA merged, f32 base", &lora_merged, DT_F32, false},
    {"LoRA merged, q8_0 base", &lora_merged, DT_Q8_0, false},
};
enum { N_SETUPS = sizeof setups / sizeof *setups };

/* Everything that is trained moves; closed with space_close. */
static inline struct direction_space space_open(const struct model *m) {
    struct direction_tensor *t = calloc((size_t)m->n_params, sizeof *t);
    return zo_space(&direction_rademacher, t, m->params, m->n_params);
}

static inline void space_close(struct direction_space *s) {
    free((void *)(uintptr_t)s->tensor);
}

static inline float *values_of(const struct param *p) {
    float *x = malloc((size_t)param_count(p) * sizeof *x);
    dtype_to_f32(p->dtype, p->data, x, (size_t)param_count(p));
    return x;
}

/* Random values in every storage; B of LoRA not 0, so that A matters. */
static inline void fill_values(struct model *m, uint64_t seed) {
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        const int64_t n = param_count(p);
        struct rng r = rng_make(seed, RNG_TEST, 3, (uint64_t)i, 0);
        float *x = malloc((size_t)n * sizeof *x);
        const double sigma[ROLE_COUNT] = {[ROLE_embed] = 0.4,
                                          [ROLE_matrix] = 1 / sqrt((double)p->cols),
                                          [ROLE_norm] = 0.3,
                                          [ROLE_bias] = 0.5,
                                          [ROLE_lora] = 0.2};
        for (int64_t k = 0; k < n; k++)
            x[k] = (float)((p->role == ROLE_norm) + sigma[p->role] * rng_normal(&r));
        dtype_from_f32(p->dtype, x, p->data, (size_t)n);
        free(x);
    }
}

/* Everything but values. */
static inline struct model shape_model(const struct variant *v, const struct setup *s) {
    struct model m = create_model(v);
    if (s->compact) {
        uint32_t ids[1024];
        int64_t n = 0;
        for (uint32_t id = 0; id < (uint32_t)v->sizes.vocab; id += 2) ids[n++] = id;
        ok(model_compact(&m, ids, n, &e));
    }
    if (s->lora) ok(lora_attach(&m, s->lora, &e));
    ok(model_set_storage(&m, s->storage, &e));
    ok(model_reserve(&m, &e));
    return m;
}

static inline struct model open_setup(const struct variant *v, const struct setup *s) {
    struct model m = shape_model(v, s);
    fill_values(&m, 7);
    return m;
}

/* The same network, all weights plain f32: as probe p sees them, or (NULL) as they are stored. */
static inline struct model written_out(const struct variant *v, const struct setup *s,
                                       const struct model *m, const struct probe *p) {
    struct setup plain = *s;
    plain.storage = DT_F32;
    struct model w = shape_model(v, &plain);
    assert_int_equal(w.n_params, m->n_params);
    for (int i = 0; i < m->n_params; i++) {
        const struct param *from = m->params + i;
        float *x = values_of(from);
        if (p) direction_add(&p->dir, x, x, p->eps, i, 0, 0, param_count(from));
        memcpy(w.params[i].data, x, (size_t)param_count(from) * sizeof *x);
        free(x);
    }
    return w;
}

/* All parameters' bytes, one after another; malloc()ed. */
static inline size_t bytes_of(const struct param *p) {
    return dtype_bytes(p->dtype, (size_t)param_count(p));
}

static inline char *all_bytes(const struct model *m) {
    char *all = malloc(model_weight_bytes(m)), *at = all;
    for (int i = 0; i < m->n_params; at += bytes_of(m->params + i++))
        memcpy(at, m->params[i].data, bytes_of(m->params + i));
    return all;
}

static inline void assert_bytes(const char *what, const struct model *m, const char *all) {
    for (int i = 0; i < m->n_params; all += bytes_of(m->params + i++))
        if (memcmp(all, m->params[i].data, bytes_of(m->params + i)))
            fail_msg("%s: %s has changed", what, m->params[i].name);
}

static inline void assert_same_models(const char *what, const struct model *a,
                                      const struct model *b) {
    char *all = all_bytes(a);
    assert_int_equal(a->n_params, b->n_params);
    assert_bytes(what, b, all);
    free(all);
}

/* ---- engines --------------------------------------------------------------------------------- */

/* A text that an engine's micro-batches are cut from. */
struct text {
    struct tokens t;
    int64_t B, T;
};

static inline struct text text_of(const struct model *m, int64_t rows, int64_t T) {
    return (struct text){tokens_of(m, rows * T, 3), rows, T};
}

static inline void text_free(struct text *t) {
    tokens_free(&t->t);
}

/* Micro-batch `micro` of B sequences. */
static inline void text_fill(void *ctx, int64_t micro, struct engine_batch *b) {
    const struct text *t = ctx;
    const size_t n = (size_t)(t->B * t->T);
    assert_true((micro + 1) * t->B * t->T <= t->t.n);
    memcpy(b->input, t->t.input + micro * t->B * t->T, n * sizeof *b->input);
    memcpy(b->target, t->t.target + micro * t->B * t->T, n * sizeof *b->target);
}

static inline struct engine_opts mezo_opts(const struct machine *g, const char *optimizer,
                                           const char *estimator, int64_t B, int64_t T) {
    struct engine_opts o = {.batch = B,
                            .seq = T,
                            .machine = g,
                            .hyper = opt_hyper_of(opt_find(optimizer)),
                            .estimator = zo_find(estimator),
                            .directions = 1,
                            .eps = 1e-3,
                            .seed = 11,
                            .max_accum = 4};
    o.hyper.seed = 11;
    return o;
}

/* Updates first, first + 1, ... of an engine opened for them; the last one's report. */
static inline struct engine_step run_steps(struct engine *g, struct text *t, int64_t first,
                                           int64_t n, int64_t accum, double lr) {
    struct engine_step s = {0};
    for (int64_t k = first; k < first + n; k++) {
        s = (struct engine_step){.step = k, .accum = accum, .lr = lr, .fill = text_fill, .ctx = t};
        g->kind->step(g, &s);
        assert_true(s.finite);
    }
    return s;
}

#endif
