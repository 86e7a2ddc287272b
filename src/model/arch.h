/* Architectures: what a model_type means.
 *
 * Adding one: x in a file of its own, arch_x.c, with a `const struct arch arch_x`, and one word in
 * ARCHS (docs/adding.md). It holds everything that duet knows of the architecture: its parts
 * (tensor/part.h), its names, the defaults of its config, what it computes that others do not, and
 * a function that builds the graph from the blocks of build.h. */
#ifndef DUET_ARCH_H
#define DUET_ARCH_H

#include "build.h"
#include "config.h"
#include "part.h"

/* Where several have one name in GGUF, and where a format holds the parts of several, the first is
 * chosen. */
#define ARCHS(X) X(llama) X(mistral) X(qwen2) X(qwen3) X(arcee)

/* What its sliding_window means where nothing else is said. */
enum arch_window {
    WINDOW_SAID,   /* attention sees so many tokens, unless use_sliding_window is false */
    WINDOW_ALWAYS, /* it does, whatever use_sliding_window says */
    WINDOW_ASKED,  /* where use_sliding_window is true, in the layers from max_window_layers on, or
                    * in those of layer_types */
};

struct arch {
    struct part_table parts;
    enum arch_window window;
    /* Keys that config.c reads and build() has no use for, though others have ("duet.qk_norm"):
     * refused by name unless they are false or 0. Up to a NULL; or NULL: none. */
    const char *const *lacks;
    void (*build)(struct builder *b); /* build.h */
};

const struct arch *arch_find(const char *name); /* or NULL */
extern const struct part_tables arch_parts;      /* of all, for formats */

/* The numbers that decide which parts a model has, and their shapes. */
struct part_sizes arch_sizes(const struct model_config *c);

#endif
