/* Initialisation: scales, independence of compaction, the predecessors' exact stream; and saving of
 * compacted models, whose left-out rows must come back as they were. */
#include "format.h"
#include "model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { DIM = 32, HIDDEN = 48, LAYERS = 2, HEADS = 4, KV = 2, HD = 8, VOCAB = 40 };

static void make(struct model *m, const char *init, bool tied, const uint32_t *ids, int64_t n) {
    char text[512];
    struct err e;
    struct model_config c;
    snprintf(text, sizeof text,
             "{\"hidden_size\":%d,\"intermediate_size\":%d,\"num_hidden_layers\":%d,\"num_"
             "attention_heads\":%d,"
             "\"num_key_value_heads\":%d,\"vocab_size\":%d,\"tie_word_embeddings\":%s,\"duet\":{"
             "\"init\":\"%s\"}}",
             DIM, HIDDEN, LAYERS, HEADS, KV, VOCAB, tied ? "true" : "false", init);
    assert_int_equal(model_config_parse(&c, text, strlen(text), "test", NULL, &e), 0);
    assert_int_equal(model_create(m, &c, &e), 0);
    if (ids) assert_int_equal(model_compact(m, ids, n, &e), 0);
    assert_int_equal(model_reserve(m, &e), 0);
    assert_int_equal(model_init(m, 7, &e), 0);
}

static const struct param *find(const struct model *m, const char *name) {
    for (int i = 0; i < m->n_params; i++)
        if (!strcmp(m->params[i].name, name)) return m->params + i;
    fail_msg("no parameter %s", name);
    return NULL;
}

static double deviation(const struct param *p) {
    double sum = 0;
    for (int64_t i = 0; i < param_count(p); i++)
        sum += (double)((float *)p->data)[i] * (double)((float *)p->data)[i];
    return sqrt(sum / (double)param_count(p));
}

static void scales(void **state) {
    (void)state;
    struct model m;
    make(&m, "fan_in", true, NULL, 0);
    const double depth = 1 / sqrt(2.0 * LAYERS);
    assert_true(fabs(deviation(find(&m, "model.layers.0.mlp.gate_proj.weight")) * sqrt(DIM) - 1) <
                0.1);
    assert_true(
        fabs(deviation(find(&m, "model.layers.1.mlp.down_proj.weight")) * sqrt(HIDDEN) / depth -
             1) < 0.1);
    assert_true(fabs(deviation(find(&m, "model.embed_tokens.weight")) / 0.02 - 1) < 0.1);
    assert_true(deviation(find(&m, "model.norm.weight")) == 1);
    model_close(&m);
    make(&m, "normal", true, NULL, 0);
    assert_true(fabs(deviation(find(&m, "model.layers.0.mlp.gate_proj.weight")) / 0.02 - 1) < 0.1);
    model_close(&m);
}

/* The stream as its authors wrote it, with the C library's generator: per layer q, k, v, o, gate,
 * down, up, then the embedding; the rows of q and k are interleaved pairs. */
static void draw(float *x, int n, double s) {
    for (int i = 0; i < n; i++) x[i] = (float)s * (float)(2 * drand48() - 1);
}

static void same_rows(const float *got, const float *pairs, int heads) {
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < HD / 2; i++)
            for (int part = 0; part < 2; part++)
                assert_memory_equal(got + (h * HD + part * HD / 2 + i) * DIM,
                                    pairs + (h * HD + 2 * i + part) * DIM, DIM * sizeof(float));
}

static void compat(void **state) {
    (void)state;
    static const char *const names[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                        "self_attn.o_proj", "mlp.gate_proj",    "mlp.down_proj",
                                        "mlp.up_proj"};
    const double depth = 1 / sqrt(2.0 * LAYERS), d = 1 / sqrt((double)DIM),
                 f = 1 / sqrt((double)HIDDEN);
    const double scale[] = {d, d, d, depth / sqrt((double)(HEADS * HD)), f, depth * d, f};
    static float want[HIDDEN * DIM];
    struct model m;
    make(&m, "compat", true, NULL, 0);
    srand48(7);
    for (int l = 0; l < LAYERS; l++)
        for (int k = 0; k < 7; k++) {
            char name[96];
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, names[k]);
            const struct param *p = find(&m, name);
            draw(want, (int)param_count(p), scale[k]);
            if (k < 2) same_rows(p->data, want, k ? KV : HEADS);
            else assert_memory_equal(p->data, want, (size_t)param_count(p) * sizeof *want);
        }
    draw(want, VOCAB * DIM, 0.02);
    assert_memory_equal(find(&m, "model.embed_tokens.weight")->data, want,
                        VOCAB * DIM * sizeof *want);
    model_close(&m);
}

/* A compacted model starts with the rows that the full one has, and saves the full one's others. */
static void compaction_of(const char *init, bool tied) {
    static const uint32_t ids[] = {0, 3, 4, 17, 39};
    char path[64];
    struct model full, small, back;
    struct err e;
    snprintf(path, sizeof path, "/tmp/duet-test-init-%ld.blzt", (long)getpid());
    make(&full, init, tied, NULL, 0);
    make(&small, init, tied, ids, 5);
    for (int t = 0; t < (tied ? 1 : 2); t++) {
        const char *name = t ? "lm_head.weight" : "model.embed_tokens.weight";
        const float *a = find(&full, name)->data;
        float *b = find(&small, name)->data;
        for (int i = 0; i < 5; i++)
            assert_memory_equal(a + ids[i] * DIM, b + i * DIM, DIM * sizeof *a);
        b[2 * DIM] = 42; /* training */
    }
    assert_int_equal(model_save(&small, path, "blzt5", NULL, &e), 0);
    assert_int_equal(model_open(&back, path, NULL, &e), 0);
    for (int i = 0; i < full.n_params; i++) {
        const struct param *p = full.params + i, *q = back.params + i;
        assert_int_equal(param_count(p), param_count(q));
        if (p->role == ROLE_embed) ((float *)p->data)[4 * DIM] = 42;
        assert_memory_equal(p->data, q->data, (size_t)param_count(p) * sizeof(float));
    }
    /* Formats that want whole tables refuse in a sentence and leave no file. */
    assert_int_not_equal(model_save(&small, "/tmp/duet-test-init.bin", "llama2c", NULL, &e), 0);
    assert_int_equal(access("/tmp/duet-test-init.bin", F_OK), -1);
    unlink(path);
    model_close(&full);
    model_close(&small);
    model_close(&back);
}

static void compaction(void **state) {
    (void)state;
    compaction_of("fan_in", true);
    compaction_of("normal", false);
    compaction_of("compat", true);
    compaction_of("compat", false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(scales), cmocka_unit_test(compat),
                                       cmocka_unit_test(compaction)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
