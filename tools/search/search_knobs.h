/* What became of the knobs of several searches: where the best configuration of each moved from its
 * base, and whether they agree. */
#ifndef DUET_SEARCH_KNOBS_H
#define DUET_SEARCH_KNOBS_H

#include <jansson.h>
#include <stddef.h>

enum knob_move {
    KNOB_ABSENT, /* no axis of that search, or of neither configuration */
    KNOB_STAYS,
    KNOB_UP, /* numbers */
    KNOB_DOWN,
    KNOB_OTHER, /* another word, or it came or went with a condition */
};

/* Words of all searches together: of those that have the knob in question and kept something. */
enum knob_verdict {
    KNOB_STILL,    /* none moved */
    KNOB_TOGETHER, /* at least two, and more than half of them, moved the same way */
    KNOB_APART,    /* not that, and two of them moved in different ways */
    KNOB_SINGLE,   /* some moved, all the same way, but no more than half of them, or one alone */
};

struct knob {
    enum knob_verdict verdict;
    enum knob_move way;  /* the way of most of those that moved */
    const json_t *value; /* where to, of KNOB_OTHER; borrowed, NULL: it went */
    size_t moved, of;    /* how many went that way, of how many */
};

/* was, is: the value in base and best configuration; NULL: not there. */
enum knob_move knob_move(const json_t *was, const json_t *is);

/* move, is: (n) of each search. */
struct knob knob_look(const enum knob_move *move, const json_t *const *is, size_t n);

const char *knob_move_name(enum knob_move m);       /* "absent", "stays", "up", "down", "other" */
const char *knob_verdict_name(enum knob_verdict v); /* "still", "together", "apart", "single" */

#endif
