#include "par.h"
#include "cpu.h"

#ifdef _OPENMP
#include <omp.h>
#endif

static int n_threads;                    /* 0: not set yet */
static _Thread_local int inside = -1;    /* tid of the chunk this thread is in, or -1 */

void par_init(int threads) {
    n_threads = threads > 0 ? threads : 1;
#ifdef _OPENMP
    /* Libraries that use OpenMP themselves must see one thread: how they would cut work over more is
     * not a function of the problem. par_for asks for its threads explicitly. */
    omp_set_num_threads(1);
#endif
}

int par_threads(void) {
    if (!n_threads) par_init(cpu_count());
    return n_threads;
}

void par_for(int64_t n, par_fn *fn, void *ctx) {
    if (inside >= 0 || n <= 1 || par_threads() == 1) {
        int outer = inside;
        if (inside < 0) inside = 0;
        for (int64_t i = 0; i < n; i++) fn(ctx, i, inside);
        inside = outer;
        return;
    }
#ifdef _OPENMP
#pragma omp parallel num_threads(n_threads)
    {
        inside = omp_get_thread_num();
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < n; i++) fn(ctx, i, inside);
        inside = -1;
    }
#else
    inside = 0;
    for (int64_t i = 0; i < n; i++) fn(ctx, i, 0);
    inside = -1;
#endif
}
