/* A command in a JSON file: a text that is cut at blanks ("sh score.sh"), or an array of its words,
 * which may then have blanks. */
#ifndef DUET_WORDS_H
#define DUET_WORDS_H

#include "err.h"
#include <jansson.h>

/* *words: a new array of at least one text. path and key: of v, for messages; v NULL: it is
 * missing. ERR_USAGE, ERR_NOMEM. */
int words_read(const char *path, const char *key, json_t *v, json_t **words, struct err *e);

#endif
