#include "term.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

/* ---- the terminal ---------------------------------------------------------------------------- */

static const char *color = "auto";

void term_color_choose(const char *word) {
    color = !strcmp(word, "always") ? "always" : !strcmp(word, "never") ? "never" : "auto";
}

static bool is_set(const char *variable) {
    const char *v = getenv(variable);
    return v && *v;
}

bool term_rewrites(int fd) {
    return isatty(fd) == 1 && is_set("TERM") && strcmp(getenv("TERM"), "dumb") != 0;
}

bool term_color(int fd) {
    if (strcmp(color, "auto") != 0) return !strcmp(color, "always");
    return !is_set("NO_COLOR") && term_rewrites(fd);
}

const char *term_on(int fd, enum term_style s) {
    static const char *const on[] = {
        [TERM_BAD] = "\033[31m", [TERM_WARN] = "\033[33m", [TERM_GOOD] = "\033[32m",
        [TERM_DIM] = "\033[2m"};
    return term_color(fd) ? on[s] : "";
}

const char *term_off(int fd) {
    return term_color(fd) ? "\033[0m" : "";
}

int term_columns(int fd) {
    struct winsize w;
    if (ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0) return w.ws_col;
    const char *env = getenv("COLUMNS");
    const long n = env ? strtol(env, NULL, 10) : 0;
    return n > 0 && n < 10000 ? (int)n : 80;
}

bool term_utf8(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++) {
        if (!is_set(names[i])) continue;
        const char *set = strchr(getenv(names[i]), '.');
        return set && (!strncasecmp(set, ".UTF-8", 6) || !strncasecmp(set, ".UTF8", 5));
    }
    return false;
}

const char *term_pm(void) {
    return term_utf8() ? "\u00b1" : "+-";
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Bytes of the escape at s, "ESC [ ... letter", or 0. */
static size_t escape(const char *s) {
    if (s[0] != '\033' || s[1] != '[') return 0;
    size_t n = 2;
    while (s[n] && (s[n] < '@' || s[n] > '~')) n++;
    return s[n] ? n + 1 : n;
}

/* Bytes of what stands at s, which is not the end, and the columns that it takes. */
static size_t step(const char *s, int *columns) {
    *columns = 0;
    size_t n = escape(s);
    if (n) return n;
    const size_t most = strnlen(s, 4);
    utf8proc_int32_t c;
    const utf8proc_ssize_t k =
        utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)most, &c);
    *columns = k > 0 && c >= 0 ? utf8proc_charwidth(c) : 1;
    return k > 0 ? (size_t)k : 1;
}

int term_width(const char *text) {
    int sum = 0, w;
    while (*text) {
        text += step(text, &w);
        sum += w;
    }
    return sum;
}

size_t term_cut(const char *text, int columns) {
    size_t at = 0;
    int sum = 0, w;
    while (text[at]) {
        const size_t n = step(text + at, &w);
        if (sum + w > columns) break;
        sum += w;
        at += n;
    }
    return at;
}

int term_join(const struct term_part *part, int n, int columns, char *out, size_t size) {
    int most = 0, width;
    for (int i = 0; i < n; i++)
        if (part[i].rank > most) most = part[i].rank;
    for (;; most--) {
        width = 0;
        for (int i = 0; i < n; i++)
            if (*part[i].text && part[i].rank <= most)
                width += (width ? 2 : 0) + term_width(part[i].text);
        if (width <= columns || most == 0) break;
    }
    size_t used = 0;
    *out = '\0';
    for (int i = 0; i < n; i++) {
        if (!*part[i].text || part[i].rank > most) continue;
        const int k =
            snprintf(out + used, size - used, "%s%s", used ? "  " : "", part[i].text);
        if (k < 0 || (size_t)k >= size - used) break;
        used += (size_t)k;
    }
    if (width <= columns) return width;
    out[term_cut(out, columns)] = '\0';
    return term_width(out);
}

enum { FACT_COLUMN = 22 }; /* behind the longest key, bits_per_byte_stderr */

void term_fact(FILE *f, const char *key, const char *fmt, ...) {
    va_list ap;
    const int at = fprintf(f, "%s:", key);
    fprintf(f, "%*s", at > 0 && at < FACT_COLUMN ? FACT_COLUMN - at : 1, "");
    va_start(ap, fmt);
    vfprintf(f, fmt, ap);
    va_end(ap);
    fputc('\n', f);
}

/* Means of the finite numbers in each of `columns` groups of neighbours; NaN: there is none. */
static void group(const double *x, int n, int columns, double *mean) {
    for (int c = 0; c < columns; c++) {
        const int from = (int)((long long)n * c / columns),
                  to = (int)((long long)n * (c + 1) / columns);
        double sum = 0;
        int k = 0;
        for (int i = from; i < to; i++) {
            if (!isfinite(x[i])) continue;
            sum += (x[i] - sum) / ++k; /* large numbers have no finite sum */
        }
        mean[c] = k ? sum : NAN;
    }
}

enum { SPARK_MAX = 256 };

int term_spark(const double *x, int n, int columns, bool utf8, char *out, size_t size) {
    static const char ascii[] = ".:-=+*#@";
    double mean[SPARK_MAX], low = INFINITY, high = -INFINITY;
    columns = columns < n ? columns : n;
    columns = columns < SPARK_MAX ? columns : SPARK_MAX;
    assert(columns <= 0 || size > 3 * (size_t)columns);
    *out = '\0';
    if (columns <= 0) return 0;
    group(x, n, columns, mean);
    for (int c = 0; c < columns; c++) {
        low = fmin(low, mean[c]);
        high = fmax(high, mean[c]);
    }
    size_t used = 0;
    for (int c = 0; c < columns; c++) {
        /* Halves, since the difference of two finite numbers may have none. */
        const double part = high > low ? (mean[c] / 2 - low / 2) / (high / 2 - low / 2) : 0;
        const int level = isnan(mean[c]) ? -1 : part < 1 ? (int)(8 * part) : 7;
        if (level < 0) {
            out[used++] = ' ';
        } else if (!utf8) {
            out[used++] = ascii[level];
        } else { /* U+2581 and the seven behind it */
            memcpy(out + used, "\xe2\x96\x81", 3);
            out[used + 2] = (char)(out[used + 2] + level);
            used += 3;
        }
    }
    out[used] = '\0';
    return columns;
}

void term_bar(double part, int columns, bool utf8, char *out, size_t size) {
    const int per = utf8 ? 8 : 1;
    assert(columns >= 0 && size > 3 * (size_t)columns);
    const double of = part > 0 ? part < 1 ? part : 1 : 0;
    int left = (int)(of * columns * per + 0.5); /* eighths, or columns */
    size_t used = 0;
    for (; left > 0; left -= per) {
        if (!utf8) {
            out[used++] = '#';
            continue;
        }
        memcpy(out + used, "\xe2\x96\x88", 3); /* U+2588, whole; U+258F, an eighth */
        if (left < per) out[used + 2] = (char)(out[used + 2] + per - left);
        used += 3;
    }
    out[used] = '\0';
}
