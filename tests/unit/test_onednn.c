/* oneDNN without memory: a product in bf16 is made without the library, and nothing ends. The
 * backend's own source, so that its library can be made to refuse. */
#include "gemm_onednn.c"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#ifdef HAVE_ONEDNN

static uint16_t bf16_of(float x) {
    uint16_t h;
    dtype_from_f32(DT_BF16, &x, &h, 1);
    return h;
}

enum { M = 5, N = 7, K = 33, LDC = 9 };

static uint16_t a[(M + 2) * K], b[(N + 1) * K];

/* Rows 2.. of a against rows 1.. of b. */
static void check(const float *c, bool add) {
    for (int i = 0; i < M; i++)
        for (int j = 0; j < LDC; j++) {
            double want = add || j >= N ? 0.5 : 0, scale = 1;
            for (int k = 0; k < K && j < N; k++) {
                const double x = (double)f32_of_bf16(a[(i + 2) * K + k]) *
                                 (double)f32_of_bf16(b[(j + 1) * K + k]);
                want += x;
                scale += fabs(x);
            }
            if (fabs((double)c[i * LDC + j] - want) > 1e-5 * scale)
                fail_msg("row %d, column %d: %g, expected %g", i, j, (double)c[i * LDC + j], want);
        }
}

static void product(bool add) {
    float c[M * LDC];
    const struct gemm_pack pa = {.data = a, .rows = M + 2, .k = K, .full_k = K},
                           pb = {.data = b, .rows = N + 1, .k = K, .full_k = K};
    for (int i = 0; i < M * LDC; i++) c[i] = add || i % LDC >= N ? 0.5f : NAN;
    call_bf16(&pa, 2, M, &pb, 1, N, c, LDC, add);
    check(c, add);
}

static dnnl_status_t no_layout(dnnl_memory_desc_t *d, int n, const dnnl_dims_t dims,
                               dnnl_data_type_t t, const dnnl_dims_t strides) {
    (void)d, (void)n, (void)dims, (void)t, (void)strides;
    return dnnl_out_of_memory;
}

static int asked;

static dnnl_status_t no_memory(dnnl_memory_t *m, const dnnl_memory_desc_t *d, dnnl_engine_t e,
                               void *p) {
    (void)m, (void)d, (void)e, (void)p;
    return ++asked % 3 ? dnnl_out_of_memory : dnnl_invalid_arguments;
}

static dnnl_status_t no_run(const_dnnl_primitive_t p, dnnl_stream_t s, int n,
                            const dnnl_exec_arg_t *args) {
    (void)p, (void)s, (void)n, (void)args;
    return dnnl_out_of_memory;
}

/* It takes no more of the CPU than the tier has, and serves no other. */
static void of_one_tier(const struct cpu *cpu) {
    dnnl_cpu_isa_t (*taken)(void);
    void *lib = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
    *(void **)&taken = dlsym(lib, "dnnl_get_effective_cpu_isa");
    if (taken && !cpu->tiles) assert_int_equal(taken() & ~isa_of(cpu), 0);
    dlclose(lib);
    assert_int_equal(rate(DT_F32, cpu), GEMM_VECTORS);
    for (int t = 0; t < CPU_TIER_COUNT; t++) {
        const struct cpu other = {.tier = (enum cpu_tier)t};
        assert_int_equal(rate(DT_F32, &other) == GEMM_VECTORS, isa_of(&other) == isa_of(cpu));
    }
}

static void without_memory(void **state) {
    (void)state;
    for (int i = 0; i < (int)(sizeof a / sizeof *a); i++) a[i] = bf16_of(sinf((float)i));
    for (int i = 0; i < (int)(sizeof b / sizeof *b); i++) b[i] = bf16_of(cosf((float)i));
    p_dnnl_memory_desc_init_by_strides = no_layout; /* no primitive can be made */
    product(false);
    product(true);
    struct cpu cpu;
    assert_true(cpu_choose(&cpu, NULL));
    load(&cpu);
    if (!ready) {
        print_message("libdnnl is not here: the rest is left out\n");
        return;
    }
    of_one_tier(&cpu);
    product(false); /* by the library, where it has a primitive for this processor */
    product(true);
    if (!n_entries) print_message("libdnnl has no product in bf16 for this processor\n");
    __typeof__(p_dnnl_memory_create) create = p_dnnl_memory_create;
    p_dnnl_memory_create = no_memory; /* there is a primitive, but nothing to run it on */
    product(false);
    product(true);
    assert_int_equal(asked > 0, n_entries > 0);
    p_dnnl_memory_create = create;
    p_dnnl_primitive_execute = no_run;
    product(false);
    product(true);
}

#else

static void without_memory(void **state) {
    (void)state;
    skip(); /* built without oneDNN */
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
