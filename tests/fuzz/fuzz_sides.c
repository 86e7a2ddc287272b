/* The files that lie around a vocabulary, from any bytes. The first byte says how: bit 0, a
 * tokenizer.model with tokenizer_config.json, added_tokens.json and special_tokens_map.json beside
 * it; else vocab.json, merges.txt and the three, with bits 1 to 3 as the pre-tokenizer's name.
 * Texts end at NUL, an empty one is a file that is not there; the last is what the tokenizer is
 * used on. */
#include "fuzz_tokenizer.h"
#include "vocab.h"

#include <stdio.h>

/* The next text, a block of exactly its size; NULL: there is none. */
static struct tok_text part(const uint8_t **data, size_t *size, char **own) {
    const uint8_t *end = *size ? memchr(*data, 0, *size) : NULL;
    const size_t n = end ? (size_t)(end - *data) : *size;
    *own = n ? malloc(n) : NULL;
    must(!n || *own);
    if (n) memcpy(*own, *data, n);
    *data += n + (end != NULL);
    *size -= n + (end != NULL);
    return (struct tok_text){*own, n};
}

/* A tokenizer.model of <unk>, <s>, </s>, all bytes, and three words. */
static const void *small_model(size_t *n) {
    static void *blob;
    static size_t bytes;
    static const char *const words[] = {"<unk>", "<s>", "</s>", "▁", "a", "▁a"};
    enum { SPECIAL = 3, WORDS = 6, N = WORDS + 256 };
    static struct vocab_text tokens[N];
    static uint8_t types[N];
    static float scores[N];
    static char names[256][8];
    struct err e = {0};
    struct vocab v = {.model = VOCAB_SPM,
                      .n = N,
                      .tokens = tokens,
                      .types = types,
                      .scores = scores,
                      .bos = 1,
                      .eos = 2,
                      .unk = 0,
                      .pad = -1,
                      .add_bos = true,
                      .add_space_prefix = true};
    *n = bytes;
    if (blob) return blob;
    for (int i = 0; i < N; i++) {
        const int byte = i < SPECIAL || i >= SPECIAL + 256 ? -1 : i - SPECIAL;
        const char *s = byte >= 0 ? names[byte] : words[i < SPECIAL ? i : i - 256];
        if (byte >= 0) snprintf(names[byte], sizeof names[byte], "<0x%02X>", (unsigned)byte);
        tokens[i] = (struct vocab_text){s, (uint32_t)strlen(s)};
        types[i] = byte >= 0 ? VOCAB_BYTE
                   : i       ? i < SPECIAL ? VOCAB_CONTROL : VOCAB_NORMAL
                             : VOCAB_UNKNOWN;
        scores[i] = byte >= 0 || i < SPECIAL ? 0 : -(float)i;
    }
    must(!tokenizer_blob_from_vocab(&v, "fuzz", &blob, &bytes, &e));
    *n = bytes;
    return blob;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const pres[] = {NULL,    "gpt-2", "smollm",  "llama-bpe",
                                       "qwen2", "",      "default", "x"};
    enum { PARTS = 6 };
    char *own[PARTS] = {0};
    struct tok_text text[PARTS] = {0};
    struct err e = {0};
    void *blob = NULL;
    size_t n = 0, model_n;
    if (size < 1) return 0;
    const int how = *data++;
    size--;
    for (int i = how & 1 ? 2 : 0; i < PARTS; i++) text[i] = part(&data, &size, &own[i]);
    const struct tok_sides sides = {.config = text[2], .added = text[3], .map = text[4]};
    const struct tok_merges m = {text[0], text[1], sides, pres[how >> 1 & 7]};
    const void *model = small_model(&model_n);
    const int rc = how & 1
                       ? tokenizer_blob_from_model(model, model_n, &sides, "fuzz", &blob, &n, &e)
                       : tokenizer_blob_from_merges(&m, "fuzz", &blob, &n, &e);
    must(rc == 0 || (rc == e.code && e.msg[0] && !blob));
    if (blob) fuzz_open(blob, n, text[5].s ? text[5].s : "", text[5].n);
    free(blob);
    for (int i = 0; i < PARTS; i++) free(own[i]);
    return 0;
}
