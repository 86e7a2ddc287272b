#include "bpe_count.h"

#include "tok.h"
#include "unicode.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)1 << 20) /* bytes of text, about, that one thread takes at a time */

struct counter {
    struct span {
        const char *text;
        size_t n;
    } * spans; /* pieces of the texts whose words do not depend on each other */
    size_t n, cap;
    struct bpe_words *words; /* of each thread */
    bool *failed;            /* of each thread: out of memory */
};

void bpe_words_release(struct bpe_words *w) {
    strmap_release(&w->words);
    free(w->counts);
    *w = (struct bpe_words){0};
}

static int add_word(struct bpe_words *w, const char *word, size_t n, uint64_t count) {
    size_t before = w->words.n;
    uint32_t i = strmap_add(&w->words, word, n);
    if (i == MAP_NONE || grow(&w->counts, &w->cap, w->words.n, sizeof *w->counts)) return -1;
    w->counts[i] = w->words.n > before ? count : w->counts[i] + count;
    return 0;
}

static void count_span(void *ctx, int64_t i, int tid) {
    struct counter *c = ctx;
    const char *text = c->spans[i].text;
    size_t n = c->spans[i].n;
    for (size_t pos = 0, end; pos < n && !c->failed[tid]; pos = end) {
        end = pretok_gpt2(text, n, pos);
        if (end - pos > BPE_WORD_MAX) end = pos + BPE_WORD_MAX;
        if (add_word(&c->words[tid], text + pos, end - pos, 1)) c->failed[tid] = true;
    }
}

/* Adds text, which holds no special, as spans of about CHUNK bytes. */
static int add_spans(struct counter *c, const char *text, size_t n, struct err *e) {
    for (size_t pos = 0, end; pos < n; pos = end) {
        end = n - pos > 2 * CHUNK ? pos + pretok_line_cut(text + pos, n - pos, CHUNK) : n;
        if (grow(&c->spans, &c->cap, c->n + 1, sizeof *c->spans))
            return err_set(e, ERR_NOMEM, "no memory to count words");
        c->spans[c->n++] = (struct span){text + pos, end - pos};
    }
    return 0;
}

/* A table whose only tokens are the specials, to find them in the texts. */
static int specials_table(struct tokenizer **t, const struct bpe_train_opts *o, struct err *e) {
    int rc;
    if (!(*t = calloc(1, sizeof **t))) return err_set(e, ERR_NOMEM, "no memory to count words");
    TRY(tok_table_init(*t, (uint32_t)o->n_specials, e));
    for (uint32_t i = 0; i < o->n_specials; i++) {
        TRY(tok_table_set(*t, i, o->specials[i], strlen(o->specials[i]), TOK_SPECIAL, e));
        TRY(tok_table_mark(*t, i, 0, e));
    }
    tok_table_finish(*t);
out:
    return rc;
}

static int find_spans(struct counter *c, const struct bpe_train_opts *o, const char *const *texts,
                      const size_t *bytes, size_t n, struct err *e) {
    struct tokenizer *t = NULL;
    int rc;
    TRY(specials_table(&t, o, e));
    for (size_t i = 0; i < n; i++) {
        size_t pos = 0;
        for (struct tok_hit hit; tok_added_find(t, 0, true, texts[i], bytes[i], pos, pos, &hit);) {
            TRY(add_spans(c, texts[i] + pos, hit.at - pos, e));
            pos = hit.at + hit.len;
        }
        TRY(add_spans(c, texts[i] + pos, bytes[i] - pos, e));
    }
out:
    tokenizer_close(t);
    return rc;
}

int bpe_count(struct bpe_words *w, const struct bpe_train_opts *o, const char *const *texts,
              const size_t *bytes, size_t n, struct err *e) {
    int rc, threads = pool_threads(o->pool);
    struct counter c = {0};
    unicode_init();
    TRY(find_spans(&c, o, texts, bytes, n, e));
    c.words = calloc((size_t)threads, sizeof *c.words);
    c.failed = calloc((size_t)threads, sizeof *c.failed);
    if (c.words && c.failed) pool_for(o->pool, (int64_t)c.n, count_span, &c);
    bool failed = !c.words || !c.failed;
    for (int t = 0; t < threads && !failed; t++) {
        failed = c.failed[t];
        for (uint32_t i = 0; i < c.words[t].words.n && !failed; i++) {
            size_t len;
            const char *word = strmap_get(&c.words[t].words, i, &len);
            failed = add_word(w, word, len, c.words[t].counts[i]);
        }
    }
    if (failed) rc = err_set(e, ERR_NOMEM, "no memory to count words");
out:
    for (int t = 0; c.words && t < threads; t++) bpe_words_release(&c.words[t]);
    free(c.words);
    free(c.failed);
    free(c.spans);
    return rc;
}
