/* Adapters of PEFT: a folder with adapter_config.json and adapter_model.safetensors. Every module
 * may have its own rank and alpha (rank_pattern, alpha_pattern); here there is one of each, and
 * what a module's scale differs by becomes a factor of its lora_B. What PEFT can do beside plain
 * LoRA is refused by the name of its key. Layout: docs/formats.md. */
#include "hf.h"

#include "json_text.h"
#include "safetensors.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_JSON ((size_t)16 << 20)
/* One for every module of 146 layers, and few enough that trying all of them takes no time. */
enum { MAX_PATTERNS = 1024, MAX_PATTERN = 255 };

static const char CONFIG[] = "adapter_config.json", WEIGHTS[] = "adapter_model.safetensors";

/* ---- names ---------------------------------------------------------------------------------- */

const struct part *peft_part_find(const struct part_table *t, const char *name,
                                  size_t *module_bytes, bool *b) {
    uint32_t layer;
    const struct part *p = part_find_lora(t, name, &layer, b);
    if (p) {
        *module_bytes = strlen(name) - strlen(".lora_A.weight");
        return p;
    }
    *b = false;
    *module_bytes = strlen(name) > strlen(".weight") ? strlen(name) - strlen(".weight") : 0;
    p = part_find(t, NAMES_HF, name, &layer);
    return p && p->role == ROLE_norm ? p : NULL;
}

bool peft_is_module(const struct part *p, const char *word) {
    size_t n;
    const char *module = part_module(p, &n);
    return strlen(word) == n && !memcmp(module, word, n);
}

const struct part_table *peft_parts(const struct model_file *mf, size_t prefix,
                                    const struct part_tables *archs) {
    for (int k = 0; k < archs->n; k++) {
        bool all = true, b;
        size_t n;
        for (size_t i = 0; i < mf->n_tensors && all; i++) {
            const char *name = mf->tensors[i].name;
            all = strlen(name) > prefix && peft_part_find(archs->all[k], name + prefix, &n, &b);
        }
        if (all) return archs->all[k];
    }
    return archs->all[0];
}

/* ---- adapter_config.json -------------------------------------------------------------------- */

struct settings {
    const char *path;
    json_t *json, *ranks, *alphas; /* of json */
    int64_t rank;
    double alpha;
    bool rslora, norms;
    const struct part_table *parts; /* of the base */
};

static int bad_key(const struct settings *s, const char *key, const char *what, struct err *e) {
    return err_set(e, ERR_INPUT, "%s: \"%s\" %s", s->path, key, what);
}

/* Absent, or a value that says no. */
static bool is_off(const json_t *v) {
    if (json_is_string(v)) return !*json_string_value(v) || !strcmp(json_string_value(v), "none");
    return !v || json_is_null(v) || json_is_false(v) ||
           ((json_is_array(v) || json_is_object(v)) && !json_array_size(v) && !json_object_size(v));
}

static int refuse_unsupported(const struct settings *s, struct err *e) {
    static const char *const keys[] = {"use_dora",          "bias",
                                       "fan_in_fan_out",    "lora_bias",
                                       "use_qalora",        "use_bdlora",
                                       "arrow_config",      "alora_invocation_tokens",
                                       "layer_replication", "trainable_token_indices",
                                       "target_parameters", "megatron_config",
                                       "kasa_config",       "monteclora_config"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!is_off(json_object_get(s->json, keys[i])))
            return bad_key(s, keys[i], "asks for more than plain LoRA, which duet does not do", e);
    const json_t *init = json_object_get(s->json, "init_lora_weights");
    const char *word = json_string_value(init);
    if (word && strcmp(word, "gaussian") && strcmp(word, "eva") && strcmp(word, "orthogonal"))
        return err_set(e, ERR_INPUT,
                       "%s: \"init_lora_weights\" is \"%.40s\", which changes the weights of the "
                       "base; save the adapter as plain LoRA first",
                       s->path, word);
    return 0;
}

/* Characters that mean themselves in a regular expression, a dot, and an anchor in front. */
static bool pattern_ok(const char *p) {
    if (*p == '^') p++;
    if (!*p || strlen(p) > MAX_PATTERN) return false;
    for (; *p; p++) {
        if (*p == '\\' && p[1] == '.') p++;
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p)) return false;
    }
    return true;
}

static int check_patterns(const struct settings *s, const char *key, bool whole, json_t **o,
                          struct err *e) {
    const char *pattern;
    json_t *v;
    *o = json_object_get(s->json, key);
    if (is_off(*o)) {
        *o = NULL;
        return 0;
    }
    if (!json_is_object(*o)) return bad_key(s, key, "is not an object", e);
    if (json_object_size(*o) > MAX_PATTERNS)
        return bad_key(s, key, "has more than 1024 entries", e);
    json_object_foreach(*o, pattern, v) {
        if (!pattern_ok(pattern))
            return err_set(e, ERR_INPUT,
                           "%s: \"%s\": \"%.100s\" is a regular expression; duet takes names of "
                           "modules and their ends",
                           s->path, key, pattern);
        const bool ok = whole ? json_is_integer(v) && json_integer_value(v) >= 1 &&
                                    json_integer_value(v) <= INT32_MAX
                              : json_is_number(v) && json_number_value(v) > 0;
        if (!ok)
            return err_set(e, ERR_INPUT, "%s: \"%s\": the value of \"%.100s\" is not a %s above 0",
                           s->path, key, pattern, whole ? "whole number" : "number");
    }
    return 0;
}

/* null, or names of norms. */
static int check_saved(struct settings *s, struct err *e) {
    const json_t *list = json_object_get(s->json, "modules_to_save");
    if (is_off(list)) return 0;
    if (!json_is_array(list)) return bad_key(s, "modules_to_save", "is not a list", e);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        bool norm = false;
        for (int k = 0; k < s->parts->n && word && !norm; k++)
            norm = s->parts->part[k].role == ROLE_norm && peft_is_module(s->parts->part + k, word);
        if (!norm)
            return err_set(e, ERR_INPUT,
                           "%s: \"modules_to_save\" has \"%.60s\"; duet takes norms only", s->path,
                           word ? word : "a value that is not text");
    }
    s->norms = true;
    return 0;
}

static int check_targets(const struct settings *s, struct err *e) {
    const json_t *t = json_object_get(s->json, "target_modules");
    bool ok = !t || json_is_null(t) || json_is_string(t) || json_is_array(t);
    for (size_t i = 0; i < json_array_size(t); i++) ok &= json_is_string(json_array_get(t, i));
    return ok ? 0 : bad_key(s, "target_modules", "is neither text nor a list of texts", e);
}

static int read_settings(struct settings *s, struct err *e) {
    const json_t *r = json_object_get(s->json, "r"), *a = json_object_get(s->json, "lora_alpha");
    const json_t *rs = json_object_get(s->json, "use_rslora");
    const char *type = json_string_value(json_object_get(s->json, "peft_type"));
    int rc;
    if (!type || strcmp(type, "LORA") != 0) return bad_key(s, "peft_type", "is not \"LORA\"", e);
    TRY(refuse_unsupported(s, e));
    if (!json_is_integer(r) || json_integer_value(r) < 1 || json_integer_value(r) > INT32_MAX)
        return bad_key(s, "r", "is missing or not a whole number above 0", e);
    if (!json_is_number(a) || !(json_number_value(a) > 0))
        return bad_key(s, "lora_alpha", "is missing or not a number above 0", e);
    if (rs && !json_is_null(rs) && !json_is_boolean(rs))
        return bad_key(s, "use_rslora", "is not true or false", e);
    s->rank = json_integer_value(r);
    s->alpha = json_number_value(a);
    s->rslora = json_is_true(rs);
    TRY(check_patterns(s, "rank_pattern", true, &s->ranks, e));
    TRY(check_patterns(s, "alpha_pattern", false, &s->alphas, e));
    TRY(check_saved(s, e));
    TRY(check_targets(s, e));
out:
    return rc;
}

/* As a regular expression: the pattern at the end of the name, from its start or behind a dot. A
 * dot matches every character. */
static bool matches(const char *pattern, const char *name, size_t n) {
    const bool whole = *pattern == '^';
    size_t k = 0;
    pattern += whole;
    for (const char *p = pattern; *p; p++) k += *p != '\\';
    if (k > n || (whole && k != n) || (k < n && name[n - k - 1] != '.')) return false;
    for (const char *at = name + n - k; *pattern; pattern++, at++) {
        const bool any = *pattern == '.';
        if (*pattern == '\\') pattern++;
        if (!any && *pattern != *at) return false;
    }
    return true;
}

/* The value of the first pattern that matches, as PEFT looks them up, or NULL. */
static const json_t *pattern_value(json_t *patterns, const char *module, size_t n) {
    const char *pattern;
    json_t *v;
    json_object_foreach(patterns, pattern, v) {
        if (matches(pattern, module, n)) return v;
    }
    return NULL;
}

/* ---- tensors -------------------------------------------------------------------------------- */

struct taker {
    struct settings s;
    struct model_file *mf;
    const struct model_file *raw;
    uint64_t rank; /* the largest of any module */
    bool *seen;    /* parts that occur */
};

static int bad_tensor(const struct taker *k, const char *name, const char *what, struct err *e) {
    return err_set(e, ERR_INPUT, "%s: tensor %s %s", k->raw->path ? k->raw->path : k->s.path, name,
                   what);
}

/* lora_A: its rank is the config's, and lora_B of that rank is there; and the other way round. */
static int check_lora(struct taker *k, const struct mf_tensor *t, const char *name, size_t n,
                      bool b, struct err *e) {
    char other[300];
    if (t->ndim != 2) return bad_tensor(k, t->name, "does not have 2 dimensions", e);
    snprintf(other, sizeof other, "%s%.*s.lora_%c.weight", PEFT_PREFIX, (int)n, name,
             b ? 'A' : 'B');
    const struct mf_tensor *half = model_file_find(k->raw, other);
    const uint64_t rank = t->shape[b];
    if (!half || half->ndim != 2)
        return bad_tensor(k, t->name, b ? "has no lora_A" : "has no lora_B", e);
    if (half->shape[!b] != rank)
        return err_set(e, ERR_INPUT, "%s: tensor %s has rank %llu, but %s has %llu",
                       k->raw->path ? k->raw->path : k->s.path, t->name, (unsigned long long)rank,
                       other, (unsigned long long)half->shape[!b]);
    if (b) return 0;
    const json_t *own = pattern_value(k->s.ranks, name, n);
    const uint64_t want = (uint64_t)(own ? json_integer_value(own) : k->s.rank);
    if (rank != want)
        return err_set(e, ERR_INPUT, "%s: tensor %s has rank %llu, but %s says %llu",
                       k->raw->path ? k->raw->path : k->s.path, t->name, (unsigned long long)rank,
                       CONFIG, (unsigned long long)want);
    if (rank > k->rank) k->rank = rank;
    return 0;
}

/* The name without PEFT's prefix, or NULL. */
static const char *own_name(const char *name) {
    const size_t n = strlen(PEFT_PREFIX);
    return strncmp(name, PEFT_PREFIX, n) ? NULL : name + n;
}

static int not_known(const struct taker *k, const char *name, struct err *e) {
    char words[200], what[400];
    snprintf(what, sizeof what,
             "is not one that duet knows in an adapter: lora_A and lora_B of the projections %s, "
             "and norms",
             part_words(k->s.parts, words, sizeof words));
    return bad_tensor(k, name, what, e);
}

static int check_tensors(struct taker *k, struct err *e) {
    bool norms = false, lora = false;
    for (size_t i = 0; i < k->raw->n_tensors; i++) {
        const struct mf_tensor *t = k->raw->tensors + i;
        const char *name = own_name(t->name);
        size_t n;
        bool b;
        const struct part *p = name ? peft_part_find(k->s.parts, name, &n, &b) : NULL;
        if (!p) return not_known(k, t->name, e);
        if (!p->lora && !k->s.norms)
            return bad_tensor(k, t->name, "is a norm, but modules_to_save names none", e);
        const int rc = p->lora ? check_lora(k, t, name, n, b, e) : 0;
        if (rc) return rc;
        k->seen[p - k->s.parts->part] = true;
        norms |= !p->lora;
        lora |= !!p->lora;
    }
    if (!lora)
        return err_set(e, ERR_INPUT, "%s: no tensors of LoRA",
                       k->raw->path ? k->raw->path : k->s.path);
    if (k->s.norms && !norms)
        return bad_key(&k->s, "modules_to_save", "names norms, but there is no tensor of one", e);
    return 0;
}

/* What the scale of a module differs by from that of the largest rank. */
static double scale_factor(const struct taker *k, const char *module, size_t n, uint64_t rank) {
    const json_t *own = pattern_value(k->s.alphas, module, n);
    const double alpha = own ? json_number_value(own) : k->s.alpha;
    if (!k->s.rslora) return alpha * (double)k->rank / (k->s.alpha * (double)rank);
    return alpha / k->s.alpha * sqrt((double)k->rank / (double)rank);
}

static int add_tensor(const struct taker *k, const struct mf_tensor *from, struct err *e) {
    struct mf_tensor t = *from;
    const char *own = own_name(from->name);
    size_t n;
    bool b;
    const struct part *p = peft_part_find(k->s.parts, own, &n, &b);
    t.name = strdup(own);
    if (!t.name) return err_set(e, ERR_NOMEM, "%s: no memory", k->s.path);
    if (p->lora && b) mf_tensor_set_factor(&t, scale_factor(k, own, n, t.shape[1]));
    int rc = 0;
    if (!isfinite(t.factor) || t.factor < 0)
        rc = bad_tensor(k, from->name, "has a scale that is no number", e);
    else
        rc = model_file_add(k->mf, &t, e);
    free(t.name);
    return rc;
}

static int set_config(const struct taker *k, struct err *e) {
    char targets[64] = "";
    for (int i = 0; i < k->s.parts->n; i++)
        if (k->seen[i] && k->s.parts->part[i].lora)
            snprintf(targets + strlen(targets), sizeof targets - strlen(targets), "%s%s",
                     *targets ? "," : "", k->s.parts->part[i].lora);
    json_t *o = json_pack("{s:{s:i, s:I, s:f, s:b, s:s, s:s, s:b}, s:{s:O}}", "duet_adapter",
                          "version", 1, "rank", (json_int_t)k->rank, "alpha", k->s.alpha, "rslora",
                          (int)k->s.rslora, "targets", targets, "init", "peft", "norms",
                          (int)k->s.norms, "duet", "peft", k->s.json);
    json_t *base = json_object_get(k->s.json, "base_model_name_or_path");
    if (json_is_string(base)) json_object_set(o, "base_model_name_or_path", base);
    k->mf->config = o ? json_text(o) : NULL;
    json_decref(o);
    return k->mf->config ? 0 : err_set(e, ERR_NOMEM, "%s: no memory", k->s.path);
}

int peft_take(struct model_file *mf, const struct model_file *raw, const char *path,
              const char *text, size_t bytes, struct err *e) {
    struct taker k = {.s = {.path = path}, .mf = mf, .raw = raw};
    int rc;
    k.s.parts = peft_parts(raw, strlen(PEFT_PREFIX), mf->archs);
    k.seen = calloc((size_t)k.s.parts->n, sizeof *k.seen);
    if (!k.seen) return err_set(e, ERR_NOMEM, "%s: no memory", path);
    TRY(hf_object(text, bytes, path, 0, &k.s.json, e));
    TRY(read_settings(&k.s, e));
    TRY(check_tensors(&k, e));
    for (size_t i = 0; i < raw->n_tensors; i++) TRY(add_tensor(&k, raw->tensors + i, e));
    TRY(set_config(&k, e));
out:
    free(k.seen);
    json_decref(k.s.json);
    return rc;
}

/* ---- the folder ----------------------------------------------------------------------------- */

int peft_finish(struct model_file *mf, const struct model_file *raw, const char *dir,
                struct err *e) {
    char *path = file_join(dir, CONFIG), *text = NULL;
    size_t n;
    int rc;
    if (!path) return err_set(e, ERR_NOMEM, "%s: no memory", dir);
    TRY(file_read_text(path, MAX_JSON, &text, &n, e));
    TRY(peft_take(mf, raw, path, text, n, e));
out:
    free(text);
    free(path);
    return rc;
}

static int no_weights(const char *dir, struct err *e) {
    if (hf_has(dir, "adapter_model.bin"))
        return err_set(e, ERR_INPUT,
                       "%s: its weights are in adapter_model.bin, which is program code that duet "
                       "does not run; convert them to %s",
                       dir, WEIGHTS);
    return err_set(e, ERR_INPUT, "%s: %s is not in this folder", dir, WEIGHTS);
}

static int read_peft(struct model_file *mf, bool verify, struct err *e) {
    struct model_file raw = {.path = file_join(mf->path, WEIGHTS)};
    const struct file_map *map;
    json_t *meta = NULL;
    int rc;
    (void)verify; /* there are no checksums */
    if (!raw.path) return err_set(e, ERR_NOMEM, "%s: no memory", mf->path);
    if (!hf_has(mf->path, WEIGHTS)) {
        rc = no_weights(mf->path, e);
        goto out;
    }
    TRY(model_file_map(mf, raw.path, &map, e));
    TRY(safetensors_read(&raw, mf, map, &meta, e));
    TRY(peft_finish(mf, &raw, mf->path, e));
    TRY(hf_keep_meta(mf, meta, e));
out:
    json_decref(meta);
    model_file_close(&raw);
    return rc;
}

static bool probe_peft(const char *dir) {
    return hf_has(dir, CONFIG);
}

#define FLOATS (MF_TYPE(DT_F32) | MF_TYPE(DT_F16) | MF_TYPE(DT_BF16))

const struct format format_peft = {
    .name = "peft",
    .help = "folder of a PEFT adapter: adapter_config.json, adapter_model.safetensors",
    .tok = TOK_NONE,
    .types = FLOATS,
    .vector_types = FLOATS,
    .adapters = true,
    .probe_dir = probe_peft,
    .read = read_peft,
    .write = peft_write,
};
