#include "hand_files.h"

#include "file.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* Something in the past is a file that was left behind: its bytes decide, not its name. */
static bool holds(const char *path, const struct file_map *m) {
    struct file_map was;
    struct err ignored;
    if (!file_is_regular(path) || file_map_open(&was, path, &ignored)) return false;
    const bool same = was.size == m->size && !memcmp(was.data, m->data, m->size);
    file_map_close(&was);
    return same;
}

static int write_copy(const char *path, const struct file_map *m, bool program, struct err *e) {
    struct file_out f = {0};
    int rc = 0;
    if (!holds(path, m)) {
        TRY(file_out_open(&f, path, e));
        file_out_write(&f, m->data, m->size);
        TRY(file_out_commit(&f, e));
    }
    if (program && chmod(path, 0755))
        rc = err_errno(e, ERR_IO, "%s: cannot be made a program", path);
out:
    return rc;
}

/* Of /a/duet "duet-0123456789abcdef", of /a/x.json "x-0123456789abcdef.json". */
static char *name_of(const char *path, uint64_t hash) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *end = strrchr(name, '.');
    char *text = malloc(strlen(name) + 24);
    if (!end || end == name) end = name + strlen(name);
    if (text) sprintf(text, "%.*s-%016" PRIx64 "%s", (int)(end - name), name, hash, end);
    return text;
}

int hand_keep_file(const char *dir, const char *inner, const char *path, bool program, char **kept,
                   struct err *e) {
    struct file_map m = {0};
    char *folder = file_join(dir, inner), *name = NULL, *at = NULL, *whole = NULL;
    int rc;
    *kept = NULL;
    if (!file_is_regular(path)) TRY(err_set(e, ERR_USAGE, "%s is no file", path));
    if (program && access(path, X_OK))
        TRY(err_set(e, ERR_USAGE, "%s is no program: it cannot be executed", path));
    TRY(file_map_open(&m, path, e));
    name = name_of(path, XXH3_64bits(m.data, m.size));
    TRY(folder && name ? file_mkdirs(folder, e) : err_set(e, ERR_NOMEM, "%s: no memory", path));
    whole = realpath(folder, NULL);
    at = whole ? file_join(whole, name) : NULL;
    TRY(at ? write_copy(at, &m, program, e) : err_set(e, ERR_NOMEM, "%s: no memory", path));
    *kept = at;
    at = NULL;
out:
    file_map_close(&m);
    free(folder);
    free(name);
    free(whole);
    free(at);
    return rc;
}

bool hand_same_file(const char *a, const char *b) {
    struct file_map m;
    struct err ignored;
    if (file_same(a, b)) return true;
    if (!file_is_regular(a) || file_map_open(&m, a, &ignored)) return false;
    const bool same = holds(b, &m);
    file_map_close(&m);
    return same;
}
