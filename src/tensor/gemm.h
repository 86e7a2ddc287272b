/* Matrix products: the one front door to every implementation.
 *
 *   C (m,n) = [C +] A (m,k) B (n,k)'        f32 out, f32 accumulation; m, n >= 1
 *
 * and k >= 0: a product without k writes zeros or, added, leaves C as it is; it reads no operand.
 *
 * Both operands are indexed (row, k). A forward linear layer is A = X, B = W; the gradient of its
 * input is A = dY, B = W'; the gradient of its weight is A = dY', B = X'. A struct mat says how the
 * operand is stored: type, leading dimension, transposed or not. *Packing* turns operands into the
 * form a backend multiplies, converting types on the way (narrow weights widen, bf16 compute
 * rounds); it is the only place where types change. A packed operand can be used for several
 * products.
 *
 * Of the process, not of a machine, are the libraries that onednn and openblas load, as there can
 * be only one of each: oneDNN with the shapes it has prepared (behind a lock, at most 1024, a
 * function of the shape alone) and OpenBLAS with the kernels of the tier that asked first
 * (gemm_openblas.c). They stay until the process ends; their scratch goes with the thread.
 *
 * Backends stand in an ordered list (GEMM_BACKENDS); "auto" takes the one with the best rate
 * for the compute type on this CPU, of equals the first. Adding one: gemm_x.c and one word in the
 * list. All work is cut by the problem, so every backend marked exact gives the same bits for any
 * number of threads. The native backend's f32 result is the plain left-to-right chain of fused
 * multiply-adds over k, starting from C (or 0), whatever the blocking: on every tier with FMA it is
 * bit-identical to the reference loop. (Products of at most four rows take another way, see
 * gemm_few; bf16 dot products add pairs.) */
#ifndef DUET_GEMM_H
#define DUET_GEMM_H

#include "cpu.h"
#include "direction.h"
#include "dtype.h"
#include "err.h"
#include "kern.h"
#include "pool.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GEMM_BACKENDS(X) X(native) X(onednn) X(openblas) X(ref)

/* B as several matrices of one shape: the rows of A fall into n groups of equal size, in order, and
 * group v is multiplied with variant v. This is how copies of the weights that differ by a
 * perturbation go through the network side by side: a panel of stored weights is read and widened
 * once for all of them. The stored matrix is never written.
 *
 * Variant v is  stored + v*stride  [ + scale lora_b_v lora_a_v ]  [ + probes[v].eps z_v ]. */
struct variants {
    int n;
    int64_t stride; /* elements of storage from one variant to the next; 0: all read the same */
    /* Perturbation, or NULL. Not for transposed operands. */
    const struct probe *probes; /* n */
    int64_t tensor, cols;       /* z is of a tensor of so many columns, */
    int64_t row0;               /* ... whose row row0 is line 0 of the stored matrix */
    /* LoRA merged in by kern's axpy, or rank 0: lora_b + v*row_count*rank is (row_count, rank), its
     * row row0 belongs to line 0; lora_a + v*rank*cols is (rank, cols). */
    int rank;
    const struct kern *kern;
    float scale;
    const float *lora_a, *lora_b;
    int64_t row_count;
};

/* Element (i,p) is data[i*ld + p], or data[p*ld + i] if trans. ld counts elements. Block types:
 * rows along ld, ld a multiple of the block. */
struct mat {
    const void *data;
    enum dtype dtype; /* f32, bf16, f16 or (as B) q8_0 */
    bool trans;
    int64_t ld;
    const struct variants *var; /* B only; NULL: one, as stored */
};

static inline struct mat mat_f32(const float *data, int64_t ld, bool trans) {
    return (struct mat){.data = data, .dtype = DT_F32, .trans = trans, .ld = ld};
}

enum gemm_side { GEMM_A, GEMM_B };

/* A triangle of a product: what a backend may leave out, and does where it is cheap. The
 * bits of what is left are the same. */
enum gemm_tri {
    GEMM_FULL,
    GEMM_TRI_C,     /* c(i,j) with j > diag + i is of no use: written or not */
    GEMM_TRI_LOWER, /* a(i,p) with p > diag + i is 0 */
    GEMM_TRI_UPPER, /* a(i,p) with i > diag + p is 0 */
};

/* An operand ready to multiply: either in packed storage or, where a backend reads the original
 * directly or packs it panel by panel during the product, a reference to it (which must then stay
 * unchanged while it is in use). */
struct gemm_pack {
    struct mat src;
    const void *data; /* packed storage, or NULL: read src */
    int64_t rows, k;
    int64_t full_k; /* k when it was packed */
    int64_t ld;     /* the backend's own */
    const float *scale; /* the same: of A's rows, or NULL */
    size_t panel; /* unpacked B: bytes of one thread's share of work; 0: what this one needs */
    /* A in groups: row r of group v is row first + v*group_rows + r. */
    int groups; /* 0: not cut */
    int64_t first, group_rows;
    /* A of a triangular product, in one group. */
    enum gemm_tri tri;
    int64_t diag;
};

/* One product of a list. */
struct gemm_product {
    struct gemm_pack a, b;
    float *c;
    int64_t ldc;
    bool add;
    bool on; /* goes on with the sums of the product before it: the same rows of the same c */
};

struct gemm;
struct gemm_kern;

/* What a backend has for a compute type on a CPU, slowest first. */
enum gemm_rate {
    GEMM_NONE,     /* it cannot run here */
    GEMM_LOOPS,    /* plain loops: for checks, never chosen by itself if there is anything else */
    GEMM_ROUNDED,  /* inputs are rounded, and multiplied as f32: no faster than f32 */
    GEMM_VECTORS,  /* vector instructions of the type */
    GEMM_TILES,    /* matrix tiles (AMX) */
};

struct gemm_backend {
    const char *name;
    const char *help;
    bool exact; /* same bits for any number of threads */
    /* How it would compute this type with so much of the CPU (and the library that is found). */
    enum gemm_rate (*rate)(enum dtype compute, const struct cpu *cpu);
    /* The row of kernels that computes this type (gemm_kern.h), of a backend that has rows; or
     * NULL. */
    const struct gemm_kern *(*kernel)(enum dtype compute, const struct cpu *cpu);
    /* Bytes of storage that pack needs for an operand like m (m->data is not looked at). */
    size_t (*pack_bytes)(const struct gemm *g, enum gemm_side side, const struct mat *m,
                         int64_t rows, int64_t k);
    /* Bytes of one thread's scratch for a product with an unpacked B. */
    size_t (*panel_bytes)(const struct gemm *g, int64_t rows, int64_t k);
    void (*pack)(const struct gemm *g, enum gemm_side side, struct gemm_pack *p, void *dst);
    void (*mul)(const struct gemm *g, const struct gemm_pack *a, const struct gemm_pack *b,
                float *c, int64_t ldc, bool add, void *work);
    /* Several at once, or NULL: one after another. */
    void (*mul_list)(const struct gemm *g, const struct gemm_product *p, int n, void *work);
};

/* How the native backend cuts products: by the caches of the CPU. No result depends on it. */
struct gemm_block {
    int panel;  /* rows of B that a task packs, at most MAT_LINE... */
    int words;  /* ...and words of k at a time, a multiple of 64, at most GEMM_WORDS */
    int tile_m; /* rows of A against a panel before the next rows */
};
enum { GEMM_WORDS = 512 };

/* A choice of backend and compute type, and what products run on. Read-only afterwards. */
struct gemm {
    const struct gemm_backend *backend;
    enum dtype compute; /* DT_F32, or DT_BF16: inputs rounded to bf16, f32 accumulation */
    struct cpu cpu;
    const struct kern *kern;
    const struct gemm_kern *kernel; /* the backend's; NULL if it has no rows */
    struct gemm_block block;        /* with it */
    struct pool *pool;
    /* Adds up the nanoseconds that the threads together spend on packing B panel by panel (reading
     * stored weights: widening, dequantising, perturbing); NULL: nobody asks. */
    _Atomic int64_t *packing;
};

extern const struct gemm_backend *const gemm_backends[];
extern const size_t n_gemm_backends;

/* backend: a name from the list, or "auto": the exact one with the best rate, of equals the first.
 * A backend that is named is taken if it can run here at all, else ERR_INPUT. */
int gemm_init(struct gemm *g, const char *backend, enum dtype compute, const struct cpu *cpu,
              struct pool *pool, struct err *e);

/* The compute type that is faster with this backend ("auto": with the best): bf16 where there are
 * instructions for its products, else f32. */
enum dtype gemm_faster_compute(const char *backend, const struct cpu *cpu);

/* What one packs, the other multiplies, and their results have the same bits. */
bool gemm_alike(const struct gemm *a, const struct gemm *b);

/* The index of the best of n rates, of equals the first; -1 if all are GEMM_NONE. */
int gemm_best(const enum gemm_rate *rate, int n);

/* Storage for packing an operand like m; m.data is not looked at, so that plans can ask. One of
 * fewer rows or k may need some where a larger one needs none. */
size_t gemm_pack_bytes(const struct gemm *g, enum gemm_side side, struct mat m, int64_t rows,
                       int64_t k);

/* dst: gemm_pack_bytes() bytes, 64-byte aligned. */
struct gemm_pack gemm_pack(const struct gemm *g, enum gemm_side side, struct mat m, int64_t rows,
                           int64_t k, void *dst);

/* A B that is packed panel by panel during the product, each panel by the thread that uses it: the
 * fastest way when it is used once. */
struct gemm_pack gemm_unpacked(struct mat m, int64_t rows, int64_t k);

/* Of an A that holds `all` groups of equal size: rows [row, row + count) of n of them from number
 * `first` on. */
struct gemm_pack gemm_pack_groups(const struct gemm_pack *a, int all, int first, int n, int64_t row,
                                  int64_t count);

/* The first rows and the first k of a packed B: causal attention needs only the keys so far. */
struct gemm_pack gemm_pack_head(const struct gemm_pack *b, int64_t rows, int64_t k);

/* A for a product of which a triangle is enough: causal attention. */
struct gemm_pack gemm_pack_tri(const struct gemm_pack *a, enum gemm_tri tri, int64_t diag);

/* c: row i at c + i*ldc. add: accumulate into c. work: for an unpacked B, gemm_panel_bytes() bytes,
 * cut by thread, so that products inside the chunks of one loop can share it: those of smaller
 * operands than it was made for then say so with b->panel. Else NULL. */
void gemm_mul(const struct gemm *g, const struct gemm_pack *a, const struct gemm_pack *b, float *c,
              int64_t ldc, bool add, void *work);
size_t gemm_panel_bytes(const struct gemm *g, int64_t rows, int64_t k);

/* n <= GEMM_LIST products that need not wait for each other, in one loop where the backend can: the
 * bits are those of one after the other. work: gemm_panel_bytes() of the one that needs most. Not
 * inside a chunk. */
enum { GEMM_LIST = 8 };
void gemm_mul_list(const struct gemm *g, const struct gemm_product *p, int n, void *work);

/* Packs A, and B panel by panel, and multiplies. Not inside a chunk. */
size_t gemm_work_bytes(const struct gemm *g, int64_t m, int64_t n, int64_t k, struct mat a);
void gemm_run(const struct gemm *g, int64_t m, int64_t n, int64_t k, struct mat a, struct mat b,
              float *c, int64_t ldc, bool add, void *work);

/* n <= GEMM_LIST products of unpacked operands, none with `on`, each as gemm_run would; those of
 * few rows (gemm_few) in one loop. work: gemm_work_bytes() of the one that needs most. */
void gemm_run_list(const struct gemm *g, const struct gemm_product *p, int n, void *work);

/* The same inside a chunk: packs both sides whole into this thread's own work. */
size_t gemm_local_bytes(const struct gemm *g, int64_t m, int64_t n, int64_t k, struct mat a,
                        struct mat b);
void gemm_local(const struct gemm *g, int64_t m, int64_t n, int64_t k, struct mat a, struct mat b,
                float *c, int64_t ldc, bool add, void *work);

/* n <= MAT_LINE elements of stored line `line` from column `col` on, of variant v: widened, with
 * LoRA merged in, not perturbed; mat_line also perturbs. A pointer to the stored ones, or buf,
 * filled. */
enum { MAT_LINE = 512 };
const float *mat_stored(const struct mat *m, int v, int64_t line, int64_t col, int64_t n,
                        float *buf);
const float *mat_line(const struct mat *m, int v, int64_t line, int64_t col, int64_t n, float *buf);

/* m with n of its variants alone, from number `first` on: *some says which and must live as long. m
 * itself if it has none. */
struct mat mat_some(struct mat m, int first, int n, struct variants *some);

/* Number of variants of an operand. */
static inline int mat_variants(const struct mat *m) {
    return m->var ? m->var->n : 1;
}

/* True if gemm_run and gemm_local skip packing for a product of m rows (of f32 operands, A not
 * transposed): generation reads every weight once. */
bool gemm_few(const struct gemm *g, int64_t m);

/* For backends: counts seconds that a thread has packed. */
void gemm_count_packing(const struct gemm *g, double seconds);

/* Measured rate of a large square product with this backend, GFLOP/s over all threads: the median
 * of the runs that fit into about `seconds`, of the largest square that fits into `room` bytes. 0
 * if there is no memory for it. */
double gemm_peak(const struct gemm *g, double seconds, size_t room);

/* The side of that square, on a machine that is fast enough, and its number among the sides that
 * there are. */
enum { GEMM_PEAK_SIDES = 4 };
int64_t gemm_peak_side(const struct gemm *g, size_t room);
int gemm_peak_rank(const struct gemm *g, size_t room);

#endif
