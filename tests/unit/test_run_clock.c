/* A run that follows the clock of another: the same weights, bit for bit, whatever its own budget
 * says, and the same length. */
#include "run_fixture.h"

#include "clock_record.h"

#include <unistd.h>

static char dir[] = "/tmp/duet-runclock-XXXXXX", path[64];

/* A budget in seconds and one in updates, which ends it; what each update saw is written down. */
static int write_down(void *ctx, struct run *r, const struct run_event *v, struct err *error) {
    struct clock_record *c = ctx;
    return v->kind == RUN_MADE ? clock_record_append(c, v->share, r->p.lr_scale, error) : 0;
}

static int halve(void *ctx, struct run *r, const struct run_event *v, struct err *error) {
    if (v->kind == RUN_STEPPED && r->p.step == 4) r->p.lr_scale = 0.5; /* as after a rollback */
    return write_down(ctx, r, v, error);
}

static void record(struct model *m, const struct run_opts *o, run_event_fn *tell) {
    struct clock_record c;
    struct run *r;
    ok(clock_record_create(&c, path, &e));
    ok(run_open(&r, m, o, tell, &c, &e));
    steps(r, FIRST + SECOND);
    assert_true(run_finished(r));
    ok(clock_record_end(&c, 1, &e));
    clock_record_close(&c);
    run_close(r);
}

static void repeats(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int k = 0; k < N_KINDS; k++)
        for (int back = 0; back < 2; back++) {
            struct model a = model_of(variants), b = model_of(variants), none = model_of(variants);
            struct run_opts o = opts_of(kinds + k, &g);
            struct clock_record c;
            struct run *r;
            o.budget.of[BUDGET_time] = 0.02; /* its share is the larger one at times */
            o.budget.of[BUDGET_steps] = 0;
            o.budget.of[BUDGET_tokens] = 1e9;
            struct run_opts first = o;
            first.budget.of[BUDGET_steps] = FIRST + SECOND;
            first.budget.of[BUDGET_time] = 1e4;
            record(&a, &first, back ? halve : write_down);

            ok(clock_record_open(&c, path, &e));
            assert_int_equal(c.updates, FIRST + SECOND);
            o.recorded = &c;
            o.patience = 1;
            ok(run_open(&r, &b, &o, NULL, NULL, &e));
            assert_int_equal(run_updates(&o, 0), FIRST + SECOND);
            for (int i = 0; i < FIRST + SECOND; i++) {
                assert_false(run_finished(r));
                ok(run_step(r, &e));
                assert_true(r->p.lr_scale == (back && i >= 4 ? 0.5 : 1));
            }
            assert_true(run_finished(r) && run_share(&o, &r->p, 0) == 1);
            assert_true(same_weights(&a, &b));
            assert_false(same_weights(&a, &none));
            ok(run_step(r, &e)); /* beyond its end, as any run makes one that is asked for it */
            run_close(r);
            clock_record_close(&c);
            close_model(&a);
            close_model(&b);
            close_model(&none);
        }
}

/* Its shares decide, not its number of updates alone. */
static void shares_decide(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    struct model a = model_of(variants), b = model_of(variants);
    struct run_opts o = opts_of(kinds, &g);
    struct clock_record c;
    struct run *r;
    record(&a, &o, write_down);
    ok(clock_record_create(&c, path, &e));
    for (int i = 0; i < FIRST + SECOND; i++) ok(clock_record_append(&c, 0.9, 1, &e));
    clock_record_close(&c);
    ok(clock_record_open(&c, path, &e));
    o.recorded = &c;
    ok(run_open(&r, &b, &o, NULL, NULL, &e));
    while (!run_finished(r)) ok(run_step(r, &e));
    assert_int_equal(r->p.step, FIRST + SECOND);
    assert_int_equal(r->p.rows, 2 * BATCH * (FIRST + SECOND)); /* the ramp, too, is at its end */
    assert_false(same_weights(&a, &b));
    run_close(r);
    clock_record_close(&c);
    close_model(&a);
    close_model(&b);
}

static int make_dir(void **state) {
    (void)state;
    if (!mkdtemp(dir)) return -1;
    snprintf(path, sizeof path, "%s/clock", dir);
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    unlink(path);
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeats),
        cmocka_unit_test(shares_decide),
    };
    return cmocka_run_group_tests_name("run_clock", tests, make_dir, remove_dir);
}
