#include "finite.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The exponent's bits are all set in NaN and infinity, whatever the compiler thinks of them. */
static bool is_finite(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return (u & 0x7f800000) != 0x7f800000;
}

bool finite_all(const float *x, int64_t n) {
    uint32_t bad = 0;
    for (int64_t i = 0; i < n; i++) bad |= !is_finite(x[i]);
    return !bad;
}

struct place {
    const struct param *p;
    int64_t i;
    float x;
};

/* The first number of a parameter that is not finite, else the largest, into *at if it is larger
 * than what stands there. Returns whether it is finite. */
static bool search(const struct param *p, struct place *at) {
    enum { STEP = 1024 };
    float buf[STEP];
    const int64_t n = param_count(p);
    for (int64_t from = 0; from < n; from += STEP) {
        const int64_t some = n - from < STEP ? n - from : STEP;
        const float *x = param_read(p, from, some, buf);
        for (int64_t i = 0; i < some; i++) {
            const bool finite = is_finite(x[i]);
            if (finite && at->p && fabsf(x[i]) <= fabsf(at->x)) continue;
            *at = (struct place){p, from + i, x[i]};
            if (!finite) return false;
        }
    }
    return true;
}

static void name_index(const struct place *at, char *to, size_t cap) {
    if (at->p->ndim == 2)
        snprintf(to, cap, "[%lld,%lld]", (long long)(at->i / at->p->cols),
                 (long long)(at->i % at->p->cols));
    else
        snprintf(to, cap, "[%lld]", (long long)at->i);
}

int finite_explain(const struct model *m, const char *what, struct err *e) {
    struct place at = {0};
    char index[64];
    bool finite = true;
    for (int i = 0; i < m->n_params && finite; i++) finite = search(m->params + i, &at);
    name_index(&at, index, sizeof index);
    if (finite)
        return err_set(e, ERR_NUMERIC,
                       "%s is not a finite number, though every weight is: the largest is %g at %s "
                       "of tensor %s",
                       what, (double)at.x, index, at.p->name);
    return err_set(e, ERR_NUMERIC, "%s is not a finite number: tensor %s holds %s at %s", what,
                   at.p->name, isnan(at.x) ? "NaN" : at.x > 0 ? "infinity" : "-infinity", index);
}
