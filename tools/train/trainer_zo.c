/* The trajectory of a MeZO run: written update by update, and read when a run goes on. */
#include "trainer_impl.h"

#include "file.h"
#include "format.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The file that the run begins from. Random weights become one: a trajectory needs a base that can
 * be named. */
static int base_hash(struct trainer *t, uint64_t *hash, struct err *e) {
    int rc;
    char *path = NULL;
    if (t->base) {
        *hash = t->base_hash;
        return 0;
    }
    path = file_join(t->dir, "base.blzt");
    if (!path) return err_set(e, ERR_NOMEM, "out of memory");
    TRY(model_save_hashed(&t->model, path, "blzt5", NULL, hash, e));
out:
    free(path);
    return rc;
}

static int create(struct trainer *t, const char *path, struct conf *conf, struct err *e) {
    int rc;
    char *config = conf_to_json(conf, t->dir, NULL);
    struct trajectory_head h = {.config = config,
                                .vocab = t->model.full_vocab,
                                .ids = t->model.full_id,
                                .n_ids = t->model.full_id ? t->model.config.vocab : 0,
                                .extra = t->setup.estimator->extra != NULL};
    if (!config) return err_set(e, ERR_NOMEM, "out of memory for the trajectory");
    TRY(base_hash(t, &h.base_hash, e));
    TRY(trajectory_create(&t->trajectory, path, &h, e));
out:
    free(config);
    return rc;
}

/* What may differ between the parts of a recorded run; data is not needed to replay it. */
static bool may_change(const char *key) {
    const struct conf_row *row = conf_row(train_rows, key);
    return row && (row->path || row->resume == RESUME_FREE || row->resume == RESUME_SOURCE);
}

/* Recorded options with what was decided then in the place of -1 and auto; malloc()ed. */
static int settled(const struct trainer *t, const struct trajectory *old, char **json,
                   struct err *e) {
    int rc;
    struct conf c = {0};
    struct train_opts o = {0};
    struct train_setup s;
    TRY(conf_parse(&c, train_rows, &o, 0, NULL, e));
    TRY(conf_read_defaults_text(&c, old->head.config, old->map.path, e));
    train_opts_old(&o, &c);
    TRY(train_setup_make(&s, &o, &t->machine.cpu, e));
    train_opts_resolve(&o, &s);
    if (!o.seq) o.seq = t->model.config.seq_len;
    *json = conf_to_json(&c, NULL, NULL);
    if (!*json) rc = err_set(e, ERR_NOMEM, "out of memory for the trajectory's options");
out:
    conf_release(&c);
    return rc;
}

/* A trajectory has one set of options: a replay could not know of others. */
static int same_options(const struct trainer *t, const struct trajectory *old, struct conf *conf,
                        struct err *e) {
    char *text = conf_to_json(conf, t->dir, NULL), *before = NULL;
    json_t *now = text ? json_loads(text, 0, NULL) : NULL,
           *then = NULL;
    const char *key;
    json_t *value;
    int rc = settled(t, old, &before, e);
    if (!rc) then = json_loads(before, 0, NULL);
    if (!rc)
        rc = now && then ? 0 : err_set(e, ERR_NOMEM, "out of memory for the trajectory's options");
    for (int side = 0; side < 2 && !rc; side++) /* what one of them does not name, too */
        json_object_foreach(side ? now : then, key, value) {
            if (may_change(key) || json_equal(value, json_object_get(side ? then : now, key)))
                continue;
            rc = err_set(e, ERR_USAGE,
                         "--%s differs from what %s was recorded with: updates of one trajectory "
                         "share it",
                         key, old->map.path);
            break;
        }
    json_decref(now);
    json_decref(then);
    free(before);
    free(text);
    return rc;
}

/* The recorded updates belong to one base. A checkpoint needs it no more. */
static int same_base(const struct trainer *t, const struct trajectory *old, struct err *e) {
    uint64_t hash;
    char *own = t->origin ? NULL : file_join(t->dir, "base.blzt");
    const char *path = t->origin ? t->origin : own;
    if (path && t->restores && !t->given.source[SOURCE_init] && !file_exists(path)) {
        free(own);
        return 0;
    }
    int rc = 0;
    if (t->base_hashed)
        hash = t->base_hash;
    else
        rc = path ? model_file_hash(path, &hash, e) : err_set(e, ERR_NOMEM, "out of memory");
    if (!rc && hash != old->head.base_hash)
        rc = err_set(e, ERR_INPUT,
                     "%s has hash %016llx, but the updates in %s were made from a file with hash "
                     "%016llx",
                     path, (unsigned long long)hash, old->map.path,
                     (unsigned long long)old->head.base_hash);
    free(own);
    return rc;
}

int trainer_check_trajectory(const struct trainer *t, struct conf *conf, struct err *e) {
    int rc = 0;
    struct trajectory old = {0};
    char *path = file_join(t->dir, "trajectory.zo");
    if (!path) return err_set(e, ERR_NOMEM, "out of memory");
    if (!file_exists(path)) {
        if (t->p->step)
            rc = err_set(e, ERR_INPUT, "%s is missing: the %lld updates of the run are in it", path,
                         (long long)t->p->step);
        goto out;
    }
    TRY(trajectory_open(&old, path, e));
    TRY(same_options(t, &old, conf, e));
    TRY(same_base(t, &old, e));
    if (old.records < t->p->step)
        rc = err_set(e, ERR_INPUT, "%s: holds %lld updates, but the checkpoint beside it has %lld",
                     path, (long long)old.records, (long long)t->p->step);
out:
    trajectory_close(&old);
    free(path);
    return rc;
}

/* Updates that were recorded after the checkpoint and led nowhere, of a run that could not cut them
 * off itself. at: what was counted at the checkpoint; they were made again up to t->p->step. */
static int drop_repeated(struct trainer *t, const struct progress *at, struct err *e) {
    int rc;
    log_warn(&t->line,
             "step %lld: %s; the updates recorded behind step %lld are dropped: going on from "
             "there",
             (long long)t->p->step, t->run->why, (long long)at->step);
    trainer_drop_updates(t);
    TRY(t->saved_step < 0 ? trainer_load_start(t, e)
                          : checkpoint_load(t->dir, t->run, e));
    *t->p = *at;
    t->logged = at->step;
    if (t->logged_val > at->step) t->logged_val = at->step;
out:
    return rc;
}

void trainer_drop_updates(struct trainer *t) {
    struct err ignored; /* what is left is dropped when the run goes on */
    const int64_t keep = t->saved_step < 0 ? 0 : t->saved_step;
    if (!*t->run->why) return;
    log_lines_write(&t->log,
                    "{\"event\":\"diverged\",\"step\":%lld,\"from\":%lld,\"seconds\":%.3f,"
                    "\"why\":\"%s\"}",
                    (long long)keep, (long long)t->p->step, t->p->seconds, t->run->why);
    if (t->trajectory.file.writing && t->trajectory.records > keep)
        trajectory_cut(&t->trajectory, keep, &ignored);
    trainer_clock_cut(t, keep);
}

/* The updates behind the checkpoint with the validations behind each, and before the first of them.
 * at: what was counted at the last checkpoint, which may be of one of these, the best so far. */
static int catch_up(struct trainer *t, struct trajectory *old, struct progress *at, struct err *e) {
    int rc = 0;
    struct validation v;
    struct zo_record r;
    const int64_t begin = t->p->step;
    *at = *t->p;
    while (!run_stopped(t->run) && trajectory_next(old, &r)) {
        if (r.step < begin) continue;
        if (r.step == begin && trainer_val_first(t, true)) {
            TRY(run_eval(t->run, &v, e));
            *at = *t->p;
        }
        TRY(run_step_again(t->run, &r, r.step + 1 < old->records, e));
        if (t->saved_step == t->p->step) *at = *t->p;
    }
out:
    return rc;
}

static int go_on(struct trainer *t, const char *path, struct err *e) {
    int rc;
    struct progress at;
    struct trajectory old = {0};
    TRY(trajectory_open(&old, path, e));
    if (old.torn)
        log_warn(&t->line, "%s: the last %llu bytes are no whole update and are dropped", path,
                 (unsigned long long)old.torn);
    TRY(trajectory_append_open(&t->trajectory, path, e));
    rc = catch_up(t, &old, &at, e);
    if (rc == ERR_NUMERIC)
        rc = drop_repeated(t, &at, e);
    else if (rc)
        err_prefix(e, "%s", path);
out:
    trajectory_close(&old);
    return rc;
}

int trainer_open_trajectory(struct trainer *t, struct conf *conf, struct err *e) {
    char *path = file_join(t->dir, "trajectory.zo");
    if (!path) return err_set(e, ERR_NOMEM, "out of memory");
    const int rc = t->resumed && file_exists(path) ? go_on(t, path, e) : create(t, path, conf, e);
    free(path);
    return rc;
}

int trainer_record(struct trainer *t, const struct engine_step *s, double seconds, struct err *e) {
    if (!t->trajectory.file.writing) return 0;
    const struct zo_record r = {.step = s->step,
                                .accum = s->accum,
                                .lr = s->lr,
                                .loss = s->loss,
                                .seconds = seconds,
                                .n = (int)s->directions,
                                .seed = s->seed,
                                .n_extra = (int)s->n_extra,
                                .extra = s->extra,
                                .coef = s->coef};
    return trajectory_append(&t->trajectory, &r, e);
}
