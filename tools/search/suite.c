#include "suite.h"

#include "file.h"
#include "json_text.h"
#include "search.h"
#include "train_opts.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 20 };

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a suite");
}

/* Reading -------------------------------------------------------------------------------------- */

bool suite_has(const json_t *json) {
    return json_object_get(json, "suite") != NULL;
}

bool suite_is(const char *dir) {
    char *path = file_join(dir, "suite.json");
    const bool yes = path && file_is_regular(path);
    free(path);
    return yes;
}

/* A folder's name of its own. */
static int check_name(const char *name, const char *path, struct err *e) {
    size_t n = 0;
    while (isalnum((unsigned char)name[n]) || (name[n] && strchr("-_.", name[n]))) n++;
    if (n > 0 && !name[n] && n <= SUITE_MAX_NAME && *name != '.' && strcmp(name, "suite.json"))
        return 0;
    return err_set(e, ERR_USAGE,
                   "%s: \"suite\": \"%.80s\" cannot be the name of a folder: expected letters, "
                   "digits, - _ and ., %d at most",
                   path, name, SUITE_MAX_NAME);
}

static int check_member(const char *name, const json_t *member, const char *path, struct err *e) {
    json_t *object = (json_t *)(uintptr_t)member;
    int rc = check_name(name, path, e);
    if (rc) return rc;
    if (!json_object_size(member))
        return err_set(e, ERR_USAGE,
                       "%s: \"suite\": \"%s\" is no object with options of data: {\"data\": FILE, "
                       "...}",
                       path, name);
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        if (!search_keys_is_data(key))
            return err_set(e, ERR_USAGE,
                           "%s: \"suite\": \"%s\": \"%.80s\" is no option of data; what all "
                           "searches share is said in \"base\"",
                           path, name, key);
    }
    return 0;
}

static int check_members(const json_t *json, const char *path, struct err *e) {
    json_t *members = json_object_get(json, "suite");
    const char *name;
    json_t *member;
    int rc = 0;
    if (!json_object_size(members) || json_object_size(members) > SUITE_MOST)
        return err_set(e, ERR_USAGE,
                       "%s: \"suite\" has %zu data sets, expected an object with 1 to %d: "
                       "{\"tiny\": {\"data\": \"tiny.txt\"}, ...}",
                       path, json_object_size(members), SUITE_MOST);
    json_object_foreach(members, name, member) TRY(check_member(name, member, path, e));
out:
    return rc;
}

/* Searches ------------------------------------------------------------------------------------- */

/* What a member says takes the base's place. Its own text to validate on, or a task, takes the
 * place of the base's test split, too. New; NULL: no memory. */
static json_t *merge(const json_t *file, const json_t *member) {
    json_t *tree = json_copy((json_t *)(uintptr_t)file), *base = NULL;
    const bool split = json_object_get(member, "val-data") || json_object_get(member, "task");
    bool ok = tree != NULL;
    if (ok) json_object_del(tree, "suite");
    if (ok) ok = (base = json_copy(json_object_get(file, "base"))) != NULL;
    if (ok && split) json_object_del(base, "test-fraction");
    ok = ok && !json_object_update(base, (json_t *)(uintptr_t)member) &&
         !json_object_set(tree, "base", base);
    json_decref(base);
    if (ok) return tree;
    json_decref(tree);
    return NULL;
}

/* Checks a member as a search, and makes its paths whole. */
static int plan_member(struct suite *s, const char *name, json_t *member, const char *path,
                       struct err *e) {
    struct search search = {0};
    json_t *tree = merge(s->json, member), *whole = json_object();
    const char *key;
    json_t *value;
    int rc;
    TRY(tree && whole ? search_plan(&search, tree, path, e) : no_memory(e));
    json_object_foreach(member, key, value) {
        if (json_object_set(whole, key, json_object_get(search.file.base, key)))
            TRY(no_memory(e));
    }
    if (json_object_set(json_object_get(s->json, "suite"), name, whole)) rc = no_memory(e);
out:
    if (rc && rc != ERR_NOMEM) err_prefix(e, "suite \"%s\"", name);
    search_close(&search);
    json_decref(whole);
    json_decref(tree);
    return rc;
}

int suite_plan(struct suite *s, const json_t *json, const char *path, const char *dir,
               struct err *e) {
    struct search search = {0};
    json_t *shared = json_copy((json_t *)(uintptr_t)json), *members, *member;
    const char *name;
    int rc;
    *s = (struct suite){.dir = dir ? strdup(dir) : NULL};
    if (!shared || (dir && !s->dir)) TRY(no_memory(e));
    TRY(check_members(json, path, e));
    json_object_del(shared, "suite");
    TRY(search_plan(&search, shared, path, e)); /* the base inlined, its paths whole */
    members = json_object_get(json, "suite");
    s->json = json_deep_copy(search.file.json);
    if (!s->json || json_object_set_new(s->json, "suite", json_object())) TRY(no_memory(e));
    json_object_foreach(members, name, member) TRY(plan_member(s, name, member, path, e));
    s->n = json_object_size(members);
out:
    search_close(&search);
    json_decref(shared);
    if (rc) suite_close(s);
    return rc;
}

static int write_file(const struct suite *s, struct err *e) {
    struct file_out f = {0};
    char *text = json_text_dump(s->json, JSON_INDENT(2)), *file = file_join(s->dir, "suite.json");
    int rc;
    if (!text || !file) TRY(no_memory(e));
    TRY(file_out_open(&f, file, e));
    file_out_write(&f, text, strlen(text));
    file_out_write(&f, "\n", 1);
    rc = file_out_commit(&f, e);
out:
    free(text);
    free(file);
    return rc;
}

int suite_create(struct suite *s, const json_t *json, const char *path, const char *dir,
                 struct err *e) {
    int rc;
    *s = (struct suite){0};
    TRY(search_check_free(dir, e));
    TRY(suite_plan(s, json, path, dir, e));
    TRY(file_mkdirs(dir, e));
    rc = write_file(s, e);
out:
    if (rc) suite_close(s);
    return rc;
}

int suite_extend(struct suite *s, int64_t trials, bool dry, struct err *e) {
    if (json_object_set_new(s->json, "trials", json_integer(trials))) return no_memory(e);
    return dry ? 0 : write_file(s, e);
}

int suite_open(struct suite *s, const char *dir, struct err *e) {
    char *path = file_join(dir, "suite.json"), *text = NULL;
    json_t *json = NULL;
    json_error_t at;
    size_t size;
    int rc;
    *s = (struct suite){0};
    TRY(path ? file_read_text(path, FILE_MAX, &text, &size, e) : no_memory(e));
    json = json_text_load(text, size, &at);
    if (!json)
        TRY(err_set(e, json_text_code(&at), "%s, line %d, column %d: not valid JSON: %s", path,
                    at.line, at.column, json_text_why(&at)));
    if (!suite_has(json))
        TRY(err_set(e, ERR_INPUT, "%s has no \"suite\": not the folder of a suite", path));
    rc = suite_plan(s, json, path, dir, e);
out:
    json_decref(json);
    free(text);
    free(path);
    return rc;
}

/* Is it the same? ------------------------------------------------------------------------------ */

/* What is on record of the file of the search in dir: in its ledger, or in search.json where it was
 * stopped before it had one. New; NULL: nothing, for damage that is told where it goes on. */
static int recorded(const char *dir, json_t **was, struct err *e) {
    struct search begun = {0};
    struct search_file file = {0};
    struct err own;
    char *path = file_join(dir, "search.json");
    int rc = path ? search_open(&begun, dir, false, &own) : ERR_NOMEM;
    *was = rc ? NULL : json_incref(json_object_get(begun.ledger.head, "file"));
    if (!*was && rc != ERR_NOMEM) {
        rc = search_file_open(&file, path, train_rows, &own);
        *was = rc ? NULL : json_incref(file.json);
        search_file_close(&file);
    }
    search_close(&begun);
    free(path);
    return rc == ERR_NOMEM ? no_memory(e) : 0;
}

/* What a search in dir has on record of its file, against what suite.json says of it now. */
static int check_begun(const struct suite *s, size_t i, const char *dir, const char *path,
                       struct err *e) {
    struct search now = {0};
    json_t *tree = suite_search(s, i), *was = NULL, *program;
    int rc = tree ? recorded(dir, &was, e) : no_memory(e);
    if (rc || !json_is_object(was)) goto out;
    TRY(search_plan(&now, tree, path, e));
    /* By hand: the copy that keep_program made. */
    program = json_object_get(was, "program");
    if (program && !strcmp(now.file.strategy.kind->name, SEARCH_HAND) && !now.file.program &&
        json_object_set(now.file.json, "program", program))
        TRY(no_memory(e));
    rc = search_same_file(path, was, now.file.json, e);
    if (rc) err_prefix(e, "suite \"%s\"", suite_name(s, i));
out:
    search_close(&now);
    json_decref(was);
    json_decref(tree);
    return rc;
}

static int visible(const struct dirent *d) {
    return *d->d_name != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

int suite_gone(const struct suite *s, json_t **names, struct err *e) {
    const json_t *members = json_object_get(s->json, "suite");
    struct dirent **entry = NULL;
    const int n = scandir(s->dir, &entry, visible, by_name);
    int rc = 0;
    *names = json_array();
    if (n < 0) rc = err_errno(e, ERR_IO, "%s: cannot be read", s->dir);
    if (!rc && !*names) rc = no_memory(e);
    for (int i = 0; i < n; i++) {
        const char *name = entry[i]->d_name;
        const bool looked = !rc && !json_object_get(members, name);
        char *inner = looked ? file_join(s->dir, name) : NULL;
        if (looked && !inner) rc = no_memory(e);
        if (inner && search_is(inner) && json_array_append_new(*names, json_string_nocheck(name)))
            rc = no_memory(e);
        free(inner);
        free(entry[i]);
    }
    free(entry);
    if (!rc) return 0;
    json_decref(*names);
    *names = NULL;
    return rc;
}

static int check_gone(const struct suite *s, const char *path, struct err *e) {
    json_t *names;
    int rc = suite_gone(s, &names, e);
    if (rc) return rc;
    if (json_array_size(names))
        rc = err_set(e, ERR_INPUT,
                     "%s: \"suite\" has no \"%.80s\", of which there is a search: put it back, or "
                     "begin another suite",
                     path, json_string_value(json_array_get(names, 0)));
    json_decref(names);
    return rc;
}

int suite_check_same(const struct suite *s, struct err *e) {
    char *path = file_join(s->dir, "suite.json");
    int rc = path ? check_gone(s, path, e) : no_memory(e);
    for (size_t i = 0; i < s->n && !rc; i++) {
        char *dir = suite_dir(s, i);
        if (!dir) rc = no_memory(e);
        if (dir && search_is(dir)) rc = check_begun(s, i, dir, path, e);
        free(dir);
    }
    free(path);
    return rc;
}

void suite_close(struct suite *s) {
    free(s->dir);
    json_decref(s->json);
    *s = (struct suite){0};
}

/* Members -------------------------------------------------------------------------------------- */

static void *at(const struct suite *s, size_t i) {
    json_t *members = json_object_get(s->json, "suite");
    void *m = json_object_iter(members);
    for (; i && m; i--) m = json_object_iter_next(members, m);
    return m;
}

const char *suite_name(const struct suite *s, size_t i) {
    return json_object_iter_key(at(s, i));
}

int suite_refuse(const char *dir, struct err *e) {
    struct suite s;
    char names[300] = "";
    int rc = suite_open(&s, dir, e);
    if (rc) return rc;
    for (size_t i = 0; i < s.n; i++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", suite_name(&s, i));
    }
    suite_close(&s);
    return err_set(e, ERR_USAGE, "%s is a suite, expected the folder of one of its searches: "
                                 "%s", dir,
                   names);
}

char *suite_dir(const struct suite *s, size_t i) {
    return file_join(s->dir, suite_name(s, i));
}

json_t *suite_search(const struct suite *s, size_t i) {
    return merge(s->json, json_object_iter_value(at(s, i)));
}
