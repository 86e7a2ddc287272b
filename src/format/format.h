/* Model files of every format, behind one table.
 *
 * Reading gives a struct model_file: the config in Hugging Face keys, what there is of a tokenizer,
 * and the tensors under Hugging Face names with data that stays in the mapped file where it can. A
 * format that stores rotary rows as interleaved pairs (llama2.c, BLZT v4, GGUF of architecture
 * llama) says so per tensor; mf_tensor_read and mf_tensor_stream undo it, so that what callers see
 * is always the split-halves layout of Hugging Face.
 *
 * What the weights mean travels in config. A fixed-layout format cannot hold all of it: its writer
 * refuses a model it would change, and the docs (formats.md) say what its readers must be told.
 * Keys of a file that have no Hugging Face name are kept under config.duet (formats.md).
 *
 * An adapter (LoRA) is a model file too: its config has an object "duet_adapter" (formats.md) and
 * its tensors are "....lora_A.weight" (rank, I) and "....lora_B.weight" (O, rank), whose
 * ranks may differ between modules.
 *
 * Every reader checks counts, sizes, overflow, offsets and names before it allocates or indexes,
 * and fails with one sentence naming file, field and offset. Adding a format: x.c with a
 * `struct format` and one word in FORMATS. */
#ifndef DUET_FORMAT_H
#define DUET_FORMAT_H

#include "dtype.h"
#include "err.h"
#include "file.h"
#include "part.h"
#include "vocab.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* W: read and written, R: only read. */
#define FORMATS(W, R)                                                                              \
    W(blzt5) W(gguf) W(hf) W(peft) R(safetensors) W(blzt4) W(llama2c) W(llama2c_v1)

/* rope_heads of an adapter's tensor whose file does not say how many heads the base has. */
enum { MF_ROPE_Q = -1, MF_ROPE_K = -2 };

struct mf_tensor {
    char *name; /* UTF-8, 1 to 255 bytes, no control characters */
    enum dtype dtype;
    int ndim;          /* 1 or 2 */
    uint64_t shape[2]; /* row-major: {n} or {rows, cols} */
    const void *data;  /* in a map, or in memory of the caller who built the file */
    uint64_t offset;   /* of data in the file read, for messages and `info` */
    int rope_heads;    /* > 0: rows come as interleaved pairs within each of so many heads */
    double factor;     /* the values are to be multiplied by it; 0: as they are */
    bool zero;         /* by 0, then factor is 0 (mf_tensor_factor has both) */
    /* Instead of data, for writing only. */
    const struct mf_tensor *from; /* rows of that tensor in the layout of Hugging Face, times
                                   * from->factor and factor, converted to dtype */
    /* Gives row r, in the memory of the builder or in buf (one row), so that a table need not exist
     * as a whole. Asked for several times, in rising order each time. */
    const void *(*row)(void *ctx, uint64_t r, void *buf);
    void *row_ctx;
};

/* What the values are to be multiplied by, 1 for as they are. */
double mf_tensor_factor(const struct mf_tensor *t);
void mf_tensor_set_factor(struct mf_tensor *t, double factor);

/* A file that belongs to the model, such as tokenizer.json, beside the weights. */
struct mf_side {
    char *name; /* without folder; owned */
    const void *data;
    size_t bytes;
    void *owned; /* data if it is to be freed, or NULL */
};

/* Shown what was written before it takes the place of what was there: path is a temporary file or
 * folder. A failure leaves everything as it was. */
struct mf_check {
    int (*fn)(void *ctx, const char *path, struct err *e);
    void *ctx;
};

struct model_file {
    const struct format *format;
    const struct part_tables *archs; /* the architectures: of a file that is read, and of one to be
                                      * written by a format that asks for names or shapes;
                                      * borrowed */
    char *path;
    struct file_map map;   /* of path, if it is a file */
    struct file_map *maps; /* of the other files, weights and sides, that data points into; owned */
    size_t n_maps;
    const struct model_file *source; /* of a file to be written: whose data it uses, or NULL */
    const struct mf_check *check;    /* of a file to be written, or NULL */
    struct pool *pool; /* of a file to be written: what converts its tensors; NULL: one thread */
    uint64_t *hash;        /* of a file to be written: becomes its model_file_digest, or NULL */
    char *name;            /* of a file to be written: what it is called where the config does not
                            * say; owned, or NULL */
    char *config;          /* JSON object: Hugging Face config.json keys plus "duet"; owned */
    char *meta;            /* JSON object or NULL: where the weights come from (step, ...); owned */
    const void *tokenizer; /* tokenizer blob or NULL; borrowed from the map or the builder */
    size_t tokenizer_bytes;
    void *tokenizer_owned; /* tokenizer if it is to be freed, or NULL */
    char *tokenizer_problem; /* why what there is cannot be used (import.h), or NULL; owned */
    char *notes; /* what was read otherwise than it stands there: sentences, each with a line break;
                  * owned, or NULL */
    uint64_t config_hash;    /* of a folder: xxh3 of the config as it was read */
    struct vocab *vocab;   /* TOK_VOCAB: or NULL; owned, with what it holds */
    struct mf_side *sides; /* TOK_SIDES: owned */
    size_t n_sides;
    struct mf_tensor *tensors;
    size_t n_tensors;
    size_t cap_tensors; /* room in tensors */
    uint32_t *slots;    /* open-addressing index over the names: tensor number + 1, or 0 */
    size_t n_slots;     /* a power of two */
};

/* How a format holds a tokenizer: what its reader fills and its writer takes. */
enum mf_tok {
    TOK_NONE,
    TOK_BLOB,  /* tokenizer, tokenizer_bytes: the tokenizer's own file */
    TOK_VOCAB, /* vocab */
    TOK_SIDES, /* files beside the weights: tokenizer.json, ... */
};

#define MF_TYPE(t) (1u << (t))

struct format {
    const char *name;   /* "blzt5" */
    const char *help;   /* one line for `duet info --help` and docs */
    const char *suffix; /* ".blzt": chosen for writing by name; "/": a folder; NULL: never */
    bool checksums;     /* verify notices any changed byte */
    enum mf_tok tok;
    /* Types (MF_TYPE) that its writer takes in matrices, and in tensors of one dimension. */
    uint32_t types, vector_types;
    bool native;   /* holds every key of config.duet as it is; others take plain models only */
    bool adapters; /* its writer takes adapters */
    bool models;   /* its writer takes models */
    /* True if the bytes look like this format (magic and the like). May look at size. NULL: this
     * format is a folder. */
    bool (*probe)(const uint8_t *data, size_t size);
    bool (*probe_dir)(const char *path); /* for a folder; or NULL */
    /* Fills everything but format, path and map, which are set (map is empty for a folder). verify:
     * as format_open. */
    int (*read)(struct model_file *mf, bool verify, struct err *e);
    bool rows; /* writes tensors that come row by row */
    /* Its writer fills mf->hash from what it writes: every tensor is made twice, and the file is
     * not read. Else model_file_write reads it. */
    bool hashes;
    /* Writes atomically; a folder: each file, config last. NULL: read only. */
    int (*write)(const struct model_file *mf, const char *path, struct err *e);
};

extern const struct format *const formats[];
extern const size_t n_formats;

/* The format of these bytes, or NULL. */
const struct format *format_probe(const uint8_t *data, size_t size);

/* The format called name, or NULL. */
const struct format *format_find(const char *name);

/* Opens and checks a file or folder of any readable format; archs: what architectures there are,
 * which the file's name and shape its tensors (model_file_open hands duet's down). verify: also
 * check the checksums of tensor data, where the format has them (reads the whole file, a few MB in
 * memory at a time). */
int format_open(struct model_file *mf, const struct part_tables *archs, const char *path,
                bool verify, struct err *e);

/* Of the folder of a training run its last model.blzt, else its last adapter.blzt; malloc()ed.
 * NULL: path is no such folder. Whatever opens or hashes a model file takes the folder for the
 * file. */
char *model_file_of_run(const char *path);

/* The same of a map that is there already. Takes the map over, also on failure, and zeroes it. */
int format_open_map(struct model_file *mf, const struct part_tables *archs, struct file_map *map,
                    bool verify, struct err *e);

/* xxh3 of a part of a map, whose pages leave memory as it goes on; of a whole file that is open. Of
 * a folder: xxh3 of the hashes of its weights' files, in order, and of its config. */
uint64_t map_hash(const struct file_map *m, size_t offset, size_t bytes);
uint64_t model_file_digest(const struct model_file *mf);

/* True if writing to path, a file or folder, would replace something that mf was read from. */
bool model_file_uses(const struct model_file *mf, const char *path);

/* Gives back the memory of pages that data[0..bytes) lies in, if it lies in a map of mf. */
void model_file_drop(const struct model_file *mf, const void *data, size_t bytes);

/* Maps a further file, for readers of folders; *m stays valid until the next call. */
int model_file_map(struct model_file *mf, const char *path, const struct file_map **m,
                   struct err *e);

/* Appends a file beside the weights. owned: malloc()ed data to take over (also on failure), or
 * NULL. */
int model_file_side(struct model_file *mf, const char *name, const void *data, size_t bytes,
                    void *owned, struct err *e);
const struct mf_side *model_file_find_side(const struct model_file *mf, const char *name);

/* Appends a sentence, without its line break, to notes. A lack of memory only loses it. */
__attribute__((format(printf, 2, 3))) void model_file_note(struct model_file *mf, const char *fmt,
                                                           ...);

/* Frees everything owned. Accepts all zeros, and files that were built rather than opened. */
void model_file_close(struct model_file *mf);

/* Appends a tensor description; the name is copied. Refuses bad and duplicate names, dimensions of
 * 0 or whose bytes overflow, rows that are not whole blocks of the type, and rope_heads that do not
 * divide the rows into even heads. */
int model_file_add(struct model_file *mf, const struct mf_tensor *t, struct err *e);

const struct mf_tensor *model_file_find(const struct model_file *mf, const char *name);

/* Elements of a tensor. */
uint64_t mf_tensor_count(const struct mf_tensor *t);

/* Whole tensor of a float type as f32 in the layout of Hugging Face, times its factor; dst holds
 * mf_tensor_count floats. */
void mf_tensor_read(const struct mf_tensor *t, float *dst);

/* The bytes of t as they are to be written, as t->dtype, from first to last in pieces of a few MB:
 * what writers use, whatever t is made from. pair_heads > 0: rows as interleaved pairs within each
 * of so many heads, else split halves. Many threads convert. The pages of maps leave memory behind
 * it. Weights are numbers: one that is NaN or infinite, or becomes so as t->dtype, is an error that
 * names file, tensor and index (rows and columns in the layout of Hugging Face). */
int mf_tensor_stream(const struct model_file *mf, const struct mf_tensor *t, int pair_heads,
                     void (*emit)(void *ctx, const void *p, size_t n), void *ctx, struct err *e);
/* The same into a file. */
int mf_tensor_write(struct file_out *o, const struct model_file *mf, const struct mf_tensor *t,
                    int pair_heads, struct err *e);

/* The same error of a tensor of mf with data, as it is stored. */
int mf_tensor_check(const struct model_file *mf, const struct mf_tensor *t, struct err *e);

/* The same error of a tensor whose numbers are finite, but not as type `to`; t is one of these. */
int mf_tensor_beyond(const struct model_file *mf, const struct mf_tensor *t, enum dtype to,
                     struct err *e);

/* Row r of that layout, as stored. t has 2 dimensions and data. */
const void *mf_tensor_row(const struct mf_tensor *t, uint64_t r);

/* For writers: a whole file, shown to mf->check if there is one, then committed. */
int model_file_commit(const struct model_file *mf, struct file_out *o, struct err *e);
/* The first half of it: o is on the disk, and the check is content. */
int model_file_ready(const struct model_file *mf, struct file_out *o, struct err *e);

/* Writes by format name. Refuses to replace the file that mf was opened from. */
int model_file_write(const struct model_file *mf, const char *format, const char *path,
                     struct err *e);

/* out[h*hd + 2i] = in[h*hd + i], out[h*hd + 2i+1] = in[h*hd + hd/2 + i]: split halves to
 * interleaved pairs, whole rows of cols floats; rope_to_halves is its inverse. Not in place. */
void rope_to_pairs(float *out, const float *in, uint64_t rows, uint64_t cols, int heads);
void rope_to_halves(float *out, const float *in, uint64_t rows, uint64_t cols, int heads);

/* The row of t as stored that is row r of the asked layout: split halves, or with pair_heads > 0
 * interleaved pairs within each of so many heads. */
uint64_t mf_stored_row(const struct mf_tensor *t, uint64_t r, int pair_heads);

#endif
