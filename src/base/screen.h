/* Text of models and files, to whom it may be shown. */
#ifndef DUET_SCREEN_H
#define DUET_SCREEN_H

#include <stddef.h>
#include <stdio.h>

/* The bytes as they are; on a terminal, whole characters of UTF-8 (others pass), where control
 * characters that are no line break and no tab stand as \x1b or \u009b, so that none of them does
 * anything. */
void screen_write(FILE *f, const char *text, size_t n);

#endif
