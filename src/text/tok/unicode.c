#include "unicode.h"

#include <pthread.h>
#include <utf8proc.h>

uint8_t unicode_table[UNICODE_TABLE];

static uint8_t class_of(int32_t cp) {
    if ((cp >= 9 && cp <= 13) || cp == 0x85) return UNICODE_SPACE;
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return UNICODE_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return UNICODE_NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return UNICODE_SPACE;
    default:
        return UNICODE_OTHER;
    }
}

static void fill(void) {
    for (int32_t cp = 0; cp < UNICODE_TABLE; cp++) unicode_table[cp] = class_of(cp);
}

void unicode_init(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill);
}
