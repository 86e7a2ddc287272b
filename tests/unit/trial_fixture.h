/* What tests of trials share: a folder with a program that is a script, and the trial that runs
 * it. */
#ifndef DUET_TRIAL_FIXTURE_H
#define DUET_TRIAL_FIXTURE_H

#include "folder_fixture.h"

#include "clock.h"
#include "trial.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <time.h>

/* What a program ends well with. */
#define GOOD "sum \"'val_loss':1.5,'num_params_M':0.25,'peak_rss_mb':3,'status':'finished'\""

static struct search_metric metric;
static struct trial_spec spec;
static struct trial_outcome out;
static struct trial_run trial;
static json_t *words[32]; /* made by array() */
static int n_words;

/* A file; mode: of it. */
static inline void put(const char *name, const char *text, mode_t mode) {
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(at(name), mode), 0);
}

/* Up to 16 kB of a file; "" if it is not there. */
static inline const char *get(const char *name) {
    static char text[16384];
    FILE *f = fopen(at(name), "r");
    const size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = '\0';
    return text;
}

/* JSON with ' for ", until the test's end. */
static inline json_t *array(const char *text) {
    char quoted[512];
    snprintf(quoted, sizeof quoted, "%s", text);
    for (char *p = quoted; *p; p++)
        if (*p == '\'') *p = '"';
    words[n_words] = json_loads(quoted, 0, NULL);
    assert_non_null(words[n_words]);
    return words[n_words++];
}

/* The program of the next trial: $dir is its run's folder, which is made; sum JSON-MEMBERS writes
 * its summary, with ' for ". */
static inline void program(const char *body) {
    char text[4096];
    snprintf(text, sizeof text,
             "#!/bin/sh\n"
             "args=\"$*\"\n"
             "[ \"$1\" = eval ] && dir=$2\n"
             "while [ $# -gt 0 ]; do case $1 in --out | --resume) dir=$2 ;; esac; shift; done\n"
             "mkdir -p \"$dir\"\n"
             "sum() { printf '{%%s}\\n' \"$1\" | tr \"'\" '\"' >\"$dir/summary.json\"; }\n"
             "%s\n",
             body);
    put("program", text, 0755);
}

static inline int set_up(void **state) {
    if (make_dir(state)) return -1;
    metric = (struct search_metric){.key = "val_loss"};
    static char paths[4][192];
    static const char *const names[] = {"program", "config.json", "run", "run.txt"};
    for (int i = 0; i < 4; i++) snprintf(paths[i], sizeof paths[i], "%s", at(names[i]));
    spec = (struct trial_spec){.program = paths[0],
                               .config = paths[1],
                               .folder = paths[2],
                               .output = paths[3],
                               .seed = 7,
                               .threads = 1,
                               .share = 1,
                               .grace = 5,
                               .metric = &metric};
    n_words = 0;
    return 0;
}

static inline int tear_down(void **state) {
    trial_release(&trial);
    while (n_words) json_decref(words[--n_words]);
    return remove_all(state);
}

/* Runs it to its end, which comes within 20 s; out is the trial's. */
static inline void run(void) {
    struct trial_run *const all[] = {&trial};
    trial_release(&trial);
    ok(trial_start(&trial, &spec, &e));
    const double until = clock_seconds() + 20;
    while (trial_wait(all, 1, 1) && clock_seconds() < until) {
    }
    assert_int_equal(trial.phase, TRIAL_ENDED);
    out = trial.outcome;
}

static const char *const statuses[] = {
    [TRIAL_pending] = "pending",
#define X(name) [TRIAL_##name] = #name,
    SEARCH_STATUSES(X)
#undef X
};

/* The outcome: its status, and what its words contain. */
static inline void ends(enum trial_status status, const char *sentence) {
    if (out.status != status)
        fail_msg("status %s, not %s: %s", statuses[out.status], statuses[status], out.words);
    if (!strstr(out.words, sentence)) fail_msg("\"%s\" not in \"%s\"", sentence, out.words);
    if (status == TRIAL_ok)
        assert_string_equal(out.words, "");
    else
        assert_true(isnan(out.value));
}

/* A program with that body, and how its trial ends. */
static inline void body_ends(const char *body, enum trial_status status, const char *sentence) {
    remove_tree(spec.folder);
    program(body);
    run();
    ends(status, sentence);
}

/* Whether it is gone within two seconds (a zombie that nobody takes is). */
static inline bool is_gone(pid_t pid) {
    const struct timespec nap = {.tv_nsec = 20000000};
    char path[64], state = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        FILE *f = fopen(path, "r");
        const bool there = f && fscanf(f, "%*d %*s %c", &state) == 1;
        if (f) fclose(f);
        if (!there || state == 'Z' || state == 'X') return true;
        nanosleep(&nap, NULL);
    }
    return false;
}

/* The number in a file, once it is there. */
static inline pid_t pid_in(const char *name) {
    const struct timespec nap = {.tv_nsec = 10000000};
    for (int i = 0; i < 500; i++) {
        const char *text = get(name);
        if (strchr(text, '\n')) return (pid_t)atoi(text);
        nanosleep(&nap, NULL);
    }
    return 0;
}

#endif
