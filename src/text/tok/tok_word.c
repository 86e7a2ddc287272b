/* From words to ids: merging pairs, lowest rank first, and remembering the words seen. */
#include "tok.h"

#include <stdlib.h>
#include <string.h>

#define SHORT_WORD 48              /* symbols: merged in place, without a heap */
#define CACHE_BITS 14              /* at most 2^14 slots of 64 bytes: 1 MB, about an L2 cache */
#define CACHE_WORTH ((size_t)4096) /* bytes of text that repay a cache of their size / 32 slots */
#define GONE UINT32_MAX            /* a symbol that was merged into the one before it */

void tok_scratch_init(struct tok_scratch *s, bool specials, const char *origin, size_t n) {
    *s = (struct tok_scratch){.specials = specials, .origin = origin, .origin_n = n};
    if (n < CACHE_WORTH) return;
    int bits = 7;
    while (bits < CACHE_BITS && n >> (bits + 5)) bits++;
    size_t bytes = sizeof *s->cache << bits;
    s->cache_shift = 64 - bits;
    s->cache = aligned_alloc(64, bytes); /* without it: slower */
    if (s->cache) memset(s->cache, 0, bytes);
}

void tok_scratch_release(struct tok_scratch *s) {
    pretok_scratch_release(&s->pretok);
    free(s->cache);
    free(s->norm);
    free(s->prefixed);
    free(s->ids);
    free(s->next);
    free(s->prev);
    free(s->heap);
    *s = (struct tok_scratch){0};
}

int tok_ids_reserve(struct tok_ids *a, size_t n, struct err *e) {
    if (n <= a->cap - a->n) return 0;
    if (n > SIZE_MAX - a->n || grow(&a->ids, &a->cap, a->n + n, sizeof *a->ids))
        return err_set(e, ERR_NOMEM, "no memory for %zu more token ids", n);
    return 0;
}

static inline uint32_t rank_of(const struct tok_merger *m, uint32_t left, uint32_t right,
                               uint32_t *merged) {
    const struct pairmap_slot *s = pairmap_find(&m->pairs, pairmap_key(left, right));
    *merged = s ? s->b : MAP_NONE;
    return s ? s->a : MAP_NONE;
}

/* Merges ids[0..n), n <= SHORT_WORD, in place; returns how many are left. */
static size_t merge_short(const struct tok_merger *m, uint32_t *ids, size_t n) {
    uint32_t rank[SHORT_WORD], merged[SHORT_WORD]; /* of symbols i and i + 1 */
    for (size_t i = 0; i + 1 < n; i++) rank[i] = rank_of(m, ids[i], ids[i + 1], &merged[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == MAP_NONE) break;
        ids[best] = merged[best];
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
        memmove(rank + best, rank + best + 1, (n - best - 1) * sizeof *rank);
        memmove(merged + best, merged + best + 1, (n - best - 1) * sizeof *merged);
        if (best > 0) rank[best - 1] = rank_of(m, ids[best - 1], ids[best], &merged[best - 1]);
        if (best + 1 < n) rank[best] = rank_of(m, ids[best], ids[best + 1], &merged[best]);
    }
    return n;
}

/* A long word: symbols as a linked list, candidates (rank, position) in a binary heap. */
struct list {
    uint32_t *ids, *next, *prev;
    uint32_t n;
    uint64_t *heap;
    size_t heap_n;
};

static void sift_down(struct list *l, size_t i) {
    uint64_t v = l->heap[i];
    for (size_t child; (child = 2 * i + 1) < l->heap_n; i = child) {
        if (child + 1 < l->heap_n && l->heap[child + 1] < l->heap[child]) child++;
        if (l->heap[child] >= v) break;
        l->heap[i] = l->heap[child];
    }
    l->heap[i] = v;
}

static void push(struct list *l, uint64_t v) {
    size_t i = l->heap_n++;
    for (; i > 0 && l->heap[(i - 1) / 2] > v; i = (i - 1) / 2) l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = v;
}

static uint64_t pop(struct list *l) {
    uint64_t top = l->heap[0];
    l->heap[0] = l->heap[--l->heap_n];
    if (l->heap_n) sift_down(l, 0);
    return top;
}

static void propose(const struct tok_merger *m, struct list *l, uint32_t at) {
    uint32_t merged;
    if (l->next[at] == l->n) return;
    uint32_t rank = rank_of(m, l->ids[at], l->ids[l->next[at]], &merged);
    if (rank != MAP_NONE) push(l, (uint64_t)rank << 32 | at);
}

static size_t merge_long(const struct tok_merger *m, struct list *l) {
    for (uint32_t i = 0; i < l->n; i++) {
        l->next[i] = i + 1;
        l->prev[i] = i - 1; /* of symbol 0: unused */
    }
    for (uint32_t i = 0; i + 1 < l->n; i++) propose(m, l, i);
    while (l->heap_n) {
        uint64_t top = pop(l);
        uint32_t at = (uint32_t)top, merged, right = l->next[at];
        /* a candidate is stale if either symbol was merged since it was proposed */
        if (l->ids[at] == GONE || right == l->n) continue;
        if (rank_of(m, l->ids[at], l->ids[right], &merged) != (uint32_t)(top >> 32)) continue;
        l->ids[at] = merged;
        l->ids[right] = GONE;
        l->next[at] = l->next[right];
        if (l->next[at] < l->n) l->prev[l->next[at]] = at;
        propose(m, l, at);
        if (at > 0) propose(m, l, l->prev[at]);
    }
    size_t n = 0;
    for (uint32_t i = 0; i < l->n; i = l->next[i]) l->ids[n++] = l->ids[i];
    return n;
}

static int long_word(const struct tokenizer *t, const struct tok_merger *m, struct tok_scratch *s,
                     const char *word, size_t n, struct tok_ids *out, struct err *e) {
    size_t count;
    if (n >= UINT32_MAX / 2 || grow(&s->ids, &s->ids_cap, n, sizeof *s->ids))
        return err_set(e, ERR_NOMEM, "no memory for a word of %zu bytes", n);
    int rc = m->symbols(t, word, n, s->ids, &count, e);
    if (rc) return rc;
    if (count <= SHORT_WORD) {
        count = merge_short(m, s->ids, count);
    } else {
        /* each merge takes one candidate out and puts at most two in */
        if (grow(&s->next, &s->next_cap, count, sizeof *s->next) ||
            grow(&s->prev, &s->prev_cap, count, sizeof *s->prev) ||
            grow(&s->heap, &s->heap_cap, 2 * count, sizeof *s->heap))
            return err_set(e, ERR_NOMEM, "no memory for a word of %zu bytes", n);
        struct list l = {s->ids, s->next, s->prev, (uint32_t)count, s->heap, 0};
        count = merge_long(m, &l);
    }
    if ((rc = tok_ids_reserve(out, count, e))) return rc;
    memcpy(out->ids + out->n, s->ids, count * sizeof *s->ids);
    out->n += count;
    return 0;
}

static struct tok_slot *cache_slot(const struct tok_scratch *s, const char *word, size_t n,
                                   uint64_t key[4]) {
    memset(key, 0, 32);
    memcpy(key, word, n);
    key[3] |= (uint64_t)n << 56;
    uint64_t h = key[0] * 0x9e3779b97f4a7c15u ^ key[1] * 0xc2b2ae3d27d4eb4fu;
    h ^= key[2] * 0xd6e8feb86659fd93u ^ key[3] * 0xff51afd7ed558ccdu;
    return &s->cache[(h ^ h >> 29) * 0x9e3779b97f4a7c15u >> s->cache_shift];
}

int tok_word(const struct tokenizer *t, const struct tok_merger *m, struct tok_scratch *s,
             const char *word, size_t n, struct tok_ids *out, struct err *e) {
    if (n > SHORT_WORD) return long_word(t, m, s, word, n, out, e);
    int rc = tok_ids_reserve(out, n, e);
    if (rc) return rc;
    uint32_t *ids = out->ids + out->n;
    struct tok_slot *slot = NULL;
    uint64_t key[4];
    if (s->cache && n < sizeof key) {
        slot = cache_slot(s, word, n, key);
        if (slot->n && memcmp(slot->key, key, sizeof key) == 0) {
            for (uint32_t i = 0; i < slot->n; i++) ids[i] = slot->ids[i];
            out->n += slot->n;
            return 0;
        }
    }
    size_t count;
    if ((rc = m->symbols(t, word, n, ids, &count, e))) return rc;
    count = merge_short(m, ids, count);
    out->n += count;
    if (slot && count <= sizeof slot->ids / sizeof *slot->ids) {
        memcpy(slot->key, key, sizeof key);
        memcpy(slot->ids, ids, count * sizeof *ids);
        slot->n = (uint32_t)count;
    }
    return 0;
}
