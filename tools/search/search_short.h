/* The short form of a search: axes from words of the command line, everything else from a file of
 * options and a budget. It is the search file
 *
 *   {"base": BASE, "budget": {...}, "trials": N, "strategy": NAME, "space": {KEY: axis, ...}}
 *
 * and nothing else: the same trials, hashes and ledger. */
#ifndef DUET_SEARCH_SHORT_H
#define DUET_SEARCH_SHORT_H

#include "conf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct search_short {
    const char *base;       /* file with options of `duet train` */
    struct conf_pairs axes; /* KEY=LOW..HIGH or KEY=VALUE,VALUE,... (space_axis_text) */
    double time, flops;     /* the budget of a trial: one of four is above 0 */
    int64_t steps, tokens;
    const char *strategy; /* a name */
    int64_t trials;
};

/* Was anything of it given? */
bool search_short_given(const struct search_short *s);

/* The file's tree, new. NULL with *e filled: ERR_USAGE where something is missing, ERR_NOMEM. */
json_t *search_short(const struct search_short *s, struct err *e);

#endif
