#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the UTF-8 character at s (of well-formed ones, RFC 3629), or 0. */
static size_t character(const unsigned char *s) {
    const unsigned char c = *s;
    const size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    const int bad = (c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) ||
                    (c == 0xf0 && s[1] < 0x90) || (c == 0xf4 && s[1] > 0x8f);
    return bad ? 0 : n;
}

/* Texts of files are cut to a length, which may be inside a character: what is left of it, and what
 * else is no UTF-8, becomes a question mark. */
static void only_utf8(char *msg) {
    char *to = msg;
    for (const char *s = msg; *s;) {
        size_t n = character((const unsigned char *)s);
        const size_t whole = n;
        if (!n) /* as far as it goes */
            for (n = 1; ((unsigned char)s[n] & 0xc0) == 0x80 && (unsigned char)*s >= 0xc2; n++) {
            }
        if (whole)
            memmove(to, s, n), to += n;
        else
            *to++ = '?';
        s += n;
    }
    *to = 0;
}

int err_set(struct err *e, int code, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    e->code = code;
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    only_utf8(e->msg);
    return code;
}

int err_errno(struct err *e, int code, const char *fmt, ...) {
    int saved = errno;
    va_list ap;
    va_start(ap, fmt);
    e->code = code;
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof e->msg)
        snprintf(e->msg + n, sizeof e->msg - (size_t)n, ": %s", strerror(saved));
    only_utf8(e->msg);
    return code;
}

int err_prefix(struct err *e, const char *fmt, ...) {
    char old[sizeof e->msg];
    memcpy(old, e->msg, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof e->msg)
        snprintf(e->msg + n, sizeof e->msg - (size_t)n, ": %s", old);
    only_utf8(e->msg);
    return e->code;
}
