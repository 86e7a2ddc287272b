/* Any bytes as a tokenizer.json, and a text behind the first NUL to use it on. */
#include "fuzz_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - data) : size;
    char *text = malloc(size - n + 1); /* without room behind, so that reads beyond the end show */
    size_t text_n = nul ? size - n - 1 : 0;
    if (!text) return 0;
    memcpy(text, data + size - text_n, text_n);
    fuzz_open(data, n, text, text_n);
    free(text);
    return 0;
}
