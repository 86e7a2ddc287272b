/* Processes of a search: limits, processors, stopping, and that none outlives its driver. The
 * programs are scripts. */
#include "trial_fixture.h"

#include "sanitized.h"
#include "trial_watch.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- limits ---------------------------------------------------------------------------------- */

static void hang(void **state) {
    (void)state;
    spec.limits.seconds = 0.4;
    const double begin = clock_seconds();
    body_ends("echo $$ >$dir/shell; sleep 60 & echo $! >$dir/sleep; wait", TRIAL_time,
              "took longer than 0.4 s");
    assert_true(clock_seconds() - begin < 8);
    assert_true(out.seconds >= 0.4);
    assert_true(is_gone(pid_in("run/shell")) && is_gone(pid_in("run/sleep")));
    /* It does not listen. */
    spec.grace = 0.4;
    body_ends("trap '' TERM; echo $$ >$dir/shell; while :; do sleep 0.1; done", TRIAL_time,
              "took longer than 0.4 s");
    assert_true(out.seconds >= 0.8 && out.seconds < 8);
    assert_true(is_gone(pid_in("run/shell")));
    /* Nor does what measures. */
    metric = (struct search_metric){.command = array("['sleep', '60']")};
    body_ends(GOOD, TRIAL_time, "took longer than 0.4 s");
}

static void no_life(void **state) {
    (void)state;
    spec.limits.idle = 1;
    body_ends("echo 1 >>$dir/log.jsonl; exec sleep 60", TRIAL_time, "no sign of life for 1 s");
    body_ends("for i in 1 2 3; do sleep 0.3; echo $i >>$dir/log.jsonl; sleep 0.3; echo $i; done\n"
              GOOD, TRIAL_ok, "");
}

/* A queue takes nothing of the time: it begins with the run's folder. */
static void queue(void **state) {
    (void)state;
    static const char body[] = "sleep 1.5; echo {} >$dir/config.json; " GOOD;
    spec.limits.seconds = spec.limits.idle = 1;
    body_ends(body, TRIAL_time, "1 s");
    spec.launcher = array("['env']");
    body_ends(body, TRIAL_ok, "");
    assert_true(out.seconds < 1);
    body_ends("echo {} >$dir/config.json; exec sleep 60", TRIAL_time, "1 s");
}

/* In a process that the program has started: 80 MB that are held, not passed on. */
static void memory(void **state) {
    (void)state;
    spec.limits.peak_rss_mb = 40;
    body_ends("head -c 80000000 /dev/zero | tail -n 1 | sleep 60", TRIAL_memory,
              "MB of memory, the limit is 40.0 MB");
    assert_true(out.peak_rss_mb > 40 && out.peak_rss_mb < 200 && out.seconds < 20);
    spec.limits.peak_rss_mb = 400;
    body_ends("head -c 80000000 /dev/zero | tail -n 1 | sleep 1; " GOOD, TRIAL_ok, "");
    assert_true(out.peak_rss_mb > 78 && out.peak_rss_mb < 200);
}

static void by_the_summary(void **state) {
    (void)state;
    spec.limits.num_params_M = 0.25;
    spec.limits.peak_rss_mb = 500;
    body_ends(GOOD, TRIAL_ok, "");
    body_ends("sum \"'val_loss':1,'num_params_M':0.26\"", TRIAL_refused,
              "0.26 M parameters, the limit is 0.25 M");
    body_ends("sum \"'val_loss':1,'peak_rss_mb':500.5\"", TRIAL_memory,
              "used 500.5 MB of memory, the limit is 500.0 MB");
}

static void flood(void **state) {
    (void)state;
    struct stat st;
    body_ends("head -c 30000000 /dev/zero | tr '\\0' x; exec sleep 60", TRIAL_crash,
              "printed more than 16 MB");
    assert_int_equal(stat(spec.output, &st), 0);
    assert_int_equal(st.st_size, 1 << 20);
    metric = (struct search_metric){.command = array("['sh', '-c', 'head -c 30000000 /dev/zero; "
                                                     "sleep 60']")};
    body_ends(GOOD, TRIAL_crash, "printed more than 16 MB");
}

/* ---- the driver ------------------------------------------------------------------------------ */

static void stop(void **state) {
    (void)state;
    /* A launcher ends at once; what it has started saves, and has the time for it. */
    program("(trap 'sleep 0.5; echo saved >$dir/saved; exit 0' TERM; echo go >$dir/go\n"
            " while :; do sleep 0.05; done) & wait");
    ok(trial_start(&trial, &spec, &e));
    while (strcmp(get("run/go"), "go\n")) assert_false(trial_poll(&trial));
    struct trial_run *const all[] = {NULL, &trial};
    trial_stop_all(all, 2);
    assert_true(trial_poll(&trial));
    assert_string_equal(get("run/saved"), "saved\n");
    out = trial.outcome;
    ends(TRIAL_pending, "");
    trial_stop(&trial); /* nothing more */
    /* Who does not listen is killed. */
    spec.grace = 0.3;
    program("trap '' TERM; echo $$ >$dir/shell; while :; do sleep 0.1; done");
    trial_release(&trial);
    ok(trial_start(&trial, &spec, &e));
    const pid_t pid = pid_in("run/shell");
    trial_stop_all(all, 2);
    out = trial.outcome;
    ends(TRIAL_pending, "");
    assert_true(is_gone(pid));
    /* Released while it runs. */
    unlink(at("run/shell"));
    trial_release(&trial);
    ok(trial_start(&trial, &spec, &e));
    const pid_t other = pid_in("run/shell");
    trial_release(&trial);
    assert_true(other && is_gone(other));
    trial_release(&trial);
}

/* kill -9 of the driver ends all that it has started, whole groups of it. */
static void driver_dies(void **state) {
    (void)state;
    program("echo $$ >$dir/shell; sleep 60 & echo $! >$dir/sleep; wait");
    const pid_t driver = fork();
    if (!driver) {
        setpgid(0, 0);
        struct trial_run t;
        if (!trial_start(&t, &spec, &e))
            for (;;) trial_poll(&t);
        _exit(1);
    }
    const pid_t shell = pid_in("run/shell"), sleeps = pid_in("run/sleep");
    assert_true(shell && sleeps);
    assert_int_equal(kill(shell, 0), 0);
    kill(-driver, SIGKILL); /* its whole group, as a shell does */
    waitpid(driver, NULL, 0);
    assert_true(is_gone(shell) && is_gone(sleeps));
}

/* Another process trains in the folder: an orphan on another machine. */
static void locked(void **state) {
    (void)state;
    program(GOOD);
    assert_int_equal(mkdir(spec.folder, 0777), 0);
    const int lock = open(spec.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    ok(trial_start(&trial, &spec, &e));
    struct trial_run *const all[] = {&trial};
    assert_int_equal(trial_wait(all, 1, 0.6), 1);
    assert_int_equal(trial.phase, TRIAL_WAITS);
    assert_int_equal(access(at("run/summary.json"), F_OK), -1);
    trial_stop(&trial);
    assert_int_equal(trial_wait(all, 1, 5), 0);
    assert_int_equal(trial.outcome.status, TRIAL_pending);
    trial_release(&trial);
    ok(trial_start(&trial, &spec, &e));
    assert_int_equal(trial_wait(all, 1, 0.4), 1);
    close(lock);
    assert_int_equal(trial_wait(all, 1, 5), 0);
    out = trial.outcome;
    ends(TRIAL_ok, "");
    spec.limits.seconds = 0.4;
    const int lock2 = open(spec.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(lock2, LOCK_EX), 0);
    run();
    ends(TRIAL_time, "another process trains in");
    close(lock2);
    /* Over NFS only locks of files reach another machine. */
    put("run/log.jsonl", "", 0644);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int log = open(at("run/log.jsonl"), O_RDWR | O_CLOEXEC);
    assert_int_equal(fcntl(log, F_OFD_SETLK, &whole), 0);
    run();
    ends(TRIAL_time, "another process trains in");
    close(log);
    run();
    ends(TRIAL_ok, "");
}

/* Several at a time: each end is told, whichever comes first. */
static void several(void **state) {
    (void)state;
    struct trial_run t[3];
    struct trial_run *all[3];
    static char folder[3][192], output[3][192];
    program("case $dir in *2) exit 6 ;; esac\n"
            "while [ ! -e $dir.go ]; do sleep 0.05; done\n" GOOD);
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "run%d", i);
        snprintf(folder[i], sizeof folder[i], "%s", at(name));
        snprintf(output[i], sizeof output[i], "%s.txt", at(name));
        spec.folder = folder[i];
        spec.output = output[i];
        ok(trial_start(t + i, &spec, &e));
        all[i] = t + i;
    }
    static const size_t order[] = {2, 1, 0};
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "run%zu.go", order[i]);
        put(name, "", 0644);
        const size_t ended = trial_wait(all, 3, 10);
        assert_int_equal(ended, order[i]);
        assert_int_equal(t[ended].outcome.status, ended == 2 ? TRIAL_nan : TRIAL_ok);
        trial_release(t + ended);
        all[ended] = NULL;
    }
    assert_int_equal(trial_wait(all, 3, 0), 3);
}

/* A signal ends the wait early: the driver looks at what it says. */
static void on_alarm(int signal) {
    (void)signal;
}

static void woken(void **state) {
    (void)state;
    const struct sigaction a = {.sa_handler = on_alarm};
    struct trial_run *const none[] = {NULL};
    sigaction(SIGALRM, &a, NULL);
    const double begin = clock_seconds();
    alarm(1);
    assert_int_equal(trial_wait(none, 1, 20), 1);
    assert_true(clock_seconds() - begin < 10);
}

/* ---- processors ------------------------------------------------------------------------------ */

static void parts(void **state) {
    (void)state;
    cpu_set_t all;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    const int n = CPU_COUNT(&all);
    for (unsigned parts = 1; (int)parts <= n + 2; parts++) {
        int least = n, most = 0;
        cpu_set_t taken;
        CPU_ZERO(&taken);
        for (unsigned i = 0; i < parts; i++) {
            cpu_set_t set, both;
            assert_true(trial_cpus(i, parts, &set));
            const int count = CPU_COUNT(&set);
            assert_true(count >= 1);
            CPU_AND(&both, &set, &all);
            assert_true(CPU_EQUAL(&both, &set));
            CPU_AND(&both, &set, &taken);
            if ((int)parts <= n) assert_int_equal(CPU_COUNT(&both), 0);
            CPU_OR(&taken, &taken, &set);
            if (count < least) least = count;
            if (count > most) most = count;
        }
        if ((int)parts > n) assert_true(least == 1 && most == 1 && CPU_EQUAL(&taken, &all));
    }
    assert_true(trial_threads(1) >= 1 && trial_threads(1) <= n);
    assert_int_equal(trial_threads((unsigned)n), 1);
    assert_int_equal(trial_threads(100000), 1);
}

static void pinned(void **state) {
    (void)state;
    cpu_set_t set;
    char want[CPU_SETSIZE + 1] = "";
    spec.parts = 2;
    spec.threads = 0;
    for (spec.part = 0; spec.part < 2; spec.part++) {
        int n = 0, here = 0;
        body_ends(GOOD "; echo \"$args\" >$dir/args\n"
                       "sed -n 's/^Cpus_allowed_list:[\t ]*//p' /proc/$$/status >$dir/cpus",
                  TRIAL_ok, "");
        assert_true(trial_cpus(spec.part, 2, &set));
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) n += CPU_ISSET(cpu, &set) != 0;
        const char *list = get("run/cpus");
        for (int from, to; *list && *list != '\n';) {
            int used = 0;
            assert_int_equal(sscanf(list, "%d%n", &from, &used), 1);
            list += used;
            to = from;
            if (*list == '-' && sscanf(list, "-%d%n", &to, &used) == 1) list += used;
            for (int cpu = from; cpu <= to; cpu++) {
                assert_true(CPU_ISSET(cpu, &set));
                here++;
            }
            if (*list == ',') list++;
        }
        assert_int_equal(here, n);
        snprintf(want, sizeof want, "--threads %d --quiet\n", trial_threads(2));
        assert_non_null(strstr(get("run/args"), want));
    }
}

/* What is shared, and what each process has. */
static void memory_share(void **state) {
    (void)state;
    const double one = trial_memory_mb(1), four = trial_memory_mb(4);
    assert_true(one > 0 && four > 0 && four < one * 0.3);
#if !SANITIZED /* their shadow memory needs more address space */
    const pid_t child = fork();
    if (!child) {
        const struct rlimit r = {(rlim_t)1 << 30, RLIM_INFINITY};
        if (setrlimit(RLIMIT_AS, &r)) _exit(2);
        const double whole = trial_memory_mb(1), half = trial_memory_mb(2);
        _exit(!(whole < 1074 && (one < 2300 || fabs(whole - half) < 1)));
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
#endif
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(hang),  TEST(no_life), TEST(queue),       TEST(memory), TEST(by_the_summary),
        TEST(flood), TEST(stop),    TEST(driver_dies), TEST(locked), TEST(several),
        TEST(woken), TEST(parts),   TEST(pinned),      TEST(memory_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
