/* A vocabulary as model files carry it: plain data between the formats that store one token by
 * token (GGUF) and the tokenizers (src/text). Neither knows the other; that is why it is here, and
 * knows nothing of either.
 *
 * Texts are as GGUF writes them: model VOCAB_BPE in GPT-2's alphabet of printable characters,
 * VOCAB_SPM with U+2581 for a blank and "<0x0A>" for a byte. Source: ggml's docs/gguf.md,
 * "tokenizer.ggml.*". */
#ifndef DUET_VOCAB_H
#define DUET_VOCAB_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vocab_model {
    VOCAB_BPE, /* "gpt2": byte-level BPE with merges */
    VOCAB_SPM, /* "llama": SentencePiece BPE with scores and byte fallback */
};

enum vocab_type {
    VOCAB_NORMAL = 1,
    VOCAB_UNKNOWN,
    VOCAB_CONTROL, /* special: not text */
    VOCAB_USER,    /* found in the text as it is written, and text itself */
    VOCAB_UNUSED,
    VOCAB_BYTE,
};

/* Bytes, not terminated. */
struct vocab_text {
    const char *s;
    uint32_t n;
};

/* Texts lie in `text` or in memory that outlives the vocabulary (a file's map). */
struct vocab {
    enum vocab_model model;
    char pre[32]; /* VOCAB_BPE: name of the pre-tokenizer, "gpt-2", "smollm", ...; "": not given */
    uint32_t n;
    struct vocab_text *tokens; /* n, unique, not empty; owned */
    uint8_t *types;            /* n of enum vocab_type; owned */
    float *scores;             /* n; VOCAB_SPM, else NULL; owned */
    struct vocab_text *merges; /* n_merges of "a b"; VOCAB_BPE; owned */
    size_t n_merges;
    int64_t bos, eos, unk, pad;            /* ids, or -1 */
    bool add_bos, add_eos;                 /* put around a text */
    bool add_space_prefix;                 /* VOCAB_SPM: a blank in front of a text */
    bool remove_extra_spaces;              /* VOCAB_SPM: none at the ends, one between words */
    char *text;                            /* owned, or NULL */
    size_t text_n, text_cap;
};

/* A copy that owns its texts, into *to. ERR_NOMEM. */
int vocab_copy(struct vocab *to, const struct vocab *from, struct err *e);

/* ERR_INPUT if so many tokens are too many for a model with a vocabulary of rows. model: for the
 * message. */
int vocab_check_size(uint32_t tokens, int64_t rows, const char *model, struct err *e);

/* True if everything is the same. */
bool vocab_equal(const struct vocab *a, const struct vocab *b);

/* Frees everything owned; accepts all zeros. */
void vocab_release(struct vocab *v);

#endif
