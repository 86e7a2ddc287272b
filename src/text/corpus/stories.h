/* The built-in corpus: simple English stories from a hand-written probabilistic grammar.
 *
 * Every story draws its characters, places, objects and feelings once and refers to them
 * consistently (names, pronouns, possessives, dialogue). Document i of a seed is a pure function of
 * (seed, i). A story ends with "<|endoftext|>" and a line break. The generator knows the
 * probability of every choice, so it also knows how many bits its text carries: -log2 of the
 * probability of the derivation. No two derivations write the same text
 * (tests/unit/test_stories_unique.c proves it), so this is exactly the information of the text: the
 * mean over documents is the entropy of the source, and no model can do better on average.
 *
 * The corpus carries its figures in one trailer line after the last document:
 *   <|corpus|>{"generator":"duet stories","version":1,"seed":S,"documents":N,"bits":[b0,b1,...]}\n
 * with the bits of each document, rounded to 3 decimals, and no blanks. Readers of text
 * (shard_build, train, eval) recognise and strip it; see docs/formats.md. */
#ifndef DUET_STORIES_H
#define DUET_STORIES_H

#include "err.h"
#include <stddef.h>
#include <stdint.h>

struct stories_doc {
    char *text; /* owned; grows; NUL-terminated; ends with "<|endoftext|>\n" */
    size_t bytes, cap;
    double bits; /* -log2 P(derivation): the document's information */
};

/* Writes document `index` of corpus `seed` into d (reusing its buffer; zero-initialise first). */
int stories_write(uint64_t seed, uint64_t index, struct stories_doc *d, struct err *e);
void stories_doc_release(struct stories_doc *d);

/* The trailer line of n documents with the given bits (each below 10^9): *line is malloc()ed and
 * NUL-terminated, *bytes its length with the line break. */
int stories_trailer_write(uint64_t seed, const double *bits, size_t n, char **line, size_t *bytes,
                          struct err *e);

/* Looks for the trailer line at the end of text. If there: *text_bytes is the size of the text
 * without it, *bits (malloc()ed, *n values, one a document) the information of each document.
 * If there is none: *text_bytes = bytes, *bits = NULL, *n = 0. A damaged trailer is ERR_INPUT: a
 * last line that begins as a trailer does, even if it is cut off after 3 bytes. Only the last line
 * is looked at, so a caller that streams may pass that alone. */
int stories_trailer(const char *text, size_t bytes, size_t *text_bytes, double **bits, size_t *n,
                    struct err *e);

/* Lines that begin as a trailer does, in text from which its own is gone: of corpora that were
 * joined byte by byte. They are text like any other. */
size_t stories_trailers_inside(const char *text, size_t bytes);

#endif
