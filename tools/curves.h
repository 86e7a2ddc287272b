/* Losses of several runs at the same place: after as many updates, tokens or seconds. */
#ifndef DUET_CURVES_H
#define DUET_CURVES_H

#include "run_list.h"

enum curve_axis { CURVE_STEPS, CURVE_TOKENS, CURVE_SECONDS, N_CURVE_AXES };
const char *curve_axis_name(enum curve_axis a); /* "step", "tokens", "seconds" */

enum { CURVE_POINTS = 6 };

/* Steps: places that every run has a line (or validation) of, its figures as they stand there.
 * Tokens, seconds: equal parts of what all runs have reached; values are linear between the lines
 * around. */
struct curve {
    enum curve_axis axis;
    bool val; /* validations, else lines of updates */
    size_t n; /* places; 0: the runs have none in common */
    double at[CURVE_POINTS];
    double *loss, *stderr_; /* (n, runs); stderr NaN where it is not known; owned */
};

int curve_make(struct curve *c, const struct run_list *l, enum curve_axis axis, bool val,
               struct err *e);
void curve_release(struct curve *c); /* accepts all zeros */

#endif
