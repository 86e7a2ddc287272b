/* Budgets: shares that are the same double whatever is counted, limits, and the updates that they
 * allow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "budget.h"

#include <string.h>

static struct budget_use opts(int64_t steps, double time, int64_t tokens, double epochs,
                              double flops) {
    return (struct budget_use){{[BUDGET_steps] = (double)steps,
                                [BUDGET_time] = time,
                                [BUDGET_tokens] = (double)tokens,
                                [BUDGET_epochs] = epochs,
                                [BUDGET_flops] = flops}};
}

/* N updates of K tokens, each of F operations: bit for bit the schedule of N updates. */
static void shares_of_whole_numbers_agree(void **state) {
    (void)state;
    for (int64_t n = 1; n < 4000; n += 37)
        for (int64_t k = 1; k < 100000; k = 3 * k + 1)
            for (int64_t i = 0; i <= n; i += 1 + n / 50) {
                const double f = 19734528;
                const struct budget_use a = opts(n, 0, 0, 0, 0), b = opts(0, 0, n * k, 0, 0),
                                        c = opts(0, 0, 0, 0, (double)n * f);
                const struct budget_use la = budget_limits(&a, 0), lb = budget_limits(&b, 0),
                                        lc = budget_limits(&c, 0);
                const struct budget_use used = {{[BUDGET_steps] = (double)i,
                                                 [BUDGET_tokens] = (double)(i * k),
                                                 [BUDGET_flops] = (double)i * f}};
                const double share = budget_share(&la, &used);
                assert_true(share == budget_share(&lb, &used));
                assert_true(share == budget_share(&lc, &used));
                assert_int_equal(share >= 1, i == n);
            }
}

static void the_first_limit_ends_it(void **state) {
    (void)state;
    const struct budget_use o = opts(10, 100, 0, 2, 0);
    const struct budget_use limit = budget_limits(&o, 93 * 32);
    struct budget_use used = {0};
    assert_true(budget_share(&limit, &used) == 0);
    used.of[BUDGET_tokens] = 1e9; /* no limit */
    used.of[BUDGET_steps] = 5;
    assert_true(budget_share(&limit, &used) == 0.5);
    used.of[BUDGET_time] = 75;
    assert_true(budget_share(&limit, &used) == 0.75);
    used.of[BUDGET_epochs] = 2 * 93 * 32 - 1;
    assert_true(budget_share(&limit, &used) < 1);
    assert_false(budget_spent(&limit, &used, BUDGET_epochs));
    used.of[BUDGET_epochs]++;
    assert_true(budget_share(&limit, &used) == 1);
    assert_true(budget_spent(&limit, &used, BUDGET_epochs));
    assert_false(budget_spent(&limit, &used, BUDGET_tokens));
    used.of[BUDGET_epochs] *= 2;
    assert_true(budget_share(&limit, &used) == 1);
    const struct budget_use unknown = budget_limits(&o, 0);
    assert_false(budget_spent(&unknown, &used, BUDGET_epochs));
}

static void check_updates(struct budget_use o, int64_t accum, int64_t end, int64_t want,
                          double want_micro) {
    const struct budget_unit u = {.tokens = 128, .epoch = 128, .flops = 1e6};
    const struct budget_use limit = budget_limits(&o, 1280);
    double flops = -1;
    assert_int_equal(budget_updates(&limit, &u, accum, end, &flops), want);
    if (want) assert_true(flops == want_micro * 1e6);
}

static void updates_that_are_allowed(void **state) {
    (void)state;
    check_updates(opts(7, 0, 0, 0, 0), 1, 0, 7, 7);
    check_updates(opts(7, 0, 0, 0, 0), 3, 0, 7, 21);
    check_updates(opts(0, 0, 128, 0, 0), 1, 0, 1, 1);
    check_updates(opts(0, 0, 129, 0, 0), 1, 0, 2, 2);
    check_updates(opts(0, 0, 129, 0, 0), 4, 0, 1, 4);
    check_updates(opts(0, 0, 0, 1.5, 0), 1, 0, 15, 15);
    check_updates(opts(0, 0, 0, 0, 1e6), 1, 0, 1, 1);
    check_updates(opts(0, 0, 0, 0, 1), 1, 0, 1, 1);
    check_updates(opts(5, 9, 1280, 0, 1e9), 1, 0, 5, 5);
    check_updates(opts(0, 9, 0, 0, 0), 1, 0, 0, 0);
    check_updates(opts(0, 0, 0, 0, 1e30), 1, 0, 0, 0);
    check_updates(opts(3, 0, 0, 0, 0), 1, 3, 3, 1 + 2 + 2); /* shares 0, 1/3, 2/3 */
    check_updates(opts(0, 0, 384, 0, 0), 1, 3, 2, 1 + 2);
    check_updates(opts(1000000000000, 0, 0, 0, 0), 2, 2, 1000000000000, 2e12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_of_whole_numbers_agree),
        cmocka_unit_test(the_first_limit_ends_it),
        cmocka_unit_test(updates_that_are_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
