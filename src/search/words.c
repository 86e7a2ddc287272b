#include "words.h"

#include "canon.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int wrong(const char *path, const char *key, const json_t *v, struct err *e) {
    return canon_wrong(ERR_USAGE, path, key, v, "a text with a command, or an array of its words",
                       e);
}

static bool are_words(const json_t *v) {
    bool good = json_is_array(v) && json_array_size(v) > 0;
    for (size_t i = 0; good && i < json_array_size(v); i++) {
        const json_t *word = json_array_get(v, i);
        /* what a command line can hold; the first one names the program */
        const size_t n = json_string_length(word);
        good = json_is_string(word) && strlen(json_string_value(word)) == n && (i || n);
    }
    return good;
}

int words_read(const char *path, const char *key, json_t *v, json_t **words, struct err *e) {
    *words = NULL;
    if (are_words(v)) {
        *words = json_incref(v);
        return 0;
    }
    if (!json_is_string(v)) return wrong(path, key, v, e);
    char *text = strdup(json_string_value(v)), *rest = NULL;
    *words = json_array();
    int rc = text && *words ? 0 : err_set(e, ERR_NOMEM, "no memory for a command");
    for (char *w = text && !rc ? strtok_r(text, " \t", &rest) : NULL; w && !rc;
         w = strtok_r(NULL, " \t", &rest))
        if (json_array_append_new(*words, json_string(w)))
            rc = err_set(e, ERR_NOMEM, "no memory for a command");
    if (!rc && !json_array_size(*words)) rc = wrong(path, key, v, e);
    free(text);
    if (!rc) return 0;
    json_decref(*words);
    *words = NULL;
    return rc;
}
