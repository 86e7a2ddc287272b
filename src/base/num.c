#include "num.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *num_text(double x, int digits, char buf[32]) {
    const int n = snprintf(buf, 32, "%.*f", digits, x);
    if (n >= 32) snprintf(buf, 32, "%.17g", x); /* too large for its digits */
    return isfinite(x) ? buf : strcpy(buf, "unknown");
}

json_t *num_json(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

/* Bytes of a number that is none at s, or 0. */
static size_t no_number(const char *s) {
    const size_t sign = *s == '-';
    if (strncmp(s + sign, "nan", 3) != 0 && strncmp(s + sign, "inf", 3) != 0) return 0;
    return sign + 3;
}

char *num_clean(const char *json) {
    char *out = malloc(2 * strlen(json) + 1); /* 3 bytes become 4 */
    size_t used = 0;
    bool text = false;
    for (const char *s = json; out && *s;) {
        const size_t n = text ? 0 : no_number(s);
        if (n) {
            memcpy(out + used, "null", 4);
            used += 4;
            s += n;
            continue;
        }
        if (*s == '"') text = !text;
        if (text && *s == '\\' && s[1]) out[used++] = *s++;
        out[used++] = *s++;
    }
    if (out) out[used] = '\0';
    return out;
}
