/* What the kinds of tokenizers share: the table of tokens, special tokens found in text, words cut
 * and merged, scratch of one thread. Internal to src/text/tok; users see tokenizer.h.
 *
 * A kind is `const struct tok_kind tok_x` in tok_x.c and X(x) in TOKENIZERS. */
#ifndef DUET_TOK_H
#define DUET_TOK_H

#include "map.h"
#include "pretok.h"
#include "tokenizer.h"

enum {
    TOK_DEFINED = 1, /* the id has a token: ids may have holes */
    TOK_SPECIAL = 2, /* stands for no text: <|endoftext|> and the like */
    TOK_LSTRIP = 4,  /* as a mark it takes the blanks in front of it too ... */
    TOK_RSTRIP = 8,  /* ... and those behind it */
    TOK_ADDED = 16,  /* is no word of the model's vocabulary, but an added token alone */
};

struct tok_piece {
    uint32_t str; /* its bytes, in the strings of the tokenizer */
    uint32_t flags;
};

/* Tokens that are found in the text as they are written, before anything else is done to it. */
struct tok_added {
    struct tok_mark {
        uint32_t str, id;
        bool special, lstrip, rstrip; /* lstrip, rstrip: takes the blanks beside it too */
    } * marks; /* sorted by bytes */
    size_t n, cap;
    uint8_t first[256]; /* nonzero: some mark starts with this byte */
    int only;           /* the only first byte there is, or -1 */
};

/* Where decoding takes away a blank that encoding has put in front. */
enum tok_drop {
    TOK_DROPS_NONE,
    TOK_DROPS_FIRST, /* at the start of a text */
    TOK_DROPS_EACH,  /* there, and behind every special token */
};

struct tok_scratch;
struct tok_hash;

struct tok_kind {
    const char *name;
    /* True if the file is, or is meant to be, of this kind. */
    bool (*probe)(const uint8_t *data, size_t bytes);
    /* Reads t->blob, or t->made_of where there is one: fills the table of tokens, marks, bos, eos,
     * unk, exact and impl. Messages start with name. After a failure release is called. */
    int (*load)(struct tokenizer *t, const char *name, struct err *e);
    void (*release)(void *impl); /* accepts NULL */
    /* True if a text may be encoded in parts cut at pretok_line_cut. NULL: never. */
    bool (*cuts_lines)(const struct tokenizer *t);
    /* Appends the ids of text (n > 0), in which no mark of added[0] occurs. */
    int (*encode)(const struct tokenizer *t, struct tok_scratch *s, const char *text, size_t n,
                  struct tok_ids *out, struct err *e);
    /* The text (n > 0) after the normal forms of its normalizer, or (all) after the whole of it, in
     * a buffer of s or as it is. NULL: the kind changes no text. */
    int (*normalise)(const struct tokenizer *t, struct tok_scratch *s, bool all, const char *text,
                     size_t n, const char **out, size_t *out_n, struct err *e);
    /* As tokenizer_to_*; NULL: that form cannot hold this kind. */
    int (*to_vocab)(const struct tokenizer *t, struct vocab *v, struct err *e);
    int (*to_json)(const struct tokenizer *t, struct tok_bytes *out, struct err *e);
    int (*to_bin)(const struct tokenizer *t, struct tok_bytes *out, struct err *e);
    /* Adds what of the kind ids depend on besides tokens and marks (tok_hash.h); false: no memory.
     * NULL: the tokenizer is known by the tokenizer.json that it becomes, and by what of it that
     * cannot hold (odd; NULL or 0: nothing). */
    bool (*hash)(const struct tokenizer *t, struct tok_hash *h);
    uint64_t (*odd)(const struct tokenizer *t);
};

/* tokenizer_blob_from_vocab of either model. */
int bpe_blob_from_vocab(const struct vocab *v, const char *name, void **blob, size_t *bytes,
                        struct err *e);
int spm_blob_from_vocab(const struct vocab *v, const char *name, void **blob, size_t *bytes,
                        struct err *e);
/* Is v the vocabulary that the byte tokenizer gives? ERR_INPUT: it would be, but for ids or scores
 * that no vocabulary has. */
int spm_is_bytes(const struct vocab *v, const char *name, bool *yes, struct err *e);

#define X(name) extern const struct tok_kind tok_##name;
TOKENIZERS(X)
#undef X

/* The file that a vocabulary becomes. */
struct tok_file {
    char *data;
    size_t bytes;
};

struct tokenizer {
    const struct tok_kind *kind;
    char *blob; /* the file it was read from, or NULL */
    size_t blob_bytes;
    struct vocab *made_of;           /* instead of a file, or NULL */
    _Atomic(struct tok_file *) made; /* of made_of when it is first asked for, else NULL */
    _Atomic uint64_t hash;  /* tokenizer_hash, or 0: not computed yet */
    uint32_t vocab;
    struct tok_piece *pieces; /* vocab of them */
    struct strmap strs;
    uint32_t *str_id; /* per string: the first id that was given it */
    size_t str_cap;
    /* [0] is looked for in the text as it comes, [1] in the text as the normaliser left it */
    struct tok_added added[2];
    int64_t bos, eos;
    int64_t unk; /* id of what has no token, or -1 */
    enum tok_drop drops; /* load may change it */
    bool exact;
    const char *note; /* what of the file is passed over, or NULL; static text */
    void *impl;
};

/* Of kind and blob: the number that shards were made with before. */
uint64_t tok_blob_hash(const struct tokenizer *t);

/* A table of `vocab` ids without tokens. */
int tok_table_init(struct tokenizer *t, uint32_t vocab, struct err *e);
/* Gives id its bytes; an id may be given other bytes later. */
int tok_table_set(struct tokenizer *t, uint32_t id, const char *bytes, size_t n, uint32_t flags,
                  struct err *e);
/* Makes a token that has its bytes one that is looked for in texts; pass: index of t->added. */
int tok_table_mark(struct tokenizer *t, uint32_t id, int pass, struct err *e);
/* The same for other bytes than its own: what the normaliser makes of them. n > 0. */
int tok_table_mark_as(struct tokenizer *t, uint32_t id, int pass, const char *bytes, size_t n,
                      struct err *e);
/* After the last mark. */
void tok_table_finish(struct tokenizer *t);

/* A mark in a text, as in Hugging Face's AddedVocabulary: which marks there are does not depend on
 * the blanks that they take, so the next one is looked for from `end` on, and may begin with blanks
 * that this one took. */
struct tok_hit {
    size_t at, len;    /* with the blanks that it takes beside it */
    size_t start, end; /* without them; start may be below at: its first blanks are taken */
    uint32_t id;
};
/* The leftmost, then longest mark at or after `from`; false: there is none. taken: where the text
 * begins that no mark has yet, behind the hit before. specials: also find special ones. */
bool tok_added_find(const struct tokenizer *t, int pass, bool specials, const char *text, size_t n,
                    size_t from, size_t taken, struct tok_hit *hit);

/* Pairs that merge: pairmap a = rank (the lowest merges first, leftmost on ties), b = merged id. */
struct tok_merger {
    struct pairmap pairs;
    /* First symbols of a word, at most n: ids and their number. ERR_INPUT: a byte without
     * a token. */
    int (*symbols)(const struct tokenizer *t, const char *word, size_t n, uint32_t *ids,
                   size_t *count, struct err *e);
};

/* One word that was encoded before. A cache line. */
struct tok_slot {
    uint64_t key[4]; /* up to 31 bytes, the last byte is the length */
    uint32_t n, ids[7];
};

/* What one thread needs to encode; lives as long as one call of tokenizer_encode. */
struct tok_scratch {
    bool specials;
    const char *origin; /* start and size of the caller's text, for offsets in messages */
    size_t origin_n;
    struct tok_slot *cache; /* NULL: not worth it for this text */
    int cache_shift;        /* 64 - log2 of its slots */
    struct pretok_scratch pretok;
    char *norm, *prefixed; /* normalised text, two buffers in turn; text with a blank in front */
    size_t norm_cap, prefixed_cap;
    uint32_t *ids, *next, *prev; /* of long words */
    uint64_t *heap;
    size_t ids_cap, next_cap, prev_cap, heap_cap;
};

void tok_scratch_init(struct tok_scratch *s, bool specials, const char *origin, size_t n);
void tok_scratch_release(struct tok_scratch *s);

/* Appends the ids of one word (n > 0). */
int tok_word(const struct tokenizer *t, const struct tok_merger *m, struct tok_scratch *s,
             const char *word, size_t n, struct tok_ids *out, struct err *e);

/* Makes room for n more ids. */
int tok_ids_reserve(struct tok_ids *a, size_t n, struct err *e);

#endif
