/* A text as documents, the same for every tokenizer: what stands between the marks <|endoftext|>,
 * without the white space around it, which is layout. A corpus' trailer line (stories.h) is none. */
#ifndef DUET_DOCS_H
#define DUET_DOCS_H

#include "err.h"
#include <stddef.h>
#include <stdint.h>

struct doc_span {
    size_t offset, bytes; /* in the text; bytes > 0 */
    size_t before;        /* bytes of white space in front of it, after a mark; 0 for the first */
};

struct docs {
    char *text; /* as textin.h gives it */
    size_t bytes;
    struct doc_span *spans;
    size_t n, cap;
};

/* Reads a text (plain or compressed; "-": standard input) into memory. ERR_INPUT: no document. */
int docs_read(struct docs *d, const char *path, struct err *e);
void docs_release(struct docs *d); /* accepts all zeros */

#endif
