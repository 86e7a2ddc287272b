#define PCRE2_CODE_UNIT_WIDTH 8
#include "pretok.h"

#include "map.h"
#include "unicode.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* One call of pretok_run: what every level of the recursion needs. */
struct run {
    const struct pretok *p;
    struct pretok_scratch *s;
    pretok_fn *emit;
    void *ctx;
    struct err *e;
};

static int run_step(const struct run *r, int step, const char *text, size_t n);

/* 's 't 'm 'd 're 've 'll at an apostrophe: bytes of it, or 0. */
static size_t contraction(const char *s, size_t n) {
    if (n < 2) return 0;
    if (s[1] == 's' || s[1] == 't' || s[1] == 'm' || s[1] == 'd') return 2;
    if (n < 3) return 0;
    return (s[1] == 'r' && s[2] == 'e') || (s[1] == 'v' && s[2] == 'e') ||
                   (s[1] == 'l' && s[2] == 'l')
               ? 3
               : 0;
}

/* End of the run of one class from pos on; *last: start of its last character. */
static size_t class_run(const char *text, size_t n, size_t pos, enum unicode_class class,
                        size_t *last) {
    while (pos < n) {
        size_t len;
        if (unicode_at(text + pos, n - pos, &len) != class) break;
        *last = pos;
        pos += len;
    }
    return pos;
}

size_t pretok_gpt2(const char *text, size_t n, size_t pos) {
    size_t len, last = pos;
    if (text[pos] == '\'' && (len = contraction(text + pos, n - pos))) return pos + len;
    enum unicode_class class = unicode_at(text + pos, n - pos, &len);
    if (class != UNICODE_SPACE) return class_run(text, n, pos + len, class, &last);
    if (text[pos] == ' ' && pos + 1 < n) { /* a blank belongs to the word after it */
        class = unicode_at(text + pos + 1, n - pos - 1, &len);
        if (class != UNICODE_SPACE) return class_run(text, n, pos + 1 + len, class, &last);
    }
    size_t end = class_run(text, n, pos, UNICODE_SPACE, &last);
    return end == n || last == pos ? end : last; /* \s+(?!\S) leaves one before a word */
}

bool pretok_cuts_lines(const struct pretok *p) {
    bool words = false;
    for (int i = 0; i < p->n; i++) {
        enum pretok_op op = p->step[i].op;
        if (op != PRETOK_GPT2 && op != PRETOK_DIGITS && op != PRETOK_DIGIT) return false;
        words |= op == PRETOK_GPT2;
    }
    return words;
}

/* A visible ASCII character: no blank, and never inside a longer one. */
static bool visible(char c) {
    return c > ' ' && c < 0x7f;
}

size_t pretok_line_cut(const char *text, size_t n, size_t from) {
    for (size_t at = from < 2 ? 2 : from; at < n; at++) {
        const char *line = memchr(text + at - 1, '\n', n - at);
        if (!line) break;
        at = (size_t)(line - text) + 1;
        if (visible(text[at - 2]) && visible(text[at])) return at;
    }
    return n;
}

static int run_gpt2(const struct run *r, int step, const char *text, size_t n) {
    for (size_t pos = 0, end; pos < n; pos = end) {
        end = pretok_gpt2(text, n, pos);
        int rc = run_step(r, step + 1, text + pos, end - pos);
        if (rc) return rc;
    }
    return 0;
}

static int run_digits(const struct run *r, int step, const char *text, size_t n, bool each) {
    size_t start = 0, len;
    bool number = false;
    for (size_t pos = 0; pos < n; pos += len) {
        bool now = unicode_at(text + pos, n - pos, &len) == UNICODE_NUMBER;
        if (pos > start && (now != number || (now && each))) {
            int rc = run_step(r, step + 1, text + start, pos - start);
            if (rc) return rc;
            start = pos;
        }
        number = now;
    }
    return start < n ? run_step(r, step + 1, text + start, n - start) : 0;
}

/* Hands on the text between two matches (if any) and the match. */
static int run_split(const struct run *r, int step, const char *text, size_t done, size_t from,
                     size_t to) {
    int rc = from > done ? run_step(r, step + 1, text + done, from - done) : 0;
    return rc || to == from ? rc : run_step(r, step + 1, text + from, to - from);
}

static int run_literal(const struct run *r, int step, const char *text, size_t n) {
    const char *literal = r->p->step[step].literal, *hit;
    size_t len = strlen(literal), done = 0;
    while ((hit = memmem(text + done, n - done, literal, len))) {
        size_t at = (size_t)(hit - text);
        int rc = run_split(r, step, text, done, at, at + len);
        if (rc) return rc;
        done = at + len;
    }
    return run_split(r, step, text, done, n, n);
}

/* A copy with every byte that is not UTF-8 replaced by U+0001, which is one byte of class other
 * too, so that offsets stay the same; text itself if nothing had to be replaced. NULL: no memory.
 */
static const char *well_formed(struct pretok_level *l, const char *text, size_t n) {
    size_t pos = 0, len;
    uint32_t cp;
    while (pos < n && (len = utf8_read(text + pos, n - pos, &cp))) pos += len;
    if (pos == n) return text;
    if (grow(&l->text, &l->cap, n, 1)) return NULL;
    memcpy(l->text, text, n);
    for (; pos < n; pos += len) {
        len = utf8_read(text + pos, n - pos, &cp);
        if (len == 0) l->text[pos] = 1, len = 1;
    }
    return l->text;
}

static int regex_prepare(const struct run *r, int step) {
    struct pretok_scratch *s = r->s;
    struct pretok_level *l = &s->level[step];
    if (!s->context) {
        s->context = pcre2_match_context_create(NULL);
        s->stack = pcre2_jit_stack_create(32 << 10, 4 << 20, NULL);
        if (!s->context || !s->stack) return -1;
        pcre2_jit_stack_assign(s->context, NULL, s->stack);
    }
    if (!l->match) l->match = pcre2_match_data_create_from_pattern(r->p->step[step].regex, NULL);
    return l->match ? 0 : -1;
}

static int run_regex(const struct run *r, int step, const char *text, size_t n) {
    struct pretok_level *l = &r->s->level[step];
    const char *subject;
    if (regex_prepare(r, step) || !(subject = well_formed(l, text, n)))
        return err_set(r->e, ERR_NOMEM, "no memory for a pre-tokeniser's match");
    size_t done = 0, at = 0;
    while (at < n) {
        int rc = pcre2_match(r->p->step[step].regex, (PCRE2_SPTR)subject, n, at,
                             PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, l->match, r->s->context);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0) {
            char why[128] = "";
            pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
            return err_set(r->e, ERR_INPUT,
                           "the pre-tokeniser's pattern failed on a text of %zu bytes: %s", n, why);
        }
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(l->match);
        /* \K inside a lookaround can put the start before `at` or behind the end */
        if (span[0] < at || span[1] <= span[0])
            return err_set(r->e, ERR_INPUT, "the pre-tokeniser's pattern matches backwards");
        size_t from = span[0], to = span[1];
        if ((rc = run_split(r, step, text, done, from, to))) return rc;
        done = at = to;
    }
    return run_split(r, step, text, done, n, n);
}

static int run_prefix(const struct run *r, int step, const char *text, size_t n) {
    struct pretok_level *l = &r->s->level[step];
    if (text[0] == ' ') return run_step(r, step + 1, text, n);
    if (n == SIZE_MAX || grow(&l->text, &l->cap, n + 1, 1))
        return err_set(r->e, ERR_NOMEM, "no memory for a text of %zu bytes", n);
    l->text[0] = ' ';
    memcpy(l->text + 1, text, n);
    return run_step(r, step + 1, l->text, n + 1);
}

static int run_step(const struct run *r, int step, const char *text, size_t n) {
    if (step == r->p->n) return r->emit(r->ctx, text, n, r->e);
    switch (r->p->step[step].op) {
    case PRETOK_GPT2:
        return run_gpt2(r, step, text, n);
    case PRETOK_DIGITS:
        return run_digits(r, step, text, n, false);
    case PRETOK_DIGIT:
        return run_digits(r, step, text, n, true);
    case PRETOK_REGEX:
        return run_regex(r, step, text, n);
    case PRETOK_LITERAL:
        return run_literal(r, step, text, n);
    case PRETOK_PREFIX:
        return run_prefix(r, step, text, n);
    }
    return 0;
}

int pretok_run(const struct pretok *p, struct pretok_scratch *s, const char *text, size_t n,
               pretok_fn *emit, void *ctx, struct err *e) {
    struct run r = {p, s, emit, ctx, e};
    return n ? run_step(&r, 0, text, n) : 0;
}

static int compile(const char *pattern, void **regex, struct err *e) {
    int code;
    PCRE2_SIZE at;
    char why[128] = "";
    pcre2_code *c =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    if (!c) {
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return err_set(e, ERR_INPUT, "the pattern %.200s does not compile: %s at character %zu",
                       pattern, why, (size_t)at);
    }
    pcre2_jit_compile(c, PCRE2_JIT_COMPLETE); /* without it matching is slower, that is all */
    *regex = c;
    return 0;
}

int pretok_add(struct pretok *p, enum pretok_op op, const char *pattern, struct err *e) {
    if (p->n == PRETOK_STEPS)
        return err_set(e, ERR_INPUT, "more than %d pre-tokenising steps", PRETOK_STEPS);
    struct pretok_step s = {.op = op};
    if (op == PRETOK_REGEX) {
        int rc = compile(pattern, &s.regex, e);
        if (rc) return rc;
    } else if (op == PRETOK_LITERAL) {
        if (!*pattern) return err_set(e, ERR_INPUT, "the text to split at is empty");
        if (!(s.literal = strdup(pattern))) return err_set(e, ERR_NOMEM, "no memory");
    }
    p->step[p->n++] = s;
    return 0;
}

void pretok_release(struct pretok *p) {
    for (int i = 0; i < p->n; i++) {
        pcre2_code_free(p->step[i].regex);
        free(p->step[i].literal);
    }
    *p = (struct pretok){0};
}

void pretok_scratch_release(struct pretok_scratch *s) {
    for (int i = 0; i < PRETOK_STEPS; i++) {
        pcre2_match_data_free(s->level[i].match);
        free(s->level[i].text);
    }
    pcre2_match_context_free(s->context);
    if (s->stack) pcre2_jit_stack_free(s->stack);
    *s = (struct pretok_scratch){0};
}
