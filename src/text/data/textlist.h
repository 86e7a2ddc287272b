/* The text files that paths stand for: a folder is its files in the order of their names' bytes.
 * Hidden ones (".x") are left out; what is neither a regular file nor a text is refused by name. */
#ifndef DUET_TEXTLIST_H
#define DUET_TEXTLIST_H

#include "err.h"
#include <stddef.h>
#include <stdint.h>

struct textlist {
    char **path;
    size_t n, cap;
};

/* ERR_USAGE if standard input ("-") or one pipe stands among the paths twice: what is read of it
 * the first time is gone. */
int textlist_once(const char *const *paths, size_t n, struct err *e);

/* A path that is no folder is taken as it is, "-" and pipes too, these once. */
int textlist_open(struct textlist *l, const char *const *paths, size_t n, struct err *e);
void textlist_close(struct textlist *l); /* accepts all zeros */

/* Looks at the beginning of every regular file of the list, so that one that is no text is known
 * before any is worked on. Pipes are left alone: what is read of them is gone. */
int textlist_check(const struct textlist *l, struct err *e);

/* Bytes of all files as they lie on disk; 0 if one of them does not say. */
uint64_t textlist_size(const struct textlist *l);

#endif
