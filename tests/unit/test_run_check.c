/* What a run refuses: options with which there can be none, calls that its engine has no answer to,
 * rows that the model cannot read. */
#include "run_fixture.h"

#include "trajectory.h"

/* ---- options --------------------------------------------------------------------------------- */

/* Options with which no run is possible, each by one change to a run that is. */
static struct machine idle;
static uint32_t some_answers[2] = {1, 2}, far_answers[2] = {1, 50};
static struct task short_task = {.n_labels = 2, .T = LEN},
                   long_task = {.n_labels = 2, .T = LEN + 1};
static const struct batcher short_text = {.T = LEN - 1}, text = {.T = LEN};

static void set_answers(struct run_opts *o, const char *objective, const uint32_t *answers, int n) {
    o->engine_opts.objective = objective_find(objective);
    o->engine_opts.answers = answers;
    o->engine_opts.n_answers = n;
}

static void lowrank(struct run_opts *o, int64_t rank, int64_t every) {
    o->engine_opts.direction = direction_find("lowrank");
    o->engine_opts.direction_rank = rank;
    o->engine_opts.direction_every = every;
}

/* name, kinds: 1 backprop, 2 mezo, 3 both; the change, of o and eo; what the sentence names. */
#define REFUSED(X)                                                                                 \
    X(no_engine, 3, o->engine = NULL, "engine is missing")                                         \
    X(no_machine, 3, eo->machine = NULL, "engine_opts.machine is missing")                         \
    X(idle_machine, 3, eo->machine = &idle, "engine_opts.machine is idle")                         \
    X(no_batch, 3, eo->batch = 0, "engine_opts.batch is 0")                                        \
    X(no_seq, 3, eo->seq = 0, "engine_opts.seq is 0")                                              \
    X(no_accum, 3, o->accum = 0, "options: accum is 0")                                            \
    X(end_below, 3, o->accum_end = -1, "accum_end is -1")                                          \
    X(accum_high, 2, o->accum = 3, "engine_opts.max_accum is 2")                                   \
    X(accum_end_high, 2, o->accum_end = 3, "engine_opts.max_accum is 2")                           \
    X(no_estimator, 2, eo->estimator = NULL, "engine_opts.estimator is missing")                   \
    X(no_eps, 2, eo->eps = 0, "engine_opts.eps is 0")                                              \
    X(nan_eps, 2, eo->eps = NAN, "engine_opts.eps is ")                                            \
    X(no_directions, 2, eo->directions = 0, "engine_opts.directions makes 0")                      \
    X(few, 2, (eo->estimator = zo_find("fzoo"), eo->directions = 1), "estimator fzoo takes 2 to")  \
    X(one, 2, (eo->estimator = zo_find("grzo"), eo->batch = 1), "engine_opts.batch makes 1")       \
    X(many, 2, eo->directions = 65537, "engine_opts.directions makes 65537")                       \
    X(no_rank, 2, lowrank(o, 0, 1), "engine_opts.direction_rank is 0")                             \
    X(high_rank, 2, lowrank(o, 65, 1), "engine_opts.direction_rank is 65")                         \
    X(no_every, 2, lowrank(o, 2, 0), "engine_opts.direction_every is 0")                           \
    X(no_answers, 3, set_answers(o, "ce", NULL, 0), "engine_opts.n_answers is 0")                  \
    X(many_answers, 3, set_answers(o, "ce", some_answers, 33), "engine_opts.n_answers is 33")      \
    X(null_answers, 3, set_answers(o, "ce", NULL, 2), "engine_opts.answers is missing")            \
    X(far, 3, set_answers(o, "ce", far_answers, 2), "engine_opts.answers has token 50")            \
    X(no_gradient, 1, set_answers(o, "accuracy", some_answers, 2), "objective accuracy has no")    \
    X(of_batch, 2, (eo->estimator = zo_find("grzo"), set_answers(o, "f1", some_answers, 2)),       \
      "objective f1 is of a batch")                                                                \
    X(no_data, 3, o->data = (struct run_data){0}, "options: data is missing")                      \
    X(repeats, 1, eo->repeat = true, "engine_opts.repeat is for engine mezo")                      \
    X(no_objective, 3, o->data.task = &short_task, "data.task needs engine_opts.objective")        \
    X(long_prompts, 3, (set_answers(o, "ce", some_answers, 2), o->data.task = &long_task),         \
      "data.task->T is 9, may be at most 8")                                                       \
    X(no_labels, 3, (set_answers(o, "ce", some_answers, 2), o->data.text = &text),                 \
      "data.text has no labels")                                                                   \
    X(other_length, 3, o->data.text = &short_text, "data.text->T is 7, engine_opts.seq 8")

#define X(name, kinds, change, want)                                                               \
    static void name(struct run_opts *o, struct engine_opts *eo) {                                 \
        (void)o, (void)eo;                                                                         \
        change;                                                                                    \
    }
REFUSED(X)
#undef X

static const struct {
    const char *name;
    int kinds;
    void (*change)(struct run_opts *o, struct engine_opts *eo);
    const char *want;
} refused[] = {
#define X(name, kinds, change, want) {#name, kinds, name, want},
    REFUSED(X)
#undef X
};

static void options_without_a_run(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    struct model m = model_of(variants);
    ok(machine_open(&idle, &(struct machine_opts){.threads = 1, .idle = true}, &e));
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        for (int k = 0; k < N_KINDS; k++) {
            struct run_opts o = opts_of(kinds + k, &g);
            struct run *r = (struct run *)&o;
            if (!(refused[i].kinds & 1 << k)) continue;
            refused[i].change(&o, &o.engine_opts);
            const int rc = run_open(&r, &m, &o, NULL, NULL, &e);
            if (rc != ERR_USAGE || r || !strstr(e.msg, refused[i].want))
                fail_msg("%s, %s: %d, %s", refused[i].name, kinds[k].engine, rc, e.msg);
        }
    machine_close(&idle);
    close_model(&m);
}

/* What one engine cannot, and a run that only repeats. */
static void calls_of_another_engine(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    const struct zo_record z = {.accum = 1, .n = 2};
    const uint64_t seeds[3] = {1, 2, 3};
    float coef[3];
    double loss;
    struct engine_probe p = {.n = 2, .seed = seeds, .eps = 1e-3, .coef = coef};
    struct model m = model_of(variants);
    struct run_opts o = opts_of(kinds, &g);
    struct run *r;
    o.find_lr = true;
    o.engine_opts.estimator = zo_find("spsa"); /* not this engine's */
    ok(run_open(&r, &m, &o, NULL, NULL, &e));
    assert_int_equal(run_repeat(r, &z, &e), ERR_USAGE);
    assert_string_equal(e.msg, "engine backprop makes no updates that can be repeated");
    ok(run_find_rate(r, &e));
    assert_int_equal(run_probe(r, &p, NULL, &e), ERR_USAGE);
    assert_string_equal(e.msg, "engine backprop tries no directions");
    run_close(r);
    o = opts_of(kinds + 1, &g);
    ok(run_open(&r, &m, &o, NULL, NULL, &e));
    assert_int_equal(run_gradient(r, &loss, &e), ERR_USAGE);
    assert_string_equal(e.msg, "engine mezo computes no gradient");
    p.n = 3;
    assert_int_equal(run_probe(r, &p, NULL, &e), ERR_USAGE);
    assert_string_equal(e.msg, "3 directions to try, an update has 2");
    p.n = 2;
    p.eps = -1e-3;
    assert_int_equal(run_probe(r, &p, NULL, &e), ERR_USAGE);
    p.eps = NAN;
    assert_int_equal(run_probe(r, &p, NULL, &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "directions are tried with 0 or above"));
    p.eps = 1e-3;
    ok(run_probe(r, &p, NULL, &e));
    run_close(r);
    o.engine_opts.repeat = true;
    o.find_lr = true;
    ok(run_open(&r, &m, &o, NULL, NULL, &e));
    assert_int_equal(run_step(r, &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "only repeats recorded updates"));
    assert_int_equal(run_find_rate(r, &e), ERR_USAGE);
    assert_int_equal(run_probe(r, &p, NULL, &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "only repeats recorded updates"));
    run_close(r);
    close_model(&m);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Rows that `fill` makes wrong in one place. */
struct wrong {
    const char *want;
    uint32_t input, target;
    int32_t pos, label;
    int64_t T;
    bool answers;
};

static void fill_wrong(void *ctx, uint64_t row, struct engine_batch *out) {
    const struct wrong *w = ctx;
    stream(&vocab, row, out);
    out->input[LEN + 1] += w->input;
    out->target[LEN + 1] += w->target;
    out->T += w->T;
    for (int i = 0; i < BATCH && w->answers; i++) {
        out->pos[i] = w->pos;
        out->label[i] = w->label;
    }
}

/* Those of an update, without it. */
static int passes(struct run *r) {
    static const uint64_t seed[2] = {4, 5};
    float coef[2];
    double loss;
    const struct engine_probe p = {.n = 2, .seed = seed, .eps = 1e-3, .coef = coef};
    return r->opts.engine->backward ? run_gradient(r, &loss, &e) : run_probe(r, &p, NULL, &e);
}

static void rows_that_are_wrong(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    static const struct wrong wrong[] = {
        {"is outside the model's vocabulary of 50", .input = 50},
        {"is outside the model's vocabulary of 50", .target = 50},
        {"rows of 9 tokens, the run has room for 1 to 8", .T = 1},
        {"rows of 0 tokens", .T = -LEN},
        {"answer 0 at position 8: the rows have 8 tokens", .pos = LEN, .answers = true},
        {"answer 0 at position -1", .pos = -1, .answers = true},
        {"answer 2 at position 0: the rows have 8 tokens, and there are 2 answers", .label = 2,
         .answers = true},
        {NULL, .target = 50, .label = 1, .answers = true}, /* no target is read */
        {0}, /* nothing is */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (int k = 0; k < N_KINDS; k++) {
            struct model m = model_of(variants), before = model_of(variants);
            struct run_opts o = opts_of(kinds + k, &g);
            struct wrong w = wrong[i];
            struct run *r;
            o.data = (struct run_data){.fill = fill_wrong, .ctx = &w};
            if (w.answers) set_answers(&o, "ce", some_answers, 2);
            ok(run_open(&r, &m, &o, NULL, NULL, &e));
            int rc = passes(r);
            assert_int_equal(rc, w.want ? ERR_INPUT : 0);
            if (w.want && !strstr(e.msg, w.want)) fail_msg("%s: %s", w.want, e.msg);
            rc = run_step(r, &e);
            assert_int_equal(rc, w.want ? ERR_INPUT : 0);
            if (w.want && !strstr(e.msg, w.want)) fail_msg("%s: %s", w.want, e.msg);
            assert_int_equal(r->p.step, !w.want);
            assert_int_equal(same_weights(&m, &before), w.want != NULL);
            run_close(r);
            close_model(&m);
            close_model(&before);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_without_a_run),
        cmocka_unit_test(calls_of_another_engine),
        cmocka_unit_test(rows_that_are_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
