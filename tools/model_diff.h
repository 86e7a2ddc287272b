/* Two models, or two adapters, tensor by tensor. */
#ifndef DUET_MODEL_DIFF_H
#define DUET_MODEL_DIFF_H

#include "err.h"
#include "format.h"
#include "machine.h"
#include "model.h"

#include <jansson.h>

/* A model as a file: of any format, the folder of a run, of a LoRA run base and adapter as one. */
struct diff_side {
    const char *path;
    struct model_file mf; /* mf.config: as duet reads it, every key that it knows spelled out */
    bool adapter;         /* it is a bare one, without a base */
    struct model merged;  /* of a LoRA run */
    struct model_as_file *hold;
};
int diff_side_open(struct diff_side *s, const char *path, const struct machine *machine,
                   struct err *e);
void diff_side_close(struct diff_side *s); /* accepts all zeros */

enum diff_kind { DIFF_BOTH, DIFF_ONLY_A, DIFF_ONLY_B, DIFF_SHAPE };

struct tensor_diff {
    const char *name; /* in one of the files */
    const struct mf_tensor *a, *b;
    enum diff_kind kind;
    double max, rms; /* of the differences of the values as f32; DIFF_BOTH */
    double scale;    /* rms of A's */
    bool same;       /* every value */
};

struct model_diff {
    struct tensor_diff *tensor; /* those that differ first: missing ones, then by max; owned */
    size_t n, n_same;
    json_t *config; /* {"key": [a, b]} of those that differ, null: not there; owned */
    const char *tokenizer; /* "same", "differ", "only in A", "only in B", "none" */
};
int model_diff_make(struct model_diff *d, const struct diff_side *a, const struct diff_side *b,
                    struct err *e);
void model_diff_release(struct model_diff *d); /* accepts all zeros */

#endif
