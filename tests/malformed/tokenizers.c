/* tokenizer.json, SentencePiece's tokenizer.model and llama2.c's tokenizer.bin, as files of their
 * own. */
#include "malformed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tokenizer.json ------------------------------------------------------------------------- */

#define SPLIT                                                                                      \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"

#define ADDED                                                                                      \
    "[{\"id\":257,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"    \
    "\"normalized\":false,\"special\":true}]"
/* One more step in front of it. */
#define STEP(step) "{\"type\":\"Sequence\",\"pretokenizers\":[" step "," SPLIT "]}"

/* The bytes as tokens of ByteLevel, then "ab" and "<s>"; malloc()ed. */
static char *json_bpe(void) {
    struct bytes b = {0};
    put_text(&b,
             "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":" ADDED
             ",\"normalizer\":null,\"pre_tokenizer\":" SPLIT ",\"post_processor\":null,\"decoder\":"
             "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,"
             "\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
             "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,"
             "\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{");
    unsigned hidden = 0;
    for (unsigned i = 0; i < 256; i++) {
        char text[32];
        const bool plain = (i >= 33 && i <= 126) || (i >= 161 && i != 173);
        snprintf(text, sizeof text, "\"\\u%04x\":%u,", plain ? i : 256 + hidden++, i);
        put_text(&b, text);
    }
    put_text(&b, "\"ab\":256},\"merges\":[\"a b\"]}}");
    put_u8(&b, 0);
    return (char *)b.p;
}

/* Llama 2's kind: byte fallback and a blank that is a letter; malloc()ed. */
static char *json_fallback(void) {
    struct bytes b = {0};
    put_text(
        &b,
        "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[{\"id\":0,"
        "\"content\":\"<unk>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
        "\"normalized\":false,\"special\":true}],\"normalizer\":{\"type\":\"Sequence\","
        "\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"},{\"type\":"
        "\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}]},"
        "\"pre_tokenizer\":null,\"post_processor\":null,\"decoder\":{\"type\":\"Sequence\","
        "\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"\\u2581\"},\"content\":"
        "\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":"
        "\" \",\"start\":1,\"stop\":0}]},\"model\":{\"type\":\"BPE\",\"dropout\":null,"
        "\"unk_token\":\"<unk>\",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":"
        "null,\"fuse_unk\":true,\"byte_fallback\":true,\"ignore_merges\":false,\"vocab\":{"
        "\"<unk>\":0,");
    for (unsigned i = 0; i < 256; i++) {
        char text[32];
        snprintf(text, sizeof text, "\"<0x%02X>\":%u,", i, i + 1);
        put_text(&b, text);
    }
    put_text(&b, "\"\\u2581\":257,\"a\":258,\"b\":259,\"ab\":260},\"merges\":[\"a b\"]}}");
    put_u8(&b, 0);
    return (char *)b.p;
}

#define AB "\"ab\":256}"
#define MERGES "\"merges\":[\"a b\"]"

static const struct swap bpe_cases[] = {
    {"tj-cut", "cut off", MERGES "}}", "\"merg"},
    {"tj-behind", "text behind the object", MERGES "}}", MERGES "}} x"},
    {"tj-utf8", "not UTF-8", "\"<s>\"", "\"\xff\xfe\""},
    {"tj-key-twice", "a token twice", AB, "\"ab\":256,\"ab\":256}"},
    {"tj-id-twice", "two tokens of one id", AB, "\"ab\":255}"},
    {"tj-id-negative", "a negative id", AB, "\"ab\":-1}"},
    {"tj-id-huge", "an id of 2^31", AB, "\"ab\":2147483648}"},
    {"tj-id-2-63", "an id beyond 63 bits", AB, "\"ab\":9223372036854775808}"},
    {"tj-id-large", "an id that makes a large table", AB, "\"ab\":2000000000}"},
    {"tj-id-real", "an id that is a real", AB, "\"ab\":256.0}"},
    {"tj-id-text", "an id that is a text", AB, "\"ab\":\"256\"}"},
    {"tj-vocab-list", "a vocabulary that is a list", "\"vocab\":{", "\"vocab\":[],\"v\":{"},
    {"tj-no-vocab", "no vocabulary", "\"vocab\":{", "\"vocap\":{"},
    {"tj-merge-left", "a merge of a token that is not there", MERGES, "\"merges\":[\"zz b\"]"},
    {"tj-merge-right", "a merge with a token that is not there", MERGES, "\"merges\":[\"a zz\"]"},
    {"tj-merge-result", "a merge to a token that is not there", MERGES, "\"merges\":[\"a c\"]"},
    {"tj-merge-one", "a merge of one part", MERGES, "\"merges\":[\"ab\"]"},
    {"tj-merge-three", "a merge of three parts", MERGES, "\"merges\":[[\"a\",\"b\",\"c\"]]"},
    {"tj-merge-number", "a merge that is a number", MERGES, "\"merges\":[7]"},
    {"tj-merges-text", "merges that are a text", MERGES, "\"merges\":\"a b\""},
    {"tj-model", "an unknown model", "\"type\":\"BPE\"", "\"type\":\"Neural\""},
    {"tj-model-escape", "an escape sequence in the kind of model", "\"type\":\"BPE\"",
     "\"type\":\"\\u001b[2J\\n\""},
    {"tj-merge-escape", "an escape sequence in a merge", MERGES,
     "\"merges\":[\"\\u001b[2J\\n b\"]"},
    {"tj-unigram", "a model of another kind", "\"type\":\"BPE\"", "\"type\":\"Unigram\""},
    {"tj-split-unknown", "an unknown pre-tokenizer", SPLIT, STEP("{\"type\":\"Magic\"}")},
    {"tj-split-number", "a pre-tokenizer that is a number", SPLIT, STEP("7")},
    {"tj-regex", "a pattern that is none", SPLIT,
     STEP("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a\"},\"behavior\":\"Isolated\",\"invert\":"
          "false}")},
    {"tj-regex-number", "a pattern that is a number", SPLIT,
     STEP("{\"type\":\"Split\",\"pattern\":{\"Regex\":7},\"behavior\":\"Isolated\",\"invert\":"
          "false}")},
    {"tj-behavior", "an unknown behaviour of a split", SPLIT,
     STEP("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Sideways\",\"invert\":"
          "false}")},
    {"tj-normalizer", "an unknown normalizer", "\"normalizer\":null",
     "\"normalizer\":{\"type\":\"Magic\"}"},
    {"tj-added-list", "added tokens that are an object", ADDED, "{}"},
    {"tj-added-id", "an added token of another token's id", "\"id\":257", "\"id\":3"},
    {"tj-added-huge", "an added token of id 2^31", "\"id\":257", "\"id\":2147483648"},
    {"tj-added-negative", "an added token of id -1", "\"id\":257", "\"id\":-1"},
    {"tj-added-empty", "an added token without a text", "\"<s>\"", "\"\""},
    {"tj-added-number", "an added token that is a number", "\"<s>\"", "7"},
};

static const struct swap fallback_cases[] = {
    {"tf-minus-1", "llama.cpp PR 25969: byte token <0x-1>", "\"<0x41>\"", "\"<0x-1>\""},
    {"tf-missing", "a byte without a token", "\"<0x41>\":66,", ""},
    {"tf-lower", "a byte token in another form", "\"<0x0A>\"", "\"<0x0a>\""},
    {"tf-unk", "an unknown token that is not there", "\"unk_token\":\"<unk>\"",
     "\"unk_token\":\"<none>\""},
};

static void json_cases(const char *text, const struct swap *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char path[64], label[128], *other = replaced(text, s[i].from, s[i].to);
        snprintf(path, sizeof path, "%s.json", s[i].name);
        snprintf(label, sizeof label, "tokenizer.json: %s", s[i].label);
        write_text(path, other);
        announce(NO_TOKENIZER, path, "-", label);
        free(other);
    }
}

static void whole(enum verdict v, const char *path, char *text, const char *label) {
    write_text(path, text);
    announce(v, path, "-", label);
    free(text);
}

#define ALL(list) list, sizeof list / sizeof *list

static void make_json(void) {
    char *bpe = json_bpe(), *fallback = json_fallback();
    json_cases(bpe, ALL(bpe_cases));
    json_cases(fallback, ALL(fallback_cases));
    whole(TOKENIZER, "valid-bpe.json", bpe, "a valid tokenizer.json");
    whole(TOKENIZER, "valid-fallback.json", fallback, "a valid tokenizer.json with byte fallback");
    whole(NO_TOKENIZER, "tj-deep.json", repeated("{\"model\":", "[", 1000000, ""),
          "tokenizer.json: a million brackets");
    whole(NO_TOKENIZER, "tj-deep-objects.json", repeated("", "{\"normalizer\":", 200000, ""),
          "tokenizer.json: 200,000 objects in each other");
}

/* ---- SentencePiece -------------------------------------------------------------------------- */

static void put_varint(struct bytes *b, uint64_t v) {
    for (; v >= 128; v >>= 7) put_u8(b, (uint8_t)(v | 128));
    put_u8(b, (uint8_t)v);
}

enum { VARINT = 0, FIXED64 = 1, LENGTH = 2, GROUP = 3, FIXED32 = 5 };

static void put_tag(struct bytes *b, unsigned field, unsigned wire) {
    put_varint(b, field << 3 | wire);
}

static void put_message(struct bytes *b, unsigned field, struct bytes *m) {
    put_tag(b, field, LENGTH);
    put_varint(b, m->n);
    put(b, m->p, m->n);
    bytes_free(m);
}

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, BYTE = 6 };

static void put_piece(struct bytes *b, const char *text, float score, unsigned type) {
    struct bytes m = {0};
    put_tag(&m, 1, LENGTH);
    put_varint(&m, strlen(text));
    put_text(&m, text);
    put_tag(&m, 2, FIXED32);
    put_f32(&m, score);
    put_tag(&m, 3, VARINT);
    put_varint(&m, type);
    put_message(b, 1, &m);
}

static void put_trainer(struct bytes *b, unsigned model_type) {
    struct bytes m = {0};
    put_tag(&m, 3, VARINT); /* model_type */
    put_varint(&m, model_type);
    put_tag(&m, 35, VARINT); /* byte_fallback */
    put_varint(&m, 1);
    put_message(b, 2, &m);
    put_tag(&m, 1, LENGTH); /* normalizer_spec: name */
    put_varint(&m, 8);
    put_text(&m, "identity");
    put_tag(&m, 4, VARINT); /* remove_extra_whitespaces */
    put_varint(&m, 0);
    put_message(b, 3, &m);
}

/* The three special pieces and the bytes. */
static void put_start(struct bytes *b) {
    put_piece(b, "<unk>", 0, UNKNOWN);
    put_piece(b, "<s>", 0, CONTROL);
    put_piece(b, "</s>", 0, CONTROL);
    for (unsigned i = 0; i < 256; i++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", i);
        put_piece(b, text, 0, BYTE);
    }
    put_piece(b, "\xe2\x96\x81", -1, NORMAL);
    put_piece(b, "a", -2, NORMAL);
}

static void end_valid(struct bytes *b) {
    put_piece(b, "b", -3, NORMAL);
    put_piece(b, "ab", -4, NORMAL);
    put_trainer(b, 2);
}

static void end_unigram(struct bytes *b) {
    put_piece(b, "b", -3, NORMAL);
    put_trainer(b, 1);
}

static void end_twice(struct bytes *b) {
    put_piece(b, "a", -3, NORMAL);
    put_trainer(b, 2);
}

static void end_empty(struct bytes *b) {
    put_piece(b, "", -3, NORMAL);
    put_trainer(b, 2);
}

static void end_utf8(struct bytes *b) {
    put_piece(b, "\xff\xfe", -3, NORMAL);
    put_trainer(b, 2);
}

static void end_nan(struct bytes *b) {
    put_piece(b, "b", NAN, NORMAL);
    put_trainer(b, 2);
}

static void end_byte(struct bytes *b) {
    put_piece(b, "<0x-1>", 0, BYTE);
    put_trainer(b, 2);
}

static void end_type(struct bytes *b) {
    put_piece(b, "b", -3, 9);
    put_trainer(b, 2);
}

/* A length that is longer than what is left, to the end of 64 bits. */
static void length_of(struct bytes *b, uint64_t n) {
    put_trainer(b, 2);
    put_tag(b, 1, LENGTH);
    put_varint(b, n);
    put_text(b, "abc");
}

static void end_length(struct bytes *b) {
    length_of(b, 100);
}

static void end_length_31(struct bytes *b) {
    length_of(b, (uint64_t)1 << 31);
}

static void end_length_max(struct bytes *b) {
    length_of(b, UINT64_MAX);
}

static void end_varint(struct bytes *b) {
    put_trainer(b, 2);
    put_tag(b, 1, LENGTH);
    for (int i = 0; i < 11; i++) put_u8(b, 0xFF);
    put_u8(b, 1);
}

static void end_cut(struct bytes *b) {
    end_valid(b);
    put_tag(b, 1, LENGTH);
    put_u8(b, 0x80);
}

static void end_wire(struct bytes *b) {
    end_valid(b);
    put_tag(b, 1, 7);
    put_u8(b, 0);
}

static void end_group(struct bytes *b) {
    end_valid(b);
    put_tag(b, 1, GROUP);
}

static void end_piece_number(struct bytes *b) {
    end_valid(b);
    put_tag(b, 1, VARINT);
    put_varint(b, 5);
}

static void end_inside(struct bytes *b) { /* a text that is longer than its piece */
    struct bytes m = {0};
    put_tag(&m, 1, LENGTH);
    put_varint(&m, 50);
    put_text(&m, "b");
    put_message(b, 1, &m);
    put_trainer(b, 2);
}

static const struct {
    const char *name, *label;
    void (*end)(struct bytes *b);
} pieces[] = {
    {"sp-unigram.model", "a model of another kind", end_unigram},
    {"sp-twice.model", "a piece twice", end_twice},
    {"sp-empty.model", "an empty piece", end_empty},
    {"sp-utf8.model", "a piece that is not UTF-8", end_utf8},
    {"sp-nan.model", "a score that is NaN", end_nan},
    {"sp-minus-1.model", "llama.cpp PR 25969: byte piece <0x-1>", end_byte},
    {"sp-type.model", "a piece of type 9", end_type},
    {"sp-length.model", "a length beyond the file", end_length},
    {"sp-length-31.model", "a length of 2^31", end_length_31},
    {"sp-length-max.model", "a length of 2^64 - 1", end_length_max},
    {"sp-varint.model", "a number of 12 bytes", end_varint},
    {"sp-cut.model", "cut within a number", end_cut},
    {"sp-wire.model", "an unknown wire type", end_wire},
    {"sp-group.model", "a group", end_group},
    {"sp-number.model", "a piece that is a number", end_piece_number},
    {"sp-inside.model", "a text longer than its piece", end_inside},
};

static void make_sentencepiece(void) {
    struct bytes b = {0};
    put_start(&b);
    end_valid(&b);
    emit(TOKENIZER, "valid.model", &b, "a valid SentencePiece model");
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        char label[96];
        put_start(&b);
        pieces[i].end(&b);
        snprintf(label, sizeof label, "SentencePiece: %s", pieces[i].label);
        emit(NO_TOKENIZER, pieces[i].name, &b, label);
    }
    put_trainer(&b, 2);
    emit(NO_TOKENIZER, "sp-none.model", &b, "SentencePiece: no pieces");
    put_piece(&b, "<unk>", 0, UNKNOWN);
    put_piece(&b, "a", 0, NORMAL);
    put_trainer(&b, 2);
    emit(NO_TOKENIZER, "sp-bytes.model", &b, "SentencePiece: byte fallback without bytes");
}

/* ---- tokenizer.bin -------------------------------------------------------------------------- */

static void put_entry(struct bytes *b, float score, uint32_t length, const char *text) {
    put_f32(b, score);
    put_u32(b, length);
    put_text(b, text);
}

static void put_bin(struct bytes *b, uint32_t longest) {
    static const char *const special[] = {"<unk>", "\n<s>\n", "\n</s>\n"};
    put_u32(b, longest);
    for (unsigned i = 0; i < 259; i++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (i - 3) & 255);
        const char *s = i < 3 ? special[i] : text;
        put_entry(b, 0, (uint32_t)strlen(s), s);
    }
    put_entry(b, -1, 1, "a");
}

static const struct {
    const char *name, *label;
    float score;
    uint32_t length;
    const char *text;
} entries[] = {{"tb-length.bin", "a token beyond the file", -2, 7, "b"},
               {"tb-length-0.bin", "an empty token", -2, 0, ""},
               {"tb-length-negative.bin", "a token of -1 bytes", -2, UINT32_MAX, "b"},
               {"tb-length-31.bin", "a token of 2^31 - 1 bytes", -2, 0x7FFFFFFF, "b"},
               {"tb-nan.bin", "a score that is NaN", NAN, 1, "b"},
               {"tb-infinite.bin", "an infinite score", INFINITY, 1, "b"}};

static void make_bin(void) {
    struct bytes b = {0};
    put_bin(&b, 6);
    put_entry(&b, -2, 1, "b");
    emit(TOKENIZER, "valid-tok.bin", &b, "a valid tokenizer.bin");
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        char label[96];
        put_bin(&b, 6);
        put_entry(&b, entries[i].score, entries[i].length, entries[i].text);
        snprintf(label, sizeof label, "tokenizer.bin: %s", entries[i].label);
        emit(NO_TOKENIZER, entries[i].name, &b, label);
    }
    put_bin(&b, 1000);
    emit(NO_TOKENIZER, "tb-longest.bin", &b, "tokenizer.bin: no token is as long as the longest");
    put_bin(&b, 6);
    put_u8(&b, 0);
    emit(NO_TOKENIZER, "tb-byte.bin", &b, "tokenizer.bin: a byte more");
    put_bin(&b, 6);
    b.n = 1000;
    emit(NO_TOKENIZER, "tb-cut.bin", &b, "tokenizer.bin: cut off");
}

void make_tokenizers(void) {
    make_json();
    make_sentencepiece();
    make_bin();
}
