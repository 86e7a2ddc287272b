/* The folder of a run: its files, its lock, its config.json. */
#include "trainer_impl.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int free_folder(char **dir, struct err *e) {
    for (int i = 1; i < 100000; i++) {
        char name[32];
        snprintf(name, sizeof name, "runs/%d", i);
        if (file_exists(name)) continue;
        *dir = strdup(name);
        return *dir ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    }
    return err_set(e, ERR_USAGE, "no free folder in runs/; choose one with --out");
}

/* What a run writes. */
static const char *const run_files[] = {
    "config.json",   "state",        "model.blzt",       "model.next.blzt",
    "log.jsonl",     "summary.json", "tokens.shard",     "base.blzt",
    "trajectory.zo", "adapter.blzt", "adapter.next.blzt"};
enum { N_RUN_FILES = sizeof run_files / sizeof *run_files };

/* A folder that holds any of a run's files is only written with --overwrite, and never when one of
 * them is what this run is to read. */
static int check_folder(const struct trainer *t, struct err *e) {
    const struct train_opts *o = t->opts;
    const char *const inputs[] = {o->model, o->init, o->data, o->tokenizer, o->task, o->task_eval};
    int rc = 0;
    for (int i = 0; i < N_RUN_FILES && !rc; i++) {
        char *path = file_join(t->dir, run_files[i]);
        if (!path) return err_set(e, ERR_NOMEM, "out of memory");
        if (file_exists(path) && !o->overwrite)
            rc =
                err_set(e, ERR_USAGE,
                        "%s already holds a run (%s): continue it with --resume %s, choose another "
                        "--out, or give --overwrite",
                        t->dir, run_files[i], t->dir);
        for (size_t k = 0; k < sizeof inputs / sizeof *inputs && !rc; k++)
            if (inputs[k] && file_same(inputs[k], path))
                rc = err_set(
                    e, ERR_USAGE,
                    "%s is to be read, but would be overwritten by a run in %s: choose another "
                    "--out",
                    inputs[k], t->dir);
        free(path);
    }
    return rc;
}

/* Two processes in one folder would mix their files. The lock ends with the process. */
static int lock_folder(struct trainer *t, struct err *e) {
    t->lock = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->lock < 0) return err_errno(e, ERR_IO, "cannot open the folder %s", t->dir);
    if (flock(t->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return err_set(e, ERR_IO, "%s: another process is training in this folder", t->dir);
    return 0;
}

void trainer_clear_folder(const struct trainer *t) {
    for (int i = 0; i < N_RUN_FILES; i++) {
        char *path = file_join(t->dir, run_files[i]);
        if (path) unlink(path);
        free(path);
    }
}

/* What is left of an old run must not be mistaken for this one's. */
int trainer_open_folder(struct trainer *t, struct err *e) {
    const struct train_opts *o = t->opts;
    const char *dir = t->resumed ? o->resume : o->out;
    int rc;
    if (dir)
        t->dir = strdup(dir);
    else
        TRY(free_folder(&t->dir, e));
    if (!t->dir) return err_set(e, ERR_NOMEM, "out of memory");
    if (!t->resumed) {
        TRY(check_folder(t, e));
        const bool made = !file_exists(t->dir);
        TRY(file_mkdirs(t->dir, e));
        t->made_dir = made;
    }
    TRY(lock_folder(t, e));
    if (!t->resumed) {
        trainer_clear_folder(t);
        t->cleared = true;
    }
out:
    return rc;
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

/* Paths in config.json are absolute, so that it repeats the run from anywhere. A text that is gone
 * when a run is resumed is not needed any more: its tokens are in the folder. */
static int absolute(const struct trainer *t, const char **path, char room[PATH_MAX],
                    struct err *e) {
    if (!*path || (t->resumed && **path == '/')) return 0;
    if (!realpath(*path, room)) return err_errno(e, ERR_INPUT, "%s", *path);
    *path = room;
    return 0;
}

int trainer_write_config(struct trainer *t, struct conf *conf, struct err *e) {
    int rc;
    struct train_opts *o = t->opts, saved = *o;
    static char room[6][PATH_MAX];
    char *json = NULL;
    TRY(absolute(t, &o->model, room[0], e));
    TRY(absolute(t, &o->init, room[1], e));
    TRY(absolute(t, &o->data, room[2], e));
    TRY(absolute(t, &o->task, room[4], e));
    TRY(absolute(t, &o->task_eval, room[5], e));
    if (o->tokenizer && strcmp(o->tokenizer, "byte")) TRY(absolute(t, &o->tokenizer, room[3], e));
    json = conf_to_json(conf);
    TRY(write_text(t->dir, "config.json", json, e));
out:
    free(json);
    *o = saved;
    return rc;
}

int trainer_read_config(struct trainer *t, struct conf *conf, struct err *e) {
    const char *data = t->opts->data;
    char *config = file_join(t->opts->resume, "config.json");
    if (!config) return err_set(e, ERR_NOMEM, "out of memory");
    int rc = 0;
    if (t->opts->out || t->opts->overwrite)
        rc = err_set(
            e, ERR_USAGE,
            "--resume goes on in its own folder: --out and --overwrite do not belong to it");
    else if (!file_exists(config))
        rc = err_set(e, ERR_INPUT, "%s: no config.json: not the folder of a run", t->opts->resume);
    else
        rc = conf_read_defaults(conf, config, e);
    t->reuse = !data; /* tokens made from other data are no use */
    free(config);
    return rc;
}
