/* SentencePiece-style BPE from llama2.c's tokenizer.bin (little-endian):
 *   i32 max_token_length, then for each token f32 score, i32 length, that many bytes
 * The number of tokens follows from the file's size. Ids: 0 unknown, 1 and 2 control tokens, 3..258
 * the bytes "<0x00>".."<0xFF>", then texts in which a blank is a blank.
 *
 * Encoding: a blank is put in front of a text and of what follows a special token; characters that
 * are tokens, and the bytes of those that are not, are the first symbols; then the adjacent pair
 * whose union is the token of the highest score merges, the leftmost on ties. Decoding takes that
 * blank away again, so decode(encode(x)) == x for any bytes.
 *
 * The control tokens are written <s> (bos) and </s> (eos) here, without the line breaks around them
 * in the file. llama2.c's own models never saw </s>: their texts follow each other with <s> between
 * them, so generation should stop at either.
 *
 * Source: run.c and tokenizer.py of https://github.com/karpathy/llama2.c . */
#include "tok.h"

#include "unicode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTE 3
#define FIRST_TEXT (FIRST_BYTE + 256)
#define MAX_TOKEN 1024 /* bytes; Llama 2's longest is 27 */

struct spm {
    struct tok_merger merger;
    uint8_t inside[65536 / 8]; /* bit xy: some token has byte x before byte y */
};

struct entry {
    float score;
    uint32_t id, len;
    const char *text; /* in the blob */
};

static uint32_t read_u32(const char *p) {
    const uint8_t *u = (const uint8_t *)p;
    return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static unsigned pair_bit(const char *s) {
    return (unsigned)(uint8_t)s[0] << 8 | (uint8_t)s[1];
}

/* True if no token holds the bytes s[0] s[1] in a row: no merge crosses that place. */
static bool is_cut(const struct spm *m, const char *s) {
    return !(m->inside[pair_bit(s) >> 3] >> (pair_bit(s) & 7) & 1);
}

/* The text token of these bytes, or MAP_NONE. */
static uint32_t text_id(const struct tokenizer *t, const char *s, size_t n) {
    uint32_t str = strmap_find(&t->strs, s, n);
    uint32_t id = str == MAP_NONE ? MAP_NONE : t->str_id[str];
    return id != MAP_NONE && id >= FIRST_TEXT ? id : MAP_NONE;
}

static int spm_symbols(const struct tokenizer *t, const char *word, size_t n, uint32_t *ids,
                       size_t *count, struct err *e) {
    (void)e;
    size_t used = 0, len;
    uint32_t cp;
    for (size_t i = 0; i < n; i += len) {
        len = utf8_read(word + i, n - i, &cp);
        uint32_t id = len ? text_id(t, word + i, len) : MAP_NONE;
        if (len == 0) len = 1;
        if (id != MAP_NONE)
            ids[used++] = id;
        else
            for (size_t k = 0; k < len; k++) ids[used++] = FIRST_BYTE + (uint8_t)word[i + k];
    }
    *count = used;
    return 0;
}

static int spm_encode(const struct tokenizer *t, struct tok_scratch *s, const char *text, size_t n,
                      struct tok_ids *out, struct err *e) {
    const struct spm *m = t->impl;
    if (n == SIZE_MAX || grow(&s->prefixed, &s->prefixed_cap, n + 1, 1))
        return err_set(e, ERR_NOMEM, "no memory for a text of %zu bytes", n);
    s->prefixed[0] = ' ';
    memcpy(s->prefixed + 1, text, n);
    size_t start = 0;
    for (size_t i = 1; i <= n + 1; i++) {
        if (i <= n && !is_cut(m, s->prefixed + i - 1)) continue;
        int rc = tok_word(t, &m->merger, s, s->prefixed + start, i - start, out, e);
        if (rc) return rc;
        start = i;
    }
    return 0;
}

/* Reads the entries, checking each. */
static int read_entries(const struct tokenizer *t, const char *name, struct entry **entries,
                        size_t *n, struct err *e) {
    size_t at = 4, cap = 0, size = t->blob_bytes;
    uint32_t max = read_u32(t->blob), longest = 0;
    while (at < size) {
        if (size - at < 8)
            return err_set(e, ERR_INPUT,
                           "%s: token %zu at offset %zu: %zu bytes left, expected "
                           "a score and a length",
                           name, *n, at, size - at);
        uint32_t bits = read_u32(t->blob + at), len = read_u32(t->blob + at + 4);
        struct entry x = {.id = (uint32_t)*n, .len = len, .text = t->blob + at + 8};
        memcpy(&x.score, &bits, sizeof bits);
        if (len == 0 || len > max || len > size - at - 8)
            return err_set(
                e, ERR_INPUT,
                "%s: token %zu at offset %zu has length %d; expected 1 to %u and at most "
                "the %zu bytes left",
                name, *n, at, (int)len, max, size - at - 8);
        if (!isfinite(x.score))
            return err_set(e, ERR_INPUT, "%s: token %zu at offset %zu: the score is not a number",
                           name, *n, at);
        if (grow(entries, &cap, *n + 1, sizeof **entries))
            return err_set(e, ERR_NOMEM, "%s: no memory for %zu tokens", name, *n);
        (*entries)[(*n)++] = x;
        if (len > longest) longest = len;
        at += 8 + len;
    }
    if (longest != max)
        return err_set(e, ERR_INPUT,
                       "%s: the longest token has %u bytes, but max_token_length at "
                       "offset 0 is %u: truncated?",
                       name, longest, max);
    return 0;
}

/* Fills the table. Texts come before bytes, so that a byte that is also a text is found as text. */
static int fill_table(struct tokenizer *t, const char *name, const struct entry *x, size_t n,
                      struct err *e) {
    static const char *const control[FIRST_BYTE] = {"<unk>", "<s>", "</s>"};
    int rc;
    if (n < FIRST_TEXT)
        return err_set(e, ERR_INPUT,
                       "%s: %zu tokens; expected at least %d: 3 special tokens and "
                       "256 bytes",
                       name, n, FIRST_TEXT);
    TRY(tok_table_init(t, (uint32_t)n, e));
    for (size_t i = FIRST_TEXT; i < n; i++)
        TRY(tok_table_set(t, (uint32_t)i, x[i].text, x[i].len, 0, e));
    for (uint32_t b = 0; b < 256; b++) {
        char want[8], c = (char)b;
        const struct entry *byte = &x[FIRST_BYTE + b];
        snprintf(want, sizeof want, "<0x%02X>", b);
        if (byte->len != 6 || memcmp(byte->text, want, 6))
            return err_set(
                e, ERR_INPUT, "%s: token %u is \"%.*s\", expected \"%s\" (byte fallback)", name,
                FIRST_BYTE + b, (int)(byte->len < 60 ? byte->len : 60), byte->text, want);
        TRY(tok_table_set(t, FIRST_BYTE + b, &c, 1, 0, e));
    }
    for (uint32_t i = 0; i < FIRST_BYTE; i++) {
        TRY(tok_table_set(t, i, control[i], strlen(control[i]), TOK_SPECIAL, e));
        if (i) TRY(tok_table_mark(t, i, 0, e));
    }
out:
    return rc;
}

static int by_score(const void *x, const void *y) {
    const struct entry *a = x, *b = y;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* All ways to make a token from two: the higher its score the lower the rank, equal scores share
 * one. Sorts texts. */
static int fill_pairs(const struct tokenizer *t, struct spm *m, struct entry *texts, size_t n,
                      struct err *e) {
    uint32_t rank = 0;
    if (pairmap_reserve(&m->merger.pairs, 3 * n)) goto no_memory;
    qsort(texts, n, sizeof *texts, by_score);
    for (size_t i = 0; i < n; i++) {
        const struct entry *x = &texts[i];
        if (i > 0 && x->score != texts[i - 1].score) rank++;
        if (text_id(t, x->text, x->len) != x->id) continue; /* the same text as a token before */
        for (uint32_t k = 1; k < x->len; k++) {
            unsigned bit = pair_bit(x->text + k - 1);
            m->inside[bit >> 3] |= (uint8_t)(1u << (bit & 7));
            uint32_t left = text_id(t, x->text, k);
            uint32_t right = left == MAP_NONE ? left : text_id(t, x->text + k, x->len - k);
            if (right == MAP_NONE) continue;
            struct pairmap_slot *s = pairmap_put(&m->merger.pairs, pairmap_key(left, right));
            if (!s) goto no_memory;
            s->a = rank;
            s->b = x->id;
        }
    }
    return 0;
no_memory:
    return err_set(e, ERR_NOMEM, "no memory for the merges of %zu tokens", n);
}

static bool spm_probe(const uint8_t *data, size_t bytes) {
    if (bytes < 4) return false;
    uint32_t max = (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
                   (uint32_t)data[3] << 24;
    return max >= 1 && max <= MAX_TOKEN;
}

static int spm_load(struct tokenizer *t, const char *name, struct err *e) {
    int rc;
    struct entry *entries = NULL;
    size_t n = 0;
    struct spm *m = calloc(1, sizeof *m);
    if (!(t->impl = m)) return err_set(e, ERR_NOMEM, "%s: no memory for a tokenizer", name);
    m->merger.symbols = spm_symbols;
    TRY(read_entries(t, name, &entries, &n, e));
    TRY(fill_table(t, name, entries, n, e));
    TRY(fill_pairs(t, m, entries + FIRST_TEXT, n - FIRST_TEXT, e));
    t->bos = 1;
    t->eos = 2;
    t->exact = true;
out:
    free(entries);
    return rc;
}

static void spm_release(void *impl) {
    struct spm *m = impl;
    if (m) pairmap_release(&m->merger.pairs);
    free(m);
}

const struct tok_kind tok_spm = {.name = "spm",
                                 .drops_blank = true,
                                 .probe = spm_probe,
                                 .load = spm_load,
                                 .release = spm_release,
                                 .encode = spm_encode};
