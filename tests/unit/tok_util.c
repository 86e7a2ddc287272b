#include "tok_util.h"

#include "err.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

char *read_all(const char *path, size_t *bytes) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *bytes = (size_t)ftell(f);
    rewind(f);
    char *s = malloc(*bytes + 1);
    assert_non_null(s);
    assert_int_equal(fread(s, 1, *bytes, f), *bytes);
    s[*bytes] = '\0';
    fclose(f);
    return s;
}

void random_text(struct rng *r, enum text_flavour flavour, char *text, size_t n) {
    static const char *const words[] = {"the", " then", " in", "\n", " Hen", ", ", "er", " ", "an"};
    static const char *const hard[] = {" ",
                                       "  ",
                                       "\t",
                                       "\r\n",
                                       "\n\n",
                                       "'",
                                       "'s",
                                       "'ll",
                                       "'RE",
                                       "'v",
                                       "a",
                                       "Zq",
                                       "\u00e9",
                                       "\u4e2d",
                                       "7",
                                       "42",
                                       "\u0663",
                                       "\u00bd",
                                       "\u2164",
                                       "!",
                                       "?!",
                                       "\u2028",
                                       "\u00a0",
                                       "\u3000",
                                       "\x01",
                                       "\xff",
                                       "\xc3",
                                       "\xe2\x82",
                                       "\xed\xa0\x80",
                                       "\xf0\x9f\x98\x80",
                                       "\u0301",
                                       "\u1680",
                                       "\xf4\x90\x80\x80",
                                       "\x85"};
    for (size_t i = 0; i < n;) {
        if (flavour == TEXT_BYTES) {
            text[i++] = (char)rng_next(r);
            continue;
        }
        const char *const *list = flavour == TEXT_WORDS ? words : hard;
        size_t count =
            flavour == TEXT_WORDS ? sizeof words / sizeof *words : sizeof hard / sizeof *hard;
        for (const char *p = list[rng_below(r, count)]; *p && i < n;) text[i++] = *p++;
    }
}

struct text {
    char *s;
    size_t n, cap;
};

__attribute__((format(printf, 2, 3))) static void add_text(struct text *t, const char *fmt, ...) {
    va_list ap;
    if (t->cap - t->n < 4096) {
        t->cap = 2 * t->cap + 8192;
        t->s = realloc(t->s, t->cap);
        assert_non_null(t->s);
    }
    va_start(ap, fmt);
    int n = vsnprintf(t->s + t->n, t->cap - t->n, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && (size_t)n < t->cap - t->n);
    t->n += (size_t)n;
}

/* The byte alphabet, written down a second time. */
void byte_key(int byte, char out[3]) {
    int cp = 0, others = 0;
    for (int b = 0; b <= byte; b++) {
        int plain = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        cp = plain ? b : 256 + others++;
    }
    int n = 0;
    if (cp < 0x80) {
        out[n++] = (char)cp;
    } else {
        out[n++] = (char)(0xc0 | cp >> 6);
        out[n++] = (char)(0x80 | (cp & 63));
    }
    out[n] = '\0';
}

int byte_order(int n) {
    for (int pass = 0; pass < 2; pass++)
        for (int b = 0; b < 256; b++) {
            int plain = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
            if (plain != pass && n-- == 0) return b;
        }
    return -1;
}

const char *const small_merges[SMALL_MERGES][2] = {
    {"t", "h"},  {"h", "e"},           {"i", "n"},    {"e", "r"}, {"a", "n"},
    {"th", "e"}, {"\u0120", "the"},    {"r", "e"},    {"n", "d"}, {"an", "d"},
    {"he", "n"}, {"\u0120", "\u0120"}, {"in", "the"}, {"1", "2"}, {"\u00c3", "\u00a9"},
    {"a", "a"},  {"aa", "a"},
};

char *small_json(const char *norm, const char *pre, const char *post, const char *extra) {
    struct text t = {0};
    const char *level = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false}";
    const int n_merges = SMALL_MERGES;
    add_text(&t,
             "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": ");
    add_text(&t, "[{\"id\": %d, \"content\": \"<|endoftext|>\", \"special\": true}%s],",
             256 + n_merges, extra ? extra : "");
    add_text(&t, "\"normalizer\": %s, \"pre_tokenizer\": %s,", norm ? norm : "null",
             pre ? pre : level);
    add_text(&t, "\"post_processor\": %s, \"decoder\": {\"type\": \"ByteLevel\"},",
             post ? post : "null");
    add_text(&t, "\"model\": {\"type\": \"BPE\", \"vocab\": {");
    for (int i = 0; i < 256; i++) {
        char key[3];
        byte_key(byte_order(i), key);
        const char *escape = *key == '"' || *key == '\\' ? "\\" : "";
        add_text(&t, "\"%s%s\": %d, ", escape, key, i);
    }
    for (int i = 0; i < n_merges; i++)
        add_text(&t, "\"%s%s\": %d%s", small_merges[i][0], small_merges[i][1], 256 + i,
                 i + 1 < n_merges ? ", " : "}, \"merges\": [");
    for (int i = 0; i < n_merges; i++) /* both forms */
        add_text(&t, i % 2 ? "[\"%s\", \"%s\"]%s" : "\"%s %s\"%s", small_merges[i][0],
                 small_merges[i][1], i + 1 < n_merges ? ", " : "]}}");
    return t.s;
}

static void add_entry(struct text *t, float score, const char *s) {
    uint32_t n = (uint32_t)strlen(s);
    add_text(t, "%8s%s", "", s); /* makes room */
    char *at = t->s + t->n - n - 8;
    memcpy(at, &score, 4);
    memcpy(at + 4, &n, 4);
}

char *small_bin(size_t *bytes) {
    static const struct {
        float score;
        const char *s;
    } texts[] = {{-1, " t"},   {-2, "he"},  {-2, "er"},       {-3, " the"}, {-4, "in"},
                 {-4, "an"},   {-5, "ing"}, {-6, "\xc3\xa9"}, {-7, "  "},   {-7, "    "},
                 {-8, "\n\n"}, {-9, "aa"},  {-9, "ab"},       {-9, "ba"}};
    struct text t = {0};
    add_text(&t, "%4s", "");
    add_entry(&t, 0, "<unk>");
    add_entry(&t, 0, "\n<s>\n");
    add_entry(&t, 0, "\n</s>\n");
    for (int b = 0; b < 256; b++) {
        char s[8];
        snprintf(s, sizeof s, "<0x%02X>", (unsigned)b);
        add_entry(&t, 0, s);
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        add_entry(&t, texts[i].score, texts[i].s);
    for (int c = ' '; c < 'u'; c++) add_entry(&t, (float)(-20 - c), (char[2]){(char)c, 0});
    add_entry(&t, -30, "longest");
    memcpy(t.s, &(uint32_t){7}, 4);
    *bytes = t.n;
    return t.s;
}

struct tokenizer *open_text(const char *json) {
    struct err e = {0};
    struct tokenizer *t;
    if (tokenizer_open_blob(&t, json, strlen(json), "small", &e)) fail_msg("%s", e.msg);
    return t;
}

static void same_texts(const struct vocab_text *a, const struct vocab_text *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a[i].n, b[i].n);
        assert_memory_equal(a[i].s, b[i].s, a[i].n);
    }
}

/* Neither has a vocabulary, or both have this one. */
static void same_vocab(const struct tokenizer *a, const struct tokenizer *b) {
    struct vocab x, y;
    struct err e = {0}, f = {0};
    assert_int_equal(tokenizer_to_vocab(a, &x, &e), tokenizer_to_vocab(b, &y, &f));
    assert_string_equal(e.msg, f.msg);
    if (*e.msg) return;
    assert_true(x.model == y.model && x.n == y.n && x.n_merges == y.n_merges);
    assert_string_equal(x.pre, y.pre);
    same_texts(x.tokens, y.tokens, x.n);
    same_texts(x.merges, y.merges, x.n_merges);
    assert_memory_equal(x.types, y.types, x.n);
    assert_int_equal(!x.scores, !y.scores);
    if (x.scores) assert_memory_equal(x.scores, y.scores, x.n * sizeof *x.scores);
    assert_true(x.bos == y.bos && x.eos == y.eos && x.unk == y.unk && x.pad == y.pad &&
                x.add_bos == y.add_bos && x.add_eos == y.add_eos &&
                x.add_space_prefix == y.add_space_prefix &&
                x.remove_extra_spaces == y.remove_extra_spaces);
    vocab_release(&x);
    vocab_release(&y);
}

/* The same file in a form, or the same reason. */
static void same_form(const struct tokenizer *a, const struct tokenizer *b,
                      int (*to)(const struct tokenizer *, struct tok_bytes *, struct err *)) {
    struct tok_bytes x = {0}, y = {0};
    struct err e = {0}, f = {0};
    assert_int_equal(to(a, &x, &e), to(b, &y, &f));
    assert_string_equal(e.msg, f.msg);
    assert_int_equal(x.n, y.n);
    if (x.n) assert_memory_equal(x.data, y.data, x.n);
    free(x.data);
    free(y.data);
}

static void same_ids(const struct tokenizer *a, const struct tokenizer *b, const char *text,
                     size_t n) {
    for (int how = 0; how < 4; how++) {
        struct tok_ids x = {0}, y = {0};
        struct err e = {0}, f = {0};
        assert_int_equal(tokenizer_encode(a, text, n, how & 1, how & 2, &x, &e),
                         tokenizer_encode(b, text, n, how & 1, how & 2, &y, &f));
        assert_string_equal(e.msg, f.msg);
        assert_int_equal(x.n, y.n);
        if (x.n) assert_memory_equal(x.ids, y.ids, x.n * sizeof *x.ids);
        free(x.ids);
        free(y.ids);
    }
}

static void same_tokens(const struct tokenizer *a, const struct tokenizer *b) {
    for (uint32_t id = 0; id < tokenizer_vocab_size(a); id++) {
        size_t n, m;
        const char *s = tokenizer_piece(a, 0, id, &n), *t = tokenizer_piece(b, 0, id, &m);
        assert_int_equal(n, m);
        assert_memory_equal(s, t, n);
        assert_int_equal(tokenizer_is_special(a, id), tokenizer_is_special(b, id));
    }
}

static void same_tokenizer(const struct tokenizer *a, const struct tokenizer *b) {
    char text[300];
    struct rng r = rng_make(5, RNG_TEST, 7, 0, 0);
    assert_string_equal(tokenizer_kind(a), tokenizer_kind(b));
    assert_int_equal(tokenizer_vocab_size(a), tokenizer_vocab_size(b));
    assert_true(tokenizer_hash(a) == tokenizer_hash(b));
    assert_int_equal(tokenizer_bos(a), tokenizer_bos(b));
    assert_int_equal(tokenizer_eos(a), tokenizer_eos(b));
    assert_int_equal(tokenizer_is_exact(a), tokenizer_is_exact(b));
    same_tokens(a, b);
    for (int i = 0; i < 60; i++) {
        random_text(&r, (enum text_flavour)(i % 3), text, sizeof text);
        same_ids(a, b, text, 1 + rng_below(&r, sizeof text));
    }
    same_vocab(a, b);
    same_form(a, b, tokenizer_to_json);
    same_form(a, b, tokenizer_to_bin);
}

struct tokenizer *open_vocab(const struct vocab *v) {
    struct err e = {0};
    struct tokenizer *t, *of_file;
    void *blob;
    size_t n, m;
    if (tokenizer_from_vocab(&t, v, "vocab", &e)) fail_msg("%s", e.msg);
    if (tokenizer_blob_from_vocab(v, "vocab", &blob, &n, &e)) fail_msg("%s", e.msg);
    if (tokenizer_open_blob(&of_file, blob, n, "vocab", &e)) fail_msg("%s", e.msg);
    same_tokenizer(t, of_file);
    const void *made = tokenizer_blob(t, &m);
    assert_int_equal(m, n);
    assert_memory_equal(made, blob, n);
    assert_ptr_equal(tokenizer_blob(t, &m), made); /* once */
    tokenizer_close(of_file);
    free(blob);
    return t;
}

void check_round_trip(const struct tokenizer *t, const char *text, size_t n) {
    for (int specials = 0; specials < 2; specials++) {
        struct tok_ids ids = {0};
        struct tok_bytes back = {0};
        struct err e = {0};
        if (tokenizer_encode(t, text, n, specials, false, &ids, &e)) fail_msg("%s", e.msg);
        for (size_t i = 0; i < ids.n; i++) assert_true(ids.ids[i] < tokenizer_vocab_size(t));
        if (tokenizer_decode(t, ids.ids, ids.n, true, &back, &e)) fail_msg("%s", e.msg);
        assert_int_equal(back.n, n);
        assert_memory_equal(back.data, text, n);
        free(ids.ids);
        free(back.data);
    }
}

void check_ids(const struct tokenizer *t, const char *text, size_t n, const uint32_t *want,
               size_t k) {
    struct tok_ids ids = {0};
    struct err e = {0};
    if (tokenizer_encode(t, text, n, false, false, &ids, &e)) fail_msg("%s", e.msg);
    bool same = ids.n == k && (k == 0 || memcmp(ids.ids, want, k * sizeof *want) == 0);
    if (!same) {
        print_message("text \"%.*s\"\n  got ", (int)n, text);
        for (size_t i = 0; i < ids.n; i++) print_message(" %u", ids.ids[i]);
        print_message("\n  want");
        for (size_t i = 0; i < k; i++) print_message(" %u", want[i]);
        print_message("\n");
    }
    assert_true(same);
    free(ids.ids);
}
