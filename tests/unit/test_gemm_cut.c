/* How products are cut into tasks: no part of a thread's scratch is exceeded, threads have equal
 * work, and what tasks do again is in proportion. */
#include "gemm_cut.h"
#include "gemm_kern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SLIVER = 16, ROWS = 6, PANEL = 16 }; /* of AVX2; slivers that scratch has room for */

static struct gemm_cut_of of_shape(int threads, int64_t m, int64_t n, int64_t k) {
    const int64_t qb = (n + SLIVER - 1) / SLIVER;
    return (struct gemm_cut_of){.threads = threads,
                                .rows = m,
                                .qa = (m + ROWS - 1) / ROWS,
                                .qb = qb,
                                .panels = (qb + PANEL - 1) / PANEL,
                                .most = m * n * k / (1 << 19) + 1,
                                .pack = 10,
                                .read = 0.25,
                                .share = 1};
}

/* Threads that take tasks in order, each when it is free. */
static double share_of_time(int64_t q, int64_t panels, int64_t parts, int threads) {
    int64_t busy[64] = {0}, longest = 0;
    for (int64_t t = 0; t < panels * parts; t++) {
        int first = 0;
        for (int i = 1; i < threads; i++)
            if (busy[i] < busy[first]) first = i;
        busy[first] += q / panels + (t / parts < q % panels);
        if (busy[first] > longest) longest = busy[first];
    }
    return (double)(q * parts) / (double)(threads * longest);
}

static void even_is_what_threads_do(void **state) {
    (void)state;
    static const int threads[] = {2, 3, 16, 64};
    for (int i = 0; i < 4; i++)
        for (int q = 1; q < 80; q += 3)
            for (int panels = 1; panels <= q; panels++)
                for (int parts = 1; parts < 20; parts++) {
                    const double found = gemm_cut_even(q, panels, parts, threads[i]),
                                 want = share_of_time(q, panels, parts, threads[i]);
                    if (found - want > 1e-9 || want - found > 0.1)
                        fail_msg("%d of %d by %d, %d threads: %g, not %g", q, panels, parts,
                                 threads[i], found, want);
                }
}

/* One thread, and a product too small to be shared, pack every panel once. */
static void one_task(void **state) {
    (void)state;
    const struct gemm_cut_of one = of_shape(1, 4096, 704, 256), tiny = of_shape(8, 64, 64, 64);
    struct gemm_cut cut = gemm_cut(&one);
    assert_int_equal(cut.parts, 1);
    assert_int_equal(cut.panels, 3);
    cut = gemm_cut(&tiny);
    assert_int_equal(cut.panels * cut.parts, 1);
}

/* Two threads always; more as far as a sliver more or less is not much of a task. */
static void threads_are_busy(void **state) {
    (void)state;
    static const int threads[] = {2, 3, 4, 16, 32};
    static const int64_t sides[] = {64, 128, 176, 256, 352, 384, 704, 1056, 2048};
    for (int i = 0; i < 5; i++)
        for (int m = 0; m < 9; m++)
            for (int n = 0; n < 9; n++) {
                const struct gemm_cut_of of = of_shape(threads[i], sides[m], sides[n], 4096);
                const struct gemm_cut cut = gemm_cut(&of);
                const double even =
                    cut.panels > 1
                        ? share_of_time(of.qb, cut.panels, cut.parts, of.threads)
                        : share_of_time(of.qa, cut.parts, 1, of.threads);
                assert_true(cut.panels >= of.panels && cut.panels <= of.qb);
                assert_true(cut.parts >= 1 && cut.parts <= of.qa);
                if (even < (of.threads == 2 ? 0.9 : of.most < 4 * of.threads ? 0.5 : 0.65))
                    fail_msg("%d x %d for %d threads: %d by %d, %g busy", (int)sides[m],
                             (int)sides[n], of.threads, (int)cut.panels, (int)cut.parts, even);
            }
}

/* 36 slivers in panels of at most 8: six panels keep two threads as busy as five do in two parts
 * each, and every panel is packed once. */
static void panels_for_all_threads(void **state) {
    (void)state;
    struct gemm_cut_of of = of_shape(2, 256, 576, 576);
    of.panels = 5;
    const struct gemm_cut cut = gemm_cut(&of);
    assert_int_equal(cut.panels, 6);
    assert_int_equal(cut.parts, 1);
}

/* The dearer packing is, the fewer parts; the dearer reading A, the fewer panels. */
static void costs_count(void **state) {
    (void)state;
    struct gemm_cut_of of = of_shape(16, 512, 256, 512);
    const struct gemm_cut usual = gemm_cut(&of);
    of.pack = 100;
    const struct gemm_cut pack = gemm_cut(&of);
    of.pack = 10;
    of.read = 5;
    const struct gemm_cut read = gemm_cut(&of);
    assert_true(pack.parts < usual.parts);
    assert_true(read.panels < usual.panels);
}

/* A copy pays where enough slivers of B read it: of lines that are far apart, of any rows where the
 * kernels are faster with it, and at once where lines clash. */
static void copies_pay(void **state) {
    (void)state;
    const struct gemm_kern *wide = gemm_kern_f32(CPU_avx2), *least = gemm_kern_f32(CPU_generic);
    const int mr = least->mr;
    assert_true(gemm_copies(wide, true, 6, 352, 512, 8));
    assert_false(gemm_copies(wide, true, 6, 352, 512, 7));
    assert_false(gemm_copies(wide, false, 6, 352, 512, 8));
    assert_true(gemm_copies(wide, true, 6, 1024, 64, 1));
    assert_true(gemm_copies(least, true, mr, 352, 512, 8));
    assert_int_equal(gemm_copies(least, false, mr, 352, 64, 8), least->winds);
    assert_int_equal(gemm_copies(least, false, mr - 1, 352, 512, 8), least->winds);
    assert_false(gemm_copies(least, false, mr - 2, 352, 512, 8));
    assert_false(gemm_copies(least, false, mr, 352, 512, 7));
    assert_false(gemm_copies(least, false, mr, 352, 32, 8));
    assert_true(least->copy_ld <= GEMM_TILE / 2 && least->copy_ld >= mr);
#if defined(__SSE2__)
    assert_true(least->winds && !wide->winds);
#endif
}

/* Slivers are packed in blocks of k where they are too few for the threads: tasks enough for
 * sixteen however wide they are, and no more for two, or where k ends. */
static void packing_is_shared(void **state) {
    (void)state;
    for (int64_t slivers = 1; slivers < 70; slivers++)
        for (int64_t words = 1; words < 600; words += 37) {
            const int64_t most = (words + GEMM_CUT_K - 1) / GEMM_CUT_K;
            const int64_t blocks = gemm_cut_pack(slivers, words, 16);
            assert_true(blocks >= 1 && blocks <= most);
            assert_true(blocks == most || slivers * blocks >= 32);
            assert_true(blocks == 1 || slivers * (blocks - 1) < 32);
            assert_int_equal(gemm_cut_pack(slivers, words, 1), 1);
            if (slivers >= 4) assert_int_equal(gemm_cut_pack(slivers, words, 2), 1);
            for (int64_t i = 0; i < blocks; i++) {
                const int64_t begin = gemm_cut_begin(words, blocks, i);
                assert_true(begin % GEMM_CUT_K == 0);
                assert_true(begin < gemm_cut_begin(words, blocks, i + 1));
            }
            assert_int_equal(gemm_cut_begin(words, blocks, blocks), words);
        }
    assert_int_equal(gemm_cut_pack(0, 64, 16), 1);
    assert_int_equal(gemm_cut_pack(8, 0, 16), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(even_is_what_threads_do),
        cmocka_unit_test(one_task),
        cmocka_unit_test(threads_are_busy),
        cmocka_unit_test(panels_for_all_threads),
        cmocka_unit_test(costs_count),
        cmocka_unit_test(copies_pay),
        cmocka_unit_test(packing_is_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
