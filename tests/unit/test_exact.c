/* Whole documents: what is one, that every token is scored once with enough before it, totals and
 * their errors against long-hand ones, pairs. */
#include "folder_fixture.h"
#include "llama_fixture.h"

#include "exact.h"
#include "file.h"
#include "score.h"
#include "shard.h"
#include "tokenizer.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

static const char *put_file(const char *name, const char *text, size_t bytes) {
    const char *path = at(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
    return path;
}

static struct docs docs_of(const char *text) {
    struct docs d;
    ok(docs_read(&d, (const char *[]){put_file("text", text, strlen(text))}, 1, &e));
    return d;
}

#define MARK "<|endoftext|>"

static void documents(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int n;
        const char *docs[4];
        size_t before[4];
    } cases[] = {
        {"one", 1, {"one"}, {0}},
        {" \n one two\n", 1, {"one two"}, {0}},
        {"a" MARK "b", 2, {"a", "b"}, {0, 0}},
        {"\na b\n" MARK "\n\nc\n" MARK "\n", 2, {"a b", "c"}, {0, 2}},
        {MARK MARK "\n " MARK "x" MARK, 1, {"x"}, {0}},
        {MARK "\nx", 1, {"x"}, {1}},
        {"a<|endoftext" MARK "b", 2, {"a<|endoftext", "b"}, {0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct docs d = docs_of(cases[i].text);
        assert_int_equal(d.n, cases[i].n);
        for (size_t k = 0; k < d.n; k++) {
            assert_int_equal(d.spans[k].bytes, strlen(cases[i].docs[k]));
            assert_memory_equal(d.text + d.spans[k].offset, cases[i].docs[k], d.spans[k].bytes);
            assert_int_equal(d.spans[k].before, cases[i].before[k]);
        }
        docs_release(&d);
    }
    struct docs d;
    const char *none = "\n " MARK "\n";
    assert_int_equal(docs_read(&d, (const char *[]){put_file("none", none, strlen(none))}, 1, &e),
                     ERR_INPUT);
    assert_int_equal(docs_read(&d, (const char *[]){"/nonexistent"}, 1, &e), ERR_IO);
}

/* 260 ids: the byte tokenizer's 257 fit. Context 512. */
static const struct variant *const v = variants + 8;

/* A text of random letters in documents of these sizes. */
static char *text_of(const int *sizes, int n) {
    size_t at = 0, all = 1;
    for (int i = 0; i < n; i++) all += (size_t)sizes[i] + strlen(MARK) + 1;
    char *text = malloc(all);
    struct rng r = rng_make(4, RNG_TEST, 2, 0, 0);
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < sizes[i]; k++) text[at++] = (char)('a' + rng_below(&r, 26));
        at += (size_t)sprintf(text + at, MARK "\n");
    }
    text[at] = 0;
    return text;
}

static const int sizes[] = {1, 2, 30, 31, 32, 33, 34, 40, 47, 48, 49, 50, 100, 333, 5};
enum { DOCS = sizeof sizes / sizeof *sizes };

/* Every token in the double reference, given at least half a context, or all, before it. */
static void rule(void **state) {
    (void)state;
    struct model m = model_of(v);
    struct ref_model ref = ref_of(&m);
    struct tokenizer *t;
    char *text = text_of(sizes, DOCS);
    struct docs d = docs_of(text);
    const int64_t V = m.config.vocab;
    const struct machine gemm = machine_of("auto", DT_F32);
    ok(tokenizer_open(&t, "byte", &e));
    for (int64_t C = 2; C <= 512; C = C < 40 ? C + 15 : C * 8) {
        struct exact_result r;
        ok(exact_run(&m, &gemm, t, &d, &(struct exact_opts){.context = C}, &r, &e));
        assert_int_equal(r.n, DOCS);
        assert_int_equal(r.start, 256);
        for (int i = 0; i < DOCS; i++) {
            int32_t ids[400] = {256};
            int64_t front = 1, n;
            double want = 0;
            if (i) ids[front++] = '\n';
            n = front + sizes[i];
            for (int k = 0; k < sizes[i]; k++)
                ids[front + k] = d.text[d.spans[i].offset + (size_t)k];
            double *logits = malloc(sizeof *logits * (size_t)(C * V));
            int64_t from = 0, q = front;
            while (q < n) { /* windows in other words: [from, from + C) sees the tokens behind it */
                int64_t to = from + C < n - 1 ? from + C : n - 1;
                ref_logits(&ref, ids + from, (int)(to - from), logits);
                for (; q <= to; q++)
                    want -= ref_logprob(logits + (q - 1 - from) * V, (int)V, ids[q], 0);
                from = q - C / 2;
            }
            free(logits);
            if (!(fabs(r.docs[i].nats - want) < 1e-5 * (1 + want)))
                fail_msg("context %d, document %d: %.9g nats, reference %.9g", (int)C, i,
                         r.docs[i].nats, want);
            assert_int_equal(r.docs[i].tokens, sizes[i]);
            assert_int_equal(r.docs[i].bytes, sizes[i]);
        }
        exact_release(&r);
    }
    docs_release(&d);
    free(text);
    tokenizer_close(t);
    ref_model_release(&ref);
    close_model(&m);
}

/* Other threads, other documents around it: the same bits. */
static void apart(void **state) {
    (void)state;
    struct model m = model_of(v);
    struct tokenizer *t;
    char *text = text_of(sizes, DOCS);
    struct docs d = docs_of(text);
    const struct machine gemm = machine_of("auto", DT_F32);
    struct exact_result all, one;
    ok(tokenizer_open(&t, "byte", &e));
    ok(exact_run(&m, &gemm, t, &d, &(struct exact_opts){.context = 64}, &all, &e));
    struct machine many = machine_with("auto", DT_F32, 3);
    for (int i = 0; i < DOCS; i++) {
        struct docs alone = d;
        alone.spans = d.spans + i;
        alone.n = 1;
        ok(exact_run(&m, &many, t, &alone, &(struct exact_opts){.context = 64}, &one, &e));
        assert_memory_equal(one.docs, all.docs + i, sizeof *one.docs);
        exact_release(&one);
    }
    assert_int_equal(
        exact_run(&m, &gemm, t, &d, &(struct exact_opts){.context = 513}, &one, &e), ERR_USAGE);
    assert_int_equal(exact_run(&m, &gemm, t, &d, &(struct exact_opts){.context = 1}, &one, &e),
                     ERR_USAGE);
    machine_close(&many);
    exact_release(&all);
    docs_release(&d);
    free(text);
    tokenizer_close(t);
    close_model(&m);
}

/* A tokenizer of 64 pairs and all bytes, without any special token: no start of text. */
static const char *no_start(void) {
    char json[20000];
    size_t at =
        (size_t)sprintf(json, "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,"
                              "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":"
                              "false,\"use_regex\":false},\"post_processor\":null,\"decoder\":"
                              "{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (int i = 0; i < 26; i++)
        at += (size_t)sprintf(json + at, "%s\"%c\":%d", i ? "," : "", 'a' + i, i);
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 8; k++)
            at += (size_t)sprintf(json + at, ",\"%c%c\":%d", 'a' + i, 'a' + k, 26 + 8 * i + k);
    at += (size_t)sprintf(json + at, "},\"merges\":[");
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 8; k++)
            at += (size_t)sprintf(json + at, "%s\"%c %c\"", i + k ? "," : "", 'a' + i, 'a' + k);
    at += (size_t)sprintf(json + at, "]}}");
    return put_file("tokenizer.json", json, at);
}

/* Two tokenizers: other tokens, the same documents and bytes, each byte in one token; a first token
 * that nothing stands before costs ln V. */
static void two_tokenizers(void **state) {
    (void)state;
    struct model m = model_of(v);
    struct tokenizer *bytes, *pairs;
    char *text = text_of(sizes, DOCS);
    struct docs d = docs_of(text);
    const struct machine gemm = machine_of("auto", DT_F32);
    struct exact_result a, b;
    ok(tokenizer_open(&bytes, "byte", &e));
    ok(tokenizer_open(&pairs, no_start(), &e));
    assert_int_equal(tokenizer_bos(pairs), -1);
    assert_int_equal(tokenizer_eos(pairs), -1);
    ok(exact_run(&m, &gemm, bytes, &d, &(struct exact_opts){.context = 32}, &a, &e));
    ok(exact_run(&m, &gemm, pairs, &d, &(struct exact_opts){.context = 32}, &b, &e));
    assert_int_equal(b.start, -1);
    const struct exact_total ta = exact_total(&a), tb = exact_total(&b);
    assert_int_equal(ta.bytes, tb.bytes);
    assert_int_equal(ta.tokens, ta.bytes);
    assert_true(tb.tokens < ta.tokens);
    for (int i = 0; i < DOCS; i++) {
        struct tok_ids ids = {0};
        uint64_t sum = 0;
        ok(tokenizer_encode(pairs, d.text + d.spans[i].offset, d.spans[i].bytes, false, false, &ids,
                            &e));
        for (size_t k = 0; k < ids.n; k++) sum += tokenizer_token_bytes(pairs, ids.ids[k]);
        assert_int_equal(sum, sizes[i]);
        assert_int_equal(b.docs[i].tokens, ids.n);
        assert_int_equal(a.docs[i].hash, b.docs[i].hash);
        if (ids.n <= 32) { /* one window: the losses of the scorer, and the guess */
            float nll[32] = {0};
            struct scorer s;
            double want = log((double)m.config.vocab);
            ok(scorer_open(&s, &m, &gemm, 40, &e));
            if (ids.n > 1) ok(scorer_run(&s, ids.ids, (int64_t)ids.n, nll, &e));
            for (size_t k = 0; k + 1 < ids.n; k++) want += (double)nll[k];
            assert_true(b.docs[i].nats == want);
            scorer_close(&s);
        }
        free(ids.ids);
    }
    exact_release(&a);
    exact_release(&b);
    docs_release(&d);
    free(text);
    tokenizer_close(bytes);
    tokenizer_close(pairs);
    close_model(&m);
}

/* Special tokens in a document are text: they are not the end of it, nor unscored. */
static void specials_are_text(void **state) {
    (void)state;
    struct model m = model_of(v);
    struct tokenizer *t;
    struct docs d = docs_of("x");
    const struct machine gemm = machine_of("auto", DT_F32);
    struct exact_result r;
    ok(tokenizer_open(&t, "byte", &e));
    docs_release(&d);
    d = docs_of("x" MARK "y");
    d.n = 1; /* as if the mark were part of the document */
    d.spans[0].bytes = strlen("x" MARK "y");
    ok(exact_run(&m, &gemm, t, &d, &(struct exact_opts){0}, &r, &e));
    assert_int_equal(r.docs[0].tokens, strlen("x" MARK "y"));
    assert_int_equal(r.context, 512);
    exact_release(&r);
    docs_release(&d);
    tokenizer_close(t);
    close_model(&m);
}

/* ---- bytes that no token stands for ---------------------------------------------------------- */

static const struct lossy {
    const char *normalizer, *pre, *decoder, *model, *vocab;
    const char *text;
    size_t lost;
} lossy[] = {
#define BYTES_PRE "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define BYTES_DEC "{\"type\":\"ByteLevel\"}"
#define REMOVED                                                                                    \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\" "     \
    "+\"},"                                                                                        \
    "\"behavior\":\"Removed\",\"invert\":false}," BYTES_PRE "]}"
#define UNK "\"unk_token\":\"<unk>\",\"fuse_unk\":"
#define SIGN                                                                                       \
    "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\xe2\x96\x81\"}," \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"}]}"
#define SIGN_DEC                                                                                   \
    "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"          \
    "\"\xe2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"        \
    "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}"
#define REPLACE(from, to)                                                                          \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" from "\"},\"content\":\"" to "\"}"
    {"null", BYTES_PRE, BYTES_DEC, UNK "false", "", "a b", 0},
    {"null", REMOVED, BYTES_DEC, UNK "false", "", "ab  b a", 3},
    {"null", BYTES_PRE, BYTES_DEC, UNK "false", "", "aWORb", 3},
    {"null", BYTES_PRE, BYTES_DEC, UNK "true", "", "aWORbW", 4},
    {"null", REMOVED, BYTES_DEC, UNK "true", "", "a Wb", 2},
    {"null", BYTES_PRE, BYTES_DEC, UNK "true", "", "<unk>", 5},
    {SIGN, "null", SIGN_DEC, UNK "true", ",\"\xe2\x96\x81\":9", "a b a", 0},
    {SIGN, "null", SIGN_DEC, UNK "true", ",\"\xe2\x96\x81\":9", "a WORLD b", 5},
    {SIGN, "null", SIGN_DEC, UNK "false", ",\"\xe2\x96\x81\":9", "WORLD \xc3\xa4", 7},
    /* the blank's sign in the text comes back as a blank: normalised, not lost */
    {SIGN, "null", SIGN_DEC, UNK "true", ",\"\xe2\x96\x81\":9", "a\xe2\x96\x81" "b", 0},
    {"{\"type\":\"NFC\"}", BYTES_PRE, BYTES_DEC, UNK "true", "", "e\xcc\x81", 0},
    {"{\"type\":\"NFC\"}", BYTES_PRE, BYTES_DEC, UNK "true", "", "Xe\xcc\x81 Y", 2},
    {REPLACE("``", "b"), BYTES_PRE, BYTES_DEC, UNK "true", "", "``a", 0},
    {REPLACE("x", ""), BYTES_PRE, BYTES_DEC, UNK "true", "", "axxb", 2},
};

static const char *lossy_file(const struct lossy *l) {
    char json[4000];
    const int n = snprintf(
        json, sizeof json,
        "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"single_word\":false,\"lstrip\":false,"
        "\"rstrip\":false,\"normalized\":false,\"special\":true}],\"normalizer\":%s,"
        "\"pre_tokenizer\":%s,\"post_processor\":null,\"decoder\":%s,\"model\":{\"type\":\"BPE\",%"
        "s,"
        "\"vocab\":{\"<unk>\":0,\"a\":1,\"b\":2,\"\xc4\xa0\":3,\"\xc3\x83\":4,\"\xc2\xa9\":5%s},"
        "\"merges\":[]}}",
        l->normalizer, l->pre, l->decoder, l->model, l->vocab);
    return put_file("lossy.json", json, (size_t)n);
}

static void lost_bytes(void **state) {
    (void)state;
    struct model m = model_of(v);
    const struct machine gemm = machine_of("auto", DT_F32);
    for (size_t i = 0; i < sizeof lossy / sizeof *lossy; i++) {
        struct tokenizer *t;
        struct exact_result r;
        struct docs d = docs_of(lossy[i].text);
        ok(tokenizer_open(&t, lossy_file(lossy + i), &e));
        ok(exact_run(&m, &gemm, t, &d, &(struct exact_opts){.context = 32}, &r, &e));
        assert_int_equal(r.docs[0].bytes, strlen(lossy[i].text));
        if (r.docs[0].lost != lossy[i].lost)
            fail_msg("\"%s\": %d lost, not %d", lossy[i].text, (int)r.docs[0].lost,
                     (int)lossy[i].lost);
        exact_release(&r);
        docs_release(&d);
        tokenizer_close(t);
    }
    close_model(&m);
}

/* ---- memory ---------------------------------------------------------------------------------- */

#ifdef __GLIBC__
static void look(void *ctx, uint64_t done, uint64_t total) {
    (void)total;
    if (done == 1) *(size_t *)ctx = mallinfo2().uordblks;
}

/* Of many documents no more is held than their tokens and figures. */
static void many_documents(void **state) {
    (void)state;
    enum { MANY = 6000 };
    struct model m = model_of(v);
    const struct machine gemm = machine_of("auto", DT_F32);
    struct tokenizer *t;
    struct exact_result r;
    int *ones = malloc(MANY * sizeof *ones);
    for (int i = 0; i < MANY; i++) ones[i] = 1;
    char *text = text_of(ones, MANY);
    struct docs d = docs_of(text);
    size_t held = 0;
    ok(tokenizer_open(&t, "byte", &e));
    const size_t before = mallinfo2().uordblks;
    ok(exact_run(&m, &gemm, t, &d,
                 &(struct exact_opts){.context = 8, .progress = look, .ctx = &held}, &r, &e));
    assert_int_equal(r.n, MANY);
    if (held > before + MANY * 200 + ((size_t)1 << 21))
        fail_msg("%zu bytes for %d documents", held - before, MANY);
    exact_release(&r);
    docs_release(&d);
    tokenizer_close(t);
    free(text);
    free(ones);
    close_model(&m);
}
#endif

/* x/b of 4 and 3 documents, long-hand: sum x 10, sum b 20, r = 0.5 nats a byte. */
static void totals(void **state) {
    (void)state;
    struct exact_doc x[] = {{0, 4, 1, 2, 3, 0}, {4, 6, 2, 3, 2, 1}, {10, 10, 3, 5, 5, 3}},
                     y[] = {{0, 4, 1, 1, 1, 0}, {4, 6, 2, 1, 3, 1}, {10, 10, 3, 1, 4, 3}};
    const struct exact_result a = {.docs = x, .n = 3}, b = {.docs = y, .n = 3},
                              one = {.docs = x, .n = 1};
    struct exact_total t = exact_total(&a);
    /* x - r b: 1, -1, 0 */
    const double se = sqrt(3.0 / 2.0 * 2) / 20 / log(2);
    assert_true(t.nats == 10 && t.bytes == 20 && t.tokens == 10 && t.lost == 4);
    assert_true(fabs(t.bpb - 0.5 / log(2)) < 1e-12);
    assert_true(fabs(t.bpb_stderr - se) < 1e-12);
    assert_true(isnan(exact_total(&one).bpb_stderr));
    t = exact_paired(&a, &b);
    /* differences 2, -1, 1: sum 2, r = 0.1; off by 1.6, -1.6, 0 */
    assert_true(t.nats == 2 && t.better == 1);
    assert_true(fabs(t.bpb - 0.1 / log(2)) < 1e-12);
    assert_true(fabs(t.bpb_stderr - sqrt(1.5 * 2 * 1.6 * 1.6) / 20 / log(2)) < 1e-12);
}

static int read_text(const char *text, const struct exact_result *r) {
    struct exact_result other;
    const int rc = exact_read(&other, put_file("other.tsv", text, strlen(text)), r, &e);
    if (!rc) exact_release(&other);
    return rc;
}

static void files(void **state) {
    (void)state;
    struct exact_doc x[] = {{0, 4, 0xabcdefULL, 2, 3.25, 0}, {4, 6, UINT64_MAX, 3, 1234.5, 2}};
    const struct exact_result a = {.docs = x, .n = 2};
    struct exact_result back;
    char good[512];
    const char *path = at("a.tsv");
    ok(exact_write(&a, path, &e));
    ok(exact_read(&back, path, &a, &e));
    assert_int_equal(back.n, 2);
    assert_memory_equal(back.docs, x, sizeof x);
    exact_release(&back);
    char *text;
    size_t bytes;
    ok(file_read_text(path, 4096, &text, &bytes, &e));
    assert_true(bytes < sizeof good);
    strcpy(good, text);
    free(text);
    assert_string_equal(good, "document\toffset\tbytes\txxh3\ttokens\tnats\tlost\n"
                              "1\t0\t4\t0000000000abcdef\t2\t3.25\t0\n"
                              "2\t4\t6\tffffffffffffffff\t3\t1234.5\t2\n");
    ok(read_text(good, &a));
    static const struct {
        const char *from, *to, *says;
    } bad[] = {{"document\t", "dokument\t", "first line"},
               {"2\t4\t6", "3\t4\t6", "line 3"},
               {"2\t4\t6", "2\t5\t6", "document 2 is another text"},
               {"\t6\tffff", "\t7\tffff", "document 2 is another text"},
               {"abcdef", "abcdee", "document 1 is another text"},
               {"3.25", "nan", "line 2"},
               {"3.25", "x", "line 2"},
               {"1234.5\t2\n", "1234.5\t2 \n", "line 3"},
               {"1234.5\t2\n", "1234.5\n", "line 3"},
               {"1234.5\t2\n", "1234.5\t1\n", "losses of other bytes do not pair"},
               {"3.25\t0\n", "3.25\t4\n", "document 1: its tokenizer stands for all but 4"},
               {"1234.5\t2\n", "1234.5\t2\n3\t9\t1\tff\t1\t1\t0\n", "more documents"},
               {"2\t4\t6\tffffffffffffffff\t3\t1234.5\t2\n", "", "has 1 documents"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char changed[600];
        const char *p = strstr(good, bad[i].from);
        assert_non_null(p);
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(p - good), good, bad[i].to,
                 p + strlen(bad[i].from));
        assert_int_equal(read_text(changed, &a), ERR_INPUT);
        if (!strstr(e.msg, bad[i].says)) fail_msg("no \"%s\" in: %s", bad[i].says, e.msg);
    }
}

static void starts(void **state) {
    (void)state;
    struct tokenizer *t;
    bool keeps;
    ok(tokenizer_open(&t, "byte", &e));
    assert_int_equal(shard_start(t, &keeps), 256);
    assert_true(keeps);
    tokenizer_close(t);
    ok(tokenizer_open(&t, no_start(), &e));
    assert_int_equal(shard_start(t, &keeps), -1);
    assert_false(keeps);
    tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents), cmocka_unit_test(rule),
        cmocka_unit_test(apart),     cmocka_unit_test(two_tokenizers),
        cmocka_unit_test(totals),    cmocka_unit_test(specials_are_text),
        cmocka_unit_test(files),     cmocka_unit_test(starts),
#ifdef __GLIBC__
        cmocka_unit_test(many_documents),
#endif
        cmocka_unit_test(lost_bytes)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
