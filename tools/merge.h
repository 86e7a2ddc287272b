/* A base and an adapter as one model. */
#ifndef DUET_MERGE_H
#define DUET_MERGE_H

#include "export.h"

/* Adds the adapter that m was opened with to its weights (lora_merge) and writes the model as
 * model_export does, with where it comes from in its meta data. base: the file that it was opened
 * from, for messages. m is spent. kern: of the machine. */
int merge_export(struct model *m, const struct kern *kern, const char *base, const struct format *f,
                 const char *path, const struct export_opts *x, struct export_report *r,
                 struct err *e);

#endif
