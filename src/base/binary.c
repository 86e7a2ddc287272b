#include "binary.h"

#include <stdio.h>

enum { MAGIC = 8 };

void binary_begin(uint8_t *head, const struct binary_kind *k, int version) {
    memset(head, 0, k->head);
    memcpy(head, k->magic, MAGIC);
    binary_put(head + MAGIC, (uint64_t)version, 4);
}

int binary_check(const struct file_map *m, const struct binary_kind *k, int *version,
                 struct err *e) {
    if (m->size < k->head || memcmp(m->data, k->magic, MAGIC))
        return err_set(e, ERR_INPUT, "%s: not %s (magic at offset 0)", m->path, k->is);
    const unsigned found = (unsigned)binary_get(m->data + MAGIC, 4);
    *version = (int)found;
    if (*version < 1 || *version > k->versions) {
        char to[16] = "";
        if (k->versions > 1) snprintf(to, sizeof to, " to %d", k->versions);
        return err_set(e, ERR_INPUT, "%s: version %u at offset 8, expected 1%s", m->path, found,
                       to);
    }
    const unsigned zero = (unsigned)binary_get(m->data + k->zero, 4);
    if (!zero) return 0;
    return err_set(e, ERR_INPUT, "%s: %u at offset %zu, expected 0", m->path, zero, k->zero);
}
