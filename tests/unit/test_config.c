/* What a config.json says that changes the function: taken where duet computes it, wherever it
 * stands, and refused by name where it does not. Values that change nothing are taken. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "config_refuse.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct err e;

/* A model of 2 layers, heads of 16 and 64 positions, with these members. */
static int parse(struct model_config *c, const char *keys, const struct conf_pairs *sets) {
    char text[1024];
    const int n = snprintf(
        text, sizeof text,
        "{\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,"
        "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":50,"
        "\"max_position_embeddings\":64,%s}",
        keys);
    assert_true(n > 0 && (size_t)n < sizeof text);
    return model_config_parse(c, text, (size_t)n, "config.json", sets, &e);
}

static void taken(const char *keys) {
    struct model_config c;
    if (parse(&c, keys, NULL)) fail_msg("%s: %s", keys, e.msg);
    model_config_release(&c);
}

static void refused(const char *keys, const char *says) {
    struct model_config c;
    if (!parse(&c, keys, NULL)) fail_msg("%s: taken", keys);
    if (e.code != ERR_INPUT || !strstr(e.msg, says)) fail_msg("%s: %s", keys, e.msg);
    assert_non_null(strstr(e.msg, "config.json"));
}

#define LLAMA "\"model_type\":\"llama\","
#define MISTRAL "\"model_type\":\"mistral\","
#define QWEN2 "\"model_type\":\"qwen2\","
#define QWEN3 "\"model_type\":\"qwen3\","
#define ARCEE "\"model_type\":\"arcee\","

/* A key, a value of it that changes nothing, and one that does. */
static const char *const changing[][3] = {
    {"is_causal", "true", "false"},
    {"use_bidirectional_attention", "false", "true"},
    {"use_bidirectional_attention", "null", "\"all\""},
    {"bidirectional", "false", "true"},
    {"is_encoder_decoder", "false", "true"},
    {"add_cross_attention", "false", "true"},
    {"attention_chunk_size", "64", "63"},
    {"use_attention_sinks", "false", "true"},
    {"attention_sinks", "0", "4"},
    {"attn_output_gate", "false", "true"},
    {"headwise_attn_output_gate", "false", "true"},
    {"elementwise_attn_output_gate", "false", "true"},
    {"num_kv_shared_layers", "0", "1"},
    {"kv_lora_rank", "null", "512"},
    {"q_lora_rank", "null", "512"},
    {"v_head_dim", "16", "32"},
    {"clip_qkv", "null", "8.0"},
    {"attn_logit_softcapping", "null", "50.0"},
    {"attn_logit_softcapping", "0.0", "50"},
    {"query_pre_attn_scalar", "16", "256"},
    {"attention_multiplier", "0.25", "0.0625"},
    {"softmax_scale", "0.25", "1"},
    {"scale_attn_weights", "true", "false"},
    {"scale_attn_by_inverse_layer_idx", "false", "true"},
    {"attn_temperature_tuning", "false", "true"},
    {"attn_temperature_tuning", "0", "4"},
    {"use_logn_attn", "false", "true"},
    {"partial_rotary_factor", "1.0", "0.5"},
    {"partial_rotary_factor", "1", "0.25"},
    {"rotary_pct", "1.0", "0.25"},
    {"rope_pct", "1", "0.25"},
    {"rotary_dim", "16", "8"},
    {"rotary_emb_base", "10000", "500000"},
    {"rotary_embedding_base", "10000.0", "500000"},
    {"rope_base", "10000.0", "500000"},
    {"rope_local_base_freq", "10000.0", "1000000"},
    {"rope_ratio", "1", "16"},
    {"rope_interleave", "false", "true"},
    {"rope_interleaved", "false", "true"},
    {"rotary_interleaved", "false", "true"},
    {"use_dynamic_ntk", "false", "true"},
    {"no_rope_layers", "[1,1]", "[1,0]"},
    {"no_rope_layers", "[]", "[0,0]"},
    {"no_rope_layer_interval", "3", "2"},
    {"no_rope_layer_interval", "0", "1"},
    {"use_rope", "true", "false"},
    {"nope", "false", "true"},
    {"alibi", "false", "true"},
    {"use_alibi", "false", "true"},
    {"position_embedding_type", "\"rope\"", "\"alibi\""},
    {"embedding_multiplier", "1.0", "12.0"},
    {"residual_multiplier", "1.0", "0.22"},
    {"logits_scaling", "1.0", "8.0"},
    {"logit_scale", "1", "0.0625"},
    {"lm_head_multiplier", "1.0", "0.04"},
    {"key_multiplier", "1.0", "0.4"},
    {"scale_embedding", "false", "true"},
    {"normalize_embedding", "false", "true"},
    {"scale_emb", "1", "12"},
    {"scale_depth", "1.4142135623730951", "1.4"},
    {"dim_model_base", "64", "256"},
    {"mup_embeddings_scale", "1.0", "14.6"},
    {"mup_output_alpha", "1.0", "2.2"},
    {"mup_width_scale", "1.0", "0.1"},
    {"final_logit_softcapping", "null", "30.0"},
    {"logits_soft_cap", "0", "30.0"},
    {"logit_softcap", "0", "15"},
    {"hidden_act", "\"silu\"", "\"gelu\""},
    {"hidden_act", "\"swish\"", "[\"silu\"]"},
    {"hidden_activation", "\"silu\"", "\"gelu_pytorch_tanh\""},
    {"activation_function", "\"swish\"", "\"relu\""},
    {"norm_type", "\"rmsnorm\"", "\"layernorm\""},
    {"normalization_type", "\"RMSNorm\"", "\"LayerNorm\""},
    {"layer_norm_type", "\"rms\"", "\"low_precision\""},
    {"apply_layernorm_1p", "false", "true"},
    {"zero_centered_gamma", "false", "true"},
    {"norm_unit_offset", "false", "true"},
    {"use_qk_norm", "false", "true"},
    {"qk_norm", "false", "true"},
    {"qk_layernorm", "false", "true"},
    {"use_post_norm", "false", "true"},
    {"apply_residual_connection_post_layernorm", "false", "true"},
    {"use_parallel_residual", "false", "true"},
    {"parallel_attn", "false", "true"},
    {"mlp_bias", "false", "true"},
    {"use_bias", "false", "true"},
    {"bias", "false", "true"},
    {"qkv_bias", "false", "true"},
    {"use_qkv_bias", "false", "true"},
    {"add_qkv_bias", "false", "true"},
    {"attention_out_bias", "false", "true"},
    {"lm_head_bias", "false", "true"},
    {"swiglu_limit", "null", "7.0"},
    {"per_layer_config", "{}", "{\"0\":{\"num_attention_heads\":2}}"},
    {"num_experts", "0", "8"},
    {"num_local_experts", "0", "8"},
    {"n_routed_experts", "null", "64"},
    {"n_shared_experts", "0", "1"},
    {"moe_num_experts", "0", "8"},
    {"mlp_layer_types", "[\"dense\",\"dense\"]", "[\"dense\",\"sparse\"]"},
    {"quantization_config", "null", "{\"quant_method\":\"gptq\",\"bits\":4}"},
    {"quantization", "{}", "{\"group_size\":64,\"bits\":4}"},
    {"compression_config", "null", "{\"format\":\"pack-quantized\"}"},
};

static void keys_that_change(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof changing / sizeof *changing; i++) {
        char keys[160], says[80];
        snprintf(keys, sizeof keys, LLAMA "\"%s\":%s", changing[i][0], changing[i][1]);
        taken(keys);
        snprintf(keys, sizeof keys, LLAMA "\"%s\":%s", changing[i][0], changing[i][2]);
        snprintf(says, sizeof says, "%s is ", changing[i][0]);
        refused(keys, says);
        /* Who knows better may pass it over. */
        struct model_config c;
        char *key = strdup(changing[i][0]), *value = strdup("null");
        const struct conf_pairs sets = {.n = 1, .key = &key, .value = &value};
        if (parse(&c, keys, &sets)) fail_msg("--set %s=null: %s", changing[i][0], e.msg);
        model_config_release(&c);
        free(key);
        free(value);
    }
}

/* Keys that mean what the architecture has anyway, and keys that mean nothing for logits. */
static void keys_that_do_not(void **state) {
    (void)state;
    taken(QWEN3 "\"use_qk_norm\":true");
    taken(QWEN2 "\"qkv_bias\":true");
    refused(QWEN2 "\"qkv_bias\":false", "qkv_bias");
    taken(LLAMA "\"rope_theta\":5e5,\"rotary_emb_base\":500000");
    taken(LLAMA "\"no_rope_layers\":[1,1],\"no_rope_layer_interval\":2");
    taken(LLAMA "\"attention_dropout\":0.1,\"pretraining_tp\":4,\"use_cache\":true,"
                "\"num_nextn_predict_layers\":1,\"num_experts_per_tok\":8,\"_name_or_path\":\"x\","
                "\"auto_map\":{\"AutoModel\":\"m.M\"},\"max_window_layers\":1,\"use_mrope\":false,"
                "\"embd_pdrop\":0.1,\"tie_encoder_decoder\":true,\"decoder_sparse_step\":1");
}

/* Of a key that every architecture computes in its own way: its values, and no others. Other names
 * of the key mean the same. */
static void values_of_its_own(void **state) {
    (void)state;
    static const char *const acts[] = {"hidden_act", "hidden_activation", "activation_function"};
    static const char *const said[] = {"\"silu\"", "\"swish\"", "\"relu2\"", "\"gelu\"", "\"relu\"",
                                       "\"\"",     "true",      "0",         "{}"};
    static const struct {
        const char *arch, *values;
    } archs[] = {{LLAMA, "\"silu\" \"swish\""},
                 {MISTRAL, "\"silu\" \"swish\""},
                 {QWEN2, "\"silu\" \"swish\""},
                 {QWEN3, "\"silu\" \"swish\""},
                 {ARCEE, "\"relu2\""}};
    for (size_t a = 0; a < sizeof archs / sizeof *archs; a++)
        for (size_t k = 0; k < 3; k++)
            for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
                char keys[128], says[64];
                snprintf(keys, sizeof keys, "%s\"sliding_window\":null,\"%s\":%s", archs[a].arch,
                         acts[k], said[i]);
                snprintf(says, sizeof says, "%s is %s, which", acts[k], said[i]);
                if (strstr(archs[a].values, said[i]))
                    taken(keys);
                else
                    refused(keys, says);
            }
    taken(ARCEE "\"hidden_act\":null");
    taken(ARCEE "\"mlp_bias\":false"); /* none said */
    struct model_config c;
    assert_int_equal(parse(&c, ARCEE "\"mlp_bias\":false", NULL), 0);
    assert_true(c.eps == 1e-5); /* its own default */
    model_config_release(&c);
}

/* What an architecture does not compute, though others do. */
static void keys_of_others(void **state) {
    (void)state;
    taken(ARCEE "\"mlp_bias\":false,\"attention_bias\":false");
    taken(ARCEE "\"duet\":{\"qk_norm\":false,\"value_embeds\":false,\"rope_local_theta\":0}");
    refused(ARCEE "\"attention_bias\":true", "attention_bias is set");
    refused(ARCEE "\"duet\":{\"qk_norm\":true}", "duet.qk_norm is set");
    refused(ARCEE "\"duet\":{\"value_embeds\":true}", "duet.value_embeds is set");
    refused(ARCEE "\"duet\":{\"rope_local_theta\":50}", "duet.rope_local_theta is set");
}

/* What nobody knows is listed. */
static void unknown(void **state) {
    (void)state;
    struct model_config c;
    char text[64];
    assert_int_equal(
        parse(&c,
              "\"warp_factor\":9,\"architectures\":[],\"is_causal\":true,\"top_p\":0.9,"
              "\"nothing\":null,\"rope_parameters\":{\"rope_theta\":500},\"duet\":{},"
              "\"flux\":[],\"torch_dtype\":\"float32\"",
              NULL),
        0);
    assert_int_equal(config_unknown(c.json, text, sizeof text), 2);
    assert_string_equal(text, "\"warp_factor\", \"flux\"");
    assert_int_equal(config_unknown(c.json, text, 16), 2);
    assert_string_equal(text, "\"warp_factor\"");
    model_config_release(&c);
}

/* A window changes nothing within as many positions. */
static void windows(void **state) {
    (void)state;
    taken(MISTRAL "\"sliding_window\":64");
    taken(MISTRAL "\"sliding_window\":null");
    taken(MISTRAL "\"sliding_window\":-1");
    refused(MISTRAL "\"sliding_window\":63", "--set max_position_embeddings=63");
    refused(MISTRAL "\"sliding_window\":63,\"use_sliding_window\":false", "sliding_window is 63");
    refused(LLAMA "\"logit_scale\":0.1", "logit_scale is 0.1, which");
    refused(LLAMA "\"sliding_window\":63", "sliding_window is 63");
    refused(MISTRAL "\"sliding_window\":64,\"duet\":{\"seq_len\":65}", "sliding_window is 64");
    taken(LLAMA "\"sliding_window\":63,\"use_sliding_window\":false");
    refused(LLAMA "\"sliding_window\":\"63\"", "sliding_window is not an integer");
    taken(QWEN2 "\"sliding_window\":32");
    taken(QWEN2 "\"sliding_window\":32,\"use_sliding_window\":false");
    taken(QWEN2 "\"sliding_window\":32,\"use_sliding_window\":true,\"max_window_layers\":2");
    refused(QWEN2 "\"sliding_window\":32,\"use_sliding_window\":true,\"max_window_layers\":1",
            "sliding_window is 32");
    refused(QWEN3 "\"sliding_window\":32,\"use_sliding_window\":true", "sliding_window is 32");
    refused(QWEN3 "\"use_sliding_window\":1", "use_sliding_window");
    taken(QWEN3 "\"sliding_window\":32,\"use_sliding_window\":true,"
                "\"layer_types\":[\"full_attention\",\"full_attention\"]");
    refused(QWEN3 "\"sliding_window\":32,\"use_sliding_window\":true,"
                  "\"layer_types\":[\"full_attention\",\"sliding_attention\"]",
            "sliding_window is 32");
    taken(QWEN3 "\"sliding_window\":64,\"use_sliding_window\":true,"
                "\"layer_types\":[\"full_attention\",\"sliding_attention\"]");
    taken(LLAMA "\"layer_types\":[\"attention\",\"full_attention\"]");
    refused(LLAMA "\"layer_types\":[\"full_attention\",\"linear_attention\"]",
            "layer_types[1] is \"linear_attention\"");
    refused(LLAMA "\"layer_types\":[7]", "layer_types[0]");
}

static double factor_of(const struct model_config *c, int i) {
    return c->rope_factors ? c->rope_factors[i] : 1;
}

#define LLAMA3                                                                                     \
    "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"                             \
    "\"original_max_position_embeddings\":32"

/* The base, wherever it stands, and the factor of the slowest pair. */
static const struct {
    const char *keys;
    double theta, factor;
} rotary_cases[] = {
    {"\"rope_theta\":500", 500, 1},
    {"\"rope_parameters\":{\"rope_theta\":500}", 500, 1},
    {"\"rope_parameters\":{\"rope_theta\":500,\"rope_type\":\"default\"}", 500, 1},
    {"\"rope_parameters\":{\"rope_theta\":500,\"rope_type\":\"default\"},\"rope_theta\":10000",
     500, 1},
    {"\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2},\"rope_theta\":700", 700, 2},
    {"\"rope_parameters\":null,\"rope_scaling\":null", 10000, 1},
    {"\"rope_parameters\":{},\"rope_scaling\":{},\"rope_theta\":7000", 7000, 1},
    {"\"rope_parameters\":{\"rope_theta\":null},\"rope_theta\":7000", 7000, 1},
    {"\"rope_scaling\":{\"rope_theta\":500,\"type\":\"linear\",\"factor\":4}", 500, 4},
    {"\"rope_scaling\":{\"rope_theta\":500,\"type\":\"linear\",\"factor\":4},\"rope_theta\":9",
     500, 4},
    {"\"rope_scaling\":{\"rope_theta\":500000.0,\"rope_type\":\"llama3\"," LLAMA3 "}", 500000,
     8},
    {"\"rope_scaling\":{\"rope_type\":\"default\"}", 10000, 1},
    {"\"rope_scaling\":{\"rope_type\":\"default\",\"factor\":3}", 10000, 1},
    {"\"rope_scaling\":{\"rope_type\":null,\"type\":\"linear\",\"factor\":4}", 10000, 4},
    {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":4,\"partial_rotary_factor\":1}", 10000,
     4},
    /* both, and the same */
    {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":4},\"rope_parameters\":{\"type\":"
     "\"linear\","
     "\"factor\":4.0,\"rope_theta\":300}",
     300, 4},
    {"\"rope_scaling\":{\"type\":\"default\"},\"rope_parameters\":{\"rope_type\":\"default\","
     "\"rope_theta\":300}",
     300, 1},
    /* no type: none of rope_parameters, as transformers 5 has it */
    {"\"rope_parameters\":{\"rope_theta\":500,\"factor\":4}", 500, 1},
    {"\"rope_parameters\":{\"rope_type\":null,\"factor\":4},\"rope_theta\":700", 700, 1},
    {"\"rope_parameters\":{\"rope_type\":null,\"type\":\"linear\",\"factor\":4}", 10000, 4},
    /* a length outside, as transformers 5 reads it */
    {"\"original_max_position_embeddings\":32,\"rope_scaling\":{\"rope_type\":\"llama3\","
     "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0}",
     10000, 8},
};

static void rotary(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rotary_cases / sizeof *rotary_cases; i++) {
        struct model_config c, again;
        if (parse(&c, rotary_cases[i].keys, NULL)) fail_msg("%s: %s", rotary_cases[i].keys, e.msg);
        if (c.theta != rotary_cases[i].theta ||
            fabs(factor_of(&c, 7) - rotary_cases[i].factor) > 1e-9)
            fail_msg("%s: base %g, factor %g", rotary_cases[i].keys, c.theta, factor_of(&c, 7));
        /* What is kept says the same in the one form. */
        assert_null(json_object_get(c.json, "rope_parameters"));
        char *text = model_config_dump(&c);
        assert_int_equal(model_config_parse(&again, text, strlen(text), "again", NULL, &e), 0);
        assert_true(again.theta == c.theta && factor_of(&again, 7) == factor_of(&c, 7));
        free(text);
        model_config_release(&c);
        model_config_release(&again);
    }
}

/* Scaling of each type that is none: the config is then the one without it, and nearly none is
 * not. */
static void rotary_identities(void **state) {
    (void)state;
    static const char *const same[] = {
        "\"type\":\"linear\",\"factor\":1",
        "\"rope_type\":\"linear\",\"factor\":1.0,\"rope_theta\":500",
        "\"rope_type\":\"llama3\",\"factor\":1.0,\"low_freq_factor\":1.0,"
        "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":32",
        "\"type\":\"dynamic\",\"factor\":1.0",
        "\"rope_type\":\"yarn\",\"factor\":1.0",
        "\"type\":\"yarn\",\"factor\":1,\"attention_factor\":1.0,\"beta_fast\":32,\"beta_slow\":1,"
        "\"mscale\":0.707,\"mscale_all_dim\":1.0,\"original_max_position_embeddings\":64",
        "\"rope_type\":\"yarn\",\"factor\":1,\"attention_factor\":null",
        "\"rope_type\":\"longrope\",\"short_factor\":[1,1.0],\"long_factor\":[1.0,1]",
        "\"type\":\"su\",\"short_factor\":[1],\"long_factor\":[1],\"factor\":1,"
        "\"original_max_position_embeddings\":64"};
    static const char *const other[][2] = {
        {"\"type\":\"linear\",\"factor\":1,\"partial_rotary_factor\":0.5", "partial_rotary_factor"},
        {"\"type\":\"dynamic\",\"factor\":1.01", "\"dynamic\""},
        {"\"type\":\"dynamic\"", "\"dynamic\""},
        {"\"type\":\"yarn\",\"factor\":true", "\"yarn\""},
        {"\"type\":\"yarn\",\"factor\":1,\"attention_factor\":1.1", "\"yarn\""},
        {"\"type\":\"yarn\",\"factor\":1,\"original_max_position_embeddings\":32", "\"yarn\""},
        {"\"type\":\"longrope\",\"short_factor\":[1],\"long_factor\":[1,2]", "\"longrope\""},
        {"\"type\":\"longrope\",\"short_factor\":[1],\"long_factor\":[]", "\"longrope\""},
        {"\"type\":\"longrope\",\"short_factor\":[1],\"long_factor\":[1],\"factor\":4",
         "\"longrope\""},
        {"\"type\":\"proportional\",\"factor\":1", "\"proportional\""}};
    char keys[512];
    struct model_config plain, c;
    assert_int_equal(parse(&plain, "\"rope_theta\":500", NULL), 0);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        for (int newer = 0; newer < 2; newer++) {
            snprintf(keys, sizeof keys, "\"rope_theta\":500,\"%s\":{%s}",
                     newer ? "rope_parameters" : "rope_scaling", same[i]);
            if (parse(&c, keys, NULL)) fail_msg("%s: %s", keys, e.msg);
            assert_null(c.rope_factors);
            if (!json_equal(c.json, plain.json)) fail_msg("%s: not the plain config", keys);
            model_config_release(&c);
        }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        snprintf(keys, sizeof keys, "\"rope_scaling\":{%s}", other[i][0]);
        refused(keys, other[i][1]);
    }
    refused(
        "\"original_max_position_embeddings\":32,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":1}",
        "yarn");
    model_config_release(&plain);
}

static void rotary_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"\"rope_parameters\":{\"rope_theta\":\"500\"}", "rope_theta is not a number"},
        {"\"rope_parameters\":[500]", "rope_parameters is not an object"},
        {"\"rope_scaling\":\"linear\"", "rope_scaling is not an object"},
        {"\"rope_scaling\":{\"factor\":2}", "rope_scaling (or rope_parameters) has no rope_type"},
        {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":4},\"rope_parameters\":{\"rope_type\":"
         "\"default\",\"rope_theta\":300}",
         "rope_scaling and rope_parameters say different things"},
        {"\"rope_scaling\":{\"rope_theta\":400},\"rope_parameters\":{\"rope_theta\":300}",
         "rope_scaling and rope_parameters say different things"},
        {"\"rope_parameters\":{\"full_attention\":{\"rope_theta\":500}}",
         "rope_parameters: full_attention is an object"},
        {"\"rope_parameters\":{\"sliding_attention\":null,\"full_attention\":{\"rope_theta\":500}}",
         "rope_parameters: full_attention is an object"},
        {"\"rope_scaling\":{\"full_attention\":{}},\"rope_theta\":500",
         "rope_scaling: full_attention is an object"},
        {"\"layer_types\":[\"full_attention\",\"full_attention\"],\"rope_parameters\":{"
         "\"rope_theta\":500,\"full_attention\":{\"rope_theta\":500}}",
         "rope_parameters: full_attention is an object"},
        {"\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":500,\"partial_rotary_"
         "factor\":"
         "0.5}",
         "partial_rotary_factor"},
        {"\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2,\"partial_rotary_factor\":0.5}",
         "partial_rotary_factor"},
        {"\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2}", "\"yarn\""},
        {"\"rope_scaling\":{\"rope_type\":\"proportional\",\"factor\":2}", "\"proportional\""},
        {"\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":2}", "\"dynamic\""},
        {"\"rope_scaling\":{\"rope_type\":\"longrope\",\"short_factor\":[1]}", "\"longrope\""},
        {"\"original_max_position_embeddings\":64,\"rope_scaling\":{\"rope_type\":"
         "\"llama3\"," LLAMA3 "}",
         "original_max_position_embeddings differs"},
        {"\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,"
         "\"high_freq_factor\":4.0}",
         "original_max_position_embeddings"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) refused(cases[i][0], cases[i][1]);
}

/* --set goes before what stands in the file, also where that stands inside. */
static void set_base(void **state) {
    (void)state;
    struct model_config c;
    char *key = strdup("rope_theta"), *value = strdup("600");
    const struct conf_pairs sets = {.n = 1, .key = &key, .value = &value};
    assert_int_equal(
        parse(&c, "\"rope_parameters\":{\"rope_theta\":500,\"rope_type\":\"default\"}", &sets), 0);
    assert_true(c.theta == 600);
    model_config_release(&c);
    free(key);
    free(value);
}

/* Python writes integers of any size. What duet does not read it keeps as a number. */
static void integers(void **state) {
    (void)state;
    static const char *const texts[] = {"1000000000000000019884624838656", "-9223372036854775809",
                                        "9223372036854775808", "18446744073709551616"};
    struct model_config c;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char keys[128];
        snprintf(keys, sizeof keys, "\"model_max_length\":%s", texts[i]);
        if (parse(&c, keys, NULL)) fail_msg("%s: %s", texts[i], e.msg);
        const json_t *v = json_object_get(c.json, "model_max_length");
        assert_true(json_is_real(v) && json_real_value(v) == strtod(texts[i], NULL));
        model_config_release(&c);
    }
    /* The largest that fit stay whole numbers, and so do digits that are no integer. */
    assert_int_equal(parse(&c,
                           "\"a\":9223372036854775807,\"b\":-9223372036854775808,\"c\":[0,-1],"
                           "\"d\":0.12345678901234567890123,\"e\":1e-0000000000000000000001,\"f\":"
                           "\"99999999999999999999\",\"g\":12345678901234567890.5",
                           NULL),
                     0);
    assert_int_equal(json_integer_value(json_object_get(c.json, "a")), INT64_MAX);
    assert_int_equal(json_integer_value(json_object_get(c.json, "b")), INT64_MIN);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(c.json, "c"), 1)), -1);
    assert_true(json_real_value(json_object_get(c.json, "d")) == 0.12345678901234567890123);
    assert_true(json_real_value(json_object_get(c.json, "e")) == 0.1);
    assert_string_equal(json_string_value(json_object_get(c.json, "f")), "99999999999999999999");
    assert_true(json_real_value(json_object_get(c.json, "g")) == 12345678901234567890.5);
    model_config_release(&c);
    refused("\"rope_theta\":1000000000000000019884624838656", "rope_theta is 1e+30");
    refused("\"sliding_window\":1000000000000000019884624838656",
            "sliding_window is not an integer");
}

/* Cut anywhere, a description is refused; with any byte changed it is read or refused, and what is
 * read is read again. */
static void damaged(void **state) {
    (void)state;
    static const char text[] =
        "{\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":2,"
        "\"num_attention_heads\":4,\"vocab_size\":50,\"max_position_embeddings\":64,"
        "\"rope_theta\":1e4,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2,\"rope_theta\":9e3},"
        "\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2.0,\"rope_theta\":9e3},"
        "\"layer_types\":[\"full_attention\",\"full_attention\"],\"a\":99999999999999999999,"
        "\"no_rope_layers\":[1,1],\"qk_norm\":false,\"clip_qkv\":null}";
    enum { N = sizeof text - 1 };
    struct model_config c;
    for (size_t n = 0; n < N; n++) {
        char *cut = malloc(n + 1); /* so that a sanitizer sees a byte too far */
        memcpy(cut, text, n);
        assert_int_equal(model_config_parse(&c, cut, n, "cut", NULL, &e), ERR_INPUT);
        free(cut);
    }
    static const char other[] = {0, '"', '{', '}', '[', ',', '9', '-', 'e', '\\', (char)0xff};
    for (size_t i = 0; i < N * sizeof other; i++) {
        char copy[N];
        memcpy(copy, text, N);
        copy[i / sizeof other] = other[i % sizeof other];
        if (model_config_parse(&c, copy, N, "changed", NULL, &e)) continue;
        struct model_config again;
        char *dump = model_config_dump(&c);
        if (model_config_parse(&again, dump, strlen(dump), "again", NULL, &e))
            fail_msg("%s: %s", dump, e.msg);
        assert_true(again.theta == c.theta);
        free(dump);
        model_config_release(&again);
        model_config_release(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_that_change), cmocka_unit_test(keys_that_do_not),
        cmocka_unit_test(keys_of_others),   cmocka_unit_test(values_of_its_own),
        cmocka_unit_test(unknown),          cmocka_unit_test(windows),
        cmocka_unit_test(rotary),           cmocka_unit_test(rotary_identities),
        cmocka_unit_test(rotary_refused),   cmocka_unit_test(set_base),
        cmocka_unit_test(integers),         cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
