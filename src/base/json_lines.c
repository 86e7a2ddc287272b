#include "json_lines.h"

#include "json_text.h"

#include <stdlib.h>
#include <string.h>

static int read_line(const char *text, size_t n, const char *path, json_lines_take *take, void *ctx,
                     size_t line, struct err *e) {
    json_error_t at;
    json_t *j = json_text_load(text, n, &at);
    if (!j && json_text_code(&at) == ERR_NOMEM)
        return err_set(e, ERR_NOMEM, "no memory for %s", path);
    if (!j)
        return err_set(e, ERR_INPUT, "%s, line %zu, column %d: not valid JSON: %s", path, line,
                       at.column, json_text_why(&at));
    const int rc = take(ctx, j, line, e);
    if (rc) json_decref(j);
    return rc;
}

int json_lines_read(const char *text, size_t n, const char *path, json_lines_take *take, void *ctx,
                    size_t *size, size_t *lines, struct err *e) {
    const char *end;
    *size = *lines = 0;
    while ((end = memchr(text + *size, '\n', n - *size)) != NULL) {
        const size_t bytes = (size_t)(end - text) - *size;
        const int rc = read_line(text + *size, bytes, path, take, ctx, *lines + 1, e);
        if (rc) return rc;
        *size += bytes + 1;
        ++*lines;
    }
    return 0;
}

int json_lines_append(struct record_file *f, const json_t *j, struct err *e) {
    int rc;
    struct err ignored; /* what stays is cut off when it is read */
    const uint64_t before = f->size;
    char *text = json_text(j);
    if (!text) return err_set(e, ERR_NOMEM, "no memory for a line of %s", f->path);
    const size_t n = strlen(text);
    text[n] = '\n'; /* in place of the 0 */
    TRY(record_file_append(f, text, n + 1, e));
    rc = record_file_sync(f, e);
    if (rc) record_file_cut(f, before, &ignored);
out:
    free(text);
    return rc;
}
