/* Folders of Hugging Face's models as others write them: what is missing or wrong in them, indices
 * of shards, names of tensors, tied heads, rotary frequencies. */
#include "hf_fixture.h"

#include "hf.h"

#define T(name, dtype, shape, offsets)                                                             \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void folders(void **state) {
    (void)state;
    mkdir(at("f"), 0777);
    assert_folder_refused("f", "neither config.json nor adapter_config.json");
    put_text("f", "config.json", "{}");
    assert_folder_refused("f", "neither model.safetensors nor model.safetensors.index.json");
    put_text("f", "pytorch_model.bin", "PK");
    assert_folder_refused("f", "pytorch_model.bin, which is program code");
    put_weights("f", "model.safetensors", "{" T("model.x", "F32", "[1]", "[0,4]") "}", 4);
    struct model_file mf;
    assert_int_equal(model_file_open(&mf, at("f"), true, &e), 0);
    model_file_close(&mf);
    static const char *const configs[] = {
        "", "[]", "{", "{} x", "{\"a\":1,\"a\":2}", "{\"a\":\"\xff\"}"};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        put_text("f", "config.json", configs[i]);
        assert_folder_refused("f", "/config.json: JSON at offset");
    }
    put_text("f", "config.json", "{\"a\":1e-05,\"b\":{\"c\":[1,2.0]},\"d\":0.1}");
    assert_int_equal(model_file_open(&mf, at("f"), true, &e), 0);
    assert_same_json(mf.config, "{\"a\":1e-05,\"b\":{\"c\":[1,2.0]},\"d\":0.1}");
    model_file_close(&mf);
    put_weights("f", "model.safetensors", "{" T("model.x", "F32", "[1]", "[0,4]") "}", 5);
    assert_folder_refused("f", "f/model.safetensors: 1 bytes follow");
    /* Weights go before an adapter, an adapter before a config without weights. */
    put_text("f", "adapter_config.json", "{}");
    assert_folder_refused("f", "f/model.safetensors: 1 bytes follow");
    remove(in("f", "model.safetensors"));
    assert_folder_refused("f", "adapter_model.safetensors");
}

static void indices(void **state) {
    (void)state;
    static const struct {
        const char *index, *because;
    } cases[] = {
        {"", "index.json: JSON at offset"},
        {"{}", "weight_map is missing"},
        {"{\"weight_map\":{}}", "weight_map is missing, empty"},
        {"{\"weight_map\":{\"model.a\":1}}", "expected the name of a file"},
        {"{\"weight_map\":{\"model.a\":\"../x\"}}", "expected the name of a file"},
        {"{\"weight_map\":{\"model.a\":\"..\"}}", "expected the name of a file"},
        {"{\"weight_map\":{\"model.a\":\"/etc/passwd\"}}", "expected the name of a file"},
        {"{\"weight_map\":{\"model.a\":\"\"}}", "expected the name of a file"},
        {"{\"weight_map\":{\"model.a\":\"1\",\"model.a\":\"2\"}}", "duplicate"},
        {"{\"weight_map\":{\"model.a\":\"1\"}}", "/2"},
        {"{\"weight_map\":{\"model.a\":\"1\",\"model.b\":\"1\"}}", "model.b is not in 1"},
        {"{\"weight_map\":{\"model.a\":\"2\",\"model.b\":\"2\"}}", "model.a is not in 2"},
        {"{\"weight_map\":{\"model.b\":\"1\",\"model.a\":\"2\"}}",
         "tensor model.a: model.safetensors.index.json says that it is in \"2\""},
        {"{\"weight_map\":{\"model.a\":\"1\",\"model.b\":\"2\",\"model.c\":\"2\"}}",
         "model.c is not in 2"},
        {"{\"weight_map\":{\"model.a\":\"1\",\"model.b\":\"3\"}}", "/1"},
    };
    put_text("i", "config.json", "{}");
    put_weights("i", "1", "{" T("model.a", "F32", "[1]", "[0,4]") "}", 4);
    put_weights("i", "2", "{" T("model.b", "F32", "[1]", "[0,4]") "}", 4);
    put_weights("i", "3", "{" T("model.a", "F32", "[1]", "[0,4]") "}", 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text("i", "model.safetensors.index.json", cases[i].index);
        if (strcmp(cases[i].because, "/1") && strcmp(cases[i].because, "/2"))
            assert_folder_refused("i", cases[i].because);
    }
    struct model_file mf;
    put_text("i", "model.safetensors.index.json",
             "{\"weight_map\":{\"model.a\":\"1\",\"model.b\":\"3\"}}");
    assert_folder_refused("i", "i/3: tensor model.a is there twice");
    /* What else the index says decides nothing. */
    static const char *const metadata[] = {
        "", "\"metadata\":null,", "\"metadata\":[],", "\"metadata\":{},", "\"metadata\":\"x\",",
        "\"metadata\":{\"total_size\":99},", "\"metadata\":{\"total_size\":\"8\"},",
        "\"metadata\":{\"total_size\":99999999999999999999999},"};
    for (size_t i = 0; i < sizeof metadata / sizeof *metadata; i++) {
        char text[160];
        snprintf(text, sizeof text, "{%s\"weight_map\":{\"model.b\":\"2\",\"model.a\":\"1\"}}",
                 metadata[i]);
        put_text("i", "model.safetensors.index.json", text);
        if (model_file_open(&mf, at("i"), true, &e)) fail_msg("%s: %s", metadata[i], e.msg);
        assert_int_equal(mf.n_tensors, 2);
        model_file_close(&mf);
    }
    /* A shard that is not there, or no safetensors. */
    remove(in("i", "2"));
    assert_int_equal(model_file_open(&mf, at("i"), true, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "i/2"));
    put_text("i", "2", "");
    assert_folder_refused("i", "i/2: file has 0 bytes");
}

/* Opens a model of this config and header in memory; the code of the failure. */
static int take(struct model_file *mf, const char *config_text, const char *header,
                const void *data, size_t bytes) {
    size_t n;
    uint8_t *file = weights_file(header, bytes, &n);
    memcpy(file + n - bytes, data, bytes);
    mkdir(at("t"), 0777);
    put(in("t", "model.safetensors"), file, n);
    put_text("t", "config.json", config_text);
    free(file);
    return model_file_open(mf, at("t"), true, &e);
}

static void prefixes(void **state) {
    (void)state;
    struct model_file mf;
    const float x[3] = {1, 2, 3};
    assert_int_equal(
        take(&mf, "{}",
             "{" T("embed_tokens.weight", "F32", "[1]", "[0,4]") "," T(
                 "lm_head.weight", "F32", "[1]", "[4,8]") "," T("layers.0.mlp.up_proj.weight",
                                                                "F32", "[1]", "[8,12]") "}",
             x, 12),
        0);
    assert_non_null(model_file_find(&mf, "model.embed_tokens.weight"));
    assert_non_null(model_file_find(&mf, "model.layers.0.mlp.up_proj.weight"));
    assert_non_null(model_file_find(&mf, "lm_head.weight"));
    model_file_close(&mf);
    /* With one name that has it, others are what they are. */
    assert_int_equal(take(&mf, "{}",
                          "{" T("embed_tokens.weight", "F32", "[1]",
                                "[0,4]") "," T("model.norm.weight", "F32", "[1]", "[4,8]") "}",
                          x, 8),
                     0);
    assert_non_null(model_file_find(&mf, "embed_tokens.weight"));
    model_file_close(&mf);
}

static void tied_heads(void **state) {
    (void)state;
    static const char header[] = "{" T("model.embed_tokens.weight", "F32", "[2]",
                                       "[0,8]") "," T("lm_head.weight", "F32", "[2]", "[8,16]") "}";
    static const char bare[] = "{" T("embed_tokens.weight", "F32", "[2]",
                                     "[0,8]") "," T("lm_head.weight", "F32", "[2]", "[8,16]") "}";
    static const char shape[] = "{" T("model.embed_tokens.weight", "F32", "[2]", "[0,8]") "," T(
        "lm_head.weight", "F32", "[2,1]", "[8,16]") "}";
    struct model_file mf;
    const float same[4] = {1, 2, 1, 2}, other[4] = {1, 2, 1, 3};
    assert_int_equal(take(&mf, "{\"tie_word_embeddings\":true}", header, same, 16), 0);
    assert_int_equal(mf.n_tensors, 1);
    model_file_close(&mf);
    assert_int_equal(take(&mf, "{\"tie_word_embeddings\":true}", bare, same, 16), 0);
    assert_int_equal(mf.n_tensors, 1);
    model_file_close(&mf);
    assert_int_equal(take(&mf, "{\"tie_word_embeddings\":true}", shape, same, 16), ERR_INPUT);
    assert_int_equal(take(&mf, "{\"tie_word_embeddings\":true}", header, other, 16), ERR_INPUT);
    assert_non_null(strstr(e.msg, "lm_head.weight differs from the embedding"));
    assert_int_equal(take(&mf, "{\"tie_word_embeddings\":false}", header, same, 16), 0);
    assert_int_equal(mf.n_tensors, 2);
    model_file_close(&mf);
    assert_int_equal(take(&mf, "{}", header, other, 16), 0);
    assert_int_equal(mf.n_tensors, 2);
    model_file_close(&mf);
}

static void frequencies(void **state) {
    (void)state;
#define F(dtype, shape, offsets)                                                                   \
    "{" T("model.layers.0.self_attn.rotary_emb.inv_freq", dtype, shape, offsets) "}"
    static const char cfg[] = "{\"hidden_size\":16,\"num_attention_heads\":2}";
    static const char cfg5[] = "{\"head_dim\":8,\"rope_parameters\":{\"rope_theta\":500000.0}}";
    static const char cfg_theta[] = "{\"head_dim\":8,\"rope_theta\":500000.0}";
    float f[4], g[4];
    uint16_t h[4], b[4];
    struct model_file mf;
    for (int i = 0; i < 4; i++) {
        f[i] = powf(10000, -(float)i / 4);
        g[i] = powf(500000, -(float)i / 4);
    }
    dtype_from_f32(DT_F16, g, h, 4);
    dtype_from_f32(DT_BF16, g, b, 4);
    assert_int_equal(take(&mf, cfg, F("F32", "[4]", "[0,16]"), f, 16), 0);
    assert_int_equal(mf.n_tensors, 0);
    model_file_close(&mf);
    const struct {
        const char *config, *header;
        const void *data;
        size_t bytes;
        int rc;
    } cases[] = {
        {cfg5, F("F32", "[4]", "[0,16]"), g, 16, 0},
        {cfg_theta, F("F16", "[4]", "[0,8]"), h, 8, 0},
        {cfg_theta, F("BF16", "[4]", "[0,8]"), b, 8, 0},
        {cfg_theta, F("F32", "[4]", "[0,16]"), f, 16, ERR_INPUT},
        {cfg, F("F32", "[4]", "[0,16]"), g, 16, ERR_INPUT},
        {cfg, F("F32", "[3]", "[0,12]"), f, 12, ERR_INPUT},
        {cfg, F("F32", "[1,4]", "[0,16]"), f, 16, ERR_INPUT},
        {"{}", F("F32", "[4]", "[0,16]"), f, 16, ERR_INPUT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int rc = take(&mf, cases[i].config, cases[i].header, cases[i].data, cases[i].bytes);
        if (rc != cases[i].rc) fail_msg("case %zu: %d, %s", i, rc, rc ? e.msg : "");
        if (rc) assert_non_null(strstr(e.msg, "rotary_emb.inv_freq is not what rope_theta"));
        model_file_close(&mf);
    }
    f[3] *= 1 + 3e-5f;
    assert_int_equal(take(&mf, cfg, F("F32", "[4]", "[0,16]"), f, 16), ERR_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders),    cmocka_unit_test(indices),     cmocka_unit_test(prefixes),
        cmocka_unit_test(tied_heads), cmocka_unit_test(frequencies),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_all);
}
