#include "search_suite.h"

#include "drive.h"
#include "search_compare.h"
#include "search_cost.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a suite");
}

/* What each takes; also where nothing is said: can they be trained? cost: (suite->n). */
static int say_costs(const struct suite *suite, const char *path, struct search_cost *cost,
                     FILE *out, struct err *e) {
    int rc = 0;
    for (size_t i = 0; i < suite->n && !rc; i++) {
        struct search s = {.ledger.fd = -1};
        json_t *file = suite_search(suite, i);
        rc = file ? search_plan(&s, file, path, e) : no_memory(e);
        if (!rc) rc = search_cost(&s, &cost[i], e);
        if (rc) err_prefix(e, "suite \"%s\"", suite_name(suite, i));
        if (!rc && out) {
            fprintf(out, "%s%s\n", i ? "\n" : "", suite_name(suite, i));
            search_cost_print(&s, &cost[i], out);
        }
        search_close(&s);
        json_decref(file);
    }
    return rc;
}

static void warn(const struct suite *suite, const struct search_cost *cost) {
    char text[400];
    for (size_t i = 0; i < suite->n; i++)
        if (search_cost_warning(&cost[i], text))
            fprintf(stderr, "warning: suite \"%s\": %s\n", suite_name(suite, i), text);
}

/* Begins a search, or goes on with it. */
static int open_one(struct search *s, const struct suite *suite, size_t i,
                    const struct search_opts *o, struct err *e) {
    char *dir = suite_dir(suite, i);
    json_t *file = suite_search(suite, i);
    int rc;
    *s = (struct search){.ledger.fd = -1};
    if (!dir || !file) TRY(no_memory(e));
    TRY(search_is(dir) ? search_open(s, dir, true, e)
                       : search_create(s, file, "suite.json", dir, e));
    if (o->resume && o->trials) rc = search_extend(s, o->trials, false, e);
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
    rc = drive_search(&s, &(struct drive_opts){.tsv = tsv, .quiet = o->quiet}, e);
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
            fprintf(stderr, "warning: %s\n", e->msg);
        }
        char *dir = suite_dir(suite, i);
        begun += dir && search_is(dir);
        free(dir);
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
    struct search_cost *cost = NULL;
    int rc;
    TRY(suite_plan(&suite, json, path, NULL, e));
    cost = calloc(suite.n, sizeof *cost);
    if (!cost) TRY(no_memory(e));
    TRY(say_costs(&suite, path, cost, o->dry_run ? stdout : o->quiet ? NULL : stderr, e));
    if (!o->dry_run) {
        suite_close(&suite);
        TRY(suite_create(&suite, json, path, o->out, e));
    }
    warn(&suite, cost);
    if (!o->dry_run) rc = run_all(&suite, o, e);
out:
    free(cost);
    suite_close(&suite);
    return rc;
}

int search_suite_resume(const struct search_opts *o, struct err *e) {
    struct suite suite;
    struct search_cost *cost = NULL;
    int rc = suite_open(&suite, o->resume, e);
    if (rc) return rc;
    if (!o->dry_run) {
        rc = run_all(&suite, o, e);
        goto out;
    }
    cost = calloc(suite.n, sizeof *cost);
    TRY(cost ? say_costs(&suite, "suite.json", cost, stdout, e) : no_memory(e));
    warn(&suite, cost);
out:
    free(cost);
    suite_close(&suite);
    return rc;
}
