#include "trial_watch.h"

#include "limit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the sentinel ---------------------------------------------------------------------------- */

/* A copy of the driver that keeps nothing of it but the lifeline: no lock, no pipe that somebody
 * waits to see closed. */
static void drop_all_but(int keep) {
    const long most = sysconf(_SC_OPEN_MAX);
    for (int fd = 0; fd < (most > 0 && most < 65536 ? most : 65536); fd++)
        if (fd != keep) close(fd);
}

/* The process that is watched says who it is before it becomes its program, so there is no moment
 * in which nobody would end it. Then nothing comes, until the last writer is gone. */
__attribute__((noreturn)) static void stand_by(int lifeline) {
    static const int others[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    pid_t group = 0;
    setsid(); /* what ends the driver's group, or its terminal, does not end this */
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) signal(others[i], SIG_IGN);
    prctl(PR_SET_NAME, "duet-sentinel");
    drop_all_but(lifeline);
    if (chdir("/")) { /* any folder does */
    }
    for (;;) {
        const ssize_t n = read(lifeline, &group, sizeof group);
        if (n == sizeof group || (n < 0 && errno == EINTR)) continue;
        if (group > 0) kill(-group, SIGKILL);
        _exit(0);
    }
}

static void end_sentinel(struct trial_watch *w) {
    if (!w->sentinel) return;
    kill(w->sentinel, SIGKILL);
    while (waitpid(w->sentinel, NULL, 0) < 0 && errno == EINTR) {
    }
    close(w->lifeline);
    w->sentinel = 0;
}

/* *read_end is -1 afterwards in any case. */
static int start_sentinel(struct trial_watch *w, struct err *e) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return err_errno(e, ERR_IO, "cannot open a pipe");
    const pid_t pid = fork();
    if (!pid) stand_by(ends[0]);
    if (pid < 0) err_errno(e, ERR_IO, "cannot start a process");
    close(ends[0]);
    if (pid < 0) {
        close(ends[1]);
        return ERR_IO;
    }
    w->sentinel = pid;
    w->lifeline = ends[1];
    return 0;
}

/* ---- start ----------------------------------------------------------------------------------- */

/* Behind fork: only calls that are safe there. An errno goes to `failed`, which exec closes. */
__attribute__((noreturn)) static void become(const struct trial_command *c, int lifeline,
                                             int failed) {
    const pid_t self = getpid();
    static const int needed[] = {SIGTERM, SIGPIPE, SIGCHLD}; /* others may be ignored: nohup */
    sigset_t none;
    sigemptyset(&none);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) signal(needed[i], SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    const int in = c->in ? c->in : open("/dev/null", O_RDONLY | O_CLOEXEC);
    bool ok = !setpgid(0, 0) && write(lifeline, &self, sizeof self) == sizeof self && in >= 0;
    ok = ok && dup2(in, 0) == 0 && dup2(c->out, 1) == 1 && dup2(c->err, 2) == 2;
    ok = ok && (!c->cpus || !sched_setaffinity(0, sizeof *c->cpus, c->cpus));
    ok = ok && (!c->cwd || !chdir(c->cwd));
    if (ok) execvp(c->argv[0], c->argv);
    const int why = errno;
    if (write(failed, &why, sizeof why) != sizeof why) _exit(126);
    _exit(127);
}

int trial_watch_start(struct trial_watch *w, const struct trial_command *c, struct err *e) {
    int rc = 0, why = 0, failed[2] = {-1, -1};
    struct rusage own;
    struct sigaction child;
    *w = (struct trial_watch){.oom_kills = limit_oom_kills(),
                              .free_mb = in_mb(memory_available())};
    if (!getrusage(RUSAGE_SELF, &own)) w->own_kb = own.ru_maxrss;
    if (!sigaction(SIGCHLD, NULL, &child) && child.sa_handler == SIG_IGN)
        signal(SIGCHLD, SIG_DFL); /* else nobody would learn how a process ended */
    if (pipe2(failed, O_CLOEXEC)) TRY(err_errno(e, ERR_IO, "cannot open a pipe"));
    TRY(start_sentinel(w, e));
    const pid_t pid = fork();
    if (!pid) become(c, w->lifeline, failed[1]);
    if (pid < 0) TRY(err_errno(e, ERR_IO, "cannot start %.200s", c->argv[0]));
    w->pid = pid;
    close(failed[1]);
    failed[1] = -1;
    ssize_t n;
    while ((n = read(failed[0], &why, sizeof why)) < 0 && errno == EINTR) {
    }
    if (n != sizeof why) goto out;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    w->pid = 0;
    rc = err_set(e, ERR_INPUT, "cannot start %.200s: %s", c->argv[0], strerror(why));
out:
    for (int i = 0; i < 2; i++)
        if (failed[i] >= 0) close(failed[i]);
    if (rc) end_sentinel(w);
    return rc;
}

/* ---- the end --------------------------------------------------------------------------------- */

void trial_watch_signal(struct trial_watch *w, int signal) {
    if (!w->pid) return;
    if (signal == SIGKILL && !w->ended) w->killed = true;
    kill(-w->pid, signal);
    if (signal == SIGKILL) w->swept = true;
    if (signal == SIGTERM) w->asked = true;
}

static void take_end(struct trial_watch *w) {
    struct rusage used;
    while (wait4(w->pid, &w->status, 0, &used) < 0)
        if (errno != EINTR) return;
    /* A process has the peak of the one that it was forked from, too. */
    const double peak = (double)used.ru_maxrss * 1024e-6;
    if (used.ru_maxrss > w->own_kb && peak > w->peak_mb) w->peak_mb = peak;
}

/* Its number stays that of the group while there is one, so that this hits nobody else. */
bool trial_watch_poll(struct trial_watch *w) {
    siginfo_t info = {0};
    if (!w->pid) return true;
    if (!w->ended) {
        if (waitid(P_PID, (id_t)w->pid, &info, WEXITED | WNOHANG | WNOWAIT)) return false;
        if (!info.si_pid) return false;
        take_end(w);
        w->ended = true;
    }
    /* A launcher that was asked to end may be quicker than what it has started. */
    if (!kill(-w->pid, 0) && w->asked && !w->swept) return false;
    kill(-w->pid, SIGKILL);
    end_sentinel(w);
    w->pid = 0;
    return true;
}

void trial_watch_close(struct trial_watch *w) {
    if (w->pid && !w->ended) {
        trial_watch_signal(w, SIGKILL);
        take_end(w);
        w->ended = true;
    }
    if (w->pid) kill(-w->pid, SIGKILL);
    end_sentinel(w);
    w->pid = 0;
}

bool trial_watch_lacked_memory(const struct trial_watch *w) {
    if (limit_oom_kills() > w->oom_kills) return true;
    return w->free_mb > 0 && w->peak_mb >= 0.9 * w->free_mb;
}

/* ---- memory ---------------------------------------------------------------------------------- */

enum { MOST_PROCESSES = 256 }; /* of a trial; more are not counted */

struct family {
    pid_t pid[MOST_PROCESSES];
    size_t n;
};

/* Those that its first thread has started. */
static void add_children(struct family *f, pid_t pid) {
    char path[64];
    int child;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *file = fopen(path, "re");
    while (file && f->n < MOST_PROCESSES && fscanf(file, "%d", &child) == 1)
        f->pid[f->n++] = (pid_t)child;
    if (file) fclose(file);
}

static void add_memory(pid_t pid, double *rss_mb, double *peak_mb) {
    char path[64], line[128];
    double kb;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "VmRSS: %lf kB", &kb) == 1) *rss_mb += kb * 1024e-6;
        if (sscanf(line, "VmHWM: %lf kB", &kb) == 1) *peak_mb += kb * 1024e-6;
    }
    if (file) fclose(file);
}

void trial_watch_look(struct trial_watch *w) {
    struct family f = {.n = 1};
    double rss = 0, peak = 0;
    if (!w->pid || w->ended) return;
    f.pid[0] = w->pid;
    for (size_t i = 0; i < f.n; i++) {
        add_memory(f.pid[i], &rss, &peak);
        add_children(&f, f.pid[i]);
    }
    if (rss > 0) w->rss_mb = rss;
    if (peak > w->peak_mb) w->peak_mb = peak;
}

/* ---- processors ------------------------------------------------------------------------------ */

struct core {
    int package, core, cpu; /* core: its first processor, then its number; -1: not known */
};

/* The first number in a file of its; -1: there is none. */
static int topology(int cpu, const char *what) {
    char path[96];
    int n;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, what);
    FILE *f = fopen(path, "re");
    const bool read = f && fscanf(f, "%d", &n) == 1;
    if (f) fclose(f);
    return read ? n : -1;
}

static int by_place(const void *a, const void *b) {
    const struct core *x = a, *y = b;
    if (x->package != y->package) return x->package < y->package ? -1 : 1;
    if (x->core != y->core) return x->core < y->core ? -1 : 1;
    return (x->cpu > y->cpu) - (x->cpu < y->cpu);
}

/* Processors of one core have one number in core[].core afterwards, counted from 0. */
static int number_cores(struct core *at, int n) {
    int cores = 0;
    struct core before = {0};
    for (int i = 0; i < n; i++) {
        const struct core now = at[i];
        const bool same = i && now.core >= 0 && now.package == before.package &&
                          now.core == before.core;
        at[i].core = same ? cores - 1 : cores++;
        before = now;
    }
    return cores;
}

bool trial_cpus(unsigned part, unsigned parts, cpu_set_t *set) {
    cpu_set_t all;
    struct core at[CPU_SETSIZE];
    int n = 0;
    CPU_ZERO(set);
    if (!parts || sched_getaffinity(0, sizeof all, &all)) return false;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all))
            at[n++] = (struct core){topology(cpu, "physical_package_id"),
                                    topology(cpu, "thread_siblings_list"), cpu};
    qsort(at, (size_t)n, sizeof *at, by_place);
    const int cores = number_cores(at, n), p = (int)(part % parts);
    if (n < (int)parts) { /* one each, in turns */
        CPU_SET(at[p % n].cpu, set);
        return n > 0;
    }
    const bool whole = cores >= (int)parts;
    const int each = (whole ? cores : n) / (int)parts;
    for (int i = 0; i < n; i++)
        if ((whole ? at[i].core : i) / each == p) CPU_SET(at[i].cpu, set);
    return true;
}
