/* Room on the disk, looked at before something is written. */
#ifndef DUET_DISK_H
#define DUET_DISK_H

#include "err.h"
#include <stdint.h>

/* ERR_IO if `bytes` more do not fit where path (a file or folder, which need not be there yet)
 * lies, or if the largest file of them, of `largest` bytes, is above RLIMIT_FSIZE: "PATH: WHAT
 * needs N MB, and M MB are free on its disk". A file's temporary that a killed process left counts
 * as free. "-", pipes, devices and a file system that does not say what is free refuse nothing. */
int disk_fits(const char *path, const char *what, uint64_t bytes, uint64_t largest, struct err *e);

/* Size of an existing file, or 0. */
uint64_t disk_size(const char *path);

#endif
