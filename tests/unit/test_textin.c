/* Text as input: plain, compressed, from pipes, damaged; and where it may be cut. */
#include "data.h"
#include "shard_fixture.h"

#include "textcut.h"

#include <fcntl.h>
#include <sys/wait.h>

/* Input --------------------------------------------------------------------------------------- */

static void compressed(void **state) {
    (void)state;
    const size_t n = 700000;
    char *text = random_text(9, n, 2000, false);
    put_file("plain", text, n);
    assert_int_equal(build("plain", "plain.bin"), 0);
    put_zst("one.zst", text, n, 1);
    put_zst("many.zst", text, n, 7);
    put_zst("no_suffix", text, n, 2);
    const char *const names[] = {"one.zst", "many.zst", "no_suffix"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(build(names[i], "packed.bin"), 0);
        assert_same_files("plain.bin", "packed.bin");
    }
    /* a skippable frame first, as parallel compressors write */
    size_t packed;
    char *frame = get_file("one.zst", &packed), *both = malloc(packed + 12);
    assert_non_null(both);
    memcpy(both, "\x50\x2a\x4d\x18\x04\0\0\0abcd", 12);
    memcpy(both + 12, frame, packed);
    put_file("skip", both, packed + 12);
    assert_int_equal(build("skip", "packed.bin"), 0);
    assert_same_files("plain.bin", "packed.bin");
    free(both);
    free(frame);
    free(text);
}

static void standard_input(void **state) {
    (void)state;
    const size_t n = 300000;
    char *text = random_text(10, n, 2000, false);
    put_file("plain", text, n);
    put_zst("packed", text, n, 1);
    assert_int_equal(build("plain", "plain.bin"), 0);
    static const char *const names[] = {"plain", "packed"};
    const char *dash = "-";
    int old = dup(STDIN_FILENO);
    for (int i = 0; i < 2; i++) {
        int fd = open(at(names[i]), O_RDONLY);
        assert_true(fd >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
        close(fd);
        assert_int_equal(build_from(&dash, 1, at("stdin.bin")), 0);
        assert_same_files("plain.bin", "stdin.bin");
    }
    /* a pipe gives its text in small pieces */
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        for (size_t i = 0; i < n; i += 777) {
            size_t part = n - i < 777 ? n - i : 777;
            if (write(pipes[1], text + i, part) != (ssize_t)part) _exit(1);
        }
        _exit(0);
    }
    close(pipes[1]);
    assert_true(pid > 0 && dup2(pipes[0], STDIN_FILENO) == STDIN_FILENO);
    close(pipes[0]);
    assert_int_equal(build_from(&dash, 1, at("stdin.bin")), 0);
    assert_same_files("plain.bin", "stdin.bin");
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(build_from(&dash, 1, at("stdin.bin")), ERR_INPUT); /* used up */
    assert_non_null(strstr(e.msg, "standard input"));
    dup2(old, STDIN_FILENO);
    close(old);
    free(text);
}

static void bad_input(void **state) {
    (void)state;
    put_file("empty", "", 0);
    put_file("plain.zst", "plain text", 10);
    put_file("short.zst", "\x28\xb5", 2);
    put_file("none.zst", "", 0);
    put_zst("nothing", "", 0, 2);
    assert_refused("empty", ERR_INPUT, "holds no text");
    assert_refused("nothing", ERR_INPUT, "holds no text");
    assert_refused("plain.zst", ERR_INPUT, "70 6c 61 69");
    assert_refused("short.zst", ERR_INPUT, "2 bytes");
    assert_refused("none.zst", ERR_INPUT, "0 bytes");
    assert_refused("missing", ERR_IO, "missing");
    assert_refused(".", ERR_INPUT, "/none.zst holds 0 bytes"); /* a folder is its files */
}

static void damaged_frames(void **state) {
    (void)state;
    char *text = random_text(11, 20000, 500, false);
    put_zst("whole", text, 20000, 2);
    size_t n;
    char *frames = get_file("whole", &n);
    size_t first = ZSTD_findFrameCompressedSize(frames, n);
    for (size_t cut = 4; cut < n; cut += cut < 40 || n - cut < 40 ? 1 : 97) {
        if (cut == first) continue; /* one frame is a whole text */
        put_file("cut", frames, cut);
        assert_refused("cut", ERR_INPUT, "cut off");
    }
    frames[n / 2] ^= 0x55;
    frames[first - 1] ^= 0x55;
    put_file("bad", frames, n);
    int rc = build("bad", "bad.bin"); /* without a checksum in the frame not all damage shows */
    assert_true(rc == 0 || rc == ERR_INPUT);
    memcpy(frames + first, "garbage!", 8);
    put_file("bad", frames, n);
    assert_refused("bad", ERR_INPUT, "bad");
    free(frames);
    free(text);
}

/* Where a text is cut ------------------------------------------------------------------------- */

static void cut_places(void **state) {
    (void)state;
    static const struct textcut c = {{EOT, "</s>"}, {13, 4}, 2};
    static const struct {
        const char *text;
        size_t at; /* 0: none */
    } cases[] = {
        {"end.\nThen", 5},
        {"end. \nThen", 0},
        {"end\n\nThen", 0},
        {"end\r\nThen", 0},
        {"end\n then", 0},
        {"end\n1", 0},
        {"one two", 3},
        {"one  two", 0},
        {"one 2", 0},
        {". two", 0},
        {"\nThen", 0},
        {" two", 0},
        {"one two\nx", 8},
        {"a\n\xc3\xa9", 2},
        {"a\n\xc3", 0},
        {"a\n\xe3\x80\x80", 0},
        {"\xe4\xba\xba\n\xe4\xba\xba", 4},
        {"\xe3\x80\x80\nx", 0},
        {"\xc2\x85\nx", 0},
        {"\xf0\x9f\x98\x80\nx", 5},
    };
    char text[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* bytes that cannot be cut, as long as a separator could be */
        int n = snprintf(text, sizeof text, "%s..............", cases[i].text);
        size_t found = textcut_inside(&c, text, (size_t)n);
        if (found != cases[i].at) fail_msg("\"%s\" is cut at %zu", cases[i].text, found);
    }
    size_t where;
    assert_int_equal(textcut_find(&c, "a</s>b" EOT, 19, &where), 1);
    assert_int_equal(where, 1);
    assert_int_equal(textcut_find(&c, "ab" EOT "</s>", 19, &where), 0);
    assert_int_equal(where, 2);
    assert_int_equal(textcut_find(&c, "ab" EOT, 14, &where), -1);
    assert_int_equal(textcut_document(&c, EOT "a</s>b>", 20), 18);
    assert_int_equal(textcut_document(&c, "</s>" EOT ">", 18), 17);
    assert_int_equal(textcut_document(&c, "<<s>", 4), 0);
}

/* Parts cut at textcut_inside give the tokens of the whole. */
static void check_cuts(const struct tokenizer *t, const char *text, size_t n) {
    static const struct textcut c = {{EOT}, {13}, 1};
    struct tok_ids whole = {0}, parts = {0};
    size_t end = n, found = 0;
    for (size_t window = n; window > 20; window = end < window ? end : window - 1) {
        end = textcut_inside(&c, text, window);
        if (end == 0) break;
        found++;
        whole.n = parts.n = 0;
        size_t from = end > 200 ? end - 200 : 0, to = n - end > 200 ? end + 200 : n;
        while (from < end && ((unsigned char)text[from] & 0xC0) == 0x80) from++;
        while (to > end && to < n && ((unsigned char)text[to] & 0xC0) == 0x80) to--;
        assert_int_equal(tokenizer_encode(t, text + from, to - from, true, false, &whole, &e), 0);
        assert_int_equal(tokenizer_encode(t, text + from, end - from, true, false, &parts, &e), 0);
        assert_int_equal(tokenizer_encode(t, text + end, to - end, true, false, &parts, &e), 0);
        if (whole.n != parts.n || memcmp(whole.ids, parts.ids, whole.n * sizeof *whole.ids))
            fail_msg("other tokens around \"%.*s|%.*s\"", 10, text + end - 10, 10, text + end);
    }
    assert_true(found > n / 2000);
    free(whole.ids);
    free(parts.ids);
}

static void cuts_keep_tokens(void **state) {
    (void)state;
    char *text = random_text(12, 40000, 1000000000, true);
    check_cuts(byte, text, 40000);
    free(text);
}

static void cuts_keep_real_tokens(void **state) {
    (void)state;
    struct tokenizer *t;
    assert_int_equal(tokenizer_open(&t, data_file("tokenizers/smollm2/tokenizer.json"), &e), 0);
    char *text = random_text(12, 40000, 1000000000, true);
    check_cuts(t, text, 40000);
    tokenizer_close(t);
    free(text);
}

/* A real vocabulary: the shard of a whole file, cut into blocks, chunks and documents, holds the
 * tokens of one call of the encoder. */
static void real_tokens(void **state) {
    (void)state;
    struct tokenizer *t;
    assert_int_equal(tokenizer_open(&t, data_file("tokenizers/smollm2/tokenizer.json"), &e), 0);
    static const char *const texts[] = {"tinystories/train.txt", "text/tinyshakespeare.txt"};
    for (int k = 0; k < 2; k++) {
        struct file_map m;
        struct shard s;
        struct shard_stats stats;
        struct tok_ids ids = {0};
        assert_int_equal(file_map_open(&m, data_file(texts[k]), &e), 0);
        size_t n = m.size < 5000000 ? m.size : 5000000;
        put_file("real", m.data, n);
        file_map_close(&m);
        const char *files[1] = {at("real")};
        assert_int_equal(shard_build(t, NULL, files, 1, at("real.bin"), NULL, NULL, &stats, &e), 0);
        assert_int_equal(shard_open(&s, at("real.bin"), SHARD_DUET, 0, true, NULL, &e), 0);
        size_t bytes;
        char *text = get_file("real", &bytes);
        assert_int_equal(tokenizer_encode(t, text, n, true, false, &ids, &e), 0);
        assert_int_equal(ids.n, s.n_tokens);
        uint64_t eots = 0;
        for (size_t i = 0; i < ids.n; i++) {
            if (ids.ids[i] != shard_token(&s, i)) fail_msg("token %zu differs", i);
            eots += ids.ids[i] == tokenizer_find(t, EOT);
        }
        assert_int_equal(s.n_bytes + 13 * eots, n);
        assert_true(k ? s.n_docs == 1 : s.n_docs > 5000);
        free(ids.ids);
        free(text);
        shard_close(&s);
    }
    tokenizer_close(t);
}

/* A vocabulary without <|endoftext|> and with a token for the start: llama2.c's convention. */
static void sentencepiece(void **state) {
    (void)state;
    struct tokenizer *t;
    assert_int_equal(tokenizer_open(&t, data_file("weights/stories260K/tok512.bin"), &e), 0);
    static const char text[] = "Once upon a time.\n" EOT "\nThe end, he said." EOT "\n";
    put_file("spm", text, sizeof text - 1);
    char in[256];
    const char *files[1] = {in};
    snprintf(in, sizeof in, "%s/spm", folder);
    struct shard_stats stats;
    struct shard s;
    struct tok_ids ids = {0};
    assert_int_equal(shard_build(t, NULL, files, 1, at("spm.bin"), NULL, NULL, &stats, &e), 0);
    assert_int_equal(shard_open(&s, at("spm.bin"), SHARD_DUET, 0, true, NULL, &e), 0);
    assert_int_equal(tokenizer_encode(t, "Once upon a time.", 17, true, true, &ids, &e), 0);
    assert_int_equal(s.n_docs, 2);
    assert_int_equal(s.docs[1], ids.n);
    assert_int_equal(tokenizer_encode(t, "The end, he said.", 17, true, true, &ids, &e), 0);
    assert_int_equal(s.n_tokens, ids.n);
    for (size_t i = 0; i < ids.n; i++) assert_int_equal(shard_token(&s, i), ids.ids[i]);
    assert_int_equal(shard_token(&s, 0), tokenizer_bos(t));
    assert_int_equal(s.doc_bytes[0], 17);
    assert_int_equal(s.doc_bytes[1], 17);
    shard_close(&s);

    /* One document that is cut into chunks: no blank appears at the cuts. */
    size_t n = 1000000;
    char *big = malloc(n);
    assert_non_null(big);
    for (size_t i = 0; i < n; i++) big[i] = "One day, a girl saw a cat.\nShe was happy. "[i % 41];
    put_file("spm", big, n);
    assert_int_equal(shard_build(t, NULL, files, 1, at("spm.bin"), NULL, NULL, &stats, &e), 0);
    assert_int_equal(shard_open(&s, at("spm.bin"), SHARD_DUET, 0, true, NULL, &e), 0);
    ids.n = 0;
    assert_int_equal(tokenizer_encode(t, big, n, true, true, &ids, &e), 0);
    assert_int_equal(s.n_docs, 1);
    assert_int_equal(s.n_bytes, n);
    assert_int_equal(s.n_tokens, ids.n);
    for (size_t i = 0; i < ids.n; i++)
        if (ids.ids[i] != shard_token(&s, i)) fail_msg("token %zu differs", i);
    shard_close(&s);
    free(big);
    free(ids.ids);
    tokenizer_close(t);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compressed),  cmocka_unit_test(standard_input),
        cmocka_unit_test(bad_input),   cmocka_unit_test(damaged_frames),
        cmocka_unit_test(cut_places),  cmocka_unit_test(cuts_keep_tokens),
        data_test(cuts_keep_real_tokens), data_test(real_tokens),
        data_test(sentencepiece),
    };
    return data_run(argc, argv, tests, setup, teardown);
}
