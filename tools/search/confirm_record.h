/* What was measured on the text that no trial sees, DIR/confirm.jsonl: JSON lines (json_lines.h).
 * What kill -9 leaves is whole but for the last line, which is cut off when the file is opened. Its
 * lines:
 *
 *   {"event": "result", "trial": 3, "seed": 100001, "status": "ok", "bits_per_byte": 1.25,
 *    "documents": 118, "bytes": 61234, "weights": "16 hex digits", "seconds": 12.5, "date": ...}
 *   {"event": "confirm", "trial": 3, "against": 0, "seeds": [100001, 100002, 100003],
 *    "confidence": 0.95, "interval": "student", "difference": -0.05, "low": -0.07, "high": -0.03,
 *    "verdict": "better", "date": ...}
 *
 * A result's status is ok or nan (bits_per_byte is then null); other ends are nobody's result and
 * are not on record. */
#ifndef DUET_CONFIRM_RECORD_H
#define DUET_CONFIRM_RECORD_H

#include "err.h"
#include "record_file.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct confirm_record {
    struct record_file file;
    json_t *lines; /* array */
};

/* Creates it where it is not there, and locks it: ERR_USAGE where another process has it. ERR_INPUT
 * for a line that is none of such a file. */
int confirm_record_open(struct confirm_record *c, const char *path, struct err *e);
void confirm_record_close(struct confirm_record *c); /* accepts all zeros */

/* line: borrowed. On failure the file ends before it. */
int confirm_record_append(struct confirm_record *c, json_t *line, struct err *e);

/* The result of a trial with a seed, or NULL; borrowed. */
const json_t *confirm_record_find(const struct confirm_record *c, int64_t trial, int64_t seed);

/* How many questions were answered before this one, which is that of so many seeds. *asked: it is
 * on record itself. *again: one of them was of the same two trials, either way round, with another
 * number of seeds: so this number was not fixed beforehand. */
size_t confirm_record_looks(const struct confirm_record *c, int64_t trial, int64_t against,
                            size_t seeds, bool *asked, bool *again);

#endif
