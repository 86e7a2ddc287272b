/* A search on the disk: its folder, its ledger, and what they say.
 *
 *   DIR/search.json              the file as resolved: base inlined, paths absolute. Nothing else
 *                                is needed to go on
 *   DIR/ledger.jsonl             what happened (src/search/ledger.h)
 *   DIR/trials/NNNN/config.json  options of `duet train` of a trial, without "seed"
 *   DIR/trials/NNNN/seed-S/      folder of its run with seed S; halving goes on in it
 *   DIR/trials/NNNN/seed-S.txt   what that process printed
 *   DIR/files, DIR/programs      copies of what configurations by hand name (hand_files.h)
 *   DIR/best.json                options of the incumbent, for `duet train --config`
 *   DIR/results.tsv              a line a trial (results_tsv.h)
 *
 *   struct search s;
 *   TRY(search_open(&s, "runs/search", false, e));
 *   for (int64_t t = 0; t < search_trials(&s); t++) show(search_config(&s, t));
 *   out: search_close(&s);
 *
 * Seeds are 1, 2, 3, ..., shared by all trials. Values are as measured; search_better says which of
 * two is better. The gate's signs are the other way round where the metric is to be high: its diff
 * is below 0 where the candidate is better, and so is that of struct search_evidence.
 *
 * Members that the driver adds to the ledger's lines:
 *   search, resume  "version", "commit", "host", "cpu", "threads", "tier", "gemm", "date", "trials"
 *                   (planned), "sources" (search_sources.h); search: "file" (all of it),
 *                   "memory_mb" that a trial may plan with, so that what is refused stays refused
 *   proposal        "date"
 *   result          "seconds" (of the process), "rss_mb" (its peak), "why" (its last words, where
 *                   it is not ok), "summary" (summary.json without "history" and "run"), "date",
 *                   "same": the trial whose result this is, of one whose hash was known
 *   decision        "evidence" (struct search_evidence), "date" */
#ifndef DUET_SEARCH_H
#define DUET_SEARCH_H

#include "gate.h"
#include "ledger.h"
#include "search_file.h"

#include <stdbool.h>
#include <stdint.h>

struct search {
    char *dir; /* as given, without / at its end */
    struct search_file file; /* of a folder its "program" is where it is now (hand_find_file) */
    char *program;           /* that; owned */
    struct ledger ledger;
    struct gate_plan plan;
    json_t *resumed; /* the ledger's line of who goes on, until it is on record; or NULL */
    int64_t planned; /* trials, when the search began: share of the gate's tests */
    double sign;     /* -1 where the metric is to be high, else 1: sign * value is what is
                      * minimised */
};

/* A new folder from the tree of a search file. json: borrowed; path: where it was read from, for
 * messages and for the paths in it ("./x" counts from its folder). Base and keys are checked as
 * `duet train` does, paths made absolute, test-fraction set where the base has neither that nor
 * val-data nor a task. The folder is made last, and not at all on failure: ERR_USAGE (also where
 * DIR holds a search or anything else), ERR_INPUT, ERR_IO, ERR_NOMEM. s is open to write. */
int search_create(struct search *s, const json_t *json, const char *path, const char *dir,
                  struct err *e);

/* The same without a folder and without a ledger: s->dir is NULL. For who asks first. */
int search_plan(struct search *s, const json_t *json, const char *path, struct err *e);

/* So many trials from now on: in s, and in search.json unless `dry`. ERR_USAGE where there are more
 * already. */
int search_extend(struct search *s, int64_t trials, bool dry, struct err *e);

/* Opens a folder. write: locks it (ERR_USAGE where another process has it), cuts a torn line, and
 * checks that it is the same search still (search_check_file, search_begin). Nothing is put on
 * record before search_go_on. */
int search_open(struct search *s, const char *dir, bool write, struct err *e);
void search_close(struct search *s); /* accepts all zeros */

/* Can it become the folder of a search: is it not there, or empty? ERR_USAGE. */
int search_check_free(const char *dir, struct err *e);
/* Is it the folder of a search? */
bool search_is(const char *dir);
/* Is a process at work in it? */
bool search_is_locked(const char *dir);

/* Paths, malloc()ed; NULL: no memory. name NULL: the folder itself. */
char *search_path(const struct search *s, const char *name);
char *search_trial_path(const struct search *s, int64_t trial, const char *name);
char *search_run_path(const struct search *s, int64_t trial, int64_t seed, const char *name);
char *search_log_path(const struct search *s, int64_t trial, int64_t seed);

/* Trials ---------------------------------------------------------------------------------------
 * Numbers are 0 to search_trials - 1, the base is 0. */

int64_t search_trials(const struct search *s);
/* {axis: value}; lies in the ledger. */
json_t *search_config(const struct search *s, int64_t trial);
/* Its options, as `duet train --config` takes them (without "seed" and "program"), with whole paths
 * of what the folder keeps and, for programs that lie elsewhere, of what comes with this one: new;
 * NULL: no memory. */
json_t *search_options(const struct search *s, int64_t trial);
/* The duet that trains it, malloc()ed; *program NULL: this one. ERR_NOMEM. */
int search_program(const struct search *s, int64_t trial, char **program, struct err *e);
/* Its last job: rung and share that it was proposed for. */
const struct ledger_job *search_job(const struct search *s, int64_t trial);
/* Its result with that seed at its last rung; NULL: none. */
const struct ledger_result *search_result(const struct search *s, int64_t trial, int64_t seed);
/* How its first seed ended, at the highest rung that it came to. */
enum trial_status search_status(const struct search *s, int64_t trial);
/* NULL: none yet. */
const struct ledger_decision *search_decision(const struct search *s, int64_t trial);

/* Results of a trial of which all of the budget was trained: value[i] of seed i + 1, times sign,
 * NaN where there is none. used: of these seeds only. value: (most). */
void search_runs(const struct search *s, int64_t trial, size_t used, double *value, size_t most,
                 struct gate_runs *out);
/* Mean of its values as measured, over all seeds at its last rung; NaN: none. n: how many, or
 * NULL. */
double search_mean(const struct search *s, int64_t trial, size_t *n);
bool search_better(const struct search *s, double a, double b);

/* The trial that stands for configurations of this hash: the first that was to have all of the
 * budget, or that failed; -1: none. One of halving that was left behind says nothing of the
 * whole. */
int64_t search_known_trial(const struct search *s, const char *hash);

/* The last that was kept, which the base is when it has run; -1: none yet. */
int64_t search_incumbent(const struct search *s);
/* The incumbent that trial was tested against; -1: none. */
int64_t search_rival(const struct search *s, int64_t trial);
/* What became of a base without a result; NULL: it has one, or may get one. */
const struct ledger_result *search_base_failure(const struct search *s);
/* In its own words. */
const char *search_why(const struct ledger_result *r);
/* ERR_INPUT where the base failed and nothing else was kept. */
int search_check_base(const struct search *s, struct err *e);
/* Keeps but for the base. */
size_t search_kept(const struct search *s);
/* Trials that were proposed by hand, which come on top of the planned ones. */
int64_t search_by_hand(const struct search *s);

/* What a decision rests on. NaN or -1: not in the ledger. */
struct search_evidence {
    const char *reason; /* a word of gate_reason_word, or SEARCH_REASONS; lies in the ledger */
    double diff, low, high; /* to the rival; below 0 is better; a confidence sequence */
    double log_e, threshold, chance;
    double value, rival; /* means of the shared seeds, as measured */
    int64_t seeds;       /* used of the candidate */
    int64_t behind;      /* of these what it rests on: not the first, where that chose (halving) */
    int64_t test;        /* number of the test, from 1 */
    double noise;        /* standard deviation of one result then */
};
/* Words beside the gate's: the base; first result where the incumbent has none; not better at its
 * first seed (confidence 0), or better; its hash was known; not among the best of its rung; the
 * search ended, or was stopped, before it was decided. */
#define SEARCH_REASONS "base first worse better known outrun"
bool search_evidence(const struct search *s, int64_t trial, struct search_evidence *out);

/* What is known of the noise, of all decided trials with the seeds that were used, against the
 * incumbent: fields are NaN where there is too little. ERR_NOMEM. */
int search_noise(const struct search *s, struct gate_noise *out, struct err *e);

/* What is other in a trial's configuration than in that of `from`: "lr 0.003 -> 0.0047, batch 4 ->
 * 8", "" where nothing is; from -1: all of it, "lr 0.0047, batch 8". "set." is left out, what does
 * not fit is cut. Into buf, which is returned. */
const char *search_changes(const struct search *s, int64_t trial, int64_t from, char *buf,
                           size_t size);

/* The base's configuration, which trial 0 has: new. Of each axis what the base says, as it is, in
 * the space or not; else, and where that is -1 or "auto", what `duet train` decides for it, or what
 * the model's description says. An axis of which that is not known is not in it, so that the trial
 * is what `duet train` makes of the base; strategies see it in the middle (space_nearest). */
int search_base(const struct search_file *f, json_t **config, struct err *e);

/* Configurations in all, the base and those by hand among them: what is there, and what the
 * strategy will still propose (strategy_left) up to the search's trials. -1: without an end, by
 * hand. ERR_NOMEM; before the first trial as search_base. */
int search_expected(const struct search *s, int64_t *n, struct err *e);

/* Facts for the ledger's first line: new; NULL with *e filled. sources: of which the hashes are
 * taken. */
json_t *search_facts(const struct search_file *f, struct err *e);

/* Seeds of each trial that decisions rest on (n_trials numbers): those that its own decision used,
 * all of one that was kept, and those that later candidates were compared at. 0: not decided. */
void search_known(const struct search *s, size_t *known);

/* Does the tree of a search's file say what it did, but for trials, jobs and launcher? path: of the
 * file, for messages. ERR_INPUT, which names the key. */
int search_same_file(const char *path, json_t *was, json_t *is, struct err *e);
/* For who trains: is search.json what the ledger has of it (all but trials, jobs and launcher), and
 * does each proposal's hash follow from its configuration, and what it names that is kept in the
 * folder (hand_files.h) hold what it held? ERR_INPUT, which names the key, the line or the file.
 * search_open does this where it is to write. */
int search_check_file(const struct search *s, struct err *e);
/* The same, and that its sources (search_sources.h) are what they were: for who opened it to look
 * at, and trains. ERR_INPUT. */
int search_check_same(const struct search *s, struct err *e);
/* All that search_open would refuse where it is to write, of one that was opened to look at;
 * nothing is written. */
int search_check_resume(const struct search *s, struct err *e);
/* For who looks: one line on stderr where going on would be refused because of search.json, of a
 * configuration, of the instruction set or of the library of products. Sources are not read for
 * that. ERR_NOMEM alone. */
int search_warn_changed(const struct search *s, struct err *e);
/* "warning: TEXT", a line on stderr. */
void search_warn(const char *text);

/* For who writes ------------------------------------------------------------------------------ */

/* The ledger's first line, if it is empty; else what the bits of trials hang on is compared:
 * ERR_INPUT where a source, the instruction set or the library of products is another than it was.
 * search_open does this. */
int search_begin(struct search *s, struct err *e);
/* Puts on record that somebody goes on, unless it is, and warns on stderr where another commit of
 * duet began it, if that is what trains. For who trains, after all that may be refused: the loop
 * (drive.h) does this. */
int search_go_on(struct search *s, struct err *e);
/* Members that follow from file and ledger. */
void search_settle(struct search *s);

/* Options of a trial as a file for `duet train --config`, replaced as a whole; "-": standard
 * output. seed 0: without. */
int search_write_options(const struct search *s, int64_t trial, int64_t seed, const char *path,
                         struct err *e);
/* best.json as the incumbent is, if there is one. */
int search_write_best(const struct search *s, struct err *e);
/* trials/NNNN with config.json as it is now: the folder may have been moved. */
int search_write_trial(const struct search *s, int64_t trial, struct err *e);
/* Removes what only training on needs of a trial that was discarded: weights, state, tokens. */
void search_drop_weights(const struct search *s, int64_t trial);
/* The same of the folder of one run. */
void search_drop_run(const char *dir);
/* A run that has ended and of which only what tells of it is left, while its result is on no
 * record: it can be neither measured nor gone on with. Removes its folder, so that it is trained
 * anew. */
void search_clear_dropped(const char *dir);
/* A file, or a folder with all that is in it; links are not followed. */
void search_remove(const char *path);

#endif
