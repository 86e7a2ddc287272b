/* What came of a trial's process. */
#include "trial_impl.h"

#include "clock.h"
#include "file.h"
#include "json_text.h"
#include "jsonmem.h"
#include "metric.h"
#include "record.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TAIL = 4096, SUMMARY_MAX = 16 << 20, PRINTED_MAX = 1 << 20 };

/* Exit statuses of duet (tools/main.c). */
enum { EXIT_REFUSED = 4, EXIT_NO_MEMORY = 5, EXIT_DIVERGED = 6 };

void trial_say(char words[TRIAL_WORDS], const char *fmt, ...) {
    char text[sizeof((struct err){0}).msg];
    struct err clean;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127) *p = ' ';
    err_set(&clean, ERR_INPUT, "%.*s", TRIAL_WORDS - 1, text);
    memcpy(words, clean.msg, strlen(clean.msg) + 1);
}

/* ---- the end of a process -------------------------------------------------------------------- */

/* The end of what it has said. */
static size_t read_tail(const struct trial_run *t, char tail[TAIL + 1]) {
    struct stat st;
    ssize_t n = 0;
    if (t->said >= 0 && !fstat(t->said, &st) && st.st_size > t->said_at) {
        const off_t from =
            st.st_size - t->said_at > TAIL ? st.st_size - TAIL : (off_t)t->said_at;
        n = pread(t->said, tail, TAIL, from);
    }
    tail[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Its last line that is not blank, without what duet puts in front. */
static const char *last_line(char *tail, size_t n) {
    static const char *const fronts[] = {"duet: error: ", "duet: "};
    for (size_t i = 0; i < n; i++)
        if (!tail[i]) tail[i] = ' ';
    while (n && strchr(" \t\r\n", tail[n - 1])) tail[--n] = '\0';
    char *line = strrchr(tail, '\n');
    line = line ? line + 1 : tail;
    for (size_t i = 0; i < sizeof fronts / sizeof *fronts; i++)
        if (!strncmp(line, fronts[i], strlen(fronts[i]))) return line + strlen(fronts[i]);
    return line;
}

/* So queues and shells put it, whose own end is another. */
static bool tells_of_memory(const char *tail) {
    static const char *const words[] = {"oom-kill", "oom_kill", "out of memory", "out-of-memory"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasestr(tail, words[i])) return true;
    return false;
}

static enum trial_status of_signal(const struct trial_run *t, int signal, const char *tail) {
    switch (signal) {
    case SIGKILL:
        return trial_watch_lacked_memory(&t->watch) || tells_of_memory(tail) ? TRIAL_memory
                                                                             : TRIAL_killed;
    case SIGTERM:
    case SIGINT:
    case SIGHUP: return TRIAL_killed;
    case SIGXCPU: return TRIAL_time;
    default: return TRIAL_crash;
    }
}

/* Only duet's own training has the statuses 4 to 6. */
static enum trial_status of_exit(const struct trial_run *t, int code) {
    if (!code) return TRIAL_ok;
    if (t->phase != TRIAL_TRAINS) return TRIAL_crash;
    return code == EXIT_REFUSED     ? TRIAL_refused
           : code == EXIT_NO_MEMORY ? TRIAL_memory
           : code == EXIT_DIVERGED  ? TRIAL_nan
                                    : TRIAL_crash;
}

enum trial_status trial_judge(const struct trial_run *t, char words[TRIAL_WORDS]) {
    char tail[TAIL + 1];
    const int status = t->watch.status, code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    const size_t n = read_tail(t, tail);
    /* A launcher or a shell tells a signal by 128 + its number. */
    const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : code > 128 ? code - 128 : 0;
    const enum trial_status s = signal ? of_signal(t, signal, tail) : of_exit(t, code);
    const char *line = last_line(tail, n);
    if (signal)
        trial_say(words, "ended by signal %d (%s)%s%s", signal, strsignal(signal),
                  *line ? ": " : "", line);
    else if (*line)
        trial_say(words, "%s", line);
    else
        trial_say(words, "ended with status %d", code);
    return s;
}

/* ---- the summary ----------------------------------------------------------------------------- */

static int read_summary(const char *path, json_t **out, struct err *e) {
    int rc;
    char *text = NULL;
    size_t n;
    json_error_t je;
    TRY(file_read_text(path, SUMMARY_MAX, &text, &n, e));
    jsonmem_ready();
    *out = json_text_load(text, n, &je);
    if (!*out)
        rc = err_set(e, json_text_code(&je), "%s: line %d: %s", path, je.line, json_text_why(&je));
    else if (!json_is_object(*out))
        rc = err_set(e, ERR_INPUT, "%s: line 1: not a JSON object", path);
out:
    free(text);
    return rc;
}

/* A run that is finished has used what it was to use, however much that was (--patience). */
static bool has_come_to(const json_t *summary, double share) {
    const char *status = json_string_value(json_object_get(summary, "status"));
    const double done = record_number(summary, "budget_share");
    return !status || !strcmp(status, "finished") || done >= share - 1e-8;
}

int trial_summary(const char *folder, double share, json_t **summary, bool *earlier,
                  struct err *e) {
    int rc;
    json_t *j = NULL;
    char *path = file_join(folder, "summary.json");
    *earlier = false;
    if (!path) TRY(err_set(e, ERR_NOMEM, "out of memory for the summary of %s", folder));
    if (!file_exists(path)) {
        *earlier = true;
        TRY(err_set(e, ERR_INPUT, "%s: no such file", path));
    }
    if (!file_is_regular(path)) TRY(err_set(e, ERR_INPUT, "%s is no file", path));
    TRY(read_summary(path, &j, e));
    if (!has_come_to(j, share)) {
        *earlier = true;
        TRY(err_set(e, ERR_INPUT, "%s: its run is at %.6g of its budget, not at %.6g", path,
                    record_number(j, "budget_share"), share));
    }
    json_object_del(j, "run"); /* of the machine, and of earlier ends */
    json_object_del(j, "history");
    *summary = j;
    j = NULL;
out:
    json_decref(j);
    free(path);
    return rc;
}

bool trial_is_complete(const char *folder, double share) {
    struct err ignored;
    bool earlier;
    json_t *j = NULL;
    const int rc = trial_summary(folder, share, &j, &earlier, &ignored);
    json_decref(j);
    return !rc;
}

/* It says that all went well and has not done its work: it was asked to end by somebody else, if it
 * has begun with it. */
static enum trial_status unfinished(const struct trial_run *t, const char *why,
                                    char words[TRIAL_WORDS]) {
    char tail[TAIL + 1];
    char *config = file_join(t->spec.folder, "config.json");
    const bool began = config && file_exists(config);
    const char *line = last_line(tail, read_tail(t, tail));
    free(config);
    trial_say(words, "ended with status 0, but %.200s%s%s", why, *line ? "; its last words: " : "",
              line);
    return began ? TRIAL_killed : TRIAL_crash;
}

enum trial_status trial_take_summary(struct trial_run *t, char words[TRIAL_WORDS]) {
    struct err e;
    bool earlier;
    const struct trial_limits *l = &t->spec.limits;
    struct trial_outcome *o = &t->outcome;
    if (trial_summary(t->spec.folder, t->spec.share, &o->summary, &earlier, &e)) {
        if (earlier) return unfinished(t, e.msg, words);
        trial_say(words, "%s", e.msg);
        return e.code == ERR_NOMEM ? TRIAL_killed : TRIAL_crash;
    }
    const double peak = record_number(o->summary, "peak_rss_mb"),
                 params = record_number(o->summary, "num_params_M");
    if (peak > o->peak_rss_mb) o->peak_rss_mb = peak;
    if (l->num_params_M > 0 && params > l->num_params_M) {
        trial_say(words, "%.4g M parameters, the limit is %.4g M", params, l->num_params_M);
        return TRIAL_refused;
    }
    if (l->peak_rss_mb > 0 && o->peak_rss_mb > l->peak_rss_mb) {
        trial_say(words, "used %.1f MB of memory, the limit is %.1f MB", o->peak_rss_mb,
                  l->peak_rss_mb);
        return TRIAL_memory;
    }
    return TRIAL_ok;
}

/* ---- the value ------------------------------------------------------------------------------- */

/* What the scorer or the command has printed. */
static int value_of_printed(struct trial_run *t, double *value, struct err *e) {
    int rc;
    struct stat st;
    char *text = NULL;
    json_t *all = NULL;
    if (fstat(t->printed, &st)) return err_errno(e, ERR_IO, "cannot read what was printed");
    const size_t n = st.st_size < PRINTED_MAX ? (size_t)st.st_size : PRINTED_MAX;
    text = malloc(n + 1);
    if (!text) return err_set(e, ERR_NOMEM, "out of memory for what was printed");
    if (pread(t->printed, text, n, 0) != (ssize_t)n)
        TRY(err_errno(e, ERR_IO, "cannot read what was printed"));
    if (metric_needs(t->spec.metric) == METRIC_COMMAND) {
        TRY(metric_of_text(text, n, value, e));
    } else {
        TRY(metric_of_scorer(text, n, value, &all, e));
        if (json_object_set_new(t->outcome.summary, "exact", all))
            rc = err_set(e, ERR_NOMEM, "out of memory for what was printed");
    }
out:
    free(text);
    return rc;
}

enum trial_status trial_take_value(struct trial_run *t, char words[TRIAL_WORDS]) {
    struct err e;
    double value = NAN;
    const struct search_metric *m = t->spec.metric;
    const int rc = t->phase == TRIAL_MEASURES
                       ? value_of_printed(t, &value, &e)
                       : metric_of_summary(t->outcome.summary, m->key, "summary.json", &value, &e);
    if (rc) {
        trial_say(words, "%s", e.msg);
        return rc == ERR_INPUT ? TRIAL_crash : TRIAL_killed;
    }
    if (!isfinite(value)) {
        trial_say(words, "%s is not a number",
                  m->key ? m->key : "what the metric's command printed");
        return TRIAL_nan;
    }
    t->outcome.value = value;
    return TRIAL_ok;
}
