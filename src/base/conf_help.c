#include "conf_impl.h"
#include "term.h"

#include <ctype.h>
#include <string.h>

const struct conf_row conf_common[] = {
    CONF_SECTION("Every command"),
    {.type = CONF_T_STRING,
     .name = "config",
     .arg = "FILE",
     .help = "read options from a JSON object with their names as keys; options given on the "
             "command line win; of several files the later wins"},
    {.type = CONF_T_CHOICE,
     .name = "color",
     .def = "auto",
     .choices = TERM_COLORS,
     .help = "colour on stderr and stdout; auto: on a terminal, unless NO_COLOR is set or TERM is "
             "dumb"},
    {.type = CONF_T_BOOL,
     .name = "help",
     .help = "print this text; --help all: with every option, where that is more",
     .basic = true},
    CONF_END,
};

/* Help ---------------------------------------------------------------------------------------- */

#define HELP_COLUMN 28
#define HELP_WIDTH 96

/* Prints text from column `at` on, broken at blanks, each line starting at HELP_COLUMN. */
static void print_wrapped(FILE *out, size_t at, const char *text) {
    if (at + 2 > HELP_COLUMN) {
        fputc('\n', out);
        at = 0;
    }
    fprintf(out, "%*s", (int)(HELP_COLUMN - at), "");
    at = HELP_COLUMN;
    for (const char *p = text + strspn(text, " "); *p;) {
        size_t n = strcspn(p, " ");
        if (at > HELP_COLUMN && at + 1 + n > HELP_WIDTH) {
            fprintf(out, "\n%*s", HELP_COLUMN, "");
            at = HELP_COLUMN;
        } else if (at > HELP_COLUMN) {
            fputc(' ', out);
            at++;
        }
        fwrite(p, 1, n, out);
        at += n;
        p += n;
        p += strspn(p, " ");
    }
    fputc('\n', out);
}

static void print_row(const struct conf_row *r, bool all, FILE *out) {
    char left[256], help[1024];
    const char *letter = conf_letter(r->name);
    int n = snprintf(left, sizeof left, "  %s%s--%s", letter ? letter : "", letter ? ", " : "",
                     r->name);
    const char *value = r->type == CONF_T_CHOICE ? r->choices : r->arg;
    if (r->type != CONF_T_BOOL && value && n > 0 && (size_t)n < sizeof left) {
        snprintf(left + n, sizeof left - (size_t)n, " %s", value);
        for (char *p = left + n + 1; *p; p++)
            if (r->type == CONF_T_CHOICE && *p == ' ') *p = p[1] ? '|' : '\0';
    }
    fputs(left, out);
    /* 0, -1 and auto stand for what only the whole text says */
    const char *whole = r->help ? r->help : "";
    const bool def = r->def && *r->def &&
                     (all || (strcmp(r->def, "0") && strcmp(r->def, "-1") &&
                              strcmp(r->def, "auto") && r->type != CONF_T_BOOL));
    const int n_help = (int)(all ? strlen(whole) : strcspn(whole, ";"));
    snprintf(help, sizeof help, def ? "%.*s (default %s)" : "%.*s%s", n_help, whole,
             def ? r->def : "");
    print_wrapped(out, strlen(left), help);
}

bool conf_has_short_help(const struct conf_row *rows) {
    while (rows->type != CONF_T_END && !rows->basic) rows++;
    return rows->type != CONF_T_END;
}

void conf_help(const struct conf_row *rows, bool all, FILE *out) {
    const struct conf_row *const parts[] = {rows, conf_common};
    const struct conf_row *section = NULL;
    bool started = false, switches = false;
    int more = 0;
    all |= !conf_has_short_help(rows);
    for (int i = 0; i < 2; i++)
        for (const struct conf_row *r = parts[i]; r->type != CONF_T_END; r++) {
            if (r->type == CONF_T_SECTION) {
                section = r;
                continue;
            }
            if (r->type == CONF_T_GONE || (i && conf_row(rows, r->name))) continue;
            if (!all && !r->basic) {
                more++;
                continue;
            }
            if (section) fprintf(out, "%s%s:\n", started ? "\n" : "", section->help);
            section = NULL;
            print_row(r, all, out);
            if (r->type == CONF_T_BOOL && !i) switches = true;
            started = true;
        }
    if (more) fprintf(out, "\n--help all lists %d more.\n", more);
    if (switches && all)
        fputs("\nAn option without a value, --x, is turned off again by --no-x.\n", out);
}

/* Suggestions --------------------------------------------------------------------------------- */

#define WORD_MAX 48

static size_t min2(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Insertions, deletions, substitutions and swaps of neighbours that turn a into b, both shorter
 * than WORD_MAX (optimal string alignment distance); upper and lower case are the same. */
static size_t distance(const char *a, const char *b) {
    size_t d[3][WORD_MAX + 1], *old = d[0], *last = d[1], *row = d[2];
    size_t na = strlen(a), nb = strlen(b);
    for (size_t j = 0; j <= nb; j++) last[j] = j;
    for (size_t i = 1; i <= na; i++) {
        int ai = tolower((unsigned char)a[i - 1]);
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            int bj = tolower((unsigned char)b[j - 1]);
            row[j] = min2(min2(last[j], row[j - 1]) + 1, last[j - 1] + (ai != bj));
            if (i > 1 && j > 1 && ai == tolower((unsigned char)b[j - 2]) &&
                bj == tolower((unsigned char)a[i - 2]))
                row[j] = min2(row[j], old[j - 2] + 1);
        }
        size_t *t = old;
        old = last;
        last = row;
        row = t;
    }
    return last[nb];
}

const char *conf_suggest(const char *word, const char *const *words, size_t n) {
    size_t len = strlen(word);
    if (len >= WORD_MAX) return NULL;
    /* Up to a third of the word may be wrong, but not all of it. */
    size_t best = min2((len + 2) / 3 + 1, len);
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        if (strlen(words[i]) >= WORD_MAX) continue;
        size_t d = distance(word, words[i]);
        if (d < best) {
            best = d;
            found = words[i];
        }
    }
    return found;
}

const char *conf_suggest_row(const struct conf_row *rows, const char *word, bool as_arg,
                             char buf[64]) {
    const struct conf_row *const parts[] = {rows, conf_common};
    const char *names[256];
    size_t n = 0;
    bool negated = as_arg && !strncmp(word, "no-", 3);
    for (int i = 0; i < (as_arg ? 2 : 1); i++)
        for (const struct conf_row *r = parts[i]; r->type != CONF_T_END && n < 256; r++)
            if (r->name && r->type != CONF_T_GONE && (r->type == CONF_T_BOOL || !negated))
                names[n++] = r->name;
    const char *near = conf_suggest(word + (negated ? 3 : 0), names, n);
    if (near) snprintf(buf, 64, "%s%s", negated ? "no-" : "", near);
    return near ? buf : NULL;
}
