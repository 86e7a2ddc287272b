/* duet info: what a file is. Models of every readable format, token shards, tokenizers. */
#include "cmd.h"
#include "config_refuse.h"
#include "import.h"
#include "magic.h"
#include "model.h"
#include "shard.h"
#include "tokenizer.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX ((size_t)1 << 20) /* bytes of a run's config.json */

struct opts {
    bool tensors, verify, json;
};

static const struct conf_row rows[] = {
    CONF_BOOL(struct opts, tensors, "tensors", "list every tensor of a model"),
    CONF_BOOL(struct opts, verify, "verify",
              "check everything: checksums, token ranges, that every weight is finite"),
    CONF_BOOL(struct opts, json, "json", "print the result as one JSON object"),
    CONF_END,
};

/* Adds a fact to the result. Takes over value. */
static void put(json_t *o, const char *key, json_t *value) {
    json_object_set_new(o, key, value);
}

static json_t *hex(uint64_t v) {
    char s[17];
    snprintf(s, sizeof s, "%016" PRIx64, v);
    return json_string(s);
}

static json_t *whole(uint64_t v) {
    return json_integer((json_int_t)v);
}

static void describe_tokenizer(json_t *o, const struct tokenizer *t) {
    put(o, "kind", json_string(tokenizer_kind(t)));
    put(o, "vocab_size", whole(tokenizer_vocab_size(t)));
    put(o, "bos", json_integer(tokenizer_bos(t)));
    put(o, "eos", json_integer(tokenizer_eos(t)));
    put(o, "hash", hex(tokenizer_hash(t)));
    if (tokenizer_note(t)) put(o, "note", json_string(tokenizer_note(t)));
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
        for (int d = 0; d < t->ndim; d++) json_array_append_new(shape, whole(t->shape[d]));
        put(o, "name", json_string(t->name));
        put(o, "dtype", json_string(dtype_row(t->dtype)->name));
        put(o, "shape", shape);
        put(o, "offset", whole(t->offset));
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
        put(by_type, name, json_integer(json_integer_value(json_object_get(by_type, name)) + 1));
        if (dtype_is_float(t->dtype)) parameters += mf_tensor_count(t);
    }
    return parameters;
}

/* The blob's tokenizer. What cannot be read of it is said, and no reason to say nothing else. */
static void info_blob(json_t *o, const struct model_file *mf) {
    struct tokenizer *t;
    struct err why;
    if (mf->tokenizer_problem) put(o, "tokenizer_error", json_string(mf->tokenizer_problem));
    if (!mf->tokenizer) return;
    if (tokenizer_open_blob(&t, mf->tokenizer, mf->tokenizer_bytes, mf->path, &why)) {
        put(o, "tokenizer_error", json_string(why.msg));
        return;
    }
    json_t *tok = json_object();
    describe_tokenizer(tok, t);
    put(o, "tokenizer", tok);
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
    if (config_unknown(config, text, sizeof text)) put(o, "unknown_keys", json_string(text));
}

static void describe_file(json_t *o, const struct model_file *mf, const struct opts *opt) {
    json_error_t je;
    json_t *by_type = json_object(), *config = json_loads(mf->config, 0, &je);
    const bool adapter = json_object_get(config, "duet_adapter");
    put(o, "kind", json_string(adapter ? "adapter" : "model"));
    put(o, "format", json_string(mf->format->name));
    put(o, "bytes", whole(file_bytes(mf)));
    if (!adapter && json_object_size(config)) put(o, "model", architecture(config));
    put(o, "parameters", whole(count_parameters(mf, by_type)));
    put(o, "tensors", whole(mf->n_tensors));
    put(o, "dtypes", by_type);
    put(o, "config", config);
    if (!adapter) info_unknown(o, config);
    if (mf->meta) put(o, "meta", json_loads(mf->meta, 0, &je));
    if (mf->notes) {
        mf->notes[strlen(mf->notes) - 1] = 0; /* the last line break */
        put(o, "note", json_string(mf->notes));
    }
    info_blob(o, mf);
    if (opt->verify)
        put(o, "verified",
            json_string(mf->format->checksums ? "checksums, all weights finite"
                                              : "all weights finite (the format has "
                                                "no checksums)"));
    if (opt->tensors) put(o, "tensor_list", tensor_list(mf));
}

/* Takes over *mf. */
static int info_model(json_t *o, struct model_file *mf, const struct opts *opt, struct err *e) {
    struct err why = {0};
    int rc = 0;
    if (opt->verify) TRY(check_finite(mf, e));
    if (model_import_file(mf, &why)) put(o, "tokenizer_error", json_string(why.msg));
    describe_file(o, mf, opt);
out:
    model_file_close(mf);
    return rc;
}

static int info_shard(json_t *o, const char *path, const struct opts *opt, struct err *e) {
    struct shard s = {0};
    int rc = shard_open(&s, path, SHARD_DUET, 0, opt->verify, e);
    if (rc) return rc;
    put(o, "kind", json_string("shard"));
    put(o, "bytes", whole(s.map.size));
    put(o, "token_bytes", whole((uint64_t)s.width));
    put(o, "vocab_size", whole(s.vocab));
    put(o, "tokenizer_hash", hex(s.tok_hash));
    put(o, "tokens", whole(s.n_tokens));
    put(o, "text_bytes", whole(s.n_bytes));
    put(o, "documents", whole(s.n_docs));
    put(o, "entropy_known", json_boolean(s.doc_bits != NULL));
    if (opt->verify) put(o, "verified", json_string("checksums, all tokens in range"));
    shard_close(&s);
    return 0;
}

static int info_tokenizer(json_t *o, const char *path, struct err *e) {
    struct tokenizer *t;
    int rc = model_open_tokenizer(&t, path, e);
    if (rc) return rc;
    put(o, "kind", json_string("tokenizer"));
    json_t *tok = json_object();
    describe_tokenizer(tok, t);
    put(o, "tokenizer", tok);
    tokenizer_close(t);
    return 0;
}

/* Weights that cannot be read are an error, and no folder of a tokenizer. */
static bool has_weights(const char *dir) {
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json",
                                        "adapter_model.safetensors"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++) {
        char *path = file_join(dir, names[i]);
        found = path && file_exists(path);
        free(path);
    }
    return found;
}

static int info_folder(json_t *o, const char *path, const struct opts *opt, struct err *e) {
    struct model_file mf;
    struct err ignored;
    const int rc = model_file_open(&mf, path, opt->verify, e);
    if (!rc) return info_model(o, &mf, opt, e);
    return has_weights(path) || info_tokenizer(o, path, &ignored) ? rc : 0;
}

/* A description alone: what a model of it would have. */
static int info_description(json_t *o, const char *path, struct err *e) {
    int rc;
    struct model_config c;
    struct model m = {0};
    TRY(model_config_read(&c, path, NULL, e));
    TRY(model_create(&m, &c, e)); /* takes c over */
    put(o, "kind", json_string("description of a model"));
    put(o, "model", architecture(m.config.json));
    put(o, "parameters", whole((uint64_t)model_param_count(&m)));
    put(o, "config", json_incref(m.config.json));
    info_unknown(o, m.config.json);
out:
    model_close(&m);
    return rc;
}

static int info_options(json_t *o, const char *path, struct err *e) {
    char *text;
    size_t n;
    json_error_t je;
    int rc = file_read_text(path, OPTIONS_MAX, &text, &n, e);
    if (rc) return rc;
    json_t *options = json_loadb(text, n, JSON_REJECT_DUPLICATES, &je);
    free(text);
    if (!options)
        return err_set(e, ERR_INPUT, "%s: line %d: not valid JSON: %s", path, je.line, je.text);
    put(o, "kind", json_string("options of a run"));
    put(o, "options", options);
    return 0;
}

static int info_file(json_t *o, const char *path, const struct opts *opt, struct err *e) {
    struct file_map map;
    struct model_file mf;
    struct err ignored;
    int rc = file_map_open(&map, path, e);
    if (rc) return rc;
    const bool model = format_probe(map.data, map.size);
    const struct magic *known = magic_find(map.data, map.size);
    const bool object = !known && map.size > 0 && map.data[0] == '{'; /* a tokenizer, or why not */
    if (!model && (object || (known && known->kind == MAGIC_TOKENIZER)))
        rc = info_tokenizer(o, path, e);
    else if (!model && known && known->kind == MAGIC_DESCRIPTION)
        rc = info_description(o, path, e);
    else if (!model && known && known->kind == MAGIC_OPTIONS)
        rc = info_options(o, path, e);
    else if (model || known || info_tokenizer(o, path, &ignored) != 0)
        rc = model_file_open_map(&mf, &map, opt->verify, e); /* or says what could have been */
    if (!rc && !json_object_size(o)) rc = info_model(o, &mf, opt, e);
    file_map_close(&map);
    return rc;
}

static int info(json_t *o, const char *path, const struct opts *opt, struct err *e) {
    if (file_is_dir(path)) return info_folder(o, path, opt, e);
    return shard_probe(path) ? info_shard(o, path, opt, e) : info_file(o, path, opt, e);
}

/* Long texts are cut: --json has all of them. */
static void print_wide(int width, const char *key, const json_t *v) {
    enum { WIDTH = 240 };
    char *text =
        json_is_string(v) ? NULL : json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    const char *s = text ? text : json_string_value(v);
    char line[WIDTH + 1];
    snprintf(line, sizeof line, "%s", s);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127) *p = '?'; /* a file's, to a terminal */
    printf("  %-*s %s%s\n", width, key, line, strlen(s) > WIDTH ? " ..." : "");
    free(text);
}

static void print_fact(const char *key, const json_t *v) {
    print_wide(15, key, v);
}

static void print_options(json_t *options) {
    const char *key;
    json_t *v;
    int width = 0;
    json_object_foreach(options, key, v)
        if ((int)strlen(key) > width) width = (int)strlen(key);
    json_object_foreach(options, key, v) print_wide(width + 1, key, v);
}

/* The config without what files of other formats keep beside it, each of which has a line. */
static void print_config(const json_t *config) {
    static const char *const apart[] = {"gguf", "hf", "chat_template", "rope_factors", "peft"};
    json_t *o = json_deep_copy(config), *duet = json_object_get(o, "duet"), *v;
    const char *key;
    for (size_t i = 0; i < sizeof apart / sizeof *apart; i++) json_object_del(duet, apart[i]);
    if (duet && !json_object_size(duet)) json_object_del(o, "duet");
    char *text = json_dumps(o, JSON_REAL_PRECISION(15));
    printf("  %-15s %s\n", "config", text ? text : "");
    free(text);
    duet = json_object_get(config, "duet");
    for (size_t i = 0; i < 2; i++)
        json_object_foreach(json_object_get(duet, apart[i]), key, v) print_fact(key, v);
    for (size_t i = 2; i < sizeof apart / sizeof *apart; i++)
        if ((v = json_object_get(duet, apart[i]))) print_fact(apart[i], v);
    json_decref(o);
}

/* One line a fact; objects as JSON; the tensors as a table. */
static void print_text(const char *path, json_t *o) {
    const char *key;
    json_t *v;
    printf("%s\n", path);
    json_object_foreach(o, key, v) {
        if (json_is_array(v)) continue;
        if (!strcmp(key, "config"))
            print_config(v);
        else if (!strcmp(key, "options"))
            print_options(v);
        else
            print_fact(key, v);
    }
    size_t i;
    json_array_foreach(json_object_get(o, "tensor_list"), i, v) {
        const json_t *shape = json_object_get(v, "shape");
        char dims[48];
        snprintf(dims, sizeof dims, "%lld",
                 (long long)json_integer_value(json_array_get(shape, 0)));
        if (json_array_size(shape) == 2)
            snprintf(dims, sizeof dims, "%lld x %lld",
                     (long long)json_integer_value(json_array_get(shape, 0)),
                     (long long)json_integer_value(json_array_get(shape, 1)));
        printf("    %-52s %-5s %-15s offset %lld\n", json_string_value(json_object_get(v, "name")),
               json_string_value(json_object_get(v, "dtype")), dims,
               (long long)json_integer_value(json_object_get(v, "offset")));
    }
}

static int run(int argc, char **argv, struct err *e) {
    struct conf conf = {0};
    struct opts opt;
    json_t *o = json_object();
    bool done;
    int rc;
    TRY(cmd_parse(&cmd_info, &conf, &opt, argc, argv, &done, e));
    if (done) goto out;
    if (conf.n_pos != 1) {
        rc = err_set(e, ERR_USAGE,
                     "duet info takes one FILE or folder, found %d; see duet info --help",
                     conf.n_pos);
        goto out;
    }
    TRY(info(o, conf.pos[0], &opt, e));
    if (opt.json) {
        put(o, "file", json_string(conf.pos[0]));
        json_dumpf(o, stdout, JSON_INDENT(1));
        putchar('\n');
    } else {
        print_text(conf.pos[0], o);
    }
out:
    json_decref(o);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_info = {
    .name = "info",
    .summary = "Say what a model, adapter, token shard, tokenizer or config.json is.",
    .usage = "FILE [--tensors] [--verify] [--json]",
    .lists = cmd_list_formats,
    .rows = rows,
    .run = run,
};
