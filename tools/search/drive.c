#include "drive_impl.h"

#include "clock.h"
#include "file.h"
#include "num.h"
#include "results_tsv.h"
#include "stop.h"
#include "weights_hash.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_SECONDS 0.25   /* from one look at the processes to the next */
#define TABLE_SECONDS 5.0   /* from one results.tsv to the next, where decisions are quick */
#define IDLE_SECONDS 1800.0 /* a trial without a sign of life for so long hangs */

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a search");
}

static bool put(json_t *o, const char *key, json_t *v) {
    return v && !json_object_set_new(o, key, v);
}

/* Into the ledger ------------------------------------------------------------------------------ */

/* What the weights were, for when they are gone. */
static bool put_weights(json_t *event, const struct search *s, const struct want *w) {
    char hash[17], *folder = search_run_path(s, w->trial, w->seed, NULL);
    struct err why;
    const bool known = folder && !weights_hash(folder, hash, &why);
    free(folder);
    return !known || put(event, "weights", json_string(hash));
}

/* Of what is measured by a clock more digits say nothing. */
static json_t *thousandths(double x) {
    return num_json(round(1000 * x) / 1000);
}

static int append_result(struct drive *d, const struct want *w, int rung,
                         const struct trial_outcome *out, struct err *e) {
    json_t *event = ledger_result_event(w->trial, w->seed, rung, out->status, out->value);
    bool ok = drive_put_date(event) && put(event, "seconds", thousandths(out->seconds)) &&
              put(event, "rss_mb", thousandths(out->peak_rss_mb));
    if (ok && out->status == TRIAL_ok) ok = put_weights(event, d->s, w);
    if (ok && *out->words) ok = put(event, "why", json_string(out->words));
    if (ok && out->summary) ok = !json_object_set(event, "summary", out->summary);
    const int rc = ok ? ledger_append(&d->s->ledger, event, e) : no_memory(e);
    json_decref(event);
    return rc;
}

/* The result of a configuration that is known. */
static int append_same(struct drive *d, size_t number, int64_t same, struct err *e) {
    struct ledger *l = &d->s->ledger;
    const struct ledger_job *job = &l->job[number];
    const struct ledger_result *r = NULL;
    for (size_t i = l->trial[same].job; i && !r; i = l->job[i - 1].before)
        if (l->job[i - 1].share == job->share) r = ledger_find(l, same, 1, l->job[i - 1].rung);
    json_t *event = ledger_result_event(job->trial, 1, job->rung, r->status, r->value);
    const int rc = drive_put_date(event) && put(event, "same", json_integer(same))
                       ? ledger_append(l, event, e)
                       : no_memory(e);
    json_decref(event);
    return rc;
}

int drive_decide(struct drive *d, int64_t trial, struct verdict *v, struct err *e) {
    struct search *s = d->s;
    json_t *event = v->evidence ? ledger_decision_event(trial, v->keep, v->against) : NULL;
    int rc;
    if (!drive_put_date(event) || json_object_set(event, "evidence", v->evidence))
        TRY(no_memory(e));
    TRY(ledger_append(&s->ledger, event, e));
    if (v->keep) TRY(search_write_best(s, e));
    if (!v->keep) search_drop_weights(s, trial);
    d->untabled = true;
    drive_show_decision(d, trial);
out:
    json_decref(event);
    json_decref(v->evidence);
    v->evidence = NULL;
    return rc;
}

/* Judging -------------------------------------------------------------------------------------- */

/* Goes through the jobs that have not ended. *again: the ledger has another line. */
static int judge_jobs(struct drive *d, bool *again, struct err *e) {
    const struct ledger *l = &d->s->ledger;
    struct judge g;
    int rc;
    *again = false;
    d->wants.n = 0;
    TRY(judge_open(&g, d->s, e));
    for (size_t i = d->ended; i < l->n_jobs && !*again && !rc; i++) {
        const bool first = i == d->ended;
        struct verdict v = judge_job(&g, i, first, &d->wants);
        if (v.what == VERDICT_SAME) {
            *again = true;
            rc = append_same(d, i, v.same, e);
        } else if (first && v.what == VERDICT_DECIDED) {
            *again = true;
            rc = drive_decide(d, l->job[i].trial, &v, e);
        } else if (first && v.what == VERDICT_ENDED) {
            d->ended++;
            if (l->trial[l->job[i].trial].decision == DECISION_none) drive_show_rung(d, i);
        } else if (v.what == VERDICT_DECIDED) {
            json_decref(v.evidence); /* when it is its turn */
        }
    }
    judge_complete(&g, &d->wants);
    judge_close(&g);
out:
    return rc;
}

/* Decides and proposes what can be, and says what is wanted then. */
static int settle(struct drive *d, struct err *e) {
    bool again = true;
    int rc = 0;
    while (again && !rc) {
        rc = judge_jobs(d, &again, e);
        if (!again && !rc) rc = drive_propose(d, &again, e);
    }
    return rc;
}

/* Processes ------------------------------------------------------------------------------------ */

static void clear_slot(struct drive_slot *slot) {
    free(slot->program);
    free(slot->config);
    free(slot->folder);
    free(slot->output);
    *slot = (struct drive_slot){0};
}

static bool is_running(const struct drive *d, const struct want *w) {
    for (int i = 0; i < d->n_slots; i++)
        if (d->slot[i].busy && d->slot[i].want.trial == w->trial &&
            d->slot[i].want.seed == w->seed)
            return true;
    return false;
}

static int n_running(const struct drive *d) {
    int n = 0;
    for (int i = 0; i < d->n_slots; i++) n += d->slot[i].busy;
    return n;
}

static int fill_spec(struct drive *d, int number, struct err *e) {
    struct drive_slot *slot = &d->slot[number];
    const struct search_file *f = &d->s->file;
    const struct want w = slot->want;
    const json_t *threads = json_object_get(f->base, "threads");
    slot->rung = search_job(d->s, w.trial)->rung;
    slot->config = search_trial_path(d->s, w.trial, "config.json");
    slot->folder = search_run_path(d->s, w.trial, w.seed, NULL);
    slot->output = search_log_path(d->s, w.trial, w.seed);
    if (!slot->config || !slot->folder || !slot->output) return no_memory(e);
    if (search_program(d->s, w.trial, &slot->program, e)) return e->code;
    slot->spec = (struct trial_spec){
        .program = slot->program,
        .scorer = f->program,
        .launcher = f->launcher,
        .config = slot->config,
        .folder = slot->folder,
        .output = slot->output,
        .seed = w.seed,
        .threads = (int)json_integer_value(threads),
        .part = (unsigned)number,
        .parts = f->launcher ? 0 : (unsigned)d->n_slots,
        .share = search_job(d->s, w.trial)->share,
        .limits = {.seconds = f->seconds,
                   .idle = IDLE_SECONDS,
                   .peak_rss_mb = f->peak_rss_mb,
                   .num_params_M = f->num_params_M,
                   .memory_mb = f->launcher ? 0 : d->memory_mb},
        .metric = &f->metric,
    };
    return 0;
}

/* What the planner refuses is a result without a process. */
static int refuse(struct drive *d, struct drive_slot *slot, bool *refused, struct err *e) {
    struct trial_plan plan;
    const int rc = d->runner.fits(d->runner.ctx, &slot->spec, &plan, e);
    *refused = !rc && !plan.fits;
    if (!*refused) return rc;
    struct trial_outcome out = {.status = TRIAL_refused, .value = NAN, .peak_rss_mb = NAN};
    snprintf(out.words, sizeof out.words, "%s", plan.words);
    return append_result(d, &slot->want, slot->rung, &out, e);
}

static int start(struct drive *d, int number, const struct want *w, bool *refused, struct err *e) {
    struct drive_slot *slot = &d->slot[number];
    int rc;
    clear_slot(slot);
    slot->want = *w;
    slot->began = clock_seconds();
    TRY(search_write_trial(d->s, w->trial, e));
    TRY(fill_spec(d, number, e));
    if (w->seed == 1) TRY(refuse(d, slot, refused, e));
    if (*refused) goto out;
    search_clear_dropped(slot->folder);
    TRY(d->runner.start(d->runner.ctx, number, &slot->spec, e));
    slot->busy = true;
out:
    if (!slot->busy) clear_slot(slot);
    return rc;
}

/* Starts what is wanted where a slot is free. *refused: the ledger has another line. */
static int start_wanted(struct drive *d, bool *refused, struct err *e) {
    int number = 0, rc = 0;
    *refused = false;
    for (size_t i = 0; i < d->wants.n && !rc && !*refused; i++) {
        if (is_running(d, &d->wants.want[i])) continue;
        while (number < d->n_slots && d->slot[number].busy) number++;
        if (number == d->n_slots) break;
        rc = start(d, number, &d->wants.want[i], refused, e);
    }
    return rc;
}

/* What is running for a trial that was discarded is of no use. */
static void stop_unneeded(struct drive *d) {
    for (int i = 0; i < d->n_slots; i++) {
        struct drive_slot *slot = &d->slot[i];
        if (!slot->busy || slot->unneeded || slot->want.trial == search_incumbent(d->s) ||
            d->s->ledger.trial[slot->want.trial].decision == DECISION_none)
            continue;
        slot->unneeded = true;
        d->runner.stop(d->runner.ctx, i, true);
    }
}

/* Nothing can be compared with a base that cannot be trained, and what stops it (a file that is not
 * there) would stop all others: no row, so that it is tried again. */
static int base_failed(const struct drive *d, const struct drive_slot *slot,
                       const struct trial_outcome *out, struct err *e) {
    return err_set(e, ERR_INPUT, "%s: the base cannot be trained: %.500s (see %s)", d->s->dir,
                   out->words, slot->output);
}

/* A full disk would fail all trials that are left, and says nothing about any of them: no row. The
 * sentences are those of disk.c and of strerror(). */
static bool lacked_room(const struct trial_outcome *out) {
    return out->status == TRIAL_crash && (strstr(out->words, "are free on its disk") ||
                                          strstr(out->words, strerror(ENOSPC)));
}

static int no_room(const struct drive *d, const struct drive_slot *slot,
                   const struct trial_outcome *out, struct err *e) {
    return err_set(e, ERR_IO,
                   "%s: trial %lld has no room: %.400s; duet search --resume %s goes on with it",
                   d->s->dir, (long long)slot->want.trial, out->words, d->s->dir);
}

static int take(struct drive *d, int number, const struct trial_outcome *out, struct err *e) {
    struct drive_slot *slot = &d->slot[number];
    const bool base = slot->want.trial == 0 && slot->want.seed == 1;
    int rc = 0;
    if (slot->unneeded) {
        search_remove(slot->folder);
        search_remove(slot->output);
    } else if (out->status == TRIAL_killed && !slot->again) {
        slot->again = true;
        return d->runner.start(d->runner.ctx, number, &slot->spec, e);
    } else if (lacked_room(out)) {
        rc = no_room(d, slot, out, e);
    } else if (out->status == TRIAL_crash && base) {
        rc = base_failed(d, slot, out, e);
    } else if (out->status != TRIAL_pending) {
        rc = append_result(d, &slot->want, slot->rung, out, e);
    }
    clear_slot(slot);
    return rc;
}

/* Waits until a process ends, or for a while. */
static int wait_once(struct drive *d, double seconds, struct err *e) {
    struct trial_outcome out = {0};
    const int number = d->runner.wait(d->runner.ctx, seconds, &out);
    const int rc = number >= 0 ? take(d, number, &out, e) : 0;
    json_decref(out.summary);
    return rc;
}

bool drive_meanwhile(void *ctx) {
    struct drive *d = ctx;
    if (n_running(d) && wait_once(d, 0, &d->failed)) return true;
    drive_show_progress(d);
    return *stop_flag() != 0;
}

/* What is running saves, so that it can go on. */
static int stop_running(struct drive *d, struct err *e) {
    int rc = 0;
    for (int i = 0; i < d->n_slots; i++) {
        d->slot[i].again = true; /* not started again */
        if (d->slot[i].busy) d->runner.stop(d->runner.ctx, i, d->slot[i].unneeded);
    }
    while (n_running(d) && !rc) rc = wait_once(d, LOOK_SECONDS, e);
    return rc;
}

/* The loop ------------------------------------------------------------------------------------- */

/* enough: jobs after whose end nothing more is done; 0: all, and the incumbent's seeds. */
/* results.tsv, if it lacks something and is old enough: it costs the disk more than a decision. */
static int tabulate(struct drive *d, double seconds, struct err *e) {
    if (!d->untabled || clock_seconds() - d->tabled < seconds) return 0;
    d->untabled = false;
    d->tabled = clock_seconds();
    return results_tsv_update(d->s, NULL, e);
}

static int loop(struct drive *d, size_t enough, struct err *e) {
    int rc;
    bool refused = false;
    for (;;) {
        rc = settle(d, e);
        if (rc && (rc != ERR_STOP || !*stop_flag())) goto out;
        if (enough && d->ended >= enough) return stop_running(d, e);
        stop_unneeded(d);
        if (*stop_flag()) {
            TRY(stop_running(d, e));
            return err_set(e, ERR_STOP, "stopped; duet search --resume %s goes on", d->s->dir);
        }
        TRY(start_wanted(d, &refused, e));
        if (refused) continue;
        if (!n_running(d)) break;
        drive_show_progress(d);
        TRY(tabulate(d, TABLE_SECONDS, e));
        TRY(wait_once(d, LOOK_SECONDS, e));
    }
out:
    return rc;
}

static int search_on(struct drive *d, size_t enough, struct err *e) {
    struct err late;
    const int rc = loop(d, enough, e);
    if (rc && rc != ERR_STOP) return rc;
    const int told = tabulate(d, 0, &late);
    if (told) *e = late;
    return told ? told : rc;
}

static int open_drive(struct drive *d, struct search *s, const struct drive_opts *o,
                      struct err *e) {
    int rc = 0;
    const json_t *memory = json_object_get(s->ledger.head, "memory_mb");
    *d = (struct drive){.s = s, .opts = o, .n_slots = (int)s->file.jobs,
                        .memory_mb = json_number_value(memory)};
    d->wants.most = 2 * (size_t)d->n_slots + 2;
    d->wants.want = calloc(d->wants.most, sizeof *d->wants.want);
    d->slot = calloc((size_t)d->n_slots, sizeof *d->slot);
    if (!d->wants.want || !d->slot) TRY(no_memory(e));
    TRY(command_run_open(&d->command, &s->file, e));
    d->command.meanwhile = drive_meanwhile;
    d->command.ctx = d;
    if (o->runner)
        d->runner = *o->runner;
    else
        TRY(drive_processes_open(&d->runner, d->n_slots, e));
    TRY(search_go_on(s, e));
    while (d->ended < s->ledger.n_jobs && judge_has_ended(s, d->ended)) d->ended++;
    for (int64_t i = 0; i < search_trials(s); i++) /* a kill may have come between */
        if (s->ledger.trial[i].decision == DECISION_discard) search_drop_weights(s, i);
    TRY(search_write_best(s, e));
    TRY(results_tsv_update(s, o->tsv, e));
    d->tabled = clock_seconds();
    stop_catch();
    stop_phase(STOP_TRIALS, 0);
    drive_show_begin(d);
    rc = drive_leave_behind(d, false, e); /* a kill may have come between here, too */
out:
    return rc;
}

static void close_drive(struct drive *d) {
    stop_release();
    drive_show_end(d);
    if (!d->opts->runner) drive_processes_close(&d->runner);
    for (int i = 0; d->slot && i < d->n_slots; i++) clear_slot(&d->slot[i]);
    command_run_close(&d->command);
    free(d->slot);
    free(d->wants.want);
}

int drive_search(struct search *s, const struct drive_opts *o, struct err *e) {
    struct drive d;
    int rc = command_run_check(&s->file.strategy, e);
    if (rc) return rc;
    TRY(open_drive(&d, s, o, e));
    d.propose = true;
    rc = search_on(&d, 0, e);
out:
    close_drive(&d);
    return rc;
}

int drive_hand(struct search *s, const json_t *config, const char *note,
               const struct drive_opts *o, int64_t *trial, struct err *e) {
    struct drive d;
    char hash[17];
    int rc;
    TRY(open_drive(&d, s, o, e));
    if (!search_file_hash(&s->file, config, hash)) TRY(no_memory(e));
    *trial = search_known_trial(s, hash);
    if (*trial < 0) {
        if (!s->ledger.n_jobs) TRY(drive_propose(&d, &(bool){false}, e));
        *trial = (int64_t)s->ledger.n_trials;
        const struct proposal p = {.trial = *trial, .share = 1, .from = SEARCH_HAND};
        TRY(drive_append_proposal(&d, &p, (json_t *)(uintptr_t)config, note, e));
    }
    rc = search_on(&d, (size_t)s->ledger.trial[*trial].job, e);
out:
    close_drive(&d);
    return rc;
}
