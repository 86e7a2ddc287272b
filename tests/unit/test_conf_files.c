/* Options from JSON files, their errors, and the form in which they are saved. */
#include "conf_fixture.h"

/* A config file with the given text; the caller removes it. */
static char path[] = "/tmp/duet-conf-XXXXXX";

static void write_config(const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_path(void **state) {
    (void)state;
    int fd = mkstemp(path);
    if (fd >= 0) close(fd);
    return fd < 0 ? -1 : 0;
}

static int remove_path(void **state) {
    (void)state;
    return unlink(path);
}

static void config_refused(const char *text, const char *a, const char *b) {
    write_config(text);
    assert_int_equal(PARSE("--config", path), ERR_USAGE);
    assert_has(e.msg, path);
    assert_has(e.msg, a);
    assert_has(e.msg, b);
    conf_release(&c);
}

static void config_values(void **state) {
    (void)state;
    write_config("{\"steps\": 7, \"lr\": 1, \"eps\": 1e-9, \"json\": true, \"out\": \"d\\u00e9\",\n"
                 " \"engine\": \"mezo\", \"threads\": 3, \"seed\": 2e3,\n"
                 " \"set\": {\"a\": 1, \"b\": \"x y\", \"c\": 0.5, \"d\": true, \"e\": null}}");
    assert_int_equal(PARSE("--config", path), 0);
    assert_int_equal(o.steps, 7);
    assert_int_equal(o.seed, 2000);
    assert_int_equal(o.threads, 3);
    assert_true(o.lr == 1 && o.eps == 1e-9 && o.json);
    assert_string_equal(o.out, "d\xc3\xa9");
    assert_string_equal(o.engine, "mezo");
    static const char *const values[] = {"1", "x y", "0.5", "true", "null"};
    assert_int_equal(o.set.n, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(o.set.key[i][0], 'a' + i);
        assert_string_equal(o.set.value[i], values[i]);
    }
    assert_true(conf_given(&c, "steps") && !conf_given(&c, "note"));
    conf_release(&c);
}

/* The command line wins wherever --config stands; pairs win key by key. */
static void config_precedence(void **state) {
    (void)state;
    write_config("{\"steps\": 7, \"lr\": 1, \"json\": true, \"set\": {\"a\": \"file\", \"b\": 2}}");
    assert_int_equal(PARSE("--steps", "9", "--no-json", "--set", "a=args", "--set", "c=3",
                           "--set=c=4", "--config", path, "--lr=2"),
                     0);
    assert_int_equal(o.steps, 9);
    assert_true(o.lr == 2 && !o.json);
    assert_int_equal(o.set.n, 3);
    static const char *const pairs[][2] = {{"a", "args"}, {"c", "4"}, {"b", "2"}};
    for (int i = 0; i < 3; i++) {
        assert_string_equal(o.set.key[i], pairs[i][0]);
        assert_string_equal(o.set.value[i], pairs[i][1]);
    }
    /* Read later, as --resume does: still below the arguments, above the earlier file. */
    write_config("{\"steps\": 70, \"note\": \"later\", \"set\": {\"a\": 0, \"b\": \"later\"}}");
    assert_int_equal(conf_read_file(&c, path, &e), 0);
    assert_int_equal(o.steps, 9);
    assert_string_equal(o.note, "later");
    assert_string_equal(o.set.value[0], "args");
    assert_string_equal(o.set.value[2], "later");
    conf_release(&c);
}

static void assert_list(const char *a, const char *b, size_t n) {
    const char *const want[] = {a, b};
    assert_int_equal(o.file.n, n);
    for (size_t i = 0; i < 2 && i < n; i++) assert_string_equal(o.file.item[i], want[i]);
}

/* Values of a list come in their order; a list is taken from one place only. */
static void lists(void **state) {
    (void)state;
    char *text;
    assert_int_equal(PARSE_NONE(), 0);
    assert_list(NULL, NULL, 0);
    assert_false(conf_given(&c, "file"));
    text = conf_to_json(&c, NULL, NULL);
    assert_null(strstr(text, "file"));
    free(text);
    conf_release(&c);
    assert_int_equal(PARSE("--file", "b \"x\"", "--file=a", "--file", "b"), 0);
    assert_list("b \"x\"", "a", 3);
    text = conf_to_json(&c, NULL, NULL);
    assert_has(text, "\"file\": [\"b \\\"x\\\"\", \"a\", \"b\"]");
    conf_release(&c);
    write_config(text);
    free(text);
    assert_int_equal(PARSE("--config", path), 0);
    assert_list("b \"x\"", "a", 3);
    assert_int_equal(conf_read_defaults_text(&c, "{\"file\": [\"other\"]}", "text", &e), 0);
    assert_list("b \"x\"", "a", 3);
    write_config("{\"file\": \"alone\"}"); /* a later file takes the place of an earlier one */
    assert_int_equal(conf_read_file(&c, path, &e), 0);
    assert_list("alone", NULL, 1);
    conf_release(&c);
    assert_int_equal(PARSE("--file", "mine", "--config", path), 0);
    assert_list("mine", NULL, 1);
    conf_release(&c);
    write_config("{\"file\": []}");
    assert_int_equal(PARSE("--config", path), 0);
    assert_list(NULL, NULL, 0);
    conf_release(&c);
    const char *many[31] = {0};
    for (int i = 0; i < 15; i++) many[2 * i] = "--file", many[2 * i + 1] = "x";
    assert_int_equal(parse(rows, many), 0);
    assert_list("x", "x", 15);
    conf_release(&c);
    config_refused("{\"file\": 3}", "\"file\" is 3, expected a string or an array of strings", "");
    config_refused("{\"file\": {}}", "\"file\" is an object, expected a string or an array", "");
    config_refused("{\"file\": [\"a\", null]}", "\"file\", item 1, is null, expected a string",
                   "");
    REFUSED("--file needs a value", "", "--file");
    REFUSED("--file is not valid UTF-8 text", "", "--file", "\xff");
}

static void config_errors(void **state) {
    (void)state;
    config_refused("{\"steps\": \"7\"}", "\"steps\" is \"7\", expected a whole number", "");
    config_refused("{\"steps\": 7.5}", "\"steps\" is 7.5, expected a whole number", "");
    config_refused("{\"steps\": 1e300}", "\"steps\" is 1", "expected a whole number");
    config_refused("{\"steps\": 0}", "\"steps\" is 0, expected 1 to 1000000000000", "");
    config_refused("{\"lr\": null}", "\"lr\" is null, expected a number", "");
    config_refused("{\"lr\": -1}", "\"lr\" is -1", "expected 0 to 10");
    config_refused("{\"json\": 1}", "\"json\" is 1, expected true or false", "");
    config_refused("{\"out\": [1]}", "\"out\" is an array, expected a string", "");
    config_refused("{\"out\": 3}", "\"out\" is 3, expected a string", "");
    config_refused("{\"engine\": \"x\"}", "\"engine\" is \"x\"", "backprop mezo");
    config_refused("{\"set\": \"a=1\"}", "\"set\" is \"a=1\", expected an object", "");
    config_refused("{\"set\": {\"a\": {}}}", "\"set\", key \"a\", is an object",
                   "expected a string");
    config_refused("{\"stepz\": 1}", "unknown key \"stepz\"", "did you mean \"steps\"?");
    config_refused("{\"no-json\": true}", "unknown key \"no-json\"", "did you mean \"json\"?");
    config_refused("{\"config\": \"x\"}", "unknown key \"config\"", "");
    config_refused("[1, 2]", "is an array, expected an object", "");
    config_refused("", "line", "not valid JSON");
    config_refused("{\n\"steps\": 1,\n\"lr\" 2}", "line 3", "not valid JSON");
    config_refused("{\"steps\": 1,\n\"steps\": 2}", "line 2", "duplicate");
    config_refused("{\"set\": {\"a\": 1, \"a\": 2}}", "duplicate", "");
    config_refused("{\"lr\": 1e999}", "not valid JSON", "overflow");
    config_refused("{\"note\": \"\xff\"}", "not valid JSON", "");
    config_refused("{} x", "not valid JSON", "");

    assert_int_equal(PARSE("--config", "/tmp/duet-no-such-file.json"), ERR_IO);
    assert_has(e.msg, "cannot open /tmp/duet-no-such-file.json");
    conf_release(&c);
    assert_int_equal(PARSE("--config", "/dev/zero"), ERR_INPUT);
    assert_has(e.msg, "/dev/zero is longer");
    conf_release(&c);
}

/* Hostile files: deep nesting and many pairs end in a message soon. */
static void config_hostile(void **state) {
    (void)state;
    enum { DEPTH = 200000 };
    char *text = malloc(DEPTH + 1);
    memset(text, '[', DEPTH);
    text[DEPTH] = 0;
    config_refused(text, "not valid JSON", "depth");
    free(text);
    char *pairs = malloc(40000), *p = pairs + sprintf(pairs, "{\"set\": {\"k\": 1");
    for (int i = 0; i < 1000; i++) p += sprintf(p, ", \"k%d\": %d", i, i);
    strcpy(p, "}}");
    config_refused(pairs, "has more than 1000 keys", "");
    strcpy(pairs + 9, "\"q\": 1"); /* one key less: every one is kept */
    p = pairs + strlen(pairs);
    for (int i = 0; i < 999; i++) p += sprintf(p, ", \"k%d\": %d", i, i);
    strcpy(p, "}}");
    write_config(pairs);
    free(pairs);
    assert_int_equal(PARSE("--config", path), 0);
    assert_int_equal(o.set.n, 1000);
    for (int i = 0; i < 999; i++) assert_int_equal(atoi(o.set.value[i + 1]), i);
    conf_release(&c);
}

/* What is saved and read again is the same run: bits of doubles, any text, pairs. */
static void json_round_trip(void **state) {
    (void)state;
    struct rng r = rng_make(3, RNG_TEST, 0, 0, 0);
    for (int round = 0; round < 300; round++) {
        char eps[64], lr[64], seed[32];
        uint64_t bits = rng_next(&r);
        double x;
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x) || round == 0) x = round == 0 ? -0.0 : 3;
        snprintf(eps, sizeof eps, "%.17g", x);
        snprintf(lr, sizeof lr, "%.17g", 10 * rng_double(&r));
        snprintf(seed, sizeof seed, "%lld",
                 (long long)(rng_below(&r, (uint64_t)2e18) - (uint64_t)1e18));
        assert_int_equal(PARSE("--eps", eps, "--lr", lr, "--seed", seed, "--fast", "--note",
                               "tab\t \"quoted\" \\ \x01 \xc3\xa9 \n", "--set", "a=b=c", "--set",
                               "\"k\"=", "--threads", "9"),
                         0);
        struct opts was = o;
        char *text = conf_to_json(&c, NULL, NULL);
        assert_non_null(text);
        assert_null(strstr(text, "threads"));
        write_config(text);
        struct conf first = c;
        int rc = PARSE("--config", path);
        if (rc) fail_msg("%s in %s", e.msg, text);
        char *again = conf_to_json(&c, NULL, NULL);
        assert_string_equal(again, text);
        assert_int_equal(o.seed, was.seed);
        assert_memory_equal(&o.eps, &was.eps, sizeof o.eps);
        assert_memory_equal(&o.lr, &was.lr, sizeof o.lr);
        assert_string_equal(o.note, was.note);
        assert_true(o.fast && !o.json && !o.out && o.threads == 2);
        assert_int_equal(o.set.n, 2);
        assert_string_equal(o.set.value[0], "b=c");
        assert_string_equal(o.set.key[1], "\"k\"");
        assert_string_equal(o.set.value[1], "");
        assert_false(conf_given(&c, "limit"));
        free(text);
        free(again);
        conf_release(&c);
        conf_release(&first);
    }
}

/* Paths of sources count from the folder of the config file, and are written so. */
static void source_paths(void **state) {
    (void)state;
    static const struct conf_row files[] = {
        CONF_STRING(struct opts, note, "note", NULL, "FILE", "a source", .resume = RESUME_SOURCE,
                    .choices = "byte"),
        CONF_STRING(struct opts, out, "out", NULL, "FILE", "another file"), CONF_END};
    char dir[] = "/tmp/duet-conf-XXXXXX", sub[64], file[64], config[128], want[512];
    assert_non_null(mkdtemp(dir));
    snprintf(sub, sizeof sub, "%s/run", dir);
    snprintf(file, sizeof file, "%s/text", dir);
    snprintf(config, sizeof config, "%s/config.json", sub);
    assert_int_equal(mkdir(sub, 0700), 0);
    fclose(fopen(file, "w"));
    const char *const give[] = {file, "byte", "/bin/sh", "/gone"};
    const char *const then[] = {"../text", "byte", "/bin/sh", "/gone"};
    for (int i = 0; i < 4; i++) {
        const char *words[] = {"--note", give[i], "--out", "../x", NULL};
        assert_int_equal(parse(files, words), 0);
        char *text = conf_to_json(&c, sub, NULL), *real = realpath(then[i], NULL);
        const char *as = i == 2 ? real : then[i];
        snprintf(want, sizeof want, "{\n  \"note\": \"%s\",\n  \"out\": \"../x\"\n}\n", as);
        assert_string_equal(text, want);
        FILE *f = fopen(config, "w");
        fputs(text, f);
        fclose(f);
        conf_release(&c);
        const char *from[] = {"--config", config, NULL};
        assert_int_equal(parse(files, from), 0);
        snprintf(want, sizeof want, "%s/../text", sub);
        assert_string_equal(o.note, i ? as : want);
        assert_string_equal(o.out, "../x"); /* no source: as it is */
        if (!i) remove(file); /* the way to it is kept */
        char *again = conf_to_json(&c, sub, NULL);
        assert_string_equal(again, text);
        free(again);
        free(text);
        free(real);
        conf_release(&c);
    }
    remove(config);
    rmdir(sub);
    rmdir(dir);
}

static void json_is_readable(void **state) {
    (void)state;
    assert_int_equal(PARSE("--lr", "0.1", "--limit", "3", "--out", "x"), 0);
    char *text = conf_to_json(&c, NULL, NULL);
    assert_string_equal(text, "{\n  \"steps\": 1000,\n  \"seed\": 0,\n  \"limit\": 3,\n"
                              "  \"lr\": 0.1,\n  \"engine\": \"backprop\",\n  \"out\": \"x\",\n"
                              "  \"note\": \"none\",\n  \"json\": false,\n  \"fast\": false,\n"
                              "  \"set\": {}\n}\n");
    free(text);
    conf_release(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_values),    cmocka_unit_test(config_precedence),
        cmocka_unit_test(lists),            cmocka_unit_test(config_errors),
        cmocka_unit_test(config_hostile),   cmocka_unit_test(json_round_trip),
        cmocka_unit_test(source_paths),     cmocka_unit_test(json_is_readable),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
