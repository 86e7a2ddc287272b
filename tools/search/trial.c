/* A trial's processes and their limits. */
#include "trial_impl.h"

#include "canon.h"
#include "clock.h"
#include "cpu.h"
#include "file.h"
#include "limit.h"
#include "metric.h"
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SAID_MAX = 16 << 20, /* bytes that a process may print */
    SAID_KEPT = 1 << 20, /* of one that printed more */
    MOST_WORDS = 512,    /* of a command */
};
static const double usual_grace = 30, look_every = 0.25;
static const struct timespec nap = {.tv_nsec = 20000000};

/* ---- the command ----------------------------------------------------------------------------- */

/* Its words, and room for those that are made. */
struct words {
    char *word[MOST_WORDS + 1];
    int n; /* above MOST_WORDS: too many */
    char self[PATH_MAX], threads[16], seed[32], share[32];
};

static void add(struct words *w, const char *word) {
    if (w->n < MOST_WORDS) w->word[w->n] = (char *)(uintptr_t)word; /* argv is never written */
    w->n++;
}

static void add_all(struct words *w, const json_t *array) {
    for (size_t i = 0; i < json_array_size(array); i++)
        add(w, json_string_value(json_array_get(array, i)));
}

/* This very program, even if its file has been replaced since it was started. A launcher is another
 * program, and needs its path. */
static int add_self(struct words *w, const struct trial_spec *s, struct err *e) {
    static const char link[] = "/proc/self/exe";
    const ssize_t n = s->launcher ? readlink(link, w->self, sizeof w->self - 1) : 0;
    if (n < 0) return err_errno(e, ERR_IO, "cannot find the path of this program");
    w->self[n] = '\0';
    add(w, n ? w->self : link);
    return 0;
}

static int add_program(struct words *w, const struct trial_spec *s, const char *program,
                       struct err *e) {
    add_all(w, s->launcher);
    if (!program) return add_self(w, s, e);
    add(w, program);
    return 0;
}

static void add_threads(struct words *w, const struct trial_spec *s) {
    const int n = s->threads ? s->threads : s->launcher ? 0 : trial_threads(s->parts);
    if (!n) return;
    snprintf(w->threads, sizeof w->threads, "%d", n);
    add(w, "--threads");
    add(w, w->threads);
}

static int train_words(struct words *w, const struct trial_spec *s, struct err *e) {
    const int rc = add_program(w, s, s->program, e);
    char *config = file_join(s->folder, "config.json");
    if (!config) return err_set(e, ERR_NOMEM, "out of memory for a command");
    const bool goes_on = file_exists(config);
    free(config);
    add(w, "train");
    if (goes_on) {
        add(w, "--resume");
        add(w, s->folder);
    } else {
        add(w, "--config");
        add(w, s->config);
        add(w, "--out");
        add(w, s->folder);
        snprintf(w->seed, sizeof w->seed, "%lld", (long long)s->seed);
        add(w, "--seed");
        add(w, w->seed);
    }
    if (s->share < 1) {
        add(w, "--stop-at");
        add(w, canon_number(s->share, w->share));
    }
    add_threads(w, s);
    add(w, "--quiet");
    return rc;
}

static int measure_words(struct words *w, const struct trial_spec *s, struct err *e) {
    int rc = 0;
    if (metric_needs(s->metric) == METRIC_COMMAND) {
        add_all(w, s->launcher);
        add_all(w, s->metric->command);
        return 0;
    }
    TRY(add_program(w, s, s->scorer, e));
    add(w, "eval");
    add(w, s->folder);
    if (s->test) {
        add(w, "--split");
        add(w, "test");
    }
    add(w, "--exact");
    add(w, "--json");
    add_threads(w, s);
    add(w, "--quiet");
out:
    return rc;
}

int trial_threads(unsigned parts) {
    cpu_set_t set;
    const int all = cpu_count(), each = all / (int)(parts ? parts : 1);
    if (parts && trial_cpus(0, parts, &set) && CPU_COUNT(&set) < each) return CPU_COUNT(&set);
    return each > 0 ? each : 1;
}

/* Limits of setrlimit are of each process, all others of all together. */
double trial_memory_mb(unsigned jobs) {
    struct memory_limits l;
    double most = INFINITY;
    memory_limits(&l);
    if (l.available) most = in_mb(l.available) / (jobs ? jobs : 1);
    if (l.group) most = fmin(most, in_mb(l.group_left) / (jobs ? jobs : 1));
    if (l.rlimit) most = fmin(most, in_mb(l.rlimit_left));
    return isfinite(most) ? fmax(most, 1e-6) : 0;
}

/* ---- signs of life --------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t x) {
    return (h ^ x) * 0x9e3779b97f4a7c15u;
}

/* Changes when the file does. */
static uint64_t sign_of(const char *folder, const char *name) {
    struct stat st;
    char *path = file_join(folder, name);
    const bool is = path && !stat(path, &st);
    free(path);
    if (!is) return 0;
    return mix(mix(mix(1 + st.st_ino, (uint64_t)st.st_size), (uint64_t)st.st_mtim.tv_sec),
               (uint64_t)st.st_mtim.tv_nsec);
}

static long long said_bytes(const struct trial_run *t) {
    struct stat st;
    return fstat(t->said, &st) ? 0 : (long long)st.st_size - t->said_at;
}

/* What is done in a queue does not count: that has begun when config.json is written. */
static void look_for_life(struct trial_run *t, double now) {
    const uint64_t born = sign_of(t->spec.folder, "config.json"),
                   sign = mix(mix(born, sign_of(t->spec.folder, "log.jsonl")),
                              (uint64_t)said_bytes(t));
    if (!t->alive && born != t->born) {
        t->alive = true;
        t->began = t->lived = now;
    }
    if (sign != t->sign) t->lived = now;
    t->sign = sign;
}

/* ---- phases ---------------------------------------------------------------------------------- */

static void close_output(struct trial_run *t) {
    if (t->said >= 0) close(t->said);
    if (t->printed >= 0) close(t->printed);
    t->said = t->printed = -1;
}

static void end(struct trial_run *t, enum trial_status status) {
    t->outcome.status = status;
    if (status == TRIAL_ok || status == TRIAL_pending) t->outcome.words[0] = '\0';
    if (status != TRIAL_ok) t->outcome.value = NAN;
    close_output(t);
    t->phase = TRIAL_ENDED;
}

static int open_output(struct trial_run *t, bool printed, struct err *e) {
    struct stat st;
    const char *path = t->spec.output;
    close_output(t);
    t->said = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (t->said < 0 || fstat(t->said, &st)) return err_errno(e, ERR_IO, "cannot write %s", path);
    t->said_at = st.st_size;
    if (!printed) return 0;
    FILE *f = tmpfile();
    t->printed = f ? fcntl(fileno(f), F_DUPFD_CLOEXEC, 3) : -1;
    if (f) fclose(f);
    return t->printed >= 0 ? 0 : err_errno(e, ERR_IO, "cannot make a temporary file");
}

/* A program that cannot be started is the trial's fault, anything else is not. */
static int start(struct trial_run *t, enum trial_phase phase, struct err *e) {
    int rc;
    cpu_set_t set;
    struct words w = {.n = 0};
    const struct trial_spec *s = &t->spec;
    const bool train = phase == TRIAL_TRAINS;
    const bool command = !train && metric_needs(s->metric) == METRIC_COMMAND;
    t->phase = phase;
    t->asked = t->looked = 0;
    t->began = t->lived = clock_seconds();
    t->born = sign_of(s->folder, "config.json");
    t->alive = !s->launcher || !train;
    TRY(open_output(t, !train, e));
    TRY((train ? train_words : measure_words)(&w, s, e));
    if (w.n > MOST_WORDS) {
        trial_say(t->outcome.words, "a command of %d words, at most %d are possible", w.n,
                  MOST_WORDS);
        end(t, TRIAL_crash);
        goto out;
    }
    const bool pinned =
        s->parts && !s->launcher && trial_cpus(s->part, s->parts, &set);
    const struct trial_command c = {.argv = w.word,
                                    .cwd = command ? s->folder : NULL,
                                    .out = train ? t->said : t->printed,
                                    .err = t->said,
                                    .cpus = pinned ? &set : NULL};
    rc = trial_watch_start(&t->watch, &c, e);
    if (rc != ERR_INPUT) goto out;
    trial_say(t->outcome.words, "%s", e->msg);
    end(t, TRIAL_crash);
    rc = 0;
out:
    return rc;
}

/* The run has come so far: what is its value? */
static int measure(struct trial_run *t, struct err *e) {
    enum trial_status s = trial_take_summary(t, t->outcome.words);
    if (s == TRIAL_ok && metric_needs(t->spec.metric) != METRIC_NOTHING)
        return start(t, TRIAL_MEASURES, e);
    end(t, s == TRIAL_ok ? trial_take_value(t, t->outcome.words) : s);
    return 0;
}

static int begin(struct trial_run *t, struct err *e) {
    if (record_is_locked(t->spec.folder)) return 0;
    if (trial_is_complete(t->spec.folder, t->spec.share)) return measure(t, e);
    return start(t, TRIAL_TRAINS, e);
}

static int process_ended(struct trial_run *t, struct err *e) {
    struct trial_outcome *o = &t->outcome;
    if (t->phase == TRIAL_TRAINS) look_for_life(t, clock_seconds());
    o->seconds += clock_seconds() - t->began;
    if (t->watch.peak_mb > o->peak_rss_mb) o->peak_rss_mb = t->watch.peak_mb;
    if (said_bytes(t) > SAID_MAX && ftruncate(t->said, t->said_at + SAID_KEPT)) {
    } /* else it stays as long as it is */
    if (t->verdict != TRIAL_pending || t->stopping) {
        end(t, t->verdict);
        return 0;
    }
    enum trial_status s = trial_judge(t, o->words);
    if (s == TRIAL_ok && t->phase == TRIAL_TRAINS) return measure(t, e);
    end(t, s == TRIAL_ok ? trial_take_value(t, o->words) : s);
    return 0;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void ask(struct trial_run *t) {
    if (t->asked) return;
    t->asked = clock_seconds();
    trial_watch_signal(&t->watch, SIGTERM);
}

/* It is to end, for this reason. */
__attribute__((format(printf, 4, 5))) static void convict(struct trial_run *t,
                                                          enum trial_status verdict, bool at_once,
                                                          const char *fmt, ...) {
    char text[TRIAL_WORDS];
    va_list ap;
    if (t->verdict != TRIAL_pending || t->stopping) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    trial_say(t->outcome.words, "%s", text);
    t->verdict = verdict;
    if (at_once)
        trial_watch_signal(&t->watch, SIGKILL);
    else
        ask(t);
}

static bool prints_too_much(const struct trial_run *t) {
    struct stat st;
    const bool printed = t->printed >= 0 && !fstat(t->printed, &st);
    return said_bytes(t) > SAID_MAX || (printed && st.st_size > SAID_MAX);
}

static void look(struct trial_run *t, double now) {
    const struct trial_limits *l = &t->spec.limits;
    const double grace = t->spec.grace > 0 ? t->spec.grace : usual_grace;
    if (now - t->looked < look_every) return;
    t->looked = now;
    trial_watch_look(&t->watch);
    if (l->peak_rss_mb > 0 && t->watch.peak_mb > l->peak_rss_mb)
        convict(t, TRIAL_memory, true, "used %.1f MB of memory, the limit is %.1f MB",
                t->watch.peak_mb, l->peak_rss_mb);
    if (prints_too_much(t))
        convict(t, TRIAL_crash, true, "printed more than %d MB", SAID_MAX >> 20);
    if (t->phase == TRIAL_TRAINS) look_for_life(t, now);
    if (t->alive && l->seconds > 0 && now - t->began > l->seconds)
        convict(t, TRIAL_time, false, "took longer than %g s", l->seconds);
    if (t->alive && t->phase == TRIAL_TRAINS && l->idle > 0 && now - t->lived > l->idle)
        convict(t, TRIAL_time, false, "no sign of life for %g s", l->idle);
    if (t->asked > 0 && now - t->asked > grace) trial_watch_signal(&t->watch, SIGKILL);
}

/* ---- the whole ------------------------------------------------------------------------------- */

int trial_start(struct trial_run *t, const struct trial_spec *s, struct err *e) {
    *t = (struct trial_run){.spec = *s,
                            .began = clock_seconds(),
                            .said = -1,
                            .printed = -1,
                            .outcome.value = NAN};
    const int rc = begin(t, e);
    if (rc) trial_release(t);
    return rc;
}

static int go_on(struct trial_run *t, double now, struct err *e) {
    if (t->phase == TRIAL_WAITS) {
        const double most = t->spec.limits.seconds;
        if (t->stopping) {
            end(t, TRIAL_pending);
        } else if (most > 0 && now - t->began > most) {
            trial_say(t->outcome.words, "another process trains in %.300s", t->spec.folder);
            end(t, TRIAL_time);
        } else if (now - t->looked >= look_every) {
            t->looked = now;
            return begin(t, e);
        }
        return 0;
    }
    if (trial_watch_poll(&t->watch)) return process_ended(t, e);
    look(t, now);
    return 0;
}

bool trial_poll(struct trial_run *t) {
    struct err e;
    if (t->phase != TRIAL_ENDED && go_on(t, clock_seconds(), &e)) {
        trial_say(t->outcome.words, "%s", e.msg);
        end(t, TRIAL_killed);
    }
    return t->phase == TRIAL_ENDED;
}

size_t trial_wait(struct trial_run *const *t, size_t n, double timeout) {
    const double until = clock_seconds() + timeout;
    for (;;) {
        for (size_t i = 0; i < n; i++)
            if (t[i] && trial_poll(t[i])) return i;
        if (clock_seconds() >= until || nanosleep(&nap, NULL)) return n;
    }
}

void trial_stop(struct trial_run *t) {
    if (t->phase == TRIAL_ENDED || t->stopping) return;
    if (t->verdict == TRIAL_pending) t->stopping = true;
    if (t->phase != TRIAL_WAITS) ask(t);
}

void trial_stop_all(struct trial_run *const *t, size_t n) {
    bool all = false;
    for (size_t i = 0; i < n; i++)
        if (t[i]) trial_stop(t[i]);
    while (!all) {
        all = true;
        for (size_t i = 0; i < n; i++)
            if (t[i] && !trial_poll(t[i])) all = false;
        if (!all) nanosleep(&nap, NULL);
    }
}

void trial_release(struct trial_run *t) {
    trial_watch_close(&t->watch);
    if (t->said > 0 || t->printed > 0) close_output(t);
    json_decref(t->outcome.summary);
    *t = (struct trial_run){.phase = TRIAL_ENDED};
}
