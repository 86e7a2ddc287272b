#include "tok_bpe.h"

#include "tok_hash.h"
#include "unicode.h"

#include <stdlib.h>
#include <string.h>

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

int bpe_byte_name(const char *s, size_t n) {
    static const char digits[] = "0123456789ABCDEF";
    if (n != 6 || memcmp(s, "<0x", 3) || s[5] != '>') return -1;
    const char *high = memchr(digits, s[3], 16), *low = memchr(digits, s[4], 16);
    return high && low ? (int)(high - digits) * 16 + (int)(low - digits) : -1;
}

/* Appends the unknown token for a character that has none, or says that there is none. */
static int unknown(const struct bpe *b, uint8_t byte, uint32_t *ids, size_t *used, bool *fuses,
                   struct err *e) {
    if (b->unk == MAP_NONE)
        return err_set(e, ERR_INPUT, "the vocabulary has no token for byte 0x%02x", byte);
    if (!*fuses) ids[(*used)++] = b->unk;
    *fuses = b->fuse_unk;
    return 0;
}

static int byte_symbols(const struct bpe *b, const char *word, size_t n, uint32_t *ids,
                        size_t *count, struct err *e) {
    size_t used = 0;
    bool fuses = false;
    for (size_t i = 0; i < n; i++) {
        const uint32_t id = b->byte_id[(uint8_t)word[i]];
        if (id != MAP_NONE) {
            ids[used++] = id;
            fuses = false;
        } else {
            int rc = unknown(b, (uint8_t)word[i], ids, &used, &fuses, e);
            if (rc) return rc;
        }
    }
    *count = used;
    return 0;
}

static int char_symbols(const struct bpe *b, const char *word, size_t n, uint32_t *ids,
                        size_t *count, struct err *e) {
    size_t used = 0, len;
    bool fuses = false;
    for (size_t i = 0; i < n; i += len) {
        uint32_t cp;
        const struct pairmap_slot *s = NULL;
        if ((len = utf8_read(word + i, n - i, &cp)))
            s = pairmap_find(&b->chars, pairmap_key(0, cp));
        else
            len = 1; /* a byte that is not UTF-8 is a character that has no token */
        if (s) {
            ids[used++] = s->b;
            fuses = false;
        } else if (b->byte_id[0] != MAP_NONE) { /* there are all or none */
            for (size_t k = 0; k < len; k++) ids[used++] = b->byte_id[(uint8_t)word[i + k]];
        } else {
            int rc = unknown(b, (uint8_t)word[i], ids, &used, &fuses, e);
            if (rc) return rc;
        }
    }
    *count = used;
    return 0;
}

int bpe_symbols(const struct tokenizer *t, const char *word, size_t n, uint32_t *ids, size_t *count,
                struct err *e) {
    const struct bpe *b = t->impl;
    if (b->ignore_merges) {
        uint32_t str = strmap_find(&t->strs, word, n);
        uint32_t id = str == MAP_NONE ? MAP_NONE : t->str_id[str];
        if (id != MAP_NONE && !(t->pieces[id].flags & (TOK_SPECIAL | TOK_ADDED))) {
            ids[0] = id;
            *count = 1;
            return 0;
        }
    }
    return (b->bytes ? byte_symbols : char_symbols)(b, word, n, ids, count, e);
}

/* ---- places that no merge crosses ----------------------------------------------------------- */

/* A text of characters is one word to Hugging Face where nothing cuts it before. But where two
 * characters meet that no merge joins, the symbols on both sides do not depend on each other, and
 * the words between such places repeat. b->joins: bit (x, y) if some merge joins a left part that
 * ends with character x to a right part that starts with y; characters beyond ASCII share bits. */
#define JOIN_BITS 10
#define JOINS ((size_t)1 << JOIN_BITS)

static uint32_t join_class(uint32_t cp) {
    return cp < 128 ? cp : 128 + (cp * 0x9e3779b1u >> (32 - JOIN_BITS)) * 7 / 8;
}

/* The class of the character at s; its bytes in *len. */
static uint32_t join_at(const char *s, size_t n, size_t *len) {
    uint32_t cp;
    if ((*len = utf8_read(s, n, &cp))) return join_class(cp);
    *len = 1;
    return 127; /* in no merge; 127 is conservative */
}

static bool joined(const struct bpe *b, uint32_t left, uint32_t right) {
    const size_t bit = left * JOINS + right;
    return b->joins[bit >> 3] >> (bit & 7) & 1;
}

int bpe_find_joins(struct tokenizer *t, const json_t *vocab, const json_t *merges, struct err *e) {
    struct bpe *b = t->impl;
    const json_t *m;
    size_t i;
    if (b->bytes || b->byte_id[0] == MAP_NONE) return 0; /* unknown characters may fuse */
    json_array_foreach(merges, i, m) {
        const char *key[2];
        size_t n[2], at, len;
        if (!bpe_merge_keys(m, key, n)) continue;
        for (int side = 0; side < 2; side++) { /* a byte's token is no text: its ends are unknown */
            const json_t *id = json_object_getn(vocab, key[side], n[side]);
            if (bpe_byte_name(key[side], n[side]) >= 0 || json_integer_value(id) == b->unk) goto no;
        }
        for (at = n[0] - 1; at > 0 && ((uint8_t)key[0][at] & 0xc0) == 0x80;) at--;
        const size_t left = join_at(key[0] + at, n[0] - at, &len);
        const size_t bit = left * JOINS + join_at(key[1], n[1], &len);
        if (!b->joins && !(b->joins = calloc(JOINS * JOINS / 8, 1)))
            return err_set(e, ERR_NOMEM, "no memory for merges");
        b->joins[bit >> 3] |= (uint8_t)(1u << (bit & 7));
    }
    return 0;
no:
    free(b->joins);
    b->joins = NULL;
    return 0;
}

/* ---- encoding ------------------------------------------------------------------------------- */

struct emit {
    const struct tokenizer *t;
    struct tok_scratch *s;
    struct tok_ids *out;
};

static int emit_one(const struct emit *m, const char *word, size_t n, struct err *e) {
    const struct bpe *b = m->t->impl;
    int rc = tok_word(m->t, &b->merger, m->s, word, n, m->out, e);
    const struct tok_scratch *s = m->s;
    if (rc == ERR_INPUT && (uintptr_t)word - (uintptr_t)s->origin < s->origin_n)
        return err_prefix(e, "in the word at byte %zu of the text", (size_t)(word - s->origin));
    return rc;
}

static int emit_word(void *ctx, const char *word, size_t n, struct err *e) {
    const struct emit *m = ctx;
    const struct bpe *b = m->t->impl;
    if (!b->joins) return emit_one(m, word, n, e);
    size_t start = 0, len;
    uint32_t left = join_at(word, n, &len);
    for (size_t i = len; i < n; i += len) {
        const uint32_t right = join_at(word + i, n - i, &len);
        if (!joined(b, left, right)) {
            int rc = emit_one(m, word + start, i - start, e);
            if (rc) return rc;
            start = i;
        }
        left = right;
    }
    return emit_one(m, word + start, n - start, e);
}

static int bpe_encode(const struct tokenizer *t, struct tok_scratch *s, const char *text, size_t n,
                      struct tok_ids *out, struct err *e) {
    int rc = 0;
    const struct bpe *b = t->impl;
    struct emit m = {t, s, out};
    const bool first = text == s->origin;
    if (b->norm.n) TRY(bpe_normalise(&b->norm, s, text, n, &text, &n, e));
    size_t pos = 0;
    struct tok_hit hit = {.end = 0};
    while (tok_added_find(t, 1, s->specials, text, n, hit.end, pos, &hit)) {
        s->pretok.first = first && pos == 0;
        if (hit.at > pos)
            TRY(pretok_run(&b->pretok, &s->pretok, text + pos, hit.at - pos, emit_word, &m, e));
        TRY(tok_ids_reserve(out, 1, e));
        out->ids[out->n++] = hit.id;
        pos = hit.at + hit.len;
    }
    s->pretok.first = first && pos == 0;
    TRY(pretok_run(&b->pretok, &s->pretok, text + pos, n - pos, emit_word, &m, e));
out:
    return rc;
}

/* ---- what ids depend on --------------------------------------------------------------------- */

static int by_rank(const void *x, const void *y) {
    const struct pairmap_slot *a = x, *b = y;
    if (a->a != b->a) return a->a < b->a ? -1 : 1;
    return (a->key > b->key) - (a->key < b->key);
}

static bool add_merges(const struct bpe *b, struct tok_hash *h) {
    size_t n = 0;
    struct pairmap_slot *list = malloc((b->merger.pairs.n + 1) * sizeof *list);
    if (!list) return false;
    for (size_t i = 0; i <= b->merger.pairs.mask; i++)
        if (b->merger.pairs.slots[i].key != UINT64_MAX) list[n++] = b->merger.pairs.slots[i];
    qsort(list, n, sizeof *list, by_rank);
    tok_hash_number(h, n);
    for (size_t i = 0; i < n; i++) {
        tok_hash_number(h, list[i].key);
        tok_hash_number(h, list[i].b);
    }
    free(list);
    return true;
}

static void add_string(struct tok_hash *h, const char *s) {
    tok_hash_text(h, s ? s : "", s ? strlen(s) : 0);
}

/* Added tokens may come to the model as words only where a word is more than its text. */
static void add_no_words(const struct tokenizer *t, const struct bpe *b, struct tok_hash *h) {
    bool more = b->norm.n > 0;
    for (int i = 0; i < b->pretok.n; i++) more |= b->pretok.step[i].prepend != PRETOK_NEVER;
    for (uint32_t id = 0; id < t->vocab && more && b->ignore_merges; id++)
        if ((t->pieces[id].flags & (TOK_ADDED | TOK_SPECIAL)) == TOK_ADDED) tok_hash_number(h, id);
}

static bool bpe_hash(const struct tokenizer *t, struct tok_hash *h) {
    const struct bpe *b = t->impl;
    bool lacks = false; /* the unknown token has a use */
    for (int i = 0; i < 256; i++) lacks |= b->byte_id[i] == MAP_NONE;
    tok_hash_number(h, (uint64_t)b->bytes | (uint64_t)b->ignore_merges << 1 | (uint64_t)lacks << 2);
    tok_hash_number(h, lacks ? b->unk : MAP_NONE);
    tok_hash_number(h, lacks && b->unk != MAP_NONE && b->fuse_unk);
    tok_hash_number(h, (uint64_t)b->norm.n);
    for (int i = 0; i < b->norm.n; i++) {
        tok_hash_number(h, b->norm.step[i].op);
        add_string(h, b->norm.step[i].from);
        add_string(h, b->norm.step[i].to);
    }
    tok_hash_number(h, (uint64_t)b->pretok.n);
    for (int i = 0; i < b->pretok.n; i++) {
        const struct pretok_step *s = &b->pretok.step[i];
        tok_hash_number(h, s->op);
        tok_hash_number(h, s->behavior);
        tok_hash_number(h, (uint64_t)s->invert | (uint64_t)s->split << 1);
        tok_hash_number(h, s->prepend);
        add_string(h, s->text);
    }
    add_no_words(t, b, h);
    return add_merges(b, h);
}

static int bpe_normal(const struct tokenizer *t, struct tok_scratch *s, bool all, const char *text,
                      size_t n, const char **out, size_t *out_n, struct err *e) {
    const struct bpe *b = t->impl;
    struct bpe_norm norm = {.n = 0};
    for (int i = 0; i < b->norm.n; i++)
        if (all || b->norm.step[i].op < BPE_PREPEND) norm.step[norm.n++] = b->norm.step[i];
    return bpe_normalise(&norm, s, text, n, out, out_n, e);
}

static bool bpe_cuts_lines(const struct tokenizer *t) {
    const struct bpe *b = t->impl; /* normal forms never join a line break to what follows */
    for (int i = 0; i < b->norm.n; i++)
        if (b->norm.step[i].op >= BPE_PREPEND) return false;
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
    bpe_norm_release(&b->norm);
    pairmap_release(&b->chars);
    free(b->joins);
    free(b->from);
    free(b->to);
    free(b);
}

const struct tok_kind tok_bpe = {.name = "bpe",
                                 .probe = bpe_probe,
                                 .load = bpe_load,
                                 .release = bpe_release,
                                 .cuts_lines = bpe_cuts_lines,
                                 .encode = bpe_encode,
                                 .normalise = bpe_normal,
                                 .to_vocab = bpe_to_vocab,
                                 .to_json = bpe_to_json,
                                 .hash = bpe_hash};
