/* Loss of whole documents, every byte once: figures that errors pair between models, tokenizers and
 * context lengths.
 *
 * Rule. Each document (docs.h) is apart. In front of it stands what training puts there: the
 * tokenizer's start token (shard_start) and, for tokenizers that keep it, the white space behind
 * the mark before; both are context and not scored. Then every token of the document is scored
 * once: the first from the start token, or, for a tokenizer that has none, at ln(vocabulary) nats,
 * a uniform guess. Special tokens in the text are text. The end of the document is no byte of it
 * and is not scored.
 * A document of more tokens than the context is read in windows of the context, each beginning half
 * a context before the first token that it scores.
 * Bytes that no token stands for (tokenizer_lost) are in no token's loss: they are counted, and
 * figures with other losses do not pair.
 * A document's figures depend on nothing but it, the model and the context. */
#ifndef DUET_EXACT_H
#define DUET_EXACT_H

#include "docs.h"
#include "machine.h"
#include "model.h"

#include <stdio.h>

struct exact_doc {
    uint64_t offset, bytes, hash; /* in the text; xxh3 of the bytes */
    uint64_t tokens;              /* that were scored */
    double nats;
    uint64_t lost; /* bytes that no token stands for */
};

struct exact_result;
struct exact_opts {
    int64_t context;       /* tokens of a window, at least 2; 0: all that the model has */
    /* Called once, when everything but the nats is known and nothing is scored yet; or NULL. An
     * error ends the run. */
    int (*ready)(void *ctx, const struct exact_result *r, struct err *e);
    void (*progress)(void *ctx, uint64_t done, uint64_t total); /* documents; or NULL */
    void *ctx;
};

struct exact_result {
    struct exact_doc *docs;
    size_t n;
    int64_t start;    /* the start token, or -1 */
    int64_t context;  /* in use */
    uint64_t longest; /* tokens of a document with what is in front */
};

/* ERR_INPUT: the tokenizer cannot encode a document or does not fit the model; ERR_USAGE: the
 * context is longer than the model's; ERR_NUMERIC: a loss is not finite. */
int exact_run(struct model *m, const struct machine *machine, const struct tokenizer *t,
              const struct docs *d, const struct exact_opts *o, struct exact_result *r,
              struct err *e);
void exact_release(struct exact_result *r); /* accepts all zeros */

/* Sums, and errors of ratios over documents as the units that were drawn: with r = sum x / sum b,
 * the error is sqrt(n/(n-1) sum (x - r b)^2) / sum b (Cochran 1977, section 6.4). */
struct exact_total {
    double nats, bpb, bpb_stderr; /* stderr NaN for one document */
    uint64_t bytes, tokens, lost;
    size_t better; /* paired: documents with fewer nats than there */
};
struct exact_total exact_total(const struct exact_result *r);

/* r minus other, document by document. */
struct exact_total exact_paired(const struct exact_result *r, const struct exact_result *other);

/* Tab-separated with a heading: document, offset, bytes, xxh3, tokens, nats, lost. */
int exact_write(const struct exact_result *r, const char *path, struct err *e);

/* What exact_write wrote, of the same documents as r's with as many bytes lost: else ERR_INPUT
 * names the line. */
int exact_read(struct exact_result *other, const char *path, const struct exact_result *r,
               struct err *e);

/* The same of whatever documents: docs and n of *r. */
int exact_load(struct exact_result *r, const char *path, struct err *e);
/* Do these first n bytes of a file begin what exact_write wrote? */
bool exact_probe(const void *data, size_t n);

#endif
