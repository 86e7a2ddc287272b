/* Building token shards: documents, blocks and chunks, threads, memory, corpora with a trailer. */
#include "shard_fixture.h"

#include "clock.h"
#include "sanitized.h"
#include "stories.h"

#include <sys/wait.h>

/* Building ------------------------------------------------------------------------------------ */

static void small_text(void **state) {
    (void)state;
    static const char text[] = "One\n" EOT "\nTwo, too" EOT EOT "\nlast";
    struct shard s = shard_of(text, sizeof text - 1);
    assert_int_equal(s.width, 2);
    assert_int_equal(s.vocab, 257);
    assert_int_equal(s.tok_hash, tokenizer_hash(byte));
    assert_text(&s, text, sizeof text - 1);
    assert_int_equal(s.n_docs, 4);
    static const uint64_t starts[] = {0, 5, 15, 16}, bytes[] = {4, 9, 0, 5};
    assert_memory_equal(s.docs, starts, sizeof starts);
    assert_memory_equal(s.doc_bytes, bytes, sizeof bytes);
    assert_int_equal(s.n_tokens, 21);
    assert_int_equal(s.n_bytes, 18);
    assert_null(s.doc_bits);
    assert_true(shard_probe(at("text.bin")));
    assert_false(shard_probe(at("text")));
    assert_false(shard_probe(at("nothing")));
    shard_close(&s);
}

/* A rest of white space is part of the document before it, unless there is none. */
static void blank_rest(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t docs, last_bytes;
    } cases[] = {
        {"a" EOT "\n", 1, 2},
        {"a" EOT " \r\n\t", 1, 5},
        {"a" EOT "b" EOT "\n", 2, 2},
        {"a" EOT, 1, 1},
        {"\n", 1, 1},
        {"\n" EOT, 1, 1},
        {EOT, 1, 0},
        {EOT "\n", 1, 1},
        {EOT " x", 2, 2},
        {"a" EOT "\n.\n", 2, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct shard s = shard_of(cases[i].text, strlen(cases[i].text));
        assert_text(&s, cases[i].text, strlen(cases[i].text));
        assert_int_equal(s.n_docs, cases[i].docs);
        assert_int_equal(s.doc_bytes[s.n_docs - 1], cases[i].last_bytes);
        shard_close(&s);
    }
}

/* Every file ends a document; the separator is put between two files only where it is missing. */
static void several_files(void **state) {
    (void)state;
    put_file("a", "aa", 2);
    put_file("b", "bb" EOT "\n", 16);
    put_file("c", "cc" EOT, 15);
    put_file("d", "d\n", 2);
    char names[4][256];
    const char *files[4];
    for (int i = 0; i < 4; i++) {
        snprintf(names[i], sizeof names[i], "%s/%c", folder, 'a' + i);
        files[i] = names[i];
    }
    struct shard s;
    assert_int_equal(build_from(files, 4, at("abcd.bin")), 0);
    assert_int_equal(shard_open(&s, at("abcd.bin"), SHARD_DUET, 0, true, NULL, &e), 0);
    static const char whole[] = "aa" EOT "bb" EOT "\ncc" EOT "d\n";
    assert_text(&s, whole, sizeof whole - 1);
    static const uint64_t starts[] = {0, 3, 7, 10};
    assert_int_equal(s.n_docs, 4);
    assert_memory_equal(s.docs, starts, sizeof starts);
    assert_int_equal(s.n_bytes, 9);
    shard_close(&s);
}

/* Several blocks and chunks: the same tokens and documents as a plain scan of the text gives. */
static void large_text(void **state) {
    (void)state;
    const size_t n = ((size_t)9 << 20) + 12345;
    for (int k = 0; k < 2; k++) {
        /* k = 1: documents longer than a block */
        char *text = random_text(5, n, k ? 30000000 : 3000, false);
        if (k) memcpy(text + n - 5000, EOT, 13);
        struct shard s = shard_of(text, n);
        assert_text(&s, text, n);
        uint64_t doc = 0, tokens = 0, bytes = 0;
        for (size_t i = 0; i < n;) {
            size_t begin = i;
            const char *end = memmem(text + i, n - i, EOT, 13);
            size_t len = end ? (size_t)(end - text) - i : n - i;
            i += len + (end ? 13 : 0);
            if (!end && len == strspn(text + begin, " \t\r\n")) break; /* blank rest */
            assert_true(doc < s.n_docs);
            assert_int_equal(s.docs[doc], tokens);
            assert_int_equal(s.doc_bytes[doc], len);
            tokens += len + (end ? 1 : 0);
            bytes += len;
            doc++;
        }
        assert_int_equal(doc, s.n_docs);
        assert_int_equal(bytes, s.n_bytes);
        shard_close(&s);
        free(text);
    }
}

/* No line break and no blank in more than the largest block. */
static void endless_line(void **state) {
    (void)state;
    const size_t n = ((size_t)17 << 20) + 100;
    char *text = malloc(n);
    assert_non_null(text);
    for (size_t i = 0; i < n; i += 2) memcpy(text + i, "\xc3\xa9", 2);
    /* a separator across the end of the largest block must stay whole */
    memcpy(text + ((size_t)16 << 20) - 6, EOT, 13);
    struct shard s = shard_of(text, n);
    assert_text(&s, text, n);
    assert_int_equal(s.n_docs, 2);
    assert_int_equal(s.n_bytes, n - 13);
    shard_close(&s);
    free(text);
}

static void any_thread_count(void **state) {
    (void)state;
    const size_t n = 3000000;
    char *text = random_text(6, n, 20000, false);
    put_file("many", text, n);
    for (int i = 1; i <= 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "many%d", i);
        assert_int_equal(pool_open(&pool, i, &e), 0);
        assert_int_equal(build("many", name), 0);
        pool_close(pool);
        if (i > 1) assert_same_files("many1", name);
    }
    pool = NULL;
    free(text);
}

static uint64_t shown_done, shown_total;
static int shown;

static void show(void *ctx, uint64_t done, uint64_t total) {
    assert_ptr_equal(ctx, &shown);
    assert_true(done >= shown_done);
    shown_done = done;
    shown_total = total;
    shown++;
}

static void progress(void **state) {
    (void)state;
    char *text = random_text(7, 5000000, 5000, false);
    put_file("p", text, 5000000);
    size_t packed = put_zst("p.zst", text, 5000000, 1);
    struct shard_stats stats;
    char a[256], b[256];
    snprintf(a, sizeof a, "%s/p", folder);
    snprintf(b, sizeof b, "%s/p.zst", folder);
    const char *files[] = {a, b};
    assert_int_equal(shard_build(byte, NULL, files, 2, at("p.bin"), show, &shown, &stats, &e), 0);
    assert_true(shown >= 4);
    assert_int_equal(shown_total, 5000000 + packed);
    assert_int_equal(shown_done, shown_total);
    struct shard s;
    assert_int_equal(shard_open(&s, at("p.bin"), SHARD_DUET, 0, true, NULL, &e), 0);
    assert_int_equal(stats.tokens, s.n_tokens);
    assert_int_equal(stats.bytes, s.n_bytes);
    assert_int_equal(stats.docs, s.n_docs);
    shard_close(&s);
    free(text);
}

/* A process that builds a shard of 32 MB of text holds a few blocks of it, not the text and not its
 * tokens (64 MB and more). */
static void little_memory(void **state) {
    (void)state;
    if (SANITIZED) {
        print_message("skipped: sanitizers keep freed memory\n");
        skip();
    }
    const size_t n = (size_t)8 << 20;
    char *text = random_text(8, n, 3000, false);
    FILE *f = fopen(at("big.zst"), "wb");
    size_t cap = ZSTD_compressBound(n);
    void *packed = malloc(cap);
    assert_true(f && packed);
    size_t bytes = ZSTD_compress(packed, cap, text, n, 1);
    for (int i = 0; i < 4; i++) assert_int_equal(fwrite(packed, 1, bytes, f), bytes);
    fclose(f);
    free(packed);
    free(text);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        size_t before = clock_peak_rss();
        if (build("big.zst", "big.bin") != 0) _exit(1);
        size_t grown = clock_peak_rss() - before;
        fprintf(stderr, "32 MB of text, 64 MB of tokens: %.1f MB more memory\n",
                (double)grown / 1e6);
        _exit(grown < (size_t)40e6 ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A vocabulary of 70,000: 32-bit tokens. The format of llama2.c's tokenizer.bin. */
static void put_piece(FILE *f, float score, const char *piece) {
    int32_t n = (int32_t)strlen(piece);
    assert_int_equal(fwrite(&score, 4, 1, f), 1);
    assert_int_equal(fwrite(&n, 4, 1, f), 1);
    assert_int_equal(fwrite(piece, 1, (size_t)n, f), n);
}

static void wide_tokens(void **state) {
    (void)state;
    FILE *f = fopen(at("wide"), "wb");
    assert_non_null(f);
    int32_t longest = 6;
    assert_int_equal(fwrite(&longest, 4, 1, f), 1);
    put_piece(f, 0, "<unk>");
    put_piece(f, 0, "\n<s>\n");
    put_piece(f, 0, "\n</s>\n");
    for (int i = 3; i < 70000; i++) {
        char piece[16];
        snprintf(piece, sizeof piece, i < 259 ? "<0x%02X>" : "~%d", i < 259 ? i - 3 : i);
        if (i == 259 || i == 260 || i == 261) snprintf(piece, sizeof piece, "%c", "ab "[i - 259]);
        put_piece(f, (float)-i, i == 69999 ? "ab" : piece);
    }
    assert_int_equal(fclose(f), 0);
    struct tokenizer *t;
    struct shard_stats stats;
    struct shard s;
    if (tokenizer_open(&t, at("wide"), &e)) fail_msg("%s", e.msg);
    put_file("text", "abab" EOT "\nba", 20);
    const char *files[1] = {at("text")};
    assert_int_equal(shard_build(t, NULL, files, 1, at("wide.bin"), NULL, NULL, &stats, &e), 0);
    assert_int_equal(shard_open(&s, at("wide.bin"), SHARD_DUET, 0, true, NULL, &e), 0);
    static const uint32_t ids[] = {1, 261, 69999, 69999, 1, 261, 260, 259};
    assert_true(s.width == 4 && s.vocab == 70000 && s.n_docs == 2 && s.docs[1] == 4);
    assert_int_equal(s.n_tokens, sizeof ids / sizeof *ids);
    for (uint64_t i = 0; i < s.n_tokens; i++) assert_int_equal(shard_token(&s, i), ids[i]);
    assert_true(s.doc_bytes[0] == 4 && s.doc_bytes[1] == 2);
    shard_close(&s);
    tokenizer_close(t);
}

static void refuses_outputs(void **state) {
    (void)state;
    put_file("in", "text", 4);
    const char *files[1] = {at("in")};
    struct shard_stats stats;
    assert_int_equal(shard_build(byte, NULL, files, 1, files[0], NULL, NULL, &stats, &e),
                     ERR_USAGE);
    assert_int_equal(shard_build(byte, NULL, files, 1, "-", NULL, NULL, &stats, &e), ERR_USAGE);
    assert_int_equal(build_from(files, 1, at("no/such/folder")), ERR_IO);
    size_t n;
    char *text = get_file("in", &n);
    assert_string_equal(text, "text");
    free(text);
}

/* Corpora that carry their information -------------------------------------------------------- */

enum { STORIES = 3000 };

/* Documents with a trailer that says i / 8 bits of document i. */
static char *make_corpus(uint64_t seed, size_t *text_bytes, size_t *bytes, double *bits) {
    struct rng r = rng_make(seed, RNG_TEST, 0, 0, 0);
    char *corpus = malloc(STORIES * 80), *line;
    size_t n = 0, line_bytes;
    assert_non_null(corpus);
    for (int i = 0; i < STORIES; i++) {
        n += (size_t)sprintf(corpus + n, "Story %d was %llu words long.\nThe end." EOT "\n", i,
                             (unsigned long long)rng_below(&r, 100000));
        bits[i] = i * 0.125;
    }
    assert_int_equal(stories_trailer_write(seed, bits, STORIES, &line, &line_bytes, &e), 0);
    corpus = realloc(corpus, n + line_bytes);
    assert_non_null(corpus);
    memcpy(corpus + n, line, line_bytes);
    *text_bytes = n;
    *bytes = n + line_bytes;
    free(line);
    return corpus;
}

/* The file becomes a shard without bits, and the note says why. */
static void assert_bare(const char *name, uint64_t docs, uint64_t bytes, const char *note) {
    char path[256];
    const char *file = path;
    struct shard_stats stats;
    struct shard s;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(shard_build(byte, NULL, &file, 1, at("bare.bin"), NULL, NULL, &stats, &e), 0);
    if (!strstr(stats.note, note)) fail_msg("no \"%s\" in \"%s\"", note, stats.note);
    assert_int_equal(shard_open(&s, at("bare.bin"), SHARD_DUET, 0, true, NULL, &e), 0);
    assert_int_equal(s.n_docs, docs);
    assert_int_equal(s.n_bytes, bytes - docs * (sizeof EOT - 1)); /* marks are no bytes of text */
    assert_null(s.doc_bits);
    shard_close(&s);
}

static void corpus_trailer(void **state) {
    (void)state;
    static double bits[STORIES];
    size_t text_bytes, bytes;
    char *corpus = make_corpus(3, &text_bytes, &bytes, bits);
    struct shard s = shard_of(corpus, bytes);
    assert_text(&s, corpus, text_bytes);
    assert_int_equal(s.n_docs, STORIES);
    assert_non_null(s.doc_bits);
    for (int i = 0; i < STORIES; i++) assert_true(s.doc_bits[i] == bits[i]);
    shard_close(&s);

    /* two of them: both sets of bits, one after the other */
    char names[2][256];
    snprintf(names[0], sizeof names[0], "%s/corpus", folder);
    snprintf(names[1], sizeof names[1], "%s/without", folder);
    put_file("corpus", corpus, bytes);
    put_file("without", "no trailer", 10);
    const char *twice[] = {names[0], names[0]}, *mixed[] = {names[0], names[1]};
    assert_int_equal(build_from(twice, 2, at("twice.bin")), 0);
    assert_int_equal(shard_open(&s, at("twice.bin"), SHARD_DUET, 0, true, NULL, &e), 0);
    assert_int_equal(s.n_docs, 2 * STORIES);
    assert_memory_equal(s.doc_bits, s.doc_bits + STORIES, STORIES * sizeof *s.doc_bits);
    shard_close(&s);
    assert_int_equal(build_from(mixed, 2, at("mixed.bin")), 0);
    assert_int_equal(shard_open(&s, at("mixed.bin"), SHARD_DUET, 0, true, NULL, &e), 0);
    assert_int_equal(s.n_docs, STORIES + 1);
    assert_null(s.doc_bits);
    shard_close(&s);

    /* a document too many; a damaged line; nothing but the line */
    static const char extra[] = "Too many." EOT "\n";
    const size_t extra_bytes = sizeof extra - 1;
    char *more = malloc(bytes + extra_bytes);
    assert_non_null(more);
    memcpy(more, extra, extra_bytes);
    memcpy(more + extra_bytes, corpus, bytes);
    put_file("more", more, bytes + extra_bytes);
    assert_bare("more", STORIES + 1, text_bytes + extra_bytes,
                "more: the corpus trailer counts 3000 documents, the text has 3001: floor_bpb is "
                "not known");
    /* two of them in one file: the trailer inside is text, and neither says anything of it */
    more = realloc(more, 2 * bytes);
    assert_non_null(more);
    memcpy(more, corpus, bytes);
    memcpy(more + bytes, corpus, bytes);
    put_file("joined", more, 2 * bytes);
    assert_bare("joined", 2 * STORIES, bytes + text_bytes,
                "joined: 1 trailer of built-in corpora inside the text is read as text");
    memcpy(more + bytes, extra, extra_bytes);
    put_file("before", more, bytes + extra_bytes);
    assert_bare("before", STORIES + 1, bytes + extra_bytes,
                "before: 1 trailer of built-in corpora inside the text is read as text");
    put_file("line", corpus + text_bytes, bytes - text_bytes);
    assert_refused("line", ERR_INPUT, "holds no text");
    for (size_t cut = 3; cut < bytes - text_bytes; cut += cut < 100 ? 1 : 999) {
        put_file("cut", corpus, text_bytes + cut);
        assert_refused("cut", ERR_INPUT, "cut: ");
    }
    free(more);
    free(corpus);
}

/* The trailer is found wherever the blocks of reading end. */
static void trailer_across_blocks(void **state) {
    (void)state;
    static const char line[] = "<|corpus|>{\"generator\":\"duet stories\",\"version\":1,\"seed\":1,"
                               "\"documents\":1,\"bits\":[2.5]}\n";
    const size_t block = (size_t)4 << 20;
    char *text = malloc(block + 1000);
    assert_non_null(text);
    memset(text, 'x', block + 1000);
    for (size_t i = 99; i < block; i += 100) text[i] = '\n';
    for (size_t over = 0; over < sizeof line + 20; over += 13) {
        size_t n = block - sizeof line - 8 + over;
        text[n - 1] = '\n';
        memcpy(text + n, line, sizeof line - 1);
        struct shard s = shard_of(text, n + sizeof line - 1);
        assert_int_equal(s.n_bytes, n);
        assert_non_null(s.doc_bits);
        assert_true(s.doc_bits[0] == 2.5);
        shard_close(&s);
        memset(text + n - 1, 'x', sizeof line);
        for (size_t i = 99; i < block; i += 100) text[i] = '\n';
    }
    free(text);
}

/* A line like a trailer that is not the last one is text. */
static void trailer_inside(void **state) {
    (void)state;
    static const char text[] = "<|corpus|>{\"a\":1}\nA line.\n<|corpus|>{}\nThe end.\n";
    struct shard s = shard_of(text, sizeof text - 1);
    assert_text(&s, text, sizeof text - 1);
    shard_close(&s);
    /* and one that fills more than a block */
    const size_t n = (size_t)9 << 20;
    char *big = malloc(n);
    assert_non_null(big);
    memset(big, '1', n);
    memcpy(big, "Start.\n<|corpus|>{", 18);
    memcpy(big + n - 5, "\nEnd.", 5);
    s = shard_of(big, n);
    assert_text(&s, big, n);
    shard_close(&s);
    put_file("cut", big, n - 5);
    assert_refused("cut", ERR_INPUT, "corpus trailer");
    free(big);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_memory), /* first: while this process is small */
        cmocka_unit_test(small_text),
        cmocka_unit_test(blank_rest),
        cmocka_unit_test(several_files),
        cmocka_unit_test(large_text),
        cmocka_unit_test(wide_tokens),
        cmocka_unit_test(endless_line),
        cmocka_unit_test(any_thread_count),
        cmocka_unit_test(progress),
        cmocka_unit_test(refuses_outputs),
        cmocka_unit_test(corpus_trailer),
        cmocka_unit_test(trailer_across_blocks),
        cmocka_unit_test(trailer_inside),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
