#include "val_change.h"

#include "stat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void val_change_init(struct val_change *v) {
    *v = (struct val_change){.step = -1, .change = NAN, .stderr_ = NAN};
}

void val_change_release(struct val_change *v) {
    free(v->first);
    free(v->now);
    val_change_init(v);
}

int val_change_reserve(struct val_change *v, int64_t n, struct err *e) {
    if (v->now && v->n == n) return 0;
    val_change_release(v); /* other windows: nothing to compare with */
    v->first = calloc((size_t)n, sizeof *v->first);
    v->now = calloc((size_t)n, sizeof *v->now);
    v->n = n;
    return v->first && v->now ? 0 : err_set(e, ERR_NOMEM, "out of memory for validation losses");
}

void val_change_take(struct val_change *v, int64_t step) {
    const size_t n = (size_t)v->n;
    if (v->step < 0) {
        memcpy(v->first, v->now, n * sizeof *v->first);
        v->step = step;
        return;
    }
    for (size_t i = 0; i < n; i++) v->now[i] -= v->first[i];
    v->change = stat_mean(v->now, n);
    v->stderr_ = stat_stderr(v->now, n);
}

bool val_change_risen(const struct val_change *v) {
    if (isnan(v->change)) return false;
    return v->change > (isnan(v->stderr_) ? 0 : 2 * v->stderr_);
}
