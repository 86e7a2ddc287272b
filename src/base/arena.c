#include "arena.h"

#include "limit.h"

#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>

size_t arena_need(size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX - ARENA_ALIGN) return SIZE_MAX;
    return arena_round(bytes);
}

enum { ASK_FROM = 32 << 20 };

int arena_init(struct arena *a, size_t bytes, const char *name, struct err *e) {
    *a = (struct arena){.name = name};
    if (bytes == 0) return 0;
    /* Reserving always succeeds; touching what is not there ends the process. */
    if (bytes >= ASK_FROM) {
        const struct memory_part all = {name, bytes};
        const int rc = memory_fits(memory_available(), name, &all, 1, NULL, e);
        if (rc) return rc;
    }
    void *p = MAP_FAILED;
    if (bytes <= PTRDIFF_MAX)
        p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
    if (p == MAP_FAILED)
        return err_errno(e, ERR_NOMEM, "cannot reserve %.1f MB for %s", in_mb(bytes), name);
#ifdef MADV_HUGEPAGE
    /* GEMM walks many rows at once: 2 MB pages spare the TLB. Small arenas would only
     * waste memory. */
    if (bytes >= (size_t)8 << 20) madvise(p, bytes, MADV_HUGEPAGE);
#endif
    a->base = p;
    a->size = bytes;
    return 0;
}

void *arena_alloc(struct arena *a, size_t n, size_t size) {
    size_t bytes = arena_need(n, size);
    assert(bytes <= a->size - a->used && "the plan reserved too little");
    void *p = a->base ? a->base + a->used : NULL; /* nothing of an empty arena */
    a->used += bytes;
    return p;
}

void arena_release(struct arena *a) {
    if (a->base) munmap(a->base, a->size);
    *a = (struct arena){0};
}
