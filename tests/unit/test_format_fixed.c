/* Model files of fixed layout, BLZT v4 and llama2.c: compared with descriptions of their bytes, and
 * with a file that llama2.c's own exporter wrote. */
#include "data.h"
#include "model_fixture.h"

#include <signal.h>
#include <sys/resource.h>

static const char *const fixed[] = {"blzt4", "llama2c"};

static float f32_at(const uint8_t *data, size_t offset) {
    float v;
    memcpy(&v, data + offset, sizeof v);
    return v;
}

/* The f32 bytes of a built tensor in the order of these files; at most DIM x DIM. */
static size_t stored(float *copy, const struct mf_tensor *t) {
    size_t n = mf_tensor_count(t);
    memcpy(copy, t->data, n * sizeof *copy);
    if (strstr(t->name, "q_proj") || strstr(t->name, "k_proj"))
        rope_to_pairs(copy, t->data, t->shape[0], DIM, (int)t->shape[0] / HD);
    return n * sizeof *copy;
}

/* At p is the tensor of a layer (or of none: -1); returns where it ends. */
static const uint8_t *expect(const uint8_t *p, const struct model_file *mf, int layer,
                             const char *part) {
    char name[64];
    float copy[DIM * DIM];
    if (layer < 0)
        snprintf(name, sizeof name, "%s.weight", part);
    else
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, part);
    const struct mf_tensor *t = model_file_find(mf, name);
    assert_non_null(t);
    size_t bytes = stored(copy, t);
    assert_memory_equal(p, copy, bytes);
    return p + bytes;
}

static const uint8_t *expect_zeros(const uint8_t *p, size_t floats) {
    for (size_t i = 0; i < 4 * floats; i++) assert_int_equal(p[i], 0);
    return p + 4 * floats;
}

/* What the config says that the file does not store, and what is not taken over. */
static void assert_assumed(const struct model_file *mf, const char *keys, const char *left_out) {
    json_t *c = parsed(mf->config);
    const json_t *duet = json_object_get(c, "duet");
    char *text = json_dumps(json_object_get(duet, "assumed"), JSON_COMPACT);
    const char *left = json_string_value(json_object_get(duet, "left_out"));
    assert_string_equal(text, keys);
    if (left_out)
        assert_string_equal(left, left_out);
    else
        assert_null(left);
    free(text);
    json_decref(c);
}

static void blzt4_round_trip(void **state) {
    (void)state;
    struct model_file a, b;
    build(&a, true, ",\"duet\":{\"seq_len\":4}");
    a.meta = strdup("{\"step\":7,\"lr\":0.25,\"wall_ms\":1234.5,\"adam_t\":3}");
    assert_int_equal(model_file_write(&a, "blzt4", at("a.bin"), &e), 0);
    size_t n, m;
    uint8_t *x = slurp(at("a.bin"), &n);
    /* Against the description of the bytes, not against our reader. */
    const int32_t head[10] = {0x424c5a54, 4, 7, 0, LAYERS, VOCAB, DIM, HIDDEN, HEADS, 4};
    const int32_t tail[6] = {0, 0, 0, KV, HD, HEADS * HD}; /* no moments: adam_t 0 */
    const double wall = 1234.5;
    assert_int_equal(n, 96 + 12 * TIED_COUNT);
    assert_memory_equal(x, head, sizeof head);
    assert_true(f32_at(x, 40) == 0.25f);
    assert_memory_equal(x + 64, &wall, 8);
    assert_memory_equal(x + 72, tail, sizeof tail);
    const uint8_t *p = x + 96;
    for (int l = 0; l < LAYERS; l++) {
        static const char *const order[] = {
            "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
            "self_attn.o_proj", "mlp.gate_proj",    "mlp.down_proj",
            "mlp.up_proj",      "input_layernorm",  "post_attention_layernorm"};
        for (size_t i = 0; i < sizeof order / sizeof *order; i++) p = expect(p, &a, l, order[i]);
        p = expect_zeros(p, 2 * LAYER_COUNT);
    }
    p = expect_zeros(expect(p, &a, -1, "model.norm"), 2 * DIM);
    p = expect_zeros(expect(p, &a, -1, "model.embed_tokens"), 2 * VOCAB * DIM);
    assert_ptr_equal(p, x + n);

    assert_int_equal(model_file_open(&b, at("a.bin"), false, &e), 0);
    assert_string_equal(b.format->name, "blzt4");
    assert_same_weights(&a, &b);
    assert_same_weights(&b, &a);
    json_t *c = parsed(b.config);
    assert_int_equal(json_integer_value(json_object_get(c, "head_dim")), HD);
    assert_int_equal(json_integer_value(json_object_get(c, "max_position_embeddings")), 4);
    json_decref(c);
    assert_assumed(&b, "[\"rope_theta\",\"rms_norm_eps\",\"duet.residual_scale\"]", NULL);
    assert_int_equal(model_file_write(&b, "blzt4", at("b.bin"), &e), 0);
    uint8_t *y = slurp(at("b.bin"), &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
    model_file_close(&a);
    model_file_close(&b);
}

static void llama2c_round_trip(void **state) {
    (void)state;
    for (int tied = 0; tied <= 1; tied++) {
        struct model_file a, b;
        build(&a, tied, "");
        memset(strstr(a.config, "\"head_dim\":4,"), ' ', 13); /* absent: dim / n_heads */
        assert_int_equal(model_file_write(&a, "llama2c", at("c.bin"), &e), 0);
        size_t n;
        uint8_t *x = slurp(at("c.bin"), &n);
        const int32_t head[7] = {DIM, HIDDEN, LAYERS, HEADS, KV, tied ? VOCAB : -VOCAB, SEQ};
        size_t tables = 28 + 4 * TIED_COUNT, end = tables + 4 * SEQ * HD;
        assert_int_equal(n, end + (tied ? 0 : 4 * VOCAB * DIM));
        assert_memory_equal(x, head, sizeof head);
        static const char *const order[] = {
            "input_layernorm",  "self_attn.q_proj", "self_attn.k_proj",
            "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm",
            "mlp.gate_proj",    "mlp.down_proj",    "mlp.up_proj"};
        const uint8_t *p = expect(x + 28, &a, -1, "model.embed_tokens");
        for (size_t i = 0; i < sizeof order / sizeof *order; i++)
            for (int l = 0; l < LAYERS; l++) p = expect(p, &a, l, order[i]);
        assert_ptr_equal(expect(p, &a, -1, "model.norm"), x + tables);
        if (!tied) expect(x + end, &a, -1, "lm_head");
        assert_float_equal(f32_at(x, tables + 4 * 5 * HD / 2), cos(5), 1e-6);
        assert_float_equal(f32_at(x, end - 4), sin(5 / sqrt(1e4)), 1e-6);
        free(x);
        assert_int_equal(model_file_open(&b, at("c.bin"), false, &e), 0);
        assert_string_equal(b.format->name, "llama2c");
        assert_assumed(&b, "[\"rope_theta\",\"rms_norm_eps\"]", NULL);
        assert_same_weights(&a, &b);
        assert_same_weights(&b, &a);
        model_file_close(&a);
        model_file_close(&b);
    }
}

/* Version 1 is assembled here from the description of its bytes. */
static uint8_t *llama2c_v1(const struct model_file *mf, size_t *size) {
    static const char *const order[] = {"input_layernorm", "post_attention_layernorm",
                                        "model.norm",      "model.embed_tokens",
                                        "q_proj",          "k_proj",
                                        "v_proj",          "o_proj",
                                        "gate_proj",       "down_proj",
                                        "up_proj",         "lm_head"};
    const int32_t head[9] = {0x616b3432, 1, DIM, HIDDEN, LAYERS, HEADS, KV, VOCAB, SEQ};
    uint8_t *data = calloc(1, 256 + 4 * (TIED_COUNT + VOCAB * DIM)), *p = data + 256;
    memcpy(data, head, sizeof head);
    data[36] = model_file_find(mf, "lm_head.weight") == NULL;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        for (size_t k = 0; k < mf->n_tensors; k++)
            if (strstr(mf->tensors[k].name, order[i])) {
                float copy[DIM * DIM];
                size_t bytes = stored(copy, &mf->tensors[k]);
                memcpy(p, copy, bytes);
                p += bytes;
            }
    *size = (size_t)(p - data);
    return data;
}

static void llama2c_version1(void **state) {
    (void)state;
    for (int tied = 0; tied <= 1; tied++) {
        struct model_file a, b;
        size_t size;
        build(&a, tied, "");
        uint8_t *data = llama2c_v1(&a, &size);
        assert_int_equal(open_bytes(&b, data, size, false), 0);
        assert_same_weights(&a, &b);
        assert_same_weights(&b, &a);
        model_file_close(&b);
        for (size_t n = 0; n < size; n++) assert_refused(data, n, false, "");
        data[200] = 1;
        assert_refused(data, size, false, "offset 200");
        data[200] = 0;
        data[36] = 2;
        assert_refused(data, size, false, "offset 36");
        data[4] = 2;
        assert_refused(data, size, false, "version at offset 4 is 2");
        free(data);
        model_file_close(&a);
    }
}

/* Each header field set to values that used to crash other loaders. */
static void hostile_fields(void **state) {
    (void)state;
    const int32_t values[] = {0, -1, INT32_MIN, INT32_MIN + 1, INT32_MAX, 1 << 16, 1 << 24, 3};
    const struct {
        const char *format;
        size_t begin, end, skip_begin, skip_end;
    } cases[] = {{"blzt4", 16, 96, 36, 84}, {"llama2c", 0, 28, 0, 0}};
    for (size_t c = 0; c < 2; c++) {
        size_t size;
        uint8_t *data = sample(cases[c].format, &size);
        for (size_t field = cases[c].begin; field < cases[c].end; field += 4)
            for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
                int32_t old;
                if (field >= cases[c].skip_begin && field < cases[c].skip_end) continue;
                memcpy(&old, data + field, 4);
                if (old == values[v]) continue;
                memcpy(data + field, &values[v], 4);
                assert_refused(data, size, false, "");
                memcpy(data + field, &old, 4);
            }
        if (c == 0) {
            data[4] = 1;
            assert_refused(data, size, false, "version at offset 4 is 1, expected 2 to 5");
            data[4] = 6;
            assert_refused(data, size, false, "version at offset 4 is 6, expected 2 to 5");
            data[4] = 4;
            data[11] = 0x80;
            assert_refused(data, size, false, "step at offset 8");
            data[11] = 0;
            memset(data + 36, 0, 4);
            assert_refused(data, size, false, "seq_len is 0");
            data[36] = SEQ;
            data[84] = 3;
            assert_refused(data, size, false, "n_heads 2 is not a multiple of n_kv_heads 3");
            data[84] = KV;
            data[88] = 3;
            assert_refused(data, size, false, "head_dim is 3");
        }
        free(data);
    }
}

/* ANEgpt and fiale-plus' autoresearch-ane: the same bytes, where the last fields are padding or say
 * 0 key heads for as many as there are heads. */
static void older_blzt(void **state) {
    (void)state;
    size_t size;
    for (uint8_t version = 2; version <= 3; version++) {
        struct model_file v4, old;
        uint8_t *data = sample("blzt4", &size);
        assert_int_equal(open_bytes(&v4, data, size, false), 0);
        data[4] = version;
        memset(data + 88, 0, 8);
        data[80] = 9;
        assert_int_equal(open_bytes(&old, data, size, false), 0);
        assert_same_weights(&v4, &old);
        assert_assumed(&old,
                       "[\"rope_theta\",\"rms_norm_eps\",\"duet.residual_scale\","
                       "\"duet.logit_softcap\"]",
                       "Adam's moments of 9 updates");
        model_file_close(&old);
        memset(data + 84, 0, 4); /* then the file is too short: it has fewer key heads */
        assert_refused(data, size, false, "but its header asks for");
        data[24] = DIM + 1;
        assert_refused(data, size, false, "dim 9 at offset 24 is not a multiple of n_heads 2");
        data[28] = 0;
        memset(data + 32, 0, 4);
        assert_refused(data, size, false, "n_heads 0");
        model_file_close(&v4);
        free(data);
    }
}

/* AutoANE's LoRA sidecar, by name; its base has the adapters in it. */
static void sidecar(void **state) {
    (void)state;
    const int32_t head[] = {0x4c4f5241, 8, 32, 120, 0, 0};
    assert_refused((const uint8_t *)head, sizeof head, false,
                   "a LoRA sidecar of AutoANE (rank 8, 32 layers)");
    assert_refused((const uint8_t *)head, sizeof head, false, "merged in already");
    assert_refused((const uint8_t *)head, 8, false, "rank 8, 0 layers");
}

/* A fixed layout says no to a model it would change, and touches nothing. */
static const struct {
    const char *format, *extra, *because;
} unwritable[] = {
    {"blzt4", ",\"rms_norm_eps\":1e-6", "JSON"}, /* twice: not a config at all */
    {"blzt4", ",\"rope_scaling\":{\"rope_type\":\"llama3\"}", "rope_scaling"},
    {"blzt4", ",\"duet\":{\"logit_softcap\":15}", "softcap"},
    {"blzt4", ",\"duet\":{\"seq_len\":7}", "seq_len"},
    {"blzt4", ",\"duet\":{\"residual_scale\":0.5}", "duet.residual_scale, which is 0.5"},
    {"blzt4", ",\"duet\":{\"rope_factors\":[1,2]}", "rope_factors"},
    {"llama2c", ",\"duet\":{\"residual_scale\":0.5}", "residual_scale"},
    {"llama2c", ",\"duet\":{\"logit_softcap\":15}", "softcap"},
    {"llama2c", ",\"duet\":{\"value_embeds\":true}", "duet.value_embeds"},
    {"blzt4", ",\"duet\":{\"rope_local_theta\":100}", "duet.rope_local_theta, which is 100"},
};

static void refused_to_write(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *because;
    } edits[] = {
        {"1e-05", "1e-06", "rms_norm_eps, which is 1e-06; whoever reads it takes 1e-05"},
        {"10000.0", "500000.0", "rope_theta, which is 500000; whoever reads it takes 10000"},
        {"\"silu\"", "\"gelu\"", "hidden_act"},
        {"\"llama\"", "\"qwen3\"", "model_type"},
        {"\"vocab_size\":5", "\"vocab_size\":6", "shape"},
        {"\"vocab_size\":5", "\"vocab_size\":0", "vocab_size"},
        {"layers\":2", "layers\":3", "missing"},
        {"layers\":2", "layers\":1", "no place"},
        {"layers\":2", "layers\":\"2\"", "num_hidden_layers"},
        {"true", "null", "lm_head"},
    };
    struct model_file mf;
    for (size_t i = 0; i < sizeof unwritable / sizeof *unwritable; i++) {
        build(&mf, true, unwritable[i].extra);
        assert_int_equal(model_file_write(&mf, unwritable[i].format, at("no"), &e), ERR_INPUT);
        assert_non_null(strstr(e.msg, unwritable[i].because));
        model_file_close(&mf);
    }
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
        for (size_t f = 0; f < 2; f++) {
            build(&mf, true, "                ");
            char *p = strstr(mf.config, edits[i].from), *rest;
            assert_non_null(p);
            rest = strdup(p + strlen(edits[i].from));
            strcpy(p, edits[i].to);
            strcat(p, rest);
            free(rest);
            assert_int_equal(model_file_write(&mf, fixed[f], at("no"), &e), ERR_INPUT);
            assert_non_null(strstr(e.msg, edits[i].because));
            model_file_close(&mf);
        }
    build(&mf, false, "");
    assert_int_equal(model_file_write(&mf, "blzt4", at("no"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "untied"));
    mf.tensors[2].rope_heads = 1;
    assert_int_equal(model_file_write(&mf, "llama2c", at("no"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "q_proj.weight has rows paired within 1 heads"));
    mf.tensors[2].rope_heads = 0;
    assert_int_equal(model_file_write(&mf, "other", at("no"), &e), ERR_USAGE);
    mf.tensors[0].dtype = DT_U32;
    assert_int_equal(model_file_write(&mf, "llama2c", at("no"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "not a float type"));
    free(mf.config);
    mf.config = strdup("[]");
    assert_int_equal(model_file_write(&mf, "blzt5", at("no"), &e), ERR_INPUT);
    model_file_close(&mf);
    assert_false(file_exists(at("no")));
}

/* Heads narrower than dim / n_heads: BLZT v4 has a field for that, llama2.c has not. */
static void independent_head_dim(void **state) {
    (void)state;
    struct model_file a, b;
    build(&a, true, "");
    char *p = strstr(a.config, "\"head_dim\":4");
    assert_non_null(p);
    p[strlen("\"head_dim\":")] = '2';
    for (size_t i = 0; i < a.n_tensors; i++) {
        struct mf_tensor *t = &a.tensors[i];
        if (strstr(t->name, "q_proj") || strstr(t->name, "k_proj") || strstr(t->name, "v_proj"))
            t->shape[0] /= 2;
        if (strstr(t->name, "o_proj")) t->shape[1] /= 2;
    }
    assert_int_equal(model_file_write(&a, "blzt4", at("a.bin"), &e), 0);
    assert_int_equal(model_file_open(&b, at("a.bin"), false, &e), 0);
    assert_same_weights(&a, &b);
    model_file_close(&b);
    assert_int_equal(model_file_write(&a, "llama2c", at("no"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "head_dim 2"));
    model_file_close(&a);
}

/* Counters that AutoANE would reject are not written; what JSON cannot say is left out of meta. */
static void blzt4_meta(void **state) {
    (void)state;
    struct model_file a, b;
    size_t size;
    build(&a, true, "");
    a.meta = strdup("{\"step\":10000001}");
    assert_int_equal(model_file_write(&a, "blzt4", at("no"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "\"step\" is 10000001"));
    model_file_close(&a);
    uint8_t *data = sample("blzt4", &size);
    const float loss[2] = {0.5f, NAN};
    memcpy(data + 40, loss, sizeof loss);
    assert_int_equal(open_bytes(&b, data, size, false), 0);
    json_t *meta = parsed(b.meta);
    assert_float_equal(json_real_value(json_object_get(meta, "lr")), 0.5, 0);
    assert_null(json_object_get(meta, "loss"));
    json_decref(meta);
    model_file_close(&b);
    free(data);
}

/* f16 and bf16 weights become the f32 that they are. */
static void narrow_weights(void **state) {
    (void)state;
    struct model_file a, b;
    uint16_t half[VOCAB * DIM], brain[HIDDEN * DIM];
    build(&a, true, "");
    dtype_from_f32(DT_F16, pool, half, VOCAB * DIM);
    a.tensors[0].dtype = DT_F16;
    a.tensors[0].data = half;
    struct mf_tensor *gate =
        &a.tensors[model_file_find(&a, "model.layers.1.mlp.gate_proj.weight") - a.tensors];
    dtype_from_f32(DT_BF16, gate->data, brain, HIDDEN * DIM);
    gate->dtype = DT_BF16;
    gate->data = brain;
    for (size_t f = 0; f < 2; f++) {
        assert_int_equal(model_file_write(&a, fixed[f], at("a.bin"), &e), 0);
        assert_int_equal(model_file_open(&b, at("a.bin"), false, &e), 0);
        assert_same_weights(&a, &b);
        model_file_close(&b);
    }
    model_file_close(&a);
}

/* Writes mf as llama2c over at("a.bin") with at most so many bytes a file. */
static int write_limited(const struct model_file *mf, rlim_t bytes) {
    struct rlimit limit, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = bytes;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const int rc = model_file_write(mf, "llama2c", at("a.bin"), &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    return rc;
}

static void assert_content(const char *name, const void *data, size_t bytes) {
    size_t n;
    uint8_t *x = slurp(at(name), &n);
    assert_int_equal(n, bytes);
    assert_memory_equal(x, data, n);
    free(x);
}

/* A full disk, for the model or for the tokenizer beside it: neither of the two is new then. */
static void failed_write(void **state) {
    (void)state;
    static const char small[] = "a tokenizer";
    static char large[1 << 14];
    struct model_file mf;
    const size_t bytes = 28 + 4 * TIED_COUNT + 4 * SEQ * HD;
    remove(at("a.bin"));
    assert_true(bytes < sizeof large);
    for (int old = 0; old <= 1; old++)
        for (int k = 0; k < 2; k++) {
            const char *tok = k ? large : small;
            const size_t n = k ? sizeof large : sizeof small;
            build(&mf, true, "");
            assert_int_equal(model_file_side(&mf, "tokenizer.bin", tok, n, NULL, &e), 0);
            if (old) {
                FILE *f = fopen(at("a.bin"), "wb");
                assert_true(f && fputs("old", f) >= 0 && fclose(f) == 0);
            }
            assert_int_equal(write_limited(&mf, k ? bytes : bytes - 1), ERR_IO);
            assert_non_null(strstr(e.msg, k ? "tokenizer.bin" : "a.bin"));
            assert_false(file_exists(at("tokenizer.bin")));
            assert_false(file_exists(at("tokenizer.bin.duet-tmp")));
            assert_false(file_exists(at("a.bin.duet-tmp")));
            if (old)
                assert_content("a.bin", "old", 3);
            else
                assert_false(file_exists(at("a.bin")));
            model_file_close(&mf);
        }
    build(&mf, true, "");
    assert_int_equal(model_file_side(&mf, "tokenizer.bin", small, sizeof small, NULL, &e), 0);
    assert_int_equal(write_limited(&mf, bytes), 0);
    assert_content("tokenizer.bin", small, sizeof small);
    remove(at("tokenizer.bin"));
    remove(at("a.bin"));
    model_file_close(&mf);
}

/* A model that llama2.c's exporter wrote: https://huggingface.co/karpathy/tinyllamas */
static void stories260k(void **state) {
    (void)state;
    const char *path = data_file("weights/stories260K/stories260K.bin");
    struct model_file mf, again;
    assert_int_equal(model_file_open(&mf, path, true, &e), 0);
    assert_string_equal(mf.format->name, "llama2c");
    static const struct {
        const char *key;
        int value;
    } sizes[] = {{"hidden_size", 64},        {"intermediate_size", 172},
                 {"num_hidden_layers", 5},   {"num_attention_heads", 8},
                 {"num_key_value_heads", 4}, {"head_dim", 8},
                 {"vocab_size", 512},        {"max_position_embeddings", 512},
                 {"bos_token_id", 1},        {"eos_token_id", 2}};
    json_t *c = parsed(mf.config);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_int_equal(json_integer_value(json_object_get(c, sizes[i].key)), sizes[i].value);
    assert_true(json_is_true(json_object_get(c, "tie_word_embeddings")));
    json_decref(c);
    uint64_t count = 0;
    for (size_t i = 0; i < mf.n_tensors; i++) count += mf_tensor_count(&mf.tensors[i]);
    assert_int_equal(count, 260032);
    assert_int_equal(mf.n_tensors, 5 * 9 + 2);
    /* A norm is near 1 and positive throughout: it would not be, anywhere but in its place. */
    const float *norm =
        model_file_find(&mf, "model.layers.4.post_attention_layernorm.weight")->data;
    for (int i = 0; i < 64; i++) assert_true(norm[i] > 0.1f && norm[i] < 10);
    /* Written again, the weights are the same bytes; the rotary tables agree to rounding. */
    assert_int_equal(model_file_write(&mf, "llama2c", at("a.bin"), &e), 0);
    size_t n, m, tables = 28 + 4 * 260032;
    uint8_t *x = slurp(path, &n), *y = slurp(at("a.bin"), &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, tables);
    for (size_t i = tables; i < n; i += 4) assert_float_equal(f32_at(x, i), f32_at(y, i), 4e-5);
    free(x);
    free(y);
    assert_int_equal(model_file_write(&mf, "blzt5", at("a.blzt"), &e), 0);
    assert_int_equal(model_file_open(&again, at("a.blzt"), true, &e), 0);
    assert_same_weights(&mf, &again);
    assert_same_json(mf.config, again.config);
    model_file_close(&mf);
    model_file_close(&again);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blzt4_round_trip),     cmocka_unit_test(llama2c_round_trip),
        cmocka_unit_test(llama2c_version1),     cmocka_unit_test(hostile_fields),
        cmocka_unit_test(refused_to_write),     cmocka_unit_test(narrow_weights),
        cmocka_unit_test(independent_head_dim), cmocka_unit_test(blzt4_meta),
        cmocka_unit_test(failed_write), cmocka_unit_test(older_blzt),
        cmocka_unit_test(sidecar),              data_test(stories260k),
    };
    return data_run(argc, argv, tests, make_dir, remove_dir);
}
