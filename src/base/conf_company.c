/* Options that have an effect only beside others. */
#include "conf_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && !strcmp(a, b));
}

static bool is_default(const struct conf_row *row, const void *opts) {
    const void *v = (const char *)opts + row->offset;
    int64_t n = 0;
    switch (row->type) {
    case CONF_T_BOOL: return *(const bool *)v == (row->def != NULL);
    case CONF_T_INT:
        if (row->def) conf_parse_int(row->def, &n);
        return *(const int64_t *)v == n;
    case CONF_T_FLOAT: return *(const double *)v == (row->def ? strtod(row->def, NULL) : 0);
    case CONF_T_STRING:
    case CONF_T_CHOICE: return same_text(*(const char *const *)v, row->def);
    case CONF_T_PAIRS: return !((const struct conf_pairs *)v)->n;
    case CONF_T_LIST: return !((const struct conf_list *)v)->n;
    default: return true;
    }
}

/* Is "option" given, or does it have the word of "option word"? */
static bool is_there(const struct conf_row *rows, const void *opts, const char *text) {
    const size_t n = strcspn(text, " ");
    const struct conf_row *row = conf_find(rows, text, n);
    assert(row);
    if (!text[n]) return !is_default(row, opts);
    return same_text(*(const char *const *)(const void *)((const char *)opts + row->offset),
                     text + n + 1);
}

int conf_check_company(const struct conf_row *rows, const void *opts, struct err *e) {
    for (const struct conf_row *r = rows; r->type != CONF_T_END; r++) {
        if ((!r->with && !r->without) || is_default(r, opts)) continue;
        if (r->with && !is_there(rows, opts, r->with))
            return err_set(e, ERR_USAGE, "--%s belongs to --%s", r->name, r->with);
        if (r->without && is_there(rows, opts, r->without))
            return err_set(e, ERR_USAGE, "--%s has no effect with --%s", r->name, r->without);
    }
    return 0;
}
