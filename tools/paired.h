/* Models of several runs on the same text: exact evaluation (exact.h), and how far each is from the
 * first, document by document, with an interval. */
#ifndef DUET_PAIRED_H
#define DUET_PAIRED_H

#include "conf.h"
#include "exact.h"
#include "run_list.h"

struct paired_opts {
    struct conf_list data; /* texts; none: what all the runs validate on */
    int64_t seq;           /* tokens of a window; 0: the smallest that one of them was trained at */
    int64_t documents;     /* the first so many; 0: all */
    const struct machine *machine;
    bool best, quiet; /* best: the models that validated best, where a run kept one */
};

struct paired_run {
    struct exact_total own;  /* of the model itself */
    struct exact_total diff; /* minus the first run's; of the first run zeros */
    double low, high;        /* 95 % interval of diff.bpb: Student's t over documents; or NAN */
};

struct paired {
    struct paired_run *run; /* one a run of the list; owned */
    size_t n, documents;
    int64_t context;
    bool best;        /* of the options */
    bool same_tokens; /* all cut the text into as many tokens: nats a token can be compared */
    char text[256];   /* what it was measured on */
};

/* ERR_INPUT, ERR_USAGE: why it cannot be measured, in one sentence. */
int paired_run(struct paired *p, const struct run_list *l, const struct paired_opts *o,
               struct err *e);
void paired_release(struct paired *p); /* accepts all zeros */

#endif
