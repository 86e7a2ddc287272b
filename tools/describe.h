/* What a file is, as facts (facts.h): for `duet info` and whatever shows part of it. */
#ifndef DUET_DESCRIBE_H
#define DUET_DESCRIBE_H

#include "err.h"
#include "format.h"
#include "tokenizer.h"

#include <jansson.h>

struct describe_opts {
    bool tensors; /* list every tensor of a model */
    bool verify;  /* check everything that can be checked */
};

/* Any file or folder: fills o. ERR_INPUT: nothing that duet knows. */
int describe(json_t *o, const char *path, const struct describe_opts *opt, struct err *e);

/* ---- between the files of describe_*.c ------------------------------------------------------- */

/* Takes over *mf, a model or an adapter. */
int describe_model(json_t *o, struct model_file *mf, const struct describe_opts *opt,
                   struct err *e);
void describe_config(json_t *o, json_t *config, uint64_t parameters); /* a description alone */
void describe_tokenizer(json_t *o, const struct tokenizer *t);
int describe_adapter(json_t *o, const char *path, struct err *e);

int describe_run(json_t *o, const char *dir, const struct describe_opts *opt, struct err *e);
int describe_kept(json_t *o, const char *dir, struct err *e); /* RUN/checkpoints */
int describe_log(json_t *o, const char *path, struct err *e);
int describe_state(json_t *o, const char *path, struct err *e);
int describe_trajectory(json_t *o, const char *path, struct err *e);
int describe_clock(json_t *o, const char *path, struct err *e);
int describe_text(json_t *o, const char *path, struct err *e);
int describe_exact(json_t *o, const char *path, struct err *e); /* of eval --exact --out */
/* A file of a run in JSON: kind names it, and its keys become rows (of "options ..." an object). */
int describe_record(json_t *o, const char *kind, const char *path, struct err *e);

#endif
