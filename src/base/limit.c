#include "limit.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- small files ----------------------------------------------------------------------------- */

/* The number after `key` in the first line that begins with it; the limit "max" is no number. */
static bool read_number(const char *path, const char *key, uint64_t *value) {
    char line[512];
    bool found = false;
    unsigned long long x;
    const size_t n = strlen(key);
    FILE *f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof line, f))
        found = !strncmp(line, key, n) && line[n] != '-' && sscanf(line + n, "%llu", &x) == 1;
    if (f) fclose(f);
    if (found) *value = x;
    return found;
}

/* The same of a file in a control group's folder. */
static bool read_in(const char *folder, const char *name, const char *key, uint64_t *value) {
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path &&
           read_number(path, key, value);
}

/* ---- the groups of this process -------------------------------------------------------------- */

/* A control group's folder, and where its hierarchy is mounted. */
struct group {
    char path[PATH_MAX];
    size_t mount; /* bytes of path that are the mount point */
};

/* True if a list such as "rw,cpu,cpuacct" has the word. */
static bool has_word(const char *list, const char *word) {
    const size_t n = strlen(word);
    for (const char *p = list; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (!strncmp(p, word, n) && (p[n] == ',' || !p[n] || p[n] == '\n')) return true;
    }
    return false;
}

/* The kernel writes blanks and the like in paths as \040. */
static void unescape(char *s) {
    char *to = s;
    for (; *s; s++)
        if (s[0] == '\\' && s[1] && s[2] && s[3]) {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    *to = 0;
}

/* The path of the process's group in the hierarchy that has this controller: of version 1 the line
 * that lists it, of version 2 (controller NULL) the line "0::". */
static bool own_path(const char *root, const char *controller, char *path, size_t size) {
    char name[PATH_MAX], line[PATH_MAX + 256];
    bool found = false;
    snprintf(name, sizeof name, "%s/proc/self/cgroup", root);
    FILE *f = fopen(name, "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        char *list = strchr(line, ':'), *at = list ? strchr(list + 1, ':') : NULL;
        if (!at) continue;
        *at++ = 0;
        at[strcspn(at, "\n")] = 0;
        found = controller ? has_word(list + 1, controller) : !list[1];
        if (found) snprintf(path, size, "%s", at);
    }
    if (f) fclose(f);
    return found;
}

/* The mount point of that hierarchy, and what part of it is mounted there. A line of mountinfo:
 * id parent major:minor ROOT POINT options... - type source OPTIONS */
static bool mount_of(const char *root, const char *controller, char *part, char *point) {
    char name[PATH_MAX], line[3 * PATH_MAX];
    bool found = false;
    snprintf(name, sizeof name, "%s/proc/self/mountinfo", root);
    FILE *f = fopen(name, "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        char type[64], options[1024];
        const char *dash = strstr(line, " - ");
        if (!dash || sscanf(dash, " - %63s %*s %1023s", type, options) != 2) continue;
        if (strcmp(type, controller ? "cgroup" : "cgroup2")) continue;
        if (controller && !has_word(options, controller)) continue;
        found = sscanf(line, "%*s %*s %*s %4095s %4095s", part, point) == 2;
    }
    if (f) fclose(f);
    if (!found) return false;
    unescape(part);
    unescape(point);
    return true;
}

/* A container may see a part of the hierarchy only, mounted as if it were all: what names the
 * process's group from outside is then cut off, and a group outside of it is not visible. */
static bool own_group(const char *root, const char *controller, struct group *g) {
    char path[PATH_MAX], part[PATH_MAX], point[PATH_MAX];
    if (!own_path(root, controller, path, sizeof path) ||
        !mount_of(root, controller, part, point))
        return false;
    const size_t n = strcmp(part, "/") ? strlen(part) : 0;
    const char *rest = path;
    if (n) rest = !strncmp(path, part, n) && (path[n] == '/' || !path[n]) ? path + n : "";
    if (!strncmp(rest, "/..", 3) || !strcmp(rest, "/")) rest = "";
    g->mount = strlen(root) + strlen(point);
    return snprintf(g->path, sizeof g->path, "%s%s%s", root, point, rest) < (int)sizeof g->path;
}

/* Goes to the group above; false at the top. */
static bool group_up(struct group *g) {
    char *slash = strrchr(g->path + g->mount, '/');
    if (!slash) return false;
    *slash = 0;
    return true;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static uint64_t less(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

/* A limit, and what it leaves. */
struct room {
    uint64_t limit, left; /* UINT64_MAX: none */
};

static const struct room no_limit = {UINT64_MAX, UINT64_MAX};

static void lower(struct room *r, uint64_t limit, uint64_t used) {
    const uint64_t left = less(limit, used);
    if (left < r->left) *r = (struct room){limit, left};
}

static void files_off(const struct group *g, const char *active, const char *inactive,
                      uint64_t *used) {
    uint64_t bytes;
    if (read_in(g->path, "memory.stat", active, &bytes)) *used = less(*used, bytes);
    if (read_in(g->path, "memory.stat", inactive, &bytes)) *used = less(*used, bytes);
}

static void memory_v2(const char *root, struct room *r) {
    struct group g;
    if (!own_group(root, NULL, &g)) return;
    do {
        uint64_t limit = UINT64_MAX, x, used = 0;
        if (read_in(g.path, "memory.max", "", &x)) limit = x;
        if (read_in(g.path, "memory.high", "", &x) && x < limit) limit = x;
        if (limit == UINT64_MAX || !read_in(g.path, "memory.current", "", &used)) continue;
        files_off(&g, "active_file ", "inactive_file ", &used);
        lower(r, limit, used);
    } while (group_up(&g));
}

static void memory_v1(const char *root, struct room *r) {
    struct group g;
    uint64_t tree;
    if (!own_group(root, "memory", &g)) return;
    do {
        uint64_t limit, used;
        if (read_in(g.path, "memory.limit_in_bytes", "", &limit) &&
            read_in(g.path, "memory.usage_in_bytes", "", &used)) {
            files_off(&g, "total_active_file ", "total_inactive_file ", &used);
            lower(r, limit, used);
        }
        /* Old kernels: a group may stand for itself, and those above it then do not count it. */
    } while (group_up(&g) && (!read_in(g.path, "memory.use_hierarchy", "", &tree) || tree));
}

/* 0 means that nothing is known. */
static size_t known(uint64_t have) {
    return have == UINT64_MAX ? 0 : have ? (size_t)have : 1;
}

static struct room memory_groups(const char *root) {
    struct room r = no_limit;
    memory_v2(root, &r);
    memory_v1(root, &r);
    return r;
}

/* UINT64_MAX: not known. */
static uint64_t memory_system(const char *root, const char *key) {
    char path[PATH_MAX];
    uint64_t kb;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    return read_number(path, key, &kb) && kb < UINT64_MAX / 1024 ? kb * 1024 : UINT64_MAX;
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

size_t limit_memory_at(const char *root) {
    return known(smaller(memory_system(root, "MemAvailable:"), memory_groups(root).left));
}

/* What setrlimit(2) leaves: of the address space, and of memory that is written to. */
static struct room memory_rlimits(void) {
    unsigned long long all = 0, data = 0;
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    struct room least_of = no_limit;
    struct rlimit r;
    FILE *f = fopen("/proc/self/statm", "re");
    const bool read = f && fscanf(f, "%llu %*u %*u %*u %*u %llu", &all, &data) == 2;
    if (f) fclose(f);
    if (!read) return no_limit;
    if (!getrlimit(RLIMIT_AS, &r) && r.rlim_cur != RLIM_INFINITY)
        lower(&least_of, r.rlim_cur, all * page);
    if (!getrlimit(RLIMIT_DATA, &r) && r.rlim_cur != RLIM_INFINITY)
        lower(&least_of, r.rlim_cur, data * page);
    return least_of;
}

size_t memory_available(void) {
    const uint64_t groups = smaller(memory_system("", "MemAvailable:"), memory_groups("").left);
    return known(smaller(groups, memory_rlimits().left));
}

void limit_memory_parts_at(const char *root, struct memory_limits *l) {
    const uint64_t total = memory_system(root, "MemTotal:");
    const struct room group = memory_groups(root);
    *l = (struct memory_limits){.total = known(total),
                                .available = known(memory_system(root, "MemAvailable:"))};
    if (group.limit >= total || group.limit > INT64_MAX / 2) return; /* v1 writes none as 2^63 */
    l->group = known(group.limit);
    l->group_left = known(group.left);
}

void memory_limits(struct memory_limits *l) {
    const struct room r = memory_rlimits();
    limit_memory_parts_at("", l);
    l->rlimit = known(r.limit);
    l->rlimit_left = known(r.left);
}

uint64_t limit_oom_kills_at(const char *root) {
    struct group g;
    char path[PATH_MAX];
    uint64_t n;
    if (own_group(root, NULL, &g) && read_in(g.path, "memory.events", "oom_kill ", &n)) return n;
    if (own_group(root, "memory", &g) && read_in(g.path, "memory.oom_control", "oom_kill ", &n))
        return n;
    snprintf(path, sizeof path, "%s/proc/vmstat", root);
    return read_number(path, "oom_kill ", &n) ? n : 0;
}

uint64_t limit_oom_kills(void) {
    return limit_oom_kills_at("");
}

/* ---- processors ------------------------------------------------------------------------------ */

static void grant(double *least, double quota, double period) {
    if (quota > 0 && period > 0 && quota / period < *least) *least = quota / period;
}

static void cpus_v1(const char *root, double *least) {
    struct group g;
    uint64_t quota, period;
    if (!own_group(root, "cpu", &g)) return;
    do {
        if (read_in(g.path, "cpu.cfs_quota_us", "", &quota) &&
            read_in(g.path, "cpu.cfs_period_us", "", &period))
            grant(least, (double)quota, (double)period);
    } while (group_up(&g));
}

static void cpus_v2(const char *root, double *least) {
    struct group g;
    if (!own_group(root, NULL, &g)) return;
    do {
        char path[PATH_MAX + 16];
        double quota, period;
        snprintf(path, sizeof path, "%s/cpu.max", g.path);
        FILE *f = fopen(path, "re");
        if (f && fscanf(f, "%lf %lf", &quota, &period) == 2) grant(least, quota, period);
        if (f) fclose(f);
    } while (group_up(&g));
}

int limit_cpus_at(const char *root) {
    double least = INFINITY;
    cpus_v1(root, &least);
    cpus_v2(root, &least);
    return least < 1e6 ? (int)ceil(least) : 0;
}

int limit_cpus(void) {
    return limit_cpus_at("");
}

int mb_decimals(size_t a, size_t b) {
    char x[40], y[40];
    const size_t least = a && (a < b || !b) ? a : b;
    int n = 0;
    double unit = 2e6; /* half of the last decimal, in bytes, is unit / 4 */
    do {
        n++;
        unit /= 10;
        snprintf(x, sizeof x, "%.*f", n, in_mb(a));
        snprintf(y, sizeof y, "%.*f", n, in_mb(b));
    } while (n < 6 && ((least && (double)least < unit / 4) || (a != b && !strcmp(x, y))));
    return n;
}

int memory_fits(size_t have, const char *what, const struct memory_part *parts, int n,
                const char *advice, struct err *e) {
    char list[256] = "";
    size_t sum = 0;
    int at = 0, shown = 0;
    for (int i = 0; i < n; i++) {
        sum += parts[i].bytes;
        if (n == 1 || !parts[i].bytes || at >= (int)sizeof list) continue;
        at += snprintf(list + at, sizeof list - (size_t)at, "%s%s %.1f", shown++ ? ", " : " (",
                       parts[i].name, in_mb(parts[i].bytes));
    }
    if (!have || sum <= have) return 0;
    const int digits = mb_decimals(sum, have);
    return err_set(e, ERR_NOMEM, "%s needs %.*f MB%s%s and %.*f MB are free%s%s", what, digits,
                   in_mb(sum), list, shown ? ")" : "", digits, in_mb(have), advice ? "; try " : "",
                   advice ? advice : "");
}
