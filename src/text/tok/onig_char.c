/* Single characters: escapes, and what case folding makes of them. */
#include "onig_impl.h"

#include "unicode.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

int onig_put_char(struct onig *o, struct tok_bytes *b, uint32_t cp) {
    char text[16] = {0};
    const bool word = cp < 0x80 && (unicode_table[cp] == UNICODE_LETTER ||
                                    unicode_table[cp] == UNICODE_NUMBER || cp == '_');
    if (word)
        text[0] = (char)cp;
    else
        snprintf(text, sizeof text, "\\x{%x}", (unsigned)cp);
    return onig_put(o, b, text);
}

uint32_t onig_next(struct onig *o) {
    uint32_t cp = 0; /* the pattern is UTF-8 */
    o->at += utf8_read(o->p + o->at, o->n - o->at, &cp);
    return cp;
}

/* ---- case ----------------------------------------------------------------------------------- */

int onig_fold(uint32_t cp, uint32_t to[3]) {
    utf8proc_int32_t out[8];
    int last = 0;
    const utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)cp, out, 8, UTF8PROC_CASEFOLD, &last);
    for (int i = 0; i < n && i < 3; i++) to[i] = (uint32_t)out[i];
    return n < 1 ? 0 : n > 3 ? 3 : (int)n;
}

/* True if some character folds to these two or three: under (?i) they match it. */
static bool folds_from(const uint32_t *s, int n) {
    static const uint32_t ranges[][2] = {
        {0xdf, 0xdf},   {0x130, 0x130},   {0x149, 0x149},   {0x1f0, 0x1f0},   {0x390, 0x390},
        {0x3b0, 0x3b0}, {0x587, 0x587},   {0x1e96, 0x1e9e}, {0x1f50, 0x1f56}, {0x1f80, 0x1fff},
        {0xfb00, 0xfb17}};
    uint32_t to[3];
    for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++)
        for (uint32_t cp = ranges[r][0]; cp <= ranges[r][1]; cp++)
            if (onig_fold(cp, to) == n && !memcmp(to, s, (size_t)n * sizeof *s)) return true;
    return false;
}

int onig_check_fold(struct onig *o, size_t at, uint32_t cp, bool repeated) {
    uint32_t to[3];
    if (onig_fold(cp, to) != 1)
        return onig_fail(o, at, "a character that folds to several is not supported under (?i)");
    if (repeated) return o->run_n = 0;
    if (o->run_n == 3) memmove(o->run, o->run + 1, 2 * sizeof *o->run), o->run_n = 2;
    o->run[o->run_n++] = to[0];
    for (int k = 2; k <= o->run_n; k++)
        if (folds_from(o->run + o->run_n - k, k))
            return onig_fail(o, at,
                             "under (?i) this and the character before match one character too "
                             "(a ligature or the like): not supported");
    return 0;
}

/* ---- single characters ---------------------------------------------------------------------- */

int onig_digit(char c, int base) {
    const int v = c >= '0' && c <= '9'   ? c - '0'
                  : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                         : 99;
    return v < base ? v : -1;
}

size_t onig_digits(struct onig *o, int base, size_t most, uint32_t *v) {
    size_t n = 0;
    for (*v = 0; n < most && o->at < o->n && onig_digit(o->p[o->at], base) >= 0; n++)
        *v = *v * (uint32_t)base + (uint32_t)onig_digit(o->p[o->at++], base);
    return n;
}

static int check_code(struct onig *o, size_t at, uint32_t cp) {
    return cp <= 0x10ffff && (cp >> 11) != 0x1b
               ? 0
               : onig_fail(o, at, "U+%X is no character", (unsigned)cp);
}

/* x41, x{41}, o{101}, u0041: behind the letter. */
static int code_point(struct onig *o, size_t at, char letter, uint32_t *cp, bool *is_char) {
    const size_t behind = o->at;
    const int base = letter == 'o' ? 8 : 16;
    *is_char = true;
    if (letter != 'u' && o->at < o->n && o->p[o->at] == '{') {
        o->at++;
        const size_t n = onig_digits(o, base, base == 8 ? 10 : 8, cp);
        if (n && o->at < o->n && o->p[o->at] == '}') return o->at++, check_code(o, at, *cp);
        return onig_fail(o, at, "\\%c{ without one number and a closing brace is not supported",
                         letter);
    }
    const size_t n = letter == 'o' ? 0 : onig_digits(o, 16, letter == 'u' ? 4 : 2, cp);
    if (letter == 'u' && n < 4) return onig_fail(o, at, "\\u needs four hexadecimal digits");
    if (!n) { /* the letter itself */
        o->at = behind;
        *cp = (uint32_t)letter;
        return 0;
    }
    if (letter == 'x' && *cp >= 0x80)
        return onig_fail(o, at, "\\x%02X is a byte, not a character: not supported; write \\x{..}",
                         (unsigned)*cp);
    return check_code(o, at, *cp);
}

/* A number beyond 9 and the groups that there are is octal. */
static bool is_octal(struct onig *o) {
    const size_t at = o->at;
    uint32_t number;
    onig_digits(o, 10, 3, &number);
    o->at = at;
    return number > 9 && (int)number > o->groups;
}

int onig_escape(struct onig *o, bool in_class, uint32_t *cp, bool *is_char) {
    static const char names[] = "tnrfaev", codes[] = "\t\n\r\f\a\x1b\v";
    const size_t at = o->at - 1;
    if (o->at == o->n) return onig_fail(o, at, "a backslash at the end");
    const char c = o->p[o->at];
    const char *named = strchr(names, c);
    *is_char = true;
    if (c && named) return o->at++, *cp = (uint32_t)codes[named - names], 0;
    if (c == 'b' && in_class) return o->at++, *cp = 8, 0;
    if (c == 'x' || c == 'o' || c == 'u') return o->at++, code_point(o, at, c, cp, is_char);
    if (c == '0' || (onig_digit(c, 8) >= 0 && (in_class || is_octal(o)))) {
        onig_digits(o, 8, 3, cp);
        return *cp < 0x80 ? 0 : onig_fail(o, at, "an octal byte beyond 177 is not supported");
    }
    const char control = o->at + 1 < o->n ? o->p[o->at + 1] : '\\';
    if (c == 'c' && control != '\\' && (uint8_t)control < 0x80) {
        *cp = control == '?' ? 0x7f : control & 0x1fu;
        return o->at += 2, 0;
    }
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '1' && c <= '9');
    if (letter) return *is_char = false, 0;
    return *cp = onig_next(o), 0;
}
