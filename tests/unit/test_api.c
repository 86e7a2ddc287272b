/* The public header alone: a model made by the command line (argument 1) through the library. */
#include "duet.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

static const char *path, *adapter;
static const char text[] = "Once upon a time, there was a cat.";

static void open_close(void **state) {
    (void)state;
    duet_model *m = NULL;
    duet_error err = {0};
    assert_int_equal(duet_api_version(), DUET_API_VERSION);
    assert_int_equal(duet_open(&m, "/nonexistent.blzt", NULL, &err), DUET_ERR_IO);
    assert_null(m);
    assert_non_null(strstr(err.msg, "/nonexistent.blzt"));
    assert_int_equal(duet_open(&m, "/nonexistent.blzt", NULL, NULL), DUET_ERR_IO);
    assert_int_equal(duet_open(&m, path, NULL, &err), DUET_OK);
    assert_true(duet_vocab_size(m) >= 257);
    assert_true(duet_param_count(m) > 0);
    assert_true(duet_context(m) > 0);
    duet_close(&m);
    assert_null(m);
    duet_close(&m);
    duet_close(NULL);
}

static void round_trip(void **state) {
    (void)state;
    duet_model *m;
    duet_error err;
    uint32_t *ids;
    char *back;
    size_t n, bytes;
    assert_int_equal(duet_open(&m, path, NULL, &err), DUET_OK);
    assert_int_equal(duet_encode(m, text, strlen(text), &ids, &n, &err), DUET_OK);
    assert_int_equal(duet_decode(m, ids, n, &back, &bytes, &err), DUET_OK);
    assert_int_equal(bytes, strlen(text));
    assert_string_equal(back, text);
    duet_free(back);
    /* a special token's name is text, unless it is to be the token */
    static const char special[] = "<|endoftext|>";
    uint32_t *plain, *token;
    size_t n_plain, n_token;
    assert_int_equal(duet_encode(m, special, strlen(special), &plain, &n_plain, &err), DUET_OK);
    duet_read_specials(m, 1);
    assert_int_equal(duet_encode(m, special, strlen(special), &token, &n_token, &err), DUET_OK);
    duet_read_specials(m, 0);
    duet_read_specials(NULL, 1);
    assert_int_equal(n_token, 1);
    assert_true(n_plain > 1 && n_plain <= strlen(special));
    duet_free(plain);
    duet_free(token);
    ids[0] = (uint32_t)duet_vocab_size(m);
    float nll[64];
    assert_int_equal(duet_decode(m, ids, 1, &back, &bytes, &err), DUET_ERR_INPUT);
    assert_int_equal(duet_score(m, ids, 3, nll, &err), DUET_ERR_INPUT);
    assert_int_equal(duet_score(m, ids, 1, nll, &err), DUET_ERR_USAGE);
    duet_free(ids);
    duet_close(&m);
}

/* Scores are those of a distribution: causal, and near ln(vocabulary) or better. */
static void score(void **state) {
    (void)state;
    duet_model *m;
    duet_error err;
    uint32_t *ids;
    size_t n;
    float a[64], b[64];
    assert_int_equal(duet_open(&m, path, NULL, &err), DUET_OK);
    assert_int_equal(duet_encode(m, text, strlen(text), &ids, &n, &err), DUET_OK);
    assert_true(n >= 8 && n <= 64);
    assert_int_equal(duet_score(m, ids, n, a, &err), DUET_OK);
    assert_int_equal(duet_score(m, ids, n - 3, b, &err), DUET_OK);
    for (size_t i = 0; i + 4 < n; i++) assert_true(fabsf(a[i] - b[i]) < 1e-4f);
    for (size_t i = 0; i + 1 < n; i++)
        assert_true(a[i] > 0 && a[i] < 2 * log((double)duet_vocab_size(m)) + 5);
    duet_free(ids);
    duet_close(&m);
}

struct sink {
    char text[4096];
    size_t n;
    int calls, stop_after;
};

static int collect(void *ctx, const char *bytes, size_t n) {
    struct sink *s = ctx;
    if (s->n + n < sizeof s->text) memcpy(s->text + s->n, bytes, n), s->n += n;
    return ++s->calls == s->stop_after;
}

static void generate(void **state) {
    (void)state;
    duet_model *m;
    duet_error err;
    struct sink a = {0}, b = {0}, c = {.stop_after = 3};
    duet_sampling s = duet_default_sampling();
    s.max_tokens = 20;
    s.seed = 5;
    assert_int_equal(duet_open(&m, path, NULL, &err), DUET_OK);
    assert_int_equal(duet_generate(m, "Once", &s, collect, &a, &err), DUET_OK);
    assert_int_equal(duet_generate(m, "Once", &s, collect, &b, &err), DUET_OK);
    assert_int_equal(duet_generate(m, "Once", &s, collect, &c, &err), DUET_OK);
    assert_true(a.calls > 3 && a.calls <= 20);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.text, b.text, a.n);
    assert_int_equal(c.calls, 3);
    duet_close(&m);
}

static double loss(duet_model *m) {
    duet_error err;
    uint32_t *ids;
    size_t n;
    float nll[64];
    double sum = 0;
    assert_int_equal(duet_encode(m, text, strlen(text), &ids, &n, &err), DUET_OK);
    assert_int_equal(duet_score(m, ids, n, nll, &err), DUET_OK);
    for (size_t i = 0; i + 1 < n; i++) sum += (double)nll[i];
    duet_free(ids);
    return sum;
}

/* An adapter counts, counts double, and is gone: the base alone is the base. */
static void adapters(void **state) {
    (void)state;
    duet_model *base, *m;
    duet_error err = {0};
    assert_int_equal(duet_open(&base, path, NULL, &err), DUET_OK);
    assert_int_equal(duet_adapter_scale(base, 1, &err), DUET_ERR_USAGE);
    assert_int_equal(duet_adapter_unload(base, &err), DUET_ERR_USAGE);
    assert_int_equal(duet_open_adapter(&m, path, path, NULL, &err), DUET_ERR_INPUT);
    assert_int_equal(duet_open_adapter(&m, path, adapter, NULL, &err), DUET_OK);
    const double plain = loss(base), one = loss(m);
    assert_true(fabs(one - plain) > 1e-3);
    assert_int_equal(duet_adapter_scale(m, 2, &err), DUET_OK);
    assert_true(fabs(loss(m) - one) > 1e-3);
    assert_int_equal(duet_adapter_scale(m, 0, &err), DUET_OK);
    assert_true(fabs(loss(m) - plain) < 1e-6 * plain);
    assert_int_equal(duet_adapter_unload(m, &err), DUET_OK);
    assert_true(loss(m) == plain);
    assert_int_equal(duet_param_count(m), duet_param_count(base));
    duet_close(&m);
    duet_close(&base);
}

/* A run's folder is its model; a LoRA run's its base with its adapter. */
static void folders(void **state) {
    (void)state;
    duet_model *file, *folder;
    duet_error err = {0};
    char run[128], lora[128];
    snprintf(run, sizeof run, "%.*s", (int)(strrchr(path, '/') - path), path);
    snprintf(lora, sizeof lora, "%.*s", (int)(strrchr(adapter, '/') - adapter), adapter);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(i ? duet_open_adapter(&file, path, adapter, NULL, &err)
                           : duet_open(&file, path, NULL, &err),
                         DUET_OK);
        if (duet_open(&folder, i ? lora : run, NULL, &err)) fail_msg("%s", err.msg);
        assert_true(loss(folder) == loss(file));
        assert_int_equal(duet_adapter_unload(folder, &err), i ? DUET_OK : DUET_ERR_USAGE);
        duet_close(&file);
        duet_close(&folder);
    }
    assert_int_equal(duet_open_adapter(&file, run, lora, NULL, &err), DUET_OK);
    duet_close(&file);
    assert_int_equal(duet_open_adapter(&file, lora, adapter, NULL, &err), DUET_ERR_USAGE);
    assert_non_null(strstr(err.msg, "lora is a LoRA run, with its own adapter"));
    assert_null(file);
}

/* Another format, the same function; what makes no sense is said. The script's folder is here. */
static void conversion(void **state) {
    (void)state;
    duet_model *base, *m;
    duet_error err = {0};
    assert_int_equal(duet_open(&base, path, NULL, &err), DUET_OK);
    if (duet_convert(path, "api.gguf", "gguf", NULL, &err)) fail_msg("%s", err.msg);
    if (duet_open(&m, "api.gguf", NULL, &err)) fail_msg("%s", err.msg);
    assert_true(loss(m) == loss(base));
    duet_close(&m);
    if (duet_convert(path, "api-hf", "hf", "bf16", &err)) fail_msg("%s", err.msg);
    if (duet_open(&m, "api-hf", NULL, &err)) fail_msg("%s", err.msg);
    assert_true(loss(m) != loss(base) && fabs(loss(m) - loss(base)) < 0.05 * loss(base));
    duet_close(&m);
    duet_close(&base);
    assert_int_equal(duet_convert(path, "x", "nothing", NULL, &err), DUET_ERR_USAGE);
    assert_int_equal(duet_convert(path, "x", "gguf", "f33", &err), DUET_ERR_USAGE);
    assert_int_equal(duet_convert(path, "x", "hf", "q8_0", &err), DUET_ERR_USAGE);
    assert_int_equal(duet_convert(adapter, "x", "gguf", NULL, &err), DUET_ERR_INPUT);
    /* one of a run's own files */
    assert_int_equal(duet_convert(path, adapter, "blzt5", NULL, &err), DUET_ERR_USAGE);
    assert_non_null(strstr(err.msg, "is a name of the training run"));
    assert_int_equal(duet_convert("not there", "x", "gguf", NULL, &err), DUET_ERR_IO);
}

/* What a type or a key cannot be is said, and nothing is left behind; what was assumed comes with
 * the conversion, and set says otherwise. */
static int there(const char *name) {
    FILE *f = fopen(name, "rb");
    if (f) fclose(f);
    return f != NULL;
}

static void conversion_options(void **state) {
    (void)state;
    static const char *const only_read[] = {"q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k"},
                      *const no_weights[] = {"i8", "u16", "u32"};
    duet_error err = {0};
    duet_model *m;
    char *notes;
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(duet_convert(path, "t.gguf", "gguf", only_read[i], &err), DUET_ERR_USAGE);
        if (!strstr(err.msg, only_read[i]) || !strstr(err.msg, "are only read"))
            fail_msg("%s", err.msg);
    }
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(duet_convert(path, "t.gguf", "gguf", no_weights[i], &err), DUET_ERR_USAGE);
    assert_false(there("t.gguf") || there("t.gguf.duet-tmp"));

    if (duet_convert_with(path, "t.bin", "llama2c", NULL, &notes, &err)) fail_msg("%s", err.msg);
    if (!strstr(notes, "The tokenizer is not written")) fail_msg("%s", notes);
    duet_free(notes);
    if (duet_convert_with("t.bin", "t.gguf", "gguf", NULL, &notes, &err)) fail_msg("%s", err.msg);
    if (!strstr(notes, "does not say rope_theta (10000 is assumed)")) fail_msg("%s", notes);
    duet_free(notes);

    static const char *const set[] = {"rope_theta=500", "rms_norm_eps=1e-5", NULL},
                      *const bad[] = {"rope_theta", NULL}, *const wrong[] = {"rope_theta=x", NULL};
    const duet_conversion all = {.dtype = "f16", .tokenizer = "byte", .set = set};
    if (duet_convert_with("t.bin", "t.blzt", "blzt5", &all, &notes, &err)) fail_msg("%s", err.msg);
    if (strstr(notes, "rope_theta")) fail_msg("%s", notes);
    duet_free(notes);
    const uint32_t ids[3] = {65, 66, 67};
    float a[2], b[2];
    if (duet_open(&m, "t.blzt", NULL, &err)) fail_msg("%s", err.msg);
    assert_null(duet_assumed(m));
    assert_int_equal(duet_score(m, ids, 3, a, &err), DUET_OK);
    uint32_t *of_text;
    size_t n;
    assert_int_equal(duet_encode(m, "a", 1, &of_text, &n, &err), DUET_OK); /* its tokenizer */
    assert_int_equal(of_text[0], 'a');
    duet_free(of_text);
    duet_close(&m);
    if (duet_open(&m, "t.bin", NULL, &err)) fail_msg("%s", err.msg);
    assert_int_equal(duet_score(m, ids, 3, b, &err), DUET_OK);
    assert_true(a[1] != b[1]);
    duet_close(&m);

    assert_int_equal(duet_convert_with("t.bin", "u.blzt", "blzt5",
                                       &(duet_conversion){.set = bad}, &notes, &err),
                     DUET_ERR_USAGE);
    assert_string_equal(err.msg, "set: expected key=value, found \"rope_theta\"");
    assert_null(notes);
    assert_int_not_equal(duet_convert_with("t.bin", "u.blzt", "blzt5",
                                           &(duet_conversion){.set = wrong}, NULL, &err),
                         DUET_OK);
    assert_false(there("u.blzt"));
}

/* Numbers that no sampling and no adapter can have. */
static void nonsense(void **state) {
    (void)state;
    duet_model *m;
    duet_error err;
    struct sink s = {.n = 0};
    const duet_sampling d = duet_default_sampling();
    duet_sampling o[12];
    for (size_t i = 0; i < 12; i++) o[i] = d;
    o[0].temperature = NAN, o[1].temperature = -1, o[2].temperature = INFINITY;
    o[3].top_p = NAN, o[4].top_p = 2, o[5].top_p = -0.5;
    o[6].min_p = NAN, o[7].min_p = 2, o[8].min_p = -1;
    o[9].top_k = -5, o[10].max_tokens = -3, o[11].max_tokens = INT64_MIN;
    static const char *const names[] = {"temperature", "top_p", "min_p"};
    if (duet_open_adapter(&m, path, adapter, NULL, &err)) fail_msg("%s", err.msg);
    for (size_t i = 0; i < 12; i++) {
        assert_int_equal(duet_generate(m, "a", o + i, collect, &s, &err), DUET_ERR_USAGE);
        const char *name = i < 9 ? names[i / 3] : i == 9 ? "top_k" : "tokens to generate";
        if (strncmp(err.msg, name, strlen(name)) != 0) fail_msg("%s", err.msg);
    }
    assert_int_equal(s.calls, 0);
    o[0] = d;
    o[0].max_tokens = 0;
    assert_int_equal(duet_generate(m, "a", o, collect, &s, &err), DUET_OK);
    assert_int_equal(s.calls, 0);
    const double before = loss(m);
    assert_int_equal(duet_adapter_scale(m, (double)NAN, &err), DUET_ERR_USAGE);
    assert_int_equal(duet_adapter_scale(m, -(double)INFINITY, &err), DUET_ERR_USAGE);
    assert_true(loss(m) == before);
    duet_close(&m);
}

/* ---- arguments ------------------------------------------------------------------------------- */

/* NULL where something is needed is a code and a sentence that names it, never a crash. */
static void nothing_given(void **state) {
    (void)state;
    duet_model *m;
    duet_error err;
    uint32_t *ids, some[2] = {1, 2};
    char *back;
    size_t n;
    float nll[1];
    struct sink s = {.n = 0};
#define NEEDS(what, call)                                                                          \
    do {                                                                                           \
        err = (duet_error){0};                                                                     \
        assert_int_equal(call, DUET_ERR_USAGE);                                                    \
        if (strcmp(err.msg, what " is NULL") != 0) fail_msg("%s", err.msg);                        \
    } while (0)
    assert_int_equal(duet_open(&m, path, NULL, &err), DUET_OK);
    NEEDS("m", duet_open(NULL, path, NULL, &err));
    NEEDS("path", duet_open(&(duet_model *){NULL}, NULL, NULL, &err));
    NEEDS("base", duet_open_adapter(&(duet_model *){NULL}, NULL, adapter, NULL, &err));
    NEEDS("adapter", duet_open_adapter(&(duet_model *){NULL}, path, NULL, NULL, &err));
    NEEDS("m", duet_adapter_scale(NULL, 1, &err));
    NEEDS("m", duet_adapter_unload(NULL, &err));
    NEEDS("m", duet_set_context(NULL, 1, &err));
    NEEDS("m", duet_encode(NULL, text, 1, &ids, &n, &err));
    NEEDS("text", duet_encode(m, NULL, 1, &ids, &n, &err));
    NEEDS("ids", duet_encode(m, text, 1, NULL, &n, &err));
    NEEDS("n", duet_encode(m, text, 1, &ids, NULL, &err));
    NEEDS("m", duet_decode(NULL, some, 1, &back, &n, &err));
    NEEDS("ids", duet_decode(m, NULL, 1, &back, &n, &err));
    NEEDS("text", duet_decode(m, some, 1, NULL, &n, &err));
    NEEDS("bytes", duet_decode(m, some, 1, &back, NULL, &err));
    NEEDS("m", duet_score(NULL, some, 2, nll, &err));
    NEEDS("ids", duet_score(m, NULL, 2, nll, &err));
    NEEDS("nll", duet_score(m, some, 2, NULL, &err));
    NEEDS("m", duet_generate(NULL, "a", NULL, collect, &s, &err));
    NEEDS("prompt", duet_generate(m, NULL, NULL, collect, &s, &err));
    NEEDS("piece", duet_generate(m, "a", NULL, NULL, NULL, &err));
    NEEDS("in", duet_convert(NULL, "x", "gguf", NULL, &err));
    NEEDS("out", duet_convert(path, NULL, "gguf", NULL, &err));
    NEEDS("format", duet_convert(path, "x", NULL, NULL, &err));
    assert_int_equal(duet_score(NULL, NULL, 0, NULL, NULL), DUET_ERR_USAGE);
    assert_int_equal(duet_vocab_size(NULL), 0);
    assert_int_equal(duet_param_count(NULL), 0);
    assert_null(duet_assumed(NULL));
    assert_int_equal(duet_context(NULL), 0);
    assert_int_equal(duet_end_reason(NULL), DUET_END_NONE);
    duet_free(NULL);
    assert_int_equal(duet_encode(m, NULL, 0, &ids, &n, &err), DUET_OK);
    duet_free(ids);
    assert_int_equal(duet_decode(m, NULL, 0, &back, &n, &err), DUET_OK);
    assert_string_equal(back, "");
    duet_free(back);
    duet_close(&m);
}

/* The context is the model's maximum (stories260k: 512), not its training length of 64. */
static void context(void **state) {
    (void)state;
    duet_model *m;
    duet_error err;
    struct sink s = {.n = 0};
    char prompt[600];
    uint32_t ids[514];
    float nll[513];
    duet_sampling o = duet_default_sampling();
    memset(prompt, 'a', sizeof prompt);
    for (int i = 0; i < 514; i++) ids[i] = 'a';
    assert_int_equal(duet_open(&m, path, NULL, &err), DUET_OK);
    assert_int_equal(duet_context(m), 512);
    prompt[513] = 0;
    assert_int_equal(duet_generate(m, prompt, &o, collect, &s, &err), DUET_ERR_INPUT);
    assert_non_null(strstr(err.msg, "the prompt has 513 tokens, the context only 512"));
    assert_int_equal(s.calls, 0);
    assert_int_equal(duet_end_reason(m), DUET_END_NONE);
    assert_int_equal(duet_score(m, ids, 513, nll, &err), DUET_OK);
    assert_int_equal(duet_score(m, ids, 514, nll, &err), DUET_ERR_INPUT);
    assert_non_null(strstr(err.msg, "513 tokens to score, the context has only 512"));
    assert_int_equal(duet_set_context(m, 513, &err), DUET_ERR_USAGE);
    assert_int_equal(duet_set_context(m, -1, &err), DUET_ERR_USAGE);
    assert_int_equal(duet_set_context(m, 100, &err), DUET_OK);
    assert_int_equal(duet_context(m), 100);
    prompt[98] = 0;
    o.temperature = 0; /* 'a' again and again or something else, but no end of the text */
    o.max_tokens = 2;
    assert_int_equal(duet_generate(m, prompt, &o, collect, &s, &err), DUET_OK);
    assert_int_equal(duet_end_reason(m), DUET_END_TOKENS);
    o.max_tokens = 50;
    assert_int_equal(duet_generate(m, prompt, &o, collect, &s, &err), DUET_OK);
    assert_int_equal(duet_end_reason(m), DUET_END_CONTEXT);
    s = (struct sink){.stop_after = 1};
    assert_int_equal(duet_generate(m, prompt, &o, collect, &s, &err), DUET_OK);
    assert_int_equal(duet_end_reason(m), DUET_END_PIECE);
    assert_int_equal(duet_set_context(m, 0, &err), DUET_OK);
    assert_int_equal(duet_context(m), 512);
    duet_close(&m);
}

/* A file of llama2.c's has no tokenizer: ids can be scored, the rest says what is missing. */
static void no_tokenizer(void **state) {
    (void)state;
    duet_model *m, *base;
    duet_error err;
    uint32_t *ids, some[3] = {65, 66, 67};
    float a[2], b[2];
    char *back;
    size_t n;
    struct sink s = {.n = 0};
    if (duet_convert(path, "api.bin", "llama2c", NULL, &err)) fail_msg("%s", err.msg);
    if (duet_open(&m, "api.bin", NULL, &err)) fail_msg("%s", err.msg);
    assert_int_equal(duet_open(&base, path, NULL, &err), DUET_OK);
    assert_null(duet_assumed(base));
    assert_non_null(strstr(duet_assumed(m), "api.bin does not say rope_theta (10000 is assumed)"));
    assert_int_equal(duet_score(m, some, 3, a, &err), DUET_OK);
    assert_int_equal(duet_score(base, some, 3, b, &err), DUET_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(duet_encode(m, "a", 1, &ids, &n, &err), DUET_ERR_INPUT);
    assert_non_null(strstr(err.msg, "tokenizer"));
    assert_int_equal(duet_decode(m, some, 1, &back, &n, &err), DUET_ERR_INPUT);
    assert_int_equal(duet_generate(m, "a", NULL, collect, &s, &err), DUET_ERR_INPUT);
    duet_close(&m);
    assert_int_equal(duet_open(&m, "api.bin", "byte", &err), DUET_OK);
    assert_int_equal(duet_encode(m, "a", 1, &ids, &n, &err), DUET_OK);
    duet_free(ids);
    duet_close(&m);
    duet_close(&base);
}

/* NaN in a file: an error that names the tensor. The GGUF of a test above ends with a norm. */
static void no_number(void **state) {
    (void)state;
    duet_model *m;
    duet_error err;
    float nll[1];
    const uint32_t some[2] = {65, 66}, nan = 0x7fc00000;
    struct sink s = {.n = 0};
    if (duet_convert(path, "nan.gguf", "gguf", "f32", &err)) fail_msg("%s", err.msg);
    FILE *f = fopen("nan.gguf", "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, -4, SEEK_END), 0);
    assert_int_equal(fwrite(&nan, 4, 1, f), 1);
    assert_int_equal(fclose(f), 0);
    if (duet_open(&m, "nan.gguf", NULL, &err)) fail_msg("%s", err.msg);
    assert_int_equal(duet_score(m, some, 2, nll, &err), DUET_ERR_NUMERIC);
    if (!strstr(err.msg, "holds NaN at [")) fail_msg("%s", err.msg);
    assert_int_equal(duet_generate(m, "a", NULL, collect, &s, &err), DUET_ERR_NUMERIC);
    if (!strstr(err.msg, "holds NaN at [")) fail_msg("%s", err.msg);
    assert_int_equal(s.calls, 0);
    duet_close(&m);
}

/* Any bytes, at a temperature that gives them all: every piece is whole characters. */
static int only_characters(void *ctx, const char *bytes, size_t n) {
    struct sink *s = ctx;
    for (size_t i = 0; i < n;) {
        const unsigned char c = (unsigned char)bytes[i];
        const size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        assert_true(c < 0x80 || (c >= 0xc2 && c <= 0xf4));
        assert_true(i + len <= n);
        for (size_t k = 1; k < len; k++) assert_int_equal(bytes[i + k] & 0xc0, 0x80);
        i += len;
    }
    return collect(s, bytes, n);
}

static void characters(void **state) {
    (void)state;
    duet_model *m;
    duet_error err;
    duet_sampling o = duet_default_sampling();
    struct sink s = {.n = 0};
    o.temperature = 100;
    assert_int_equal(duet_open(&m, path, NULL, &err), DUET_OK);
    for (o.seed = 1; o.seed <= 10; o.seed++) {
        assert_int_equal(duet_generate(m, "a", &o, only_characters, &s, &err), DUET_OK);
        s.n = 0;
    }
    assert_true(s.calls > 100);
    duet_close(&m);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { ROUNDS = 15 };

struct job {
    duet_model *m;
    struct sink text;
    float nll[63];
    int failed, threads;
    char prompt;
};

/* A generation that calls the library from its callback, and a score. */
static int nested(void *ctx, const char *bytes, size_t n) {
    struct job *j = ctx;
    uint32_t *ids;
    size_t n_ids;
    if (duet_encode(j->m, bytes, n, &ids, &n_ids, NULL)) j->failed++;
    duet_free(ids);
    if (j->text.calls == 3) {
        const uint32_t some[2] = {65, 66};
        float nll[1];
        duet_set_threads(++j->threads % 4 + 1); /* not this generation's */
        if (duet_score(j->m, some, 2, nll, NULL)) j->failed++;
    }
    return collect(&j->text, bytes, n);
}

static void *work(void *arg) {
    struct job *j = arg;
    uint32_t ids[64];
    const char prompt[] = {j->prompt, 'h', 'e', 0};
    duet_sampling o = duet_default_sampling();
    o.max_tokens = 12;
    for (uint32_t i = 0; i < 64; i++) ids[i] = (i * 7 + (uint32_t)j->prompt) % 250;
    for (int round = 0; round < ROUNDS; round++) {
        j->text = (struct sink){.n = 0};
        if (duet_generate(j->m, prompt, &o, nested, j, NULL)) j->failed++;
        if (duet_score(j->m, ids, 64, j->nll, NULL)) j->failed++;
    }
    return NULL;
}

static atomic_int stop;

static void *change_threads(void *arg) {
    (void)arg;
    for (int n = 1; !atomic_load(&stop); n = n % 4 + 1) duet_set_threads(n);
    return NULL;
}

/* Two models in two threads, while a third changes the number of threads: what each gives alone. */
static void threads(void **state) {
    (void)state;
    struct job alone[2] = {{.prompt = 'T'}, {.prompt = 'S'}},
               j[2] = {{.prompt = 'T'}, {.prompt = 'S'}};
    pthread_t t[3];
    duet_error err;
    atomic_store(&stop, 0);
    for (int i = 0; i < 2; i++) {
        const char *a = i ? adapter : NULL;
        for (int k = 0; k < 2; k++) {
            struct job *x = k ? j + i : alone + i;
            const int rc = a ? duet_open_adapter(&x->m, path, a, NULL, &err)
                             : duet_open(&x->m, path, NULL, &err);
            if (rc) fail_msg("%s", err.msg);
        }
        work(alone + i);
    }
    assert_int_equal(pthread_create(t + 2, NULL, change_threads, NULL), 0);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(t + i, NULL, work, j + i), 0);
    for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
    atomic_store(&stop, 1);
    pthread_join(t[2], NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(j[i].failed, 0);
        assert_int_equal(alone[i].failed, 0);
        assert_int_equal(j[i].text.n, alone[i].text.n);
        assert_memory_equal(j[i].text.text, alone[i].text.text, alone[i].text.n);
        assert_memory_equal(j[i].nll, alone[i].nll, sizeof j[i].nll);
        duet_close(&j[i].m);
        duet_close(&alone[i].m);
    }
    duet_set_threads(2);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_close),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(score),
        cmocka_unit_test(generate),
        cmocka_unit_test(adapters),
        cmocka_unit_test(folders),
        cmocka_unit_test(conversion),
        cmocka_unit_test(conversion_options),
        cmocka_unit_test(nonsense),
        cmocka_unit_test(nothing_given),
        cmocka_unit_test(context),
        cmocka_unit_test(no_tokenizer),
        cmocka_unit_test(no_number),
        cmocka_unit_test(characters),
        cmocka_unit_test(threads),
    };
    if (argc != 3) return 2;
    path = argv[1];
    adapter = argv[2];
    duet_set_threads(2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
