/* The strategy `command`, with a program that is a function here: what it is told, which answers
 * are taken, what is said of those that are not, and what the strategy below makes of it. */
#include "space_fixture.h"

#include "canon.h"

/* A program: its answers in turn, the last one for ever. */
struct program {
    const char *const *answers; /* ' for "; NULL: fails with the code and its sentence */
    size_t n, asked;
    int code;
    char *input;    /* of the last question */
    char argv[200]; /* as JSON */
    double seconds;
};

static int run(void *owner, const json_t *argv, double seconds, const char *input, size_t n,
               char **output, struct err *err) {
    struct program *p = owner;
    const char *answer = p->answers[p->asked < p->n ? p->asked : p->n - 1];
    char *text = canon_text(argv);
    snprintf(p->argv, sizeof p->argv, "%s", text);
    free(text);
    free(p->input);
    p->input = strndup(input, n);
    p->seconds = seconds;
    p->asked++;
    *output = NULL;
    if (!answer) return err_set(err, p->code, "sh x: it ended with status 3");
    *output = strdup(answer);
    for (char *c = *output; *c; c++)
        if (*c == '\'') *c = '"';
    return 0;
}

static struct program program;
static struct strategy_runner runner = {.run = run, .owner = &program};

static struct game *start(const char *strategy, uint64_t seed) {
    struct game *g = game_start(strategy, seed);
    free(program.input);
    program = (struct program){0};
    runner.about = NULL;
    runner.higher = false;
    g->ask.runner = &runner;
    return g;
}

static void answers(const char *const *all, size_t n) {
    program.answers = all;
    program.n = n;
    program.asked = 0;
}
#define ANSWERS(...)                                                                               \
    answers((const char *const[]){__VA_ARGS__},                                                    \
            sizeof(const char *const[]){__VA_ARGS__} / sizeof(const char *))

static void end(struct game *g) {
    game_end(g);
    free(program.input);
    program.input = NULL;
    space_release(&space);
}

/* Line k of the last question. */
static const char *line(int k) {
    static char text[2000];
    const char *at = program.input;
    for (; k > 0; k--) at = strchr(at, '\n') + 1;
    snprintf(text, sizeof text, "%.*s", (int)strcspn(at, "\n"), at);
    return text;
}

static json_t *parsed(int k) {
    json_t *j = json_loads(line(k), 0, NULL);
    assert_non_null(j);
    return j;
}

#define SPACE "{'lr': {'log': [1e-4, 1e-2]}, 'n': {'int': [2, 8]}}"

static void it_is_told_space_and_history(void **state) {
    (void)state;
    make_space(SPACE);
    struct game *g = start("{'name': 'command', 'run': 'sh propose.sh  x', 'timeout': 7}", 1);
    struct proposal p;
    json_t *about = parse("{'metric': 'val_bpb', 'better': 'higher'}");
    runner.about = about;
    ANSWERS("{'n': 4, 'lr': 0.001}\n", "\n {'lr': 0.00123456789,\n'n': 5.0}\n",
            "{'lr': 0.01, 'n': 2}");
    assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
    assert_string_equal(program.argv, "[\"sh\",\"propose.sh\",\"x\"]");
    assert_true(program.seconds == 7);
    assert_string_equal(p.from, "command");
    assert_null(p.refused);
    char *text = canon_text(p.config);
    assert_string_equal(text, "{\"lr\":0.001,\"n\":4}");
    free(text);
    assert_true(fabs(p.u[0] - 0.5) < 1e-12 && p.u[1] == 2.5 / 7);
    assert_string_equal(line(0), "{\"event\":\"search\",\"metric\":\"val_bpb\","
                                 "\"better\":\"higher\",\"space\":{\"lr\":{\"log\":[0.0001,"
                                 "0.01]},\"n\":{\"int\":[2,8]}},\"trial\":0}");
    json_t *suggested = parsed(1);
    assert_string_equal(word_of(suggested, "event"), "suggestion");
    assert_string_equal(word_of(suggested, "from"), "random");
    json_decref(suggested);
    assert_string_equal(line(2), "");

    /* a number as precise as the space has it; results as measured */
    game_result(g, 0, -1.5);
    g->trial[0].decision = DECISION_keep;
    runner.higher = true;
    assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
    text = canon_text(p.config);
    assert_string_equal(text, "{\"lr\":0.00123457,\"n\":5}");
    free(text);
    assert_string_equal(line(1), "{\"event\":\"trial\",\"trial\":0,\"rung\":0,\"share\":1.0,"
                                 "\"config\":{\"lr\":0.001,\"n\":4},\"status\":\"ok\","
                                 "\"value\":1.5,\"decision\":\"keep\"}");
    game_next(g, &p); /* trial 1 has not ended */
    assert_string_equal(line(2),
                        "{\"event\":\"trial\",\"trial\":1,\"rung\":0,\"share\":1.0,\"config\":{"
                        "\"lr\":0.00123457,\"n\":5},\"status\":\"pending\",\"value\":null,"
                        "\"decision\":null}");
    json_decref(about);
    end(g);
}

static void refused_is(const struct proposal *p, size_t i, const char *why, const char *answer) {
    const json_t *was = json_array_get(p->refused, i);
    assert_string_equal(word_of(was, "error"), why);
    if (answer)
        assert_string_equal(word_of(was, "answer"), answer);
    else
        assert_null(json_object_get(was, "answer"));
}

static void bad_answers_are_told_back(void **state) {
    (void)state;
    make_space(SPACE);
    struct game *g = start("{'name': 'command', 'run': ['sh', 'x'], 'tries': 5}", 1);
    struct proposal p;
    ANSWERS("{'lr': 0.001, 'n': 4}");
    game_next(g, &p);
    ANSWERS("lr = 3", "{'lr': 0.001, 'n': 4}", "{'lr': 0.1, 'n': 4}", " \n",
            "{'lr': 0.002, 'n': 4}");
    assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
    assert_int_equal(program.asked, 5);
    assert_string_equal(p.from, "command");
    assert_true(value_of(p.config, "lr") == 0.002);
    assert_int_equal(json_array_size(p.refused), 4);
    refused_is(&p, 0, "sh x: its answer, line 1, column 2: not valid JSON: '[' or '{' expected "
                      "near 'lr'",
               "lr = 3");
    refused_is(&p, 1, "sh x: its answer is the configuration of trial 0, expected a new one",
               "{\"lr\": 0.001, \"n\": 4}");
    refused_is(&p, 2, "sh x: its answer: \"lr\" is 0.1, expected a number from 0.0001 to 0.01",
               "{\"lr\": 0.1, \"n\": 4}");
    refused_is(&p, 3, "sh x: it printed nothing, expected a JSON object with a configuration",
               " \n");
    assert_string_equal(line(3), "{\"event\":\"refused\",\"error\":\"sh x: its answer, line 1, "
                                 "column 2: not valid JSON: '[' or '{' expected near "
                                 "'lr'\",\"answer\":\"lr = 3\"}");
    json_t *last = parsed(6);
    assert_string_equal(word_of(last, "answer"), " \n");
    json_decref(last);
    assert_string_equal(line(7), "");
    json_decref(p.refused);
    end(g);
}

/* After so many tries the proposal is that of the strategy below, and says so. */
static void the_strategy_below_steps_in(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"{'lr': 0.001, 'm': 3, 'n': 2}", "sh x: its answer: \"m\" is no axis of the search"},
        {"{'lr': 0.001}",
         "sh x: its answer: \"n\" is missing, expected a whole number from 2 to 8"},
        {"{'lr': 0.001, 'n': 2.5}",
         "sh x: its answer: \"n\" is 2.5, expected a whole number from 2 to 8"},
        {"[1]", "sh x: its answer is an array, expected an object with a configuration"},
        {"{'lr': 0.001, 'lr': 0.002, 'n': 2}", NULL},
        {"{'lr': 0.001, 'n': 2} {'lr': 0.001, 'n': 3}", NULL},
        {"\xff\xfe", NULL},
        {NULL, "sh x: it ended with status 3"},
    };
    make_space(SPACE);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct game *g =
            start("{'name': 'command', 'run': 'sh x', 'tries': 2, 'over': 'sobol'}", 9);
        struct game *alone = game_start("'sobol'", 9);
        struct proposal p, q;
        program.code = ERR_IO;
        ANSWERS(bad[i][0]);
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        assert_int_equal(game_next(alone, &q), PROPOSE_TRIAL);
        assert_int_equal(program.asked, 2);
        assert_string_equal(p.from, "sobol");
        assert_true(json_equal(p.config, q.config));
        assert_memory_equal(p.u, q.u, 2 * sizeof *p.u);
        assert_int_equal(json_array_size(p.refused), 2);
        if (bad[i][1]) {
            char *answer = bad[i][0] ? strdup(bad[i][0]) : NULL;
            for (char *c = answer; c && *c; c++)
                if (*c == '\'') *c = '"';
            refused_is(&p, 1, bad[i][1], answer);
            free(answer);
        }
        char *text = canon_text(p.refused); /* the ledger's line can be written */
        assert_non_null(text);
        free(text);
        json_decref(p.refused);
        game_end(alone);
        game_end(g);
    }
    free(program.input);
    program.input = NULL;
    space_release(&space);
}

/* What is no answer: the search ends, no memory, nobody who starts programs. */
static void ends_are_passed_on(void **state) {
    (void)state;
    make_space(SPACE);
    struct game *g = start("{'name': 'command', 'run': 'sh x'}", 1);
    struct proposal p;
    ANSWERS(NULL);
    static const int codes[] = {ERR_STOP, ERR_NOMEM};
    for (int i = 0; i < 2; i++) {
        program.code = codes[i];
        program.asked = 0;
        assert_int_equal(strategy_propose(&g->ask, &p, &e), codes[i]);
        assert_string_equal(e.msg, "sh x: it ended with status 3");
        assert_int_equal(program.asked, 1);
        assert_true(!p.config && !p.refused);
    }
    g->ask.runner = NULL;
    assert_int_equal(strategy_propose(&g->ask, &p, &e), ERR_USAGE);
    assert_string_equal(e.msg, "strategy command: no program can be started here");
    g->ask.runner = &runner;
    g->ask.trials = 1;
    ANSWERS("{'lr': 0.001, 'n': 4}");
    assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
    assert_int_equal(game_next(g, &p), PROPOSE_END);
    assert_int_equal(program.asked, 1);
    end(g);
}

/* At a share: whose turn it is, and what the others are. */
static void a_share_of_the_proposals(void **state) {
    (void)state;
    make_space(SPACE);
    struct game *g = start("{'name': 'command', 'run': 'sh x', 'share': 0.3, 'over': 'random'}", 5);
    struct proposal p;
    char turns[51] = "";
    for (int i = 0; i < 50; i++) {
        char text[80];
        snprintf(text, sizeof text, "{'lr': %.6g, 'n': 3}", 0.001 + 0.0001 * i);
        ANSWERS(text);
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        turns[i] = !strcmp(p.from, "command") ? 'c' : '.';
        assert_int_equal(program.asked, turns[i] == 'c');
        game_result(g, g->n - 1, i);
    }
    assert_string_equal(turns, "..........""...c..c..c""...c..c..c""...c..c..c""...c..c..c");
    game_end(g);
    g = start("{'name': 'command', 'run': 'sh x', 'share': 0.5, 'startup': 1}", 5);
    ANSWERS("{'lr': 0.001, 'n': 4}", "{'lr': 0.001, 'n': 5}");
    for (int i = 0; i < 4; i++) {
        game_next(g, &p);
        assert_string_equal(p.from, i == 2 ? "command" : "random");
        json_decref(p.refused);
    }
    end(g);
}

/* cmaes takes what was tried in the place of its draws: it is where it is told to look, though
 * nothing that it drew itself is good. */
static double own_distance(bool with) {
    struct game *g = start("{'name': 'command', 'run': 'sh x', 'share': 0.3, 'startup': 0, 'over': "
                           "{'name': 'cmaes', 'population': 10, 'sigma': 0.1}}",
                           4);
    struct proposal p;
    double sum = 0;
    for (int i = 0; i < 60; i++) {
        char text[80];
        snprintf(text, sizeof text, "{'a': %.6g, 'b': %.6g, 'n': 5}", 0.8 + 0.001 * i,
                 0.2 - 0.001 * i);
        ANSWERS(with ? text : NULL);
        program.code = ERR_IO;
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        const double a = value_of(p.config, "a"), b = value_of(p.config, "b");
        const double far = fabs(a - 0.83) + fabs(b - 0.17) + fabs(value_of(p.config, "n") - 5) / 5;
        const bool own = !strcmp(p.from, "cmaes");
        game_result(g, g->n - 1, own ? 2 : far); /* its own are all the same */
        if (i >= 40 && own) sum += far;
        json_decref(p.refused);
    }
    game_end(g);
    return sum;
}

static void cmaes_learns_from_it(void **state) {
    (void)state;
    make_space("{'a': {'linear': [0, 1]}, 'b': {'linear': [0, 1]}, 'n': {'int': [1, 9]}}");
    const double with = own_distance(true), without = own_distance(false) * 14 / 20;
    print_message("distance with %g, without %g\n", with, without);
    assert_true(with < 0.7 * without);
    free(program.input);
    program.input = NULL;
    space_release(&space);
}

/* The same proposals from a history, whoever made it: nothing is kept. And what cmaes drew itself
 * is told from what it did not by the history alone. */
static void a_history_is_enough(void **state) {
    (void)state;
    make_space("{'a': {'linear': [0, 1]}, 'o': {'choice': ['x', 'y']}, 'b': {'log': [1, 100], "
               "'when': {'o': 'x'}}, 's': {'share_of': 'b', 'range': [1, 3]}}");
    struct game *g = start("{'name': 'command', 'run': 'sh x', 'share': 0.2, 'startup': 0, 'over': "
                           "{'name': 'cmaes', 'population': 5}}",
                           4);
    struct proposal p, again;
    for (int i = 0; i < 40; i++) {
        char text[80];
        snprintf(text, sizeof text, "{'a': %.6g, 'o': 'y'}", 0.3 + 0.001 * i);
        ANSWERS(text);
        assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
        g->ask.history.n = g->n - 1;
        ANSWERS(text);
        ok(strategy_propose(&g->ask, &again, &e));
        assert_true(json_equal(p.config, again.config) && !strcmp(p.from, again.from));
        json_decref(again.config);
        game_result(g, g->n - 1, value_of(p.config, "a"));
    }
    end(g);
}

/* What has an order of its own leaves nothing out where the program has a turn, and has nothing
 * twice.
 */
static void orders_lose_nothing(void **state) {
    (void)state;
    static const struct {
        const char *over;
        int all;
    } rows[] = {{"grid", 6}, {"sweep", 4}}; /* of the base 2, y: 1 3 in its place, and x */
    make_space("{'a': {'int': [1, 3]}, 'b': {'choice': ['x', 'y']}}");
    for (int k = 0; k < 2; k++) {
        char strategy[120];
        snprintf(strategy, sizeof strategy,
                 "{'name': 'command', 'run': 'sh x', 'share': 0.5, 'startup': 1, 'over': '%s'}",
                 rows[k].over);
        struct game *g = start(strategy, 1);
        struct proposal p;
        ANSWERS("{'a': 3, 'b': 'y'}", "{'a': 3, 'b': 'x'}");
        for (int i = 0; i < rows[k].all; i++) {
            assert_int_equal(game_next(g, &p), PROPOSE_TRIAL);
            assert_string_equal(p.from, i == 2 || i == 4 ? "command" : rows[k].over);
            for (int j = 0; j < i; j++) assert_false(json_equal(p.config, g->config[j]));
        }
        assert_int_equal(game_next(g, &p), PROPOSE_END);
        game_end(g);
    }
    free(program.input);
    program.input = NULL;
    space_release(&space);
}

/* Below halving it is told the trials of the search, not what halving makes of them. */
static void below_halving(void **state) {
    (void)state;
    make_space(SPACE);
    struct game *g = start("{'name': 'halving', 'eta': 2, 'rungs': 2, 'over': {'name': 'command', "
                           "'run': 'sh x'}}",
                           4);
    struct proposal p;
    for (int i = 0; i < 4; i++) {
        char text[80];
        snprintf(text, sizeof text, "{'lr': 0.001, 'n': %d}", 2 + i);
        ANSWERS(text);
        const enum proposal_what what = game_next(g, &p);
        assert_int_equal(what, i == 2 ? PROPOSE_CONTINUE : PROPOSE_TRIAL);
        game_result(g, g->n - 1, 10 + i);
    }
    assert_string_equal(line(3), "{\"event\":\"trial\",\"trial\":0,\"rung\":1,\"share\":1.0,"
                                 "\"config\":{\"lr\":0.001,\"n\":2},\"status\":\"ok\","
                                 "\"value\":12.0,\"decision\":null}");
    assert_string_equal(line(2), "{\"event\":\"trial\",\"trial\":1,\"rung\":0,\"share\":0.5,"
                                 "\"config\":{\"lr\":0.001,\"n\":3},\"status\":\"ok\","
                                 "\"value\":11.0,\"decision\":null}");
    end(g);
}

static void reads(const char *strategy, const char *sentence) {
    struct strategy_choice c;
    json_t *j = parse(strategy);
    assert_int_equal(strategy_read(&c, j, &space, "s.json: \"strategy\"", &e), ERR_USAGE);
    assert_string_equal(e.msg, sentence);
    json_decref(j);
}

static void options_are_checked(void **state) {
    (void)state;
    make_space(SPACE);
    reads("'command'", "s.json: \"strategy\": \"run\" is missing, expected a text with a "
                       "command, or an array of its words");
    reads("{'name': 'command', 'run': []}",
          "s.json: \"strategy\": \"run\" is an array, expected a text with a command, or an "
          "array of its words");
    reads("{'name': 'command', 'run': ['', 'x']}",
          "s.json: \"strategy\": \"run\" is an array, expected a text with a command, or an "
          "array of its words");
    reads("{'name': 'command', 'run': 'x', 'share': 0}",
          "s.json: \"strategy\": \"share\" is 0, expected a number from 0.001 to 1");
    reads("{'name': 'command', 'run': 'x', 'shar': 0.5}",
          "s.json: \"strategy\": unknown key \"shar\"; did you mean \"share\"?");
    reads("{'name': 'command', 'run': 'x', 'over': 'halving'}",
          "s.json: \"strategy\": \"over\": \"halving\" goes on with trials, expected a strategy of "
          "new ones alone");
    space_release(&space);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_told_space_and_history),
        cmocka_unit_test(bad_answers_are_told_back),
        cmocka_unit_test(the_strategy_below_steps_in),
        cmocka_unit_test(ends_are_passed_on),
        cmocka_unit_test(a_share_of_the_proposals),
        cmocka_unit_test(cmaes_learns_from_it),
        cmocka_unit_test(a_history_is_enough),
        cmocka_unit_test(orders_lose_nothing),
        cmocka_unit_test(below_halving),
        cmocka_unit_test(options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
