/* SentencePiece's ModelProto, written a second time for the tests. */
#ifndef DUET_SPM_FIXTURE_H
#define DUET_SPM_FIXTURE_H

#include "vocab.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct proto {
    uint8_t b[1 << 16];
    size_t n;
};

static inline void put_varint(struct proto *p, uint64_t v) {
    while (v > 127) p->b[p->n++] = (uint8_t)(v % 128 + 128), v /= 128;
    p->b[p->n++] = (uint8_t)v;
}

static inline void put_int(struct proto *p, unsigned field, int64_t v) {
    put_varint(p, field * 8);
    put_varint(p, (uint64_t)v);
}

static inline void put_text(struct proto *p, unsigned field, const void *s, size_t n) {
    put_varint(p, field * 8 + 2);
    put_varint(p, n);
    memcpy(p->b + p->n, s, n);
    p->n += n;
}

static inline void put_piece(struct proto *p, const char *s, float score, int type) {
    struct proto in = {.n = 0};
    put_text(&in, 1, s, strlen(s));
    in.b[in.n++] = 2 * 8 + 5;
    memcpy(in.b + in.n, &score, 4);
    in.n += 4;
    if (type != VOCAB_NORMAL) put_int(&in, 3, type);
    put_text(p, 1, in.b, in.n);
}

/* The three pieces that come first nearly everywhere. */
static inline void start(struct proto *p) {
    p->n = 0;
    put_piece(p, "<unk>", 0, VOCAB_UNKNOWN);
    put_piece(p, "<s>", 0, VOCAB_CONTROL);
    put_piece(p, "</s>", 0, VOCAB_CONTROL);
}

static inline void put_bytes(struct proto *p) {
    for (unsigned b = 0; b < 256; b++) {
        char s[8];
        snprintf(s, sizeof s, "<0x%02X>", b);
        put_piece(p, s, 0, VOCAB_BYTE);
    }
}

struct spec {
    int model_type, fallback, prefix, squeeze, bos, eos;
};
static const struct spec plain = {2, 1, 1, 0, 1, 2};

static inline void put_specs(struct proto *p, struct spec s) {
    struct proto in = {.n = 0};
    put_int(&in, 3, s.model_type);
    put_text(&in, 7, "text", 4); /* not known: skipped */
    put_int(&in, 35, s.fallback);
    put_int(&in, 41, s.bos);
    put_int(&in, 42, s.eos);
    put_text(p, 2, in.b, in.n);
    in.n = 0;
    put_text(&in, 1, "identity", 8);
    put_int(&in, 3, s.prefix);
    put_int(&in, 4, s.squeeze);
    put_text(p, 3, in.b, in.n);
}

#endif
