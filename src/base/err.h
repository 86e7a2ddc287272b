/* Errors of the outside world: a code and one clear sentence in the caller's struct.
 *
 * A function that can fail because of files, arguments or memory returns int: 0, or an
 * enum err_code, and fills *e. The sentence names the file, the field, the offset, what was found
 * and what was expected. Bugs are assert()ed, not reported. e may not be NULL. */
#ifndef DUET_ERR_H
#define DUET_ERR_H

enum err_code {
    ERR_OK = 0,
    ERR_INPUT = 1,   /* a file or value from outside is not what it should be */
    ERR_USAGE = 2,   /* the command line or a config file is wrong */
    ERR_IO = 3,      /* the system refused a read, write, rename, ... */
    ERR_NOMEM = 4,   /* memory could not be reserved, or would not fit */
    ERR_NUMERIC = 5, /* the training diverged: NaN or a loss spike */
    ERR_STOP = 6,    /* stopped on request (a signal); what there is to save is saved */
};

struct err {
    int code;
    char msg[1024];
};

/* Fills *e (message truncated to fit, and "?" in place of what is no UTF-8: names and texts of
 * files, or the rest of a character that a precision cuts) and returns code. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Like err_set, appending ": " and strerror(errno). Uses errno at entry. */
int err_errno(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message that is already there; returns e->code. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Forwards a failure: goes to `out` with rc set. Every function using it has `int rc`
 * and `out:`. */
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        if ((rc = (expr)) != 0) goto out;                                                          \
    } while (0)

#endif
