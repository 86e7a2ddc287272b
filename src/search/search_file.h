/* The file that says what a search is. The smallest:
 *
 *   {"base": {"model": "models/demo.json", "tokenizer": "tok.json", "data": "s.txt"},
 *    "budget": {"steps": 400}, "trials": 60,
 *    "space": {"lr": {"log": [1e-4, 1e-2]}, "set.num_hidden_layers": {"int": [2, 8]}}}
 *
 * key          default      is
 * base                      options of `duet train` that all trials share, as in a config.json, or
 *                           the path of such a file, which counts from the folder of this one
 * budget                    what a trial may use: one of time (seconds), steps, tokens, flops
 * space                     what may change (space.h): options, "set.KEY", "program"
 * trials                    configurations at most, the base included
 * metric       "val_bpb"    a key of summary.json, or {"key": K, "better": "lower" or "higher",
 *                           "exact": true}, or {"command": "sh score.sh", "better": ...}: a program
 *                           that is run in a trial's folder and prints a number. exact: val_bpb of
 *                           whole documents (eval --exact); the default where the key is val_bpb.
 *                           "better" must be given but for val_bpb and losses, which are to be low
 * strategy     "tpe"        a name, or {"name": "tpe", "startup": 20} (strategy.h)
 * seed         1            of the proposals
 * seeds        8            seeds that a configuration is trained with at most, while undecided
 * confidence   0.95         at which one is kept (gate.h); 0: whatever is better at its first seed
 * every_seed   false        all configurations are trained with all seeds, whatever the first say
 * limits       {}           peak_rss_mb, num_params_M, seconds: a trial beyond one fails
 * jobs         1            trials at a time
 * program      this one     the duet that trains, and evaluates what any other has trained
 * launcher     none         what is put before a trial's command: "srun -n1 -c8", or an array
 *
 * With the strategy "hand" space may be left out. Everything else is an error, with what may have
 * been meant. So are axes of data, evaluation, length and place: the trials would not be
 * comparable. */
#ifndef DUET_SEARCH_FILE_H
#define DUET_SEARCH_FILE_H

#include "conf.h"
#include "space.h"
#include "strategy.h"

#define SEARCH_BUDGETS(X) X(time) X(steps) X(tokens) X(flops)
enum search_budget {
#define X(name) SEARCH_##name,
    SEARCH_BUDGETS(X)
#undef X
};

struct search_metric {
    const char *key;   /* of summary.json; NULL: command */
    json_t *command;   /* array of strings, or NULL */
    bool higher;       /* is better; history values are then negated */
    bool exact;
};

struct search_file {
    char *path;
    json_t *json;     /* the whole file; what is const char * below lies in it */
    json_t *base;     /* object of options */
    char *base_path;  /* where it was read from, or NULL: the file itself */
    enum search_budget budget;
    double amount; /* of it */
    struct space space;
    struct strategy_choice strategy;
    struct search_metric metric;
    int64_t trials, seed, seeds, jobs;
    double confidence;
    bool every_seed;
    double peak_rss_mb, num_params_M, seconds; /* 0: no limit */
    const char *program;                       /* NULL: this one */
    json_t *launcher;                          /* array of strings, or NULL */
};

/* rows: the options of `duet train`, by which keys and values of axes are checked; NULL: they are
 * not. ERR_USAGE, ERR_IO, ERR_NOMEM; nothing is left then. */
int search_file_open(struct search_file *f, const char *path, const struct conf_row *rows,
                     struct err *e);

/* The same from n bytes. path: for messages, and where "base" is looked for. */
int search_file_read(struct search_file *f, const char *text, size_t n, const char *path,
                     const struct conf_row *rows, struct err *e);

void search_file_close(struct search_file *f); /* accepts all zeros */

/* The point that is nearest to what the base says of the axes, else to the options' defaults (rows;
 * NULL: none): u (space.n). */
int search_file_start(const struct search_file *f, const struct conf_row *rows, double *u,
                      struct err *e);

/* The base's own values in the place of those of its point, which may be others: it need not lie in
 * the space; what neither it nor rows say is taken out. config: of space_config. */
int search_file_said(const struct search_file *f, const struct conf_row *rows, json_t *config,
                     struct err *e);

/* The options of a trial: base, configuration ("set.KEY" goes into "set") and budget as one object,
 * a config file of `duet train` but for "program". New; NULL: no memory. */
json_t *search_file_options(const struct search_file *f, const json_t *config);

/* XXH64 of the canonical text of these. False: no memory. */
bool search_file_hash(const struct search_file *f, const json_t *config, char hash[17]);

/* For space and rules (search_keys.c) ---------------------------------------------------------- */

/* Refuses axes that would make trials incomparable, and values that the options cannot have. */
int search_keys_check(const struct space *s, const struct conf_row *rows, struct err *e);

/* The same of a configuration that was made by hand; base: a key with the value that it has there
 * is no change. */
int search_keys_check_config(const json_t *config, const json_t *base, const struct conf_row *rows,
                             struct err *e);

/* Why the metric cannot compare values of that key, as the end of a sentence that begins with "it";
 * NULL: it can. Keys of summary.json are measured in windows of the validation data, as long as
 * --seq says, else the model's description; the exact val_bpb is of whole documents. */
const char *search_keys_why_window(const struct search_file *f, const char *key);

/* Is it an option of the data that is learned from or measured on? A suite has other values of them
 * for each of its searches. */
bool search_keys_is_data(const char *key);

/* Refuses options of the base that a search sets itself. */
int search_keys_check_base(const json_t *base, const char *path, struct err *e);

#endif
