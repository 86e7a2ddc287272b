/* What the files of the loop share; nobody else includes this. */
#ifndef DUET_DRIVE_IMPL_H
#define DUET_DRIVE_IMPL_H

#include "command_run.h"
#include "drive.h"
#include "judge.h"
#include "log.h"

/* What people see of it (drive_show.c). */
struct drive_show {
    struct log_progress line;
    const char *metric;   /* its name in a heading */
    double began;         /* clock_seconds() */
    bool headed;          /* the heading stands above */
};

struct drive_slot {
    bool busy;
    bool unneeded; /* what it is for has been decided meanwhile */
    bool again;    /* it was killed by somebody once, and started again */
    struct want want;
    int rung;
    double began;
    char *program, *config, *folder, *output; /* of the trial; owned */
    struct trial_spec spec;
};

struct drive {
    struct search *s;
    const struct drive_opts *opts;
    struct drive_runner runner;
    struct drive_slot *slot; /* (n_slots) */
    int n_slots;
    struct wants wants;
    size_t ended;     /* jobs that have, all before it included */
    bool propose;     /* new trials; else what there is is finished */
    bool no_more;     /* the strategy has */
    size_t asked_jobs, asked_ended; /* when it had nothing before more results */
    bool asked;
    double memory_mb; /* that a trial may plan with; 0: no limit */
    struct command_run command; /* of the strategy, if it asks a program */
    struct err failed; /* what went wrong while that ran; code 0: nothing */
    struct drive_show show;
    double tabled; /* clock_seconds() when results.tsv was written */
    bool untabled; /* it lacks a decision */
};

/* drive_propose.c: the next proposal, if it may be made now: *made. */
int drive_propose(struct drive *d, bool *made, struct err *e);
/* Adds "date", now. False: no memory, or event is NULL. */
bool drive_put_date(json_t *event);
/* Appends a proposal. Of p: trial (of the search), rung, share, from, refused. */
int drive_append_proposal(struct drive *d, const struct proposal *p, json_t *config,
                          const char *note, struct err *e);
/* Decides the trials that halving has left behind, by the jobs that there are; end: there will be
 * no more. */
int drive_leave_behind(struct drive *d, bool end, struct err *e);

/* drive.c: takes up what has ended, while a program is asked: ctx is the drive. True: enough. */
bool drive_meanwhile(void *ctx);

/* drive.c: appends a decision, and does what follows from it. v->evidence: taken over. */
int drive_decide(struct drive *d, int64_t trial, struct verdict *v, struct err *e);

/* drive_show.c. */
void drive_show_begin(struct drive *d);
void drive_show_refused(struct drive *d, const struct proposal *p);
void drive_show_decision(struct drive *d, int64_t trial);
void drive_show_rung(struct drive *d, size_t job);
void drive_show_progress(struct drive *d);
void drive_show_end(struct drive *d);

/* drive_processes.c: the runner of real processes, for so many slots. ERR_NOMEM. */
int drive_processes_open(struct drive_runner *r, int slots, struct err *e);
void drive_processes_close(struct drive_runner *r); /* kills what runs; accepts all zeros */

#endif
