/* A new search: its file made whole, and its folder. */
#include "search.h"

#include "command_run.h"
#include "file.h"
#include "hand_files.h"
#include "json_text.h"
#include "search_sources.h"
#include "train_opts.h"
#include "words.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEST_FRACTION 0.05 /* of the data, where the base says nothing */

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a search");
}

/* Paths ---------------------------------------------------------------------------------------- */

/* What a path of a file at `path` leads to, from anywhere: as it stands where nothing is there.
 * New. */
static json_t *whole_path(const char *path, const char *value) {
    char found[PATH_MAX], *at = NULL;
    const char *slash = strrchr(path, '/');
    const bool beside = !strncmp(value, "./", 2) || !strncmp(value, "../", 3);
    if (slash && beside) {
        char *folder = strndup(path, (size_t)(slash - path));
        at = folder ? file_join(folder, value) : NULL;
        free(folder);
        if (!at) return NULL;
    }
    const char *asked = at ? at : value;
    json_t *v = json_string(realpath(asked, found) ? found : asked);
    free(at);
    return v;
}

/* A value of an option or an axis, or an array of them. New. */
static json_t *whole_value(const char *key, const char *path, json_t *v) {
    const char *text = json_string_value(v);
    if (text && search_names_file(key, text)) return whole_path(path, text);
    if (!json_is_array(v)) return json_incref(v);
    json_t *all = json_array();
    for (size_t i = 0; all && i < json_array_size(v); i++) {
        json_t *one = whole_value(key, path, json_array_get(v, i));
        if (one && !json_array_append_new(all, one)) continue;
        json_decref(all);
        return NULL;
    }
    return all;
}

/* Words of a command that are files here. It is run in another folder, or from one. */
static json_t *whole_words(const json_t *words) {
    json_t *all = json_array();
    for (size_t i = 0; all && i < json_array_size(words); i++) {
        json_t *v = json_array_get(words, i);
        const char *word = json_string_value(v);
        const bool program = !i && !strchr(word, '/'); /* found by PATH */
        json_t *one = *word != '/' && !program && file_is_regular(word) ? whole_path("", word)
                                                                        : json_incref(v);
        if (one && !json_array_append_new(all, one)) continue;
        json_decref(all);
        return NULL;
    }
    return all;
}

/* Members -------------------------------------------------------------------------------------- */

static bool put(json_t *o, const char *key, json_t *v) {
    return v && !json_object_set_new(o, key, v);
}

/* The base as an object whose paths can be read from anywhere. New. */
static json_t *whole_base(const struct search_file *f) {
    json_t *base = json_copy(f->base);
    const char *path = f->base_path ? f->base_path : f->path, *key;
    bool ok = base != NULL;
    json_t *v;
    json_object_foreach(f->base, key, v) {
        if (ok) ok = put(base, key, whole_value(key, path, v));
    }
    if (ok) json_object_del(base, "seed"); /* trials have their own */
    if (ok) json_object_del(base, CONF_RECORD);
    if (ok && !json_object_get(base, "test-fraction") && !json_object_get(base, "val-data") &&
        !json_object_get(base, "task"))
        ok = put(base, "test-fraction", json_real(TEST_FRACTION));
    /* It goes back to the last checkpoint, and where those are depends on who was killed when. */
    if (ok && !json_object_get(base, "rollback")) ok = put(base, "rollback", json_false());
    if (ok) return base;
    json_decref(base);
    return NULL;
}

/* Files and programs of axes, and of the conditions that name them. */
static bool whole_axes(json_t *file, const char *path) {
    const char *key, *of;
    json_t *axis, *v;
    void *next;
    json_object_foreach(json_object_get(file, "space"), key, axis) {
        json_t *choice = json_object_get(axis, "choice"), *when = json_object_get(axis, "when");
        if (choice && !put(axis, "choice", whole_value(key, path, choice))) return false;
        json_object_foreach_safe(when, next, of, v)
            if (!put(when, of, whole_value(of, path, v))) return false;
    }
    return true;
}

static bool whole_metric(json_t *file, const struct search_file *f) {
    if (!f->metric.command) return true;
    json_t *words = whole_words(f->metric.command);
    return put(json_object_get(file, "metric"), "command", words);
}

/* The programs of a strategy, or of those below it. */
static bool whole_strategy(json_t *strategy) {
    for (json_t *c = strategy; json_is_object(c); c = json_object_get(c, "over")) {
        struct err e;
        json_t *words, *run = json_object_get(c, "run");
        if (!run) continue;
        if (words_read("", "run", run, &words, &e)) return false;
        const bool ok = put(c, "run", whole_words(words));
        json_decref(words);
        if (!ok) return false;
    }
    return true;
}

/* The whole file. New; NULL: no memory. */
static json_t *whole_file(const struct search_file *f) {
    json_t *file = json_deep_copy(f->json), *program = json_object_get(f->json, "program");
    bool ok = file && put(file, "base", whole_base(f)) && whole_metric(file, f) &&
              whole_axes(file, f->path) && whole_strategy(json_object_get(file, "strategy"));
    if (ok && program) ok = put(file, "program", whole_value("program", f->path, program));
    if (ok) return file;
    json_decref(file);
    return NULL;
}

/* Files ---------------------------------------------------------------------------------------- */

/* Names and values of the base, as `duet train` reads them. */
static int check_base(const struct search_file *f, struct err *e) {
    struct conf conf = {0};
    struct train_opts o;
    char *text = json_text_dump(f->base, JSON_COMPACT);
    char what[600];
    int rc;
    snprintf(what, sizeof what, "%.500s: \"base\"", f->path);
    TRY(text ? conf_parse(&conf, train_rows, &o, 0, NULL, e) : no_memory(e));
    rc = conf_read_defaults_text(&conf, text, what, e);
out:
    conf_release(&conf);
    free(text);
    return rc;
}

static int reread(struct search_file *f, const json_t *json, const char *path, struct err *e) {
    char *text = json_text_dump(json, JSON_INDENT(2));
    const int rc = text ? search_file_read(f, text, strlen(text), path, train_rows, e)
                        : no_memory(e);
    free(text);
    return rc;
}

int search_plan(struct search *s, const json_t *json, const char *path, struct err *e) {
    struct search_file given = {0};
    json_t *whole = NULL;
    int rc;
    *s = (struct search){0};
    TRY(reread(&given, json, path, e));
    TRY(check_base(&given, e));
    whole = whole_file(&given);
    if (!whole) TRY(no_memory(e));
    TRY(reread(&s->file, whole, path, e));
    s->ledger.space = &s->file.space;
    TRY(command_run_check(&s->file.strategy, e));
    search_settle(s);
out:
    json_decref(whole);
    search_file_close(&given);
    if (rc) search_close(s);
    return rc;
}

int search_check_free(const char *dir, struct err *e) {
    DIR *d = opendir(dir);
    const struct dirent *entry;
    bool empty = true;
    if (!*dir) return err_set(e, ERR_USAGE, "the folder of a search needs a name");
    if (!d && errno == ENOENT) return 0;
    if (!d) return err_errno(e, ERR_USAGE, "%s cannot be the folder of a search", dir);
    while (empty && (entry = readdir(d)))
        empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
    closedir(d);
    if (empty) return 0;
    if (search_is(dir))
        return err_set(e, ERR_USAGE,
                       "%s already holds a search: go on with --resume %s, or choose another --out",
                       dir, dir);
    return err_set(e, ERR_USAGE, "%s is not empty: choose another --out", dir);
}

static int write_file(const json_t *json, const char *dir, struct err *e) {
    struct file_out f = {0};
    char *text = json_text_dump(json, JSON_INDENT(2)), *file = file_join(dir, "search.json");
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

/* By hand programs are changed and built anew, the one that began the search among them: what
 * trains the base, and measures all, is a copy. */
static int keep_program(struct search *s, const char *dir, struct err *e) {
    static const char self[] = "/proc/self/exe";
    struct search_file *f = &s->file;
    char path[PATH_MAX], *kept = NULL;
    int rc = 0;
    if (strcmp(f->strategy.kind->name, SEARCH_HAND) || f->program ||
        space_find(&f->space, "program") < f->space.n)
        return 0;
    const ssize_t n = readlink(self, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    TRY(hand_keep_file(dir, "programs", file_same(path, self) ? path : self, true, &kept, e));
    if (!put(f->json, "program", json_string(kept))) rc = no_memory(e);
out:
    free(kept);
    return rc;
}

int search_create(struct search *s, const json_t *json, const char *path, const char *dir,
                  struct err *e) {
    int rc;
    *s = (struct search){0};
    TRY(search_check_free(dir, e));
    TRY(search_plan(s, json, path, e));
    TRY(file_mkdirs(dir, e));
    TRY(keep_program(s, dir, e));
    TRY(write_file(s->file.json, dir, e));
    search_close(s);
    rc = search_open(s, dir, true, e);
out:
    if (rc) search_close(s);
    return rc;
}

int search_extend(struct search *s, int64_t trials, bool dry, struct err *e) {
    const int64_t there = search_trials(s) - search_by_hand(s);
    if (trials < there)
        return err_set(e, ERR_USAGE,
                       "%s: %lld trials are asked for, and %lld are there: expected at least as "
                       "many",
                       s->dir, (long long)trials, (long long)there);
    s->file.trials = trials;
    if (json_object_set_new(s->file.json, "trials", json_integer(trials))) return no_memory(e);
    return dry ? 0 : write_file(s->file.json, s->dir, e);
}
