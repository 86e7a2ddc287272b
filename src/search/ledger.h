/* The record of a search, DIR/ledger.jsonl: JSON lines (json_lines.h), each on the disk before
 * anything is built on it. What kill -9 leaves is whole but for the last line, which is cut off
 * when the ledger is opened to go on. Its lines:
 *
 *   {"event": "search", ...}     the first one; the caller's: file, machine, tier, commit, version
 *   {"event": "resume", ...}     somebody goes on; the caller's, like the first
 *   {"event": "proposal", "job": 0, "trial": 0, "rung": 0, "share": 1, "config": {...},
 *    "hash": "16 hex digits", "from": "tpe"}
 *   {"event": "result", "trial": 0, "seed": 1, "rung": 0, "status": "ok", "value": 1.25, ...}
 *   {"event": "decision", "trial": 0, "decision": "keep", "against": 3, ...}
 *
 * Jobs count from 0, in order; a job is a new trial (the next number) or goes on with one at a
 * higher rung. A (trial, seed, rung) has one result, a trial at most LEDGER_MAX_RESULTS. value: as
 * measured, null unless the status is ok; the words of status are SEARCH_STATUSES. against is left
 * out where there is none. What is from "hand" or "base" may have keys and values that are none of
 * the space: its point is the nearest. Further members (summary, seconds, evidence) are kept and
 * not read. */
#ifndef DUET_LEDGER_H
#define DUET_LEDGER_H

#include "err.h"
#include "history.h"
#include "record_file.h"
#include "space.h"

#include <stdbool.h>

#define LEDGER_EVENTS(X) X(search) X(resume) X(proposal) X(result) X(decision)
enum ledger_event {
#define X(name) LEDGER_##name,
    LEDGER_EVENTS(X)
#undef X
};

enum { LEDGER_MAX_RESULTS = 4096 };

struct ledger_job {
    int64_t trial;
    int rung;
    double share;
    const char *hash, *from; /* these lie in json */
    double *u;               /* the configuration's point; owned */
    json_t *json;            /* the line; "config" is in it */
    size_t before;           /* 1 + the trial's job before, or 0 */
    size_t line;             /* of the file, from 1 */
};

struct ledger_result {
    int64_t trial, seed;
    int rung;
    enum trial_status status;
    double value; /* NaN unless ok */
    json_t *json;
    size_t before; /* 1 + the trial's result before, or 0 */
};

struct ledger_decision {
    int64_t trial, against; /* -1: nothing */
    bool keep;
    json_t *json;
};

struct ledger_trial {
    size_t job, result; /* 1 + its last, or 0 */
    size_t n_results;
    enum trial_decision decision; /* the last */
};

struct ledger {
    const struct space *space;
    char *path;
    struct record_file file; /* writing: opened to go on */
    json_t *head; /* the first line; NULL: an empty ledger */
    json_t *other; /* the last "resume" by another "commit" than the head's; NULL: none */
    struct ledger_job *job;
    struct ledger_result *result;
    struct ledger_decision *decision;
    struct ledger_trial *trial;
    size_t n_jobs, n_results, n_decisions, n_trials, n_lines;
    size_t size; /* bytes of whole lines */
    size_t cut;  /* bytes behind them that were no whole line */
};

/* Opens the ledger to go on with it, creating an empty one if it is not there: locks it (ERR_USAGE
 * if another search has it), reads it, cuts off what is behind the last line break. ERR_INPUT,
 * naming file and line, for a line that is none of a ledger. space: must outlive l. */
int ledger_open(struct ledger *l, const char *path, const struct space *space, struct err *e);

/* To look at: nothing is written, locked or cut. */
int ledger_read(struct ledger *l, const char *path, const struct space *space, struct err *e);

/* The same from n bytes. path: for messages. */
int ledger_read_text(struct ledger *l, const char *text, size_t n, const char *path,
                     const struct space *space, struct err *e);

void ledger_close(struct ledger *l); /* accepts all zeros */

/* Appends an event and takes it up, exactly as if it had been read; event is borrowed. A line that
 * readers would refuse is not written (ERR_INPUT), and l is as it was. Where the disk or memory
 * fails (ERR_IO, ERR_NOMEM) the file ends before the line, and l can only be closed. */
int ledger_append(struct ledger *l, const json_t *event, struct err *e);

/* Events to append, new; NULL: no memory. Members may be added. value NaN: null. */
json_t *ledger_proposal(const struct ledger *l, int64_t trial, int rung, double share,
                        json_t *config, const char *hash, const char *from);
json_t *ledger_result_event(int64_t trial, int64_t seed, int rung, enum trial_status status,
                            double value);
json_t *ledger_decision_event(int64_t trial, bool keep, int64_t against);

/* The result of (trial, seed, rung), or NULL. */
const struct ledger_result *ledger_find(const struct ledger *l, int64_t trial, int64_t seed,
                                        int rung);

/* What a strategy sees when `visible` jobs have ended: all jobs, those from `visible` on as
 * pending. higher: values count negated. A job's result is that of the lowest seed of its trial and
 * rung; a trial's decision is shown where its last job is. trial: new (n_jobs), to be freed. NULL:
 * no memory. */
struct trial *ledger_history(const struct ledger *l, size_t visible, bool higher);

const char *trial_status_name(enum trial_status s); /* "pending" too */

/* Is it of a trial that no strategy proposed? */
bool ledger_is_own(const struct ledger_job *job);

/* Between ledger.c and ledger_read.c: takes a line up. *j becomes the ledger's. */
int ledger_take(struct ledger *l, json_t *j, size_t line, struct err *e);

#endif
