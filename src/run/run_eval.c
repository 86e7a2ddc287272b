/* Validation of a run: on fixed windows of text, or on the examples of a task. */
#include "run_impl.h"

#include <math.h>
#include <string.h>

int64_t run_val_seq(const struct run_opts *o) {
    const int64_t seq = o->engine_opts.seq;
    if (o->val.task) return o->val.task->T;
    return o->val.shard && o->val.split.end - o->val.split.begin > (uint64_t)seq ? seq : 0;
}

static const char *objective_of(const struct run_opts *o) {
    return o->engine_opts.objective ? o->engine_opts.objective->name : "ce";
}

double run_value(const struct run_opts *o, double loss, double accuracy, double f1) {
    const char *what = objective_of(o);
    if (!strcmp(what, "accuracy")) return 1 - accuracy;
    return strcmp(what, "f1") ? loss : 1 - f1;
}

bool run_counts_errors(const struct run_opts *o) {
    return o->engine_opts.objective && !o->engine_opts.objective->differentiable;
}

static void tell_done(void *ctx, uint64_t done, uint64_t total) {
    const struct run_event v = {
        .kind = RUN_EVALUATING, .done = (int64_t)done, .of = (int64_t)total};
    run_tell_amid(ctx, &v);
}

static int eval_text(struct run *r, struct model *m, struct eval_result *out, double *losses,
                     struct err *e) {
    const struct engine_opts *eo = &r->opts.engine_opts;
    const struct run_val_data *d = &r->opts.val;
    /* Its memory is beside that of training, so it takes few tokens at a time. */
    const int64_t few = run_val_batch(eo->seq);
    const struct eval_opts o = {.batch = few < eo->batch ? few : eo->batch,
                                .seq = eo->seq,
                                .token_bytes = d->token_bytes,
                                .losses = losses,
                                .max_windows = d->windows,
                                .progress = tell_done,
                                .ctx = r,
                                .cancel = run_cancel(r)};
    return eval_run(m, eo->machine, d->shard, &d->split, &o, out, e);
}

int run_eval_model(struct run *r, struct model *m, struct eval_result *out, double *losses,
                   struct err *e) {
    run_amid_begin(r);
    const int rc = eval_text(r, m, out, losses, e);
    return run_amid_end(r, rc, e);
}

static int eval_task(struct run *r, struct validation *v, double *losses, struct err *e) {
    struct task_result out;
    const struct engine_opts *eo = &r->opts.engine_opts;
    const struct task_eval_opts o = {.batch = run_val_batch(eo->seq),
                                     .losses = losses,
                                     .errors = run_counts_errors(&r->opts),
                                     .progress = tell_done,
                                     .ctx = r,
                                     .cancel = run_cancel(r)};
    const int rc = task_eval(r->model, eo->machine, r->opts.val.task, &o, &out, e);
    if (rc) return rc;
    v->text.loss = out.loss;
    v->text.stderr_ = out.loss_stderr;
    v->text.windows = (uint64_t)out.n;
    v->accuracy = out.accuracy;
    v->accuracy_stderr = out.accuracy_stderr;
    v->f1 = out.f1;
    return 0;
}

/* keep: what later validations are compared with. */
static int evaluate(struct run *r, struct validation *v, bool keep, struct err *e) {
    int rc = 0;
    const struct run_val_data *d = &r->opts.val;
    struct err ignored;
    *v = (struct validation){
        .text = {.loss = NAN, .stderr_ = NAN, .bpb = NAN, .floor_bpb = NAN},
        .accuracy = NAN,
        .accuracy_stderr = NAN,
        .f1 = NAN};
    if (!run_val_seq(&r->opts)) return 0;
    const int64_t n = d->task ? d->task->n
                              : (int64_t)val_rows(&d->split, r->opts.engine_opts.seq, d->windows);
    if (keep && (rc = val_change_reserve(&r->change, n, e))) return rc;
    double *losses = keep ? r->change.now : NULL;
    run_amid_begin(r);
    tell_done(r, 0, 0);
    if (!r->pace.rc)
        rc = d->task ? eval_task(r, v, losses, e) : eval_text(r, r->model, &v->text, losses, e);
    TRY(run_amid_end(r, rc, e));
    if (keep) val_change_take(&r->change, r->p.step);
out:
    run_tell(r, &(struct run_event){.kind = RUN_EVALUATED}, &ignored);
    return rc;
}

void run_set_best(struct run *r, double measure) {
    r->p.val_best = measure;
    r->p.val_best_step = r->p.step;
    r->p.val_stale = 0;
    r->p.best_hash = 0;
}

/* True if none was better. again: the same step's, which counts once. */
static bool count_best(struct run *r, const struct validation *v, bool again) {
    const double m = run_value(&r->opts, v->text.loss, v->accuracy, v->f1);
    if (!isfinite(m)) return false;
    if (isfinite(r->p.val_best) && m >= r->p.val_best) {
        r->p.val_stale += !again;
        return false;
    }
    run_set_best(r, m);
    return true;
}

bool run_val_missing(const struct run *r) {
    const int64_t every = r->opts.val_every, step = r->p.step;
    return every && step && step % every == 0 && r->p.val_step != step;
}

bool run_val_due(const struct run *r) {
    return run_val_missing(r) && !run_finished(r);
}

int run_eval(struct run *r, struct validation *v, struct err *e) {
    if (r->last_val_step == r->p.step) {
        *v = r->last_val;
        return 0;
    }
    int rc = evaluate(r, v, true, e);
    if (rc) return rc;
    const bool again = r->p.val_step == r->p.step;
    r->last_val = *v;
    r->last_val_step = r->p.val_step = r->p.step;
    const struct run_event told = {.kind = RUN_VALIDATED,
                                   .validation = v,
                                   .first = r->change.step == r->p.step && isnan(r->change.change),
                                   .best = count_best(r, v, again)};
    if (run_val_seq(&r->opts)) rc = run_tell(r, &told, e);
    if (r->p.step == 0) r->first = r->p;
    return rc;
}

int run_eval_again(struct run *r, struct validation *v, struct err *e) {
    return evaluate(r, v, false, e);
}
