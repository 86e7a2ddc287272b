/* What people see of a search: a line for each trial that was decided, and one that says what is
 * going on. */
#include "drive_impl.h"

#include "clock.h"
#include "num.h"
#include "search_cost.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DIGITS = 4 };

void drive_show_begin(struct drive *d) {
    struct drive_show *v = &d->show;
    const struct search_metric *m = &d->s->file.metric;
    log_progress_init(&v->line, d->opts->quiet);
    v->metric = m->key ? m->key : "metric";
    v->began = clock_seconds();
    log_begin(&v->line);
}

void drive_show_end(struct drive *d) {
    log_progress_end(&d->show.line);
}

/* Lines ---------------------------------------------------------------------------------------- */

static void head(struct drive *d) {
    char of[40];
    if (d->show.headed) return;
    d->show.headed = true;
    snprintf(of, sizeof of, "difference (%.4g %% interval)", 100 * d->s->plan.confidence);
    log_note(&d->show.line, "trial  %9.9s  %-30s  seeds     time  changes", d->show.metric, of);
}

/* Processes' time of a trial. */
static double seconds_of(const struct search *s, int64_t trial, int *seeds) {
    const struct ledger *l = &s->ledger;
    double sum = 0;
    *seeds = 0;
    for (size_t i = l->trial[trial].result; i; i = l->result[i - 1].before) {
        const json_t *seconds = json_object_get(l->result[i - 1].json, "seconds");
        sum += json_is_number(seconds) ? json_number_value(seconds) : 0;
        *seeds += l->result[i - 1].rung == search_job(s, trial)->rung;
    }
    return sum;
}

/* "-0.0132 (-0.0210 to -0.0040)", as measured: below 0 where the value is lower. */
static void difference(const struct search *s, const struct search_evidence *v, char *buf,
                       size_t size) {
    *buf = 0;
    if (!isfinite(v->diff)) return;
    const int n = snprintf(buf, size, "%+.*f", DIGITS, s->sign * v->diff);
    if (!isfinite(v->low) || !isfinite(v->high)) return;
    const double a = s->sign > 0 ? v->low : -v->high, b = s->sign > 0 ? v->high : -v->low;
    snprintf(buf + n, size - (size_t)n, " (%+.*f to %+.*f)", DIGITS, a, DIGITS, b);
}

/* What the base, which is compared with nothing, says of the noise. */
static void noise(const struct drive *d, char *buf, size_t size) {
    struct gate_noise all;
    struct err e;
    *buf = 0;
    if (!search_noise(d->s, &all, &e) && all.df > 0)
        snprintf(buf, size, "noise %.*f a result", DIGITS, all.sd);
}

static const char *why_of(const struct search *s, int64_t trial) {
    for (size_t i = s->ledger.trial[trial].result; i; i = s->ledger.result[i - 1].before) {
        const char *why = json_string_value(json_object_get(s->ledger.result[i - 1].json, "why"));
        if (s->ledger.result[i - 1].status != TRIAL_ok && why) return why;
    }
    return "";
}

/* The end of the line: the decision and why. */
static void mark_of(const struct search *s, int64_t trial, const struct search_evidence *v,
                    char *buf, size_t size, enum term_style *style) {
    const enum trial_status status = search_status(s, trial);
    const bool keep = search_decision(s, trial)->keep;
    *style = keep ? TERM_GOOD : TERM_DIM;
    if (!strcmp(v->reason, "failed")) {
        *style = TERM_BAD;
        snprintf(buf, size, ": %s%s%.200s",
                 status == TRIAL_ok ? "failed at a later seed" : trial_status_name(status),
                 *why_of(s, trial) ? ": " : "", why_of(s, trial));
    } else if (!strcmp(v->reason, "base")) {
        *buf = 0;
    } else {
        snprintf(buf, size, ": %s (%s)", keep ? "kept" : "discarded", v->reason);
    }
}

void drive_show_refused(struct drive *d, const struct proposal *p) {
    const size_t n = json_array_size(p->refused);
    const json_t *last = json_array_get(p->refused, n - 1);
    const char *why = json_string_value(json_object_get(last, "error"));
    if (!n) return;
    if (strcmp(p->from, "command"))
        log_warn(&d->show.line, "warning: trial %lld: %s; %s proposes instead", (long long)p->trial,
                 why, p->from);
    else
        log_note(&d->show.line, "trial %lld: asked again: %s", (long long)p->trial, why);
}

void drive_show_decision(struct drive *d, int64_t trial) {
    const struct search *s = d->s;
    const int64_t rival = search_rival(s, trial);
    struct search_evidence v;
    char value[32] = "", diff[80], changes[300], mark[300];
    enum term_style style;
    int seeds;
    search_evidence(s, trial, &v);
    head(d);
    const double seconds = seconds_of(s, trial, &seeds), mean = search_mean(s, trial, NULL);
    if (isfinite(mean)) num_text(isfinite(v.value) ? v.value : mean, DIGITS, value);
    if (trial == 0)
        noise(d, diff, sizeof diff);
    else
        difference(s, &v, diff, sizeof diff);
    search_changes(s, trial, trial == 0 ? -1 : rival >= 0 ? rival : 0, changes, sizeof changes);
    mark_of(s, trial, &v, mark, sizeof mark, &style);
    char took[32];
    log_mark(&d->show.line, style, mark, "%5lld  %9s  %-30s  %5lld  %7s  %s%s", (long long)trial,
             value, diff, (long long)(v.seeds > 0 ? v.behind : seeds), log_duration(seconds, took),
             trial ? "" : "base: ", *changes ? changes : "nothing");
}

void drive_show_rung(struct drive *d, size_t number) {
    const struct search *s = d->s;
    const struct ledger_job *job = &s->ledger.job[number];
    const struct ledger_result *r = ledger_find(&s->ledger, job->trial, 1, job->rung);
    char value[32], changes[300], took[32];
    const json_t *seconds = json_object_get(r->json, "seconds");
    head(d);
    num_text(r->value, DIGITS, value);
    search_changes(s, job->trial, 0, changes, sizeof changes);
    log_note(&d->show.line, "%5lld  %9s  %-30s  %5d  %7s  %s: at %.3g of the budget",
             (long long)job->trial, value, "", 1, log_duration(json_number_value(seconds), took),
             *changes ? changes : "nothing", job->share);
}

/* Progress ------------------------------------------------------------------------------------- */

/* Seconds that a training of the base takes; NaN: not known yet. */
static double of_base(const struct search *s) {
    int seeds = 0;
    const double seconds = search_trials(s) ? seconds_of(s, 0, &seeds) : 0;
    if (seeds) return seconds / seeds;
    return s->file.budget == SEARCH_time ? s->file.amount : NAN;
}

/* Seconds of the processes that run for trials that are not decided. */
static double under_way(const struct drive *d) {
    double sum = 0;
    for (int i = 0; i < d->n_slots; i++)
        if (d->slot[i].busy &&
            d->s->ledger.trial[d->slot[i].want.trial].decision == DECISION_none)
            sum += clock_seconds() - d->slot[i].began;
    return sum;
}

/* Seconds that trials will take from now on, each as long as those that were decided, or as the
 * base's seeds; NaN: not known. Of halving the short ones are decided first, so that they tell
 * nothing of the others. */
static double time_left(const struct drive *d) {
    const struct search *s = d->s;
    const size_t most = s->plan.max_seeds, floor = most < JUDGE_FLOOR ? most : JUDGE_FLOOR;
    const double once = of_base(s);
    double sum = 0, spent = under_way(d);
    int64_t decided = 0;
    int seeds;
    for (int64_t i = 1; i < search_trials(s); i++) {
        const bool whole = s->ledger.trial[i].decision != DECISION_none;
        decided += whole;
        *(whole ? &sum : &spent) += seconds_of(s, i, &seeds);
    }
    if (s->file.strategy.kind->rungs) {
        const double all = once * search_cost_share(s) * (double)(s->file.trials - 1);
        return fmax(0, all - sum - spent) / (double)s->file.jobs;
    }
    const double each = decided ? sum / (double)decided : once;
    double left = each * (double)(s->file.trials - 1 - decided);
    if (search_trials(s) && s->ledger.trial[0].decision == DECISION_none) {
        seconds_of(s, 0, &seeds);
        left += once * ((double)floor - seeds);
    }
    /* what takes longer than the others did is not known to end soon */
    const double open = (double)s->ledger.n_trials - (double)decided;
    return fmax(0, left - fmin(spent, open * each)) / (double)s->file.jobs;
}

/* "13: seed 2 for 45s, 14: seed 1 for 3s" */
static void running(const struct drive *d, char *buf, size_t size) {
    size_t used = 0;
    char took[32];
    *buf = 0;
    for (int i = 0; i < d->n_slots && used < size; i++) {
        const struct drive_slot *slot = &d->slot[i];
        if (!slot->busy) continue;
        const int n = snprintf(buf + used, size - used, "%s%lld: seed %lld for %s",
                               used ? ", " : "", (long long)slot->want.trial,
                               (long long)slot->want.seed,
                               log_duration(clock_seconds() - slot->began, took));
        used += n > 0 ? (size_t)n : 0;
    }
}

void drive_show_progress(struct drive *d) {
    const struct search *s = d->s;
    struct term_part part[6] = {{.rank = 0}};
    char took[32], value[32];
    if (!log_progress_due(&d->show.line)) return;
    int64_t decided = 0;
    for (int64_t i = 0; i < search_trials(s); i++)
        decided += s->ledger.trial[i].decision != DECISION_none;
    const int64_t best = search_incumbent(s);
    snprintf(part[0].text, sizeof part->text, "%lld of %lld trials decided", (long long)decided,
             (long long)s->file.trials);
    part[1].rank = 3;
    running(d, part[1].text, sizeof part->text);
    if (!*part[1].text) /* a program, as the strategy says */
        snprintf(part[1].text, sizeof part->text, "asking for trial %lld",
                 (long long)search_trials(s));
    part[2].rank = 1;
    if (best >= 0)
        snprintf(part[2].text, sizeof part->text, "best %s (trial %lld)",
                 num_text(search_mean(s, best, NULL), DIGITS, value), (long long)best);
    part[3].rank = 4;
    snprintf(part[3].text, sizeof part->text, "%zu kept", search_kept(s));
    part[4].rank = 5;
    snprintf(part[4].text, sizeof part->text, "%s so far",
             log_duration(clock_seconds() - d->show.began, took));
    part[5].rank = 2;
    const double left = time_left(d);
    if (isfinite(left))
        snprintf(part[5].text, sizeof part->text, "about %s left", log_duration(left, took));
    char line[512];
    term_join(part, 6, term_columns(2) - 1, line, sizeof line);
    log_progress_show(&d->show.line, true, "%s", line);
}
