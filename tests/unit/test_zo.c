/* Zeroth-order directions and estimates: signs against the definition and the golden table, on
 * every instruction-set tier; their statistics; estimators against formulas by hand; and that an
 * update from seeds is the optimizer's update with that gradient in a buffer, bit for bit. */
#include "machine_fixture.h"

#include "rng.h"
#include "zo.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct err e;

/* ---- signs ----------------------------------------------------------------------------------- */

static void reference_words(uint64_t seed, uint64_t tensor, uint64_t block, uint64_t *words) {
    struct rng r = rng_make(seed, RNG_PERTURB, 0, tensor, block);
    for (int i = 0; i < SIGN_WORDS; i++) words[i] = rng_next(&r);
}

static void check_vector(const char *line) {
    uint64_t seed, tensor, block, want[SIGN_WORDS], found[SIGN_WORDS];
    int n, at = 0;
    if (sscanf(line, "%" SCNx64 " %" SCNu64 " %" SCNu64 "%n", &seed, &tensor, &block, &at) != 3)
        fail_msg("signs.txt: %s", line);
    for (int i = 0; i < SIGN_WORDS; i++, at += n)
        if (sscanf(line + at, "%" SCNx64 "%n", want + i, &n) != 1) fail_msg("signs.txt: %s", line);
    reference_words(seed, tensor, block, found);
    assert_memory_equal(found, want, sizeof want);
    perturb_words(perturb_key(seed), (int64_t)tensor, (int64_t)block, 1, 1, found);
    assert_memory_equal(found, want, sizeof want);
    for (int t = 0; kern_tier(t); t++) {
        memset(found, 0, sizeof found);
        kern_tier(t)->signs(found, rng_fold(perturb_key(seed), tensor), block, 1, 1);
        assert_memory_equal(found, want, sizeof want);
    }
}

static void test_golden(void **state) {
    (void)state;
    char line[512];
    int n = 0;
    FILE *f = fopen(SOURCE_ROOT "/tests/golden/signs.txt", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (*line == '#') continue;
        check_vector(line);
        n++;
    }
    fclose(f);
    assert_int_equal(n, 90);
}

/* Any number of blocks, any distance apart, in one go. */
static void test_tiers(void **state) {
    (void)state;
    enum { MOST = 37 };
    uint64_t found[MOST * SIGN_WORDS + 1], want[SIGN_WORDS];
    struct rng r = rng_make(3, RNG_TEST, 0, 0, 0);
    for (int64_t n = 1; n <= MOST; n++) {
        const uint64_t seed = rng_next(&r), tensor = rng_below(&r, 1000),
                       first = rng_below(&r, 1 << 20), stride = n % 3 ? rng_below(&r, 4000) : 1;
        for (int t = 0; kern_tier(t); t++) {
            memset(found, 0xa5, sizeof found);
            kern_tier(t)->signs(found, rng_fold(perturb_key(seed), tensor), first, stride, n);
            for (int64_t i = 0; i < n; i++) {
                reference_words(seed, tensor, first + (uint64_t)i * stride, want);
                assert_memory_equal(found + i * SIGN_WORDS, want, sizeof want);
            }
            for (int64_t i = n * SIGN_WORDS; i <= MOST * SIGN_WORDS; i++)
                assert_true(found[i] == 0xa5a5a5a5a5a5a5a5);
        }
    }
}

/* Share of equal bits in two streams, as a deviation from a half in standard errors. */
struct agreement {
    int64_t equal, n;
};

static void agree(struct agreement *a, uint64_t x, uint64_t y, int bits) {
    const uint64_t mask = bits < 64 ? (1ull << bits) - 1 : UINT64_MAX;
    a->equal += bits - __builtin_popcountll((x ^ y) & mask);
    a->n += bits;
}

static void assert_fair(const char *what, const struct agreement *a) {
    const double n = (double)a->n, z = ((double)a->equal - n / 2) / sqrt(n / 4);
    if (!(fabs(z) < 4.5)) fail_msg("%s: %g standard errors from a half", what, z);
}

/* Mean, and independence of neighbours in every direction in which signs can be neighbours. */
static void test_statistics(void **state) {
    (void)state;
    enum { TENSORS = 24, ROWS = 100, SEEDS = 3 };
    static uint64_t w[SEEDS][TENSORS][ROWS][SIGN_WORDS];
    struct agreement mean = {0}, bit = {0}, word = {0}, row = {0}, tensor = {0}, seed = {0};
    struct agreement place[512] = {{0}};
    for (int s = 0; s < SEEDS; s++)
        for (int t = 0; t < TENSORS; t++)
            perturb_words(perturb_key(1000 + (uint64_t)s), t, 0, 1, ROWS, w[s][t][0]);
    for (int s = 0; s < SEEDS; s++)
        for (int t = 0; t < TENSORS; t++)
            for (int r = 0; r < ROWS; r++)
                for (int i = 0; i < SIGN_WORDS; i++) {
                    const uint64_t x = w[s][t][r][i];
                    agree(&mean, x, UINT64_MAX, 64);
                    agree(&bit, x, x >> 1, 63);
                    if (i) agree(&word, x, w[s][t][r][i - 1], 64);
                    if (r) agree(&row, x, w[s][t][r - 1][i], 64);
                    if (t) agree(&tensor, x, w[s][t - 1][r][i], 64);
                    if (s) agree(&seed, x, w[s - 1][t][r][i], 64);
                    for (int b = 0; b < 64; b++) agree(place + 64 * i + b, x >> b, 1, 1);
                }
    assert_fair("mean", &mean);
    assert_fair("neighbouring bits", &bit);
    assert_fair("neighbouring words", &word);
    assert_fair("neighbouring rows", &row);
    assert_fair("neighbouring tensors", &tensor);
    assert_fair("neighbouring seeds", &seed);
    for (int i = 0; i < 512; i++) assert_fair("a place of the block", place + i);
}

/* The sign of one element by the definition: -1 or 1. */
static int sign_at(uint64_t key, int64_t tensor, int64_t cols, int64_t row, int64_t col) {
    uint64_t words[SIGN_WORDS];
    perturb_words(key, tensor, row * perturb_blocks(cols) + col / SIGN_BLOCK, 1, 1, words);
    const int64_t i = col % SIGN_BLOCK;
    return words[i / 64] >> (i % 64) & 1 ? 1 : -1;
}

/* Any span, over ends of blocks and rows, is the elements one by one; in place too. */
static void test_rows(void **state) {
    (void)state;
    enum { ROWS = 9, MOST = 1100 };
    static const int64_t widths[] = {1, 7, 64, 65, 511, 512, 513, 1024, 1100};
    static float x[ROWS * MOST], y[ROWS * MOST + 1];
    struct rng r = rng_make(4, RNG_TEST, 0, 0, 0);
    for (int64_t i = 0; i < ROWS * MOST; i++) x[i] = (float)rng_normal(&r);
    for (int k = 0; k < 300; k++) {
        const int64_t cols = widths[k % 9], all = ROWS * cols, tensor = k % 5;
        const int64_t begin = (int64_t)rng_below(&r, (uint64_t)all),
                      n = 1 + (int64_t)rng_below(&r, (uint64_t)(all - begin)), row = begin / cols;
        const uint64_t key = perturb_key(rng_next(&r));
        const float eps = k % 2 ? 1e-3f : -0.25f;
        const bool in_place = k % 3 == 0;
        y[n] = 77;
        if (in_place) memcpy(y, x, (size_t)n * sizeof *y);
        perturb_row(key, eps, tensor, cols, row, begin % cols, n, in_place ? y : x, y);
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = begin + i;
            const float z = (float)sign_at(key, tensor, cols, at / cols, at % cols);
            if (y[i] != x[i] + eps * z)
                fail_msg("width %lld, element %lld of %lld from %lld on", (long long)cols,
                         (long long)i, (long long)n, (long long)begin);
        }
        assert_true(y[n] == 77);
    }
}

/* ---- estimators ------------------------------------------------------------------------------ */

static const struct zo_kind *kind_of(const char *name) {
    const struct zo_kind *k = zo_find(name);
    assert_non_null(k);
    return k;
}

static void near_to(const char *what, double found, double want) {
    if (!(fabs(found - want) <= 1e-6 * fabs(want) + 1e-12))
        fail_msg("%s is %.9g, expected %.9g", what, found, want);
}

/* Which probe is which: every direction of the update once with each side. */
static void check_probes(const struct zo_kind *k, const struct zo_shape *s, int sides) {
    int seen[64][3] = {{0}};
    const int64_t D = k->directions(s), P = k->probes(s);
    for (int64_t m = 0; m < s->accum; m++)
        for (int64_t p = 0; p < P; p++) {
            int64_t d = -1;
            int side = 9;
            k->probe(s, m, p, &d, &side);
            assert_in_range(d, 0, D - 1);
            assert_in_range(side + 1, 0, 2);
            seen[d][side + 1]++;
        }
    for (int64_t d = 0; d < D; d++) {
        const int times = k->per_example ? 1 : (int)s->accum;
        assert_int_equal(seen[d][2], times);
        assert_int_equal(seen[d][0], sides == 2 ? times : 0);
        assert_int_equal(seen[d][1], sides == 1 && d == 0 ? times : 0);
    }
}

static void test_spsa(void **state) {
    (void)state;
    const struct zo_kind *k = kind_of("spsa");
    const struct zo_shape one = {.directions = 1, .batch = 3, .accum = 1, .eps = 0.01};
    const double two[] = {2.5, 2.3};
    float c[4];
    near_to("spsa loss", k->estimate(&one, two, c), 2.4);
    near_to("spsa", (double)c[0], 0.2 / 0.02);
    /* two micro-batches, two directions: + - + - */
    const struct zo_shape s = {.directions = 2, .batch = 1, .accum = 2, .eps = 0.001};
    const double loss[] = {3, 2, 5, 9, 1, 4, 7, 5};
    near_to("spsa, K 2, accum 2: loss", k->estimate(&s, loss, c), 36.0 / 8);
    near_to("spsa, direction 0", (double)c[0], (3 - 2 + 1 - 4) / 2.0 / 0.002 / 2);
    near_to("spsa, direction 1", (double)c[1], (5 - 9 + 7 - 5) / 2.0 / 0.002 / 2);
    check_probes(k, &one, 2);
    check_probes(k, &s, 2);
}

static void test_fzoo(void **state) {
    (void)state;
    const struct zo_kind *k = kind_of("fzoo");
    assert_int_equal(k->least, 2);
    const struct zo_shape s = {.directions = 3, .batch = 4, .accum = 1, .eps = 0.01};
    const double loss[] = {2, 2.1, 1.8, 2.4};
    float c[4];
    /* unbiased deviation of 2.1, 1.8, 2.4 is 0.3 */
    near_to("fzoo loss", k->estimate(&s, loss, c), 2);
    near_to("fzoo 0", (double)c[0], 0.1 / (0.01 * 3 * 0.3));
    near_to("fzoo 1", (double)c[1], -0.2 / (0.01 * 3 * 0.3));
    near_to("fzoo 2", (double)c[2], 0.4 / (0.01 * 3 * 0.3));
    const struct zo_shape two = {.directions = 2, .batch = 4, .accum = 2, .eps = 0.1};
    const double more[] = {1, 2, 4, 3, 2, 6}; /* means: 2; 2, 5; deviation 3/sqrt(2) */
    near_to("fzoo, accum 2: loss", k->estimate(&two, more, c), 2);
    near_to("fzoo, accum 2: 0", (double)c[0], 0);
    near_to("fzoo, accum 2: 1", (double)c[1], 3 / (0.1 * 2 * 3 / sqrt(2)));
    const double flat[] = {2, 2, 2, 2}; /* no step, and no division by 0 */
    k->estimate(&s, flat, c);
    for (int i = 0; i < 3; i++) assert_true(c[i] == 0);
    check_probes(k, &s, 1);
    check_probes(k, &two, 1);
}

static void test_grzo(void **state) {
    (void)state;
    const struct zo_kind *k = kind_of("grzo");
    assert_true(k->per_example);
    const struct zo_shape s = {.directions = 1, .batch = 2, .accum = 2, .eps = 0.01};
    const double loss[] = {3, 2, 2, 4, 5, 5, 1, 0}; /* differences 1, -2, 0, 1: deviation sqrt 2 */
    float c[4];
    near_to("grzo loss", k->estimate(&s, loss, c), 22.0 / 8);
    static const double delta[] = {1, -2, 0, 1};
    for (int i = 0; i < 4; i++) near_to("grzo", (double)c[i], delta[i] / sqrt(2) / (2 * 0.01 * 4));
    assert_int_equal(k->directions(&s), 4);
    check_probes(k, &s, 2);
    /* all alike, as accuracy's often are: ten times a tenth, not one over nothing; and all zero */
    const double alike[] = {2, 1, 2, 1, 2, 1, 2, 1};
    k->estimate(&s, alike, c);
    for (int i = 0; i < 4; i++) near_to("grzo alike", (double)c[i], 10 / (2 * 0.01 * 4));
    const double same[] = {2, 2, 2, 2, 2, 2, 2, 2};
    k->estimate(&s, same, c);
    for (int i = 0; i < 4; i++) assert_true(c[i] == 0);
}

/* A loss that is not a number makes an update that is not: nothing is taken for "no step". */
static void test_not_finite(void **state) {
    (void)state;
    static const char *const names[] = {"spsa", "fzoo", "grzo"};
    for (int n = 0; n < 3; n++) {
        const struct zo_kind *k = kind_of(names[n]);
        const struct zo_shape s = {
            .directions = k->per_example ? 1 : 2, .batch = 2, .accum = 1, .eps = 0.01};
        double loss[4] = {1, 2, NAN, 1};
        float c[2];
        const double mean = k->estimate(&s, loss, c);
        assert_false(isfinite(mean) && isfinite(c[0]) && isfinite(c[1]));
    }
}

static int by_value(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* No two directions of a run or of neighbouring runs share a seed. */
static void test_seeds(void **state) {
    (void)state;
    enum { RUNS = 3, STEPS = 700, DIRECTIONS = 17, N = RUNS * STEPS * DIRECTIONS };
    static uint64_t all[N];
    int n = 0;
    for (uint64_t run = 0; run < RUNS; run++)
        for (int64_t step = 0; step < STEPS; step++)
            for (int64_t d = 0; d < DIRECTIONS; d++) all[n++] = zo_seed(run, step, d);
    qsort(all, N, sizeof *all, by_value);
    for (int i = 1; i < N; i++) assert_true(all[i] != all[i - 1]);
}

/* ---- updates --------------------------------------------------------------------------------- */

/* More and less than a tile, odd widths, and one that is not trained. */
enum { N = 5, FROZEN = 2 };
static const struct {
    enum role role;
    int64_t rows, cols;
} shapes[N] = {{ROLE_embed, 3, OPT_TILE / 2 + 7},
               {ROLE_matrix, 37, 19},
               {ROLE_matrix, 8, 9},
               {ROLE_norm, 1, 33},
               {ROLE_lora, 600, 4}};

/* Matrices by one optimizer, the rest by another. */
static struct opt_hyper hyper_of(const char *optimizer, const char *matrix) {
    static const double factor[ROLE_COUNT] = {
        [ROLE_embed] = 0.5, [ROLE_matrix] = 1, [ROLE_norm] = 2, [ROLE_lora] = 1},
                        decay[ROLE_COUNT] = {
                            [ROLE_embed] = 0.2, [ROLE_matrix] = 0.1, [ROLE_lora] = 0.05};
    struct opt_hyper h = opt_hyper_of(opt_find(optimizer));
    h.of[ROLE_matrix] = opt_hyper_of(opt_find(matrix)).of[ROLE_matrix];
    for (int r = 0; r < ROLE_COUNT; r++) {
        h.of[r].lr_factor = factor[r];
        h.of[r].decay = decay[r];
    }
    h.clip = 1;
    return h;
}

/* How far each moves; the frozen one's counts nothing. */
static const float scales[N] = {1, 0.5f, 3, 2, 1};

struct table {
    struct machine machine;
    struct param p[N];
    struct opt opt;
    struct direction_tensor tensor[N];
    struct direction_space space;
};

static void table_open_on(struct table *t, int threads, const char *optimizer, const char *matrix,
                          bool bf16, bool grads, uint64_t round_seed) {
    struct rng r = rng_make(6, RNG_TEST, 0, 0, 0);
    struct opt_hyper h = hyper_of(optimizer, matrix);
    h.seed = round_seed;
    *t = (struct table){0};
    for (int i = 0; i < N; i++) {
        struct param *p = t->p + i;
        *p = (struct param){.role = shapes[i].role,
                            .ndim = 2,
                            .rows = shapes[i].rows,
                            .cols = shapes[i].cols,
                            .trainable = i != FROZEN,
                            .move = scales[i],
                            .dtype = bf16 && i < 2 ? DT_BF16 : DT_F32};
        const size_t n = (size_t)param_count(p);
        p->data = malloc(n * sizeof(float));
        p->grad = grads && p->trainable ? malloc(n * sizeof *p->grad) : NULL;
        for (size_t k = 0; k < n; k++) {
            const float w = (float)rng_normal(&r);
            dtype_from_f32(p->dtype, &w, (char *)p->data + k * (p->dtype == DT_F32 ? 4 : 2), 1);
        }
    }
    t->space = zo_space(&direction_rademacher, t->tensor, t->p, N);
    t->machine = machine_with("native", DT_F32, threads);
    assert_int_equal(opt_open(&t->opt, &t->machine, &h, t->p, N, &e), 0);
}

static void table_open(struct table *t, const char *optimizer, const char *matrix, bool bf16,
                       bool grads, uint64_t round_seed) {
    table_open_on(t, 1, optimizer, matrix, bf16, grads, round_seed);
}

static void table_close(struct table *t) {
    opt_close(&t->opt);
    machine_close(&t->machine);
    for (int i = 0; i < N; i++) {
        free(t->p[i].data);
        free(t->p[i].grad);
    }
}

static void assert_same_tables(const char *what, const struct table *a, const struct table *b) {
    for (int i = 0; i < N; i++) {
        const size_t n = (size_t)param_count(a->p + i);
        if (memcmp(a->p[i].data, b->p[i].data, dtype_bytes(a->p[i].dtype, n)))
            fail_msg("%s: parameter %d differs", what, i);
        for (int k = 0; k < opt_kind_of(&a->opt, i)->n_state && i != FROZEN; k++)
            if (memcmp(a->opt.state[i][k], b->opt.state[i][k], n * sizeof(float)))
                fail_msg("%s: state %d of parameter %d differs", what, k, i);
    }
}

/* More than are left as signs. */
enum { DIRECTIONS = KERN_SIGNS + 3 };

/* Seeds and coefficients of a step; every other one is clipped. One direction has no part in it. */
static struct zo_update update_of(int step, uint64_t *seed, float *coef) {
    static const int64_t n[] = {3, 1, KERN_SIGNS, DIRECTIONS};
    for (int d = 0; d < DIRECTIONS; d++) {
        seed[d] = zo_seed(9, step, d);
        coef[d] = (float)((step % 2 ? 1e-4 : 0.3) * (d == 2 ? 0 : d - 0.7));
    }
    return (struct zo_update){
        .lr = 0.01 * (step + 1), .n = n[step % 4], .seed = seed, .coef = coef};
}

/* The gradient element by element, in the buffers. */
static void fill_gradient(struct table *t, const struct zo_update *u) {
    for (int i = 0; i < N; i++)
        for (int64_t k = 0; t->p[i].grad && k < param_count(t->p + i); k++) {
            float g = 0;
            for (int64_t d = 0; d < u->n; d++) {
                const int64_t cols = t->p[i].cols;
                const int sign = sign_at(perturb_key(u->seed[d]), i, cols, k / cols, k % cols);
                g += u->coef[d] * scales[i] * (float)sign;
            }
            t->p[i].grad[k] = g;
        }
}

static void check_updates(const char *optimizer, const char *matrix, bool bf16) {
    struct table buffered, seeded[4];
    uint64_t seed[DIRECTIONS];
    float coef[DIRECTIONS];
    table_open(&buffered, optimizer, matrix, bf16, true, 5);
    for (int n = 0; n < 4; n++) table_open_on(seeded + n, n + 1, optimizer, matrix, bf16, false, 5);
    for (int step = 0; step < 4; step++) {
        const struct zo_update u = update_of(step, seed, coef);
        fill_gradient(&buffered, &u);
        const struct grad_source grad =
            opt_buffers(&buffered.opt, zo_norm(&buffered.space, N, u.n, coef));
        opt_step(&buffered.opt, u.lr, &grad);
        for (int n = 0; n < 4; n++) {
            zo_apply(&seeded[n].opt, &seeded[n].space, &u);
            assert_same_tables(optimizer, &buffered, seeded + n);
        }
    }
    struct table fresh;
    table_open(&fresh, optimizer, matrix, bf16, false, 5);
    const size_t frozen = (size_t)param_count(fresh.p + FROZEN) * sizeof(float);
    assert_memory_equal(fresh.p[FROZEN].data, buffered.p[FROZEN].data, frozen);
    for (int i = 0; i < N; i++)
        if (i != FROZEN) assert_memory_not_equal(fresh.p[i].data, buffered.p[i].data, 32);
    table_close(&fresh);
    table_close(&buffered);
    for (int n = 0; n < 4; n++) table_close(seeded + n);
}

static void test_updates(void **state) {
    (void)state;
#define X(name) #name,
    static const char *const optimizers[] = {OPTIMIZERS(X)};
#undef X
    const size_t n = sizeof optimizers / sizeof *optimizers;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            if (!opt_find(optimizers[i])->direction && !opt_find(optimizers[k])->direction)
                check_updates(optimizers[i], optimizers[k], i == k || (i + k) % 2);
}

/* The norm that clipping goes by: of one direction exact, of several as if orthogonal. */
static void test_norm(void **state) {
    (void)state;
    struct table t;
    double n = 0;
    table_open(&t, "sgd", "sgd", false, false, 5);
    for (int i = 0; i < N; i++)
        if (i != FROZEN) n += (double)(scales[i] * scales[i]) * (double)param_count(t.p + i);
    const float coef[] = {3, -4};
    near_to("norm of one", zo_norm(&t.space, N, 1, coef), 3 * sqrt(n));
    near_to("norm of two", zo_norm(&t.space, N, 2, coef), 5 * sqrt(n));
    table_close(&t);
}

/* ---- stochastic rounding --------------------------------------------------------------------- */

/* A step of nothing leaves every weight as it is, whatever the chance says. */
static void test_rounding_exact(void **state) {
    (void)state;
    struct table t, fresh;
    uint64_t seed[DIRECTIONS];
    float coef[DIRECTIONS];
    struct zo_update u = update_of(0, seed, coef);
    u.lr = 0;
    table_open(&t, "sgd", "sgd", true, false, 5);
    table_open(&fresh, "sgd", "sgd", true, false, 5);
    for (int step = 0; step < 20; step++) zo_apply(&t.opt, &t.space, &u);
    assert_same_tables("lr 0", &t, &fresh);
    table_close(&t);
    table_close(&fresh);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),        cmocka_unit_test(test_tiers),
        cmocka_unit_test(test_statistics),    cmocka_unit_test(test_rows),
        cmocka_unit_test(test_spsa),          cmocka_unit_test(test_fzoo),
        cmocka_unit_test(test_grzo),          cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_seeds),         cmocka_unit_test(test_updates),
        cmocka_unit_test(test_norm),          cmocka_unit_test(test_rounding_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
