/* What the tests of shards share: a folder for files, building with the byte tokenizer, random
 * text. Included by one .c file each. */
#ifndef DUET_SHARD_FIXTURE_H
#define DUET_SHARD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rng.h"
#include "shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define EOT "<|endoftext|>"

static char folder[] = "/tmp/duet-shard-XXXXXX";
static struct tokenizer *byte;
static struct pool *pool; /* that shards are built on; NULL: one thread */
static struct err e;

/* Helpers ------------------------------------------------------------------------------------- */

/* A name in the test's folder; a few are kept at a time. */
static inline const char *at(const char *name) {
    static char names[4][256];
    static int i;
    i = (i + 1) % 4;
    snprintf(names[i], sizeof names[i], "%s/%s", folder, name);
    return names[i];
}

static inline void put_file(const char *name, const void *data, size_t n) {
    unlink(at(name)); /* some file systems write out a file that is truncated and rewritten */
    FILE *f = fopen(at(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static inline char *get_file(const char *name, size_t *n) {
    struct file_map m;
    assert_int_equal(file_map_open(&m, at(name), &e), 0);
    char *data = malloc(m.size + 1);
    assert_non_null(data);
    memcpy(data, m.data, m.size);
    data[m.size] = 0;
    *n = m.size;
    file_map_close(&m);
    return data;
}

static inline size_t put_zst(const char *name, const char *text, size_t n, size_t n_frames) {
    size_t cap = ZSTD_compressBound(n) + n_frames * 64, used = 0;
    char *out = malloc(cap);
    assert_non_null(out);
    for (size_t i = 0; i < n_frames; i++) {
        size_t begin = n * i / n_frames, end = n * (i + 1) / n_frames;
        size_t got = ZSTD_compress(out + used, cap - used, text + begin, end - begin, 1);
        assert_false(ZSTD_isError(got));
        used += got;
    }
    put_file(name, out, used);
    free(out);
    return used;
}

static inline int build_from(const char *const *files, size_t n, const char *out) {
    struct shard_stats stats;
    return shard_build(byte, pool, files, n, out, NULL, NULL, &stats, &e);
}

static inline int build(const char *in, const char *out) {
    const char *files[1] = {at(in)};
    return build_from(files, 1, at(out));
}

/* Builds name.bin from a text and opens it. */
static inline struct shard shard_of(const char *text, size_t n) {
    struct shard s;
    put_file("text", text, n);
    assert_int_equal(build("text", "text.bin"), 0);
    assert_int_equal(shard_open(&s, at("text.bin"), SHARD_DUET, 0, true, NULL, &e), 0);
    return s;
}

static inline void assert_same_files(const char *a, const char *b) {
    size_t n, m;
    char *x = get_file(a, &n), *y = get_file(b, &m);
    assert_int_equal(n, m);
    assert_true(memcmp(x, y, n) == 0);
    free(x);
    free(y);
}

/* The tokens, written as text, are exactly this text. */
static inline void assert_text(const struct shard *s, const char *text, size_t n) {
    size_t pos = 0;
    for (uint64_t i = 0; i < s->n_tokens; i++) {
        uint32_t t = shard_token(s, i);
        if (t < 256) {
            assert_true(pos < n);
            if ((unsigned char)text[pos] != t) assert_int_equal((unsigned char)text[pos], t);
            pos++;
        } else {
            assert_true(n - pos >= 13);
            assert_memory_equal(text + pos, EOT, 13);
            pos += 13;
        }
    }
    assert_int_equal(pos, n);
}

/* Words, line breaks, runs of blanks, letters of other scripts, without utf8 also bytes that are no
 * UTF-8 (not every vocabulary has tokens for them), and documents of a few times doc_bytes. */
static inline char *random_text(uint64_t seed, size_t n, size_t doc_bytes, bool utf8) {
    static const char *const words[] = {"a",
                                        "the",
                                        " ",
                                        "\n",
                                        "\n\n",
                                        ".\n",
                                        " 12",
                                        "  ",
                                        "\r\n",
                                        "x",
                                        "don't",
                                        " one two",
                                        "\xc3\xa9",
                                        "\xe3\x80\x82\n",
                                        "\xe4\xba\xba",
                                        "\t",
                                        "\xe3\x80\x80",
                                        " <|endof",
                                        "text|>",
                                        "\n<|corpus",
                                        "<|corpus|>\n",
                                        "End.\nThen",
                                        "I'll",
                                        "\xff",
                                        "\x80\n"};
    struct rng r = rng_make(seed, RNG_TEST, n, doc_bytes, 0);
    char *text = malloc(n);
    assert_non_null(text);
    size_t used = 0;
    while (used + 32 < n) {
        const char *w = words[rng_below(&r, sizeof words / sizeof *words - (utf8 ? 2 : 0))];
        if (rng_below(&r, doc_bytes) < 3) w = EOT;
        memcpy(text + used, w, strlen(w));
        used += strlen(w);
    }
    memset(text + used, 'z', n - used);
    text[used] = '\n'; /* the last line is not like a trailer */
    return text;
}

/* Nothing is left behind, under the name or the temporary one. */
static inline void assert_refused(const char *name, int code, const char *word) {
    unlink(at("refused.bin"));
    int rc = build(name, "refused.bin");
    assert_int_equal(rc, code);
    assert_int_equal(e.code, code);
    if (!strstr(e.msg, word)) fail_msg("\"%s\" does not say \"%s\"", e.msg, word);
    assert_false(file_exists(at("refused.bin")));
    assert_false(file_exists(at("refused.bin.duet-tmp")));
}

static inline int setup(void **state) {
    (void)state;
    return !mkdtemp(folder) || tokenizer_open(&byte, "byte", &e);
}

static inline int teardown(void **state) {
    (void)state;
    char command[64];
    tokenizer_close(byte);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

#endif
