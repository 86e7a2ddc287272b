/* Trajectories of zeroth-order runs: what is written is read, torn ends go, damage is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rng.h"
#include "trajectory.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>
#include <xxhash.h>

enum { MAX_N = 8, HEAD = 32, ONE = 44 };
static const char CONFIG[] =
    "{\n  \"engine\": \"mezo\",\n  \"lr\": 1e-06,\n  \"seed\": 9000000000000000000\n}\n";
static const uint32_t IDS[] = {0, 3, 4, 70000, 151935};

static char folder[] = "/tmp/duet-test-XXXXXX";
static struct err e;
static struct trajectory t;
static int more; /* numbers of a record behind its coefficients: a file of version 2 */

static int enter(void **state) {
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    t = (struct trajectory){0};
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int enter_more(void **state) {
    more = 3;
    return enter(state);
}

static int leave(void **state) {
    (void)state;
    char command[128];
    trajectory_close(&t);
    more = 0;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/") || system(command);
}

static struct trajectory_head head(int64_t n_ids) {
    return (struct trajectory_head){.base_hash = 0x0123456789abcdef,
                                    .config = CONFIG,
                                    .vocab = 151936,
                                    .ids = n_ids ? IDS : NULL,
                                    .n_ids = n_ids,
                                    .extra = more > 0};
}

/* The record of a step with n directions, as any run might write it. */
static struct zo_record record(int64_t step, int n) {
    static uint64_t seed[MAX_N];
    static float coef[MAX_N], extra[3];
    struct rng r = rng_make(7, RNG_TEST, (uint64_t)step, 0, 0);
    for (int d = 0; d < n; d++) {
        seed[d] = rng_next(&r);
        coef[d] = (float)rng_normal(&r);
    }
    for (int k = 0; k < more; k++) extra[k] = (float)rng_normal(&r);
    return (struct zo_record){.step = step,
                              .n_extra = more ? (int)(step % (more + 1)) : 0,
                              .extra = extra,
                              .accum = 5 + step,
                              .lr = 1e-6 / (double)(1 + step),
                              .loss = 2.5,
                              .seconds = 0.25,
                              .n = n,
                              .seed = seed,
                              .coef = coef};
}

static void same_record(const struct zo_record *a, const struct zo_record *b) {
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->n_extra, b->n_extra);
    assert_memory_equal(a->extra, b->extra, (size_t)a->n_extra * sizeof *a->extra);
    assert_int_equal(a->accum, b->accum);
    assert_true(a->lr == b->lr && a->loss == b->loss && a->seconds == b->seconds);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->seed, b->seed, sizeof *a->seed * (size_t)a->n);
    assert_memory_equal(a->coef, b->coef, sizeof *a->coef * (size_t)a->n);
}

/* Directions of a step's record: 1, 2, 3, 1, ... */
static int n_of(int64_t step) {
    return (int)(1 + step % 3);
}

/* Bytes of the record of a step. */
static size_t bytes_of(int64_t step) {
    const size_t extras = more ? 4 + 4 * (size_t)(step % (more + 1)) : 0;
    return 28 + 12 * (size_t)n_of(step) + 4 + extras;
}

static void append(int64_t from, int64_t to) {
    for (int64_t s = from; s < to; s++) {
        const struct zo_record r = record(s, n_of(s));
        assert_int_equal(trajectory_append(&t, &r, &e), 0);
    }
}

static void make(const char *path, int64_t n_ids, int64_t records) {
    const struct trajectory_head h = head(n_ids);
    assert_int_equal(trajectory_create(&t, path, &h, &e), 0);
    append(0, records);
    assert_int_equal(trajectory_sync(&t, &e), 0);
    trajectory_close(&t);
}

/* The file holds exactly the records of steps 0 to n-1. */
static void holds(const char *path, int64_t n) {
    struct zo_record r;
    assert_int_equal(trajectory_open(&t, path, &e), 0);
    assert_int_equal(t.records, n);
    assert_int_equal(t.torn, 0);
    for (int64_t s = 0; s < n; s++) {
        const struct zo_record want = record(s, n_of(s));
        assert_true(trajectory_next(&t, &r));
        same_record(&r, &want);
    }
    assert_false(trajectory_next(&t, &r));
    trajectory_close(&t);
}

static uint8_t *get_file(const char *path, size_t *n) {
    struct file_map m;
    assert_int_equal(file_map_open(&m, path, &e), 0);
    uint8_t *data = malloc(m.size + !m.size);
    assert_non_null(data);
    memcpy(data, m.data, *n = m.size);
    file_map_close(&m);
    return data;
}

static void put_file(const char *path, const void *data, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

static size_t size_of(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

static void refused(const char *path, const char *says) {
    e = (struct err){0};
    assert_int_equal(trajectory_open(&t, path, &e), ERR_INPUT);
    if (!strstr(e.msg, says) || !strstr(e.msg, path)) fail_msg("\"%s\" lacks \"%s\"", e.msg, says);
    assert_null(t.path);
    const size_t before = size_of(path);
    assert_int_equal(trajectory_append_open(&t, path, &e), ERR_INPUT);
    assert_int_equal(size_of(path), before);
    assert_null(t.path);
}

/* Round trips --------------------------------------------------------------------------------- */

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
    assert_null(t.path);
}

/* Torn ends ----------------------------------------------------------------------------------- */

/* Cut off at every byte of the last two records: what is whole is kept, the rest goes, and the run
 * that goes on gives the file of the run that was not cut off. */
static void torn_end(void **state) {
    (void)state;
    size_t n, m;
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
        uint8_t *again = get_file("b", &m);
        assert_int_equal(m, n);
        assert_memory_equal(again, all, n);
        free(again);
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

/* kill -9 while records are written as fast as they go: whole records are left. */
static void killed(void **state) {
    (void)state;
    const struct trajectory_head h = head(0);
    for (int run = 0; run < 5; run++) {
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid) {
            if (trajectory_create(&t, "a", &h, &e)) _exit(1);
            for (int64_t s = 0;; s++) {
                const struct zo_record r = record(s, n_of(s));
                if (trajectory_append(&t, &r, &e)) _exit(1);
            }
        }
        while (access("a", F_OK)) usleep(1000);
        for (const size_t first = (size_t)size_of("a"); (size_t)size_of("a") < first + 1000;)
            usleep(1000); /* however busy the machine is, there are records */
        kill(pid, SIGKILL);
        int status;
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(trajectory_open(&t, "a", &e), 0);
        const int64_t n = t.records;
        trajectory_close(&t);
        assert_true(n > 0);
        assert_int_equal(trajectory_append_open(&t, "a", &e),
                         0); /* cuts a write across two pages */
        trajectory_close(&t);
        holds("a", n);
        unlink("a");
    }
}

/* A full disk: the record that does not fit leaves nothing behind. */
static void failed_write(void **state) {
    (void)state;
    struct rlimit old, small;
    make("a", 0, 3);
    assert_int_equal(trajectory_append_open(&t, "a", &e), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = size_of("a") + 10;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const struct zo_record r = record(3, n_of(3));
    const int rc = trajectory_append(&t, &r, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rc, ERR_IO);
    assert_non_null(strstr(e.msg, "cannot write a: "));
    assert_int_equal(t.records, 3);
    append(3, 5);
    trajectory_close(&t);
    holds("a", 5);
}

/* Damage -------------------------------------------------------------------------------------- */

static size_t head_bytes(const char *path) {
    size_t n;
    uint8_t *d = get_file(path, &n);
    const size_t bytes = HEAD + (d[12] | (size_t)d[13] << 8) + 4 * (size_t)d[24];
    free(d);
    return bytes;
}

/* Every prefix of the file is refused, or holds fewer records and says so. */
static void truncated(void **state) {
    (void)state;
    size_t n;
    make("a", 5, 4);
    uint8_t *all = get_file("a", &n);
    const size_t begin = head_bytes("a");
    for (size_t end = 0; end < n; end++) {
        put_file("b", all, end);
        if (end < begin) {
            refused("b", "b: ");
            continue;
        }
        assert_int_equal(trajectory_open(&t, "b", &e), 0);
        assert_true(t.records < 4);
        assert_int_equal(t.torn_at + t.torn, end);
        trajectory_close(&t);
    }
    free(all);
}

/* Every byte counts: in the head and in records that others follow it is an error, in the last
 * record it makes a torn end. */
static void flipped(void **state) {
    (void)state;
    size_t n;
    make("a", 5, 6);
    uint8_t *all = get_file("a", &n);
    const size_t begin = head_bytes("a"), last = n - bytes_of(5);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            all[i] ^= (uint8_t)(1 << bit);
            put_file("b", all, n);
            if (i < begin) {
                refused("b", "b: ");
            } else if (i < last) {
                refused("b", "is damaged (length or checksum), and more records follow it");
            } else {
                assert_int_equal(trajectory_open(&t, "b", &e), 0);
                assert_int_equal(t.records, 5);
                assert_int_equal(t.torn, n - last);
                trajectory_close(&t);
            }
            all[i] ^= (uint8_t)(1 << bit);
        }
    free(all);
}

static void damage_is_placed(void **state) {
    (void)state;
    size_t n;
    char says[64];
    make("a", 0, 6);
    uint8_t *all = get_file("a", &n);
    const size_t third = head_bytes("a") + ONE + (ONE + 12);
    all[third + 30] ^= 1;
    put_file("b", all, n);
    snprintf(says, sizeof says, "record of step 2 at offset %zu is damaged", third);
    refused("b", says);
    all[third + 30] ^= 1;
    memmove(all + third, all + third + 1, n - third - 1); /* one byte is missing */
    put_file("b", all, n - 1);
    refused("b", says);
    free(all);
}

/* Overwrites bytes of the record at `at` and puts its checksum right. */
static void forge(uint8_t *at, size_t offset, const void *bytes, size_t n) {
    memcpy(at + offset, bytes, n);
    const size_t size = 28 + 12 * (size_t)(at[8] | at[9] << 8);
    const uint64_t sum = XXH3_64bits(at, size);
    for (int i = 0; i < 4; i++) at[size + (size_t)i] = (uint8_t)(sum >> (8 * i));
}

/* Records with the right checksum that say what no update is. */
static void forged_records(void **state) {
    (void)state;
    size_t n;
    const double nan64 = NAN, inf64 = -INFINITY;
    const float nan32 = NAN, inf32 = INFINITY;
    const uint32_t zero = 0, three = 3;
    const struct {
        size_t offset, bytes;
        const void *value;
        const char *says;
    } cases[] = {
        {0, 4, &zero, "is of step 0, expected 2"},
        {0, 4, &three, "is of step 3, expected 2"},
        {4, 4, &zero, "record of step 2 at offset "},
        {4, 4, &zero, "0 micro-batches"},
        {16, 8, &nan64, "the learning rate is not a finite number"},
        {16, 8, &inf64, "the learning rate is not a finite number"},
        {36, 4, &nan32, "coefficient 0 is not a finite number"},
        {60, 4, &inf32, "coefficient 2 is not a finite number"},
    };
    make("a", 0, 3);
    uint8_t *all = get_file("a", &n), *bad = malloc(n);
    assert_non_null(bad);
    const size_t third = n - (28 + 12 * 3 + 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(bad, all, n);
        forge(bad + third, cases[i].offset, cases[i].value, cases[i].bytes);
        put_file("b", bad, n);
        refused("b", cases[i].says);
    }
    free(bad);
    free(all);
}

/* A whole record has 1 to 65536 directions: others are damage, whatever their checksum says. */
static void forged_counts(void **state) {
    (void)state;
    enum { MANY = 65537, ROOM = 28 + 12 * MANY + 4 };
    size_t n;
    make("a", 0, 2);
    uint8_t *all = get_file("a", &n), *bad = calloc(1, n + ROOM);
    assert_non_null(bad);
    const size_t begin = head_bytes("a"), second = begin + ONE;
    for (uint32_t count = 0; count <= MANY; count += MANY) {
        const size_t bytes = 28 + 12 * (size_t)count + 4;
        uint8_t *at = bad + begin;
        memcpy(bad, all, second);
        memcpy(at + 8, &count, 4);
        const uint64_t sum = XXH3_64bits(at, bytes - 4);
        memcpy(at + bytes - 4, &sum, 4);
        memcpy(at + bytes, all + second, n - second);
        put_file("b", bad, begin + bytes + n - second);
        refused("b", "record of step 0 at offset ");
    }
    free(bad);
    free(all);
}

/* Counts that would make a reader allocate or run for long. */
static void huge_counts(void **state) {
    (void)state;
    size_t n;
    const uint32_t huge[] = {65537, 0x7fffffff, 0xffffffff};
    make("a", 5, 3);
    uint8_t *all = get_file("a", &n), *bad = malloc(n);
    assert_non_null(bad);
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        memcpy(bad, all, n);
        memcpy(bad + 12, huge + i, 4);
        put_file("b", bad, n);
        refused("b", "does not fit into the file");
        memcpy(bad, all, n);
        memcpy(bad + 24, huge + i, 4);
        put_file("b", bad, n);
        refused("b", "does not fit into the file");
        memcpy(bad, all, n);
        memcpy(bad + head_bytes("a") + 8, huge + i, 4);
        put_file("b", bad, n);
        refused("b", "record of step 0 at offset ");
    }
    free(bad);
    free(all);
}

/* A long torn end in which every place looks like a long record is given up in time. */
static void end_that_looks_like_records(void **state) {
    (void)state;
    enum { LONG = 6 << 20 };
    size_t n;
    make("a", 0, 0);
    uint8_t *all = get_file("a", &n), *bad = calloc(1, LONG);
    assert_non_null(bad);
    memcpy(bad, all, n);
    for (size_t i = n; i + 12 < LONG; i += 4) bad[i + 2] = 1; /* 65536, shifted: step, accum, n */
    for (size_t i = n; i + 12 < LONG; i += 12) memset(bad + i, 0, 4);
    put_file("b", bad, LONG);
    refused("b", "record of step 0 at offset ");
    free(bad);
    free(all);
}

static void wrap_json(const char *json, const uint32_t *ids, uint32_t n_ids) {
    uint8_t file[512] = "DUETZO\r\n\1";
    const size_t bytes = strlen(json);
    file[12] = (uint8_t)bytes;
    memcpy(file + HEAD, json, bytes);
    if (n_ids) memcpy(file + HEAD + bytes, ids, 4 * n_ids);
    const uint64_t hash = XXH3_64bits(file + HEAD, bytes + 4 * n_ids);
    memcpy(file + 16, &hash, 8);
    memcpy(file + 24, &n_ids, 4);
    put_file("b", file, HEAD + bytes + 4 * n_ids);
}

static void bad_heads(void **state) {
    (void)state;
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"{", "JSON at offset 32"},
        {"[]", "\"base\" is not 16"},
        {"{\"base\": \"0123\", \"config\": {}, \"vocab\": 9}", "\"base\" is not 16"},
        {"{\"base\": \"0123456789ABCDEF\", \"config\": {}, \"vocab\": 9}", "\"base\" is not 16"},
        {"{\"base\": \"0123456789abcdef\", \"config\": [], \"vocab\": 9}", "\"config\" is not"},
        {"{\"base\": \"0123456789abcdef\", \"vocab\": 9}", "\"config\" is not"},
        {"{\"base\": \"0123456789abcdef\", \"config\": {}, \"vocab\": 0}", "\"vocab\" is not"},
        {"{\"base\": \"0123456789abcdef\", \"config\": {}, \"vocab\": 9e9}", "\"vocab\" is not"},
        {"{\"base\": \"0123456789abcdef\", \"config\": {}}", "\"vocab\" is not"},
        {"{\"base\": \"0123456789abcdef\", \"config\": {}, \"vocab\": 9, \"x\": 1}", "4 keys"},
        {"{\"base\": \"0123456789abcdef\", \"base\": 1, \"config\": {}, \"vocab\": 9}",
         "duplicate"},
    };
    static const char good[] = "{\"base\": \"0123456789abcdef\", \"config\": {}, \"vocab\": 9}";
    static const uint32_t ids[][3] = {{0, 0, 1}, {0, 2, 1}, {0, 1, 9}, {0, 1, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wrap_json(cases[i].json, NULL, 0);
        refused("b", cases[i].says);
    }
    for (int i = 0; i < 3; i++) {
        wrap_json(good, ids[i], 3);
        refused("b", "expected ascending ids below 9");
    }
    wrap_json(good, ids[3], 3);
    holds("b", 0);
    put_file("b", "DUETSTAT and more bytes than a header has", 40);
    refused("b", "not a trajectory");
}

/* Options of any length are an error, not the end of the process. */
static void options_beyond(void **state) {
    (void)state;
    const size_t n = (size_t)5 << 20;
    char *config = malloc(n);
    struct trajectory_head h = head(0);
    memset(config, 'x', n);
    memcpy(config, "{\"name\":\"", 9);
    memcpy(config + n - 3, "\"}", 3);
    h.config = config;
    assert_int_equal(trajectory_create(&t, "a", &h, &e), ERR_USAGE);
    assert_non_null(strstr(e.msg, "a trajectory holds 4194304"));
    assert_int_equal(access("a", F_OK), -1);
    free(config);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, enter, leave)
    const struct CMUnitTest tests[] = {
        T(round_trip),     T(size),          T(most_directions),  T(appends_to_what_is_there),
        T(created_whole),  T(torn_end),      T(zeros_at_the_end), T(killed),
        T(failed_write),   T(truncated),     T(flipped),          T(damage_is_placed),
        T(forged_records), T(forged_counts), T(huge_counts),      T(end_that_looks_like_records),
        T(bad_heads),  T(options_beyond),
#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, enter_more, leave)
        T(round_trip), T(appends_to_what_is_there), T(torn_end), T(failed_write), T(truncated),
        T(flipped),
    };
#undef T
    return cmocka_run_group_tests_name("trajectory", tests, NULL, NULL);
}
