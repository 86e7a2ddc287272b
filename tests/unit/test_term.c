/* What is made for a terminal: colour as no-color.org has it, widths, lines that fit, sparklines,
 * and progress on a terminal and off it. */
#include "err_fixture.h"

#include "log.h"
#include "num.h"
#include "term.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* A terminal of so many columns; its other end in *fd. -1: there are none here. */
static int terminal(int *fd, int columns) {
    struct termios t;
    const struct winsize w = {.ws_row = 24, .ws_col = (unsigned short)columns};
    *fd = posix_openpt(O_RDWR | O_NOCTTY);
    if (*fd < 0 || grantpt(*fd) || unlockpt(*fd)) return -1;
    const int end = open(ptsname(*fd), O_RDWR | O_NOCTTY);
    if (end < 0 || tcgetattr(end, &t)) return -1;
    cfmakeraw(&t);
    return tcsetattr(end, TCSANOW, &t) || ioctl(end, TIOCSWINSZ, &w) ? -1 : end;
}

static void environment(const char *term, const char *no_color) {
    unsetenv("TERM");
    unsetenv("NO_COLOR");
    if (term) setenv("TERM", term, 1);
    if (no_color) setenv("NO_COLOR", no_color, 1);
}

static void colour(void **state) {
    (void)state;
    int other;
    const int tty = terminal(&other, 80), file = open("/dev/null", O_WRONLY);
    if (tty < 0) skip();
    const struct {
        const char *choice, *term, *no_color;
        bool tty, file;
    } rows[] = {
        {"auto", "xterm", NULL, true, false},   {"auto", "xterm", "", true, false},
        {"auto", "xterm", "1", false, false},   {"auto", "xterm", "0", false, false},
        {"auto", "dumb", NULL, false, false},   {"auto", "", NULL, false, false},
        {"auto", NULL, NULL, false, false},     {"never", "xterm", NULL, false, false},
        {"always", "xterm", "1", true, true}, /* what is asked for goes before NO_COLOR */
        {"always", "dumb", NULL, true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        environment(rows[i].term, rows[i].no_color);
        term_color_choose(rows[i].choice);
        assert_int_equal(term_color(tty), rows[i].tty);
        assert_int_equal(term_color(file), rows[i].file);
        assert_string_equal(term_on(tty, TERM_BAD), rows[i].tty ? "\033[31m" : "");
        assert_string_equal(term_off(file), rows[i].file ? "\033[0m" : "");
    }
    term_color_choose("auto");
    environment("xterm", NULL);
    assert_true(term_rewrites(tty));
    assert_false(term_rewrites(file));
    close(tty);
    close(other);
    close(file);
}

static void columns(void **state) {
    (void)state;
    int other;
    const int tty = terminal(&other, 93), file = open("/dev/null", O_WRONLY);
    if (tty < 0) skip();
    unsetenv("COLUMNS");
    assert_int_equal(term_columns(tty), 93);
    const struct winsize w = {.ws_row = 10, .ws_col = 41};
    assert_int_equal(ioctl(other, TIOCSWINSZ, &w), 0);
    assert_int_equal(term_columns(tty), 41);
    assert_int_equal(term_columns(file), 80);
    setenv("COLUMNS", "120", 1);
    assert_int_equal(term_columns(file), 120);
    assert_int_equal(term_columns(tty), 41);
    setenv("COLUMNS", "x", 1);
    assert_int_equal(term_columns(file), 80);
    close(tty);
    close(other);
    close(file);
}

static void character_set(void **state) {
    (void)state;
    static const struct {
        const char *all, *ctype, *lang;
        bool utf8;
    } rows[] = {
        {NULL, NULL, NULL, false},           {NULL, NULL, "en_US.UTF-8", true},
        {NULL, NULL, "de_DE.utf8", true},    {NULL, NULL, "de_DE.UTF-8@euro", true},
        {"C", NULL, "en_US.UTF-8", false},   {"", "C.UTF-8", "C", true},
        {NULL, "C", "en_US.UTF-8", false},   {NULL, NULL, "en_US.ISO-8859-1", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const name[] = {"LC_ALL", "LC_CTYPE", "LANG"},
                   *const value[] = {rows[i].all, rows[i].ctype, rows[i].lang};
        for (int k = 0; k < 3; k++)
            if (value[k])
                setenv(name[k], value[k], 1);
            else
                unsetenv(name[k]);
        assert_int_equal(term_utf8(), rows[i].utf8);
        assert_string_equal(term_pm(), rows[i].utf8 ? "\xc2\xb1" : "+-");
    }
}

static void widths(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int width, fit; /* fit: bytes in 4 columns */
    } rows[] = {
        {"", 0, 0},
        {"abcdef", 6, 4},
        {"a\xc3\xa9\xc2\xb1z!", 5, 6},                    /* two bytes, one column */
        {"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", 6, 6},   /* wide characters */
        {"abc\xe6\xbc\xa2", 5, 3},                        /* one that would stick out */
        {"e\xcc\x81g", 2, 4},                             /* a combining accent */
        {"\xe2\x96\x87\xe2\x96\x86\xe2\x96\x81", 3, 9},   /* blocks */
        {"\033[31mab\033[0mcdef", 6, 13},                 /* escapes */
        {"\xff\xfe", 2, 2},                               /* no UTF-8 */
        {"ab\xe2\x96", 4, 4},                             /* cut off */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(term_width(rows[i].text), rows[i].width);
        assert_int_equal(term_cut(rows[i].text, 4), rows[i].fit);
    }
}

static void parts(void **state) {
    (void)state;
    const struct term_part p[] = {
        {0, "step 12"}, {3, "lr 1e-3"}, {1, "loss 2.5"}, {2, ""}, {2, "5s left"}};
    static const struct {
        int columns;
        const char *want;
    } rows[] = {
        {80, "step 12  lr 1e-3  loss 2.5  5s left"},
        {35, "step 12  lr 1e-3  loss 2.5  5s left"},
        {34, "step 12  loss 2.5  5s left"},
        {26, "step 12  loss 2.5  5s left"},
        {25, "step 12  loss 2.5"},
        {16, "step 12"},
        {5, "step "},
        {0, ""},
    };
    char out[128];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(term_join(p, 5, rows[i].columns, out, sizeof out), strlen(rows[i].want));
        assert_string_equal(out, rows[i].want);
    }
    const struct term_part wide[] = {{0, "\xe6\xbc\xa2\xe5\xad\x97"}, {1, "x"}};
    assert_int_equal(term_join(wide, 2, 7, out, sizeof out), 7);
    assert_int_equal(term_join(wide, 2, 6, out, sizeof out), 4);
}

static void sparklines(void **state) {
    (void)state;
    const double rising[] = {0, 1, 2, 3, 4, 5, 6, 7}, flat[] = {3, 3, 3},
                 gaps[] = {NAN, 4, INFINITY, 0, -INFINITY}, none[] = {NAN, NAN},
                 huge[] = {1.7e308, -1.7e308, 0}, pairs[] = {8, 8, 4, NAN, 1, -1};
    char out[64];
    assert_int_equal(term_spark(rising, 8, 8, true, out, sizeof out), 8);
    assert_string_equal(out, "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588");
    assert_int_equal(term_width(out), 8);
    assert_int_equal(term_spark(rising, 8, 20, false, out, sizeof out), 8);
    assert_string_equal(out, ".:-=+*#@");
    assert_int_equal(term_spark(flat, 3, 8, false, out, sizeof out), 3);
    assert_string_equal(out, "...");
    term_spark(gaps, 5, 8, false, out, sizeof out);
    assert_string_equal(out, " @ . ");
    term_spark(none, 2, 8, true, out, sizeof out);
    assert_string_equal(out, "  ");
    term_spark(huge, 3, 8, false, out, sizeof out);
    assert_string_equal(out, "@.+");
    assert_int_equal(term_spark(pairs, 6, 3, false, out, sizeof out), 3);
    assert_string_equal(out, "@+."); /* 8, 4, 0 */
    assert_int_equal(term_spark(pairs, 6, 0, true, out, sizeof out), 0);
    assert_string_equal(out, "");
    assert_int_equal(term_spark(pairs, 0, 5, true, out, sizeof out), 0);
}

static void bars(void **state) {
    (void)state;
    static const struct {
        double part;
        const char *blocks, *ascii;
    } rows[] = {
        {0, "", ""},   {-1, "", ""}, {NAN, "", ""}, {1, "\u2588\u2588", "##"},
        {7, "\u2588\u2588", "##"},  {0.5, "\u2588", "#"}, {1 / 16.0, "\u258f", ""},
        {15 / 16.0, "\u2588\u2589", "##"}, {0.01, "", ""}, {0.75, "\u2588\u258c", "##"},
    };
    char out[7];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        term_bar(rows[i].part, 2, true, out, sizeof out);
        assert_string_equal(out, rows[i].blocks);
        term_bar(rows[i].part, 2, false, out, sizeof out);
        assert_string_equal(out, rows[i].ascii);
    }
    term_bar(1, 0, true, out, sizeof out);
    assert_string_equal(out, "");
}

static void numbers(void **state) {
    (void)state;
    char b[32];
    assert_string_equal(num_count(0, b), "0");
    assert_string_equal(num_count(999, b), "999");
    assert_string_equal(num_count(1000, b), "1,000");
    assert_string_equal(num_count(-123456, b), "-123,456");
    assert_string_equal(num_count(INT64_MIN, b), "-9,223,372,036,854,775,808");
    assert_string_equal(num_rate(0, b), "0");
    assert_string_equal(num_rate(1.5e-3, b), "1.5e-3");
    assert_string_equal(num_rate(0.001, b), "1e-3");
    assert_string_equal(num_rate(-2.34e-12, b), "-2.3e-12");
    assert_string_equal(num_rate(9.99e-4, b), "1e-3");
    assert_string_equal(num_rate(12, b), "12");
    assert_string_equal(num_rate(0.1, b), "0.1");
    assert_string_equal(num_rate(0.05, b), "5e-2");
    assert_string_equal(num_rate(-1, b), "-1");
    assert_string_equal(num_rate(1234, b), "1.2e3");
    assert_string_equal(num_rate((double)NAN, b), "unknown");
    assert_string_equal(num_digits(0, 3, b), "0.00");
    assert_string_equal(num_digits(0.031234, 3, b), "0.0312");
    assert_string_equal(num_digits(12.345, 3, b), "12.3");
    assert_string_equal(num_digits(-1234.4, 3, b), "-1234");
    assert_string_equal(num_digits(123.4, 3, b), "123");
    assert_string_equal(num_digits((double)INFINITY, 3, b), "unknown");
}

/* What went to stderr since it was put in fd's place. */
static void take(int fd, char *buf, size_t size) {
    fflush(stderr);
    size_t n = 0;
    ssize_t k = 1;
    /* A terminal hands on what was written a moment later. */
    for (struct pollfd p = {.fd = fd, .events = POLLIN}; k > 0 && poll(&p, 1, 50) > 0;
         n += k > 0 ? (size_t)k : 0)
        k = read(fd, buf + n, size - 1 - n);
    buf[n] = '\0';
}

static void on_a_terminal(void **state) {
    (void)state;
    char got[1024];
    int other;
    const int tty = terminal(&other, 30), old = dup(STDERR_FILENO);
    if (tty < 0) skip();
    environment("xterm", NULL);
    setenv("LC_ALL", "C.UTF-8", 1);
    term_color_choose("auto");
    dup2(tty, STDERR_FILENO);
    fcntl(other, F_SETFL, O_NONBLOCK);
    struct log_progress p;
    log_progress_init(&p, false);
    log_progress_show(&p, false, "too early");
    take(other, got, sizeof got);
    const bool early = *got == '\0';
    log_progress_show(&p, true, "step 1  %s", "0123456789 0123456789 0123456789");
    take(other, got, sizeof got);
    const bool cut = !strcmp(got, "\rstep 1  0123456789 0123456789\033[K");
    log_note(&p, "a note\a");
    take(other, got, sizeof got);
    const bool note =
        !strcmp(got, "\r\033[Ka note\\x07\n\rstep 1  0123456789 0123456789\033[K");
    log_mark(&p, TERM_GOOD, "  best", "val");
    log_warn(&p, "warning: hot");
    take(other, got, sizeof got);
    const bool marks = strstr(got, "val\033[32m  best\033[0m\n") != NULL &&
                       strstr(got, "\033[33mwarning:\033[0m hot\n") != NULL;
    log_bar_end(&p, "evaluated", 1234, "windows");
    take(other, got, sizeof got);
    const bool end = !strncmp(got, "\r\033[Kevaluated 1,234 windows in 0.", 32);
    log_bar_end(&p, "never shown", 1, "windows");
    log_progress_end(&p);
    take(other, got, sizeof got);
    const bool silent = *got == '\0';
    dup2(old, STDERR_FILENO);
    assert_true(early);
    assert_true(cut);
    assert_true(note);
    assert_true(marks);
    assert_true(end);
    assert_true(silent);
    close(old);
    close(tty);
    close(other);
}

static void off_a_terminal(void **state) {
    (void)state;
    char got[1024];
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    const int old = dup(STDERR_FILENO);
    dup2(pipes[1], STDERR_FILENO);
    fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    struct log_progress p, quiet;
    log_progress_init(&p, false);
    log_progress_init(&quiet, true);
    log_bar(&p, "evaluating", 1, 9, "windows"); /* too early */
    log_bar_end(&p, "evaluated", 9, "windows");
    log_state(&p, "measuring");
    log_progress_show(&quiet, true, "x");
    log_bar(&quiet, "x", 0, 0, "MB");
    log_note(&quiet, "x");
    log_mark(&quiet, TERM_GOOD, "x", "x");
    take(pipes[0], got, sizeof got);
    const bool silent = *got == '\0';
    log_warn(&quiet, "warning: %d", 7);
    log_bar(&p, "tokenizing -", 0, 0, "MB"); /* a pipe */
    log_bar(&p, "tokenizing -", 1000000, 0, "MB"); /* too soon after the last */
    log_bar_end(&p, "tokenized -", 3250000, "MB");
    take(pipes[0], got, sizeof got);
    dup2(old, STDERR_FILENO);
    assert_true(silent);
    static const char want[] = "warning: 7\ntokenizing -: 0.0 MB\ntokenized - 3.2 MB in 0.";
    assert_memory_equal(got, want, sizeof want - 1);
    assert_null(strchr(got, '\033'));
    close(old);
    close(pipes[0]);
    close(pipes[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colour),        cmocka_unit_test(columns),
        cmocka_unit_test(character_set), cmocka_unit_test(widths),
        cmocka_unit_test(parts),         cmocka_unit_test(sparklines), cmocka_unit_test(bars),
        cmocka_unit_test(numbers),       cmocka_unit_test(on_a_terminal),
        cmocka_unit_test(off_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
