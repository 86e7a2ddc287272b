/* What the tests of model files share: a small decoder, and opening bytes as a file. */
#ifndef DUET_MODEL_FIXTURE_H
#define DUET_MODEL_FIXTURE_H

#include "folder_fixture.h"

#include "arch.h"
#include "model_files.h"
#include "rng.h"
#include <jansson.h>
#include <math.h>

/* A decoder small enough to damage at every bit: 2 layers, 2 heads of 4, 1 kv head. */
enum { DIM = 8, HIDDEN = 3, LAYERS = 2, HEADS = 2, KV = 1, HD = 4, VOCAB = 5, SEQ = 6 };
enum { KV_DIM = KV * HD };
#define LAYER_COUNT (2 * DIM * DIM + 2 * KV_DIM * DIM + 3 * HIDDEN * DIM + 2 * DIM)
#define TIED_COUNT (LAYERS * LAYER_COUNT + DIM + VOCAB * DIM)

static const char config[] =
    "{\"model_type\":\"llama\",\"hidden_size\":8,\"intermediate_size\":3,\"num_hidden_layers\":2,"
    "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"head_dim\":4,\"vocab_size\":5,"
    "\"max_position_embeddings\":6,\"rms_norm_eps\":1e-05,\"rope_theta\":10000.0,"
    "\"hidden_act\":\"silu\",\"tie_word_embeddings\":%s%s}";

static inline uint8_t *slurp(const char *path, size_t *size) {
    struct file_map m;
    assert_int_equal(file_map_open(&m, path, &e), 0);
    uint8_t *copy = malloc(m.size + 1);
    memcpy(copy, m.data, m.size);
    *size = m.size;
    file_map_close(&m);
    return copy;
}

/* Opens bytes as if they were the file "mem": in a block of exactly that size, so that the address
 * sanitizer sees a read past the end. */
static inline int open_bytes(struct model_file *mf, const void *data, size_t size, bool verify) {
    uint8_t *copy = malloc(size ? size : 1);
    if (size) memcpy(copy, data, size);
    struct file_map map = {.data = copy, .size = size, .path = strdup("mem")};
    e = (struct err){0};
    return model_file_open_map(mf, &map, verify, &e);
}

static inline void assert_refused(const void *data, size_t size, bool verify, const char *because) {
    struct model_file mf;
    int rc = open_bytes(&mf, data, size, verify);
    if (rc != ERR_INPUT || strncmp(e.msg, "mem: ", 5) != 0 || !strstr(e.msg, because))
        fail_msg("expected ERR_INPUT and \"%s\", got %d and \"%s\"", because, rc, e.msg);
    assert_null(mf.tensors); /* and nothing is left open */
}

static float pool[TIED_COUNT + VOCAB * DIM];

static inline void add(struct model_file *mf, const char *name, uint64_t rows, uint64_t cols,
                       float **next) {
    struct mf_tensor t = {.dtype = DT_F32, .ndim = cols ? 2 : 1, .shape = {rows, cols}};
    char copy[64];
    snprintf(copy, sizeof copy, "%s", name);
    t.name = copy;
    t.data = *next;
    *next += rows * (cols ? cols : 1);
    assert_int_equal(model_file_add(mf, &t, &e), 0);
}

static inline void build(struct model_file *mf, bool tied, const char *extra) {
    static const struct {
        const char *name;
        uint64_t rows, cols;
    } parts[] = {{"input_layernorm", DIM, 0},       {"self_attn.q_proj", DIM, DIM},
                 {"self_attn.k_proj", KV_DIM, DIM}, {"self_attn.v_proj", KV_DIM, DIM},
                 {"self_attn.o_proj", DIM, DIM},    {"post_attention_layernorm", DIM, 0},
                 {"mlp.gate_proj", HIDDEN, DIM},    {"mlp.up_proj", HIDDEN, DIM},
                 {"mlp.down_proj", DIM, HIDDEN}};
    struct rng r = rng_make(1, RNG_TEST, 0, 0, 0);
    for (size_t i = 0; i < sizeof pool / sizeof *pool; i++) pool[i] = (float)rng_normal(&r);
    pool[3] = -0.0f; /* weights are bits: nothing may be lost, whatever they are */
    pool[4] = -0.0f;
    pool[5] = 1e-42f;
    float *next = pool;
    *mf = (struct model_file){.archs = &arch_parts};
    add(mf, "model.embed_tokens.weight", VOCAB, DIM, &next);
    for (int l = 0; l < LAYERS; l++)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            char name[64];
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, parts[i].name);
            add(mf, name, parts[i].rows, parts[i].cols, &next);
        }
    add(mf, "model.norm.weight", DIM, 0, &next);
    if (!tied) add(mf, "lm_head.weight", VOCAB, DIM, &next);
    mf->config = malloc(sizeof config + 200);
    snprintf(mf->config, sizeof config + 200, config, tied ? "true" : "false", extra);
}

/* Every tensor of a is in b, with the same shape and, as f32 in split halves, the same bits. */
static inline void assert_same_weights(const struct model_file *a, const struct model_file *b) {
    assert_int_equal(a->n_tensors, b->n_tensors);
    for (size_t i = 0; i < a->n_tensors; i++) {
        const struct mf_tensor *s = &a->tensors[i], *t = model_file_find(b, s->name);
        assert_non_null(t);
        assert_int_equal(s->ndim, t->ndim);
        assert_memory_equal(s->shape, t->shape, sizeof(uint64_t) * (size_t)s->ndim);
        uint64_t n = mf_tensor_count(s);
        float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
        mf_tensor_read(s, x);
        mf_tensor_read(t, y);
        assert_memory_equal(x, y, n * sizeof *x);
        free(x);
        free(y);
    }
}

static inline json_t *parsed(const char *text) {
    json_error_t je;
    json_t *j = json_loads(text, 0, &je);
    assert_non_null(j);
    return j;
}

static inline void assert_same_json(const char *a, const char *b) {
    json_t *x = parsed(a), *y = parsed(b);
    assert_true(json_equal(x, y));
    json_decref(x);
    json_decref(y);
}

/* Random bits as numbers: no block of n elements has an exponent or scale of all ones. */
static inline void make_finite(enum dtype t, uint8_t *p, size_t n) {
    const size_t block = (size_t)dtype_row(t)->block, bytes = (size_t)dtype_row(t)->bytes;
    for (size_t i = 0; i < n / block; i++, p += bytes)
        for (size_t k = 0; k < bytes && !dtype_finite(t, p, block); k++) p[k] &= 0xbf;
}

/* One tensor of each type, odd sizes, 1 and 2 dimensions, a tokenizer, meta. */
static inline void build_mixed(struct model_file *mf) {
    static uint8_t bytes[DT_COUNT][4 * 5 * 256];
    static const char tokenizer[] = "any bytes\0\xff";
    struct rng r = rng_make(2, RNG_TEST, 0, 0, 0);
    *mf = (struct model_file){.archs = &arch_parts};
    for (int d = 0; d < DT_COUNT; d++) {
        for (size_t i = 0; i < sizeof bytes[d]; i++) bytes[d][i] = (uint8_t)rng_next(&r);
        make_finite((enum dtype)d, bytes[d],
                    sizeof bytes[d] / (size_t)dtype_row((enum dtype)d)->bytes *
                        (size_t)dtype_row((enum dtype)d)->block);
        char name[] = "t\xc3\xa9_0";
        name[4] = (char)('0' + d);
        struct mf_tensor t = {.name = name,
                              .dtype = (enum dtype)d,
                              .ndim = 1 + d % 2,
                              .shape = {5, d % 2 ? 7 : 0},
                              .data = bytes[d]};
        if (dtype_row(t.dtype)->block > 1) { /* rows of whole blocks */
            t.ndim = 2;
            t.shape[1] = (uint64_t)dtype_row(t.dtype)->block;
        }
        assert_int_equal(model_file_add(mf, &t, &e), 0);
    }
    mf->config = strdup("{\"rope_theta\":10000.0,\"eps\":1e-05,\"x\":0.35355339059327379,"
                        "\"duet\":{\"seq_len\":128}}");
    mf->meta = strdup("{\"step\":12,\"losses\":[1.5,null]}");
    mf->tokenizer = tokenizer;
    mf->tokenizer_bytes = sizeof tokenizer;
}

/* A file of each format for the damage tests; caller frees. */
static inline uint8_t *sample(const char *format, size_t *size) {
    struct model_file mf;
    if (!strcmp(format, "blzt5"))
        build_mixed(&mf);
    else
        build(&mf, !strcmp(format, "blzt4"), "");
    assert_int_equal(model_file_write(&mf, format, at("sample"), &e), 0);
    model_file_close(&mf);
    return slurp(at("sample"), size);
}

#endif
