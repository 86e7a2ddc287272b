/* Axes, conditions, the cube and back, how many configurations there are, and what is refused. */
#include "space_fixture.h"

#include "canon.h"

static void refused(const char *text, const char *sentence) {
    json_t *j = parse(text);
    assert_int_equal(space_read(&space, j, "search.json", &e), ERR_USAGE);
    assert_string_equal(e.msg, sentence);
    assert_null(space.axis);
    json_decref(j);
}

static double at(double u, const char *key) {
    double point[SPACE_MAX_AXES];
    for (size_t i = 0; i < space.n; i++) point[i] = u;
    json_t *config = space_config(&space, point);
    const double x = value_of(config, key);
    json_decref(config);
    return x;
}

static bool grid(size_t points, uint64_t index, double *u) {
    bool found;
    ok(space_grid(&space, points, index, u, &found, &e));
    return found;
}

static void is(const char *key, double u, double expected) {
    const double found = at(u, key);
    if (found != expected) fail_msg("%s at %g is %.17g, not %.17g", key, u, found, expected);
}

static void each_axis_has_its_values(void **state) {
    (void)state;
    make_space("{'lr': {'log': [1e-4, 1e-2]}, 'decay': {'linear': [-0.1, 0.3]},"
               " 'layers': {'int': [2, 8]}, 'width': {'multiple_of': 64, 'range': [100, 520]},"
               " 'pick': {'choice': [2, 4, 8]}}");
    is("lr", 0, 1e-4);
    is("lr", 0.25, 0.000316228); /* six digits */
    is("lr", 0.5, 1e-3);
    is("lr", 1, 1e-2);
    is("lr", 7, 1e-2);
    is("lr", -1, 1e-4);
    is("lr", NAN, 1e-3);
    is("decay", 0, -0.1);
    is("decay", 0.5, 0.1);
    is("decay", 1.0 / 3, 0.033333);
    is("decay", 1, 0.3);
    is("layers", 0, 2);
    is("layers", 0.1428, 2);
    is("layers", 0.1429, 3);
    is("layers", 1, 8);
    is("width", 0, 128);
    is("width", 1, 512);
    is("width", 0.5, 320);
    is("pick", 0.33, 2);
    is("pick", 0.34, 4);
    is("pick", 0.99, 8);
    assert_int_equal(axis_levels(&space.axis[0]), 0);
    assert_int_equal(axis_levels(&space.axis[2]), 7);
    assert_int_equal(axis_levels(&space.axis[3]), 7);
    assert_true(space_count(&space, 0) == INFINITY);
    assert_true(space_count(&space, 5) == 5 * 5 * 7 * 7 * 3);
    space_release(&space);
}

static void shares_are_rounded_to_their_grid(void **state) {
    (void)state;
    make_space("{'hidden': {'share_of': 'width', 'range': [2, 4], 'multiple_of': 32},"
               " 'heads': {'share_of': 'width', 'choice': [0.015625, 0.03125]},"
               " 'width': {'multiple_of': 64, 'range': [128, 768]},"
               " 'lr': {'log': [1e-4, 1e-2]}, 'end': {'share_of': 'lr', 'range': [0.1, 0.5]},"
               " 'least': {'share_of': 'width', 'range': [1e-6, 1e-5]}}");
    double u[6] = {0.375, 0, 0.2, 0.5, 0.5, 0.5}; /* hidden: 2.75 */
    json_t *c = space_config(&space, u);
    char *text = canon_text(c);
    assert_string_equal(
        text, "{\"end\":0.0003,\"heads\":4,\"hidden\":704,\"least\":1,\"lr\":0.001,\"width\":256}");
    free(text);
    json_decref(c);
    assert_true(space_count(&space, 0) == INFINITY);
    assert_int_equal(space.order[0], 2); /* width first: hidden and heads are shares of it */
    space_release(&space);
}

static void conditions(void **state) {
    (void)state;
    make_space("{'beta2': {'linear': [0.9, 1], 'when': {'optimizer': ['adamw', 'lion']}},"
               " 'optimizer': {'choice': ['adamw', 'lion', 'sgd']},"
               " 'deep': {'int': [1, 4], 'when': {'optimizer': 'adamw', 'layers': [4, 8.0]}},"
               " 'deeper': {'int': [1, 2], 'when': {'deep': 4}},"
               " 'layers': {'multiple_of': 4, 'range': [4, 12]}}");
    static const struct {
        double optimizer, layers, deep;
        const char *text;
    } cases[] = {
        {0, 0, 1, "{\"beta2\":0.95,\"deep\":4,\"deeper\":2,\"layers\":4,\"optimizer\":\"adamw\"}"},
        {0, 0, 0, "{\"beta2\":0.95,\"deep\":1,\"layers\":4,\"optimizer\":\"adamw\"}"},
        {0, 1, 1, "{\"beta2\":0.95,\"layers\":12,\"optimizer\":\"adamw\"}"},
        {0.5, 0.5, 1, "{\"beta2\":0.95,\"layers\":8,\"optimizer\":\"lion\"}"},
        {1, 0.5, 1, "{\"layers\":8,\"optimizer\":\"sgd\"}"},
    };
    for (size_t i = 0; i < 5; i++) {
        double u[5] = {0.5, cases[i].optimizer, cases[i].deep, 0.5, cases[i].layers}, back[5];
        bool there[5];
        json_t *c = space_config(&space, u);
        char *text = canon_text(c);
        assert_string_equal(text, cases[i].text);
        assert_true(space_active(&space, u, there));
        for (size_t k = 0; k < 5; k++)
            assert_int_equal(there[k], json_object_get(c, space.axis[k].key) != NULL);
        ok(space_point(&space, c, "here", back, &e));
        if (!there[0]) assert_true(back[0] == 0.5);
        free(text);
        json_decref(c);
    }
    /* of three layers: adamw with 4, 8: 5 of deep; without: 1; lion and sgd 3 each */
    assert_true(space_count(&space, 1) == 2 * 5 + 1 + 3 + 3);
    assert_true(space_count(&space, 2) == 2 * (2 * 5 + 1 + 3) + 3);
    space_release(&space);
}

/* Every configuration of the grid once, the file's first axes changing slowest. */
static void the_grid_is_every_configuration(void **state) {
    (void)state;
    make_space("{'optimizer': {'choice': ['a', 'b']}, 'x': {'int': [1, 3], 'when': {'optimizer': "
               "'b'}}, 'share': {'share_of': 'n', 'choice': [0.5, 0.4, 1]}, 'n': {'int': [2, 3]}}");
    /* n 2: shares 1, 1, 2; n 3: 2 (1.5 up), 1, 3 */
    const double n = space_count(&space, 0);
    assert_true(n == (1 + 3) * (2 + 3));
    char *seen[20];
    for (uint64_t i = 0; i < 20; i++) {
        double u[4];
        assert_true(grid(0, i, u));
        json_t *c = space_config(&space, u);
        seen[i] = canon_text(c);
        for (uint64_t k = 0; k < i; k++) assert_string_not_equal(seen[i], seen[k]);
        json_decref(c);
    }
    double u[4];
    assert_false(grid(0, 20, u));
    assert_string_equal(seen[0], "{\"n\":2,\"optimizer\":\"a\",\"share\":1}");
    assert_string_equal(seen[19], "{\"n\":3,\"optimizer\":\"b\",\"share\":3,\"x\":3}");
    for (int i = 0; i < 20; i++) free(seen[i]);
    space_release(&space);
    make_space("{'n': {'int': [1, 900000000]}, 'm': {'int': [1, 900000000]}}");
    assert_true(space_count(&space, 0) == 8.1e17);
    assert_true(grid(0, 123456789012345, u));
    assert_true(at(0, "n") == 1);
    space_release(&space);
    make_space("{'n': {'int': [1, 400000000]}, 'm': {'share_of': 'n', 'choice': [1, 2]}}");
    assert_true(space_count(&space, 0) == INFINITY);
    assert_false(grid(0, 0, u));
    space_release(&space);
}

/* What a configuration's point makes is the configuration, for every kind of axis. */
static void there_and_back(void **state) {
    (void)state;
    make_space("{'a': {'log': [1.2345678e-7, 3.3e5]}, 'b': {'linear': [-1e-3, 17.77777777]},"
               " 'c': {'linear': [100000, 100001]}, 'd': {'int': [-7, 900000000]},"
               " 'e': {'multiple_of': 48, 'range': [1, 100000]},"
               " 'f': {'share_of': 'e', 'range': [0.001, 3.3], 'multiple_of': 7},"
               " 'g': {'share_of': 'a', 'range': [0.1, 0.7]},"
               " 'h': {'share_of': 'f', 'choice': [0.5, 1, 0.3333]},"
               " 'i': {'choice': [true, 'x', 0.5, 7]},"
               " 'j': {'log': [1, 2], 'when': {'i': [true, 7]}},"
               " 'k': {'share_of': 'j', 'range': [1e-3, 1e-2], 'when': {'i': 7}}}");
    struct rng r = rng_make(5, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < 3000; i++) {
        double u[11], back[11], again[11];
        for (int k = 0; k < 11; k++) u[k] = i % 3 ? rng_double(&r) : (double)rng_below(&r, 3) / 2;
        json_t *c = space_config(&space, u);
        ok(space_point(&space, c, "here", back, &e));
        json_t *d = space_config(&space, back);
        if (!json_equal(c, d)) fail_msg("%s is %s", canon_text(c), canon_text(d));
        ok(space_point(&space, d, "here", again, &e));
        assert_memory_equal(back, again, sizeof back);
        /* and through the text of a ledger */
        char *text = canon_text(c);
        json_t *read = json_loads(text, 0, NULL);
        ok(space_point(&space, read, "here", again, &e));
        assert_memory_equal(back, again, sizeof back);
        /* as a base */
        ok(space_nearest(&space, c, again, &e));
        json_t *near = space_config(&space, again);
        assert_true(json_equal(c, near));
        json_decref(near);
        json_decref(read);
        free(text);
        json_decref(d);
        json_decref(c);
    }
    space_release(&space);
}

static void no_point(const char *config, const char *sentence) {
    double u[SPACE_MAX_AXES];
    json_t *c = parse(config);
    assert_int_equal(space_point(&space, c, "ledger.jsonl, line 7", u, &e), ERR_INPUT);
    assert_string_equal(e.msg, sentence);
    json_decref(c);
}

static void configurations_that_are_none(void **state) {
    (void)state;
    make_space("{'lr': {'log': [1e-4, 1e-2]}, 'o': {'choice': ['a', 'b']}, 'n': {'int': [2, 8], "
               "'when': {'o': 'b'}}, 'm': {'share_of': 'n', 'choice': [2, 3], 'multiple_of': 4}}");
    no_point("[]", "ledger.jsonl, line 7 is an array, expected an object with a configuration");
    no_point("{}", "ledger.jsonl, line 7: \"lr\" is missing, expected a number from 0.0001 to "
                   "0.01");
    no_point("{'lr': 1, 'o': 'a'}",
             "ledger.jsonl, line 7: \"lr\" is 1, expected a number from 0.0001 to 0.01");
    no_point("{'lr': '1', 'o': 'a'}",
             "ledger.jsonl, line 7: \"lr\" is \"1\", expected a number from 0.0001 to 0.01");
    no_point("{'lr': 1e-3, 'o': 'c'}",
             "ledger.jsonl, line 7: \"o\" is \"c\", expected one of [\"a\",\"b\"]");
    no_point("{'lr': 1e-3, 'o': 'b', 'n': 2.5}",
             "ledger.jsonl, line 7: \"n\" is 2.5, expected a whole number from 2 to 8");
    no_point("{'lr': 1e-3, 'o': 'b', 'n': 5, 'm': 10}",
             "ledger.jsonl, line 7: \"m\" is 10, expected one of these shares of the other axis: "
             "[2,3]");
    no_point("{'lr': 1e-3, 'o': 'a', 'n': 5}",
             "ledger.jsonl, line 7: \"n\" is there, but its condition is not met by the others");
    no_point("{'lr': 1e-3, 'o': 'a', 'x': 5}",
             "ledger.jsonl, line 7: \"x\" is no axis of the search");
    space_release(&space);
}

static void the_nearest_point(void **state) {
    (void)state;
    make_space("{'lr': {'log': [1e-4, 1e-2]}, 'n': {'multiple_of': 8, 'range': [8, 64]}, 'o': "
               "{'choice': ['a', 'b', 'c']}, 'f': {'share_of': 'n', 'choice': [1, 2]}}");
    static const char *const cases[][2] = {
        {"{'lr': 1, 'n': 30, 'o': 'c', 'f': 50, 'x': 1}",
         "{\"f\":64,\"lr\":0.01,\"n\":32,\"o\":\"c\"}"},
        {"{'lr': 0, 'n': 1000, 'f': 3}", "{\"f\":64,\"lr\":0.0001,\"n\":64,\"o\":\"b\"}"},
        {"{'lr': 'x', 'o': 'd'}", "{\"f\":80,\"lr\":0.001,\"n\":40,\"o\":\"b\"}"},
    };
    for (int i = 0; i < 3; i++) {
        double u[4];
        json_t *base = parse(cases[i][0]);
        ok(space_nearest(&space, base, u, &e));
        json_t *c = space_config(&space, u);
        char *text = canon_text(c);
        assert_string_equal(text, cases[i][1]);
        free(text);
        json_decref(c);
        json_decref(base);
    }
    space_release(&space);
}

#define S "search.json: \"space\": "
static void what_is_refused(void **state) {
    (void)state;
    refused("{}", "search.json: \"space\" is {}, expected an object with an axis for each key to "
                  "search");
    refused("3", "search.json: \"space\" is 3, expected an object with an axis for each key to "
                 "search");
    refused("{'lr': 3}", S "\"lr\" is 3, expected an object with one of log, linear, int, "
                           "multiple_of, choice, share_of");
    refused("{'lr': {}}", S "\"lr\" says no kind, expected one of log, linear, int, multiple_of, "
                            "choice, share_of");
    refused("{'lr': {'lgo': [1, 2]}}", S "\"lr\": unknown key \"lgo\"; did you mean \"log\"?");
    refused("{'lr': {'log': [1, 2], 'int': [1, 2]}}",
            S "\"lr\" has both \"log\" and \"int\", expected one of log, linear, int, multiple_of, "
              "choice, share_of");
    refused("{'lr': {'log': [1, 2], 'range': [1, 2]}}",
            S "\"lr\": unknown key \"range\" beside \"log\"");
    refused("{'lr': {'log': [1, 2], 'whne': {}}}",
            S "\"lr\": unknown key \"whne\"; did you mean \"when\"?");
    refused("{'lr': {'log': [0, 1]}}",
            S "\"lr\": \"log\" is an array, expected two numbers, 0 < low < high");
    refused("{'lr': {'log': [1, 1]}}",
            S "\"lr\": \"log\" is an array, expected two numbers, 0 < low < high");
    refused("{'lr': {'linear': '0..1'}}",
            S "\"lr\": \"linear\" is \"0..1\", expected two numbers, low < high");
    refused("{'lr': {'linear': [1, 1.0000005]}}",
            S "\"lr\": \"linear\" is an array, expected numbers below 1e300, further apart than a "
              "millionth of them");
    refused("{'n': {'int': [1.5, 3]}}",
            S "\"n\": \"int\" is an array, expected two whole numbers, low < high");
    refused("{'n': {'multiple_of': 64}}",
            S "\"n\": \"range\" is missing, expected two numbers, low < high, with a multiple "
              "between them");
    refused("{'n': {'multiple_of': 64, 'range': [65, 127]}}",
            S "\"n\": \"range\" is an array, expected two numbers, low < high, with a multiple "
              "between them");
    refused("{'n': {'multiple_of': 0.5, 'range': [65, 127]}}",
            S "\"n\": \"multiple_of\" is 0.5, expected a whole number of at least 1");
    refused("{'o': {'choice': []}}", S "\"o\": \"choice\" is an array, expected an array of 1 to "
                                       "256 different texts, numbers, true or false");
    refused("{'o': {'choice': ['a', 2, 2.0]}}",
            S "\"o\": \"choice\" is an array, expected an array of 1 to 256 different texts, "
              "numbers, true or false");
    refused("{'o': {'choice': ['a', null]}}",
            S "\"o\": \"choice\" is an array, expected an array of 1 to 256 different texts, "
              "numbers, true or false");
    refused("{'f': {'share_of': 3}}",
            S "\"f\": \"share_of\" is 3, expected the key of another axis");
    refused("{'f': {'share_of': 'f', 'range': [1, 2]}}",
            S "\"f\": \"share_of\" names the axis itself, expected another");
    refused("{'f': {'share_of': 'widht', 'range': [1, 2]}, 'width': {'int': [1, 4]}}",
            S "\"f\": \"share_of\" names \"widht\", which is no axis; did you mean \"width\"?");
    refused("{'f': {'share_of': 'n', 'range': [1, 2]}, 'n': {'int': [0, 4]}}",
            S "\"f\": \"share_of\" is \"n\", expected an axis whose values are all numbers above "
              "0");
    refused("{'f': {'share_of': 'n', 'range': [0, 2]}, 'n': {'int': [1, 4]}}",
            S "\"f\": \"range\" is an array, expected two shares, 0 < low < high, up to 1e6");
    refused("{'f': {'share_of': 'n', 'range': [1, 1e6]}, 'n': {'int': [1, 900000000]}}",
            S "\"f\": values reach 9e+14, expected at most 1e9 times \"multiple_of\"");
    refused("{'f': {'share_of': 'n', 'range': [1, 2], 'choice': [1]}, 'n': {'int': [1, 4]}}",
            S "\"f\" has both \"choice\" and \"range\", expected one");
    refused("{'f': {'share_of': 'g', 'range': [1, 2]}, 'g': {'share_of': 'f', 'range': [1, 2]}}",
            S "\"f\" depends on itself by way of other axes");
    refused("{'n': {'int': [1, 2], 'when': 3}}",
            S "\"n\": \"when\" is 3, expected an object {\"key of another axis\": its value, or "
              "[values]}");
    refused("{'n': {'int': [1, 2], 'when': {'m': 3}}}",
            S "\"n\": \"when\" names \"m\", expected another axis of the space");
    refused("{'n': {'int': [1, 2], 'when': {'m': 3}}, 'm': {'int': [1, 2]}}",
            S "\"n\": \"when\": \"m\" is 3, expected a whole number from 1 to 2");
    refused("{'n': {'int': [1, 2], 'when': {'m': []}}, 'm': {'int': [1, 2]}}",
            S "\"n\": \"when\": \"m\" is [], expected values of that axis");
    refused("{'n': {'int': [1, 2], 'when': {'m': 3}}, 'm': {'log': [1, 3]}}",
            S "\"n\": \"when\" names \"m\", expected an axis of int, multiple_of or choice");
    refused("{'n': {'int': [1, 2], 'when': {'m': 1}}, 'm': {'int': [1, 2], 'when': {'n': 1}}}",
            S "\"n\" depends on itself by way of other axes");
    refused("{'': {'int': [1, 2]}}", S "\"\": the key of an axis has 0 bytes, expected 1 to 128");
}

static void axis_is(const char *text, const char *expected) {
    json_t *j = space_axis_text("k", text, &e);
    if (!j) fail_msg("%s", e.msg);
    char *found = canon_text(j);
    assert_string_equal(found, expected);
    free(found);
    json_decref(j);
}

static void no_axis(const char *text, const char *sentence) {
    assert_null(space_axis_text("k", text, &e));
    assert_int_equal(e.code, ERR_USAGE);
    assert_string_equal(e.msg, sentence);
}

static void axes_from_words(void **state) {
    (void)state;
    axis_is("1e-4..1e-2", "{\"log\":[0.0001,0.01]}");
    axis_is("1..8", "{\"int\":[1,8]}");
    axis_is("-2..8", "{\"int\":[-2,8]}");
    axis_is("1.0..8", "{\"linear\":[1,8]}");
    axis_is("0..0.3", "{\"linear\":[0,0.3]}");
    axis_is("0.9..0.999", "{\"linear\":[0.9,0.999]}");
    axis_is("0.1..1", "{\"log\":[0.1,1]}");
    axis_is("2,4,0.5", "{\"choice\":[2,4,0.5]}");
    axis_is("adamw", "{\"choice\":[\"adamw\"]}");
    axis_is("true,false,../duet", "{\"choice\":[true,false,\"../duet\"]}");
    no_axis("", "k: expected LOW..HIGH or VALUE,VALUE,... behind the =, found nothing");
    no_axis("1,,2", "k=1,,2: a value is empty, expected LOW..HIGH or VALUE,VALUE,...");
    no_axis("1..", "k=1..: expected two numbers, LOW..HIGH with LOW below HIGH");
    no_axis("3..1", "k=3..1: expected two numbers, LOW..HIGH with LOW below HIGH");
    no_axis("1..x", "k=1..x: expected two numbers, LOW..HIGH with LOW below HIGH");
    no_axis("1..inf", "k=1..inf: expected two numbers, LOW..HIGH with LOW below HIGH");
}

static void too_many_axes(void **state) {
    (void)state;
    json_t *j = json_object();
    for (int i = 0; i <= SPACE_MAX_AXES; i++) {
        char key[8];
        if (i == SPACE_MAX_AXES) {
            ok(space_read(&space, j, "search.json", &e));
            space_release(&space);
        }
        sprintf(key, "k%d", i);
        json_object_set_new(j, key, parse("{'int': [0, 1]}"));
    }
    assert_int_equal(space_read(&space, j, "search.json", &e), ERR_USAGE);
    assert_string_equal(e.msg, "search.json: \"space\" has 65 axes, at most 64 are possible");
    json_decref(j);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_axis_has_its_values),
        cmocka_unit_test(shares_are_rounded_to_their_grid),
        cmocka_unit_test(conditions),
        cmocka_unit_test(the_grid_is_every_configuration),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(configurations_that_are_none),
        cmocka_unit_test(the_nearest_point),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(axes_from_words),
        cmocka_unit_test(too_many_axes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
