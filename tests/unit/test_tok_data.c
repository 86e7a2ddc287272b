/* Real vocabularies against the ids that other programs give: llama.cpp's test vectors (texts
 * separated by a line, ids one line each, no special tokens) and Hugging Face's for SmolLM2; and
 * round trips of real texts. Without the shared data a small generated vocabulary stands in. */
#include "err.h"
#include "par.h"
#include "tok_util.h"

#include <jansson.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LINE "\n__ggml_vocab_test__\n"

static struct tokenizer *open_file(const char *path) {
    struct err e = {0};
    struct tokenizer *t;
    if (tokenizer_open(&t, path, &e)) fail_msg("%s", e.msg);
    return t;
}

/* One line of ids. Returns what is behind it. */
static const char *read_ids(const char *line, uint32_t *ids, size_t *n, size_t max) {
    *n = 0;
    while (*line && *line != '\n') {
        char *end;
        unsigned long v = strtoul(line, &end, 10);
        if (end == line) break;
        assert_true(*n < max);
        ids[(*n)++] = (uint32_t)v;
        line = end;
    }
    line += strcspn(line, "\n");
    return *line ? line + 1 : line;
}

static void check_vectors(const struct tokenizer *t, const char *name) {
    char path[256];
    size_t bytes;
    snprintf(path, sizeof path, "tokenizers/vectors/ggml-vocab-%s.gguf.inp", name);
    const char *inp_path = data_file(path);
    if (!inp_path) return;
    char *inp = read_all(inp_path, &bytes);
    snprintf(path, sizeof path, "tokenizers/vectors/ggml-vocab-%s.gguf.out", name);
    char *out = read_all(data_file(path), &bytes);
    const char *text = inp, *line = out;
    int n_texts = 0;
    for (const char *end; (end = strstr(text, LINE)); text = end + strlen(LINE), n_texts++) {
        uint32_t ids[1024];
        size_t n;
        line = read_ids(line, ids, &n, 1024);
        check_ids(t, text, (size_t)(end - text), ids, n);
        check_round_trip(t, text, (size_t)(end - text));
    }
    assert_true(n_texts > 40 && !*line);
    print_message("%s: %d texts agree\n", name, n_texts);
    free(inp);
    free(out);
}

/* A tokenizer.json from OpenAI's pair of files: encoder.json, and merges behind a line of version.
 */
static char *from_openai(const char *encoder, const char *merges, const char *pre,
                         bool ignore_merges) {
    size_t bytes;
    char *lines = read_all(merges, &bytes), *save;
    json_t *list = json_array(), *vocab = json_load_file(encoder, 0, NULL);
    assert_non_null(vocab);
    for (char *l = strtok_r(lines, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        if (strncmp(l, "#version", 8)) json_array_append_new(list, json_string(l));
    json_t *eos = json_object_get(vocab, "<|endoftext|>");
    json_int_t id = eos ? json_integer_value(eos) : (json_int_t)json_object_size(vocab);
    json_t *root = json_pack("{s:[{s:I, s:s, s:b}], s:o, s:{s:s, s:b, s:o, s:o}}", "added_tokens",
                             "id", id, "content", "<|endoftext|>", "special", 1, "pre_tokenizer",
                             json_loads(pre, 0, NULL), "model", "type", "BPE", "ignore_merges",
                             ignore_merges, "vocab", vocab, "merges", list);
    assert_non_null(root);
    char *json = json_dumps(root, 0);
    json_decref(root);
    free(lines);
    return json;
}

static void test_gpt2(void **state) {
    (void)state;
    char encoder[1024];
    const char *path = data_file("tokenizers/gpt2-openai/encoder.json");
    if (!path) return;
    snprintf(encoder, sizeof encoder, "%s", path);
    char *json = from_openai(encoder, data_file("tokenizers/gpt2-openai/merges.txt"),
                             "{\"type\": \"ByteLevel\", \"add_prefix_space\": false}", false);
    struct tokenizer *t = open_text(json);
    assert_int_equal(tokenizer_vocab_size(t), 50257);
    assert_int_equal(tokenizer_eos(t), 50256);
    check_vectors(t, "gpt-2");
    tokenizer_close(t);
    free(json);
}

static void test_llama3(void **state) {
    (void)state;
    char encoder[1024];
    const char *path = data_file("tokenizers/llama3.2/encoder.json");
    if (!path) return;
    snprintf(encoder, sizeof encoder, "%s", path);
    char *json = from_openai(
        encoder, data_file("tokenizers/llama3.2/vocab.bpe"),
        "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": "
        "{\"Regex\": "
        "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
        "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}, "
        "\"behavior\": \"Isolated\", \"invert\": false}, {\"type\": \"ByteLevel\", "
        "\"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}]}",
        true);
    struct tokenizer *t = open_text(json);
    check_vectors(t, "llama-bpe");
    tokenizer_close(t);
    free(json);
}

static void test_llama2(void **state) {
    (void)state;
    const char *path = data_file("tokenizers/llama2/tokenizer.bin");
    if (!path) return;
    struct tokenizer *t = open_file(path);
    assert_string_equal(tokenizer_kind(t), "spm");
    assert_int_equal(tokenizer_vocab_size(t), 32000);
    assert_int_equal(tokenizer_bos(t), 1);
    assert_int_equal(tokenizer_eos(t), 2);
    check_vectors(t, "llama-spm");
    tokenizer_close(t);
}

static void check_reference(const struct tokenizer *t) {
    const char *path = data_file("tokenizers/smollm2/reference.json");
    if (!path) return;
    json_t *ref = json_load_file(path, 0, NULL), *prompt, *v;
    size_t i, k, n_prompts = 0;
    json_array_foreach(json_object_get(ref, "prompts"), i, prompt) {
        const json_t *list = json_object_get(prompt, "input_ids");
        const char *text = json_string_value(json_object_get(prompt, "text"));
        uint32_t ids[256];
        assert_true(json_array_size(list) <= 256);
        json_array_foreach((json_t *)(uintptr_t)list, k, v) ids[k] =
            (uint32_t)json_integer_value(v);
        check_ids(t, text, strlen(text), ids, json_array_size(list));
        n_prompts++;
    }
    assert_true(n_prompts > 0);
    json_decref(ref);
}

static void test_smollm2(void **state) {
    (void)state;
    const char *path = data_file("tokenizers/smollm2/tokenizer.json");
    if (!path) return;
    struct tokenizer *t = open_file(path);
    assert_string_equal(tokenizer_kind(t), "bpe");
    assert_int_equal(tokenizer_vocab_size(t), 49152);
    assert_int_equal(tokenizer_eos(t), 0);
    assert_int_equal(tokenizer_bos(t), -1);
    assert_int_equal(tokenizer_find(t, "<|im_end|>"), 2);
    check_vectors(t, "smollm");
    check_reference(t);
    struct tok_ids ids = {0}; /* this vocabulary lacks the bytes 0xF5 and 0x04, among others */
    struct err e = {0};
    assert_int_equal(tokenizer_encode(t, "a bad\xf5 byte", 11, true, false, &ids, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "0xf5"));
    assert_non_null(strstr(e.msg, "at byte 5 "));
    free(ids.ids);
    tokenizer_close(t);
}

/* All texts, whole, in every tokenizer there is. */
static void test_round_trip(void **state) {
    (void)state;
    static const char *const texts[] = {"text/tinyshakespeare.txt",
                                        "weights/stories260K/tok512.bin",
                                        "tokenizers/vectors/ggml-vocab-llama-spm.gguf.inp"};
    static const char *const tokenizers[] = {"tokenizers/llama2/tokenizer.bin",
                                             "weights/stories260K/tok512.bin",
                                             "tokenizers/smollm2/tokenizer.json"};
    char *json = small_json(NULL, NULL, NULL, NULL);
    for (size_t k = 0; k < 4; k++) {
        const char *path = k < 3 ? data_file(tokenizers[k]) : "";
        if (!path) continue;
        struct tokenizer *t = k < 3 ? open_file(path) : open_text(json);
        for (size_t i = 0; i < 3; i++) {
            size_t n;
            if (k == 2 && i == 1) continue; /* bytes that SmolLM2 has no token for */
            const char *name = data_file(texts[i]);
            char *text = name ? read_all(name, &n) : strdup("no data: a text of one's own");
            if (!name) n = strlen(text);
            check_round_trip(t, text, n);
            free(text);
        }
        tokenizer_close(t);
    }
    free(json);
}

int main(void) {
    par_init(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),       cmocka_unit_test(test_llama3),
        cmocka_unit_test(test_llama2),     cmocka_unit_test(test_smollm2),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
