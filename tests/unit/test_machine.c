/* Machines: several in one process, each with its own bits; what a fork, a limit of memory and a
 * class of products do; nothing is left behind. */
#include "llama_fixture.h"
#include "limit.h"
#include "model_lora.h"
#include "run.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 3, LEN = 40, STEPS = 6 };

static const struct variant tiny = {"tiny", "qwen3", ALL_ON, {64, 96, 2, 4, 2, 16, 260}, true};

static struct machine machine_at(const char *tier, int threads) {
    struct machine m;
    ok(machine_open(&m, &(struct machine_opts){.threads = threads, .tier = tier}, &e));
    return m;
}

static const char *best(void) {
    return cpu_tier_name(cpu_best());
}

/* ---- two trainings --------------------------------------------------------------------------- */

static void stream(void *ctx, uint64_t row, struct engine_batch *b) {
    const uint64_t vocab = *(const int64_t *)ctx;
    struct rng r = rng_make(3, RNG_TEST, 7, row, 0);
    for (int64_t i = 0; i < BATCH * b->T; i++) {
        b->input[i] = (uint32_t)rng_below(&r, vocab);
        b->target[i] = (uint32_t)rng_below(&r, vocab);
    }
}

/* A training from the opening of its machine on. */
struct training {
    const char *tier, *engine;
    int threads;
    struct model m;
    int64_t vocab;
    double loss;
    int rc;
    struct err e;
};

static void *train(void *arg) {
    struct training *t = arg;
    struct machine machine = {0};
    struct run *r = NULL;
    struct run_opts o = {.engine = engine_find(t->engine),
                         .engine_opts = {.batch = BATCH,
                                         .seq = LEN,
                                         .machine = &machine,
                                         .hyper = opt_hyper_of(opt_find("adamw")),
                                         .estimator = zo_find("spsa"),
                                         .directions = 2,
                                         .eps = 1e-3,
                                         .seed = 5,
                                         .max_accum = 1},
                         .accum = 1,
                         .lr = 1e-2,
                         .sched = {.kind = SCHED_constant},
                         .budget = {{[BUDGET_steps] = STEPS}},
                         .data = {.fill = stream, .ctx = &t->vocab}};
    const struct machine_opts mo = {.threads = t->threads, .tier = t->tier};
    if (!o.engine->backward) o.lr = 1e-3;
    if (o.engine->backward) o.engine_opts.estimator = NULL;
    t->rc = machine_open(&machine, &mo, &t->e);
    if (!t->rc) t->rc = run_open(&r, &t->m, &o, NULL, NULL, &t->e);
    for (int s = 0; s < STEPS && !t->rc; s++) t->rc = run_step(r, &t->e);
    t->loss = t->rc ? NAN : r->p.ema;
    run_close(r);
    machine_close(&machine);
    return NULL;
}

static struct training training_of(const char *tier, int threads, const char *engine) {
    struct training t = {.tier = tier, .engine = engine, .threads = threads, .m = model_of(&tiny)};
    t.vocab = t.m.config.vocab;
    return t;
}

static bool same(const struct training *a, const struct training *b) {
    bool same = a->loss == b->loss;
    for (int i = 0; i < a->m.n_params; i++)
        same &= !memcmp(a->m.params[i].data, b->m.params[i].data,
                        (size_t)param_count(a->m.params + i) * sizeof(float));
    return same;
}

static void two_at_once(void **state) {
    (void)state;
    enum { N = 3 };
    struct training alone[N] = {training_of("generic", 1, "backprop"),
                                training_of(best(), 2, "backprop"),
                                training_of(best(), 3, "mezo")};
    struct training both[N] = {training_of("generic", 1, "backprop"),
                               training_of(best(), 2, "backprop"), training_of(best(), 3, "mezo")};
    pthread_t t[N];
    for (int i = 0; i < N; i++) train(alone + i);
    for (int i = 0; i < N; i++) assert_int_equal(pthread_create(t + i, NULL, train, both + i), 0);
    for (int i = 0; i < N; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < N; i++) {
        if (alone[i].rc) fail_msg("%s", alone[i].e.msg);
        if (both[i].rc) fail_msg("%s", both[i].e.msg);
        if (!same(alone + i, both + i)) fail_msg("training %d gives other bits beside others", i);
    }
    /* each computed with its own instructions: another tier has other last bits */
    if (cpu_best() > CPU_generic) assert_false(same(alone, alone + 1));
    for (int i = 0; i < N; i++) {
        close_model(&alone[i].m);
        close_model(&both[i].m);
    }
}

/* ---- opening and closing --------------------------------------------------------------------- */

static void many_times(void **state) {
    (void)state;
    struct model m = model_of(&tiny);
    struct tokens t = tokens_of(&m, BATCH * LEN, 1);
    for (int k = 0; k < 100; k++) {
        struct machine machine = machine_at(k % 2 ? "generic" : best(), 1 + k % 4);
        assert_int_equal(machine_threads(&machine), 1 + k % 4);
        if (k % 10 == 0) run(&m, &machine, &(struct exec_opts){.B = BATCH, .T = LEN}, &t);
        machine_close(&machine);
        machine_close(&machine); /* it is all zeros */
    }
    tokens_free(&t);
    close_model(&m);
}

static void choices_of_tier(void **state) {
    (void)state;
    struct machine m;
    assert_int_equal(machine_open(&m, &(struct machine_opts){.tier = "avx3"}, &e), ERR_USAGE);
    assert_string_equal(e.msg, "the instruction set is \"avx3\", expected one of: generic, avx2, "
                               "avx512, avx512bf16");
    setenv("DUET_CPU", "generic", 1);
    ok(machine_open(&m, &(struct machine_opts){.threads = 1}, &e));
    assert_int_equal(m.cpu.tier, CPU_generic);
    assert_ptr_equal(m.kern, kern_tier(CPU_generic));
    ok(machine_open(&m, &(struct machine_opts){.threads = 1, .tier = best()}, &e));
    assert_int_equal(m.cpu.tier, cpu_best()); /* what is named counts */
    setenv("DUET_CPU", "pentium", 1);
    assert_int_equal(machine_open(&m, &(struct machine_opts){0}, &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "DUET_CPU is \"pentium\""));
    unsetenv("DUET_CPU");
    ok(machine_open(&m, &(struct machine_opts){.threads = 1, .tier = "avx512bf16"}, &e));
    assert_int_equal(m.cpu.tier, cpu_best()); /* no more than there is */
}

/* ---- fork ------------------------------------------------------------------------------------ */

/* Options that no product can have, of either class. */
static void choices_of_products(void **state) {
    (void)state;
    struct machine m;
    static const char *const bad[] = {"f64", "q8_0", "f16", "", "F32"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int k = 0; k < 2; k++) {
            const struct machine_opts o = {.threads = 1,
                                           .compute = k ? "f32" : bad[i],
                                           .exact = k ? bad[i] : NULL};
            assert_int_equal(machine_open(&m, &o, &e), ERR_USAGE);
            assert_non_null(strstr(e.msg, "expected f32, bf16 or auto"));
        }
    const struct machine_opts o = {.threads = 1, .gemm = "nothing"};
    assert_int_equal(machine_open(&m, &o, &e), ERR_INPUT);
}

static void child_computes_alone(void **state) {
    (void)state;
    struct machine machine = machine_at(best(), 3);
    struct model m = model_of(&tiny);
    struct tokens t = tokens_of(&m, BATCH * LEN, 2);
    const struct exec_opts o = {.B = BATCH, .T = LEN};
    run(&m, &machine, &o, &t);
    float *want = malloc((size_t)t.n * sizeof *want);
    memcpy(want, t.nll, (size_t)t.n * sizeof *want);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        struct exec x;
        struct err error;
        alarm(60);
        memset(t.nll, 0xff, (size_t)t.n * sizeof *t.nll);
        const struct batch b = {
            .B = BATCH, .T = LEN, .input = t.input, .target = t.target, .nll = t.nll};
        if (exec_open(&x, &m.graph, &machine, &o, &error)) _exit(2);
        exec_run(&x, &b);
        exec_close(&x);
        machine_close(&machine);
        _exit(memcmp(want, t.nll, (size_t)t.n * sizeof *want) != 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    run(&m, &machine, &o, &t); /* the parent's goes on */
    assert_memory_equal(want, t.nll, (size_t)t.n * sizeof *want);
    free(want);
    tokens_free(&t);
    close_model(&m);
    machine_close(&machine);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void refuses_a_plan(void **state) {
    (void)state;
    struct machine machine;
    struct exec x;
    struct engine_memory mem;
    struct model m = model_of(&tiny);
    const struct engine_opts eo = {.batch = BATCH,
                                   .seq = LEN,
                                   .machine = &machine,
                                   .hyper = opt_hyper_of(opt_find("adamw"))};
    ok(machine_open(&machine, &(struct machine_opts){.threads = 1, .memory = 1 << 20}, &e));
    assert_int_equal(machine_memory(&machine), 1 << 20);
    ok(run_plan(&mem, engine_find("backprop"), &m, &eo, 0, &e));
    assert_true(mem.total > 1 << 20);
    assert_int_equal(run_plan_fits(&mem, &machine, "this run", "a smaller --batch", &e), ERR_NOMEM);
    char want[400];
    snprintf(want, sizeof want, "this run needs %.1f MB (weights", in_mb(mem.total));
    if (strncmp(e.msg, want, strlen(want)) != 0) fail_msg("%s", e.msg);
    assert_non_null(strstr(e.msg, "and 1.0 MB are free; try a smaller --batch"));
    assert_int_equal(exec_open_within(&x, &m.graph, &machine,
                                      &(struct exec_opts){.B = 8, .T = 2000}, "scoring", &e),
                     ERR_NOMEM);
    if (!strstr(e.msg, "scoring over 2000 tokens needs")) fail_msg("%s", e.msg);
    machine.memory = 0; /* all of the system's */
    assert_true(machine_memory(&machine) == 0 || machine_memory(&machine) > mem.total);
    ok(run_plan_fits(&mem, &machine, "this run", NULL, &e));
    close_model(&m);
}

/* ---- classes of products --------------------------------------------------------------------- */

static double loss_with(struct model *m, struct tokens *t, const char *compute, const char *exact) {
    struct machine machine;
    const struct machine_opts o = {.threads = 1, .gemm = "native", .compute = compute,
                                   .exact = exact};
    ok(machine_open(&machine, &o, &e));
    assert_int_equal(machine.gemm[GEMM_WEIGHTS].compute, dtype_find(compute));
    assert_int_equal(machine.gemm[GEMM_EXACT].compute, dtype_find(exact ? exact : compute));
    fill_grads(m, NAN);
    run(m, &machine, &(struct exec_opts){.B = BATCH, .T = LEN, .train = true}, t);
    for (int i = 0; i < m->n_params; i++)
        for (int64_t k = 0; k < param_count(m->params + i); k++)
            assert_true(isfinite(m->params[i].grad[k]));
    return mean(t->nll, t->n);
}

/* Weights in bf16, the rest in f32: between the two, and neither of them. (That attention is then
 * as exact as in f32: check_ops.) */
static void classes_differ(void **state) {
    (void)state;
    struct model m = model_of(&tiny);
    struct tokens t = tokens_of(&m, BATCH * LEN, 4);
    add_grads(&m);
    const double f32 = loss_with(&m, &t, "f32", NULL), both = loss_with(&m, &t, "bf16", NULL);
    const double mixed = loss_with(&m, &t, "bf16", "f32"), plain = loss_with(&m, &t, "f32", "f32");
    assert_true(f32 == plain);
    assert_true(mixed != f32 && mixed != both);
    assert_true(fabs(mixed - f32) < 0.02 * f32 && fabs(both - f32) < 0.02 * f32);
    tokens_free(&t);
    close_model(&m);
}

/* ---- the measured peak ----------------------------------------------------------------------- */

static void measures_once(void **state) {
    (void)state;
    struct machine m = machine_at("generic", 1);
    const double peak = machine_peak(&m, 0.01, 1 << 20);
    assert_true(peak > 0);
    assert_true(machine_peak(&m, 0.01, 1 << 20) == peak); /* a measurement is never twice the
                                                           * same */
    machine_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_at_once),         cmocka_unit_test(many_times),
        cmocka_unit_test(choices_of_tier),     cmocka_unit_test(child_computes_alone),
        cmocka_unit_test(choices_of_products),
        cmocka_unit_test(refuses_a_plan),      cmocka_unit_test(classes_differ),
        cmocka_unit_test(measures_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
