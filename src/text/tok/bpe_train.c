#include "bpe_train.h"

#include "bpe_count.h"
#include "tok_bpe.h"
#include "unicode.h"

#include <stdlib.h>
#include <string.h>

#define VOCAB_MAX 1000000

/* A pair of adjacent symbols. */
struct pair {
    uint64_t key, count; /* count: occurrences in the corpus */
    uint32_t *words;     /* words it is or was in, ascending within one merge */
    size_t n, cap;
    uint32_t stamp; /* last merge that raised the count */
};

struct candidate {
    uint64_t count, key;
};

struct trainer {
    const struct bpe_train_opts *o;
    struct bpe_words words;
    uint32_t *symbols;    /* of all words, one after another */
    size_t *start;        /* of each word in symbols */
    uint32_t *len;        /* symbols of each word; shrinks */
    struct pairmap index; /* key -> a: number of the pair */
    struct pair *pairs;
    size_t n_pairs, pairs_cap;
    struct candidate *heap; /* the most frequent first; stale ones are dropped when they come up */
    size_t heap_n, heap_cap;
    uint32_t *raised; /* pairs whose count this merge raised */
    size_t raised_n, raised_cap;
    struct strmap keys; /* id -> key in model.vocab; ids are given in order */
    json_t *vocab, *merges;
    uint32_t step;
};

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory to train a tokenizer");
}

/* True if x comes out before y: more frequent, then smaller ids. */
static bool before(const struct candidate *x, const struct candidate *y) {
    return x->count != y->count ? x->count > y->count : x->key < y->key;
}

static int heap_push(struct trainer *t, struct candidate c) {
    if (grow(&t->heap, &t->heap_cap, t->heap_n + 1, sizeof *t->heap)) return -1;
    size_t i = t->heap_n++;
    for (; i > 0 && before(&c, &t->heap[(i - 1) / 2]); i = (i - 1) / 2)
        t->heap[i] = t->heap[(i - 1) / 2];
    t->heap[i] = c;
    return 0;
}

static struct candidate heap_pop(struct trainer *t) {
    struct candidate top = t->heap[0], last = t->heap[--t->heap_n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < t->heap_n; i = child) {
        if (child + 1 < t->heap_n && before(&t->heap[child + 1], &t->heap[child])) child++;
        if (!before(&t->heap[child], &last)) break;
        t->heap[i] = t->heap[child];
    }
    t->heap[i] = last;
    return top;
}

/* count more occurrences of (left, right) in a word. */
static int count_up(struct trainer *t, uint32_t left, uint32_t right, uint32_t word,
                    uint64_t count) {
    uint64_t key = pairmap_key(left, right);
    struct pairmap_slot *s = pairmap_put(&t->index, key);
    if (!s) return -1;
    if (s->a == MAP_NONE) {
        if (grow(&t->pairs, &t->pairs_cap, t->n_pairs + 1, sizeof *t->pairs)) return -1;
        t->pairs[t->n_pairs] = (struct pair){.key = key, .stamp = MAP_NONE};
        s->a = (uint32_t)t->n_pairs++;
    }
    struct pair *p = &t->pairs[s->a];
    p->count += count;
    if (p->stamp != t->step) {
        if (grow(&t->raised, &t->raised_cap, t->raised_n + 1, sizeof *t->raised)) return -1;
        t->raised[t->raised_n++] = s->a;
        p->stamp = t->step;
    }
    if (p->n && p->words[p->n - 1] == word) return 0;
    if (grow(&p->words, &p->cap, p->n + 1, sizeof *p->words)) return -1;
    p->words[p->n++] = word;
    return 0;
}

static void count_down(struct trainer *t, uint32_t left, uint32_t right, uint64_t count) {
    t->pairs[pairmap_find(&t->index, pairmap_key(left, right))->a].count -= count;
}

/* Candidates for the pairs whose count has risen; those that fell are put right when they
 * come up. */
static int push_raised(struct trainer *t) {
    for (size_t i = 0; i < t->raised_n; i++) {
        const struct pair *p = &t->pairs[t->raised[i]];
        if (p->count && heap_push(t, (struct candidate){p->count, p->key})) return -1;
    }
    t->raised_n = 0;
    return 0;
}

/* Replaces left right by merged everywhere in a word and corrects the counts around it. */
static int merge_word(struct trainer *t, uint32_t word, uint32_t left, uint32_t right,
                      uint32_t merged) {
    uint32_t *s = t->symbols + t->start[word], n = t->len[word], out = 0;
    uint64_t count = t->words.counts[word];
    for (uint32_t i = 0; i < n; out++) {
        if (i + 1 == n || s[i] != left || s[i + 1] != right) {
            s[out] = s[i++];
            continue;
        }
        if (out > 0) {
            count_down(t, s[out - 1], left, count);
            if (count_up(t, s[out - 1], merged, word, count)) return -1;
        }
        if (i + 2 < n) {
            count_down(t, right, s[i + 2], count);
            if (count_up(t, merged, s[i + 2], word, count)) return -1;
        }
        s[out] = merged;
        i += 2;
    }
    t->len[word] = out;
    return 0;
}

/* Adds the next id; *id is an older one if that has the same key. */
static int add_token(struct trainer *t, const char *key, size_t n, uint32_t *id) {
    size_t before_n = t->keys.n;
    *id = strmap_add(&t->keys, key, n);
    if (*id == MAP_NONE) return -1;
    return t->keys.n > before_n ? json_object_setn_new(t->vocab, key, n, json_integer(*id)) : 0;
}

/* Joins the keys of a pair: with a blank between (a merge) or without (a token). malloc()ed. */
static char *join_keys(const struct trainer *t, uint32_t left, uint32_t right, const char *between,
                       size_t *n) {
    size_t nl, nr, nb = strlen(between);
    const char *l = strmap_get(&t->keys, left, &nl), *r = strmap_get(&t->keys, right, &nr);
    char *s = malloc(nl + nb + nr + 1);
    if (!s) return NULL;
    memcpy(s, l, nl);
    memcpy(s + nl, between, nb);
    memcpy(s + nl + nb, r, nr);
    s[ *n = nl + nb + nr] = '\0';
    return s;
}

/* Makes pair p a token and merges it everywhere. A pair that would spell a special is skipped. */
static int merge_pair(struct trainer *t, size_t p) {
    uint32_t left = (uint32_t)(t->pairs[p].key >> 32), right = (uint32_t)t->pairs[p].key, id;
    size_t n, merge_n;
    char *key = join_keys(t, left, right, "", &n),
         *merge = join_keys(t, left, right, " ", &merge_n);
    uint32_t known = key ? strmap_find(&t->keys, key, n) : MAP_NONE;
    int rc = !key || !merge ? -1 : 0;
    if (rc == 0 && (known == MAP_NONE || known >= t->o->n_specials)) {
        rc = add_token(t, key, n, &id) ||
             json_array_append_new(t->merges, json_stringn(merge, merge_n));
        /* count_up() moves t->pairs, but never adds to this one: the whole is longer than a part */
        for (size_t i = 0; rc == 0 && i < t->pairs[p].n; i++)
            rc = merge_word(t, t->pairs[p].words[i], left, right, id);
    }
    free(key);
    free(merge);
    t->pairs[p].count = 0;
    free(t->pairs[p].words);
    t->pairs[p].words = NULL;
    t->pairs[p].n = t->pairs[p].cap = 0;
    return rc;
}

static int merge_all(struct trainer *t, struct err *e) {
    const struct bpe_train_opts *o = t->o;
    uint32_t first = (uint32_t)t->keys.n, total = o->vocab - first;
    uint64_t least = o->min_count ? o->min_count : 1;
    while (t->keys.n < o->vocab && t->heap_n) {
        struct candidate c = heap_pop(t);
        size_t p = pairmap_find(&t->index, c.key)->a;
        if (c.count < least) break;
        if (t->pairs[p].count != c.count) { /* it fell since, or came up before with more */
            if (t->pairs[p].count && t->pairs[p].count < c.count &&
                heap_push(t, (struct candidate){t->pairs[p].count, c.key}))
                return no_memory(e);
            continue;
        }
        t->step++;
        if (merge_pair(t, p) || push_raised(t)) return no_memory(e);
        if (o->progress && t->step % 64 == 0)
            o->progress(o->ctx, (uint32_t)t->keys.n - first, total);
    }
    if (o->progress) o->progress(o->ctx, (uint32_t)t->keys.n - first, total);
    return 0;
}

/* Ids of specials and bytes. */
static int first_tokens(struct trainer *t, struct err *e) {
    const struct bpe_train_opts *o = t->o;
    uint32_t id;
    if (o->vocab > VOCAB_MAX || o->n_specials > VOCAB_MAX || o->vocab < o->n_specials + 256)
        return err_set(
            e, ERR_USAGE,
            "vocabulary of %u tokens; expected %zu (256 bytes and %zu special tokens) to "
            "%d",
            o->vocab, o->n_specials + 256, o->n_specials, VOCAB_MAX);
    for (size_t i = 0; i < o->n_specials; i++) {
        const char *s = o->specials[i];
        size_t n = strlen(s), len;
        uint32_t cp = 0;
        for (size_t k = 0; k < n; k += len)
            if (!(len = utf8_read(s + k, n - k, &cp)))
                return err_set(e, ERR_USAGE, "special token %zu is not UTF-8", i);
        if (n == 0) return err_set(e, ERR_USAGE, "special token %zu is empty", i);
        if (utf8_read(s, n, &cp) == n && bpe_char_byte(cp) >= 0)
            return err_set(e, ERR_USAGE,
                           "special token \"%s\" is a single character, which is the "
                           "token of a byte",
                           s);
        if (add_token(t, s, n, &id)) return no_memory(e);
        if (id != i) return err_set(e, ERR_USAGE, "special token \"%s\" is given twice", s);
    }
    for (int i = 0; i < 256; i++) {
        char key[4];
        size_t n = utf8_write(bpe_byte_char(bpe_byte_order(i)), key);
        if (add_token(t, key, n, &id)) return no_memory(e);
    }
    return 0;
}

/* Words as symbols, and the count of every pair. */
static int first_pairs(struct trainer *t, struct err *e) {
    const struct strmap *w = &t->words.words;
    uint32_t id[256];
    for (int i = 0; i < 256; i++) id[bpe_byte_order(i)] = (uint32_t)(t->o->n_specials + (size_t)i);
    t->symbols = malloc((w->pool_n + 1) * sizeof *t->symbols);
    t->start = malloc((w->n + 1) * sizeof *t->start);
    t->len = malloc((w->n + 1) * sizeof *t->len);
    if (!t->symbols || !t->start || !t->len || pairmap_reserve(&t->index, 1)) return no_memory(e);
    size_t at = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        size_t n;
        const char *s = strmap_get(w, i, &n);
        t->start[i] = at;
        t->len[i] = (uint32_t)n;
        for (size_t k = 0; k < n; k++) t->symbols[at + k] = id[(uint8_t)s[k]];
        for (size_t k = 0; k + 1 < n; k++)
            if (count_up(t, t->symbols[at + k], t->symbols[at + k + 1], i, t->words.counts[i]))
                return no_memory(e);
        at += n;
    }
    return push_raised(t) ? no_memory(e) : 0;
}

/* The tokenizer.json around vocabulary and merges; takes neither over. */
static int to_json(const struct trainer *t, char **json, struct err *e) {
    json_t *added = json_array();
    for (size_t i = 0; i < t->o->n_specials; i++)
        json_array_append_new(added,
                              json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)i,
                                        "content", t->o->specials[i], "single_word", 0, "lstrip", 0,
                                        "rstrip", 0, "normalized", 0, "special", 1));
    const char *level = "{s:s, s:b, s:b, s:b}";
    json_t *before_model = json_pack(level, "type", "ByteLevel", "add_prefix_space", 0,
                                     "trim_offsets", 1, "use_regex", 1);
    json_t *decoder = json_pack(level, "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets",
                                1, "use_regex", 1);
    json_t *model =
        json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:O, s:O}", "type", "BPE", "dropout",
                  "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                  "byte_fallback", 0, "ignore_merges", 0, "vocab", t->vocab, "merges", t->merges);
    json_t *root =
        json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:n, s:o, s:o}", "version", "1.0", "truncation",
                  "padding", "added_tokens", added, "normalizer", "pre_tokenizer", before_model,
                  "post_processor", "decoder", decoder, "model", model);
    *json = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    return *json ? 0 : no_memory(e);
}

static void trainer_release(struct trainer *t) {
    bpe_words_release(&t->words);
    for (size_t i = 0; i < t->n_pairs; i++) free(t->pairs[i].words);
    free(t->pairs);
    free(t->symbols);
    free(t->start);
    free(t->len);
    free(t->heap);
    free(t->raised);
    pairmap_release(&t->index);
    strmap_release(&t->keys);
    json_decref(t->vocab);
    json_decref(t->merges);
}

int bpe_train(const struct bpe_train_opts *o, const char *const *texts, const size_t *bytes,
              size_t n, char **json, uint32_t *vocab, struct err *e) {
    struct trainer t = {.o = o, .vocab = json_object(), .merges = json_array()};
    int rc = 0;
    *json = NULL;
    *vocab = 0;
    if (!t.vocab || !t.merges) rc = no_memory(e);
    if (rc) goto out;
    TRY(first_tokens(&t, e));
    TRY(bpe_count(&t.words, o, texts, bytes, n, e));
    TRY(first_pairs(&t, e));
    TRY(merge_all(&t, e));
    TRY(to_json(&t, json, e));
    *vocab = (uint32_t)t.keys.n;
out:
    trainer_release(&t);
    return rc;
}
