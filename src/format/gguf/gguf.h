/* GGUF, the model file of ggml and llama.cpp: what gguf*.c share. Source of the layout: ggml's
 * docs/gguf.md; of names and defaults: llama.cpp's loader and converter, of 2026.
 *
 *   gguf.c        the format: probe, read, the tensors of a file
 *   gguf_kv.c     header and key-value pairs of a file
 *   gguf_json.c   pairs that mean nothing to duet, to JSON and back
 *   gguf_names.c  types of tensors
 *   gguf_meta.c   key-value pairs to a Hugging Face config
 *   gguf_vocab.c  tokenizer.ggml.* to a vocabulary and back
 *   gguf_out.c    a file in the making
 *   gguf_write.c  models to files
 *   gguf_lora.c   adapters, both ways */
#ifndef DUET_GGUF_H
#define DUET_GGUF_H

#include "format.h"
#include <jansson.h>
#include <string.h>

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPES
};

enum {
    GGUF_MAX_KEY = 65535,     /* bytes */
    GGUF_MAX_KV = 65536,      /* pairs of a file */
    GGUF_MAX_TENSORS = 16384, /* as model_file_add */
    GGUF_NAME = 64,           /* a tensor's name with its NUL */
    GGUF_ALIGN = 32,          /* the default, and what is written */
};

extern const char *const gguf_type_names[GGUF_TYPES];

/* Bytes of a value, or 0 for strings and arrays. */
size_t gguf_type_bytes(enum gguf_type t);

/* ---- a file that is read -------------------------------------------------------------------- */

/* One pair, whose value has been checked to lie within the file. */
struct gguf_kv {
    struct vocab_text key;
    enum gguf_type type, item; /* item: of the values of an array, else type */
    bool used;                 /* understood, so not to be kept as it is */
    uint64_t n;                /* values of an array, else 1 */
    const uint8_t *value;      /* the first */
    uint64_t offset;           /* of the key */
};

struct gguf_tensor {
    char name[GGUF_NAME];
    uint64_t ne[4]; /* columns first; 1 beyond n_dims */
    enum dtype dtype;
    uint64_t offset; /* of its data, in the file */
};

struct gguf {
    struct model_file *mf;
    const char *path;
    size_t at; /* how far the file has been read */
    uint64_t n_tensors;
    struct gguf_kv *kv; /* owned */
    size_t n_kv;
    char arch[32];
    const struct part_table *parts; /* of arch; NULL in a file that is only a vocabulary */
    uint64_t alignment;
    struct gguf_tensor *tensors; /* n_tensors; owned */
};

static inline uint32_t gguf_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline float gguf_f32(const uint8_t *p) {
    float v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline struct vocab_text gguf_text(const uint8_t *p) {
    uint64_t n;
    memcpy(&n, p, sizeof n);
    return (struct vocab_text){(const char *)p + sizeof n, (uint32_t)n};
}

/* How much of a text a message shows. */
static inline int gguf_shown(struct vocab_text t) {
    return t.n > 60 ? 60 : (int)t.n;
}

static inline bool gguf_text_is(struct vocab_text t, const char *s) {
    return t.n == strlen(s) && !memcmp(t.s, s, t.n);
}

/* Bytes bytes are left at g->at. */
int gguf_need(const struct gguf *g, uint64_t bytes, const char *what, struct err *e);

/* The string at g->at, of at most max bytes of UTF-8; g->at moves behind it. */
int gguf_string(struct gguf *g, const char *what, uint64_t max, struct vocab_text *t,
                struct err *e);

/* Header and pairs, all checked. */
int gguf_read_kv(struct gguf *g, struct err *e);

struct gguf_kv *gguf_find(const struct gguf *g, const char *key);

/* The pair of this key, which must have this type and is used now; NULL if it is absent. The second
 * takes the key without the architecture's name. */
int gguf_get(const struct gguf *g, const char *key, enum gguf_type t, const struct gguf_kv **kv,
             struct err *e);
int gguf_get_arch(const struct gguf *g, const char *key, enum gguf_type t,
                  const struct gguf_kv **kv, struct err *e);

/* The id that a key holds: one of n tokens (0: not known), or -1 if it is absent. 2^32 - 1 is
 * absent, as converters of llama.cpp write it, and so is every other id that is no token, with a
 * note. */
int gguf_token_id(const struct gguf *g, const char *key, uint64_t n, int64_t *id, struct err *e);
/* The same of every other key of an id: one that is no token is not kept. */
void gguf_drop_ids(const struct gguf *g, uint64_t n);

/* Sorts texts by bytes. */
void gguf_sort(struct vocab_text *t, size_t n);
int gguf_text_cmp(const void *a, const void *b);

/* ---- pairs as JSON -------------------------------------------------------------------------- */

/* f as the double with the fewest decimal digits that is the same float. */
double gguf_shortest(float f);

/* Every pair that was not used, as {"key": ["type", value]}; NULL *o: there is none. An array is
 * ["array", "type", [values]]; a u64 beyond 2^63 - 1 is a string. */
int gguf_keep(const struct gguf *g, json_t **o, struct err *e);

/* ---- tensors -------------------------------------------------------------------------------- */

/* Heads whose rows of this part stand as interleaved pairs, q or k of them, or 0. */
int gguf_heads(const struct part_table *t, const struct part *p, int q, int k);

/* ggml's number of a type or -1; the type of a number or -1; a number's name or NULL. */
int gguf_ggml_type(enum dtype t);
int gguf_dtype(uint32_t ggml);
const char *gguf_ggml_name(uint32_t ggml);

/* Adds t with ndim dimensions under another name. */
int gguf_add(const struct gguf *g, const struct gguf_tensor *t, const char *hf, int ndim,
             int rope_heads, double factor, struct err *e);

/* The numbers that say what a model computes. */
struct gguf_dims {
    uint32_t ctx, embd, layers, ffn, heads, kv_heads, head_dim, vocab;
    float eps, theta;
    float rope_factor; /* linear scaling; 1: none */
    bool has[IF_COUNT]; /* parts that not every model has; what is not known yet is false */
};
struct part_sizes gguf_sizes(const struct gguf_dims *d);

/* ---- parts of reading and writing ----------------------------------------------------------- */

/* gguf_meta.c. All of {arch}.* but has; what is left is known to do nothing.
 * vocab: 0 if there is no such key. */
int gguf_read_dims(const struct gguf *g, struct gguf_dims *d, struct err *e);
/* Fills mf->config from config (taken over, also on failure) and every pair that is not used. */
int gguf_set_config(const struct gguf *g, json_t *config, struct err *e);

/* gguf_vocab.c. Fills mf->vocab; vocab: rows of the model's table, 0: not known. In a file with
 * weights one with a fault is left out, and mf->tokenizer_problem says why. */
int gguf_read_vocab(const struct gguf *g, uint32_t vocab, struct err *e);

/* gguf_lora.c */
int gguf_read_adapter(struct gguf *g, struct err *e);
int gguf_write_adapter(const struct model_file *mf, const json_t *config, const char *path,
                       struct err *e);

/* gguf_write.c */
int gguf_write(const struct model_file *mf, const char *path, struct err *e);

/* A size of a config; def: where it is absent or null (0: it must be there). */
int gguf_config_u32(const json_t *config, const char *key, uint32_t def, uint32_t *v,
                    struct err *e);
/* The architecture of a config's model_type, which GGUF has. */
int gguf_config_arch(const struct part_tables *archs, const json_t *config,
                     const struct part_table **parts, struct err *e);

/* ---- a file in the making ------------------------------------------------------------------- */

struct gguf_out {
    uint8_t *p; /* header, pairs and tensor infos */
    size_t n, cap;
    uint64_t n_kv;
    json_t *keys; /* a set of the keys that are there */
    bool nomem, twice;
    bool described; /* everything but the weights: GGUF can hold this model */
    struct gguf_out_tensor *tensors;
    size_t n_tensors;
};

/* tensors: how many there will be at most. */
int gguf_out_init(struct gguf_out *o, size_t tensors, struct err *e);
void gguf_out_release(struct gguf_out *o); /* accepts all zeros */

/* A key, then its value. A lack of memory shows at the end. */
void gguf_put_u32(struct gguf_out *o, const char *key, uint32_t v);
void gguf_put_f32(struct gguf_out *o, const char *key, float v);
void gguf_put_bool(struct gguf_out *o, const char *key, bool v);
void gguf_put_string(struct gguf_out *o, const char *key, const char *s);
/* The same, in parts: key with type, or key of an array with the type and number of its values. */
void gguf_put_key(struct gguf_out *o, const char *key, enum gguf_type t);
void gguf_put_array(struct gguf_out *o, const char *key, enum gguf_type item, uint64_t n);
void gguf_put_bytes(struct gguf_out *o, const void *p, size_t n);
void gguf_put_text(struct gguf_out *o, const char *s, size_t n);

/* The pairs of {"key": ["type", value]} as gguf_keep makes it; NULL o: none. */
int gguf_put_kept(struct gguf_out *o, json_t *kept, struct err *e);
/* general.* of a model or adapter, from its config. */
void gguf_put_general(struct gguf_out *o, const struct model_file *mf, const json_t *config,
                      const char *arch, const char *type);

/* tokenizer.ggml.*, with a vocabulary of rows tokens. v may be NULL. */
int gguf_put_vocab(struct gguf_out *o, const struct vocab *v, const json_t *config, uint32_t rows,
                   struct err *e);

/* Appends t; heads > 0: its rows as interleaved pairs within each of so many heads. factor: further
 * one on its values. What t points to must live until the file is written. */
int gguf_out_tensor(struct gguf_out *o, const char *name, const struct mf_tensor *t, int heads,
                    double factor, struct err *e);
/* Forwards rc, the error of a model that GGUF cannot hold said to be that. */
int gguf_out_refuse(const struct gguf_out *o, const struct model_file *mf, int rc, struct err *e);
/* Writes the file. */
int gguf_out_write(struct gguf_out *o, const struct model_file *mf, const char *path,
                   struct err *e);

#endif
