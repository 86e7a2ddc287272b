#include "search_best.h"

#include "facts.h"
#include "num.h"
#include "table.h"
#include "term.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIGITS = 4 };

static int check(const struct search_view *v, struct err *e) {
    if (v->incumbent >= 0) return 0;
    return err_set(e, ERR_INPUT, "%s: no trial has a result yet, so there is no best one",
                   v->s->dir);
}

int search_best_write(const struct search_view *v, const char *path, struct err *e) {
    const int rc = check(v, e);
    return rc ? rc : search_write_options(v->s, v->incumbent, 1, path, e);
}

/* What is known of it -------------------------------------------------------------------------- */

struct best {
    const struct search_view *v;
    int64_t trial;
    struct view_delta gain;    /* to the base */
    struct search_evidence ev; /* on which it was kept */
    bool known;                /* ev is on record */
};

/* Its results with each seed, as measured. */
static json_t *seeds_json(const struct best *b) {
    json_t *all = json_object();
    for (size_t i = 0; i < b->v->s->ledger.n_results; i++) {
        const struct ledger_result *r = &b->v->s->ledger.result[i];
        char seed[24];
        if (r->trial != b->trial || r->rung != b->v->trial[b->trial].rung) continue;
        snprintf(seed, sizeof seed, "%lld", (long long)r->seed);
        json_object_set_new(all, seed, num_json(r->value));
    }
    return all;
}

static json_t *evidence_json(const struct best *b) {
    const struct search_evidence *ev = &b->ev;
    const struct view_delta d = view_decided(b->v, b->trial);
    if (!b->known) return json_null();
    return json_pack("{s:I, s:o, s:o, s:o, s:s, s:o, s:o, s:I}", "against",
                     (json_int_t)search_rival(b->v->s, b->trial), "diff", num_json(d.diff), "low",
                     num_json(d.low), "high", num_json(d.high), "reason",
                     ev->reason ? ev->reason : "unknown", "log_e", num_json(ev->log_e), "threshold",
                     num_json(ev->threshold), "seeds", (json_int_t)ev->behind);
}

static int print_json(const struct best *b, FILE *out, struct err *e) {
    const struct search *s = b->v->s;
    char what[1024];
    json_t *o = json_object();
    facts_put(o, "trial", json_integer(b->trial));
    facts_text(o, "hash", search_job(s, b->trial)->hash);
    facts_text(o, "from", search_job(s, b->trial)->from);
    facts_put(o, "value", num_json(b->v->trial[b->trial].value));
    facts_put(o, "seeds", seeds_json(b));
    facts_put(o, "config", json_incref(search_config(s, b->trial)));
    facts_put(o, "base", json_incref(search_config(s, 0)));
    facts_text(o, "changes", view_changes(b->v, b->trial, 0, what, sizeof what));
    facts_put(o, "gain",
              json_pack("{s:o, s:o, s:o}", "diff", num_json(b->gain.diff), "low",
                        num_json(b->gain.low), "high", num_json(b->gain.high)));
    facts_put(o, "evidence", evidence_json(b));
    facts_put(o, "options", search_options(s, b->trial));
    const bool whole = json_object_get(o, "options") && json_object_get(o, "evidence");
    if (whole) facts_print_json(o, out);
    json_decref(o);
    return whole ? 0 : err_set(e, ERR_NOMEM, "no memory to tell the best trial");
}

/* An option of a configuration as text; "" where it has none. */
static void set_cell(struct table *t, int col, const json_t *v) {
    char *text = json_is_string(v) ? NULL
                 : v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9))
                     : NULL;
    if (json_is_string(v))
        table_set(t, col, "%s", json_string_value(v));
    else if (text)
        table_set(t, col, "%s", text);
    free(text);
}

/* What options, as of search_options, say of a key of a configuration. */
static const json_t *option_of(const json_t *options, const char *key) {
    const bool set = !strncmp(key, "set.", 4);
    return set ? json_object_get(json_object_get(options, "set"), key + 4)
               : json_object_get(options, key);
}

static void add_row(const struct best *b, struct table *t, const char *key, const json_t *now,
                    const json_t *was) {
    if (!now && !was) return;
    table_row(t);
    table_set(t, 0, "%s", key);
    set_cell(t, 1, now);
    if (b->trial && json_equal(now, was))
        table_set(t, 2, "the same");
    else if (b->trial)
        set_cell(t, 2, was);
}

/* Every axis, and what else was given by hand: its value, and the base's where that is another. */
static int print_config(const struct best *b, FILE *out, struct err *e) {
    const struct search *s = b->v->s;
    json_t *options = search_options(s, b->trial), *base = search_options(s, 0), *v;
    struct table t = {.no_memory = !options || !base};
    const char *key;
    table_column(&t, "option", true, 0);
    table_column(&t, "best", false, 0);
    if (b->trial) table_column(&t, "base", false, 0);
    for (size_t i = 0; i < s->file.space.n && !t.no_memory; i++) {
        key = s->file.space.axis[i].key;
        add_row(b, &t, key, option_of(options, key), option_of(base, key));
    }
    json_object_foreach(search_config(s, b->trial), key, v) {
        if (space_find(&s->file.space, key) == s->file.space.n && !t.no_memory)
            add_row(b, &t, key, v, option_of(base, key));
    }
    if (t.rows) fputc('\n', out);
    if (t.rows)
        table_print(&t, isatty(STDOUT_FILENO) ? term_columns(STDOUT_FILENO) : 0, "--json has all",
                    out);
    const bool starved = t.no_memory;
    table_release(&t);
    json_decref(options);
    json_decref(base);
    return starved ? err_set(e, ERR_NOMEM, "no memory for a table") : 0;
}

static void print_delta(FILE *out, const char *key, const struct view_delta *d, const char *to) {
    if (isnan(d->diff)) return;
    if (isfinite(d->low) && isfinite(d->high))
        term_fact(out, key, "%+.*f [%+.*f, %+.*f] to %s", DIGITS, d->diff, DIGITS, d->low, DIGITS,
                  d->high, to);
    else
        term_fact(out, key, "%+.*f to %s", DIGITS, d->diff, to);
}

static void print_seeds(const struct best *b, FILE *out) {
    char *text = NULL, value[32];
    size_t size;
    const char *seed;
    json_t *all = seeds_json(b), *v;
    FILE *f = open_memstream(&text, &size);
    if (f) {
        json_object_foreach(all, seed, v)
            fprintf(f, "%s%s", ftell(f) ? ", " : "",
                    num_text(json_is_number(v) ? json_number_value(v) : NAN, DIGITS, value));
        fclose(f);
        term_fact(out, "seeds", "%s", text);
    }
    free(text);
    json_decref(all);
}

static int print_text(const struct best *b, FILE *out, struct err *e) {
    const struct search *s = b->v->s;
    const struct view_trial *t = &b->v->trial[b->trial];
    char value[32], rival[40];
    term_fact(out, "best", "trial %lld of %zu%s, from %s", (long long)b->trial, b->v->n,
              b->trial ? "" : ": the base, as nothing was kept", search_job(s, b->trial)->from);
    term_fact(out, s->file.metric.key ? s->file.metric.key : "value", "%s",
              num_text(t->value, DIGITS, value));
    print_seeds(b, out);
    print_delta(out, "difference", &b->gain, "the base");
    if (b->known && b->trial) {
        const struct view_delta d = view_decided(b->v, b->trial);
        snprintf(rival, sizeof rival, "trial %lld", (long long)search_rival(s, b->trial));
        print_delta(out, "kept_for", &d, rival);
        if (isfinite(b->ev.log_e) && isfinite(b->ev.threshold))
            term_fact(out, "evidence", "e %.3g, needed %.3g, %lld seeds", exp(b->ev.log_e),
                      exp(b->ev.threshold), (long long)b->ev.behind);
    }
    return print_config(b, out, e);
}

int search_best_print(const struct search_view *v, enum best_form form, FILE *out, struct err *e) {
    struct best b = {.v = v, .trial = v->incumbent, .gain = {NAN, NAN, NAN, 0}};
    int rc;
    TRY(check(v, e));
    b.known = search_evidence(v->s, b.trial, &b.ev);
    if (b.trial) TRY(view_delta(v, b.trial, 0, &b.gain, e));
    rc = form == BEST_JSON ? print_json(&b, out, e) : print_text(&b, out, e);
out:
    return rc;
}
