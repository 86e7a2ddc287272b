/* The table of tokens, and the tokens that are looked for in texts. */
#include "tok.h"
#include "unicode.h"

#include <stdlib.h>
#include <string.h>

int tok_table_init(struct tokenizer *t, uint32_t vocab, struct err *e) {
    t->pieces = calloc(vocab ? vocab : 1, sizeof *t->pieces);
    uint32_t empty = strmap_add(&t->strs, "", 0); /* bytes of ids without a token */
    if (!t->pieces || empty == MAP_NONE || grow(&t->str_id, &t->str_cap, 1, sizeof *t->str_id))
        return err_set(e, ERR_NOMEM, "no memory for a vocabulary of %u tokens", vocab);
    t->str_id[empty] = MAP_NONE;
    t->vocab = vocab;
    return 0;
}

int tok_table_set(struct tokenizer *t, uint32_t id, const char *bytes, size_t n, uint32_t flags,
                  struct err *e) {
    size_t before = t->strs.n;
    uint32_t str = strmap_add(&t->strs, bytes, n);
    if (str == MAP_NONE || grow(&t->str_id, &t->str_cap, t->strs.n, sizeof *t->str_id))
        return err_set(e, ERR_NOMEM, "no memory for token %u of %zu bytes", id, n);
    if (t->strs.n > before || (t->str_id[str] == MAP_NONE && n > 0)) t->str_id[str] = id;
    t->pieces[id] = (struct tok_piece){str, flags | TOK_DEFINED};
    return 0;
}

static int add_mark(struct tokenizer *t, uint32_t id, int pass, uint32_t str, struct err *e) {
    struct tok_added *a = &t->added[pass];
    if (grow(&a->marks, &a->cap, a->n + 1, sizeof *a->marks))
        return err_set(e, ERR_NOMEM, "no memory for %zu added tokens", a->n + 1);
    const uint32_t flags = t->pieces[id].flags;
    a->marks[a->n++] = (struct tok_mark){.str = str,
                                         .id = id,
                                         .special = (flags & TOK_SPECIAL) != 0,
                                         .lstrip = (flags & TOK_LSTRIP) != 0,
                                         .rstrip = (flags & TOK_RSTRIP) != 0};
    return 0;
}

int tok_table_mark(struct tokenizer *t, uint32_t id, int pass, struct err *e) {
    return add_mark(t, id, pass, t->pieces[id].str, e);
}

int tok_table_mark_as(struct tokenizer *t, uint32_t id, int pass, const char *bytes, size_t n,
                      struct err *e) {
    size_t before = t->strs.n;
    uint32_t str = strmap_add(&t->strs, bytes, n);
    if (str == MAP_NONE || grow(&t->str_id, &t->str_cap, t->strs.n, sizeof *t->str_id))
        return err_set(e, ERR_NOMEM, "no memory for token %u of %zu bytes", id, n);
    if (t->strs.n > before) t->str_id[str] = MAP_NONE; /* no token has these bytes yet */
    return add_mark(t, id, pass, str, e);
}

static int by_bytes(const void *x, const void *y, void *strs) {
    const struct tok_mark *a = x, *b = y;
    size_t na, nb;
    const char *sa = strmap_get(strs, a->str, &na), *sb = strmap_get(strs, b->str, &nb);
    int order = memcmp(sa, sb, na < nb ? na : nb);
    return order ? order : (na > nb) - (na < nb);
}

void tok_table_finish(struct tokenizer *t) {
    for (int pass = 0; pass < 2; pass++) {
        struct tok_added *a = &t->added[pass];
        if (a->n) qsort_r(a->marks, a->n, sizeof *a->marks, by_bytes, &t->strs);
        int kinds = 0;
        a->only = -1;
        for (size_t i = 0; i < a->n; i++) {
            size_t len;
            uint8_t first = (uint8_t)*strmap_get(&t->strs, a->marks[i].str, &len);
            kinds += !a->first[first];
            a->first[first] = 1;
            a->only = first;
        }
        if (kinds != 1) a->only = -1;
    }
}

/* Byte d of mark i, or -1 behind its end. */
static int mark_byte(const struct tokenizer *t, const struct tok_added *a, size_t i, size_t d) {
    size_t len;
    const char *s = strmap_get(&t->strs, a->marks[i].str, &len);
    return d < len ? (uint8_t)s[d] : -1;
}

/* First mark in [lo, hi) whose byte d is at least c. */
static size_t mark_bound(const struct tokenizer *t, const struct tok_added *a, size_t lo, size_t hi,
                         size_t d, int c) {
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (mark_byte(t, a, mid, d) < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest mark that text[0..n) starts with: its index, or a->n. The marks that agree with the
 * first d bytes are a range of the sorted list, which narrows as d grows. */
static size_t mark_at(const struct tokenizer *t, const struct tok_added *a, bool specials,
                      const char *text, size_t n) {
    size_t lo = 0, hi = a->n, best = a->n;
    for (size_t d = 0; d < n && lo < hi; d++) {
        int c = (uint8_t)text[d];
        lo = mark_bound(t, a, lo, hi, d, c);
        hi = mark_bound(t, a, lo, hi, d, c + 1);
        if (lo < hi && mark_byte(t, a, lo, d + 1) < 0 && (specials || !a->marks[lo].special))
            best = lo;
    }
    return best;
}

/* Takes the blanks beside a hit into it, back to `taken` at most. */
static void take_blanks(const struct tok_mark *mark, const char *text, size_t n, size_t taken,
                        struct tok_hit *hit) {
    size_t start = hit->start, end = hit->end, len;
    while (mark->lstrip && start > taken) {
        size_t at = start - 1;
        while (at > taken && start - at < 4 && ((uint8_t)text[at] & 0xc0) == 0x80) at--;
        if (unicode_at(text + at, start - at, &len) != UNICODE_SPACE || at + len != start) break;
        start = at;
    }
    while (mark->rstrip && end < n && unicode_at(text + end, n - end, &len) == UNICODE_SPACE)
        end += len;
    if (mark->lstrip && start < taken) start = taken < end ? taken : end;
    hit->at = start;
    hit->len = end - start;
}

bool tok_added_find(const struct tokenizer *t, int pass, bool specials, const char *text, size_t n,
                    size_t from, size_t taken, struct tok_hit *hit) {
    const struct tok_added *a = &t->added[pass];
    if (a->n == 0) return false;
    for (size_t at = from; at < n; at++) {
        if (a->only >= 0) {
            const char *next = memchr(text + at, a->only, n - at);
            if (!next) return false;
            at = (size_t)(next - text);
        } else if (!a->first[(uint8_t)text[at]]) {
            continue;
        }
        size_t i = mark_at(t, a, specials, text + at, n - at);
        if (i == a->n) continue;
        hit->at = hit->start = at;
        hit->id = a->marks[i].id;
        strmap_get(&t->strs, a->marks[i].str, &hit->len);
        hit->end = at + hit->len;
        if (a->marks[i].lstrip || a->marks[i].rstrip)
            take_blanks(&a->marks[i], text, n, taken, hit);
        if (hit->len) return true;
        at = hit->end - 1; /* one that takes blanks, and that others have taken whole */
    }
    return false;
}
