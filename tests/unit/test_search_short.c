/* The short form of a search: it is the long file. */
#include "folder_fixture.h"
#include "space_fixture.h"

#include "canon.h"
#include "search.h"
#include "search_short.h"

static void write_text(const char *name, const char *text) {
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char key[3][32] = {"lr", "set.num_hidden_layers", "optimizer"};
static char value[3][32] = {"1e-4..1e-2", "2,4,6", "adamw,lion"};
static char *keys[] = {key[0], key[1], key[2]}, *values[] = {value[0], value[1], value[2]};

static struct search_short given(const char *base) {
    return (struct search_short){.base = base,
                                 .axes = {keys, values, 3, 3},
                                 .tokens = 2000000,
                                 .strategy = "tpe",
                                 .trials = 40};
}

static void the_short_form_is_the_long_file(void **state) {
    (void)state;
    write_text("base.json", "{\"model\": \"demo\", \"data\": \"./text.txt\", \"lr\": 0.002}");
    write_text("text.txt", "once upon a time");
    char *base = strdup(at("base.json")), *path = strdup(at("search.json"));
    struct search_short o = given(base);
    json_t *brief = search_short(&o, &e);
    json_t *file = parse("{'base': 'base.json', 'budget': {'tokens': 2e6}, 'trials': 40, 'space': "
                         "{'lr': {'log': [1e-4, 1e-2]}, 'set.num_hidden_layers': {'choice': [2, 4, "
                         "6]}, 'optimizer': {'choice': ['adamw', 'lion']}}}");
    struct search a, b;
    assert_non_null(brief);
    ok(search_plan(&a, brief, "the command line", &e));
    ok(search_plan(&b, file, path, &e));
    char *one = canon_text(a.file.json), *two = canon_text(b.file.json);
    /* the strategy is said, where the file leaves the default */
    assert_string_equal(json_string_value(json_object_get(a.file.json, "strategy")), "tpe");
    json_object_del(a.file.json, "strategy");
    free(one);
    one = canon_text(a.file.json);
    assert_string_equal(one, two);
    json_t *config = parse("{'lr': 0.003, 'set.num_hidden_layers': 4, 'optimizer': 'lion'}");
    char hash[2][17];
    assert_true(search_file_hash(&a.file, config, hash[0]));
    assert_true(search_file_hash(&b.file, config, hash[1]));
    assert_string_equal(hash[0], hash[1]);
    assert_ptr_equal(a.file.strategy.kind, b.file.strategy.kind);
    json_decref(config);
    json_decref(brief);
    json_decref(file);
    free(one);
    free(two);
    search_close(&a);
    search_close(&b);
    free(base);
    free(path);
}

static void lacks(struct search_short o, const char *sentence) {
    assert_null(search_short(&o, &e));
    assert_int_equal(e.code, ERR_USAGE);
    assert_string_equal(e.msg, sentence);
}

static void what_is_missing_is_said(void **state) {
    (void)state;
    struct search_short o = given(NULL);
    lacks(o, "no --base, expected a file with options of duet train");
    o = given("b.json");
    o.axes.n = 0;
    lacks(o, "no --try, expected at least one KEY=LOW..HIGH or KEY=VALUE,VALUE,...");
    o = given("b.json");
    o.steps = 3;
    lacks(o, "more than one budget, expected one of --time, --steps, --tokens, --flops: what a "
             "trial may use");
    o.steps = o.tokens = 0;
    lacks(o, "no budget, expected one of --time, --steps, --tokens, --flops: what a trial may use");
    char text[] = "3..1", *bad[] = {text};
    o = given("b.json");
    o.axes = (struct conf_pairs){keys, bad, 1, 1};
    lacks(o, "lr=3..1: expected two numbers, LOW..HIGH with LOW below HIGH");
    assert_true(search_short_given(&o));
    o = (struct search_short){.strategy = "tpe", .trials = 60};
    assert_false(search_short_given(&o));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_short_form_is_the_long_file),
        cmocka_unit_test(what_is_missing_is_said),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_all);
}
