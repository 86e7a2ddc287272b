/* Hugging Face tokenizer.json, model BPE: vocabulary, merges and added tokens. What the file asks
 * for and this code does not do is an error that names the key. A character without a token and
 * without an unknown token is an error when a text has it; Hugging Face drops it. */
#include "tok_bpe.h"

#include "json_text.h"
#include "unicode.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bpe_json_fail(const struct bpe_json *j, const char *where, const char *fmt, ...) {
    char why[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return err_set(j->e, ERR_INPUT, "%s: %s: %s", j->name, where, why);
}

static bool has_word(const char *words, const char *key) {
    const size_t n = strlen(key);
    for (const char *p = words; n && (p = strstr(p, key)); p += n)
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || !p[n])) return true;
    return false;
}

int bpe_json_keys(const struct bpe_json *j, const char *where, const json_t *object,
                  const char *keys) {
    if (!json_is_object(object)) return bpe_json_fail(j, where, "expected an object");
    void *it = json_object_iter((json_t *)(uintptr_t)object);
    for (; it; it = json_object_iter_next((json_t *)(uintptr_t)object, it))
        if (!has_word(keys, json_object_iter_key(it)))
            return bpe_json_fail(j, where, "unknown key \"%.80s\"; expected some of: %s",
                                 json_object_iter_key(it), keys);
    return 0;
}

int bpe_json_bool(const struct bpe_json *j, const char *where, const json_t *object,
                  const char *key, bool def, bool *value) {
    const json_t *v = json_object_get(object, key);
    *value = bpe_null(v) ? def : json_is_true(v);
    if (bpe_null(v) || json_is_boolean(v)) return 0;
    return bpe_json_fail(j, where, "\"%s\" is not true or false", key);
}

int bpe_json_string(const struct bpe_json *j, const char *where, const json_t *object,
                    const char *key, const char **value) {
    *value = json_string_value(json_object_get(object, key));
    return *value ? 0 : bpe_json_fail(j, where, "\"%s\" is not a text", key);
}

/* A key of a byte-level vocabulary with characters outside the alphabet stands for itself (added
 * tokens). */
static size_t alphabet_bytes(const char *key, size_t n, char *out) {
    size_t used = 0, len;
    uint32_t cp;
    for (size_t i = 0; i < n; i += len) {
        int byte = (len = utf8_read(key + i, n - i, &cp)) ? bpe_char_byte(cp) : -1;
        if (byte < 0) {
            memcpy(out, key, n);
            return n;
        }
        out[used++] = (char)byte;
    }
    return used;
}

size_t bpe_key_bytes(const struct bpe *b, const char *key, size_t n, char *out) {
    if (b->bytes) return alphabet_bytes(key, n, out);
    const int byte = b->decodes_bytes ? bpe_byte_name(key, n) : -1;
    if (byte >= 0) {
        *out = (char)byte;
        return 1;
    }
    size_t used = 0, from = b->from ? strlen(b->from) : 0, to = b->from ? strlen(b->to) : 0;
    for (size_t i = 0; i < n;) {
        if (from && n - i >= from && memcmp(key + i, b->from, from) == 0) {
            memcpy(out + used, b->to, to); /* not longer than b->from */
            used += to;
            i += from;
        } else {
            out[used++] = key[i++];
        }
    }
    return used;
}

/* Checks an id against what so many tokens can need, and keeps the largest. */
static int check_id(const struct bpe_json *j, const char *where, const json_t *v, size_t tokens,
                    json_int_t *max) {
    if (!json_is_integer(v)) return bpe_json_fail(j, where, "the id is not an integer");
    json_int_t id = json_integer_value(v), limit = (json_int_t)(2 * tokens + 4096);
    if (id < 0 || id >= limit)
        return bpe_json_fail(j, where, "id %lld for one of %zu tokens; expected 0 to %lld",
                             (long long)id, tokens, (long long)(limit - 1));
    if (id > *max) *max = id;
    return 0;
}

/* Sizes the table by the largest id; *longest: bytes of the longest key. */
static int size_table(struct tokenizer *t, const struct bpe_json *j, const json_t *vocab,
                      const json_t *added, size_t *longest) {
    int rc = 0;
    json_int_t max = -1;
    size_t tokens = json_object_size(vocab) + json_array_size(added), i;
    char where[160];
    const char *key;
    json_t *v;
    *longest = 0;
    json_object_foreach((json_t *)(uintptr_t)vocab, key, v) {
        snprintf(where, sizeof where, "model.vocab[\"%.100s\"]", key);
        TRY(check_id(j, where, v, tokens, &max));
        if (strlen(key) > *longest) *longest = strlen(key);
    }
    json_array_foreach(added, i, v) {
        snprintf(where, sizeof where, "added_tokens[%zu]", i);
        TRY(check_id(j, where, json_object_get(v, "id"), tokens, &max));
    }
    TRY(tok_table_init(t, (uint32_t)(max + 1), j->e));
out:
    return rc;
}

static int load_vocab(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                      const json_t *vocab, const json_t *added) {
    int rc;
    size_t longest;
    char *bytes = NULL;
    const char *key;
    json_t *v;
    TRY(size_table(t, j, vocab, added, &longest));
    if (!(bytes = malloc(longest + 1)) || pairmap_reserve(&b->chars, 0)) {
        rc = err_set(j->e, ERR_NOMEM, "%s: no memory for a vocabulary", j->name);
        goto out;
    }
    json_object_foreach((json_t *)(uintptr_t)vocab, key, v) {
        const uint32_t id = (uint32_t)json_integer_value(v);
        const size_t n = strlen(key);
        uint32_t cp;
        if (t->pieces[id].flags & TOK_DEFINED) {
            rc = bpe_json_fail(j, "model.vocab", "two tokens have id %u, one is \"%.100s\"", id,
                               key);
            goto out;
        }
        TRY(tok_table_set(t, id, bytes, bpe_key_bytes(b, key, n, bytes), 0, j->e));
        if (b->bytes || !n || utf8_read(key, n, &cp) != n) continue;
        struct pairmap_slot *s = pairmap_put(&b->chars, pairmap_key(0, cp));
        if (!s) {
            rc = err_set(j->e, ERR_NOMEM, "%s: no memory for a vocabulary", j->name);
            goto out;
        }
        s->b = id;
    }
out:
    free(bytes);
    return rc;
}

/* b->byte_id: the alphabet's characters, or with byte_fallback the tokens "<0x00>" to "<0xFF>". */
static int load_bytes(struct bpe *b, const struct bpe_json *j, const json_t *vocab, bool fallback) {
    for (int byte = 0; byte < 256; byte++) {
        char name[8] = {0};
        if (b->bytes)
            utf8_write(bpe_byte_char((uint8_t)byte), name);
        else
            snprintf(name, sizeof name, "<0x%02X>", (unsigned)byte);
        const json_t *v = b->bytes || fallback ? json_object_get(vocab, name) : NULL;
        b->byte_id[byte] = v ? (uint32_t)json_integer_value(v) : MAP_NONE;
        if (fallback && !v)
            return bpe_json_fail(j, "model.byte_fallback",
                                 "true, but the vocabulary has no token \"%s\"", name);
    }
    if (fallback && !b->bytes && !b->decodes_bytes)
        return bpe_json_fail(j, "decoder",
                             "no ByteFallback, though model.byte_fallback is true: not supported");
    return 0;
}

/* The flags of an added token. */
static int added_flags(const struct bpe_json *j, const char *where, const json_t *token,
                       uint32_t *flags, bool *normalized) {
    int rc;
    bool special, left, right, single;
    *flags = 0;
    *normalized = false;
    TRY(bpe_json_keys(j, where, token, "id content single_word lstrip rstrip normalized special"));
    TRY(bpe_json_bool(j, where, token, "single_word", false, &single));
    if (single) return bpe_json_fail(j, where, "\"single_word\": true is not supported");
    TRY(bpe_json_bool(j, where, token, "lstrip", false, &left));
    TRY(bpe_json_bool(j, where, token, "rstrip", false, &right));
    TRY(bpe_json_bool(j, where, token, "special", false, &special));
    TRY(bpe_json_bool(j, where, token, "normalized", !special, normalized));
    *flags = (special ? TOK_SPECIAL : 0) | (left ? TOK_LSTRIP : 0) | (right ? TOK_RSTRIP : 0);
out:
    return rc;
}

/* Makes an added token one that is found in texts: as it is written, or, if it is normalized, as
 * the normalizer would write it, in what the others leave of the text. */
static int mark_added(struct tokenizer *t, const struct bpe_json *j, const char *content,
                      uint32_t id, bool normalized) {
    const struct bpe *b = t->impl;
    if (!normalized) return tok_table_mark_as(t, id, 0, content, strlen(content), j->e);
    struct tok_scratch s = {0};
    const char *text;
    size_t n;
    int rc = bpe_normalise(&b->norm, &s, content, strlen(content), &text, &n, j->e);
    if (!rc && n) rc = tok_table_mark_as(t, id, 1, text, n, j->e);
    tok_scratch_release(&s);
    return rc;
}

/* True if two texts can overlap in a third: then it matters which is looked for first. */
static bool can_overlap(const json_t *x, const json_t *y) {
    const char *a = json_string_value(x), *b = json_string_value(y);
    const size_t na = json_string_length(x), nb = json_string_length(y);
    if (!a || !b || strstr(a, b) || strstr(b, a)) return true;
    for (size_t k = 1; k < na && k < nb; k++)
        if (!memcmp(a, b + nb - k, k) || !memcmp(b, a + na - k, k)) return true;
    return false;
}

static bool is_normalized(const json_t *token) {
    const json_t *v = json_object_get(token, "normalized");
    return json_is_boolean(v) ? json_is_true(v) : !json_is_true(json_object_get(token, "special"));
}

static bool strips(const json_t *token) {
    return json_is_true(json_object_get(token, "lstrip")) ||
           json_is_true(json_object_get(token, "rstrip"));
}

/* Without a normalizer all added tokens can be found in one pass, which can be cut for threads,
 * unless it matters that the normalized ones are looked for last. */
static bool one_pass(const struct bpe *b, const json_t *added) {
    const size_t n = json_array_size(added), most = 1 << 12; /* beyond: two passes are right too */
    size_t normalized = 0;
    for (size_t i = 0; i < n; i++) normalized += is_normalized(json_array_get(added, i));
    if (b->norm.n) return false;
    if (normalized && n > normalized && normalized > most / (n - normalized)) return false;
    const bool fewer = normalized <= n - normalized; /* the outer loop is for the fewer ones */
    for (size_t i = 0; i < n && normalized && normalized < n; i++) {
        const json_t *x = json_array_get(added, i);
        for (size_t k = 0; k < n && is_normalized(x) == fewer; k++) {
            const json_t *y = json_array_get(added, k);
            if (is_normalized(y) != fewer &&
                (strips(x) || strips(y) ||
                 can_overlap(json_object_get(x, "content"), json_object_get(y, "content"))))
                return false;
        }
    }
    return true;
}

/* made: ids that merges make, and those of first symbols. one: as one_pass. */
static int load_added_one(struct tokenizer *t, const struct bpe_json *j, const char *where,
                          const json_t *vocab, const json_t *token, const uint8_t *made,
                          bool one) {
    int rc;
    const char *content;
    uint32_t flags;
    bool normalized;
    TRY(added_flags(j, where, token, &flags, &normalized));
    TRY(bpe_json_string(j, where, token, "content", &content));
    uint32_t id = (uint32_t)json_integer_value(json_object_get(token, "id"));
    const json_t *own = json_object_get(vocab, content);
    if (!*content) return bpe_json_fail(j, where, "\"content\" is empty");
    if (own ? json_integer_value(own) != id : (t->pieces[id].flags & TOK_DEFINED) != 0)
        return bpe_json_fail(j, where, "id %u is another token's in model.vocab or added_tokens",
                             id);
    size_t n;
    const char *bytes = strmap_get(&t->strs, t->pieces[id].str, &n);
    const bool other = made[id] && (n != strlen(content) || memcmp(bytes, content, n));
    if (other && ((const struct bpe *)t->impl)->bytes)
        return bpe_json_fail(j, where,
                             "\"content\" is \"%.100s\", which in model.vocab spells other "
                             "bytes",
                             content);
    if (other || (flags & (TOK_LSTRIP | TOK_RSTRIP))) t->exact = false;
    if (!own) flags |= TOK_ADDED;
    if (other)
        t->pieces[id].flags |= flags;
    else
        TRY(tok_table_set(t, id, content, strlen(content), flags, j->e));
    TRY(mark_added(t, j, content, id, normalized && !one));
out:
    return rc;
}

static int load_added(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                      const json_t *root, const json_t *vocab) {
    const json_t *added = json_object_get(root, "added_tokens"), *token;
    size_t i;
    int rc = 0;
    uint8_t *made = calloc(t->vocab ? t->vocab : 1, 1);
    if (!made) return err_set(j->e, ERR_NOMEM, "%s: no memory for added tokens", j->name);
    const bool one = one_pass(b, added);
    for (size_t k = 0; k <= b->merger.pairs.mask; k++)
        if (b->merger.pairs.slots[k].key != UINT64_MAX) made[b->merger.pairs.slots[k].b] = 1;
    for (int k = 0; k < 256; k++)
        if (b->byte_id[k] != MAP_NONE) made[b->byte_id[k]] = 1;
    for (size_t k = 0; k <= b->chars.mask; k++)
        if (b->chars.slots[k].key != UINT64_MAX) made[b->chars.slots[k].b] = 1;
    json_array_foreach(added, i, token) {
        char where[64];
        snprintf(where, sizeof where, "added_tokens[%zu]", i);
        TRY(load_added_one(t, j, where, vocab, token, made, one));
    }
out:
    free(made);
    return rc;
}

/* One merge as its two keys: "a b" or ["a", "b"]. */
bool bpe_merge_keys(const json_t *m, const char *key[2], size_t n[2]) {
    if (json_is_array(m) && json_array_size(m) == 2) {
        for (size_t i = 0; i < 2; i++) {
            const json_t *half = json_array_get(m, i);
            if (!(key[i] = json_string_value(half))) return false;
            n[i] = json_string_length(half);
        }
        return n[0] && n[1];
    }
    const char *s = json_string_value(m), *gap = s ? strchr(s, ' ') : NULL;
    if (!gap || strchr(gap + 1, ' ')) return false;
    key[0] = s;
    n[0] = (size_t)(gap - s);
    key[1] = gap + 1;
    n[1] = strlen(gap + 1);
    return n[0] && n[1];
}

static int load_merge(struct bpe *b, const struct bpe_json *j, const json_t *vocab, const json_t *m,
                      size_t rank) {
    const char *key[2];
    size_t n[2];
    char where[64];
    snprintf(where, sizeof where, "model.merges[%zu]", rank);
    if (!bpe_merge_keys(m, key, n))
        return bpe_json_fail(j, where, "expected \"left right\" or [\"left\", \"right\"]");
    char both[1024], *sum = n[0] + n[1] <= sizeof both ? both : malloc(n[0] + n[1]);
    if (!sum) return err_set(j->e, ERR_NOMEM, "%s: no memory", j->name);
    memcpy(sum, key[0], n[0]);
    memcpy(sum + n[0], key[1], n[1]);
    const json_t *left = json_object_getn(vocab, key[0], n[0]);
    const json_t *right = json_object_getn(vocab, key[1], n[1]);
    const json_t *merged = json_object_getn(vocab, sum, n[0] + n[1]);
    if (sum != both) free(sum);
    if (!left || !right || !merged)
        return bpe_json_fail(j, where, "\"%.*s\" + \"%.*s\": %s is not in model.vocab",
                             (int)(n[0] < 100 ? n[0] : 100), key[0], (int)(n[1] < 100 ? n[1] : 100),
                             key[1],
                             !left    ? "the left part"
                             : !right ? "the right part"
                                      : "the whole");
    struct pairmap_slot *s =
        pairmap_put(&b->merger.pairs, pairmap_key((uint32_t)json_integer_value(left),
                                                  (uint32_t)json_integer_value(right)));
    if (!s) return err_set(j->e, ERR_NOMEM, "%s: no memory for merges", j->name);
    s->a = (uint32_t)rank; /* a pair given twice has its last rank, as in Hugging Face's reader */
    s->b = (uint32_t)json_integer_value(merged);
    return 0;
}

/* Which of Hugging Face's models; old files do not name it, but each has keys of its own. */
static int check_type(const struct bpe_json *j, const json_t *model) {
    static const char *const keys[][2] = {{"unk_id", "Unigram"},
                                          {"max_input_chars_per_word", "WordPiece"}};
    const json_t *type = json_object_get(model, "type");
    const char *name = json_string_value(type);
    for (size_t i = 0; i < 2 && !type && !name; i++)
        if (json_object_get(model, keys[i][0])) name = keys[i][1];
    if (!type && !name) name = json_object_get(model, "merges") ? "BPE" : "WordLevel";
    if (name && !strcmp(name, "BPE")) return 0;
    return bpe_json_fail(j, "model.type", "only \"BPE\" is supported, not \"%.60s\"",
                         name ? name : "(no text)");
}

/* Options of the model that must have the value that changes nothing. */
static int check_model(const struct bpe_json *j, const json_t *model) {
    int rc;
    TRY(bpe_json_keys(j, "model", model,
                      "type dropout unk_token continuing_subword_prefix end_of_word_suffix "
                      "fuse_unk byte_fallback ignore_merges vocab merges"));
    const json_t *drop = json_object_get(model, "dropout");
    if (!bpe_null(drop) && !(json_is_number(drop) && json_number_value(drop) == 0))
        return bpe_json_fail(j, "model.dropout", "dropout is not supported; expected null");
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *v = json_object_get(model, affixes[i]);
        if (!bpe_null(v) && !(json_is_string(v) && json_string_length(v) == 0))
            return bpe_json_fail(j, "model", "\"%s\" is not supported; expected null", affixes[i]);
    }
out:
    return rc;
}

/* unk_token, fuse_unk, byte_fallback, ignore_merges. */
static int load_options(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                        const json_t *model, const json_t *vocab) {
    int rc;
    bool fallback;
    const json_t *unk = json_object_get(model, "unk_token");
    TRY(bpe_json_bool(j, "model", model, "byte_fallback", false, &fallback));
    TRY(bpe_json_bool(j, "model", model, "fuse_unk", false, &b->fuse_unk));
    TRY(bpe_json_bool(j, "model", model, "ignore_merges", false, &b->ignore_merges));
    if (b->ignore_merges && !b->bytes)
        return bpe_json_fail(j, "model.ignore_merges",
                             "true is not supported for a vocabulary of characters");
    if (b->bytes) fallback = false; /* for characters outside the alphabet: there are none */
    TRY(load_bytes(b, j, vocab, fallback));
    if (bpe_null(unk)) goto out;
    const json_t *id = json_is_string(unk) ? json_object_get(vocab, json_string_value(unk)) : NULL;
    if (!id)
        return bpe_json_fail(j, "model.unk_token", "\"%.60s\" is not in model.vocab",
                             json_is_string(unk) ? json_string_value(unk) : "(no text)");
    b->unk = (uint32_t)json_integer_value(id);
    bool lacks = false;
    for (int i = 0; i < 256; i++) lacks |= b->byte_id[i] == MAP_NONE;
    if (!lacks) goto out;
    t->exact = false;
    t->unk = b->unk;
out:
    return rc;
}

static int load_model(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                      const json_t *root) {
    int rc;
    const json_t *model = json_object_get(root, "model"), *m;
    const json_t *added = json_object_get(root, "added_tokens");
    const json_t *vocab = json_object_get(model, "vocab"),
                 *merges = json_object_get(model, "merges");
    if (!json_is_object(vocab)) return bpe_json_fail(j, "model.vocab", "expected an object");
    if (!json_is_array(merges)) return bpe_json_fail(j, "model.merges", "expected an array");
    if (!bpe_null(added) && !json_is_array(added))
        return bpe_json_fail(j, "added_tokens", "expected an array");
    TRY(load_vocab(t, b, j, vocab, added));
    TRY(check_model(j, model));
    TRY(load_options(t, b, j, model, vocab));
    if (pairmap_reserve(&b->merger.pairs, json_array_size(merges)))
        return err_set(j->e, ERR_NOMEM, "%s: no memory for merges", j->name);
    size_t i;
    json_array_foreach(merges, i, m) TRY(load_merge(b, j, vocab, m, i));
    TRY(bpe_find_joins(t, vocab, merges, j->e));
    TRY(load_added(t, b, j, root, vocab));
out:
    return rc;
}

const char *const bpe_named[4] = {"bos", "eos", "unk", "pad"};

/* "duet": the ids that a GGUF names and this format has no place for. Others ignore it. */
static int load_named(const struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                      const json_t *v) {
    int rc = 0;
    if (bpe_null(v)) return 0;
    TRY(bpe_json_keys(j, "duet", v, "bos eos unk pad"));
    for (int i = 0; i < 4; i++) {
        const json_t *id = json_object_get(v, bpe_named[i]);
        if (!id) continue;
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= t->vocab ||
            (i == 1 && !tokenizer_is_special(t, (uint32_t)json_integer_value(id))))
            return bpe_json_fail(j, "duet", "\"%s\" is not the id of a %stoken", bpe_named[i],
                                 i == 1 ? "special " : "");
        b->named[i] = json_integer_value(id);
    }
out:
    return rc;
}

static int load_root(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                     const json_t *root) {
    int rc;
    TRY(bpe_json_keys(j, "the file", root,
                      "version truncation padding added_tokens normalizer pre_tokenizer "
                      "post_processor decoder model duet"));
    const json_t *model = json_object_get(root, "model");
    if (!json_is_object(model)) return bpe_json_fail(j, "model", "expected an object");
    TRY(check_type(j, model));
    if (!bpe_null(json_object_get(root, "truncation")) ||
        !bpe_null(json_object_get(root, "padding")))
        t->note = "truncation and padding of the tokenizer.json are passed over: they cut and fill "
                  "batches of a training, and belong to no text";
    t->exact = true;
    TRY(bpe_load_decoder(t, b, j, root));
    TRY(bpe_load_pipeline(t, b, j, root));
    TRY(load_model(t, b, j, root));
    TRY(bpe_load_post(t, j, root));
    TRY(load_named(t, b, j, json_object_get(root, "duet")));
    static const char *const ends[] = {"<|endoftext|>", "<|end_of_text|>", "</s>"};
    t->eos = b->named[1];
    for (size_t i = 0; i < sizeof ends / sizeof *ends && t->eos < 0; i++) {
        int64_t id = tokenizer_find(t, ends[i]);
        if (id >= 0 && tokenizer_is_special(t, (uint32_t)id)) t->eos = id;
    }
out:
    return rc;
}

static int parse(const struct tokenizer *t, const char *name, json_t **root, struct err *e) {
    json_error_t where;
    *root = json_loadb(t->blob, t->blob_bytes, JSON_REJECT_DUPLICATES, &where);
    if (*root) return 0;
    return err_set(e, ERR_INPUT, "%s: not JSON: line %d, column %d: %.160s", name, where.line,
                   where.column, json_text_why(&where));
}

int bpe_load(struct tokenizer *t, const char *name, struct err *e) {
    struct bpe *b = calloc(1, sizeof *b);
    if (!(t->impl = b)) return err_set(e, ERR_NOMEM, "%s: no memory for a tokenizer", name);
    b->merger.symbols = bpe_symbols;
    b->unk = MAP_NONE;
    for (int i = 0; i < 4; i++) b->named[i] = -1;
    struct bpe_json j = {name, e};
    json_t *root;
    int rc = t->made_of ? bpe_tree_of_vocab(t->made_of, name, &root, e) : parse(t, name, &root, e);
    if (rc) return rc;
    rc = load_root(t, b, &j, root);
    json_decref(root);
    return rc;
}
