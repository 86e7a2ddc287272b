/* Pre-tokenisation against PCRE2 and against second statements of its rules. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "pretok.h"
#include "tok_util.h"
#include "unicode.h"

#include <pcre2.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void add(struct pretok *p, enum pretok_op op, const char *pattern) {
    struct err e = {0};
    if (pretok_add(p, op, pattern, &e)) fail_msg("%s", e.msg);
}

/* What pre-tokenisers get wrong. No bar: it goes between words in the tests. */
#define BLANKS 16
static const char blanks[] =
    " |  |     |\t|\r|\n|\r\n|\n\n| \n |\v|\f|\u00a0|\u3000|\u2028|\xc2\x85|\u1680";
static const char others[] =
    "\u180e|\u200b|\x1c|'|''|'s|'S|'t|'T|'m|'D|'ll|'LL|'lL|'Re|'rE|'vE|'l|'r|'v|'\u017f|'\u017fa|"
    "\u017f|'\u212a|\u212a|a|Zq|l|e|\u00e9|\u4e2d|\u0431\u0436|\u01c5|\u02b0|\u0e01|7|42|123|12345|"
    "\u0663\u0664|\u00b2|\u2167|\u00bd|\u3007|\U0001d7d8|!|?!|...|_|-|\u2019s|\u20ac|e\u0301|"
    "\u0301|"
    "\u093f|\U0001f600|\U0001f468\u200d\U0001f469|\x01|\x7f|\xff|\x80|\xc3|\xe2\x82|\xed\xa0\x80|"
    "\xf0\x9f\x98|\xf4\x90\x80\x80|\xc0\x80";
static const char *nasty[128]; /* blanks, then others; each ends at a bar */
static size_t nasties;

static void nasty_init(void) {
    const char *const lists[] = {blanks, others};
    for (int i = 0; i < 2; i++)
        for (const char *s = lists[i]; s; s = strchr(s, '|') ? strchr(s, '|') + 1 : NULL)
            nasty[nasties++] = s;
}

#define TEXT_MAX 256

/* Appends a piece of the list, if it fits. */
static size_t piece(char *text, size_t n, size_t which) {
    const size_t len = strcspn(nasty[which], "|");
    if (n + len > TEXT_MAX) return n;
    memcpy(text + n, nasty[which], len);
    return n + len;
}

/* 1 to TEXT_MAX bytes: pieces, some many times; often blanks at the end, sometimes a NUL, or an end
 * within a character. */
static size_t nasty_text(struct rng *r, char text[TEXT_MAX]) {
    size_t n = 0;
    for (size_t k = 1 + rng_below(r, rng_below(r, 4) ? 8 : 40); k; k--) {
        const size_t which = rng_below(r, rng_below(r, 3) ? nasties : BLANKS);
        for (size_t times = rng_below(r, 8) ? 1 : rng_below(r, 12) + 1; times; times--)
            n = piece(text, n, which);
    }
    if (rng_below(r, 4) == 0) n = piece(text, n, rng_below(r, BLANKS));
    if (rng_below(r, 16) == 0) text[rng_below(r, n)] = '\0';
    return n > 1 && rng_below(r, 8) == 0 ? n - 1 : n;
}

/* Words with bars between them. */
struct words {
    char text[8 * TEXT_MAX];
    size_t n;
};

static int note(void *ctx, const char *word, size_t n, struct err *e) {
    struct words *w = ctx;
    (void)e;
    assert_true(n > 0 && w->n + n + 1 < sizeof w->text);
    if (w->n) w->text[w->n++] = '|';
    memcpy(w->text + w->n, word, n);
    w->n += n;
    w->text[w->n] = '\0';
    return 0;
}

/* Adds the words of text to *w. first: the text starts here. */
static void words_of(const struct pretok *p, const char *text, size_t n, bool first,
                     struct words *w) {
    struct pretok_scratch s = {.first = first};
    struct err e = {0};
    char *tight = malloc(n ? n : 1); /* so that a sanitizer sees a read beyond the end */
    memcpy(tight, text, n);
    if (pretok_run(p, &s, tight, n, note, w, &e)) fail_msg("%s", e.msg);
    free(tight);
    pretok_scratch_release(&s);
}

static void same_words(const struct words *have, const struct words *want, const char *what,
                       const char *text, size_t n) {
    if (have->n == want->n && memcmp(have->text, want->text, want->n) == 0) return;
    for (size_t i = 0; i < n; i++) print_error("%02x ", (uint8_t)text[i]);
    fail_msg("%s: %.*s, but want %.*s", what, (int)have->n, have->text, (int)want->n, want->text);
}

/* A pattern run by PCRE2 without pretok.c, or a plain text where code is NULL. */
struct oracle {
    const char *pattern;
    pcre2_code *code;
    pcre2_match_data *m;
};

static struct oracle oracle_open(bool regex, const char *pattern) {
    struct oracle o = {.pattern = pattern};
    int error;
    PCRE2_SIZE at;
    if (!regex) return o;
    o.code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                           &error, &at, NULL);
    assert_non_null(o.code);
    o.m = pcre2_match_data_create(1, NULL);
    return o;
}

static void oracle_close(struct oracle *o) {
    pcre2_code_free(o->code);
    pcre2_match_data_free(o->m);
}

/* Makes text what PCRE2 can read: bytes that it says are malformed become \1, of class other as
 * they are; so is U+180E, a blank to PCRE2, which becomes U+200B. */
static void clean(const struct oracle *o, char *text, size_t n) {
    static const char from[] = "\u180e", to[] = "\u200b";
    int rc;
    for (char *hit; (hit = memmem(text, n, from, 3));) memcpy(hit, to, 3);
    while ((rc = pcre2_match(o->code, (PCRE2_SPTR)text, n, 0, 0, o->m, NULL)) <
           PCRE2_ERROR_PARTIAL) {
        assert_in_range(-rc, -PCRE2_ERROR_UTF8_ERR1, -PCRE2_ERROR_UTF8_ERR21);
        text[pcre2_get_startchar(o->m)] = 1;
    }
}

/* The leftmost match from `at` on. */
static bool oracle_find(const struct oracle *o, const char *text, size_t n, size_t at, size_t *from,
                        size_t *to) {
    if (!o->code) {
        const size_t len = strlen(o->pattern);
        while (at + len <= n && memcmp(text + at, o->pattern, len)) at++;
        *from = at;
        *to = at + len;
        return *to <= n;
    }
    if (pcre2_match(o->code, (PCRE2_SPTR)text, n, at, PCRE2_NO_UTF_CHECK, o->m, NULL) < 0)
        return false;
    *from = pcre2_get_ovector_pointer(o->m)[0];
    *to = pcre2_get_ovector_pointer(o->m)[1];
    return true;
}

/* A match, or what lies between two. */
struct part {
    size_t from, to;
    bool match;
};

/* All of text as parts: the matches one after the other, none of them empty right behind another,
 * and between them what is left. */
static size_t parts_of(const struct oracle *o, const char *text, size_t n, struct part *part) {
    size_t count = 0, at = 0, end = 0, from, to;
    bool any = false;
    while (at <= n && oracle_find(o, text, n, at, &from, &to)) {
        if (any && from == to && from == end) {
            do at++;
            while (at < n && (text[at] & 0xc0) == 0x80);
            continue;
        }
        if (from > end) part[count++] = (struct part){end, from, false};
        part[count++] = (struct part){from, to, true};
        end = at = to;
        any = true;
    }
    if (end < n) part[count++] = (struct part){end, n, false};
    return count;
}

/* Split as its users know it: which neighbours stay together. */
static bool together(enum pretok_behavior behavior, bool left_match, bool right_match) {
    switch (behavior) {
    case PRETOK_CONTIGUOUS: return left_match == right_match;
    case PRETOK_MERGED_WITH_PREVIOUS: return right_match && !left_match;
    case PRETOK_MERGED_WITH_NEXT: return left_match && !right_match;
    default: return false;
    }
}

/* The words of text (read by the oracle as `seen`) by a Split. */
static void split_words(const struct oracle *o, const char *text, const char *seen, size_t n,
                        enum pretok_behavior behavior, bool invert, struct words *w) {
    static struct part part[2 * TEXT_MAX + 3];
    const size_t count = parts_of(o, seen, n, part);
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count; next++)
            if (!together(behavior, part[next - 1].match != invert, part[next].match != invert))
                break;
        if (behavior == PRETOK_REMOVED && part[i].match != invert) continue;
        if (part[next - 1].to > part[i].from)
            note(w, text + part[i].from, part[next - 1].to - part[i].from, NULL);
    }
}

static const struct {
    enum pretok_op op;
    const char *name, *pattern;
} scanners[] = {{PRETOK_GPT2, "GPT-2", PRETOK_GPT2_PATTERN},
                {PRETOK_LLAMA3, "Llama 3", PRETOK_LLAMA3_PATTERN},
                {PRETOK_QWEN2, "Qwen 2", PRETOK_QWEN2_PATTERN},
                {PRETOK_NANOCHAT, "nanochat", PRETOK_NANOCHAT_PATTERN}};

static void check_scanner(size_t which, const struct oracle *o, const char *text, size_t n) {
    struct pretok p = {0};
    struct words have = {.n = 0}, want = {.n = 0};
    char seen[TEXT_MAX];
    memcpy(seen, text, n);
    clean(o, seen, n);
    add(&p, scanners[which].op, NULL);
    words_of(&p, text, n, false, &have);
    split_words(o, text, seen, n, PRETOK_ISOLATED, false, &want);
    same_words(&have, &want, scanners[which].name, text, n);
    pretok_release(&p);
}

/* The scanners by hand cut where the official patterns do. */
static void test_scanners(void **state) {
    (void)state;
    char text[TEXT_MAX];
    for (size_t which = 0; which < 4; which++) {
        struct rng r = rng_make(1, RNG_TEST, 1, 0, 0);
        struct oracle o = oracle_open(true, scanners[which].pattern);
        for (size_t a = 0; a < nasties; a++) /* all pairs */
            for (size_t b = 0; b < nasties; b++)
                check_scanner(which, &o, text, piece(text, piece(text, 0, a), b));
        for (int i = 0; i < 8000; i++) check_scanner(which, &o, text, nasty_text(&r, text));
        for (int i = 0; i < 4000; i++) {
            const size_t n = 1 + rng_below(&r, 64);
            random_text(&r, (enum text_flavour)(i % 3), text, n);
            check_scanner(which, &o, text, n);
        }
        oracle_close(&o);
    }
}

/* A pattern is run by its scanner exactly where each match, and nothing else, is a word. */
static void test_scanner_chosen(void **state) {
    (void)state;
    for (size_t which = 0; which < 4; which++)
        for (int i = 0; i < 20; i++) {
            const enum pretok_behavior behavior = (enum pretok_behavior)(i / 4);
            const bool invert = i & 1, regex = i & 2;
            const bool whole =
                behavior == PRETOK_ISOLATED || (behavior == PRETOK_REMOVED && invert);
            struct pretok p = {0};
            struct err e = {0};
            const char *pattern = scanners[which].pattern;
            assert_int_equal(pretok_add_split(&p, regex, pattern, behavior, invert, &e), 0);
            assert_int_equal(p.n, 1);
            assert_int_equal(p.step[0].op, !regex  ? PRETOK_LITERAL
                                           : whole ? scanners[which].op
                                                   : PRETOK_REGEX);
            struct pretok scanner = {0};
            add(&scanner, scanners[which].op, NULL);
            assert_int_equal(pretok_equal(&p, &scanner), regex && whole);
            pretok_release(&p);
            pretok_release(&scanner);
            char longer[512];
            snprintf(longer, sizeof longer, "%s|x", pattern);
            assert_int_equal(pretok_add_split(&p, true, longer, behavior, invert, &e), 0);
            assert_int_equal(p.step[0].op, PRETOK_REGEX);
            pretok_release(&p);
        }
}

/* Every behaviour of Split, each way round, for patterns with and without empty matches. */
static void test_split(void **state) {
    (void)state;
    static const struct {
        bool regex;
        const char *pattern;
    } at[] = {{false, "-"},          {false, "--"},      {false, "\n "},      {false, "\u00bd"},
              {true, "-"},           {true, "\\s+"},     {true, "x*"},        {true, "(?:)"},
              {true, "\\A"},         {true, "\\z"},      {true, "\\A|a"},       {true, "(?=[a-z])"},
              {true, "(?<=\\s)"},    {true, "a|(?<=-)"}, {true, "\\p{L}*"},   {true, "\\p{N}{1,2}"},
              {true, "\\n|(?!\\n)"}, {true, "[^a-z]*?"}, {true, "[\\s\\S]+"}, {true, "\\S\\K\\s"}};
    const size_t patterns = sizeof at / sizeof *at;
    struct rng r = rng_make(1, RNG_TEST, 4, 0, 0);
    struct oracle valid = oracle_open(true, "");
    for (size_t k = 0; k < patterns + 4; k++) {
        const bool regex = k >= patterns || at[k].regex;
        const char *pattern = k < patterns ? at[k].pattern : scanners[k - patterns].pattern;
        struct oracle o = oracle_open(regex, pattern);
        for (int i = 0; i < 1200; i++) {
            const enum pretok_behavior behavior = (enum pretok_behavior)(i % 5);
            const bool invert = i / 5 & 1;
            struct pretok p = {0};
            struct err e = {0};
            struct words have = {.n = 0}, want = {.n = 0};
            char text[TEXT_MAX], seen[TEXT_MAX];
            const size_t n = nasty_text(&r, text);
            memcpy(seen, text, n);
            if (regex) clean(&valid, seen, n);
            assert_int_equal(pretok_add_split(&p, regex, pattern, behavior, invert, &e), 0);
            words_of(&p, text, n, false, &have);
            split_words(&o, text, seen, n, behavior, invert, &want);
            same_words(&have, &want, pattern, text, n);
            pretok_release(&p);
        }
        oracle_close(&o);
    }
    oracle_close(&valid);
}

static void check_split(bool regex, const char *pattern, enum pretok_behavior behavior, bool invert,
                        const char *text, const char *want) {
    struct pretok p = {0};
    struct err e = {0};
    struct words w = {.n = 0};
    assert_int_equal(pretok_add_split(&p, regex, pattern, behavior, invert, &e), 0);
    words_of(&p, text, strlen(text), true, &w);
    assert_string_equal(w.text, want);
    pretok_release(&p);
}

/* The example with which Hugging Face explains the behaviours, and what surprises. */
static void test_split_examples(void **state) {
    (void)state;
    static const char *const text = "the-final--countdown";
    for (int regex = 0; regex < 2; regex++) {
        check_split(regex, "-", PRETOK_ISOLATED, false, text, "the|-|final|-|-|countdown");
        check_split(regex, "-", PRETOK_REMOVED, false, text, "the|final|countdown");
        check_split(regex, "-", PRETOK_CONTIGUOUS, false, text, "the|-|final|--|countdown");
        check_split(regex, "-", PRETOK_MERGED_WITH_PREVIOUS, false, text,
                    "the-|final-|-|countdown");
        check_split(regex, "-", PRETOK_MERGED_WITH_NEXT, false, text, "the|-final|-|-countdown");
        check_split(regex, "-", PRETOK_ISOLATED, true, text, "the|-|final|-|-|countdown");
        check_split(regex, "-", PRETOK_REMOVED, true, text, "-|-|-");
        check_split(regex, "-", PRETOK_CONTIGUOUS, true, text, "the|-|final|--|countdown");
        check_split(regex, "-", PRETOK_MERGED_WITH_PREVIOUS, true, text, "the|-final|-|-countdown");
        check_split(regex, "-", PRETOK_MERGED_WITH_NEXT, true, text, "the-|final-|-|countdown");
        check_split(regex, "-", PRETOK_REMOVED, false, "--", "");
        check_split(regex, "-", PRETOK_MERGED_WITH_NEXT, false, "--", "-|-");
        check_split(regex, "-", PRETOK_CONTIGUOUS, false, "", "");
    }
    check_split(true, "x*", PRETOK_ISOLATED, false, "axb", "a|x|b");
    check_split(true, "(?:)", PRETOK_REMOVED, false, "a\u00e9b", "a|\u00e9|b");
    check_split(true, "(?=[A-Z])", PRETOK_MERGED_WITH_NEXT, false, "camelCaseX", "camel|Case|X");
    check_split(true, "\\w+|[^\\w\\s]+", PRETOK_REMOVED, true, "Hey, you", "Hey|,|you");
}

/* Metaspace once more: the text with marks, then a cut in front of each. */
static void metaspace_words(const char *text, size_t n, const char *mark, bool wanted, bool split,
                            struct words *w) {
    char marked[5 * TEXT_MAX];
    const size_t len = strlen(mark);
    size_t used = len, start; /* behind a mark, which counts if it is wanted and not there */
    memcpy(marked, mark, len);
    for (size_t i = 0; i < n; i++) {
        const bool blank = text[i] == ' ';
        memcpy(marked + used, blank ? mark : text + i, blank ? len : 1);
        used += blank ? len : 1;
    }
    start = wanted && (used < 2 * len || memcmp(marked + len, mark, len)) ? 0 : len;
    for (size_t i = start + 1; i <= used; i++)
        if (i == used || (split && i + len <= used && memcmp(marked + i, mark, len) == 0)) {
            note(w, marked + start, i - start, NULL);
            start = i;
        }
}

/* Every setting, alone and behind a Split. */
static void test_metaspace(void **state) {
    (void)state;
    static const char *const marks[] = {"\u2581", "_", "\U0001f600", "\u00bd"};
    struct rng r = rng_make(1, RNG_TEST, 5, 0, 0);
    for (int i = 0; i < 24000; i++) {
        const enum pretok_prepend prepend = (enum pretok_prepend)(i % 3);
        const bool split = i / 3 & 1, first = i / 6 & 1;
        const enum pretok_behavior behavior = (enum pretok_behavior)(i / 12 % 5);
        const char *mark = marks[i / 60 % 4], *at = i / 240 % 2 ? " " : "a";
        const bool two = i / 480 % 2;
        struct oracle o = oracle_open(false, two ? at : "no such text");
        struct pretok p = {0};
        struct err e = {0};
        struct words have = {.n = 0}, want = {.n = 0}, pieces = {.n = 0};
        char text[TEXT_MAX];
        size_t n = nasty_text(&r, text), len;
        if (n > TEXT_MAX / 4) n = TEXT_MAX / 4;
        if (two) assert_int_equal(pretok_add_split(&p, false, at, behavior, false, &e), 0);
        assert_int_equal(pretok_add_metaspace(&p, mark, prepend, split, &e), 0);
        words_of(&p, text, n, first, &have);
        split_words(&o, text, text, n, behavior, false, &pieces);
        const bool kept = pieces.n && (behavior != PRETOK_REMOVED || !two || *text != *at);
        for (size_t from = 0; from < pieces.n; from += len + 1) {
            const char *bar = memchr(pieces.text + from, '|', pieces.n - from);
            len = bar ? (size_t)(bar - pieces.text) - from : pieces.n - from;
            const bool wanted =
                prepend == PRETOK_ALWAYS || (prepend == PRETOK_FIRST && first && kept && from == 0);
            metaspace_words(pieces.text + from, len, mark, wanted, split, &want);
        }
        same_words(&have, &want, "Metaspace", text, n);
        pretok_release(&p);
    }
}

static void test_metaspace_examples(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum pretok_prepend prepend;
        bool split, first;
        const char *want;
    } cases[] = {
        {"Hey   friend!", PRETOK_ALWAYS, true, false, "_Hey|_|_|_friend!"},
        {"Hey   friend!", PRETOK_ALWAYS, false, false, "_Hey___friend!"},
        {"Hey you", PRETOK_FIRST, true, true, "_Hey|_you"},
        {"Hey you", PRETOK_FIRST, true, false, "Hey|_you"},
        {"Hey you", PRETOK_NEVER, true, true, "Hey|_you"},
        {" Hey", PRETOK_ALWAYS, true, true, "_Hey"}, /* there already */
        {"_Hey", PRETOK_FIRST, true, true, "_Hey"},
        {"  Hey ", PRETOK_ALWAYS, true, true, "_|_Hey|_"},
        {"\tHey\n", PRETOK_ALWAYS, true, true, "_\tHey\n"}, /* only U+0020 is a blank here */
        {" ", PRETOK_NEVER, true, true, "_"},
        {"", PRETOK_ALWAYS, true, true, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pretok p = {0};
        struct err e = {0};
        struct words w = {.n = 0};
        assert_int_equal(pretok_add_metaspace(&p, "_", cases[i].prepend, cases[i].split, &e), 0);
        words_of(&p, cases[i].text, strlen(cases[i].text), cases[i].first, &w);
        assert_string_equal(w.text, cases[i].want);
        pretok_release(&p);
    }
}

/* Every list of steps gives back every byte, in order. */
static void test_bytes_kept(void **state) {
    (void)state;
    struct pretok p[4] = {0};
    add(&p[0], PRETOK_REGEX, PRETOK_LLAMA3_PATTERN);
    add(&p[0], PRETOK_REGEX, "\\b");
    add(&p[1], PRETOK_DIGIT, NULL);
    add(&p[1], PRETOK_GPT2, NULL);
    add(&p[2], PRETOK_DIGITS, NULL);
    add(&p[2], PRETOK_REGEX, "\\w+");
    add(&p[3], PRETOK_LITERAL, "ab");
    add(&p[3], PRETOK_REGEX, "x*"); /* also matches nothing */
    struct rng r = rng_make(1, RNG_TEST, 2, 0, 0);
    for (int i = 0; i < 8000; i++) {
        struct words w = {.n = 0};
        char text[TEXT_MAX];
        const size_t n = nasty_text(&r, text);
        size_t at = 0;
        words_of(&p[i % 4], text, n, true, &w);
        for (size_t k = 0; k < w.n; k++)
            if (w.text[k] != '|') assert_true(at < n && w.text[k] == text[at++]);
        assert_int_equal(at, n);
    }
    for (int i = 0; i < 4; i++) pretok_release(&p[i]);
}

static void check_cuts(const struct pretok *p, const char *text, const char *want) {
    struct words w = {.n = 0};
    words_of(p, text, strlen(text), true, &w);
    assert_string_equal(w.text, want);
}

static void test_steps(void **state) {
    (void)state;
    struct pretok p[6] = {0};
    add(&p[0], PRETOK_DIGIT, NULL);
    add(&p[0], PRETOK_GPT2, NULL);
    check_cuts(&p[0], "a  12 b's", "a|  |1|2| b|'s"); /* the blanks before 1 stay together */
    add(&p[1], PRETOK_DIGITS, NULL);
    check_cuts(&p[1], "ab123c4", "ab|123|c|4");
    add(&p[2], PRETOK_LITERAL, "--");
    check_cuts(&p[2], "a--b----", "a|--|b|--|--");
    add(&p[3], PRETOK_GPT2, NULL);
    check_cuts(&p[3], "I'll  've \r\n x", "I|'ll| | '|ve| \r\n| x");
    add(&p[4], PRETOK_PREFIX, NULL);
    add(&p[4], PRETOK_GPT2, NULL);
    check_cuts(&p[4], "a b", " a| b");
    check_cuts(&p[4], " a b", " a| b");
    check_cuts(&p[4], "\ta", " |\t|a");
    add(&p[5], PRETOK_LITERAL, "-"); /* each piece gets one */
    add(&p[5], PRETOK_PREFIX, NULL);
    check_cuts(&p[5], "a- b", " a| -| b");
    for (int i = 0; i < 6; i++) pretok_release(&p[i]);
}

/* What pretok_line_cut finds, by trying every offset. */
static size_t line_cut(const char *text, size_t n, size_t from) {
    for (size_t at = from > 2 ? from : 2; at < n; at++)
        if (text[at - 1] == '\n' && text[at - 2] > ' ' && text[at - 2] < 0x7f && text[at] > ' ' &&
            text[at] < 0x7f)
            return at;
    return n;
}

/* Cutting at lines changes no word of any list of steps for which it is said to hold. */
static void test_line_cut(void **state) {
    (void)state;
    static const enum pretok_op lists[][2] = {
        {PRETOK_GPT2, PRETOK_GPT2},       {PRETOK_LLAMA3, PRETOK_LLAMA3},
        {PRETOK_QWEN2, PRETOK_QWEN2},     {PRETOK_NANOCHAT, PRETOK_NANOCHAT},
        {PRETOK_DIGIT, PRETOK_GPT2},      {PRETOK_DIGITS, PRETOK_LLAMA3},
        {PRETOK_NANOCHAT, PRETOK_DIGITS}, {PRETOK_LLAMA3, PRETOK_GPT2}};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        struct rng r = rng_make(1, RNG_TEST, 3, 0, 0);
        struct pretok p = {0};
        int cuts = 0;
        add(&p, lists[k][0], NULL);
        if (lists[k][1] != lists[k][0]) add(&p, lists[k][1], NULL);
        assert_true(pretok_cuts_lines(&p));
        for (int i = 0; i < 4000; i++) {
            struct words whole = {.n = 0}, parts = {.n = 0};
            char text[TEXT_MAX];
            const size_t n = nasty_text(&r, text), from = rng_below(&r, n);
            for (size_t tries = 6; tries; tries--) text[rng_below(&r, n)] = "\n\na1!'"[tries - 1];
            const size_t cut = pretok_line_cut(text, n, from);
            assert_int_equal(cut, line_cut(text, n, from));
            if (cut == n) continue;
            cuts++;
            words_of(&p, text, n, true, &whole);
            words_of(&p, text, cut, true, &parts);
            words_of(&p, text + cut, n - cut, false, &parts);
            same_words(&parts, &whole, "cut at a line", text, n);
        }
        assert_true(cuts > 500);
        pretok_release(&p);
    }
}

/* Other steps can see beyond a line, and digits alone do not end a word there. */
static void test_line_cut_refused(void **state) {
    (void)state;
    static const enum pretok_op ops[] = {PRETOK_REGEX, PRETOK_LITERAL, PRETOK_PREFIX,
                                         PRETOK_METASPACE};
    struct pretok p = {0};
    assert_false(pretok_cuts_lines(&p));
    add(&p, PRETOK_DIGIT, NULL);
    add(&p, PRETOK_DIGITS, NULL);
    assert_false(pretok_cuts_lines(&p));
    pretok_release(&p);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        add(&p, PRETOK_GPT2, NULL);
        add(&p, ops[i], ops[i] == PRETOK_PREFIX ? NULL : "a");
        assert_false(pretok_cuts_lines(&p));
        pretok_release(&p);
    }
}

static void test_errors(void **state) {
    (void)state;
    struct pretok p = {0};
    struct pretok_scratch s = {0};
    struct err e = {0};
    assert_int_equal(pretok_add(&p, PRETOK_REGEX, "(", &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "no closing parenthesis"));
    assert_int_equal(pretok_add(&p, PRETOK_REGEX, "a\\C", &e), ERR_INPUT);
    assert_int_equal(pretok_add(&p, PRETOK_LITERAL, "", &e), ERR_INPUT);
    assert_int_equal(p.n, 0);
    add(&p, PRETOK_REGEX, "(a|aa|aaa)+$"); /* needs more steps than there is time for */
    char text[100];
    memset(text, 'a', sizeof text);
    text[99] = 'b';
    struct words w = {.n = 0};
    assert_int_equal(pretok_run(&p, &s, text, sizeof text, note, &w, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "limit"));
    pretok_release(&p);
    for (int i = 0; i < PRETOK_STEPS; i++) add(&p, PRETOK_GPT2, NULL);
    assert_int_equal(pretok_add(&p, PRETOK_GPT2, NULL, &e), ERR_INPUT);
    pretok_release(&p);
    pretok_scratch_release(&s);
}

int main(void) {
    unicode_init();
    nasty_init();
    const struct CMUnitTest tests[] = {

        cmocka_unit_test(test_scanners),   cmocka_unit_test(test_scanner_chosen),
        cmocka_unit_test(test_split),      cmocka_unit_test(test_split_examples),
        cmocka_unit_test(test_metaspace),  cmocka_unit_test(test_metaspace_examples),
        cmocka_unit_test(test_bytes_kept), cmocka_unit_test(test_steps),
        cmocka_unit_test(test_line_cut),   cmocka_unit_test(test_line_cut_refused),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
