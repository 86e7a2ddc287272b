#include "tok_bpe.h"

#include "unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static bool printable(int b) {
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
}

uint32_t bpe_byte_char(uint8_t byte) {
    uint32_t others = 0;
    if (printable(byte)) return byte;
    for (int b = 0; b < byte; b++) others += !printable(b);
    return 256 + others;
}

int bpe_char_byte(uint32_t cp) {
    if (cp < 256) return printable((int)cp) ? (int)cp : -1;
    if (cp >= BPE_ALPHABET) return -1;
    uint32_t skip = cp - 256;
    for (int b = 0; b < 256; b++)
        if (!printable(b) && skip-- == 0) return b;
    return -1;
}

uint8_t bpe_byte_order(int n) {
    for (int pass = 1; pass >= 0; pass--)
        for (int b = 0; b < 256; b++)
            if (printable(b) == pass && n-- == 0) return (uint8_t)b;
    return 0; /* not reached: n < 256 */
}

int bpe_symbols(const struct tokenizer *t, const char *word, size_t n, uint32_t *ids, size_t *count,
                struct err *e) {
    const struct bpe *b = t->impl;
    *count = n;
    if (b->ignore_merges) {
        uint32_t str = strmap_find(&t->strs, word, n);
        uint32_t id = str == MAP_NONE ? MAP_NONE : t->str_id[str];
        if (id != MAP_NONE && !(t->pieces[id].flags & TOK_SPECIAL)) {
            ids[0] = id;
            *count = 1;
            return 0;
        }
    }
    for (size_t i = 0; i < n; i++) {
        ids[i] = b->byte_id[(uint8_t)word[i]];
        if (ids[i] == MAP_NONE)
            return err_set(e, ERR_INPUT, "the vocabulary has no token for byte 0x%02x",
                           (uint8_t)word[i]);
    }
    return 0;
}

struct emit {
    const struct tokenizer *t;
    struct tok_scratch *s;
    struct tok_ids *out;
};

static int emit_word(void *ctx, const char *word, size_t n, struct err *e) {
    struct emit *m = ctx;
    const struct bpe *b = m->t->impl;
    int rc = tok_word(m->t, &b->merger, m->s, word, n, m->out, e);
    const struct tok_scratch *s = m->s;
    if (rc == ERR_INPUT && (uintptr_t)word - (uintptr_t)s->origin < s->origin_n)
        return err_prefix(e, "in the word at byte %zu of the text", (size_t)(word - s->origin));
    return rc;
}

/* Appends text[0..n) to s->norm. */
static int append(struct tok_scratch *s, size_t *used, const void *text, size_t n, struct err *e) {
    if (grow(&s->norm, &s->norm_cap, *used + n, 1))
        return err_set(e, ERR_NOMEM, "no memory for %zu bytes of text", *used + n);
    memcpy(s->norm + *used, text, n);
    *used += n;
    return 0;
}

/* Normalises the runs of well-formed UTF-8 and keeps other bytes: *out is the text, or s->norm. */
static int normalise(const struct bpe *b, struct tok_scratch *s, const char *text, size_t n,
                     const char **out, size_t *out_n, struct err *e) {
    size_t ascii = 0, used = 0, len;
    while (ascii < n && (uint8_t)text[ascii] < 0x80) ascii++;
    *out = text;
    *out_n = n;
    if (ascii == n) return 0; /* no normal form changes ASCII */
    int flags = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    if (b->norm == BPE_NORM_NFKC) flags |= UTF8PROC_COMPAT;
    for (size_t pos = 0, end; pos < n; pos = end) {
        uint32_t cp;
        int rc;
        for (end = pos; end < n && (len = utf8_read(text + end, n - end, &cp)); end += len) {
        }
        if (end > pos) {
            utf8proc_uint8_t *form = NULL;
            utf8proc_ssize_t bytes =
                utf8proc_map((const utf8proc_uint8_t *)text + pos, (utf8proc_ssize_t)(end - pos),
                             &form, (utf8proc_option_t)flags);
            rc = bytes < 0 ? err_set(e, ERR_NOMEM, "cannot normalise %zu bytes of text: %s",
                                     end - pos, utf8proc_errmsg(bytes))
                           : append(s, &used, form, (size_t)bytes, e);
            free(form);
        } else {
            rc = append(s, &used, text + end++, 1, e);
        }
        if (rc) return rc;
    }
    *out = s->norm;
    *out_n = used;
    return 0;
}

static int bpe_encode(const struct tokenizer *t, struct tok_scratch *s, const char *text, size_t n,
                      struct tok_ids *out, struct err *e) {
    int rc = 0;
    const struct bpe *b = t->impl;
    struct emit m = {t, s, out};
    if (b->norm != BPE_NORM_NONE) TRY(normalise(b, s, text, n, &text, &n, e));
    size_t pos = 0;
    for (struct tok_hit hit; tok_added_find(t, 1, s->specials, text, n, pos, &hit);) {
        TRY(pretok_run(&b->pretok, &s->pretok, text + pos, hit.at - pos, emit_word, &m, e));
        TRY(tok_ids_reserve(out, 1, e));
        out->ids[out->n++] = hit.id;
        pos = hit.at + hit.len;
    }
    TRY(pretok_run(&b->pretok, &s->pretok, text + pos, n - pos, emit_word, &m, e));
out:
    return rc;
}

static bool bpe_cuts_lines(const struct tokenizer *t) {
    const struct bpe *b = t->impl; /* normal forms never join a line break to what follows */
    return t->added[1].n == 0 && pretok_cuts_lines(&b->pretok);
}

static bool bpe_probe(const uint8_t *data, size_t bytes) {
    size_t i = 0;
    if (bytes >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) i = 3;
    while (i < bytes && memchr(" \t\r\n", data[i], 4)) i++;
    /* a NUL behind the brace: llama2.c's tokenizer.bin with tokens of 123 bytes */
    return i < bytes && data[i] == '{' && !(i + 1 < bytes && data[i + 1] == 0);
}

static void bpe_release(void *impl) {
    struct bpe *b = impl;
    if (!b) return;
    pairmap_release(&b->merger.pairs);
    pretok_release(&b->pretok);
    free(b);
}

const struct tok_kind tok_bpe = {.name = "bpe",
                                 .probe = bpe_probe,
                                 .load = bpe_load,
                                 .release = bpe_release,
                                 .cuts_lines = bpe_cuts_lines,
                                 .encode = bpe_encode,
                               .to_vocab = bpe_to_vocab,
                               .to_json = bpe_to_json};
