/* The public header alone: a model made by the command line (argument 1) through the library. */
#include "duet.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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
    free(back);
    ids[0] = (uint32_t)duet_vocab_size(m);
    float nll[64];
    assert_int_equal(duet_decode(m, ids, 1, &back, &bytes, &err), DUET_ERR_INPUT);
    assert_int_equal(duet_score(m, ids, 3, nll, &err), DUET_ERR_INPUT);
    assert_int_equal(duet_score(m, ids, 1, nll, &err), DUET_ERR_USAGE);
    free(ids);
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
    free(ids);
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
    free(ids);
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
    assert_int_equal(duet_convert("not there", "x", "gguf", NULL, &err), DUET_ERR_IO);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(open_close), cmocka_unit_test(round_trip),
                                       cmocka_unit_test(score),      cmocka_unit_test(generate),
                                       cmocka_unit_test(adapters),   cmocka_unit_test(conversion)};
    if (argc != 3) return 2;
    path = argv[1];
    adapter = argv[2];
    duet_set_threads(2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
