/* Validation of a run: on the split of its text, on --val-data, or on --task-eval. */
#include "num.h"
#include "stop.h"
#include "train_plan.h"
#include "trainer_impl.h"

#include "file.h"

#include <math.h>
#include <stdlib.h>
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
    log_progress_show(&t->line, false, "validating: %llu of %llu %s", (unsigned long long)done,
                      (unsigned long long)total, t->opts->task ? "examples" : "windows");
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

/* What the comparison with the first validation adds to a line of the log and of the terminal. */
struct change_text {
    char log[96], note[96];
};

static struct change_text change_text(const struct trainer *t) {
    const struct val_change *v = &t->change;
    struct change_text x = {"", ""};
    char sd[32] = "null", pm[32] = "";
    if (isnan(v->change)) return x;
    if (isfinite(v->stderr_)) {
        snprintf(sd, sizeof sd, "%.6f", v->stderr_);
        snprintf(pm, sizeof pm, " +- %.4f", v->stderr_);
    }
    snprintf(x.log, sizeof x.log, ",\"val_change\":%.6f,\"val_change_stderr\":%s", v->change, sd);
    snprintf(x.note, sizeof x.note, "; %ssince step %lld %+.4f%s%s",
             trainer_counts_errors(t) ? "wrong answers " : "", (long long)v->step, v->change, pm,
             val_change_risen(v) ? ": worse" : "");
    return x;
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
    r->f1 = out.f1;
    if (!tell) return 0;
    val_change_take(&t->change, t->p.step);
    const struct change_text x = change_text(t);
    log_lines_write(&t->log,
                    "{\"event\":\"val\",\"step\":%lld,\"seconds\":%.3f,\"val_loss\":%.6f,"
                    "\"val_accuracy\":%.6f,\"val_f1\":%.6f,\"examples\":%lld%s}",
                    (long long)t->p.step, t->p.seconds, out.loss, out.accuracy, out.f1,
                    (long long)out.n, x.log);
    char sd[32];
    log_note(&t->line, "step %lld: accuracy %.4f +- %s, F1 %.4f, loss %.4f%s", (long long)t->p.step,
             out.accuracy, num_text(out.accuracy_stderr, 4, sd), out.f1, out.loss, x.note);
    return 0;
}

static int validate_text(struct trainer *t, struct validation *r, bool tell, struct err *e) {
    struct eval_result *x = &r->text;
    const uint64_t windows = val_rows(&t->val, t->seq, (uint64_t)t->opts->val_windows);
    int rc = tell ? val_change_reserve(&t->change, (int64_t)windows, e) : 0;
    if (!rc) rc = trainer_validate_model(t, &t->model, x, tell ? t->change.now : NULL, e);
    if (rc || !tell) return rc;
    val_change_take(&t->change, t->p.step);
    const struct change_text c = change_text(t);
    char sd[32];
    log_lines_write(&t->log,
                    "{\"event\":\"val\",\"step\":%lld,\"seconds\":%.3f,\"val_loss\":%.6f,"
                    "\"val_loss_stderr\":%.6f,\"windows\":%llu%s}",
                    (long long)t->p.step, t->p.seconds, x->loss, x->stderr_,
                    (unsigned long long)x->windows, c.log);
    log_note(&t->line, "step %lld: val_loss %.4f +- %s%s", (long long)t->p.step, x->loss,
             num_text(x->stderr_, 4, sd), c.note);
    return 0;
}

static bool can_validate(const struct trainer *t) {
    if (t->opts->task) return t->opts->task_eval != NULL;
    return t->val.end - t->val.begin > (uint64_t)t->seq;
}

static int validate(struct trainer *t, struct validation *r, bool tell, struct err *e) {
    *r = (struct validation){
        .text = {.loss = NAN, .stderr_ = NAN, .bpb = NAN, .floor_bpb = NAN}, NAN, NAN};
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
        log_note(&t->line, "%s; later validations are compared with the next one", damage.msg);
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
    int rc = validate(t, r, true, e);
    if (rc) return rc;
    if (t->change.step == t->p.step && isnan(t->change.change)) rc = save_first(t, e);
    if (rc) return rc;
    t->last_val = *r;
    t->last_val_step = t->p.val_step = t->p.step;
    return trainer_note_best(t, r, e);
}

int trainer_measure_model(struct trainer *t, struct validation *r, struct err *e) {
    return validate(t, r, false, e);
}
