/* Strategies that need no results, and local: distributions, published points, orders, options. */
#include "space_fixture.h"

#include "canon.h"
#include "sobol.h"

#include <xxhash.h>

/* So many are still to come, of any number that there may be. */
static void left_is(struct game *g, int64_t expected) {
    for (int64_t most = 0; most < 12; most++) {
        int64_t n;
        g->ask.history = (struct history){g->trial, g->n};
        ok(strategy_left(&g->ask, most, &n, &e));
        assert_int_equal(n, expected < most ? expected : most);
    }
}

/* The largest distance between the distribution of n values, sorted here, and the uniform one. */
static int rising(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double kolmogorov(double *x, size_t n) {
    double worst = 0;
    qsort(x, n, sizeof *x, rising);
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, fmax(x[i] - (double)i / (double)n, (double)(i + 1) / (double)n - x[i]));
    return worst * sqrt((double)n);
}

static void random_is_uniform_in_each_axis(void **state) {
    (void)state;
    enum { N = 4000 };
    static double lr[N], decay[N], share[N];
    double layers[7] = {0}, width[3] = {0}, pick[3] = {0}, under = 0;
    make_space("{'lr': {'log': [1e-5, 1e-1]}, 'decay': {'linear': [-1, 3]}, 'layers': {'int': [2, "
               "8]}, 'width': {'multiple_of': 100, 'range': [250, 500]}, 'pick': {'choice': ['a', "
               "'b', 3]}, 'share': {'share_of': 'lr', 'range': [0.5, 2]}, 'under': {'int': [0, 1], "
               "'when': {'pick': 'a'}}}");
    struct game *g = game_start("'random'", 7);
    struct proposal p;
    for (int i = 0; i < N; i++) {
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        assert_string_equal(p.from, "random");
        assert_true(p.trial == i && p.share == 1);
        const json_t *c = p.config;
        lr[i] = log(value_of(c, "lr") / 1e-5) / log(1e4);
        decay[i] = (value_of(c, "decay") + 1) / 4;
        share[i] = (value_of(c, "share") / value_of(c, "lr") - 0.5) / 1.5;
        layers[(int)value_of(c, "layers") - 2]++;
        width[(int)value_of(c, "width") / 100 - 3]++;
        pick[json_is_integer(json_object_get(c, "pick")) ? 2 : word_of(c, "pick")[0] - 'a']++;
        assert_int_equal(json_object_get(c, "under") != NULL, !strcmp(word_of(c, "pick"), "a"));
        under += json_object_get(c, "under") != NULL;
    }
    /* 1.95 is exceeded once in 1,000 */
    assert_true(kolmogorov(lr, N) < 1.95);
    assert_true(kolmogorov(decay, N) < 1.95);
    assert_true(kolmogorov(share, N) < 1.95);
    double chi = 0;
    for (int i = 0; i < 7; i++) chi += pow(layers[i] - N / 7.0, 2) / (N / 7.0);
    assert_true(chi < 22.5); /* 6 degrees: 1 in 1,000 */
    chi = 0;
    for (int i = 0; i < 3; i++) chi += pow(width[i] - N / 3.0, 2) / (N / 3.0);
    assert_true(chi < 13.8);
    chi = 0;
    for (int i = 0; i < 3; i++) chi += pow(pick[i] - N / 3.0, 2) / (N / 3.0);
    assert_true(chi < 13.8);
    assert_true(under == pick[0]);
    /* axes are independent: correlation of ranks is small */
    double product = 0;
    for (int i = 0; i < N; i++) product += (g->trial[i].u[0] - 0.5) * (g->trial[i].u[1] - 0.5);
    assert_true(fabs(product / N * 12) < 4 / sqrt(N));
    game_end(g);
    space_release(&space);
}

/* What is known is drawn again, so that a small space is seen whole. */
static void random_sees_small_spaces_whole(void **state) {
    (void)state;
    make_space("{'a': {'int': [1, 3]}, 'b': {'choice': ['x', 'y']}}");
    struct game *g = game_start("{'name': 'random'}", 1);
    struct proposal p;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        for (int k = 0; k < i; k++) assert_false(json_equal(p.config, g->config[k]));
    }
    g->ask.trials = 6;
    assert_int_equal(game_next(g, &p), PROPOSE_END);
    game_end(g);
    space_release(&space);
}

static void grid_ends(void **state) {
    (void)state;
    make_space("{'a': {'linear': [0, 1]}, 'b': {'choice': ['x', 'y']}}");
    struct game *g = game_start("{'name': 'grid', 'points': 3}", 1);
    struct proposal p;
    static const char *const all[] = {
        "{\"a\":0,\"b\":\"x\"}",   "{\"a\":0,\"b\":\"y\"}", "{\"a\":0.5,\"b\":\"x\"}",
        "{\"a\":0.5,\"b\":\"y\"}", "{\"a\":1,\"b\":\"x\"}", "{\"a\":1,\"b\":\"y\"}",
    };
    for (int i = 0; i < 6; i++) {
        left_is(g, 6 - i);
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        char *text = canon_text(p.config);
        assert_string_equal(text, all[i]);
        free(text);
    }
    assert_int_equal(game_next(g, &p), PROPOSE_END);
    game_end(g);
    space_release(&space);
}

static void sweep_turns_one_knob(void **state) {
    (void)state;
    make_space("{'a': {'linear': [0, 1]}, 'b': {'choice': ['x', 'y']}, 'c': {'int': [1, 100]}, "
               "'d': "
               "{'int': [1, 2], 'when': {'b': 'y'}}, 'e': {'share_of': 'c', 'choice': [0.1, 0.11, "
               "0.5]}}");
    struct game *g = game_start("{'name': 'sweep', 'points': 3}", 1);
    json_t *base = parse("{'a': 0.5, 'b': 'x', 'c': 10, 'e': 1}");
    ok(space_nearest(&space, base, g->start, &e));
    struct proposal p;
    static const char *const all[] = {
        "{\"a\":0.5,\"b\":\"x\",\"c\":10,\"e\":1}",
        "{\"a\":0,\"b\":\"x\",\"c\":10,\"e\":1}",
        "{\"a\":1,\"b\":\"x\",\"c\":10,\"e\":1}",
        "{\"a\":0.5,\"b\":\"y\",\"c\":10,\"d\":2,\"e\":1}",
        "{\"a\":0.5,\"b\":\"x\",\"c\":1,\"e\":1}",
        "{\"a\":0.5,\"b\":\"x\",\"c\":51,\"e\":5}",
        "{\"a\":0.5,\"b\":\"x\",\"c\":100,\"e\":10}",
        "{\"a\":0.5,\"b\":\"x\",\"c\":10,\"e\":5}",
    };
    for (int i = 0; i < 8; i++) {
        left_is(g, 8 - i);
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        char *text = canon_text(p.config);
        assert_string_equal(text, all[i]);
        free(text);
    }
    left_is(g, 0);
    assert_int_equal(game_next(g, &p), PROPOSE_END);
    json_decref(base);
    game_end(g);
    space_release(&space);
}

/* scipy.stats.qmc.Sobol(d=64, scramble=False), which has Joe and Kuo's numbers, too. */
static void sobols_points_are_the_published_ones(void **state) {
    (void)state;
    static const double first[8][5] = {
        {0, 0, 0, 0, 0},
        {0.5, 0.5, 0.5, 0.5, 0.5},
        {0.75, 0.25, 0.25, 0.25, 0.75},
        {0.25, 0.75, 0.75, 0.75, 0.25},
        {0.375, 0.375, 0.625, 0.875, 0.375},
        {0.875, 0.875, 0.125, 0.375, 0.875},
        {0.625, 0.125, 0.875, 0.625, 0.625},
        {0.125, 0.625, 0.375, 0.125, 0.125},
    };
    static const struct {
        uint32_t index, dimension;
        double x;
    } later[] = {
        {1000, 0, 0.2197265625},  {1000, 1, 0.0966796875},  {1000, 7, 0.8994140625},
        {1000, 40, 0.9130859375}, {1000, 63, 0.4462890625}, {77, 63, 0.8828125},
        {513, 33, 0.8837890625},
    };
    for (uint32_t i = 0; i < 8; i++)
        for (size_t d = 0; d < 5; d++) assert_true(sobol_bits(i, d) * 0x1p-32 == first[i][d]);
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        assert_true(sobol_bits(later[i].index, later[i].dimension) * 0x1p-32 == later[i].x);
}

/* Squared L2 star discrepancy (Warnock 1972). */
static double discrepancy(const double *x, size_t n, size_t d) {
    double one = 0, two = 0;
    for (size_t i = 0; i < n; i++) {
        double product = 1;
        for (size_t k = 0; k < d; k++) product *= (1 - x[i * d + k] * x[i * d + k]) / 2;
        one += product;
        for (size_t j = 0; j < n; j++) {
            product = 1;
            for (size_t k = 0; k < d; k++) product *= 1 - fmax(x[i * d + k], x[j * d + k]);
            two += product;
        }
    }
    return pow(3, -(double)d) - 2 * one / (double)n + two / (double)(n * n);
}

static void scrambled_sobol_is_even_and_uniform(void **state) {
    (void)state;
    enum { N = 256, D = 6 };
    static double x[N * D];
    double sum = 0, values[400];
    for (uint64_t seed = 0; seed < 20; seed++) {
        for (size_t i = 0; i < N; i++)
            for (size_t d = 0; d < D; d++) x[i * D + d] = sobol_scrambled((uint32_t)i, d, seed);
        sum += discrepancy(x, N, D);
        /* one point in each part of 1/256, in each dimension, whatever the seed */
        for (size_t d = 0; d < D; d++) {
            bool seen[N] = {false};
            for (size_t i = 0; i < N; i++) seen[(int)(x[i * D + d] * N)] = true;
            for (size_t i = 0; i < N; i++) assert_true(seen[i]);
        }
    }
    const double of_random = (pow(2, -D) - pow(3, -D)) / N;
    if (!(sum / 20 < 0.35 * of_random)) fail_msg("%g of %g", sum / 20, of_random);
    for (int d = 0; d < 64; d += 21) { /* a point of its own is uniform over the seeds */
        for (uint64_t seed = 0; seed < 400; seed++)
            values[seed] = sobol_scrambled(3, (size_t)d, seed + 1000);
        assert_true(kolmogorov(values, 400) < 1.95);
    }
}

/* sobol as a strategy fills small ranges evenly. */
static void sobol_proposes(void **state) {
    (void)state;
    make_space("{'a': {'int': [0, 7]}, 'b': {'choice': ['x', 'y']}}");
    struct game *g = game_start("'sobol'", 3);
    struct proposal p;
    int seen[8] = {0};
    for (int i = 0; i < 32; i++) {
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        seen[(int)value_of(p.config, "a")]++;
    }
    for (int i = 0; i < 8; i++) assert_int_equal(seen[i], 4);
    game_end(g);
    space_release(&space);
}

/* Step sizes of the predecessors, from a base in the middle. */
static void local_changes_one_or_two_knobs(void **state) {
    (void)state;
    enum { N = 3000 };
    make_space("{'lr': {'log': [1e-8, 1]}, 'decay': {'linear': [0, 1]}, 'steps': {'int': [1, "
               "1000]}, 'width': {'multiple_of': 64, 'range': [64, 64000]}, 'pick': {'choice': "
               "['a', 'b', 'c', 'd']}, 'hidden': {'share_of': 'width', 'range': [2, 4]}}");
    static const char *const keys[] = {"lr", "decay", "steps", "width", "pick", "hidden"};
    json_t *base = parse("{'lr': 1e-4, 'decay': 0.5, 'steps': 100, 'width': 12800, 'pick': 'b', "
                         "'hidden': 38400}");
    double start[6];
    ok(space_nearest(&space, base, start, &e));
    struct proposal p;
    int changes[3] = {0}, knob[6] = {0}, n_lr = 0, picks[4] = {0};
    double lr = 0, lr2 = 0, decay2 = 0, least = 1e9, most = 0;
    for (uint64_t i = 0; i < N; i++) { /* one change each: what is known would not come again */
        int changed = 0;
        struct game *g = game_start("'local'", i);
        memcpy(g->start, start, sizeof start);
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        assert_true(json_equal(p.config, base)); /* the first is the base */
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        for (int k = 0; k < 6; k++) {
            bool other = !json_equal(json_object_get(p.config, keys[k]),
                                     json_object_get(base, keys[k]));
            if (k == 5) other = fabs(p.u[5] - start[5]) > 1e-4; /* its share, not its value */
            changed += other;
            knob[k] += other;
        }
        assert_true(changed == 1 || changed == 2);
        changes[changed]++;
        const double by = log10(value_of(p.config, "lr")) + 4;
        if (by != 0) {
            n_lr++;
            lr += by;
            lr2 += by * by;
        }
        decay2 += pow(value_of(p.config, "decay") - 0.5, 2);
        least = fmin(least, value_of(p.config, "steps"));
        most = fmax(most, value_of(p.config, "steps"));
        picks[word_of(p.config, "pick")[0] - 'a']++;
        assert_true(fabs(value_of(p.config, "width") - 12800) <= 2560);
        assert_true(fabs(value_of(p.config, "hidden") / value_of(p.config, "width") - 3) <= 1.01);
        game_end(g);
    }
    assert_true(fabs(changes[2] / (double)N - 0.25) < 4 * sqrt(0.25 * 0.75 / N));
    for (int k = 0; k < 6; k++) /* each knob in (1 + 1/4) / 6 */
        assert_true(fabs(knob[k] / (double)N - 1.25 / 6) < 4 * sqrt(0.21 * 0.79 / N) + 0.003);
    assert_true(fabs(lr / n_lr) < 4 * 1.2 / sqrt(n_lr)); /* 15 % of 8 decades: 1.2 */
    assert_true(fabs(sqrt(lr2 / n_lr) / 1.2 - 1) < 0.1);
    assert_true(fabs(sqrt(decay2 / knob[1]) / 0.15 - 1) < 0.1);
    assert_true(least == 80 && most == 120); /* 20 % */
    assert_true(picks[0] > 100 && picks[2] > 100 && picks[3] > 100);
    json_decref(base);
    space_release(&space);
}

/* Small whole numbers move by one at least. */
static void local_moves_small_numbers(void **state) {
    (void)state;
    make_space("{'n': {'int': [1, 4]}, 'm': {'int': [0, 1]}}");
    struct game *g = game_start("{'name': 'local', 'second': 0}", 2);
    json_t *base = parse("{'n': 2, 'm': 0}");
    ok(space_nearest(&space, base, g->start, &e));
    struct proposal p;
    int n = 0;
    game_next(g, &p);
    for (int i = 0; i < 3; i++) { /* three neighbours, each once, as long as nothing is known */
        game_next(g, &p);
        n += (int)value_of(p.config, "n") * 10 + (int)value_of(p.config, "m");
    }
    assert_int_equal(n, 10 + 30 + 21);
    json_decref(base);
    game_end(g);
    space_release(&space);
}

/* Keep what is better, go back else; the gate's word counts more than the value. */
static void local_keeps_and_reverts(void **state) {
    (void)state;
    make_space("{'x': {'linear': [0, 1]}, 'y': {'linear': [0, 1]}}");
    struct game *g = game_start("{'name': 'local', 'second': 0, 'sigma': 0.01}", 5);
    struct proposal p;
    for (int i = 0; i < 5; i++) game_next(g, &p);
    double far[2] = {0.9, 0.2};
    memcpy((void *)(uintptr_t)g->trial[2].u, far, sizeof far);
    game_result(g, 0, 2);
    game_result(g, 1, NAN);
    game_result(g, 2, 1);
    game_result(g, 3, 3);
    g->ask.history = (struct history){g->trial, g->n};
    assert_ptr_equal(strategy_incumbent(&g->ask.history), &g->trial[2]);
    for (int i = 0; i < 20; i++) {
        game_next(g, &p);
        assert_true(fabs(p.u[0] - 0.9) < 0.05 && fabs(p.u[1] - 0.2) < 0.05);
        assert_int_equal((p.u[0] != 0.9) + (p.u[1] != 0.2), 1);
    }
    g->trial[2].decision = DECISION_discard; /* better by chance, as the gate found */
    g->ask.history = (struct history){g->trial, g->n};
    assert_ptr_equal(strategy_incumbent(&g->ask.history), &g->trial[0]);
    g->trial[3].decision = DECISION_keep;
    assert_ptr_equal(strategy_incumbent(&g->ask.history), &g->trial[3]);
    game_end(g);
    space_release(&space);
}

/* The same from the same history, whatever was asked before; recorded on x86-64. */
static void proposals_are_a_function(void **state) {
    (void)state;
    static const char *const names[] = {"random", "sobol", "local", "tpe", "cmaes", "halving",
                                        "{'name': 'tpe', 'multivariate': false}"};
    static const uint64_t recorded[] = {
        0x91d83f09a3272db5u, 0xc75d050dc062b4aau, 0xa075bd8427565c11u, 0x5c88c1d23402849au,
        0xc774bd5293340c7au, 0xe169bed23692a8dcu, 0xba47b928a3a3cff4u,
    };
    make_space("{'lr': {'log': [1e-5, 1e-1]}, 'n': {'int': [1, 9]}, 'o': {'choice': ['a', 'b', "
               "'c']}, 'b': {'linear': [0.8, 1], 'when': {'o': ['a', 'b']}}}");
    bool changed = false;
    for (int k = 0; k < 7; k++) {
        char quoted[80], *all = NULL;
        size_t size;
        FILE *out = open_memstream(&all, &size);
        snprintf(quoted, sizeof quoted, names[k][0] == '{' ? "%s" : "'%s'", names[k]);
        struct game *g = game_start(quoted, 42);
        for (int i = 0; i < 60; i++) {
            struct proposal p, q;
            const enum proposal_what what = game_next(g, &p);
            assert_true(what == PROPOSE_TRIAL || what == PROPOSE_CONTINUE);
            struct strategy_ask again = g->ask;
            again.history.n = g->n - 1;
            ok(strategy_propose(&again, &q, &e));
            assert_true(q.what == p.what && q.trial == p.trial);
            assert_memory_equal(q.u, p.u, space.n * sizeof *q.u);
            char *text = q.config ? canon_text(q.config) : strdup("-");
            fprintf(out, "%s\n", text);
            free(text);
            json_decref(q.config);
            const double x = p.u[0] - 0.3, y = p.u[1] - 0.6;
            game_result(g, g->n - 1, i % 11 == 5 ? NAN : x * x + y * y + 0.1 * (p.u[2] > 0.4));
        }
        fclose(out);
        const uint64_t hash = XXH64(all, size, 0);
        if (hash != recorded[k])
            print_error("%s: the proposals are now 0x%016llx\n", names[k],
                        (unsigned long long)hash);
        changed = changed || hash != recorded[k];
        free(all);
        game_end(g);
    }
    space_release(&space);
    assert_false(changed);
}

/* Of a search by hand nothing is proposed, whatever the history is. */
static void hand_proposes_nothing(void **state) {
    (void)state;
    struct proposal p;
    make_space("{'x': {'linear': [0, 1]}}");
    struct game *g = game_start("'hand'", 1);
    assert_int_equal(game_next(g, &p), PROPOSE_END);
    double *u = calloc(1, sizeof *u);
    g->trial[g->n++] = (struct trial){.share = 1, .u = u, .status = TRIAL_ok, .value = 1};
    assert_int_equal(game_next(g, &p), PROPOSE_END);
    game_end(g);
    space_release(&space);
}

static void refused(const char *text, const char *sentence) {
    struct strategy_choice c;
    json_t *j = parse(text);
    assert_int_equal(strategy_read(&c, j, &space, "s.json: \"strategy\"", &e), ERR_USAGE);
    assert_string_equal(e.msg, sentence);
    assert_null(c.kind);
    json_decref(j);
}

static void options_are_checked(void **state) {
    (void)state;
    make_space("{'x': {'int': [1, 400000000]}, 'y': {'share_of': 'x', 'choice': [1, 2]}}");
    refused("3", "s.json: \"strategy\" is 3, expected the name of a strategy, or an object with "
                 "\"name\" and options");
    refused("{'startup': 3}", "s.json: \"strategy\": \"name\" is missing, expected the name of a "
                              "strategy");
    refused("'tep'", "s.json: \"strategy\": unknown strategy \"tep\"; did you mean \"tpe\"?");
    refused("'evolution'",
            "s.json: \"strategy\": unknown strategy \"evolution\", expected one of: random grid "
            "sweep sobol local tpe cmaes halving hand command");
    refused("{'name': 'tpe', 'start': 3}",
            "s.json: \"strategy\": unknown key \"start\"; did you mean \"startup\"?");
    refused("{'name': 'random', 'startup': 3}",
            "s.json: \"strategy\": unknown key \"startup\", expected an option of random");
    refused("{'name': 'tpe', 'startup': 2.5}",
            "s.json: \"strategy\": \"startup\" is 2.5, expected a whole number from 1 to 1000000");
    refused("{'name': 'tpe', 'multivariate': 1}",
            "s.json: \"strategy\": \"multivariate\" is 1, expected true or false");
    refused("{'name': 'cmaes', 'population': 2}",
            "s.json: \"strategy\": \"population\" is 2, expected 0 or at least 4");
    refused("{'name': 'tpe', 'over': 'random'}",
            "s.json: \"strategy\": unknown key \"over\", expected an option of tpe");
    refused("{'name': 'halving', 'over': 'tep'}",
            "s.json: \"strategy\": \"over\": unknown strategy \"tep\"; did you mean \"tpe\"?");
    refused("{'name': 'halving', 'over': {'name': 'halving', 'over': 'tpe'}}",
            "s.json: \"strategy\": \"over\": \"halving\" goes on with trials, expected a strategy "
            "of new ones alone");
    refused("'grid'", "s.json: \"strategy\": the grid has more combinations than can be counted");
    space_release(&space);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_is_uniform_in_each_axis),
        cmocka_unit_test(random_sees_small_spaces_whole),
        cmocka_unit_test(grid_ends),
        cmocka_unit_test(sweep_turns_one_knob),
        cmocka_unit_test(sobols_points_are_the_published_ones),
        cmocka_unit_test(scrambled_sobol_is_even_and_uniform),
        cmocka_unit_test(sobol_proposes),
        cmocka_unit_test(local_changes_one_or_two_knobs),
        cmocka_unit_test(local_moves_small_numbers),
        cmocka_unit_test(local_keeps_and_reverts),
        cmocka_unit_test(proposals_are_a_function),
        cmocka_unit_test(hand_proposes_nothing),
        cmocka_unit_test(options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
