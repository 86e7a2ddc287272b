#include "budget.h"

#include <math.h>

const char *budget_name(enum budget b) {
#define X(name) #name,
    static const char *const names[] = {BUDGETS(X)};
#undef X
    return names[b];
}

struct budget_use budget_limits(const struct budget_use *asked, double epoch) {
    struct budget_use limit = *asked;
    limit.of[BUDGET_epochs] *= epoch;
    return limit;
}

double budget_share(const struct budget_use *limit, const struct budget_use *used) {
    double most = 0;
    for (int b = 0; b < N_BUDGETS; b++) {
        const double share = limit->of[b] > 0 ? used->of[b] / limit->of[b] : 0;
        if (share > most) most = share;
    }
    return most < 1 ? most : 1;
}

bool budget_spent(const struct budget_use *limit, const struct budget_use *used, enum budget b) {
    return limit->of[b] > 0 && used->of[b] >= limit->of[b];
}

enum { MAX_RAMP = 10000000 };

int64_t budget_updates(const struct budget_use *limit, const struct budget_unit *u, int64_t accum,
                       int64_t accum_end, double *flops) {
    struct budget_use most = *limit, used = {0};
    const double each[N_BUDGETS] = {[BUDGET_tokens] = u->tokens,
                                    [BUDGET_epochs] = u->epoch,
                                    [BUDGET_flops] = u->flops};
    double micro = INFINITY, n = 0; /* micro-batches; updates */
    most.of[BUDGET_time] = 0;
    for (int b = 0; b < N_BUDGETS; b++)
        if (most.of[b] > 0 && each[b] > 0) micro = fmin(micro, most.of[b] / each[b]);
    if (accum_end <= accum) {
        n = ceil(micro / (double)accum);
        if (most.of[BUDGET_steps] > 0) n = fmin(n, most.of[BUDGET_steps]);
        if (!(n < 1e15)) n = 0;
        used.of[BUDGET_flops] = n * (double)accum * u->flops;
    }
    while (accum_end > accum && (isfinite(micro) || most.of[BUDGET_steps] > 0)) {
        const double share = budget_share(&most, &used);
        if (share >= 1) break;
        if (n >= MAX_RAMP) return isfinite(micro) ? 0 : (int64_t)most.of[BUDGET_steps];
        const double more = (double)sched_accum(accum, accum_end, share);
        used.of[BUDGET_steps] = ++n;
        for (int b = 0; b < N_BUDGETS; b++) used.of[b] += each[b] * more;
    }
    if (flops) *flops = used.of[BUDGET_flops];
    return (int64_t)n;
}
