#include "chars.h"

#include "map.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the character that begins with b, or 0: none does (RFC 3629). */
static size_t length_of(uint8_t b) {
    if (b < 0x80) return 1;
    if (b < 0xc2 || b > 0xf4) return 0;
    return b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
}

/* May b follow the n > 0 bytes at held? The second byte keeps out overlong forms, surrogates and
 * what is above U+10FFFF. */
static bool follows(const char *held, size_t n, uint8_t b) {
    const uint8_t first = (uint8_t)held[0];
    uint8_t low = 0x80, high = 0xbf;
    if (n == 1 && first == 0xe0) low = 0xa0;
    if (n == 1 && first == 0xed) high = 0x9f;
    if (n == 1 && first == 0xf0) low = 0x90;
    if (n == 1 && first == 0xf4) high = 0x8f;
    return b >= low && b <= high;
}

static void put(struct chars *c, const char *bytes, size_t n) {
    memcpy(c->out.data + c->out.n, bytes, n);
    c->out.n += n;
}

static void replace(struct chars *c) {
    put(c, "\xef\xbf\xbd", 3);
    c->replaced++;
    c->n_held = 0;
}

static void add(struct chars *c, uint8_t b) {
    if (c->n_held && !follows(c->held, c->n_held, b)) replace(c);
    const size_t need = length_of(c->n_held ? (uint8_t)c->held[0] : b);
    if (!need) {
        replace(c);
        return;
    }
    c->held[c->n_held++] = (char)b;
    if (c->n_held < need) return;
    put(c, c->held, need);
    c->n_held = 0;
}

/* Room for n more bytes, each of which may become U+FFFD, and for what is held back. */
static int reserve(struct chars *c, size_t n, struct err *e) {
    c->out.n = 0;
    return grow(&c->out.data, &c->out.cap, 3 * (n + 1) + sizeof c->held, 1)
               ? err_set(e, ERR_NOMEM, "out of memory for text")
               : 0;
}

int chars_add(struct chars *c, const char *bytes, size_t n, struct err *e) {
    const int rc = reserve(c, n, e);
    for (size_t i = 0; i < n && !rc; i++) add(c, (uint8_t)bytes[i]);
    return rc;
}

int chars_end(struct chars *c, struct err *e) {
    const int rc = reserve(c, 0, e);
    if (!rc && c->n_held) replace(c);
    return rc;
}

void chars_release(struct chars *c) {
    free(c->out.data);
    *c = (struct chars){0};
}
