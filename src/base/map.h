/* Hash tables of the tokenizers: pairs of ids, and byte strings. Open addressing with linear
 * probing; they grow and never forget. Zero-initialise; release accepts all zeros. */
#ifndef DUET_MAP_H
#define DUET_MAP_H

#include <stddef.h>
#include <stdint.h>

#define MAP_NONE UINT32_MAX

/* (left id, right id) -> two numbers. No id is UINT32_MAX, so that key marks an empty slot. */
struct pairmap_slot {
    uint64_t key;
    uint32_t a, b;
};

struct pairmap {
    struct pairmap_slot *slots;
    size_t mask, n; /* slots - 1; pairs in use */
};

static inline uint64_t pairmap_key(uint32_t left, uint32_t right) {
    return (uint64_t)left << 32 | right;
}

static inline size_t pairmap_hash(uint64_t key) {
    key *= 0x9e3779b97f4a7c15u;
    key = (key ^ key >> 32) * 0xd6e8feb86659fd93u;
    return (size_t)(key ^ key >> 32);
}

/* The slot of key, or NULL. The map must have been given at least one pair. */
static inline struct pairmap_slot *pairmap_find(const struct pairmap *m, uint64_t key) {
    for (size_t i = pairmap_hash(key) & m->mask;; i = (i + 1) & m->mask) {
        if (m->slots[i].key == key) return &m->slots[i];
        if (m->slots[i].key == UINT64_MAX) return NULL;
    }
}

/* The slot of key, made with a = b = MAP_NONE if it was not there; NULL without memory. Slots move
 * when the map grows. */
struct pairmap_slot *pairmap_put(struct pairmap *m, uint64_t key);
/* Makes room for n pairs (also for none, so that pairmap_find may be called). Nonzero:
 * no memory. */
int pairmap_reserve(struct pairmap *m, size_t n);
void pairmap_release(struct pairmap *m);

/* Distinct byte strings, numbered 0, 1, ... in the order they came. */
struct strmap_entry {
    uint64_t hash;
    size_t offset; /* into pool */
    uint32_t len;
};

struct strmap {
    struct strmap_entry *entries;
    char *pool;
    uint32_t *slots; /* index of an entry, or MAP_NONE */
    size_t n, cap, pool_n, pool_cap, mask;
};

/* Index of the string, or MAP_NONE. */
uint32_t strmap_find(const struct strmap *m, const char *s, size_t len);
/* Index of the string, added if it was not there (then *m has grown by one); MAP_NONE:
 * no memory. */
uint32_t strmap_add(struct strmap *m, const char *s, size_t len);
void strmap_release(struct strmap *m);

static inline const char *strmap_get(const struct strmap *m, uint32_t index, size_t *len) {
    *len = m->entries[index].len;
    return m->pool + m->entries[index].offset;
}

/* Grows *array of elements of size bytes to hold at least need. Nonzero: no memory; the array is
 * then as it was. */
int grow(void *array, size_t *cap, size_t need, size_t size);

#endif
