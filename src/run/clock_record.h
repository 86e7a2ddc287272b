/* What the clock decided of a run, the file `clock` of its folder: for each update the share of the
 * budget that its schedule saw, and where the run ended. With the options of the run that is all
 * that a repetition needs (run_opts.recorded), also where --time, or a checkpoint that was due by
 * the clock when the loss ran away, decided.
 *
 *   0   "DUETCLCK", u32 version 1, u32 zero
 *   16  records of 16 bytes, one an update, in their order from the first on:
 *       f64 share of the budget that was used before it, 0 to 1
 *       f32 factor on the learning rate (progress.lr_scale), above 0, at most 1
 *       u32 low half of the xxh3 of the 12 bytes before it, seeded with the record's number from 0
 *   ... factor 0 instead: no update, and the last record: the run ended at this share, or stopped
 *       there on its way
 *
 * Little-endian. The file is a record_file; a run that goes on from a checkpoint, or back to one,
 * first cuts off what lies behind it. A torn end is bytes that are no whole record and that no
 * whole record follows; damage before a whole record is an error. The layout is also in
 * docs/formats.md. */
#ifndef DUET_CLOCK_RECORD_H
#define DUET_CLOCK_RECORD_H

#include "err.h"
#include "file.h"
#include "record_file.h"
#include <stdbool.h>
#include <stdint.h>

/* Zeros: closed. Read with updates, ended, end, torn and file.writing; the rest is inside. */
struct clock_record {
    int64_t updates; /* on record */
    bool ended;      /* so did the run, at share `end` */
    double end;
    uint64_t torn; /* bytes of a torn end; clock_record_append_open has cut it off already */
    struct file_map map; /* reading */
    struct record_file file; /* appending */
};

/* The empty file is on the disk with its name, in the place of an old one. */
int clock_record_create(struct clock_record *c, const char *path, struct err *e);

/* Checks a whole file, cuts off a torn end and waits for more records behind the others. */
int clock_record_append_open(struct clock_record *c, const char *path, struct err *e);

/* The next update; the run has ended. c is writing, and nothing comes behind an end but after a
 * cut. After a failed write the file is as it was. */
int clock_record_append(struct clock_record *c, double share, double lr_scale, struct err *e);
int clock_record_end(struct clock_record *c, double share, struct err *e);

/* Drops what lies behind the first `updates`, an end too; c is writing. */
int clock_record_cut(struct clock_record *c, int64_t updates, struct err *e);

/* Everything appended is on the disk. Comes before a checkpoint that has seen it. */
int clock_record_sync(struct clock_record *c, struct err *e);

/* Opens for reading. The whole file is checked here, so that reading on cannot fail. */
int clock_record_open(struct clock_record *c, const char *path, struct err *e);

/* Of one that is open for reading: the share that update `update` saw, from 0 on; behind the last
 * one where the run ended (1 if that is not on record). Its factor on the rate. */
double clock_record_share(const struct clock_record *c, int64_t update);
double clock_record_scale(const struct clock_record *c, int64_t update); /* update < updates */

/* Writes what is whole of it to another file. */
int clock_record_copy(const struct clock_record *c, const char *path, struct err *e);

void clock_record_close(struct clock_record *c); /* accepts all zeros */

#endif
