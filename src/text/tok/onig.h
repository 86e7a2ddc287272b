/* Patterns of Hugging Face's tokenizers are Oniguruma's (syntax Oniguruma, UTF-8); duet matches
 * with PCRE2, which reads many of them otherwise. This translates one into the other, or refuses
 * by name what has no translation, so that no pattern is ever matched with another meaning.
 *
 * What differs, and becomes what:
 *   ^ and $           the ends of every line
 *   .  (?m)           all but a line feed; with (?m) that too
 *   \Z \R \N \O \h    spelled out
 *   \w \d \s \b       by Unicode's properties; marks are part of words
 *   [a[bc]] [a&&b]    alternatives and lookaheads of one character; [[:alpha:]] by properties
 *   \p{Han}           the script, not its extensions; names without regard to case, _, - and blanks
 *   {,n} {n}? {n,m}+  from 0; perhaps once; once or more often
 *   a(?i)b|c          the option holds for the rest of the group, the alternatives included
 *   (?x)              blanks and comments are left out
 * Refused: subexpression calls, conditions, absent operators, callouts, bytes beyond ASCII (\xE2),
 * text segment boundaries, \X, and under (?i) what folds to several characters and classes of
 * properties that have case. What is left is checked by PCRE2, which wants lookbehinds of bounded
 * alternatives.
 *
 * Sources: doc/RE and doc/SYNTAX.md of https://github.com/kkos/oniguruma ; pcre2pattern(3). Checked
 * against the library (tests/unit/test_onig.c, results/tokenizers.md). */
#ifndef DUET_ONIG_H
#define DUET_ONIG_H

#include "err.h"

/* *out: a pattern for PCRE2_UTF | PCRE2_UCP, malloc()ed, NUL-terminated. ERR_INPUT: the pattern is
 * wrong, or has no translation; the message names the construct and the byte where it starts. */
int onig_to_pcre2(const char *pattern, char **out, struct err *e);

#endif
