#include "kern.h"
#include "cpu.h"

#include <stdatomic.h>
#include <stddef.h>

#if defined(__x86_64__)
#define BUILT(X) CPU_TIERS(X)
#else
#define BUILT(X) X(generic)
#endif

#define X(name) extern const struct kern kern_##name;
BUILT(X)
#undef X

static const struct kern *const tables[CPU_TIER_COUNT] = {
#define X(name) [CPU_##name] = &kern_##name,
    BUILT(X)
#undef X
};

const struct kern *kern_tier(int tier) {
    return tier >= 0 && tier <= (int)cpu_best() ? tables[tier] : NULL;
}

const struct kern *kern(void) {
    /* Threads that race here store the same pointer. */
    static const struct kern *_Atomic chosen;
    const struct kern *k = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (!k) {
        k = tables[cpu_best()];
        atomic_store_explicit(&chosen, k, memory_order_relaxed);
    }
    return k;
}
