/* Prompt classification in the network: loss over the answers, gradients, against the double
 * reference and finite differences of it and against the classifier's whole rows of logits; and
 * what must not change a single bit. */
#include "choice.h"
#include "llama_fixture.h"
#include "direction.h"

enum { B = 4, T = 9, MOST = 5, PER_TENSOR = 3 };

/* Relative to the largest gradient of the tensor, or a hundredth of the largest of all. */
static const double GRAD_TOL = 2e-5;

/* Prompts of different lengths, a few answers out of the vocabulary. */
struct prompts {
    uint32_t input[B * T], ids[MOST];
    int32_t pos[B], label[B];
    float logits[B * MOST], nll[B];
    int n;
};

static struct prompts prompts_of(const struct model *m, uint64_t seed, int n) {
    struct prompts p = {.n = n};
    struct rng r = rng_make(seed, RNG_TEST, 3, 0, 0);
    const uint64_t vocab = (uint64_t)m->config.vocab;
    for (int i = 0; i < B * T; i++) p.input[i] = (uint32_t)rng_below(&r, vocab);
    for (int k = 0; k < n; k++) /* the last row of the table is one */
        p.ids[k] = (uint32_t)(vocab - 1 - (uint64_t)(3 * k));
    for (int b = 0; b < B; b++) {
        p.pos[b] = b == 0 ? 0 : b == 1 ? T - 1 : (int32_t)rng_below(&r, T);
        p.label[b] = (int32_t)(b % n);
    }
    return p;
}

static struct choices choices_of(struct prompts *p) {
    return (struct choices){
        .n = p->n, .ids = p->ids, .pos = p->pos, .label = p->label, .logits = p->logits};
}

/* In fresh memory, first filled with NaN. Losses weigh 1/B, so that their sum is the mean. */
static void run_choices(struct model *m, const struct machine *g, const struct exec_opts *o,
                        struct prompts *p) {
    struct exec x;
    const struct choices c = choices_of(p);
    ok(exec_open(&x, &m->graph, g, o, &e));
    memset(x.mem.base, 0xff, x.mem.size);
    exec_run(&x, &(struct batch){.B = B,
                                 .T = T,
                                 .choices = &c,
                                 .input = p->input,
                                 .nll = p->nll,
                                 .grad_scale = 1.0 / B});
    exec_close(&x);
}

struct ref_ctx {
    struct ref_model *r;
    const struct prompts *p;
    double logits[B * MOST], nll[B];
};

/* Mean loss over the answers, in double, from all logits of every position. */
static double ref_choices(void *ctx) {
    struct ref_ctx *c = ctx;
    const int V = c->r->config.vocab, n = c->p->n;
    double *z = malloc((size_t)(T * V) * sizeof *z), loss = 0;
    for (int b = 0; b < B; b++) {
        double sum = 0;
        ref_logits(c->r, (const int32_t *)c->p->input + b * T, T, z);
        for (int k = 0; k < n; k++) {
            c->logits[b * n + k] = z[c->p->pos[b] * V + (int)c->p->ids[k]];
            sum += exp(c->logits[b * n + k]);
        }
        c->nll[b] = log(sum) - c->logits[b * n + c->p->label[b]];
        loss += c->nll[b] / B;
    }
    free(z);
    return loss;
}

static void check_values(const char *name, const struct prompts *p, const struct ref_ctx *want) {
    for (int i = 0; i < B * p->n; i++)
        if (!(fabs((double)p->logits[i] - want->logits[i]) <= 1e-4))
            fail_msg("%s: logit %d is %.9g, reference %.9g", name, i, (double)p->logits[i],
                     want->logits[i]);
    for (int b = 0; b < B; b++)
        if (!(fabs((double)p->nll[b] - want->nll[b]) <= 1e-4))
            fail_msg("%s: loss %d is %.9g, reference %.9g", name, b, (double)p->nll[b],
                     want->nll[b]);
}

static double largest(const struct param *p) {
    double max = 0;
    for (int64_t k = 0; k < param_count(p); k++) max = fmax(max, fabs((double)p->grad[k]));
    return max;
}

static void check_grad(const char *name, struct ref_ctx *c, const struct param *p, int64_t at,
                       double scale) {
    struct ref_param *q = ref_model_find(c->r, p->name);
    const double want = ref_fd(ref_choices, c, q->data + at);
    if (!(fabs((double)p->grad[at] - want) <= GRAD_TOL * scale))
        fail_msg("%s: gradient of %s[%lld] is %.9g, finite difference %.9g (largest %.3g)", name,
                 p->name, (long long)at, (double)p->grad[at], want, scale);
}

/* Some elements of every tensor, and of the answers' rows of the classifier. */
static void check_grads(const char *name, const struct model *m, struct ref_ctx *c) {
    struct rng rng = rng_make(11, RNG_TEST, 2, 0, 0);
    const struct node *last = m->graph.nodes + m->graph.n_nodes - 1;
    double any = 0;
    for (int i = 0; i < m->n_params; i++) any = fmax(any, largest(m->params + i));
    assert_true(any > 1e-3);
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        const double scale = fmax(largest(p), any / 100);
        for (int k = 0; k < PER_TENSOR; k++)
            check_grad(name, c, p, (int64_t)rng_below(&rng, (uint64_t)param_count(p)), scale);
        for (int k = 0; k < c->p->n && i == last->param[0]; k++)
            check_grad(name, c, p,
                       (int64_t)c->p->ids[k] * p->cols +
                           (int64_t)rng_below(&rng, (uint64_t)p->cols),
                       scale);
    }
    if (m->config.tied) return;
    const struct param *w = m->params + last->param[0];
    for (int64_t r = 0; r < w->rows; r++) { /* no other row has any */
        bool answer = false;
        for (int k = 0; k < c->p->n; k++) answer |= r == c->p->ids[k];
        for (int64_t k = 0; k < w->cols; k++)
            if ((w->grad[r * w->cols + k] != 0) != answer)
                fail_msg("%s: gradient of row %lld of the classifier is %g", name, (long long)r,
                         (double)w->grad[r * w->cols + k]);
    }
}

static void test_variants(void **state) {
    (void)state;
    const struct machine g = machine_of("auto", DT_F32);
    for (int i = 0; i < N_VARIANTS; i++) {
        const char *name = variants[i].name;
        struct model m = model_of(variants + i);
        struct ref_model r = ref_of(&m);
        struct prompts p = prompts_of(&m, (uint64_t)i, 2 + i % (MOST - 1));
        struct ref_ctx c = {.r = &r, .p = &p};
        ref_choices(&c);
        run_choices(&m, &g, &(struct exec_opts){.B = B, .T = T}, &p);
        check_values(name, &p, &c);
        add_grads(&m);
        fill_grads(&m, NAN);
        memset(p.nll, 0xff, sizeof p.nll);
        run_choices(&m, &g, &(struct exec_opts){.B = B, .T = T, .train = true}, &p);
        check_values(name, &p, &c);
        check_grads(name, &m, &c);
        ref_model_release(&r);
        close_model(&m);
    }
}

/* The classifier's own logits of the last position, for all of the vocabulary. */
static void test_full_logits(void **state) {
    (void)state;
    const struct machine g = machine_of("auto", DT_F32);
    for (int i = 0; i < N_VARIANTS; i++) {
        struct model m = model_of(variants + i);
        struct prompts p = prompts_of(&m, 20 + (uint64_t)i, MOST);
        struct exec x;
        float *all = malloc((size_t)m.config.vocab * sizeof *all);
        run_choices(&m, &g, &(struct exec_opts){.B = B, .T = T}, &p);
        ok(exec_open(&x, &m.graph, &g, &(struct exec_opts){.B = 1, .T = T}, &e));
        for (int b = 0; b < B; b++) {
            exec_run(&x, &(struct batch){
                             .B = 1, .T = p.pos[b] + 1, .input = p.input + b * T, .logits = all});
            double sum = 0;
            for (int k = 0; k < p.n; k++) {
                const double want = (double)all[p.ids[k]];
                assert_true(fabs((double)p.logits[b * p.n + k] - want) < 1e-5 * (1 + fabs(want)));
                sum += exp(want);
            }
            const double want = log(sum) - (double)all[p.ids[p.label[b]]];
            assert_true(fabs((double)p.nll[b] - want) < 2e-5);
        }
        exec_close(&x);
        free(all);
        close_model(&m);
    }
}

/* Losses, logits and gradients are these, to the bit. */
static void compare(struct model *m, const struct prompts *p, const struct prompts *q,
                    const float *grads, const char *what) {
    int64_t n;
    float *found = all_grads(m, &n);
    if (memcmp(p->nll, q->nll, sizeof p->nll)) fail_msg("%s: the losses differ", what);
    if (memcmp(p->logits, q->logits, sizeof p->logits)) fail_msg("%s: the logits differ", what);
    if (memcmp(grads, found, (size_t)n * sizeof *grads)) fail_msg("%s: the gradients differ", what);
    free(found);
}

static const struct variant large = {"large", "qwen3", ALL_ON, {64, 150, 2, 4, 2, 24, 1100}, true};

static void test_same_bits(void **state) {
    (void)state;
    const struct machine g = machine_of("auto", DT_F32);
    struct exec_opts o = {.B = B, .T = T, .train = true};
    struct model m = model_of(&large);
    struct prompts first = prompts_of(&m, 5, MOST), p = first;
    int64_t n;
    add_grads(&m);
    fill_grads(&m, NAN);
    run_choices(&m, &g, &o, &first);
    float *grads = all_grads(&m, &n);
    for (int threads = 1; threads <= 4; threads++)
        for (int recompute = 0; recompute < 2; recompute++) {
            struct machine many = machine_with("auto", DT_F32, threads);
            o.recompute = recompute;
            fill_grads(&m, NAN);
            run_choices(&m, &many, &o, &p);
            machine_close(&many);
            compare(&m, &first, &p, grads, recompute ? "threads, recompute" : "threads");
        }
    for (int b = 0; b < B; b++) /* what stands behind the prompt */
        for (int i = p.pos[b] + 1; i < T; i++) p.input[b * T + i] = 0;
    fill_grads(&m, NAN);
    run_choices(&m, &g, &o, &p);
    assert_memory_equal(first.nll, p.nll, sizeof p.nll);
    for (int i = 0; i < m.n_params; i++)
        assert_true(isfinite((double)m.params[i].grad[param_count(m.params + i) - 1]));
    free(grads);
    close_model(&m);
}

/* grad_add: two runs make twice the gradient; and parameters without a gradient stay without. */
static void test_accumulation(void **state) {
    (void)state;
    const struct machine g = machine_of("auto", DT_F32);
    for (int i = 8; i < 10; i++) {
        struct model m = model_of(variants + i);
        struct prompts p = prompts_of(&m, 6, 3);
        const struct choices c = choices_of(&p);
        struct exec x;
        int64_t n;
        add_grads(&m);
        fill_grads(&m, NAN);
        ok(exec_open(&x, &m.graph, &g, &(struct exec_opts){.B = B, .T = T, .train = true}, &e));
        struct batch b = {
            .B = B, .T = T, .choices = &c, .input = p.input, .nll = p.nll, .grad_scale = 1};
        exec_run(&x, &b);
        float *once = all_grads(&m, &n);
        b.grad_add = true;
        exec_run(&x, &b);
        float *twice = all_grads(&m, &n);
        for (int64_t k = 0; k < n; k++)
            if (!(fabs((double)twice[k] - 2 * (double)once[k]) <=
                  1e-4 * (1 + fabs((double)once[k]))))
                fail_msg("gradient %lld is %g, then %g", (long long)k, (double)once[k],
                         (double)twice[k]);
        const int classifier = m.graph.nodes[m.graph.n_nodes - 1].param[0];
        free(m.params[classifier].grad);
        m.params[classifier].grad = NULL;
        b.grad_add = false;
        exec_run(&x, &b);
        assert_null(m.params[classifier].grad);
        free(once);
        free(twice);
        exec_close(&x);
        close_model(&m);
    }
}

/* Group v of the sequences goes through the classifier of probe v: as if its perturbed rows were
 * the weights. */
static void test_probes(void **state) {
    (void)state;
    const struct machine g = machine_of("auto", DT_F32);
    struct model m = model_of(&variants[3]), moved = model_of(&variants[3]);
    const int w = m.graph.nodes[m.graph.n_nodes - 1].param[0];
    struct direction_tensor *moves = calloc((size_t)m.n_params, sizeof *moves);
    for (int i = 0; i < m.n_params; i++)
        moves[i] = (struct direction_tensor){m.params[i].rows, m.params[i].cols, i == w};
    const struct direction_space space = {.kind = &direction_rademacher, .tensor = moves};
    const struct probe probes[2] = {{direction_make(&space, 9, -1), 0.25f},
                                    {direction_make(&space, 9, -1), -0.25f}};
    struct prompts p = prompts_of(&m, 7, 3), q = p;
    const struct choices c = choices_of(&p);
    struct exec x;
    struct batch b = {.B = B, .T = T, .choices = &c, .input = p.input, .nll = p.nll};
    ok(exec_open(&x, &m.graph, &g, &(struct exec_opts){.B = B, .T = T, .probes = 2}, &e));
    b.probes = probes;
    b.n_probes = 2;
    exec_run(&x, &b);
    for (int v = 0; v < 2; v++) {
        struct param *to = moved.params + w;
        for (int64_t r = 0; r < to->rows; r++) {
            float *row = (float *)to->data + r * to->cols;
            const float *seen = exec_param_row(&x, w, v, r, 0, to->cols, row);
            if (seen != row) memcpy(row, seen, (size_t)to->cols * sizeof *row);
        }
        run_choices(&moved, &g, &(struct exec_opts){.B = B, .T = T}, &q);
        const int from = v * B / 2;
        assert_memory_equal(p.nll + from, q.nll + from, B / 2 * sizeof *p.nll);
        assert_memory_equal(p.logits + from * p.n, q.logits + from * p.n,
                            (size_t)(B / 2 * p.n) * sizeof *p.logits);
        assert_memory_not_equal(p.nll + (B / 2 - from), q.nll + (B / 2 - from),
                                B / 2 * sizeof *p.nll);
    }
    free(moves);
    exec_close(&x);
    close_model(&m);
    close_model(&moved);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants),  cmocka_unit_test(test_full_logits),
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_accumulation),
        cmocka_unit_test(test_probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
