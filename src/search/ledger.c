#include "ledger.h"

#include "file.h"
#include "json_text.h"
#include "num.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* Files ---------------------------------------------------------------------------------------- */

int ledger_read(struct ledger *l, const char *path, const struct space *space, struct err *e) {
    struct file_map m;
    *l = (struct ledger){.fd = -1};
    int rc = file_map_open(&m, path, e);
    if (rc) return rc;
    rc = ledger_read_text(l, (const char *)m.data, m.size, path, space, e);
    file_map_close(&m);
    return rc;
}

/* The name of a new file is on the disk, too. */
static int sync_folder(const char *path, struct err *e) {
    char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) *slash = 0;
    const char *name = slash ? (slash == folder ? "/" : folder) : ".";
    const int fd = folder ? open(name, O_RDONLY | O_DIRECTORY) : -1;
    const int rc = fd >= 0 && fsync(fd) == 0 ? 0
                                              : err_errno(e, ERR_IO, "%s: cannot sync its folder",
                                                          path);
    if (fd >= 0) close(fd);
    free(folder);
    return rc;
}

/* Who looks whether a search is going on holds the lock too, for an instant. */
static int lock_file(int fd, const char *path, struct err *e) {
    const struct timespec instant = {.tv_nsec = 10000000};
    int failed = flock(fd, LOCK_EX | LOCK_NB);
    for (int i = 0; failed && errno == EWOULDBLOCK && i < 10; i++) {
        nanosleep(&instant, NULL);
        failed = flock(fd, LOCK_EX | LOCK_NB);
    }
    if (!failed) return 0;
    if (errno == EWOULDBLOCK)
        return err_set(e, ERR_USAGE, "%s: another search is going on with it", path);
    return err_errno(e, ERR_IO, "%s: cannot be locked", path);
}

int ledger_open(struct ledger *l, const char *path, const struct space *space, struct err *e) {
    int rc;
    *l = (struct ledger){.fd = -1};
    const bool there = file_exists(path);
    if (there && !file_is_regular(path))
        return err_set(e, ERR_INPUT, "%s is no regular file, expected a ledger", path);
    const int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return err_errno(e, ERR_IO, "%s: cannot be opened", path);
    TRY(lock_file(fd, path, e));
    TRY(ledger_read(l, path, space, e));
    l->fd = fd;
    if (l->cut && (ftruncate(fd, (off_t)l->size) || fdatasync(fd)))
        rc = err_errno(e, ERR_IO, "%s: %zu bytes behind the last line cannot be cut off", path,
                       l->cut);
    if (!rc && !there) rc = sync_folder(path, e);
out:
    if (rc) {
        l->fd = -1;
        ledger_close(l);
        close(fd);
    }
    return rc;
}

void ledger_close(struct ledger *l) {
    for (size_t i = 0; i < l->n_jobs; i++) {
        free(l->job[i].u);
        json_decref(l->job[i].json);
    }
    for (size_t i = 0; i < l->n_results; i++) json_decref(l->result[i].json);
    for (size_t i = 0; i < l->n_decisions; i++) json_decref(l->decision[i].json);
    free(l->job);
    free(l->result);
    free(l->decision);
    free(l->trial);
    json_decref(l->head);
    json_decref(l->other);
    if (l->fd > 0) close(l->fd); /* and gives the lock back */
    free(l->path);
    *l = (struct ledger){.fd = -1};
}

/* Writing -------------------------------------------------------------------------------------- */

static int write_line(struct ledger *l, const char *text, size_t n, struct err *e) {
    const ssize_t done = write(l->fd, text, n);
    if (done == (ssize_t)n && fdatasync(l->fd) == 0) return 0;
    if (done >= 0 && done < (ssize_t)n) errno = ENOSPC;
    err_errno(e, ERR_IO, "%s: cannot be written", l->path);
    if (done > 0 && ftruncate(l->fd, (off_t)l->size)) return e->code; /* cut when it is opened */
    return e->code;
}

int ledger_append(struct ledger *l, const json_t *event, struct err *e) {
    char *text = json_text(event);
    json_t *copy = json_deep_copy(event);
    const size_t n = text ? strlen(text) : 0;
    int rc;
    if (!text || !copy) {
        rc = err_set(e, ERR_NOMEM, "no memory for a ledger's line");
        goto out;
    }
    TRY(ledger_take(l, copy, l->n_lines + 1, e)); /* first: what is refused is not written */
    copy = NULL;
    text[n] = '\n'; /* in place of the 0 */
    TRY(write_line(l, text, n + 1, e));
    l->n_lines++;
    l->size += n + 1;
out:
    json_decref(copy);
    free(text);
    return rc;
}

json_t *ledger_proposal(const struct ledger *l, int64_t trial, int rung, double share,
                        json_t *config, const char *hash, const char *from) {
    return json_pack("{s:s, s:I, s:I, s:i, s:f, s:O, s:s, s:s}", "event", "proposal", "job",
                     (json_int_t)l->n_jobs, "trial", (json_int_t)trial, "rung", rung, "share",
                     share, "config", config, "hash", hash, "from", from);
}

json_t *ledger_result_event(int64_t trial, int64_t seed, int rung, enum trial_status status,
                            double value) {
    return json_pack("{s:s, s:I, s:I, s:i, s:s, s:o}", "event", "result", "trial",
                     (json_int_t)trial, "seed", (json_int_t)seed, "rung", rung, "status",
                     trial_status_name(status), "value", num_json(value));
}

json_t *ledger_decision_event(int64_t trial, bool keep, int64_t against) {
    json_t *j = json_pack("{s:s, s:I, s:s}", "event", "decision", "trial", (json_int_t)trial,
                          "decision", keep ? "keep" : "discard");
    if (j && against >= 0 && json_object_set_new(j, "against", json_integer(against))) {
        json_decref(j);
        return NULL;
    }
    return j;
}

/* Reading -------------------------------------------------------------------------------------- */

const struct ledger_result *ledger_find(const struct ledger *l, int64_t trial, int64_t seed,
                                        int rung) {
    if (trial < 0 || trial >= (int64_t)l->n_trials) return NULL;
    for (size_t i = l->trial[trial].result; i; i = l->result[i - 1].before) {
        const struct ledger_result *r = &l->result[i - 1];
        if (r->seed == seed && r->rung == rung) return r;
    }
    return NULL;
}

/* The result of a trial's first seed at a rung: the lowest, whichever ended first. */
static const struct ledger_result *first_result(const struct ledger *l, int64_t trial, int rung) {
    const struct ledger_result *first = NULL;
    for (size_t i = l->trial[trial].result; i; i = l->result[i - 1].before) {
        const struct ledger_result *r = &l->result[i - 1];
        if (r->rung == rung && (!first || r->seed < first->seed)) first = r;
    }
    return first;
}

struct trial *ledger_history(const struct ledger *l, size_t visible, bool higher) {
    struct trial *t = calloc(l->n_jobs + 1, sizeof *t);
    for (size_t i = 0; t && i < l->n_jobs; i++) {
        const struct ledger_job *job = &l->job[i];
        const struct ledger_result *r = i < visible ? first_result(l, job->trial, job->rung) : NULL;
        t[i] = (struct trial){.trial = job->trial, .rung = job->rung, .share = job->share,
                              .u = job->u, .config = json_object_get(job->json, "config"),
                              .status = TRIAL_pending, .value = NAN};
        if (!r) continue;
        t[i].status = r->status;
        t[i].value = higher ? -r->value : r->value;
        if (l->trial[job->trial].job <= visible) t[i].decision = l->trial[job->trial].decision;
    }
    return t;
}
