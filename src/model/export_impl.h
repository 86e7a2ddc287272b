/* Between export.c and export_tok.c. */
#ifndef DUET_EXPORT_IMPL_H
#define DUET_EXPORT_IMPL_H

#include "export.h"
#include "tokenizer.h"

/* Appends a sentence; a full buffer drops it. */
void export_note(struct export_report *n, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Fills what of a tokenizer the format takes (blob, vocabulary or sides) from the tokenizer of in,
 * and bos_token_id and eos_token_id of config where it lacks them. *hold is to be closed after out,
 * which may point into it. */
int export_tokenizer(struct model_file *out, json_t *config, const struct model_file *in,
                     const struct format *f, const struct export_opts *o,
                     struct export_report *report, struct tokenizer **hold, struct err *e);

/* The model card, as a side of out, whose tensors are there. arch: as the format calls it. */
#define EXPORT_CARD "README.md"
int export_card(struct model_file *out, const struct model_file *in, const struct model_config *c,
                const char *arch, const char *name, struct err *e);

/* The same of an adapter of m, whose base is called so. */
int export_adapter_card(struct model_file *out, const struct model *m, const char *base,
                        struct err *e);

#endif
