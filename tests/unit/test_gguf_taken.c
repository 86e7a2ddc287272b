/* GGUF files that llama.cpp's own converters write, or its reader takes, and that say something of
 * which nothing is computed: ids that are no token, tokens without a text or type, sizes as lists,
 * pooling, tokenizers that duet has not. */
#include "gguf_fixture.h"

#include <jansson.h>

static json_t *config_of(const struct model_file *mf) {
    json_error_t je;
    json_t *c = json_loads(mf->config, 0, &je);
    assert_non_null(c);
    return c;
}

/* -1: absent. */
static json_int_t id_of(const struct model_file *mf, const char *key) {
    json_t *c = config_of(mf), *v = json_object_get(c, key);
    const json_int_t id = v ? json_integer_value(v) : -1;
    json_decref(c);
    return id;
}

/* 2^32 - 1 is no token: in every key of an id, with each kind of vocabulary and none. */
static void null_ids(void **state) {
    (void)state;
    static const char *const models[] = {"llama", "gpt2", "none"};
    static const char *const more[] = {
        "tokenizer.ggml.seperator_token_id", "tokenizer.ggml.separator_token_id",
        "tokenizer.ggml.mask_token_id",      "tokenizer.ggml.cls_token_id",
        "tokenizer.ggml.eot_token_id",       "tokenizer.ggml.fim_pre_token_id"};
    for (size_t k = 0; k < 3; k++) {
        struct parts f;
        struct model_file mf;
        small_file(&f);
        set_text(&f, "tokenizer.ggml.model", models[k]);
        if (k == 1) set_array(&f, "tokenizer.ggml.merges", STRING, 1, "a b", 0);
        set_u32(&f, "tokenizer.ggml.bos_token_id", UINT32_MAX);
        set_u32(&f, "tokenizer.ggml.eos_token_id", 1);
        set_u32(&f, "tokenizer.ggml.padding_token_id", UINT32_MAX);
        set_u32(&f, "tokenizer.ggml.unknown_token_id", UINT32_MAX);
        for (size_t i = 0; i < sizeof more / sizeof *more; i++) set_u32(&f, more[i], UINT32_MAX);
        set_u32(&f, "tokenizer.ggml.eom_token_id", 2); /* one that is a token is kept */
        assert_ok(open_parts(&mf, &f));
        assert_null(mf.notes);
        assert_int_equal(id_of(&mf, "pad_token_id"), -1);
        assert_int_equal(id_of(&mf, "eos_token_id"), 1);
        /* SentencePiece has defaults, as in llama.cpp. */
        assert_int_equal(id_of(&mf, "bos_token_id"), k == 0 ? 1 : -1);
        assert_int_equal(id_of(&mf, "unk_token_id"), k == 0 ? 0 : -1);
        if (mf.vocab) {
            assert_int_equal(mf.vocab->pad, -1);
            assert_int_equal(mf.vocab->eos, 1);
        }
        assert_null(strstr(mf.config, "4294967295"));
        for (size_t i = 0; i < sizeof more / sizeof *more; i++)
            assert_null(strstr(mf.config, more[i]));
        assert_non_null(strstr(mf.config, "\"tokenizer.ggml.eom_token_id\":[\"u32\",2]"));
        model_file_close(&mf);
    }
}

/* Any other id that is no token is absent too, and said. */
static void ids_beyond(void **state) {
    (void)state;
    struct parts f;
    struct model_file mf;
    for (int none = 0; none < 2; none++) {
        small_file(&f);
        if (none) set_text(&f, "tokenizer.ggml.model", "none");
        set_u32(&f, "tokenizer.ggml.eos_token_id", 3);
        set_u32(&f, "tokenizer.ggml.padding_token_id", UINT32_MAX - 1);
        set_u32(&f, "tokenizer.ggml.eot_token_id", 77);
        assert_ok(open_parts(&mf, &f));
        assert_int_equal(id_of(&mf, "pad_token_id"), -1);
        assert_int_equal(id_of(&mf, "eos_token_id"), none ? -1 : 2);
        assert_null(strstr(mf.config, "eot_token_id"));
        assert_non_null(strstr(mf.notes, "eos_token_id is 3, but there are 3 tokens"));
        assert_non_null(strstr(mf.notes, "padding_token_id is 4294967294"));
        assert_non_null(strstr(mf.notes, "eot_token_id is 77"));
        int lines = 0;
        for (const char *p = mf.notes; *p; p++) lines += *p == '\n';
        assert_int_equal(lines, 3);
        model_file_close(&mf);
    }
}

static void empty_tokens(void **state) {
    (void)state;
    struct parts f;
    struct model_file mf;
    small_file(&f);
    f.n_t = 0; /* a vocabulary alone has any size */
    f.data = 0;
    set_array(&f, "tokenizer.ggml.tokens", STRING, 5, "<unk>\0\0</s>\0a\0", 0);
    set_array(&f, "tokenizer.ggml.scores", F32, 5, (float[]){0, -1, -2, -3, -4}, 20);
    set_array(&f, "tokenizer.ggml.token_type", I32, 5, (int32_t[]){2, 3, 3, 0, 1}, 20);
    assert_ok(open_parts(&mf, &f));
    const struct vocab_text *t = mf.vocab->tokens;
    assert_true(t[1].n == 9 && !memcmp(t[1].s, "[EMPTY_1]", 9));
    assert_true(t[4].n == 9 && !memcmp(t[4].s, "[EMPTY_4]", 9));
    assert_true(t[3].n == 1 && t[3].s[0] == 'a');
    assert_int_equal(mf.vocab->types[1], VOCAB_UNUSED);
    assert_int_equal(mf.vocab->types[4], VOCAB_UNUSED);
    assert_int_equal(mf.vocab->types[3], VOCAB_NORMAL); /* it was undefined */
    assert_int_equal(mf.vocab->types[2], VOCAB_CONTROL);
    assert_non_null(strstr(mf.notes, "2 empty tokens"));
    assert_non_null(strstr(mf.notes, "1 token of type 0"));
    model_file_close(&mf);
    /* The weights too. */
    small_file(&f);
    set_array(&f, "tokenizer.ggml.tokens", STRING, 3, "\0<s>\0</s>", 0);
    set_array(&f, "tokenizer.ggml.token_type", I32, 3, (int32_t[]){0, 0, 3}, 12);
    assert_ok(open_parts(&mf, &f));
    assert_int_equal(mf.n_tensors, 11);
    assert_int_equal(mf.vocab->types[0], VOCAB_UNUSED);
    assert_int_equal(mf.vocab->types[1], VOCAB_NORMAL);
    model_file_close(&mf);
}

/* A second and third layer. */
static void grow(struct parts *f) {
    static const struct {
        const char *name;
        int cols, rows;
    } parts[] = {
#define LAYER(l)                                                                                   \
    {"blk." #l ".attn_norm.weight", 8, 0},       {"blk." #l ".attn_q.weight", 8, 8},               \
        {"blk." #l ".attn_k.weight", 8, 8},      {"blk." #l ".attn_v.weight", 8, 8},               \
        {"blk." #l ".attn_output.weight", 8, 8}, {"blk." #l ".ffn_norm.weight", 8, 0},             \
        {"blk." #l ".ffn_gate.weight", 8, 5},    {"blk." #l ".ffn_up.weight", 8, 5},               \
    {                                                                                              \
        "blk." #l ".ffn_down.weight", 5, 8                                                         \
    }
        LAYER(1), LAYER(2)};
    set_u32(f, "llama.block_count", 3);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        add_info(f, parts[i].name, (uint64_t)parts[i].cols, (uint64_t)parts[i].rows);
}

/* Sizes of every layer, as lists: one that is the same everywhere is that size. */
static void lists(void **state) {
    (void)state;
    static const struct {
        const char *key, *hf;
        uint32_t v;
    } keys[] = {{"llama.attention.head_count", "num_attention_heads", 2},
                {"llama.attention.head_count_kv", "num_key_value_heads", 2},
                {"llama.feed_forward_length", "intermediate_size", 5}};
    struct parts f, g;
    struct model_file mf;
    small_file(&f);
    grow(&f);
    for (size_t i = 0; i < 3; i++) {
        const uint32_t v = keys[i].v, same[] = {v, v, v}, differ[] = {v, v, 1}, none[] = {0, 0, 0};
        for (int type = 0; type < 2; type++) {
            g = f;
            set_array(&g, keys[i].key, type ? I32 : U32, 3, same, 12);
            assert_ok(open_parts(&mf, &g));
            assert_int_equal(id_of(&mf, keys[i].hf), v);
            assert_null(strstr(mf.config, "\"gguf\"")); /* it is understood */
            model_file_close(&mf);
        }
        set_array(&g, keys[i].key, U32, 3, differ, 12);
        assert_bad(&g, keys[i].key);
        assert_non_null(strstr(e.msg, "in layer 0 and 1 in layer 2"));
        set_array(&g, keys[i].key, U32, 3, none, 12);
        assert_bad(&g, "is 0");
        set_array(&g, keys[i].key, U32, 2, same, 8);
        assert_bad(&g, "is a list of 2 u32");
        set_array(&g, keys[i].key, U64, 3, "\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 24);
        assert_bad(&g, "is a list of 3 u64");
    }
}

/* How a sequence becomes one vector is behind the logits. */
static void pooling(void **state) {
    (void)state;
    struct parts f;
    struct model_file mf;
    small_file(&f);
    for (uint32_t i = 0; i < 5; i++) {
        set_u32(&f, "llama.pooling_type", i);
        assert_ok(open_parts(&mf, &f));
        model_file_close(&mf);
    }
    set_text(&f, "llama.pooling_type", "last");
    assert_bad(&f, "llama.pooling_type");
}

/* Weights beside a tokenizer of another kind: taken, and why the tokenizer is not is known. A file
 * that is nothing but a vocabulary is refused. */
static void other_tokenizers(void **state) {
    (void)state;
    struct parts f;
    struct model_file mf;
    small_file(&f);
    set_text(&f, "tokenizer.ggml.model", "t5");
    assert_ok(open_parts(&mf, &f));
    assert_null(mf.vocab);
    assert_non_null(strstr(mf.tokenizer_problem, "\"t5\""));
    assert_null(strstr(mf.config, "tokenizer.ggml")); /* not kept piece by piece */
    model_file_close(&mf);
    f.n_t = 0;
    f.data = 0;
    assert_bad(&f, "\"t5\"");
}

/* Parts of a split model, of which only the first has the keys of a model. */
static void parts_of_models(void **state) {
    (void)state;
    struct parts f;
    small_file(&f);
    set_raw(&f, "split.count", U16, "\2\0", 2);
    set_raw(&f, "split.no", U16, "\0\0", 2);
    assert_bad(&f, "part 1 of a model in 2 files");
    struct parts second = {.version = 3, .align = 32};
    set_raw(&second, "split.no", U16, "\1\0", 2);
    set_raw(&second, "split.count", U16, "\2\0", 2);
    add_info(&second, "output_norm.weight", 8, 0);
    assert_bad(&second, "part 2 of a model in 2 files");
    set_raw(&second, "split.count", U32, "\2\0\0\0", 4);
    assert_bad(&second, "split.count");
}

/* Cut anywhere, a file of all of the above is refused. */
static void cut(void **state) {
    (void)state;
    struct parts f;
    struct model_file mf;
    size_t size;
    small_file(&f);
    grow(&f);
    set_array(&f, "llama.attention.head_count", U32, 3, (uint32_t[]){2, 2, 2}, 12);
    set_array(&f, "tokenizer.ggml.tokens", STRING, 3, "\0<s>\0</s>", 0);
    set_array(&f, "tokenizer.ggml.token_type", I32, 3, (int32_t[]){0, 3, 3}, 12);
    set_u32(&f, "tokenizer.ggml.eot_token_id", 3);
    set_u32(&f, "llama.pooling_type", 3);
    uint8_t *data = render(&f, &size);
    assert_ok(open_bytes(&mf, data, size, false));
    model_file_close(&mf);
    for (size_t n = 0; n + 32 <= size; n++) assert_refused(data, n, false, "");
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_ids),         cmocka_unit_test(ids_beyond),
        cmocka_unit_test(empty_tokens),     cmocka_unit_test(lists),
        cmocka_unit_test(pooling),          cmocka_unit_test(other_tokenizers),
        cmocka_unit_test(parts_of_models),  cmocka_unit_test(cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
