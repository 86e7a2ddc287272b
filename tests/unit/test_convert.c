/* Models from format to format: the same function, the same bits where nothing is rounded; what a
 * format cannot hold is refused. The formats' own tests are elsewhere. */
#include "convert_fixture.h"

#include "arch.h"

/* What differs from a tied llama of 2 layers, as JSON members. */
static const struct kind {
    const char *name, *keys;
    const char *gguf_arch, *hf_type;
} kinds[] = {
    {"llama", "\"model_type\":\"llama\"", "llama", "llama"},
    {"untied", "\"tie_word_embeddings\":false", "llama", "llama"},
    {"mistral", "\"model_type\":\"mistral\",\"sliding_window\":null", "llama", "mistral"},
    {"wide heads", "\"head_dim\":64", "llama", "llama"},
    {"biased llama", "\"attention_bias\":true", "llama", "qwen2"},
    {"qwen2", "\"model_type\":\"qwen2\",\"use_sliding_window\":false", "qwen2", "qwen2"},
    {"qwen3", "\"model_type\":\"qwen3\",\"head_dim\":32,\"tie_word_embeddings\":false", "qwen3",
     "qwen3"},
    {"llama with QK-norm", "\"duet\":{\"qk_norm\":true}", "qwen3", "qwen3"},
    {"base 100000", "\"rope_theta\":100000,\"rms_norm_eps\":1e-6", "llama", "llama"},
    {"linear", "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4.0}", "llama", "llama"},
    {"llama3",
     "\"rope_theta\":500000.0,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,"
     "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192}",
     "llama", "llama"},
    {"llama3 of transformers 5",
     "\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":500000.0,\"factor\":32.0,"
     "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192}",
     "llama", "llama"},
    {"linear of transformers 5",
     "\"model_type\":\"qwen2\",\"rope_parameters\":{\"rope_type\":\"linear\",\"rope_theta\":3e5,"
     "\"factor\":2.0}",
     "qwen2", "qwen2"},
    {"base alone", "\"rope_parameters\":{\"rope_theta\":7000.0}", "llama", "llama"},
    {"transformers 5", "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":20000.0}",
     "llama", "llama"},
    {"arcee", "\"model_type\":\"arcee\",\"hidden_act\":\"relu2\"", "arcee", "arcee"},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* Every tensor of a is in b with the same type and bits, and the other way. */
static void same_tensors(const char *a, const char *b) {
    struct model_file x, y;
    ok(model_file_open(&x, a, true, &e));
    ok(model_file_open(&y, b, true, &e));
    assert_int_equal(x.n_tensors, y.n_tensors);
    for (size_t i = 0; i < x.n_tensors; i++) {
        const struct mf_tensor *t = x.tensors + i, *u = model_file_find(&y, t->name);
        assert_non_null(u);
        assert_int_equal(t->dtype, u->dtype);
        assert_int_equal(t->ndim, u->ndim);
        assert_int_equal(t->rope_heads, u->rope_heads);
        assert_int_equal(mf_tensor_count(t), mf_tensor_count(u));
        assert_memory_equal(t->data, u->data, dtype_bytes(t->dtype, mf_tensor_count(t)));
    }
    model_file_close(&x);
    model_file_close(&y);
}

static json_t *config_of(const char *path) {
    struct model_file mf;
    json_error_t je;
    ok(model_import(&mf, path, false, &e));
    json_t *j = json_loads(mf.config, 0, &je);
    model_file_close(&mf);
    return j;
}

/* The keys of both that say what is computed. */
static void same_function(const char *a, const char *b) {
    struct model_config x, y;
    for (int i = 0; i < 2; i++) {
        json_t *j = config_of(i ? b : a);
        char *text = json_dumps(j, 0);
        ok(model_config_parse(i ? &y : &x, text, strlen(text), "test", NULL, &e));
        free(text);
        json_decref(j);
    }
    assert_int_equal(x.dim, y.dim);
    assert_int_equal(x.head_dim, y.head_dim);
    assert_int_equal(x.heads, y.heads);
    assert_int_equal(x.kv_heads, y.kv_heads);
    assert_int_equal(x.hidden, y.hidden);
    assert_int_equal(x.layers, y.layers);
    assert_int_equal(x.vocab, y.vocab);
    assert_int_equal(x.max_pos, y.max_pos);
    assert_true(x.eps == y.eps && x.theta == y.theta);
    assert_int_equal(x.tied, y.tied);
    assert_int_equal(x.attention_bias, y.attention_bias);
    assert_int_equal(x.qk_norm, y.qk_norm);
    assert_int_equal(x.rope_factors != NULL, y.rope_factors != NULL);
    for (int64_t i = 0; x.rope_factors && i < x.head_dim / 2; i++)
        assert_true((float)x.rope_factors[i] == (float)y.rope_factors[i]);
    model_config_release(&x);
    model_config_release(&y);
}

/* BLZT -> other -> BLZT -> other, each with the bits it should have. So the predecessors' mistakes
 * stay out: order of query and key rows, rotary base and context of its own (U3); head size that is
 * not dim/heads (U4); biases, QK-norm, an untied classifier, rotary scaling and eps that importers
 * dropped (U5). */
static void round_trip(const struct kind *k, const char *format, const char *other, enum dtype t) {
    char there[80], again[80];
    snprintf(there, sizeof there, "there%s", other);
    snprintf(again, sizeof again, "again%s", other);
    const bool scaled = strstr(k->name, "llama3") != NULL;
    write_model(at("a.blzt"), k->keys, t);
    ok(convert(at("a.blzt"), at(there), format, -1));
    assert_int_equal(report.exact, !scaled || strcmp(format, "gguf") != 0);
    const struct compare c = compare(at("a.blzt"), at(there));
    if (scaled) /* the factors become f32 */
        assert_true(c.max_diff < 1e-4 * c.max_logit);
    else
        assert_true(c.exact);
    assert_true(c.max_logit > 0.1);
    ok(convert(at(there), at("b.blzt"), "blzt5", -1));
    if (t == DT_F32) same_tensors(at("a.blzt"), at("b.blzt"));
    if (strcmp(k->name, "llama with QK-norm") != 0) same_function(at("a.blzt"), at("b.blzt"));
    ok(convert(at("b.blzt"), at(again), format, -1));
    same_tensors(at(there), at(again));
    same_function(at(there), at(again));
}

static void hugging_face(void **state) {
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        round_trip(kinds + k, "hf", "/", DT_F32);
        json_t *j = config_of(at("there/"));
        assert_string_equal(json_string_value(json_object_get(j, "model_type")), kinds[k].hf_type);
        assert_string_equal(json_string_value(json_object_get(j, "torch_dtype")), "float32");
        assert_null(json_object_get(j, "duet"));
        json_decref(j);
        round_trip(kinds + k, "hf", "/", DT_BF16);
    }
}

static void gguf(void **state) {
    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        round_trip(kinds + k, "gguf", ".gguf", DT_F32);
        json_t *j = config_of(at("there.gguf"));
        assert_string_equal(json_string_value(json_object_get(j, "model_type")),
                            kinds[k].gguf_arch);
        json_decref(j);
        round_trip(kinds + k, "gguf", ".gguf", DT_BF16);
    }
}

static void fixed_layouts(void **state) {
    (void)state;
    round_trip(kinds, "llama2c", ".bin", DT_F32);
    round_trip(kinds + 1, "llama2c", ".bin", DT_F32);
    round_trip(kinds + 1, "llama2c_v1", ".bin", DT_F32);
    round_trip(kinds, "blzt4", ".blzt4", DT_F32);
}

/* Types asked for: what is stored, and how far the logits are. */
static void types(void **state) {
    (void)state;
    static const struct {
        const char *format, *file;
        enum dtype ask, matrix, vocab, vector;
    } cases[] = {
        {"gguf", "t.gguf", DT_F16, DT_F16, DT_F16, DT_F32},
        {"gguf", "t.gguf", DT_BF16, DT_BF16, DT_BF16, DT_F32},
        {"gguf", "t.gguf", DT_Q8_0, DT_Q8_0, DT_Q8_0, DT_F32},
        {"gguf", "t.gguf", DT_Q4_0, DT_Q4_0, DT_Q8_0, DT_F32},
        {"blzt5", "t.blzt", DT_F16, DT_F16, DT_F16, DT_F32},
        {"blzt5", "t.blzt", DT_Q4_0, DT_Q4_0, DT_Q8_0, DT_F32},
        {"hf", "t/", DT_F16, DT_F16, DT_F16, DT_F16},
        {"hf", "t/", DT_BF16, DT_BF16, DT_BF16, DT_BF16},
    };
    write_model(at("a.blzt"), kinds[1].keys, DT_F32);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_file mf;
        ok(convert(at("a.blzt"), at(cases[i].file), cases[i].format, cases[i].ask));
        assert_false(report.exact);
        const struct compare c = compare(at("a.blzt"), at(cases[i].file));
        assert_false(c.exact);
        assert_true(c.max_diff <= report.bound * c.max_logit);
        ok(model_file_open(&mf, at(cases[i].file), true, &e));
        assert_int_equal(model_file_find(&mf, "model.layers.1.mlp.down_proj.weight")->dtype,
                         cases[i].matrix);
        assert_int_equal(model_file_find(&mf, "lm_head.weight")->dtype, cases[i].vocab);
        assert_int_equal(model_file_find(&mf, "model.norm.weight")->dtype, cases[i].vector);
        model_file_close(&mf);
        /* what was rounded once comes through other formats as it is */
        ok(convert(at(cases[i].file), at("back.blzt"), "blzt5", -1));
        assert_true(compare(at(cases[i].file), at("back.blzt")).exact);
    }
    assert_int_equal(convert(at("a.blzt"), at("u/"), "hf", DT_Q8_0), ERR_USAGE);
    assert_int_equal(convert(at("a.blzt"), at("u.bin"), "llama2c", DT_F16), ERR_USAGE);
    assert_false(file_exists(at("u")) || file_exists(at("u.bin")));
}

/* Quantised weights in a format that has no such type are widened, exactly. */
static void dequantised(void **state) {
    (void)state;
    write_model(at("a.blzt"), kinds[0].keys, DT_F32);
    ok(convert(at("a.blzt"), at("q.gguf"), "gguf", DT_Q4_0));
    ok(convert(at("q.gguf"), at("h/"), "hf", -1));
    assert_true(report.exact);
    assert_true(compare(at("q.gguf"), at("h/")).exact);
}

/* Rows that are not whole blocks: 96 columns of 3 x 32, 72 are not. */
static void odd_rows(void **state) {
    (void)state;
    struct model_file mf;
    write_model(at("a.blzt"), "\"intermediate_size\":72", DT_F32);
    ok(convert(at("a.blzt"), at("q.gguf"), "gguf", DT_Q8_0));
    assert_non_null(strstr(report.text, "2 tensors are written as f16"));
    ok(model_file_open(&mf, at("q.gguf"), true, &e));
    assert_int_equal(model_file_find(&mf, "model.layers.0.mlp.down_proj.weight")->dtype, DT_F16);
    assert_int_equal(model_file_find(&mf, "model.layers.0.mlp.up_proj.weight")->dtype, DT_Q8_0);
    model_file_close(&mf);
}

/* A tensor that is not there is named, whatever the format (the predecessors' importers crashed:
 * U4). */
static void missing(void **state) {
    (void)state;
    static const char *const formats_of[][2] = {
        {"hf", "m/"}, {"gguf", "m.gguf"}, {"blzt5", "m.blzt"}};
    write_model(at("a.blzt"), kinds[0].keys, DT_F32);
    for (size_t i = 0; i < 3; i++) {
        struct model_file mf;
        const struct export_opts o = {.dtype = -1};
        ok(convert(at("a.blzt"), at(formats_of[i][1]), formats_of[i][0], -1));
        ok(model_import(&mf, at(formats_of[i][1]), true, &e));
        char *layers = strstr(mf.config, "\"num_hidden_layers\":2");
        assert_non_null(layers);
        layers[strlen("\"num_hidden_layers\":")] = '3';
        assert_int_equal(model_export(&mf, format_find("blzt5"), at("no.out"), &o, &report, &e),
                         ERR_INPUT);
        if (!strstr(e.msg, "model.layers.2.") || !strstr(e.msg, "is missing"))
            fail_msg("%s", e.msg);
        assert_false(file_exists(at("no.out")));
        model_file_close(&mf);
    }
}

/* The residual scale goes into the weights: other weights, the same function (U3: it was lost). */
static void folding(void **state) {
    (void)state;
    static const char *const plain[][2] = {{"hf", "f/"}, {"gguf", "f.gguf"}, {"llama2c", "f.bin"}};
    static const char *const scales[] = {"\"duet\":{\"residual_scale\":0.35355339059327379}",
                                         "\"duet\":{\"residual_scale\":0.5}",
                                         "\"duet\":{\"residual_scale\":0}"};
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < 3; i++) {
            write_model(at("a.blzt"), scales[k], i == 1 ? DT_BF16 : DT_F32);
            ok(convert(at("a.blzt"), at(plain[i][1]), plain[i][0], -1));
            const struct compare c = compare(at("a.blzt"), at(plain[i][1]));
            assert_true(c.max_diff <= 2e-6 * c.max_logit);
            json_t *j = config_of(at(plain[i][1]));
            assert_null(json_object_get(json_object_get(j, "duet"), "residual_scale"));
            json_decref(j);
            write_model(at("b.blzt"), kinds[0].keys, DT_F32);
            assert_true(compare(at("a.blzt"), at("b.blzt")).max_diff > 1e-3);
        }
}

/* Of every architecture, tied and not: so each matrix that writes into the residual stream, and no
 * other, is INIT_RESIDUAL. */
static void folding_everywhere(void **state) {
    (void)state;
    for (int a = 0; a < arch_parts.n; a++) {
        const struct part_table *t = arch_parts.all[a];
        bool found[64] = {false};
        assert_true(t->n <= 64);
        for (int tied = 0; tied < 2; tied++) {
            char keys[256];
            snprintf(keys, sizeof keys,
                     "\"model_type\":\"%s\",\"sliding_window\":null,\"tie_word_embeddings\":%s,"
                     "\"duet\":{\"residual_scale\":0.5}",
                     t->name, tied ? "true" : "false");
            write_model(at("a.blzt"), keys, DT_F32);
            for (int i = 0; i < (t->gguf ? 2 : 1); i++) {
                const char *to = at(i ? "f.gguf" : "f/");
                ok(convert(at("a.blzt"), to, i ? "gguf" : "hf", -1));
                const struct compare c = compare(at("a.blzt"), to);
                if (!(c.max_diff <= 2e-6 * c.max_logit))
                    fail_msg("%s as %s: logits differ by %g of %g: is a matrix that writes into "
                             "the residual stream not INIT_RESIDUAL?",
                             t->name, i ? "GGUF" : "a folder", c.max_diff, c.max_logit);
            }
            struct model_file mf;
            ok(model_file_open(&mf, at("a.blzt"), true, &e));
            for (size_t k = 0; k < mf.n_tensors; k++) {
                uint32_t layer;
                const struct part *p = part_find(t, NAMES_HF, mf.tensors[k].name, &layer);
                if (p) found[p - t->part] = true;
            }
            model_file_close(&mf);
        }
        for (int k = 0; k < t->n; k++)
            if (t->part[k].role == ROLE_matrix && !found[k])
                fail_msg("%s: no model here has %s", t->name, t->part[k].hf);
    }
}

/* A compacted vocabulary is whole again, and its map stays behind. */
static void compacted(void **state) {
    (void)state;
    static const uint32_t ids[] = {0, 3, 4, 17, 39};
    struct model m;
    struct model_config c;
    struct model_file mf;
    write_model(at("a.blzt"), kinds[0].keys, DT_F32);
    ok(model_file_open(&mf, at("a.blzt"), true, &e));
    ok(model_config_parse(&c, mf.config, strlen(mf.config), "test", NULL, &e));
    model_file_close(&mf);
    ok(model_create(&m, &c, &e));
    ok(model_compact(&m, ids, 5, &e));
    ok(model_reserve(&m, &e));
    ok(model_load(&m, at("a.blzt"), &e));
    ok(model_save(&m, at("c.blzt"), "blzt5", NULL, &e));
    model_close(&m);
    ok(convert(at("c.blzt"), at("c.gguf"), "gguf", -1));
    assert_true(compare(at("a.blzt"), at("c.gguf")).exact);
    ok(model_file_open(&mf, at("c.gguf"), true, &e));
    assert_null(model_file_find(&mf, "duet.vocab_map"));
    model_file_close(&mf);
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *keys, *format, *says;
    } cases[] = {
        {"\"duet\":{\"logit_softcap\":30}", "gguf", "logit_softcap"},
        {"\"duet\":{\"logit_softcap\":30}", "hf", "logit_softcap"},
        {"\"attention_bias\":true,\"duet\":{\"qk_norm\":true}", "gguf", "attention_bias"},
        {"\"attention_bias\":true", "llama2c", "bias"},
        {"\"model_type\":\"arcee\"", "llama2c", "model_type is arcee"},
        {"\"model_type\":\"arcee\"", "llama2c_v1", "model_type is arcee"},
        {"\"model_type\":\"arcee\"", "blzt4", "model_type is arcee"},
        {"\"rope_theta\":20000", "llama2c", "rope_theta"},
        {"\"duet\":{\"rope_factors\":[1,1,1,1,1,2,2,7]}", "hf", "rope_factors"},
        {"\"head_dim\":64", "llama2c", "head_dim"},
        {"\"rope_parameters\":{\"rope_theta\":20000.0}", "llama2c", "rope_theta"},
        {"\"rope_parameters\":{\"rope_type\":\"linear\",\"rope_theta\":10000.0,\"factor\":2.0}",
         "llama2c", "rope_scaling"},
        {"\"rope_parameters\":{\"rope_type\":\"linear\",\"rope_theta\":10000.0,\"factor\":2.0}",
         "blzt4", "rope_scaling"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_model(at("a.blzt"), cases[i].keys, DT_F32);
        assert_int_equal(convert(at("a.blzt"), at("no.out"), cases[i].format, -1), ERR_INPUT);
        if (!strstr(e.msg, cases[i].says)) fail_msg("%s", e.msg);
        assert_false(file_exists(at("no.out")));
    }
    assert_int_equal(convert(at("a.blzt"), at("a.blzt"), "blzt5", -1), ERR_INPUT);
    /* weights beyond f16 */
    struct model_file mf;
    float big[64 * 50];
    for (int i = 0; i < 64 * 50; i++) big[i] = 1e6f;
    const struct export_opts o = {.dtype = DT_F16};
    write_model(at("a.blzt"), kinds[0].keys, DT_F32);
    ok(model_import(&mf, at("a.blzt"), true, &e));
    ((struct mf_tensor *)(uintptr_t)model_file_find(&mf, "model.embed_tokens.weight"))->data = big;
    assert_int_equal(model_export(&mf, format_find("gguf"), at("no.out"), &o, &report, &e),
                     ERR_INPUT);
    assert_non_null(strstr(e.msg, "model.embed_tokens.weight"));
    assert_false(file_exists(at("no.out")));
    model_file_close(&mf);
}

/* Configs that say two things, or nothing that makes sense: an error, not a guess. */
static void contradictions(void **state) {
    (void)state;
    static const char *const cases[] = {
        "\"rope_scaling\":{\"rope_type\":5},\"duet\":{\"rope_factors\":[1,1,1,1,1,2,2,7]}",
        ("\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2},\"duet\":{\"rope_factors\":[1,1,"
         "1,1,1,2,2,7]}"),
        ("\"rope_parameters\":{\"full_attention\":{\"rope_theta\":1e4},"
         "\"sliding_attention\":{\"rope_theta\":1e5}}"),
        "\"rope_scaling\":{\"factor\":2}",
    };
    write_model(at("a.blzt"), kinds[0].keys, DT_F32);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_file mf;
        char text[512];
        snprintf(text, sizeof text,
                 "{\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,"
                 "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":50,"
                 "\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":true,%s}",
                 cases[i]);
        ok(model_file_open(&mf, at("a.blzt"), true, &e));
        free(mf.config);
        mf.config = strdup(text);
        const struct export_opts o = {.dtype = -1};
        int rc = model_import_file(&mf, &e);
        if (!rc) rc = model_export(&mf, format_find("gguf"), at("no.out"), &o, &report, &e);
        if (rc != ERR_INPUT || !strstr(e.msg, "rope")) fail_msg("case %zu: %d %s", i, rc, e.msg);
        assert_false(file_exists(at("no.out")));
        model_file_close(&mf);
    }
}

/* Narrow weights widened: the same logits to the last bit, though one side could be computed with
 * as it is stored. Logits that are no numbers are no agreement. */
static void comparing(void **state) {
    (void)state;
    struct model_file mf;
    write_model(at("a.blzt"), kinds[0].keys, DT_BF16);
    ok(convert(at("a.blzt"), at("w.blzt"), "blzt5", DT_F32));
    assert_true(report.exact);
    assert_true(compare(at("a.blzt"), at("w.blzt")).exact);
    ok(convert(at("a.blzt"), at("q.gguf"), "gguf", DT_Q8_0));
    ok(convert(at("q.gguf"), at("w.blzt"), "blzt5", DT_F32));
    assert_true(compare(at("q.gguf"), at("w.blzt")).exact);
    static float bad[64];
    for (int i = 0; i < 64; i++) bad[i] = 3e38f;
    ok(model_import(&mf, at("a.blzt"), true, &e));
    ((struct mf_tensor *)(uintptr_t)model_file_find(&mf, "model.norm.weight"))->data = bad;
    const struct export_opts o = {.dtype = -1};
    ok(model_export(&mf, format_find("gguf"), at("n.gguf"), &o, &report, &e));
    model_file_close(&mf);
    assert_false(compare(at("a.blzt"), at("n.gguf")).finite);
    assert_true(compare(at("a.blzt"), at("q.gguf")).finite);
}

/* The hash that adapters know a folder by: of its weights and its config, not of what else is
 * there. */
static void folder_hash(void **state) {
    (void)state;
    struct model_file mf;
    uint64_t hash, again;
    write_model(at("a.blzt"), kinds[0].keys, DT_F32);
    ok(convert(at("a.blzt"), at("f/"), "hf", -1));
    ok(model_file_hash(at("f/"), &hash, &e));
    FILE *f = fopen(at("f/generation_config.json"), "w");
    assert_non_null(f);
    fputs("{\"eos_token_id\": [1, 2]}", f);
    fclose(f);
    ok(model_import(&mf, at("f/"), true, &e));
    assert_non_null(strstr(mf.config, "generation_config"));
    assert_true(model_file_digest(&mf) == hash);
    model_file_close(&mf);
    assert_true(remove(at("f/config.json")) == 0);
    ok(convert(at("a.blzt"), at("f/"), "hf", DT_BF16));
    ok(model_file_hash(at("f/"), &again, &e));
    assert_true(again != hash);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contradictions), cmocka_unit_test(comparing),
        cmocka_unit_test(folder_hash),    cmocka_unit_test(hugging_face),
        cmocka_unit_test(gguf),           cmocka_unit_test(fixed_layouts),
        cmocka_unit_test(types),          cmocka_unit_test(dequantised),
        cmocka_unit_test(odd_rows),       cmocka_unit_test(folding),
        cmocka_unit_test(folding_everywhere),
        cmocka_unit_test(missing),        cmocka_unit_test(compacted),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_all);
}
