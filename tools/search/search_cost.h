/* What a search takes of time, memory and disk, told before it begins. */
#ifndef DUET_SEARCH_COST_H
#define DUET_SEARCH_COST_H

#include "search.h"

#include <stdio.h>

struct search_cost {
    double planned_mb, num_params_M; /* of the base */
    /* Of a training of the base, with the processors of a trial: the budget's, or what its work
     * takes at 60 % and at 20 % of their GEMM peak. NaN: not known. */
    double seconds, seconds_most;
    double disk_mb;         /* of one that is kept: weights, state and tokens */
    double tokens_mb;       /* of these, of texts: as the plan made them, else by the beginning */
    double memory_mb;       /* that a trial may plan with; 0: not known */
    double least_mb, most_mb; /* planned, of the configurations that were asked about */
    int asked, refused;     /* configurations beside the base; those that do not fit */
    double least, most;     /* whole trainings of the search, at least and at most */
    double floor;           /* those of the base */
    bool can_keep;          /* there are seeds enough for the gate to be sure */
};

/* s: as search_plan or search_open leave it. ERR_USAGE, ERR_INPUT where the base cannot be trained,
 * with what `duet train` would say. */
int search_cost(const struct search *s, struct search_cost *c, struct err *e);

/* What a trial takes of a whole training with one seed, in the mean: 1, but for halving. */
double search_cost_share(const struct search *s);

/* As lines of "key: value". */
void search_cost_print(const struct search *s, const struct search_cost *c, FILE *out);

#endif
