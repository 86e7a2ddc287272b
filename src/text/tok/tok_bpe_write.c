/* Making a tokenizer.json from its parts, which alone is read; and from vocab.json
 * with merges.txt. */
#include "tok_bpe.h"

#include "json_text.h"
#include "tok_sides.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The pre-tokenizers that GGUF has names for, as Hugging Face's pipeline has them. Their words are
 * those of llama.cpp's lists of patterns; what differs: llama.cpp never normalises, and see
 * PRETOK_LLAMA3_PATTERN. */
struct bpe_pre {
    const char *name;
    bool digits, nfc, ignore_merges;
    const char *patterns[4]; /* Split, one after the other; none: ByteLevel's own */
};

static const struct bpe_pre pres[] = {
    {"gpt-2", .patterns = {NULL}},
    {"smollm", .digits = true},
    {"llama-bpe", .ignore_merges = true, .patterns = {PRETOK_LLAMA3_PATTERN}},
    {"qwen2", .nfc = true, .patterns = {PRETOK_QWEN2_PATTERN}},
    {"default",
     .patterns = {"[\\p{P}\\$\\+<=>\\^~\\|]+", PRETOK_GPT2_PATTERN, "\\p{N}+", "[0-9][0-9][0-9]"}},
};
enum { N_PRES = sizeof pres / sizeof *pres };

const struct bpe_pre *bpe_pre_find(const char *name, const char *file, struct err *e) {
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

const char *bpe_pre_name(const struct bpe_pre *p) {
    return p->name;
}

static bool same_steps(const struct pretok *have, const struct bpe_pre *p) {
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

const struct bpe_pre *bpe_pre_of(const struct bpe *b) {
    const bool nfc = b->norm.n == 1 && b->norm.step[0].op == BPE_NFC;
    for (int i = 0; i < N_PRES; i++)
        if (same_steps(&b->pretok, pres + i) && b->ignore_merges == pres[i].ignore_merges &&
            (!b->norm.n || (nfc && pres[i].nfc)))
            return pres + i;
    return NULL;
}

static json_t *byte_level(bool regex) {
    return json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 1, "use_regex", (int)regex);
}

static json_t *pre_tokenizer(const struct bpe_pre *p) {
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
static json_t *template(const struct vocab_text *t, json_int_t id) {
    return json_pack("{s:s,s:[{s:{s:s%,s:i}},{s:{s:s,s:i}}],s:[{s:{s:s,s:i}},{s:{s:s,s:i}}],"
                     "s:{s%:{s:s%,s:[I],s:[s%]}}}",
                     "type", "TemplateProcessing", "single", "SpecialToken", "id", t->s,
                     (size_t)t->n, "type_id", 0, "Sequence", "id", "A", "type_id", 0, "pair",
                     "Sequence", "id", "A", "type_id", 0, "Sequence", "id", "B", "type_id", 1,
                     "special_tokens", t->s, (size_t)t->n, "id", t->s, (size_t)t->n, "ids", id,
                     "tokens", t->s, (size_t)t->n);
}

json_t *bpe_added_token(const char *text, size_t n, json_int_t id, bool special) {
    return json_pack("{s:I,s:s%,s:b,s:b,s:b,s:b,s:b}", "id", id, "content", text, n, "single_word",
                     0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", (int)special);
}

json_t *bpe_tree(const struct bpe_pre *p, json_t *vocab, json_t *merges, json_t *added,
                 const struct vocab_text *bos_text, int64_t bos, const int64_t named[4]) {
    json_t *model = json_pack("{s:s,s:n,s:n,s:n,s:n,s:b,s:b,s:b,s:o,s:o}", "type", "BPE", "dropout",
                              "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                              "fuse_unk", 0, "byte_fallback", 0, "ignore_merges",
                              (int)p->ignore_merges, "vocab", vocab, "merges", merges);
    json_t *nfc = p->nfc ? json_pack("{s:s}", "type", "NFC") : json_null();
    json_t *root = json_pack("{s:s,s:n,s:n,s:o,s:o,s:o,s:o,s:o,s:o}", "version", "1.0",
                             "truncation", "padding", "added_tokens", added, "normalizer", nfc,
                             "pre_tokenizer", pre_tokenizer(p), "post_processor",
                             bos >= 0 ? template(bos_text, bos) : json_null(), "decoder",
                             byte_level(true), "model", model);
    json_t *ids = json_object();
    for (int i = 0; named && i < 4; i++)
        if (named[i] >= 0) json_object_set_new(ids, bpe_named[i], json_integer(named[i]));
    if (root && json_object_size(ids)) json_object_set(root, "duet", ids);
    json_decref(ids);
    return root;
}

int bpe_write(json_t *root, const char *name, void **blob, size_t *bytes, struct err *e) {
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) return err_set(e, ERR_NOMEM, "%s: no memory for a tokenizer", name);
    *blob = text;
    *bytes = strlen(text);
    return 0;
}

/* ---- from vocab.json and merges.txt --------------------------------------------------------- */

/* A name as special tokens of these families have it: <|endoftext|>. */
static bool looks_special(const char *s, size_t n) {
    return n > 4 && !memcmp(s, "<|", 2) && !memcmp(s + n - 2, "|>", 2);
}

struct lists {
    json_t *vocab, *merges, *added;
    json_t *made;   /* keys: what merges make and looks special */
    json_t *listed; /* keys: ids of added */
    const struct sides *sides;
    const char *name;
    struct err *e;
};

/* One line of merges.txt, without its end. */
static int add_merge(struct lists *l, const char *s, size_t n, size_t line) {
    const char *gap = memchr(s, ' ', n), *missing = NULL;
    const size_t left = gap ? (size_t)(gap - s) : 0, right = gap ? n - left - 1 : 0;
    if (!left || !right || memchr(gap + 1, ' ', right))
        return err_set(l->e, ERR_INPUT, "%s: merges: line %zu is not two tokens and a blank",
                       l->name, line);
    char small[256], *whole = n <= sizeof small ? small : malloc(n);
    if (!whole) return err_set(l->e, ERR_NOMEM, "%s: no memory for merges", l->name);
    memcpy(whole, s, left);
    memcpy(whole + left, gap + 1, right);
    if (!json_object_getn(l->vocab, s, left))
        missing = "its left part";
    else if (!json_object_getn(l->vocab, gap + 1, right))
        missing = "its right part";
    else if (!json_object_getn(l->vocab, whole, left + right))
        missing = "what it makes";
    else if (looks_special(whole, left + right))
        json_object_setn_new(l->made, whole, left + right, json_true());
    if (whole != small) free(whole);
    if (missing)
        return err_set(l->e, ERR_INPUT,
                       "%s: merges: line %zu: \"%.*s\": %s is not in the vocabulary", l->name, line,
                       (int)(n < 100 ? n : 100), s, missing);
    return json_array_append_new(l->merges, json_stringn(s, n))
               ? err_set(l->e, ERR_INPUT, "%s: merges: line %zu is not UTF-8", l->name, line)
               : 0;
}

static int read_merges(struct lists *l, const char *text, size_t bytes) {
    size_t line = 1, blank = 0;
    for (size_t at = 0; at < bytes; line++) {
        const char *s = text + at, *end = memchr(s, '\n', bytes - at);
        size_t n = end ? (size_t)(end - s) : bytes - at;
        at += n + (end != NULL);
        if (n && s[n - 1] == '\r') n--;
        if (line == 1 && n >= 8 && !memcmp(s, "#version", 8)) continue;
        if (!n) {
            if (!blank) blank = line; /* at the end they are no harm */
            continue;
        }
        if (blank) return err_set(l->e, ERR_INPUT, "%s: merges: line %zu is empty", l->name, blank);
        const int rc = add_merge(l, s, n, line);
        if (rc) return rc;
    }
    return 0;
}

/* Notes an id; true if it was noted before. */
static bool is_listed(struct lists *l, json_int_t id) {
    char key[24];
    snprintf(key, sizeof key, "%lld", (long long)id);
    if (json_object_get(l->listed, key)) return true;
    json_object_set_new(l->listed, key, json_true());
    return false;
}

/* Special tokens that the vocabulary itself has: written like one, and made by no merge. */
static int find_specials(struct lists *l) {
    const char *key;
    json_t *id;
    json_object_foreach(l->vocab, key, id) {
        const size_t n = strlen(key);
        if (!looks_special(key, n) || json_object_get(l->made, key)) continue;
        if (!json_is_integer(id))
            return err_set(l->e, ERR_INPUT, "%s: the id of \"%.60s\" is not an integer", l->name,
                           key);
        if (!is_listed(l, json_integer_value(id)))
            json_array_append_new(l->added, bpe_added_token(key, n, json_integer_value(id), true));
    }
    return 0;
}

/* ---- tokens that other files list ----------------------------------------------------------- */

static int list_token(void *ctx, const struct sides_token *t) {
    static const char *const flags[] = {"lstrip", "rstrip", "single_word", "normalized"};
    struct lists *l = ctx;
    const json_t *own = json_object_get(l->vocab, t->text);
    if (!*t->text || t->id < 0 || t->id > UINT32_MAX / 2 ||
        (own && json_integer_value(own) != t->id))
        return err_set(l->e, ERR_INPUT, "%s: added token \"%.60s\" has id %lld%s", l->name, t->text,
                       (long long)t->id, own ? ", which is not what the vocabulary says" : "");
    if (is_listed(l, t->id)) return 0;
    if (!own) json_object_set_new(l->vocab, t->text, json_integer(t->id));
    json_t *token = bpe_added_token(t->text, strlen(t->text), t->id, t->special);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        json_t *v = json_object_get(t->how, flags[i]);
        if (json_is_boolean(v)) json_object_set(token, flags[i], v);
    }
    json_array_append_new(l->added, token);
    return 0;
}

/* The pre-tokenizer of transformers' classes that read these files. */
static const char *pre_of_class(const json_t *config) {
    const char *class = json_string_value(json_object_get(config, "tokenizer_class"));
    return class && !strncmp(class, "Qwen2Tokenizer", 14) ? "qwen2" : "gpt-2";
}

static int fill(struct lists *l, const struct tok_merges *m) {
    int rc;
    json_error_t je;
    l->vocab = json_loadb(m->vocab.s, m->vocab.n, JSON_REJECT_DUPLICATES, &je);
    if (!json_is_object(l->vocab))
        return err_set(l->e, ERR_INPUT, "%s: the vocabulary: line %d: %s", l->name,
                       l->vocab ? 1 : je.line, l->vocab ? "not a JSON object" : json_text_why(&je));
    TRY(read_merges(l, m->merges.s, m->merges.n));
    TRY(find_specials(l));
    TRY(sides_each(l->sides, list_token, l));
out:
    return rc;
}

int tokenizer_blob_from_merges(const struct tok_merges *m, const char *name, void **blob,
                               size_t *bytes, struct err *e) {
    static const char start[] = "<|begin_of_text|>";
    struct lists l = {.merges = json_array(),
                      .added = json_array(),
                      .made = json_object(),
                      .listed = json_object(),
                      .name = name,
                      .e = e};
    struct sides sides;
    const struct bpe_pre *p = NULL;
    int rc;
    l.sides = &sides;
    TRY(sides_read(&sides, &m->sides, name, e));
    p = bpe_pre_find(m->pre ? m->pre : pre_of_class(sides.config), name, e);
    if (!p) rc = ERR_INPUT;
    if (p) TRY(fill(&l, m));
out:
    if (rc) {
        json_decref(l.vocab);
        json_decref(l.merges);
        json_decref(l.added);
    } else {
        const json_t *bos =
            json_object_get(l.vocab, p && !strcmp(bpe_pre_name(p), "llama-bpe") ? start : "");
        const struct vocab_text text = {start, sizeof start - 1};
        rc = bpe_write(bpe_tree(p, l.vocab, l.merges, l.added, &text,
                                json_is_integer(bos) ? json_integer_value(bos) : -1, NULL),
                       name, blob, bytes, e);
    }
    json_decref(l.made);
    json_decref(l.listed);
    sides_release(&sides);
    return rc;
}
