/* The loss of prompt classification (struct choices in exec.h), as the classifier op runs it when a
 * batch has choices: cross-entropy over n answer tokens at one position of each sequence. Of the
 * classifier's table only the answers' rows are read, once for each probe.
 *
 *   logits[b][k] = softcap(x[b, pos[b]] . W[ids[k]])
 *   nll[b]       = log sum_k exp(logits[b][k]) - logits[b][label[b]]
 *
 * In training the gradient of x is written whole (zero but for the answer positions), weighted by
 * batch.grad_scale a sequence, and the gradient of W is zeroed, if it is not to be added to, and
 * accumulated in the answers' rows. Training has no probes.
 *
 * The results do not depend on the number of threads. Source of the objective: Malladi et al. 2023
 * (MeZO), arXiv 2305.17333, where the answer is chosen among verbalisers too. */
#ifndef DUET_CHOICE_H
#define DUET_CHOICE_H

#include "exec.h"

enum { CHOICE_MAX = 32 }; /* answers at most */

/* n: the classifier's node, in x (rows, C), param W (V,C), attrs cap. */
void choice_forward(struct exec *x, const struct node *n);

/* Shared scratch for the most answers and probes that a run may have. */
size_t choice_work(const struct exec *x, const struct node *n, bool train);

#endif
