/* Products: every backend, the native one on every tier of this CPU, against sums in double and,
 * where gemm.h promises it, bit for bit against the plain chain of multiply-adds. Operands of
 * every storage type and orientation end at a page that nobody may touch; so does C, whose padding
 * must stay as it was. One item per way through the front door:
 *
 *   mul       packed operands of 1 to 70 rows, also heads of a larger packed B
 *   unpacked  the same with a B that is packed during the product
 *   panels    larger than one tile, block or library panel
 *   blocks    the same products, cut for other caches
 *   run       gemm_run and gemm_local, with the products of a few rows that are not packed
 *   list      several in one loop, one of them in pieces of k, one in pieces of A with one B
 *   tri       products of which a triangle is enough
 *   shapes    a thousand different ones
 *   nothing   products without k (check_gemm_nothing.c) */
#include "check_gemm.h"
#include "gemm_kern.h"
#include "machine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL = 70, PAD = 9, CANARY_BYTES = 64 };

/* An operand: its values as they are stored, (rows, k) without gaps, and where they are stored. */
struct operand {
    struct mat mat;
    float *value;
    int64_t rows, k;
};

struct product {
    int64_t m, n, k, ldc;
    bool add;
    struct operand a, b; /* b may have more rows and more k than n and k */
    float *c, *before;   /* c of (m-1)*ldc + n floats, and what was in it */
};

static int64_t pick(struct check *c, int64_t from, int64_t to) {
    return from + (int64_t)rng_below(&c->rng, (uint64_t)(to - from + 1));
}

/* ---- operands ---- */

/* slot < 0: memory to free instead of a slot of the harness. */
static void operand_make(struct check *c, struct operand *o, int slot, int64_t rows, int64_t k) {
    static const enum dtype types[] = {DT_F32, DT_F32, DT_BF16, DT_F16};
    const enum dtype type = types[pick(c, 0, 3)];
    const size_t size = (size_t)dtype_row(type)->bytes;
    const bool trans = pick(c, 0, 1);
    const int64_t inner = trans ? rows : k, outer = trans ? k : rows,
                  ld = inner + pick(c, 0, 1) * pick(c, 0, PAD);
    const size_t bytes = (size_t)((outer - 1) * ld + inner) * size;
    char *data = slot < 0 ? reserve(bytes) : check_place(c, slot, bytes, -1);
    memset(data, 0xff, bytes); /* NaN between the rows */
    *o = (struct operand){.mat = {.data = data, .dtype = type, .trans = trans, .ld = ld},
                          .value = reserve((size_t)(rows * k) * sizeof(float)),
                          .rows = rows,
                          .k = k};
    check_normal(c, o->value, rows * k, 1);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t p = 0; p < k; p++) {
            char *at = data + (size_t)(trans ? p * ld + i : i * ld + p) * size;
            dtype_from_f32(type, o->value + i * k + p, at, 1);
            dtype_to_f32(type, at, o->value + i * k + p, 1);
        }
}

static void round_values(struct operand *o) {
    for (int64_t i = 0; i < o->rows * o->k; i++) {
        uint16_t h;
        dtype_from_f32(DT_BF16, o->value + i, &h, 1);
        dtype_to_f32(DT_BF16, &h, o->value + i, 1);
    }
}

static struct product product_make(struct check *c, const struct backend *b, int64_t m, int64_t n,
                                   int64_t k, int64_t more_n, int64_t more_k) {
    const bool small = m <= SMALL && n <= SMALL && k <= SMALL;
    struct product p = {.m = m, .n = n, .k = k, .ldc = n + pick(c, 0, 1) * pick(c, 1, PAD)};
    p.add = pick(c, 0, 1);
    operand_make(c, &p.a, small ? 0 : -1, m, k);
    operand_make(c, &p.b, small ? 1 : -1, n + more_n, k + more_k);
    const int64_t size = (m - 1) * p.ldc + n;
    p.c = small ? check_place(c, 2, (size_t)size * sizeof(float), -1)
                : reserve((size_t)size * sizeof(float));
    p.before = reserve((size_t)size * sizeof(float));
    /* What is not added to is not read: NaN would show. */
    for (int64_t i = 0; i < size; i++)
        p.before[i] = p.add || i % p.ldc >= n ? (float)rng_normal(&c->rng) : NAN;
    if (b->g.compute == DT_BF16) {
        round_values(&p.a);
        round_values(&p.b);
    }
    return p;
}

static void product_free(struct product *p) {
    const bool small = p->m <= SMALL && p->n <= SMALL && p->k <= SMALL;
    free(p->a.value);
    free(p->b.value);
    free(p->before);
    if (small) return;
    free((void *)(uintptr_t)p->a.mat.data);
    free((void *)(uintptr_t)p->b.mat.data);
    free(p->c);
}

/* ---- comparison ---- */

/* Not fused, whatever the compiler may do elsewhere. */
static float apart(float x, float y, float sum) {
    volatile float product = x * y;
    return sum + product;
}

static void compare(struct check *c, const struct product *p, enum chain chain, int64_t i,
                    int64_t j) {
    const int64_t at = i * p->ldc + j;
    const float *a = p->a.value + i * p->a.k, *b = p->b.value + j * p->b.k;
    float exact = p->add ? p->before[at] : 0;
    double sum = (double)exact, scale = fabs(sum);
    for (int64_t q = 0; q < p->k; q++) {
        exact = (chain == CHAIN_APART ? apart : fmaf)(a[q], b[q], exact);
        sum += (double)a[q] * (double)b[q];
        scale += fabs((double)a[q] * (double)b[q]);
    }
    uint32_t found, want;
    memcpy(&found, p->c + at, sizeof found);
    memcpy(&want, &exact, sizeof want);
    if (chain) check_bits(c, at, found, want);
    check_near(c, at, (double)p->c[at], sum, scale, 1 + sqrt((double)p->k), 0);
}

/* samples < 0: every element. Padding: always all of it. */
static void compare_all(struct check *c, const struct product *p, enum chain chain,
                        int64_t samples) {
    for (int64_t i = 0; i < p->m && samples < 0; i++)
        for (int64_t j = 0; j < p->n; j++) compare(c, p, chain, i, j);
    for (int64_t s = 0; s < samples; s++)
        compare(c, p, chain, pick(c, 0, p->m - 1), pick(c, 0, p->n - 1));
    bool padding = true, numbers = true;
    for (int64_t i = 0; i < (p->m - 1) * p->ldc + p->n; i++) {
        if (i % p->ldc >= p->n)
            padding = padding && !memcmp(p->c + i, p->before + i, sizeof *p->c);
        else
            numbers = numbers && isfinite(p->c[i]);
    }
    check_that(c, padding, "what stands between the rows of C is untouched");
    check_that(c, numbers, "every element of C is written and reads nothing that is not its own");
}

/* Storage of exactly the promised size, with something to notice behind it. */
struct storage {
    unsigned char *mem;
    size_t bytes;
};

static struct storage storage_make(size_t bytes) {
    struct storage s = {reserve(bytes + CANARY_BYTES), bytes};
    memset(s.mem + bytes, 0xa5, CANARY_BYTES);
    return s;
}

static void storage_free(struct check *c, struct storage *s) {
    bool ok = true;
    for (int i = 0; i < CANARY_BYTES; i++) ok = ok && s->mem[s->bytes + (size_t)i] == 0xa5;
    check_that(c, ok, "packing stays inside gemm_pack_bytes");
    free(s->mem);
}

static void describe(struct check *c, const struct product *p) {
    static char note[128];
    const struct mat *a = &p->a.mat, *b = &p->b.mat;
    snprintf(note, sizeof note, "m %d n %d of %d k %d of %d, A %s%s ld %d, B %s%s ld %d%s",
             (int)p->m, (int)p->n, (int)p->b.rows, (int)p->k, (int)p->b.k,
             dtype_row(a->dtype)->name, a->trans ? "'" : "", (int)a->ld, dtype_row(b->dtype)->name,
             b->trans ? "'" : "", (int)b->ld, p->add ? ", add" : "");
    c->n = p->m;
    c->note = note;
}

/* C again with 2, 3 and 4 threads, packing included: the same bits. */
typedef void product_fn(struct check *c, const struct backend *b, struct product *p);

static void compare_threads(struct check *c, const struct backend *b, struct product *p,
                            product_fn *run) {
    const size_t bytes = (size_t)((p->m - 1) * p->ldc + p->n) * sizeof *p->c;
    float *one = reserve(bytes);
    memcpy(one, p->c, bytes);
    for (int threads = 2; threads <= 4; threads++) {
        struct backend many = *b;
        struct err e;
        if (pool_open(&many.g.pool, threads, &e)) abort();
        run(c, &many, p);
        check_that(c, !memcmp(one, p->c, bytes), "the same bits for 1, 2, 3 and 4 threads");
        pool_close(many.g.pool);
    }
    free(one);
}

static void packed_product(struct check *c, const struct backend *b, struct product *p) {
    const struct gemm *g = &b->g;
    struct storage sa = storage_make(gemm_pack_bytes(g, GEMM_A, p->a.mat, p->m, p->k));
    struct storage sb = storage_make(gemm_pack_bytes(g, GEMM_B, p->b.mat, p->b.rows, p->b.k));
    memcpy(p->c, p->before, (size_t)((p->m - 1) * p->ldc + p->n) * sizeof *p->c);
    const struct gemm_pack pa = gemm_pack(g, GEMM_A, p->a.mat, p->m, p->k, sa.mem);
    const struct gemm_pack whole = gemm_pack(g, GEMM_B, p->b.mat, p->b.rows, p->b.k, sb.mem);
    const struct gemm_pack pb = gemm_pack_head(&whole, p->n, p->k);
    gemm_mul(g, &pa, &pb, p->c, p->ldc, p->add, NULL);
    storage_free(c, &sa);
    storage_free(c, &sb);
}

/* B is packed during the product; its rows beyond n and its k beyond k do not belong to it. */
static void unpacked_product(struct check *c, const struct backend *b, struct product *p) {
    const struct gemm *g = &b->g;
    struct storage sa = storage_make(gemm_pack_bytes(g, GEMM_A, p->a.mat, p->m, p->k));
    struct storage work = storage_make(gemm_panel_bytes(g, p->n, p->k));
    memcpy(p->c, p->before, (size_t)((p->m - 1) * p->ldc + p->n) * sizeof *p->c);
    const struct gemm_pack pa = gemm_pack(g, GEMM_A, p->a.mat, p->m, p->k, sa.mem);
    const struct gemm_pack pb = gemm_unpacked(p->b.mat, p->n, p->k);
    gemm_mul(g, &pa, &pb, p->c, p->ldc, p->add, work.mem);
    storage_free(c, &sa);
    storage_free(c, &work);
}

static void local_product(struct check *c, const struct backend *b, struct product *p) {
    struct storage work =
        storage_make(gemm_local_bytes(&b->g, p->m, p->n, p->k, p->a.mat, p->b.mat));
    memcpy(p->c, p->before, (size_t)((p->m - 1) * p->ldc + p->n) * sizeof *p->c);
    gemm_local(&b->g, p->m, p->n, p->k, p->a.mat, p->b.mat, p->c, p->ldc, p->add, work.mem);
    storage_free(c, &work);
}

static void run_product(struct check *c, const struct backend *b, struct product *p) {
    struct storage work = storage_make(gemm_work_bytes(&b->g, p->m, p->n, p->k, p->a.mat));
    memcpy(p->c, p->before, (size_t)((p->m - 1) * p->ldc + p->n) * sizeof *p->c);
    gemm_run(&b->g, p->m, p->n, p->k, p->a.mat, p->b.mat, p->c, p->ldc, p->add, work.mem);
    storage_free(c, &work);
}

/* Columns [k0, k0 + k) of a product's operand. */
static struct mat piece_of(struct mat m, int64_t k0) {
    const int64_t at = m.trans ? k0 * m.ld : k0;
    m.data = (const char *)m.data + at * dtype_row(m.dtype)->bytes;
    return m;
}

/* Rows [r0, r0 + rows) and columns [k0, k0 + k) of A against all rows of B. */
static struct gemm_product list_piece(const struct gemm *g, const struct product *p, float *c,
                                      int64_t r0, int64_t rows, int64_t k0, int64_t k,
                                      void *work) {
    struct mat a = piece_of(p->a.mat, k0);
    a.data = (const char *)a.data + (a.trans ? r0 : r0 * a.ld) * dtype_row(a.dtype)->bytes;
    return (struct gemm_product){.a = gemm_pack(g, GEMM_A, a, rows, k, work),
                                 .b = gemm_unpacked(piece_of(p->b.mat, k0), p->n, k),
                                 .c = c + r0 * p->ldc,
                                 .ldc = p->ldc,
                                 .add = p->add && k0 == 0,
                                 .on = k0 > 0};
}

/* Thrice in one list: the rows of A in two pieces, which share B; all at once; in pieces of k, as a
 * chain. All results are C. */
static void list_product(struct check *c, const struct backend *b, struct product *p) {
    enum { ROWS = 2, PIECES = 3, MOST = ROWS + 1 + PIECES };
    const struct gemm *g = &b->g;
    const size_t row = sizeof *p->c * (size_t)p->n,
                 bytes = sizeof *p->c * (size_t)((p->m - 1) * p->ldc) + row;
    const size_t packed = gemm_pack_bytes(g, GEMM_A, p->a.mat, p->m, p->k);
    struct storage a[MOST], work = storage_make(gemm_panel_bytes(g, p->n, p->k));
    struct gemm_product list[MOST];
    float *whole = reserve(bytes), *rows = reserve(bytes), *const all[] = {p->c, whole, rows};
    int64_t first = p->m / 3, n = 0;
    for (int i = 0; i < 3; i++) memcpy(all[i], p->before, bytes);
    for (int i = 0; i < MOST; i++) a[i] = storage_make(packed);
    for (int64_t r0 = 0, i = 0; i < ROWS; r0 = first, i++) {
        const int64_t some = i ? p->m - first : first;
        if (some) list[n] = list_piece(g, p, rows, r0, some, 0, p->k, a[n].mem), n++;
    }
    list[n] = list_piece(g, p, whole, 0, p->m, 0, p->k, a[n].mem), n++;
    for (int64_t k0 = 0, i = 0; i < PIECES; i++) {
        /* Pairs are not cut. */
        const int64_t k = i < PIECES - 1 ? p->k * (i + 1) / 6 / 2 * 2 : p->k - k0;
        if (k) list[n] = list_piece(g, p, p->c, 0, p->m, k0, k, a[n].mem), n++;
        k0 += k;
    }
    gemm_mul_list(g, list, (int)n, work.mem);
    for (int64_t at = 0; at < p->m * p->ldc && b->chain; at += p->ldc) {
        check_that(c, !memcmp(whole + at, p->c + at, row), "pieces of k are one chain");
        check_that(c, !memcmp(whole + at, rows + at, row), "pieces of A share B");
    }
    for (int i = 0; i < MOST; i++) storage_free(c, a + i);
    storage_free(c, &work);
    free(whole);
    free(rows);
}

/* ---- items ---- */

static void check_small(struct check *c, const struct backend *b, product_fn *run) {
    for (int i = 0; i < 4 * SMALL; i++) {
        const bool head = i % 3 == 0;
        const int64_t m = i % SMALL + 1, more_n = head ? pick(c, 0, PAD) : 0,
                      more_k = head ? pick(c, 0, PAD) : 0;
        struct product p =
            product_make(c, b, m, pick(c, 1, SMALL), pick(c, 1, SMALL), more_n, more_k);
        describe(c, &p);
        run(c, b, &p);
        compare_all(c, &p, b->chain, -1);
        if (i % 40 == 0 && b->g.backend->exact) compare_threads(c, b, &p, run);
        check_intact(c);
        product_free(&p);
    }
}

static void check_mul(struct check *c, const struct backend *b) {
    check_small(c, b, packed_product);
}

static void check_unpacked(struct check *c, const struct backend *b) {
    check_small(c, b, unpacked_product);
}

static void check_list(struct check *c, const struct backend *b) {
    check_small(c, b, list_product);
    for (int i = 0; i < 4 && strcmp(b->g.backend->name, "ref"); i++) {
        static const int64_t shapes[][3] = {
            {512, 128, 352}, {128, 352, 512}, {700, 40, 1100}, {64, 600, 640}};
        const int64_t *s = shapes[i];
        struct product p = product_make(c, b, s[0], s[1], s[2], 0, 0);
        describe(c, &p);
        list_product(c, b, &p);
        compare_all(c, &p, b->chain, 400);
        if (b->g.backend->exact) compare_threads(c, b, &p, list_product);
        product_free(&p);
    }
}

/* ---- triangles ---- */

struct triangle {
    enum gemm_tri tri;
    int64_t diag;
};

static void operand_clear(struct operand *o, int64_t i, int64_t p) {
    const int size = dtype_row(o->mat.dtype)->bytes;
    const int64_t at = o->mat.trans ? p * o->mat.ld + i : i * o->mat.ld + p;
    memset((char *)(uintptr_t)o->mat.data + at * size, 0, (size_t)size);
    o->value[i * o->k + p] = 0;
}

static void triangle_clear(const struct triangle *t, struct product *p) {
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t q = 0; q < p->k; q++)
            if ((t->tri == GEMM_TRI_LOWER && q > t->diag + i) ||
                (t->tri == GEMM_TRI_UPPER && i > t->diag + q))
                operand_clear(&p->a, i, q);
}

static void triangle_product(const struct backend *b, const struct triangle *t, struct product *p,
                             struct storage *sa, struct storage *sb) {
    const struct gemm *g = &b->g;
    memcpy(p->c, p->before, (size_t)((p->m - 1) * p->ldc + p->n) * sizeof *p->c);
    const struct gemm_pack a = gemm_pack(g, GEMM_A, p->a.mat, p->m, p->k, sa->mem),
                           tri = gemm_pack_tri(&a, t->tri, t->diag),
                           whole = gemm_pack(g, GEMM_B, p->b.mat, p->n, p->k, sb->mem);
    gemm_mul(g, &tri, &whole, p->c, p->ldc, p->add, NULL);
}

/* Also where no row, or no k of a block, is left. */
static void check_tri(struct check *c, const struct backend *b) {
    for (int i = 0; i < 2 * SMALL; i++) {
        const bool large = i % 60 < 3; /* several panels and blocks of k */
        struct product p = product_make(c, b, pick(c, 1, SMALL), pick(c, 1, large ? 300 : SMALL),
                                        pick(c, 1, large ? 1200 : SMALL), 0, 0);
        const struct triangle t = {GEMM_TRI_C + i % 3,
                                   pick(c, -SMALL / 2, large && i % 3 == 1 ? 1200 : SMALL)};
        struct storage sa = storage_make(gemm_pack_bytes(&b->g, GEMM_A, p.a.mat, p.m, p.k)),
                       sb = storage_make(gemm_pack_bytes(&b->g, GEMM_B, p.b.mat, p.n, p.k));
        describe(c, &p);
        triangle_clear(&t, &p);
        triangle_product(b, &t, &p, &sa, &sb);
        bool padding = true;
        for (int64_t at = 0; at < (p.m - 1) * p.ldc + p.n; at++) {
            const int64_t row = at / p.ldc, col = at % p.ldc;
            if (col >= p.n)
                padding = padding && !memcmp(p.c + at, p.before + at, sizeof *p.c);
            else if ((t.tri != GEMM_TRI_C || col <= t.diag + row) && (!large || at % 17 == 0))
                compare(c, &p, b->chain, row, col);
        }
        check_that(c, padding, "what stands between the rows of C is untouched");
        storage_free(c, &sa);
        storage_free(c, &sb);
        check_intact(c);
        product_free(&p);
    }
}

/* Each shape packed and not; the last with leading dimensions of whole pages. */
static void check_panels(struct check *c, const struct backend *b) {
    static const int64_t shapes[][3] = {{75, 530, 700},  {300, 140, 513}, {13, 600, 1500},
                                        {600, 33, 300},  {1, 257, 1025},  {561, 129, 31},
                                        {9, 100, 131},   {11, 68, 77},    {1050, 256, 64},
                                        {20, 1024, 1024}};
    const int64_t samples = 400;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t *s = shapes[i], more = i % 2 && s[1] < 1024 ? PAD : 0;
        if (!strcmp(b->g.backend->name, "ref") && s[0] * s[1] * s[2] > 2000000)
            continue; /* too slow */
        struct product p = product_make(c, b, s[0], s[1], s[2], more, more);
        describe(c, &p);
        packed_product(c, b, &p);
        compare_all(c, &p, b->chain, samples);
        if (b->g.backend->exact) compare_threads(c, b, &p, packed_product);
        unpacked_product(c, b, &p);
        compare_all(c, &p, b->chain, samples);
        if (b->g.backend->exact) compare_threads(c, b, &p, unpacked_product);
        product_free(&p);
    }
}

/* Blocks for caches of every size, and ones that no cache asks for: the same bits. */
static void check_blocks(struct check *c, const struct backend *b) {
    static const int64_t shapes[][3] = {{90, 300, 700}, {43, 33, 1100}, {601, 70, 130}};
    static const int64_t l2[] = {1, 100000, 256 << 10, 512 << 10, 0, 2 << 20};
    for (int i = 0; i < 12 && b->g.kernel; i++) {
        const int64_t *s = shapes[i % 3];
        struct product p = product_make(c, b, s[0], s[1], s[2], i % 2 * PAD, i % 2 * PAD);
        const size_t bytes = (size_t)((p.m - 1) * p.ldc + p.n) * sizeof *p.c;
        float *first = reserve(bytes);
        describe(c, &p);
        unpacked_product(c, b, &p);
        compare_all(c, &p, b->chain, 200);
        memcpy(first, p.c, bytes);
        for (size_t q = 0; q < sizeof l2 / sizeof *l2; q++) {
            struct backend other = *b;
            const struct cpu cpu = {.l2 = l2[q]};
            other.g.block = gemm_block_of(&cpu);
            if (q == 0)
                other.g.block = (struct gemm_block){.panel = 64, .words = 128, .tile_m = 14};
            (i % 4 ? unpacked_product : packed_product)(c, &other, &p);
            check_that(c, !memcmp(first, p.c, bytes), "the same bits for every size of blocks");
        }
        free(first);
        product_free(&p);
    }
}

/* Both ways that pack for themselves. Operands other than f32 and transposed A are packed at
 * any m. */
static void check_run(struct check *c, const struct backend *b) {
    for (int i = 0; i < 160; i++) {
        const int64_t m = i % 8 + 1;
        struct product p = product_make(c, b, m, pick(c, 1, i < 80 ? SMALL : 200),
                                        pick(c, 1, i < 80 ? SMALL : 300), 0, 0);
        const bool few = gemm_few(&b->g, m) && p.a.mat.dtype == DT_F32 && p.b.mat.dtype == DT_F32 &&
                         !p.a.mat.trans;
        product_fn *const run = i % 16 < 8 ? run_product : local_product;
        describe(c, &p);
        run(c, b, &p);
        compare_all(c, &p, few ? CHAIN_NONE : b->chain, -1);
        if (i % 20 == 0 && b->g.backend->exact) compare_threads(c, b, &p, run);
        check_intact(c);
        product_free(&p);
    }
}

/* More shapes than any table of prepared products holds, as generation has. */
static void check_shapes(struct check *c, const struct backend *b) {
    for (int k = 1; k <= 1100; k++) {
        struct product p = product_make(c, b, 5, 3, k, 0, 0);
        describe(c, &p);
        packed_product(c, b, &p);
        compare_all(c, &p, b->chain, 2);
        product_free(&p);
    }
}

/* ---- the list ---- */

static void check_backend(struct check *c, const struct backend *b) {
    static const struct {
        const char *name;
        void (*fn)(struct check *c, const struct backend *b);
    } items[] = {{"mul", check_mul},
                 {"unpacked", check_unpacked},
                 {"panels", check_panels},
                 {"blocks", check_blocks},
                 {"run", check_run},
                 {"list", check_list},
                 {"tri", check_tri},
                 {"shapes", check_shapes},
                 {"nothing", check_gemm_nothing}};
    if (c->bench) {
        if (!check_begin(c, "mul", b->name)) return;
        check_gemm_bench(c, b);
        check_end(c);
        return;
    }
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        if (!check_begin(c, items[i].name, b->name)) continue;
        items[i].fn(c, b);
        check_end(c);
    }
}

/* The variant of DUET_CPU's tier, or of the whole CPU if tier is NULL. */
static void check_variant(struct check *c, const struct gemm_backend *k, enum dtype compute,
                          const char *tier, struct pool *pool) {
    struct backend b;
    struct cpu cpu;
    struct err e;
    snprintf(b.name, sizeof b.name, "%s-%s%s%s", k->name, dtype_row(compute)->name, tier ? "-" : "",
             tier ? tier : "");
    if (tier ? !cpu_choose(&cpu, tier) : machine_cpu(&cpu, &e)) abort();
    if (gemm_init(&b.g, k->name, compute, &cpu, pool, &e)) {
        check_skip(c, b.name, e.msg);
        return;
    }
    const bool pairs = compute == DT_BF16 && tier && !strcmp(tier, "avx512bf16");
#if defined(__x86_64__)
    const enum chain rows = tier && !strcmp(tier, "generic") ? CHAIN_APART : CHAIN_FUSED;
#else
    const enum chain rows = CHAIN_FUSED;
#endif
    b.chain = !strcmp(k->name, "ref")                ? CHAIN_FUSED
              : !strcmp(k->name, "native") && !pairs ? rows
                                                     : CHAIN_NONE;
    check_backend(c, &b);
}

void check_gemm(struct check *c) {
    struct pool *pool = NULL;
    struct err e;
    if (c->bench && pool_open(&pool, cpu_count(), &e)) abort();
    if (c->bench)
        printf("GFLOP/s of (m,n,k) = 1024,1408,512  1024,512,1408  1408,512,1024  64,128,64  "
               "1,4096,512: packed, and with packing; %d threads\n",
               pool_threads(pool));
    for (int compute = 0; compute < 2; compute++)
        for (size_t i = 0; i < n_gemm_backends; i++) {
            const struct gemm_backend *k = gemm_backends[i];
            const enum dtype type = compute ? DT_BF16 : DT_F32;
            const bool tiers = !strcmp(k->name, "native");
            for (int t = 0; tiers && t <= (int)cpu_best(); t++)
                check_variant(c, k, type, cpu_tier_name((enum cpu_tier)t), pool);
            if (!tiers) check_variant(c, k, type, NULL, pool);
        }
    pool_close(pool);
}
