/* How far validation has come since the first one of the run: both see the same windows (or
 * examples), so that their difference is known far better than either loss.
 *
 *   TRY(val_change_reserve(&v, n, e));   before every validation: room for n losses
 *   ... v.now is filled ...
 *   val_change_take(&v, step);           after it: the first is kept, later ones are compared */
#ifndef DUET_VAL_CHANGE_H
#define DUET_VAL_CHANGE_H

#include "err.h"
#include <stdbool.h>
#include <stdint.h>

struct val_change {
    double *first, *now; /* (n) */
    int64_t n;
    int64_t step;          /* of the first validation; -1: there was none */
    double change, stderr_; /* mean of now - first, and its standard error; NaN: not known */
};

void val_change_init(struct val_change *v);
int val_change_reserve(struct val_change *v, int64_t n, struct err *e);
void val_change_take(struct val_change *v, int64_t step);
void val_change_release(struct val_change *v); /* accepts all zeros */

/* Where in a run the first validation was. */
struct val_place {
    int64_t step, rollbacks;
    int64_t key; /* of what it was made on: losses of another are not compared */
};

/* The first losses as a file, JSON: {"step", "rollbacks", "key", "losses": [...]}. Nothing is
 * written where one is not a number. */
int val_change_save(const struct val_change *v, const char *path, const struct val_place *p,
                    struct err *e);
/* Goes on from such a file; p is filled. ERR_INPUT if it is none. */
int val_change_load(struct val_change *v, const char *path, struct val_place *p, struct err *e);

/* The loss has risen, by more than twice the standard error of the change. */
bool val_change_risen(const struct val_change *v);

#endif
