/* One trial of a search as processes: `duet train` with its limits, and what measures its result.
 * How it ended is a status of the ledger, never an error: what a program does is not the driver's
 * fault. A test may put any program in the place of duet.
 *
 *   struct trial_run t;
 *   TRY(trial_start(&t, &spec, e));
 *   while (!trial_poll(&t)) ...;             or trial_wait() for several
 *   use(t.outcome); trial_release(&t);
 *
 * Order of things. While another process trains in the folder (an orphan of a driver that was
 * killed, on another machine) it waits. A folder whose run has come as far as `share` already is
 * not trained again. Else LAUNCHER... PROGRAM train runs, with --config and --out, or with --resume
 * if the folder holds a run; --stop-at below share 1. Then the metric is taken (metric.h), by a
 * further process where it needs one. Both run without a shell, as leaders of process groups of
 * their own, with standard input closed (/dev/null) and RLIMITs inherited.
 *
 * No process outlives the driver: beside each stands a small one that does nothing but wait for the
 * driver's end, however it comes (kill -9 too), and then kills the group (trial_watch.h). */
#ifndef DUET_TRIAL_H
#define DUET_TRIAL_H

#include "err.h"
#include "history.h"
#include "search_file.h"
#include "trial_watch.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { TRIAL_WORDS = 400 };

/* 0: no limit. */
struct trial_limits {
    double seconds;      /* wall clock, of the training, and again of the measuring. With a launcher
                          * it begins when the run's folder does: a queue takes nothing of it */
    double idle;         /* of training without a sign of life: nothing printed, no line in the
                          * run's log */
    double peak_rss_mb;  /* of all processes of the trial together, 10^6 bytes; what runs on
                          * another machine is only known by its summary */
    double num_params_M; /* of the model */
    double memory_mb;    /* that a run may plan for; what the search's share of the machine is */
};

/* Strings and JSON are borrowed and must outlive the trial. */
struct trial_spec {
    const char *program;    /* that trains; NULL: this one */
    const char *scorer;     /* that evaluates (metric.exact); NULL: this one */
    const json_t *launcher; /* array of strings put before either, or NULL */
    const char *config;     /* file: --config */
    const char *folder;     /* of the run; its parent is there */
    const char *output;     /* file that gets what the processes print, appended */
    int64_t seed;
    int threads;            /* 0: as many as the trial's processors; with a launcher the program's
                             * own choice */
    unsigned part, parts;   /* number `part` of so many equal parts of the processors (trial_cpus);
                             * parts 0, or a launcher: not pinned */
    double share;           /* of the budget at which it is measured, in (0, 1] */
    double grace;           /* seconds from SIGTERM to SIGKILL; 0: 30 */
    struct trial_limits limits;
    const struct search_metric *metric;
    bool test; /* the scorer measures what the run keeps for the test, not what it validates on */
};

struct trial_outcome {
    enum trial_status status; /* TRIAL_pending: ended by trial_stop, nothing to record */
    double value;             /* of the metric as measured; NaN unless TRIAL_ok */
    json_t *summary;          /* summary.json without "run" and "history", with "exact" (what the
                               * scorer printed) where it was asked for; NULL: there is none */
    double seconds;           /* wall clock, of the processes */
    double peak_rss_mb;       /* 0: not known */
    char words[TRIAL_WORDS];  /* why it is not ok: UTF-8, one line */
};

enum trial_phase { TRIAL_WAITS, TRIAL_TRAINS, TRIAL_MEASURES, TRIAL_ENDED };

struct trial_run {
    struct trial_spec spec;
    enum trial_phase phase;
    struct trial_watch watch; /* the process of the phase */
    struct trial_outcome outcome;
    enum trial_status verdict; /* why it is being ended; pending: it is not */
    bool stopping;             /* by trial_stop */
    double began;              /* clock_seconds(), of the phase; for the limits */
    double asked;              /* to end; 0: not yet */
    double looked, lived;      /* at limits; last sign of life */
    bool alive;                /* it has shown one */
    uint64_t sign, born;       /* what that was told by; config.json before it */
    int said, printed;         /* descriptors of its output; -1 */
    long long said_at;         /* bytes of the output before this process */
};

/* Starts it, or decides already that it cannot be (a program that is not there): then trial_poll
 * says so. ERR_IO, ERR_NOMEM: the driver itself lacks something; there is nothing to release. */
int trial_start(struct trial_run *t, const struct trial_spec *s, struct err *e);

/* Goes on as far as is possible without waiting; limits are looked at. True: it has ended, and
 * outcome is filled. */
bool trial_poll(struct trial_run *t);

/* Polls until one of the n trials has ended (its index), or `timeout` seconds have passed or a
 * signal has come (n). NULL: none. 0 polls once. */
size_t trial_wait(struct trial_run *const *t, size_t n, double timeout);

/* Asks it to end, as a signal to duet does: the run saves and can be resumed. Who asked is the
 * driver, so nothing is recorded. After the grace it is killed. Go on polling. */
void trial_stop(struct trial_run *t);

/* trial_stop for all, and waits until all have ended. NULL: none. */
void trial_stop_all(struct trial_run *const *t, size_t n);

/* Kills what still runs. Accepts all zeros. */
void trial_release(struct trial_run *t);

/* Is the run in the folder at this share already (its summary says so)? */
bool trial_is_complete(const char *folder, double share);

/* What the planner says of a trial, in this process: nothing is trained or written. */
struct trial_plan {
    bool fits;
    double planned_mb, num_params_M; /* NaN: not known, as it cannot be planned */
    char words[TRIAL_WORDS];         /* why it does not fit */
};

/* Asks it as `duet train` would: a configuration that train refuses, a plan above memory_mb or,
 * with 12 MB for the program, peak_rss_mb, a model above num_params_M do not fit. It depends on the
 * configuration and the limits alone, not on what is free at this moment. Of another program
 * nothing is known before it runs: it fits. ERR_NOMEM, ERR_IO: it cannot be known. */
int trial_fits(const struct trial_spec *s, struct trial_plan *p, struct err *e);

/* memory_mb for so many jobs at a time: an equal share of what is free now and what the control
 * groups leave, and no more than setrlimit leaves a process. 0: not known. */
double trial_memory_mb(unsigned jobs);

/* How many processors each of `parts` parts has. */
int trial_threads(unsigned parts);

#endif
