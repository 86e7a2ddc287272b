#include "adapter_set.h"

#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SET = 256 };

int adapter_set_read(json_t **set, json_t *said, const char *path, struct err *e) {
    const char *key;
    json_t *v;
    *set = NULL;
    if (!said) return 0;
    if (!json_is_object(said) || json_object_size(said) > MAX_SET)
        return err_set(e, ERR_INPUT,
                       "%s: duet_adapter: \"set\" is not an object of at most %d keys", path,
                       MAX_SET);
    json_object_foreach(said, key, v) {
        if (!model_config_settable(key))
            return err_set(e, ERR_INPUT, "%s: duet_adapter: set: no such model key \"%.60s\"", path,
                           key);
    }
    *set = json_deep_copy(said);
    return *set ? 0 : err_set(e, ERR_NOMEM, "out of memory for %s", path);
}

static void shown(const json_t *v, char text[80]) {
    char *s = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    snprintf(text, 80, "%.70s", s ? s : "");
    free(s);
}

/* The value as --set reads it. */
static bool is_same(const json_t *v, const char *given) {
    json_t *g = json_loads(given, JSON_DECODE_ANY, NULL);
    if (!g) g = json_string(given);
    const bool same = model_config_same_value(v, g);
    json_decref(g);
    return same;
}

static int add(struct conf_pairs *to, char *key, char *value, struct err *e) {
    to->key[to->n] = key;
    to->value[to->n++] = value;
    return key && value ? 0 : err_set(e, ERR_NOMEM, "out of memory for --set");
}

int adapter_set_join(struct conf_pairs *to, const struct conf_pairs *given, json_t *set,
                     const char *path, struct err *e) {
    int rc = 0;
    const char *key;
    json_t *v;
    const size_t n = (given ? given->n : 0) + json_object_size(set);
    *to = (struct conf_pairs){.key = calloc(n + 1, sizeof *to->key),
                              .value = calloc(n + 1, sizeof *to->value)};
    if (!to->key || !to->value) {
        rc = err_set(e, ERR_NOMEM, "out of memory for --set");
        goto out;
    }
    for (size_t i = 0; given && i < given->n; i++) {
        const json_t *trained = json_object_get(set, given->key[i]);
        char text[80];
        if (trained && !is_same(trained, given->value[i])) {
            shown(trained, text);
            rc =
                err_set(e, ERR_USAGE, "--set %.60s=%.60s contradicts %s, which was trained with %s",
                        given->key[i], given->value[i], path, text);
            goto out;
        }
        TRY(add(to, strdup(given->key[i]), strdup(given->value[i]), e));
    }
    const size_t n_given = to->n;
    json_object_foreach(set, key, v) {
        size_t i = 0;
        while (i < n_given && strcmp(to->key[i], key)) i++;
        if (i == n_given)
            TRY(add(to, strdup(key), json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT), e));
    }
out:
    to->n_args = to->n;
    if (rc) adapter_set_release(to);
    return rc;
}

void adapter_set_release(struct conf_pairs *p) {
    for (size_t i = 0; i < p->n; i++) {
        free(p->key[i]);
        free(p->value[i]);
    }
    free(p->key);
    free(p->value);
    *p = (struct conf_pairs){0};
}

int adapter_set_check(json_t *set, json_t *now, const char *path, struct err *e) {
    const char *key;
    json_t *v;
    json_object_foreach(set, key, v) {
        const json_t *has = json_object_get(now, key);
        char text[80];
        if (has && model_config_same_value(v, has)) continue;
        shown(v, text);
        return err_set(e, ERR_INPUT, "%s was trained with %.60s=%s, which this model does not have",
                       path, key, text);
    }
    return 0;
}

int adapter_set_refuse(json_t *set, const char *path, const char *format, struct err *e) {
    char *text = json_dumps(set, JSON_COMPACT | JSON_REAL_PRECISION(9));
    const int rc =
        err_set(e, ERR_INPUT,
                "%s: the adapter was trained with %.120s in place of what the base says, which an "
                "adapter of format %s cannot say: duet adapter merge makes one model of both, and "
                "--set KEY=VALUE here says that the base of %s will have it",
                path, text ? text : "other values", format, path);
    free(text);
    return rc;
}
