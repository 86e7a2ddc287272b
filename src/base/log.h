/* What long work shows: one rewritten line on a terminal, plain lines elsewhere, and JSON lines in
 * the run's log. */
#ifndef DUET_LOG_H
#define DUET_LOG_H

#include "err.h"
#include <stdbool.h>
#include <stdio.h>

/* A progress line on stderr. On a terminal it is rewritten in place at most 10 times a second; when
 * stderr is not a terminal a plain line is printed at most every 10 seconds. quiet: never. */
struct log_progress {
    double last;    /* clock_seconds() of the last line shown */
    bool tty, open; /* open: an unfinished line is on the screen */
    bool quiet;
};

void log_progress_init(struct log_progress *p, bool quiet);
/* Shows the line if it is time to; force: in any case. */
void log_progress_show(struct log_progress *p, bool force, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Ends an unfinished line, so that other output starts on a line of its own. */
void log_progress_end(struct log_progress *p);

/* A note for people on stderr, on a line of its own. */
void log_note(struct log_progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Append-only JSON lines, flushed line by line. A line that cannot be written (disk full, a pipe
 * that nobody reads) is lost, without half a line left; stderr tells of the first, and of how many
 * when it works again. */
struct log_lines {
    FILE *f;
    char *path;
    bool regular;   /* a file, not a pipe */
    long long size; /* of it, in whole lines */
    int lost;       /* lines since the last that was written */
};
/* keep: bytes of an existing log to keep (the rest is from steps that will be repeated); -1 all.
 * Half a line at the end of what is kept, left by a killed process, is dropped. */
int log_lines_open(struct log_lines *l, const char *path, long long keep, struct err *e);
/* fmt must produce one JSON object without line breaks. Numbers that are NaN or infinite become
 * null.
 */
void log_lines_write(struct log_lines *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
long long log_lines_size(const struct log_lines *l);
void log_lines_close(struct log_lines *l);

/* "1h 02m", "3m 20s", "45s" into the caller's buffer, which is returned. */
const char *log_duration(double seconds, char buf[32]);

#endif
