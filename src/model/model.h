/* A model: description, parameter table, graph, weights, tokenizer.
 *
 *   TRY(model_create(&m, &config, e));      takes the config over; tables only, no weights yet
 *   TRY(model_compact(&m, ids, n, e));      these three if wanted, in this order
 *   TRY(lora_attach(&m, &lora_opts, e));    model_lora.h
 *   TRY(model_set_storage(&m, DT_BF16, e));
 *   TRY(model_reserve(&m, e));              weights, zero
 *   TRY(model_init(&m, seed, e));           random initialisation
 * or
 *   TRY(model_open(&m, path, sets, e));     any readable model file, weights loaded
 *   ...
 *   TRY(model_save(&m, path, "blzt5", meta, e));
 *   model_close(&m);
 *
 * Storage: matrices and embeddings are held as f32, bf16 or q8_0, everything else as f32. Loading
 * converts row by row, a few MB of the file in memory at a time. A parameter that is not trainable
 * and stands in the file as it is to be stored is not copied: its data points into the map, which
 * the model keeps open. Such weights are read-only, and their pages are the system's to drop.
 *
 * Vocabulary compaction: model_compact() makes a model over the ids that occur; its tables have one
 * row per such id. model_save restores the full vocabulary: rows that were left out get their
 * initial values again (from the init seed or the file that the model came from). */
#ifndef DUET_MODEL_H
#define DUET_MODEL_H

#include "arena.h"
#include "config.h"
#include "format.h"
#include "graph.h"
#include "model_files.h"
#include "pool.h"
#include "tokenizer.h"

struct lora; /* model_lora.h */

struct model {
    struct model_config config;
    struct param *params;
    int n_params;
    struct graph graph;
    struct arena weights;
    struct pool *pool; /* what fills, reads and writes weights; borrowed; NULL: one thread */
    enum dtype storage;   /* of matrices and embeddings; q8_0 if any is */
    struct file_map *maps; /* of weights that are not copied; owned */
    size_t n_maps;
    struct lora *lora;    /* or NULL */
    char *tok_blob; /* tokenizer bytes as stored in files, or NULL; owned */
    size_t tok_bytes;
    struct vocab *tok_vocab; /* instead of them the vocabulary of a GGUF, or NULL; owned */
    char *tok_problem; /* why the file's tokenizer is not there (import.h), or NULL; owned */
    char *notes; /* what was read otherwise than the file says (format.h), or NULL; owned */
    /* Compaction: id i of this model is full_id[i] of the vocabulary; NULL: not compacted. */
    uint32_t *full_id, *compact_id; /* compact_id: full_vocab entries, UINT32_MAX where left out */
    int64_t full_vocab;
    /* Where the initial weights came from, for the rows that compaction leaves out. */
    uint64_t init_seed;
    char *init_path; /* or NULL: random */
};

/* Takes over *config (also on failure). */
int model_create(struct model *m, struct model_config *config, struct err *e);

/* Chooses the storage: f32 (as it is without this), bf16 or q8_0. q8_0 is only for weights that are
 * not trained (else ERR_USAGE); a matrix whose rows are not whole blocks is stored as f16 then. */
int model_set_storage(struct model *m, enum dtype t, struct err *e);

/* Each matrix as the file has it, where that is f32, bf16 or (of what is not trained) q8_0; else
 * f32. In the place of a type, below and in adapter.h: what the file has is not copied at all. */
#define MODEL_AS_STORED DT_COUNT
void model_keep_storage(struct model *m, const struct model_file *mf);

/* Nothing is trainable any more. Before loading, so that weights need not be copied. */
void model_freeze(struct model *m);

int model_reserve(struct model *m, struct err *e);

/* The memory reserved for parameter i, which is not in use if its data is in the file's map. */
void *model_slot(const struct model *m, int i);

/* Gives parameter i writable data: a copy of what is in the map, if it is there. */
void model_own(struct model *m, int i);

/* Random weights (not LoRA's), a pure function of (seed, tensor, row), then rounded to the storage:
 * config.init says how.
 *   fan_in  N(0, 1/fan_in) for matrices, times 1/sqrt(2 layers) for those that write into the
 *           residual stream; embeddings N(0, initializer_range); norms 1; biases 0
 *   normal  the same with N(0, initializer_range) for matrices (Hugging Face)
 *   compat  the predecessors': one srand48 stream of uniforms, with their scales (fan-out for gate,
 *           up and down) */
int model_init(struct model *m, uint64_t seed, struct err *e);

/* The initial row of token id in embedding parameter p, as model_init draws it: p->cols floats. */
void model_init_row(const struct model *m, const struct param *p, uint64_t id, float *row);

/* Opens a model file of any readable format and loads its weights (f32). */
int model_open(struct model *m, const char *path, const struct conf_pairs *sets, struct err *e);

/* The same for reading only: nothing is trainable, matrices are stored as t, or MODEL_AS_STORED.
 * pool: of the model. */
int model_open_frozen(struct model *m, const char *path, const struct conf_pairs *sets,
                      enum dtype t, struct pool *pool, struct err *e);

/* Weights (not LoRA's) from a file into a model of the same shape; vocabulary rows by full_id. On
 * failure the weights are undefined. */
int model_load(struct model *m, const char *path, struct err *e);

/* The same from an open file, whose map the model may take over. */
int model_load_file(struct model *m, struct model_file *mf, struct err *e);

/* ids: n ascending ids below config.vocab. Before lora_attach, model_set_storage, model_reserve. */
int model_compact(struct model *m, const uint32_t *ids, int64_t n, struct err *e);

/* n ids of the full vocabulary as the model counts them; ERR_INPUT: it has none such. */
int model_map_ids(const struct model *m, uint32_t *ids, int64_t n, struct err *e);

/* Remembers the tokenizer to store in checkpoints (copied). */
int model_set_tokenizer(struct model *m, const void *blob, size_t bytes, struct err *e);
int model_keep_tokenizer(struct model *m, const struct tokenizer *t, struct err *e);
/* The same with what the file has. */
int model_take_tokenizer(struct model *m, struct model_file *mf, struct err *e);
/* The same, of a file that keeps it for others, and without notes. */
int model_copy_tokenizer(struct model *m, const struct model_file *mf, struct err *e);
/* Frees what model_take_tokenizer took. */
void model_forget_tokenizer(struct model *m);
/* What the model has of a tokenizer, borrowed. */
struct tok_own model_tok_own(const struct model *m);
/* Opens it; ERR_INPUT if there is none. */
int model_tokenizer(const struct model *m, struct tokenizer **t, struct err *e);
/* Opens it if there is one; else, and if it is a vocabulary that cannot be used, *t becomes NULL.
 * tok_problem says why. */
int model_try_tokenizer(struct model *m, struct tokenizer **t, struct err *e);
/* The tokenizer that spec names (model_open_tokenizer), or the model's own where it is NULL. One
 * that is larger than the model, or another than its own, is an error. path: of the model. */
int model_pick_tokenizer(const struct model *m, const char *spec, const char *path,
                         struct tokenizer **t, struct err *e);
/* The check alone, of a tokenizer that is open. */
int model_check_tokenizer(const struct model *m, const struct tokenizer *t, const char *path,
                          struct err *e);

/* Checks without weights: the file has every tensor of the model, in its shape, and no other. */
int model_check_file(const struct model *m, const struct model_file *mf, struct err *e);

/* The model as a file that could be written: *mf borrows from m and *hold, which are closed after
 * it (also on failure). meta: as below. A model with LoRA cannot be one. */
struct model_as_file;
int model_as_file(const struct model *m, struct model_file *mf, struct model_as_file **hold,
                  const char *meta, struct err *e);
void model_as_file_close(struct model_as_file *x); /* accepts NULL */

/* Tensors are written as they are stored. A model with LoRA is not saved: adapter_save, or merge or
 * unload first. meta: JSON object text or NULL. format: a name of format.h. */
int model_save(const struct model *m, const char *path, const char *format, const char *meta,
               struct err *e);
/* The same, and *hash becomes the hash of the file (model_file_digest), which is not read for it
 * where the format is duet's own. NULL: nobody asks. */
int model_save_hashed(const struct model *m, const char *path, const char *format,
                      const char *meta, uint64_t *hash, struct err *e);

/* Closes the maps of weights that were not copied; no parameter may point there any more. */
void model_drop_maps(struct model *m);

int64_t model_param_count(const struct model *m);   /* adapters too */
int64_t model_trained_count(const struct model *m); /* those that training changes */
size_t model_weight_bytes(const struct model *m);
void model_close(struct model *m); /* accepts all zeros */

#endif
