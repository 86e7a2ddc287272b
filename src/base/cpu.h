/* Instruction-set tiers. The tier is found once; the environment variable DUET_CPU caps it
 * (generic, avx2, avx512, avx512bf16) so that every tier can be tested on one machine. */
#ifndef DUET_CPU_H
#define DUET_CPU_H

#include <stdbool.h>

#define CPU_TIERS(X) X(generic) X(avx2) X(avx512) X(avx512bf16)

enum cpu_tier {
#define X(name) CPU_##name,
    CPU_TIERS(X)
#undef X
        CPU_TIER_COUNT
};

/* The tier in use: the best this CPU has, capped by DUET_CPU. An unknown DUET_CPU is ignored here;
 * cpu_check() reports it. */
enum cpu_tier cpu_tier(void);

/* Reads DUET_CPU again: for tests that walk the tiers in one process. */
void cpu_tier_refresh(void);

/* The best tier that this CPU has, whatever DUET_CPU says. */
enum cpu_tier cpu_best(void);

/* "generic", "avx2", ... */
const char *cpu_tier_name(enum cpu_tier tier);

/* false if DUET_CPU names no tier; *value is then what it says. */
bool cpu_check(const char **value);

/* True if the CPU has bf16 matrix tiles (AMX), which only a library backend uses, and the system
 * lets them be used. False under DUET_CPU: no tier that it can name has tiles. */
bool cpu_has_amx_bf16(void);

/* Model name from the system, for reports; a static string. */
const char *cpu_model(void);

/* Logical processors this process may run on, and has the time of: by affinity, and by the CPU
 * quota of its control groups, rounded up. */
int cpu_count(void);

#endif
