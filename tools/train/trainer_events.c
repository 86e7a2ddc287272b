/* What a run tells, as the command says it, logs it and does it. */
#include "trainer_impl.h"

#include "clock.h"
#include "stop.h"

#include <math.h>
#include <string.h>

/* ---- words ----------------------------------------------------------------------------------- */

static int note(struct trainer *t, const struct run_event *v, struct err *e) {
    (void)e;
    log_note(&t->line, "%s", v->text);
    return 0;
}

static int warning(struct trainer *t, const struct run_event *v, struct err *e) {
    (void)e;
    log_warn(&t->line, "%s", v->text);
    return 0;
}

static int probing(struct trainer *t, const struct run_event *v, struct err *e) {
    (void)e;
    if (v->of)
        log_bar(&t->line, v->text, (uint64_t)v->done, (uint64_t)v->of, "directions");
    else
        log_begin(&t->line);
    return 0;
}

static int evaluating(struct trainer *t, const struct run_event *v, struct err *e) {
    const char *what = t->opts->task ? "examples" : "windows";
    (void)e;
    if (v->of)
        log_bar(&t->val_line, "validating", (uint64_t)v->done, (uint64_t)v->of, what);
    else
        log_begin(&t->val_line);
    return 0;
}

static int evaluated(struct trainer *t, const struct run_event *v, struct err *e) {
    (void)v;
    (void)e;
    log_progress_end(&t->val_line);
    return 0;
}

static int growth(struct trainer *t, const struct run_event *v, struct err *e) {
    (void)e;
    log_warn(&t->line,
             "warning: step %lld: the %s have grown from %.2g to %.2g (layer %d): the rate is too "
             "high, and the loss will blow up or stop falling; try a lower --lr",
             (long long)t->p->step, strcmp(v->text, "logit") ? "activations" : "attention logits",
             v->from, v->to, (int)v->block);
    log_lines_write(&t->log,
                    "{\"event\":\"growth\",\"step\":%lld,\"what\":\"%s\",\"layer\":%d,"
                    "\"value\":%.4g,\"first\":%.4g,\"seconds\":%.3f}",
                    (long long)t->p->step, v->text, (int)v->block, v->to, v->from, t->p->seconds);
    return 0;
}

static int paused(struct trainer *t, const struct run_event *v, struct err *e) {
    (void)e;
    log_note(&t->line, "paused %.1f s, not counted", v->seconds);
    log_lines_write(&t->log, "{\"event\":\"pause\",\"step\":%lld,\"seconds\":%.3f}",
                    (long long)t->p->step, v->seconds);
    return 0;
}

/* ---- updates --------------------------------------------------------------------------------- */

/* The weights and all counters are those before the update until it is whole. */
static int micro(struct trainer *t, const struct run_event *v, struct err *e) {
    int rc = 0;
    if (!v->done) t->shown.micro = false;
    if (!stop_save_asked()) return 0;
    run_hold(t->run);
    if (t->saved_step != t->p->step) rc = trainer_save(t, false, e);
    if (!rc) log_note(&t->line, "saved at step %lld", (long long)t->p->step);
    run_go_on(t->run);
    return rc;
}

static int slow(struct trainer *t, const struct run_event *v, struct err *e) {
    (void)e;
    trainer_show_micro(t, v);
    return 0;
}

static int dropped(struct trainer *t, const struct run_event *v, struct err *e) {
    const long long next = (long long)t->p->step + 1, of = (long long)v->of;
    (void)e;
    if (isnan(v->to))
        log_note(&t->line,
                 "the time is used up within micro-batch %lld of %lld of update %lld, since %.3g "
                 "s: it is dropped",
                 (long long)v->done + 1, of, next, t->p->seconds + v->seconds - t->opts->time);
    else
        log_note(&t->line,
                 "the time is used up after micro-batch %lld of %lld of update %lld; %.1f s more "
                 "would finish it: it is dropped",
                 (long long)v->done, of, next, v->to);
    log_lines_write(&t->log,
                    "{\"event\":\"dropped\",\"step\":%lld,\"micro_batches\":%lld,\"of\":%lld,"
                    "\"seconds\":%.3f}",
                    (long long)t->p->step, (long long)v->done, of, v->seconds);
    return 0;
}

/* The clock first: of a killed run it is cut to what the trajectory holds. */
static int made(struct trainer *t, const struct run_event *v, struct err *e) {
    trainer_clock(t, v->share);
    return trainer_record(t, v->step, v->seconds, e);
}

static int counted(struct trainer *t, const struct run_event *v, struct err *e) {
    (void)e;
    trainer_tell(t, v->step, v->tokens, v->seconds);
    if (t->looping) stop_phase(STOP_RUNNING, t->p->step);
    return 0;
}

static int stepped(struct trainer *t, const struct run_event *v, struct err *e) {
    const struct train_setup *s = &t->setup;
    const bool due = s->checkpoint_steps
                         ? t->p->step % s->checkpoint_steps == 0
                         : clock_seconds() - t->last_save >= s->checkpoint_seconds;
    (void)v;
    if (t->saved_step == t->p->step || !due || run_finished(t->run)) return 0;
    return trainer_save(t, false, e);
}

static int back(struct trainer *t, const struct run_event *v, struct err *e) {
    (void)v;
    return trainer_go_back(t, e);
}

static int rolled_back(struct trainer *t, const struct run_event *v, struct err *e) {
    return trainer_went_back(t, v->before, e);
}

int trainer_event(void *ctx, struct run *r, const struct run_event *v, struct err *e) {
    static int (*const on[])(struct trainer *t, const struct run_event *v, struct err *e) = {
        [RUN_NOTE] = note,
        [RUN_WARNING] = warning,
        [RUN_PROBING] = probing,
        [RUN_MICRO] = micro,
        [RUN_SLOW] = slow,
        [RUN_DROPPED] = dropped,
        [RUN_MADE] = made,
        [RUN_COUNTED] = counted,
        [RUN_GROWTH] = growth,
        [RUN_PAUSED] = paused,
        [RUN_EVALUATING] = evaluating,
        [RUN_EVALUATED] = evaluated,
        [RUN_VALIDATED] = trainer_validated,
        [RUN_STEPPED] = stepped,
        [RUN_BACK] = back,
        [RUN_ROLLED_BACK] = rolled_back,
    };
    (void)r;
    return on[v->kind](ctx, v, e);
}
