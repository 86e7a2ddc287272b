/* The backprop engine: one update from several micro-batches, against one batch of all their
 * tokens; what a step reports; what it does when numbers run away; memory as planned. */
#include "checkpoint.h"
#include "disk.h"
#include "engine.h"
#include "eval.h"
#include "file.h"
#include "llama_fixture.h"
#include "state.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

enum { B = 2, T = 9, MICRO = 3 };

/* Micro-batches of a fixed text. */
static void fill(void *ctx, int64_t micro, struct engine_batch *b) {
    const struct tokens *t = ctx;
    memcpy(b->input, t->input + micro * B * T, sizeof *b->input * B * T);
    memcpy(b->target, t->target + micro * B * T, sizeof *b->target * B * T);
}

/* All of it as one batch of MICRO * B sequences. */
static void fill_all(void *ctx, int64_t micro, struct engine_batch *b) {
    const struct tokens *t = ctx;
    assert_int_equal(micro, 0);
    memcpy(b->input, t->input, sizeof *b->input * MICRO * B * T);
    memcpy(b->target, t->target, sizeof *b->target * MICRO * B * T);
}

/* The same; micro-batch `at` is cancelled before its first op. */
struct cancelling {
    struct tokens *t;
    _Atomic int *cancel;
    int64_t at;
};

static void fill_and_cancel(void *ctx, int64_t micro, struct engine_batch *b) {
    const struct cancelling *c = ctx;
    if (micro == c->at) *c->cancel = 1;
    fill(c->t, micro, b);
}

static void param_copy(const struct param *p, float *out) {
    float buf[1024];
    for (int64_t at = 0, n = param_count(p); at < n; at += 1024) {
        const int64_t some = n - at < 1024 ? n - at : 1024;
        memcpy(out + at, param_read(p, at, some, buf), (size_t)some * sizeof *out);
    }
}

static struct engine_opts options(const struct machine *g, const char *optimizer) {
    return (struct engine_opts){
        .batch = B, .seq = T, .machine = g, .hyper = opt_hyper_of(opt_find(optimizer))};
}

static void open_engine(struct engine *g, struct model *m, const struct engine_opts *o) {
    ok(engine_open(g, engine_find("backprop"), m, o, &e));
}

static double ref_loss_of(const struct model *m, const struct tokens *t) {
    struct ref_model r = ref_of(m);
    const double loss =
        ref_loss(&r, (const int32_t *)t->input, (const int32_t *)t->target, MICRO * B, T);
    ref_model_release(&r);
    return loss;
}

static void test_accumulation(void **state) {
    (void)state;
    const struct machine gemm = machine_of("auto", DT_F32);
    struct model m = model_of(&variants[8]);
    struct tokens t = tokens_of(&m, MICRO * B * T, 2);
    struct engine g;
    struct engine_opts o = options(&gemm, "adamw");
    int64_t n;
    const double want = ref_loss_of(&m, &t);

    o.batch = MICRO * B;
    open_engine(&g, &m, &o);
    struct engine_step whole = {.accum = 1, .lr = 0, .fill = fill_all, .ctx = &t};
    g.kind->step(&g, &whole);
    float *grads = all_grads(&m, &n);
    engine_close(&g);

    o.batch = B;
    open_engine(&g, &m, &o);
    struct engine_step parts = {.accum = MICRO, .lr = 0, .fill = fill, .ctx = &t};
    g.kind->step(&g, &parts);
    float *sum = all_grads(&m, &n);
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        difference += pow((double)grads[i] - (double)sum[i], 2);
        norm += pow((double)grads[i], 2);
    }
    assert_true(sqrt(difference) < 1e-6 * sqrt(norm));
    assert_true(whole.finite && parts.finite);
    assert_true(fabs(whole.loss - want) < 1e-5 * want && fabs(parts.loss - want) < 1e-5 * want);
    assert_true(fabs(whole.grad_norm - sqrt(norm)) < 1e-6 * sqrt(norm));
    assert_true(fabs(parts.grad_norm - sqrt(norm)) < 1e-5 * sqrt(norm));
    engine_close(&g);
    free(grads);
    free(sum);
    tokens_free(&t);
    close_model(&m);
}

/* A small step downhill lowers the loss by lr |g|^2, for Lion by lr sum |g|; many steps learn a
 * text by heart. */
static void test_descent(void **state) {
    (void)state;
    const struct machine gemm = machine_of("auto", DT_F32);
    static const char *const names[] = {"adamw", "lion"};
    for (int k = 0; k < 2; k++) {
        struct model m = model_of(&variants[8]);
        struct tokens t = tokens_of(&m, MICRO * B * T, 2);
        struct engine g;
        struct engine_opts o = options(&gemm, names[k]);
        open_engine(&g, &m, &o);
        struct engine_step s = {.accum = MICRO, .lr = 2e-6, .fill = fill, .ctx = &t};
        const double before = ref_loss_of(&m, &t);
        g.kind->step(&g, &s);
        double slope = 0; /* both move by lr sign(g) on the first step */
        for (int i = 0; i < m.n_params; i++)
            for (int64_t j = 0; j < param_count(m.params + i); j++)
                slope += fabs((double)m.params[i].grad[j]);
        const double fall = before - ref_loss_of(&m, &t);
        if (!(fabs(fall - s.lr * slope) < 0.1 * s.lr * slope))
            fail_msg("%s: the loss fell by %g, expected %g", names[k], fall, s.lr * slope);
        s.lr = k ? 2e-3 : 1e-2;
        for (int i = 0; i < 80; i++) g.kind->step(&g, &s);
        if (!(s.loss < 0.5 * before))
            fail_msg("%s: the loss is %g after 80 steps, it was %g", names[k], s.loss, before);
        engine_close(&g);
        tokens_free(&t);
        close_model(&m);
    }
}

/* A weight that is not a number: the step says so and leaves all weights alone. */
static void test_not_finite(void **state) {
    (void)state;
    const struct machine gemm = machine_of("auto", DT_F32);
    struct model m = model_of(&variants[0]);
    struct tokens t = tokens_of(&m, MICRO * B * T, 2);
    struct engine g;
    const struct engine_opts o = options(&gemm, "adamw");
    static const float bad[] = {NAN, INFINITY};
    open_engine(&g, &m, &o);
    for (int i = 0; i < 2; i++) {
        float *w = m.params[3].data, old = w[2];
        const size_t bytes = m.weights.used;
        w[2] = bad[i];
        char *before = memcpy(malloc(bytes), m.weights.base, bytes);
        struct engine_step s = {.accum = MICRO, .lr = 1, .fill = fill, .ctx = &t};
        g.kind->step(&g, &s);
        assert_false(s.finite);
        assert_int_equal(g.opt.t, 0);
        assert_memory_equal(before, m.weights.base, bytes);
        free(before);
        w[2] = old;
    }
    struct engine_step s = {.accum = MICRO, .lr = 0, .fill = fill, .ctx = &t};
    g.kind->step(&g, &s); /* and recovers */
    assert_true(s.finite && g.opt.t == 1);
    engine_close(&g);
    tokens_free(&t);
    close_model(&m);
}

/* What engine_plan promises is what engine_open takes. */
static void test_memory(void **state) {
    (void)state;
    const struct machine gemm = machine_of("auto", DT_F32);
    for (int k = 0; k < 4; k++) {
        struct model m = model_of(&variants[8]);
        struct engine_memory mem;
        struct engine g;
        struct engine_opts o = options(&gemm, k % 2 ? "lion" : "adamw");
        o.recompute = k / 2;
        o.seq = 100;
        ok(engine_plan(engine_find("backprop"), &m, &o, &mem, &e));
        assert_int_equal(mem.weights, m.weights.used);
        assert_int_equal(mem.gradients, mem.weights);
        assert_int_equal(mem.optimizer, (size_t)o.hyper.of[0].kind->n_state * mem.weights);
        assert_int_equal(mem.weights + mem.gradients + mem.optimizer + mem.kept + mem.passing +
                             mem.threads,
                         mem.total);
        open_engine(&g, &m, &o);
        assert_int_equal(g.grads.size, mem.gradients);
        assert_int_equal(g.opt.mem.size, mem.optimizer);
        const size_t rest = g.exec.mem.size + g.exec.tables.size,
                     planned = mem.kept + mem.passing + mem.threads;
        assert_true(planned <= rest && rest <= planned + 2 * ARENA_ALIGN);
        engine_close(&g);
        for (int i = 0; i < m.n_params; i++) assert_null(m.params[i].grad);
        close_model(&m);
    }
}

/* Every array of state has a name of its own, and all of the state is listed. */
static void test_items(void **state) {
    (void)state;
    const struct machine gemm = machine_of("auto", DT_F32);
    static const char *const names[] = {"adamw", "lion"};
    for (int k = 0; k < 2; k++) {
        struct model m = model_of(&variants[8]);
        struct engine g;
        const struct engine_opts o = options(&gemm, names[k]);
        open_engine(&g, &m, &o);
        int64_t sum = 0;
        int n = 0, arrays = 0;
        struct engine_item item, other;
        for (; engine_item(&g, n, &item); n++) {
            if (!item.n) continue;
            sum += item.n;
            arrays++;
            for (int i = 0; i < n; i++) {
                assert_true(engine_item(&g, i, &other));
                assert_string_not_equal(item.name, other.name);
                assert_ptr_not_equal(item.data, other.data);
            }
        }
        assert_int_equal(arrays, m.n_params * o.hyper.of[0].kind->n_state);
        assert_int_equal(sum, model_param_count(&m) * o.hyper.of[0].kind->n_state);
        engine_close(&g);
        close_model(&m);
    }
    assert_null(engine_find("no such engine"));
}

static void no_rows(void *ctx, uint64_t row, struct engine_batch *out) {
    (void)ctx, (void)row, (void)out;
}

/* The disk becomes full between the weights and the state: the old pair stays, the next model
 * goes. */
static void test_full_disk(void **state) {
    (void)state;
    const struct machine gemm = machine_of("auto", DT_F32);
    struct model m = model_of(&variants[8]);
    struct run *r;
    const struct run_opts o = {.engine = engine_find("backprop"),
                               .engine_opts = options(&gemm, "adamw"),
                               .accum = 1,
                               .data = {.fill = no_rows}};
    char dir[] = "/tmp/duet-engine-XXXXXX", path[64], next[64], command[64];
    uint64_t before, hash;
    struct rlimit old;
    signal(SIGXFSZ, SIG_IGN);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/state", dir);
    snprintf(next, sizeof next, "%s/model.next.blzt", dir);
    ok(run_open(&r, &m, &o, NULL, NULL, &e));
    int64_t n = 0;
    for (int i = 0; i < m.n_params; i++) /* moments that do not compress */
        for (int k = 0; k < 2; k++)
            for (int64_t j = 0; r->engine.opt.state[i][k] && j < param_count(m.params + i);
                 j++, n++)
                r->engine.opt.state[i][k][j] = (float)sin((double)n * 12.9898);
    ok(checkpoint_save(dir, r, false, &e));
    ok(state_hash(path, &before, &e));
    snprintf(command, sizeof command, "%s/model.blzt", dir);
    const uint64_t weights = disk_size(command), moments = disk_size(path);
    assert_true(moments > weights + weights / 4);

    getrlimit(RLIMIT_FSIZE, &old);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){weights + weights / 8, old.rlim_max});
    r->p.step = 1;
    const int rc = checkpoint_save(dir, r, false, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, ERR_IO);
    assert_false(file_exists(next));
    ok(state_hash(path, &hash, &e));
    assert_true(hash == before);
    ok(checkpoint_load(dir, r, &e));
    assert_int_equal(r->p.step, 0);
    r->p.step = 2;
    ok(checkpoint_save(dir, r, false, &e));
    run_close(r);
    close_model(&m);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static int64_t step_on_disk(const char *dir) {
    struct progress p;
    ok(checkpoint_progress(dir, &p, &e));
    return p.step;
}

/* What was set aside is the checkpoint when it has been loaded: killed then, the run finds it. */
static void test_aside(void **state) {
    (void)state;
    const struct machine gemm = machine_of("auto", DT_F32);
    struct model m = model_of(&variants[8]);
    struct run *r;
    const struct run_opts o = {.engine = engine_find("backprop"),
                               .engine_opts = options(&gemm, "adamw"),
                               .accum = 1,
                               .data = {.fill = no_rows}};
    char dir[] = "/tmp/duet-engine-XXXXXX", command[64];
    assert_non_null(mkdtemp(dir));
    ok(run_open(&r, &m, &o, NULL, NULL, &e));
    float *weight = m.params[0].data;
    for (int step = 1; step <= 2; step++) {
        *weight = 0.5f * (float)step;
        r->p.step = step;
        if (step == 2) ok(checkpoint_set_aside(dir, r, &e));
        ok(checkpoint_save(dir, r, false, &e));
    }
    assert_int_equal(step_on_disk(dir), 2);
    ok(checkpoint_load_aside(dir, r, &e));
    assert_true(r->p.step == 1 && *weight == 0.5f);
    assert_int_equal(step_on_disk(dir), 1);
    checkpoint_drop_aside(dir, r);
    *weight = 3;
    ok(checkpoint_load(dir, r, &e));
    assert_true(r->p.step == 1 && *weight == 0.5f);
    run_close(r);
    close_model(&m);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/* A cancelled step changes nothing, and the next one is as if it had not been. */
static void cancelled_then_whole(const char *engine) {
    const struct machine gemm = machine_of("auto", DT_F32);
    float *weights[2];
    for (int cut = 0; cut < 2; cut++) {
        struct model m = model_of(&variants[8]);
        struct tokens t = tokens_of(&m, MICRO * B * T, 2);
        struct engine g;
        struct engine_opts o = options(&gemm, "adamw");
        _Atomic int cancel = 0;
        o.cancel = &cancel;
        o.estimator = zo_find("spsa");
        o.directions = 1;
        o.eps = 1e-3;
        o.max_accum = MICRO;
        ok(engine_open(&g, engine_find(engine), &m, &o, &e));
        struct cancelling c = {.t = &t, .cancel = &cancel, .at = cut ? 1 : -1};
        struct engine_step s = {.accum = MICRO, .lr = 1e-3, .fill = fill_and_cancel, .ctx = &c};
        g.kind->step(&g, &s);
        if (cut) {
            assert_true(s.cancelled);
            assert_int_equal(g.opt.t, 0);
            cancel = 0;
            c.at = -1;
            s = (struct engine_step){
                .accum = MICRO, .lr = 1e-3, .fill = fill_and_cancel, .ctx = &c};
            g.kind->step(&g, &s);
        }
        assert_true(!s.cancelled && s.finite);
        int64_t n = param_count(m.params);
        weights[cut] = malloc((size_t)n * sizeof(float));
        param_copy(m.params, weights[cut]);
        if (cut) assert_memory_equal(weights[0], weights[1], (size_t)n * sizeof(float));
        engine_close(&g);
        tokens_free(&t);
        close_model(&m);
    }
    free(weights[0]);
    free(weights[1]);
}

static void test_cancelled(void **state) {
    (void)state;
    cancelled_then_whole("backprop");
    cancelled_then_whole("mezo");
}

/* A mapped file was cut within its last page: what is missing reads as zeros, so no loss is
 * told. */
static void test_cut_file(void **state) {
    (void)state;
    const struct machine gemm = machine_of("auto", DT_F32);
    struct model m = model_of(&variants[8]);
    uint16_t tokens[40];
    for (int i = 0; i < 40; i++) tokens[i] = (uint16_t)(i % 7);
    const struct shard shard = {.width = 2, .vocab = 7, .n_tokens = 40, .tokens = tokens};
    const struct split all = {.end = 40, .bits = -1};
    const struct eval_opts o = {.batch = 2, .seq = T};
    struct eval_result r;
    struct file_map map;
    char path[] = "/tmp/duet-engine-XXXXXX";
    const int fd = mkstemp(path);
    assert_int_equal(write(fd, tokens, sizeof tokens), sizeof tokens);
    ok(file_map_open(&map, path, &e));
    ok(eval_run(&m, &gemm, &shard, &all, &o, &r, &e));
    assert_int_equal(ftruncate(fd, 70), 0);
    assert_int_equal(eval_run(&m, &gemm, &shard, &all, &o, &r, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "was cut from 80 to 70 bytes"));
    file_map_close(&map);
    ok(eval_run(&m, &gemm, &shard, &all, &o, &r, &e));
    close(fd);
    unlink(path);
    close_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accumulation), cmocka_unit_test(test_descent),
        cmocka_unit_test(test_not_finite),   cmocka_unit_test(test_memory),
        cmocka_unit_test(test_items),        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_cancelled),    cmocka_unit_test(test_cut_file),
        cmocka_unit_test(test_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
