/* Choosing tokens: greedy, temperature, top-k, top-p, min-p. */
#include "sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N = 50, DRAWS = 20000 };

static float logits[N];

static void fill(void) {
    struct rng r = rng_make(1, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < N; i++) logits[i] = (float)rng_normal(&r);
    logits[7] = logits[31] = 3.5f; /* a tie for the first place */
}

static void count(const struct sample_opts *o, int hits[N]) {
    void *scratch = malloc(sample_scratch(N));
    for (int i = 0; i < N; i++) hits[i] = 0;
    for (uint64_t d = 0; d < DRAWS; d++) hits[sample_pick(o, logits, N, d, scratch)]++;
    free(scratch);
}

/* Probabilities after the cuts, by plain sorting. */
static void expected(const struct sample_opts *o, double p[N]) {
    int order[N];
    double total = 0, sum = 0, kept = 0;
    for (int i = 0; i < N; i++) {
        p[i] = exp((double)logits[i] / o->temperature);
        total += p[i];
        order[i] = i;
    }
    for (int i = 0; i < N; i++)
        for (int j = i + 1; j < N; j++)
            if (p[order[j]] > p[order[i]] || (p[order[j]] == p[order[i]] && order[j] < order[i])) {
                const int t = order[i];
                order[i] = order[j];
                order[j] = t;
            }
    const double top = p[order[0]];
    for (int i = 0; i < N; i++) {
        const bool cut = (o->top_k > 0 && i >= o->top_k) || sum >= o->top_p * total ||
                         (i > 0 && p[order[i]] < o->min_p * top);
        sum += p[order[i]];
        if (cut) p[order[i]] = 0;
        kept += p[order[i]];
    }
    for (int i = 0; i < N; i++) p[i] /= kept;
}

/* Frequencies within six standard deviations of what they should be; cut tokens never. */
static void matches(const struct sample_opts *o) {
    int hits[N];
    double p[N];
    count(o, hits);
    expected(o, p);
    for (int i = 0; i < N; i++) {
        if (p[i] == 0) assert_int_equal(hits[i], 0);
        assert_true(fabs(hits[i] - DRAWS * p[i]) <= 6 * sqrt(DRAWS * p[i]) + 1e-9);
    }
}

static void greedy(void **state) {
    (void)state;
    char scratch[N * 16];
    const struct sample_opts zero = {.temperature = 0, .top_p = 1},
                             one = {.temperature = 2, .top_k = 1, .top_p = 1};
    assert_true(sample_scratch(N) <= sizeof scratch);
    for (uint64_t d = 0; d < 100; d++) {
        assert_int_equal(sample_pick(&zero, logits, N, d, scratch), 7);
        assert_int_equal(sample_pick(&one, logits, N, d, scratch), 7);
    }
}

static void cuts(void **state) {
    (void)state;
    const struct sample_opts all[] = {
        {.temperature = 1, .top_p = 1, .seed = 1},
        {.temperature = 0.5, .top_p = 1, .seed = 2},
        {.temperature = 1, .top_p = 1, .top_k = 5, .seed = 3},
        {.temperature = 1, .top_p = 0.6, .seed = 4},
        {.temperature = 1, .top_p = 1, .min_p = 0.1, .seed = 5},
        {.temperature = 1.5, .top_p = 0.9, .top_k = 20, .min_p = 0.05, .seed = 6},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) matches(all + i);
}

static void seeds(void **state) {
    (void)state;
    int differ = 0;
    char scratch[N * 16];
    const struct sample_opts a = {.temperature = 1, .top_p = 1, .seed = 1},
                             b = {.temperature = 1, .top_p = 1, .seed = 2};
    for (uint64_t d = 0; d < 100; d++) {
        const uint32_t x = sample_pick(&a, logits, N, d, scratch);
        assert_int_equal(x, sample_pick(&a, logits, N, d, scratch));
        differ += x != sample_pick(&b, logits, N, d, scratch);
    }
    assert_true(differ > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(greedy), cmocka_unit_test(cuts),
                                       cmocka_unit_test(seeds)};
    fill();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
