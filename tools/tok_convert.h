/* A tokenizer from one file form to another: duet tokenizer convert. */
#ifndef DUET_TOK_CONVERT_H
#define DUET_TOK_CONVERT_H

#include "err.h"
#include "log.h"

/* in: what tokenizer_open takes, or with pre a folder with vocab.json and merges.txt (or GPT-2's
 * encoder.json and vocab.bpe) whose pre-tokenizer is pre; pre may be NULL. out: its ending says the
 * form, .json, .bin or .model. notes (or NULL): tells what out says differently. */
int tok_convert(const char *in, const char *out, const char *pre, struct log_progress *notes,
                struct err *e);

#endif
