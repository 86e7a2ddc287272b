/* duet experiment: one trial by hand, kept or discarded by the gate of its search. */
#include "cmd.h"
#include "drive.h"
#include "facts.h"
#include "hand_config.h"
#include "num.h"
#include "record.h"
#include "term.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *search, *program, *note, *config;
    struct conf_pairs set;
    double seconds;
    bool json, quiet;
};

#define O struct opts
static const struct conf_row rows[] = {
    CONF_STRING(O, search, "search", NULL, "DIR", "the folder of a search (duet search)"),
    CONF_PAIRS(O, set, "set", "KEY=VALUE", "change a key of the model description (repeatable)"),
    CONF_STRING(O, config, "config", NULL, "FILE",
                "begin with this config file of duet train, not with what was kept last"),
    CONF_STRING(O, program, "program", NULL, "PROGRAM",
                "the duet that trains: another build; a copy of it is kept"),
    CONF_STRING(O, note, "note", NULL, "TEXT", "what is tried, in words, for ledger and tables"),
    CONF_FLOAT(O, seconds, "seconds", "0", 0, 1e9,
               "a run that takes longer is ended, and its trial has failed; 0: the limit of the "
               "search"),
    CONF_BOOL(O, json, "json", "print JSON"),
    CONF_BOOL(O, quiet, "quiet", "on stderr only warnings and errors"),
    CONF_END};
#undef O

/* ---- what is printed ------------------------------------------------------------------------- */

/* The predecessors' trailer: their names, in their order, with their digits. Of the first seed.
 * What the search goes by is its value, not the summary's: val_bpb of whole documents has the same
 * name there as the estimate from windows. */
static const struct {
    const char *name, *key;
    double factor;
    int digits;
} trailer[] = {
    {"val_bpb", "val_bpb", 1, 6},
    {"training_seconds", "training_seconds", 1, 1},
    {"total_seconds", "total_seconds", 1, 1},
    {"peak_vram_mb", "peak_rss_mb", 1, 1},
    {"mfu_percent", "peak_fraction", 100, 2},
    {"total_tokens_M", "total_tokens_M", 1, 3},
    {"num_steps", "num_steps", 1, 0},
    {"num_params_M", "num_params_M", 1, 3},
    {"depth", "depth", 1, 0},
};

/* A trial whose configuration was known has the summary of that one. */
static const struct ledger_result *first_of(const struct search *s, int64_t trial) {
    const struct ledger_result *r = search_result(s, trial, 1);
    const json_t *same = r ? json_object_get(r->json, "same") : NULL;
    const int64_t known = json_is_integer(same) ? json_integer_value(same) : -1;
    const struct ledger_result *its =
        known >= 0 && known < search_trials(s) ? search_result(s, known, 1) : NULL;
    return its ? its : r;
}

/* What went wrong at the first seed that did not end well; NULL: nothing. */
static const struct ledger_result *failure_of(const struct search *s, int64_t trial) {
    const struct ledger_result *first = NULL;
    for (size_t i = s->ledger.trial[trial].result; i; i = s->ledger.result[i - 1].before) {
        const struct ledger_result *r = &s->ledger.result[i - 1];
        if (r->status != TRIAL_ok && (!first || r->seed < first->seed)) first = r;
    }
    return first;
}

/* Only what ended well has a trailer: who looks for val_bpb finds none of what failed. */
static void put_trailer(json_t *o, const struct search *s, int64_t trial) {
    const struct ledger_result *r = first_of(s, trial);
    const json_t *summary = r && r->status == TRIAL_ok ? json_object_get(r->json, "summary") : NULL;
    for (size_t i = 0; summary && i < sizeof trailer / sizeof *trailer; i++) {
        const bool decides = s->file.metric.key && !strcmp(trailer[i].key, s->file.metric.key);
        const double x = decides ? r->value : record_number(summary, trailer[i].key);
        facts_put(o, trailer[i].name, num_json(x * trailer[i].factor));
    }
}

/* The first that was kept after it; NULL: none. */
static const struct ledger_decision *successor_of(const struct search *s, int64_t trial) {
    const struct ledger *l = &s->ledger;
    const struct ledger_decision *next = NULL;
    for (size_t i = l->n_decisions; i && l->decision[i - 1].trial != trial; i--)
        if (l->decision[i - 1].keep) next = &l->decision[i - 1];
    return next;
}

/* Of what had been decided before it was asked for. */
static void put_known(json_t *o, const struct search *s, int64_t trial) {
    const struct ledger_decision *next = successor_of(s, trial);
    char words[100];
    if (!search_decision(s, trial)->keep)
        snprintf(words, sizeof words, "trial %lld, discarded then", (long long)trial);
    else if (!next)
        snprintf(words, sizeof words, "trial %lld, kept then, the incumbent still",
                 (long long)trial);
    else
        snprintf(words, sizeof words, "trial %lld, kept then, replaced by %lld", (long long)trial,
                 (long long)next->trial);
    facts_text(o, "known", words);
}

static void put_evidence(json_t *o, const struct search *s, int64_t trial) {
    const struct ledger_decision *d = search_decision(s, trial);
    struct search_evidence v;
    size_t seeds;
    const double mean = search_mean(s, trial, &seeds);
    if (!search_evidence(s, trial, &v)) return;
    facts_text(o, "reason", v.reason);
    facts_whole(o, "seeds", seeds);
    if (seeds) facts_put(o, "value", num_json(isfinite(v.value) ? v.value : mean));
    if (!d || d->against < 0) return;
    const double low = s->sign > 0 ? v.low : -v.high, high = s->sign > 0 ? v.high : -v.low;
    facts_put(o, "against", json_integer(d->against));
    if (!isfinite(v.diff)) return;
    facts_put(o, "value_against", num_json(v.rival));
    facts_put(o, "difference", num_json(s->sign * v.diff));
    facts_real(o, "difference_low", low);
    facts_real(o, "difference_high", high);
    facts_real(o, "evidence", exp(v.log_e));
    facts_real(o, "evidence_needed", exp(v.threshold));
}

static json_t *describe(const struct search *s, int64_t trial, bool known) {
    const struct ledger_decision *d = search_decision(s, trial);
    const struct ledger_result *failed = failure_of(s, trial);
    char changes[600];
    json_t *o = json_object();
    put_trailer(o, s, trial);
    facts_put(o, "trial", json_integer(trial));
    facts_text(o, "status", trial_status_name(failed ? failed->status : TRIAL_ok));
    facts_text(o, "decision", d && d->keep ? "keep" : "discard");
    if (known) put_known(o, s, trial);
    search_changes(s, trial, d && d->against >= 0 ? d->against : 0, changes, sizeof changes);
    if (trial) facts_text(o, "changes", changes);
    put_evidence(o, s, trial);
    facts_put(o, "incumbent", json_integer(search_incumbent(s)));
    return o;
}

static void print_line(const char *key, const json_t *v) {
    size_t i = 0;
    char buf[32];
    if (json_is_string(v)) term_fact(stdout, key, "%s", json_string_value(v));
    if (json_is_integer(v)) term_fact(stdout, key, "%lld", (long long)json_integer_value(v));
    if (!json_is_real(v) && !json_is_null(v)) return;
    while (i < sizeof trailer / sizeof *trailer && strcmp(key, trailer[i].name)) i++;
    const double x = json_is_null(v) ? NAN : json_real_value(v);
    if (i < sizeof trailer / sizeof *trailer)
        term_fact(stdout, key, "%s", num_text(x, trailer[i].digits, buf));
    else if (!strncmp(key, "evidence", 8))
        term_fact(stdout, key, "%.3g", x);
    else
        term_fact(stdout, key, "%s", num_text(x, 6, buf));
}

static void print(json_t *o, bool json) {
    const char *key;
    json_t *v;
    if (json) {
        facts_print_json(o, stdout);
        return;
    }
    puts("---");
    json_object_foreach(o, key, v) print_line(key, v);
}

/* ---- the command ----------------------------------------------------------------------------- */

/* As a failed training ends, with the words of its process. */
static int failed(const struct search *s, int64_t trial, struct err *e) {
    static const int codes[] = {[TRIAL_refused] = CMD_REFUSED,
                                [TRIAL_memory] = CMD_NO_MEMORY,
                                [TRIAL_nan] = CMD_DIVERGED,
                                [TRIAL_killed] = 0};
    const struct ledger_result *r = failure_of(s, trial);
    const char *why = json_string_value(json_object_get(r->json, "why"));
    char *log = search_log_path(s, r->trial, r->seed);
    err_set(e, ERR_INPUT, "trial %lld, seed %lld: %s%s%.200s (%s)", (long long)r->trial,
            (long long)r->seed, trial_status_name(r->status), why ? ": " : "", why ? why : "",
            log ? log : "");
    free(log);
    return codes[r->status] ? codes[r->status] : ERR_INPUT;
}

static int try(struct search *s, const struct opts *o, const struct hand_change *change,
               struct err *e) {
    const struct drive_opts drive = {.quiet = o->quiet};
    struct search_evidence v;
    json_t *config = NULL, *facts;
    char hash[17];
    int64_t trial;
    bool known;
    int rc;
    TRY(hand_config(s, change, &config, e));
    if (!search_file_hash(&s->file, config, hash)) TRY(err_set(e, ERR_NOMEM, "no memory"));
    trial = search_known_trial(s, hash);
    known = trial >= 0 && search_decision(s, trial);
    if (known)
        fprintf(stderr, "note: this is what trial %lld was; it is not trained again\n",
                (long long)trial);
    if (o->seconds > 0) s->file.seconds = o->seconds;
    TRY(drive_hand(s, config, o->note, &drive, &trial, e));
    facts = describe(s, trial, known);
    print(facts, o->json);
    json_decref(facts);
    if (search_incumbent(s) == trial) goto out;
    const bool fell = search_evidence(s, trial, &v) &&
                      !strcmp(v.reason, gate_reason_word(GATE_FAILED));
    rc = fell && failure_of(s, trial) ? failed(s, trial, e) : CMD_DIFFERS;
out:
    json_decref(config);
    return rc;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct opts o = {0};
    struct search s = {0};
    TRY(cmd_parse(&cmd_experiment, &conf, &o, argc, argv, &done, e));
    if (done) goto out;
    if (!o.search) TRY(err_set(e, ERR_USAGE, "give the folder of the search with --search DIR"));
    if (!conf.n_pos && !o.set.n && !o.config && !o.program)
        TRY(err_set(e, ERR_USAGE,
                    "nothing to try: give OPTION=VALUE, --set KEY=VALUE, --config or --program"));
    const struct hand_change change = {.word = conf.pos,
                                       .n = (size_t)conf.n_pos,
                                       .set = o.set,
                                       .config = o.config,
                                       .program = o.program};
    TRY(search_open(&s, o.search, true, e));
    rc = try(&s, &o, &change, e);
out:
    search_close(&s);
    conf_release(&conf);
    return rc;
}

const struct cmd cmd_experiment = {
    .name = "experiment",
    .summary = "One trial of a search by hand: train, and keep or discard it by the search's test.",
    .usage = "--search DIR [OPTION=VALUE...] [--config FILE] [--program PROGRAM] [-m TEXT]",
    .notes = "OPTION is one of duet train (lr=3e-3, optimizer=lion, model=my.json), or set.KEY. "
             "What is not\n"
             "said is as in what was kept last (DIR/best.json), with --config as in that file and "
             "in the base of\n"
             "the search. Data, evaluation, length and seed are the search's and cannot be "
             "changed. Several\n"
             "seeds are trained, as many as the test needs; a configuration that is known is not "
             "trained again.\n\n"
             "On stdout: val_bpb, training_seconds, total_seconds, peak_vram_mb (memory of the "
             "process),\n"
             "mfu_percent, total_tokens_M, num_steps, num_params_M and depth, of the first seed; "
             "then the\n"
             "decision and what it rests on, of all seeds. What failed has none of the first "
             "nine.\n"
             "val_bpb is what the search goes by, where that is its metric (by default that of "
             "whole documents),\n"
             "and not the estimate from windows that summary.json has under this name. Of a "
             "configuration that\n"
             "was decided before, \"known\" says what became of it.\n\n"
             "Exit status: 0 it is the incumbent now, 3 it is not (discarded, or kept once and "
             "replaced since);\n"
             "of a trial that failed 4 if the memory that it plans is not there, 5 if memory ran "
             "out, 6 if it\n"
             "diverged, 1 otherwise. docs/program.md is the protocol for a coding assistant.\n",
    .rows = rows,
    .run = run,
};
