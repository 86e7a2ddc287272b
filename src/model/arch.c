#include "arch.h"

#include <string.h>

#define X(name) extern const struct arch arch_##name;
ARCHS(X)
#undef X

static const struct arch *const archs[] = {
#define X(name) &arch_##name,
    ARCHS(X)
#undef X
};
enum { N_ARCHS = sizeof archs / sizeof *archs };

static const struct part_table *const tables[] = {
#define X(name) &arch_##name.parts,
    ARCHS(X)
#undef X
};
const struct part_tables arch_parts = {tables, N_ARCHS};

const struct arch *arch_find(const char *name) {
    for (size_t i = 0; i < N_ARCHS; i++)
        if (!strcmp(archs[i]->parts.name, name)) return archs[i];
    return NULL;
}

struct part_sizes arch_sizes(const struct model_config *c) {
    return (struct part_sizes){
        .side = {[SIDE_VOCAB] = (uint64_t)c->vocab,
                 [SIDE_DIM] = (uint64_t)c->dim,
                 [SIDE_Q] = (uint64_t)(c->heads * c->head_dim),
                 [SIDE_KV] = (uint64_t)(c->kv_heads * c->head_dim),
                 [SIDE_HIDDEN] = (uint64_t)c->hidden,
                 [SIDE_HEAD] = (uint64_t)c->head_dim},
        .heads = (int)c->heads,
        .kv_heads = (int)c->kv_heads,
        .has = {[IF_ALWAYS] = true,
                [IF_UNTIED] = !c->tied,
                [IF_BIAS] = c->attention_bias,
                [IF_QK_NORM] = c->qk_norm,
                [IF_VALUE_EMBED] = c->value_embeds},
    };
}
