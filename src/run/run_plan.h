/* The memory of a training run, before any of it is reserved: what `duet plan` prints and every run
 * refuses by. */
#ifndef DUET_RUN_PLAN_H
#define DUET_RUN_PLAN_H

#include "engine.h"

/* Windows of seq tokens that a validation during the run evaluates at once. */
int64_t run_val_batch(int64_t seq);

/* engine_plan, and with it the memory of a validation over windows (or prompts) of val_seq tokens;
 * 0: the run validates on nothing. */
int run_plan(struct engine_memory *mem, const struct engine_kind *kind, struct model *m,
             const struct engine_opts *o, int64_t val_seq, struct err *e);

/* ERR_NOMEM with the parts if it is more than the machine has (machine_memory). what: "this run";
 * advice: how to need less, or NULL. */
int run_plan_fits(const struct engine_memory *mem, const struct machine *machine, const char *what,
                  const char *advice, struct err *e);
/* What to try with this engine. */
const char *run_plan_advice(const struct engine_kind *kind);

#endif
