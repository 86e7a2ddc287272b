/* A training run as an object: a snapshot goes on to the same bits, events come in order, two runs
 * in two threads are two runs, divergence goes back where it is told. */
#include "run_fixture.h"

#include <pthread.h>

/* ---- snapshots ------------------------------------------------------------------------------- */

static char dir[] = "/tmp/duet-run-XXXXXX", weights[64], state_path[64];

static void goes_on_from_a_snapshot(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    const struct run_pair pair = {.weights = weights, .state = state_path};
    for (int k = 0; k < N_KINDS; k++) {
        struct model a = model_of(variants), b = model_of(variants + 0);
        const struct run_opts o = opts_of(kinds + k, &g);
        struct heard one = {0}, two = {0};
        struct run *r, *s;
        ok(run_open(&r, &a, &o, hear, &one, &e));
        steps(r, FIRST);
        assert_false(run_finished(r));
        ok(run_snapshot(r, &pair, &e));
        steps(r, SECOND);
        assert_true(run_finished(r));
        assert_int_equal(r->p.step, FIRST + SECOND);

        randomize(&b, 99); /* nothing of it may count */
        ok(run_open(&s, &b, &o, hear, &two, &e));
        ok(run_restore(s, &pair, &e));
        assert_int_equal(s->p.step, FIRST);
        assert_int_equal(s->p.tokens, one.n_losses ? s->p.rows * LEN : 0);
        steps(s, SECOND);
        assert_true(same_weights(&a, &b));
        assert_int_equal(two.n_losses, SECOND);
        for (int i = 0; i < SECOND; i++) assert_true(one.loss[FIRST + i] == two.loss[i]);
        assert_true(r->p.ema == s->p.ema && r->p.rows == s->p.rows);
        assert_true(one.loss[0] != one.loss[1]);
        run_close(r);
        run_close(s);
        close_model(&a);
        close_model(&b);
    }
}

static void a_pair_belongs_together(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    char other[80];
    struct model m = model_of(variants);
    const struct run_opts o = opts_of(kinds, &g);
    struct run *r;
    snprintf(other, sizeof other, "%s/other.blzt", dir);
    const struct run_pair pair = {.weights = weights, .state = state_path},
                          wrong = {.weights = other, .state = state_path};
    ok(run_open(&r, &m, &o, NULL, NULL, &e));
    ok(run_snapshot(r, &pair, &e));
    steps(r, 1);
    ok(run_write_weights(r, other, &e));
    assert_int_equal(run_restore(r, &wrong, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "other.blzt does not belong to "));
    ok(run_restore(r, &pair, &e));
    /* What is no number is not written, and the pair stays. */
    ((float *)m.params[0].data)[0] = NAN;
    assert_int_equal(run_snapshot(r, &pair, &e), ERR_NUMERIC);
    assert_non_null(strstr(e.msg, "weights of model.embed_tokens.weight are not finite; nothing"));
    ok(run_restore(r, &pair, &e));
    assert_true(isfinite(((float *)m.params[0].data)[0]));
    run_close(r);
    close_model(&m);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* The kinds of one update of `accum` micro-batches, among those that come of themselves. */
static void order_of_events(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    static const enum run_event_kind want[] = {RUN_MICRO, RUN_MICRO,   RUN_MADE,
                                               RUN_COUNTED, RUN_STEPPED};
    struct model m = model_of(variants);
    struct run_opts o = opts_of(kinds, &g);
    struct heard h = {0};
    struct run *r;
    o.accum = 2;
    ok(run_open(&r, &m, &o, hear, &h, &e));
    steps(r, 2);
    int n = 0;
    for (int i = 0; i < h.n; i++)
        if (h.kind[i] != RUN_SLOW && h.kind[i] != RUN_PAUSED)
            assert_int_equal(h.kind[i], want[n++ % 5]);
    assert_int_equal(n, 2 * 5);
    run_close(r);
    close_model(&m);
}

/* An event that fails ends the update: nothing of it counts. */
static int refuse(void *ctx, struct run *r, const struct run_event *v, struct err *error) {
    (void)r;
    const enum run_event_kind *at = ctx;
    return v->kind == *at ? err_set(error, ERR_IO, "no room for it") : 0;
}

static void an_event_that_fails(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int k = 0; k < N_KINDS; k++) {
        struct model m = model_of(variants), before = model_of(variants);
        const struct run_opts o = opts_of(kinds + k, &g);
        enum run_event_kind at = RUN_MICRO;
        struct run *r;
        ok(run_open(&r, &m, &o, refuse, &at, &e));
        assert_int_equal(run_step(r, &e), ERR_IO);
        assert_string_equal(e.msg, "no room for it");
        assert_int_equal(r->p.step, 0);
        assert_true(same_weights(&m, &before));
        at = RUN_MADE;
        assert_int_equal(run_step(r, &e), ERR_IO);
        assert_int_equal(r->p.step, 0);
        run_close(r);
        close_model(&m);
        close_model(&before);
    }
}

/* ... and an update that is dropped, the search for a rate and a validation, at their beginning, in
 * their midst and at their end. */
struct refusal {
    enum run_event_kind kind;
    int64_t at; /* v->done of it; -1: the last */
    int told, after, evaluated;
};

static int refuse_at(void *ctx, struct run *r, const struct run_event *v, struct err *error) {
    struct refusal *f = ctx;
    (void)r;
    f->evaluated += v->kind == RUN_EVALUATED;
    if (v->kind != f->kind) return 0;
    f->after += f->told;
    if (v->done != f->at && !(f->at < 0 && v->of && v->done == v->of)) return 0;
    f->told++;
    return err_set(error, ERR_IO, "no more of it");
}

static void an_event_amid_passes(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    uint32_t ids[256];
    uint64_t doc = 0;
    for (uint32_t i = 0; i < 256; i++) ids[i] = i * 7 % 50;
    const struct shard s = {
        .width = 4, .vocab = 50, .n_tokens = 256, .tokens = ids, .n_docs = 1, .docs = &doc};
    static const struct {
        enum run_event_kind kind;
        int64_t at;
    } at[] = {{RUN_EVALUATING, 0}, {RUN_EVALUATING, 2},  {RUN_EVALUATING, -1}, {RUN_PROBING, 0},
              {RUN_PROBING, 1},    {RUN_PROBING, -1},    {RUN_DROPPED, 1}};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const bool eval = at[i].kind == RUN_EVALUATING, rate = at[i].kind == RUN_PROBING;
        struct refusal f = {.kind = at[i].kind, .at = at[i].at};
        struct model m = model_of(variants), before = model_of(variants);
        struct run_opts o = opts_of(kinds + 1, &g);
        struct validation v;
        struct eval_result text;
        struct run *r;
        o.val = (struct run_val_data){.shard = &s, .split = {.end = 256, .bits = -1}, .windows = 9};
        o.find_lr = rate;
        if (at[i].kind == RUN_DROPPED) {
            o.accum = o.accum_end = 2;
            o.budget = (struct budget_use){{[BUDGET_time] = 1e-9}};
        }
        const double lr = o.lr;
        ok(run_open(&r, &m, &o, refuse_at, &f, &e));
        assert_int_equal(eval   ? run_eval(r, &v, &e)
                         : rate ? run_find_rate(r, &e)
                                : run_step(r, &e),
                         ERR_IO);
        assert_string_equal(e.msg, "no more of it");
        assert_int_equal(f.told, 1);
        assert_int_equal(f.after, 0);
        assert_int_equal(f.evaluated, eval);
        assert_false(run_stopped(r));
        assert_true(r->opts.lr == lr && r->p.step == 0 && r->last_val_step == -1);
        assert_true(same_weights(&m, &before));
        if (eval && at[i].at)
            assert_int_equal(run_eval_model(r, &m, &text, NULL, &e), ERR_IO);
        f.kind = RUN_NOTE; /* and it goes on as if nothing had been */
        ok(eval ? run_eval(r, &v, &e) : rate ? run_find_rate(r, &e) : run_step(r, &e));
        if (eval) assert_true(isfinite(v.text.loss) && r->last_val_step == 0);
        run_close(r);
        close_model(&m);
        close_model(&before);
    }
}

/* What is for information cannot fail. */
static void an_event_for_information(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    uint32_t ids[64] = {0};
    uint64_t doc = 0;
    const struct shard s = {
        .width = 4, .vocab = 50, .n_tokens = 64, .tokens = ids, .n_docs = 1, .docs = &doc};
    struct model m = model_of(variants);
    struct run_opts o = opts_of(kinds, &g);
    enum run_event_kind at = RUN_EVALUATED;
    struct validation v;
    struct run *r;
    o.val = (struct run_val_data){.shard = &s, .split = {.end = 64, .bits = -1}, .windows = 2};
    ok(run_open(&r, &m, &o, refuse, &at, &e));
    ok(run_eval(r, &v, &e));
    assert_true(isfinite(v.text.loss));
    run_close(r);
    close_model(&m);
}

/* Data of another vocabulary: the update is dropped before its first op, and named. */
static void ids_that_the_model_lacks(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    uint32_t ids[64];
    uint64_t doc = 0;
    for (uint32_t i = 0; i < 64; i++) ids[i] = i; /* the model has 50 */
    const struct shard s = {
        .width = 4, .vocab = 64, .n_tokens = 64, .tokens = ids, .n_docs = 1, .docs = &doc};
    const struct batcher b = {
        .shard = &s, .split = {.end = 64, .bits = -1}, .T = LEN, .order = BATCH_EPOCH};
    for (int k = 0; k < N_KINDS; k++) {
        struct model m = model_of(variants), before = model_of(variants);
        struct run_opts o = opts_of(kinds + k, &g);
        struct run *r;
        o.data = (struct run_data){.text = &b};
        o.find_lr = true;
        ok(run_open(&r, &m, &o, NULL, NULL, &e));
        int rc = run_find_rate(r, &e);
        for (int i = 0; i < 8 && !rc; i++) rc = run_step(r, &e);
        assert_int_equal(rc, ERR_INPUT);
        assert_non_null(strstr(e.msg, "is outside the model's vocabulary of 50"));
        assert_false(run_stopped(r));
        if (!r->p.step) assert_true(same_weights(&m, &before));
        run_close(r);
        close_model(&m);
        close_model(&before);
    }
}

/* Asked to stop in the midst of an update, by whoever: it is dropped, and can be made later. */
static int stop_at_first(void *ctx, struct run *r, const struct run_event *v, struct err *error) {
    (void)error;
    int *left = ctx;
    if (v->kind == RUN_MICRO && (*left)-- == 0) run_stop(r);
    return 0;
}

static void stopped_and_gone_on(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    struct model m = model_of(variants), whole = model_of(variants);
    struct run_opts o = opts_of(kinds, &g);
    _Atomic int flag = 0;
    int left = 2;
    struct run *r, *s;
    ok(run_open(&s, &whole, &o, NULL, NULL, &e));
    steps(s, 4);
    o.cancel = &flag;
    ok(run_open(&r, &m, &o, stop_at_first, &left, &e));
    steps(r, 2);
    assert_false(run_stopped(r));
    steps(r, 1);
    assert_true(run_stopped(r) && flag == RUN_STOP && r->pace.dropped);
    assert_int_equal(r->p.step, 2);
    flag = 0;
    steps(r, 2);
    assert_int_equal(r->p.step, 4);
    assert_true(same_weights(&m, &whole));
    run_close(r);
    run_close(s);
    close_model(&m);
    close_model(&whole);
}

/* ---- divergence ------------------------------------------------------------------------------ */

static void goes_back_once(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    const struct run_pair pair = {.weights = weights, .state = state_path};
    struct model m = model_of(variants);
    struct run_opts o = opts_of(kinds, &g);
    struct heard h = {.back = &pair};
    struct run *r;
    o.rollback = true;
    ok(run_open(&r, &m, &o, hear, &h, &e));
    steps(r, 2);
    ok(run_snapshot(r, &pair, &e));
    steps(r, 1);
    ((float *)m.params[0].data)[0] = NAN; /* of a token that occurs, sooner or later */
    for (int64_t i = 0; i < param_count(m.params); i++) ((float *)m.params[0].data)[i] = NAN;
    ok(run_step(r, &e));
    assert_int_equal(r->p.step, 2);
    assert_int_equal(h.before.step, 3);
    assert_true(r->p.rollbacks == 1 && r->p.lr_scale == 0.5);
    assert_string_equal(r->why, "the loss is not a number");
    steps(r, 1);
    for (int64_t i = 0; i < param_count(m.params); i++) ((float *)m.params[0].data)[i] = NAN;
    assert_int_equal(run_step(r, &e), ERR_NUMERIC); /* once */
    assert_true(r->diverged);
    assert_string_equal(e.msg, "step 3: the loss is not a number");
    run_close(r);
    close_model(&m);
}

static void no_way_back(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    struct model m = model_of(variants);
    struct run_opts o = opts_of(kinds, &g);
    struct heard h = {0}; /* nobody restores anything */
    struct run *r;
    o.rollback = true;
    ok(run_open(&r, &m, &o, hear, &h, &e));
    steps(r, 2);
    for (int64_t i = 0; i < param_count(m.params); i++) ((float *)m.params[0].data)[i] = NAN;
    assert_int_equal(run_step(r, &e), ERR_NUMERIC);
    assert_int_equal(h.kind[h.n - 1], RUN_BACK);
    run_close(r);
    close_model(&m);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* A run of its own from the opening of its model on. */
struct alone {
    const struct kind *kind;
    struct machine machine;
    struct model m;
    int rc;
    double loss[FIRST + SECOND];
};

static void *train(void *ctx) {
    struct alone *a = ctx;
    struct err error;
    struct heard h = {0};
    struct run *r = NULL;
    const struct run_opts o = opts_of(a->kind, &a->machine);
    a->rc = run_open(&r, &a->m, &o, hear, &h, &error);
    while (!a->rc && !run_finished(r)) a->rc = run_step(r, &error);
    memcpy(a->loss, h.loss, sizeof a->loss);
    run_close(r);
    return NULL;
}

/* Each with a machine of its own: other instructions and numbers of threads than the other's, and
 * the bits that it has alone on one thread. */
static void two_at_once(void **state) {
    (void)state;
    enum { N = 2 };
    struct alone one[N], both[N];
    pthread_t t[N];
    for (int i = 0; i < N; i++) {
        const char *tier = i ? NULL : "generic";
        const struct machine_opts alone = {.threads = 1, .tier = tier, .gemm = "native"},
                                  beside = {.threads = 2 + i, .tier = tier, .gemm = "native"};
        one[i] = (struct alone){.kind = kinds + i};
        both[i] = one[i];
        ok(machine_open(&one[i].machine, &alone, &e));
        ok(machine_open(&both[i].machine, &beside, &e));
        one[i].m = model_of(variants);
        both[i].m = model_of(variants);
        train(one + i);
        assert_int_equal(one[i].rc, 0);
    }
    for (int i = 0; i < N; i++) assert_int_equal(pthread_create(t + i, NULL, train, both + i), 0);
    for (int i = 0; i < N; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < N; i++) {
        assert_int_equal(both[i].rc, 0);
        assert_true(same_weights(&one[i].m, &both[i].m));
        assert_memory_equal(one[i].loss, both[i].loss, sizeof one[i].loss);
        machine_close(&one[i].machine);
        machine_close(&both[i].machine);
        close_model(&one[i].m);
        close_model(&both[i].m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_from_a_snapshot),
        cmocka_unit_test(a_pair_belongs_together),
        cmocka_unit_test(order_of_events),
        cmocka_unit_test(an_event_that_fails),
        cmocka_unit_test(an_event_amid_passes),
        cmocka_unit_test(an_event_for_information),
        cmocka_unit_test(ids_that_the_model_lacks),
        cmocka_unit_test(stopped_and_gone_on),
        cmocka_unit_test(goes_back_once),
        cmocka_unit_test(no_way_back),
        cmocka_unit_test(two_at_once),
    };
    char command[80];
    if (!mkdtemp(dir)) return 1;
    snprintf(weights, sizeof weights, "%s/weights.blzt", dir);
    snprintf(state_path, sizeof state_path, "%s/state", dir);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) ? 1 : failed;
}
