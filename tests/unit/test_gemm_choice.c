/* Which backend and which compute type `auto` takes, here and on machines that are not here. */
#include "cpu.h"
#include "gemm_kern.h"
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* native, onednn, openblas, ref as they would answer on other machines */
static void best_of_rates(void **state) {
    (void)state;
    static const struct {
        const char *machine;
        enum gemm_rate rate[4];
        int best;
    } cases[] = {
        {"f32 anywhere", {GEMM_VECTORS, GEMM_VECTORS, GEMM_VECTORS, GEMM_LOOPS}, 0},
        {"AVX2, bf16", {GEMM_ROUNDED, GEMM_NONE, GEMM_ROUNDED, GEMM_LOOPS}, 0},
        {"AVX512-BF16, bf16", {GEMM_VECTORS, GEMM_VECTORS, GEMM_ROUNDED, GEMM_LOOPS}, 0},
        {"AMX, bf16, oneDNN is there", {GEMM_VECTORS, GEMM_TILES, GEMM_ROUNDED, GEMM_LOOPS}, 1},
        {"AMX, bf16, no oneDNN", {GEMM_VECTORS, GEMM_NONE, GEMM_ROUNDED, GEMM_LOOPS}, 0},
        {"AMX, bf16, no library at all", {GEMM_VECTORS, GEMM_NONE, GEMM_NONE, GEMM_LOOPS}, 0},
        {"only loops", {GEMM_NONE, GEMM_NONE, GEMM_NONE, GEMM_LOOPS}, 3},
        {"nothing", {GEMM_NONE, GEMM_NONE, GEMM_NONE, GEMM_NONE}, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (gemm_best(cases[i].rate, 4) != cases[i].best)
            fail_msg("%s: backend %d", cases[i].machine, gemm_best(cases[i].rate, 4));
}

/* Native never says no; auto is never a backend of a lower rate than native. */
static void every_tier(void **state) {
    (void)state;
    static const enum dtype types[] = {DT_F32, DT_BF16};
    for (int tier = 0; tier < CPU_TIER_COUNT; tier++) {
        struct cpu cpu;
        assert_true(cpu_choose(&cpu, cpu_tier_name((enum cpu_tier)tier)));
        assert_false(cpu.tiles);
        for (int t = 0; t < 2; t++) {
            struct gemm g, native;
            struct err e;
            assert_int_equal(gemm_init(&native, "native", types[t], &cpu, NULL, &e), 0);
            assert_int_equal(gemm_init(&g, "auto", types[t], &cpu, NULL, &e), 0);
            assert_true(g.backend->exact);
            assert_true(g.backend->rate(types[t], &cpu) >= native.backend->rate(types[t], &cpu));
        }
        /* bf16 is the faster type exactly where the CPU multiplies it. */
        const enum dtype faster = gemm_faster_compute("auto", &cpu);
        assert_int_equal(faster == DT_BF16, cpu.tier >= CPU_avx512bf16);
        assert_int_equal(gemm_faster_compute("ref", &cpu), DT_F32);
        assert_int_equal(gemm_faster_compute("openblas", &cpu), DT_F32);
    }
}

/* Blocks follow from the second-level cache, and that is what the system says of it. */
static void blocks_of_caches(void **state) {
    (void)state;
    static const struct {
        int64_t l2;
        int words;
    } cases[] = {{32 << 10, 64}, {256 << 10, 256}, {400 << 10, 384}, {512 << 10, 512},
                 {2 << 20, 512}, {0, 512}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct cpu cpu = {.l2 = cases[i].l2};
        const struct gemm_block b = gemm_block_of(&cpu);
        assert_int_equal(b.words, cases[i].words);
        assert_true(b.panel <= MAT_LINE && b.words <= GEMM_WORDS);
    }
    long kb;
    FILE *f = fopen("/sys/devices/system/cpu/cpu0/cache/index2/size", "r");
    if (f && fscanf(f, "%ldK", &kb) == 1 && cpu_best() > CPU_generic)
        assert_int_equal(cpu_l2(), kb << 10);
    if (f) fclose(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_of_rates),
        cmocka_unit_test(every_tier),
        cmocka_unit_test(blocks_of_caches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
