/* Is a gain real? A trial and the one that it is compared with are trained again with seeds that no
 * trial had, and measured on the text that no trial sees: the part of the data that --test-fraction
 * keeps, whole documents (exact.h), whatever the metric of the search is. The number of seeds is
 * fixed beforehand, so that Student's t of the paired differences tells. Who asks again about the
 * same two with more of them has looked first: then the interval is the gate's (gate_interval),
 * which holds at all looks together.
 *
 *   DIR/confirm.jsonl            what was measured (confirm_record.h)
 *   DIR/confirm/NNNN/seed-S/     the run; its weights are removed when it is measured
 *   DIR/confirm/NNNN/seed-S.txt  what its processes printed
 *
 * What was stopped or killed goes on: runs that are on record are not run again, and others where
 * they were. */
#ifndef DUET_SEARCH_CONFIRM_H
#define DUET_SEARCH_CONFIRM_H

#include "search.h"

enum { CONFIRM_FIRST_SEED = 100001 }; /* trials have 1 to 1000 */

struct confirm_opts {
    int64_t seeds;   /* of each, from CONFIRM_FIRST_SEED on; at least 2 */
    int64_t trial;   /* -1: the incumbent */
    int64_t against;
    bool json, quiet;
};

/* Prints what it found on stdout. s: open to read. *real: the interval lies on the side of a gain.
 * ERR_USAGE: there is no such trial, no such text, or a process is at work in the folder;
 * ERR_INPUT: a run failed; ERR_STOP. */
int search_confirm(const struct search *s, const struct confirm_opts *o, bool *real,
                   struct err *e);

#endif
