/* Parzen densities are densities, and their draws are theirs; TPE is better than random. */
#include "space_fixture.h"

#include "parzen.h"

#include <math.h>

enum { AXES = 5 };

static void make_mixed(void) {
    make_space("{'lr': {'log': [1e-5, 1]}, 'n': {'int': [1, 12]}, 'o': {'choice': ['a', 'b', 'c']},"
               " 'x': {'linear': [0, 1], 'when': {'o': ['a', 'b']}}, 'w': {'multiple_of': 8, "
               "'range': [8, 1024]}}");
}

/* Random points of the space, with which axes are there. */
static void make_points(double (*u)[AXES], const double **point, bool *there, size_t n) {
    struct rng r = rng_make(9, RNG_TEST, 0, 0, 0);
    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; i < AXES; i++) u[k][i] = pow(rng_double(&r), 2);
        point[k] = u[k];
        assert_true(space_active(&space, u[k], there + k * AXES));
    }
}

/* Densities of an axis sum or integrate to 1, joint or not. */
static void densities_are_one(void **state) {
    (void)state;
    enum { N = 60 };
    static double u[N][AXES];
    static bool there[N * AXES];
    const double *point[N];
    make_mixed();
    make_points(u, point, there, N);
    for (size_t n = 0; n <= N; n += 20)
        for (int joint = 0; joint < 2; joint++) {
            struct parzen p;
            assert_true(parzen_make(&p, &space, point, there, n, joint));
            for (size_t i = 0; i < AXES; i++) {
                const size_t levels = axis_levels(&space.axis[i]), parts = levels ? levels : 4000;
                double sum = 0;
                for (size_t k = 0; k < parts; k++) {
                    const double x = axis_middle(k, parts);
                    bool one[AXES] = {false};
                    double at[AXES] = {0};
                    one[i] = true;
                    at[i] = x;
                    const double log_density = joint ? parzen_all(&p, at, one)
                                                     : parzen_axis(&p, i, x);
                    sum += exp(log_density) / (levels ? 1 : (double)parts);
                }
                if (fabs(sum - 1) > 1e-4) fail_msg("axis %zu of %zu: %.9g", i, n, sum);
            }
            parzen_release(&p);
        }
    space_release(&space);
}

/* Of many draws, each part of an axis has its share. */
static void draws_have_the_density(void **state) {
    (void)state;
    enum { N = 30, DRAWS = 20000, PARTS = 10 };
    static double u[N][AXES];
    static bool there[N * AXES];
    const double *point[N];
    make_mixed();
    make_points(u, point, there, N);
    struct parzen p;
    struct rng r = rng_make(10, RNG_TEST, 0, 0, 0);
    assert_true(parzen_make(&p, &space, point, there, N, false));
    for (size_t i = 0; i < AXES; i++) {
        const size_t levels = axis_levels(&space.axis[i]);
        const size_t parts = levels && levels < PARTS ? levels : PARTS;
        double seen[PARTS] = {0}, expected[PARTS] = {0}, chi = 0;
        for (int k = 0; k < DRAWS; k++)
            seen[axis_level(parzen_draw(&p, parzen_pick(&p, i, &r), i, &r), parts)]++;
        const size_t fine = levels && levels == parts ? levels : 5000;
        for (size_t k = 0; k < fine; k++) {
            /* of an axis of values the density is of a value's part: constant mass within */
            const double x = axis_middle(k, fine);
            double mass = exp(parzen_axis(&p, i, x));
            mass *= levels ? (double)levels / (double)fine : 1 / (double)fine;
            expected[axis_level(x, parts)] += mass * DRAWS;
        }
        if (levels > PARTS) continue; /* draws are not yet in the middle of their values */
        for (size_t k = 0; k < parts; k++) chi += pow(seen[k] - expected[k], 2) / expected[k];
        if (chi > 32) fail_msg("axis %zu: chi squared %g", i, chi); /* 9 degrees: 1 in 5,000 */
    }
    parzen_release(&p);
    space_release(&space);
}

/* Optuna 4.1's numbers for three points of one axis, without and with other axes: widths to the
 * farther neighbour among 0.1, 0.4, 0.9 and the prior's 0.5, at least 1 / 5. */
static void widths_are_the_documented_ones(void **state) {
    (void)state;
    make_space("{'x': {'linear': [0, 1]}}");
    static const double u[3] = {0.4, 0.1, 0.9};
    const double *point[3] = {&u[0], &u[1], &u[2]};
    const bool there[3] = {true, true, true};
    struct parzen p;
    assert_true(parzen_make(&p, &space, point, there, 3, false));
    static const double sigma[4] = {0.3, 0.3, 0.4, 1};
    for (int k = 0; k < 4; k++) {
        assert_true(fabs(p.sigma[k] - sigma[k]) < 1e-15);
        assert_true(p.weight[k] == 0.25);
    }
    parzen_release(&p);
    assert_true(parzen_make(&p, &space, point, there, 3, true));
    for (int k = 0; k < 3; k++) assert_true(fabs(p.sigma[k] - 0.2) < 1e-15); /* clipped */
    parzen_release(&p);
    /* weights of 30 points: five on a ramp from 1/30 to 1, then 25 */
    static double many[30];
    const double *points[30];
    static bool all[30];
    for (int k = 0; k < 30; k++) {
        many[k] = k / 30.0;
        points[k] = &many[k];
        all[k] = true;
    }
    assert_true(parzen_make(&p, &space, points, all, 30, false));
    assert_true(fabs(p.weight[0] / p.weight[29] - 1.0 / 30) < 1e-15);
    assert_true(fabs(p.weight[2] / p.weight[29] - (1.0 / 30 + 29.0 / 60)) < 1e-14);
    assert_true(p.weight[4] == p.weight[29] && p.weight[5] == p.weight[30]);
    parzen_release(&p);
    space_release(&space);
}

/* A function like those of trainings: a bowl in a logarithm and a number, a choice that brings in a
 * knob of its own, an interaction, and a part that fails. Its least value is 0. */
static double mixed(const json_t *c) {
    const double lr = log10(value_of(c, "lr")) + 2.5, n = value_of(c, "n") - 8;
    const char o = word_of(c, "o")[0];
    const double w = log2(value_of(c, "w")) - 7 - 0.7 * lr;
    double value = lr * lr + 0.05 * n * n + 0.3 * w * w;
    if (o == 'c') value += 1;
    if (o == 'b') value += 0.3;
    if (o != 'c') value += 4 * pow(value_of(c, "x") - 0.8, 2);
    return value_of(c, "lr") > 0.3 ? NAN : value;
}

static double best_of(const char *strategy, uint64_t seed, int trials) {
    struct game *g = game_start(strategy, seed);
    double best = INFINITY;
    struct proposal p;
    for (int i = 0; i < trials; i++) {
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        const double value = mixed(p.config);
        game_result(g, g->n - 1, value);
        if (value < best) best = value;
    }
    game_end(g);
    return best;
}

/* 20 starts of 80 trials: the mean log of the best value is lower by at least four standard errors,
 * and random needs more than three times the trials. */
static void tpe_is_better_than_random(void **state) {
    (void)state;
    static const char *const kinds[] = {"'tpe'", "{'name': 'tpe', 'multivariate': false}"};
    enum { STARTS = 20 };
    double random[STARTS], longer = 0;
    make_mixed();
    for (int s = 0; s < STARTS; s++) {
        random[s] = log(best_of("'random'", (uint64_t)s, 80));
        longer += log(best_of("'random'", (uint64_t)s, 240)) / STARTS;
    }
    for (int k = 0; k < 2; k++) {
        double sum = 0, squares = 0, mean = 0;
        for (int s = 0; s < STARTS; s++) {
            const double tpe = log(best_of(kinds[k], (uint64_t)s, 80)), less = random[s] - tpe;
            sum += less / STARTS;
            squares += less * less / STARTS;
            mean += tpe / STARTS;
        }
        const double error = sqrt((squares - sum * sum) / (STARTS - 1));
        print_message("%s: log of the best lower by %.2f +- %.2f; %.2f, random of 240: %.2f\n",
                      kinds[k], sum, error, mean, longer);
        assert_true(sum > 4 * error);
        assert_true(mean < longer);
    }
    space_release(&space);
}

/* Failed trials are bad ones: few of the later ones fail. */
static void tpe_avoids_failures(void **state) {
    (void)state;
    make_space("{'x': {'linear': [0, 1]}, 'y': {'linear': [0, 1]}}");
    int failed[2] = {0};
    for (uint64_t s = 0; s < 5; s++) {
        struct game *g = game_start("'tpe'", s);
        struct proposal p;
        for (int i = 0; i < 60; i++) {
            game_next(g, &p);
            const bool fails = value_of(p.config, "y") > 0.4; /* the value does not say */
            failed[i >= 30] += fails;
            game_result(g, g->n - 1, fails ? NAN : fabs(value_of(p.config, "x") - 0.6));
        }
        game_end(g);
    }
    assert_true(failed[1] * 2 < failed[0]);
    space_release(&space);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(densities_are_one),
        cmocka_unit_test(draws_have_the_density),
        cmocka_unit_test(widths_are_the_documented_ones),
        cmocka_unit_test(tpe_is_better_than_random),
        cmocka_unit_test(tpe_avoids_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
