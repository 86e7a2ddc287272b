/* The files that trials are made of, by hash: under the same name they must hold the same for as
 * long as a search goes on.
 *
 * A file's hash is XXH64 of its bytes. That of a folder is of the files that `duet train` would
 * read there, in its order, each as name, 0, its number of bytes as u64, bytes: of a folder of
 * texts all of them (textlist.h); of a run's its weights, adapter and tokenizer; of any other the
 * regular files in it. */
#ifndef DUET_SEARCH_SOURCES_H
#define DUET_SEARCH_SOURCES_H

#include "search_file.h"

/* Is `text`, a value of the option or axis `key`, the path of a file? Not so of words ("byte") and
 * of programs that are found by PATH. */
bool search_names_file(const char *key, const char *text);

/* Puts {path: hash} of each file and folder that base, axes and "program" name into `sources`. What
 * is not there, as a description that comes with duet, is left out. ERR_INPUT, ERR_IO: a folder
 * that train could not read. ERR_NOMEM. */
int search_sources(const struct search_file *f, json_t *sources, struct err *e);

/* ERR_INPUT where one of `was` is another in `now`, or not there. dir: for messages. */
int search_sources_same(const char *dir, json_t *was, json_t *now, struct err *e);

#endif
