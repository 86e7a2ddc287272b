/* Token shards from any bytes. The first byte says how: as a shard (bit 0 puts its checksums right,
 * which no fuzzer would guess; bit 1 verifies), with bit 2 as headerless tokens, or with bit 3 as a
 * text, plain, gzip or zstd, that is made into a shard which must give the text back, and into
 * documents. */
#include "fuzz.h"

#include "batch.h"
#include "docs.h"
#include "shard.h"
#include "shard_format.h"
#include "textin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

static void repair(uint8_t *file, size_t size) {
    struct shard_header h;
    if (size < sizeof h) return;
    memcpy(&h, file, sizeof h);
    memcpy(h.magic, SHARD_MAGIC, sizeof h.magic);
    uint64_t bytes[SHARD_SECTIONS] = {h.n_tokens * h.width, h.n_docs * 8, h.n_docs * 8,
                                      h.n_docs * 8};
    for (int i = 0; i < SHARD_SECTIONS; i++)
        if (h.offset[i] && h.offset[i] <= size && bytes[i] <= size - h.offset[i])
            h.xxh3[i] = XXH3_64bits(file + h.offset[i], bytes[i]);
    h.header_xxh3 = XXH3_64bits(&h, offsetof(struct shard_header, header_xxh3));
    memcpy(file, &h, sizeof h);
}

/* Everything that was accepted can be used. */
static void use(const struct shard *s, bool verified) {
    uint64_t sum = 0, bytes = 0;
    must(s->n_docs > 0 && s->n_docs <= s->n_tokens && s->docs[0] == 0 && s->vocab > 0);
    for (uint64_t i = 0; i < s->n_tokens; i++) {
        must(!verified || shard_token(s, i) < s->vocab);
        sum += shard_token(s, i);
    }
    for (uint64_t i = 0; i < s->n_docs; i++) {
        must(s->docs[i] < s->n_tokens && (i == 0 || s->docs[i] > s->docs[i - 1]));
        must(!s->doc_bits || s->doc_bits[i] >= 0);
        bytes += s->doc_bytes[i];
    }
    must(bytes == s->n_bytes);
    struct split train, val;
    struct err e = {0};
    const int64_t T = 1 + (int64_t)(sum % 7);
    uint32_t input[7], target[7];
    if (refused(split_make(s, "data", (double)(sum % 10) / 10, T, &train, &val, &e), &e)) return;
    must(train.end == val.begin && val.end == s->n_tokens);
    for (int order = 0; order < 2; order++) {
        struct batcher b = {s, train, T, sum, order ? BATCH_EPOCH : BATCH_RANDOM};
        for (uint64_t i = 0; i < 20; i++) batch_row(&b, i * sum, input, target);
    }
    uint64_t n = val_rows(&val, T, 5);
    for (uint64_t i = 0; i < n; i++) val_row(s, &val, T, n, i, input, target);
}

static void open_file(const char *path, enum shard_kind kind, bool verify) {
    struct shard s;
    struct err e = {0};
    shard_probe(path);
    if (refused(shard_open(&s, path, kind, 300, verify, NULL, &e), &e)) return;
    use(&s, verify || kind == SHARD_RAW16);
    shard_close(&s);
}

/* The byte tokenizer's shard of a text, decoded, is the text. A trailer is left out of it. */
static void check_text(const struct tokenizer *t, const struct shard *s, const char *path) {
    struct textin in;
    struct tok_bytes text = {0};
    struct err e = {0};
    uint32_t *ids = malloc(s->n_tokens * sizeof *ids);
    must(ids && textin_open(&in, path, &e) == 0);
    for (uint64_t i = 0; i < s->n_tokens; i++) ids[i] = shard_token(s, i);
    must(tokenizer_decode(t, ids, s->n_tokens, true, &text, &e) == 0);
    char *found = malloc(text.n + 1);
    size_t got = 0;
    must(found && textin_read(&in, found, text.n, &got, &e) == 0);
    must(got == text.n && !memcmp(found, text.data, got));
    must(textin_read(&in, found, 1, &got, &e) == 0 && (got == 0 || s->doc_bits));
    textin_close(&in);
    free(found);
    free(text.data);
    free(ids);
}

/* The same text as documents: those of eval --exact, in their order, without blanks around them. */
static void check_docs(const char *path) {
    static const char blanks[] = " \t\n\v\f\r";
    struct docs d = {0};
    struct err e = {0};
    size_t end = 0;
    if (!refused(docs_read(&d, &path, 1, &e), &e)) must(d.n > 0);
    for (size_t i = 0; i < d.n && !e.code; i++) {
        const struct doc_span *s = d.spans + i;
        must(s->bytes > 0 && s->offset >= end + s->before && s->offset <= d.bytes);
        end = s->offset + s->bytes;
        must(s->bytes <= d.bytes - s->offset);
        must(!memchr(blanks, d.text[s->offset], 6) && !memchr(blanks, d.text[end - 1], 6));
    }
    docs_release(&d);
}

static void build_text(const char *path) {
    static struct tokenizer *t;
    static char out[64];
    struct err e = {0};
    struct shard s;
    struct shard_stats stats;
    if (!t) {
        must(tokenizer_open(&t, "byte", &e) == 0);
        snprintf(out, sizeof out, "/dev/shm/duet-fuzz-%d", (int)getpid());
    }
    if (refused(shard_build(t, NULL, &path, 1, out, NULL, NULL, &stats, &e), &e)) {
        must(!file_exists(out));
        return;
    }
    must(shard_open(&s, out, SHARD_DUET, 0, true, NULL, &e) == 0);
    must(s.n_tokens == stats.tokens && s.n_bytes == stats.bytes && s.n_docs == stats.docs);
    use(&s, true);
    check_text(t, &s, path);
    shard_close(&s);
    unlink(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int fd = -1;
    char path[32];
    if (size == 0) return 0;
    if (fd < 0) fd = memfd_create("fuzz", 0);
    uint8_t *file = malloc(size);
    must(file && fd >= 0);
    memcpy(file, data + 1, size - 1);
    if (data[0] & 1 && !(data[0] & 8)) repair(file, size - 1);
    must(ftruncate(fd, 0) == 0 && pwrite(fd, file, size - 1, 0) == (ssize_t)(size - 1));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (data[0] & 8) {
        build_text(path);
        check_docs(path);
    } else {
        open_file(path, data[0] & 4 ? SHARD_RAW16 : SHARD_DUET, data[0] & 2);
    }
    free(file);
    return 0;
}
