/* A process that is watched: started without a shell in a group of its own, on some processors, its
 * memory looked at while it runs, killed if the driver dies. Linux. */
#ifndef DUET_TRIAL_WATCH_H
#define DUET_TRIAL_WATCH_H

#include "err.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* All zeros: none. */
struct trial_watch {
    pid_t pid;      /* leader of its group; 0: none runs */
    pid_t sentinel; /* kills the group when the driver is gone */
    int lifeline;   /* its end is the driver's end; valid with sentinel */
    bool ended;             /* the leader has; others of the group may not */
    bool asked, killed;     /* by us, while it ran */
    bool swept;             /* the group was sent SIGKILL */
    int status;            /* of waitpid, once ended */
    double rss_mb, peak_mb; /* of its processes together: at the last look, at most; 0: not known */
    long long own_kb;      /* the driver's peak when it was started */
    uint64_t oom_kills;    /* that the kernel had counted when it was started (limit.h) */
    double free_mb;        /* memory_available() then; 0: not known */
};

/* argv[0] is found by PATH unless it has a slash. cwd: NULL: this one. out, err: descriptors of its
 * output; in: of its input, 0: nothing (/dev/null). cpus: NULL: all of the driver's. ERR_INPUT: it
 * cannot be executed; else ERR_IO. */
struct trial_command {
    char *const *argv;
    const char *cwd;
    int in, out, err;
    const cpu_set_t *cpus;
};
int trial_watch_start(struct trial_watch *w, const struct trial_command *c, struct err *e);

/* Has it ended, with all of its group? Where it ended by itself the rest is killed; where it was
 * asked to (SIGTERM) the rest has as long as it takes, or until SIGKILL. */
bool trial_watch_poll(struct trial_watch *w);
/* Fills rss_mb, peak_mb from /proc, of it and its descendants. */
void trial_watch_look(struct trial_watch *w);
void trial_watch_signal(struct trial_watch *w, int signal); /* to the group */
/* Did the kernel end it for lack of memory, as far as can be known? After its end by SIGKILL. */
bool trial_watch_lacked_memory(const struct trial_watch *w);
void trial_watch_close(struct trial_watch *w); /* kills it; accepts all zeros */

/* Number `part` of `parts` equal parts of the processors that this process may use: whole cores,
 * neighbours together, where there are as many cores as parts; what is left over belongs to none.
 * With more parts than processors they take turns. False: not known. */
bool trial_cpus(unsigned part, unsigned parts, cpu_set_t *set);

#endif
