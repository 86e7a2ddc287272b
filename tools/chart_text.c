#include "chart_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Advance widths of DejaVu Sans in hundredths of an em, from U+0020 to U+007E. */
static const unsigned char ascii_width[95] = {
    32, 41, 46, 84, 64, 96, 78, 28, 40,  40, 50, 84, 32, 37, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 34, 34, 84, 84, 84, 54, 100, 69, 69, 70, 78, 64, 58, 78, 76, 30, 30, 66, 56, 87, 75, 79,
    61, 79, 70, 64, 62, 74, 69, 99, 69,  62, 69, 40, 34, 40, 84, 50, 50, 62, 64, 55, 64, 62, 36, 64,
    64, 28, 28, 58, 28, 98, 64, 62, 64,  64, 42, 53, 40, 64, 60, 82, 60, 60, 53, 64, 34, 64, 84,
};

#define ROUNDING 1.08 /* a .png has glyphs at whole pixels */
#define WIDEST 1.4    /* of characters that are two columns wide: emoji and fallback fonts */

static double char_width(utf8proc_int32_t c) {
    if (c >= 0x20 && c < 0x7f) return ascii_width[c - 0x20] * (ROUNDING / 100);
    const int columns = utf8proc_charwidth(c);
    return columns == 0 ? 0.0 : columns == 1 ? 0.95 : WIDEST;
}

/* Reads one character. What is none, and what would do something instead of being seen, is '?'. */
static size_t next_char(const char *s, utf8proc_int32_t *c) {
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s, -1, c);
    if (n <= 0) {
        *c = '?';
        return 1;
    }
    switch (utf8proc_category(*c)) {
    case UTF8PROC_CATEGORY_CC: /* control characters */
    case UTF8PROC_CATEGORY_CF: /* among them those that change the direction of text */
    case UTF8PROC_CATEGORY_CN: /* not assigned, U+FFFE for one, which XML does not have */
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: *c = '?'; break;
    default: break;
    }
    return (size_t)n;
}

double chart_text_width(const char *text) {
    double w = 0;
    utf8proc_int32_t c;
    while (*text) {
        text += next_char(text, &c);
        w += char_width(c);
    }
    return w;
}

static void put_char(char **to, utf8proc_int32_t c) {
    *to += utf8proc_encode_char(c, (utf8proc_uint8_t *)*to);
}

/* The characters of text, n of them, malloc()ed. */
static utf8proc_int32_t *characters(const char *text, size_t *n) {
    utf8proc_int32_t *c = malloc((strlen(text) + 1) * sizeof *c);
    *n = 0;
    if (!c) return NULL;
    while (*text) text += next_char(text, &c[(*n)++]);
    return c;
}

char *chart_text_fit(const char *text, double ems) {
    size_t n, head = 0, tail;
    utf8proc_int32_t *c = characters(text, &n);
    char *fit = malloc(strlen(text) + 8), *to = fit;
    double all = 0, used = 1.1; /* "…" */
    if (!c || !fit) {
        free(c);
        free(fit);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) all += char_width(c[i]);
    tail = n;
    if (all <= ems) head = n;
    /* One from the beginning, one from the end, while they fit; a mark goes with its letter. */
    for (bool front = true; head < tail; front = !front) {
        const double w = char_width(front ? c[head] : c[tail - 1]);
        if (used + w > ems) break;
        used += w;
        if (front)
            head++;
        else
            tail--;
    }
    while (tail < n && char_width(c[tail]) == 0) tail++;
    for (size_t i = 0; i < head; i++) put_char(&to, c[i]);
    if (head < n) {
        put_char(&to, 0x2026);
        for (size_t i = tail; i < n; i++) put_char(&to, c[i]);
    }
    *to = '\0';
    free(c);
    return fit;
}

/* Characters that every font of a system for pictures may be expected to have: of the Latin, Greek
 * and Cyrillic scripts, and punctuation. */
static bool is_common(utf8proc_int32_t c) {
    return c < 0x530 || (c >= 0x1e00 && c < 0x2000) || (c >= 0x2010 && c < 0x2028) ||
           (c >= 0x2030 && c < 0x205f) || (c >= 0x2190 && c < 0x2194) || c == 0x2212;
}

bool chart_text_common(char *text) {
    bool changed = false;
    const char *s = text;
    char *to = text;
    utf8proc_int32_t c;
    while (*s) {
        s += next_char(s, &c);
        put_char(&to, is_common(c) ? c : '?');
        changed |= !is_common(c);
    }
    *to = '\0';
    return changed;
}

void chart_text_quote(FILE *script, const char *text, bool xml) {
    bool plain = true;
    fputc('"', script);
    for (; *text; text++) {
        const unsigned char b = (unsigned char)*text;
        /* gnuplot reads as many octal digits as there are: one behind an escape is escaped too. */
        plain = (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') || b == ' ' ||
                (plain && b >= '0' && b <= '9');
        if (plain)
            fputc(b, script);
        else if (xml && (b == '&' || b == '<' || b == '>'))
            fprintf(script, "\\046\\043x%02X\\073",
                    b); /* gnuplot leaves "&#" and ">" as they are */
        else
            fprintf(script, "\\%03o", b);
    }
    fputc('"', script);
}

void chart_text_xml(FILE *out, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        default: fputc(*text, out);
        }
    }
}

/* ---- ticks --------------------------------------------------------------------------------- */

void chart_text_number(char text[24], double v, int decimals) {
    const double size = fabs(v);
    char s[64];
    if (size != 0 && (size >= 1e7 || size < 1e-4 || decimals > 4)) {
        snprintf(s, sizeof s, "%.6g", v);
        if (!strchr(s, 'e')) snprintf(s, sizeof s, "%.*e", size < 1 ? 1 : 3, v);
        /* 2.50e-05 -> 2.5e-5 */
        char *e = strchr(s, 'e'), *end = e, *digits = e + 2;
        const char sign = e[1];
        while (*digits == '0' && digits[1]) digits++;
        if (memchr(s, '.', (size_t)(e - s))) {
            while (end[-1] == '0') end--;
            if (end[-1] == '.') end--;
        }
        snprintf(text, 24, "%.*s%s%.4s", (int)(end - s) < 14 ? (int)(end - s) : 14, s,
                 sign == '-' ? "e-" : "e", digits);
        return;
    }
    snprintf(s, sizeof s, "%.*f", size == 0 ? 0 : decimals, size == 0 ? 0.0 : v);
    /* thousands */
    const char *p = s + (*s == '-');
    const size_t whole = strspn(p, "0123456789");
    size_t n = 0;
    if (*s == '-') text[n++] = '-';
    for (size_t i = 0; p[i] && n < 22; i++) {
        if (i && i < whole && (whole - i) % 3 == 0 && whole > 3) text[n++] = ',';
        text[n++] = p[i];
    }
    text[n] = '\0';
}

static int decimals_of(double step) {
    int d = 0;
    while (d < 9 && fabs(step - round(step)) > 1e-6 * step) step *= 10, d++;
    return d;
}

static double room(const char *text, double em, bool across) {
    return across ? chart_text_width(text) * em + 1.2 * em : 1.7 * em;
}

static const double round_steps[] = {1, 2, 5};

static void linear(struct chart_ticks *t, double lo, double hi, double step) {
    const int decimals = decimals_of(step);
    t->n = 0;
    const double first = ceil(lo / step - 1e-9), last = floor(hi / step + 1e-9);
    for (double i = first; i <= last && t->n < CHART_TICKS_MAX; i++) {
        t->at[t->n] = i * step;
        chart_text_number(t->text[t->n++], i * step, decimals);
    }
}

/* Every text has half its room, and half a text's, on both sides. */
static bool fits(const struct chart_ticks *t, double pixels_per_unit, double em, bool across,
                 bool log) {
    for (int i = 1; i < t->n; i++) {
        const double d = log ? log10(t->at[i] / t->at[i - 1]) : t->at[i] - t->at[i - 1];
        const double a = room(t->text[i - 1], em, across), b = room(t->text[i], em, across);
        if (d * pixels_per_unit < (a + b) / 2) return false;
    }
    return true;
}

static void linear_ticks(struct chart_ticks *t, double lo, double hi, double pixels, double em,
                         bool across) {
    const double wanted = fmax(2, pixels / (across ? 7 * em : 2.6 * em));
    const double least = (hi - lo) / fmin(wanted, 12);
    const double decade = floor(log10(least));
    for (int k = 0; k < 12; k++) {
        const double step = round_steps[k % 3] * pow(10, decade + floor(k / 3.0));
        if (step < least * (1 - 1e-9)) continue;
        linear(t, lo, hi, step);
        if (fits(t, pixels / (hi - lo), em, across, false)) return;
    }
    t->n = t->n ? 1 : 0;
}

/* Powers of ten, or with their multiples by these, until there are enough. */
static void log_ticks(struct chart_ticks *t, double lo, double hi, double pixels, double em,
                      bool across) {
    static const char *const multiples[] = {"123456789", "1235", "125", "13", "1"};
    const double scale = pixels / log10(hi / lo);
    const int first = (int)floor(log10(lo)), last = (int)ceil(log10(hi));
    for (int k = 0; k < 5; k++) {
        t->n = 0;
        for (int d = first; d <= last && last - first < 20; d++)
            for (const char *m = multiples[k]; *m; m++) {
                const double v = (*m - '0') * pow(10, d);
                if (v < lo * (1 - 1e-9) || v > hi * (1 + 1e-9) || t->n == CHART_TICKS_MAX) continue;
                t->at[t->n] = v;
                chart_text_number(t->text[t->n++], v, d < 0 ? -d : 0);
            }
        if (t->n >= 3 && t->n <= 14 && fits(t, scale, em, across, true)) return;
    }
    for (int stride = 1; stride <= last - first; stride++) {
        t->n = 0;
        for (int d = first; d <= last && t->n < CHART_TICKS_MAX; d++) {
            const double v = pow(10, d);
            if (d % stride || v < lo * (1 - 1e-9) || v > hi * (1 + 1e-9)) continue;
            t->at[t->n] = v;
            chart_text_number(t->text[t->n++], v, d < 0 ? -d : 0);
        }
        if (t->n >= 2 && t->n <= 14 && fits(t, scale, em, across, true)) return;
    }
    /* Less than a decade: round steps, whose distances become smaller upwards. */
    const double decade = floor(log10((hi - lo) / 10));
    for (int k = 0; k < 9; k++) {
        linear(t, lo, hi, round_steps[k % 3] * pow(10, decade + floor(k / 3.0)));
        if (t->n && t->at[0] <= 0) t->n = 0;
        if (t->n <= 14 && t->n && fits(t, scale, em, across, true)) return;
    }
    t->n = 0;
}

void chart_ticks(struct chart_ticks *t, double lo, double hi, double pixels, double em, bool across,
                 bool log) {
    t->n = 0;
    if (!(hi > lo)) return;
    if (log)
        log_ticks(t, lo, hi, pixels, em, across);
    else
        linear_ticks(t, lo, hi, pixels, em, across);
}
