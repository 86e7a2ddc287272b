/* What duet cuts texts into, for comparison with the library that other programs use
 * (results/scripts/patterns.py): lines of {"pattern", "behavior", "texts"} in, lines of
 * {"pieces": [[...], ...]} or {"refused": sentence} out. */
#include "pretok.h"
#include "unicode.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add_piece(void *ctx, const char *word, size_t n, struct err *e) {
    return json_array_append_new(ctx, json_stringn(word, n)) ? err_set(e, ERR_NOMEM, "no memory")
                                                             : 0;
}

static json_t *refused(struct err *e) {
    for (char *s = e->msg; *s; s++) /* a sentence may end within a character */
        if ((unsigned char)*s >= 0x80) *s = '?';
    return json_pack("{s:s}", "refused", e->msg);
}

static json_t *answer(const json_t *line) {
    const char *behavior = json_string_value(json_object_get(line, "behavior"));
    const bool removed = behavior && !strcmp(behavior, "removed");
    struct pretok p = {0};
    struct pretok_scratch s = {0};
    struct err e = {0};
    json_t *all = json_array(), *text, *result = NULL;
    size_t i;
    if (pretok_add_split(&p, true, json_string_value(json_object_get(line, "pattern")),
                         removed ? PRETOK_REMOVED : PRETOK_ISOLATED, false, &e))
        result = refused(&e);
    json_array_foreach(result ? NULL : json_object_get(line, "texts"), i, text) {
        json_t *pieces = json_array();
        json_array_append_new(all, pieces);
        if (pretok_run(&p, &s, json_string_value(text), json_string_length(text), add_piece, pieces,
                       &e)) {
            result = refused(&e);
            break;
        }
    }
    if (!result) result = json_pack("{s:O}", "pieces", all);
    json_decref(all);
    pretok_scratch_release(&s);
    pretok_release(&p);
    return result;
}

int main(void) {
    char *line = NULL;
    size_t cap = 0;
    unicode_init();
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        json_t *in = json_loadb(line, (size_t)n, 0, NULL), *out;
        if (!in || !json_is_string(json_object_get(in, "pattern"))) return 1;
        out = answer(in);
        json_dumpf(out, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(out);
        json_decref(in);
    }
    free(line);
    return 0;
}
