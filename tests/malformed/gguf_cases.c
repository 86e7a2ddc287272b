/* GGUF: keys, dimensions, offsets and names. */
#include "gguf.h"

#include <math.h>
#include <stdlib.h>

#define FIRST "token_embd.weight"
#define LAST "output_norm.weight"
#define MATRIX "blk.0.attn_q.weight"

/* ---- header --------------------------------------------------------------------------------- */

static void no_magic(struct gguf *g) {
    g->magic = "GGUE";
}

static void one_kv_more(struct gguf *g) {
    g->extra_kv = 1;
}

static void one_kv_fewer(struct gguf *g) {
    g->extra_kv = UINT64_MAX;
}

static void one_tensor_more(struct gguf *g) {
    g->extra_tensors = 1;
}

static void one_tensor_fewer(struct gguf *g) {
    g->extra_tensors = UINT64_MAX;
}

/* ---- keys and plain values ------------------------------------------------------------------ */

/* llama.cpp PR 24263 */
static void empty_key(struct gguf *g) {
    kv_u32(g, "", 1);
}

/* llama.cpp PR 19856 */
static void key_twice(struct gguf *g) {
    struct bytes *b = kv_raw(g, "second");
    put_string(b, "llama.block_count");
    put_u32(b, U32);
    put_u32(b, 1);
}

/* llama.cpp PR 19856: value types below 0 and beyond the last */
static void type_negative(struct gguf *g) {
    kv_start(g, "some.key", UINT32_MAX);
}

static void type_unknown(struct gguf *g) {
    put_zeros(kv_start(g, "some.key", 13), 8);
}

static void key_not_utf8(struct gguf *g) {
    kv_u32(g, "some.\xff\xfe", 1);
}

static void key_control(struct gguf *g) {
    kv_u32(g, "some.\x1b[2J", 1);
}

static void bool_2(struct gguf *g) {
    kv_bool(g, "some.key", 2);
}

static void no_arch(struct gguf *g) {
    kv_drop(g, "general.architecture");
}

static void arch_unknown(struct gguf *g) {
    kv_text(g, "general.architecture", "mamba9");
}

static void arch_format(struct gguf *g) {
    kv_text(g, "general.architecture", "%s%s%n%n");
}

static void arch_empty(struct gguf *g) {
    kv_text(g, "general.architecture", "");
}

static void type_of_file(struct gguf *g) {
    kv_text(g, "general.type", "imatrix");
}

static void a_part(struct gguf *g) {
    struct bytes *b = kv_start(g, "split.count", U16);
    put_u8(b, 3);
    put_u8(b, 0);
}

/* llama.cpp PR 25596: general.alignment of another type than u32 */
static void align_u64(struct gguf *g) {
    put_u64(kv_start(g, "general.alignment", U64), 32);
}

static void align_string(struct gguf *g) {
    kv_text(g, "general.alignment", "32");
}

/* llama.cpp PR 25821: more blocks than its arrays have room for */
static void blocks_513(struct gguf *g) {
    kv_u32(g, "llama.block_count", 513);
}

static void blocks_huge(struct gguf *g) {
    kv_u32(g, "llama.block_count", INT32_MAX);
}

static void blocks_missing(struct gguf *g) {
    kv_drop(g, "llama.block_count");
}

static void blocks_i32(struct gguf *g) {
    put_u32(kv_start(g, "llama.block_count", I32), 1);
}

/* One number for each layer, and there is one layer. */
static void heads_array(struct gguf *g) {
    struct bytes *b = kv_array(g, "llama.attention.head_count", U32, 2);
    put_u32(b, 2);
    put_u32(b, 2);
}

static void heads_none(struct gguf *g) {
    kv_array(g, "llama.attention.head_count", U32, 0);
}

static void heads_text(struct gguf *g) {
    put_string(kv_array(g, "llama.attention.head_count", STRING, 1), "2");
}

static void heads_i64(struct gguf *g) {
    put_u64(kv_array(g, "llama.attention.head_count", I64, 1), 2);
}

static void heads_0(struct gguf *g) {
    put_u32(kv_array(g, "llama.attention.head_count", I32, 1), 0);
}

/* As converters write it for a pooled model and for layers that may differ. */
static void lists(struct gguf *g) {
    put_u32(kv_array(g, "llama.attention.head_count", I32, 1), 2);
    put_u32(kv_array(g, "llama.attention.head_count_kv", U32, 1), 1);
    put_u32(kv_array(g, "llama.feed_forward_length", U32, 1), 16);
    kv_u32(g, "llama.pooling_type", 3);
}

static const struct spoil valid_lists[] = {
    {"valid-lists", "sizes as lists of one layer", lists},
};

static void eps_nan(struct gguf *g) {
    kv_f32(g, "llama.attention.layer_norm_rms_epsilon", NAN);
}

static void eps_negative(struct gguf *g) {
    kv_f32(g, "llama.attention.layer_norm_rms_epsilon", -1);
}

static void theta_infinite(struct gguf *g) {
    kv_f32(g, "llama.rope.freq_base", INFINITY);
}

static void yarn(struct gguf *g) {
    kv_text(g, "llama.rope.scaling.type", "yarn");
    kv_f32(g, "llama.rope.scaling.factor", 4);
}

/* ---- tensors: dimensions -------------------------------------------------------------------- */

/* CVE-2024-21802: a fifth dimension is written beyond ne[4]. */
static void dims_5(struct gguf *g) {
    struct info *t = tensor(g, MATRIX);
    t->n_dims = 5;
    t->ne[4] = 1;
}

/* antirez/gguf-tools PR 28: beyond dim[8] */
static void dims_9(struct gguf *g) {
    struct info *t = tensor(g, MATRIX);
    t->n_dims = 9;
    for (int i = 2; i < 9; i++) t->ne[i] = 1;
}

static void dims_max(struct gguf *g) {
    tensor(g, MATRIX)->n_dims = UINT32_MAX;
}

static void dims_0(struct gguf *g) {
    tensor(g, LAST)->n_dims = 0;
}

static void dims_3(struct gguf *g) {
    struct info *t = tensor(g, MATRIX);
    t->n_dims = 3;
    t->ne[0] = WIDTH / 2;
    t->ne[2] = 2;
}

/* llama.cpp PR 25596: a dimension of 0 is divided by. */
static void ne_0(struct gguf *g) {
    struct info *t = tensor(g, LAST);
    t->ne[0] = 0;
    t->bytes = 0;
}

static void ne1_0(struct gguf *g) {
    struct info *t = tensor(g, MATRIX);
    t->ne[1] = 0;
    t->bytes = 0;
}

static void ne_negative(struct gguf *g) {
    tensor(g, MATRIX)->ne[1] = UINT64_MAX;
}

/* llama.cpp issue 27203: INT64_MAX x 2 x 1 x 1 of type I8 */
static void ne_i8(struct gguf *g) {
    struct info *t = tensor(g, LAST);
    t->n_dims = 4;
    t->ne[0] = INT64_MAX;
    t->ne[1] = 2;
    t->type = 24;
}

static void ne_f32(struct gguf *g) {
    struct info *t = tensor(g, LAST);
    t->n_dims = 4;
    t->ne[0] = INT64_MAX;
    t->ne[1] = 2;
}

/* llama.cpp PR 24759: the bytes fit in 64 bits, but not when they are padded. */
static void ne_padding(struct gguf *g) {
    tensor(g, LAST)->ne[0] = 4611686018427387903;
}

/* CVE-2026-33298: the bytes wrap by way of ne, the number of elements does not. */
static void nbytes_wrap(struct gguf *g) {
    struct info *t = tensor(g, MATRIX);
    t->ne[1] = ((uint64_t)1 << 59) + 2; /* x 8 x 4 bytes: 64 */
}

static void nbytes_wrap_f16(struct gguf *g) {
    struct info *t = tensor(g, MATRIX);
    t->ne[0] = (uint64_t)1 << 32;
    t->ne[1] = (uint64_t)1 << 31; /* 2^63 elements of 2 bytes: 0 */
    t->type = 1;
}

static void ne_wrap(struct gguf *g) {
    struct info *t = tensor(g, MATRIX);
    t->ne[0] = ((uint64_t)1 << 32) + WIDTH;
    t->ne[1] = (uint64_t)1 << 32; /* 2^64 + 2^35 elements */
}

/* CVE-2025-53630: sizes that are each possible, and wrap when they are summed. */
static void sum_wrap(struct gguf *g) {
    const uint64_t half = (uint64_t)1 << 61; /* elements: 2^63 bytes */
    struct info *a = tensor(g, "blk.0.ffn_gate.weight"), *b = tensor(g, "blk.0.ffn_up.weight");
    const uint64_t start = 8448 + 32 + 256 + 128 + 128 + 256 + 32;
    *a->ne = *b->ne = WIDTH;
    a->ne[1] = b->ne[1] = half / WIDTH;
    a->bytes = b->bytes = 0;
    b->offset_set = true;
    b->offset = start + half * 4;
}

/* CVE-2026-27940: bytes + overhead wraps, the bytes alone do not. */
static void overhead_wrap(struct gguf *g) {
    struct info *t = tensor(g, LAST);
    t->ne[0] = ((uint64_t)1 << 62) - 64; /* 2^64 - 256 bytes */
    t->bytes = 0;
}

/* CVE-2026-7482: the data is said to go beyond the end of the file. */
static void extent(struct gguf *g) {
    tensor(g, LAST)->ne[0] = 4096;
}

static void extent_one_row(struct gguf *g) {
    tensor(g, LAST)->bytes = 0;
}

static void extent_first(struct gguf *g) {
    tensor(g, FIRST)->ne[1] = 1u << 30;
}

/* ---- tensors: types, offsets, names --------------------------------------------------------- */

static void at(struct gguf *g, const char *name, uint64_t offset) {
    struct info *t = tensor(g, name);
    t->offset_set = true;
    t->offset = offset;
}

static void overlap(struct gguf *g) {
    at(g, MATRIX, 0);
}

static void gap(struct gguf *g) {
    at(g, LAST, (uint64_t)1 << 14);
    g->grow = 1 << 14;
}

static void unaligned(struct gguf *g) {
    at(g, LAST, 10817);
    g->grow = 1;
}

static void beyond(struct gguf *g) {
    at(g, LAST, (uint64_t)1 << 40);
}

static void offset_wrap(struct gguf *g) {
    at(g, LAST, UINT64_MAX - 31);
}

static void offset_negative(struct gguf *g) {
    at(g, FIRST, UINT64_MAX - 63);
}

static void name_64(struct gguf *g) {
    tensor_name(tensor(g, MATRIX),
                "blk.0.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
}

static void name_empty(struct gguf *g) {
    tensor_name(tensor(g, MATRIX), "");
}

static void name_twice(struct gguf *g) {
    tensor_name(tensor(g, "blk.0.attn_v.weight"), "blk.0.attn_k.weight");
}

static void name_unknown(struct gguf *g) {
    tensor_name(tensor(g, MATRIX), "blk.0.attn_z.weight");
}

static void name_nul(struct gguf *g) {
    struct info *t = tensor(g, MATRIX);
    t->name.p[t->name.n - 1] = 0;
}

static void name_huge(struct gguf *g) {
    struct info *t = tensor(g, MATRIX);
    bytes_free(&t->name);
    put_u64(&t->name, UINT64_MAX);
}

static void layer_beyond(struct gguf *g) {
    tensor_name(tensor(g, MATRIX), "blk.1.attn_q.weight");
}

/* The index of a layer that no table has room for, as in llama.cpp's control vectors. */
static void layer_huge(struct gguf *g) {
    tensor_name(tensor(g, MATRIX), "blk.99999999999999999999.attn_q.weight");
}

static void direction_huge(struct gguf *g) {
    kv_text(g, "general.architecture", "controlvector");
    tensor_name(tensor(g, FIRST), "direction.4294967295");
}

static void tensor_missing(struct gguf *g) {
    tensor_drop(g, "blk.0.ffn_up.weight");
}

static void rows_wrong(struct gguf *g) {
    struct info *t = tensor(g, "blk.0.ffn_up.weight");
    t->ne[1] = HIDDEN / 2;
    t->bytes /= 2;
}

static void one_byte_less(struct gguf *g) {
    g->grow = -1;
}

static void a_page_more(struct gguf *g) {
    g->grow = 4096;
}

static const struct spoil cases[] = {
    {"magic", "another magic", no_magic},
    {"kv-more", "one key more than there are", one_kv_more},
    {"kv-fewer", "one key fewer than there are", one_kv_fewer},
    {"tensors-more", "one tensor more than there are", one_tensor_more},
    {"tensors-fewer", "one tensor fewer than there are", one_tensor_fewer},
    {"llama-24263", "llama.cpp PR 24263: an empty key", empty_key},
    {"llama-19856-key", "llama.cpp PR 19856: a key twice", key_twice},
    {"llama-19856-type", "llama.cpp PR 19856: value type -1", type_negative},
    {"type-13", "value type 13", type_unknown},
    {"key-utf8", "a key that is not UTF-8", key_not_utf8},
    {"key-control", "a key with an escape sequence", key_control},
    {"bool-2", "a bool of 2", bool_2},
    {"arch-missing", "no architecture", no_arch},
    {"arch-unknown", "an unknown architecture", arch_unknown},
    {"arch-format", "an architecture of conversion specifiers", arch_format},
    {"arch-empty", "an empty architecture", arch_empty},
    {"type-of-file", "neither model nor adapter", type_of_file},
    {"split", "one part of several", a_part},
    {"llama-25596-align", "llama.cpp PR 25596: alignment as u64", align_u64},
    {"align-string", "alignment as a string", align_string},
    {"blocks-missing", "number of blocks missing", blocks_missing},
    {"blocks-i32", "number of blocks as i32", blocks_i32},
    {"heads-array", "numbers of heads for more layers than there are", heads_array},
    {"heads-list-empty", "numbers of heads of no layer", heads_none},
    {"heads-list-text", "numbers of heads as texts", heads_text},
    {"heads-list-i64", "numbers of heads as i64", heads_i64},
    {"heads-list-0", "no heads, in a list", heads_0},
    {"eps-nan", "an epsilon that is NaN", eps_nan},
    {"eps-negative", "an epsilon below 0", eps_negative},
    {"theta-infinite", "an infinite rotary base", theta_infinite},
    {"yarn", "yarn, which duet does not compute", yarn},
    {"cve-2024-21802", "CVE-2024-21802: 5 dimensions", dims_5},
    {"gguf-tools-28-dims", "gguf-tools PR 28: 9 dimensions", dims_9},
    {"dims-max", "2^32 - 1 dimensions", dims_max},
    {"dims-0", "no dimensions", dims_0},
    {"dims-3", "a matrix of 3 dimensions", dims_3},
    {"llama-25596-ne", "llama.cpp PR 25596: a dimension of 0", ne_0},
    {"ne1-0", "no rows", ne1_0},
    {"ne-negative", "-1 rows", ne_negative},
    {"llama-27203", "llama.cpp issue 27203: INT64_MAX x 2 of I8", ne_i8},
    {"llama-27203-f32", "INT64_MAX x 2 of F32", ne_f32},
    {"llama-24759", "llama.cpp PR 24759: 2^62 - 1 of F32", ne_padding},
    {"cve-2026-33298", "CVE-2026-33298: bytes of a tensor wrap", nbytes_wrap},
    {"cve-2026-33298-f16", "CVE-2026-33298: bytes of a tensor wrap to 0", nbytes_wrap_f16},
    {"ne-wrap", "the number of elements wraps", ne_wrap},
    {"cve-2025-53630", "CVE-2025-53630: the sum of sizes wraps", sum_wrap},
    {"cve-2026-27940", "CVE-2026-27940: size + overhead wraps", overhead_wrap},
    {"cve-2026-7482", "CVE-2026-7482: data beyond the file", extent},
    {"cve-2026-7482-row", "CVE-2026-7482: the last data is not there", extent_one_row},
    {"cve-2026-7482-first", "CVE-2026-7482: the first data is too long", extent_first},
    {"overlap", "two tensors in one place", overlap},
    {"gap", "a gap between tensors", gap},
    {"unaligned", "an unaligned offset", unaligned},
    {"beyond", "an offset beyond the file", beyond},
    {"offset-wrap", "an offset at the end of 64 bits", offset_wrap},
    {"offset-negative", "an offset below 0", offset_negative},
    {"name-64", "a tensor's name of 64 bytes", name_64},
    {"name-empty", "an empty tensor's name", name_empty},
    {"name-twice", "a tensor's name twice", name_twice},
    {"name-unknown", "an unknown tensor", name_unknown},
    {"name-nul", "a NUL in a tensor's name", name_nul},
    {"name-huge", "a tensor's name of 2^64 - 1 bytes", name_huge},
    {"layer-beyond", "a tensor of a layer beyond the last", layer_beyond},
    {"layer-huge", "a layer of 20 digits", layer_huge},
    {"direction-huge", "a control vector direction.4294967295", direction_huge},
    {"one-byte-less", "one byte less", one_byte_less},
    {"a-page-more", "a page more", a_page_more},
};

/* Right in themselves, but no model. */
static const struct spoil values[] = {
    {"tensor-missing", "a tensor is missing", tensor_missing},
    {"rows-wrong", "a tensor of half the rows", rows_wrong},
    {"llama-25821", "llama.cpp PR 25821: 513 blocks", blocks_513},
    {"blocks-huge", "2^31 - 1 blocks", blocks_huge},
};

/* The 65 bytes of llama.cpp PR 25596: a tensor "t" of 1 x 0 elements. */
static void published(void) {
    struct bytes b = {0};
    put_text(&b, "GGUF");
    put_u32(&b, 3);
    put_u64(&b, 1);
    put_u64(&b, 0);
    put_string(&b, "t");
    put_u32(&b, 2);
    put_u64(&b, 1);
    put_u64(&b, 0);
    put_zeros(&b, 12);
    emit(NO_MODEL, "llama-25596.gguf", &b, "llama.cpp PR 25596: the published file");
}

/* Cut within every part. */
static void cuts(void) {
    static const struct {
        const char *path, *label;
        size_t n;
    } at[] = {{"cut-3.gguf", "cut within the magic", 3},
              {"cut-8.gguf", "cut behind the version", 8},
              {"cut-23.gguf", "cut within the counts", 23},
              {"cut-24.gguf", "cut behind the header", 24},
              {"cut-40.gguf", "cut within a key", 40},
              {"cut-500.gguf", "cut within the keys", 500},
              {"cut-4000.gguf", "cut within the vocabulary", 4000},
              {"cut-16000.gguf", "cut within the data", 16000}};
    static struct gguf g;
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        struct bytes b;
        gguf_valid(&g, false);
        gguf_make(&g, &b);
        if (at[i].n >= b.n) abort();
        b.n = at[i].n;
        emit(NO_MODEL, at[i].path, &b, at[i].label);
    }
}

void make_gguf(void) {
    static struct gguf g;
    gguf_valid(&g, false);
    gguf_emit(MODEL, "valid", &g, "a valid GGUF");
    gguf_valid(&g, true);
    gguf_emit(MODEL, "valid-bpe", &g, "a valid GGUF with a vocabulary of gpt2's kind");
    gguf_cases(MODEL, false, valid_lists, sizeof valid_lists / sizeof *valid_lists);
    gguf_cases(NO_MODEL, false, cases, sizeof cases / sizeof *cases);
    gguf_cases(NO_CONVERT, false, values, sizeof values / sizeof *values);
    published();
    cuts();
}
