#include "conf_impl.h"
#include "term.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Values -------------------------------------------------------------------------------------- */

/* Hands p over to c, to be freed by conf_release; p NULL reports that memory ran out. */
static int own(struct conf *c, void *p, struct err *e) {
    if (p && c->n_owned == c->cap_owned) {
        size_t cap = c->cap_owned ? 2 * c->cap_owned : 16;
        char **more = realloc(c->owned, cap * sizeof *more);
        if (more) {
            c->owned = more;
            c->cap_owned = cap;
        } else {
            free(p);
            p = NULL;
        }
    }
    if (!p) return err_set(e, ERR_NOMEM, "no memory for options");
    c->owned[c->n_owned++] = p;
    return 0;
}

bool conf_decides(const struct conf_row *row) {
    return row->def && !strcmp(row->def, "-1");
}

static int out_of_range(const struct conf_row *row, const char *what, const char *value,
                        struct err *e) {
    const bool low = row->min > -1e15, high = row->max < 1e15;
    const char *or = conf_decides(row) && row->min > -1 ? ", or -1 for the default" : "";
    if (low && row->above)
        return err_set(e, ERR_USAGE, "%s is %s, expected a number above %.15g, at most %.15g%s",
                       what, value, row->min, row->max, or);
    if (low && high)
        return err_set(e, ERR_USAGE, "%s is %s, expected %.15g to %.15g%s", what, value, row->min,
                       row->max, or);
    const bool least = low && !(strtod(value, NULL) > row->min); /* else it is too large even so */
    return err_set(e, ERR_USAGE, "%s is %s, expected at %s %.15g%s", what, value,
                   least ? "least" : "most", least ? row->min : row->max, or);
}

static bool in_range(const struct conf_row *row, double value) {
    if (value == -1 && conf_decides(row)) return true;
    return (row->above ? value > row->min : value >= row->min) && value <= row->max;
}

int conf_set_int(struct conf *c, const struct conf_row *row, const char *what, int64_t value,
                 struct err *e) {
    if (!in_range(row, (double)value)) {
        char text[32];
        snprintf(text, sizeof text, "%lld", (long long)value);
        return out_of_range(row, what, text, e);
    }
    *(int64_t *)conf_field(c, row) = value;
    return 0;
}

int conf_set_float(struct conf *c, const struct conf_row *row, const char *what, double value,
                   struct err *e) {
    if (!isfinite(value)) return err_set(e, ERR_USAGE, "%s is not a finite number", what);
    if (!in_range(row, value)) {
        char text[32];
        conf_format_double(value, text);
        return out_of_range(row, what, text, e);
    }
    *(double *)conf_field(c, row) = value;
    return 0;
}

bool conf_has_word(const char *list, const char *s) {
    size_t n = strlen(s);
    for (const char *p = list; *p; p += strcspn(p, " ")) {
        p += strspn(p, " ");
        if (n && n == strcspn(p, " ") && !strncmp(p, s, n)) return true;
    }
    return false;
}

/* Length of the words of a choice, without a blank at their end. */
static int words_length(const char *choices) {
    const size_t n = strlen(choices);
    return (int)(n - (n && choices[n - 1] == ' '));
}

static int check_choice(const struct conf_row *row, const char *what, const char *value,
                        struct err *e) {
    if (conf_has_word(row->choices, value)) return 0;
    return err_set(e, ERR_USAGE, "%s is \"%.80s\", expected one of: %.*s", what, value,
                   words_length(row->choices), row->choices);
}

/* found: the option that stands where the value should, or NULL. */
static int needs_value(const struct conf_row *row, const char *found, struct err *e) {
    char what[512] = "";
    if (row->type == CONF_T_CHOICE)
        snprintf(what, sizeof what, " (one of: %.*s)", words_length(row->choices), row->choices);
    else if (row->arg)
        snprintf(what, sizeof what, " (%s)", row->arg);
    return err_set(e, ERR_USAGE, "--%s needs a value%s%s%s", row->name, what,
                   found ? ", found the option " : "", found ? found : "");
}

int conf_set_string(struct conf *c, const struct conf_row *row, const char *what, const char *value,
                    struct err *e) {
    int rc = row->type == CONF_T_CHOICE ? check_choice(row, what, value, e) : 0;
    if (rc) return rc;
    char *copy = strdup(value);
    if ((rc = own(c, copy, e)) == 0) *(const char **)conf_field(c, row) = copy;
    return rc;
}

/* n is about to grow by one: arrays are full at every power of two. Their copies of twice the size
 * are owned by c, as the old ones stay. */
static int grow_strings(struct conf *c, size_t n, const void *old, void **fresh, struct err *e) {
    const size_t cap = n ? 2 * n : 1;
    const char **more = calloc(cap, sizeof *more);
    *fresh = more;
    if (more && n) memcpy(more, old, n * sizeof *more);
    return own(c, more, e);
}

static bool is_full(size_t n) {
    return (n & (n - 1)) == 0;
}

int conf_add_item(struct conf *c, const struct conf_row *row, const char *value, struct err *e) {
    struct conf_list *l = conf_field(c, row);
    char *copy = strdup(value);
    void *more;
    int rc;
    TRY(own(c, copy, e));
    if (is_full(l->n)) {
        TRY(grow_strings(c, l->n, l->item, &more, e));
        l->item = more;
    }
    l->item[l->n++] = copy;
out:
    return rc;
}

int conf_set_pair(struct conf *c, const struct conf_row *row, const char *what, const char *key,
                  const char *value, int from, struct err *e) {
    struct conf_pairs *p = conf_field(c, row);
    size_t i = 0;
    while (i < p->n && strcmp(p->key[i], key)) i++;
    if (i < p->n_args && from == FROM_FILE) return 0;
    if (i == CONF_PAIRS_MAX)
        return err_set(e, ERR_USAGE, "%s has more than %d keys", what, CONF_PAIRS_MAX);
    int rc = 0;
    char *k = i < p->n ? p->key[i] : NULL, *v = strdup(value);
    TRY(own(c, v, e));
    if (!k) {
        k = strdup(key);
        TRY(own(c, k, e));
        if (is_full(p->n)) {
            void *keys, *values;
            TRY(grow_strings(c, p->n, p->key, &keys, e));
            TRY(grow_strings(c, p->n, p->value, &values, e));
            p->key = keys;
            p->value = values;
        }
        p->n++;
    }
    p->key[i] = k;
    p->value[i] = v;
    if (from == FROM_ARGS && i >= p->n_args) p->n_args = i + 1; /* arguments come before files */
out:
    return rc;
}

int conf_parse_int(const char *text, int64_t *value) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || errno || strchr(" \t\n\v\f\r", *text)) return -1;
    const char *suffix = "kMG", *s = *end ? strchr(suffix, *end == 'K' ? 'k' : *end) : NULL;
    if (*end && (!s || end[1])) return -1;
    for (const char *p = suffix; s && p <= s; p++)
        if (__builtin_mul_overflow(v, 1000, &v)) return -1;
    *value = v;
    return 0;
}

static int set_pair_text(struct conf *c, const struct conf_row *row, const char *what,
                         const char *text, struct err *e) {
    const char *eq = strchr(text, '=');
    if (!eq || eq == text)
        return err_set(e, ERR_USAGE, "%s is \"%.80s\", expected key=value", what, text);
    char *key = strndup(text, (size_t)(eq - text));
    if (!key) return err_set(e, ERR_NOMEM, "no memory for options");
    int rc = conf_set_pair(c, row, what, key, eq + 1, FROM_ARGS, e);
    free(key);
    return rc;
}

/* A value as text: from the command line or the row's default. */
static int set_text(struct conf *c, const struct conf_row *row, const char *what, const char *text,
                    struct err *e) {
    char *end;
    int64_t i;
    double x;
    switch (row->type) {
    case CONF_T_INT:
        if (conf_parse_int(text, &i) != 0)
            return err_set(e, ERR_USAGE,
                           "%s is \"%.80s\", expected a whole number such as 4096, 4k or 16M", what,
                           text);
        return conf_set_int(c, row, what, i, e);
    case CONF_T_FLOAT:
        x = strtod(text, &end);
        if (end == text || *end || strchr(" \t\n\v\f\r", *text) || !isfinite(x))
            return err_set(e, ERR_USAGE, "%s is \"%.80s\", expected a finite number", what, text);
        return conf_set_float(c, row, what, x, e);
    default: break;
    }
    /* Saved in config.json, so it must be what JSON can hold. */
    json_t *utf8 = row->internal ? NULL : json_string(text);
    if (!row->internal && !utf8) return err_set(e, ERR_USAGE, "%s is not valid UTF-8 text", what);
    json_decref(utf8);
    if (row->type == CONF_T_PAIRS) return set_pair_text(c, row, what, text, e);
    return row->type == CONF_T_LIST ? conf_add_item(c, row, text, e)
                                    : conf_set_string(c, row, what, text, e);
}

static int set_defaults(struct conf *c, struct err *e) {
    int rc = 0;
    for (const struct conf_row *r = c->rows; r->type != CONF_T_END && !rc; r++) {
        char what[80];
        snprintf(what, sizeof what, "the default of --%s", r->name ? r->name : "");
        switch (r->type) {
        case CONF_T_BOOL: *(bool *)conf_field(c, r) = r->def != NULL; continue;
        case CONF_T_INT: *(int64_t *)conf_field(c, r) = 0; break;
        case CONF_T_FLOAT: *(double *)conf_field(c, r) = 0; break;
        case CONF_T_STRING:
        case CONF_T_CHOICE: *(const char **)conf_field(c, r) = NULL; break;
        case CONF_T_PAIRS: *(struct conf_pairs *)conf_field(c, r) = (struct conf_pairs){0}; break;
        case CONF_T_LIST: *(struct conf_list *)conf_field(c, r) = (struct conf_list){0}; break;
        default: break;
        }
        if (r->def && r->type != CONF_T_GONE) rc = set_text(c, r, what, r->def, e);
    }
    return rc;
}

/* Arguments ----------------------------------------------------------------------------------- */

const struct conf_row *conf_find(const struct conf_row *rows, const char *name, size_t n) {
    for (const struct conf_row *r = rows; r->type != CONF_T_END; r++)
        if (r->name && !strncmp(r->name, name, n) && !r->name[n]) return r;
    return NULL;
}

/* What an argument that starts with a dash means. */
struct option {
    const struct conf_row *row; /* NULL: unknown */
    const char *value;          /* after '=', or NULL */
    bool negated;               /* --no-row */
};

static const struct {
    const char *letter, *name;
} letters[] = {{"-o", "out"}, {"-n", "samples"}, {"-m", "note"}, {"-h", "help"}};

const char *conf_letter(const char *name) {
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if (!strcmp(name, letters[i].name)) return letters[i].letter;
    return NULL;
}

static const struct conf_row *find_letter(const struct conf_row *rows, const char *arg) {
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if (!strcmp(arg, letters[i].letter)) return conf_row(rows, letters[i].name);
    return NULL;
}

static struct option find_option(const struct conf_row *rows, const char *arg) {
    struct option o = {0};
    if (arg[0] == '-' && arg[1] != '-') {
        o.row = find_letter(rows, arg);
    } else if (arg[0] == '-') {
        const char *name = arg + 2;
        size_t n = strcspn(name, "=");
        if (name[n]) o.value = name + n + 1;
        o.row = conf_find(rows, name, n);
        if (!o.row) o.row = conf_find(conf_common, name, n);
        if (!o.row && n > 3 && !strncmp(name, "no-", 3)) {
            o.row = conf_find(rows, name + 3, n - 3);
            o.negated = o.row != NULL;
            if (o.row && o.row->type != CONF_T_BOOL) o.row = NULL;
        }
    }
    return o;
}

static int unknown_option(const struct conf_row *rows, const char *arg, struct err *e) {
    char word[64], buf[64];
    size_t n = strcspn(arg, "=");
    snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), arg);
    const char *near = conf_suggest_row(rows, word + strspn(word, "-"), true, buf);
    if (near) return err_set(e, ERR_USAGE, "unknown option %s; did you mean --%s?", word, near);
    return err_set(e, ERR_USAGE, "unknown option %s; --help lists the options", word);
}

/* How things look is the process's, not the command's. */
static int set_color(const struct conf_row *row, const char *what, const char *value,
                     struct err *e) {
    const int rc = check_choice(row, what, value, e);
    if (!rc) term_color_choose(value);
    return rc;
}

/* Reads the option at argv[*i], moving *i on to its value if that is an argument of its own. The
 * path of a --config is put at configs[*n_configs]. */
static int read_option(struct conf *c, int argc, char **argv, int *i, const char **configs,
                       int *n_configs, struct err *e) {
    struct option o = find_option(c->rows, argv[*i]);
    if (!o.row) return unknown_option(c->rows, argv[*i], e);
    const char *name = o.row->name;
    if (o.row->type == CONF_T_GONE)
        return err_set(e, ERR_USAGE, "there is no option --%s any more: %s", name, o.row->help);
    if (o.row->type == CONF_T_BOOL) {
        if (o.value) return err_set(e, ERR_USAGE, "--%s takes no value, found %s", name, argv[*i]);
        *(bool *)conf_field(c, o.row) = !o.negated;
    } else {
        if (!o.value) {
            const char *next = *i + 1 < argc ? argv[*i + 1] : NULL;
            if (!next) return needs_value(o.row, NULL, e);
            /* A known option here is a forgotten value, not a value; -5 is a value. */
            if (!strcmp(next, "--") || find_option(c->rows, next).row)
                return needs_value(o.row, next, e);
            o.value = next;
            ++*i;
        }
        if (o.row == conf_find(conf_common, "config", 6)) {
            configs[(*n_configs)++] = o.value;
            return 0;
        }
        char what[80];
        snprintf(what, sizeof what, "--%s", name);
        if (o.row == conf_find(conf_common, "color", 5)) return set_color(o.row, what, o.value, e);
        int rc = set_text(c, o.row, what, o.value, e);
        if (rc) return rc;
    }
    c->given[o.row - c->rows] = FROM_ARGS;
    return 0;
}

/* configs: room for argc paths. */
static int read_args(struct conf *c, int argc, char **argv, const char **configs, struct err *e) {
    int rc = 0, n_configs = 0;
    bool options = true;
    for (int i = 0; i < argc && !rc; i++) {
        if (options && !strcmp(argv[i], "--"))
            options = false;
        else if (!options || argv[i][0] != '-' || !argv[i][1]) /* "-" is standard input */
            c->pos[c->n_pos++] = argv[i];
        else
            rc = read_option(c, argc, argv, &i, configs, &n_configs, e);
    }
    for (int i = 0; i < n_configs && !rc; i++) rc = conf_read_file(c, configs[i], e);
    return rc;
}

int conf_parse(struct conf *c, const struct conf_row *rows, void *opts, int argc, char **argv,
               struct err *e) {
    int rc;
    size_t n = 0;
    while (rows[n].type != CONF_T_END) n++;
    *c = (struct conf){.rows = rows, .opts = opts};
    c->given = calloc(n + 1, 1);
    c->pos = calloc((size_t)argc + 1, sizeof *c->pos);
    const char **configs = calloc((size_t)argc + 1, sizeof *configs);
    if (!c->given || !c->pos || !configs) {
        rc = err_set(e, ERR_NOMEM, "no memory for options");
        goto out;
    }
    TRY(set_defaults(c, e));
    for (int i = 0; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            c->help = true;
            c->help_all |= i + 1 < argc && !strcmp(argv[i + 1], "all");
        }
    if (!c->help) TRY(read_args(c, argc, argv, configs, e));
out:
    free(configs);
    return rc;
}

const struct conf_row *conf_row(const struct conf_row *rows, const char *name) {
    return conf_find(rows, name, strlen(name));
}

static bool same_text(const char *a, const char *b) {
    return a && b ? !strcmp(a, b) : a == b;
}

static bool has_pair(const struct conf_pairs *p, const char *key, const char *value) {
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->key[i], key)) return !strcmp(p->value[i], value);
    return false;
}

static bool same_list(const struct conf_list *a, const struct conf_list *b) {
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (strcmp(a->item[i], b->item[i])) return false;
    return a->n == b->n;
}

bool conf_same(const struct conf *a, const struct conf *b, const struct conf_row *row) {
    const void *x = conf_field(a, row), *y = conf_field(b, row);
    const struct conf_pairs *p = x;
    switch (row->type) {
    case CONF_T_BOOL: return *(const bool *)x == *(const bool *)y;
    case CONF_T_INT: return *(const int64_t *)x == *(const int64_t *)y;
    case CONF_T_FLOAT: return *(const double *)x == *(const double *)y;
    case CONF_T_PAIRS:
        for (size_t i = 0; i < p->n_args; i++)
            if (!has_pair(y, p->key[i], p->value[i])) return false;
        return true;
    case CONF_T_STRING:
    case CONF_T_CHOICE: return same_text(*(const char *const *)x, *(const char *const *)y);
    case CONF_T_LIST: return same_list(x, y);
    default: return true;
    }
}

bool conf_given(const struct conf *c, const char *name) {
    const struct conf_row *row = conf_row(c->rows, name);
    assert(row);
    return c->given[row - c->rows] != FROM_DEFAULT;
}

bool conf_from_file(const struct conf *c, const char *name) {
    const struct conf_row *row = conf_row(c->rows, name);
    assert(row);
    return c->given[row - c->rows] == FROM_FILE;
}

void conf_release(struct conf *c) {
    for (size_t i = 0; i < c->n_owned; i++) free(c->owned[i]);
    free(c->owned);
    free(c->pos);
    free(c->given);
    *c = (struct conf){0};
}
