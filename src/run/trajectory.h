/* Trajectory of a zeroth-order run, `trajectory.zo`: what every update was, in a few bytes. An
 * update is known by its learning rate and the seeds and coefficients of its directions (Malladi et
 * al. 2023, arXiv 2305.17333, section 2.1), so base file + trajectory give the weights after any
 * step, bit for bit (`duet replay`).
 *
 *   0   "DUETZO\r\n", u32 version 1, u32 J: bytes of the JSON text
 *   16  u64 xxh3 of JSON text and ids, u32 n_ids, u32 zero
 *   32  JSON: {"base": 16 hex digits, xxh3 of the base file, "config": {...}, "vocab": N}
 *       n_ids x u32: the ids of a compacted vocabulary, ascending; none: not compacted
 *   ... records, one an update, in the order of the steps from 0 on:
 *       u32 step, u32 accum, u32 n, f32 loss, f64 lr, f32 seconds, n x {u64 seed, f32 coef},
 *       u32 low half of the xxh3 of the record before it
 *
 * Version 2 is of estimators that have more to say of an update (zo_kind.extra): a record has u32 m
 * before its directions, and m x f32 behind them.
 *
 * Little-endian. The file is a record_file. A torn end is bytes that are no whole record and that
 * no whole record follows; damage before a whole record is an error. The layout is also in
 * docs/formats.md. */
#ifndef DUET_TRAJECTORY_H
#define DUET_TRAJECTORY_H

#include "err.h"
#include "file.h"
#include "record_file.h"
#include <stdbool.h>
#include <stdint.h>

enum { TRAJECTORY_MAX_DIRECTIONS = 65536, TRAJECTORY_MAX_EXTRA = 1 << 20 }; /* of one update */

/* What the run began from. */
struct trajectory_head {
    uint64_t base_hash;  /* xxh3 of the file of the initial weights */
    const char *config;  /* JSON object: every training option, as conf_to_json writes it */
    int64_t vocab;       /* full vocabulary */
    const uint32_t *ids; /* n_ids ids of the compacted vocabulary, ascending, or NULL */
    int64_t n_ids;
    bool extra; /* records have numbers beside seeds and coefficients */
};

/* One update. */
struct zo_record {
    int64_t step;  /* updates done before it */
    int64_t accum; /* micro-batches */
    double lr;
    double loss, seconds; /* stored as f32; for people, nothing is computed from them */
    int n;                /* directions, 1 to TRAJECTORY_MAX_DIRECTIONS */
    const uint64_t *seed; /* n each; when read: valid until the next record is read */
    const float *coef;
    int n_extra; /* 0 without head.extra */
    const float *extra;
};

/* Zeros: closed. Read with head, records, torn, torn_at and file.writing; the rest is inside. */
struct trajectory {
    struct trajectory_head head; /* after an open; owned. Of trajectory_create only `extra` */
    int64_t records;             /* whole ones in the file */
    /* The torn end: its size (0: none) and where it begins. trajectory_append_open has cut it off
     * already. */
    uint64_t torn, torn_at;
    /* reading */
    struct file_map map;
    size_t begin, end, next; /* offsets: of the first record, behind the last, of the next */
    uint64_t *seed;
    float *coef, *extra;
    int n_max, extra_max; /* most of a record */
    /* appending */
    struct record_file file;
    uint8_t *buf;
    size_t buf_bytes;
};

/* Writes the head and waits for new records; the file is on the disk with its name. An old file of
 * that name is replaced. */
int trajectory_create(struct trajectory *t, const char *path, const struct trajectory_head *h,
                      struct err *e);

/* Checks a whole file, cuts off a torn end and waits for more records behind the others. */
int trajectory_append_open(struct trajectory *t, const char *path, struct err *e);

/* r->step is t->records. Numbers must be finite (bug otherwise: what is not is no update). After a
 * failed write the file is as it was. */
int trajectory_append(struct trajectory *t, const struct zo_record *r, struct err *e);

/* Drops the updates behind the first `records`; t is writing. */
int trajectory_cut(struct trajectory *t, int64_t records, struct err *e);

/* Everything appended is on the disk. Comes before a checkpoint that has seen it. */
int trajectory_sync(struct trajectory *t, struct err *e);

/* Opens for reading. The whole file is checked here, so that reading on cannot fail. */
int trajectory_open(struct trajectory *t, const char *path, struct err *e);

/* The next record, or false at the end of the whole ones. */
bool trajectory_next(struct trajectory *t, struct zo_record *r);

void trajectory_close(struct trajectory *t); /* accepts all zeros */

#endif
