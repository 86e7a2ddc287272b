#include "onig_impl.h"

#include "map.h"
#include "unicode.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_REPEAT 65535 /* PCRE2's */

int onig_fail(const struct onig *o, size_t at, const char *fmt, ...) {
    char why[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return err_set(o->e, ERR_INPUT, "the pattern %.200s: at byte %zu: %s", o->p, at, why);
}

int onig_put(struct onig *o, struct tok_bytes *b, const char *s) {
    const size_t n = strlen(s);
    if (grow(&b->data, &b->cap, b->n + n + 1, 1))
        return err_set(o->e, ERR_NOMEM, "no memory for a pattern");
    memcpy(b->data + b->n, s, n + 1);
    b->n += n;
    return 0;
}

/* ---- repeats -------------------------------------------------------------------------------- */

struct repeat {
    uint32_t low, high; /* high: UINT32_MAX: any number */
    char kind;          /* ' ' greedy, '?' lazy, '+' possessive */
};

static void skip_blanks(struct onig *o) {
    for (;;) {
        if (onig_sees(o, "(?#", 3)) {
            const char *end = o->p + o->at;
            while (*end && *end != ')') end += *end == '\\' && end[1] ? 2 : 1;
            if (!*end) return; /* the group's reader complains */
            o->at = (size_t)(end - o->p) + 1;
        } else if ((o->opts & ONIG_X) && o->at < o->n && strchr(" \t\n\r\f", o->p[o->at])) {
            o->at++;
        } else if ((o->opts & ONIG_X) && onig_sees(o, "#", 1)) {
            while (o->at < o->n && o->p[o->at] != '\n') o->at++;
        } else {
            return;
        }
    }
}

/* {n}, {n,}, {,n} or {n,m}; anything else is text, and `at` stays. */
static bool interval(struct onig *o, struct repeat *r) {
    const size_t start = o->at++;
    const size_t low = onig_digits(o, 10, 6, &r->low);
    size_t high = 0;
    const bool comma = onig_sees(o, ",", 1);
    o->at += comma;
    if (comma) high = onig_digits(o, 10, 6, &r->high);
    const bool good = (low || high) && onig_sees(o, "}", 1);
    if (!comma)
        r->high = r->low;
    else if (!high)
        r->high = UINT32_MAX;
    o->at = good ? o->at + 1 : start;
    return good;
}

static int read_repeat(struct onig *o, struct repeat *r, bool *some) {
    const size_t at = o->at;
    *r = (struct repeat){0, UINT32_MAX, ' '};
    *some = false;
    if (o->at == o->n) return 0;
    const char c = o->p[o->at];
    if (c == '{') {
        if (!interval(o, r)) return 0;
        *some = true;
        if (r->low > r->high || r->low > MAX_REPEAT ||
            (r->high > MAX_REPEAT && r->high != UINT32_MAX))
            return onig_fail(o, at, "a repeat of %u to %u times is not supported",
                             (unsigned)r->low, (unsigned)r->high);
        if (!onig_sees(o, "?", 1)) return 0;
        o->at++;
        /* {n}? is no lazy repeat, there is nothing to choose: perhaps once {n} */
        r->kind = r->low == r->high ? '0' : '?';
        return 0;
    }
    if (c != '*' && c != '+' && c != '?') return 0;
    *some = true;
    r->low = c == '+';
    if (c == '?') r->high = 1;
    o->at++;
    if (onig_sees(o, "?", 1) || onig_sees(o, "+", 1)) r->kind = o->p[o->at++];
    return 0;
}

static int wrap(struct onig *o, size_t start) {
    int rc;
    TRY(onig_put(o, &o->out, "(?:)"));
    memmove(o->out.data + start + 3, o->out.data + start, o->out.n - 4 - start);
    memcpy(o->out.data + start, "(?:", 3);
    o->out.data[o->out.n - 1] = ')';
out:
    return rc;
}

static int put_repeat(struct onig *o, const struct repeat *r) {
    char text[40];
    if (r->low <= 1 && r->high == UINT32_MAX)
        snprintf(text, sizeof text, "%c", r->low ? '+' : '*');
    else if (r->high == UINT32_MAX)
        snprintf(text, sizeof text, "{%u,}", (unsigned)r->low);
    else
        snprintf(text, sizeof text, "{%u,%u}", (unsigned)r->low, (unsigned)r->high);
    const char kind[2] = {r->kind == ' ' || r->kind == '0' ? 0 : r->kind, 0};
    int rc = onig_put(o, &o->out, text);
    return rc ? rc : onig_put(o, &o->out, kind);
}

/* Greedy ?, *, + or what is the same. */
static bool is_simple(const struct repeat *r) {
    return r->kind == ' ' && r->low <= 1 && (r->high == 1 || r->high == UINT32_MAX);
}

/* One repeat of what stands at `start`, of which the repeat `before` ends at the end. */
static int add_repeat(struct onig *o, size_t start, size_t end, const struct repeat *before,
                      struct repeat *r) {
    int rc;
    if (end && is_simple(before) && is_simple(r)) { /* (?:a+)? is a*: as fast, as Oniguruma does */
        o->out.n = end;
        r->low &= before->low;
        if (before->high > r->high) r->high = before->high;
    } else if (end) {
        TRY(wrap(o, start));
    }
    TRY(put_repeat(o, r));
    if (r->kind == '0') {
        TRY(wrap(o, start));
        TRY(onig_put(o, &o->out, "?"));
    }
out:
    return rc;
}

/* The repeats behind what stands at `start` of the output; can: whether that may be repeated.
 * *empty: it can match nothing, before and after. */
static int repeats(struct onig *o, size_t start, bool can, bool *empty, bool *repeated) {
    int rc;
    struct repeat r, before = {0};
    size_t end = 0;
    *repeated = false;
    for (bool some;; before = r) {
        skip_blanks(o);
        const size_t at = o->at, n = o->out.n;
        TRY(read_repeat(o, &r, &some));
        if (!some) return 0;
        if (!can) return onig_fail(o, at, "there is nothing here that can be repeated");
        if (end && (before.kind == '?' || r.kind == '?'))
            return onig_fail(o, at, "a repeat of a repeat, one of them lazy, is not supported");
        if (*empty && (r.low > 1 || (r.high > 1 && r.high != UINT32_MAX)))
            return onig_fail(o, at,
                             "a number of repeats of what may match nothing is not supported");
        TRY(add_repeat(o, start, end, &before, &r));
        end = end && is_simple(&before) && is_simple(&r) ? end : n;
        *repeated = true;
        *empty |= r.low == 0 || r.kind == '0';
    }
out:
    return rc;
}

/* ---- groups --------------------------------------------------------------------------------- */

static int alternatives(struct onig *o, bool *empty);

/* The inside of a group up to its parenthesis, with these options; head: what begins it. */
static int group(struct onig *o, size_t at, const char *head, unsigned opts, bool *empty) {
    int rc;
    const unsigned outer = o->opts;
    if (++o->depth > ONIG_DEPTH)
        return onig_fail(o, at, "more than %d groups in each other", ONIG_DEPTH);
    TRY(onig_put(o, &o->out, head));
    if ((opts ^ outer) & ONIG_I) TRY(onig_put(o, &o->out, opts & ONIG_I ? "(?i)" : "(?-i)"));
    o->opts = opts;
    TRY(alternatives(o, empty));
    o->opts = outer;
    if (o->at == o->n) return onig_fail(o, at, "the group has no closing parenthesis");
    o->at++;
    TRY(onig_put(o, &o->out, ")"));
    o->depth--;
out:
    return rc;
}

/* (?imx-imx) and (?imx-imx:...), behind "(?". */
static int options(struct onig *o, size_t at, bool *empty) {
    int rc;
    unsigned opts = o->opts;
    bool off = false;
    for (; o->at < o->n && o->p[o->at] != ')' && o->p[o->at] != ':'; o->at++) {
        const char c = o->p[o->at];
        const unsigned bit = c == 'i' ? ONIG_I : c == 'm' ? ONIG_M : c == 'x' ? ONIG_X : 0;
        if (c == '-' && !off)
            off = true;
        else if (bit)
            opts = off ? opts & ~bit : opts | bit;
        else
            return onig_fail(o, at, "a group that begins with (?%.*s is not supported",
                             (int)(o->at - at > 12 ? 12 : o->at - at - 1), o->p + at + 2);
    }
    if (o->at == o->n) return onig_fail(o, at, "the group has no closing parenthesis");
    if (o->p[o->at++] == ':') return group(o, at, "(?:", opts, empty);
    /* alone it holds for the rest of the group: as if that were a group of its own */
    const unsigned outer = o->opts;
    if (++o->depth > ONIG_DEPTH)
        return onig_fail(o, at, "more than %d groups in each other", ONIG_DEPTH);
    TRY(onig_put(o, &o->out, "(?:"));
    if ((opts ^ outer) & ONIG_I) TRY(onig_put(o, &o->out, opts & ONIG_I ? "(?i)" : "(?-i)"));
    o->opts = opts;
    TRY(alternatives(o, empty));
    o->opts = outer;
    TRY(onig_put(o, &o->out, ")"));
    o->depth--;
out:
    return rc;
}

/* A name up to `end`, as PCRE2 takes it. */
static int name_of(struct onig *o, size_t at, char end, char name[33]) {
    size_t n = 0;
    for (; o->at < o->n && o->p[o->at] != end; o->at++) {
        const char c = o->p[o->at];
        const bool good = c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (n && c >= '0' && c <= '9');
        if (!good || n == 32)
            return onig_fail(o, at,
                             "a name is supported if it has at most 32 letters, digits and _, "
                             "and no digit first");
        name[n++] = c;
    }
    name[n] = 0;
    if (!n || o->at == o->n) return onig_fail(o, at, "a name is missing, or does not end");
    o->at++;
    return 0;
}

/* Behind "(". *assertion: it takes no text and cannot be repeated. *empty: it can match nothing. */
static int parenthesis(struct onig *o, size_t at, bool *assertion, bool *empty) {
    static const struct {
        const char *s;
        bool assertion;
    } heads[] = {{"?:", false}, {"?>", false}, {"?=", true}, {"?!", true}, {"?<=", true},
                 {"?<!", true}};
    char head[48], name[33];
    int rc;
    *assertion = false;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        if (!onig_sees(o, heads[i].s, strlen(heads[i].s))) continue;
        o->at += strlen(heads[i].s);
        *assertion = heads[i].assertion;
        if (i) o->run_n = 0;
        snprintf(head, sizeof head, "(%s", heads[i].s);
        return group(o, at, head, o->opts, empty);
    }
    o->run_n = 0;
    if (onig_sees(o, "?<", 2) || onig_sees(o, "?'", 2)) {
        const char end = o->p[o->at + 1] == '<' ? '>' : '\'';
        o->at += 2;
        TRY(name_of(o, at, end, name));
        snprintf(head, sizeof head, "(?<%s>", name);
        return group(o, at, head, o->opts, empty);
    }
    if (onig_sees(o, "?", 1)) return o->at++, options(o, at, empty);
    if (onig_sees(o, "*", 1)) return onig_fail(o, at, "callouts (*...) are not supported");
    if (!o->named) o->groups++;
    return group(o, at, o->named ? "(?:" : "(", o->opts, empty);
out:
    return rc;
}

/* ---- what stands alone ---------------------------------------------------------------------- */

/* \1, \k<1>, \k<name>, behind the backslash. */
static int back_reference(struct onig *o, size_t at) {
    int rc;
    char name[33], text[48];
    uint32_t number = 0;
    if (o->opts & ONIG_I) return onig_fail(o, at, "a back reference under (?i) is not supported");
    const bool k = o->p[o->at] == 'k';
    const char end = k && onig_sees(o, "k<", 2) ? '>' : k && onig_sees(o, "k'", 2) ? '\'' : 0;
    if (k) {
        if (!end) return onig_fail(o, at, "\\k without a name is not supported");
        o->at += 2;
    }
    if (!k || (o->at < o->n && onig_digit(o->p[o->at], 10) >= 0)) {
        onig_digits(o, 10, 4, &number);
        if (k && !onig_sees(o, &end, 1)) return onig_fail(o, at, "\\k<number> does not end");
        o->at += k;
        if (o->named || number < 1 || number > 9 || (int)number > o->groups)
            return onig_fail(o, at,
                             "a back reference to group %u is not supported: there is none of this "
                             "number before, or it is beyond 9",
                             (unsigned)number);
        snprintf(text, sizeof text, "\\g{%u}", (unsigned)number);
    } else {
        TRY(name_of(o, at, end, name));
        snprintf(text, sizeof text, "\\k<%s>", name);
    }
    TRY(onig_put(o, &o->out, text));
out:
    return rc;
}

/* What a backslash and a letter stand for, that is neither a character nor a set of them. */
static int special(struct onig *o, size_t at, bool *assertion) {
    static const struct {
        char c;
        bool assertion;
        const char *text;
    } rows[] = {{'A', true, "\\A"},
                {'z', true, "\\z"},
                {'Z', true, "(?=\\n?\\z)"},
                {'G', true, "\\G"},
                {'K', true, "\\K"},
                {'R', false, "(?>\\r\\n|[\\n-\\r\\x{85}\\x{2028}\\x{2029}])"},
                {'N', false, "[^\\n]"},
                {'O', false, "(?s:.)"}};
    char text[1200];
    const char c = o->p[o->at];
    if (c == 'k' || (c >= '1' && c <= '9')) return back_reference(o, at);
    o->at++;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].c == c)
            return *assertion = rows[i].assertion, onig_put(o, &o->out, rows[i].text);
    if (c != 'b' && c != 'B') return onig_fail(o, at, "\\%c is not supported", c);
    *assertion = true;
    snprintf(text, sizeof text,
             c == 'b' ? "(?:(?<=[%s])(?![%s])|(?<![%s])(?=[%s]))"
                      : "(?:(?<=[%s])(?=[%s])|(?<![%s])(?![%s]))",
             onig_word, onig_word, onig_word, onig_word);
    return onig_put(o, &o->out, text);
}

/* One thing, without what repeats it. literal: a character, which is in *cp. */
static int atom(struct onig *o, bool *literal, bool *assertion, bool *empty, uint32_t *cp) {
    int rc;
    const size_t at = o->at;
    bool is_char, is_set;
    *literal = *assertion = *empty = false;
    switch (o->p[at]) {
    case '(': return o->at++, parenthesis(o, at, assertion, empty);
    case '[': return o->at++, o->run_n = 0, onig_class(o);
    case '.':
        o->run_n = 0;
        return o->at++, onig_put(o, &o->out, o->opts & ONIG_M ? "(?s:.)" : "[^\\n]");
    case '^':
        *assertion = true;
        return o->at++, onig_put(o, &o->out, "(?:\\A|(?<=\\n)(?!\\z))");
    case '$':
        *assertion = true;
        return o->at++, onig_put(o, &o->out, "(?=\\n|\\z)");
    case '*':
    case '+':
    case '?': return onig_fail(o, at, "there is nothing here that can be repeated");
    case '\\':
        o->at++;
        TRY(onig_escape(o, false, cp, &is_char));
        if (is_char) break;
        o->run_n = 0;
        TRY(onig_type(o, &is_set));
        *empty = o->p[at + 1] == 'k' || (o->p[at + 1] >= '1' && o->p[at + 1] <= '9');
        return is_set ? 0 : special(o, at, assertion);
    default: *cp = onig_next(o);
    }
    *literal = true;
    TRY(onig_put_char(o, &o->out, *cp));
out:
    return rc;
}

static int branch(struct onig *o, bool *empty) {
    int rc = 0;
    *empty = true;
    for (;;) {
        bool literal, assertion, nothing, repeated;
        uint32_t cp = 0;
        struct repeat none;
        skip_blanks(o);
        if (o->at == o->n || o->p[o->at] == '|' || o->p[o->at] == ')') return 0;
        const size_t at = o->at, start = o->out.n;
        if (o->p[at] == '{') {
            TRY(read_repeat(o, &none, &repeated));
            if (repeated) return onig_fail(o, at, "there is nothing here that can be repeated");
        }
        TRY(atom(o, &literal, &assertion, &nothing, &cp));
        TRY(repeats(o, start, !assertion, &nothing, &repeated));
        *empty &= nothing || assertion;
        if (!literal || !(o->opts & ONIG_I)) continue;
        TRY(onig_check_fold(o, at, cp, repeated));
    }
out:
    return rc;
}

/* Up to a closing parenthesis or the end. *empty: one of them can match nothing. */
static int alternatives(struct onig *o, bool *empty) {
    int rc;
    bool nothing;
    *empty = false;
    for (;;) {
        TRY(branch(o, &nothing));
        *empty |= nothing;
        if (o->at == o->n || o->p[o->at] == ')') return 0;
        o->at++;
        o->run_n = 0;
        TRY(onig_put(o, &o->out, "|"));
    }
out:
    return rc;
}

/* A group with a name anywhere, or what looks like one. */
static bool has_names(const char *p) {
    for (; *p; p++) {
        if (*p == '\\' && p[1]) {
            p++;
            continue;
        }
        if (!strncmp(p, "(?'", 3)) return true;
        if (!strncmp(p, "(?<", 3) && p[3] != '=' && p[3] != '!') return true;
    }
    return false;
}

int onig_to_pcre2(const char *pattern, char **out, struct err *e) {
    int rc;
    uint32_t cp;
    bool empty;
    struct onig o = {.p = pattern, .n = strlen(pattern), .e = e, .named = has_names(pattern)};
    *out = NULL;
    unicode_init();
    for (size_t i = 0, len; i < o.n; i += len)
        if (!(len = utf8_read(pattern + i, o.n - i, &cp)))
            return err_set(e, ERR_INPUT, "the pattern: byte 0x%02x at %zu is not UTF-8",
                           (unsigned)(uint8_t)pattern[i], i);
    TRY(onig_put(&o, &o.out, ""));
    TRY(alternatives(&o, &empty));
    if (o.at < o.n) {
        rc = onig_fail(&o, o.at, "a closing parenthesis without a group");
        goto out;
    }
    *out = o.out.data;
    o.out.data = NULL;
out:
    free(o.out.data);
    return rc;
}
