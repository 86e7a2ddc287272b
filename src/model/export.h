/* The way of a model to a file of any format: import.h backwards.
 *
 * Formats that are not duet's own hold a plain model, and this makes one: the residual scale is
 * folded into the weights that write into the residual stream, rotary factors get the form that the
 * format knows, the architecture's name follows from what the model has (QK-norm: qwen3, biases on
 * query, key and value: qwen2), the vocabulary map of a compacted model is left out (its tables are
 * whole), and the tokenizer becomes what the format holds. What a format cannot hold is an error
 * that names the key or tensor.
 *
 * Types: with dtype given, matrices become of that type, and so do tensors of one dimension where
 * the format takes them (Hugging Face; not BLZT, GGUF). Rows that are not whole blocks become f16.
 * With q4_0, embedding and classifier become q8_0. Without, every tensor stays as it is; where the
 * format cannot hold its type, or a residual scale is folded in, it becomes f32.
 *
 * Names: a GGUF says what the model is called. That is what --name said, what a GGUF or
 * _name_or_path of its config said before, else model_name of where it lies. A folder of Hugging
 * Face gets a model card with the name, README.md, unless there is a file of that name. */
#ifndef DUET_EXPORT_H
#define DUET_EXPORT_H

#include "format.h"
#include "model.h"

struct export_opts {
    int dtype;             /* one that dtype_can_write, or -1: as they are; others are ERR_USAGE */
    const char *tokenizer; /* model_open_tokenizer: for a model without one, or its own; "none": no
                            * tokenizer, or NULL */
    const char *name; /* what the model is called from now on; NULL: as it is, or as its file */
    const struct conf_pairs *sets; /* keys of the config to change first, or NULL */
    const struct mf_check *check;  /* shown what is written, with the report filled; or NULL */
};

struct export_report {
    char text[2048]; /* what a person should know: sentences, each with a line break */
    size_t n;
    bool exact;   /* no weight was changed */
    double bound; /* else: the difference of logits, relative to the largest, that the types explain
                   */
};

/* Writes in, which came from model_import or model_as_file, to path. Everything is checked before
 * the first byte is written. A training run's own files are not written over (run_folder.h). */
int model_export(const struct model_file *in, const struct format *f, const char *path,
                 const struct export_opts *o, struct export_report *r, struct err *e);

/* ERR_INPUT where writing there would replace what in, or the tokenizer that is asked for, is read
 * from. model_export has it. */
int export_spares(const struct model_file *in, const struct format *f, const char *path,
                  const char *tokenizer, struct err *e);

/* What a model is called in a format: its parts decide, not its origin (llama, qwen2, ...). */
const char *export_arch(const struct model_config *c, const struct format *f);

#endif
