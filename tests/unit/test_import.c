/* Folders and files that say things in their own ways: what is read of them, what is written, and
 * that nothing is written when it is not right. */
#include "convert_fixture.h"

#include "file.h"
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static char *slurp(const char *path, size_t *n) {
    struct file_map m;
    ok(file_map_open(&m, path, &e));
    char *text = calloc(1, m.size + 1);
    assert_non_null(text);
    memcpy(text, m.data, m.size);
    *n = m.size;
    file_map_close(&m);
    return text;
}

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* A folder "f" of this model; members of its config.json replaced or added (null: removed). */
static void write_folder(const char *keys, const char *changes) {
    size_t n;
    json_error_t je;
    write_model(at("a.blzt"), keys, DT_F32);
    ok(convert(at("a.blzt"), at("f/"), "hf", -1));
    char *text = slurp(at("f/config.json"), &n);
    json_t *config = json_loads(text, 0, &je), *change = json_loads(changes, 0, &je), *v;
    const char *key;
    assert_true(config && change);
    json_object_foreach(change, key, v) {
        if (json_is_string(v) && !strcmp(json_string_value(v), "-"))
            json_object_del(config, key);
        else
            json_object_set(config, key, v);
    }
    assert_int_equal(json_dump_file(config, at("f/config.json"), 0), 0);
    json_decref(config);
    json_decref(change);
    free(text);
}

/* The model's own weights, and the logits of them: the folder computes what a.blzt does. */
static void same_as_before(void) {
    assert_true(compare(at("a.blzt"), at("f")).exact);
}

static void refused(const char *says) {
    struct model m;
    if (!model_open(&m, at("f"), NULL, &e)) fail_msg("opened; expected \"%s\"", says);
    if (e.code != ERR_INPUT || !strstr(e.msg, says)) fail_msg("%s", e.msg);
}

/* transformers reads attention_bias in some architectures only. */
static void biases(void **state) {
    (void)state;
    write_folder("\"model_type\":\"qwen2\"", "{\"attention_bias\":false}");
    same_as_before();
    struct model_file mf;
    ok(model_import(&mf, at("f"), true, &e));
    assert_non_null(model_file_find(&mf, "model.layers.1.self_attn.k_proj.bias"));
    assert_null(strstr(mf.config, "attention_bias"));
    model_file_close(&mf);
    /* And there and back. */
    ok(convert(at("f"), at("q.gguf"), "gguf", -1));
    assert_true(compare(at("a.blzt"), at("q.gguf")).exact);
    ok(convert(at("q.gguf"), at("g/"), "hf", -1));
    assert_true(compare(at("a.blzt"), at("g")).exact);
    write_folder("\"model_type\":\"mistral\"", "{\"attention_bias\":true}");
    same_as_before();
    write_folder("\"model_type\":\"llama\"", "{\"attention_bias\":true}");
    refused("self_attn.q_proj.bias is missing");
}

/* A mistral without the key has a window of 4096 in transformers. */
static void windows(void **state) {
    (void)state;
    static const char mistral[] = "\"model_type\":\"mistral\"";
    size_t n;
    write_folder(mistral, "{}");
    char *text = slurp(at("f/config.json"), &n);
    assert_non_null(strstr(text, "\"sliding_window\": null")); /* not left to a default */
    free(text);
    write_folder(mistral, "{\"sliding_window\":\"-\",\"max_position_embeddings\":4096}");
    same_as_before();
    write_folder(mistral, "{\"sliding_window\":\"-\",\"max_position_embeddings\":4097}");
    refused("sliding_window is 4096");
    assert_non_null(strstr(e.msg, "says nothing"));
    struct model m;
    char *key = strdup("sliding_window"), *value = strdup("null");
    const struct conf_pairs sets = {.n = 1, .key = &key, .value = &value};
    ok(model_open(&m, at("f"), &sets, &e));
    assert_int_equal(m.config.max_pos, 4097);
    model_close(&m);
    free(key);
    free(value);
    write_folder(mistral, "{\"sliding_window\":null,\"max_position_embeddings\":8192}");
    same_as_before();
    write_folder(mistral, "{\"sliding_window\":2048,\"max_position_embeddings\":8192}");
    refused("--set max_position_embeddings=2048");
}

/* The base that stands inside counts, and is the one that is written. */
static void bases(void **state) {
    (void)state;
    static const char *const changes[] = {
        "{\"rope_theta\":\"-\",\"rope_parameters\":{\"rope_theta\":700,\"rope_type\":\"default\"}}",
        "{\"rope_theta\":10000,\"rope_parameters\":{\"rope_theta\":700,\"rope_type\":\"default\"}}",
        "{\"rope_theta\":10000,\"rope_scaling\":{\"rope_theta\":700,\"rope_type\":\"default\"}}",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct model_file mf;
        write_folder("\"rope_theta\":700", changes[i]);
        same_as_before();
        ok(convert(at("f"), at("b.gguf"), "gguf", -1));
        ok(model_import(&mf, at("b.gguf"), true, &e));
        assert_non_null(strstr(mf.config, "\"rope_theta\":700.0"));
        model_file_close(&mf);
        ok(convert(at("f"), at("g/"), "hf", -1));
        assert_true(compare(at("a.blzt"), at("g")).exact);
    }
    write_folder("\"rope_theta\":700", "{\"rope_theta\":\"-\",\"rope_parameters\":"
                                       "{\"full_attention\":{\"rope_theta\":700}}}");
    refused("full_attention is an object, for one kind of layer");
}

static void classifier(void **state) {
    (void)state;
    write_folder("\"tie_word_embeddings\":true", "{\"tie_word_embeddings\":\"-\"}");
    refused("lm_head.weight is missing");
    assert_non_null(strstr(e.msg, "--set tie_word_embeddings=true"));
}

static void integers(void **state) {
    (void)state;
    json_error_t je;
    write_folder("\"model_type\":\"llama\"", "{}");
    json_t *config = json_load_file(at("f/config.json"), 0, &je);
    char *text = json_dumps(config, JSON_COMPACT), more[4096];
    assert_non_null(text);
    snprintf(more, sizeof more, "%.*s,\"model_max_length\":1000000000000000019884624838656}",
             (int)strlen(text) - 1, text);
    put(at("f/config.json"), more);
    put(at("f/generation_config.json"), "{\"max_length\":99999999999999999999}");
    free(text);
    json_decref(config);
    same_as_before();
    ok(convert(at("f"), at("i.gguf"), "gguf", -1));
    ok(convert(at("f"), at("g/"), "hf", -1));
    config = json_load_file(at("g/config.json"), 0, &je);
    assert_true(json_real_value(json_object_get(config, "model_max_length")) == 1e30);
    json_decref(config);
    config = json_load_file(at("g/generation_config.json"), 0, &je);
    assert_true(json_real_value(json_object_get(config, "max_length")) == 1e20);
    json_decref(config);
}

/* ---- ids ------------------------------------------------------------------------------------ */

static json_t *config_of(const char *path) {
    struct model_file mf;
    json_error_t je;
    ok(model_import(&mf, path, true, &e));
    json_t *c = json_loads(mf.config, 0, &je);
    model_file_close(&mf);
    return c;
}

/* An id that is no token is none, in every format that is not duet's own, and is said. */
static void ids(void **state) {
    (void)state;
    static const struct {
        const char *keys, *key;
        int64_t want; /* -1: absent */
        int notes;
    } cases[] = {
        {"\"pad_token_id\":-1", "pad_token_id", -1, 1},
        {"\"pad_token_id\":50", "pad_token_id", -1, 1},
        {"\"pad_token_id\":49", "pad_token_id", 49, 0},
        {"\"pad_token_id\":null", "pad_token_id", -1, 0},
        {"\"eos_token_id\":-1,\"bos_token_id\":32000", "eos_token_id", -1, 2},
        {"\"eos_token_id\":[-1,7,99,8]", "eos_token_id", 7, 2},
        {"\"eos_token_id\":[51]", "eos_token_id", -1, 1},
        {"\"bos_token_id\":4294967295", "bos_token_id", -1, 1},
        {"\"warp_factor\":9,\"pad_token_id\":3", "pad_token_id", 3, 1}, /* the note is of the key */
        {"\"top_p\":0.9,\"bos_token_id\":4294967295", "bos_token_id", -1, 1},
    };
    static const char *const outs[][2] = {{"gguf", "o.gguf"}, {"hf", "o/"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < 2; k++) {
            write_model(at("a.blzt"), cases[i].keys, DT_F32);
            ok(convert(at("a.blzt"), at(outs[k][1]), outs[k][0], -1));
            int notes = 0;
            for (const char *p = report.text; *p; p++) notes += *p == '\n';
            if (notes != cases[i].notes) fail_msg("%s: %s", cases[i].keys, report.text);
            json_t *c = config_of(at(outs[k][1])), *v = json_object_get(c, cases[i].key);
            if (json_is_array(v)) v = json_array_get(v, 0);
            if ((json_is_integer(v) ? json_integer_value(v) : -1) != cases[i].want)
                fail_msg("%s as %s: %s", cases[i].keys, outs[k][0], json_dumps(c, 0));
            json_decref(c);
        }
    ok(convert(at("a.blzt"), at("o.blzt"), "blzt5", -1));
    json_t *c = config_of(at("o.blzt"));
    assert_int_equal(json_integer_value(json_object_get(c, "bos_token_id")), 4294967295);
    json_decref(c);
}

/* ---- what was not downloaded ---------------------------------------------------------------- */

static const char pointer[] =
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:0000000000000000000000000000000000000000000000000000000000000000\n"
    "size 123456789\n";

static void pointers(void **state) {
    (void)state;
    static const char *const names[] = {"f/model.safetensors", "f/config.json"};
    for (size_t i = 0; i < 2; i++) {
        write_folder("\"model_type\":\"llama\"", "{}");
        put(at(names[i]), pointer);
        refused("is a Git LFS pointer");
        assert_non_null(strstr(e.msg, names[i]));
    }
    struct model_file mf;
    struct model m;
    static const char *const files[] = {"p.gguf", "p.safetensors", "p.blzt", "p.bin"};
    for (size_t i = 0; i < 4; i++) {
        put(at(files[i]), pointer);
        assert_int_equal(model_file_open(&mf, at(files[i]), true, &e), ERR_INPUT);
        assert_non_null(strstr(e.msg, "is a Git LFS pointer"));
        assert_non_null(strstr(e.msg, files[i]));
    }
    /* Weights without their tokenizer. */
    write_folder("\"model_type\":\"llama\"", "{}");
    put(at("f/tokenizer.model"), pointer);
    same_as_before();
    ok(model_open(&m, at("f"), NULL, &e));
    assert_non_null(strstr(m.tok_problem, "tokenizer.model is a Git LFS pointer"));
    model_close(&m);
    assert_int_equal(convert(at("f"), at("p2.gguf"), "gguf", -1), ERR_INPUT);
    assert_non_null(strstr(e.msg, "tokenizer.model is a Git LFS pointer"));
    /* A text that is longer only begins so. */
    char text[2000];
    memset(text, 'x', sizeof text);
    memcpy(text, pointer, sizeof pointer - 1);
    text[sizeof text - 1] = 0;
    put(at("long"), text);
    struct file_map map;
    ok(file_map_open(&map, at("long"), &e));
    file_map_close(&map);
    remove(at("f/tokenizer.model"));
}

/* Weights of another kind than floats, in a folder whose config says why: that is what is said. */
static void quantised(void **state) {
    (void)state;
    static const char *const keys[] = {
        "{\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4}}",
        "{\"quantization_config\":{\"quant_method\":\"bitsandbytes\"}}",
        "{\"quantization\":{\"group_size\":64,\"bits\":4}}",
        "{\"compression_config\":{\"format\":\"pack-quantized\"}}",
        "{\"quantization_config\":{}}",
    };
    static const char *const says[] = {"quantization_config is {\"quant_method\":\"gptq\"",
                                       "\"bitsandbytes\"", "quantization is {\"group_size\"",
                                       "compression_config is {", "dtype I32"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        size_t n;
        struct model_file mf;
        write_folder("\"model_type\":\"llama\"", keys[i]);
        char *file = slurp(at("f/model.safetensors"), &n), *type = memmem(file, n, "\"F32\"", 5);
        assert_non_null(type);
        type[1] = 'I';
        FILE *f = fopen(at("f/model.safetensors"), "wb");
        assert_int_equal(fwrite(file, 1, n, f), n);
        fclose(f);
        free(file);
        for (int alone = 0; alone < 2; alone++) {
            const char *path = alone ? at("f/model.safetensors") : at("f");
            assert_int_equal(model_file_open(&mf, path, true, &e), ERR_INPUT);
            if (!strstr(e.msg, says[i]) || !strstr(e.msg, "dtype I32")) fail_msg("%s", e.msg);
            if (i == 4) assert_null(strstr(e.msg, "quantization"));
        }
    }
}

/* ---- nothing is written that is not right --------------------------------------------------- */

struct seen {
    int calls, rc;
    bool same;
};

static int look(void *ctx, const char *path, struct err *why) {
    struct seen *s = ctx;
    s->calls++;
    s->same = compare(at("a.blzt"), path).exact;
    return s->rc ? err_set(why, ERR_INPUT, "no") : 0;
}

/* Every name below a folder with its bytes, as one hash. */
static uint64_t state_of(const char *path) {
    uint64_t h = 1469598103934665603u;
    struct stat st;
    if (lstat(path, &st) != 0) return 0;
    if (S_ISREG(st.st_mode)) {
        size_t n;
        char *text = slurp(path, &n);
        for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)text[i]) * 1099511628211u;
        free(text);
        return h;
    }
    DIR *list = opendir(path);
    assert_non_null(list);
    for (struct dirent *x; (x = readdir(list));) {
        char name[400];
        uint64_t k = 1469598103934665603u;
        if (!strcmp(x->d_name, ".") || !strcmp(x->d_name, "..")) continue;
        snprintf(name, sizeof name, "%s/%s", path, x->d_name);
        for (const char *p = x->d_name; *p; p++) k = (k ^ (uint8_t)*p) * 1099511628211u;
        h += k * (state_of(name) | 1); /* in any order */
    }
    closedir(list);
    return h;
}

static int export_checked(const char *format, const char *to, struct seen *s) {
    struct model_file mf;
    const struct mf_check check = {look, s};
    const struct export_opts o = {.dtype = -1, .check = &check};
    int rc = model_import(&mf, at("a.blzt"), true, &e);
    if (!rc) rc = model_export(&mf, format_find(format), to, &o, &report, &e);
    model_file_close(&mf);
    return rc;
}

static void checked(void **state) {
    (void)state;
    static const char *const outs[][2] = {{"blzt5", "c/m.blzt"},  {"gguf", "c/m.gguf"},
                                          {"hf", "c/m/"},         {"llama2c", "c/m.bin"},
                                          {"llama2c_v1", "c/m1"}, {"blzt4", "c/m.blzt4"}};
    assert_int_equal(mkdir(at("c"), 0777), 0);
    for (size_t i = 0; i < sizeof outs / sizeof *outs; i++) {
        const uint64_t before = state_of(at("c"));
        struct seen s = {.rc = 1};
        write_model(at("a.blzt"), "\"model_type\":\"llama\"", DT_F32);
        /* nothing was there */
        assert_int_equal(export_checked(outs[i][0], at(outs[i][1]), &s), ERR_INPUT);
        assert_true(file_ends_with(e.msg, "no"));
        assert_true(s.calls == 1 && s.same);
        assert_true(state_of(at("c")) == before);
        /* a model was there */
        s = (struct seen){0};
        ok(export_checked(outs[i][0], at(outs[i][1]), &s));
        assert_true(s.calls == 1 && s.same);
        assert_true(compare(at("a.blzt"), at(outs[i][1])).exact);
        const uint64_t there = state_of(at("c"));
        write_model(at("a.blzt"), "\"model_type\":\"llama\",\"intermediate_size\":64", DT_F32);
        s = (struct seen){.rc = 1};
        assert_int_equal(export_checked(outs[i][0], at(outs[i][1]), &s), ERR_INPUT);
        assert_true(s.calls == 1 && s.same);
        assert_true(state_of(at("c")) == there);
        s = (struct seen){0};
        ok(export_checked(outs[i][0], at(outs[i][1]), &s));
        assert_true(compare(at("a.blzt"), at(outs[i][1])).exact);
        assert_true(state_of(at("c")) != there);
    }
}

/* Left behind by a process that was killed. */
static void check_again(void **state) {
    (void)state;
    struct seen s = {0};
    mkdir(at("k"), 0777);
    mkdir(at("k/.duet-check"), 0777);
    assert_int_equal(symlink("../gone", at("k/.duet-check/config.json")), 0);
    write_model(at("a.blzt"), "\"model_type\":\"llama\"", DT_F32);
    ok(export_checked("hf", at("k/"), &s));
    assert_true(s.calls == 1 && s.same);
    assert_false(file_exists(at("k/.duet-check")));
}

/* The folder of a run has a config.json that is not a model's, and nothing replaces it. */
static void run_folders(void **state) {
    (void)state;
    mkdir(at("run"), 0777);
    put(at("run/config.json"), "{\"model\":\"x.json\"}");
    put(at("run/log.jsonl"), "{\"event\":\"start\"}\n");
    const uint64_t before = state_of(at("run"));
    write_model(at("a.blzt"), "\"model_type\":\"llama\"", DT_F32);
    assert_int_equal(convert(at("a.blzt"), at("run"), "hf", -1), ERR_INPUT);
    assert_non_null(strstr(e.msg, "folder of a training run"));
    assert_true(state_of(at("run")) == before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(biases),      cmocka_unit_test(windows),  cmocka_unit_test(bases),
        cmocka_unit_test(classifier),  cmocka_unit_test(integers), cmocka_unit_test(ids),
        cmocka_unit_test(pointers),    cmocka_unit_test(checked),  cmocka_unit_test(check_again),
        cmocka_unit_test(run_folders), cmocka_unit_test(quantised),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_all);
}
