#include "textcut.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

int textcut_find(const struct textcut *c, const char *text, size_t bytes, size_t *at) {
    int found = -1;
    for (int i = 0; i < c->n_sep; i++) {
        const char *p = memmem(text, bytes, c->sep[i], c->sep_bytes[i]);
        if (!p) continue;
        found = i;
        *at = (size_t)(p - text);
        bytes = *at; /* another one counts only if it ends before this one starts */
    }
    return found;
}

size_t textcut_document(const struct textcut *c, const char *text, size_t bytes) {
    size_t best = 0;
    for (int i = 0; i < c->n_sep; i++) {
        size_t len = c->sep_bytes[i], end = bytes;
        while (end >= len && end > best) {
            const char *p = memrchr(text + len - 1, c->sep[i][len - 1], end - len + 1);
            if (!p) break;
            end = (size_t)(p - text) + 1;
            if (end > best && !memcmp(text + end - len, c->sep[i], len)) best = end;
            end--;
        }
    }
    return best;
}

/* The character that starts at text, or -1. */
static utf8proc_int32_t char_at(const char *text, size_t bytes) {
    utf8proc_int32_t c;
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)text;
    return utf8proc_iterate(p, bytes < 4 ? (utf8proc_ssize_t)bytes : 4, &c) > 0 ? c : -1;
}

static bool is_letter(utf8proc_int32_t c) {
    utf8proc_category_t k = c < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

static bool is_space(utf8proc_int32_t c) {
    if ((c >= 9 && c <= 13) || c == 0x85) return true;
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

static bool ascii_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool continuation(char c) {
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Rule 2 at text[i], the line break being text[i - 1]. */
static bool line_start(const char *text, size_t bytes, size_t i) {
    if (i < 2 || !is_letter(char_at(text + i, bytes - i))) return false;
    size_t before = i - 2;
    while (before > 0 && i - before < 5 && continuation(text[before])) before--;
    utf8proc_int32_t c = char_at(text + before, i - 1 - before);
    return c >= 0 && !is_space(c);
}

static size_t longest(const struct textcut *c) {
    size_t n = 0;
    for (int i = 0; i < c->n_sep; i++)
        if (c->sep_bytes[i] > n) n = c->sep_bytes[i];
    return n;
}

size_t textcut_inside(const struct textcut *c, const char *text, size_t bytes) {
    size_t margin = longest(c) + 1, end = bytes > margin ? bytes - margin : 0;
    const char *p;
    for (size_t n = end; (p = memrchr(text, '\n', n)); n = (size_t)(p - text))
        if (line_start(text, bytes, (size_t)(p - text) + 1)) return (size_t)(p - text) + 1;
    for (size_t n = end; (p = memrchr(text, ' ', n)); n = (size_t)(p - text))
        if (p > text && ascii_letter(p[-1]) && ascii_letter(p[1])) return (size_t)(p - text);
    return 0;
}

size_t textcut_anywhere(const struct textcut *c, const char *text, size_t bytes) {
    size_t margin = longest(c), end = bytes > margin ? bytes - margin : 0;
    for (size_t i = end; i > 0 && end - i < 4; i--)
        if (!continuation(text[i])) return i;
    return end;
}
