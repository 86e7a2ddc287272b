/* Parameters as a run sees them: stored, or perturbed by its probes. */
#include "exec.h"

#include <assert.h>
#include <string.h>

/* The probes of a run lie in one space. */
static bool perturbed(const struct exec *x, int param) {
    return x->batch.n_probes && direction_scale(&x->batch.probes->dir, param) != 0;
}

struct mat exec_weight(const struct exec *x, int param, struct variants *v) {
    const struct param *p = x->graph->params + param;
    struct mat m = param_mat(p, false);
    if (!perturbed(x, param)) return m;
    *v = (struct variants){.n = x->batch.n_probes,
                           .probes = x->batch.probes,
                           .tensor = param,
                           .cols = p->cols,
                           .row_count = p->rows};
    m.var = v;
    return m;
}

const float *exec_param_row(const struct exec *x, int param, int probe, int64_t row, int64_t begin,
                            int64_t n, float *buf) {
    const struct param *p = x->graph->params + param;
    const float *w = param_read(p, row * p->cols + begin, n, buf);
    if (!perturbed(x, param) || x->batch.probes[probe].eps == 0) return w;
    direction_add(&x->batch.probes[probe].dir, buf, w, x->batch.probes[probe].eps, param, row,
                  begin, n);
    return buf;
}
