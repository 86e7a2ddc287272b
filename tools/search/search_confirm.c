#include "search_confirm.h"

#include "confirm_record.h"
#include "facts.h"
#include "file.h"
#include "num.h"
#include "provenance.h"
#include "table.h"
#include "term.h"
#include "trial_batch.h"
#include "weights_hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIGITS = 4 };

static const struct search_metric test_metric = {.key = "val_bpb", .exact = true};

struct confirm {
    const struct search *s;
    const struct confirm_opts *o;
    int64_t trial, against;
    double confidence;
    size_t looks; /* before this one */
    bool asked;   /* this one is on record */
    bool again;   /* the pair was looked at before, with other seeds: an interval for all looks */
    struct confirm_record record;
    struct run {
        int64_t trial, seed;
        char *program, *config, *folder, *output;
    } *run; /* that is not on record yet */
    struct trial_spec *spec;
    size_t n;
    char failure[TRIAL_WORDS + 80]; /* of the first run that failed, or "" */
    double *value[2];               /* (seeds) of against and trial */
    unsigned failed[2];             /* seeds at which they diverged */
    struct gate_contrast contrast;
    double low, high;
};

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory to confirm");
}

/* ---- what is asked --------------------------------------------------------------------------- */

static int check_trial(const struct search *s, int64_t trial, const char *option, struct err *e) {
    if (trial >= 0 && trial < search_trials(s)) return 0;
    return err_set(e, ERR_USAGE, "%s: there is no trial %lld (%s): they are numbered 0 to %lld",
                   s->dir, (long long)trial, option, (long long)search_trials(s) - 1);
}

/* Is there a text that no trial sees? */
static int check_test(const struct search *s, struct err *e) {
    const json_t *base = s->file.base;
    if (json_number_value(json_object_get(base, "test-fraction")) > 0) return 0;
    const char *why = json_object_get(base, "task") ? "it learns a task"
                      : json_object_get(base, "val-data")
                          ? "its base has val-data"
                          : "its base has a test-fraction of 0";
    return err_set(e, ERR_USAGE, "%s: there is no text that no trial saw: %s", s->dir, why);
}

static int choose(struct confirm *c, struct err *e) {
    const struct search *s = c->s;
    int rc;
    if (!search_trials(s)) return err_set(e, ERR_USAGE, "%s: nothing was tried yet", s->dir);
    c->trial = c->o->trial >= 0 ? c->o->trial : search_incumbent(s);
    c->against = c->o->against;
    if (c->trial < 0) return err_set(e, ERR_USAGE, "%s: no trial is decided yet", s->dir);
    TRY(check_trial(s, c->trial, "--trial", e));
    TRY(check_trial(s, c->against, "--against", e));
    if (c->trial == c->against && c->o->trial < 0)
        return err_set(e, ERR_USAGE,
                       "%s: nothing better than trial %lld was kept; --trial T confirms another",
                       s->dir, (long long)c->trial);
    if (c->trial == c->against)
        return err_set(e, ERR_USAGE, "--trial and --against are both %lld", (long long)c->trial);
    TRY(check_test(s, e));
    TRY(search_check_same(s, e));
    if (search_is_locked(s->dir))
        rc = err_set(e, ERR_USAGE, "%s: a search is going on in it; confirm when it has ended",
                     s->dir);
out:
    return rc;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static char *path_of(const struct search *s, int64_t trial, int64_t seed, const char *end) {
    char name[80];
    snprintf(name, sizeof name, "confirm/%04lld/seed-%lld%s", (long long)trial, (long long)seed,
             end);
    return search_path(s, name);
}

static int add_run(struct confirm *c, int64_t trial, int64_t seed, struct err *e) {
    const struct search *s = c->s;
    struct run *r = &c->run[c->n];
    const json_t *threads = json_object_get(s->file.base, "threads");
    char *dir = path_of(s, trial, seed, "");
    int rc;
    *r = (struct run){.trial = trial,
                      .seed = seed,
                      .config = search_trial_path(s, trial, "config.json"),
                      .folder = dir,
                      .output = path_of(s, trial, seed, ".txt")};
    c->n++;
    if (!r->config || !r->folder || !r->output) return no_memory(e);
    rc = search_program(s, trial, &r->program, e);
    if (rc) return rc;
    *strrchr(dir, '/') = '\0';
    rc = file_mkdirs(dir, e);
    if (!rc) rc = search_write_trial(s, trial, e); /* which may have been known and never run */
    dir[strlen(dir)] = '/'; /* and is r->folder again */
    search_clear_dropped(dir);
    c->spec[c->n - 1] = (struct trial_spec){
        .program = r->program,
        .scorer = s->file.program,
        .launcher = s->file.launcher,
        .config = r->config,
        .folder = r->folder,
        .output = r->output,
        .seed = seed,
        .threads = (int)json_integer_value(threads),
        .share = 1,
        .limits = {.seconds = s->file.seconds,
                   .peak_rss_mb = s->file.peak_rss_mb,
                   .num_params_M = s->file.num_params_M},
        .metric = &test_metric,
        .test = true,
    };
    return rc;
}

/* What is not on record, seed by seed. */
static int plan_runs(struct confirm *c, struct err *e) {
    const size_t most = 2 * (size_t)c->o->seeds;
    int rc = 0;
    c->run = calloc(most, sizeof *c->run);
    c->spec = calloc(most, sizeof *c->spec);
    if (!c->run || !c->spec) return no_memory(e);
    for (int64_t i = 0; i < c->o->seeds; i++)
        for (int k = 0; k < 2; k++) {
            const int64_t trial = k ? c->trial : c->against, seed = CONFIRM_FIRST_SEED + i;
            if (!confirm_record_find(&c->record, trial, seed)) TRY(add_run(c, trial, seed, e));
        }
out:
    return rc;
}

static bool put(json_t *o, const char *key, json_t *v) {
    return v && !json_object_set_new(o, key, v);
}

static bool put_date(json_t *o) {
    struct provenance now;
    provenance_begin(&now);
    return put(o, "date", json_string(now.date));
}

static int record_result(struct confirm *c, const struct run *r, const struct trial_outcome *out,
                         struct err *e) {
    const bool ok = out->status == TRIAL_ok;
    const json_t *exact = json_object_get(out->summary, "exact");
    static const char *const kept[] = {"bits_per_byte_stderr", "documents", "bytes"};
    char hash[17];
    json_t *line = json_pack("{s:s, s:I, s:I, s:s, s:o}", "event", "result", "trial",
                             (json_int_t)r->trial, "seed", (json_int_t)r->seed, "status",
                             trial_status_name(out->status), "bits_per_byte",
                             num_json(out->value));
    int rc = 0;
    bool good = line != NULL;
    for (size_t i = 0; ok && good && i < sizeof kept / sizeof *kept; i++) {
        json_t *v = json_object_get(exact, kept[i]);
        if (v) good = !json_object_set(line, kept[i], v);
    }
    if (ok) TRY(weights_hash(r->folder, hash, e));
    if (ok && good) good = put(line, "weights", json_string(hash));
    good = good && put(line, "seconds", num_json(out->seconds)) && put_date(line);
    TRY(good ? confirm_record_append(&c->record, line, e) : no_memory(e));
    search_drop_run(r->folder);
out:
    json_decref(line);
    return rc;
}

/* A run that ended by anything but its own training is nobody's result: the next time it is run
 * again. */
static int ended(void *ctx, size_t i, const struct trial_outcome *out, struct err *e) {
    struct confirm *c = ctx;
    const struct run *r = &c->run[i];
    if (out->status == TRIAL_ok || out->status == TRIAL_nan) return record_result(c, r, out, e);
    if (!*c->failure)
        snprintf(c->failure, sizeof c->failure, "trial %lld with seed %lld: %s: %s",
                 (long long)r->trial, (long long)r->seed, trial_status_name(out->status),
                 out->words);
    return 0;
}

static int run_all(struct confirm *c, struct err *e) {
    const struct trial_batch b = {.spec = c->spec,
                                  .n = c->n,
                                  .jobs = (unsigned)c->s->file.jobs,
                                  .doing = "confirming",
                                  .quiet = c->o->quiet,
                                  .ended = ended,
                                  .ctx = c};
    int rc;
    TRY(trial_batch_run(&b, e));
    if (*c->failure)
        rc = err_set(e, ERR_INPUT, "%s; the same command tries it again", c->failure);
out:
    return rc;
}

/* ---- what it says ---------------------------------------------------------------------------- */

static int judge(struct confirm *c, struct err *e) {
    const size_t n = (size_t)c->o->seeds;
    struct gate_noise none;
    gate_noise(NULL, 0, 0, &none);
    for (int k = 0; k < 2; k++) {
        c->value[k] = calloc(n, sizeof *c->value[k]);
        if (!c->value[k]) return no_memory(e);
        for (size_t i = 0; i < n; i++) {
            const json_t *r = confirm_record_find(&c->record, k ? c->trial : c->against,
                                                  CONFIRM_FIRST_SEED + (int64_t)i);
            const json_t *v = json_object_get(r, "bits_per_byte");
            c->value[k][i] = json_is_number(v) ? json_number_value(v) : NAN;
            c->failed[k] += !json_is_number(v);
        }
    }
    const struct gate_runs a = {c->value[0], n, c->failed[0]}, b = {c->value[1], n, c->failed[1]};
    c->contrast = gate_contrast(&a, &b, &none, 0);
    if (!c->contrast.paired) c->contrast.diff = NAN;
    (c->again ? gate_interval : gate_interval_fixed)(&c->contrast, c->confidence, &c->low,
                                                     &c->high);
    return 0;
}

static const char *verdict_of(const struct confirm *c) {
    if (c->failed[1]) return "failed";
    return c->high < 0 ? "better" : c->low > 0 ? "worse" : "undecided";
}

static const char *interval_of(const struct confirm *c) {
    return c->again ? "sequence" : "student";
}

static int record_look(struct confirm *c, struct err *e) {
    json_t *seeds = json_array();
    for (int64_t i = 0; i < c->o->seeds; i++)
        json_array_append_new(seeds, json_integer(CONFIRM_FIRST_SEED + i));
    json_t *line = json_pack("{s:s, s:I, s:I, s:o, s:f, s:s, s:o, s:o, s:o, s:s}", "event",
                             "confirm", "trial", (json_int_t)c->trial, "against",
                             (json_int_t)c->against, "seeds", seeds, "confidence",
                             c->confidence, "interval",
                             interval_of(c), "difference", num_json(c->contrast.diff), "low",
                             num_json(c->low), "high", num_json(c->high), "verdict",
                             verdict_of(c));
    const int rc = line && put_date(line) ? confirm_record_append(&c->record, line, e)
                                          : no_memory(e);
    json_decref(line);
    return rc;
}

static json_t *values_json(const struct confirm *c, int k) {
    json_t *all = json_array();
    for (int64_t i = 0; i < c->o->seeds; i++)
        json_array_append_new(all, num_json(c->value[k][i]));
    return all;
}

/* The number of the last result that is on record, of what is the same in all. */
static int64_t whole_of(const struct confirm *c, const char *key) {
    for (int64_t i = 0; i < c->o->seeds; i++) {
        const json_t *r = confirm_record_find(&c->record, c->against, CONFIRM_FIRST_SEED + i);
        const json_t *v = json_object_get(r, key);
        if (json_is_integer(v)) return json_integer_value(v);
    }
    return -1;
}

static void print_json(const struct confirm *c) {
    json_t *o = json_object();
    facts_put(o, "trial", json_integer(c->trial));
    facts_put(o, "against", json_integer(c->against));
    facts_put(o, "seeds", json_integer(c->o->seeds));
    facts_put(o, "first_seed", json_integer(CONFIRM_FIRST_SEED));
    facts_put(o, "documents", json_integer(whole_of(c, "documents")));
    facts_put(o, "bytes", json_integer(whole_of(c, "bytes")));
    facts_put(o, "bits_per_byte", values_json(c, 1));
    facts_put(o, "bits_per_byte_against", values_json(c, 0));
    facts_put(o, "difference", num_json(c->contrast.diff));
    facts_put(o, "confidence", json_real(c->confidence));
    facts_text(o, "interval", interval_of(c));
    facts_put(o, "low", num_json(c->low));
    facts_put(o, "high", num_json(c->high));
    facts_put(o, "looks_before", json_integer((json_int_t)c->looks));
    facts_text(o, "verdict", verdict_of(c));
    facts_print_json(o, stdout);
    json_decref(o);
}

static void print_values(const struct confirm *c) {
    struct table t = {0};
    char text[32];
    table_column(&t, "seed", false, 0);
    for (int k = 1; k >= 0; k--) {
        snprintf(text, sizeof text, "trial %lld", (long long)(k ? c->trial : c->against));
        table_column(&t, text, false, 0);
    }
    table_column(&t, "difference", false, 0);
    for (int64_t i = 0; i < c->o->seeds; i++) {
        const double a = c->value[0][i], b = c->value[1][i];
        table_row(&t);
        table_set(&t, 0, "%lld", (long long)(CONFIRM_FIRST_SEED + i));
        table_set(&t, 1, "%s", isnan(b) ? "diverged" : num_text(b, DIGITS, text));
        table_set(&t, 2, "%s", isnan(a) ? "diverged" : num_text(a, DIGITS, text));
        if (isfinite(b - a)) table_set(&t, 3, "%+.*f", DIGITS, b - a);
    }
    table_print(&t, isatty(STDOUT_FILENO) ? term_columns(STDOUT_FILENO) : 0, NULL, stdout);
    table_release(&t);
}

static void print_words(const struct confirm *c) {
    const char *verdict = verdict_of(c);
    const long long trial = c->trial;
    const double sure = 100 * c->confidence;
    if (!strcmp(verdict, "better"))
        printf("The gain is real: trial %lld is better by at least %.*f bits a byte, at %.4g %%.\n",
               trial, DIGITS, -c->high, sure);
    else if (!strcmp(verdict, "worse"))
        printf("There is no gain: trial %lld is worse by at least %.*f bits a byte, at %.4g %%.\n",
               trial, DIGITS, c->low, sure);
    else if (!strcmp(verdict, "failed"))
        printf("There is no gain that can be relied on: trial %lld diverged with %u of %lld fresh "
               "seeds.\n",
               trial, c->failed[1], (long long)c->o->seeds);
    else
        printf("A gain is not shown: the interval holds 0. More seeds may show one (--seeds %lld), "
               "by an interval\nthat holds at all looks together and is wider for it.\n",
               2 * (long long)c->o->seeds);
    if (c->looks)
        printf("This text has answered %zu question%s before: with each, one wrong answer becomes "
               "likelier.\n",
               c->looks, c->looks == 1 ? "" : "s");
}

static void print_interval(const struct confirm *c) {
    printf("\n");
    if (isnan(c->contrast.diff)) return;
    printf("mean difference %+.*f, ", DIGITS, c->contrast.diff);
    if (isfinite(c->low))
        printf("%.4g %% interval %+.*f to %+.*f ", 100 * c->confidence, DIGITS, c->low, DIGITS,
               c->high);
    else
        printf("too few seeds for an interval ");
    if (c->again)
        printf("(a confidence sequence, which holds at\nall looks: these two were compared before "
               "with another number of seeds)\n");
    else
        printf("(Student's t, %.0f degree%s of freedom)\n", c->contrast.df,
               c->contrast.df > 1 ? "s" : "");
}

static void print_text(const struct confirm *c) {
    char n[2][32];
    printf("trial %lld against trial %lld, %lld fresh seeds each, bits a byte of %s documents (%s "
           "bytes) that no\ntrial saw:\n\n",
           (long long)c->trial, (long long)c->against, (long long)c->o->seeds,
           num_count(whole_of(c, "documents"), n[0]), num_count(whole_of(c, "bytes"), n[1]));
    print_values(c);
    print_interval(c);
    print_words(c);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void release(struct confirm *c) {
    for (size_t i = 0; i < c->n; i++) {
        free(c->run[i].program);
        free(c->run[i].config);
        free(c->run[i].folder);
        free(c->run[i].output);
    }
    free(c->run);
    free(c->spec);
    for (int k = 0; k < 2; k++) free(c->value[k]);
    confirm_record_close(&c->record);
}

int search_confirm(const struct search *s, const struct confirm_opts *o, bool *real,
                   struct err *e) {
    struct confirm c = {
        .s = s, .o = o, .confidence = s->file.confidence > 0 ? s->file.confidence : 0.95};
    char *path = search_path(s, "confirm.jsonl");
    int rc;
    *real = false;
    TRY(path ? choose(&c, e) : no_memory(e));
    TRY(confirm_record_open(&c.record, path, e));
    c.looks = confirm_record_looks(&c.record, c.trial, c.against, (size_t)o->seeds, &c.asked,
                                   &c.again);
    TRY(plan_runs(&c, e));
    TRY(search_warn_changed(s, e)); /* not refused: both are trained here */
    TRY(run_all(&c, e));
    TRY(judge(&c, e));
    if (!c.asked) TRY(record_look(&c, e));
    (o->json ? print_json : print_text)(&c);
    *real = !strcmp(verdict_of(&c), "better");
out:
    release(&c);
    free(path);
    return rc;
}
