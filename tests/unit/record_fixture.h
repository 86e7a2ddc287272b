/* What tests of files that grow record by record share: a folder that is the current one, files as
 * bytes, a disk that is full, a writer that is killed. */
#ifndef DUET_RECORD_FIXTURE_H
#define DUET_RECORD_FIXTURE_H

#include "folder_fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static inline int enter_dir(void **state) {
    return make_dir(state) || chdir(dir);
}

static inline int leave_dir(void **state) {
    return chdir("/") || remove_all(state);
}

/* All of a file; malloc()ed. */
static inline uint8_t *get_file(const char *path, size_t *n) {
    struct stat st;
    FILE *f = fopen(path, "rb");
    assert_true(f && !stat(path, &st));
    *n = (size_t)st.st_size;
    uint8_t *data = malloc(*n + 1);
    assert_true(data && fread(data, 1, *n, f) == *n);
    fclose(f);
    return data;
}

static inline void put_file(const char *path, const void *data, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_true(f && fwrite(data, 1, n, f) == n && !fclose(f));
}

static inline size_t size_of(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

/* The file is these bytes, and no more. */
static inline void is_bytes(const char *path, const void *data, size_t n) {
    size_t m;
    uint8_t *now = get_file(path, &m);
    assert_int_equal(m, n);
    assert_memory_equal(now, data, n);
    free(now);
}

static inline void is_text(const char *path, const char *text) {
    is_bytes(path, text, strlen(text));
}

/* No file can become longer than so many bytes, until the disk has room again. */
static struct rlimit disk_was;

static inline void disk_full_at(size_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &disk_was), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){bytes, disk_was.rlim_max}), 0);
}

static inline void disk_has_room(void) {
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &disk_was), 0);
}

/* kill -9 of a process that writes on as fast as it goes, when the file has grown by 1000 bytes:
 * however busy the machine is, there are records. */
static inline void kill_writer(void (*write_on)(void), const char *path) {
    int status;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        write_on();
        _exit(1);
    }
    for (size_t least = 0; !least || size_of(path) < least;) {
        assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
        if (!least && !access(path, F_OK)) least = size_of(path) + 1000;
        usleep(1000);
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

#endif
