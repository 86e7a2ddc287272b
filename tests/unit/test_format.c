/* Model files in general and BLZT v5: what is written is read back bit for bit, and what is damaged
 * is refused. */
#include "model_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <xxhash.h>

static void blzt5_round_trip(void **state) {
    (void)state;
    struct model_file a, b;
    build_mixed(&a);
    assert_int_equal(model_file_write(&a, "blzt5", at("a.blzt"), &e), 0);
    assert_int_equal(model_file_open(&b, at("a.blzt"), true, &e), 0);
    assert_string_equal(b.format->name, "blzt5");
    assert_same_json(a.config, b.config);
    assert_same_json(a.meta, b.meta);
    assert_int_equal(a.tokenizer_bytes, b.tokenizer_bytes);
    assert_memory_equal(a.tokenizer, b.tokenizer, a.tokenizer_bytes);
    assert_int_equal(b.n_tensors, DT_COUNT);
    for (size_t i = 0; i < b.n_tensors; i++) {
        const struct mf_tensor *s = &a.tensors[i], *t = &b.tensors[i];
        assert_string_equal(s->name, t->name);
        assert_int_equal(s->dtype, t->dtype);
        assert_memory_equal(s->data, t->data, dtype_bytes(t->dtype, mf_tensor_count(t)));
        assert_int_equal(t->offset % 64, 0);
        assert_int_equal((uintptr_t)t->data % 64, 0);
    }
    /* Writing what was read gives the same file. */
    size_t n, m;
    assert_int_equal(model_file_write(&b, "blzt5", at("b.blzt"), &e), 0);
    uint8_t *x = slurp(at("a.blzt"), &n), *y = slurp(at("b.blzt"), &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
    /* The file being read is never replaced. */
    assert_int_equal(model_file_write(&b, "blzt5", at("a.blzt"), &e), ERR_INPUT);
    model_file_close(&a);
    model_file_close(&b);
}

/* The hash that a writer is asked for is that of the file, whether it is made on the way or
 * read. */
static void hash_of_what_is_written(void **state) {
    (void)state;
    int made = 0, read = 0;
    for (size_t f = 0; f < n_formats; f++) {
        size_t size;
        uint64_t hash = 0;
        struct model_file a, b;
        if (!formats[f]->probe || !formats[f]->write) continue;
        uint8_t *data = sample(formats[f]->name, &size);
        assert_int_equal(open_bytes(&a, data, size, true), 0);
        a.hash = &hash;
        assert_int_equal(model_file_write(&a, formats[f]->name, at("hashed"), &e), 0);
        assert_int_equal(model_file_open(&b, at("hashed"), true, &e), 0);
        assert_true(hash && hash == model_file_digest(&b));
        formats[f]->hashes ? made++ : read++;
        model_file_close(&a);
        model_file_close(&b);
        free(data);
    }
    assert_true(made && read);
}

static void cut_and_grown(void **state) {
    (void)state;
    for (size_t f = 0; f < n_formats; f++) {
        size_t size;
        if (!formats[f]->probe || !formats[f]->write) continue; /* folders have their own tests */
        uint8_t *data = sample(formats[f]->name, &size);
        for (size_t n = 0; n < size; n++) assert_refused(data, n, false, "");
        struct model_file mf;
        assert_int_equal(open_bytes(&mf, data, size, true), 0);
        model_file_close(&mf);
        data = realloc(data, size + 1);
        data[size] = 0;
        assert_refused(data, size + 1, false, "bytes");
        free(data);
    }
}

/* Any flipped bit of a v5 file is noticed; without verify, any outside the tensors. */
static void blzt5_flipped_bits(void **state) {
    (void)state;
    size_t size;
    uint8_t *data = sample("blzt5", &size);
    struct model_file good, mf;
    assert_int_equal(open_bytes(&good, data, size, true), 0);
    const struct mf_tensor *last = &good.tensors[good.n_tensors - 1];
    uint64_t first = good.tensors[0].offset;
    uint64_t end = last->offset + dtype_bytes(last->dtype, mf_tensor_count(last));
    for (size_t bit = 0; bit < 8 * size; bit++) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_refused(data, size, true, "");
        if (bit / 8 < first || bit / 8 >= end)
            assert_refused(data, size, false, "");
        else if (open_bytes(&mf, data, size, false) == 0) /* padding is part of verify too */
            model_file_close(&mf);
        else
            fail_msg("bit %zu: %s", bit, e.msg);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    model_file_close(&good);
    free(data);
}

/* A v5 file of this header and so many bytes of zeros, its checksums as they should be. */
static void assert_header_refused(const char *json, size_t data_bytes, const char *because) {
    uint64_t n = strlen(json), bytes = (n + 32 + 63) / 64 * 64 - 32;
    uint8_t *file = calloc(1, 32 + bytes + data_bytes);
    memset(file + 32, ' ', bytes);
    memcpy(file + 32, json, n);
    const uint32_t id[2] = {0x424c5a54, 5};
    const uint64_t rest[3] = {bytes, XXH3_64bits(file + 32, bytes), 32 + bytes + data_bytes};
    memcpy(file, id, 8);
    memcpy(file + 8, rest, 24);
    assert_refused(file, 32 + bytes + data_bytes, false, because);
    free(file);
}

#define T(name, dtype, shape, offset, bytes)                                                       \
    "{\"name\":\"" name "\",\"dtype\":\"" dtype "\",\"shape\":" shape ",\"offset\":" offset        \
    ",\"bytes\":" bytes ",\"xxh3\":\"0123456789abcdef\"}"
#define H(tensors) "{\"config\":{},\"tensors\":[" tensors "]}"

static const struct {
    const char *json;
    size_t data;
    const char *because;
} headers[] = {
    {"", 0, "header at offset"},
    {"[]", 0, "not a JSON object"},
    {"{\"config\":{}", 0, "header at offset"},
    {"{\"config\":{},\"config\":{},\"tensors\":[]}", 0, "duplicate"},
    {"{\"tensors\":[]}", 0, "config"},
    {"{\"config\":[],\"tensors\":[]}", 0, "not an object"},
    {"{\"config\":{},\"meta\":3,\"tensors\":[]}", 0, "meta"},
    {"{\"config\":{},\"tensors\":{}}", 0, "tensors"},
    {"{\"config\":{},\"tensors\":[],\"lora\":1}", 0, "unknown key \"lora\""},
    {"{\"config\":{},\"tensors\":[],\"a b\":1}", 0, "unknown key"},
    {H("3"), 0, "name"},
    {H(""), 1, "1 bytes follow"},
    {H(T("", "f32", "[1]", "0", "4")), 4, "printable"},
    {H(T("a\\nb", "f32", "[1]", "0", "4")), 4, "printable"},
    {H(T("a\\u0000b", "f32", "[1]", "0", "4")), 4, "header at offset"},
    {H(T("\xff", "f32", "[1]", "0", "4")), 4, "header at offset"},
    {H(T("a", "f64", "[1]", "0", "4")), 4, "dtype \"f64\""},
    {H(T("a", "f32", "[]", "0", "4")), 4, "1 or 2 sizes"},
    {H(T("a", "f32", "[1,1,1]", "0", "4")), 4, "1 or 2 sizes"},
    {H(T("a", "f32", "[0]", "0", "4")), 4, "dimension 0"},
    {H(T("a", "f32", "[1,-1]", "0", "4")), 4, "dimension 1"},
    {H(T("a", "f32", "[1.0]", "0", "4")), 4, "dimension 0"},
    {H(T("a", "f32", "[NaN]", "0", "4")), 4, "header at offset"},
    {H(T("a", "f32", "[1e999]", "0", "4")), 4, "header at offset"},
    {H(T("a", "f32", "[99999999999999999999]", "0", "4")), 4, "header at offset"},
    {H(T("a", "f32", "[4294967296,4294967296]", "0", "4")), 4, "too large"},
    {H(T("a", "f32", "[4611686018427387904]", "0", "4")), 4, "too large"},
    {H(T("a", "f32", "[4611686018427387905]", "0", "4")), 4, "too large"},
    {H(T("a", "i8", "[9223372036854775807,2]", "0", "4")), 4, "too large"},
    {H(T("a", "f32", "[2]", "0", "4")), 4, "shape and dtype give 8"},
    {H(T("a", "q8_0", "[2,31]", "0", "68")), 68, "not whole blocks of q8_0"},
    {H(T("a", "q8_0", "[31,2]", "0", "68")), 68, "not whole blocks of q8_0"},
    {H(T("a", "q8_0", "[2,32]", "0", "64")), 64, "shape and dtype give 68"},
    {H(T("a", "f32", "[1]", "64", "4")), 68, "offset 64 found, 0 expected"},
    {H(T("a", "f32", "[1]", "-64", "4")), 68, "whole number"},
    {H(T("a", "f32", "[1]", "0.0", "4")), 4, "whole number"},
    {H(T("a", "f32", "[1]", "0", "0")), 4, "do not lie within"},
    {H(T("a", "f32", "[1]", "0", "8")), 4, "do not lie within"},
    {H(T("a", "f32", "[1]", "0", "9223372036854775807")), 4, "do not lie within"},
    {H(T("a", "f32", "[1]", "0", "4") "," T("b", "f32", "[1]", "0", "4")), 68, "64 expected"},
    {H(T("a", "f32", "[1]", "0", "4") "," T("b", "f32", "[1]", "4", "4")), 68, "64 expected"},
    {H(T("a", "f32", "[1]", "0", "4") "," T("a", "f32", "[1]", "64", "4")), 68, "twice"},
    {H(T("a", "f32", "[1]", "0", "4") "," T("b", "f32", "[1]", "64", "4")), 64, "lie within"},
    {H(T("a", "f32", "[1]", "0", "4") "," T("b", "f32", "[1]", "64", "4")), 4, "lie within"},
    {H("{\"name\":\"a\",\"dtype\":\"f32\",\"shape\":[1],\"offset\":0,\"bytes\":4,"
       "\"xxh3\":\"0123456789ABCDEF\"}"),
     4, "xxh3"},
    {H("{\"name\":\"a\",\"dtype\":\"f32\",\"shape\":[1],\"offset\":0,\"bytes\":4,"
       "\"xxh3\":\"0123456789abcdef\",\"scale\":2}"),
     4, "unknown key \"scale\""},
    {"{\"config\":{},\"tensors\":[],\"tokenizer\":{\"offset\":0,\"bytes\":4,"
     "\"xxh3\":\"0123456789abcdef\"}}",
     4, "tokenizer is damaged"},
    {"{\"config\":{},\"tensors\":[],\"tokenizer\":[]}", 4, "tokenizer"},
};

static void blzt5_hostile_headers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        assert_header_refused(headers[i].json, headers[i].data, headers[i].because);

    /* Deep nesting and a table of far too many tensors: an error, and at once. */
    static const char entry[] = T("t%05d", "i8", "[1]", "%d", "1") ",";
    enum { DEEP = 100000, MANY = 20000 };
    char *text = malloc(MANY * (sizeof entry + 16)), *p = text;
    memset(text, '[', DEEP);
    text[DEEP] = 0;
    assert_header_refused(text, 0, "header at offset");
    p += sprintf(p, "{\"config\":{},\"tensors\":[");
    for (int i = 0; i < MANY; i++) p += sprintf(p, entry, i, 64 * i);
    memcpy(p - 1, "]}", 3);
    assert_header_refused(text, 64 * MANY, "more than");
    free(text);
}

/* Lengths in the prelude that point outside of the file. */
static void blzt5_hostile_lengths(void **state) {
    (void)state;
    size_t size;
    uint8_t *data = sample("blzt5", &size);
    const uint64_t max = UINT64_MAX;
    const uint64_t lengths[] = {0,        1,       32,  size,     size - 32,
                                1u << 25, max / 2, max, max - 31, max - 95};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memcpy(data + 8, &lengths[i], 8);
        assert_refused(data, size, true, lengths[i] == 32 ? "damaged" : "offset 8");
    }
    free(data);
}

/* ---- any format ---- */

static void rope_layouts(void **state) {
    (void)state;
    enum { ROWS = 12, COLS = 3, H = 2, HALF = ROWS / H / 2 };
    float in[ROWS * COLS], pairs[ROWS * COLS], back[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++) in[i] = (float)i;
    rope_to_pairs(pairs, in, ROWS, COLS, H);
    rope_to_halves(back, pairs, ROWS, COLS, H);
    assert_memory_equal(in, back, sizeof in);
    for (int h = 0; h < H; h++)
        for (int i = 0; i < HALF; i++) {
            const float *row = in + (h * 2 * HALF + i) * COLS;
            const float *even = pairs + (h * 2 * HALF + 2 * i) * COLS;
            assert_memory_equal(even, row, COLS * sizeof *row);
            assert_memory_equal(even + COLS, row + HALF * COLS, COLS * sizeof *row);
        }
    /* A tensor stored as pairs reads as halves, and BLZT v5 stores it as halves. */
    struct model_file a = {0}, b;
    char name[] = "q";
    struct mf_tensor t = {
        .name = name, .ndim = 2, .shape = {ROWS, COLS}, .data = pairs, .rope_heads = H};
    assert_int_equal(model_file_add(&a, &t, &e), 0);
    mf_tensor_read(&a.tensors[0], back);
    assert_memory_equal(in, back, sizeof in);
    a.config = strdup("{}");
    assert_int_equal(model_file_write(&a, "blzt5", at("a.blzt"), &e), 0);
    assert_int_equal(model_file_open(&b, at("a.blzt"), true, &e), 0);
    assert_int_equal(b.tensors[0].rope_heads, 0);
    assert_memory_equal(in, b.tensors[0].data, sizeof in);
    model_file_close(&a);
    model_file_close(&b);
}

static void refused_tensors(void **state) {
    (void)state;
    char ok[] = "w", empty[] = "", control[] = "a\x7f", not_utf8[] = "\xc3(", longest[257];
    memset(longest, 'x', 256);
    longest[256] = 0;
    const struct mf_tensor bad[] = {
        {.name = empty, .ndim = 1, .shape = {1}},
        {.name = control, .ndim = 1, .shape = {1}},
        {.name = not_utf8, .ndim = 1, .shape = {1}},
        {.name = longest, .ndim = 1, .shape = {1}},
        {.name = ok, .ndim = 0, .shape = {1}},
        {.name = ok, .ndim = 3, .shape = {1, 1}},
        {.name = ok, .ndim = 1, .shape = {0}},
        {.name = ok, .ndim = 2, .shape = {1, 0}},
        {.name = ok, .ndim = 2, .shape = {UINT64_MAX, 2}},
        {.name = ok, .ndim = 2, .shape = {1ull << 32, 1ull << 32}},
        {.name = ok, .ndim = 1, .shape = {1ull << 62}},
        {.name = ok, .ndim = 1, .shape = {6}, .rope_heads = 2}, /* heads of 3 rows */
        {.name = ok, .ndim = 1, .shape = {6}, .rope_heads = 5},
        {.name = ok, .ndim = 1, .shape = {6}, .rope_heads = -3},
        {.name = ok, .ndim = 1, .shape = {48}, .dtype = DT_Q8_0}, /* half a block */
        {.name = ok, .ndim = 2, .shape = {32, 48}, .dtype = DT_Q8_0},
        {.name = ok, .ndim = 1, .shape = {64}, .dtype = DT_Q8_0, .rope_heads = 2},
    };
    struct model_file mf = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(model_file_add(&mf, &bad[i], &e), ERR_INPUT);
    assert_int_equal(mf.n_tensors, 0);
    assert_null(model_file_find(&mf, ok));
    struct mf_tensor t = {.name = longest, .ndim = 1, .shape = {1}};
    for (int i = 0; i < 1000; i++) { /* through several sizes of the index */
        snprintf(longest, sizeof longest, "n%d", i);
        assert_int_equal(model_file_add(&mf, &t, &e), 0);
        assert_int_equal(model_file_add(&mf, &t, &e), ERR_INPUT);
    }
    assert_int_equal(model_file_find(&mf, "n999") - mf.tensors, 999);
    assert_int_equal(model_file_find(&mf, "n0") - mf.tensors, 0);
    assert_null(model_file_find(&mf, "n1000"));
    model_file_close(&mf);
}

static void unknown_files(void **state) {
    (void)state;
    static const char *const bytes[] = {"", "x\1", "GGML\3"},
                      *const texts[] = {"x", "{\"model_type\": \"llama\"}  ",
                                        "Once upon a time there was a file that was not a model."};
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        assert_refused(bytes[i], strlen(bytes[i]), false,
                       "blzt5, gguf, safetensors, blzt4, llama2c");
        assert_refused(bytes[i], strlen(bytes[i]), true, i ? "begins with" : "begins with nothing");
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_refused(texts[i], strlen(texts[i]), true, "not a model file: it is text");
    struct model_file mf;
    assert_int_equal(model_file_open(&mf, at("missing"), false, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "missing"));
}

/* The disk is full (or a limit reached) halfway: the old file stays, and nothing else is left. */
static void failed_write(void **state) {
    (void)state;
    struct model_file mf;
    struct rlimit old, low;
    size_t n, m;
    build(&mf, true, "");
    for (size_t f = 0; f < n_formats; f++) {
        const char *format = formats[f]->name;
        if (!formats[f]->probe || !formats[f]->write) continue;
        assert_int_equal(model_file_write(&mf, format, at("a.bin"), &e), 0);
        uint8_t *before = slurp(at("a.bin"), &n);
        for (size_t i = 0; i < sizeof pool / sizeof *pool; i++) pool[i] += 1;
        getrlimit(RLIMIT_FSIZE, &old);
        low = (struct rlimit){n / 2, old.rlim_max};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &low);
        int rc = model_file_write(&mf, format, at("a.bin"), &e);
        setrlimit(RLIMIT_FSIZE, &old);
        signal(SIGXFSZ, SIG_DFL);
        assert_int_equal(rc, ERR_IO);
        assert_non_null(strstr(e.msg, "a.bin"));
        uint8_t *after = slurp(at("a.bin"), &m);
        assert_int_equal(n, m);
        assert_memory_equal(before, after, n);
        free(before);
        free(after);
    }
    model_file_close(&mf);
}

static int rows_made;

static const void *made_row(void *ctx, uint64_t r, void *buf) {
    const struct mf_tensor *t = ctx;
    rows_made++;
    (void)buf;
    return (const float *)t->data + r * t->shape[1];
}

/* Hashes stand before the data, yet what is written is made, and looked through, once; twice for a
 * pipe, which gets the same bytes. */
static void blzt5_one_pass(void **state) {
    (void)state;
    struct model_file mf;
    size_t n, m = 0, total;
    build(&mf, true, "");
    struct mf_tensor *t = &mf.tensors[0], plain = *t;
    const int rows = (int)t->shape[0];
    assert_int_equal(model_file_write(&mf, "blzt5", at("b.bin"), &e), 0);
    uint8_t *want = slurp(at("b.bin"), &total);
    t->row = made_row;
    t->row_ctx = &plain;
    assert_int_equal(model_file_write(&mf, "blzt5", at("a.bin"), &e), 0);
    assert_int_equal(rows_made, rows);
    uint8_t *got = slurp(at("a.bin"), &n);
    assert_int_equal(n, total);
    assert_memory_equal(got, want, total);
    assert_int_equal(mkfifo(at("c.bin"), 0600), 0);
    const pid_t child = fork();
    if (!child) _exit(model_file_write(&mf, "blzt5", at("c.bin"), &e));
    const int fd = open(at("c.bin"), O_RDONLY);
    for (ssize_t k; m < total && (k = read(fd, got + m, total - m)) > 0;) m += (size_t)k;
    close(fd);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(m, total);
    assert_memory_equal(got, want, total);
    free(got);
    free(want);
    model_file_close(&mf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blzt5_round_trip),      cmocka_unit_test(blzt5_flipped_bits),
        cmocka_unit_test(blzt5_hostile_headers), cmocka_unit_test(blzt5_hostile_lengths),
        cmocka_unit_test(hash_of_what_is_written),
        cmocka_unit_test(cut_and_grown),         cmocka_unit_test(rope_layouts),
        cmocka_unit_test(refused_tensors),       cmocka_unit_test(unknown_files),
        cmocka_unit_test(failed_write),          cmocka_unit_test(blzt5_one_pass),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
