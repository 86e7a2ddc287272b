/* Loss of a model over fixed windows of tokens. */
#ifndef DUET_EVAL_H
#define DUET_EVAL_H

#include "batch.h"
#include "exec.h"
#include "model.h"

struct eval_result {
    double loss;    /* mean over target tokens, nats */
    double stderr_; /* standard error of loss over windows */
    double bpb; /* bits per byte: total nats / ln 2 / text bytes of the targets; NaN if unknown */
    double floor_bpb; /* information of the corpus in bits per byte; NaN if unknown */
    uint64_t tokens, bytes, windows;
};

struct eval_opts {
    int64_t batch, seq;
    uint64_t max_windows;        /* 0: all */
    const uint32_t *token_bytes; /* per id of the shard's vocabulary, or NULL */
    double *losses; /* out: mean loss of each window (val_rows of them), or NULL */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* or NULL */
    void *ctx;
    const _Atomic int *cancel; /* see exec_opts; gives ERR_STOP */
};

/* Reserves its own memory for the forward pass. Tokens are mapped through m->compact_id if the
 * model is compacted (ids it lacks are ERR_INPUT). ERR_NUMERIC: a loss is not finite. */
int eval_run(struct model *m, const struct machine *machine, const struct shard *s,
             const struct split *v, const struct eval_opts *o, struct eval_result *r,
             struct err *e);

/* model_logits (logits.h) of the first n tokens of s. ERR_NUMERIC: one is not finite; it and what
 * comes behind it is not emitted. */
int eval_logits(struct model *m, const struct machine *machine, const struct shard *s, int64_t n,
                void (*emit)(void *ctx, const float *logits, int64_t vocab), void *ctx,
                struct err *e);

/* Table of tokenizer_token_bytes for n ids (ids beyond the tokenizer: 0); malloc()ed. */
uint32_t *eval_token_bytes(const struct tokenizer *t, int64_t n);

#endif
