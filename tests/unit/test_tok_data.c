/* Tokenizers from folders, real and made here; and round trips of every text there is. The ids of
 * real vocabularies: test_tok_vectors.c. */
#include "data.h"
#include "err.h"
#include "tok_util.h"

#include <dirent.h>
#include <jansson.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct tokenizer *open_file(const char *path) {
    struct err e = {0};
    struct tokenizer *t;
    if (tokenizer_open(&t, path, &e)) fail_msg("%s", e.msg);
    return t;
}

/* ---- folders made here ---------------------------------------------------------------------- */

static char dir[] = "/tmp/duet-test-XXXXXX";

static const char *at(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void put(const char *name, const void *data, size_t n) {
    FILE *f = fopen(at(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void put_text(const char *name, const char *text) {
    put(name, text, strlen(text));
}

/* The pair of files of small_json. */
static void put_pair(const char *vocab_name, const char *merges_name) {
    char *json = small_json(NULL, NULL, NULL, NULL), merges[1000] = "#version: 0.2\n";
    json_t *root = json_loads(json, 0, NULL);
    char *vocab = json_dumps(json_object_get(json_object_get(root, "model"), "vocab"), 0);
    for (int i = 0; i < SMALL_MERGES; i++)
        sprintf(merges + strlen(merges), "%s %s\n", small_merges[i][0], small_merges[i][1]);
    put_text(vocab_name, vocab);
    put_text(merges_name, merges);
    free(vocab);
    json_decref(root);
    free(json);
}

static int enter(void **state) {
    (void)state;
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int leave(void **state) {
    (void)state;
    DIR *d = opendir(dir);
    for (struct dirent *f; d && (f = readdir(d));) unlink(at(f->d_name));
    return !d || closedir(d) || rmdir(dir) ? -1 : 0;
}

static void refused(const char *because) {
    struct err e = {0};
    struct tokenizer *t;
    assert_int_equal(tokenizer_open(&t, dir, &e), ERR_INPUT);
    assert_null(t);
    if (!strstr(e.msg, because)) fail_msg("\"%s\" does not say \"%s\"", e.msg, because);
    assert_non_null(strstr(e.msg, dir));
}

/* The pre-tokenizer that the folder's pair is read with. */
static void check_pre(const char *pre) {
    struct vocab v;
    struct err e = {0};
    struct tokenizer *t = open_file(dir);
    if (tokenizer_to_vocab(t, &v, &e)) fail_msg("%s", e.msg);
    assert_string_equal(v.pre, pre);
    assert_int_equal(v.n_merges, SMALL_MERGES);
    vocab_release(&v);
    check_ids(t, " the inthe", 10, (const uint32_t[]){262, 220, 268}, 3);
    tokenizer_close(t);
}

/* The first of the files that are there is the tokenizer. */
static void test_order(void **state) {
    (void)state;
    size_t n;
    char *bin = small_bin(&n), *json = small_json(NULL, NULL, NULL, NULL);
    refused("a folder without a tokenizer");
    put_pair("encoder.json", "vocab.bpe");
    check_pre("gpt-2");
    unlink(at("vocab.bpe"));
    refused("a folder with neither merges.txt nor vocab.bpe");
    put_pair("vocab.json", "merges.txt");
    unlink(at("encoder.json"));
    check_pre("gpt-2");
    put_text("encoder.json", "not looked at");
    check_pre("gpt-2");
    put("tokenizer.bin", bin, n);
    struct tokenizer *t = open_file(dir);
    assert_string_equal(tokenizer_kind(t), "spm");
    struct vocab v;
    struct err e = {0};
    void *model;
    assert_int_equal(tokenizer_to_vocab(t, &v, &e), 0);
    v.scores[v.n - 1] = -77;
    assert_int_equal(tokenizer_blob_from_vocab(&v, "v", &model, &n, &e), 0);
    put("tokenizer.model", model, n);
    vocab_release(&v);
    tokenizer_close(t);
    t = open_file(dir);
    assert_int_equal(tokenizer_to_vocab(t, &v, &e), 0);
    assert_true(v.scores[v.n - 1] == -77);
    vocab_release(&v);
    tokenizer_close(t);
    put_text("tokenizer.json", json);
    t = open_file(dir);
    assert_string_equal(tokenizer_kind(t), "bpe");
    assert_int_equal(tokenizer_vocab_size(t), 257 + SMALL_MERGES);
    tokenizer_close(t);
    put_text("tokenizer.json", "{}"); /* what is broken is not passed over */
    refused("tokenizer.json");
    free(model);
    free(bin);
    free(json);
}

static void test_class(void **state) {
    (void)state;
    put_pair("vocab.json", "merges.txt");
    put_text("tokenizer_config.json", "{}");
    check_pre("gpt-2");
    put_text("tokenizer_config.json", "{\"tokenizer_class\": 7}");
    check_pre("gpt-2");
    put_text("tokenizer_config.json", "{\"tokenizer_class\": \"GPT2Tokenizer\"}");
    check_pre("gpt-2");
    put_text("tokenizer_config.json", "{\"tokenizer_class\": \"Qwen2TokenizerFast\"}");
    check_pre("qwen2");
    static const char config[] =
        "{\n\"model_max_length\": 1000000000000000019884624838656,\n\"n\": 3,\n"
        "\"tokenizer_class\": \"Qwen2Tokenizer\"}";
    put_text("tokenizer_config.json", config);
    check_pre("qwen2");
    for (size_t n = 0; n < sizeof config - 1; n++) {
        put("tokenizer_config.json", config, n);
        refused("tokenizer_config.json: line ");
    }
    put_text("tokenizer_config.json", "[]");
    refused("not a JSON object");
    struct tokenizer *t;
    struct err e = {0};
    put_text("tokenizer_config.json", "{}");
    assert_int_equal(tokenizer_open_merges(&t, dir, "smollm", &e), 0);
    tokenizer_close(t);
    assert_int_equal(tokenizer_open_merges(&t, dir, "smol", &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "\"smol\""));
    put_text("merges.txt", "#version: 0.2\nt h\nt\n");
    assert_int_equal(tokenizer_open_merges(&t, dir, "gpt-2", &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "line 3"));
    assert_null(t);
}

/* Tokens that stand in neither vocab.json nor merges.txt. */
static void test_added(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": {\"content\": \"<a>\"}}}"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"300\": {\"special\": true}}}"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"7\": {\"content\": \"!\"}}}"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"-7\": {\"content\": \"<a>\"}}}"},
        {"added_tokens.json", "{\"<a>\": 1.5}"},
        {"added_tokens.json", "{\"<a>\": \"300\"}"},
        {"added_tokens.json", "[]"},
    };
    put_pair("vocab.json", "merges.txt");
    put_text(
        "tokenizer_config.json",
        "{\"added_tokens_decoder\": {\"400\": {\"content\": \"<|im_end|>\", \"special\": true},"
        "\"402\": {\"content\": \"<tool>\", \"special\": false, \"normalized\": false}}}");
    put_text("added_tokens.json", "{\"<|im_end|>\": 400, \"<|old|>\": 401}");
    struct tokenizer *t = open_file(dir);
    assert_int_equal(tokenizer_vocab_size(t), 403);
    assert_int_equal(tokenizer_find(t, "<|im_end|>"), 400);
    assert_int_equal(tokenizer_find(t, "<|old|>"), 401);
    assert_int_equal(tokenizer_find(t, "<tool>"), 402);
    assert_true(tokenizer_is_special(t, 400) && tokenizer_is_special(t, 401));
    assert_false(tokenizer_is_special(t, 402));
    struct tok_ids ids = {0};
    struct err e = {0};
    assert_int_equal(tokenizer_encode(t, "<tool><|im_end|>", 16, true, false, &ids, &e), 0);
    assert_int_equal(ids.n, 2);
    assert_int_equal(ids.ids[0], 402);
    assert_int_equal(ids.ids[1], 400);
    free(ids.ids);
    tokenizer_close(t);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_text("tokenizer_config.json", "{}");
        put_text("added_tokens.json", "{}");
        put_text(bad[i][0], bad[i][1]);
        refused("");
    }
    put_text("tokenizer_config.json", "{}");
    put_text("added_tokens.json", "{}");
}

/* ---- real ones ------------------------------------------------------------------------------ */

static void test_folders(void **state) {
    (void)state;
    static const struct {
        const char *path, *kind;
        uint32_t n;
        int64_t bos, eos;
    } folders[] = {{"tokenizers/gpt2-openai", "bpe", 50257, -1, 50256},
                   {"tokenizers/smollm2", "bpe", 49152, -1, 0},
                   {"tokenizers/llama3.2", "bpe", 128000, -1, -1},
                   {"tokenizers/llama2", "spm", 32000, 1, 2}};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        struct tokenizer *t = open_file(data_file(folders[i].path));
        assert_string_equal(tokenizer_kind(t), folders[i].kind);
        assert_int_equal(tokenizer_vocab_size(t), folders[i].n);
        assert_int_equal(tokenizer_bos(t), folders[i].bos);
        assert_int_equal(tokenizer_eos(t), folders[i].eos);
        tokenizer_close(t);
    }
}

/* SmolLM2's vocabulary lacks the bytes 0xF5 and 0x04, among others. */
static void test_smollm2(void **state) {
    (void)state;
    struct tokenizer *t = open_file(data_file("tokenizers/smollm2/tokenizer.json"));
    assert_int_equal(tokenizer_find(t, "<|im_end|>"), 2);
    struct tok_ids ids = {0};
    struct err e = {0};
    assert_int_equal(tokenizer_encode(t, "a bad\xf5 byte", 11, true, false, &ids, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "0xf5"));
    assert_non_null(strstr(e.msg, "at byte 5 "));
    free(ids.ids);
    tokenizer_close(t);
}

#define MAX_TOKENIZERS 8

/* Those of the data that are there, and two made here. */
static size_t open_all(struct tokenizer **t) {
    static const char *const paths[] = {"tokenizers/gpt2-openai", "tokenizers/smollm2",
                                        "tokenizers/llama3.2", "tokenizers/llama2",
                                        "weights/stories260K/tok512.bin"};
    size_t n = 0, bytes;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const char *path = data_find(paths[i]);
        if (path) t[n++] = open_file(path);
    }
    char *json = small_json(NULL, NULL, NULL, NULL), *bin = small_bin(&bytes);
    struct err e = {0};
    t[n++] = open_text(json);
    assert_int_equal(tokenizer_open_blob(t + n++, bin, bytes, "small", &e), 0);
    free(json);
    free(bin);
    assert_true(n <= MAX_TOKENIZERS);
    return n;
}

/* What the vocabulary has no token for becomes a letter. */
static void make_encodable(const struct tokenizer *t, char *text, size_t n) {
    bool bad[256];
    for (int b = 0; b < 256; b++) {
        struct tok_ids ids = {0};
        struct err e = {0};
        const char c = (char)b;
        bad[b] = tokenizer_encode(t, &c, 1, false, false, &ids, &e) != 0;
        free(ids.ids);
    }
    for (size_t i = 0; i < n; i++)
        if (bad[(uint8_t)text[i]]) text[i] = 'x';
}

static void test_random(void **state) {
    (void)state;
    struct tokenizer *t[MAX_TOKENIZERS];
    struct rng r = rng_make(1, RNG_TEST, 34, 0, 0);
    const size_t n_tokenizers = open_all(t);
    for (size_t k = 0; k < n_tokenizers; k++) {
        assert_true(tokenizer_is_exact(t[k]));
        for (int i = 0; i < 60; i++) {
            static char text[5000];
            const size_t n = rng_below(&r, i % 6 ? 300 : sizeof text + 1);
            random_text(&r, (enum text_flavour)(i % 3), text, n);
            make_encodable(t[k], text, n);
            check_round_trip(t[k], text, n);
        }
        tokenizer_close(t[k]);
    }
}

struct texts {
    struct tokenizer *t[MAX_TOKENIZERS];
    size_t n_tokenizers, n_files;
};

static void check_file(struct texts *x, const char *path) {
    size_t n;
    char *text = read_all(path, &n);
    for (size_t k = 0; k < x->n_tokenizers; k++) {
        struct tok_ids ids = {0};
        struct tok_bytes back = {0};
        struct err e = {0};
        if (tokenizer_encode(x->t[k], text, n, true, false, &ids, &e) ||
            tokenizer_decode(x->t[k], ids.ids, ids.n, true, &back, &e))
            fail_msg("%s: %s", path, e.msg);
        assert_int_equal(back.n, n);
        assert_memory_equal(back.data, text, n);
        free(ids.ids);
        free(back.data);
    }
    free(text);
    x->n_files++;
}

static void check_folder(struct texts *x, const char *path) {
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d));) {
        char inner[1400];
        const char *end = strrchr(f->d_name, '.');
        snprintf(inner, sizeof inner, "%s/%s", path, f->d_name);
        if (f->d_type == DT_DIR && *f->d_name != '.') check_folder(x, inner);
        if (f->d_type == DT_REG && end &&
            (!strcmp(end, ".txt") || !strcmp(end, ".md") || !strcmp(end, ".tsv") ||
             !strcmp(end, ".inp")))
            check_file(x, inner);
    }
    closedir(d);
}

/* Every text, whole, in every tokenizer. */
static void test_texts(void **state) {
    (void)state;
    static const char *const folders[] = {"text", "tasks", "tinystories", "tokenizers/vectors"};
    struct texts x = {0};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) data_file(folders[i]);
    x.n_tokenizers = open_all(x.t);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        const size_t before = x.n_files;
        check_folder(&x, data_file(folders[i]));
        assert_true(x.n_files > before);
    }
    print_message("%zu texts in %zu tokenizers\n", x.n_files, x.n_tokenizers);
    for (size_t k = 0; k < x.n_tokenizers; k++) tokenizer_close(x.t[k]);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, enter, leave),
        cmocka_unit_test_setup_teardown(test_class, enter, leave),
        cmocka_unit_test_setup_teardown(test_added, enter, leave),
        data_test(test_folders),
        data_test(test_smollm2),
        cmocka_unit_test(test_random),
        data_test(test_texts),
    };
    return data_run(argc, argv, tests, NULL, NULL);
}
