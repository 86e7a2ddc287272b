#include "json_text.h"
#include "tok_sides.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An object from a text; numbers are reals, since transformers writes 10^30 for a length without
 * limit. */
static int parse(const struct sides *s, const char *file, const struct tok_text *text, json_t **o) {
    json_error_t je;
    *o = text->s ? json_loadb(text->s, text->n, JSON_DECODE_INT_AS_REAL, &je) : NULL;
    if (!text->s || json_is_object(*o)) return 0;
    const int rc = err_set(s->e, ERR_INPUT, "%s: %s: line %d: %s", s->name, file, *o ? 1 : je.line,
                           *o ? "not a JSON object" : json_text_why(&je));
    json_decref(*o);
    *o = NULL;
    return rc;
}

int sides_read(struct sides *s, const struct tok_sides *files, const char *name, struct err *e) {
    int rc;
    *s = (struct sides){.name = name, .e = e};
    TRY(parse(s, "tokenizer_config.json", &files->config, &s->config));
    TRY(parse(s, "added_tokens.json", &files->added, &s->added));
    TRY(parse(s, "special_tokens_map.json", &files->map, &s->map));
out:
    return rc;
}

void sides_release(struct sides *s) {
    json_decref(s->config);
    json_decref(s->added);
    json_decref(s->map);
}

/* A token's text: itself, or an object with it. */
static const char *text_of(const json_t *v) {
    return json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
}

const char *sides_named(const struct sides *s, const char *what) {
    char key[24];
    snprintf(key, sizeof key, "%s_token", what);
    const char *text = text_of(json_object_get(s->config, key));
    return text ? text : text_of(json_object_get(s->map, key));
}

/* Written as special tokens of these families are: <|endoftext|>. */
static bool looks_special(const char *s, size_t n) {
    return n > 4 && !memcmp(s, "<|", 2) && !memcmp(s + n - 2, "|>", 2);
}

/* One that the two files name as special: by use, or in the list of additional ones. */
static bool is_special(const struct sides *s, const char *text) {
    const json_t *files[] = {s->config, s->map}, *v;
    const char *key;
    size_t k;
    for (int i = 0; i < 2; i++) {
        json_object_foreach((json_t *)(uintptr_t)files[i], key, v) {
            const size_t n = strlen(key);
            const char *own = n > 6 && !strcmp(key + n - 6, "_token") ? text_of(v) : NULL;
            if (own && !strcmp(own, text)) return true;
        }
        json_array_foreach(json_object_get(files[i], "additional_special_tokens"), k, v) {
            const char *own = text_of(v);
            if (own && !strcmp(own, text)) return true;
        }
    }
    return looks_special(text, strlen(text));
}

int sides_each(const struct sides *s, int (*f)(void *ctx, const struct sides_token *t), void *ctx) {
    json_t *decoder = json_object_get(s->config, "added_tokens_decoder"), *v;
    const char *key;
    int rc = 0;
    if (decoder && !json_is_null(decoder) && !json_is_object(decoder))
        return err_set(s->e, ERR_INPUT,
                       "%s: tokenizer_config.json: added_tokens_decoder is not an object of ids",
                       s->name);
    json_object_foreach(decoder, key, v) {
        char *end;
        const char *text = text_of(json_is_object(v) ? v : NULL);
        const long long id = strtoll(key, &end, 10);
        if (!text || *end || end == key)
            return err_set(s->e, ERR_INPUT,
                           "%s: tokenizer_config.json: added_tokens_decoder: \"%.40s\" is no "
                           "id, or has no content",
                           s->name, key);
        const struct sides_token t = {"tokenizer_config.json", text, id,
                                      json_is_true(json_object_get(v, "special")), v};
        TRY(f(ctx, &t));
    }
    json_object_foreach(s->added, key, v) {
        const double id = json_number_value(v);
        if (!json_is_number(v) || !(id >= 0 && id < 4e9) || id != (double)(int64_t)id)
            return err_set(s->e, ERR_INPUT,
                           "%s: added_tokens.json: the id of \"%.60s\" is no integer", s->name,
                           key);
        const struct sides_token t = {"added_tokens.json", key, (int64_t)id,
                                      is_special(s, key), NULL};
        TRY(f(ctx, &t));
    }
out:
    return rc;
}
