/* What computes: a pool of threads, the instructions to use, the way of matrix products, and the
 * memory that may be planned with. Opened once by a program (or a test, or the library for each
 * model) and passed down; there is nothing of it that belongs to the process, so there can be
 * several at once, of different tiers and numbers of threads, and each gives its own bits.
 *
 *   struct machine m;
 *   TRY(machine_open(&m, &(struct machine_opts){.threads = 2}, e));
 *   ... exec_open(&x, &graph, &m, &opts, e) ...
 *   machine_close(&m);
 *
 * A machine is only read while it computes. Threads that share one get right results; the loops of
 * all but one of them then run on their own thread (pool.h). After fork() the child computes on its
 * own thread, too, with the same bits. */
#ifndef DUET_MACHINE_H
#define DUET_MACHINE_H

#include "cpu.h"
#include "gemm.h"
#include "kern.h"
#include "pool.h"

/* What a product is of. Each class has its own way of computing. */
enum gemm_class {
    GEMM_WEIGHTS, /* with stored weights: linear layers and the classifier, forward and to the
                   * gradient of their input (with LoRA where it is merged as they are read) */
    GEMM_EXACT,   /* of what is computed meanwhile: scores and values of attention, gradients of
                   * weights, the matrix pass of an optimizer; and with LoRA's factors */
    GEMM_CLASSES
};

struct machine_opts {
    int threads;         /* 0: a thread a processor (cpu_count) */
    const char *tier;    /* the most to use, or NULL: what DUET_CPU says, else all of the CPU */
    const char *gemm;    /* a backend or "auto"; NULL: "auto" */
    const char *compute; /* "f32", "bf16", or "auto": what is faster; NULL: "f32" */
    const char *exact;   /* the same for GEMM_EXACT alone; NULL: as compute */
    bool idle;           /* nothing will be multiplied: no backend is chosen */
    size_t memory;       /* most bytes that may be planned with; 0: all that the system has */
};

struct machine {
    struct pool *pool; /* NULL: one thread */
    struct cpu cpu;
    const struct kern *kern;
    struct gemm gemm[GEMM_CLASSES];
    size_t memory;                          /* of the options */
    _Atomic double peak[GEMM_PEAK_SIDES];   /* machine_peak; 0: not measured */
    bool borrowed;                          /* the pool is another machine's */
};

/* ERR_USAGE: a tier that there is not; ERR_INPUT: a backend that cannot compute that here. */
int machine_open(struct machine *m, const struct machine_opts *o, struct err *e);

/* Chooses the way of products (gemm, compute, exact): for a machine that was opened idle. */
int machine_products(struct machine *m, const struct machine_opts *o, struct err *e);

/* A machine with the pool and the instructions of another, which must stay open, and another way of
 * products: of o only gemm, compute and exact are read. */
int machine_share(struct machine *m, const struct machine *of, const struct machine_opts *o,
                  struct err *e);

/* The same machine with the calling thread alone: for what a chunk of a loop does by itself, in
 * scratch of its own. It is not closed. */
void machine_alone(struct machine *m, const struct machine *of);

/* Ends its threads. All zeros are fine. */
void machine_close(struct machine *m);

/* What DUET_CPU leaves of the CPU; ERR_USAGE if it names no tier. */
int machine_cpu(struct cpu *cpu, struct err *e);

/* Bytes that may be planned with: what is available now (limit.h), and no more than opts.memory. 0:
 * not known. */
size_t machine_memory(const struct machine *m);

/* gemm_peak of the products with weights; measured once for each size of the square. */
double machine_peak(struct machine *m, double seconds, size_t room);

static inline int machine_threads(const struct machine *m) {
    return pool_threads(m->pool);
}

#endif
