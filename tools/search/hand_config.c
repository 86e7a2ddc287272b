#include "hand_config.h"

#include "canon.h"
#include "file.h"
#include "hand_files.h"
#include "run_start.h"
#include "train_opts.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a configuration");
}

/* ---- what is said ---------------------------------------------------------------------------- */

/* As `duet train` reads it. */
struct said {
    char **argv;
    int n;
    struct conf conf;
    struct train_opts opts;
    json_t *named; /* {key: true} of words */
    json_t *value; /* {key: value} of everything that was given, "set.KEY" for a pair */
};

static int add_arg(struct said *x, const char *front, const char *key, const char *equal,
                   const char *value, struct err *e) {
    const size_t size = strlen(front) + strlen(key) + strlen(equal) + strlen(value) + 1;
    char *text = malloc(size);
    if (!text) return no_memory(e);
    snprintf(text, size, "%s%s%s%s", front, key, equal, value);
    x->argv[x->n++] = text;
    return 0;
}

static int name(struct said *x, const char *key, struct err *e) {
    return json_object_set_new(x->named, key, json_true()) ? no_memory(e) : 0;
}

static int unknown(const char *key, struct err *e) {
    const char *names[300], *near;
    size_t n = 0;
    for (const struct conf_row *r = train_rows; r->type != CONF_T_END && n < 300; r++)
        if (r->name && r->type != CONF_T_GONE) names[n++] = r->name;
    near = conf_suggest(key, names, n);
    if (near)
        return err_set(e, ERR_USAGE, "unknown option \"%.80s\"; did you mean \"%s\"?", key, near);
    return err_set(e, ERR_USAGE, "unknown option \"%.80s\"; duet train --help all lists them", key);
}

static int add_pair(struct said *x, const char *key, const char *value, struct err *e) {
    char whole[160];
    int rc;
    snprintf(whole, sizeof whole, "set.%.150s", key);
    TRY(name(x, whole, e));
    TRY(add_arg(x, "--set", "", "", "", e));
    rc = add_arg(x, "", key, "=", value, e);
out:
    return rc;
}

/* "lr=3e-3" to "--lr=3e-3". Switches have no value in a command line. */
static int add_word(struct said *x, const char *word, struct err *e) {
    const char *equal = strchr(word, '='), *value = equal ? equal + 1 : NULL;
    char key[128];
    int rc;
    if (!equal || equal == word || equal - word >= (int)sizeof key)
        return err_set(e, ERR_USAGE, "\"%.80s\" is no change, expected OPTION=VALUE", word);
    snprintf(key, sizeof key, "%.*s", (int)(equal - word), word);
    if (!strncmp(key, "set.", 4) && key[4]) return add_pair(x, key + 4, value, e);
    if (!strcmp(key, "program"))
        return err_set(e, ERR_USAGE, "a program is given with --program %.200s", value);
    const struct conf_row *row = conf_row(train_rows, key);
    if (!row) return unknown(key, e);
    TRY(name(x, key, e));
    if (row->type != CONF_T_BOOL) return add_arg(x, "--", key, "=", value, e);
    if (strcmp(value, "true") && strcmp(value, "false"))
        return err_set(e, ERR_USAGE, "\"%s\" is \"%.40s\", expected true or false", key, value);
    rc = add_arg(x, !strcmp(value, "true") ? "--" : "--no-", key, "", "", e);
out:
    return rc;
}

static int make_args(struct said *x, const struct hand_change *c, struct err *e) {
    int rc = 0;
    x->argv = calloc(2 * (c->n + c->set.n) + 3, sizeof *x->argv);
    x->named = json_object();
    x->value = json_object();
    if (!x->argv || !x->named || !x->value) return no_memory(e);
    if (c->config) {
        TRY(add_arg(x, "--config", "", "", "", e));
        TRY(add_arg(x, c->config, "", "", "", e));
    }
    for (size_t i = 0; i < c->set.n; i++) TRY(add_pair(x, c->set.key[i], c->set.value[i], e));
    for (size_t i = 0; i < c->n; i++) TRY(add_word(x, c->word[i], e));
out:
    return rc;
}

/* A number or a truth where the text is one: 4 and "4" are the same to --set. */
static json_t *plain(const char *text) {
    json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);
    if (json_is_number(v) || json_is_boolean(v)) return v;
    json_decref(v);
    return json_string(text);
}

/* What is left to the program is not written (conf_to_json), but was given. */
static json_t *left_open(const struct conf_row *row) {
    return row->type == CONF_T_INT || row->type == CONF_T_FLOAT ? json_integer(-1)
                                                                : json_string("auto");
}

static int take_pairs(struct said *x, struct err *e) {
    const struct conf_pairs *p = &x->opts.set;
    char key[160];
    for (size_t i = 0; i < p->n; i++) {
        snprintf(key, sizeof key, "set.%.150s", p->key[i]);
        json_t *v = plain(p->value[i]);
        if (!v || json_object_set_new(x->value, key, v)) return no_memory(e);
    }
    return 0;
}

static int read_said(struct said *x, struct err *e) {
    int rc;
    json_t *all = NULL;
    char *text = NULL;
    TRY(conf_parse(&x->conf, train_rows, &x->opts, x->n, x->argv, e));
    text = conf_to_json(&x->conf, NULL, NULL);
    all = text ? json_loads(text, 0, NULL) : NULL;
    if (!all) TRY(no_memory(e));
    for (const struct conf_row *r = train_rows; r->type != CONF_T_END; r++) {
        if (!r->name || r->type == CONF_T_GONE || !conf_given(&x->conf, r->name)) continue;
        if (r->type == CONF_T_PAIRS) {
            TRY(take_pairs(x, e));
            continue;
        }
        /* How a run was done, not what it computed. */
        const bool own = r->internal || r->label || !strcmp(r->name, "seed");
        if (own && !json_object_get(x->named, r->name)) continue;
        json_t *v = json_object_get(all, r->name);
        if (json_object_set_new(x->value, r->name, v ? json_incref(v) : left_open(r)))
            TRY(no_memory(e));
    }
out:
    free(text);
    json_decref(all);
    return rc;
}

static void release_said(struct said *x) {
    conf_release(&x->conf);
    for (int i = 0; i < x->n; i++) free(x->argv[i]);
    free(x->argv);
    json_decref(x->named);
    json_decref(x->value);
}

/* ---- what the base says ---------------------------------------------------------------------- */

/* The value that an option has if nobody says anything: new; NULL: none. */
static json_t *default_of(const char *key) {
    const struct conf_row *row = conf_row(train_rows, key);
    if (!row) return NULL;
    if (row->type == CONF_T_BOOL) return json_boolean(row->def && !strcmp(row->def, "true"));
    if (!row->def) return NULL;
    return row->type == CONF_T_INT || row->type == CONF_T_FLOAT ? plain(row->def)
                                                                 : json_string(row->def);
}

/* The value that it has in the base: new; NULL: none. */
static json_t *base_of(const struct search *s, const char *key) {
#define X(word) #word,
    static const char *const budgets[] = {SEARCH_BUDGETS(X)};
#undef X
    const struct search_file *f = &s->file;
    if (!strncmp(key, "set.", 4)) {
        json_t *v = json_object_get(json_object_get(f->base, "set"), key + 4);
        return json_is_string(v) ? plain(json_string_value(v)) : json_incref(v);
    }
    if (!strcmp(key, budgets[f->budget])) return json_real(f->amount);
    json_t *v = json_object_get(f->base, key);
    return v ? json_incref(v) : default_of(key);
}

/* A list of one is that one. */
static const json_t *alone(const json_t *v) {
    return json_array_size(v) == 1 ? json_array_get(v, 0) : v;
}

static bool is_path(const char *key) {
    const struct conf_row *row = conf_row(train_rows, key);
    return row && conf_is_path(row);
}

static bool same(const char *key, const json_t *a, const json_t *b) {
    if (!a || !b) return a == b;
    a = alone(a);
    b = alone(b);
    if (is_path(key) && json_is_string(a) && json_is_string(b) &&
        hand_same_file(json_string_value(a), json_string_value(b)))
        return true;
    char *x = canon_text(a), *y = canon_text(b);
    const bool equal = x && y && !strcmp(x, y);
    free(x);
    free(y);
    return equal;
}

/* ---- the configuration ----------------------------------------------------------------------- */

static int set_text(json_t *config, const char *key, const char *text, struct err *e) {
    return json_object_set_new(config, key, json_string(text)) ? no_memory(e) : 0;
}

/* Weights to begin with by what is in them. A LoRA run stands for its base and its own adapter;
 * what else began with an adapter does so no more, unless one is said. */
static int put_start(const struct search *s, const struct said *x, const char *path, json_t *config,
                     struct err *e) {
    const char *adapter = json_string_value(json_object_get(x->value, "adapter"));
    struct run_files files = {0};
    char *model = NULL, *own = NULL;
    int rc;
    TRY(run_files_find(&files, path, adapter, e));
    TRY(run_files_there(&files, e));
    TRY(hand_keep_model(s->dir, files.model, &model, e));
    TRY(set_text(config, "init", model, e));
    if (!adapter) json_object_del(config, "adapter");
    if (adapter || !files.adapter) goto out;
    TRY(hand_keep_model(s->dir, files.adapter, &own, e));
    rc = set_text(config, "adapter", own, e);
out:
    run_files_release(&files);
    free(model);
    free(own);
    return rc;
}

static bool is_axis(const struct search *s, const char *key) {
    return space_find(&s->file.space, key) < s->file.space.n;
}

/* Is it one of an axis's files, which may not change anyway? */
static bool is_choice(const struct search *s, const char *key, const char *path) {
    const json_t *all = is_axis(s, key)
                            ? s->file.space.axis[space_find(&s->file.space, key)].choices
                            : NULL;
    for (size_t i = 0; i < json_array_size(all); i++) {
        const char *choice = json_string_value(json_array_get(all, i));
        if (choice && !strcmp(choice, path)) return true;
    }
    return false;
}

/* Files by what is in them, else paths that lead there from anywhere. */
static int put_file(const struct search *s, const struct said *x, const char *key, json_t *v,
                    json_t *config, struct err *e) {
    const char *path = json_string_value(v);
    char *found = realpath(path, NULL), *kept = NULL;
    int rc = 0;
    if (!found) {
        rc = json_object_set(config, key, v) ? no_memory(e) : 0;
    } else if (is_choice(s, key, found)) {
        rc = set_text(config, key, found, e);
    } else if (!strcmp(key, "init")) {
        rc = put_start(s, x, path, config, e);
    } else if (!strcmp(key, "adapter")) {
        rc = hand_keep_model(s->dir, path, &kept, e);
    } else if (!strcmp(key, "model") && file_is_regular(found)) {
        rc = hand_keep_file(s->dir, "files", found, false, &kept, e);
    } else {
        rc = set_text(config, key, found, e);
    }
    if (kept) rc = set_text(config, key, kept, e);
    free(found);
    free(kept);
    return rc;
}

static int put_value(const struct search *s, const struct said *x, const char *key, json_t *v,
                     json_t *config, struct err *e) {
    if (is_path(key) && json_is_string(v)) return put_file(s, x, key, v, config, e);
    return json_object_set(config, key, v) ? no_memory(e) : 0;
}

/* What the base says is not said again; its weights have no adapter but the base's. */
static void drop_value(const struct said *x, const char *key, json_t *config) {
    json_object_del(config, key);
    if (!strcmp(key, "init") && !json_object_get(x->value, "adapter"))
        json_object_del(config, "adapter");
}

static int apply(const struct search *s, const struct said *x, json_t *config, struct err *e) {
    const char *key;
    json_t *v;
    int rc = 0;
    json_object_foreach(x->value, key, v) {
        json_t *base = base_of(s, key), *one = json_pack("{s:O}", key, v);
        const bool as_base = same(key, v, base);
        rc = one ? 0 : no_memory(e);
        if (!rc && !as_base) rc = search_keys_check_config(one, NULL, train_rows, e);
        const char *why = !rc && !as_base ? search_keys_why_window(&s->file, key) : NULL;
        if (why)
            rc = err_set(e, ERR_USAGE, "\"%.80s\" cannot be changed in this search: it %s", key,
                         why);
        if (!rc && as_base && !is_axis(s, key))
            drop_value(x, key, config);
        else if (!rc)
            rc = put_value(s, x, key, v, config, e);
        json_decref(base);
        json_decref(one);
        if (rc) break;
    }
    return rc;
}

/* Axes whose condition is met no more, unless they were named. */
static int drop_inactive(const struct search *s, const struct said *x, json_t *config,
                         struct err *e) {
    const struct space *space = &s->file.space;
    double u[SPACE_MAX_AXES];
    bool active[SPACE_MAX_AXES];
    int rc;
    TRY(space_nearest(space, config, u, e));
    if (!space_active(space, u, active)) return no_memory(e);
    for (size_t i = 0; i < space->n; i++)
        if (!active[i] && !json_object_get(x->named, space->axis[i].key))
            json_object_del(config, space->axis[i].key);
out:
    return rc;
}

static int apply_program(const struct search *s, const char *program, json_t *config,
                         struct err *e) {
    const char *base = s->file.program ? s->file.program : "/proc/self/exe";
    char *kept = NULL;
    int rc = 0;
    if (!program) return 0;
    if (hand_same_file(program, base) && !is_axis(s, "program")) {
        json_object_del(config, "program");
        return 0;
    }
    TRY(hand_keep_file(s->dir, "programs", program, true, &kept, e));
    if (json_object_set_new(config, "program", json_string(kept))) rc = no_memory(e);
out:
    free(kept);
    return rc;
}

/* Of a search in which nothing was tried yet, that of the base to be. New. */
static int begin(const struct search *s, bool from_base, json_t **config, struct err *e) {
    const int64_t incumbent = search_incumbent(s);
    if (!search_trials(s)) return search_base(&s->file, config, e);
    *config = json_deep_copy(search_config(s, from_base || incumbent < 0 ? 0 : incumbent));
    return *config ? 0 : no_memory(e);
}

int hand_config(const struct search *s, const struct hand_change *c, json_t **config,
                struct err *e) {
    struct said x = {0};
    int rc;
    *config = NULL;
    TRY(make_args(&x, c, e));
    TRY(read_said(&x, e));
    TRY(begin(s, c->config != NULL, config, e));
    TRY(apply(s, &x, *config, e));
    TRY(drop_inactive(s, &x, *config, e));
    rc = apply_program(s, c->program, *config, e);
out:
    release_said(&x);
    if (rc) json_decref(*config);
    if (rc) *config = NULL;
    return rc;
}
