/* Hugging Face tokenizer.json: what happens to the text before and after the model. */
#include "tok_bpe.h"

#include <stdio.h>
#include <string.h>

static int unsupported(const struct bpe_json *j, const char *where, const char *type,
                       const char *known) {
    return bpe_json_fail(j, where, "type \"%.60s\" is not supported; supported are %s", type,
                         known);
}

static int load_normalizer(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                           const json_t *v) {
    int rc;
    const char *type, *where = "normalizer";
    if (bpe_null(v)) return 0;
    TRY(bpe_json_keys(j, where, v, "type"));
    TRY(bpe_json_string(j, where, v, "type", &type));
    if (strcmp(type, "NFC") == 0)
        b->norm = BPE_NORM_NFC;
    else if (strcmp(type, "NFKC") == 0)
        b->norm = BPE_NORM_NFKC;
    else
        return unsupported(j, where, type, "null, NFC and NFKC");
    t->exact = false;
out:
    return rc;
}

/* Adds a step; a message of pretok.h gets the place in the file. */
static int add(struct bpe *b, const struct bpe_json *j, const char *where, enum pretok_op op,
               const char *pattern) {
    int rc = pretok_add(&b->pretok, op, pattern, j->e);
    return rc ? err_prefix(j->e, "%s: %s", j->name, where) : 0;
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
        TRY(add(b, j, where, PRETOK_PREFIX, NULL));
    }
    if (regex) TRY(add(b, j, where, PRETOK_GPT2, NULL));
out:
    return rc;
}

static int load_digits(struct bpe *b, const struct bpe_json *j, const char *where,
                       const json_t *v) {
    int rc;
    bool each;
    TRY(bpe_json_keys(j, where, v, "type individual_digits"));
    TRY(bpe_json_bool(j, where, v, "individual_digits", false, &each));
    TRY(add(b, j, where, each ? PRETOK_DIGIT : PRETOK_DIGITS, NULL));
out:
    return rc;
}

/* {"pattern": {"Regex" or "String": ...}, "behavior": ..., "invert": ...}. "Removed" with invert
 * keeps the matches; what no match covers would be lost there and is kept here, as a word. */
static int load_split(struct bpe *b, const struct bpe_json *j, const char *where, const json_t *v) {
    int rc;
    bool invert;
    const char *behavior, *text;
    TRY(bpe_json_keys(j, where, v, "type pattern behavior invert"));
    TRY(bpe_json_string(j, where, v, "behavior", &behavior));
    TRY(bpe_json_bool(j, where, v, "invert", false, &invert));
    if (strcmp(behavior, "Isolated") && !(strcmp(behavior, "Removed") == 0 && invert))
        return bpe_json_fail(j, where,
                             "behavior \"%.40s\" with invert %s is not supported; supported are "
                             "\"Isolated\", and \"Removed\" with invert true",
                             behavior, invert ? "true" : "false");
    const json_t *pattern = json_object_get(v, "pattern");
    TRY(bpe_json_keys(j, where, pattern, "Regex String"));
    if (json_object_size(pattern) != 1)
        return bpe_json_fail(j, where, "\"pattern\" needs one of \"Regex\" and \"String\"");
    bool regex = json_object_get(pattern, "Regex") != NULL;
    TRY(bpe_json_string(j, where, pattern, regex ? "Regex" : "String", &text));
    if (regex && strcmp(text, PRETOK_GPT2_PATTERN) == 0)
        TRY(add(b, j, where, PRETOK_GPT2, NULL)); /* the scanner is faster */
    else
        TRY(add(b, j, where, regex ? PRETOK_REGEX : PRETOK_LITERAL, text));
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
        TRY(load_split(b, j, where, v));
    } else {
        rc = unsupported(j, where, type, "ByteLevel, Digits, Split and Sequence");
    }
out:
    return rc;
}

static int load_pre_tokenizer(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                              const json_t *v) {
    int rc = 0;
    const char *where = "pre_tokenizer";
    bool byte_level = false;
    const char *type = json_string_value(json_object_get(v, "type"));
    if (type && strcmp(type, "Sequence") == 0) {
        const json_t *list = json_object_get(v, "pretokenizers"), *step;
        size_t i;
        TRY(bpe_json_keys(j, where, v, "type pretokenizers"));
        if (!json_is_array(list))
            return bpe_json_fail(j, where, "\"pretokenizers\" is not an array");
        json_array_foreach(list, i, step) {
            char inner[64];
            snprintf(inner, sizeof inner, "pre_tokenizer.pretokenizers[%zu]", i);
            TRY(load_step(t, b, j, inner, step, &byte_level));
        }
    } else if (!bpe_null(v)) {
        TRY(load_step(t, b, j, where, v, &byte_level));
    }
    if (!byte_level) rc = bpe_json_fail(j, where, "no ByteLevel: only byte-level BPE is supported");
out:
    return rc;
}

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

static int load_post_processor(struct tokenizer *t, const struct bpe_json *j, const json_t *v) {
    const char *where = "post_processor";
    if (bpe_null(v)) return 0;
    const char *type = json_string_value(json_object_get(v, "type"));
    if (!type || strcmp(type, "Sequence")) return load_post_step(t, j, where, v);
    int rc;
    const json_t *list = json_object_get(v, "processors"), *step;
    size_t i;
    TRY(bpe_json_keys(j, where, v, "type processors"));
    if (!json_is_array(list)) return bpe_json_fail(j, where, "\"processors\" is not an array");
    json_array_foreach(list, i, step) {
        char inner[64];
        snprintf(inner, sizeof inner, "post_processor.processors[%zu]", i);
        TRY(load_post_step(t, j, inner, step));
    }
out:
    return rc;
}

static int check_decoder(const struct bpe_json *j, const json_t *v) {
    int rc;
    const char *type;
    if (bpe_null(v)) return 0;
    TRY(bpe_json_keys(j, "decoder", v, "type add_prefix_space trim_offsets use_regex"));
    TRY(bpe_json_string(j, "decoder", v, "type", &type));
    if (strcmp(type, "ByteLevel")) rc = unsupported(j, "decoder", type, "ByteLevel and null");
out:
    return rc;
}

int bpe_load_pipeline(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                      const json_t *root) {
    int rc;
    t->exact = true;
    TRY(load_normalizer(t, b, j, json_object_get(root, "normalizer")));
    TRY(load_pre_tokenizer(t, b, j, json_object_get(root, "pre_tokenizer")));
    TRY(load_post_processor(t, j, json_object_get(root, "post_processor")));
    TRY(check_decoder(j, json_object_get(root, "decoder")));
out:
    return rc;
}
