/* Sets of characters. A set is a list of things that PCRE2 takes inside of a class, and of texts
 * that match one character and stand outside: [a[^b]] is (?:[a]|[^b]). */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "onig_impl.h"

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_CLASS 65536 /* bytes that classes in each other may become */

struct set {
    struct tok_bytes inside;  /* of a class */
    struct tok_bytes outside; /* alternatives, "|" in front of each */
    bool cased;               /* has what (?i) would add to */
    bool alone;               /* it is no class */
};

static void set_release(struct set *s) {
    free(s->inside.data);
    free(s->outside.data);
}

/* Alphabetic, M, Nd and Pc. What is Alphabetic and neither L nor M nor Nl are circled letters. */
#define WORD                                                                                       \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"                   \
    "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
/* Oniguruma's \w alone and \b take the superscripts and fractions of Latin-1 too, a class does
 * not. */
const char onig_word[] = WORD "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

/* What Unicode has made alphabetic and lower case since version 14, which PCRE2 10.42 knows; none
 * are new characters. */
#define ALPHA                                                                                      \
    "\\p{Alphabetic}\\x{363}-\\x{36f}\\x{c04}\\x{f82}\\x{f83}\\x{1dd3}-\\x{1de6}\\x{11080}"       \
    "\\x{11081}"
#define LOWER "\\p{Lowercase}\\x{10fc}\\x{a7f2}-\\x{a7f4}\\x{ab69}"

/* ---- properties ----------------------------------------------------------------------------- */

/* Names of sets, as they are after normalising, and the inside of a class that is the set, or that
 * is all but the set. posix: also a POSIX bracket; caseless: (?i) adds nothing. */
static const struct named {
    const char *name, *inside;
    bool not, posix, caseless;
} sets[] = {
    {"alnum", ALPHA "\\p{Nd}", false, true, false},
    {"alpha", ALPHA, false, true, false},
    {"blank", "\\t\\p{Zs}", false, true, true},
    {"cntrl", "\\p{Cc}", false, true, true},
    {"digit", "\\p{Nd}", false, true, true},
    {"graph", "\\t-\\r\\x{85}\\p{Z}\\p{Cc}\\p{Cn}\\p{Cs}", true, true, false},
    {"lower", LOWER, false, true, false},
    {"print", "\\p{Zl}\\p{Zp}\\p{Cc}\\p{Cn}\\p{Cs}", true, true, false},
    {"punct", "\\p{P}\\p{S}", false, true, false},
    {"space", "\\t-\\r\\x{20}\\x{85}\\p{Z}", false, true, true},
    {"upper", "\\p{Uppercase}", false, true, false},
    {"xdigit", "0-9A-Fa-f", false, true, true},
    {"word", WORD, false, true, false},
    {"ascii", "\\x{0}-\\x{7f}", false, true, false},
    {"alphabetic", ALPHA, false, false, false},
    {"lowercase", LOWER, false, false, false},
    {"uppercase", "\\p{Uppercase}", false, false, false},
    {"any", "\\p{Any}", false, false, true},
    {"assigned", "\\P{Cn}", false, false, false},
    {"lc", "\\p{Lu}\\p{Ll}\\p{Lt}", false, false, false},
    {"casedletter", "\\p{Lu}\\p{Ll}\\p{Lt}", false, false, false},
    {"combiningmark", "\\p{M}", false, false, false},
};
enum { PUNCT = 8 };

/* Long names of general categories. The short ones are PCRE2's. */
static const char *const categories[][2] = {
    {"other", "C"},
    {"control", "Cc"},
    {"format", "Cf"},
    {"unassigned", "Cn"},
    {"privateuse", "Co"},
    {"surrogate", "Cs"},
    {"letter", "L"},
    {"lowercaseletter", "Ll"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"titlecaseletter", "Lt"},
    {"uppercaseletter", "Lu"},
    {"mark", "M"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"nonspacingmark", "Mn"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"punct", "P"}, /* the POSIX bracket has symbols too */
    {"punctuation", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"closepunctuation", "Pe"},
    {"finalpunctuation", "Pf"},
    {"initialpunctuation", "Pi"},
    {"otherpunctuation", "Po"},
    {"openpunctuation", "Ps"},
    {"symbol", "S"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"mathsymbol", "Sm"},
    {"othersymbol", "So"},
    {"separator", "Z"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"spaceseparator", "Zs"},
};

/* Adds a set, or all but it, whose inside of a class is known. */
static int add_inside(struct onig *o, struct set *s, const char *inside, bool not) {
    int rc;
    if (!not) return onig_put(o, &s->inside, inside);
    TRY(onig_put(o, &s->outside, "|[^"));
    TRY(onig_put(o, &s->outside, inside));
    TRY(onig_put(o, &s->outside, "]"));
out:
    return rc;
}

/* bracket: of POSIX. */
static const struct named *find_named(const char *name, bool bracket) {
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (!strcmp(sets[i].name, name) && (bracket ? sets[i].posix : i != PUNCT)) return sets + i;
    return NULL;
}

/* Adds one of them, or all but it. */
static int add_named(struct onig *o, struct set *s, const struct named *set, bool not) {
    s->cased |= !set->caseless;
    const bool word = s->alone && !strcmp(set->name, "word");
    return add_inside(o, s, word ? onig_word : set->inside, set->not != not);
}

static bool compiles(const char *pattern) {
    int code;
    PCRE2_SIZE at;
    pcre2_code *c = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                  PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
    pcre2_code_free(c);
    return c != NULL;
}

/* Other properties in which Unicode's versions agree, as far as PCRE2's knows the characters. */
static const char properties[] =
    " asciihexdigit bidicontrol dash defaultignorablecodepoint emoji emojicomponent emojimodifier "
    "emojimodifierbase emojipresentation extendedpictographic hexdigit ideographic idstart "
    "joincontrol math patternsyntax quotationmark radical regionalindicator softdotted "
    "unifiedideograph variationselector whitespace xidstart ";

/* PCRE2's name of a general category, a script or another property; false: it has none. */
static bool pcre2_property(const char *name, char out[64]) {
    char pattern[80];
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++) {
        const bool is_short = strlen(name) <= 2 && !strcasecmp(name, categories[i][1]);
        if (strcmp(name, categories[i][0]) && !is_short) continue;
        snprintf(out, 64, "%s", categories[i][1]);
        return true;
    }
    snprintf(pattern, sizeof pattern, " %s ", name);
    const bool other = strstr(properties, pattern) != NULL;
    snprintf(out, 64, "%s%s", other ? "" : "sc:", name);
    snprintf(pattern, sizeof pattern, "\\p{%s}", out);
    return strlen(name) > 2 && compiles(pattern);
}

/* Properties that (?i) adds nothing to. */
static bool is_caseless(const char *property) {
    static const char *const list[] = {"Nd", "No", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps",
                                       "P",  "Sc", "Sk", "Sm", "Z",  "Zl", "Zp", "Zs", "Cc",
                                       "Cf", "Cn", "Co", "Cs", "C",  "sc:han"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!strcmp(property, list[i])) return true;
    return false;
}

/* ---- building ------------------------------------------------------------------------------- */

/* p{..} and P{..}, at the brace. */
static int add_property(struct onig *o, struct set *s, size_t at, bool not) {
    char name[48], property[64], text[80];
    size_t n = 0;
    const char *end = strchr(o->p + o->at, '}');
    if (!end) return onig_fail(o, at, "the name of a property does not end");
    if (onig_sees(o, "{^", 2)) not = !not, o->at++;
    for (o->at++; o->p + o->at < end; o->at++) {
        const char c = o->p[o->at];
        if (c == ' ' || c == '_' || c == '-') continue;
        const bool upper = c >= 'A' && c <= 'Z';
        if ((!upper && !(c >= 'a' && c <= 'z')) || n + 1 == sizeof name) break;
        name[n++] = upper ? (char)(c | 0x20) : c;
    }
    name[n] = 0;
    const struct named *set = find_named(name, false);
    const bool whole = o->p + o->at == end && n;
    if (!whole || (!set && !pcre2_property(name, property)))
        return onig_fail(o, at, "the property %.*s is not supported",
                         (int)(end - o->p - at > 60 ? 60 : end - o->p - at + 1), o->p + at);
    o->at++;
    if (set) return add_named(o, s, set, not);
    s->cased |= !is_caseless(property);
    snprintf(text, sizeof text, "\\%c{%s}", not ? 'P' : 'p', property);
    return onig_put(o, &s->inside, text);
}

/* What onig_type says, into s. */
static int add_type(struct onig *o, struct set *s, bool *is_set) {
    static const char types[] = "dswh";
    static const char *const names[] = {"digit", "space", "word", "xdigit"};
    const size_t at = o->at - 1;
    const char c = o->p[o->at], *type = strchr(types, c | 0x20);
    *is_set = true;
    if ((c == 'p' || c == 'P') && o->at + 1 < o->n && o->p[o->at + 1] == '{')
        return o->at++, add_property(o, s, at, c == 'P');
    if (!c || !type) return *is_set = false, 0;
    o->at++;
    return add_named(o, s, find_named(names[type - types], true), !(c & 0x20));
}

/* [:alpha:] and [:^alpha:], at the colon. */
static int add_posix(struct onig *o, struct set *s, size_t at) {
    char name[16];
    size_t n = 0;
    const bool not = onig_sees(o, ":^", 2);
    for (o->at += 1 + not; n + 1 < sizeof name && o->at < o->n && o->p[o->at] >= 'a' &&
                           o->p[o->at] <= 'z';)
        name[n++] = o->p[o->at++];
    name[n] = 0;
    const struct named *set = find_named(name, true);
    if (!set || !onig_sees(o, ":]", 2))
        return onig_fail(o, at,
                         "a class that begins with [: and is none of POSIX's is not supported");
    o->at += 2;
    return add_named(o, s, set, not);
}

/* One text that matches a character of the set, or any other character. */
static int render(struct onig *o, const struct set *s, bool not, struct tok_bytes *out) {
    int rc;
    const char *inside = s->inside.n ? s->inside.data : "";
    const char *outside = s->outside.n ? s->outside.data + 1 : NULL; /* without the first "|" */
    if (out->n + s->inside.n + s->outside.n > MAX_CLASS)
        return onig_fail(o, o->at, "classes in each other are too long");
    if (outside && !not) {
        TRY(onig_put(o, out, "(?:"));
        TRY(onig_put(o, out, outside));
        if (*inside) TRY(onig_put(o, out, "|"));
    } else if (outside) {
        TRY(onig_put(o, out, "(?:(?!"));
        TRY(onig_put(o, out, outside));
        TRY(onig_put(o, out, ")"));
        if (!*inside) TRY(onig_put(o, out, "(?s:.)"));
    }
    if (*inside || !outside) {
        TRY(onig_put(o, out, not ? "[^" : "["));
        TRY(onig_put(o, out, inside));
        TRY(onig_put(o, out, "]"));
    }
    if (outside) TRY(onig_put(o, out, ")"));
out:
    return rc;
}

int onig_type(struct onig *o, bool *is_set) {
    int rc;
    struct set s = {.alone = true};
    const bool i = o->opts & ONIG_I;
    TRY(add_type(o, &s, is_set));
    if (!*is_set) goto out;
    /* outside of a class (?i) changes none of them, but PCRE2 would */
    if (i) TRY(onig_put(o, &o->out, "(?-i:"));
    TRY(render(o, &s, false, &o->out));
    if (i) TRY(onig_put(o, &o->out, ")"));
out:
    set_release(&s);
    return rc;
}

/* ---- classes -------------------------------------------------------------------------------- */

static int class(struct onig *o, size_t at, struct set *up);

/* One character of a class, or a set that is added. */
static int read_item(struct onig *o, struct set *s, uint32_t *cp, bool *is_char) {
    int rc = 0;
    const size_t at = o->at;
    bool is_set;
    *is_char = true;
    if (o->p[at] != '\\') return *cp = onig_next(o), 0;
    o->at++;
    TRY(onig_escape(o, true, cp, is_char));
    if (*is_char) goto out;
    TRY(add_type(o, s, &is_set));
    if (!is_set) return onig_fail(o, at, "\\%c in a class is not supported", o->p[at + 1]);
out:
    return rc;
}

/* True at a minus sign that makes a range: not the last of the class. */
static bool at_range(const struct onig *o) {
    return onig_sees(o, "-", 1) && !onig_sees(o, "-]", 2);
}

static int add_range(struct onig *o, struct set *s, size_t at, uint32_t from, uint32_t to) {
    int rc;
    uint32_t folded[3];
    if (from > to) return onig_fail(o, at, "the range ends before it begins");
    s->cased |= to >= 0x80 && (from != to || onig_fold(from, folded) != 1);
    TRY(onig_put_char(o, &s->inside, from));
    if (from == to) goto out;
    TRY(onig_put(o, &s->inside, "-"));
    TRY(onig_put_char(o, &s->inside, to));
out:
    return rc;
}

/* A character, a range, or a type such as \d. */
static int read_range(struct onig *o, struct set *s) {
    int rc;
    const size_t at = o->at;
    uint32_t from, to;
    bool is_char;
    TRY(read_item(o, s, &from, &is_char));
    to = from;
    if (is_char && at_range(o)) {
        struct set none = {0};
        o->at++;
        const bool nested = onig_sees(o, "[", 1) || onig_sees(o, "&&", 2) || o->at == o->n;
        rc = nested ? 0 : read_item(o, &none, &to, &is_char);
        set_release(&none);
        if (rc) return rc;
        if (nested || !is_char)
            return onig_fail(o, at, "a range whose end is no character is not supported");
        if (at_range(o) && onig_sees(o, "--", 2))
            return onig_fail(o, o->at, "a range behind a range is not supported");
        if (at_range(o)) { /* a minus sign behind a range is one */
            o->at++;
            TRY(add_range(o, s, at, '-', '-'));
        }
    } else if (!is_char && at_range(o)) {
        return onig_fail(o, at, "a range that begins with a set is not supported");
    }
    if (is_char) TRY(add_range(o, s, at, from, to));
out:
    return rc;
}

/* One operand of &&: up to the bracket or to the next &&. first: of its class, where a bracket is a
 * character. */
static int read_union(struct onig *o, size_t at, struct set *s, bool first, bool *nested) {
    int rc = 0;
    for (;; first = false) {
        if (o->at == o->n) return onig_fail(o, at, "the class does not end");
        const size_t here = o->at;
        if (onig_sees(o, "&&", 2)) return 0;
        if (onig_sees(o, "]", 1)) {
            if (!first) return 0;
            const bool closed = strchr(o->p + o->at + 1, ']') != NULL;
            if (!closed) return onig_fail(o, at, "the class is empty, or does not end");
        }
        if (onig_sees(o, "[:", 2)) {
            o->at++;
            TRY(add_posix(o, s, here));
        } else if (onig_sees(o, "[", 1)) {
            o->at++;
            *nested = true;
            TRY(class(o, here, s));
        } else {
            TRY(read_range(o, s));
        }
    }
out:
    return rc;
}

/* Adds the operand to what is looked ahead for, in front of the last one. */
static int and_then(struct onig *o, const struct set *s, struct tok_bytes *ahead) {
    int rc;
    TRY(onig_put(o, ahead, "(?="));
    TRY(render(o, s, false, ahead));
    TRY(onig_put(o, ahead, ")"));
out:
    return rc;
}

/* A class inside of another, or the whole one: adds it to up. */
static int class(struct onig *o, size_t at, struct set *up) {
    int rc;
    struct set s = {0};
    struct tok_bytes ahead = {0};
    bool nested = false;
    if (++o->depth > ONIG_DEPTH)
        return onig_fail(o, at, "more than %d classes in each other", ONIG_DEPTH);
    const bool not = onig_sees(o, "^", 1);
    o->at += not;
    for (;; o->at += 2) {
        TRY(read_union(o, at, &s, !ahead.n, &nested));
        if (!s.inside.n && !s.outside.n) {
            rc = onig_fail(o, o->at, "an operand of && without characters is not supported");
            goto out;
        }
        if (onig_sees(o, "]", 1)) break;
        TRY(and_then(o, &s, &ahead));
        up->cased |= s.cased;
        set_release(&s);
        s = (struct set){0};
    }
    o->at++;
    if ((o->opts & ONIG_I) && (nested || ahead.n || s.cased)) {
        rc = onig_fail(o, at, "this class is not supported under (?i): (?i) may add to it");
        goto out;
    }
    up->cased |= s.cased;
    if (!ahead.n && !not) {
        TRY(onig_put(o, &up->inside, s.inside.n ? s.inside.data : ""));
        TRY(onig_put(o, &up->outside, s.outside.n ? s.outside.data : ""));
    } else if (!ahead.n) {
        TRY(onig_put(o, &up->outside, "|"));
        TRY(render(o, &s, true, &up->outside));
    } else {
        TRY(onig_put(o, &up->outside, not ? "|(?:(?!" : "|(?:"));
        TRY(onig_put(o, &up->outside, ahead.data));
        TRY(render(o, &s, false, &up->outside));
        TRY(onig_put(o, &up->outside, not ? ")(?s:.))" : ")"));
    }
out:
    o->depth--;
    free(ahead.data);
    set_release(&s);
    return rc;
}

int onig_class(struct onig *o) {
    int rc;
    struct set s = {0};
    TRY(class(o, o->at - 1, &s));
    /* the only class there is needs no alternatives */
    TRY(s.inside.n || memchr(s.outside.data + 1, '|', s.outside.n - 1)
            ? render(o, &s, false, &o->out)
            : onig_put(o, &o->out, s.outside.data + 1));
out:
    set_release(&s);
    return rc;
}
