/* What the system says of processors, caches and nodes of memory, on made-up trees of /sys. */
#include "folder_fixture.h"

#include "file.h"
#include "topology.h"

static char root[96];

static int new_root(void **state) {
    static int n;
    (void)state;
    snprintf(root, sizeof root, "%s/%d", dir, n++);
    return 0;
}

/* A file below root/sys/devices, with its folders. */
static void put(const char *path, const char *text) {
    char name[512];
    snprintf(name, sizeof name, "%s/sys/devices/%s", root, path);
    char *slash = strrchr(name, '/');
    *slash = 0;
    ok(file_mkdirs(name, &e));
    *slash = '/';
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* A file of a processor. */
static void put_cpu(int cpu, const char *name, const char *text) {
    char path[256], line[256];
    snprintf(path, sizeof path, "system/cpu/cpu%d/%s", cpu, name);
    snprintf(line, sizeof line, "%s\n", text);
    put(path, line);
}

static void put_cache(int cpu, int index, const char *level, const char *type, const char *size,
                      const char *shared) {
    const char *const name[] = {"level", "type", "size", "shared_cpu_list"},
                     *const text[] = {level, type, size, shared};
    for (int i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "cache/index%d/%s", index, name[i]);
        if (text[i]) put_cpu(cpu, path, text[i]);
    }
}

static void put_core(int cpu, const char *socket, const char *siblings) {
    if (socket) put_cpu(cpu, "topology/physical_package_id", socket);
    if (siblings) put_cpu(cpu, "topology/thread_siblings_list", siblings);
}

static struct topology t;

static void is_cache(int i, int level, enum cpu_cache_type type, int64_t bytes, int threads,
                     int count) {
    assert_true(i < t.n_caches);
    assert_int_equal(t.cache[i].level, level);
    assert_int_equal(t.cache[i].type, type);
    assert_int_equal(t.cache[i].bytes, bytes);
    assert_int_equal(t.cache[i].threads, threads);
    assert_int_equal(t.cache[i].count, count);
}

enum { KB = 1 << 10, MB = 1 << 20 };

/* Two sockets of two cores of two threads; thread n and n + 4 share a core. */
static void two_sockets(void **state) {
    (void)state;
    put("system/cpu/online", "0-7\n");
    for (int i = 0; i < 8; i++) {
        static const char *const core[] = {"0,4", "1,5", "2,6", "3,7"};
        static const char *const socket[] = {"0-1,4-5", "2-3,6-7"};
        put_core(i, i % 4 < 2 ? "0" : "1", core[i % 4]);
        put_cache(i, 0, "1", "Data", "48K", core[i % 4]);
        put_cache(i, 1, "1", "Instruction", "32K", core[i % 4]);
        put_cache(i, 2, "2", "Unified", "2048K", core[i % 4]);
        put_cache(i, 3, "3", "Unified", "36M", socket[i % 4 / 2]);
    }
    put("system/node/online", "0-1\n");
    put("system/node/node0/cpulist", "0-1,4-5\n");
    put("system/node/node1/cpulist", "2-3,6-7\n");
    put("system/node/node0/meminfo", "Node 0 MemTotal:       16384 kB\nNode 0 MemFree: 1 kB\n");
    put("system/node/node1/meminfo", "Node 1 MemTotal:       32768 kB\n");
    topology_read_at(&t, root);
    assert_int_equal(t.threads, 8);
    assert_int_equal(t.cores, 4);
    assert_int_equal(t.sockets, 2);
    assert_int_equal(t.n_caches, 4);
    is_cache(0, 1, CACHE_DATA, 48 * KB, 2, 4);
    is_cache(1, 1, CACHE_INSTRUCTIONS, 32 * KB, 2, 4);
    is_cache(2, 2, CACHE_UNIFIED, 2 * MB, 2, 4);
    is_cache(3, 3, CACHE_UNIFIED, 36 * MB, 4, 2);
    assert_int_equal(t.n_kinds, 0);
    assert_int_equal(t.n_nodes, 2);
    assert_int_equal(t.node[1].id, 1);
    assert_int_equal(t.node[1].threads, 4);
    assert_int_equal(t.node[0].bytes, 16384 * KB);
    assert_int_equal(t.node[1].bytes, 32768 * KB);
    assert_false(t.caches_of_cpuid);
}

/* Two cores of two threads, four of one that share their second level, as Intel's hybrids have. */
static void hybrid(void **state) {
    (void)state;
    put("system/cpu/online", "0-7\n");
    put("cpu_core/cpus", "0-3\n");
    put("cpu_atom/cpus", "4-7\n");
    for (int i = 0; i < 8; i++) {
        static const char *const core[] = {"0-1", "0-1", "2-3", "2-3", "4", "5", "6", "7"};
        put_core(i, "0", core[i]);
        put_cache(i, 0, "1", "Data", i < 4 ? "48K" : "32K", core[i]);
        put_cache(i, 1, "2", "Unified", i < 4 ? "1280K" : "2048K", i < 4 ? core[i] : "4-7");
        put_cache(i, 2, "3", "Unified", "24576K", "0-7");
    }
    topology_read_at(&t, root);
    assert_int_equal(t.cores, 6);
    assert_int_equal(t.sockets, 1);
    assert_int_equal(t.n_kinds, 2);
    assert_string_equal(t.kind[0].name, "performance");
    assert_int_equal(t.kind[0].threads, 4);
    assert_string_equal(t.kind[1].name, "efficient");
    assert_int_equal(t.kind[1].threads, 4);
    assert_int_equal(t.n_caches, 5);
    is_cache(0, 1, CACHE_DATA, 48 * KB, 2, 2);
    is_cache(1, 1, CACHE_DATA, 32 * KB, 1, 4);
    is_cache(2, 2, CACHE_UNIFIED, 2 * MB, 4, 1);
    is_cache(3, 2, CACHE_UNIFIED, 1280 * KB, 2, 2);
    is_cache(4, 3, CACHE_UNIFIED, 24 * MB, 8, 1);
}

/* Arm tells kinds by capacity; where one has none, or all have the same, nothing is told. */
static void capacities(void **state) {
    (void)state;
    put("system/cpu/online", "0-2\n");
    for (int i = 0; i < 3; i++) put_cpu(i, "cpu_capacity", i ? "446" : "1024");
    topology_read_at(&t, root);
    assert_int_equal(t.n_kinds, 2);
    assert_string_equal(t.kind[0].name, "capacity 1024");
    assert_int_equal(t.kind[0].threads, 1);
    assert_string_equal(t.kind[1].name, "capacity 446");
    assert_int_equal(t.kind[1].threads, 2);
    put_cpu(0, "cpu_capacity", "446");
    topology_read_at(&t, root);
    assert_int_equal(t.n_kinds, 0);
    put_cpu(0, "cpu_capacity", "1024");
    put_cpu(2, "cpu_capacity", "much");
    topology_read_at(&t, root);
    assert_int_equal(t.n_kinds, 0);
}

/* A processor that is off is in no list and counts for nothing, though its folder is there. */
static void one_is_off(void **state) {
    (void)state;
    put("system/cpu/online", "0,2\n");
    for (int i = 0; i < 3; i++) {
        static const char *const own[] = {"0", "1", "2"};
        put_core(i, "0", own[i]);
        put_cache(i, 0, "2", "Unified", "512K", own[i]);
    }
    topology_read_at(&t, root);
    assert_int_equal(t.threads, 2);
    assert_int_equal(t.cores, 2);
    is_cache(0, 2, CACHE_UNIFIED, 512 * KB, 1, 2);
}

static void nothing(void **state) {
    (void)state;
    topology_read_at(&t, root);
    assert_int_equal(t.threads, 0);
    assert_int_equal(t.cores, 0);
    assert_int_equal(t.sockets, 0);
    assert_int_equal(t.n_caches, 0);
    assert_int_equal(t.n_nodes, 0);
    assert_int_equal(t.n_kinds, 0);
}

/* Processors without caches, cores and sockets, as some virtual machines have them. */
static void absent_files(void **state) {
    (void)state;
    put("system/cpu/online", "0-1\n");
    put_core(0, "0", "0");
    put_core(1, NULL, NULL);
    put("system/node/online", "0\n");
    topology_read_at(&t, root);
    assert_int_equal(t.threads, 2);
    assert_int_equal(t.cores, 0);
    assert_int_equal(t.sockets, 0);
    assert_int_equal(t.n_caches, 0);
    assert_int_equal(t.n_nodes, 1);
    assert_int_equal(t.node[0].threads, 0);
    assert_int_equal(t.node[0].bytes, 0);
}

static void garbage_lists(void **state) {
    (void)state;
    static const char *const lists[] = {
        "", "\n", "x\n", "0-\n", "3-1\n", "-1\n", "0,,1\n", "0,\n", "0-8192\n",
        "99999999999999999999\n", "0 1\n", "0-1-2\n", "0x1\n", " 0\n",
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        put("system/cpu/online", lists[i]);
        put("system/node/online", lists[i]);
        topology_read_at(&t, root);
        if (t.threads || t.n_nodes) fail_msg("\"%s\" is a list", lists[i]);
    }
    char line[9000];
    memset(line, '1', sizeof line - 1);
    line[sizeof line - 1] = 0;
    put("system/cpu/online", line);
    topology_read_at(&t, root);
    assert_int_equal(t.threads, 0);
    put("system/cpu/online", "0,8191\n");
    topology_read_at(&t, root);
    assert_int_equal(t.threads, 2);
}

/* Of each processor one cache that makes no sense, and one behind it that does. */
static void garbage_caches(void **state) {
    (void)state;
    static const struct {
        const char *level, *type, *size;
    } bad[] = {
        {"0", "Data", "32K"},     {"x", "Data", "32K"},   {"1", "Data", "0K"},
        {"1", "Data", "-32K"},    {"1", "Data", "32Q"},   {"1", "Data", "32KB"},
        {"1", "Data", "99999999999999999999K"},           {"1", "Data", "9000000000000000000G"},
        {"1", "data", "32K"},     {"1", "", "32K"},       {NULL, "Data", "32K"},
        {"1", "Data", NULL},      {"11", "Data", "32K"},
    };
    enum { BAD = sizeof bad / sizeof *bad };
    put("system/cpu/online", "0-12\n");
    assert_int_equal(BAD, 13);
    for (int i = 0; i < BAD; i++) {
        put_cache(i, 0, bad[i].level, bad[i].type, bad[i].size, "0");
        put_cache(i, 1, "2", "Unified", "256K", "nonsense");
    }
    topology_read_at(&t, root);
    assert_int_equal(t.n_caches, 1); /* who shares it is not known: each has its own */
    is_cache(0, 2, CACHE_UNIFIED, 256 * KB, 1, BAD);
}

static void garbage_numbers(void **state) {
    (void)state;
    put("system/cpu/online", "0-1\n");
    put_core(0, "-1", "1"); /* which is not its own thread */
    put_core(1, "0", "1");
    put("system/node/online", "3\n");
    put("system/node/node3/cpulist", "\n"); /* memory alone */
    put("system/node/node3/meminfo", "Node 3 MemTotal: -5 kB\n");
    topology_read_at(&t, root);
    assert_int_equal(t.cores, 0);
    assert_int_equal(t.sockets, 0);
    assert_int_equal(t.node[0].id, 3);
    assert_int_equal(t.node[0].threads, 0);
    assert_int_equal(t.node[0].bytes, 0);
    put("system/node/node3/meminfo", "MemTotal: many\n");
    topology_read_at(&t, root);
    assert_int_equal(t.node[0].bytes, 0);
}

/* More kinds than there is room for are left out, not written over what follows. */
static void many_kinds(void **state) {
    (void)state;
    put("system/cpu/online", "0-40\n");
    for (int i = 0; i <= 40; i++) {
        char text[16];
        snprintf(text, sizeof text, "%dK", 8 * (i + 1));
        put_cache(i, 0, "1", "Data", text, NULL);
        snprintf(text, sizeof text, "%d", i);
        put_cpu(i, "cpu_capacity", text);
    }
    topology_read_at(&t, root);
    assert_int_equal(t.n_caches, TOPOLOGY_CACHES);
    assert_int_equal(t.n_kinds, TOPOLOGY_KINDS);
    is_cache(0, 1, CACHE_DATA, 8 * KB * TOPOLOGY_CACHES, 1, 1);
}

/* What the processor says of itself is what the system says of it. */
static void by_cpuid(void **state) {
    (void)state;
    struct cpu_cache cache[16];
    const int n = cpu_caches(cache, 16);
    topology_read(&t);
    for (int i = 0; i < n; i++) {
        bool there = false;
        for (int k = 0; k < t.n_caches; k++)
            there |= t.cache[k].level == cache[i].level && t.cache[k].type == cache[i].type &&
                     t.cache[k].bytes == cache[i].bytes;
        assert_true(there);
        assert_true(cache[i].threads >= 1);
        if (cache[i].level == 2 && cache[i].type != CACHE_INSTRUCTIONS)
            assert_int_equal(cpu_l2(), cache[i].bytes);
    }
    assert_true(cpu_caches(cache, 1) <= 1);
    if (t.threads) assert_true(cpu_count() <= t.threads);
}

#define TEST(f) cmocka_unit_test_setup(f, new_root)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(two_sockets),     TEST(hybrid),       TEST(capacities), TEST(one_is_off),
        TEST(nothing),         TEST(absent_files), TEST(garbage_lists),
        TEST(garbage_caches),  TEST(garbage_numbers),
        TEST(many_kinds),      TEST(by_cpuid),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_all);
}
