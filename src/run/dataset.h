/* The data of a run: a shard to read windows from, and the tokenizer that made it. */
#ifndef DUET_DATASET_H
#define DUET_DATASET_H

#include "conf.h"
#include "shard.h"
#include "tokenizer.h"

struct dataset_opts {
    struct conf_list data; /* texts and folders of texts (textlist.h), a shard, or raw16 tokens */
    const char *format;    /* "auto" or "raw16": headerless uint16 tokens */
    const char *tokenizer; /* as tokenizer_open, or NULL */
    struct tok_own own;    /* a model's own tokenizer, used when tokenizer is NULL; where it cannot
                            * be used, only raw16 is read, and `warn` hears why */
    const char *cache;  /* where to put the shard made from text; NULL: a temporary file */
    bool reuse;         /* an intact cache made by the same tokenizer is used, whatever path is */
    bool expected;      /* only if its hash (shard.h) is `expect` */
    uint64_t expect;
    uint32_t raw_vocab; /* vocabulary of raw16 tokens */
    struct pool *pool;  /* that tokenizes; NULL: one thread */
    /* What happens, for whoever shows it; each may be NULL. */
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* bytes of text, tokenizing */
    void (*built)(void *ctx, const struct shard_stats *stats);  /* the text is tokenized */
    void (*warn)(void *ctx, const char *text);
    void *ctx;
};

struct dataset {
    struct shard shard;
    struct tokenizer *tokenizer; /* NULL: raw16 without one */
    char *temp;                  /* temporary shard to remove */
};

/* What the data is called in messages, into room: its path, or "first and N more". */
const char *dataset_name(const struct conf_list *data, char room[256]);

/* What can be seen without reading all of it: files are there, hold text where text is wanted, and
 * tokens are one file. Pipes are not touched. */
int dataset_check(const struct conf_list *data, const char *format, struct err *e);

int dataset_open(struct dataset *d, const struct dataset_opts *o, struct err *e);
void dataset_close(struct dataset *d); /* accepts all zeros */

/* The *n ids below vocab that occur in either (of the first: its first n_tokens; the second may be
 * NULL or closed), ascending; *ids is malloc()ed, also on failure. */
int dataset_ids(const struct shard *s, uint64_t n_tokens, const struct shard *more, int64_t vocab,
                uint32_t **ids, int64_t *n, struct err *e);

#endif
