/* Byte-level BPE inside src/text: the tokenizer, and the alphabet in which its files write bytes.
 *
 * tok_bpe.c encodes, tok_bpe_load.c reads vocabulary and merges, tok_bpe_pipe.c reads what happens
 * to the text before (normalizer, pre_tokenizer) and after (post_processor, decoder). */
#ifndef DUET_TOK_BPE_H
#define DUET_TOK_BPE_H

#include "tok.h"

#include <jansson.h>

enum bpe_norm { BPE_NORM_NONE, BPE_NORM_NFC, BPE_NORM_NFKC };

struct bpe {
    struct tok_merger merger;
    struct pretok pretok;
    enum bpe_norm norm;
    bool ignore_merges;    /* a word that is a token is that token, whatever the merges say */
    uint32_t byte_id[256]; /* MAP_NONE: the vocabulary lacks that byte */
};

/* GPT-2 writes each byte as one printable character: itself if it is one of ! to ~, 0xA1 to 0xAC,
 * 0xAE to 0xFF, else U+0100, U+0101, ... in turn. */
#define BPE_ALPHABET 324 /* characters are below this */
uint32_t bpe_byte_char(uint8_t byte);
/* The byte written as cp, or -1. */
int bpe_char_byte(uint32_t cp);
/* The n-th byte in the order of GPT-2's vocabulary: printable ones first. n < 256. */
uint8_t bpe_byte_order(int n);

/* Reading JSON with errors that name the file and the key. where: the key from the root, such as
 * "pre_tokenizer.pretokenizers[1]". */
struct bpe_json {
    const char *name; /* of the file */
    struct err *e;
};
static inline bool bpe_null(const json_t *v) { /* missing or null */
    return !v || json_is_null(v);
}
int bpe_json_fail(const struct bpe_json *j, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Fails on keys of the object that are not among the blank-separated words of keys. */
int bpe_json_keys(const struct bpe_json *j, const char *where, const json_t *object,
                  const char *keys);
/* A boolean; missing and null: the default. */
int bpe_json_bool(const struct bpe_json *j, const char *where, const json_t *object,
                  const char *key, bool def, bool *value);
/* A string that must be there. */
int bpe_json_string(const struct bpe_json *j, const char *where, const json_t *object,
                    const char *key, const char **value);

/* normalizer, pre_tokenizer, post_processor and decoder of the root, into b, t->bos, t->exact. The
 * table of tokens must be complete. */
int bpe_load_pipeline(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                      const json_t *root);

/* The whole file. */
int bpe_load(struct tokenizer *t, const char *name, struct err *e);

/* tok_kind.to_vocab and to_json (tok_bpe_vocab.c). */
int bpe_to_vocab(const struct tokenizer *t, struct vocab *v, struct err *e);
int bpe_to_json(const struct tokenizer *t, struct tok_bytes *out, struct err *e);

/* merger.symbols of this kind. */
int bpe_symbols(const struct tokenizer *t, const char *word, size_t n, uint32_t *ids, size_t *count,
                struct err *e);

#endif
