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

const struct peft_part peft_parts[] = {
    {"q", "self_attn.q_proj", NULL},
    {"k", "self_attn.k_proj", NULL},
    {"v", "self_attn.v_proj", NULL},
    {"o", "self_attn.o_proj", NULL},
    {"gate", "mlp.gate_proj", NULL},
    {"up", "mlp.up_proj", NULL},
    {"down", "mlp.down_proj", NULL},
    {NULL, "input_layernorm", "input_layernorm"},
    {NULL, "post_attention_layernorm", "post_attention_layernorm"},
    {NULL, "model.norm", "norm"},
    {NULL, "self_attn.q_norm", "q_norm"},
    {NULL, "self_attn.k_norm", "k_norm"},
};
const size_t n_peft_parts = sizeof peft_parts / sizeof *peft_parts;

/* ---- names ---------------------------------------------------------------------------------- */

static bool cut_end(const char *s, size_t *n, const char *end) {
    const size_t k = strlen(end);
    if (*n < k || memcmp(s + *n - k, end, k) != 0) return false;
    *n -= k;
    return true;
}

/* Behind "model.layers.N.", or the whole of it. */
static const char *within_layer(const char *name) {
    static const char layers[] = "model.layers.";
    const char *at = name + sizeof layers - 1;
    if (strncmp(name, layers, sizeof layers - 1) != 0) return name;
    const size_t digits = strspn(at, "0123456789");
    const bool number = digits && digits < 6 && (digits == 1 || *at != '0') && at[digits] == '.';
    return number ? at + digits + 1 : name;
}

const struct peft_part *peft_part_find(const char *name, size_t *module_bytes, bool *b) {
    size_t n = strlen(name);
    const bool is_b = cut_end(name, &n, ".lora_B.weight");
    const bool lora = is_b || cut_end(name, &n, ".lora_A.weight");
    if (!lora && !cut_end(name, &n, ".weight")) return NULL;
    const char *at = within_layer(name);
    const size_t bytes = n - (size_t)(at - name);
    for (size_t i = 0; i < n_peft_parts; i++) {
        const struct peft_part *p = peft_parts + i;
        const bool whole = !strcmp(p->module, "model.norm");
        if (lora != !!p->word || whole != (at == name)) continue;
        if (strlen(p->module) != bytes || memcmp(at, p->module, bytes) != 0) continue;
        *module_bytes = n;
        *b = is_b;
        return p;
    }
    return NULL;
}

/* ---- adapter_config.json -------------------------------------------------------------------- */

struct settings {
    const char *path;
    json_t *json, *ranks, *alphas; /* of json */
    int64_t rank;
    double alpha;
    bool rslora, norms;
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
        for (size_t k = 0; k < n_peft_parts && word && !norm; k++)
            norm = peft_parts[k].save && !strcmp(word, peft_parts[k].save);
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

static int check_tensors(struct taker *k, struct err *e) {
    bool norms = false, lora = false;
    for (size_t i = 0; i < k->raw->n_tensors; i++) {
        const struct mf_tensor *t = k->raw->tensors + i;
        const char *name = own_name(t->name);
        size_t n;
        bool b;
        const struct peft_part *p = name ? peft_part_find(name, &n, &b) : NULL;
        if (!p)
            return bad_tensor(k, t->name,
                              "is not one that duet knows in an adapter: lora_A and lora_B of q, "
                              "k, v, o, gate, up and down projections, and norms",
                              e);
        if (!p->word && !k->s.norms)
            return bad_tensor(k, t->name, "is a norm, but modules_to_save names none", e);
        const int rc = p->word ? check_lora(k, t, name, n, b, e) : 0;
        if (rc) return rc;
        k->seen[p - peft_parts] = true;
        norms |= !p->word;
        lora |= !!p->word;
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
    const struct peft_part *p = peft_part_find(own, &n, &b);
    t.name = strdup(own);
    if (!t.name) return err_set(e, ERR_NOMEM, "%s: no memory", k->s.path);
    if (p->word && b) mf_tensor_set_factor(&t, scale_factor(k, own, n, t.shape[1]));
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
    for (size_t i = 0; i < n_peft_parts; i++)
        if (k->seen[i] && peft_parts[i].word)
            snprintf(targets + strlen(targets), sizeof targets - strlen(targets), "%s%s",
                     *targets ? "," : "", peft_parts[i].word);
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
    bool seen[sizeof peft_parts / sizeof *peft_parts] = {0};
    struct taker k = {.s = {.path = path}, .mf = mf, .raw = raw, .seen = seen};
    int rc;
    TRY(hf_object(text, bytes, path, 0, &k.s.json, e));
    TRY(read_settings(&k.s, e));
    TRY(check_tensors(&k, e));
    for (size_t i = 0; i < raw->n_tensors; i++) TRY(add_tensor(&k, raw->tensors + i, e));
    TRY(set_config(&k, e));
out:
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
