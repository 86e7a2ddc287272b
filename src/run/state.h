/* The `state` file of a run: counters and optimizer arrays.
 *
 *   0   "DUETSTAT", u32 version, u32 zero
 *   16  u64 footer offset, u64 footer bytes, u64 xxh3 of the footer
 *   40  one zstd frame per array, little-endian f32
 *   ... footer: JSON {"model": hash, "progress": {...}, "t": updates, "optimizer": name or
 * {role: name, ...}, "sections": [{"name", "n", "offset", "bytes", "xxh3"}...]}; xxh3 of the raw
 * array
 *
 * Version 2 has one optimizer, version 3 another for some role: each is written where it says all.
 * Version 1 is read too: it lacks the counters of validation. */
#ifndef DUET_STATE_H
#define DUET_STATE_H

#include "engine.h"
#include "progress.h"

int state_write(const char *path, const struct engine *g, const struct progress *p,
                uint64_t model_hash, struct err *e);
/* The hash of the model file that a state belongs to, from its footer. */
int state_hash(const char *path, uint64_t *model_hash, struct err *e);
int state_read(const char *path, struct engine *g, struct progress *p, uint64_t *model_hash,
               struct err *e);

/* The footer as it stands, for people. *footer: a new object. */
int state_footer(const char *path, struct json_t **footer, int *version, struct err *e);

/* The counters alone. */
int state_read_progress(const char *path, struct progress *p, struct err *e);

#endif
