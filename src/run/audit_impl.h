/* Inside of the audit, shared by audit.c and audit_advice.c. */
#ifndef DUET_AUDIT_IMPL_H
#define DUET_AUDIT_IMPL_H

#include "audit.h"

/* Sums over the weights: of g^2, g^4, estimate^2, estimate * g; then g.z of every direction.
 * Weights are counted in units of their `move`, so that z is of signs whatever the scales are. */
enum { SUM_G2, SUM_G4, SUM_E2, SUM_EG, N_SUMS };
enum { SIDES = 2 };

/* ERR_USAGE unless there are gradients to compare with. */
int audit_has_gradient(const struct audit *a, struct err *e);
/* c of direction s, over what is trainable (scale NULL) or as scaled; leaves the losses of both
 * sides in a->losses. */
int audit_coefficient(struct audit *a, int64_t s, double eps, const float *scale, double *c,
                      struct err *e);
/* Fills the sums (N_SUMS) and the slopes g.z of group k. */
void audit_sum_group(struct audit *a, int k, double *sums);

#endif
