/* Searches side by side: made-up ledgers, and what the table and its JSON say of them. */
#include "folder_fixture.h"

#include "search_compare.h"

#include <jansson.h>
#include <math.h>

/* A search in dir/name of so many trials, of which `best` was kept. Base values are high + i/100,
 * those of the best gain less. */
struct made {
    const char *name;
    int best;
    double base, gain, lr, batch;
    const char *optimizer, *metric;
};

static FILE *create(const char *folder, const char *file) {
    char name[100];
    mkdir(at(folder), 0777);
    snprintf(name, sizeof name, "%s/%s", folder, file);
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    return f;
}

static void proposal(FILE *f, int trial, double lr, double batch, const char *optimizer) {
    fprintf(f,
            "{\"event\": \"proposal\", \"job\": %d, \"trial\": %d, \"rung\": 0, \"share\": 1, "
            "\"config\": {\"lr\": %g, \"batch\": %g, \"optimizer\": \"%s\"}, \"hash\": \"%016x\", "
            "\"from\": \"tpe\"}\n",
            trial, trial, lr, batch, optimizer, trial + 1);
}

static void make_search(const struct made *m) {
    FILE *f = create(m->name, "search.json");
    fprintf(f,
            "{\"base\": {\"data\": \"%s.txt\"}, \"budget\": {\"steps\": 100}, \"trials\": 20, "
            "\"seeds\": 4, \"metric\": %s, \"space\": {\"lr\": {\"log\": [1e-4, 1e-2]}, \"batch\": "
            "{\"choice\": [2, 4, 8]}, \"optimizer\": {\"choice\": [\"adamw\", \"lion\"]}}}\n",
            m->name, m->metric ? m->metric : "\"val_bpb\"");
    fclose(f);
    f = create(m->name, "ledger.jsonl");
    fprintf(f, "{\"event\": \"search\", \"trials\": 20, \"sources\": {\"%s.txt\": "
               "\"0123456789abcdef\"}}\n",
            m->name);
    proposal(f, 0, 0.001, 4, "adamw");
    for (int seed = 1; seed <= 5; seed++)
        fprintf(f,
                "{\"event\": \"result\", \"trial\": 0, \"seed\": %d, \"rung\": 0, \"status\": "
                "\"ok\", \"value\": %g}\n",
                seed, m->base + 0.01 * seed);
    fprintf(f, "{\"event\": \"decision\", \"trial\": 0, \"decision\": \"keep\"}\n");
    for (int trial = 1; trial <= m->best; trial++) {
        proposal(f, trial, trial == m->best ? m->lr : 0.0001 * trial, m->batch, m->optimizer);
        for (int seed = 1; seed <= 4; seed++) /* differences of gain, give or take 0.002 */
            fprintf(f,
                    "{\"event\": \"result\", \"trial\": %d, \"seed\": %d, \"rung\": 0, \"status\": "
                    "\"ok\", \"value\": %g}\n",
                    trial, seed,
                    m->base + 0.01 * seed - (trial == m->best ? m->gain : -1) +
                        (seed % 2 ? 0.002 : -0.002));
        fprintf(f,
                "{\"event\": \"decision\", \"trial\": %d, \"decision\": \"%s\", \"against\": 0}\n",
                trial, trial == m->best ? "keep" : "discard");
    }
    fclose(f);
}

static char *compared(const char *const *dirs, size_t n, bool json) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    ok(search_compare(dirs, n, json, out, &e));
    fclose(out);
    return text;
}

static json_t *find(const json_t *all, const char *key, const char *name) {
    for (size_t i = 0; i < json_array_size(all); i++) {
        const char *is = json_string_value(json_object_get(json_array_get(all, i), key));
        if (is && !strcmp(is, name)) return json_array_get(all, i);
    }
    fail_msg("no %s", name);
    return NULL;
}

static double number(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static const char *word(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static const struct made tiny = {"tiny", 3, 2.0, 0.2, 0.004, 8, "lion", NULL};
static const struct made code = {"code", 2, 1.0, 0.1, 0.002, 2, "lion", NULL};
static const struct made idle = {"idle", 0, 3.0, 0, 0, 0, "adamw", NULL};

static void a_table(void **state) {
    (void)state;
    make_search(&tiny);
    make_search(&code);
    make_search(&idle);
    const char *dirs[] = {strdup(at("tiny")), strdup(at("code")), strdup(at("idle"))};
    char *text = compared(dirs, 3, false);
    static const char *const lines[] = {
        "val_bpb, lower is better; gain of the best over the base\n",
        "\ntiny    4 of 20     1  2.0300  1.8250  0.2000  ",
        "\ncode    3 of 20     1  1.0300  0.9250  0.1000  ",
        "\nidle    1 of 20     0  3.0300  3.0300       -  ",
        "\nlr         together: up in 2 of 2    0.001 -> 0.004  0.001 -> 0.002  -",
        "\nbatch      apart                     4 -> 8          4 -> 2          -",
        "\noptimizer  together: lion in 2 of 2  adamw -> lion   adamw -> lion   -",
        "A search that kept nothing so far says nothing about knobs.\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(text, lines[i])) fail_msg("no \"%s\" in\n%s", lines[i], text);
    free(text);
    text = compared(dirs, 3, true);
    json_t *o = json_loads(text, 0, NULL), *searches = json_object_get(o, "searches");
    assert_non_null(o);
    assert_string_equal(word(o, "better"), "lower");
    const json_t *s = find(searches, "name", "tiny");
    assert_true(fabs(number(s, "gain") - 0.2) < 1e-9 && number(s, "seeds") == 4);
    assert_true(number(s, "low") > 0.15 && number(s, "low") < 0.2 && number(s, "high") > 0.2 &&
                number(s, "high") < 0.25);
    assert_string_equal(word(json_object_get(s, "sources"), "tiny.txt"), "0123456789abcdef");
    assert_true(number(s, "trial") == 3 && number(json_object_get(s, "config"), "batch") == 8);
    assert_null(json_object_get(find(searches, "name", "idle"), "gain"));
    const json_t *k = find(json_object_get(o, "knobs"), "key", "batch");
    assert_string_equal(word(k, "verdict"), "apart");
    assert_true(number(k, "of") == 2);
    const json_t *moves = json_object_get(k, "moves");
    assert_string_equal(word(find(moves, "search", "code"), "move"), "down");
    assert_string_equal(word(find(moves, "search", "idle"), "move"), "absent");
    k = find(json_object_get(o, "knobs"), "key", "optimizer");
    assert_string_equal(word(k, "value"), "lion");
    assert_string_equal(word(k, "verdict"), "together");
    json_decref(o);
    free(text);
    for (int i = 0; i < 3; i++) free((void *)(uintptr_t)dirs[i]);
}

/* Gains are above 0 where higher is better, too; two folders of one name keep their paths. */
static void where_higher_is_better(void **state) {
    (void)state;
    struct made a = tiny, b = code;
    a.name = "up";
    a.metric = b.metric = "{\"key\": \"val_accuracy\", \"better\": \"higher\"}";
    a.gain = -0.2;
    mkdir(at("inner"), 0777);
    b.name = "inner/up";
    b.gain = -0.1;
    make_search(&a);
    make_search(&b);
    const char *dirs[] = {strdup(at("up/")), strdup(at("inner/up"))};
    char *text = compared(dirs, 2, true);
    json_t *o = json_loads(text, 0, NULL), *searches = json_object_get(o, "searches");
    const json_t *s = json_array_get(searches, 0), *t = json_array_get(searches, 1);
    assert_true(fabs(number(s, "gain") - 0.2) < 1e-9 && fabs(number(t, "gain") - 0.1) < 1e-9);
    assert_true(number(s, "low") > 0.1 && number(s, "low") < 0.2);
    assert_true(strstr(word(s, "name"), "/up") && strstr(word(t, "name"), "/inner/up"));
    json_decref(o);
    free(text);
    for (int i = 0; i < 2; i++) free((void *)(uintptr_t)dirs[i]);
}

static void refused(const char *a, const char *b, int code_of, const char *part) {
    const char *dirs[] = {strdup(at(a)), b ? strdup(at(b)) : NULL};
    FILE *out = fopen("/dev/null", "w");
    assert_int_equal(search_compare(dirs, b ? 2 : 1, false, out, &e), code_of);
    if (!strstr(e.msg, part)) fail_msg("no \"%s\" in %s", part, e.msg);
    fclose(out);
    for (int i = 0; i < 2; i++) free((void *)(uintptr_t)dirs[i]);
}

static void what_cannot_be_compared(void **state) {
    (void)state;
    refused("tiny", NULL, ERR_INPUT, "/tiny: 1 search, expected two or more to compare");
    refused("tiny", "up", ERR_INPUT, "/up are measured by different metrics");
    refused("tiny", "inner", ERR_USAGE, "not the folder of a search");
}

/* The folder of a suite stands for its searches, those that have begun. */
static void a_suite_is_its_searches(void **state) {
    (void)state;
    struct made a = tiny, b = code;
    mkdir(at("suite"), 0777);
    a.name = "suite/tiny";
    b.name = "suite/code";
    make_search(&a);
    make_search(&b);
    FILE *f = create("suite", "suite.json");
    fputs("{\"base\": {}, \"budget\": {\"steps\": 100}, \"trials\": 20, \"space\": {\"lr\": "
          "{\"log\": [1e-4, 1e-2]}}, \"suite\": {\"tiny\": {\"data\": \"t\"}, \"code\": "
          "{\"data\": \"c\"}, \"later\": {\"data\": \"l\"}}}",
          f);
    fclose(f);
    const char *dirs[] = {strdup(at("suite"))};
    char *text = compared(dirs, 1, true);
    json_t *o = json_loads(text, 0, NULL), *searches = json_object_get(o, "searches");
    assert_int_equal(json_array_size(searches), 2);
    assert_string_equal(word(json_array_get(searches, 0), "name"), "tiny");
    assert_string_equal(word(json_array_get(searches, 1), "name"), "code");
    json_decref(o);
    free(text);
    f = create("suite", "suite.json"); /* one is there under another name */
    fputs("{\"base\": {}, \"budget\": {\"steps\": 100}, \"trials\": 20, \"space\": {\"lr\": "
          "{\"log\": [1e-4, 1e-2]}}, \"suite\": {\"tiny\": {\"data\": \"t\"}, \"cod\": "
          "{\"data\": \"c\"}}}",
          f);
    fclose(f);
    text = compared(dirs, 1, true);
    o = json_loads(text, 0, NULL);
    searches = json_object_get(o, "searches");
    assert_int_equal(json_array_size(searches), 2);
    assert_string_equal(word(json_array_get(searches, 1), "name"), "code");
    json_decref(o);
    free(text);
    free((void *)(uintptr_t)dirs[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table),
        cmocka_unit_test(where_higher_is_better),
        cmocka_unit_test(what_cannot_be_compared),
        cmocka_unit_test(a_suite_is_its_searches),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_all);
}
