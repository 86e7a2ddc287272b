/* Training a byte-level BPE vocabulary (GPT-2 pre-tokenisation, Unicode classes).
 *
 * Words are counted once over the corpus; then the most frequent adjacent pair is merged until the
 * vocabulary is full. Pair counts are kept up to date incrementally, so a merge costs only the
 * words that hold the pair. Ties go to the pair with the smaller ids: the result depends on the
 * text only, not on threads or hashing. Ids: specials, the 256 bytes in GPT-2's order, merges.
 * Specials end words and are never made by merging. Words of more than 1024 bytes are counted in
 * pieces of that size.
 *
 * Source: Sennrich et al. 2016, arXiv 1508.07909; Radford et al. 2019 (byte level). */
#ifndef DUET_BPE_TRAIN_H
#define DUET_BPE_TRAIN_H

#include "err.h"
#include "pool.h"
#include <stddef.h>
#include <stdint.h>

struct bpe_train_opts {
    uint32_t vocab;              /* up to 1,000,000: specials + 256 bytes + merges */
    const char *const *specials; /* texts of special tokens, ids from 0 on */
    size_t n_specials;
    uint32_t min_count; /* pairs rarer than this are not merged (then the vocabulary is smaller) */
    struct pool *pool; /* that counts words; NULL: one thread */
    /* Called now and then; may be NULL. */
    void (*progress)(void *ctx, uint32_t merges_done, uint32_t merges_total);
    void *ctx;
};

/* texts: n buffers. *json: the tokenizer.json, malloc()ed and NUL-terminated; *vocab: its size. */
int bpe_train(const struct bpe_train_opts *o, const char *const *texts, const size_t *bytes,
              size_t n, char **json, uint32_t *vocab, struct err *e);

#endif
