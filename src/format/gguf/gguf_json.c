/* Pairs that mean nothing to duet, to JSON and back: {"general.author": ["string", "..."],
 * "x.y": ["u32", 5], "a.b": ["array", "string", ["..."]]}. */
#include "gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Values that are kept of one file: far more than real ones have, and few enough to be quick. */
#define MAX_KEPT 262144

double gguf_shortest(float f) {
    char text[32];
    for (int digits = 6; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)f);
        if (strtof(text, NULL) == f) return strtod(text, NULL);
    }
    snprintf(text, sizeof text, "%.9g", (double)f);
    return strtod(text, NULL);
}

static int64_t read_int(enum gguf_type t, const uint8_t *p) {
    union {
        int8_t i8;
        int16_t i16;
        uint16_t u16;
        int32_t i32;
        int64_t i64;
    } v;
    memcpy(&v, p, gguf_type_bytes(t));
    switch (t) {
    case GGUF_U8: return *p;
    case GGUF_I8: return v.i8;
    case GGUF_U16: return v.u16;
    case GGUF_I16: return v.i16;
    case GGUF_U32: return gguf_u32(p);
    case GGUF_I32: return v.i32;
    default: return v.i64;
    }
}

/* NULL: JSON cannot say it. */
static json_t *value_json(enum gguf_type t, const uint8_t *p) {
    double f64;
    char text[32];
    switch (t) {
    case GGUF_BOOL: return json_boolean(*p);
    case GGUF_F32: return isfinite(gguf_f32(p)) ? json_real(gguf_shortest(gguf_f32(p))) : NULL;
    case GGUF_F64: memcpy(&f64, p, sizeof f64); return isfinite(f64) ? json_real(f64) : NULL;
    case GGUF_STRING: {
        const struct vocab_text s = gguf_text(p);
        return memchr(s.s, 0, s.n) ? NULL : json_stringn(s.s, s.n);
    }
    case GGUF_U64:
        if (read_int(t, p) >= 0) return json_integer(read_int(t, p));
        snprintf(text, sizeof text, "%" PRIu64, (uint64_t)read_int(t, p));
        return json_string(text);
    default: return json_integer(read_int(t, p));
    }
}

static size_t value_bytes(enum gguf_type t, const uint8_t *p) {
    return t == GGUF_STRING ? sizeof(uint64_t) + gguf_text(p).n : gguf_type_bytes(t);
}

static json_t *pair_json(const struct gguf_kv *kv) {
    json_t *o = json_array();
    const bool array = kv->type == GGUF_ARRAY;
    int bad = json_array_append_new(o, json_string(gguf_type_names[kv->type]));
    if (array) bad |= json_array_append_new(o, json_string(gguf_type_names[kv->item]));
    json_t *to = array ? json_array() : json_incref(o);
    const uint8_t *p = kv->value;
    for (uint64_t i = 0; i < kv->n && !bad; i++, p += value_bytes(kv->item, p))
        bad |= json_array_append_new(to, value_json(kv->item, p));
    if (array) bad |= json_array_append(o, to);
    json_decref(to);
    if (!bad) return o;
    json_decref(o);
    return NULL;
}

int gguf_keep(const struct gguf *g, json_t **o, struct err *e) {
    uint64_t total = 0;
    *o = NULL;
    for (size_t i = 0; i < g->n_kv; i++) {
        const struct gguf_kv *kv = g->kv + i;
        if (kv->used) continue;
        if ((total += kv->n) > MAX_KEPT)
            return err_set(e, ERR_INPUT,
                           "%s: key %.*s at offset %" PRIu64
                           ": of what duet does not know, it keeps %d values at most",
                           g->path, gguf_shown(kv->key), kv->key.s, kv->offset, MAX_KEPT);
        if (!*o && !(*o = json_object())) return err_set(e, ERR_NOMEM, "%s: no memory", g->path);
        char *key = strndup(kv->key.s, kv->key.n);
        if (!key) return err_set(e, ERR_NOMEM, "%s: no memory", g->path);
        const int bad = json_object_set_new(*o, key, pair_json(kv));
        free(key);
        if (bad)
            return err_set(e, ERR_INPUT,
                           "%s: key %.*s at offset %" PRIu64
                           " holds a number that is not finite, or a text with a NUL",
                           g->path, gguf_shown(kv->key), kv->key.s, kv->offset);
    }
    return 0;
}

/* ---- back ----------------------------------------------------------------------------------- */

static int type_of(const json_t *name) {
    for (int t = 0; t < GGUF_TYPES; t++)
        if (json_is_string(name) && !strcmp(json_string_value(name), gguf_type_names[t])) return t;
    return -1;
}

/* False if v is no value of type t. */
static bool put_int(struct gguf_out *o, enum gguf_type t, const json_t *v) {
    const size_t bytes = gguf_type_bytes(t);
    const bool is_signed = t == GGUF_I8 || t == GGUF_I16 || t == GGUF_I32 || t == GGUF_I64;
    uint64_t bits;
    if (t == GGUF_U64 && json_is_string(v)) {
        char *end;
        const char *s = json_string_value(v);
        bits = strtoull(s, &end, 10);
        if (*s < '0' || *s > '9' || *end) return false;
    } else {
        if (!json_is_integer(v)) return false;
        const int64_t i = json_integer_value(v);
        const int bits_n = (int)(8 * bytes) - is_signed;
        const int64_t max = bits_n > 62 ? INT64_MAX : ((int64_t)1 << bits_n) - 1;
        if (i > max || i < (is_signed ? -max - 1 : 0)) return false;
        bits = (uint64_t)i;
    }
    gguf_put_bytes(o, &bits, bytes);
    return true;
}

static bool put_value(struct gguf_out *o, enum gguf_type t, const json_t *v) {
    const float f32 = (float)json_number_value(v);
    const double f64 = json_number_value(v);
    const uint8_t truth = json_is_true(v);
    switch (t) {
    case GGUF_BOOL: gguf_put_bytes(o, &truth, 1); return json_is_boolean(v);
    case GGUF_F32: gguf_put_bytes(o, &f32, sizeof f32); return json_is_number(v);
    case GGUF_F64: gguf_put_bytes(o, &f64, sizeof f64); return json_is_number(v);
    case GGUF_STRING:
        if (json_is_string(v)) gguf_put_text(o, json_string_value(v), json_string_length(v));
        return json_is_string(v);
    case GGUF_ARRAY: return false;
    default: return put_int(o, t, v);
    }
}

static bool put_pair(struct gguf_out *o, const char *key, const json_t *pair) {
    const size_t n = json_array_size(pair);
    const int type = type_of(json_array_get(pair, 0)), item = type_of(json_array_get(pair, 1));
    if (type < 0 || !*key || strlen(key) > GGUF_MAX_KEY) return false;
    if (type != GGUF_ARRAY) {
        gguf_put_key(o, key, (enum gguf_type)type);
        return n == 2 && put_value(o, (enum gguf_type)type, json_array_get(pair, 1));
    }
    const json_t *list = json_array_get(pair, 2);
    if (n != 3 || item < 0 || item == GGUF_ARRAY || !json_is_array(list)) return false;
    gguf_put_array(o, key, (enum gguf_type)item, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!put_value(o, (enum gguf_type)item, json_array_get(list, i))) return false;
    return true;
}

int gguf_put_kept(struct gguf_out *o, json_t *kept, struct err *e) {
    const char *key;
    json_t *pair;
    if (kept && !json_is_object(kept)) return err_set(e, ERR_INPUT, "duet.gguf is not an object");
    json_object_foreach(kept, key, pair) {
        if (!strcmp(key, "general.name")) continue; /* gguf_put_general */
        if (!put_pair(o, key, pair))
            return err_set(e, ERR_INPUT, "duet.gguf: \"%.80s\" is not a [\"type\", value] of GGUF",
                           key);
        if (o->twice)
            return err_set(e, ERR_INPUT,
                           "duet.gguf: \"%.80s\" is a key that follows from the model", key);
    }
    return 0;
}
