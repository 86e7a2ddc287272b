#include "search_compare.h"

#include "facts.h"
#include "file.h"
#include "search_knobs.h"
#include "search_view.h"
#include "suite.h"
#include "table.h"
#include "term.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A search. Gains are above 0 where the best is better than the base. */
struct side {
    char *name; /* the folder's last part */
    struct search s;
    struct search_view v;
    int64_t best;   /* the incumbent; -1: no trial has a result yet */
    size_t decided; /* trials */
    int64_t expected; /* in all; -1: by hand, without an end */
    double gain, low, high;
    int64_t seeds; /* of the gain */
};

struct sides {
    struct side **side; /* each for itself: its ledger points into its search */
    size_t n;
    char **key; /* axes of all of them, in the order in which they come */
    size_t n_keys;
};

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory to compare searches");
}

/* Reading -------------------------------------------------------------------------------------- */

static char *last_part(const char *dir) {
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') n--;
    size_t from = n;
    while (from > 0 && dir[from - 1] != '/') from--;
    return from < n ? strndup(dir + from, n - from) : strdup(dir);
}

static int measure(struct side *d, struct err *e) {
    const bool up = d->s.file.metric.higher;
    struct view_delta delta;
    int rc = 0;
    d->gain = d->low = d->high = NAN;
    d->best = search_incumbent(&d->s);
    for (size_t i = 0; i < d->v.n; i++) {
        const struct view_trial *t = &d->v.trial[i];
        d->decided += t->outcome == VIEW_base ? t->seeds > 0 : t->outcome != VIEW_running;
    }
    if (d->best <= 0) return 0;
    TRY(view_delta(&d->v, d->best, 0, &delta, e));
    d->gain = up ? delta.diff : -delta.diff;
    d->low = up ? delta.low : -delta.high;
    d->high = up ? delta.high : -delta.low;
    d->seeds = delta.seeds;
out:
    return rc;
}

static int add_search(struct sides *all, const char *dir, struct err *e) {
    struct side **more = realloc(all->side, (all->n + 1) * sizeof *more);
    int rc;
    if (!more) return no_memory(e);
    all->side = more;
    struct side *d = calloc(1, sizeof *d);
    if (!d) return no_memory(e);
    all->side[all->n++] = d;
    d->name = last_part(dir);
    if (!d->name) return no_memory(e);
    TRY(search_open(&d->s, dir, false, e));
    TRY(search_view(&d->v, &d->s, e));
    TRY(view_expected(&d->v, &d->expected, e));
    rc = measure(d, e);
out:
    return rc;
}

/* Of a suite, if it has begun. */
static int add_inner(struct sides *all, const struct suite *suite, const char *name,
                     struct err *e) {
    char *inner = file_join(suite->dir, name);
    int rc = inner ? 0 : no_memory(e);
    if (inner && search_is(inner)) rc = add_search(all, inner, e);
    free(inner);
    return rc;
}

/* Also what its file names no more, which is told (warn_of_suite). */
static int add(struct sides *all, const char *dir, struct err *e) {
    struct suite suite;
    json_t *gone = NULL;
    int rc = 0;
    if (!suite_is(dir)) return add_search(all, dir, e);
    TRY(suite_open(&suite, dir, e));
    for (size_t i = 0; i < suite.n && !rc; i++)
        rc = add_inner(all, &suite, suite_name(&suite, i), e);
    if (!rc) rc = suite_gone(&suite, &gone, e);
    for (size_t i = 0; i < json_array_size(gone) && !rc; i++)
        rc = add_inner(all, &suite, json_string_value(json_array_get(gone, i)), e);
    json_decref(gone);
    suite_close(&suite);
out:
    return rc;
}

static bool same_budget(const struct search *a, const struct search *b) {
    return a->file.budget == b->file.budget && a->file.amount == b->file.amount;
}

static int check_metric(const struct sides *all, struct err *e) {
    const struct search *first = &all->side[0]->s;
    for (size_t i = 1; i < all->n; i++) {
        const struct search_metric *a = &first->file.metric, *b = &all->side[i]->s.file.metric;
        const bool same = a->higher == b->higher && a->exact == b->exact && !a->key == !b->key &&
                          (!a->key || !strcmp(a->key, b->key)) &&
                          (a->key || json_equal(a->command, b->command));
        if (!same)
            return err_set(e, ERR_INPUT, "%s and %s are measured by different metrics",
                           first->dir, all->side[i]->s.dir);
    }
    return 0;
}

/* Two folders of one name are told apart by their paths. */
static int tell_apart(struct sides *all, struct err *e) {
    bool twice = false;
    for (size_t i = 0; i < all->n; i++)
        for (size_t k = 0; k < i; k++) twice |= !strcmp(all->side[i]->name, all->side[k]->name);
    for (size_t i = 0; i < all->n && twice; i++) {
        char *path = strdup(all->side[i]->s.dir);
        if (!path) return no_memory(e);
        free(all->side[i]->name);
        all->side[i]->name = path;
    }
    return 0;
}

static int add_keys(struct sides *all, const struct space *s, struct err *e) {
    for (size_t i = 0; i < s->n; i++) {
        size_t k = 0;
        while (k < all->n_keys && strcmp(all->key[k], s->axis[i].key)) k++;
        if (k < all->n_keys) continue;
        char **more = realloc(all->key, (all->n_keys + 1) * sizeof *more);
        if (!more) return no_memory(e);
        all->key = more;
        all->key[all->n_keys] = strdup(s->axis[i].key);
        if (!all->key[all->n_keys++]) return no_memory(e);
    }
    return 0;
}

static int read_all(struct sides *all, const char *const *dirs, size_t n, struct err *e) {
    int rc = 0;
    for (size_t i = 0; i < n; i++) TRY(add(all, dirs[i], e));
    if (all->n < 2)
        TRY(err_set(e, ERR_INPUT, "%s: %zu search, expected two or more to compare", dirs[0],
                    all->n));
    TRY(check_metric(all, e));
    TRY(tell_apart(all, e));
    for (size_t i = 0; i < all->n; i++) TRY(add_keys(all, &all->side[i]->s.file.space, e));
out:
    return rc;
}

static void release(struct sides *all) {
    for (size_t i = 0; i < all->n; i++) {
        search_view_release(&all->side[i]->v);
        search_close(&all->side[i]->s);
        free(all->side[i]->name);
        free(all->side[i]);
    }
    for (size_t i = 0; i < all->n_keys; i++) free(all->key[i]);
    free(all->side);
    free(all->key);
}

/* Knobs ---------------------------------------------------------------------------------------- */

/* Value of a knob in base and best configuration; a search that kept nothing tells nothing. */
static enum knob_move move_of(const struct side *d, const char *key, const json_t **was,
                              const json_t **is) {
    *was = *is = NULL;
    if (d->best <= 0) return KNOB_ABSENT;
    *was = json_object_get(search_config(&d->s, 0), key);
    *is = json_object_get(search_config(&d->s, d->best), key);
    return knob_move(*was, *is);
}

/* Room for a knob of all searches. */
struct row {
    enum knob_move *move;
    const json_t **was, **is;
    struct knob knob;
};

static int make_row(struct row *r, size_t n, struct err *e) {
    *r = (struct row){.move = calloc(n, sizeof *r->move),
                      .was = calloc(n, sizeof *r->was),
                      .is = calloc(n, sizeof *r->is)};
    return r->move && r->was && r->is ? 0 : no_memory(e);
}

static void look_at(const struct sides *all, const char *key, struct row *r) {
    for (size_t i = 0; i < all->n; i++)
        r->move[i] = move_of(all->side[i], key, &r->was[i], &r->is[i]);
    r->knob = knob_look(r->move, r->is, all->n);
}

static void release_row(struct row *r) {
    free(r->move);
    free((void *)(uintptr_t)r->was);
    free((void *)(uintptr_t)r->is);
}

/* Text ----------------------------------------------------------------------------------------- */

static const char *shown(const json_t *v, char buf[64]) {
    char *text = !v || json_is_string(v) ? NULL
                                         : json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    snprintf(buf, 64, "%.60s", !v ? "none" : text ? text : json_string_value(v));
    free(text);
    return buf;
}

static void print_results(const struct sides *all, int columns, FILE *out) {
    const struct search_metric *metric = &all->side[0]->s.file.metric;
    struct table t = {0};
    char head[120];
    snprintf(head, sizeof head, "%.80s", metric->key ? metric->key : "metric");
    table_column(&t, "search", true, 0);
    table_column(&t, "decided", false, 2);
    table_column(&t, "kept", false, 3);
    table_column(&t, "base", false, 0);
    table_column(&t, "best", false, 0);
    table_column(&t, "gain", false, 0);
    table_column(&t, "from", false, 0);
    table_column(&t, "to", false, 0);
    table_column(&t, "seeds", false, 4);
    table_column(&t, "trial", false, 5);
    for (size_t i = 0; i < all->n; i++) {
        const struct side *d = all->side[i];
        table_row(&t);
        table_set(&t, 0, "%s", d->name);
        if (d->expected < 0)
            table_set(&t, 1, "%zu", d->decided);
        else
            table_set(&t, 1, "%zu of %lld", d->decided, (long long)d->expected);
        table_set(&t, 2, "%zu", search_kept(&d->s));
        if (d->v.n && d->v.trial[0].seeds) table_set(&t, 3, "%.4f", d->v.trial[0].value);
        if (d->best >= 0 && isfinite(d->v.trial[d->best].value))
            table_set(&t, 4, "%.4f", d->v.trial[d->best].value);
        if (isfinite(d->gain)) table_set(&t, 5, "%.4f", d->gain);
        if (isfinite(d->low)) table_set(&t, 6, "%.4f", d->low);
        if (isfinite(d->high)) table_set(&t, 7, "%.4f", d->high);
        if (d->seeds > 0) table_set(&t, 8, "%lld", (long long)d->seeds);
        if (d->best >= 0 && isfinite(d->v.trial[d->best].value))
            table_set(&t, 9, "%lld", (long long)d->best);
    }
    fprintf(out, "%s, %s is better; gain of the best over the base\n", head,
            metric->higher ? "higher" : "lower");
    table_print(&t, columns, "--json has all", out);
    table_release(&t);
}

static void say_verdict(const struct knob *k, char *buf, size_t size) {
    char value[64], way[90];
    snprintf(way, sizeof way, "%s",
             k->way != KNOB_OTHER ? knob_move_name(k->way) : shown(k->value, value));
    if (!k->of)
        snprintf(buf, size, "-");
    else if (k->verdict == KNOB_STILL)
        snprintf(buf, size, "still");
    else if (k->verdict == KNOB_APART)
        snprintf(buf, size, "apart");
    else
        snprintf(buf, size, "%s%s in %zu of %zu", k->verdict == KNOB_TOGETHER ? "together: " : "",
                 way, k->moved, k->of);
}

static int print_knobs(const struct sides *all, int columns, FILE *out, struct err *e) {
    struct table t = {0};
    struct row r;
    int rc;
    TRY(make_row(&r, all->n, e));
    table_column(&t, "knob", true, 0);
    table_column(&t, "moved", true, 0);
    for (size_t i = 0; i < all->n; i++)
        table_column(&t, all->side[i]->name, true, i < 2 ? 0 : (int)(i < 1000 ? i : 1000));
    for (size_t k = 0; k < all->n_keys; k++) {
        char text[160], was[64], is[64];
        look_at(all, all->key[k], &r);
        say_verdict(&r.knob, text, sizeof text);
        table_row(&t);
        table_set(&t, 0, "%s", all->key[k]);
        table_set(&t, 1, "%s", text);
        for (size_t i = 0; i < all->n; i++) {
            if (r.move[i] == KNOB_ABSENT) continue;
            if (r.move[i] == KNOB_STAYS)
                table_set(&t, (int)i + 2, "%s", shown(r.is[i], is));
            else
                table_set(&t, (int)i + 2, "%s -> %s", shown(r.was[i], was), shown(r.is[i], is));
        }
    }
    fputc('\n', out);
    table_print(&t, columns, "--json has all", out);
out:
    table_release(&t);
    release_row(&r);
    return rc;
}

static void print_notes(const struct sides *all, FILE *out) {
    const double confidence = all->side[0]->s.file.confidence;
    bool other = false, none = false;
    for (size_t i = 0; i < all->n; i++) {
        other |= !same_budget(&all->side[0]->s, &all->side[i]->s);
        none |= all->side[i]->best <= 0;
    }
    fprintf(out,
            "\nThe gain lies between from and to (%g %%) by the seeds that the search itself "
            "chose with; fresh ones may say less.\n",
            100 * (confidence > 0 ? confidence : 0.95));
    if (none) fputs("A search that kept nothing so far says nothing about knobs.\n", out);
    if (other) fputs("The searches have different budgets.\n", out);
}

/* JSON ----------------------------------------------------------------------------------------- */

static json_t *copy_of(const json_t *v) {
    return v ? json_deep_copy(v) : json_null();
}

static json_t *side_json(const struct side *d) {
    json_t *o = json_object(), *head = d->s.ledger.head;
    if (!o) return NULL;
    facts_text(o, "name", d->name);
    facts_text(o, "dir", d->s.dir);
    facts_put(o, "budget", copy_of(json_object_get(d->s.file.json, "budget")));
    facts_put(o, "sources", copy_of(json_object_get(head, "sources")));
    facts_put(o, "trials", d->expected < 0 ? json_null() : json_integer(d->expected));
    facts_whole(o, "decided", d->decided);
    facts_whole(o, "kept", search_kept(&d->s));
    facts_real(o, "base", d->v.n ? d->v.trial[0].value : NAN);
    if (d->best < 0) return o;
    facts_real(o, "best", d->v.trial[d->best].value);
    facts_whole(o, "trial", (uint64_t)d->best);
    facts_put(o, "config", copy_of(search_config(&d->s, d->best)));
    facts_real(o, "gain", d->gain);
    facts_real(o, "low", d->low);
    facts_real(o, "high", d->high);
    facts_whole(o, "seeds", (uint64_t)d->seeds);
    return o;
}

static json_t *knob_json(const struct sides *all, const char *key, struct row *r) {
    json_t *o = json_object(), *moves = json_array();
    look_at(all, key, r);
    for (size_t i = 0; i < all->n && moves; i++)
        json_array_append_new(moves, json_pack("{s:s, s:s, s:o, s:o}", "search", all->side[i]->name,
                                               "move", knob_move_name(r->move[i]), "from",
                                               copy_of(r->was[i]), "to", copy_of(r->is[i])));
    facts_text(o, "key", key);
    facts_text(o, "verdict", knob_verdict_name(r->knob.verdict));
    facts_text(o, "way", knob_move_name(r->knob.way));
    if (r->knob.way == KNOB_OTHER) facts_put(o, "value", copy_of(r->knob.value));
    facts_whole(o, "moved", r->knob.moved);
    facts_whole(o, "of", r->knob.of);
    facts_put(o, "moves", moves);
    return o;
}

static int print_json(const struct sides *all, FILE *out, struct err *e) {
    const struct search_metric *metric = &all->side[0]->s.file.metric;
    json_t *o = json_object(), *searches = json_array(), *knobs = json_array();
    struct row r;
    int rc;
    TRY(make_row(&r, all->n, e));
    if (!o || !searches || !knobs) TRY(no_memory(e));
    facts_text(o, "metric", metric->key ? metric->key : "command");
    facts_text(o, "better", metric->higher ? "higher" : "lower");
    for (size_t i = 0; i < all->n; i++) json_array_append_new(searches, side_json(all->side[i]));
    for (size_t k = 0; k < all->n_keys; k++)
        json_array_append_new(knobs, knob_json(all, all->key[k], &r));
    facts_put(o, "searches", json_incref(searches));
    facts_put(o, "knobs", json_incref(knobs));
    facts_print_json(o, out);
out:
    release_row(&r);
    json_decref(o);
    json_decref(searches);
    json_decref(knobs);
    return rc;
}

/* As search_warn_changed, of a suite's own file. */
static int warn_of_suite(const char *dir, struct err *e) {
    struct suite suite;
    struct err why;
    int rc;
    if (!suite_is(dir)) return 0;
    rc = suite_open(&suite, dir, &why);
    if (!rc) {
        rc = suite_check_same(&suite, &why);
        suite_close(&suite);
    }
    if (rc == ERR_NOMEM) return no_memory(e);
    if (rc) search_warn(why.msg);
    return 0;
}

int search_compare(const char *const *dirs, size_t n, bool json, FILE *out, struct err *e) {
    struct sides all = {0};
    const int columns = isatty(fileno(out)) ? term_columns(fileno(out)) : 0;
    int rc;
    TRY(read_all(&all, dirs, n, e));
    if (json) {
        TRY(print_json(&all, out, e));
    } else {
        print_results(&all, columns, out);
        TRY(print_knobs(&all, columns, out, e));
        print_notes(&all, out);
    }
    for (size_t i = 0; i < all.n; i++) TRY(search_warn_changed(&all.side[i]->s, e));
    for (size_t i = 0; i < n; i++) TRY(warn_of_suite(dirs[i], e));
out:
    release(&all);
    return rc;
}
