/* Splits, the order of an epoch, random and validation windows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "batch.h"
#include "rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A shard in memory whose token i is i. */
struct fixture {
    struct shard s;
    uint32_t *tokens;
    uint64_t *docs, *doc_bytes;
    double *doc_bits;
    char name[8];
};

static void fixture_init(struct fixture *f, uint64_t n_tokens, uint64_t n_docs) {
    memset(f, 0, sizeof *f);
    strcpy(f->name, "fixture");
    f->tokens = malloc(n_tokens * sizeof *f->tokens);
    f->docs = malloc(n_docs * sizeof *f->docs);
    f->doc_bytes = malloc(n_docs * sizeof *f->doc_bytes);
    f->doc_bits = malloc(n_docs * sizeof *f->doc_bits);
    assert_true(f->tokens && f->docs && f->doc_bytes && f->doc_bits);
    for (uint64_t i = 0; i < n_tokens; i++) f->tokens[i] = (uint32_t)i;
    for (uint64_t i = 0; i < n_docs; i++) {
        f->docs[i] = i * n_tokens / n_docs;
        f->doc_bytes[i] = 3 * i + 1;
        f->doc_bits[i] = 0.25 * (double)i;
    }
    f->s = (struct shard){.width = 4,
                          .vocab = UINT32_MAX,
                          .n_tokens = n_tokens,
                          .n_docs = n_docs,
                          .tokens = f->tokens,
                          .docs = f->docs,
                          .doc_bytes = f->doc_bytes,
                          .doc_bits = f->doc_bits};
    f->s.map.path = f->name;
}

static void fixture_release(struct fixture *f) {
    free(f->tokens);
    free(f->docs);
    free(f->doc_bytes);
    free(f->doc_bits);
}

/* Start of the window of a row; checks that the row is one window and its shift by one. */
static uint64_t row_start(const struct batcher *b, uint64_t index) {
    uint32_t input[64], target[64];
    assert_true(b->T <= 64);
    batch_row(b, index, input, target);
    for (int64_t i = 0; i < b->T; i++) {
        assert_int_equal(input[i], input[0] + (uint32_t)i);
        assert_int_equal(target[i], input[i] + 1);
    }
    assert_true(input[0] >= b->split.begin && target[b->T - 1] < b->split.end);
    return input[0];
}

/* Windows ------------------------------------------------------------------------------------- */

static void random_windows(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 40, 4);
    struct batcher b = {&f.s, {10, 30, 0, -1}, 7, 99, BATCH_RANDOM};
    int seen[40] = {0};
    for (uint64_t i = 0; i < 13000; i++) {
        struct rng r = rng_make(99, RNG_BATCH, i, 0, 0);
        uint64_t at = row_start(&b, i);
        assert_int_equal(at, 10 + rng_below(&r, 13)); /* 20 tokens hold 13 windows of 8 */
        seen[at]++;
    }
    for (int i = 0; i < 40; i++) {
        if (i < 10 || i > 22)
            assert_int_equal(seen[i], 0);
        else
            assert_true(abs(seen[i] - 1000) < 150); /* 5 standard deviations */
    }
    b.seed = 100;
    int same = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t at = row_start(&b, i);
        b.seed = 99;
        same += at == row_start(&b, i);
        b.seed = 100;
    }
    assert_true(same < 150);
    b.T = 19; /* the whole split is the only window */
    for (uint64_t i = 0; i < 10; i++) assert_int_equal(row_start(&b, i), 10);
    fixture_release(&f);
}

/* Every epoch visits every window exactly once, for every small number of windows. */
static void epoch_is_permutation(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 2100, 1);
    for (int64_t T = 1; T <= 3; T += 2)
        for (uint64_t n = 1; n <= (T == 1 ? 300 : 40); n++) {
            struct batcher b = {&f.s, {5, 5 + n * (uint64_t)T + 1, 0, -1}, T, n, BATCH_EPOCH};
            assert_int_equal(batch_epoch_rows(&b), n);
            for (uint64_t epoch = 0; epoch < 3; epoch++) {
                uint8_t seen[301] = {0};
                for (uint64_t i = 0; i < n; i++) {
                    uint64_t at = row_start(&b, epoch * n + i) - 5;
                    assert_int_equal(at % (uint64_t)T, 0);
                    assert_int_equal(seen[at / (uint64_t)T]++, 0);
                }
            }
        }
    fixture_release(&f);
}

/* Ragged ends: tokens that do not fill a window are left out of the epoch. */
static void epoch_length(void **state) {
    (void)state;
    struct batcher b = {.T = 4};
    for (uint64_t tokens = 5; tokens < 40; tokens++) {
        b.split = (struct split){100, 100 + tokens, 0, -1};
        uint64_t windows = 0;
        while (windows * 4 + 5 <= tokens) windows++;
        assert_int_equal(batch_epoch_rows(&b), windows);
    }
}

/* Over many epochs every order of 4 windows is as frequent as the others, and an order says nothing
 * about the next one's first window. */
static void epoch_is_uniform(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 5, 1);
    struct batcher b = {&f.s, {0, 5, 0, -1}, 1, 7, BATCH_EPOCH};
    enum { EPOCHS = 24000 };
    int orders[256] = {0}, follow[4][4] = {{0}}, distinct = 0, last = -1;
    double chi2 = 0, follow2 = 0;
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        int code = 0, first = (int)row_start(&b, epoch * 4);
        for (uint64_t i = 0; i < 4; i++) code = code * 4 + (int)row_start(&b, epoch * 4 + i);
        orders[code]++;
        if (last >= 0) follow[last][first]++;
        last = first;
    }
    for (int i = 0; i < 256; i++) {
        distinct += orders[i] > 0;
        if (orders[i]) chi2 += pow(orders[i] - EPOCHS / 24.0, 2) / (EPOCHS / 24.0);
    }
    for (int i = 0; i < 16; i++)
        follow2 += pow(follow[i / 4][i % 4] - EPOCHS / 16.0, 2) / (EPOCHS / 16.0);
    assert_int_equal(distinct, 24);
    assert_true(chi2 < 61);    /* 23 degrees of freedom: p = 3e-5 */
    assert_true(follow2 < 46); /* 15 degrees of freedom: p = 5e-5 */
    fixture_release(&f);
}

/* Large numbers of windows: still inside the split, no value twice in a stretch. */
static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void epoch_large(void **state) {
    (void)state;
    enum { N = 1000003, ROWS = 20000 };
    struct fixture f;
    fixture_init(&f, N + 1, 1);
    struct batcher b = {&f.s, {0, N + 1, 0, -1}, 1, 1, BATCH_EPOCH};
    uint64_t *seen = malloc(ROWS * sizeof *seen), ascending = 0;
    assert_non_null(seen);
    for (uint64_t i = 0; i < ROWS; i++) {
        seen[i] = row_start(&b, i);
        if (i) ascending += seen[i] > seen[i - 1];
    }
    assert_true(ascending > ROWS / 2 - 500 && ascending < ROWS / 2 + 500);
    qsort(seen, ROWS, sizeof *seen, by_value);
    for (int i = 1; i < ROWS; i++) assert_true(seen[i] > seen[i - 1]);
    free(seen);
    fixture_release(&f);
}

static void validation_windows(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 200, 1);
    struct split v = {50, 50 + 103, 0, -1}; /* 102 targets: 20 windows of 5 */
    uint32_t input[5], target[5];
    assert_int_equal(val_rows(&v, 5, 0), 20);
    assert_int_equal(val_rows(&v, 5, 21), 20);
    assert_int_equal(val_rows(&v, 5, 7), 7);
    for (uint64_t n = 1; n <= 20; n++) {
        uint64_t end = 0, gap_min = UINT64_MAX, gap_max = 0, last = 0;
        for (uint64_t i = 0; i < n; i++) {
            val_row(&f.s, &v, 5, n, i, input, target);
            for (int j = 0; j < 5; j++) {
                assert_int_equal(input[j], input[0] + (uint32_t)j);
                assert_int_equal(target[j], input[j] + 1);
            }
            assert_int_equal((input[0] - v.begin) % 5, 0);
            assert_true(input[0] >= end && target[4] < v.end);
            if (i) {
                uint64_t gap = input[0] - last;
                if (gap < gap_min) gap_min = gap;
                if (gap > gap_max) gap_max = gap;
            }
            last = input[0];
            end = last + 5;
        }
        if (n > 1) assert_true(gap_max - gap_min <= 5);
        if (n == 20) assert_true(gap_max == 5 && gap_min == 5);
    }
    v.end = v.begin;
    assert_int_equal(val_rows(&v, 5, 0), 0);
    v.end = v.begin + 5;
    assert_int_equal(val_rows(&v, 5, 0), 0);
    fixture_release(&f);
}

static void narrow_tokens(void **state) {
    (void)state;
    uint16_t tokens[10];
    uint32_t input[3], target[3];
    for (int i = 0; i < 10; i++) tokens[i] = (uint16_t)(65535 - i);
    struct shard s = {.width = 2, .vocab = 65536, .n_tokens = 10, .tokens = tokens};
    struct split v = {0, 10, 0, -1};
    val_row(&s, &v, 3, 3, 2, input, target);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(input[i], 65535 - 6 - i);
        assert_int_equal(target[i], 65535 - 7 - i);
    }
}

/* Splits -------------------------------------------------------------------------------------- */

static void check_sums(const struct shard *s, const struct split *p) {
    uint64_t bytes = 0;
    double bits = 0;
    for (uint64_t i = 0; i < s->n_docs; i++)
        if (s->docs[i] >= p->begin && s->docs[i] < p->end) {
            bytes += s->doc_bytes[i];
            bits += s->doc_bits[i];
        }
    assert_int_equal(p->bytes, bytes);
    assert_true(fabs(p->bits - bits) < 1e-9);
}

static void split_by_document(void **state) {
    (void)state;
    struct fixture f;
    struct split train, val;
    struct err e;
    for (uint64_t n_docs = 2; n_docs < 40; n_docs++) {
        fixture_init(&f, 1000, n_docs);
        f.docs[1] = 3; /* a short first document */
        for (int k = 1; k < 100; k++) {
            double want = floor((1 - k / 100.0) * 1000), best = 1e9;
            int rc = split_make(&f.s, "data", k / 100.0, 1, &train, &val, &e);
            assert_int_equal(rc, 0);
            assert_int_equal(train.begin, 0);
            assert_int_equal(train.end, val.begin);
            assert_int_equal(val.end, 1000);
            for (uint64_t d = 1; d < n_docs; d++)
                if (fabs((double)f.docs[d] - want) < best) best = fabs((double)f.docs[d] - want);
            assert_true(fabs((double)val.begin - want) == best);
            check_sums(&f.s, &train);
            check_sums(&f.s, &val);
        }
        fixture_release(&f);
    }
}

static void split_whole(void **state) {
    (void)state;
    struct fixture f;
    struct split train, val;
    struct err e;
    fixture_init(&f, 100, 5);
    f.s.doc_bits = NULL;
    assert_int_equal(split_make(&f.s, "data", 0, 99, &train, &val, &e), 0);
    assert_int_equal(train.end - train.begin, 100);
    assert_int_equal(train.bytes, 1 + 4 + 7 + 10 + 13);
    assert_true(train.bits == -1);
    assert_true(val.begin == 100 && val.end == 100 && val.bytes == 0);
    assert_int_equal(val_rows(&val, 99, 0), 0);
    assert_int_equal(split_make(&f.s, "data", 0, 100, &train, &val, &e), ERR_INPUT);
    assert_string_equal(e.msg,
                        "data has 100 tokens, a window of 100 needs at least 101 (--seq 99 is "
                        "possible)");
    fixture_release(&f);
}

static void split_one_document(void **state) {
    (void)state;
    struct fixture f;
    struct split train, val;
    struct err e;
    fixture_init(&f, 2005, 1);
    assert_int_equal(split_make(&f.s, "data", 0.1, 10, &train, &val, &e), 0);
    assert_int_equal(train.end, 1804); /* (size_t)(0.9 * 2005), as the predecessors cut */
    assert_int_equal(val.begin, 1804);
    assert_true(train.bytes == 0 && val.bytes == 0 && train.bits == -1 && val.bits == -1);
    assert_int_equal(split_make(&f.s, "data", 0.1, 201, &train, &val, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "validation"));
    assert_non_null(strstr(e.msg, "201 of 2005"));
    assert_int_equal(split_make(&f.s, "data", 0.1, 200, &train, &val, &e), 0);
    assert_int_equal(split_make(&f.s, "data", 0.9999, 1, &train, &val, &e), ERR_INPUT);
    fixture_release(&f);
}

/* A long document and a very short one behind or before it: cut as the long one alone. */
static void split_short_document(void **state) {
    (void)state;
    struct fixture f;
    struct split train, val;
    struct err e;
    fixture_init(&f, 2008, 2);
    f.docs[1] = 2000;
    assert_int_equal(split_make(&f.s, "data", 0.1, 10, &train, &val, &e), 0);
    assert_int_equal(train.begin, 0);
    assert_int_equal(train.end, 1807); /* (size_t)(0.9 * 2008) */
    assert_int_equal(val.begin, 1807);
    assert_int_equal(val.end, 2008);
    assert_true(train.bytes == 0 && val.bytes == 0 && train.bits == -1 && val.bits == -1);
    assert_int_equal(split_make(&f.s, "data", 0.1, 7, &train, &val, &e),
                     0); /* one window fits into it */
    assert_int_equal(val.begin, 2000);
    check_sums(&f.s, &val);
    f.docs[1] = 5;
    assert_int_equal(split_make(&f.s, "data", 0.1, 10, &train, &val, &e), 0);
    assert_int_equal(val.begin, 1807);
    assert_int_equal(split_make(&f.s, "data", 0.1, 300, &train, &val, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "--val-fraction"));
    fixture_release(&f);
}

/* Three parts in their order, each between two documents: the last nearest to its share of all
 * tokens, the one before it to its share of what is left. Without a test they are the two of
 * split_make. */
static void three_parts(void **state) {
    (void)state;
    struct fixture f;
    struct splits p;
    struct split train, val;
    struct err e;
    for (uint64_t n_docs = 4; n_docs < 40; n_docs += 5) {
        fixture_init(&f, 1000, n_docs);
        for (int k = 0; k < 60; k += 7)
            for (int j = 0; j < 40; j += 3) {
                const double v = k / 100.0, t = j / 100.0;
                if (splits_make(&f.s, "data", v, t, 1, &p, &e)) continue; /* too few documents */
                assert_int_equal(p.train.begin, 0);
                assert_int_equal(p.val.begin, p.train.end);
                assert_int_equal(p.test.begin, p.val.end);
                assert_int_equal(p.test.end, 1000);
                assert_true((p.val.end > p.val.begin) == (k > 0));
                assert_true((p.test.end > p.test.begin) == (j > 0));
                const struct split *part[] = {&p.train, &p.val, &p.test};
                uint64_t bytes = 0;
                for (int i = 0; i < 3; i++) {
                    if (part[i]->bytes) check_sums(&f.s, part[i]);
                    bytes += part[i]->bytes;
                }
                uint64_t want = 0; /* where no document is cut every byte is in one part */
                for (uint64_t d = 0; d < n_docs; d++) want += f.s.doc_bytes[d];
                if (p.train.bytes && (p.val.bytes || !k) && (p.test.bytes || !j))
                    assert_int_equal(bytes, want);
                if (j) continue;
                assert_int_equal(split_make(&f.s, "data", v, 1, &train, &val, &e), 0);
                assert_memory_equal(&train, &p.train, sizeof train);
                assert_memory_equal(&val, &p.val, sizeof val);
            }
        /* The test's place does not depend on validation. */
        assert_int_equal(splits_make(&f.s, "data", 0, 0.25, 1, &p, &e), 0);
        const uint64_t at = p.test.begin;
        double best = 1e9;
        for (uint64_t d = 1; d < n_docs; d++)
            if (fabs((double)f.docs[d] - 750) < best) best = fabs((double)f.docs[d] - 750);
        assert_true(fabs((double)at - 750) == best);
        assert_int_equal(splits_make(&f.s, "data", 0.3, 0.25, 1, &p, &e), 0);
        assert_int_equal(p.test.begin, at);
        fixture_release(&f);
    }
}

/* One document is cut in three; what is too small is named. */
static void three_parts_of_one(void **state) {
    (void)state;
    struct fixture f;
    struct splits p;
    struct err e;
    fixture_init(&f, 1000, 1);
    assert_int_equal(splits_make(&f.s, "data", 0.125, 0.25, 10, &p, &e), 0);
    assert_int_equal(p.train.end, 625);
    assert_int_equal(p.val.end, 750);
    assert_int_equal(p.test.end, 1000);
    assert_true(p.train.bytes == 0 && p.val.bytes == 0 && p.test.bytes == 0);
    assert_int_equal(splits_make(&f.s, "data", 0.125, 0.25, 124, &p, &e), 0);
    assert_int_equal(splits_make(&f.s, "data", 0.125, 0.25, 125, &p, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "the validation split has 125 of 1000 tokens"));
    assert_non_null(strstr(e.msg, "--val-fraction sets the share of validation"));
    assert_int_equal(splits_make(&f.s, "data", 0, 0.1, 100, &p, &e), ERR_INPUT);
    assert_non_null(strstr(e.msg, "the test split has 100 of 1000 tokens"));
    assert_non_null(strstr(e.msg, "--test-fraction sets the share of the test"));
    fixture_release(&f);
    /* A last document that takes nearly all leaves the rest in its proportions. */
    fixture_init(&f, 1000, 2);
    f.docs[1] = 100;
    assert_int_equal(splits_make(&f.s, "data", 0.45, 0.1, 10, &p, &e), 0);
    assert_int_equal(p.test.begin, 100);
    assert_int_equal(p.train.end, 50);
    assert_int_equal(p.val.end, 100);
    fixture_release(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_windows), cmocka_unit_test(epoch_is_permutation),
        cmocka_unit_test(epoch_length),   cmocka_unit_test(epoch_is_uniform),
        cmocka_unit_test(epoch_large),    cmocka_unit_test(validation_windows),
        cmocka_unit_test(narrow_tokens),  cmocka_unit_test(split_by_document),
        cmocka_unit_test(split_whole),    cmocka_unit_test(split_one_document),
        cmocka_unit_test(split_short_document),
        cmocka_unit_test(three_parts),
        cmocka_unit_test(three_parts_of_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
