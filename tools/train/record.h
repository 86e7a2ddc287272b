/* The folder of a training run, read into one struct: for what lists, compares or draws runs.
 * Nothing is computed and nothing in the folder changes; a run that is being trained can be read.
 *
 *   struct record r;
 *   TRY(record_read(&r, "runs/1", 0, e));
 *   for (size_t i = 0; i < r.n_steps; i++) point(r.steps[i].step, r.steps[i].loss);
 *   out: record_release(&r);
 *
 * A file in it that is missing leaves its part empty: NULL, NAN or no lines. One that is damaged
 * does so too, and `notes` has a sentence that names it. So any folder of a run can be read, and
 * whoever needs a part that is not there says so. Show notes (screen_write, as they hold text of
 * files). docs/formats.md, "The folder of a run", describes the files. */
#ifndef DUET_RECORD_H
#define DUET_RECORD_H

#include "err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum record_status {
    RECORD_NEVER_BEGAN, /* no update is on record */
    RECORD_RUNNING,     /* a process has locked the folder to train in it */
    RECORD_STOPPED,     /* by a signal, --stop-at, killed, or after it trained on behind an end */
    RECORD_DIVERGED,
    RECORD_FINISHED,    /* there is a summary, and nothing was trained after it */
};
const char *record_status_name(enum record_status s); /* "never began", "running", ... */

/* A line of log.jsonl with the loss of updates. What a line does not have, or has as null,
 * is NAN. */
struct record_step {
    int64_t step;           /* updates done, above 0 and rising */
    double loss;            /* mean over the updates since the line before, nats a token */
    double lr, grad_norm;   /* of this update; the norm before clipping */
    double tokens, seconds; /* trained on, and spent in training steps, since the run began */
    double tokens_per_second; /* since the line before */
};

/* A validation. */
struct record_val {
    int64_t step;   /* updates done; 0: before the first */
    double seconds; /* as above */
    double tokens;  /* trained on until then: what the line says, else from the lines of updates
                     * around it (exact on one of them, linear in between), else NAN */
    double loss, stderr_; /* nats a token (with a task, an example), and its standard error */
    double change, change_stderr; /* loss minus the run's first, on the same windows, and its error
                                   */
    double accuracy, f1;          /* of a task */
};

/* Any other line: start, report, rollback, diverged, stopped, pause, dropped, or one of a later
 * version. */
struct record_event {
    const char *name; /* in json */
    int64_t step;     /* -1: has none */
    json_t *json;     /* the whole line; owned */
};

struct record {
    char *dir;   /* as given, without / at its end */
    char *label; /* --name if it has one, else the last part of the folder's path */
    enum record_status status;
    bool lora;

    json_t *options;  /* config.json without "run": option names without dashes; or NULL */
    json_t *record;   /* "run" of it, what was recorded of the program and the machine; or NULL */
    json_t *summary;  /* summary.json, of the last end; or NULL */
    const char *name; /* options.name and .note; NULL: none */
    const char *note;

    /* Of the lines of a step that a run came to again (after it went back to a checkpoint) the
     * later one counts, and lines of updates that were given up are left out: steps rise. */
    struct record_step *steps;
    size_t n_steps;
    struct record_val *vals;
    size_t n_vals;
    struct record_event *events; /* in the order of the file */
    size_t n_events;
    size_t given_up; /* lines of updates and validations that later ones took the place of */
    bool whole;      /* all of the log was read (RECORD_BRIEF) */

    int64_t step;       /* updates done, as far as any file tells */
    int64_t saved_step; /* of the last checkpoint; -1: there is none */
    char *model;        /* its weights: DIR/model.blzt or DIR/adapter.blzt; or NULL */
    char *best;         /* DIR/best.blzt or DIR/adapter.best.blzt; or NULL */
    uint64_t bytes;     /* on disk, of all of the run's files; one with two names counts once */
    int n_kept;         /* folders in DIR/checkpoints */
    time_t changed;     /* when the newest of its files was written; 0: not known */

    char *notes; /* sentences, each with a line break; or NULL */
};

/* RECORD_BRIEF: of the lines of updates of a long log only those at its end. */
enum { RECORD_BRIEF = 1 };

/* ERR_INPUT if dir is not the folder of a run (run_folder_is). On failure *r is all zeros. */
int record_read(struct record *r, const char *dir, int flags, struct err *e);
/* A log alone, wherever it lies: fills what comes from it, status as the log ends
 * (RECORD_DIVERGED or RECORD_STOPPED). */
int record_read_log(struct record *r, const char *path, struct err *e);
void record_release(struct record *r); /* accepts all zeros */

/* The number called key in an object (options, record, summary, an event's line): NAN if it is not
 * there, null or no number, or object is NULL. */
double record_number(const json_t *object, const char *key);

/* The last event of that name, or NULL. */
const struct record_event *record_last(const struct record *r, const char *name);

/* The validation with the lowest loss, or NULL. */
const struct record_val *record_best(const struct record *r);

/* True while a process trains in the folder. */
bool record_is_locked(const char *dir);

#endif
