/* Several data sets, the same search on each. In the file of a search
 *
 *   "suite": {"tiny": {"data": "tiny.txt"}, "code": {"data": "code.txt", "tokenizer": "code.json"}}
 *
 * beside its other members: what a member says takes the place of the base's. Only options of the
 * data can be said. In DIR are
 *
 *   DIR/suite.json   the file with whole paths
 *   DIR/tiny, ...    the folder of each search (search.h), in the order of the file
 *
 * Each search is one for itself: its ledger has the fingerprints of its data and tokenizer, by
 * which going on with other files is refused. */
#ifndef DUET_SUITE_H
#define DUET_SUITE_H

#include "err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SUITE_MOST = 1000, SUITE_MAX_NAME = 64 };

struct suite {
    char *dir;    /* owned */
    json_t *json; /* the file, with whole paths; its "suite" has the members */
    size_t n;     /* of them */
};

/* Is it the tree of a suite? */
bool suite_has(const json_t *json);
/* Is it a folder of one? */
bool suite_is(const char *dir);

/* From the tree of a file; nothing is written. All searches of it are checked, as search_plan does.
 * path: where it was read from. dir: where it will be; may be NULL. ERR_USAGE, ERR_INPUT, ERR_IO,
 * ERR_NOMEM. */
int suite_plan(struct suite *s, const json_t *json, const char *path, const char *dir,
               struct err *e);

/* The same, and makes the folder with suite.json. The searches are begun by who runs them: what was
 * checked can still not be there later. ERR_USAGE also where dir holds anything. */
int suite_create(struct suite *s, const json_t *json, const char *path, const char *dir,
                 struct err *e);

/* So many trials from now on: in s, and in suite.json unless `dry`. */
int suite_extend(struct suite *s, int64_t trials, bool dry, struct err *e);

/* ERR_USAGE, for who wants a search: one of these, by their names. */
int suite_refuse(const char *dir, struct err *e);

int suite_open(struct suite *s, const char *dir, struct err *e);
/* For who goes on: does suite.json say of each search that has begun what is on record there
 * (search_same_file), and does it name them all? ERR_INPUT, which names data set and key. */
int suite_check_same(const struct suite *s, struct err *e);
/* Names of searches that are in the folder, and that the file names no more: a new array, in the
 * order of the names. ERR_IO, ERR_NOMEM. */
int suite_gone(const struct suite *s, json_t **names, struct err *e);
void suite_close(struct suite *s); /* accepts all zeros */

/* Member i, in the order of the file: its name, its folder (malloc()ed), and the file of its search
 * (new). NULL: no memory. */
const char *suite_name(const struct suite *s, size_t i);
char *suite_dir(const struct suite *s, size_t i);
json_t *suite_search(const struct suite *s, size_t i);

#endif
