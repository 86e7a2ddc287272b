/* The end of a run: its summary and where the time went. */
#include "trainer_impl.h"

#include "clock.h"
#include "file.h"
#include "format.h"
#include "limit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of the file that was just written, whose weights stay where they are. */
static int full_vocab_loss(struct trainer *t, double *loss, struct err *e) {
    int rc;
    struct model full = {0};
    struct eval_result r;
    char *path = file_join(t->dir, "model.blzt");
    if (!path) return err_set(e, ERR_NOMEM, "out of memory");
    TRY(model_open_frozen(&full, path, NULL, MODEL_AS_STORED, t->machine.pool, e));
    TRY(run_eval_model(t->run, &full, &r, NULL, e));
    *loss = r.loss;
out:
    model_close(&full);
    free(path);
    return rc;
}

/* Of a run that validated on its way: its best validation. */
static void name_best(const struct trainer *t, struct train_summary *s) {
    const struct progress *p = t->p;
    const char *what = t->setup.objective ? t->setup.objective->name : "ce";
    if (!isfinite(p->val_best) || (!t->opts->val_every && p->val_best_step == p->step)) return;
    s->best_step = p->val_best_step;
    if (!strcmp(what, "accuracy"))
        s->best_val_accuracy = 1 - p->val_best;
    else if (!strcmp(what, "f1"))
        s->best_val_f1 = 1 - p->val_best;
    else
        s->best_val_loss = p->val_best;
}

double trainer_progress(struct trainer *t) {
    const struct run_opts o = trainer_run_opts(t);
    return run_share(&o, t->p, t->run ? t->run->batch_flops : 0);
}

bool trainer_at_stop(struct trainer *t) {
    return t->opts->stop_at > 0 && trainer_progress(t) >= t->opts->stop_at;
}

static bool is_finished(struct trainer *t) {
    const struct run_opts o = trainer_run_opts(t);
    return run_ended(&o, t->p, t->run ? t->run->batch_flops : 0);
}

bool trainer_is_over(struct trainer *t) {
    return t->ended.num_steps == t->p->step && (is_finished(t) || trainer_at_stop(t));
}

int trainer_look_at_end(struct trainer *t, struct err *e) {
    int rc = 0;
    struct err damage; /* of a file that nothing depends on */
    char *path = file_join(t->dir, "summary.json");
    if (!path) return err_set(e, ERR_NOMEM, "out of memory for the summary");
    if (file_exists(path) && !checkpoint_exists(t->dir) &&
        (trainer_has_file(t, "model.blzt") || trainer_has_file(t, "adapter.blzt"))) {
        rc = err_set(e, ERR_INPUT,
                     "%s is finished and keeps no state to go on from; --init %s begins a new run "
                     "from its weights",
                     t->dir, t->dir);
        goto out;
    }
    if (!file_exists(path) || !checkpoint_exists(t->dir)) goto out;
    if (train_summary_read(&t->ended, path, &damage)) {
        log_warn(&t->line, "%s; the summary is made anew", damage.msg);
        t->ended.num_steps = -1;
        goto out;
    }
    TRY(checkpoint_progress(t->dir, t->p, e));
    t->over = trainer_is_over(t);
    if (!t->over) *t->p = progress_zero();
out:
    free(path);
    return rc;
}

/* "--tokens 4096, --epochs 2": those that are reached; how many. */
static int name_spent(const struct budget_use *limit, const struct budget_use *used,
                      const struct train_opts *o, char *text, size_t size) {
    const struct budget_use asked = train_budget(o);
    int n = 0;
    size_t at = 0;
    *text = 0;
    for (int b = 0; b < N_BUDGETS; b++)
        if (budget_spent(limit, used, (enum budget)b))
            at += (size_t)snprintf(text + at, at < size ? size - at : 0, "%s--%s %.15g",
                                   n++ ? ", " : "", budget_name((enum budget)b), asked.of[b]);
    return n;
}

/* What is asked for is done, in words. */
static void say_finished(struct trainer *t) {
    const struct train_opts *o = t->opts;
    const long long step = (long long)t->p->step;
    const struct run_opts ro = trainer_run_opts(t);
    const struct budget_use limit = run_limits(&ro),
                            used = run_used(&ro, t->p, t->run ? t->run->batch_flops : 0);
    char spent[160];
    const int n = name_spent(&limit, &used, o, spent, sizeof spent);
    if (o->clock)
        log_warn(&t->line, "%s is finished: %lld updates, all of the clock that it repeats", t->dir,
                 step);
    else if (n == 1 && budget_spent(&limit, &used, BUDGET_steps))
        log_warn(&t->line,
                 "%s is finished: %lld updates (--steps %lld%s); --steps N above %lld trains on",
                 t->dir, step, (long long)o->steps,
                 t->p->step > o->steps ? " asks for no more" : "", step);
    else if (n == 1 && budget_spent(&limit, &used, BUDGET_time))
        log_warn(&t->line,
                 "%s is finished: %lld updates in %.1f s of training (--time %g asks for no more); "
                 "a --time above %.1f trains on",
                 t->dir, step, t->p->seconds, o->time, t->p->seconds);
    else if (n)
        log_warn(
            &t->line,
            "%s is finished: %lld updates on %lld tokens in %.1f s of training (%s: no more is "
            "asked for); more of %s trains on",
            t->dir, step, (long long)t->p->tokens, t->p->seconds, spent,
            n > 1 ? "all of these" : "it");
    else
        log_warn(&t->line,
                 "%s is finished: at step %lld %lld validations had brought nothing better "
                 "(--patience %lld); a larger --patience, or 0, trains on",
                 t->dir, step, (long long)t->p->val_stale, (long long)o->patience);
}

void trainer_say_over(struct trainer *t) {
    if (is_finished(t))
        say_finished(t);
    else
        log_warn(&t->line,
                 "%s has stopped at %.4g of its run, step %lld (--stop-at %g asks for no more); a "
                 "larger --stop-at, or none, trains on",
                 t->dir, trainer_progress(t), (long long)t->p->step, t->opts->stop_at);
    if (*t->given.changed)
        log_warn(&t->line, "there is nothing to train, so this changed nothing:%s",
                 t->given.changed);
}

int trainer_summarize(struct trainer *t, struct train_summary *s, struct err *e) {
    int rc;
    struct validation v;
    const struct eval_result *r = &v.text;
    const struct progress *p = t->p;
    const bool stops = !run_finished(t->run), aside = stops && t->run->last_val_step != p->step;
    TRY(aside ? run_eval_again(t->run, &v, e) : run_eval(t->run, &v, e));
    const int64_t updates = p->step ? p->step : 1;
    const double flops = run_flops(&t->run->opts, p, t->run->batch_flops);
    *s = (struct train_summary){.val_loss = r->loss,
                                .val_loss_stderr = r->stderr_,
                                .val_bpb = r->bpb,
                                .floor_bpb = r->floor_bpb,
                                .val_loss_full = NAN,
                                .val_accuracy = v.accuracy,
                                .val_f1 = v.f1,
                                .val_change = aside ? NAN : t->run->change.change,
                                .val_change_stderr = aside ? NAN : t->run->change.stderr_,
                                .stopped = stops,
                                .budget_share = trainer_progress(t),
                                .total_flops = flops,
                                .training_seconds = p->seconds,
                                .peak_rss_mb = in_mb(clock_peak_rss()),
                                .planned_mb = in_mb(t->memory.total),
                                .total_tokens_M = (double)p->tokens * 1e-6,
                                .num_steps = p->step,
                                .num_params_M = (double)model_param_count(&t->model) * 1e-6,
                                .trained_params_M = (double)model_trained_count(&t->model) * 1e-6,
                                .depth = t->model.config.layers,
                                .tokens_per_second = (double)p->tokens / p->seconds,
                                .ms_per_step = 1e3 * p->seconds / (double)updates,
                                .gflops = flops / p->seconds * 1e-9,
                                .gemm_peak_gflops = t->peak,
                                .train_loss = p->ema,
                                .best_val_loss = NAN,
                                .best_val_accuracy = NAN,
                                .best_val_f1 = NAN,
                                .best_step = -1};
    name_best(t, s);
    if (t->ended.num_steps >= 0 && t->ended.num_steps != p->step)
        s->history = train_summary_extend(&t->ended);
    s->peak_fraction = t->peak > 0 ? s->gflops / t->peak : NAN;
    if (t->opts->full_vocab_loss && t->model.full_id) TRY(full_vocab_loss(t, &s->val_loss_full, e));
    s->total_seconds = t->total_before + clock_seconds() - t->began;
    s->run = trainer_record_text(t, true);
out:
    return rc;
}

void trainer_say_stop(struct trainer *t, const struct train_summary *s) {
    log_lines_write(&t->log,
                    "{\"event\":\"stopped\",\"step\":%lld,\"share\":%.9g,\"seconds\":%.3f,"
                    "\"val_loss\":%.6f}",
                    (long long)t->p->step, s->budget_share, t->p->seconds, s->val_loss);
    log_note(&t->line, "stopped at %.4g of the run, step %lld; duet train --resume %s goes on",
             s->budget_share, (long long)t->p->step, t->dir);
}

/* A run that made its model worse has done what it was told, but not what anybody wants. */
void trainer_warn_if_worse(struct trainer *t) {
    const struct val_change *v = &t->run->change;
    char pm[32] = "";
    if (!val_change_risen(v)) return;
    if (isfinite(v->stderr_)) snprintf(pm, sizeof pm, " +- %.4f", v->stderr_);
    log_warn(&t->line,
             "warning: the %s above that of step %lld, by %.4f%s on the same %s: try a lower "
             "--lr%s",
             run_counts_errors(&t->run->opts) ? "share of wrong answers is" : "validation loss is",
             (long long)v->step, v->change, pm, t->opts->task ? "examples" : "windows",
             t->setup.estimator ? "; duet audit measures one" : "");
}

/* Where this process's steps spent their time. */
void trainer_log_report(struct trainer *t) {
    const struct engine_report r = engine_report(&t->run->engine);
    log_lines_write(&t->log,
                    "{\"event\":\"report\",\"step\":%lld,\"pack\":%.3f,\"gemm\":%.3f,\"lora\":%.3f,"
                    "\"attention\":%.3f,\"classifier\":%.3f,\"update\":%.3f,\"rest\":%.3f,"
                    "\"log\":%.4f}",
                    (long long)t->p->step, r.pack, r.gemm, r.lora, r.attention, r.classifier,
                    r.update, r.rest, t->shown.seconds);
}

int trainer_write_summary(const struct trainer *t, const struct train_summary *s, struct err *e) {
    struct file_out f = {0};
    char *path = file_join(t->dir, "summary.json"), *text = train_summary_json(s);
    int rc = path && text ? file_out_open(&f, path, e)
                          : err_set(e, ERR_NOMEM, "out of memory for the summary");
    if (!rc) {
        file_out_write(&f, text, strlen(text));
        file_out_write(&f, "\n", 1);
        rc = file_out_commit(&f, e);
    }
    free(path);
    free(text);
    return rc;
}
