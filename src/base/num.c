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

const char *num_count(long long n, char buf[32]) {
    char plain[24];
    const int len = snprintf(plain, sizeof plain, "%lld", n), sign = n < 0;
    int used = 0;
    for (int i = 0; i < len; i++) {
        if (i > sign && (len - i) % 3 == 0) buf[used++] = ',';
        buf[used++] = plain[i];
    }
    buf[used] = '\0';
    return buf;
}

const char *num_rate(double x, char buf[32]) {
    if (!isfinite(x)) return strcpy(buf, "unknown");
    snprintf(buf, 32, "%.2g", x);
    if (x == 0 || (fabs(x) >= 0.095 && fabs(x) < 99)) return buf;
    snprintf(buf, 32, "%.1e", x);
    char *exponent = strchr(buf, 'e');
    if (exponent[-1] == '0') { /* 1.0e-03 */
        memmove(exponent - 2, exponent, strlen(exponent) + 1);
        exponent -= 2;
    }
    snprintf(exponent, 8, "e%ld", strtol(exponent + 1, NULL, 10));
    return buf;
}

const char *num_digits(double x, int digits, char buf[32]) {
    if (!isfinite(x)) return strcpy(buf, "unknown");
    const int before = x == 0 ? 1 : (int)floor(log10(fabs(x))) + 1;
    const int after = before < digits ? digits - before : 0;
    return num_text(x, after < 12 ? after : 12, buf);
}

json_t *num_json(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

/* Bytes of a number that is none at s, or 0. */
static size_t no_number(const char *s) {
    const size_t sign = *s == '-';
    if (s[sign] != 'n' && s[sign] != 'i') return 0;
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
