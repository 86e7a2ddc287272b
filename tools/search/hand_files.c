#include "hand_files.h"

#include "file.h"
#include "format.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static const char FILES[] = "files", PROGRAMS[] = "programs";

static int no_memory(const char *path, struct err *e) {
    return err_set(e, ERR_NOMEM, "%s: no memory", path);
}

/* What is in them ------------------------------------------------------------------------------ */

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int shown(const struct dirent *d) {
    return *d->d_name != '.';
}

/* What is done with each regular file of a folder, in the order of their names. */
typedef int file_fn(void *ctx, const char *name, const struct file_map *m, struct err *e);

static int walk(const char *folder, file_fn *fn, void *ctx, struct err *e) {
    struct dirent **entry = NULL;
    int rc = 0;
    const int n = scandir(folder, &entry, shown, by_name);
    if (n < 0) return err_errno(e, ERR_IO, "cannot read the folder %s", folder);
    for (int i = 0; i < n; i++) {
        struct file_map m = {0};
        char *path = rc ? NULL : file_join(folder, entry[i]->d_name);
        if (!rc && !path) rc = no_memory(folder, e);
        if (path && file_is_regular(path)) {
            rc = file_map_open(&m, path, e);
            if (!rc) rc = fn(ctx, entry[i]->d_name, &m, e);
            file_map_close(&m);
        }
        free(path);
        free(entry[i]);
    }
    free(entry);
    return rc;
}

static int add_to_hash(void *ctx, const char *name, const struct file_map *m, struct err *e) {
    const uint64_t size = m->size;
    XXH3_state_t *h = ctx;
    (void)e;
    XXH3_64bits_update(h, name, strlen(name) + 1);
    XXH3_64bits_update(h, &size, sizeof size);
    XXH3_64bits_update(h, m->data, m->size);
    return 0;
}

static int hash_folder(const char *folder, uint64_t *hash, struct err *e) {
    XXH3_state_t *h = XXH3_createState();
    int rc;
    if (!h || XXH3_64bits_reset(h)) TRY(no_memory(folder, e));
    TRY(walk(folder, add_to_hash, h, e));
    *hash = XXH3_64bits_digest(h);
out:
    XXH3_freeState(h);
    return rc;
}

static int hash_of(const char *path, uint64_t *hash, struct err *e) {
    struct file_map m;
    if (file_is_dir(path)) return hash_folder(path, hash, e);
    const int rc = file_map_open(&m, path, e);
    if (rc) return rc;
    *hash = XXH3_64bits(m.data, m.size);
    file_map_close(&m);
    return 0;
}

/* Of "./INNER/NAME-HASH.END", or of what lies in a folder of such a name: how much of the text that
 * name is, and its hash. 0: it is none. */
static size_t read_name(const char *kept, uint64_t *hash) {
    enum { DIGITS = 16 };
    const char *const inner[] = {FILES, PROGRAMS};
    char digits[DIGITS + 1] = "";
    const char *name = NULL;
    for (int i = 0; i < 2 && !strncmp(kept, "./", 2); i++)
        if (!strncmp(kept + 2, inner[i], strlen(inner[i])) && kept[2 + strlen(inner[i])] == '/')
            name = kept + 3 + strlen(inner[i]);
    if (!name) return 0;
    const size_t n = strcspn(name, "/");
    const char *dot = memrchr(name, '.', n), *end = dot && dot > name ? dot : name + n;
    if (end - name <= DIGITS || end[-DIGITS - 1] != '-') return 0;
    memcpy(digits, end - DIGITS, DIGITS);
    if (strspn(digits, "0123456789abcdef") != DIGITS) return 0;
    *hash = strtoull(digits, NULL, 16);
    return (size_t)(name + n - kept);
}

int hand_check_kept(const char *dir, const char *kept, struct err *e) {
    uint64_t was, is = 0;
    const size_t n = read_name(kept, &was);
    char *at = NULL;
    int rc = 0;
    if (!n) return 0;
    if (asprintf(&at, "%s/%.*s", dir, (int)(n - 2), kept + 2) < 0) at = NULL;
    if (!at) TRY(no_memory(dir, e));
    if (!file_exists(at))
        TRY(err_set(e, ERR_INPUT,
                    "%s is not there any more, which its trials read: put it back, or begin "
                    "another search",
                    at));
    TRY(hash_of(at, &is, e));
    if (is != was)
        rc = err_set(e, ERR_INPUT,
                     "%s was changed since it was kept (hash %016" PRIx64 ", was %016" PRIx64
                     "): trials would not be comparable; put it back, or begin another search",
                     at, is, was);
out:
    free(at);
    return rc;
}

/* A file --------------------------------------------------------------------------------------- */

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

/* "./INNER/NAME"; NULL without one, or memory. */
static char *own_name(const char *inner, const char *name) {
    char *text = NULL;
    return name && asprintf(&text, "./%s/%s", inner, name) >= 0 ? text : NULL;
}

/* Lies it in DIR/INNER, and is it still what was kept there? Its name from there, malloc()ed; NULL:
 * it is to be copied. path: absolute. */
static char *lies_in(const char *dir, const char *inner, const char *path) {
    char *folder = file_join(dir, inner), *whole = folder ? realpath(folder, NULL) : NULL;
    const size_t n = whole ? strlen(whole) : 0;
    char *name = n && !strncmp(path, whole, n) && path[n] == '/' ? own_name(inner, path + n + 1)
                                                                : NULL;
    uint64_t hash;
    struct err ignored;
    if (name && (!read_name(name, &hash) || hand_check_kept(dir, name, &ignored))) {
        free(name);
        name = NULL;
    }
    free(folder);
    free(whole);
    return name;
}

int hand_keep_file(const char *dir, const char *inner, const char *path, bool program, char **kept,
                   struct err *e) {
    struct file_map m = {0};
    char *folder = file_join(dir, inner), *found = NULL, *name = NULL, *at = NULL;
    int rc;
    *kept = NULL;
    if (!file_is_regular(path)) TRY(err_set(e, ERR_USAGE, "%s is no file", path));
    if (program && access(path, X_OK))
        TRY(err_set(e, ERR_USAGE, "%s is no program: it cannot be executed", path));
    found = realpath(path, NULL); /* none of a program that was replaced while it runs */
    TRY(folder ? file_map_open(&m, path, e) : no_memory(path, e));
    *kept = found ? lies_in(dir, inner, found) : NULL;
    if (*kept) goto out;
    name = name_of(path, XXH3_64bits(m.data, m.size));
    TRY(name ? file_mkdirs(folder, e) : no_memory(path, e));
    at = file_join(folder, name);
    TRY(at ? write_copy(at, &m, program, e) : no_memory(path, e));
    *kept = own_name(inner, name);
    if (!*kept) rc = no_memory(path, e);
out:
    file_map_close(&m);
    free(folder);
    free(found);
    free(name);
    free(at);
    return rc;
}

/* A folder ------------------------------------------------------------------------------------- */

static int copy_into(void *ctx, const char *name, const struct file_map *m, struct err *e) {
    const char *folder = ctx;
    char *path = file_join(folder, name);
    const int rc = path ? write_copy(path, m, false, e) : no_memory(folder, e);
    free(path);
    return rc;
}

/* folder: absolute. */
static int keep_folder(const char *dir, const char *folder, char **kept, struct err *e) {
    uint64_t hash = 0;
    char *files = file_join(dir, FILES), *name = NULL, *at = NULL;
    int rc = 0;
    *kept = lies_in(dir, FILES, folder);
    if (*kept) goto out;
    TRY(files ? hash_folder(folder, &hash, e) : no_memory(folder, e));
    name = name_of(folder, hash);
    at = name ? file_join(files, name) : NULL;
    TRY(at ? file_mkdirs(at, e) : no_memory(folder, e));
    TRY(walk(folder, copy_into, at, e)); /* what a killed process has left is completed */
    *kept = own_name(FILES, name);
    if (!*kept) rc = no_memory(folder, e);
out:
    free(files);
    free(name);
    free(at);
    return rc;
}

/* A file of weights with others beside it, from which it is not told what it is. */
static int keep_beside(const char *dir, const char *path, char **kept, struct err *e) {
    const char *slash = strrchr(path, '/');
    char *folder = strndup(path, (size_t)(slash - path)), *own = NULL;
    int rc;
    TRY(folder ? keep_folder(dir, folder, &own, e) : no_memory(path, e));
    *kept = file_join(own, slash + 1);
    if (!*kept) rc = no_memory(path, e);
out:
    free(folder);
    free(own);
    return rc;
}

int hand_keep_model(const char *dir, const char *path, char **kept, struct err *e) {
    char *run = model_file_of_run(path), *found = realpath(run ? run : path, NULL);
    int rc;
    *kept = NULL;
    if (!found)
        rc = err_errno(e, ERR_USAGE, "%s", path);
    else if (file_is_dir(found))
        rc = keep_folder(dir, found, kept, e);
    else if (file_ends_with(found, ".safetensors") && strchr(found + 1, '/'))
        rc = keep_beside(dir, found, kept, e);
    else
        rc = hand_keep_file(dir, FILES, found, false, kept, e);
    free(run);
    free(found);
    return rc;
}

/* Finding -------------------------------------------------------------------------------------- */

/* What comes behind the last "/INNER/" of a path, INNER included; NULL: nothing does. */
static const char *behind(const char *path, const char *inner) {
    const size_t n = strlen(inner);
    const char *last = NULL;
    for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/'))
        if (!strncmp(p + 1, inner, n) && p[n + 1] == '/' && p[n + 2]) last = p + 1;
    return last;
}

char *hand_find_file(const char *dir, const char *path) {
    const char *const inner[] = {FILES, PROGRAMS};
    const bool own = !strncmp(path, "./", 2);
    char *found = NULL;
    for (int i = 0; i < 2 && !found; i++) {
        const char *name = behind(path, inner[i]);
        if (!name || (own && name != path + 2) || (!own && (*path != '/' || file_exists(path))))
            continue;
        char *at = file_join(dir, name);
        if (!at) return NULL;
        found = realpath(at, NULL);
        free(at);
    }
    return found ? found : strdup(path);
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
