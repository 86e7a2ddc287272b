#include "clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

double clock_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

size_t clock_peak_rss(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (size_t)u.ru_maxrss * 1024;
}

/* The number after `key` in the first line that begins with it; the limit "max" is no number. */
static bool read_number(const char *path, const char *key, size_t *value) {
    char line[256];
    bool found = false;
    FILE *f = fopen(path, "r");
    while (f && !found && fgets(line, sizeof line, f)) {
        const size_t n = strlen(key);
        found = !strncmp(line, key, n) && sscanf(line + n, "%zu", value) == 1;
    }
    if (f) fclose(f);
    return found;
}

size_t memory_available(void) {
    size_t kb = 0, limit, used;
    if (!read_number("/proc/meminfo", "MemAvailable:", &kb)) return 0;
    size_t have = kb * 1024;
    if (read_number("/sys/fs/cgroup/memory.max", "", &limit) &&
        read_number("/sys/fs/cgroup/memory.current", "", &used)) {
        const size_t left = limit > used ? limit - used : 0;
        if (left < have) have = left;
    }
    return have;
}
