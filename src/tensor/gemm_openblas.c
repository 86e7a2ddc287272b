/* OpenBLAS, loaded at run time, once a process, so that its kernels can be chosen first: OpenBLAS
 * 0.3.21 does not know newer AVX-512 processors and falls back to AVX2 kernels at half the speed,
 * unless OPENBLAS_CORETYPE names a core with the same instructions before the library is loaded. */
#include "gemm_lib.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

/* cblas_sgemm of the CBLAS standard, with its enumerators as int: row-major 101, plain 111,
 * transposed 112. */
typedef void sgemm_fn(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                      int lda, const float *b, int ldb, float beta, float *c, int ldc);

/* The first machine that asks decides about the kernels; a machine of another tier would get bits
 * that are not its own, and goes without the library. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool loaded;
static enum cpu_tier loaded_for;
static sgemm_fn *sgemm; /* does not change once it is loaded */

static void load(enum cpu_tier tier) {
    loaded = true;
    loaded_for = tier;
    if (tier >= CPU_avx512)
        setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
    else if (tier == CPU_avx2)
        setenv("OPENBLAS_CORETYPE", "Haswell", 0);
    else
        setenv("OPENBLAS_CORETYPE", "Prescott", 0); /* SSE 3: the least it has */
    setenv("OPENBLAS_NUM_THREADS", "1", 0);
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!lib) lib = dlopen("libopenblas.so", RTLD_NOW | RTLD_LOCAL);
    if (!lib) return;
    void (*threads)(int);
    *(void **)&threads = dlsym(lib, "openblas_set_num_threads");
    if (threads) threads(1); /* panels are shared out by the pool */
    *(void **)&sgemm = dlsym(lib, "cblas_sgemm");
}

/* Tiers that get the same kernels of the library. */
static bool alike(enum cpu_tier a, enum cpu_tier b) {
    return a == b || (a >= CPU_avx512 && b >= CPU_avx512);
}

static enum gemm_rate rate(enum dtype compute, const struct cpu *cpu) {
    pthread_mutex_lock(&lock);
    if (!loaded) load(cpu->tier);
    const bool usable = sgemm && alike(cpu->tier, loaded_for);
    pthread_mutex_unlock(&lock);
    if (!usable) return GEMM_NONE;
    return compute == DT_F32 ? GEMM_VECTORS : GEMM_ROUNDED;
}

/* First element, leading dimension and transposition of a packed operand from row r on. */
static const float *operand(const struct gemm_pack *p, int64_t r, int *ld, bool *trans) {
    if (p->data) {
        *ld = (int)p->full_k;
        *trans = false;
        return (const float *)p->data + r * p->full_k;
    }
    *ld = (int)p->src.ld;
    *trans = p->src.trans;
    return (const float *)p->src.data + (p->src.trans ? r : r * p->src.ld);
}

static void call(const struct gemm_pack *a, int64_t a0, int64_t m, const struct gemm_pack *b,
                 int64_t b0, int64_t n, float *c, int64_t ldc, bool add) {
    int lda, ldb;
    bool ta, tb;
    const float *pa = operand(a, a0, &lda, &ta), *pb = operand(b, b0, &ldb, &tb);
    sgemm(101, ta ? 112 : 111, tb ? 111 : 112, (int)m, (int)n, (int)a->k, 1, pa, lda, pb, ldb,
          add ? 1 : 0, c, (int)ldc);
}

static const struct gemm_lib *lib(const struct gemm *g) {
    static const struct gemm_lib plain = {call, DT_F32, false}, rounded = {call, DT_F32, true};
    return g->compute == DT_BF16 ? &rounded : &plain;
}

static size_t pack_bytes(const struct gemm *g, enum gemm_side side, const struct mat *m,
                         int64_t rows, int64_t k) {
    (void)side;
    return gemm_lib_pack_bytes(lib(g), m, rows, k);
}

static size_t panel_bytes(const struct gemm *g, int64_t rows, int64_t k) {
    return gemm_lib_panel_bytes(lib(g), rows, k);
}

static void openblas_pack(const struct gemm *g, enum gemm_side side, struct gemm_pack *p,
                          void *dst) {
    (void)side;
    gemm_lib_pack(g, lib(g), p, dst);
}

static void openblas_mul(const struct gemm *g, const struct gemm_pack *a, const struct gemm_pack *b,
                         float *c, int64_t ldc, bool add, void *work) {
    gemm_lib_mul(g, lib(g), a, b, c, ldc, add, work);
}

const struct gemm_backend gemm_openblas = {
    .name = "openblas",
    .help = "OpenBLAS SGEMM on panels, one thread each (bf16: rounded inputs)",
    .exact = true,
    .rate = rate,
    .pack_bytes = pack_bytes,
    .panel_bytes = panel_bytes,
    .pack = openblas_pack,
    .mul = openblas_mul,
};
