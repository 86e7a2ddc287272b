/* Vocabularies and adapters in GGUF. */
#include "data.h"
#include "gguf_fixture.h"

static struct vocab_text text(const char *s) {
    return (struct vocab_text){s, (uint32_t)strlen(s)};
}

/* Five tokens, of which one is not ASCII. */
static struct vocab *make_vocab(enum vocab_model model) {
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "\xe2\x96\x81", "ab"};
    struct vocab *v = calloc(1, sizeof *v);
    *v = (struct vocab){.model = model,
                        .n = 5,
                        .bos = 1,
                        .eos = 2,
                        .unk = 0,
                        .pad = -1,
                        .add_bos = true,
                        .add_eos = true,
                        .add_space_prefix = model == VOCAB_SPM,
                        .remove_extra_spaces = model == VOCAB_SPM};
    v->tokens = calloc(5, sizeof *v->tokens);
    v->types = calloc(5, 1);
    for (int i = 0; i < 5; i++) {
        v->tokens[i] = text(tokens[i]);
        v->types[i] = i < 3 ? VOCAB_CONTROL : VOCAB_NORMAL;
    }
    if (model == VOCAB_SPM) {
        v->scores = calloc(5, sizeof *v->scores);
        for (int i = 0; i < 5; i++) v->scores[i] = -0.1f * (float)i;
        return v;
    }
    strcpy(v->pre, "smollm");
    v->merges = calloc(2, sizeof *v->merges);
    v->n_merges = 2;
    v->merges[0] = text("a b");
    v->merges[1] = text("\xe2\x96\x81 a");
    return v;
}

static void assert_same_vocab(const struct vocab *a, const struct vocab *b, uint32_t n) {
    assert_int_equal(a->model, b->model);
    assert_string_equal(a->pre, b->pre);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(a->tokens[i].n, b->tokens[i].n);
        assert_memory_equal(a->tokens[i].s, b->tokens[i].s, a->tokens[i].n);
        assert_int_equal(a->types[i], b->types[i]);
        if (a->model == VOCAB_SPM) assert_memory_equal(a->scores + i, b->scores + i, 4);
    }
    assert_int_equal(a->n_merges, b->n_merges);
    for (size_t i = 0; i < a->n_merges; i++)
        assert_memory_equal(a->merges[i].s, b->merges[i].s, a->merges[i].n);
    assert_true(a->bos == b->bos && a->eos == b->eos && a->unk == b->unk && a->pad == b->pad);
    assert_true(a->add_bos == b->add_bos && a->add_eos == b->add_eos &&
                a->add_space_prefix == b->add_space_prefix &&
                a->remove_extra_spaces == b->remove_extra_spaces);
}

/* 7 rows and 5 tokens: the rest is padded. */
static void round_trip(void **state) {
    (void)state;
    for (enum vocab_model model = VOCAB_BPE; model <= VOCAB_SPM; model++) {
        struct model_file a, b;
        struct mini m;
        build_model(&a, &llama_spec, ",\"duet\":{\"chat_template\":\"{{ \\u00e9 }}\\n\"}");
        a.vocab = make_vocab(model);
        assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
        mini_read(&m, at("a.bin"));
        expect_text(&m, "tokenizer.ggml.model", model == VOCAB_BPE ? "gpt2" : "llama");
        expect_text(&m, "tokenizer.ggml.pre", model == VOCAB_BPE ? "smollm" : "default");
        expect_item(&m, "tokenizer.ggml.tokens", 3, "\xe2\x96\x81");
        expect_item(&m, "tokenizer.ggml.tokens", 6, "[PAD6]");
        expect_u32(&m, "tokenizer.ggml.bos_token_id", 1);
        expect_u32(&m, "tokenizer.ggml.eos_token_id", 2);
        expect_u32(&m, "tokenizer.ggml.unknown_token_id", 0);
        assert_null(mini_find(&m, "tokenizer.ggml.padding_token_id"));
        expect_bool(&m, "tokenizer.ggml.add_bos_token", true);
        expect_bool(&m, "tokenizer.ggml.add_eos_token", true);
        expect_text(&m, "tokenizer.chat_template", "{{ \xc3\xa9 }}\n");
        const struct mini_kv *types = mini_find(&m, "tokenizer.ggml.token_type");
        assert_true(types->item == I32 && types->n == 7);
        const uint8_t *p = types->value + 24;
        assert_int_equal(le(&p, 4), VOCAB_UNUSED);
        if (model == VOCAB_BPE) {
            expect_item(&m, "tokenizer.ggml.merges", 1, "\xe2\x96\x81 a");
            assert_null(mini_find(&m, "tokenizer.ggml.scores"));
            assert_null(mini_find(&m, "tokenizer.ggml.add_space_prefix"));
            assert_null(mini_find(&m, "tokenizer.ggml.remove_extra_whitespaces"));
        } else {
            const struct mini_kv *scores = mini_find(&m, "tokenizer.ggml.scores");
            assert_true(scores->item == F32 && scores->n == 7);
            assert_memory_equal(scores->value, a.vocab->scores, 20);
            expect_bool(&m, "tokenizer.ggml.add_space_prefix", true);
            expect_bool(&m, "tokenizer.ggml.remove_extra_whitespaces", true);
            assert_null(mini_find(&m, "tokenizer.ggml.merges"));
        }
        assert_ok(model_file_open(&b, at("a.bin"), false, &e));
        assert_int_equal(b.vocab->n, 7);
        assert_same_vocab(a.vocab, b.vocab, 5);
        json_t *j = parsed(b.config);
        assert_string_equal(
            json_string_value(json_object_get(json_object_get(j, "duet"), "chat_template")),
            "{{ \xc3\xa9 }}\n");
        assert_int_equal(json_integer_value(json_object_get(j, "eos_token_id")), 2);
        assert_null(json_object_get(j, "pad_token_id"));
        json_decref(j);
        free(m.bytes);
        model_file_close(&a);
        model_file_close(&b);
    }
}

static void refused_to_write(void **state) {
    (void)state;
    struct model_file a;
    build_model(&a, &qwen3_spec, ""); /* 5 rows */
    a.vocab = make_vocab(VOCAB_BPE);
    a.vocab->n_merges = 0;
    assert_int_equal(model_file_write(&a, "gguf", at("c.bin"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "no merges"));
    a.vocab->n_merges = 2;
    assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
    model_file_close(&a);
    struct spec s = qwen3_spec;
    s.vocab = 4;
    build_model(&a, &s, "");
    a.vocab = make_vocab(VOCAB_BPE);
    assert_int_equal(model_file_write(&a, "gguf", at("c.bin"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "5 tokens, but the model's vocabulary only 4"));
    model_file_close(&a);
    build_model(&a, &llama_spec, "");
    a.vocab = make_vocab(VOCAB_SPM);
    a.vocab->tokens[4] = text("[PAD6]");
    assert_int_equal(model_file_write(&a, "gguf", at("c.bin"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "[PAD6]"));
    a.vocab->tokens[4] = text("[PAD4]");
    assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
    model_file_close(&a);
    assert_false(file_exists(at("c.bin")));
}

/* What a file does not say. */
static void defaults(void **state) {
    (void)state;
    struct parts f;
    struct model_file a;
    small_file(&f);
    assert_ok(open_parts(&a, &f));
    assert_true(a.vocab->bos == 1 && a.vocab->eos == 2 && a.vocab->unk == 0 && a.vocab->pad == -1);
    assert_true(a.vocab->add_bos && !a.vocab->add_eos && a.vocab->add_space_prefix &&
                !a.vocab->remove_extra_spaces);
    model_file_close(&a);
    set_bool(&f, "tokenizer.ggml.remove_extra_whitespaces", 1);
    assert_ok(open_parts(&a, &f));
    assert_true(a.vocab->remove_extra_spaces);
    assert_null(strstr(a.config, "remove_extra_whitespaces")); /* written from the vocabulary */
    model_file_close(&a);
    set_u32(&f, "tokenizer.ggml.remove_extra_whitespaces", 1);
    assert_left_out(&f, "tokenizer.ggml.remove_extra_whitespaces");
    set_bool(&f, "tokenizer.ggml.remove_extra_whitespaces", 0);
    drop_key(&f, "tokenizer.ggml.scores");
    drop_key(&f, "tokenizer.ggml.token_type");
    assert_ok(open_parts(&a, &f));
    assert_true(a.vocab->scores[2] == 0 && a.vocab->types[2] == VOCAB_NORMAL);
    model_file_close(&a);
    set_text(&f, "tokenizer.ggml.model", "gpt2");
    set_array(&f, "tokenizer.ggml.merges", STRING, 1, "a b", 0);
    set_bool(&f, "tokenizer.ggml.add_space_prefix", 1); /* not of this model: kept */
    assert_ok(open_parts(&a, &f));
    assert_true(a.vocab->bos == -1 && a.vocab->eos == -1 && !a.vocab->add_bos);
    assert_null(a.vocab->scores);
    assert_string_equal(a.vocab->pre, "");
    assert_non_null(strstr(a.config, "\"tokenizer.ggml.add_space_prefix\":[\"bool\",true]"));
    assert_non_null(
        strstr(a.config, "\"tokenizer.ggml.remove_extra_whitespaces\":[\"bool\",false]"));
    assert_false(a.vocab->remove_extra_spaces);
    model_file_close(&a);
    set_text(&f, "tokenizer.ggml.pre", "llama-bpe");
    assert_ok(open_parts(&a, &f));
    assert_true(a.vocab->add_bos);
    model_file_close(&a);
    set_text(&f, "tokenizer.ggml.model", "none");
    set_u32(&f, "tokenizer.ggml.bos_token_id", 2);
    assert_ok(open_parts(&a, &f));
    assert_null(a.vocab);
    assert_non_null(strstr(a.config, "\"bos_token_id\":2"));
    model_file_close(&a);
}

/* Vocabularies of llama.cpp's own tests: files without tensors, of any architecture. */
static void real_vocabularies(void **state) {
    (void)state;
    static const struct {
        const char *name, *arch, *token;
        enum vocab_model model;
        uint32_t n, id;
        size_t merges;
        int64_t bos;
    } files[] = {{"gpt-2", "gpt2", "\xc4\xa0the", VOCAB_BPE, 50257, 262, 50000, 50256},
                 {"llama-spm", "llama", "<0x0A>", VOCAB_SPM, 32000, 13, 0, 1}};
    for (size_t i = 0; i < 2; i++) {
        char name[128];
        struct model_file mf;
        snprintf(name, sizeof name, "tokenizers/vectors/ggml-vocab-%s.gguf", files[i].name);
        assert_ok(model_file_open(&mf, data_file(name), false, &e));
        const struct vocab *v = mf.vocab;
        json_t *j = parsed(mf.config);
        assert_string_equal(json_string_value(json_object_get(j, "model_type")), files[i].arch);
        json_decref(j);
        assert_int_equal(mf.n_tensors, 0);
        assert_int_equal(v->model, files[i].model);
        assert_int_equal(v->n, files[i].n);
        assert_int_equal(v->n_merges, files[i].merges);
        assert_int_equal(v->bos, files[i].bos);
        assert_int_equal(v->tokens[files[i].id].n, strlen(files[i].token));
        assert_memory_equal(v->tokens[files[i].id].s, files[i].token, strlen(files[i].token));
        if (v->model == VOCAB_SPM) assert_int_equal(v->types[files[i].id], VOCAB_BYTE);
        model_file_close(&mf);
    }
}

/* ---- adapters ------------------------------------------------------------------------------- */

static void add_lora(struct model_file *mf, const char *name, int rows, int cols, float scale) {
    struct rng r = rng_make(5, RNG_TEST, (uint64_t)rows, (uint64_t)cols, strlen(name));
    char copy[128];
    float *x = calloc((size_t)(rows * cols), sizeof *x);
    for (int i = 0; i < rows * cols; i++) x[i] = (float)rng_normal(&r) * scale;
    snprintf(copy, sizeof copy, "%s", name);
    const struct mf_tensor t = {.name = copy,
                                .dtype = DT_F32,
                                .ndim = 2,
                                .shape = {(uint64_t)rows, (uint64_t)cols},
                                .data = x};
    assert_ok(model_file_add(mf, &t, &e));
}

/* Of a base with 2 heads of 4 and one of keys; q has rank 1, the others 4. */
static void build_adapter(struct model_file *mf, const char *arch, const char *settings) {
    *mf = (struct model_file){.archs = &arch_parts};
    add_lora(mf, "model.layers.0.self_attn.q_proj.lora_A.weight", 1, 8, 1);
    add_lora(mf, "model.layers.0.self_attn.q_proj.lora_B.weight", 8, 1, 1);
    add_lora(mf, "model.layers.0.self_attn.k_proj.lora_A.weight", 4, 8, 1);
    add_lora(mf, "model.layers.0.self_attn.k_proj.lora_B.weight", 4, 4, 1);
    add_lora(mf, "model.layers.11.mlp.down_proj.lora_A.weight", 4, 12, 1);
    add_lora(mf, "model.layers.11.mlp.down_proj.lora_B.weight", 8, 4, 1);
    mf->config = malloc(1024);
    snprintf(mf->config, 1024,
             "{\"model_type\":\"%s\",\"hidden_size\":8,\"num_attention_heads\":2,"
             "\"num_key_value_heads\":1,\"duet_adapter\":{\"version\":1,\"rank\":4,%s,"
             "\"targets\":\"q,k,down\",\"init\":\"peft\"}}",
             arch, settings);
}

static void close_adapter(struct model_file *mf) {
    union {
        const void *in;
        void *out;
    } p;
    for (size_t i = 0; i < mf->n_tensors; i++) {
        p.in = mf->tensors[i].data;
        free(p.out);
    }
    model_file_close(mf);
}

static const float *floats(const struct mini_tensor *t) {
    return (const float *)(const void *)t->data;
}

/* As it was written by adapter_round_trip. */
static void read_adapter(struct model_file *b, bool qwen) {
    assert_ok(model_file_open(b, at("a.bin"), false, &e));
    json_t *j = parsed(b->config);
    json_t *want = parsed("{\"version\":1,\"rank\":4,\"alpha\":6.0,\"rslora\":false,"
                          "\"targets\":\"q,k,down\",\"init\":\"peft\",\"norms\":false}");
    assert_true(json_equal(json_object_get(j, "duet_adapter"), want));
    json_decref(want);
    json_decref(j);
    const struct mf_tensor *t = model_file_find(b, "model.layers.0.self_attn.q_proj.lora_B.weight");
    assert_true(t->factor == 4);
    assert_int_equal(t->rope_heads, qwen ? 0 : MF_ROPE_Q);
    t = model_file_find(b, "model.layers.0.self_attn.k_proj.lora_B.weight");
    assert_true(t->factor == 0);
    assert_int_equal(t->rope_heads, qwen ? 0 : MF_ROPE_K);
    t = model_file_find(b, "model.layers.0.self_attn.k_proj.lora_A.weight");
    assert_int_equal(t->rope_heads, 0);
    assert_true(t->shape[0] == 4 && t->shape[1] == 8);
}

static void adapter_round_trip(void **state) {
    (void)state;
    for (int qwen = 0; qwen < 2; qwen++) {
        struct model_file a, b, c;
        struct mini m;
        build_adapter(&a, qwen ? "qwen2" : "llama",
                      "\"alpha\":6.0,\"rslora\":false,\"norms\":false");
        assert_ok(model_file_write(&a, "gguf", at("a.bin"), &e));
        mini_read(&m, at("a.bin"));
        expect_text(&m, "general.type", "adapter");
        expect_text(&m, "general.architecture", qwen ? "qwen2" : "llama");
        expect_text(&m, "adapter.type", "lora");
        expect_f32(&m, "adapter.lora.alpha", 6);
        assert_int_equal(m.n_t, 6);
        const struct mini_tensor *qb = mini_tensor(&m, "blk.0.attn_q.weight.lora_b"),
                                 *da = mini_tensor(&m, "blk.11.ffn_down.weight.lora_a"),
                                 *kb = mini_tensor(&m, "blk.0.attn_k.weight.lora_b");
        assert_true(qb->n_dims == 2 && qb->ne[0] == 1 && qb->ne[1] == 8);
        assert_true(da->ne[0] == 12 && da->ne[1] == 4);
        assert_memory_equal(da->data, a.tensors[4].data, 12 * 4 * 4);
        /* llama.cpp multiplies with alpha / 1, duet with alpha / 4. Rows are pairs in a llama. */
        const float *q = a.tensors[1].data, *k = a.tensors[3].data;
        for (int h = 0; h < 2; h++)
            for (int j = 0; j < 2; j++)
                for (int i = 0; i < 2; i++) {
                    const int from = h * 4 + j * 2 + i, to = qwen ? from : h * 4 + 2 * i + j;
                    assert_true(floats(qb)[to] == q[from] / 4);
                    if (h == 0) assert_memory_equal(floats(kb) + 4 * to, k + 4 * from, 16);
                }
        read_adapter(&b, qwen);
        /* Written again: heads are not known, and not needed. */
        free(b.config);
        b.config = strdup(a.config);
        free(b.path);
        b.path = NULL;
        assert_ok(model_file_write(&b, "gguf", at("b.bin"), &e));
        assert_ok(model_file_open(&c, at("b.bin"), false, &e));
        size_t n;
        uint8_t *again = slurp(at("b.bin"), &n);
        assert_int_equal(n, m.size);
        assert_memory_equal(again, m.bytes, n);
        free(again);
        free(m.bytes);
        model_file_close(&b);
        model_file_close(&c);
        close_adapter(&a);
    }
}

static void adapter_settings(void **state) {
    (void)state;
    static const struct {
        const char *settings, *because;
        float alpha;
    } cases[] = {{"\"alpha\":3,\"rslora\":true,\"norms\":false", NULL, 6},
                 {"\"alpha\":0,\"rslora\":false,\"norms\":false", "alpha", 0},
                 {"\"alpha\":\"1\",\"rslora\":false,\"norms\":false", "alpha", 0},
                 {"\"alpha\":1,\"rslora\":false,\"norms\":true", "merge it", 0}};
    struct model_file a;
    struct mini m;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        build_adapter(&a, "llama", cases[i].settings);
        const int rc = model_file_write(&a, "gguf", at("c.bin"), &e);
        assert_int_equal(rc, cases[i].because ? ERR_INPUT : 0);
        if (rc) {
            assert_non_null(strstr(e.msg, cases[i].because));
        } else {
            mini_read(&m, at("c.bin"));
            expect_f32(&m, "adapter.lora.alpha", cases[i].alpha);
            free(m.bytes);
            remove(at("c.bin"));
        }
        close_adapter(&a);
    }
    build_adapter(&a, "llama", "\"alpha\":1");
    a.tensors[1].shape[1] = 2;
    a.tensors[1].shape[0] = 4;
    assert_int_equal(model_file_write(&a, "gguf", at("c.bin"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "the same rank"));
    close_adapter(&a);
    build_adapter(&a, "llama", "\"alpha\":1");
    add_lora(&a, "model.norm.weight", 1, 8, 1);
    assert_int_equal(model_file_write(&a, "gguf", at("c.bin"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "no place for tensor model.norm.weight"));
    close_adapter(&a);
    assert_false(file_exists(at("c.bin")));
}

static void adapter_file(struct parts *f) {
    *f = (struct parts){.version = 3, .align = 32};
    set_text(f, "general.architecture", "llama");
    set_text(f, "general.type", "adapter");
    set_text(f, "adapter.type", "lora");
    set_f32(f, "adapter.lora.alpha", 4);
    add_info(f, "blk.3.attn_q.weight.lora_a", 8, 0); /* rank 1: one dimension is enough */
    add_info(f, "blk.3.attn_q.weight.lora_b", 1, 8);
    add_info(f, "blk.3.ffn_up.weight.lora_a", 8, 2);
    add_info(f, "blk.3.ffn_up.weight.lora_b", 2, 5);
}

static void adapter_reading(void **state) {
    (void)state;
    struct parts f, g;
    struct model_file a;
    adapter_file(&f);
    assert_ok(open_parts(&a, &f));
    assert_non_null(strstr(a.config, "\"targets\":\"q,up\""));
    assert_non_null(strstr(a.config, "\"alpha\":4.0"));
    assert_true(model_file_find(&a, "model.layers.3.self_attn.q_proj.lora_B.weight")->factor == 2);
    model_file_close(&a);
    g = f; /* no alpha: every weight has scale 1 */
    drop_key(&g, "adapter.lora.alpha");
    assert_ok(open_parts(&a, &g));
    assert_non_null(strstr(a.config, "\"alpha\":2.0"));
    assert_true(model_file_find(&a, "model.layers.3.self_attn.q_proj.lora_B.weight")->factor == 0);
    model_file_close(&a);

    g = f;
    set_text(&g, "adapter.type", "control");
    assert_bad(&g, "adapter.type is of another kind");
    drop_key(&g, "adapter.type");
    assert_bad(&g, "adapter.type is missing");
    g = f;
    set_f32(&g, "adapter.lora.alpha", INFINITY);
    assert_bad(&g, "adapter.lora.alpha");
    g = f;
    set_array(&g, "adapter.alora.invocation_tokens", U32, 1, "\1\0\0\0", 4);
    assert_bad(&g, "adapter.alora.invocation_tokens");
    g = f;
    g.n_t = g.data = 0;
    assert_bad(&g, "without tensors");
}

static void adapter_tensors(void **state) {
    (void)state;
    struct parts f, g;
    adapter_file(&f);
    static const char *const names[] = {
        "token_embd.weight.lora_a",
        "output.weight.lora_a",
        "blk.3.attn_norm.weight",
        "blk.3.attn_q.bias.lora_a",
        "blk.3.attn_q.weight.lora_c",
        "blk.03.attn_q.weight.lora_a",
        "blk.123456.attn_q.weight.lora_a",
        "blk..attn_q.weight.lora_a",
        ".lora_a",
        "x",
        "blk.4294967296.attn_q.weight.lora_a",
        "blk.-1.attn_q.weight.lora_a",
        "direction.99999999999",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        g = f;
        g.t[0].name = names[i];
        assert_bad(&g, names[i]);
    }
    g = f;
    g.t[0].name = "blk.4.attn_q.weight.lora_a";
    assert_bad(&g, "but not model.layers.4.self_attn.q_proj.lora_B.weight");
    g = f;
    g.t[2].name = "blk.3.attn_q.weight.lora_a";
    assert_bad(&g, "twice");
    g = f;
    g.t[3] = (struct info){"blk.3.ffn_up.weight.lora_b", 2, 0, {1, 5}, g.t[3].offset};
    g.data -= 32;
    assert_bad(&g, "has rank 2, but");
    g = f;
    g.t[1].ne[0] = 8;
    g.t[1].ne[1] = 1;
    assert_bad(&g, "rank 1, but");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),         cmocka_unit_test(refused_to_write),
        cmocka_unit_test(defaults),           data_test(real_vocabularies),
        cmocka_unit_test(adapter_round_trip), cmocka_unit_test(adapter_settings),
        cmocka_unit_test(adapter_reading),    cmocka_unit_test(adapter_tensors),
    };
    const int status = data_run(argc, argv, tests, make_dir, remove_dir);
    free(weights);
    return status;
}
