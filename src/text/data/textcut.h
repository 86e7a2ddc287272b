/* Where a text may be cut so that its parts, encoded one by one, give the tokens of the whole.
 *
 * 1. Behind a separator of documents.
 * 2. Between a line break and a letter, when the character before the line break is not white
 *    space: "end.\n|Then". No pre-tokeniser of the GPT-2 family (GPT-2, SmolLM2, Llama 3, Qwen2,
 *    nanochat) lets a piece reach over that place, and the line break is a piece of its own or the
 *    end of one either way. (After "\n\n" it is not: GPT-2 pieces of white space end one
 *    character earlier before a word than at the end of a text.)
 * 3. Between an ASCII letter and a single blank followed by an ASCII letter: "one| two".
 * Vocabularies with tokens across words or lines (none of the above) may see one token boundary
 * more at such a place. Any cut keeps the bytes of the text. */
#ifndef DUET_TEXTCUT_H
#define DUET_TEXTCUT_H

#include <stddef.h>
#include <stdint.h>

struct textcut {
    const char *sep[2]; /* texts that end a document, none inside the other */
    size_t sep_bytes[2];
    int n_sep;
};

/* The first separator in text: its index in c->sep and *at, where it starts; or -1. */
int textcut_find(const struct textcut *c, const char *text, size_t bytes, size_t *at);

/* End of the last separator in text, or 0. */
size_t textcut_document(const struct textcut *c, const char *text, size_t bytes);

/* The last place for a cut by rule 2, else by rule 3, else 0. A separator that begins in text is
 * not cut even when it ends behind it. */
size_t textcut_inside(const struct textcut *c, const char *text, size_t bytes);

/* The last boundary of UTF-8 characters that does not cut a separator which begins in text: for
 * texts that have no better place. bytes > 0; the result is not 0 unless text is shorter than a
 * separator. */
size_t textcut_anywhere(const struct textcut *c, const char *text, size_t bytes);

#endif
