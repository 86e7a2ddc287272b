/* Updates of weights that are stored as bf16: rounded by chance, with the mean that they should
 * have, from bits that are the same for any number of threads. */
#include "machine_fixture.h"

#include "opt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct err e;

enum { MANY = 100000, ROUNDS = 50 };

/* Two equal tensors. */
struct rounding {
    struct machine machine;
    struct param p[2];
    struct opt opt;
};

static void rounding_open_on(struct rounding *r, int threads, float w, float g, uint64_t seed) {
    struct opt_hyper h = opt_hyper_of(opt_find("sgd"));
    h.seed = seed;
    for (int k = 0; k < 2; k++) {
        struct param *p = r->p + k;
        *p = (struct param){.role = ROLE_matrix,
                            .ndim = 2,
                            .rows = 100,
                            .cols = MANY / 100,
                            .trainable = true,
                            .dtype = DT_BF16};
        p->data = malloc(MANY * 2);
        p->grad = malloc(MANY * sizeof(float));
        for (int i = 0; i < MANY; i++) {
            dtype_from_f32(DT_BF16, &w, (uint16_t *)p->data + i, 1);
            p->grad[i] = g;
        }
    }
    r->machine = machine_with("native", DT_F32, threads);
    assert_int_equal(opt_open(&r->opt, &r->machine, &h, r->p, 2, &e), 0);
}

static void rounding_open(struct rounding *r, float w, float g, uint64_t seed) {
    rounding_open_on(r, 1, w, g, seed);
}

static void rounding_step(struct rounding *r, double lr) {
    const struct grad_source grad = opt_buffers(&r->opt, 1);
    opt_step(&r->opt, lr, &grad);
}

static void rounding_close(struct rounding *r) {
    opt_close(&r->opt);
    machine_close(&r->machine);
    for (int k = 0; k < 2; k++) {
        free(r->p[k].data);
        free(r->p[k].grad);
    }
}

/* Updates of 1/50 of a weight's last bit: rounding to nearest would never move it; by chance the
 * mean moves as it should. */
static void test_rounding_mean(void **state) {
    (void)state;
    static float w[MANY];
    const double last_bit = 0x1p-7, lr = last_bit / 50, weight = 1.5;
    for (int sign = -1; sign < 2; sign += 2) {
        struct rounding r;
        rounding_open(&r, (float)(sign * weight), 1, 5);
        for (int t = 0; t < ROUNDS; t++) rounding_step(&r, lr);
        dtype_to_f32(DT_BF16, r.p[0].data, w, MANY);
        double sum = 0, pairs = 0;
        for (int i = 0; i < MANY; i++) {
            const double moved = ((double)w[i] - sign * weight) / last_bit;
            assert_true(moved == floor(moved) && moved <= 0 && moved > -12);
            sum += moved + 1;
            if (i) pairs += (moved + 1) * (((double)w[i - 1] - sign * weight) / last_bit + 1);
        }
        const double error = sqrt(0.02 * 0.98 * ROUNDS / MANY); /* binomial */
        if (!(fabs(sum / MANY) < 4.5 * error))
            fail_msg("the mean is off by %g last bits, expected within %g", sum / MANY,
                     4.5 * error);
        /* and neighbours round by chances of their own */
        assert_true(fabs(pairs / MANY) < 4.5 * error * error * sqrt(MANY));
        rounding_close(&r);
    }
}

/* A function of seed, step and tensor, for any number of threads. */
static void test_rounding_bits(void **state) {
    (void)state;
    struct rounding a, b, other;
    rounding_open(&a, 1.5f, 1, 5);
    rounding_open_on(&b, 4, 1.5f, 1, 5);
    rounding_open(&other, 1.5f, 1, 6);
    for (int t = 0; t < 3; t++) {
        uint16_t *before = memcpy(malloc(MANY * 2), a.p[0].data, MANY * 2);
        rounding_step(&a, 0.003);
        rounding_step(&b, 0.003);
        rounding_step(&other, 0.003);
        assert_memory_equal(a.p[0].data, b.p[0].data, MANY * 2);
        assert_memory_not_equal(a.p[0].data, other.p[0].data, MANY * 2);
        assert_memory_not_equal(a.p[0].data, a.p[1].data, MANY * 2);
        /* the same weights at another step round otherwise */
        uint16_t *now = memcpy(malloc(MANY * 2), a.p[0].data, MANY * 2);
        memcpy(a.p[0].data, before, MANY * 2);
        rounding_step(&a, 0.003);
        assert_memory_not_equal(a.p[0].data, now, MANY * 2);
        memcpy(a.p[0].data, now, MANY * 2);
        a.opt.t--;
        free(before);
        free(now);
    }
    rounding_close(&a);
    rounding_close(&b);
    rounding_close(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding_mean),
        cmocka_unit_test(test_rounding_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
