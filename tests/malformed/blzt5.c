/* BLZT v5. The checksums are right, so that it is the header that must be refused. */
#include "malformed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const struct {
    const char *name;
    int rows, cols;
} tensors[] = {{"model.embed_tokens.weight", VOCAB, WIDTH},
               {"model.layers.0.input_layernorm.weight", WIDTH, 0},
               {"model.layers.0.self_attn.q_proj.weight", WIDTH, WIDTH},
               {"model.layers.0.self_attn.k_proj.weight", KV_WIDTH, WIDTH},
               {"model.layers.0.self_attn.v_proj.weight", KV_WIDTH, WIDTH},
               {"model.layers.0.self_attn.o_proj.weight", WIDTH, WIDTH},
               {"model.layers.0.post_attention_layernorm.weight", WIDTH, 0},
               {"model.layers.0.mlp.gate_proj.weight", HIDDEN, WIDTH},
               {"model.layers.0.mlp.up_proj.weight", HIDDEN, WIDTH},
               {"model.layers.0.mlp.down_proj.weight", WIDTH, HIDDEN},
               {"model.norm.weight", WIDTH, 0}};
enum { N_TENSORS = sizeof tensors / sizeof *tensors };

static void pad(struct bytes *b, size_t align, unsigned char with) {
    while (b->n % align) put_u8(b, with);
}

/* Header and data of a valid file; the header is malloc()ed. */
static char *parts(struct bytes *data) {
    struct bytes h = {0};
    put_text(&h, "{\"config\":{\"model_type\":\"llama\",\"hidden_size\":8,\"intermediate_size\":16,"
                 "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
                 "\"vocab_size\":264,\"max_position_embeddings\":16,\"rms_norm_eps\":1e-05,"
                 "\"rope_theta\":10000.0,\"tie_word_embeddings\":true},\"meta\":{\"step\":3},"
                 "\"tensors\":[");
    for (int i = 0; i < N_TENSORS; i++) {
        char text[256], shape[32];
        const int cols = tensors[i].cols;
        const size_t n = (size_t)tensors[i].rows * (size_t)(cols ? cols : 1);
        pad(data, 64, 0);
        const size_t at = data->n;
        put_weights(data, n);
        snprintf(shape, sizeof shape, cols ? "%d,%d" : "%d", tensors[i].rows, cols);
        snprintf(text, sizeof text,
                 "%s{\"name\":\"%s\",\"dtype\":\"f32\",\"shape\":[%s],\"offset\":%zu,\"bytes\":%zu,"
                 "\"xxh3\":\"%016" PRIx64 "\"}",
                 i ? "," : "", tensors[i].name, shape, at, 4 * n,
                 (uint64_t)XXH3_64bits(data->p + at, 4 * n));
        put_text(&h, text);
    }
    put_text(&h, "]}");
    put_u8(&h, 0);
    return (char *)h.p;
}

/* The file of a header. */
static void assemble(struct bytes *b, const char *header, const struct bytes *data) {
    struct bytes h = {0};
    put_zeros(&h, 32);
    put_text(&h, header);
    pad(&h, 64, ' ');
    put_u32(b, 0x424C5A54);
    put_u32(b, 5);
    put_u64(b, h.n - 32);
    put_u64(b, XXH3_64bits(h.p + 32, h.n - 32));
    put_u64(b, h.n + data->n);
    put(b, h.p + 32, h.n - 32);
    put(b, data->p, data->n);
    bytes_free(&h);
}

#define NORM "\"name\":\"model.norm.weight\",\"dtype\":\"f32\",\"shape\":[8]"

static const struct swap cases[] = {
    {"b5-list", "a header that is a list", "{\"config\":{", "[\"config\":{"},
    {"b5-behind", "text behind the header", "}]}", "}]} x"},
    {"b5-cut", "a header without its end", "}]}", "}]"},
    {"b5-utf8", "a header that is not UTF-8", "model.norm", "model.\xff\xfe"},
    {"b5-unknown", "an unknown key", "\"meta\":", "\"mata\":"},
    {"b5-unknown-tensor", "an unknown key of a tensor", NORM, "\"stride\":1," NORM},
    {"b5-config", "a config that is a list", "\"meta\":{\"step\":3}",
     "\"meta\":{\"step\":3},\"config\":[]"},
    {"b5-meta", "meta that is a number", "{\"step\":3}", "3"},
    {"b5-no-name", "a tensor without a name", "\"name\":\"model.norm.weight\",", ""},
    {"b5-name-empty", "a tensor of an empty name", "model.norm.weight", ""},
    {"b5-name-twice", "a tensor twice", "self_attn.v_proj", "self_attn.k_proj"},
    {"b5-name-control", "an escape sequence in a name", "model.norm.weight", "model\\u001b[2J"},
    {"b5-dtype", "an unknown type", NORM,
     "\"name\":\"model.norm.weight\",\"dtype\":\"f31\",\"shape\":[8]"},
    {"b5-dtype-escape", "an escape sequence in a type", NORM,
     "\"name\":\"model.norm.weight\",\"dtype\":\"\\u001b[2J\\n\",\"shape\":[8]"},
    {"b5-key-escape", "an escape sequence in a key", "\"meta\":", "\"\\u001b[2J\\n\":"},
    {"b5-dtype-number", "a type that is a number", NORM,
     "\"name\":\"model.norm.weight\",\"dtype\":0,\"shape\":[8]"},
    {"b5-half-block", "a quarter of a block", NORM,
     "\"name\":\"model.norm.weight\",\"dtype\":\"q8_0\",\"shape\":[8]"},
    {"b5-half-superblock", "a part of a large block", NORM,
     "\"name\":\"model.norm.weight\",\"dtype\":\"q6_k\",\"shape\":[8]"},
    {"b5-shape-0", "a size of 0", NORM,
     "\"name\":\"model.norm.weight\",\"dtype\":\"f32\",\"shape\":[0]"},
    {"b5-shape-negative", "a negative size", NORM,
     "\"name\":\"model.norm.weight\",\"dtype\":\"f32\",\"shape\":[-8]"},
    {"b5-shape-3", "three dimensions", NORM,
     "\"name\":\"model.norm.weight\",\"dtype\":\"f32\",\"shape\":[2,2,2]"},
    {"b5-shape-wrap", "a shape whose product wraps", NORM,
     "\"name\":\"model.norm.weight\",\"dtype\":\"f32\",\"shape\":[4294967304,4294967296]"},
    {"b5-shape-bytes", "a shape whose bytes wrap", NORM,
     "\"name\":\"model.norm.weight\",\"dtype\":\"f32\",\"shape\":[4611686018427387912]"},
    {"b5-shape-2-63", "a size beyond 63 bits", NORM,
     "\"name\":\"model.norm.weight\",\"dtype\":\"f32\",\"shape\":[9223372036854775816]"},
    {"b5-shape-other", "another size", NORM,
     "\"name\":\"model.norm.weight\",\"dtype\":\"f32\",\"shape\":[9]"},
    {"b5-offset", "an offset that is not the next", "\"offset\":8448,", "\"offset\":8512,"},
    {"b5-offset-0", "two tensors in one place", "\"offset\":8448,", "\"offset\":0,"},
    {"b5-offset-negative", "a negative offset", "\"offset\":8448,", "\"offset\":-64,"},
    {"b5-bytes", "other bytes than the shape's", "\"bytes\":8448,", "\"bytes\":8444,"},
    {"b5-bytes-0", "no bytes", "\"bytes\":8448,", "\"bytes\":0,"},
    {"b5-bytes-max", "2^63 - 1 bytes", "\"bytes\":8448,", "\"bytes\":9223372036854775807,"},
    {"b5-tokenizer", "a tokenizer beyond the file", "]}",
     "],\"tokenizer\":{\"offset\":11008,\"bytes\":1000,\"xxh3\":\"0000000000000000\"}}"},
};

/* Right in themselves, but no model. */
static const struct swap values[] = {
    {"b5-name-unknown", "an unknown tensor", "self_attn.v_proj", "self_attn.x_proj"},
    {"b5-width-huge", "a config of width 2^62", "\"hidden_size\":8",
     "\"hidden_size\":4611686018427387904"},
    {"b5-layers-huge", "a config of 2^31 layers", "\"num_hidden_layers\":1",
     "\"num_hidden_layers\":2147483648"},
    {"b5-layers-2", "a config of a layer too many", "\"num_hidden_layers\":1",
     "\"num_hidden_layers\":2"},
};

static void cover(const char *name, const char *label, const char *header, const struct bytes *data,
                  size_t at, uint64_t value) {
    struct bytes b = {0};
    assemble(&b, header, data);
    memcpy(b.p + at, &value, sizeof value);
    emit(NO_MODEL, name, &b, label);
}

/* Numbers in front of the header, and its checksum. */
static void covers(const char *header, const struct bytes *data) {
    struct bytes b = {0};
    cover("b5-header-0.blzt", "BLZT v5: a header of no bytes", header, data, 8, 0);
    cover("b5-header-63.blzt", "BLZT v5: a header of 2^63 bytes", header, data, 8,
          (uint64_t)1 << 63);
    cover("b5-header-max.blzt", "BLZT v5: a header of 2^64 - 32 bytes", header, data, 8,
          UINT64_MAX - 31);
    cover("b5-header-gib.blzt", "BLZT v5: a header of a GiB", header, data, 8,
          ((uint64_t)1 << 30) + 32);
    cover("b5-header-less.blzt", "BLZT v5: a header that is too short", header, data, 8, 96);
    cover("b5-header-sum.blzt", "BLZT v5: a wrong checksum of the header", header, data, 16, 1);
    cover("b5-size.blzt", "BLZT v5: another size of the file", header, data, 24, 4096);
    assemble(&b, header, data);
    b.n--;
    emit(NO_MODEL, "b5-byte-less.blzt", &b, "BLZT v5: one byte less");
    assemble(&b, header, data);
    put_u8(&b, 0);
    emit(NO_MODEL, "b5-byte-more.blzt", &b, "BLZT v5: one byte more");
    assemble(&b, header, data);
    b.n = 31;
    emit(NO_MODEL, "b5-31.blzt", &b, "BLZT v5: 31 bytes");
    assemble(&b, header, data);
    b.p[40] ^= 1;
    emit(NO_MODEL, "b5-bit.blzt", &b, "BLZT v5: a bit of the header");
}

static void swaps(enum verdict v, const char *header, const struct bytes *data,
                  const struct swap *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct bytes b = {0};
        char path[64], label[128], *other = replaced(header, s[i].from, s[i].to);
        snprintf(path, sizeof path, "%s.blzt", s[i].name);
        snprintf(label, sizeof label, "BLZT v5: %s", s[i].label);
        assemble(&b, other, data);
        emit(v, path, &b, label);
        free(other);
    }
}

void make_blzt5(void) {
    struct bytes data = {0}, b = {0};
    char *header = parts(&data);
    assemble(&b, header, &data);
    emit(MODEL, "valid.blzt", &b, "a valid BLZT v5");
    swaps(NO_MODEL, header, &data, cases, sizeof cases / sizeof *cases);
    swaps(NO_CONVERT, header, &data, values, sizeof values / sizeof *values);
    covers(header, &data);
    char *deep = repeated("{\"config\":", "[", 1000000, "");
    assemble(&b, deep, &data);
    emit(NO_MODEL, "b5-deep.blzt", &b, "BLZT v5: a million brackets");
    free(deep);
    free(header);
    bytes_free(&data);
}
