/* Does a row of the ledger repeat? The trial is trained again, from its configuration and, where
 * the clock decided (--time), its recorded clock, with the instruction set and the backend that it
 * had; value and weights must then be the ledger's to the last bit. */
#ifndef DUET_SEARCH_RERUN_H
#define DUET_SEARCH_RERUN_H

#include "search.h"

struct rerun_opts {
    int64_t trial;
    int64_t seed;    /* 0: the first one with a result */
    int64_t rung;    /* of halving; -1: the last that the trial was proposed for */
    const char *out; /* folder to leave the run in, which is not there; NULL: a temporary one */
    bool json, quiet;
};

/* Prints what it found on stdout. s: open to read. *same: value and weights are. ERR_USAGE: there
 * is no such row, or it did not end well; ERR_INPUT: this machine cannot compute these bits, or the
 * run failed; ERR_STOP. */
int search_rerun(const struct search *s, const struct rerun_opts *o, bool *same, struct err *e);

#endif
