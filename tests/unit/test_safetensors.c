/* The container of Hugging Face's weights: every rule of the format, broken one at a time. */
#include "hf_fixture.h"

#define T(name, dtype, shape, offsets)                                                             \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void refused(const char *header, size_t data, const char *because) {
    size_t n;
    uint8_t *file = weights_file(header, data, &n);
    assert_refused(file, n, false, because);
    free(file);
}

static const struct {
    const char *header;
    size_t data;
    const char *because;
} broken[] = {
    {"{" T("a", "F32", "[1]", "[0,4]"), 4, "JSON at offset"},
    {"{" T("a", "F32", "[1]", "[0,4]") "}x", 4, "end of file expected"},
    {"{" T("\xff", "F32", "[1]", "[0,4]") "}", 4, "unable to decode byte 0xff"},
    {"{" T("a", "F32", "[1]", "[0,4]") "," T("a", "F32", "[1]", "[4,8]") "}", 8, "duplicate"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "duplicate"},
    {"{\"__metadata__\":{\"a\":\"b\",\"a\":\"b\"}}", 0, "duplicate"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate"},
    {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "value of \"a\" is not text"},
    {"{\"a\":[]}", 0, "tensor a: its value is not an object"},
    {"{" T("", "F32", "[1]", "[0,4]") "}", 4, "printable"},
    {"{" T("a\\nb", "F32", "[1]", "[0,4]") "}", 4, "printable"},
    {"{" T("a\\u0000b", "F32", "[1]", "[0,4]") "}", 4, "JSON at offset"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor a: dtype is missing"},
    {"{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets are not"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"b\":1}}", 4,
     "tensor a: unknown key \"b\""},
    {"{" T("a", "I64", "[1]", "[0,8]") "}", 8, "tensor a: dtype I64, which duet does not read"},
    {"{" T("a", "F64", "[1]", "[0,8]") "}", 8, "dtype F64"},
    {"{" T("a", "F8_E4M3", "[1]", "[0,1]") "}", 1, "dtype F8_E4M3"},
    {"{" T("a", "f32", "[1]", "[0,4]") "}", 4, "dtype f32"},
    {"{" T("a", "F32", "[]", "[0,4]") "}", 4, "tensor a: 0 dimensions found"},
    {"{" T("a", "F32", "[1,1,1]", "[0,4]") "}", 4, "tensor a: 3 dimensions found"},
    {"{" T("a", "F32", "{}", "[0,4]") "}", 4, "not a list"},
    {"{" T("a", "F32", "[0]", "[0,0]") "}", 0, "tensor a: a dimension"},
    {"{" T("a", "F32", "[2,0]", "[0,0]") "}", 0, "tensor a: a dimension"},
    {"{" T("a", "F32", "[-1]", "[0,4]") "}", 4, "tensor a: a dimension"},
    {"{" T("a", "F32", "[1.0]", "[0,4]") "}", 4, "tensor a: a dimension"},
    {"{" T("a", "F32", "[true]", "[0,4]") "}", 4, "tensor a: a dimension"},
    {"{" T("a", "F32", "[4294967296,4294967296]", "[0,4]") "}", 4, "too large"},
    {"{" T("a", "F32", "[4611686018427387904]", "[0,4]") "}", 4, "too large"},
    {"{" T("a", "F32", "[4611686018427387905]", "[0,4]") "}", 4, "too large"},
    {"{" T("a", "F32", "[18446744073709551617]", "[0,4]") "}", 4, "a dimension of shape"},
    {"{" T("a", "F32", "[1]", "[0]") "}", 4, "data_offsets are not"},
    {"{" T("a", "F32", "[1]", "[0,4,8]") "}", 4, "data_offsets are not"},
    {"{" T("a", "F32", "[1]", "[0.0,4]") "}", 4, "data_offsets are not"},
    {"{" T("a", "F32", "[1]", "[-4,0]") "}", 4, "data_offsets are not"},
    {"{" T("a", "F32", "[1]", "[\\\"0\\\",4]") "}", 4, "JSON at offset"},
    {"{" T("a", "F32", "[1]", "[4,0]") "}", 4, "do not lie within the 4 bytes"},
    {"{" T("a", "F32", "[1]", "[0,8]") "}", 4, "do not lie within the 4 bytes"},
    {"{" T("a", "F32", "[1]", "[0,9223372036854775807]") "}", 4, "do not lie within"},
    {"{" T("a", "F32", "[2]", "[0,4]") "}", 4, "give 4 bytes, shape and dtype 8"},
    {"{" T("a", "F16", "[1]", "[0,4]") "}", 4, "give 4 bytes, shape and dtype 2"},
    {"{" T("a", "F32", "[1]", "[0,4]") "}", 5, "1 bytes follow the last tensor"},
    {"{}", 1, "1 bytes follow the last tensor"},
    {"{" T("a", "F32", "[1]", "[4,8]") "}", 8, "tensor a: data begins at offset"},
    {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[1]", "[8,12]") "}", 12,
     "tensor b: data begins at offset"},
    {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[1]", "[0,4]") "}", 4,
     "data begins at offset"},
    {"{" T("a", "F32", "[2]", "[0,8]") "," T("b", "F32", "[1]", "[4,8]") "}", 8,
     "tensor b: data begins at offset"},
    {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[0]", "[0,0]") "}", 4,
     "a dimension of shape"},
};

static void rules(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        refused(broken[i].header, broken[i].data, broken[i].because);
}

/* The length in front. */
static void lengths(void **state) {
    (void)state;
    static const uint64_t lengths[] = {3, 49, 100000000, 100000001, UINT32_MAX};
    size_t n;
    uint8_t *file = weights_file("{" T("a", "F32", "[1]", "[0,4]") "}", 4, &n);
    struct model_file mf;
    assert_int_equal(open_bytes(&mf, file, n, false), 0);
    model_file_close(&mf);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memcpy(file, lengths + i, 8);
        assert_refused(file, n, false, i ? "" : "JSON at offset");
        if (lengths[i] > n) assert_refused(file, n, false, "header length at offset 0");
    }
    memset(file, 0, 8);
    assert_refused(file, n, false, "does not begin with {");
    memset(file, 0xff, 8); /* so that 8 + N wraps around */
    assert_refused(file, n, false, "");
    const uint64_t wrap = UINT64_MAX - 7;
    memcpy(file, &wrap, 8);
    assert_refused(file, n, false, "");
    free(file);
    refused(" {}", 0, ""); /* a blank in front */
}

/* What costs a parser much is refused before it is parsed. */
static void costs(void **state) {
    (void)state;
    const size_t big = (size_t)20 << 20;
    char *header = malloc(big + 1);
    header[big] = 0;
    memset(header, '[', big);
    header[0] = '{';
    refused(header, 0, "at most 16777216 are accepted");
    header[big / 2] = 0;
    refused(header, 0, "more than 262144 values");
    memcpy(header, "{\"a\":", 5);
    header[5 + 100000] = 0;
    refused(header, 0, "maximum parsing depth");
    memset(header + 5, '0', big - 5);
    for (size_t i = 6; i < big / 2; i += 2) header[i] = ',';
    header[5] = '[';
    header[big / 2] = 0;
    refused(header, 0, "more than 262144 values");
    /* Padding costs nothing. */
    size_t n;
    struct model_file mf;
    memset(header, ' ', big);
    memcpy(header, "{}", 2);
    header[big - 1] = ' ';
    header[big / 2] = ' ';
    uint8_t *file = weights_file(header, 0, &n);
    assert_int_equal(n, 8 + big);
    assert_int_equal(open_bytes(&mf, file, n, false), 0);
    model_file_close(&mf);
    free(file);
    free(header);
}

static const char two[] =
    "{" T("b", "BF16", "[1,2]", "[4,8]") "," T("a", "F16", "[2]", "[0,4]") "}  ";

static void accepted(void **state) {
    (void)state;
    struct model_file mf;
    size_t n;
    uint8_t *file = weights_file(two, 8, &n);
    const uint16_t values[4] = {0x3c00, 0xc000, 0x3f80, 0xc000};
    memcpy(file + n - 8, values, 8);
    assert_int_equal(open_bytes(&mf, file, n, true), 0);
    assert_string_equal(mf.format->name, "safetensors");
    assert_string_equal(mf.config, "{}");
    assert_null(mf.meta);
    assert_int_equal(mf.n_tensors, 2);
    const struct mf_tensor *a = model_file_find(&mf, "a"), *b = model_file_find(&mf, "b");
    float x[2];
    assert_true(a->dtype == DT_F16 && a->ndim == 1 && a->shape[0] == 2 && a->offset == n - 8);
    mf_tensor_read(a, x);
    assert_true(x[0] == 1 && x[1] == -2);
    assert_true(b->dtype == DT_BF16 && b->ndim == 2 && b->shape[0] == 1 && b->shape[1] == 2);
    mf_tensor_read(b, x);
    assert_true(x[0] == 1 && x[1] == -2);
    assert_int_equal(b->offset, n - 4);
    model_file_close(&mf);
    free(file);
}

static void cut_and_grown(void **state) {
    (void)state;
    size_t n;
    uint8_t *file = weights_file(two, 8, &n);
    for (size_t i = 0; i < n; i++) assert_refused(file, i, false, "");
    file = realloc(file, n + 1);
    file[n] = 0;
    assert_refused(file, n + 1, false, "1 bytes follow");
    free(file);
}

static void metadata(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{\"__metadata__\":{\"format\":\"pt\"}}", NULL},
        {"{\"__metadata__\":{}}", NULL},
        {"{\"__metadata__\":{\"format\":\"pt\",\"x\":\"y\"}}",
         "{\"safetensors\":{\"format\":\"pt\",\"x\":\"y\"}}"},
        {"{\"__metadata__\":{\"x\":\"y\"}}", "{\"safetensors\":{\"x\":\"y\"}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_file mf;
        size_t n;
        uint8_t *file = weights_file(cases[i][0], 0, &n);
        assert_int_equal(open_bytes(&mf, file, n, false), 0);
        if (cases[i][1])
            assert_same_json(mf.meta, cases[i][1]);
        else
            assert_null(mf.meta);
        model_file_close(&mf);
        free(file);
    }
}

/* Early writers did not pad: floats at any address. */
static void not_aligned(void **state) {
    (void)state;
    char header[200];
    for (int pad = 0; pad < 8; pad++) {
        struct model_file mf;
        size_t n;
        snprintf(header, sizeof header, "{%s,%s,%s}%*s", T("a", "F16", "[1]", "[0,2]"),
                 T("b", "F32", "[2]", "[2,10]"), T("c", "F32", "[3]", "[10,22]"), pad, "");
        uint8_t *file = weights_file(header, 22, &n);
        assert_int_equal(open_bytes(&mf, file, n, false), 0);
        for (size_t i = 0; i < 3; i++) {
            const struct mf_tensor *t = mf.tensors + i;
            assert_int_equal((uintptr_t)t->data % (t->dtype == DT_F32 ? 4 : 2), 0);
            assert_memory_equal(t->data, file + t->offset,
                                dtype_bytes(t->dtype, i == 0 ? 1 : i + 1));
        }
        model_file_close(&mf);
        free(file);
    }
}

/* A lone file, and one with a config beside it. */
static void beside(void **state) {
    (void)state;
    struct model_file mf;
    put_weights("lone", "x.safetensors", "{" T("model.norm.weight", "F32", "[1]", "[0,4]") "}", 4);
    assert_int_equal(model_file_open(&mf, in("lone", "x.safetensors"), false, &e), 0);
    assert_string_equal(mf.config, "{}");
    assert_int_equal(mf.n_sides, 0);
    model_file_close(&mf);
    put_text("lone", "config.json", "{\"hidden_size\": 1}");
    put_text("lone", "tokenizer.json", "{}");
    assert_int_equal(model_file_open(&mf, in("lone", "x.safetensors"), false, &e), 0);
    assert_string_equal(mf.config, "{\"hidden_size\":1}");
    assert_int_equal(mf.n_sides, 1);
    assert_string_equal(mf.sides[0].name, "tokenizer.json");
    assert_non_null(model_file_find(&mf, "model.norm.weight"));
    model_file_close(&mf);
    put_text("lone", "config.json", "{\"hidden_size\": 1, \"hidden_size\": 2}");
    assert_int_equal(model_file_open(&mf, in("lone", "x.safetensors"), false, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "duplicate"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules),       cmocka_unit_test(lengths),       cmocka_unit_test(costs),
        cmocka_unit_test(accepted),    cmocka_unit_test(cut_and_grown), cmocka_unit_test(metadata),
        cmocka_unit_test(not_aligned), cmocka_unit_test(beside),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_all);
}
