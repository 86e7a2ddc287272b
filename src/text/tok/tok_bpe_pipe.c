/* Hugging Face tokenizer.json: what happens to the text before and after the model. */
#include "tok_bpe.h"

#include "unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int unsupported(const struct bpe_json *j, const char *where, const char *type,
                       const char *known) {
    return bpe_json_fail(j, where, "type \"%.60s\" is not supported; supported are %s", type,
                         known);
}

/* A message of another module gets the place in the file. */
static int placed(const struct bpe_json *j, const char *where, int rc) {
    return rc ? err_prefix(j->e, "%s: %s", j->name, where) : 0;
}

/* {"String": ...}. */
static int plain_pattern(const struct bpe_json *j, const char *where, const json_t *v,
                         const char **text) {
    int rc;
    TRY(bpe_json_keys(j, where, v, "Regex String"));
    if (json_object_get(v, "Regex") || json_object_size(v) != 1)
        return bpe_json_fail(j, where, "only a \"pattern\" with \"String\" is supported here");
    TRY(bpe_json_string(j, where, v, "String", text));
out:
    return rc;
}

static int load_normalizer(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                           const char *where, const json_t *v) {
    static const char *const forms[] = {"NFC", "NFD", "NFKC", "NFKD"};
    int rc;
    const char *type, *from, *to;
    if (!json_is_object(v)) return bpe_json_fail(j, where, "expected an object");
    TRY(bpe_json_string(j, where, v, "type", &type));
    t->exact = false;
    if (strcmp(type, "Prepend") == 0) {
        TRY(bpe_json_keys(j, where, v, "type prepend"));
        TRY(bpe_json_string(j, where, v, "prepend", &to));
        return placed(j, where, bpe_norm_add(&b->norm, BPE_PREPEND, NULL, to, j->e));
    }
    if (strcmp(type, "Replace") == 0) {
        TRY(bpe_json_keys(j, where, v, "type pattern content"));
        TRY(plain_pattern(j, where, json_object_get(v, "pattern"), &from));
        TRY(bpe_json_string(j, where, v, "content", &to));
        return placed(j, where, bpe_norm_add(&b->norm, BPE_REPLACE, from, to, j->e));
    }
    TRY(bpe_json_keys(j, where, v, "type"));
    for (int i = 0; i < 4; i++)
        if (strcmp(type, forms[i]) == 0)
            return placed(
                j, where,
                bpe_norm_add(&b->norm, (enum bpe_norm_op)(BPE_NFC + i), NULL, NULL, j->e));
    rc = unsupported(j, where, type, "NFC, NFD, NFKC, NFKD, Prepend, Replace and Sequence");
out:
    return rc;
}

/* The elements of a Sequence, or the thing itself as a list of one; new reference. null: none. */
static int sequence(const struct bpe_json *j, const char *where, const json_t *v, const char *key,
                    json_t **list) {
    const char *type = json_string_value(json_object_get(v, "type"));
    *list = NULL;
    if (type && strcmp(type, "Sequence") == 0) {
        char keys[64];
        snprintf(keys, sizeof keys, "type %s", key);
        int rc = bpe_json_keys(j, where, v, keys);
        json_t *own = json_object_get(v, key);
        if (rc) return rc;
        if (!json_is_array(own)) return bpe_json_fail(j, where, "\"%s\" is not an array", key);
        *list = json_incref(own);
        return 0;
    }
    *list = json_array();
    if (!*list || (!bpe_null(v) && json_array_append(*list, (json_t *)(uintptr_t)v)))
        return err_set(j->e, ERR_NOMEM, "%s: no memory", j->name);
    return 0;
}

/* Where element i of that list stands in the file. */
static const char *place(char *buf, size_t n, const char *where, const char *key, const json_t *v,
                         size_t i) {
    const char *type = json_string_value(json_object_get(v, "type"));
    if (!type || strcmp(type, "Sequence")) return where;
    snprintf(buf, n, "%s.%s[%zu]", where, key, i);
    return buf;
}

static int load_normalizers(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                            const json_t *v) {
    const char *where = "normalizer", *key = "normalizers";
    json_t *list, *step;
    char buf[64];
    size_t i;
    int rc;
    TRY(sequence(j, where, v, key, &list));
    json_array_foreach(list, i, step)
        TRY(load_normalizer(t, b, j, place(buf, sizeof buf, where, key, v, i), step));
out:
    json_decref(list);
    return rc;
}

static int add(struct bpe *b, const struct bpe_json *j, const char *where, enum pretok_op op) {
    return placed(j, where, pretok_add(&b->pretok, op, NULL, j->e));
}

static int load_byte_level(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                           const char *where, const json_t *v) {
    int rc;
    bool prefix, regex, trim;
    TRY(bpe_json_keys(j, where, v, "type add_prefix_space trim_offsets use_regex"));
    TRY(bpe_json_bool(j, where, v, "add_prefix_space", true, &prefix));
    TRY(bpe_json_bool(j, where, v, "use_regex", true, &regex));
    TRY(bpe_json_bool(j, where, v, "trim_offsets", true, &trim)); /* offsets are not reported */
    if (prefix) {
        t->exact = false;
        TRY(add(b, j, where, PRETOK_PREFIX));
    }
    if (regex) TRY(add(b, j, where, PRETOK_GPT2));
out:
    return rc;
}

static int load_digits(struct bpe *b, const struct bpe_json *j, const char *where,
                       const json_t *v) {
    int rc;
    bool each;
    TRY(bpe_json_keys(j, where, v, "type individual_digits"));
    TRY(bpe_json_bool(j, where, v, "individual_digits", false, &each));
    TRY(add(b, j, where, each ? PRETOK_DIGIT : PRETOK_DIGITS));
out:
    return rc;
}

/* {"pattern": {"Regex" or "String": ...}, "behavior": ..., "invert": ...}. */
static int load_split(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                      const char *where, const json_t *v) {
    static const char *const names[] = {"Isolated", "Removed", "Contiguous", "MergedWithPrevious",
                                        "MergedWithNext"};
    int rc;
    bool invert;
    const char *behavior, *text;
    unsigned k = 0;
    TRY(bpe_json_keys(j, where, v, "type pattern behavior invert"));
    TRY(bpe_json_string(j, where, v, "behavior", &behavior));
    TRY(bpe_json_bool(j, where, v, "invert", false, &invert));
    while (k < 5 && strcmp(behavior, names[k])) k++;
    if (k == 5)
        return bpe_json_fail(j, where, "behavior \"%.40s\" is not one that is known", behavior);
    const json_t *pattern = json_object_get(v, "pattern");
    TRY(bpe_json_keys(j, where, pattern, "Regex String"));
    if (json_object_size(pattern) != 1)
        return bpe_json_fail(j, where, "\"pattern\" needs one of \"Regex\" and \"String\"");
    bool regex = json_object_get(pattern, "Regex") != NULL;
    TRY(bpe_json_string(j, where, pattern, regex ? "Regex" : "String", &text));
    TRY(placed(j, where,
               pretok_add_split(&b->pretok, regex, text, (enum pretok_behavior)k, invert, j->e)));
    const enum pretok_op op = b->pretok.step[b->pretok.n - 1].op;
    if (k == PRETOK_REMOVED && op > PRETOK_NANOCHAT) t->exact = false; /* it may drop text */
out:
    return rc;
}

/* A character that stands for a blank, and whether one is put in front of a text. */
static int load_metaspace(const struct bpe_json *j, const char *where, const json_t *v,
                          const char **replacement, enum pretok_prepend *prepend, bool *split) {
    static const char *const schemes[] = {"never", "first", "always"};
    int rc;
    bool prefix;
    unsigned k = 2;
    uint32_t cp;
    TRY(bpe_json_keys(j, where, v,
                      "type replacement prepend_scheme split add_prefix_space str_rep"));
    TRY(bpe_json_string(j, where, v, "replacement", replacement));
    const size_t n = strlen(*replacement);
    if (!n || utf8_read(*replacement, n, &cp) != n || cp == ' ')
        return bpe_json_fail(j, where, "\"replacement\" is not one character");
    TRY(bpe_json_bool(j, where, v, "split", true, split));
    TRY(bpe_json_bool(j, where, v, "add_prefix_space", true, &prefix));
    const json_t *scheme = json_object_get(v, "prepend_scheme");
    if (scheme) {
        const char *s = json_string_value(scheme);
        for (k = 0; s && k < 3 && strcmp(s, schemes[k]);) k++;
        if (!s || k == 3)
            return bpe_json_fail(j, where, "\"prepend_scheme\" is not always, first or never");
    }
    if (!prefix && k && scheme)
        return bpe_json_fail(j, where, "\"add_prefix_space\" contradicts \"prepend_scheme\"");
    *prepend = prefix ? (enum pretok_prepend)k : PRETOK_NEVER;
out:
    return rc;
}

static int add_metaspace(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                         const char *where, const json_t *v) {
    int rc;
    const char *replacement;
    enum pretok_prepend prepend;
    bool split;
    TRY(load_metaspace(j, where, v, &replacement, &prepend, &split));
    t->exact = false;
    TRY(placed(j, where, pretok_add_metaspace(&b->pretok, replacement, prepend, split, j->e)));
out:
    return rc;
}

/* One pre-tokeniser that is not a Sequence. *byte_level: a ByteLevel was there. */
static int load_step(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                     const char *where, const json_t *v, bool *byte_level) {
    int rc;
    const char *type;
    if (!json_is_object(v)) return bpe_json_fail(j, where, "expected an object");
    TRY(bpe_json_string(j, where, v, "type", &type));
    if (*byte_level) /* what follows would see the byte alphabet, not the text */
        return bpe_json_fail(j, where, "a pre-tokenizer behind ByteLevel is not supported");
    if (strcmp(type, "ByteLevel") == 0) {
        *byte_level = true;
        TRY(load_byte_level(t, b, j, where, v));
    } else if (strcmp(type, "Digits") == 0) {
        TRY(load_digits(b, j, where, v));
    } else if (strcmp(type, "Split") == 0) {
        TRY(load_split(t, b, j, where, v));
    } else if (strcmp(type, "Metaspace") == 0 && !b->bytes) {
        TRY(add_metaspace(t, b, j, where, v));
    } else {
        rc = unsupported(j, where, type,
                         b->bytes ? "ByteLevel, Digits, Split and Sequence"
                                  : "ByteLevel, Digits, Metaspace, Split and Sequence");
    }
out:
    return rc;
}

static int load_pre_tokenizer(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                              const json_t *v) {
    const char *where = "pre_tokenizer", *key = "pretokenizers";
    bool byte_level = false;
    json_t *list, *step;
    size_t i;
    char buf[64];
    int rc;
    TRY(sequence(j, where, v, key, &list));
    json_array_foreach(list, i, step) {
        TRY(load_step(t, b, j, place(buf, sizeof buf, where, key, v, i), step, &byte_level));
    }
out:
    json_decref(list);
    return rc;
}

int bpe_load_pipeline(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                      const json_t *root) {
    int rc;
    TRY(load_normalizers(t, b, j, json_object_get(root, "normalizer")));
    TRY(load_pre_tokenizer(t, b, j, json_object_get(root, "pre_tokenizer")));
    for (int i = 0; i < b->norm.n && t->drops; i++)
        if (b->norm.step[i].op == BPE_PREPEND) t->drops = TOK_DROPS_EACH;
    for (int i = 0; i < b->pretok.n && t->drops; i++)
        if (b->pretok.step[i].prepend == PRETOK_ALWAYS) t->drops = TOK_DROPS_EACH;
out:
    return rc;
}

/* ---- decoder -------------------------------------------------------------------------------- */

static int set_replace(struct bpe *b, const struct bpe_json *j, const char *where, const char *from,
                       const char *to) {
    if (!*from || strlen(to) > strlen(from))
        return bpe_json_fail(j, where,
                             "only a text by one that is not longer can be replaced, not \"%.40s\" "
                             "by \"%.40s\"",
                             from, to);
    b->from = strdup(from);
    b->to = strdup(to);
    return b->from && b->to ? 0 : err_set(j->e, ERR_NOMEM, "%s: no memory", j->name);
}

static int load_strip(struct tokenizer *t, const struct bpe_json *j, const char *where,
                      const json_t *v) {
    int rc;
    const char *content;
    TRY(bpe_json_keys(j, where, v, "type content start stop"));
    TRY(bpe_json_string(j, where, v, "content", &content));
    const json_t *start = json_object_get(v, "start"), *stop = json_object_get(v, "stop");
    if (!json_is_integer(start) || !json_is_integer(stop) || json_integer_value(stop) != 0 ||
        (json_integer_value(start) != 0 &&
         (json_integer_value(start) != 1 || strcmp(content, " "))))
        return bpe_json_fail(j, where, "only one blank at the start can be stripped");
    if (json_integer_value(start)) t->drops = TOK_DROPS_FIRST;
out:
    return rc;
}

/* A step of the decoder of a vocabulary of characters. *rank: of the step before it; they come in
 * one order. */
static int load_decoder_step(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                             const char *where, const json_t *v, unsigned *rank) {
    static const char *const types[] = {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"};
    int rc;
    const char *type, *from, *to;
    unsigned k = 0;
    if (!json_is_object(v)) return bpe_json_fail(j, where, "expected an object");
    TRY(bpe_json_string(j, where, v, "type", &type));
    while (k < 5 && strcmp(type, types[k])) k++;
    if (k == 5)
        return unsupported(j, where, type,
                           "Replace, ByteFallback, Fuse, Strip, Metaspace and Sequence for a "
                           "vocabulary of characters");
    if (*rank > k || (k == 4 && *rank) || (k == 3 && *rank != 3)) /* Strip right behind Fuse */
        return bpe_json_fail(j, where, "\"%s\" is not supported at this place", type);
    *rank = k + 1;
    if (k == 0) {
        TRY(bpe_json_keys(j, where, v, "type pattern content"));
        TRY(plain_pattern(j, where, json_object_get(v, "pattern"), &from));
        TRY(bpe_json_string(j, where, v, "content", &to));
        TRY(set_replace(b, j, where, from, to));
    } else if (k == 3) {
        TRY(load_strip(t, j, where, v));
    } else if (k == 4) {
        enum pretok_prepend prepend;
        bool split;
        TRY(load_metaspace(j, where, v, &from, &prepend, &split));
        if (prepend) t->drops = TOK_DROPS_FIRST;
        TRY(set_replace(b, j, where, from, " "));
    } else {
        TRY(bpe_json_keys(j, where, v, "type"));
        b->decodes_bytes |= k == 1;
    }
out:
    return rc;
}

static int load_byte_decoder(const struct bpe_json *j, const char *where, const json_t *v) {
    int rc;
    const char *type;
    TRY(bpe_json_keys(j, where, v, "type add_prefix_space trim_offsets use_regex"));
    TRY(bpe_json_string(j, where, v, "type", &type));
    if (strcmp(type, "ByteLevel"))
        rc = unsupported(j, where, type, "ByteLevel and null for a byte-level vocabulary");
out:
    return rc;
}

static bool has_type(const json_t *list, const char *type) {
    const json_t *v;
    size_t i;
    json_array_foreach(list, i, v) {
        const char *s = json_string_value(json_object_get(v, "type"));
        if (s && strcmp(s, type) == 0) return true;
    }
    return false;
}

int bpe_load_decoder(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                     const json_t *root) {
    const char *where = "decoder", *key = "decoders";
    const json_t *v = json_object_get(root, where);
    const json_t *before = json_object_get(root, "pre_tokenizer");
    json_t *list = NULL, *pre, *step;
    unsigned rank = 0;
    char buf[64];
    size_t i;
    int rc;
    TRY(sequence(j, "pre_tokenizer", before, "pretokenizers", &pre));
    TRY(sequence(j, where, v, key, &list));
    b->bytes = has_type(pre, "ByteLevel");
    if (!b->bytes && !bpe_null(v) && has_type(list, "ByteLevel"))
        rc = bpe_json_fail(j, "pre_tokenizer", "no ByteLevel, though the decoder is ByteLevel");
    else if (!b->bytes && !json_array_size(list))
        rc = bpe_json_fail(j, where, "none: not supported for a vocabulary of characters");
    if (!b->bytes) t->exact = false; /* other texts share the tokens of blanks and bytes */
    if (rc) goto out;
    json_array_foreach(list, i, step) {
        const char *at = place(buf, sizeof buf, where, key, v, i);
        TRY(b->bytes ? load_byte_decoder(j, at, step)
                     : load_decoder_step(t, b, j, at, step, &rank));
    }
out:
    json_decref(list);
    json_decref(pre);
    return rc;
}

/* ---- post_processor ------------------------------------------------------------------------- */

/* TemplateProcessing: "single" may put one special token before the text, and nothing behind. */
static int load_template(struct tokenizer *t, const struct bpe_json *j, const char *where,
                         const json_t *v) {
    int rc;
    const char *key;
    TRY(bpe_json_keys(j, where, v, "type single pair special_tokens"));
    const json_t *single = json_object_get(v, "single"), *item;
    bool text = false;
    size_t i;
    json_array_foreach(single, i, item) {
        const json_t *special = json_object_get(item, "SpecialToken");
        if (json_object_get(item, "Sequence") && !text) {
            text = true;
            continue;
        }
        if (!special || text || i > 0)
            return bpe_json_fail(j, where,
                                 "\"single\" is not one special token, or none, and then "
                                 "the text: not supported");
        TRY(bpe_json_string(j, where, special, "id", &key));
        const json_t *ids =
            json_object_get(json_object_get(json_object_get(v, "special_tokens"), key), "ids");
        json_int_t id = json_integer_value(json_array_get(ids, 0));
        if (json_array_size(ids) != 1 || !json_is_integer(json_array_get(ids, 0)) || id < 0 ||
            id >= t->vocab || !tokenizer_is_special(t, (uint32_t)id))
            return bpe_json_fail(j, where,
                                 "special_tokens[\"%.60s\"].ids is not one id of a "
                                 "special token",
                                 key);
        t->bos = id;
    }
    if (!text) rc = bpe_json_fail(j, where, "\"single\" has no Sequence");
out:
    return rc;
}

static int load_post_step(struct tokenizer *t, const struct bpe_json *j, const char *where,
                          const json_t *v) {
    int rc;
    const char *type;
    if (!json_is_object(v)) return bpe_json_fail(j, where, "expected an object");
    TRY(bpe_json_string(j, where, v, "type", &type));
    if (strcmp(type, "TemplateProcessing") == 0) return load_template(t, j, where, v);
    if (strcmp(type, "ByteLevel"))
        return unsupported(j, where, type, "ByteLevel, TemplateProcessing and Sequence");
    /* it only trims the offsets of tokens, which are not reported here */
    TRY(bpe_json_keys(j, where, v, "type add_prefix_space trim_offsets use_regex"));
out:
    return rc;
}

int bpe_load_post(struct tokenizer *t, const struct bpe_json *j, const json_t *root) {
    const char *where = "post_processor", *key = "processors";
    const json_t *v = json_object_get(root, where);
    json_t *list, *step;
    char buf[64];
    size_t i;
    int rc;
    TRY(sequence(j, where, v, key, &list));
    json_array_foreach(list, i, step)
        TRY(load_post_step(t, j, place(buf, sizeof buf, where, key, v, i), step));
out:
    json_decref(list);
    return rc;
}
