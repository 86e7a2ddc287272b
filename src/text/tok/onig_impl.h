/* The parts of the translator: onig.c has groups and repeats, onig_char.c single
 * characters, onig_class.c sets of them. */
#ifndef DUET_ONIG_IMPL_H
#define DUET_ONIG_IMPL_H

#include "onig.h"
#include "tokenizer.h"

enum { ONIG_I = 1, ONIG_M = 2, ONIG_X = 4 };

#define ONIG_DEPTH 64 /* of groups, and of classes in each other */

struct onig {
    const char *p; /* the pattern, n bytes of UTF-8 */
    size_t n, at;
    struct tok_bytes out;
    unsigned opts; /* of the place where `at` is */
    int depth;
    int groups;      /* numbered ones that have begun */
    bool named;      /* there are names: plain groups have no numbers */
    uint32_t run[3]; /* folded characters in a row that stand for themselves, the last ones */
    int run_n;
    struct err *e;
};

/* "PATTERN ...: at byte `at`: ...". Always nonzero. */
int onig_fail(const struct onig *o, size_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends text to b; character cp as PCRE2 takes it anywhere, also inside of a class. */
int onig_put(struct onig *o, struct tok_bytes *b, const char *s);
int onig_put_char(struct onig *o, struct tok_bytes *b, uint32_t cp);

/* The value of a digit, or -1; up to `most` digits at `at`: how many there are. */
int onig_digit(char c, int base);
size_t onig_digits(struct onig *o, int base, size_t most, uint32_t *v);

/* A character that is repeated or not, under (?i): what it and those before it fold to. */
int onig_check_fold(struct onig *o, size_t at, uint32_t cp, bool repeated);
/* Characters of full case folding of cp: how many (at most 3), in to. */
int onig_fold(uint32_t cp, uint32_t to[3]);

/* One character at `at`, which moves behind it. */
uint32_t onig_next(struct onig *o);
static inline bool onig_sees(const struct onig *o, const char *s, size_t n) {
    if (o->n - o->at < n) return false;
    for (size_t i = 0; i < n; i++)
        if (o->p[o->at + i] != s[i]) return false;
    return true;
}

/* A character behind a backslash that stands for one character, as in \n, \x41, \x{41}, \u0041,
 * \101, \cA; o->at is behind the backslash. *is_char false: it is something else, and `at` has not
 * moved. */
int onig_escape(struct onig *o, bool in_class, uint32_t *cp, bool *is_char);

/* A backslash with a letter for a set of characters (d D w W s S h H, p{..} P{..}), behind the
 * backslash. *is_set as above. Appends to the output. */
int onig_type(struct onig *o, bool *is_set);
/* A class; o->at is behind its "[". */
int onig_class(struct onig *o);
/* The inside of a class that is what \w alone is. */
extern const char onig_word[];

#endif
