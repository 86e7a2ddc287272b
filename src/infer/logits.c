#include "logits.h"

#include "exec.h"

#include <stdlib.h>

int model_logits(struct model *m, const struct machine *machine, const uint32_t *ids, int64_t n,
                 void (*emit)(void *ctx, const float *logits, int64_t vocab), void *ctx,
                 struct err *e) {
    int rc;
    struct exec x = {0};
    const struct exec_opts xo = {.B = 1, .T = 1, .cache = n};
    float *logits = malloc((size_t)m->config.vocab * sizeof *logits);
    if (!logits) return err_set(e, ERR_NOMEM, "out of memory for logits");
    TRY(exec_open_within(&x, &m->graph, machine, &xo, "the pass", e));
    for (int64_t i = 0; i < n; i++) {
        const struct batch b = {.B = 1, .T = 1, .input = ids + i, .pos = i, .logits = logits};
        exec_run(&x, &b);
        emit(ctx, logits, m->config.vocab);
    }
out:
    exec_close(&x);
    free(logits);
    return rc;
}
