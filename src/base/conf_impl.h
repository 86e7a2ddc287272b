/* What conf.c, conf_json.c and conf_help.c share; nobody else includes this. */
#ifndef DUET_CONF_IMPL_H
#define DUET_CONF_IMPL_H

#include "conf.h"

/* Limits of what a config file may make us do. */
#define CONF_FILE_MAX ((size_t)1 << 20)
#define CONF_PAIRS_MAX 1000

/* Values of struct conf.given, weakest first. */
enum { FROM_DEFAULT, FROM_FILE, FROM_ARGS };

/* The row of an option by its name (n bytes, no dashes), or NULL. */
const struct conf_row *conf_find(const struct conf_row *rows, const char *name, size_t n);

/* The opts member of a row. */
static inline void *conf_field(const struct conf *c, const struct conf_row *row) {
    return (char *)c->opts + row->offset;
}

/* True if -1 stands for what the program decides. */
bool conf_decides(const struct conf_row *row);

/* A whole number with a decimal multiplier k, M, G; -1 if it is none, or out of range. */
int conf_parse_int(const char *text, int64_t *value);

/* Check and store a value. what: names the option and its place in messages. conf_set_string serves
 * CONF_T_STRING and CONF_T_CHOICE. A pair from a file gives way to one from the arguments; among
 * equals the later wins. */
int conf_set_int(struct conf *c, const struct conf_row *row, const char *what, int64_t value,
                 struct err *e);
int conf_set_float(struct conf *c, const struct conf_row *row, const char *what, double value,
                   struct err *e);
int conf_set_string(struct conf *c, const struct conf_row *row, const char *what, const char *value,
                    struct err *e);
int conf_add_item(struct conf *c, const struct conf_row *row, const char *value, struct err *e);
int conf_set_pair(struct conf *c, const struct conf_row *row, const char *what, const char *key,
                  const char *value, int from, struct err *e);

/* The shortest decimal that reads back as exactly x (finite), always with a point or an exponent,
 * so that JSON keeps it a real number. */
const char *conf_format_double(double x, char buf[32]);

/* The option whose name is nearest to word, or NULL. as_arg: as the command line knows them, with
 * --config, --help and --no-x. The result lives in buf. */
const char *conf_suggest_row(const struct conf_row *rows, const char *word, bool as_arg,
                             char buf[64]);

/* "-o" of "out"; NULL: an option has no letter. */
const char *conf_letter(const char *name);

#endif
