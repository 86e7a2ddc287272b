/* make_malformed DIR: a valid file of every format that duet reads, then one file for each way to
 * damage it that once broke another loader or that the format forbids. Every damaged file is a
 * valid one with a single thing changed, so that a refusal is of that thing.
 *
 * A line on stdout for each: what duet must do with it, the path below DIR, a text that an error
 * must contain beside DIR ("-": none), what is wrong with it. tests/cli/malformed.sh goes through
 * them. */
#ifndef DUET_MALFORMED_H
#define DUET_MALFORMED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- bytes ---------------------------------------------------------------------------------- */

struct bytes {
    unsigned char *p; /* owned */
    size_t n, cap;
};

void put(struct bytes *b, const void *p, size_t n);
void put_u8(struct bytes *b, uint8_t v);
void put_u32(struct bytes *b, uint32_t v);
void put_u64(struct bytes *b, uint64_t v);
void put_f32(struct bytes *b, float v);
void put_text(struct bytes *b, const char *s);
void put_zeros(struct bytes *b, size_t n);
/* n small floats, never zero or equal in a row. */
void put_weights(struct bytes *b, size_t n);
void set_u32(struct bytes *b, size_t at, uint32_t v);
void bytes_free(struct bytes *b); /* and empties it */

/* The text with its only `from` replaced by `to`; malloc()ed. It is a bug if `from` is not there
 * exactly once. */
char *replaced(const char *text, const char *from, const char *to);
/* before, n times `what`, after; malloc()ed */
char *repeated(const char *before, const char *what, size_t n, const char *after);

/* ---- files ---------------------------------------------------------------------------------- */

/* What duet must do: with a model `info` and `convert`, with a tokenizer `info` and `tokenize`.
 *   MODEL, TOKENIZER, ADAPTER             accept it (an adapter: `info` only)
 *   NO_MODEL, NO_TOKENIZER, NO_ADAPTER    refuse it
 *   NO_CONVERT    refuse to convert it, since duet does not know such a model or tokenizer; `info`
 *                 may describe what is there
 *   NO_VOCAB      the same of a model whose tokenizer alone is at fault: `convert --tokenizer none`
 *                 takes it
 */
enum verdict { MODEL, NO_MODEL, NO_CONVERT, NO_VOCAB, TOKENIZER, NO_TOKENIZER, ADAPTER,
               NO_ADAPTER };

/* Writes DIR/path, whose folder is made if need be. */
void write_file(const char *path, const struct bytes *b);
void write_text(const char *path, const char *text);
/* The line. names: a text of the error. */
void announce(enum verdict v, const char *path, const char *names, const char *label);
/* Both, and frees the bytes. */
void emit(enum verdict v, const char *path, struct bytes *b, const char *label);

/* A case that is one replacement in a text. */
struct swap {
    const char *name, *label, *from, *to;
};

/* ---- families ------------------------------------------------------------------------------- */

/* The models have 1 layer, width 8, 2 heads and 1 key head of 4, hidden size 16, 264 tokens. */
enum { WIDTH = 8, HEAD = 4, KV_WIDTH = 4, HIDDEN = 16, VOCAB = 264, CONTEXT = 16 };

void make_gguf(void);
void make_gguf_numbers(void);
void make_gguf_text(void); /* strings, arrays and vocabularies */
void make_hf(void);        /* folders of Hugging Face: safetensors, index, config.json */
void make_tokenizers(void);
void make_fixed(void); /* llama2.c, BLZT v4 */
void make_blzt5(void);

#endif
