/* What the tests of the network share: small models of every variant, the same model for the double
 * reference, random tokens, runs of exec. */
#ifndef DUET_LLAMA_FIXTURE_H
#define DUET_LLAMA_FIXTURE_H

#include "machine_fixture.h"

#include "exec.h"
#include "model.h"
#include "op.h"
#include "ref_llama.h"
#include "rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sizes of a test; head_dim need not be dim / heads. */
struct sizes {
    int dim, hidden, layers, heads, kv_heads, head_dim, vocab;
};

struct variant {
    const char *name, *arch, *more; /* more: further JSON members, each with a comma in front */
    struct sizes sizes;
    bool tied;
};

#define ALL_ON                                                                                     \
    ",\"attention_bias\":true,\"duet\":{\"qk_norm\":true,\"residual_scale\":0.35,\"logit_"         \
    "softcap\":3}"

/* Every option alone, then all of them; qkv of different widths, vocabularies below, at and above
 * one panel of the classifier. */
static const struct variant variants[] = {
    {"llama tied", "llama", "", {24, 40, 2, 4, 4, 6, 50}, true},
    {"llama untied", "llama", "", {24, 40, 2, 4, 4, 6, 50}, false},
    {"GQA", "llama", "", {24, 40, 2, 6, 2, 4, 256}, true},
    {"one kv head", "llama", "", {20, 33, 1, 5, 1, 4, 17}, false},
    {"qwen2 bias", "qwen2", "", {24, 40, 2, 4, 2, 6, 50}, true},
    {"qwen3 QK-norm", "qwen3", "", {24, 40, 2, 4, 2, 10, 50}, true},
    {"residual scale",
     "llama",
     ",\"duet\":{\"residual_scale\":0.35}",
     {24, 40, 2, 4, 2, 6, 50},
     true},
    {"softcap", "llama", ",\"duet\":{\"logit_softcap\":30}", {24, 40, 1, 4, 2, 6, 260}, true},
    {"all together", "qwen3", ALL_ON, {22, 35, 2, 6, 2, 8, 260}, false},
    {"all together, tied", "qwen2", ALL_ON, {22, 35, 2, 3, 1, 2, 260}, true},
    {"two RoPE bases",
     "llama",
     ",\"duet\":{\"rope_local_theta\":50,\"rope_global_every\":2}",
     {24, 40, 2, 4, 2, 6, 50},
     true},
    {"value embeddings",
     "qwen3",
     ",\"duet\":{\"value_embeds\":true}",
     {20, 20, 3, 4, 2, 8, 50},
     false},
    {"ReLU squared, no gate", "arcee", "", {24, 40, 2, 4, 2, 6, 50}, true},
};
enum { N_VARIANTS = sizeof variants / sizeof *variants };

/* Random weights; norms around one and biases around zero, so that they matter. */
static inline void randomize(struct model *m, uint64_t seed) {
    ok(model_init(m, seed, &e));
    struct rng r = rng_make(seed, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < m->n_params; i++) {
        struct param *p = m->params + i;
        float *w = p->data;
        for (int64_t k = 0; k < param_count(p); k++) {
            if (p->role == ROLE_norm) w[k] = (float)(1 + 0.3 * rng_normal(&r));
            if (p->role == ROLE_bias) w[k] = (float)(0.5 * rng_normal(&r));
            if (p->role == ROLE_embed) w[k] = (float)(0.4 * rng_normal(&r));
        }
    }
}

/* Tables only: no weights yet. */
static inline struct model create_model(const struct variant *v) {
    char json[1024];
    struct model_config c;
    struct model m;
    const struct sizes *s = &v->sizes;
    const int n =
        snprintf(json, sizeof json,
                 "{\"model_type\":\"%s\",\"hidden_size\":%d,\"intermediate_size\":%d,"
                 "\"num_hidden_layers\":%d,\"num_attention_heads\":%d,\"num_key_value_heads\":%d,"
                 "\"head_dim\":%d,\"vocab_size\":%d,\"max_position_embeddings\":512,"
                 "\"rms_norm_eps\":1e-5,\"rope_theta\":10000,\"tie_word_embeddings\":%s%s}",
                 v->arch, s->dim, s->hidden, s->layers, s->heads, s->kv_heads, s->head_dim,
                 s->vocab, v->tied ? "true" : "false", v->more);
    assert_in_range(n, 1, sizeof json - 1);
    ok(model_config_parse(&c, json, (size_t)n, v->name, NULL, &e));
    ok(model_create(&m, &c, &e));
    return m;
}

static inline struct model model_of(const struct variant *v) {
    struct model m = create_model(v);
    ok(model_reserve(&m, &e));
    randomize(&m, 7);
    return m;
}

/* Gradient buffers for every parameter. */
static inline void add_grads(struct model *m) {
    for (int i = 0; i < m->n_params; i++)
        m->params[i].grad = calloc((size_t)param_count(m->params + i), sizeof(float));
}

static inline void close_model(struct model *m) {
    for (int i = 0; i < m->n_params; i++) free(m->params[i].grad);
    model_close(m);
}

/* The same network with the same weights in double; every parameter has its row. */
static inline struct ref_model ref_of(const struct model *m) {
    const struct model_config *c = &m->config;
    struct ref_model r;
    ref_model_init(&r, &(struct ref_config){.dim = (int)c->dim,
                                            .hidden = (int)c->hidden,
                                            .layers = (int)c->layers,
                                            .heads = (int)c->heads,
                                            .kv_heads = (int)c->kv_heads,
                                            .head_dim = (int)c->head_dim,
                                            .vocab = (int)c->vocab,
                                            .rope_theta = c->theta,
                                            .eps = c->eps,
                                            .tied = c->tied,
                                            .qk_norm = c->qk_norm,
                                            .qkv_bias = c->attention_bias,
                                            .residual_scale = c->residual_scale,
                                            .softcap = c->softcap,
                                            .rope_local_theta = c->local_theta,
                                            .rope_global_every = (int)c->global_every,
                                            .value_embeds = c->value_embeds,
                                            .relu2 = !strcmp(c->arch, "arcee")});
    assert_int_equal(r.n_params, m->n_params);
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        struct ref_param *q = ref_model_find(&r, p->name);
        if (!q) fail_msg("the reference has no %s", p->name);
        assert_int_equal(q->rows * q->cols, param_count(p));
        for (int64_t k = 0; k < param_count(p); k++)
            q->data[k] = (double)((const float *)p->data)[k];
    }
    return r;
}

/* Inputs and targets, (B,T) each, random. */
struct tokens {
    int64_t n;
    uint32_t *input, *target;
    float *nll;
};

static inline struct tokens tokens_of(const struct model *m, int64_t n, uint64_t seed) {
    struct tokens t = {n, malloc((size_t)n * 4), malloc((size_t)n * 4), malloc((size_t)n * 4)};
    struct rng r = rng_make(seed, RNG_TEST, 1, 0, 0);
    for (int64_t i = 0; i < n; i++) {
        t.input[i] = (uint32_t)rng_below(&r, (uint64_t)m->config.vocab);
        t.target[i] = (uint32_t)rng_below(&r, (uint64_t)m->config.vocab);
    }
    return t;
}

static inline void tokens_free(struct tokens *t) {
    free(t->input);
    free(t->target);
    free(t->nll);
}

/* One run in fresh memory, first filled with NaN: nothing may depend on what is left there. */
static inline void run(struct model *m, const struct machine *g, const struct exec_opts *o,
                       struct tokens *t) {
    struct exec x;
    ok(exec_open(&x, &m->graph, g, o, &e));
    memset(x.mem.base, 0xff, x.mem.size);
    const struct batch b = {.B = o->B,
                            .T = o->T,
                            .input = t->input,
                            .target = t->target,
                            .nll = t->nll,
                            .grad_scale = 1.0 / (double)(o->B * o->T)};
    exec_run(&x, &b);
    exec_close(&x);
}

static inline double mean(const float *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    return sum / (double)n;
}

/* All gradients one after another, malloc()ed. */
static inline float *all_grads(const struct model *m, int64_t *n) {
    float *all = malloc((size_t)model_param_count(m) * sizeof *all);
    *n = 0;
    for (int i = 0; i < m->n_params; i++) {
        memcpy(all + *n, m->params[i].grad, (size_t)param_count(m->params + i) * sizeof *all);
        *n += param_count(m->params + i);
    }
    return all;
}

static inline void fill_grads(struct model *m, float with) {
    for (int i = 0; i < m->n_params; i++)
        for (int64_t k = 0; k < param_count(m->params + i); k++) m->params[i].grad[k] = with;
}

#endif
