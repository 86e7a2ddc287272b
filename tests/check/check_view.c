/* Weights as views: products with variants of B (stored narrow, perturbed, with LoRA merged in)
 * against sums in double over weights that are formed element by element with the scalar kernels.
 * Where there is no LoRA the native f32 result must be the plain chain of fused multiply-adds over
 * exactly these weights, bit for bit. */
#include "check.h"
#include "machine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VARIANTS = 5, MAX_RANK = 5, TENSORS = 300 };

struct view {
    struct gemm g;
    bool chain;
    int64_t m, n, k, row0, rows; /* rows of A in one group; of B; of the stored matrix: row0 + n */
    struct variants var;
    struct probe probe[MAX_VARIANTS];
    struct direction_space *space;
    struct direction_tensor *tensor; /* its, of which var.tensor alone moves */
    struct mat a, b;
    float *x, *stored, *want; /* A; widened storage (rows, k); weights of a variant (n, k) */
    void *data;
    float *lora_a, *lora_b, *c, *before;
};

static void *reserve(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (!p) abort();
    return p;
}

static float *normal(struct check *c, int64_t n) {
    float *x = reserve((size_t)n * sizeof *x);
    check_normal(c, x, n, 1);
    return x;
}

static int64_t pick(struct check *c, int64_t from, int64_t to) {
    return from + (int64_t)rng_below(&c->rng, (uint64_t)(to - from + 1));
}

/* Kinds that have no words: the same signs row by row, and directions that are no signs at all. */
static void add_signs_by_rows(const struct direction *d, float *y, const float *x, float scale,
                              int64_t tensor, int64_t row, int64_t col, int64_t n) {
    direction_rademacher.add(d, y, x, scale, tensor, row, col, n);
}

static float wave(uint64_t key, int64_t tensor, int64_t at) {
    return (float)((key + (uint64_t)(7 * tensor + at) * 11) % 17) / 8 - 1;
}

static void add_waves(const struct direction *d, float *y, const float *x, float scale,
                      int64_t tensor, int64_t row, int64_t col, int64_t n) {
    const int64_t at = row * d->space->tensor[tensor].cols + col;
    for (int64_t i = 0; i < n; i++) {
        const float step = scale * wave(d->key, tensor, at + i);
        y[i] = x[i] + step;
    }
}

static void keys(struct direction *d, uint64_t seed, int64_t step) {
    (void)step;
    d->key = perturb_key(seed);
}

static const struct direction_kind signs_by_rows = {.keys = keys, .add = add_signs_by_rows},
                                   waves = {.keys = keys, .add = add_waves};

static void make_probes(struct check *c, struct view *t) {
    static const struct direction_kind *const kinds[] = {&direction_rademacher, &signs_by_rows,
                                                         &waves};
    *t->space = (struct direction_space){.kind = kinds[pick(c, 0, 2)], .tensor = t->tensor};
    t->tensor[t->var.tensor] = (struct direction_tensor){
        t->rows, t->k, (float)pick(c, 0, 2) * 0.5f + (float)pick(c, 0, 1)};
    for (int v = 0; v < t->var.n; v++) {
        const bool pair = v % 2 && pick(c, 0, 2);
        t->probe[v].dir = pair ? t->probe[v - 1].dir
                               : direction_make(t->space, (uint64_t)pick(c, 0, 1 << 30), -1);
        t->probe[v].eps = pair ? -t->probe[v - 1].eps : (float)pick(c, 0, 3) * 0.25f;
    }
    t->var.probes = t->probe;
}

static struct view view_make(struct check *c, const struct gemm *g, bool chain) {
    static const enum dtype types[] = {DT_F32, DT_BF16, DT_F16, DT_Q8_0};
    const enum dtype type = types[pick(c, 0, 3)];
    const int scale = pick(c, 0, 9) ? 1 : 8;
    struct view t = {.g = *g, .m = pick(c, 1, 40) * scale, .n = pick(c, 1, 90) * scale};
    t.k = pick(c, 1, 24) * (type == DT_Q8_0 ? 32 : pick(c, 1, 31)) * (scale > 1 ? 2 : 1);
    t.row0 = pick(c, 0, 3);
    t.rows = t.row0 + t.n;
    t.var =
        (struct variants){.n = (int)pick(c, 1, MAX_VARIANTS), .tensor = pick(c, 0, TENSORS - 1)};
    t.var.cols = t.k;
    t.var.row0 = t.row0;
    t.var.row_count = t.rows;
    t.var.kern = g->kern;
    t.var.scale = 0.5f;
    t.space = reserve(sizeof *t.space);
    t.tensor = reserve(TENSORS * sizeof *t.tensor);
    if (pick(c, 0, 3)) make_probes(c, &t);
    if (!pick(c, 0, 2)) t.var.rank = (int)pick(c, 1, MAX_RANK);
    t.chain = chain && !t.var.rank;
    t.x = normal(c, t.m * t.var.n * t.k);
    t.stored = normal(c, t.rows * t.k);
    t.data = reserve(dtype_bytes(type, (size_t)(t.rows * t.k)));
    dtype_from_f32(type, t.stored, t.data, (size_t)(t.rows * t.k));
    dtype_to_f32(type, t.data, t.stored, (size_t)(t.rows * t.k));
    t.lora_a = normal(c, MAX_VARIANTS * MAX_RANK * t.k);
    t.lora_b = normal(c, MAX_VARIANTS * MAX_RANK * t.rows);
    t.var.lora_a = t.lora_a;
    t.var.lora_b = t.lora_b;
    t.want = reserve((size_t)(t.n * t.k) * sizeof(float));
    t.c = normal(c, t.m * t.var.n * t.n);
    t.before = reserve((size_t)(t.m * t.var.n * t.n) * sizeof(float));
    memcpy(t.before, t.c, (size_t)(t.m * t.var.n * t.n) * sizeof(float));
    t.a = mat_f32(t.x, t.k, false);
    t.b = (struct mat){.data = (const char *)t.data + dtype_bytes(type, (size_t)(t.row0 * t.k)),
                       .dtype = type,
                       .ld = t.k};
    return t;
}

static void view_free(struct view *t) {
    free(t->x);
    free(t->stored);
    free(t->data);
    free(t->lora_a);
    free(t->lora_b);
    free(t->want);
    free(t->c);
    free(t->before);
    free(t->space);
    free(t->tensor);
}

static float to_bf16(float x) {
    uint16_t h;
    dtype_from_f32(DT_BF16, &x, &h, 1);
    dtype_to_f32(DT_BF16, &h, &x, 1);
    return x;
}

/* The weights of variant v, element by element. */
static void want_weights(struct view *t, int v) {
    const struct probe *p = t->var.probes ? t->var.probes + v : NULL;
    const int64_t blocks = perturb_blocks(t->k);
    for (int64_t i = 0; i < t->n; i++)
        for (int64_t q = 0; q < t->k; q++) {
            const int64_t row = t->row0 + i;
            double w = (double)t->stored[row * t->k + q];
            for (int r = 0; r < t->var.rank; r++)
                w += (double)t->var.scale *
                     (double)t->lora_b[(v * t->rows + row) * t->var.rank + r] *
                     (double)t->lora_a[(v * t->var.rank + r) * t->k + q];
            const float eps = p ? p->eps * t->tensor[t->var.tensor].scale : 0;
            if (p && t->space->kind == &waves) {
                const float step = eps * wave(p->dir.key, t->var.tensor, row * t->k + q);
                w = (double)((float)w + step);
            } else if (p) {
                static uint64_t words[8];
                static int64_t have_block = -1;
                static uint64_t have_key;
                const int64_t block = row * blocks + q / 512;
                const uint64_t key = rng_fold(p->dir.key, (uint64_t)t->var.tensor);
                if (block != have_block || key != have_key)
                    kern_scalar.signs(words, key, (uint64_t)block, 1, 1);
                have_block = block;
                have_key = key;
                const bool plus = words[q % 512 / 64] >> (q % 64) & 1;
                w = (double)((float)w + (plus ? eps : -eps));
            }
            t->want[i * t->k + q] = t->g.compute == DT_BF16 ? to_bf16((float)w) : (float)w;
        }
}

static void compare(struct check *c, const struct view *t, int v, bool add, int64_t i, int64_t j) {
    const float *a = t->x + (v * t->m + i) * t->k, *w = t->want + j * t->k;
    const int64_t at = (v * t->m + i) * t->n + j;
    const bool round = t->g.compute == DT_BF16;
    float fused = add ? t->before[at] : 0;
    double sum = (double)fused, scale = fabs(sum);
    for (int64_t q = 0; q < t->k; q++) {
        const float x = round ? to_bf16(a[q]) : a[q];
        fused = fmaf(x, w[q], fused);
        sum += (double)x * (double)w[q];
        /* Two ways to a merged weight may round to different bf16. */
        scale += fabs((double)x * (double)w[q]) * (t->var.rank ? (round ? 1 << 15 : 8) : 1);
    }
    uint32_t found, want;
    memcpy(&found, t->c + at, sizeof found);
    memcpy(&want, &fused, sizeof want);
    if (t->chain) check_bits(c, at, found, want);
    check_near(c, at, (double)t->c[at], sum, scale, 1 + sqrt((double)t->k), 0);
}

/* Rows [r, r + count) of n variants from number `first` on, into a block of their own and from
 * there to where they belong. */
static void some_product(struct view *t, bool add, const struct gemm_pack *a, struct mat b,
                         int first, int n, int64_t r, int64_t count, void *work) {
    struct variants var;
    const int64_t size = count * t->n;
    if (!n || !count) return;
    float *part = reserve((size_t)(n * size) * sizeof *part);
    const struct gemm_pack some = gemm_pack_groups(a, t->var.n, first, n, r, count),
                           packed = gemm_unpacked(mat_some(b, first, n, &var), t->n, t->k);
    for (int v = 0; v < n; v++)
        memcpy(part + v * size, t->before + ((first + v) * t->m + r) * t->n,
               (size_t)size * sizeof *part);
    gemm_mul(&t->g, &some, &packed, part, t->n, add, work);
    for (int v = 0; v < n; v++)
        memcpy(t->c + ((first + v) * t->m + r) * t->n, part + v * size,
               (size_t)size * sizeof *part);
    free(part);
}

static void product(struct view *t, bool add, bool groups) {
    const int64_t rows = t->m * t->var.n;
    char *pa = reserve(gemm_pack_bytes(&t->g, GEMM_A, t->a, rows, t->k));
    char *work = reserve(gemm_panel_bytes(&t->g, t->n, t->k));
    struct mat b = t->b;
    b.var = &t->var;
    const struct gemm_pack a = gemm_pack(&t->g, GEMM_A, t->a, rows, t->k, pa),
                           packed = gemm_unpacked(b, t->n, t->k);
    memcpy(t->c, t->before, (size_t)(rows * t->n) * sizeof *t->c);
    if (!groups) {
        gemm_mul(&t->g, &a, &packed, t->c, t->n, add, work);
    } else {
        /* In two parts of every group, of two parts of the groups. */
        const int half = t->var.n / 2, variants[][2] = {{0, half}, {half, t->var.n - half}};
        const int64_t cut = t->m / 2, parts[][2] = {{0, cut}, {cut, t->m - cut}};
        for (int i = 0; i < 4; i++)
            some_product(t, add, &a, b, variants[i / 2][0], variants[i / 2][1], parts[i % 2][0],
                         parts[i % 2][1], work);
    }
    free(pa);
    free(work);
}

static void check_threads(struct check *c, struct view *t, bool add, bool groups) {
    const size_t bytes = (size_t)(t->m * t->var.n * t->n) * sizeof *t->c;
    float *one = reserve(bytes);
    memcpy(one, t->c, bytes);
    for (int threads = 2; threads <= 3; threads++) {
        struct err e;
        if (pool_open(&t->g.pool, threads, &e)) abort();
        product(t, add, groups);
        check_that(c, !memcmp(one, t->c, bytes), "the same bits for 1, 2 and 3 threads");
        pool_close(t->g.pool);
        t->g.pool = NULL;
    }
    free(one);
}

static void check_views(struct check *c, const struct gemm *g, bool chain) {
    char note[128];
    const int rounds = strcmp(g->backend->name, "native") ? 10 : 30; /* the others share code */
    for (int round = 0; round < rounds; round++) {
        struct view t = view_make(c, g, chain);
        const bool add = pick(c, 0, 1), groups = pick(c, 0, 1);
        snprintf(note, sizeof note, "%d variants, m %d n %d k %d, %s, rank %d, %s", t.var.n,
                 (int)t.m, (int)t.n, (int)t.k, dtype_row(t.b.dtype)->name, t.var.rank,
                 t.var.probes ? "perturbed" : "plain");
        c->n = t.m;
        c->note = note;
        const size_t stored = dtype_bytes(t.b.dtype, (size_t)(t.rows * t.k));
        void *before = reserve(stored);
        memcpy(before, t.data, stored);
        product(&t, add, groups);
        for (int v = 0; v < t.var.n; v++) {
            want_weights(&t, v);
            for (int s = 0; s < 40; s++)
                compare(c, &t, v, add, pick(c, 0, t.m - 1), pick(c, 0, t.n - 1));
        }
        if (round % 8 == 0 && g->backend->exact) check_threads(c, &t, add, groups);
        check_that(c, !memcmp(before, t.data, stored), "probes leave the stored weights alone");
        free(before);
        view_free(&t);
    }
}

static void check_variant(struct check *c, const struct gemm_backend *k, enum dtype compute,
                          const char *tier) {
    struct gemm g;
    struct cpu cpu;
    struct err e;
    char name[48];
    const bool native = !strcmp(k->name, "native");
    snprintf(name, sizeof name, "%s-%s%s%s", k->name, dtype_row(compute)->name, tier ? "-" : "",
             tier ? tier : "");
    if (tier ? !cpu_choose(&cpu, tier) : machine_cpu(&cpu, &e)) abort();
    if (gemm_init(&g, k->name, compute, &cpu, NULL, &e)) {
        check_skip(c, name, e.msg);
        return;
    }
    if (!check_begin(c, "variants", name)) return;
#if defined(__x86_64__)
    const bool fused = tier && strcmp(tier, "generic") != 0;
#else
    const bool fused = tier != NULL;
#endif
    check_views(c, &g, native && compute == DT_F32 && fused);
    check_end(c);
}

/* Signs of a tensor read by rows, by words and by the tile of a product are the same ones. */
static void check_rows(struct check *c) {
    if (!check_begin(c, "rows", "perturb_row")) return;
    for (int round = 0; round < 50; round++) {
        const int64_t cols = pick(c, 1, 1300), row = pick(c, 0, 50), tensor = pick(c, 0, 99);
        const int64_t begin = pick(c, 0, cols - 1), n = pick(c, 1, cols - begin);
        const uint64_t key = perturb_key((uint64_t)round);
        float *x = normal(c, n), *y = reserve((size_t)n * sizeof *y);
        uint64_t words[24];
        perturb_words(key, tensor, row * perturb_blocks(cols), 1, perturb_blocks(cols), words);
        perturb_row(key, 0.5f, tensor, cols, row, begin, n, x, y);
        for (int64_t i = 0; i < n; i++) {
            const bool plus = words[(begin + i) / 64] >> ((begin + i) % 64) & 1;
            const float want = plus ? x[i] + 0.5f : x[i] - 0.5f;
            check_near(c, i, (double)y[i], (double)want, 0, 0, 0);
        }
        free(x);
        free(y);
    }
    check_end(c);
}

void check_view(struct check *c) {
    if (c->bench) return;
    check_rows(c);
    for (int compute = 0; compute < 2; compute++)
        for (size_t i = 0; i < n_gemm_backends; i++) {
            const enum dtype type = compute ? DT_BF16 : DT_F32;
            if (strcmp(gemm_backends[i]->name, "native") != 0) {
                check_variant(c, gemm_backends[i], type, NULL);
                continue;
            }
            for (int tier = 0; tier <= (int)cpu_best(); tier++)
                check_variant(c, gemm_backends[i], type, cpu_tier_name((enum cpu_tier)tier));
        }
}
