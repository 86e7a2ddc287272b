/* The folder of a run: its files, its lock, its config.json. */
#include "trainer_impl.h"

#include "file.h"
#include "run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first free runs/N, made: of two that look at the same instant one goes on. */
static int make_free_folder(struct trainer *t, struct err *e) {
    int rc = file_mkdirs("runs", e);
    if (rc) return rc;
    for (int i = 1; i < 100000; i++) {
        char name[32];
        snprintf(name, sizeof name, "runs/%d", i);
        if (mkdir(name, 0777)) {
            if (errno == EEXIST) continue;
            return err_errno(e, ERR_IO, "cannot make the folder %s", name);
        }
        t->made_dir = true;
        t->dir = strdup(name);
        return t->dir ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    }
    return err_set(e, ERR_USAGE, "no free folder in runs/; choose one with --out");
}

static int not_over_input(const struct trainer *t, const char *input, const char *path,
                          struct err *e) {
    if (!input || !file_same(input, path)) return 0;
    return err_set(e, ERR_USAGE,
                   "%s is to be read, but would be overwritten by a run in %s: choose another "
                   "--out",
                   input, t->dir);
}

/* A folder that holds any of a run's files is only written with --overwrite, and never when one of
 * them is what this run is to read. */
static int check_folder(const struct trainer *t, struct err *e) {
    const struct train_opts *o = t->opts;
    const char *const inputs[] = {o->model, o->init,      o->adapter, o->tokenizer,
                                  o->task,  o->task_eval, o->clock};
    int rc = 0;
    for (size_t i = 0; i < n_run_folder_files && !rc; i++) {
        char *path = file_join(t->dir, run_folder_files[i]);
        if (!path) return err_set(e, ERR_NOMEM, "out of memory");
        if (file_exists(path) && !o->overwrite)
            rc =
                err_set(e, ERR_USAGE,
                        "%s already holds a run (%s): continue it with --resume %s, choose another "
                        "--out, or give --overwrite",
                        t->dir, run_folder_files[i], t->dir);
        for (size_t k = 0; k < sizeof inputs / sizeof *inputs && !rc; k++) {
            rc = not_over_input(t, inputs[k], path, e);
            if (!rc && file_exists(path)) rc = not_over_input(t, inputs[k], t->dir, e);
        }
        for (size_t k = 0; k < o->data.n && !rc; k++)
            rc = not_over_input(t, o->data.item[k], path, e);
        for (size_t k = 0; k < o->val_data.n && !rc; k++)
            rc = not_over_input(t, o->val_data.item[k], path, e);
        free(path);
    }
    return rc;
}

/* Two processes in one folder would mix their files. The lock ends with the process. */
static int lock_folder(struct trainer *t, struct err *e) {
    t->lock = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->lock < 0) return err_errno(e, ERR_IO, "cannot open the folder %s", t->dir);
    if (file_lock(t->lock) == EWOULDBLOCK)
        return err_set(e, ERR_IO, "%s: another process is training in this folder", t->dir);
    return 0;
}

static void clear_folder(const struct trainer *t) {
    for (size_t i = 0; i < n_run_folder_files; i++) {
        char *path = file_join(t->dir, run_folder_files[i]);
        if (path) unlink(path);
        free(path);
    }
    trainer_clear_kept(t);
}

void trainer_forget(const struct trainer *t) {
    if (t->cleared && t->p->step == 0 && t->saved_step < 0) clear_folder(t);
    if (t->made_dir) rmdir(t->dir); /* unless there is something in it */
}

static int name_folder(struct trainer *t, const char *dir, struct err *e) {
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') n--;
    t->dir = strndup(dir, n);
    return t->dir ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

static int open_old(struct trainer *t, struct err *e) {
    int rc = name_folder(t, t->opts->resume, e);
    if (rc) return rc;
    char *config = file_join(t->dir, "config.json");
    if (!config) return err_set(e, ERR_NOMEM, "out of memory");
    if (!file_exists(config))
        rc = err_set(e, ERR_INPUT, "%s: no config.json: not the folder of a run", t->opts->resume);
    else
        rc = lock_folder(t, e);
    free(config);
    return rc;
}

/* Locked before it is looked at: what is there stays as it is until the lock ends. What is left of
 * an old run must not be mistaken for this one's. */
static int open_new(struct trainer *t, struct err *e) {
    int rc;
    if (t->opts->out) {
        TRY(name_folder(t, t->opts->out, e));
        const bool made = !file_exists(t->dir);
        TRY(file_mkdirs(t->dir, e));
        t->made_dir = made;
    } else {
        TRY(make_free_folder(t, e));
    }
    TRY(lock_folder(t, e));
    TRY(check_folder(t, e));
    clear_folder(t);
    t->cleared = true;
out:
    return rc;
}

int trainer_open_folder(struct trainer *t, struct err *e) {
    return t->resumed ? open_old(t, e) : open_new(t, e);
}

static int write_text(const char *dir, const char *name, const char *text, struct err *e) {
    struct file_out f = {0};
    char *path = file_join(dir, name);
    if (!path || !text) {
        free(path);
        return err_set(e, ERR_NOMEM, "out of memory for %s", name);
    }
    int rc = file_out_open(&f, path, e);
    free(path);
    if (rc) return rc;
    file_out_write(&f, text, strlen(text));
    return file_out_commit(&f, e);
}

char *trainer_record_text(const struct trainer *t, bool labels) {
    struct provenance p = t->provenance;
    p.machine = &t->machine;
    p.peak = t->peak;
    return provenance_json(&p, labels ? t->opts->name : NULL, labels ? t->opts->note : NULL);
}

int trainer_write_config(struct trainer *t, struct conf *conf, struct err *e) {
    char *record = trainer_record_text(t, false);
    char *json = record ? conf_to_json(conf, t->dir, record) : NULL;
    const int rc = write_text(t->dir, "config.json", json, e);
    free(json);
    free(record);
    return rc;
}

static bool is_new(const struct conf *now, const struct conf *then, const char *name) {
    return conf_given(now, name) && !conf_from_file(now, name) &&
           !conf_same(now, then, conf_row(train_rows, name));
}

int trainer_relabel(struct trainer *t, const struct conf *conf, struct err *e) {
    int rc;
    struct conf then = {0};
    struct train_opts o;
    char *path = file_join(t->dir, "config.json"), *json = NULL;
    char *record = provenance_labelled(t->provenance.earlier, NULL, NULL);
    if (!path || !record) {
        rc = err_set(e, ERR_NOMEM, "out of memory for config.json");
        goto out;
    }
    TRY(conf_parse(&then, train_rows, &o, 0, NULL, e));
    TRY(conf_read_file(&then, path, e));
    train_opts_old(&o, &then);
    if (!is_new(conf, &then, "name") && !is_new(conf, &then, "note")) goto out;
    o.name = t->opts->name; /* what is not given is the recorded one */
    o.note = t->opts->note;
    json = conf_to_json(&then, t->dir, record);
    TRY(write_text(t->dir, "config.json", json, e));
    free(t->ended.run);
    t->ended.run = provenance_labelled(t->provenance.earlier, o.name, o.note);
    TRY(trainer_write_summary(t, &t->ended, e));
    log_note(&t->line, "%s: its name and note are on record", t->dir);
out:
    conf_release(&then);
    free(path);
    free(json);
    free(record);
    return rc;
}

bool trainer_has_file(const struct trainer *t, const char *name) {
    char *path = file_join(t->dir, name);
    const bool yes = path && file_exists(path);
    free(path);
    return yes;
}
