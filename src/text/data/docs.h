/* A text as documents, the same for every tokenizer: what stands between the marks <|endoftext|>,
 * without the white space around it, which is layout. A corpus' trailer line (stories.h) is
 * none. */
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
    size_t bytes, text_cap;
    struct doc_span *spans;
    size_t n, cap;
    size_t trailers; /* lines of the text that are trailers of corpora, inside of files */
};

/* Reads texts (as textin.h does; folders as textlist.h) into memory; a document ends with its file.
 * ERR_INPUT: a file without a document. */
int docs_read(struct docs *d, const char *const *paths, size_t n, struct err *e);
/* The same of one text in memory, malloc()ed, which is taken over also on failure. name: for
 * messages. */
int docs_take(struct docs *d, char *text, size_t bytes, const char *name, struct err *e);
void docs_release(struct docs *d); /* accepts all zeros */

#endif
