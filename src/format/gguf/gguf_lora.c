/* LoRA adapters as llama.cpp's --lora takes them: general.type "adapter", adapter.lora.alpha, and
 * for every weight X two tensors X.lora_a (I, rank) and X.lora_b (rank, O), columns first. A weight
 * acts as W + alpha / its own rank * B A; alpha 0: as W + B A. */
#include "gguf.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_PARTS = 64 }; /* of an architecture: whether an adapter has them */

/* ---- reading -------------------------------------------------------------------------------- */

/* The targets under GGUF's names within a layer, with commas. */
static const char *target_names(const struct part_table *t, char *text, size_t size) {
    size_t n = 0;
    *text = 0;
    for (int i = 0; i < t->n && n < size; i++) {
        if (!t->part[i].lora || !t->part[i].gguf) continue;
        const char *name = t->part[i].gguf, *star = strstr(name, "*.");
        if (star) name = star + 2;
        n += (size_t)snprintf(text + n, size - n, "%s%.*s", n ? ", " : "",
                              (int)strcspn(name, "."), name);
    }
    return text;
}

/* Half of a pair: the weight it belongs to. */
static int lora_part(const struct gguf *g, const struct gguf_tensor *t, const struct part **p,
                     uint32_t *layer, bool *b, struct err *e) {
    char name[GGUF_NAME], names[200];
    const size_t n = strlen(t->name), end = strlen(".lora_a");
    *p = NULL;
    if (n > end &&
        (!strcmp(t->name + n - end, ".lora_a") || !strcmp(t->name + n - end, ".lora_b"))) {
        *b = t->name[n - 1] == 'b';
        memcpy(name, t->name, n - end);
        name[n - end] = 0;
        *p = part_find(g->parts, NAMES_GGUF, name, layer);
    }
    if (*p && (*p)->lora) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: tensor %s is not LoRA of a projection (%s), and duet knows no other",
                   g->path, t->name, target_names(g->parts, names, sizeof names));
}

static uint64_t rank_of(const struct gguf_tensor *t, bool b) {
    return b ? t->ne[0] : t->ne[1];
}

static int largest_rank(const struct gguf *g, uint64_t *rank, struct err *e) {
    int rc = 0;
    *rank = 0;
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct part *p;
        uint32_t layer;
        bool b;
        TRY(lora_part(g, g->tensors + i, &p, &layer, &b, e));
        const uint64_t r = rank_of(g->tensors + i, b);
        if (r > *rank) *rank = r;
    }
    if (!*rank || *rank > INT32_MAX)
        rc = err_set(e, ERR_INPUT, "%s: an adapter %s", g->path,
                     *rank ? "whose rank is too large" : "without tensors");
out:
    return rc;
}

/* Both halves are there, with one rank. */
static int check_pair(const struct gguf *g, const struct part *p, uint32_t layer,
                      struct err *e) {
    char name[2][PART_NAME];
    const struct mf_tensor *t[2];
    for (int b = 0; b < 2; b++) {
        part_lora_name(name[b], p, layer, b);
        t[b] = model_file_find(g->mf, name[b]);
    }
    if (!t[0] || !t[1])
        return err_set(e, ERR_INPUT, "%s: tensor %s is there, but not %s", g->path, name[!t[0]],
                       name[!!t[0]]);
    if (t[0]->shape[0] != t[1]->shape[1])
        return err_set(e, ERR_INPUT, "%s: tensor %s has rank %" PRIu64 ", but %s has %" PRIu64,
                       g->path, name[0], t[0]->shape[0], name[1], t[1]->shape[1]);
    return 0;
}

/* alpha: 0 where every weight has scale 1. */
static int add_tensors(const struct gguf *g, uint64_t rank, float alpha, bool seen[MAX_PARTS],
                       struct err *e) {
    const struct part *p;
    uint32_t layer;
    bool b;
    int rc = 0;
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = g->tensors + i;
        char name[PART_NAME];
        TRY(lora_part(g, t, &p, &layer, &b, e));
        part_lora_name(name, p, layer, b);
        const uint64_t r = rank_of(t, b);
        TRY(gguf_add(g, t, name, 2, b ? gguf_heads(g->parts, p, MF_ROPE_Q, MF_ROPE_K) : 0,
                     b && r != rank && alpha != 0 ? (double)rank / (double)r : 0, e));
        seen[p - g->parts->part] = true;
    }
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        TRY(lora_part(g, g->tensors + i, &p, &layer, &b, e));
        TRY(check_pair(g, p, layer, e));
    }
out:
    return rc;
}

/* *alpha: of the file, 0 if it has none. */
static int read_alpha(const struct gguf *g, float *alpha, struct err *e) {
    const struct gguf_kv *type, *kv;
    int rc;
    TRY(gguf_get(g, "adapter.type", GGUF_STRING, &type, e));
    if (!type || !gguf_text_is(gguf_text(type->value), "lora")) {
        rc = err_set(e, ERR_INPUT, "%s: key adapter.type is %s, expected lora", g->path,
                     type ? "of another kind" : "missing");
        goto out;
    }
    TRY(gguf_get(g, "adapter.lora.alpha", GGUF_F32, &kv, e));
    *alpha = kv ? gguf_f32(kv->value) : 0;
    if (!isfinite(*alpha)) {
        rc = err_set(e, ERR_INPUT, "%s: key adapter.lora.alpha at offset %" PRIu64 " is not finite",
                     g->path, kv->offset);
        goto out;
    }
    for (size_t i = 0; i < g->n_kv; i++)
        if (g->kv[i].key.n > 14 && !memcmp(g->kv[i].key.s, "adapter.alora.", 14)) {
            rc = err_set(e, ERR_INPUT,
                         "%s: key %.*s at offset %" PRIu64
                         ": an adapter that acts behind some tokens only, which duet does not do",
                         g->path, gguf_shown(g->kv[i].key), g->kv[i].key.s, g->kv[i].offset);
            break;
        }
out:
    return rc;
}

int gguf_read_adapter(struct gguf *g, struct err *e) {
    bool seen[MAX_PARTS] = {0};
    char targets[64] = "";
    uint64_t rank;
    float alpha = 0;
    int rc;
    assert(g->parts->n <= MAX_PARTS);
    TRY(read_alpha(g, &alpha, e));
    TRY(largest_rank(g, &rank, e));
    TRY(add_tensors(g, rank, alpha, seen, e));
    for (int i = 0; i < g->parts->n; i++)
        if (seen[i])
            snprintf(targets + strlen(targets), sizeof targets - strlen(targets), "%s%s",
                     *targets ? "," : "", g->parts->part[i].lora);
    TRY(gguf_set_config(g,
                        json_pack("{s:s, s:{s:i, s:I, s:f, s:b, s:s, s:s, s:b}}", "model_type",
                                  g->parts->name, "duet_adapter", "version", 1, "rank",
                                  (json_int_t)rank, "alpha",
                                  alpha != 0 ? gguf_shortest(alpha) : (double)rank, "rslora", 0,
                                  "targets", targets, "init", "peft", "norms", 0),
                        e));
out:
    return rc;
}

/* ---- writing -------------------------------------------------------------------------------- */

struct lora_out {
    const struct part_table *parts;
    uint32_t rank, heads, kv_heads;
    double alpha; /* as GGUF means it */
};

static int read_settings(struct lora_out *l, const struct part_tables *archs, const json_t *config,
                         struct err *e) {
    const json_t *a = json_object_get(config, "duet_adapter");
    int rc;
    TRY(gguf_config_arch(archs, config, &l->parts, e));
    TRY(gguf_config_u32(a, "rank", 0, &l->rank, e));
    TRY(gguf_config_u32(config, "num_attention_heads", 0, &l->heads, e));
    TRY(gguf_config_u32(config, "num_key_value_heads", l->heads, &l->kv_heads, e));
    l->alpha = json_number_value(json_object_get(a, "alpha"));
    if (json_is_true(json_object_get(a, "rslora"))) l->alpha *= sqrt((double)l->rank);
    if (!isfinite((float)l->alpha) || (float)l->alpha == 0)
        rc = err_set(e, ERR_INPUT, "duet_adapter.alpha is not a number other than 0");
    else if (json_is_true(json_object_get(a, "norms")))
        rc = err_set(e, ERR_INPUT,
                     "the adapter has tuned norms (duet_adapter.norms), which readers "
                     "of GGUF adapters pass over; merge it instead");
out:
    return rc;
}

static int add_lora(struct gguf_out *o, const struct lora_out *l, const struct model_file *mf,
                    const struct mf_tensor *t, struct err *e) {
    uint32_t layer = 0;
    bool b = false;
    char name[PART_NAME], other[PART_NAME], full[GGUF_NAME];
    const struct part *p = part_find_lora(l->parts, t->name, &layer, &b);
    if (!p || !p->gguf || t->ndim != 2)
        return err_set(e, ERR_INPUT, "GGUF adapters have no place for tensor %s", t->name);
    part_lora_name(other, p, layer, !b);
    const struct mf_tensor *half = model_file_find(mf, other);
    if (!half || half->ndim != 2 || half->shape[b ? 0 : 1] != t->shape[b ? 1 : 0])
        return err_set(e, ERR_INPUT, "tensor %s has no %s of the same rank beside it", t->name,
                       other);
    snprintf(full, sizeof full, "%s.%s", part_name(name, p, NAMES_GGUF, layer),
             b ? "lora_b" : "lora_a");
    if (!b) return gguf_out_tensor(o, full, t, 0, 1, e);
    /* Its scale is alpha / its own rank where it is read, alpha / rank here. */
    return gguf_out_tensor(o, full, t, gguf_heads(l->parts, p, (int)l->heads, (int)l->kv_heads),
                           (double)t->shape[1] / l->rank, e);
}

int gguf_write_adapter(const struct model_file *mf, const json_t *config, const char *path,
                       struct err *e) {
    struct gguf_out o = {0};
    struct lora_out l;
    int rc;
    TRY(read_settings(&l, mf->archs, config, e));
    TRY(gguf_out_init(&o, mf->n_tensors, e));
    gguf_put_general(&o, mf, config, l.parts->gguf, "adapter");
    gguf_put_string(&o, "adapter.type", "lora");
    gguf_put_f32(&o, "adapter.lora.alpha", (float)l.alpha);
    TRY(gguf_put_kept(&o, json_object_get(json_object_get(config, "duet"), "gguf"), e));
    if (!mf->n_tensors) rc = err_set(e, ERR_INPUT, "an adapter without tensors");
    for (size_t i = 0; i < mf->n_tensors && !rc; i++) rc = add_lora(&o, &l, mf, mf->tensors + i, e);
    if (rc) goto out;
    TRY(gguf_out_write(&o, mf, path, e));
out:
    rc = gguf_out_refuse(&o, mf, rc, e);
    gguf_out_release(&o);
    return rc;
}
