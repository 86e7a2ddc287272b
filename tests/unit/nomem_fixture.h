/* Allocations that fail: malloc and mmap of the whole program, counted. `until` says how many still
 * succeed (-1: all), `calls` how many there were, `live` how many are not freed. COUNTED 0: another
 * allocator counts here. Included by one .c file of a program. */
#ifndef DUET_NOMEM_FIXTURE_H
#define DUET_NOMEM_FIXTURE_H

#include "sanitized.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long until = -1; /* allocations that still succeed; -1: all */
static atomic_long calls, live;

#if defined(__GLIBC__) && !SANITIZED
#define COUNTED 1
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *p);

static bool fails(void) {
    atomic_fetch_add(&calls, 1);
    if (atomic_load(&until) < 0) return false;
    if (atomic_load(&until) > 0) {
        atomic_fetch_sub(&until, 1);
        return false;
    }
    errno = ENOMEM;
    return true;
}

static void *counted(void *p) {
    if (p) atomic_fetch_add(&live, 1);
    return p;
}

void *malloc(size_t n) {
    return fails() ? NULL : counted(__libc_malloc(n));
}

void *calloc(size_t n, size_t size) {
    return fails() ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n) {
    if (fails()) return NULL;
    void *q = __libc_realloc(p, n);
    if (q && !p) atomic_fetch_add(&live, 1);
    return q;
}

void *aligned_alloc(size_t align, size_t n) {
    return fails() ? NULL : counted(__libc_memalign(align, n));
}

int posix_memalign(void **p, size_t align, size_t n) {
    *p = fails() ? NULL : counted(__libc_memalign(align, n));
    return *p ? 0 : ENOMEM;
}

void free(void *p) {
    if (p) atomic_fetch_sub(&live, 1);
    __libc_free(p);
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset) {
    if (fails()) return MAP_FAILED;
    return counted((void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset));
}

int munmap(void *at, size_t n) {
    atomic_fetch_sub(&live, 1);
    return (int)syscall(SYS_munmap, at, n);
}
#else
#define COUNTED 0
#endif

#endif
