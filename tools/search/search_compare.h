/* duet search compare: the same search on several data sets side by side. */
#ifndef DUET_SEARCH_COMPARE_H
#define DUET_SEARCH_COMPARE_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* dirs: folders of searches, or of suites, whose searches are taken in their order. Prints what
 * each reached, its gain over its base with an interval, and which knobs moved together; json: the
 * same as one object. ERR_INPUT: fewer than two searches, or of different metrics. Nothing is
 * written: they may be running. */
int search_compare(const char *const *dirs, size_t n, bool json, FILE *out, struct err *e);

#endif
