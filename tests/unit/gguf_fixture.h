/* What the tests of GGUF share: models of every architecture, a parser of the bytes that knows
 * nothing of src/format, and files put together pair by pair. */
#ifndef DUET_GGUF_FIXTURE_H
#define DUET_GGUF_FIXTURE_H

#include "model_fixture.h"

enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 };

#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        if ((expr) != 0) fail_msg("%s", e.msg);                                                    \
    } while (0)

/* ---- models --------------------------------------------------------------------------------- */

struct spec {
    const char *arch;
    int dim, hidden, heads, kv, hd, vocab, layers;
    bool tied, bias, qk_norm, no_gate;
    enum dtype dtype; /* of matrices; 0 is f32 */
};

#define SPEC(name, ...) static const struct spec name##_spec = {.arch = #name, __VA_ARGS__}
#define SIZES(d, h, n, k, s, v, l)                                                                 \
    .dim = d, .hidden = h, .heads = n, .kv = k, .hd = s, .vocab = v, .layers = l
SPEC(llama, SIZES(32, 64, 4, 2, 8, 7, 2), .tied = true);
SPEC(qwen2, SIZES(32, 32, 2, 1, 16, 6, 2), .tied = true, .bias = true);
SPEC(qwen3, SIZES(32, 64, 2, 1, 32, 5, 1), .qk_norm = true);
SPEC(arcee, SIZES(32, 64, 4, 2, 8, 5, 2), .tied = true, .no_gate = true);
#undef SPEC
#undef SIZES

static uint8_t *weights; /* of the model that was built last */
static size_t weights_used;

static inline const void *make_data(enum dtype t, size_t n, struct rng *r) {
    const size_t bytes = dtype_bytes(t, n);
    uint8_t *p = weights + weights_used;
    float *x = malloc(n * sizeof *x);
    weights_used += (bytes + 63) / 64 * 64;
    assert_true(weights_used <= 1 << 22);
    for (size_t i = 0; i < n; i++) x[i] = (float)rng_normal(r);
    if (t == DT_F32 || t == DT_F16 || t == DT_BF16 || t == DT_Q8_0 || t == DT_Q4_0)
        dtype_from_f32(t, x, p, n);
    else
        for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)rng_next(r);
    make_finite(t, p, n);
    free(x);
    return p;
}

static inline void put_tensor(struct model_file *mf, struct rng *r, enum dtype t, int rows,
                              int cols, int layer, const char *name) {
    char full[128];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "model.layers.%d.%s", layer, name);
    const struct mf_tensor m = {.name = full,
                                .dtype = t,
                                .ndim = cols ? 2 : 1,
                                .shape = {(uint64_t)rows, (uint64_t)cols},
                                .data = make_data(t, (size_t)rows * (size_t)(cols ? cols : 1), r)};
    assert_ok(model_file_add(mf, &m, &e));
}

static inline void build_layer(struct model_file *mf, const struct spec *s, int l, struct rng *r) {
    const int q = s->heads * s->hd, kv = s->kv * s->hd;
    const struct {
        const char *name;
        int rows, cols;
        bool there;
    } parts[] = {{"self_attn.q_proj.weight", q, s->dim, true},
                 {"self_attn.k_proj.weight", kv, s->dim, true},
                 {"self_attn.v_proj.weight", kv, s->dim, true},
                 {"self_attn.o_proj.weight", s->dim, q, true},
                 {"mlp.gate_proj.weight", s->hidden, s->dim, !s->no_gate},
                 {"mlp.up_proj.weight", s->hidden, s->dim, true},
                 {"mlp.down_proj.weight", s->dim, s->hidden, true},
                 {"input_layernorm.weight", s->dim, 0, true},
                 {"post_attention_layernorm.weight", s->dim, 0, true},
                 {"self_attn.q_proj.bias", q, 0, s->bias},
                 {"self_attn.k_proj.bias", kv, 0, s->bias},
                 {"self_attn.v_proj.bias", kv, 0, s->bias},
                 {"self_attn.q_norm.weight", s->hd, 0, s->qk_norm},
                 {"self_attn.k_norm.weight", s->hd, 0, s->qk_norm}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].there)
            put_tensor(mf, r, parts[i].cols ? s->dtype : DT_F32, parts[i].rows, parts[i].cols, l,
                       parts[i].name);
}

/* Every key of a config that a GGUF file gives back; extra: further keys, each after a comma. */
static inline void build_model(struct model_file *mf, const struct spec *s, const char *extra) {
    struct rng r = rng_make(3, RNG_TEST, 0, 0, 0);
    if (!weights) weights = malloc(1 << 22);
    weights_used = 0;
    *mf = (struct model_file){.archs = &arch_parts};
    put_tensor(mf, &r, s->dtype, s->vocab, s->dim, -1, "model.embed_tokens.weight");
    put_tensor(mf, &r, DT_F32, s->dim, 0, -1, "model.norm.weight");
    for (int l = 0; l < s->layers; l++) build_layer(mf, s, l, &r);
    if (!s->tied) put_tensor(mf, &r, s->dtype, s->vocab, s->dim, -1, "lm_head.weight");
    mf->config = malloc(4096);
    snprintf(mf->config, 4096,
             "{\"model_type\":\"%s\",\"hidden_size\":%d,\"intermediate_size\":%d,"
             "\"num_hidden_layers\":%d,\"num_attention_heads\":%d,\"num_key_value_heads\":%d,"
             "\"head_dim\":%d,\"vocab_size\":%d,\"max_position_embeddings\":77,"
             "\"rms_norm_eps\":1e-06,\"rope_theta\":500000.0,\"hidden_act\":\"%s\","
             "\"tie_word_embeddings\":%s%s}",
             s->arch, s->dim, s->hidden, s->layers, s->heads, s->kv, s->hd, s->vocab,
             parts_act(parts_find(&arch_parts, s->arch)), s->tied ? "true" : "false", extra);
}

/* Same names, shapes, types and, row by row in Hugging Face's order, bytes. */
static inline void assert_same_tensors(const struct model_file *a, const struct model_file *b) {
    assert_int_equal(a->n_tensors, b->n_tensors);
    for (size_t i = 0; i < a->n_tensors; i++) {
        struct mf_tensor s = a->tensors[i], t;
        assert_non_null(model_file_find(b, s.name));
        t = *model_file_find(b, s.name);
        assert_int_equal(s.ndim, t.ndim);
        assert_int_equal(s.dtype, t.dtype);
        assert_memory_equal(s.shape, t.shape, sizeof(uint64_t) * (size_t)s.ndim);
        if (s.ndim == 1) s.shape[1] = t.shape[1] = 1; /* a column */
        const size_t bytes = dtype_bytes(s.dtype, s.shape[1]);
        for (uint64_t r = 0; r < s.shape[0]; r++)
            assert_memory_equal(mf_tensor_row(&s, r), mf_tensor_row(&t, r), bytes);
    }
}

/* ---- a parser of its own -------------------------------------------------------------------- */

struct mini_kv {
    char key[128];
    uint32_t type, item;
    uint64_t n;
    const uint8_t *value;
};

struct mini_tensor {
    char name[128];
    uint32_t n_dims, type;
    uint64_t ne[4], offset;
    const uint8_t *data;
};

struct mini {
    uint8_t *bytes;
    size_t size;
    struct mini_kv kv[64];
    struct mini_tensor t[64];
    uint64_t n_kv, n_t;
};

static inline uint64_t le(const uint8_t **p, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v |= (uint64_t)(*p)[i] << 8 * i;
    *p += n;
    return v;
}

static inline void le_text(const uint8_t **p, char to[128]) {
    const uint64_t n = le(p, 8);
    memset(to, 0, 128);
    memcpy(to, *p, n < 127 ? n : 127);
    *p += n;
}

static inline void le_skip(const uint8_t **p, uint32_t type) {
    static const int bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    char ignored[128];
    if (type == STRING)
        le_text(p, ignored);
    else
        *p += bytes[type];
}

/* Offsets rise in the order of the tensors, and every one is padded, the last too. */
static inline void mini_read(struct mini *m, const char *path) {
    m->bytes = slurp(path, &m->size);
    const uint8_t *p = m->bytes;
    assert_memory_equal(p, "GGUF\3\0\0\0", 8);
    p += 8;
    m->n_t = le(&p, 8);
    m->n_kv = le(&p, 8);
    assert_true(m->n_kv <= 64 && m->n_t <= 64);
    for (uint64_t i = 0; i < m->n_kv; i++) {
        struct mini_kv *k = m->kv + i;
        le_text(&p, k->key);
        k->type = k->item = (uint32_t)le(&p, 4);
        k->n = 1;
        if (k->type == ARRAY) {
            k->item = (uint32_t)le(&p, 4);
            k->n = le(&p, 8);
            assert_true(k->n > 0);
        }
        k->value = p;
        for (uint64_t j = 0; j < k->n; j++) le_skip(&p, k->item);
    }
    for (uint64_t i = 0; i < m->n_t; i++) {
        struct mini_tensor *t = m->t + i;
        le_text(&p, t->name);
        t->n_dims = (uint32_t)le(&p, 4);
        for (uint32_t d = 0; d < 4; d++) t->ne[d] = d < t->n_dims ? le(&p, 8) : 1;
        t->type = (uint32_t)le(&p, 4);
        t->offset = le(&p, 8);
    }
    size_t at = ((size_t)(p - m->bytes) + 31) / 32 * 32;
    const size_t start = at;
    for (uint64_t i = 0; i < m->n_t; i++) {
        static const int type[] = {DT_F32, DT_F16,  DT_Q4_0, DT_Q4_1, -1,
                                   -1,     DT_Q5_0, DT_Q5_1, DT_Q8_0, -1,
                                   -1,     -1,      DT_Q4_K, DT_Q5_K, DT_Q6_K};
        struct mini_tensor *t = m->t + i;
        const int dtype = t->type == 30 ? DT_BF16 : type[t->type];
        assert_true(dtype >= 0);
        assert_int_equal(t->offset, at - start);
        t->data = m->bytes + at;
        at += (dtype_bytes((enum dtype)dtype, t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]) + 31) /
              32 * 32;
    }
    assert_int_equal(at, m->size);
}

static inline const struct mini_kv *mini_find(const struct mini *m, const char *key) {
    for (uint64_t i = 0; i < m->n_kv; i++)
        if (!strcmp(m->kv[i].key, key)) return m->kv + i;
    return NULL;
}

static inline const struct mini_tensor *mini_tensor(const struct mini *m, const char *name) {
    for (uint64_t i = 0; i < m->n_t; i++)
        if (!strcmp(m->t[i].name, name)) return m->t + i;
    return NULL;
}

static inline void expect_u32(const struct mini *m, const char *key, uint32_t v) {
    const struct mini_kv *k = mini_find(m, key);
    if (!k) fail_msg("no key %s", key);
    const uint8_t *p = k->value;
    assert_int_equal(k->type, U32);
    assert_int_equal(le(&p, 4), v);
}

static inline void expect_f32(const struct mini *m, const char *key, float v) {
    const struct mini_kv *k = mini_find(m, key);
    if (!k) fail_msg("no key %s", key);
    assert_int_equal(k->type, F32);
    assert_memory_equal(k->value, &v, 4);
}

static inline void expect_bool(const struct mini *m, const char *key, bool v) {
    const struct mini_kv *k = mini_find(m, key);
    if (!k) fail_msg("no key %s", key);
    assert_int_equal(k->type, BOOL);
    assert_int_equal(*k->value, v);
}

static inline void expect_text(const struct mini *m, const char *key, const char *v) {
    const struct mini_kv *k = mini_find(m, key);
    char text[128];
    if (!k) fail_msg("no key %s", key);
    const uint8_t *p = k->value;
    assert_int_equal(k->type, STRING);
    le_text(&p, text);
    assert_string_equal(text, v);
}

/* Text number i of an array. */
static inline void expect_item(const struct mini *m, const char *key, uint64_t i, const char *v) {
    const struct mini_kv *k = mini_find(m, key);
    char text[128];
    assert_non_null(k);
    assert_true(k->type == ARRAY && k->item == STRING && i < k->n);
    const uint8_t *p = k->value;
    for (uint64_t j = 0; j <= i; j++) le_text(&p, text);
    assert_string_equal(text, v);
}

/* ---- files put together --------------------------------------------------------------------- */

struct pair {
    const char *key;
    uint32_t type;
    uint8_t value[160];
    size_t n;
};

struct info {
    const char *name;
    uint32_t n_dims, type;
    uint64_t ne[8], offset;
};

/* A file that can be spoiled anywhere. */
struct parts {
    uint32_t version;
    struct pair kv[48];
    struct info t[32];
    size_t n_kv, n_t;
    uint64_t said_kv, said_t; /* written instead, if not 0 */
    size_t data;              /* bytes */
    size_t align;
};

static inline struct pair *pair_of(struct parts *f, const char *key) {
    for (size_t i = 0; i < f->n_kv; i++)
        if (!strcmp(f->kv[i].key, key)) return f->kv + i;
    f->kv[f->n_kv] = (struct pair){.key = key};
    return f->kv + f->n_kv++;
}

static inline void set_raw(struct parts *f, const char *key, uint32_t type, const void *v,
                           size_t n) {
    struct pair *p = pair_of(f, key);
    p->type = type;
    p->n = n;
    assert_true(n <= sizeof p->value);
    if (n) memcpy(p->value, v, n);
}

static inline void set_u32(struct parts *f, const char *key, uint32_t v) {
    set_raw(f, key, U32, &v, 4);
}

static inline void set_f32(struct parts *f, const char *key, float v) {
    set_raw(f, key, F32, &v, 4);
}

static inline void set_bool(struct parts *f, const char *key, uint8_t v) {
    set_raw(f, key, BOOL, &v, 1);
}

static inline size_t text_bytes(uint8_t *to, const char *s) {
    const uint64_t n = strlen(s);
    memcpy(to, &n, 8);
    memcpy(to + 8, s, n);
    return 8 + n;
}

static inline void set_text(struct parts *f, const char *key, const char *s) {
    uint8_t v[160];
    set_raw(f, key, STRING, v, text_bytes(v, s));
}

/* An array of plain values, or of n texts one after the other with NULs behind them. */
static inline void set_array(struct parts *f, const char *key, uint32_t item, uint64_t n,
                             const void *values, size_t bytes) {
    uint8_t v[160];
    memcpy(v, &item, 4);
    memcpy(v + 4, &n, 8);
    size_t at = 12;
    const char *s = values;
    if (item != STRING && bytes) memcpy(v + at, values, bytes);
    if (item != STRING) at += bytes;
    for (uint64_t i = 0; item == STRING && i < n; i++, s += strlen(s) + 1)
        at += text_bytes(v + at, s);
    set_raw(f, key, ARRAY, v, at);
}

static inline void drop_key(struct parts *f, const char *key) {
    struct pair *p = pair_of(f, key);
    *p = f->kv[--f->n_kv];
}

static inline uint8_t *render(const struct parts *f, size_t *size) {
    uint8_t *out = calloc(1, 65536 + f->data), *p = out + 24;
    const uint64_t n_t = f->said_t ? f->said_t : f->n_t, n_kv = f->said_kv ? f->said_kv : f->n_kv;
    memcpy(out, "GGUF", 4);
    memcpy(out + 4, &f->version, 4);
    memcpy(out + 8, &n_t, 8);
    memcpy(out + 16, &n_kv, 8);
    for (size_t i = 0; i < f->n_kv; i++) {
        p += text_bytes(p, f->kv[i].key);
        memcpy(p, &f->kv[i].type, 4);
        memcpy(p + 4, f->kv[i].value, f->kv[i].n);
        p += 4 + f->kv[i].n;
    }
    for (size_t i = 0; i < f->n_t; i++) {
        const struct info *t = f->t + i;
        p += text_bytes(p, t->name);
        memcpy(p, &t->n_dims, 4);
        p += 4;
        for (uint32_t d = 0; d < t->n_dims && d < 8; d++, p += 8) memcpy(p, &t->ne[d], 8);
        memcpy(p, &t->type, 4);
        memcpy(p + 4, &t->offset, 8);
        p += 12;
    }
    const size_t at = ((size_t)(p - out) + f->align - 1) / f->align * f->align;
    for (size_t i = 0; i < f->data; i++) out[at + i] = (uint8_t)(i % 4 == 3 ? 0x3f : i);
    *size = at + f->data;
    return out;
}

/* A tensor behind the last. */
static inline void add_info(struct parts *f, const char *name, uint64_t ne0, uint64_t ne1) {
    f->t[f->n_t++] = (struct info){name, ne1 ? 2 : 1, 0, {ne0, ne1 ? ne1 : 1}, f->data};
    f->data += (4 * ne0 * (ne1 ? ne1 : 1) + f->align - 1) / f->align * f->align;
}

/* One layer of 8, 2 heads of 4, a vocabulary of 3. */
static inline void small_file(struct parts *f) {
    *f = (struct parts){.version = 3, .align = 32};
    set_text(f, "general.architecture", "llama");
    set_u32(f, "llama.context_length", 16);
    set_u32(f, "llama.embedding_length", 8);
    set_u32(f, "llama.block_count", 1);
    set_u32(f, "llama.feed_forward_length", 5);
    set_u32(f, "llama.attention.head_count", 2);
    set_f32(f, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    set_text(f, "tokenizer.ggml.model", "llama");
    set_array(f, "tokenizer.ggml.tokens", STRING, 3, "<unk>\0<s>\0</s>", 0);
    set_array(f, "tokenizer.ggml.scores", F32, 3, (float[]){0, -1, -2}, 12);
    set_array(f, "tokenizer.ggml.token_type", I32, 3, (int32_t[]){2, 3, 3}, 12);
    add_info(f, "token_embd.weight", 8, 3);
    add_info(f, "blk.0.attn_norm.weight", 8, 0);
    add_info(f, "blk.0.attn_q.weight", 8, 8);
    add_info(f, "blk.0.attn_k.weight", 8, 8);
    add_info(f, "blk.0.attn_v.weight", 8, 8);
    add_info(f, "blk.0.attn_output.weight", 8, 8);
    add_info(f, "blk.0.ffn_norm.weight", 8, 0);
    add_info(f, "blk.0.ffn_gate.weight", 8, 5);
    add_info(f, "blk.0.ffn_up.weight", 8, 5);
    add_info(f, "blk.0.ffn_down.weight", 5, 8);
    add_info(f, "output_norm.weight", 8, 0);
}

static inline int open_parts(struct model_file *mf, const struct parts *f) {
    size_t size;
    uint8_t *data = render(f, &size);
    const int rc = open_bytes(mf, data, size, false);
    free(data);
    return rc;
}

/* The weights are read, and the vocabulary is left out because of that. */
static inline void assert_left_out(const struct parts *f, const char *because) {
    struct model_file mf;
    assert_ok(open_parts(&mf, f));
    assert_null(mf.vocab);
    if (!mf.tokenizer_problem || !strstr(mf.tokenizer_problem, because))
        fail_msg("%s", mf.tokenizer_problem ? mf.tokenizer_problem : "no problem");
    model_file_close(&mf);
}

static inline void assert_bad(const struct parts *f, const char *because) {
    size_t size;
    uint8_t *data = render(f, &size);
    assert_refused(data, size, false, because);
    free(data);
}

#endif
