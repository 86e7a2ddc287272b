/* What the tests of tokenizers share: random texts, tokenizers made in memory. */
#ifndef DUET_TOK_UTIL_H
#define DUET_TOK_UTIL_H

#include "rng.h"
#include "tokenizer.h"

/* A whole file, NUL-terminated, malloc()ed. */
char *read_all(const char *path, size_t *bytes);

enum text_flavour { TEXT_BYTES, TEXT_WORDS, TEXT_HARD };
/* Fills text[0..n): any bytes; words of a few letters; or what pre-tokenisers get wrong (runs of
 * blanks, CRLF, apostrophes, digits of many scripts, invalid UTF-8). */
void random_text(struct rng *r, enum text_flavour flavour, char *text, size_t n);

/* GPT-2's alphabet of bytes, and the order of its vocabulary: written down a second time here. */
void byte_key(int byte, char out[3]);
int byte_order(int n);

/* A tokenizer.json with the 256 bytes (ids 0..255 in GPT-2's order), small_merges (ids 256..) and
 * <|endoftext|> as the last id. pre, norm, post: JSON, NULL: plain ByteLevel, null, null. extra:
 * more added tokens as JSON objects, each after a comma, or NULL. malloc()ed. */
char *small_json(const char *norm, const char *pre, const char *post, const char *extra);

#define SMALL_MERGES 17
extern const char *const small_merges[SMALL_MERGES][2];

/* A llama2.c tokenizer.bin with letters, some words and scores with ties; its longest token is the
 * last one. malloc()ed. */
char *small_bin(size_t *bytes);

struct tokenizer *open_text(const char *json); /* must succeed */

/* Of a vocabulary. Also checked: it is in everything what the file is that the vocabulary becomes,
 * and makes that file. */
struct tokenizer *open_vocab(const struct vocab *v);

/* decode(encode(text)) == text. */
void check_round_trip(const struct tokenizer *t, const char *text, size_t n);

/* The ids of text must be these. */
void check_ids(const struct tokenizer *t, const char *text, size_t n, const uint32_t *ids,
               size_t k);

#endif
