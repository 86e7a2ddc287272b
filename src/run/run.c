/* A run: open, updates, close. */
#include "run_impl.h"

#include "trajectory.h"

#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is told, and asked ----------------------------------------------------------------- */

int run_tell(struct run *r, const struct run_event *v, struct err *e) {
    return r->tell ? r->tell(r->ctx, r, v, e) : 0;
}

void run_say(struct run *r, enum run_event_kind kind, const char *fmt, ...) {
    char text[512];
    struct err ignored;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    run_tell(r, &(struct run_event){.kind = kind, .text = text}, &ignored);
}

static _Atomic int *flag(const struct run *r) {
    return r->opts.cancel;
}

const _Atomic int *run_cancel(const struct run *r) {
    return flag(r);
}

void run_stop(struct run *r) {
    atomic_fetch_or(flag(r), RUN_STOP);
}

bool run_stopped(const struct run *r) {
    return atomic_load(flag(r)) & RUN_STOP;
}

void run_tell_amid(struct run *r, const struct run_event *v) {
    struct pace *p = &r->pace;
    if (p->rc) return;
    p->rc = run_tell(r, v, &p->e);
    if (p->rc) run_drop(r);
}

void run_amid_begin(struct run *r) {
    r->pace.rc = 0;
}

int run_amid_end(struct run *r, int rc, struct err *e) {
    run_undrop(r);
    if (r->pace.rc) {
        *e = r->pace.e;
        rc = r->pace.rc;
    }
    r->pace.rc = 0;
    return rc;
}

void run_drop(struct run *r) {
    atomic_fetch_or(flag(r), RUN_DROP);
}

void run_undrop(struct run *r) {
    atomic_fetch_and(flag(r), ~RUN_DROP);
}

/* ---- how far it is --------------------------------------------------------------------------- */

/* Of a task, whose prompts differ in length, examples; else tokens: 0 if no data is open. */
static double epoch_size(const struct run_opts *o) {
    if (o->data.task) return (double)o->data.task->n;
    return o->data.text ? (double)batch_epoch_rows(o->data.text) * (double)o->data.text->T : 0;
}

struct budget_use run_limits(const struct run_opts *o) {
    return budget_limits(&o->budget, epoch_size(o));
}

double run_flops(const struct run_opts *o, const struct progress *p, double flops) {
    const double tokens = (double)(o->engine_opts.batch * o->engine_opts.seq);
    return flops > 0 ? flops * ((double)p->tokens / tokens) : 0;
}

struct budget_use run_used(const struct run_opts *o, const struct progress *p, double flops) {
    const double tokens = (double)p->tokens;
    return (struct budget_use){{[BUDGET_steps] = (double)p->step,
                                [BUDGET_time] = p->seconds,
                                [BUDGET_tokens] = tokens,
                                [BUDGET_epochs] = o->data.task ? (double)p->rows : tokens,
                                [BUDGET_flops] = run_flops(o, p, flops)}};
}

double run_share(const struct run_opts *o, const struct progress *p, double flops) {
    if (o->recorded) return clock_record_share(o->recorded, p->step);
    const struct budget_use limit = run_limits(o), used = run_used(o, p, flops);
    return budget_share(&limit, &used);
}

bool run_ended(const struct run_opts *o, const struct progress *p, double flops) {
    if (o->recorded) return p->step >= o->recorded->updates;
    return run_share(o, p, flops) >= 1 || (o->patience && p->val_stale >= o->patience);
}

bool run_finished(const struct run *r) {
    return run_ended(&r->opts, &r->p, r->batch_flops);
}

int64_t run_updates(const struct run_opts *o, double flops) {
    if (o->recorded) return o->recorded->updates;
    const struct budget_use limit = run_limits(o);
    const double tokens = (double)(o->engine_opts.batch * o->engine_opts.seq);
    const struct budget_unit u = {
        .tokens = tokens,
        .epoch = o->data.task ? (double)o->engine_opts.batch : tokens,
        .flops = flops};
    return budget_updates(&limit, &u, o->accum, o->accum_end, NULL);
}

/* ---- data ------------------------------------------------------------------------------------ */

/* Micro-batch `micro` is rows [p.rows + micro*B, ...) of the training stream. */
static uint64_t first_row(const struct run *r, int64_t micro) {
    return (uint64_t)(r->p.rows + micro * r->opts.engine_opts.batch);
}

/* Prompts are as long as the longest of the batch. */
static int64_t tokens_of(struct run *r, int64_t micro) {
    const struct engine_opts *o = &r->opts.engine_opts;
    if (!r->opts.data.task) return o->batch * o->seq;
    return o->batch * task_batch_len(r->opts.data.task, o->seed, first_row(r, micro), o->batch);
}

static int fill_text(struct run *r, uint64_t row, struct engine_batch *out, struct err *e) {
    int rc;
    const struct batcher *b = r->opts.data.text;
    const int64_t B = r->opts.engine_opts.batch, T = b->T;
    for (int64_t i = 0; i < B; i++)
        batch_row(b, row + (uint64_t)i, out->input + i * T, out->target + i * T);
    TRY(model_map_ids(r->model, out->input, B * T, e));
    TRY(model_map_ids(r->model, out->target, B * T, e));
out:
    return rc;
}

void run_fill(void *ctx, int64_t micro, struct engine_batch *out) {
    struct run *r = ctx;
    const struct engine_opts *o = &r->opts.engine_opts;
    const struct run_data *d = &r->opts.data;
    const int64_t tokens = tokens_of(r, micro);
    const uint64_t row = first_row(r, micro);
    struct pace *p = &r->pace;
    if (p->accum) run_pace_micro(r, micro);
    struct err *e = p->rc ? &(struct err){0} : &p->e;
    int rc = 0;
    r->filled += tokens;
    if (d->task) {
        out->T = tokens / o->batch;
        task_fill(d->task, o->seed, row, o->batch, out->T, out->input, out->pos, out->label);
    } else if (d->text) {
        rc = fill_text(r, row, out, e);
    } else {
        d->fill(d->ctx, row, out);
    }
    if (!rc) rc = run_check_rows(r, out, e);
    if (!rc) return;
    if (!p->rc) p->rc = rc;
    out->T = o->seq;
    run_drop(r); /* not one op sees such ids */
}

/* ---- one update ------------------------------------------------------------------------------ */

static int diverged(struct run *r, struct err *e) {
    r->diverged = true;
    return err_set(e, ERR_NUMERIC, "step %lld: %s", (long long)r->p.step, r->why);
}

/* Smoothed over about 20 updates, so that one odd batch is not a spike. */
static int watch_loss(struct run *r, double loss, struct err *e) {
    struct progress *p = &r->p;
    const double spike = r->opts.spike;
    p->ema = isnan(p->ema) ? loss : 0.95 * p->ema + 0.05 * loss;
    if (isnan(p->best) || p->ema < p->best) p->best = p->ema;
    if (!(spike > 0) || p->ema - p->best <= spike) return 0;
    snprintf(r->why, sizeof r->why,
             "the smoothed loss rose from %.3f to %.3f, more than --spike %g", p->best, p->ema,
             spike);
    return diverged(r, e);
}

static int count(struct run *r, const struct engine_step *s, double seconds, bool again,
                 struct err *e) {
    const int64_t tokens = r->filled;
    struct progress *p = &r->p;
    p->step++;
    p->rows += s->accum * r->opts.engine_opts.batch;
    p->tokens += tokens;
    p->seconds += seconds;
    p->log_loss += s->loss;
    p->log_steps++;
    p->log_tokens += tokens;
    p->log_seconds += seconds;
    const int rc = watch_loss(r, s->loss, e);
    if (rc) return rc;
    run_look_at_peaks(r);
    const struct run_event v = {
        .kind = RUN_COUNTED, .step = s, .seconds = seconds, .tokens = tokens, .again = again};
    const int told = run_tell(r, &v, e);
    r->watched = false;
    return told;
}

enum { IDLE = 20 };

/* MeZO on accuracy or F1: says so once if the first updates find no answer that differs. */
static void note_idle(struct run *r, const struct engine_step *s) {
    if (r->idle < 0 || r->opts.engine->backward || !run_counts_errors(&r->opts)) return;
    r->idle = s->grad_norm == 0 ? r->idle + 1 : -1;
    if (r->idle < IDLE && !(r->idle > 0 && run_finished(r))) return;
    run_say(r, RUN_WARNING,
            "warning: %d updates have learned nothing, as eps %g changes no answer in their "
            "batches: learn with --objective ce first, or give a larger --eps or --batch",
            r->idle, r->opts.engine_opts.eps);
    r->idle = -1;
}

int run_only_repeats(struct err *e) {
    return err_set(e, ERR_USAGE,
                   "this run only repeats recorded updates (engine_opts.repeat): it makes none");
}

struct engine_step run_present(struct run *r) {
    const struct run_opts *o = &r->opts;
    const double share = run_share(o, &r->p, r->batch_flops);
    return (struct engine_step){
        .step = r->p.step,
        .accum = sched_accum(o->accum, o->accum_end, share),
        .lr = o->lr * r->p.lr_scale * sched_factor(&o->sched, r->p.step, share),
        .fill = run_fill,
        .ctx = r};
}

/* Counts it, unless it was cancelled: from outside, by the time that ran out, or by an event that
 * failed. */
static int update(struct run *r, struct err *e) {
    int rc;
    const struct run_opts *o = &r->opts;
    const double share = run_share(o, &r->p, r->batch_flops);
    if (o->recorded && r->p.step < o->recorded->updates)
        r->p.lr_scale = clock_record_scale(o->recorded, r->p.step);
    struct engine_step s = run_present(r);
    r->filled = 0;
    run_watch_peaks(r);
    run_pace_begin(r, s.accum);
    o->engine->step(&r->engine, &s);
    run_pace_end(r, s.cancelled);
    if (s.cancelled) {
        if (r->pace.out_of_time) r->p.seconds += run_pace_seconds(r);
        r->pace.dropped = true;
        *e = r->pace.e;
        return r->pace.rc;
    }
    if (!s.finite) {
        snprintf(r->why, sizeof r->why, "the %s is not a number",
                 isfinite(s.loss) ? "gradient" : "loss");
        return diverged(r, e);
    }
    const double seconds = run_pace_seconds(r);
    if (!o->engine->backward) s.loss = (double)(float)s.loss; /* as records have it */
    const struct run_event made = {
        .kind = RUN_MADE, .step = &s, .seconds = seconds, .share = share};
    TRY(run_tell(r, &made, e));
    TRY(count(r, &s, seconds, false, e));
    note_idle(r, &s);
out:
    return rc;
}

int run_repeat(struct run *r, const struct zo_record *z, struct err *e) {
    if (r->opts.engine->backward)
        return err_set(e, ERR_USAGE, "engine %s makes no updates that can be repeated",
                       r->opts.engine->name);
    struct engine_step s = {.step = z->step,
                            .accum = z->accum,
                            .lr = z->lr,
                            .loss = z->loss,
                            .directions = z->n,
                            .seed = z->seed,
                            .coef = z->coef,
                            .n_extra = z->n_extra,
                            .extra = z->extra};
    const int rc = mezo_replay(&r->engine, &s, e);
    if (rc) return rc;
    r->filled = 0;
    for (int64_t micro = 0; micro < z->accum; micro++) r->filled += tokens_of(r, micro);
    return count(r, &s, z->seconds, true, e);
}

/* ---- divergence ------------------------------------------------------------------------------ */

void run_reset(struct run *r) {
    const int64_t key = r->p.val_key;
    engine_reset(&r->engine);
    r->p = r->first;
    r->p.val_key = key;
    r->last_val_step = -1;
    r->back = true;
}

/* Of weights that were refused by who was to save them. */
static void name_why(struct run *r, const struct err *e) {
    if (!*r->why) snprintf(r->why, sizeof r->why, "%.150s", e->msg);
}

/* No rate helps where the weights of the start have no loss. */
static int roll_back(struct run *r, struct err *e) {
    const struct progress from = r->p;
    struct err not_back;
    name_why(r, e);
    if (!r->opts.rollback || from.rollbacks || from.step < 1) return ERR_NUMERIC;
    r->back = false;
    const int rc = run_tell(r, &(struct run_event){.kind = RUN_BACK}, &not_back);
    if (rc) {
        *e = not_back;
        return rc;
    }
    if (!r->back) return ERR_NUMERIC;
    r->p.rollbacks = from.rollbacks + 1;
    r->p.lr_scale = from.lr_scale / 2;
    r->p.seconds = from.seconds; /* spent is spent */
    return run_tell(r, &(struct run_event){.kind = RUN_ROLLED_BACK, .before = &from}, e);
}

/* ---- the run --------------------------------------------------------------------------------- */

/* What is due behind an update. more: another one is on record. */
static int behind(struct run *r, bool more, struct err *e) {
    int rc = 0;
    struct validation v;
    if (run_stopped(r)) return 0;
    if (more ? run_val_missing(r) : run_val_due(r)) TRY(run_eval(r, &v, e));
    if (more) return 0;
    TRY(run_tell(r, &(struct run_event){.kind = RUN_STEPPED}, e));
out:
    return rc;
}

int run_step_again(struct run *r, const struct zo_record *z, bool more, struct err *e) {
    int rc;
    r->diverged = false;
    *r->why = 0;
    TRY(run_repeat(r, z, e));
    TRY(behind(r, more, e));
out:
    if (rc == ERR_NUMERIC) name_why(r, e);
    return rc;
}

int run_step(struct run *r, struct err *e) {
    int rc;
    if (r->opts.engine_opts.repeat) return run_only_repeats(e);
    r->diverged = false;
    *r->why = 0;
    TRY(update(r, e));
    TRY(run_pace_stops(r, e));
    TRY(behind(r, false, e));
out:
    return rc == ERR_NUMERIC ? roll_back(r, e) : rc;
}

int run_open(struct run **out, struct model *m, const struct run_opts *o, run_event_fn *tell,
             void *ctx, struct err *e) {
    *out = NULL;
    int rc = run_check_opts(o, m, e);
    if (rc) return rc;
    struct run *r = *out = calloc(1, sizeof *r);
    if (!r) return err_set(e, ERR_NOMEM, "out of memory for a run");
    r->opts = *o;
    r->model = m;
    r->tell = tell;
    r->ctx = ctx;
    r->p = r->first = progress_zero();
    r->last_val_step = -1;
    r->stopped = heartbeat_stopped(o->clock);
    val_change_init(&r->change);
    if (!r->opts.cancel) r->opts.cancel = &r->own_cancel;
    r->opts.engine_opts.cancel = r->opts.cancel;
    TRY(engine_open(&r->engine, o->engine, m, &r->opts.engine_opts, e));
    r->batch_flops = o->engine->flops(&r->opts.engine_opts, &m->graph);
out:
    if (rc) {
        run_close(r);
        *out = NULL;
    }
    return rc;
}

void run_close(struct run *r) {
    if (!r) return;
    engine_close(&r->engine);
    val_change_release(&r->change);
    free(r);
}
