#define PCRE2_CODE_UNIT_WIDTH 8
#include "pretok.h"

#include "map.h"
#include "pretok_match.h"
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
    const char *first; /* start of the text, if this is the first piece of it */
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

/* 's 't 'm 'd 're 've 'll in any case at an apostrophe: bytes of it, or 0. */
static size_t contraction_any_case(const char *s, size_t n) {
    if (n < 2) return 0;
    const char a = (char)(s[1] | 0x20);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (n < 3) return 0;
    if (s[1] == '\xc5' && s[2] == '\xbf') return 3; /* the long s */
    const char b = (char)(s[2] | 0x20);
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* End of the white space that starts at pos: with its last line break if it has one, else without
 * the blank before a word. */
static size_t space_word(const char *text, size_t n, size_t pos) {
    size_t end = pos, last = pos, line = pos, len;
    while (end < n && unicode_at(text + end, n - end, &len) == UNICODE_SPACE) {
        if (text[end] == '\n' || text[end] == '\r') line = end + 1;
        last = end;
        end += len;
    }
    if (line > pos) return line;
    return end == n || last == pos ? end : last;
}

size_t pretok_llama3(const char *text, size_t n, size_t pos, int digits) {
    size_t len, next_len, last;
    if (text[pos] == '\'' && (len = contraction_any_case(text + pos, n - pos))) return pos + len;
    enum unicode_class class = unicode_at(text + pos, n - pos, &len), next = UNICODE_OTHER;
    size_t at = pos + len;
    if (class == UNICODE_LETTER) return class_run(text, n, at, class, &last);
    if (class == UNICODE_NUMBER) {
        while (--digits > 0 && at < n && unicode_at(text + at, n - at, &len) == class) at += len;
        return at;
    }
    const bool more = at < n, line = text[pos] == '\r' || text[pos] == '\n';
    if (more) next = unicode_at(text + at, n - at, &next_len);
    if (more && next == UNICODE_LETTER && !line)
        return class_run(text, n, at + next_len, next, &last); /* any one character in front */
    if (class == UNICODE_OTHER || (text[pos] == ' ' && more && next == UNICODE_OTHER)) {
        at = class_run(text, n, at, UNICODE_OTHER, &last);
        while (at < n && (text[at] == '\r' || text[at] == '\n')) at++;
        return at;
    }
    return space_word(text, n, pos);
}

bool pretok_cuts_lines(const struct pretok *p) {
    bool words = false;
    for (int i = 0; i < p->n; i++) {
        enum pretok_op op = p->step[i].op;
        if (op > PRETOK_DIGIT) return false;
        words |= op <= PRETOK_NANOCHAT;
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

static int run_llama3(const struct run *r, int step, const char *text, size_t n, int digits) {
    for (size_t pos = 0, end; pos < n; pos = end) {
        end = pretok_llama3(text, n, pos, digits);
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

/* A piece in the making: matches and what lies between them join it as the behaviour wants. */
struct piece {
    size_t from, to;
    bool match;
};

static int flush(const struct run *r, int step, const char *text, const struct piece *p) {
    bool removed = r->p->step[step].behavior == PRETOK_REMOVED && p->match;
    if (p->to == p->from || removed) return 0;
    return run_step(r, step + 1, text + p->from, p->to - p->from);
}

static int join(const struct run *r, int step, const char *text, struct piece *p, size_t to,
                bool match) {
    const struct pretok_step *s = &r->p->step[step];
    match = match != s->invert;
    bool same = s->behavior == PRETOK_CONTIGUOUS && match == p->match;
    same |= s->behavior == PRETOK_MERGED_WITH_PREVIOUS && match && !p->match;
    same |= s->behavior == PRETOK_MERGED_WITH_NEXT && !match && p->match;
    if (same) {
        p->to = to;
        p->match = match;
        return 0;
    }
    int rc = flush(r, step, text, p);
    *p = (struct piece){p->to, to, match};
    return rc;
}

static int run_split(const struct run *r, int step, const char *text, size_t n) {
    const struct pretok_step *s = &r->p->step[step];
    struct pretok_level *level = &r->s->level[step];
    struct pretok_match m = {0};
    struct piece p = {0};
    const char *subject;
    bool found;
    int rc;
    TRY(pretok_subject(s, level, text, n, &subject, r->e));
    for (;;) {
        TRY(pretok_next(s, r->s, level, subject, n, &m, &found, r->e));
        if (!found) break;
        if (m.from > p.to) TRY(join(r, step, text, &p, m.from, false));
        TRY(join(r, step, text, &p, m.to, true));
    }
    if (p.to < n) TRY(join(r, step, text, &p, n, false));
    TRY(flush(r, step, text, &p));
out:
    return rc;
}

/* Blanks become the step's character; pieces start at each of it. */
static int run_metaspace(const struct run *r, int step, const char *text, size_t n) {
    const struct pretok_step *s = &r->p->step[step];
    struct pretok_level *l = &r->s->level[step];
    const size_t mark = strlen(s->text);
    const bool marked = text[0] == ' ' || (n >= mark && memcmp(text, s->text, mark) == 0);
    const bool wanted = s->prepend == PRETOK_ALWAYS || (s->prepend && text == r->first);
    size_t used = 0, start = 0;
    if (n > SIZE_MAX / 8 || grow(&l->text, &l->cap, (n + 1) * mark, 1))
        return err_set(r->e, ERR_NOMEM, "no memory for a text of %zu bytes", n);
    if (wanted && !marked) memcpy(l->text, s->text, mark), used = mark;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == ' ')
            memcpy(l->text + used, s->text, mark), used += mark;
        else
            l->text[used++] = text[i];
    }
    for (size_t i = 1; s->split && i + mark <= used; i++) {
        if (memcmp(l->text + i, s->text, mark)) continue;
        int rc = run_step(r, step + 1, l->text + start, i - start);
        if (rc) return rc;
        start = i;
    }
    return run_step(r, step + 1, l->text + start, used - start);
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
    case PRETOK_GPT2: return run_gpt2(r, step, text, n);
    case PRETOK_LLAMA3: return run_llama3(r, step, text, n, 3);
    case PRETOK_QWEN2: return run_llama3(r, step, text, n, 1);
    case PRETOK_NANOCHAT: return run_llama3(r, step, text, n, 2);
    case PRETOK_DIGITS: return run_digits(r, step, text, n, false);
    case PRETOK_DIGIT: return run_digits(r, step, text, n, true);
    case PRETOK_REGEX:
    case PRETOK_LITERAL: return run_split(r, step, text, n);
    case PRETOK_PREFIX: return run_prefix(r, step, text, n);
    case PRETOK_METASPACE: return run_metaspace(r, step, text, n);
    }
    return 0;
}

int pretok_run(const struct pretok *p, struct pretok_scratch *s, const char *text, size_t n,
               pretok_fn *emit, void *ctx, struct err *e) {
    struct run r = {p, s, emit, ctx, e, s->first ? text : NULL};
    return n ? run_step(&r, 0, text, n) : 0;
}

/* Appends s, which is released on failure; text is copied, NULL: none. */
static int add_step(struct pretok *p, struct pretok_step s, const char *text, struct err *e) {
    int rc = 0;
    if (p->n == PRETOK_STEPS)
        return err_set(e, ERR_INPUT, "more than %d pre-tokenising steps", PRETOK_STEPS);
    if (text && !*text) return err_set(e, ERR_INPUT, "the text to split at is empty");
    if (text && !(s.text = strdup(text))) return err_set(e, ERR_NOMEM, "no memory");
    if (s.op == PRETOK_REGEX) rc = pretok_compile(&s, e);
    if (rc)
        free(s.text);
    else
        p->step[p->n++] = s;
    return rc;
}

int pretok_add(struct pretok *p, enum pretok_op op, const char *pattern, struct err *e) {
    return add_step(p, (struct pretok_step){.op = op}, pattern, e);
}

int pretok_add_split(struct pretok *p, bool regex, const char *pattern,
                     enum pretok_behavior behavior, bool invert, struct err *e) {
    static const struct {
        enum pretok_op op;
        const char *pattern;
    } scanners[] = {{PRETOK_GPT2, PRETOK_GPT2_PATTERN},
                    {PRETOK_LLAMA3, PRETOK_LLAMA3_PATTERN},
                    {PRETOK_QWEN2, PRETOK_QWEN2_PATTERN},
                    {PRETOK_NANOCHAT, PRETOK_NANOCHAT_PATTERN}};
    /* they leave nothing between their matches */
    const bool whole = behavior == PRETOK_ISOLATED || (behavior == PRETOK_REMOVED && invert);
    for (size_t i = 0; i < sizeof scanners / sizeof *scanners && regex && whole; i++)
        if (strcmp(pattern, scanners[i].pattern) == 0)
            return pretok_add(p, scanners[i].op, NULL, e);
    const enum pretok_op op = regex ? PRETOK_REGEX : PRETOK_LITERAL;
    return add_step(p, (struct pretok_step){.op = op, .behavior = behavior, .invert = invert},
                    pattern, e);
}

int pretok_add_metaspace(struct pretok *p, const char *replacement, enum pretok_prepend prepend,
                         bool split, struct err *e) {
    return add_step(
        p, (struct pretok_step){.op = PRETOK_METASPACE, .prepend = prepend, .split = split},
        replacement, e);
}

bool pretok_equal(const struct pretok *a, const struct pretok *b) {
    if (a->n != b->n) return false;
    for (int i = 0; i < a->n; i++) {
        const struct pretok_step *x = &a->step[i], *y = &b->step[i];
        if (x->op != y->op || x->behavior != y->behavior || x->invert != y->invert ||
            x->prepend != y->prepend || x->split != y->split || !x->text != !y->text ||
            (x->text && strcmp(x->text, y->text)))
            return false;
    }
    return true;
}

void pretok_release(struct pretok *p) {
    for (int i = 0; i < p->n; i++) {
        pcre2_code_free(p->step[i].regex);
        free(p->step[i].text);
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
