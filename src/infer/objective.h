/* Objectives of prompt classification: what a batch of answers is worth, as a number to minimise.
 *
 *   ce        mean cross-entropy over the answers, nats
 *   accuracy  1 - the share of sequences whose most likely answer is the right one
 *   f1        1 - F1 (below)
 *
 * Those that are no smooth function of the logits have no gradient: only engines that need values
 * alone can minimise them (Malladi et al. 2023, section 3.3). Adding one: a function and a row in
 * objective.c, and a word in OBJECTIVES. */
#ifndef DUET_OBJECTIVE_H
#define DUET_OBJECTIVE_H

#include <stdbool.h>
#include <stdint.h>

#define OBJECTIVES(X) X(ce) X(accuracy) X(f1)

struct objective {
    const char *name, *help;
    bool differentiable;
    bool of_batch; /* no mean over examples: an estimator must see the batch as one */
    /* logits (B,n), label (B), nll (B); n at most CHOICE_MAX. NaN if a logit or loss that it reads
     * is not a number. */
    double (*value)(const float *logits, const int32_t *label, const float *nll, int64_t B, int n);
};

const struct objective *objective_find(const char *name); /* or NULL */

double objective_value(const struct objective *o, const float *logits, const int32_t *label,
                       const float *nll, int64_t B, int n);

/* The most likely of n answers, the first of equal ones; -1 if a logit is not a number. */
int objective_answer(const float *logits, int n);

/* F1 = 2 TP / (2 TP + FP + FN) from counts[label * n + answer]. n = 2: of label 1. Else the mean
 * over the n labels (macro). A label that neither occurs nor is answered counts 0. */
double objective_f1(const int64_t *counts, int n);

#endif
