/* The clock that stands still while the process does. The process is a child, which tells what its
 * clock said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "clock.h"
#include "heartbeat.h"

#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct said {
    double real, clock, stopped;
};

static void wait_seconds(double s) {
    const double end = clock_seconds() + s;
    const struct timespec moment = {0, 2000000};
    while (clock_seconds() < end) nanosleep(&moment, NULL);
}

/* Asks its clock every 2 ms, as short updates do, for `seconds` of that clock. Meanwhile its parent
 * stops it for `stop`. */
static struct said run(double seconds, double stop) {
    int fd[2];
    struct said s = {0};
    assert_int_equal(pipe(fd), 0);
    const pid_t pid = fork();
    if (!pid) {
        const struct timespec moment = {0, 2000000};
        struct heartbeat *h = NULL;
        struct err e;
        if (heartbeat_open(&h, 1, &e)) _exit(2);
        const double begin = clock_seconds(), mine = heartbeat_clock(h);
        if (write(fd[1], &s, 1) != 1) _exit(2);
        while (heartbeat_clock(h) - mine < seconds) nanosleep(&moment, NULL);
        s.clock = heartbeat_clock(h) - mine;
        s.real = clock_seconds() - begin;
        s.stopped = heartbeat_stopped(h);
        heartbeat_close(h);
        _exit(write(fd[1], &s, sizeof s) != (ssize_t)sizeof s);
    }
    char started;
    assert_int_equal(read(fd[0], &started, 1), 1);
    if (stop > 0) {
        wait_seconds(0.3);
        kill(pid, SIGSTOP);
        wait_seconds(stop);
        kill(pid, SIGCONT);
    }
    assert_int_equal(read(fd[0], &s, sizeof s), sizeof s);
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    close(fd[0]);
    close(fd[1]);
    return s;
}

static void a_stop_is_not_counted(void **state) {
    (void)state;
    const struct said s = run(1.5, 2);
    print_message("real %.3f, clock %.3f, stopped %.3f\n", s.real, s.clock, s.stopped);
    assert_true(s.stopped > 1.8 && s.stopped < s.real - 1.3);
    /* What is not stopped is charged, but for the time between the two readings. */
    assert_true(fabs(s.real - s.stopped - s.clock) < 0.2);
}

static void several_stops(void **state) {
    (void)state;
    const struct said a = run(0.8, 0.6);
    assert_true(a.stopped > 0.4 && a.stopped < a.real - 0.5);
}

/* Other processes take the processors: that is no stop. */
static void neighbours_are_counted(void **state) {
    (void)state;
    enum { N = 12 };
    pid_t pid[N];
    for (int i = 0; i < N; i++) {
        pid[i] = fork();
        if (!pid[i])
            for (volatile unsigned x = 0;; x++) {}
    }
    const struct said s = run(2, 0);
    for (int i = 0; i < N; i++) {
        kill(pid[i], SIGKILL);
        waitpid(pid[i], NULL, 0);
    }
    assert_true(s.stopped == 0);
}

static void without_it(void **state) {
    (void)state;
    struct heartbeat *h = NULL;
    assert_true(heartbeat_stopped(h) == 0);
    const double a = heartbeat_clock(h), b = heartbeat_clock(h);
    assert_true(b >= a);
}

static atomic_int rung;

static void ring(void *ctx) {
    atomic_fetch_add((atomic_int *)ctx, 1);
}

/* Rings once, after its time by this clock, and not when another has taken its place. */
static void alarms(void **state) {
    (void)state;
    struct heartbeat *h;
    struct err e;
    assert_int_equal(heartbeat_open(&h, 1, &e), 0);
    heartbeat_alarm(h, heartbeat_clock(h) + 0.3, ring, &rung);
    wait_seconds(0.15);
    assert_int_equal(rung, 0);
    wait_seconds(0.6);
    assert_int_equal(rung, 1);
    heartbeat_alarm(h, heartbeat_clock(h) + 0.2, ring, &rung);
    heartbeat_alarm(h, 0, NULL, NULL);
    wait_seconds(0.4);
    assert_int_equal(rung, 1);
    heartbeat_close(h);
}

/* Each has its own alarm. */
static void two_at_once(void **state) {
    (void)state;
    enum { N = 2 };
    struct heartbeat *h[N];
    atomic_int rings[N] = {0};
    struct err e;
    for (int i = 0; i < N; i++) assert_int_equal(heartbeat_open(h + i, 1, &e), 0);
    heartbeat_alarm(h[0], heartbeat_clock(h[0]) + 0.1, ring, rings);
    heartbeat_alarm(h[1], heartbeat_clock(h[1]) + 60, ring, rings + 1);
    wait_seconds(0.4);
    assert_int_equal(rings[0], 1);
    assert_int_equal(rings[1], 0);
    for (int i = 0; i < N; i++) heartbeat_close(h[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_it),
        cmocka_unit_test(alarms),
        cmocka_unit_test(two_at_once),
        cmocka_unit_test(a_stop_is_not_counted),
        cmocka_unit_test(several_stops),
        cmocka_unit_test(neighbours_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
