/* Parts of tokenizer_hash. Internal to src/text/tok. */
#ifndef DUET_TOK_HASH_H
#define DUET_TOK_HASH_H

#include "tok.h"

#include <xxhash.h>

struct tok_hash {
    XXH3_state_t *state;
};

void tok_hash_number(struct tok_hash *h, uint64_t v);
void tok_hash_text(struct tok_hash *h, const char *s, size_t n); /* with its length */

#endif
