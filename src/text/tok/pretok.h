/* Pre-tokenisation: cutting text into words that merges never cross.
 *
 * A pretok is a list of steps; each cuts every piece that the step before it made, seeing nothing
 * but that piece (as Hugging Face's Sequence does). Every byte of the text comes out again, in
 * order, but for PRETOK_PREFIX and PRETOK_METASPACE, which change blanks, and what a Split removes.
 *
 * Bytes that are not UTF-8 are characters of class "other" (unicode.h) for every step. */
#ifndef DUET_PRETOK_H
#define DUET_PRETOK_H

#include "err.h"
#include <stdbool.h>
#include <stddef.h>

enum pretok_op {
    PRETOK_GPT2, /* one of the patterns below, by a scanner */
    PRETOK_LLAMA3,
    PRETOK_QWEN2,
    PRETOK_NANOCHAT,
    PRETOK_DIGITS,    /* runs of numbers apart from the rest */
    PRETOK_DIGIT,     /* each number apart */
    PRETOK_REGEX,     /* at the matches of a pattern */
    PRETOK_LITERAL,   /* the same for a plain text */
    PRETOK_PREFIX,    /* a blank in front of a piece that does not start with one */
    PRETOK_METASPACE, /* blanks become another character, perhaps one is put in front */
};

#define PRETOK_GPT2_PATTERN                                                                        \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* Llama 3's and Qwen 2's differ in the number of digits that a word may have. Under (?i) U+017F,
 * the long s, is an s: so it is in PCRE2, Oniguruma and Rust's regex, but not in llama.cpp. */
#define PRETOK_LLAMA3_PATTERN_(digits)                                                             \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits                     \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define PRETOK_LLAMA3_PATTERN PRETOK_LLAMA3_PATTERN_("{1,3}")
#define PRETOK_QWEN2_PATTERN PRETOK_LLAMA3_PATTERN_("")
#define PRETOK_NANOCHAT_PATTERN                                                                    \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,2}"                             \
    "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"

/* What becomes of the matches and of what lies between them, as in Hugging Face's Split. */
enum pretok_behavior {
    PRETOK_ISOLATED,             /* each is a piece */
    PRETOK_REMOVED,              /* matches are dropped */
    PRETOK_CONTIGUOUS,           /* matches in a row are one piece */
    PRETOK_MERGED_WITH_PREVIOUS, /* a match belongs to the piece in front of it, if that is none */
    PRETOK_MERGED_WITH_NEXT,
};

/* Where PRETOK_METASPACE puts its character in front, if it is not there. */
enum pretok_prepend { PRETOK_NEVER, PRETOK_FIRST, PRETOK_ALWAYS };

#define PRETOK_STEPS 8

struct pretok_step {
    enum pretok_op op;
    char *text;  /* pattern, plain text (not empty), or the character for a blank; owned, or NULL */
    void *regex; /* pcre2_code of PRETOK_REGEX; owned */
    enum pretok_behavior behavior; /* of PRETOK_REGEX and PRETOK_LITERAL */
    bool invert;                   /* there: matches are what lies between them, and vice versa */
    enum pretok_prepend prepend;   /* of PRETOK_METASPACE */
    bool split;                    /* there: its characters start pieces */
};

struct pretok {
    struct pretok_step step[PRETOK_STEPS];
    int n;
};

/* Buffers of one thread; zero-initialise. */
struct pretok_scratch {
    struct pretok_level {
        void *match; /* pcre2_match_data */
        char *text;  /* a changed piece, or one made well-formed for PCRE2 */
        size_t cap;
    } level[PRETOK_STEPS];
    void *context, *stack; /* pcre2_match_context, pcre2_jit_stack */
    bool first;            /* set by the caller: the next pretok_run is at the start of a text */
};

/* Gets one word. Nonzero stops the run and is returned. */
typedef int pretok_fn(void *ctx, const char *word, size_t n, struct err *e);

/* Appends a step. pattern: of PRETOK_REGEX and PRETOK_LITERAL (isolated), else NULL. ERR_INPUT: too
 * many steps, or a pattern that does not compile. */
int pretok_add(struct pretok *p, enum pretok_op op, const char *pattern, struct err *e);
/* A PRETOK_REGEX or PRETOK_LITERAL with any behaviour. A pattern above becomes its scanner where
 * that gives the same. */
int pretok_add_split(struct pretok *p, bool regex, const char *pattern,
                     enum pretok_behavior behavior, bool invert, struct err *e);
/* replacement: one character. */
int pretok_add_metaspace(struct pretok *p, const char *replacement, enum pretok_prepend prepend,
                         bool split, struct err *e);
/* True if both are the same lists of steps. */
bool pretok_equal(const struct pretok *a, const struct pretok *b);
void pretok_release(struct pretok *p);

/* Calls emit for every word of text, from left to right. Fails if emit does, for lack of memory, or
 * if a pattern needs too many steps on this text. */
int pretok_run(const struct pretok *p, struct pretok_scratch *s, const char *text, size_t n,
               pretok_fn *emit, void *ctx, struct err *e);
void pretok_scratch_release(struct pretok_scratch *s);

/* True if pretok_line_cut holds for this list of steps. */
bool pretok_cuts_lines(const struct pretok *p);

/* First offset >= from (and > 1, < n) where a text may be cut in two whose words, one after the
 * other, are the words of the whole by any of the scanners: behind a single line break between two
 * ASCII characters that are not blank; n if there is none. */
size_t pretok_line_cut(const char *text, size_t n, size_t from);

/* End of the word that starts at pos < n by GPT-2's pattern, and by Llama 3's with at most that
 * many digits in a word (scanners by hand, tested against PCRE2). unicode_init() first. */
size_t pretok_gpt2(const char *text, size_t n, size_t pos);
size_t pretok_llama3(const char *text, size_t n, size_t pos, int digits);

#endif
