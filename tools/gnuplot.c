#include "gnuplot.h"
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PICTURE_MAX ((size_t)1 << 30)

/* What a descriptor gave. */
struct stream {
    char *data;
    size_t n, cap, max; /* what comes beyond max is read and dropped */
    bool starved;
};

/* False at the end. */
static bool stream_read(struct stream *s, int fd) {
    char buf[1 << 14];
    const ssize_t got = read(fd, buf, sizeof buf);
    if (got < 0) return errno == EINTR || errno == EAGAIN;
    if (got == 0) return false;
    if (s->starved || s->n + (size_t)got > s->max) return true;
    if (s->n + (size_t)got + 1 > s->cap) {
        const size_t cap = (s->n + (size_t)got + 1) * 2;
        char *data = realloc(s->data, cap);
        if (!data) {
            s->starved = true;
            return true;
        }
        s->data = data;
        s->cap = cap;
    }
    memcpy(s->data + s->n, buf, (size_t)got);
    s->n += (size_t)got;
    s->data[s->n] = '\0';
    return true;
}

/* in: a socket, so that a gnuplot that ended early is EPIPE here and no signal. */
static void talk(int in, const char *script, size_t n, int out, struct stream *picture, int errors,
                 struct stream *said) {
    struct pollfd p[3] = {{in, POLLOUT, 0}, {out, POLLIN, 0}, {errors, POLLIN, 0}};
    while (p[1].fd >= 0 || p[2].fd >= 0) {
        if (poll(p, 3, -1) < 0 && errno != EINTR) break;
        if (p[0].fd >= 0 && p[0].revents) {
            const ssize_t put = n ? send(in, script, n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
            if (put > 0) {
                script += put;
                n -= (size_t)put;
            }
            if (n == 0 || (put < 0 && errno != EINTR && errno != EAGAIN)) {
                shutdown(in, SHUT_WR);
                p[0].fd = -1;
            }
        }
        if (p[1].fd >= 0 && p[1].revents && !stream_read(picture, out)) p[1].fd = -1;
        if (p[2].fd >= 0 && p[2].revents && !stream_read(said, errors)) p[2].fd = -1;
    }
}

/* The sentence among what gnuplot said: it shows the line, a caret below, and then
 * `line 12: undefined variable: x`, with blanks in front. */
static const char *last_line(char *said) {
    size_t n = said ? strlen(said) : 0;
    while (n && (said[n - 1] == '\n' || said[n - 1] == ' ')) said[--n] = '\0';
    if (!n) return "it said nothing";
    char *line = strrchr(said, '\n');
    line = line ? line + 1 : said;
    while (*line == ' ' || *line == '"') line++;
    return line;
}

static int absent(struct err *e) {
    return err_set(
        e, ERR_IO,
        "drawing needs the program gnuplot, which is not installed; on Debian and Ubuntu: "
        "apt-get install gnuplot-nox");
}

static int judge(int status, const struct stream *picture, struct stream *said, struct err *e) {
    if (picture->starved || said->starved)
        return err_set(e, ERR_NOMEM, "no memory for the picture of gnuplot");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return absent(e);
    if (WIFSIGNALED(status))
        return err_set(e, ERR_IO, "gnuplot was ended by signal %d", WTERMSIG(status));
    const char *line = said->n ? last_line(said->data) : "it said nothing";
    if (strstr(line, "unknown or ambiguous terminal"))
        return err_set(e, ERR_IO,
                       "the installed gnuplot cannot write this kind of picture; one that can: "
                       "apt-get install gnuplot-nox");
    if (WEXITSTATUS(status) || picture->n == 0)
        return err_set(e, ERR_IO, "gnuplot failed: %.300s", line);
    return 0;
}

int gnuplot_run(const char *script, size_t n, char **picture, size_t *bytes, struct err *e) {
    struct stream out = {.max = PICTURE_MAX}, said = {.max = 1 << 16};
    int fd[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}}, rc = 0, status = 0;
    pid_t pid;
    *picture = NULL;
    *bytes = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd[0]) || pipe2(fd[1], O_CLOEXEC) ||
        pipe2(fd[2], O_CLOEXEC))
        TRY(err_errno(e, ERR_IO, "cannot open a pipe to gnuplot"));
    char name[] = "gnuplot", settings[] = "-d", *argv[] = {name, settings, NULL};
    const int failed = child_spawn(&pid, argv, (int[]){fd[0][1], fd[1][1], fd[2][1]});
    if (failed == ENOENT) TRY(absent(e));
    if (failed) TRY(err_set(e, ERR_IO, "cannot start gnuplot: %s", strerror(failed)));
    for (int i = 0; i < 3; i++) close(fd[i][1]), fd[i][1] = -1;
    talk(fd[0][0], script, n, fd[1][0], &out, fd[2][0], &said);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    TRY(judge(status, &out, &said, e));
    *picture = out.data;
    *bytes = out.n;
    out.data = NULL;
out:
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++)
            if (fd[i][k] >= 0) close(fd[i][k]);
    free(out.data);
    free(said.data);
    return rc;
}
