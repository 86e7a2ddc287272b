/* Choosing tokens: greedy, temperature, top-k, top-p, min-p. Where a text ends. */
#include "exec.h"
#include "machine_fixture.h"
#include "sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    for (uint64_t d = 0; d < DRAWS; d++) hits[sample_pick(o, logits, N, d, NULL, scratch)]++;
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
        assert_int_equal(sample_pick(&zero, logits, N, d, NULL, scratch), 7);
        assert_int_equal(sample_pick(&one, logits, N, d, NULL, scratch), 7);
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
        const uint32_t x = sample_pick(&a, logits, N, d, NULL, scratch);
        assert_int_equal(x, sample_pick(&a, logits, N, d, NULL, scratch));
        differ += x != sample_pick(&b, logits, N, d, NULL, scratch);
    }
    assert_true(differ > 20);
}

/* A vocabulary of several pieces: what is drawn does not depend on who computed it. */
static void threads(void **state) {
    (void)state;
    enum { MANY = 20000 };
    struct pool *pool;
    float *x = malloc(MANY * sizeof *x);
    void *scratch = malloc(sample_scratch(MANY));
    struct rng r = rng_make(2, RNG_TEST, 0, 0, 0);
    const struct sample_opts all[] = {{.temperature = 0.8, .top_p = 1, .seed = 3},
                                      {.temperature = 1, .top_p = 0.9, .top_k = 300, .seed = 4}};
    int64_t last = 0;
    for (int i = 0; i < MANY; i++) x[i] = (float)rng_normal(&r);
    ok(pool_open(&pool, 3, &e));
    for (uint64_t d = 0; d < 50; d++) {
        const struct sample_opts *o = all + d % 2;
        const uint32_t id = sample_pick(o, x, MANY, d, NULL, scratch);
        assert_int_equal(id, sample_pick(o, x, MANY, d, pool, scratch));
        last = id > last ? id : last;
    }
    assert_true(last > 4096);
    pool_close(pool);
    free(scratch);
    free(x);
}

/* ---- ends ---- */


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
    struct machine gemm;
    struct sample_stats stats;
    struct text whole = {.n = 0};
    const uint32_t prompt = 1;
    struct sample_opts o = {.temperature = 5, .top_p = 1, .seed = 4, .tokens = 32};
    model_of(&m, "");
    assert_int_equal(machine_try(&gemm, "auto", DT_F32, 1, &e), 0);
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

/* ---- context ---- */

/* The model has 64 positions. Returns the code; *x gets the text. */
static int continue_of(struct model *m, const struct sample_opts *o, int64_t n, struct text *x,
                       struct sample_stats *stats) {
    struct machine gemm;
    uint32_t prompt[100];
    for (uint32_t i = 0; i < 100; i++) prompt[i] = i * 7 % 300;
    x->n = 0;
    assert_int_equal(machine_try(&gemm, "auto", DT_F32, 1, &e), 0);
    return sample_run(m, &gemm, o, prompt, n, collect, x, stats, &e);
}

static void prompt_fits_or_error(void **state) {
    (void)state;
    struct model m;
    struct text x;
    struct sample_stats stats;
    struct sample_opts o = {.top_p = 1, .tokens = 5};
    model_of(&m, "");
    assert_int_equal(m.config.seq_len, 64);
    assert_int_equal(continue_of(&m, &o, 65, &x, &stats), ERR_INPUT);
    assert_non_null(strstr(e.msg, "65"));
    assert_non_null(strstr(e.msg, "64"));
    assert_int_equal(x.n, 0);
    o.shift = true; /* is about what comes, not about the prompt */
    assert_int_equal(continue_of(&m, &o, 65, &x, &stats), ERR_INPUT);
    o.shift = false;
    o.context = 65;
    assert_int_equal(continue_of(&m, &o, 3, &x, &stats), ERR_USAGE);
    assert_non_null(strstr(e.msg, "65"));
    assert_non_null(strstr(e.msg, "64"));
    o.context = 20;
    assert_int_equal(continue_of(&m, &o, 21, &x, &stats), ERR_INPUT);
    assert_non_null(strstr(e.msg, "21"));
    assert_non_null(strstr(e.msg, "20"));
    assert_int_equal(continue_of(&m, &o, 20, &x, &stats), 0);
    assert_int_equal(stats.end, SAMPLE_CONTEXT);
    assert_int_equal(x.n, 1); /* 20 read, the 21st is said */
    model_close(&m);
}

/* The context is max_position_embeddings, not the training length of 16; how much of it is
 * reserved does not matter. */
static void context_is_the_models(void **state) {
    (void)state;
    struct model m;
    struct text x, longer, shifted;
    struct sample_stats stats;
    struct sample_opts o = {.top_p = 1, .tokens = 20};
    model_of(&m, ",\"duet\":{\"seq_len\":16}");
    assert_int_equal(m.config.seq_len, 16);
    assert_int_equal(continue_of(&m, &o, 40, &x, &stats), 0);
    assert_int_equal(x.n, 20);
    assert_int_equal(stats.end, SAMPLE_TOKENS);
    o.tokens = 25; /* 40 read, 24 more positions: the 25th new one is the last that can be said */
    assert_int_equal(continue_of(&m, &o, 40, &longer, &stats), 0);
    assert_int_equal(stats.end, SAMPLE_TOKENS);
    assert_int_equal(longer.n, 25);
    assert_memory_equal(x.ids, longer.ids, 20 * sizeof *x.ids);
    o.tokens = 32;
    assert_int_equal(continue_of(&m, &o, 40, &longer, &stats), 0);
    assert_int_equal(stats.end, SAMPLE_CONTEXT);
    assert_int_equal(longer.n, 25);
    o.shift = true;
    assert_int_equal(continue_of(&m, &o, 40, &shifted, &stats), 0);
    assert_int_equal(stats.end, SAMPLE_TOKENS);
    assert_int_equal(stats.shifts, 1);
    assert_int_equal(shifted.n, 32);
    assert_memory_equal(longer.ids, shifted.ids, 25 * sizeof *x.ids);
    model_close(&m);
}

/* After a shift the text is that of a prompt of the last half. */
static void shift_is_a_new_prompt(void **state) {
    (void)state;
    struct model m;
    struct machine gemm;
    struct text x = {.n = 0}, tail = {.n = 0};
    struct sample_stats stats;
    struct sample_opts o = {.top_p = 1, .tokens = 30, .context = 16, .shift = true};
    model_of(&m, "");
    assert_int_equal(continue_of(&m, &o, 10, &x, &stats), 0);
    /* 10 + 6 fill it; the 7th new token comes after a shift that kept 8: 2 of the prompt, 6 new. */
    uint32_t kept[9] = {8 * 7, 9 * 7};
    memcpy(kept + 2, x.ids, 7 * sizeof *kept);
    o.tokens = 5;
    assert_int_equal(machine_try(&gemm, "auto", DT_F32, 1, &e), 0);
    assert_int_equal(sample_run(&m, &gemm, &o, kept, 9, collect, &tail, &stats, &e), 0);
    assert_memory_equal(x.ids + 7, tail.ids, 5 * sizeof *x.ids);
    model_close(&m);
}

/* ---- repetition ---- */

/* By the definition: score / penalty if it is above 0, else score * penalty; once a token. */
static void penalty(void **state) {
    (void)state;
    static const uint32_t ids[] = {7, 3, 7, 12, 7, 49, 0};
    enum { N_IDS = sizeof ids / sizeof *ids };
    float out[N];
    for (int round = 0; round < 2; round++) {
        const double p = round ? 0.5 : 1.3;
        sample_penalise(p, logits, N, ids, N_IDS, out);
        int up = 0, down = 0;
        for (int i = 0; i < N; i++) {
            bool there = false;
            for (int k = 0; k < N_IDS; k++) there |= ids[k] == (uint32_t)i;
            const float x = logits[i], want = !there ? x : x > 0 ? x / (float)p : x * (float)p;
            assert_true(out[i] == want);
            up += there && x > 0;
            down += there && x < 0;
        }
        assert_true(up > 0 && down > 0); /* both branches were there */
    }
    sample_penalise(1.3, logits, N, ids, 0, out);
    assert_memory_equal(out, logits, sizeof logits);
}

struct greedy_text {
    uint32_t all[64]; /* prompt and text */
    int64_t n;
};

static bool collect_all(void *ctx, uint32_t prev, uint32_t id) {
    struct greedy_text *x = ctx;
    assert_int_equal(x->all[x->n - 1], prev);
    x->all[x->n++] = id;
    return true;
}

static void last_logits(struct model *m, const uint32_t *ids, int64_t n, float *out) {
    struct machine gemm;
    struct exec x = {0};
    const struct exec_opts xo = {.B = 1, .T = n, .cache = n};
    assert_int_equal(machine_try(&gemm, "auto", DT_F32, 1, &e), 0);
    assert_int_equal(exec_open(&x, &m->graph, &gemm, &xo, &e), 0);
    const struct batch b = {.B = 1, .T = n, .input = ids, .logits = out};
    exec_run(&x, &b);
    exec_close(&x);
}

/* The most likely token after the penalty, of a model that reads everything again for each; the
 * prompt counts, and only the last tokens where that is said. */
static void penalty_of_a_text(void **state) {
    (void)state;
    static const int64_t last[] = {0, 1, 5, 100};
    struct model m;
    struct machine gemm;
    const uint32_t prompt[4] = {11, 29, 3, 29};
    struct greedy_text plain = {.n = 0};
    model_of(&m, "");
    assert_int_equal(machine_try(&gemm, "auto", DT_F32, 1, &e), 0);
    for (size_t k = 0; k <= sizeof last / sizeof *last; k++) {
        struct greedy_text x = {.n = 4};
        struct sample_stats stats;
        const bool off = k == sizeof last / sizeof *last;
        const struct sample_opts o = {
            .top_p = 1, .tokens = 20, .penalty = off ? 1 : 3, .penalty_last = off ? 0 : last[k]};
        memcpy(x.all, prompt, sizeof prompt);
        assert_int_equal(sample_run(&m, &gemm, &o, prompt, 4, collect_all, &x, &stats, &e), 0);
        assert_int_equal(x.n, 24);
        for (int64_t n = 4; n < x.n; n++) {
            float raw[300], out[300];
            int best = 0;
            last_logits(&m, x.all, n, raw);
            memcpy(out, raw, sizeof raw);
            const int64_t from = off ? n : last[k] && last[k] < n ? n - last[k] : 0;
            for (int64_t i = from; i < n; i++)
                out[x.all[i]] = raw[x.all[i]] > 0 ? raw[x.all[i]] / 3 : raw[x.all[i]] * 3;
            for (int i = 1; i < 300; i++)
                if (out[i] > out[best]) best = i;
            assert_int_equal(x.all[n], best);
        }
        if (!k) plain = x;
        if (off) assert_memory_not_equal(x.all, plain.all, sizeof x.all);
    }
    model_close(&m);
}

/* ---- several texts of a prompt ---- */

/* Each is what its seed gives alone, also behind one that made the context shift. */
static void one_prompt_many_texts(void **state) {
    (void)state;
    struct model m;
    struct machine gemm;
    struct sampler *s;
    uint32_t prompt[10];
    struct text first = {.n = 0};
    const uint64_t seeds[] = {5, 6, 5, 7};
    struct sample_opts o = {
        .temperature = 2, .top_p = 1, .tokens = 30, .context = 16, .shift = true};
    for (uint32_t i = 0; i < 10; i++) prompt[i] = i * 7 % 300;
    model_of(&m, "");
    assert_int_equal(machine_try(&gemm, "auto", DT_F32, 1, &e), 0);
    for (int shifts = 0; shifts < 2; shifts++) {
        o.tokens = shifts ? 30 : 5;
        assert_int_equal(sampler_open(&s, &m, &gemm, &o, prompt, 10, &e), 0);
        for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
            struct text x = {.n = 0}, alone = {.n = 0};
            struct sample_stats a, b;
            assert_int_equal(sampler_run(s, seeds[i], collect, &x, &a, &e), 0);
            o.seed = seeds[i];
            assert_int_equal(sample_run(&m, &gemm, &o, prompt, 10, collect, &alone, &b, &e), 0);
            assert_int_equal(x.n, o.tokens);
            assert_int_equal(a.shifts > 0, shifts);
            assert_int_equal(a.prompt_tokens, 10);
            assert_memory_equal(x.ids, alone.ids, (size_t)x.n * sizeof *x.ids);
            if (i == 0) first = x;
            if (i == 1) assert_memory_not_equal(x.ids, first.ids, (size_t)x.n * sizeof *x.ids);
        }
        sampler_close(s);
    }
    model_close(&m);
}

/* ---- numbers ---- */

static float *weight(struct model *m, const char *name, int64_t row, int64_t col) {
    for (int i = 0; i < m->n_params; i++)
        if (!strcmp(m->params[i].name, name))
            return (float *)m->params[i].data + row * m->params[i].cols + col;
    fail_msg("no tensor %s", name);
    return NULL;
}

static void not_finite(void **state) {
    (void)state;
    static const char q[] = "model.layers.0.self_attn.q_proj.weight",
                      up[] = "model.layers.0.mlp.up_proj.weight";
    static const struct {
        float x;
        const char *says, *tensor;
    } cases[] = {{NAN, "holds NaN at [3,5]", q},
                 {-INFINITY, "holds -infinity at [3,5]", q},
                 {INFINITY, "holds infinity at [3,5]", up},
                 {3e38f, "the largest is 3e+38 at [3,5]", q}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model m;
        struct text x;
        struct sample_stats stats;
        const struct sample_opts o = {.temperature = 1, .top_p = 1, .tokens = 5};
        model_of(&m, "");
        *weight(&m, cases[i].tensor, 3, 5) = cases[i].x;
        assert_int_equal(continue_of(&m, &o, 9, &x, &stats), ERR_NUMERIC);
        if (!isfinite(cases[i].x))
            assert_int_equal(x.n, 0); /* else it takes tokens that overflow */
        if (!strstr(e.msg, cases[i].says) || !strstr(e.msg, cases[i].tensor))
            fail_msg("no %s in: %s", cases[i].says, e.msg);
        model_close(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(greedy), cmocka_unit_test(cuts),
                                       cmocka_unit_test(seeds), cmocka_unit_test(threads),
                                       cmocka_unit_test(stops),
                                       cmocka_unit_test(ends),
                                       cmocka_unit_test(prompt_fits_or_error),
                                       cmocka_unit_test(context_is_the_models),
                                       cmocka_unit_test(shift_is_a_new_prompt),
                                       cmocka_unit_test(penalty),
                                       cmocka_unit_test(penalty_of_a_text),
                                       cmocka_unit_test(one_prompt_many_texts),
                                       cmocka_unit_test(not_finite)};
    fill();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
