/* A model as Hugging Face keeps it: a folder with config.json, the weights in model.safetensors or
 * in shards that model.safetensors.index.json lists, and the tokenizer's files; and a single file
 * of weights, with the others beside it if they are there. When both a single file and an index
 * are there, the single file counts, as in transformers. Layout: docs/formats.md. */
#include "hf.h"

#include "json_text.h"
#include "magic.h"
#include "rope_keys.h"
#include "safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define MAX_JSON ((size_t)16 << 20)
#define MAX_SIDE ((size_t)512 << 20)
#define MAX_VALUES                                                                                 \
    ((size_t)1 << 18) /* of a JSON text: 16 for each tensor that a model may have                  \
                       */
#define SHARD_BYTES 5000000000u
#define PIECE ((size_t)4 << 20)

static const char CONFIG[] = "config.json", WEIGHTS[] = "model.safetensors";
static const char INDEX[] = "model.safetensors.index.json";

const char *const hf_sides[] = {
    "tokenizer.json",    "tokenizer.model",        "vocab.json",
    "merges.txt",        "tokenizer_config.json",  "special_tokens_map.json",
    "added_tokens.json", "generation_config.json", "chat_template.jinja"};
const size_t n_hf_sides = sizeof hf_sides / sizeof *hf_sides;

/* ---- JSON ----------------------------------------------------------------------------------- */

/* Separators outside of strings: a bound on the values that a parser would make. */
static size_t count_values(const char *s, size_t n) {
    bool text = false;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (text && s[i] == '\\')
            i++;
        else if (s[i] == '"')
            text = !text;
        else
            k += !text && (s[i] == ',' || s[i] == '[' || s[i] == '{');
    }
    return k;
}

int hf_object(const void *text, size_t bytes, const char *path, uint64_t offset, json_t **o,
              struct err *e) {
    json_error_t je;
    *o = NULL;
    if (count_values(text, bytes) > MAX_VALUES)
        return err_set(e, ERR_INPUT, "%s: JSON at offset %llu has more than %zu values", path,
                       (unsigned long long)offset, MAX_VALUES);
    *o = json_text_load(text, bytes, &je);
    if (json_is_object(*o)) return 0;
    const int rc = err_set(e, ERR_INPUT, "%s: JSON at offset %llu: %s", path,
                           (unsigned long long)offset +
                               (*o || je.position < 0 ? 0 : (unsigned long long)je.position),
                           *o ? "not an object" : json_text_why(&je));
    json_decref(*o);
    *o = NULL;
    return rc;
}

int hf_keep_meta(struct model_file *mf, const json_t *meta, struct err *e) {
    if (json_object_size(meta) <= (json_object_get(meta, "format") ? 1 : 0)) return 0;
    json_t *o = json_pack("{s:O}", "safetensors", meta);
    mf->meta = o ? json_text(o) : NULL;
    json_decref(o);
    return mf->meta ? 0 : err_set(e, ERR_NOMEM, "%s: no memory", mf->path);
}

/* ---- weights -------------------------------------------------------------------------------- */

bool hf_has(const char *dir, const char *name) {
    char *path = file_join(dir, name);
    const bool has = path && file_exists(path);
    free(path);
    return has;
}

/* *meta gets what the file adds to it. raw->path is the file, for messages. */
static int add_file(struct model_file *mf, struct model_file *raw, const char *name, json_t *meta,
                    struct err *e) {
    const struct file_map *map;
    json_t *more = NULL;
    int rc;
    free(raw->path);
    if (!(raw->path = file_join(mf->path, name)))
        return err_set(e, ERR_NOMEM, "%s: no memory", mf->path);
    TRY(model_file_map(mf, raw->path, &map, e));
    TRY(safetensors_read(raw, mf, map, &more, e));
    if (more && json_object_update_missing(meta, more))
        rc = err_set(e, ERR_NOMEM, "%s: no memory", raw->path);
out:
    json_decref(more);
    return rc;
}

/* The index's list as {shard: null}, in the order in which they are named. */
static int list_shards(json_t *map, const char *path, json_t *shards, struct err *e) {
    const char *name;
    json_t *v;
    json_object_foreach(map, name, v) {
        const char *shard = json_string_value(v);
        if (!shard || !*shard || strchr(shard, '/') || !strcmp(shard, ".") || !strcmp(shard, ".."))
            return err_set(e, ERR_INPUT,
                           "%s: weight_map: tensor %.255s is in \"%.100s\", expected the name of a "
                           "file in the same folder",
                           path, name, shard ? shard : "");
        if (json_object_set_new(shards, shard, json_null()))
            return err_set(e, ERR_NOMEM, "%s: no memory", path);
    }
    return 0;
}

/* The tensors from first on came from shard: as the index says? */
static int check_shard(const struct model_file *raw, size_t first, const char *shard,
                       const json_t *map, struct err *e) {
    for (size_t i = first; i < raw->n_tensors; i++) {
        const char *in = json_string_value(json_object_get(map, raw->tensors[i].name));
        if (!in || strcmp(in, shard) != 0)
            return err_set(e, ERR_INPUT, "%s: tensor %s: %s says that it is in \"%.100s\"",
                           raw->path, raw->tensors[i].name, INDEX, in ? in : "no file");
    }
    return 0;
}

static int read_index(const char *path, json_t **root, json_t **map, struct err *e) {
    char *text;
    size_t n;
    int rc = file_read_text(path, MAX_JSON, &text, &n, e);
    if (!rc) rc = hf_object(text, n, path, 0, root, e);
    free(text);
    if (rc) return rc;
    *map = json_object_get(*root, "weight_map");
    if (!json_is_object(*map) || !json_object_size(*map))
        return err_set(e, ERR_INPUT, "%s: weight_map is missing, empty or not an object", path);
    return 0;
}

static int add_shards(struct model_file *mf, struct model_file *raw, json_t *meta, struct err *e) {
    char *path = file_join(mf->path, INDEX);
    json_t *root = NULL, *map = NULL, *shards = json_object(), *v;
    const char *name;
    int rc;
    if (!path || !shards) {
        rc = err_set(e, ERR_NOMEM, "%s: no memory", mf->path);
        goto out;
    }
    TRY(read_index(path, &root, &map, e));
    TRY(list_shards(map, path, shards, e));
    json_object_foreach(shards, name, v) {
        const size_t first = raw->n_tensors;
        TRY(add_file(mf, raw, name, meta, e));
        TRY(check_shard(raw, first, name, map, e));
    }
    json_object_foreach(map, name, v) {
        if (model_file_find(raw, name)) continue;
        rc = err_set(e, ERR_INPUT, "%s: weight_map: tensor %.255s is not in %.100s", path, name,
                     json_string_value(v));
        goto out;
    }
out:
    json_decref(root);
    json_decref(shards);
    free(path);
    return rc;
}

static int no_weights(const char *dir, struct err *e) {
    static const char *const pickled[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
    for (size_t i = 0; i < sizeof pickled / sizeof *pickled; i++)
        if (hf_has(dir, pickled[i]))
            return err_set(e, ERR_INPUT,
                           "%s: its weights are in %s, which is program code that duet does not "
                           "run; convert them to model.safetensors (save_pretrained with "
                           "safe_serialization)",
                           dir, pickled[i]);
    return err_set(e, ERR_INPUT, "%s: neither %s nor %s is in this folder", dir, WEIGHTS, INDEX);
}

static int add_weights(struct model_file *mf, struct model_file *raw, json_t *meta, struct err *e) {
    if (hf_has(mf->path, WEIGHTS)) return add_file(mf, raw, WEIGHTS, meta, e);
    if (hf_has(mf->path, INDEX)) return add_shards(mf, raw, meta, e);
    return no_weights(mf->path, e);
}

/* ---- names ---------------------------------------------------------------------------------- */

struct taker {
    struct model_file *mf;
    const struct model_file *raw;
    json_t *config;
    const struct part_table *parts; /* of the config's model_type; of one that is not known, the
                                     * first: such a config is refused when it is read */
    const char *prefix;             /* that the names lack */
};

static bool starts_with(const char *s, const char *start) {
    return !strncmp(s, start, strlen(start));
}

static const char MODEL[] = "model.";

/* Exports of the decoder without its classifier have no "model.". */
static const char *missing_prefix(const struct model_file *raw, const struct part_table *t) {
    const char *embed = part_of(t, PART_EMBED)->hf;
    for (size_t i = 0; i < raw->n_tensors; i++)
        if (starts_with(raw->tensors[i].name, MODEL)) return "";
    return starts_with(embed, MODEL) && model_file_find(raw, embed + sizeof MODEL - 1) ? MODEL : "";
}

static const struct part_table *parts_of(const struct model_file *mf, const json_t *config) {
    const char *type = json_string_value(json_object_get(config, "model_type"));
    const struct part_table *t = type ? parts_find(mf->archs, type) : NULL;
    return t ? t : mf->archs->all[0];
}

static double number(const json_t *o, const char *key, double def) {
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : def;
}

/* Old checkpoints hold the frequencies of the rotary embedding, which follow from the config. What
 * would be lost by leaving them out is an error. */
static int check_frequencies(const struct taker *k, const struct mf_tensor *t, struct err *e) {
    json_t *c = json_copy(k->config);
    if (!c) return err_set(e, ERR_NOMEM, "%s: no memory", k->raw->path);
    const int rc = rope_keys_flatten(c, k->mf->path, e);
    if (rc) {
        json_decref(c);
        return rc;
    }
    const double theta = number(c, "rope_theta", 10000);
    const double heads = number(c, "num_attention_heads", 1);
    const double width = number(c, "head_dim", number(c, "hidden_size", 0) / heads);
    json_decref(c);
    /* rounding to the type, and of those who computed it */
    const double eps = t->dtype == DT_F32 ? 1e-5 : t->dtype == DT_F16 ? 1e-3 : 8e-3;
    const double least = t->dtype == DT_F16 ? 6e-8 : 0; /* f16 has nothing smaller */
    bool same = t->ndim == 1 && 2 * (double)t->shape[0] == width;
    const uint8_t *data = t->data;
    for (uint64_t i = 0; same && i < t->shape[0]; i++) {
        const double want = pow(theta, -2 * (double)i / width);
        float x;
        dtype_to_f32(t->dtype, data + dtype_bytes(t->dtype, (size_t)i), &x, 1);
        same = fabs((double)x - want) <= eps * want + least;
    }
    if (same) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: tensor %s is not what rope_theta and the head size of the config give, and "
                   "would be lost",
                   k->raw->path, t->name);
}

static bool same_bytes(const struct model_file *mf, const struct mf_tensor *a,
                       const struct mf_tensor *b) {
    const size_t bytes = dtype_bytes(a->dtype, (size_t)mf_tensor_count(a));
    if (a->dtype != b->dtype || a->ndim != b->ndim || a->shape[0] != b->shape[0] ||
        (a->ndim == 2 && a->shape[1] != b->shape[1]))
        return false;
    for (size_t at = 0, n; at < bytes; at += n) {
        const uint8_t *x = (const uint8_t *)a->data + at, *y = (const uint8_t *)b->data + at;
        n = bytes - at < PIECE ? bytes - at : PIECE;
        if (memcmp(x, y, n) != 0) return false;
        model_file_drop(mf, x, n);
        model_file_drop(mf, y, n);
    }
    return true;
}

/* Is t the classifier of a model whose config says that the embedding is it? *copy: it is that. */
static int check_tied(const struct taker *k, const struct mf_tensor *t, bool *copy, struct err *e) {
    const char *head = part_of(k->parts, PART_HEAD)->hf, *name = part_of(k->parts, PART_EMBED)->hf;
    *copy = false;
    if (strcmp(t->name, head) || !json_is_true(json_object_get(k->config, "tie_word_embeddings")))
        return 0;
    const struct mf_tensor *embed = model_file_find(k->raw, name + strlen(k->prefix));
    *copy = embed && same_bytes(k->mf, t, embed);
    if (*copy) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: tensor %s differs from the embedding, but the config says "
                   "tie_word_embeddings: true",
                   k->raw->path, head);
}

static int take_tensor(const struct taker *k, const struct mf_tensor *from, struct err *e) {
    struct mf_tensor t = *from;
    char name[300];
    bool copy;
    if (file_ends_with(from->name, "rotary_emb.inv_freq")) return check_frequencies(k, from, e);
    const int rc = check_tied(k, from, &copy, e);
    if (rc || copy) return rc;
    const bool head = !strcmp(from->name, part_of(k->parts, PART_HEAD)->hf);
    snprintf(name, sizeof name, "%s%s", head ? "" : k->prefix, from->name);
    t.name = name;
    return model_file_add(k->mf, &t, e);
}

static bool has_biases(const struct model_file *raw, const struct part_table *t) {
    const struct part *p = part_of(t, PART_Q_BIAS);
    char name[PART_NAME];
    if (!p) return false;
    part_name(name, p, NAMES_HF, 0);
    return model_file_find(raw, name) ||
           (starts_with(name, MODEL) && model_file_find(raw, name + sizeof MODEL - 1));
}

/* What transformers takes of a key, where that is not what the key says: an architecture with
 * hf_own_bias has biases, or none, whatever attention_bias says, and one may have a window by
 * default. */
static int spell_out(json_t *config, const struct model_file *raw, const struct part_table *t) {
    const json_t *bias = json_object_get(config, "attention_bias");
    const bool usual = parts_default_true(t, "attention_bias");
    if (t->hf_own_bias && json_is_boolean(bias) && json_is_true(bias) != usual &&
        has_biases(raw, t) == usual)
        json_object_del(config, "attention_bias");
    if (t->hf_window && !json_object_get(config, "sliding_window"))
        return json_object_set_new(config, "sliding_window", json_integer(t->hf_window));
    return 0;
}

/* The config as it was read tells an adapter's base. */
static int take_config(struct model_file *mf, json_t *config, const struct model_file *raw,
                       const struct part_table *t, struct err *e) {
    char *text = json_text(config);
    if (text) mf->config_hash = XXH3_64bits(text, strlen(text));
    free(text);
    if (text && !spell_out(config, raw, t)) mf->config = json_text(config);
    return mf->config ? 0 : err_set(e, ERR_NOMEM, "%s: no memory", mf->path);
}

int hf_take(struct model_file *mf, const struct model_file *raw, const char *path, const char *text,
            size_t bytes, struct err *e) {
    struct taker k = {.mf = mf, .raw = raw};
    json_t *config = NULL;
    int rc;
    TRY(hf_object(text, bytes, path, 0, &config, e));
    k.config = config;
    k.parts = parts_of(mf, config);
    k.prefix = missing_prefix(raw, k.parts);
    TRY(take_config(mf, config, raw, k.parts, e));
    for (size_t i = 0; i < raw->n_tensors; i++) TRY(take_tensor(&k, raw->tensors + i, e));
out:
    json_decref(config);
    return rc;
}

/* ---- folders and files ---------------------------------------------------------------------- */

static int add_side(struct model_file *mf, const char *dir, const char *name, struct err *e) {
    const struct file_map *map;
    char *path = file_join(dir, name);
    int rc;
    if (!path) return err_set(e, ERR_NOMEM, "%s: no memory", dir);
    if (!file_exists(path)) {
        free(path);
        return 0;
    }
    rc = model_file_map(mf, path, &map, e);
    if (rc == ERR_INPUT && !mf->tokenizer_problem) { /* no reason to refuse the weights */
        mf->tokenizer_problem = strdup(e->msg);
        rc = mf->tokenizer_problem ? 0 : ERR_NOMEM;
        goto out;
    }
    if (rc) goto out;
    const size_t mark = magic_mark(map->data, map->size);
    if (map->size > MAX_SIDE)
        rc = err_set(e, ERR_INPUT, "%s has %zu bytes, at most %zu are accepted", path, map->size,
                     MAX_SIDE);
    else
        rc = model_file_side(mf, name, map->data + mark, map->size - mark, NULL, e);
out:
    free(path);
    return rc;
}

/* Config and what else lies in dir. */
static int finish(struct model_file *mf, const struct model_file *raw, const char *dir,
                  struct err *e) {
    char *path = file_join(dir, CONFIG), *text = NULL;
    size_t n;
    int rc;
    if (!path) return err_set(e, ERR_NOMEM, "%s: no memory", dir);
    TRY(file_read_text(path, MAX_JSON, &text, &n, e));
    TRY(hf_take(mf, raw, path, text, n, e));
    for (size_t i = 0; i < n_hf_sides; i++) TRY(add_side(mf, dir, hf_sides[i], e));
out:
    free(text);
    free(path);
    return rc;
}

/* Weights that cannot be read, in a folder whose config says why: quantised ones of GPTQ, AWQ,
 * bitsandbytes, MLX and others. e has what was found. */
static void explain(const char *dir, struct err *e) {
    static const char *const keys[] = {"quantization_config", "quantization", "compression_config"};
    char *path = file_join(dir, CONFIG), *text = NULL, *value = NULL;
    json_t *config = NULL, *v = NULL;
    struct err ignored;
    size_t n, i = 0;
    if (!path || file_read_text(path, MAX_JSON, &text, &n, &ignored) ||
        hf_object(text, n, path, 0, &config, &ignored))
        goto out;
    while (i < 3 && !json_object_size(v = json_object_get(config, keys[i]))) i++;
    if (i < 3) value = json_dumps(v, JSON_COMPACT);
    if (value)
        err_prefix(e, "%s: %s is %.80s: weights that duet does not read; save them as plain ones",
                   path, keys[i], value);
out:
    json_decref(config);
    free(value);
    free(text);
    free(path);
}

static int read_hf(struct model_file *mf, bool verify, struct err *e) {
    struct model_file raw = {0};
    json_t *meta = json_object();
    int rc;
    (void)verify; /* there are no checksums */
    if ((rc = add_weights(mf, &raw, meta, e)) != 0) {
        if (rc == ERR_INPUT) explain(mf->path, e);
        goto out;
    }
    TRY(finish(mf, &raw, mf->path, e));
    TRY(hf_keep_meta(mf, meta, e));
out:
    json_decref(meta);
    model_file_close(&raw);
    return rc;
}

/* A folder with the config of a model and of an adapter is the adapter, unless weights
 * are there. */
static bool probe_hf(const char *dir) {
    return hf_has(dir, CONFIG) &&
           (!hf_has(dir, "adapter_config.json") || hf_has(dir, WEIGHTS) || hf_has(dir, INDEX));
}

static bool probe_file(const uint8_t *data, size_t size) {
    uint64_t header;
    if (size < 9 || data[8] != '{') return false;
    memcpy(&header, data, sizeof header);
    return header <= UINT32_MAX;
}

static bool has_lora(const struct model_file *raw) {
    for (size_t i = 0; i < raw->n_tensors; i++)
        if (strstr(raw->tensors[i].name, ".lora_A.")) return true;
    return false;
}

static int read_file(struct model_file *mf, bool verify, struct err *e) {
    struct model_file raw = {.path = strdup(mf->path)};
    const char *slash = strrchr(mf->path, '/');
    char *dir = slash ? strndup(mf->path, (size_t)(slash - mf->path) + 1) : strdup(".");
    json_t *meta = NULL;
    int rc;
    (void)verify;
    if (!raw.path || !dir) {
        rc = err_set(e, ERR_NOMEM, "%s: no memory", mf->path);
        goto out;
    }
    if ((rc = safetensors_read(&raw, mf, &mf->map, &meta, e)) != 0) {
        if (rc == ERR_INPUT) explain(dir, e);
        goto out;
    }
    if (has_lora(&raw) && hf_has(dir, "adapter_config.json"))
        TRY(peft_finish(mf, &raw, dir, e));
    else if (hf_has(dir, CONFIG))
        TRY(finish(mf, &raw, dir, e));
    else
        TRY(hf_take(mf, &raw, mf->path, "{}", 2, e));
    TRY(hf_keep_meta(mf, meta, e));
out:
    json_decref(meta);
    model_file_close(&raw);
    free(dir);
    return rc;
}

static int write_hf(const struct model_file *mf, const char *path, struct err *e) {
    return hf_write(mf, path, SHARD_BYTES, e);
}

#define FLOATS (MF_TYPE(DT_F32) | MF_TYPE(DT_F16) | MF_TYPE(DT_BF16))

const struct format format_hf = {
    .name = "hf",
    .help = "folder of Hugging Face: config.json, model.safetensors (or shards), tokenizer files",
    .suffix = "/",
    .tok = TOK_SIDES,
    .types = FLOATS,
    .vector_types = FLOATS,
    .models = true,
    .rows = true,
    .probe_dir = probe_hf,
    .read = read_hf,
    .write = write_hf,
};

const struct format format_safetensors = {
    .name = "safetensors",
    .help = "a single file of such weights, with config.json beside it; read only",
    .tok = TOK_SIDES,
    .types = FLOATS,
    .vector_types = FLOATS,
    .probe = probe_file,
    .read = read_file,
};
