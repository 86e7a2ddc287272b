/* Matrix products to measure: their shapes, their operands, and one that tells what the machine can
 * do. */
#ifndef DUET_BENCH_PRODUCT_H
#define DUET_BENCH_PRODUCT_H

#include "arena.h"
#include "bench_rounds.h"
#include "gemm.h"

#include <stdio.h>

/* How the operands of C (m,n) = A (m,k) B (n,k)' are stored in the passes of a linear layer.
 *        name,        A transposed, B transposed */
#define PRODUCT_FORMS(X)                                                                           \
    X(forward, "forward", false, false)       /* tokens x out x in: y = x W' */                    \
    X(input_grad, "input-grad", false, true)  /* tokens x in x out: dx = dy W */                   \
    X(weight_grad, "weight-grad", true, true) /* out x in x tokens: dW = dy' x */

enum product_form {
#define X(id, name, ta, tb) FORM_##id,
    PRODUCT_FORMS(X)
#undef X
        FORM_COUNT
};

struct shape {
    enum product_form form;
    int64_t m, n, k;
};

const char *shape_form(const struct shape *s);
double shape_flops(const struct shape *s);

/* Shapes that belong together. */
struct shape_set {
    const char *name;  /* NULL: given one by one */
    const char *about; /* a line */
};
struct shape_list {
    struct shape *s;              /* owned */
    const struct shape_set **set; /* of each; owned */
    size_t n, cap;
};

/* Adds what a word of --shapes names: a set, "small" (demo, w256, w384), "all", or [FORM:]MxNxK.
 * ERR_USAGE if it is none. */
int shape_list_add(struct shape_list *l, const char *word, struct err *e);
void shape_list_release(struct shape_list *l);
/* The sets and what is in them, for --help. */
void shape_list_help(FILE *out);

/* Operands of a shape, and work for every way of multiplying that shares them. */
struct product_data {
    struct arena arena;
    struct shape shape;
    float *a, *b, *c;
    void *work;
};
/* ERR_NOMEM says how much it needs and what is free. */
int product_data_open(struct product_data *d, const struct shape *s, const struct gemm *g, int n,
                      struct err *e);
void product_data_close(struct product_data *d); /* accepts all zeros */

/* One way of multiplying them. Packing is part of it. */
struct product {
    const struct gemm *g;
    const struct product_data *d;
    int64_t times; /* products a turn: so many that a turn is not shorter than TURN_MS */
};
enum { TURN_MS = 4 };
/* Warms up, and finds `times`. */
void product_init(struct product *p, const struct gemm *g, const struct product_data *d);
/* A rival's turn: seconds a product. */
int product_turn(void *product, struct turn *t, struct err *e);

/* What the machine can do now: a large square product. It takes its turns among the rivals. */
struct peak {
    struct gemm g;
    struct product_data data;
    struct product product;
    struct drift rates; /* GFLOP/s, by the clock, in the order of time */
};
/* The side of a square that this way multiplies in a third of a second at most, judged by a small
 * one; and that fits into memory. */
int peak_side(const struct gemm *g, int64_t *side, struct err *e);
/* The same in two steps: the seconds of the small one, and the side for at most `most` seconds. */
int peak_trial(const struct gemm *g, double *seconds, struct err *e);
int64_t peak_side_within(const struct gemm *g, double trial, double most);
int peak_open(struct peak *p, const struct gemm *g, int64_t side, struct err *e);
/* Of the backend that is the fastest at a smaller square, the reference apart. */
int peak_open_best(struct peak *p, enum dtype compute, const struct cpu *cpu, struct pool *pool,
                   struct err *e);
/* A rival's turn, which it also remembers. */
int peak_turn(void *peak, struct turn *t, struct err *e);
void peak_close(struct peak *p); /* accepts all zeros */

#endif
