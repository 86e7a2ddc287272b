#include "moves.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define X(name) [ROLE_##name] = #name,
static const char *const role_names[ROLE_COUNT] = {ROLES(X)};
#undef X
#define X(name) #name " "
static const char role_words[] = ROLES(X);
#undef X

/* As far as anything may go beside the rest, and as little: squares of it are added up in f32, and
 * what moves by less is lost in the weights. */
static const double MOST = 1e6, LEAST = 1e-6;

struct word {
    char name[sizeof((struct param *)0)->name];
    bool still, scaled; /* !name; name=X */
    float move;
};

/* The word at *at, which is moved on behind it and its comma. */
static int read_word(const char **at, struct word *w, struct err *e) {
    const char *text = *at, *name = text + (*text == '!');
    const size_t size = strcspn(text, ","), n = strcspn(name, ",=");
    *w = (struct word){.still = *text == '!', .scaled = name[n] == '=', .move = *text != '!'};
    if (n >= sizeof w->name)
        return err_set(e, ERR_USAGE,
                       "--perturb: \"%.40s...\" is a word of %zu bytes, expected at most the %zu "
                       "of a tensor's name",
                       name, n, sizeof w->name - 1);
    if (!n)
        return err_set(e, ERR_USAGE, "--perturb: \"%.*s\" names nothing: expected words such as "
                       "matrix, !embed, *.layers.3.* or norm=0.1 with commas between them",
                       (int)(size < 80 ? size : 80), text);
    memcpy(w->name, name, n);
    if (w->scaled) {
        char *end;
        const double x = strtod(name + n + 1, &end);
        if (w->still || end != text + size || end == name + n + 1 || !(x >= LEAST && x <= MOST))
            return err_set(e, ERR_USAGE,
                           "--perturb: \"%.*s\": expected a number from %g to %g behind =%s",
                           (int)(size < 80 ? size : 80), text, LEAST, MOST,
                           w->still ? ", and no ! before"
                                    : "; what is not to move has ! before it");
        w->move = (float)x;
    }
    *at = text + size + (text[size] == ',');
    if (text[size] == ',' && !**at)
        return err_set(e, ERR_USAGE, "--perturb: no word behind the last comma of \"%.80s\"", text);
    return 0;
}

static bool names(const struct word *w, const struct param *p) {
    return !strcmp(w->name, role_names[p->role]) || !fnmatch(w->name, p->name, FNM_NOESCAPE);
}

int moves_check(const char *words, struct err *e) {
    struct word w;
    int rc = 0;
    if (!*words) return err_set(e, ERR_USAGE, "--perturb: no words, expected some such as matrix");
    while (*words && !rc) rc = read_word(&words, &w, e);
    return rc;
}

static int nothing_named(const struct word *w, const struct param *params, int n, struct err *e) {
    bool any = false;
    for (int i = 0; i < n; i++) any = any || names(w, params + i);
    if (any)
        return err_set(e, ERR_USAGE, "--perturb: the weights that \"%s\" names are not trained",
                       w->name);
    return err_set(e, ERR_USAGE,
                   "--perturb: \"%s\" names no weight: expected a role (%.*s) or a pattern for "
                   "names of tensors such as *.layers.3.*",
                   w->name, (int)strlen(role_words) - 1, role_words);
}

int moves_apply(const char *words, struct param *params, int n, struct err *e) {
    struct word w;
    bool all = true, moves = false;
    int rc = 0;
    for (const char *at = words; *at;) {
        TRY(read_word(&at, &w, e));
        all = all && (w.still || w.scaled);
    }
    for (int i = 0; i < n; i++) params[i].move = all;
    for (const char *at = words; *at;) {
        bool any = false;
        TRY(read_word(&at, &w, e));
        for (int i = 0; i < n; i++) {
            if (!params[i].trainable || !names(&w, params + i)) continue;
            params[i].move = w.move;
            any = true;
        }
        if (!any) return nothing_named(&w, params, n, e);
    }
    for (int i = 0; i < n; i++) {
        params[i].trainable = params[i].trainable && params[i].move > 0;
        moves = moves || params[i].trainable;
    }
    if (!moves) rc = err_set(e, ERR_USAGE, "--perturb %s: no weight is left that moves", words);
out:
    return rc;
}
