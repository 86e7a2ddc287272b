/* safetensors (https://github.com/huggingface/safetensors, README.md, "Format"): u64 N, N bytes of
 * a JSON object {"name": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {...}}
 * padded with blanks, then the data, without holes. */
#ifndef DUET_SAFETENSORS_H
#define DUET_SAFETENSORS_H

#include "format.h"
#include <jansson.h>

/* Adds the tensors of a mapped file to `to`, under the names that they have in it, in the order of
 * their data. owner: whose map it is; tensors whose data is not aligned in the file are copied into
 * memory that belongs to it. *meta: "__metadata__" as a new reference, or NULL. */
int safetensors_read(struct model_file *to, struct model_file *owner, const struct file_map *map,
                     json_t **meta, struct err *e);

struct safetensors_item {
    char *name; /* in the file */
    const struct mf_tensor *t;
};

/* F32, F16 or BF16? Else an error that names the tensor. */
int safetensors_check(const struct mf_tensor *t, const char *path, struct err *e);

/* Writes a whole file of checked tensors. Sorts the items as the reference implementation does: by
 * the size of the type, then by name. */
int safetensors_write(struct file_out *o, const struct model_file *mf,
                      struct safetensors_item *items, size_t n, json_t *meta, struct err *e);

#endif
