/* Weights held as f32, bf16 or q8_0: initialisation, loading from every type, saving, compacted
 * vocabularies; frozen weights that stay in the file's map; memory while loading. */
#include "lora_fixture.h"

#include <sys/wait.h>

static const enum dtype types[] = {DT_F32, DT_BF16, DT_Q8_0};
enum { N_TYPES = sizeof types / sizeof *types };

static const uint32_t kept[] = {0, 3, 4, 17, 39};

/* A frozen model with storage t. */
static void make(struct model *m, const char *init, enum dtype t, bool compact) {
    create(m, init, false);
    if (compact) ok(model_compact(m, kept, 5, &e));
    model_freeze(m);
    ok(model_set_storage(m, t, &e));
    ok(model_reserve(m, &e));
}

static bool is_matrix(const struct param *p) {
    return p->role == ROLE_matrix || p->role == ROLE_embed;
}

static void same_weights(const struct model *a, const struct model *b) {
    assert_int_equal(a->n_params, b->n_params);
    for (int i = 0; i < a->n_params; i++) {
        const struct param *p = a->params + i, *q = b->params + i;
        assert_int_equal(p->dtype, q->dtype);
        assert_int_equal(param_count(p), param_count(q));
        assert_memory_equal(p->data, q->data, bytes_of(p));
    }
}

/* b holds a's f32 weights, converted. */
static void converted(const struct model *a, const struct model *b, enum dtype t) {
    static char want[HIDDEN * DIM * 4];
    for (int i = 0; i < a->n_params; i++) {
        const struct param *p = a->params + i, *q = b->params + i;
        assert_int_equal(q->dtype, is_matrix(q) ? t : DT_F32);
        dtype_from_f32(q->dtype, p->data, want, (size_t)param_count(p));
        assert_memory_equal(q->data, want, bytes_of(q));
    }
}

static void dtype_round_trip(enum dtype t, const float *x, float *y, int64_t n) {
    static char stored[4 * 64];
    dtype_from_f32(t, x, stored, (size_t)n);
    dtype_to_f32(t, stored, y, (size_t)n);
}

/* Every kind of initialisation draws the same numbers for every storage. */
static void initialisation(void **state) {
    (void)state;
    static const char *const inits[] = {"fan_in", "normal", "compat"};
    for (int k = 0; k < 6; k++)
        for (int t = 0; t < N_TYPES; t++) {
            struct model a, b;
            make(&a, inits[k / 2], DT_F32, k % 2);
            make(&b, inits[k / 2], types[t], k % 2);
            ok(model_init(&a, 5, &e));
            ok(model_init(&b, 5, &e));
            converted(&a, &b, types[t]);
            model_close(&a);
            model_close(&b);
        }
}

/* Saved and opened again with the same storage, the weights are the same bits; from any storage to
 * any other they are the conversion of what was stored. */
static void round_trips(void **state) {
    (void)state;
    for (int s = 0; s < N_TYPES; s++) {
        struct model a, wide;
        make(&a, "fan_in", types[s], false);
        ok(model_init(&a, 5, &e));
        ok(model_save(&a, at("a"), "blzt5", NULL, &e));
        ok(model_open(&wide, at("a"), NULL, &e)); /* f32, trainable */
        for (int i = 0; i < wide.n_params; i++) {
            static float want[HIDDEN * DIM];
            assert_true(wide.params[i].trainable);
            dtype_to_f32(a.params[i].dtype, a.params[i].data, want,
                         (size_t)param_count(a.params + i));
            assert_memory_equal(want, wide.params[i].data, bytes_of(wide.params + i));
        }
        struct model plain; /* a format that holds f32 only gets what the storage says */
        ok(model_save(&a, at("c.bin"), "llama2c", NULL, &e));
        ok(model_open(&plain, at("c.bin"), NULL, &e));
        same_weights(&wide, &plain);
        model_close(&plain);
        for (int t = 0; t < N_TYPES; t++) {
            struct model b;
            ok(model_open_frozen(&b, at("a"), NULL, types[t], NULL, &e));
            assert_int_equal(b.storage, types[t]);
            if (s == t)
                same_weights(&a, &b);
            else
                converted(&wide, &b, types[t]);
            model_close(&b);
        }
        model_close(&a);
        model_close(&wide);
    }
}

/* Compaction: rows of the file by id, and what was left out comes back when it is saved. */
static void compaction(void **state) {
    (void)state;
    for (int k = 0; k < 2 * N_TYPES * N_TYPES; k++) {
        const enum dtype s = types[k / 2 % N_TYPES], t = types[k / 2 / N_TYPES];
        const bool loaded = k % 2;
        struct model full, direct, small, back;
        make(&full, "fan_in", s, false);
        ok(model_init(&full, 5, &e));
        ok(model_save(&full, at("a"), "blzt5", NULL, &e));
        /* With s = t the rows are copied; else converted as a whole load converts them. */
        ok(model_open_frozen(&direct, at("a"), NULL, t, NULL, &e));
        make(&small, "fan_in", t, true);
        ok(loaded ? model_load(&small, at("a"), &e) : model_init(&small, 5, &e));
        for (int i = 0; i < full.n_params; i++) /* "training" of a row: 0 in every type */
            if (small.params[i].role == ROLE_embed) {
                const size_t row = bytes_of(small.params + i) / 5;
                memset((char *)small.params[i].data + 2 * row, 0, row);
                model_own(&direct, i);
                memset((char *)direct.params[i].data + kept[2] * row, 0, row);
            }
        ok(model_save(&small, at("b"), "blzt5", NULL, &e));
        ok(model_open_frozen(&back, at("b"), NULL, t, NULL, &e));
        if (loaded || s == DT_F32) same_weights(&direct, &back);
        model_close(&full);
        model_close(&direct);
        model_close(&small);
        model_close(&back);
    }
}

static void refused(void **state) {
    (void)state;
    struct model m;
    create(&m, "fan_in", true);
    assert_int_equal(model_set_storage(&m, DT_Q8_0, &e), ERR_USAGE); /* trainable */
    assert_non_null(strstr(e.msg, "--lora"));
    ok(model_set_storage(&m, DT_BF16, &e)); /* that may be trained */
    model_close(&m);
}

/* Rows that are not whole blocks are held as f16 beside q8_0, and so are they when opened. */
static void odd_rows(void **state) {
    (void)state;
    static const char text[] =
        "{\"hidden_size\":32,\"intermediate_size\":44,\"num_hidden_layers\":1,"
        "\"num_attention_heads\":2,\"vocab_size\":8,\"tie_word_embeddings\":true}";
    struct model_config c;
    struct model m, q;
    float want[32 * 44], got[32 * 44];
    ok(model_config_parse(&c, text, strlen(text), "test", NULL, &e));
    ok(model_create(&m, &c, &e));
    ok(model_reserve(&m, &e));
    ok(model_init(&m, 5, &e));
    ok(model_save(&m, at("a"), "blzt5", NULL, &e));
    ok(model_open_frozen(&q, at("a"), NULL, DT_Q8_0, NULL, &e));
    for (int i = 0; i < q.n_params; i++) {
        const struct param *p = q.params + i, *from = m.params + i;
        const bool down = !!strstr(p->name, "down_proj");
        const enum dtype t = down ? DT_F16 : is_matrix(p) ? DT_Q8_0 : DT_F32;
        assert_int_equal(p->dtype, t);
        for (int64_t r = 0; r < p->rows; r++)
            dtype_round_trip(t, (const float *)from->data + r * p->cols, want + r * p->cols,
                             p->cols);
        dtype_to_f32(t, p->data, got, (size_t)param_count(p));
        assert_memory_equal(got, want, (size_t)param_count(p) * sizeof *got);
    }
    model_close(&q);
    /* What f16 cannot hold is an error, not infinity. */
    ((float *)find(&m, "model.layers.0.mlp.down_proj.weight")->data)[7] = 1e6f;
    ok(model_save(&m, at("a"), "blzt5", NULL, &e));
    assert_int_equal(model_open_frozen(&q, at("a"), NULL, DT_Q8_0, NULL, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "model.layers.0.mlp.down_proj.weight"));
    assert_non_null(strstr(e.msg, "f16"));
    ok(model_open_frozen(&q, at("a"), NULL, DT_BF16, NULL, &e));
    model_close(&q);
    model_close(&m);
}

/* dtype_finite says of every type what its numbers do, wherever in a block the bits of an infinite
 * f16 or f32 stand. */
static void finite_types(void **state) {
    (void)state;
    for (int t = 0; t < DT_COUNT; t++) {
        const size_t block = (size_t)dtype_row((enum dtype)t)->block,
                     bytes = (size_t)dtype_row((enum dtype)t)->bytes, n = 3 * block;
        uint8_t raw[1 + 3 * 210], *p = raw + 1; /* unaligned */
        float x[3 * DTYPE_MAX_BLOCK];
        int bad = 0;
        if (!dtype_is_float((enum dtype)t)) continue;
        for (size_t at = bytes; at + 1 < 3 * bytes; at++) {
            memset(raw, 0, sizeof raw);
            p[at] = t == DT_F32 || t == DT_BF16 ? 0x80 : 0;
            p[at + 1] = t == DT_F32 || t == DT_BF16 ? 0x7f : 0x7c;
            dtype_to_f32((enum dtype)t, p, x, n);
            bool finite = true;
            for (size_t i = 0; i < n; i++) finite = finite && isfinite(x[i]);
            assert_int_equal(dtype_finite((enum dtype)t, p, n), finite);
            bad += !finite;
        }
        const bool two = t == DT_Q4_1 || t == DT_Q5_1 || t == DT_Q4_K || t == DT_Q5_K;
        assert_int_equal(bad, two ? 4 : 2);
    }
    assert_true(dtype_finite(DT_U32, "\377\377\377\377", 1)); /* no weight */
}

/* Frozen weights that stand in the file as they are stored are not copied, all others are. */
static void mapped(void **state) {
    (void)state;
    for (int s = 0; s < N_TYPES; s++) {
        struct model a;
        make(&a, "fan_in", types[s], false);
        ok(model_init(&a, 5, &e));
        ok(model_save(&a, at("a"), "blzt5", NULL, &e));
        for (int t = 0; t < N_TYPES; t++) {
            struct model b;
            ok(model_open_frozen(&b, at("a"), NULL, types[t], NULL, &e));
            for (int i = 0; i < b.n_params; i++)
                assert_int_equal(in_map(&b, b.params + i), s == t || !is_matrix(b.params + i));
            /* Its own copy, if it needs one, has the same bits; the file is not written. */
            struct param *p = find(&b, "model.layers.1.mlp.up_proj.weight");
            const int index = (int)(p - b.params);
            static char before[HIDDEN * DIM * 4];
            memcpy(before, p->data, bytes_of(p));
            model_own(&b, index);
            assert_false(in_map(&b, p));
            assert_ptr_equal(p->data, model_slot(&b, index));
            assert_memory_equal(p->data, before, bytes_of(p));
            memset(p->data, 1, bytes_of(p));
            assert_true((char *)p->data + bytes_of(p) <= (char *)b.params[index + 1].data ||
                        in_map(&b, b.params + index + 1));
            model_close(&b);
        }
        struct model all;
        ok(model_open(&all, at("a"), NULL, &e));
        assert_int_equal((int)all.n_maps, 0); /* nothing of a trainable model is in a map */
        model_close(&all);
        model_close(&a);
    }
}

/* MODEL_AS_STORED: every matrix as the file has it, of whatever type each is, and none copied. */
static void as_stored(void **state) {
    (void)state;
    struct model a, b;
    create(&a, "fan_in", false);
    model_freeze(&a);
    int k = 0;
    for (int i = 0; i < a.n_params; i++)
        if (is_matrix(a.params + i)) a.params[i].dtype = types[k++ % N_TYPES];
    assert_true(k > N_TYPES);
    ok(model_reserve(&a, &e));
    ok(model_init(&a, 5, &e));
    ok(model_save(&a, at("b"), "blzt5", NULL, &e));
    ok(model_open_frozen(&b, at("b"), NULL, MODEL_AS_STORED, NULL, &e));
    same_weights(&a, &b);
    for (int i = 0; i < b.n_params; i++) assert_true(in_map(&b, b.params + i));
    model_close(&b);
    model_close(&a);
}

/* With LoRA the base is frozen and stays where it is, but for norms that are trained; paired rows
 * (llama2.c) are copied. A second load lets go of the first file, a failed one of both. */
static void mapped_base(void **state) {
    (void)state;
    struct model m, plain;
    write_base(at("base"), 1);
    struct lora_opts o = lora_default;
    o.norms = true;
    open_lora(&m, at("base"), &o, DT_F32, 2);
    for (int i = 0; i < m.n_params; i++)
        assert_int_equal(in_map(&m, m.params + i), is_matrix(m.params + i));
    model_close(&m);

    ok(model_open(&plain, at("base"), NULL, &e));
    ok(model_save(&plain, at("c.bin"), "llama2c", NULL, &e));
    ok(model_open_frozen(&m, at("c.bin"), NULL, DT_F32, NULL, &e));
    for (int i = 0; i < m.n_params; i++) {
        const struct param *p = m.params + i;
        const bool paired = strstr(p->name, "q_proj") || strstr(p->name, "k_proj");
        assert_int_equal(in_map(&m, p), !paired);
    }
    same_weights(&plain, &m);
    model_close(&m);

    ok(model_open_frozen(&m, at("base"), NULL, DT_F32, NULL, &e));
    write_base(at("other"), 2);
    ok(model_load(&m, at("other"), &e));
    assert_string_equal(m.maps[m.n_maps - 1].path, at("other"));
    model_close(&plain);
    ok(model_open(&plain, at("other"), NULL, &e));
    same_weights(&plain, &m);
    assert_int_equal(model_load(&m, at("nothing"), &e), ERR_IO);
    struct model_file bad = {.path = strdup(at("other"))};
    assert_int_equal(model_load_file(&m, &bad, &e), ERR_INPUT); /* no tensors */
    for (int i = 0; i < m.n_params; i++) assert_ptr_equal(m.params[i].data, model_slot(&m, i));
    assert_int_equal((int)m.n_maps, 0);
    model_file_close(&bad);
    model_close(&m);
    model_close(&plain);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t peak_kb(void) {
    char line[256];
    size_t kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) sscanf(line, "VmHWM: %zu", &kb);
    if (f) fclose(f);
    return kb;
}

/* MB that opening the file adds to the peak, in a process of its own. */
static int opening_mb(const char *path, bool frozen, enum dtype t) {
    int status;
    const pid_t child = fork();
    if (!child) {
        struct model m;
        const size_t before = peak_kb();
        const int rc = frozen ? model_open_frozen(&m, path, NULL, t, NULL, &e)
                              : model_open(&m, path, NULL, &e);
        _exit(rc ? 255 : (int)((peak_kb() - before) >> 10));
    }
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 255);
    return WEXITSTATUS(status);
}

static void memory_of_loading(void **state) {
    (void)state;
    static const char text[] =
        "{\"hidden_size\":1024,\"intermediate_size\":2048,\"num_hidden_layers\":2,"
        "\"num_attention_heads\":8,\"vocab_size\":1024,\"tie_word_embeddings\":true}";
    struct model_config c;
    struct model m;
    if (!peak_kb()) skip();
    ok(model_config_parse(&c, text, strlen(text), "test", NULL, &e));
    ok(model_create(&m, &c, &e));
    ok(model_reserve(&m, &e)); /* zeros: 84 MB of f32 */
    ok(model_save(&m, at("a"), "blzt5", NULL, &e));
    const int all = (int)(model_weight_bytes(&m) >> 20);
    model_close(&m);
    assert_true(all > 75 && all < 100);
    const int slack = 22; /* parts of the file, huge pages, shadow memory of a sanitizer */
    const int as_f32 = opening_mb(at("a"), false, DT_F32),
              as_bf16 = opening_mb(at("a"), true, DT_BF16),
              as_q8 = opening_mb(at("a"), true, DT_Q8_0),
              in_place = opening_mb(at("a"), true, DT_F32);
    printf("# %d MB of f32 add %d MB as f32, %d as bf16, %d as q8_0, %d in place\n", all, as_f32,
           as_bf16, as_q8, in_place);
    assert_true(as_f32 < all + slack);
    assert_true(as_bf16 < all / 2 + slack);
    assert_true(as_q8 < all * 34 / 128 + slack);
    assert_true(in_place < slack);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initialisation),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(compaction),
        cmocka_unit_test(refused),
        cmocka_unit_test(odd_rows),
        cmocka_unit_test(finite_types),
        cmocka_unit_test(mapped),
        cmocka_unit_test(as_stored),
        cmocka_unit_test(mapped_base),
        cmocka_unit_test(memory_of_loading),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
