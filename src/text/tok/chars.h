/* Bytes that come in pieces, as whole characters: what tokens spell may end in the middle of one.
 *
 * The bytes of a character that is not complete are held back. Bytes that no character of
 * well-formed UTF-8 has there become U+FFFD, one for each longest beginning of a character (the
 * practice of Unicode 15, section 3.9), and are counted. */
#ifndef DUET_CHARS_H
#define DUET_CHARS_H

#include "tokenizer.h"

struct chars {
    char held[4]; /* of a character that is not complete */
    size_t n_held;
    struct tok_bytes out; /* whole characters, until the next call */
    uint64_t replaced;    /* U+FFFD that were put in */
};

/* The characters that are complete now: c->out. */
int chars_add(struct chars *c, const char *bytes, size_t n, struct err *e);

/* There is no more: what is held back becomes U+FFFD in c->out. */
int chars_end(struct chars *c, struct err *e);

void chars_release(struct chars *c); /* accepts all zeros */

#endif
