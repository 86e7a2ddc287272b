/* Between run_read.c and run_log.c: the log of a run. */
#ifndef DUET_RUN_LOG_H
#define DUET_RUN_LOG_H

#include "run_read.h"

/* Fills steps, vals, events, given_up and whole from the log at path; the summary has been read.
 * status becomes RUN_DIVERGED if that is where the log ends, else RUN_STOPPED. brief: RUN_BRIEF.
 * Lines that are none of a run's are left out, and notes say how many and where the first is. Only
 * memory fails. */
int run_log_read(struct run *r, const char *path, bool brief, struct err *e);

/* Appends a sentence to r->notes. */
__attribute__((format(printf, 2, 3))) void run_note(struct run *r, const char *fmt, ...);

#endif
