/* A MeZO run makes recorded updates again, bit for bit, with what was due behind them; what was
 * done before counts once. */
#include "run_fixture.h"

static char dir[] = "/tmp/duet-again-XXXXXX", weights[64], state_path[64];

/* ---- recorded updates ------------------------------------------------------------------------ */

static void repeats_what_was_recorded(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    struct model m = model_of(variants), again = model_of(variants);
    struct run_opts o = opts_of(kinds + 1, &g);
    struct heard h = {0}, quiet = {0};
    struct engine_memory all, few;
    struct run *r, *s;
    ok(run_open(&r, &m, &o, hear, &h, &e));
    steps(r, FIRST + SECOND);
    assert_int_equal(h.n_records, FIRST + SECOND);
    ok(run_plan(&all, o.engine, &again, &o.engine_opts, 0, &e));
    o.engine_opts.repeat = true; /* no data, no passes */
    o.data = (struct run_data){0};
    ok(run_plan(&few, o.engine, &again, &o.engine_opts, 0, &e));
    assert_int_equal(few.total, few.weights + few.optimizer);
    assert_true(few.total < all.total && few.weights == all.weights);
    ok(run_open(&s, &again, &o, hear, &quiet, &e));
    for (int i = 0; i < h.n_records; i++) ok(run_repeat(s, h.record + i, &e));
    assert_true(same_weights(&m, &again));
    assert_int_equal(s->p.step, r->p.step);
    assert_int_equal(s->p.tokens, r->p.tokens);
    assert_true(s->p.ema == r->p.ema && s->p.seconds == r->p.seconds);
    for (int i = 0; i < h.n_losses; i++) assert_true(h.loss[i] == quiet.loss[i]);
    struct zo_record bad = h.record[0];
    bad.n--;
    assert_int_equal(run_repeat(s, &bad, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "has 1 directions, the settings of the run make 2"));
    bad = h.record[0];
    bad.accum = 3;
    assert_int_equal(run_repeat(s, &bad, &e), ERR_INPUT);
    assert_true(same_weights(&m, &again));
    run_close(r);
    run_close(s);
    close_model(&m);
    close_model(&again);
}

struct text {
    struct shard shard;
    uint32_t ids[256];
    uint64_t doc;
};

static struct run_val_data val_of(struct text *t) {
    for (uint32_t i = 0; i < 256; i++) t->ids[i] = i * 7 % 50;
    t->doc = 0;
    t->shard = (struct shard){.width = 4,
                              .vocab = 50,
                              .n_tokens = 256,
                              .tokens = t->ids,
                              .n_docs = 1,
                              .docs = &t->doc};
    return (struct run_val_data){
        .shard = &t->shard, .split = {.end = 256, .bits = -1}, .windows = 9};
}

/* Another run makes the same updates again: behind each the same is due, and comes to the same;
 * only the moments for checkpoints are over, but for the last. */
static void repeats_what_was_due(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    struct model m = model_of(variants), again = model_of(variants);
    struct run_opts o = opts_of(kinds + 1, &g);
    struct heard h = {0}, second = {0};
    struct run *r, *s;
    const int n = FIRST + SECOND;
    struct text text;
    o.val = val_of(&text);
    o.val_every = 2;
    o.patience = 1000;
    ok(run_open(&r, &m, &o, hear, &h, &e));
    steps(r, n);
    assert_true(r->p.val_best_step > 0 && r->change.step == 2);
    ok(run_open(&s, &again, &o, hear, &second, &e));
    for (int i = 0; i < n; i++) ok(run_step_again(s, h.record + i, i + 1 < n, &e));
    assert_true(same_weights(&m, &again));
    int at = 0; /* of what was heard of the first, but for the passes of updates */
    for (int i = 0; i < h.n; i++) {
        const enum run_event_kind k = h.kind[i];
        if (k == RUN_MICRO || k == RUN_SLOW || k == RUN_MADE) continue;
        if (k == RUN_STEPPED && i + 1 < h.n) continue;
        assert_true(at < second.n);
        assert_int_equal(second.kind[at++], h.kind[i]);
    }
    assert_int_equal(at, second.n);
    assert_int_equal(s->p.val_step, r->p.val_step);
    assert_int_equal(s->p.val_best_step, r->p.val_best_step);
    assert_int_equal(s->p.val_stale, r->p.val_stale);
    assert_true(s->p.val_best == r->p.val_best && s->change.change == r->change.change);
    assert_true(s->last_val.text.loss == r->last_val.text.loss);
    run_close(r);
    run_close(s);
    close_model(&m);
    close_model(&again);
}

/* Limits that the run has reached by now, or patience: an update that is not the last had its
 * validation all the same, the last has none. */
static void repeats_beyond_its_end(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    struct model m = model_of(variants), again = model_of(variants);
    struct run_opts o = opts_of(kinds + 1, &g);
    struct heard h = {0}, second = {0};
    struct run *r, *s;
    ok(run_open(&r, &m, &o, hear, &h, &e));
    steps(r, 4);
    struct text text;
    o.val = val_of(&text);
    o.val_every = 1;
    o.budget.of[BUDGET_steps] = 2;
    ok(run_open(&s, &again, &o, hear, &second, &e));
    for (int i = 0; i < 3; i++) {
        ok(run_step_again(s, h.record + i, true, &e));
        assert_int_equal(s->p.val_step, i + 1);
    }
    assert_true(run_finished(s));
    ok(run_step_again(s, h.record + 3, false, &e));
    assert_int_equal(s->p.val_step, 3);
    assert_true(run_val_missing(s) && !run_val_due(s));
    run_close(r);
    run_close(s);
    close_model(&m);
    close_model(&again);
}

/* A validation that is made again, by a run that goes on from a snapshot behind it, counts once. */
static void a_validation_counts_once(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    const struct run_pair pair = {.weights = weights, .state = state_path};
    struct model m = model_of(variants);
    struct run_opts o = opts_of(kinds, &g);
    struct validation v, w;
    struct run *r;
    struct text text;
    o.val = val_of(&text);
    o.val_every = 1;
    ok(run_open(&r, &m, &o, NULL, NULL, &e));
    ok(run_eval(r, &v, &e));
    r->p.val_best = v.text.loss - 100; /* nothing will be better */
    steps(r, 2);
    assert_int_equal(r->p.val_stale, 2);
    v = r->last_val;
    ok(run_snapshot(r, &pair, &e));
    steps(r, 1);
    ok(run_restore(r, &pair, &e));
    ok(run_eval(r, &w, &e)); /* not that of the step after it */
    assert_true(v.text.loss == w.text.loss);
    assert_int_equal(r->p.val_stale, 2);
    steps(r, 1);
    assert_int_equal(r->p.val_stale, 3);
    run_close(r);
    close_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeats_what_was_recorded),
        cmocka_unit_test(repeats_what_was_due),
        cmocka_unit_test(repeats_beyond_its_end),
        cmocka_unit_test(a_validation_counts_once),
    };
    char command[80];
    if (!mkdtemp(dir)) return 1;
    snprintf(weights, sizeof weights, "%s/weights.blzt", dir);
    snprintf(state_path, sizeof state_path, "%s/state", dir);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) ? 1 : failed;
}
