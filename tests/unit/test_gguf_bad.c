/* Damaged and hostile GGUF files: one sentence each, without a crash or a large allocation. */
#include "gguf_fixture.h"

#include <sys/resource.h>

/* Cut anywhere, or with a byte more. */
static void cut_and_grown(void **state) {
    (void)state;
    struct parts f;
    struct model_file mf;
    size_t size;
    small_file(&f);
    set_text(&f, "general.name", "x");
    set_array(&f, "x.y", STRING, 2, "ab\0c", 0);
    f.t[f.n_t] = (struct info){"rope_freqs.weight", 1, 0, {2}, f.data}; /* 8 bytes of 32 */
    f.n_t++;
    f.data += 32;
    uint8_t *data = render(&f, &size);
    for (size_t i = 0; i < 8; i++) data[size - 32 + i] = (uint8_t)(i % 4 == 3 ? 0x3f : 1);
    assert_ok(open_bytes(&mf, data, size, true));
    model_file_close(&mf);
    for (size_t n = 0; n < size; n++) {
        if (n + 24 != size) {
            assert_refused(data, n, false, "");
            continue;
        }
        assert_ok(open_bytes(&mf, data, n, true)); /* without the padding of the last */
        model_file_close(&mf);
    }
    data = realloc(data, size + 32);
    memset(data + size, 0, 32);
    assert_refused(data, size + 1, false, "its tensors end at");
    assert_refused(data, size + 32, false, "its tensors end at");
    free(data);
}

/* Every bit of everything but tensor data: accepted or refused, never more. */
static void flipped_bits(void **state) {
    (void)state;
    struct parts f;
    size_t size, refused = 0;
    small_file(&f);
    set_array(&f, "x.y", STRING, 2, "ab\0c", 0);
    uint8_t *data = render(&f, &size);
    for (size_t bit = 0; bit < 8 * (size - f.data); bit++) {
        struct model_file mf;
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (open_bytes(&mf, data, size, true)) {
            assert_int_equal(e.code, ERR_INPUT);
            refused++;
        } else {
            model_file_close(&mf);
        }
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(refused > 4 * (size - f.data)); /* most */
    free(data);
}

static void header(void **state) {
    (void)state;
    struct parts f;
    small_file(&f);
    const uint32_t versions[] = {0, 1, 4, 0x03000000, UINT32_MAX};
    const char *const said[] = {"is 0,", "is 1,", "is 4,", "big-endian", "is 4294967295"};
    for (size_t i = 0; i < 5; i++) {
        f.version = versions[i];
        assert_bad(&f, said[i]);
    }
    struct model_file mf;
    f.version = 2; /* the same layout */
    assert_ok(open_parts(&mf, &f));
    model_file_close(&mf);
    f.version = 3;
    const uint64_t counts[] = {
        1000,      16384, 16385, (uint64_t)1 << 32, (uint64_t)1 << 60, INT64_MAX, (uint64_t)1 << 63,
        UINT64_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        f.said_t = counts[i]; /* CVE-2024-21836 */
        assert_bad(&f, "");
        f.said_t = 0;
        f.said_kv = counts[i]; /* CVE-2024-23605 */
        assert_bad(&f, "");
        f.said_kv = 0;
    }
    f.said_kv = 65537;
    assert_bad(&f, "number of keys at offset 16 is 65537");
    f.said_kv = 0;
    f.said_t = UINT64_MAX;
    assert_bad(&f, "number of tensors at offset 8 is -1");
}

/* A value of each type whose length or type says what cannot be. */
static void pairs(void **state) {
    (void)state;
    struct parts f, g;
    small_file(&f);
    g = f;
    set_text(&g, "", "x"); /* PR#24263 */
    assert_bad(&g, "is empty");
    g = f;
    set_text(&g, "a\nb", "x");
    assert_bad(&g, "control character");
    g = f;
    set_text(&g, "a\xff", "x");
    assert_bad(&g, "key at offset");
    g = f;
    set_text(&g, "x", "a\xc0\x80");
    assert_bad(&g, "not UTF-8");
    static const char *const not_utf8[] = {"\x80",
                                           "\xc1\xbf",
                                           "\xe0\x9f\xbf",
                                           "\xed\xa0\x80",
                                           "\xf0\x8f\xbf\xbf",
                                           "\xf4\x90\x80\x80",
                                           "\xf5\x80\x80\x80",
                                           "\xe2\x82",
                                           "\xc3"};
    for (size_t i = 0; i < sizeof not_utf8 / sizeof *not_utf8; i++) {
        g = f;
        set_text(&g, "x", not_utf8[i]);
        assert_bad(&g, "key x at offset");
    }
    g = f; /* PR#19856: a key twice */
    set_u32(&g, "x", 1);
    set_u32(&g, "y", 1);
    pair_of(&g, "y")->key = "llama.block_count";
    assert_bad(&g, "key llama.block_count is there twice");
    const uint32_t types[] = {13, 255, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        g = f;
        set_raw(&g, "x", types[i], "\0\0\0\0", 4);
        assert_bad(&g, "value type");
    }
    g = f;
    set_bool(&g, "x", 2);
    assert_bad(&g, "expected 0 or 1");
}

static void lengths(void **state) {
    (void)state;
    struct parts f, g;
    small_file(&f);
    const uint64_t lengths[] = {UINT64_MAX, (uint64_t)1 << 63, ((uint64_t)1 << 30) + 1,
                                (uint64_t)1 << 30, 1 << 20};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        g = f; /* CVE-2024-23496 */
        set_raw(&g, "x", STRING, &lengths[i], 8);
        assert_bad(&g, "key x at offset");
        for (uint32_t item = 0; item < 13; item++) { /* CVE-2024-21825 and its like */
            uint8_t v[12];
            memcpy(v, &item, 4);
            memcpy(v + 4, &lengths[i], 8);
            g = f;
            set_raw(&g, "x", ARRAY, v, 12);
            assert_bad(&g, "key x");
        }
    }
    g = f;
    set_raw(&g, "x", ARRAY, "\x09\0\0\0\1\0\0\0\0\0\0\0", 12);
    assert_bad(&g, "holds arrays");
    g = f;
    set_array(&g, "x", BOOL, 3, "\0\1\2", 3);
    assert_bad(&g, "bool at offset");
    g = f;
    set_f32(&g, "x", NAN);
    assert_bad(&g, "key x at offset");
    g = f;
    set_raw(&g, "x", STRING, "\2\0\0\0\0\0\0\0a\0", 10);
    assert_bad(&g, "NUL");
}

static void settings(void **state) {
    (void)state;
    struct parts f, g;
    small_file(&f);
    const uint32_t alignments[] = {0, 1, 4, 24, 65537, 131072, 1u << 30, UINT32_MAX};
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        g = f;
        set_u32(&g, "general.alignment", alignments[i]);
        assert_bad(&g, "general.alignment");
    }
    g = f; /* PR#25596 */
    set_raw(&g, "general.alignment", STRING, "\2\0\0\0\0\0\0\0ab", 10);
    assert_bad(&g, "is of type string, expected u32");
    g = f;
    set_text(&g, "general.type", "mmproj");
    assert_bad(&g, "\"mmproj\"");
    g = f;
    set_text(&g, "general.architecture", "gemma3");
    assert_bad(&g, "\"gemma3\"");
    drop_key(&g, "general.architecture");
    assert_bad(&g, "general.architecture is missing");
    g = f;
    set_raw(&g, "split.count", U16, "\2\0", 2);
    assert_bad(&g, "split.count");
    g = f;
    set_u32(&g, "llama.attention.head_count_kv", 3);
    assert_bad(&g, "no multiple");
    static const char *const sizes[] = {"context_length",       "embedding_length",
                                        "block_count",          "feed_forward_length",
                                        "attention.head_count", "attention.layer_norm_rms_epsilon"};
    for (size_t i = 0; i < 6; i++) {
        char key[80];
        snprintf(key, sizeof key, "llama.%s", sizes[i]);
        g = f;
        drop_key(&g, key);
        assert_bad(&g, sizes[i]);
        g = f;
        set_array(&g, key, U32, 2, "\1\0\0\0\1\0\0\0", 8); /* more than there are layers */
        assert_bad(&g, strstr(key, "head_count") || strstr(key, "feed_forward")
                           ? "is a list of 2 u32"
                           : "is of type array");
        if (i == 5) continue;
        g = f;
        set_u32(&g, key, 0);
        assert_bad(&g, sizes[i]);
        set_u32(&g, key, UINT32_MAX);
        assert_bad(&g, sizes[i]);
    }
}

static void settings_of_models(void **state) {
    (void)state;
    struct parts f, g;
    small_file(&f);
    static const struct {
        const char *key;
        float v;
    } floats[] = {{"llama.attention.layer_norm_rms_epsilon", NAN},
                  {"llama.attention.layer_norm_rms_epsilon", -1},
                  {"llama.rope.freq_base", INFINITY},
                  {"llama.rope.scaling.factor", NAN},
                  {"llama.attention.scale", 0.5f},
                  {"llama.final_logit_softcapping", 30},
                  {"llama.unheard_of", 0}};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        g = f;
        set_f32(&g, floats[i].key, floats[i].v);
        assert_bad(&g, floats[i].key);
    }
    static const struct {
        const char *key;
        uint32_t v;
    } numbers[] = {{"llama.attention.key_length", 8},      {"llama.attention.value_length", 2},
                   {"llama.rope.dimension_count", 2},      {"llama.expert_count", 8},
                   {"llama.attention.sliding_window", 15}, {"llama.vocab_size", 4}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        g = f;
        set_u32(&g, numbers[i].key, numbers[i].v);
        assert_bad(&g, i == 0   ? numbers[1].key
                       : i == 5 ? "has 3 rows, expected 4"
                                : numbers[i].key);
    }
    g = f;
    set_text(&g, "llama.rope.scaling.type", "yarn");
    assert_bad(&g, "llama.rope.scaling.type");
    set_f32(&g, "llama.rope.scaling.factor", 2);
    assert_bad(&g, "llama.rope.scaling.type");
    set_f32(&g, "llama.rope.scaling.factor", 1);
    set_f32(&g, "llama.rope.scaling.attn_factor", 1.5f);
    assert_bad(&g, "llama.rope.scaling.attn_factor");
    g = f;
    set_bool(&g, "llama.attention.causal", 0);
    assert_bad(&g, "llama.attention.causal");
}

/* Known keys at values that change nothing. */
static void idle_settings(void **state) {
    (void)state;
    struct parts f;
    struct model_file mf;
    small_file(&f);
    set_u32(&f, "llama.expert_count", 0);
    set_bool(&f, "llama.attention.causal", 1);
    set_bool(&f, "llama.rope.scaling.finetuned", 0);
    set_u32(&f, "llama.attention.sliding_window", 16);
    set_f32(&f, "llama.logit_scale", 1);
    set_raw(&f, "llama.attention.clamp_kqv", I8, "\0", 1);
    set_raw(&f, "split.count", U16, "\1\0", 2);
    set_text(&f, "llama.tensor_data_layout", "Meta AI original pth");
    set_u32(&f, "llama.rope.scaling.original_context_length", 4);
    set_text(&f, "llama.rope.scaling.type", "none");
    set_f32(&f, "llama.rope.scaling.factor", 4);
    assert_ok(open_parts(&mf, &f));
    assert_null(strstr(mf.config, "rope_scaling"));
    model_file_close(&mf);
    set_text(&f, "llama.rope.scaling.type", "yarn"); /* by 1: none */
    set_f32(&f, "llama.rope.scaling.factor", 1);
    assert_ok(open_parts(&mf, &f));
    assert_null(strstr(mf.config, "rope_scaling"));
    model_file_close(&mf);
    set_f32(&f, "llama.rope.scaling.factor", 4);
    drop_key(&f, "llama.rope.scaling.type"); /* a factor alone is linear */
    assert_ok(open_parts(&mf, &f));
    assert_non_null(strstr(mf.config, "\"linear\""));
    model_file_close(&mf);
    drop_key(&f, "llama.rope.scaling.factor");
    set_f32(&f, "llama.rope.scale_linear", 8);
    assert_ok(open_parts(&mf, &f));
    assert_non_null(strstr(mf.config, "\"factor\":8.0"));
    model_file_close(&mf);
}

static void tensors(void **state) {
    (void)state;
    struct parts f, g;
    small_file(&f);
    const uint32_t n_dims[] = {0, 5, 1000, UINT32_MAX}; /* CVE-2024-21802 */
    for (size_t i = 0; i < 4; i++) {
        g = f;
        g.t[2].n_dims = n_dims[i];
        assert_bad(&g, "number of dimensions");
    }
    static const struct {
        uint64_t ne[4];
        const char *because;
    } shapes[] = {{{0, 8, 1, 1}, "gives no size"}, /* PR#25596 */
                  {{8, UINT64_MAX, 1, 1}, "is -1"},
                  {{INT64_MAX, 2, 1, 1}, "gives no size"}, /* PR#27203 */
                  {{(uint64_t)1 << 32, (uint64_t)1 << 32, 1, 1}, "gives no size"},
                  {{4611686018427387903u, 1, 1, 1}, "within the file"}, /* PR#24759 */
                  {{(uint64_t)1 << 62, 1, 1, 1}, "within the file"},    /* CVE-2026-33298 */
                  {{8, (uint64_t)1 << 40, 1, 1}, "within the file"},    /* CVE-2026-7482 */
                  {{8, 4, 2, 1}, "more than 2 dimensions"},
                  {{4, 8, 1, 2}, "more than 2 dimensions"}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        g = f;
        g.t[2].n_dims = 4;
        memcpy(g.t[2].ne, shapes[i].ne, sizeof shapes[i].ne);
        assert_bad(&g, shapes[i].because);
    }
    struct model_file mf;
    g = f; /* further dimensions of 1 mean nothing */
    g.t[2].n_dims = 4;
    memcpy(g.t[2].ne, (uint64_t[4]){8, 8, 1, 1}, 32);
    assert_ok(open_parts(&mf, &g));
    model_file_close(&mf);
}

static void infos(void **state) {
    (void)state;
    struct parts f, g;
    small_file(&f);
    static const struct {
        uint32_t type;
        const char *because;
    } types[] = {
        {4, "unknown"}, {9, "Q8_1"},           {16, "IQ2_XXS"},        {24, "I8"},
        {39, "MXFP4"},  {8, "blocks of Q8_0"}, {12, "blocks of Q4_K"}, {UINT32_MAX, "unknown"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        g = f;
        g.t[2].type = types[i].type;
        assert_bad(&g, types[i].because);
    }
    const uint64_t offsets[] = {0, 31, 96, 160, (uint64_t)1 << 40, UINT64_MAX};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        g = f;
        g.t[2].offset = offsets[i];
        assert_bad(&g, "expected 128");
    }
    static const char *const names[] = {"blk.1.attn_q.weight",
                                        "blk.00.attn_q.weight",
                                        "blk.0.attn_q.weigh",
                                        "blk.attn_q.weight",
                                        "blk.0.attn_q.weight.",
                                        "v.patch_embd.weight",
                                        "rope_freqs",
                                        "blk.0.attn_output.bias",
                                        "blk.0.ffn_gate_exps.weight",
                                        "blk.18446744073709551616.attn_q.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        g = f;
        g.t[2].name = names[i];
        assert_bad(&g, names[i]);
    }
    g = f;
    g.t[2].name = "";
    assert_bad(&g, "is empty");
    g.t[2].name = "a b";
    assert_bad(&g, "blank");
    g.t[2].name = "blk.0.attn_k.weight";
    assert_bad(&g, "twice");
    g.t[2].name = "a123456789012345678901234567890123456789012345678901234567890123";
    assert_bad(&g, "length of 64 bytes, at most 63");
}

static void rope_freqs(void **state) {
    (void)state;
    struct parts f, g;
    struct model_file mf;
    small_file(&f);
    add_info(&f, "rope_freqs.weight", 2, 0);
    assert_ok(open_parts(&mf, &f)); /* its bytes are 2 numbers near 0.5 */
    model_file_close(&mf);
    g = f;
    g.t[g.n_t - 1].ne[0] = 4;
    assert_bad(&g, "rope_freqs.weight");
    g = f;
    add_info(&g, "rope_freqs.weight", 2, 0);
    assert_bad(&g, "expected once");
    g = f;
    g.t[g.n_t - 1].type = 1;
    assert_bad(&g, "rope_freqs.weight");
    size_t size;
    uint8_t *data = render(&f, &size);
    memset(data + size - 32, 0, 4);
    assert_refused(data, size, false, "greater than 0");
    memset(data + size - 32, 0xff, 4);
    assert_refused(data, size, false, "greater than 0");
    free(data);
}

static void vocabularies(void **state) {
    (void)state;
    struct parts f, g;
    small_file(&f);
    g = f;
    drop_key(&g, "tokenizer.ggml.tokens");
    assert_left_out(&g, "tokens is missing");
    set_array(&g, "tokenizer.ggml.tokens", STRING, 0, "", 0);
    assert_left_out(&g, "tokens is empty");
    set_array(&g, "tokenizer.ggml.tokens", U8, 3, "abc", 3);
    assert_left_out(&g, "array of u8, expected string");
    set_array(&g, "tokenizer.ggml.tokens", STRING, 2, "a\0b", 0);
    assert_left_out(&g, "vocabulary of 3");
    set_array(&g, "tokenizer.ggml.tokens", STRING, 3, "a\0b\0a", 0);
    assert_left_out(&g, "token \"a\"");
    set_array(&g, "tokenizer.ggml.tokens", STRING, 3, "a\0\0[EMPTY_1]", 0);
    assert_left_out(&g, "token \"[EMPTY_1]\"");
    g = f; /* PR#26690 */
    set_array(&g, "tokenizer.ggml.scores", I8, 3, "\0\0\0", 3);
    assert_left_out(&g, "array of i8, expected f32");
    g = f;
    set_array(&g, "tokenizer.ggml.token_type", I8, 3, "\1\1\1", 3);
    assert_left_out(&g, "array of i8, expected i32");
    g = f;
    set_array(&g, "tokenizer.ggml.scores", F32, 2, "\0\0\0\0\0\0\0\0", 8);
    assert_left_out(&g, "has 2 values");
    set_array(&g, "tokenizer.ggml.scores", F32, 3, (float[]){0, NAN, 1}, 12);
    assert_left_out(&g, "score of token 1");
    const int32_t types[] = {7, -1};
    for (size_t i = 0; i < 2; i++) {
        g = f;
        set_array(&g, "tokenizer.ggml.token_type", I32, 3, (int32_t[]){1, 2, types[i]}, 12);
        assert_left_out(&g, "type of token 2");
    }
    g = f;
    set_raw(&g, "tokenizer.ggml.bos_token_id", I32, "\1\0\0\0", 4);
    assert_left_out(&g, "bos_token_id");
    g = f;
    set_u32(&g, "tokenizer.ggml.add_bos_token", 1);
    assert_left_out(&g, "is of type u32, expected bool");
    g = f;
    set_text(&g, "tokenizer.ggml.model", "gpt2");
    assert_left_out(&g, "merges is missing");
    set_array(&g, "tokenizer.ggml.merges", STRING, 0, "", 0);
    assert_left_out(&g, "merges is empty");
    static const char *const merges[] = {"", " ", "ab", "a ", " b", "a  b", "a b c", "  "};
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
        set_array(&g, "tokenizer.ggml.merges", STRING, 1, merges[i], 0);
        assert_left_out(&g, "merge 0 at offset");
    }
    set_array(&g, "tokenizer.ggml.merges", STRING, 1, "a b", 0);
    set_text(&g, "tokenizer.ggml.pre", "a name that is longer than any that is known");
    assert_left_out(&g, "tokenizer.ggml.pre");
    g.n_t = 0, g.data = 0; /* nothing but a vocabulary */
    assert_bad(&g, "tokenizer.ggml.pre");
}

/* The 65 bytes of PR#25596. */
static void known_poc(void **state) {
    (void)state;
    uint8_t poc[65] = {'G', 'G', 'U', 'F', 3, 0, 0, 0, 1};
    poc[24] = 1;
    poc[32] = 't';
    poc[33] = 2;
    poc[37] = 1;
    assert_refused(poc, sizeof poc, false, "general.architecture is missing");
}

/* Many keys and tokens with long beginnings in common take no longer than they are large. */
static void slow_inputs(void **state) {
    (void)state;
    enum { N = 60000, LONG = 40 };
    uint8_t *data = calloc(1, (size_t)N * (LONG + 24) + 64), *p = data + 24;
    const uint64_t n = N, length = LONG;
    memcpy(data, "GGUF\3\0\0\0", 8);
    memcpy(data + 16, &n, 8);
    for (int i = 0; i < N; i++) {
        memcpy(p, &length, 8);
        memset(p + 8, 'a', LONG);
        char digits[8];
        snprintf(digits, sizeof digits, "%06d", i);
        memcpy(p + 8 + LONG - 6, digits, 6);
        p += 8 + LONG;
        *p = U8;
        p += 5;
    }
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    assert_refused(data, (size_t)(p - data), false, "general.architecture is missing");
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_utime.tv_sec - before.ru_utime.tv_sec <= 2);
    assert_true(after.ru_maxrss - before.ru_maxrss < 64 << 10);
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_and_grown),
        cmocka_unit_test(flipped_bits),
        cmocka_unit_test(header),
        cmocka_unit_test(pairs),
        cmocka_unit_test(lengths),
        cmocka_unit_test(settings),
        cmocka_unit_test(settings_of_models),
        cmocka_unit_test(idle_settings),
        cmocka_unit_test(tensors),
        cmocka_unit_test(infos),
        cmocka_unit_test(rope_freqs),
        cmocka_unit_test(vocabularies),
        cmocka_unit_test(known_poc),
        cmocka_unit_test(slow_inputs),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
