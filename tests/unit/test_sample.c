/* Choosing tokens: greedy, temperature, top-k, top-p, min-p. Where a text ends. */
#include "sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 50, DRAWS = 20000 };

static float logits[N];

static void fill(void) {
    struct rng r = rng_make(1, RNG_TEST, 0, 0, 0);
    for (int i = 0; i < N; i++) logits[i] = (float)rng_normal(&r);
    logits[7] = logits[31] = 3.5f; /* a tie for the first place */
}

static void count(const struct sample_opts *o, int hits[N]) {
    void *scratch = malloc(sample_scratch(N));
    for (int i = 0; i < N; i++) hits[i] = 0;
    for (uint64_t d = 0; d < DRAWS; d++) hits[sample_pick(o, logits, N, d, scratch)]++;
    free(scratch);
}

/* Probabilities after the cuts, by plain sorting. */
static void expected(const struct sample_opts *o, double p[N]) {
    int order[N];
    double total = 0, sum = 0, kept = 0;
    for (int i = 0; i < N; i++) {
        p[i] = exp((double)logits[i] / o->temperature);
        total += p[i];
        order[i] = i;
    }
    for (int i = 0; i < N; i++)
        for (int j = i + 1; j < N; j++)
            if (p[order[j]] > p[order[i]] || (p[order[j]] == p[order[i]] && order[j] < order[i])) {
                const int t = order[i];
                order[i] = order[j];
                order[j] = t;
            }
    const double top = p[order[0]];
    for (int i = 0; i < N; i++) {
        const bool cut = (o->top_k > 0 && i >= o->top_k) || sum >= o->top_p * total ||
                         (i > 0 && p[order[i]] < o->min_p * top);
        sum += p[order[i]];
        if (cut) p[order[i]] = 0;
        kept += p[order[i]];
    }
    for (int i = 0; i < N; i++) p[i] /= kept;
}

/* Frequencies within six standard deviations of what they should be; cut tokens never. */
static void matches(const struct sample_opts *o) {
    int hits[N];
    double p[N];
    count(o, hits);
    expected(o, p);
    for (int i = 0; i < N; i++) {
        if (p[i] == 0) assert_int_equal(hits[i], 0);
        assert_true(fabs(hits[i] - DRAWS * p[i]) <= 6 * sqrt(DRAWS * p[i]) + 1e-9);
    }
}

static void greedy(void **state) {
    (void)state;
    char scratch[N * 16];
    const struct sample_opts zero = {.temperature = 0, .top_p = 1},
                             one = {.temperature = 2, .top_k = 1, .top_p = 1};
    assert_true(sample_scratch(N) <= sizeof scratch);
    for (uint64_t d = 0; d < 100; d++) {
        assert_int_equal(sample_pick(&zero, logits, N, d, scratch), 7);
        assert_int_equal(sample_pick(&one, logits, N, d, scratch), 7);
    }
}

static void cuts(void **state) {
    (void)state;
    const struct sample_opts all[] = {
        {.temperature = 1, .top_p = 1, .seed = 1},
        {.temperature = 0.5, .top_p = 1, .seed = 2},
        {.temperature = 1, .top_p = 1, .top_k = 5, .seed = 3},
        {.temperature = 1, .top_p = 0.6, .seed = 4},
        {.temperature = 1, .top_p = 1, .min_p = 0.1, .seed = 5},
        {.temperature = 1.5, .top_p = 0.9, .top_k = 20, .min_p = 0.05, .seed = 6},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) matches(all + i);
}

static void seeds(void **state) {
    (void)state;
    int differ = 0;
    char scratch[N * 16];
    const struct sample_opts a = {.temperature = 1, .top_p = 1, .seed = 1},
                             b = {.temperature = 1, .top_p = 1, .seed = 2};
    for (uint64_t d = 0; d < 100; d++) {
        const uint32_t x = sample_pick(&a, logits, N, d, scratch);
        assert_int_equal(x, sample_pick(&a, logits, N, d, scratch));
        differ += x != sample_pick(&b, logits, N, d, scratch);
    }
    assert_true(differ > 20);
}

/* ---- ends ---- */

static struct err e;

static void model_of(struct model *m, const char *more) {
    struct model_config c;
    char text[1024];
    snprintf(text, sizeof text,
             "{\"hidden_size\":16,\"intermediate_size\":16,\"num_hidden_layers\":1,"
             "\"num_attention_heads\":2,\"vocab_size\":300,\"max_position_embeddings\":64,"
             "\"tie_word_embeddings\":false,\"rms_norm_eps\":1e-05%s}",
             more);
    if (model_config_parse(&c, text, strlen(text), "test", NULL, &e) || model_create(m, &c, &e) ||
        model_reserve(m, &e) || model_init(m, 3, &e))
        fail_msg("%s", e.msg);
}

#define HF(eos) ",\"duet\":{\"hf\":{\"generation_config\":{\"eos_token_id\":" eos "}}}"

/* The byte tokenizer's end is 256. */
static void stops(void **state) {
    (void)state;
    static const struct {
        const char *config;
        int n;
        uint32_t ids[SAMPLE_STOPS];
    } cases[] = {
        {"", 1, {256}},
        {",\"eos_token_id\":7", 2, {256, 7}},
        {",\"eos_token_id\":[7,256,299]", 3, {256, 7, 299}},
        {HF("5"), 2, {256, 5}},
        {",\"eos_token_id\":9" HF("[8,9,7]"), 4, {256, 9, 8, 7}},
        {",\"eos_token_id\":[-1,300,5000000000,\"7\",1.5,null,[7],6]", 2, {256, 6}},
        {",\"eos_token_id\":null" HF("{}"), 1, {256}},
        {",\"eos_token_id\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18]" HF("[19]"),
         SAMPLE_STOPS,
         {256, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
    };
    struct tokenizer *t;
    assert_int_equal(tokenizer_open(&t, "byte", &e), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model m;
        struct sample_opts o = {.n_stops = 5, .stop = {11, 12, 13, 14, 15}};
        model_of(&m, cases[i].config);
        sample_stops(&m, t, &o);
        assert_int_equal(o.n_stops, cases[i].n);
        for (int k = 0; k < o.n_stops; k++) assert_int_equal(o.stop[k], cases[i].ids[k]);
        model_close(&m);
    }
    tokenizer_close(t);
}

struct text {
    uint32_t ids[32];
    int64_t n;
};

static bool collect(void *ctx, uint32_t prev, uint32_t id) {
    struct text *x = ctx;
    (void)prev;
    x->ids[x->n++] = id;
    return true;
}

/* Each of several stops ends a text before the first token that is one. */
static void ends(void **state) {
    (void)state;
    struct model m;
    struct gemm gemm;
    struct sample_stats stats;
    struct text whole = {.n = 0};
    const uint32_t prompt = 1;
    struct sample_opts o = {.temperature = 5, .top_p = 1, .seed = 4, .tokens = 32};
    model_of(&m, "");
    assert_int_equal(gemm_init(&gemm, "auto", DT_F32, &e), 0);
    assert_int_equal(sample_run(&m, &gemm, &o, &prompt, 1, collect, &whole, &stats, &e), 0);
    assert_int_equal(whole.n, 32);
    assert_int_equal(stats.end, SAMPLE_TOKENS);
    for (int slot = 0; slot < 4; slot++) {
        struct text x = {.n = 0};
        const uint32_t stop = whole.ids[10 + slot];
        int64_t first = 0;
        while (whole.ids[first] != stop) first++;
        assert_true(first > 0);
        o.n_stops = 4;
        for (int i = 0; i < 4; i++) o.stop[i] = i == slot ? stop : 1000;
        assert_int_equal(sample_run(&m, &gemm, &o, &prompt, 1, collect, &x, &stats, &e), 0);
        assert_true(stats.end == SAMPLE_STOP && x.n == first && stats.tokens == first);
        assert_memory_equal(x.ids, whole.ids, (size_t)first * sizeof *x.ids);
    }
    model_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(greedy), cmocka_unit_test(cuts),
                                       cmocka_unit_test(seeds), cmocka_unit_test(stops),
                                       cmocka_unit_test(ends)};
    fill();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
