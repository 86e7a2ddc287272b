/* What to try next. A strategy is a file, strategy_x.c, and a word below. Its proposals are a pure
 * function of the space, its options, the seed of the search and the history: nothing is kept
 * between calls, so that a search that was killed goes on as if it had not been, and the same bits
 * come out on every machine. Those of `command` are what a program answers: they repeat because the
 * ledger holds them before anything is built on them, as it holds all proposals. */
#ifndef DUET_STRATEGY_H
#define DUET_STRATEGY_H

#include "err.h"
#include "history.h"
#include "rng.h"
#include "space.h"

#define SEARCH_STRATEGIES(X)                                                                       \
    X(random)                                                                                      \
    X(grid)                                                                                        \
    X(sweep)                                                                                       \
    X(sobol)                                                                                       \
    X(local)                                                                                       \
    X(tpe)                                                                                         \
    X(cmaes)                                                                                       \
    X(halving)                                                                                     \
    X(hand)                                                                                        \
    X(command)

/* The strategy that proposes nothing; "from" of a configuration that was given by hand. */
#define SEARCH_HAND "hand"
/* "from" of the first one, which is the search's base. */
#define SEARCH_BASE "base"

enum { STRATEGY_MAX_OPTIONS = 6, STRATEGY_MAX_NESTED = 4 };

struct strategy_option {
    const char *name, *help;
    double def, min, max;
    enum { OPTION_REAL, OPTION_INT, OPTION_BOOL } type; /* number, whole number, true or false */
};

struct strategy_choice;
struct strategy_ask;
struct proposal;

struct strategy {
    const char *name, *help;
    const struct strategy_option *options; /* at most STRATEGY_MAX_OPTIONS */
    size_t n_options;
    const char *const *keys; /* further keys that it reads from choice->json by itself; ends with
                              * NULL. NULL: none */
    bool over;    /* it takes new configurations from another strategy, named by "over" */
    bool rungs;   /* it goes on with trials, so that it cannot be below another */
    bool draws;   /* another draw may be asked for (ask->draw) where a configuration is known */
    bool replays; /* makes use of the order and values of all earlier results: those of a trial must
                   * not change when halving goes on with it */
    /* Can it be used so? ERR_USAGE. what: names it in messages. NULL: always. */
    int (*check)(const struct space *s, const struct strategy_choice *c, const char *what,
                 struct err *e);
    /* As strategy_left; NULL: it does not end of itself. */
    int (*left)(const struct strategy_ask *ask, int64_t most, int64_t *n, struct err *e);
    /* Fills what, u (not yet in the middle of levels), trial, rung and share. */
    int (*propose)(const struct strategy_ask *ask, struct proposal *p, struct err *e);
};

/* A strategy with its options. */
struct strategy_choice {
    const struct strategy *kind;
    double option[STRATEGY_MAX_OPTIONS]; /* in the order of kind->options */
    struct strategy_choice *over;        /* owned */
    json_t *json;                        /* the object that it was read from, or NULL: a word */
};

/* What starts the program of a strategy that asks one: this layer starts no process. */
struct strategy_runner {
    /* Starts argv (array of texts), gives it n bytes of input on its standard input, and fills
     * *output with what it printed (malloc()ed, text). One sentence that names the program and
     * ERR_INPUT or ERR_IO: it cannot be started, printed too much, was not at its end after so
     * many seconds, or ended with another status than 0. ERR_STOP: the search is to end; ERR_NOMEM.
     * *output is NULL on failure. */
    int (*run)(void *owner, const json_t *argv, double seconds, const char *input, size_t n,
               char **output, struct err *e);
    void *owner;
    const json_t *about; /* object: what the program is told of the search beside its space (base,
                          * budget, metric, ...); NULL: nothing */
    bool higher;         /* values of the history are negated ones */
};

struct strategy_ask {
    const struct space *space;
    const struct strategy_choice *choice;
    uint64_t seed;
    const double *start;   /* the base's point (space_nearest) */
    struct history history; /* of all jobs so far; the proposal is for the next */
    int64_t trials;         /* there may be so many configurations; 0: no end */
    unsigned draw;          /* 0, and one more each time that a known configuration came out */
    const struct strategy_runner *runner; /* NULL: no program can be started (ERR_USAGE) */
    const struct history *whole; /* where `history` is what a strategy shows the one below it: that
                                  * of the search. NULL: history is */
};

enum proposal_what {
    PROPOSE_TRIAL,    /* train a new configuration up to `share` */
    PROPOSE_CONTINUE, /* go on with `trial` up to `share` */
    PROPOSE_WAIT,     /* nothing before more of the pending results are there */
    PROPOSE_END,      /* there is nothing more to try */
};

struct proposal {
    enum proposal_what what;
    int64_t trial;
    int rung;
    double share;
    double u[SPACE_MAX_AXES]; /* of its configuration, as space_point gives it */
    json_t *config;           /* PROPOSE_TRIAL: owned by the caller */
    const char *from;         /* name of the strategy that made the configuration */
    json_t *refused; /* what a program answered before and why it was not taken, for the ledger:
                      * array of {"error": sentence, "answer": text}, owned by the caller. NULL:
                      * nothing. Where `from` is not "command", none was taken */
};

const struct strategy *strategy_find(const char *name); /* or NULL */

/* Reads "tpe" or {"name": "tpe", "startup": 20, "over": ...}. what: names it in messages. On
 * failure nothing is left. */
int strategy_read(struct strategy_choice *c, const json_t *j, const struct space *s,
                  const char *what, struct err *e);
void strategy_release(struct strategy_choice *c); /* accepts all zeros */

/* Where a configuration is known already and the strategy draws, it is asked up to 20 times.
 * PROPOSE_WAIT only with a pending result in the history. ERR_NOMEM. */
int strategy_propose(const struct strategy_ask *ask, struct proposal *p, struct err *e);

/* So many of `most` new configurations it will still propose, with ask->history as it is: all of
 * them, but for grid and sweep, and halving over these, which end. More than come where Hyperband
 * or a program stands above these. ERR_NOMEM. */
int strategy_left(const struct strategy_ask *ask, int64_t most, int64_t *n, struct err *e);

/* New configurations of halving's bracket that begins s rungs below all of the budget. */
size_t halving_bracket(const struct strategy_choice *c, int s);

/* For strategies ------------------------------------------------------------------------------- */

/* The value of an option by its name, which it must have. */
double strategy_option(const struct strategy_choice *c, const char *name);

/* The generator of configuration `index`, apart for each strategy and draw. */
struct rng strategy_rng(const struct strategy_ask *ask, uint64_t index);

/* Uniform in (0, 1), and standard normal, the same bits everywhere. */
double strategy_uniform(struct rng *r);
double strategy_normal(struct rng *r);

/* The configuration of a point, and the point that it has whoever drew it, in the place of u.
 * config: new; NULL: not wanted. ERR_NOMEM. */
int strategy_settle(const struct space *s, double *u, json_t **config, struct err *e);

/* The first job of a configuration, by its (settled) point and what strategy_settle makes of that;
 * NULL: it is not known. */
const struct trial *strategy_known(const struct history *h, const double *u, size_t n,
                                   const json_t *config);

/* The configurations that were proposed. */
int64_t strategy_trials(const struct history *h);

/* The best of what is kept: the last that the gate has kept, and what is better than that and not
 * decided. NULL: none. */
const struct trial *strategy_incumbent(const struct history *h);

#endif
