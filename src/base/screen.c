#include "screen.h"

#include <stdbool.h>
#include <unistd.h>

/* C0 and delete. */
static bool is_control(unsigned char c) {
    return (c < 32 && c != '\n' && c != '\t') || c == 127;
}

void screen_write(FILE *f, const char *text, size_t n) {
    size_t from = 0;
    const bool shown = isatty(fileno(f)) == 1;
    for (size_t i = 0; i < n && shown; i++) {
        const unsigned char c = (unsigned char)text[i],
                            next = i + 1 < n ? (unsigned char)text[i + 1] : 0;
        const bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0; /* U+0080 to U+009F */
        if (!c1 && !is_control(c)) continue;
        fwrite(text + from, 1, i - from, f);
        fprintf(f, c1 ? "\\u%04x" : "\\x%02x", c1 ? next : c);
        i += c1;
        from = i + 1;
    }
    fwrite(text + from, 1, n - from, f);
}
