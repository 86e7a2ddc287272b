#include "log.h"
#include "clock.h"
#include "num.h"
#include "screen.h"
#include "term.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- progress -------------------------------------------------------------------------------- */

#define TTY_PATIENCE 0.3
#define PLAIN_PATIENCE 10.0
#define TTY_SECONDS 0.1
#define PLAIN_SECONDS 10.0
#define PLAIN_SHARE 0.05
#define PLAIN_LONGEST 300.0

void log_progress_init(struct log_progress *p, bool quiet) {
    *p = (struct log_progress){.tty = term_rewrites(STDERR_FILENO), .quiet = quiet};
}

void log_begin(struct log_progress *p) {
    log_progress_end(p);
    p->began = clock_seconds();
}

/* From one plain line to the next. */
static double plain_seconds(double so_far) {
    return fmin(fmax(PLAIN_SHARE * so_far, PLAIN_SECONDS), PLAIN_LONGEST);
}

bool log_progress_due(struct log_progress *p) {
    if (p->quiet) return false;
    const double now = clock_seconds();
    if (!(p->began > 0)) p->began = now;
    const double so_far = now - p->began;
    if (!p->shown) return so_far >= (p->tty ? TTY_PATIENCE : PLAIN_PATIENCE);
    return now - p->last >= (p->tty ? TTY_SECONDS : plain_seconds(so_far));
}

/* Control characters of names and the like must not move the cursor. */
static void clean(char *line) {
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127) *c = '?';
}

/* The last column stays free: a terminal that wraps there could not rewrite the line. */
static void put_line(const struct log_progress *p) {
    fprintf(stderr, "\r%.*s\033[K", (int)term_cut(p->line, term_columns(STDERR_FILENO) - 1),
            p->line);
}

static void put(struct log_progress *p) {
    clean(p->line);
    p->last = clock_seconds();
    if (!(p->began > 0)) p->began = p->last;
    p->open = p->tty;
    if (p->tty)
        put_line(p);
    else
        fprintf(stderr, "%s\n", p->line);
    fflush(stderr);
}

void log_progress_show(struct log_progress *p, bool force, const char *fmt, ...) {
    if (p->quiet || (!log_progress_due(p) && !force)) return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->line, sizeof p->line, fmt, ap);
    va_end(ap);
    put(p);
    p->shown = true;
}

void log_state(struct log_progress *p, const char *fmt, ...) {
    if (p->quiet) return;
    if (!(p->began > 0)) p->began = clock_seconds();
    if (!p->tty) return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->line, sizeof p->line, fmt, ap);
    va_end(ap);
    put(p);
}

static void wipe(struct log_progress *p) {
    if (p->open) fputs("\r\033[K", stderr);
}

void log_progress_end(struct log_progress *p) {
    wipe(p);
    p->open = p->shown = false;
    p->began = 0;
}

static const char *amount(uint64_t n, const char *unit, char buf[32]) {
    if (strcmp(unit, "MB") != 0) return num_count((long long)n, buf);
    snprintf(buf, 32, "%.1f", (double)n * 1e-6);
    return buf;
}

void log_bar(struct log_progress *p, const char *doing, uint64_t done, uint64_t total,
             const char *unit) {
    char a[32], b[32], left[32];
    if (p->quiet || (!log_progress_due(p) && (p->shown || total || done))) return;
    const double part = total ? (double)done / (double)total : 0;
    if (!total)
        log_progress_show(p, true, "%s: %s %s", doing, amount(done, unit, a), unit);
    else if (!done)
        log_progress_show(p, true, "%s: 0 of %s %s", doing, amount(total, unit, b), unit);
    else
        log_progress_show(p, true, "%s: %s of %s %s, %.0f %%, %s left", doing,
                          amount(done, unit, a), amount(total, unit, b), unit, 100 * part,
                          log_duration((clock_seconds() - p->began) * (1 - part) / part, left));
}

void log_bar_end(struct log_progress *p, const char *did, uint64_t total, const char *unit) {
    char a[32], took[32];
    const double seconds = clock_seconds() - p->began;
    const bool shown = p->shown;
    log_progress_end(p);
    if (!shown) return;
    if (seconds < 10)
        snprintf(took, sizeof took, "%.1fs", seconds);
    else
        log_duration(seconds, took);
    log_note(p, "%s %s %s in %s", did, amount(total, unit, a), unit, took);
}

/* mark: text behind it in a style of its own. */
__attribute__((format(printf, 4, 0))) static void
say(struct log_progress *p, enum term_style style, const char *mark, const char *fmt, va_list ap) {
    char *text;
    const int n = vasprintf(&text, fmt, ap);
    if (n < 0) return; /* there is no memory for it */
    static const char word[] = "warning:";
    const size_t lead = strncmp(text, word, sizeof word - 1) ? 0 : sizeof word - 1;
    wipe(p);
    if (lead)
        fprintf(stderr, "%s%s%s", term_on(STDERR_FILENO, TERM_WARN), word, term_off(STDERR_FILENO));
    screen_write(stderr, text + lead, (size_t)n - lead);
    if (*mark) {
        fputs(term_on(STDERR_FILENO, style), stderr);
        screen_write(stderr, mark, strlen(mark));
        fputs(term_off(STDERR_FILENO), stderr);
    }
    fputc('\n', stderr);
    if (p->open) put_line(p);
    fflush(stderr);
    free(text);
}

void log_note(struct log_progress *p, const char *fmt, ...) {
    if (p->quiet) return;
    va_list ap;
    va_start(ap, fmt);
    say(p, TERM_DIM, "", fmt, ap);
    va_end(ap);
}

void log_mark(struct log_progress *p, enum term_style style, const char *mark, const char *fmt,
              ...) {
    if (p->quiet) return;
    va_list ap;
    va_start(ap, fmt);
    say(p, style, mark, fmt, ap);
    va_end(ap);
}

void log_warn(struct log_progress *p, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say(p, TERM_WARN, "", fmt, ap);
    va_end(ap);
}

/* ---- lines ----------------------------------------------------------------------------------- */

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

/* Of the open file, as flock is, but such locks reach other machines over NFS, too. A file system
 * without them locks nothing. */
static bool is_taken(int fd) {
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &all) && (errno == EAGAIN || errno == EACCES);
}

bool log_lines_busy(const char *path) {
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    const bool busy = fd >= 0 && !fcntl(fd, F_OFD_GETLK, &all) && all.l_type != F_UNLCK;
    if (fd >= 0) close(fd);
    return busy;
}

int log_lines_open(struct log_lines *l, const char *path, long long keep, struct err *e) {
    int rc;
    struct record_file *f = &l->file;
    *l = (struct log_lines){0};
    TRY(record_file_open(f, path, e));
    if (!f->regular) goto out;
    if (is_taken(f->fd)) TRY(err_set(e, ERR_IO, "another process writes the log %s", path));
    const long long size = (long long)f->size;
    const long long end = whole_lines(f->fd, keep >= 0 && keep < size ? keep : size);
    if (end < 0) TRY(err_errno(e, ERR_IO, "cannot read the log %s", path));
    TRY(record_file_cut(f, (uint64_t)end, e));
out:
    if (rc) log_lines_close(l);
    return rc;
}

/* What was not written is not tried again. */
static void append(struct log_lines *l, const char *line, size_t n) {
    struct err why;
    if (record_file_append(&l->file, line, n, &why)) {
        if (!l->lost++) fprintf(stderr, "\nduet: warning: %s\n", why.msg);
        return;
    }
    if (l->lost) fprintf(stderr, "\nduet: the log %s lacks %d lines\n", l->file.path, l->lost);
    l->lost = 0;
}

void log_lines_write(struct log_lines *l, const char *fmt, ...) {
    if (!l->file.writing) return;
    va_list ap;
    char *line = NULL, *clean = NULL;
    va_start(ap, fmt);
    if (vasprintf(&line, fmt, ap) < 0) line = NULL;
    va_end(ap);
    if (line) clean = num_clean(line);
    if (clean) { /* no memory: the line is lost */
        const size_t n = strlen(clean);
        clean[n] = '\n'; /* in place of the 0 */
        append(l, clean, n + 1);
    }
    free(line);
    free(clean);
}

long long log_lines_size(const struct log_lines *l) {
    return l->file.regular ? (long long)l->file.size : 0;
}

void log_lines_close(struct log_lines *l) {
    record_file_close(&l->file);
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
