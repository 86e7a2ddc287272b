/* What is to be done when a signal ends the program: temporary files go, and a mapped file that was
 * cut is named.
 *
 * The lists are kept by file.c and whoever makes temporaries; they cost nothing and act on nothing
 * until the program asks for it with guard_install. The library never does. Lists have a fixed
 * size: what does not fit is not guarded. */
#ifndef DUET_GUARD_H
#define DUET_GUARD_H

#include "err.h"
#include <stddef.h>
#include <stdint.h>

/* SIGINT, SIGTERM and SIGHUP, unless they were ignored when the program began: temporary files are
 * removed, then the signal ends the program as it would have. SIGBUS at an address of a mapped
 * file: one sentence that names the file, temporary files are removed, exit status 1; elsewhere as
 * without. */
void guard_install(void);

/* A temporary file from now on, and no more; or a folder, which goes if it is empty by then. It
 * need not be there yet. The string is kept, not copied. */
void guard_temp(const char *path);
void guard_temp_done(const char *path);

/* A file of device and inode that is mapped at [data, data + size). path as above. */
void guard_map(const void *data, size_t size, const char *path, uint64_t dev, uint64_t inode);
void guard_map_done(const void *data);

/* ERR_IO if a mapped file has become shorter than its map: what was read beyond its end is zeros up
 * to the end of a page. Comes before anything made from it is kept or told. */
int guard_check_maps(struct err *e);

/* Message "PATH: ..." if p lies in a mapped file that has become shorter; else 0. For system calls
 * that fail with EFAULT. */
int guard_check_at(const void *p, struct err *e);

#endif
