#include "results_tsv.h"

#include "file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_MOST ((size_t)1 << 20)

/* A column: a number of the summaries, or one of the words. */
struct column {
    const char *name, *key; /* key NULL: a word, by its name */
    double unit;
    int digits;
};

static const struct column karpathy[] = {{"commit", NULL, 0, 0},
                                         {"val_bpb", "val_bpb", 1, 6},
                                         {"memory_gb", "peak_rss_mb", 1e-3, 3},
                                         {"status", NULL, 0, 0},
                                         {"description", NULL, 0, 0}};
static const struct column autoane[] = {
    {"commit", NULL, 0, 0},           {"val_loss", "val_loss", 1, 6},
    {"steps", "num_steps", 1, 0},     {"params_M", "num_params_M", 1, 3},
    {"ms_step", "ms_per_step", 1, 2}, {"status", NULL, 0, 0},
    {"description", NULL, 0, 0}};
static const struct column ane[] = {{"commit", NULL, 0, 0},
                                    {"val_loss", "val_loss", 1, 6},
                                    {"ane_util_pct", "peak_fraction", 100, 1},
                                    {"status", NULL, 0, 0},
                                    {"description", NULL, 0, 0}};

static const struct order {
    const char *name;
    const struct column *column;
    size_t n;
} orders[] = {
#define ORDER(x)                                                                                   \
    { #x, x, sizeof x / sizeof *x }
    ORDER(karpathy),
    ORDER(autoane),
    ORDER(ane),
#undef ORDER
};

static const struct order *find_order(const char *name) {
    for (size_t i = 1; i < sizeof orders / sizeof *orders; i++)
        if (!strcmp(name, orders[i].name)) return &orders[i];
    return &orders[0];
}

/* Of the program that trained it, as its run's config.json says; else of the one that searched. */
static void commit_of(const struct search *s, int64_t trial, char out[8]) {
    char *path = search_run_path(s, trial, 1, "config.json"), *text = NULL;
    struct err none; /* of a trial that was never started */
    size_t n = 0;
    const bool there = path && !file_read_text(path, CONFIG_MOST, &text, &n, &none);
    json_t *config = there ? json_loadb(text, n, 0, NULL) : NULL;
    const json_t *run = json_object_get(config, CONF_RECORD);
    const char *commit = json_string_value(json_object_get(run, "commit"));
    if (!commit) commit = json_string_value(json_object_get(s->ledger.head, "commit"));
    const bool known = commit && strspn(commit, "0123456789abcdef") >= 7;
    snprintf(out, 8, "%.7s", known ? commit : "unknown");
    json_decref(config);
    free(text);
    free(path);
}

static const char *status_of(const struct view_trial *t) {
    if (!t->seeds) return "crash";
    return t->outcome == VIEW_keep || t->outcome == VIEW_base ? "keep" : "discard";
}

static double number_of(const struct search_view *v, int64_t trial, const struct column *c) {
    const struct search_metric *m = &v->s->file.metric;
    if (!v->trial[trial].seeds) return 0;
    if (m->key && !strcmp(c->key, m->key)) return c->unit * v->trial[trial].value;
    const double x = view_number(v, trial, c->key);
    return isnan(x) ? 0 : c->unit * x;
}

static void put_trial(const struct search_view *v, int64_t trial, const struct order *o,
                      FILE *out) {
    char what[4096], commit[8];
    commit_of(v->s, trial, commit);
    view_describe(v, trial, what, sizeof what);
    for (size_t i = 0; i < o->n; i++) {
        const struct column *c = &o->column[i];
        if (i) fputc('\t', out);
        if (c->key)
            fprintf(out, "%.*f", c->digits, number_of(v, trial, c));
        else
            fputs(*c->name == 'c'   ? commit
                  : *c->name == 's' ? status_of(&v->trial[trial])
                                    : what,
                  out);
    }
    fputc('\n', out);
}

void results_tsv_print(const struct search_view *v, const char *order, FILE *out) {
    const struct order *o = find_order(order);
    for (size_t i = 0; i < o->n; i++) fprintf(out, "%s%s", i ? "\t" : "", o->column[i].name);
    fputc('\n', out);
    for (size_t i = 0; i < v->n; i++)
        if (v->trial[i].decided) put_trial(v, (int64_t)i, o, out);
}

int results_tsv_write(const struct search_view *v, const char *order, const char *path,
                      struct err *e) {
    struct file_out out = {0};
    char *text = NULL;
    size_t n;
    int rc = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return err_set(e, ERR_NOMEM, "no memory for a table of results");
    results_tsv_print(v, order, f);
    const bool starved = ferror(f) != 0;
    if (fclose(f) || starved) TRY(err_set(e, ERR_NOMEM, "no memory for a table of results"));
    TRY(file_out_open(&out, path, e));
    file_out_write(&out, text, n);
    TRY(file_out_commit(&out, e));
out:
    file_out_discard(&out);
    free(text);
    return rc;
}

/* The order of a table that is there: by its first line. */
static const char *order_of(const char *path) {
    char line[256] = "";
    const char *name = orders[0].name;
    FILE *f = fopen(path, "r");
    if (!f) return name;
    if (!fgets(line, sizeof line, f)) *line = 0;
    fclose(f);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        const char *p = line;
        bool is = true;
        for (size_t k = 0; k < orders[i].n && is; k++) {
            const size_t n = strlen(orders[i].column[k].name);
            is = !strncmp(p, orders[i].column[k].name, n) && p[n] && strchr("\t\n", p[n]);
            p += n + 1;
        }
        if (is) name = orders[i].name;
    }
    return name;
}

int results_tsv_update(const struct search *s, const char *order, struct err *e) {
    struct search_view v = {0};
    char *path = search_path(s, "results.tsv");
    int rc = path ? 0 : err_set(e, ERR_NOMEM, "no memory for a path");
    if (!rc) rc = search_view(&v, s, e);
    if (!rc) rc = results_tsv_write(&v, order ? order : order_of(path), path, e);
    search_view_release(&v);
    free(path);
    return rc;
}
