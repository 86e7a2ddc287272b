#include "map.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int grow(void *array, size_t *cap, size_t need, size_t size) {
    if (need <= *cap) return 0;
    size_t n = *cap < 16 ? 16 : *cap, bytes;
    while (n < need) {
        if (n > SIZE_MAX / 2) return -1;
        n += n / 2;
    }
    void *old, *fresh;
    memcpy(&old, array, sizeof old); /* a void ** would alias the caller's own pointer type */
    if (__builtin_mul_overflow(n, size, &bytes) || !(fresh = realloc(old, bytes))) return -1;
    memcpy(array, &fresh, sizeof fresh);
    *cap = n;
    return 0;
}

static int pairmap_resize(struct pairmap *m, size_t slots) {
    struct pairmap_slot *s = slots > SIZE_MAX / sizeof *s ? NULL : malloc(slots * sizeof *s);
    if (!s) return -1;
    memset(s, 0xff, slots * sizeof *s);
    for (size_t i = 0; m->slots && i <= m->mask; i++) {
        if (m->slots[i].key == UINT64_MAX) continue;
        size_t at = pairmap_hash(m->slots[i].key) & (slots - 1);
        while (s[at].key != UINT64_MAX) at = (at + 1) & (slots - 1);
        s[at] = m->slots[i];
    }
    free(m->slots);
    m->slots = s;
    m->mask = slots - 1;
    return 0;
}

int pairmap_reserve(struct pairmap *m, size_t n) {
    size_t slots = 64;
    while (slots / 2 < n) slots *= 2;
    return m->slots && m->mask + 1 >= slots ? 0 : pairmap_resize(m, slots);
}

struct pairmap_slot *pairmap_put(struct pairmap *m, uint64_t key) {
    if (pairmap_reserve(m, m->n + 1)) return NULL;
    size_t at = pairmap_hash(key) & m->mask;
    for (; m->slots[at].key != key; at = (at + 1) & m->mask) {
        if (m->slots[at].key != UINT64_MAX) continue;
        m->slots[at].key = key; /* a and b are MAP_NONE already */
        m->n++;
        break;
    }
    return &m->slots[at];
}

void pairmap_release(struct pairmap *m) {
    free(m->slots);
    *m = (struct pairmap){0};
}

static uint32_t find_hashed(const struct strmap *m, const char *s, size_t len, uint64_t hash,
                            size_t *slot) {
    size_t at = (size_t)hash & m->mask;
    for (; m->slots[at] != MAP_NONE; at = (at + 1) & m->mask) {
        const struct strmap_entry *x = &m->entries[m->slots[at]];
        if (x->hash == hash && x->len == len && memcmp(m->pool + x->offset, s, len) == 0)
            return m->slots[at];
    }
    *slot = at;
    return MAP_NONE;
}

uint32_t strmap_find(const struct strmap *m, const char *s, size_t len) {
    size_t slot;
    return m->slots ? find_hashed(m, s, len, XXH3_64bits(s, len), &slot) : MAP_NONE;
}

static int strmap_rehash(struct strmap *m, size_t slots) {
    uint32_t *s = malloc(slots * sizeof *s);
    if (!s) return -1;
    memset(s, 0xff, slots * sizeof *s);
    for (size_t i = 0; i < m->n; i++) {
        size_t at = (size_t)m->entries[i].hash & (slots - 1);
        while (s[at] != MAP_NONE) at = (at + 1) & (slots - 1);
        s[at] = (uint32_t)i;
    }
    free(m->slots);
    m->slots = s;
    m->mask = slots - 1;
    return 0;
}

uint32_t strmap_add(struct strmap *m, const char *s, size_t len) {
    if (!m->slots && strmap_rehash(m, 64)) return MAP_NONE;
    uint64_t hash = XXH3_64bits(s, len);
    size_t slot;
    uint32_t found = find_hashed(m, s, len, hash, &slot);
    if (found != MAP_NONE) return found;
    if (len >= UINT32_MAX || m->n >= MAP_NONE - 1 ||
        grow(&m->entries, &m->cap, m->n + 1, sizeof *m->entries) ||
        grow(&m->pool, &m->pool_cap, m->pool_n + len + 1, 1))
        return MAP_NONE;
    if (m->n + 1 > m->mask / 2) {
        if (strmap_rehash(m, (m->mask + 1) * 2)) return MAP_NONE;
        find_hashed(m, s, len, hash, &slot);
    }
    memcpy(m->pool + m->pool_n, s, len);
    m->pool[m->pool_n + len] = '\0';
    m->entries[m->n] = (struct strmap_entry){hash, m->pool_n, (uint32_t)len};
    m->pool_n += len + 1;
    m->slots[slot] = (uint32_t)m->n;
    return (uint32_t)m->n++;
}

void strmap_release(struct strmap *m) {
    free(m->entries);
    free(m->pool);
    free(m->slots);
    *m = (struct strmap){0};
}
