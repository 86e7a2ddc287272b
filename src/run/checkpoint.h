/* Checkpoints of a run's folder, from which it can go on bit for bit.
 *
 *   model.blzt   the weights; of a LoRA run adapter.blzt
 *   state        everything else: counters (JSON) and the optimizer's arrays (zstd frames)
 *
 * The state names the model file it belongs to by hash. Order of writing: model.next.blzt, state
 * (atomic), then model.next.blzt is renamed to model.blzt. Killed before the state is in place, the
 * old pair is whole; killed after it, the next model is found by its hash and the rename is done
 * again. The layout is in docs/formats.md. */
#ifndef DUET_CHECKPOINT_H
#define DUET_CHECKPOINT_H

#include "run.h"

/* best: this is the model of p.val_best; p.best_hash becomes its hash. */
int checkpoint_save(const char *dir, struct run *r, bool best, struct err *e);

/* True if dir holds a state file. */
bool checkpoint_exists(const char *dir);

/* Restores weights, optimizer and counters of a run of the same model. */
int checkpoint_load(const char *dir, struct run *r, struct err *e);

/* A second pair of the same files, model.good.blzt and state.good: set aside from the last
 * checkpoint (further names), loaded, removed. What is loaded is the last checkpoint again from
 * then on: records of updates behind it are cut next, and a run that is killed then must not find a
 * checkpoint of later updates than it has records of. */
int checkpoint_set_aside(const char *dir, const struct run *r, struct err *e);
bool checkpoint_aside(const char *dir);
int checkpoint_load_aside(const char *dir, struct run *r, struct err *e);
void checkpoint_drop_aside(const char *dir, const struct run *r);

/* The counters alone. */
int checkpoint_progress(const char *dir, struct progress *p, struct err *e);

/* Only weights, from the file of a checkpoint of that name in dir. */
int checkpoint_load_weights(const char *dir, const char *name, struct run *r, struct err *e);

/* p.best_hash becomes the hash of the last weights. */
int checkpoint_hash(const char *dir, struct run *r, struct err *e);

#endif
