/* llama2.c (versions 0 and 1) and BLZT v4: a few numbers and f32 in a fixed order. */
#include "malformed.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    LAYER_COUNT = 2 * WIDTH * WIDTH + 2 * KV_WIDTH * WIDTH + 3 * HIDDEN * WIDTH + 2 * WIDTH,
    COUNT = VOCAB * WIDTH + LAYER_COUNT + WIDTH,
};

/* A number of the header by another one; grow: bytes more at the end. */
struct change {
    const char *name, *label;
    size_t at;
    int32_t value;
    long grow;
};

static void put_sizes(struct bytes *b) {
    const int32_t sizes[7] = {WIDTH, HIDDEN, 1, WIDTH / HEAD, KV_WIDTH / HEAD, VOCAB, CONTEXT};
    put(b, sizes, sizeof sizes);
}

static void version_0(struct bytes *b) {
    put_sizes(b);
    put_weights(b, COUNT + CONTEXT * HEAD);
}

static void version_1(struct bytes *b) {
    put_u32(b, 0x616b3432);
    put_u32(b, 1);
    put_sizes(b);
    put_u8(b, 1);
    put_zeros(b, 256 - b->n);
    put_weights(b, COUNT);
}

static void blzt4(struct bytes *b) {
    put_u32(b, 0x424C5A54);
    put_u32(b, 4);
    const int32_t sizes[] = {10, 20, 1, VOCAB, WIDTH, HIDDEN, WIDTH / HEAD, CONTEXT};
    put(b, sizes, sizeof sizes);
    put_f32(b, 1e-3f);
    put_f32(b, 2.5f);
    put_zeros(b, 24);
    const int32_t more[] = {10, 20, 10, KV_WIDTH / HEAD, HEAD, WIDTH};
    put(b, more, sizeof more);
    put_weights(b, 3 * COUNT);
}

/* Without a magic, sizes that cannot be are no model at all. */
static const struct change v0_cases[] = {
    {"v0-width-0.bin", "llama2.c v0: width 0", 0, 0, 0},
    {"v0-width-negative.bin", "llama2.c v0: a negative width", 0, -8, 0},
    {"v0-width-huge.bin", "llama2.c v0: width 2^31 - 8", 0, INT_MAX - 7, 0},
    {"v0-hidden-0.bin", "llama2.c v0: hidden size 0", 4, 0, 0},
    {"v0-hidden-huge.bin", "llama2.c v0: hidden size 2^31 - 1", 4, INT_MAX, 0},
    {"v0-layers-0.bin", "llama2.c v0: no layers", 8, 0, 0},
    {"v0-layers-negative.bin", "llama2.c v0: -1 layers", 8, -1, 0},
    {"v0-layers-huge.bin", "llama2.c v0: 2^31 - 1 layers", 8, INT_MAX, 0},
    {"v0-layers-2.bin", "llama2.c v0: a layer too many", 8, 2, 0},
    {"v0-heads-0.bin", "llama2.c v0: no heads", 12, 0, 0},
    {"v0-heads-3.bin", "llama2.c v0: 3 heads in a width of 8", 12, 3, 0},
    {"v0-heads-min.bin", "llama2.c v0: -2^31 heads", 12, INT_MIN, 0},
    {"v0-heads-8.bin", "llama2.c v0: heads of one", 12, 8, 0},
    {"v0-kv-0.bin", "llama2.c v0: no key heads", 16, 0, 0},
    {"v0-kv-3.bin", "llama2.c v0: more key heads than heads", 16, 3, 0},
    {"v0-vocab-0.bin", "llama2.c v0: no vocabulary", 20, 0, 0},
    {"v0-vocab-min.bin", "llama2.c v0: a vocabulary of -2^31", 20, INT_MIN, 0},
    {"v0-vocab-huge.bin", "llama2.c v0: a vocabulary of 2^31 - 1", 20, INT_MAX, 0},
    {"v0-untied.bin", "llama2.c v0: a classifier that is not there", 20, -VOCAB, 0},
    {"v0-context-0.bin", "llama2.c v0: context 0", 24, 0, 0},
    {"v0-context-huge.bin", "llama2.c v0: context 2^31 - 1", 24, INT_MAX, 0},
    {"v0-byte-less.bin", "llama2.c v0: one byte less", 0, WIDTH, -1},
    {"v0-byte-more.bin", "llama2.c v0: one byte more", 0, WIDTH, 1},
};

static const struct change v1_cases[] = {
    {"v1-version-2.bin", "llama2.c: version 2, of int8", 4, 2, 0},
    {"v1-version-0.bin", "llama2.c: version 0 with a magic", 4, 0, 0},
    {"v1-version-min.bin", "llama2.c: version -2^31", 4, INT_MIN, 0},
    {"v1-width-negative.bin", "llama2.c v1: a negative width", 8, -8, 0},
    {"v1-layers-huge.bin", "llama2.c v1: 2^31 - 1 layers", 16, INT_MAX, 0},
    {"v1-heads-0.bin", "llama2.c v1: no heads", 20, 0, 0},
    {"v1-kv-3.bin", "llama2.c v1: more key heads than heads", 24, 3, 0},
    {"v1-vocab-negative.bin", "llama2.c v1: a negative vocabulary", 28, -VOCAB, 0},
    {"v1-tied-2.bin", "llama2.c v1: tied 2", 36, 2, 0},
    {"v1-untied.bin", "llama2.c v1: a classifier that is not there", 36, 0, 0},
    {"v1-padding.bin", "llama2.c v1: bytes in the padding", 100, 1, 0},
    {"v1-byte-less.bin", "llama2.c v1: one byte less", 4, 1, -1},
    {"v1-byte-more.bin", "llama2.c v1: one byte more", 4, 1, 1},
};

static const struct change blzt4_cases[] = {
    {"b4-magic.blzt4", "BLZT v4: another magic", 0, 0x424C5A55, 0},
    {"b4-version-1.blzt4", "BLZT: version 1", 4, 1, 0},
    {"b4-lora.blzt4", "BLZT v4: the LoRA sidecar", 0, 0x4C4F5241, 0},
    {"b4-version-6.blzt4", "BLZT: version 6", 4, 6, 0},
    {"b4-step.blzt4", "BLZT v4: a negative step", 8, -1, 0},
    {"b4-layers-0.blzt4", "BLZT v4: no layers", 16, 0, 0},
    {"b4-layers-negative.blzt4", "BLZT v4: -1 layers", 16, -1, 0},
    {"b4-layers-huge.blzt4", "BLZT v4: 2^31 - 1 layers", 16, INT_MAX, 0},
    {"b4-vocab-0.blzt4", "BLZT v4: no vocabulary", 20, 0, 0},
    {"b4-vocab-huge.blzt4", "BLZT v4: a vocabulary of 2^31 - 1", 20, INT_MAX, 0},
    {"b4-width-0.blzt4", "BLZT v4: width 0", 24, 0, 0},
    {"b4-width-min.blzt4", "BLZT v4: width -2^31", 24, INT_MIN, 0},
    {"b4-hidden-huge.blzt4", "BLZT v4: hidden size 2^31 - 1", 28, INT_MAX, 0},
    {"b4-heads-0.blzt4", "BLZT v4: no heads", 32, 0, 0},
    {"b4-heads-huge.blzt4", "BLZT v4: 2^31 - 1 heads", 32, INT_MAX, 0},
    {"b4-context-0.blzt4", "BLZT v4: context 0", 36, 0, 0},
    {"b4-kv-0.blzt4", "BLZT v4: no key heads", 84, 0, 0},
    {"b4-kv-3.blzt4", "BLZT v4: more key heads than heads", 84, 3, 0},
    {"b4-head-dim-3.blzt4", "BLZT v4: heads of 3", 88, 3, 0},
    {"b4-head-dim-huge.blzt4", "BLZT v4: heads of 2^31 - 2", 88, INT_MAX - 1, 0},
    {"b4-q-dim.blzt4", "BLZT v4: q_dim is not n_heads x head_dim", 92, 12, 0},
    {"b4-byte-less.blzt4", "BLZT v4: one byte less", 4, 4, -1},
    {"b4-byte-more.blzt4", "BLZT v4: one byte more", 4, 4, 1},
    {"b4-header.blzt4", "BLZT v4: half a header", 4, 4, 48 - 96 - 12 * COUNT},
};

static void family(const char *valid, const char *label, void (*make)(struct bytes *b),
                   const struct change *c, size_t n) {
    struct bytes b = {0};
    make(&b);
    emit(MODEL, valid, &b, label);
    for (size_t i = 0; i < n; i++) {
        make(&b);
        if (c[i].at == 36 && make == version_1)
            b.p[36] = (unsigned char)c[i].value;
        else
            set_u32(&b, c[i].at, (uint32_t)c[i].value);
        if (c[i].grow > 0) put_zeros(&b, (size_t)c[i].grow);
        if (c[i].grow < 0) b.n -= (size_t)-c[i].grow;
        emit(NO_MODEL, c[i].name, &b, c[i].label);
    }
}

#define ALL(list) list, sizeof list / sizeof *list

void make_fixed(void) {
    struct bytes b = {0};
    family("valid-v0.bin", "a valid llama2.c v0", version_0, ALL(v0_cases));
    family("valid-v1.bin", "a valid llama2.c v1", version_1, ALL(v1_cases));
    family("valid.blzt4", "a valid BLZT v4", blzt4, ALL(blzt4_cases));
    emit(NO_MODEL, "empty.bin", &b, "an empty file");
    put_u8(&b, 'G');
    emit(NO_MODEL, "one-byte.gguf", &b, "a file of one byte");
    put_zeros(&b, 4096);
    emit(NO_MODEL, "zeros.gguf", &b, "4096 bytes of 0");
}
