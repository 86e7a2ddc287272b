/* A search as it is looked at: what became of each trial, and how large differences are, from file
 * and ledger. Nothing is written, and nothing is decided here: a search that runs can be looked at.
 * Whoever prints, draws or exports a search starts from here.
 *
 * Values and differences are those of the metric, in its own direction. */
#ifndef DUET_SEARCH_VIEW_H
#define DUET_SEARCH_VIEW_H

#include "search.h"

/* What became of a trial. base: number 0. keep, discard: decided, and all of its seeds ended well.
 * partial: measured at less than the whole budget (halving), and not taken further, so far.
 * running: not decided yet. Else how the first of its seeds that did not end well ended
 * (history.h). */
#define VIEW_OUTCOMES(X) X(base) X(keep) X(discard) X(partial) X(running) SEARCH_STATUSES(X)
enum view_outcome {
#define X(name) VIEW_##name,
    VIEW_OUTCOMES(X)
#undef X
        VIEW_N_OUTCOMES
};
const char *view_outcome_name(enum view_outcome o);
bool view_failed(enum view_outcome o); /* refused, crash, ... killed */

struct view_trial {
    enum view_outcome outcome;
    bool decided; /* or failed, or stopped at a share: nothing is to be done for it now */
    double value; /* mean of its seeds at the largest share of the budget that has any; NaN: none */
    double share; /* that share */
    int rung;     /* and its rung */
    unsigned seeds; /* that value is the mean of */
    double seconds; /* of all its processes */
};

struct search_view {
    const struct search *s;
    struct view_trial *trial; /* owned */
    size_t n;
    size_t count[VIEW_N_OUTCOMES];
    int64_t incumbent;       /* as search_incumbent */
    struct gate_noise noise; /* as search_noise */
};

/* s must outlive v. ERR_NOMEM; nothing is left then. */
int search_view(struct search_view *v, const struct search *s, struct err *e);
/* As search_expected, but for a search without a trial, which has as many as it was given. */
int view_expected(const struct search_view *v, int64_t *n, struct err *e);
void search_view_release(struct search_view *v); /* accepts all zeros */

/* Of the trials that were trained and decided, the base aside, the share that was kept; NaN: none
 * was. */
double view_keep_rate(const struct search_view *v);

/* A difference with an interval. diff NaN: not known; ends infinite: too few seeds. */
struct view_delta {
    double diff, low, high;
    int64_t seeds; /* of the candidate */
};

/* candidate - against over the seeds that both have at the whole budget, with a confidence sequence
 * at the file's confidence (0.95 where that is 0). ERR_NOMEM. */
int view_delta(const struct search_view *v, int64_t candidate, int64_t against,
               struct view_delta *d, struct err *e);

/* The one that a trial was decided on (search_evidence). */
struct view_delta view_decided(const struct search_view *v, int64_t trial);

/* Mean over a trial's results at its rung of a number in their summaries ("num_params_M"), or
 * beside these ("seconds", "rss_mb"). NaN: none has it. */
double view_number(const struct search_view *v, int64_t trial, const char *key);

/* search_changes, harmless on a terminal. */
const char *view_changes(const struct search_view *v, int64_t trial, int64_t from, char *buf,
                         size_t size);

/* One line that tells a trial: "baseline" of the base; the note of a proposal that has one; else
 * what it changes against its rival (view_changes); and how it failed. Into buf, which is
 * returned; as harmless. */
const char *view_describe(const struct search_view *v, int64_t trial, char *buf, size_t size);

#endif
