/* An estimator that keeps something from update to update: planned, saved and gone on with,
 * replayed from what the trajectory has of it. */
#include "zo_fixture.h"

#include "moves.h"
#include "state.h"
#include "trajectory.h"

#include <unistd.h>

/* A direction that goes by what an estimator keeps: z = sign (1 + heat). */
static void warm_keys(struct direction *d, uint64_t seed, int64_t step) {
    (void)step;
    d->key = perturb_key(seed);
}

static void warm_add(const struct direction *d, float *y, const float *x, float scale,
                     int64_t tensor, int64_t row, int64_t col, int64_t n) {
    const int64_t cols = d->space->tensor[tensor].cols;
    const float *heat = d->space->state[tensor][0] + row * cols + col;
    for (int64_t i = 0; i < n; i++) {
        float z = 0;
        perturb_row(d->key, 1, tensor, cols, row, col + i, 1, &z, &z);
        y[i] = (x ? x[i] : 0) + scale * z * (1 + heat[i]);
    }
}

static const struct direction_kind warm = {.name = "warm", .keys = warm_keys, .add = warm_add};

/* spsa with heat: it grows along each direction by the sum of its losses, which only `extra`
 * knows. */
static int64_t heat_extra(const struct zo_shape *s) {
    return s->directions;
}

static void heat_note(const struct zo_shape *s, const double *loss, float *extra) {
    for (int64_t d = 0; d < s->directions; d++) {
        extra[d] = 0;
        for (int64_t m = 0; m < s->accum; m++)
            extra[d] += (float)(loss[2 * (m * s->directions + d)] +
                                loss[2 * (m * s->directions + d) + 1]);
    }
}

static void heat_advance(const struct opt *o, const struct direction_space *s,
                         const struct zo_update *u) {
    for (int i = 0; i < o->n_params; i++) {
        const struct direction_tensor *t = s->tensor + i;
        float *heat = s->state[i][0];
        for (int64_t d = 0; heat && d < u->n; d++)
            perturb_row(perturb_key(u->seed[d]), 0.01f * u->extra[d], i, t->cols, 0, 0,
                        t->rows * t->cols, heat, heat);
    }
}

struct warm_run {
    struct model m;
    struct engine g;
    struct zo_kind kind;
};

static void warm_open(struct warm_run *r, const struct machine *g, int64_t B, int64_t T) {
    r->m = open_setup(zo_variants, setups);
    ok(moves_apply("matrix,norm=0.5", r->m.params, r->m.n_params, &e));
    struct engine_opts o = mezo_opts(g, "adamw", "spsa", B, T);
    r->kind = *o.estimator;
    r->kind.name = "heated";
    r->kind.n_state = 1;
    r->kind.state[0] = "heat";
    r->kind.extra = heat_extra;
    r->kind.note = heat_note;
    r->kind.advance = heat_advance;
    o.estimator = &r->kind;
    o.direction = &warm;
    o.directions = 2;
    struct engine_memory with, without;
    ok(engine_plan(engine_find("mezo"), &r->m, &o, &with, &e));
    r->kind.n_state = 0;
    ok(engine_plan(engine_find("mezo"), &r->m, &o, &without, &e));
    r->kind.n_state = 1;
    size_t bytes = 0;
    for (int i = 0; i < r->m.n_params; i++)
        if (r->m.params[i].trainable)
            bytes += arena_need((size_t)param_count(r->m.params + i), sizeof(float));
    assert_true(bytes > 0 && with.total == without.total + bytes);
    ok(engine_open(&r->g, engine_find("mezo"), &r->m, &o, &e));
}

static void warm_close(struct warm_run *r) {
    engine_close(&r->g);
    model_close(&r->m);
}

/* The heat of all that moves, in order, in x; or only how much there is. */
static int64_t heat_of(const struct warm_run *r, float *x) {
    struct engine_item item;
    int64_t n = 0;
    for (int i = 0; engine_item(&r->g, i, &item); i++) {
        if (!item.n || strncmp(item.name, "heated.heat/", 12)) continue;
        if (x) memcpy(x + n, item.data, (size_t)item.n * sizeof *x);
        n += item.n;
    }
    return n;
}

static void assert_same_heat(const struct warm_run *a, const struct warm_run *b) {
    const int64_t n = heat_of(a, NULL);
    float *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y), most = 0;
    assert_true(n > 0);
    assert_int_equal(heat_of(a, x), heat_of(b, y));
    assert_memory_equal(x, y, (size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) most = fmaxf(most, fabsf(x[i]));
    assert_true(most > 0.05f);
    free(x);
    free(y);
}

static struct engine_step step_of(const struct zo_record *z) {
    return (struct engine_step){.step = z->step,
                                .accum = z->accum,
                                .lr = z->lr,
                                .directions = z->n,
                                .seed = z->seed,
                                .coef = z->coef,
                                .n_extra = z->n_extra,
                                .extra = z->extra};
}

/* A run whose estimator keeps something: saved and gone on with, and made again from its records,
 * it is the same; without what is recorded beside the coefficients it is not. */
static void test_state(void **state) {
    (void)state;
    enum { STEPS = 5, CUT = 2 };
    const struct machine g = machine_of("native", DT_F32);
    char saved[] = "/tmp/duet-state-XXXXXX", records[] = "/tmp/duet-records-XXXXXX";
    struct warm_run a, b, c, other;
    struct trajectory t;
    struct zo_record z;
    struct progress p = progress_zero();
    uint64_t hash = 0;
    close(mkstemp(saved));
    close(mkstemp(records));
    warm_open(&a, &g, 2, 6);
    warm_open(&b, &g, 2, 6);
    warm_open(&c, &g, 2, 6);
    warm_open(&other, &g, 2, 6);
    struct text text = text_of(&a.m, 4, 6);
    text.B = 2;
    ok(trajectory_create(&t, records,
                         &(struct trajectory_head){.config = "{}", .vocab = 5, .extra = true}, &e));
    for (int64_t step = 0; step < STEPS; step++) {
        const struct engine_step s = run_steps(&a.g, &text, step, 1, 2, 1e-3);
        assert_int_equal(s.n_extra, 2);
        ok(trajectory_append(&t,
                             &(struct zo_record){.step = step,
                                                 .accum = 2,
                                                 .lr = 1e-3,
                                                 .n = (int)s.directions,
                                                 .seed = s.seed,
                                                 .coef = s.coef,
                                                 .n_extra = (int)s.n_extra,
                                                 .extra = s.extra},
                             &e));
        if (step + 1 != CUT) continue;
        ok(state_write(saved, &a.g, &p, 7, &e));
        for (int i = 0; i < a.m.n_params; i++)
            memcpy(b.m.params[i].data, a.m.params[i].data, bytes_of(a.m.params + i));
    }
    trajectory_close(&t);
    ok(state_read(saved, &b.g, &p, &hash, &e));
    run_steps(&b.g, &text, CUT, STEPS - CUT, 2, 1e-3);
    assert_same_models("saved and gone on with", &a.m, &b.m);
    assert_same_heat(&a, &b);
    ok(trajectory_open(&t, records, &e));
    assert_true(t.head.extra && t.records == STEPS);
    while (trajectory_next(&t, &z)) {
        struct engine_step s = step_of(&z);
        ok(mezo_replay(&c.g, &s, &e));
        float half[2] = {z.extra[0] / 2, z.extra[1]};
        s.extra = half;
        ok(mezo_replay(&other.g, &s, &e));
        s.n_extra = 0;
        assert_int_equal(mezo_replay(&other.g, &s, &e), ERR_INPUT);
        assert_non_null(strstr(e.msg, "0 numbers beside its coefficients"));
    }
    trajectory_close(&t);
    assert_same_models("replayed", &a.m, &c.m);
    assert_same_heat(&a, &c);
    assert_memory_not_equal(a.m.params[1].data, other.m.params[1].data, bytes_of(a.m.params + 1));
    engine_reset(&b.g);
    float *heat = malloc((size_t)heat_of(&b, NULL) * sizeof *heat);
    for (int64_t i = heat_of(&b, heat) - 1; i >= 0; i--) assert_true(heat[i] == 0);
    free(heat);
    remove(saved);
    remove(records);
    text_free(&text);
    warm_close(&a);
    warm_close(&b);
    warm_close(&c);
    warm_close(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_state)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
