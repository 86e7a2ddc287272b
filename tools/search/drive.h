/* The loop of a search: proposes, has trials run, judges, decides, and writes each of these to the
 * ledger before anything is built on it. What it does next is a function of the ledger alone (and
 * of which processes are running), so that a search that was killed goes on as if it had not been.
 *
 * Order. Jobs are proposed in order: number k when jobs 0 .. k - J have ended, of `jobs` J, and
 * the strategy sees these only. A job below the whole budget (halving) ends with its first seed's
 * result; one of all of it with the decision on its trial. Decisions are made in the order of jobs,
 * each against the incumbent that the decisions before it left. After each seed gate_look says
 * keep, discard or one more; what halving has taken further is tested by the seeds behind the
 * first, by which it was chosen (gate.h). The base runs with 5 seeds (or as many as `seeds` allows)
 * before anything is decided: the noise floor. A trial that is kept is completed to all of its
 * seeds before the next decision. So in which order processes end changes no proposal and no
 * decision. Where processors would be idle, later jobs' next seeds are run ahead; a decision only
 * looks at the seeds that it would have asked for.
 *
 * confidence 0: a trial is kept if it is better than the incumbent at the first seed, and no other
 * seed is run: the rule of the predecessors, for comparing.
 *
 * every_seed: all trials but those that fail at the first seed are run with all seeds, and the gate
 * looks once, at the end (with confidence 0: the mean decides). */
#ifndef DUET_DRIVE_H
#define DUET_DRIVE_H

#include "search.h"
#include "trial.h"

/* Who runs the processes. drive_processes() is the real one; tests have their own. A call's ctx is
 * the runner's. */
struct drive_runner {
    void *ctx;
    /* What the planner says of it (trial_fits). */
    int (*fits)(void *ctx, const struct trial_spec *spec, struct trial_plan *plan, struct err *e);
    /* Starts a trial's process in slot 0 .. jobs - 1. ERR_IO where that cannot be. */
    int (*start)(void *ctx, int slot, const struct trial_spec *spec, struct err *e);
    /* Waits up to `seconds` until a process ends. Returns its slot, which is free then, and fills
     * *out, whose summary is the caller's; -1: none yet. */
    int (*wait)(void *ctx, double seconds, struct trial_outcome *out);
    /* Asks the process in a slot to save and end, or, kill, ends it. */
    void (*stop)(void *ctx, int slot, bool kill);
};

struct drive_opts {
    const char *tsv;                   /* order of results.tsv (results_tsv.h); NULL: as it is */
    bool quiet;                        /* neither progress nor a line for each decision */
    const struct drive_runner *runner; /* NULL: processes */
};

/* Until the trials are done, the strategy has no more, or a signal asks for the end (ERR_STOP: what
 * is running has saved, and the search can go on). ERR_INPUT where the base itself crashes; ERR_IO
 * where a disk is full. */
int drive_search(struct search *s, const struct drive_opts *o, struct err *e);

/* One proposal by hand: config is decided by the gate like any other, after what was undecided
 * before it. It need not lie in the space; whether it may be tried at all the caller has looked at
 * (search_keys_check_config). No more is proposed. *trial: its number, also of a configuration that
 * is known already, which is not run again. note: kept with the proposal, or NULL. */
int drive_hand(struct search *s, const json_t *config, const char *note,
               const struct drive_opts *o, int64_t *trial, struct err *e);

#endif
