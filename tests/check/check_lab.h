/* Tiny graphs with their double references, for check_ops: built, run, compared. */
#ifndef DUET_CHECK_LAB_H
#define DUET_CHECK_LAB_H

#include "check.h"
#include "exec.h"

enum { MAX_PARAMS = 10, SAMPLES = 8 };

/* Tolerances in ulp of the largest value around (2^-24 relative, at least): about 4e-6 and, for
 * inputs rounded to bf16, 2e-2. */
static const double TOL_F32 = 64, TOL_BF16 = 0x1p18;

struct sample {
    int param;
    int64_t at;
    double want;
};

/* One graph with its reference. w: the parameters in double. */
struct lab {
    int64_t B, T, rows;
    struct graph g;
    struct param params[MAX_PARAMS];
    double *w[MAX_PARAMS];
    int n_sources;    /* the first parameters are embed tables */
    int last;         /* value that xent reads */
    struct node attr; /* attributes for the reference */
    uint32_t *input;
    int32_t *target;
    double *y, *nll; /* reference: input of xent, loss of each row */
    /* Input of xent from l->w. */
    void (*ref)(const struct lab *l, double *y);
    struct sample samples[MAX_PARAMS * SAMPLES];
    int n_samples;
};

static const double GRAD_SCALE = 0.375;

/* n zeros of so many bytes; the program ends without memory. */
void *lab_reserve(size_t n, size_t size);

/* ---- building: parameters and values are returned by their index ---- */

/* B sequences of T tokens whose ids are 0, 1, ...: row i of a table is the input of token i. */
struct lab lab_make(struct check *c, int64_t B, int64_t T);
/* (rows, cols), normal with that mean and deviation. */
int lab_param(struct check *c, struct lab *l, int64_t rows, int64_t cols, double sigma,
              double mean);
/* An embed node with a table of its own: a value (rows, cols) that can be anything. */
int lab_source(struct check *c, struct lab *l, int64_t cols);
/* A node with one output (rows, cols). */
int lab_op1(struct lab *l, struct node n, int64_t cols);
int lab_linear1(struct check *c, struct lab *l, int x, int64_t cols);
int lab_norm(struct check *c, struct lab *l, int x, int64_t width);
int lab_add(struct lab *l, int a, int b, float scale);
int lab_attn(struct lab *l, int q, int k, int v);
/* Classifier of V tokens over x; ref: x from l->w. Makes reference and finite differences. */
void lab_finish(struct check *c, struct lab *l, int x, int64_t V, float cap,
                void (*ref)(const struct lab *l, double *y));
void lab_release(struct lab *l);

/* ---- running, and comparing with the reference ---- */

/* y: the input of xent (rows, cols), or NULL; nll (rows). add: accumulate into the gradients. */
void lab_run(struct lab *l, const struct machine *g, bool train, bool add, float *y, float *nll);
void lab_compare_forward(struct check *c, struct lab *l, const struct machine *g, double tol);
/* The gradients of the last run. */
void lab_compare_backward(struct check *c, struct lab *l, double tol);
/* A second pass on top of the gradients doubles them, within TOL_F32. */
void lab_compare_accumulation(struct check *c, struct lab *l, const struct machine *g);
/* Largest magnitude of n values. */
double largest(const double *x, int64_t n);

#endif
