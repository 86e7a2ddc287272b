/* The data of a run: a shard to read windows from, and the tokenizer that made it. */
#ifndef DUET_DATASET_H
#define DUET_DATASET_H

#include "shard.h"
#include "tokenizer.h"

struct dataset_opts {
    const char *path;      /* text (plain or .zst), a shard, or headerless uint16 tokens */
    const char *format;    /* "auto" or "raw16" */
    const char *tokenizer; /* as tokenizer_open, or NULL */
    const void *blob;      /* a model's own tokenizer, used when tokenizer is NULL; or NULL */
    size_t blob_bytes;
    const char *cache;  /* where to put the shard made from text; NULL: a temporary file */
    bool reuse;         /* an intact cache made by the same tokenizer is used, whatever path is */
    bool expected;      /* only if its hash (shard.h) is `expect` */
    uint64_t expect;
    uint32_t raw_vocab; /* vocabulary of raw16 tokens */
    bool quiet;
};

struct dataset {
    struct shard shard;
    struct tokenizer *tokenizer; /* NULL: raw16 without one */
    char *temp;                  /* temporary shard to remove */
};

int dataset_open(struct dataset *d, const struct dataset_opts *o, struct err *e);
void dataset_close(struct dataset *d); /* accepts all zeros */

/* The *n ids below vocab that occur, ascending; *ids is malloc()ed, also on failure. */
int dataset_ids(const struct shard *s, int64_t vocab, uint32_t **ids, int64_t *n, struct err *e);

#endif
