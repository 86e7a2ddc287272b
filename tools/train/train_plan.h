/* What a training run would be, without training: its model, its memory, its work. What `duet plan`
 * prints, and what a search asks before it starts a trial.
 *
 *   struct train_plan p;
 *   TRY(train_plan_make(&p, &o, e));
 *   use(p.memory.total);
 *   out: train_plan_close(&p); */
#ifndef DUET_TRAIN_PLAN_H
#define DUET_TRAIN_PLAN_H

#include "dataset.h"
#include "run_plan.h"
#include "task.h"
#include "train_model.h"

/* What `train` would find: everything that decides the shapes of the run. */
struct train_plan {
    const struct train_opts *o; /* borrowed */
    struct train_setup setup;
    struct machine machine;
    struct train_files files;
    struct model model;
    struct dataset data, val_data;
    struct task task, task_eval;
    uint32_t *ids; /* those that occur, for --compact-vocab */
    int64_t n_ids;
    int64_t seq, val_seq;
    uint64_t read_tokens; /* of data: the rest is for the test */
    struct engine_opts engine;
    struct engine_memory memory;
    double flops;  /* of an update */
    double epoch;  /* budget_limits */
    int64_t updates; /* of the whole run; 0: not known */
    double all_flops;
};

/* o: after train_take_adapter. Text of more than 4 MB is not tokenised, which changes no shape but
 * that of a vocabulary to be compacted. Nothing is measured, reserved or written but for a shard
 * without a name in TMPDIR. Whether the memory is there is not looked at (run_plan_fits).
 * ERR_USAGE, ERR_INPUT as train would. */
int train_plan_make(struct train_plan *p, const struct train_opts *o, struct err *e);
void train_plan_close(struct train_plan *p); /* accepts all zeros */

#endif
