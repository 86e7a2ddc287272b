/* Cliffs of made-up curves and their names, what is measured, and size classes. Nothing here
 * depends on how fast the machine is. */
#include "err_fixture.h"

#include "bandwidth.h"
#include "cliff.h"
#include "hardware_peaks.h"
#include "size_class.h"

#include <math.h>
#include <string.h>

enum { KB = 1 << 10, MB = 1 << 20, MOST = 64 };

static const struct cpu_cache caches[] = {
    {1, CACHE_DATA, 32 * KB, 1, 8},
    {1, CACHE_INSTRUCTIONS, 32 * KB, 1, 8},
    {2, CACHE_UNIFIED, 512 * KB, 1, 8},
    {3, CACHE_UNIFIED, 32 * MB, 8, 1},
};
enum { N_CACHES = sizeof caches / sizeof *caches };

static size_t bytes[MOST];
static double rate[MOST];
static struct cliff found[8];

/* A level up to each size, and the last behind it; noise that is the same every time. */
static int levels(const size_t *end, const double *level, int n, double noise) {
    const int points = bandwidth_sizes((size_t)128 * MB, 2, bytes, MOST);
    for (int i = 0; i < points; i++) {
        int k = 0;
        while (k < n && bytes[i] > end[k]) k++;
        rate[i] = level[k] * (1 + noise * ((i * 7919 % 13) / 6.0 - 1));
    }
    return points;
}

static void is_cliff(int i, size_t from, size_t to, const char *what, int threads) {
    char text[CLIFF_TEXT];
    if (found[i].from != from || found[i].to != to)
        fail_msg("cliff %d is from %zu to %zu", i, found[i].from, found[i].to);
    assert_string_equal(cliff_text(found + i, caches, N_CACHES, threads, text), what);
}

static void sizes(void **state) {
    (void)state;
    size_t b[MOST];
    assert_int_equal(bandwidth_sizes(64 * KB, 1, b, MOST), 3);
    assert_int_equal(b[0], 16 * KB);
    assert_int_equal(b[2], 64 * KB);
    assert_int_equal(bandwidth_sizes(96 * KB, 2, b, MOST), 6);
    assert_int_equal(b[1], 24 * KB);
    assert_int_equal(b[5], 96 * KB);
    assert_int_equal(bandwidth_sizes(8 * KB, 2, b, MOST), 0);
    assert_int_equal(bandwidth_sizes((size_t)1 << 40, 2, b, 5), 5);
}

static void each_level_ends(void **state) {
    (void)state;
    const size_t end[] = {32 * KB, 512 * KB, 32 * MB};
    const double level[] = {100, 60, 30, 9};
    const int n = levels(end, level, 3, 0);
    assert_int_equal(cliff_find(bytes, rate, n, found, 8), 3);
    is_cliff(0, 32 * KB, 48 * KB, "end of L1d (32 KB)", 1);
    is_cliff(1, 512 * KB, 768 * KB, "end of L2 (512 KB)", 1);
    is_cliff(2, 32 * MB, 48 * MB, "end of L3 (32 MB)", 1);
    assert_true(fabs(found[0].before - 100) < 1e-9 && fabs(found[0].after - 60) < 1e-9);
    assert_int_equal(cliff_find(bytes, rate, n, found, 2), 2);
}

/* The rate begins to fall before the cache is full, and arrives behind it. */
static void slopes(void **state) {
    (void)state;
    const size_t end[] = {24 * KB, 32 * KB, 48 * KB, 64 * KB, 12 * MB, 16 * MB, 24 * MB, 32 * MB};
    const double level[] = {100, 90, 70, 55, 50, 40, 30, 20, 10};
    const int n = levels(end, level, 8, 0);
    assert_int_equal(cliff_find(bytes, rate, n, found, 8), 2);
    /* from 100 to 50: 90 is just below the upper level, 55 of the lower one; from 50 to 10: 40 is
     * of the upper one */
    is_cliff(0, 24 * KB, 64 * KB, "end of L1d (32 KB)", 1);
    is_cliff(1, 16 * MB, 48 * MB, "end of L3 (32 MB)", 1);
}

static void noise(void **state) {
    (void)state;
    const size_t end[] = {32 * KB, 512 * KB, 32 * MB};
    const double level[] = {100, 60, 30, 9};
    const int n = levels(end, level, 3, 0.025);
    assert_int_equal(cliff_find(bytes, rate, n, found, 8), 3);
    for (int i = 0; i < 3; i++) assert_true(found[i].from <= end[i] && found[i].to > end[i]);
}

/* One value that the machine spoiled, a valley, a slow descent, and a rise are no cliffs. */
static void none(void **state) {
    (void)state;
    const size_t end[] = {0};
    const double flat[] = {50, 50};
    int n = levels(end, flat, 1, 0.025);
    assert_int_equal(cliff_find(bytes, rate, n, found, 8), 0);
    rate[7] = 3;
    assert_int_equal(cliff_find(bytes, rate, n, found, 8), 0);
    for (int i = 9; i < 13; i++) rate[i] = 20;
    assert_int_equal(cliff_find(bytes, rate, n, found, 8), 0);
    for (int i = 0; i < n; i++) rate[i] = 100 * pow(0.95, i);
    assert_int_equal(cliff_find(bytes, rate, n, found, 8), 0);
    for (int i = 0; i < n; i++) rate[i] = 10 + i;
    assert_int_equal(cliff_find(bytes, rate, n, found, 8), 0);
    for (int i = 0; i < n; i++) rate[i] = NAN;
    assert_int_equal(cliff_find(bytes, rate, n, found, 8), 0);
    assert_int_equal(cliff_find(bytes, rate, 0, found, 8), 0);
    assert_int_equal(cliff_find(bytes, rate, 1, found, 8), 0);
}

/* A working set of all threads lies in the caches of all; small ones are not measured. */
static void of_all_threads(void **state) {
    (void)state;
    const size_t end[] = {256 * KB, 4 * MB, 32 * MB};
    const double level[] = {800, 400, 200, 40};
    const int n = levels(end, level, 3, 0);
    for (int i = 0; i < 4; i++) rate[i] = NAN;
    assert_int_equal(cliff_find(bytes, rate, n, found, 8), 3);
    is_cliff(0, 256 * KB, 384 * KB, "end of L1d (8 x 32 KB)", 8);
    is_cliff(1, 4 * MB, 6 * MB, "end of L2 (8 x 512 KB)", 8);
    is_cliff(2, 32 * MB, 48 * MB, "end of L3 (32 MB)", 8);
}

static void names(void **state) {
    (void)state;
    char text[CLIFF_TEXT];
    const struct cliff both = {24 * KB, 768 * KB, 100, 20}, early = {4 * MB, 12 * MB, 30, 10},
                       full = {384 * KB, 512 * KB, 60, 30}, late = {96 * MB, 192 * MB, 10, 5};
    assert_string_equal(cliff_text(&both, caches, N_CACHES, 1, text),
                        "end of L1d (32 KB) and L2 (512 KB)");
    assert_string_equal(cliff_text(&early, caches, N_CACHES, 1, text), "short of L3 (32 MB)");
    assert_string_equal(cliff_text(&full, caches, N_CACHES, 1, text), "end of L2 (512 KB)");
    assert_string_equal(cliff_text(&late, caches, N_CACHES, 1, text), "no cache ends there");
    assert_string_equal(cliff_text(&both, NULL, 0, 1, text), "no cache ends there");
    /* two threads may stand on one second-level cache that two share, and on no more than there
     * are */
    const struct cpu_cache shared = {2, CACHE_UNIFIED, MB, 2, 4}, unknown = {2, 3, MB, 0, 0};
    assert_int_equal(cliff_capacity(&shared, 2), MB);
    assert_int_equal(cliff_capacity(&shared, 3), 2 * MB);
    assert_int_equal(cliff_capacity(&shared, 64), 4 * MB);
    assert_int_equal(cliff_capacity(&unknown, 3), 3 * MB);
    static const struct {
        size_t bytes;
        const char *text;
    } cases[] = {{16 * KB, "16 KB"}, {1536 * KB, "1.5 MB"}, {12 * MB, "12 MB"}, {1000, "1000 B"},
                 {(size_t)3 << 30, "3 GB"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(cliff_size(cases[i].bytes, text), cases[i].text);
}

/* ---- measuring: everything asked for is there ------------------------------------------------ */

static int64_t rounds_told, rounds_of;

static void told(void *ctx, int64_t done, int64_t of) {
    (void)ctx;
    assert_int_equal(done, ++rounds_told);
    rounds_of = of;
}

static void bandwidth(void **state) {
    (void)state;
    struct machine m;
    struct bandwidth b;
    ok(machine_open(&m, &(struct machine_opts){.threads = 3, .idle = true}, &e));
    struct bandwidth_opts o = {.pool = m.pool, .kern = m.kern, .most = 48 * KB, .per_octave = 2,
                               .seconds = 1e9, .seen = told};
    rounds_told = 0;
    ok(bandwidth_measure(&b, &o, &e));
    assert_int_equal(b.n, 4);
    assert_int_equal(b.rounds, 9);
    assert_int_equal(rounds_told, 9);
    assert_int_equal(rounds_of, 9);
    assert_false(b.cut);
    for (int i = 0; i < b.n; i++)
        for (int k = 0; k < BANDWIDTH_COUNT; k++) {
            /* three threads need 24 KB for parts of 8 */
            const bool small = k >= BANDWIDTH_read_all && b.point[i].bytes < 24 * KB;
            assert_true(small ? isnan(b.point[i].rate[k]) : b.point[i].rate[k] > 0);
        }
    bandwidth_release(&b);
    /* without time one working set is walked, once */
    o.seconds = 0;
    rounds_told = 0;
    ok(bandwidth_measure(&b, &o, &e));
    assert_true(b.cut && b.n == 1 && b.rounds == 1 && rounds_told == 1);
    assert_true(b.point[0].rate[BANDWIDTH_read_one] > 0);
    bandwidth_release(&b);
    machine_close(&m);
}

/* Without time: what is chosen, by one thread and all, and nothing else. */
static void peaks(void **state) {
    (void)state;
    struct machine m;
    struct peak reference = {0};
    struct peaks p;
    ok(machine_open(&m, &(struct machine_opts){.threads = 3}, &e));
    ok(peaks_reference(&reference, &m, 0, &e));
    assert_int_equal(reference.data.shape.m, 128);
    const struct peaks_opts o = {.machine = &m, .reference = &reference, .seen = told};
    rounds_told = 0;
    ok(peaks_measure(&p, &o, &e));
    assert_true(p.cut && p.rounds == 1 && rounds_told == 1);
    assert_int_equal(p.n, 4);
    for (int i = 0; i < p.n; i++) {
        const struct peaks_way *w = p.way + i;
        assert_true(w->chosen && (w->threads == 1 || w->threads == 3));
        assert_int_equal(w->side, 128);
        assert_true(w->gflops.median > 0);
        assert_ptr_equal(w->product.g, &w->gemm);
    }
    assert_true(peaks_chosen(&p, DT_F32, 3) > 0 && peaks_chosen(&p, DT_BF16, 1) > 0);
    assert_true(peaks_chosen(&p, DT_F32, 2) == 0);
    peaks_release(&p);
    peak_close(&reference);
    machine_close(&m);
}

/* Every element arrives, however it is cut; none is written beyond. */
static void copies(void **state) {
    (void)state;
    struct pool *p;
    float from[103], to[104];
    for (int threads = 1; threads <= 5; threads += 2) {
        ok(pool_open(&p, threads, &e));
        for (int i = 0; i < 103; i++) from[i] = (float)(i * threads);
        to[103] = -1;
        bandwidth_copy(p, to, from, 103, 2);
        assert_memory_equal(to, from, sizeof from);
        assert_true(to[103] == -1);
        pool_close(p);
    }
}

static void thread_counts(void **state) {
    (void)state;
    int c[PEAKS_COUNTS];
    assert_int_equal(peaks_counts(1, false, c), 1);
    assert_int_equal(peaks_counts(6, false, c), 6);
    for (int i = 0; i < 6; i++) assert_int_equal(c[i], i + 1);
    assert_int_equal(peaks_counts(6, true, c), 2);
    assert_int_equal(c[0], 1);
    assert_int_equal(c[1], 6);
    const int want[] = {16, 24, 32, 48, 64, 96, 128, 192, 200};
    const int n = peaks_counts(200, false, c);
    assert_int_equal(n, 15 + 9);
    for (int i = 0; i < 9; i++) assert_int_equal(c[15 + i], want[i]);
    assert_true(peaks_counts(4096, false, c) <= PEAKS_COUNTS);
}

/* ---- what it is good for --------------------------------------------------------------------- */

/* Needs as the real classes' grow, and rates that are made up. */
static void classes(void **state) {
    (void)state;
    struct class_fit f[4];
    memset(f, 0, sizeof f);
    const double flops[] = {1e11, 7e11, 6e12, 2.1e13};
    for (int i = 0; i < 4; i++) {
        f[i].need = (struct size_need){.flops = flops[i], .bytes = (size_t)(i + 1) << 30};
        f[i].rate = 500;
    }
    /* 210 updates in 300 s: 70, 490, 4200, 14,700 GFLOP/s */
    assert_int_equal(class_judge(f, 4, (size_t)8 << 30, 8), 1);
    assert_true(fabs(f[0].updates - 1500) < 1e-6);
    assert_true(f[1].fast && f[1].fits && !f[2].fast && f[2].fits);
    assert_int_equal(f[0].threads, 2);  /* 1.12 */
    assert_int_equal(f[1].threads, 8);  /* 7.84 */
    assert_int_equal(f[2].threads, 68); /* 67.2 */
    /* memory of the first class alone; and of none */
    assert_int_equal(class_judge(f, 4, (size_t)1 << 30, 8), 0);
    assert_true(!f[1].fits && f[1].fast);
    assert_int_equal(class_judge(f, 4, 1000, 8), -1);
    /* what is not known limits nothing */
    assert_int_equal(class_judge(f, 4, 0, 8), 1);
    for (int i = 0; i < 4; i++) f[i].rate = 20000;
    assert_int_equal(class_judge(f, 4, (size_t)64 << 30, 256), 3);
    assert_int_equal(f[3].threads, 189); /* 188.2 */
    for (int i = 0; i < 4; i++) f[i].rate = 0; /* not measured */
    assert_int_equal(class_judge(f, 4, 0, 8), -1);
    assert_int_equal(f[0].threads, 0);
    for (int i = 0; i < 4; i++) f[i].rate = 69.9;
    assert_int_equal(class_judge(f, 4, 0, 8), -1);
    for (int i = 0; i < 4; i++) f[i].rate = 70.1;
    assert_int_equal(class_judge(f, 4, 0, 8), 0);
}

static void rates(void **state) {
    (void)state;
    const struct size_shape s = {.share_f32 = 0.9, .share_bf16 = 0.75}, f32 = {.share_f32 = 0.8,
                                                                             .share_bf16 = NAN};
    assert_true(fabs(size_rate(&s, 200, 0) - 180) < 1e-9);
    assert_true(fabs(size_rate(&s, 200, 400) - 300) < 1e-9);
    assert_true(fabs(size_rate(&f32, 200, 400) - 160) < 1e-9);
    assert_true(size_rate(&s, 0, 0) == 0);
}

/* The models are those that they say they are, and grow; what is planned is what would be trained.
 * The options of the predecessor's d8 come to the 50.3 M parameters that it prints, and the norms
 * that it does without. */
static void shapes(void **state) {
    (void)state;
    struct machine m;
    struct size_need n, before = {0};
    char text[SIZE_TEXT];
    const int64_t tokens[] = {4096, 8192, 32768, 65536}, width[] = {256, 384, 512, 640};
    ok(machine_open(&m, &(struct machine_opts){.threads = 2}, &e));
    assert_int_equal(n_size_classes, 4);
    for (int i = 0; i < n_size_classes; i++) {
        ok(size_plan(size_classes + i, &m, &n, &e));
        assert_int_equal(n.tokens, tokens[i]);
        assert_int_equal(n.dim, width[i]);
        assert_int_equal(n.layers, size_classes[i].depth);
        assert_true(n.bytes > before.bytes && n.flops > before.flops && n.params > before.params);
        /* weights, gradients and AdamW's two moments at least */
        assert_true(n.bytes > 16 * (size_t)n.params);
        if (i == 2) assert_true(n.params > 50200000 && n.params < 50600000);
        before = n;
    }
    size_options(size_classes + 3, text);
    assert_non_null(strstr(text, " --batch 32 --seq 1024 --accum 2"));
    assert_null(strstr(size_options(size_classes, text), "--accum"));
    const int64_t params[] = {1000576, 19926016, 134515008};
    for (int i = 0; i < n_size_shapes; i++) {
        ok(size_plan(size_shapes + i, &m, &n, &e));
        assert_int_equal(n.params, params[i]);
        assert_int_equal(n.tokens, size_shapes[i].batch * size_shapes[i].seq);
    }
    machine_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),          cmocka_unit_test(each_level_ends),
        cmocka_unit_test(slopes),         cmocka_unit_test(noise),
        cmocka_unit_test(none),           cmocka_unit_test(of_all_threads),
        cmocka_unit_test(names),          cmocka_unit_test(bandwidth),
        cmocka_unit_test(copies),         cmocka_unit_test(thread_counts),
        cmocka_unit_test(peaks),
        cmocka_unit_test(classes),        cmocka_unit_test(rates),
        cmocka_unit_test(shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
