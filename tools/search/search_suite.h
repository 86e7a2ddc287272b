/* duet search with a suite (suite.h): its searches one after the other, and their comparison. */
#ifndef DUET_SEARCH_SUITE_H
#define DUET_SEARCH_SUITE_H

#include "search_verbs.h"

/* A new one in o->out, from the tree of a file at path; with o->dry_run only what it takes. One
 * that fails, or whose base does, does not keep the others from being run: it is said, and its
 * error is returned at the end. ERR_STOP: a signal has stopped it; the suite goes on with
 * --resume. */
int search_suite_begin(const json_t *json, const char *path, const struct search_opts *o,
                       struct err *e);

/* Goes on with the one in o->resume: with what has begun and what has not. All that has not is
 * looked at before one is trained. More trials in suite.json, and its jobs and launcher, hold for
 * what has begun, too; o->trials is written there. */
int search_suite_resume(const struct search_opts *o, struct err *e);

#endif
