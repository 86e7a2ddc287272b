/* The files beside the reference: the presets in models/ against exact counts and the table of
 * models/README.md, the reference's llama2.c reader against files written here, and tests/golden
 * against the data. -DSOURCE_ROOT="..." says where the source tree is. */
#include "data.h"
#include "ref_llama2c.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- models ---- */

static const struct {
    const char *name;
    uint64_t params;
    int seq_len;
} presets[] = {
    {"autoresearch", 36442624, 128},       {"autoresearch_1536", 176961024, 256},
    {"autoresearch_2048", 281036800, 256}, {"stories260k", 260032, 512}, {"demo", 1000576, 256},
    {"stories15m", 15191712, 256},         {"stories42m", 41689600, 1024},
    {"stories110m", 109529856, 256},       {"smollm2_135m", 134515008, 256},
    {"smollm2_360m", 361821120, 256},      {"qwen3_06b", 596049920, 256},
    {"qwen3_06b_compact", 459427840, 256},
};

static json_t *load(const char *path) {
    json_error_t e;
    json_t *j = json_load_file(path, 0, &e);
    if (!j) fail_msg("%s:%d: %s", path, e.line, e.text);
    return j;
}

static json_t *get(json_t *j, const char *key) {
    json_t *v = json_object_get(j, key);
    if (!v) fail_msg("no key '%s'", key);
    return v;
}

static int get_int(json_t *j, const char *key) {
    json_t *v = get(j, key);
    if (!json_is_integer(v) || json_integer_value(v) <= 0) fail_msg("'%s' is not a count", key);
    return (int)json_integer_value(v);
}

static bool get_bool(json_t *j, const char *key) {
    assert_true(json_is_boolean(get(j, key)));
    return json_is_true(get(j, key));
}

static struct ref_config preset_config(json_t *j) {
    const char *type = json_string_value(get(j, "model_type"));
    assert_non_null(type);
    json_t *duet = get(j, "duet");
    return (struct ref_config){.dim = get_int(j, "hidden_size"),
                               .hidden = get_int(j, "intermediate_size"),
                               .layers = get_int(j, "num_hidden_layers"),
                               .heads = get_int(j, "num_attention_heads"),
                               .kv_heads = get_int(j, "num_key_value_heads"),
                               .head_dim = get_int(j, "head_dim"),
                               .vocab = get_int(j, "vocab_size"),
                               .rope_theta = json_number_value(get(j, "rope_theta")),
                               .eps = json_number_value(get(j, "rms_norm_eps")),
                               .tied = get_bool(j, "tie_word_embeddings"),
                               .qk_norm = !strcmp(type, "qwen3"),
                               .qkv_bias = get_bool(j, "attention_bias"),
                               .residual_scale = json_number_value(get(duet, "residual_scale")),
                               .softcap = json_number_value(get(duet, "logit_softcap"))};
}

/* 36442624 -> "36,442,624" */
static void with_commas(char out[32], uint64_t n) {
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
}

/* The table of the README has a row "| `name.json` | count | ... |". */
static void check_readme(const char *name, uint64_t params) {
    char line[1024], start[128], count[32];
    with_commas(count, params);
    snprintf(start, sizeof start, "| `%s.json` | %s |", name, count);
    printf("%-18s %13s parameters\n", name, count);
    FILE *f = fopen(SOURCE_ROOT "/models/README.md", "r");
    assert_non_null(f);
    bool found = false;
    while (!found && fgets(line, sizeof line, f)) found = !strncmp(line, start, strlen(start));
    fclose(f);
    if (!found) fail_msg("models/README.md has no row that starts with: %s", start);
}

static void test_presets(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        char path[1024];
        snprintf(path, sizeof path, SOURCE_ROOT "/models/%s.json", presets[i].name);
        json_t *j = load(path);
        struct ref_config c = preset_config(j);
        assert_int_equal(ref_param_count(&c), presets[i].params);
        assert_int_equal(c.heads % c.kv_heads, 0);
        assert_int_equal(c.head_dim % 2, 0);
        assert_int_equal(get_int(get(j, "duet"), "seq_len"), presets[i].seq_len);
        assert_true(get_int(j, "max_position_embeddings") >= presets[i].seq_len);
        assert_true(c.eps > 0 && c.eps < 1e-4 && c.rope_theta >= 1e4 && c.residual_scale > 0);
        assert_string_equal(json_string_value(get(j, "hidden_act")), "silu");
        check_readme(presets[i].name, presets[i].params);
        json_decref(j);
    }
}

/* ---- the llama2.c reader ---- */

/* A file of the sizes in h whose floats count 0, 1, 2, ..., with `extra` bytes more or fewer. */
static void write_model(const char *path, const int32_t h[7], long floats, long extra) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(h, sizeof *h, 7, f);
    for (long i = 0; i < floats; i++) fwrite(&(float){(float)i}, sizeof(float), 1, f);
    for (long i = 0; i < extra; i++) fputc(0, f);
    fclose(f);
    if (extra < 0) assert_int_equal(truncate(path, 28 + floats * 4 + extra), 0);
}

static void temp_path(char path[64]) {
    strcpy(path, "/tmp/duet-test-ref-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
}

static void test_reader(void **state) {
    (void)state;
    /* dim 8, hidden 5, 1 layer, 2 heads of 4 and 1 kv head, 3 tokens, untied, 6 positions */
    const int32_t h[7] = {8, 5, 1, 2, 1, -3, 6};
    char path[64];
    temp_path(path);
    const long q = 24 + 8, k = q + 64, v = k + 32, o = v + 32, post = o + 64, gate = post + 8;
    const long down = gate + 40, up = down + 40, norm = up + 40, head = norm + 8 + 24,
               n = head + 24;
    struct ref_model m;
    int seq_len;
    write_model(path, h, n, 0);
    assert_true(ref_llama2c_model(&m, &seq_len, path));
    assert_int_equal(seq_len, 6);
    assert_false(m.config.tied);
    const struct ref_layer *L = m.layers;
    assert_true(m.embed[23] == 23 && L->input_layernorm[0] == 24 && L->v[0] == v && L->o[0] == o);
    assert_true(L->post_attention_layernorm[0] == post && L->gate[0] == gate && L->up[0] == up);
    assert_true(L->down[39] == down + 39 && m.norm[7] == norm + 7 && m.lm_head[23] == n - 1);
    /* Rows of a head of 4 in the file are 0, 2, 1, 3 of the split halves. */
    const int file_row[4] = {0, 2, 1, 3};
    for (int r = 0; r < 8; r++)
        assert_true(L->q[r * 8 + 5] == q + (r / 4 * 4 + file_row[r % 4]) * 8 + 5);
    for (int r = 0; r < 4; r++) assert_true(L->k[r * 8] == k + file_row[r] * 8);
    ref_model_release(&m);

    const long extra[] = {-n * 4 - 20, -n * 4, -n * 2, -97, -4, -1, 1, 4};
    for (size_t i = 0; i < sizeof extra / sizeof *extra; i++) {
        write_model(path, h, n, extra[i]);
        assert_false(ref_llama2c_model(&m, &seq_len, path));
    }
    for (int i = 0; i < 7; i++) {
        int32_t bad[7];
        memcpy(bad, h, sizeof bad);
        bad[i] = i == 3 ? 3 : i % 2 ? 0 : INT32_MAX; /* 8 is not divisible by 3 heads */
        write_model(path, bad, n, 0);
        assert_false(ref_llama2c_model(&m, &seq_len, path));
    }
    unlink(path);
    assert_false(ref_llama2c_model(&m, &seq_len, path));
}

/* ---- the tokenizer ---- */

static void put_piece(FILE *f, const char *text, float score) {
    int32_t n = (int32_t)strlen(text);
    fwrite(&score, sizeof score, 1, f);
    fwrite(&n, sizeof n, 1, f);
    fwrite(text, 1, (size_t)n, f);
}

static void test_spm(void **state) {
    (void)state;
    /* "ab" beats "bc" beats " a"; "abc" can only be made from "ab" + "c". */
    static const char *const text[] = {"ab", "bc", " a", "abc", " abc",
                                       " ",  "a",  "b",  "c",   "\xC3\xA9"};
    enum { N = sizeof text / sizeof *text };
    char path[64];
    temp_path(path);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(&(int32_t){4}, 4, 1, f);
    put_piece(f, "<unk>", 0);
    put_piece(f, "\n<s>\n", 0);
    put_piece(f, "\n</s>\n", 0);
    for (int b = 0; b < 256; b++) put_piece(f, "<0x..>", 0);
    for (int i = 0; i < N; i++) put_piece(f, text[i], -(float)i);
    fclose(f);
    struct ref_spm s;
    assert_false(ref_spm_open(&s, path, REF_SPM_TEXT + N + 1));
    assert_false(ref_spm_open(&s, path, REF_SPM_TEXT + N - 1));
    assert_true(ref_spm_open(&s, path, REF_SPM_TEXT + N));
    unlink(path);

    static const struct {
        const char *text;
        int n;
        int32_t ids[8];
    } cases[] = {
        {"", 0, {0}},
        {"abc", 1, {263}},                               /* ab, abc, then " abc" */
        {"bcab", 3, {264, 260, 259}},                    /* " ", "bc", "ab" */
        {"aab", 2, {261, 259}},                          /* the right ab first, then " a" */
        {"\xC3\xA9z\n", 4, {264, 268, 3 + 'z', 3 + 10}}, /* a character, two byte ids */
        {"\xE2\x82", 3, {264, 3 + 0xE2, 3 + 0x82}},      /* not UTF-8 */
        {"<s>", 4, {264, 3 + '<', 3 + 's', 3 + '>'}},    /* text never becomes a control id */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t ids[16] = {REF_SPM_BOS};
        int n = ref_spm_encode(&s, cases[i].text, (int)strlen(cases[i].text), ids + 1);
        assert_int_equal(n, cases[i].n);
        assert_memory_equal(ids + 1, cases[i].ids, (size_t)n * sizeof *ids);
        char *back = ref_spm_decode(&s, ids, n + 1);
        assert_string_equal(back, cases[i].text);
        free(back);
    }
    ref_spm_close(&s);
}

/* ---- golden values ---- */

static int get_ids(json_t *j, const char *key, int32_t *ids, int room) {
    json_t *list = get(j, key);
    int n = (int)json_array_size(list);
    assert_true(n > 0 && n <= room);
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    return n;
}

/* The recorded tokens are the likeliest ones, each by smallest_margin nats at least. */
static void check_greedy(const struct ref_model *m, const struct ref_spm *s, json_t *j) {
    enum { ROOM = 512 };
    int32_t ids[ROOM];
    int V = m->config.vocab, n_prompt = get_ids(j, "prompt_ids", ids, ROOM);
    int n = n_prompt + get_ids(j, "ids", ids + n_prompt, ROOM - n_prompt);
    double *z = calloc((size_t)n * (size_t)V, sizeof *z), margin = INFINITY;
    assert_non_null(z);
    ref_logits(m, ids, n - 1, z);
    for (int t = n_prompt; t < n; t++)
        for (int i = 0; i < V; i++)
            if (i != ids[t]) margin = fmin(margin, z[(t - 1) * V + ids[t]] - z[(t - 1) * V + i]);
    free(z);
    double expected = json_number_value(get(j, "smallest_margin"));
    assert_true(expected > 0.0 && fabs(margin - expected) < 1e-6);
    char *text = ref_spm_decode(s, ids, n);
    assert_string_equal(text, json_string_value(get(j, "text")));
    free(text);
}

static void check_scored(const struct ref_model *m, json_t *j) {
    int32_t ids[512];
    double logprobs[512], worst = 0.0;
    int n = get_ids(j, "ids", ids, 512) - 1;
    json_t *list = get(j, "logprobs");
    assert_int_equal(json_array_size(list), n);
    double loss = ref_score(m, ids, ids + 1, n, logprobs);
    for (int t = 0; t < n; t++) {
        double expected = json_number_value(json_array_get(list, (size_t)t));
        worst = fmax(worst, fabs(logprobs[t] - expected) / fmax(1.0, fabs(expected)));
    }
    printf("golden: %d log-probabilities, largest difference %.1e\n", n, worst);
    assert_true(worst < 1e-8);
    assert_true(fabs(loss - json_number_value(get(j, "mean_loss"))) < 1e-8);
}

static void test_golden(void **state) {
    (void)state;
    json_t *golden = load(SOURCE_ROOT "/tests/golden/stories260k.json");
    /* Whatever the data: the file is complete, and its parts agree with each other. */
    json_t *scored = get(golden, "scored"), *list = get(scored, "logprobs");
    double sum = 0.0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        double lp = json_number_value(json_array_get(list, i));
        assert_true(lp < 0.0);
        sum -= lp;
    }
    assert_true(json_array_size(list) >= 200 && json_array_size(get(golden, "greedy")) == 2);
    assert_true(fabs(sum / (double)json_array_size(list) -
                     json_number_value(get(scored, "mean_loss"))) < 1e-7);
    json_decref(golden);
}

/* Computed again from the weights. */
static void test_golden_again(void **state) {
    (void)state;
    const char *model = data_file("weights/stories260K/stories260K.bin");
    const char *tokens = data_file("weights/stories260K/tok512.bin");
    json_t *golden = load(SOURCE_ROOT "/tests/golden/stories260k.json");
    json_t *scored = get(golden, "scored");
    struct ref_model m;
    struct ref_spm s;
    int seq_len;
    assert_true(ref_llama2c_model(&m, &seq_len, model));
    assert_true(ref_spm_open(&s, tokens, m.config.vocab));
    assert_int_equal(seq_len, 512);
    assert_int_equal(ref_param_count(&m.config), get_int(golden, "params"));
    for (size_t i = 0; i < 2; i++) check_greedy(&m, &s, json_array_get(get(golden, "greedy"), i));
    check_scored(&m, scored);
    ref_spm_close(&s);
    ref_model_release(&m);
    json_decref(golden);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_presets),
        cmocka_unit_test(test_reader),
        cmocka_unit_test(test_spm),
        cmocka_unit_test(test_golden),
        data_test(test_golden_again),
    };
    return data_run(argc, argv, tests, NULL, NULL);
}
