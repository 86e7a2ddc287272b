/* Adapters of PEFT: names, ranks and scales of single modules, what is refused, and the
 * way back. */
#include "data.h"
#include "hf_fixture.h"

#define P "base_model.model.model.layers."
#define OURS "model.layers."
#define T(name, shape, offsets)                                                                    \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define QV                                                                                         \
    "{" T(P "0.self_attn.q_proj.lora_A.weight", "[2,3]", "[0,24]") "," T(                          \
        P "0.self_attn.q_proj.lora_B.weight", "[4,2]",                                             \
        "[24,56]") "," T(P "1.mlp.up_proj.lora_A.weight", "[1,3]",                                 \
                         "[56,68]") "," T(P "1.mlp.up_proj.lora_B.weight", "[5,1]", "[68,88]") "}"
enum { QV_BYTES = 88 };
#define C "\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":8"
#define UP "\"rank_pattern\":{\"up_proj\":1}"

static int take(struct model_file *mf, const char *cfg, const char *header, size_t bytes) {
    put_weights("p", "adapter_model.safetensors", header, bytes);
    put_text("p", "adapter_config.json", cfg);
    e = (struct err){0};
    return model_file_open(mf, at("p"), true, &e);
}

static void refused(const char *cfg, const char *header, size_t bytes, const char *because) {
    struct model_file mf;
    const int rc = take(&mf, cfg, header, bytes);
    if (rc != ERR_INPUT || !strstr(e.msg, because))
        fail_msg("%s: expected \"%s\", got %d and \"%s\"", cfg, because, rc, rc ? e.msg : "");
}

static void assert_key(const struct model_file *mf, const char *key, const char *json) {
    json_t *root = parsed(mf->config),
           *o = json_object_get(json_object_get(root, "duet_adapter"), key);
    json_error_t je;
    json_t *want = json_loads(json, JSON_DECODE_ANY, &je);
    if (!json_equal(o, want)) fail_msg("%s is not %s in %s", key, json, mf->config);
    json_decref(want);
    json_decref(root);
}

static void reads(void **state) {
    (void)state;
    struct model_file mf;
    assert_int_equal(take(&mf,
                          "{" C "," UP ",\"revision\":\"x\",\"base_model_name_or_path\":\"a/b\"}",
                          QV, QV_BYTES),
                     0);
    assert_string_equal(mf.format->name, "peft");
    assert_int_equal(mf.n_tensors, 4);
    assert_key(&mf, "version", "1");
    assert_key(&mf, "rank", "2");
    assert_key(&mf, "alpha", "8.0");
    assert_key(&mf, "rslora", "false");
    assert_key(&mf, "targets", "\"q,up\"");
    assert_key(&mf, "init", "\"peft\"");
    assert_key(&mf, "norms", "false");
    json_t *root = parsed(mf.config);
    assert_null(json_object_get(json_object_get(root, "duet_adapter"), "base_hash"));
    assert_string_equal(json_string_value(json_object_get(root, "base_model_name_or_path")), "a/b");
    json_t *kept = json_object_get(json_object_get(root, "duet"), "peft");
    assert_string_equal(json_string_value(json_object_get(kept, "revision")), "x");
    json_decref(root);
    const struct mf_tensor *a = model_file_find(&mf, OURS "0.self_attn.q_proj.lora_A.weight");
    const struct mf_tensor *b = model_file_find(&mf, OURS "1.mlp.up_proj.lora_B.weight");
    assert_true(a && a->shape[0] == 2 && a->shape[1] == 3 && a->factor == 0);
    /* The module's scale is 8/1, that of the largest rank 8/2. */
    assert_true(b && b->shape[0] == 5 && b->shape[1] == 1 && b->factor == 2);
    assert_true(model_file_find(&mf, OURS "1.mlp.up_proj.lora_A.weight")->factor == 0);
    assert_true(model_file_find(&mf, OURS "0.self_attn.q_proj.lora_B.weight")->factor == 0);
    model_file_close(&mf);
    /* The single file with its config beside it is the same. */
    assert_int_equal(model_file_open(&mf, in("p", "adapter_model.safetensors"), true, &e), 0);
    assert_string_equal(mf.format->name, "safetensors");
    assert_key(&mf, "targets", "\"q,up\"");
    model_file_close(&mf);
}

/* What PEFT computes with, for every module: alpha / r, or alpha / sqrt(r). */
static void patterns(void **state) {
    (void)state;
    static const struct {
        const char *config;
        double q, up; /* scale of each */
    } cases[] = {
        {UP, 4, 8},
        {"\"rank_pattern\":{\"model.layers.1.mlp.up_proj\":1}", 4, 8},
        {"\"rank_pattern\":{\"^model.layers.1.mlp.up_proj\":1}", 4, 8},
        {"\"rank_pattern\":{\"model\\\\.layers\\\\.1\\\\.mlp\\\\.up_proj\":1}", 4, 8},
        {"\"rank_pattern\":{\"layers.1.mlp.up_proj\":1,\"up_proj\":7}", 4, 8},
        {"\"rank_pattern\":{\"q_proj\":2,\"p_proj\":7,\"^up_proj\":7,\"1.mlp.up_proj\":1}", 4, 8},
        {"\"rank_pattern\":{\"1.mlp.up.proj\":1}", 4, 8}, /* a dot is any character */
        {UP ",\"alpha_pattern\":{\"up_proj\":1}", 4, 1},
        {UP ",\"alpha_pattern\":{\"q_proj\":0.5}", 0.25, 8},
        {UP ",\"alpha_pattern\":{\"0.self_attn.q_proj\":16,\"q_proj\":1,\"mlp.up_proj\":4.5}", 8,
         4.5},
        {UP ",\"use_rslora\":true", 8 / 1.4142135623730951, 8},
        {UP ",\"use_rslora\":true,\"alpha_pattern\":{\"up_proj\":3}", 8 / 1.4142135623730951, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_file mf;
        char text[400];
        snprintf(text, sizeof text, "{" C ",%s}", cases[i].config);
        if (take(&mf, text, QV, QV_BYTES)) fail_msg("%s: %s", text, e.msg);
        const bool rs = strstr(text, "rslora") != NULL;
        const double common = 8 / (rs ? sqrt(2) : 2);
        const struct mf_tensor *q = model_file_find(&mf, OURS "0.self_attn.q_proj.lora_B.weight");
        const struct mf_tensor *u = model_file_find(&mf, OURS "1.mlp.up_proj.lora_B.weight");
        const double x = common * (q->factor != 0 ? q->factor : 1);
        const double y = common * (u->factor != 0 ? u->factor : 1);
        if (fabs(x - cases[i].q) > 1e-12 || fabs(y - cases[i].up) > 1e-12)
            fail_msg("%s: scales %g and %g", text, x, y);
        assert_key(&mf, "rslora", rs ? "true" : "false");
        model_file_close(&mf);
    }
}

static const struct {
    const char *config, *because;
} bad_configs[] = {
    {"", "JSON at offset"},
    {"[]", "not an object"},
    {"{\"r\":2,\"r\":2}", "duplicate"},
    {"{}", "\"peft_type\" is not \"LORA\""},
    {"{\"peft_type\":\"IA3\",\"r\":2,\"lora_alpha\":8}", "peft_type"},
    {"{\"peft_type\":\"LORA\",\"lora_alpha\":8}", "\"r\" is missing"},
    {"{\"peft_type\":\"LORA\",\"r\":0,\"lora_alpha\":8}", "\"r\" is missing or not"},
    {"{\"peft_type\":\"LORA\",\"r\":2.0,\"lora_alpha\":8}", "\"r\" is missing or not"},
    {"{\"peft_type\":\"LORA\",\"r\":4294967298,\"lora_alpha\":8}", "\"r\" is missing or not"},
    {"{\"peft_type\":\"LORA\",\"r\":2}", "\"lora_alpha\""},
    {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":0}", "\"lora_alpha\""},
    {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":-8}", "\"lora_alpha\""},
    {"{" C ",\"use_dora\":true}", "\"use_dora\""},
    {"{" C ",\"bias\":\"all\"}", "\"bias\""},
    {"{" C ",\"bias\":\"lora_only\"}", "\"bias\""},
    {"{" C ",\"fan_in_fan_out\":true}", "\"fan_in_fan_out\""},
    {"{" C ",\"lora_bias\":true}", "\"lora_bias\""},
    {"{" C ",\"use_qalora\":true}", "\"use_qalora\""},
    {"{" C ",\"alora_invocation_tokens\":[1]}", "\"alora_invocation_tokens\""},
    {"{" C ",\"layer_replication\":[[0,2]]}", "\"layer_replication\""},
    {"{" C ",\"trainable_token_indices\":[0]}", "\"trainable_token_indices\""},
    {"{" C ",\"target_parameters\":[\"x\"]}", "\"target_parameters\""},
    {"{" C ",\"kasa_config\":{\"beta\":0.0001}}", "\"kasa_config\""},
    {"{" C ",\"monteclora_config\":{\"num_samples\":4}}", "\"monteclora_config\""},
    {"{" C ",\"megatron_config\":{\"a\":1}}", "\"megatron_config\""},
    {"{" C ",\"init_lora_weights\":\"pissa_niter_4\"}", "\"init_lora_weights\""},
    {"{" C ",\"init_lora_weights\":\"olora\"}", "changes the weights of the base"},
    {"{" C ",\"modules_to_save\":[\"lm_head\"]}", "\"modules_to_save\" has \"lm_head\""},
    {"{" C ",\"modules_to_save\":[\"embed_tokens\"]}", "embed_tokens"},
    {"{" C ",\"modules_to_save\":[3]}", "not text"},
    {"{" C ",\"modules_to_save\":\"norm\"}", "not a list"},
    {"{" C "," UP ",\"modules_to_save\":[\"norm\"]}", "no tensor of one"},
    {"{" C ",\"use_rslora\":1}", "\"use_rslora\""},
    {"{" C ",\"target_modules\":3}", "\"target_modules\""},
    {"{" C ",\"target_modules\":[3]}", "\"target_modules\""},
    {"{" C ",\"rank_pattern\":[1]}", "\"rank_pattern\" is not an object"},
    {"{" C ",\"rank_pattern\":{\"up_proj\":0}}", "not a whole number above 0"},
    {"{" C ",\"rank_pattern\":{\"up_proj\":1.0}}", "not a whole number above 0"},
    {"{" C ",\"alpha_pattern\":{\"up_proj\":0}}", "not a number above 0"},
    {"{" C ",\"alpha_pattern\":{\"up_proj\":\"1\"}}", "not a number above 0"},
    {"{" C ",\"rank_pattern\":{\".*up_proj\":1}}", "is a regular expression"},
    {"{" C ",\"rank_pattern\":{\"(up|down)_proj\":1}}", "is a regular expression"},
    {"{" C ",\"rank_pattern\":{\"layers.[01]\":1}}", "is a regular expression"},
    {"{" C ",\"rank_pattern\":{\"layers.\\\\d.mlp\":1}}", "is a regular expression"},
    {"{" C ",\"rank_pattern\":{\"up_proj$\":1}}", "is a regular expression"},
    {"{" C ",\"rank_pattern\":{\"\":1}}", "is a regular expression"},
    {"{" C ",\"rank_pattern\":{\"up^\":1}}", "is a regular expression"},
    {"{" C "}", "1.mlp.up_proj.lora_A.weight has rank 1, but adapter_config.json says 2"},
    {"{" C ",\"rank_pattern\":{\"q_proj\":1,\"up_proj\":1}}", "has rank 2, but"},
    {"{" C ",\"rank_pattern\":{\"^mlp.up_proj\":1}}", "has rank 1, but"},
    {"{" C ",\"rank_pattern\":{\"p_proj\":1}}", "has rank 1, but"},
};

static void configs(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_configs / sizeof *bad_configs; i++)
        refused(bad_configs[i].config, QV, QV_BYTES, bad_configs[i].because);
    static const char *const fine[] = {",\"init_lora_weights\":\"gaussian\"",
                                       ",\"init_lora_weights\":true",
                                       ",\"target_modules\":\"all-linear\"",
                                       ",\"target_modules\":[\"q_proj\"]",
                                       ",\"modules_to_save\":[]",
                                       ",\"bias\":\"none\",\"use_dora\":false",
                                       ",\"layer_replication\":null",
                                       ",\"alpha_pattern\":{},\"lora_dropout\":0.05"};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        struct model_file mf;
        char text[300];
        snprintf(text, sizeof text, "{" C "," UP "%s}", fine[i]);
        if (take(&mf, text, QV, QV_BYTES)) fail_msg("%s: %s", text, e.msg);
        model_file_close(&mf);
    }
}

static void tensors(void **state) {
    (void)state;
#define ONE(name, shape) "{" T(name, shape, "[0,24]") "}"
#define TWO(a, sa, b, sb) "{" T(a, sa, "[0,24]") "," T(b, sb, "[24,48]") "}"
    static const struct {
        const char *header;
        size_t bytes;
        const char *because;
    } cases[] = {
        {"{}", 0, "no tensors of LoRA"},
        {ONE(P "0.self_attn.q_proj.lora_A.weight", "[2,3]"), 24, "has no lora_B"},
        {ONE(P "0.self_attn.q_proj.lora_B.weight", "[3,2]"), 24, "has no lora_A"},
        {ONE(P "0.self_attn.q_proj.lora_A.weight", "[6]"), 24, "does not have 2 dimensions"},
        {TWO(P "0.self_attn.q_proj.lora_A.weight", "[2,3]", P "0.self_attn.q_proj.lora_B.weight",
             "[2,3]"),
         48, "has rank 2, but"},
        {TWO(P "0.self_attn.q_proj.lora_A.weight", "[3,2]", P "0.self_attn.q_proj.lora_B.weight",
             "[2,3]"),
         48, "has rank 3, but adapter_config.json says 2"},
        {ONE(OURS "0.self_attn.q_proj.lora_A.weight", "[2,3]"), 24, "is not one that duet knows"},
        {ONE(P "0.self_attn.qkv_proj.lora_A.weight", "[2,3]"), 24, "qkv_proj.lora_A.weight is not"},
        {ONE(P "0.mlp.q_proj.lora_A.weight", "[2,3]"), 24, "is not one that duet knows"},
        {ONE(P "01.self_attn.q_proj.lora_A.weight", "[2,3]"), 24, "is not one that duet knows"},
        {ONE(P "x.self_attn.q_proj.lora_A.weight", "[2,3]"), 24, "is not one that duet knows"},
        {ONE(P "0.self_attn.q_proj.lora_A.bias", "[2,3]"), 24, "is not one that duet knows"},
        {ONE(P "0.self_attn.q_proj.lora_magnitude_vector", "[6]"), 24, "is not one that duet"},
        {ONE(P "0.self_attn.q_proj.weight", "[2,3]"), 24, "is not one that duet knows"},
        {ONE("base_model.model.lm_head.lora_A.weight", "[2,3]"), 24,
         "lm_head.lora_A.weight is not"},
        {ONE("base_model.model.model.embed_tokens.lora_embedding_A", "[2,3]"), 24, "is not one"},
        {ONE(P "0.input_layernorm.weight", "[6]"), 24, "is a norm, but modules_to_save names none"},
        {ONE(P "0.input_layernorm.lora_A.weight", "[2,3]"), 24, "is not one that duet knows"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused("{" C "}", cases[i].header, cases[i].bytes, cases[i].because);
    refused("{" C ",\"modules_to_save\":[\"norm\"]}",
            ONE("base_model.model.model.norm.weight", "[6]"), 24, "no tensors of LoRA");
    remove(in("p", "adapter_model.safetensors"));
    assert_folder_refused("p", "adapter_model.safetensors is not in this folder");
    put_text("p", "adapter_model.bin", "PK");
    assert_folder_refused("p", "adapter_model.bin, which is program code");
}

/* ---- writing ---- */

static json_t *written_config(const char *folder) {
    size_t n;
    uint8_t *text = slurp(in(folder, "adapter_config.json"), &n);
    text[n] = 0;
    json_t *j = parsed((char *)text);
    free(text);
    return j;
}

static void assert_written(const char *folder, const char *key, const char *json) {
    json_t *j = written_config(folder), *v = json_object_get(j, key);
    json_error_t je;
    json_t *want = json_loads(json, JSON_DECODE_ANY, &je);
    if (!v || !json_equal(v, want)) fail_msg("%s is not %s", key, json);
    json_decref(want);
    json_decref(j);
}

/* The numbers of a tensor, times its scale. */
static void effective(const struct model_file *mf, const char *name, float *x) {
    const struct mf_tensor *t = model_file_find(mf, name);
    assert_non_null(t);
    mf_tensor_read(t, x);
}

static void round_trip(void **state) {
    (void)state;
    struct model_file a, b;
    assert_int_equal(take(&a,
                          "{" C "," UP ",\"alpha_pattern\":{\"up_proj\":2.5},\"revision\":\"x\","
                          "\"lora_dropout\":0.25,\"task_type\":\"SEQ_2_SEQ_LM\","
                          "\"target_modules\":\".*proj\",\"exclude_modules\":[\"v_proj\"],"
                          "\"layers_to_transform\":[0],\"base_model_name_or_path\":\"a/b\"}",
                          QV, QV_BYTES),
                     0);
    assert_int_equal(model_file_write(&a, "peft", at("q"), &e), 0);
    assert_int_equal(model_file_open(&b, at("q"), true, &e), 0);
    assert_string_equal(b.format->name, "peft");
    assert_int_equal(b.n_tensors, 4);
    for (size_t i = 0; i < 4; i++) {
        float x[8], y[8];
        const struct mf_tensor *s = a.tensors + i, *t = model_file_find(&b, s->name);
        assert_memory_equal(s->shape, t->shape, sizeof s->shape);
        effective(&a, s->name, x);
        effective(&b, s->name, y);
        assert_memory_equal(x, y, mf_tensor_count(s) * sizeof *x);
        assert_true(t->factor == 0); /* it went into the numbers */
    }
    assert_key(&b, "rank", "2");
    assert_key(&b, "alpha", "8.0");
    assert_key(&b, "targets", "\"q,up\"");
    assert_written("q", "rank_pattern", "{\"model.layers.1.mlp.up_proj\":1}");
    assert_written("q", "alpha_pattern", "{\"model.layers.1.mlp.up_proj\":4}");
    assert_written("q", "target_modules", "[\"q_proj\",\"up_proj\"]");
    assert_written("q", "lora_alpha", "8");
    assert_written("q", "revision", "\"x\"");
    assert_written("q", "lora_dropout", "0.25");
    assert_written("q", "task_type", "\"SEQ_2_SEQ_LM\"");
    assert_written("q", "base_model_name_or_path", "\"a/b\"");
    assert_written("q", "layers_to_transform", "null");
    json_t *j = written_config("q");
    assert_null(json_object_get(j, "exclude_modules"));
    json_decref(j);
    assert_int_equal(model_file_write(&b, "peft", at("q"), &e), ERR_INPUT);
    /* Once more: nothing changes. */
    assert_int_equal(model_file_write(&b, "peft", at("q2"), &e), 0);
    size_t n, m;
    uint8_t *x = slurp(in("q", "adapter_model.safetensors"), &n);
    uint8_t *y = slurp(in("q2", "adapter_model.safetensors"), &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
    model_file_close(&a);
    model_file_close(&b);
}

static void add_values(struct model_file *mf, const char *name, uint64_t rows, uint64_t cols) {
    char copy[100];
    static float values[16] = {1, -2, 3.5f, -0.0f, 1e-42f, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    snprintf(copy, sizeof copy, "%s", name);
    const struct mf_tensor t = {
        .name = copy, .dtype = DT_F32, .ndim = cols ? 2 : 1, .shape = {rows, cols}, .data = values};
    assert_int_equal(model_file_add(mf, &t, &e), 0);
}

/* An adapter as duet trains it, with norms. */
static void build_adapter(struct model_file *mf, bool norms) {
    static const char *const all[] = {"input_layernorm", "post_attention_layernorm",
                                      "self_attn.q_norm", "self_attn.k_norm"};
    char name[100];
    *mf = (struct model_file){.archs = &arch_parts};
    for (int l = 0; l < 2; l++) {
        for (size_t i = 0; i < 4 && norms; i++) {
            snprintf(name, sizeof name, OURS "%d.%s.weight", l, all[i]);
            add_values(mf, name, 4, 0);
        }
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof name, OURS "%d.%s.lora_A.weight", l,
                     i ? "mlp.down_proj" : "self_attn.v_proj");
            add_values(mf, name, 2, 3);
            *strstr(name, "lora_A") = 0;
            strcat(name, "lora_B.weight");
            add_values(mf, name, 4, 2);
        }
    }
    if (norms) add_values(mf, "model.norm.weight", 4, 0);
    mf->config = malloc(300);
    snprintf(mf->config, 300,
             "{\"duet_adapter\":{\"version\":1,\"base_hash\":\"0123456789abcdef\",\"rank\":2,"
             "\"alpha\":3.5,\"rslora\":true,\"targets\":\"v,down\",\"init\":\"uniform\","
             "\"norms\":%s},\"model_type\":\"qwen3\",\"hidden_size\":4}",
             norms ? "true" : "false");
}

static void writes(void **state) {
    (void)state;
    struct model_file a, b;
    static const char *const keys[][2] = {
        {"peft_type", "\"LORA\""},
        {"task_type", "\"CAUSAL_LM\""},
        {"base_model_name_or_path", "null"},
        {"r", "2"},
        {"lora_alpha", "3.5"},
        {"lora_dropout", "0.0"},
        {"target_modules", "[\"v_proj\",\"down_proj\"]"},
        {"bias", "\"none\""},
        {"fan_in_fan_out", "false"},
        {"inference_mode", "true"},
        {"init_lora_weights", "true"},
        {"rank_pattern", "{}"},
        {"alpha_pattern", "{}"},
        {"use_rslora", "true"},
        {"use_dora", "false"},
        {"layers_to_transform", "null"},
        {"layers_pattern", "null"},
        {"revision", "null"},
    };
    for (int norms = 0; norms < 2; norms++) {
        const char *folder = norms ? "wn" : "w";
        build_adapter(&a, norms);
        assert_int_equal(model_file_write(&a, "peft", at(folder), &e), 0);
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            assert_written(folder, keys[i][0], keys[i][1]);
        assert_written(folder, "modules_to_save",
                       norms ? "[\"input_layernorm\",\"post_attention_layernorm\",\"norm\","
                               "\"q_norm\",\"k_norm\"]"
                             : "null");
        assert_int_equal(check_weights(in(folder, "adapter_model.safetensors"),
                                       "{\"format\":\"pt\"}", &a, strlen("base_model.model.")),
                         a.n_tensors);
        assert_int_equal(model_file_open(&b, at(folder), true, &e), 0);
        assert_same_weights(&a, &b);
        assert_key(&b, "norms", norms ? "true" : "false");
        assert_key(&b, "targets", "\"v,down\"");
        assert_key(&b, "rslora", "true");
        model_file_close(&a);
        model_file_close(&b);
    }
}

static void refused_writes(void **state) {
    (void)state;
    static const struct {
        const char *config, *because;
    } cases[] = {
        {"{}", "no duet_adapter"},
        {"[]", "not an object"},
        {"{\"duet_adapter\":{\"rank\":2}}", "no duet_adapter with rank and alpha"},
        {"{\"duet_adapter\":{\"rank\":0,\"alpha\":1}}", "no duet_adapter with rank and alpha"},
        {"{\"duet_adapter\":{\"rank\":2,\"alpha\":1,\"norms\":true}}", "duet_adapter.norms"},
    };
    struct model_file mf;
    build_adapter(&mf, false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        free(mf.config);
        mf.config = strdup(cases[i].config);
        assert_int_equal(model_file_write(&mf, "peft", at("none"), &e), ERR_INPUT);
        assert_non_null(strstr(e.msg, cases[i].because));
        assert_int_not_equal(access(at("none"), F_OK), 0);
    }
    add_values(&mf, "lm_head.weight", 4, 2);
    free(mf.config);
    mf.config = strdup("{\"duet_adapter\":{\"rank\":2,\"alpha\":1}}");
    assert_int_equal(model_file_write(&mf, "peft", at("none"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "no place for tensor lm_head.weight"));
    model_file_close(&mf);
}

static void real_adapter(void **state) {
    (void)state;
    char file[1200];
    struct model_file a, b;
    const char *path = data_file("peft/qwen2.5-0.5b-instruct-lora-r8");
    if (model_file_open(&a, path, true, &e)) fail_msg("%s", e.msg);
    assert_string_equal(a.format->name, "peft");
    assert_int_equal(a.n_tensors, 24 * 4);
    assert_key(&a, "rank", "8");
    assert_key(&a, "alpha", "16.0");
    assert_key(&a, "targets", "\"q,v\"");
    const struct mf_tensor *t = model_file_find(&a, OURS "23.self_attn.v_proj.lora_B.weight");
    assert_true(t && t->shape[0] == 128 && t->shape[1] == 8 && t->factor == 0);
    assert_int_equal(model_file_write(&a, "peft", at("real"), &e), 0);
    assert_int_equal(model_file_open(&b, at("real"), true, &e), 0);
    assert_same_weights(&a, &b);
    model_file_close(&b);
    /* The reference implementation wrote the same bytes, and every key comes back. */
    size_t n, m;
    snprintf(file, sizeof file, "%s/adapter_model.safetensors", path);
    uint8_t *x = slurp(file, &n), *y = slurp(in("real", "adapter_model.safetensors"), &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
    snprintf(file, sizeof file, "%s/adapter_config.json", path);
    x = slurp(file, &n);
    x[n] = 0;
    json_t *before = parsed((char *)x), *after = written_config("real");
    assert_true(json_equal(before, after));
    json_decref(before);
    json_decref(after);
    free(x);
    model_file_close(&a);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),          cmocka_unit_test(patterns),     cmocka_unit_test(configs),
        cmocka_unit_test(tensors),        cmocka_unit_test(round_trip),   cmocka_unit_test(writes),
        cmocka_unit_test(refused_writes), data_test(real_adapter),
    };
    return data_run(argc, argv, tests, make_dir, remove_all);
}
