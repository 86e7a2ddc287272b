/* What happens when a signal ends the program, and when a mapped file is cut. The program is a
 * child process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "file.h"
#include "guard.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 5 * 4096 };

static char dir[64], input[128], output[128], temp[160];
static struct err e;

static int setup(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/duet-guard-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(input, sizeof input, "%s/in.bin", dir);
    snprintf(output, sizeof output, "%s/out.bin", dir);
    snprintf(temp, sizeof temp, "%s.duet-tmp", output);
    FILE *f = fopen(input, "w");
    for (int i = 0; i < SIZE; i++) fputc('x', f);
    return fclose(f);
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/* Runs fn in a child; its stderr into text. Returns the status of waitpid. */
static int child(void (*fn)(void), char text[1024]) {
    int fd[2], status;
    assert_int_equal(pipe(fd), 0);
    const pid_t pid = fork();
    if (!pid) {
        dup2(fd[1], STDERR_FILENO);
        close(fd[0]);
        close(fd[1]);
        signal(SIGINT, SIG_DFL); /* what the tests are run by may ignore them */
        signal(SIGTERM, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        guard_install();
        fn();
        _exit(9);
    }
    close(fd[1]);
    size_t n = 0;
    for (ssize_t got; (got = read(fd[0], text + n, 1023 - n)) > 0;) n += (size_t)got;
    text[n] = 0;
    close(fd[0]);
    waitpid(pid, &status, 0);
    return status;
}

static void terminated(void) {
    struct file_out o;
    if (file_out_open(&o, output, &e)) _exit(8);
    file_out_write(&o, "half", 4);
    file_out_sync(&o, &e);
    if (!file_exists(temp)) _exit(7);
    raise(SIGTERM);
}

static void a_signal_removes_temporaries(void **state) {
    (void)state;
    char text[1024];
    const int status = child(terminated, text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_false(file_exists(temp));
    assert_false(file_exists(output));
    assert_string_equal(text, "");
}

static void committed(void) {
    struct file_out o;
    if (file_out_open(&o, output, &e)) _exit(8);
    file_out_write(&o, "whole", 5);
    if (file_out_commit(&o, &e)) _exit(7);
    raise(SIGHUP);
}

static void a_finished_file_stays(void **state) {
    (void)state;
    char text[1024];
    const int status = child(committed, text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP);
    assert_true(file_exists(output));
}

static void ignoring(void) {
    signal(SIGINT, SIG_IGN);
    guard_install(); /* as a program that is started so does */
    raise(SIGINT);
    _exit(5);
}

static void ignored_stays_ignored(void **state) {
    (void)state;
    char text[1024];
    const int status = child(ignoring, text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}

static void cut_and_read(void) {
    struct file_map m;
    struct file_out o;
    if (file_map_open(&m, input, &e) || file_out_open(&o, output, &e)) _exit(8);
    if (truncate(input, 4096)) _exit(7);
    _exit(m.data[3 * 4096] == 'x' ? 6 : 5);
}

static void a_cut_file_is_named(void **state) {
    (void)state;
    char text[1024], want[1024];
    const int status = child(cut_and_read, text);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    snprintf(want, sizeof want,
             "duet: error: %s: was cut from %d to 4096 bytes while it was in use\n", input, SIZE);
    assert_string_equal(text, want);
    assert_false(file_exists(temp));
}

static void not_a_map(void) {
    struct file_map m;
    if (file_map_open(&m, input, &e) || truncate(input, 4096)) _exit(8);
    file_map_close(&m);
    raise(SIGBUS);
    _exit(4); /* the handler has gone back to the default action: a fault would end it now */
}

static void elsewhere_the_default_action(void **state) {
    (void)state;
    char text[1024];
    const int status = child(not_a_map, text);
    assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 4 : WTERMSIG(status) == SIGBUS);
    assert_string_equal(text, "");
}

/* write(2) gives EFAULT and no signal. */
static void cut_before_it_is_written(void **state) {
    (void)state;
    struct file_map m;
    struct file_out o;
    FILE *f = fopen(input, "a");
    for (int i = 0; i < 1 << 20; i++) fputc('y', f);
    fclose(f);
    assert_int_equal(file_map_open(&m, input, &e), 0);
    assert_int_equal(truncate(input, 8192), 0);
    assert_int_equal(file_out_open(&o, output, &e), 0);
    file_out_write(&o, m.data, m.size);
    assert_int_equal(file_out_commit(&o, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "in.bin: was cut from"));
    assert_false(file_exists(output));
    assert_false(file_exists(temp));
    file_map_close(&m);
}

/* Cut within its last page: what is missing reads as zeros, without a signal. */
static void cut_within_a_page(void **state) {
    (void)state;
    struct file_map m;
    struct file_out o;
    assert_int_equal(file_map_open(&m, input, &e), 0);
    assert_int_equal(guard_check_maps(&e), 0);
    assert_int_equal(truncate(input, SIZE - 10), 0);
    assert_int_equal(m.data[SIZE - 1], 0);
    assert_int_equal(guard_check_maps(&e), ERR_IO);
    assert_int_equal(file_out_open(&o, output, &e), 0);
    file_out_write(&o, m.data + SIZE - 20, 20);
    assert_int_equal(file_out_commit(&o, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "in.bin: was cut from 20480 to 20470 bytes"));
    assert_false(file_exists(output));
    file_map_close(&m);
    assert_int_equal(guard_check_maps(&e), 0);
}

/* A file that is replaced, not cut, is none of this: the map is the old file's. */
static void replaced(void **state) {
    (void)state;
    struct file_map m;
    struct file_out o;
    assert_int_equal(file_map_open(&m, input, &e), 0);
    assert_int_equal(file_out_open(&o, input, &e), 0);
    file_out_write(&o, "short", 5);
    assert_int_equal(file_out_commit(&o, &e), 0);
    assert_int_equal(guard_check_maps(&e), 0);
    assert_int_equal(m.data[SIZE - 1], 'x');
    file_map_close(&m);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_signal_removes_temporaries),
        T(a_finished_file_stays),
        T(ignored_stays_ignored),
        T(a_cut_file_is_named),
        T(elsewhere_the_default_action),
        T(cut_before_it_is_written),
        T(cut_within_a_page),
        T(replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
