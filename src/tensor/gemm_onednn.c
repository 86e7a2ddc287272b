/* oneDNN, loaded at run time if it is there (its library is large, and most runs do not need it).
 * f32 through dnnl_sgemm, bf16 through matmul primitives kept per shape. Both run single-threaded
 * on panels that the problem cuts. */
#include "gemm_lib.h"

#ifdef HAVE_ONEDNN

#include "arena.h"

#include <dlfcn.h>
#include <dnnl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTIONS(X)                                                                               \
    X(dnnl_sgemm)                                                                                  \
    X(dnnl_engine_create)                                                                          \
    X(dnnl_stream_create) X(dnnl_memory_desc_init_by_strides) X(dnnl_matmul_desc_init)             \
        X(dnnl_primitive_desc_create) X(dnnl_primitive_create) X(dnnl_primitive_destroy)           \
            X(dnnl_primitive_desc_destroy) X(dnnl_primitive_execute) X(dnnl_memory_create)         \
                X(dnnl_memory_destroy) X(dnnl_memory_desc_get_size) X(dnnl_primitive_attr_create)  \
                    X(dnnl_primitive_attr_destroy) X(dnnl_post_ops_create)                         \
                        X(dnnl_post_ops_append_sum) X(dnnl_post_ops_destroy)                       \
                            X(dnnl_primitive_attr_set_post_ops)                                    \
                                X(dnnl_primitive_attr_set_scratchpad_mode)                         \
                                    X(dnnl_primitive_desc_query_md) X(dnnl_set_max_cpu_isa)

#define X(f) static __typeof__(f) *p_##f;
FUNCTIONS(X)
#undef X

static dnnl_engine_t engine;
static dnnl_stream_t stream;
static bool ready;

struct pad {
    _Alignas(ARENA_ALIGN) size_t size; /* of what follows */
};
static pthread_key_t pad_key; /* of each thread that computes in bf16 */

/* The library takes no more of the CPU than the machine that asks first; a machine of another tier
 * would get bits that are not its own, and goes without it. Below AVX2 it has SSE 4.1. */
static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
static bool loaded;
static dnnl_cpu_isa_t loaded_for;

static dnnl_cpu_isa_t isa_of(const struct cpu *cpu) {
    if (cpu->tiles) return dnnl_cpu_isa_all;
    switch (cpu->tier) {
    case CPU_avx512bf16: return dnnl_cpu_isa_avx512_core_bf16;
    case CPU_avx512: return dnnl_cpu_isa_avx512_core;
    case CPU_avx2: return dnnl_cpu_isa_avx2;
    default: return dnnl_cpu_isa_sse41;
    }
}

static void load(const struct cpu *cpu) {
    loaded = true;
    loaded_for = isa_of(cpu);
    void *lib = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!lib || pthread_key_create(&pad_key, free)) return;
#define X(f)                                                                                       \
    *(void **)&p_##f = dlsym(lib, #f);                                                             \
    if (!p_##f) return;
    FUNCTIONS(X)
#undef X
    /* A library that cannot be held back will do where there is nothing to hold it back from. */
    if (p_dnnl_set_max_cpu_isa(loaded_for) != dnnl_success && cpu->tier < cpu_best()) return;
    ready = p_dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success &&
            p_dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success;
}

static enum gemm_rate rate(enum dtype compute, const struct cpu *cpu) {
    if (compute == DT_BF16 && cpu->tier < CPU_avx512bf16) return GEMM_NONE;
    pthread_mutex_lock(&load_lock);
    if (!loaded) load(cpu);
    const bool usable = ready && loaded_for == isa_of(cpu);
    pthread_mutex_unlock(&load_lock);
    if (!usable) return GEMM_NONE;
    return compute == DT_BF16 && cpu->tiles ? GEMM_TILES : GEMM_VECTORS;
}

static void call_f32(const struct gemm_pack *a, int64_t a0, int64_t m, const struct gemm_pack *b,
                     int64_t b0, int64_t n, float *c, int64_t ldc, bool add) {
    const struct gemm_pack *p[2] = {a, b};
    const int64_t row[2] = {a0, b0};
    const float *data[2];
    int64_t ld[2];
    bool trans[2];
    for (int i = 0; i < 2; i++) {
        trans[i] = !p[i]->data && p[i]->src.trans;
        ld[i] = p[i]->data ? p[i]->full_k : p[i]->src.ld;
        data[i] = p[i]->data ? p[i]->data : p[i]->src.data;
        data[i] += trans[i] ? row[i] : row[i] * ld[i];
    }
    p_dnnl_sgemm(trans[0] ? 'T' : 'N', trans[1] ? 'N' : 'T', m, n, a->k, 1, data[0], ld[0], data[1],
                 ld[1], add ? 1 : 0, c, ldc);
}

/* Matmul primitives by shape. Creating one costs far more than a small product, so they are kept
 * for the life of the process; a training run has a few dozen shapes. All threads share them, so
 * each brings its own scratchpad: the library's belongs to the primitive or to the thread that made
 * it. */
struct entry {
    int64_t m, n, k, ldb, ldc;
    bool add;
    dnnl_primitive_t prim;
    dnnl_memory_desc_t a, b, c, pad;
    size_t pad_bytes;
};
enum { ENTRIES = 1024 };
static struct entry entries[ENTRIES];
static int n_entries;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool make(struct entry *x) {
    const dnnl_dims_t da = {x->m, x->k}, sa = {x->k, 1}, db = {x->k, x->n}, sb = {1, x->ldb};
    const dnnl_dims_t dc = {x->m, x->n}, sc = {x->ldc, 1};
    dnnl_matmul_desc_t d;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_desc_t pd = NULL;
    bool ok = p_dnnl_memory_desc_init_by_strides(&x->a, 2, da, dnnl_bf16, sa) == dnnl_success &&
              p_dnnl_memory_desc_init_by_strides(&x->b, 2, db, dnnl_bf16, sb) == dnnl_success &&
              p_dnnl_memory_desc_init_by_strides(&x->c, 2, dc, dnnl_f32, sc) == dnnl_success &&
              p_dnnl_matmul_desc_init(&d, &x->a, &x->b, NULL, &x->c) == dnnl_success &&
              p_dnnl_primitive_attr_create(&attr) == dnnl_success &&
              p_dnnl_post_ops_create(&ops) == dnnl_success &&
              (!x->add || p_dnnl_post_ops_append_sum(ops, 1) == dnnl_success) &&
              p_dnnl_primitive_attr_set_post_ops(attr, ops) == dnnl_success &&
              p_dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) ==
                  dnnl_success &&
              p_dnnl_primitive_desc_create(&pd, &d, attr, engine, NULL) == dnnl_success &&
              p_dnnl_primitive_create(&x->prim, pd) == dnnl_success;
    if (ok) {
        x->pad = *p_dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
        x->pad_bytes = p_dnnl_memory_desc_get_size(&x->pad);
    }
    if (pd) p_dnnl_primitive_desc_destroy(pd);
    if (ops) p_dnnl_post_ops_destroy(ops);
    if (attr) p_dnnl_primitive_attr_destroy(attr);
    return ok;
}

/* The primitive for a shape; *own if the table is full (generation has new shapes at every
 * position) and the caller has to destroy it. *fresh: room for that. */
static const struct entry *find(struct entry *fresh, bool *own) {
    const struct entry *found = NULL;
    *own = false;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < n_entries && !found; i++) {
        const struct entry *x = entries + i;
        if (x->m == fresh->m && x->n == fresh->n && x->k == fresh->k && x->ldb == fresh->ldb &&
            x->ldc == fresh->ldc && x->add == fresh->add)
            found = x;
    }
    if (!found && n_entries < ENTRIES && make(fresh)) {
        entries[n_entries] = *fresh;
        found = entries + n_entries++;
    }
    pthread_mutex_unlock(&lock);
    if (found) return found;
    *own = make(fresh);
    return *own ? fresh : NULL;
}

/* This thread's scratchpad of at least `bytes`; it grows, and ends with the thread. NULL without
 * memory. */
static void *scratchpad(size_t bytes) {
    struct pad *pad = pthread_getspecific(pad_key);
    if (!pad || pad->size < bytes) {
        free(pad);
        pad = aligned_alloc(ARENA_ALIGN, sizeof *pad + arena_round(bytes));
        if (pthread_setspecific(pad_key, pad)) {
            free(pad);
            pad = NULL;
        }
        if (pad) pad->size = bytes;
    }
    return pad ? pad + 1 : NULL;
}

static float f32_of_bf16(uint16_t h) {
    const uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* The same product without the library, which needs memory for a primitive: slow, but there is no
 * other way to go on. */
static void plain(const uint16_t *a, int64_t lda, int64_t m, const uint16_t *b, int64_t ldb,
                  int64_t n, int64_t k, float *c, int64_t ldc, bool add) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            float sum = add ? c[i * ldc + j] : 0;
            for (int64_t p = 0; p < k; p++)
                sum += f32_of_bf16(a[i * lda + p]) * f32_of_bf16(b[j * ldb + p]);
            c[i * ldc + j] = sum;
        }
}

static bool run_primitive(const struct entry *x, void *a, void *b, float *c, void *pad) {
    void *const data[4] = {a, b, c, pad};
    const dnnl_memory_desc_t *const desc[4] = {&x->a, &x->b, &x->c, &x->pad};
    static const int role[4] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};
    dnnl_exec_arg_t args[4];
    bool ok = !x->pad_bytes || pad;
    int made = 0;
    for (; made < 4 && ok; made += ok) {
        args[made].arg = role[made];
        ok = p_dnnl_memory_create(&args[made].memory, desc[made], engine, data[made]) ==
             dnnl_success;
    }
    if (ok) ok = p_dnnl_primitive_execute(x->prim, stream, 4, args) == dnnl_success;
    while (made > 0) p_dnnl_memory_destroy(args[--made].memory);
    return ok;
}

static void call_bf16(const struct gemm_pack *a, int64_t a0, int64_t m, const struct gemm_pack *b,
                      int64_t b0, int64_t n, float *c, int64_t ldc, bool add) {
    bool own;
    struct entry fresh = {.m = m, .n = n, .k = a->k, .ldb = b->full_k, .ldc = ldc, .add = add};
    const struct entry *x = find(&fresh, &own);
    void *pad = x && x->pad_bytes ? scratchpad(x->pad_bytes) : NULL;
    const uint16_t *pa = (const uint16_t *)a->data + a0 * a->k;
    const uint16_t *pb = (const uint16_t *)b->data + b0 * b->full_k;
    /* The C API takes void * for inputs too. */
    if (!x || !run_primitive(x, (void *)(uintptr_t)pa, (void *)(uintptr_t)pb, c, pad))
        plain(pa, a->k, m, pb, b->full_k, n, a->k, c, ldc, add);
    if (own) p_dnnl_primitive_destroy(x->prim);
}

static const struct gemm_lib *lib(const struct gemm *g) {
    static const struct gemm_lib f32 = {call_f32, DT_F32, false},
                                 bf16 = {call_bf16, DT_BF16, false};
    return g->compute == DT_BF16 ? &bf16 : &f32;
}

static size_t onednn_pack_bytes(const struct gemm *g, enum gemm_side side, const struct mat *m,
                                int64_t rows, int64_t k) {
    (void)side;
    return gemm_lib_pack_bytes(lib(g), m, rows, k);
}

static size_t onednn_panel_bytes(const struct gemm *g, int64_t rows, int64_t k) {
    return gemm_lib_panel_bytes(lib(g), rows, k);
}

static void onednn_pack(const struct gemm *g, enum gemm_side side, struct gemm_pack *p, void *dst) {
    (void)side;
    gemm_lib_pack(g, lib(g), p, dst);
}

static void onednn_mul(const struct gemm *g, const struct gemm_pack *a, const struct gemm_pack *b,
                       float *c, int64_t ldc, bool add, void *work) {
    gemm_lib_mul(g, lib(g), a, b, c, ldc, add, work);
}

#else

static enum gemm_rate rate(enum dtype compute, const struct cpu *cpu) {
    (void)compute;
    (void)cpu;
    return GEMM_NONE;
}
#define onednn_pack_bytes NULL
#define onednn_panel_bytes NULL
#define onednn_pack NULL
#define onednn_mul NULL

#endif

const struct gemm_backend gemm_onednn = {
    .name = "onednn",
    .help = "oneDNN on panels, one thread each",
    .exact = true,
    .rate = rate,
    .pack_bytes = onednn_pack_bytes,
    .panel_bytes = onednn_panel_bytes,
    .pack = onednn_pack,
    .mul = onednn_mul,
};
