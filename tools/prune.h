/* Removing what runs keep and need no more. */
#ifndef DUET_PRUNE_H
#define DUET_PRUNE_H

#include "run_list.h"

/* checkpoints: of finished runs the earlier checkpoints and what was set aside; states: of finished
 * runs the state too, without which they do not train on; never-began: all that runs without an
 * update have written, and the folder if nothing else is in it. */
#define PRUNE_WORDS "none checkpoints states never-began"

/* Lists the files and what they take; yes: removes them. A run that is going on, or begins
 * meanwhile, and files that are not a run's are left alone. */
int prune_runs(const struct run_list *l, const char *what, bool yes, struct err *e);

#endif
