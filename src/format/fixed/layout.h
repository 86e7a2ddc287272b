/* The plain Llama decoder, as fixed-layout formats (BLZT v4, llama2.c) know it: a few sizes, and
 * tensors in an order that each format defines as a sequence of kinds of parts, which are those of
 * the architecture "llama" without anything that not every llama has.
 *
 * Reading:
 *   sizes, llama_dims_check, the exact file size, then llama_add in the order of the format.
 * Writing:
 *   llama_dims_from, which refuses any model that these sizes and parts cannot describe, then
 *   llama_write in the order of the format.
 *
 * All of these files hold f32, row-major (out, in), query and key rows as interleaved pairs. */
#ifndef DUET_LAYOUT_H
#define DUET_LAYOUT_H

#include "format.h"
#include <jansson.h>

struct llama_dims {
    uint64_t dim, hidden, layers, heads, kv_heads, head_dim, vocab, seq;
    bool tied; /* the classifier is the embedding: no PART_HEAD */
    const struct part_table *parts; /* llama_parts; whoever fills the sizes sets it */
};

/* The architecture whose parts these files hold. */
const struct part_table *llama_parts(const struct model_file *mf);

/* Every size within bounds that keep all later arithmetic within 64 bits, heads divisible by
 * kv_heads, head_dim even. */
int llama_dims_check(const struct llama_dims *d, const char *path, struct err *e);

/* Copies of a part: layers, 1, or 0 for the head of a tied model. */
uint64_t llama_copies(const struct llama_dims *d, enum part_kind part);

/* Elements of one tensor of a part; of all tensors. */
uint64_t llama_count(const struct llama_dims *d, enum part_kind part);
uint64_t llama_total(const struct llama_dims *d);

/* Adds the tensor of a part and layer whose f32 data is at *offset of the map, and moves *offset
 * behind it. The caller has checked the size of the file. */
int llama_add(struct model_file *mf, const struct llama_dims *d, enum part_kind part,
              uint64_t layer, uint64_t *offset, struct err *e);

/* New JSON object with the Hugging Face keys of d: theta 10000, eps 1e-5. NULL: no memory. */
json_t *llama_config(const struct llama_dims *d);

/* Says in duet.assumed which keys of a config of llama_config the file does not store, so that
 * whoever opens it hears what they are taken to be (config.h): theta and eps; residual scale and
 * softcap if asked for. False: no memory. */
bool llama_assume(json_t *config, bool scale, bool softcap);

/* The sizes of mf, whose config must describe a Llama of exactly these parts and of the constants
 * that the readers of these formats assume: SiLU, theta 10000, eps 1e-5, residual scale 1, no
 * rotary scaling, no softcap, no further tensors. *config is a new reference. */
int llama_dims_from(struct llama_dims *d, json_t **config, const struct model_file *mf,
                    const char *format, struct err *e);

/* Writes the tensor of a part and layer as f32, rotary rows as interleaved pairs. */
int llama_write(struct file_out *o, const struct model_file *mf, const struct llama_dims *d,
                enum part_kind part, uint64_t layer, struct err *e);

#endif
