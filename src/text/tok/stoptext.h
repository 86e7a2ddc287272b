/* Texts that end a generated one, wherever its tokens are cut.
 *
 * Bytes come in pieces. As soon as one of the texts stands at the end of what came, byte by byte,
 * the text ends before it: where several end at the same byte, before the longest. What may be the
 * beginning of one is held back until it is known. The result does not depend on the pieces. */
#ifndef DUET_STOPTEXT_H
#define DUET_STOPTEXT_H

#include "tokenizer.h"

struct stoptext {
    const char *const *text; /* n of them, none empty; borrowed */
    size_t n;
    bool found;            /* one came: nothing more is taken */
    struct tok_bytes held; /* what may be the beginning of one */
    struct tok_bytes out;  /* text that is before any, until the next call */
};

/* More bytes: s->out, s->found. */
int stoptext_add(struct stoptext *s, const char *bytes, size_t n, struct err *e);

/* There is no more: what is held back is text, in s->out. */
void stoptext_end(struct stoptext *s);

void stoptext_release(struct stoptext *s); /* accepts all zeros; keeps text */

#endif
