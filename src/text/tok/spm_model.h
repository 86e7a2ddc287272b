/* A SentencePiece model of the kind BPE as its files say it: pieces, special ids and what happens
 * to the text before. Two files hold one:
 *
 *   tokenizer.model  the message ModelProto in protobuf's wire format. Source:
 *                    src/sentencepiece_model.proto of https://github.com/google/sentencepiece
 *   tokenizer.bin    llama2.c's, little-endian: i32 max_token_length, then for each token f32
 * score, i32 length, that many bytes. Ids: 0 unknown, 1 and 2 control pieces, 3..258 the bytes
 * "<0x00>".."<0xFF>", then texts in which a blank is a blank. Source: tokenizer.py of
 * https://github.com/karpathy/llama2.c
 *
 * Texts of pieces are as in ModelProto: U+2581 stands for a blank. Internal to src/text/tok. */
#ifndef DUET_SPM_MODEL_H
#define DUET_SPM_MODEL_H

#include "tokenizer.h"

#define SPM_BLANK "\xe2\x96\x81" /* U+2581 */
#define SPM_MAX_PIECE 3072       /* bytes; Llama 2's longest has 48 */

struct spm_piece {
    const char *s; /* n bytes, not terminated */
    uint32_t n;
    float score;
    uint8_t type; /* enum vocab_type */
};

struct spm_model {
    struct spm_piece *pieces; /* the ids are their numbers */
    size_t n, cap;
    bool byte_fallback;    /* what has no piece becomes bytes; else the unknown piece */
    bool prefix;           /* add_dummy_prefix: a blank in front of a text */
    bool squeeze;          /* remove_extra_whitespaces: blanks at the ends go, others become one */
    int64_t unk;           /* id of the one piece of that type, or -1 */
    int64_t bos, eos, pad; /* as the trainer was told, or -1 */
    char *text;            /* owned, or NULL: where texts lie that are not in the file */
    uint32_t byte_id[256]; /* with byte_fallback, by spm_model_check */
};

/* True if the bytes are meant to be that file. */
bool spm_proto_probe(const uint8_t *data, size_t bytes);
bool spm_bin_probe(const uint8_t *data, size_t bytes);

/* Into an all-zero *m; texts may point into data. ERR_INPUT: not such a file, or it asks for what
 * this code does not do; the message names the field and its offset. */
int spm_proto_read(struct spm_model *m, const void *data, size_t bytes, const char *name,
                   struct err *e);
int spm_bin_read(struct spm_model *m, const void *data, size_t bytes, const char *name,
                 struct err *e);

/* The same of a vocabulary; texts point into v. Ids at its end that are only there to fill it up to
 * the model's are left out. */
int spm_model_of_vocab(struct spm_model *m, const struct vocab *v, const char *name, struct err *e);

/* What every model must fulfil: pieces of UTF-8 that differ, one unknown piece at most, all bytes
 * or none, ids in range. Fills byte_id, unk and byte_fallback. */
int spm_model_check(struct spm_model *m, const char *name, struct err *e);

/* Appends the file. spm_bin_write: ERR_INPUT if the pieces are not laid out as above; the form does
 * not hold squeeze. */
int spm_proto_write(const struct spm_model *m, struct tok_bytes *out, struct err *e);
int spm_bin_write(const struct spm_model *m, struct tok_bytes *out, struct err *e);

/* Appends n bytes of s. */
int spm_append(struct tok_bytes *out, const void *s, size_t n, struct err *e);

void spm_model_release(struct spm_model *m); /* accepts all zeros */

/* Forms of an open tokenizer of the kind spm (tok_spm.c). */
const struct spm_model *tok_spm_model(const struct tokenizer *t);
int spm_to_vocab(const struct tokenizer *t, struct vocab *v, struct err *e);
int spm_to_json(const struct tokenizer *t, struct tok_bytes *out, struct err *e);
int spm_to_bin(const struct tokenizer *t, struct tok_bytes *out, struct err *e);

#endif
