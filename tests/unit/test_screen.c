/* What is shown on a terminal drives it to nothing; a file gets the bytes. */
#include "err_fixture.h"

#include "screen.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const char bytes[] = "a\0b\tc\n\033[31md\r\177\xc2\x9b"
                            "1m\xc2\xa0\xc3\xa9\xe2\x82\xac\xff\xc2";
#define N (sizeof bytes - 1)

static void file(void **state) {
    (void)state;
    char *text;
    size_t n;
    FILE *f = tmpfile();
    assert_non_null(f);
    screen_write(f, bytes, N);
    screen_write(f, bytes, 0);
    assert_int_equal(ftell(f), N);
    text = malloc(N);
    rewind(f);
    n = fread(text, 1, N, f);
    assert_int_equal(n, N);
    assert_memory_equal(text, bytes, N);
    free(text);
    fclose(f);
}

static void terminal(void **state) {
    (void)state;
    static const char want[] = "a\\x00b\tc\n\\x1b[31md\\x0d\\x7f\\u009b"
                               "1m\xc2\xa0\xc3\xa9\xe2\x82\xac\xff\xc2";
    char got[256];
    size_t n = 0;
    const int fd = posix_openpt(O_RDWR | O_NOCTTY);
    if (fd < 0 || grantpt(fd) || unlockpt(fd)) skip(); /* no terminals here */
    const int end = open(ptsname(fd), O_RDWR | O_NOCTTY);
    assert_true(end >= 0);
    struct termios t;
    assert_int_equal(tcgetattr(end, &t), 0);
    cfmakeraw(&t);
    assert_int_equal(tcsetattr(end, TCSANOW, &t), 0);
    FILE *f = fdopen(end, "w");
    screen_write(f, bytes, N);
    fflush(f);
    while (n < sizeof want - 1) {
        const ssize_t k = read(fd, got + n, sizeof got - n);
        assert_true(k > 0);
        n += (size_t)k;
    }
    assert_int_equal(n, sizeof want - 1);
    assert_memory_equal(got, want, n);
    fclose(f);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(file), cmocka_unit_test(terminal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
