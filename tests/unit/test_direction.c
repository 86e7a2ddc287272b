/* What zeroth-order directions move: the words of --perturb; probes of a run where some weights
 * stand still and others go further, against weights that are written out; its updates, their norm,
 * state and replay; and that the audit's theory holds of it. */
#include "zo_fixture.h"

#include "audit.h"
#include "moves.h"
#include "state.h"
#include "trajectory.h"

#include <unistd.h>

/* ---- words ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum role role;
    bool frozen;
} table[] = {{"model.embed_tokens.weight", ROLE_embed, false},
             {"model.layers.0.mlp.up_proj.weight", ROLE_matrix, false},
             {"model.layers.1.mlp.up_proj.weight", ROLE_matrix, false},
             {"model.layers.1.self_attn.q_proj.weight", ROLE_matrix, true},
             {"model.layers.1.input_layernorm.weight", ROLE_norm, false},
             {"model.norm.weight", ROLE_norm, false}};
enum { N = sizeof table / sizeof *table };

static void table_fill(struct param *p) {
    for (int i = 0; i < N; i++) {
        p[i] = (struct param){
            .role = table[i].role, .rows = 1, .cols = 1, .move = 1, .trainable = !table[i].frozen};
        snprintf(p[i].name, sizeof p[i].name, "%s", table[i].name);
    }
}

/* How far each of the table moves; 0: it is not trained. */
static void test_words(void **state) {
    (void)state;
    static const struct {
        const char *words;
        float move[N];
    } cases[] = {{"matrix", {0, 1, 1, 0, 0, 0}},
                 {"!embed", {0, 1, 1, 0, 1, 1}},
                 {"norm,embed", {1, 0, 0, 0, 1, 1}},
                 {"*.layers.1.*", {0, 0, 1, 0, 1, 0}},
                 {"*.layers.[0].*", {0, 1, 0, 0, 0, 0}},
                 {"matrix,!*.layers.0.*", {0, 0, 1, 0, 0, 0}},
                 {"!matrix,*.layers.0.*", {0, 1, 0, 0, 0, 0}},
                 {"norm=0.25", {1, 1, 1, 0, 0.25f, 0.25f}},
                 {"norm=0.25,!embed", {0, 1, 1, 0, 0.25f, 0.25f}},
                 {"matrix=2,norm", {0, 2, 2, 0, 1, 1}},
                 {"*=3,model.norm.weight=1e6", {3, 3, 3, 0, 3, 1e6f}},
                 {"norm=1e-6", {1, 1, 1, 0, 1e-6f, 1e-6f}},
                 {"model.norm.weigh?", {0, 0, 0, 0, 0, 1}}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct param p[N];
        table_fill(p);
        ok(moves_check(cases[c].words, &e));
        ok(moves_apply(cases[c].words, p, N, &e));
        for (int i = 0; i < N; i++) {
            const float found = p[i].trainable ? p[i].move : 0;
            if (found != cases[c].move[i])
                fail_msg("%s: %s moves %g, expected %g", cases[c].words, p[i].name, (double)found,
                         (double)cases[c].move[i]);
        }
    }
}

#define TEN "abcdefghij"
#define LONG TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static void test_bad_words(void **state) {
    (void)state;
    static const struct {
        const char *words, *says;
        bool form; /* wrong whatever the model is */
    } cases[] = {{"", "no words", true},
                 {"matrix,", "behind the last comma", true},
                 {",matrix", "names nothing", true},
                 {"!", "names nothing", true},
                 {"=2", "names nothing", true},
                 {"norm=", "from 1e-06 to 1e+06", true},
                 {"norm=0", "from 1e-06 to 1e+06", true},
                 {"norm=-1", "from 1e-06 to 1e+06", true},
                 {"norm=nan", "from 1e-06 to 1e+06", true},
                 {"norm=inf", "from 1e-06 to 1e+06", true},
                 {"norm=2x", "from 1e-06 to 1e+06", true},
                 {"norm=1e-60", "from 1e-06 to 1e+06", true},
                 {"norm=1e-40", "from 1e-06 to 1e+06", true},
                 {"norm=9.99e-7", "from 1e-06 to 1e+06", true},
                 {"norm=1.01e6", "from 1e-06 to 1e+06", true},
                 {LONG, "a word of 100 bytes, expected at most the 95 ", true},
                 {"!norm=2", "no ! before", true},
                 {"lora", "\"lora\" names no weight", false},
                 {"q_proj", "\"q_proj\" names no weight", false},
                 {"*q_proj*", "are not trained", false},
                 {"matrix,!bias", "\"bias\" names no weight", false},
                 {"*,!*", "no weight is left", false}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct param p[N];
        table_fill(p);
        if (cases[c].form)
            assert_int_equal(moves_check(cases[c].words, &e), ERR_USAGE);
        else
            ok(moves_check(cases[c].words, &e));
        if (!cases[c].form || *cases[c].words)
            assert_int_equal(moves_apply(cases[c].words, p, N, &e), ERR_USAGE);
        if (!strstr(e.msg, cases[c].says) || !strstr(e.msg, "--perturb"))
            fail_msg("%s: %s", cases[c].words, e.msg);
    }
}

/* ---- low rank -------------------------------------------------------------------------------- */

/* Element i of column k of a factor of so many rows, by the definition (rng.h): -1 or 1. */
static int factor_at(uint64_t seed, uint64_t which, int64_t tensor, int64_t length, int64_t k,
                     int64_t i) {
    const int64_t block = k * perturb_blocks(length) + i / SIGN_BLOCK;
    struct rng r = rng_make(seed, RNG_LOWRANK, which, (uint64_t)tensor, (uint64_t)block);
    uint64_t word = 0;
    for (int64_t w = 0; w <= i % SIGN_BLOCK / 64; w++) word = rng_next(&r);
    return word >> (i % 64) & 1 ? 1 : -1;
}

/* Spans of matrices, of a direction of an update and of none, against U V' by hand; and the factors
 * that products take. */
static void test_lowrank(void **state) {
    (void)state;
    enum { ROWS = 521, COLS = 600, RUN = 77, EVERY = 4 };
    static const struct {
        int64_t rows, cols, rank;
    } shapes[] = {{7, COLS, 1}, {ROWS, 5, 3}, {4, 513, 5}, {60, 1, 2}};
    struct rng r = rng_make(8, RNG_TEST, 0, 0, 0);
    for (int c = 0; c < 60; c++) {
        const int64_t rows = shapes[c % 4].rows, cols = shapes[c % 4].cols, R = shapes[c % 4].rank;
        const int64_t step = c % 3 ? c : -1,
                      begin = (int64_t)rng_below(&r, (uint64_t)(rows * cols));
        const int64_t n = 1 + (int64_t)rng_below(&r, (uint64_t)(rows * cols - begin));
        const uint64_t seed = rng_next(&r), shared = step < 0 ? seed : RUN,
                       period = step < 0 ? 1 : 1 + (uint64_t)(step / EVERY);
        const struct direction_tensor t[3] = {[2] = {rows, cols, 0.5f}};
        const struct direction_space s = {.kind = &direction_lowrank,
                                          .tensor = t,
                                          .rank = R,
                                          .every = EVERY,
                                          .seed = RUN};
        const struct direction d = direction_make(&s, seed, step);
        const float e1 = 0.25f * 0.5f / sqrtf((float)R);
        float *x = calloc((size_t)n, sizeof *x), *y = calloc((size_t)n + 1, sizeof *y);
        float *u = calloc((size_t)(R * rows), sizeof *u),
              *v = calloc((size_t)(R * cols), sizeof *v);
        for (int64_t i = 0; i < n; i++) x[i] = y[i] = (float)rng_normal(&r);
        y[n] = 77;
        direction_add(&d, y, c % 2 ? y : x, 0.25f, 2, begin / cols, begin % cols, n);
        direction_lowrank.factors(&d, 0.25f, 2, u, v);
        for (int64_t i = 0; i < n; i++) {
            const int64_t row = (begin + i) / cols, col = (begin + i) % cols;
            float want = x[i], product = x[i];
            for (int64_t k = 0; k < R; k++) {
                want += e1 * (float)(factor_at(seed, 0, 2, rows, k, row) *
                                     factor_at(shared, period, 2, cols, k, col));
                product += u[row * R + k] * v[k * cols + col];
            }
            if (y[i] != want || product != want)
                fail_msg("%lld x %lld, rank %lld, element %lld: %.9g, factors %.9g, expected %.9g",
                         (long long)rows, (long long)cols, (long long)R, (long long)(begin + i),
                         (double)y[i], (double)product, (double)want);
        }
        assert_true(y[n] == 77);
        free(x);
        free(y);
        free(u);
        free(v);
    }
}

/* (g.z) z is g in the mean, and (g.z)^2 is |g|^2, of every kind. */
static void test_moments(void **state) {
    (void)state;
    enum { ROWS = 5, COLS = 7, MANY = 40000 };
    static const struct direction_tensor t = {ROWS, COLS, 1};
    double g[ROWS * COLS], g2 = 0;
    struct rng r = rng_make(9, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < ROWS * COLS; i++) {
        g[i] = rng_normal(&r);
        g2 += g[i] * g[i];
    }
    for (int rank = 0; rank < 4; rank++) {
        const struct direction_space s = {
            .kind = rank ? &direction_lowrank : &direction_rademacher,
            .tensor = &t,
            .rank = rank,
            .every = 1,
            .seed = 4};
        double mean[ROWS * COLS] = {0}, square = 0, size = 0;
        for (int n = 0; n < MANY; n++) {
            const struct direction d = direction_make(&s, (uint64_t)n, n % 2 ? n : -1);
            float z[ROWS * COLS] = {0};
            double c = 0;
            direction_add(&d, z, z, 1, 0, 0, 0, ROWS * COLS);
            for (int i = 0; i < ROWS * COLS; i++) c += g[i] * (double)z[i];
            for (int i = 0; i < ROWS * COLS; i++) {
                mean[i] += c * (double)z[i] / MANY;
                size += (double)z[i] * (double)z[i] / MANY;
            }
            square += c * c / MANY;
        }
        /* standard errors: sqrt(g2 / MANY) and, of a fourth moment of at most 9, g2 sqrt(8 /
         * MANY) */
        if (!(fabs(square / g2 - 1) < 4.5 * sqrt(8.0 / MANY)) ||
            !(fabs(size / (ROWS * COLS) - 1) < 0.05))
            fail_msg("rank %d: (g.z)^2 is %g of |g|^2, |z|^2 %g", rank, square / g2, size);
        for (int i = 0; i < ROWS * COLS; i++)
            if (!(fabs(mean[i] - g[i]) < 6 * sqrt(3 * g2 / MANY)))
                fail_msg("rank %d: mean of (g.z) z is %g, g is %g", rank, mean[i], g[i]);
    }
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* Of the variant and setup: what is said, and a part of names that then stands still. */
static const struct {
    int variant, setup;
    const char *words, *still;
} runs[] = {{0, 0, "matrix,norm=0.5", "embed_tokens"},
            {1, 1, "!*.mlp.*,norm=4", "mlp"},
            {2, 0, "!matrix,bias=0.125", "proj.weight"},
            {4, 4, "*lora_B*,norm=2", "lora_A"},
            {3, 6, "!*.layers.1.*", "layers.1"}};
enum { N_RUNS = sizeof runs / sizeof *runs };

static struct model open_run(int i) {
    struct model m = open_setup(zo_variants + runs[i].variant, setups + runs[i].setup);
    ok(moves_apply(runs[i].words, m.params, m.n_params, &e));
    return m;
}

/* The kind of a run; low rank is not for adapters. */
static void set_kind(struct direction_space *s, int i, bool lowrank) {
    if (!lowrank || setups[runs[i].setup].lora) return;
    s->kind = &direction_lowrank;
    s->rank = 1 + i;
    s->every = 2;
    s->seed = 11;
}

/* Losses of two probes are those of the same weights written out, bit for bit. */
static void check_probes(const struct machine *g, bool lowrank, double tol) {
    for (int i = 0; i < N_RUNS; i++) {
        struct model m = open_run(i);
        struct direction_space space = space_open(&m);
        set_kind(&space, i, lowrank);
        struct text t = text_of(&m, 2, 7);
        float nll[2][14], one[14];
        struct tokens both = tokens_of(&m, 28, 3), single = t.t;
        const struct probe p[2] = {{direction_make(&space, 5, 3), 0.01f},
                                   {direction_make(&space, 5 + (uint64_t)lowrank, 3), -0.02f}};
        struct exec x;
        for (int v = 0; v < 2; v++) {
            memcpy(both.input + 14 * v, t.t.input, 14 * sizeof *t.t.input);
            memcpy(both.target + 14 * v, t.t.target, 14 * sizeof *t.t.target);
        }
        const struct exec_opts xo = {.B = 4, .T = 7, .probes = 2, .rank = space.rank};
        ok(exec_open(&x, &m.graph, g, &xo, &e));
        if (space.rank) memset(x.factors.base, 0xff, x.factors.size);
        exec_run(&x, &(struct batch){.B = 4,
                                     .T = 7,
                                     .probes = p,
                                     .n_probes = 2,
                                     .input = both.input,
                                     .target = both.target,
                                     .nll = nll[0]});
        exec_close(&x);
        for (int v = 0; v < 2; v++) {
            const struct setup *s = setups + runs[i].setup;
            struct model w = written_out(zo_variants + runs[i].variant, s, &m, p + v);
            for (int k = 0; k < m.n_params; k++) {
                float *was = values_of(m.params + k), *is = values_of(w.params + k);
                const bool moved = memcmp(was, is, (size_t)param_count(m.params + k) * 4) != 0;
                assert_int_equal(moved, m.params[k].trainable);
                if (strstr(m.params[k].name, runs[i].still)) assert_false(moved);
                free(was);
                free(is);
            }
            single.nll = one;
            run(&w, g, &(struct exec_opts){.B = 2, .T = 7}, &single);
            for (int k = 0; k < 14; k++)
                if (!(fabs((double)nll[v][k] - (double)one[k]) <= tol))
                    fail_msg("%s, %s %s: probe %d, token %d: %.9g, written out %.9g", runs[i].words,
                             g->gemm[GEMM_WEIGHTS].backend->name,
                             dtype_row(g->gemm[GEMM_WEIGHTS].compute)->name, v, k,
                             (double)nll[v][k], (double)one[k]);
            model_close(&w);
        }
        assert_memory_not_equal(nll[0], nll[1], sizeof one);
        tokens_free(&both);
        space_close(&space);
        text_free(&t);
        model_close(&m);
    }
}

static void test_probes(void **state) {
    (void)state;
    for (size_t i = 0; i < 2 * n_gemm_backends; i++) {
        struct machine g;
        const bool bf16 = i >= n_gemm_backends, native = !(i % n_gemm_backends);
        if (machine_try(&g, gemm_backends[i % n_gemm_backends]->name, bf16 ? DT_BF16 : DT_F32, 1,
                        &e))
            continue;
        for (int lowrank = 0; lowrank < 2; lowrank++)
            check_probes(&g, lowrank, native && !bf16 ? 0 : bf16 ? 0.02 : 1e-4);
    }
}

/* Updates: what stands still keeps its bytes, decay or not, and has no state; the rest goes scale
 * times as far along its signs; records make the same again. */
static void test_updates(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int i = 0; i < 4 * N_RUNS; i++) {
        const int k = i / 4;
        const bool lowrank = i % 4 > 1 && !setups[runs[k].setup].lora;
        struct model m = open_run(k), again = open_run(k), before = open_run(k);
        struct text t = text_of(&m, 4, 6);
        struct engine_opts o =
            mezo_opts(&g, i % 2 ? "adamw" : "sgd", "spsa", t.B = 2, t.T);
        struct engine a, b;
        struct engine_item item;
        o.directions = 2;
        if (lowrank) {
            o.direction = &direction_lowrank;
            o.direction_rank = 2;
            o.direction_every = 2;
        }
        for (int r = 0; r < ROLE_COUNT; r++) o.hyper.of[r].decay = 0.1;
        struct machine three = machine_with("native", DT_F32, 3);
        ok(engine_open(&b, engine_find("mezo"), &again, &o, &e));
        o.machine = &three;
        ok(engine_open(&a, engine_find("mezo"), &m, &o, &e));
        struct engine_step s = {0};
        for (int64_t step = 0; step < 3; step++) { /* the last in another period */
            s = run_steps(&a, &t, step, 1, 2, 1e-3);
            struct engine_step r = {.step = s.step,
                                    .accum = s.accum,
                                    .lr = s.lr,
                                    .directions = s.directions,
                                    .seed = s.seed,
                                    .coef = s.coef};
            ok(mezo_replay(&b, &r, &e));
            assert_true(r.grad_norm == s.grad_norm);
        }
        assert_same_models(runs[k].words, &m, &again);
        double size = 0, sum = 0;
        for (int d = 0; d < s.directions; d++) sum += (double)s.coef[d] * (double)s.coef[d];
        for (int p = 0; p < m.n_params; p++) {
            const struct param *w = m.params + p;
            const bool same = !memcmp(w->data, before.params[p].data, bytes_of(w));
            assert_int_equal(same, !w->trainable);
            if (w->trainable) size += (double)(w->move * w->move) * (double)param_count(w);
        }
        assert_true(fabs(s.grad_norm - sqrt(size * sum)) <= 1e-12 * s.grad_norm);
        for (int n = 0; engine_item(&a, n, &item); n++)
            if (strstr(item.name, runs[k].still)) assert_true(item.n == 0);
        engine_close(&a);
        engine_close(&b);
        machine_close(&three);
        text_free(&t);
        model_close(&m);
        model_close(&again);
        model_close(&before);
    }
}

/* ---- audit ----------------------------------------------------------------------------------- */

static void fill_audit(void *ctx, uint64_t row, struct engine_batch *out) {
    const struct tokens *t = ctx;
    assert_int_equal(row, 0);
    memcpy(out->input, t->input, (size_t)t->n * sizeof *out->input);
    memcpy(out->target, t->target, (size_t)t->n * sizeof *out->target);
}

static void test_audit(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    for (int i = 0; i < N_RUNS; i++) {
        if (setups[runs[i].setup].storage != DT_F32) continue;
        struct model m = open_run(i);
        struct tokens t = tokens_of(&m, 16, 3);
        const struct audit_opts o = {.batch = 2,
                                     .seq = 8,
                                     .data = {.fill = fill_audit, .ctx = &t},
                                     .machine = &g,
                                     .machine_grad = &g,
                                     .seeds = 40,
                                     .seed = 3,
                                     .eps = 1e-3};
        struct audit a;
        int64_t moving = 0;
        ok(audit_open(&a, &m, &o, &e));
        ok(audit_gradient(&a, &e));
        ok(audit_run(&a, &e));
        for (int k = 0; k < a.n_groups; k++)
            if (audit_differs(a.group[k].verdict))
                fail_msg("%s: %s: %s", runs[i].words, a.group[k].name,
                         audit_verdict_name(a.group[k].verdict));
        for (int p = 0; p < m.n_params; p++)
            if (m.params[p].trainable) moving += param_count(m.params + p);
        assert_int_equal(a.group[a.n_groups - 1].n, moving);
        audit_close(&a);
        tokens_free(&t);
        model_close(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),   cmocka_unit_test(test_bad_words),
        cmocka_unit_test(test_lowrank), cmocka_unit_test(test_moments),
        cmocka_unit_test(test_probes),  cmocka_unit_test(test_updates),
        cmocka_unit_test(test_audit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
