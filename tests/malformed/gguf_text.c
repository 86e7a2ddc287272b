/* GGUF: strings, arrays, vocabularies and adapters. */
#include "gguf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TOKENS "tokenizer.ggml.tokens"
#define SCORES "tokenizer.ggml.scores"
#define TYPES "tokenizer.ggml.token_type"
#define MERGES "tokenizer.ggml.merges"

/* ---- strings and arrays that are longer than the file --------------------------------------- */

static void key_of(struct gguf *g, uint64_t n) {
    put_u64(kv_raw(g, "long"), n);
}

static void value_of(struct gguf *g, uint64_t n) {
    put_u64(kv_start(g, "some.key", STRING), n);
}

static void array_of(struct gguf *g, uint32_t type, uint64_t n) {
    put_zeros(kv_array(g, "some.key", type, n), 64);
}

/* CVE-2024-23496: room for length + 1 bytes wraps to 0. */
static void key_wrap(struct gguf *g) {
    key_of(g, UINT64_MAX);
}

static void value_wrap(struct gguf *g) {
    value_of(g, UINT64_MAX);
}

static void value_2_63(struct gguf *g) {
    value_of(g, (uint64_t)1 << 63);
}

/* ggml PR 1516: a GiB is reserved before it is seen that the file has none. */
static void key_gib(struct gguf *g) {
    key_of(g, (uint64_t)1 << 30);
}

static void value_gib(struct gguf *g) {
    value_of(g, (uint64_t)1 << 30);
}

static void array_gib(struct gguf *g) {
    array_of(g, U8, (uint64_t)1 << 30);
}

static void strings_gib(struct gguf *g) {
    array_of(g, STRING, (uint64_t)1 << 30);
}

/* llama.cpp issue 19003: no bound on a string */
static void value_unbounded(struct gguf *g) {
    value_of(g, (uint64_t)1 << 40);
}

/* CVE-2024-21825: number of strings x sizeof wraps, for 8, 16, 24 and 32 bytes. */
static void strings_8(struct gguf *g) {
    array_of(g, STRING, ((uint64_t)1 << 61) + 1);
}

static void strings_16(struct gguf *g) {
    array_of(g, STRING, ((uint64_t)1 << 60) + 1);
}

static void strings_24(struct gguf *g) {
    array_of(g, STRING, UINT64_MAX / 24 + 2);
}

static void strings_32(struct gguf *g) {
    array_of(g, STRING, ((uint64_t)1 << 59) + 1);
}

static void doubles_wrap(struct gguf *g) {
    array_of(g, F64, ((uint64_t)1 << 61) + 1);
}

/* llama.cpp PR 27188: 2^63 values, and arrays in arrays */
static void array_2_63(struct gguf *g) {
    array_of(g, U8, (uint64_t)1 << 63);
}

static void nested(struct gguf *g) {
    struct bytes *b = kv_array(g, "some.key", ARRAY, 1);
    put_u32(b, U32);
    put_u64(b, 1);
    put_u32(b, 7);
}

/* As deep as a recursive reader would follow. */
static void nested_deep(struct gguf *g) {
    struct bytes *b = kv_array(g, "some.key", ARRAY, 1);
    for (int i = 0; i < 100000; i++) {
        put_u32(b, ARRAY);
        put_u64(b, 1);
    }
}

/* llama.cpp PR 19856 */
static void array_type(struct gguf *g) {
    array_of(g, UINT32_MAX, 1);
}

static void bools_2(struct gguf *g) {
    put_u8(kv_array(g, "some.key", BOOL, 1), 2);
}

static void value_utf8(struct gguf *g) {
    put_string(kv_start(g, "general.name", STRING), "a\xc0\xaf");
}

static void arch_nul(struct gguf *g) {
    struct bytes *b = kv_start(g, "general.architecture", STRING);
    put_u64(b, 6);
    put(b, "llama\0", 6);
}

/* ---- vocabularies --------------------------------------------------------------------------- */

/* CVE-2025-49847: the length of a token's text is cut to 32 bits, and becomes small or negative. */
static void token_length(struct gguf *g, uint64_t n) {
    struct kv *kv = kv_find(g, TOKENS);
    const size_t first = 8 + strlen(TOKENS) + 4 + 4 + 8;
    memcpy(kv->b.p + first, &n, sizeof n);
}

static void token_negative(struct gguf *g) {
    token_length(g, ((uint64_t)1 << 31) + 5);
}

static void token_small(struct gguf *g) {
    token_length(g, ((uint64_t)1 << 32) + 5);
}

/* llama.cpp PR 26690: one byte a value is there, four are read. */
static void scores_i8(struct gguf *g) {
    put_zeros(kv_array(g, SCORES, I8, VOCAB), VOCAB);
}

static void types_i8(struct gguf *g) {
    put_zeros(kv_array(g, TYPES, I8, VOCAB), VOCAB);
}

static void scores_few(struct gguf *g) {
    put_weights(kv_array(g, SCORES, F32, VOCAB - 1), VOCAB - 1);
}

static void types_few(struct gguf *g) {
    struct bytes *b = kv_array(g, TYPES, I32, 1);
    put_u32(b, 1);
}

static void scores_string(struct gguf *g) {
    kv_text(g, SCORES, "1 2 3");
}

static void score_nan(struct gguf *g) {
    struct kv *kv = kv_find(g, SCORES);
    const float nan = NAN;
    memcpy(kv->b.p + kv->b.n - 4, &nan, 4);
}

static void type_of_last(struct gguf *g, uint32_t type) {
    struct kv *kv = kv_find(g, TYPES);
    memcpy(kv->b.p + kv->b.n - 4, &type, 4);
}

static void type_7(struct gguf *g) {
    type_of_last(g, 7);
}

static void type_negative(struct gguf *g) {
    type_of_last(g, UINT32_MAX);
}

static void tokens_none(struct gguf *g) {
    kv_array(g, TOKENS, STRING, 0);
}

static void tokens_missing(struct gguf *g) {
    kv_drop(g, TOKENS);
}

static void tokens_numbers(struct gguf *g) {
    put_zeros(kv_array(g, TOKENS, U32, VOCAB), 4 * VOCAB);
}

/* The last token's text, of one byte, by another one. */
static void last_token(struct gguf *g, const char *text) {
    struct bytes *b = &kv_find(g, TOKENS)->b;
    b->n -= 9;
    put_string(b, text);
}

static void token_empty(struct gguf *g) {
    last_token(g, "");
}

static void token_twice(struct gguf *g) {
    last_token(g, "a");
}

static void token_utf8(struct gguf *g) {
    last_token(g, "\xff\xfe");
}

/* llama.cpp PR 25969: a byte token whose number is no byte */
static void byte_minus_1(struct gguf *g) {
    last_token(g, "<0x-1>");
    type_of_last(g, 6);
}

static void byte_100(struct gguf *g) {
    last_token(g, "<0x100>");
    type_of_last(g, 6);
}

static void byte_of_no_form(struct gguf *g) {
    last_token(g, "zz");
    type_of_last(g, 6);
}

static void bos_beyond(struct gguf *g) {
    kv_u32(g, "tokenizer.ggml.bos_token_id", VOCAB);
}

static void eos_max(struct gguf *g) {
    kv_u32(g, "tokenizer.ggml.eos_token_id", UINT32_MAX);
}

static void ids_max(struct gguf *g) {
    static const char *const names[] = {"bos",  "eos", "unknown", "padding", "separator",
                                        "mask", "cls", "eot",     "eom",     "fim_pre"};
    char key[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", names[i]);
        kv_u32(g, key, UINT32_MAX);
    }
}

static void type_0(struct gguf *g) {
    type_of_last(g, 0);
}

static void model_unknown(struct gguf *g) {
    kv_text(g, "tokenizer.ggml.model", "t5");
}

#define ESCAPE "\x1b[2J\n"

static void model_escape(struct gguf *g) {
    kv_text(g, "tokenizer.ggml.model", ESCAPE);
}

static void arch_escape(struct gguf *g) {
    kv_text(g, "general.architecture", ESCAPE);
}

static void kind_escape(struct gguf *g) {
    kv_text(g, "general.type", ESCAPE);
}

static void model_number(struct gguf *g) {
    kv_u32(g, "tokenizer.ggml.model", 1);
}

static void pre_unknown(struct gguf *g) {
    kv_text(g, "tokenizer.ggml.pre", "no-such-split");
}

static void merges_missing(struct gguf *g) {
    kv_drop(g, MERGES);
}

static void merges_none(struct gguf *g) {
    kv_array(g, MERGES, STRING, 0);
}

static void one_merge(struct gguf *g, const char *text) {
    put_string(kv_array(g, MERGES, STRING, 1), text);
}

static void merge_of_one(struct gguf *g) {
    one_merge(g, "ab");
}

static void merge_of_three(struct gguf *g) {
    one_merge(g, "a b c");
}

static void merge_unknown(struct gguf *g) {
    one_merge(g, "a zzz");
}

static void merge_to_nothing(struct gguf *g) {
    one_merge(g, "a f");
}

static const struct spoil strings[] = {
    {"cve-2024-23496-key", "CVE-2024-23496: a key of 2^64 - 1 bytes", key_wrap},
    {"cve-2024-23496-value", "CVE-2024-23496: a string of 2^64 - 1 bytes", value_wrap},
    {"value-2-63", "a string of 2^63 bytes", value_2_63},
    {"ggml-1516-key", "ggml PR 1516: a key of a GiB", key_gib},
    {"ggml-1516-value", "ggml PR 1516: a string of a GiB", value_gib},
    {"ggml-1516-array", "ggml PR 1516: an array of a GiB", array_gib},
    {"ggml-1516-strings", "ggml PR 1516: 2^30 strings", strings_gib},
    {"llama-19003", "llama.cpp issue 19003: a string of 2^40 bytes", value_unbounded},
    {"cve-2024-21825-8", "CVE-2024-21825: strings x 8 wraps", strings_8},
    {"cve-2024-21825-16", "CVE-2024-21825: strings x 16 wraps", strings_16},
    {"cve-2024-21825-24", "CVE-2024-21825: strings x 24 wraps", strings_24},
    {"cve-2024-21825-32", "CVE-2024-21825: strings x 32 wraps", strings_32},
    {"doubles-wrap", "values x 8 wraps", doubles_wrap},
    {"llama-27188-array", "llama.cpp PR 27188: 2^63 values", array_2_63},
    {"llama-27188-nested", "llama.cpp PR 27188: an array of arrays", nested},
    {"nested-deep", "100000 arrays in each other", nested_deep},
    {"llama-19856-array", "llama.cpp PR 19856: values of type -1", array_type},
    {"bools-2", "an array with a bool of 2", bools_2},
    {"value-utf8", "a string that is not UTF-8", value_utf8},
    {"arch-nul", "a NUL in the architecture", arch_nul},
    {"cve-2025-49847", "CVE-2025-49847: a token of 2^31 + 5 bytes", token_negative},
    {"cve-2025-49847-small", "CVE-2025-49847: a token of 2^32 + 5 bytes", token_small},
    {"token-utf8", "a token that is not UTF-8", token_utf8},
    {"arch-escape", "an escape sequence in the architecture", arch_escape},
    {"kind-escape", "an escape sequence in the type", kind_escape},
};

/* What llama.cpp's own converters write, and its reader takes. */
static const struct spoil taken[] = {
    {"token-empty", "an empty token", token_empty},
    {"type-0", "a token of type 0", type_0},
    {"bos-beyond", "bos is no token", bos_beyond},
    {"eos-max", "eos 2^32 - 1", eos_max},
    {"ids-max", "every id 2^32 - 1", ids_max},
};

/* Faults of a vocabulary: the weights are good without it. */
static const struct spoil vocabularies[] = {
    {"llama-26690-scores", "llama.cpp PR 26690: scores as i8", scores_i8},
    {"llama-26690-types", "llama.cpp PR 26690: token types as i8", types_i8},
    {"scores-few", "fewer scores than tokens", scores_few},
    {"types-few", "fewer types than tokens", types_few},
    {"scores-string", "scores as a string", scores_string},
    {"score-nan", "a score that is NaN", score_nan},
    {"type-7", "token type 7", type_7},
    {"type-negative", "token type -1", type_negative},
    {"tokens-none", "no tokens", tokens_none},
    {"tokens-missing", "tokens are missing", tokens_missing},
    {"tokens-numbers", "tokens as numbers", tokens_numbers},
    {"token-twice", "a token twice", token_twice},
    {"model-number", "a tokenizer that is a number", model_number},
};

/* Weights without a tokenizer that could be written. */
static const struct spoil tokenizers[] = {
    {"model-unknown", "an unknown tokenizer", model_unknown},
    {"model-escape", "an escape sequence in the tokenizer", model_escape},
};

/* Each of these is a vocabulary, but not one that texts can be encoded with. */
static const struct spoil bytes_cases[] = {
    {"llama-25969", "llama.cpp PR 25969: byte token <0x-1>", byte_minus_1},
    {"byte-100", "byte token <0x100>", byte_100},
    {"byte-form", "a byte token of no such form", byte_of_no_form},
};

static const struct spoil bpe_refused[] = {
    {"merges-missing", "no merges", merges_missing},
    {"merges-none", "an empty list of merges", merges_none},
    {"merge-of-one", "a merge of one part", merge_of_one},
    {"merge-of-three", "a merge of three parts", merge_of_three},
};

static const struct spoil bpe_unusable[] = {
    {"pre-unknown", "an unknown pre-tokenizer", pre_unknown},
    {"merge-unknown", "a merge of a token that is not there", merge_unknown},
    {"merge-to-nothing", "a merge to a token that is not there", merge_to_nothing},
};

/* ---- adapters ------------------------------------------------------------------------------- */

static void adapter(struct gguf *g) {
    *g = (struct gguf){.magic = "GGUF", .version = 3, .align = 32};
    kv_text(g, "general.architecture", "llama");
    kv_text(g, "general.type", "adapter");
    kv_text(g, "adapter.type", "lora");
    kv_f32(g, "adapter.lora.alpha", 4);
    tensor_add(g, "blk.0.attn_v.weight.lora_a", WIDTH, 2);
    tensor_add(g, "blk.0.attn_v.weight.lora_b", 2, KV_WIDTH);
}

static void no_b(struct gguf *g) {
    tensor_drop(g, "blk.0.attn_v.weight.lora_b");
}

static void no_a(struct gguf *g) {
    tensor_drop(g, "blk.0.attn_v.weight.lora_a");
}

static void ranks_differ(struct gguf *g) {
    struct info *t = tensor(g, "blk.0.attn_v.weight.lora_b");
    t->ne[0] = 4;
    t->ne[1] = 2;
}

static void alpha_nan(struct gguf *g) {
    kv_f32(g, "adapter.lora.alpha", NAN);
}

static void no_kind(struct gguf *g) {
    kv_text(g, "adapter.type", "ia3");
}

static void other_suffix(struct gguf *g) {
    tensor_name(tensor(g, "blk.0.attn_v.weight.lora_b"), "blk.0.attn_v.weight.lora_c");
}

static void other_base(struct gguf *g) {
    tensor_name(tensor(g, "blk.0.attn_v.weight.lora_a"), "blk.0.attn_x.weight.lora_a");
    tensor_name(tensor(g, "blk.0.attn_v.weight.lora_b"), "blk.0.attn_x.weight.lora_b");
}

static const struct spoil adapters[] = {
    {"lora-no-b", "an adapter without its B", no_b},
    {"lora-no-a", "an adapter without its A", no_a},
    {"lora-ranks", "an adapter of two ranks", ranks_differ},
    {"lora-alpha-nan", "an alpha that is NaN", alpha_nan},
    {"lora-kind", "an adapter that is no LoRA", no_kind},
    {"lora-suffix", "a tensor that is neither A nor B", other_suffix},
    {"lora-base", "an adapter of an unknown weight", other_base},
};

#define ALL(list) list, sizeof list / sizeof *list

void make_gguf_text(void) {
    static struct gguf g;
    gguf_cases(NO_MODEL, false, ALL(strings));
    gguf_cases(MODEL, false, ALL(taken));
    gguf_cases(NO_VOCAB, false, ALL(vocabularies));
    gguf_cases(NO_VOCAB, false, ALL(tokenizers));
    gguf_cases(NO_VOCAB, false, ALL(bytes_cases));
    gguf_cases(NO_VOCAB, true, ALL(bpe_refused));
    gguf_cases(NO_VOCAB, true, ALL(bpe_unusable));
    adapter(&g);
    gguf_emit(ADAPTER, "valid-lora", &g, "a valid adapter");
    for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++) {
        adapter(&g);
        adapters[i].fn(&g);
        gguf_emit(NO_ADAPTER, adapters[i].name, &g, adapters[i].label);
    }
}
