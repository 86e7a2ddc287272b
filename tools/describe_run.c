/* What a run leaves in its folder, and the folder, as facts. */
#include "clock_record.h"
#include "describe.h"
#include "facts.h"
#include "json_text.h"
#include "run_folder.h"
#include "record.h"
#include "screen.h"
#include "state.h"
#include "train_opts.h"
#include "trajectory.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { JSON_MAX = 16 << 20 };

/* ---- logs ------------------------------------------------------------------------------------ */

static json_t *describe_val(const struct record_val *v) {
    json_t *o = json_object();
    facts_put(o, "step", json_integer((json_int_t)v->step));
    facts_real(o, "val_loss", v->loss);
    facts_real(o, "val_loss_stderr", v->stderr_);
    facts_real(o, "val_accuracy", v->accuracy);
    facts_real(o, "seconds", v->seconds);
    facts_real(o, "tokens", v->tokens);
    return o;
}

/* What an end says of the whole run counts before the last line, which may be of an earlier step;
 * then the step of the line is said. */
static void describe_lines(json_t *o, const struct record *r) {
    if (r->n_steps) {
        const struct record_step *last = r->steps + r->n_steps - 1;
        const json_t *end = r->status == RECORD_FINISHED ? r->summary : NULL;
        const double tokens = round(1e6 * record_number(end, "total_tokens_M")),
                     seconds = record_number(end, "training_seconds");
        const bool told = isfinite(tokens) && isfinite(seconds), earlier = last->step != r->step;
        if (earlier && !told) facts_put(o, "last_line_step", json_integer(last->step));
        facts_real(o, "tokens", told ? tokens : last->tokens);
        facts_real(o, "training_seconds", told ? seconds : last->seconds);
        facts_real(o, "first_loss", r->steps[0].loss);
        if (earlier && told) facts_put(o, "last_line_step", json_integer(last->step));
        facts_real(o, "last_loss", last->loss);
        facts_real(o, "last_lr", last->lr);
    }
    if (!r->n_vals) return;
    const struct record_val *last = r->vals + r->n_vals - 1, *best = record_best(r);
    if (last > r->vals) facts_put(o, "first_validation", describe_val(r->vals));
    if (best && best != last) facts_put(o, "best_validation", describe_val(best));
    facts_put(o, "last_validation", describe_val(last));
}

/* Where training diverged, and why. */
static void describe_end(json_t *o, const struct record *r) {
    const struct record_event *d = r->status == RECORD_DIVERGED ? record_last(r, "diverged") : NULL;
    if (!d) return;
    facts_put(o, "diverged_at_step", json_incref(json_object_get(d->json, "from")));
    facts_put(o, "why", json_incref(json_object_get(d->json, "why")));
}

static void describe_lengths(json_t *o, const struct record *r) {
    json_t *others = json_object();
    facts_whole(o, "step_lines", r->n_steps);
    facts_whole(o, "validations", r->n_vals);
    for (size_t i = 0; i < r->n_events; i++) {
        const char *name = r->events[i].name;
        facts_put(others, name,
                  json_integer(1 + json_integer_value(json_object_get(others, name))));
    }
    facts_put(o, "other_lines", others);
    if (r->given_up) facts_whole(o, "given_up_lines", r->given_up);
}

static void describe_notes(json_t *o, const struct record *r) {
    json_t *list = json_array();
    for (const char *at = r->notes, *end; at && *at; at = end + 1) {
        end = strchr(at, '\n');
        json_array_append_new(list, json_stringn(at, (size_t)(end - at)));
    }
    if (json_array_size(list)) facts_put(o, "damaged", json_incref(list));
    json_decref(list);
}

int describe_log(json_t *o, const char *path, struct err *e) {
    struct record r;
    const int rc = record_read_log(&r, path, e);
    if (rc) return rc;
    facts_text(o, "kind", "log of a run");
    facts_put(o, "step", json_integer((json_int_t)r.step));
    describe_end(o, &r);
    describe_lengths(o, &r);
    describe_lines(o, &r);
    describe_notes(o, &r);
    record_release(&r);
    return 0;
}

/* ---- files in JSON --------------------------------------------------------------------------- */

int describe_record(json_t *o, const char *kind, const char *path, struct err *e) {
    char *text;
    const char *key;
    size_t n, i;
    json_error_t je;
    json_t *v, *x;
    int rc = file_read_text(path, JSON_MAX, &text, &n, e);
    if (rc) return rc;
    json_t *all = json_loadb(text, n, JSON_REJECT_DUPLICATES, &je);
    free(text);
    if (!json_is_object(all)) {
        json_decref(all);
        return err_set(e, ERR_INPUT, "%s: line %d: not valid JSON: %s", path, je.line,
                       json_text_why(&je));
    }
    facts_text(o, "kind", kind);
    if (!strncmp(kind, "options", 7)) {
        facts_put(o, "options", all);
        return 0;
    }
    json_object_foreach(all, key, v) {
        if (!strcmp(key, "kind")) continue; /* none of duet's files has it */
        if (!json_is_array(v) || !json_is_object(json_array_get(v, 0))) {
            facts_put(o, key, json_incref(v));
            continue;
        }
        json_array_foreach(v, i, x) { /* the history of a summary */
            char name[96];
            snprintf(name, sizeof name, "%.60s %zu", key, i + 1);
            facts_put(o, name, json_incref(x));
        }
    }
    json_decref(all);
    return 0;
}

/* ---- binary files ---------------------------------------------------------------------------- */

int describe_state(json_t *o, const char *path, struct err *e) {
    json_t *footer, *s;
    int version;
    size_t i;
    json_int_t floats = 0;
    const int rc = state_footer(path, &footer, &version, e);
    if (rc) return rc;
    json_t *sections = json_object_get(footer, "sections");
    json_array_foreach(sections, i, s) {
        const json_int_t n = json_integer_value(json_object_get(s, "n"));
        if (n > 0 && n < (json_int_t)1 << 40) floats += n;
    }
    facts_text(o, "kind", "state of a run");
    facts_whole(o, "version", (uint64_t)version);
    facts_put(o, "model_hash", json_incref(json_object_get(footer, "model")));
    facts_put(o, "optimizer", json_incref(json_object_get(footer, "optimizer")));
    facts_put(o, "optimizer_updates", json_incref(json_object_get(footer, "t")));
    facts_whole(o, "arrays", json_array_size(sections));
    facts_put(o, "floats", json_integer(floats));
    facts_put(o, "progress", json_incref(json_object_get(footer, "progress")));
    json_decref(footer);
    return 0;
}

/* The updates, from first to last. */
static void describe_updates(json_t *o, struct trajectory *t) {
    struct zo_record z;
    double first = NAN, last = NAN, lr = NAN, most = NAN, seconds = 0;
    int n = 0;
    while (trajectory_next(t, &z)) {
        if (!z.step) first = z.loss;
        last = z.loss;
        lr = z.lr;
        most = fmax(most, z.lr);
        seconds += z.seconds;
        n = z.n;
    }
    facts_whole(o, "updates", (uint64_t)t->records);
    if (n) facts_put(o, "directions", json_integer(n));
    facts_real(o, "first_loss", first);
    facts_real(o, "last_loss", last);
    facts_real(o, "peak_lr", most);
    facts_real(o, "last_lr", lr);
    if (t->records) facts_real(o, "seconds", seconds);
}

int describe_trajectory(json_t *o, const char *path, struct err *e) {
    struct trajectory t;
    json_error_t je;
    const int rc = trajectory_open(&t, path, e);
    if (rc) return rc;
    json_t *options = json_loads(t.head.config, 0, &je);
    facts_text(o, "kind", "trajectory of a zeroth-order run");
    facts_whole(o, "bytes", t.map.size);
    facts_hex(o, "base_hash", t.head.base_hash);
    static const char *const first[] = {"engine", "estimator", "optimizer", "optimizer-matrix",
                                        "lora"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        facts_put(o, first[i], json_incref(json_object_get(options, first[i])));
    describe_updates(o, &t);
    if (t.torn) facts_whole(o, "torn_bytes_at_the_end", t.torn);
    facts_put(o, "vocab", json_integer((json_int_t)t.head.vocab));
    if (t.head.n_ids) facts_put(o, "compacted_to", json_integer((json_int_t)t.head.n_ids));
    facts_put(o, "options", options);
    trajectory_close(&t);
    return 0;
}

int describe_clock(json_t *o, const char *path, struct err *e) {
    struct clock_record c;
    const int rc = clock_record_open(&c, path, e);
    if (rc) return rc;
    facts_text(o, "kind", "clock of a run");
    facts_whole(o, "bytes", c.map.size);
    facts_whole(o, "updates", (uint64_t)c.updates);
    if (c.updates) facts_real(o, "share_before_the_last", clock_record_share(&c, c.updates - 1));
    if (c.ended) facts_real(o, "ended_at_share", c.end);
    if (c.torn) facts_whole(o, "torn_bytes_at_the_end", c.torn);
    clock_record_close(&c);
    return 0;
}

/* ---- folders --------------------------------------------------------------------------------- */

static void describe_time(json_t *o, const char *key, time_t when) {
    struct tm tm;
    char s[32];
    if (when && gmtime_r(&when, &tm) && strftime(s, sizeof s, "%Y-%m-%dT%H:%M:%SZ", &tm))
        facts_text(o, key, s);
}

/* The model or adapter in it. */
static void describe_weights(json_t *o, const char *path, const struct describe_opts *opt) {
    struct model_file mf;
    struct err why;
    json_t *all = json_object(), *some = json_object(), *v;
    const char *key;
    facts_text(some, "file", path);
    if (model_file_open(&mf, path, opt->verify, &why) || describe_model(all, &mf, opt, &why))
        facts_text(some, "damaged", why.msg);
    json_object_foreach(all, key, v) facts_put(some, key, json_incref(v));
    facts_put(o, "weights", some);
    json_decref(all);
}

static void describe_summary(json_t *o, const json_t *summary) {
    const char *key;
    json_t *v, *some = json_object();
    json_object_foreach((json_t *)(uintptr_t)summary, key, v)
        if (!json_is_array(v) && strcmp(key, "run") != 0) facts_put(some, key, json_incref(v));
    const size_t before = json_array_size(json_object_get(summary, "history"));
    if (before) facts_whole(some, "earlier_ends", before);
    facts_put(o, "summary", some);
}

int describe_run(json_t *o, const char *dir, const struct describe_opts *opt, struct err *e) {
    struct record r;
    const int rc = record_read(&r, dir, 0, e);
    if (rc) return rc;
    facts_text(o, "kind", "run");
    facts_text(o, "status", record_status_name(r.status));
    facts_text(o, "name", r.name);
    facts_text(o, "note", r.note);
    describe_end(o, &r);
    facts_put(o, "step", json_integer((json_int_t)r.step));
    if (r.saved_step >= 0)
        facts_put(o, "checkpoint_step", json_integer((json_int_t)r.saved_step));
    if (r.n_kept) facts_put(o, "earlier_checkpoints", json_integer(r.n_kept));
    facts_whole(o, "bytes", r.bytes);
    describe_time(o, "changed", r.changed);
    describe_lines(o, &r);
    facts_text(o, "best_file", r.best);
    if (r.record) facts_put(o, "run", json_incref(r.record));
    if (r.model) describe_weights(o, r.model, opt);
    if (r.summary) describe_summary(o, r.summary);
    if (r.options) facts_put(o, "options", json_incref(r.options));
    describe_notes(o, &r);
    record_release(&r);
    return 0;
}

static int by_step(const void *a, const void *b) {
    const long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

int describe_kept(json_t *o, const char *dir, struct err *e) {
    long long steps[1024];
    size_t n = 0;
    DIR *d = opendir(dir);
    if (!d) return err_errno(e, ERR_IO, "cannot read the folder %s", dir);
    for (const struct dirent *x; n < sizeof steps / sizeof *steps && (x = readdir(d));) {
        char *end;
        const long long step = strtoll(x->d_name, &end, 10);
        if (end != x->d_name && !*end && step >= 0) steps[n++] = step;
    }
    closedir(d);
    qsort(steps, n, sizeof *steps, by_step);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_integer(steps[i]));
    facts_text(o, "kind", "earlier checkpoints of a run");
    facts_put(o, "steps", list);
    return 0;
}
