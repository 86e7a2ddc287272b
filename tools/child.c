#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int child_spawn(pid_t *pid, char *const *argv, const int fd[3]) {
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigdefault(&attr, &pipe_signal);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
    for (int i = 0; i < 3; i++) posix_spawn_file_actions_adddup2(&fa, fd[i], i);
    const int rc = posix_spawnp(pid, argv[0], &fa, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    return rc;
}

int child_open(struct child *c, char *const *argv, struct err *e) {
    int rc = 0, in[2] = {-1, -1}, out[2] = {-1, -1};
    *c = (struct child){.program = argv[0], .to = -1};
    c->said = tmpfile();
    if (!c->said) TRY(err_errno(e, ERR_IO, "cannot make a temporary file"));
    fcntl(fileno(c->said), F_SETFD, FD_CLOEXEC);
    /* a socket, so that a program that ended early is EPIPE here and no signal */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) || pipe2(out, O_CLOEXEC))
        TRY(err_errno(e, ERR_IO, "cannot open a pipe to %.200s", c->program));
    const int failed = child_spawn(&c->pid, argv, (int[]){in[1], out[1], fileno(c->said)});
    if (failed) {
        c->pid = 0;
        TRY(err_set(e, ERR_IO, "cannot start %.200s: %s", c->program, strerror(failed)));
    }
    c->to = in[0];
    in[0] = -1;
    c->from = fdopen(out[0], "r");
    if (!c->from) TRY(err_errno(e, ERR_IO, "cannot read from %.200s", c->program));
    out[0] = -1;
out:
    for (int i = 0; i < 2; i++) {
        if (in[i] >= 0) close(in[i]);
        if (out[i] >= 0) close(out[i]);
    }
    if (rc) child_close(c);
    return rc;
}

bool child_send(struct child *c, const char *line) {
    size_t n = strlen(line);
    while (n) {
        const ssize_t put = send(c->to, line, n, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        line += put;
        n -= (size_t)put;
    }
    return true;
}

bool child_read(struct child *c, char *line, size_t size) {
    if (!fgets(line, (int)size, c->from)) {
        *line = '\0';
        return false;
    }
    char *end = strchr(line, '\n');
    if (!end) return false;
    *end = '\0';
    return true;
}

bool child_answers(struct child *c, int seconds) {
    struct pollfd p = {.fd = fileno(c->from), .events = POLLIN};
    return poll(&p, 1, 1000 * seconds) != 0;
}

void child_wait(struct child *c) {
    struct rusage used;
    if (!c->program) return;
    if (c->to >= 0) close(c->to);
    c->to = -1;
    if (!c->pid) return;
    while (wait4(c->pid, &c->status, 0, &used) < 0)
        if (errno != EINTR) return;
    c->pid = 0;
    c->cpu = (double)used.ru_utime.tv_sec + (double)used.ru_stime.tv_sec +
             1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

const char *child_last_words(const struct child *c, char *buf, size_t size) {
    char line[512], last[512] = "";
    rewind(c->said);
    while (fgets(line, sizeof line, c->said)) {
        line[strcspn(line, "\n")] = '\0';
        if (*line) memcpy(last, line, sizeof last);
    }
    static const char prefix[] = "duet: error: ";
    const char *text = strncmp(last, prefix, strlen(prefix)) ? last : last + strlen(prefix);
    if (*text)
        snprintf(buf, size, "%s", text);
    else if (WIFSIGNALED(c->status))
        snprintf(buf, size, "ended by signal %d", WTERMSIG(c->status));
    else
        snprintf(buf, size, "ended with status %d", WEXITSTATUS(c->status));
    return buf;
}

void child_close(struct child *c) {
    if (c->pid) kill(c->pid, SIGKILL);
    child_wait(c);
    if (c->from) fclose(c->from);
    if (c->said) fclose(c->said);
    *c = (struct child){0};
}
