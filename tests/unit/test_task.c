/* Tasks: tables to prompts and answers, their order. */
#include "task_fixture.h"

static void check_prompt(const struct task *t, int64_t i, const struct tokenizer *tok,
                         const char *want, int label) {
    struct tok_bytes text = {0};
    ok(tokenizer_decode(tok, t->ids + t->start[i], (size_t)task_len(t, i), false, &text, &e));
    if (strcmp(text.n ? text.data : "", want))
        fail_msg("example %lld is \"%s\", expected \"%s\"", (long long)i, text.data, want);
    assert_int_equal(t->label[i], label);
    free(text.data);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void test_prompts(void **state) {
    (void)state;
    struct task t = task_of("b\tlabel\ta\n  one  \t0\ttwo \r\n\t 1 \tx y\nl\xc3\xa9\t02\t\nz\t1\tw",
                            "<{a}|{b}|{a}>", "n,y,m", 0, byte);
    assert_int_equal(t.n, 4);
    check_prompt(&t, 0, byte, "<two|one|two>", 0);
    check_prompt(&t, 1, byte, "<x y||x y>", 1);
    check_prompt(&t, 2, byte, "<|l\xc3\xa9|>", 2);
    check_prompt(&t, 3, byte, "<w|z|w>", 1);
    assert_int_equal(t.n_labels, 3);
    assert_int_equal(t.answers[0], 'n');
    assert_int_equal(t.answers[2], 'm');
    assert_string_equal(t.word[1], "y");
    assert_int_equal(t.T, 13);
    assert_int_equal(t.max_len, 13);
    uint32_t input[15];
    int32_t pos, label;
    memset(input, 0xff, sizeof input);
    task_put(&t, 3, 15, input, &pos, &label);
    assert_int_equal(pos, 6);
    assert_int_equal(label, 1);
    assert_int_equal(input[6], '>');
    for (int i = 7; i < 15; i++) assert_int_equal(input[i], 0);
    task_close(&t);
    task_close(&t);
}

/* What tables call their labels. */
static void test_names(void **state) {
    (void)state;
    static const char rte[] = "s\tlabel\na\tnot_entailment\nb\tentailment\nc\t1\nd\t0\n";
    struct task t = task_of(rte, "{s}?", "not_entailment=n, entailment =y", 0, byte);
    static const int want[] = {0, 1, 1, 0};
    for (int i = 0; i < 4; i++) assert_int_equal(t.label[i], want[i]);
    assert_int_equal(t.answers[0], 'n');
    assert_string_equal(t.word[1], "y");
    task_close(&t);
    /* Without a name a word is its own; numbers are numbers, unless they are names. */
    t = task_of("s\tlabel\na\ty\nb\tn\nc\t1\n", "{s}?", "n,y", 0, byte);
    assert_true(t.label[0] == 1 && t.label[1] == 0 && t.label[2] == 1);
    task_close(&t);
    t = task_of("s\tlabel\na\t0\nb\t1\n", "{s}?", "1,0", 0, byte);
    assert_true(t.label[0] == 0 && t.label[1] == 1);
    task_close(&t);
    t = task_of("s\tlabel\na\t0\nb\t1\n", "{s}?", "1=n,0=y", 0, byte);
    assert_true(t.label[0] == 1 && t.label[1] == 0);
    task_close(&t);
    t = task_of("s\tlabel\na\t=\nb\t1\n", "{s}?", "=,y", 0, byte); /* a word */
    assert_true(t.answers[0] == '=' && t.label[0] == 0);
    task_close(&t);
    static const char *const bad[][3] = {
        {rte, "n,y",
         "line 2: label is \"not_entailment\", expected a number from 0 to 1 or a name"},
        {rte, "not_entailment=n,y", "line 3: label is \"entailment\""},
        {rte, "a=n,a=y", "names the label \"a\" twice"},
        {rte, "a=,b=y", "label word 0 is empty"},
        {"s\tlabel\na\t\n", "n,y", "label is \"\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_true(open_bytes(&t, bad[i][0], strlen(bad[i][0]), "{s}?", bad[i][1], 0, byte) != 0);
        if (!strstr(e.msg, bad[i][2])) fail_msg("\"%s\" lacks \"%s\"", e.msg, bad[i][2]);
    }
}

/* As editors of other systems save it: byte order mark, CR LF, empty lines at the end. */
static void test_editors(void **state) {
    (void)state;
    struct task t =
        task_of("\xef\xbb\xbflabel\ts\r\n1\ta\r\n0\tb\r\n\r\n\n", "{s}?", "n,y", 0, byte);
    assert_int_equal(t.n, 2);
    check_prompt(&t, 0, byte, "a?", 1);
    check_prompt(&t, 1, byte, "b?", 0);
    task_close(&t);
    static const char gap[] = "s\tlabel\na\t0\n\nb\t1\n";
    assert_int_equal(open_bytes(&t, gap, sizeof gap - 1, "{s}?", "n,y", 0, byte), ERR_INPUT);
    assert_non_null(strstr(e.msg, "line 3: found 1 columns"));
}

static void test_csv(void **state) {
    (void)state;
    struct task t =
        task_of("id,\"text\",label\r\n1,\"a, \"\"b\"\"\nc\",good\r\n2,x,1\n\"3\",,bad\n",
                "<{text}>", "bad=n,good=y", 0, byte);
    assert_int_equal(t.n, 3);
    check_prompt(&t, 0, byte, "<a, \"b\"\nc>", 1);
    check_prompt(&t, 1, byte, "<x>", 1);
    check_prompt(&t, 2, byte, "<>", 0);
    task_close(&t);
    t = task_of("a,b\tlabel\n\"x\t1\n", "{a,b}", "n,y", 0, byte); /* TSV knows no quotes */
    check_prompt(&t, 0, byte, "\"x", 1);
    task_close(&t);
    static const char *const bad[][2] = {
        {"s,label\na,1\n\"a\nb,1\n", "line 3: the quotes of column 1 do not match"},
        {"s,label\n\"a\" b,1\n", "line 2: the quotes of column 1 do not match"},
        {"s,label\n\"a\nb\",1\nx,2\n", "line 4: label is \"2\""},
        {"s,label\na,b,1\n", "line 2: found 3 columns, the header has 2"},
        {"s,\"label\n", "the quotes of column 2"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(open_bytes(&t, bad[i][0], strlen(bad[i][0]), "{s}?", "n,y", 0, byte),
                         ERR_INPUT);
        if (!strstr(e.msg, bad[i][1])) fail_msg("\"%s\" lacks \"%s\"", e.msg, bad[i][1]);
    }
}

/* Behind the first column's place tokens go; the start token, the text before it and the
 * end stay. */
static void test_shorten(void **state) {
    (void)state;
    const char table[] = "x\ty\tlabel\nabcdef\tghi\t0\na\tb\t1\nabc\td\t0\n";
    struct task t = task_of(table, "P:{x},{y}.T", "0,1", 9, byte);
    assert_int_equal(t.T, 9);
    assert_int_equal(t.max_len, 14);
    assert_int_equal(t.shortened, 1);
    check_prompt(&t, 0, byte, "P:f,ghi.T", 0);
    check_prompt(&t, 1, byte, "P:a,b.T", 1);
    check_prompt(&t, 2, byte, "P:abc,d.T", 0);
    task_close(&t);
    t = task_of(table, "P:{x},{y}.T", "0,1", 5, byte);
    check_prompt(&t, 0, byte, "P:i.T", 0);
    check_prompt(&t, 1, byte, "P:b.T", 1);
    task_close(&t);
    t = task_of(table, "{x}", "0,1", 2, byte); /* nothing to keep */
    check_prompt(&t, 0, byte, "ef", 0);
    task_close(&t);
    assert_int_equal(open_bytes(&t, table, strlen(table), "P:{x},{y}.T", "0,1", 4, byte),
                     ERR_USAGE);
    assert_non_null(strstr(e.msg, "alone takes 4"));
}

/* A special token is one where the template has it; in a column it is text, whoever wrote that. */
static void test_special_tokens(void **state) {
    (void)state;
    struct task t = task_of("x\tlabel\n<|endoftext|>\t1\n", "<|endoftext|>{x}<|endoftext|>.",
                            "0,1", 0, byte);
    assert_int_equal(task_len(&t, 0), 1 + 13 + 1 + 1);
    assert_int_equal(t.ids[0], 256);
    for (int i = 0; i < 13; i++) assert_int_equal(t.ids[1 + i], "<|endoftext|>"[i]);
    assert_int_equal(t.ids[14], 256);
    assert_int_equal(t.ids[15], '.');
    task_close(&t);
    /* nor can a column complete what the template begins */
    t = task_of("x\tlabel\noftext|>\t1\n", "<|end{x}.", "0,1", 0, byte);
    assert_int_equal(task_len(&t, 0), 14);
    task_close(&t);
}

static void test_start_token(void **state) {
    (void)state;
    size_t n;
    char *bin = small_bin(&n);
    struct tokenizer *tok;
    ok(tokenizer_open_blob(&tok, bin, n, "small", &e));
    struct task t = task_of("x\tlabel\na the he\t1\n", "in {x}ing", "er, the", 0, tok);
    struct tok_ids want = {0};
    ok(tokenizer_encode(tok, "in a the heing", 14, false, true, &want, &e));
    assert_int_equal(want.ids[0], tokenizer_bos(tok));
    assert_int_equal(task_len(&t, 0), want.n);
    assert_memory_equal(t.ids, want.ids, want.n * sizeof *want.ids);
    assert_int_equal(t.answers[1], tokenizer_find(tok, " the"));
    task_close(&t);
    t = task_of("x\tlabel\na the he\t1\n", "in {x}ing", "er, the", (int64_t)want.n - 2, tok);
    assert_int_equal(t.ids[0], tokenizer_bos(tok));
    check_prompt(&t, 0, tok, "in  heing", 1); /* without "a" and " the" */
    task_close(&t);
    /* The blank that this tokenizer puts in front is no text of the template's. */
    t = task_of("x\tlabel\na the he\t1\n", "{x}ing", "er, the", 5, tok);
    assert_int_equal(t.ids[0], tokenizer_bos(tok));
    assert_int_equal(t.ids[1], tokenizer_find(tok, " the"));
    task_close(&t);
    free(want.ids);
    tokenizer_close(tok);
    free(bin);
}

static void test_words(void **state) {
    (void)state;
    char *json = small_json(NULL, NULL, NULL, NULL);
    struct tokenizer *tok = open_text(json);
    const char table[] = "x\tlabel\na\t1\n";
    struct task t = task_of(table, "{x} in", " the,and", 0, tok);
    assert_int_equal(t.answers[0], tokenizer_find(tok, " the"));
    assert_int_equal(t.answers[1], tokenizer_find(tok, "and"));
    task_close(&t);
    static const struct {
        const char *prompt, *labels, *word;
    } bad[] = {
        {"{x}:", " the, and", "\" and\" must be one token"},
        {"{x}:", " the, and", "behind \":\""},
        {"{x}:", " the, and", "\":| |and\""},
        {"{x}", " the, and", "\".| |and\""},
        {"{x} th", " the,e", "makes \" the\""}, /* it becomes part of the token before it */
        {"{x}:", " the, the", "same token"},
        {"{x}:", " the", "two or more"},
        {"{x}:", "", "label word 0 is empty"},
        {"{x}:", " the,", "label word 1 is empty"},
        {"{x}:", " the,,and", "label word 1 is empty"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const int rc = open_bytes(&t, table, strlen(table), bad[i].prompt, bad[i].labels, 0, tok);
        if (rc != ERR_USAGE || !strstr(e.msg, bad[i].word))
            fail_msg("\"%s\" \"%s\": %d, \"%s\"", bad[i].prompt, bad[i].labels, rc, e.msg);
    }
    char many[3 * CHOICE_MAX + 3];
    for (int k = 0; k <= CHOICE_MAX; k++) memcpy(many + 2 * k, (char[2]){(char)('0' + k), ','}, 2);
    many[2 * CHOICE_MAX + 1] = '\0';
    assert_int_equal(open_bytes(&t, table, strlen(table), "{x}", many, 0, byte), ERR_USAGE);
    assert_non_null(strstr(e.msg, "more than 32"));
    many[2 * CHOICE_MAX - 1] = '\0';
    t = task_of(table, "{x}", many, 0, byte);
    assert_int_equal(t.n_labels, CHOICE_MAX);
    task_close(&t);
    tokenizer_close(tok);
    free(json);
}

static void test_bad_tables(void **state) {
    (void)state;
    static const struct {
        const char *text, *prompt;
        int code;
        const char *says;
    } cases[] = {
        {"", "{x}", ERR_INPUT, "is empty"},
        {"x\tlabel\n", "{x}", ERR_INPUT, "no examples"},
        {"x\tlabel", "{x}", ERR_INPUT, "no examples"},
        {"x\tlabels\na\t1\n", "{x}", ERR_INPUT,
         "line 1: there is no column \"label\"; the header is \"x?labels\""},
        {"x\tlabel\na\t1\n", "{y}", ERR_INPUT, "no column \"y\""},
        {"x\tlabel\na\t1\n", "{}", ERR_INPUT, "no column \"\""},
        {"x\tlabel\na\t1\n", "{label}", ERR_USAGE, "is the answer"},
        {"x\tlabel\na\t1\n", "x", ERR_USAGE, "names no column"},
        {"x\tlabel\na\t1\n", "{x", ERR_USAGE, "no closing brace"},
        {"x\tlabel\na\t1\na\n", "{x}", ERR_INPUT, "line 3: found 1 columns, the header has 2"},
        {"x\tlabel\na\t1\t\n", "{x}", ERR_INPUT, "line 2: found 3 columns"},
        {"x\tlabel\na\t1\n\nb\t1\n", "{x}", ERR_INPUT, "line 3: found 1 columns"},
        {"x\tlabel\na\t2\n", "{x}", ERR_INPUT,
         "line 2: label is \"2\", expected a number from 0 to 1"},
        {"x\tlabel\na\t-1\n", "{x}", ERR_INPUT, "label is \"-1\""},
        {"x\tlabel\na\t1.0\n", "{x}", ERR_INPUT, "label is \"1.0\""},
        {"x\tlabel\na\t4294967297\n", "{x}", ERR_INPUT, "label is \"4294967297\""},
        {"x\tlabel\na\t\n", "{x}", ERR_INPUT, "label is \"\""},
        {"x\tlabel\na\tyes\n", "{x}", ERR_INPUT, "label is \"yes\""},
        {"x\tlabel\na\t1\nb\xff\t1\n", "{x}", ERR_INPUT,
         "line 3: byte 0xff at offset 1 is not UTF-8"},
        {"x\xc3\tlabel\na\t1\n", "{x}", ERR_INPUT, "line 1: byte 0xc3 at offset 1"},
        {"x\tlabel\n  \t1\n", "{x}", ERR_INPUT, "line 2: the prompt has 0 tokens"},
    };
    struct task t;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int rc =
            open_bytes(&t, cases[i].text, strlen(cases[i].text), cases[i].prompt, "0,1", 0, byte);
        if (rc != cases[i].code || !strstr(e.msg, cases[i].says))
            fail_msg("case %zu: %d, \"%s\"", i, rc, e.msg);
        if (rc == ERR_INPUT && !strstr(e.msg, path)) fail_msg("\"%s\" names no file", e.msg);
    }
    char *many = malloc(70 * 3 + 1);
    for (int i = 0; i < 70; i++) memcpy(many + 3 * i, "{x}", 4);
    assert_int_equal(open_bytes(&t, "x\tlabel\na\t1\n", 12, many, "0,1", 0, byte), ERR_USAGE);
    free(many);
    unlink(path);
    const struct task_opts o = {.path = path, .prompt = "{x}", .labels = "0,1"};
    assert_int_equal(task_open(&t, &o, byte, &e), ERR_IO);
}

static void test_truncated(void **state) {
    (void)state;
    static const char text[] = "x\tlabel\tz\r\nl\xc3\xa9\xe4\xba\xba\t1\tw\na\t0\tbb\r\n";
    int good = 0;
    for (size_t n = 0; n < sizeof text; n++) {
        struct task t;
        const int rc = open_bytes(&t, text, n, "{x}:{z}", "0,1", 4, byte);
        assert_true(rc == 0 || rc == ERR_INPUT);
        good += rc == 0;
        if (rc == 0) assert_in_range(t.n, 1, 2);
        task_close(&t);
    }
    assert_in_range(good, 3, 12);
}

/* ---- batches --------------------------------------------------------------------------------- */

static void test_order(void **state) {
    (void)state;
    struct task t = letters(), u = letters();
    int64_t first[3 * N];
    assert_true(t.n == N && t.hash == u.hash);
    for (int epoch = 0; epoch < 3; epoch++) {
        bool seen[N] = {false};
        for (int i = 0; i < N; i++) {
            const int64_t k = task_example(&t, 5, (uint64_t)(epoch * N + i));
            assert_true(k >= 0 && k < N && !seen[k]);
            seen[k] = true;
            first[epoch * N + i] = k;
        }
    }
    assert_memory_not_equal(first, first + N, N * sizeof *first);
    assert_memory_not_equal(first + N, first + 2 * N, N * sizeof *first);
    int same = 0;
    for (int i = 3 * N - 1; i >= 0; i -= 2) { /* any row at any time */
        assert_int_equal(task_example(&u, 5, (uint64_t)i), first[i]);
        same += task_example(&u, 6, (uint64_t)i) == first[i];
    }
    assert_true(same < N);
    enum { B = 7 }; /* over the end of an epoch */
    const int64_t T = task_batch_len(&u, 5, N - 3, B);
    assert_in_range(T, 1, 5);
    uint32_t input[B * 5];
    int32_t pos[B], label[B];
    task_fill(&u, 5, N - 3, B, T, input, pos, label);
    for (int b = 0; b < B; b++) {
        const int64_t k = first[N - 3 + b];
        assert_int_equal(pos[b], k % 5);
        assert_int_equal(label[b], k % 3);
        assert_int_equal(input[b * T + pos[b]], 'a' + k);
    }
    task_close(&t);
    task_close(&u);
}

static void test_map(void **state) {
    (void)state;
    struct model m = {.full_vocab = 'v' + 1};
    struct task t = letters(); /* a to w */
    assert_int_equal(task_map(&t, &m, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "token id 119 is outside the model's vocabulary of 119"));
    m.full_vocab = 'w' + 1;
    ok(task_map(&t, &m, &e));
    uint32_t compact[256];
    for (uint32_t i = 0; i < 256; i++) compact[i] = i >= 40 ? i - 40 : UINT32_MAX;
    m.compact_id = compact;
    struct task u = letters();
    ok(task_map(&u, &m, &e));
    for (int64_t i = 0; i < t.start[N]; i++) assert_int_equal(u.ids[i], t.ids[i] - 40);
    for (int k = 0; k < 3; k++) assert_int_equal(u.answers[k], t.answers[k] - 40);
    assert_true(u.hash == t.hash);
    task_close(&u);
    compact['1'] = UINT32_MAX;
    u = letters();
    assert_int_equal(task_map(&u, &m, &e), ERR_INPUT);
    task_close(&u);
    task_close(&t);
}

/* ---- real data ------------------------------------------------------------------------------- */

static void check_file(const char *name, const struct tokenizer *tok, int64_t n, int64_t ones) {
    const char *file = data_file(name);
    struct task t;
    const struct task_opts o = {
        .path = file, .prompt = "{sentence} It was", .labels = " terrible, great", .seq = 48};
    ok(task_open(&t, &o, tok, &e));
    int64_t found = 0;
    for (int64_t i = 0; i < t.n; i++) found += t.label[i];
    print_message("%s: %lld examples, %lld of label 1, longest prompt %lld tokens\n", name,
                  (long long)t.n, (long long)found, (long long)t.max_len);
    assert_int_equal(t.n, n);
    assert_int_equal(found, ones);
    assert_true(t.T <= 48 && task_len(&t, 0) > 3);
    task_close(&t);
}

static void test_sst2(void **state) {
    (void)state;
    const char *file = data_file("tokenizers/smollm2/tokenizer.json");
    struct tokenizer *tok;
    ok(tokenizer_open(&tok, file, &e));
    check_file("tasks/SST-2/k-shot/16-13/train.tsv", tok, 32, 16);
    check_file("tasks/SST-2/k-shot/16-13/test.tsv", tok, 872, 444);
    check_file("tasks/SST-2/train.tsv", tok, 60614, 33828);
    check_file("tasks/SST-2/dev.tsv", tok, 6735, 3741);
    struct task t;
    const int rc = open_bytes(&t, "sentence\tlabel\na\t1\n", 19, "{sentence} It was",
                              " terrible, unwatchable", 0, tok);
    assert_int_equal(rc, ERR_USAGE);
    assert_non_null(strstr(e.msg, "\" unwatchable\" must be one token behind \" It was\""));
    t = task_of("sentence\tlabel\na joy \t1\n", "{sentence} It was", " terrible, great", 0, tok);
    check_prompt(&t, 0, tok, "a joy It was", 1);
    assert_int_equal(t.answers[0], tokenizer_find(tok, " terrible"));
    assert_int_equal(t.answers[1], tokenizer_find(tok, " great"));
    task_close(&t);
    tokenizer_close(tok);
}

/* GLUE's own names. */
static void test_rte(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int64_t n, entailed;
    } files[] = {{"tasks/RTE/train.tsv", 2490, 1249}, {"tasks/RTE/dev.tsv", 277, 146}};
    struct tokenizer *tok;
    ok(tokenizer_open(&tok, data_file("tokenizers/smollm2/tokenizer.json"), &e));
    for (size_t i = 0; i < 2; i++) {
        struct task t;
        const struct task_opts o = {.path = data_file(files[i].name),
                                    .prompt = "{sentence1} Therefore, {sentence2} Right? Answer:",
                                    .labels = "not_entailment= no,entailment= yes",
                                    .seq = 256};
        ok(task_open(&t, &o, tok, &e));
        int64_t ones = 0;
        for (int64_t k = 0; k < t.n; k++) ones += t.label[k];
        print_message("%s: %lld examples, %lld entailed\n", files[i].name, (long long)t.n,
                      (long long)ones);
        assert_int_equal(t.n, files[i].n);
        assert_int_equal(ones, files[i].entailed);
        task_close(&t);
    }
    tokenizer_close(tok);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompts),     cmocka_unit_test(test_names),
        cmocka_unit_test(test_editors),     cmocka_unit_test(test_csv),
        cmocka_unit_test(test_shorten),     cmocka_unit_test(test_special_tokens),
        cmocka_unit_test(test_start_token), cmocka_unit_test(test_words),
        cmocka_unit_test(test_bad_tables),  cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_order),       cmocka_unit_test(test_map),
        data_test(test_sst2),               data_test(test_rte),
    };
    return data_run(argc, argv, tests, setup, teardown);
}
