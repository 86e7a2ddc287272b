#include "gemm.h"

#include "arena.h"
#include "clock.h"
#include "gemm_kern.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#define X(name) extern const struct gemm_backend gemm_##name;
GEMM_BACKENDS(X)
#undef X

const struct gemm_backend *const gemm_backends[] = {
#define X(name) &gemm_##name,
    GEMM_BACKENDS(X)
#undef X
};
const size_t n_gemm_backends = sizeof gemm_backends / sizeof *gemm_backends;

int gemm_best(const enum gemm_rate *rate, int n) {
    int best = -1;
    for (int i = 0; i < n; i++)
        if (rate[i] != GEMM_NONE && (best < 0 || rate[i] > rate[best])) best = i;
    return best;
}

enum { N_BACKENDS = sizeof gemm_backends / sizeof *gemm_backends };

/* The best that this CPU has instructions for. */
static enum gemm_rate most(enum dtype compute, const struct cpu *cpu) {
    if (compute == DT_F32) return GEMM_VECTORS;
    if (cpu->tiles) return GEMM_TILES;
    return cpu->tier >= CPU_avx512bf16 ? GEMM_VECTORS : GEMM_ROUNDED;
}

/* The backend that the name means, or NULL. Asking a backend can load a library, so those behind
 * one that cannot be beaten are not asked. */
static const struct gemm_backend *choose(const char *name, enum dtype compute,
                                         const struct cpu *cpu) {
    const bool any = !strcmp(name, "auto");
    enum gemm_rate rate[N_BACKENDS] = {GEMM_NONE};
    bool best_there_is = false;
    for (int i = 0; i < N_BACKENDS && !best_there_is; i++) {
        const struct gemm_backend *b = gemm_backends[i];
        if (any ? !b->exact : strcmp(name, b->name)) continue;
        rate[i] = b->rate(compute, cpu);
        best_there_is = rate[i] >= most(compute, cpu);
    }
    const int best = gemm_best(rate, N_BACKENDS);
    return best < 0 ? NULL : gemm_backends[best];
}

enum dtype gemm_faster_compute(const char *backend, const struct cpu *cpu) {
    const struct gemm_backend *b = choose(backend, DT_BF16, cpu);
    return b && b->rate(DT_BF16, cpu) >= GEMM_VECTORS ? DT_BF16 : DT_F32;
}

int gemm_init(struct gemm *g, const char *backend, enum dtype compute, const struct cpu *cpu,
              struct pool *pool, struct err *e) {
    *g = (struct gemm){.compute = compute,
                       .backend = choose(backend, compute, cpu),
                       .cpu = *cpu,
                       .kern = kern_tier((int)cpu->tier),
                       .pool = pool};
    if (g->backend && g->backend->kernel) g->kernel = g->backend->kernel(compute, cpu);
    if (g->kernel) g->block = gemm_block_of(cpu);
    if (g->backend) return 0;
    return err_set(e, ERR_INPUT,
                   "GEMM backend %s cannot compute %s here (library missing, or not for this CPU)",
                   backend, dtype_row(compute)->name);
}

bool gemm_alike(const struct gemm *a, const struct gemm *b) {
    return a->backend == b->backend && a->compute == b->compute && a->cpu.tier == b->cpu.tier &&
           a->kernel == b->kernel;
}

size_t gemm_pack_bytes(const struct gemm *g, enum gemm_side side, struct mat m, int64_t rows,
                       int64_t k) {
    return g->backend->pack_bytes(g, side, &m, rows, k);
}

struct gemm_pack gemm_unpacked(struct mat m, int64_t rows, int64_t k) {
    return (struct gemm_pack){.src = m, .rows = rows, .k = k, .full_k = k};
}

struct gemm_pack gemm_pack(const struct gemm *g, enum gemm_side side, struct mat m, int64_t rows,
                           int64_t k, void *dst) {
    struct gemm_pack p = gemm_unpacked(m, rows, k);
    if (k > 0) g->backend->pack(g, side, &p, dst);
    return p;
}

struct gemm_pack gemm_pack_head(const struct gemm_pack *b, int64_t rows, int64_t k) {
    struct gemm_pack p = *b;
    assert(rows <= b->rows && k <= b->k);
    p.rows = rows;
    p.k = k;
    return p;
}

void gemm_count_packing(const struct gemm *g, double seconds) {
    if (g->packing)
        atomic_fetch_add_explicit(g->packing, (int64_t)(1e9 * seconds), memory_order_relaxed);
}

struct gemm_pack gemm_pack_groups(const struct gemm_pack *a, int all, int first, int n, int64_t row,
                                  int64_t count) {
    struct gemm_pack p = *a;
    assert(a->rows % all == 0 && row + count <= a->rows / all && !a->src.trans);
    assert(first >= 0 && n > 0 && first + n <= all);
    p.groups = n;
    p.group_rows = a->rows / all;
    p.first = first * p.group_rows + row;
    p.rows = n * count;
    return p;
}

struct gemm_pack gemm_pack_tri(const struct gemm_pack *a, enum gemm_tri tri, int64_t diag) {
    struct gemm_pack p = *a;
    assert(!a->groups);
    p.tri = tri;
    p.diag = diag;
    return p;
}

size_t gemm_panel_bytes(const struct gemm *g, int64_t rows, int64_t k) {
    return (size_t)pool_threads(g->pool) * g->backend->panel_bytes(g, rows, k);
}

static void check_operands(const struct gemm_pack *a, const struct gemm_pack *b) {
    assert(a->k == b->k && a->rows % mat_variants(&b->src) == 0);
    assert(!a->src.var && (!b->data || !b->src.var));
    assert(!a->groups || a->groups == mat_variants(&b->src));
    (void)a;
    (void)b;
}

/* True if there is no k: then C is written here, and no backend sees the product. */
static bool no_k(const struct gemm_pack *a, const struct gemm_pack *b, float *c, int64_t ldc,
                 bool add) {
    if (a->k > 0) return false;
    for (int64_t i = 0; i < a->rows && !add; i++)
        memset(c + i * ldc, 0, (size_t)b->rows * sizeof *c);
    return true;
}

void gemm_mul(const struct gemm *g, const struct gemm_pack *a, const struct gemm_pack *b, float *c,
              int64_t ldc, bool add, void *work) {
    check_operands(a, b);
    if (!no_k(a, b, c, ldc, add)) g->backend->mul(g, a, b, c, ldc, add, work);
}

/* The products that have k, to `some`; what went on with one that has none adds to its C. Their
 * number. */
static int with_k(const struct gemm_product *p, int n, struct gemm_product *some) {
    int kept = 0;
    bool begun = false; /* this chain */
    for (int i = 0; i < n; i++) {
        const bool add = p[i].add || p[i].on;
        begun = begun && p[i].on;
        if (no_k(&p[i].a, &p[i].b, p[i].c, p[i].ldc, add)) continue;
        some[kept] = p[i];
        some[kept].on = begun;
        some[kept++].add = add;
        begun = true;
    }
    return kept;
}

void gemm_mul_list(const struct gemm *g, const struct gemm_product *p, int n, void *work) {
    struct gemm_product some[GEMM_LIST];
    bool all = true;
    assert(n <= GEMM_LIST);
    for (int i = 0; i < n; i++) {
        all = all && p[i].a.k > 0;
        check_operands(&p[i].a, &p[i].b);
        assert(!p[i].on || (i && p[i].c == p[i - 1].c && p[i].ldc == p[i - 1].ldc &&
                            p[i].a.rows == p[i - 1].a.rows && p[i].b.rows == p[i - 1].b.rows));
    }
    if (!all) {
        n = with_k(p, n, some);
        p = some;
    }
    if (g->backend->mul_list) {
        g->backend->mul_list(g, p, n, work);
        return;
    }
    for (int i = 0; i < n; i++)
        g->backend->mul(g, &p[i].a, &p[i].b, p[i].c, p[i].ldc, p[i].add || p[i].on, work);
}

/* ---- products of a few rows ---------------------------------------------------------------- */

enum {
    FEW = 4,
    FEW_ROWS = 32,    /* rows of B a kernel takes at once, at most */
    FEW_COLUMNS = 64, /* of a transposed B: their sums stay in registers */
    FEW_TASKS = 4,    /* a thread: the machine's other work may stop one of them */
    FEW_BYTES = 1 << 16 /* of B that several rows of A go through, one after the other */
};

/* One product; its tasks each take `each` columns of C. */
struct few_job {
    const struct gemm *g;
    int64_t m, n, k, each;
    const float *a;
    int64_t lda;
    struct mat b;
    float *c;
    int64_t ldc;
    bool add;
};

static void few_rows(const struct few_job *j, int64_t n0, int64_t n) {
    gemv_fn *const gemv = gemm_kern_gemv(j->g->cpu.tier);
    const int64_t fit = FEW_BYTES / (int64_t)sizeof(float) / j->k,
                  some = j->m == 1 ? n : fit ? fit : 1;
    for (int64_t i = n0; i < n0 + n; i += some)
        for (int64_t r = 0; r < j->m; r++)
            gemv((const float *)j->b.data + i * j->b.ld, j->b.ld, j->a + r * j->lda,
                 j->c + r * j->ldc + i, n0 + n - i < some ? n0 + n - i : some, j->k, j->add);
}

/* B transposed: sums of its rows. */
static void few_columns(const struct few_job *j, int64_t n0, int64_t n) {
    gemv_fn *const sums = gemm_kern_sum_rows(j->g->cpu.tier);
    for (int64_t r = 0; r < j->m; r++)
        sums((const float *)j->b.data + n0, j->b.ld, j->a + r * j->lda, j->c + r * j->ldc + n0, n,
             j->k, j->add);
}

/* A list of products, whose tasks come one product after the other. */
struct few_list {
    struct few_job job[GEMM_LIST];
    int n;
};

static int64_t few_tasks(const struct few_job *j) {
    return (j->n + j->each - 1) / j->each;
}

static void few_task(void *ctx, int64_t t, int tid) {
    (void)tid;
    const struct few_list *l = ctx;
    const struct few_job *j = l->job;
    for (; t >= few_tasks(j); j++) t -= few_tasks(j);
    const int64_t n0 = t * j->each, n = j->n - n0 < j->each ? j->n - n0 : j->each;
    if (j->b.dtype != DT_F32)
        j->g->kernel->few(&j->b, n0, n, j->k, j->a, j->lda, j->m, j->c + n0, j->ldc, j->add);
    else
        (j->b.trans ? few_columns : few_rows)(j, n0, n);
}

static bool can_narrow(const struct gemm *g, const struct mat *b) {
    return g->kernel && g->kernel->few && !b->trans && (b->dtype == DT_BF16 || b->dtype == DT_Q8_0);
}

bool gemm_few(const struct gemm *g, int64_t m) {
    return m <= FEW && g->compute == DT_F32;
}

/* False if the product needs packing. */
static bool few_put(struct few_list *l, const struct gemm *g, const struct gemm_product *p) {
    const struct mat *a = &p->a.src, *b = &p->b.src;
    if (!gemm_few(g, p->a.rows) || a->dtype != DT_F32 || a->trans || b->var) return false;
    if (b->dtype != DT_F32 && !can_narrow(g, b)) return false;
    l->job[l->n++] = (struct few_job){.g = g,
                                      .m = p->a.rows,
                                      .n = p->b.rows,
                                      .k = p->a.k,
                                      .a = a->data,
                                      .lda = a->ld,
                                      .b = *b,
                                      .c = p->c,
                                      .ldc = p->ldc,
                                      .add = p->add};
    return true;
}

/* Every sum is one row of A with one of B, whatever the tasks: they may follow the number of
 * threads. The more a task reads in one piece, the better. */
static void few_run(const struct gemm *g, struct few_list *l) {
    const int threads = pool_reach(g->pool), want = threads > 1 ? FEW_TASKS * threads : 1;
    int64_t rows = 0, tasks = 0;
    for (int i = 0; i < l->n; i++) rows += l->job[i].n;
    const int64_t each = (rows / want / FEW_ROWS + 1) * FEW_ROWS;
    for (int i = 0; i < l->n; i++) {
        struct few_job *j = l->job + i;
        j->each = j->b.trans ? FEW_COLUMNS : each;
        tasks += few_tasks(j);
    }
    pool_for(g->pool, tasks, few_task, l);
}

size_t gemm_work_bytes(const struct gemm *g, int64_t m, int64_t n, int64_t k, struct mat a) {
    return gemm_pack_bytes(g, GEMM_A, a, m, k) + gemm_panel_bytes(g, n, k);
}

void gemm_run_list(const struct gemm *g, const struct gemm_product *p, int n, void *work) {
    struct few_list few = {.n = 0};
    assert(n <= GEMM_LIST);
    for (int i = 0; i < n; i++) {
        assert(!p[i].on && !p[i].a.data && !p[i].b.data);
        if (no_k(&p[i].a, &p[i].b, p[i].c, p[i].ldc, p[i].add)) continue;
        if (few_put(&few, g, p + i)) continue;
        const int64_t m = p[i].a.rows, k = p[i].a.k;
        const struct gemm_pack a = gemm_pack(g, GEMM_A, p[i].a.src, m, k, work);
        gemm_mul(g, &a, &p[i].b, p[i].c, p[i].ldc, p[i].add,
                 (char *)work + gemm_pack_bytes(g, GEMM_A, p[i].a.src, m, k));
    }
    few_run(g, &few);
}

void gemm_run(const struct gemm *g, int64_t m, int64_t n, int64_t k, struct mat a, struct mat b,
              float *c, int64_t ldc, bool add, void *work) {
    const struct gemm_product p = {.a = gemm_unpacked(a, m, k),
                                   .b = gemm_unpacked(b, n, k),
                                   .c = c,
                                   .ldc = ldc,
                                   .add = add};
    gemm_run_list(g, &p, 1, work);
}

size_t gemm_local_bytes(const struct gemm *g, int64_t m, int64_t n, int64_t k, struct mat a,
                        struct mat b) {
    return gemm_pack_bytes(g, GEMM_A, a, m, k) + gemm_pack_bytes(g, GEMM_B, b, n, k);
}

void gemm_local(const struct gemm *g, int64_t m, int64_t n, int64_t k, struct mat a, struct mat b,
                float *c, int64_t ldc, bool add, void *work) {
    const struct gemm_product p = {.a = gemm_unpacked(a, m, k),
                                   .b = gemm_unpacked(b, n, k),
                                   .c = c,
                                   .ldc = ldc,
                                   .add = add};
    struct few_list few = {.n = 0};
    if (no_k(&p.a, &p.b, c, ldc, add)) return;
    if (few_put(&few, g, &p)) {
        few_run(g, &few);
        return;
    }
    const struct gemm_pack pa = gemm_pack(g, GEMM_A, a, m, k, work);
    const struct gemm_pack pb =
        gemm_pack(g, GEMM_B, b, n, k, (char *)work + gemm_pack_bytes(g, GEMM_A, a, m, k));
    gemm_mul(g, &pa, &pb, c, ldc, add, NULL);
}

/* ---- measured rate -------------------------------------------------------------------------- */

static size_t square_bytes(const struct gemm *g, int64_t n) {
    return 3 * arena_need((size_t)(n * n), 4) +
           arena_round(gemm_work_bytes(g, n, n, n, mat_f32(NULL, n, false)));
}

/* Median seconds of a product n x n x n over about `seconds`; the first, not counted, warms up
 * caches, clocks and page tables. 0 without memory. */
static double time_square(const struct gemm *g, int64_t n, double seconds) {
    enum { MAX = 15 };
    const size_t work = gemm_work_bytes(g, n, n, n, mat_f32(NULL, n, false));
    struct arena mem;
    struct err e;
    if (arena_init(&mem, square_bytes(g, n), "the GEMM measurement", &e)) return 0;
    float *a = arena_alloc(&mem, (size_t)(n * n), 4), *b = arena_alloc(&mem, (size_t)(n * n), 4);
    float *c = arena_alloc(&mem, (size_t)(n * n), 4);
    void *w = arena_alloc(&mem, work, 1);
    for (int64_t i = 0; i < n * n; i++) {
        a[i] = (float)(i % 7) - 3;
        b[i] = (float)(i % 5) - 2;
    }
    double t[MAX], begin = 0;
    int runs = -1;
    while (runs < 1 || (runs < MAX && clock_seconds() - begin < seconds)) {
        const double s = clock_seconds();
        gemm_run(g, n, n, n, mat_f32(a, n, false), mat_f32(b, n, false), c, n, false, w);
        const double d = clock_seconds() - s;
        if (runs < 0) begin = clock_seconds();
        int i = runs++;
        for (; i > 0 && t[i - 1] > d; i--) t[i] = t[i - 1];
        if (i >= 0) t[i] = d;
    }
    arena_release(&mem);
    return t[runs / 2];
}

/* The last fits in any room. */
static const int64_t sides[GEMM_PEAK_SIDES] = {1536, 768, 384, 128};
enum { LAST = GEMM_PEAK_SIDES - 1 };

int gemm_peak_rank(const struct gemm *g, size_t room) {
    int i = 0;
    while (i < LAST && square_bytes(g, sides[i]) > room) i++;
    return i;
}

int64_t gemm_peak_side(const struct gemm *g, size_t room) {
    return sides[gemm_peak_rank(g, room)];
}

double gemm_peak(const struct gemm *g, double seconds, size_t room) {
    /* A small product first: a slow backend is measured by a size that fits into the time. */
    int64_t n = sides[LAST];
    const double trial = time_square(g, n, 0) / (double)(n * n * n);
    for (int i = 0; i < LAST && n == sides[LAST]; i++)
        if (square_bytes(g, sides[i]) <= room &&
            3 * trial * (double)(sides[i] * sides[i] * sides[i]) <= seconds)
            n = sides[i];
    const double t = time_square(g, n, seconds);
    return t > 0 ? 2e-9 * (double)(n * n * n) / t : 0;
}
