/* Why a model gives no numbers: for the message when a loss or a logit is NaN or infinite. */
#ifndef DUET_FINITE_H
#define DUET_FINITE_H

#include "model.h"

/* Are n numbers all finite? */
bool finite_all(const float *x, int64_t n);

/* Fills *e and returns ERR_NUMERIC: `what` is not finite, because of the first weight that is not,
 * by tensor and index; or if all are, the largest. Reads every weight. */
int finite_explain(const struct model *m, const char *what, struct err *e);

#endif
