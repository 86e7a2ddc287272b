#include "docs.h"

#include "map.h"
#include "shard.h"
#include "stories.h"
#include "textin.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool white(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int no_memory(const char *path, struct err *e) {
    return err_set(e, ERR_NOMEM, "no memory for the text of %s", path);
}

static int read_all(struct docs *d, const char *path, struct err *e) {
    int rc;
    size_t cap = 0, got = 1;
    struct textin in;
    TRY(textin_open(&in, path, e));
    while (got) {
        if (grow(&d->text, &cap, d->bytes + ((size_t)1 << 20), 1)) {
            rc = no_memory(path, e);
            goto out;
        }
        TRY(textin_read(&in, d->text + d->bytes, cap - d->bytes, &got, e));
        d->bytes += got;
    }
out:
    textin_close(&in);
    return rc;
}

/* The document in [from, to), if there is one. */
static int add(struct docs *d, size_t from, size_t to, bool marked, const char *path,
               struct err *e) {
    const size_t start = from;
    while (from < to && white(d->text[from])) from++;
    while (to > from && white(d->text[to - 1])) to--;
    if (from == to) return 0;
    if (grow(&d->spans, &d->cap, d->n + 1, sizeof *d->spans)) return no_memory(path, e);
    d->spans[d->n++] = (struct doc_span){from, to - from, marked ? from - start : 0};
    return 0;
}

static int split(struct docs *d, size_t bytes, const char *path, struct err *e) {
    static const char mark[] = SHARD_SEPARATOR;
    int rc = 0;
    for (size_t at = 0; at <= bytes && !rc;) {
        const char *p = memmem(d->text + at, bytes - at, mark, sizeof mark - 1);
        const size_t end = p ? (size_t)(p - d->text) : bytes;
        rc = add(d, at, end, at > 0, path, e);
        at = p ? end + sizeof mark - 1 : bytes + 1;
    }
    if (!rc && !d->n) rc = err_set(e, ERR_INPUT, "%s holds no text", path);
    return rc;
}

int docs_read(struct docs *d, const char *path, struct err *e) {
    int rc;
    size_t bytes, n;
    double *bits = NULL;
    *d = (struct docs){0};
    TRY(read_all(d, path, e));
    rc = stories_trailer(d->text, d->bytes, &bytes, &bits, &n, e);
    free(bits);
    if (rc) {
        err_prefix(e, "%s", path);
        goto out;
    }
    TRY(split(d, bytes, path, e));
out:
    if (rc) docs_release(d);
    return rc;
}

void docs_release(struct docs *d) {
    free(d->text);
    free(d->spans);
    *d = (struct docs){0};
}
