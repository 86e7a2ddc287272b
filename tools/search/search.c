#include "search.h"

#include "file.h"
#include "hand_files.h"
#include "json_text.h"
#include "model_shipped.h"
#include "num.h"
#include "opt.h"
#include "suite.h"
#include "train_opts.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a search");
}

/* Paths ---------------------------------------------------------------------------------------- */

char *search_path(const struct search *s, const char *name) {
    return name ? file_join(s->dir, name) : strdup(s->dir);
}

char *search_trial_path(const struct search *s, int64_t trial, const char *name) {
    char inner[400];
    snprintf(inner, sizeof inner, "trials/%04lld%s%.300s", (long long)trial, name ? "/" : "",
             name ? name : "");
    return search_path(s, inner);
}

char *search_run_path(const struct search *s, int64_t trial, int64_t seed, const char *name) {
    char inner[400];
    snprintf(inner, sizeof inner, "seed-%lld%s%.300s", (long long)seed, name ? "/" : "",
             name ? name : "");
    return search_trial_path(s, trial, inner);
}

char *search_log_path(const struct search *s, int64_t trial, int64_t seed) {
    char name[64];
    snprintf(name, sizeof name, "seed-%lld.txt", (long long)seed);
    return search_trial_path(s, trial, name);
}

/* Folders -------------------------------------------------------------------------------------- */

bool search_is(const char *dir) {
    char *path = file_join(dir, "search.json"), *ledger = file_join(dir, "ledger.jsonl");
    const bool yes = path && ledger && (file_is_regular(path) || file_is_regular(ledger));
    free(path);
    free(ledger);
    return yes;
}

bool search_is_locked(const char *dir) {
    char *path = file_join(dir, "ledger.jsonl");
    const int fd = path && file_is_regular(path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    const bool yes = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0) close(fd); /* and gives the lock back */
    free(path);
    return yes;
}

void search_settle(struct search *s) {
    const struct search_file *f = &s->file;
    const json_int_t planned = json_integer_value(json_object_get(s->ledger.head, "trials"));
    s->planned = planned > 0 && planned <= 1000000 ? planned : f->trials;
    s->sign = f->metric.higher ? -1 : 1;
    s->plan = gate_plan();
    s->plan.trials = (unsigned)s->planned;
    s->plan.max_seeds = (unsigned)f->seeds;
    if (s->plan.min_seeds > s->plan.max_seeds) s->plan.min_seeds = s->plan.max_seeds;
    if (f->confidence > 0) s->plan.confidence = f->confidence;
    if (!(f->confidence > 0) && !f->every_seed) s->plan.min_seeds = s->plan.max_seeds = 1;
}

int search_open(struct search *s, const char *dir, bool write, struct err *e) {
    int rc;
    size_t n = strlen(dir);
    *s = (struct search){0};
    while (n > 1 && dir[n - 1] == '/') n--;
    /* a folder -x is no option of the programs that it is given to */
    if (asprintf(&s->dir, "%s%.*s", *dir == '-' ? "./" : "", (int)n, dir) < 0) s->dir = NULL;
    char *path = s->dir ? search_path(s, "search.json") : NULL;
    char *ledger = s->dir ? search_path(s, "ledger.jsonl") : NULL;
    if (!path || !ledger) TRY(no_memory(e));
    if (!file_is_regular(path) && suite_is(s->dir)) TRY(suite_refuse(s->dir, e));
    if (!file_is_regular(path))
        TRY(err_set(e, ERR_USAGE, "%s: no search.json: not the folder of a search", s->dir));
    TRY(search_file_open(&s->file, path, train_rows, e));
    if (s->file.program) {
        s->program = hand_find_file(s->dir, s->file.program);
        if (!s->program) TRY(no_memory(e));
        s->file.program = s->program;
    }
    TRY(write ? ledger_open(&s->ledger, ledger, &s->file.space, e)
              : ledger_read(&s->ledger, ledger, &s->file.space, e));
    if (write) TRY(search_check_file(s, e));
    if (write) TRY(search_begin(s, e));
    search_settle(s);
out:
    free(path);
    free(ledger);
    if (rc) search_close(s);
    return rc;
}

void search_close(struct search *s) {
    ledger_close(&s->ledger);
    json_decref(s->resumed);
    search_file_close(&s->file);
    free(s->program);
    free(s->dir);
    *s = (struct search){0};
}

/* Trials --------------------------------------------------------------------------------------- */

int64_t search_trials(const struct search *s) {
    return (int64_t)s->ledger.n_trials;
}

const struct ledger_job *search_job(const struct search *s, int64_t trial) {
    return &s->ledger.job[s->ledger.trial[trial].job - 1];
}

json_t *search_config(const struct search *s, int64_t trial) {
    return json_object_get(search_job(s, trial)->json, "config");
}

/* Of what is kept in the folder (hand_files.h) the whole path. */
static bool find_value(const struct search *s, json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));
    char *path = text ? hand_find_file(s->dir, text) : NULL;
    const bool ok = !text || (path && !json_object_set_new(o, key, json_string(path)));
    free(path);
    return ok;
}

/* A description that comes with duet: a program that lies elsewhere, as a copy of this one does,
 * would not find it by its name. What is not here either is left to it. */
static bool find_shipped(json_t *o) {
    const char *model = json_string_value(json_object_get(o, "model"));
    char *found = NULL;
    struct err e;
    const int rc = model_shipped_find(&model, &found, &e);
    const bool ok = found ? !json_object_set_new(o, "model", json_string(found)) : rc != ERR_NOMEM;
    free(found);
    return ok;
}

json_t *search_options(const struct search *s, int64_t trial) {
    static const char *const kept[] = {"model", "init", "adapter"};
    json_t *o = search_file_options(&s->file, search_config(s, trial));
    bool ok = o != NULL;
    if (s->file.program || json_object_get(o, "program")) ok = ok && find_shipped(o);
    if (o) json_object_del(o, "program");
    for (size_t i = 0; i < sizeof kept / sizeof *kept && ok; i++) ok = find_value(s, o, kept[i]);
    if (ok) return o;
    json_decref(o);
    return NULL;
}

int search_program(const struct search *s, int64_t trial, char **program, struct err *e) {
    const char *own = json_string_value(json_object_get(search_config(s, trial), "program"));
    const char *path = own ? own : s->file.program;
    *program = path ? hand_find_file(s->dir, path) : NULL;
    return path && !*program ? no_memory(e) : 0;
}

const struct ledger_result *search_result(const struct search *s, int64_t trial, int64_t seed) {
    return ledger_find(&s->ledger, trial, seed, search_job(s, trial)->rung);
}

enum trial_status search_status(const struct search *s, int64_t trial) {
    const struct ledger_result *last = NULL; /* of the first seed */
    for (size_t i = s->ledger.trial[trial].result; i; i = s->ledger.result[i - 1].before) {
        const struct ledger_result *r = &s->ledger.result[i - 1];
        if (r->seed == 1 && (!last || r->rung > last->rung)) last = r;
    }
    return last ? last->status : TRIAL_pending;
}

const struct ledger_decision *search_decision(const struct search *s, int64_t trial) {
    for (size_t i = s->ledger.n_decisions; i; i--)
        if (s->ledger.decision[i - 1].trial == trial) return &s->ledger.decision[i - 1];
    return NULL;
}

/* The configuration failed, not what it ran on. */
static bool failed(enum trial_status status) {
    return status != TRIAL_ok && status != TRIAL_killed && status != TRIAL_pending;
}

void search_runs(const struct search *s, int64_t trial, size_t used, double *value, size_t most,
                 struct gate_runs *out) {
    const struct ledger_job *job = search_job(s, trial);
    *out = (struct gate_runs){.value = value, .n = used < most ? used : most};
    for (size_t i = 0; i < most; i++) value[i] = NAN;
    for (size_t i = job->share < 1 ? 0 : s->ledger.trial[trial].result; i;
         i = s->ledger.result[i - 1].before) {
        const struct ledger_result *r = &s->ledger.result[i - 1];
        if (r->rung != job->rung || r->seed < 1 || r->seed > (int64_t)out->n) continue;
        value[r->seed - 1] = r->status == TRIAL_ok ? s->sign * r->value : NAN;
        out->failed += failed(r->status);
    }
}

double search_mean(const struct search *s, int64_t trial, size_t *n) {
    const struct ledger_job *job = search_job(s, trial);
    double sum = 0;
    size_t count = 0;
    for (size_t i = s->ledger.trial[trial].result; i; i = s->ledger.result[i - 1].before) {
        const struct ledger_result *r = &s->ledger.result[i - 1];
        if (r->rung != job->rung || r->status != TRIAL_ok) continue;
        sum += r->value;
        count++;
    }
    if (n) *n = count;
    return count ? sum / (double)count : NAN;
}

bool search_better(const struct search *s, double a, double b) {
    return s->sign * a < s->sign * b;
}

int64_t search_known_trial(const struct search *s, const char *hash) {
    for (size_t i = 0; i < s->ledger.n_jobs; i++) {
        const struct ledger_job *job = &s->ledger.job[i];
        if (strcmp(job->hash, hash)) continue;
        if (!(job->share < 1) || failed(search_status(s, job->trial))) return job->trial;
    }
    return -1;
}

int64_t search_incumbent(const struct search *s) {
    for (size_t i = s->ledger.n_decisions; i; i--)
        if (s->ledger.decision[i - 1].keep) return s->ledger.decision[i - 1].trial;
    return -1;
}

int64_t search_rival(const struct search *s, int64_t trial) {
    const struct ledger_decision *d = search_decision(s, trial);
    return d ? d->against : -1;
}

const struct ledger_result *search_base_failure(const struct search *s) {
    const struct ledger_result *r = search_trials(s) ? search_result(s, 0, 1) : NULL;
    return r && r->status != TRIAL_ok ? r : NULL;
}

const char *search_why(const struct ledger_result *r) {
    const char *why = json_string_value(json_object_get(r->json, "why"));
    return why ? why : "it gave no reason";
}

int search_check_base(const struct search *s, struct err *e) {
    const struct ledger_result *r = search_incumbent(s) > 0 ? NULL : search_base_failure(s);
    if (!r) return 0;
    return err_set(e, ERR_INPUT, "%s: the base failed (%s): %.400s; nothing else was kept", s->dir,
                   trial_status_name(r->status), search_why(r));
}

size_t search_kept(const struct search *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->ledger.n_decisions; i++)
        n += s->ledger.decision[i].keep && s->ledger.decision[i].trial > 0;
    return n;
}

int64_t search_by_hand(const struct search *s) {
    int64_t n = 0;
    for (size_t i = 0; i < s->ledger.n_jobs; i++)
        n += !s->ledger.job[i].before && !strcmp(s->ledger.job[i].from, SEARCH_HAND);
    return n;
}

/* Evidence ------------------------------------------------------------------------------------- */

static double real_of(const json_t *j, const char *key) {
    const json_t *v = json_object_get(j, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static int64_t whole_of(const json_t *j, const char *key) {
    const json_t *v = json_object_get(j, key);
    return json_is_integer(v) ? json_integer_value(v) : -1;
}

bool search_evidence(const struct search *s, int64_t trial, struct search_evidence *out) {
    const struct ledger_decision *d = search_decision(s, trial);
    const json_t *j = d ? json_object_get(d->json, "evidence") : NULL;
    const char *reason = json_string_value(json_object_get(j, "reason"));
    const int64_t seeds = whole_of(j, "seeds"), first = whole_of(j, "first_seed");
    *out = (struct search_evidence){
        .reason = reason ? reason : "",
        .diff = real_of(j, "diff"),
        .low = real_of(j, "low"),
        .high = real_of(j, "high"),
        .log_e = real_of(j, "log_e"),
        .threshold = real_of(j, "threshold"),
        .chance = real_of(j, "chance"),
        .value = real_of(j, "value"),
        .rival = real_of(j, "rival"),
        .seeds = seeds,
        .behind = first > 1 && first <= seeds ? seeds - first + 1 : seeds,
        .test = whole_of(j, "test"),
        .noise = real_of(j, "noise"),
    };
    return json_is_object(j);
}

void search_known(const struct search *s, size_t *known) {
    const struct ledger *l = &s->ledger;
    memset(known, 0, l->n_trials * sizeof *known);
    for (size_t i = 0; i < l->n_decisions; i++) {
        const struct ledger_decision *d = &l->decision[i];
        const json_t *evidence = json_object_get(d->json, "evidence");
        const int64_t seeds = whole_of(evidence, "seeds"), most = s->plan.max_seeds;
        const size_t used = seeds > 0 ? (size_t)(seeds < most ? seeds : most) : 0;
        known[d->trial] = d->keep && d->trial > 0 ? s->plan.max_seeds : used;
        if (d->against >= 0 && known[d->against] < used) known[d->against] = used;
    }
}

int search_noise(const struct search *s, struct gate_noise *out, struct err *e) {
    const size_t n = s->ledger.n_trials, most = s->plan.max_seeds;
    const int64_t incumbent = search_incumbent(s);
    struct gate_runs *runs = calloc(n + 1, sizeof *runs);
    size_t *known = calloc(n + 1, sizeof *known);
    double *value = calloc(n + 1, most * sizeof *value);
    int rc = 0;
    gate_noise(runs, 0, 0, out);
    if (!runs || !known || !value) {
        rc = no_memory(e);
    } else if (incumbent >= 0) {
        search_known(s, known);
        for (size_t i = 0; i < n; i++)
            search_runs(s, (int64_t)i, known[i], value + i * most, most, &runs[i]);
        gate_noise(runs, n, (size_t)incumbent, out);
    }
    free(runs);
    free(known);
    free(value);
    return rc;
}

/* Words ---------------------------------------------------------------------------------------- */

static const char *short_key(const char *key) {
    return strncmp(key, "set.", 4) ? key : key + 4;
}

/* A value without quotation marks. */
static void put_value(const json_t *v, char *buf, size_t size) {
    char *text = json_is_string(v) || !v ? NULL : json_dumps(v, JSON_ENCODE_ANY |
                                                                    JSON_REAL_PRECISION(6));
    snprintf(buf, size, "%.60s", !v ? "none" : text ? text : json_string_value(v));
    free(text);
}

/* Appends "key before -> after". False: it does not fit. */
static bool put_change(char *buf, size_t size, size_t *used, const char *key, const json_t *was,
                       const json_t *now, bool alone) {
    char before[64], after[64];
    put_value(was, before, sizeof before);
    put_value(now, after, sizeof after);
    const int n = snprintf(buf + *used, size - *used, "%s%s %s%s%s", *used ? ", " : "",
                           short_key(key), alone ? "" : before, alone ? "" : " -> ", after);
    if (n < 0 || (size_t)n >= size - *used) return false;
    *used += (size_t)n;
    return true;
}

/* What `duet train` decides where an optimizer's own value is asked for (-1); 0: not known here. */
static double optimizers_own(const struct search *s, const json_t *config, const char *key) {
    const json_t *v = json_object_get(config, "optimizer"), *base = s->file.base;
    const char *name = json_string_value(v ? v : json_object_get(base, "optimizer"));
    if (json_object_get(base, "engine") || json_object_get(config, "engine")) return 0;
    const struct opt_kind *k = opt_find(name && strcmp(name, "auto") ? name : "adamw");
    if (!k) return 0;
    return !strcmp(key, "lr") ? k->lr : !strcmp(key, "beta1") ? k->beta1
                                    : !strcmp(key, "beta2")   ? k->beta2
                                                              : 0;
}

/* What stands for a key that neither a configuration nor the base says: the option's default. New,
 * or NULL. */
static json_t *default_value(const struct search *s, const json_t *config, const char *key) {
    const struct conf_row *row = strncmp(key, "set.", 4) ? conf_row(train_rows, key) : NULL;
    if (!row) return NULL;
    if (row->type == CONF_T_BOOL && !row->def) return json_false();
    if (!row->def) return NULL;
    const double own = strcmp(row->def, "-1") ? 0 : optimizers_own(s, config, key);
    if (own > 0) return json_real(own);
    if (!strcmp(row->def, "-1")) return json_string("default");
    json_t *parsed = json_loads(row->def, JSON_DECODE_ANY, NULL);
    return parsed ? parsed : json_string(row->def);
}

/* What the base says of a key that a configuration, made by hand, has beside the axes; else its
 * default with that configuration. New, or NULL. */
static json_t *base_value(const struct search *s, const json_t *config, const char *key) {
    const bool inner = !strncmp(key, "set.", 4);
    const json_t *from = inner ? json_object_get(s->file.base, "set") : s->file.base;
    json_t *v = json_object_get(from, inner ? key + 4 : key);
    return v ? json_incref(v) : default_value(s, config, key);
}

const char *search_changes(const struct search *s, int64_t trial, int64_t from, char *buf,
                           size_t size) {
    json_t *now = search_config(s, trial), *was = from < 0 ? NULL : search_config(s, from);
    const char *key;
    json_t *v;
    size_t used = 0;
    bool fits = true;
    *buf = 0;
    json_object_foreach(now, key, v) {
        json_t *old = json_incref(json_object_get(was, key));
        if (!old && from >= 0) old = base_value(s, was, key);
        if (fits && !(old && json_equal(old, v)))
            fits = put_change(buf, size, &used, key, old, v, from < 0);
        json_decref(old);
    }
    json_object_foreach(was, key, v) {
        if (!fits || json_object_get(now, key)) continue;
        json_t *left = base_value(s, now, key);
        fits = put_change(buf, size, &used, key, v, left, false);
        json_decref(left);
    }
    return buf;
}
