/* Tasks: evaluation against one example after another, objectives. */
#include "task_fixture.h"

static const struct variant small = {"bytes", "llama", "", {24, 40, 2, 4, 2, 6, 257}, true};

/* One example after another, unpadded, with the classifier's whole row of logits. */
static void plain_eval(struct model *m, const struct machine *g, const struct task *t,
                       int64_t *counts, double *losses) {
    float *z = malloc((size_t)m->config.vocab * sizeof *z);
    struct exec x;
    ok(exec_open(&x, &m->graph, g, &(struct exec_opts){.B = 1, .T = t->T}, &e));
    for (int64_t i = 0; i < t->n; i++) {
        exec_run(&x, &(struct batch){
                         .B = 1, .T = task_len(t, i), .input = t->ids + t->start[i], .logits = z});
        double sum = 0;
        int best = 0;
        for (int k = 0; k < t->n_labels; k++) {
            sum += exp((double)z[t->answers[k]]);
            if (z[t->answers[k]] > z[t->answers[best]]) best = k;
        }
        losses[i] = log(sum) - (double)z[t->answers[t->label[i]]];
        counts[t->label[i] * t->n_labels + best]++;
    }
    exec_close(&x);
    free(z);
}

static uint64_t seen_total;

static void watch(void *ctx, uint64_t done, uint64_t total) {
    uint64_t *last = ctx;
    assert_true(done > *last && done <= total);
    *last = done;
    seen_total = total;
}

static void test_eval(void **state) {
    (void)state;
    const struct machine g = machine_of("auto", DT_F32);
    struct model m = model_of(&small);
    struct task t = letters();
    int64_t counts[9] = {0}, right = 0;
    double losses[N], sum = 0, squares = 0;
    ok(task_map(&t, &m, &e));
    plain_eval(&m, &g, &t, counts, losses);
    for (int i = 0; i < N; i++) sum += losses[i];
    for (int i = 0; i < N; i++) squares += pow(losses[i] - sum / N, 2);
    for (int k = 0; k < 3; k++) right += counts[4 * k];
    assert_in_range(right, 1, N - 1); /* both right and wrong answers */
    const double p = (double)right / N;
    for (int64_t batch = 1; batch <= 2 * N; batch += 5) {
        struct task_result r;
        uint64_t last = 0;
        ok(task_eval(&m, &g, &t,
                     &(struct task_eval_opts){.batch = batch, .progress = watch, .ctx = &last}, &r,
                     &e));
        assert_true(last == N && seen_total == N && r.n == N && r.n_labels == 3);
        assert_memory_equal(r.counts, counts, sizeof counts);
        assert_true(fabs(r.loss - sum / N) < 1e-5);
        assert_true(fabs(r.loss_stderr - sqrt(squares / (N - 1) / N)) < 1e-5);
        assert_true(fabs(r.accuracy - p) < 1e-12);
        assert_true(fabs(r.accuracy_stderr - sqrt(p * (1 - p) / (N - 1))) < 1e-12);
        assert_true(fabs(r.f1 - objective_f1(counts, 3)) < 1e-12);
        double f[N], mean_f = 0, spread = 0; /* the jackknife, one by one */
        int n = 0;
        for (int c = 0; c < 9; c++)
            for (int64_t k = 0; k < r.counts[c]; k++) {
                counts[c]--;
                f[n++] = objective_f1(counts, 3);
                counts[c]++;
            }
        assert_int_equal(n, N);
        for (int i = 0; i < N; i++) mean_f += f[i] / N;
        for (int i = 0; i < N; i++) spread += pow(f[i] - mean_f, 2);
        assert_true(r.f1_stderr > 0);
        assert_true(fabs(r.f1_stderr - sqrt((N - 1.0) / N * spread)) < 1e-12);
    }
    ((float *)m.params[0].data)[24 * 'c'] = NAN;
    struct task_result r;
    assert_int_equal(task_eval(&m, &g, &t, &(struct task_eval_opts){.batch = 4}, &r, &e),
                     ERR_NUMERIC);
    task_close(&t);
    t = task_of("x\tlabel\na\t1\n", "{x}", "0,1", 0, byte);
    ok(task_eval(&m, &g, &t, &(struct task_eval_opts){.batch = 4}, &r, &e));
    assert_true(isfinite(r.loss) && isnan(r.loss_stderr) && isnan(r.accuracy_stderr));
    task_close(&t);
    close_model(&m);
}

static void test_objectives(void **state) {
    (void)state;
    const float logits[] = {1, 2, 3, 0, 0, 0, -1, 5}, nll[] = {0.5f, 1, 1.5f, 3};
    const int32_t label[] = {1, 1, 0, 1}; /* answers 1, 0, 0 (a tie), 1 */
    const struct objective *ce = objective_find("ce"), *acc = objective_find("accuracy"),
                           *f1 = objective_find("f1");
    assert_true(ce && acc && f1 && !objective_find("f2"));
    assert_true(ce->differentiable && !acc->differentiable && !f1->differentiable);
    assert_true(objective_value(ce, logits, label, nll, 4, 2) == 1.5);
    assert_true(objective_value(acc, logits, label, nll, 4, 2) == 0.25);
    /* TP 2, FN 1, FP 0 */
    assert_true(fabs(objective_value(f1, logits, label, nll, 4, 2) - (1 - 4.0 / 5)) < 1e-15);
    const float bad[] = {1, NAN};
    assert_true(isnan(objective_value(acc, bad, label, nll, 1, 2)));
    assert_true(isnan(objective_value(f1, bad, label, nll, 1, 2)));
    const int64_t none[4] = {5, 0, 0, 0}, three[9] = {2, 1, 0, 0, 3, 0, 1, 0, 0};
    assert_true(objective_f1(none, 2) == 0);
    /* 4/6, 6/7, 0 */
    assert_true(fabs(objective_f1(three, 3) - (4.0 / 6 + 6.0 / 7) / 3) < 1e-15);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_eval),
                                       cmocka_unit_test(test_objectives)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
