/* What `duet search` does besides searching: a word, and what it takes. Adding one: a row of
 * options in search_verbs.c if it has its own, a function there that opens what it needs and calls
 * the file that does it, and a line in the table. */
#ifndef DUET_SEARCH_VERBS_H
#define DUET_SEARCH_VERBS_H

#include "conf.h"
#include "search.h"
#include "search_short.h"
#include "verbs_view.h"

struct search_opts {
    const char *out, *resume, *launcher;
    int64_t jobs, trials; /* 0: the file's */
    int64_t seeds, trial, against, seed, rung; /* of confirm and rerun */
    bool dry_run, json, quiet;
    struct search_short brief; /* without a file; its trials are these above */
    struct view_opts view;
};

extern const struct conf_row search_rows[];

struct search_verb {
    const char *word;
    const char *needs; /* what it takes, for messages */
    int least, most;   /* arguments behind the word */
    const char *takes; /* options, with blanks between */
    int (*run)(const struct search_opts *o, const struct conf *c, struct err *e);
};

/* Ends with a row without a word. */
extern const struct search_verb search_verbs[];

/* The verb of that name, or NULL. */
const struct search_verb *search_verb(const char *word);

/* Refuses options of the command line that are none of `takes`. what: who it is. ERR_USAGE. */
int search_takes(const char *what, const char *takes, const struct conf *c, struct err *e);

#endif
