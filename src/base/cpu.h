/* Instruction-set tiers: what the CPU has, and what of it is used (machine.h). */
#ifndef DUET_CPU_H
#define DUET_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_TIERS(X) X(generic) X(avx2) X(avx512) X(avx512bf16)

enum cpu_tier {
#define X(name) CPU_##name,
    CPU_TIERS(X)
#undef X
        CPU_TIER_COUNT
};

/* What of the CPU is to be used. */
struct cpu {
    enum cpu_tier tier;
    bool tiles; /* bf16 matrix tiles (AMX), which only library backends use */
    int64_t l2; /* bytes of a core's second-level cache; 0: not known */
};

/* The best tier that this CPU has. */
enum cpu_tier cpu_best(void);

/* This program holds code for the tier. */
bool cpu_tier_built(enum cpu_tier tier);

/* A cache, or several of one kind. */
enum cpu_cache_type { CACHE_DATA = 1, CACHE_INSTRUCTIONS, CACHE_UNIFIED };
struct cpu_cache {
    int level; /* from 1 */
    enum cpu_cache_type type;
    int64_t bytes; /* of one */
    int threads;   /* logical processors that share one */
    int count;     /* how many of them there are; 0: not known */
};

/* What the core this thread is on says of its caches, by cpuid: at most `most`, the number of them
 * returned; 0 where there is no such instruction. `threads` is what the processor could have, and
 * more than a part of it that is a virtual machine. */
int cpu_caches(struct cpu_cache *cache, int most);

/* Bytes of the second-level cache of the core this thread is on, of the same source; 0: not
 * known. */
int64_t cpu_l2(void);

/* All of it (name NULL or ""), or up to the tier that is named, without tiles: no tier that can be
 * named has any. False: no tier has that name. */
bool cpu_choose(struct cpu *cpu, const char *name);

/* "generic", "avx2", ... */
const char *cpu_tier_name(enum cpu_tier tier);

/* Model name from the system, for reports: at most size - 1 bytes. Returns name. */
enum { CPU_MODEL = 128 };
const char *cpu_model(char *name, size_t size);

/* Logical processors this process may run on, and has the time of: by affinity, and by the CPU
 * quota of its control groups, rounded up. */
int cpu_count(void);

#endif
