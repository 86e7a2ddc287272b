/* The clock of a run: what is written is read, torn ends go, and damage is refused at its place. */
#include "record_fixture.h"

#include "clock_record.h"

#include <math.h>
#include <xxhash.h>

enum { HEAD = 16, ONE = 16, MOST = 40 };
static const double END = 1;

static struct clock_record c;

static int enter(void **state) {
    c = (struct clock_record){0};
    return enter_dir(state);
}

static int leave(void **state) {
    clock_record_close(&c);
    return leave_dir(state);
}

/* Shares of which no two bits are alike, as seconds over seconds are. */
static double share_of(int64_t i) {
    return (double)i / 41 + 1e-9 * (double)(i % 7);
}

static double scale_of(int64_t i) {
    return i < 9 ? 1 : i < 20 ? 0.5 : 0.25;
}

static void append(int64_t from, int64_t to) {
    for (int64_t i = from; i < to; i++) ok(clock_record_append(&c, share_of(i), scale_of(i), &e));
}

static void make(const char *path, int64_t updates, bool ended) {
    ok(clock_record_create(&c, path, &e));
    append(0, updates);
    if (ended) ok(clock_record_end(&c, END, &e));
    ok(clock_record_sync(&c, &e));
    clock_record_close(&c);
}

static void holds(const char *path, int64_t updates, bool ended) {
    ok(clock_record_open(&c, path, &e));
    assert_int_equal(c.updates, updates);
    assert_int_equal(c.ended, ended);
    assert_int_equal(c.torn, 0);
    for (int64_t i = 0; i < updates; i++) {
        assert_true(clock_record_share(&c, i) == share_of(i));
        assert_true(clock_record_scale(&c, i) == scale_of(i));
    }
    assert_true(clock_record_share(&c, updates) == 1);
    clock_record_close(&c);
}

/* By readers and writers, who leave it as it is. */
static void refused(const char *path, const char *says) {
    const size_t before = size_of(path);
    for (int write = 0; write < 2; write++) {
        e = (struct err){0};
        assert_int_equal(write ? clock_record_append_open(&c, path, &e)
                               : clock_record_open(&c, path, &e),
                         ERR_INPUT);
        if (!strstr(e.msg, says) || !strstr(e.msg, path))
            fail_msg("\"%s\" lacks \"%s\"", e.msg, says);
        assert_true(!c.map.path && !c.file.path);
        assert_int_equal(size_of(path), before);
    }
}

static void round_trip(void **state) {
    (void)state;
    for (int ended = 0; ended < 2; ended++) {
        make("a", MOST, ended);
        assert_int_equal(size_of("a"), HEAD + ONE * (MOST + ended));
        holds("a", MOST, ended);
        make("a", 0, ended); /* in its place */
        holds("a", 0, ended);
    }
    assert_int_equal(clock_record_create(&c, "nowhere/a", &e), ERR_IO);
    assert_true(!c.map.path && !c.file.path);
    assert_int_equal(clock_record_open(&c, "nowhere/a", &e), ERR_IO);
}

/* Where it ended counts behind the last update, also before the whole budget was used. */
static void ended_early(void **state) {
    (void)state;
    ok(clock_record_create(&c, "a", &e));
    append(0, 3);
    ok(clock_record_end(&c, 0.375, &e));
    clock_record_close(&c);
    ok(clock_record_open(&c, "a", &e));
    assert_true(c.ended && c.end == 0.375 && c.updates == 3);
    assert_true(clock_record_share(&c, 2) == share_of(2) && clock_record_share(&c, 3) == 0.375);
}

/* A run goes on from an earlier update, or from its end: the file is that of one that never went
 * further. */
static void cut(void **state) {
    (void)state;
    size_t n;
    make("a", MOST, true);
    uint8_t *all = get_file("a", &n);
    for (int64_t at = 0; at <= MOST; at++) {
        put_file("b", all, n);
        ok(clock_record_append_open(&c, "b", &e));
        assert_true(c.ended && c.updates == MOST);
        ok(clock_record_cut(&c, at, &e));
        assert_true(!c.ended && c.updates == at);
        assert_int_equal(size_of("b"), HEAD + ONE * (size_t)at);
        append(at, MOST);
        ok(clock_record_end(&c, END, &e));
        clock_record_close(&c);
        is_bytes("b", all, n);
    }
    free(all);
}

static void copied(void **state) {
    (void)state;
    size_t n;
    make("a", 7, true);
    uint8_t *all = get_file("a", &n);
    put_file("b", all, n - 3); /* the end of it is torn */
    ok(clock_record_open(&c, "b", &e));
    assert_true(!c.ended && c.torn == ONE - 3);
    ok(clock_record_copy(&c, "d", &e));
    clock_record_close(&c);
    is_bytes("d", all, n - ONE);
    free(all);
}

/* Cut off at every byte: the head is refused, of the rest what is whole is kept, and a run that
 * goes on gives the file of the one that was not cut off. */
static void truncated(void **state) {
    (void)state;
    size_t n;
    make("a", 6, true);
    uint8_t *all = get_file("a", &n);
    for (size_t end = 0; end < n; end++) {
        put_file("b", all, end);
        if (end < HEAD) {
            refused("b", "not the clock of a run");
            continue;
        }
        const int64_t whole = (int64_t)((end - HEAD) / ONE);
        ok(clock_record_open(&c, "b", &e));
        assert_int_equal(c.updates, whole);
        assert_int_equal(c.torn, (end - HEAD) % ONE);
        assert_false(c.ended);
        clock_record_close(&c);
        ok(clock_record_append_open(&c, "b", &e));
        assert_int_equal(size_of("b"), HEAD + ONE * (size_t)whole);
        append(whole, 6);
        ok(clock_record_end(&c, END, &e));
        clock_record_close(&c);
        is_bytes("b", all, n);
    }
    free(all);
}

/* After a power failure the file may have its size, but not its last bytes. */
static void zeros_at_the_end(void **state) {
    (void)state;
    size_t n;
    make("a", 6, false);
    uint8_t *all = get_file("a", &n), *longer = calloc(1, n + 5000);
    assert_non_null(longer);
    memcpy(longer, all, n - 20);
    put_file("b", longer, n + 5000);
    ok(clock_record_append_open(&c, "b", &e));
    assert_int_equal(c.updates, 4);
    clock_record_close(&c);
    holds("b", 4, false);
    free(longer);
    free(all);
}

/* Every bit counts: in the head and in records that others follow it is an error, in the last it
 * makes a torn end. */
static void flipped(void **state) {
    (void)state;
    size_t n;
    make("a", 5, true);
    uint8_t *all = get_file("a", &n);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            all[i] ^= (uint8_t)(1 << bit);
            put_file("b", all, n);
            if (i < HEAD) {
                refused("b", i < 8 ? "magic at offset 0" : i < 12 ? "at offset 8" : "at offset 12");
            } else if (i < n - ONE) {
                char says[80];
                snprintf(says, sizeof says, "record %zu at offset %zu is damaged",
                         (i - HEAD) / ONE, i / ONE * ONE);
                refused("b", says);
            } else {
                ok(clock_record_open(&c, "b", &e));
                assert_true(c.updates == 5 && !c.ended && c.torn == ONE);
                clock_record_close(&c);
            }
            all[i] ^= (uint8_t)(1 << bit);
        }
    free(all);
}

/* Records in another order, though each has a right sum for its place. */
static void moved(void **state) {
    (void)state;
    size_t n;
    make("a", 6, false);
    uint8_t *all = get_file("a", &n), x[ONE];
    memcpy(x, all + HEAD + ONE, ONE);
    memcpy(all + HEAD + ONE, all + HEAD + 2 * ONE, ONE);
    memcpy(all + HEAD + 2 * ONE, x, ONE);
    put_file("b", all, n);
    refused("b", "record 1 at offset 32 is damaged");
    free(all);
}

/* Whole records that say what cannot be. */
static void forged(void **state) {
    (void)state;
    const struct {
        double share;
        float scale;
        const char *says;
    } cases[] = {
        {NAN, 1, "its share is not from 0 to 1"},      {-0.1, 1, "its share is not from 0 to 1"},
        {1.0000001, 1, "its share is not from 0 to 1"}, {INFINITY, 1, "its share is not"},
        {0.5, NAN, "its factor is not from 0 to 1"},   {0.5, -1, "its factor is not from 0 to 1"},
        {0.5, 1.5f, "its factor is not from 0 to 1"},  {0.5, 0, "comes behind the end of the run"},
    };
    size_t n;
    make("a", 4, false);
    uint8_t *all = get_file("a", &n);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *at = all + HEAD + 2 * ONE;
        memcpy(at, &cases[i].share, 8);
        memcpy(at + 8, &cases[i].scale, 4);
        const uint64_t sum = XXH3_64bits_withSeed(at, 12, 2);
        for (int k = 0; k < 4; k++) at[12 + k] = (uint8_t)(sum >> (8 * k));
        put_file("b", all, n);
        refused("b", cases[i].says);
    }
    free(all);
}

static void write_on(void) {
    if (clock_record_create(&c, "a", &e)) return;
    while (!clock_record_append(&c, 0.5, 1, &e)) continue;
}

/* kill -9 while records are written as fast as they go: whole records are left. */
static void killed(void **state) {
    (void)state;
    for (int run = 0; run < 5; run++) {
        kill_writer(write_on, "a");
        ok(clock_record_append_open(&c, "a", &e)); /* cuts a write across two pages */
        const int64_t n = c.updates;
        clock_record_close(&c);
        ok(clock_record_open(&c, "a", &e));
        assert_true(n > 0 && c.updates == n && !c.torn);
        clock_record_close(&c);
        unlink("a");
    }
}

/* A full disk: the record that does not fit leaves nothing behind. */
static void failed_write(void **state) {
    (void)state;
    make("a", 3, false);
    ok(clock_record_append_open(&c, "a", &e));
    disk_full_at(size_of("a") + 10);
    const int rc = clock_record_append(&c, 0.5, 1, &e);
    const int end = clock_record_end(&c, 0.5, &e);
    disk_has_room();
    assert_int_equal(rc, ERR_IO);
    assert_int_equal(end, ERR_IO);
    assert_string_equal(e.msg, "cannot write a: File too large");
    assert_true(c.updates == 3 && !c.ended);
    append(3, 5);
    clock_record_close(&c);
    holds("a", 5, false);
}

/* The file of two updates and an end, as every version has written it. */
static void bytes(void **state) {
    (void)state;
    static const char want[] = "DUETCLCK" "\1\0\0\0" "\0\0\0\0" /* version; share, factor, sum: */
        "\0\0\0\0\0\0\0\0" "\0\0\x80\x3f" "\xd1\xbd\x8c\x30"
        "\0\0\0\0\0\0\xd0\x3f" "\0\0\0\x3f" "\xd1\x5d\xb2\x22"
        "\0\0\0\0\0\0\xe8\x3f" "\0\0\0\0" "\x4f\xd6\x89\x77";
    ok(clock_record_create(&c, "a", &e));
    ok(clock_record_append(&c, 0, 1, &e));
    ok(clock_record_append(&c, 0.25, 0.5, &e));
    ok(clock_record_end(&c, 0.75, &e));
    clock_record_close(&c);
    is_bytes("a", want, sizeof want - 1);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, enter, leave)
    const struct CMUnitTest tests[] = {
        T(round_trip), T(ended_early),      T(cut),     T(copied), T(truncated),
        T(flipped),    T(zeros_at_the_end), T(moved),   T(forged), T(killed),
        T(failed_write), T(bytes),
    };
#undef T
    return cmocka_run_group_tests_name("clock_record", tests, NULL, NULL);
}
