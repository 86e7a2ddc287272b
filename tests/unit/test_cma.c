/* CMA-ES: the tutorial's constants, known functions to a precision in a number of evaluations, the
 * margin, and the strategy. */
#include "space_fixture.h"

#include "cma.h"

enum { N = 8 };

/* Of x in [-5, 5]^8, least 0. */
static double sphere(const double *x) {
    double sum = 0;
    for (int i = 0; i < N; i++) sum += (x[i] - 1.3) * (x[i] - 1.3);
    return sum;
}

static double ellipsoid(const double *x) {
    double sum = 0;
    for (int i = 0; i < N; i++) sum += pow(1e6, i / (N - 1.0)) * (x[i] - 1.3) * (x[i] - 1.3);
    return sum;
}

static double rosenbrock(const double *x) {
    double sum = 0;
    for (int i = 0; i + 1 < N; i++)
        sum += 100 * pow(x[i] * x[i] - x[i + 1], 2) + (x[i] - 1) * (x[i] - 1);
    return sum;
}

/* Evaluations until a value is below the goal. */
static int needed(double (*f)(const double *), double goal, uint64_t seed, int most) {
    const size_t levels[N] = {0};
    double start[N], at[N], values[64];
    struct cma c;
    struct rng r = rng_make(seed, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < N; i++) start[i] = 0.2 + 0.6 * rng_double(&r);
    assert_true(cma_init(&c, N, 0, start, 0.3, levels));
    double *x = malloc(c.lambda * N * sizeof *x);
    const double *order[64];
    int used = 0;
    bool done = false;
    while (!done && used < most) {
        for (size_t k = 0; k < c.lambda; k++) {
            cma_ask(&c, &r, x + k * N);
            for (int i = 0; i < N; i++) at[i] = 10 * x[k * N + (size_t)i] - 5;
            const double value = f(at);
            size_t place = k;
            for (; place > 0 && values[place - 1] > value; place--) {
                values[place] = values[place - 1];
                order[place] = order[place - 1];
            }
            values[place] = value;
            order[place] = x + k * N;
            used++;
            done = done || value < goal;
        }
        cma_tell(&c, order);
    }
    free(x);
    cma_release(&c);
    return used;
}

static int rising(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

/* The tutorial's figures for n 8, lambda 10 (pycma has the same weights and mu_eff). */
static void constants_are_the_tutorials(void **state) {
    (void)state;
    const size_t levels[N] = {0};
    const double mean[N] = {0};
    struct cma c;
    assert_true(cma_init(&c, N, 0, mean, 0.3, levels));
    assert_true(c.lambda == 10 && c.mu == 5);
    static const double weights[5] = {0.45627265, 0.27075310, 0.16223112, 0.08523355, 0.02550959};
    for (int i = 0; i < 5; i++) assert_true(fabs(c.weight[i] - weights[i]) < 1e-8);
    assert_true(fabs(c.mu_eff - 3.16729928) < 1e-7);
    assert_true(fabs(c.c_sigma - 5.16729928 / 16.16729928) < 1e-8);
    assert_true(fabs(c.d_sigma - 1 - c.c_sigma) < 1e-15);
    assert_true(fabs(c.c_1 - 2 / (9.3 * 9.3 + 3.16729928)) < 1e-9);
    assert_true(fabs(c.c_mu - 2 * (1.16729928 + 1 / 3.16729928) / 103.16729928) < 1e-9);
    assert_true(fabs(c.chi_n - 2.7416) < 1e-3); /* E|N(0, I)| = sqrt(2) Gamma(4.5) / Gamma(4) */
    double negative = 0;
    for (int i = 5; i < 10; i++) negative += c.weight[i];
    assert_true(negative < -0.5 && negative >= -(1 + c.c_1 / c.c_mu) - 1e-12);
    cma_release(&c);
}

static void median_needed(const char *name, double (*f)(const double *), double goal, int most) {
    int n[11];
    for (int s = 0; s < 11; s++) n[s] = needed(f, goal, (uint64_t)s, 4 * most);
    qsort(n, 11, sizeof *n, rising);
    print_message("%s: below %g after %d evaluations (%d to %d)\n", name, goal, n[5], n[0], n[10]);
    assert_true(n[5] <= most);
}

static void known_functions(void **state) {
    (void)state;
    /* the Python package cmaes 0.13.1, from starts of the same box: medians 1370, 3080, 3910 */
    median_needed("sphere", sphere, 1e-9, 1500);
    median_needed("ellipsoid", ellipsoid, 1e-9, 3500);
    median_needed("rosenbrock", rosenbrock, 1e-9, 4800);
}

/* An axis with values keeps being tried, however small the step has become. */
static void the_margin_stays(void **state) {
    (void)state;
    const size_t levels[3] = {0, 2, 9};
    const double start[3] = {0.5, 0.25, 0.5};
    struct cma c;
    struct rng r = rng_make(1, RNG_TEST, 0, 0, 0);
    assert_true(cma_init(&c, 3, 8, start, 0.3, levels));
    double x[8 * 3], u[3], values[8];
    const double *order[8];
    for (int g = 0; g < 60; g++) {
        for (size_t k = 0; k < 8; k++) {
            cma_ask(&c, &r, x + 3 * k);
            cma_point(&c, x + 3 * k, u);
            const double value = pow(u[0] - 0.4, 2) + (u[1] > 0.5) + 3 * fabs(u[2] - 6.5 / 9);
            size_t at = k;
            for (; at > 0 && values[at - 1] > value; at--) {
                values[at] = values[at - 1];
                order[at] = order[at - 1];
            }
            values[at] = value;
            order[at] = x + 3 * k;
        }
        cma_tell(&c, order);
    }
    assert_true(cma_width(&c) < 1e-3); /* without it all draws would be the same */
    int flips = 0, moves[3] = {0};
    enum { DRAWS = 20000 };
    for (int k = 0; k < DRAWS; k++) {
        cma_ask(&c, &r, x);
        cma_point(&c, x, u);
        flips += u[1] > 0.5;
        moves[u[2] < 6.4 / 9 ? 0 : u[2] < 6.6 / 9 ? 1 : 2]++;
    }
    const double alpha = 1.0 / (3 * 8), least = 4 * sqrt(alpha * DRAWS);
    assert_true(flips > alpha * DRAWS - least);
    assert_true(moves[0] > alpha / 2 * DRAWS - least && moves[2] > alpha / 2 * DRAWS - least);
    assert_true(moves[1] > DRAWS / 2); /* the best value is the likeliest */
    cma_release(&c);
}

/* Best value of a search of the strategy over a mixed function, whose least is 0. */
static double mixed(const json_t *c) {
    const double a = value_of(c, "a"), b = log10(value_of(c, "b")) + 3;
    const double n = value_of(c, "n") - 5, m = value_of(c, "m") / 64 - 9;
    if (a > 0.9) return NAN;
    return pow(a - 0.3, 2) + b * b + n * n / 9 + m * m / 9 + (word_of(c, "o")[0] != 'y') +
           pow(a - 0.3 + b, 2) * 10;
}

static double best_of(const char *strategy, uint64_t seed, int trials) {
    struct game *g = game_start(strategy, seed);
    struct proposal p;
    double best = INFINITY;
    for (int i = 0; i < trials; i++) {
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        game_result(g, g->n - 1, mixed(p.config));
        if (g->trial[g->n - 1].value < best) best = g->trial[g->n - 1].value;
    }
    game_end(g);
    return best;
}

#define MIXED                                                                                      \
    "{'a': {'linear': [0, 1]}, 'b': {'log': [1e-6, 1]}, 'n': {'int': [1, 12]}, 'm': "              \
    "{'multiple_of': 64, 'range': [64, 1024]}, 'o': {'choice': ['x', 'y', 'z']}, 'c': {'choice': " \
    "[1]}}"

static void the_strategy_finds_mixed_optima(void **state) {
    (void)state;
    make_space(MIXED);
    int found = 0;
    double gain = 0;
    for (uint64_t s = 0; s < 10; s++) {
        const double best = best_of("'cmaes'", s, 300), random = best_of("'random'", s, 300);
        found += best < 1e-2; /* a wrong choice or number costs 0.11 at least */
        gain += log10(random / best) / 10;
    }
    print_message("below 0.01 in %d of 10, better than random by 10^%.1f\n", found, gain);
    assert_true(found == 10 && gain > 2);
    space_release(&space);
}

/* Nothing before the generation has ended; the same with results that come in another order. */
static void generations_are_waited_for(void **state) {
    (void)state;
    make_space("{'a': {'linear': [0, 1]}, 'b': {'linear': [0, 1]}}");
    struct game *g = game_start("{'name': 'cmaes', 'population': 6}", 3);
    struct proposal p;
    for (int generation = 0; generation < 3; generation++) {
        const size_t first = g->n;
        for (int i = 0; i < 6; i++) assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        assert_int_equal(game_next(g, &p), PROPOSE_WAIT);
        for (size_t i = 6; i > 0; i--) {
            assert_int_equal(game_next(g, &p), PROPOSE_WAIT);
            game_result(g, first + i - 1, i == 2 ? NAN : g->trial[first + i - 1].u[0]);
        }
    }
    game_end(g);
    space_release(&space);
}

/* Where it has converged it begins anew, and all that fails leads nowhere but does no harm. */
static void it_begins_anew(void **state) {
    (void)state;
    make_space("{'a': {'linear': [0, 1]}, 'b': {'linear': [0, 1]}}");
    struct game *g = game_start("{'name': 'cmaes', 'population': 6}", 3);
    struct proposal p;
    double last = 0;
    for (int i = 0; i < 700; i++) {
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        const double *u = g->trial[g->n - 1].u;
        game_result(g, g->n - 1, pow(u[0] - 0.2, 2) + pow(u[1] - 0.7, 2));
        if (i > 650) last = fmax(last, fmax(fabs(u[0] - 0.2), fabs(u[1] - 0.7)));
    }
    double widest = 0, narrowest = 1;
    for (size_t i = 100; i < g->n; i++) {
        const double by = fabs(g->trial[i].u[0] - 0.2) + fabs(g->trial[i].u[1] - 0.7);
        if (i < 400) narrowest = fmin(narrowest, by);
        widest = fmax(widest, by);
    }
    assert_true(narrowest < 1e-5 && widest > 0.3);
    game_end(g);
    g = game_start("'cmaes'", 3);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        game_result(g, g->n - 1, NAN);
    }
    game_end(g);
    space_release(&space);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constants_are_the_tutorials),
        cmocka_unit_test(known_functions),
        cmocka_unit_test(the_margin_stays),
        cmocka_unit_test(the_strategy_finds_mixed_optima),
        cmocka_unit_test(generations_are_waited_for),
        cmocka_unit_test(it_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
