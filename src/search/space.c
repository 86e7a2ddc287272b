#include "space_impl.h"

#include "canon.h"
#include "fun.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers ------------------------------------------------------------------------------------- */

static double round_significant(double x) {
    char buf[32];
    snprintf(buf, sizeof buf, "%.5e", x);
    return strtod(buf, NULL);
}

/* To the decimal place that is 10^-6 of the range at least. */
static double round_within(double x, double range) {
    char buf[700];
    int places = 0;
    for (double r = range; r < 1e5 && places < 320; r *= 10) places++;
    snprintf(buf, sizeof buf, "%.*f", places, x);
    return strtod(buf, NULL);
}

static double clip(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

static double coordinate(double u) {
    return isnan(u) ? 0.5 : clip(u, 0, 1);
}

static json_t *number(double x) {
    return x == trunc(x) && fabs(x) < 0x1p53 ? json_integer((json_int_t)x) : json_real(x);
}

/* Axes ---------------------------------------------------------------------------------------- */

size_t axis_levels(const struct axis *a) {
    if (a->choices) return json_array_size(a->choices);
    if (a->kind == AXIS_int || a->kind == AXIS_multiple_of) return (size_t)(a->high - a->low) + 1;
    return 0;
}

size_t axis_level(double u, size_t levels) {
    const double at = floor(coordinate(u) * (double)levels);
    return at < (double)levels ? (size_t)at : levels - 1;
}

double axis_middle(size_t level, size_t levels) {
    return ((double)level + 0.5) / (double)levels;
}

static double share_value(const struct axis *a, double share, double of) {
    if (!a->step) return round_significant(share * of);
    const double multiple = round(share * of / (double)a->step);
    return (multiple < 1 ? 1 : multiple) * (double)a->step;
}

/* Of what is a number. */
static double numeric_value(const struct axis *a, double u, double of) {
    const size_t levels = axis_levels(a);
    switch (a->kind) {
    case AXIS_log:
        if (u == 0 || u == 1) return u == 0 ? a->low : a->high;
        return clip(round_significant(a->low * fun_exp(u * fun_log(a->high / a->low))), a->low,
                    a->high);
    case AXIS_linear:
        return clip(round_within(a->low + u * (a->high - a->low), a->high - a->low), a->low,
                    a->high);
    case AXIS_share_of:
        return share_value(a,
                           a->choices ? json_number_value(json_array_get(a->choices,
                                                                         axis_level(u, levels)))
                                      : a->low + u * (a->high - a->low),
                           of);
    default: return (a->low + (double)axis_level(u, levels)) * (double)a->step;
    }
}

json_t *axis_value(const struct axis *a, double u, double of) {
    u = coordinate(u);
    if (a->kind == AXIS_choice)
        return json_incref(json_array_get(a->choices, axis_level(u, axis_levels(a))));
    return number(numeric_value(a, u, of));
}

bool space_same(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

/* The first of the choices that makes this value. */
static bool choice_coordinate(const struct axis *a, const json_t *value, double of, double *u) {
    const size_t n = json_array_size(a->choices);
    for (size_t i = 0; i < n; i++) {
        const json_t *choice = json_array_get(a->choices, i);
        const bool is = a->kind == AXIS_choice
                            ? space_same(choice, value)
                            : share_value(a, json_number_value(choice), of) ==
                                  json_number_value(value);
        if (!is) continue;
        *u = axis_middle(i, n);
        return true;
    }
    return false;
}

bool axis_coordinate(const struct axis *a, const json_t *value, double of, double *u) {
    if (a->kind == AXIS_choice) return choice_coordinate(a, value, of, u);
    const double x = json_number_value(value);
    if (!json_is_number(value)) return false;
    if (a->kind == AXIS_share_of) {
        if (a->choices) return choice_coordinate(a, value, of, u);
        const double share = clip(x / of, a->low, a->high);
        *u = (share - a->low) / (a->high - a->low);
        return share_value(a, share, of) == (a->step ? x : round_significant(x));
    }
    if (a->kind == AXIS_log || a->kind == AXIS_linear) {
        if (!(x >= a->low && x <= a->high)) return false;
        *u = a->kind == AXIS_log ? fun_log(x / a->low) / fun_log(a->high / a->low)
                                 : (x - a->low) / (a->high - a->low);
        return true;
    }
    const double level = x / (double)a->step - a->low;
    if (!(level >= 0 && level < (double)axis_levels(a) && level == trunc(level))) return false;
    *u = axis_middle((size_t)level, axis_levels(a));
    return true;
}

bool axis_is_active(const struct axis *a, json_t *const *value) {
    if (a->kind == AXIS_share_of && !value[a->of]) return false;
    for (size_t i = 0; i < a->n_when; i++) {
        const json_t *v = value[a->when[i].axis], *is = a->when[i].values;
        bool met = false;
        for (size_t k = 0; k < json_array_size(is) && !met; k++)
            met = v && space_same(v, json_array_get(is, k));
        if (!met) return false;
    }
    return true;
}

static double share_of(const struct axis *a, json_t *const *value) {
    return a->kind == AXIS_share_of ? json_number_value(value[a->of]) : 0;
}

/* Points -------------------------------------------------------------------------------------- */

static void drop(json_t **value, size_t n) {
    for (size_t i = 0; i < n; i++) {
        json_decref(value[i]);
        value[i] = NULL;
    }
}

bool space_values(const struct space *s, const double *u, json_t **value) {
    bool ok = true;
    for (size_t i = 0; i < s->n; i++) value[i] = NULL;
    for (size_t k = 0; k < s->n && ok; k++) {
        const size_t i = s->order[k];
        const struct axis *a = &s->axis[i];
        if (!axis_is_active(a, value)) continue;
        value[i] = axis_value(a, u[i], share_of(a, value));
        ok = value[i] != NULL;
    }
    if (!ok) drop(value, s->n);
    return ok;
}

bool space_active(const struct space *s, const double *u, bool *active) {
    json_t *value[SPACE_MAX_AXES];
    if (!space_values(s, u, value)) return false;
    for (size_t i = 0; i < s->n; i++) active[i] = value[i] != NULL;
    drop(value, s->n);
    return true;
}

json_t *space_config(const struct space *s, const double *u) {
    json_t *value[SPACE_MAX_AXES], *config = json_object();
    bool ok = config && space_values(s, u, value);
    const size_t n = ok ? s->n : 0; /* that are to be dropped */
    for (size_t i = 0; i < n && ok; i++)
        if (value[i]) ok = !json_object_set(config, s->axis[i].key, value[i]);
    drop(value, n);
    if (ok) return config;
    json_decref(config);
    return NULL;
}

/* A key that is no axis, or one whose condition is not met. */
static int check_others(const struct space *s, const json_t *config, const char *what,
                        json_t *const *value, struct err *e) {
    for (void *at = json_object_iter((json_t *)(uintptr_t)config); at;
         at = json_object_iter_next((json_t *)(uintptr_t)config, at)) {
        const char *key = json_object_iter_key(at);
        const size_t i = space_find(s, key);
        if (i == s->n)
            return err_set(e, ERR_INPUT, "%s: \"%.128s\" is no axis of the search", what, key);
        if (!value[i])
            return err_set(e, ERR_INPUT,
                           "%s: \"%.128s\" is there, but its condition is not met by the others",
                           what, key);
    }
    return 0;
}

int space_point(const struct space *s, const json_t *config, const char *what, double *u,
                struct err *e) {
    json_t *value[SPACE_MAX_AXES] = {NULL};
    char found[80], expected[200];
    if (!json_is_object(config))
        return err_set(e, ERR_INPUT, "%s is %s, expected an object with a configuration", what,
                       show_value(config, found));
    for (size_t k = 0; k < s->n; k++) {
        const size_t i = s->order[k];
        const struct axis *a = &s->axis[i];
        u[i] = 0.5;
        if (!axis_is_active(a, value)) continue;
        value[i] = json_object_get(config, a->key); /* borrowed */
        if (!value[i])
            return err_set(e, ERR_INPUT, "%s: \"%s\" is missing, expected %s", what, a->key,
                           show_axis(a, expected));
        if (!axis_coordinate(a, value[i], share_of(a, value), &u[i]))
            return err_set(e, ERR_INPUT, "%s: \"%s\" is %s, expected %s", what, a->key,
                           show_value(value[i], found), show_axis(a, expected));
    }
    return check_others(s, config, what, value, e);
}

/* The nearest of the values of an axis. */
static double nearest(const struct axis *a, const json_t *value, double of) {
    double u, best = 0.5, least = INFINITY;
    if (!value) return 0.5;
    if (axis_coordinate(a, value, of, &u)) return u;
    if (a->kind == AXIS_choice || !json_is_number(value)) return 0.5;
    const double x = json_number_value(value);
    const size_t n = a->choices ? axis_levels(a) : 0;
    for (size_t i = 0; i < n; i++) {
        const double far =
            fabs(share_value(a, json_number_value(json_array_get(a->choices, i)), of) - x);
        if (!(far < least)) continue;
        least = far;
        best = axis_middle(i, n);
    }
    if (n) return best;
    if (a->kind == AXIS_share_of) /* a value between two multiples */
        return coordinate((x / of - a->low) / (a->high - a->low));
    if (a->kind == AXIS_log || a->kind == AXIS_linear) return x < a->low ? 0 : 1;
    const double level = clip(round(x / (double)a->step), a->low, a->high) - a->low;
    return axis_middle((size_t)level, axis_levels(a));
}

int space_nearest(const struct space *s, const json_t *config, double *u, struct err *e) {
    json_t *value[SPACE_MAX_AXES] = {NULL};
    int rc = 0;
    for (size_t k = 0; k < s->n && !rc; k++) {
        const size_t i = s->order[k];
        const struct axis *a = &s->axis[i];
        u[i] = 0.5;
        if (!axis_is_active(a, value)) continue;
        const double of = share_of(a, value);
        u[i] = nearest(a, json_object_get(config, a->key), of);
        if (!(value[i] = axis_value(a, u[i], of)))
            rc = err_set(e, ERR_NOMEM, "no memory for a point");
    }
    drop(value, s->n);
    return rc;
}

/* Messages ------------------------------------------------------------------------------------ */

size_t space_find(const struct space *s, const char *key) {
    size_t i = 0;
    while (i < s->n && strcmp(s->axis[i].key, key)) i++;
    return i;
}

const char *show_value(const json_t *v, char buf[80]) {
    if (json_is_object(v) || json_is_array(v)) return json_is_array(v) ? "an array" : "an object";
    char *text = v ? canon_text(v) : NULL;
    snprintf(buf, 80, "%.76s", text ? text : "nothing");
    free(text);
    return buf;
}

const char *show_axis(const struct axis *a, char buf[200]) {
    char low[32], high[32];
    if (a->choices) {
        char *text = canon_text(a->choices);
        const char *shares =
            a->kind == AXIS_share_of ? "one of these shares of the other axis: " : "one of ";
        snprintf(buf, 200, "%s%.120s", shares, text ? text : "its values");
        free(text);
        return buf;
    }
    const double unit = a->kind == AXIS_multiple_of ? (double)a->step : 1;
    canon_number(a->low * unit, low);
    canon_number(a->high * unit, high);
    if (a->kind == AXIS_share_of && a->step)
        snprintf(buf, 200, "%s to %s times the other axis, a multiple of %lld", low, high,
                 (long long)a->step);
    else if (a->kind == AXIS_share_of)
        snprintf(buf, 200, "%s to %s times the other axis", low, high);
    else if (a->kind == AXIS_multiple_of)
        snprintf(buf, 200, "a multiple of %lld from %s to %s", (long long)a->step, low, high);
    else
        snprintf(buf, 200, "%s from %s to %s", a->kind == AXIS_int ? "a whole number" : "a number",
                 low, high);
    return buf;
}
