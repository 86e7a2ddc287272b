#include "search_verbs.h"

#include <string.h>

#define O struct search_opts
const struct conf_row search_rows[] = {
    CONF_SECTION("A search"),
    CONF_STRING(O, out, "out", NULL, "DIR", "folder of a new search"),
    CONF_STRING(O, resume, "resume", NULL, "DIR", "go on with the search in this folder"),
    CONF_BOOL(O, dry_run, "dry-run",
              "say what would be tried, and what it takes of time, memory and disk, and stop"),
    CONF_INT(O, jobs, "jobs", "0", 0, 4096,
             "trials at a time, each with its share of the processors; 0: what the file says"),
    CONF_INT(O, trials, "trials", "0", 0, 1000000,
             "configurations in all, the base included; 0: what the file says. With --resume: go "
             "on to so many"),
    CONF_BOOL(O, json, "json", "print the result as JSON"),
    CONF_BOOL(O, quiet, "quiet", "on stderr only warnings and errors"),
    CONF_END};
#undef O

const struct search_verb search_verbs[] = {
    {.word = NULL},
};

const struct search_verb *search_verb(const char *word) {
    for (const struct search_verb *v = search_verbs; v->word; v++)
        if (!strcmp(v->word, word)) return v;
    return NULL;
}

static bool has_word(const char *words, const char *word) {
    const size_t n = strlen(word);
    for (const char *p = words; (p = strstr(p, word)); p += n)
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || !p[n])) return true;
    return false;
}

int search_takes(const char *what, const char *takes, const struct conf *c, struct err *e) {
    for (const struct conf_row *r = c->rows; r->type != CONF_T_END; r++)
        if (r->name && conf_given(c, r->name) && !has_word(takes, r->name))
            return err_set(e, ERR_USAGE, "--%s has no effect on %s", r->name, what);
    return 0;
}
