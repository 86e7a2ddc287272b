/* What control groups grant, on made-up trees of /proc and /sys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cpu.h"
#include "file.h"
#include "limit.h"
#include "sanitized.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MB ((size_t)1 << 20)

static char root[64];

/* A file below the root, with its folders. */
static void put(const char *path, const char *text) {
    char name[512];
    struct err e;
    snprintf(name, sizeof name, "%s%s", root, path);
    char *slash = strrchr(name, '/');
    *slash = 0;
    assert_int_equal(file_mkdirs(name, &e), 0);
    *slash = '/';
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int setup(void **state) {
    (void)state;
    snprintf(root, sizeof root, "/tmp/duet-machine-XXXXXX");
    assert_non_null(mkdtemp(root));
    put("/proc/meminfo", "MemTotal:  16777216 kB\nMemFree: 1 kB\nMemAvailable:   8388608 kB\n");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static size_t memory(void) {
    return limit_memory_at(root) / MB;
}

/* Each by itself, in MB. */
static void limits_are(size_t total, size_t available, size_t group, size_t left) {
    struct memory_limits l;
    limit_memory_parts_at(root, &l);
    assert_int_equal(l.total / MB, total);
    assert_int_equal(l.available / MB, available);
    assert_int_equal(l.group / MB, group);
    assert_int_equal(l.group_left / MB, left);
}

static void no_groups(void **state) {
    (void)state;
    assert_int_equal(memory(), 8192);
    assert_int_equal(limit_cpus_at(root), 0);
    assert_int_equal(limit_memory_at("/nowhere/at/all"), 0);
    limits_are(16384, 8192, 0, 0);
    struct memory_limits l;
    limit_memory_parts_at("/nowhere/at/all", &l);
    assert_int_equal(l.total, 0);
    assert_int_equal(l.available, 0);
    assert_int_equal(l.group, 0);
    assert_int_equal(limit_oom_kills_at(root), 0);
    put("/proc/vmstat", "nr_free_pages 4\noom_kill 3\n");
    assert_int_equal(limit_oom_kills_at(root), 3);
}

/* A job of systemd or Slurm: its group is not the root, and one above it has the limit. */
static void v2_nested(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/system.slice/job_7/step_0\n");
    put("/proc/self/mountinfo",
        "24 1 0:22 / /proc rw - proc proc rw\n"
        "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
    put("/sys/fs/cgroup/system.slice/memory.max", "max\n");
    put("/sys/fs/cgroup/system.slice/job_7/step_0/memory.max", "max\n");
    put("/sys/fs/cgroup/system.slice/job_7/step_0/memory.current", "1048576\n");
    assert_int_equal(memory(), 8192);
    put("/sys/fs/cgroup/system.slice/job_7/memory.max", "524288000\n"); /* 500 MB */
    put("/sys/fs/cgroup/system.slice/job_7/memory.current", "209715200\n");
    assert_int_equal(memory(), 300);
    /* Pages of files are dropped when memory is wanted: 120 of the 200 MB. */
    put("/sys/fs/cgroup/system.slice/job_7/memory.stat",
        "anon 1\nfile 125829120\ninactive_file 104857600\nactive_file 20971520\n");
    assert_int_equal(memory(), 420);
    put("/sys/fs/cgroup/system.slice/job_7/step_0/memory.high", "104857600\n");
    assert_int_equal(memory(), 99);
    limits_are(16384, 8192, 100, 99);
    /* Over its limit already: nothing is left, which is not the same as unknown. */
    put("/sys/fs/cgroup/system.slice/job_7/step_0/memory.current", "204857600\n");
    assert_int_equal(limit_memory_at(root), 1);

    put("/proc/vmstat", "oom_kill 3\n"); /* of the machine: others' too */
    assert_int_equal(limit_oom_kills_at(root), 3);
    put("/sys/fs/cgroup/system.slice/job_7/step_0/memory.events",
        "low 0\nhigh 9\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n");
    assert_int_equal(limit_oom_kills_at(root), 1);

    assert_int_equal(limit_cpus_at(root), 0);
    put("/sys/fs/cgroup/system.slice/cpu.max", "400000 100000\n");
    put("/sys/fs/cgroup/system.slice/job_7/cpu.max", "150000 100000\n");
    put("/sys/fs/cgroup/system.slice/job_7/step_0/cpu.max", "max 100000\n");
    assert_int_equal(limit_cpus_at(root), 2); /* one and a half */
}

static void v1_nested(void **state) {
    (void)state;
    put("/proc/self/cgroup", "5:memory:/slurm/uid_0/job_1\n4:cpu,cpuacct:/slurm\n"
                             "3:cpuset:/\n0::/\n");
    put("/proc/self/mountinfo",
        "31 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        "32 24 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        "33 24 0:29 / /sys/fs/cgroup/my\\040memory rw - cgroup cgroup rw,memory\n"
        "34 24 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
#define V1 "/sys/fs/cgroup/my memory/slurm"
    put(V1 "/uid_0/job_1/memory.limit_in_bytes", "9223372036854771712\n");
    put(V1 "/uid_0/job_1/memory.usage_in_bytes", "1048576\n");
    assert_int_equal(memory(), 8192);
    limits_are(16384, 8192, 0, 0); /* 2^63 is no limit */
    put(V1 "/uid_0/memory.limit_in_bytes", "299892736\n"); /* 286 MB */
    put(V1 "/uid_0/memory.usage_in_bytes", "10485760\n");
    put(V1 "/uid_0/memory.stat", "inactive_file 999999999\ntotal_inactive_file 2097152\n"
                                 "total_active_file 1048576\n");
    assert_int_equal(memory(), 279);
    limits_are(16384, 8192, 286, 279);
    put(V1 "/uid_0/memory.use_hierarchy", "1\n");
    assert_int_equal(memory(), 279);
    put(V1 "/uid_0/memory.use_hierarchy", "0\n"); /* does not count those below */
    assert_int_equal(memory(), 8192);

    put("/sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_period_us", "100000\n");
    assert_int_equal(limit_cpus_at(root), 0);
    put("/sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_quota_us", "320000\n");
    assert_int_equal(limit_cpus_at(root), 4);
    put("/sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_quota_us", "5000\n");
    assert_int_equal(limit_cpus_at(root), 1);
}

/* A container without a name space of its own for groups: the path is the host's, the mount shows
 * the container's part. */
static void container(void **state) {
    (void)state;
    put("/proc/self/cgroup", "5:memory:/docker/abc/inner\n0::/\n");
    put("/proc/self/mountinfo",
        "33 24 0:29 /docker/abc /sys/fs/cgroup/memory ro master:3 - cgroup cgroup rw,memory\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "104857600\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "4194304\n");
    assert_int_equal(memory(), 96);
    put("/sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "52428800\n");
    put("/sys/fs/cgroup/memory/inner/memory.usage_in_bytes", "4194304\n");
    assert_int_equal(memory(), 46);
    /* With one, a group outside of it is named with dots: only the mount can be looked at. */
    put("/proc/self/cgroup", "5:memory:/../other\n0::/\n");
    assert_int_equal(memory(), 96);
}

/* The real process: a limit on its address space, and one on its data. */
static void rlimits(void **state) {
    (void)state;
#if SANITIZED
    skip(); /* their shadow memory needs more address space */
#endif
    static const int which[] = {RLIMIT_AS, RLIMIT_DATA};
    for (int i = 0; i < 2; i++) {
        const pid_t child = fork();
        if (!child) {
            const struct rlimit r = {(rlim_t)3 << 30, RLIM_INFINITY};
            if (setrlimit((__rlimit_resource_t)which[i], &r)) _exit(2);
            const size_t have = memory_available();
            _exit(!(have > 0 && have < (size_t)3 << 30));
        }
        int status;
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
    }
    assert_true(cpu_count() >= 1);
    assert_true(!limit_cpus() || cpu_count() <= limit_cpus());
}

/* Two sizes beside each other are told apart, and neither is 0.0 unless it is 0. */
static void decimals(void **state) {
    (void)state;
    assert_int_equal(mb_decimals(123400000, 5000000), 1);
    assert_int_equal(mb_decimals(12000, 11000), 3);
    assert_int_equal(mb_decimals(12000, 0), 2);
    assert_int_equal(mb_decimals(0, 12000), 2);
    assert_int_equal(mb_decimals(70000, 1000000), 1);
    assert_int_equal(mb_decimals(2000010, 2000000), 5);
    assert_int_equal(mb_decimals(3, 2), 6);
    assert_int_equal(mb_decimals(0, 0), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(v2_nested, setup, teardown),
        cmocka_unit_test_setup_teardown(v1_nested, setup, teardown),
        cmocka_unit_test_setup_teardown(container, setup, teardown),
        cmocka_unit_test(decimals),
        cmocka_unit_test(rlimits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
