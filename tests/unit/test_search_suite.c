/* Suites: a search for each data set, and what is refused. Knobs that moved. */
#include "folder_fixture.h"
#include "space_fixture.h"

#include "file.h"
#include "search.h"
#include "search_knobs.h"
#include "suite.h"

static void write_text(const char *name, const char *text) {
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

#define SUITE                                                                                      \
    "{'base': {'model': 'demo', 'lr': 0.002, 'tokenizer': 'byte'}, 'budget': {'steps': 4}, "       \
    "'trials': 3, 'space': {'lr': {'log': [1e-4, 1e-2]}}, 'suite': %s}"

static json_t *suite_file(const char *members) {
    char text[1000];
    snprintf(text, sizeof text, SUITE, members);
    return parse(text);
}

static void a_suite_is_a_search_for_each(void **state) {
    (void)state;
    write_text("tiny.txt", "once upon a time");
    write_text("code.txt", "int main(void)");
    json_t *file = suite_file("{'tiny': {'data': './tiny.txt'}, 'code': {'data': './code.txt', "
                              "'val-data': './tiny.txt'}}");
    char *path = strdup(at("suite-file.json")), *folder = strdup(at("runs"));
    struct suite s;
    ok(suite_create(&s, file, path, folder, &e));
    assert_true(suite_is(folder) && !suite_is(at("")));
    for (int again = 0; again < 2; again++) {
        assert_int_equal(s.n, 2);
        assert_string_equal(suite_name(&s, 0), "tiny");
        assert_string_equal(suite_name(&s, 1), "code");
        char *inner = suite_dir(&s, 1);
        assert_memory_equal(inner, folder, strlen(folder));
        assert_string_equal(inner + strlen(folder), "/code");
        free(inner);
        for (size_t i = 0; i < 2; i++) {
            json_t *search = suite_search(&s, i), *base = json_object_get(search, "base");
            const char *data = word_of(base, "data");
            assert_null(json_object_get(search, "suite"));
            assert_true(*data == '/' && strstr(data, i ? "/code.txt" : "/tiny.txt"));
            assert_true(value_of(base, "lr") == 0.002);
            /* a test split, where there is no text of its own to validate on */
            assert_true((json_object_get(base, "test-fraction") != NULL) == (i == 0));
            assert_true((json_object_get(base, "val-data") != NULL) == (i == 1));
            json_decref(search);
        }
        struct search search;
        assert_int_equal(search_open(&search, folder, false, &e), ERR_USAGE);
        assert_non_null(strstr(e.msg, "/runs is a suite, expected the folder of one of its "
                                      "searches: tiny, code"));
        suite_close(&s);
        if (!again) ok(suite_open(&s, folder, &e)); /* what was written says the same */
    }
    assert_int_equal(suite_create(&s, file, path, folder, &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "is not empty"));
    json_decref(file);
    free(path);
    free(folder);
}

static void refuses_suite(const char *members, const char *sentence) {
    struct suite s;
    json_t *file = suite_file(members);
    char *folder = strdup(at("never"));
    assert_int_equal(suite_create(&s, file, "s.json", folder, &e), ERR_USAGE);
    assert_string_equal(e.msg, sentence);
    assert_false(file_exists(folder));
    json_decref(file);
    free(folder);
}

static void members_that_are_refused(void **state) {
    (void)state;
    refuses_suite("{}", "s.json: \"suite\" has 0 data sets, expected an object with 1 to 1000: "
                        "{\"tiny\": {\"data\": \"tiny.txt\"}, ...}");
    refuses_suite("{'a/b': {'data': 'x'}}",
                  "s.json: \"suite\": \"a/b\" cannot be the name of a folder: expected letters, "
                  "digits, - _ and ., 64 at most");
    refuses_suite("{'a': 'x.txt'}", "s.json: \"suite\": \"a\" is no object with options of data: "
                                    "{\"data\": FILE, ...}");
    refuses_suite("{'a': {'data': 'x'}, 'b': {'lr': 3}}",
                  "s.json: \"suite\": \"b\": \"lr\" is no option of data; what all searches "
                  "share is said in \"base\"");
    refuses_suite("{'a': {'data': 'x', 'val-fraction': 7}}",
                  "suite \"a\": s.json: \"base\": \"val-fraction\" is 7.0, expected 0 to 0.9");
}

/* Knobs ---------------------------------------------------------------------------------------- */

/* moves: u, d, s(tays), a(bsent), or a capital for a word. */
static struct knob look(const char *moves) {
    enum knob_move move[16];
    static json_t *word[16];
    const json_t *is[16] = {NULL};
    const size_t n = strlen(moves);
    for (size_t i = 0; i < n; i++) {
        move[i] = moves[i] == 'u'   ? KNOB_UP
                  : moves[i] == 'd' ? KNOB_DOWN
                  : moves[i] == 's' ? KNOB_STAYS
                  : moves[i] == 'a' ? KNOB_ABSENT
                                    : KNOB_OTHER;
        json_decref(word[i]);
        word[i] = move[i] == KNOB_OTHER ? json_stringn(moves + i, 1) : NULL;
        is[i] = word[i];
    }
    return knob_look(move, is, n);
}

static void knobs(void **state) {
    (void)state;
    static const struct {
        const char *moves;
        enum knob_verdict verdict;
        enum knob_move way;
        size_t moved, of;
    } all[] = {
        {"uus", KNOB_TOGETHER, KNOB_UP, 2, 3},   {"uud", KNOB_TOGETHER, KNOB_UP, 2, 3},
        {"ud", KNOB_APART, KNOB_UP, 1, 2},       {"udss", KNOB_APART, KNOB_UP, 1, 4},
        {"uuss", KNOB_SINGLE, KNOB_UP, 2, 4},    {"us", KNOB_SINGLE, KNOB_UP, 1, 2},
        {"ss", KNOB_STILL, KNOB_STAYS, 0, 2},    {"aa", KNOB_STILL, KNOB_STAYS, 0, 0},
        {"ua", KNOB_SINGLE, KNOB_UP, 1, 1},      {"uddda", KNOB_TOGETHER, KNOB_DOWN, 3, 4},
        {"LLs", KNOB_TOGETHER, KNOB_OTHER, 2, 3}, {"LM", KNOB_APART, KNOB_OTHER, 1, 2},
        {"MMuu", KNOB_APART, KNOB_OTHER, 2, 4},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const struct knob k = look(all[i].moves);
        if (k.verdict != all[i].verdict || k.way != all[i].way || k.moved != all[i].moved ||
            k.of != all[i].of)
            fail_msg("%s: %s %s %zu of %zu", all[i].moves, knob_verdict_name(k.verdict),
                     knob_move_name(k.way), k.moved, k.of);
    }
    assert_string_equal(json_string_value(look("sMLL").value), "L");
    look("aaaaaaaaaaaaaaaa"); /* gives the words back */
    json_t *one = json_integer(1), *same = json_real(1), *two = json_integer(2), *t = json_true();
    assert_int_equal(knob_move(one, same), KNOB_STAYS);
    assert_int_equal(knob_move(one, two), KNOB_UP);
    assert_int_equal(knob_move(two, same), KNOB_DOWN);
    assert_int_equal(knob_move(one, t), KNOB_OTHER);
    assert_int_equal(knob_move(NULL, one), KNOB_OTHER);
    assert_int_equal(knob_move(NULL, NULL), KNOB_ABSENT);
    json_decref(one);
    json_decref(same);
    json_decref(two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_suite_is_a_search_for_each),
        cmocka_unit_test(members_that_are_refused),
        cmocka_unit_test(knobs),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_all);
}
