/* Is a folder still that of the search that its ledger tells of? */
#include "search.h"

#include "hand_files.h"
#include "search_sources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What may be another from one time to the next: no trial that is there would be another. */
static bool may_change(const char *key) {
    return !strcmp(key, "trials") || !strcmp(key, "jobs") || !strcmp(key, "launcher");
}

static bool equal(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b); /* 2.0 is 2 */
    return json_equal(a, b);
}

static const char *show(const json_t *v, char buf[64]) {
    char *text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    snprintf(buf, 64, "%.*s%s", 50, text ? text : v ? "?" : "not there",
             text && strlen(text) > 50 ? "..." : "");
    free(text);
    return buf;
}

/* path: of the file, for messages, here and below. The axes are numbered as they stand there. */
static int same_order(const char *path, json_t *was, json_t *is, struct err *e) {
    void *a = json_object_iter(was), *b = json_object_iter(is);
    while (a && b && !strcmp(json_object_iter_key(a), json_object_iter_key(b))) {
        a = json_object_iter_next(was, a);
        b = json_object_iter_next(is, b);
    }
    if (!a || !b) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: \"space\" has \"%.80s\" where \"%.80s\" was when the search began, "
                   "and the order of axes counts: put it back, or begin another search",
                   path, json_object_iter_key(b), json_object_iter_key(a));
}

/* in: keys above with a point behind, or "". */
static int same_tree(const char *path, const char *in, json_t *was, json_t *is, struct err *e);

static int same_member(const char *path, const char *in, const char *key, json_t *was, json_t *is,
                       struct err *e) {
    char inner[200], old[64], new[64];
    if (equal(was, is) || (!*in && may_change(key))) return 0;
    if (json_is_object(was) && json_is_object(is) && strlen(in) < 100) {
        snprintf(inner, sizeof inner, "%s%.80s.", in, key);
        return same_tree(path, inner, was, is, e);
    }
    return err_set(e, ERR_INPUT,
                   "%s: \"%s%.80s\" is %s, and was %s when the search began: trials would "
                   "not be comparable; put it back, or begin another search",
                   path, in, key, show(is, new), show(was, old));
}

static int same_tree(const char *path, const char *in, json_t *was, json_t *is, struct err *e) {
    const char *key;
    json_t *v;
    int rc = 0;
    json_object_foreach(was, key, v)
        if (!rc) rc = same_member(path, in, key, v, json_object_get(is, key), e);
    json_object_foreach(is, key, v)
        if (!rc && !json_object_get(was, key)) rc = same_member(path, in, key, NULL, v, e);
    return rc;
}

int search_same_file(const char *path, json_t *was, json_t *is, struct err *e) {
    const int rc = same_tree(path, "", was, is, e);
    if (rc) return rc;
    return same_order(path, json_object_get(was, "space"), json_object_get(is, "space"), e);
}

/* Every configuration, with the base and the budget of the file, is what its hash says. */
static int same_hashes(const struct search *s, struct err *e) {
    const struct ledger *l = &s->ledger;
    char hash[17];
    for (size_t i = 0; i < l->n_jobs; i++) {
        const struct ledger_job *job = &l->job[i];
        if (!search_file_hash(&s->file, json_object_get(job->json, "config"), hash))
            return err_set(e, ERR_NOMEM, "no memory for a hash");
        if (strcmp(hash, job->hash))
            return err_set(e, ERR_INPUT,
                           "%s, line %zu: trial %lld has hash %s, and its \"config\" gives %s: the "
                           "line was changed",
                           l->path, job->line, (long long)job->trial, job->hash, hash);
    }
    return 0;
}

/* What trials by hand name is kept in the folder, and still what it was. */
static int same_kept(const struct search *s, struct err *e) {
    json_t *seen = json_object(), *v; /* the same file is in many configurations */
    const char *key;
    int rc = seen ? 0 : err_set(e, ERR_NOMEM, "no memory for a search");
    for (size_t i = 0; i < s->ledger.n_jobs && !rc; i++)
        json_object_foreach(json_object_get(s->ledger.job[i].json, "config"), key, v) {
            const char *path = json_string_value(v);
            if (!path || strncmp(path, "./", 2) || json_object_get(seen, path)) continue;
            TRY(hand_check_kept(s->dir, path, e));
            if (json_object_set_new(seen, path, json_true()))
                TRY(err_set(e, ERR_NOMEM, "no memory for a search"));
        }
out:
    json_decref(seen);
    return rc;
}

int search_check_file(const struct search *s, struct err *e) {
    json_t *was = json_object_get(s->ledger.head, "file");
    char *path = search_path(s, "search.json");
    int rc;
    TRY(path ? 0 : err_set(e, ERR_NOMEM, "no memory for a search"));
    if (json_is_object(was)) TRY(search_same_file(path, was, s->file.json, e));
    TRY(same_hashes(s, e));
    rc = same_kept(s, e);
out:
    free(path);
    return rc;
}

int search_check_same(const struct search *s, struct err *e) {
    json_t *now = json_object();
    int rc;
    TRY(search_check_file(s, e));
    TRY(now ? search_sources(&s->file, now, e) : err_set(e, ERR_NOMEM, "no memory for a search"));
    rc = search_sources_same(s->dir, json_object_get(s->ledger.head, "sources"), now, e);
out:
    json_decref(now);
    return rc;
}
