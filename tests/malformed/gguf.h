/* A GGUF file in parts, each of which can be spoilt by itself. */
#ifndef DUET_MALFORMED_GGUF_H
#define DUET_MALFORMED_GGUF_H

#include "malformed.h"

enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 };

struct kv {
    char key[64];
    struct bytes b; /* the whole pair as it stands in the file */
};

struct info {
    struct bytes name;
    uint32_t n_dims;
    uint64_t ne[12];
    uint32_t type;
    uint64_t offset; /* set when the file is made, unless offset_set */
    bool offset_set;
    size_t bytes; /* of data that is there */
};

struct gguf {
    const char *magic;
    uint32_t version;
    uint64_t extra_kv, extra_tensors; /* added to the true counts, modulo 2^64 */
    struct kv kv[64];
    int n_kv;
    struct info t[16];
    int n_t;
    uint32_t align;
    long grow; /* bytes more (or less) at the end */
};

/* A model that is right; bpe: with a vocabulary of gpt2's kind, else of llama's. */
void gguf_valid(struct gguf *g, bool bpe);
void gguf_release(struct gguf *g);

/* The whole pair, emptied, for the caller to fill; a new one if there is none. */
struct bytes *kv_raw(struct gguf *g, const char *key);
/* The same with the key and its type in it. */
struct bytes *kv_start(struct gguf *g, const char *key, uint32_t type);
void kv_u32(struct gguf *g, const char *key, uint32_t v);
void kv_f32(struct gguf *g, const char *key, float v);
void kv_bool(struct gguf *g, const char *key, uint8_t v);
void kv_text(struct gguf *g, const char *key, const char *s);
struct bytes *kv_array(struct gguf *g, const char *key, uint32_t type, uint64_t n);
void kv_drop(struct gguf *g, const char *key);
struct kv *kv_find(struct gguf *g, const char *key);
/* A string: its length and its bytes. */
void put_string(struct bytes *b, const char *s);

struct info *tensor(struct gguf *g, const char *name);
void tensor_name(struct info *t, const char *name);
struct info *tensor_add(struct gguf *g, const char *name, uint64_t cols, uint64_t rows);
void tensor_drop(struct gguf *g, const char *name);

/* One way to spoil a file. */
struct spoil {
    const char *name, *label;
    void (*fn)(struct gguf *g);
};
/* Writes a file for each. */
void gguf_cases(enum verdict v, bool bpe, const struct spoil *s, size_t n);
/* The file; releases g. */
void gguf_make(struct gguf *g, struct bytes *b);
/* The same as "NAME.gguf". */
void gguf_emit(enum verdict v, const char *name, struct gguf *g, const char *label);

#endif
