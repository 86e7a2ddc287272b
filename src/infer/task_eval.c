#include "finite.h"
#include "guard.h"
#include "objective.h"
#include "stat.h"
#include "task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run {
    const struct model *m;
    const struct task *t;
    struct exec exec;
    int64_t *order; /* (n) examples, the short ones first: less padding */
    uint32_t *input;
    int32_t *pos, *label;
    float *logits, *nll; /* (B,n_labels), (B) */
    double *losses;      /* (n), of the example */
    double *errors;      /* the same of wrong answers, or NULL */
    int64_t *counts;
};

/* A counting sort, so that equal lengths keep their order. */
static int sort_by_length(struct run *r) {
    const struct task *t = r->t;
    int64_t *at = calloc((size_t)t->T + 2, sizeof *at);
    if (!at) return -1;
    for (int64_t i = 0; i < t->n; i++) at[task_len(t, i) + 1]++;
    for (int64_t k = 0; k <= t->T; k++) at[k + 1] += at[k];
    for (int64_t i = 0; i < t->n; i++) r->order[at[task_len(t, i)]++] = i;
    free(at);
    return 0;
}

static int count(struct run *r, int64_t b, int64_t example, struct err *e) {
    const int n = r->t->n_labels, answer = objective_answer(r->logits + b * n, n);
    if (answer < 0 || !isfinite(r->nll[b])) {
        char what[64];
        snprintf(what, sizeof what, "the loss of example %lld", (long long)example + 1);
        return finite_explain(r->m, what, e);
    }
    r->losses[example] = (double)r->nll[b];
    if (r->errors) r->errors[example] = answer != r->label[b];
    r->counts[r->label[b] * n + answer]++;
    return 0;
}

/* Examples order[first] to order[first + B - 1]. */
static int one_batch(struct run *r, int64_t first, int64_t B, struct err *e) {
    int rc = 0;
    const struct task *t = r->t;
    const int64_t *which = r->order + first, T = task_len(t, which[B - 1]);
    for (int64_t b = 0; b < B; b++)
        task_put(t, which[b], T, r->input + b * T, r->pos + b, r->label + b);
    const struct choices c = {
        .n = t->n_labels, .ids = t->answers, .pos = r->pos, .label = r->label, .logits = r->logits};
    const struct batch batch = {
        .B = B, .T = T, .choices = &c, .input = r->input, .nll = r->nll};
    if (!exec_run(&r->exec, &batch)) return err_set(e, ERR_STOP, "stopped");
    for (int64_t b = 0; b < B; b++) TRY(count(r, b, which[b], e));
out:
    return rc;
}

/* The jackknife's standard error: F1 without each example in turn, which depends on the example's
 * cell of the table of counts only (Efron and Stein 1981). */
static double f1_stderr(const struct task_result *r) {
    const int cells = r->n_labels * r->n_labels;
    int64_t counts[CHOICE_MAX * CHOICE_MAX];
    double without[CHOICE_MAX * CHOICE_MAX], mean = 0, sum = 0;
    const double n = (double)r->n;
    memcpy(counts, r->counts, (size_t)cells * sizeof *counts);
    for (int i = 0; i < cells; i++) {
        if (!counts[i]) continue;
        counts[i]--;
        without[i] = objective_f1(counts, r->n_labels);
        counts[i]++;
        mean += (double)counts[i] / n * without[i];
    }
    for (int i = 0; i < cells; i++)
        if (counts[i]) sum += (double)counts[i] * (without[i] - mean) * (without[i] - mean);
    return sqrt((n - 1) / n * sum);
}

static void finish(const struct run *run, struct task_result *r) {
    const size_t n = (size_t)r->n;
    int64_t right = 0;
    for (int k = 0; k < r->n_labels; k++) right += r->counts[k * r->n_labels + k];
    r->loss = stat_mean(run->losses, n);
    r->accuracy = (double)right / (double)n;
    r->f1 = objective_f1(r->counts, r->n_labels);
    r->loss_stderr = stat_stderr(run->losses, n);
    r->accuracy_stderr = r->f1_stderr = NAN;
    if (n < 2) return;
    r->accuracy_stderr = sqrt(r->accuracy * (1 - r->accuracy) / ((double)n - 1));
    r->f1_stderr = f1_stderr(r);
}

static int reserve(struct run *r, int64_t B, struct err *e) {
    const struct task *t = r->t;
    const size_t b = (size_t)B, n = (size_t)t->n;
    r->order = malloc(n * sizeof *r->order);
    r->input = malloc(b * (size_t)t->T * sizeof *r->input);
    r->pos = malloc(b * sizeof *r->pos);
    r->label = malloc(b * sizeof *r->label);
    r->logits = malloc(b * (size_t)t->n_labels * sizeof *r->logits);
    r->nll = malloc(b * sizeof *r->nll);
    r->losses = malloc(n * sizeof *r->losses);
    if (!r->order || !r->input || !r->pos || !r->label || !r->logits || !r->nll || !r->losses ||
        sort_by_length(r))
        return err_set(e, ERR_NOMEM, "out of memory for evaluation");
    return 0;
}

int task_eval(struct model *m, const struct machine *machine, const struct task *t,
              const struct task_eval_opts *o, struct task_result *out, struct err *e) {
    int rc;
    *out = (struct task_result){.n = t->n, .n_labels = t->n_labels};
    struct run r = {
        .m = m, .t = t, .counts = out->counts, .errors = o->errors ? o->losses : NULL};
    const int64_t B = o->batch < t->n ? o->batch : t->n;
    const struct exec_opts xo = {.B = B, .T = t->T, .cancel = o->cancel};
    TRY(exec_open(&r.exec, &m->graph, machine, &xo, e));
    TRY(reserve(&r, B, e));
    for (int64_t at = 0; at < t->n; at += B) {
        const int64_t n = t->n - at < B ? t->n - at : B;
        TRY(one_batch(&r, at, n, e));
        if (o->progress) o->progress(o->ctx, (uint64_t)(at + n), (uint64_t)t->n);
    }
    TRY(guard_check_maps(e));
    finish(&r, out);
    if (o->losses && !o->errors) memcpy(o->losses, r.losses, (size_t)t->n * sizeof *r.losses);
out:
    exec_close(&r.exec);
    free(r.order);
    free(r.input);
    free(r.pos);
    free(r.label);
    free(r.logits);
    free(r.nll);
    free(r.losses);
    return rc;
}
