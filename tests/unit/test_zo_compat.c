/* The predecessors' stream of signs (--rng compat): their published outputs, their order of tensors
 * and rotary rows, and elements that are left over; against a walk of the stream written here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "rng.h"
#include "zo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct err e;

/* xoshiro256+, state from splitmix64 of the seed; the low four bits of an output are four signs. */
struct stream {
    uint64_t s[4];
};

static struct stream stream_of(uint64_t seed) {
    struct stream r;
    for (int i = 0; i < 4; i++) r.s[i] = rng_splitmix(&seed);
    return r;
}

static uint64_t next(struct stream *r) {
    const uint64_t out = r->s[0] + r->s[3], t = r->s[1] << 17;
    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = (r->s[3] << 45) | (r->s[3] >> 19);
    return out;
}

/* Signs of n elements in the predecessors' order. */
static void draw(struct stream *r, int64_t n, int *sign) {
    uint64_t x = 0;
    for (int64_t i = 0; i < n; i++) {
        const bool tail = i >= n / 4 * 4;
        if (tail || i % 4 == 0) x = next(r);
        sign[i] = x >> (tail ? 0 : i % 4) & 1 ? 1 : -1;
    }
}

static struct param param_of(const char *name, enum role role, int64_t rows, int64_t cols,
                             bool trainable) {
    struct param p = {.role = role, .ndim = 2, .rows = rows, .cols = cols, .trainable = trainable};
    snprintf(p.name, sizeof p.name, "%s", name);
    return p;
}

/* The signs of a parameter as everything reads them. */
static void read_signs(const struct zo_bits *b, const struct param *p, int param, float *z) {
    const struct probe probe = {.eps = 1, .bits = b->table};
    memset(z, 0, (size_t)param_count(p) * sizeof *z);
    perturb_row(&probe, param, p->cols, 0, 0, param_count(p), z, z);
}

/* Published for seed 42. */
static void vectors(void **state) {
    (void)state;
    static const uint64_t outputs[] = {0x15f414253e365229, 0x4f771f08f4211387, 0x100492bd8828891e,
                                       0x4e743fce495374ae};
    struct stream r = stream_of(42);
    for (int i = 0; i < 4; i++) assert_true(next(&r) == outputs[i]);
    const struct param p = param_of("model.embed_tokens.weight", ROLE_embed, 1, 10, true);
    struct zo_bits b;
    float z[10];
    assert_int_equal(zo_bits_open(&b, &p, 1, 4, &e), 0);
    zo_bits_fill(&b, 42);
    read_signs(&b, &p, 0, z);
    for (int i = 0; i < 10; i++) assert_true(z[i] == ("+--++++---"[i] == '+' ? 1 : -1));
    zo_bits_close(&b);
}

/* A tensor of theirs: where it stands in the order, and how many rotary rows a head has. */
struct theirs {
    const char *name;
    int head_dim;
};

static void check_order(const struct param *p, int n, const struct theirs *order, int n_order,
                        uint64_t seed) {
    struct zo_bits b;
    struct stream r = stream_of(seed);
    static int sign[4096];
    static float z[4096];
    assert_int_equal(zo_bits_open(&b, p, n, 6, &e), 0);
    zo_bits_fill(&b, seed + 1); /* what was there before does not matter */
    zo_bits_fill(&b, seed);
    for (int k = 0; k < n_order; k++) {
        int i = 0;
        while (i < n && strcmp(p[i].name, order[k].name)) i++;
        if (i == n) fail_msg("no parameter %s", order[k].name);
        const int64_t count = param_count(p + i), cols = p[i].cols;
        assert_true(count <= 4096);
        draw(&r, count, sign);
        read_signs(&b, p + i, i, z);
        for (int64_t at = 0; at < count; at++) {
            int64_t row = at / cols;
            const int64_t hd = order[k].head_dim, in = hd ? row % hd : 0;
            /* their pairs (2j, 2j+1) are our rows j and hd/2 + j of the head */
            if (hd) row = row - in + in / 2 + in % 2 * hd / 2;
            if (z[row * cols + at % cols] != (float)sign[at])
                fail_msg("%s: element %lld", order[k].name, (long long)at);
        }
    }
    for (int i = 0; i < n; i++) assert_true((b.table[i] != NULL) == p[i].trainable);
    zo_bits_close(&b);
}

#define L0 "model.layers.0."
#define L10 "model.layers.10."

/* The whole model, in the order of our table; more than nine layers, so that order by name would
 * be another. */
static void full(void **state) {
    (void)state;
    const struct param p[] = {
        param_of("model.embed_tokens.weight", ROLE_embed, 7, 9, true),
        param_of(L10 "input_layernorm.weight", ROLE_norm, 1, 9, true),
        param_of(L10 "self_attn.q_proj.weight", ROLE_matrix, 12, 9, true),
        param_of("model.layers.2.input_layernorm.weight", ROLE_norm, 1, 9, true),
        param_of(L0 "input_layernorm.weight", ROLE_norm, 1, 9, true),
        param_of(L0 "self_attn.q_proj.weight", ROLE_matrix, 12, 9, true),
        param_of(L0 "self_attn.k_proj.weight", ROLE_matrix, 6, 9, true),
        param_of(L0 "self_attn.v_proj.weight", ROLE_matrix, 6, 9, true),
        param_of(L0 "self_attn.o_proj.weight", ROLE_matrix, 9, 12, true),
        param_of(L0 "post_attention_layernorm.weight", ROLE_norm, 1, 9, true),
        param_of(L0 "mlp.gate_proj.weight", ROLE_matrix, 5, 9, true),
        param_of(L0 "mlp.up_proj.weight", ROLE_matrix, 5, 9, true),
        param_of(L0 "mlp.down_proj.weight", ROLE_matrix, 9, 5, true),
        param_of("model.norm.weight", ROLE_norm, 1, 9, true),
        param_of("lm_head.weight", ROLE_embed, 7, 515, true)};
    static const struct theirs order[] = {{"model.embed_tokens.weight", 0},
                                          {L0 "input_layernorm.weight", 0},
                                          {L0 "self_attn.q_proj.weight", 6},
                                          {L0 "self_attn.k_proj.weight", 6},
                                          {L0 "self_attn.v_proj.weight", 0},
                                          {L0 "self_attn.o_proj.weight", 0},
                                          {L0 "post_attention_layernorm.weight", 0},
                                          {L0 "mlp.gate_proj.weight", 0},
                                          {L0 "mlp.down_proj.weight", 0},
                                          {L0 "mlp.up_proj.weight", 0},
                                          {"model.layers.2.input_layernorm.weight", 0},
                                          {L10 "input_layernorm.weight", 0},
                                          {L10 "self_attn.q_proj.weight", 6},
                                          {"model.norm.weight", 0},
                                          {"lm_head.weight", 0}};
    for (uint64_t seed = 42; seed < 45; seed++) check_order(p, 15, order, 15, seed);
}

/* LoRA with trained norms: adapters first, frozen weights are passed over. */
static void lora(void **state) {
    (void)state;
    const struct param p[] = {param_of("model.embed_tokens.weight", ROLE_embed, 7, 9, false),
                              param_of(L0 "input_layernorm.weight", ROLE_norm, 1, 9, true),
                              param_of(L0 "self_attn.q_proj.weight", ROLE_matrix, 12, 9, false),
                              param_of(L0 "self_attn.k_proj.weight", ROLE_matrix, 6, 9, false),
                              param_of(L0 "post_attention_layernorm.weight", ROLE_norm, 1, 9, true),
                              param_of("model.norm.weight", ROLE_norm, 1, 9, true),
                              param_of(L0 "self_attn.q_proj.lora_A.weight", ROLE_lora, 3, 9, true),
                              param_of(L0 "self_attn.q_proj.lora_B.weight", ROLE_lora, 12, 3, true),
                              param_of(L0 "self_attn.k_proj.lora_A.weight", ROLE_lora, 3, 9, true),
                              param_of(L0 "self_attn.k_proj.lora_B.weight", ROLE_lora, 6, 3, true),
                              param_of(L0 "self_attn.o_proj.lora_A.weight", ROLE_lora, 3, 12, true),
                              param_of(L0 "self_attn.o_proj.lora_B.weight", ROLE_lora, 9, 3, true),
                              param_of(L0 "mlp.up_proj.lora_A.weight", ROLE_lora, 3, 9, true),
                              param_of(L0 "mlp.up_proj.lora_B.weight", ROLE_lora, 5, 3, true),
                              param_of(L0 "mlp.down_proj.lora_A.weight", ROLE_lora, 3, 5, true),
                              param_of(L0 "mlp.down_proj.lora_B.weight", ROLE_lora, 9, 3, true)};
    static const struct theirs order[] = {{L0 "self_attn.q_proj.lora_A.weight", 0},
                                          {L0 "self_attn.q_proj.lora_B.weight", 6},
                                          {L0 "self_attn.k_proj.lora_A.weight", 0},
                                          {L0 "self_attn.k_proj.lora_B.weight", 6},
                                          {L0 "self_attn.o_proj.lora_A.weight", 0},
                                          {L0 "self_attn.o_proj.lora_B.weight", 0},
                                          {L0 "mlp.down_proj.lora_A.weight", 0},
                                          {L0 "mlp.down_proj.lora_B.weight", 0},
                                          {L0 "mlp.up_proj.lora_A.weight", 0},
                                          {L0 "mlp.up_proj.lora_B.weight", 0},
                                          {L0 "input_layernorm.weight", 0},
                                          {L0 "post_attention_layernorm.weight", 0},
                                          {"model.norm.weight", 0}};
    check_order(p, 16, order, 13, 42);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(full),
        cmocka_unit_test(lora),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
