/* Files that a configuration by hand names, kept in the folder of the search under the hash of what
 * is in them: whoever goes on editing the file, or builds the program anew, tries something else
 * then, and what was tried can be repeated. */
#ifndef DUET_HAND_FILES_H
#define DUET_HAND_FILES_H

#include "err.h"

#include <stdbool.h>

/* DIR/INNER/NAME-HASH.END of path's NAME.END (absolute, malloc()ed), a copy of it that is made if
 * it is not there. program: it can be executed. ERR_USAGE: path is no file, or is to be a program
 * and cannot be executed; ERR_IO, ERR_NOMEM. */
int hand_keep_file(const char *dir, const char *inner, const char *path, bool program, char **kept,
                   struct err *e);

/* Do both files hold the same bytes? False also where one cannot be read. */
bool hand_same_file(const char *a, const char *b);

#endif
