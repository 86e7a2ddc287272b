#include "metric.h"

#include "json_text.h"
#include "jsonmem.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum metric_needs metric_needs(const struct search_metric *m) {
    return !m->key ? METRIC_COMMAND : m->exact ? METRIC_SCORER : METRIC_NOTHING;
}

static const char *kind_of(const json_t *v) {
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a text",
        [JSON_TRUE] = "true",        [JSON_FALSE] = "false"};
    return names[json_typeof(v)];
}

int metric_of_summary(const json_t *summary, const char *key, const char *path, double *value,
                      struct err *e) {
    const json_t *v = json_object_get(summary, key);
    *value = NAN;
    if (!v) return err_set(e, ERR_INPUT, "%.200s: no \"%.80s\"", path, key);
    if (json_is_null(v)) return 0;
    if (!json_is_number(v))
        return err_set(e, ERR_INPUT, "%.200s: \"%.80s\" is %s, not a number", path, key,
                       kind_of(v));
    const double x = json_number_value(v);
    if (isfinite(x)) *value = x;
    return 0;
}

int metric_of_scorer(const char *text, size_t n, double *value, json_t **all, struct err *e) {
    static const char what[] = "the output of the evaluation";
    json_error_t je;
    *value = NAN;
    *all = NULL;
    jsonmem_ready();
    json_t *j = n ? json_loadb(text, n, 0, &je) : NULL;
    if (!n) return err_set(e, ERR_INPUT, "%s is empty", what);
    if (!json_is_object(j)) {
        json_decref(j);
        return err_set(e, ERR_INPUT, "%s: line %d: %s", what, j ? 1 : je.line,
                       j ? "not a JSON object" : json_text_why(&je));
    }
    const int rc = metric_of_summary(j, "bits_per_byte", what, value, e);
    if (rc)
        json_decref(j);
    else
        *all = j;
    return rc;
}

int metric_of_text(const char *text, size_t n, double *value, struct err *e) {
    char word[64], *end;
    size_t begin = 0;
    *value = NAN;
    while (begin < n && isspace((unsigned char)text[begin])) begin++;
    while (n > begin && isspace((unsigned char)text[n - 1])) n--;
    if (begin == n) return err_set(e, ERR_INPUT, "the metric's command printed nothing");
    const int shown = n - begin > 60 ? 60 : (int)(n - begin);
    if (n - begin < sizeof word) {
        memcpy(word, text + begin, n - begin);
        word[n - begin] = '\0';
        const double x = strtod(word, &end);
        if (!*end && strlen(word) == n - begin) {
            if (isfinite(x)) *value = x;
            return 0;
        }
    }
    return err_set(e, ERR_INPUT, "the metric's command printed \"%.*s\"%s, not one number", shown,
                   text + begin, n - begin > 60 ? "..." : "");
}
