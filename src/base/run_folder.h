/* The folder of a training run: which files in it are the run's own. Commands that write files
 * leave them as they are, for the run to go on. */
#ifndef DUET_RUN_FOLDER_H
#define DUET_RUN_FOLDER_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>

extern const char *const run_folder_files[];
extern const size_t n_run_folder_files;

/* The folder in a run's in which earlier checkpoints are kept, each in a folder of its own. */
#define RUN_FOLDER_KEPT "checkpoints"

bool run_folder_is(const char *dir);

/* Is it RUN/checkpoints? */
bool run_folder_is_kept(const char *dir);
/* Of a checkpoint that a run keeps (RUN/checkpoints/STEP) the run, absolute, malloc()ed; else
 * NULL. */
char *run_folder_of_kept(const char *dir);

/* ERR_USAGE where writing to `path` (a file, there or not; through symbolic links) would replace
 * one of a run's own files, or put another in the place of one that it has yet to write. */
int run_folder_spare(const char *path, struct err *e);

#endif
