/* Any bytes as a llama2.c tokenizer.bin, used on a text made of the last of them. */
#include "fuzz_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t text_n = size < 512 ? size : 512;
    char *text = malloc(text_n + 1);
    if (!text) return 0;
    memcpy(text, data + size - text_n, text_n);
    fuzz_open(data, size, text, text_n);
    free(text);
    return 0;
}
