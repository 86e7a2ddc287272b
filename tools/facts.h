/* What is known of something, as people read it: a JSON object as rows of a key and its value.
 *
 *   runs/1
 *     kind       run
 *     status     finished
 *     options
 *       lr       0.001
 *
 * Keys are those of --json, values of all rows stand in one column, the keys of an object inside
 * are indented below its name. On a terminal values wrap within its width; elsewhere each is one
 * line. Text of a file is cut where it is long (--json has all of it), its control characters are
 * "?". */
#ifndef DUET_FACTS_H
#define DUET_FACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* title: the first line, or NULL. */
void facts_print(const char *title, const json_t *o, FILE *f);

/* The same as JSON, indented. */
void facts_print_json(const json_t *o, FILE *f);

/* Adds a fact; takes over value. NULL is not added. */
void facts_put(json_t *o, const char *key, json_t *value);
void facts_text(json_t *o, const char *key, const char *text); /* NULL is not added */
void facts_whole(json_t *o, const char *key, uint64_t n);
void facts_real(json_t *o, const char *key, double x); /* NaN, infinity: not added */
void facts_hex(json_t *o, const char *key, uint64_t hash); /* 16 digits */

#endif
