/* llama2.c's .bin, versions 0 and 1, from any bytes. */
#include "fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_open(data, size, true);
    return 0;
}
