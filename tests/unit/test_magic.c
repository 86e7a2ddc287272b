/* Which objects of JSON are no text: files of tokenizers, models, adapters and runs, however much
 * of them is seen; documents in JSON are text. */
#include "err_fixture.h"

#include "magic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct magic *find(const char *text) {
    return magic_find(text, strlen(text));
}

static const struct {
    enum magic_kind kind;
    const char *is, *text;
} ours[] = {
    {MAGIC_TOKENIZER, "is a tokenizer",
     "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n"
     "  \"added_tokens\": [{\"id\": 0, \"content\": \"{}\\\"]\"}"},
    {MAGIC_TOKENIZER, "is a tokenizer",
     "{\"added_tokens\":[],\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\"}}\n"},
    {MAGIC_TOKENIZER, "is a tokenizer",
     "\xef\xbb\xbf{\"version\":\"1.0\",\"truncation\":null,\"padding\":{\"a\":[1,{\"b\":2}]},"},
    {MAGIC_RECORD, "is a part of a tokenizer",
     "{\"bos_token\": \"<s>\", \"chat_template\": \"{% for m in messages %}"},
    {MAGIC_RECORD, "is a part of a tokenizer",
     "{\"add_bos_token\":true,\"added_tokens_decoder\":{\"0\":{\"content\":\"<unk>\""},
    {MAGIC_RECORD, "is a part of a tokenizer",
     "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"unk_token\":\"<unk>\"}"},
    {MAGIC_RECORD, "is the index of a model's weights",
     "{\"metadata\": {\"total_size\": 9}, \"weight_map\": {\"model.norm.weight\": \"a\""},
    {MAGIC_RECORD, "is the configuration of an adapter",
     "{\"peft_type\": \"LORA\", \"r\": 8, \"lora_alpha\": 16}"},
    {MAGIC_DESCRIPTION, "is a model's description",
     "{\"architectures\": [\"LlamaForCausalLM\"], \"attention_bias\": false, "
     "\"hidden_size\": 64, \"model_type\": \"llama\"}"},
    {MAGIC_RECORD, "is how to generate",
     "{\"_from_model_config\": true, \"bos_token_id\": 1, \"transformers_version\": \"4.51\"}"},
    {MAGIC_OPTIONS, "is the options of a run",
     "{\"model\": \"a.json\", \"compact-vocab\": false, \"lora-targets\": \"q,v\", "
     "\"val-fraction\": 0.1, \"batch\": 8}"},
    {MAGIC_RECORD, "is a record of a run",
     "{\"step\": 0, \"rollbacks\": 0, \"key\": 3, \"losses\": [1.5, 2]}"},
    {MAGIC_RECORD, "is the vocabulary of a tokenizer",
     "{\"!\":0,\"\\\"\": 1 ,\"#\":2,\"$\":3,\"%\":4,\"&\":5,\"'\":6,\"(\":7,\n\")\":8\n,\"*\":9,"
     "\"+\":10,\",\":11,\"-\":12,\".\":13,\"/\":14,\"0\":15,\"1\":16,\"2\":1"},
};

static const char *const texts[] = {
    "", "{", "{}", "{\"", "{\"a", "{\"version\"", "[{\"version\":1,\"padding\":2,\"model\":3}]",
    "{\"text\": \"Once upon a time\", \"meta\": {\"model_type\": 1, \"hidden_size\": 2, "
    "\"vocab_size\": 3}}",
    "{\"version\": 1, \"model\": \"Once\", \"text\": \"a \\\"truncation\\\": \\\"padding\\\": \"}",
    /* an object a line: documents, whatever their keys */
    "{\"model_type\":\"llama\",\"hidden_size\":64,\"vocab_size\":9}\n"
    "{\"model_type\":\"llama\",\"hidden_size\":32,\"vocab_size\":9}\n",
    "{\"model_type\":\"llama\",\"hidden_size\":64,\"vocab_size\":9} is what it says",
    "{\"model_type\" \"hidden_size\": 1, \"vocab_size\": 2, \"architectures\": 3}",
    "{\"bos_token\": \"<s>\", \"text\": \"eos_token unk_token\"}",
    "{\"a\":0,\"b\":1,\"c\":2,\"d\":3,\"e\":4,\"f\":5,\"g\":6,\"h\":7,\"i\":8,\"j\":9}",
    "{\"the\":90,\"of\":80,\"a\":71,\"b\":3,\"c\":3,\"d\":3,\"e\":3,\"f\":3,\"g\":3,\"h\":3,"
    "\"i\":3,\"j\":3,\"k\":3,\"l\":3,\"m\":3,\"n\":3,\"o\":3}",
    "static int {\"version\": 1, \"padding\": 2, \"model\": 3}"};

static void by_keys(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        const struct magic *m = find(ours[i].text);
        if (!m || m->kind != ours[i].kind || !strstr(m->is, ours[i].is))
            fail_msg("%s: %s, expected %s", ours[i].text, m ? m->is : "text", ours[i].is);
        assert_true(magic_is_json(m));
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (find(texts[i])) fail_msg("%s %s", texts[i], find(texts[i])->is);
}

/* Every beginning, in a block of its own for the address sanitizer: text, or what the whole is. */
static void beginnings(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        for (size_t n = 0; n <= strlen(ours[i].text); n++) {
            char *copy = malloc(n ? n : 1);
            if (n) memcpy(copy, ours[i].text, n);
            const struct magic *m = magic_find(copy, n);
            if (m && !strstr(m->is, ours[i].is)) fail_msg("%.*s %s", (int)n, ours[i].text, m->is);
            free(copy);
        }
}

/* A shard of 6 or 7 bytes is one that was cut; a word is a word. */
static void shards(void **state) {
    (void)state;
    assert_null(find("DUET"));
    assert_null(find("DUETS"));
    assert_non_null(strstr(find("DUETSH")->is, "cut off"));
    assert_non_null(strstr(find("DUETSHR")->is, "cut off"));
    assert_null(find("DUETSHIP"));
    assert_null(find("DUETSOS"));
    assert_string_equal(find("DUETSHRD")->is, "is a token shard");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_keys), cmocka_unit_test(beginnings),
                                       cmocka_unit_test(shards)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
