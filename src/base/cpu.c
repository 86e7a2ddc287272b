#include "cpu.h"
#include "limit.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
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

bool cpu_tier_built(enum cpu_tier tier) {
#if defined(__x86_64__)
    return tier < CPU_TIER_COUNT;
#else
    return tier == CPU_generic;
#endif
}

#if defined(__x86_64__)
struct cpuid {
    unsigned a, b, c, d;
};

static struct cpuid cpuid(unsigned leaf, unsigned sub) {
    struct cpuid r = {.a = leaf, .c = sub};
    __asm__ volatile("cpuid" : "+a"(r.a), "=b"(r.b), "+c"(r.c), "=d"(r.d));
    return r;
}
#endif

/* The CPU has the tiles, and the system lets them be used. */
static bool has_tiles(void) {
#if defined(__x86_64__)
    unsigned low, high;
    if (!(cpuid(7, 0).d >> 22 & 1)) return false;
    if (!(cpuid(1, 0).c >> 27 & 1)) return false; /* xgetbv itself */
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low >> 17 & 3) == 3; /* the system keeps the tiles of a thread */
#else
    return false;
#endif
}

/* Leaf 4 (Intel) and leaf 0x8000001d (AMD) list caches alike: type in bits 0-4 of eax (0: no more,
 * 1: data, 2: instructions, 3: both), level in bits 5-7, logical processors that share it in 14-25;
 * ebx holds ways, partitions and bytes of a line, ecx sets; all four less one. Intel SDM volume 2,
 * CPUID; AMD APM volume 3, E.4.15. */
int cpu_caches(struct cpu_cache *cache, int most) {
    int n = 0;
#if defined(__x86_64__)
    const bool amd = cpuid(0, 0).c == 0x444d4163 || cpuid(0, 0).c == 0x656e6975; /* Hygon's too */
    const unsigned leaf = amd ? 0x8000001d : 4, last = cpuid(leaf & 0x80000000, 0).a;
    for (unsigned i = 0; i < 16 && last >= leaf && n < most; i++) {
        const struct cpuid r = cpuid(leaf, i);
        const unsigned type = r.a & 31;
        if (type == 0) break;
        if (type > CACHE_UNIFIED) continue;
        cache[n++] = (struct cpu_cache){
            .level = (int)(r.a >> 5 & 7),
            .type = (enum cpu_cache_type)type,
            .bytes = (int64_t)((r.b >> 22) + 1) * ((r.b >> 12 & 0x3ff) + 1) * ((r.b & 0xfff) + 1) *
                     ((int64_t)r.c + 1),
            .threads = (int)(r.a >> 14 & 0xfff) + 1};
    }
#else
    (void)cache, (void)most;
#endif
    return n;
}

int64_t cpu_l2(void) {
    struct cpu_cache cache[16];
    const int n = cpu_caches(cache, 16);
    for (int i = 0; i < n; i++)
        if (cache[i].level == 2 && cache[i].type != CACHE_INSTRUCTIONS) return cache[i].bytes;
    return 0;
}

bool cpu_choose(struct cpu *cpu, const char *name) {
    const bool all = !name || !*name;
    int cap = all ? CPU_TIER_COUNT - 1 : 0;
    while (!all && cap < CPU_TIER_COUNT && strcmp(name, names[cap]) != 0) cap++;
    if (cap == CPU_TIER_COUNT) return false;
    cpu->tier = cap < (int)cpu_best() ? (enum cpu_tier)cap : cpu_best();
    cpu->tiles = all && has_tiles();
    cpu->l2 = cpu_l2();
    return true;
}

const char *cpu_model(char *name, size_t size) {
    snprintf(name, size, "unknown CPU");
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (!f) return name;
    char line[256];
    while (fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        snprintf(name, size, "%.100s", colon + 2);
        name[strcspn(name, "\n")] = 0;
        break;
    }
    fclose(f);
    return name;
}

/* The kernel refuses a set that is smaller than its own, which is 1024 or more. 0: not known. */
static int cpus_allowed(void) {
    for (size_t room = 1024; room <= 1 << 20; room *= 2) {
        const size_t size = CPU_ALLOC_SIZE(room);
        cpu_set_t *set = CPU_ALLOC(room);
        if (!set) return 0;
        const int n = sched_getaffinity(0, size, set) ? -errno : CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (n != -EINVAL) return n < 0 ? 0 : n;
    }
    return 0;
}

int cpu_count(void) {
    const int quota = limit_cpus();
    int n = cpus_allowed();
    if (quota && quota < n) n = quota;
    return n > 0 ? n : 1;
}
