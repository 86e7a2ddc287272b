/* Model files as everything above formats opens them: with the architectures of duet (arch.h). */
#ifndef DUET_MODEL_FILES_H
#define DUET_MODEL_FILES_H

#include "format.h"

/* format_open, format_open_map. */
int model_file_open(struct model_file *mf, const char *path, bool verify, struct err *e);
int model_file_open_map(struct model_file *mf, struct file_map *map, bool verify, struct err *e);

/* model_file_digest of a file or folder that is not open; of the folder of a run, that of its
 * model. */
int model_file_hash(const char *path, uint64_t *hash, struct err *e);

#endif
