#include "log.h"
#include "clock.h"
#include "num.h"
#include "screen.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TTY_SECONDS 0.1
#define PLAIN_SECONDS 10.0

/* Progress ------------------------------------------------------------------------------------ */

void log_progress_init(struct log_progress *p, bool quiet) {
    *p = (struct log_progress){
        .last = -PLAIN_SECONDS, .tty = isatty(STDERR_FILENO) == 1, .quiet = quiet};
}

/* Columns of the terminal: a longer line would wrap and could not be rewritten. */
static int columns(void) {
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1 : 79;
}

void log_progress_show(struct log_progress *p, bool force, const char *fmt, ...) {
    if (p->quiet) return;
    double now = clock_seconds();
    if (!force && now - p->last < (p->tty ? TTY_SECONDS : PLAIN_SECONDS)) return;
    p->last = now;
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (p->tty)
        fprintf(stderr, "\r%.*s\033[K", columns(), line);
    else
        fprintf(stderr, "%s\n", line);
    fflush(stderr);
    p->open = p->tty;
}

void log_progress_end(struct log_progress *p) {
    if (p->open) fputc('\n', stderr);
    p->open = false;
}

void log_note(struct log_progress *p, const char *fmt, ...) {
    log_progress_end(p);
    va_list ap;
    char *text;
    va_start(ap, fmt);
    const int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n >= 0) { /* else there is no memory for it */
        screen_write(stderr, text, (size_t)n);
        free(text);
    }
    fputc('\n', stderr);
}

/* Lines --------------------------------------------------------------------------------------- */

/* Length of the longest part of the first `end` bytes that consists of whole lines: a process
 * killed in the middle of a write leaves half a line. -1: a read failed. */
static long long whole_lines(int fd, long long end) {
    char buf[4096];
    while (end > 0) {
        size_t n = end < (long long)sizeof buf ? (size_t)end : sizeof buf;
        ssize_t got = pread(fd, buf, n, (off_t)(end - (long long)n));
        if (got != (ssize_t)n) return -1;
        const char *last = memrchr(buf, '\n', n);
        if (last) return end - (long long)n + (last - buf) + 1;
        end -= (long long)n;
    }
    return 0;
}

int log_lines_open(struct log_lines *l, const char *path, long long keep, struct err *e) {
    struct stat st;
    *l = (struct log_lines){0};
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0 || fstat(fd, &st) != 0) goto failed;
    if (S_ISREG(st.st_mode)) {
        long long end = keep >= 0 && keep < st.st_size ? keep : (long long)st.st_size;
        end = whole_lines(fd, end);
        if (end < 0 || (end < st.st_size && ftruncate(fd, (off_t)end) != 0)) goto failed;
        l->regular = true;
        l->size = end;
    }
    l->path = strdup(path);
    l->f = l->path ? fdopen(fd, "a") : NULL;
    if (l->f) return 0;
failed:
    err_errno(e, ERR_IO, "cannot write the log %s", path);
    if (fd >= 0) close(fd);
    free(l->path);
    *l = (struct log_lines){0};
    return e->code;
}

/* Half a line goes; what was not written is not tried again. */
static void lose_line(struct log_lines *l, int why) {
    __fpurge(l->f);
    clearerr(l->f);
    if (l->regular) (void)!ftruncate(fileno(l->f), (off_t)l->size);
    if (!l->lost++)
        fprintf(stderr, "\nduet: warning: cannot write the log %s: %s\n", l->path, strerror(why));
}

void log_lines_write(struct log_lines *l, const char *fmt, ...) {
    if (!l->f) return;
    va_list ap;
    char *line = NULL, *clean = NULL;
    va_start(ap, fmt);
    if (vasprintf(&line, fmt, ap) < 0) line = NULL;
    va_end(ap);
    if (line) clean = num_clean(line);
    const int n = clean ? fprintf(l->f, "%s\n", clean) : 0; /* no memory: the line is lost */
    free(line);
    free(clean);
    if (fflush(l->f) != 0 || ferror(l->f)) {
        lose_line(l, errno);
        return;
    }
    l->size += n;
    if (l->lost) fprintf(stderr, "\nduet: the log %s lacks %d lines\n", l->path, l->lost);
    l->lost = 0;
}

long long log_lines_size(const struct log_lines *l) {
    struct stat st;
    if (!l->path || (l->f ? fstat(fileno(l->f), &st) : stat(l->path, &st)) != 0) return 0;
    return (long long)st.st_size;
}

void log_lines_close(struct log_lines *l) {
    if (l->f) fclose(l->f);
    free(l->path);
    *l = (struct log_lines){0};
}

const char *log_duration(double seconds, char buf[32]) {
    if (!(fabs(seconds) < 1e12)) return strcpy(buf, "?");
    long long s = llround(seconds > 0 ? seconds : 0);
    if (s >= 3600)
        snprintf(buf, 32, "%lldh %02lldm", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(buf, 32, "%lldm %02llds", s / 60, s % 60);
    else
        snprintf(buf, 32, "%llds", s);
    return buf;
}
