/* Threads: every chunk once, chunks in chunks, several pools, a pool that is busy, and fork(). */
#include "err_fixture.h"

#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNKS = 500, INNER = 7 };
static atomic_int seen[CHUNKS], inner_seen[CHUNKS][INNER], in_use[64], wrong;

static struct pool *pool_of(int threads) {
    struct pool *p;
    ok(pool_open(&p, threads, &e));
    return p;
}

struct outer {
    struct pool *pool, *other; /* other: in whose chunks a loop on pool must know its tid, too */
};

struct inner {
    const struct outer *outer;
    int64_t i;
    int tid; /* that the chunk must have */
};

static void count_inner(void *ctx, int64_t i, int tid) {
    struct inner *in = ctx;
    if (tid != in->tid) atomic_fetch_add(&wrong, 1);
    atomic_fetch_add(&inner_seen[in->i][i], 1);
}

/* On no pool and on another one the tid is 0; back on the first one it is what it was. */
static void go_between(void *ctx, int64_t i, int tid) {
    const struct inner *in = ctx;
    (void)i;
    if (tid) atomic_fetch_add(&wrong, 1);
    pool_for(in->outer->pool, INNER, count_inner, ctx);
}

static void count(void *ctx, int64_t i, int tid) {
    const struct outer *o = ctx;
    if (tid < 0 || tid >= pool_threads(o->pool)) {
        atomic_fetch_add(&wrong, 1);
        return;
    }
    if (atomic_exchange(&in_use[tid], 1)) atomic_fetch_add(&wrong, 1);
    if (pool_reach(o->pool) != 1) atomic_fetch_add(&wrong, 1);
    atomic_fetch_add(&seen[i], 1);
    struct inner in = {o, i, tid};
    pool_for(o->pool, INNER, count_inner, &in);
    pool_for(o->other, 1, go_between, &in);
    for (volatile int spin = 0; spin < 2000; spin++) {}
    atomic_store(&in_use[tid], 0);
}

static void check_loop(struct outer *o) {
    memset(seen, 0, sizeof seen);
    memset(inner_seen, 0, sizeof inner_seen);
    pool_for(o->pool, CHUNKS, count, o);
    assert_int_equal(wrong, 0);
    for (int i = 0; i < CHUNKS; i++) {
        assert_int_equal(seen[i], 1);
        for (int j = 0; j < INNER; j++) assert_int_equal(inner_seen[i][j], 2);
    }
}

static void covers_once(void **state) {
    (void)state;
    static const int threads[] = {4, 1, 2, 3};
    for (int t = 0; t < 4; t++)
        for (int other = 1; other < 4; other++) {
            struct outer o = {pool_of(threads[t]), pool_of(other)};
            assert_int_equal(pool_threads(o.pool), threads[t]);
            assert_true((o.pool == NULL) == (threads[t] == 1));
            check_loop(&o);
            check_loop(&o);
            pool_close(o.pool);
            pool_close(o.other);
        }
}

static void small_loops(void **state) {
    (void)state;
    struct outer o = {pool_of(4), NULL};
    memset(seen, 0, sizeof seen);
    pool_for(o.pool, 0, count, &o);
    assert_int_equal(seen[0], 0);
    pool_for(o.pool, 1, count, &o);
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], 0);
    assert_int_equal(wrong, 0);
    pool_close(o.pool);
}

/* ---- several threads that have loops --------------------------------------------------------- */

struct adder {
    struct pool *pool;
    int64_t sum[64]; /* one a chunk */
};

static void add_chunk(void *ctx, int64_t i, int tid) {
    struct adder *a = ctx;
    (void)tid;
    a->sum[i] += i + 1;
}

static void add_alone(void *ctx, int64_t i, int tid) {
    struct adder *a = ctx;
    a->sum[i] += i + 1 + tid * 1000;
}

static void *add_often(void *arg) {
    struct adder *a = arg;
    for (int k = 0; k < 300; k++) pool_for(a->pool, 64, add_chunk, a);
    return NULL;
}

/* One pool for two threads, and pools of their own: every chunk of every loop is done once. */
static void side_by_side(void **state) {
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        struct adder a = {.pool = pool_of(3)}, b = {.pool = shared ? a.pool : pool_of(2)};
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, add_often, &a), 0);
        add_often(&b);
        pthread_join(t, NULL);
        for (int i = 0; i < 64; i++) {
            assert_int_equal(a.sum[i], 300 * (i + 1));
            assert_int_equal(b.sum[i], 300 * (i + 1));
        }
        pool_close(a.pool);
        if (!shared) pool_close(b.pool);
    }
}

static _Atomic bool holding, let_go;

static void hold(void *ctx, int64_t i, int tid) {
    (void)ctx, (void)i, (void)tid;
    holding = true;
    while (!let_go) sched_yield();
}

static void *hold_pool(void *arg) {
    pool_for(arg, 2, hold, NULL);
    return NULL;
}

static void busy_pool_is_one_thread(void **state) {
    (void)state;
    struct adder a = {.pool = pool_of(2)};
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, hold_pool, a.pool), 0);
    while (!holding) sched_yield();
    pool_for(a.pool, 64, add_alone, &a);
    for (int i = 0; i < 64; i++) assert_int_equal(a.sum[i], i + 1); /* tid 0 every time */
    let_go = true;
    pthread_join(t, NULL);
    pool_close(a.pool);
}

/* ---- fork, opening and closing --------------------------------------------------------------- */

static void child_is_one_thread(void **state) {
    (void)state;
    struct adder a = {.pool = pool_of(3)};
    assert_int_equal(pool_reach(a.pool), 3);
    assert_int_equal(pool_reach(NULL), 1);
    pool_for(a.pool, 64, add_chunk, &a);
    memset(a.sum, 0, sizeof a.sum);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        bool right = true;
        alarm(20);
        pool_for(a.pool, 64, add_alone, &a);
        for (int i = 0; i < 64; i++) right &= a.sum[i] == i + 1;
        pool_close(a.pool);
        _exit(right ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pool_for(a.pool, 64, add_chunk, &a); /* the parent's goes on */
    for (int i = 0; i < 64; i++) assert_int_equal(a.sum[i], i + 1);
    pool_close(a.pool);
}

static int threads_now(void) {
    char line[128];
    int n = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && n < 0 && fgets(line, sizeof line, f)) (void)sscanf(line, "Threads: %d", &n);
    if (f) fclose(f);
    return n;
}

static void closing_ends_threads(void **state) {
    (void)state;
    const int before = threads_now();
    struct adder a = {0};
    for (int k = 0; k < 100; k++) {
        a.pool = pool_of(1 + k % 4);
        if (k % 3) pool_for(a.pool, 64, add_chunk, &a);
        pool_close(a.pool);
    }
    assert_int_equal(threads_now(), before);
    for (int i = 0; i < 64; i++) assert_int_equal(a.sum[i], 66 * (i + 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covers_once),
        cmocka_unit_test(small_loops),
        cmocka_unit_test(side_by_side),
        cmocka_unit_test(busy_pool_is_one_thread),
        cmocka_unit_test(child_is_one_thread),
        cmocka_unit_test(closing_ends_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
