/* What long work shows: one rewritten line on a terminal, plain lines elsewhere, and JSON lines in
 * the run's log. */
#ifndef DUET_LOG_H
#define DUET_LOG_H

#include "err.h"
#include "record_file.h"
#include "term.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Progress on stderr. Work of less than 0.3 s shows none (10 s where stderr is no terminal, which
 * has no line to rewrite).
 *
 * On a terminal a line is rewritten in place, at most 10 times a second, in its width; it is gone
 * when the work ends. Elsewhere it is a plain line, at first every 10 s, of long work every
 * twentieth of the time so far, at most every 5 minutes. Either way work that was seen to begin is
 * seen to end: log_bar_end() says so, and a note stands above the line. quiet: none of this, and no
 * notes; warnings stay. */
struct log_progress {
    double began; /* clock_seconds() of the present work's first sign; 0: none yet */
    double last;  /* of the last line shown */
    bool tty, open; /* open: an unfinished line is on the screen */
    bool shown;     /* of the present work something was */
    bool quiet;
    char line[512]; /* what stands there */
};

void log_progress_init(struct log_progress *p, bool quiet);
/* Work begins now: time left and what it took count from here. Else they do from its first line
 * that might be shown. */
void log_begin(struct log_progress *p);
/* Is it time for another line? What costs something to put into words is asked for only then. */
bool log_progress_due(struct log_progress *p);
/* Shows the line if it is time to; force: in any case. Style and width are the terminal's: text
 * that is too wide is cut. */
void log_progress_show(struct log_progress *p, bool force, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* What is done now and cannot say how far it is: on a terminal, at once; elsewhere nothing. */
void log_state(struct log_progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The present work ends: an unfinished line goes. */
void log_progress_end(struct log_progress *p);

/* How far it is: "evaluating: 120 of 2,048 windows, 6 %, 12s left". Where total is 0 it is not
 * known: "tokenizing x: 1.2 MB"; with nothing done either, of what may have to be waited for, that
 * is shown at once. Of the unit "MB" done and total are bytes. */
void log_bar(struct log_progress *p, const char *doing, uint64_t done, uint64_t total,
             const char *unit);
/* It ends. If it was shown a line stays: "evaluated 2,048 windows in 12s". */
void log_bar_end(struct log_progress *p, const char *did, uint64_t total, const char *unit);

/* A note for people on stderr, on a line of its own. */
void log_note(struct log_progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same with its end in a style of its own. */
void log_mark(struct log_progress *p, enum term_style style, const char *mark, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for what must be known also where nothing else is said. A text that begins with
 * "warning:" has its word in colour. */
void log_warn(struct log_progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Lines of JSON, appended to a record_file or written to a pipe. A line that cannot be written
 * (disk full, a pipe that nobody reads) is lost, without half a line left; stderr tells of the
 * first, and of how many when it works again. */
struct log_lines {
    struct record_file file;
    int lost; /* lines since the last that was written */
};
/* keep: bytes of an existing log to keep (the rest is from steps that will be repeated); -1 all.
 * Half a line at the end of what is kept, left by a killed process, is dropped. It is locked while
 * it is open: ERR_IO, and nothing has changed, where another process has it. */
int log_lines_open(struct log_lines *l, const char *path, long long keep, struct err *e);
/* Is one open there, on any machine that shares the file and its locks? */
bool log_lines_busy(const char *path);
/* fmt must produce one JSON object without line breaks. Numbers that are NaN or infinite become
 * null. */
void log_lines_write(struct log_lines *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
long long log_lines_size(const struct log_lines *l); /* of a pipe: 0 */
void log_lines_close(struct log_lines *l);

/* "1h 02m", "3m 20s", "45s" into the caller's buffer, which is returned. */
const char *log_duration(double seconds, char buf[32]);

#endif
