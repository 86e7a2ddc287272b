#include "docs.h"

#include "map.h"
#include "shard.h"
#include "stories.h"
#include "textin.h"
#include "textlist.h"

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
    size_t got = 1;
    struct textin in;
    TRY(textin_open(&in, path, e));
    while (got) {
        if (grow(&d->text, &d->text_cap, d->bytes + ((size_t)1 << 20), 1)) {
            rc = no_memory(path, e);
            goto out;
        }
        TRY(textin_read(&in, d->text + d->bytes, d->text_cap - d->bytes, &got, e));
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

/* The documents of the text from `from` to its end. */
static int split(struct docs *d, size_t from, const char *path, struct err *e) {
    static const char mark[] = SHARD_SEPARATOR;
    int rc = 0;
    const size_t bytes = d->bytes, before = d->n;
    for (size_t at = from; at <= bytes && !rc;) {
        const char *p = memmem(d->text + at, bytes - at, mark, sizeof mark - 1);
        const size_t end = p ? (size_t)(p - d->text) : bytes;
        rc = add(d, at, end, at > from, path, e);
        at = p ? end + sizeof mark - 1 : bytes + 1;
    }
    if (!rc && d->n == before) rc = err_set(e, ERR_INPUT, "%s holds no text", path);
    return rc;
}

static int read_file(struct docs *d, const char *path, struct err *e) {
    int rc;
    const size_t from = d->bytes;
    size_t bytes, n;
    double *bits = NULL;
    TRY(read_all(d, path, e));
    rc = stories_trailer(d->text + from, d->bytes - from, &bytes, &bits, &n, e);
    free(bits);
    if (rc) {
        err_prefix(e, "%s", path);
        goto out;
    }
    d->bytes = from + bytes;
    d->trailers += stories_trailers_inside(d->text + from, bytes);
    TRY(split(d, from, path, e));
out:
    return rc;
}

int docs_read(struct docs *d, const char *const *paths, size_t n, struct err *e) {
    int rc;
    struct textlist l;
    *d = (struct docs){0};
    TRY(textlist_open(&l, paths, n, e));
    for (size_t i = 0; i < l.n; i++) TRY(read_file(d, l.path[i], e));
out:
    textlist_close(&l);
    if (rc) docs_release(d);
    return rc;
}

int docs_take(struct docs *d, char *text, size_t bytes, const char *name, struct err *e) {
    *d = (struct docs){.text = text, .bytes = bytes, .text_cap = bytes};
    const int rc = split(d, 0, name, e);
    if (rc) docs_release(d);
    return rc;
}

void docs_release(struct docs *d) {
    free(d->text);
    free(d->spans);
    *d = (struct docs){0};
}
