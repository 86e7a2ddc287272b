/* The program of the strategy `command`, as a process: it gets its question as a file on standard
 * input, what it prints is its answer, and it has a time to end in. It is started without a shell,
 * in this folder, with the environment of the search (where a key can be), and in a group of its
 * own that ends with it: also when it is late, and when the search is killed. */
#ifndef DUET_COMMAND_RUN_H
#define DUET_COMMAND_RUN_H

#include "search_file.h"
#include "strategy.h"

#include <stdbool.h>

struct command_run {
    struct strategy_runner runner; /* what strategies take: run is command_run(), owner this */
    /* Called some ten times a second while the program runs, so that who asks can look after
     * processes of its own. True: the search is to end, and so does the program. NULL: never. */
    bool (*meanwhile)(void *ctx);
    void *ctx;
    json_t *about; /* owned */
};

/* What the program is told of a search beside its space: base, budget, trials, seeds, and the
 * metric's name and the better side. c must stay where it is. ERR_NOMEM. */
int command_run_open(struct command_run *c, const struct search_file *f, struct err *e);
void command_run_close(struct command_run *c); /* accepts all zeros */

/* ERR_USAGE: the strategy's program, or that of one below it, is not there to be started. */
int command_run_check(const struct strategy_choice *c, struct err *e);

#endif
