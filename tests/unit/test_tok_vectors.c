/* Real vocabularies, from every kind of file they come in, against the ids that other programs
 * give: llama.cpp's test vectors (texts separated by a line, ids one line each, no special tokens)
 * and Hugging Face's for SmolLM2. The same through every form a tokenizer can take. And where the
 * pre-tokenizers that GGUF has names for cut, worked out by hand. */
#include "data.h"
#include "err.h"
#include "model_files.h"
#include "tok_util.h"

#include <jansson.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LINE "\n__ggml_vocab_test__\n"

static struct tokenizer *open_blob(const void *data, size_t n) {
    struct err e = {0};
    struct tokenizer *t;
    if (tokenizer_open_blob(&t, data, n, "blob", &e)) fail_msg("%s", e.msg);
    return t;
}

/* ---- forms ---------------------------------------------------------------------------------- */

/* The same special tokens, and the same bytes for every id. */
static void check_same_tokens(const struct tokenizer *a, const struct tokenizer *b) {
    const uint32_t n = tokenizer_vocab_size(a);
    assert_int_equal(tokenizer_vocab_size(b), n);
    assert_int_equal(tokenizer_bos(a), tokenizer_bos(b));
    assert_int_equal(tokenizer_eos(a), tokenizer_eos(b));
    for (uint32_t id = 0; id < n; id++) {
        size_t na, nb;
        const char *pa = tokenizer_piece(a, id ? 0 : -1, id, &na);
        const char *pb = tokenizer_piece(b, id ? 0 : -1, id, &nb);
        assert_true(na == nb && memcmp(pa, pb, na) == 0);
        assert_int_equal(tokenizer_is_special(a, id), tokenizer_is_special(b, id));
    }
}

/* pre: the name it must have in a GGUF. */
static struct tokenizer *through_vocab(const struct tokenizer *t, const char *pre) {
    struct vocab v;
    struct err e = {0};
    if (tokenizer_to_vocab(t, &v, &e)) fail_msg("%s", e.msg);
    assert_string_equal(v.pre, pre);
    assert_int_equal(v.n, tokenizer_vocab_size(t));
    struct tokenizer *again = open_vocab(&v);
    vocab_release(&v);
    check_same_tokens(t, again);
    return again;
}

static struct tokenizer *through(int (*form)(const struct tokenizer *, struct tok_bytes *,
                                             struct err *),
                                 const struct tokenizer *t) {
    struct tok_bytes out = {0};
    struct err e = {0};
    if (form(t, &out, &e)) fail_msg("%s", e.msg);
    struct tokenizer *again = open_blob(out.data, out.n);
    free(out.data);
    return again;
}

/* Runs check on t, and on what comes back from each of its forms. */
static void in_every_form(const struct tokenizer *t, const char *pre,
                          void (*check)(const struct tokenizer *, const void *), const void *x) {
    struct tokenizer *vocab = through_vocab(t, pre), *json = through(tokenizer_to_json, t);
    check(t, x);
    check(vocab, x);
    check(json, x);
    if (!strcmp(tokenizer_kind(t), "spm")) {
        struct tokenizer *bin = through(tokenizer_to_bin, t);
        check(bin, x);
        tokenizer_close(bin);
    } else {
        struct tokenizer *twice = through_vocab(json, pre);
        check(twice, x);
        tokenizer_close(twice);
    }
    tokenizer_close(json);
    tokenizer_close(vocab);
}

/* ---- vectors of other programs -------------------------------------------------------------- */

/* One line of ids. Returns what is behind it. */
static const char *read_ids(const char *line, uint32_t *ids, size_t *n, size_t max) {
    *n = 0;
    while (*line && *line != '\n') {
        char *end;
        const unsigned long v = strtoul(line, &end, 10);
        if (end == line) break;
        assert_true(*n < max);
        ids[(*n)++] = (uint32_t)v;
        line = end;
    }
    line += strcspn(line, "\n");
    return *line ? line + 1 : line;
}

static char *read_vectors(const char *name, const char *end) {
    char path[256];
    size_t bytes;
    snprintf(path, sizeof path, "tokenizers/vectors/ggml-vocab-%s.gguf.%s", name, end);
    return read_all(data_file(path), &bytes);
}

static void check_vectors(const struct tokenizer *t, const void *name) {
    char *inp = read_vectors(name, "inp"), *out = read_vectors(name, "out");
    const char *text = inp, *line = out;
    int n_texts = 0;
    for (const char *end; (end = strstr(text, LINE)); text = end + strlen(LINE), n_texts++) {
        uint32_t ids[1024];
        size_t n;
        line = read_ids(line, ids, &n, 1024);
        check_ids(t, text, (size_t)(end - text), ids, n);
        check_round_trip(t, text, (size_t)(end - text));
    }
    assert_int_equal(n_texts, 46);
    assert_true(!*text && !*line);
    free(inp);
    free(out);
}

static void check_reference(const struct tokenizer *t, const void *path) {
    json_t *ref = json_load_file(path, 0, NULL), *prompt, *v;
    size_t i, k, n_prompts = 0;
    json_array_foreach(json_object_get(ref, "prompts"), i, prompt) {
        json_t *list = json_object_get(prompt, "input_ids");
        const char *text = json_string_value(json_object_get(prompt, "text"));
        uint32_t ids[256];
        assert_true(json_array_size(list) <= 256);
        json_array_foreach(list, k, v) ids[k] = (uint32_t)json_integer_value(v);
        check_ids(t, text, strlen(text), ids, json_array_size(list));
        n_prompts++;
    }
    assert_true(n_prompts > 0);
    json_decref(ref);
}

/* path: a tokenizer, a folder, or a GGUF; pre: how a folder's merges are to be read, or NULL. */
static struct tokenizer *open_source(const char *path, const char *pre) {
    struct err e = {0};
    struct tokenizer *t;
    if (strcmp(path + strlen(path) - 5, ".gguf")) {
        const int rc =
            pre ? tokenizer_open_merges(&t, path, pre, &e) : tokenizer_open(&t, path, &e);
        if (rc) fail_msg("%s", e.msg);
        return t;
    }
    struct model_file mf;
    if (model_file_open(&mf, path, false, &e)) fail_msg("%s", e.msg);
    t = open_vocab(mf.vocab);
    model_file_close(&mf);
    return t;
}

static void test_vectors(void **state) {
    (void)state;
    static const struct {
        const char *vectors, *path, *pre;
    } sources[] = {
        {"gpt-2", "tokenizers/gpt2-openai", NULL},
        {"gpt-2", "tokenizers/vectors/ggml-vocab-gpt-2.gguf", NULL},
        {"smollm", "tokenizers/smollm2", NULL},
        {"llama-bpe", "tokenizers/llama3.2", "llama-bpe"},
        {"llama-spm", "tokenizers/llama2/tokenizer.model", NULL},
        {"llama-spm", "tokenizers/llama2/tokenizer.bin", NULL},
        {"llama-spm", "tokenizers/vectors/ggml-vocab-llama-spm.gguf", NULL},
    };
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        const char *name = sources[i].vectors;
        struct tokenizer *t = open_source(data_file(sources[i].path), sources[i].pre);
        const bool spm = !strcmp(tokenizer_kind(t), "spm");
        in_every_form(t, spm ? "" : name, check_vectors, name);
        tokenizer_close(t);
        print_message("%s: the ids of %s, in every form\n", sources[i].path, name);
    }
}

static void test_reference(void **state) {
    (void)state;
    const char *path = data_file("tokenizers/smollm2/reference.json");
    struct tokenizer *t = open_source(data_file("tokenizers/smollm2"), NULL);
    in_every_form(t, "smollm", check_reference, path);
    tokenizer_close(t);
}

/* ---- forms of a vocabulary made here -------------------------------------------------------- */

static void check_as(const struct tokenizer *t, const void *first) {
    struct rng r = rng_make(1, RNG_TEST, 33, 0, 0);
    for (int i = 0; i < 600; i++) {
        struct tok_ids want = {0};
        struct err e = {0};
        char text[200];
        const size_t n = rng_below(&r, sizeof text + 1);
        random_text(&r, (enum text_flavour)(i % 3), text, n);
        if (tokenizer_encode(first, text, n, false, false, &want, &e)) fail_msg("%s", e.msg);
        check_ids(t, text, n, want.ids, want.n);
        free(want.ids);
        if (tokenizer_is_exact(t)) check_round_trip(t, text, n);
    }
}

static void test_forms(void **state) {
    (void)state;
    static const char digits[] = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
                                 "\"individual_digits\":true},"
                                 "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}";
    static const char *const pres[][2] = {{"gpt-2", NULL}, {"smollm", digits}};
    for (size_t i = 0; i < 2; i++) {
        char *json = small_json(NULL, pres[i][1], NULL,
                                ", {\"id\": 274, \"content\": \"<user>\", \"special\": false}");
        struct tokenizer *t = open_text(json);
        in_every_form(t, pres[i][0], check_as, t);
        tokenizer_close(t);
        free(json);
    }
}

/* ---- where pre-tokenizers cut --------------------------------------------------------------- */

/* A text in GPT-2's alphabet. */
static void to_alphabet(const char *s, size_t n, char *out) {
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        char key[3];
        byte_key((uint8_t)s[i], key);
        strcat(out, key);
    }
}

/* Bytes, and merges that make one token of any piece of text: what stays apart was cut. */
static struct tokenizer *merging_all(const char *text, const char *pre) {
    static char merges[100000];
    const size_t n = strlen(text);
    json_t *vocab = json_object();
    size_t used = 0, bytes;
    char key[200], next[3];
    void *blob;
    struct err e = {0};
    for (int b = 0; b < 256; b++) {
        byte_key(b, key);
        json_object_set_new(vocab, key, json_integer(b));
    }
    for (size_t from = 0; from < n; from++)
        for (size_t to = from + 2; to <= n; to++) {
            to_alphabet(text + from, to - from, key);
            if (json_object_get(vocab, key)) continue;
            json_object_set_new(vocab, key, json_integer((json_int_t)json_object_size(vocab)));
            to_alphabet(text + from, to - from - 1, key);
            to_alphabet(text + to - 1, 1, next);
            used += (size_t)sprintf(merges + used, "%s %s\n", key, next);
        }
    char *json = json_dumps(vocab, 0);
    json_decref(vocab);
    const struct tok_merges files = {.vocab = {json, strlen(json)},
                                     .merges = {merges, used},
                                     .pre = pre};
    if (tokenizer_blob_from_merges(&files, "made", &blob, &bytes, &e))
        fail_msg("%s", e.msg);
    struct tokenizer *t = open_blob(blob, bytes);
    free(blob);
    free(json);
    return t;
}

/* The pieces of text with a bar between them. */
static void check_cuts(const struct tokenizer *t, const char *text, const char *want) {
    struct tok_ids ids = {0};
    struct err e = {0};
    char got[400] = "";
    if (tokenizer_encode(t, text, strlen(text), false, false, &ids, &e)) fail_msg("%s", e.msg);
    for (size_t i = 0; i < ids.n; i++) {
        size_t n;
        const char *s = tokenizer_piece(t, 0, ids.ids[i], &n);
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.*s", i ? "|" : "", (int)n, s);
    }
    if (strcmp(got, want)) fail_msg("\"%s\" is cut \"%s\", expected \"%s\"", text, got, want);
    free(ids.ids);
}

static const struct {
    const char *pre, *text, *cuts;
} cuts[] = {
    /* digits one by one, of any script, and no blank with them */
    {"qwen2", "ab12 345", "ab|1|2| |3|4|5"},
    {"qwen2", "\u0663\u0664x\u00bd", "\u0663|\u0664|x|\u00bd"},
    /* contractions in any case, also where a word goes on */
    {"qwen2", "I'LL we'Ve it's he'D", "I|'LL| we|'Ve| it|'s| he|'D"},
    {"qwen2", "they'RE 'Mug 'xy", "they|'RE| '|Mug| '|xy"},
    {"qwen2", "a'Mug 'tis", "a|'M|ug| '|tis"},
    {"qwen2", "'tis'", "'t|is|'"},
    /* composed before it is cut: a lone mark is no letter */
    {"qwen2", "Cafe\u0301 n\u0303u", "Caf\u00e9| \u00f1u"},
    {"qwen2", "x\u212b.", "x\u00c5|."},
    {"qwen2", "x\u0301y", "x|\u0301y"}, /* there is no such letter */
    /* lines: a run is one piece, with the blanks in front of it */
    {"qwen2", "a\n\n\nb", "a|\n\n\n|b"},
    {"qwen2", "a \n\n  b", "a| \n\n| | b"},
    {"qwen2", "a\r\nb\n c", "a|\r\n|b|\n| c"},
    {"qwen2", "Hi!?\n\nYou", "Hi|!?\n\n|You"},
    /* blanks in front and behind */
    {"qwen2", "   Hi", "  | Hi"},
    {"qwen2", "\t\tx", "\t|\tx"},
    {"qwen2", "ab  ", "ab|  "},
    {"qwen2", "  7", " | |7"},
    /* one character that is no letter may begin a word */
    {"qwen2", "(ab) -cd", "(ab|)| -|cd"},
    {"qwen2", "_ab\u00a0cd", "_ab|\u00a0cd"},
    {"llama-bpe", "ab12345 6", "ab|123|45| |6"},
    {"llama-bpe", "Cafe\u0301", "Cafe|\u0301"},
    {"llama-bpe", "I'LL\n\n go", "I|'LL|\n\n| go"},
    {"gpt-2", "ab12 345", "ab|12| 345"},
    {"gpt-2", "we've I'VE", "we|'ve| I|'|VE"},
    {"gpt-2", "a\n\nb  c", "a|\n|\n|b| | c"},
    {"gpt-2", "e\u0301 (x)", "e|\u0301| (|x|)"},
    {"smollm", "ab12 345", "ab|1|2| |3|4|5"},
    {"smollm", "we've\n\nb", "we|'ve|\n|\n|b"},
    {"default", "ab12345!x", "ab|123|45|!|x"},
};

static void test_cuts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        char joined[200] = "";
        for (const char *p = cuts[i].cuts; *p; p++)
            if (*p != '|') strncat(joined, p, 1);
        struct tokenizer *t = merging_all(joined, cuts[i].pre);
        struct tokenizer *again = through_vocab(t, cuts[i].pre);
        check_cuts(t, cuts[i].text, cuts[i].cuts);
        check_cuts(again, cuts[i].text, cuts[i].cuts);
        assert_int_equal(tokenizer_is_exact(t), strcmp(cuts[i].pre, "qwen2") != 0);
        tokenizer_close(again);
        tokenizer_close(t);
    }
}

/* Qwen2's rules with Llama 3's words. */
static void test_qwen2(void **state) {
    (void)state;
    struct tokenizer *t = open_source(data_file("tokenizers/llama3.2"), "qwen2");
    struct tokenizer *again = through_vocab(t, "qwen2");
    for (int k = 0; k < 2; k++) {
        const struct tokenizer *x = k ? again : t;
        check_cuts(x, "Hello world 2024", "Hello| world| |2|0|2|4");
        check_cuts(x, "It's me, we'll see", "It|'s| me|,| we|'ll| see");
        check_cuts(x, "A cafe\u0301.", "A| caf\u00e9|.");
        check_cuts(x, "One.\n\n   Two\n\n\n", "One|.\n\n|  | Two|\n\n\n");
    }
    tokenizer_close(again);
    tokenizer_close(t);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        data_test(test_vectors), data_test(test_reference),
        cmocka_unit_test(test_forms),   cmocka_unit_test(test_cuts),
        data_test(test_qwen2),
    };
    return data_run(argc, argv, tests, NULL, NULL);
}
