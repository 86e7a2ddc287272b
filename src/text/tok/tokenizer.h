/* Tokenizers: bytes <-> token ids. Exact: decode(encode(x)) == x for any bytes that are accepted,
 * but for tokenizers that normalise the text or add a blank to it (tokenizer_is_exact).
 *
 * Kinds are rows of a table (TOKENIZERS below): `tok_x.c` plus one line adds one.
 *   byte  built in; ids 0..255 are bytes, 256 is <|endoftext|>
 *   bpe   BPE of a Hugging Face tokenizer.json: byte-level as in GPT-2, or over characters with
 *         byte fallback as in Llama 2
 *   spm   SentencePiece-style BPE with scores and byte fallback (tokenizer.model, llama2.c's
 *         tokenizer.bin); puts a blank in front of a text and of what follows a special token,
 *         which decoding takes away
 *
 * A tokenizer is immutable once open, and may be used by many threads at once. */
#ifndef DUET_TOKENIZER_H
#define DUET_TOKENIZER_H

#include "err.h"
#include "pool.h"
#include "vocab.h"
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

/* spec: "byte"; the path of a tokenizer.json, a SentencePiece tokenizer.model or a llama2.c
 * tokenizer.bin (recognised by content); or a folder that has one of these or vocab.json and
 * merges.txt (GPT-2's own names encoder.json and vocab.bpe too). Allocates *t. */
int tokenizer_open(struct tokenizer **t, const char *spec, struct err *e);

/* The pair vocab.json (or encoder.json) and merges.txt (or vocab.bpe) of a folder, which do not say
 * how text is cut. pre: as in struct tok_merges. */
int tokenizer_open_merges(struct tokenizer **t, const char *dir, const char *pre, struct err *e);

/* From memory: a blob written by tokenizer_blob(). name is for messages. */
int tokenizer_open_blob(struct tokenizer **t, const void *data, size_t bytes, const char *name,
                        struct err *e);

/* What a model has of a tokenizer of its own before anybody opens it: a blob or a vocabulary; all
 * zeros: nothing. Borrowed. */
struct tok_own {
    const void *blob;
    size_t bytes;
    const struct vocab *vocab;
    const char *problem; /* why there is neither though the file has one, or NULL */
};
/* *t becomes NULL if there is nothing. */
int tokenizer_open_own(struct tokenizer **t, const struct tok_own *own, const char *name,
                       struct err *e);

void tokenizer_close(struct tokenizer *t); /* accepts NULL */

/* From the vocabulary of a GGUF, which is copied. No file is made in between: tokenizer_blob makes
 * it when it is asked for. ERR_INPUT: a pre-tokenizer that is not known, tokens or merges that do
 * not fit together. */
int tokenizer_from_vocab(struct tokenizer **t, const struct vocab *v, const char *name,
                         struct err *e);

/* A blob from what other files hold of a tokenizer; *blob is malloc()ed. The vocabulary of a GGUF
 * becomes a tokenizer.json (VOCAB_BPE), a tokenizer.model (VOCAB_SPM) or the word "byte". ERR_INPUT
 * as above, but for what is only seen when it is opened. */
int tokenizer_blob_from_vocab(const struct vocab *v, const char *name, void **blob, size_t *bytes,
                              struct err *e);
/* A file's text, borrowed; NULL: there is none. */
struct tok_text {
    const char *s;
    size_t n;
};
/* What may lie beside a vocabulary: tokenizer_config.json, added_tokens.json,
 * special_tokens_map.json. */
struct tok_sides {
    struct tok_text config, added, map;
};
/* A tokenizer.model with the tokens and the end of text that the files beside it name. *blob NULL:
 * they change nothing, or data is no tokenizer.model. */
int tokenizer_blob_from_model(const void *data, size_t bytes, const struct tok_sides *files,
                              const char *name, void **blob, size_t *n, struct err *e);

/* The files of GPT-2's kind. */
struct tok_merges {
    struct tok_text vocab, merges; /* vocab.json, merges.txt */
    struct tok_sides sides;
    const char *pre; /* name of the pre-tokenizer: "gpt-2", "smollm", "llama-bpe", "qwen2" (GGUF's
                      * tokenizer.ggml.pre); NULL: that of the config's tokenizer_class, "gpt-2" if
                      * it says nothing */
};
/* They become a tokenizer.json. Tokens that config (added_tokens_decoder) or added list join it. */
int tokenizer_blob_from_merges(const struct tok_merges *m, const char *name, void **blob,
                               size_t *bytes, struct err *e);

/* The other way. ERR_INPUT: the form cannot hold this tokenizer; the message says why.
 * tokenizer_to_vocab leaves v->bos, eos, unk and pad -1 where the tokenizer has none, and texts may
 * point into t. tokenizer_to_json: a Hugging Face tokenizer.json. tokenizer_to_bin: llama2.c's
 * tokenizer.bin. */
int tokenizer_to_vocab(const struct tokenizer *t, struct vocab *v, struct err *e);
int tokenizer_to_json(const struct tokenizer *t, struct tok_bytes *out, struct err *e);
int tokenizer_to_bin(const struct tokenizer *t, struct tok_bytes *out, struct err *e);

/* The file form that is stored inside checkpoints: the bytes of tokenizer.json (bpe), of
 * tokenizer.model or tokenizer.bin (spm), or the word "byte". Borrowed; lives as long as t. Made
 * now, once, of a tokenizer from a vocabulary; NULL: no memory for that. */
const void *tokenizer_blob(const struct tokenizer *t, size_t *bytes);

const char *tokenizer_kind(const struct tokenizer *t);       /* "byte", "bpe", "spm" */
uint32_t tokenizer_vocab_size(const struct tokenizer *t);    /* ids are below it */
/* The number that a tokenizer is known by (tok_hash.c): it depends on what the tokenizer computes,
 * not on the file that says so. Computed when first asked for. */
uint64_t tokenizer_hash(const struct tokenizer *t);
/* True if a file was made by this tokenizer: hash is tokenizer_hash or, in files that duet made
 * before, the xxh3 of kind and blob. */
bool tokenizer_is(const struct tokenizer *t, uint64_t hash);
/* ERR_INPUT if a tokenizer of so many tokens is too large for a model with a vocabulary of rows. */
int tokenizer_check_size(uint32_t tokens, int64_t rows, const char *model, struct err *e);
/* ERR_INPUT if t cannot be the tokenizer of a model with a vocabulary of `rows`: it has more
 * tokens, or the model's own one can be used and is another. model: for messages. */
int tokenizer_check(const struct tokenizer *t, int64_t rows, const struct tok_own *own,
                    const char *model, struct err *e);
int64_t tokenizer_bos(const struct tokenizer *t);            /* id put before a text, or -1 */
int64_t tokenizer_eos(const struct tokenizer *t);            /* id of end of text, or -1 */
/* True if decode(encode(x)) == x for every x that encode accepts: no normaliser, no added blank. */
bool tokenizer_is_exact(const struct tokenizer *t);
/* Bytes of text that its ids stand for nowhere: dropped, or behind an unknown token. ids are those
 * of tokenizer_encode without specials and bos. Other spellings of the same characters (normal
 * forms) lose nothing; of a text that comes back as another one all is lost. */
int tokenizer_lost(const struct tokenizer *t, const char *text, size_t bytes, const uint32_t *ids,
                   size_t n, uint64_t *lost, struct err *e);
/* What of its file is passed over because no ids depend on it: a sentence to show, or NULL. */
const char *tokenizer_note(const struct tokenizer *t);
/* Id of a token by its exact text (special tokens as written, others as bytes), or -1. */
int64_t tokenizer_find(const struct tokenizer *t, const char *text);

/* Appends the ids of text. specials: recognise special tokens such as <|endoftext|> in the text;
 * else they are ordinary text. bos: put tokenizer_bos first if there is one. Single-threaded. Fails
 * for lack of memory, on a byte that a BPE vocabulary has no token for (SmolLM2 lacks 21: some
 * control characters, and bytes that UTF-8 does not use), and when a pattern of the file gives up
 * on the text. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t bytes, bool specials,
                     bool bos, struct tok_ids *out, struct err *e);

/* Part of a text: from <= to. */
struct tok_range {
    size_t from, to;
};
/* The same, but special tokens are recognised in the n ranges alone, which are in order: those of
 * a template, not those of what was put into it. */
int tokenizer_encode_ranges(const struct tokenizer *t, const char *text, size_t bytes,
                            const struct tok_range *ranges, size_t n, bool bos,
                            struct tok_ids *out, struct err *e);

/* Id of the first special token whose name occurs in the text, or -1. */
int64_t tokenizer_first_special(const struct tokenizer *t, const char *text, size_t bytes);

/* The same ids as with specials and without bos, computed by all threads of pool: texts are cut
 * where no token can cross (at ends of text, and for GPT-2's pre-tokenisation at lines). starts
 * (may be NULL): appends for each document the index in out where it starts. A document ends with
 * the eos token, which belongs to it; blanks and line breaks behind the last one start no
 * document. */
int tokenizer_encode_docs(const struct tokenizer *t, struct pool *pool, const char *text,
                          size_t bytes, struct tok_ids *out, struct tok_ids *starts,
                          struct err *e);

/* Bytes that one token stands for, borrowed; special tokens give their text. prev is the token
 * before it, or -1 at the start of a text (spm drops the first blank there). */
const char *tokenizer_piece(const struct tokenizer *t, int64_t prev, uint32_t id, size_t *bytes);

/* Number of text bytes that the token stands for; 0 for special tokens: the unit of bits per byte.
 * The blank that spm puts in front of a text counts here, see tokenizer_piece. */
uint32_t tokenizer_token_bytes(const struct tokenizer *t, uint32_t id);
bool tokenizer_is_special(const struct tokenizer *t, uint32_t id);
/* Is it found in a text as it is written, before anything else: special, or added by a user? */
bool tokenizer_is_mark(const struct tokenizer *t, uint32_t id);

/* Appends the text of ids. Ids out of range are errors. specials: write special tokens as text. */
int tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, size_t n, bool specials,
                     struct tok_bytes *out, struct err *e);

#endif
