/* Machines of tests. One of one thread holds nothing, and need not be closed. */
#ifndef DUET_MACHINE_FIXTURE_H
#define DUET_MACHINE_FIXTURE_H

#include "err_fixture.h"
#include "machine.h"

/* 0, or why this cannot be computed here. */
static inline int machine_try(struct machine *m, const char *gemm, enum dtype compute, int threads,
                              struct err *err) {
    return machine_open(m,
                        &(struct machine_opts){.threads = threads,
                                               .gemm = gemm,
                                               .compute = dtype_row(compute)->name},
                        err);
}

static inline struct machine machine_with(const char *gemm, enum dtype compute, int threads) {
    struct machine m;
    ok(machine_try(&m, gemm, compute, threads, &e));
    return m;
}

static inline struct machine machine_of(const char *gemm, enum dtype compute) {
    return machine_with(gemm, compute, 1);
}

#endif
