/* What a snapshot costs: the weights are read twice at most, and the file that they become is not
 * read at all. */
#include "llama_fixture.h"

#include "model_files.h"
#include "run.h"
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static const struct variant large = {"4.5 M", "llama", "", {256, 704, 4, 4, 4, 64, 5000}, true};
static char dir[] = "/tmp/duet-snapshot-XXXXXX", weights[64], fifo[64], state_path[64];

static void no_rows(void *ctx, uint64_t row, struct engine_batch *out) {
    (void)ctx, (void)row, (void)out;
}

static struct run *run_of(struct model *m, const struct machine *g) {
    struct run *r;
    const struct run_opts o = {.engine = engine_find("backprop"),
                               .engine_opts = {.batch = 1,
                                               .seq = 8,
                                               .machine = g,
                                               .hyper = opt_hyper_of(opt_find("sgd")),
                                               .max_accum = 1},
                               .accum = 1,
                               .accum_end = 1,
                               .lr = 1,
                               .budget = {{[BUDGET_steps] = 1}},
                               .data = {.fill = no_rows}};
    ok(run_open(&r, m, &o, NULL, NULL, &e));
    return r;
}

/* ---- how often memory is read ---------------------------------------------------------------- */

/* Pages that nobody may touch: each that is touched is opened, and the one that has been open
 * longest is closed again. So a page is counted once each time it comes back from memory into a
 * cache of OPEN pages. */
enum { OPEN = 512, PAGES = 1 << 14, PAGE = 4096 };
static struct {
    char *base;
    size_t n;
    int times[PAGES];
    bool is_open[PAGES];
    size_t open[OPEN]; /* page + 1, or 0; a ring */
    int at;
    atomic_flag lock;
} watch;

static void touched(int sig, siginfo_t *info, void *context) {
    (void)context;
    const size_t page = (size_t)((char *)info->si_addr - watch.base) / PAGE;
    if ((char *)info->si_addr < watch.base || page >= watch.n) {
        signal(sig, SIG_DFL); /* somebody else's */
        return;
    }
    while (atomic_flag_test_and_set(&watch.lock)) {}
    if (!watch.is_open[page]) {
        const size_t old = watch.open[watch.at];
        if (old) {
            mprotect(watch.base + (old - 1) * PAGE, PAGE, PROT_NONE);
            watch.is_open[old - 1] = false;
        }
        mprotect(watch.base + page * PAGE, PAGE, PROT_READ);
        watch.is_open[page] = true;
        watch.times[page]++;
        watch.open[watch.at] = page + 1;
        watch.at = (watch.at + 1) % OPEN;
    }
    atomic_flag_clear(&watch.lock);
}

static void watch_begin(const struct model *m) {
    const uintptr_t base = ((uintptr_t)m->weights.base + PAGE - 1) / PAGE * PAGE;
    struct sigaction a = {.sa_sigaction = touched, .sa_flags = SA_SIGINFO};
    memset(&watch, 0, sizeof watch);
    watch.base = (char *)base;
    watch.n = (m->weights.size - (size_t)(base - (uintptr_t)m->weights.base)) / PAGE;
    assert_in_range(watch.n, 4 * OPEN, PAGES);
    assert_int_equal(sigaction(SIGSEGV, &a, NULL), 0);
    assert_int_equal(mprotect(watch.base, watch.n * PAGE, PROT_NONE), 0);
}

/* How often a page was read: on average, of those that were. */
static double watch_end(void) {
    size_t sum = 0, pages = 0;
    assert_int_equal(mprotect(watch.base, watch.n * PAGE, PROT_READ | PROT_WRITE), 0);
    signal(SIGSEGV, SIG_DFL);
    for (size_t i = 0; i < watch.n; i++) {
        sum += (size_t)watch.times[i];
        pages += watch.times[i] > 0;
    }
    assert_true(pages > watch.n / 2);
    return (double)sum / (double)pages;
}

static double times_read(struct run *r, bool snapshot) {
    const struct run_pair pair = {.weights = weights, .state = state_path};
    watch_begin(r->model);
    const int rc = snapshot ? run_snapshot(r, &pair, &e) : run_write_weights(r, weights, &e);
    const double times = watch_end();
    ok(rc);
    return times;
}

static void reads_the_weights_twice(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    struct model m = model_of(&large);
    struct run *r = run_of(&m, &g);
    const double once = times_read(r, false), twice = times_read(r, true);
    assert_true(once >= 1 && once < 1.05); /* the measure is right */
    assert_true(twice >= 2 && twice < 2.1);
    const struct run_pair pair = {.weights = weights, .state = state_path};
    ok(run_restore(r, &pair, &e));
    run_close(r);
    close_model(&m);
}

/* ---- the file
 * ---------------------------------------------------------------------------------- */

struct reader {
    uint64_t hash;
    size_t bytes;
};

static void *drain(void *ctx) {
    struct reader *d = ctx;
    char buf[65536];
    ssize_t n;
    XXH3_state_t *h = XXH3_createState();
    const int fd = open(fifo, O_RDONLY);
    XXH3_64bits_reset(h);
    while (fd >= 0 && (n = read(fd, buf, sizeof buf)) > 0) {
        XXH3_64bits_update(h, buf, (size_t)n);
        d->bytes += (size_t)n;
    }
    d->hash = XXH3_64bits_digest(h);
    XXH3_freeState(h);
    close(fd);
    return NULL;
}

/* Of a pipe nothing can be read again: yet the state knows its hash. And it is the file's. */
static void knows_what_it_writes(void **state) {
    (void)state;
    const struct machine g = machine_of("native", DT_F32);
    struct model m = model_of(&large);
    struct run *r = run_of(&m, &g);
    struct reader d = {0};
    pthread_t t;
    uint64_t named, of_file;
    const struct run_pair piped = {.weights = fifo, .state = state_path},
                          pair = {.weights = weights, .state = state_path};
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(pthread_create(&t, NULL, drain, &d), 0);
    alarm(300); /* who opens it once more waits for ever */
    ok(run_snapshot(r, &piped, &e));
    alarm(0);
    pthread_join(t, NULL);
    ok(state_hash(state_path, &named, &e));
    assert_true(named == d.hash);
    assert_true(d.bytes > m.weights.size / 2);
    ok(run_snapshot(r, &pair, &e));
    ok(model_file_hash(weights, &of_file, &e));
    assert_true(of_file == d.hash); /* the same bytes either way */
    run_close(r);
    close_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_weights_twice),
        cmocka_unit_test(knows_what_it_writes),
    };
    char command[80];
    if (!mkdtemp(dir)) return 1;
    snprintf(weights, sizeof weights, "%s/weights.blzt", dir);
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    snprintf(state_path, sizeof state_path, "%s/state", dir);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) ? 1 : failed;
}
