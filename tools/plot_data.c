#include "plot_data.h"
#include "file.h"
#include "run_folder.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_MAX ((size_t)256 << 20)

struct plot_run *plot_set_next(struct plot_set *s, const char *path, struct err *e) {
    if (s->n == s->cap) {
        const size_t cap = s->cap ? 2 * s->cap : 8;
        struct plot_run *run = realloc(s->run, cap * sizeof *run);
        if (!run) {
            err_set(e, ERR_NOMEM, "no memory for the runs of %s", path);
            return NULL;
        }
        s->run = run;
        s->cap = cap;
    }
    s->run[s->n] = (struct plot_run){.bpb = NAN, .floor = NAN};
    return &s->run[s->n];
}

static int add_folder(struct plot_set *s, const char *path, struct err *e) {
    struct plot_run *r = plot_set_next(s, path, e);
    if (!r) return e->code;
    const int rc = record_read(&r->run, path, 0, e);
    if (rc) return rc;
    s->n++;
    const double bpb = record_number(r->run.summary, "val_bpb");
    const double loss = record_number(r->run.summary, "val_loss");
    if (bpb > 0 && loss > 0) r->bpb = bpb / loss;
    r->floor = record_number(r->run.summary, "floor_bpb");
    return 0;
}

static int add_table(struct plot_set *s, const char *path, struct err *e) {
    char *text = NULL;
    size_t n;
    int rc;
    TRY(file_read_text(path, TABLE_MAX, &text, &n, e));
    TRY(plot_table_parse(s, text, path, e));
out:
    free(text);
    return rc;
}

int plot_set_add(struct plot_set *s, const char *path, struct err *e) {
    if (file_exists(path) && !file_is_dir(path)) {
        if (file_ends_with(path, ".tsv")) return add_table(s, path, e);
        return err_set(e, ERR_INPUT, "%s is neither the folder of a run nor a table (.tsv) of runs",
                       path);
    }
    return add_folder(s, path, e);
}

/* ---- names --------------------------------------------------------------------------------- */

/* Options that say nothing of what was computed, or that are names themselves. */
static bool is_label(const char *key) {
    static const char *const keys[] = {"name", "note", "log-every", "save-every", "keep"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(key, keys[i])) return true;
    return false;
}

static bool options_differ(const struct plot_set *s, const char *key) {
    const json_t *first = json_object_get(s->run[0].run.options, key);
    for (size_t i = 1; i < s->n; i++) {
        const json_t *v = json_object_get(s->run[i].run.options, key);
        if ((v || first) && !(v && first && json_equal(v, first))) return true;
    }
    return false;
}

#define MOST_KEYS 2

/* The options, up to MOST_KEYS + 1 of them, that differ between the runs. */
static size_t differing(const struct plot_set *s, const char *keys[MOST_KEYS + 1]) {
    size_t n = 0;
    for (size_t i = 0; i < s->n && n <= MOST_KEYS; i++) {
        const char *key;
        json_t *v;
        json_object_foreach(s->run[i].run.options, key, v) {
            bool known = is_label(key) || !options_differ(s, key);
            for (size_t k = 0; k < n; k++) known |= !strcmp(keys[k], key);
            if (!known && n <= MOST_KEYS) keys[n++] = key;
        }
    }
    return n;
}

/* "lr 0.003", "clip" for true, "no clip" for false. */
static void print_option(FILE *out, const char *key, const json_t *v) {
    char *text = NULL;
    if (json_is_string(v)) {
        fprintf(out, "%s %s", key, json_string_value(v));
    } else if (json_is_real(v)) {
        char number[32];
        snprintf(number, sizeof number, "%g", json_real_value(v));
        char *zero = strstr(number, "e-0"); /* 3e-05 is 3e-5 */
        if (zero) memmove(zero + 2, zero + 3, strlen(zero + 3) + 1);
        fprintf(out, "%s %s", key, number);
    } else if (json_is_boolean(v)) {
        fprintf(out, "%s%s", json_is_true(v) ? "" : "no ", key);
    } else if (!v) {
        fprintf(out, "no %s", key);
    } else {
        text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
        fprintf(out, "%s %s", key, text ? text : "?");
        free(text);
    }
}

static char *name_by_options(const struct plot_run *r, const char *const *keys, size_t n) {
    char *name = NULL;
    size_t bytes;
    FILE *out = open_memstream(&name, &bytes);
    if (!out) return NULL;
    for (size_t k = 0; k < n; k++) {
        if (k) fputs(", ", out);
        print_option(out, keys[k], json_object_get(r->run.options, keys[k]));
    }
    if (fclose(out) == 0) return name;
    free(name);
    return NULL;
}

static bool is_table(const struct plot_run *r) {
    return file_ends_with(r->run.dir, ".tsv");
}

/* A run of a table without a name has that of its file. */
static const char *base_name(const struct plot_run *r) {
    const char *slash = strrchr(r->run.dir, '/');
    if (*r->run.label) return r->run.label;
    return slash && slash[1] ? slash + 1 : r->run.dir;
}

static bool name_is_taken(const struct plot_set *s, size_t i) {
    for (size_t k = 0; k < s->n; k++)
        if (k != i && !strcmp(s->run[k].name, s->run[i].name)) return true;
    return false;
}

static int tell_apart(struct plot_set *s, struct err *e) {
    bool *taken = calloc(s->n + 1, sizeof *taken);
    int rc = 0;
    if (!taken) return err_set(e, ERR_NOMEM, "no memory for the names of runs");
    for (size_t i = 0; i < s->n; i++) taken[i] = name_is_taken(s, i);
    for (size_t i = 0; i < s->n; i++) {
        char *longer = NULL;
        if (!taken[i] || !strcmp(s->run[i].name, s->run[i].run.dir)) continue;
        if (asprintf(&longer, "%s (%s)", s->run[i].name, s->run[i].run.dir) < 0)
            TRY(err_set(e, ERR_NOMEM, "no memory for the names of runs"));
        free(s->run[i].name);
        s->run[i].name = longer;
    }
out:
    free(taken);
    return rc;
}

int plot_set_name(struct plot_set *s, struct err *e) {
    const char *keys[MOST_KEYS + 1];
    bool all_folders = s->n > 1;
    for (size_t i = 0; i < s->n; i++) all_folders &= !is_table(&s->run[i]) && s->run[i].run.options;
    const size_t n_keys = all_folders ? differing(s, keys) : 0;
    const bool by_options = n_keys >= 1 && n_keys <= MOST_KEYS;
    for (size_t i = 0; i < s->n; i++) {
        struct plot_run *r = &s->run[i];
        const bool named = r->run.name && *r->run.name;
        r->name = by_options && !named ? name_by_options(r, keys, n_keys) : strdup(base_name(r));
        if (!r->name) return err_set(e, ERR_NOMEM, "no memory for the names of runs");
    }
    return tell_apart(s, e);
}

void plot_set_release(struct plot_set *s) {
    for (size_t i = 0; i < s->n; i++) {
        record_release(&s->run[i].run);
        free(s->run[i].name);
    }
    free(s->run);
    *s = (struct plot_set){0};
}
