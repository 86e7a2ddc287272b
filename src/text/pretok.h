/* Pre-tokenisation: cutting text into words that merges never cross.
 *
 * A pretok is a list of steps; each cuts every piece that the step before it made, seeing nothing
 * but that piece (as Hugging Face's Sequence does). Every byte of the text comes out again, in
 * order: steps cut, and only PRETOK_PREFIX adds.
 *
 * Bytes that are not UTF-8 are characters of class "other" (unicode.h) for every step. */
#ifndef DUET_PRETOK_H
#define DUET_PRETOK_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>

enum pretok_op {
    PRETOK_GPT2,    /* GPT-2's pattern, below */
    PRETOK_DIGITS,  /* runs of numbers apart from the rest */
    PRETOK_DIGIT,   /* each number apart */
    PRETOK_REGEX,   /* matches of a pattern apart, and what lies between them */
    PRETOK_LITERAL, /* the same for a plain text */
    PRETOK_PREFIX,  /* a blank in front of a piece that does not start with one */
};

#define PRETOK_GPT2_PATTERN                                                                        \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

#define PRETOK_STEPS 8

struct pretok_step {
    enum pretok_op op;
    void *regex;   /* pcre2_code of PRETOK_REGEX; owned */
    char *literal; /* of PRETOK_LITERAL, not empty; owned */
};

struct pretok {
    struct pretok_step step[PRETOK_STEPS];
    int n;
};

/* Buffers of one thread; zero-initialise. */
struct pretok_scratch {
    struct pretok_level {
        void *match; /* pcre2_match_data */
        char *text;  /* a piece with a blank in front, or made well-formed for PCRE2 */
        size_t cap;
    } level[PRETOK_STEPS];
    void *context, *stack; /* pcre2_match_context, pcre2_jit_stack */
};

/* Gets one word. Nonzero stops the run and is returned. */
typedef int pretok_fn(void *ctx, const char *word, size_t n, struct err *e);

/* Appends a step. pattern: of PRETOK_REGEX and PRETOK_LITERAL, else NULL. ERR_INPUT: too many
 * steps, or a pattern that does not compile. */
int pretok_add(struct pretok *p, enum pretok_op op, const char *pattern, struct err *e);
void pretok_release(struct pretok *p);

/* Calls emit for every word of text, from left to right. Fails if emit does, for lack of memory, or
 * if a pattern needs too many steps on this text. */
int pretok_run(const struct pretok *p, struct pretok_scratch *s, const char *text, size_t n,
               pretok_fn *emit, void *ctx, struct err *e);
void pretok_scratch_release(struct pretok_scratch *s);

/* True if pretok_line_cut holds for this list of steps. */
bool pretok_cuts_lines(const struct pretok *p);

/* First offset >= from (and > 1, < n) where a text may be cut in two whose words, one after the
 * other, are the words of the whole by GPT-2's pattern: behind a single line break between two
 * ASCII characters that are not blank; n if there is none. */
size_t pretok_line_cut(const char *text, size_t n, size_t from);

/* End of the word that starts at pos < n by GPT-2's pattern (a scanner by hand, tested against
 * PCRE2). unicode_init() first. */
size_t pretok_gpt2(const char *text, size_t n, size_t pos);

#endif
