/* Models to GGUF: what llama.cpp must be told, always all of it, and the tensors of the
 * architecture, no more and no less. */
#include "gguf.h"
#include "rope_keys.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- config --------------------------------------------------------------------------------- */

static const json_t *get(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    return json_is_null(v) ? NULL : v;
}

int gguf_config_u32(const json_t *config, const char *key, uint32_t def, uint32_t *v,
                    struct err *e) {
    const json_t *j = get(config, key);
    *v = def;
    if (!j && def) return 0;
    if (!json_is_integer(j) || json_integer_value(j) < 1 || json_integer_value(j) > INT32_MAX)
        return err_set(e, ERR_INPUT, "config: %s is %s, expected 1 to %d", key,
                       j ? "not such a number" : "missing", INT32_MAX);
    *v = (uint32_t)json_integer_value(j);
    return 0;
}

int gguf_config_arch(const struct part_tables *archs, const json_t *config,
                     const struct part_table **parts, struct err *e) {
    const char *type = json_string_value(get(config, "model_type"));
    char known[200];
    if (!type) return err_set(e, ERR_INPUT, "config: model_type is missing or not a text");
    *parts = parts_find(archs, type);
    return *parts && (*parts)->gguf
               ? 0
               : err_set(e, ERR_INPUT, "config: model_type is %.40s; duet writes %s", type,
                         parts_names(archs, false, " and ", known, sizeof known));
}

/* A number >= 0 that has a float. */
static int config_f32(const json_t *config, const char *key, float def, float *v, struct err *e) {
    const json_t *j = get(config, key);
    *v = j ? (float)json_number_value(j) : def;
    if ((!j || json_is_number(j)) && isfinite(*v) && *v >= 0) return 0;
    return err_set(e, ERR_INPUT, "config: %s is not a number >= 0 that fits an f32", key);
}

static int config_bool(const json_t *config, const char *key, bool def, bool *v, struct err *e) {
    const json_t *j = get(config, key);
    if (j && !json_is_boolean(j))
        return err_set(e, ERR_INPUT, "config: %s is not true or false", key);
    *v = j ? json_is_true(j) : def;
    return 0;
}

/* What the function depends on and GGUF has no key for. */
static int check_plain(const json_t *config, const struct part_table *parts, struct err *e) {
    const json_t *duet = get(config, "duet"), *act = get(config, "hidden_act");
    const json_t *cap = get(duet, "logit_softcap"), *scale = get(duet, "residual_scale");
    const json_t *norm = get(duet, "qk_norm"), *local = get(duet, "rope_local_theta");
    if (act && (!json_is_string(act) || strcmp(json_string_value(act), parts_act(parts)) != 0))
        return err_set(e, ERR_INPUT, "config: hidden_act is not \"%s\"", parts_act(parts));
    if (cap && json_number_value(cap) != 0)
        return err_set(e, ERR_INPUT, "config: duet.logit_softcap has no key in GGUF");
    if (scale && json_number_value(scale) != 1)
        return err_set(e, ERR_INPUT,
                       "config: duet.residual_scale is not 1, and has no key in GGUF");
    if (json_is_true(get(duet, "value_embeds")))
        return err_set(e, ERR_INPUT, "config: duet.value_embeds has no key in GGUF");
    if (local && json_number_value(local) != 0)
        return err_set(e, ERR_INPUT, "config: duet.rope_local_theta has no key in GGUF");
    if (norm && json_is_true(norm) != parts_default_true(parts, "duet.qk_norm"))
        return err_set(e, ERR_INPUT, "config: duet.qk_norm is %s, but architecture %s %s it",
                       json_is_true(norm) ? "true" : "false", parts->gguf,
                       json_is_true(norm) ? "does not have" : "has");
    return 0;
}

/* Linear scaling; Llama 3's comes as duet.rope_factors. */
static int read_rope(const json_t *config, struct gguf_dims *d, struct err *e) {
    const json_t *rope = get(config, "rope_scaling");
    int rc;
    TRY(config_f32(config, "rope_theta", 10000, &d->theta, e));
    d->rope_factor = 1;
    if (!rope) goto out;
    const char *type = json_string_value(get(rope, "rope_type"));
    if (!type) type = json_string_value(get(rope, "type"));
    if (type && !strcmp(type, "linear")) {
        TRY(config_f32(rope, "factor", 1, &d->rope_factor, e));
        if (d->rope_factor == 0)
            rc = err_set(e, ERR_INPUT, "config: factor of the rotary scaling is 0");
    } else if (!type || strcmp(type, "default") != 0) {
        rc = err_set(e, ERR_INPUT, "config: rotary scaling of type %.40s has no key in GGUF",
                     type ? type : "(none)");
    }
out:
    return rc;
}

static int read_dims(const json_t *config, const struct part_table *parts, struct gguf_dims *d,
                     struct err *e) {
    int rc;
    bool tied;
    *d = (struct gguf_dims){.has[IF_ALWAYS] = true};
    TRY(gguf_config_u32(config, "max_position_embeddings", 2048, &d->ctx, e));
    TRY(gguf_config_u32(config, "hidden_size", 0, &d->embd, e));
    TRY(gguf_config_u32(config, "num_hidden_layers", 0, &d->layers, e));
    TRY(gguf_config_u32(config, "intermediate_size", 0, &d->ffn, e));
    TRY(gguf_config_u32(config, "num_attention_heads", 0, &d->heads, e));
    TRY(gguf_config_u32(config, "num_key_value_heads", d->heads, &d->kv_heads, e));
    TRY(gguf_config_u32(config, "head_dim", d->embd / d->heads, &d->head_dim, e));
    TRY(gguf_config_u32(config, "vocab_size", 0, &d->vocab, e));
    TRY(config_f32(config, "rms_norm_eps", 1e-6f, &d->eps, e));
    TRY(config_bool(config, "tie_word_embeddings", false, &tied, e));
    TRY(config_bool(config, "attention_bias", parts_default_true(parts, "attention_bias"),
                    &d->has[IF_BIAS], e));
    d->has[IF_UNTIED] = !tied;
    d->has[IF_QK_NORM] = parts_default_true(parts, "duet.qk_norm");
    TRY(read_rope(config, d, e));
out:
    return rc;
}

/* ---- pairs ---------------------------------------------------------------------------------- */

static const char *arch_key(char buf[80], const char *arch, const char *key) {
    snprintf(buf, 80, "%s.%s", arch, key);
    return buf;
}

static void put_dims(struct gguf_out *o, const char *arch, const struct gguf_dims *d) {
    const struct {
        const char *key;
        uint32_t v;
    } sizes[] = {{"context_length", d->ctx},
                 {"embedding_length", d->embd},
                 {"block_count", d->layers},
                 {"feed_forward_length", d->ffn},
                 {"attention.head_count", d->heads},
                 {"attention.head_count_kv", d->kv_heads},
                 {"attention.key_length", d->head_dim},
                 {"attention.value_length", d->head_dim},
                 {"rope.dimension_count", d->head_dim},
                 {"vocab_size", d->vocab}};
    char key[80];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        gguf_put_u32(o, arch_key(key, arch, sizes[i].key), sizes[i].v);
    gguf_put_f32(o, arch_key(key, arch, "attention.layer_norm_rms_epsilon"), d->eps);
    gguf_put_f32(o, arch_key(key, arch, "rope.freq_base"), d->theta);
    if (d->rope_factor == 1) return;
    gguf_put_string(o, arch_key(key, arch, "rope.scaling.type"), "linear");
    gguf_put_f32(o, arch_key(key, arch, "rope.scaling.factor"), d->rope_factor);
}

/* general.file_type: that of most matrices. */
static uint32_t file_type(const struct model_file *mf) {
    static const struct {
        enum dtype dtype;
        uint32_t file_type;
    } types[] = {{DT_F32, 0},   {DT_F16, 1},   {DT_Q4_0, 2}, {DT_Q4_1, 3},
                 {DT_Q8_0, 7},  {DT_Q5_0, 8},  {DT_Q5_1, 9}, {DT_Q4_K, 15},
                 {DT_Q5_K, 17}, {DT_Q6_K, 18}, {DT_BF16, 32}};
    size_t count[DT_COUNT] = {0}, best = 0;
    uint32_t type = 0;
    for (size_t i = 0; i < mf->n_tensors; i++)
        if (mf->tensors[i].ndim == 2) count[mf->tensors[i].dtype]++;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (count[types[i].dtype] > best) {
            best = count[types[i].dtype];
            type = types[i].file_type;
        }
    return type;
}

/* general.size_label: how many parameters, as gguf-py writes it ("1.3M", "135M"). */
static void put_size_label(struct gguf_out *o, const struct model_file *mf) {
    static const char units[] = "KMBT";
    char label[32];
    double n = 0;
    int unit = -1;
    for (size_t i = 0; i < mf->n_tensors; i++) n += (double)mf_tensor_count(mf->tensors + i);
    while ((n > 1000 && unit < 3) || unit < 0) {
        n /= 1000;
        unit++;
    }
    snprintf(label, sizeof label, "%.*f%c",
             round(n) < 1    ? 2
             : round(n) < 10 ? 1
                             : 0,
             n, units[unit]);
    gguf_put_string(o, "general.size_label", label);
}

/* ---- tensors -------------------------------------------------------------------------------- */

/* Has the model this part, and GGUF a name for it? */
static bool is_part(const struct part *p, const struct gguf_dims *d) {
    return p->gguf && d->has[p->when];
}

static int add_tensor(struct gguf_out *o, const struct model_file *mf,
                      const struct part_table *parts, const struct part *p, uint32_t layer,
                      const struct gguf_dims *d, struct err *e) {
    const struct part_sizes sizes = gguf_sizes(d);
    uint64_t shape[2];
    char hf[PART_NAME], name[PART_NAME];
    part_name(hf, p, NAMES_HF, layer);
    part_name(name, p, NAMES_GGUF, layer);
    const struct mf_tensor *t = model_file_find(mf, hf);
    if (!t) return err_set(e, ERR_INPUT, "tensor %s is missing", hf);
    const int ndim = part_shape(p, &sizes, shape);
    if (t->ndim != ndim || t->shape[0] != shape[0] || (ndim == 2 && t->shape[1] != shape[1]))
        return err_set(e, ERR_INPUT, "tensor %s has another shape than the config says", hf);
    return gguf_out_tensor(o, name, t, gguf_heads(parts, p, (int)d->heads, (int)d->kv_heads), 1, e);
}

/* Names a tensor of mf that was not added. */
static int refuse_extra(const struct model_file *mf, const struct part_table *parts,
                        const struct gguf_dims *d, struct err *e) {
    for (size_t i = 0; i < mf->n_tensors; i++) {
        uint32_t layer;
        const struct part *p = part_find(parts, NAMES_HF, mf->tensors[i].name, &layer);
        if (!p || layer >= d->layers || !is_part(p, d))
            return err_set(e, ERR_INPUT, "architecture %s of GGUF has no place for tensor %s",
                           parts->gguf, mf->tensors[i].name);
    }
    return 0;
}

static int add_tensors(struct gguf_out *o, const struct model_file *mf,
                       const struct part_table *parts, const struct gguf_dims *d, struct err *e) {
    int rc;
    TRY(refuse_extra(mf, parts, d, e));
    for (int i = 0; i < parts->n;) {
        /* Parts of a layer stand together, and layer by layer. */
        const bool layers = part_in_layers(parts->part + i);
        int end = i + 1;
        while (layers && end < parts->n && part_in_layers(parts->part + end)) end++;
        for (uint32_t l = 0; l < (layers ? d->layers : 1); l++)
            for (int k = i; k < end; k++)
                if (is_part(parts->part + k, d))
                    TRY(add_tensor(o, mf, parts, parts->part + k, l, d, e));
        i = end;
    }
out:
    return rc;
}

/* duet.rope_factors as rope_freqs.weight; *data: to be freed when the file is written. */
static int add_rope_freqs(struct gguf_out *o, const json_t *config, const struct part_table *parts,
                          const struct gguf_dims *d, float **data, struct err *e) {
    const json_t *list = get(get(config, "duet"), "rope_factors");
    const size_t n = d->head_dim / 2;
    char name[] = "duet.rope_factors";
    if (!list) return 0;
    if (!parts->gguf_pairs)
        return err_set(e, ERR_INPUT,
                       "config: duet.rope_factors (or rotary scaling of type llama3) "
                       "has no place in architecture %s of GGUF",
                       parts->gguf);
    if (json_array_size(list) != n)
        return err_set(e, ERR_INPUT, "config: duet.rope_factors is not a list of %zu numbers", n);
    if (!(*data = malloc(n * sizeof **data))) return err_set(e, ERR_NOMEM, "no memory");
    for (size_t i = 0; i < n; i++) {
        (*data)[i] = (float)json_number_value(json_array_get(list, i));
        if (!((*data)[i] > 0 && isfinite((*data)[i])))
            return err_set(e, ERR_INPUT, "config: duet.rope_factors[%zu] is not a number > 0", i);
    }
    const struct mf_tensor t = {
        .name = name, .dtype = DT_F32, .ndim = 1, .shape = {n, 0}, .data = *data};
    return gguf_out_tensor(o, "rope_freqs.weight", &t, 0, 1, e);
}

/* ---- the file ------------------------------------------------------------------------------- */

static int write_model(const struct model_file *mf, json_t *config, const char *path,
                       struct err *e) {
    struct gguf_out o = {0};
    struct gguf_dims d;
    const struct part_table *parts;
    float *factors = NULL;
    int rc;
    TRY(rope_keys_flatten(config, "config", e));
    TRY(gguf_config_arch(mf->archs, config, &parts, e));
    TRY(check_plain(config, parts, e));
    TRY(read_dims(config, parts, &d, e));
    TRY(gguf_out_init(&o, mf->n_tensors + 1, e));
    gguf_put_general(&o, mf, config, parts->gguf, "model");
    put_size_label(&o, mf);
    put_dims(&o, parts->gguf, &d);
    gguf_put_u32(&o, "general.file_type", file_type(mf));
    gguf_put_u32(&o, "general.quantization_version", 2);
    TRY(gguf_put_vocab(&o, mf->vocab, config, d.vocab, e));
    TRY(gguf_put_kept(&o, json_object_get(json_object_get(config, "duet"), "gguf"), e));
    TRY(add_rope_freqs(&o, config, parts, &d, &factors, e));
    TRY(add_tensors(&o, mf, parts, &d, e));
    TRY(gguf_out_write(&o, mf, path, e));
out:
    rc = gguf_out_refuse(&o, mf, rc, e);
    gguf_out_release(&o);
    free(factors);
    return rc;
}

int gguf_write(const struct model_file *mf, const char *path, struct err *e) {
    json_error_t je;
    json_t *config = json_loads(mf->config ? mf->config : "", JSON_REJECT_DUPLICATES, &je);
    int rc;
    if (!json_is_object(config))
        rc = err_set(e, ERR_INPUT,
                     "%s: cannot be written as GGUF: the config is not a JSON object",
                     mf->path ? mf->path : "model");
    else if (json_object_get(config, "duet_adapter"))
        rc = gguf_write_adapter(mf, config, path, e);
    else
        rc = write_model(mf, config, path, e);
    json_decref(config);
    return rc;
}
