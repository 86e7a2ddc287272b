/* Key-value pairs of a GGUF file to a Hugging Face config. What changes the function and has no
 * place there is refused by name; what does nothing is kept. */
#include "gguf.h"
#include "json_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_HEAD 65536

/* Keys of {arch}.* that do nothing at these values. */
static const struct {
    const char *key;
    double value, other;
} idle[] = {
    {"attention.causal", 1, 1},
    {"attention.sliding_window", 0, 0}, /* or no shorter than the context */
    {"attention.clamp_kqv", 0, 0},
    {"attention.max_alibi_bias", 0, 0},
    {"attention.scale", 0, 0},
    {"attn_logit_softcapping", 0, 0},
    {"final_logit_softcapping", 0, 0},
    {"embedding_scale", 0, 1},
    {"logit_scale", 0, 1},
    {"residual_scale", 0, 1},
    {"expert_count", 0, 0},
    {"expert_used_count", 0, 0},
    {"expert_shared_count", 0, 0},
    {"leading_dense_block_count", 0, 0},
    {"nextn_predict_layers", 0, 0},
    {"use_parallel_residual", 0, 0},
    {"rope.scaling.finetuned", 0, 1}, /* said of the weights, not computed with */
    {"rope.scaling.attn_factor", 1, 1},
};

/* The value of a number or bool; NAN of anything else. */
static double as_number(const struct gguf_kv *kv) {
    uint64_t u = 0;
    int64_t i;
    double d;
    const size_t bytes = gguf_type_bytes(kv->type);
    switch (kv->type) {
    case GGUF_F32: return (double)gguf_f32(kv->value);
    case GGUF_F64: memcpy(&d, kv->value, sizeof d); return d;
    case GGUF_STRING:
    case GGUF_ARRAY: return NAN;
    default: break;
    }
    memcpy(&u, kv->value, bytes);
    if (kv->type != GGUF_I8 && kv->type != GGUF_I16 && kv->type != GGUF_I32 && kv->type != GGUF_I64)
        return (double)u;
    u <<= 64 - 8 * bytes;
    memcpy(&i, &u, sizeof i);
    return (double)(i >> (64 - 8 * bytes));
}

/* kv is a key of this architecture, called name without it. */
static bool does_nothing(const struct gguf_kv *kv, struct vocab_text name,
                         const struct gguf_dims *d) {
    const double v = as_number(kv);
    if (gguf_text_is(name, "attention.sliding_window") && v >= (double)d->ctx) return true;
    if (gguf_text_is(name, "rope.scaling.original_context_length")) return true; /* no yarn here */
    if (gguf_text_is(name, "pooling_type")) return v == v; /* of an embedding: behind the logits */
    if (gguf_text_is(name, "tensor_data_layout") && kv->type == GGUF_STRING)
        return gguf_text_is(gguf_text(kv->value), "Meta AI original pth");
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
        if (gguf_text_is(name, idle[i].key)) return v == idle[i].value || v == idle[i].other;
    return false;
}

static int check_rest(const struct gguf *g, const struct gguf_dims *d, struct err *e) {
    const uint32_t n = (uint32_t)strlen(g->arch);
    for (size_t i = 0; i < g->n_kv; i++) {
        const struct gguf_kv *kv = g->kv + i;
        if (kv->used || kv->key.n <= n + 1 || memcmp(kv->key.s, g->arch, n) || kv->key.s[n] != '.')
            continue;
        if (!does_nothing(kv, (struct vocab_text){kv->key.s + n + 1, kv->key.n - n - 1}, d))
            return err_set(e, ERR_INPUT,
                           "%s: key %.*s at offset %" PRIu64
                           " is not known with this value, and might change what the model "
                           "computes",
                           g->path, gguf_shown(kv->key), kv->key.s, kv->offset);
    }
    return 0;
}

/* A size of every layer, in a list that must hold one value. */
static int same_of_layers(const struct gguf *g, const char *key, const struct gguf_kv *kv,
                          uint32_t layers, struct err *e) {
    if ((kv->item != GGUF_U32 && kv->item != GGUF_I32) || kv->n != layers)
        return err_set(e, ERR_INPUT,
                       "%s: key %s.%s at offset %" PRIu64 " is a list of %" PRIu64
                       " %s, expected u32, one for each of %u layers",
                       g->path, g->arch, key, kv->offset, kv->n, gguf_type_names[kv->item],
                       (unsigned)layers);
    for (uint32_t i = 1; i < layers; i++)
        if (gguf_u32(kv->value + 4 * (size_t)i) != gguf_u32(kv->value))
            return err_set(e, ERR_INPUT,
                           "%s: key %s.%s at offset %" PRIu64
                           " is %u in layer 0 and %u in layer %u; duet computes layers that are "
                           "alike",
                           g->path, g->arch, key, kv->offset, (unsigned)gguf_u32(kv->value),
                           (unsigned)gguf_u32(kv->value + 4 * (size_t)i), (unsigned)i);
    return 0;
}

static int check_size(const struct gguf *g, const char *key, bool there, uint32_t v,
                      struct err *e) {
    if (v != 0 && v <= INT32_MAX) return 0;
    return err_set(e, ERR_INPUT, "%s: key %s.%s is %s, expected 1 to %d", g->path, g->arch, key,
                   there ? v ? "too large" : "0" : "missing", INT32_MAX);
}

/* A size >= 1. def: where the key is absent (0: it must be there). */
static int read_u32(const struct gguf *g, const char *key, uint32_t def, uint32_t *v,
                    struct err *e) {
    const struct gguf_kv *kv;
    const int rc = gguf_get_arch(g, key, GGUF_U32, &kv, e);
    if (rc) return rc;
    *v = kv ? gguf_u32(kv->value) : def;
    return check_size(g, key, kv, *v, e);
}

/* The same, which may also be a list of one value for each layer, as in llama.cpp. */
static int read_of_layers(const struct gguf *g, const char *key, uint32_t def, uint32_t layers,
                          uint32_t *v, struct err *e) {
    char name[128];
    snprintf(name, sizeof name, "%s.%s", g->arch, key);
    const struct gguf_kv *kv = gguf_find(g, name);
    if (!kv || kv->type != GGUF_ARRAY) return read_u32(g, key, def, v, e);
    int rc;
    TRY(gguf_get(g, name, GGUF_ARRAY, &kv, e));
    TRY(same_of_layers(g, key, kv, layers, e));
    *v = gguf_u32(kv->value);
    TRY(check_size(g, key, true, *v, e));
out:
    return rc;
}

static int read_f32(const struct gguf *g, const char *key, float def, float *v, struct err *e) {
    const struct gguf_kv *kv;
    const int rc = gguf_get_arch(g, key, GGUF_F32, &kv, e);
    if (rc) return rc;
    *v = kv ? gguf_f32(kv->value) : def;
    if (!isfinite(*v) || *v < 0)
        return err_set(e, ERR_INPUT, "%s: key %s.%s is %s, expected a number >= 0", g->path,
                       g->arch, key, kv ? "negative or not finite" : "missing");
    return 0;
}

static int check_is(const struct gguf *g, const char *key, uint32_t v, uint32_t want,
                    struct err *e) {
    if (v == want) return 0;
    return err_set(e, ERR_INPUT, "%s: key %s.%s is %u, expected the width of a head, %u", g->path,
                   g->arch, key, (unsigned)v, (unsigned)want);
}

static int read_heads(const struct gguf *g, struct gguf_dims *d, struct err *e) {
    int rc;
    uint32_t v;
    TRY(read_of_layers(g, "attention.head_count", 0, d->layers, &d->heads, e));
    TRY(read_of_layers(g, "attention.head_count_kv", d->heads, d->layers, &d->kv_heads, e));
    TRY(read_u32(g, "attention.key_length", d->embd / d->heads, &d->head_dim, e));
    TRY(read_u32(g, "attention.value_length", d->embd / d->heads, &v, e));
    TRY(check_is(g, "attention.value_length", v, d->head_dim, e));
    TRY(read_u32(g, "rope.dimension_count", d->head_dim, &v, e));
    TRY(check_is(g, "rope.dimension_count", v, d->head_dim, e));
    if (d->heads % d->kv_heads)
        rc = err_set(e, ERR_INPUT,
                     "%s: key %s.attention.head_count is %u, no multiple of head_count_kv %u",
                     g->path, g->arch, (unsigned)d->heads, (unsigned)d->kv_heads);
    else if (d->head_dim % 2 || d->head_dim > MAX_HEAD)
        rc = err_set(e, ERR_INPUT,
                     "%s: heads are %u wide (key %s.attention.key_length), expected an even number",
                     g->path, (unsigned)d->head_dim, g->arch);
out:
    return rc;
}

/* llama.cpp takes a factor without a type for linear, and knows an older key for it. */
static int read_scaling(const struct gguf *g, struct gguf_dims *d, struct err *e) {
    const struct gguf_kv *type;
    float old;
    int rc;
    TRY(gguf_get_arch(g, "rope.scaling.type", GGUF_STRING, &type, e));
    TRY(read_f32(g, "rope.scale_linear", 0, &old, e));
    TRY(read_f32(g, "rope.scaling.factor", old, &d->rope_factor, e));
    const bool one = d->rope_factor == 1;
    if (type && gguf_text_is(gguf_text(type->value), "none"))
        d->rope_factor = 1;
    else if (type && !gguf_text_is(gguf_text(type->value), "linear") &&
             !(one && gguf_text_is(gguf_text(type->value), "yarn"))) /* yarn by 1 is none */
        rc = err_set(e, ERR_INPUT,
                     "%s: key %s.rope.scaling.type at offset %" PRIu64
                     " is \"%.*s\"; duet computes none and linear",
                     g->path, g->arch, type->offset, gguf_shown(gguf_text(type->value)),
                     gguf_text(type->value).s);
    if (d->rope_factor == 0) d->rope_factor = 1;
out:
    return rc;
}

int gguf_read_dims(const struct gguf *g, struct gguf_dims *d, struct err *e) {
    const struct gguf_kv *vocab;
    int rc;
    TRY(read_u32(g, "context_length", 0, &d->ctx, e));
    TRY(read_u32(g, "embedding_length", 0, &d->embd, e));
    TRY(read_u32(g, "block_count", 0, &d->layers, e));
    TRY(read_of_layers(g, "feed_forward_length", 0, d->layers, &d->ffn, e));
    TRY(read_heads(g, d, e));
    TRY(read_f32(g, "attention.layer_norm_rms_epsilon", NAN, &d->eps, e));
    TRY(read_f32(g, "rope.freq_base", 10000, &d->theta, e));
    TRY(read_scaling(g, d, e));
    TRY(gguf_get_arch(g, "vocab_size", GGUF_U32, &vocab, e));
    d->vocab = vocab ? gguf_u32(vocab->value) : 0;
    TRY(check_rest(g, d, e));
out:
    return rc;
}

/* ---- the whole config ----------------------------------------------------------------------- */

static const struct {
    const char *gguf, *hf;
} ids[] = {{"tokenizer.ggml.bos_token_id", "bos_token_id"},
           {"tokenizer.ggml.eos_token_id", "eos_token_id"},
           {"tokenizer.ggml.padding_token_id", "pad_token_id"},
           {"tokenizer.ggml.unknown_token_id", "unk_token_id"}};

/* Rows of the table of tokens; 0: not known. */
static uint64_t token_count(const struct gguf *g) {
    const struct part *p = g->parts ? part_of(g->parts, PART_EMBED) : NULL;
    const struct mf_tensor *t = p ? model_file_find(g->mf, p->hf) : NULL;
    return g->mf->vocab ? g->mf->vocab->n : t ? t->shape[0] : 0;
}

/* With a vocabulary they are its own, defaults too. */
static int set_ids(const struct gguf *g, json_t *config, struct err *e) {
    const struct vocab *v = g->mf->vocab;
    const int64_t own[] = {v ? v->bos : -1, v ? v->eos : -1, v ? v->pad : -1, v ? v->unk : -1};
    const uint64_t n = token_count(g);
    int rc = 0;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        int64_t id = own[i];
        if (!v) rc = gguf_token_id(g, ids[i].gguf, n, &id, e);
        if (rc && !g->mf->tokenizer_problem) goto out;
        rc = 0; /* one more fault of a tokenizer that is left out */
        if (id >= 0) json_object_set_new(config, ids[i].hf, json_integer(id));
    }
    gguf_drop_ids(g, n);
out:
    return rc;
}

static int set_template(const struct gguf *g, json_t *duet, struct err *e) {
    const struct gguf_kv *kv;
    const int rc = gguf_get(g, "tokenizer.chat_template", GGUF_STRING, &kv, e);
    if (rc || !kv) return rc;
    const struct vocab_text t = gguf_text(kv->value);
    if (memchr(t.s, 0, t.n))
        return err_set(e, ERR_INPUT,
                       "%s: key tokenizer.chat_template at offset %" PRIu64 " has a NUL in it",
                       g->path, kv->offset);
    json_object_set_new(duet, "chat_template", json_stringn(t.s, t.n));
    return 0;
}

int gguf_set_config(const struct gguf *g, json_t *config, struct err *e) {
    /* What follows from the rest of the file, and is written anew. */
    static const char *const derived[] = {"general.architecture", "general.alignment",
                                          "general.file_type", "general.quantization_version",
                                          "general.size_label", "general.type"};
    int rc = 0;
    json_t *kept = NULL, *duet = json_object_get(config, "duet");
    for (size_t i = 0; i < sizeof derived / sizeof *derived; i++) {
        struct gguf_kv *kv = gguf_find(g, derived[i]);
        if (kv) kv->used = true;
    }
    if (!duet) {
        duet = json_object();
        json_object_set_new(config, "duet", duet);
    }
    TRY(set_ids(g, config, e));
    TRY(set_template(g, duet, e));
    TRY(gguf_keep(g, &kept, e));
    if (kept) json_object_set(duet, "gguf", kept);
    if (!json_object_size(duet)) json_object_del(config, "duet");
    g->mf->config = json_text(config);
    if (!g->mf->config) rc = err_set(e, ERR_NOMEM, "%s: no memory for its config", g->path);
out:
    json_decref(kept);
    json_decref(config);
    return rc;
}
