#include "textscan.h"

#include <stdio.h>
#include <string.h>

enum { NOTABLE = 1000 }; /* one byte in so many that is no UTF-8 */

static void invalid(struct textscan *s, uint64_t at, unsigned n) {
    if (!s->invalid) s->first_bad = at;
    s->invalid += n;
}

/* The first byte of a character that takes more than one, RFC 3629 section 4. */
static void start(struct textscan *s, uint8_t c, uint64_t at) {
    s->low = 0x80;
    s->high = 0xbf;
    s->seen = 1;
    if (c >= 0xc2 && c <= 0xdf)
        s->need = 1;
    else if (c >= 0xe0 && c <= 0xef)
        s->need = 2;
    else if (c >= 0xf0 && c <= 0xf4)
        s->need = 3;
    else
        invalid(s, at, 1);
    if (c == 0xe0) s->low = 0xa0;
    if (c == 0xed) s->high = 0x9f;
    if (c == 0xf0) s->low = 0x90;
    if (c == 0xf4) s->high = 0x8f;
}

static void add_byte(struct textscan *s, uint8_t c, uint64_t at) {
    if (s->need) {
        if (c >= s->low && c <= s->high) {
            s->need--;
            s->seen++;
            s->low = 0x80;
            s->high = 0xbf;
            return;
        }
        invalid(s, at - s->seen, s->seen);
        s->need = 0;
    }
    if (c >= 0x80) {
        start(s, c, at);
    } else if (!c) {
        if (!s->nul++) s->first_nul = at;
    }
}

/* Eight bytes, none of which is NUL or outside ASCII. */
static bool plain(const uint8_t *p) {
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return !(((w - 0x0101010101010101u) | w) & 0x8080808080808080u);
}

/* Bytes of the character at p[0..4) if it is of the common ones with more than one, or 0. */
static size_t common(const uint8_t *p) {
    uint32_t w;
    memcpy(&w, p, sizeof w); /* little-endian, as shards are */
    if ((w & 0xc0c0f0) == 0x8080e0) return p[0] == 0xe0 || p[0] == 0xed ? 0 : 3;
    return (w & 0xc0e0) == 0x80c0 && p[0] >= 0xc2 ? 2 : 0;
}

/* Does it begin with a line {"...}? A line that goes beyond the piece is none: pieces are large. */
static bool begins_json(const char *text, size_t n) {
    const char *end = memchr(text, '\n', n);
    size_t line = end ? (size_t)(end - text) : n;
    if (line && text[line - 1] == '\r') line--;
    return line > 3 && text[0] == '{' && text[1] == '"' && text[line - 1] == '}';
}

void textscan_add(struct textscan *s, const void *text, size_t n) {
    const uint8_t *p = text;
    if (!s->bytes) s->json = begins_json(text, n);
    for (size_t i = 0, whole; i < n;) {
        if (!s->need && i + 8 <= n) {
            whole = plain(p + i) ? 8 : common(p + i);
            i += whole;
            if (whole) continue;
        }
        add_byte(s, p[i], s->bytes + i);
        i++;
    }
    s->bytes += n;
}

/* A share with two digits. */
static double percent(uint64_t part, uint64_t all) {
    return 100 * (double)part / (double)all;
}

bool textscan_note(const struct textscan *s, const char *name, char *out, size_t room) {
    struct textscan end = *s;
    if (end.need) invalid(&end, end.bytes - end.seen, end.seen); /* cut in the last character */
    const bool bad = end.invalid * NOTABLE > end.bytes;
    char nul[256] = "", other[256] = "";
    if (end.json && !end.nul && !bad) {
        snprintf(out, room,
                 "%s: its lines are JSON, which is taken as text as it stands, names and braces "
                 "too (jq -r '.text + \"<|endoftext|>\"' writes their texts)",
                 name);
        return true;
    }
    if (end.nul)
        snprintf(nul, sizeof nul,
                 "%.3g%% of its bytes are NUL, the first at byte %llu (16-bit tokens are read with "
                 "--format raw16)",
                 percent(end.nul, end.bytes), (unsigned long long)end.first_nul);
    if (bad)
        snprintf(other, sizeof other,
                 "%.3g%% %s not UTF-8, the first at byte %llu (to convert a text: iconv -f LATIN1 "
                 "-t UTF-8)",
                 percent(end.invalid, end.bytes), end.nul ? "are" : "of its bytes are",
                 (unsigned long long)end.first_bad);
    snprintf(out, room, "%s: %s%s%s; taken as text all the same", name, nul,
             end.nul && bad ? ", " : "", other);
    return end.nul || bad;
}
