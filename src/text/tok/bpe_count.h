/* Counting words for bpe_train. Internal to src/text/tok. */
#ifndef DUET_BPE_COUNT_H
#define DUET_BPE_COUNT_H

#include "bpe_train.h"
#include "map.h"

/* Longer words are cut into pieces of this many bytes before they are counted, so that text without
 * blanks costs no more than other text. */
#define BPE_WORD_MAX 1024

struct bpe_words {
    struct strmap words; /* in no particular order */
    uint64_t *counts;    /* one for each */
    size_t cap;
};

/* Words of the texts by GPT-2's pattern; specials end a word and are none themselves.
 * Zero-initialise w and release it in any case. */
int bpe_count(struct bpe_words *w, const struct bpe_train_opts *o, const char *const *texts,
              const size_t *bytes, size_t n, struct err *e);
void bpe_words_release(struct bpe_words *w);

#endif
