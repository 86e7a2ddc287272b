/* What the ledger says of one job: which results it waits for, or how it ends. A function of the
 * ledger, so that whoever goes on with a search judges the same. */
#ifndef DUET_JUDGE_H
#define DUET_JUDGE_H

#include "search.h"

enum { JUDGE_FLOOR = 5 }; /* seeds of the base before anything is decided, if there are so many */

/* Results that are asked for, the most urgent first; each once. */
struct wants {
    struct want {
        int64_t trial, seed; /* at the rung of the trial's last job */
    } *want;
    size_t n, most;
};

/* What is the same for all jobs until the ledger has another line. */
struct judge {
    const struct search *s;
    int64_t incumbent; /* -1: the base is not decided */
    size_t *known;     /* search_known */
    struct gate_noise noise;
    unsigned tests, kept; /* decided by the gate so far, and kept by it */
    double *value;        /* room for results of two trials */
};

/* ERR_NOMEM. */
int judge_open(struct judge *g, const struct search *s, struct err *e);
void judge_close(struct judge *g); /* accepts all zeros */

struct verdict {
    enum {
        VERDICT_WAITS,   /* for results */
        VERDICT_SAME,    /* its first result is that of trial `same`, whose hash it has */
        VERDICT_ENDED,   /* it came to the end of its share */
        VERDICT_DECIDED, /* keep or discard */
    } what;
    int64_t same;
    bool keep;
    int64_t against; /* -1: nothing */
    const char *reason;
    json_t *evidence; /* VERDICT_DECIDED: owned by the caller; NULL: no memory */
};

/* The job of this number. Adds what it waits for to w. first: all jobs before it have ended, so
 * that it may be decided; of others VERDICT_DECIDED only says that it would be now. */
struct verdict judge_job(const struct judge *g, size_t job, bool first, struct wants *w);

/* Has the incumbent all its seeds? Adds those that it lacks to w. */
bool judge_complete(const struct judge *g, struct wants *w);

/* Has this job ended, as far as the ledger says? */
bool judge_has_ended(const struct search *s, size_t job);

#endif
