/* Signs, while a text is read in pieces, that it may be no text or not in UTF-8: NUL bytes, and
 * bytes that are no UTF-8 (RFC 3629); and that it may be records with a text in each. The text is
 * taken all the same; a note says what was seen. */
#ifndef DUET_TEXTSCAN_H
#define DUET_TEXTSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct textscan {
    uint64_t bytes;                /* seen so far */
    uint64_t nul, invalid;         /* bytes of either kind */
    uint64_t first_nul, first_bad; /* their first offsets */
    uint8_t need, seen;            /* of a character that a piece cut: bytes to come, had */
    uint8_t low, high;             /* range of its next byte */
    bool json;                     /* the first line is an object of JSON (JSON Lines) */
};

void textscan_add(struct textscan *s, const void *text, size_t n);

/* One sentence about the text of that name, if something is worth saying: a NUL byte, more than one
 * byte in a thousand that is no UTF-8, lines of JSON. Call it at the end of the text; false:
 * nothing. */
bool textscan_note(const struct textscan *s, const char *name, char *out, size_t room);

#endif
