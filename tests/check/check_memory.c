/* What should be bound by memory: bytes a second of updates, norms, products of one row and panels
 * of weights, on all threads and on arrays that fit into no cache, beside a copy that is measured
 * in turn with each. Only with --bench; what these compute is checked by others (check_kern,
 * check_view, unit/test_opt.c, unit/test_zo.c).
 *
 * Bytes are those that must move: each array that is read, and each that is written. A copy moves
 * two; its memory may have to read a third, the lines that it is about to write. Shares are medians
 * of the rounds, with the interval of their median: by the clock, and by the seconds of processors,
 * which other programs disturb less. */
#include "bandwidth.h"
#include "check.h"
#include "clock.h"
#include "gemm_kern.h"
#include "machine.h"
#include "stat.h"
#include "zo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 16384,
    COLS = 1024, /* less would be no different; a multiple of every block */
    ROUNDS = 11,
    CHUNK = 256, /* rows */
    ARRAYS = 4,
    PANEL_K = 256
};

/* ARRAYS of ROWS x COLS floats, of which kernels use what they need, and a type's weights. */
struct room {
    struct machine machine;
    struct arena mem;
    float *x[ARRAYS];
    char *scratch; /* packed panels, of each thread */
    size_t scratch_bytes;
    struct param param;
    struct opt opt;
    struct direction_space space;
    struct direction_tensor tensor;
    int64_t directions;
    struct mat weights;
    struct variants variants;
    struct probe probes[2];
};

struct memory_item {
    const char *name;
    double bytes; /* an element */
    void (*run)(struct room *r);
    const char *optimizer; /* of updates */
    enum dtype type;
    int64_t directions; /* of updates and panels: their signs; 0: none */
};

static void each(struct room *r, pool_fn *fn) {
    pool_for(r->machine.pool, ROWS / CHUNK, fn, r);
}

static void copy(struct room *r) {
    bandwidth_copy(r->machine.pool, r->x[1], r->x[0], (int64_t)ROWS * COLS, 1);
}

static void norm_rows(void *ctx, int64_t i, int tid) {
    (void)tid;
    struct room *r = ctx;
    for (int64_t row = i * CHUNK; row < (i + 1) * CHUNK; row++)
        r->machine.kern->rmsnorm(r->x[1] + row * COLS, r->x[0] + row * COLS, r->x[2], 1e-5f, COLS);
}

static void norm(struct room *r) {
    each(r, norm_rows);
}

/* Gradients of the weight of the norm are partial sums of 32 rows (op_norm.c). */
static void norm_grad_rows(void *ctx, int64_t i, int tid) {
    (void)tid;
    struct room *r = ctx;
    float dw[COLS] = {0};
    for (int64_t row = i * CHUNK; row < (i + 1) * CHUNK; row++)
        r->machine.kern->rmsnorm_grad(r->x[1] + row * COLS, dw, r->x[0] + row * COLS,
                                      r->x[2] + row * COLS, r->x[3], 0.5f, false, COLS);
}

static void norm_grad(struct room *r) {
    each(r, norm_grad_rows);
}

static void gradient_norm(struct room *r) {
    opt_grad_norm(&r->opt);
}

static void update(struct room *r) {
    const struct grad_source g = opt_buffers(&r->opt, 1);
    opt_step(&r->opt, 1e-9, &g);
}

static void update_signs(struct room *r) {
    static const uint64_t seed[] = {1, 2, 3, 4};
    static const float coef[] = {1, -1, 2, 0.5f};
    const struct zo_update u = {.lr = 1e-9, .n = r->directions, .seed = seed, .coef = coef};
    zo_apply(&r->opt, &r->space, &u);
}

static void one_row(struct room *r) {
    gemm_run(&r->machine.gemm[GEMM_WEIGHTS], 1, ROWS, COLS, mat_f32(r->x[0], COLS, false),
             r->weights, r->x[2], ROWS, false, r->scratch);
}

static void pack_rows(void *ctx, int64_t i, int tid) {
    struct room *r = ctx;
    const struct gemm_kern *kn = r->machine.gemm[GEMM_WEIGHTS].kernel;
    const int nv = mat_variants(&r->weights);
    char *dst = r->scratch + (size_t)tid * r->scratch_bytes;
    const int64_t k = PANEL_K * kn->per_word, slivers = CHUNK / kn->nr, each = PANEL_K * kn->nr;
    for (int64_t p = 0; p < COLS; p += k)
        for (int64_t s = 0; s < slivers; s++)
            kn->pack_b(&r->weights, 0, nv, i * CHUNK + s * kn->nr, kn->nr, kn->nr, p,
                       COLS - p < k ? COLS - p : k, false, dst + s * each * 4, slivers * each);
}

static void pack(struct room *r) {
    each(r, pack_rows);
}

static const struct memory_item items[] = {
    {.name = "norm", .bytes = 8, .run = norm},
    {.name = "norm_grad", .bytes = 12, .run = norm_grad},
    {.name = "grad_norm", .bytes = 4, .run = gradient_norm, .optimizer = "sgd"},
    {.name = "sgd", .bytes = 12, .run = update, .optimizer = "sgd"},
    {.name = "sgd", .bytes = 8, .run = update, .optimizer = "sgd", .type = DT_BF16},
    {.name = "momentum", .bytes = 20, .run = update, .optimizer = "momentum"},
    {.name = "momentum", .bytes = 16, .run = update, .optimizer = "momentum", .type = DT_BF16},
    {.name = "lion", .bytes = 20, .run = update, .optimizer = "lion"},
    {.name = "lion", .bytes = 16, .run = update, .optimizer = "lion", .type = DT_BF16},
    {.name = "adamw", .bytes = 28, .run = update, .optimizer = "adamw"},
    {.name = "adamw", .bytes = 24, .run = update, .optimizer = "adamw", .type = DT_BF16},
    {.name = "zo", .bytes = 8, .run = update_signs, .optimizer = "sgd", .directions = 1},
    {.name = "zo", .bytes = 4, .run = update_signs, .optimizer = "sgd", .type = DT_BF16,
     .directions = 1},
    {.name = "zo4", .bytes = 8, .run = update_signs, .optimizer = "sgd", .directions = 4},
    {.name = "zo4", .bytes = 4, .run = update_signs, .optimizer = "sgd", .type = DT_BF16,
     .directions = 4},
    {.name = "one_row", .bytes = 4, .run = one_row},
    {.name = "one_row", .bytes = 2, .run = one_row, .type = DT_BF16},
    {.name = "one_row", .bytes = 34 / 32.0, .run = one_row, .type = DT_Q8_0},
    {.name = "pack", .bytes = 4, .run = pack},
    {.name = "pack", .bytes = 2, .run = pack, .type = DT_BF16},
    {.name = "pack", .bytes = 34 / 32.0, .run = pack, .type = DT_Q8_0},
    {.name = "pack_signs", .bytes = 4, .run = pack, .directions = 1},
    {.name = "pack_signs", .bytes = 2, .run = pack, .type = DT_BF16, .directions = 1},
};

static void open_room(struct room *r) {
    struct err e;
    const int64_t n = (int64_t)ROWS * COLS;
    if (machine_open(&r->machine, &(struct machine_opts){.gemm = "native"}, &e)) abort();
    const struct gemm *g = &r->machine.gemm[GEMM_WEIGHTS];
    const size_t threads = (size_t)machine_threads(&r->machine);
    r->scratch_bytes = arena_need((size_t)(2 * CHUNK * PANEL_K), 4);
    size_t work = gemm_work_bytes(g, 1, ROWS, COLS, mat_f32(NULL, COLS, false));
    if (work < threads * r->scratch_bytes) work = threads * r->scratch_bytes;
    if (arena_init(&r->mem, ARRAYS * arena_need((size_t)n, 4) + arena_round(work), "the arrays",
                   &e))
        abort();
    for (int i = 0; i < ARRAYS; i++) r->x[i] = arena_alloc(&r->mem, (size_t)n, 4);
    r->scratch = arena_alloc(&r->mem, work, 1);
}

/* Small positive numbers of every type. */
static void fill(struct room *r, const struct memory_item *it) {
    const size_t n = (size_t)ROWS * COLS;
    for (int i = 0; i < ARRAYS; i++)
        for (size_t j = 0; j < n; j++) r->x[i][j] = (float)(j % 61 + 1) * 0x1p-9f;
    r->param = (struct param){.rows = ROWS, .cols = COLS, .dtype = it->type, .trainable = true,
                              .move = 1, .role = ROLE_matrix, .data = r->x[1], .grad = r->x[0]};
    if (it->type != DT_F32) dtype_from_f32(it->type, r->x[0], r->x[1], n);
    r->directions = it->directions;
    r->space = zo_space(direction_find("rademacher"), &r->tensor, &r->param, 1);
    r->weights = param_mat(&r->param, false);
    for (int s = 0; s < 2; s++)
        r->probes[s] = (struct probe){direction_make(&r->space, 1, 0), s ? -1e-3f : 1e-3f};
    r->variants = (struct variants){.n = 2, .probes = r->probes, .cols = COLS};
    if (it->run == pack && it->directions) r->weights.var = &r->variants;
}

static double rate(struct room *r, void (*run)(struct room *r), double bytes, double *cpu) {
    const double n = (double)ROWS * COLS, at = clock_seconds(), used = clock_cpu_seconds();
    run(r);
    *cpu = 1e-9 * n * bytes / (clock_cpu_seconds() - used);
    return 1e-9 * n * bytes / (clock_seconds() - at);
}

static void bench(struct room *r, const struct memory_item *it) {
    double gb[ROUNDS], share[ROUNDS], cpu_share[ROUNDS];
    struct err e;
    fill(r, it);
    if (it->optimizer) {
        const struct opt_hyper h = opt_hyper_of(opt_find(it->optimizer));
        if (opt_open(&r->opt, &r->machine, &h, &r->param, 1, &e)) abort();
    }
    it->run(r);
    for (int i = 0; i < ROUNDS; i++) {
        double cpu, cpu_copy;
        /* Of other memory than the weights. */
        float *const weights = r->x[1];
        r->x[1] = r->x[3];
        const double rate_copy = rate(r, copy, 8, &cpu_copy);
        r->x[1] = weights;
        gb[i] = rate(r, it->run, it->bytes, &cpu);
        share[i] = gb[i] / rate_copy;
        cpu_share[i] = cpu / cpu_copy;
    }
    const struct stat_spread s = stat_spread(share, ROUNDS), u = stat_spread(cpu_share, ROUNDS);
    printf("%-12s %-5s %6.1f GB/s  %5.2f of a copy (%.2f to %.2f)  by processor time %5.2f "
           "(%.2f to %.2f)\n",
           it->name, dtype_row(it->type)->name, stat_median(gb, ROUNDS), s.median, s.low, s.high,
           u.median, u.low, u.high);
    if (it->optimizer) opt_close(&r->opt);
}

void check_memory(struct check *c) {
    struct room r = {0};
    if (!c->bench) return;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        if (!check_begin(c, items[i].name, "")) continue;
        if (!r.mem.base) open_room(&r);
        bench(&r, items + i);
        check_end(c);
    }
    arena_release(&r.mem);
    machine_close(&r.machine);
}
