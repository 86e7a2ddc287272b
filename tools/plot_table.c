/* Tables of runs: lines of fields between tabs, the first line their names. */
#include "file.h"
#include "num.h"
#include "plot_data.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A column is a member of a line of updates or of a validation, or of both. */
enum { NOWHERE = -1 };
static const struct column {
    const char *name;
    int step, val; /* offset in struct record_step and struct record_val, or NOWHERE */
} columns[] = {
    {"seconds", offsetof(struct record_step, seconds), offsetof(struct record_val, seconds)},
    {"tokens", offsetof(struct record_step, tokens), offsetof(struct record_val, tokens)},
    {"loss", offsetof(struct record_step, loss), NOWHERE},
    {"lr", offsetof(struct record_step, lr), NOWHERE},
    {"grad_norm", offsetof(struct record_step, grad_norm), NOWHERE},
    {"tokens_per_second", offsetof(struct record_step, tokens_per_second), NOWHERE},
    {"val_loss", NOWHERE, offsetof(struct record_val, loss)},
    {"val_loss_stderr", NOWHERE, offsetof(struct record_val, stderr_)},
    {"val_accuracy", NOWHERE, offsetof(struct record_val, accuracy)},
    {"val_f1", NOWHERE, offsetof(struct record_val, f1)},
};
#define N_COLUMNS (sizeof columns / sizeof *columns)
/* Columns that are no such members come after them. */
enum { COLUMN_RUN = N_COLUMNS, COLUMN_STEP, COLUMN_BPB, COLUMN_FLOOR, N_ALL };
static const char *const others[] = {"run", "step", "val_bpb", "floor_bpb"};

static const char *column_name(size_t c) {
    return c < N_COLUMNS ? columns[c].name : others[c - N_COLUMNS];
}

static double *member(void *line, int offset) {
    return (double *)(void *)((char *)line + offset);
}

/* ---- reading ------------------------------------------------------------------------------- */

#define RUNS_MAX 1000

struct table {
    struct plot_set *set;
    size_t first; /* run of the set that is this table's */
    const char *path;
    int line;
    int column[N_ALL]; /* of the fields, in their order */
    int n_fields;
};

static struct plot_run *add_run(struct plot_set *s, const char *label, const char *path,
                                struct err *e) {
    struct plot_run *r = plot_set_next(s, path, e);
    if (!r) return NULL;
    r->run.dir = strdup(path);
    r->run.label = strdup(label);
    s->n++; /* is released with the others */
    if (r->run.dir && r->run.label) return r;
    err_set(e, ERR_NOMEM, "no memory for the runs of %s", path);
    return NULL;
}

static struct plot_run *find_run(struct table *t, const char *label, struct err *e) {
    for (size_t i = t->set->n; i-- > t->first;)
        if (!strcmp(t->set->run[i].run.label, label)) return &t->set->run[i];
    if (t->set->n - t->first == RUNS_MAX) {
        err_set(e, ERR_INPUT, "%s, line %d: more than %d runs", t->path, t->line, RUNS_MAX);
        return NULL;
    }
    return add_run(t->set, label, t->path, e);
}

/* Ends the field at *p and steps behind it; NULL after the last. */
static char *next_field(char **p) {
    char *field = *p;
    if (!field) return NULL;
    char *tab = strchr(field, '\t');
    if (tab) *tab++ = '\0';
    *p = tab;
    return field;
}

static int unknown_column(const struct table *t, const char *field, struct err *e) {
    char list[256] = "";
    for (size_t c = 0; c < N_ALL; c++) {
        const size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", c ? ", " : "", column_name(c));
    }
    return err_set(e, ERR_INPUT,
                   "%s, line %d: \"%.80s\" is no column of a table of runs; they are %s", t->path,
                   t->line, field, list);
}

static int read_header(struct table *t, char *line, struct err *e) {
    for (char *field; (field = next_field(&line));) {
        size_t c = 0;
        while (c < N_ALL && strcmp(field, column_name(c))) c++;
        if (c == N_ALL) return unknown_column(t, field, e);
        for (int i = 0; i < t->n_fields; i++)
            if (t->column[i] == (int)c)
                return err_set(e, ERR_INPUT, "%s, line %d: two columns are called %s", t->path,
                               t->line, field);
        t->column[t->n_fields++] = (int)c;
    }
    return 0;
}

static int read_number(const struct table *t, const char *field, int column, double *v,
                       struct err *e) {
    char *end;
    *v = NAN;
    if (!*field) return 0;
    *v = strtod(field, &end);
    if (end != field && !*end) return 0;
    return err_set(e, ERR_INPUT, "%s, line %d, %s: \"%.80s\" is not a number", t->path, t->line,
                   column_name((size_t)column), field);
}

/* An array of n lines of that size has room for one more. */
static int grow(void **lines, size_t n, size_t size, const char *path, struct err *e) {
    if (n && (n & (n - 1))) return 0; /* room is a power of two */
    void *more = realloc(*lines, (n ? 2 * n : 1) * size);
    if (!more) return err_set(e, ERR_NOMEM, "no memory for the lines of %s", path);
    *lines = more;
    return 0;
}

static int add_lines(struct plot_run *r, const double v[N_ALL], const char *path, struct err *e) {
    struct record_step step = {.step = -1};
    struct record_val val = {.step = -1, .change = NAN, .change_stderr = NAN};
    bool trained = false, validated = false;
    int rc = 0;
    for (size_t c = 0; c < N_COLUMNS; c++) {
        const bool both = columns[c].step >= 0 && columns[c].val >= 0, there = !isnan(v[c]);
        if (columns[c].step >= 0) *member(&step, columns[c].step) = v[c], trained |= there && !both;
        if (columns[c].val >= 0) *member(&val, columns[c].val) = v[c], validated |= there && !both;
    }
    if (v[COLUMN_STEP] >= 0 && v[COLUMN_STEP] < 0x1p62)
        step.step = val.step = (int64_t)v[COLUMN_STEP];
    if (v[COLUMN_BPB] > 0 && val.loss > 0) r->bpb = v[COLUMN_BPB] / val.loss;
    if (!isnan(v[COLUMN_FLOOR])) r->floor = v[COLUMN_FLOOR];
    if (trained) {
        TRY(grow((void **)&r->run.steps, r->run.n_steps, sizeof step, path, e));
        r->run.steps[r->run.n_steps++] = step;
    }
    if (validated) {
        TRY(grow((void **)&r->run.vals, r->run.n_vals, sizeof val, path, e));
        r->run.vals[r->run.n_vals++] = val;
    }
out:
    return rc;
}

static int read_line(struct table *t, char *line, struct err *e) {
    double v[N_ALL];
    const char *run = "";
    int n = 0, rc = 0;
    for (int c = 0; c < N_ALL; c++) v[c] = NAN;
    for (char *field; (field = next_field(&line)); n++) {
        if (n >= t->n_fields) continue;
        if (t->column[n] == COLUMN_RUN)
            run = field;
        else
            TRY(read_number(t, field, t->column[n], &v[t->column[n]], e));
    }
    if (n != t->n_fields)
        TRY(err_set(e, ERR_INPUT, "%s, line %d: %s than the %d fields of the first line", t->path,
                    t->line, n < t->n_fields ? "fewer" : "more", t->n_fields));
    struct plot_run *r = find_run(t, run, e);
    if (!r) return e->code;
    TRY(add_lines(r, v, t->path, e));
out:
    return rc;
}

int plot_table_parse(struct plot_set *s, const char *text, const char *path, struct err *e) {
    struct table t = {.set = s, .first = s->n, .path = path};
    char *copy = strdup(text), *line = copy;
    int rc = 0;
    if (!copy) return err_set(e, ERR_NOMEM, "no memory for %s", path);
    while (line && *line) {
        char *end = strchr(line, '\n');
        if (end) *end++ = '\0';
        size_t n = strlen(line);
        if (n && line[n - 1] == '\r') line[--n] = '\0';
        t.line++;
        if (n && (t.n_fields || *line != '#'))
            TRY(t.n_fields ? read_line(&t, line, e) : read_header(&t, line, e));
        line = end;
    }
    if (s->n == t.first) TRY(err_set(e, ERR_INPUT, "%s: a table without lines of runs", path));
out:
    free(copy);
    return rc;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void put_value(struct file_out *out, double v) {
    char s[40];
    const int n = isnan(v) ? 0 : snprintf(s, sizeof s, "%.10g", v);
    file_out_write(out, s, (size_t)n);
}

static void put_text(struct file_out *out, const char *s) {
    for (; *s; s++) file_out_write(out, *s == '\t' || *s == '\n' || *s == '\r' ? "?" : s, 1);
}

/* The columns that have a value somewhere. */
static void columns_used(const struct plot_set *s, bool used[N_ALL]) {
    used[COLUMN_RUN] = true;
    for (size_t i = 0; i < s->n; i++) {
        const struct plot_run *r = &s->run[i];
        for (size_t c = 0; c < N_COLUMNS; c++) {
            for (size_t k = 0; columns[c].step >= 0 && k < r->run.n_steps; k++)
                used[c] |= !isnan(*member(&r->run.steps[k], columns[c].step));
            for (size_t k = 0; columns[c].val >= 0 && k < r->run.n_vals; k++)
                used[c] |= !isnan(*member(&r->run.vals[k], columns[c].val));
        }
        for (size_t k = 0; k < r->run.n_steps; k++) used[COLUMN_STEP] |= r->run.steps[k].step >= 0;
        for (size_t k = 0; k < r->run.n_vals; k++) used[COLUMN_STEP] |= r->run.vals[k].step >= 0;
        used[COLUMN_BPB] |= !isnan(r->bpb);
        used[COLUMN_FLOOR] |= !isnan(r->floor);
    }
}

/* Either step or val is there. */
static void put_line(struct file_out *out, const struct plot_run *r, const struct record_step *step,
                     const struct record_val *val, const bool used[N_ALL]) {
    const int64_t n = step ? step->step : val->step;
    put_text(out, r->name ? r->name : r->run.label);
    if (used[COLUMN_STEP]) {
        file_out_write(out, "\t", 1);
        put_value(out, n < 0 ? NAN : (double)n);
    }
    for (size_t c = 0; c < N_COLUMNS; c++) {
        if (!used[c]) continue;
        const int offset = step ? columns[c].step : columns[c].val;
        file_out_write(out, "\t", 1);
        put_value(out, offset < 0 ? NAN
                       : step     ? *(const double *)(const void *)((const char *)step + offset)
                                  : *(const double *)(const void *)((const char *)val + offset));
    }
    if (used[COLUMN_BPB])
        file_out_write(out, "\t", 1), put_value(out, val ? val->loss * r->bpb : NAN);
    if (used[COLUMN_FLOOR]) file_out_write(out, "\t", 1), put_value(out, val ? r->floor : NAN);
    file_out_write(out, "\n", 1);
}

int plot_set_write(const struct plot_set *s, const char *path, struct err *e) {
    struct file_out out = {0};
    bool used[N_ALL] = {false};
    int rc;
    columns_used(s, used);
    TRY(file_out_open(&out, path, e));
    put_text(&out, "run");
    if (used[COLUMN_STEP]) file_out_write(&out, "\tstep", 5);
    for (size_t c = 0; c < N_COLUMNS; c++)
        if (used[c]) file_out_write(&out, "\t", 1), put_text(&out, column_name(c));
    if (used[COLUMN_BPB]) file_out_write(&out, "\tval_bpb", 8);
    if (used[COLUMN_FLOOR]) file_out_write(&out, "\tfloor_bpb", 10);
    file_out_write(&out, "\n", 1);
    for (size_t i = 0; i < s->n; i++) {
        const struct plot_run *r = &s->run[i];
        for (size_t k = 0; k < r->run.n_steps; k++) put_line(&out, r, &r->run.steps[k], NULL, used);
        for (size_t k = 0; k < r->run.n_vals; k++) put_line(&out, r, NULL, &r->run.vals[k], used);
    }
    TRY(file_out_commit(&out, e));
out:
    file_out_discard(&out);
    return rc;
}
