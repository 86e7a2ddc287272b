/* Options from arguments, their errors, help and suggestions. */
#include "conf_fixture.h"

/* Arguments ----------------------------------------------------------------------------------- */

static void defaults(void **state) {
    (void)state;
    assert_int_equal(PARSE_NONE(), 0);
    assert_int_equal(o.steps, 1000);
    assert_int_equal(o.limit, 0);
    assert_true(o.lr == 3e-4 && o.eps == 0);
    assert_string_equal(o.engine, "backprop");
    assert_null(o.out);
    assert_string_equal(o.note, "none");
    assert_false(o.json);
    assert_int_equal(o.set.n, 0);
    assert_int_equal(o.threads, 2);
    assert_int_equal(c.n_pos, 0);
    assert_false(conf_given(&c, "steps"));
    conf_release(&c);
    conf_release(&c);
}

static void arguments(void **state) {
    (void)state;
    assert_int_equal(PARSE("first", "--steps=5", "--lr", "1e-3", "--eps", "-5", "--seed", "-7",
                           "--json", "--out", "dir", "--no-fast", "--engine", "mezo", "-", "--",
                           "--steps", "-x"),
                     0);
    assert_int_equal(o.steps, 5);
    assert_true(o.lr == 1e-3 && o.eps == -5);
    assert_int_equal(o.seed, -7);
    assert_true(o.json);
    assert_false(o.fast);
    assert_string_equal(o.out, "dir");
    assert_string_equal(o.engine, "mezo");
    assert_int_equal(c.n_pos, 4);
    assert_string_equal(c.pos[0], "first");
    assert_string_equal(c.pos[1], "-");
    assert_string_equal(c.pos[2], "--steps");
    assert_string_equal(c.pos[3], "-x");
    assert_true(conf_given(&c, "fast") && conf_given(&c, "steps") && !conf_given(&c, "note"));
    conf_release(&c);

    assert_int_equal(PARSE("-o", "a", "--fast", "--no-json", "--steps", "1", "--steps", "2"), 0);
    assert_string_equal(o.out, "a");
    assert_true(o.fast && !o.json);
    assert_int_equal(o.steps, 2);
    conf_release(&c);

    assert_int_equal(PARSE("-m", "a b", "-o", "x"), 0);
    assert_string_equal(o.note, "a b");
    conf_release(&c);

    assert_int_equal(PARSE("--note=", "--out=--steps", "--raw", "--nothing=known"), 0);
    assert_string_equal(o.note, "");
    assert_string_equal(o.out, "--steps");
    assert_string_equal(o.raw, "--nothing=known");
    conf_release(&c);
}

static void int_suffixes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"4k", 4000},       {"4K", 4000}, {"16M", 16000000},
                {"2G", 2000000000}, {"+7", 7},    {"007", 7}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(PARSE("--steps", good[i].text), 0);
        assert_int_equal(o.steps, good[i].value);
        conf_release(&c);
    }
    static const char *const bad[] = {"",
                                      "k",
                                      "4kk",
                                      "4m",
                                      "4 k",
                                      " 4",
                                      "4x",
                                      "1e3",
                                      "1.5",
                                      "--5",
                                      "99999999999999999999",
                                      "9999999999999999G"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        REFUSED("--steps is \"", "expected a whole number", "--steps", bad[i]);
        assert_has(e.msg, bad[i]);
    }
}

static void float_values(void **state) {
    (void)state;
    assert_int_equal(PARSE("--eps=-1.5e-320", "--lr", "0"), 0);
    assert_true(o.eps == -1.5e-320 && o.lr == 0);
    conf_release(&c);
    static const char *const bad[] = {"", "nan", "inf", "-inf", "1e999", "1,5", " 1", "1x", "e5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        REFUSED("--eps is \"", "expected a finite number", "--eps", bad[i]);
}

static void ranges(void **state) {
    (void)state;
    REFUSED("--limit is 0, expected 1 to 64", "", "--limit", "0");
    REFUSED("--limit is 65, expected 1 to 64", "", "--limit=65");
    REFUSED("--steps is 0, expected 1 to 1000000000000", "", "--steps", "0");
    REFUSED("--lr is 10.1, expected 0 to 10", "", "--lr", "10.1");
    REFUSED("--lr is -0.1, expected 0 to 10", "", "--lr", "-0.1");
    static const struct conf_row half[] = {
        CONF_INT(struct opts, steps, "low", "5", 5, INFINITY, ""),
        CONF_FLOAT(struct opts, lr, "high", "-1", -INFINITY, 0.5, ""), CONF_END};
    assert_int_equal(parse(half, (const char *const[]){"--low", "4", NULL}), ERR_USAGE);
    assert_string_equal(e.msg, "--low is 4, expected at least 5");
    conf_release(&c);
    assert_int_equal(parse(half, (const char *const[]){"--high", "0.75", NULL}), ERR_USAGE);
    assert_string_equal(e.msg, "--high is 0.75, expected at most 0.5");
    conf_release(&c);
    assert_int_equal(PARSE("--limit=1", "--lr=10"), 0);
    conf_release(&c);
}

static void wrong_arguments(void **state) {
    (void)state;
    REFUSED("unknown option --stepz", "did you mean --steps?", "--stepz", "5");
    REFUSED("unknown option --Steps", "did you mean --steps?", "--Steps=5");
    REFUSED("unknown option --no-jsn", "did you mean --no-json?", "--no-jsn");
    REFUSED("unknown option --no-steps", "", "--no-steps");
    REFUSED("unknown option --conifg", "did you mean --config?", "--conifg=x");
    REFUSED("unknown option --xyzzyqwerty", "--help lists the options", "--xyzzyqwerty");
    REFUSED("unknown option -x", "", "-x");
    REFUSED("unknown option --;", "", "--=5");
    REFUSED("--steps needs a value (N)", "", "--steps");
    REFUSED("--engine needs a value (one of: backprop mezo)", "", "--engine");
    REFUSED("--steps needs a value (N), found the option --json", "", "--steps", "--json");
    REFUSED("--out needs a value (DIR), found the option --steps=4", "", "--out", "--steps=4");
    REFUSED("--note needs a value", "", "--note", "--", "x");
    REFUSED("--config needs a value", "", "--config");
    REFUSED("--json takes no value", "--json=true", "--json=true");
    REFUSED("--engine is \"mez\", expected one of: backprop mezo", "", "--engine", "mez");
    REFUSED("--engine is \"\"", "expected one of", "--engine=");
    REFUSED("--engine is \"backprop mezo\"", "expected one of", "--engine", "backprop mezo");
    REFUSED("--set is \"abc\", expected key=value", "", "--set", "abc");
    REFUSED("--set is \"=5\", expected key=value", "", "--set", "=5");
    REFUSED("--note is not valid UTF-8", "", "--note", "caf\xe9");
    /* Not saved, so any bytes. */
    assert_int_equal(PARSE("--raw", "caf\xe9", "\xff"), 0);
    assert_string_equal(o.raw, "caf\xe9");
    conf_release(&c);
    char longer[400];
    memset(longer, '-', sizeof longer);
    longer[sizeof longer - 1] = 0;
    REFUSED("unknown option ---", "", longer);
}

static void help_wins(void **state) {
    (void)state;
    assert_int_equal(PARSE("--bad", "--help", "--steps", "x"), 0);
    assert_true(c.help);
    conf_release(&c);
    assert_int_equal(PARSE("-h"), 0);
    assert_true(c.help);
    conf_release(&c);
    assert_int_equal(PARSE("--", "-h"), 0);
    assert_false(c.help);
    assert_int_equal(c.n_pos, 1);
    conf_release(&c);
}

/* Help ---------------------------------------------------------------------------------------- */

static void help_shows_everything(void **state) {
    (void)state;
    char *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    conf_help(rows, false, f); /* without basic rows there is no short text */
    fclose(f);
    static const char *const parts[] = {"Training:\n",         "\nOutput:\n",
                                        "  --steps N  ",       "number of updates (default 1000)",
                                        "(default 3e-4)",      "--engine backprop|mezo",
                                        "(default backprop)",  "-o, --out DIR",
                                        "folder of the run\n", "--json",
                                        "--set KEY=VALUE",     "--config FILE",
                                        "-h, --help",          "--no-x"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_has(text, parts[i]);
    for (const struct conf_row *r = rows; r->type != CONF_T_END; r++)
        if (r->name) assert_has(text, r->name);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        assert_in_range(strlen(line), 1, 96);
    free(text);
}

static void short_help_shows_what_is_basic(void **state) {
    (void)state;
    static const struct conf_row some[] = {
        CONF_SECTION("First"),
        CONF_INT(struct opts, steps, "steps", "1000", 1, 1e12, "updates; and more about them",
                 .basic = true),
        CONF_BOOL(struct opts, json, "json", "print JSON"),
        CONF_SECTION("Second"),
        CONF_STRING(struct opts, out, "out", NULL, "DIR", "folder"),
        CONF_END};
    char *text;
    size_t size;
    assert_true(conf_has_short_help(some));
    assert_false(conf_has_short_help(rows));
    for (int all = 0; all < 2; all++) {
        FILE *f = open_memstream(&text, &size);
        conf_help(some, all, f);
        fclose(f);
        assert_has(text, "First:\n  --steps N  ");
        assert_has(text, all ? "updates; and more about them (default 1000)\n"
                             : " updates (default 1000)\n");
        assert_has(text, "-h, --help");
        assert_int_equal(strstr(text, "--json") != NULL, all);
        assert_int_equal(strstr(text, "Second") != NULL, all);
        assert_int_equal(strstr(text, "--config") != NULL, all);
        assert_int_equal(strstr(text, "\n--help all lists 4 more.\n") != NULL, !all);
        free(text);
    }
}

static void suggestions(void **state) {
    (void)state;
    static const char *const words[] = {"train", "eval", "generate", "tokenize", "tokenizer"};
    static const char *const cases[][2] = {{"trian", "train"},
                                           {"TRAIN", "train"},
                                           {"rain", "train"},
                                           {"tokenise", "tokenize"},
                                           {"tokeniser", "tokenizer"},
                                           {"genrate", "generate"},
                                           {"evla", "eval"},
                                           {"xy", NULL},
                                           {"", NULL},
                                           {"completely", NULL},
                                           {"e", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *found = conf_suggest(cases[i][0], words, 5);
        if (cases[i][1])
            assert_string_equal(found, cases[i][1]);
        else
            assert_null(found);
    }
    char longer[300];
    memset(longer, 'e', sizeof longer);
    longer[sizeof longer - 1] = 0;
    assert_null(conf_suggest(longer, words, 5));
    const char *only[] = {longer};
    assert_null(conf_suggest("eee", only, 1));
}

/* Company ------------------------------------------------------------------------------------- */

struct company {
    bool fast;
    int64_t rank, size;
    double share, rate;
    const char *engine, *task, *labels;
    struct conf_list files;
};
#define O struct company
static const struct conf_row company_rows[] = {
    CONF_BOOL(O, fast, "fast", "go fast", .def = "true", .with = "task"),
    CONF_INT(O, rank, "rank", "0", 0, 8, "rank"),
    CONF_INT(O, size, "size", "4k", 0, 1e6, "size", .without = "rank"),
    CONF_FLOAT(O, share, "share", "-1", 0, 1, "share", .with = "engine mezo", .above = true),
    CONF_FLOAT(O, rate, "rate", "-1", 0.5, 1, "rate"),
    CONF_CHOICE(O, engine, "engine", "backprop", "backprop mezo", "engine"),
    CONF_STRING(O, task, "task", NULL, "FILE", "task"),
    CONF_STRING(O, labels, "labels", NULL, "TEXT", "labels", .with = "task", .without = "rank"),
    CONF_LIST(O, files, "files", "FILE", "files", .without = "engine mezo"),
    CONF_END};
#undef O

static void company(void **state) {
    (void)state;
    static const struct {
        const char *arg[3], *error; /* of parsing, or of the company; NULL: neither */
    } cases[] = {
        {{NULL}, NULL},
        {{"--no-fast"}, "--fast belongs to --task"},
        {{"--no-fast", "--task=t"}, NULL},
        {{"--size=4000"}, NULL},
        {{"--size=4000", "--rank=2"}, NULL},
        {{"--size=5", "--rank=2"}, "--size has no effect with --rank"},
        {{"--share=0.5"}, "--share belongs to --engine mezo"},
        {{"--share=0.5", "--engine=mezo"}, NULL},
        {{"--share=-1"}, NULL},
        {{"--labels=a", "--task=t"}, NULL},
        {{"--labels=a", "--task=t", "--rank=1"}, "--labels has no effect with --rank"},
        {{"--files=x"}, NULL},
        {{"--files=x", "--engine=mezo"}, "--files has no effect with --engine mezo"},
        /* -1 beside the range is what the program decides; nothing else is. */
        {{"--share=0"},
         "--share is 0.0, expected a number above 0, at most 1, or -1 for the default"},
        {{"--share=-0.5"}, "--share is -0.5, expected a number above 0, at most 1, or -1 for the"},
        {{"--rate=-1"}, NULL},
        {{"--rate=0.4"}, "--rate is 0.4, expected 0.5 to 1, or -1 for the default"},
        {{"--rate=-2"}, "--rate is -2.0, expected 0.5 to 1, or -1 for the default"},
        {{"--rank=-1"}, "--rank is -1, expected 0 to 8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct conf conf;
        struct company opts;
        int n = 0;
        while (n < 3 && cases[i].arg[n]) n++;
        int rc = conf_parse(&conf, company_rows, &opts, n, (char **)(uintptr_t)cases[i].arg, &e);
        if (!rc) rc = conf_check_company(company_rows, &opts, &e);
        assert_int_equal(rc, cases[i].error ? ERR_USAGE : 0);
        if (rc && strncmp(e.msg, cases[i].error, strlen(cases[i].error)))
            fail_msg("%s, expected: %s", e.msg, cases[i].error);
        conf_release(&conf);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),              cmocka_unit_test(arguments),
        cmocka_unit_test(int_suffixes),          cmocka_unit_test(float_values),
        cmocka_unit_test(ranges),                cmocka_unit_test(wrong_arguments),
        cmocka_unit_test(help_shows_everything),
        cmocka_unit_test(short_help_shows_what_is_basic), cmocka_unit_test(help_wins),
        cmocka_unit_test(suggestions),
        cmocka_unit_test(company),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
