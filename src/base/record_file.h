/* A file that is only appended to, as the records of runs and of searches are. A record goes behind
 * the last one with one write(2), so that what kill -9 leaves is whole ones; where that is not so
 * (a write across two pages, a power failure) the end is torn. What is whole is the owner's to say,
 * who reads the file before more is appended, and cuts off what lies behind.
 *
 *   struct record_file f = {0};
 *   TRY(record_file_open(&f, "clock", e));          or record_file_create
 *   TRY(record_file_cut(&f, whole, e));
 *   TRY(record_file_append(&f, record, bytes, e));
 *   TRY(record_file_sync(&f, e));                   before anything that builds on it
 *   out: record_file_close(&f);
 *
 * Errors name the file. What fails to open is all zeros again. */
#ifndef DUET_RECORD_FILE_H
#define DUET_RECORD_FILE_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeros: closed. */
struct record_file {
    char *path;
    int fd;
    bool writing;  /* fd is open */
    bool regular;  /* a file; else a pipe or a device, of which nothing is cut */
    uint64_t size; /* bytes; the next record goes there */
};

/* A file that holds a head and no record, on the disk with its name, in the place of an old one. */
int record_file_create(struct record_file *f, const char *path, const void *head, size_t bytes,
                       struct err *e);

/* Opens it, an empty one if it is not there, whose name is then on the disk. */
int record_file_open(struct record_file *f, const char *path, struct err *e);

/* Nobody else has it from now on until it is closed: comes before it is read. ERR_USAGE "PATH:
 * BUSY" where another process has it; ERR_INPUT where it is no regular file. */
int record_file_lock(struct record_file *f, const char *busy, struct err *e);

/* What lies behind its first `size` bytes goes, from the disk, too. ERR_INPUT, and nothing has
 * changed, where there are fewer. */
int record_file_cut(struct record_file *f, uint64_t size, struct err *e);

/* After a failed write the file is as it was. */
int record_file_append(struct record_file *f, const void *data, size_t bytes, struct err *e);

/* Everything appended is on the disk. */
int record_file_sync(struct record_file *f, struct err *e);

void record_file_close(struct record_file *f); /* accepts all zeros; gives the lock back */

#endif
