/* Matches of one step's pattern in a piece, one after the other. Internal to pretok.c. */
#ifndef DUET_PRETOK_MATCH_H
#define DUET_PRETOK_MATCH_H

#include "pretok.h"

struct pretok_match {
    size_t from, to; /* the match: perhaps empty, which cuts all the same */
    size_t at;       /* where the next search starts */
    bool any;        /* there was a match: `to` is its end */
};

/* Compiles a PRETOK_REGEX step. */
int pretok_compile(struct pretok_step *step, struct err *e);

/* The text in which the matches are sought: `text`, or a copy of the same length in level where it
 * is not UTF-8. */
int pretok_subject(const struct pretok_step *step, struct pretok_level *level, const char *text,
                   size_t n, const char **subject, struct err *e);

/* The next match, from a zeroed *m on. As in Oniguruma an empty match behind another is none. */
int pretok_next(const struct pretok_step *step, struct pretok_scratch *s,
                struct pretok_level *level, const char *subject, size_t n, struct pretok_match *m,
                bool *found, struct err *e);

#endif
