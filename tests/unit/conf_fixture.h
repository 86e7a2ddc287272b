/* What the tests of options share: rows of every kind, and a parse whose defaults count. */
#ifndef DUET_CONF_FIXTURE_H
#define DUET_CONF_FIXTURE_H

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

static inline int parse(const struct conf_row *r, const char *const *words) {
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

static inline void assert_has(const char *text, const char *part) {
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

#endif
