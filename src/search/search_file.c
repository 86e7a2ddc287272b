#include "search_file.h"

#include "canon.h"
#include "file.h"
#include "json_text.h"
#include "words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 20 };

/* Values --------------------------------------------------------------------------------------- */

/* Refuses keys of an object that are none of the words. where: "" or the key that holds it. */
static int only_keys(const json_t *j, const char *const *words, size_t n, const char *path,
                     const char *where, struct err *e) {
    json_t *object = (json_t *)(uintptr_t)j;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at), *near;
        size_t i = 0;
        while (i < n && strcmp(words[i], key)) i++;
        if (i < n) continue;
        near = conf_suggest(key, words, n);
        if (near)
            return err_set(e, ERR_USAGE, "%s: %sunknown key \"%.80s\"; did you mean \"%s\"?", path,
                           where, key, near);
        char list[200] = "";
        for (i = 0; i < n; i++) {
            const size_t used = strlen(list);
            snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", words[i]);
        }
        return err_set(e, ERR_USAGE, "%s: %sunknown key \"%.80s\", expected some of: %s", path,
                       where, key, list);
    }
    return 0;
}

static int wrong(const struct search_file *f, const char *key, const json_t *v,
                 const char *expected, struct err *e) {
    return canon_wrong(ERR_USAGE, f->path, key, v, expected, e);
}

static int read_whole(const struct search_file *f, const char *key, double least, double most,
                      int64_t *value, struct err *e) {
    const json_t *v = json_object_get(f->json, key);
    const double x = json_number_value(v);
    char expected[100];
    if (!v && *value) return 0; /* the default */
    snprintf(expected, sizeof expected, "a whole number from %.15g to %.15g", least, most);
    if (!json_is_number(v) || !(x >= least && x <= most) || x != trunc(x))
        return wrong(f, key, v, expected, e);
    *value = json_is_integer(v) ? json_integer_value(v) : (int64_t)x;
    return 0;
}

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for a search file");
}

/* Members -------------------------------------------------------------------------------------- */

/* "dir/name", where the file at path is in dir. malloc()ed. */
static char *beside(const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    const size_t n = slash && *name != '/' ? (size_t)(slash - path) + 1 : 0;
    char *out = malloc(n + strlen(name) + 1);
    if (!out) return NULL;
    memcpy(out, path, n);
    strcpy(out + n, name);
    return out;
}

static int read_base_file(struct search_file *f, const char *name, struct err *e) {
    char *text = NULL;
    size_t size;
    json_error_t at;
    int rc;
    f->base_path = beside(f->path, name);
    if (!f->base_path) return no_memory(e);
    TRY(file_read_text(f->base_path, FILE_MAX, &text, &size, e));
    f->base = json_text_load(text, size, &at);
    if (!f->base)
        rc = err_set(e, json_text_code(&at) == ERR_NOMEM ? ERR_NOMEM : ERR_USAGE,
                     "%s, line %d, column %d: not valid JSON: %s", f->base_path, at.line,
                     at.column, json_text_why(&at));
    else if (!json_is_object(f->base))
        rc = err_set(e, ERR_USAGE, "%s is an array, expected an object with options as keys",
                     f->base_path);
out:
    free(text);
    return rc;
}

static int read_base(struct search_file *f, struct err *e) {
    json_t *v = json_object_get(f->json, "base");
    int rc = 0;
    if (json_is_object(v))
        f->base = json_incref(v);
    else if (json_is_string(v) && *json_string_value(v))
        TRY(read_base_file(f, json_string_value(v), e));
    else
        return wrong(f, "base", v, "an object with options of duet train, or a file's path", e);
    const json_t *set = json_object_get(f->base, "set");
    if (set && !json_is_object(set)) {
        rc = wrong(f, "base\": \"set", set, "an object", e);
        goto out;
    }
    rc = search_keys_check_base(f->base, f->base_path ? f->base_path : f->path, e);
out:
    return rc;
}

static int read_budget(struct search_file *f, struct err *e) {
#define X(name) #name,
    static const char *const words[] = {SEARCH_BUDGETS(X)};
#undef X
    static const char expected[] = "an object with one of time, steps, tokens, flops";
    enum { N = sizeof words / sizeof *words };
    const json_t *v = json_object_get(f->json, "budget");
    int rc;
    if (!json_is_object(v)) return wrong(f, "budget", v, expected, e);
    TRY(only_keys(v, words, N, f->path, "\"budget\": ", e));
    if (json_object_size(v) != 1)
        return err_set(e, ERR_USAGE, "%s: \"budget\" has %zu keys, expected %s", f->path,
                       json_object_size(v), expected);
    for (int i = 0; i < N; i++) {
        const json_t *x = json_object_get(v, words[i]);
        const bool whole = i == SEARCH_steps || i == SEARCH_tokens;
        char key[40];
        if (!x) continue;
        f->budget = (enum search_budget)i;
        f->amount = json_number_value(x);
        snprintf(key, sizeof key, "budget\": \"%s", words[i]);
        if (!json_is_number(x) || !(f->amount > 0) ||
            f->amount > (i == SEARCH_flops ? 1e30 : i == SEARCH_time ? 1e9 : 1e15) ||
            (whole && f->amount != trunc(f->amount)))
            rc = wrong(f, key, x, whole ? "a whole number above 0" : "a number above 0", e);
    }
out:
    return rc;
}

/* Keys of summary.json that are known to be better when lower. */
static const char lower_keys[] = "val_bpb val_loss val_loss_full best_val_loss train_loss";

static int read_better(struct search_file *f, const json_t *v, struct err *e) {
    const json_t *better = json_object_get(v, "better");
    const char *word = json_string_value(better);
    if (!better && f->metric.key && conf_has_word(lower_keys, f->metric.key)) return 0;
    if (!better && f->metric.key)
        return err_set(e, ERR_USAGE,
                       "%s: \"metric\": nothing says whether \"%.80s\" is better when lower or "
                       "when higher: give {\"key\": \"%.80s\", \"better\": \"lower\" or "
                       "\"higher\"}",
                       f->path, f->metric.key, f->metric.key);
    if (!word || (strcmp(word, "lower") && strcmp(word, "higher")))
        return wrong(f, "metric\": \"better", better, "\"lower\" or \"higher\"", e);
    f->metric.higher = !strcmp(word, "higher");
    return 0;
}

static int read_metric(struct search_file *f, struct err *e) {
    static const char *const words[] = {"key", "better", "exact", "command"};
    json_t *v = json_object_get(f->json, "metric"), *command = json_object_get(v, "command");
    const json_t *key = json_is_object(v) ? json_object_get(v, "key") : v;
    const json_t *exact = json_object_get(v, "exact");
    int rc = 0;
    if (json_is_object(v)) TRY(only_keys(v, words, 4, f->path, "\"metric\": ", e));
    if (command) {
        if (key || exact)
            return err_set(e, ERR_USAGE, "%s: \"metric\" has both \"command\" and \"%s\"", f->path,
                           key ? "key" : "exact");
        TRY(words_read(f->path, "metric\": \"command", command, &f->metric.command, e));
        return read_better(f, v, e);
    }
    f->metric.key = v ? json_string_value(key) : "val_bpb";
    if (!f->metric.key || !*f->metric.key)
        return wrong(f, json_is_object(v) ? "metric\": \"key" : "metric", key,
                     "a key of summary.json, or an object with \"key\" or \"command\"", e);
    const bool bpb = !strcmp(f->metric.key, "val_bpb");
    f->metric.exact = exact ? json_is_true(exact) : bpb;
    if (exact && !json_is_boolean(exact))
        return wrong(f, "metric\": \"exact", exact, "true or false", e);
    if (f->metric.exact && !bpb)
        return err_set(e, ERR_USAGE,
                       "%s: \"metric\": \"exact\" is of \"val_bpb\" only, not of \"%.80s\"",
                       f->path, f->metric.key);
    rc = read_better(f, v, e);
out:
    return rc;
}

static int read_limits(struct search_file *f, struct err *e) {
    static const char *const words[] = {"peak_rss_mb", "num_params_M", "seconds"};
    double *const value[] = {&f->peak_rss_mb, &f->num_params_M, &f->seconds};
    const json_t *v = json_object_get(f->json, "limits");
    int rc = 0;
    if (!v) return 0;
    if (!json_is_object(v)) return wrong(f, "limits", v, "an object", e);
    TRY(only_keys(v, words, 3, f->path, "\"limits\": ", e));
    for (int i = 0; i < 3 && !rc; i++) {
        const json_t *x = json_object_get(v, words[i]);
        char key[40];
        if (!x) continue;
        snprintf(key, sizeof key, "limits\": \"%s", words[i]);
        *value[i] = json_number_value(x);
        if (!(*value[i] > 0)) rc = wrong(f, key, x, "a number above 0", e);
    }
out:
    return rc;
}

static int read_rest(struct search_file *f, struct err *e) {
    const json_t *confidence = json_object_get(f->json, "confidence");
    const json_t *program = json_object_get(f->json, "program");
    const json_t *every = json_object_get(f->json, "every_seed");
    json_t *launcher = json_object_get(f->json, "launcher");
    int rc;
    f->seed = f->jobs = 1;
    f->seeds = 8;
    f->confidence = confidence ? json_number_value(confidence) : 0.95;
    TRY(read_whole(f, "trials", 1, 1e6, &f->trials, e));
    TRY(read_whole(f, "seed", 0, 9e15, &f->seed, e));
    TRY(read_whole(f, "seeds", 1, 1000, &f->seeds, e));
    TRY(read_whole(f, "jobs", 1, 4096, &f->jobs, e));
    const bool sure = f->confidence >= 0.5 && f->confidence < 1;
    if (confidence && !(sure || (json_is_number(confidence) && f->confidence == 0)))
        return wrong(f, "confidence", confidence, "0, or a number from 0.5 to below 1", e);
    f->every_seed = json_is_true(every);
    if (every && !json_is_boolean(every))
        return wrong(f, "every_seed", every, "true or false", e);
    f->program = json_string_value(program);
    if (program && (!f->program || !*f->program))
        return wrong(f, "program", program, "the path of a program", e);
    if (program && space_find(&f->space, "program") < f->space.n)
        return err_set(e, ERR_USAGE, "%s: \"program\" is given, and is an axis of \"space\"",
                       f->path);
    if (launcher) TRY(words_read(f->path, "launcher", launcher, &f->launcher, e));
    rc = read_limits(f, e);
out:
    return rc;
}

/* The whole ------------------------------------------------------------------------------------ */

static int read_strategy(struct search_file *f, struct err *e) {
    char what[600];
    json_t *given = json_object_get(f->json, "strategy"), *v = given ? json_incref(given)
                                                                     : json_string("tpe");
    snprintf(what, sizeof what, "%.500s: \"strategy\"", f->path);
    const int rc = v ? strategy_read(&f->strategy, v, &f->space, what, e) : no_memory(e);
    json_decref(v);
    return rc;
}

/* Nothing is proposed, so that there need be no space. */
static bool by_hand(const struct search_file *f) {
    const json_t *v = json_object_get(f->json, "strategy");
    const char *name = json_string_value(json_is_object(v) ? json_object_get(v, "name") : v);
    return name && !strcmp(name, SEARCH_HAND);
}

static int read_space(struct search_file *f, const struct conf_row *rows, struct err *e) {
    const json_t *space = json_object_get(f->json, "space");
    int rc;
    if (!space && by_hand(f)) {
        f->space.path = strdup(f->path);
        return f->space.path ? 0 : no_memory(e);
    }
    if (!space)
        return wrong(f, "space", NULL, "an object with an axis for each key", e);
    TRY(space_read(&f->space, space, f->path, e));
    rc = search_keys_check(&f->space, rows, e);
out:
    return rc;
}

/* Axes that set how long the windows of the metric are. */
static int check_windows(const struct search_file *f, struct err *e) {
    for (size_t i = 0; i < f->space.n; i++) {
        const char *key = f->space.axis[i].key, *why = search_keys_why_window(f, key);
        if (why)
            return err_set(e, ERR_USAGE, "%s: \"space\": \"%s\" cannot be searched: it %s", f->path,
                           key, why);
    }
    return 0;
}

static int read_members(struct search_file *f, const struct conf_row *rows, struct err *e) {
    static const char *const words[] = {"base",       "budget",     "space",  "trials", "metric",
                                        "strategy",   "seed",       "seeds",  "confidence",
                                        "every_seed", "limits",     "jobs",   "program",
                                        "launcher"};
    int rc;
    TRY(only_keys(f->json, words, sizeof words / sizeof *words, f->path, "", e));
    TRY(read_base(f, e));
    TRY(read_budget(f, e));
    TRY(read_space(f, rows, e));
    TRY(read_metric(f, e));
    TRY(check_windows(f, e));
    TRY(read_rest(f, e));
    rc = read_strategy(f, e);
out:
    return rc;
}

int search_file_read(struct search_file *f, const char *text, size_t n, const char *path,
                     const struct conf_row *rows, struct err *e) {
    json_error_t at;
    int rc;
    *f = (struct search_file){.path = strdup(path)};
    if (!f->path) return no_memory(e);
    f->json = json_text_load(text, n, &at);
    if (!f->json)
        rc = err_set(e, json_text_code(&at) == ERR_NOMEM ? ERR_NOMEM : ERR_USAGE,
                     "%s, line %d, column %d: not valid JSON: %s", path, at.line, at.column,
                     json_text_why(&at));
    else if (!json_is_object(f->json))
        rc = err_set(e, ERR_USAGE, "%s is an array, expected an object that says what to search",
                     path);
    else
        rc = read_members(f, rows, e);
    if (rc) search_file_close(f);
    return rc;
}

int search_file_open(struct search_file *f, const char *path, const struct conf_row *rows,
                     struct err *e) {
    char *text = NULL;
    size_t size;
    int rc = file_read_text(path, FILE_MAX, &text, &size, e);
    *f = (struct search_file){0};
    if (!rc) rc = search_file_read(f, text, size, path, rows, e);
    free(text);
    return rc;
}

void search_file_close(struct search_file *f) {
    strategy_release(&f->strategy);
    space_release(&f->space);
    json_decref(f->metric.command);
    json_decref(f->launcher);
    json_decref(f->base);
    json_decref(f->json);
    free(f->base_path);
    free(f->path);
    *f = (struct search_file){0};
}

/* Trials --------------------------------------------------------------------------------------- */

/* What the base says of an axis, as a value of its own kind: new, or NULL. Texts of "set" and of
 * defaults may be numbers. */
static json_t *said(const struct search_file *f, const struct conf_row *rows, const char *key) {
    const bool set = !strncmp(key, "set.", 4);
    json_t *from = set ? json_object_get(f->base, "set") : f->base;
    json_t *v = json_object_get(from, set ? key + 4 : key);
    const struct conf_row *row = rows && !set ? conf_row(rows, key) : NULL;
    if (v && !(set && json_is_string(v))) return json_incref(v);
    const char *text = v ? json_string_value(v) : row ? row->def : NULL;
    if (!text && row && row->type == CONF_T_BOOL) return json_false();
    if (!text) return NULL;
    json_t *parsed = json_loads(text, JSON_DECODE_ANY, NULL);
    return parsed ? parsed : json_string(text);
}

int search_file_start(const struct search_file *f, const struct conf_row *rows, double *u,
                      struct err *e) {
    json_t *config = json_object();
    int rc = config ? 0 : no_memory(e);
    for (size_t i = 0; i < f->space.n && !rc; i++) {
        json_t *v = said(f, rows, f->space.axis[i].key);
        if (v && json_object_set_new(config, f->space.axis[i].key, v)) rc = no_memory(e);
    }
    if (!rc) rc = space_nearest(&f->space, config, u, e);
    json_decref(config);
    return rc;
}

int search_file_said(const struct search_file *f, const struct conf_row *rows, json_t *config,
                     struct err *e) {
    for (size_t i = 0; i < f->space.n; i++) {
        const char *key = f->space.axis[i].key;
        if (!json_object_get(config, key)) continue; /* its condition does not hold */
        json_t *v = said(f, rows, key);
        if (!v)
            json_object_del(config, key);
        else if (json_object_set_new(config, key, v))
            return no_memory(e);
    }
    return 0;
}

static bool put(json_t *options, json_t *set, const json_t *config) {
    json_t *object = (json_t *)(uintptr_t)config;
    bool ok = true;
    for (void *at = json_object_iter(object); at && ok; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        const bool inner = !strncmp(key, "set.", 4);
        ok = !json_object_set(inner ? set : options, inner ? key + 4 : key,
                              json_object_iter_value(at));
    }
    return ok;
}

json_t *search_file_options(const struct search_file *f, const json_t *config) {
#define X(name) #name,
    static const char *const words[] = {SEARCH_BUDGETS(X)};
#undef X
    json_t *options = json_copy(f->base), *was = json_object_get(f->base, "set");
    json_t *set = was ? json_copy(was) : json_object();
    const bool whole = f->amount == trunc(f->amount) && f->amount < 0x1p53;
    json_t *amount = whole ? json_integer((json_int_t)f->amount) : json_real(f->amount);
    bool ok = options && set && amount && put(options, set, config);
    if (ok && json_object_size(set)) ok = !json_object_set(options, "set", set);
    ok = ok && !json_object_set(options, words[f->budget], amount);
    json_decref(set);
    json_decref(amount);
    if (ok) return options;
    json_decref(options);
    return NULL;
}

bool search_file_hash(const struct search_file *f, const json_t *config, char hash[17]) {
    json_t *options = search_file_options(f, config);
    const bool ok = options && canon_hash(options, hash);
    json_decref(options);
    return ok;
}
