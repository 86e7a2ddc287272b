/* duet search: trainings that are proposed, run, judged, and kept if they are better. */
#include "cmd.h"
#include "command_run.h"
#include "drive.h"
#include "file.h"
#include "json_text.h"
#include "num.h"
#include "screen.h"
#include "search_cost.h"
#include "search_suite.h"
#include "search_verbs.h"
#include "suite.h"
#include "term.h"
#include "train_opts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 20, TRIALS = 60 }; /* bytes; of a search without a file */

/* Before --------------------------------------------------------------------------------------- */

static int set_whole(json_t *file, const char *key, int64_t n, struct err *e) {
    if (!n || !json_object_set_new(file, key, json_integer(n))) return 0;
    return err_set(e, ERR_NOMEM, "no memory for a search");
}

static int set_text(json_t *file, const char *key, const char *text, struct err *e) {
    if (!text || !json_object_set_new(file, key, json_string(text))) return 0;
    return err_set(e, ERR_NOMEM, "no memory for a search");
}

/* The tree of a file if it is one of a suite, whose members are checked later; else NULL. */
static json_t *read_suite(const char *path) {
    char *text = NULL;
    size_t size;
    struct err e;
    json_error_t at;
    json_t *json = NULL;
    if (!file_read_text(path, FILE_MAX, &text, &size, &e)) json = json_text_load(text, size, &at);
    free(text);
    if (suite_has(json)) return json;
    json_decref(json);
    return NULL;
}

static int read_file(const char *path, json_t **json, struct err *e) {
    struct search_file f;
    *json = read_suite(path);
    if (*json) return 0;
    const int rc = search_file_open(&f, path, train_rows, e);
    if (rc) return rc;
    *json = json_deep_copy(f.json);
    search_file_close(&f);
    return *json ? 0 : err_set(e, ERR_NOMEM, "no memory for a search");
}

/* The tree of a search with what the command line says. path NULL: of its short form. New. */
static int read_tree(const char *path, const struct search_opts *o, json_t **json, struct err *e) {
    struct search_short brief = o->brief;
    int rc = 0;
    brief.trials = TRIALS;
    *json = path ? NULL : search_short(&brief, e);
    TRY(path ? read_file(path, json, e) : *json ? 0 : e->code);
    TRY(set_whole(*json, "jobs", o->jobs, e));
    TRY(set_whole(*json, "trials", o->trials, e));
    rc = set_text(*json, "launcher", o->launcher, e);
out:
    return rc;
}

static int say_cost(const struct search *s, struct search_cost *cost, FILE *out, struct err *e) {
    const int rc = search_cost(s, cost, e); /* also where nothing is said: can it be trained? */
    if (!rc && out) search_cost_print(s, cost, out);
    return rc;
}

static void warn(const struct search_cost *cost) {
    char text[400];
    if (search_cost_warning(cost, text)) search_warn(text);
}

/* After ---------------------------------------------------------------------------------------- */

static void count(const struct search *s, int *kept, int *discarded, int *failed) {
    *kept = *discarded = *failed = 0;
    for (int64_t t = 1; t < search_trials(s); t++) {
        const struct ledger_decision *d = search_decision(s, t);
        const enum trial_status status = search_status(s, t);
        if (status != TRIAL_ok && status != TRIAL_pending)
            ++*failed;
        else if (d)
            ++*(d->keep ? kept : discarded);
    }
}

static double seconds(const struct search *s) {
    double sum = 0;
    for (size_t i = 0; i < s->ledger.n_results; i++) {
        const json_t *v = json_object_get(s->ledger.result[i].json, "seconds");
        sum += json_is_number(v) ? json_number_value(v) : 0;
    }
    return sum;
}

static void print_json(const struct search *s, int64_t best) {
    int kept, discarded, failed;
    size_t seeds = 0;
    count(s, &kept, &discarded, &failed);
    json_t *o = json_pack(
        "{s:s, s:I, s:i, s:i, s:i, s:I, s:o, s:o, s:I, s:O?, s:o}", "dir", s->dir, "trials",
        (json_int_t)search_trials(s), "kept", kept, "discarded", discarded, "failed", failed,
        "trainings", (json_int_t)s->ledger.n_results, "training_seconds", num_json(seconds(s)),
        "base", num_json(search_mean(s, 0, NULL)), "best_trial", (json_int_t)best, "best_config",
        best < 0 ? NULL : search_config(s, best), "best",
        num_json(best < 0 ? NAN : search_mean(s, best, &seeds)));
    char *text = o ? json_text_dump(o, JSON_INDENT(1)) : NULL;
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(o);
}

static void print_text(const struct search *s, int64_t best) {
    int kept, discarded, failed;
    char buf[1000], value[32], base[32];
    size_t seeds = 0;
    count(s, &kept, &discarded, &failed);
    term_fact(stdout, "search", "%s", s->dir);
    term_fact(stdout, "trials", "%lld: %d kept, %d discarded, %d failed",
              (long long)search_trials(s), kept, discarded, failed);
    term_fact(stdout, "trainings", "%zu", s->ledger.n_results);
    const struct ledger_result *failure = search_base_failure(s);
    if (failure)
        term_fact(stdout, "base", "failed (%s): %s", trial_status_name(failure->status),
                  search_why(failure));
    else
        term_fact(stdout, "base", "%s", num_text(search_mean(s, 0, NULL), 4, base));
    if (best > 0) {
        num_text(search_mean(s, best, &seeds), 4, value);
        term_fact(stdout, "best", "%s (trial %lld, %zu seeds)", value, (long long)best, seeds);
        term_fact(stdout, "changes", "%s", search_changes(s, best, 0, buf, sizeof buf));
    } else if (failure) {
        term_fact(stdout, "best", "none: nothing else was kept either");
    } else {
        term_fact(stdout, "best", "the base: nothing was shown to be better");
    }
}

/* What can be done with it, by commands that there are. */
static void say_next(const struct search *s, int64_t best) {
    static const struct {
        const char *verb, *rest;
    } rows[] = {{"confirm", ""}, {"best", ""}, {"plot", " -o search.svg"}};
    const char *lead = "next: ";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!search_verb(rows[i].verb) || (i == 0 && best < 1)) continue;
        fprintf(stderr, "%sduet search %s %s%s\n", lead, rows[i].verb, s->dir, rows[i].rest);
        lead = "      ";
    }
    if (!strcmp(s->file.strategy.kind->name, SEARCH_HAND)) {
        fprintf(stderr, "%sduet experiment --search %s OPTION=VALUE\n", lead, s->dir);
        lead = "      ";
    }
    if (best >= 0) fprintf(stderr, "%sduet train --config %s/best.json --out DIR\n", lead, s->dir);
}

static int go(struct search *s, const struct search_opts *o, struct err *e) {
    const char *tsv = strcmp(o->view.tsv, "none") ? o->view.tsv : NULL;
    const int rc = drive_search(s, &(struct drive_opts){.tsv = tsv, .quiet = o->quiet}, e);
    const int64_t incumbent = search_incumbent(s);
    const struct ledger_result *failure = incumbent > 0 ? NULL : search_base_failure(s);
    const int64_t best = failure ? -1 : incumbent;
    if (rc && rc != ERR_STOP) return rc;
    if (o->json)
        print_json(s, best);
    else
        print_text(s, best);
    fflush(stdout);
    if (rc) return rc;
    if (failure) return search_check_base(s, e);
    if (!o->quiet) say_next(s, best);
    return 0;
}

/* The command ---------------------------------------------------------------------------------- */

static int begin(const char *path, const struct search_opts *o, struct err *e) {
    struct search s = {0};
    struct search_cost cost;
    json_t *json = NULL;
    int rc;
    if (!o->out && !o->dry_run)
        return err_set(e, ERR_USAGE, "--out is missing: the folder of the search");
    if (!o->dry_run) TRY(search_check_free(o->out, e));
    TRY(read_tree(path, o, &json, e));
    if (!path) path = "the command line";
    if (suite_has(json)) {
        rc = search_suite_begin(json, path, o, e);
        goto out;
    }
    TRY(search_plan(&s, json, path, e));
    TRY(say_cost(&s, &cost, o->dry_run ? stdout : o->quiet ? NULL : stderr, e));
    if (!o->dry_run) {
        search_close(&s);
        TRY(search_create(&s, json, path, o->out, e));
    }
    warn(&cost); /* behind all that may be refused */
    if (!o->dry_run) rc = go(&s, o, e);
out:
    search_close(&s);
    json_decref(json);
    return rc;
}

static int resume(const struct search_opts *o, struct err *e) {
    struct search s;
    struct search_cost cost;
    if (suite_is(o->resume)) return search_suite_resume(o, e);
    int rc = search_open(&s, o->resume, !o->dry_run, e);
    if (rc) return rc;
    if (o->dry_run) TRY(search_check_resume(&s, e));
    if (o->trials) TRY(search_extend(&s, o->trials, o->dry_run, e));
    if (!o->dry_run) {
        rc = go(&s, o, e);
        goto out;
    }
    TRY(command_run_check(&s.file.strategy, e)); /* as the loop does */
    TRY(say_cost(&s, &cost, stdout, e));
    warn(&cost);
out:
    search_close(&s);
    return rc;
}

static int dispatch(const struct search_opts *o, const struct conf *c, struct err *e) {
    int rc;
    const struct search_verb *v = c->n_pos ? search_verb(c->pos[0]) : NULL;
    char what[80];
    if (v) {
        snprintf(what, sizeof what, "search %s", v->word);
        TRY(cmd_count(what, c, 1, v->least, v->most, v->needs, e));
        TRY(search_takes(what, v->takes, c, e));
        return v->run(o, c, e);
    }
    if (o->resume) {
        TRY(cmd_count("search --resume", c, 0, 0, 0, "no names", e));
        TRY(search_takes("search --resume", "resume trials dry-run tsv json quiet", c, e));
        return resume(o, e);
    }
    if (search_short_given(&o->brief)) {
        TRY(cmd_count("search --base", c, 0, 0, 0, "no file", e));
        TRY(search_takes("a search without a file",
                         "base try time steps tokens flops strategy out jobs launcher trials "
                         "dry-run tsv json quiet",
                         c, e));
        return begin(NULL, o, e);
    }
    TRY(cmd_count("search", c, 0, 1, 1,
                  "the file of a search (or --base and --try, or --resume DIR)", e));
    TRY(search_takes("a new search", "out jobs launcher trials dry-run tsv json quiet", c, e));
    return begin(c->pos[0], o, e);
out:
    return rc;
}

static int run(int argc, char **argv, struct err *e) {
    int rc;
    bool done;
    struct conf conf = {0};
    struct search_opts o = {0};
    TRY(cmd_parse(&cmd_search, &conf, &o, argc, argv, &done, e));
    if (!done) rc = dispatch(&o, &conf, e);
out:
    conf_release(&conf);
    return rc;
}

static const char *verb(size_t i) {
    return search_verbs[i].word;
}

const struct cmd cmd_search = {
    .name = "search",
    .summary = "Try trainings of one budget, and keep what is shown to be better.",
    .usage = "FILE --out DIR [--jobs N] [--trials N] [--dry-run]\n"
             "--base FILE --try KEY=LOW..HIGH [--try KEY=A,B ...] --steps N --out DIR\n"
             "--resume DIR [--trials N]\n"
             "init DATA [--time S] [--hours H] [--out FILE]\n"
             "status DIR [--json | --tsv COLUMNS]\n"
             "best DIR [--json | --out FILE]\n"
             "plot DIR [--chart CHART] [--out FILE]\n"
             "compare DIR... [--json]\n"
             "confirm DIR [--seeds N] [--trial T] [--against 0]\n"
             "rerun DIR ROW [--seed S] [--rung N] [--out FOLDER]",
    .notes =
        "FILE says what is searched (docs/search.md has all keys). The smallest:\n"
        "  {\"base\": {\"model\": \"demo\", \"tokenizer\": \"tok.json\", \"data\": \"s.txt\"},\n"
        "   \"budget\": {\"steps\": 400}, \"trials\": 60,\n"
        "   \"space\": {\"lr\": {\"log\": [1e-4, 1e-2]}, "
        "\"set.num_hidden_layers\": {\"int\": [2, 8]}}}\n"
        "Every trial is a process of `duet train`. The base is trained first, with five seeds, for "
        "the noise;\n"
        "a configuration is kept when it is shown to be better than the best so far, at equal "
        "seeds, with as\n"
        "many seeds as that takes. DIR gets the ledger, the runs, and best.json for `duet train "
        "--config`.\n"
        "Ctrl-C and SIGTERM stop: what is running saves. After that, or after a crash, --resume "
        "goes on as if\n"
        "nothing had been.\n\n"
        "status, best and plot look at a search, also at one that runs, and change nothing. plot "
        "draws in\n"
        "characters, or with --out a .svg, .png or .pdf (by gnuplot). best --out writes the "
        "options of the\n"
        "incumbent. init measures a training step here, trains a tokenizer on DATA unless "
        "--tokenizer names\n"
        "one, makes its tokens, once for all trials, and writes a search file (search.json) whose "
        "base,\n"
        "space, limits and trials fit the time.\n"
        "compare sets searches side by side; a FILE with a \"suite\" of data sets is a search for "
        "each.\n\n"
        "confirm trains the incumbent and the base with seeds that no trial had, measures both on "
        "the text\n"
        "that no trial saw, and says whether the gain is real (exit status 0, else 3): by "
        "Student's interval,\n"
        "and where more seeds are asked for after a look by one for all looks. rerun trains a row\n"
        "again and says whether value and weights are the ledger's to the last bit (0, else 3).\n",
    .verb = verb,
    .verb_or_file = true,
    .rows = search_rows,
    .run = run,
};
