#include "rope_keys.h"

#include <stdbool.h>
#include <string.h>

static const char SCALING[] = "rope_scaling", NEWER[] = "rope_parameters", THETA[] = "rope_theta";

/* 10000 and 10000.0 are the same. */
static bool same_value(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

static bool same_members(json_t *a, json_t *b) {
    const char *key;
    json_t *v;
    if (json_object_size(a) != json_object_size(b)) return false;
    json_object_foreach(a, key, v) {
        if (!same_value(v, json_object_get(b, key))) return false;
    }
    return true;
}

/* One object for each kind of layer is what other architectures have: transformers passes over it
 * in those that duet has, llama.cpp takes the one of full_attention. */
static int refuse_nested(json_t *o, const char *key, const char *name, struct err *e) {
    const char *kind;
    json_t *v;
    json_object_foreach(o, kind, v) {
        if (json_is_object(v))
            return err_set(e, ERR_INPUT,
                           "%s: %s: %.40s is an object, for one kind of layer: readers differ on "
                           "what that means here; write its keys into %s itself",
                           name, key, kind, key);
    }
    return 0;
}

/* transformers 5 and llama.cpp: an object of rope_parameters that says no type scales nothing. */
static int set_type(json_t *scaling, const char *key) {
    const json_t *type = json_object_get(scaling, "rope_type"),
                 *older = json_object_get(scaling, "type");
    if (key != NEWER || (type && !json_is_null(type)) || (older && !json_is_null(older))) return 0;
    return json_object_set_new(scaling, "rope_type", json_string("default"));
}

/* A new object, without base; the base, borrowed from config, or NULL. Both NULL: nothing said. */
struct said {
    json_t *scaling, *theta;
};

static bool is_default(const json_t *type) {
    return json_is_string(type) && !strcmp(json_string_value(type), "default");
}

/* Not said, or the number x. */
static bool is_or_absent(const json_t *o, const char *key, double x) {
    const json_t *v = json_object_get(o, key);
    return !v || json_is_null(v) || (json_is_number(v) && json_number_value(v) == x);
}

/* Every number of a list 1? */
static bool all_ones(const json_t *list) {
    const json_t *v;
    size_t i;
    json_array_foreach(list, i, v) {
        if (!json_is_number(v) || json_number_value(v) != 1) return false;
    }
    return json_array_size(list) > 0;
}

/* A length that says how far the context was stretched: not at all. */
static bool not_stretched(const json_t *config, const json_t *scaling) {
    static const char key[] = "original_max_position_embeddings";
    const json_t *max = json_object_get(config, "max_position_embeddings");
    const double n = json_is_number(max) ? json_number_value(max) : -1;
    return is_or_absent(scaling, key, n) && is_or_absent(config, key, n);
}

/* Scaling that changes nothing, by the formulas of transformers (modeling_rope_utils.py): a factor
 * of 1 divides no frequency, and yarn's and longrope's factor on the scores is 1 then, unless it is
 * given. dynamic's base is the given one up to max_position_embeddings. */
static bool is_identity(const json_t *config, const json_t *scaling) {
    const json_t *type = json_object_get(scaling, "rope_type"),
                 *factor = json_object_get(scaling, "factor");
    if (!json_is_string(type)) type = json_object_get(scaling, "type");
    const char *word = json_is_string(type) ? json_string_value(type) : "";
    if (!is_or_absent(scaling, "partial_rotary_factor", 1)) return false;
    if (!strcmp(word, "longrope") || !strcmp(word, "su"))
        return all_ones(json_object_get(scaling, "short_factor")) &&
               all_ones(json_object_get(scaling, "long_factor")) &&
               is_or_absent(scaling, "factor", 1) &&
               is_or_absent(scaling, "attention_factor", 1) && not_stretched(config, scaling);
    if (!json_is_number(factor) || json_number_value(factor) != 1) return false;
    if (!strcmp(word, "yarn"))
        return is_or_absent(scaling, "attention_factor", 1) && not_stretched(config, scaling);
    return !strcmp(word, "linear") || !strcmp(word, "llama3") || !strcmp(word, "dynamic");
}

/* Nothing but a base: every pair is turned, and by nothing else. */
static bool is_plain(const json_t *config, json_t *scaling) {
    const char *key;
    json_t *v;
    if (is_identity(config, scaling)) return true;
    json_object_foreach(scaling, key, v) {
        const bool type = (!strcmp(key, "rope_type") || !strcmp(key, "type")) && is_default(v);
        const bool all = !strcmp(key, "partial_rotary_factor") && json_number_value(v) == 1;
        if (!type && !all && !json_is_null(v)) return false;
    }
    return true;
}

static int read_object(const json_t *config, const char *key, const char *name, struct said *s,
                       struct err *e) {
    json_t *o = json_object_get(config, key);
    *s = (struct said){0};
    if (!o || json_is_null(o)) return 0;
    if (!json_is_object(o)) return err_set(e, ERR_INPUT, "%s: %s is not an object", name, key);
    if (!json_object_size(o)) return 0;
    const int rc = refuse_nested(o, key, name, e);
    if (rc) return rc;
    s->theta = json_object_get(o, THETA);
    if (json_is_null(s->theta)) s->theta = NULL;
    if (!(s->scaling = json_copy(o))) return err_set(e, ERR_NOMEM, "%s: out of memory", name);
    json_object_del(s->scaling, THETA);
    return set_type(s->scaling, key) ? err_set(e, ERR_NOMEM, "%s: out of memory", name) : 0;
}

/* Both are there: do they say the same? */
static int compare(const json_t *config, struct said *old, struct said *newer, const char *name,
                   struct err *e) {
    const bool plain = is_plain(config, old->scaling) && is_plain(config, newer->scaling);
    if ((plain || same_members(old->scaling, newer->scaling)) &&
        (!old->theta || !newer->theta || same_value(old->theta, newer->theta)))
        return 0;
    return err_set(e, ERR_INPUT,
                   "%s: %s and %s say different things of the rotary embedding; remove one of them",
                   name, SCALING, NEWER);
}

int rope_keys_flatten(json_t *config, const char *name, struct err *e) {
    struct said old = {0}, newer = {0};
    int rc;
    TRY(read_object(config, SCALING, name, &old, e));
    TRY(read_object(config, NEWER, name, &newer, e));
    if (old.scaling && newer.scaling) TRY(compare(config, &old, &newer, name, e));
    json_t *theta = old.theta ? old.theta : newer.theta;
    json_t *scaling = old.scaling ? old.scaling : newer.scaling;
    int bad = 0;
    if (theta) bad |= json_object_set(config, THETA, theta);
    if (scaling && is_plain(config, scaling))
        json_object_del(config, SCALING);
    else if (scaling)
        bad |= json_object_set(config, SCALING, scaling);
    if (bad) rc = err_set(e, ERR_NOMEM, "%s: out of memory", name);
    json_object_del(config, NEWER);
out:
    json_decref(old.scaling);
    json_decref(newer.scaling);
    return rc;
}
