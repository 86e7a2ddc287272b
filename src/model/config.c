#include "config.h"

#include "arch.h"
#include "config_refuse.h"
#include "file.h"
#include "json_text.h"
#include "rope.h"
#include "rope_keys.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { K_INT, K_REAL, K_BOOL, K_WORD };

/* The keys that duet reads. Default, where the architecture has none of its own; NULL: required. */
static const struct key {
    const char *name; /* "duet." prefix: in the nested object */
    enum kind kind;
    size_t offset, size;
    const char *def;
    double min, max;
} keys[] = {
#define AT(f) offsetof(struct model_config, f), sizeof(((struct model_config *)0)->f)
    {"model_type", K_WORD, AT(arch), "llama", 0, 0},
    {"hidden_size", K_INT, AT(dim), NULL, 1, 1 << 20},
    {"intermediate_size", K_INT, AT(hidden), NULL, 1, 1 << 22},
    {"num_hidden_layers", K_INT, AT(layers), NULL, 1, 1024},
    {"num_attention_heads", K_INT, AT(heads), NULL, 1, 65536},
    {"num_key_value_heads", K_INT, AT(kv_heads), "0", 0, 65536},
    {"head_dim", K_INT, AT(head_dim), "0", 0, 65536},
    {"vocab_size", K_INT, AT(vocab), NULL, 1, 1 << 24},
    {"max_position_embeddings", K_INT, AT(max_pos), "2048", 1, 1 << 28},
    {"rms_norm_eps", K_REAL, AT(eps), "1e-6", 0, 1},
    {"rope_theta", K_REAL, AT(theta), "10000", 1, 1e12},
    {"tie_word_embeddings", K_BOOL, AT(tied), "false", 0, 0},
    {"attention_bias", K_BOOL, AT(attention_bias), "false", 0, 0},
    {"sliding_window", K_INT, AT(window), "0", -1, 1e15},
    {"initializer_range", K_REAL, AT(init_std), "0.02", 0, 10},
    {"duet.seq_len", K_INT, AT(seq_len), "0", 0, 1 << 28},
    {"duet.residual_scale", K_REAL, AT(residual_scale), "1", 0, 100},
    {"duet.logit_softcap", K_REAL, AT(softcap), "0", 0, 1e6},
    {"duet.qk_norm", K_BOOL, AT(qk_norm), "false", 0, 0},
    {"duet.value_embeds", K_BOOL, AT(value_embeds), "false", 0, 0},
    {"duet.rope_local_theta", K_REAL, AT(local_theta), "0", 0, 1e12},
    {"duet.rope_global_every", K_INT, AT(global_every), "6", 2, 1024},
    {"duet.init", K_WORD, AT(init), "fan_in", 0, 0},
#undef AT
};
enum { N_KEYS = sizeof keys / sizeof *keys };

static json_t *find(const json_t *json, const char *name) {
    if (!strncmp(name, "duet.", 5)) {
        json_t *d = json_object_get(json, "duet");
        return json_is_object(d) ? json_object_get(d, name + 5) : NULL;
    }
    return json_object_get(json, name);
}

static json_t *lookup(const struct model_config *c, const char *name) {
    return find(c->json, name);
}

static int apply_sets(struct model_config *c, const struct conf_pairs *sets, struct err *e) {
    for (size_t i = 0; sets && i < sets->n; i++) {
        const char *words[N_KEYS];
        for (int k = 0; k < N_KEYS; k++) words[k] = keys[k].name;
        if (!model_config_settable(sets->key[i])) {
            const char *near = conf_suggest(sets->key[i], words, N_KEYS);
            return err_set(e, ERR_USAGE, "--set %s: no such model key%s%s%s", sets->key[i],
                           near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
        }
        json_t *v = json_loads(sets->value[i], JSON_DECODE_ANY, NULL);
        if (!v) v = json_string(sets->value[i]);
        json_t *to = c->json;
        const char *name = sets->key[i];
        if (!strncmp(name, "duet.", 5)) {
            name += 5;
            to = json_object_get(c->json, "duet");
            if (!to) {
                to = json_object();
                json_object_set_new(c->json, "duet", to);
            }
        }
        if (!v || json_object_set_new(to, name, v))
            return err_set(e, ERR_USAGE, "--set %s=%s: the value is not usable", sets->key[i],
                           sets->value[i]);
    }
    return 0;
}

static int read_key(struct model_config *c, const struct key *k, const char *name, struct err *e) {
    char *at = (char *)c + k->offset;
    json_t *v = lookup(c, k->name);
    json_t *def = NULL;
    int rc = 0;
    if (!v || json_is_null(v)) {
        const struct arch *arch = arch_find(c->arch); /* NULL: that is the key */
        const char *own = arch ? parts_default(&arch->parts, k->name) : NULL;
        const char *text = own ? own : k->def;
        if (!text) return err_set(e, ERR_INPUT, "%s: key %s is missing", name, k->name);
        def = v = k->kind == K_WORD ? json_string(text) : json_loads(text, JSON_DECODE_ANY, NULL);
    }
    if (k->kind == K_BOOL && json_is_boolean(v)) {
        *(bool *)at = json_is_true(v);
    } else if (k->kind == K_WORD && json_is_string(v) && json_string_length(v) < k->size) {
        memset(at, 0, k->size);
        memcpy(at, json_string_value(v), json_string_length(v));
    } else if ((k->kind == K_INT && json_is_integer(v)) ||
               (k->kind == K_REAL && json_is_number(v))) {
        const double d = json_number_value(v);
        if (!(d >= k->min && d <= k->max))
            rc = err_set(e, ERR_INPUT, "%s: %s is %g, expected a number from %g to %g", name,
                         k->name, d, k->min, k->max);
        else if (k->kind == K_INT)
            *(int64_t *)(void *)at = json_integer_value(v);
        else
            *(double *)(void *)at = d;
    } else {
        static const char *const want[] = {"an integer", "a number", "true or false",
                                           "a short string"};
        rc = err_set(e, ERR_INPUT, "%s: %s is not %s", name, k->name, want[k->kind]);
    }
    json_decref(def);
    return rc;
}

static int check(struct model_config *c, const char *name, struct err *e) {
    if (!c->kv_heads) c->kv_heads = c->heads;
    if (!c->head_dim) {
        if (c->dim % c->heads)
            return err_set(e, ERR_INPUT,
                           "%s: hidden_size %lld is not divisible by num_attention_heads %lld "
                           "and head_dim is not given",
                           name, (long long)c->dim, (long long)c->heads);
        c->head_dim = c->dim / c->heads;
    }
    if (c->heads % c->kv_heads)
        return err_set(e, ERR_INPUT,
                       "%s: num_attention_heads %lld is not divisible by "
                       "num_key_value_heads %lld",
                       name, (long long)c->heads, (long long)c->kv_heads);
    if (c->head_dim % 2)
        return err_set(e, ERR_INPUT, "%s: head_dim %lld is odd; rotary embedding needs pairs", name,
                       (long long)c->head_dim);
    if (c->local_theta > 0 && c->local_theta < 1)
        return err_set(e, ERR_INPUT, "%s: duet.rope_local_theta is %g, expected 0 or 1 to 1e12",
                       name, c->local_theta);
    if (!c->seq_len) c->seq_len = c->max_pos < 256 ? c->max_pos : 256;
    static const char *const inits[] = {
#define X(n) #n,
        INITS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof inits / sizeof *inits; i++)
        if (!strcmp(c->init, inits[i])) return 0;
    return err_set(e, ERR_INPUT, "%s: duet.init is %s, expected fan_in, normal or compat", name,
                   c->init);
}

/* What is asked for and would change nothing. */
static int check_sets(const struct model_config *c, const struct conf_pairs *sets, struct err *e) {
    static const char every[] = "duet.rope_global_every";
    if (c->local_theta > 0) return 0;
    for (size_t i = 0; sets && i < sets->n; i++)
        if (!strcmp(sets->key[i], every) && strcmp(sets->value[i], "null"))
            return err_set(e, ERR_USAGE,
                           "--set %s=%s has no effect without duet.rope_local_theta, the base of "
                           "the layers between",
                           every, sets->value[i]);
    return 0;
}

/* Appends to the sentence in text. */
__attribute__((format(printf, 3, 4))) static void say(char *text, size_t size, const char *fmt,
                                                      ...) {
    const size_t n = strlen(text);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text + n, size - n, fmt, ap);
    va_end(ap);
}

static bool is_set(const struct conf_pairs *sets, const char *name) {
    for (size_t i = 0; sets && i < sets->n; i++)
        if (!strcmp(sets->key[i], name)) return true;
    return false;
}

/* " does not say rope_theta (10000 is assumed), ...": the numbers of duet.assumed that nobody
 * set. */
static void say_assumed(const struct model_config *c, const struct conf_pairs *sets, char *text,
                        size_t size) {
    const json_t *list = json_object_get(json_object_get(c->json, "duet"), "assumed"), *v;
    size_t i;
    int n = 0;
    json_array_foreach(list, i, v) {
        for (int k = 0; k < N_KEYS; k++) {
            const char *name = keys[k].name;
            if (keys[k].kind != K_REAL || !json_is_string(v) ||
                strcmp(name, json_string_value(v)) != 0 || is_set(sets, name))
                continue;
            const double x = *(const double *)(const void *)((const char *)c + keys[k].offset);
            say(text, size, n ? ", %s (%.9g" : " does not say %s (%.9g is assumed", name, x);
            n++;
            if (!strcmp(name, "duet.residual_scale"))
                say(text, size, "; 1/sqrt(2 layers) = %.6f if trained from scratch by AutoANE",
                    1 / sqrt(2 * (double)c->layers));
            say(text, size, ")");
        }
    }
    if (n) say(text, size, "; --set KEY=VALUE says it");
}

/* The sentence of what the file does not say. The keys behind it do not go further: what is
 * computed from here on is a fact. */
static int take_assumed(struct model_config *c, const char *name, const struct conf_pairs *sets,
                        struct err *e) {
    char text[1024] = "";
    json_t *duet = json_object_get(c->json, "duet");
    const char *left_out = json_string_value(json_object_get(duet, "left_out"));
    say_assumed(c, sets, text, sizeof text);
    if (left_out)
        say(text, sizeof text, "%s %.200s", *text ? "; left out:" : ": left out:", left_out);
    if (*text && asprintf(&c->assumed, "%s%s", name, text) < 0) {
        c->assumed = NULL;
        return err_set(e, ERR_NOMEM, "%s: out of memory", name);
    }
    json_object_del(duet, "assumed");
    json_object_del(duet, "left_out");
    return 0;
}

int model_config_parse(struct model_config *c, const char *text, size_t bytes, const char *name,
                       const struct conf_pairs *sets, struct err *e) {
    int rc;
    json_error_t je;
    *c = (struct model_config){.json = json_text_load(text, bytes, &je)};
    if (!c->json)
        return err_set(e, json_text_code(&je), "%s: line %d: %s", name, je.line,
                       json_text_why(&je));
    if (!json_is_object(c->json)) {
        rc = err_set(e, ERR_INPUT, "%s: the model description is not a JSON object", name);
        goto out;
    }
    if (json_object_get(c->json, "duet_adapter")) {
        rc = file_is_dir(name)
                 ? err_set(e, ERR_INPUT, "%s is an adapter, and a model is wanted here", name)
                 : err_set(e, ERR_INPUT,
                           "%s is an adapter, and a model is wanted here: give its base, and "
                           "--adapter %s beside it, or the folder of the run that trained it",
                           name, name);
        goto out;
    }
    TRY(rope_keys_flatten(c->json, name, e));
    TRY(apply_sets(c, sets, e));
    json_t *duet = json_object_get(c->json, "duet");
    if (duet && !json_is_object(duet)) {
        rc = err_set(e, ERR_INPUT, "%s: duet is not an object", name);
        goto out;
    }
    TRY(read_key(c, keys, name, e));
    if (!arch_find(c->arch)) {
        char words[200];
        rc = err_set(e, ERR_INPUT, "%s: model_type %s is not known (known: %s)", name, c->arch,
                     parts_names(&arch_parts, false, ", ", words, sizeof words));
        goto out;
    }
    for (int i = 1; i < N_KEYS; i++) TRY(read_key(c, keys + i, name, e));
    TRY(check(c, name, e));
    TRY(check_sets(c, sets, e));
    TRY(config_refuse(c, name, e));
    TRY(rope_factors(c->json, c->theta, c->head_dim, name, &c->rope_factors, e));
    TRY(take_assumed(c, name, sets, e));
out:
    if (rc) model_config_release(c);
    return rc;
}

int model_config_read(struct model_config *c, const char *path, const struct conf_pairs *sets,
                      struct err *e) {
    char *text;
    size_t size;
    if (file_is_dir(path))
        return err_set(e, ERR_INPUT,
                       "%s is a folder, and --model takes a description of a model, a JSON file: "
                       "--init %s begins from the weights of a model or run",
                       path, path);
    int rc = file_read_text(path, (size_t)16 << 20, &text, &size, e);
    if (rc) return rc;
    rc = model_config_parse(c, text, size, path, sets, e);
    free(text);
    return rc;
}

int64_t model_config_context(const struct model_config *c) {
    return c->max_pos > c->seq_len ? c->max_pos : c->seq_len;
}

bool model_config_reads(const char *key) {
    for (int i = 0; i < N_KEYS; i++)
        if (!strcmp(keys[i].name, key)) return true;
    return false;
}

bool model_config_settable(const char *key) {
    return model_config_reads(key) || config_refuse_knows(key);
}

/* ---- against another description ------------------------------------------------------------- */

bool model_config_same_value(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

/* What is not said has its default. */
static bool says_same(const struct key *k, const json_t *a, const json_t *b) {
    if (json_is_null(a)) a = NULL;
    if (json_is_null(b)) b = NULL;
    json_t *def = k && k->def && (k->kind == K_REAL || k->kind == K_INT)
                      ? json_loads(k->def, JSON_DECODE_ANY, NULL)
                      : NULL;
    const bool same = a == b || model_config_same_value(a ? a : def, b ? b : def);
    json_decref(def);
    return same;
}

/* Those that change no logit, or that the shapes of the weights decide. */
static bool is_left_out(const char *key) {
    static const char *const out[] = {"vocab_size", "initializer_range", "duet.seq_len",
                                      "duet.init"};
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        if (!strcmp(key, out[i])) return true;
    return false;
}

/* Factors that stand in the file, rather than the rule that they come from, are what they are. */
static int check_rope(const struct model_config *c, const json_t *base, const char *name,
                      struct err *e) {
    double *f = NULL;
    struct err ignored;
    bool same = true;
    if (find(base, "duet.rope_factors") ||
        rope_factors(base, c->theta, c->head_dim, name, &f, &ignored))
        return 0;
    for (int64_t i = 0; i < c->head_dim / 2; i++) {
        const double a = f ? f[i] : 1, b = c->rope_factors ? c->rope_factors[i] : 1;
        same &= fabs(a - b) <= 1e-6 * fabs(a);
    }
    free(f);
    return same ? 0
                : err_set(e, ERR_USAGE,
                          "%s has another rope_scaling than the description, which an adapter "
                          "cannot say",
                          name);
}

static int note_change(json_t *set, const char *key, json_t *v, const char *name, struct err *e) {
    return json_object_set_new(set, key, v ? json_deep_copy(v) : json_null())
               ? err_set(e, ERR_NOMEM, "%s: out of memory", name)
               : 0;
}

int model_config_changes(const struct model_config *c, const char *base, const char *name,
                         json_t **set, struct err *e) {
    int rc;
    json_error_t je;
    const char *key;
    json_t *v, *out = json_object(), *b = json_text_load(base, strlen(base), &je);
    *set = NULL;
    if (!out || !json_is_object(b)) {
        rc =
            err_set(e, out && b ? ERR_INPUT : ERR_NOMEM, "%s: its description is not usable", name);
        goto out;
    }
    TRY(rope_keys_flatten(b, name, e));
    TRY(check_rope(c, b, name, e));
    for (int i = 0; i < N_KEYS; i++) {
        v = lookup(c, keys[i].name);
        if (!is_left_out(keys[i].name) && !says_same(keys + i, v, find(b, keys[i].name)))
            TRY(note_change(out, keys[i].name, v, name, e));
    }
    /* of the keys that must be neutral: those that the description passes over */
    json_object_foreach(b, key, v) {
        if (config_refuse_knows(key) && !model_config_reads(key) &&
            !says_same(NULL, v, json_object_get(c->json, key)))
            TRY(note_change(out, key, json_object_get(c->json, key), name, e));
    }
    if (json_object_size(out)) *set = json_incref(out);
out:
    json_decref(out);
    json_decref(b);
    return rc;
}

char *model_config_dump(const struct model_config *c) {
    return json_dumps(c->json, JSON_COMPACT);
}

void model_config_release(struct model_config *c) {
    json_decref(c->json);
    free(c->rope_factors);
    free(c->assumed);
    *c = (struct model_config){0};
}
