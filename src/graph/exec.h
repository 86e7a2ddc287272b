/* Running a graph: one exec is one shape (B sequences of at most T tokens), its plan and memory.
 *
 *   struct exec x;
 *   TRY(exec_open(&x, &graph, &machine, &opts, e));
 *   exec_run(&x, &batch);       forward, and backward if opts.train
 *   exec_close(&x);
 *
 * The parameters' data must be set before exec_run; their grad pointers too for training. Nothing
 * is allocated after exec_open. */
#ifndef DUET_EXEC_H
#define DUET_EXEC_H

#include "arena.h"
#include "graph.h"
#include "machine.h"
#include "plan.h"

struct exec_opts {
    int64_t B, T;
    int probes;     /* most probes of a run; 0 or 1: none */
    int64_t rank;   /* of their directions' factors (direction.h); 0: they have none */
    int64_t cache;  /* 0, or positions of the key/value cache (generation; B is 1) */
    bool train;     /* plan and run the backward pass too */
    bool recompute; /* activation checkpointing by block */
    /* While it is not 0, exec_run ends before the next op; or NULL. Set from anywhere, signal
     * handlers too. */
    const _Atomic int *cancel;
};

/* Prompt classification: the loss of a sequence is the cross-entropy over n answer tokens at one of
 * its positions, and the classifier is computed for these rows only. */
struct choices {
    int n;
    const uint32_t *ids;  /* (n) token ids, all different */
    const int32_t *pos;   /* (B) the position whose next token is the answer */
    const int32_t *label; /* (B) the right one, 0..n-1 */
    float *logits;        /* (B,n) out */
};

/* What one run reads and writes.
 *
 * With probes, the B sequences are n_probes groups of B/n_probes, in order, and group v goes
 * through the weights of probe v. The probes lie in one space (direction.h), whose tensors are the
 * graph's parameters. */
struct batch {
    int64_t B, T;           /* at most the planned ones */
    const struct probe *probes;
    int n_probes;           /* 0: none */
    const struct choices *choices; /* or NULL; then nll is (B) and target is not read */
    const uint32_t *input;  /* (B,T) token ids */
    const uint32_t *target; /* (B,T), or NULL when only logits are wanted */
    float *nll;             /* (B,T) out: -log p(target), nats; may be NULL without target */
    float *logits;          /* (B,V) out: of each sequence's last position, or NULL */
    int64_t pos;            /* position of the first token (tokens already in the cache) */
    double grad_scale; /* training: weight of each token's loss, e.g. 1/(tokens of the update) */
    bool grad_add;     /* training: accumulate into the parameters' gradients */
};

/* Cosines and sines of a rotary embedding: (positions, head_dim/2) each. */
struct rope_table {
    const float *cos, *sin;
};

/* Largest magnitudes that runs came upon, by block (struct node): of the residual stream, and of
 * the scaled scores of attention (the logits of its softmax; not their magnitude, the largest).
 * They grow before a loss blows up. A block without the one or the other keeps -1, or -infinity. */
struct exec_peaks {
    int n; /* blocks */
    float *activation, *logit;
};

struct exec {
    const struct graph *graph;
    const struct machine *machine;
    struct gemm gemm[GEMM_CLASSES]; /* the machine's, counting for this exec */
    struct exec_opts opts;
    struct plan plan;
    struct arena mem, cache, tables, factors;
    /* During a run: */
    struct batch batch;
    int64_t rows;          /* batch.B * batch.T */
    float **value, **grad; /* where each value and its gradient stand now */
    void *work;            /* shared scratch of the running event */
    char *threads;         /* per-thread scratch */
    const struct event *event; /* the running one; NULL after the last */
    bool *touched;    /* per parameter: gradient written already in this run */
    float **factor;   /* per parameter: the probes' factors of it, for the running node (view.c) */
    struct rope_table *rope; /* per node that is a rope: its table, shared where angles are equal */
    /* Seconds spent per op: [op][0 forward, 1 backward, with forward steps run again for it]; reset
     * by the caller. */
    double (*seconds)[2];
    double *seconds_pack; /* per op: of these, reading weights into panels */
    _Atomic int64_t packing; /* the same in ns of all threads, since it was opened */
    double seconds_lora;  /* of the linear ops' */
    struct exec_peaks *peaks; /* while it is set, runs raise what is in it; NULL: nobody looks */
};

/* Plans without reserving: fills x->plan (for `duet plan`). exec_close releases it. */
int exec_plan(struct exec *x, const struct graph *g, const struct machine *m,
              const struct exec_opts *o, struct err *e);
int exec_open(struct exec *x, const struct graph *g, const struct machine *m,
              const struct exec_opts *o, struct err *e);
/* The same, but ERR_NOMEM if that is more memory than there is; what: who wants it, for the
 * message. */
int exec_open_within(struct exec *x, const struct graph *g, const struct machine *m,
                     const struct exec_opts *o, const char *what, struct err *e);
void exec_close(struct exec *x); /* accepts all zeros */

/* Bytes that exec_open reserves besides weights and gradients. */
size_t exec_bytes(const struct exec *x);

/* False if it was cancelled: outputs and gradients are then worth nothing, and the next run is as
 * if this one had not been. */
bool exec_run(struct exec *x, const struct batch *b);

int exec_peaks_open(struct exec_peaks *p, const struct graph *g, struct err *e);
void exec_peaks_reset(struct exec_peaks *p);
void exec_peaks_close(struct exec_peaks *p); /* accepts all zeros */

/* ---- for ops ------------------------------------------------------------------------------- */

/* Rows of this run's tokens in a value: (rows, cols). In a cached value they stand at
 * position pos. */
float *exec_rows(const struct exec *x, int value);

/* True if the gradient of input i of the running node is to be accumulated. */
static inline bool exec_adds(const struct exec *x, int i) {
    return (x->event->adds >> i) & 1;
}

/* Probes of this run, at least 1. */
static inline int exec_probes(const struct exec *x) {
    return x->batch.n_probes ? x->batch.n_probes : 1;
}

/* A parameter as the B operand of a product over all rows of the run. Fills *v where probes or a
 * merged LoRA need it; v must live as long as the operand. */
struct mat exec_weight(const struct exec *x, int param, struct variants *v);

/* Before a node runs: the factors of its matrices as the probes see them, where their directions
 * have such; and what they take at most. */
void exec_make_factors(struct exec *x, const struct node *n);
size_t exec_factor_bytes(const struct exec *x);

/* n elements of a parameter from column `begin` of row `row` on (running on into the rows after
 * it), as probe `probe` sees them: a pointer to the stored ones, or buf, filled. */
const float *exec_param_row(const struct exec *x, int param, int probe, int64_t row, int64_t begin,
                            int64_t n, float *buf);

/* How products of a class are computed (machine.h). */
static inline const struct gemm *exec_gemm(const struct exec *x, enum gemm_class c) {
    return x->gemm + c;
}

/* This thread's scratch. */
static inline void *exec_thread(const struct exec *x, int tid) {
    return x->threads + (size_t)tid * x->plan.thread_bytes;
}

/* Are peaks to be found in this step? What is made again for the backward pass was seen before. */
static inline bool exec_watched(const struct exec *x) {
    return x->peaks && !x->event->again;
}

/* Raises *peak to x, from any thread. */
void exec_raise(float *peak, float x);

/* The parameter's gradient, or NULL. *add: accumulate (else write). Marks it as written. */
float *exec_param_grad(struct exec *x, int param, bool *add);

#endif
