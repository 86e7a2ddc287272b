#include "trainer_impl.h"

#include "clock.h"
#include "file.h"
#include "format.h"
#include "stop.h"

#include <stdlib.h>
#include <string.h>

/* A signal asked for the end. */
static int stop(struct trainer *t, struct err *e) {
    const bool nothing = t->p->step == 0 && t->saved_step < 0;
    const int rc = nothing || t->saved_step == t->p->step ? 0 : trainer_save(t, false, e);
    if (rc) return rc;
    if (!nothing) trainer_say_best(t);
    const char *dropped = t->run->pace.dropped ? " (the unfinished update is dropped)" : "";
    if (nothing)
        return err_set(e, ERR_STOP,
                       "stopped before the first update was done; begin again with: duet train "
                       "--resume %s",
                       t->dir);
    return err_set(e, ERR_STOP, "stopped at step %lld%s; go on with: duet train --resume %s",
                   (long long)t->p->step, dropped, t->dir);
}

/* Else its summary looks like that of a run that trained. */
static void warn_if_none(struct trainer *t, int64_t begin) {
    const struct train_opts *o = t->opts;
    if (t->p->step != begin || !t->run->pace.out_of_time) return;
    log_warn(&t->line,
             "warning: no update was made: one takes longer than %s --time %g; give a longer "
             "--time, or a smaller update (%s--batch %lld%s)",
             begin ? "what was left of" : "all of", o->time, o->accum > 1 ? "--accum, " : "",
             (long long)o->batch, o->task ? "" : ", --seq");
}

static int diverged(const struct trainer *t, struct err *e) {
    const char *why = t->run->why;
    if (t->saved_step < 0)
        return err_set(e, ERR_NUMERIC,
                       "step %lld: %s; training stopped, nothing had been saved yet; --resume %s "
                       "--lr N begins again at another rate",
                       (long long)t->p->step, why, t->dir);
    return err_set(e, ERR_NUMERIC,
                   "step %lld: %s; training stopped, the last good checkpoint is step %lld in %s; "
                   "--resume %s --lr N goes on from it at another rate",
                   (long long)t->p->step, why, (long long)t->saved_step, t->dir, t->dir);
}

static int loop(struct trainer *t, struct err *e) {
    int rc = 0;
    struct validation r;
    const int64_t begin = t->p->step;
    t->looping = true;
    stop_phase(t->p->step ? STOP_RUNNING : STOP_FRESH, t->p->step);
    if (trainer_val_first(t, false)) TRY(run_eval(t->run, &r, e));
    engine_report_reset(&t->run->engine);
    trainer_show_begin(t);
    while (!run_stopped(t->run) && !run_finished(t->run) && !trainer_at_stop(t)) {
        rc = run_step(t->run, e);
        if (rc == ERR_NUMERIC && t->run->diverged) rc = diverged(t, e);
        if (rc) goto out;
    }
    log_progress_end(&t->line);
    warn_if_none(t, begin);
    if (!run_stopped(t->run)) trainer_clock_end(t); /* or stops */
    if (!run_stopped(t->run) && t->saved_step != t->p->step) TRY(trainer_save(t, false, e));
    stop_phase(STOP_SAVED, t->p->step);
out:
    return rc == ERR_STOP || (!rc && run_stopped(t->run)) ? stop(t, e) : rc;
}

static void fill_end(struct trainer *t, struct train_end *end) {
    *end = (struct train_end){.dir = t->dir, .task = t->opts->task != NULL};
    end->saved = t->over ? NULL : trainer_saved_text(t);
    t->dir = NULL;
}

static enum train_failure failure(const struct trainer *t, int rc) {
    if (rc == ERR_NOMEM) return t->refused ? TRAIN_REFUSED : TRAIN_NO_MEMORY;
    const bool diverged = rc == ERR_NUMERIC && t->run && (t->run->diverged || t->p->step > 0);
    return diverged ? TRAIN_DIVERGED : TRAIN_OTHER;
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
    TRY(loop(&t, e));
    rc = trainer_summarize(&t, s, e);
    if (rc == ERR_STOP) rc = stop(&t, e);
    if (rc) goto out;
    if (s->stopped) trainer_say_stop(&t, s);
    trainer_log_report(&t);
    if (!s->stopped) trainer_warn_if_worse(&t);
    TRY(trainer_write_summary(&t, s, e));
    trainer_say_best(&t);
out:
    if (rc == ERR_NUMERIC && t.run) {
        if (!*t.run->why && t.p->step > t.saved_step)
            snprintf(t.run->why, sizeof t.run->why, "%.150s", e->msg);
        trainer_drop_updates(&t);
    }
    if (end) end->failure = failure(&t, rc);
    if (rc && rc != ERR_STOP) trainer_forget(&t);
    if (end && (!rc || rc == ERR_STOP)) fill_end(&t, end);
    trainer_close(&t);
    stop_release();
    return rc;
}
