#include "run_folder.h"

#include "file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const run_folder_files[] = {
    "config.json",   "start.blzt",   "state",             "model.blzt",
    "log.jsonl",     "summary.json", "tokens.shard",      "base.blzt",
    "trajectory.zo", "adapter.blzt", "adapter.next.blzt", "model.next.blzt",
    "best.blzt",     "adapter.best.blzt", "state.good",   "model.good.blzt",
    "adapter.good.blzt", "val.shard",   "val-first.json",
    "clock"};
const size_t n_run_folder_files = sizeof run_folder_files / sizeof *run_folder_files;

static bool has(const char *dir, const char *name) {
    char *path = file_join(dir, name);
    const bool yes = path && file_exists(path);
    free(path);
    return yes;
}

/* The log is what every run has from its beginning. */
bool run_folder_is(const char *dir) {
    return has(dir, "log.jsonl") && (has(dir, "config.json") || has(dir, "state"));
}

static bool is_own_name(const char *name) {
    for (size_t i = 0; i < n_run_folder_files; i++)
        if (!strcmp(name, run_folder_files[i])) return true;
    return false;
}

/* Cuts off the last part of a path and gives it back: "/" for one that is all folder. */
static const char *cut_last(char *path) {
    char *slash = strrchr(path, '/');
    if (!slash) return path;
    *slash = 0;
    return slash + 1;
}

/* The file that a name stands for, without links: malloc()ed, or NULL. What is not there yet is a
 * name in a folder that is. */
static char *real_name(const char *path) {
    char *all = realpath(path, NULL);
    if (all) return all;
    const char *slash = strrchr(path, '/');
    char *parent = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    char *dir = parent ? realpath(parent, NULL) : NULL;
    if (dir) all = file_join(dir, slash ? slash + 1 : path);
    free(parent);
    free(dir);
    return all;
}

/* path is absolute and without links; the run's name is left in it. */
static bool cut_kept(char *path) {
    return !strcmp(cut_last(path), RUN_FOLDER_KEPT) && run_folder_is(path);
}

bool run_folder_is_kept(const char *dir) {
    char *path = realpath(dir, NULL);
    const bool yes = path && cut_kept(path);
    free(path);
    return yes;
}

char *run_folder_of_kept(const char *dir) {
    char *path = realpath(dir, NULL);
    if (path) cut_last(path);
    if (path && cut_kept(path)) return path;
    free(path);
    return NULL;
}

int run_folder_spare(const char *path, struct err *e) {
    char *dir = real_name(path);
    bool own = false;
    if (!dir) return 0; /* writing will say what is wrong with it */
    const char *name = cut_last(dir);
    if (run_folder_is(dir)) {
        own = is_own_name(name);
    } else if (is_own_name(name)) { /* RUN/checkpoints/STEP/name */
        cut_last(dir);
        own = cut_kept(dir);
    }
    if (own)
        err_set(e, ERR_USAGE,
                "%s is a name of the training run in its folder: choose another name or folder",
                path);
    free(dir);
    return own ? ERR_USAGE : 0;
}
