/* Adapter files: what is written comes back bit for bit, only with the right base and settings;
 * what is damaged or hostile is refused, and then nothing is changed. */
#include "lora_fixture.h"

#include "arch.h"

#include <inttypes.h>
#include <jansson.h>
#include <xxhash.h>

static uint8_t *slurp(const char *path, size_t *size) {
    struct file_map m;
    ok(file_map_open(&m, path, &e));
    uint8_t *copy = malloc(m.size + 1);
    memcpy(copy, m.data, m.size);
    *size = m.size;
    file_map_close(&m);
    return copy;
}

static void spill(const char *path, const void *data, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static void same_table(const struct model *a, const struct model *b) {
    assert_int_equal(a->n_params, b->n_params);
    for (int i = 0; i < a->n_params; i++) {
        assert_string_equal(a->params[i].name, b->params[i].name);
        assert_int_equal(a->params[i].trainable, b->params[i].trainable);
        assert_memory_equal(a->params[i].data, b->params[i].data, bytes_of(a->params + i));
    }
}

static void round_trip(void **state) {
    (void)state;
    write_base(at("base"), 1);
    for (int k = 0; k < 8; k++) {
        struct model m, n;
        struct adapter_info info;
        struct lora_opts o = lora_default;
        o.norms = k & 1;
        o.rslora = k & 2;
        o.alpha = 0.1 + k; /* not a short decimal in binary */
        o.targets = k & 4 ? "down,q" : "q,k,v,o,gate,up,down";
        open_lora(&m, at("base"), &o, DT_F32, 2);
        ok(adapter_save(&m, at("a"), "blzt5", k & 1 ? "{\"step\":7}" : NULL, &e));
        const struct adapter_use use = {.weights = DT_F32, .scale = 1};
        ok(adapter_open(&n, at("base"), at("a"), &use, &e));
        same_table(&m, &n);
        same_nodes(&m.graph, &n.graph);
        ok(adapter_save(&n, at("b"), "blzt5", k & 1 ? "{\"step\":7}" : NULL, &e));
        size_t sa, sb;
        uint8_t *x = slurp(at("a"), &sa), *y = slurp(at("b"), &sb);
        assert_int_equal(sa, sb);
        assert_memory_equal(x, y, sa);
        free(x);
        free(y);
        ok(adapter_info_read(&info, at("a"), &e));
        uint64_t hash;
        int64_t trained = 0;
        ok(model_file_hash(at("base"), &hash, &e));
        for (int i = 0; i < m.n_params; i++)
            if (m.params[i].trainable) trained += param_count(m.params + i);
        assert_true(info.base_hash == hash && info.rank == 4 && info.alpha == o.alpha);
        assert_true(info.rslora == o.rslora && info.norms == o.norms);
        assert_string_equal(info.targets, k & 4 ? "q,down" : "q,k,v,o,gate,up,down");
        assert_string_equal(info.init, "peft");
        assert_string_equal(info.model_type, "llama");
        assert_true(info.dim == DIM && info.hidden == HIDDEN && info.layers == LAYERS);
        assert_true(info.vocab == VOCAB && info.params == trained);
        assert_true(k & 1 ? !strcmp(info.meta, "{\"step\":7}") : !info.meta);
        adapter_info_release(&info);
        model_close(&m);
        model_close(&n);
    }
}

/* The hash is that of the file, of any size, whatever it is read with. */
static void hashes(void **state) {
    (void)state;
    enum { MOST = 9 << 20 };
    uint8_t *data = malloc(MOST);
    for (size_t i = 0; i < MOST; i++) data[i] = (uint8_t)(i * i >> 7);
    const size_t sizes[] = {0, 1, 4096, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, MOST};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t hash;
        spill(at("a"), data, sizes[i]);
        ok(model_file_hash(at("a"), &hash, &e));
        assert_true(hash == XXH3_64bits(data, sizes[i]));
    }
    uint64_t hash;
    assert_int_equal(model_file_hash(at("nothing"), &hash, &e), ERR_IO);
    free(data);
}

static void use_of_an_adapter(void **state) {
    (void)state;
    struct model m, n;
    write_base(at("base"), 1);
    open_lora(&m, at("base"), &lora_default, DT_F32, 2);
    ok(adapter_save(&m, at("a"), "blzt5", NULL, &e));
    const struct adapter_use use = {.weights = DT_Q8_0, .scale = 0.25, .merge = true};
    ok(adapter_open(&n, at("base"), at("a"), &use, &e));
    assert_int_equal(find(&n, "model.layers.0.self_attn.q_proj.weight")->dtype, DT_Q8_0);
    for (int i = 0; i < n.graph.n_nodes; i++)
        if (n.graph.nodes[i].lora[0]) {
            assert_true(n.graph.nodes[i].lora_merge);
            assert_true(n.graph.nodes[i].lora_scale[0] == 0.5f); /* 8 / 4 / 4 */
        }
    model_close(&n);
    /* Never over the base, whatever it is called. */
    char other[256];
    snprintf(other, sizeof other, "%s/./base", dir);
    assert_int_equal(adapter_save(&m, other, "blzt5", NULL, &e), ERR_USAGE);
    model_close(&m);
    /* As a model it says what it is, and a model is no adapter. */
    assert_int_equal(model_open(&m, at("a"), NULL, &e), ERR_INPUT);
    assert_non_null(
        strstr(e.msg, "is an adapter, and a model is wanted here: give its base, and --adapter"));
    assert_int_equal(adapter_open(&m, at("base"), at("base"), &use, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "is not an adapter"));
}

/* Another base, or other settings than the attached ones. */
static void not_together(void **state) {
    (void)state;
    struct model m, n;
    uint64_t hash[2];
    char hex[17];
    write_base(at("base"), 1);
    write_base(at("other"), 2);
    open_lora(&m, at("base"), &lora_default, DT_F32, 2);
    ok(adapter_save(&m, at("a"), "blzt5", NULL, &e));
    const struct adapter_use use = {.weights = DT_F32, .scale = 1};
    assert_int_equal(adapter_open(&n, at("other"), at("a"), &use, &e), ERR_INPUT);
    for (int i = 0; i < 2; i++) {
        ok(model_file_hash(at(i ? "other" : "base"), &hash[i], &(struct err){0}));
        snprintf(hex, sizeof hex, "%016" PRIx64, hash[i]);
        assert_non_null(strstr(e.msg, hex));
    }
    for (int k = 0; k < 6; k++) {
        struct lora_opts o = lora_default;
        if (k == 1) o.rank = 2;
        if (k == 2) o.alpha = 9;
        if (k == 3) o.targets = "q,k,v";
        if (k == 4) o.norms = true;
        if (k == 5) o.rslora = true;
        open_lora(&n, at(k ? "base" : "other"), &o, DT_F32, 3);
        struct param *b = find(&n, "model.layers.1.self_attn.q_proj.lora_B.weight");
        const float before = *(float *)b->data;
        assert_int_equal(adapter_load_values(&n, at("a"), &e), ERR_INPUT);
        assert_non_null(strstr(e.msg, k ? "expected rank" : "belongs to a base with hash"));
        assert_true(*(float *)b->data == before);
        model_close(&n);
    }
    open_lora(&n, at("base"), &lora_default, DT_F32, 3);
    ok(adapter_load_values(&n, at("a"), &e));
    same_table(&m, &n);
    model_close(&m);
    model_close(&n);
}

/* Cut anywhere, or with any bit of some bytes turned: refused, and the values stay. */
static void damaged(void **state) {
    (void)state;
    struct model m;
    size_t size;
    struct lora_opts o = lora_default;
    write_base(at("base"), 1);
    o.targets = "k";
    o.rank = 1;
    open_lora(&m, at("base"), &o, DT_F32, 2);
    ok(adapter_save(&m, at("a"), "blzt5", NULL, &e));
    uint8_t *file = slurp(at("a"), &size);
    struct param *b = find(&m, "model.layers.0.self_attn.k_proj.lora_B.weight");
    *(float *)b->data = 42;
    for (size_t n = 0; n < size; n++) {
        spill(at("b"), file, n);
        assert_int_equal(adapter_load_values(&m, at("b"), &e), ERR_INPUT);
        assert_non_null(strstr(e.msg, dir));
    }
    for (size_t i = 0; i < size; i++) {
        file[i] ^= (uint8_t)(1u << i % 8);
        spill(at("b"), file, size);
        assert_int_equal(adapter_load_values(&m, at("b"), &e), ERR_INPUT);
        file[i] ^= (uint8_t)(1u << i % 8);
    }
    assert_true(*(float *)b->data == 42);
    ok(adapter_load_values(&m, at("a"), &e));
    assert_true(*(float *)b->data != 42);
    free(file);
    model_close(&m);
}

/* ---- hostile files whose checksums are right ------------------------------------------------- */

/* Stands for the hash of the base. */
#define RIGHT "\"the base's hash.\""

/* An adapter of m with one thing changed: the settings (by JSON), or a tensor. */
static void write_hostile(const struct model *m, const char *settings, const char *drop,
                          const char *add, uint64_t add_rows, enum dtype type) {
    static float zeros[HIDDEN * DIM];
    struct model_file mf = {.archs = &arch_parts};
    char hash[17];
    snprintf(hash, sizeof hash, "%016" PRIx64, m->lora->base_hash);
    mf.config = strdup(settings);
    char *mark = strstr(mf.config, RIGHT);
    if (mark) memcpy(mark + 1, hash, 16);
    for (int i = 0; i < m->n_params; i++) {
        const struct param *p = m->params + i;
        if (p->role != ROLE_lora || (drop && strstr(p->name, drop))) continue;
        char name[96];
        memcpy(name, p->name, sizeof name);
        const struct mf_tensor t = {.name = name,
                                    .dtype = DT_F32,
                                    .ndim = 2,
                                    .shape = {(uint64_t)p->rows, (uint64_t)p->cols},
                                    .data = p->data};
        ok(model_file_add(&mf, &t, &e));
    }
    if (add) {
        char name[96];
        snprintf(name, sizeof name, "%s", add);
        const struct mf_tensor t = {
            .name = name, .dtype = type, .ndim = 2, .shape = {add_rows, DIM}, .data = zeros};
        ok(model_file_add(&mf, &t, &e));
    }
    ok(model_file_write(&mf, "blzt5", at("b"), &e));
    model_file_close(&mf);
}

#define S(version, hash, rank, alpha, rslora, targets, init, norms, more)                          \
    "{\"duet_adapter\":{\"version\":" version ",\"base_hash\":" hash ",\"rank\":" rank             \
    ",\"alpha\":" alpha ",\"rslora\":" rslora ",\"targets\":" targets ",\"init\":" init            \
    ",\"norms\":" norms more "}}"
#define GOOD S("1", RIGHT, "4", "8.0", "false", "\"q\"", "\"peft\"", "false", "")
#define SET(set) S("1", RIGHT, "4", "8", "false", "\"q\"", "\"peft\"", "false", ",\"set\":" set)
#define A0 "model.layers.0.self_attn.q_proj.lora_A.weight"

static const struct {
    const char *settings, *drop, *add;
    uint64_t rows;
    enum dtype type;
    const char *because;
} bad_files[] = {
    {"{}", 0, 0, 0, 0, "is not an adapter"},
    {"{\"duet_adapter\":[]}", 0, 0, 0, 0, "is not an adapter"},
    {"{\"duet_adapter\":{}}", 0, 0, 0, 0, "\"version\" is not 1"},
    {S("2", RIGHT, "4", "8", "false", "\"q\"", "\"peft\"", "false", ""), 0, 0, 0, 0,
     "\"version\" is not 1"},
    {S("1", "3", "4", "8", "false", "\"q\"", "\"peft\"", "false", ""), 0, 0, 0, 0,
     "\"base_hash\" is missing or not 16"},
    {S("1", "\"0123\"", "4", "8", "false", "\"q\"", "\"peft\"", "false", ""), 0, 0, 0, 0,
     "\"base_hash\""},
    {S("1", "\"0123456789abcdef\"", "4", "8", "false", "\"q\"", "\"peft\"", "false", ""), 0, 0,
     0, 0, "hash 0123456789abcdef, but"},
    {S("1", RIGHT, "0", "8", "false", "\"q\"", "\"peft\"", "false", ""), 0, 0, 0, 0,
     "\"rank\" is missing or not a whole"},
    {S("1", RIGHT, "4.0", "8", "false", "\"q\"", "\"peft\"", "false", ""), 0, 0, 0, 0,
     "\"rank\""},
    {S("1", RIGHT, "9223372036854775807", "8", "false", "\"q\"", "\"peft\"", "false", ""), 0, 0,
     0, 0, "rank is 9223372036854775807, expected 1 to 32"},
    {S("1", RIGHT, "4", "-8", "false", "\"q\"", "\"peft\"", "false", ""), 0, 0, 0, 0,
     "\"alpha\" is missing or not a number above 0"},
    {S("1", RIGHT, "4", "\"8\"", "false", "\"q\"", "\"peft\"", "false", ""), 0, 0, 0, 0,
     "\"alpha\""},
    {S("1", RIGHT, "4", "8", "0", "\"q\"", "\"peft\"", "false", ""), 0, 0, 0, 0,
     "\"rslora\" is missing or not true or false"},
    {S("1", RIGHT, "4", "8", "false", "\"z\"", "\"peft\"", "false", ""), 0, 0, 0, 0,
     "\"z\" is not one of"},
    {S("1", RIGHT, "4", "8", "false", "[]", "\"peft\"", "false", ""), 0, 0, 0, 0,
     "\"targets\" is missing or not a short string"},
    {S("1", RIGHT, "4", "8", "false",
       "\"q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q,q\"", "\"peft\"", "false",
       ""),
     0, 0, 0, 0, "\"targets\""},
    {S("1", RIGHT, "4", "8", "false", "\"q\"", "\"zero\"", "false", ""), 0, 0, 0, 0,
     "init \"zero\""},
    {S("1", RIGHT, "4", "8", "false", "\"q\"", "\"peft\"", "null", ""), 0, 0, 0, 0,
     "\"norms\""},
    {S("1", RIGHT, "4", "8", "false", "\"q\"", "\"peft\"", "false", ",\"dora\":true"), 0, 0, 0,
     0, "unknown key \"dora\""},
    {SET("[]"), 0, 0, 0, 0, "\"set\" is not an object"},
    {SET("{\"rope_teta\":500}"), 0, 0, 0, 0, "set: no such model key \"rope_teta\""},
    {S("1", RIGHT, "4", "8", "false", "\"q\"", "\"peft\"", "true", ""), 0, 0, 0, 0,
     "layernorm.weight is missing"},
    {S("1", RIGHT, "4", "8", "false", "\"q,k\"", "\"peft\"", "false", ""), 0, 0, 0, 0,
     "k_proj.lora_A.weight is missing"},
    {S("1", RIGHT, "8", "8", "false", "\"q\"", "\"peft\"", "false", ""), 0, 0, 0, 0,
     "has shape 4 x 32, expected 8 x 32"},
    {GOOD, A0, 0, 0, 0, A0 " is missing"},
    {GOOD, A0, A0, 5, DT_F32, "has shape 5 x 32, expected 4 x 32"},
    {GOOD, A0, A0, 4, DT_BF16, "has type bf16, expected f32"},
    {GOOD, 0, "model.norm.weight", 4, DT_F32, "model.norm.weight is not part of this adapter"},
    {GOOD, 0, "x", 4, DT_I8, "x is not part of this adapter"},
};

static void hostile(void **state) {
    (void)state;
    struct model m, n;
    struct lora_opts o = lora_default;
    const struct adapter_use use = {.weights = DT_F32, .scale = 1};
    write_base(at("base"), 1);
    o.targets = "q";
    open_lora(&m, at("base"), &o, DT_F32, 2);
    write_hostile(&m, GOOD, NULL, NULL, 0, DT_F32);
    ok(adapter_open(&n, at("base"), at("b"), &use, &e)); /* as it is, it would be good */
    model_close(&n);
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        write_hostile(&m, bad_files[i].settings, bad_files[i].drop, bad_files[i].add,
                      bad_files[i].rows, bad_files[i].type);
        const int rc = adapter_open(&n, at("base"), at("b"), &use, &e);
        if (rc != ERR_INPUT || !strstr(e.msg, bad_files[i].because) || !strstr(e.msg, at("b")))
            fail_msg("case %zu: expected \"%s\", got %d and \"%s\"", i, bad_files[i].because, rc,
                     e.msg);
        assert_null(n.params);
    }
    model_close(&m);
}

/* What was set on the base in training comes with the adapter, and is not contradicted. */
static void set_on_the_base(void **state) {
    (void)state;
    struct model m, n;
    struct lora_opts o = lora_default;
    char key[] = "rope_theta", good[] = "5e2", bad[] = "400";
    char *word = key, *same = good, *other = bad;
    const struct conf_pairs right = {&word, &same, 1, 1}, wrong = {&word, &other, 1, 1};
    struct adapter_use use = {.weights = DT_F32, .scale = 1};
    write_base(at("base"), 1);
    o.targets = "q";
    open_lora(&m, at("base"), &o, DT_F32, 2);
    assert_true(m.config.theta != 500 && !m.lora->set);
    write_hostile(&m, SET("{\"rope_theta\":500}"), NULL, NULL, 0, DT_F32);
    for (int i = 0; i < 2; i++, use.sets = &right) {
        ok(adapter_open(&n, at("base"), at("b"), &use, &e));
        assert_true(n.config.theta == 500);
        ok(adapter_save(&n, at("a"), "blzt5", NULL, &e));
        assert_int_equal(adapter_save(&n, at("a"), "gguf", NULL, &e), i ? 0 : ERR_INPUT);
        if (!i) assert_non_null(strstr(e.msg, "{\"rope_theta\":500}"));
        model_close(&n);
        ok(adapter_open(&n, at("base"), at("a"), &use, &e)); /* it was recorded again */
        assert_true(n.config.theta == 500);
        model_close(&n);
    }
    use.sets = &wrong;
    assert_int_equal(adapter_open(&n, at("base"), at("b"), &use, &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "--set rope_theta=400 contradicts"));
    assert_int_equal(adapter_load_values(&m, at("b"), &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "trained with rope_theta=500"));
    model_close(&m);
}

/* An adapter of others: module m has rank ranks[m] and is there for single layers only. */
static const struct module {
    const char *name;
    int rank;
} modules[] = {{"model.layers.0.self_attn.q_proj", 3}, {"model.layers.1.self_attn.v_proj", 2}};

static float module_value(int module, bool b, int64_t r, int64_t c) {
    return (float)(module + 1) + (b ? 0.5f : 0.25f) * (float)r - 0.125f * (float)c;
}

static void write_foreign(const char *path, const char *format) {
    struct model_file mf = {.archs = &arch_parts};
    static float x[2][2][DIM * 4];
    mf.config = strdup("{\"duet_adapter\":{\"version\":1,\"rank\":3,\"alpha\":6.0,\"rslora\":false,"
                       "\"targets\":\"q,v\",\"init\":\"peft\",\"norms\":false},"
                       "\"model_type\":\"llama\",\"hidden_size\":32,\"num_attention_heads\":4,"
                       "\"num_key_value_heads\":2,\"head_dim\":8}");
    for (int m = 0; m < 2; m++)
        for (int b = 0; b < 2; b++) {
            char name[80];
            const int64_t out = m ? KV * HD : HEADS * HD;
            const int64_t rows = b ? out : modules[m].rank, cols = b ? modules[m].rank : DIM;
            snprintf(name, sizeof name, "%s.lora_%c.weight", modules[m].name, b ? 'B' : 'A');
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < cols; c++) x[m][b][r * cols + c] = module_value(m, b, r, c);
            const struct mf_tensor t = {.name = name,
                                        .ndim = 2,
                                        .shape = {(uint64_t)rows, (uint64_t)cols},
                                        .data = x[m][b]};
            ok(model_file_add(&mf, &t, &e));
        }
    ok(model_file_write(&mf, format, path, &e));
    model_file_close(&mf);
}

/* What is not in the file is 0. A GGUF divides alpha by each module's own rank: what it says of the
 * module of rank 2 has the same effect with the common rank 3. */
static void foreign(void **state) {
    (void)state;
    struct model m;
    const struct adapter_use use = {.weights = DT_F32, .scale = 1};
    write_base(at("base"), 1);
    write_foreign(at("a"), "gguf");
    ok(adapter_open(&m, at("base"), at("a"), &use, &e));
    assert_int_equal(m.lora->opts.rank, 3);
    int seen = 0;
    for (int i = 0; i < m.n_params; i++) {
        const struct param *p = m.params + i;
        if (p->role != ROLE_lora) continue;
        const bool b = strstr(p->name, ".lora_B.");
        int module = -1;
        for (int k = 0; k < 2; k++)
            if (!strncmp(p->name, modules[k].name, strlen(modules[k].name))) module = k;
        for (int64_t r = 0; r < p->rows; r++)
            for (int64_t c = 0; c < p->cols; c++) {
                float want = 0;
                if (module >= 0 && (b ? c : r) < modules[module].rank)
                    want = module_value(module, b, r, c);
                const float is = ((const float *)p->data)[r * p->cols + c];
                if (fabsf(is - want) > 1e-6f * fabsf(want))
                    fail_msg("%s[%d][%d] is %g, expected %g", p->name, (int)r, (int)c, (double)is,
                             (double)want);
            }
        seen += module >= 0;
    }
    assert_int_equal(seen, 4);
    ok(adapter_save(&m, at("b"), "blzt5", NULL, &e)); /* now it is duet's, for this base */
    model_close(&m);
    ok(adapter_open(&m, at("base"), at("b"), &use, &e));
    model_close(&m);
    write_base(at("base"), 2);
    assert_int_equal(adapter_open(&m, at("base"), at("b"), &use, &e), ERR_INPUT);
    ok(adapter_open(&m, at("base"), at("a"), &use, &e));
    model_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),        cmocka_unit_test(hashes),
        cmocka_unit_test(use_of_an_adapter), cmocka_unit_test(not_together),
        cmocka_unit_test(damaged),           cmocka_unit_test(hostile),
        cmocka_unit_test(foreign),           cmocka_unit_test(set_on_the_base),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
