#include "batch.h"
#include "rng.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Splits -------------------------------------------------------------------------------------- */

/* Sums over documents [first, last). */
static void sum_docs(const struct shard *s, uint64_t first, uint64_t last, struct split *part) {
    part->bytes = 0;
    part->bits = s->doc_bits ? 0 : -1;
    for (uint64_t i = first; i < last; i++) {
        part->bytes += s->doc_bytes[i];
        if (s->doc_bits) part->bits += s->doc_bits[i];
    }
}

/* The document, 1 .. n_docs - 1 of them, whose start is nearest to a token; the earlier one in a
 * tie. */
static uint64_t nearest_doc(const struct shard *s, uint64_t n_docs, uint64_t token) {
    uint64_t lo = 1, hi = n_docs - 1;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (s->docs[mid] < token)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo > 1 && s->docs[lo] >= token && token - s->docs[lo - 1] <= s->docs[lo] - token) lo--;
    return lo;
}

/* part: which it is; NULL: p is all of the data. */
static int check_split(const struct shard *s, const char *name, const char *part,
                       const struct split *p, int64_t T, struct err *e) {
    const uint64_t n = p->end - p->begin, need = (uint64_t)T + 1;
    const bool test = part && !strcmp(part, "test");
    char hint[64] = "";
    if (n >= need) return 0;
    if (n > 1) snprintf(hint, sizeof hint, " (--seq %" PRIu64 " is possible)", n - 1);
    if (!part)
        return err_set(e, ERR_INPUT,
                       "%s has %" PRIu64 " tokens, a window of %" PRId64
                       " needs at least %" PRIu64 "%s",
                       name, n, T, need, hint);
    return err_set(e, ERR_INPUT,
                   "%s: the %s split has %" PRIu64 " of %" PRIu64 " tokens, a window of %" PRId64
                   " needs at least %" PRIu64 "%s; --%s-fraction sets the share of %s",
                   name, part, n, s->n_tokens, T, need, hint, test ? "test" : "val",
                   test ? "the test" : "validation");
}

/* Where a part ends and the next begins. */
struct cut {
    uint64_t at, doc; /* token; if whole the document that begins there */
    bool whole;       /* no document is cut in two */
};

/* The cut nearest to token `want` of what lies before `end`. */
static struct cut find_cut(const struct shard *s, const struct cut *end, uint64_t want, int64_t T) {
    uint64_t docs = end->doc; /* that begin before `end` */
    const uint64_t need = (uint64_t)T + 1;
    if (!end->whole)
        for (docs = s->n_docs; docs && s->docs[docs - 1] >= end->at;) docs--;
    if (docs > 1) {
        const uint64_t d = nearest_doc(s, docs, want), at = s->docs[d];
        if (at >= need && end->at - at >= need)
            return (struct cut){.at = at, .doc = d, .whole = true};
    }
    return (struct cut){.at = want < end->at ? want : end->at};
}

/* Of whole documents with their sums. */
static struct split part_of(const struct shard *s, const struct cut *from, const struct cut *to) {
    struct split p = {from->at, to->at, 0, -1};
    if (from->whole && to->whole && from->at < to->at) sum_docs(s, from->doc, to->doc, &p);
    return p;
}

int splits_make(const struct shard *s, const char *name, double val_fraction, double test_fraction,
                int64_t T, struct splits *p, struct err *e) {
    assert(val_fraction >= 0 && test_fraction >= 0 && val_fraction + test_fraction < 1 && T > 0);
    const uint64_t n = s->n_tokens;
    const bool alone = val_fraction == 0 && test_fraction == 0;
    /* Of what lies before the test, wherever a document put its beginning. */
    const double rest = (1 - test_fraction - val_fraction) / (1 - test_fraction);
    const struct cut begin = {.whole = true}, end = {.at = n, .doc = s->n_docs, .whole = true};
    struct cut test = end, val;
    if (test_fraction > 0)
        test = find_cut(s, &end, (uint64_t)((1 - test_fraction) * (double)n), T);
    val = test;
    if (val_fraction > 0)
        val = find_cut(s, &test, (uint64_t)(rest * (double)test.at), T);
    *p = (struct splits){.train = part_of(s, &begin, &val),
                         .val = part_of(s, &val, &test),
                         .test = part_of(s, &test, &end)};
    int rc = check_split(s, name, alone ? NULL : "training", &p->train, T, e);
    if (!rc && val_fraction > 0) rc = check_split(s, name, "validation", &p->val, T, e);
    if (!rc && test_fraction > 0) rc = check_split(s, name, "test", &p->test, T, e);
    return rc;
}

int split_make(const struct shard *s, const char *name, double val_fraction, int64_t T,
               struct split *train, struct split *val, struct err *e) {
    struct splits p;
    const int rc = splits_make(s, name, val_fraction, 0, T, &p, e);
    *train = p.train;
    *val = p.val;
    return rc;
}

/* Windows ------------------------------------------------------------------------------------- */

static uint64_t n_windows(const struct split *p, int64_t T) {
    uint64_t n = p->end - p->begin;
    return n ? (n - 1) / (uint64_t)T : 0;
}

static void copy_window(const struct shard *s, uint64_t at, int64_t T, uint32_t *input,
                        uint32_t *target) {
    assert(at + (uint64_t)T < s->n_tokens);
    uint32_t next = shard_token(s, at);
    for (int64_t i = 0; i < T; i++) {
        input[i] = next;
        next = shard_token(s, at + (uint64_t)i + 1);
        target[i] = next;
    }
}

/* The order of an epoch: a permutation of [0, n) that is computed, not stored. A Feistel network
 * (Luby and Rackoff 1988) permutes the smallest even number of bits that holds n; walking its cycle
 * until the value is below n restricts that to a permutation of [0, n) (Black and Rogaway 2002,
 * "Ciphers with arbitrary finite domains"). At most 4n values are permuted, so a walk takes less
 * than 4 steps on average. */
enum { FEISTEL_ROUNDS = 8 };

static uint64_t permute(uint64_t x, uint64_t n, uint64_t seed, uint64_t epoch) {
    assert(x < n);
    struct rng r = rng_make(seed, RNG_SHUFFLE, epoch, 0, 0);
    uint64_t key[FEISTEL_ROUNDS];
    for (int i = 0; i < FEISTEL_ROUNDS; i++) key[i] = rng_next(&r);
    int half = 1;
    while (half < 32 && (n - 1) >> (2 * half)) half++;
    uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (int i = 0; i < FEISTEL_ROUNDS; i++) {
            uint64_t mix = right ^ key[i], old = left;
            left = right;
            right = old ^ (rng_splitmix(&mix) & mask);
        }
        x = left << half | right;
    } while (x >= n);
    return x;
}

uint64_t batch_epoch_rows(const struct batcher *b) {
    return n_windows(&b->split, b->T);
}

void batch_row(const struct batcher *b, uint64_t index, uint32_t *input, uint32_t *target) {
    uint64_t at = b->split.begin;
    if (b->order == BATCH_RANDOM) {
        struct rng r = rng_make(b->seed, RNG_BATCH, index, 0, 0);
        at += rng_below(&r, b->split.end - b->split.begin - (uint64_t)b->T);
    } else {
        uint64_t n = batch_epoch_rows(b);
        at += permute(index % n, n, b->seed, index / n) * (uint64_t)b->T;
    }
    copy_window(b->shard, at, b->T, input, target);
}

uint64_t val_rows(const struct split *v, int64_t T, uint64_t n_max) {
    uint64_t n = n_windows(v, T);
    return n_max && n_max < n ? n_max : n;
}

void val_row(const struct shard *s, const struct split *v, int64_t T, uint64_t n, uint64_t i,
             uint32_t *input, uint32_t *target) {
    uint64_t all = n_windows(v, T);
    assert(i < n && n <= all);
    uint64_t window = i * (all / n) + i * (all % n) / n; /* i * all / n without overflow */
    copy_window(s, v->begin + window * (uint64_t)T, T, input, target);
}
