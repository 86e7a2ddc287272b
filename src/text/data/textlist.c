#include "textlist.h"
#include "file.h"
#include "map.h"
#include "textin.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a list of files");
}

static int add(struct textlist *l, char *path, struct err *e) {
    if (!path || grow(&l->path, &l->cap, l->n + 1, sizeof *l->path)) {
        free(path);
        return no_memory(e);
    }
    l->path[l->n++] = path;
    return 0;
}

static int add_entry(struct textlist *l, const char *folder, const char *name, struct err *e) {
    struct stat st;
    char *path = file_join(folder, name);
    int rc = 0;
    if (!path) return no_memory(e);
    if (stat(path, &st))
        rc = err_errno(e, ERR_IO, "cannot read %s", path);
    else if (!S_ISREG(st.st_mode))
        rc = err_set(e, ERR_INPUT,
                     "%s is %s, a folder of texts holds regular files only: name the files", path,
                     S_ISDIR(st.st_mode) ? "a folder" : "no regular file");
    if (!rc) return add(l, path, e);
    free(path);
    return rc;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_folder(struct textlist *l, const char *folder, struct err *e) {
    const size_t first = l->n;
    int rc = 0;
    DIR *d = opendir(folder);
    if (!d) return err_errno(e, ERR_IO, "cannot read the folder %s", folder);
    for (struct dirent *x; (errno = 0, x = readdir(d));)
        if (*x->d_name != '.') TRY(add_entry(l, folder, x->d_name, e));
    if (errno) {
        rc = err_errno(e, ERR_IO, "cannot read the folder %s", folder);
        goto out;
    }
    if (l->n == first)
        rc = err_set(e, ERR_INPUT, "%s is a folder without files", folder);
    else
        qsort(l->path + first, l->n - first, sizeof *l->path, by_name);
out:
    closedir(d);
    return rc;
}

/* One that can be read only once. */
static bool is_stream(const char *path, struct stat *st) {
    const bool standard = !strcmp(path, "-");
    if (standard ? fstat(STDIN_FILENO, st) : stat(path, st)) return false;
    return standard || !(S_ISREG(st->st_mode) || S_ISDIR(st->st_mode));
}

int textlist_once(const char *const *paths, size_t n, struct err *e) {
    int rc = 0;
    size_t n_streams = 0;
    struct stat *streams = malloc((n + 1) * sizeof *streams);
    if (!streams) return no_memory(e);
    for (size_t i = 0; i < n && !rc; i++) {
        struct stat *st = streams + n_streams;
        if (!is_stream(paths[i], st)) continue;
        for (size_t k = 0; k < n_streams && !rc; k++)
            if (streams[k].st_dev == st->st_dev && streams[k].st_ino == st->st_ino)
                rc = err_set(e, ERR_USAGE, "%s is given twice: what is read of it is gone",
                             strcmp(paths[i], "-") ? paths[i] : "standard input");
        n_streams++;
    }
    free(streams);
    return rc;
}

int textlist_open(struct textlist *l, const char *const *paths, size_t n, struct err *e) {
    int rc = 0;
    *l = (struct textlist){0};
    TRY(textlist_once(paths, n, e));
    for (size_t i = 0; i < n; i++)
        TRY(file_is_dir(paths[i]) ? add_folder(l, paths[i], e) : add(l, strdup(paths[i]), e));
out:
    if (rc) textlist_close(l);
    return rc;
}

void textlist_close(struct textlist *l) {
    for (size_t i = 0; i < l->n; i++) free(l->path[i]);
    free(l->path);
    *l = (struct textlist){0};
}

int textlist_check(const struct textlist *l, struct err *e) {
    int rc = 0;
    for (size_t i = 0; i < l->n && !rc; i++) {
        struct textin in;
        struct stat st;
        if (!strcmp(l->path[i], "-") || (!stat(l->path[i], &st) && !S_ISREG(st.st_mode))) continue;
        rc = textin_open(&in, l->path[i], e);
        textin_close(&in);
    }
    return rc;
}

uint64_t textlist_size(const struct textlist *l) {
    uint64_t sum = 0;
    for (size_t i = 0; i < l->n; i++) {
        const uint64_t size = textin_size(l->path[i]);
        if (!size) return 0;
        sum += size;
    }
    return sum;
}
