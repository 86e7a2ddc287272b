/* Trajectories of zeroth-order runs: what is written is read, and torn ends go. */
#include "trajectory_fixture.h"

static void round_trip(void **state) {
    (void)state;
    for (int64_t n_ids = 0; n_ids <= 5; n_ids += 5) {
        make("a", n_ids, 20);
        assert_int_equal(trajectory_open(&t, "a", &e), 0);
        assert_true(t.head.base_hash == 0x0123456789abcdef);
        assert_int_equal(t.head.vocab, 151936);
        assert_int_equal(t.head.n_ids, n_ids);
        if (n_ids) assert_memory_equal(t.head.ids, IDS, sizeof IDS);
        json_t *a = json_loads(t.head.config, 0, NULL), *b = json_loads(CONFIG, 0, NULL);
        assert_true(a && json_equal(a, b));
        json_decref(a);
        json_decref(b);
        trajectory_close(&t);
        holds("a", 20);
    }
    make("empty", 0, 0);
    holds("empty", 0);
}

/* 10,000 steps of one direction: a few hundred kB. */
static void size(void **state) {
    (void)state;
    const struct trajectory_head h = head(0);
    assert_int_equal(trajectory_create(&t, "a", &h, &e), 0);
    const size_t before = size_of("a");
    for (int64_t s = 0; s < 10000; s++) {
        const struct zo_record r = record(s, 1);
        assert_int_equal(trajectory_append(&t, &r, &e), 0);
    }
    assert_int_equal(size_of("a") - before, 10000 * ONE);
    trajectory_close(&t);
    assert_int_equal(trajectory_open(&t, "a", &e), 0);
    assert_int_equal(t.records, 10000);
}

static void most_directions(void **state) {
    (void)state;
    enum { N = TRAJECTORY_MAX_DIRECTIONS };
    const struct trajectory_head h = head(0);
    uint64_t *seed = malloc(N * sizeof *seed);
    float *coef = malloc(N * sizeof *coef);
    assert_true(seed && coef);
    for (int d = 0; d < N; d++) {
        seed[d] = (uint64_t)d << 40;
        coef[d] = (float)-d;
    }
    struct zo_record r = {.step = 0, .accum = 1, .lr = 1, .n = N, .seed = seed, .coef = coef}, got;
    assert_int_equal(trajectory_create(&t, "a", &h, &e), 0);
    assert_int_equal(trajectory_append(&t, &r, &e), 0);
    trajectory_close(&t);
    assert_int_equal(trajectory_open(&t, "a", &e), 0);
    assert_true(trajectory_next(&t, &got));
    same_record(&got, &r);
    free(seed);
    free(coef);
}

static void appends_to_what_is_there(void **state) {
    (void)state;
    make("a", 5, 7);
    assert_int_equal(trajectory_append_open(&t, "a", &e), 0);
    assert_int_equal(t.records, 7);
    assert_int_equal(t.head.n_ids, 5);
    append(7, 12);
    trajectory_close(&t);
    holds("a", 12);
}

/* Replacing a trajectory is one rename: whatever was there stays until then. */
static void created_whole(void **state) {
    (void)state;
    make("a", 0, 5);
    make("a", 5, 3);
    holds("a", 3);
    assert_int_not_equal(access("a.duet-tmp", F_OK), 0);
    const struct trajectory_head h = head(0);
    assert_int_equal(trajectory_create(&t, "nowhere/a", &h, &e), ERR_IO);
    assert_null(t.file.path);
}

/* Torn ends ----------------------------------------------------------------------------------- */

/* Cut off at every byte of the last two records: what is whole is kept, the rest goes, and the run
 * that goes on gives the file of the run that was not cut off. */
static void torn_end(void **state) {
    (void)state;
    size_t n;
    make("a", 0, 6);
    uint8_t *all = get_file("a", &n);
    const size_t last = bytes_of(5), two = last + bytes_of(4);
    for (size_t end = n - two; end < n; end++) {
        const int64_t whole = end < n - last ? 4 : 5;
        const size_t begin = whole == 4 ? n - two : n - last;
        put_file("b", all, end);
        assert_int_equal(trajectory_open(&t, "b", &e), 0);
        assert_int_equal(t.records, whole);
        assert_int_equal(t.torn, end - begin);
        if (t.torn) assert_int_equal(t.torn_at, begin);
        trajectory_close(&t);
        assert_int_equal(trajectory_append_open(&t, "b", &e), 0);
        assert_int_equal(t.records, whole);
        assert_int_equal(t.torn, end - begin);
        assert_int_equal(size_of("b"), begin);
        append(whole, 6);
        trajectory_close(&t);
        is_bytes("b", all, n);
    }
    free(all);
}

/* After a power failure the file may have its size, but not its last bytes. */
static void zeros_at_the_end(void **state) {
    (void)state;
    size_t n;
    make("a", 0, 6);
    uint8_t *all = get_file("a", &n);
    uint8_t *longer = calloc(1, n + 5000);
    assert_non_null(longer);
    memcpy(longer, all, n - 20);
    put_file("b", longer, n + 5000);
    assert_int_equal(trajectory_append_open(&t, "b", &e), 0);
    assert_int_equal(t.records, 5);
    trajectory_close(&t);
    holds("b", 5);
    free(longer);
    free(all);
}

static void write_on(void) {
    const struct trajectory_head h = head(0);
    if (trajectory_create(&t, "a", &h, &e)) return;
    for (int64_t s = 0;; s++) {
        const struct zo_record r = record(s, n_of(s));
        if (trajectory_append(&t, &r, &e)) return;
    }
}

/* kill -9 while records are written as fast as they go: whole records are left. */
static void killed(void **state) {
    (void)state;
    for (int run = 0; run < 5; run++) {
        kill_writer(write_on, "a");
        ok(trajectory_open(&t, "a", &e));
        const int64_t n = t.records;
        trajectory_close(&t);
        assert_true(n > 0);
        ok(trajectory_append_open(&t, "a", &e)); /* cuts a write across two pages */
        trajectory_close(&t);
        holds("a", n);
        unlink("a");
    }
}

/* A full disk: the record that does not fit leaves nothing behind. */
static void failed_write(void **state) {
    (void)state;
    make("a", 0, 3);
    ok(trajectory_append_open(&t, "a", &e));
    disk_full_at(size_of("a") + 10);
    const struct zo_record r = record(3, n_of(3));
    const int rc = trajectory_append(&t, &r, &e);
    disk_has_room();
    assert_int_equal(rc, ERR_IO);
    assert_string_equal(e.msg, "cannot write a: File too large");
    assert_int_equal(t.records, 3);
    append(3, 5);
    trajectory_close(&t);
    holds("a", 5);
}

/* A compacted vocabulary and one update, as every version has written them: version 1, and 2 with a
 * number behind the coefficient. */
static void bytes(void **state) {
    (void)state;
#define HASH "\x02\x38\x6f\xb8\x77\x0a\xf2\x8a"
#define JSON "{\"base\": \"0123456789abcdef\", \"config\": {}, \"vocab\": 999}\n"
#define WORDS "\3\0\0\0" "\2\1\0\0"
#define COUNTS "\0\0\0\0" "\2\0\0\0" "\1\0\0\0" /* step, accum, n */
#define NUMBERS "\0\0\x20\x40" "\0\0\0\0\0\0\xe0\x3f" "\0\0\x80\x3e" /* loss, rate, seconds */
#define DIRECTION "\xef\xcd\xab\x89\x67\x45\x23\x01" "\0\0\xc0\xbf"
#define HEAD_OF(version) "DUETZO\r\n" version "\x39\0\0\0" HASH "\2\0\0\0" "\0\0\0\0" JSON WORDS
    static const char one[] =
        HEAD_OF("\1\0\0\0") COUNTS NUMBERS DIRECTION "\x64\x8a\x93\x6c";
    static const char two[] = HEAD_OF("\2\0\0\0") COUNTS NUMBERS "\1\0\0\0" DIRECTION
                                                      "\0\0\x80\x3e" "\x02\x94\x5d\x27";
#undef HASH
#undef JSON
#undef WORDS
#undef COUNTS
#undef NUMBERS
#undef DIRECTION
#undef HEAD_OF
    static const uint32_t ids[] = {3, 0x102};
    static const uint64_t seed = 0x0123456789abcdef;
    static const float coef = -1.5f, extra = 0.25f;
    struct trajectory_head h = {
        .base_hash = 0x0123456789abcdef, .config = "{}", .vocab = 999, .ids = ids, .n_ids = 2};
    struct zo_record r = {.accum = 2, .lr = 0.5, .loss = 2.5, .seconds = 0.25, .n = 1,
                          .seed = &seed, .coef = &coef, .extra = &extra};
    for (int version = 1; version <= 2; version++) {
        h.extra = version == 2;
        r.n_extra = version == 2;
        ok(trajectory_create(&t, "a", &h, &e));
        ok(trajectory_append(&t, &r, &e));
        trajectory_close(&t);
        if (version == 1)
            is_bytes("a", one, sizeof one - 1);
        else
            is_bytes("a", two, sizeof two - 1);
    }
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, enter, leave)
    const struct CMUnitTest tests[] = {
        T(round_trip),    T(size),     T(most_directions),  T(appends_to_what_is_there),
        T(created_whole), T(torn_end), T(zeros_at_the_end), T(killed),
        T(failed_write),  T(bytes),
#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, enter_more, leave)
        T(round_trip),    T(torn_end), T(failed_write),     T(appends_to_what_is_there),
    };
#undef T
    return cmocka_run_group_tests_name("trajectory", tests, NULL, NULL);
}
