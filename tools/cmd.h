/* Subcommands of `duet`.
 *
 * Adding one: write cmd_x.c with a `const struct cmd cmd_x`, add X(x) to COMMANDS and the file to
 * tools/meson.build. Help, dispatch, suggestions, completion and the check that every option is
 * documented follow. */
#ifndef DUET_CMD_H
#define DUET_CMD_H

#include "conf.h"
#include "err.h"
#include "machine.h"

#include <stdio.h>

#define COMMANDS(X)                                                                                \
    X(train) X(search) X(experiment) X(eval) X(generate) X(tokenize) X(tokenizer) X(stories)       \
    X(info) X(convert)                                                                             \
    X(adapter) X(runs) X(compare) X(diff) X(plan) X(plot) X(replay) X(audit) X(bench)              \
    X(hardware) X(completion)

/* Codes beside those of err.h, each with an exit status of its own. */
enum {
    CMD_DIFFERS = 64, /* what a command compared differs, which is no error: nothing is reported */
    /* Of train, with *e filled: the memory that it plans is not there; memory ran out; diverged. */
    CMD_REFUSED,
    CMD_NO_MEMORY,
    CMD_DIVERGED,
};

struct cmd {
    const char *name;
    const char *summary;         /* one line for `duet --help` */
    const char *usage;           /* what follows "duet name ", one line a form */
    const char *notes;           /* more lines under the options of `duet name --help`, or NULL */
    void (*lists)(FILE *out);    /* prints what the choices mean, after the notes; or NULL */
    const char *(*verb)(size_t i); /* the i-th word that the first argument may be, NULL behind the
                                    * last; NULL: there are none */
    bool verb_or_file;           /* beside these it may be a file */
    const struct conf_row *rows; /* every option */
    /* argv starts after the command's name. Returns 0 or an enum err_code with *e filled; never
     * exits, so that everything is released. */
    int (*run)(int argc, char **argv, struct err *e);
};

#define X(name) extern const struct cmd cmd_##name;
COMMANDS(X)
#undef X

extern const struct cmd *const commands[]; /* in the order of COMMANDS */
extern const size_t n_commands;
const struct cmd *cmd_find(const char *name); /* or NULL */

/* For `lists`: engines, optimizers and GEMM backends; model formats. */
void cmd_list_training(FILE *out);
void cmd_list_formats(FILE *out);

/* The option --threads of a command with options S. */
#define THREADS_ROW(S, f)                                                                          \
    CONF_INT(S, f, "threads", "0", 0, 4096,                                                        \
             "threads; 0: one per processor. Results do not depend on it")

/* The machine of a command: so many threads, products in f32. */
int cmd_machine(struct machine *m, int64_t threads, struct err *e);

/* The arguments from number `from` on must be least to most, else ERR_USAGE: "WHAT takes NEEDS;
 * found ...". */
int cmd_count(const char *what, const struct conf *conf, int from, int least, int most,
              const char *needs, struct err *e);

/* Conf-parses argv against c->rows into opts; on --help prints the help text to stdout and sets
 * *done. */
int cmd_parse(const struct cmd *c, struct conf *conf, void *opts, int argc, char **argv, bool *done,
              struct err *e);

#endif
