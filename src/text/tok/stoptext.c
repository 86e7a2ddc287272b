#include "stoptext.h"

#include "map.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of the longest text that the held ones end with, or 0. */
static size_t match(const struct stoptext *s) {
    size_t longest = 0;
    for (size_t i = 0; i < s->n; i++) {
        const size_t n = strlen(s->text[i]);
        if (n > longest && n <= s->held.n &&
            !memcmp(s->held.data + s->held.n - n, s->text[i], n))
            longest = n;
    }
    return longest;
}

/* May these n bytes become one of the texts? */
static bool begins(const struct stoptext *s, const char *bytes, size_t n) {
    for (size_t i = 0; i < s->n; i++)
        if (!strncmp(s->text[i], bytes, n) && strlen(s->text[i]) > n) return true;
    return false;
}

/* The first n held bytes are text. */
static void give(struct stoptext *s, size_t n) {
    if (!n) return;
    memcpy(s->out.data + s->out.n, s->held.data, n);
    s->out.n += n;
    s->held.n -= n;
    memmove(s->held.data, s->held.data + n, s->held.n);
}

int stoptext_add(struct stoptext *s, const char *bytes, size_t n, struct err *e) {
    s->out.n = 0;
    if (grow(&s->held.data, &s->held.cap, s->held.n + n + 1, 1) ||
        grow(&s->out.data, &s->out.cap, s->held.n + n + 1, 1))
        return err_set(e, ERR_NOMEM, "out of memory for text");
    for (size_t i = 0; i < n && !s->found; i++) {
        s->held.data[s->held.n++] = bytes[i];
        const size_t stop = match(s);
        s->found = stop > 0;
        if (!stop) continue;
        give(s, s->held.n - stop);
        s->held.n = 0;
    }
    size_t from = 0;
    while (from < s->held.n && !begins(s, s->held.data + from, s->held.n - from)) from++;
    give(s, from);
    return 0;
}

void stoptext_end(struct stoptext *s) {
    s->out.n = 0;
    give(s, s->held.n);
}

void stoptext_release(struct stoptext *s) {
    free(s->held.data);
    free(s->out.data);
    *s = (struct stoptext){.text = s->text, .n = s->n};
}
