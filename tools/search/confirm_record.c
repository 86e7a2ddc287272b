#include "confirm_record.h"

#include "file.h"
#include "json_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int no_memory(const struct confirm_record *c, struct err *e) {
    return err_set(e, ERR_NOMEM, "%s: no memory for it", c->path);
}

static bool is_event(const json_t *j, const char *name) {
    const char *word = json_string_value(json_object_get(j, "event"));
    return word && !strcmp(word, name);
}

/* What readers of a line may take for granted. */
static bool is_line(const json_t *j) {
    const json_t *value = json_object_get(j, "bits_per_byte");
    const char *status = json_string_value(json_object_get(j, "status"));
    if (!json_is_integer(json_object_get(j, "trial"))) return false;
    if (is_event(j, "confirm")) return true;
    return is_event(j, "result") && json_is_integer(json_object_get(j, "seed")) && status &&
           (strcmp(status, "ok") ? json_is_null(value) : json_is_number(value));
}

static int take_line(struct confirm_record *c, const char *text, size_t n, size_t number,
                     struct err *e) {
    json_error_t at;
    json_t *j = json_text_load(text, n, &at);
    if (!j && json_text_code(&at) == ERR_NOMEM) return no_memory(c, e);
    if (!j)
        return err_set(e, ERR_INPUT, "%s, line %zu, column %d: not valid JSON: %s", c->path, number,
                       at.column, json_text_why(&at));
    if (!is_line(j)) {
        json_decref(j);
        return err_set(e, ERR_INPUT,
                       "%s, line %zu: expected a \"result\" or a \"confirm\" with its members",
                       c->path, number);
    }
    return json_array_append_new(c->lines, j) ? no_memory(c, e) : 0;
}

static int read_lines(struct confirm_record *c, struct err *e) {
    struct file_map m;
    size_t number = 0;
    int rc;
    TRY(file_map_open(&m, c->path, e));
    for (const char *text = (const char *)m.data, *end; !rc && c->size < m.size;) {
        end = memchr(text + c->size, '\n', m.size - c->size);
        if (!end) break;
        const size_t n = (size_t)(end - text) - c->size;
        rc = take_line(c, text + c->size, n, ++number, e);
        c->size += n + 1;
    }
    const size_t cut = m.size - c->size;
    file_map_close(&m);
    if (!rc && cut && (ftruncate(c->fd, (off_t)c->size) || fdatasync(c->fd)))
        rc = err_errno(e, ERR_IO, "%s: %zu bytes behind the last line cannot be cut off", c->path,
                       cut);
out:
    return rc;
}

int confirm_record_open(struct confirm_record *c, const char *path, struct err *e) {
    int rc = 0;
    *c = (struct confirm_record){.fd = -1, .path = strdup(path), .lines = json_array()};
    if (!c->path || !c->lines) TRY(err_set(e, ERR_NOMEM, "%s: no memory for it", path));
    c->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
    if (c->fd < 0) TRY(err_errno(e, ERR_IO, "%s: cannot be opened", path));
    if (!file_is_regular(path))
        TRY(err_set(e, ERR_INPUT, "%s is no regular file, expected one of results", path));
    if (flock(c->fd, LOCK_EX | LOCK_NB))
        TRY(errno == EWOULDBLOCK
                ? err_set(e, ERR_USAGE, "%s: another process is confirming in it", path)
                : err_errno(e, ERR_IO, "%s: cannot be locked", path));
    rc = read_lines(c, e);
out:
    if (rc) confirm_record_close(c);
    return rc;
}

void confirm_record_close(struct confirm_record *c) {
    if (c->path && c->fd >= 0) close(c->fd); /* and gives the lock back */
    json_decref(c->lines);
    free(c->path);
    *c = (struct confirm_record){0};
}

int confirm_record_append(struct confirm_record *c, json_t *line, struct err *e) {
    char *text = json_text(line);
    const size_t n = text ? strlen(text) : 0;
    int rc;
    if (!text) return no_memory(c, e);
    text[n] = '\n'; /* in place of the 0 */
    const ssize_t done = write(c->fd, text, n + 1);
    if (done == (ssize_t)n + 1 && fdatasync(c->fd) == 0) {
        c->size += n + 1;
        rc = json_array_append(c->lines, line) ? no_memory(c, e) : 0;
    } else {
        if (done >= 0 && done <= (ssize_t)n) errno = ENOSPC;
        rc = err_errno(e, ERR_IO, "%s: cannot be written", c->path);
        if (done > 0 && ftruncate(c->fd, (off_t)c->size)) {
        } /* else it is cut when it is opened */
    }
    free(text);
    return rc;
}

const json_t *confirm_record_find(const struct confirm_record *c, int64_t trial, int64_t seed) {
    size_t i;
    json_t *j;
    json_array_foreach(c->lines, i, j)
        if (is_event(j, "result") && json_integer_value(json_object_get(j, "trial")) == trial &&
            json_integer_value(json_object_get(j, "seed")) == seed)
            return j;
    return NULL;
}

size_t confirm_record_looks(const struct confirm_record *c, int64_t trial, int64_t against,
                            size_t seeds, bool *asked, bool *again) {
    size_t i, n = 0;
    json_t *j;
    *asked = *again = false;
    json_array_foreach(c->lines, i, j) {
        if (!is_event(j, "confirm")) continue;
        const int64_t a = json_integer_value(json_object_get(j, "trial"));
        const int64_t b = json_integer_value(json_object_get(j, "against"));
        const bool as_many = json_array_size(json_object_get(j, "seeds")) == seeds;
        *asked = a == trial && b == against && as_many;
        if (*asked) break;
        *again |= !as_many && ((a == trial && b == against) || (a == against && b == trial));
        n++;
    }
    return n;
}
