/* What a run validates on: the split of its text, or --val-data; what is said of it, and kept. */
#include "num.h"
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
    struct splits all;
    char name[256];
    int rc = splits_make(&t->data.shard, dataset_name(&o->data, name), share, o->test_fraction,
                         t->seq, &all, e);
    t->train = all.train;
    t->val = all.val;
    t->read_tokens = all.test.begin;
    if (rc || !o->val_data.n) return rc;
    char *cache = file_join(t->dir, "val.shard");
    if (!cache) return err_set(e, ERR_NOMEM, "out of memory");
    struct dataset_opts v = *d;
    v.data = o->val_data;
    v.cache = t->given.source[SOURCE_val_data] ? NULL : cache;
    v.expect = t->start.source[SOURCE_val_data].hash;
    v.expected = t->start.source[SOURCE_val_data].known;
    TRY(data_show_open(&t->val_data, &v, t->opts->quiet, e));
    rc = split_make(&t->val_data.shard, dataset_name(&o->val_data, name), 0, t->seq, &t->val, &none,
                    e);
out:
    free(cache);
    return rc;
}

/* What the comparison with the first validation adds to a line of the log. */
static const char *change_text(const struct trainer *t, char out[96]) {
    const struct val_change *v = &t->run->change;
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
    const struct val_change *c = &t->run->change;
    char pm[32], change_pm[32], change[128] = "", all[32] = "";
    const bool risen = val_change_risen(c), best = t->p->val_best_step == t->p->step;
    if (isfinite(c->change))
        snprintf(change, sizeof change, "  %s%+.4f%s since step %lld",
                 run_counts_errors(&t->run->opts) ? "wrong answers " : "", c->change,
                 error_text(c->stderr_, change_pm), (long long)c->step);
    if (t->opts->steps) num_count((long long)t->opts->steps, all);
    const char *mark = risen ? "  worse" : best && *change ? "  best" : "";
    char step[32];
    num_count((long long)t->p->step, step);
    if (t->opts->task)
        log_mark(&t->line, risen ? TERM_WARN : TERM_GOOD, mark,
                 "step %*s  accuracy %.4f%s  F1 %.4f  loss %.4f%s", (int)strlen(all), step,
                 v->accuracy, error_text(v->accuracy_stderr, pm), v->f1, v->text.loss, change);
    else
        log_mark(&t->line, risen ? TERM_WARN : TERM_GOOD, mark, "step %*s  val_loss %.4f%s%s",
                 (int)strlen(all), step, v->text.loss, error_text(v->text.stderr_, pm), change);
}

static void log_validation(struct trainer *t, const struct validation *v) {
    char change[96];
    if (t->opts->task)
        log_lines_write(&t->log,
                        "{\"event\":\"val\",\"step\":%lld,\"seconds\":%.3f,\"val_loss\":%.6f,"
                        "\"val_accuracy\":%.6f,\"val_f1\":%.6f,\"examples\":%llu%s}",
                        (long long)t->p->step, t->p->seconds, v->text.loss, v->accuracy, v->f1,
                        (unsigned long long)v->text.windows, change_text(t, change));
    else
        log_lines_write(&t->log,
                        "{\"event\":\"val\",\"step\":%lld,\"seconds\":%.3f,\"val_loss\":%.6f,"
                        "\"val_loss_stderr\":%.6f,\"windows\":%llu%s}",
                        (long long)t->p->step, t->p->seconds, v->text.loss, v->text.stderr_,
                        (unsigned long long)v->text.windows, change_text(t, change));
}

static const char FIRST[] = "val-first.json";

static int save_first(const struct trainer *t, struct err *e) {
    const struct val_place at = {
        .step = t->run->change.step, .rollbacks = t->p->rollbacks, .key = t->p->val_key};
    char *path = file_join(t->dir, FIRST);
    const int rc = path ? val_change_save(&t->run->change, path, &at, e)
                        : err_set(e, ERR_NOMEM, "out of memory for validation losses");
    free(path);
    return rc;
}

/* Was this validation before where the run goes on? One that is made again is the first again. */
static bool was_before(const struct trainer *t, const struct val_place *at) {
    const struct progress *p = t->p;
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
    if (val_change_load(&t->run->change, path, &at, &damage))
        log_warn(&t->line, "%s; later validations are compared with the next one", damage.msg);
    else if (was_before(t, &at))
        goto out;
    val_change_release(&t->run->change);
    unlink(path);
out:
    free(path);
    return rc;
}

/* What the run begins from is part of what it shows. */
bool trainer_val_first(const struct trainer *t, bool more) {
    if (t->p->step == 0) return t->opts->init != NULL;
    return more ? run_val_missing(t->run) : run_val_due(t->run);
}

int trainer_validated(struct trainer *t, const struct run_event *v, struct err *e) {
    int rc = 0;
    const bool known = t->p->step <= t->logged_val;
    log_progress_end(&t->val_line);
    if (!known) log_validation(t, v->validation);
    if (v->first) TRY(save_first(t, e));
    if (v->best) TRY(trainer_keep_best(t, e));
    if (!known) say_validation(t, v->validation);
out:
    return rc;
}
