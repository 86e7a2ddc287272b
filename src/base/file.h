/* Files: read-only maps, and writing that replaces a file atomically or leaves it as it was. */
#ifndef DUET_FILE_H
#define DUET_FILE_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file mapped read-only. An empty file has size 0 and a non-NULL data. Something that cannot be
 * mapped (a pipe) is read into memory. guard.h says what happens if the file is cut. A pointer of
 * Git LFS is an error, here and below. */
struct file_map {
    const uint8_t *data;
    size_t size;
    size_t skipped; /* bytes of a byte order mark in front of data */
    bool mapped;    /* else malloc()ed */
    char *path;     /* owned copy, for messages */
};

int file_map_open(struct file_map *m, const char *path, struct err *e);

/* The same for what may be UTF-8 text: without the byte order mark in front of it. Not for
 * file_map_drop. */
int file_map_open_text(struct file_map *m, const char *path, struct err *e);
void file_map_close(struct file_map *m); /* accepts all zeros */

/* Gives back the memory of the pages that lie wholly within [offset, offset + bytes): they are read
 * again when they are touched. So a large file passes through without staying in memory. */
void file_map_drop(const struct file_map *m, size_t offset, size_t bytes);

/* An output file under a temporary name in the same directory: write, then commit (fsync, rename,
 * fsync of the directory) or discard (the old file, if any, is untouched). Buffered. The first
 * failed write is remembered, later writes do nothing, and commit reports it: so callers may write
 * without checking each call. path "-" is standard output, without a temporary file; devices and
 * pipes are written directly too. The temporary is locked while it is written (a second writer of
 * the same file is refused), and reused if a killed process left it. A symbolic link stays: the
 * file behind it is replaced. The permissions of a replaced file are kept. For a write beyond the
 * file size limit to be reported like others, the program must ignore SIGXFSZ. */
#define FILE_TEMP_SUFFIX ".duet-tmp"
struct file_out {
    int fd;
    char *path, *temp;
    uint8_t *buf;
    size_t used;
    uint64_t offset; /* bytes written so far, including those still in buf */
    int error;        /* errno of the first failure, or 0 */
    const void *from; /* what could not be written then */
};

int file_out_open(struct file_out *o, const char *path, struct err *e);
/* Can it be opened? For what is written at the end of long work: the error comes before it. Devices
 * and pipes are left alone. */
int file_out_check(const char *path, struct err *e);
void file_out_write(struct file_out *o, const void *data, size_t bytes);
/* Zero bytes up to the next multiple of align (a power of two). */
void file_out_pad(struct file_out *o, size_t align);
/* Overwrites bytes written earlier (headers whose content is known last), where that can be: not on
 * "-", nor in a pipe. */
bool file_out_can_patch(const struct file_out *o);
void file_out_patch(struct file_out *o, uint64_t offset, const void *data, size_t bytes);
/* What was written so far is on the disk, so that little can fail in a later commit. */
int file_out_sync(struct file_out *o, struct err *e);
/* On failure the temporary is removed. That a mapped file was cut meanwhile is one: what is written
 * may be made from it. */
int file_out_commit(struct file_out *o, struct err *e);
void file_out_discard(struct file_out *o);              /* accepts a committed or all-zero struct */

/* Renames a complete file onto another name in the same directory, and syncs the directory. */
int file_replace(const char *from, const char *to, struct err *e);

/* A complete file gets a further name in the same file system, in the place of what has it now;
 * where there are no further names a copy. Atomic; the directory is synced. */
int file_link(const char *from, const char *to, struct err *e);

/* Removes a file, if it is there, and syncs its directory. */
int file_remove(const char *path, struct err *e);

/* The name of a file that was made survives a power failure from now on. */
int file_sync_name(const char *path, struct err *e);

/* flock: an open file, or a folder, for this process alone, until it is closed. Who only looks
 * whether somebody has it holds it too, for an instant, which is waited for. 0; EWOULDBLOCK:
 * another process has it; or why there is no lock, as errno. */
int file_lock(int fd);

/* Whole text file as a NUL-terminated malloc()ed string, without a byte order mark; refuses more
 * than limit bytes, and by name what is no text in UTF-8 (magic.h). Every JSON file is read so. */
int file_read_text(const char *path, size_t limit, char **text, size_t *size, struct err *e);

/* mkdir -p. */
int file_mkdirs(const char *path, struct err *e);

bool file_exists(const char *path);
bool file_is_dir(const char *path); /* an existing folder */
bool file_is_regular(const char *path); /* opening anything else may wait, or never end */

/* "dir/name", malloc()ed. */
char *file_join(const char *dir, const char *name);

/* True if a path, or any name, ends so. */
bool file_ends_with(const char *path, const char *end);

/* True if the file lies in that folder itself, not deeper. */
bool file_lies_in(const char *file, const char *folder);

/* True if the two paths name the same existing file (device and inode). */
bool file_same(const char *a, const char *b);

#endif
