#include "canon.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

const char *canon_number(double x, char buf[32]) {
    if (x == trunc(x) && fabs(x) < 0x1p53) {
        snprintf(buf, 32, "%.0f", x + 0.0); /* + 0: no -0 */
        return strcmp(buf, "-0") ? buf : strcpy(buf, "0");
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, 32, "%.*g", digits, x);
        if (strtod(buf, NULL) == x) break;
    }
    return buf;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool write_value(FILE *out, const json_t *j);

static bool write_string(FILE *out, const char *s) {
    json_t *v = json_string(s);
    char *text = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    if (text) fputs(text, out);
    free(text);
    json_decref(v);
    return text != NULL;
}

static bool write_object(FILE *out, const json_t *j) {
    const size_t n = json_object_size(j);
    const char **key = malloc((n + 1) * sizeof *key);
    bool ok = key != NULL;
    size_t i = 0;
    for (void *at = json_object_iter((json_t *)(uintptr_t)j); ok && at;
         at = json_object_iter_next((json_t *)(uintptr_t)j, at))
        key[i++] = json_object_iter_key(at);
    if (ok) qsort(key, n, sizeof *key, by_bytes);
    fputc('{', out);
    for (i = 0; i < n && ok; i++) {
        if (i) fputc(',', out);
        ok = write_string(out, key[i]);
        fputc(':', out);
        ok = ok && write_value(out, json_object_get(j, key[i]));
    }
    fputc('}', out);
    free(key);
    return ok;
}

static bool write_array(FILE *out, const json_t *j) {
    bool ok = true;
    fputc('[', out);
    for (size_t i = 0; i < json_array_size(j) && ok; i++) {
        if (i) fputc(',', out);
        ok = write_value(out, json_array_get(j, i));
    }
    fputc(']', out);
    return ok;
}

static bool write_value(FILE *out, const json_t *j) {
    char buf[32];
    switch (json_typeof(j)) {
    case JSON_OBJECT: return write_object(out, j);
    case JSON_ARRAY: return write_array(out, j);
    case JSON_STRING: return write_string(out, json_string_value(j));
    case JSON_INTEGER: return fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(j)) > 0;
    case JSON_REAL: return fputs(canon_number(json_real_value(j), buf), out) >= 0;
    case JSON_TRUE: return fputs("true", out) >= 0;
    case JSON_FALSE: return fputs("false", out) >= 0;
    default: return fputs("null", out) >= 0;
    }
}

char *canon_text(const json_t *j) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    const bool ok = write_value(out, j) && !ferror(out);
    if (fclose(out) == 0 && ok) return text;
    free(text);
    return NULL;
}

bool canon_hash(const json_t *j, char hash[17]) {
    char *text = canon_text(j);
    if (text) snprintf(hash, 17, "%016" PRIx64, (uint64_t)XXH64(text, strlen(text), 0));
    free(text);
    return text != NULL;
}

int canon_wrong(int code, const char *path, const char *key, const json_t *v, const char *expected,
                struct err *e) {
    char *text = v && !json_is_object(v) && !json_is_array(v) ? canon_text(v) : NULL;
    const char *found = json_is_object(v) ? "an object" : json_is_array(v) ? "an array" : text;
    const int rc = v ? err_set(e, code, "%s: \"%s\" is %.80s, expected %s", path, key,
                               found ? found : "?", expected)
                     : err_set(e, code, "%s: \"%s\" is missing, expected %s", path, key, expected);
    free(text);
    return rc;
}
