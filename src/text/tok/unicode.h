/* UTF-8 and the four character classes of the pre-tokenisers' patterns.
 *
 * letter = \p{L}, number = \p{N} (general categories, from utf8proc), space = \s (the property
 * White_Space), other = the rest. Bytes that are not part of well-formed UTF-8 (RFC 3629: no
 * overlong forms, no surrogates, nothing above U+10FFFF) are each one character of class other. */
#ifndef DUET_UNICODE_H
#define DUET_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum unicode_class { UNICODE_OTHER, UNICODE_LETTER, UNICODE_NUMBER, UNICODE_SPACE };

/* All letters, numbers and blanks are below this; beyond are unassigned and private characters. */
#define UNICODE_TABLE 0x40000

extern uint8_t unicode_table[UNICODE_TABLE];

/* Fills the table once; every user of classes calls it first. Any thread may. */
void unicode_init(void);

/* Bytes of the well-formed character at s (n > 0 bytes left), its code point in *cp; 0: none. */
static inline size_t utf8_read(const char *s, size_t n, uint32_t *cp) {
    const uint8_t *u = (const uint8_t *)s;
    if (u[0] < 0x80) return *cp = u[0], 1;
    if (u[0] < 0xc2 || u[0] > 0xf4 || n < 2 || (u[1] & 0xc0) != 0x80) return 0;
    if (u[0] < 0xe0) return *cp = (uint32_t)(u[0] & 0x1f) << 6 | (u[1] & 0x3f), 2;
    if (n < 3 || (u[2] & 0xc0) != 0x80) return 0;
    uint32_t three = (uint32_t)(u[1] & 0x3f) << 6 | (u[2] & 0x3f);
    if (u[0] < 0xf0) {
        *cp = (uint32_t)(u[0] & 0x0f) << 12 | three;
        return *cp < 0x800 || (*cp >> 11) == 0x1b ? 0 : 3; /* overlong, surrogate */
    }
    if (n < 4 || (u[3] & 0xc0) != 0x80) return 0;
    *cp = (uint32_t)(u[0] & 0x07) << 18 | three << 6 | (u[3] & 0x3f);
    return *cp < 0x10000 || *cp > 0x10ffff ? 0 : 4;
}

/* Writes cp (a valid code point) to out; returns its bytes. */
static inline size_t utf8_write(uint32_t cp, char out[4]) {
    if (cp < 0x80) return out[0] = (char)cp, 1;
    if (cp < 0x800) return out[0] = (char)(0xc0 | cp >> 6), out[1] = (char)(0x80 | (cp & 0x3f)), 2;
    size_t n = cp < 0x10000 ? 3 : 4;
    out[0] = (char)(n == 3 ? 0xe0 | cp >> 12 : 0xf0 | cp >> 18);
    for (size_t i = 1; i < n; i++) out[i] = (char)(0x80 | (cp >> 6 * (n - 1 - i) & 0x3f));
    return n;
}

/* Class of the character at s (n > 0 bytes left) and its bytes in *len. */
static inline enum unicode_class unicode_at(const char *s, size_t n, size_t *len) {
    uint8_t first = (uint8_t)*s;
    if (first < 0x80) return *len = 1, (enum unicode_class)unicode_table[first];
    uint32_t cp;
    *len = utf8_read(s, n, &cp);
    if (*len == 0) return *len = 1, UNICODE_OTHER;
    return cp < UNICODE_TABLE ? (enum unicode_class)unicode_table[cp] : UNICODE_OTHER;
}

#endif
