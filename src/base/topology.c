#include "topology.h"

#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- lines of small files -------------------------------------------------------------------- */

enum { LINE = 8192, PROCESSORS = 8192 /* the most that Linux can be built for */ };

/* The first line of a file below root, without its end. */
__attribute__((format(printf, 3, 4))) static bool
read_line(char line[LINE], const char *root, const char *fmt, ...) {
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s/sys/devices/", root);
    va_list ap;
    if (n < 0 || n >= (int)sizeof path) return false;
    va_start(ap, fmt);
    const int more = vsnprintf(path + n, sizeof path - (size_t)n, fmt, ap);
    va_end(ap);
    if (more < 0 || n + more >= (int)sizeof path) return false;
    FILE *f = fopen(path, "re");
    const bool read = f && fgets(line, LINE, f);
    if (f) fclose(f);
    if (!read || strlen(line) == LINE - 1) return false; /* half a line is none */
    line[strcspn(line, "\n")] = 0;
    return true;
}

/* "32", "32K", "32M"; -1: it is none, or above `most`. */
static int64_t number(const char *s, int64_t most) {
    static const char unit[] = "KMG";
    char *end;
    if (*s < '0' || *s > '9') return -1;
    const unsigned long long x = strtoull(s, &end, 10);
    const char *u = *end ? strchr(unit, *end) : NULL;
    const int shift = u ? 10 * (int)(u - unit + 1) : 0;
    if ((*end && !u) || (u && end[1]) || x > (unsigned long long)(most >> shift)) return -1;
    return (int64_t)x << shift;
}

static int64_t read_number(const char *root, const char *folder, int cpu, const char *name,
                           int64_t most) {
    char line[LINE];
    return read_line(line, root, "%s%d/%s", folder, cpu, name) ? number(line, most) : -1;
}

/* Processors, as bits. */
struct cpus {
    uint64_t bit[PROCESSORS / 64];
};

static bool has(const struct cpus *set, int i) {
    return set->bit[i / 64] >> (i % 64) & 1;
}

static void add(struct cpus *set, int i) {
    set->bit[i / 64] |= (uint64_t)1 << (i % 64);
}

static int count(const struct cpus *set) {
    int n = 0;
    for (int i = 0; i < PROCESSORS / 64; i++) n += __builtin_popcountll(set->bit[i]);
    return n;
}

static int first(const struct cpus *set) {
    int i = 0;
    while (i < PROCESSORS && !has(set, i)) i++;
    return i;
}

/* "0-3,8"; an empty list is one, too. */
static bool list(struct cpus *set, const char *s) {
    memset(set, 0, sizeof *set);
    while (*s) {
        char *end;
        if (*s < '0' || *s > '9') return false;
        const long a = strtol(s, &end, 10);
        long b = a;
        if (*end == '-') {
            s = end + 1;
            if (*s < '0' || *s > '9') return false;
            b = strtol(s, &end, 10);
        }
        if (b < a || b >= PROCESSORS || (*end && (*end != ',' || !end[1]))) return false;
        for (long i = a; i <= b; i++) add(set, (int)i);
        s = *end ? end + 1 : end;
    }
    return true;
}

static bool read_list(struct cpus *set, const char *root, const char *folder, int cpu,
                      const char *name) {
    char line[LINE];
    return read_line(line, root, "%s%d/%s", folder, cpu, name) && list(set, line);
}

static const char of_cpu[] = "system/cpu/cpu", of_node[] = "system/node/node";

/* ---- processors ------------------------------------------------------------------------------ */

/* A core is known by the first of its threads. */
static void read_cores(struct topology *t, const char *root, const struct cpus *on) {
    struct cpus sockets = {{0}}, threads;
    int cores = 0;
    bool know_cores = true, know_sockets = true;
    for (int i = 0; i < PROCESSORS; i++) {
        if (!has(on, i)) continue;
        const int64_t socket =
            read_number(root, of_cpu, i, "topology/physical_package_id", PROCESSORS - 1);
        if (socket >= 0)
            add(&sockets, (int)socket);
        else
            know_sockets = false;
        if (read_list(&threads, root, of_cpu, i, "topology/thread_siblings_list") &&
            has(&threads, i))
            cores += first(&threads) == i;
        else
            know_cores = false;
    }
    t->cores = know_cores ? cores : 0;
    t->sockets = know_sockets ? count(&sockets) : 0;
}

static void add_kind(struct topology *t, const char *name, int threads) {
    int i = 0;
    while (i < t->n_kinds && strcmp(t->kind[i].name, name)) i++;
    if (i == TOPOLOGY_KINDS) return;
    if (i == t->n_kinds) {
        t->kind[t->n_kinds++] = (struct topology_kind){.threads = 0};
        snprintf(t->kind[i].name, sizeof t->kind[i].name, "%s", name);
    }
    t->kind[i].threads += threads;
}

static void read_kinds(struct topology *t, const char *root, const struct cpus *on) {
    static const struct {
        const char *folder, *name;
    } intel[] = {{"cpu_core", "performance"}, {"cpu_atom", "efficient"},
                 {"cpu_lowpower", "low power"}};
    char line[LINE], name[32];
    struct cpus set;
    for (size_t k = 0; k < sizeof intel / sizeof *intel; k++)
        if (read_line(line, root, "%s/cpus", intel[k].folder) && list(&set, line) && count(&set))
            add_kind(t, intel[k].name, count(&set));
    bool hybrid = t->n_kinds > 0;
    for (int i = 0; i < PROCESSORS && !hybrid; i++) {
        if (!has(on, i)) continue;
        const int64_t capacity = read_number(root, of_cpu, i, "cpu_capacity", INT_MAX);
        snprintf(name, sizeof name, "capacity %lld", (long long)capacity);
        if (capacity >= 0) {
            add_kind(t, name, 1);
            continue;
        }
        t->n_kinds = 0; /* told of some alone */
        break;
    }
    if (t->n_kinds < 2) t->n_kinds = 0;
}

/* ---- caches ---------------------------------------------------------------------------------- */

static bool alike(const struct cpu_cache *a, const struct cpu_cache *b) {
    return a->level == b->level && a->type == b->type && a->bytes == b->bytes &&
           a->threads == b->threads;
}

static void add_cache(struct topology *t, const struct cpu_cache *c) {
    for (int i = 0; i < t->n_caches; i++)
        if (alike(t->cache + i, c)) {
            t->cache[i].count += c->count;
            return;
        }
    if (t->n_caches < TOPOLOGY_CACHES) t->cache[t->n_caches++] = *c;
}

static int by_level(const void *x, const void *y) {
    const struct cpu_cache *a = x, *b = y;
    if (a->level != b->level) return a->level - b->level;
    if (a->type != b->type) return (int)a->type - (int)b->type;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
    return a->threads - b->threads;
}

/* Of a processor's cache number k: false if there is no such, or it makes no sense. */
static bool read_cache(struct cpu_cache *c, bool *there, const char *root, int cpu, int k) {
    static const char *const types[] = {NULL, "Data", "Instruction", "Unified"};
    char line[LINE], folder[64];
    struct cpus shared;
    snprintf(folder, sizeof folder, "%s%d/cache/index", of_cpu, cpu);
    *there = read_line(line, root, "%s%d/type", folder, k);
    if (!*there) return false;
    int type = CACHE_UNIFIED;
    while (type > 0 && strcmp(line, types[type])) type--;
    const int64_t level = read_number(root, folder, k, "level", 9),
                  bytes = read_number(root, folder, k, "size", (int64_t)1 << 40);
    if (type == 0 || level < 1 || bytes < 1) return false;
    const bool known = read_list(&shared, root, folder, k, "shared_cpu_list") && has(&shared, cpu);
    *c = (struct cpu_cache){.level = (int)level,
                            .type = (enum cpu_cache_type)type,
                            .bytes = bytes,
                            .threads = known ? count(&shared) : 1,
                            .count = !known || first(&shared) == cpu};
    return true;
}

static void read_caches(struct topology *t, const char *root, const struct cpus *on) {
    for (int i = 0; i < PROCESSORS; i++) {
        bool there = has(on, i);
        for (int k = 0; there && k < 16; k++) {
            struct cpu_cache c;
            if (read_cache(&c, &there, root, i, k)) add_cache(t, &c);
        }
    }
    qsort(t->cache, (size_t)t->n_caches, sizeof *t->cache, by_level);
}

/* ---- nodes of memory ------------------------------------------------------------------------- */

/* "Node 0 MemTotal:       24654204 kB" */
static int64_t node_bytes(const char *root, int node) {
    char line[LINE];
    long long kb;
    if (!read_line(line, root, "%s%d/meminfo", of_node, node)) return 0;
    if (sscanf(line, "Node %*d MemTotal: %lld kB", &kb) != 1) return 0;
    return kb > 0 && kb < INT64_MAX / 1024 ? kb * 1024 : 0;
}

static void read_nodes(struct topology *t, const char *root) {
    char line[LINE];
    struct cpus on, threads;
    if (!read_line(line, root, "system/node/online") || !list(&on, line)) return;
    for (int i = 0; i < PROCESSORS && t->n_nodes < TOPOLOGY_NODES; i++) {
        if (!has(&on, i)) continue;
        const bool known = read_list(&threads, root, of_node, i, "cpulist");
        t->node[t->n_nodes++] = (struct topology_node){
            .id = i, .threads = known ? count(&threads) : 0, .bytes = node_bytes(root, i)};
    }
}

void topology_read_at(struct topology *t, const char *root) {
    char line[LINE];
    struct cpus on;
    *t = (struct topology){.threads = 0};
    if (read_line(line, root, "system/cpu/online") && list(&on, line) && count(&on)) {
        t->threads = count(&on);
        read_cores(t, root, &on);
        read_caches(t, root, &on);
        read_kinds(t, root, &on);
    }
    read_nodes(t, root);
}

void topology_read(struct topology *t) {
    topology_read_at(t, "");
    if (t->n_caches) return;
    t->n_caches = cpu_caches(t->cache, TOPOLOGY_CACHES);
    t->caches_of_cpuid = t->n_caches > 0;
}
