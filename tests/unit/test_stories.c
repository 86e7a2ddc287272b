/* The built-in corpus: determinism, exact bookkeeping of the entropy, the quality of the text. That
 * derivations are unique is proved in test_stories_unique.c. */
#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stories.h"
#include "stories_grammar.h"

#define DOCS 10000
#define MARK "<|endoftext|>\n"
#define MARK_BYTES (sizeof MARK - 1)

static void must(int rc, const struct err *e) {
    if (rc) fail_msg("%s", e->msg);
}

static const struct story_grammar *builtin(void) {
    const struct story_grammar *g;
    struct err e = {0};
    must(story_grammar_builtin(&g, &e), &e);
    return g;
}

/* ---- documents are functions of (seed, index) */

static void test_pure(void **state) {
    (void)state;
    struct stories_doc a = {0}, b = {0};
    struct err e = {0};
    char *texts[200];
    for (uint64_t i = 0; i < 200; i++) {
        must(stories_write(7, i, &a, &e), &e);
        assert_int_equal(strlen(a.text), a.bytes);
        assert_memory_equal(a.text + a.bytes - MARK_BYTES - 1, "\n" MARK, MARK_BYTES + 1);
        texts[i] = strdup(a.text);
    }
    for (uint64_t i = 200; i-- > 0;) { /* in another order, through another buffer */
        must(stories_write(7, i, &b, &e), &e);
        assert_string_equal(b.text, texts[i]);
        for (uint64_t j = 0; j < i; j++) assert_string_not_equal(texts[i], texts[j]);
    }
    must(stories_write(8, 0, &a, &e), &e);
    assert_string_not_equal(a.text, texts[0]);
    for (int i = 0; i < 200; i++) free(texts[i]);
    stories_doc_release(&a);
    stories_doc_release(&b);
    stories_doc_release(&b); /* all zeros is fine */
}

/* ---- bits */

struct tally {
    double bits;
    uint64_t choices;
    uint32_t *count;  /* by choice (or draw) and alternative */
    double *expected; /* sum of the probabilities with which it could have been taken */
    double *spread;   /* sum of p (1 - p) */
};

static const struct story_grammar *watched;

/* Where the alternatives of a choice, or the rows of a list, have their weights. */
static uint32_t first_of(uint32_t id) {
    return id < watched->n_choices ? watched->choice[id].first
                                   : watched->list[id - watched->n_choices].first;
}

static void count_choice(void *ctx, uint32_t id, uint32_t alt, uint32_t weight, uint32_t total) {
    struct tally *t = ctx;
    bool choice = id < watched->n_choices;
    uint32_t first = first_of(id);
    uint32_t n = choice ? watched->choice[id].n : watched->list[id - watched->n_choices].n;
    uint32_t all = 0;
    assert_true(alt < n && weight <= total);
    assert_int_equal(weight, watched->weight[first + alt]);
    for (uint32_t i = 0; i < n; i++) all += watched->weight[first + i];
    if (choice)
        assert_int_equal(all, total);
    else
        assert_true(total <= all); /* rows in use are left out */
    t->bits += -log2((double)weight / total);
    t->choices++;
    if (!choice) return;
    t->count[first + alt]++;
    for (uint32_t i = 0; i < n; i++) {
        double p = (double)watched->weight[first + i] / total;
        t->expected[first + i] += p;
        t->spread[first + i] += p * (1 - p);
    }
}

static void ignore_text(void *ctx, const char *text, size_t bytes, bool word) {
    (void)ctx, (void)text, (void)bytes, (void)word;
}

/* The document's bits are the sum over its choices, and every alternative is taken as often as its
 * weight says. */
static void test_bits(void **state) {
    (void)state;
    struct stories_doc d = {0}, plain = {0};
    struct err e = {0};
    struct tally t = {0};
    const struct story_hook hook = {&t, count_choice, ignore_text};
    watched = builtin();
    t.count = calloc(watched->n_alts, sizeof *t.count);
    t.expected = calloc(watched->n_alts, sizeof *t.expected);
    t.spread = calloc(watched->n_alts, sizeof *t.spread);
    assert_true(t.count && t.expected && t.spread);
    double total = 0, bytes = 0;
    for (uint64_t i = 0; i < DOCS; i++) {
        t.bits = 0;
        must(story_grammar_write(watched, 1, i, &d, &hook, &e), &e);
        assert_true(fabs(t.bits - d.bits) < 1e-9 * t.bits);
        total += d.bits;
        bytes += (double)d.bytes;
        if (i % 100) continue;
        must(stories_write(1, i, &plain, &e), &e);
        assert_int_equal(plain.bytes, d.bytes + MARK_BYTES);
        assert_memory_equal(plain.text, d.text, d.bytes);
        assert_true(plain.bits == d.bits);
    }
    double worst = 0;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < watched->n_alts; i++) {
        if (t.spread[i] < 10) continue;
        double z = fabs(t.count[i] - t.expected[i]) / sqrt(t.spread[i]);
        worst = fmax(worst, z);
        seen++;
    }
    print_message(
        "%.4f bits per byte, %.0f bytes and %.1f choices a document; %u alternatives, worst "
        "deviation %.2f standard errors\n",
        total / bytes, bytes / DOCS, (double)t.choices / DOCS, seen, worst);
    assert_true(seen > 500);
    assert_true(worst < 5); /* about 1 in 10^6 for each of some thousand alternatives */
    free(t.count);
    free(t.expected);
    free(t.spread);
    stories_doc_release(&d);
    stories_doc_release(&plain);
}

/* A small grammar whose distribution over texts is known: the mean of the bits is the entropy, and
 * draws from a list are without replacement. */
static void test_known_entropy(void **state) {
    (void)state;
    static const char *const rows[] = {"name", "5: ann", "2: bob", "cid", NULL};
    static const struct story_list_src lists[] = {{"kid", rows}, {NULL, NULL}};
    static const struct story_rule_src rules[] = {{"story", "3:{A=kid.name} {B=kid.name}|^[x]"},
                                                  {"x", "[y A]no|3:yes"},
                                                  {"y", "{A=kid.name}{*.name}"},
                                                  {NULL, NULL}};
    static const struct story_rule_src *const files[] = {rules, NULL};
    struct story_grammar g;
    struct stories_doc d = {0};
    struct err e = {0};
    must(story_grammar_compile(&g, lists, files, &e), &e);
    const double w[3] = {5, 2, 1};
    double entropy = 0, sum = 0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            double p = i == j ? w[i] / 8 / 16 : 0.75 * w[i] / 8 * w[j] / (8 - w[i]);
            entropy -= p * log2(p);
        }
    entropy -= 3. / 16 * log2(3. / 16);
    int ann_bob = 0;
    const int n = 200000;
    for (int i = 0; i < n; i++) {
        must(story_grammar_write(&g, 5, (uint64_t)i, &d, NULL, &e), &e);
        double p = -1;
        if (strcmp(d.text, "Yes") == 0)
            p = 3. / 16;
        else if (strcmp(d.text, "Annannno") == 0)
            p = 5. / 8 / 16;
        else if (strcmp(d.text, "Bobbobno") == 0)
            p = 2. / 8 / 16;
        else if (strcmp(d.text, "Cidcidno") == 0)
            p = 1. / 8 / 16;
        else if (strcmp(d.text, "ann bob") == 0)
            p = 0.75 * 5 / 8 * 2 / 3, ann_bob++;
        else if (strcmp(d.text, "ann cid") == 0)
            p = 0.75 * 5 / 8 * 1 / 3;
        else if (strcmp(d.text, "bob ann") == 0)
            p = 0.75 * 2 / 8 * 5 / 6;
        else if (strcmp(d.text, "bob cid") == 0)
            p = 0.75 * 2 / 8 * 1 / 6;
        else if (strcmp(d.text, "cid ann") == 0)
            p = 0.75 * 1 / 8 * 5 / 7;
        else if (strcmp(d.text, "cid bob") == 0)
            p = 0.75 * 1 / 8 * 2 / 7;
        if (p < 0) fail_msg("unexpected text \"%s\"", d.text);
        assert_true(fabs(d.bits + log2(p)) < 1e-12);
        sum += d.bits;
    }
    assert_true(fabs(sum / n - entropy) < 0.02);
    assert_true(fabs((double)ann_bob / n - 0.75 * 5 / 12) < 0.01);
    stories_doc_release(&d);
    story_grammar_release(&g);
}

/* ---- the compiler refuses what is wrong */

static void refuse(const struct story_list_src *lists, const char *story, const char *word) {
    const struct story_rule_src rules[] = {
        {"story", story}, {"other", "[story]"}, {"leaf", "x"}, {NULL, NULL}};
    const struct story_rule_src *const files[] = {rules, NULL};
    struct story_grammar g;
    struct err e = {0};
    assert_int_equal(story_grammar_compile(&g, lists, files, &e), ERR_INPUT);
    if (!strstr(e.msg, word)) fail_msg("\"%s\" does not mention \"%s\"", e.msg, word);
    story_grammar_release(&g);
}

static void test_compile_errors(void **state) {
    (void)state;
    static const char *const rows[] = {"name, he", "ann, she", NULL},
                             *const pets[] = {"name", "rex", NULL},
                             *const few[] = {"name, he", "ann", NULL},
                             *const many[] = {"name", "a, b", NULL};
    static const struct story_list_src two[] = {{"kid", rows}, {"pet", pets}, {NULL, NULL}},
                                       short_row[] = {{"kid", few}, {NULL, NULL}},
                                       long_row[] = {{"kid", many}, {NULL, NULL}};
    refuse(two, "(a|b", "expected )");
    refuse(two, "a)b", "unexpected");
    refuse(two, "[nothing]", "no such rule");
    refuse(two, "[leaf", "expected ]");
    refuse(two, "{A=dog.name}", "no such list");
    refuse(two, "{A=kid.age}", "no list has this attribute");
    refuse(two, "{A=kid}", "expected an attribute");
    refuse(two, "{1.name}", "register");
    refuse(two, "0:a|b", "weight");
    refuse(two, "900:a|900:b", "weight");
    refuse(two, "{A.name}", "nothing is drawn into register A");
    refuse(two, "{*.name}", "* has no register");
    refuse(two, "{A=kid.name}{A.he}{B=pet.name}{B.he}", "has no attribute he");
    refuse(two, "[other]", "expands itself");
    refuse(two, "{A=kid.name}{B=pet.name}{A.he}", "never used");
    refuse(two, "{A=kid.name}{B=pet.name}", "never used");
    refuse(short_row, "a", "too few values");
    refuse(long_row, "a", "too many values");
}

/* ---- the text */

static size_t count_words(const char *text) {
    size_t n = 0;
    for (const char *p = text; *p; p++)
        n += isalpha((unsigned char)*p) && !isalpha((unsigned char)p[1]) && p[1] != '\'';
    return n;
}

static bool vowel(char c) {
    return c && strchr("aeiouAEIOU", c);
}

static void complain(const char *text, const char *at, const char *what) {
    fail_msg("%s at \"%.30s\" in:\n%s", what, at, text);
}

/* One sentence of the text: spacing, capitals, articles, quotation marks. */
static void check_text(const char *text) {
    bool quoted = false;
    if (!isupper((unsigned char)text[0]) && text[0] != '"') complain(text, text, "no capital");
    for (const char *p = text; *p; p++) {
        char next = p[1], prev = p > text ? p[-1] : '\n';
        if (strchr("()[]{}|^%`*=:;_0123456789", *p)) complain(text, p, "a template shows through");
        if (*p == ' ' && (next == ' ' || next == '\n' || strchr(".,!?", next)))
            complain(text, p, "blank");
        if (*p == '\n' && (next == ' ' || next == '\n')) complain(text, p, "line break");
        if (*p == '\n' && quoted) complain(text, p, "open quotation");
        if (*p == '\n' && !strchr(".!?\"", prev)) complain(text, p, "unfinished paragraph");
        if (*p == '"') {
            quoted = !quoted;
            if (quoted && !strchr(" \n", prev)) complain(text, p, "no blank before the quotation");
            if (!quoted && !strchr(".,!?", prev)) complain(text, p, "no mark ends the quotation");
            if (!quoted && !strchr(" \n", next)) complain(text, p, "no blank after the quotation");
            if (quoted && !isupper((unsigned char)next) && strncmp(p - 7, "Asked A", 7) != 0 &&
                !(p >= text + 2 && p[-2] == ',' && islower((unsigned char)next)))
                complain(text, p, "small letter begins the quotation");
        }
        if (strchr(".!?,", *p) && next != ' ' && next != '\n' && next != '"')
            complain(text, p, "blank is missing");
        if (strchr(".!?", *p) && next == ' ' && !isupper((unsigned char)p[2]) && p[2] != '"')
            complain(text, p, "small letter after a sentence");
        if (*p == '\n' && next && !isupper((unsigned char)next) && next != '"')
            complain(text, p, "small letter");
        bool word = !isalpha((unsigned char)prev) && prev != '\'';
        if (word && (*p == 'a' || *p == 'A')) {
            if (next == ' ' && vowel(p[2])) complain(text, p, "a before a vowel");
            if (next == 'n' && p[2] == ' ' && !vowel(p[3]))
                complain(text, p, "an before a consonant");
        }
    }
    if (quoted) complain(text, text, "unbalanced quotation marks");
}

/* True if text has this word. */
static bool has_word(const char *text, const char *word) {
    size_t n = strlen(word);
    for (const char *p = text; (p = strstr(p, word)) != NULL; p += n)
        if ((p == text || !isalpha((unsigned char)p[-1])) && !isalpha((unsigned char)p[n]))
            return true;
    return false;
}

static void test_text(void **state) {
    (void)state;
    struct stories_doc d = {0};
    struct err e = {0};
    size_t least = SIZE_MAX, most = 0, sum = 0;
    for (uint64_t i = 0; i < DOCS; i++) {
        must(stories_write(2, i, &d, &e), &e);
        d.text[d.bytes - MARK_BYTES] = 0;
        check_text(d.text);
        size_t words = count_words(d.text);
        least = words < least ? words : least;
        most = words > most ? words : most;
        sum += words;
        for (const char *p = d.text; (p = strchr(p, ' ')) != NULL; p++) { /* the the, a a */
            size_t n = strcspn(p + 1, " .,!?\"\n");
            if (n > 1 && p[1 + n] == ' ' && strncmp(p + 1, p + 2 + n, n) == 0 &&
                strchr(" .,!?\"\n", p[2 + 2 * n]) && strncmp(p + 1, "had", n) != 0)
                complain(d.text, p, "word twice");
        }
    }
    print_message("%zu to %zu words a story, mean %.1f\n", least, most, (double)sum / DOCS);
    assert_true(least >= 70 && most <= 260);
    assert_true(sum > 80 * (uint64_t)DOCS && sum < 200 * (uint64_t)DOCS);
    stories_doc_release(&d);
}

/* What a story says about a person and the person's attributes agree. */
struct cast {
    int n;
    uint32_t row[8];
    bool kid[8];
};

static void note_cast(void *ctx, uint32_t id, uint32_t alt, uint32_t weight, uint32_t total) {
    (void)weight, (void)total;
    struct cast *c = ctx;
    if (id < watched->n_choices) return;
    const char *list = watched->list[id - watched->n_choices].name;
    if (strcmp(list, "elder") == 0 || strcmp(list, "helper") == 0) {
        c->n = 8; /* someone else who is a he or a she */
    } else if (strcmp(list, "kid") == 0 || strcmp(list, "critter") == 0) {
        if (c->n < 8) {
            c->row[c->n] = alt;
            c->kid[c->n] = list[0] == 'k';
            c->n++;
        }
    }
}

/* Column `attr` of a row of kid or critter, as it is in the source. */
static void source_value(bool kid, uint32_t row, int column, char out[32]) {
    const struct story_list_src *l = stories_lists;
    while (strcmp(l->name, kid ? "kid" : "critter") != 0) l++;
    const char *p = l->rows[row + 1];
    if (isdigit((unsigned char)*p)) p = strchr(p, ':') + 1;
    for (; column > 0; column--) p = strchr(p, ',') + 1;
    while (*p == ' ') p++;
    size_t n = strcspn(p, ",");
    memcpy(out, p, n);
    out[n] = 0;
}

static void test_people(void **state) {
    (void)state;
    struct stories_doc d = {0};
    struct err e = {0};
    struct cast cast;
    const struct story_hook hook = {&cast, note_cast, ignore_text};
    const struct story_list_src *kids = stories_lists;
    while (strcmp(kids->name, "kid") != 0) kids++;
    int pairs = 0;
    watched = builtin();
    for (uint64_t i = 0; i < DOCS; i++) {
        cast.n = 0;
        must(story_grammar_write(watched, 3, i, &d, &hook, &e), &e);
        bool known = cast.n < 8;
        /* Everyone who was drawn is named, and no other child is. */
        for (int j = 0; j < cast.n && known; j++) {
            char name[32];
            source_value(cast.kid[j], cast.row[j], 0, name);
            if (!has_word(d.text, name)) complain(d.text, d.text, "someone is not named");
        }
        for (uint32_t r = 0; kids->rows[r + 1] && known; r++) {
            char name[32];
            bool there = false;
            source_value(true, r, 0, name);
            for (int j = 0; j < cast.n; j++) there = there || (cast.kid[j] && cast.row[j] == r);
            if (!there && has_word(d.text, name)) complain(d.text, d.text, "someone else is named");
        }
        /* With all of one gender, words of the other are wrong. */
        int she = 0;
        for (int j = 0; j < cast.n && known; j++) {
            char he[32];
            source_value(cast.kid[j], cast.row[j], cast.kid[j] ? 1 : 2, he);
            she += strcmp(he, "she") == 0;
        }
        if (!known || (she != 0 && she != cast.n)) continue;
        static const char *const his[] = {"he", "He", "him", "his", "His", "himself", "boy"},
                                 *const her[] = {"she", "She", "her", "Her", "herself", "girl"};
        for (size_t k = 0; k < (she ? sizeof his : sizeof her) / sizeof *his; k++)
            if (has_word(d.text, she ? his[k] : her[k]) && !strstr(d.text, "other "))
                complain(d.text, she ? his[k] : her[k], "pronoun of the wrong gender");
        pairs++;
    }
    print_message("%d stories of one gender\n", pairs);
    assert_true(pairs > 500);
    stories_doc_release(&d);
}

/* ---- variety: different sentence shapes, words from lists left blank */

struct shapes {
    char line[4096];
    size_t n;
    uint64_t *seen;
    size_t distinct, sentences;
    bool open; /* inside a word */
};

#define SHAPE_SLOTS (1u << 20)

static void end_shape(struct shapes *s) {
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < s->n; i++) h = (h ^ (unsigned char)s->line[i]) * 0x100000001B3u;
    h |= 1;
    size_t i = h & (SHAPE_SLOTS - 1);
    while (s->seen[i] && s->seen[i] != h) i = (i + 1) & (SHAPE_SLOTS - 1);
    if (!s->seen[i] && s->distinct < SHAPE_SLOTS / 2) {
        s->seen[i] = h;
        s->distinct++;
    }
    s->sentences++;
    s->n = 0;
}

static void note_shape(void *ctx, const char *text, size_t bytes, bool word) {
    struct shapes *s = ctx;
    if (word) {
        if (!s->open && s->n < sizeof s->line) s->line[s->n++] = '_';
        s->open = true;
        return;
    }
    s->open = false;
    for (size_t i = 0; i < bytes; i++) {
        if ((text[i] == ' ' || text[i] == '\n') && s->n && strchr(".!?", s->line[s->n - 1]))
            end_shape(s);
        else if (s->n < sizeof s->line)
            s->line[s->n++] = text[i];
    }
}

static void ignore_choice(void *ctx, uint32_t id, uint32_t alt, uint32_t weight, uint32_t total) {
    (void)ctx, (void)id, (void)alt, (void)weight, (void)total;
}

static void test_variety(void **state) {
    (void)state;
    static struct shapes s;
    const struct story_hook hook = {&s, ignore_choice, note_shape};
    struct stories_doc d = {0};
    struct err e = {0};
    s.seen = calloc(SHAPE_SLOTS, sizeof *s.seen);
    assert_non_null(s.seen);
    for (uint64_t i = 0; i < DOCS; i++) {
        must(story_grammar_write(builtin(), 4, i, &d, &hook, &e), &e);
        s.n = 0;
    }
    print_message("%zu sentence shapes in %zu sentences\n", s.distinct, s.sentences);
    assert_true(s.distinct >= 3000);
    free(s.seen);
    stories_doc_release(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pure),          cmocka_unit_test(test_bits),
        cmocka_unit_test(test_known_entropy), cmocka_unit_test(test_compile_errors),
        cmocka_unit_test(test_text),          cmocka_unit_test(test_people),
        cmocka_unit_test(test_variety),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
