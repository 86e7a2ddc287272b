/* Models, adapters and tokenizers as facts. */
#include "adapter.h"
#include "config_refuse.h"
#include "describe.h"
#include "facts.h"
#include "import.h"
#include "model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void describe_tokenizer(json_t *o, const struct tokenizer *t) {
    facts_text(o, "kind", tokenizer_kind(t));
    facts_whole(o, "vocab_size", tokenizer_vocab_size(t));
    facts_put(o, "bos", json_integer(tokenizer_bos(t)));
    facts_put(o, "eos", json_integer(tokenizer_eos(t)));
    facts_hex(o, "hash", tokenizer_hash(t));
    facts_text(o, "note", tokenizer_note(t));
}

/* "llama: layers 5, hidden 64, ..." from the keys that are there. */
static json_t *architecture(const json_t *config) {
    static const struct {
        const char *key, *name;
    } sizes[] = {{"num_hidden_layers", "layers"},       {"hidden_size", "hidden"},
                 {"intermediate_size", "intermediate"}, {"num_attention_heads", "heads"},
                 {"num_key_value_heads", "kv heads"},   {"head_dim", "head size"},
                 {"vocab_size", "vocabulary"},          {"max_position_embeddings", "context"}};
    const char *type = json_string_value(json_object_get(config, "model_type"));
    char line[512];
    int n = snprintf(line, sizeof line, "%.60s:", type ? type : "no model_type");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const json_t *v = json_object_get(config, sizes[i].key);
        if (json_is_integer(v))
            n += snprintf(line + n, sizeof line - (size_t)n, " %s %lld,", sizes[i].name,
                          (long long)json_integer_value(v));
    }
    const json_t *trained = json_object_get(json_object_get(config, "duet"), "seq_len");
    if (json_is_integer(trained))
        n += snprintf(line + n, sizeof line - (size_t)n, " trained at %lld,",
                      (long long)json_integer_value(trained));
    bool tied = json_is_true(json_object_get(config, "tie_word_embeddings"));
    snprintf(line + n, sizeof line - (size_t)n, " %s classifier", tied ? "tied" : "untied");
    return json_string(line);
}

/* The first weight that is NaN or infinite is an error. */
static int check_finite(const struct model_file *mf, struct err *e) {
    float buf[4096];
    for (size_t i = 0; i < mf->n_tensors; i++) {
        const struct mf_tensor *t = &mf->tensors[i];
        uint64_t count = dtype_is_float(t->dtype) ? mf_tensor_count(t) : 0;
        for (uint64_t k = 0; k < count; k += 4096) {
            size_t n = count - k < 4096 ? (size_t)(count - k) : 4096;
            dtype_to_f32(t->dtype, (const uint8_t *)t->data + dtype_bytes(t->dtype, k), buf, n);
            for (size_t j = 0; j < n; j++)
                if (!isfinite(buf[j]))
                    return err_set(e, ERR_INPUT,
                                   "%s: tensor %s at offset %" PRIu64 ": weight %" PRIu64 " is %f",
                                   mf->path, t->name, t->offset, k + j, (double)buf[j]);
        }
    }
    return 0;
}

static json_t *tensor_list(const struct model_file *mf) {
    json_t *list = json_array();
    for (size_t i = 0; i < mf->n_tensors; i++) {
        const struct mf_tensor *t = &mf->tensors[i];
        json_t *shape = json_array(), *o = json_object();
        for (int d = 0; d < t->ndim; d++)
            json_array_append_new(shape, json_integer((json_int_t)t->shape[d]));
        facts_text(o, "name", t->name);
        facts_text(o, "dtype", dtype_row(t->dtype)->name);
        facts_put(o, "shape", shape);
        facts_whole(o, "offset", t->offset);
        json_array_append_new(list, o);
    }
    return list;
}

/* Parameters are the elements of float tensors; by_type counts tensors. */
static uint64_t count_parameters(const struct model_file *mf, json_t *by_type) {
    uint64_t parameters = 0;
    for (size_t i = 0; i < mf->n_tensors; i++) {
        const struct mf_tensor *t = &mf->tensors[i];
        const char *name = dtype_row(t->dtype)->name;
        facts_put(by_type, name,
                  json_integer(json_integer_value(json_object_get(by_type, name)) + 1));
        if (dtype_is_float(t->dtype)) parameters += mf_tensor_count(t);
    }
    return parameters;
}

/* The file's tokenizer. What cannot be read of it is said, and no reason to say nothing else. */
static void info_blob(json_t *o, const struct model_file *mf) {
    struct tokenizer *t;
    struct err why;
    if (mf->tokenizer_problem) facts_text(o, "tokenizer_error", mf->tokenizer_problem);
    const struct tok_own own = model_file_tok_own(mf);
    if (tokenizer_open_own(&t, &own, mf->path, &why)) facts_text(o, "tokenizer_error", why.msg);
    if (!t) return;
    json_t *tok = json_object();
    describe_tokenizer(tok, t);
    facts_put(o, "tokenizer", tok);
    tokenizer_close(t);
}

static uint64_t file_bytes(const struct model_file *mf) {
    uint64_t sum = mf->map.size;
    for (size_t i = 0; i < mf->n_maps; i++) sum += mf->maps[i].size;
    return sum;
}

/* Keys that duet passes over, and that may change what the model computes. */
static void info_unknown(json_t *o, json_t *config) {
    char text[600];
    if (config_unknown(config, text, sizeof text)) facts_text(o, "unknown_keys", text);
}

/* What of the vocabulary occurred in the data of a compacted model. */
static void describe_map(json_t *o, const struct model_file *mf, const json_t *config) {
    const struct mf_tensor *t = model_file_find(mf, "duet.vocab_map");
    const json_t *vocab = json_object_get(config, "vocab_size");
    char line[96];
    if (!t || t->dtype != DT_U32 || t->ndim != 1) return;
    snprintf(line, sizeof line, "%llu of %lld ids occurred in training",
             (unsigned long long)t->shape[0], (long long)json_integer_value(vocab));
    facts_text(o, "vocab_map", line);
}

/* A file without weights that tells what a run began from. */
static bool is_start(const struct model_file *mf, const json_t *meta) {
    return !mf->n_tensors && json_is_object(json_object_get(meta, "sources"));
}

static void describe_file(json_t *o, const struct model_file *mf,
                          const struct describe_opts *opt) {
    json_error_t je;
    json_t *by_type = json_object(), *config = json_loads(mf->config, 0, &je);
    json_t *meta = mf->meta ? json_loads(mf->meta, 0, &je) : NULL;
    const bool adapter = json_object_get(config, "duet_adapter"), start = is_start(mf, meta);
    facts_text(o, "kind", adapter ? "adapter" : start ? "what a run began from" : "model");
    facts_text(o, "format", mf->format->name);
    facts_whole(o, "bytes", file_bytes(mf));
    if (!adapter && json_object_size(config)) facts_put(o, "model", architecture(config));
    const uint64_t parameters = count_parameters(mf, by_type);
    if (!start) {
        facts_whole(o, "parameters", parameters);
        facts_whole(o, "tensors", mf->n_tensors);
        facts_put(o, "dtypes", json_incref(by_type));
    }
    json_decref(by_type);
    describe_map(o, mf, config);
    if (adapter) {
        struct err ignored;
        (void)describe_adapter(o, mf->path, &ignored);
    }
    facts_put(o, "config", config);
    if (!adapter) info_unknown(o, config);
    facts_put(o, "meta", meta);
    if (mf->notes) {
        mf->notes[strlen(mf->notes) - 1] = 0; /* the last line break */
        facts_text(o, "note", mf->notes);
    }
    info_blob(o, mf);
    if (opt->verify)
        facts_text(o, "verified",
                   mf->format->checksums ? "checksums, all weights finite"
                                         : "all weights finite (the format has no checksums)");
    if (opt->tensors) facts_put(o, "tensor_list", tensor_list(mf));
}

int describe_model(json_t *o, struct model_file *mf, const struct describe_opts *opt,
                   struct err *e) {
    struct err why = {0};
    int rc = 0;
    if (opt->verify) TRY(check_finite(mf, e));
    if (model_import_file(mf, &why)) facts_text(o, "tokenizer_error", why.msg);
    describe_file(o, mf, opt);
out:
    model_file_close(mf);
    return rc;
}

void describe_config(json_t *o, json_t *config, uint64_t parameters) {
    facts_text(o, "kind", "description of a model");
    facts_put(o, "model", architecture(config));
    facts_whole(o, "parameters", parameters);
    facts_put(o, "config", json_incref(config));
    info_unknown(o, config);
}

/* ---- adapters -------------------------------------------------------------------------------- */

int describe_adapter(json_t *o, const char *path, struct err *e) {
    struct adapter_info a;
    json_error_t je;
    const int rc = adapter_info_read(&a, path, e);
    if (rc) return rc;
    /* What the file does not say, as most adapters of others do not, is left out. */
    const struct {
        const char *key;
        int64_t n;
    } sizes[] = {{"hidden_size", a.dim},
                 {"intermediate_size", a.hidden},
                 {"num_hidden_layers", a.layers},
                 {"vocab_size", a.vocab}};
    if (a.base_hash) facts_hex(o, "base_hash", a.base_hash);
    facts_whole(o, "rank", (uint64_t)a.rank);
    facts_real(o, "alpha", a.alpha);
    facts_put(o, "rslora", json_boolean(a.rslora));
    facts_text(o, "targets", a.targets);
    if (*a.init) facts_text(o, "init", a.init);
    facts_put(o, "norms", json_boolean(a.norms));
    facts_whole(o, "parameters", (uint64_t)a.params);
    if (*a.model_type) facts_text(o, "model_type", a.model_type);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].n) facts_whole(o, sizes[i].key, (uint64_t)sizes[i].n);
    if (a.set) facts_put(o, "set", json_incref(a.set));
    if (a.meta) facts_put(o, "meta", json_loads(a.meta, 0, &je));
    adapter_info_release(&a);
    return 0;
}
