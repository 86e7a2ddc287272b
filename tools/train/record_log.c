/* log.jsonl of a run, line by line. It is read and not mapped: a run that goes on cuts it. */
#include "record_log.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 1 << 20, /* a longer line is none of a run's */
    TAIL = 64 << 10,          /* read of a long log if RECORD_BRIEF */
    EVENTS_MAX = 1 << 16,     /* a run has a few */
};

struct reader {
    struct record *r;
    FILE *f;
    char *line;
    size_t n;         /* of line, without the line break */
    bool whole;       /* it ended with a line break */
    bool too_long;
    size_t at;             /* number of the line, from 1 */
    size_t bad, first_bad; /* lines that are none of a run's; number of the first */
    bool cut;              /* the last of them ends the file without a line break */
    size_t too_many;       /* events beyond EVENTS_MAX */
    size_t cap_steps, cap_vals, cap_events;
    bool no_memory;
};

/* ---- lines ----------------------------------------------------------------------------------- */

static bool next_line(struct reader *d) {
    int c;
    d->n = 0;
    d->whole = d->too_long = false;
    while ((c = getc_unlocked(d->f)) != EOF && c != '\n') {
        if (d->n < LINE_MAX_BYTES)
            d->line[d->n++] = (char)c;
        else
            d->too_long = true;
    }
    d->whole = c == '\n';
    d->at += d->whole || d->n;
    return d->whole || d->n;
}

/* Room for one more of them. */
static bool grow(struct reader *d, void *list, size_t n, size_t *cap, size_t size) {
    void **at = list;
    if (n < *cap) return true;
    const size_t more = *cap ? 2 * *cap : 64;
    void *p = realloc(*at, more * size);
    if (!p) {
        d->no_memory = true;
        return false;
    }
    *at = p;
    *cap = more;
    return true;
}

/* What was written of updates from `step` on is told anew, or was given up. */
static void forget_steps(struct record *r, int64_t step) {
    while (r->n_steps && r->steps[r->n_steps - 1].step >= step) {
        r->n_steps--;
        r->given_up++;
    }
}

static void forget_vals(struct record *r, int64_t step) {
    while (r->n_vals && r->vals[r->n_vals - 1].step >= step) {
        r->n_vals--;
        r->given_up++;
    }
}

static bool take_step(struct reader *d, const json_t *o, int64_t step) {
    struct record *r = d->r;
    if (step < 1) return false;
    forget_steps(r, step);
    forget_vals(r, step + 1);
    if (!grow(d, &r->steps, r->n_steps, &d->cap_steps, sizeof *r->steps)) return true;
    r->steps[r->n_steps++] = (struct record_step){
        .step = step,
        .loss = record_number(o, "loss"),
        .lr = record_number(o, "lr"),
        .grad_norm = record_number(o, "grad_norm"),
        .tokens = record_number(o, "tokens"),
        .seconds = record_number(o, "seconds"),
        .tokens_per_second = record_number(o, "tokens_per_second"),
    };
    return true;
}

static bool take_val(struct reader *d, const json_t *o, int64_t step) {
    struct record *r = d->r;
    if (step < 0) return false;
    forget_steps(r, step + 1);
    forget_vals(r, step);
    if (!grow(d, &r->vals, r->n_vals, &d->cap_vals, sizeof *r->vals)) return true;
    r->vals[r->n_vals++] = (struct record_val){
        .step = step,
        .seconds = record_number(o, "seconds"),
        .tokens = record_number(o, "tokens"),
        .loss = record_number(o, "val_loss"),
        .stderr_ = record_number(o, "val_loss_stderr"),
        .change = record_number(o, "val_change"),
        .change_stderr = record_number(o, "val_change_stderr"),
        .accuracy = record_number(o, "val_accuracy"),
        .f1 = record_number(o, "val_f1"),
    };
    return true;
}

/* Takes over o. */
static void take_event(struct reader *d, const char *name, json_t *o, int64_t step) {
    struct record *r = d->r;
    if (!strcmp(name, "start")) step = 0; /* the run begins, whatever was there before */
    if (!strcmp(name, "start") || !strcmp(name, "rollback")) {
        r->status = RECORD_STOPPED;
        forget_steps(r, step + 1);
        forget_vals(r, step + 1);
    }
    if (!strcmp(name, "diverged")) r->status = RECORD_DIVERGED;
    if (r->n_events == EVENTS_MAX) {
        d->too_many++;
        json_decref(o);
        return;
    }
    if (!grow(d, &r->events, r->n_events, &d->cap_events, sizeof *r->events)) {
        json_decref(o);
        return;
    }
    r->events[r->n_events++] = (struct record_event){.name = name, .step = step, .json = o};
}

/* False: it is no line of a run's. */
static bool take_line(struct reader *d) {
    json_error_t je;
    if (d->too_long) return false;
    json_t *o = json_loadb(d->line, d->n, 0, &je);
    const char *name = json_string_value(json_object_get(o, "event"));
    const json_t *at = json_object_get(o, "step");
    const int64_t step = json_is_integer(at) && json_integer_value(at) >= 0
                             ? (int64_t)json_integer_value(at)
                             : -1;
    bool good = false;
    if (name && strcmp(name, "step") != 0 && strcmp(name, "val") != 0) {
        take_event(d, name, o, step);
        return true;
    }
    if (name) good = *name == 's' ? take_step(d, o, step) : take_val(d, o, step);
    if (good) d->r->status = RECORD_STOPPED; /* it went on, if it had diverged */
    json_decref(o);
    return good;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* A killed process leaves half a line at the end, and one that is writing has not ended it yet. */
static void read_lines(struct reader *d) {
    while (!d->no_memory && next_line(d)) {
        if (take_line(d)) continue;
        if (!d->bad++) d->first_bad = d->at;
        d->cut = !d->whole;
    }
}

/* Goes over a long log to its end: lines of updates, nearly all of it, are not looked at. */
static void skip_steps(struct reader *d, uint64_t size) {
    static const char step[] = "{\"event\":\"step\",";
    const size_t n = sizeof step - 1;
    uint64_t at = 0;
    while (at + TAIL < size && !d->no_memory && next_line(d)) {
        at = (uint64_t)ftell(d->f);
        if (d->n > n && !memcmp(d->line, step, n)) continue;
        if (!take_line(d) && !d->bad++) d->first_bad = d->at;
    }
}

static void say_bad(const struct reader *d, const char *path) {
    const size_t others = d->bad - (d->cut && d->bad > 0);
    if (others)
        record_note(d->r, "%s: %zu line%s%s no JSON of a run and left out, the first is line %zu",
                    path, others, others == 1 ? "" : "s", others == 1 ? " is" : " are",
                    d->first_bad);
    if (d->cut)
        record_note(d->r,
                    "%s: its last line is cut, as a process leaves it that is killed, and left out",
                    path);
    if (d->too_many)
        record_note(d->r, "%s: %zu of its events are left out, which are too many", path,
                    d->too_many);
}

static int open_log(struct reader *d, const char *path, uint64_t *size) {
    struct stat st;
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe has no writer */
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *size = (uint64_t)st.st_size;
        d->f = fdopen(fd, "r");
    }
    if (!d->f && fd >= 0) close(fd);
    return d->f != NULL;
}

/* Tokens of validations whose lines do not say them. */
static void find_tokens(struct record *r) {
    const double all = 1e6 * record_number(r->summary, "total_tokens_M");
    const double end = record_number(r->summary, "num_steps");
    size_t k = 0; /* the first line of updates not before the validation */
    for (size_t i = 0; i < r->n_vals; i++) {
        struct record_val *v = r->vals + i;
        const double at = (double)v->step;
        while (k < r->n_steps && r->steps[k].step < v->step) k++;
        if (!isnan(v->tokens)) continue;
        const double s0 = k ? (double)r->steps[k - 1].step : 0,
                     t0 = k ? r->steps[k - 1].tokens : 0;
        double s1 = end, t1 = round(all);
        if (k < r->n_steps) {
            s1 = (double)r->steps[k].step;
            t1 = r->steps[k].tokens;
        }
        if (v->step == 0)
            v->tokens = 0;
        else if (s1 == at)
            v->tokens = t1;
        else if (s1 > at)
            v->tokens = t0 + (t1 - t0) * (at - s0) / (s1 - s0);
    }
}

int record_log_read(struct record *r, const char *path, bool brief, struct err *e) {
    int rc = 0;
    uint64_t size = 0;
    struct reader d = {.r = r};
    d.line = malloc(LINE_MAX_BYTES);
    if (!d.line) {
        d.no_memory = true;
        goto out;
    }
    r->status = RECORD_STOPPED;
    if (!open_log(&d, path, &size)) {
        record_note(r, "%s cannot be read", path);
        goto out;
    }
    r->whole = !brief || size <= 2 * TAIL;
    if (!r->whole) skip_steps(&d, size);
    read_lines(&d);
    say_bad(&d, path);
    find_tokens(r);
out:
    if (d.f) fclose(d.f);
    if (d.no_memory) rc = err_set(e, ERR_NOMEM, "out of memory for %s", path);
    free(d.line);
    return rc;
}
