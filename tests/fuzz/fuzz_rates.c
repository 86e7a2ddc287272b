/* A history of rates from any bytes: what is made of it is small, can be read, and has the rate. */
#include "fuzz.h"

#include "rate_history.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *next = NULL, *again = NULL;
    const double usual = rate_history_text((const char *)data, size, "key", 5, &next);
    must(usual >= 0 && usual < 1e12);
    must(next && strlen(next) < 1 << 17);
    must(strstr(next, "\"key\": [") != NULL);
    must(rate_history_text(next, strlen(next), "key", 5, &again) >= 0);
    must(again != NULL);
    free(next);
    free(again);
    return 0;
}
