/* What lies beside a vocabulary in a folder of Hugging Face: tokenizer_config.json,
 * added_tokens.json and special_tokens_map.json list further tokens and say what is the end of a
 * text. Internal to src/text/tok. Used by the readers of vocab.json with merges.txt and of
 * tokenizer.model. */
#ifndef DUET_TOK_SIDES_H
#define DUET_TOK_SIDES_H

#include "tokenizer.h"

#include <jansson.h>

struct sides {
    json_t *config, *added, *map; /* objects, or NULL: there is no such file */
    const char *name;             /* of the folder, for messages */
    struct err *e;
};

/* Parses what is there; release also after a failure. */
int sides_read(struct sides *s, const struct tok_sides *files, const char *name, struct err *e);
void sides_release(struct sides *s);

/* A token that is listed. how: its object in added_tokens_decoder, or NULL. */
struct sides_token {
    const char *file; /* that lists it */
    const char *text;
    int64_t id;
    bool special;
    const json_t *how;
};
/* Calls f for every token of added_tokens_decoder, then of added_tokens.json. */
int sides_each(const struct sides *s, int (*f)(void *ctx, const struct sides_token *t), void *ctx);

/* The text of the token that is "bos", "eos", "unk" or "pad", or NULL. */
const char *sides_named(const struct sides *s, const char *what);

#endif
