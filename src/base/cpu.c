#include "cpu.h"
#include "machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
#define X(name) #name,
    CPU_TIERS(X)
#undef X
};

const char *cpu_tier_name(enum cpu_tier tier) {
    return names[tier];
}

enum cpu_tier cpu_best(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx512 && __builtin_cpu_supports("avx512bf16")) return CPU_avx512bf16;
    if (avx512) return CPU_avx512;
    if (avx2) return CPU_avx2;
#endif
    return CPU_generic;
}

static int capped(void) {
    const char *s = getenv("DUET_CPU");
    if (!s || !*s) return CPU_TIER_COUNT - 1;
    for (int i = 0; i < CPU_TIER_COUNT; i++)
        if (!strcmp(s, names[i])) return i;
    return -1;
}

bool cpu_check(const char **value) {
    *value = getenv("DUET_CPU");
    return capped() >= 0;
}

static _Atomic int tier = -1; /* not found yet */

void cpu_tier_refresh(void) {
    int best = (int)cpu_best(), cap = capped();
    tier = cap >= 0 && cap < best ? cap : best;
}

enum cpu_tier cpu_tier(void) {
    if (tier < 0) cpu_tier_refresh();
    return (enum cpu_tier)tier;
}

bool cpu_has_amx_bf16(void) {
    const char *cap = getenv("DUET_CPU");
    if (cap && *cap) return false;
#if defined(__x86_64__)
    unsigned a = 7, b, c = 0, d, low, high;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (!((d >> 22) & 1)) return false;
    a = 1, c = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (!((c >> 27) & 1)) return false; /* xgetbv itself */
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low >> 17 & 3) == 3; /* the system keeps the tiles of a thread */
#else
    return false;
#endif
}

const char *cpu_model(void) {
    static char model[128];
    if (model[0]) return model;
    snprintf(model, sizeof model, "unknown CPU");
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f) return model;
    char line[256];
    while (fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        snprintf(model, sizeof model, "%.100s", colon + 2);
        model[strcspn(model, "\n")] = 0;
        break;
    }
    fclose(f);
    return model;
}

int cpu_count(void) {
    cpu_set_t set;
    const int quota = machine_cpus();
    int n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    if (quota && quota < n) n = quota;
    return n > 0 ? n : 1;
}
