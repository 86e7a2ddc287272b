/* The spm tokenizer as a Hugging Face tokenizer.json, in the way of Llama 2's: blanks become
 * U+2581, nothing cuts the text, and a BPE over characters with byte fallback merges it.
 *
 * Merges have ranks where SentencePiece has scores: every way to make a piece from two others is a
 * merge, in the order of the scores of the pieces. This is the order of transformers' converter:
 * among equal scores the longer left part comes first, then the longer right part, counted in
 * characters, then the piece's id, then the left part's. So the ids are the same but where two
 * merges of equal score compete for a symbol; there SentencePiece takes the leftmost.
 *
 * What this form says otherwise by its nature: U+2581 in a text is a blank, and bytes that are not
 * UTF-8 cannot be in a text; in front of what follows a token defined by the user there is a blank,
 * if there is one in front of a text; blanks are not removed.
 *
 * Source: convert_slow_tokenizer.py of https://github.com/huggingface/transformers . */
#include "map.h"
#include "spm_model.h"
#include "tok.h"
#include "unicode.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct merge {
    float score;
    uint32_t left_chars, right_chars, id, left, right; /* ids: of the whole and its parts */
};

struct merges {
    struct merge *list;
    size_t n, cap;
};

static int by_rank(const void *x, const void *y) {
    const struct merge *a = x, *b = y;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    if (a->left_chars != b->left_chars) return a->left_chars > b->left_chars ? -1 : 1;
    if (a->right_chars != b->right_chars) return a->right_chars > b->right_chars ? -1 : 1;
    if (a->id != b->id) return a->id > b->id ? 1 : -1;
    return (a->left > b->left) - (a->left < b->left);
}

static bool merges(const struct spm_piece *p) {
    return p->type == VOCAB_NORMAL || p->type == VOCAB_UNUSED;
}

/* The piece of these bytes if it takes part in merges, or MAP_NONE. texts: number = id. */
static uint32_t find(const struct spm_model *m, const struct strmap *texts, const char *s,
                     size_t n) {
    const uint32_t id = strmap_find(texts, s, n);
    return id != MAP_NONE && merges(&m->pieces[id]) ? id : MAP_NONE;
}

static uint32_t count_chars(const char *s, size_t n) {
    uint32_t chars = 0;
    for (size_t i = 0; i < n; i++) chars += ((uint8_t)s[i] & 0xc0) != 0x80;
    return chars;
}

static int split_piece(const struct spm_model *m, const struct strmap *texts, uint32_t id,
                       struct merges *all, struct err *e) {
    const struct spm_piece *p = &m->pieces[id];
    const uint32_t chars = count_chars(p->s, p->n);
    uint32_t left_chars = 0;
    for (size_t k = 1; k < p->n; k++) {
        if (((uint8_t)p->s[k] & 0xc0) == 0x80) continue;
        left_chars++;
        const uint32_t left = find(m, texts, p->s, k);
        const uint32_t right = left == MAP_NONE ? left : find(m, texts, p->s + k, p->n - k);
        if (right == MAP_NONE) continue;
        if (p->type == VOCAB_UNUSED)
            return err_set(e, ERR_INPUT,
                           "a tokenizer.json cannot hold this tokenizer: piece %u \"%.*s\" is "
                           "unused, but others may merge to it",
                           id, (int)(p->n < 60 ? p->n : 60), p->s);
        if (grow(&all->list, &all->cap, all->n + 1, sizeof *all->list))
            return err_set(e, ERR_NOMEM, "no memory for %zu merges", all->n);
        all->list[all->n++] =
            (struct merge){p->score, left_chars, chars - left_chars, id, left, right};
    }
    return 0;
}

static json_t *text_of(const struct spm_piece *p) {
    return json_stringn(p->s, p->n);
}

static int make_merges(const struct spm_model *m, json_t **out, struct err *e) {
    int rc = 0;
    struct merges all = {0};
    struct strmap texts = {0};
    json_t *list = *out = json_array();
    for (uint32_t id = 0; id < m->n; id++)
        if (strmap_add(&texts, m->pieces[id].s, m->pieces[id].n) == MAP_NONE) {
            rc = err_set(e, ERR_NOMEM, "no memory for %zu pieces", m->n);
            goto out;
        }
    for (uint32_t id = 0; id < m->n; id++)
        if (merges(&m->pieces[id])) TRY(split_piece(m, &texts, id, &all, e));
    if (all.n) qsort(all.list, all.n, sizeof *all.list, by_rank);
    for (size_t i = 0; i < all.n; i++) {
        const struct spm_piece *l = &m->pieces[all.list[i].left];
        const struct spm_piece *r = &m->pieces[all.list[i].right];
        json_array_append_new(list, json_sprintf("%.*s %.*s", (int)l->n, l->s, (int)r->n, r->s));
    }
    if (json_array_size(list) != all.n) rc = err_set(e, ERR_NOMEM, "no memory for merges");
out:
    free(all.list);
    strmap_release(&texts);
    return rc;
}

/* The vocabulary, and the tokens that are found in a text before anything else. */
static int make_tokens(const struct spm_model *m, json_t *vocab, json_t *added, struct err *e) {
    for (size_t id = 0; id < m->n; id++) {
        const struct spm_piece *p = &m->pieces[id];
        const bool blank = memmem(p->s, p->n, SPM_BLANK, strlen(SPM_BLANK)) != NULL;
        const char *why = memchr(p->s, 0, p->n)                  ? "has a NUL byte"
                          : merges(p) && memchr(p->s, ' ', p->n) ? "has a blank that is not U+2581"
                          : p->type == VOCAB_USER && blank
                              ? "is defined by the user and has a blank"
                              : NULL;
        if (why)
            return err_set(e, ERR_INPUT,
                           "a tokenizer.json cannot hold this tokenizer: piece %zu %s", id, why);
        char *key = strndup(p->s, p->n);
        int failed = !key || json_object_set_new(vocab, key, json_integer((json_int_t)id));
        const bool special = p->type == VOCAB_CONTROL || p->type == VOCAB_UNKNOWN;
        if (special || p->type == VOCAB_USER)
            failed |= json_array_append_new(
                added, json_pack("{s:I, s:o, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)id,
                                 "content", text_of(p), "single_word", 0, "lstrip", 0, "rstrip", 0,
                                 "normalized", 0, "special", (int)special));
        free(key);
        if (failed) return err_set(e, ERR_NOMEM, "no memory for %zu pieces", m->n);
    }
    return 0;
}

static json_t *make_normalizer(const struct spm_model *m) {
    json_t *list = json_array();
    if (m->prefix)
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "type", "Prepend", "prepend", SPM_BLANK));
    json_array_append_new(list, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern",
                                          "String", " ", "content", SPM_BLANK));
    return json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", list);
}

static json_t *make_decoder(const struct spm_model *m) {
    json_t *list =
        json_pack("[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}]", "type", "Replace", "pattern", "String",
                  SPM_BLANK, "content", " ", "type", "ByteFallback", "type", "Fuse");
    if (m->prefix)
        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content",
                                              " ", "start", 1, "stop", 0));
    return json_pack("{s:s, s:o}", "type", "Sequence", "decoders", list);
}

/* bos in front of a text and of each of a pair; null without one. */
static json_t *make_template(const struct tokenizer *t) {
    if (t->bos < 0) return json_null();
    const struct spm_piece *p = &tok_spm_model(t)->pieces[t->bos];
    char *bos = strndup(p->s, p->n);
    json_t *root = json_pack(
        "{s:s, s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}], "
        "s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}], "
        "s:{s:{s:s, s:[I], s:[s]}}}",
        "type", "TemplateProcessing", "single", "SpecialToken", "id", bos, "type_id", 0, "Sequence",
        "id", "A", "type_id", 0, "pair", "SpecialToken", "id", bos, "type_id", 0, "Sequence", "id",
        "A", "type_id", 0, "SpecialToken", "id", bos, "type_id", 1, "Sequence", "id", "B",
        "type_id", 1, "special_tokens", bos, "id", bos, "ids", (json_int_t)t->bos, "tokens", bos);
    free(bos);
    return root;
}

int spm_to_json(const struct tokenizer *t, struct tok_bytes *out, struct err *e) {
    int rc;
    const struct spm_model *m = tok_spm_model(t);
    json_t *vocab = json_object(), *added = json_array(), *list = NULL, *root = NULL;
    char *text = NULL;
    TRY(make_tokens(m, vocab, added, e));
    TRY(make_merges(m, &list, e));
    json_t *unk = m->unk < 0 ? json_null() : text_of(&m->pieces[m->unk]);
    root =
        json_pack("{s:s, s:n, s:n, s:O, s:o, s:n, s:o, s:o, "
                  "s:{s:s, s:n, s:o, s:n, s:n, s:b, s:b, s:b, s:O, s:O}}",
                  "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer",
                  make_normalizer(m), "pre_tokenizer", "post_processor", make_template(t),
                  "decoder", make_decoder(m), "model", "type", "BPE", "dropout", "unk_token", unk,
                  "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 1, "byte_fallback",
                  (int)m->byte_fallback, "ignore_merges", 0, "vocab", vocab, "merges", list);
    if (!root || !(text = json_dumps(root, JSON_INDENT(1)))) {
        rc = err_set(e, ERR_NOMEM, "no memory for a tokenizer.json of %zu pieces", m->n);
        goto out;
    }
    TRY(spm_append(out, text, strlen(text), e));
    TRY(spm_append(out, "\n", 1, e));
out:
    free(text);
    json_decref(root);
    json_decref(list);
    json_decref(vocab);
    json_decref(added);
    return rc;
}
