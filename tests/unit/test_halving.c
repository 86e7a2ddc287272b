/* Which trial goes on to which rung: successive halving's schedule, Hyperband's brackets, failures,
 * waiting, ends, and what the strategy below sees. */
#include "space_fixture.h"

static void make_line(void) {
    make_space("{'x': {'linear': [0, 1]}, 'y': {'linear': [0, 1]}}");
}

/* Plays jobs with value f(x) + noise that falls with the share, until there are n or an end. */
static enum proposal_what play(struct game *g, size_t n, struct proposal *p) {
    enum proposal_what what = PROPOSE_TRIAL;
    while (g->n < n && (what == PROPOSE_TRIAL || what == PROPOSE_CONTINUE)) {
        what = game_next(g, p);
        if (what == PROPOSE_TRIAL || what == PROPOSE_CONTINUE)
            game_result(g, g->n - 1, p->u[0] + (1 - p->share) * 0.01 * p->u[1]);
    }
    return what;
}

/* eta 3, three rungs, nine new ones: 9 at 1/9, the best 3 at 1/3, the best of these at 1; again. */
static void the_published_schedule(void **state) {
    (void)state;
    make_line();
    struct game *g = game_start("'halving'", 1);
    struct proposal p;
    play(g, 26, &p);
    for (size_t cohort = 0; cohort < 26; cohort += 13) {
        const struct trial *t = g->trial + cohort;
        for (size_t i = 0; i < 13; i++) {
            const int rung = i < 9 ? 0 : i < 12 ? 1 : 2;
            assert_int_equal(t[i].rung, rung);
            assert_true(t[i].share == (rung == 0 ? 1 / 9.0 : rung == 1 ? 1 / 3.0 : 1));
            if (i < 9) assert_int_equal(t[i].trial, (int64_t)(cohort / 13 * 9 + i));
        }
        /* the three best of nine in order, and their best */
        for (size_t i = 9; i < 12; i++) {
            int better = 0;
            for (size_t k = 0; k < 9; k++)
                better += t[k].value < t[t[i].trial - t[0].trial].value;
            assert_int_equal(better, (int)(i - 9));
        }
        assert_true(t[12].value <= t[9].value && t[12].value <= t[10].value);
        double least = fmin(t[9].value, fmin(t[10].value, t[11].value));
        for (size_t i = 9; i < 12; i++)
            if (t[i].value == least) assert_int_equal(t[12].trial, t[i].trial);
    }
    game_end(g);
    space_release(&space);
}

/* n = ceil((s + 1) eta^s / ...): 81, 34, 15, 8, 5 new ones for five rungs of eta 3 (Li et al. 2018,
 * algorithm 1), each beginning at its rung. */
static void hyperbands_brackets(void **state) {
    (void)state;
    static const int jobs[5][5] = {
        {81, 27, 9, 3, 1}, {34, 11, 3, 1}, {15, 5, 1}, {8, 2}, {5},
    };
    make_line();
    struct game *g = game_start("{'name': 'halving', 'rungs': 5, 'hyperband': true}", 1);
    struct proposal p;
    play(g, 121 + 49 + 21 + 10 + 5 + 1, &p);
    size_t at = 0;
    for (int bracket = 0; bracket < 5; bracket++)
        for (int r = 0; r < 5 - bracket; r++)
            for (int i = 0; i < jobs[bracket][r]; i++, at++) {
                assert_int_equal(g->trial[at].rung, bracket + r);
                assert_true(fabs(g->trial[at].share * pow(3, 4 - bracket - r) - 1) < 1e-15);
            }
    assert_int_equal(at, g->n - 1);
    assert_int_equal(g->trial[at].rung, 0); /* and from the beginning */
    game_end(g);
    space_release(&space);
}

/* A rung begins when the one before has ended, and is as it would be without jobs at once. */
static void rungs_are_waited_for(void **state) {
    (void)state;
    make_line();
    struct game *g = game_start("{'name': 'halving', 'eta': 2}", 4); /* 4, 2, 1 */
    struct proposal p;
    for (int i = 0; i < 4; i++) assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
    assert_int_equal(game_next(g, &p), PROPOSE_WAIT);
    for (size_t i = 0; i < 3; i++) game_result(g, i, (double)i);
    assert_int_equal(game_next(g, &p), PROPOSE_WAIT);
    game_result(g, 3, 0.5);
    assert_int_equal(game_next(g, &p), PROPOSE_CONTINUE);
    assert_true(p.trial == 0 && p.rung == 1 && p.share == 0.5);
    assert_string_equal(p.from, "halving");
    assert_memory_equal(p.u, g->trial[0].u, 2 * sizeof *p.u);
    assert_int_equal(game_next(g, &p), PROPOSE_CONTINUE);
    assert_true(p.trial == 3);
    assert_int_equal(game_next(g, &p), PROPOSE_WAIT);
    game_result(g, 4, 7);
    game_result(g, 5, 8);
    assert_int_equal(game_next(g, &p), PROPOSE_CONTINUE);
    assert_true(p.trial == 0 && p.share == 1);
    assert_int_equal(game_next(g, &p), PROPOSE_TRIAL); /* the next bracket need not wait */
    assert_true(p.trial == 4 && p.rung == 0);
    game_end(g);
    space_release(&space);
}

/* Failed ones do not go on: fewer do, or none, and the next bracket begins. */
static void failures_do_not_go_on(void **state) {
    (void)state;
    make_line();
    struct game *g = game_start("{'name': 'halving', 'eta': 2, 'cohort': 6}", 4); /* 6, 3, 1 */
    struct proposal p;
    for (int i = 0; i < 6; i++) game_next(g, &p);
    for (size_t i = 0; i < 6; i++) game_result(g, i, i == 1 || i == 4 ? (double)i : NAN);
    assert_int_equal(game_next(g, &p), PROPOSE_CONTINUE);
    assert_true(p.trial == 1);
    assert_int_equal(game_next(g, &p), PROPOSE_CONTINUE);
    assert_true(p.trial == 4);
    game_result(g, 6, NAN);
    assert_int_equal(game_next(g, &p), PROPOSE_WAIT);
    game_result(g, 7, NAN);
    assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
    assert_true(p.trial == 6 && p.rung == 0);
    for (int i = 0; i < 5; i++) game_next(g, &p);
    for (size_t i = 8; i < 14; i++) game_result(g, i, NAN);
    assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
    assert_true(p.trial == 12);
    game_end(g);
    space_release(&space);
}

/* The last bracket is as large as trials are left, and ends with its rungs. */
static void the_last_bracket(void **state) {
    (void)state;
    make_line();
    struct game *g = game_start("'halving'", 2);
    struct proposal p;
    g->ask.trials = 13;
    assert_int_equal(play(g, 1000, &p), PROPOSE_END);
    assert_int_equal(g->n, 13 + 4 + 1 + 1); /* 9, 3, 1; 4, 1, 1 */
    assert_int_equal(strategy_trials(&(struct history){g->trial, g->n}), 13);
    game_end(g);
    space_release(&space);
    make_space("{'x': {'int': [1, 5]}}"); /* a strategy below that has no more */
    g = game_start("{'name': 'halving', 'eta': 2, 'over': 'grid'}", 2);
    assert_int_equal(play(g, 1000, &p), PROPOSE_END);
    assert_int_equal(g->n, 4 + 2 + 1 + 1 + 1 + 1); /* 4, 2, 1; 1, 1, 1 */
    assert_string_equal(strategy_find("halving")->name, "halving");
    game_end(g);
    space_release(&space);
}

/* Other strategies see one result a trial, and what they make of it leads to the optimum. */
static void over_other_strategies(void **state) {
    (void)state;
    static const char *const over[] = {"tpe", "cmaes", "local"};
    make_line();
    for (int k = 0; k < 3; k++) {
        char text[80];
        double early = 0, late = 0;
        for (uint64_t seed = 0; seed < 5; seed++) {
            snprintf(text, sizeof text, "{'name': 'halving', 'over': '%s'}", over[k]);
            struct game *g = game_start(text, seed);
            struct proposal p;
            play(g, 13 * 12, &p);
            int64_t trial = 0;
            for (size_t i = 0; i < g->n; i++) {
                if (g->trial[i].trial != trial) continue;
                if (trial < 20) early += g->trial[i].u[0] / 100;
                if (trial >= 88) late += g->trial[i].u[0] / 100;
                trial++;
            }
            assert_int_equal(trial, 108);
            game_end(g);
        }
        if (!(late < 0.6 * early)) fail_msg("%s: %g, %g", over[k], early, late);
    }
    space_release(&space);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_schedule), cmocka_unit_test(hyperbands_brackets),
        cmocka_unit_test(rungs_are_waited_for),   cmocka_unit_test(failures_do_not_go_on),
        cmocka_unit_test(the_last_bracket),       cmocka_unit_test(over_other_strategies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
