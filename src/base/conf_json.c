#include "conf_impl.h"
#include "file.h"
#include "json_text.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Paths --------------------------------------------------------------------------------------- */

static bool begins(const char *s, const char *with) {
    return !strncmp(s, with, strlen(with));
}

/* Where a path of a file at `path` leads: malloc()ed. */
static char *path_in(const char *path, const char *value) {
    const char *slash = strrchr(path, '/');
    if (!slash || (!begins(value, "./") && !begins(value, "../"))) return strdup(value);
    char *out = malloc((size_t)(slash - path) + strlen(value) + 2);
    if (out) sprintf(out, "%.*s/%s", (int)(slash - path), path, value);
    return out;
}

/* The way from the folder `from` to the file `to`, both absolute and without links: malloc()ed. */
static char *way(const char *from, const char *to) {
    size_t same = 0, up = 0, at = 0; /* same: of both, up to a slash */
    for (; from[at] && from[at] == to[at]; at++)
        if (from[at] == '/') same = at;
    if (!from[at] && to[at] == '/') same = at;
    if (!same) return strdup(to);
    for (const char *p = from + same; *p; p++) up += *p == '/';
    char *out = malloc(3 * up + strlen(to) + 3), *end = out;
    if (!out) return NULL;
    if (!up) end += sprintf(end, "./");
    while (up--) end += sprintf(end, "../");
    strcpy(end, to + same + 1);
    return out;
}

/* A source's path as it stands in a file in dir: malloc()ed. What came from such a file stays. */
static char *path_from(const char *dir, const struct conf_row *row, const char *value) {
    char here[PATH_MAX], there[PATH_MAX];
    const size_t n = strlen(dir);
    if (row->choices && conf_has_word(row->choices, value)) return strdup(value);
    if (begins(value, dir) && (begins(value + n, "/./") || begins(value + n, "/../")))
        return strdup(value + n + 1);
    if (!realpath(dir, here) || !realpath(value, there)) return strdup(value);
    return way(here, there);
}

/* Reading ------------------------------------------------------------------------------------- */

/* A value as a message shows it. */
static const char *describe(const json_t *v, char buf[64]) {
    if (json_is_array(v) || json_is_object(v)) return json_is_array(v) ? "an array" : "an object";
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    snprintf(buf, 64, "%.60s", text ? text : "?");
    free(text);
    return buf;
}

static int wrong_type(const char *what, const json_t *v, const char *expected, struct err *e) {
    char buf[64];
    return err_set(e, ERR_USAGE, "%s is %s, expected %s", what, describe(v, buf), expected);
}

static int read_pairs(struct conf *c, const struct conf_row *row, const char *what, json_t *object,
                      struct err *e) {
    const char *key;
    json_t *v;
    int rc = 0;
    json_object_foreach(object, key, v) {
        char inner[256];
        snprintf(inner, sizeof inner, "%.150s, key \"%.80s\",", what, key);
        if (json_is_string(v)) {
            rc = conf_set_pair(c, row, what, key, json_string_value(v), FROM_FILE, e);
        } else if (json_is_array(v) || json_is_object(v)) {
            rc = wrong_type(inner, v, "a string, number, boolean or null", e);
        } else {
            char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
            rc = text ? conf_set_pair(c, row, what, key, text, FROM_FILE, e)
                      : err_set(e, ERR_NOMEM, "no memory for options");
            free(text);
        }
        if (rc) break;
    }
    return rc;
}

static int read_int(struct conf *c, const struct conf_row *row, const char *what, const json_t *v,
                    struct err *e) {
    if (json_is_integer(v)) return conf_set_int(c, row, what, json_integer_value(v), e);
    double x = json_number_value(v);
    if (json_is_real(v) && fabs(x) <= 0x1p53 && x == trunc(x)) /* 1e6 */
        return conf_set_int(c, row, what, (int64_t)x, e);
    return wrong_type(what, v, "a whole number", e);
}

/* A string, or one of a list. path: of the config file. */
static int read_string(struct conf *c, const struct conf_row *row, const char *path,
                       const char *what, const char *value, struct err *e) {
    char *at = conf_is_path(row) ? path_in(path, value) : strdup(value);
    const int rc = !at                        ? err_set(e, ERR_NOMEM, "no memory for options")
                   : row->type == CONF_T_LIST ? conf_add_item(c, row, at, e)
                                              : conf_set_string(c, row, what, at, e);
    free(at);
    return rc;
}

/* An array of strings, or one string. What an earlier file said is gone. */
static int read_list(struct conf *c, const struct conf_row *row, const char *path, const char *what,
                     json_t *v, struct err *e) {
    int rc = 0;
    size_t i;
    json_t *item;
    *(struct conf_list *)conf_field(c, row) = (struct conf_list){0};
    if (json_is_string(v)) return read_string(c, row, path, what, json_string_value(v), e);
    if (!json_is_array(v)) return wrong_type(what, v, "a string or an array of strings", e);
    json_array_foreach(v, i, item) {
        char inner[256];
        snprintf(inner, sizeof inner, "%.200s, item %zu,", what, i);
        if (!json_is_string(item)) return wrong_type(inner, item, "a string", e);
        TRY(read_string(c, row, path, what, json_string_value(item), e));
    }
out:
    return rc;
}

/* Not this command's fault: the file is of another version. */
static int read_gone(const struct conf_row *row, const char *what, const json_t *v,
                     struct err *e) {
    char buf[64];
    const char *word = json_string_value(v);
    if (word && !strcmp(word, row->def)) return 0;
    if (!word || !conf_has_word(row->choices, word))
        return err_set(e, ERR_INPUT, "%s is %s, expected one of: %s %s", what, describe(v, buf),
                       row->def, row->choices);
    return err_set(e, ERR_INPUT, "%s is %s: %s", what, describe(v, buf), row->help);
}

static int read_value(struct conf *c, const struct conf_row *row, const char *path,
                      const char *what, json_t *v, struct err *e) {
    switch (row->type) {
    case CONF_T_BOOL:
        if (!json_is_boolean(v)) return wrong_type(what, v, "true or false", e);
        *(bool *)conf_field(c, row) = json_is_true(v);
        return 0;
    case CONF_T_INT: return read_int(c, row, what, v, e);
    case CONF_T_FLOAT:
        if (!json_is_number(v)) return wrong_type(what, v, "a number", e);
        return conf_set_float(c, row, what, json_number_value(v), e);
    case CONF_T_PAIRS:
        if (!json_is_object(v)) return wrong_type(what, v, "an object", e);
        return read_pairs(c, row, what, v, e);
    case CONF_T_LIST: return read_list(c, row, path, what, v, e);
    default:
        if (!json_is_string(v)) return wrong_type(what, v, "a string", e);
        return read_string(c, row, path, what, json_string_value(v), e);
    }
}

static int read_key(struct conf *c, const char *path, bool defaults, const char *key, json_t *v,
                    struct err *e) {
    const struct conf_row *row = conf_find(c->rows, key, strlen(key));
    char what[512], buf[64];
    if (!row && !strcmp(key, CONF_RECORD) && json_is_object(v)) return 0;
    if (!row) {
        const char *near = conf_suggest_row(c->rows, key, false, buf);
        if (near)
            return err_set(e, ERR_USAGE, "%s: unknown key \"%.80s\"; did you mean \"%s\"?", path,
                           key, near);
        return err_set(e, ERR_USAGE, "%s: unknown key \"%.80s\", expected the name of an option",
                       path, key);
    }
    uint8_t *given = &c->given[row - c->rows];
    snprintf(what, sizeof what, "%.400s: \"%s\"", path, row->name);
    if (row->type == CONF_T_GONE) return read_gone(row, what, v, e);
    if (*given >= (defaults ? FROM_FILE : FROM_ARGS) && row->type != CONF_T_PAIRS) return 0;
    int rc = read_value(c, row, path, what, v, e);
    if (*given == FROM_DEFAULT) *given = FROM_FILE;
    return rc;
}

static int read_text(struct conf *c, const char *text, size_t size, const char *path, bool defaults,
                     struct err *e) {
    char buf[64];
    json_error_t at;
    const char *key;
    json_t *v, *root = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &at);
    int rc = 0;
    if (!root) {
        rc = err_set(e, ERR_USAGE, "%s, line %d, column %d: not valid JSON: %s", path, at.line,
                     at.column, json_text_why(&at));
    } else if (!json_is_object(root)) {
        rc = err_set(e, ERR_USAGE, "%s is %s, expected an object with options as keys", path,
                     describe(root, buf));
    } else {
        json_object_foreach(root, key, v) TRY(read_key(c, path, defaults, key, v, e));
    }
out:
    json_decref(root);
    return rc;
}

static int read_file(struct conf *c, const char *path, bool defaults, struct err *e) {
    char *text = NULL;
    size_t size;
    int rc = file_read_text(path, CONF_FILE_MAX, &text, &size, e);
    if (!rc) rc = read_text(c, text, size, path, defaults, e);
    free(text);
    return rc;
}

int conf_read_file(struct conf *c, const char *path, struct err *e) {
    return read_file(c, path, false, e);
}

int conf_read_defaults(struct conf *c, const char *path, struct err *e) {
    return read_file(c, path, true, e);
}

int conf_read_defaults_text(struct conf *c, const char *text, const char *path, struct err *e) {
    return read_text(c, text, strlen(text), path, true, e);
}

int conf_file_source(const char *path, const char *key, char **source, struct err *e) {
    int rc;
    char *text = NULL, what[512];
    size_t size;
    json_error_t at;
    json_t *root = NULL;
    *source = NULL;
    TRY(file_read_text(path, CONF_FILE_MAX, &text, &size, e));
    root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &at);
    json_t *v = json_object_get(root, key);
    snprintf(what, sizeof what, "%.400s: \"%.60s\"", path, key);
    if (!root)
        rc = err_set(e, ERR_USAGE, "%s, line %d, column %d: not valid JSON: %s", path, at.line,
                     at.column, json_text_why(&at));
    else if (v && !json_is_string(v))
        rc = wrong_type(what, v, "a string", e);
    else if (v && !(*source = path_in(path, json_string_value(v))))
        rc = err_set(e, ERR_NOMEM, "no memory for options");
out:
    free(text);
    json_decref(root);
    return rc;
}

/* Writing ------------------------------------------------------------------------------------- */

const char *conf_format_double(double x, char buf[32]) {
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, 32, "%.*g", digits, x);
        if (strtod(buf, NULL) == x) break;
    }
    /* 120, not 1.2e+02: only whole numbers are meant */
    if (strchr(buf, 'e') && fabs(x) >= 1 && fabs(x) < 1e9) snprintf(buf, 32, "%.0f", x);
    if (!strpbrk(buf, ".e")) strcat(buf, ".0");
    return buf;
}

static bool print_string(FILE *out, const char *s) {
    json_t *v = json_string(s);
    char *text = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    if (text) fputs(text, out);
    free(text);
    json_decref(v);
    return text != NULL;
}

static bool print_pairs(FILE *out, const struct conf_pairs *p) {
    bool ok = true;
    fputc('{', out);
    for (size_t i = 0; i < p->n && ok; i++) {
        if (i) fputs(", ", out);
        ok = print_string(out, p->key[i]);
        fputs(": ", out);
        ok = ok && print_string(out, p->value[i]);
    }
    fputc('}', out);
    return ok;
}

/* A text value; of a source for a file in dir. */
static bool print_text(const struct conf_row *r, const char *value, const char *dir, FILE *out) {
    char *path = dir && conf_is_path(r) ? path_from(dir, r, value) : strdup(value);
    const bool ok = path && print_string(out, path);
    free(path);
    return ok;
}

static bool print_list(const struct conf_row *r, const struct conf_list *l, const char *dir,
                       FILE *out) {
    bool ok = true;
    fputc('[', out);
    for (size_t i = 0; i < l->n && ok; i++) {
        if (i) fputs(", ", out);
        ok = print_text(r, l->item[i], dir, out);
    }
    fputc(']', out);
    return ok;
}

static bool print_value(const struct conf *c, const struct conf_row *r, const char *dir,
                        FILE *out) {
    const void *v = conf_field(c, r);
    char buf[32];
    switch (r->type) {
    case CONF_T_BOOL: return fputs(*(const bool *)v ? "true" : "false", out) >= 0;
    case CONF_T_INT: return fprintf(out, "%lld", (long long)*(const int64_t *)v) > 0;
    case CONF_T_FLOAT: return fputs(conf_format_double(*(const double *)v, buf), out) >= 0;
    case CONF_T_PAIRS: return print_pairs(out, v);
    case CONF_T_LIST: return print_list(r, v, dir, out);
    default: return print_text(r, *(const char *const *)v, dir, out);
    }
}

/* An option without default that was not given has no value to write, and neither has one that is
 * left to the program: what it decides may change from one version to the next. */
static bool has_value(const struct conf *c, const struct conf_row *r) {
    const void *v = conf_field(c, r);
    switch (r->type) {
    case CONF_T_SECTION:
    case CONF_T_GONE: return false;
    case CONF_T_STRING: return *(const char *const *)v != NULL;
    case CONF_T_CHOICE: return *(const char *const *)v && strcmp(*(const char *const *)v, "auto");
    case CONF_T_LIST: return ((const struct conf_list *)v)->n > 0;
    case CONF_T_INT:
        if (conf_decides(r)) return *(const int64_t *)v != -1;
        return r->def || c->given[r - c->rows] != FROM_DEFAULT;
    case CONF_T_FLOAT:
        if (conf_decides(r)) return *(const double *)v != -1;
        return r->def || c->given[r - c->rows] != FROM_DEFAULT;
    default: return true;
    }
}

char *conf_text(const struct conf *c, const struct conf_row *row) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    if (has_value(c, row))
        print_value(c, row, NULL, out);
    else
        fputs("nothing", out);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

char *conf_to_json(const struct conf *c, const char *dir, const char *record) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    bool ok = true, first = true;
    fputc('{', out);
    for (const struct conf_row *r = c->rows; r->type != CONF_T_END && ok; r++) {
        if (r->internal || (r->label && !record) || !has_value(c, r)) continue;
        fprintf(out, "%s\n  \"%s\": ", first ? "" : ",", r->name);
        ok = print_value(c, r, dir, out);
        first = false;
    }
    if (record) fprintf(out, "%s\n  \"%s\": %s", first ? "" : ",", CONF_RECORD, record);
    fputs("\n}\n", out);
    ok = !ferror(out) && ok;
    if (fclose(out) == 0 && ok) return text;
    free(text);
    return NULL;
}
