/* Files that a configuration by hand names, kept in the folder of the search under the hash of what
 * is in them: whoever goes on editing the file, builds the program anew or trains on in a run's
 * folder, tries something else then, and what was tried can be repeated.
 *
 * What is kept counts from the folder of the search, "./files/my-0123456789abcdef.json": so a
 * folder that is moved finds it, and the configuration has the hash that it had. */
#ifndef DUET_HAND_FILES_H
#define DUET_HAND_FILES_H

#include "err.h"

#include <stdbool.h>

/* ./INNER/NAME-HASH.END of path's NAME.END (malloc()ed), a copy of it in the folder `dir` that is
 * made if it is not there; what lies there already is its own copy, as long as it is what its name
 * says. program: it can be executed. ERR_USAGE: path is no file, or is to be a program and cannot
 * be executed; ERR_IO, ERR_NOMEM. */
int hand_keep_file(const char *dir, const char *inner, const char *path, bool program, char **kept,
                   struct err *e);

/* The same, in ./files, of weights or an adapter to begin with: of the folder of a run its file
 * (format.h, model_file_of_run); of any other folder, or of weights of Hugging Face in a file, all
 * regular files that lie there, as ./files/FOLDER-HASH. */
int hand_keep_model(const char *dir, const char *path, char **kept, struct err *e);

/* Is what a configuration says was kept there ("./files/my-0123456789abcdef.json", or what lies in
 * a folder of such a name) still what its name says? Anything else is no business of this.
 * ERR_INPUT where it was changed or is not there; ERR_IO, ERR_NOMEM. */
int hand_check_kept(const char *dir, const char *kept, struct err *e);

/* Where a path of a configuration, or of search.json, leads: of what is kept into the folder `dir`
 * (so also of the whole paths of folders that were begun before "./", and moved since), else as it
 * is. Absolute where it is kept; malloc()ed, NULL: no memory. */
char *hand_find_file(const char *dir, const char *path);

/* Do both files hold the same bytes? False also where one cannot be read. */
bool hand_same_file(const char *a, const char *b);

#endif
