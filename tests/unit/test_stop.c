/* The signals of a run: what they ask for, what stays ignored, and that all is as before at the
 * end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "run.h"
#include "stop.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char said[1024];

/* Raises a signal; what its handler wrote to stderr is in said. */
static void send(int sig) {
    int fd[2], old = dup(STDERR_FILENO);
    assert_int_equal(pipe(fd), 0);
    dup2(fd[1], STDERR_FILENO);
    close(fd[1]);
    raise(sig);
    dup2(old, STDERR_FILENO);
    close(old);
    const ssize_t n = read(fd[0], said, sizeof said - 1);
    said[n > 0 ? n : 0] = 0;
    close(fd[0]);
}

static int mine;

static void on_mine(int sig) {
    mine = sig;
}

static void ends(void **state) {
    (void)state;
    static const int all[] = {SIGINT, SIGTERM, SIGHUP, SIGXCPU};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        stop_catch();
        stop_phase(STOP_RUNNING, 1203);
        assert_false(*stop_flag() & RUN_STOP);
        assert_int_equal(*stop_flag(), 0);
        send(all[i]);
        assert_true(*stop_flag() & RUN_STOP);
        assert_string_equal(said, "duet: stopping; saving at step 1203\n");
        send(all[(i + 1) % 4]);
        assert_non_null(strstr(said, "stopping already"));
        assert_true(*stop_flag() & RUN_STOP);
        stop_release();
    }
}

static void saves(void **state) {
    (void)state;
    stop_catch();
    stop_phase(STOP_RUNNING, 7);
    assert_false(stop_save_asked());
    send(SIGUSR1);
    assert_false(*stop_flag());
    assert_true(stop_save_asked());
    assert_false(stop_save_asked());
    stop_release();
}

static void phases(void **state) {
    (void)state;
    stop_catch();
    stop_phase(STOP_FRESH, 0);
    send(SIGTERM);
    assert_string_equal(said, "duet: stopping; no update is done yet, nothing to save\n");
    stop_release();
    stop_catch();
    stop_phase(STOP_SAVED, 10);
    send(SIGTERM);
    assert_string_equal(said, "duet: stopping; saved at step 10\n");
    stop_release();
}

/* While a run starts, a signal does what it did before. */
static void opening(void **state) {
    (void)state;
    struct sigaction a = {.sa_handler = on_mine}, old;
    sigaction(SIGTERM, &a, &old);
    stop_catch();
    mine = 0;
    send(SIGTERM);
    assert_int_equal(mine, SIGTERM);
    assert_false(*stop_flag() & RUN_STOP);
    stop_release();
    sigaction(SIGTERM, &old, NULL);
}

static void restored(void **state) {
    (void)state;
    struct sigaction a = {.sa_handler = on_mine}, now, old;
    sigaction(SIGINT, &a, &old);
    signal(SIGHUP, SIG_IGN);
    stop_catch();
    stop_phase(STOP_RUNNING, 3);
    send(SIGHUP); /* stays ignored */
    assert_false(*stop_flag() & RUN_STOP);
    assert_string_equal(said, "");
    stop_release();
    sigaction(SIGINT, NULL, &now);
    assert_true(now.sa_handler == on_mine);
    sigaction(SIGHUP, NULL, &now);
    assert_true(now.sa_handler == SIG_IGN);
    sigaction(SIGTERM, NULL, &now);
    assert_true(now.sa_handler == SIG_DFL);
    sigaction(SIGINT, &old, NULL);
    signal(SIGHUP, SIG_DFL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends),    cmocka_unit_test(saves),      cmocka_unit_test(phases),
        cmocka_unit_test(opening), cmocka_unit_test(restored),
    };
    /* Whatever the tests are run by may ignore some (nohup). */
    static const int all[] = {SIGINT, SIGTERM, SIGHUP, SIGXCPU, SIGUSR1};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) signal(all[i], SIG_DFL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
