/* Model files of every format, behind one table.
 *
 * Reading gives a struct model_file: the config in Hugging Face keys, the tokenizer's bytes, and
 * the tensors under Hugging Face names ("model.embed_tokens.weight",
 * "model.layers.0.self_attn.q_proj.weight", ..., "model.norm.weight", "lm_head.weight") with data
 * that stays in the mapped file where it can. A format that stores rotary rows as interleaved pairs
 * (llama2.c, BLZT v4) says so per tensor; mf_tensor_read undoes it, so that what callers see is
 * always the split-halves layout of Hugging Face.
 *
 * What the weights mean travels in config. A fixed-layout format cannot hold all of it: its writer
 * refuses a model it would change, and the docs (formats.md) say what its readers must be told.
 *
 * Every reader checks counts, sizes, overflow, offsets and names before it allocates or indexes,
 * and fails with one sentence naming file, field and offset. Adding a format: x.c with a
 * `struct format` and one line in FORMATS. */
#ifndef DUET_FORMAT_H
#define DUET_FORMAT_H

#include "dtype.h"
#include "err.h"
#include "file.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FORMATS(X) X(blzt5) X(blzt4) X(llama2c)

struct mf_tensor {
    char *name; /* UTF-8, 1 to 255 bytes, no control characters */
    enum dtype dtype;
    int ndim;          /* 1 or 2 */
    uint64_t shape[2]; /* row-major: {n} or {rows, cols} */
    const void *data;  /* in the map, or in memory of the caller who built the file */
    uint64_t offset;   /* of data in the file read, for messages and `info` */
    int rope_heads;    /* > 0: rows come as interleaved pairs within each of so many heads */
    /* Instead of data, for writing only: gives row r, in the memory of the builder or in buf (one
     * row), so that a table need not exist as a whole. Asked for several times, in rising order
     * each time. */
    const void *(*row)(void *ctx, uint64_t r, void *buf);
    void *row_ctx;
};

struct model_file {
    const struct format *format;
    char *path;
    struct file_map map;
    char *config;          /* JSON object: Hugging Face config.json keys plus "duet"; owned */
    char *meta;            /* JSON object or NULL: where the weights come from (step, ...); owned */
    const void *tokenizer; /* tokenizer blob or NULL; borrowed from the map or the builder */
    size_t tokenizer_bytes;
    struct mf_tensor *tensors;
    size_t n_tensors;
    size_t cap_tensors; /* room in tensors */
    uint32_t *slots;    /* open-addressing index over the names: tensor number + 1, or 0 */
    size_t n_slots;     /* a power of two */
};

struct format {
    const char *name;   /* "blzt5" */
    const char *help;   /* one line for `duet info --help` and docs */
    const char *suffix; /* ".blzt": chosen for writing by name */
    bool checksums;     /* verify notices any changed byte */
    /* True if the bytes look like this format (magic and the like). May look at size. */
    bool (*probe)(const uint8_t *data, size_t size);
    /* Fills everything but format, path and map, which are set. verify: as model_file_open. */
    int (*read)(struct model_file *mf, bool verify, struct err *e);
    bool rows; /* writes tensors that come row by row */
    /* Writes atomically. NULL: read only. */
    int (*write)(const struct model_file *mf, const char *path, struct err *e);
};

extern const struct format *const formats[];
extern const size_t n_formats;

/* The format of these bytes, or NULL. */
const struct format *format_probe(const uint8_t *data, size_t size);

/* Opens and checks a file of any readable format. verify: also check the checksums of tensor data,
 * where the format has them (reads the whole file, a few MB in memory at a time). */
int model_file_open(struct model_file *mf, const char *path, bool verify, struct err *e);

/* The same of a map that is there already. Takes the map over, also on failure, and zeroes it. */
int model_file_open_map(struct model_file *mf, struct file_map *map, bool verify, struct err *e);

/* xxh3 of a part of a map, whose pages leave memory as it goes on; of a whole file. */
uint64_t map_hash(const struct file_map *m, size_t offset, size_t bytes);
int model_file_hash(const char *path, uint64_t *hash, struct err *e);

/* Frees everything owned. Accepts all zeros, and files that were built rather than opened. */
void model_file_close(struct model_file *mf);

/* Appends a tensor description; the name is copied. Refuses bad and duplicate names, dimensions of
 * 0 or whose bytes overflow, rows that are not whole blocks of the type, and rope_heads that do not
 * divide the rows into even heads. */
int model_file_add(struct model_file *mf, const struct mf_tensor *t, struct err *e);

const struct mf_tensor *model_file_find(const struct model_file *mf, const char *name);

/* Elements of a tensor. */
uint64_t mf_tensor_count(const struct mf_tensor *t);

/* Whole tensor of a float type as f32 in the layout of Hugging Face; dst holds mf_tensor_count
 * floats. */
void mf_tensor_read(const struct mf_tensor *t, float *dst);

/* Row r of that layout, as stored. t has 2 dimensions and data. */
const void *mf_tensor_row(const struct mf_tensor *t, uint64_t r);

/* Writes by format name. Refuses to replace the file that mf was opened from. */
int model_file_write(const struct model_file *mf, const char *format, const char *path,
                     struct err *e);

/* out[h*hd + 2i] = in[h*hd + i], out[h*hd + 2i+1] = in[h*hd + hd/2 + i]: split halves to
 * interleaved pairs, whole rows of cols floats; rope_to_halves is its inverse. Not in place. */
void rope_to_pairs(float *out, const float *in, uint64_t rows, uint64_t cols, int heads);
void rope_to_halves(float *out, const float *in, uint64_t rows, uint64_t cols, int heads);

#endif
