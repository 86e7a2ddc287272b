/* BPE over characters as a SentencePiece vocabulary, which is what GGUF has for it.
 *
 * There any two neighbours whose texts together are a token merge, the token of the highest score
 * first, the leftmost on ties; here the pairs of a list do, by rank. Both are the same if every way
 * to cut a token into two tokens is in the list, and if ranks follow the tokens that they make:
 * lists that were made from scores are like that. A token then gets the class of its merges as its
 * score, in the order of the list. The merges of tokens of equal score stand mixed in such a list,
 * those of longer left parts first; they are one class. */
#include "tok_bpe.h"

#include <stdlib.h>
#include <string.h>

#define BLANK "\xe2\x96\x81" /* U+2581 */
#define LONGEST 1024         /* bytes of a token: every way to cut it is looked at */

struct job {
    const struct tokenizer *t;
    const struct bpe *b;
    const json_t *vocab;
    struct vocab *v;
    struct err *e;
};

static int refuse(const struct job *j, const char *why, uint32_t id) {
    const struct vocab_text *x = &j->v->tokens[id];
    return err_set(j->e, ERR_INPUT,
                   "a GGUF cannot hold this BPE over characters: %s, token %u \"%.*s\"", why, id,
                   (int)(x->n < 60 ? x->n : 60), x->s);
}

/* Blanks become U+2581 and come back; one is put in front or not; nothing else is done. */
static int check_pipeline(const struct job *j) {
    const struct bpe *b = j->b;
    bool replaced = false, prefix = false;
    const char *why = NULL;
    for (int i = 0; i < b->norm.n; i++) {
        const struct bpe_norm_step *s = &b->norm.step[i];
        if (s->op == BPE_REPLACE && !replaced && !strcmp(s->from, " ") && !strcmp(s->to, BLANK))
            replaced = true;
        else if (s->op == BPE_PREPEND && !prefix && !strcmp(s->to, BLANK))
            prefix = true;
        else
            why = "its normalizer";
    }
    for (int i = 0; i < b->pretok.n; i++) {
        const struct pretok_step *s = &b->pretok.step[i];
        if (s->op != PRETOK_METASPACE || strcmp(s->text, BLANK) || replaced)
            why = "its pre_tokenizer";
        replaced = true;
        prefix |= s->prepend != PRETOK_NEVER;
    }
    if (b->byte_id[0] == MAP_NONE) why = "byte_fallback is not true";
    if (!replaced) why = "blanks do not become U+2581";
    if (!b->from || strcmp(b->from, BLANK) || strcmp(b->to, " ")) why = "its decoder";
    j->v->add_space_prefix = prefix;
    return why ? err_set(j->e, ERR_INPUT, "a GGUF cannot hold this BPE over characters: %s", why)
               : 0;
}

/* The id of an ordinary token, or MAP_NONE. */
static uint32_t word_id(const struct job *j, const char *s, size_t n) {
    const json_t *v = json_object_getn(j->vocab, s, n);
    const uint32_t id = v ? (uint32_t)json_integer_value(v) : MAP_NONE;
    return v && j->v->types[id] == VOCAB_NORMAL ? id : MAP_NONE;
}

/* Every way to cut the token into two is a merge that makes it. */
static int check_cuts(const struct job *j, uint32_t id) {
    const struct vocab_text *x = &j->v->tokens[id];
    if (x->n > LONGEST) return refuse(j, "a token is too long", id);
    for (uint32_t k = 1; k < x->n; k++) {
        if (((uint8_t)x->s[k] & 0xc0) == 0x80) continue;
        const uint32_t left = word_id(j, x->s, k);
        const uint32_t right = left == MAP_NONE ? left : word_id(j, x->s + k, x->n - k);
        if (right == MAP_NONE) continue;
        const struct pairmap_slot *s = pairmap_find(&j->b->merger.pairs, pairmap_key(left, right));
        if (!s || s->b != id) return refuse(j, "two tokens do not merge that make a third", id);
    }
    return 0;
}

static uint32_t count_chars(const struct vocab_text *x) {
    uint32_t chars = 0;
    for (uint32_t i = 0; i < x->n; i++) chars += ((uint8_t)x->s[i] & 0xc0) != 0x80;
    return chars;
}

struct merge {
    uint32_t rank, id, left, right; /* left, right: characters */
};

static int by_rank(const void *x, const void *y) {
    const struct merge *a = x, *b = y;
    return (a->rank > b->rank) - (a->rank < b->rank);
}

/* The merges in the order of their ranks; malloc()ed. */
static struct merge *list_merges(const struct job *j, size_t *n) {
    const struct pairmap *pairs = &j->b->merger.pairs;
    struct merge *list = malloc((pairs->n + 1) * sizeof *list);
    *n = 0;
    for (size_t i = 0; list && i <= pairs->mask; i++) {
        const struct pairmap_slot *s = &pairs->slots[i];
        if (s->key == UINT64_MAX) continue;
        list[(*n)++] = (struct merge){s->a, s->b, count_chars(&j->v->tokens[s->key >> 32]),
                                      count_chars(&j->v->tokens[(uint32_t)s->key])};
    }
    if (list) qsort(list, *n, sizeof *list, by_rank);
    return list;
}

/* A class ends where no token has merges on both sides. last: of each token, its last merge. */
static int score_class(const struct job *j, const struct merge *list, size_t n, const size_t *last,
                       size_t *start, float score) {
    size_t end = *start, i = *start;
    for (; i < n && i <= end; i++) {
        if (last[list[i].id] > end) end = last[list[i].id];
        j->v->scores[list[i].id] = score;
    }
    bool mixed = false, falls = true;
    for (size_t k = *start + 1; k < i; k++) {
        const struct merge *a = &list[k - 1], *b = &list[k];
        mixed |= a->id != b->id;
        falls &= a->left > b->left || (a->left == b->left && a->right >= b->right);
    }
    if (mixed && !falls) return refuse(j, "its merges are not those of scores", list[*start].id);
    *start = i;
    return 0;
}

static int put_scores(const struct job *j) {
    size_t n, start = 0;
    int rc = 0;
    struct merge *list = list_merges(j, &n);
    size_t *last = calloc(j->v->n ? j->v->n : 1, sizeof *last);
    float score = 0;
    j->v->scores = calloc(j->v->n ? j->v->n : 1, sizeof *j->v->scores);
    if (!list || !last || !j->v->scores) {
        rc = err_set(j->e, ERR_NOMEM, "no memory for scores");
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        last[list[i].id] = i;
        if (j->v->types[list[i].id] != VOCAB_NORMAL)
            TRY(refuse(j, "merges make what is no ordinary token", list[i].id));
    }
    while (start < n) TRY(score_class(j, list, n, last, &start, -++score));
    for (uint32_t id = 0; id < j->v->n; id++)
        if (j->v->types[id] == VOCAB_NORMAL && j->v->scores[id] == 0) j->v->scores[id] = -score - 1;
out:
    free(list);
    free(last);
    return rc;
}

/* Where pieces start at U+2581 no merge may have it inside. */
static int check_split(const struct job *j, const json_t *merges) {
    const json_t *m;
    size_t i;
    if (!j->b->pretok.n || !j->b->pretok.step[0].split) return 0;
    json_array_foreach(merges, i, m) {
        const char *key[2];
        size_t n[2];
        if (bpe_merge_keys(m, key, n) && n[1] >= 3 && memcmp(key[1], BLANK, 3) == 0)
            return err_set(
                j->e, ERR_INPUT,
                "a GGUF cannot hold this BPE over characters: words are split at blanks, "
                "but merge %zu crosses one",
                i);
    }
    return 0;
}

int bpe_chars_to_vocab(const struct tokenizer *t, const json_t *root, struct vocab *v,
                       struct err *e) {
    int rc;
    const json_t *model = json_object_get(root, "model");
    const struct job j = {t, t->impl, json_object_get(model, "vocab"), v, e};
    v->model = VOCAB_SPM;
    TRY(check_pipeline(&j));
    TRY(check_split(&j, json_object_get(model, "merges")));
    for (int k = 0; k < 256; k++) v->types[j.b->byte_id[k]] = VOCAB_BYTE;
    if (j.b->unk != MAP_NONE) v->types[j.b->unk] = VOCAB_UNKNOWN;
    for (uint32_t id = 0; id < v->n; id++)
        if (v->types[id] == VOCAB_NORMAL) TRY(check_cuts(&j, id));
    TRY(put_scores(&j));
out:
    return rc;
}
