#include "json_text.h"
#include "err.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

char *json_text_dump(const json_t *j, size_t flags) {
    char *text = json_dumps(j, flags | JSON_REAL_PRECISION(15));
    json_error_t je;
    json_t *back = text ? json_loads(text, 0, &je) : NULL;
    bool exact = back && json_equal(back, j);
    json_decref(back);
    if (exact) return text;
    free(text);
    return json_dumps(j, flags | JSON_REAL_PRECISION(17));
}

char *json_text(const json_t *j) {
    return json_text_dump(j, JSON_COMPACT);
}

/* The end of the text that begins at s[0] == '"': behind its closing quotation mark. */
static const char *text_end(const char *s) {
    for (s++; *s && *s != '"'; s++)
        if (*s == '\\' && s[1]) s++;
    return *s ? s + 1 : s;
}

/* Behind the ']' of the list that begins at s[0] == '['; NULL: it holds a list or an object. */
static const char *flat_end(const char *s) {
    for (s++; *s && *s != ']';) {
        if (*s == '[' || *s == '{') return NULL;
        s = *s == '"' ? text_end(s) : s + 1;
    }
    return *s ? s + 1 : NULL;
}

void json_text_join_lists(char *text) {
    const char *s = text, *flat = text; /* flat: the end of the list that s is in */
    char *out = text;
    while (*s) {
        const char *end = *s == '"' ? text_end(s) : s + 1;
        if (*s == '[') {
            const char *list_end = flat_end(s);
            if (list_end) flat = list_end;
        }
        if (*s == '\n' && s < flat) { /* and the indentation behind it */
            while (*end == ' ') end++;
            if (out[-1] == ',') *out++ = ' ';
        } else {
            memmove(out, s, (size_t)(end - s));
            out += end - s;
        }
        s = end;
    }
    *out = '\0';
}

/* Do the n digits that end before end fit into 64 bits with a sign? */
static bool fits_int64(const char *start, const char *end, size_t n) {
    enum { DIGITS = 19 };
    const bool negative = (size_t)(end - start) > n && end[-(ptrdiff_t)n - 1] == '-';
    if (n != DIGITS) return n < DIGITS;
    return memcmp(end - n, negative ? "9223372036854775808" : "9223372036854775807", DIGITS) <= 0;
}

/* Does the number whose first digit is s[i] begin there? Else it is a fraction or an exponent. */
static bool begins_number(const char *s, size_t i) {
    const char before = i > 0 ? s[i - 1] : ' ', second = i > 1 ? s[i - 2] : ' ';
    if (before == '-') return second != 'e' && second != 'E';
    return before != '.' && before != 'e' && before != 'E' && before != '+';
}

/* JSON text with ".0" behind integers that jansson has no type for. malloc()ed. */
static char *widen_integers(const char *s, size_t n, size_t *out_n) {
    char *out = malloc(n + n / 8 + 3); /* two bytes more for 19 and a separator */
    size_t used = 0, digits = 0;
    bool text = false, integer = false;
    for (size_t i = 0; out && i <= n; i++) {
        const char c = i < n ? s[i] : ' ';
        const bool digit = c >= '0' && c <= '9';
        if (!text && !digit && digits && integer && c != '.' && c != 'e' && c != 'E' &&
            !fits_int64(s, s + i, digits)) {
            out[used++] = '.';
            out[used++] = '0';
        }
        if (!text && digit && !digits++) integer = begins_number(s, i);
        if (!text && !digit) digits = 0;
        if (c == '"') text = !text;
        if (i == n) break;
        out[used++] = c;
        if (text && c == '\\' && i + 1 < n) out[used++] = s[++i];
    }
    *out_n = used;
    return out;
}

const char *json_text_why(const json_error_t *je) {
    const enum json_error_code code = json_error_code(je);
    return code == json_error_null_character || code == json_error_null_byte_in_key
               ? "a text with \\u0000 (NUL) in it is not supported"
               : je->text;
}

int json_text_code(const json_error_t *je) {
    return je->position < 0 ? ERR_NOMEM : ERR_INPUT;
}

json_t *json_text_load(const char *text, size_t n, json_error_t *je) {
    char *wide = widen_integers(text, n, &n);
    json_t *j = wide ? json_loadb(wide, n, JSON_REJECT_DUPLICATES, je) : NULL;
    if (!wide) *je = (json_error_t){.position = -1, .text = "out of memory"};
    free(wide);
    return j;
}
