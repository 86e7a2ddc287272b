/* What a search writes beside its ledger. All of it follows from the ledger and is made again where
 * it is missing. */
#include "search.h"

#include "file.h"
#include "json_text.h"
#include "record.h"
#include "run_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a search's files");
}

/* Its options as they are written. New; NULL: no memory. */
static char *options_text(const struct search *s, int64_t trial, int64_t seed) {
    json_t *o = search_options(s, trial);
    const bool ok = o && (!seed || !json_object_set_new(o, "seed", json_integer(seed)));
    char *text = ok ? json_text_dump(o, JSON_INDENT(1)) : NULL, *whole = NULL;
    json_decref(o);
    if (text && asprintf(&whole, "%s\n", text) < 0) whole = NULL;
    free(text);
    return whole;
}

static int write_text(const char *path, const char *text, struct err *e) {
    struct file_out f = {0};
    const int rc = file_out_open(&f, path, e);
    if (rc) return rc;
    file_out_write(&f, text, strlen(text));
    return file_out_commit(&f, e);
}

int search_write_options(const struct search *s, int64_t trial, int64_t seed, const char *path,
                         struct err *e) {
    char *text = options_text(s, trial, seed);
    const int rc = text ? write_text(path, text, e) : no_memory(e);
    free(text);
    return rc;
}

int search_write_best(const struct search *s, struct err *e) {
    const int64_t best = search_incumbent(s);
    char *path = search_path(s, "best.json");
    int rc = path ? 0 : no_memory(e);
    if (!rc && best >= 0) rc = search_write_options(s, best, 1, path, e);
    free(path);
    return rc;
}

/* Is that what the file holds? */
static bool holds(const char *path, const char *text) {
    struct file_map m;
    struct err ignored;
    if (!file_is_regular(path) || file_map_open(&m, path, &ignored)) return false;
    const bool same = m.size == strlen(text) && !memcmp(m.data, text, m.size);
    file_map_close(&m);
    return same;
}

int search_write_trial(const struct search *s, int64_t trial, struct err *e) {
    char *dir = search_trial_path(s, trial, NULL), *text = options_text(s, trial, 0);
    char *path = search_trial_path(s, trial, "config.json");
    int rc;
    if (!dir || !path || !text) TRY(no_memory(e));
    TRY(file_mkdirs(dir, e));
    rc = holds(path, text) ? 0 : write_text(path, text, e);
out:
    free(dir);
    free(path);
    free(text);
    return rc;
}

/* Removing ------------------------------------------------------------------------------------- */

/* What tells of a run; all else is for training on, or for using the model. */
static bool tells(const char *name) {
    static const char *const words[] = {"config.json", "log.jsonl",     "summary.json",
                                        "clock",       "trajectory.zo", "val-first.json"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(name, words[i])) return true;
    return false;
}

void search_drop_run(const char *dir) {
    for (size_t i = 0; i < n_run_folder_files; i++) {
        if (tells(run_folder_files[i])) continue;
        char *path = file_join(dir, run_folder_files[i]);
        if (path) unlink(path);
        free(path);
    }
    char *kept = file_join(dir, RUN_FOLDER_KEPT);
    if (kept) search_remove(kept);
    free(kept);
}

void search_clear_dropped(const char *dir) {
    char *summary = file_join(dir, "summary.json"), *model = file_join(dir, "model.blzt"),
         *adapter = file_join(dir, "adapter.blzt");
    if (summary && model && adapter && file_exists(summary) && !file_exists(model) &&
        !file_exists(adapter) && !record_is_locked(dir))
        search_remove(dir);
    free(summary);
    free(model);
    free(adapter);
}

void search_drop_weights(const struct search *s, int64_t trial) {
    char *dir = search_trial_path(s, trial, NULL);
    DIR *d = dir ? opendir(dir) : NULL;
    const struct dirent *entry;
    while (d && (entry = readdir(d))) {
        char *run = strncmp(entry->d_name, "seed-", 5) ? NULL : file_join(dir, entry->d_name);
        if (run && file_is_dir(run)) search_drop_run(run);
        free(run);
    }
    if (d) closedir(d);
    free(dir);
}

void search_remove(const char *path) {
    struct stat st;
    if (lstat(path, &st)) return;
    if (!S_ISDIR(st.st_mode)) {
        unlink(path);
        return;
    }
    DIR *d = opendir(path);
    const struct dirent *entry;
    while (d && (entry = readdir(d))) {
        const bool self = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
        char *inner = self ? NULL : file_join(path, entry->d_name);
        if (inner) search_remove(inner);
        free(inner);
    }
    if (d) closedir(d);
    rmdir(path);
}
