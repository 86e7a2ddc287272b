/* A folder for the files of a test program, which goes away with what the program put there. */
#ifndef DUET_FOLDER_FIXTURE_H
#define DUET_FOLDER_FIXTURE_H

#include "err_fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static char *folder_names[64]; /* all that at() has been asked for */
static int folder_n;

/* dir/name, good until eight calls later. */
static inline const char *at(const char *name) {
    static char path[8][192];
    static int turn;
    int i = 0;
    while (i < folder_n && strcmp(folder_names[i], name)) i++;
    if (i == folder_n && i < 64) folder_names[folder_n++] = strdup(name);
    turn = (turn + 1) % 8;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static inline int make_dir(void **state) {
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%.40s/duet-test-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

/* Fails if there is anything that at() was not asked for: a temporary file was left. */
static inline int remove_dir(void **state) {
    (void)state;
    for (int i = 0; i < folder_n; i++) remove(at(folder_names[i])); /* which reads all the names */
    while (folder_n) free(folder_names[--folder_n]);
    return rmdir(dir);
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f) {
    (void)st, (void)kind, (void)f;
    return remove(path);
}

static inline int remove_tree(const char *path) {
    return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* For programs whose files lie in further folders. */
static inline int remove_all(void **state) {
    (void)state;
    return remove_tree(dir);
}

#endif
