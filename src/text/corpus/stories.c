#include "stories.h"
#include "rng.h"
#include "stories_grammar.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char END_MARK[] = "<|endoftext|>\n";

/* One document being written. */
struct writer {
    const struct story_grammar *g;
    const struct story_hook *hook;
    struct stories_doc *d;
    struct rng rng;
    int16_t list[STORY_REGISTERS], row[STORY_REGISTERS]; /* what registers hold; list -1: nothing */
    bool cap, article;                                   /* what ^ and % asked of the next letter */
    bool word; /* inside a value of a list or a choice of words */
    bool nomem;
};

static struct story_grammar builtin;
static struct err builtin_err;
static pthread_once_t builtin_once = PTHREAD_ONCE_INIT;

static void compile_builtin(void) {
    story_grammar_compile(&builtin, stories_lists, stories_rules, &builtin_err);
}

int story_grammar_builtin(const struct story_grammar **g, struct err *e) {
    pthread_once(&builtin_once, compile_builtin);
    *g = &builtin;
    if (builtin_err.code) *e = builtin_err;
    return builtin_err.code;
}

static void append(struct writer *w, const char *text, size_t n) {
    struct stories_doc *d = w->d;
    if (d->bytes + n + 1 > d->cap) {
        size_t cap = d->cap * 2 + n + 2048;
        char *grown = realloc(d->text, cap);
        if (!grown) {
            w->nomem = true;
            return;
        }
        d->text = grown;
        d->cap = cap;
    }
    memcpy(d->text + d->bytes, text, n);
    d->bytes += n;
}

static bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}

static void emit(struct writer *w, const char *text, size_t n) {
    char first = text[0];
    if (w->article) {
        bool an = memchr("aeiouAEIOU", first, 10) != NULL;
        append(w, w->cap ? (an ? "An " : "A ") : (an ? "an " : "a "), an ? 3 : 2);
        w->cap = w->article = false;
    }
    size_t at = w->d->bytes;
    append(w, text, n);
    if (w->cap && !w->nomem && is_lower(first)) w->d->text[at] = (char)(first - 'a' + 'A');
    w->cap = false;
    if (w->hook) w->hook->emit(w->hook->ctx, text, n, w->word);
}

/* The one place where anything is drawn: alternative i of n with probability weight[i] / total,
 * after leaving out the alternatives in skip. Adds the draw's information to the document. */
static uint32_t choose(struct writer *w, uint32_t id, const uint16_t *weight, uint32_t n,
                       uint32_t total, const int16_t *skip, int n_skip) {
    for (int s = 0; s < n_skip; s++) total -= weight[skip[s]];
    assert(total > 0);
    uint32_t x = total == 1 ? 0 : (uint32_t)rng_below(&w->rng, total), i = 0;
    for (;; i++) {
        bool out = false;
        for (int s = 0; s < n_skip; s++) out = out || skip[s] == (int16_t)i;
        if (out) continue;
        if (x < weight[i]) break;
        x -= weight[i];
    }
    assert(i < n);
    w->d->bits += w->g->log2_of[total] - w->g->log2_of[weight[i]];
    if (w->hook) w->hook->choice(w->hook->ctx, id, i, weight[i], total);
    return i;
}

/* Draws a row of the list into the register; rows that other registers hold are left out. */
static void bind(struct writer *w, int reg, uint32_t list) {
    const struct story_list *l = &w->g->list[list];
    int16_t skip[STORY_REGISTERS];
    int n_skip = 0;
    for (int r = 0; r < STORY_REGISTERS; r++)
        if (r != reg && w->list[r] == (int16_t)list) skip[n_skip++] = w->row[r];
    uint32_t row =
        choose(w, w->g->n_choices + list, w->g->weight + l->first, l->n, l->total, skip, n_skip);
    w->list[reg] = (int16_t)list;
    w->row[reg] = (int16_t)row;
}

static void expand(struct writer *w, uint32_t first, int arg) {
    const struct story_grammar *g = w->g;
    for (const struct story_op *op = g->op + first;; op++) {
        int reg = op->reg == STORY_ARG || op->reg == STORY_NONE ? arg : op->reg;
        switch ((enum story_op_kind)op->kind) {
        case STORY_END:
            return;
        case STORY_TEXT:
            emit(w, g->text + op->index, op->n);
            break;
        case STORY_CAP:
            w->cap = true;
            break;
        case STORY_ARTICLE:
            w->article = true;
            break;
        case STORY_BIND:
            bind(w, reg, op->index);
            break;
        case STORY_CHOICE: {
            const struct story_choice *c = &g->choice[op->index];
            uint32_t alt = choose(w, op->index, g->weight + c->first, c->n, c->total, NULL, 0);
            bool outer = w->word;
            w->word = c->words;
            expand(w, g->seq[c->first + alt], reg);
            w->word = outer;
            break;
        }
        case STORY_ATTR: {
            assert(reg >= 0 && w->list[reg] >= 0); /* bound before use: see the tests */
            const struct story_list *l = &g->list[w->list[reg]];
            uint32_t at = (uint32_t)w->row[reg] * l->cols + (uint32_t)l->col[op->n];
            bool outer = w->word;
            w->word = true;
            expand(w, g->value[l->value + at], reg);
            w->word = outer;
            break;
        }
        }
    }
}

int story_grammar_write(const struct story_grammar *g, uint64_t seed, uint64_t index,
                        struct stories_doc *d, const struct story_hook *hook, struct err *e) {
    struct writer w = {.g = g, .hook = hook, .d = d};
    w.rng = rng_make(seed, RNG_STORIES, index, 0, 0);
    memset(w.list, -1, sizeof w.list);
    d->bytes = 0;
    d->bits = 0;
    const struct story_op start = {.kind = STORY_CHOICE, .reg = STORY_NONE, .index = g->root};
    const struct story_choice *c = &g->choice[start.index];
    uint32_t alt = choose(&w, g->root, g->weight + c->first, c->n, c->total, NULL, 0);
    expand(&w, g->seq[c->first + alt], STORY_NONE);
    append(&w, "", 0);
    if (w.nomem) return err_set(e, ERR_NOMEM, "stories: out of memory for a document");
    d->text[d->bytes] = 0;
    return 0;
}

int stories_write(uint64_t seed, uint64_t index, struct stories_doc *d, struct err *e) {
    const struct story_grammar *g;
    int rc = story_grammar_builtin(&g, e);
    if (!rc) rc = story_grammar_write(g, seed, index, d, NULL, e);
    if (rc) return rc;
    struct writer w = {.d = d};
    append(&w, END_MARK, sizeof END_MARK - 1);
    if (w.nomem) return err_set(e, ERR_NOMEM, "stories: out of memory for a document");
    d->text[d->bytes] = 0;
    return 0;
}

void stories_doc_release(struct stories_doc *d) {
    free(d->text);
    memset(d, 0, sizeof *d);
}

/* The trailer. It is written and read in exactly one form, so that the reader can be strict. */

#define TRAILER_MARK "<|corpus|>{"
#define TRAILER_HEAD TRAILER_MARK "\"generator\":\"duet stories\",\"version\":1,\"seed\":"

int stories_trailer_write(uint64_t seed, const double *bits, size_t n, char **line, size_t *bytes,
                          struct err *e) {
    const size_t head = 160, most = 24; /* bytes of everything else, and of one value */
    if (n > (SIZE_MAX - head) / most || !(*line = malloc(head + n * most)))
        return err_set(e, ERR_NOMEM, "stories: out of memory for the trailer of %zu documents", n);
    char *p = *line;
    p += sprintf(p, TRAILER_HEAD "%" PRIu64 ",\"documents\":%zu,\"bits\":[", seed, n);
    for (size_t i = 0; i < n; i++) {
        assert(bits[i] >= 0 && bits[i] < 1e9);
        p += sprintf(p, i ? ",%.3f" : "%.3f", bits[i]);
    }
    p += sprintf(p, "]}\n");
    *bytes = (size_t)(p - *line);
    return 0;
}

struct scan {
    const char *text, *p, *end;
    struct err *e;
};

static int scan_bad(const struct scan *s, const char *expected) {
    if (s->p == s->end)
        return err_set(s->e, ERR_INPUT, "corpus trailer is cut off at byte %td: expected %s",
                       s->p - s->text, expected);
    unsigned char c = (unsigned char)*s->p;
    return err_set(s->e, ERR_INPUT,
                   "corpus trailer at byte %td: found %s%.*s (0x%02x), expected %s", s->p - s->text,
                   c > ' ' && c < 127 ? "" : "byte", c > ' ' && c < 127, s->p, c, expected);
}

static int scan_word(struct scan *s, const char *word) {
    for (const char *w = word; *w; w++, s->p++)
        if (s->p == s->end || *s->p != *w) return scan_bad(s, word);
    return 0;
}

/* Decimal digits without sign, leading zeros or overflow. */
static int scan_int(struct scan *s, uint64_t *value) {
    const char *first = s->p;
    *value = 0;
    for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++) {
        uint64_t digit = (uint64_t)(*s->p - '0');
        if ((s->p > first && *first == '0') || *value > (UINT64_MAX - digit) / 10)
            return scan_bad(s, "a whole number below 2^64");
        *value = *value * 10 + digit;
    }
    return s->p > first ? 0 : scan_bad(s, "a digit");
}

/* d or d.ddd with at most 9 digits before and 6 behind the point: mantissa and power of ten are
 * exact in a double, so one division gives the nearest value. */
static int scan_bits(struct scan *s, double *value) {
    uint64_t mantissa;
    double scale = 1;
    int rc = scan_int(s, &mantissa);
    if (rc) return rc;
    if (mantissa >= 1000000000) return scan_bad(s, "fewer than 10^9 bits in a document");
    if (s->p < s->end && *s->p == '.') {
        const char *first = ++s->p;
        for (; s->p < s->end && *s->p >= '0' && *s->p <= '9' && s->p - first < 6; s->p++) {
            mantissa = mantissa * 10 + (uint64_t)(*s->p - '0');
            scale *= 10;
        }
        if (s->p == first) return scan_bad(s, "a digit");
    }
    *value = (double)mantissa / scale;
    return 0;
}

static int scan_trailer(struct scan *s, double **bits, size_t *n) {
    uint64_t seed, count;
    int rc = 0;
    TRY(scan_word(s, TRAILER_HEAD));
    TRY(scan_int(s, &seed));
    TRY(scan_word(s, ",\"documents\":"));
    TRY(scan_int(s, &count));
    TRY(scan_word(s, ",\"bits\":["));
    /* A value takes at least two bytes, so a false count cannot make the allocation large. */
    if (count > (uint64_t)(s->end - s->p) / 2)
        TRY(err_set(s->e, ERR_INPUT,
                    "corpus trailer says %" PRIu64 " documents, but at byte %td only %td bytes are "
                    "left for their bits",
                    count, s->p - s->text, s->end - s->p));
    *bits = malloc((count ? count : 1) * sizeof **bits);
    if (!*bits)
        TRY(err_set(s->e, ERR_NOMEM, "corpus trailer: out of memory for %" PRIu64 " values",
                    count));
    for (*n = 0; *n < count; ++*n) {
        if (*n) TRY(scan_word(s, ","));
        TRY(scan_bits(s, &(*bits)[*n]));
    }
    TRY(scan_word(s, "]}\n"));
    if (s->p != s->end) TRY(scan_bad(s, "the end of the text"));
out:
    return rc;
}

int stories_trailer(const char *text, size_t bytes, size_t *text_bytes, double **bits, size_t *n,
                    struct err *e) {
    const size_t mark = sizeof TRAILER_MARK - 1, least = 3;
    const char *line = NULL;
    *text_bytes = bytes;
    *bits = NULL;
    *n = 0;
    if (bytes) {
        /* The last line: what follows the last line break that is not the last byte. */
        line = memrchr(text, '\n', bytes - 1);
        line = line ? line + 1 : text;
    }
    size_t len = line ? (size_t)(text + bytes - line) : 0;
    if (len < least || memcmp(line, TRAILER_MARK, len < mark ? len : mark) != 0) return 0;
    struct scan s = {.text = text, .p = line, .end = text + bytes, .e = e};
    int rc = scan_trailer(&s, bits, n);
    if (rc) {
        free(*bits);
        *bits = NULL;
        *n = 0;
        return rc;
    }
    *text_bytes = (size_t)(line - text);
    return 0;
}

size_t stories_trailers_inside(const char *text, size_t bytes) {
    const size_t head = sizeof TRAILER_HEAD - 1;
    const char *end = text + bytes, *p = text;
    size_t n = 0;
    while (bytes && (p = memmem(p, (size_t)(end - p), TRAILER_HEAD, head)) != NULL) {
        n += p == text || p[-1] == '\n';
        p += head;
    }
    return n;
}
