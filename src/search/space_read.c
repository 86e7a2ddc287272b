#include "space_impl.h"

#include "conf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double whole_most = 1e15, levels_most = 1e9, real_most = 1e300;

/* An axis while it is read. */
struct reader {
    struct space *s;
    struct axis *a;
    json_t *j;      /* its object */
    char what[512]; /* names it in messages */
    struct err *e;
};

static int wrong(struct reader *r, const char *key, const json_t *v, const char *expected) {
    char buf[80];
    return err_set(r->e, ERR_USAGE, "%s: \"%s\" is %s, expected %s", r->what, key,
                   show_value(v, buf), expected);
}

static int no_memory(struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for the axes of a search");
}

/* Members -------------------------------------------------------------------------------------- */

/* Two numbers, the first below the second. */
static int read_range(struct reader *r, const char *key, const char *expected, double *low,
                      double *high) {
    const json_t *v = json_object_get(r->j, key);
    const json_t *a = json_array_get(v, 0), *b = json_array_get(v, 1);
    *low = json_number_value(a);
    *high = json_number_value(b);
    if (!v) return err_set(r->e, ERR_USAGE, "%s: \"%s\" is missing, expected %s", r->what, key,
                           expected);
    if (json_array_size(v) != 2 || !json_is_number(a) || !json_is_number(b) || !(*low < *high))
        return wrong(r, key, v, expected);
    return 0;
}

static int read_step(struct reader *r, int64_t *step) {
    const json_t *v = json_object_get(r->j, "multiple_of");
    const double x = json_number_value(v);
    if (!json_is_number(v) || !(x >= 1 && x <= levels_most && x == trunc(x)))
        return wrong(r, "multiple_of", v, "a whole number of at least 1");
    *step = (int64_t)x;
    return 0;
}

static int read_real(struct reader *r) {
    struct axis *a = r->a;
    const bool is_log = a->kind == AXIS_log;
    const char *key = is_log ? "log" : "linear";
    const char *expected = is_log ? "two numbers, 0 < low < high" : "two numbers, low < high";
    int rc;
    TRY(read_range(r, key, expected, &a->low, &a->high));
    const double size = fmax(fabs(a->low), fabs(a->high));
    a->most = a->high;
    if (is_log && !(a->low >= 1e-300))
        rc = wrong(r, key, json_object_get(r->j, key), expected);
    else if (size > real_most || (!is_log && a->high - a->low < 1e-6 * size))
        rc = wrong(r, key, json_object_get(r->j, key),
                   "numbers below 1e300, further apart than a millionth of them");
out:
    return rc;
}

static int read_whole(struct reader *r) {
    struct axis *a = r->a;
    const bool any = a->kind == AXIS_int;
    const char *key = any ? "int" : "range";
    const char *expected = any ? "two whole numbers, low < high"
                               : "two numbers, low < high, with a multiple between them";
    double low, high;
    int rc;
    a->step = 1;
    if (!any) TRY(read_step(r, &a->step));
    TRY(read_range(r, key, expected, &low, &high));
    if (fabs(low) > whole_most || fabs(high) > whole_most ||
        (any && (low != trunc(low) || high != trunc(high))))
        return wrong(r, key, json_object_get(r->j, key), expected);
    a->low = ceil(low / (double)a->step);
    a->high = floor(high / (double)a->step);
    a->most = a->high * (double)a->step;
    if (!(a->low <= a->high && a->high - a->low < levels_most))
        rc = wrong(r, key, json_object_get(r->j, key), expected);
out:
    return rc;
}

/* shares: numbers above 0; else texts, numbers, true and false. */
static int read_choices(struct reader *r, bool shares) {
    json_t *v = json_object_get(r->j, "choice");
    const size_t n = json_array_size(v);
    const char *expected = shares ? "an array of 1 to 256 numbers above 0, up to 1e6"
                                  : "an array of 1 to 256 different texts, numbers, true or false";
    bool good = n >= 1 && n <= AXIS_MAX_CHOICES;
    for (size_t i = 0; i < n && good; i++) {
        const json_t *x = json_array_get(v, i);
        good = shares ? json_number_value(x) > 0 && json_number_value(x) <= 1e6
                      : json_is_string(x) || json_is_number(x) || json_is_boolean(x);
        for (size_t k = 0; k < i && good; k++) good = !space_same(x, json_array_get(v, k));
    }
    if (!good) return wrong(r, "choice", v, expected);
    r->a->choices = json_incref(v);
    r->a->most = 0;
    for (size_t i = 0; i < n; i++)
        r->a->most = fmax(r->a->most, json_number_value(json_array_get(v, i)));
    return 0;
}

/* Kinds ---------------------------------------------------------------------------------------- */

#define X(name) #name,
static const char *const kind_names[] = {AXIS_KINDS(X)};
#undef X
enum { N_KINDS = sizeof kind_names / sizeof *kind_names };
static const char kinds_text[] = "one of log, linear, int, multiple_of, choice, share_of";

/* The keys of an axis of that kind. */
static bool kind_has(enum axis_kind kind, const char *key) {
    if (!strcmp(key, kind_names[kind]) || !strcmp(key, "when")) return true;
    if (kind == AXIS_multiple_of) return !strcmp(key, "range");
    if (kind != AXIS_share_of) return false;
    return !strcmp(key, "range") || !strcmp(key, "choice") || !strcmp(key, "multiple_of");
}

/* -1: it has none; -2: it has several, and that is said. */
static int find_kind(struct reader *r) {
    int found = -1;
    if (json_object_get(r->j, "share_of")) return AXIS_share_of;
    for (int k = 0; k < N_KINDS; k++) {
        if (!json_object_get(r->j, kind_names[k])) continue;
        if (found >= 0) {
            err_set(r->e, ERR_USAGE, "%s has both \"%s\" and \"%s\", expected %s", r->what,
                    kind_names[found], kind_names[k], kinds_text);
            return -2;
        }
        found = k;
    }
    return found;
}

/* A key that no axis has, or none of the kind (-1: not known). */
static int unknown_key(struct reader *r, int kind, const char *key) {
    static const char *const others[] = {"range", "when"};
    const char *words[N_KINDS + 2], *near;
    size_t n = 0;
    for (int k = 0; k < N_KINDS; k++)
        if (kind < 0 || kind_has((enum axis_kind)kind, kind_names[k])) words[n++] = kind_names[k];
    for (int k = 0; k < 2; k++)
        if (kind < 0 || kind_has((enum axis_kind)kind, others[k])) words[n++] = others[k];
    near = conf_suggest(key, words, n);
    if (near)
        return err_set(r->e, ERR_USAGE, "%s: unknown key \"%.80s\"; did you mean \"%s\"?", r->what,
                       key, near);
    if (kind < 0)
        return err_set(r->e, ERR_USAGE, "%s: unknown key \"%.80s\", expected %s", r->what, key,
                       kinds_text);
    return err_set(r->e, ERR_USAGE, "%s: unknown key \"%.80s\" beside \"%s\"", r->what, key,
                   kind_names[kind]);
}

static int check_keys(struct reader *r, int kind) {
    for (void *at = json_object_iter(r->j); at; at = json_object_iter_next(r->j, at)) {
        const char *key = json_object_iter_key(at);
        const bool known = kind < 0 ? !strcmp(key, "when") || !strcmp(key, "range")
                                    : kind_has((enum axis_kind)kind, key);
        if (!known) return unknown_key(r, kind, key);
    }
    if (kind >= 0) return 0;
    return err_set(r->e, ERR_USAGE, "%s says no kind, expected %s", r->what, kinds_text);
}

/* Where another axis is named. */
static int find_other(struct reader *r, const char *member, const char *key, size_t *axis) {
    const char *words[SPACE_MAX_AXES], *near;
    *axis = space_find(r->s, key);
    if (*axis < r->s->n && &r->s->axis[*axis] != r->a) {
        r->s->axis[*axis].read = true;
        return 0;
    }
    if (*axis < r->s->n)
        return err_set(r->e, ERR_USAGE, "%s: \"%s\" names the axis itself, expected another",
                       r->what, member);
    for (size_t i = 0; i < r->s->n; i++) words[i] = r->s->axis[i].key;
    near = conf_suggest(key, words, r->s->n);
    return near ? err_set(r->e, ERR_USAGE,
                          "%s: \"%s\" names \"%.80s\", which is no axis; did you mean \"%s\"?",
                          r->what, member, key, near)
                : err_set(r->e, ERR_USAGE,
                          "%s: \"%s\" names \"%.80s\", expected another axis of the space", r->what,
                          member, key);
}

/* Has it positive numbers only, and whole ones? */
static bool positive(const struct axis *a, bool *whole) {
    *whole = a->kind == AXIS_int || a->kind == AXIS_multiple_of ||
             (a->kind == AXIS_share_of && a->step);
    if (a->kind == AXIS_share_of) return true; /* as the one that it is a share of */
    if (a->kind != AXIS_choice) return a->low > 0;
    *whole = true;
    for (size_t i = 0; i < json_array_size(a->choices); i++) {
        const double x = json_number_value(json_array_get(a->choices, i));
        if (!(x > 0)) return false;
        if (x != trunc(x)) *whole = false;
    }
    return true;
}

static int read_of(struct reader *r) {
    const json_t *of = json_object_get(r->j, "share_of");
    if (!json_is_string(of)) return wrong(r, "share_of", of, "the key of another axis");
    return find_other(r, "share_of", json_string_value(of), &r->a->of);
}

/* When the other axis is known. */
static int read_share(struct reader *r) {
    static const char expected[] = "two shares, 0 < low < high, up to 1e6";
    struct axis *a = r->a;
    bool whole;
    int rc = 0;
    if (!positive(&r->s->axis[a->of], &whole))
        return wrong(r, "share_of", json_object_get(r->j, "share_of"),
                     "an axis whose values are all numbers above 0");
    a->step = whole;
    if (json_object_get(r->j, "multiple_of")) TRY(read_step(r, &a->step));
    if (json_object_get(r->j, "choice") && json_object_get(r->j, "range"))
        return err_set(r->e, ERR_USAGE, "%s has both \"choice\" and \"range\", expected one",
                       r->what);
    if (json_object_get(r->j, "choice")) {
        TRY(read_choices(r, true));
    } else {
        TRY(read_range(r, "range", expected, &a->low, &a->high));
        if (!(a->low > 0 && a->high <= 1e6 && a->high - a->low >= 1e-6 * a->high))
            return wrong(r, "range", json_object_get(r->j, "range"), expected);
        a->most = a->high;
    }
    a->most *= r->s->axis[a->of].most; /* times the largest share */
    if (a->most > (a->step ? levels_most * (double)a->step : real_most))
        rc = err_set(r->e, ERR_USAGE,
                     "%s: values reach %.3g, expected at most 1e9 times \"multiple_of\"", r->what,
                     a->most);
out:
    return rc;
}

static int read_kind(struct reader *r) {
    switch (r->a->kind) {
    case AXIS_log:
    case AXIS_linear: return read_real(r);
    case AXIS_int:
    case AXIS_multiple_of: return read_whole(r);
    case AXIS_choice: return read_choices(r, false);
    default: return 0; /* when the others are known: read_share */
    }
}

/* Conditions ----------------------------------------------------------------------------------- */

static int read_condition(struct reader *r, const char *key, json_t *values, struct axis_when *w) {
    char expected[200], found[80];
    double u;
    int rc;
    TRY(find_other(r, "when", key, &w->axis));
    const struct axis *other = &r->s->axis[w->axis];
    if (other->kind != AXIS_int && other->kind != AXIS_multiple_of && other->kind != AXIS_choice)
        return err_set(r->e, ERR_USAGE,
                       "%s: \"when\" names \"%s\", expected an axis of int, multiple_of or choice",
                       r->what, key);
    w->values = json_is_array(values) ? json_incref(values) : json_pack("[O]", values);
    if (!w->values) return no_memory(r->e);
    if (!json_array_size(w->values))
        return err_set(r->e, ERR_USAGE, "%s: \"when\": \"%s\" is [], expected values of that axis",
                       r->what, key);
    for (size_t i = 0; i < json_array_size(w->values); i++)
        if (!axis_coordinate(other, json_array_get(w->values, i), 0, &u))
            return err_set(r->e, ERR_USAGE, "%s: \"when\": \"%s\" is %s, expected %s", r->what, key,
                           show_value(json_array_get(w->values, i), found),
                           show_axis(other, expected));
out:
    return rc;
}

static int read_when(struct reader *r) {
    json_t *v = json_object_get(r->j, "when");
    const size_t n = json_object_size(v);
    int rc = 0;
    if (!v) return 0;
    if (!json_is_object(v) || n == 0 || n > SPACE_MAX_AXES)
        return wrong(r, "when", v, "an object {\"key of another axis\": its value, or [values]}");
    r->a->when = calloc(n, sizeof *r->a->when);
    if (!r->a->when) return no_memory(r->e);
    for (void *at = json_object_iter(v); at && !rc; at = json_object_iter_next(v, at))
        rc = read_condition(r, json_object_iter_key(at), json_object_iter_value(at),
                            &r->a->when[r->a->n_when++]);
    return rc;
}

/* The whole ------------------------------------------------------------------------------------ */

static bool depends_on_placed(const struct axis *a, const bool *placed) {
    bool all = a->kind != AXIS_share_of || placed[a->of];
    for (size_t i = 0; i < a->n_when && all; i++) all = placed[a->when[i].axis];
    return all;
}

/* Of those that could be next the first of the file. */
static int make_order(struct space *s, struct err *e) {
    bool placed[SPACE_MAX_AXES] = {false};
    for (size_t k = 0; k < s->n; k++) {
        size_t i = 0;
        while (i < s->n && (placed[i] || !depends_on_placed(&s->axis[i], placed))) i++;
        if (i == s->n) {
            for (i = 0; placed[i];) i++;
            return err_set(e, ERR_USAGE,
                           "%s: \"space\": \"%s\" depends on itself by way of other axes", s->path,
                           s->axis[i].key);
        }
        s->order[k] = i;
        placed[i] = true;
    }
    return 0;
}

static int start_axis(struct space *s, const char *key, json_t *j, struct err *e) {
    struct axis *a = &s->axis[s->n];
    struct reader r = {.s = s, .a = a, .j = j, .e = e};
    char found[80];
    snprintf(r.what, sizeof r.what, "%.300s: \"space\": \"%.128s\"", s->path, key);
    if (!*key || strlen(key) > AXIS_MAX_KEY)
        return err_set(e, ERR_USAGE, "%s: the key of an axis has %zu bytes, expected 1 to %d",
                       r.what, strlen(key), AXIS_MAX_KEY);
    a->key = strdup(key);
    if (!a->key) return no_memory(e);
    s->n++;
    if (!json_is_object(j))
        return err_set(e, ERR_USAGE, "%s is %s, expected an object with %s", r.what,
                       show_value(j, found), kinds_text);
    const int kind = find_kind(&r);
    int rc = kind < -1 ? e->code : check_keys(&r, kind);
    if (rc) return rc;
    a->kind = (enum axis_kind)kind;
    return read_kind(&r);
}

/* When all axes are known, and again when those that it depends on are. */
static int finish_axis(struct space *s, struct axis *a, json_t *j, bool again, struct err *e) {
    struct reader r = {.s = s, .a = a, .j = j, .e = e};
    snprintf(r.what, sizeof r.what, "%.300s: \"space\": \"%.128s\"", s->path, a->key);
    if (again) return a->kind == AXIS_share_of ? read_share(&r) : 0;
    const int rc = a->kind == AXIS_share_of ? read_of(&r) : 0;
    return rc ? rc : read_when(&r);
}

int space_read(struct space *s, const json_t *j, const char *path, struct err *e) {
    json_t *axes = (json_t *)(uintptr_t)j;
    const size_t n = json_object_size(axes);
    char found[80];
    int rc = 0;
    *s = (struct space){0};
    if (!json_is_object(j) || n == 0)
        return err_set(e, ERR_USAGE,
                       "%s: \"space\" is %s, expected an object with an axis for each key to "
                       "search",
                       path, json_is_object(j) ? "{}" : show_value(j, found));
    if (n > SPACE_MAX_AXES)
        return err_set(e, ERR_USAGE, "%s: \"space\" has %zu axes, at most %d are possible", path, n,
                       SPACE_MAX_AXES);
    s->path = strdup(path);
    s->json = json_incref(axes);
    s->axis = calloc(n, sizeof *s->axis);
    if (!s->path || !s->axis) rc = no_memory(e);
    for (void *at = json_object_iter(axes); at && !rc; at = json_object_iter_next(axes, at))
        rc = start_axis(s, json_object_iter_key(at), json_object_iter_value(at), e);
    for (size_t i = 0; i < s->n && !rc; i++)
        rc = finish_axis(s, &s->axis[i], json_object_get(axes, s->axis[i].key), false, e);
    if (!rc) rc = make_order(s, e);
    for (size_t k = 0; k < s->n && !rc; k++) {
        struct axis *a = &s->axis[s->order[k]];
        rc = finish_axis(s, a, json_object_get(axes, a->key), true, e);
    }
    if (rc) space_release(s);
    return rc;
}

void space_release(struct space *s) {
    for (size_t i = 0; i < s->n; i++) {
        struct axis *a = &s->axis[i];
        free(a->key);
        json_decref(a->choices);
        for (size_t k = 0; k < a->n_when; k++) json_decref(a->when[k].values);
        free(a->when);
    }
    free(s->axis);
    json_decref(s->json);
    free(s->path);
    *s = (struct space){0};
}
