#include "canon.h"
#include "search_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What may not be searched, and why, in the words that end the sentence. */
static const char why_data[] =
    "is of the data, and trials that learn from or are measured on other text say nothing about "
    "each other";
static const char why_eval[] =
    "is of the evaluation, and all trials must be measured by the same rule";
static const char why_length[] = "is how long a trial is, which \"budget\" says for all of them";
static const char why_seed[] = "would search for luck: rivals are trained with the same seeds";
static const char why_run[] = "does not change what is trained";

static const struct {
    const char *key, *why;
} refused[] = {
    {"data", why_data},
    {"val-data", why_data},
    {"format", why_data},
    {"tokenizer", why_data},
    {"val-fraction", why_data},
    {"test-fraction", why_data},
    {"task", why_data},
    {"task-eval", why_data},
    {"template", why_data},
    {"labels", why_data},
    {"compact-vocab", why_eval},
    {"full-vocab-loss", why_eval},
    {"objective", why_eval},
    {"val-windows", why_eval},
    {"val-every", why_eval},
    {"keep-best", why_eval},
    {"patience", why_eval},
    {"time", why_length},
    {"steps", why_length},
    {"tokens", why_length},
    {"epochs", why_length},
    {"flops", why_length},
    {"clock", why_length},
    {"stop-at", why_length},
    {"seed", why_seed},
    {"threads", why_run},
    {"out", why_run},
    {"resume", why_run},
    {"name", why_run},
    {"note", why_run},
    {"overwrite", why_run},
    {"checkpoint-every", why_run},
    {"keep", why_run},
    {"log-every", why_run},
    {"json", why_run},
    {"quiet", why_run},
};

static const char *why_not(const char *key, const struct conf_row *row) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!strcmp(key, refused[i].key)) return refused[i].why;
    return row && (row->internal || row->label) ? why_run : NULL;
}

static int unknown(const struct space *s, const char *key, const struct conf_row *rows,
                   struct err *e) {
    const char *names[300] = {"program"}, *near;
    size_t n = 1;
    for (const struct conf_row *r = rows; r->type != CONF_T_END && n < 300; r++)
        if (r->name && !why_not(r->name, r) && r->type != CONF_T_GONE) names[n++] = r->name;
    near = conf_suggest(key, names, n);
    if (near)
        return err_set(e, ERR_USAGE, "%s: \"space\": unknown key \"%.80s\"; did you mean \"%s\"?",
                       s->path, key, near);
    return err_set(e, ERR_USAGE,
                   "%s: \"space\": unknown key \"%.80s\", expected an option of duet train, "
                   "\"set.KEY\" or \"program\"",
                   s->path, key);
}

static int wrong(const struct space *s, const struct axis *a, const char *expected, struct err *e) {
    return err_set(e, ERR_USAGE, "%s: \"space\": \"%s\" has values that the option cannot have, "
                                 "expected %s",
                   s->path, a->key, expected);
}

/* Values of an axis against an option's. */
static bool whole_values(const struct axis *a) {
    for (size_t i = 0; a->kind == AXIS_choice && i < json_array_size(a->choices); i++) {
        const json_t *v = json_array_get(a->choices, i);
        if (!json_is_number(v) || json_number_value(v) != trunc(json_number_value(v))) return false;
    }
    return a->kind != AXIS_log && a->kind != AXIS_linear && (a->kind != AXIS_share_of || a->step);
}

/* Is x what the option may be? */
static bool allows(const struct conf_row *row, double x) {
    if (x == -1 && row->def && !strcmp(row->def, "-1")) return true;
    return (row->above ? x > row->min : x >= row->min) && x <= row->max;
}

static int check_numbers(const struct space *s, const struct axis *a, const struct conf_row *row,
                         struct err *e) {
    char expected[120];
    bool good = true;
    snprintf(expected, sizeof expected, "%s %s %.15g and at most %.15g",
             row->type == CONF_T_INT ? "whole numbers" : "numbers",
             row->above ? "above" : "of at least", row->min, row->max);
    for (size_t i = 0; a->kind == AXIS_choice && i < json_array_size(a->choices); i++) {
        const json_t *v = json_array_get(a->choices, i);
        good = good && json_is_number(v) && allows(row, json_number_value(v));
    }
    if (a->kind != AXIS_choice && a->kind != AXIS_share_of) {
        const double unit = a->step ? (double)a->step : 1;
        good = allows(row, a->low * unit) && allows(row, a->high * unit);
    }
    if (row->type == CONF_T_INT) good = good && whole_values(a);
    return good ? 0 : wrong(s, a, expected, e);
}

static int check_words(const struct space *s, const struct axis *a, const struct conf_row *row,
                       struct err *e) {
    char expected[600];
    const bool any = row->type != CONF_T_CHOICE;
    bool good = a->kind == AXIS_choice;
    for (size_t i = 0; good && i < json_array_size(a->choices); i++) {
        const char *word = json_string_value(json_array_get(a->choices, i));
        good = word && (any || conf_has_word(row->choices, word));
    }
    snprintf(expected, sizeof expected, "%s%.500s", any ? "a choice of texts" : "some of: ",
             any ? "" : row->choices);
    return good ? 0 : wrong(s, a, expected, e);
}

static int check_switch(const struct space *s, const struct axis *a, struct err *e) {
    bool good = a->kind == AXIS_choice;
    for (size_t i = 0; good && i < json_array_size(a->choices); i++)
        good = json_is_boolean(json_array_get(a->choices, i));
    return good ? 0 : wrong(s, a, "a choice of true and false", e);
}

static int check_values(const struct space *s, const struct axis *a, const struct conf_row *row,
                        struct err *e) {
    switch (row->type) {
    case CONF_T_BOOL: return check_switch(s, a, e);
    case CONF_T_INT:
    case CONF_T_FLOAT: return check_numbers(s, a, row, e);
    case CONF_T_PAIRS:
        return err_set(e, ERR_USAGE, "%s: \"space\": \"%s\" is many options, expected \"%s.KEY\"",
                       s->path, a->key, a->key);
    case CONF_T_GONE:
        return err_set(e, ERR_USAGE, "%s: \"space\": there is no option \"%s\" any more: %s",
                       s->path, a->key, row->help);
    default: return check_words(s, a, row, e);
    }
}

static int check_axis(const struct space *s, const struct axis *a, const struct conf_row *rows,
                      struct err *e) {
    const struct conf_row *row = rows ? conf_row(rows, a->key) : NULL;
    const char *why = why_not(a->key, row);
    if (why)
        return err_set(e, ERR_USAGE, "%s: \"space\": \"%s\" cannot be searched: it %s", s->path,
                       a->key, why);
    if (!strcmp(a->key, "program")) {
        static const struct conf_row text = {.type = CONF_T_STRING};
        return check_words(s, a, &text, e);
    }
    if (!strncmp(a->key, "set.", 4))
        return a->key[4] ? 0
                         : err_set(e, ERR_USAGE,
                                   "%s: \"space\": \"set.\" names no key of the model description",
                                   s->path);
    if (!rows) return 0;
    return row ? check_values(s, a, row, e) : unknown(s, a->key, rows, e);
}

int search_keys_check(const struct space *s, const struct conf_row *rows, struct err *e) {
    int rc = 0;
    for (size_t i = 0; i < s->n && !rc; i++) rc = check_axis(s, &s->axis[i], rows, e);
    return rc;
}

int search_keys_check_config(const json_t *config, const json_t *base, const struct conf_row *rows,
                             struct err *e) {
    json_t *object = (json_t *)(uintptr_t)config;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        const char *why = why_not(key, rows ? conf_row(rows, key) : NULL);
        if (why && !json_equal(json_object_get(base, key), json_object_iter_value(at)))
            return err_set(e, ERR_USAGE, "\"%.80s\" cannot be changed in a search: it %s", key,
                           why);
    }
    return 0;
}

/* Is the key of summary.json measured in windows? */
static bool in_windows(const struct search_metric *m) {
    return m->key && !m->exact &&
           (!strncmp(m->key, "val_", 4) || !strncmp(m->key, "best_val_", 9) ||
            !strcmp(m->key, "train_loss"));
}

const char *search_keys_why_window(const struct search_file *f, const char *key) {
    static const char other[] = "model init set.duet.seq_len set.max_position_embeddings";
    const json_t *set = json_object_get(f->base, "set");
    if (!in_windows(&f->metric)) return NULL;
    if (!strcmp(key, "seq"))
        return "sets how long the windows are that the metric is measured in: use the exact "
               "\"val_bpb\", which is of whole documents";
    if (!conf_has_word(other, key) || json_number_value(json_object_get(f->base, "seq")) > 0)
        return NULL;
    if (strcmp(key, "set.duet.seq_len") && json_object_get(set, "duet.seq_len")) return NULL;
    return "sets how long the windows are that the metric is measured in, where \"base\" has no "
           "\"seq\": give it, or use the exact \"val_bpb\", which is of whole documents";
}

bool search_keys_is_data(const char *key) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!strcmp(key, refused[i].key)) return refused[i].why == why_data;
    return false;
}

int search_keys_check_base(const json_t *base, const char *path, struct err *e) {
    static const char *const own[] = {"out", "resume", "overwrite", "json", "quiet"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i].why == why_length && json_object_get(base, refused[i].key))
            return err_set(e, ERR_USAGE, "%s: \"base\": \"%s\" %s", path, refused[i].key,
                           why_length);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (json_object_get(base, own[i]))
            return err_set(e, ERR_USAGE, "%s: \"base\": \"%s\" is what a search sets itself", path,
                           own[i]);
    return 0;
}
