/* GGUF models: written files against an independent parser, and everything comes back. */
#include "data.h"
#include "gguf_fixture.h"

static const char *const hf_parts[][2] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_q.bias", "self_attn.q_proj.bias"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_k.bias", "self_attn.k_proj.bias"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_v.bias", "self_attn.v_proj.bias"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
};

/* The bytes of a tensor of the file are those of mf, rows of heads as converters permute them:
 * w.reshape(heads, 2, hd / 2, ...).swapaxes(1, 2). */
static void expect_tensor(const struct mini *m, const struct model_file *mf, const char *gguf,
                          const char *hf, int heads) {
    const struct mini_tensor *t = mini_tensor(m, gguf);
    const struct mf_tensor *s = model_file_find(mf, hf);
    if (!t || !s) fail_msg("no tensor %s or %s", gguf, hf);
    const uint64_t rows = s->shape[0], cols = s->ndim == 2 ? s->shape[1] : 1;
    assert_int_equal(t->n_dims, s->ndim);
    assert_int_equal(t->ne[s->ndim - 1], rows);
    if (s->ndim == 2) assert_int_equal(t->ne[0], cols);
    const size_t bytes = dtype_bytes(s->dtype, cols), hd = heads ? rows / (uint64_t)heads : 0;
    if (!heads) {
        assert_memory_equal(t->data, s->data, rows * bytes);
        return;
    }
    for (size_t h = 0; h < (size_t)heads; h++)
        for (size_t j = 0; j < 2; j++)
            for (size_t i = 0; i < hd / 2; i++)
                assert_memory_equal(t->data + (h * hd + 2 * i + j) * bytes,
                                    (const uint8_t *)s->data + (h * hd + j * hd / 2 + i) * bytes,
                                    bytes);
}

static void expect_all(const struct mini *m, const struct model_file *mf, const struct spec *s) {
    size_t n = 2 + !s->tied;
    expect_tensor(m, mf, "token_embd.weight", "model.embed_tokens.weight", 0);
    expect_tensor(m, mf, "output_norm.weight", "model.norm.weight", 0);
    if (!s->tied) expect_tensor(m, mf, "output.weight", "lm_head.weight", 0);
    for (int l = 0; l < s->layers; l++)
        for (size_t i = 0; i < sizeof hf_parts / sizeof *hf_parts; i++) {
            char gguf[96], hf[96];
            snprintf(gguf, sizeof gguf, "blk.%d.%s", l, hf_parts[i][0]);
            snprintf(hf, sizeof hf, "model.layers.%d.%s", l, hf_parts[i][1]);
            const bool pairs =
                parts_find_gguf(&arch_parts, s->arch)->gguf_pairs && (i >= 1 && i <= 4);
            if (!model_file_find(mf, hf)) continue;
            expect_tensor(m, mf, gguf, hf, !pairs ? 0 : i <= 2 ? s->heads : s->kv);
            n++;
        }
    assert_int_equal(m->n_t, n);
}

static const char *key_of(const struct spec *s, const char *key) {
    static char buf[128];
    snprintf(buf, sizeof buf, "%s.%s", s->arch, key);
    return buf;
}

/* As gguf-py's model_weight_count_rounded_notation has it for thousands and millions. */
static void expect_size(const struct mini *m) {
    double n = 0;
    char want[32];
    for (uint64_t i = 0; i < m->n_t; i++) {
        double of = 1;
        for (uint32_t d = 0; d < m->t[i].n_dims; d++) of *= (double)m->t[i].ne[d];
        if (strcmp(m->t[i].name, "rope_freqs.weight")) n += of;
    }
    assert_true(n > 1000 && n < 1e9);
    const double scaled = n / (n > 1e6 ? 1e6 : 1e3);
    snprintf(want, sizeof want, scaled < 9.5 ? "%.1f%s" : "%.0f%s", scaled, n > 1e6 ? "M" : "K");
    expect_text(m, "general.size_label", want);
}

static void expect_keys(const struct mini *m, const struct spec *s, uint32_t file_type) {
    expect_text(m, "general.architecture", s->arch);
    expect_text(m, "general.type", "model");
    expect_text(m, "general.name", "duet");
    expect_u32(m, "general.file_type", file_type);
    expect_u32(m, "general.quantization_version", 2);
    expect_u32(m, key_of(s, "context_length"), 77);
    expect_u32(m, key_of(s, "embedding_length"), (uint32_t)s->dim);
    expect_u32(m, key_of(s, "block_count"), (uint32_t)s->layers);
    expect_u32(m, key_of(s, "feed_forward_length"), (uint32_t)s->hidden);
    expect_u32(m, key_of(s, "attention.head_count"), (uint32_t)s->heads);
    expect_u32(m, key_of(s, "attention.head_count_kv"), (uint32_t)s->kv);
    expect_u32(m, key_of(s, "attention.key_length"), (uint32_t)s->hd);
    expect_u32(m, key_of(s, "attention.value_length"), (uint32_t)s->hd);
    expect_u32(m, key_of(s, "rope.dimension_count"), (uint32_t)s->hd);
    expect_u32(m, key_of(s, "vocab_size"), (uint32_t)s->vocab);
    expect_f32(m, key_of(s, "attention.layer_norm_rms_epsilon"), 1e-6f);
    expect_f32(m, key_of(s, "rope.freq_base"), 5e5f);
    expect_text(m, "tokenizer.ggml.model", "none");
    expect_size(m);
    assert_int_equal(m->n_kv, 19);
}

/* Every architecture and type: the bytes, the model that is read, and the same file again. (U3:
 * rows of llama's heads and the constants; U4: BF16 is type 30, head sizes.) */
static void round_trips(void **state) {
    (void)state;
    const struct {
        enum dtype dtype;
        uint32_t ggml, file_type;
        int width;
    } types[] = {{DT_F32, 0, 0, 32},     {DT_F16, 1, 1, 32},    {DT_BF16, 30, 32, 32},
                 {DT_Q8_0, 8, 7, 32},    {DT_Q4_0, 2, 2, 32},   {DT_Q4_1, 3, 3, 32},
                 {DT_Q5_0, 6, 8, 32},    {DT_Q5_1, 7, 9, 32},   {DT_Q4_K, 12, 15, 256},
                 {DT_Q5_K, 13, 17, 256}, {DT_Q6_K, 14, 18, 256}};
    const struct spec *const specs[] = {&llama_spec, &qwen2_spec, &qwen3_spec, &arcee_spec};
    const size_t n_specs = sizeof specs / sizeof *specs;
    for (size_t i = 0; i < n_specs * sizeof types / sizeof *types; i++) {
        struct spec s = *specs[i % n_specs];
        struct model_file a, b;
        struct mini m;
        size_t n;
        s.dtype = types[i / n_specs].dtype;
        if (types[i / n_specs].width == 256) { /* widths of whole blocks */
            s.dim = s.hidden = 256;
            s.heads = 2;
            s.kv = 1;
            s.hd = 128;
            s.layers = 1;
        }
        build_model(&a, &s, "");
        assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
        mini_read(&m, at("a.bin"));
        expect_keys(&m, &s, types[i / n_specs].file_type);
        expect_all(&m, &a, &s);
        assert_int_equal(mini_tensor(&m, "blk.0.ffn_up.weight")->type, types[i / n_specs].ggml);
        assert_int_equal(mini_tensor(&m, "blk.0.ffn_norm.weight")->type, 0);
        assert_ok(model_file_open(&b, at("a.bin"), true, &e));
        assert_string_equal(b.format->name, "gguf");
        assert_same_tensors(&a, &b);
        json_t *j = parsed(b.config);
        assert_int_equal(json_object_del(json_object_get(j, "duet"), "gguf"), 0);
        assert_int_equal(json_object_del(j, "duet"), 0); /* nothing but general.name was kept */
        char *text = json_dumps(j, 0);
        assert_same_json(text, a.config);
        assert_non_null(strstr(b.config, "1e-6,")); /* not 9.99999997e-7 */
        free(text);
        json_decref(j);
        assert_null(b.vocab);
        assert_ok(model_file_write(&b, "gguf", at("b.bin"), &e));
        uint8_t *again = slurp(at("b.bin"), &n);
        assert_int_equal(n, m.size);
        assert_memory_equal(again, m.bytes, n);
        free(again);
        free(m.bytes);
        model_file_close(&a);
        model_file_close(&b);
    }
}

/* The bytes of an f32 tensor suffice. */
static void take_as_f16(struct mf_tensor *t) {
    t->dtype = DT_F16;
    make_finite(DT_F16, (uint8_t *)(uintptr_t)t->data, (size_t)mf_tensor_count(t));
}

/* The most frequent type of the matrices names the file; mistral is llama. */
static void mixed_types(void **state) {
    (void)state;
    struct model_file a;
    struct mini m;
    struct spec s = llama_spec;
    s.arch = "mistral";
    build_model(&a, &s, ",\"_name_or_path\":\"x/y\",\"bos_token_id\":3,\"eos_token_id\":[4,5]");
    for (size_t i = 0; i < a.n_tensors; i++)
        if (strstr(a.tensors[i].name, "mlp")) take_as_f16(a.tensors + i);
    assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
    mini_read(&m, at("a.bin"));
    expect_text(&m, "general.architecture", "llama");
    expect_text(&m, "general.name", "x/y");
    expect_u32(&m, "general.file_type", 0);
    expect_u32(&m, "tokenizer.ggml.bos_token_id", 3);
    expect_u32(&m, "tokenizer.ggml.eos_token_id", 4);
    free(m.bytes);
    for (size_t i = 0; i < a.n_tensors; i++)
        if (strstr(a.tensors[i].name, "1.self_attn.v_proj")) take_as_f16(a.tensors + i);
    assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
    mini_read(&m, at("a.bin"));
    expect_u32(&m, "general.file_type", 0); /* 8 of 15 */
    free(m.bytes);
    for (size_t i = 0; i < a.n_tensors; i++)
        if (strstr(a.tensors[i].name, "1.self_attn.o_proj")) take_as_f16(a.tensors + i);
    assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
    mini_read(&m, at("a.bin"));
    expect_u32(&m, "general.file_type", 1);
    free(m.bytes);
    model_file_close(&a);
}

static void rotary(void **state) {
    (void)state;
    struct model_file a, b;
    struct mini m;
    build_model(&a, &llama_spec,
                ",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2.5},"
                "\"duet\":{\"rope_factors\":[1,1.5,7.25,8]}");
    assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
    mini_read(&m, at("a.bin"));
    expect_text(&m, "llama.rope.scaling.type", "linear");
    expect_f32(&m, "llama.rope.scaling.factor", 2.5f);
    const float factors[] = {1, 1.5f, 7.25f, 8};
    const struct mini_tensor *t = mini_tensor(&m, "rope_freqs.weight");
    assert_non_null(t);
    assert_true(t->n_dims == 1 && t->ne[0] == 4 && t->type == 0);
    assert_memory_equal(t->data, factors, sizeof factors);
    assert_ok(model_file_open(&b, at("a.bin"), false, &e));
    assert_same_tensors(&a, &b);
    json_t *j = parsed(b.config);
    json_t *want = parsed("[1.0,1.5,7.25,8.0]"),
           *linear = parsed("{\"rope_type\":\"linear\",\"factor\":2.5}");
    assert_true(json_equal(json_object_get(json_object_get(j, "duet"), "rope_factors"), want));
    assert_true(json_equal(json_object_get(j, "rope_scaling"), linear));
    json_decref(linear);
    json_decref(want);
    json_decref(j);
    free(m.bytes);
    model_file_close(&a);
    model_file_close(&b);
    /* transformers 5 */
    build_model(&a, &qwen2_spec,
                ",\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":4,\"rope_theta\":1e4}");
    memcpy(strstr(a.config, "\"rope_theta\""), "\"rope_thetx\"", 12);
    assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
    mini_read(&m, at("a.bin"));
    expect_f32(&m, "qwen2.rope.freq_base", 1e4f);
    expect_f32(&m, "qwen2.rope.scaling.factor", 4);
    free(m.bytes);
    model_file_close(&a);
}

/* Biases of a llama are permuted like its weights; those of qwen2 need not be mentioned. */
static void biases(void **state) {
    (void)state;
    struct model_file a, b;
    struct mini m;
    struct spec s = llama_spec;
    s.bias = true;
    build_model(&a, &s, ",\"attention_bias\":true");
    assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
    mini_read(&m, at("a.bin"));
    expect_all(&m, &a, &s);
    free(m.bytes);
    assert_ok(model_file_open(&b, at("a.bin"), false, &e));
    assert_same_tensors(&a, &b);
    json_t *j = parsed(b.config);
    assert_true(json_is_true(json_object_get(j, "attention_bias")));
    json_decref(j);
    model_file_close(&a);
    model_file_close(&b);
    s = qwen2_spec;
    s.bias = false;
    build_model(&a, &s, ",\"attention_bias\":false");
    assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
    assert_ok(model_file_open(&b, at("a.bin"), false, &e));
    j = parsed(b.config);
    assert_true(json_is_false(json_object_get(j, "attention_bias")));
    json_decref(j);
    model_file_close(&a);
    model_file_close(&b);
}

/* Values computed on the way out: from another tensor, times factors, converted. */
static void made_on_the_way(void **state) {
    (void)state;
    struct model_file a, b;
    struct mini m;
    build_model(&a, &llama_spec, "");
    build_model(&b, &llama_spec, "");
    for (size_t i = 0; i < a.n_tensors; i++) {
        a.tensors[i].from = b.tensors + i;
        a.tensors[i].data = NULL;
        if (strstr(a.tensors[i].name, "o_proj")) a.tensors[i].factor = 0.5;
        if (strstr(a.tensors[i].name, "k_proj")) a.tensors[i].dtype = DT_F16;
    }
    assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
    mini_read(&m, at("a.bin"));
    const float *half =
        (const float *)(const void *)mini_tensor(&m, "blk.0.attn_output.weight")->data;
    const float *full = model_file_find(&b, "model.layers.0.self_attn.o_proj.weight")->data;
    for (int i = 0; i < 32 * 32; i++) assert_true(half[i] == full[i] * 0.5f);
    const struct mini_tensor *k = mini_tensor(&m, "blk.1.attn_k.weight");
    assert_int_equal(k->type, 1);
    float row[32];
    dtype_to_f32(DT_F16, k->data + 64, row, 32); /* row 1 is row 4 of 8 */
    full = model_file_find(&b, "model.layers.1.self_attn.k_proj.weight")->data;
    for (int i = 0; i < 32; i++) assert_float_equal(row[i], full[4 * 32 + i], 2e-3);
    free(m.bytes);
    model_file_close(&a);
    model_file_close(&b);
}

static const void *some_row(void *ctx, uint64_t r, void *buf) {
    float *x = buf;
    for (int i = 0; i < 32; i++) x[i] = (float)r * 100 + (float)i + *(float *)ctx;
    return x;
}

static void row_by_row(void **state) {
    (void)state;
    struct model_file a;
    struct mini m;
    float add = 0.25f;
    build_model(&a, &llama_spec, "");
    a.tensors[0].row = some_row;
    a.tensors[0].row_ctx = &add;
    a.tensors[0].data = NULL;
    assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
    mini_read(&m, at("a.bin"));
    const float *x = (const float *)(const void *)mini_tensor(&m, "token_embd.weight")->data;
    for (int i = 0; i < 7 * 32; i++) assert_true(x[i] == (float)(i / 32 * 100 + i % 32) + add);
    free(m.bytes);
    model_file_close(&a);
}

static const struct {
    const struct spec *spec;
    const char *from, *to, *because;
} unwritable[] = {
    {&llama_spec, "\"llama\"", "\"gemma\"", "model_type is gemma"},
    {&llama_spec, "\"model_type\"", "\"model_tyqe\"", "model_type is missing"},
    {&llama_spec, "\"silu\"", "\"gelu\"", "hidden_act"},
    {&arcee_spec, "\"relu2\"", "\"silu\" ", "hidden_act"},
    {&llama_spec, "\"hidden_size\":32", "\"hidden_size\":31", "shape"},
    {&llama_spec, "\"hidden_size\":32", "\"hidden_size\":-1", "hidden_size"},
    {&llama_spec, "\"vocab_size\"", "\"vocab_sizf\"", "vocab_size is missing"},
    {&llama_spec, "layers\":2", "layers\":3", "layers.2.input_layernorm.weight is missing"},
    {&llama_spec, "layers\":2", "layers\":1", "no place for tensor model.layers.1."},
    {&llama_spec, "\"tie_word_embeddings\":true", "\"tie_word_embeddings\":null",
     "lm_head.weight is missing"},
    {&qwen3_spec, "\"tie_word_embeddings\":false", "\"tie_word_embeddings\":true ",
     "no place for tensor lm_head.weight"},
    {&llama_spec, "1e-06", "1e-99", NULL}, /* becomes 0 in f32 */
    {&llama_spec, "1e-06", "-1.0 ", "rms_norm_eps"},
    {&llama_spec, "500000.0", "\"500000\"", "rope_theta"},
    {&llama_spec, "500000.0", "1.0e+99 ", "rope_theta"},
    {&llama_spec, "}", ",\"duet\":{\"logit_softcap\":15}}", "duet.logit_softcap"},
    {&llama_spec, "}", ",\"duet\":{\"residual_scale\":0.5}}", "duet.residual_scale"},
    {&llama_spec, "}", ",\"duet\":{\"qk_norm\":true}}", "duet.qk_norm"},
    {&llama_spec, "}", ",\"duet\":{\"value_embeds\":true}}", "duet.value_embeds"},
    {&llama_spec, "}", ",\"duet\":{\"rope_local_theta\":100}}", "duet.rope_local_theta"},
    {&qwen3_spec, "}", ",\"duet\":{\"qk_norm\":false}}", "duet.qk_norm"},
    {&llama_spec, "}", ",\"attention_bias\":true}", "q_proj.bias is missing"},
    {&llama_spec, "}", ",\"attention_bias\":1}", "attention_bias"},
    {&qwen2_spec, "}", ",\"attention_bias\":false}", "no place for tensor"},
    {&llama_spec, "}", ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2}}", "yarn"},
    {&llama_spec, "}", ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}}", "factor"},
    {&llama_spec, "}", ",\"duet\":{\"rope_factors\":[1,2]}}", "list of 4"},
    {&llama_spec, "}", ",\"duet\":{\"rope_factors\":[1,2,0,4]}}", "rope_factors[2]"},
    {&qwen2_spec, "}", ",\"duet\":{\"rope_factors\":[1,2,3,4,5,6,7,8]}}", "rope_factors"},
    {&llama_spec, "}", ",\"duet\":{\"gguf\":[]}}", "duet.gguf"},
    {&llama_spec, "}", ",\"duet\":{\"gguf\":{\"a\":[\"u8\",256]}}}", "\"a\""},
    {&llama_spec, "}", ",\"duet\":{\"gguf\":{\"a\":[\"i8\",-129]}}}", "\"a\""},
    {&llama_spec, "}", ",\"duet\":{\"gguf\":{\"a\":[\"u64\",\"x\"]}}}", "\"a\""},
    {&llama_spec, "}", ",\"duet\":{\"gguf\":{\"a\":[\"array\",\"u8\",[1.5]]}}}", "\"a\""},
    {&llama_spec, "}", ",\"duet\":{\"gguf\":{\"a\":[\"array\",\"array\",[]]}}}", "\"a\""},
    {&llama_spec, "}", ",\"duet\":{\"gguf\":{\"\":[\"u8\",1]}}}", "\"\""},
    {&llama_spec, "}", ",\"duet\":{\"gguf\":{\"llama.block_count\":[\"u32\",2]}}}", "follows"},
    {&llama_spec, "}", ",\"duet\":{\"chat_template\":1}}", "chat_template"},
    {&llama_spec, "}", ",\"bos_token_id\":7}", "bos_token_id"},
    {&llama_spec, "}", "", "JSON"},
};

/* What GGUF cannot hold is refused by name, and nothing is written. */
static void refused_to_write(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof unwritable / sizeof *unwritable; i++) {
        struct model_file mf;
        build_model(&mf, unwritable[i].spec, "");
        char *p = unwritable[i].from[0] == '}' ? strrchr(mf.config, '}')
                                               : strstr(mf.config, unwritable[i].from);
        assert_non_null(p);
        char *rest = strdup(p + strlen(unwritable[i].from));
        strcpy(p, unwritable[i].to);
        strcat(p, rest);
        free(rest);
        const int rc = model_file_write(&mf, "gguf", at("c.bin"), &e);
        if (rc != (unwritable[i].because ? ERR_INPUT : 0) ||
            (rc && (!strstr(e.msg, unwritable[i].because) || !strstr(e.msg, "GGUF"))))
            fail_msg("case %zu: %d, %s", i, rc, e.msg);
        if (rc == 0) remove(at("c.bin"));
        assert_false(file_exists(at("c.bin")));
        model_file_close(&mf);
    }
}

static void refused_tensors(void **state) {
    (void)state;
    struct model_file mf;
    build_model(&mf, &llama_spec, "");
    mf.tensors[0].dtype = DT_U32;
    assert_int_equal(model_file_write(&mf, "gguf", at("c.bin"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "is u32"));
    mf.tensors[0].dtype = DT_F32;
    mf.tensors[1].dtype = DT_F16;
    assert_int_equal(model_file_write(&mf, "gguf", at("c.bin"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "model.norm.weight has one dimension"));
    mf.tensors[1].dtype = DT_F32;
    struct mf_tensor extra = mf.tensors[1];
    char name[] = "duet.vocab_map";
    extra.name = name;
    assert_int_equal(model_file_add(&mf, &extra, &e), 0);
    assert_int_equal(model_file_write(&mf, "gguf", at("c.bin"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "no place for tensor duet.vocab_map"));
    model_file_close(&mf);
}

/* Pairs that duet does not know come back as they were, of every type (U4: sizes of types). */
static void kept_pairs(void **state) {
    (void)state;
    struct parts f;
    struct model_file a, b;
    struct mini m;
    const uint64_t big = UINT64_MAX - 4, small = 77;
    const int64_t low = INT64_MIN;
    const double exact = 0.1, zero = -0.0;
    small_file(&f);
    set_text(&f, "general.name", "A name");
    set_text(&f, "general.author", "\xc3\xa9");
    set_text(&f, "x.empty", "");
    set_raw(&f, "x.u8", U8, "\xff", 1);
    set_raw(&f, "x.i8", I8, "\x80", 1);
    set_raw(&f, "x.u16", U16, "\xff\xff", 2);
    set_raw(&f, "x.i16", I16, "\x00\x80", 2);
    set_raw(&f, "x.i32", I32, "\x00\x00\x00\x80", 4);
    set_raw(&f, "x.u64", U64, &big, 8);
    set_raw(&f, "x.u64b", U64, &small, 8);
    set_raw(&f, "x.i64", I64, &low, 8);
    set_raw(&f, "x.f64", F64, &exact, 8);
    set_raw(&f, "x.f64b", F64, &zero, 8);
    set_f32(&f, "x.f32", 1.0f / 3);
    set_bool(&f, "x.bool", 1);
    set_array(&f, "x.texts", STRING, 3, "a\0\0c d", 0);
    set_array(&f, "x.none", I8, 0, "", 0);
    set_array(&f, "x.floats", F32, 2, (float[]){1e-42f, 3e38f}, 8);
    set_u32(&f, "tokenizer.ggml.eot_token_id", 2);
    set_bool(&f, "llama.rope.scaling.finetuned", 0);
    set_u32(&f, "llama.attention.sliding_window", 4096);
    assert_ok(open_parts(&a, &f));
    assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
    assert_ok(model_file_open(&b, at("a.bin"), false, &e));
    assert_same_tensors(&a, &b);
    assert_same_json(a.config, b.config);
    model_file_close(&b);
    memset(&m, 0, sizeof m);
    m.bytes = slurp(at("a.bin"), &m.size);
    for (size_t i = 0; i < f.n_kv; i++) { /* each pair is in the file byte for byte */
        uint8_t want[512];
        size_t n = text_bytes(want, f.kv[i].key);
        memcpy(want + n, &f.kv[i].type, 4);
        memcpy(want + n + 4, f.kv[i].value, f.kv[i].n);
        n += 4 + f.kv[i].n;
        if (!memmem(m.bytes, m.size, want, n)) fail_msg("%s was not kept", f.kv[i].key);
    }
    json_t *j = parsed(a.config);
    json_t *x = json_object_get(json_object_get(json_object_get(j, "duet"), "gguf"), "x.u64");
    assert_string_equal(json_string_value(json_array_get(x, 1)), "18446744073709551611");
    json_decref(j);
    free(m.bytes);
    model_file_close(&a);
}

/* A file that others wrote. */
static void tiny_llama(void **state) {
    (void)state;
    const char *path = data_file("weights/gguf/tiny-llama-f32.gguf");
    struct model_file a, b;
    assert_ok(model_file_open(&a, path, true, &e));
    assert_int_equal(a.n_tensors, 12);
    json_t *j = parsed(a.config);
    assert_int_equal(json_integer_value(json_object_get(j, "hidden_size")), 8);
    assert_int_equal(json_integer_value(json_object_get(j, "head_dim")), 4);
    assert_int_equal(json_integer_value(json_object_get(j, "vocab_size")), 16);
    assert_true(json_real_value(json_object_get(j, "rms_norm_eps")) == 1e-5);
    assert_true(json_is_false(json_object_get(j, "tie_word_embeddings")));
    json_decref(j);
    assert_int_equal(a.vocab->n, 16);
    assert_int_equal(a.vocab->types[15], VOCAB_BYTE);
    assert_int_equal(model_file_find(&a, "model.layers.0.self_attn.q_proj.weight")->rope_heads, 2);
    assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
    assert_ok(model_file_open(&b, at("a.bin"), true, &e));
    assert_same_tensors(&a, &b);
    assert_same_json(a.config, b.config);
    model_file_close(&a);
    model_file_close(&b);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),      cmocka_unit_test(mixed_types),
        cmocka_unit_test(rotary),           cmocka_unit_test(biases),
        cmocka_unit_test(made_on_the_way),  cmocka_unit_test(row_by_row),
        cmocka_unit_test(refused_to_write), cmocka_unit_test(refused_tensors),
        cmocka_unit_test(kept_pairs),       data_test(tiny_llama),
    };
    const int status = data_run(argc, argv, tests, make_dir, remove_dir);
    free(weights);
    return status;
}
