#include "confirm_record.h"

#include "file.h"
#include "json_lines.h"

#include <string.h>

static int no_memory(const struct confirm_record *c, struct err *e) {
    return err_set(e, ERR_NOMEM, "%s: no memory for it", c->file.path);
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

static int take(void *ctx, json_t *j, size_t line, struct err *e) {
    const struct confirm_record *c = ctx;
    if (!is_line(j))
        return err_set(e, ERR_INPUT,
                       "%s, line %zu: expected a \"result\" or a \"confirm\" with its members",
                       c->file.path, line);
    if (json_array_append(c->lines, j)) return no_memory(c, e);
    json_decref(j);
    return 0;
}

static int read_lines(struct confirm_record *c, struct err *e) {
    struct file_map m;
    size_t size, lines;
    int rc = file_map_open(&m, c->file.path, e);
    if (rc) return rc;
    rc = json_lines_read((const char *)m.data, m.size, m.path, take, c, &size, &lines, e);
    file_map_close(&m);
    return rc ? rc : record_file_cut(&c->file, size, e);
}

int confirm_record_open(struct confirm_record *c, const char *path, struct err *e) {
    int rc;
    *c = (struct confirm_record){.lines = json_array()};
    TRY(record_file_open(&c->file, path, e));
    if (!c->lines) TRY(no_memory(c, e));
    TRY(record_file_lock(&c->file, "another process is confirming in it", e));
    TRY(read_lines(c, e));
out:
    if (rc) confirm_record_close(c);
    return rc;
}

void confirm_record_close(struct confirm_record *c) {
    record_file_close(&c->file);
    json_decref(c->lines);
    *c = (struct confirm_record){0};
}

int confirm_record_append(struct confirm_record *c, json_t *line, struct err *e) {
    const int rc = json_lines_append(&c->file, line, e);
    if (rc) return rc;
    return json_array_append(c->lines, line) ? no_memory(c, e) : 0;
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
