#define PCRE2_CODE_UNIT_WIDTH 8
#include "pretok_match.h"

#include "map.h"
#include "onig.h"
#include "unicode.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

int pretok_compile(struct pretok_step *step, struct err *e) {
    int code;
    PCRE2_SIZE at;
    char why[128] = "", *pattern;
    int rc = onig_to_pcre2(step->text, &pattern, e);
    if (rc) return rc;
    pcre2_code *c =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    if (!c) {
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        rc = err_set(e, ERR_INPUT,
                     "the pattern %.200s is not one that PCRE2 can match: %s (at byte %zu of "
                     "%.200s, which it becomes there)",
                     step->text, why, (size_t)at, pattern);
    }
    free(pattern);
    if (rc) return rc;
    pcre2_jit_compile(c, PCRE2_JIT_COMPLETE); /* without it matching is slower, that is all */
    step->regex = c;
    return 0;
}

int pretok_subject(const struct pretok_step *step, struct pretok_level *level, const char *text,
                   size_t n, const char **subject, struct err *e) {
    size_t pos = 0, len;
    uint32_t cp;
    *subject = text;
    if (step->op != PRETOK_REGEX) return 0;
    while (pos < n && (len = utf8_read(text + pos, n - pos, &cp))) pos += len;
    if (pos == n) return 0;
    if (grow(&level->text, &level->cap, n, 1))
        return err_set(e, ERR_NOMEM, "no memory for a text of %zu bytes", n);
    memcpy(level->text, text, n);
    for (; pos < n; pos += len) {
        if ((len = utf8_read(text + pos, n - pos, &cp))) continue;
        level->text[pos] = 1; /* one byte of class other, as the bad one */
        len = 1;
    }
    *subject = level->text;
    return 0;
}

static int prepare(const struct pretok_step *step, struct pretok_scratch *s,
                   struct pretok_level *level) {
    if (!s->context) {
        s->context = pcre2_match_context_create(NULL);
        s->stack = pcre2_jit_stack_create(32 << 10, 4 << 20, NULL);
        if (!s->context || !s->stack) return -1;
        pcre2_jit_stack_assign(s->context, NULL, s->stack);
    }
    if (!level->match) level->match = pcre2_match_data_create_from_pattern(step->regex, NULL);
    return level->match ? 0 : -1;
}

/* The leftmost match at or after m->at, empty or not. */
static int search(const struct pretok_step *step, struct pretok_scratch *s,
                  struct pretok_level *level, const char *subject, size_t n, struct pretok_match *m,
                  bool *found, struct err *e) {
    *found = false;
    if (step->op == PRETOK_LITERAL) {
        const size_t len = strlen(step->text);
        const char *hit = memmem(subject + m->at, n - m->at, step->text, len);
        if (!hit) return 0;
        m->from = (size_t)(hit - subject);
        m->to = m->from + len;
    } else {
        if (prepare(step, s, level))
            return err_set(e, ERR_NOMEM, "no memory for a pre-tokeniser's match");
        int rc = pcre2_match(step->regex, (PCRE2_SPTR)subject, n, m->at, PCRE2_NO_UTF_CHECK,
                             level->match, s->context);
        if (rc == PCRE2_ERROR_NOMATCH) return 0;
        if (rc < 0) {
            char why[128] = "";
            pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
            return err_set(e, ERR_INPUT,
                           "the pre-tokeniser's pattern failed on a text of %zu bytes: %s", n, why);
        }
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(level->match);
        /* \K inside a lookaround can put the start before `at` or behind the end */
        if (span[0] < m->at || span[1] < span[0])
            return err_set(e, ERR_INPUT, "the pre-tokeniser's pattern matches backwards");
        m->from = span[0];
        m->to = span[1];
    }
    *found = true;
    return 0;
}

int pretok_next(const struct pretok_step *step, struct pretok_scratch *s,
                struct pretok_level *level, const char *subject, size_t n, struct pretok_match *m,
                bool *found, struct err *e) {
    const size_t last = m->to;
    *found = false;
    while (m->at <= n) {
        int rc = search(step, s, level, subject, n, m, found, e);
        if (rc || !*found) return rc;
        if (m->to > m->from || !m->any || m->to != last) {
            m->at = m->to;
            m->any = true;
            return 0;
        }
        uint32_t cp;
        size_t len = m->at < n ? utf8_read(subject + m->at, n - m->at, &cp) : 1;
        m->at += len ? len : 1;
        *found = false;
    }
    return 0;
}
