#include "batch.h"
#include "rng.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

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

/* The document, 1 .. n_docs - 1, whose start is nearest to a token; the earlier one in a tie. */
static uint64_t nearest_doc(const struct shard *s, uint64_t token) {
    uint64_t lo = 1, hi = s->n_docs - 1;
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
                   " needs at least %" PRIu64 "%s; --val-fraction sets the share of validation",
                   name, part, n, s->n_tokens, T, need, hint);
}

int split_make(const struct shard *s, const char *name, double val_fraction, int64_t T,
               struct split *train, struct split *val, struct err *e) {
    assert(val_fraction >= 0 && val_fraction < 1 && T > 0);
    uint64_t n = s->n_tokens;
    uint64_t cut = (uint64_t)((1 - val_fraction) * (double)n);
    if (cut > n || val_fraction == 0) cut = n;
    *train = (struct split){0, n, 0, -1};
    *val = (struct split){n, n, 0, -1};
    if (val_fraction == 0) {
        sum_docs(s, 0, s->n_docs, train);
    } else {
        uint64_t d = s->n_docs == 1 ? 1 : nearest_doc(s, cut);
        const uint64_t at = d < s->n_docs ? s->docs[d] : cut, need = (uint64_t)T + 1;
        const bool whole = d < s->n_docs && at >= need && n - at >= need;
        train->end = val->begin = whole ? at : cut;
        if (whole) {
            sum_docs(s, 0, d, train);
            sum_docs(s, d, s->n_docs, val);
        }
    }
    int rc = check_split(s, name, val_fraction > 0 ? "training" : NULL, train, T, e);
    if (!rc && val_fraction > 0) rc = check_split(s, name, "validation", val, T, e);
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
