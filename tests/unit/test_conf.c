/* Options from arguments and JSON files, their errors, help, suggestions and saved form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "conf.h"
#include "rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct opts {
    int64_t steps, seed, limit;
    double lr, eps;
    const char *out, *note, *engine;
    bool json, fast;
    struct conf_pairs set;
    struct conf_list file;
    int64_t threads;
    const char *raw;
};

static const struct conf_row rows[] = {
    CONF_SECTION("Training"),
    CONF_INT(struct opts, steps, "steps", "1000", 1, 1e12, "number of updates"),
    CONF_INT(struct opts, seed, "seed", "0", -1e18, 1e18, "run seed"),
    CONF_INT(struct opts, limit, "limit", NULL, 1, 64, "at most so many"),
    CONF_FLOAT(struct opts, lr, "lr", "3e-4", 0, 10, "peak learning rate"),
    CONF_FLOAT(struct opts, eps, "eps", NULL, -INFINITY, INFINITY, "perturbation"),
    CONF_CHOICE(struct opts, engine, "engine", "backprop", "backprop mezo", "which gradient"),
    CONF_SECTION("Output"),
    CONF_STRING(struct opts, out, "out", NULL, "DIR", "folder of the run"),
    CONF_STRING(struct opts, note, "note", "none", "TEXT",
                "a remark that is long enough for its help to be broken over several lines because "
                "it does not fit on one, whatever the terminal"),
    CONF_BOOL(struct opts, json, "json", "print the result as JSON"),
    CONF_BOOL(struct opts, fast, "fast", "be quick"),
    CONF_PAIRS(struct opts, set, "set", "KEY=VALUE", "override a field of the model"),
    CONF_LIST(struct opts, file, "file", "FILE", "a text (repeatable)"),
    {.type = CONF_T_INT,
     .name = "threads",
     .offset = offsetof(struct opts, threads),
     .def = "2",
     .min = 1,
     .max = 256,
     .arg = "N",
     .help = "threads",
     .internal = true},
    {.type = CONF_T_STRING,
     .name = "raw",
     .offset = offsetof(struct opts, raw),
     .arg = "TEXT",
     .help = "any bytes",
     .internal = true},
    CONF_END,
};

static struct opts o;
static struct conf c;
static struct err e;

static int parse(const struct conf_row *r, const char *const *words) {
    static char copy[32][512];
    static char *argv[33];
    int argc = 0;
    for (; words[argc]; argc++) {
        assert_in_range(argc, 0, 31);
        snprintf(copy[argc], sizeof copy[argc], "%s", words[argc]);
        argv[argc] = copy[argc];
    }
    argv[argc] = NULL;
    memset(&o, 0xAA, sizeof o); /* defaults must not depend on what was there */
    memset(&e, 0, sizeof e);
    return conf_parse(&c, r, &o, argc, argv, &e);
}

#define PARSE(...) parse(rows, (const char *const[]){__VA_ARGS__, NULL})
#define PARSE_NONE() parse(rows, (const char *const[]){NULL})

static void assert_has(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("expected \"%s\" in \"%s\"", part, text);
}

/* The arguments are refused as a usage error whose sentence has the given parts. */
#define REFUSED(a, b, ...)                                                                         \
    do {                                                                                           \
        assert_int_equal(PARSE(__VA_ARGS__), ERR_USAGE);                                           \
        assert_has(e.msg, a);                                                                      \
        assert_has(e.msg, b);                                                                      \
        conf_release(&c);                                                                          \
    } while (0)

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
    REFUSED("--steps needs a value", "", "--steps");
    REFUSED("--steps needs a value, found the option --json", "", "--steps", "--json");
    REFUSED("--out needs a value, found the option --steps=4", "", "--out", "--steps=4");
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

/* Files --------------------------------------------------------------------------------------- */

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
    text = conf_to_json(&c, NULL);
    assert_null(strstr(text, "file"));
    free(text);
    conf_release(&c);
    assert_int_equal(PARSE("--file", "b \"x\"", "--file=a", "--file", "b"), 0);
    assert_list("b \"x\"", "a", 3);
    text = conf_to_json(&c, NULL);
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
        char *text = conf_to_json(&c, NULL);
        assert_non_null(text);
        assert_null(strstr(text, "threads"));
        write_config(text);
        struct conf first = c;
        int rc = PARSE("--config", path);
        if (rc) fail_msg("%s in %s", e.msg, text);
        char *again = conf_to_json(&c, NULL);
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
        char *text = conf_to_json(&c, sub), *real = realpath(then[i], NULL);
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
        char *again = conf_to_json(&c, sub);
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
    char *text = conf_to_json(&c, NULL);
    assert_string_equal(text, "{\n  \"steps\": 1000,\n  \"seed\": 0,\n  \"limit\": 3,\n"
                              "  \"lr\": 0.1,\n  \"engine\": \"backprop\",\n  \"out\": \"x\",\n"
                              "  \"note\": \"none\",\n  \"json\": false,\n  \"fast\": false,\n"
                              "  \"set\": {}\n}\n");
    free(text);
    conf_release(&c);
}

/* Help ---------------------------------------------------------------------------------------- */

static void help_shows_everything(void **state) {
    (void)state;
    char *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    conf_help(rows, f);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(arguments),
        cmocka_unit_test(int_suffixes),
        cmocka_unit_test(float_values),
        cmocka_unit_test(ranges),
        cmocka_unit_test(wrong_arguments),
        cmocka_unit_test(help_wins),
        cmocka_unit_test(config_values),
        cmocka_unit_test(config_precedence),
        cmocka_unit_test(lists), cmocka_unit_test(config_errors),
        cmocka_unit_test(config_hostile),
        cmocka_unit_test(json_round_trip),
        cmocka_unit_test(source_paths),
        cmocka_unit_test(json_is_readable),
        cmocka_unit_test(help_shows_everything),
        cmocka_unit_test(suggestions),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
