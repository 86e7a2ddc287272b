/* The whole network, forward and backward, against the double reference and finite differences of
 * it; and what must not change a single bit: recomputation, threads, tokens that come later. */
#include "llama_fixture.h"

enum { PER_TENSOR = 3 };

/* Relative to the largest gradient of the tensor, or a hundredth of the largest of all: keys'
 * biases have no gradient but rounding. */
static const double GRAD_TOL = 2e-5;

static double largest(const float *x, int64_t n) {
    double max = 0;
    for (int64_t i = 0; i < n; i++) max = fmax(max, fabs((double)x[i]));
    return max;
}

static void check_loss(const char *name, const struct tokens *t, double want, double tol) {
    const double found = mean(t->nll, t->n);
    if (!(fabs(found - want) <= tol * want))
        fail_msg("%s: loss %.9g, reference %.9g", name, found, want);
}

static void check_differences(const char *name, const struct model *m, struct ref_model *r,
                              const struct tokens *t, int B, int T) {
    struct rng rng = rng_make(11, RNG_TEST, 2, 0, 0);
    double any = 0;
    for (int i = 0; i < m->n_params; i++)
        any = fmax(any, largest(m->params[i].grad, param_count(m->params + i)));
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        struct ref_param *q = ref_model_find(r, p->name);
        const double scale = fmax(largest(p->grad, param_count(p)), any / 100);
        for (int k = 0; k < PER_TENSOR; k++) {
            const int64_t at = (int64_t)rng_below(&rng, (uint64_t)param_count(p));
            const double want = ref_fd_grad(r, q, (size_t)at, (const int32_t *)t->input,
                                            (const int32_t *)t->target, B, T);
            if (!(fabs((double)p->grad[at] - want) <= GRAD_TOL * scale))
                fail_msg("%s: gradient of %s[%lld] is %.9g, finite difference %.9g (largest %.3g)",
                         name, p->name, (long long)at, (double)p->grad[at], want, scale);
        }
    }
}

/* Another way to run the same step gives the same bits. */
static void compare_runs(struct model *m, const struct machine *g, const struct exec_opts *o,
                         struct tokens *t, const float *nll, const float *grads, const char *what) {
    int64_t n;
    fill_grads(m, NAN);
    run(m, g, o, t);
    float *found = all_grads(m, &n);
    if (memcmp(nll, t->nll, (size_t)t->n * sizeof *nll)) fail_msg("%s: the losses differ", what);
    if (memcmp(grads, found, (size_t)n * sizeof *grads)) fail_msg("%s: the gradients differ", what);
    free(found);
}

/* Every tensor of every variant, in evaluation, training and training with recomputation. */
static void test_variants(void **state) {
    (void)state;
    const struct machine g = machine_of("auto", DT_F32);
    for (int i = 0; i < N_VARIANTS; i++) {
        const struct variant *v = variants + i;
        const int B = 2, T = 6;
        struct model m = model_of(v);
        struct ref_model r = ref_of(&m);
        struct tokens t = tokens_of(&m, B * T, 3);
        const double want = ref_loss(&r, (const int32_t *)t.input, (const int32_t *)t.target, B, T);
        run(&m, &g, &(struct exec_opts){.B = B, .T = T}, &t);
        check_loss(v->name, &t, want, 1e-5);
        add_grads(&m);
        fill_grads(&m, NAN);
        run(&m, &g, &(struct exec_opts){.B = B, .T = T, .train = true}, &t);
        check_differences(v->name, &m, &r, &t, B, T);
        int64_t n;
        float *nll = memcpy(malloc((size_t)t.n * sizeof *nll), t.nll, (size_t)t.n * sizeof *nll),
              *grads = all_grads(&m, &n);
        compare_runs(&m, &g, &(struct exec_opts){.B = B, .T = T, .train = true, .recompute = true},
                     &t, nll, grads, v->name);
        free(nll);
        free(grads);
        ref_model_release(&r);
        tokens_free(&t);
        close_model(&m);
    }
}

/* More positions than a block of attention, all backends and bf16. */
static void test_backends(void **state) {
    (void)state;
    const struct variant *v = variants + 8;
    const int B = 2, T = 75;
    struct model m = model_of(v);
    struct ref_model r = ref_of(&m);
    struct tokens t = tokens_of(&m, B * T, 4);
    const double want = ref_loss(&r, (const int32_t *)t.input, (const int32_t *)t.target, B, T);
    float *exact = NULL;
    int64_t n;
    add_grads(&m);
    for (size_t i = 0; i < 2 * n_gemm_backends; i++) {
        struct machine g;
        const char *name = gemm_backends[i % n_gemm_backends]->name;
        const bool bf16 = i >= n_gemm_backends;
        if (machine_try(&g, name, bf16 ? DT_BF16 : DT_F32, 1, &e)) continue;
        fill_grads(&m, NAN);
        run(&m, &g, &(struct exec_opts){.B = B, .T = T, .train = true}, &t);
        check_loss(name, &t, want, bf16 ? 1e-2 : 1e-5);
        float *grads = all_grads(&m, &n);
        if (!exact) exact = grads;
        double difference = 0, norm = 0;
        for (int64_t k = 0; k < n; k++) {
            difference += pow((double)grads[k] - (double)exact[k], 2);
            norm += pow((double)exact[k], 2);
        }
        if (!(difference <= pow(bf16 ? 3e-2 : 1e-5, 2) * norm))
            fail_msg("%s: gradients differ by %.3g of their norm", name, sqrt(difference / norm));
        if (grads != exact) free(grads);
    }
    free(exact);
    ref_model_release(&r);
    tokens_free(&t);
    close_model(&m);
}

/* Large enough for many chunks, tiles and panels. */
static const struct variant large = {"large", "qwen3", ALL_ON, {64, 150, 2, 4, 2, 24, 1100}, true};

static void test_same_bits(void **state) {
    (void)state;
    const int B = 3, T = 70;
    struct model m = model_of(&large);
    struct tokens t = tokens_of(&m, B * T, 5);
    int64_t n;
    add_grads(&m);
    for (size_t i = 0; i < 2 * n_gemm_backends; i++) {
        struct machine g;
        struct exec_opts o = {.B = B, .T = T, .train = true};
        const char *name = gemm_backends[i % n_gemm_backends]->name;
        if (!strcmp(name, "ref") ||
            machine_try(&g, name, i < n_gemm_backends ? DT_F32 : DT_BF16, 1, &e))
            continue;
        if (!g.gemm->backend->exact) continue;
        run(&m, &g, &o, &t);
        float *nll = malloc((size_t)t.n * sizeof *nll), *grads = all_grads(&m, &n);
        memcpy(nll, t.nll, (size_t)t.n * sizeof *nll);
        for (int threads = 1; threads <= 4; threads++)
            for (int recompute = threads == 1; recompute < 2; recompute++) {
                char what[96];
                snprintf(what, sizeof what, "%s, %d threads%s", name, threads,
                         recompute ? ", recompute" : "");
                struct machine many = machine_with(name, g.gemm->compute, threads);
                o.recompute = recompute;
                compare_runs(&m, &many, &o, &t, nll, grads, what);
                machine_close(&many);
            }
        /* Evaluation is the same forward pass. */
        run(&m, &g, &(struct exec_opts){.B = B, .T = T}, &t);
        assert_memory_equal(nll, t.nll, (size_t)t.n * sizeof *nll);
        free(nll);
        free(grads);
    }
    tokens_free(&t);
    close_model(&m);
}

/* A token changes nothing before it, nor another sequence. */
static void test_causality(void **state) {
    (void)state;
    const struct machine g = machine_of("auto", DT_F32);
    const int64_t B = 2, T = 140;
    struct model m = model_of(&variants[8]);
    struct tokens t = tokens_of(&m, B * T, 6);
    float *before = malloc((size_t)(B * T) * sizeof *before);
    run(&m, &g, &(struct exec_opts){.B = B, .T = T}, &t);
    memcpy(before, t.nll, (size_t)(B * T) * sizeof *before);
    static const int64_t places[] = {1, 63, 64, 130, 139};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const int64_t at = places[i];
        const uint32_t old = t.input[at];
        t.input[at] = (old + 1) % (uint32_t)m.config.vocab;
        run(&m, &g, &(struct exec_opts){.B = B, .T = T}, &t);
        assert_memory_equal(before, t.nll, (size_t)at * sizeof *before);
        assert_memory_equal(before + T, t.nll + T, (size_t)T * sizeof *before);
        assert_memory_not_equal(before + at, t.nll + at, sizeof *before);
        if (at + 1 < T)
            assert_memory_not_equal(before + at + 1, t.nll + at + 1,
                                    (size_t)(T - at - 1) * sizeof *before);
        t.input[at] = old;
    }
    free(before);
    tokens_free(&t);
    close_model(&m);
}

/* Fewer sequences and positions than planned for; parameters without gradients. */
static void test_smaller_batch(void **state) {
    (void)state;
    const struct machine g = machine_of("auto", DT_F32);
    struct model m = model_of(&variants[8]);
    struct ref_model r = ref_of(&m);
    struct exec x;
    const int64_t shapes[][2] = {{3, 70}, {2, 9}, {1, 1}, {1, 3}, {3, 65}};
    add_grads(&m);
    ok(exec_open(&x, &m.graph, &g,
                 &(struct exec_opts){.B = 3, .T = 70, .train = true, .recompute = true}, &e));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int B = (int)shapes[i][0], T = (int)shapes[i][1];
        struct tokens t = tokens_of(&m, B * T, i);
        fill_grads(&m, NAN);
        exec_run(&x, &(struct batch){.B = B,
                                     .T = T,
                                     .input = t.input,
                                     .target = t.target,
                                     .nll = t.nll,
                                     .grad_scale = 1.0 / (B * T)});
        check_loss("smaller batch", &t,
                   ref_loss(&r, (const int32_t *)t.input, (const int32_t *)t.target, B, T), 1e-5);
        if (B * T < 20) check_differences("smaller batch", &m, &r, &t, B, T);
        tokens_free(&t);
    }
    exec_close(&x);
    ref_model_release(&r);
    close_model(&m);
}

/* A parameter without a gradient buffer stays without, the others' gradients keep their bits. */
static void test_frozen(void **state) {
    (void)state;
    const struct machine g = machine_of("auto", DT_F32);
    const struct exec_opts o = {.B = 2, .T = 9, .train = true};
    struct model m = model_of(&variants[8]);
    struct tokens t = tokens_of(&m, o.B * o.T, 8);
    float **full = calloc((size_t)m.n_params, sizeof *full);
    add_grads(&m);
    run(&m, &g, &o, &t);
    for (int i = 0; i < m.n_params; i++) {
        full[i] = m.params[i].grad;
        m.params[i].grad =
            i % 3 == 0 ? NULL : calloc((size_t)param_count(m.params + i), sizeof(float));
    }
    run(&m, &g, &o, &t);
    for (int i = 0; i < m.n_params; i++) {
        if (i % 3)
            assert_memory_equal(full[i], m.params[i].grad,
                                (size_t)param_count(m.params + i) * sizeof(float));
        free(full[i]);
    }
    free(full);
    tokens_free(&t);
    close_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants),      cmocka_unit_test(test_backends),
        cmocka_unit_test(test_same_bits),     cmocka_unit_test(test_causality),
        cmocka_unit_test(test_smaller_batch), cmocka_unit_test(test_frozen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
