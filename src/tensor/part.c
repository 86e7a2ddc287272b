#include "part.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- architectures -------------------------------------------------------------------------- */

const struct part_table *parts_find(const struct part_tables *l, const char *name) {
    for (int i = 0; i < l->n; i++)
        if (!strcmp(l->all[i]->name, name)) return l->all[i];
    return NULL;
}

const struct part_table *parts_find_gguf(const struct part_tables *l, const char *name) {
    for (int i = 0; i < l->n; i++)
        if (l->all[i]->gguf && !strcmp(l->all[i]->gguf, name)) return l->all[i];
    return NULL;
}

const char *parts_names(const struct part_tables *l, bool gguf, const char *last, char *text,
                        size_t size) {
    size_t n = 0;
    const char *name = NULL; /* the one that comes next */
    *text = 0;
    for (int i = 0; i < l->n && n < size; i++) {
        const struct part_table *t = l->all[i];
        if (gguf && (!t->gguf || parts_find_gguf(l, t->gguf) != t)) continue;
        if (name) n += (size_t)snprintf(text + n, size - n, "%s%s", n ? ", " : "", name);
        name = gguf ? t->gguf : t->name;
    }
    if (name && n < size) snprintf(text + n, size - n, "%s%s", n ? last : "", name);
    return text;
}

const char *parts_default(const struct part_table *t, const char *key) {
    for (const struct part_default *d = t->defaults; d && d->key; d++)
        if (!strcmp(d->key, key)) return d->value;
    return NULL;
}

bool parts_default_true(const struct part_table *t, const char *key) {
    const char *value = parts_default(t, key);
    return value && !strcmp(value, "true");
}

const struct part_computes *parts_computes(const struct part_table *t, const char *key) {
    for (const struct part_computes *c = t->computes; c && c->key; c++)
        if (!strcmp(c->key, key)) return c;
    return NULL;
}

const char *parts_act(const struct part_table *t) {
    const struct part_computes *act = parts_computes(t, "hidden_act");
    assert(act); /* every table has it */
    return act->values[0];
}

/* ---- names ---------------------------------------------------------------------------------- */

static const char *pattern_of(const struct part *p, enum part_names in) {
    return in == NAMES_HF ? p->hf : p->gguf;
}

bool part_in_layers(const struct part *p) {
    return strchr(p->hf, '*') != NULL;
}

/* A number of at most 5 digits as it is printed. */
static const char *read_layer(const char *s, uint32_t *layer) {
    const size_t n = strspn(s, "0123456789");
    if (n < 1 || n > 5 || (n > 1 && *s == '0')) return NULL;
    *layer = 0;
    for (size_t i = 0; i < n; i++) *layer = *layer * 10 + (uint32_t)(s[i] - '0');
    return s + n;
}

/* Are the first n bytes of name the pattern's? */
static bool matches(const char *pattern, const char *name, size_t n, uint32_t *layer) {
    const char *star = strchr(pattern, '*'), *rest = name;
    *layer = 0;
    if (star) {
        const size_t before = (size_t)(star - pattern);
        if (n < before || memcmp(pattern, name, before) != 0) return false;
        rest = read_layer(name + before, layer);
        pattern = star + 1;
    }
    if (!rest || rest > name + n) return false;
    const size_t left = n - (size_t)(rest - name);
    return strlen(pattern) == left && !memcmp(pattern, rest, left);
}

const struct part *part_find(const struct part_table *t, enum part_names in, const char *name,
                             uint32_t *layer) {
    for (int i = 0; i < t->n; i++) {
        const char *pattern = pattern_of(t->part + i, in);
        if (pattern && matches(pattern, name, strlen(name), layer)) return t->part + i;
    }
    return NULL;
}

static const char LORA_A[] = ".lora_A.weight", LORA_B[] = ".lora_B.weight", WEIGHT[] = ".weight";

const struct part *part_find_lora(const struct part_table *t, const char *name, uint32_t *layer,
                                  bool *b) {
    char weight[PART_NAME];
    const size_t n = strlen(name), end = sizeof LORA_A - 1;
    if (n <= end || n >= sizeof weight) return NULL;
    *b = !strcmp(name + n - end, LORA_B);
    if (!*b && strcmp(name + n - end, LORA_A) != 0) return NULL;
    memcpy(weight, name, n - end);
    strcpy(weight + n - end, WEIGHT);
    const struct part *p = part_find(t, NAMES_HF, weight, layer);
    return p && p->lora ? p : NULL;
}

const struct part *part_of(const struct part_table *t, enum part_kind kind) {
    for (int i = 0; i < t->n; i++)
        if (t->part[i].kind == kind) return t->part + i;
    return NULL;
}

const char *part_name(char buf[PART_NAME], const struct part *p, enum part_names in,
                      uint32_t layer) {
    const char *pattern = pattern_of(p, in), *star = strchr(pattern, '*');
    if (star)
        snprintf(buf, PART_NAME, "%.*s%u%s", (int)(star - pattern), pattern, (unsigned)layer,
                 star + 1);
    else
        snprintf(buf, PART_NAME, "%s", pattern);
    return buf;
}

const char *part_lora_name(char buf[PART_NAME], const struct part *p, uint32_t layer, bool b) {
    char weight[PART_NAME];
    const size_t n = strlen(part_name(weight, p, NAMES_HF, layer)) - (sizeof WEIGHT - 1);
    snprintf(buf, PART_NAME, "%.*s%s", (int)n, weight, b ? LORA_B : LORA_A);
    return buf;
}

const char *part_module(const struct part *p, size_t *n) {
    const char *end = p->hf + strlen(p->hf) - (sizeof WEIGHT - 1), *begin = end;
    while (begin > p->hf && begin[-1] != '.') begin--;
    *n = (size_t)(end - begin);
    return begin;
}

const char *part_words(const struct part_table *t, char *buf, size_t size) {
    size_t n = 0;
    *buf = 0;
    for (int i = 0; i < t->n && n < size; i++)
        if (t->part[i].lora)
            n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", t->part[i].lora);
    return buf;
}

/* ---- shapes --------------------------------------------------------------------------------- */

int part_shape(const struct part *p, const struct part_sizes *s, uint64_t shape[2]) {
    const bool matrix = p->rows != SIDE_NONE;
    shape[0] = s->side[matrix ? p->rows : p->cols];
    shape[1] = matrix ? s->side[p->cols] : 0;
    return matrix ? 2 : 1;
}

int part_heads(const struct part *p, int q, int k) {
    return p->rotary == ROTARY_Q ? q : p->rotary == ROTARY_K ? k : 0;
}
