#include "space.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A whole text as a finite number. */
static bool is_number(const char *text, double *x) {
    char *end;
    *x = strtod(text, &end);
    return end != text && !*end && isfinite(*x) && strspn(text, "+-.0123456789eE") == strlen(text);
}

static bool is_whole(const char *text) {
    text += *text == '-';
    return *text && strspn(text, "0123456789") == strlen(text);
}

static json_t *number(const char *text, double x) {
    return is_whole(text) && fabs(x) < 0x1p53 ? json_integer((json_int_t)x) : json_real(x);
}

/* NULL: they are none. */
static json_t *range(const char *low, const char *high) {
    double a, b;
    if (!is_number(low, &a) || !is_number(high, &b) || !(a < b)) return NULL;
    const char *kind = is_whole(low) && is_whole(high) ? "int"
                       : a > 0 && b / a >= 10          ? "log"
                                                       : "linear";
    return json_pack("{s:[o, o]}", kind, number(low, a), number(high, b));
}

static json_t *value(const char *text) {
    double x;
    if (!strcmp(text, "true") || !strcmp(text, "false")) return json_boolean(*text == 't');
    return is_number(text, &x) ? number(text, x) : json_string(text);
}

/* VALUE,VALUE,...; the commas become ends. *empty: there is nothing before one. */
static json_t *choice(char *text, bool *empty) {
    json_t *all = json_array();
    bool ok = all != NULL, more = true;
    while (ok && more && !*empty) {
        char *comma = strchr(text, ',');
        more = comma != NULL;
        if (comma) *comma = 0;
        *empty = !*text;
        ok = *empty || !json_array_append_new(all, value(text));
        text = comma ? comma + 1 : text;
    }
    if (ok && !*empty) return json_pack("{s:o}", "choice", all);
    json_decref(all);
    return NULL;
}

json_t *space_axis_text(const char *key, const char *text, struct err *e) {
    static const char forms[] = "expected LOW..HIGH or VALUE,VALUE,...";
    char *copy = strdup(text), *dots = copy ? strstr(copy, "..") : NULL;
    json_t *axis = NULL;
    bool empty = false;
    if (!*text) {
        err_set(e, ERR_USAGE, "%s: %s behind the =, found nothing", key, forms);
    } else if (!copy) {
        err_set(e, ERR_NOMEM, "no memory for an axis");
    } else if (dots && !strchr(copy, ',')) {
        *dots = 0;
        axis = range(copy, dots + 2);
        if (!axis)
            err_set(e, ERR_USAGE, "%s=%s: expected two numbers, LOW..HIGH with LOW below HIGH", key,
                    text);
    } else {
        axis = choice(copy, &empty);
        if (empty)
            err_set(e, ERR_USAGE, "%s=%s: a value is empty, %s", key, text, forms);
        else if (!axis)
            err_set(e, ERR_NOMEM, "no memory for an axis");
    }
    free(copy);
    return axis;
}
