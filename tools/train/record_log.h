/* Between record.c and record_log.c: the log of a run. */
#ifndef DUET_RECORD_LOG_H
#define DUET_RECORD_LOG_H

#include "record.h"

/* Fills steps, vals, events, given_up and whole from the log at path; the summary has been read.
 * status becomes RECORD_DIVERGED if that is where the log ends, else RECORD_STOPPED. brief:
 * RECORD_BRIEF. Lines that are none of a run's are left out, and notes say how many and where the
 * first is. Only memory fails. */
int record_log_read(struct record *r, const char *path, bool brief, struct err *e);

/* Appends a sentence to r->notes. */
__attribute__((format(printf, 2, 3))) void record_note(struct record *r, const char *fmt, ...);

#endif
