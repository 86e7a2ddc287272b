/* Numbers of duet's own binary files, little-endian on every machine, and how such a file begins:
 * eight bytes that say what it is, a version as u32, and a u32 somewhere that is 0. */
#ifndef DUET_BINARY_H
#define DUET_BINARY_H

#include "err.h"
#include "file.h"

#include <stdint.h>
#include <string.h>

/* The low bytes of x, 1 to 8 of them. */
static inline void binary_put(uint8_t *at, uint64_t x, int bytes) {
    for (int i = 0; i < bytes; i++) at[i] = (uint8_t)(x >> (8 * i));
}

static inline uint64_t binary_get(const uint8_t *at, int bytes) {
    uint64_t x = 0;
    for (int i = 0; i < bytes; i++) x |= (uint64_t)at[i] << (8 * i);
    return x;
}

static inline void binary_put_f32(uint8_t *at, float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    binary_put(at, bits, 4);
}

static inline float binary_f32(const uint8_t *at) {
    const uint32_t bits = (uint32_t)binary_get(at, 4);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline void binary_put_f64(uint8_t *at, double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    binary_put(at, bits, 8);
}

static inline double binary_f64(const uint8_t *at) {
    const uint64_t bits = binary_get(at, 8);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

struct binary_kind {
    const char *magic; /* 8 bytes */
    const char *is;    /* "a trajectory", for messages */
    int versions;      /* 1 to this can be read */
    size_t head, zero; /* bytes of the head; offset of the u32 in it that is 0 */
};

/* A head of that version, zeros behind magic and version. */
void binary_begin(uint8_t *head, const struct binary_kind *k, int version);

/* Does the file begin with one? *version: which. ERR_INPUT, with what was found at which offset. */
int binary_check(const struct file_map *m, const struct binary_kind *k, int *version,
                 struct err *e);

#endif
