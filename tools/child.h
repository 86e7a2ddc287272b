/* Another program, started for us: it reads what we send, and we read what it prints. */
#ifndef DUET_CHILD_H
#define DUET_CHILD_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* Starts argv[0], found by PATH unless it has a slash, with fd[i] as its descriptor i. Returns 0 or
 * the errno that says why not. A reader that ends is EPIPE or SIGPIPE for it, whatever it is for
 * us. */
int child_spawn(pid_t *pid, char *const *argv, const int fd[3]);

/* A program that answers line by line. All zeros: none. */
struct child {
    const char *program; /* borrowed; for messages */
    pid_t pid;
    int to;     /* its standard input; -1: closed */
    FILE *from; /* its standard output */
    FILE *said; /* its standard error, a file without a name */
    int status; /* of waitpid, once it has ended */
    double cpu; /* seconds of processors that it used, once it has ended */
};

/* ERR_IO: it cannot be started. argv[0] is the program. */
int child_open(struct child *c, char *const *argv, struct err *e);

/* Sends a line, which ends with its line break; false if nobody reads it any more. */
bool child_send(struct child *c, const char *line);
/* Reads one, without its line break. False at the end of what it prints, or if the line is longer
 * than size: then it is not complete. */
bool child_read(struct child *c, char *line, size_t size);

/* Is there something to read, or its end, within so many seconds? Asked before child_read. */
bool child_answers(struct child *c, int seconds);

/* Waits until it has ended: fills status and cpu. It sees the end of its input. */
void child_wait(struct child *c);

/* How it ended, for people: the last line of what it said on standard error, or its status. After
 * child_wait. */
const char *child_last_words(const struct child *c, char *buf, size_t size);

/* Ends it, if it has not yet. */
void child_close(struct child *c);

#endif
