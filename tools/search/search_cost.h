/* What a search takes of time, memory and disk, told before it begins. */
#ifndef DUET_SEARCH_COST_H
#define DUET_SEARCH_COST_H

#include "search.h"

#include <stdio.h>

/* Seeds that a candidate is trained with in the mean: of the twelve searches of 40 trials in
 * results/search.md (1,146 trainings, 60 of them of the bases) 2.32. */
#define SEARCH_COST_SEEDS 2.3

/* At least, as a rule, and at most. */
struct cost_span {
    double least, usual, most;
};

struct search_cost {
    double planned_mb, num_params_M; /* of the base */
    /* Seconds of a training of the base, with the processors of a trial: the budget, or what its
     * work takes at 60, 40 and 20 % of their GEMM peak. NaN: not known. */
    struct cost_span training;
    /* Seconds beside it, of each process that trains: its start with the tokens of its texts, as
     * long as that takes here, the validations of the run, and the exact evaluation. */
    struct cost_span beside;
    double disk_mb;         /* of one that is kept: weights, state and tokens */
    double tokens_mb;       /* of these, of texts: as the plan made them, else by the beginning */
    double memory_mb;       /* that a trial may plan with; 0: not known */
    double least_mb, most_mb; /* planned, of the configurations that were asked about */
    int asked, refused;     /* configurations beside the base; those that do not fit */
    struct cost_span trainings; /* whole ones, of the search */
    struct cost_span runs;  /* processes that train: with halving more than trainings */
    double floor;           /* trainings of the base */
    bool can_keep;          /* there are seeds enough for the gate to be sure */
    double rung;            /* of halving: share of the budget at the lowest rung; else 1 */
    double rung_updates;    /* until there, of the configuration whose warm-up takes the most of it;
                             * NaN: not known */
    double warmup;          /* its warm-up, in updates */
};

/* s: as search_plan or search_open leave it. ERR_USAGE, ERR_INPUT where the base cannot be trained,
 * with what `duet train` would say. */
int search_cost(const struct search *s, struct search_cost *c, struct err *e);

/* What a trial takes of a whole training with one seed, in the mean: 1, but for halving. */
double search_cost_share(const struct search *s);

/* Seconds of all of it, `jobs` at a time; NaN: not known. */
struct cost_span search_cost_seconds(const struct search_cost *c, int64_t jobs);

/* Where trials are compared before the warm-up is over: what to do, in one sentence, into text,
 * which is returned. NULL: they are not, or it is not known. */
const char *search_cost_warning(const struct search_cost *c, char text[400]);

/* As lines of "key: value". */
void search_cost_print(const struct search *s, const struct search_cost *c, FILE *out);

#endif
