/* BLZT v4 and v5 from any bytes. The first byte says how: bit 0 puts the size and the checksum of a
 * v5 header right, which no fuzzer would guess, bit 1 verifies the data. */
#include "fuzz_model.h"

#include <xxhash.h>

static void repair(uint8_t *file, size_t size) {
    static const uint8_t magic[8] = {0x54, 0x5a, 0x4c, 0x42, 5, 0, 0, 0};
    uint64_t header, xxh3, total = size;
    if (size < 32 || memcmp(file, magic, sizeof magic) != 0) return;
    memcpy(file + 24, &total, sizeof total);
    memcpy(&header, file + 8, sizeof header);
    if (header > size - 32) return;
    xxh3 = XXH3_64bits(file + 32, (size_t)header);
    memcpy(file + 16, &xxh3, sizeof xxh3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    uint8_t *file = malloc(size);
    if (!file) return 0;
    memcpy(file, data + 1, size - 1);
    if (data[0] & 1) repair(file, size - 1);
    fuzz_open(file, size - 1, data[0] & 2);
    free(file);
    return 0;
}
