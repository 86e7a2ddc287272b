#include "layout.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int llama_dims_check(const struct llama_dims *d, const char *path, struct err *e) {
    const struct {
        const char *name;
        uint64_t value, max;
    } sizes[] = {
        {"dim", d->dim, 1 << 16},
        {"hidden_dim", d->hidden, 1 << 20},
        {"n_layers", d->layers, 1 << 10},
        {"n_heads", d->heads, 1 << 10},
        {"n_kv_heads", d->kv_heads, 1 << 10},
        {"head_dim", d->head_dim, 1 << 13},
        {"vocab_size", d->vocab, 1 << 24},
        {"seq_len", d->seq, 1 << 24},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].max)
            return err_set(e, ERR_INPUT, "%s: %s is %lld, expected 1 to %llu", path, sizes[i].name,
                           (long long)sizes[i].value, (unsigned long long)sizes[i].max);
    if (d->heads % d->kv_heads != 0)
        return err_set(e, ERR_INPUT, "%s: n_heads %llu is not a multiple of n_kv_heads %llu", path,
                       (unsigned long long)d->heads, (unsigned long long)d->kv_heads);
    if (d->head_dim % 2 != 0)
        return err_set(e, ERR_INPUT, "%s: head_dim is %llu, expected an even number", path,
                       (unsigned long long)d->head_dim);
    return 0;
}

const struct part_table *llama_parts(const struct model_file *mf) {
    return parts_find(mf->archs, "llama");
}

/* The name of the tensor of this kind; *p: its part. */
static void part_at(const struct llama_dims *d, enum part_kind kind, uint64_t layer,
                    char name[PART_NAME], const struct part **p) {
    *p = part_of(d->parts, kind);
    part_name(name, *p, NAMES_HF, (uint32_t)layer);
}

/* Everything of the tensor but name and data. */
static struct mf_tensor part_tensor(const struct llama_dims *d, const struct part *p) {
    const struct part_sizes sizes = {.side = {[SIDE_VOCAB] = d->vocab,
                                              [SIDE_DIM] = d->dim,
                                              [SIDE_Q] = d->heads * d->head_dim,
                                              [SIDE_KV] = d->kv_heads * d->head_dim,
                                              [SIDE_HIDDEN] = d->hidden,
                                              [SIDE_HEAD] = d->head_dim}};
    struct mf_tensor t = {.dtype = DT_F32,
                          .rope_heads = part_heads(p, (int)d->heads, (int)d->kv_heads)};
    t.ndim = part_shape(p, &sizes, t.shape);
    return t;
}

/* Copies of a part; 0 of what a plain llama does not have. */
static uint64_t copies(const struct llama_dims *d, const struct part *p) {
    if (p->when != IF_ALWAYS && (p->when != IF_UNTIED || d->tied)) return 0;
    return part_in_layers(p) ? d->layers : 1;
}

uint64_t llama_copies(const struct llama_dims *d, enum part_kind kind) {
    return copies(d, part_of(d->parts, kind));
}

uint64_t llama_count(const struct llama_dims *d, enum part_kind kind) {
    struct mf_tensor t = part_tensor(d, part_of(d->parts, kind));
    return mf_tensor_count(&t);
}

uint64_t llama_total(const struct llama_dims *d) {
    uint64_t n = 0;
    for (const struct part *p = d->parts->part; p < d->parts->part + d->parts->n; p++) {
        const struct mf_tensor t = part_tensor(d, p);
        n += copies(d, p) * mf_tensor_count(&t);
    }
    return n;
}

int llama_add(struct model_file *mf, const struct llama_dims *d, enum part_kind kind,
              uint64_t layer, uint64_t *offset, struct err *e) {
    char name[PART_NAME];
    const struct part *p;
    part_at(d, kind, layer, name, &p);
    struct mf_tensor t = part_tensor(d, p);
    t.name = name;
    t.offset = *offset;
    t.data = mf->map.data + *offset;
    *offset += 4 * mf_tensor_count(&t);
    assert(*offset <= mf->map.size);
    return model_file_add(mf, &t, e);
}

json_t *llama_config(const struct llama_dims *d) {
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:s, s:b, s:{s:I}}", //
        "model_type", d->parts->name,                                                 //
        "hidden_size", (json_int_t)d->dim,                                            //
        "intermediate_size", (json_int_t)d->hidden,                                   //
        "num_hidden_layers", (json_int_t)d->layers,                                   //
        "num_attention_heads", (json_int_t)d->heads,                                  //
        "num_key_value_heads", (json_int_t)d->kv_heads,                               //
        "head_dim", (json_int_t)d->head_dim,                                          //
        "vocab_size", (json_int_t)d->vocab,                                           //
        "max_position_embeddings", (json_int_t)d->seq,                                //
        "rms_norm_eps", 1e-5,                                                         //
        "rope_theta", 1e4,                                                            //
        "hidden_act", parts_act(d->parts),                                            //
        "tie_word_embeddings", (int)d->tied,                                          //
        "duet", "seq_len", (json_int_t)d->seq);
}

bool llama_assume(json_t *config, bool scale, bool softcap) {
    json_t *list = json_pack("[s,s]", "rope_theta", "rms_norm_eps");
    if (scale) json_array_append_new(list, json_string("duet.residual_scale"));
    if (softcap) json_array_append_new(list, json_string("duet.logit_softcap"));
    json_t *duet = json_object_get(config, "duet");
    return json_object_set_new(duet, "assumed", list) == 0 &&
           json_array_size(list) == (size_t)2 + scale + softcap;
}

/* A size of the config, by default (0: none) def. */
static int config_size(const json_t *c, const char *key, uint64_t def, uint64_t *value,
                       struct err *e) {
    const json_t *j = json_object_get(c, key);
    if ((!j || json_is_null(j)) && def) {
        *value = def;
        return 0;
    }
    if (!json_is_integer(j) || json_integer_value(j) < 1)
        return err_set(e, ERR_INPUT, "config: \"%s\" is missing or not a positive integer", key);
    *value = (uint64_t)json_integer_value(j);
    return 0;
}

/* A number of the config for which there is no place: it must be what readers assume. */
static int fixed_number(const json_t *o, const char *key, double def, double value,
                        const char *prefix, struct err *e) {
    const json_t *j = json_object_get(o, key);
    const double x = j && !json_is_null(j) ? json_number_value(j) : def;
    if (fabs(x - value) <= 1e-7 * value) return 0; /* eps may have been an f32 */
    return err_set(e, ERR_INPUT,
                   "it has no place for %s%s, which is %.9g; whoever reads it takes %.9g", prefix,
                   key, x, value);
}

/* Keys that change the function, where these formats (or rather their readers) know one value. */
static int config_fixed(const json_t *c, const struct part_table *parts, struct err *e) {
    int rc;
    const json_t *duet = json_object_get(c, "duet");
    const json_t *type = json_object_get(c, "model_type");
    if (type && strcmp(json_is_string(type) ? json_string_value(type) : "", parts->name) != 0)
        return err_set(e, ERR_INPUT, "it holds a plain %s, and model_type is %.40s", parts->name,
                       json_is_string(type) ? json_string_value(type) : "no text");
    TRY(fixed_number(c, "rms_norm_eps", 1e-6, 1e-5, "", e));
    TRY(fixed_number(c, "rope_theta", 1e4, 1e4, "", e));
    TRY(fixed_number(duet, "residual_scale", 1, 1, "duet.", e));
    TRY(fixed_number(duet, "logit_softcap", 0, 0, "duet.", e));
    TRY(fixed_number(duet, "rope_local_theta", 0, 0, "duet.", e));
    if (json_is_true(json_object_get(duet, "value_embeds")))
        return err_set(e, ERR_INPUT, "it has no place for duet.value_embeds");
    const json_t *act = json_object_get(c, "hidden_act");
    if (act && strcmp(json_is_string(act) ? json_string_value(act) : "", parts_act(parts)) != 0)
        return err_set(e, ERR_INPUT, "it has no place for hidden_act, which is not \"%s\"",
                       parts_act(parts));
    const json_t *scaling = json_object_get(c, "rope_scaling");
    if (scaling && !json_is_null(scaling))
        return err_set(e, ERR_INPUT, "it has no place for rope_scaling");
    if (json_array_size(json_object_get(duet, "rope_factors")))
        return err_set(e, ERR_INPUT, "it has no place for duet.rope_factors");
out:
    return rc;
}

static int config_dims(struct llama_dims *d, const json_t *c, struct err *e) {
    int rc;
    TRY(config_size(c, "hidden_size", 0, &d->dim, e));
    TRY(config_size(c, "intermediate_size", 0, &d->hidden, e));
    TRY(config_size(c, "num_hidden_layers", 0, &d->layers, e));
    TRY(config_size(c, "num_attention_heads", 0, &d->heads, e));
    TRY(config_size(c, "num_key_value_heads", d->heads, &d->kv_heads, e));
    TRY(config_size(c, "head_dim", d->dim / d->heads, &d->head_dim, e));
    TRY(config_size(c, "vocab_size", 0, &d->vocab, e));
    TRY(config_size(c, "max_position_embeddings", 0, &d->seq, e));
    TRY(config_fixed(c, d->parts, e));
    d->tied = json_is_true(json_object_get(c, "tie_word_embeddings"));
    TRY(llama_dims_check(d, "config", e));
out:
    return rc;
}

static int tensor_fits(const struct mf_tensor *t, const struct mf_tensor *want, const char *name,
                       struct err *e) {
    if (!t) return err_set(e, ERR_INPUT, "tensor %s is missing", name);
    if (t->ndim != want->ndim || t->shape[0] != want->shape[0] ||
        (t->ndim == 2 && t->shape[1] != want->shape[1]))
        return err_set(e, ERR_INPUT, "tensor %s has another shape than the config says", name);
    if (!dtype_is_float(t->dtype) || (t->ndim == 1 && dtype_row(t->dtype)->block > 1))
        return err_set(e, ERR_INPUT, "tensor %s is %s, not a float type", name,
                       dtype_row(t->dtype)->name);
    if (t->rope_heads != 0 && t->rope_heads != want->rope_heads)
        return err_set(e, ERR_INPUT, "tensor %s has rows paired within %d heads, not %d", name,
                       t->rope_heads, want->rope_heads);
    return 0;
}

/* The table of mf is exactly the parts of d: nothing is missing, nothing would be lost. */
static int tensors_fit(const struct llama_dims *d, const struct model_file *mf, struct err *e) {
    int rc = 0;
    bool *seen = calloc(mf->n_tensors + 1, sizeof *seen);
    if (!seen) return err_set(e, ERR_NOMEM, "no memory");
    for (const struct part *p = d->parts->part; p < d->parts->part + d->parts->n; p++)
        for (uint64_t l = 0; l < copies(d, p); l++) {
            char name[PART_NAME];
            part_name(name, p, NAMES_HF, (uint32_t)l);
            const struct mf_tensor *t = model_file_find(mf, name), want = part_tensor(d, p);
            TRY(tensor_fits(t, &want, name, e));
            seen[t - mf->tensors] = true;
        }
    for (size_t i = 0; i < mf->n_tensors; i++)
        if (!seen[i]) {
            rc = err_set(e, ERR_INPUT, "it has no place for tensor %s", mf->tensors[i].name);
            break;
        }
out:
    free(seen);
    return rc;
}

int llama_dims_from(struct llama_dims *d, json_t **config, const struct model_file *mf,
                    const char *format, struct err *e) {
    int rc;
    json_error_t je;
    *config = json_loads(mf->config ? mf->config : "", JSON_REJECT_DUPLICATES, &je);
    if (!json_is_object(*config)) {
        rc = err_set(e, ERR_INPUT, "the config is not a JSON object");
        goto out;
    }
    d->parts = llama_parts(mf);
    TRY(config_dims(d, *config, e));
    TRY(tensors_fit(d, mf, e));
out:
    if (rc) {
        json_decref(*config);
        *config = NULL;
        err_prefix(e, "%s: cannot be written as %s", mf->path ? mf->path : "model", format);
    }
    return rc;
}

int llama_write(struct file_out *o, const struct model_file *mf, const struct llama_dims *d,
                enum part_kind kind, uint64_t layer, struct err *e) {
    char name[PART_NAME];
    const struct part *p;
    part_at(d, kind, layer, name, &p);
    const struct mf_tensor *t = model_file_find(mf, name);
    struct mf_tensor wide = {.name = t->name,
                             .dtype = DT_F32,
                             .ndim = t->ndim,
                             .shape = {t->shape[0], t->shape[1]},
                             .from = t};
    if (t->from) {
        wide.from = t->from;
        mf_tensor_set_factor(&wide, mf_tensor_factor(t));
    }
    return mf_tensor_write(o, mf, &wide, part_tensor(d, p).rope_heads, e);
}
