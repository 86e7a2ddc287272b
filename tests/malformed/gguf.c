#include "gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void put_string(struct bytes *b, const char *s) {
    put_u64(b, strlen(s));
    put_text(b, s);
}

/* ---- pairs ---------------------------------------------------------------------------------- */

struct kv *kv_find(struct gguf *g, const char *key) {
    for (int i = 0; i < g->n_kv; i++)
        if (!strcmp(g->kv[i].key, key)) return g->kv + i;
    return NULL;
}

struct bytes *kv_raw(struct gguf *g, const char *key) {
    struct kv *kv = kv_find(g, key);
    if (!kv) {
        if (g->n_kv == sizeof g->kv / sizeof *g->kv) abort();
        kv = g->kv + g->n_kv++;
        snprintf(kv->key, sizeof kv->key, "%s", key);
    }
    bytes_free(&kv->b);
    return &kv->b;
}

struct bytes *kv_start(struct gguf *g, const char *key, uint32_t type) {
    struct bytes *b = kv_raw(g, key);
    put_string(b, key);
    put_u32(b, type);
    return b;
}

void kv_u32(struct gguf *g, const char *key, uint32_t v) {
    put_u32(kv_start(g, key, U32), v);
}

void kv_f32(struct gguf *g, const char *key, float v) {
    put_f32(kv_start(g, key, F32), v);
}

void kv_bool(struct gguf *g, const char *key, uint8_t v) {
    put_u8(kv_start(g, key, BOOL), v);
}

void kv_text(struct gguf *g, const char *key, const char *s) {
    put_string(kv_start(g, key, STRING), s);
}

struct bytes *kv_array(struct gguf *g, const char *key, uint32_t type, uint64_t n) {
    struct bytes *b = kv_start(g, key, ARRAY);
    put_u32(b, type);
    put_u64(b, n);
    return b;
}

void kv_drop(struct gguf *g, const char *key) {
    struct kv *kv = kv_find(g, key);
    if (!kv) abort();
    bytes_free(&kv->b);
    *kv = g->kv[--g->n_kv];
    g->kv[g->n_kv] = (struct kv){0};
}

/* ---- tensors -------------------------------------------------------------------------------- */

void tensor_name(struct info *t, const char *name) {
    bytes_free(&t->name);
    put_string(&t->name, name);
}

struct info *tensor_add(struct gguf *g, const char *name, uint64_t cols, uint64_t rows) {
    if (g->n_t == sizeof g->t / sizeof *g->t) abort();
    struct info *t = g->t + g->n_t++;
    *t = (struct info){.n_dims = rows ? 2 : 1, .ne = {cols, rows ? rows : 1, 1, 1}};
    t->bytes = (size_t)(cols * (rows ? rows : 1) * 4);
    tensor_name(t, name);
    return t;
}

struct info *tensor(struct gguf *g, const char *name) {
    for (int i = 0; i < g->n_t; i++)
        if (g->t[i].name.n == 8 + strlen(name) && !memcmp(g->t[i].name.p + 8, name, strlen(name)))
            return g->t + i;
    abort();
}

void tensor_drop(struct gguf *g, const char *name) {
    struct info *t = tensor(g, name);
    bytes_free(&t->name);
    memmove(t, t + 1, (size_t)(g->t + g->n_t - (t + 1)) * sizeof *t);
    g->t[--g->n_t] = (struct info){0};
}

/* ---- a model -------------------------------------------------------------------------------- */

static void add_tensors(struct gguf *g) {
    tensor_add(g, "token_embd.weight", WIDTH, VOCAB);
    tensor_add(g, "blk.0.attn_norm.weight", WIDTH, 0);
    tensor_add(g, "blk.0.attn_q.weight", WIDTH, WIDTH);
    tensor_add(g, "blk.0.attn_k.weight", WIDTH, KV_WIDTH);
    tensor_add(g, "blk.0.attn_v.weight", WIDTH, KV_WIDTH);
    tensor_add(g, "blk.0.attn_output.weight", WIDTH, WIDTH);
    tensor_add(g, "blk.0.ffn_norm.weight", WIDTH, 0);
    tensor_add(g, "blk.0.ffn_gate.weight", WIDTH, HIDDEN);
    tensor_add(g, "blk.0.ffn_up.weight", WIDTH, HIDDEN);
    tensor_add(g, "blk.0.ffn_down.weight", HIDDEN, WIDTH);
    tensor_add(g, "output_norm.weight", WIDTH, 0);
}

/* 3 special tokens, the bytes, and "a", "b", ... */
static void add_spm(struct gguf *g) {
    static const char *const special[] = {"<unk>", "<s>", "</s>"};
    kv_text(g, "tokenizer.ggml.model", "llama");
    kv_text(g, "tokenizer.ggml.pre", "default");
    struct bytes *b = kv_array(g, "tokenizer.ggml.tokens", STRING, VOCAB);
    for (int i = 0; i < VOCAB; i++) {
        char text[8];
        if (i >= 259)
            snprintf(text, sizeof text, "%c", 'a' + i - 259);
        else
            snprintf(text, sizeof text, "<0x%02X>", (unsigned)(i - 3) & 255);
        put_string(b, i < 3 ? special[i] : text);
    }
    b = kv_array(g, "tokenizer.ggml.scores", F32, VOCAB);
    for (int i = 0; i < VOCAB; i++) put_f32(b, (float)-i);
    b = kv_array(g, "tokenizer.ggml.token_type", I32, VOCAB);
    for (int i = 0; i < VOCAB; i++) put_u32(b, i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1);
    kv_u32(g, "tokenizer.ggml.bos_token_id", 1);
    kv_u32(g, "tokenizer.ggml.eos_token_id", 2);
}

/* The character that stands for a byte in gpt2's vocabularies: itself, or one from U+0100 on. */
static void put_byte_char(struct bytes *b, unsigned byte) {
    unsigned cp = byte, hidden = 0;
    for (unsigned i = 0; i <= byte; i++) {
        const bool plain = (i >= 33 && i <= 126) || (i >= 161 && i != 173);
        if (!plain) hidden++;
        cp = plain ? i : 255 + hidden;
    }
    put_u64(b, cp < 128 ? 1 : 2);
    if (cp >= 128) put_u8(b, (uint8_t)(0xC0 | cp >> 6));
    put_u8(b, (uint8_t)(cp < 128 ? cp : 0x80 | (cp & 63)));
}

/* The bytes, 4 merges, 4 special tokens. */
static void add_bpe(struct gguf *g) {
    static const char *const more[] = {"ab", "cd", "abcd", "ef", "<s>", "<e>", "<p>", "<q>"};
    static const char *const merges[] = {"a b", "c d", "ab cd", "e f"};
    kv_text(g, "tokenizer.ggml.model", "gpt2");
    kv_text(g, "tokenizer.ggml.pre", "gpt-2");
    struct bytes *b = kv_array(g, "tokenizer.ggml.tokens", STRING, VOCAB);
    for (unsigned i = 0; i < 256; i++) put_byte_char(b, i);
    for (int i = 0; i < 8; i++) put_string(b, more[i]);
    b = kv_array(g, "tokenizer.ggml.token_type", I32, VOCAB);
    for (int i = 0; i < VOCAB; i++) put_u32(b, i < 260 ? 1 : 3);
    b = kv_array(g, "tokenizer.ggml.merges", STRING, 4);
    for (int i = 0; i < 4; i++) put_string(b, merges[i]);
    kv_u32(g, "tokenizer.ggml.bos_token_id", 260);
    kv_u32(g, "tokenizer.ggml.eos_token_id", 261);
    kv_bool(g, "tokenizer.ggml.add_bos_token", 0);
}

void gguf_valid(struct gguf *g, bool bpe) {
    *g = (struct gguf){.magic = "GGUF", .version = 3, .align = 32};
    kv_text(g, "general.architecture", "llama");
    kv_text(g, "general.name", "small");
    kv_u32(g, "general.alignment", 32);
    kv_u32(g, "llama.context_length", CONTEXT);
    kv_u32(g, "llama.embedding_length", WIDTH);
    kv_u32(g, "llama.block_count", 1);
    kv_u32(g, "llama.feed_forward_length", HIDDEN);
    kv_u32(g, "llama.attention.head_count", WIDTH / HEAD);
    kv_u32(g, "llama.attention.head_count_kv", KV_WIDTH / HEAD);
    kv_f32(g, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    kv_f32(g, "llama.rope.freq_base", 10000);
    kv_u32(g, "llama.rope.dimension_count", HEAD);
    kv_u32(g, "llama.vocab_size", VOCAB);
    if (bpe)
        add_bpe(g);
    else
        add_spm(g);
    add_tensors(g);
}

void gguf_release(struct gguf *g) {
    for (int i = 0; i < g->n_kv; i++) bytes_free(&g->kv[i].b);
    for (int i = 0; i < g->n_t; i++) bytes_free(&g->t[i].name);
    *g = (struct gguf){0};
}

/* ---- the file ------------------------------------------------------------------------------- */

static void pad(struct bytes *b, size_t start, uint32_t align) {
    while ((b->n - start) % align) put_u8(b, 0);
}

static void put_infos(struct bytes *b, const struct gguf *g) {
    uint64_t offset = 0;
    for (int i = 0; i < g->n_t; i++) {
        const struct info *t = g->t + i;
        put(b, t->name.p, t->name.n);
        put_u32(b, t->n_dims);
        for (uint32_t d = 0; d < t->n_dims && d < 12; d++) put_u64(b, t->ne[d]);
        put_u32(b, t->type);
        put_u64(b, t->offset_set ? t->offset : offset);
        offset = (offset + t->bytes + g->align - 1) / g->align * g->align;
    }
}

void gguf_make(struct gguf *g, struct bytes *b) {
    *b = (struct bytes){0};
    put_text(b, g->magic);
    put_u32(b, g->version);
    put_u64(b, (uint64_t)g->n_t + g->extra_tensors);
    put_u64(b, (uint64_t)g->n_kv + g->extra_kv);
    for (int i = 0; i < g->n_kv; i++) put(b, g->kv[i].b.p, g->kv[i].b.n);
    put_infos(b, g);
    pad(b, 0, g->align);
    const size_t start = b->n;
    for (int i = 0; i < g->n_t; i++) {
        pad(b, start, g->align);
        put_weights(b, g->t[i].bytes / 4);
    }
    if (g->grow > 0) put_zeros(b, (size_t)g->grow);
    if (g->grow < 0) b->n -= (size_t)-g->grow;
    gguf_release(g);
}

void gguf_emit(enum verdict v, const char *name, struct gguf *g, const char *label) {
    struct bytes b;
    char path[96];
    gguf_make(g, &b);
    snprintf(path, sizeof path, "%s.gguf", name);
    emit(v, path, &b, label);
}

void gguf_cases(enum verdict v, bool bpe, const struct spoil *s, size_t n) {
    static struct gguf g;
    for (size_t i = 0; i < n; i++) {
        gguf_valid(&g, bpe);
        s[i].fn(&g);
        gguf_emit(v, s[i].name, &g, s[i].label);
    }
}
