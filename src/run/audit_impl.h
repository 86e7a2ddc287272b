/* Inside of the audit, shared by audit.c and audit_advice.c. */
#ifndef DUET_AUDIT_IMPL_H
#define DUET_AUDIT_IMPL_H

#include "audit.h"

/* Sums over the weights: of g^2, g^4, estimate^2, estimate * g; then g.z of every direction.
 * Weights are counted in units of their `move`, so that z is of signs whatever the scales are. */
enum { SUM_G2, SUM_G4, SUM_E2, SUM_EG, N_SUMS };
enum { SIDES = 2 };

struct exec_opts audit_probe_exec(const struct audit_opts *o);
/* Seed of direction s, and its c over what is trainable; leaves the losses of both sides in a->nll.
 * a->exec is open. */
uint64_t audit_seed(const struct audit *a, int64_t s);
double audit_coefficient(struct audit *a, uint64_t seed, double eps);
/* Fills the sums (N_SUMS) and the slopes g.z of group k. */
void audit_sum_group(struct audit *a, int k, double *sums);

#endif
