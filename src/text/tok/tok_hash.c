/* The number that a tokenizer is known by: of what it computes, not of the file that says it. The
 * same tokenizer read from a tokenizer.json, from the GGUF it was written to and from the folder
 * that GGUF became has one number. It covers the bytes and the kind of every id, the tokens found
 * in texts and, where it matters, when, merges and their order, what is done to a text before, and
 * the token put in front of it. It leaves out what no ids depend on: the end of text, the decoder,
 * names, formatting.
 *
 * SentencePiece's kind and the byte tokenizer are known by the tokenizer.json that they become. */
#include "tok_hash.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void tok_hash_number(struct tok_hash *h, uint64_t v) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(v >> 8 * i);
    XXH3_64bits_update(h->state, bytes, sizeof bytes);
}

void tok_hash_text(struct tok_hash *h, const char *s, size_t n) {
    tok_hash_number(h, n);
    if (n) XXH3_64bits_update(h->state, s, n);
}

/* The ids that have a token. */
static void add_pieces(const struct tokenizer *t, struct tok_hash *h) {
    for (uint32_t id = 0; id < t->vocab; id++) {
        size_t n;
        const struct tok_piece *p = &t->pieces[id];
        if (!(p->flags & TOK_DEFINED)) continue;
        const char *s = strmap_get(&t->strs, p->str, &n);
        tok_hash_number(h, id);
        tok_hash_number(h, p->flags & ~(uint32_t)TOK_ADDED);
        tok_hash_text(h, s, n);
    }
}

struct mark {
    const struct tok_mark *mark;
    bool late; /* looked for in the normalised text that the others leave */
};

static int by_bytes(const void *x, const void *y, void *strs) {
    const struct mark *a = x, *b = y;
    size_t na, nb;
    const char *sa = strmap_get(strs, a->mark->str, &na), *sb = strmap_get(strs, b->mark->str, &nb);
    const int order = memcmp(sa, sb, na < nb ? na : nb);
    return order ? order : (na > nb) - (na < nb);
}

/* Sorted by their bytes. A second pass is only there where it matters for ids which of them is
 * looked for first. */
static bool add_marks(const struct tokenizer *t, struct tok_hash *h) {
    const size_t first = t->added[0].n, n = first + t->added[1].n;
    struct mark *all = malloc((n + 1) * sizeof *all);
    if (!all) return false;
    for (size_t i = 0; i < n; i++)
        all[i] = i < first ? (struct mark){t->added[0].marks + i, false}
                           : (struct mark){t->added[1].marks + (i - first), true};
    qsort_r(all, n, sizeof *all, by_bytes, (void *)(uintptr_t)&t->strs);
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const struct tok_mark *m = all[i].mark;
        const char *s = strmap_get(&t->strs, m->str, &len);
        tok_hash_text(h, s, len);
        tok_hash_number(h, m->id);
        tok_hash_number(h, (uint64_t)m->special | (uint64_t)m->lstrip << 1 |
                               (uint64_t)m->rstrip << 2 | (uint64_t)all[i].late << 3);
    }
    free(all);
    return true;
}

/* The tokenizer.json that says the same. */
static uint64_t by_way_of_json(const struct tokenizer *t) {
    struct tok_bytes json = {0};
    struct tokenizer *same = NULL;
    struct err ignored;
    uint64_t hash;
    if (!tokenizer_to_json(t, &json, &ignored) &&
        !tokenizer_open_blob(&same, json.data, json.n, "itself", &ignored))
        hash = tokenizer_hash(same) + (t->kind->odd ? t->kind->odd(t) : 0);
    else /* of what no tokenizer.json can hold */
        hash = tok_blob_hash(t);
    tokenizer_close(same);
    free(json.data);
    return hash;
}

static uint64_t compute(const struct tokenizer *t) {
    if (!t->kind->hash) return by_way_of_json(t);
    struct tok_hash h = {XXH3_createState()};
    if (!h.state) return tok_blob_hash(t);
    XXH3_64bits_reset(h.state);
    tok_hash_text(&h, t->kind->name, strlen(t->kind->name));
    tok_hash_number(&h, (uint64_t)t->bos);
    add_pieces(t, &h);
    const bool whole = add_marks(t, &h) && t->kind->hash(t, &h);
    const uint64_t hash = whole ? XXH3_64bits_digest(h.state) : tok_blob_hash(t);
    XXH3_freeState(h.state);
    return hash;
}

uint64_t tokenizer_hash(const struct tokenizer *t) {
    /* made when it is first asked for; two threads that do so at once make the same number */
    _Atomic uint64_t *known = &((struct tokenizer *)(uintptr_t)t)->hash;
    uint64_t hash = *known;
    if (hash) return hash;
    if (!(hash = compute(t))) hash = 1;
    *known = hash;
    return hash;
}

uint64_t tok_blob_hash(const struct tokenizer *t) {
    size_t n;
    const void *blob = tokenizer_blob(t, &n);
    return XXH3_64bits_withSeed(blob, n, XXH3_64bits(t->kind->name, strlen(t->kind->name)));
}

/* The dearer number comes last. */
bool tokenizer_is(const struct tokenizer *t, uint64_t hash) {
    return t->blob ? hash == tok_blob_hash(t) || hash == tokenizer_hash(t)
                   : hash == tokenizer_hash(t) || hash == tok_blob_hash(t);
}

int tokenizer_check_size(uint32_t tokens, int64_t rows, const char *model, struct err *e) {
    return vocab_check_size(tokens, rows, model, e);
}

/* True where t is plainly what it is compared with: nothing need be opened. */
static bool made_of(const struct tokenizer *t, const struct tok_own *own) {
    if (t->made_of) return own->vocab && vocab_equal(t->made_of, own->vocab);
    return own->blob && own->bytes == t->blob_bytes && !memcmp(own->blob, t->blob, own->bytes);
}

int tokenizer_check(const struct tokenizer *t, int64_t rows, const struct tok_own *own,
                    const char *model, struct err *e) {
    struct tokenizer *other;
    struct err ignored;
    const int rc = tokenizer_check_size(t->vocab, rows, model, e);
    if (rc || made_of(t, own)) return rc;
    if (tokenizer_open_own(&other, own, model, &ignored) || !other) return 0; /* nobody knows */
    const uint64_t theirs = tokenizer_hash(other), ours = tokenizer_hash(t);
    tokenizer_close(other);
    if (theirs == ours) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: the model's own tokenizer is another one (its hash is %016llx, this one's "
                   "%016llx): the same ids would mean other texts",
                   model, (unsigned long long)theirs, (unsigned long long)ours);
}
