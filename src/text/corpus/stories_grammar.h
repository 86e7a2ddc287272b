/* The grammar behind stories.h: how it is written down, and its compiled form.
 *
 * A grammar is lists of words with attributes, and rules. A rule is alternatives separated by `|`,
 * each with an optional integer weight `N:` (default 1). In the text of an alternative:
 *
 *   (a|3:b|c)      a choice in place, with weights; alternatives may be empty
 *   [rule]         expands a rule; inside it `*` is what it was for the caller
 *   [rule B]       expands a rule with `*` standing for register B
 *   {B.attr}       an attribute of what register B (A-Z, a-z) holds; {*.attr} likewise
 *   {B=list.attr}  draws a row of a list into B and writes an attribute of it. Rows of the same
 * list that other registers hold are left out of the draw (no replacement). ^              the next
 * letter is a capital %              "a " or "an ", whichever the next letter asks for ` a double
 * quotation mark
 *
 * A list is rows of values separated by commas. Row 0 names the attributes; `name=value` there is
 * an attribute with one value for all rows and has no column. Rows may begin with a weight. Values
 * are templates like any other; in them `*` is the register that holds the row.
 *
 * Derivations are unique: two different sequences of choices never write the same document.
 * tests/unit/test_stories_unique.c proves it for the grammar as it stands. */
#ifndef DUET_STORIES_GRAMMAR_H
#define DUET_STORIES_GRAMMAR_H

#include "err.h"
#include "stories.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORY_REGISTERS 52
#define STORY_ARG (-1) /* `*`: the register passed to the rule */
#define STORY_NONE (-2)
#define STORY_MAX_ATTRS 96
#define STORY_MAX_TOTAL 1024 /* largest sum of the weights of one choice */

/* The source form. Arrays end with a row of NULL. */
struct story_rule_src {
    const char *name, *body;
};
struct story_list_src {
    const char *name;
    const char *const *rows; /* [0] names the attributes; ends with NULL */
};

/* All lists and all files of rules of the built-in corpus; both end with NULL. The document is the
 * expansion of the rule "story". */
extern const struct story_list_src stories_lists[];
extern const struct story_rule_src *const stories_rules[];

enum story_op_kind {
    STORY_END,
    STORY_TEXT,
    STORY_CAP,
    STORY_ARTICLE,
    STORY_CHOICE,
    STORY_BIND,
    STORY_ATTR
};

struct story_op {
    uint8_t kind;
    int8_t reg;     /* CHOICE: the argument, or STORY_NONE to pass on the caller's; BIND, ATTR */
    uint16_t n;     /* TEXT: bytes; ATTR: attribute */
    uint32_t index; /* TEXT: offset in text; CHOICE, BIND: which */
};

struct story_choice {
    uint32_t first, n; /* alternatives: weight[first..first+n), seq[...] */
    uint32_t total;    /* sum of weights */
    bool words;        /* every alternative is plain text: a choice of words, not of shapes */
    const char *name;  /* of the rule that it is or stands in; borrowed from the source */
};

struct story_list {
    const char *name;
    uint32_t first, n, total;     /* rows: weight[first..first+n) */
    uint32_t value;               /* value[value + row * cols + column] is a sequence of ops */
    uint32_t cols;                /* constants of the header included */
    int16_t col[STORY_MAX_ATTRS]; /* attribute -> column, or -1 */
};

struct story_grammar {
    struct story_op *op;
    struct story_choice *choice; /* rules first, in the order of the source */
    struct story_list *list;
    uint16_t *weight;
    uint32_t *seq;   /* alternative -> first op; sequences end with STORY_END */
    uint32_t *value; /* as seq, for the values of lists */
    char *text;
    uint32_t n_ops, n_choices, n_rules, n_lists, n_alts, n_values, n_text, n_attrs;
    char (*attr)[24];                /* names of attributes */
    uint64_t bound[STORY_REGISTERS]; /* bit l: some template draws from list l into the register */
    uint32_t root;                   /* the choice that is the rule "story" */
    double log2_of[STORY_MAX_TOTAL + 1];
};

/* Compiles and checks a grammar: names resolve, no recursion, every rule and attribute is used,
 * every attribute asked of a register exists in each list that can be in it. ERR_INPUT names the
 * place. */
int story_grammar_compile(struct story_grammar *g, const struct story_list_src *lists,
                          const struct story_rule_src *const *rules, struct err *e);
void story_grammar_release(struct story_grammar *g); /* accepts all zeros */

/* The built-in grammar, compiled once; lives as long as the process. Thread-safe. */
int story_grammar_builtin(const struct story_grammar **g, struct err *e);

/* What a test may watch. choice: `id` is a choice, or n_choices + list for a draw of a row; the
 * alternative taken, its weight and the total it was drawn from. emit: text written; word: it comes
 * from a list or from a choice of words. */
struct story_hook {
    void *ctx;
    void (*choice)(void *ctx, uint32_t id, uint32_t alt, uint32_t weight, uint32_t total);
    void (*emit)(void *ctx, const char *text, size_t bytes, bool word);
};

/* stories_write with a given grammar; hook may be NULL. The text is without the end marker. */
int story_grammar_write(const struct story_grammar *g, uint64_t seed, uint64_t index,
                        struct stories_doc *d, const struct story_hook *hook, struct err *e);

#endif
