/* Options of a command as a table of rows: parsing of arguments and JSON configs, defaults, help
 * and the saved config.json all follow from the table.
 *
 *   struct opts { int64_t steps; double lr; const char *out; bool json; };
 *   static const struct conf_row rows[] = {
 *       CONF_SECTION("Training"),
 *       CONF_INT(struct opts, steps, "steps", "1000", 1, 1e12, "number of updates"),
 *       CONF_FLOAT(struct opts, lr, "lr", "3e-4", 0, 10, "peak learning rate"),
 *       CONF_STRING(struct opts, out, "out", NULL, "DIR", "folder of the run"),
 *       CONF_BOOL(struct opts, json, "json", "print the result as JSON"),
 *       CONF_END
 *   };
 *
 * Values come, later ones winning, from: the row's default, `--config FILE` (a JSON object whose
 * keys are the option names without dashes in front; a source's path that begins with ./ or ../
 * counts from the folder of FILE), the command line. `--name value`,
 * `--name=value`; a boolean is `--name` or `--no-name`. `--set key=value` rows collect pairs, those
 * of files and the command line together. `--data FILE` rows of a list collect values in their
 * order; a list from the command line takes the place of one from a file, where it is an array or
 * a single string. `-o` is `--out`, `-n` is `--samples` and `-m` is `--note` where a command has
 * them, `-h` is `--help`; `--` ends the options. Text that is saved (not internal) must be UTF-8,
 * as JSON is.
 * Unknown names, missing or malformed values, and values out of range are ERR_USAGE, with the
 * nearest known name as a suggestion. */
#ifndef DUET_CONF_H
#define DUET_CONF_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum conf_type {
    CONF_T_END,
    CONF_T_SECTION, /* help text only */
    CONF_T_BOOL,    /* bool; default false, or true with def "true" */
    CONF_T_INT,     /* int64_t; accepts 4096, 4k, 16M (decimal multipliers k, M, G) */
    CONF_T_FLOAT,   /* double; finite */
    CONF_T_STRING,  /* const char *; NULL when default is NULL */
    CONF_T_CHOICE,  /* const char *; one of the words in choices */
    CONF_T_PAIRS,   /* struct conf_pairs; may be given several times as key=value */
    CONF_T_LIST,    /* struct conf_list; may be given several times; no default */
    CONF_T_GONE,    /* an option of earlier versions: no member, no help text */
};

/* What a command that goes on with recorded work (train --resume) may do with an option of it. */
enum conf_resume {
    RESUME_UNSAID,   /* not an option of such a command */
    RESUME_FREE,     /* may change */
    RESUME_RECORDED, /* may change, but not while the work's updates are recorded one by one: a
                        replay has one set of options */
    RESUME_FIXED,    /* what the work so far holds, or is measured by, cannot change */
    RESUME_SOURCE,   /* a file: what it held at the start counts, not where it is */
    RESUME_START,    /* belongs to new work only */
};

struct conf_row {
    enum conf_type type;
    const char *name; /* without dashes */
    size_t offset;
    /* Text of the default; NULL: none. "-1" of a number stands for what the program decides: it is
     * allowed beside [min, max], and not written while nothing is decided. */
    const char *def;
    double min, max;
    bool above; /* not min itself, but any number above it */
    const char *arg;     /* placeholder in help: N, FILE, ... */
    const char *choices; /* words separated by blanks; of a source: words that are no paths */
    const char *help;
    bool basic;    /* in the short help too (conf_help) */
    bool internal; /* not written by conf_to_json (it says how to run, not what to compute) */
    bool label;    /* what people call the work: written beside a record only (conf_to_json) */
    enum conf_resume resume;
    bool path; /* it names a file, whose path is written and read as a source's is */
    /* Another option ("task"), or one of its words ("engine mezo"), with which alone it has an
     * effect; with which it has none. NULL: there is no such option (conf_check_company). */
    const char *with, *without;
};

struct conf_pairs {
    char **key, **value; /* owned by the struct conf that parsed them */
    size_t n, n_args;    /* the first n_args came from the command line */
};

struct conf_list {
    const char **item; /* owned by the struct conf that parsed them */
    size_t n;
};

/* The last argument is the help text; further members may follow it: "...", .internal = true */
#define CONF_SECTION(title) {.type = CONF_T_SECTION, .help = title}
#define CONF_BOOL(S, f, n, ...)                                                                    \
    {.type = CONF_T_BOOL, .name = n, .offset = offsetof(S, f), .help = __VA_ARGS__}
#define CONF_INT(S, f, n, d, lo, hi, ...)                                                          \
    {.type = CONF_T_INT, .name = n, .offset = offsetof(S, f), .def = d, .min = lo, .max = hi,      \
     .arg = "N", .help = __VA_ARGS__}
#define CONF_FLOAT(S, f, n, d, lo, hi, ...)                                                        \
    {.type = CONF_T_FLOAT, .name = n, .offset = offsetof(S, f), .def = d, .min = lo, .max = hi,    \
     .arg = "X", .help = __VA_ARGS__}
#define CONF_STRING(S, f, n, d, a, ...)                                                            \
    {.type = CONF_T_STRING, .name = n, .offset = offsetof(S, f), .def = d, .arg = a,               \
     .help = __VA_ARGS__}
#define CONF_CHOICE(S, f, n, d, c, ...)                                                            \
    {.type = CONF_T_CHOICE, .name = n, .offset = offsetof(S, f), .def = d, .choices = c,           \
     .help = __VA_ARGS__}
#define CONF_PAIRS(S, f, n, a, ...)                                                                \
    {.type = CONF_T_PAIRS, .name = n, .offset = offsetof(S, f), .arg = a, .help = __VA_ARGS__}
#define CONF_LIST(S, f, n, a, ...)                                                                 \
    {.type = CONF_T_LIST, .name = n, .offset = offsetof(S, f), .arg = a, .help = __VA_ARGS__}
/* Of an option that is no more, what files recorded is passed over where it is `d`, what the
 * program does now; where it is one of the words `c`, and on the command line, it is refused with
 * the help text; anything else it never was. */
#define CONF_GONE(n, d, c, ...)                                                                    \
    {.type = CONF_T_GONE, .name = n, .def = d, .choices = c, .help = __VA_ARGS__}
#define CONF_END {.type = CONF_T_END}

/* What one parse owns: strings, and the positional arguments. */
struct conf {
    const struct conf_row *rows;
    void *opts;
    char **owned; /* every string handed out */
    size_t n_owned, cap_owned;
    const char **pos; /* positional arguments, borrowed from argv */
    int n_pos;
    uint8_t *given; /* per row: 0 default, 1 from a config file, 2 from the command line */
    bool help;      /* --help or -h was there: nothing else was checked */
    bool help_all;  /* with "all" behind it */
};

/* Sets defaults, then reads argv[0..argc). `--config`, `--color` (term.h) and
 * `--help` are known to every command. opts holds borrowed strings that live until conf_release. */
int conf_parse(struct conf *c, const struct conf_row *rows, void *opts, int argc, char **argv,
               struct err *e);

/* Applies a JSON object file, as `--config` does, to rows not given on the command line. Keys of
 * internal rows are allowed; unknown keys are errors. */
int conf_read_file(struct conf *c, const char *path, struct err *e);

/* The same for a recorded configuration: it takes the place of defaults only, whatever was given on
 * the command line or in `--config` files wins. */
int conf_read_defaults(struct conf *c, const char *path, struct err *e);

/* The same from text. path: where it comes from, for messages. */
int conf_read_defaults_text(struct conf *c, const char *text, const char *path, struct err *e);

/* The file that option `key` of such a file names, as conf_read_file finds it: *source, malloc()ed,
 * NULL if the file does not have it. For whoever does not know the other options. */
int conf_file_source(const char *path, const char *key, char **source, struct err *e);

/* The row of an option, or NULL. */
const struct conf_row *conf_row(const struct conf_row *rows, const char *name);

/* True if the option has the same value in both, of the same table. Of pairs: every pair that a got
 * from the command line is one of b's. */
bool conf_same(const struct conf *a, const struct conf *b, const struct conf_row *row);

/* A value as conf_to_json writes it: malloc()ed. */
char *conf_text(const struct conf *c, const struct conf_row *row);

/* Refuses the first option whose value in opts is not its default, and which says so of another
 * (`with`, `without`): ERR_USAGE. */
int conf_check_company(const struct conf_row *rows, const void *opts, struct err *e);

/* True if the option was given on the command line or in a config file. */
bool conf_given(const struct conf *c, const char *name);

/* True if its value is that of a config file, or of a recorded configuration. */
bool conf_from_file(const struct conf *c, const char *name);

/* All non-internal values as one JSON object: a file for `--config` that repeats the run, from any
 * folder if `dir` is the one that it is written to: paths of sources (RESUME_SOURCE) and of `path`
 * rows are then relative to it ("./x", "../x"), or absolute where the two share no folder but the
 * root. dir NULL: values as they are. What is left to the program, as -1 or auto, is left out.
 * record: the JSON object that becomes the last member, CONF_RECORD; NULL: none, and no labels.
 * malloc()ed. */
char *conf_to_json(const struct conf *c, const char *dir, const char *record);

/* Where and by what the options were used, which readers pass over: an object of that name. */
#define CONF_RECORD "run"

/* Options part of a help text: every name, placeholder or choices, default and help. Where some
 * rows are `basic`, and not all are asked for, it is a short one: these only, a line each, their
 * help up to the first semicolon, and how many others there are. */
void conf_help(const struct conf_row *rows, bool all, FILE *out);

/* True if that would be a short one. */
bool conf_has_short_help(const struct conf_row *rows);

/* --config and --help, which every command has, unless it has its own of that name. Ends with
 * CONF_END. */
extern const struct conf_row conf_common[];

void conf_release(struct conf *c); /* accepts all zeros */

/* True if s is one of the words of a list with blanks between them. */
bool conf_has_word(const char *list, const char *s);

/* Does the option name a file? */
static inline bool conf_is_path(const struct conf_row *row) {
    return row->path || row->resume == RESUME_SOURCE;
}

/* The candidate nearest to word by edit distance, or NULL if none is near. words: n strings. */
const char *conf_suggest(const char *word, const char *const *words, size_t n);

#endif
