/* Objects of JSON that are no documents to learn from, by the keys that their beginning shows. */
#include "magic_impl.h"

#include <stdbool.h>
#include <string.h>

#define TOKENIZER "a tokenizer is given with --tokenizer"

/* So many of the words, of which a file's top level has at least `least` as keys. */
static const struct row {
    const char *keys;
    int least;
    struct magic magic;
} rows[] = {
    {"version truncation padding added_tokens normalizer pre_tokenizer post_processor decoder "
     "model",
     3,
     {"is a tokenizer (tokenizer.json)", TOKENIZER, MAGIC_TOKENIZER}},
    {"added_tokens_decoder tokenizer_class add_bos_token add_eos_token bos_token eos_token "
     "unk_token pad_token additional_special_tokens chat_template model_max_length",
     2,
     {"is a part of a tokenizer of Hugging Face", TOKENIZER, MAGIC_RECORD}},
    {"weight_map",
     1,
     {"is the index of a model's weights", "it lies in the folder of the model", MAGIC_RECORD}},
    {"peft_type lora_alpha lora_dropout target_modules base_model_name_or_path r bias task_type "
     "inference_mode fan_in_fan_out",
     3,
     {"is the configuration of an adapter", "it lies in the adapter's folder", MAGIC_RECORD}},
    {"architectures model_type hidden_size intermediate_size num_hidden_layers "
     "num_attention_heads num_key_value_heads head_dim vocab_size max_position_embeddings "
     "rms_norm_eps rope_theta hidden_act tie_word_embeddings initializer_range torch_dtype",
     3,
     {"is a model's description (config.json)", "it is given with --model", MAGIC_DESCRIPTION}},
    {"_from_model_config bos_token_id eos_token_id pad_token_id transformers_version",
     3,
     {"is how to generate with a model (generation_config.json)",
      "it lies in the folder of the model", MAGIC_RECORD}},
    {"compact-vocab full-vocab-loss lora-targets lora-mode lora-norms lora-init val-fraction "
     "accum-end min-lr decay-share adam-eps weight-decay embed-decay norm-decay checkpoint-every "
     "val-every val-windows keep-best log-every engine optimizer",
     3,
     {"is the options of a run (config.json)", "train --config FILE begins such a run",
      MAGIC_OPTIONS}},
    {"step rollbacks key losses", 4, {"is a record of a run, not its data", NULL, MAGIC_RECORD}},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static const struct magic vocabulary = {"is the vocabulary of a tokenizer", TOKENIZER,
                                        MAGIC_RECORD};
enum { IDS = 16 }; /* so many members "token": 0, 1, 2, ... are one */

struct scan {
    const uint8_t *p, *end;
};

static void blanks(struct scan *s) {
    while (s->p < s->end && (*s->p == ' ' || (*s->p >= '\t' && *s->p <= '\r'))) s->p++;
}

/* Past a string, which begins here; false: it is cut. */
static bool string(struct scan *s) {
    for (s->p++; s->p < s->end && *s->p != '"'; s->p++)
        if (*s->p == '\\' && ++s->p == s->end) return false;
    if (s->p == s->end) return false;
    s->p++;
    return true;
}

/* Past a value, up to what follows it. */
static bool value(struct scan *s) {
    for (int depth = 0; s->p < s->end;) {
        const uint8_t c = *s->p;
        if (c == '"') {
            if (!string(s)) return false;
            continue;
        }
        if (!depth && (c == ',' || c == '}' || c == ']')) return true;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        s->p++;
    }
    return false;
}

/* Is the n-th word of a list of words this key? -1: none is. */
static int word_at(const char *words, const uint8_t *key, size_t n) {
    for (int i = 0; *words; i++) {
        const size_t len = strcspn(words, " ");
        if (len == n && !memcmp(words, key, n)) return i;
        words += len + (words[len] == ' ');
    }
    return -1;
}

/* Is the value that ends at s->p the number i? */
static bool is_id(const uint8_t *from, const uint8_t *to, int i) {
    int x = 0, digits = 0;
    while (from < to && (*from == ' ' || *from == '\t')) from++;
    for (; from < to && *from >= '0' && *from <= '9' && digits < 4; from++, digits++)
        x = 10 * x + (*from - '0');
    while (from < to && (*from == ' ' || (*from >= '\t' && *from <= '\r'))) from++;
    return digits && from == to && x == i;
}

/* A key and its value: false at the end of what is seen, or where it is no JSON. */
static bool member(struct scan *s, uint32_t seen[N_ROWS], int *n, int *ids) {
    blanks(s);
    if (s->p >= s->end || *s->p != '"') return false;
    const uint8_t *key = s->p + 1;
    if (!string(s)) return false;
    const size_t len = (size_t)(s->p - 1 - key);
    blanks(s);
    if (s->p >= s->end || *s->p++ != ':') return false;
    for (int i = 0; i < N_ROWS; i++) {
        const int w = word_at(rows[i].keys, key, len);
        if (w >= 0) seen[i] |= (uint32_t)1 << w;
    }
    const uint8_t *from = s->p;
    if (!value(s)) return false;
    *ids += is_id(from, s->p, *n);
    ++*n;
    return *s->p++ == ',';
}

static int bits(uint32_t x) {
    int n = 0;
    for (; x; x &= x - 1) n++;
    return n;
}

const struct magic *magic_json(const uint8_t *p, size_t n) {
    uint32_t seen[N_ROWS] = {0};
    int members = 0, ids = 0;
    struct scan s = {p + magic_mark(p, n), p + n};
    blanks(&s);
    if (s.p >= s.end || *s.p++ != '{') return NULL;
    while (member(&s, seen, &members, &ids)) {}
    if (s.p < s.end && s.p[-1] == '}') { /* of several objects each is a document */
        blanks(&s);
        if (s.p < s.end) return NULL;
    }
    for (int i = 0; i < N_ROWS; i++)
        if (bits(seen[i]) >= rows[i].least) return &rows[i].magic;
    return members >= IDS && ids == members ? &vocabulary : NULL;
}
