/* JSON lines: a file of records (record_file.h), each a JSON value on a line of its own. A line is
 * whole when its line break is there. */
#ifndef DUET_JSON_LINES_H
#define DUET_JSON_LINES_H

#include "err.h"
#include "record_file.h"

#include <jansson.h>
#include <stddef.h>

/* Takes up a line, from 1 on. j becomes the taker's, unless it fails. */
typedef int json_lines_take(void *ctx, json_t *j, size_t line, struct err *e);

/* Hands on the whole lines of n bytes of text, in their order, to the first that fails. path: for
 * messages. *size, *lines: bytes and number of those that were taken, counted up line by line, from
 * 0; what lies behind the last line break is left. ERR_INPUT with file, line and column for what is
 * no JSON; ERR_NOMEM; what the taker returns. */
int json_lines_read(const char *text, size_t n, const char *path, json_lines_take *take, void *ctx,
                    size_t *size, size_t *lines, struct err *e);

/* Appends a value as a line, which is on the disk then. On failure the file ends before it. */
int json_lines_append(struct record_file *f, const json_t *j, struct err *e);

#endif
