#include "strategy.h"

#include "canon.h"
#include "conf.h"
#include "fun.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define X(name) extern const struct strategy strategy_##name;
SEARCH_STRATEGIES(X)
#undef X

#define X(name) &strategy_##name,
static const struct strategy *const strategies[] = {SEARCH_STRATEGIES(X)};
#undef X
#define X(name) #name,
static const char *const names[] = {SEARCH_STRATEGIES(X)};
#undef X
#define X(name) " " #name
static const char names_text[] = "expected one of:" SEARCH_STRATEGIES(X);
#undef X
enum { N_STRATEGIES = sizeof strategies / sizeof *strategies };

const struct strategy *strategy_find(const char *name) {
    for (size_t i = 0; i < N_STRATEGIES; i++)
        if (!strcmp(names[i], name)) return strategies[i];
    return NULL;
}

/* Reading -------------------------------------------------------------------------------------- */

/* A value as a message shows it: malloc()ed, or NULL. */
static char *shown(const json_t *v) {
    if (json_is_object(v) || json_is_array(v)) return strdup(json_is_array(v) ? "an array" : "{}");
    return v ? canon_text(v) : strdup("nothing");
}

static int wrong(const char *what, const json_t *v, const char *expected, struct err *e) {
    char *text = shown(v);
    const int rc = err_set(e, ERR_USAGE, "%s is %.80s, expected %s", what, text ? text : "?",
                           expected);
    free(text);
    return rc;
}

static int read_option(const struct strategy_option *o, const json_t *v, const char *what,
                       double *value, struct err *e) {
    char inner[700], expected[120];
    const double x = json_is_boolean(v) ? json_is_true(v) : json_number_value(v);
    snprintf(inner, sizeof inner, "%.600s: \"%s\"", what, o->name);
    *value = x;
    if (o->type == OPTION_BOOL)
        return json_is_boolean(v) ? 0 : wrong(inner, v, "true or false", e);
    snprintf(expected, sizeof expected, "%s from %.15g to %.15g",
             o->type == OPTION_INT ? "a whole number" : "a number", o->min, o->max);
    const bool good = json_is_number(v) && x >= o->min && x <= o->max &&
                      (o->type != OPTION_INT || x == trunc(x));
    return good ? 0 : wrong(inner, v, expected, e);
}

static int unknown_option(const struct strategy *kind, const char *key, const char *what,
                          struct err *e) {
    const char *words[STRATEGY_MAX_OPTIONS + 16] = {"name"}, *near;
    size_t n = 1;
    if (kind->over) words[n++] = "over";
    for (size_t i = 0; i < kind->n_options; i++) words[n++] = kind->options[i].name;
    for (size_t i = 0; kind->keys && kind->keys[i] && n < STRATEGY_MAX_OPTIONS + 16; i++)
        words[n++] = kind->keys[i];
    near = conf_suggest(key, words, n);
    if (near)
        return err_set(e, ERR_USAGE, "%s: unknown key \"%.80s\"; did you mean \"%s\"?", what, key,
                       near);
    return err_set(e, ERR_USAGE, "%s: unknown key \"%.80s\", expected an option of %s", what, key,
                   kind->name);
}

static bool reads_key(const struct strategy *kind, const char *key) {
    if (!strcmp(key, "name") || (kind->over && !strcmp(key, "over"))) return true;
    for (size_t i = 0; kind->keys && kind->keys[i]; i++)
        if (!strcmp(key, kind->keys[i])) return true;
    return false;
}

static int read_options(struct strategy_choice *c, const json_t *j, const char *what,
                        struct err *e) {
    json_t *object = (json_t *)(uintptr_t)j;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        size_t i = 0;
        if (reads_key(c->kind, key)) continue;
        while (i < c->kind->n_options && strcmp(key, c->kind->options[i].name)) i++;
        if (i == c->kind->n_options) return unknown_option(c->kind, key, what, e);
        const int rc = read_option(&c->kind->options[i], json_object_iter_value(at), what,
                                   &c->option[i], e);
        if (rc) return rc;
    }
    return 0;
}

static int read_name(struct strategy_choice *c, const json_t *j, const char *what, struct err *e) {
    const json_t *v = json_is_object(j) ? json_object_get(j, "name") : j;
    const char *name = json_string_value(v), *near;
    if (!v)
        return err_set(e, ERR_USAGE, "%s: \"name\" is missing, expected the name of a strategy",
                       what);
    if (!name)
        return wrong(what, v, "the name of a strategy, or an object with \"name\" and options", e);
    c->kind = strategy_find(name);
    if (c->kind) return 0;
    near = conf_suggest(name, names, N_STRATEGIES);
    if (near)
        return err_set(e, ERR_USAGE, "%s: unknown strategy \"%.80s\"; did you mean \"%s\"?", what,
                       name, near);
    return err_set(e, ERR_USAGE, "%s: unknown strategy \"%.80s\", %s", what, name, names_text);
}

static int read_nested(struct strategy_choice *c, const json_t *j, const struct space *s,
                       const char *what, int depth, struct err *e);

/* Default: random configurations, with which halving was published. */
static int read_over(struct strategy_choice *c, const json_t *j, const struct space *s,
                     const char *what, int depth, struct err *e) {
    char inner[600];
    json_t *named = json_object_get(j, "over");
    json_t *v = named ? json_incref(named) : json_string("random");
    snprintf(inner, sizeof inner, "%.500s: \"over\"", what);
    struct strategy_choice *over = calloc(1, sizeof *over);
    int rc = v && over ? read_nested(over, v, s, inner, depth + 1, e)
                       : err_set(e, ERR_NOMEM, "no memory for a strategy");
    if (rc)
        free(over);
    else
        c->over = over;
    json_decref(v);
    return rc;
}

static int read_nested(struct strategy_choice *c, const json_t *j, const struct space *s,
                       const char *what, int depth, struct err *e) {
    int rc;
    *c = (struct strategy_choice){0};
    TRY(read_name(c, j, what, e));
    if (depth && c->kind->rungs)
        rc = err_set(e, ERR_USAGE,
                     "%s: \"%s\" goes on with trials, expected a strategy of new ones alone", what,
                     c->kind->name);
    else if (depth >= STRATEGY_MAX_NESTED)
        rc = err_set(e, ERR_USAGE, "%s is below more than %d others", what,
                     STRATEGY_MAX_NESTED - 1);
    if (rc) goto out;
    for (size_t i = 0; i < c->kind->n_options; i++) c->option[i] = c->kind->options[i].def;
    if (json_is_object(j)) {
        TRY(read_options(c, j, what, e));
        c->json = json_incref((json_t *)(uintptr_t)j);
    }
    if (c->kind->over) TRY(read_over(c, j, s, what, depth, e));
    if (c->kind->check) rc = c->kind->check(s, c, what, e);
out:
    if (rc) strategy_release(c);
    return rc;
}

int strategy_read(struct strategy_choice *c, const json_t *j, const struct space *s,
                  const char *what, struct err *e) {
    return read_nested(c, j, s, what, 0, e);
}

void strategy_release(struct strategy_choice *c) {
    if (c->over) strategy_release(c->over);
    free(c->over);
    json_decref(c->json);
    *c = (struct strategy_choice){0};
}

/* Proposing ------------------------------------------------------------------------------------ */

/* The base, and what was made by hand, may be others than their points say. */
static bool same_config(const json_t *a, const json_t *b) {
    json_t *object = (json_t *)(uintptr_t)a;
    if (!a || !b) return true; /* that of the point */
    if (json_object_size(a) != json_object_size(b)) return false;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const json_t *v = json_object_get(b, json_object_iter_key(at));
        if (!v || !space_same(json_object_iter_value(at), v)) return false;
    }
    return true;
}

const struct trial *strategy_known(const struct history *h, const double *u, size_t n,
                                   const json_t *config) {
    for (size_t i = 0; i < h->n; i++)
        if (!memcmp(h->trial[i].u, u, n * sizeof *u) && same_config(h->trial[i].config, config))
            return &h->trial[i];
    return NULL;
}

int strategy_settle(const struct space *s, double *u, json_t **config, struct err *e) {
    json_t *c = space_config(s, u);
    if (config) *config = NULL;
    if (!c) return err_set(e, ERR_NOMEM, "no memory for a configuration");
    const int rc = space_point(s, c, s->path, u, e);
    if (config && !rc)
        *config = c;
    else
        json_decref(c);
    return rc;
}

int strategy_propose(const struct strategy_ask *ask, struct proposal *p, struct err *e) {
    enum { DRAWS = 20 };
    const struct strategy *kind = ask->choice->kind;
    struct strategy_ask again = *ask;
    if (!again.whole) again.whole = &ask->history;
    for (again.draw = ask->draw;; again.draw++) {
        *p = (struct proposal){.share = 1, .from = kind->name};
        p->trial = strategy_trials(&ask->history);
        if (!kind->over && ask->trials && p->trial >= ask->trials) {
            p->what = PROPOSE_END;
            return 0;
        }
        int rc = kind->propose(&again, p, e);
        if (rc || p->what != PROPOSE_TRIAL || p->config) return rc;
        rc = strategy_settle(ask->space, p->u, &p->config, e);
        if (rc || !kind->draws || again.draw + 1 >= ask->draw + DRAWS ||
            !strategy_known(&ask->history, p->u, ask->space->n, p->config))
            return rc;
        json_decref(p->config);
    }
}

int strategy_left(const struct strategy_ask *ask, int64_t most, int64_t *n, struct err *e) {
    const struct strategy *kind = ask->choice->kind;
    *n = most;
    return kind->left ? kind->left(ask, most, n, e) : 0;
}

double strategy_option(const struct strategy_choice *c, const char *name) {
    size_t i = 0;
    while (strcmp(c->kind->options[i].name, name)) {
        i++;
        assert(i < c->kind->n_options);
    }
    return c->option[i];
}

struct rng strategy_rng(const struct strategy_ask *ask, uint64_t index) {
    const char *name = ask->choice->kind->name;
    return rng_make(ask->seed, RNG_SEARCH, XXH64(name, strlen(name), 0), index, ask->draw);
}

double strategy_uniform(struct rng *r) {
    return ((double)(rng_next(r) >> 12) + 0.5) * 0x1p-52;
}

double strategy_normal(struct rng *r) {
    return fun_quantile(strategy_uniform(r));
}

int64_t strategy_trials(const struct history *h) {
    int64_t n = 0;
    for (size_t i = 0; i < h->n; i++) n += h->trial[i].trial == n;
    return n;
}

const struct trial *strategy_incumbent(const struct history *h) {
    const struct trial *best = NULL;
    for (size_t i = 0; i < h->n; i++) {
        const struct trial *t = &h->trial[i];
        if (t->status != TRIAL_ok || t->decision == DECISION_discard) continue;
        if (!best || t->decision == DECISION_keep || t->value < best->value) best = t;
    }
    return best;
}
