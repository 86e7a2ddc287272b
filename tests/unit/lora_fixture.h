/* What the tests of storage, LoRA and adapters share: a small decoder whose rows are whole q8_0
 * blocks, and files in a folder that goes away. */
#ifndef DUET_LORA_FIXTURE_H
#define DUET_LORA_FIXTURE_H

#include "folder_fixture.h"

#include "adapter.h"
#include "file.h"
#include "rng.h"
#include <math.h>

enum { DIM = 32, HIDDEN = 64, LAYERS = 2, HEADS = 4, KV = 2, HD = 8, VOCAB = 40 };

static inline void create(struct model *m, const char *init, bool tied) {
    char text[512];
    struct model_config c;
    snprintf(text, sizeof text,
             "{\"hidden_size\":%d,\"intermediate_size\":%d,\"num_hidden_layers\":%d,"
             "\"num_attention_heads\":%d,\"num_key_value_heads\":%d,\"vocab_size\":%d,"
             "\"rms_norm_eps\":1e-05,\"max_position_embeddings\":64,\"tie_word_embeddings\":%s,"
             "\"duet\":{\"init\":\"%s\"}}",
             DIM, HIDDEN, LAYERS, HEADS, KV, VOCAB, tied ? "true" : "false", init);
    ok(model_config_parse(&c, text, strlen(text), "test", NULL, &e));
    ok(model_create(m, &c, &e));
}

static inline struct param *find(const struct model *m, const char *name) {
    for (int i = 0; i < m->n_params; i++)
        if (!strcmp(m->params[i].name, name)) return m->params + i;
    fail_msg("no parameter %s", name);
    return NULL;
}

static inline size_t bytes_of(const struct param *p) {
    return dtype_bytes(p->dtype, (size_t)param_count(p));
}

/* A base of random weights (seed) as a file. */
static inline void write_base(const char *path, uint64_t seed) {
    struct model m;
    create(&m, "fan_in", true);
    ok(model_reserve(&m, &e));
    ok(model_init(&m, seed, &e));
    ok(model_save(&m, path, "blzt5", NULL, &e));
    model_close(&m);
}

static const struct lora_opts lora_default = {
    .rank = 4, .alpha = 8, .targets = "q,k,v,o", .init = "peft"};

/* The base with LoRA attached; B random, so that the correction is not 0. */
static inline void open_lora(struct model *m, const char *base, const struct lora_opts *o,
                             enum dtype t, uint64_t seed) {
    create(m, "fan_in", true);
    ok(lora_attach(m, o, &e));
    ok(model_set_storage(m, t, &e));
    ok(model_reserve(m, &e));
    ok(model_load(m, base, &e));
    lora_init(m, seed);
    struct rng g = rng_make(seed, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < m->n_params; i++) {
        float *x = m->params[i].data;
        const bool norm = o->norms && m->params[i].role == ROLE_norm;
        if (strstr(m->params[i].name, "lora_B") || norm)
            for (int64_t k = 0; k < param_count(m->params + i); k++) x[k] = (float)rng_normal(&g);
    }
}

static inline bool in_map(const struct model *m, const struct param *p) {
    const uint8_t *data = p->data;
    for (size_t i = 0; i < m->n_maps; i++)
        if (data >= m->maps[i].data && data < m->maps[i].data + m->maps[i].size) return true;
    return false;
}

/* Every member, and not the bytes between them, which hold anything. */
static inline void same_nodes(const struct graph *a, const struct graph *b) {
    static const size_t from = offsetof(struct node, theta);
    assert_int_equal(a->n_nodes, b->n_nodes);
    for (int i = 0; i < a->n_nodes; i++) {
        const struct node *x = a->nodes + i, *y = b->nodes + i;
        assert_memory_equal(x, y, offsetof(struct node, cap) + sizeof x->cap);
        assert_memory_equal(&x->theta, &y->theta, offsetof(struct node, lora_merge) - from);
        assert_int_equal(x->lora_merge, y->lora_merge);
    }
}

#endif
