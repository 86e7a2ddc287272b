/* Tokenizers: bytes <-> token ids. Exact: decode(encode(x)) == x for any bytes that are accepted,
 * but for tokenizers that normalise the text or add a blank to it (tokenizer_is_exact).
 *
 * Kinds are rows of a table (TOKENIZERS below): `tok_x.c` plus one line adds one.
 *   byte  built in; ids 0..255 are bytes, 256 is <|endoftext|>
 *   bpe   byte-level BPE as in GPT-2 (Hugging Face tokenizer.json)
 *   spm   SentencePiece-style BPE with scores and byte fallback (llama2.c's tokenizer.bin); puts a
 *         blank in front of a text and of what follows a special token, which decoding takes away
 *
 * A tokenizer is immutable once open, and may be used by many threads at once. */
#ifndef DUET_TOKENIZER_H
#define DUET_TOKENIZER_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKENIZERS(X) X(byte) X(bpe) X(spm)

struct tokenizer;

/* Growing array of ids; zero-initialise, free(ids). */
struct tok_ids {
    uint32_t *ids;
    size_t n, cap;
};

/* Growing bytes; zero-initialise, free(data). Always NUL-terminated after tokenizer_decode. */
struct tok_bytes {
    char *data;
    size_t n, cap;
};

/* spec: "byte", or the path of a tokenizer.json or a llama2.c tokenizer.bin (recognised by
 * content). Allocates *t. */
int tokenizer_open(struct tokenizer **t, const char *spec, struct err *e);

/* From memory: a blob written by tokenizer_blob(). name is for messages. */
int tokenizer_open_blob(struct tokenizer **t, const void *data, size_t bytes, const char *name,
                        struct err *e);

void tokenizer_close(struct tokenizer *t); /* accepts NULL */

/* The file form that is stored inside checkpoints: the bytes of tokenizer.json (bpe), of
 * tokenizer.bin (spm), or the word "byte". Borrowed; lives as long as t. */
const void *tokenizer_blob(const struct tokenizer *t, size_t *bytes);

const char *tokenizer_kind(const struct tokenizer *t);       /* "byte", "bpe", "spm" */
uint32_t tokenizer_vocab_size(const struct tokenizer *t);    /* ids are below it */
uint64_t tokenizer_hash(const struct tokenizer *t);          /* xxh3 of kind and blob */
int64_t tokenizer_bos(const struct tokenizer *t);            /* id put before a text, or -1 */
int64_t tokenizer_eos(const struct tokenizer *t);            /* id of end of text, or -1 */
/* True if decode(encode(x)) == x for every x that encode accepts: no normaliser, no added blank. */
bool tokenizer_is_exact(const struct tokenizer *t);
/* Id of a token by its exact text (special tokens as written, others as bytes), or -1. */
int64_t tokenizer_find(const struct tokenizer *t, const char *text);

/* Appends the ids of text. specials: recognise special tokens such as <|endoftext|> in the text;
 * else they are ordinary text. bos: put tokenizer_bos first if there is one. Single-threaded. Fails
 * for lack of memory, on a byte that a BPE vocabulary has no token for (SmolLM2 lacks 21: some
 * control characters, and bytes that UTF-8 does not use), and when a pattern of the file gives up
 * on the text. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t bytes, bool specials,
                     bool bos, struct tok_ids *out, struct err *e);

/* The same ids as with specials and without bos, computed by many threads: texts are cut where no
 * token can cross (at ends of text, and for GPT-2's pre-tokenisation at lines). starts (may be
 * NULL): appends for each document the index in out where it starts. A document ends with the eos
 * token, which belongs to it; blanks and line breaks behind the last one start no document. */
int tokenizer_encode_docs(const struct tokenizer *t, const char *text, size_t bytes,
                          struct tok_ids *out, struct tok_ids *starts, struct err *e);

/* Bytes that one token stands for, borrowed; special tokens give their text. prev is the token
 * before it, or -1 at the start of a text (spm drops the first blank there). */
const char *tokenizer_piece(const struct tokenizer *t, int64_t prev, uint32_t id, size_t *bytes);

/* Number of text bytes that the token stands for; 0 for special tokens: the unit of bits per byte.
 * The blank that spm puts in front of a text counts here, see tokenizer_piece. */
uint32_t tokenizer_token_bytes(const struct tokenizer *t, uint32_t id);
bool tokenizer_is_special(const struct tokenizer *t, uint32_t id);

/* Appends the text of ids. Ids out of range are errors. specials: write special tokens as text. */
int tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, size_t n, bool specials,
                     struct tok_bytes *out, struct err *e);

#endif
