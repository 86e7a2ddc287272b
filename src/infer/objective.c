#include "objective.h"
#include "choice.h"

#include <assert.h>
#include <math.h>
#include <string.h>

int objective_answer(const float *logits, int n) {
    int best = 0;
    for (int k = 0; k < n; k++) {
        if (isnan(logits[k])) return -1;
        if (logits[k] > logits[best]) best = k;
    }
    return best;
}

static double label_f1(const int64_t *counts, int n, int label) {
    int64_t row = 0, col = 0; /* TP + FN, TP + FP */
    for (int k = 0; k < n; k++) {
        row += counts[label * n + k];
        col += counts[k * n + label];
    }
    return row + col ? 2 * (double)counts[label * n + label] / (double)(row + col) : 0;
}

double objective_f1(const int64_t *counts, int n) {
    if (n == 2) return label_f1(counts, n, 1);
    double sum = 0;
    for (int k = 0; k < n; k++) sum += label_f1(counts, n, k);
    return sum / n;
}

static double ce_value(const float *logits, const int32_t *label, const float *nll, int64_t B,
                       int n) {
    (void)logits, (void)label, (void)n;
    double sum = 0;
    for (int64_t b = 0; b < B; b++) sum += (double)nll[b];
    return sum / (double)B;
}

static double accuracy_value(const float *logits, const int32_t *label, const float *nll, int64_t B,
                             int n) {
    (void)nll;
    int64_t wrong = 0;
    for (int64_t b = 0; b < B; b++) {
        const int k = objective_answer(logits + b * n, n);
        if (k < 0) return NAN;
        wrong += k != label[b];
    }
    return (double)wrong / (double)B;
}

static double f1_value(const float *logits, const int32_t *label, const float *nll, int64_t B,
                       int n) {
    (void)nll;
    int64_t counts[CHOICE_MAX * CHOICE_MAX] = {0};
    for (int64_t b = 0; b < B; b++) {
        const int k = objective_answer(logits + b * n, n);
        if (k < 0) return NAN;
        counts[label[b] * n + k]++;
    }
    return 1 - objective_f1(counts, n);
}

static const struct objective ce = {
    .name = "ce",
    .help = "mean cross-entropy over the label words",
    .differentiable = true,
    .value = ce_value,
};

static const struct objective accuracy = {
    .name = "accuracy",
    .help = "1 - accuracy; has no gradient",
    .value = accuracy_value,
};

static const struct objective f1 = {
    .name = "f1",
    .help = "1 - F1, of label 1 or the mean over three or more labels; has no gradient",
    .of_batch = true,
    .value = f1_value,
};

static const struct objective *const objectives[] = {
#define X(name) &name,
    OBJECTIVES(X)
#undef X
};

const struct objective *objective_find(const char *name) {
    for (size_t i = 0; i < sizeof objectives / sizeof *objectives; i++)
        if (!strcmp(objectives[i]->name, name)) return objectives[i];
    return NULL;
}

double objective_value(const struct objective *o, const float *logits, const int32_t *label,
                       const float *nll, int64_t B, int n) {
    assert(B > 0 && n >= 1 && n <= CHOICE_MAX);
    return o->value(logits, label, nll, B, n);
}
