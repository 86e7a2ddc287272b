#include "prune.h"

#include "file.h"
#include "limit.h"
#include "run_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct pruned {
    char **path; /* files, then folders that may be empty then; owned */
    struct stat *st;
    size_t n, cap, folders; /* the last `folders` of n are folders */
    bool no_memory;
};

static void add(struct pruned *p, char *path, bool folder) {
    struct stat st;
    if (!path || lstat(path, &st) != 0 || (folder ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))) {
        p->no_memory |= !path;
        free(path);
        return;
    }
    if (p->n == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 32;
        char **a = realloc(p->path, cap * sizeof *a);
        if (a) p->path = a;
        struct stat *b = a ? realloc(p->st, cap * sizeof *b) : NULL;
        if (b) p->st = b;
        if (!b) {
            p->no_memory = true;
            free(path);
            return;
        }
        p->cap = cap;
    }
    p->st[p->n] = st;
    p->path[p->n++] = path;
    p->folders += folder;
}

static void add_kept(struct pruned *p, const char *dir) {
    static const char *const files[] = {"model.blzt", "adapter.blzt", "state"};
    for (int folders = 0; folders < 2; folders++) {
        DIR *d = opendir(dir);
        for (const struct dirent *x; d && (x = readdir(d));) {
            if (!*x->d_name || strspn(x->d_name, "0123456789") != strlen(x->d_name)) continue;
            char *step = file_join(dir, x->d_name);
            for (size_t i = 0; step && !folders && i < sizeof files / sizeof *files; i++)
                add(p, file_join(step, files[i]), false);
            if (folders)
                add(p, step, true);
            else
                free(step);
        }
        if (d) closedir(d);
    }
    add(p, strdup(dir), true);
}

static void add_run(struct pruned *p, const struct record *r, const char *what) {
    static const char *const aside[] = {"state.good", "model.good.blzt", "adapter.good.blzt",
                                        "model.next.blzt", "adapter.next.blzt"};
    char *kept = file_join(r->dir, RUN_FOLDER_KEPT);
    const bool all = !strcmp(what, "never-began"), states = !strcmp(what, "states");
    for (size_t i = 0; all && i < n_run_folder_files; i++)
        add(p, file_join(r->dir, run_folder_files[i]), false);
    for (size_t i = 0; !all && i < sizeof aside / sizeof *aside; i++)
        add(p, file_join(r->dir, aside[i]), false);
    if (states) add(p, file_join(r->dir, "state"), false);
    if (kept) add_kept(p, kept);
    p->no_memory |= !kept;
    free(kept);
    if (all) add(p, strdup(r->dir), true);
}

/* Of a file with several names only the last one frees anything. */
static uint64_t freed(const struct pruned *p) {
    uint64_t sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        nlink_t names = 1;
        bool first = true;
        if (S_ISDIR(p->st[i].st_mode)) continue;
        for (size_t k = 0; k < p->n && p->st[i].st_nlink > 1; k++) {
            if (k == i || p->st[k].st_ino != p->st[i].st_ino || p->st[k].st_dev != p->st[i].st_dev)
                continue;
            names++;
            first &= k > i;
        }
        if (first && names == p->st[i].st_nlink) sum += (uint64_t)p->st[i].st_size;
    }
    return sum;
}

static void release(struct pruned *p) {
    for (size_t i = 0; i < p->n; i++) free(p->path[i]);
    free(p->path);
    free(p->st);
    *p = (struct pruned){0};
}

static int remove_all(const struct pruned *p, struct err *e) {
    for (size_t i = 0; i < p->n; i++)
        if (!S_ISDIR(p->st[i].st_mode) && unlink(p->path[i]) != 0 && errno != ENOENT)
            return err_errno(e, ERR_IO, "cannot remove %s", p->path[i]);
    for (size_t i = 0; i < p->n; i++)
        if (S_ISDIR(p->st[i].st_mode)) (void)rmdir(p->path[i]); /* others' files stay */
    return 0;
}

/* Still what it was when it was listed; the lock is the one that training takes. */
static int prune_one(const struct record *r, const char *what, bool yes, uint64_t *bytes,
                     struct err *e) {
    int rc = 0;
    struct record now = {0};
    struct pruned p = {0};
    const int lock = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB)) goto out;
    flock(lock, LOCK_SH); /* record_read asks for it, too */
    TRY(record_read(&now, r->dir, RECORD_BRIEF, e));
    if (now.status != r->status) goto out;
    add_run(&p, &now, what);
    if (p.no_memory) {
        rc = err_set(e, ERR_NOMEM, "out of memory for %s", r->dir);
        goto out;
    }
    if (p.n == p.folders) goto out;
    printf("%-8s %9.3f MB  %s: %zu file%s\n", yes ? "removed" : "would", in_mb(freed(&p)), r->dir,
           p.n - p.folders, p.n - p.folders == 1 ? "" : "s");
    *bytes += freed(&p);
    if (yes) TRY(remove_all(&p, e));
out:
    if (lock >= 0) close(lock);
    release(&p);
    record_release(&now);
    return rc;
}

int prune_runs(const struct run_list *l, const char *what, bool yes, struct err *e) {
    int rc = 0;
    uint64_t bytes = 0;
    size_t n = 0;
    const bool all = !strcmp(what, "never-began");
    for (size_t i = 0; i < l->n; i++) {
        const struct record *r = l->run + i;
        if (r->status != (all ? RECORD_NEVER_BEGAN : RECORD_FINISHED)) continue;
        const uint64_t before = bytes;
        TRY(prune_one(r, what, yes, &bytes, e));
        n += bytes != before;
    }
    if (!n)
        printf("nothing to remove: %s\n", all ? "no run never began" : "no finished run keeps any");
    else if (yes)
        printf("freed %.3f MB in %zu run%s\n", in_mb(bytes), n, n == 1 ? "" : "s");
    else
        printf("%.3f MB in %zu run%s; with --yes they are removed\n", in_mb(bytes), n,
               n == 1 ? "" : "s");
out:
    return rc;
}
