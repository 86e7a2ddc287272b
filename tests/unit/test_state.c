/* The state of a run: counters come back, also from states of version 1, which lack some. */
#include "machine_fixture.h"

#include "state.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static struct model model;
static struct engine engine;
static struct machine gemm;
static char path[] = "/tmp/duet-state-XXXXXX";

static int setup(void **state) {
    (void)state;
    static const char text[] = "{\"hidden_size\": 8, \"intermediate_size\": 8, "
                               "\"num_hidden_layers\": 1, \"num_attention_heads\": 2, "
                               "\"vocab_size\": 16}";
    struct model_config c;
    close(mkstemp(path));
    ok(machine_try(&gemm, "auto", DT_F32, 1, &e));
    ok(model_config_parse(&c, text, strlen(text), "test", NULL, &e));
    ok(model_create(&model, &c, &e));
    ok(model_reserve(&model, &e));
    ok(model_init(&model, 1, &e));
    const struct engine_opts o = {
        .batch = 1, .seq = 4, .machine = &gemm, .hyper = opt_hyper_of(opt_find("adamw"))};
    ok(engine_open(&engine, engine_find("backprop"), &model, &o, &e));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    engine_close(&engine);
    model_close(&model);
    unlink(path);
    return 0;
}

static struct progress some(void) {
    struct progress p = progress_zero();
    p.step = 7;
    p.rows = 28;
    p.ema = 1.5;
    p.val_best = 2.25;
    p.val_best_step = 5;
    p.val_stale = 3;
    p.val_key = 12345;
    p.best_hash = (int64_t)(UINT64_MAX >> 1);
    p.rollbacks = 1;
    p.lr_scale = 0.5;
    return p;
}

static void counters_come_back(void **state) {
    (void)state;
    uint64_t hash = 0;
    struct progress was = some(), p = progress_zero(), q = progress_zero();
    ok(state_write(path, &engine, &was, 0xfeedULL, &e));
    ok(state_read(path, &engine, &p, &hash, &e));
    assert_true(hash == 0xfeed);
    ok(state_read_progress(path, &q, &e));
    const struct progress *const both[] = {&p, &q};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(both[i]->step, 7);
        assert_true(both[i]->ema == 1.5 && isnan(both[i]->best));
        assert_true(both[i]->val_best == 2.25 && both[i]->lr_scale == 0.5);
        assert_int_equal(both[i]->val_best_step, 5);
        assert_int_equal(both[i]->val_stale, 3);
        assert_int_equal(both[i]->val_key, 12345);
        assert_int_equal(both[i]->best_hash, INT64_MAX);
        assert_int_equal(both[i]->rollbacks, 1);
    }
}

static void put(uint8_t *at, uint64_t x, int bytes) {
    for (int i = 0; i < bytes; i++) at[i] = (uint8_t)(x >> (8 * i));
}

static uint64_t get(const uint8_t *at) {
    uint64_t x = 0;
    for (int i = 0; i < 8; i++) x |= (uint64_t)at[i] << (8 * i);
    return x;
}

/* The file with another version, without the keys of progress in `drop` (words), and with another
 * `optimizer` (JSON; NULL: as it is). */
static void rewrite_all(int version, const char *const *drop, const char *optimizer) {
    static uint8_t file[1 << 20];
    FILE *f = fopen(path, "rb");
    const size_t size = fread(file, 1, sizeof file, f);
    fclose(f);
    const uint64_t at = get(file + 16);
    json_t *root = json_loadb((const char *)file + at, size - at, 0, NULL);
    assert_non_null(root);
    for (; drop && *drop; drop++)
        assert_int_equal(json_object_del(json_object_get(root, "progress"), *drop), 0);
    if (optimizer)
        json_object_set_new(root, "optimizer", json_loads(optimizer, JSON_DECODE_ANY, NULL));
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17));
    put(file + 8, (uint64_t)version, 4);
    put(file + 24, strlen(text), 8);
    put(file + 32, XXH3_64bits(text, strlen(text)), 8);
    f = fopen(path, "wb");
    assert_int_equal(fwrite(file, 1, at, f), at);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
    free(text);
    json_decref(root);
}

static void rewrite(int version, const char *const *drop) {
    rewrite_all(version, drop, NULL);
}

static void version_1(void **state) {
    (void)state;
    static const char *const later[] = {"val_best",  "val_best_step", "val_stale", "val_key",
                                        "best_hash", "rollbacks",     "lr_scale",  NULL};
    uint64_t hash;
    struct progress was = some(), p = progress_zero();
    ok(state_write(path, &engine, &was, 1, &e));
    rewrite(1, later);
    ok(state_read(path, &engine, &p, &hash, &e));
    assert_int_equal(p.step, 7);
    assert_true(isnan(p.val_best) && p.lr_scale == 1);
    assert_true(p.val_stale == 0 && p.rollbacks == 0 && p.best_hash == 0);
    rewrite(2, NULL); /* version 2 must have them */
    assert_int_equal(state_read(path, &engine, &p, &hash, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "progress.val_best is missing"));
    rewrite(4, NULL);
    assert_int_equal(state_read(path, &engine, &p, &hash, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "version 4 at offset 8, expected 1 to 3"));
}

static void rates_are_scaled_down(void **state) {
    (void)state;
    uint64_t hash;
    struct progress was = some(), p = progress_zero();
    was.lr_scale = NAN;
    ok(state_write(path, &engine, &was, 1, &e));
    assert_int_equal(state_read(path, &engine, &p, &hash, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "lr_scale"));
}

/* The engine with other optimizers. */
static void reopen(const char *kind, const char *matrix) {
    struct engine_opts o = {
        .batch = 1, .seq = 4, .machine = &gemm, .hyper = opt_hyper_of(opt_find(kind))};
    o.hyper.of[ROLE_matrix] = opt_hyper_of(opt_find(matrix)).of[ROLE_matrix];
    engine_close(&engine);
    ok(engine_open(&engine, engine_find("backprop"), &model, &o, &e));
}

static int version_of_file(void) {
    uint8_t head[16];
    FILE *f = fopen(path, "rb");
    assert_int_equal(fread(head, 1, sizeof head, f), sizeof head);
    fclose(f);
    return head[8];
}

/* What stands in the place of names. */
static void optimizers_damaged(void **state) {
    (void)state;
    static const struct {
        const char *optimizer, *error; /* NULL: it is read */
    } cases[] = {
        {"\"adamw\"", NULL},
        {"{\"embed\":\"adamw\",\"matrix\":\"adamw\",\"norm\":\"adamw\"}", NULL},
        {"{\"embed\":\"adamw\",\"matrix\":\"adamw\",\"norm\":\"adamw\",\"x\":\"adamw\"}",
         "optimizer of an unknown role x"},
        {"{\"embed\":\"adamw\",\"norm\":\"adamw\"}", "optimizer of role matrix is missing"},
        {"{\"embed\":\"adamw\",\"matrix\":[1],\"norm\":\"adamw\"}",
         "optimizer of role matrix is missing"},
        {"{}", "optimizer of role embed is missing"},
        {"7", "footer: optimizer is missing"},
        {"null", "footer: optimizer is missing"},
        {"{\"embed\":\"adamw\",\"matrix\":\"adamw\",\"norm\":\"none\"}",
         "state of optimizer none for parameters of role norm, but the run uses adamw for them"},
    };
    struct progress was = some(), p;
    uint64_t hash;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ok(state_write(path, &engine, &was, 1, &e));
        rewrite_all(3, NULL, cases[i].optimizer);
        const int rc = state_read(path, &engine, &p, &hash, &e);
        assert_int_equal(rc, cases[i].error ? ERR_INPUT : 0);
        if (rc && !strstr(e.msg, cases[i].error))
            fail_msg("%s, expected: %s", e.msg, cases[i].error);
    }
}

/* Values that no other array has. */
static void fill_state(float first) {
    struct engine_item item;
    for (int i = 0; engine_item(&engine, i, &item); i++)
        for (int64_t k = 0; k < item.n; k++) item.data[k] = first + (float)i + 1e-4f * (float)k;
}

static void check_state(float first) {
    struct engine_item item;
    for (int i = 0; engine_item(&engine, i, &item); i++)
        for (int64_t k = 0; k < item.n; k++)
            assert_true(item.data[k] == first + (float)i + 1e-4f * (float)k);
}

/* A state knows what each role was trained with: it is read by the same pair and by no other. */
static void optimizers_by_role(void **state) {
    (void)state;
    static const char *const names[] = {"adamw", "lion", "sgd", "momentum"};
    struct progress was = some(), p = progress_zero();
    uint64_t hash;
    for (int pair = 0; pair < 16; pair++) {
        const char *kind = names[pair / 4], *matrix = names[pair % 4];
        reopen(kind, matrix);
        fill_state(3);
        engine.opt.t = 9;
        ok(state_write(path, &engine, &was, 1, &e));
        assert_int_equal(version_of_file(), kind == matrix ? 2 : 3);
        for (int other = 0; other < 16; other++) {
            reopen(names[other / 4], names[other % 4]);
            const int rc = state_read(path, &engine, &p, &hash, &e);
            assert_int_equal(rc, other == pair ? 0 : ERR_INPUT);
            if (!rc) {
                assert_int_equal(engine.opt.t, 9);
                check_state(3);
                continue;
            }
            char want[160];
            const bool rest = other / 4 != pair / 4;
            snprintf(
                want, sizeof want,
                "state of optimizer %s for parameters of role %s, but the run uses %s for them",
                rest ? kind : matrix, rest ? "embed" : "matrix",
                rest ? names[other / 4] : names[other % 4]);
            if (!strstr(e.msg, want)) fail_msg("%s, expected: %s", e.msg, want);
        }
    }
    reopen("adamw", "adamw");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_come_back),
        cmocka_unit_test(version_1),
        cmocka_unit_test(rates_are_scaled_down),
        cmocka_unit_test(optimizers_by_role),
        cmocka_unit_test(optimizers_damaged),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
