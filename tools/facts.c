#include "facts.h"

#include "term.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CUT = 240,        /* bytes of a value that are shown */
    KEYS_MAX = 28,    /* columns of keys; a longer one pushes its value aside */
    VALUES_LEAST = 24 /* columns of values on a narrow terminal */
};

void facts_put(json_t *o, const char *key, json_t *value) {
    if (value) json_object_set_new(o, key, value);
}

void facts_text(json_t *o, const char *key, const char *text) {
    if (text) facts_put(o, key, json_string(text));
}

void facts_whole(json_t *o, const char *key, uint64_t n) {
    facts_put(o, key, json_integer((json_int_t)n));
}

void facts_real(json_t *o, const char *key, double x) {
    if (isfinite(x)) facts_put(o, key, json_real(x));
}

void facts_hex(json_t *o, const char *key, uint64_t hash) {
    char s[17];
    snprintf(s, sizeof s, "%016" PRIx64, hash);
    facts_put(o, key, json_string(s));
}

/* Columns of stdout if it is a terminal, else 0. */
static int columns(void) {
    return isatty(STDOUT_FILENO) ? term_columns(STDOUT_FILENO) : 0;
}

void facts_print_json(const json_t *o, FILE *f) {
    char *text = json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
    fprintf(f, "%s\n", text ? text : "{}");
    free(text);
}

static bool is_block(const json_t *v) {
    return json_is_object(v) && json_object_size(v);
}

static int longest(const json_t *o, int indent) {
    const char *key;
    json_t *v;
    int most = 0;
    json_object_foreach((json_t *)(uintptr_t)o, key, v) {
        const int n = is_block(v) ? longest(v, indent + 2) : indent + (int)strlen(key);
        if (n > most && n <= KEYS_MAX) most = n;
    }
    return most;
}

static bool ends_with(const char *s, const char *end) {
    const size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

/* malloc()ed; NULL: no memory. */
static char *plain(const char *key, const json_t *v) {
    char *text = NULL;
    if (json_is_string(v)) return strdup(json_string_value(v));
    if (json_is_null(v)) return strdup("null");
    if (json_is_boolean(v)) return strdup(json_is_true(v) ? "yes" : "no");
    if (json_is_object(v)) return strdup("none");
    if (json_is_real(v)) {
        const int n = asprintf(&text, "%.9g", json_real_value(v));
        return n < 0 ? NULL : text;
    }
    if (json_is_integer(v) && ends_with(key, "bytes") && json_integer_value(v) >= 100000) {
        const long long b = (long long)json_integer_value(v);
        return asprintf(&text, "%lld (%.1f MB)", b, (double)b * 1e-6) < 0 ? NULL : text;
    }
    return json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
}

/* Scalars of a list behind each other. */
static char *listed(const char *key, const json_t *v) {
    size_t i, n;
    json_t *x;
    char *all = NULL;
    if (!json_array_size(v)) return strdup("none");
    FILE *f = open_memstream(&all, &n);
    json_array_foreach((json_t *)(uintptr_t)v, i, x) {
        const bool deep = json_is_object(x) || json_is_array(x);
        char *one = deep ? json_dumps(x, JSON_REAL_PRECISION(9)) : plain(key, x);
        if (f) fprintf(f, "%s%s", i ? ", " : "", one ? one : "");
        free(one);
        if (f && ftell(f) > 4 * CUT) break;
    }
    if (f) fclose(f);
    return all;
}

/* What of s goes on a line of n columns: up to a blank, else all that fits in whole characters. */
static size_t fitting(const char *s, size_t n) {
    size_t columns = 0, last = 0, i = 0;
    for (; s[i] && columns < n; columns++) {
        if (s[i] == ' ' && i) last = i;
        do i++;
        while (((unsigned char)s[i] & 0xc0) == 0x80);
    }
    return !s[i] || s[i] == ' ' || !last ? i : last;
}

static void print_value(const char *text, int column, int width, FILE *f) {
    const int room = width - column - 1 < VALUES_LEAST ? VALUES_LEAST : width - column - 1;
    if (!*text) fputc('\n', f);
    for (const char *s = text; *s;) {
        const size_t n = width ? fitting(s, (size_t)room) : strlen(s);
        fprintf(f, "%.*s\n", (int)n, s);
        s += n;
        while (*s == ' ') s++;
        if (*s) fprintf(f, "%*s", column, "");
    }
}

/* Cut in front of a character. */
static void tame(char *text) {
    static const char more[] = " ...";
    if (strlen(text) > CUT + sizeof more) {
        size_t n = CUT;
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
        memcpy(text + n, more, sizeof more);
    }
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127) *p = '?'; /* a file's, to a terminal */
}

static void print_rows(const json_t *o, int indent, int column, int width, FILE *f) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)o, key, v) {
        char *name = strdup(key);
        if (name) tame(name);
        if (is_block(v)) {
            fprintf(f, "%*s%s\n", indent, "", name ? name : "");
            print_rows(v, indent + 2, column, width, f);
        } else {
            char *text = json_is_array(v) ? listed(key, v) : plain(key, v);
            if (text) tame(text);
            fprintf(f, "%*s%-*s ", indent, "", column - indent - 1, name ? name : "");
            print_value(text ? text : "", column, width, f);
            free(text);
        }
        free(name);
    }
}

void facts_print(const char *title, const json_t *o, FILE *f) {
    if (title) fprintf(f, "%s\n", title);
    print_rows(o, 2, longest(o, 2) + 2, columns(), f);
}
