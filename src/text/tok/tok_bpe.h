/* BPE inside src/text/tok: the tokenizer, and the alphabet in which byte-level files write bytes.
 *
 * Two sorts of vocabulary. Byte-level, as in GPT-2: the first symbols of a word are its bytes. Of
 * characters, as in Llama 2: they are characters, and those that the vocabulary lacks become the
 * tokens "<0x00>" to "<0xFF>" of their bytes (byte_fallback), or an unknown token. Which sort it is
 * follows from whether the pre_tokenizer has a ByteLevel.
 *
 * tok_bpe.c encodes, tok_bpe_norm.c normalises, tok_bpe_load.c reads vocabulary and merges,
 * tok_bpe_pipe.c reads what happens to the text before (normalizer, pre_tokenizer) and after
 * (post_processor, decoder), tok_bpe_write.c makes a file from parts, tok_bpe_vocab.c and
 * tok_bpe_chars.c exchange vocabularies with GGUF. */
#ifndef DUET_TOK_BPE_H
#define DUET_TOK_BPE_H

#include "tok.h"

#include <jansson.h>

enum bpe_norm_op {
    BPE_NFC,
    BPE_NFD,
    BPE_NFKC,
    BPE_NFKD,
    BPE_PREPEND, /* `to` in front of a text that is not empty */
    BPE_REPLACE, /* every `from` by `to` */
};

#define BPE_NORM_STEPS 8
#define BPE_TEXT_MAX 256 /* bytes of `from` and `to` */

struct bpe_norm {
    struct bpe_norm_step {
        enum bpe_norm_op op;
        char *from, *to; /* owned, or NULL */
    } step[BPE_NORM_STEPS];
    int n;
};

struct bpe {
    struct tok_merger merger;
    struct pretok pretok;
    struct bpe_norm norm;
    bool bytes;            /* byte-level */
    bool ignore_merges;    /* a word that is a token is that token, whatever the merges say */
    bool fuse_unk;         /* unknown characters in a row are one unknown token */
    uint32_t unk;          /* MAP_NONE: what has no token is an error */
    uint32_t byte_id[256]; /* MAP_NONE: the vocabulary lacks that byte */
    struct pairmap chars;  /* of characters: (0, code point) -> b = id */
    uint8_t *joins;        /* of characters: where merges may cross (tok_bpe.c); NULL: anywhere */
    int64_t named[4];      /* bos, eos, unk, pad as "duet" names them, or -1 */
    char *from, *to;       /* the decoder's Replace: `from` in a token stands for `to`, or NULL */
    bool decodes_bytes;    /* the decoder's ByteFallback: "<0x0A>" stands for a byte */
};

/* The names of bpe.named, in the order of its elements. */
extern const char *const bpe_named[4];

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

/* Before the vocabulary: what sort it is, and what the decoder makes of its texts. */
int bpe_load_decoder(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                     const json_t *root);
/* normalizer and pre_tokenizer of the root, into b, t->exact and t->drops. */
int bpe_load_pipeline(struct tokenizer *t, struct bpe *b, const struct bpe_json *j,
                      const json_t *root);
/* post_processor of the root, into t->bos. The table of tokens must be complete. */
int bpe_load_post(struct tokenizer *t, const struct bpe_json *j, const json_t *root);

/* The whole file. */
int bpe_load(struct tokenizer *t, const char *name, struct err *e);

/* The byte that a text such as "<0x0A>" names, or -1. */
int bpe_byte_name(const char *s, size_t n);
/* The bytes that a token with this key stands for: at most n of them. */
size_t bpe_key_bytes(const struct bpe *b, const char *key, size_t n, char *out);

/* Normalises text (n > 0). *out is the text itself or a buffer of s. ERR_INPUT: it becomes far
 * longer. */
int bpe_normalise(const struct bpe_norm *norm, struct tok_scratch *s, const char *text, size_t n,
                  const char **out, size_t *out_n, struct err *e);
/* Appends a step; from and to are copied, NULL: none. */
int bpe_norm_add(struct bpe_norm *norm, enum bpe_norm_op op, const char *from, const char *to,
                 struct err *e);
void bpe_norm_release(struct bpe_norm *norm);

/* merger.symbols of this kind. */
int bpe_symbols(const struct tokenizer *t, const char *word, size_t n, uint32_t *ids, size_t *count,
                struct err *e);
/* After the merges: fills b->joins from them if that is of use. */
int bpe_find_joins(struct tokenizer *t, const json_t *vocab, const json_t *merges, struct err *e);
/* The two keys of a merge, "a b" or ["a", "b"]; false: it is neither. */
bool bpe_merge_keys(const json_t *merge, const char *key[2], size_t n[2]);

/* Making a tokenizer.json. pre: a row of the pre-tokenizers that GGUF has names for. */
struct bpe_pre;
const struct bpe_pre *bpe_pre_find(const char *name, const char *file, struct err *e);
/* The row of b's steps, or NULL. */
const struct bpe_pre *bpe_pre_of(const struct bpe *b);
const char *bpe_pre_name(const struct bpe_pre *p);
/* An element of added_tokens. */
json_t *bpe_added_token(const char *text, size_t n, json_int_t id, bool special);
/* The file around vocab, merges and added tokens, which are taken over even on failure. bos: put in
 * front of texts, its text is that of the token; -1: none. named: bos, eos, unk and pad, -1: not
 * said; NULL: none is. */
json_t *bpe_tree(const struct bpe_pre *p, json_t *vocab, json_t *merges, json_t *added,
                 const struct vocab_text *bos_text, int64_t bos, const int64_t named[4]);
/* The same of a vocabulary, in *root. */
int bpe_tree_of_vocab(const struct vocab *v, const char *name, json_t **root, struct err *e);
/* The text of a tree, which is taken over. */
int bpe_write(json_t *root, const char *name, void **blob, size_t *bytes, struct err *e);

/* tok_kind.to_vocab and to_json. */
int bpe_to_vocab(const struct tokenizer *t, struct vocab *v, struct err *e);
int bpe_to_json(const struct tokenizer *t, struct tok_bytes *out, struct err *e);
/* to_vocab of a vocabulary of characters. v has the tokens of the file as they are written, and
 * their types; root is the file, into which their texts may point. */
int bpe_chars_to_vocab(const struct tokenizer *t, const json_t *root, struct vocab *v,
                       struct err *e);

#endif
