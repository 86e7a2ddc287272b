/* The machine as the system describes it: sockets, cores, caches and what shares them, nodes of
 * memory. The whole machine, not the part of it that this process may use (cpu_count, limit.h).
 *
 * Of Linux, /sys/devices/system (Documentation/ABI/testing/sysfs-devices-system-cpu and
 * stable/sysfs-devices-node), which a container may lack, in part or altogether, and a virtual
 * machine may fill as it likes: what is absent or makes no sense is 0, not known. */
#ifndef DUET_TOPOLOGY_H
#define DUET_TOPOLOGY_H

#include "cpu.h"

enum { TOPOLOGY_CACHES = 24, TOPOLOGY_NODES = 64, TOPOLOGY_KINDS = 8 };

struct topology {
    int threads, cores, sockets; /* logical processors that are on, ...; 0: not known */
    /* Caches of a kind are one row (level, type, bytes and sharing are equal): of a machine with
     * cores of several kinds a level may have several. By level, then type, the largest first. */
    struct cpu_cache cache[TOPOLOGY_CACHES];
    int n_caches;
    bool caches_of_cpuid; /* the system says nothing: they are cpu_caches() */
    struct topology_node {
        int id, threads;
        int64_t bytes; /* 0: not known */
    } node[TOPOLOGY_NODES];
    int n_nodes;
    /* Cores of several kinds: Intel's hybrid processors, or Arm's by the capacity that Linux has
     * given them. None where all are alike. */
    struct topology_kind {
        char name[32];
        int threads;
    } kind[TOPOLOGY_KINDS];
    int n_kinds;
};

void topology_read(struct topology *t);

/* The same for a tree below `root`, and nothing else: for tests. */
void topology_read_at(struct topology *t, const char *root);

#endif
