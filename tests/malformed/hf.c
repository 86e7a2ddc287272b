/* Folders of Hugging Face: model.safetensors, shards with an index, config.json. */
#include "malformed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHTS "model.safetensors"
#define ALL(list) list, sizeof list / sizeof *list
#define INDEX "model.safetensors.index.json"

static const char config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": 8, "
    "\"intermediate_size\": 16, \"num_hidden_layers\": 1, \"num_attention_heads\": 2, "
    "\"num_key_value_heads\": 1, \"vocab_size\": 264, \"max_position_embeddings\": 16, "
    "\"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, \"hidden_act\": \"silu\", "
    "\"tie_word_embeddings\": true, \"torch_dtype\": \"float32\"}";

static const struct {
    const char *name;
    int rows, cols; /* cols 0: one dimension */
} tensors[] = {{"model.embed_tokens.weight", VOCAB, WIDTH},
               {"model.layers.0.self_attn.q_proj.weight", WIDTH, WIDTH},
               {"model.layers.0.self_attn.k_proj.weight", KV_WIDTH, WIDTH},
               {"model.layers.0.self_attn.v_proj.weight", KV_WIDTH, WIDTH},
               {"model.layers.0.self_attn.o_proj.weight", WIDTH, WIDTH},
               {"model.layers.0.mlp.gate_proj.weight", HIDDEN, WIDTH},
               {"model.layers.0.mlp.up_proj.weight", HIDDEN, WIDTH},
               {"model.layers.0.mlp.down_proj.weight", WIDTH, HIDDEN},
               {"model.layers.0.input_layernorm.weight", WIDTH, 0},
               {"model.layers.0.post_attention_layernorm.weight", WIDTH, 0},
               {"model.norm.weight", WIDTH, 0}};
enum { N_TENSORS = sizeof tensors / sizeof *tensors };

static size_t bytes_of(int i) {
    return (size_t)tensors[i].rows * (size_t)(tensors[i].cols ? tensors[i].cols : 1) * 4;
}

/* The header of tensors [first, end); malloc()ed. No two numbers of offsets in it are the same but
 * where one tensor ends and the next begins. */
static char *header(int first, int end) {
    struct bytes b = {0};
    char text[200], shape[32];
    size_t at = 0;
    put_text(&b, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int i = first; i < end; i++) {
        snprintf(shape, sizeof shape, tensors[i].cols ? "%d,%d" : "%d", tensors[i].rows,
                 tensors[i].cols);
        snprintf(text, sizeof text,
                 ",\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":"
                 "[%zu,%zu]}",
                 tensors[i].name, shape, at, at + bytes_of(i));
        put_text(&b, text);
        at += bytes_of(i);
    }
    put_text(&b, "}");
    put_u8(&b, 0);
    return (char *)b.p;
}

enum { DATA = 10848 }; /* bytes of all tensors */

/* A file of this header and so many bytes of data. */
static void put_safetensors(struct bytes *b, const char *text, size_t bytes, size_t data) {
    put_u64(b, bytes);
    put(b, text, bytes);
    put_weights(b, data / 4);
    put_zeros(b, data % 4);
}

static char *in(const char *folder, const char *file) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return path;
}

static void write_plain(const char *folder, const char *file, const char *text, size_t data) {
    struct bytes b = {0};
    put_safetensors(&b, text, strlen(text), data);
    write_file(in(folder, file), &b);
    bytes_free(&b);
}

/* ---- safetensors ---------------------------------------------------------------------------- */

#define NORM                                                                                       \
    "\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[10816,10848]}"
#define Q "\"dtype\":\"F32\",\"shape\":[8,8],\"data_offsets\":[8448,8704]"

static const struct swap header_cases[] = {
    {"st-blank", "a header that does not begin with {", "{\"__metadata__\"", " {\"__metadata__\""},
    {"st-array", "a header that is a list", "{\"__metadata__\"", "[\"__metadata__\""},
    {"st-behind", "text behind the header's object", NORM "}", NORM "}x"},
    {"st-cut-json", "a header without its end", NORM "}", NORM},
    {"st-utf8", "a header that is not UTF-8", "\"pt\"", "\"\xff\xfe\""},
    {"st-nul", "a name with a NUL", "model.norm.weight", "model.norm\\u0000.weight"},
    {"st-twice", "a tensor twice", "self_attn.v_proj", "self_attn.k_proj"},
    {"st-escape", "an escape sequence in a name", "model.norm.weight", "\\u001b[2J\\n"},
    {"st-dtype-escape", "an escape sequence in a type", Q,
     "\"dtype\":\"\\u001b[2J\\n\",\"shape\":[8,8],\"data_offsets\":[8448,8704]"},
    {"st-metadata-number", "metadata that is no text", "\"pt\"", "1"},
    {"st-metadata-list", "metadata as a list", "{\"format\":\"pt\"}", "[\"pt\"]"},
    {"st-no-dtype", "no type", "{" Q, "{\"shape\":[8,8],\"data_offsets\":[8448,8704]"},
    {"st-no-shape", "no shape", "{" Q, "{\"dtype\":\"F32\",\"data_offsets\":[8448,8704]"},
    {"st-no-offsets", "no offsets", "{" Q, "{\"dtype\":\"F32\",\"shape\":[8,8]"},
    {"st-more", "an unknown key of a tensor", "{" Q, "{\"strides\":[8,1]," Q},
    {"st-number", "a tensor that is a number", "{" Q "}", "7"},
    {"st-dtype", "an unknown type", Q,
     "\"dtype\":\"F31\",\"shape\":[8,8],\"data_offsets\":[8448,8704]"},
    {"st-dtype-int", "a weight of integers", Q,
     "\"dtype\":\"I32\",\"shape\":[8,8],\"data_offsets\":[8448,8704]"},
    {"st-dtype-number", "a type that is a number", Q,
     "\"dtype\":32,\"shape\":[8,8],\"data_offsets\":[8448,8704]"},
    {"st-shape-text", "a shape of texts", Q,
     "\"dtype\":\"F32\",\"shape\":[\"8\",8],\"data_offsets\":[8448,8704]"},
    {"st-shape-real", "a shape of reals", Q,
     "\"dtype\":\"F32\",\"shape\":[8.0,8],\"data_offsets\":[8448,8704]"},
    {"st-shape-negative", "a negative shape", Q,
     "\"dtype\":\"F32\",\"shape\":[-8,-8],\"data_offsets\":[8448,8704]"},
    {"st-shape-0", "a weight of no rows", Q,
     "\"dtype\":\"F32\",\"shape\":[0,8],\"data_offsets\":[8448,8448]"},
    {"st-shape-none", "a weight that is a number alone", Q,
     "\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8448,8704]"},
    {"st-shape-3", "a weight of 3 dimensions", Q,
     "\"dtype\":\"F32\",\"shape\":[4,2,8],\"data_offsets\":[8448,8704]"},
    {"st-shape-wrap", "a shape whose product wraps", Q,
     "\"dtype\":\"F32\",\"shape\":[4294967304,4294967304],\"data_offsets\":[8448,8704]"},
    {"st-bytes-wrap", "a shape whose bytes wrap", Q,
     "\"dtype\":\"F32\",\"shape\":[4611686018427387968,1],\"data_offsets\":[8448,8704]"},
    {"st-shape-2-63", "a dimension beyond 63 bits", Q,
     "\"dtype\":\"F32\",\"shape\":[9223372036854775808,8],\"data_offsets\":[8448,8704]"},
    {"st-shape-other", "a shape of another size", Q,
     "\"dtype\":\"F32\",\"shape\":[8,9],\"data_offsets\":[8448,8704]"},
    {"st-begin", "data that does not begin at 0", "[0,8448]", "[4,8452]"},
    {"st-hole", "a hole", "[8704,8832]", "[8708,8836]"},
    {"st-overlap", "an overlap", "[8704,8832]", "[8700,8828]"},
    {"st-reversed", "an end before the beginning", "[8704,8832]", "[8832,8704]"},
    {"st-short", "fewer bytes than the shape", "[8704,8832]", "[8704,8831]"},
    {"st-beyond", "an end beyond the file", "[10816,10848]", "[10816,10852]"},
    {"st-end-wrap", "an end at the end of 64 bits", "[10816,10848]",
     "[10816,18446744073709551615]"},
    {"st-negative", "negative offsets", "[0,8448]", "[-8448,0]"},
    {"st-offsets-3", "three offsets", "[8704,8832]", "[8704,8832,8832]"},
    {"st-offsets-real", "offsets that are reals", "[8704,8832]", "[8704.0,8832.0]"},
    {"st-name", "an empty name", "\"model.norm.weight\"", "\"\""},
};

/* Right in themselves, but no model. */
static const struct swap header_values[] = {
    {"st-unknown", "an unknown tensor", "mlp.up_proj", "mlp.ap_proj"},
    {"st-rows", "a weight of another shape", "[16,8],\"data_offsets\":[9216",
     "[8,16],\"data_offsets\":[9216"},
};

static void safetensors(enum verdict v, const char *name, const char *label, const char *text,
                        size_t bytes, uint64_t length, size_t data) {
    struct bytes b = {0};
    write_text(in(name, "config.json"), config);
    put_safetensors(&b, text, bytes, data);
    memcpy(b.p, &length, sizeof length);
    write_file(in(name, WEIGHTS), &b);
    bytes_free(&b);
    announce(v, name, v == NO_MODEL ? WEIGHTS : "-", label);
}

static void lengths(const char *text) {
    const size_t n = strlen(text);
    static const struct {
        const char *name, *label;
        uint64_t length;
    } other[] = {{"st-length-0", "a header of no bytes", 0},
                 {"st-length-1", "a header of one byte", 1},
                 {"st-length-file", "a header longer than the file", 1 << 20},
                 {"st-length-limit", "a header of more than 100,000,000 bytes", 100000001},
                 {"st-length-2-63", "a header of 2^63 bytes", (uint64_t)1 << 63},
                 {"st-length-wrap", "a header of 2^64 - 1 bytes", UINT64_MAX},
                 {"st-length-wrap-8", "a header of 2^64 - 8 bytes", UINT64_MAX - 7}};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        safetensors(NO_MODEL, other[i].name, other[i].label, text, n, other[i].length, DATA);
    safetensors(NO_MODEL, "st-length-less", "a length one too small", text, n, n - 1, DATA);
    safetensors(NO_MODEL, "st-length-more", "a length one too large", text, n, n + 1, DATA);
    safetensors(NO_MODEL, "st-byte-less", "a file one byte too short", text, n, n, DATA - 1);
    safetensors(NO_MODEL, "st-byte-more", "a file one byte too long", text, n, n, DATA + 1);
    safetensors(NO_MODEL, "st-no-data", "a file without data", text, n, n, 0);
}

static void header_list(enum verdict v, const char *text, const struct swap *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char *other = replaced(text, s[i].from, s[i].to);
        safetensors(v, s[i].name, s[i].label, other, strlen(other), strlen(other), DATA);
        free(other);
    }
}

static void make_safetensors(void) {
    char *text = header(0, N_TENSORS), *missing = header(0, N_TENSORS - 1);
    header_list(NO_MODEL, text, ALL(header_cases));
    header_list(NO_CONVERT, text, ALL(header_values));
    lengths(text);
    char *deep = repeated("{\"a\":", "[", 1000000, "");
    safetensors(NO_MODEL, "st-deep", "a header of a million brackets", deep, strlen(deep),
                strlen(deep), DATA);
    free(deep);
    deep = repeated("", "{\"a\":", 200000, "");
    safetensors(NO_MODEL, "st-deep-objects", "a header of 200,000 objects in each other", deep,
                strlen(deep), strlen(deep), DATA);
    free(deep);
    safetensors(NO_CONVERT, "st-missing", "a tensor is missing", missing, strlen(missing),
                strlen(missing), DATA - bytes_of(N_TENSORS - 1));
    free(missing);
    free(text);
}

/* ---- config.json ---------------------------------------------------------------------------- */

static const struct swap config_texts[] = {
    {"cf-list", "a list", config, "[1, 2]"},
    {"cf-number", "a number", config, "7"},
    {"cf-cut", "cut off", "\"torch_dtype\": \"float32\"}", "\"torch_dtype\": \"flo"},
    {"cf-behind", "text behind the object", "\"float32\"}", "\"float32\"} {}"},
    {"cf-utf8", "not UTF-8", "\"float32\"", "\"\xff\xfe\""},
    {"cf-twice", "a key twice", "\"vocab_size\": 264", "\"vocab_size\": 264, \"vocab_size\": 264"},
    {"cf-nan", "NaN", "1e-05", "NaN"},
    {"cf-eps-huge", "an epsilon beyond a double", "1e-05", "1e999"},
};

/* JSON, but of no model that duet computes. */
static const struct swap config_values[] = {
    {"cf-empty-object", "no keys", config, "{}"},
    {"cf-type", "an unknown model_type", "\"llama\"", "\"mamba9\""},
    {"cf-type-number", "a model_type that is a number", "\"llama\"", "7"},
    {"cf-type-format", "a model_type of conversion specifiers", "\"llama\"", "\"%s%n%s%n\""},
    {"cf-width-0", "width 0", "\"hidden_size\": 8", "\"hidden_size\": 0"},
    {"cf-width-negative", "a negative width", "\"hidden_size\": 8", "\"hidden_size\": -8"},
    {"cf-width-text", "a width that is a text", "\"hidden_size\": 8", "\"hidden_size\": \"8\""},
    {"cf-width-huge", "width 2^31", "\"hidden_size\": 8", "\"hidden_size\": 2147483648"},
    {"cf-width-2-63", "width 2^63", "\"hidden_size\": 8", "\"hidden_size\": 9223372036854775808"},
    {"cf-causal", "attention both ways", "\"torch_dtype\"",
     "\"is_causal\": false, \"torch_dtype\""},
    {"cf-kinds", "rotary embeddings of two kinds", "\"rope_theta\": 10000.0",
     "\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1}, \"sliding_attention\": {}}"},
    {"cf-kinds-deep", "rotary embeddings of kinds of kinds", "\"rope_theta\": 10000.0",
     "\"rope_parameters\": {\"full_attention\": {\"full_attention\": {\"full_attention\": {}}}}"},
    {"cf-width-null", "a width of null", "\"hidden_size\": 8", "\"hidden_size\": null"},
    {"cf-width-missing", "no width", "\"hidden_size\": 8, ", ""},
    {"cf-hidden-huge", "a huge hidden size", "\"intermediate_size\": 16",
     "\"intermediate_size\": 4611686018427387904"},
    {"cf-layers-0", "no layers", "\"num_hidden_layers\": 1", "\"num_hidden_layers\": 0"},
    {"cf-layers-2", "a layer too many", "\"num_hidden_layers\": 1", "\"num_hidden_layers\": 2"},
    {"cf-layers-1e9", "1e9 layers", "\"num_hidden_layers\": 1",
     "\"num_hidden_layers\": 1000000000"},
    {"cf-layers-max", "2^63 - 1 layers", "\"num_hidden_layers\": 1",
     "\"num_hidden_layers\": 9223372036854775807"},
    {"cf-heads-0", "no heads", "\"num_attention_heads\": 2", "\"num_attention_heads\": 0"},
    {"cf-heads-3", "3 heads in a width of 8", "\"num_attention_heads\": 2",
     "\"num_attention_heads\": 3"},
    {"cf-heads-8", "heads of one", "\"num_attention_heads\": 2", "\"num_attention_heads\": 8"},
    {"cf-heads-real", "heads that are a real", "\"num_attention_heads\": 2",
     "\"num_attention_heads\": 2.5"},
    {"cf-kv-0", "no key heads", "\"num_key_value_heads\": 1", "\"num_key_value_heads\": 0"},
    {"cf-kv-3", "more key heads than heads", "\"num_key_value_heads\": 1",
     "\"num_key_value_heads\": 3"},
    {"cf-vocab", "another vocabulary", "\"vocab_size\": 264", "\"vocab_size\": 263"},
    {"cf-vocab-huge", "a huge vocabulary", "\"vocab_size\": 264", "\"vocab_size\": 2147483647"},
    {"cf-context-0", "context 0", "\"max_position_embeddings\": 16",
     "\"max_position_embeddings\": 0"},
    {"cf-eps-0", "a negative epsilon", "1e-05", "-1e-05"},
    {"cf-eps-text", "an epsilon that is a text", "1e-05", "\"1e-05\""},
    {"cf-theta-0", "a rotary base of 0", "10000.0", "0"},
    {"cf-theta-negative", "a negative rotary base", "10000.0", "-10000.0"},
    {"cf-act", "another activation", "\"silu\"", "\"gelu\""},
    {"cf-untied", "an untied classifier that is not there", "\"tie_word_embeddings\": true",
     "\"tie_word_embeddings\": false"},
    {"cf-scaling", "an unknown rotary scaling", "\"rope_theta\": 10000.0",
     "\"rope_theta\": 10000.0, \"rope_scaling\": {\"rope_type\": \"spiral\", \"factor\": 2.0}"},
    {"cf-type-escape", "an escape sequence in model_type", "\"llama\"", "\"\\u001b[2J\\n\""},
    {"cf-act-escape", "an escape sequence in hidden_act", "\"silu\"", "\"\\u001b[2J\\n\""},
    {"cf-scaling-text", "a rotary scaling that is a text", "\"rope_theta\": 10000.0",
     "\"rope_theta\": 10000.0, \"rope_scaling\": \"linear\""},
    {"cf-scaling-list", "a rotary scaling that is a list", "\"rope_theta\": 10000.0",
     "\"rope_theta\": 10000.0, \"rope_scaling\": [4.0]"},
    {"cf-parameters-text", "rope_parameters that are a text", "\"rope_theta\": 10000.0",
     "\"rope_theta\": 10000.0, \"rope_parameters\": \"linear\""},
};

static void config_case(enum verdict v, const char *name, const char *label, const void *text,
                        size_t bytes) {
    struct bytes b = {0};
    char *weights = header(0, N_TENSORS);
    put(&b, text, bytes);
    write_file(in(name, "config.json"), &b);
    write_plain(name, WEIGHTS, weights, DATA);
    announce(v, name, v == NO_MODEL ? "config.json" : "-", label);
    bytes_free(&b);
    free(weights);
}

static void config_list(enum verdict v, const struct swap *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char label[128], *text = replaced(config, s[i].from, s[i].to);
        snprintf(label, sizeof label, "config.json: %s", s[i].label);
        config_case(v, s[i].name, label, text, strlen(text));
        free(text);
    }
}

static void make_config(void) {
    static const unsigned char utf16[] = {0xFF, 0xFE, '{', 0, '}', 0};
    config_list(NO_MODEL, ALL(config_texts));
    config_list(NO_CONVERT, ALL(config_values));
    char *deep = repeated("{\"a\":", "[", 1000000, "");
    config_case(NO_MODEL, "cf-deep", "config.json: a million brackets", deep, strlen(deep));
    free(deep);
    config_case(NO_MODEL, "cf-empty", "config.json: empty", "", 0);
    config_case(NO_MODEL, "cf-utf16", "config.json: UTF-16", utf16, sizeof utf16);
    config_case(NO_MODEL, "cf-nul", "config.json: a NUL behind it", config, sizeof config);
    char *text = header(0, N_TENSORS);
    write_plain("cf-missing", WEIGHTS, text, DATA);
    announce(NO_MODEL, "cf-missing", "-", "config.json is missing");
    free(text);
    write_text("cf-alone/config.json", config);
    announce(NO_MODEL, "cf-alone", "-", "a folder with a config.json and no weights");
}

/* ---- shards --------------------------------------------------------------------------------- */

#define FIRST "model-00001-of-00002.safetensors"
#define SECOND "model-00002-of-00002.safetensors"
enum { IN_FIRST = 5 };

/* malloc()ed */
static char *index_text(void) {
    struct bytes b = {0};
    char text[200];
    put_text(&b, "{\"metadata\": {\"total_size\": 10848}, \"weight_map\": {");
    for (int i = 0; i < N_TENSORS; i++) {
        snprintf(text, sizeof text, "%s\"%s\": \"%s\"", i ? ", " : "", tensors[i].name,
                 i < IN_FIRST ? FIRST : SECOND);
        put_text(&b, text);
    }
    put_text(&b, "}}");
    put_u8(&b, 0);
    return (char *)b.p;
}

/* Shards of tensors [0, end) and [first, all), which are as many bytes. */
static void shards(const char *name, const char *map, int end, int first) {
    char *a = header(0, end), *b = header(first, N_TENSORS);
    size_t in_a = 0, in_b = 0;
    for (int i = 0; i < end; i++) in_a += bytes_of(i);
    for (int i = first; i < N_TENSORS; i++) in_b += bytes_of(i);
    write_text(in(name, "config.json"), config);
    write_text(in(name, INDEX), map);
    write_plain(name, FIRST, a, in_a);
    if (first < N_TENSORS) write_plain(name, SECOND, b, in_b);
    free(a);
    free(b);
}

#define NORM_IN(file) "\"model.norm.weight\": \"" file "\""
#define NORM_LINE NORM_IN(SECOND)

static const struct swap index_cases[] = {
    {"ix-parent", "a shard in the folder above", NORM_LINE, NORM_IN("../valid-st/" WEIGHTS)},
    {"ix-parent-inside", "a path that leaves the folder and returns", NORM_LINE,
     NORM_IN("../ix-parent-inside/" SECOND)},
    {"ix-absolute", "an absolute path", NORM_LINE, NORM_IN("/etc/passwd")},
    {"ix-device", "a device", NORM_LINE, NORM_IN("/dev/zero")},
    {"ix-backslash", "a path with backslashes", NORM_LINE, NORM_IN("..\\\\x.safetensors")},
    {"ix-dots", "the folder above itself", NORM_LINE, NORM_IN("..")},
    {"ix-dot", "the folder itself", NORM_LINE, NORM_IN(".")},
    {"ix-empty", "an empty name of a file", NORM_LINE, NORM_IN("")},
    {"ix-nul", "a NUL in the name of a file", NORM_LINE, NORM_IN(SECOND "\\u0000x")},
    {"ix-escape", "an escape sequence in the name of a file", NORM_LINE, NORM_IN("\\u001b[2J\\n")},
    {"ix-other", "a file that is not safetensors", NORM_LINE, NORM_IN("config.json")},
    {"ix-missing", "a shard that is missing", NORM_LINE,
     NORM_IN("model-00003-of-00003.safetensors")},
    {"ix-number", "a file that is a number", NORM_LINE, "\"model.norm.weight\": 2"},
    {"ix-null", "a file that is null", NORM_LINE, "\"model.norm.weight\": null"},
    {"ix-first", "a tensor that is in another shard", NORM_LINE, NORM_IN(FIRST)},
    {"ix-absent", "a tensor that no shard has", NORM_LINE,
     NORM_LINE ", \"lm_head.weight\": \"" SECOND "\""},
    {"ix-unlisted", "a tensor of a shard that is not in the index", ", " NORM_LINE, ""},
    {"ix-key-twice", "a tensor twice in the index", NORM_LINE, NORM_LINE ", " NORM_LINE},
    {"ix-no-map", "no weight_map", "\"weight_map\"", "\"map\""},
    {"ix-map-list", "a weight_map that is a list", "\"weight_map\": {",
     "\"weight_map\": [], \"x\": {"},
    {"ix-list", "a list", "{\"metadata\"", "[\"metadata\""},
    {"ix-cut", "cut off", NORM_LINE "}}", "\"model.no"},
    {"ix-utf8", "not UTF-8", NORM_LINE, NORM_IN("\xff\xfe")},
};

static void make_shards(void) {
    char *map = index_text();
    shards("valid-shards", map, IN_FIRST, IN_FIRST);
    announce(MODEL, "valid-shards", "-", "a valid folder of two shards");
    for (size_t i = 0; i < sizeof index_cases / sizeof *index_cases; i++) {
        const struct swap *s = index_cases + i;
        char label[128], *other = replaced(map, s->from, s->to);
        snprintf(label, sizeof label, "index: %s", s->label);
        shards(s->name, other, IN_FIRST, IN_FIRST);
        announce(NO_MODEL, s->name, "-", label);
        free(other);
    }
    shards("ix-in-both", map, IN_FIRST + 1, IN_FIRST);
    announce(NO_MODEL, "ix-in-both", "-", "index: a tensor in two shards");
    shards("ix-no-shard", map, IN_FIRST, N_TENSORS);
    announce(NO_MODEL, "ix-no-shard", "-", "index: the second shard is not there");
    char *deep = repeated("{\"weight_map\":", "[", 1000000, "");
    shards("ix-deep", deep, IN_FIRST, IN_FIRST);
    announce(NO_MODEL, "ix-deep", "-", "index: a million brackets");
    free(deep);
    free(map);
}

void make_hf(void) {
    char *text = header(0, N_TENSORS);
    write_text("valid-st/config.json", config);
    write_plain("valid-st", WEIGHTS, text, DATA);
    announce(MODEL, "valid-st", "-", "a valid folder of Hugging Face");
    char *padded = repeated(text, " ", 13, "");
    write_text("valid-padded/config.json", config);
    write_plain("valid-padded", WEIGHTS, padded, DATA);
    announce(MODEL, "valid-padded", "-", "a header padded with blanks");
    free(padded);
    free(text);
    make_safetensors();
    make_config();
    make_shards();
}
