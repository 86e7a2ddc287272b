#include "config_refuse.h"

#include "arch.h"
#include "format.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- values that change nothing ------------------------------------------------------------- */

static bool near(const json_t *v, double want) {
    return json_is_number(v) && fabs(json_number_value(v) - want) <= 1e-6 * fabs(want);
}

static bool is_head(const struct model_config *c, const json_t *v) {
    return near(v, (double)c->head_dim);
}

static bool is_width(const struct model_config *c, const json_t *v) {
    return near(v, (double)c->dim);
}

static bool is_theta(const struct model_config *c, const json_t *v) {
    return near(v, c->theta);
}

/* The scale of scores that duet has: 1 / sqrt(head_dim). */
static bool is_score_scale(const struct model_config *c, const json_t *v) {
    return near(v, 1 / sqrt((double)c->head_dim));
}

/* MiniCPM scales branches by scale_depth / sqrt(layers). */
static bool is_depth_scale(const struct model_config *c, const json_t *v) {
    return near(v, sqrt((double)c->layers));
}

static bool is_context(const struct model_config *c, const json_t *v) {
    return json_is_integer(v) && json_integer_value(v) >= c->max_pos;
}

static bool is_qk_norm(const struct model_config *c, const json_t *v) {
    return json_is_boolean(v) && (c->qk_norm || json_is_false(v));
}

static bool is_bias(const struct model_config *c, const json_t *v) {
    return json_is_boolean(v) && json_is_true(v) == c->attention_bias;
}

/* Is v this word? */
static bool is_word(const json_t *v, const char *word, size_t n) {
    if (json_is_string(v))
        return json_string_length(v) == n && !memcmp(json_string_value(v), word, n);
    if (json_is_boolean(v)) {
        const char *own = json_is_true(v) ? "true" : "false";
        return strlen(own) == n && !memcmp(own, word, n);
    }
    if (n == 2 && !memcmp(word, "{}", n))
        return json_is_object(v) ? !json_object_size(v) : json_is_array(v) && !json_array_size(v);
    char *end;
    const double want = strtod(word, &end);
    return json_is_number(v) && end == word + n && json_number_value(v) == want;
}

/* Is v a value of key that the architecture computes? */
static bool is_own(const struct part_computes *own, const json_t *v) {
    for (int i = 0; i < PART_VALUES && own->values[i]; i++)
        if (is_word(v, own->values[i], strlen(own->values[i]))) return true;
    return false;
}

/* Other names of hidden_act. */
static bool is_act(const struct model_config *c, const json_t *v) {
    return is_own(parts_computes(&arch_find(c->arch)->parts, "hidden_act"), v);
}

/* One entry a layer: 1, its heads are turned. */
static bool all_turn(const struct model_config *c, const json_t *v) {
    const json_t *x;
    size_t i;
    (void)c;
    if (!json_is_array(v)) return false;
    json_array_foreach(v, i, x) {
        if (!json_is_true(x) && json_number_value(x) != 1) return false;
    }
    return true;
}

/* Every so many layers one is not turned, unless no_rope_layers says which. */
static bool none_skips(const struct model_config *c, const json_t *v) {
    if (json_is_array(json_object_get(c->json, "no_rope_layers"))) return true;
    return json_is_integer(v) && (json_integer_value(v) == 0 || json_integer_value(v) > c->layers);
}

/* Names of RMSNorm. */
static bool is_rms(const struct model_config *c, const json_t *v) {
    static const char *const names[] = {"rmsnorm", "rms_norm", "rms-norm", "rms", "LlamaRMSNorm"};
    (void)c;
    for (size_t i = 0; json_is_string(v) && i < sizeof names / sizeof *names; i++)
        if (!strcasecmp(json_string_value(v), names[i])) return true;
    return false;
}

static bool all_dense(const struct model_config *c, const json_t *v) {
    const json_t *x;
    size_t i;
    (void)c;
    if (!json_is_array(v)) return false;
    json_array_foreach(v, i, x) {
        if (!json_is_string(x) || strcmp(json_string_value(x), "dense") != 0) return false;
    }
    return true;
}

/* ---- the table ------------------------------------------------------------------------------ */

/* ok: words that change nothing, between blanks: true, false, numbers, texts, {} for what is empty.
 * same: or values that it accepts. null is as if the key was not there. An architecture that
 * computes a key otherwise has its own values in `computes` (part.h). */
static const struct rule {
    const char *key, *ok;
    bool (*same)(const struct model_config *c, const json_t *v);
} rules[] = {
    /* who attends to whom */
    {"is_causal", "true", NULL},
    {"use_bidirectional_attention", "false", NULL},
    {"bidirectional", "false", NULL},
    {"is_encoder_decoder", "false", NULL},
    {"add_cross_attention", "false", NULL},
    {"attention_chunk_size", "0", is_context},
    {"use_attention_sinks", "false", NULL},
    {"attention_sinks", "false 0", NULL},
    {"attn_output_gate", "false", NULL},
    {"headwise_attn_output_gate", "false", NULL},
    {"elementwise_attn_output_gate", "false", NULL},
    {"num_kv_shared_layers", "0", NULL},
    {"kv_lora_rank", "0", NULL},
    {"q_lora_rank", "0", NULL},
    {"v_head_dim", "", is_head},
    {"clip_qkv", "", NULL},
    /* scores */
    {"attn_logit_softcapping", "0", NULL},
    {"query_pre_attn_scalar", "", is_head},
    {"attention_multiplier", "", is_score_scale},
    {"softmax_scale", "", is_score_scale},
    {"scale_attn_weights", "true", NULL},
    {"scale_attn_by_inverse_layer_idx", "false", NULL},
    {"attn_temperature_tuning", "false 0", NULL},
    {"use_logn_attn", "false", NULL},
    /* positions */
    {"partial_rotary_factor", "1", NULL},
    {"rotary_pct", "1", NULL},
    {"rope_pct", "1", NULL},
    {"rotary_dim", "", is_head},
    {"rotary_emb_base", "", is_theta},
    {"rotary_embedding_base", "", is_theta},
    {"rope_base", "", is_theta},
    {"rope_local_base_freq", "", is_theta},
    {"rope_ratio", "1", NULL},
    {"rope_interleave", "false", NULL},
    {"rope_interleaved", "false", NULL},
    {"rotary_interleaved", "false", NULL},
    {"use_dynamic_ntk", "false", NULL},
    {"no_rope_layers", "", all_turn},
    {"no_rope_layer_interval", "", none_skips},
    {"use_rope", "true", NULL},
    {"nope", "false", NULL},
    {"alibi", "false", NULL},
    {"use_alibi", "false", NULL},
    {"position_embedding_type", "rope rotary", NULL},
    /* factors */
    {"embedding_multiplier", "1", NULL},
    {"residual_multiplier", "1", NULL},
    {"logits_scaling", "1", NULL},
    {"logit_scale", "1", NULL},
    {"lm_head_multiplier", "1", NULL},
    {"key_multiplier", "1", NULL},
    {"scale_embedding", "false", NULL},
    {"normalize_embedding", "false", NULL},
    {"scale_emb", "1", NULL},
    {"scale_depth", "", is_depth_scale},
    {"dim_model_base", "", is_width},
    {"mup_embeddings_scale", "1", NULL},
    {"mup_output_alpha", "1", NULL},
    {"mup_width_scale", "1", NULL},
    {"final_logit_softcapping", "0", NULL},
    {"logits_soft_cap", "0", NULL},
    {"logit_softcap", "0", NULL},
    /* blocks */
    {"hidden_act", "", NULL}, /* every architecture computes one */
    {"hidden_activation", "", is_act},
    {"activation_function", "", is_act},
    {"norm_type", "", is_rms},
    {"normalization_type", "", is_rms},
    {"layer_norm_type", "", is_rms},
    {"apply_layernorm_1p", "false", NULL},
    {"zero_centered_gamma", "false", NULL},
    {"norm_unit_offset", "false", NULL},
    {"use_qk_norm", "", is_qk_norm},
    {"qk_norm", "", is_qk_norm},
    {"qk_layernorm", "", is_qk_norm},
    {"use_post_norm", "false", NULL},
    {"apply_residual_connection_post_layernorm", "false", NULL},
    {"use_parallel_residual", "false", NULL},
    {"parallel_attn", "false", NULL},
    {"mlp_bias", "false", NULL},
    {"use_bias", "false", NULL},
    {"bias", "false", NULL},
    {"qkv_bias", "", is_bias},
    {"use_qkv_bias", "", is_bias},
    {"add_qkv_bias", "", is_bias},
    {"attention_out_bias", "false", NULL},
    {"lm_head_bias", "false", NULL},
    {"swiglu_limit", "0", NULL},
    {"per_layer_config", "{}", NULL},
    /* experts */
    {"num_experts", "0", NULL},
    {"num_local_experts", "0", NULL},
    {"n_routed_experts", "0", NULL},
    {"n_shared_experts", "0", NULL},
    {"moe_num_experts", "0", NULL},
    {"mlp_layer_types", "", all_dense},
    /* weights that are not what their tensors hold */
    {"quantization_config", "{}", NULL},
    {"quantization", "{}", NULL},
    {"compression_config", "{}", NULL},
};
enum { N_RULES = sizeof rules / sizeof *rules };

/* Keys that change no logit, whatever they say. */
static const char *const idle[] = {
    "architectures", "auto_map", "model_type", "transformers_version", "_name_or_path",
    "name_or_path", "torch_dtype", "dtype", "torchscript", "_attn_implementation",
    "attn_implementation", "_from_model_config", "_commit_hash", "tokenizer_class",
    "model_max_length", "max_sequence_length", "max_window_layers", "layer_types",
    "use_sliding_window", "rope_scaling", "rope_parameters", "rope_theta",
    "original_max_position_embeddings",
    "initializer_factor", "pretraining_tp", "use_cache", "is_decoder", "attention_dropout",
    "hidden_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "resid_pdrop",
    "embd_pdrop", "attn_pdrop", "dropout", "embedding_dropout", "classifier_dropout",
    "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id", "cls_token_id",
    "mask_token_id", "decoder_start_token_id", "output_attentions", "output_hidden_states",
    "return_dict", "use_return_dict", "id2label", "label2id", "num_labels", "problem_type",
    "finetuning_task", "task_specific_params", "prefix", "pruned_heads", "prune_heads",
    "chunk_size_feed_forward", "tie_encoder_decoder", "tf_legacy_loss", "use_bfloat16",
    "cross_attention_hidden_size", "gradient_checkpointing", "use_mrope",
    "num_nextn_predict_layers", "num_experts_per_tok", "moe_intermediate_size", "norm_topk_prob",
    "output_router_logits", "router_aux_loss_coef", "decoder_sparse_step", "mlp_only_layers",
    "shared_expert_intermediate_size", "bad_words_ids", "begin_suppress_tokens",
    "diversity_penalty", "do_sample", "early_stopping", "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty", "epsilon_cutoff", "eta_cutoff",
    "exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id",
    "length_penalty", "max_length", "max_new_tokens", "min_length", "min_p", "no_repeat_ngram_size",
    "num_beam_groups", "num_beams", "num_return_sequences", "output_scores",
    "remove_invalid_values", "repetition_penalty", "return_dict_in_generate", "suppress_tokens",
    "temperature", "top_k", "top_p", "typical_p", "unsloth_version", "unsloth_fixed", "duet",
    "duet_adapter", "base_model_name_or_path", "is_llama_config", "transformers.js_config",
};

/* Does v change nothing of what is computed? */
static bool is_neutral(const struct model_config *c, const struct rule *r, const json_t *v) {
    const struct part_computes *own = parts_computes(&arch_find(c->arch)->parts, r->key);
    if (own) return is_own(own, v);
    const char *word = r->ok;
    while (*word) {
        const size_t n = strcspn(word, " ");
        if (is_word(v, word, n)) return true;
        word += n + (word[n] == ' ');
    }
    return r->same && r->same(c, v);
}

/* ---- windows -------------------------------------------------------------------------------- */

/* Attention to the last so many tokens only, which computes the same within that many. */
static int refuse_window(const struct model_config *c, const char *name, struct err *e) {
    char said_nothing[100];
    snprintf(said_nothing, sizeof said_nothing,
             " (in transformers also where a %s model says nothing)", c->arch);
    return err_set(e, ERR_INPUT,
                   "%s: sliding_window is %lld%s, which duet does not compute; within that many "
                   "tokens the model is the same: --set max_position_embeddings=%lld%s",
                   name, (long long)c->window,
                   c->window == arch_find(c->arch)->parts.hf_window ? said_nothing : "",
                   (long long)c->window,
                   c->max_pos <= c->window ? ", and --set duet.seq_len too" : "");
}

/* As the architecture means it, but for layer_types. */
static bool has_window(const struct model_config *c) {
    const json_t *use = json_object_get(c->json, "use_sliding_window");
    const json_t *full = json_object_get(c->json, "max_window_layers");
    const enum arch_window rule = arch_find(c->arch)->window;
    if (c->window <= 0) return false;
    if (rule != WINDOW_ASKED) return rule == WINDOW_ALWAYS || !json_is_false(use);
    if (!json_is_true(use)) return false;
    if (json_array_size(json_object_get(c->json, "layer_types"))) return false;
    return !(json_is_integer(full) && json_integer_value(full) >= c->layers);
}

static bool is_sliding(const json_t *type) {
    return json_is_string(type) && !strcmp(json_string_value(type), "sliding_attention");
}

int64_t config_window(const struct model_config *c) {
    const json_t *type;
    size_t i;
    bool acts = has_window(c);
    json_array_foreach(json_object_get(c->json, "layer_types"), i, type) acts |= is_sliding(type);
    return acts && c->window > 0 ? c->window : 0;
}

int config_check_length(const struct model_config *c, int64_t tokens, const char *name,
                        struct err *e) {
    const int64_t window = config_window(c);
    if (!window || tokens <= window) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: sequences of %lld tokens are longer than its sliding window of %lld, which "
                   "duet does not compute; up to --seq %lld the model is the same",
                   name, (long long)tokens, (long long)window, (long long)window);
}

/* "attention" is the older word for full attention. */
static int check_layer(const struct model_config *c, size_t i, const json_t *type, const char *name,
                       struct err *e) {
    const char *word = json_is_string(type) ? json_string_value(type) : "";
    if (!strcmp(word, "full_attention") || !strcmp(word, "attention")) return 0;
    if (is_sliding(type) && c->window > 0) return 0;
    return err_set(e, ERR_INPUT,
                   "%s: layer_types[%zu] is \"%.40s\", not \"full_attention\", which is all that "
                   "duet computes",
                   name, i, word);
}

static int check_windows(const struct model_config *c, const char *name, struct err *e) {
    const json_t *layers = json_object_get(c->json, "layer_types"), *type;
    const json_t *use = json_object_get(c->json, "use_sliding_window");
    size_t i;
    if (use && !json_is_null(use) && !json_is_boolean(use))
        return err_set(e, ERR_INPUT, "%s: use_sliding_window is not true or false", name);
    json_array_foreach(layers, i, type) {
        const int rc = check_layer(c, i, type, name, e);
        if (rc) return rc;
    }
    const int64_t window = config_window(c);
    return window && window < model_config_context(c) ? refuse_window(c, name, e) : 0;
}

/* ---- keys that nobody knows ----------------------------------------------------------------- */

static bool is_idle(const char *key) {
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
        if (!strcmp(idle[i], key)) return true;
    return false;
}

size_t config_unknown(json_t *config, char *text, size_t size) {
    size_t n = 0, used = 0;
    const char *key;
    json_t *v;
    *text = 0;
    json_object_foreach(config, key, v) {
        if (json_is_null(v) || is_idle(key) || config_refuse_knows(key) || model_config_reads(key))
            continue;
        const int k = snprintf(text + used, size - used, "%s\"%.60s\"", n ? ", " : "", key);
        if (k < 0 || (size_t)k >= size - used)
            text[used] = 0; /* it does not fit */
        else
            used += (size_t)k;
        n++;
    }
    return n;
}

bool config_unknown_note(json_t *config, char *text, size_t size) {
    char names[400];
    const size_t n = config_unknown(config, names, sizeof names);
    if (n)
        snprintf(text, size,
                 "%zu key%s of the config that duet does not know, and that may change what the "
                 "model computes: %s.",
                 n, n > 1 ? "s" : "", names);
    return n > 0;
}

/* ---- all ------------------------------------------------------------------------------------ */

bool config_refuse_knows(const char *key) {
    for (int i = 0; i < N_RULES; i++)
        if (!strcmp(rules[i].key, key)) return true;
    return !strcmp(key, "use_sliding_window") || !strcmp(key, "layer_types");
}

/* Keys that duet reads and this architecture has no use for. */
static int refuse_lacking(const struct model_config *c, const char *name, struct err *e) {
    const char *const *keys = arch_find(c->arch)->lacks;
    for (; keys && *keys; keys++) {
        const bool own = !strncmp(*keys, "duet.", 5);
        const json_t *v = own ? json_object_get(json_object_get(c->json, "duet"), *keys + 5)
                              : json_object_get(c->json, *keys);
        if (json_is_true(v) || (json_is_number(v) && json_number_value(v) != 0))
            return err_set(e, ERR_INPUT, "%s: %s is set, which duet does not compute in %s models",
                           name, *keys, c->arch);
    }
    return 0;
}

int config_refuse(const struct model_config *c, const char *name, struct err *e) {
    if (refuse_lacking(c, name, e)) return e->code;
    for (int i = 0; i < N_RULES; i++) {
        const json_t *v = json_object_get(c->json, rules[i].key);
        if (!v || json_is_null(v) || is_neutral(c, rules + i, v)) continue;
        char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
        err_set(e, ERR_INPUT,
                "%s: %s is %.60s, which duet does not compute; --set %s=null passes it over", name,
                rules[i].key, text ? text : "?", rules[i].key);
        free(text);
        return e->code;
    }
    return check_windows(c, name, e);
}
