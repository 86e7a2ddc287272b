/* What weights are known by: all of their bits, and nothing else of the file. */
#include "model_fixture.h"
#include "weights_hash.h"

#include <xxhash.h>

static char *hash_at(const char *name) {
    static char hash[4][17];
    static int turn;
    turn = (turn + 1) % 4;
    e = (struct err){0};
    assert_int_equal(weights_hash(at(name), hash[turn], &e), 0);
    assert_int_equal(strspn(hash[turn], "0123456789abcdef"), 16);
    return hash[turn];
}

static void write_as(struct model_file *mf, const char *name) {
    assert_int_equal(model_file_write(mf, "blzt5", at(name), &e), 0);
}

/* Two tensors; the hash is XXH3 of what the header says, made here by hand. */
static void is_of_names_types_shapes_bytes(void **state) {
    (void)state;
    static float w[6] = {1, -0.0f, 3, 4, 5, 1e-42f}, b[2] = {7, 8};
    char one[] = "a.weight", two[] = "b.bias", expected[17], bytes[128];
    const struct mf_tensor t[] = {
        {.name = one, .dtype = DT_F32, .ndim = 2, .shape = {2, 3}, .data = w},
        {.name = two, .dtype = DT_F32, .ndim = 1, .shape = {2}, .data = b}};
    struct model_file mf = {.archs = &arch_parts, .config = strdup("{}")};
    size_t n = 0;
    for (int i = 0; i < 2; i++) assert_int_equal(model_file_add(&mf, &t[i], &e), 0);
    write_as(&mf, "two.blzt");
    model_file_close(&mf);
#define PUT(p, size) (memcpy(bytes + n, p, size), n += (size))
    PUT("a.weight", 9), PUT("f32", 4), PUT("2 2 3", 6), PUT(w, sizeof w);
    PUT("b.bias", 7), PUT("f32", 4), PUT("1 2 1", 6), PUT(b, sizeof b);
    snprintf(expected, sizeof expected, "%016llx", (unsigned long long)XXH3_64bits(bytes, n));
    assert_string_equal(hash_at("two.blzt"), expected);
}

/* Every bit of every tensor counts; config, meta and tokenizer do not. */
static void every_bit_counts(void **state) {
    (void)state;
    struct model_file mf;
    build_mixed(&mf);
    write_as(&mf, "a.blzt");
    char *hash = strdup(hash_at("a.blzt"));
    for (size_t i = 0; i < mf.n_tensors; i++) {
        struct mf_tensor *t = &mf.tensors[i];
        if (dtype_row(t->dtype)->block > 1) continue; /* any bit of these may be a NaN's */
        const size_t last = dtype_bytes(t->dtype, (size_t)mf_tensor_count(t)) - 1;
        uint8_t *byte = (uint8_t *)(uintptr_t)t->data;
        byte[0] ^= 1;
        write_as(&mf, "b.blzt");
        assert_string_not_equal(hash_at("b.blzt"), hash);
        byte[0] ^= 1;
        byte[last] ^= 1 << 7; /* a sign */
        write_as(&mf, "b.blzt");
        assert_string_not_equal(hash_at("b.blzt"), hash);
        byte[last] ^= 1 << 7;
    }
    free(mf.config);
    free(mf.meta);
    mf.config = strdup("{\"vocab_size\":7}");
    mf.meta = strdup("{\"step\":12345}");
    mf.tokenizer = NULL;
    write_as(&mf, "b.blzt");
    assert_string_equal(hash_at("b.blzt"), hash);
    mf.tensors[0].name[0] ^= 1;
    write_as(&mf, "b.blzt");
    assert_string_not_equal(hash_at("b.blzt"), hash);
    mf.tensors[0].name[0] ^= 1;
    free(hash);
    model_file_close(&mf);
}

/* The folder of a run stands for its last weights; what has none is named. */
static void folders(void **state) {
    (void)state;
    struct model_file mf;
    char hash[17];
    size_t size;
    build_mixed(&mf);
    assert_int_equal(file_mkdirs(at("run"), &e), 0);
    assert_int_equal(weights_hash(at("run"), hash, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, at("run")));
    write_as(&mf, "run/adapter.blzt");
    assert_string_equal(hash_at("run"), hash_at("run/adapter.blzt"));
    write_as(&mf, "run/model.blzt");
    assert_string_equal(hash_at("run"), hash_at("run/model.blzt"));
    uint8_t *data = slurp(at("run/model.blzt"), &size);
    data[size / 2] ^= 1;
    FILE *f = fopen(at("run/model.blzt"), "wb");
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(weights_hash(at("run"), hash, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, at("run/model.blzt")));
    free(data);
    model_file_close(&mf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_of_names_types_shapes_bytes),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(folders),
    };
    return cmocka_run_group_tests_name("weights_hash", tests, make_dir, remove_all);
}
