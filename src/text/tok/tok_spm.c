/* SentencePiece's BPE, from a tokenizer.model, llama2.c's tokenizer.bin or the vocabulary of a GGUF
 * (spm_model.h).
 *
 * Encoding: a blank is put in front of a text and of what follows a special token, if the model
 * says so; pieces defined by the user are found, from the left, the longest of them. In what lies
 * between, characters are the first symbols; then the adjacent pair whose union is the piece of the
 * highest score merges, the leftmost on ties. An unused piece is taken apart again into what it was
 * merged from. A character without a piece becomes its bytes, or the unknown piece (once for a run
 * of them) where the model has no bytes.
 *
 * Decoding takes the blank in front away again, so decode(encode(x)) == x for any bytes, if there
 * are pieces for bytes and the model does not remove blanks. In two things this is more exact than
 * SentencePiece, as llama2.c is: bytes that are not UTF-8 stay what they are, and so does U+2581.
 *
 * llama2.c's own models never saw </s>: their texts follow each other with <s> between them, so
 * generation should stop at either. In its files a character without a token merges with nothing;
 * elsewhere it may, if a longer piece begins with it.
 *
 * Source: bpe_model.cc, normalizer.cc and sentencepiece_processor.cc of
 * https://github.com/google/sentencepiece ; run.c of https://github.com/karpathy/llama2.c . */
#include "spm_model.h"
#include "tok.h"
#include "unicode.h"

#include <stdlib.h>
#include <string.h>

/* Ways to merge that a piece has on average, at most, beside some for small models. Llama 2's have
 * two; a file that needs more is made to need memory. */
#define MAX_WAYS 64
#define SOME_WAYS 65536

struct span {
    uint32_t at, n;
};

/* Symbols are the ids of pieces, and behind them characters that pieces are made of without being
 * pieces themselves. */
struct spm {
    struct spm_model model;
    struct tok_merger merger;
    uint8_t inside[65536 / 8]; /* bit xy: some piece has byte x before byte y */
    struct strmap chars;       /* number i is symbol vocab + i */
    struct span *rewrite;      /* per symbol: what it becomes in the end, n = 0: itself; or NULL */
    struct tok_ids rewritten;  /* what rewrite points into */
};

static unsigned pair_bit(const char *s) {
    return (unsigned)(uint8_t)s[0] << 8 | (uint8_t)s[1];
}

/* True if no piece holds the bytes s[0] s[1] in a row: no merge crosses that place. */
static bool is_cut(const struct spm *m, const char *s) {
    return !(m->inside[pair_bit(s) >> 3] >> (pair_bit(s) & 7) & 1);
}

static bool merges(const struct spm *m, size_t id) {
    const uint8_t type = m->model.pieces[id].type;
    return type == VOCAB_NORMAL || type == VOCAB_UNUSED;
}

/* The symbol of these bytes, or MAP_NONE. */
static uint32_t symbol_of(const struct tokenizer *t, const struct spm *m, const char *s, size_t n) {
    uint32_t str = strmap_find(&t->strs, s, n);
    uint32_t id = str == MAP_NONE ? MAP_NONE : t->str_id[str];
    if (id != MAP_NONE && merges(m, id)) return id;
    if (m->chars.n == 0) return MAP_NONE;
    str = strmap_find(&m->chars, s, n);
    return str == MAP_NONE ? MAP_NONE : t->vocab + str;
}

/* Symbols of n bytes without a piece: at most n. */
static size_t fallback(const struct spm *m, const char *s, size_t n, uint32_t *ids) {
    if (!m->model.byte_fallback) return *ids = (uint32_t)m->model.unk, 1;
    for (size_t i = 0; i < n; i++) ids[i] = m->model.byte_id[(uint8_t)s[i]];
    return n;
}

static int spm_symbols(const struct tokenizer *t, const char *word, size_t n, uint32_t *ids,
                       size_t *count, struct err *e) {
    (void)e;
    const struct spm *m = t->impl;
    size_t used = 0, len;
    uint32_t cp;
    for (size_t i = 0; i < n; i += len) {
        len = utf8_read(word + i, n - i, &cp);
        uint32_t id = len ? symbol_of(t, m, word + i, len) : MAP_NONE;
        if (len == 0) len = 1;
        if (id != MAP_NONE)
            ids[used++] = id;
        else
            used += fallback(m, word + i, len, ids + used);
    }
    *count = used;
    return 0;
}

/* ---- encoding ------------------------------------------------------------------------------- */

/* Text without pieces defined by the user: cut where no merge crosses. */
static int encode_words(const struct tokenizer *t, struct tok_scratch *s, const char *text,
                        size_t n, struct tok_ids *out, struct err *e) {
    const struct spm *m = t->impl;
    size_t start = 0;
    for (size_t i = 1; i <= n; i++) {
        if (i < n && !is_cut(m, text + i - 1)) continue;
        int rc = tok_word(t, &m->merger, s, text + start, i - start, out, e);
        if (rc) return rc;
        start = i;
    }
    return 0;
}

/* Symbols in out from `from` on become what they stand for. */
static int rewrite(const struct spm *m, size_t from, struct tok_ids *out, struct err *e) {
    size_t more = 0;
    for (size_t i = from; i < out->n; i++) {
        const uint32_t n = m->rewrite[out->ids[i]].n;
        more += n ? n - 1 : 0;
    }
    int rc = tok_ids_reserve(out, more, e);
    if (rc) return rc;
    size_t to = out->n + more;
    for (size_t i = out->n;
         i-- > from;) { /* from the back: nothing is overwritten before its turn */
        const struct span r = m->rewrite[out->ids[i]];
        to -= r.n ? r.n : 1;
        if (r.n)
            memcpy(out->ids + to, m->rewritten.ids + r.at, r.n * sizeof *out->ids);
        else
            out->ids[to] = out->ids[i];
    }
    out->n += more;
    return 0;
}

/* A run of unknown pieces is one. */
static void join_unknown(const struct spm *m, size_t from, struct tok_ids *out) {
    size_t to = from;
    for (size_t i = from; i < out->n; i++) {
        const bool again = to > from && out->ids[i] == (uint32_t)m->model.unk &&
                           out->ids[to - 1] == (uint32_t)m->model.unk;
        if (!again) out->ids[to++] = out->ids[i];
    }
    out->n = to;
}

/* What the model does to a text before: *text is as it was, or in s->prefixed. */
static int prepare(const struct spm *m, struct tok_scratch *s, const char **text, size_t *n,
                   struct err *e) {
    const char *in = *text;
    size_t used = 0, end = *n, i = 0;
    if (!m->model.prefix && !m->model.squeeze) return 0;
    if (*n == SIZE_MAX || grow(&s->prefixed, &s->prefixed_cap, *n + 1, 1))
        return err_set(e, ERR_NOMEM, "no memory for a text of %zu bytes", *n);
    if (m->model.squeeze) {
        while (end > 0 && in[end - 1] == ' ') end--;
        while (i < end && in[i] == ' ') i++;
    }
    if (m->model.prefix && i < end) s->prefixed[used++] = ' ';
    if (m->model.squeeze) {
        for (; i < end; i++)
            if (in[i] != ' ' || in[i - 1] != ' ') s->prefixed[used++] = in[i];
    } else {
        memcpy(s->prefixed + used, in, end);
        used += end;
    }
    *text = s->prefixed;
    *n = used;
    return 0;
}

static int spm_encode(const struct tokenizer *t, struct tok_scratch *s, const char *text, size_t n,
                      struct tok_ids *out, struct err *e) {
    int rc;
    const struct spm *m = t->impl;
    const size_t from = out->n;
    size_t pos = 0;
    TRY(prepare(m, s, &text, &n, e));
    struct tok_hit hit = {.end = 0};
    while (tok_added_find(t, 1, true, text, n, hit.end, pos, &hit)) {
        TRY(encode_words(t, s, text + pos, hit.at - pos, out, e));
        TRY(tok_ids_reserve(out, 1, e));
        out->ids[out->n++] = hit.id;
        pos = hit.at + hit.len;
    }
    TRY(encode_words(t, s, text + pos, n - pos, out, e));
    if (m->rewrite) TRY(rewrite(m, from, out, e));
    if (!m->model.byte_fallback) join_unknown(m, from, out);
out:
    return rc;
}

/* ---- loading -------------------------------------------------------------------------------- */

/* A piece's bytes in the table: blanks are blanks. */
static int set_text(struct tokenizer *t, uint32_t id, const struct spm_piece *p, uint32_t flags,
                    struct err *e) {
    char text[SPM_MAX_PIECE];
    size_t n = 0;
    for (uint32_t i = 0; i < p->n; i++)
        if (p->n - i >= 3 && memcmp(p->s + i, SPM_BLANK, 3) == 0) {
            text[n++] = ' ';
            i += 2;
        } else {
            text[n++] = p->s[i];
        }
    return tok_table_set(t, id, text, n, flags, e);
}

/* Fills the table. Texts come before bytes, so that a byte that is also a text is found as text. */
static int fill_table(struct tokenizer *t, const struct spm_model *m, const char *name,
                      struct err *e) {
    int rc;
    TRY(tok_table_init(t, (uint32_t)m->n, e));
    for (uint32_t id = 0; id < m->n; id++) {
        const uint8_t type = m->pieces[id].type;
        if (type == VOCAB_BYTE || type == VOCAB_CONTROL || type == VOCAB_UNKNOWN) continue;
        TRY(set_text(t, id, &m->pieces[id], 0, e));
        const uint32_t first = t->str_id[t->pieces[id].str];
        if (first != id)
            return err_set(e, ERR_INPUT, "%s: pieces %u and %u stand for the same text", name,
                           first, id);
        if (type == VOCAB_USER) TRY(tok_table_mark(t, id, 1, e));
    }
    for (uint32_t b = 0; b < 256 && m->byte_fallback; b++) {
        char c = (char)b;
        TRY(tok_table_set(t, m->byte_id[b], &c, 1, 0, e));
    }
    for (uint32_t id = 0; id < m->n; id++) {
        const struct spm_piece *p = &m->pieces[id];
        if (p->type != VOCAB_CONTROL && p->type != VOCAB_UNKNOWN) continue;
        TRY(tok_table_set(t, id, p->s, p->n, TOK_SPECIAL, e));
        TRY(tok_table_mark(t, id, 0, e));
    }
out:
    return rc;
}

/* Characters inside pieces that are no pieces. One that the user defined is none: in a text it is
 * found before anything merges. */
static int fill_chars(const struct tokenizer *t, struct spm *m, struct err *e) {
    for (uint32_t id = 0; id < t->vocab; id++) {
        size_t n, len;
        uint32_t cp;
        const char *s = strmap_get(&t->strs, t->pieces[id].str, &n);
        if (!merges(m, id) || utf8_read(s, n, &cp) == n) continue;
        for (size_t i = 0; i < n; i += len) {
            len = utf8_read(s + i, n - i, &cp);
            uint32_t str = strmap_find(&t->strs, s + i, len);
            uint32_t own = str == MAP_NONE ? MAP_NONE : t->str_id[str];
            const uint8_t type = own == MAP_NONE ? VOCAB_BYTE : m->model.pieces[own].type;
            if (type == VOCAB_NORMAL || type == VOCAB_UNUSED || type == VOCAB_USER) continue;
            if (strmap_add(&m->chars, s + i, len) == MAP_NONE)
                return err_set(e, ERR_NOMEM, "no memory for the characters of %u pieces", t->vocab);
        }
    }
    return 0;
}

struct entry {
    float score;
    uint32_t id;
};

static int by_score(const void *x, const void *y) {
    const struct entry *a = x, *b = y;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* All ways to make a piece from two symbols; each has the rank of the piece. */
static int add_pairs(const struct tokenizer *t, struct spm *m, uint32_t id, uint32_t rank,
                     struct err *e) {
    size_t n;
    const char *s = strmap_get(&t->strs, t->pieces[id].str, &n);
    for (size_t k = 1; k < n; k++) {
        const unsigned bit = pair_bit(s + k - 1);
        m->inside[bit >> 3] |= (uint8_t)(1u << (bit & 7));
        if (((uint8_t)s[k] & 0xc0) == 0x80) continue; /* inside a character */
        const uint32_t left = symbol_of(t, m, s, k);
        const uint32_t right = left == MAP_NONE ? left : symbol_of(t, m, s + k, n - k);
        if (right == MAP_NONE) continue;
        struct pairmap_slot *slot = pairmap_put(&m->merger.pairs, pairmap_key(left, right));
        if (!slot) return err_set(e, ERR_NOMEM, "no memory for the merges of %u pieces", t->vocab);
        slot->a = rank;
        slot->b = id;
    }
    return 0;
}

/* The higher a piece's score the lower its rank; equal scores share one. */
static int fill_pairs(const struct tokenizer *t, struct spm *m, const char *name, struct err *e) {
    int rc = 0;
    uint32_t rank = 0;
    size_t n = 0;
    struct entry *list = malloc(t->vocab * sizeof *list);
    if (!list || pairmap_reserve(&m->merger.pairs, (size_t)2 * t->vocab)) {
        rc = err_set(e, ERR_NOMEM, "no memory for the merges of %u pieces", t->vocab);
        goto out;
    }
    for (uint32_t id = 0; id < t->vocab; id++)
        if (merges(m, id)) list[n++] = (struct entry){m->model.pieces[id].score, id};
    qsort(list, n, sizeof *list, by_score);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && list[i].score != list[i - 1].score) rank++;
        TRY(add_pairs(t, m, list[i].id, rank, e));
        if (m->merger.pairs.n <= (size_t)MAX_WAYS * t->vocab + SOME_WAYS) continue;
        rc = err_set(e, ERR_INPUT, "%s: more than %zu ways to merge %u pieces: damaged?", name,
                     m->merger.pairs.n, t->vocab);
        goto out;
    }
out:
    free(list);
    return rc;
}

/* ---- symbols that are not ids in the end ---------------------------------------------------- */

/* Pairs that make this piece get another rank; returns the one they had. */
static uint32_t set_rank(const struct tokenizer *t, struct spm *m, uint32_t id, uint32_t rank) {
    size_t n;
    uint32_t old = MAP_NONE;
    const char *s = strmap_get(&t->strs, t->pieces[id].str, &n);
    for (size_t k = 1; k < n; k++) {
        const uint32_t left = symbol_of(t, m, s, k);
        const uint32_t right = left == MAP_NONE ? left : symbol_of(t, m, s + k, n - k);
        struct pairmap_slot *slot =
            right == MAP_NONE ? NULL : pairmap_find(&m->merger.pairs, pairmap_key(left, right));
        if (!slot) continue;
        old = slot->a;
        slot->a = rank;
    }
    return old;
}

/* An unused piece becomes what it was merged from: what its text merges to without it. Parts that
 * are unused themselves are shorter, and have been here before. */
static int take_apart(const struct tokenizer *t, struct spm *m, uint32_t id, struct tok_scratch *s,
                      struct err *e) {
    size_t n;
    const char *text = strmap_get(&t->strs, t->pieces[id].str, &n);
    const size_t at = m->rewritten.n;
    if (at > UINT32_MAX / 2) return err_set(e, ERR_NOMEM, "no memory for unused pieces");
    const uint32_t rank = set_rank(t, m, id, MAP_NONE);
    int rc = tok_word(t, &m->merger, s, text, n, &m->rewritten, e);
    set_rank(t, m, id, rank);
    if (rc) return rc;
    if (m->rewritten.n - at < 2) { /* one character: there is nothing below it */
        m->rewritten.n = at;
        return 0;
    }
    struct tok_ids parts = {0};
    TRY(tok_ids_reserve(&parts, m->rewritten.n - at, e));
    memcpy(parts.ids, m->rewritten.ids + at, (m->rewritten.n - at) * sizeof *parts.ids);
    parts.n = m->rewritten.n - at;
    m->rewritten.n = at;
    TRY(rewrite(m, 0, &parts, e));
    TRY(tok_ids_reserve(&m->rewritten, parts.n, e));
    memcpy(m->rewritten.ids + at, parts.ids, parts.n * sizeof *parts.ids);
    m->rewritten.n += parts.n;
    m->rewrite[id] = (struct span){(uint32_t)at, (uint32_t)parts.n};
out:
    free(parts.ids);
    return rc;
}

static int by_length(const void *x, const void *y, void *model) {
    const struct spm_model *m = model;
    const uint32_t a = m->pieces[*(const uint32_t *)x].n, b = m->pieces[*(const uint32_t *)y].n;
    return (a > b) - (a < b);
}

/* Only models that need it have m->rewrite. */
static int fill_rewrites(const struct tokenizer *t, struct spm *m, struct err *e) {
    int rc = 0;
    size_t n = 0, symbols = t->vocab + m->chars.n;
    struct tok_scratch s;
    uint32_t *unused = malloc((t->vocab + 1) * sizeof *unused);
    tok_scratch_init(&s, false, NULL, 0);
    for (uint32_t id = 0; unused && id < t->vocab; id++)
        if (m->model.pieces[id].type == VOCAB_UNUSED) unused[n++] = id;
    if (unused && n == 0 && m->chars.n == 0) goto out;
    if (!unused || !(m->rewrite = calloc(symbols, sizeof *m->rewrite))) {
        rc = err_set(e, ERR_NOMEM, "no memory for the merges of %u pieces", t->vocab);
        goto out;
    }
    for (uint32_t i = 0; i < m->chars.n; i++) {
        size_t len;
        const char *c = strmap_get(&m->chars, i, &len);
        TRY(tok_ids_reserve(&m->rewritten, len, e));
        const size_t at = m->rewritten.n;
        const size_t used = fallback(m, c, len, m->rewritten.ids + at);
        m->rewritten.n += used;
        m->rewrite[t->vocab + i] = (struct span){(uint32_t)at, (uint32_t)used};
    }
    qsort_r(unused, n, sizeof *unused, by_length, &m->model);
    for (size_t i = 0; i < n; i++) TRY(take_apart(t, m, unused[i], &s, e));
out:
    tok_scratch_release(&s);
    free(unused);
    return rc;
}

static bool spm_probe(const uint8_t *data, size_t bytes) {
    return spm_bin_probe(data, bytes) || spm_proto_probe(data, bytes);
}

static int64_t special_or_none(const struct tokenizer *t, int64_t id) {
    return id >= 0 && tokenizer_is_special(t, (uint32_t)id) ? id : -1;
}

static int spm_load(struct tokenizer *t, const char *name, struct err *e) {
    int rc;
    const bool bin = t->blob && spm_bin_probe((const uint8_t *)t->blob, t->blob_bytes);
    struct spm *m = calloc(1, sizeof *m);
    if (!(t->impl = m)) return err_set(e, ERR_NOMEM, "%s: no memory for a tokenizer", name);
    m->merger.symbols = spm_symbols;
    if (t->made_of)
        TRY(spm_model_of_vocab(&m->model, t->made_of, name, e));
    else
        TRY((bin ? spm_bin_read : spm_proto_read)(&m->model, t->blob, t->blob_bytes, name, e));
    TRY(fill_table(t, &m->model, name, e));
    if (!bin) TRY(fill_chars(t, m, e));
    TRY(fill_pairs(t, m, name, e));
    TRY(fill_rewrites(t, m, e));
    t->bos = special_or_none(t, m->model.bos);
    t->eos = special_or_none(t, m->model.eos);
    t->drops = m->model.prefix ? TOK_DROPS_EACH : TOK_DROPS_NONE;
    t->unk = m->model.byte_fallback ? -1 : m->model.unk;
    t->exact = m->model.byte_fallback && !m->model.squeeze;
out:
    return rc;
}

static void spm_release(void *impl) {
    struct spm *m = impl;
    if (!m) return;
    spm_model_release(&m->model);
    pairmap_release(&m->merger.pairs);
    strmap_release(&m->chars);
    free(m->rewrite);
    free(m->rewritten.ids);
    free(m);
}

const struct spm_model *tok_spm_model(const struct tokenizer *t) {
    return &((const struct spm *)t->impl)->model;
}

/* Removal of blanks, and pieces that are taken apart again: nothing in a tokenizer.json is that. */
static uint64_t spm_odd(const struct tokenizer *t) {
    const struct spm_model *m = tok_spm_model(t);
    uint64_t odd = m->squeeze;
    for (uint32_t id = 0; id < m->n; id++)
        if (m->pieces[id].type == VOCAB_UNUSED) odd = odd * 31 + 2 * (uint64_t)id + 2;
    return odd;
}

const struct tok_kind tok_spm = {.name = "spm",
                                 .probe = spm_probe,
                                 .load = spm_load,
                                 .release = spm_release,
                                 .encode = spm_encode,
                                 .to_vocab = spm_to_vocab,
                                 .to_json = spm_to_json,
                                 .to_bin = spm_to_bin,
                                 .odd = spm_odd};
