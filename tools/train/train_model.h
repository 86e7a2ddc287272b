/* The model that training options describe, in the order that its parts depend on each other:
 *
 *   TRY(train_model_create(&m, o, &files, vocab, e));  description and tables
 *   TRY(train_model_shape(&m, setup, ids, n_ids, e));  compaction, LoRA, what moves, storage types
 *   ... plan its memory ...
 *   TRY(train_model_load(&m, setup, o, &files, base, e));  memory and first weights
 *
 * The weights are a function of the options, the file `base` and the ids: a replay makes
 * the same. */
#ifndef DUET_TRAIN_MODEL_H
#define DUET_TRAIN_MODEL_H

#include "import.h"
#include "train_opts.h"

/* The files that a run is made of, each imported once, however often its description, tokenizer and
 * hash are asked for: until its weights go to the model, and its maps where they are not copied. */
struct train_files {
    bool verify; /* with the checksums of weights, when a file is first asked for */
    struct train_file {
        char *path; /* NULL: free */
        struct model_file mf;
    } file[2];
    int next; /* to give way to another */
};
/* model_file_hash. */
int train_files_hash(struct train_files *f, const char *path, uint64_t *hash, struct err *e);
void train_files_close(struct train_files *f); /* accepts all zeros */

/* vocab: the tokenizer's size, or 0 to leave the description's. A new model gets a vocabulary of
 * that size, be it larger or smaller than the description's, unless --set says another. */
int train_model_create(struct model *m, const struct train_opts *o, struct train_files *f,
                       int64_t vocab, struct err *e);

/* ids: the n_ids ascending ids to keep, or n_ids 0: the whole vocabulary. */
int train_model_shape(struct model *m, const struct train_setup *s, const uint32_t *ids,
                      int64_t n_ids, struct err *e);

/* base: the model file, or NULL: random weights of the seed. */
int train_model_load(struct model *m, const struct train_setup *s, const struct train_opts *o,
                     struct train_files *f, const char *base, struct err *e);
/* The first weights again, of a model that has its memory. */
int train_model_begin(struct model *m, const struct train_setup *s, const struct train_opts *o,
                      struct train_files *f, const char *base, struct err *e);

/* The description of --model or --init. tok: gets the tokenizer inside --init's file, or NULL. */
int train_model_config(struct model_config *c, const struct train_opts *o, struct train_files *f,
                       struct model *tok, struct err *e);

#endif
