#include "record.h"

#include "file.h"
#include "json_text.h"
#include "log.h"
#include "run_folder.h"
#include "record_log.h"
#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { JSON_MAX = 16 << 20 }; /* bytes of a config.json or summary.json: a long history is in one */

const char *record_status_name(enum record_status s) {
    static const char *const names[] = {"never began", "running", "stopped", "diverged",
                                        "finished"};
    return names[s];
}

void record_note(struct record *r, const char *fmt, ...) {
    char *text = NULL, *all = NULL;
    va_list ap;
    va_start(ap, fmt);
    const int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) return; /* no memory: the sentence is lost */
    if (asprintf(&all, "%s%s\n", r->notes ? r->notes : "", text) >= 0) {
        free(r->notes);
        r->notes = all;
    }
    free(text);
}

double record_number(const json_t *object, const char *key) {
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

/* ---- the files ------------------------------------------------------------------------------- */

/* *object: NULL if there is none, or none that can be read, which notes then say. */
static int read_object(struct record *r, const char *name, json_t **object, struct err *e) {
    int rc = 0;
    size_t n;
    char *text = NULL;
    json_error_t je;
    struct err damage;
    char *path = file_join(r->dir, name);
    if (!path) return err_set(e, ERR_NOMEM, "out of memory for %s", r->dir);
    if (!file_exists(path)) goto out;
    if (!file_is_regular(path)) {
        record_note(r, "%s is no file", path);
    } else if (file_read_text(path, JSON_MAX, &text, &n, &damage)) {
        record_note(r, "%s", damage.msg);
    } else {
        *object = json_loadb(text, n, 0, &je);
        if (!*object) {
            record_note(r, "%s, line %d: not valid JSON: %s", path, je.line, json_text_why(&je));
        } else if (!json_is_object(*object)) {
            record_note(r, "%s, line 1: not a JSON object", path);
            json_decref(*object);
            *object = NULL;
        }
    }
out:
    free(text);
    free(path);
    return rc;
}

static int read_options(struct record *r, struct err *e) {
    const int rc = read_object(r, "config.json", &r->options, e);
    if (rc || !r->options) return rc;
    json_t *record = json_object_get(r->options, "run");
    if (json_is_object(record)) r->record = json_incref(record);
    json_object_del(r->options, "run");
    r->name = json_string_value(json_object_get(r->options, "name"));
    r->note = json_string_value(json_object_get(r->options, "note"));
    r->lora = record_number(r->options, "lora") > 0;
    return 0;
}

/* DIR/name if it is there, else NULL. */
static char *file_there(const char *dir, const char *name) {
    char *path = file_join(dir, name);
    if (path && file_exists(path)) return path;
    free(path);
    return NULL;
}

static void find_weights(struct record *r) {
    static const char *const names[2][2] = {{"model.blzt", "best.blzt"},
                                            {"adapter.blzt", "adapter.best.blzt"}};
    for (int i = 0; i < 2; i++) {
        if (!r->model && (r->model = file_there(r->dir, names[i][0]))) r->lora = i;
        if (!r->best) r->best = file_there(r->dir, names[i][1]);
    }
}

static void read_state(struct record *r) {
    struct err damage;
    struct progress p = progress_zero();
    char *path = file_there(r->dir, "state");
    r->saved_step = -1;
    if (!path) return;
    if (!file_is_regular(path))
        record_note(r, "%s is no file", path);
    else if (state_read_progress(path, &p, &damage))
        record_note(r, "%s", damage.msg);
    else
        r->saved_step = p.step;
    free(path);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

/* Files that were counted. Those with one name are in no list. */
struct counted {
    struct {
        dev_t dev;
        ino_t ino;
    } file[256];
    size_t n;
};

static void count(struct record *r, struct counted *c, const char *path) {
    struct stat st;
    if (!path || stat(path, &st) != 0 || !S_ISREG(st.st_mode)) return;
    if (st.st_mtime > r->changed) r->changed = st.st_mtime;
    if (st.st_nlink > 1) {
        for (size_t i = 0; i < c->n; i++)
            if (c->file[i].dev == st.st_dev && c->file[i].ino == st.st_ino) return;
        if (c->n < sizeof c->file / sizeof *c->file) {
            c->file[c->n].dev = st.st_dev;
            c->file[c->n++].ino = st.st_ino;
        }
    }
    r->bytes += (uint64_t)st.st_size;
}

static void count_kept(struct record *r, struct counted *c) {
    static const char *const files[] = {"model.blzt", "adapter.blzt", "state"};
    char *dir = file_join(r->dir, RUN_FOLDER_KEPT);
    DIR *d = dir ? opendir(dir) : NULL;
    for (const struct dirent *x; d && (x = readdir(d));) {
        if (x->d_name[0] == '.') continue;
        char *step = file_join(dir, x->d_name);
        r->n_kept += step && file_is_dir(step);
        for (size_t i = 0; step && i < sizeof files / sizeof *files; i++) {
            char *path = file_join(step, files[i]);
            count(r, c, path);
            free(path);
        }
        free(step);
    }
    if (d) closedir(d);
    free(dir);
}

static void count_files(struct record *r) {
    struct counted c = {.n = 0};
    for (size_t i = 0; i < n_run_folder_files; i++) {
        char *path = file_join(r->dir, run_folder_files[i]);
        count(r, &c, path);
        free(path);
    }
    count_kept(r, &c);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* The lock of a folder is not seen from other machines everywhere, that of a log is. */
bool record_is_locked(const char *dir) {
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool locked = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    close(fd);
    if (locked) return true;
    char *log = file_join(dir, "log.jsonl");
    const bool busy = log && log_lines_busy(log);
    free(log);
    return busy;
}

static int name_run(struct record *r, const char *dir, struct err *e) {
    char room[PATH_MAX];
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') n--;
    r->dir = strndup(dir, n);
    const char *real = r->dir && realpath(r->dir, room) ? room : dir;
    const char *slash = strrchr(real, '/');
    r->label = strdup(slash && slash[1] ? slash + 1 : real);
    return r->dir && r->label ? 0 : err_set(e, ERR_NOMEM, "out of memory for %s", dir);
}

static int label_run(struct record *r, struct err *e) {
    if (!r->name || !*r->name) return 0;
    free(r->label);
    r->label = strdup(r->name);
    return r->label ? 0 : err_set(e, ERR_NOMEM, "out of memory for %s", r->dir);
}

static void find_step(struct record *r) {
    const double end = record_number(r->summary, "num_steps");
    if (r->n_steps) r->step = r->steps[r->n_steps - 1].step;
    if (r->n_vals && r->vals[r->n_vals - 1].step > r->step) r->step = r->vals[r->n_vals - 1].step;
    if (r->saved_step > r->step) r->step = r->saved_step;
    if (end > (double)r->step && end < 0x1p62) r->step = (int64_t)end;
}

static enum record_status find_status(const struct record *r) {
    const double end = record_number(r->summary, "num_steps");
    if (record_is_locked(r->dir)) return RECORD_RUNNING;
    if (r->status == RECORD_DIVERGED) return RECORD_DIVERGED; /* so the log ends */
    const char *status = json_string_value(json_object_get(r->summary, "status"));
    const bool on_its_way = status && !strcmp(status, "stopped"); /* --stop-at */
    if (end >= (double)r->step && !on_its_way) return RECORD_FINISHED;
    return r->step > 0 ? RECORD_STOPPED : RECORD_NEVER_BEGAN;
}

static int read_log(struct record *r, bool brief, struct err *e) {
    char *path = file_join(r->dir, "log.jsonl");
    const int rc = path ? record_log_read(r, path, brief, e)
                        : err_set(e, ERR_NOMEM, "out of memory for %s", r->dir);
    free(path);
    return rc;
}

int record_read_log(struct record *r, const char *path, struct err *e) {
    *r = (struct record){.saved_step = -1};
    const int rc = record_log_read(r, path, false, e);
    find_step(r);
    if (rc) record_release(r);
    return rc;
}

int record_read(struct record *r, const char *dir, int flags, struct err *e) {
    int rc;
    *r = (struct record){0};
    if (!run_folder_is(dir)) {
        rc = err_set(e, ERR_INPUT, file_is_dir(dir)
                         ? "%s: not the folder of a run: no log.jsonl with a config.json or state"
                         : file_exists(dir) ? "%s is a file, not the folder of a run"
                                            : "%s: there is no such folder",
                     dir);
        goto out;
    }
    TRY(name_run(r, dir, e));
    TRY(read_options(r, e));
    TRY(read_object(r, "summary.json", &r->summary, e));
    TRY(label_run(r, e));
    TRY(read_log(r, flags & RECORD_BRIEF, e));
    read_state(r);
    find_weights(r);
    count_files(r);
    find_step(r);
    r->status = find_status(r);
out:
    if (rc) record_release(r);
    return rc;
}

void record_release(struct record *r) {
    for (size_t i = 0; i < r->n_events; i++) json_decref(r->events[i].json);
    free(r->events);
    free(r->steps);
    free(r->vals);
    json_decref(r->options);
    json_decref(r->record);
    json_decref(r->summary);
    free(r->dir);
    free(r->label);
    free(r->model);
    free(r->best);
    free(r->notes);
    *r = (struct record){0};
}

const struct record_event *record_last(const struct record *r, const char *name) {
    for (size_t i = r->n_events; i-- > 0;)
        if (!strcmp(r->events[i].name, name)) return r->events + i;
    return NULL;
}

const struct record_val *record_best(const struct record *r) {
    const struct record_val *best = NULL;
    for (size_t i = 0; i < r->n_vals; i++)
        if (isfinite(r->vals[i].loss) && (!best || r->vals[i].loss < best->loss))
            best = r->vals + i;
    return best;
}
