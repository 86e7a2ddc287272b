#include "run_list.h"

#include "file.h"
#include "run_folder.h"
#include "screen.h"
#include "train_opts.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEPTH = 3 };

/* ---- finding --------------------------------------------------------------------------------- */

int run_list_add(struct run_list *l, const char *dir, int flags, struct err *e) {
    if (l->n == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : 16;
        struct record *p = realloc(l->run, cap * sizeof *p);
        if (p) l->run = p;
        struct run_id *id = realloc(l->id, cap * sizeof *id);
        if (id) l->id = id;
        if (!p || !id) return err_set(e, ERR_NOMEM, "out of memory for runs");
        l->cap = cap;
    }
    struct stat st = {0};
    const int rc = record_read(l->run + l->n, dir, flags, e);
    if (rc) return rc;
    if (stat(dir, &st) != 0) st = (struct stat){0}; /* it has gone */
    l->id[l->n++] = (struct run_id){st.st_dev, st.st_ino};
    return 0;
}

static bool is_listed(const struct run_list *l, const char *dir) {
    struct stat st;
    if (stat(dir, &st) != 0) return false;
    for (size_t i = 0; i < l->n; i++)
        if (l->id[i].ino == st.st_ino && l->id[i].dev == st.st_dev) return true;
    return false;
}

static int shown(const struct dirent *x) {
    return x->d_name[0] != '.';
}

static int look_in(struct run_list *l, const char *dir, int flags, int depth, struct err *e) {
    int rc = 0;
    struct dirent **names;
    const int n = scandir(dir, &names, shown, versionsort);
    if (n < 0) return depth ? 0 : err_errno(e, ERR_INPUT, "cannot read the folder %s", dir);
    for (int i = 0; i < n; i++) {
        char *path = rc ? NULL : file_join(dir, names[i]->d_name);
        if (!rc && !path) rc = err_set(e, ERR_NOMEM, "out of memory for runs");
        if (path && is_listed(l, path))
            ; /* a link led to it before */
        else if (path && run_folder_is(path))
            rc = run_list_add(l, path, flags, e);
        else if (path && depth + 1 < DEPTH && file_is_dir(path))
            rc = look_in(l, path, flags, depth + 1, e);
        free(path);
        free(names[i]);
    }
    free(names);
    return rc;
}

int run_list_find(struct run_list *l, const char *dir, int flags, struct err *e) {
    return run_folder_is(dir) ? run_list_add(l, dir, flags, e) : look_in(l, dir, flags, 0, e);
}

void run_list_say(const struct run_list *l) {
    for (size_t i = 0; i < l->n; i++)
        if (l->run[i].notes) screen_write(stderr, l->run[i].notes, strlen(l->run[i].notes));
}

void run_list_release(struct run_list *l) {
    for (size_t i = 0; i < l->n; i++) record_release(l->run + i);
    free(l->run);
    free(l->id);
    *l = (struct run_list){0};
}

/* ---- options --------------------------------------------------------------------------------- */

static char *number(double x, int digits) {
    char *s = NULL;
    /* Whole numbers are not rounded: steps, seeds. */
    const int n = x == (double)(long long)x && x < 1e15 && x > -1e15 ? 15 : digits;
    return asprintf(&s, "%.*g", n, x) < 0 ? NULL : s;
}

static const char *last_part(const struct conf_row *row, const char *s) {
    const char *slash = row && conf_is_path(row) ? strrchr(s, '/') : NULL;
    return slash && slash[1] ? slash + 1 : s;
}

static char *value_text(const struct conf_row *row, const json_t *v, int digits) {
    size_t n, i;
    char *all = NULL;
    json_t *x;
    if (json_is_string(v)) return strdup(last_part(row, json_string_value(v)));
    if (json_is_number(v)) return number(json_number_value(v), digits);
    if (json_is_boolean(v)) return strdup(json_is_true(v) ? "yes" : "no");
    if (!json_is_array(v)) return json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    FILE *f = open_memstream(&all, &n);
    json_array_foreach((json_t *)(uintptr_t)v, i, x)
        if (f && json_is_string(x))
            fprintf(f, "%s%s", i ? "," : "", last_part(row, json_string_value(x)));
    if (f) fclose(f);
    return all;
}

static char *default_text(const struct conf_row *row, int digits) {
    if (!row || (!row->def && row->type != CONF_T_BOOL)) return strdup("");
    if (row->type == CONF_T_BOOL) return strdup(row->def && *row->def == 't' ? "yes" : "no");
    if (!strcmp(row->def, "-1") || !strcmp(row->def, "auto")) return strdup("");
    const bool real = row->type == CONF_T_INT || row->type == CONF_T_FLOAT;
    return real ? number(strtod(row->def, NULL), digits) : strdup(row->def);
}

char *run_option(const struct record *r, const char *key, int digits) {
    const bool set = !strncmp(key, "set.", 4);
    const struct conf_row *row = set ? NULL : conf_row(train_rows, key);
    const json_t *v = set ? json_object_get(json_object_get(r->options, "set"), key + 4)
                          : json_object_get(r->options, key);
    if (v) return value_text(row, v, digits);
    return r->options ? default_text(row, digits) : strdup("");
}

bool run_option_is_default(const char *key, const json_t *v) {
    const struct conf_row *row = conf_row(train_rows, key);
    if (!row) return false;
    if (json_is_null(v) || (json_is_object(v) && !json_object_size(v))) return !row->def;
    if (json_is_string(v) && row->def) return !strcmp(json_string_value(v), row->def);
    if (json_is_number(v) && row->def && strtod(row->def, NULL) == json_number_value(v))
        return true; /* -1 too, where the program decides */
    char *a = value_text(row, v, OPTION_EXACT), *b = default_text(row, OPTION_EXACT);
    const bool same = a && b && !strcmp(a, b);
    free(a);
    free(b);
    return same;
}

static bool is_label(const char *key) {
    return !strcmp(key, "name") || !strcmp(key, "note") || !strcmp(key, "set");
}

/* Every key of any run, as an object. */
static json_t *all_keys(const struct run_list *l) {
    json_t *keys = json_object(), *v;
    const char *key;
    for (const struct conf_row *row = train_rows; row->type != CONF_T_END; row++)
        for (size_t i = 0; row->name && i < l->n; i++)
            if (json_object_get(l->run[i].options, row->name) && !is_label(row->name))
                json_object_set_new(keys, row->name, json_true());
    for (size_t i = 0; i < l->n; i++) { /* those of other versions come last */
        json_object_foreach(l->run[i].options, key, v)
            if (!is_label(key)) json_object_set_new(keys, key, json_true());
        json_object_foreach(json_object_get(l->run[i].options, "set"), key, v) {
            char name[128];
            snprintf(name, sizeof name, "set.%.100s", key);
            json_object_set_new(keys, name, json_true());
        }
    }
    return keys;
}

static bool differs(const struct run_list *l, const char *key) {
    char *first = run_option(l->run, key, OPTION_EXACT);
    bool yes = false;
    for (size_t i = 1; i < l->n && !yes && first; i++) {
        char *other = run_option(l->run + i, key, OPTION_EXACT);
        yes = other && strcmp(first, other) != 0;
        free(other);
    }
    free(first);
    return yes;
}

int run_list_options(const struct run_list *l, bool all, char ***keys, size_t *n, struct err *e) {
    int rc = 0;
    const char *key;
    json_t *v, *every = all_keys(l);
    *n = 0;
    *keys = calloc(json_object_size(every) + 1, sizeof **keys);
    if (!*keys) rc = err_set(e, ERR_NOMEM, "out of memory for options");
    json_object_foreach(every, key, v) {
        if (rc || (!all && !differs(l, key))) continue;
        char *copy = strdup(key);
        if (copy)
            (*keys)[(*n)++] = copy;
        else
            rc = err_set(e, ERR_NOMEM, "out of memory for options");
    }
    json_decref(every);
    return rc;
}

void run_list_free_options(char **keys, size_t n) {
    for (size_t i = 0; i < n; i++) free(keys[i]);
    free(keys);
}
