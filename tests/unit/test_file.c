/* Files that are replaced atomically, maps, and the line log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "file.h"
#include "log.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Every test runs in a fresh empty folder that is the current one. */
static char folder[] = "/tmp/duet-test-XXXXXX";

static int enter(void **state) {
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    umask(022);
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/") || system(command);
}

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void assert_text(const char *path, const char *want) {
    char *text;
    size_t size;
    struct err e;
    assert_int_equal(file_read_text(path, 1 << 20, &text, &size, &e), 0);
    assert_string_equal(text, want);
    assert_int_equal(size, strlen(want));
    free(text);
}

/* The current folder holds exactly n entries: no temporary is left. */
static void assert_entries(int n) {
    DIR *d = opendir(".");
    assert_non_null(d);
    int found = -2;
    while (readdir(d)) found++;
    closedir(d);
    assert_int_equal(found, n);
}

/* Writing ------------------------------------------------------------------------------------- */

static void out_writes(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    uint8_t *big = malloc(N), head[16] = "0123456789abcdef";
    for (int i = 0; i < N; i++) big[i] = (uint8_t)(i * 7 + (i >> 9));
    struct file_out o;
    struct err e;
    assert_int_equal(file_out_open(&o, "x", &e), 0);
    file_out_write(&o, head, 3);
    assert_int_equal(o.offset, 3);
    file_out_patch(&o, 1, "Q", 1); /* still in the buffer */
    file_out_pad(&o, 4096);
    assert_int_equal(o.offset, 4096);
    file_out_pad(&o, 64);
    assert_int_equal(o.offset, 4096);
    for (int i = 0; i < N; i += 1000) /* pieces across the ends of the buffer */
        file_out_write(&o, big + i, N - i < 1000 ? (size_t)(N - i) : 1000);
    file_out_write(&o, big, N); /* more than the buffer */
    file_out_write(&o, big, 0);
    assert_int_equal(o.offset, 4096 + 2 * N);
    file_out_patch(&o, 4090, head, 16); /* on disk */
    file_out_write(&o, "z", 1);         /* at the end again */
    assert_false(file_exists("x"));
    assert_int_equal(file_out_commit(&o, &e), 0);
    file_out_discard(&o); /* of a committed one: nothing */
    assert_entries(1);

    struct file_map m;
    assert_int_equal(file_map_open(&m, "x", &e), 0);
    assert_true(m.mapped);
    assert_string_equal(m.path, "x");
    assert_int_equal(m.size, 4096 + 2 * N + 1);
    assert_memory_equal(m.data, "0Q2\0\0", 5);
    assert_int_equal(m.data[4089], 0);
    assert_memory_equal(m.data + 4090, head, 16);
    assert_memory_equal(m.data + 4106, big + 10, N - 10);
    assert_memory_equal(m.data + 4096 + N, big, N);
    assert_int_equal(m.data[m.size - 1], 'z');
    file_map_close(&m);
    file_map_close(&m);
    struct stat st;
    assert_int_equal(stat("x", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    free(big);
}

static void out_replaces_or_leaves(void **state) {
    (void)state;
    struct file_out o = {0};
    struct err e;
    int input = fcntl(0, F_GETFD);
    file_out_discard(&o); /* all zeros: descriptor 0 is not the file's */
    assert_int_equal(fcntl(0, F_GETFD), input);
    put("x", "old");
    assert_int_equal(chmod("x", 0600), 0);
    assert_int_equal(file_out_open(&o, "x", &e), 0);
    file_out_write(&o, "discarded", 9);
    file_out_discard(&o);
    assert_text("x", "old");
    assert_entries(1);
    assert_int_equal(file_out_open(&o, "x", &e), 0);
    file_out_write(&o, "new", 3);
    assert_text("x", "old");
    assert_int_equal(file_out_commit(&o, &e), 0);
    assert_text("x", "new");
    assert_entries(1);
    struct stat st;
    assert_int_equal(stat("x", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void out_failed_write(void **state) {
    (void)state;
    struct file_out o;
    struct err e;
    static char block[100000];
    put("x", "old");
    struct rlimit was, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    limit = was;
    limit.rlim_cur = 1 << 16;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int opened = file_out_open(&o, "x", &e);
    for (int i = 0; i < 10; i++) file_out_write(&o, block, sizeof block);
    uint64_t offset = o.offset;
    file_out_patch(&o, 0, "patch", 5);
    int rc = file_out_commit(&o, &e);
    setrlimit(RLIMIT_FSIZE, &was);
    assert_int_equal(opened, 0);
    assert_int_equal(offset, 10 * sizeof block);
    assert_int_equal(rc, ERR_IO);
    assert_string_equal(strrchr(e.msg, '/') + 1, "x: File too large");
    assert_text("x", "old");
    assert_entries(1);
}

/* A writer that is killed leaves the old file; its temporary does not hinder the next writer. */
static void out_killed(void **state) {
    (void)state;
    struct file_out o;
    struct err e;
    put("x", "old");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        static char block[1 << 20];
        if (file_out_open(&o, "x", &e)) _exit(1);
        file_out_write(&o, block, sizeof block);
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_text("x", "old");
    assert_entries(2);
    assert_int_equal(file_out_open(&o, "x", &e), 0);
    file_out_write(&o, "new", 3);
    assert_int_equal(file_out_commit(&o, &e), 0);
    assert_text("x", "new"); /* nothing of the longer leftover is behind it */
    assert_entries(1);
}

static void out_two_writers(void **state) {
    (void)state;
    struct file_out a, b;
    struct err e;
    assert_int_equal(file_out_open(&a, "x", &e), 0);
    file_out_write(&a, "first", 5);
    assert_int_equal(file_out_open(&b, "x", &e), ERR_IO);
    assert_non_null(strstr(e.msg, "another process"));
    assert_int_equal(file_out_commit(&a, &e), 0);
    assert_text("x", "first");
    assert_int_equal(file_out_open(&b, "x", &e), 0);
    file_out_discard(&b);
}

static void out_special_targets(void **state) {
    (void)state;
    struct file_out o;
    struct err e;
    struct stat st;
    /* A link stays, what it leads to is replaced. */
    assert_int_equal(mkdir("d", 0777), 0);
    put("d/real", "old");
    assert_int_equal(symlink("d/real", "link"), 0);
    assert_int_equal(file_out_open(&o, "link", &e), 0);
    file_out_write(&o, "new", 3);
    assert_int_equal(file_out_commit(&o, &e), 0);
    assert_int_equal(lstat("link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_text("d/real", "new");
    /* Devices are written, not replaced. */
    assert_int_equal(file_out_open(&o, "/dev/null", &e), 0);
    file_out_write(&o, "x", 1);
    assert_int_equal(file_out_commit(&o, &e), 0);
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    assert_int_equal(file_out_open(&o, "/dev/full", &e), 0);
    file_out_write(&o, "x", 1);
    assert_int_equal(file_out_commit(&o, &e), ERR_IO);
    assert_string_equal(e.msg, "cannot write /dev/full: No space left on device");

    assert_int_equal(file_out_open(&o, "d", &e), ERR_IO);
    assert_non_null(strstr(e.msg, "folder"));
    assert_int_equal(file_out_open(&o, "missing/x", &e), ERR_IO);
    assert_non_null(strstr(e.msg, "missing/x"));
    assert_int_equal(file_out_open(&o, "", &e), ERR_IO);
    file_out_discard(&o); /* of one that failed to open: nothing */
    assert_entries(2);
}

/* Looks, and leaves everything as it was. */
static void out_check(void **state) {
    (void)state;
    struct err e;
    put("x", "old");
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(file_out_check("x", &e), 0);
    assert_int_equal(file_out_check("new", &e), 0);
    assert_int_equal(file_out_check("pipe", &e), 0); /* and does not wait for a reader */
    assert_int_equal(file_out_check("-", &e), 0);
    assert_int_equal(file_out_check(".", &e), ERR_IO);
    assert_int_equal(file_out_check("missing/x", &e), ERR_IO);
    assert_int_equal(file_out_check("", &e), ERR_IO);
    assert_text("x", "old");
    assert_entries(2);
}

static void out_standard_output(void **state) {
    (void)state;
    struct file_out o;
    struct err e;
    fflush(stdout);
    int kept = dup(STDOUT_FILENO), fd = open("x", O_WRONLY | O_CREAT, 0666);
    dup2(fd, STDOUT_FILENO);
    close(fd);
    printf("before ");
    int rc = file_out_open(&o, "-", &e);
    file_out_write(&o, "inside", 6);
    int done = file_out_commit(&o, &e);
    printf(" after");
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    assert_int_equal(rc, 0);
    assert_int_equal(done, 0);
    assert_text("x", "before inside after");
    assert_int_equal(file_out_open(&o, "-", &e), 0);
    file_out_write(&o, "never seen", 10);
    file_out_discard(&o);
}

/* Reading ------------------------------------------------------------------------------------- */

static void map_kinds(void **state) {
    (void)state;
    struct file_map m;
    struct err e;
    put("empty", "");
    assert_int_equal(file_map_open(&m, "empty", &e), 0);
    assert_int_equal(m.size, 0);
    assert_non_null(m.data);
    file_map_close(&m);
    assert_int_equal(file_map_open(&m, "missing", &e), ERR_IO);
    assert_string_equal(e.msg, "cannot open missing: No such file or directory");
    assert_null(m.path);
    assert_int_equal(file_map_open(&m, ".", &e), ERR_IO);
    assert_non_null(strstr(e.msg, "folder"));
    file_map_close(&m);
    /* Size 0 by stat, but not empty. */
    assert_int_equal(file_map_open(&m, "/proc/self/status", &e), 0);
    assert_false(m.mapped);
    assert_true(m.size > 100 && !memcmp(m.data, "Name:", 5));
    file_map_close(&m);

    int ends[2];
    assert_int_equal(pipe(ends), 0);
    static char block[50000];
    memset(block, 'p', sizeof block);
    assert_int_equal(write(ends[1], block, sizeof block), sizeof block);
    close(ends[1]);
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    assert_int_equal(file_map_open(&m, path, &e), 0);
    assert_false(m.mapped);
    assert_int_equal(m.size, sizeof block);
    assert_memory_equal(m.data, block, sizeof block);
    file_map_close(&m);
    close(ends[0]);
}

/* Pages of the map that are in this process's memory, or -1. */
static long pages_of(const struct file_map *m, size_t page) {
    long n = 0;
    uint64_t entry;
    FILE *f = fopen("/proc/self/pagemap", "rb");
    if (!f) return -1;
    fseek(f, (long)((uintptr_t)m->data / page * sizeof entry), SEEK_SET);
    for (size_t i = 0; i < m->size; i += page)
        if (fread(&entry, sizeof entry, 1, f) == 1) n += entry >> 63;
    fclose(f);
    return n;
}

/* Dropped pages leave memory and come back as they were; a part of a page stays. */
static void map_drop(void **state) {
    (void)state;
    enum { PAGES = 512 };
    struct err e;
    struct file_map m;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = PAGES * page + 7;
    FILE *f = fopen("big", "wb");
    for (size_t i = 0; i < size; i++) putc((int)(i * i >> 9 & 0xff), f);
    fclose(f);
    assert_int_equal(file_map_open(&m, "big", &e), 0);
    const struct {
        size_t offset, bytes;
        long pages; /* that leave */
    } parts[] = {{0, size, PAGES},
                 {0, 0, 0},
                 {1, 2 * page - 2, 0},
                 {1, 2 * page - 1, 1},
                 {page, page, 1},
                 {page + 1, 300 * page, 299},
                 {size, 0, 0},
                 {size - 7, 7, 0}};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        unsigned wrong = 0;
        for (size_t i = 0; i < size; i++) wrong += m.data[i] != (uint8_t)(i * i >> 9);
        assert_int_equal(wrong, 0);
        const long before = pages_of(&m, page);
        file_map_drop(&m, parts[k].offset, parts[k].bytes);
        if (before >= 0) assert_int_equal(before - pages_of(&m, page), parts[k].pages);
    }
    file_map_close(&m);
    assert_int_equal(unlink("big"), 0);
    /* What could not be mapped is memory, which stays. */
    struct file_map none = {.data = (const uint8_t *)"text", .size = 4};
    file_map_drop(&none, 0, 4);
}

static void read_text_limit(void **state) {
    (void)state;
    char *text;
    size_t size;
    struct err e;
    put("x", "0123456789");
    assert_int_equal(file_read_text("x", 10, &text, &size, &e), 0);
    assert_int_equal(size, 10);
    assert_string_equal(text, "0123456789");
    free(text);
    assert_int_equal(file_read_text("x", 9, &text, &size, &e), ERR_INPUT);
    assert_null(text);
    assert_non_null(strstr(e.msg, "x is longer than 9 bytes"));
    assert_int_equal(file_read_text("/dev/zero", 1 << 20, &text, &size, &e), ERR_INPUT);
    assert_int_equal(file_read_text(".", 9, &text, &size, &e), ERR_IO);
    assert_int_equal(file_read_text("missing", 9, &text, &size, &e), ERR_IO);
    put("x", "");
    assert_int_equal(file_read_text("x", 0, &text, &size, &e), 0);
    assert_string_equal(text, "");
    free(text);
}

/* Names --------------------------------------------------------------------------------------- */

static void names(void **state) {
    (void)state;
    struct err e;
    assert_int_equal(file_mkdirs("a//b/c/", &e), 0);
    assert_int_equal(file_mkdirs("a/b/c", &e), 0);
    assert_true(file_exists("a/b/c"));
    char absolute[64];
    snprintf(absolute, sizeof absolute, "%s/a/d", folder);
    assert_int_equal(file_mkdirs(absolute, &e), 0);
    assert_true(file_exists("a/d"));
    put("a/f", "");
    assert_int_equal(file_mkdirs("a/f/g", &e), ERR_IO);
    assert_string_equal(e.msg, "cannot create the folder a/f/g: a/f is a file");
    assert_int_equal(file_mkdirs("/proc/nope/x", &e), ERR_IO);
    assert_non_null(strstr(e.msg, "/proc/nope: "));

    static const char *const join[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < sizeof join / sizeof *join; i++) {
        char *path = file_join(join[i][0], join[i][1]);
        assert_string_equal(path, join[i][2]);
        free(path);
    }
    assert_int_equal(link("a/f", "g"), 0);
    assert_true(file_same("a/f", "a/../g"));
    put("h", "");
    assert_false(file_same("h", "g"));
    assert_false(file_same("missing", "missing"));
    assert_false(file_exists("missing"));
}

/* Log ----------------------------------------------------------------------------------------- */

static void log_appends(void **state) {
    (void)state;
    struct log_lines l;
    struct err e;
    assert_int_equal(log_lines_open(&l, "log", -1, &e), 0);
    log_lines_write(&l, "{\"step\": %d}", 1);
    assert_text("log", "{\"step\": 1}\n"); /* flushed at once */
    long long keep = log_lines_size(&l);
    assert_int_equal(keep, 12);
    log_lines_write(&l, "{\"step\": %d}", 2);
    log_lines_close(&l);
    log_lines_close(&l);
    assert_int_equal(log_lines_open(&l, "log", keep, &e), 0);
    assert_int_equal(log_lines_size(&l), keep);
    log_lines_write(&l, "{\"step\": %d}", 3);
    log_lines_close(&l);
    assert_text("log", "{\"step\": 1}\n{\"step\": 3}\n");
    assert_int_equal(log_lines_open(&l, "log", 1000, &e), 0);
    log_lines_close(&l);
    assert_text("log", "{\"step\": 1}\n{\"step\": 3}\n");
    assert_int_equal(log_lines_open(&l, "log", 0, &e), 0);
    log_lines_close(&l);
    assert_text("log", "");
    assert_int_equal(log_lines_open(&l, "missing/log", -1, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "missing/log"));
    log_lines_close(&l);
}

/* Who writes it is alone, and nothing of what is there goes while it is. */
static void log_locked(void **state) {
    (void)state;
    struct log_lines l, other;
    struct err e;
    put("log", "");
    assert_false(log_lines_busy("log"));
    assert_false(log_lines_busy("no-log"));
    assert_int_equal(log_lines_open(&l, "log", -1, &e), 0);
    log_lines_write(&l, "{}");
    assert_true(log_lines_busy("log"));
    assert_int_equal(log_lines_open(&other, "log", 0, &e), ERR_IO);
    assert_string_equal(e.msg, "another process writes the log log");
    assert_true(log_lines_busy("log")); /* still: who looked has not let it go */
    assert_text("log", "{}\n");
    log_lines_close(&l);
    assert_false(log_lines_busy("log"));
    assert_int_equal(log_lines_open(&l, "log", 0, &e), 0);
    log_lines_close(&l);
    assert_text("log", "");
}

/* Half a line, left by a process that was killed, does not spoil the next one. */
static void log_half_line(void **state) {
    (void)state;
    struct log_lines l;
    struct err e;
    put("log", "{\"step\": 1}\n{\"st");
    assert_int_equal(log_lines_open(&l, "log", -1, &e), 0);
    log_lines_write(&l, "{}");
    log_lines_close(&l);
    assert_text("log", "{\"step\": 1}\n{}\n");
    char longer[10000];
    memset(longer, 'x', sizeof longer);
    longer[5] = '\n';
    longer[sizeof longer - 1] = 0;
    put("log", longer);
    assert_int_equal(log_lines_open(&l, "log", -1, &e), 0);
    log_lines_close(&l);
    assert_text("log", "xxxxx\n");
}

/* A file size limit stands for a full disk: lines are lost whole, and then the log goes on. */
static void log_on_a_full_disk(void **state) {
    (void)state;
    struct err e;
    struct log_lines l;
    struct rlimit old, r;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(log_lines_open(&l, "log", -1, &e), 0);
    log_lines_write(&l, "{\"step\": %d}", 1);
    getrlimit(RLIMIT_FSIZE, &old);
    r = (struct rlimit){18, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
    log_lines_write(&l, "{\"step\": %d}", 2);
    log_lines_write(&l, "{\"step\": %d}", 3);
    assert_int_equal(l.lost, 2);
    assert_text("log", "{\"step\": 1}\n");
    setrlimit(RLIMIT_FSIZE, &old);
    log_lines_write(&l, "{\"step\": %d}", 4);
    assert_int_equal(l.lost, 0);
    log_lines_close(&l);
    assert_text("log", "{\"step\": 1}\n{\"step\": 4}\n");
}

static void log_durations(void **state) {
    (void)state;
    char buf[32];
    assert_string_equal(log_duration(0.2, buf), "0s");
    assert_string_equal(log_duration(45, buf), "45s");
    assert_string_equal(log_duration(59.7, buf), "1m 00s");
    assert_string_equal(log_duration(200, buf), "3m 20s");
    assert_string_equal(log_duration(3599.6, buf), "1h 00m");
    assert_string_equal(log_duration(3725, buf), "1h 02m");
    assert_string_equal(log_duration(360000, buf), "100h 00m");
    assert_string_equal(log_duration(-3, buf), "0s");
    assert_string_equal(log_duration(NAN, buf), "?");
    assert_string_equal(log_duration(INFINITY, buf), "?");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter, leave)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(out_writes),           IN_FOLDER(out_replaces_or_leaves),
        IN_FOLDER(out_failed_write),     IN_FOLDER(out_killed),
        IN_FOLDER(out_two_writers),      IN_FOLDER(out_special_targets),
        IN_FOLDER(out_standard_output),  IN_FOLDER(map_kinds), IN_FOLDER(map_drop),
        IN_FOLDER(read_text_limit),      IN_FOLDER(names),
        IN_FOLDER(log_appends),          IN_FOLDER(log_half_line),
        IN_FOLDER(log_locked),
        IN_FOLDER(log_on_a_full_disk),
        cmocka_unit_test(log_durations),
        IN_FOLDER(out_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
