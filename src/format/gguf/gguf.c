/* GGUF version 3 (and 2, which has the same layout), little-endian, as one file. */
#include "gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_ALIGN 65536

extern const struct format format_gguf;

static bool probe(const uint8_t *data, size_t size) {
    return size >= 4 && !memcmp(data, "GGUF", 4);
}

/* ---- tensor infos --------------------------------------------------------------------------- */

static uint64_t align_up(uint64_t n, uint64_t align) {
    return (n + align - 1) & ~(align - 1);
}

static int read_name(struct gguf *g, struct gguf_tensor *t, struct err *e) {
    struct vocab_text name;
    const size_t at = g->at;
    const int rc = gguf_string(g, "tensor name", GGUF_NAME - 1, &name, e);
    if (rc) return rc;
    for (uint32_t i = 0; i < name.n; i++)
        if ((uint8_t)name.s[i] <= 0x20 || name.s[i] == 0x7f)
            return err_set(e, ERR_INPUT,
                           "%s: tensor name at offset %zu has a blank or control character",
                           g->path, at);
    if (!name.n)
        return err_set(e, ERR_INPUT, "%s: tensor name at offset %zu is empty", g->path, at);
    memcpy(t->name, name.s, name.n);
    t->name[name.n] = 0;
    return 0;
}

/* *count: elements; at most INT64_MAX, as ggml counts. */
static int read_shape(struct gguf *g, struct gguf_tensor *t, uint64_t *count, struct err *e) {
    int rc;
    const size_t at = g->at;
    TRY(gguf_need(g, 4, t->name, e));
    const uint32_t n_dims = gguf_u32(g->mf->map.data + g->at);
    g->at += 4;
    *count = 1;
    for (int i = 0; i < 4; i++) t->ne[i] = 1;
    if (n_dims < 1 || n_dims > 4) {
        rc = err_set(e, ERR_INPUT,
                     "%s: tensor %s: number of dimensions at offset %zu is %u, "
                     "expected 1 to 4",
                     g->path, t->name, at, (unsigned)n_dims);
        goto out;
    }
    TRY(gguf_need(g, 8 * (uint64_t)n_dims, t->name, e));
    memcpy(t->ne, g->mf->map.data + g->at, 8 * (size_t)n_dims);
    for (uint32_t i = 0; i < n_dims; i++, g->at += 8)
        if (t->ne[i] == 0 || t->ne[i] > INT64_MAX ||
            __builtin_mul_overflow(*count, t->ne[i], count) || *count > INT64_MAX) {
            rc = err_set(e, ERR_INPUT,
                         "%s: tensor %s: dimension %u at offset %zu is %" PRIi64
                         ", which gives no size",
                         g->path, t->name, (unsigned)i, g->at, (int64_t)t->ne[i]);
            goto out;
        }
out:
    return rc;
}

static int read_dtype(struct gguf *g, struct gguf_tensor *t, struct err *e) {
    const int rc = gguf_need(g, 4, t->name, e);
    if (rc) return rc;
    const uint32_t id = gguf_u32(g->mf->map.data + g->at);
    const int dtype = gguf_dtype(id);
    if (dtype < 0)
        return err_set(e, ERR_INPUT,
                       "%s: tensor %s: type at offset %zu is %u (%s), which duet does not read",
                       g->path, t->name, g->at, (unsigned)id,
                       gguf_ggml_name(id) ? gguf_ggml_name(id) : "unknown to it");
    t->dtype = (enum dtype)dtype;
    if (t->ne[0] % (uint64_t)dtype_row(t->dtype)->block)
        return err_set(e, ERR_INPUT,
                       "%s: tensor %s: rows of %" PRIu64 " are not whole blocks of %s", g->path,
                       t->name, t->ne[0], gguf_ggml_name(id));
    g->at += 4;
    return 0;
}

/* *end: where the data of the tensors so far ends, padded, from the start of the data. */
static int read_info(struct gguf *g, struct gguf_tensor *t, uint64_t *end, uint64_t *data_bytes,
                     struct err *e) {
    int rc;
    uint64_t count;
    TRY(read_name(g, t, e));
    TRY(read_shape(g, t, &count, e));
    TRY(read_dtype(g, t, e));
    TRY(gguf_need(g, 8, t->name, e));
    memcpy(&t->offset, g->mf->map.data + g->at, 8);
    const size_t size = g->mf->map.size, bytes = dtype_bytes(t->dtype, (size_t)count);
    if (t->offset != *end)
        rc = err_set(e, ERR_INPUT,
                     "%s: tensor %s: offset at offset %zu is %" PRIu64 ", expected %" PRIu64,
                     g->path, t->name, g->at, t->offset, *end);
    else if (bytes > size || *end > size - bytes)
        rc = err_set(e, ERR_INPUT,
                     "%s: tensor %s: its data at %" PRIu64 " does not lie within the file of %zu "
                     "bytes",
                     g->path, t->name, t->offset, size);
    g->at += 8;
    *data_bytes = *end + bytes;
    *end = align_up(*data_bytes, g->alignment);
out:
    return rc;
}

/* All infos. The file ends with the last tensor, or with its padding. */
static int read_infos(struct gguf *g, struct err *e) {
    int rc;
    uint64_t end = 0, data_bytes = 0;
    TRY(gguf_need(g, 33 * g->n_tensors, "list of tensors", e)); /* the least that each takes */
    if (!(g->tensors = calloc((size_t)g->n_tensors + 1, sizeof *g->tensors))) {
        rc = err_set(e, ERR_NOMEM, "%s: no memory", g->path);
        goto out;
    }
    for (uint64_t i = 0; i < g->n_tensors; i++)
        TRY(read_info(g, g->tensors + i, &end, &data_bytes, e));
    const uint64_t size = g->mf->map.size, start = align_up(g->at, g->alignment);
    for (uint64_t i = 0; i < g->n_tensors; i++) g->tensors[i].offset += start;
    const uint64_t least = g->n_tensors ? start + data_bytes : g->at;
    if (size != least && size != start + end)
        rc = err_set(e, ERR_INPUT,
                     "%s: the file has %" PRIu64 " bytes, but its tensors end at %" PRIu64, g->path,
                     size, least);
out:
    return rc;
}

int gguf_add(const struct gguf *g, const struct gguf_tensor *t, const char *hf, int ndim,
             int rope_heads, double factor, struct err *e) {
    char name[PART_NAME];
    for (int i = ndim; i < 4; i++)
        if (t->ne[i] != 1)
            return err_set(e, ERR_INPUT, "%s: tensor %s has more than %d dimension%s", g->path,
                           t->name, ndim, ndim > 1 ? "s" : "");
    snprintf(name, sizeof name, "%s", hf);
    const struct mf_tensor m = {.name = name,
                                .dtype = t->dtype,
                                .ndim = ndim,
                                .shape = {t->ne[ndim - 1], ndim == 2 ? t->ne[0] : 0},
                                .data = g->mf->map.data + t->offset,
                                .offset = t->offset,
                                .rope_heads = rope_heads,
                                .factor = factor};
    return model_file_add(g->mf, &m, e);
}

/* ---- models --------------------------------------------------------------------------------- */

/* Divisors of the frequencies: Llama 3's scaling. */
static int read_rope_freqs(const struct gguf *g, const struct gguf_tensor *t,
                           const struct gguf_dims *d, json_t *duet, struct err *e) {
    if (t->dtype != DT_F32 || t->ne[0] != d->head_dim / 2 || t->ne[1] * t->ne[2] * t->ne[3] != 1 ||
        !g->parts->gguf_pairs || json_object_get(duet, "rope_factors"))
        return err_set(e, ERR_INPUT,
                       "%s: tensor %s: expected once, in architecture llama, as F32 with %u "
                       "elements",
                       g->path, t->name, (unsigned)(d->head_dim / 2));
    json_t *list = json_array();
    for (uint64_t i = 0; i < t->ne[0]; i++) {
        const float f = gguf_f32(g->mf->map.data + t->offset + 4 * i);
        if (!(isfinite(f) && f > 0)) {
            json_decref(list);
            return err_set(e, ERR_INPUT,
                           "%s: tensor %s: factor at offset %" PRIu64
                           " is not a number greater than 0",
                           g->path, t->name, t->offset + 4 * i);
        }
        json_array_append_new(list, json_real(gguf_shortest(f)));
    }
    json_object_set_new(duet, "rope_factors", list);
    return 0;
}

static int read_tensor(const struct gguf *g, const struct gguf_tensor *t, struct gguf_dims *d,
                       json_t *duet, struct err *e) {
    char hf[PART_NAME];
    uint32_t layer;
    if (!strcmp(t->name, "rope_freqs.weight")) return read_rope_freqs(g, t, d, duet, e);
    const struct part *p = part_find(g->parts, NAMES_GGUF, t->name, &layer);
    if (!p || layer >= d->layers)
        return err_set(e, ERR_INPUT,
                       "%s: tensor %s is not part of a %s model of %u layers as duet knows it",
                       g->path, t->name, g->arch, (unsigned)d->layers);
    if (p->rows == SIDE_VOCAB) {
        if (d->vocab && t->ne[1] != d->vocab)
            return err_set(e, ERR_INPUT, "%s: tensor %s has %" PRIu64 " rows, expected %u", g->path,
                           t->name, t->ne[1], (unsigned)d->vocab);
        if (t->ne[1] > INT32_MAX)
            return err_set(e, ERR_INPUT, "%s: tensor %s has too many rows", g->path, t->name);
        d->vocab = (uint32_t)t->ne[1];
    }
    d->has[p->when] = true;
    return gguf_add(g, t, part_name(hf, p, NAMES_HF, layer), p->rows == SIDE_NONE ? 1 : 2,
                    gguf_heads(g->parts, p, (int)d->heads, (int)d->kv_heads), 0, e);
}

static json_t *make_config(const struct gguf *g, const struct gguf_dims *d) {
    json_t *c = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:b}", "model_type",
        g->parts->name, "hidden_act", parts_act(g->parts), "hidden_size", (json_int_t)d->embd,
        "intermediate_size", (json_int_t)d->ffn, "num_hidden_layers", (json_int_t)d->layers,
        "num_attention_heads", (json_int_t)d->heads, "num_key_value_heads", (json_int_t)d->kv_heads,
        "head_dim", (json_int_t)d->head_dim, "vocab_size", (json_int_t)d->vocab,
        "max_position_embeddings", (json_int_t)d->ctx, "rms_norm_eps", gguf_shortest(d->eps),
        "rope_theta", gguf_shortest(d->theta), "tie_word_embeddings", (int)!d->has[IF_UNTIED]);
    if (d->rope_factor != 1)
        json_object_set_new(c, "rope_scaling",
                            json_pack("{s:s, s:f}", "rope_type", "linear", "factor",
                                      gguf_shortest(d->rope_factor)));
    if (d->has[IF_BIAS] != parts_default_true(g->parts, "attention_bias"))
        json_object_set_new(c, "attention_bias", json_boolean(d->has[IF_BIAS]));
    return c;
}

static int read_model(struct gguf *g, struct err *e) {
    int rc;
    struct gguf_dims d = {0};
    json_t *duet = json_object();
    TRY(gguf_read_dims(g, &d, e));
    for (uint64_t i = 0; i < g->n_tensors; i++) TRY(read_tensor(g, g->tensors + i, &d, duet, e));
    TRY(gguf_read_vocab(g, d.vocab, e));
    if (!d.vocab && g->mf->vocab) d.vocab = g->mf->vocab->n;
    json_t *config = make_config(g, &d);
    if (config) json_object_set(config, "duet", duet);
    TRY(config ? gguf_set_config(g, config, e) : err_set(e, ERR_NOMEM, "%s: no memory", g->path));
out:
    json_decref(duet);
    return rc;
}

/* A file without tensors is a vocabulary, of whatever architecture: the rest is kept. */
static int read_vocab_only(struct gguf *g, struct err *e) {
    const int rc = gguf_read_vocab(g, 0, e);
    return rc ? rc : gguf_set_config(g, json_pack("{s:s}", "model_type", g->arch), e);
}

/* ---- the file ------------------------------------------------------------------------------- */

static int read_arch(struct gguf *g, struct err *e) {
    const struct gguf_kv *kv;
    const int rc = gguf_get(g, "general.architecture", GGUF_STRING, &kv, e);
    if (rc) return rc;
    const struct vocab_text t = kv ? gguf_text(kv->value) : (struct vocab_text){"", 0};
    if (!t.n || t.n >= sizeof g->arch || memchr(t.s, 0, t.n))
        return err_set(e, ERR_INPUT, "%s: key general.architecture is %s", g->path,
                       !kv ? "missing" : "not a short word");
    memcpy(g->arch, t.s, t.n);
    g->parts = parts_find_gguf(g->mf->archs, g->arch);
    if (!g->n_tensors || g->parts) return 0;
    char known[200];
    return err_set(e, ERR_INPUT,
                   "%s: key general.architecture at offset %" PRIu64 " is \"%s\"; duet knows %s",
                   g->path, kv->offset, g->arch,
                   parts_names(g->mf->archs, true, " and ", known, sizeof known));
}

static int read_alignment(struct gguf *g, struct err *e) {
    const struct gguf_kv *kv;
    const int rc = gguf_get(g, "general.alignment", GGUF_U32, &kv, e);
    if (rc) return rc;
    g->alignment = kv ? gguf_u32(kv->value) : GGUF_ALIGN;
    if (g->alignment < 8 || g->alignment > MAX_ALIGN || g->alignment & (g->alignment - 1))
        return err_set(e, ERR_INPUT,
                       "%s: key general.alignment at offset %" PRIu64 " is %" PRIu64
                       ", expected a power of two from 8 to %d",
                       g->path, kv->offset, g->alignment, MAX_ALIGN);
    return 0;
}

static unsigned split_number(const struct gguf *g, const char *key) {
    const struct gguf_kv *kv = gguf_find(g, key);
    return kv && kv->type == GGUF_U16 ? kv->value[0] | (unsigned)kv->value[1] << 8 : 0;
}

/* One part of a model in several files. Only the first says what the model is. */
static int check_split(const struct gguf *g, struct err *e) {
    const struct gguf_kv *kv = gguf_find(g, "split.count");
    const unsigned count = split_number(g, "split.count");
    if (!kv || (kv->type == GGUF_U16 && count <= 1)) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: key split.count at offset %" PRIu64
                   ": part %u of a model in %u files; join them first (llama-gguf-split --merge)",
                   g->path, kv->offset, split_number(g, "split.no") + 1, count);
}

/* *adapter: not a model. */
static int read_kind(const struct gguf *g, bool *adapter, struct err *e) {
    const struct gguf_kv *kv;
    const int rc = gguf_get(g, "general.type", GGUF_STRING, &kv, e);
    *adapter = !rc && kv && gguf_text_is(gguf_text(kv->value), "adapter");
    if (rc || !kv || *adapter || gguf_text_is(gguf_text(kv->value), "model")) return rc;
    return err_set(e, ERR_INPUT,
                   "%s: key general.type at offset %" PRIu64
                   " is \"%.*s\", expected model or adapter",
                   g->path, kv->offset, gguf_shown(gguf_text(kv->value)), gguf_text(kv->value).s);
}

static int read_gguf(struct model_file *mf, bool verify, struct err *e) {
    (void)verify;
    struct gguf g = {.mf = mf, .path = mf->path};
    bool adapter;
    int rc;
    TRY(gguf_read_kv(&g, e));
    TRY(check_split(&g, e));
    TRY(read_arch(&g, e));
    TRY(read_alignment(&g, e));
    TRY(read_kind(&g, &adapter, e));
    TRY(read_infos(&g, e));
    TRY(adapter       ? gguf_read_adapter(&g, e)
        : g.n_tensors ? read_model(&g, e)
                      : read_vocab_only(&g, e));
out:
    free(g.kv);
    free(g.tensors);
    return rc;
}

const struct format format_gguf = {
    .name = "gguf",
    .help = "GGUF, versions 2 and 3: models and LoRA adapters; version 3 is written",
    .suffix = ".gguf",
    .tok = TOK_VOCAB,
    .types = MF_TYPE(DT_F32) | MF_TYPE(DT_F16) | MF_TYPE(DT_BF16) | MF_TYPE(DT_Q4_0) |
             MF_TYPE(DT_Q4_1) | MF_TYPE(DT_Q5_0) | MF_TYPE(DT_Q5_1) | MF_TYPE(DT_Q8_0) |
             MF_TYPE(DT_Q4_K) | MF_TYPE(DT_Q5_K) | MF_TYPE(DT_Q6_K),
    .vector_types = MF_TYPE(DT_F32),
    .models = true,
    .adapters = true,
    .rows = true,
    .probe = probe,
    .read = read_gguf,
    .write = gguf_write,
};
