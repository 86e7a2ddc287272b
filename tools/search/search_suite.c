#include "search_suite.h"

#include "command_run.h"
#include "drive.h"
#include "search_compare.h"
#include "search_cost.h"
#include "suite.h"
#include "words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a suite");
}

static bool has_begun(const struct suite *suite, size_t i) {
    char *dir = suite_dir(suite, i);
    const bool yes = dir && search_is(dir);
    free(dir);
    return yes;
}

/* Takes jobs and launcher from suite.json, where it says them. *other: they were others. */
static int take_processes(struct search *s, const struct suite *suite, bool *other,
                          struct err *e) {
    json_t *jobs = json_object_get(suite->json, "jobs"), *words;
    json_t *launcher = json_object_get(suite->json, "launcher");
    const bool as_many = !jobs || (int64_t)json_number_value(jobs) == (int64_t)s->file.jobs;
    const bool same = !launcher || json_equal(launcher, json_object_get(s->file.json, "launcher"));
    int rc = 0;
    *other = !as_many || !same;
    if (!as_many) {
        s->file.jobs = (int)json_number_value(jobs);
        if (json_object_set(s->file.json, "jobs", jobs)) TRY(no_memory(e));
    }
    if (!same) {
        TRY(words_read(suite->dir, "launcher", launcher, &words, e));
        json_decref(s->file.launcher);
        s->file.launcher = words;
        if (json_object_set(s->file.json, "launcher", launcher)) TRY(no_memory(e));
    }
out:
    return rc;
}

/* What suite.json says of trials, jobs and launcher holds for what has begun, too: no fewer trials
 * than that. --trials may also be fewer. */
static int follow(struct search *s, const struct suite *suite, const struct search_opts *o,
                  bool dry, struct err *e) {
    const int64_t said = (int64_t)json_number_value(json_object_get(suite->json, "trials"));
    const int64_t trials = o->trials ? o->trials : said > s->file.trials ? said : s->file.trials;
    bool other;
    const int rc = take_processes(s, suite, &other, e);
    if (rc || (!o->trials && trials == s->file.trials && !other)) return rc;
    return search_extend(s, trials, dry, e);
}

/* A search to look at: what has begun as it is, with what going on with it would refuse, else what
 * it will be. path: of the suite's file. */
static int look_at_one(struct search *s, const struct suite *suite, size_t i, const char *path,
                       const struct search_opts *o, struct err *e) {
    char *dir = o->resume ? suite_dir(suite, i) : NULL;
    json_t *file = suite_search(suite, i);
    int rc;
    TRY(file && (dir || !o->resume) ? 0 : no_memory(e));
    if (!o->resume || !search_is(dir)) {
        rc = search_plan(s, file, path, e);
        goto out;
    }
    TRY(search_open(s, dir, false, e));
    TRY(search_check_resume(s, e));
    TRY(follow(s, suite, o, true, e));
    rc = command_run_check(&s->file.strategy, e);
out:
    free(dir);
    json_decref(file);
    return rc;
}

/* The searches as they are looked at, and what each takes. */
struct looks {
    struct look {
        size_t member; /* of the suite */
        struct search s;
        struct search_cost cost;
    } *look; /* (n) */
    size_t n;
};

static void release(struct looks *all) {
    for (size_t i = 0; i < all->n; i++) search_close(&all->look[i].s);
    free(all->look);
    *all = (struct looks){0};
}

/* Also where nothing is said: can they be trained? Nothing is printed before all are known. Where a
 * suite goes on, only those that it begins: another is refused alone. */
static int say_costs(struct looks *all, const struct suite *suite, const char *path,
                     const struct search_opts *o, struct err *e) {
    FILE *out = o->dry_run ? stdout : o->quiet ? NULL : stderr;
    int rc = 0;
    all->look = calloc(suite->n, sizeof *all->look);
    if (!all->look) return no_memory(e);
    for (size_t i = 0; i < suite->n && !rc; i++) {
        if (o->resume && !o->dry_run && has_begun(suite, i)) continue;
        struct look *l = &all->look[all->n++];
        l->member = i;
        rc = look_at_one(&l->s, suite, i, path, o, e);
        if (!rc) rc = search_cost(&l->s, &l->cost, e);
        if (rc) err_prefix(e, "suite \"%s\"", suite_name(suite, i));
    }
    for (size_t i = 0; i < all->n && out && !rc; i++) {
        fprintf(out, "%s%s\n", i ? "\n" : "", suite_name(suite, all->look[i].member));
        search_cost_print(&all->look[i].s, &all->look[i].cost, out);
    }
    return rc;
}

static void warn(const struct looks *all, const struct suite *suite) {
    char text[400], whole[500];
    for (size_t i = 0; i < all->n; i++) {
        if (!search_cost_warning(&all->look[i].cost, text)) continue;
        snprintf(whole, sizeof whole, "suite \"%s\": %s", suite_name(suite, all->look[i].member),
                 text);
        search_warn(whole);
    }
}

/* Begins a search, or goes on with it. */
static int open_one(struct search *s, const struct suite *suite, size_t i,
                    const struct search_opts *o, struct err *e) {
    char *dir = suite_dir(suite, i);
    json_t *file = suite_search(suite, i);
    int rc;
    *s = (struct search){0};
    if (!dir || !file) TRY(no_memory(e));
    TRY(search_is(dir) ? search_open(s, dir, true, e)
                       : search_create(s, file, "suite.json", dir, e));
    if (o->resume) rc = follow(s, suite, o, false, e);
out:
    free(dir);
    json_decref(file);
    return rc;
}

static int run_one(const struct suite *suite, size_t i, const struct search_opts *o,
                   struct err *e) {
    struct search s;
    int rc;
    TRY(open_one(&s, suite, i, o, e));
    if (!o->quiet)
        fprintf(stderr, "%s (%zu of %zu)\n", suite_name(suite, i), i + 1, suite->n);
    const char *tsv = strcmp(o->view.tsv, "none") ? o->view.tsv : NULL;
    TRY(drive_search(&s, &(struct drive_opts){.tsv = tsv, .quiet = o->quiet}, e));
    rc = search_check_base(&s, e);
out:
    search_close(&s);
    return rc;
}

static int run_all(const struct suite *suite, const struct search_opts *o, struct err *e) {
    struct err first = {0};
    size_t begun = 0, failed = 0;
    for (size_t i = 0; i < suite->n; i++) {
        const int rc = run_one(suite, i, o, e);
        if (rc == ERR_STOP)
            return err_set(e, ERR_STOP, "stopped; duet search --resume %s goes on", suite->dir);
        if (rc) {
            err_prefix(e, "suite \"%s\"", suite_name(suite, i));
            if (!failed++) first = *e;
            search_warn(e->msg);
        }
        begun += has_begun(suite, i);
    }
    const char *dir = suite->dir;
    const int rc = begun > 1 ? search_compare(&dir, 1, o->json, stdout, e) : 0;
    if (!failed) return rc;
    *e = first;
    err_prefix(e, "%zu of %zu searches failed", failed, suite->n);
    return first.code;
}

int search_suite_begin(const json_t *json, const char *path, const struct search_opts *o,
                       struct err *e) {
    struct suite suite = {0};
    struct looks all = {0};
    int rc;
    TRY(suite_plan(&suite, json, path, NULL, e));
    TRY(say_costs(&all, &suite, path, o, e));
    if (!o->dry_run) {
        suite_close(&suite);
        TRY(suite_create(&suite, json, path, o->out, e));
    }
    warn(&all, &suite);
    if (!o->dry_run) rc = run_all(&suite, o, e);
out:
    release(&all);
    suite_close(&suite);
    return rc;
}

/* Fewer trials than one of them has are refused before any is asked to have as many. */
static int check_trials(const struct suite *suite, const struct search_opts *o, struct err *e) {
    int rc = 0;
    for (size_t i = 0; i < suite->n && !rc; i++) {
        struct search s = {0};
        struct err own; /* damage of its own, which is told where it goes on */
        char *dir = suite_dir(suite, i);
        if (!dir) return no_memory(e);
        const int opened = search_is(dir) ? search_open(&s, dir, false, &own) : ERR_USAGE;
        if (opened == ERR_NOMEM) rc = no_memory(e);
        if (!opened) rc = search_extend(&s, o->trials, true, e);
        if (rc) err_prefix(e, "suite \"%s\"", suite_name(suite, i));
        search_close(&s);
        free(dir);
    }
    return rc;
}

int search_suite_resume(const struct search_opts *o, struct err *e) {
    struct suite suite;
    struct looks all = {0};
    int rc = suite_open(&suite, o->resume, e);
    if (rc) return rc;
    TRY(suite_check_same(&suite, e));
    if (o->trials) TRY(check_trials(&suite, o, e));
    if (o->trials) TRY(suite_extend(&suite, o->trials, true, e));
    TRY(say_costs(&all, &suite, "suite.json", o, e));
    if (o->trials && !o->dry_run) TRY(suite_extend(&suite, o->trials, false, e));
    warn(&all, &suite);
    if (!o->dry_run) rc = run_all(&suite, o, e);
out:
    release(&all);
    suite_close(&suite);
    return rc;
}
