/* What this process may use of the machine: the limits of its control groups, of setrlimit(2) and
 * of what is free.
 *
 * Control groups, versions 1 and 2, as /proc/self/cgroup and /proc/self/mountinfo name them: the
 * process's own group and every one above it that is visible (cgroups(7)). Of what a group uses,
 * pages of files count as free: the kernel drops them when it needs the room. */
#ifndef DUET_LIMIT_H
#define DUET_LIMIT_H

#include "err.h"
#include <stddef.h>
#include <stdint.h>

/* Bytes as they are shown and recorded: MB are 10^6 bytes everywhere. */
static inline double in_mb(size_t bytes) {
    return (double)bytes * 1e-6;
}

/* Decimals for two sizes in MB that are told beside each other: so many that the smaller is more
 * than 0.0, and that they are not shown as one number. 1 to 6. */
int mb_decimals(size_t a, size_t b);

/* Bytes of memory that could be used without swapping: the least of what the system says is
 * available, what each control group leaves (v1 memory.limit_in_bytes; v2 memory.max and
 * memory.high) and what RLIMIT_AS and RLIMIT_DATA leave. 0: not known. */
size_t memory_available(void);

/* The same, told apart; bytes. */
struct memory_limits {
    size_t total, available;    /* of the machine, and what the system says is available; 0: not
                                 * known */
    size_t group, group_left;   /* the control group that leaves the least: its limit, and what is
                                 * left; both 0: none that is below what the machine has */
    size_t rlimit, rlimit_left; /* RLIMIT_AS or RLIMIT_DATA, whichever leaves less; both 0: none */
};
void memory_limits(struct memory_limits *l);

/* The one refusal of everything that plans its memory. */
struct memory_part {
    const char *name;
    size_t bytes;
};

/* ERR_NOMEM if the sum of the n parts is more than `have` (0: not known), with the sum, the parts
 * and what is free. what: "this run". advice: how to need less, or NULL. */
int memory_fits(size_t have, const char *what, const struct memory_part *parts, int n,
                const char *advice, struct err *e);

/* Processors' worth of time that the control groups grant (v1 cpu.cfs_quota_us, v2 cpu.max; the
 * least of all levels, rounded up); 0: no limit. */
int limit_cpus(void);

/* How many processes the kernel has killed so far for lack of memory, in this process's control
 * group and those below it (v2 memory.events, v1 memory.oom_control), else on the whole machine
 * (/proc/vmstat). It only rises; 0 too where nothing tells. */
uint64_t limit_oom_kills(void);

/* The same for a tree of /proc and /sys below `root`, without setrlimit's: for tests. */
size_t limit_memory_at(const char *root);
void limit_memory_parts_at(const char *root, struct memory_limits *l);
int limit_cpus_at(const char *root);
uint64_t limit_oom_kills_at(const char *root);

#endif
