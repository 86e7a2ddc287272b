/* Validation of a run: on the split of its text, on --val-data, or on --task-eval. */
#include "num.h"
#include "stop.h"
#include "train_plan.h"
#include "trainer_impl.h"

#include "file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int trainer_open_splits(struct trainer *t, const struct dataset_opts *d, struct err *e) {
    const struct train_opts *o = &t->from;
    const double share = o->val_data.n ? 0 : o->val_fraction;
    struct split none;
    char name[256];
    int rc = split_make(&t->data.shard, dataset_name(&o->data, name), share, t->seq, &t->train,
                        &t->val, e);
    if (rc || !o->val_data.n) return rc;
    char *cache = file_join(t->dir, "val.shard");
    if (!cache) return err_set(e, ERR_NOMEM, "out of memory");
    struct dataset_opts v = *d;
    v.data = o->val_data;
    v.cache = t->given.source[SOURCE_val_data] ? NULL : cache;
    v.expect = t->start.source[SOURCE_val_data].hash;
    v.expected = t->start.source[SOURCE_val_data].known;
    TRY(dataset_open(&t->val_data, &v, e));
    rc = split_make(&t->val_data.shard, dataset_name(&o->val_data, name), 0, t->seq, &t->val, &none,
                    e);
out:
    free(cache);
    return rc;
}

static void show_validation(void *ctx, uint64_t done, uint64_t total) {
    struct trainer *t = ctx;
    log_bar(&t->val_line, "validating", done, total, t->opts->task ? "examples" : "windows");
}

int trainer_validate_model(struct trainer *t, struct model *m, struct eval_result *r,
                           double *losses, struct err *e) {
    /* Its activations come on top of the training's: few tokens at a time. The result is the same.
     */
    const int64_t few = train_val_batch(t->seq);
    const struct eval_opts o = {.batch = few < t->opts->batch ? few : t->opts->batch,
                                .seq = t->seq,
                                .token_bytes = t->token_bytes,
                                .losses = losses,
                                .max_windows = (uint64_t)t->opts->val_windows,
                                .progress = show_validation,
                                .ctx = t,
                                .cancel = stop_flag()};
    return eval_run(m, &t->gemm, trainer_val_shard(t), &t->val, &o, r, e);
}

bool trainer_counts_errors(const struct trainer *t) {
    return t->setup.objective && !t->setup.objective->differentiable;
}

/* What the comparison with the first validation adds to a line of the log. */
static const char *change_text(const struct trainer *t, char out[96]) {
    const struct val_change *v = &t->change;
    char sd[32] = "null";
    *out = '\0';
    if (isnan(v->change)) return out;
    if (isfinite(v->stderr_)) snprintf(sd, sizeof sd, "%.6f", v->stderr_);
    snprintf(out, 96, ",\"val_change\":%.6f,\"val_change_stderr\":%s", v->change, sd);
    return out;
}

/* " ± 0.0210", or nothing if the error is not known. */
static const char *error_text(double x, char out[32]) {
    *out = '\0';
    if (isfinite(x)) snprintf(out, 32, " %s %.4f", term_pm(), x);
    return out;
}

/* The history of a run, above its line. */
static void say_validation(struct trainer *t, const struct validation *v) {
    const struct val_change *c = &t->change;
    char pm[32], change_pm[32], change[128] = "", all[32] = "";
    const bool risen = val_change_risen(c), best = t->p.val_best_step == t->p.step;
    if (isfinite(c->change))
        snprintf(change, sizeof change, "  %s%+.4f%s since step %lld",
                 trainer_counts_errors(t) ? "wrong answers " : "", c->change,
                 error_text(c->stderr_, change_pm), (long long)c->step);
    if (t->opts->steps) num_count((long long)t->opts->steps, all);
    const char *mark = risen ? "  worse" : best && *change ? "  best" : "";
    char step[32];
    num_count((long long)t->p.step, step);
    if (t->opts->task)
        log_mark(&t->line, risen ? TERM_WARN : TERM_GOOD, mark,
                 "step %*s  accuracy %.4f%s  F1 %.4f  loss %.4f%s", (int)strlen(all), step,
                 v->accuracy, error_text(v->accuracy_stderr, pm), v->f1, v->text.loss, change);
    else
        log_mark(&t->line, risen ? TERM_WARN : TERM_GOOD, mark, "step %*s  val_loss %.4f%s%s",
                 (int)strlen(all), step, v->text.loss, error_text(v->text.stderr_, pm), change);
}

static int validate_task(struct trainer *t, struct validation *r, bool tell, struct err *e) {
    struct task_result out;
    const int64_t few = train_val_batch(t->seq);
    int rc = tell ? val_change_reserve(&t->change, t->task_val.n, e) : 0;
    if (rc) return rc;
    const struct task_eval_opts o = {.batch = few,
                                     .losses = tell ? t->change.now : NULL,
                                     .errors = trainer_counts_errors(t),
                                     .progress = show_validation,
                                     .ctx = t,
                                     .cancel = stop_flag()};
    rc = task_eval(&t->model, &t->gemm, &t->task_val, &o, &out, e);
    if (rc) return rc;
    r->text.loss = out.loss;
    r->text.stderr_ = out.loss_stderr;
    r->accuracy = out.accuracy;
    r->accuracy_stderr = out.accuracy_stderr;
    r->f1 = out.f1;
    if (!tell) return 0;
    val_change_take(&t->change, t->p.step);
    char change[96];
    log_lines_write(&t->log,
                    "{\"event\":\"val\",\"step\":%lld,\"seconds\":%.3f,\"val_loss\":%.6f,"
                    "\"val_accuracy\":%.6f,\"val_f1\":%.6f,\"examples\":%lld%s}",
                    (long long)t->p.step, t->p.seconds, out.loss, out.accuracy, out.f1,
                    (long long)out.n, change_text(t, change));
    return 0;
}

static int validate_text(struct trainer *t, struct validation *r, bool tell, struct err *e) {
    struct eval_result *x = &r->text;
    const uint64_t windows = val_rows(&t->val, t->seq, (uint64_t)t->opts->val_windows);
    int rc = tell ? val_change_reserve(&t->change, (int64_t)windows, e) : 0;
    if (!rc) rc = trainer_validate_model(t, &t->model, x, tell ? t->change.now : NULL, e);
    if (rc || !tell) return rc;
    val_change_take(&t->change, t->p.step);
    char change[96];
    log_lines_write(&t->log,
                    "{\"event\":\"val\",\"step\":%lld,\"seconds\":%.3f,\"val_loss\":%.6f,"
                    "\"val_loss_stderr\":%.6f,\"windows\":%llu%s}",
                    (long long)t->p.step, t->p.seconds, x->loss, x->stderr_,
                    (unsigned long long)x->windows, change_text(t, change));
    return 0;
}

static bool can_validate(const struct trainer *t) {
    if (t->opts->task) return t->opts->task_eval != NULL;
    return t->val.end - t->val.begin > (uint64_t)t->seq;
}

static int validate(struct trainer *t, struct validation *r, bool tell, struct err *e) {
    *r = (struct validation){
        .text = {.loss = NAN, .stderr_ = NAN, .bpb = NAN, .floor_bpb = NAN},
        .accuracy = NAN,
        .accuracy_stderr = NAN,
        .f1 = NAN};
    if (!can_validate(t)) return 0;
    return t->opts->task ? validate_task(t, r, tell, e) : validate_text(t, r, tell, e);
}

static const char FIRST[] = "val-first.json";

static int save_first(const struct trainer *t, struct err *e) {
    const struct val_place at = {
        .step = t->change.step, .rollbacks = t->p.rollbacks, .key = t->p.val_key};
    char *path = file_join(t->dir, FIRST);
    const int rc = path ? val_change_save(&t->change, path, &at, e)
                        : err_set(e, ERR_NOMEM, "out of memory for validation losses");
    free(path);
    return rc;
}

/* Was this validation before where the run goes on? One that is made again is the first again. */
static bool was_before(const struct trainer *t, const struct val_place *at) {
    const struct progress *p = &t->p;
    if (at->key != p->val_key) return false;
    if (at->step < p->step || at->rollbacks < p->rollbacks) return true;
    return at->step == p->step && p->step > 0 && p->val_step == p->step;
}

int trainer_reopen_first(struct trainer *t, struct err *e) {
    int rc = 0;
    struct val_place at;
    struct err damage; /* of a file that nothing depends on */
    char *path = file_join(t->dir, FIRST);
    if (!path) return err_set(e, ERR_NOMEM, "out of memory for validation losses");
    if (!t->resumed || !file_exists(path)) goto out;
    if (val_change_load(&t->change, path, &at, &damage))
        log_warn(&t->line, "%s; later validations are compared with the next one", damage.msg);
    else if (was_before(t, &at))
        goto out;
    val_change_release(&t->change);
    unlink(path);
out:
    free(path);
    return rc;
}

int trainer_validate(struct trainer *t, struct validation *r, struct err *e) {
    if (t->last_val_step == t->p.step) {
        *r = t->last_val;
        return 0;
    }
    log_begin(&t->val_line);
    int rc = validate(t, r, true, e);
    log_progress_end(&t->val_line);
    if (rc) return rc;
    if (t->change.step == t->p.step && isnan(t->change.change)) rc = save_first(t, e);
    if (rc) return rc;
    t->last_val = *r;
    t->last_val_step = t->p.val_step = t->p.step;
    rc = trainer_note_best(t, r, e);
    if (!rc && can_validate(t)) say_validation(t, r);
    return rc;
}

int trainer_measure_model(struct trainer *t, struct validation *r, struct err *e) {
    log_begin(&t->val_line);
    const int rc = validate(t, r, false, e);
    log_progress_end(&t->val_line);
    return rc;
}
