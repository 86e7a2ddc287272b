#include "search_rerun.h"

#include "canon.h"
#include "facts.h"
#include "file.h"
#include "json_text.h"
#include "log.h"
#include "machine.h"
#include "num.h"
#include "record.h"
#include "table.h"
#include "term.h"
#include "trial_batch.h"
#include "weights_hash.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS = 400 };

struct rerun {
    const struct search *s;
    const struct rerun_opts *o;
    const struct ledger_result *row; /* of the trial that ran: see "same" */
    int64_t from;                    /* that trial */
    double share;                    /* of the budget, at the row's rung */
    char *was;                       /* the folder of its run */
    struct record record;            /* of that */
    char *scratch;                   /* temporary folder */
    char *program, *config, *output, *folder; /* of the run now */
    enum trial_status status;
    char words[TRIAL_WORDS];
    double value, seconds;
    char weights[17];
    char changed[WORDS]; /* facts that are others now: "commit a -> b, cpu c -> d" */
};

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory to repeat a row");
}

/* ---- the row --------------------------------------------------------------------------------- */

/* The first seed with a result at that rung of the trial. */
static const struct ledger_result *first_result(const struct search *s, int64_t trial, int rung) {
    const struct ledger_result *first = NULL;
    for (size_t i = s->ledger.trial[trial].result; i; i = s->ledger.result[i - 1].before) {
        const struct ledger_result *r = &s->ledger.result[i - 1];
        if (r->rung == rung && (!first || r->seed < first->seed)) first = r;
    }
    return first;
}

/* The trial's job at that rung, or NULL. */
static const struct ledger_job *job_at(const struct search *s, int64_t trial, int rung) {
    size_t i = s->ledger.trial[trial].job;
    while (i && s->ledger.job[i - 1].rung != rung) i = s->ledger.job[i - 1].before;
    return i ? &s->ledger.job[i - 1] : NULL;
}

/* What stands for a configuration that was known is the row that was known then, at the same share
 * of the budget. */
static const struct ledger_result *trained(const struct search *s, const struct ledger_result *r) {
    const struct ledger *l = &s->ledger;
    const struct ledger_job *job = job_at(s, r->trial, r->rung);
    const json_t *same = json_object_get(r->json, "same");
    const int64_t trial = json_is_integer(same) ? json_integer_value(same) : -1;
    const struct ledger_result *known = NULL;
    if (trial < 0 || trial >= search_trials(s) || !job) return r;
    for (size_t i = l->trial[trial].job; i && !known; i = l->job[i - 1].before)
        if (l->job[i - 1].share == job->share)
            known = ledger_find(l, trial, r->seed, l->job[i - 1].rung);
    return known ? known : r;
}

static int choose_rung(const struct rerun *r, int *rung, struct err *e) {
    const struct search *s = r->s;
    const int last = search_job(s, r->o->trial)->rung;
    *rung = r->o->rung < 0 ? last : (int)r->o->rung;
    if (job_at(s, r->o->trial, *rung)) return 0;
    return err_set(e, ERR_USAGE, "%s: row %lld has no rung %d (--rung): its last is %d", s->dir,
                   (long long)r->o->trial, *rung, last);
}

static int find_row(struct rerun *r, struct err *e) {
    const struct search *s = r->s;
    const long long trial = r->o->trial, seed = r->o->seed;
    char at[32] = "";
    int rc, rung;
    if (trial < 0 || trial >= search_trials(s))
        return err_set(e, ERR_USAGE, "%s: there is no row %lld: %s%lld", s->dir, trial,
                       search_trials(s) ? "they are numbered 0 to " : "trials so far: ",
                       search_trials(s) ? (long long)search_trials(s) - 1 : 0LL);
    rc = choose_rung(r, &rung, e);
    if (rc) return rc;
    if (rung) snprintf(at, sizeof at, " at rung %d", rung);
    r->row = seed ? ledger_find(&s->ledger, trial, seed, rung) : first_result(s, trial, rung);
    if (!r->row && seed)
        return err_set(e, ERR_USAGE, "%s: row %lld has no result with seed %lld%s", s->dir, trial,
                       seed, at);
    if (!r->row)
        return err_set(e, ERR_USAGE, "%s: row %lld has no result yet%s", s->dir, trial, at);
    r->row = trained(s, r->row);
    r->from = r->row->trial;
    r->share = job_at(s, r->from, r->row->rung)->share;
    if (r->row->status == TRIAL_ok) return 0;
    return err_set(e, ERR_USAGE,
                   "%s: row %lld with seed %lld ended as \"%s\"; only what ended well has a value "
                   "and weights to repeat",
                   s->dir, trial, (long long)r->row->seed, trial_status_name(r->row->status));
}

/* ---- can it be? ------------------------------------------------------------------------------ */

static const char *fact_of(const json_t *record, const char *key) {
    return json_string_value(json_object_get(record, key));
}

/* What the run itself recorded, else the search. */
static const char *was_fact(const struct rerun *r, const char *key) {
    const char *word = fact_of(r->record.record, key);
    return word ? word : fact_of(r->s->ledger.head, key);
}

/* Instructions that this processor lacks make other bits; fewer than it has can be asked for. */
static int choose_tier(const struct rerun *r, struct err *e) {
    struct cpu cpu;
    const char *was = was_fact(r, "tier");
    int rc, tier = 0;
    TRY(machine_cpu(&cpu, e));
    while (tier < CPU_TIER_COUNT && was && strcmp(was, cpu_tier_name((enum cpu_tier)tier))) tier++;
    if (!was || tier == CPU_TIER_COUNT || tier == (int)cpu.tier) goto out;
    if (tier > (int)cpu.tier)
        return err_set(e, ERR_INPUT,
                       "%s: row %lld was computed with the instruction set %s, here is %s: other "
                       "bits would come out",
                       r->s->dir, (long long)r->o->trial, was, cpu_tier_name(cpu.tier));
    if (setenv("DUET_CPU", was, 1)) rc = err_errno(e, ERR_NOMEM, "DUET_CPU");
out:
    return rc;
}

static char *clock_of(const struct rerun *r) {
    char *path = file_join(r->was, "clock"), *whole = NULL;
    if (path && file_is_regular(path)) whole = realpath(path, NULL);
    free(path);
    return whole;
}

/* Options of the trial, with what is on record of its run in the place of what was decided then. */
static int write_config(const struct rerun *r, struct err *e) {
    struct file_out f = {0};
    json_t *o = search_options(r->s, r->from);
    char *clock = clock_of(r), *text = NULL;
    const char *gemm = was_fact(r, "gemm"), *compute = fact_of(r->record.options, "compute");
    static const char *const lengths[] = {"time", "steps", "tokens", "flops"};
    bool ok = o != NULL;
    int rc;
    if (!clock && r->s->file.budget == SEARCH_time)
        TRY(err_set(e, ERR_INPUT,
                    "%s: the clock of row %lld is gone, without which a run of so many seconds "
                    "cannot be repeated",
                    r->was, (long long)r->o->trial));
    for (size_t i = 0; clock && ok && i < sizeof lengths / sizeof *lengths; i++)
        json_object_del(o, lengths[i]);
    if (ok && clock) ok = !json_object_set_new(o, "clock", json_string(clock));
    if (ok && gemm) ok = !json_object_set_new(o, "gemm", json_string(gemm));
    if (ok && compute) ok = !json_object_set_new(o, "compute", json_string(compute));
    text = ok ? json_text_dump(o, JSON_INDENT(1)) : NULL;
    TRY(text ? file_out_open(&f, r->config, e) : no_memory(e));
    file_out_write(&f, text, strlen(text));
    file_out_write(&f, "\n", 1);
    rc = file_out_commit(&f, e);
out:
    json_decref(o);
    free(clock);
    free(text);
    return rc;
}

/* ---- the run --------------------------------------------------------------------------------- */

static int make_folders(struct rerun *r, struct err *e) {
    r->scratch = search_path(r->s, "rerun-XXXXXX");
    if (!r->scratch) return no_memory(e);
    if (!mkdtemp(r->scratch)) {
        err_errno(e, ERR_IO, "%s: no folder can be made in it", r->s->dir);
        free(r->scratch);
        r->scratch = NULL;
        return e->code;
    }
    r->config = file_join(r->scratch, "config.json");
    r->output = file_join(r->scratch, "output.txt");
    r->folder = r->o->out ? strdup(r->o->out) : file_join(r->scratch, "run");
    return r->config && r->output && r->folder ? 0 : no_memory(e);
}

static int ended(void *ctx, size_t i, const struct trial_outcome *out, struct err *e) {
    struct rerun *r = ctx;
    (void)i;
    r->status = out->status;
    r->value = out->value;
    r->seconds = out->seconds;
    memcpy(r->words, out->words, sizeof r->words);
    return out->status == TRIAL_ok ? weights_hash(r->folder, r->weights, e) : 0;
}

static int run(struct rerun *r, struct err *e) {
    const struct search_file *f = &r->s->file;
    const struct trial_spec spec = {
        .program = r->program,
        .scorer = f->program,
        .launcher = f->launcher,
        .config = r->config,
        .folder = r->folder,
        .output = r->output,
        .seed = r->row->seed,
        .threads = (int)json_integer_value(json_object_get(f->base, "threads")),
        .share = r->share,
        .metric = &f->metric,
    };
    const struct trial_batch b = {.spec = &spec,
                                  .n = 1,
                                  .jobs = 1,
                                  .doing = "repeating",
                                  .quiet = r->o->quiet,
                                  .ended = ended,
                                  .ctx = r};
    int rc;
    TRY(trial_batch_run(&b, e));
    if (r->status != TRIAL_ok)
        rc = err_set(e, ERR_INPUT, "row %lld with seed %lld, trained again: %s: %s",
                     (long long)r->o->trial, (long long)r->row->seed,
                     trial_status_name(r->status), r->words);
out:
    return rc;
}

/* Which of what decides bits is not as it was. */
static int compare_facts(struct rerun *r, struct err *e) {
    static const char *const keys[] = {"version", "commit", "cpu", "tier", "gemm"};
    struct record now;
    size_t used = 0;
    const int rc = record_read(&now, r->folder, RECORD_BRIEF, e);
    for (size_t i = 0; !rc && i < sizeof keys / sizeof *keys; i++) {
        const char *a = was_fact(r, keys[i]), *b = fact_of(now.record, keys[i]);
        if (!a || !b || !strcmp(a, b) || used >= WORDS) continue;
        const int n = snprintf(r->changed + used, WORDS - used, "%s%s %.80s -> %.80s",
                               used ? ", " : "", keys[i], a, b);
        used += n > 0 ? (size_t)n : 0;
    }
    record_release(&now);
    return rc;
}

/* ---- what it says ---------------------------------------------------------------------------- */

static bool same_value(const struct rerun *r) {
    return r->value == r->row->value;
}

/* 1: yes; 0: no; -1: the ledger has none. */
static int same_weights(const struct rerun *r) {
    const char *was = fact_of(r->row->json, "weights");
    return was ? !strcmp(was, r->weights) : -1;
}

static bool is_same(const struct rerun *r) {
    return same_value(r) && same_weights(r) != 0;
}

static void print_json(const struct rerun *r) {
    json_t *o = json_object();
    facts_put(o, "trial", json_integer(r->o->trial));
    facts_put(o, "seed", json_integer(r->row->seed));
    facts_put(o, "rung", json_integer(r->row->rung));
    facts_put(o, "share", json_real(r->share));
    facts_put(o, "value_ledger", num_json(r->row->value));
    facts_put(o, "value", num_json(r->value));
    facts_text(o, "weights_ledger", fact_of(r->row->json, "weights"));
    facts_text(o, "weights", r->weights);
    facts_put(o, "seconds", num_json(r->seconds));
    facts_put(o, "same", json_boolean(is_same(r)));
    if (*r->changed) facts_text(o, "changed", r->changed);
    if (r->o->out) facts_text(o, "folder", r->folder);
    facts_print_json(o, stdout);
    json_decref(o);
}

static void print_figures(const struct rerun *r) {
    const char *weights = fact_of(r->row->json, "weights");
    struct table t = {0};
    char a[32], b[32];
    table_column(&t, "", true, 0);
    table_column(&t, "ledger", true, 0);
    table_column(&t, "now", true, 0);
    table_row(&t);
    table_set(&t, 0, "value");
    table_set(&t, 1, "%s", canon_number(r->row->value, a));
    table_set(&t, 2, "%s", canon_number(r->value, b));
    table_row(&t);
    table_set(&t, 0, "weights");
    if (weights) table_set(&t, 1, "%s", weights);
    table_set(&t, 2, "%s", r->weights);
    table_print(&t, isatty(STDOUT_FILENO) ? term_columns(STDOUT_FILENO) : 0, NULL, stdout);
    table_release(&t);
}

static void print_text(const struct rerun *r) {
    char took[32];
    const int weights = same_weights(r);
    printf("row %lld, seed %lld, ", (long long)r->o->trial, (long long)r->row->seed);
    if (r->share < 1) printf("rung %d (%.3g of the budget), ", r->row->rung, r->share);
    printf("trained again in %s:\n\n", log_duration(r->seconds, took));
    print_figures(r);
    if (is_same(r) && weights > 0)
        printf("\nThe row repeats: value and weights are the same to the last bit.\n");
    else if (is_same(r))
        printf("\nThe value repeats to the last bit; the ledger does not say what the weights "
               "were.\n");
    else if (weights > 0)
        printf("\nThe row does not repeat: the weights are the same, but the ledger's value is not "
               "theirs.\n");
    else
        printf("\nThe row does not repeat: %s.\n",
               weights < 0 ? "the value is another" : "the weights are others");
    if (*r->changed)
        printf("Not as they were: %s%s.\n", r->changed,
               is_same(r) ? "" : "; this can be why the bits are others");
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int prepare(struct rerun *r, struct err *e) {
    int rc;
    TRY(find_row(r, e));
    if (r->o->out && file_exists(r->o->out))
        return err_set(e, ERR_USAGE, "%s is there already; choose another --out", r->o->out);
    r->was = search_run_path(r->s, r->from, r->row->seed, NULL);
    if (!r->was) return no_memory(e);
    TRY(record_read(&r->record, r->was, RECORD_BRIEF, e));
    TRY(choose_tier(r, e));
    TRY(search_check_same(r->s, e));
    TRY(search_program(r->s, r->from, &r->program, e));
    TRY(make_folders(r, e));
    rc = write_config(r, e);
out:
    return rc;
}

static void release(struct rerun *r) {
    if (r->scratch) search_remove(r->scratch);
    record_release(&r->record);
    free(r->was);
    free(r->scratch);
    free(r->program);
    free(r->config);
    free(r->output);
    free(r->folder);
}

int search_rerun(const struct search *s, const struct rerun_opts *o, bool *same, struct err *e) {
    struct rerun r = {.s = s, .o = o, .value = NAN};
    int rc;
    *same = false;
    TRY(prepare(&r, e));
    TRY(run(&r, e));
    TRY(compare_facts(&r, e));
    (o->json ? print_json : print_text)(&r);
    *same = is_same(&r);
out:
    release(&r);
    return rc;
}
