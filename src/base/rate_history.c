#include "rate_history.h"

#include "file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 18, KEY_MAX = 256 };

char *rate_history_path(void) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache == '/') return file_join(cache, "duet/rates.json");
    return home && *home == '/' ? file_join(home, ".cache/duet/rates.json") : NULL;
}

static int falling(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x > y ? -1 : x < y;
}

/* The last rates of a list: how many. */
static int take(const json_t *list, double rate[RATE_EACH]) {
    const size_t all = json_array_size(list);
    int n = 0;
    for (size_t i = all > RATE_EACH ? all - RATE_EACH : 0; i < all; i++) {
        const double x = json_number_value(json_array_get(list, i));
        if (x > 0 && x < 1e12) rate[n++] = x;
    }
    return n;
}

static json_t *list_of(const double *rate, int n, double more) {
    json_t *list = json_array();
    for (int i = more > 0 && n == RATE_EACH; i < n; i++)
        json_array_append_new(list, json_real(rate[i]));
    if (more > 0) json_array_append_new(list, json_real(more));
    return list;
}

/* What can be used of a file, with key last. */
static json_t *renewed(json_t *was, const char *key, double rate) {
    json_t *now = json_object(), *v;
    const char *name;
    double own[RATE_EACH];
    size_t skip = json_object_size(was) - (json_object_get(was, key) != NULL);
    skip = skip < RATE_KEYS ? 0 : skip - RATE_KEYS + 1;
    json_object_foreach(was, name, v) {
        if (!strcmp(name, key) || strlen(name) >= KEY_MAX) continue;
        if (skip) {
            skip--;
            continue;
        }
        const int n = take(v, own);
        if (n) json_object_set_new(now, name, list_of(own, n, 0));
    }
    const int n = take(json_object_get(was, key), own);
    json_object_set_new(now, key, list_of(own, n, rate));
    return now;
}

double rate_history_text(const char *text, size_t n, const char *key, double rate, char **next) {
    double own[RATE_EACH];
    json_t *was = n <= FILE_MAX ? json_loadb(text, n, 0, NULL) : NULL;
    const int known = take(json_object_get(was, key), own);
    if (next) {
        json_t *now = renewed(was, key, rate);
        *next = json_dumps(now, JSON_INDENT(0) | JSON_REAL_PRECISION(6));
        json_decref(now);
    }
    json_decref(was);
    if (known < RATE_LEAST) return 0;
    qsort(own, (size_t)known, sizeof *own, falling);
    return own[known / 4];
}

/* The file's text, malloc()ed, or NULL. */
static char *read_file(const char *path, size_t *n) {
    struct err ignored;
    char *text = NULL;
    *n = 0;
    const bool there = path && file_is_regular(path);
    return there && !file_read_text(path, FILE_MAX, &text, n, &ignored) ? text : NULL;
}

double rate_history_usual(const char *path, const char *key) {
    size_t n;
    char *text = read_file(path, &n);
    const double usual = text ? rate_history_text(text, n, key, 0, NULL) : 0;
    free(text);
    return usual;
}

static void write_file(const char *path, const char *text) {
    struct err ignored;
    if (file_exists(path) && !file_is_regular(path)) return; /* a pipe would be waited for */
    struct file_out out;
    char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash) *slash = 0;
    if (slash && !file_mkdirs(folder, &ignored) && !file_out_open(&out, path, &ignored)) {
        file_out_write(&out, text, strlen(text));
        file_out_write(&out, "\n", 1);
        file_out_commit(&out, &ignored);
    }
    free(folder);
}

void rate_history_add(const char *path, const char *key, double rate) {
    size_t n;
    char *text = read_file(path, &n), *next = NULL;
    if (path && rate > 0) rate_history_text(text ? text : "", n, key, rate, &next);
    if (next) write_file(path, next);
    free(text);
    free(next);
}
