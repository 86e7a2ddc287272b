/* The largest activation and attention logit of each block: what they are, that neither threads nor
 * recomputation change them, and that looking changes nothing. */
#include "llama_fixture.h"

enum { B = 3, T = 70 };

static const struct variant model = {"GQA", "llama", "", {24, 40, 3, 6, 2, 4, 50}, true};

static struct exec_peaks peaks_on(const struct machine *machine, struct model *m,
                                  const struct exec_opts *o, const struct batch *b) {
    struct exec_peaks k;
    struct exec x;
    ok(exec_peaks_open(&k, &m->graph, &e));
    ok(exec_open(&x, &m->graph, machine, o, &e));
    memset(x.mem.base, 0xff, x.mem.size);
    x.peaks = &k;
    assert_true(exec_run(&x, b));
    exec_close(&x);
    assert_int_equal(k.n, m->config.layers + 2);
    return k;
}

static struct exec_peaks peaks_of(struct model *m, const struct exec_opts *o,
                                  const struct batch *b) {
    const struct machine one = machine_of("native", DT_F32);
    return peaks_on(&one, m, o, b);
}

static struct batch batch_of(const struct tokens *t, int64_t rows, int64_t cols) {
    return (struct batch){.B = rows,
                          .T = cols,
                          .input = t->input,
                          .target = t->target,
                          .nll = t->nll,
                          .grad_scale = 1.0 / (double)(rows * cols)};
}

/* Without what the branches add, the stream is the embedding all the way. */
static void of_the_residual_stream(void **state) {
    (void)state;
    struct model m = model_of(&model);
    struct tokens t = tokens_of(&m, B * T, 3);
    const struct batch b = batch_of(&t, B, T);
    const float *embed = m.params[0].data;
    const int64_t dim = m.config.dim;
    float want = 0;
    for (int i = 0; i < m.n_params; i++)
        if (strstr(m.params[i].name, "o_proj") || strstr(m.params[i].name, "down_proj"))
            memset(m.params[i].data, 0, (size_t)param_count(m.params + i) * sizeof(float));
    for (int64_t i = 0; i < B * T; i++)
        for (int64_t c = 0; c < dim; c++)
            want = fmaxf(want, fabsf(embed[(int64_t)t.input[i] * dim + c]));
    struct exec_peaks k = peaks_of(&m, &(struct exec_opts){.B = B, .T = T}, &b);
    for (int l = 1; l <= m.config.layers; l++) assert_true(k.activation[l] == want);
    assert_true(k.activation[0] == -1 && k.activation[k.n - 1] == -1);
    assert_true(k.logit[0] == -INFINITY && k.logit[k.n - 1] == -INFINITY);
    exec_peaks_close(&k);
    tokens_free(&t);
    close_model(&m);
}

static const float *weight(const struct model *m, const char *name) {
    for (int i = 0; i < m->n_params; i++)
        if (!strcmp(m->params[i].name, name)) return m->params[i].data;
    fail_msg("no %s", name);
    return NULL;
}

static void product(double *y, const float *w, const double *x, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; r++) {
        y[r] = 0;
        for (int64_t c = 0; c < cols; c++) y[r] += (double)w[r * cols + c] * x[c];
    }
}

/* At the first position nothing is turned: a token's score with itself is q k / sqrt(head_dim). */
static void of_attention(void **state) {
    (void)state;
    struct model m = model_of(&model);
    struct tokens t = tokens_of(&m, B, 5);
    const struct batch b = batch_of(&t, B, 1);
    const struct model_config *c = &m.config;
    const float *embed = m.params[0].data,
                *norm = weight(&m, "model.layers.0.input_layernorm.weight");
    double want = -INFINITY, h[24], q[24], key[8];
    for (int64_t i = 0; i < B; i++) {
        const float *x = embed + (int64_t)t.input[i] * c->dim;
        double sum = 0;
        for (int64_t d = 0; d < c->dim; d++) sum += (double)x[d] * (double)x[d];
        const double r = 1 / sqrt(sum / (double)c->dim + c->eps);
        for (int64_t d = 0; d < c->dim; d++) h[d] = (double)x[d] * r * (double)norm[d];
        product(q, weight(&m, "model.layers.0.self_attn.q_proj.weight"), h, 24, 24);
        product(key, weight(&m, "model.layers.0.self_attn.k_proj.weight"), h, 8, 24);
        for (int head = 0; head < 6; head++) {
            double s = 0;
            for (int d = 0; d < 4; d++) s += q[head * 4 + d] * key[head / 3 * 4 + d];
            want = fmax(want, s / 2);
        }
    }
    struct exec_peaks k = peaks_of(&m, &(struct exec_opts){.B = B, .T = 1}, &b);
    if (!(fabs((double)k.logit[1] - want) < 1e-5 * fabs(want)))
        fail_msg("%.9g, expected %.9g", (double)k.logit[1], want);
    exec_peaks_close(&k);
    tokens_free(&t);
    close_model(&m);
}

static void same(const struct exec_peaks *a, const struct exec_peaks *b) {
    assert_memory_equal(a->activation, b->activation, (size_t)a->n * sizeof(float));
    assert_memory_equal(a->logit, b->logit, (size_t)a->n * sizeof(float));
}

static void whatever_the_threads(void **state) {
    (void)state;
    struct model m = model_of(&model);
    struct tokens t = tokens_of(&m, B * T, 3);
    const struct batch b = batch_of(&t, B, T);
    add_grads(&m);
    const struct exec_opts forward = {.B = B, .T = T}, train = {.B = B, .T = T, .train = true},
                           again = {.B = B, .T = T, .train = true, .recompute = true};
    struct exec_peaks want = peaks_of(&m, &forward, &b);
    for (int n = 1; n < 6; n++) {
        struct machine many = machine_with("native", DT_F32, n);
        struct exec_peaks k[] = {peaks_on(&many, &m, &forward, &b),
                                 peaks_on(&many, &m, &train, &b),
                                 peaks_on(&many, &m, &again, &b)};
        for (int i = 0; i < 3; i++) {
            same(k + i, &want);
            exec_peaks_close(k + i);
        }
        machine_close(&many);
    }
    exec_peaks_close(&want);
    tokens_free(&t);
    close_model(&m);
}

static void looking_changes_nothing(void **state) {
    (void)state;
    struct model m = model_of(&model);
    struct tokens t = tokens_of(&m, B * T, 3);
    const struct batch b = batch_of(&t, B, T);
    const struct exec_opts o = {.B = B, .T = T, .train = true};
    const struct machine gemm = machine_of("native", DT_F32);
    float nll[B * T];
    int64_t n;
    add_grads(&m);
    run(&m, &gemm, &o, &t);
    memcpy(nll, t.nll, sizeof nll);
    float *want = all_grads(&m, &n);
    struct exec_peaks k = peaks_of(&m, &o, &b);
    float *got = all_grads(&m, &n);
    assert_memory_equal(nll, t.nll, sizeof nll);
    assert_memory_equal(want, got, (size_t)n * sizeof *want);
    free(want);
    free(got);
    exec_peaks_close(&k);
    tokens_free(&t);
    close_model(&m);
}

/* Rows of every probe count. */
static void of_all_probes(void **state) {
    (void)state;
    struct model m = model_of(&model);
    struct tokens t = tokens_of(&m, 2 * T, 3);
    memcpy(t.input + T, t.input, T * sizeof *t.input);
    struct direction_tensor *moves = calloc((size_t)m.n_params, sizeof *moves);
    for (int i = 0; i < m.n_params; i++)
        moves[i] = (struct direction_tensor){m.params[i].rows, m.params[i].cols, 1};
    const struct direction_space space = {.kind = &direction_rademacher, .tensor = moves};
    const struct probe probes[] = {{direction_make(&space, 7, -1), 0},
                                   {direction_make(&space, 7, -1), 3}};
    struct batch b = batch_of(&t, 2, T), one = batch_of(&t, 1, T);
    b.probes = probes;
    b.n_probes = 2;
    struct exec_peaks both = peaks_of(&m, &(struct exec_opts){.B = 2, .T = T, .probes = 2}, &b),
                      plain = peaks_of(&m, &(struct exec_opts){.B = 1, .T = T}, &one);
    for (int l = 1; l <= m.config.layers; l++)
        assert_true(both.activation[l] > 2 * plain.activation[l]);
    exec_peaks_close(&both);
    exec_peaks_close(&plain);
    tokens_free(&t);
    free(moves);
    close_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_the_residual_stream), cmocka_unit_test(of_attention),
        cmocka_unit_test(whatever_the_threads), cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(of_all_probes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
