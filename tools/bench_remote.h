/* Measuring in another process: what --against PROGRAM starts, and what it talks to.
 *
 *   duet bench step OPTIONS --serve             duet bench gemm --gemm B --compute C --serve
 *   < ready FLOPS                               < ready 0
 *   > 3                                         > weight-grad:352x128x512
 *   < 0.0123 0.0241                             < 0.00051 0.00102
 *
 * Prepared and warm, it says "ready", with the flops of a step; then it measures for every line it
 * is sent (so many steps; a turn of this product), and answers with the seconds of one by the clock
 * and of processors, medians of the turn. It ends at the end of its input, as when whoever started
 * it is no more. While others have their turns it waits in a read. */
#ifndef DUET_BENCH_REMOTE_H
#define DUET_BENCH_REMOTE_H

#include "bench_rounds.h"
#include "child.h"

/* ---- the program that is asked -------------------------------------------------------------- */

/* Measures what a request names. An error ends the program. */
typedef int serve_turn(void *ctx, const char *request, struct turn *t, struct err *e);
int bench_serve(double flops, serve_turn *turn, void *ctx, struct err *e);

/* ---- the one that asks ---------------------------------------------------------------------- */

/* A command line that grows; the words are owned. */
struct words {
    char **word; /* ends with NULL */
    int n, cap;
    bool starved; /* no memory: asked when all are there */
};
void words_add(struct words *w, const char *word);
/* Adds argv without the options that `drop` names (with their values), and without `flags`, which
 * have none; both end with NULL. */
void words_add_options(struct words *w, int argc, char **argv, const char *const *drop,
                       const char *const *flags);
void words_release(struct words *w);

/* The path of this program. ERR_IO. */
int bench_self(char *path, size_t size, struct err *e);

/* A program that measures on request. */
struct remote {
    struct child child;
    const char *verb; /* step or gemm */
    double flops;     /* of a step */
    char request[96]; /* what its next turns are of: with a line break */
};

/* Starts it with a command line that ends with --serve and waits until it is ready. *old, which may
 * be NULL: set if it is a duet that does not know --serve; then nothing is left open, and 0 is
 * returned. ERR_IO: it cannot be started, ends, or says something else. */
int remote_open(struct remote *r, const struct words *command, const char *verb, bool *old,
                struct err *e);
/* A rival's turn. */
int remote_turn(void *remote, struct turn *t, struct err *e);
void remote_close(struct remote *r); /* accepts all zeros */

#endif
