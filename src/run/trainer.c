#include "trainer_impl.h"

#include "clock.h"
#include "file.h"
#include "format.h"
#include "heartbeat.h"
#include "machine.h"
#include "stop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one update ------------------------------------------------------------------------------ */

/* Of a task, whose prompts differ in length, examples; else tokens: 0 if no data is open. */
static double epoch_size(const struct trainer *t) {
    if (t->opts->task) return (double)t->task.n;
    return t->batcher.shard ? (double)batch_epoch_rows(&t->batcher) * (double)t->seq : 0;
}

double trainer_flops(const struct trainer *t) {
    return t->batch_flops * ((double)t->p.tokens / (double)(t->opts->batch * t->seq));
}

struct budget_use trainer_limits(const struct trainer *t) {
    return budget_limits(t->opts, epoch_size(t));
}

struct budget_use trainer_used(const struct trainer *t) {
    const double tokens = (double)t->p.tokens;
    return (struct budget_use){
        {[BUDGET_steps] = (double)t->p.step,
         [BUDGET_time] = t->p.seconds,
         [BUDGET_tokens] = tokens,
         [BUDGET_epochs] = t->opts->task ? (double)t->p.rows : tokens,
         [BUDGET_flops] = t->batch_flops > 0 ? trainer_flops(t) : 0}};
}

double trainer_progress(const struct trainer *t) {
    const struct budget_use limit = trainer_limits(t), used = trainer_used(t);
    return budget_share(&limit, &used);
}

int64_t trainer_updates(const struct trainer *t) {
    const struct train_opts *o = t->opts;
    const struct budget_use limit = trainer_limits(t);
    const double tokens = (double)(o->batch * t->seq);
    const struct budget_unit u = {.tokens = tokens,
                                  .epoch = o->task ? (double)o->batch : tokens,
                                  .flops = t->batch_flops};
    return budget_updates(&limit, &u, o->accum, o->accum_end, NULL);
}

/* Micro-batch `micro` is rows [p.rows + micro*B, ...) of the training stream. */
static uint64_t first_row(const struct trainer *t, int64_t micro) {
    return (uint64_t)(t->p.rows + micro * t->opts->batch);
}

/* Prompts are as long as the longest of the batch. */
int64_t trainer_tokens(struct trainer *t, int64_t micro) {
    const int64_t B = t->opts->batch;
    if (!t->opts->task) return B * t->seq;
    return B * task_batch_len(&t->task, (uint64_t)t->opts->seed, first_row(t, micro), B);
}

void trainer_fill(void *ctx, int64_t micro, struct engine_batch *out) {
    struct trainer *t = ctx;
    const int64_t B = t->opts->batch, T = t->seq, tokens = trainer_tokens(t, micro);
    pace_micro(t, micro);
    t->filled += tokens;
    if (t->opts->task) {
        out->T = tokens / B;
        task_fill(&t->task, (uint64_t)t->opts->seed, first_row(t, micro), B, out->T, out->input,
                  out->pos, out->label);
        return;
    }
    for (int64_t b = 0; b < B; b++)
        batch_row(&t->batcher, first_row(t, micro) + (uint64_t)b, out->input + b * T,
                  out->target + b * T);
    for (int64_t i = 0; i < B * T && t->model.compact_id; i++) {
        out->input[i] = t->model.compact_id[out->input[i]];
        out->target[i] = t->model.compact_id[out->target[i]];
    }
}

static int diverged(struct trainer *t, struct err *e) {
    if (t->saved_step < 0)
        return err_set(e, ERR_NUMERIC,
                       "step %lld: %s; training stopped, nothing had been saved yet; --resume %s "
                       "--lr N begins again at another rate",
                       (long long)t->p.step, t->why, t->dir);
    return err_set(e, ERR_NUMERIC,
                   "step %lld: %s; training stopped, the last good checkpoint is step %lld in %s; "
                   "--resume %s --lr N goes on from it at another rate",
                   (long long)t->p.step, t->why, (long long)t->saved_step, t->dir, t->dir);
}

/* Smoothed over about 20 updates, so that one odd batch is not a spike. */
static int watch_loss(struct trainer *t, double loss, struct err *e) {
    struct progress *p = &t->p;
    p->ema = isnan(p->ema) ? loss : 0.95 * p->ema + 0.05 * loss;
    if (isnan(p->best) || p->ema < p->best) p->best = p->ema;
    if (!(t->opts->spike > 0) || p->ema - p->best <= t->opts->spike) return 0;
    snprintf(t->why, sizeof t->why,
             "the smoothed loss rose from %.3f to %.3f, more than --spike %g", p->best, p->ema,
             t->opts->spike);
    return diverged(t, e);
}

int trainer_count(struct trainer *t, const struct engine_step *s, double seconds, struct err *e) {
    const int64_t tokens = t->filled;
    t->p.step++;
    t->p.rows += s->accum * t->opts->batch;
    t->p.tokens += tokens;
    t->p.seconds += seconds;
    t->p.log_loss += s->loss;
    t->p.log_steps++;
    t->p.log_tokens += tokens;
    t->p.log_seconds += seconds;
    const int rc = watch_loss(t, s->loss, e);
    if (rc) return rc;
    trainer_tell(t, s, tokens, seconds);
    return 0;
}

/* Counts it, unless it was cancelled: by a signal, by the time that ran out, or by a checkpoint
 * that failed. */
static int update(struct trainer *t, struct err *e) {
    const double progress = trainer_progress(t);
    struct engine_step s = {.step = t->p.step,
                            .accum = sched_accum(t->opts->accum, t->opts->accum_end, progress),
                            .lr = t->setup.lr * t->p.lr_scale *
                                  sched_factor(&t->setup.sched, t->p.step, progress),
                            .fill = trainer_fill,
                            .ctx = t};
    t->filled = 0;
    trainer_watch(t);
    pace_begin(t, s.accum);
    t->engine.kind->step(&t->engine, &s);
    pace_end(t, s.cancelled);
    if (s.cancelled) {
        if (t->pace.out_of_time) t->p.seconds += pace_seconds(t);
        t->pace.dropped = true;
        *e = t->pace.e;
        return t->pace.rc;
    }
    if (!s.finite) {
        snprintf(t->why, sizeof t->why, "the %s is not a number",
                 isfinite(s.loss) ? "gradient" : "loss");
        return diverged(t, e);
    }
    const double seconds = pace_seconds(t);
    if (t->trajectory.writing) s.loss = (double)(float)s.loss; /* as the record has it */
    int rc = trainer_record(t, &s, seconds, e);
    if (!rc) rc = trainer_count(t, &s, seconds, e);
    if (!rc) trainer_note_idle(t, &s);
    return rc;
}

/* ---- the loop -------------------------------------------------------------------------------- */

static bool save_due(const struct trainer *t) {
    const struct train_setup *s = &t->setup;
    if (s->checkpoint_steps) return t->p.step % s->checkpoint_steps == 0;
    return clock_seconds() - t->last_save >= s->checkpoint_seconds;
}

/* A signal asked for the end. */
static int stop(struct trainer *t, struct err *e) {
    const bool nothing = t->p.step == 0 && t->saved_step < 0;
    const int rc = nothing || t->saved_step == t->p.step ? 0 : trainer_save(t, false, e);
    if (rc) return rc;
    if (!nothing) trainer_say_best(t);
    const char *dropped = t->pace.dropped ? " (the unfinished update is dropped)" : "";
    if (nothing)
        return err_set(e, ERR_STOP,
                       "stopped before the first update was done; begin again with: duet train "
                       "--resume %s",
                       t->dir);
    return err_set(e, ERR_STOP, "stopped at step %lld%s; go on with: duet train --resume %s",
                   (long long)t->p.step, dropped, t->dir);
}

/* A validation that a signal ended is made when the run goes on. */
static bool val_due(const struct trainer *t) {
    return t->opts->val_every && t->p.step && t->p.step % t->opts->val_every == 0 &&
           t->p.val_step != t->p.step && !trainer_finished(t);
}

static int one_step(struct trainer *t, struct err *e) {
    int rc;
    struct validation r;
    *t->why = 0;
    TRY(update(t, e));
    stop_phase(t->p.step ? STOP_RUNNING : STOP_FRESH, t->p.step);
    pace_note_stops(t);
    if (stop_asked()) goto out;
    if (val_due(t)) TRY(trainer_validate(t, &r, e));
    if (t->saved_step != t->p.step && save_due(t) && !trainer_finished(t))
        TRY(trainer_save(t, false, e));
out:
    return rc == ERR_NUMERIC ? trainer_roll_back(t, e) : rc;
}

/* Else its summary looks like that of a run that trained. */
static void warn_if_none(struct trainer *t, int64_t begin) {
    const struct train_opts *o = t->opts;
    if (t->p.step != begin || !t->pace.out_of_time) return;
    log_warn(&t->line,
             "warning: no update was made: one takes longer than %s --time %g; give a longer "
             "--time, or a smaller update (%s--batch %lld%s)",
             begin ? "what was left of" : "all of", o->time, o->accum > 1 ? "--accum, " : "",
             (long long)o->batch, o->task ? "" : ", --seq");
}

static int loop(struct trainer *t, struct err *e) {
    int rc = 0;
    struct validation r;
    const int64_t begin = t->p.step;
    stop_phase(t->p.step ? STOP_RUNNING : STOP_FRESH, t->p.step);
    /* What the run begins from is part of what it shows. */
    if ((t->opts->init && t->p.step == 0) || val_due(t)) TRY(trainer_validate(t, &r, e));
    if (t->p.step == 0) t->first = t->p;
    engine_report_reset(&t->engine);
    trainer_show_begin(t);
    while (!stop_asked() && !trainer_finished(t)) TRY(one_step(t, e));
    log_progress_end(&t->line);
    warn_if_none(t, begin);
    if (!stop_asked() && t->saved_step != t->p.step) TRY(trainer_save(t, false, e));
    stop_phase(STOP_SAVED, t->p.step);
out:
    return rc == ERR_STOP || (!rc && stop_asked()) ? stop(t, e) : rc;
}

static void fill_end(struct trainer *t, struct train_end *end) {
    *end = (struct train_end){.dir = t->dir, .task = t->opts->task != NULL};
    end->saved = t->over ? NULL : trainer_saved_text(t);
    t->dir = NULL;
}

void train_end_release(struct train_end *end) {
    free(end->dir);
    free(end->saved);
    *end = (struct train_end){0};
}

int trainer_run(struct train_opts *o, struct conf *conf, struct train_summary *s,
                struct train_end *end, struct err *e) {
    int rc;
    struct trainer t;
    stop_catch();
    TRY(trainer_open(&t, o, conf, e));
    if (t.over) {
        trainer_say_over(&t);
        TRY(trainer_relabel(&t, conf, e));
        *s = t.ended;
        t.ended.run = t.ended.history = NULL;
        goto out;
    }
    trainer_describe(&t);
    heartbeat_start();
    TRY(loop(&t, e));
    rc = trainer_summarize(&t, s, e);
    if (rc == ERR_STOP) rc = stop(&t, e);
    if (rc) goto out;
    trainer_log_report(&t);
    trainer_warn_if_worse(&t);
    TRY(trainer_write_summary(&t, s, e));
    trainer_say_best(&t);
out:
    if (rc == ERR_NUMERIC) {
        if (!*t.why && t.p.step > t.saved_step) snprintf(t.why, sizeof t.why, "%.150s", e->msg);
        trainer_drop_updates(&t);
    }
    if (rc && rc != ERR_STOP) trainer_forget(&t);
    if (end && (!rc || rc == ERR_STOP)) fill_end(&t, end);
    heartbeat_end();
    trainer_close(&t);
    stop_release();
    return rc;
}
