/* Byte-level BPE to and from other forms: vocab.json with merges.txt, the vocabulary of a GGUF. All
 * become a tokenizer.json, which alone is read. */
#include "tok_bpe.h"

#include "unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The pre-tokenizers that GGUF has names for, as steps; llama.cpp's llama-vocab.cpp. */
static const struct pre {
    const char *name;
    bool digits, nfc, ignore_merges; /* of Hugging Face's tokenizers of that name */
    const char *patterns[4];         /* Split, one after the other; none: ByteLevel's own */
} pres[] = {
    {"gpt-2", .patterns = {NULL}},
    {"smollm", .digits = true},
    {"llama-bpe", .ignore_merges = true, .patterns = {PRETOK_LLAMA3_PATTERN}},
    {"qwen2", .nfc = true, .patterns = {PRETOK_QWEN2_PATTERN}},
    {"default",
     .patterns = {"[\\p{P}\\$\\+<=>\\^~\\|]+",
                  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)",
                  "\\p{N}+", "[0-9][0-9][0-9]"}},
};
enum { N_PRES = sizeof pres / sizeof *pres };

static const struct pre *find_pre(const char *name, const char *file, struct err *e) {
    static const char *const aliases[][2] = {
        {"", "default"}, {"llama3", "llama-bpe"}, {"llama-v3", "llama-bpe"}, {"gpt2", "gpt-2"}};
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (!strcmp(name, aliases[i][0])) name = aliases[i][1];
    for (int i = 0; i < N_PRES; i++)
        if (!strcmp(name, pres[i].name)) return pres + i;
    err_set(e, ERR_INPUT,
            "%s: pre-tokenizer \"%.40s\" is not one that duet knows (gpt-2, smollm, llama-bpe, "
            "qwen2, default)",
            file, name);
    return NULL;
}

/* ---- making a tokenizer.json ---------------------------------------------------------------- */

static json_t *byte_level(bool regex) {
    return json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 1, "use_regex", (int)regex);
}

static json_t *pre_tokenizer(const struct pre *p) {
    json_t *list = json_array();
    if (p->digits)
        json_array_append_new(list,
                              json_pack("{s:s,s:b}", "type", "Digits", "individual_digits", 1));
    for (size_t i = 0; i < 4 && p->patterns[i]; i++)
        json_array_append_new(list, json_pack("{s:s,s:{s:s},s:s,s:b}", "type", "Split", "pattern",
                                              "Regex", p->patterns[i], "behavior", "Isolated",
                                              "invert", 0));
    if (!json_array_size(list)) {
        json_decref(list);
        return byte_level(true);
    }
    json_array_append_new(list, byte_level(!p->patterns[0]));
    return json_pack("{s:s,s:o}", "type", "Sequence", "pretokenizers", list);
}

/* Puts a token in front of every text. */
static json_t *template(const char *token, size_t n, json_int_t id) {
    return json_pack("{s:s,s:[{s:{s:s%,s:i}},{s:{s:s,s:i}}],s:[{s:{s:s,s:i}},{s:{s:s,s:i}}],"
                     "s:{s%:{s:s%,s:[I],s:[s%]}}}",
                     "type", "TemplateProcessing", "single", "SpecialToken", "id", token, n,
                     "type_id", 0, "Sequence", "id", "A", "type_id", 0, "pair", "Sequence", "id",
                     "A", "type_id", 0, "Sequence", "id", "B", "type_id", 1, "special_tokens",
                     token, n, "id", token, n, "ids", id, "tokens", token, n);
}

static json_t *added_token(const char *text, size_t n, json_int_t id, bool special) {
    return json_pack("{s:I,s:s%,s:b,s:b,s:b,s:b,s:b}", "id", id, "content", text, n, "single_word",
                     0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", (int)special);
}

/* The file around vocab, merges and added tokens, all taken over, and a start token's template. */
static int write_json(const struct pre *p, json_t *vocab, json_t *merges, json_t *added,
                      json_t *post, const char *name, void **blob, size_t *bytes, struct err *e) {
    json_t *model = json_pack("{s:s,s:n,s:n,s:n,s:n,s:b,s:b,s:b,s:o,s:o}", "type", "BPE", "dropout",
                              "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                              "fuse_unk", 0, "byte_fallback", 0, "ignore_merges",
                              (int)p->ignore_merges, "vocab", vocab, "merges", merges);
    json_t *nfc = p->nfc ? json_pack("{s:s}", "type", "NFC") : json_null();
    json_t *root = json_pack(
        "{s:s,s:n,s:n,s:o,s:o,s:o,s:o,s:o,s:o}", "version", "1.0", "truncation", "padding",
        "added_tokens", added, "normalizer", nfc, "pre_tokenizer", pre_tokenizer(p),
        "post_processor", post ? post : json_null(), "decoder", byte_level(true), "model", model);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) return err_set(e, ERR_NOMEM, "%s: no memory for a tokenizer", name);
    *blob = text;
    *bytes = strlen(text);
    return 0;
}

/* ---- from a GGUF ---------------------------------------------------------------------------- */

/* Tokens by text, merges and added tokens of v; the lists exist. */
static int fill_lists(const struct vocab *v, json_t *vocab, json_t *merges, json_t *added,
                      const char *name, struct err *e) {
    for (uint32_t i = 0; i < v->n; i++) {
        const struct vocab_text *t = v->tokens + i;
        const uint8_t type = v->types ? v->types[i] : VOCAB_NORMAL;
        if (json_object_setn_new(vocab, t->s, t->n, json_integer(i)))
            return err_set(e, ERR_INPUT, "%s: token %u is not UTF-8", name, i);
        if (type == VOCAB_CONTROL || type == VOCAB_USER || type == VOCAB_UNKNOWN)
            json_array_append_new(added, added_token(t->s, t->n, i, type != VOCAB_USER));
    }
    if (json_object_size(vocab) != v->n)
        return err_set(e, ERR_INPUT, "%s: two of its %u tokens have the same text", name, v->n);
    for (size_t i = 0; i < v->n_merges; i++)
        if (json_array_append_new(merges, json_stringn(v->merges[i].s, v->merges[i].n)))
            return err_set(e, ERR_INPUT, "%s: merge %zu is not UTF-8", name, i);
    return 0;
}

int bpe_blob_from_vocab(const struct vocab *v, const char *name, void **blob, size_t *bytes,
                        struct err *e) {
    const struct pre *p = find_pre(v->pre, name, e);
    if (!p) return ERR_INPUT;
    json_t *vocab = json_object(), *merges = json_array(), *added = json_array(), *post = NULL;
    const int rc = fill_lists(v, vocab, merges, added, name, e);
    if (rc) {
        json_decref(vocab);
        json_decref(merges);
        json_decref(added);
        return rc;
    }
    if (v->add_bos && v->bos >= 0)
        post = template(v->tokens[v->bos].s, v->tokens[v->bos].n, v->bos);
    return write_json(p, vocab, merges, added, post, name, blob, bytes, e);
}

/* ---- from vocab.json and merges.txt --------------------------------------------------------- */

/* One line of merges.txt, without its end. */
static int add_merge(json_t *merges, const json_t *vocab, const char *s, size_t n, size_t line,
                     const char *name, struct err *e) {
    const char *gap = memchr(s, ' ', n);
    const size_t left = gap ? (size_t)(gap - s) : 0, right = gap ? n - left - 1 : 0;
    if (!left || !right || memchr(gap + 1, ' ', right))
        return err_set(e, ERR_INPUT, "%s: merges: line %zu is not two tokens and a blank", name,
                       line);
    if (!json_object_getn(vocab, s, left) || !json_object_getn(vocab, gap + 1, right))
        return err_set(e, ERR_INPUT, "%s: merges: line %zu: \"%.*s\" is not in the vocabulary",
                       name, line, (int)(n < 100 ? n : 100), s);
    return json_array_append_new(merges, json_stringn(s, n))
               ? err_set(e, ERR_INPUT, "%s: merges: line %zu is not UTF-8", name, line)
               : 0;
}

static int read_merges(json_t *merges, const json_t *vocab, const char *text, size_t bytes,
                       const char *name, struct err *e) {
    size_t line = 1;
    for (size_t at = 0; at < bytes; line++) {
        const char *s = text + at, *end = memchr(s, '\n', bytes - at);
        size_t n = end ? (size_t)(end - s) : bytes - at;
        at += n + 1;
        if (n && s[n - 1] == '\r') n--;
        if (!n || (line == 1 && n > 8 && !memcmp(s, "#version", 8))) continue;
        const int rc = add_merge(merges, vocab, s, n, line, name, e);
        if (rc) return rc;
    }
    return 0;
}

/* The names of special tokens of these families, where the vocabulary has them. */
static json_t *known_specials(const json_t *vocab) {
    json_t *added = json_array(), *id;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)vocab, key, id) {
        const size_t n = strlen(key);
        if (n > 4 && !memcmp(key, "<|", 2) && !memcmp(key + n - 2, "|>", 2))
            json_array_append_new(added, added_token(key, n, json_integer_value(id), true));
    }
    return added;
}

int tokenizer_blob_from_merges(const char *vocab_json, size_t vocab_bytes, const char *merges_txt,
                               size_t merges_bytes, const char *pre, const char *name, void **blob,
                               size_t *bytes, struct err *e) {
    static const char start[] = "<|begin_of_text|>";
    const struct pre *p = find_pre(pre, name, e);
    json_error_t je;
    if (!p) return ERR_INPUT;
    json_t *vocab = json_loadb(vocab_json, vocab_bytes, JSON_REJECT_DUPLICATES, &je), *post = NULL;
    json_t *merges = json_array();
    int rc = 0;
    if (!json_is_object(vocab))
        rc = err_set(e, ERR_INPUT, "%s: the vocabulary: line %d: %s", name, vocab ? 1 : je.line,
                     vocab ? "not a JSON object" : je.text);
    if (!rc) rc = read_merges(merges, vocab, merges_txt, merges_bytes, name, e);
    if (rc) {
        json_decref(vocab);
        json_decref(merges);
        return rc;
    }
    const json_t *bos = json_object_get(vocab, start);
    if (p->ignore_merges && json_is_integer(bos))
        post = template(start, sizeof start - 1, json_integer_value(bos));
    return write_json(p, vocab, merges, known_specials(vocab), post, name, blob, bytes, e);
}

/* ---- to a GGUF ------------------------------------------------------------------------------ */

static bool same_steps(const struct pretok *have, const struct pre *p) {
    struct pretok want = {0};
    struct err ignored;
    int rc = p->digits ? pretok_add(&want, PRETOK_DIGIT, NULL, &ignored) : 0;
    for (size_t i = 0; i < 4 && p->patterns[i] && !rc; i++)
        rc = pretok_add_split(&want, true, p->patterns[i], PRETOK_ISOLATED, false, &ignored);
    if (!p->patterns[0] && !rc) rc = pretok_add(&want, PRETOK_GPT2, NULL, &ignored);
    const bool same = !rc && pretok_equal(have, &want);
    pretok_release(&want);
    return same;
}

/* llama.cpp never normalises, and looks whole words up for llama-bpe only. */
static const struct pre *name_of(const struct bpe *b) {
    for (int i = 0; i < N_PRES; i++)
        if (same_steps(&b->pretok, pres + i) && b->ignore_merges == pres[i].ignore_merges &&
            (b->norm == BPE_NORM_NONE || (b->norm == BPE_NORM_NFC && pres[i].nfc)))
            return pres + i;
    return NULL;
}

/* Appends a text; where it is given later: v->text may move. */
static int put_text(struct vocab *v, struct vocab_text *t, const char *s, size_t n, const char *s2,
                    size_t n2, struct err *e) {
    if (grow(&v->text, &v->text_cap, v->text_n + n + n2, 1))
        return err_set(e, ERR_NOMEM, "no memory for the texts of a vocabulary");
    memcpy(v->text + v->text_n, s, n);
    memcpy(v->text + v->text_n + n, s2, n2);
    *t = (struct vocab_text){NULL, (uint32_t)(n + n2)};
    v->text_n += n + n2;
    return 0;
}

/* The texts stand one after the other in the order of the tokens, then of the merges. */
static void place_texts(struct vocab *v) {
    const char *at = v->text;
    for (uint32_t i = 0; i < v->n; at += v->tokens[i++].n) v->tokens[i].s = at;
    for (size_t i = 0; i < v->n_merges; at += v->merges[i++].n) v->merges[i].s = at;
}

/* Keys by id, as the file writes them; NULL: a hole. */
static const char **keys_by_id(const struct tokenizer *t, const json_t *root) {
    const char **keys = calloc(t->vocab, sizeof *keys), *key;
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab"), *v;
    size_t i;
    if (!keys) return NULL;
    json_object_foreach(vocab, key, v) keys[json_integer_value(v)] = key;
    json_array_foreach(json_object_get(root, "added_tokens"), i, v)
        keys[json_integer_value(json_object_get(v, "id"))] =
            json_string_value(json_object_get(v, "content"));
    return keys;
}

static int put_tokens(const struct tokenizer *t, struct vocab *v, const json_t *root,
                      struct err *e) {
    int rc = 0;
    const char **keys = keys_by_id(t, root);
    const json_t *added = json_object_get(root, "added_tokens"), *a;
    size_t i;
    v->tokens = calloc(t->vocab, sizeof *v->tokens);
    v->types = malloc(t->vocab);
    v->n = t->vocab;
    if (!keys || !v->tokens || !v->types) {
        rc = err_set(e, ERR_NOMEM, "no memory for a vocabulary");
        goto out;
    }
    for (uint32_t id = 0; id < t->vocab; id++) {
        char hole[32];
        snprintf(hole, sizeof hole, "[PAD%u]", id);
        const char *s = keys[id] ? keys[id] : hole;
        v->types[id] = keys[id] ? VOCAB_NORMAL : VOCAB_UNUSED;
        TRY(put_text(v, v->tokens + id, s, strlen(s), "", 0, e));
    }
    json_array_foreach(added, i, a) v->types[json_integer_value(json_object_get(a, "id"))] =
        json_is_true(json_object_get(a, "special")) ? VOCAB_CONTROL : VOCAB_USER;
out:
    free(keys);
    return rc;
}

static int put_merges(struct vocab *v, const json_t *root, struct err *e) {
    const json_t *merges = json_object_get(json_object_get(root, "model"), "merges"), *m;
    size_t i;
    v->n_merges = json_array_size(merges);
    v->merges = calloc(v->n_merges, sizeof *v->merges);
    if (!v->merges) return err_set(e, ERR_NOMEM, "no memory for merges");
    json_array_foreach(merges, i, m) {
        int rc;
        if (json_is_string(m)) {
            rc = put_text(v, v->merges + i, json_string_value(m), json_string_length(m), "", 0, e);
        } else { /* a list of two */
            const json_t *a = json_array_get(m, 0), *b = json_array_get(m, 1);
            rc = put_text(v, v->merges + i, json_string_value(a), json_string_length(a), " ", 1, e);
            if (!rc) {
                struct vocab_text half = {0};
                rc = put_text(v, &half, json_string_value(b), json_string_length(b), "", 0, e);
                v->merges[i].n += half.n;
            }
        }
        if (rc) return rc;
    }
    return 0;
}

/* Without merges every byte is a word: llama.cpp wants merges of a gpt2 vocabulary, and a
 * SentencePiece one of bytes computes the same. */
static int bytes_to_spm(const struct tokenizer *t, struct vocab *v, struct err *e) {
    const struct bpe *b = t->impl;
    v->model = VOCAB_SPM;
    v->text_n = 0;
    if (!(v->scores = calloc(v->n, sizeof *v->scores)))
        return err_set(e, ERR_NOMEM, "no memory for scores");
    struct vocab_text *old = v->tokens;
    char *texts = v->text;
    v->text = NULL;
    v->text_cap = 0;
    int rc = 0;
    v->tokens = calloc(v->n, sizeof *v->tokens);
    if (!v->tokens) rc = err_set(e, ERR_NOMEM, "no memory for a vocabulary");
    for (uint32_t i = 0; i < v->n && !rc; i++) {
        char byte[16];
        int found = -1;
        for (int k = 0; k < 256; k++)
            if (b->byte_id[k] == i) found = k;
        if (found >= 0) {
            snprintf(byte, sizeof byte, "<0x%02X>", (unsigned)found);
            v->types[i] = VOCAB_BYTE;
            rc = put_text(v, v->tokens + i, byte, 6, "", 0, e);
        } else if (v->types[i] == VOCAB_NORMAL) {
            rc = err_set(e, ERR_INPUT,
                         "a GGUF cannot hold a BPE tokenizer without merges that has words");
        } else {
            rc = put_text(v, v->tokens + i, old[i].s, old[i].n, "", 0, e);
        }
    }
    free(old);
    free(texts);
    return rc;
}

int bpe_to_vocab(const struct tokenizer *t, struct vocab *v, struct err *e) {
    int rc;
    const struct bpe *b = t->impl;
    const struct pre *p = name_of(b);
    json_error_t je;
    if (!p)
        return err_set(e, ERR_INPUT,
                       "the tokenizer's pre_tokenizer and normalizer are none that GGUF has a name "
                       "for (gpt-2, smollm, llama-bpe, qwen2, default)");
    json_t *root = json_loadb(t->blob, t->blob_bytes, 0, &je);
    if (!root) return err_set(e, ERR_NOMEM, "no memory for a vocabulary");
    snprintf(v->pre, sizeof v->pre, "%s", p->name);
    v->bos = t->bos;
    v->eos = t->eos;
    v->unk = v->pad = -1;
    v->add_bos = t->bos >= 0;
    TRY(put_tokens(t, v, root, e));
    if (json_array_size(json_object_get(json_object_get(root, "model"), "merges")))
        TRY(put_merges(v, root, e));
    place_texts(v);
    if (!v->n_merges) TRY(bytes_to_spm(t, v, e));
    place_texts(v);
out:
    json_decref(root);
    return rc;
}

int bpe_to_json(const struct tokenizer *t, struct tok_bytes *out, struct err *e) {
    if (grow(&out->data, &out->cap, t->blob_bytes + 1, 1))
        return err_set(e, ERR_NOMEM, "no memory for a tokenizer.json");
    memcpy(out->data, t->blob, t->blob_bytes + 1);
    out->n = t->blob_bytes;
    return 0;
}
