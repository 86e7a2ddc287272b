/* What a run keeps: checkpoints, the best model by validation beside the last, the last N, and a
 * way back when the loss runs away. */
#include "trainer_impl.h"
#include "train_model.h"

#include "clock.h"
#include "file.h"
#include "format.h"
#include "num.h"
#include "run_folder.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static const char KEPT[] = RUN_FOLDER_KEPT;

static const char *best_name(const struct trainer *t) {
    return t->setup.lora.rank ? "adapter.best.blzt" : "best.blzt";
}

/* ---- the last N ------------------------------------------------------------------------------ */

/* Name of a checkpoint's folder; -1: no such name. */
static long long step_of(const char *name) {
    char *end;
    const long long step = strtoll(name, &end, 10);
    return *name >= '0' && *name <= '9' && !*end ? step : -1;
}

static void remove_kept(const char *dir, const char *name) {
    static const char *const files[] = {"model.blzt", "adapter.blzt", "state"};
    char *folder = file_join(dir, name);
    for (size_t i = 0; folder && i < sizeof files / sizeof *files; i++) {
        char *path = file_join(folder, files[i]);
        if (path) unlink(path);
        free(path);
    }
    if (folder) rmdir(folder);
    free(folder);
}

/* Removes all but the n latest of those up to `last`; later ones are of a part of the run that was
 * given up. */
static void prune(const char *dir, int64_t n, int64_t last) {
    for (;;) {
        DIR *d = opendir(dir);
        const struct dirent *entry;
        char name[32] = "";
        long long oldest = -1, count = 0;
        while (d && (entry = readdir(d))) {
            const long long step = step_of(entry->d_name);
            if (step < 0) continue;
            count++;
            if (step > last || oldest < 0 || (step < oldest && oldest <= last)) {
                oldest = step;
                snprintf(name, sizeof name, "%.31s", entry->d_name);
            }
        }
        if (d) closedir(d);
        if (oldest < 0 || (count <= n && oldest <= last)) break;
        remove_kept(dir, name);
    }
    rmdir(dir); /* if it is empty */
}

/* The present checkpoint under its step: further names of the same files. */
static int keep_step(const struct trainer *t, struct err *e) {
    int rc;
    char step[32];
    const char *const files[] = {t->setup.lora.rank ? "adapter.blzt" : "model.blzt", "state"};
    char *dir = file_join(t->dir, KEPT), *folder = NULL;
    snprintf(step, sizeof step, "%lld", (long long)t->p->step);
    if (!dir || !(folder = file_join(dir, step))) {
        rc = err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
        goto out;
    }
    TRY(file_mkdirs(folder, e));
    for (int i = 0; i < 2; i++) {
        char *from = file_join(t->dir, files[i]), *to = file_join(folder, files[i]);
        rc = from && to ? file_link(from, to, e)
                        : err_set(e, ERR_NOMEM, "out of memory for a checkpoint");
        free(from);
        free(to);
        if (rc) goto out;
    }
    prune(dir, t->opts->keep, t->p->step);
out:
    free(folder);
    free(dir);
    return rc;
}

int trainer_reopen_kept(struct trainer *t, struct err *e) {
    return t->opts->keep > 1 && t->saved_step >= 0 ? keep_step(t, e) : 0;
}

void trainer_clear_kept(const struct trainer *t) {
    char *dir = file_join(t->dir, KEPT);
    if (dir && file_is_dir(dir)) prune(dir, 0, -1);
    free(dir);
}

/* ---- saving ---------------------------------------------------------------------------------- */

/* While the loss is on its way up, the checkpoint from before is not given up. */
static bool rising(const struct trainer *t) {
    return t->opts->rollback && !t->p->rollbacks && t->opts->spike > 0 &&
           t->p->ema - t->p->best > t->opts->spike / 2;
}

int trainer_save(struct trainer *t, bool best, struct err *e) {
    int rc;
    const bool up = rising(t);
    if (up && t->saved_step > 0 && !checkpoint_aside(t->dir))
        TRY(checkpoint_set_aside(t->dir, t->run, e));
    if (t->trajectory.file.writing) TRY(trajectory_sync(&t->trajectory, e));
    trainer_clock_sync(t);
    t->p->total = t->total_before + clock_seconds() - t->began;
    t->p->log_bytes = log_lines_size(&t->log);
    TRY(checkpoint_save(t->dir, t->run, best, e));
    t->last_save = clock_seconds();
    t->saved_step = t->p->step;
    if (!up) checkpoint_drop_aside(t->dir, t->run);
    if (t->opts->keep > 1) TRY(keep_step(t, e));
out:
    return rc;
}

/* ---- the best -------------------------------------------------------------------------------- */

static int link_best(struct trainer *t, struct err *e) {
    char *last = file_join(t->dir, t->setup.lora.rank ? "adapter.blzt" : "model.blzt");
    char *best = file_join(t->dir, best_name(t));
    const int rc = last && best ? file_link(last, best, e)
                                : err_set(e, ERR_NOMEM, "out of memory for the best model");
    free(last);
    free(best);
    return rc;
}

/* What a run begins from has a file already; so has the end of one that never looked before. */
int trainer_keep_best(struct trainer *t, struct err *e) {
    int rc = 0;
    const bool keeps = t->opts->val_every || trainer_has_file(t, best_name(t));
    if (!t->opts->keep_best || !keeps || t->p->step == 0) return 0;
    /* A checkpoint whose validation was broken off knows nothing of it. */
    if (t->saved_step != t->p->step || !run_finished(t->run)) TRY(trainer_save(t, true, e));
    TRY(link_best(t, e));
out:
    return rc;
}

/* What the values of validations depend on: those of others are not compared. */
static int64_t val_key(const struct trainer *t) {
    const uint64_t parts[] = {(uint64_t)t->seq,
                              (uint64_t)t->opts->val_windows,
                              t->val.begin,
                              t->val.end,
                              t->start.source[SOURCE_data].hash,
                              t->start.source[SOURCE_val_data].hash,
                              t->start.source[SOURCE_task_eval].hash};
    return (int64_t)(XXH3_64bits(parts, sizeof parts) >> 1);
}

/* The best as it is measured now; the present weights come back after it. */
static int measure_again(struct trainer *t, struct err *e) {
    int rc;
    struct validation v;
    TRY(checkpoint_load_weights(t->dir, best_name(t), t->run, e));
    TRY(run_eval_again(t->run, &v, e));
    t->p->val_best = run_value(&t->run->opts, v.text.loss, v.accuracy, v.f1);
    log_note(&t->line, "validation has changed: the best, of step %lld, now has %.4f",
             (long long)t->p->val_best_step, t->p->val_best);
    TRY(checkpoint_load_weights(
        t->dir, t->setup.lora.rank ? "adapter.blzt" : "model.blzt", t->run, e));
out:
    return rc;
}

/* Is the file there that the state means? Killed before it got its name, it still is the last. */
static int find_best(struct trainer *t, bool *there, struct err *e) {
    int rc = 0;
    uint64_t hash = 0;
    struct err ignored;
    char *best = file_join(t->dir, best_name(t));
    *there = false;
    if (!best) return err_set(e, ERR_NOMEM, "out of memory for the best model");
    if (!t->p->best_hash) goto out;
    if (t->p->val_best_step == t->p->step) TRY(link_best(t, e));
    *there = file_exists(best) && !model_file_hash(best, &hash, &ignored) &&
             (int64_t)(hash >> 1) == t->p->best_hash;
out:
    free(best);
    return rc;
}

/* A run that ended may have ended with its best, which the state, saved before, does not know.
 * Where it stopped on its way a validation that was due is in the state, and another one does not
 * count. */
static int adopt_end(struct trainer *t, struct err *e) {
    int rc = 0;
    const struct train_summary *s = &t->ended;
    const double m = run_value(&t->run->opts, s->val_loss, s->val_accuracy, s->val_f1);
    if (s->num_steps != t->p->step || s->stopped || !isfinite(m)) return 0;
    if (isfinite(t->p->val_best) && m >= t->p->val_best) return 0;
    run_set_best(t->run, m);
    if (!t->opts->keep_best) {
        log_warn(&t->line, "--no-keep-best: the finished model of step %lld will be replaced",
                 (long long)t->p->step);
        return 0;
    }
    TRY(checkpoint_hash(t->dir, t->run, e));
    TRY(link_best(t, e));
    log_note(&t->line, "the finished model of step %lld is kept as %s/%s until a better one",
             (long long)t->p->step, t->dir, best_name(t));
out:
    return rc;
}

int trainer_reopen_best(struct trainer *t, struct err *e) {
    int rc = 0;
    bool there;
    const int64_t key = val_key(t);
    const bool changed = t->val_changed = t->p->val_key && t->p->val_key != key;
    t->p->val_key = key;
    TRY(adopt_end(t, e));
    TRY(find_best(t, &there, e));
    if (there && changed) TRY(measure_again(t, e));
    if (!there && isfinite(t->p->val_best) && (changed || t->p->best_hash)) {
        log_warn(&t->line, "the best model, of step %lld, is not there to compare with: the best "
                           "is looked for anew",
                 (long long)t->p->val_best_step);
        t->p->val_best = NAN;
        t->p->val_stale = t->p->best_hash = 0;
    }
out:
    return rc;
}

/* ", val_loss 3.1416": of what is minimised, as it is named everywhere. */
static void print_measure(const struct trainer *t, double measure, FILE *out) {
    const char *what = t->setup.objective ? t->setup.objective->name : "ce";
    const bool loss = strcmp(what, "accuracy") && strcmp(what, "f1");
    fprintf(out, ", %s %.4f", loss ? "val_loss" : what, loss ? measure : 1 - measure);
}

char *trainer_saved_text(const struct trainer *t) {
    const struct progress *p = t->p;
    const struct validation *v = &t->run->last_val;
    const bool best = isfinite(p->val_best) && p->val_best_step != p->step &&
                      trainer_has_file(t, best_name(t));
    char *text = NULL, n[32];
    size_t size;
    FILE *out = t->saved_step == p->step ? open_memstream(&text, &size) : NULL;
    if (!out) return NULL;
    const bool last = t->opts->val_every && p->val_best_step == p->step && p->step;
    fprintf(out, "%s/%s (%sstep %s", t->dir,
            t->setup.lora.rank ? "adapter.blzt" : "model.blzt", last ? "the best: " : "",
            num_count((long long)p->step, n));
    if (t->run->last_val_step == p->step) {
        const double m = run_value(&t->run->opts, v->text.loss, v->accuracy, v->f1);
        if (isfinite(m)) print_measure(t, m, out);
    }
    fputc(')', out);
    if (best) {
        fprintf(out, ",\n      %s/%s (the best: step %s", t->dir, best_name(t),
                num_count((long long)p->val_best_step, n));
        print_measure(t, p->val_best, out);
        fputc(')', out);
    }
    fclose(out);
    return text;
}

void trainer_say_best(struct trainer *t) {
    const struct progress *p = t->p;
    if (!isfinite(p->val_best) || p->val_best_step == p->step) return;
    if (p->val_best_step == 0)
        log_note(&t->line, "the best was what the run began from (%.4f): no update helped",
                 p->val_best);
    else if (!trainer_has_file(t, best_name(t)))
        log_note(&t->line, "the best was step %lld (%.4f), which was not kept",
                 (long long)p->val_best_step, p->val_best);
}

/* ---- divergence ------------------------------------------------------------------------------ */

/* What a run begins from is a function of its options and its base. */
int trainer_load_start(struct trainer *t, struct err *e) {
    const int rc = train_model_begin(&t->model, &t->setup, &t->from, &t->files, t->base, e);
    run_reset(t->run);
    return rc;
}

int trainer_go_back(struct trainer *t, struct err *e) {
    return t->saved_step < 0          ? trainer_load_start(t, e)
           : checkpoint_aside(t->dir) ? checkpoint_load_aside(t->dir, t->run, e)
                                      : checkpoint_load(t->dir, t->run, e);
}

int trainer_went_back(struct trainer *t, const struct progress *from, struct err *e) {
    int rc = 0;
    const struct progress *p = t->p;
    const char *why = t->run->why;
    if (t->logged > p->step) t->logged = p->step;
    if (t->logged_val > p->step) t->logged_val = p->step;
    if (t->trajectory.file.writing) TRY(trajectory_cut(&t->trajectory, p->step, e));
    trainer_clock_cut(t, p->step);
    log_lines_write(&t->log,
                    "{\"event\":\"rollback\",\"step\":%lld,\"from\":%lld,\"seconds\":%.3f,"
                    "\"lr_scale\":%g,\"why\":\"%s\"}",
                    (long long)p->step, (long long)from->step, p->seconds, p->lr_scale, why);
    log_warn(&t->line,
             "step %lld: %s; going back to step %lld, with %g of the rate (--no-rollback: stop)",
             (long long)from->step, why, (long long)p->step, p->lr_scale);
    TRY(trainer_save(t, false, e));
out:
    return rc;
}
