/* Token shards: a text, encoded once, as a file that can be mapped.
 *
 *   header     (see docs/formats.md) magic "DUETSHRD", version, token width (2 or 4 bytes), vocab
 *              size, tokenizer hash, counts of tokens, text bytes and documents, offsets of the
 *              sections, xxh3 of each section and of the header
 *   tokens     u16 or u32, little-endian
 *   docs       u64 token index at which each document starts
 *   doc_bytes  u64 text bytes of each document (special tokens count 0)
 *   doc_bits   f64 information of each document in bits, only if the corpus carried it (stories.h)
 *
 * Headerless files of uint16 tokens (the predecessors') are read with SHARD_RAW16: one document, no
 * byte counts. */
#ifndef DUET_SHARD_H
#define DUET_SHARD_H

#include "err.h"
#include "file.h"
#include "pool.h"
#include "tokenizer.h"
#include <stdbool.h>
#include <stdint.h>

struct shard {
    struct file_map map;
    int width;         /* bytes a token: 2 or 4 */
    uint32_t vocab;    /* every token is below it */
    uint64_t tok_hash; /* tokenizer_hash(), or 0 for raw16 */
    uint64_t hash;     /* of the tokens and where documents start: the same for the same data */
    uint64_t n_tokens, n_bytes, n_docs;
    const void *tokens;
    const uint64_t *docs, *doc_bytes; /* n_docs values */
    const double *doc_bits;           /* or NULL */
    uint64_t *owned;                  /* storage of docs for raw16 */
};

enum shard_kind { SHARD_DUET, SHARD_RAW16 };

/* Opens and checks: sizes, offsets, document starts ascending, and with verify the checksums and
 * that every token is below vocab. For raw16 pass the vocabulary size (tokens are checked). */
int shard_open(struct shard *s, const char *path, enum shard_kind kind, uint32_t raw_vocab,
               bool verify, struct pool *pool, struct err *e);
void shard_close(struct shard *s);

/* True if it is a regular file that begins with the magic of a shard, or ends within it. */
bool shard_probe(const char *path);
/* What is wrong with a file that is such a shard, as opening it would say; 0: nothing, or it is
 * none. */
int shard_whole(const char *path, struct err *e);

static inline uint32_t shard_token(const struct shard *s, uint64_t i) {
    return s->width == 2 ? ((const uint16_t *)s->tokens)[i] : ((const uint32_t *)s->tokens)[i];
}

#define SHARD_SEPARATOR "<|endoftext|>"

/* The token that stands before a document in what shard_build makes: start of text, else the one
 * that is put between documents; -1: none. *keeps: white space behind a separator is kept. */
int64_t shard_start(const struct tokenizer *t, bool *keeps);

struct shard_stats {
    uint64_t tokens, bytes, docs, files;
    char note[640]; /* one sentence about what may be no text (textscan.h), or "" */
};

/* Encodes text files (plain, gzip or zstd, found by content; "-" is standard input; a folder is its
 * files, textlist.h) into one shard.
 * Streams: memory does not grow with the text (blocks of 4 MB, cut as in textcut.h; at most 16 MB
 * for a text without a place to cut), only with the number of documents (24 bytes each). The result
 * depends on the text and the tokenizer, not on threads or on how the text is stored.
 *
 * Documents end behind <|endoftext|> and behind the text of the tokenizer's end-of-text token,
 * which belong to them, and at the end of a file; the end-of-text token is put between two files
 * where it is missing, so no document goes over from one file to the next. White space behind the
 * last separator of a file belongs to the document before it. A tokenizer with a start-of-text
 * token begins every document with it. One for which it is also the end, or which has no token
 * <|endoftext|> (llama2.c's), writes no other token between documents (end of text if there is no
 * start of text), and white space around them is dropped: the stream that llama2.c trains on.
 *
 * A stories.h trailer becomes doc_bits (when every file carries one). A file without text is
 * ERR_INPUT. progress may be NULL: gets bytes read, and total bytes or 0 if unknown; it is called
 * before the first byte and while a slow pipe is read. */
int shard_build(const struct tokenizer *t, struct pool *pool, const char *const *files, size_t n,
                const char *out, void (*progress)(void *ctx, uint64_t done, uint64_t total),
                void *ctx, struct shard_stats *stats, struct err *e);

#endif
