/* Real data, which is not part of the project ($DUET_DATA, else shared/data beside the source), and
 * tests that need it.
 *
 * A test that cannot do without is listed with data_test() and asks with data_file(), which skips
 * it. tests/meson.build runs such a program twice: everything else, and as NAME_data what needs the
 * data, so that a summary counts it as skipped where there is none. By hand, without an argument,
 * a program runs all of its tests. */
#ifndef DUET_TEST_DATA_H
#define DUET_TEST_DATA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int data_skipped; /* tests */

/* The path of a file or folder of the data, or NULL. Good until four calls later. */
static inline const char *data_find(const char *name) {
    static char paths[4][1024];
    static int next;
    char *path = paths[next++ % 4];
    const char *dir = getenv("DUET_DATA");
    snprintf(path, sizeof paths[0], "%s/%s", dir && *dir ? dir : SOURCE_ROOT "/../shared/data",
             name);
    return access(path, R_OK) == 0 ? path : NULL;
}

/* The same; without it the test ends here, as skipped. */
static inline const char *data_file(const char *name) {
    const char *path = data_find(name);
    if (path) return path;
    print_message("skipped: no %s in $DUET_DATA or shared/data\n", name);
    data_skipped++;
    skip();
    return NULL;
}

#define data_test(f)                                                                               \
    { "data: " #f, f, NULL, NULL, NULL }

/* argv[1]: "data", "nodata", or none for all. */
static inline void data_select(int argc, char **argv) {
    if (argc < 2) return;
    if (!strcmp(argv[1], "data"))
        cmocka_set_test_filter("data: *");
    else if (!strcmp(argv[1], "nodata"))
        cmocka_set_skip_filter("data: *");
    else
        exit(2);
}

/* Of a program: how many failed, else 77 (meson's "skipped") if any test was skipped. */
static inline int data_status(int failed) {
    return failed ? failed : data_skipped ? 77 : 0;
}

/* In the place of cmocka_run_group_tests; tests must be an array. */
#define data_run(argc, argv, tests, setup, teardown)                                               \
    (data_select(argc, argv), data_status(cmocka_run_group_tests(tests, setup, teardown)))

#endif
