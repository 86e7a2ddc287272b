/* stories260K through the program's own path, against the golden values of the independent double
 * reference (tests/golden/make_golden.c): log-probability of every token of a text, greedy text,
 * loss of the first windows of TinyStories. Needs weights/stories260K of the data; the golden
 * file's own sums: test_ref_files.c. */
#include "batch.h"
#include "data.h"
#include "exec.h"
#include "file.h"
#include "sample.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *golden;
static struct model model;
static struct machine gemm;

static int setup(void **state) {
    (void)state;
    golden = json_load_file(SOURCE_ROOT "/tests/golden/stories260k.json", 0, NULL);
    return golden ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    model_close(&model);
    json_decref(golden);
    return 0;
}

static void open_model(void) {
    struct err e;
    const char *path = data_file("weights/stories260K/stories260K.bin");
    if (model.params) return;
    if (machine_open(&gemm, &(struct machine_opts){.threads = 1}, &e) ||
        model_open(&model, path, NULL, &e))
        fail_msg("%s", e.msg);
}

static size_t ids_of(const json_t *list, uint32_t *ids, size_t max) {
    const size_t n = json_array_size(list);
    assert_true(n <= max);
    for (size_t i = 0; i < n; i++) ids[i] = (uint32_t)json_integer_value(json_array_get(list, i));
    return n;
}

static void logprobs(void **state) {
    (void)state;
    struct err e;
    struct exec x;
    uint32_t ids[512];
    float nll[512];
    open_model();
    const json_t *s = json_object_get(golden, "scored"), *want = json_object_get(s, "logprobs");
    const size_t n = ids_of(json_object_get(s, "ids"), ids, 512);
    const struct exec_opts o = {.B = 1, .T = (int64_t)n - 1};
    assert_int_equal(exec_open(&x, &model.graph, &gemm, &o, &e), 0);
    const struct batch b = {.B = 1, .T = o.T, .input = ids, .target = ids + 1, .nll = nll};
    exec_run(&x, &b);
    double worst = 0;
    for (size_t i = 0; i + 1 < n; i++)
        worst = fmax(worst, fabs(-(double)nll[i] - json_number_value(json_array_get(want, i))));
    printf("# largest difference of %zu log-probabilities: %.2e\n", n - 1, worst);
    assert_true(worst < 1e-4);
    exec_close(&x);
}

struct sink {
    uint32_t ids[512];
    size_t n;
};

static bool collect(void *ctx, uint32_t prev, uint32_t id) {
    struct sink *s = ctx;
    (void)prev;
    s->ids[s->n++] = id;
    return true;
}

static void greedy(void **state) {
    (void)state;
    const json_t *list = json_object_get(golden, "greedy");
    open_model();
    for (size_t k = 0; k < json_array_size(list); k++) {
        const json_t *g = json_array_get(list, k);
        uint32_t prompt[64], want[512];
        struct err e;
        struct sink got = {.n = 0};
        struct sample_stats stats;
        const size_t n = ids_of(json_object_get(g, "prompt_ids"), prompt, 64);
        const size_t m = ids_of(json_object_get(g, "ids"), want, 512);
        const struct sample_opts o = {.temperature = 0, .top_p = 1, .tokens = (int64_t)m};
        assert_int_equal(
            sample_run(&model, &gemm, &o, prompt, (int64_t)n, collect, &got, &stats, &e), 0);
        assert_int_equal(got.n, m);
        for (size_t i = 0; i < m; i++) assert_int_equal(got.ids[i], want[i]);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {data_test(logprobs), data_test(greedy)};
    return data_run(argc, argv, tests, setup, teardown);
}
