#include "score.h"

#include "finite.h"

#include <stdio.h>

enum { PIECE = 512 }; /* tokens of a run: a multiple of what attention cuts queries into */

int scorer_open(struct scorer *s, struct model *m, const struct machine *machine, int64_t most,
                struct err *e) {
    const struct exec_opts o = {.B = 1, .T = most < PIECE ? most : PIECE, .cache = most};
    *s = (struct scorer){.m = m, .most = most};
    return exec_open_within(&s->x, &m->graph, machine, &o, "scoring", e);
}

int scorer_run(struct scorer *s, const uint32_t *ids, int64_t n, float *nll, struct err *e) {
    for (int64_t at = 0; at < n - 1; at += PIECE) {
        const int64_t T = n - 1 - at < PIECE ? n - 1 - at : PIECE;
        const struct batch b = {.B = 1,
                                .T = T,
                                .input = ids + at,
                                .target = ids + at + 1,
                                .nll = nll + at,
                                .pos = at};
        exec_run(&s->x, &b);
    }
    for (int64_t i = 0; i < n - 1; i++) {
        char what[64];
        if (finite_all(nll + i, 1)) continue;
        snprintf(what, sizeof what, "the loss of token %lld", (long long)i + 1);
        return finite_explain(s->m, what, e);
    }
    return 0;
}

void scorer_close(struct scorer *s) {
    exec_close(&s->x);
    *s = (struct scorer){0};
}
